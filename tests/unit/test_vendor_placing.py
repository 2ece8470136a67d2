"""``VendorPlacer`` and vendor rows: where a row of `book` stands, and what is counted of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lobproof.instruments import Instrument, Rule
from lobproof.replay import Policy, Replayer, Segment, VendorPlacer
from lobproof.replay.merge_kernels import stands_before, time_between
from lobproof.schema import LEVELS, EventBatch, Finding, Flag, Kind, Side, VendorBatch

SECOND = 10**9
TOLERANCE = 10 * SECOND
HOUR = 3_600 * SECOND
START = 1_000 * HOUR
INSTRUMENT = Instrument("BINANCE", "ABC-USDT", "ABCUSDT", 2, 2, (Rule(0, 1, 1),))

pytestmark = pytest.mark.kernels


def messages(ids: Sequence[int]) -> EventBatch:
    """A message of one bid for each id, a second apart."""
    batch = EventBatch.empty(len(ids))
    batch.sequence[:] = ids
    batch.prev_sequence[:] = -1
    batch.ts_event[:] = START + SECOND * np.arange(len(ids))
    batch.ts_order[:] = batch.ts_event
    batch.ts_recv[:] = batch.ts_event + 5
    batch.kind[:] = Kind.DELTA
    batch.side[:] = Side.BID
    batch.price[:] = 90
    batch.size[:] = np.arange(1, len(ids) + 1)
    batch.flags[:] = Flag.LAST
    return batch


def rows(of: EventBatch, bid: int = 100, ask: int = 101) -> VendorBatch:
    """A row of `book` for each message: one level a side, and the message's bid."""
    batch = VendorBatch.empty(len(of))
    for name in ("ts_event", "ts_recv", "ts_order", "sequence"):
        getattr(batch, name)[:] = getattr(of, name)
    batch.levels[:, :2] = bid, 7
    batch.levels[:, 2] = of.price
    batch.levels[:, 3] = of.size
    batch.levels[:, 2 * LEVELS : 2 * LEVELS + 2] = ask, 7
    return batch


def places(deltas: EventBatch, vendor_rows: VendorBatch) -> list[int]:
    """How many messages stand before each vendor row."""
    segments = list(VendorPlacer(iter([deltas]), iter([vendor_rows])))
    return [int(place) for place in Segment.concat(segments).places]


@pytest.mark.parametrize("wrong", [HOUR, -HOUR, 24 * HOUR])
def test_one_wrong_stamp_moves_no_row(wrong: int) -> None:
    for spoilt in ("message", "row"):
        for stamp in ("ts_event", "ts_recv"):
            deltas = messages([10, 20, 30, 40])
            vendor_rows = rows(deltas)
            getattr(deltas if spoilt == "message" else vendor_rows, stamp)[1] += wrong
            assert places(deltas, vendor_rows) == [1, 2, 3, 4], (spoilt, stamp)


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_receive_times_are_compared_by_one_clock(by: int) -> None:
    """Those of a table whose recorder is off; a message without an exchange time needs them."""
    deltas = messages([10, 20, 30, 40])
    vendor_rows = rows(deltas)
    deltas.ts_event[1] = 0
    deltas.ts_recv[:] += by
    for offsets in ((by, 0), (by + 7, 7), (None, 0), (by, None)):
        segment = Segment.concat(list(VendorPlacer(iter([deltas]), iter([vendor_rows]), offsets)))
        assert segment.places.tolist() == [1, 2, 3, 4], offsets


