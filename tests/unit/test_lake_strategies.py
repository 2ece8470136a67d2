"""Lake days as snapshots, in strict mode, carried over: what is beside the replay in full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lobproof.errors import StrictError, UsageError
from lobproof.pipeline import ReconstructOptions
from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.lake import lake_days, reconstruct_day
from lobproof.pipeline.start import closing_book
from lobproof.replay import Policy
from lobproof.schema import Flag, Kind
from lobproof.sources.cryptolake.decode import as_snapshots
from lobproof.sources.cryptolake.grid import infer_grid
from lobproof.sources.cryptolake.times import survey_times
from plain.lake_replay import LakeStreams
from plain.messages import (
    ASK,
    BID,
    MINUTE,
    MS,
    OFFSET,
    Level,
    Message,
    bid,
    book_of,
    delta,
    messages_of,
    to_vendor_batch,
    trade,
    vendor_row,
)
from support.replays import Replayed, anchored_streams, run_lake, write_lake

SECOND = 1000 * MS
BIDS, ASKS = book_of(20)
FULL = ReconstructOptions(strategy="full")
ANCHORED = Policy(chainless=True, trades_wait_for="snapshots")


# rows of `book` as messages ----------------------------------------------------------------------


@pytest.mark.parametrize("seq", [-1, 101])
def test_a_row_that_lists_nothing_is_no_message_whatever_its_id(seq: int) -> None:
    """Nor one whose levels cannot be a book: they are counted, and the book stands."""
    bids, asks = book_of(20)
    rows = [
        vendor_row(100, bids, asks, at=0),
        vendor_row(seq, [], [], at=MS),
        vendor_row(seq, bids, [(0, 1), *asks[1:]], at=2 * MS),
        vendor_row(103, bids, asks, at=3 * MS),
    ]
    policy = Policy(chainless=True, trades_wait_for="nothing")
    day = LakeStreams([], rows, [])
    got = run_lake(day, policy, source=anchored_streams(day))
    assert got.findings() == [("UNSEEDED", 0, 39, 1), ("INVALID_INPUT", 41, 42, 2)]
    assert got.states.levels[:, 0].tolist() == [1000, 1000]  # behind the first and the last
    assert got.trusted() == [(20, 20), (20, 20)]


def test_rows_as_snapshots() -> None:
    rows = [
        vendor_row(1, BIDS, ASKS),
        vendor_row(2, BIDS[:2], []),
        vendor_row(3, [], []),
        vendor_row(4, [BIDS[0], (0, 0), BIDS[1]], ASKS),
    ]
    messages = messages_of(as_snapshots(to_vendor_batch(rows), clear=True))
    assert [len(message) for message in messages] == [41, 3, 1, 1]
    assert [message[0].kind for message in messages] == [Kind.CLEAR] * 2 + [Kind.MARK] * 2
    assert [row.flags for row in messages[0]] == [0] * 40 + [Flag.LAST]
    assert [row.flags for row in messages[1]] == [0, 0, Flag.LAST], "a count shows no end"
    for (mark,), number in zip(messages[2:], (3, 4), strict=True):
        assert (mark.sequence, mark.prev_sequence) == (number, number)
    plain = messages_of(as_snapshots(to_vendor_batch(rows), clear=False))
    assert [len(message) for message in plain] == [40, 2, 1, 1]
    assert plain[0] == messages[0][1:]


def anchored(rows: list[Message], trades: list[Message], waits: str = "snapshots") -> Replayed:
    day = LakeStreams([], rows, trades)
    policy = ANCHORED if waits == "snapshots" else replace(ANCHORED, trades_wait_for="nothing")
    cut = run_lake(day, policy, source=anchored_streams(day, ((1, 2), (1, 3))))
    whole = run_lake(day, policy, source=anchored_streams(day))
    assert cut.found.tolist() == whole.found.tolist()
    assert cut.events.flags.tolist() == whole.events.flags.tolist()
    return whole


def fate(price: int, size: int, shown: list[Level], *, held: list[Level] = BIDS) -> list[int]:
    """Volume explained, refilled, transient, grown, unnamed of a sale between two snapshots."""
    rows = [vendor_row(1, held, ASKS), vendor_row(2, shown, ASKS, at=100 * MS)]
    got = anchored(rows, [trade(1, ASK, price, size, at=50 * MS)])
    names = ("explained", "refilled", "transient", "grown", "unnamed")
    return [int(got.minutes[f"{name}_volume"].sum()) for name in names]


@pytest.mark.kernels
def test_snapshots_confirm_trades() -> None:
    def with_best(size: int) -> list[Level]:
        return [(1000, size), *BIDS[1:]] if size else [*BIDS[1:], (980, 1)]

    assert fate(1000, 4, with_best(6)) == [4, 0, 0, 0, 0]
    assert fate(1000, 10, with_best(0)) == [10, 0, 0, 0, 0]
    assert fate(1000, 4, with_best(9)) == [1, 3, 0, 0, 0]
    assert fate(1000, 4, with_best(10)) == [0, 0, 0, 4, 0]
    assert fate(1000, 4, BIDS[1:], held=BIDS[1:]) == [0, 0, 4, 0, 0]
    assert fate(970, 4, BIDS) == [0, 0, 0, 0, 4], "beyond what twenty levels tell"
    assert fate(996, 4, BIDS[:3], held=BIDS[:5]) == [0, 0, 0, 0, 4], "beyond what it lists"
    assert fate(1000, 4, []) == [0, 0, 0, 0, 4], "a side that is not listed tells nothing"


@pytest.mark.kernels
def test_time_sorted_trades_wait_for_nothing() -> None:
    rows = [vendor_row(1, BIDS, ASKS), vendor_row(2, BIDS, ASKS, at=100 * MS)]
    got = anchored(rows, [trade(1, ASK, 1000, 4, at=50 * MS)], "nothing")
    assert got.minutes["grown_volume"].sum() == 0


@pytest.mark.kernels
def test_snapshots_that_are_no_book_or_come_late_or_too_seldom() -> None:
    rows = [
        vendor_row(1, BIDS, ASKS),
        vendor_row(2, [(1002, 1)], ASKS, at=MS),
        vendor_row(2, BIDS, ASKS, at=MS),
        vendor_row(1, BIDS, ASKS),
        vendor_row(10**12, BIDS, ASKS, at=2 * MS),
        vendor_row(3, BIDS, ASKS, at=3 * MS),
        vendor_row(4, BIDS, ASKS, at=9 * SECOND),
    ]
    got = anchored(rows, [trade(1, ASK, 1000, 4, at=9 * SECOND)])
    names = {name for name, *_ in got.findings()}
    assert names == {"UNSEEDED", "SILENCE", "INVALID_INPUT", "OUT_OF_ORDER", "SEQUENCE_RESET"}
    assert got.trusted()[-1] == (20, 20)


# strict mode -------------------------------------------------------------------------------------

QUIET = [
    delta(101, [bid(990, 10)]),
    *(delta(102 + n, [bid(990, 10)], at=n * SECOND) for n in range(5)),
]
SEED = vendor_row(100, BIDS, ASKS)
UP = [bid(price, 0) for price in range(1000, 990, -1)]
DENIED = [(price, 10) for price in range(990, 969, -1) if price != 975]
OVERFLOW = [trade(n, BID, 1100, 1, at=n * SECOND) for n in range(1, 4)]
NEAR = [trade(n, BID, 1001, 1, at=n * SECOND) for n in range(4, 50)]
LONG = [delta(101 + n, [bid(990, 10)], at=n * SECOND) for n in range(70)]
DOUBTS = {
    "SILENCE": LakeStreams([*QUIET, delta(200, UP, at=MINUTE)], [SEED], NEAR[:1]),
    "DRIFT": LakeStreams(QUIET, [SEED, vendor_row(101, [(1000, 9), *BIDS[1:]], ASKS)], NEAR[:1]),
    "GHOST_LEVELS": LakeStreams(
        [delta(101, [bid(975, 4)]), delta(102, UP)],
        [SEED, vendor_row(102, DENIED, ASKS)],
        NEAR[:1],
    ),
    "VENDOR_ROW_UNUSED": LakeStreams(QUIET, [SEED, vendor_row(103, BIDS, [])], NEAR[:1]),
    "SEQUENCE_RESET": LakeStreams([*QUIET, delta(50, UP)], [SEED], NEAR[:1]),
    "DUPLICATE": LakeStreams([*QUIET, QUIET[-1]], [SEED], NEAR[:1]),
    "STALE_BOOK": LakeStreams(LONG, [SEED], OVERFLOW),
}


def strictly(folder: Path, day: LakeStreams, batch_rows: int = 1 << 16) -> None:
    (one,) = lake_days(write_lake(folder / "lake", day))
    reconstruct_day(one, folder / "store", FULL, strict=True, batch_rows=batch_rows)


@pytest.mark.parametrize("doubt", DOUBTS)
def test_strict_refuses_each_doubt(doubt: str, tmp_path: Path) -> None:
    with pytest.raises(StrictError, match=f": {doubt} at event"):
        strictly(tmp_path, DOUBTS[doubt])


@pytest.mark.parametrize("batch_rows", [1, 1 << 16])
def test_strict_judges_a_minute_by_all_of_its_prints(batch_rows: int, tmp_path: Path) -> None:
    """The first three are far from the touch, and most are not."""
    strictly(tmp_path, LakeStreams(LONG, [SEED], OVERFLOW + NEAR), batch_rows)


# around the replay -------------------------------------------------------------------------------


def test_survey_of_times(tmp_path: Path) -> None:
    day = LakeStreams(LONG, [SEED], NEAR)
    root = write_lake(tmp_path, day)
    (one,) = lake_days(root)
    times = survey_times(one.files)
    assert set(times.offsets.values()) == {OFFSET}
    assert dict(times.missing) == {"book": 0.0, "book_delta_v2": 0.0, "trades": 0.0}
    late = LakeStreams([delta(1, UP)], [SEED], [trade(n, BID, 5, 1) for n in range(4)])
    late.trades[0][0].ts_event, late.trades[1][0].ts_event = 0, -1
    (other,) = lake_days(write_lake(tmp_path / "late", late))
    assert survey_times(other.files).missing["trades"] == 0.5
    assert survey_times({}).offsets == {}


def test_a_closing_book_on_a_finer_grid(tmp_path: Path) -> None:
    """The day before has two decimals; the day itself, alone, would have one."""
    day_ns = 86_400 * SECOND

    def later(message: Message) -> Message:
        times = {"ts_event": message[0].ts_event + day_ns, "ts_recv": message[0].ts_recv + day_ns}
        return [replace(row, **times) for row in message]

    first = LakeStreams(QUIET, [SEED], NEAR[:1])
    # of one decimal, ten times as coarse
    second = LakeStreams(
        [later(delta(300, [bid(99, 7)]))],
        [later(vendor_row(299, [(100, 1)], [(101, 1)]))],
        [later(trade(9, BID, 101, 1))],
    )
    store = tmp_path / "store"
    write_lake(tmp_path / "lake", first)
    write_lake(tmp_path / "lake", second, digits=1)
    one, two = lake_days(tmp_path / "lake")
    coarse = infer_grid(two.files, two.exchange, two.symbol)
    with pytest.raises(UsageError, match="nothing to carry"):
        closing_book(store, two.exchange, two.symbol, two.dt, coarse)
    reconstruct_day(one, store, FULL)
    assert coarse.price_exponent == 1
    (book, hashed, ts), grid = closing_book(store, two.exchange, two.symbol, two.dt, coarse)
    assert (grid.price_exponent, grid.size_exponent) == (2, max(coarse.size_exponent, 4))
    assert hashed
    assert ts == QUIET[-1][0].ts_event
    assert (book.sequence, book.bid_prices.tolist()) == (106, [price for price, _ in BIDS])
    assert book.bid_trusted_to == 981
    assert (book.bid_stale, book.ask_stale) == (1, 1), "nothing proves that the days' files join"
    assert np.array_equal(np.diff(book.ask_prices), [1] * 19)
    carried = reconstruct_day(two, store, FULL, carry=True)
    assert carried.days[0].counts.findings["SILENCE"] == 1, "a night lies between"


def test_gap_ratio() -> None:
    assert DayCounts(book_messages=500, snapshots=500, silences=1).gap_ratio is None
    full = DayCounts(book_messages=1100, snapshots=100, gaps=1, contradictions=2, silences=1)
    assert (full.lost, full.gap_ratio) == (4, 0.004)
