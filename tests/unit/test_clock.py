"""``StreamClock`` and ``stamped``: the running clock of a stream, and times that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lobproof.replay import Segment, StreamClock, stamped
from lobproof.replay.clock_kernels import DAY_NS
from lobproof.replay.merge import TOLERANCE_NS
from lobproof.schema import EventBatch, Flag
from plain.messages import (
    BID,
    MS,
    OFFSET,
    START,
    Event,
    Message,
    VendorRow,
    bid,
    depth,
    mark,
    snapshot,
    to_batch,
    to_rows,
    to_vendor_batch,
    trade,
)
from support.replays import batches

pytestmark = pytest.mark.kernels

BAD = int(Flag.BAD_TS)
SHORT = [bid(1000, 3)]


def clocked(messages: Sequence[Message], **options: Any) -> list[tuple[int, bool]]:
    """Time since the start and whether it is flagged, of each message."""
    batch = StreamClock(OFFSET, **options).stamp(Segment.of(to_batch(messages))).events
    return [told(row) for row in to_rows(batch) if row.flags & Flag.LAST]


def told(row: Event) -> tuple[int, bool]:
    return row.ts_order - START, bool(row.flags & BAD)


def at(time: int, recv: int | None = None, *, event: int | None = None) -> Message:
    """A message at ``time`` after the start, its exchange time replaced by ``event``."""
    message = depth(5, 2, SHORT, at=time, recv=recv)
    for row in message:
        row.ts_event = row.ts_event if event is None else event
    return message


def test_the_clock_never_runs_back() -> None:
    assert clocked([at(10), at(7), at(12), at(12)]) == [
        (10, False),
        (10, False),
        (12, False),
        (12, False),
    ]


@pytest.mark.parametrize("event", [0, -1, 5, START + 10**15, START - 2 * TOLERANCE_NS])
def test_a_time_that_cannot_be_is_replaced_by_the_corrected_receive_time(event: int) -> None:
    assert clocked([at(10), at(20, event=event), at(30)]) == [
        (10, False),
        (20, True),
        (30, False),
    ]


def test_one_stamp_in_the_future_does_not_freeze_the_clock() -> None:
    late = at(20, event=START + 10**15)
    assert clocked([late, at(30)]) == [(20, True), (30, False)]


def test_how_far_apart_the_two_times_may_be() -> None:
    near, far = at(0, event=START + TOLERANCE_NS), at(0, event=START + TOLERANCE_NS + 1)
    assert clocked([near]) == [(TOLERANCE_NS, False)]
    assert clocked([far]) == [(0, True)]
    assert clocked([at(0, event=START - TOLERANCE_NS)]) == [(-TOLERANCE_NS, False)]
    assert clocked([at(0, event=START - TOLERANCE_NS - 1)]) == [(0, True)]


def test_a_recorder_whose_own_clock_is_off_for_a_while_is_not_believed() -> None:
    odd = START + OFFSET + 10**13
    assert clocked([at(10), at(20, odd), at(30)]) == [(10, False), (20, False), (30, False)]


@pytest.mark.parametrize("more", [0, 1])
def test_where_both_times_are_wrong_the_clock_stands(more: int) -> None:
    """A receive time over a day ahead is no better than an exchange time that is hours off."""
    ahead = 10 + DAY_NS + more
    early = START - 8 * 3600 * 10**9
    told = clocked([at(10), at(20, OFFSET + START + ahead, event=early), at(30)])
    assert told[1] == ((10, True) if more else (ahead, True))


def test_without_a_receive_time_any_positive_time_is_believed() -> None:
    assert clocked([at(10, 0), at(20, 0, event=0), at(30, 0)]) == [
        (10, False),
        (10, True),
        (30, False),
    ]


def test_by_receive_time() -> None:
    messages = [at(10, START + OFFSET + 15), at(20, 0), at(30, START + OFFSET + 31)]
    today = START // DAY_NS
    assert clocked(messages, receive_days=[today]) == [(15, False), (20, False), (31, False)]
    other = [today - 1, today + 1]
    assert clocked(messages, receive_days=other) == [(10, False), (20, False), (30, False)]


def test_what_has_no_time_by_nature_takes_the_clock_where_it_stands() -> None:
    late = 50 * MS
    invalid = [Event(0, 0, START + OFFSET + late, 8, 8, flags=int(Flag.INVALID | Flag.LAST))]
    old = [Event(0, 0, START + OFFSET + late, 3, 3, flags=int(Flag.OUT_OF_ORDER | Flag.LAST))]
    messages = [
        at(10),
        snapshot(9, [(1000, 1)], [(1001, 1)], at=late),
        mark(Flag.RECONNECT, at=late),
        invalid,  # stands in for a snapshot
        old,
        at(20),
    ]
    assert clocked(messages) == [*[(10, False)] * 5, (20, False)]


@pytest.mark.parametrize("cuts", [(), (2,), (2, 3)])
def test_a_snapshot_behind_a_substitute_is_flagged_too(cuts: Sequence[int]) -> None:
    """A day ahead by mistake: the receive time stands in, and the snapshot knows no better."""
    listed, wrong = snapshot(9, [(1000, 1)], [(1001, 1)]), at(20)
    wrong[0].ts_event += 86_400_000 * MS
    messages = [at(10), wrong, listed, mark(Flag.RECONNECT), at(30), listed]
    parts = batches(messages, cuts)
    whole = Segment.concat(list(stamped(map(Segment.of, parts), StreamClock(OFFSET))))
    out = [told(row) for row in to_rows(whole.events) if row.flags & Flag.LAST]
    assert out == [(10, False), (20, True), (20, True), (20, False), (30, False), (30, False)]


def test_a_repeated_message_keeps_its_own_time() -> None:
    row = at(30)[0]
    row.flags |= Flag.DUPLICATE
    assert clocked([at(10), [row], at(20)]) == [(10, False), (30, False), (30, False)]


def test_what_stands_before_the_first_message_takes_its_time_flagged() -> None:
    listed = snapshot(9, [(1000, 1)], [(1001, 1)], at=50 * MS)
    messages = [mark(Flag.INVALID), listed, at(10), listed]
    assert clocked(messages) == [(10, True), (10, True), (10, False), (10, False)]


@pytest.mark.parametrize("cuts", [(), (1,), (1, 2), (1, 2, 3), (3,)])
def test_leading_rows_wait_for_the_first_time_whatever_the_batches(cuts: Sequence[int]) -> None:
    listed = snapshot(9, [(1000, 1)], [(1001, 1)])
    messages = [listed, mark(Flag.INVALID), at(10), at(20)]
    parts = [EventBatch.empty(), *batches(messages, cuts)]
    whole = Segment.concat(list(stamped(map(Segment.of, parts), StreamClock(OFFSET))))
    out = to_rows(whole.events)
    assert [told(row) for row in out] == [(10, True)] * 3 + [(10, False), (20, False)]
    assert all(row.ts_order == 0 and not row.flags & BAD for row in to_rows(parts[1])[:2])


def test_a_stream_without_any_time_is_ordered_by_receive_time() -> None:
    messages = [
        mark(Flag.INVALID, at=-START - OFFSET),  # unknown
        snapshot(9, [(1000, 1)], [], at=20),
        snapshot(9, [(1000, 1)], [], at=10),
        mark(Flag.INVALID, at=-START - OFFSET),
    ]
    (out,) = stamped(map(Segment.of, batches(messages)), StreamClock(OFFSET))
    assert [told(row) for row in to_rows(out.events)] == [(20, True)] * 4
    unknown = [mark(Flag.INVALID, at=-START - OFFSET)]
    (out,) = stamped(map(Segment.of, batches(unknown)), StreamClock(OFFSET))
    assert out.events.ts_order.tolist() == [0]
    assert list(stamped(iter([]), StreamClock(OFFSET))) == []


def test_trades_have_a_clock_too() -> None:
    assert clocked([trade(1, BID, 1000, at=10), trade(2, BID, 1000, at=5)]) == [
        (10, False),
        (10, False),
    ]


def test_a_saved_clock_goes_on() -> None:
    first, second = StreamClock(OFFSET), StreamClock(OFFSET)
    assert not first.started()
    first.stamp(Segment.of(to_batch([at(30)])))
    saved = first.save()
    first.stamp(Segment.of(to_batch([at(90)])))
    second.load(saved)
    assert second.started()
    late = second.stamp(Segment.of(to_batch([at(20)])))
    assert [told(row) for row in to_rows(late.events)] == [(30, False)]


def test_vendor_rows_without_any_time() -> None:
    """Before the first time they take it; alone they have none; else that of the row before."""
    vendor_rows = to_vendor_batch([[VendorRow(0, 0, 0, n, -1)] for n in range(3)])
    rows = to_batch([depth(1, 0, [bid(7, 1)]), depth(2, 1, [bid(7, 1)], at=MS)])
    places = np.array([0, 1, 2])
    (out,) = stamped(iter([Segment(rows, vendor_rows.copy(), places)]), StreamClock(OFFSET))
    assert out.vendor_rows.ts_order.tolist() == [START, START, START + MS]
    alone = Segment(EventBatch.empty(), vendor_rows.copy(), places * 0)
    (out,) = stamped(iter([alone]), StreamClock(OFFSET))
    assert out.vendor_rows.ts_order.tolist() == [0, 0, 0]
    timeless = to_batch([mark(Flag.INVALID, at=at) for at in (0, MS)])
    (out,) = stamped(iter([Segment(timeless, vendor_rows.copy(), places)]), StreamClock(OFFSET))
    assert out.vendor_rows.ts_order.tolist() == [START, START, START + MS]


def test_a_message_has_one_time() -> None:
    """Also where a row of it lacks one: nothing may come between its rows."""
    message = depth(1, 0, [bid(7, 1), bid(8, 1), bid(9, 1)])
    message[1].ts_event, message[1].ts_recv = 0, message[1].ts_recv + 4 * MS
    (out,) = stamped(map(Segment.of, batches([message])), StreamClock(OFFSET))
    assert out.events.ts_order.tolist() == [START + 4 * MS] * 3
    assert [bool(flag & Flag.BAD_TS) for flag in out.events.flags.tolist()] == [False, True, False]


def test_a_clock_that_lags_is_earlier_but_on_the_same_day() -> None:
    """A book's time of sending, where the trades have that of matching."""
    midnight = START // DAY_NS * DAY_NS + DAY_NS - START
    messages = [depth(n, n - 1, SHORT, at=at) for n, at in enumerate((20, 25, 21))]
    shifted = clocked(messages, lag_ns=8)
    assert [at for at, _ in shifted] == [12, 17, 17]
    late = [depth(9, 8, SHORT, at=midnight + at) for at in (-1, 3, 9)]
    assert [at - midnight for at, _ in clocked(late, lag_ns=8)] == [-9, 0, 1]
