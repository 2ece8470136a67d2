"""Every limit of the replay at its edge: just within, and one beyond. The figures stand here."""

from __future__ import annotations

import numpy as np
import pytest

from lobproof.book.kernels import apply_level, new_book
from lobproof.book.undo_kernels import LOGGED, MAX_LOGGED, OVERFLOWN, UNDO, log_level
from lobproof.pipeline.counts import DayCounts
from lobproof.replay.drift_kernels import clear_suspect, note_suspect
from lobproof.replay.ledger_kernels import (
    BOOK_TS,
    CADENCE,
    LIFE_TS,
    LOST,
    MAX_SUSPECTS,
    REMEMBERED_LEVELS,
    SUSPECTS,
    UNCHAINED,
    flowing,
    new_run,
    silent,
)
from lobproof.replay.merge import PLACE_TOLERANCE_NS, TOLERANCE_NS
from lobproof.replay.merge_kernels import stands_before, time_between
from lobproof.replay.trade_kernels import is_far
from lobproof.schema import Int64
from support.feeds import ASK, BID, MS, START, Replayed, trade
from support.lake_feed import LakeDay, delta, listing, run_lake
from support.stream_reference import Message

SECOND = 1000 * MS
BIDS = [(1000 - n, 10) for n in range(20)]
ASKS = [(1001 + n, 10) for n in range(20)]


def run(book: list[Message], trades: list[Message] | None = None) -> Replayed:
    return run_lake(LakeDay(book, [listing(100, BIDS, ASKS)], trades or []))


def names(got: Replayed) -> list[str]:
    return [name for name, *_ in got.findings() if name != "UNSEEDED"]


# silence -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cadence", "limit"),
    [
        (0, 5 * SECOND),
        (100 * MS, 5 * SECOND),
        (100 * MS + 1, 5 * SECOND + 50),
        (SECOND, 50 * SECOND),
    ],
)
def test_fifty_cadences_and_five_seconds(cadence: int, limit: int) -> None:
    state = new_run()
    state[[LOST, UNCHAINED, CADENCE]] = 0, 1, cadence
    state[[LIFE_TS, BOOK_TS]] = START
    for late, quiet in ((-1, False), (0, False), (1, True)):
        assert silent(state, START + limit + late) is quiet
        assert flowing(state, START + limit + late) is not quiet


def test_a_silence_in_a_feed() -> None:
    """The cadence is that of the messages before."""
    for pace, limit in ((50 * MS, 5 * SECOND), (SECOND, 50 * SECOND)):
        steady = [delta(101 + n, [], at=n * pace) for n in range(5)]
        for late, found in ((0, []), (1, ["SILENCE"])):
            assert names(run([*steady, delta(110, [], at=4 * pace + limit + late)])) == found


# trades ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "far"), [(10_032, 0), (10_033, 1), (9_969, 0), (9_968, 1)])
def test_thirty_basis_points_and_a_spread(price: int, far: int) -> None:
    """Of a bid of 10,000 those are 30; the spread is 1."""
    book = new_book(64, 1)
    apply_level(book, BID, 10_000, 1)
    apply_level(book, ASK, 10_001, 1)
    assert is_far(book, price) == far


@pytest.mark.parametrize(
    ("far", "near", "frozen"), [(2, 0, 0), (3, 0, 1), (3, 3, 1), (3, 4, 0), (4, 4, 1), (4, 5, 0)]
)
def test_three_far_prints_and_half_of_the_minutes(far: int, near: int, frozen: int) -> None:
    prices = [1100] * far + [1001] * near
    trades = [trade(1 + n, BID, price, at=(1 + n) * SECOND) for n, price in enumerate(prices)]
    book = [delta(101 + n, [], at=n * 2 * SECOND) for n in range(12)]
    assert names(run(book, trades)).count("FROZEN") == frozen


@pytest.mark.parametrize(("apart", "prints"), [(SECOND - 1, 1), (SECOND, 2), (SECOND + 1, 2)])
def test_a_second_makes_a_print_of_its_own(apart: int, prints: int) -> None:
    trades = [trade(1, BID, 1001, at=MS), trade(2, BID, 1001, at=MS + apart)]
    got = run([delta(101, []), delta(102, [], at=3 * SECOND)], trades)
    assert got.minutes["prints"].tolist() == [prints]


# ids ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "found"),
    [(1023, ["DUPLICATE"]), (1024, ["DUPLICATE"]), (1025, ["SEQUENCE_RESET"])],
)
def test_an_id_among_the_last_thousand_and_twenty_four(since: int, found: list[str]) -> None:
    book = [delta(101 + n, [], at=n * MS) for n in range(since)]
    assert names(run([*book, delta(101, [])])) == found


@pytest.mark.parametrize("off", [-1, 1])
def test_a_reference_ten_seconds_from_its_place(off: int) -> None:
    """Within that its id tells, beyond that its time."""
    assert PLACE_TOLERANCE_NS == 10 * SECOND
    for late, by_id in ((0, True), (1, False)):
        reference = START + off * (10 * SECOND + late)
        between, timed = time_between(reference, 0, START, 0, PLACE_TOLERANCE_NS)
        assert (between, timed) == (off * (10 * SECOND + late), True)
        before = stands_before(5 if off > 0 else 9, 7, between, timed, PLACE_TOLERANCE_NS)
        assert before == ((off > 0) if by_id else (off < 0))


def test_an_exchange_time_a_minute_from_the_receive_time() -> None:
    """`test_clock` holds the edge; here is how far it is."""
    assert TOLERANCE_NS == 60 * SECOND


# tables that are full ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [MAX_SUSPECTS - 1, MAX_SUSPECTS, MAX_SUSPECTS + 1])
def test_more_suspects_than_there_is_room_for(number: int) -> None:
    """Those beyond the table are counted, and nothing clears them; nor is written behind it."""
    assert MAX_SUSPECTS == 16_384
    state = new_run()
    for price in range(1, number + 1):
        note_suspect(state, BID, price, 1, 2, 0)
    assert state[SUSPECTS] == number
    assert not state[REMEMBERED_LEVELS:].any()
    for price in range(1, number + 1):
        clear_suspect(state, BID, price)
    assert state[SUSPECTS] == max(number - MAX_SUSPECTS, 0)


@pytest.mark.parametrize("number", [MAX_LOGGED - 1, MAX_LOGGED, MAX_LOGGED + 1])
def test_more_changes_of_a_snapshot_than_can_be_undone(number: int) -> None:
    assert MAX_LOGGED == 32_768
    undo: Int64 = np.zeros(UNDO + 3, np.int64)
    for price in range(1, number + 1):
        log_level(undo, ASK, price, 5)
    assert undo[LOGGED] == min(number, MAX_LOGGED)
    assert undo[OVERFLOWN] == int(number > MAX_LOGGED)
    assert undo[UNDO:].tolist() == [0, 0, 0]


# strategies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("messages", "gone"), [(999, True), (1000, True), (1001, False)])
def test_a_gap_in_a_thousand_messages(messages: int, gone: bool) -> None:
    counts = DayCounts(book_messages=messages, gaps=1)
    assert bool(counts.no_go("full")) == gone
    assert counts.no_go("anchored") == ""


@pytest.mark.parametrize(("unusable", "gone"), [(4, False), (5, True), (6, True)])
def test_five_rows_of_book_in_a_hundred_that_are_no_book(unusable: int, gone: bool) -> None:
    counts = DayCounts(snapshots=100 - unusable, findings={"INVALID_INPUT": unusable})
    assert bool(counts.no_go("anchored")) == gone
