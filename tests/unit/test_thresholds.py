"""Every limit of the replay at its edge: just within, and one beyond. The figures stand here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lobproof.book.kernels import apply_level, ensure_far_capacity, new_book
from lobproof.book.trust_kernels import MAX_LOGGED, NEVER, UNDO, log_level
from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.lake import lake_days
from lobproof.pipeline.survey import Survey
from lobproof.replay import Policy, TradeAudit, bridged
from lobproof.replay.anchor_kernels import (
    BELIEVED,
    DISBELIEVED,
    IMAGE_UNKNOWN,
    set_since,
    take_image,
    weigh,
)
from lobproof.replay.merge import PLACE_TOLERANCE_NS, TOLERANCE_NS
from lobproof.replay.merge_kernels import stands_before, time_between
from lobproof.replay.silence_kernels import flowing, silent
from lobproof.replay.snapshot_kernels import clear_mismatch, note_mismatch
from lobproof.replay.state_kernels import (
    MAX_IMAGE,
    MAX_MISMATCHES,
    MAX_REMEMBERED,
    new_state,
)
from lobproof.replay.trade_id_kernels import WINDOW
from lobproof.replay.trade_kernels import is_far
from lobproof.schema import RANGE, UNTRUSTED, Finding, Flag, Kind
from plain.lake_replay import LakeStreams
from plain.messages import (
    ASK,
    BID,
    MS,
    START,
    Message,
    ask,
    bid,
    delta,
    depth,
    snapshot,
    to_batch,
    trade,
    unreadable,
    vendor_row,
)
from support.replays import Replayed, anchored_streams, findings_of, replay, run_lake, write_lake

SECOND = 1000 * MS
BIDS = [(1000 - n, 10) for n in range(20)]
ASKS = [(1001 + n, 10) for n in range(20)]


def run(book: list[Message], trades: list[Message] | None = None) -> Replayed:
    return run_lake(LakeStreams(book, [vendor_row(100, BIDS, ASKS)], trades or []))


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
    state = new_state()[0]
    state.trust.reason = 0
    state.chainless = 1
    state.cadence = cadence
    state.last_alive = state.book_ts = START
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
    assert names(run(book, trades)).count("STALE_BOOK") == frozen


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


@pytest.mark.parametrize("before", [0, 5_000])
@pytest.mark.parametrize(
    ("since", "again"), [(WINDOW - 1, True), (WINDOW, True), (WINDOW + 1, False)]
)
def test_a_trade_among_the_last_sixteen_thousand(since: int, again: bool, before: int) -> None:
    """With the same content it is there twice; beyond them it is one that came late, and stays."""
    assert WINDOW == 16_384
    ids = [*range(1, before + 1), 7 * WINDOW, *range(9 * WINDOW, 9 * WINDOW + since - 1)]
    given = to_batch(trade(n, BID, 1000, prev=-1) for n in [*ids, 7 * WINDOW])
    got = TradeAudit().process(given)
    late = Flag.LAST | Flag.OUT_OF_ORDER
    told = (Kind.MARK, Flag.LAST | Flag.DUPLICATE | Flag.TRADES) if again else (Kind.TRADE, late)
    assert (got.kind[-1], got.flags[-1]) == told
    assert not (got.flags[:-1] & Flag.DUPLICATE).any()
    # and of other content it stays in any case
    given.size[-1] += 1
    got = TradeAudit().process(given)
    assert (got.kind[-1], got.flags[-1]) == (Kind.TRADE, late)


@pytest.mark.parametrize(("late", "unused"), [(0, []), (1, ["VENDOR_ROW_UNUSED"])])
def test_an_id_and_a_time_that_are_a_second_apart(late: int, unused: list[str]) -> None:
    book = [delta(101, []), delta(102, [], at=5 * SECOND), delta(103, [], at=7 * SECOND)]
    for seq, at in ((101, 6 * SECOND + late), (102, 4 * SECOND - late)):
        rows = [vendor_row(100, BIDS, ASKS), vendor_row(seq, BIDS, ASKS, at=at)]
        assert names(run_lake(LakeStreams(book, rows))) == unused


@pytest.mark.parametrize("off", [-1, 1])
def test_a_vendor_row_ten_seconds_from_its_place(off: int) -> None:
    """Within that its id tells, beyond that its time."""
    assert PLACE_TOLERANCE_NS == 10 * SECOND
    for late, by_id in ((0, True), (1, False)):
        vendor_row = START + off * (10 * SECOND + late)
        between, timed = time_between(vendor_row, 0, START, 0, PLACE_TOLERANCE_NS)
        assert (between, timed) == (off * (10 * SECOND + late), True)
        before = stands_before(5 if off > 0 else 9, 7, between, timed, PLACE_TOLERANCE_NS)
        assert before == ((off > 0) if by_id else (off < 0))


def test_an_exchange_time_a_minute_from_the_receive_time() -> None:
    """`test_clock` holds the edge; here is how far it is."""
    assert TOLERANCE_NS == 60 * SECOND


# sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "corrects"), [(1249, False), (1250, False), (1251, True), (750, False), (749, True)]
)
def test_the_size_limit(size: int, corrects: bool) -> None:
    """The root of the mean square: of four levels one is off by a quarter, which is 0.125."""
    bids, asks = [(1000, 1000), (999, 1000)], [(1001, 1000), (1002, 1000)]
    policy = Policy(chainless=True, size_limit=0.125)
    book = [delta(101, [bid(1000, size)]), delta(102, [])]
    differs = vendor_row(101, bids, asks)

    def kinds(*rows: Message) -> list[Kind]:
        got = run_lake(
            LakeStreams(book, [vendor_row(100, [(1000, 500), *bids[1:]], asks), *rows]), policy
        )
        ends = (got.events.flags & Flag.LAST) != 0
        return [Kind(kind) for kind in got.events.kind[ends].tolist()]

    seeded, after = [Kind.SNAPSHOT, Kind.DELTA], Kind.SNAPSHOT if corrects else Kind.MARK
    assert kinds(differs) == [*seeded, after, Kind.MARK]
    # a doubt stays as long as rows differ by no more
    off = vendor_row(102, bids, asks)
    again = [Kind.SNAPSHOT] if corrects else []
    wild = vendor_row(101, [(price + 100, 1) for price, _ in bids], [(p + 100, 1) for p, _ in asks])
    assert kinds(wild, off) == [*seeded, Kind.MARK, Kind.MARK, *again]


def test_no_size_limit_corrects_by_anything() -> None:
    policy = Policy(chainless=True, size_limit=0.0)
    rows = [vendor_row(100, BIDS, ASKS), vendor_row(101, [(1000, 10**9 + 1), *BIDS[1:]], ASKS)]
    got = run_lake(LakeStreams([delta(101, [bid(1000, 10**9)]), delta(102, [])], rows), policy)
    assert got.events.kind.tolist().count(Kind.SNAPSHOT) == 80


# prints that `book` shows nothing of, and a touch that moves without any -------------------------


def stands_still(trades: list[Message], *times: int) -> bool:
    """Whether rows of `book` that repeat are a finding; the last one, of those times, moves."""
    rows = [vendor_row(100 + n, BIDS, ASKS, at=at) for n, at in enumerate(times[:-1])]
    rows.append(vendor_row(200, [(1000, 9), *BIDS[1:]], ASKS, at=times[-1]))
    day = LakeStreams([], rows, trades)
    policy = Policy(chainless=True, trades_wait_for="snapshots")
    return "VENDOR_ROW_STALE" in names(run_lake(day, policy, source=anchored_streams(day)))


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("prints", [2, 3, 4])
def test_three_prints_that_two_rows_show_nothing_of(prints: int, rows: int) -> None:
    trades = [trade(1 + n, BID, 1001, at=n * SECOND + MS) for n in range(prints)]
    times = [5 * SECOND + n * MS for n in range(rows + 1)]
    assert stands_still(trades, 0, *times) == (prints >= 3 and rows >= 2)


@pytest.mark.parametrize(("late", "stale"), [(-1, False), (0, True), (1, True)])
def test_a_second_in_which_rows_stand_still(late: int, stale: bool) -> None:
    """One print outside the touch is enough for it."""
    assert stands_still([trade(1, BID, 1002, at=1)], 0, 5, 6, SECOND + late) == stale
    assert not stands_still([trade(1, BID, 1001, at=1)], 0, 5, 6, SECOND + late)


def test_rows_that_list_fewer_levels_do_not_stand_still() -> None:
    """And a standstill is from the row that is repeated, its last level, to the one that moves."""
    trades = [trade(1, BID, 1002, at=1)]
    policy = Policy(chainless=True, trades_wait_for="snapshots")
    for depths, found in (((20, 19, 18), []), ((20, 20, 20), [("VENDOR_ROW_STALE", 40, 123)])):
        rows = [
            vendor_row(100 + n, BIDS[:count], ASKS, at=n * 2 * SECOND)
            for n, count in enumerate(depths)
        ]
        rows.append(vendor_row(200, [(1000, 9), *BIDS[1:]], ASKS, at=6 * SECOND))
        day = LakeStreams([], rows, trades)
        got = run_lake(day, policy, source=anchored_streams(day))
        assert [one[:3] for one in got.findings() if one[0] == "VENDOR_ROW_STALE"] == found


@pytest.mark.parametrize(("times", "absent"), [(19, False), (20, True), (21, True)])
@pytest.mark.parametrize("traded", [False, True])
def test_twenty_times_through_the_touch_without_a_trade(
    times: int, absent: bool, traded: bool
) -> None:
    book = []
    for n in range(times):
        up = n % 2 == 0
        changes = [ask(1001, 0), bid(1001, 5)] if up else [bid(1001, 0), ask(1001, 10)]
        book.append(delta(101 + n, changes, at=n * SECOND))
    got = run(book, [trade(1, BID, 1001, at=MS)] if traded else [])
    assert names(got).count("TRADES_ABSENT") == int(absent and not traded)
    # a book in doubt proves nothing
    lost = run([unreadable(0, seq=101), *book], [])
    assert "TRADES_ABSENT" not in names(lost)


# tables that are full ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [MAX_MISMATCHES - 1, MAX_MISMATCHES, MAX_MISMATCHES + 1])
def test_more_mismatches_than_there_is_room_for(number: int) -> None:
    """Those beyond the table are counted, and nothing clears them; nor is written behind it."""
    assert MAX_MISMATCHES == 16_384
    states = new_state()
    state = states[0]
    for price in range(1, number + 1):
        note_mismatch(state, BID, price, 1, 2, 0)
    assert state.mismatches == number
    state.mismatches = 0
    state.mismatch_levels[:] = new_state()[0].mismatch_levels
    assert states.tobytes() == new_state().tobytes()  # nothing else was touched
    for price in range(1, number + 1):
        note_mismatch(state, BID, price, 1, 2, 0)
    for price in (*range(1, number + 1), 10**6):
        clear_mismatch(state, BID, price)
    assert state.mismatches == max(number - MAX_MISMATCHES, 0)


@pytest.mark.parametrize("number", [MAX_LOGGED - 1, MAX_LOGGED, MAX_LOGGED + 1])
def test_more_changes_of_a_snapshot_than_can_be_undone(number: int) -> None:
    assert MAX_LOGGED == 32_768
    two = np.zeros(2, UNDO)
    undo = two[0]
    for price in range(1, number + 1):
        log_level(undo, ASK, price, 5)
    assert undo.logged == min(number, MAX_LOGGED)
    assert undo.overflown == int(number > MAX_LOGGED)
    assert two[1:].tobytes() == bytes(UNDO.itemsize)


@pytest.mark.parametrize(("levels", "undone"), [(32_000, True), (33_000, False)])
def test_a_snapshot_of_more_levels_than_can_be_undone_costs_the_trust(
    levels: int, undone: bool
) -> None:
    """It is wrong in an ask, which a depth message had set: the chain refutes it."""
    bids = [(50_000 - n, 5) for n in range(levels)]
    asks = [(50_001 + n, 5) for n in range(100)]
    worst = asks[-1][0]
    seed, lie = (snapshot(seq, bids, asks) for seq in (100, 103))
    set_since = depth(101, 100, [ask(worst, 7)])
    got = replay([seed, set_since, lie, depth(105, 101, [bid(50_000, 6)])])
    assert bool(got.levels.ask_sizes[-1] == 7) is undone
    assert got.levels.ask_trust == (RANGE if undone else UNTRUSTED)
    assert ("REFUTED" if undone else "DRIFT") in names(got)


# times ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("apart", "one"), [(10 * SECOND, True), (10 * SECOND + 1, False)])
def test_contradictions_ten_seconds_apart_are_one(apart: int, one: bool) -> None:
    drift = int(Finding.DRIFT)
    found = [[drift, 5, 6, START, START + 9], [drift, 8, 9, START + 9 + apart, START + 99 * SECOND]]
    got = bridged(findings_of([[*row, 1, 0, 0] for row in found]))
    assert got[1].first_ts == (START + 9 if one else START + 9 + apart)


@pytest.mark.parametrize(("missing", "received"), [(4, False), (5, True), (6, True)])
def test_five_times_in_a_hundred_that_are_missing(
    missing: int, received: bool, tmp_path: Path
) -> None:
    book = [delta(101 + n, [bid(1000, 1 + n)], at=n * MS) for n in range(100)]
    for (row,) in book[:missing]:
        row.ts_event = 0
    trades = [trade(n, BID, 1001, at=n * MS) for n in range(20)]
    (day,) = lake_days(
        write_lake(tmp_path, LakeStreams(book[::-1], [vendor_row(100, BIDS, ASKS)], trades))
    )
    survey = Survey.made(day.files, day.exchange, day.symbol, day.dt)
    assert survey.times.missing == {"book": 0.0, "book_delta_v2": missing / 100, "trades": 0.0}
    assert bool(survey.receive_days) == received


# one snapshot against a chain ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "found", "trusted"),
    [(15, [], True), (16, ["DRIFT"], True), (255, ["DRIFT"], True), (256, ["DRIFT"], False)],
)
def test_levels_that_an_anchor_lacks(new: int, found: list[str], trusted: bool) -> None:
    """Sixteen at the end of a day, 256 at once; one that it lists clears it."""
    seed = snapshot(100, [(1000, 5), (600, 5)], [(1001, 5), (1400, 5)])
    changes = [bid(999 - n, 1) for n in range(new)]
    got = replay([seed, depth(101, 100, changes), depth(102, 101)])
    assert names(got) == found
    assert got.trusted()[1] == ((min(new + 2, 20), 2) if trusted else (0, 0))
    assert names(replay([seed, depth(101, 100, [*changes[1:], bid(1000, 4)])])) == []


@pytest.mark.parametrize("number", [MAX_REMEMBERED - 1, MAX_REMEMBERED, MAX_REMEMBERED + 1])
def test_a_second_snapshot_that_says_the_same_of_a_thousand_levels(number: int) -> None:
    """Of more, what the first one said is not all remembered: it is not believed."""
    assert MAX_REMEMBERED == 1024
    state = new_state()[0]
    for price in range(1, number + 1):
        note_mismatch(state, BID, price, 1, 2, 0)
    state.vouched_to[0], state.shared = 0, number
    assert weigh(state) == DISBELIEVED
    assert state.remembered == min(number, MAX_REMEMBERED)
    assert weigh(state) == (BELIEVED if number <= MAX_REMEMBERED else DISBELIEVED)
    state.shared = number - 1  # it must share as many levels with the book as it denies
    assert weigh(state) == DISBELIEVED


@pytest.mark.parametrize(
    ("number", "listed", "cut"),
    [
        (MAX_IMAGE - 1, 2**40, False),
        (MAX_IMAGE, 2**40, True),  # whether there are more is not looked at
        (MAX_IMAGE, MAX_IMAGE, False),
        (MAX_IMAGE + 1, MAX_IMAGE, False),
        (MAX_IMAGE + 1, MAX_IMAGE + 1, True),
    ],
)
def test_an_image_of_eight_thousand_levels(number: int, listed: int, cut: bool) -> None:
    assert MAX_IMAGE == 8192
    book = ensure_far_capacity(new_book(64, 1), number)
    for price in range(1, number + 1):
        apply_level(book, ASK, price, 5)
    state = new_state()[0]
    asks = state.trust.sides[1]
    asks.listed, asks.listed_to = RANGE, listed
    take_image(book, state)
    bid_image, ask_image = state.image
    assert (bid_image.count, bid_image.to) == (0, NEVER)
    held = min(number, MAX_IMAGE)
    assert (ask_image.count, ask_image.to) == (held, IMAGE_UNKNOWN if cut else listed)
    assert set_since(state, ASK, held, 5) is False
    assert set_since(state, ASK, held, 6) is True
    assert set_since(state, ASK, held + 1, 5) is not cut


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