def test_ids_that_neither_clock_bears_out_are_not_believed() -> None:
    deltas = messages([10, 20, 30, 40])
    vendor_rows = rows(deltas)
    deltas.ts_event[2:] += HOUR
    deltas.ts_recv[2:] += HOUR
    vendor_rows.sequence[1] = 35
    assert places(deltas, vendor_rows.slice(0, 2)) == [1, 2]
    vendor_rows.ts_recv[1] = 0
    assert places(deltas, vendor_rows.slice(0, 2)) == [1, 2]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_rows_under_an_id_of_before_are_noted_by_their_own_time(batch: int) -> None:
    """Not those that are ahead of their id's time, nor those within a second of it."""
    deltas = messages(range(1, 41))
    vendor_rows = rows(deltas)
    deltas.price[:] = 80  # beyond what is listed: nothing else is noted
    vendor_rows.sequence[5:12] = 5  # 1 to 7 s behind the fifth message, of which 2 s show nothing
    vendor_rows.sequence[20:36] = 20  # from 10 s on the time gives the place
    vendor_rows.sequence[37] = 40
    cut = [vendor_rows.slice(k, k + batch) for k in range(0, len(vendor_rows), batch)]
    placer = VendorPlacer(iter([deltas]), iter(cut))
    assert len(list(placer))
    assert ((placer.outdated() - START) // SECOND).tolist() == [[5, 11], [20, 35]]


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("rows_too", [False, True])
def test_rare_rows_are_older_than_the_deltas_that_change_what_they_list(
    batch: int, rows_too: bool
) -> None:
    """From the first message between their worst prices on, where that lasts over 5 s."""
    deltas = messages(range(1, 41))  # a second apart
    deltas.price[:] = 5_000  # beyond what is listed
    vendor_rows = rows(deltas).take(np.array([0, 4, 14, 19]))
    vendor_rows.levels[:] = 0
    vendor_rows.levels[:, [0, 2, 40, 42]] = [100, 90, 101, 110]
    deltas.price[2] = 95  # 2 s before the next row
    deltas.price[7] = 90  # 6 s before the last message that the next one follows
    deltas.price[14:16] = [89, 111]
    deltas.price[30] = 110  # and no row comes any more
    size = batch if rows_too else 100
    placer = VendorPlacer(
        iter([deltas.slice(k, k + batch) for k in range(0, len(deltas), batch)]),
        iter([vendor_rows.slice(k, k + size) for k in range(0, len(vendor_rows), size)]),
    )
    assert len(list(placer)) >= 1
    assert ((placer.outdated() - START) // SECOND).tolist() == [[7, 14], [30, 39]]
    assert placer.outdated().tolist() == placer.outdated().tolist()


@pytest.mark.parametrize(
    ("vendor_row", "message", "before"),
    [
        ((START, START), (START + 1, START + 2), True),  # without an id the time decides
        ((START + 1, START + 2), (START, START), False),
        ((0, START), (START + 1, START + 1), True),  # the recorder's without that
        ((START + HOUR, START), (START, START + 1), True),  # and where one of them is wrong
        ((0, 0), (START, START), True),  # and with neither it belongs where it came
    ],
)
def test_without_an_id(vendor_row: tuple[int, int], message: tuple[int, int], before: bool) -> None:
    between, known = time_between(*vendor_row, *message, TOLERANCE)
    assert stands_before(0, 10, between, known, TOLERANCE) == before


def replayed(deltas: EventBatch, vendor_rows: VendorBatch) -> tuple[dict[str, int], list[int]]:
    """Counts of the minutes, and the codes that were found."""
    replayer = Replayer(INSTRUMENT, policy=Policy(chainless=True))
    replayer.begin_day(START)
    events = 0
    outputs = []
    segment = Segment(deltas, vendor_rows, np.arange(1, len(vendor_rows) + 1))
    for chunk in replayer.chunks(segment, 0):
        events += len(chunk.events)
        outputs.append(chunk.output)
    outputs.append(replayer.end_day(events - 1, START))
    names = ("vendor_rows", "contradictions")
    counts = {name: sum(int(output.minutes[name].sum()) for output in outputs) for name in names}
    return counts, sorted(code for output in outputs for code in output.findings["code"].tolist())


def test_a_row_of_book_without_a_time_is_counted() -> None:
    deltas = messages([10, 20, 30])
    vendor_rows = rows(deltas)
    vendor_rows.flags[1:] = Flag.BAD_TS
    assert Finding.BAD_TS in replayed(deltas, vendor_rows)[1]
    vendor_rows.flags[:] = 0
    assert Finding.BAD_TS not in replayed(deltas, vendor_rows)[1]


def test_a_crossed_book_that_a_row_then_denies_is_a_contradiction() -> None:
    deltas = messages([10, 20, 30, 40])
    deltas.price[2] = 105
    vendor_rows = rows(deltas)
    vendor_rows.levels[2, 2:4] = 90, 2
    counts, codes = replayed(deltas, vendor_rows)
    assert counts == {"vendor_rows": 4, "contradictions": 1}
    assert Finding.CROSSED in codes
    # the row that corrects is itself in doubt until the next one agrees
    assert codes.count(Finding.DRIFT) == 1


def test_snapshots_as_the_feed_are_silent_by_their_own_cadence() -> None:
    seconds = np.cumsum([0, 4, 4, 4, 20, 400])
    events = EventBatch.empty(3 * len(seconds))
    events.sequence[:] = np.repeat(10 + np.arange(len(seconds)), 3)
    events.prev_sequence[:] = -1
    events.ts_event[:] = np.repeat(START + SECOND * seconds, 3)
    events.ts_order[:] = events.ts_event
    events.kind[:] = [Kind.CLEAR, Kind.SNAPSHOT, Kind.SNAPSHOT] * len(seconds)
    events.side[:] = [Side.NONE, Side.BID, Side.ASK] * len(seconds)
    events.price[:] = [0, 100, 101] * len(seconds)
    events.size[:] = [0, 7, 7] * len(seconds)
    events.flags[2::3] = Flag.LAST
    policy = Policy(chainless=True, trades_wait_for="snapshots")
    replayer = Replayer(INSTRUMENT, policy=policy)
    replayer.begin_day(START)
    outputs = [chunk.output for chunk in replayer.chunks(Segment.of(events), 0)]
    silences = [row for output in outputs for row in output.findings if row.code == Finding.SILENCE]
    assert len(silences) == 1
    assert silences[0].first_ts == START + SECOND * 32
    assert silences[0].last_ts == START + SECOND * 432
