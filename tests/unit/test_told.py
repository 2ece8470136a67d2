"""What a day is told beside its replay: doubts of an attempt before, findings of the whole day."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lobproof.pipeline.told import Told, doubts_of, of_the_day
from lobproof.replay import bridged, quality_rows
from lobproof.replay.findings import BRIDGE_NS
from lobproof.schema import Finding, Int64
from lobproof.schema.records import Records
from support.replays import findings_of

S = 10**9


def finding(code: Finding, first: int, last: int, first_ts: int, last_ts: int) -> list[int]:
    return [int(code), first, last, first_ts, last_ts, 1, 0, 0]


def spans(found: Records) -> list[list[int]]:
    """First and last event, first and last time of each finding."""
    return [list(row[1:5]) for row in found.tolist()]


def told(rows: list[list[int]], ts: Int64, cuts: list[int]) -> list[list[int]]:
    """First and last event of each row, the events given in parts."""
    one = Told(rows)
    edges = [0, *cuts, len(ts)]
    for start, stop in pairwise(edges):
        one.add(ts[start:stop], start)
        again = Told(rows)
        again.load(one.save())
        one = again
    return spans(one.findings(len(ts), int(ts[0]), int(ts[-1])))


@pytest.mark.parametrize("cuts", [[], [1], [3, 4], [1, 2, 3, 4, 5]])
def test_each_row_gets_the_events_of_its_time_whatever_the_batches(cuts: list[int]) -> None:
    ts = np.array([10, 20, 20, 20, 30, 40]) * S
    rows = [
        [int(Finding.DRIFT), 20 * S, 30 * S, 1, 0, 0],
        [int(Finding.DRIFT), 0, 15 * S, 1, 0, 0],
        [int(Finding.DRIFT), 21 * S, 22 * S, 1, 0, 0],
        [int(Finding.DRIFT), 35 * S, 90 * S, 1, 0, 0],
        list(of_the_day(Finding.CLOCK, 1, 1, 28_800)),
    ]
    assert told(rows, ts, cuts) == [
        [1, 4, 20 * S, 30 * S],
        [0, 0, 10 * S, 15 * S],
        [4, 4, 21 * S, 22 * S],
        [5, 5, 35 * S, 40 * S],
        [0, 5, 10 * S, 40 * S],
    ]


def test_what_only_the_end_tells_covers_the_whole_day() -> None:
    rows = [of_the_day(Finding.TRADES_ABSENT, 3, 2)]
    assert spans(Told(rows).findings(10, S, 9 * S)) == [[0, 9, S, 9 * S]]


def test_doubts_of_an_attempt_with_a_margin_one_row_a_stretch() -> None:
    found = findings_of(
        [
            finding(Finding.UNSEEDED, 0, 1, 0, S),
            finding(Finding.DRIFT, 5, 6, 10 * S, 11 * S),
            finding(Finding.DRIFT, 7, 9, 12 * S, 13 * S),
            finding(Finding.DRIFT, 20, 29, 30 * S, 31 * S),
            finding(Finding.SILENCE, 30, 39, 40 * S, 50 * S),
            finding(Finding.OFF_TICK, 1, 2, S, 2 * S),
        ]
    )
    outdated = np.array([[60 * S, 61 * S], [63 * S, 70 * S], [80 * S, 80 * S]])
    rows = [list(row) for row in doubts_of(found, outdated)]
    assert [row[:4] for row in rows] == [
        [int(Finding.DRIFT), 9 * S, 14 * S, 2],
        [int(Finding.DRIFT), 29 * S, 32 * S, 1],
        [int(Finding.SILENCE), 39 * S, 51 * S, 1],
        [int(Finding.VENDOR_ROW_STALE), 59 * S, 71 * S, 2],
        [int(Finding.VENDOR_ROW_STALE), 79 * S, 81 * S, 1],
    ]
    details = quality_rows(Told(rows).findings(5, 0, 100 * S))["detail"]
    assert set(details) == {
        f"found {count} times when the day was replayed in full, which was given up"
        for count in (1, 2)
    }


def test_contradictions_near_to_each_other_leave_no_gap() -> None:
    found = findings_of(
        [
            finding(Finding.DRIFT, 20, 29, 30 * S, 31 * S),
            finding(Finding.OFF_TICK, 1, 2, S, 2 * S),
            finding(Finding.CROSSED, 5, 6, 10 * S, 31 * S - BRIDGE_NS // 2),
            finding(Finding.GHOST_LEVELS, 50, 59, 32 * S + BRIDGE_NS, 33 * S + BRIDGE_NS),
        ]
    )
    out = bridged(found)
    assert out[0].tolist() == (int(Finding.DRIFT), 6, 29, 26 * S, 31 * S, 1, 0, 0)
    assert out[1:].tolist() == found[1:].tolist(), "the last one is too far away"
    assert found[0].first_event_id == 20
