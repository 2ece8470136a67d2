"""What rows of `book` do to a rebuilt book: days made by hand, one behaviour each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest

from lobproof.book import BookImage
from lobproof.replay import Policy, Replayer
from lobproof.replay.vendor_kernels import agrees, size_error
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Flag, Kind
from plain.lake_replay import LakeStreams
from plain.messages import (
    BID,
    LAST,
    MINUTE,
    MS,
    START,
    Level,
    Message,
    ask,
    bid,
    book_of,
    delta,
    trade,
    vendor_row,
)
from support.replays import LAKE, Replayed, make_instrument, run_lake

pytestmark = pytest.mark.kernels

SECOND = 1000 * MS
Correct = Literal["drift", "always", "never"]
BIDS, ASKS = book_of(20)
"""1000 to 981, 1001 to 1020, each of size 10."""
SEED = vendor_row(100, BIDS, ASKS)
"""Becomes the events 0 to 39."""
SEEDED = ("UNSEEDED", 0, 38, 1)


def run(
    book: Sequence[Message],
    vendor_rows: Sequence[Message],
    trades: Sequence[Message] = (),
    policy: Policy = LAKE,
) -> Replayed:
    return run_lake(LakeStreams(list(book), list(vendor_rows), list(trades)), policy)


def changed(levels: list[Level], *changes: Level) -> list[Level]:
    """Levels with other sizes; 0 leaves one out."""
    sizes = dict(levels) | dict(changes)
    prices = [price for price, _ in levels]
    return [(price, sizes[price]) for price in prices if sizes[price]]


def kinds(got: Replayed) -> str:
    """One letter a message: delta, snapshot, mark, trade."""
    letters = {Kind.DELTA: "d", Kind.SNAPSHOT: "s", Kind.MARK: "m", Kind.TRADE: "t"}
    ends = (got.events.flags & LAST) != 0
    return "".join(letters[Kind(kind)] for kind in got.events.kind[ends].tolist())


def counted(got: Replayed, *names: str) -> list[int]:
    return [int(got.minutes[name].sum()) for name in names]


# seeding and growth ------------------------------------------------------------------------------


def test_the_first_valid_row_seeds_and_others_are_counted() -> None:
    crossed = vendor_row(96, [(1002, 1)], ASKS)
    holed = vendor_row(97, [BIDS[0], (0, 0), BIDS[2]], ASKS)
    one_sided = vendor_row(98, BIDS, [])
    upside_down = vendor_row(99, BIDS[::-1], ASKS)
    twice = vendor_row(99, [BIDS[0], BIDS[0], *BIDS[2:]], ASKS)
    shows = vendor_row(101, changed(BIDS, (1000, 7)), ASKS, at=MS)
    late = vendor_row(99, BIDS, ASKS, at=MS)
    got = run(
        [delta(95, [bid(5, 5)]), delta(101, [bid(1000, 7)], at=MS), delta(102, [], at=2 * MS)],
        [crossed, holed, one_sided, upside_down, twice, SEED, shows, late],
    )
    assert kinds(got) == "dsdm"
    assert got.findings() == [("UNSEEDED", 0, 39, 1), ("VENDOR_ROW_UNUSED", 0, 41, 6)]
    assert got.trusted() == [(0, 0), (20, 20), (20, 20), (20, 20)]
    assert (got.levels.bid_trust, got.levels.bid_trusted_to) == (RANGE, 981)
    assert counted(got, "vendor_rows", "contradictions") == [2, 0]
    inserted = got.events.slice(1, 41)
    assert inserted.sequence.tolist() == [100] * 40
    assert inserted.prev_sequence.tolist() == [-1] * 40
    assert [f for f in got.flags()[1:41] if f & (Flag.RESYNC | Flag.COMPLETE)] == []


def test_rows_before_all_deltas_are_at_no_negative_event() -> None:
    got = run([delta(101, [bid(1000, 7)])], [vendor_row(90, BIDS, []), vendor_row(91, BIDS, [])])
    assert got.findings() == [("UNSEEDED", 0, 0, 1), ("VENDOR_ROW_UNUSED", 0, 0, 2)]


def test_rows_alone_seed_a_book_and_a_minute_without_events_ends_before_it_begins() -> None:
    got = run([], [SEED, vendor_row(100, BIDS, ASKS, at=3 * SECOND)])
    assert kinds(got) == "s"
    later = run([], [vendor_row(100, BIDS, ASKS, at=4 * SECOND * n) for n in range(30)])
    assert kinds(later) == "s"
    assert later.minutes["first_event_id"].tolist() == [0, 40]
    assert later.minutes["last_event_id"].tolist() == [39, 39]
    assert later.minutes["vendor_rows"].tolist() == [15, 15]
    assert later.findings() == got.findings() == [SEEDED, ("ANCHOR_UNPROVEN", 39, 39, 1)]


def test_fewer_than_twenty_levels_show_no_end_of_a_side() -> None:
    """They may be all that the vendor kept: known is what lies up to the worst one."""
    deep = delta(101, [bid(990, 4)])
    got = run(
        [deep, delta(102, [])], [vendor_row(100, BIDS[:3], ASKS), vendor_row(101, BIDS[:3], ASKS)]
    )
    assert got.trusted()[-1] == (3, 20)
    assert (got.levels.bid_trust, got.levels.bid_trusted_to) == (RANGE, 998)
    assert not any(flag & Flag.COMPLETE for flag in got.flags())
    assert got.findings() == [("UNSEEDED", 0, 21, 1)]
    # one that lists fewer than are known agrees as far as it goes, and takes nothing away
    fewer = run(
        [delta(101, []), delta(102, [bid(1000, 7)]), delta(103, [])],
        [SEED, vendor_row(102, changed(BIDS[:3], (1000, 7)), ASKS[:1])],
    )
    assert fewer.trusted()[-1] == (20, 20)
    assert counted(fewer, "contradictions", "drift_equal") == [0, 4]
    wrong = run(
        [delta(101, []), delta(102, [])], [SEED, vendor_row(101, changed(BIDS[:3], (999, 7)), ASKS)]
    )
    assert counted(wrong, "contradictions") == [1]


def test_a_row_of_one_side_vouches_for_nothing_and_may_contradict() -> None:
    agrees = run([delta(101, []), delta(102, [])], [SEED, vendor_row(101, BIDS, [])])
    assert agrees.findings() == [SEEDED, ("VENDOR_ROW_UNUSED", 40, 40, 1)]
    assert agrees.trusted()[-1] == (20, 20)
    denies = run(
        [delta(101, []), delta(102, []), delta(103, [])],
        [SEED, vendor_row(101, [], changed(ASKS, (1001, 7))), vendor_row(102, BIDS, ASKS)],
    )
    assert denies.findings() == [SEEDED, ("DRIFT", 39, 81, 1), ("VENDOR_ROW_UNUSED", 40, 40, 1)]
    assert denies.trusted()[-1] == (20, 20)
    nothing = run([delta(101, [])], [vendor_row(100, BIDS, [])])
    assert nothing.findings()[0][0] == "UNSEEDED"
    assert nothing.trusted()[-1] == (0, 0)


def test_what_agrees_is_there_as_far_as_the_row_lists() -> None:
    """What stands behind the book's own levels is not looked at."""
    levels = np.array([BIDS, BIDS], np.int64)  # side, level, price and size
    own = levels.copy()
    for held, count, same in ((20, 20, True), (19, 20, False), (3, 3, True), (2, 3, False)):
        assert agrees(levels, own, BID, count, held) == same
        assert size_error(levels, own, BID, count, held) == (0.0 if same else -1.0)
    own[BID - 1, 2, 0] += 1
    assert not agrees(levels, own, BID, 3, 20)
    assert agrees(levels, own, BID, 2, 20)
    assert size_error(levels, own, BID, 3, 20) == -1.0


def test_a_row_of_one_side_is_judged_by_its_own_message_alone() -> None:
    """One that leads may be explained yet; amid a silence the next message may explain it."""
    denies = changed(ASKS, (1001, 7))
    book = [delta(101, [bid(990, 10)]), delta(105, [ask(1001, 7)], at=2 * MS)]
    leads = run(book, [SEED, vendor_row(103, [], denies, at=MS)])
    assert leads.findings() == [SEEDED, ("VENDOR_ROW_UNUSED", 40, 40, 1)]
    rows = [vendor_row(101, BIDS, ASKS, at=n * SECOND) for n in range(1, 8)]
    got = run([delta(101, [])], [SEED, *rows, vendor_row(101, [], denies, at=8 * SECOND)])
    assert got.findings() == [SEEDED, ("VENDOR_ROW_UNUSED", 40, 40, 1)]
    flows = run([delta(101, [])], [SEED, *rows[:4], vendor_row(101, [], denies, at=5 * SECOND)])
    assert {name for name, *_ in flows.findings()} == {"UNSEEDED", "DRIFT", "VENDOR_ROW_UNUSED"}


def test_a_row_without_an_id_is_placed_by_its_time() -> None:
    book = [delta(101, [bid(1000, 7)]), delta(102, [], at=5 * MS)]
    got = run(book, [SEED, vendor_row(0, changed(BIDS, (1000, 7)), ASKS, at=2 * MS)])
    assert got.findings() == [SEEDED]
    assert counted(got, "vendor_rows") == [2]
    below = run(book, [SEED, vendor_row(-1, changed(BIDS, (1000, 7)), ASKS, at=2 * MS)])
    assert [name for name, *_ in below.findings()] == ["UNSEEDED", "VENDOR_ROW_UNUSED"]


def test_a_row_that_agrees_ends_the_wait_of_the_one_before() -> None:
    """A later doubt begins where it agreed, behind the trade, and not where the other waited."""
    book = [delta(101, [bid(990, 10)]), delta(105, [], at=4 * MS), delta(106, [], at=6 * MS)]
    other = changed(BIDS, (1000, 7))
    rows = [
        vendor_row(103, other, ASKS, at=MS),
        vendor_row(104, BIDS, ASKS, at=3 * MS),
        vendor_row(105, changed(BIDS, (1000, 8)), ASKS, at=5 * MS),
    ]
    got = run(book, [SEED, *rows], [trade(1, BID, 1001, at=2 * MS)])
    assert ("DRIFT", 41) in [finding[:2] for finding in got.findings()]


def test_a_row_anchors_after_a_silence_however_little_it_differs() -> None:
    """A doubt that rows told of waits for one that agrees; a loss does not."""
    bids, asks = ([(p, 10_000) for p, _ in levels] for levels in (BIDS, ASKS))
    other, at = changed(bids, (999, 10_001)), 8 * SECOND
    got = run(
        [delta(101, []), delta(150, [bid(500, 1)], at=at), delta(151, [], at=at + MS)],
        [vendor_row(100, bids, asks), vendor_row(150, other, asks, at=at)],
    )
    assert kinds(got) == "smmdsm"
    assert got.trusted()[-1] == (20, 20)


# a book that stands still ------------------------------------------------------------------------


def test_rows_that_stand_still_while_the_deltas_move_correct_nothing() -> None:
    """The next one that moves agrees with the deltas: they were right all along."""
    sizes = [(101 + n, 20 + n) for n in range(4)]
    book = [delta(seq, [bid(1000, size)], at=n * 100 * MS) for n, (seq, size) in enumerate(sizes)]
    first = vendor_row(101, changed(BIDS, (1000, 20)), ASKS)
    frozen = [vendor_row(101 + n, changed(BIDS, (1000, 20)), ASKS, at=n * 100 * MS) for n in (1, 2)]
    moves = vendor_row(104, changed(BIDS, (1000, 23)), ASKS, at=300 * MS)
    got = run(book, [SEED, first, *frozen, moves])
    assert kinds(got) == "sdddd"
    assert got.states.levels[:, 1].tolist() == [10, 20, 21, 22, 23]
    assert got.findings() == [SEEDED, ("VENDOR_ROW_STALE", 40, 43, 1)]
    assert counted(got, "contradictions") == [0]
    # to the end of the day; and where the deltas were not right after all
    ends = run(book, [SEED, first, *frozen])
    assert ends.findings() == [SEEDED, ("VENDOR_ROW_STALE", 40, 43, 1)]
    denied = vendor_row(104, changed(BIDS, (1000, 24)), ASKS, at=300 * MS)
    lost = run([*book, delta(105, [], at=400 * MS)], [SEED, first, *frozen, denied])
    assert ("VENDOR_ROW_STALE", 40, 43, 1) in lost.findings()
    assert ("DRIFT", 40, 82, 1) in lost.findings()


def test_a_row_that_stands_still_ends_the_wait_of_the_one_before_and_vouches_for_nothing() -> None:
    other = changed(BIDS, (1000, 7))
    book = [delta(101, [bid(990, 10)]), delta(105, [], at=4 * MS), delta(106, [], at=6 * MS)]
    rows = [
        vendor_row(103, other, ASKS, at=MS),
        vendor_row(101, other, ASKS, at=2 * MS),
        vendor_row(105, changed(BIDS, (1000, 8)), ASKS, at=5 * MS),
    ]
    got = run(book, [SEED, *rows])
    assert ("DRIFT", 39) in [finding[:2] for finding in got.findings()]


def test_rows_that_stand_still_where_nothing_moves_are_no_finding() -> None:
    book = [delta(101 + n, [bid(500, 1 + n)], at=n * 100 * MS) for n in range(4)]
    rows = [vendor_row(101 + n, BIDS, ASKS, at=n * 100 * MS) for n in range(4)]
    got = run(book, [SEED, *rows])
    assert got.findings() == [SEEDED]


def test_a_later_row_extends_the_range() -> None:
    """The touch rises by three: the row lists three asks more."""
    gone = [ask(price, 0) for price in (1001, 1002, 1003)]
    asks = [(price, 10) for price in range(1004, 1024)]
    got = run([delta(101, gone), delta(102, [])], [SEED, vendor_row(101, BIDS, asks)])
    assert kinds(got) == "sdsm"
    assert got.trusted() == [(20, 20), (20, 17), (20, 20), (20, 20)]
    assert got.levels.ask_trusted_to == 1023
    assert got.findings() == [SEEDED]


def test_a_level_told_right_behind_the_range_extends_it() -> None:
    got = run([delta(101, [bid(980, 4), bid(979, 4), bid(977, 4)])], [SEED])
    assert got.levels.bid_trusted_to == 979


def test_levels_from_before_a_silence_extend_nothing() -> None:
    """No row had come yet, so that there was no book to take trust from."""
    early = [delta(50, [bid(980, 4)]), delta(90, [], at=6 * SECOND)]
    got = run(early, [vendor_row(90, BIDS, ASKS, at=6 * SECOND)])
    assert got.levels.bid_trusted_to == 981
    assert kinds(got) == "dmms"
    assert got.findings() == [("UNSEEDED", 0, 0, 1), ("SILENCE", 0, 41, 1)]
    quick = run(
        [early[0], delta(90, [], at=4 * SECOND)], [vendor_row(90, BIDS, ASKS, at=4 * SECOND)]
    )
    assert quick.levels.bid_trusted_to == 980


def test_a_row_inside_the_next_message_extends_too() -> None:
    asks = [*ASKS[1:], (1021, 10)]
    messages = [delta(101, []), delta(105, [ask(1001, 0), bid(500, 1)], at=MS)]
    got = run(
        [messages[0], delta(102, [ask(1001, 0)]), messages[1]],
        [SEED, vendor_row(104, BIDS, asks)],
    )
    assert kinds(got) == "smdsd"
    assert got.trusted()[-2:] == [(20, 20), (20, 20)]
    assert got.levels.ask_trusted_to == 1021


# contradictions ----------------------------------------------------------------------------------


def test_a_row_corrects_and_the_doubt_reaches_back_to_the_last_that_agreed() -> None:
    """The message 103, which took the best bid away, is lost."""
    fallen = [*changed(BIDS, (1000, 0)), (980, 10)]
    got = run(
        [delta(101, [ask(1030, 1)]), delta(102, []), delta(104, []), delta(105, [])],
        [
            SEED,
            vendor_row(101, BIDS, ASKS),
            vendor_row(104, fallen, ASKS),
            vendor_row(105, fallen, ASKS),
        ],
    )
    assert kinds(got) == "sdmmsm"
    # event 40 is the last that a row agreed after, 43 to 82 the correction, which stands alone
    # until a row agrees behind event 83
    assert got.findings() == [SEEDED, ("DRIFT", 40, 81, 1), ("DRIFT", 43, 83, 1)]
    assert got.flags()[43] & Flag.DRIFT
    assert got.states.levels[-1, 0] == 999
    assert got.trusted()[-1] == (20, 20)
    names = ("drift_compared", "drift_equal", "drift_ghosts", "drift_missing", "contradictions")
    assert counted(got, *names) == [120, 119, 1, 0, 1]


@pytest.mark.parametrize(("size", "kind"), [(10_001, "sdmm"), (10_200, "sdsm")])
def test_a_small_difference_in_sizes_corrects_nothing(size: int, kind: str) -> None:
    """It takes trust, until a row agrees; a large one corrects at once."""
    right, wrong = ([(p, 10_000) for p, _ in levels] for levels in (BIDS, ASKS)), (1000, size)
    bids, asks = right
    seed = vendor_row(100, bids, asks)
    rows = [vendor_row(101, changed(bids, wrong), asks)]
    got = run([delta(101, [bid(990, 10_000)]), delta(102, [])], [seed, *rows])
    assert kinds(got) == kind
    assert bool(got.flags()[-1] & Flag.DOUBTFUL) == (kind == "sdmm")
    again = run(
        [delta(101, [bid(990, 10_000)]), delta(102, []), delta(103, [])],
        [
            seed,
            *rows,
            vendor_row(102, changed(bids, (1000, size)), asks),
            vendor_row(102, bids, asks),
        ],
    )
    assert not again.flags()[-1] & Flag.DOUBTFUL


def test_policies() -> None:
    book = [delta(101, [bid(1000, 11)]), delta(102, [], at=MS), delta(103, [], at=2 * MS)]
    asks = changed(ASKS, (1020, 9))
    rows = [SEED, vendor_row(101, BIDS, asks), vendor_row(102, BIDS, asks, at=MS)]
    agrees = vendor_row(103, changed(BIDS, (1000, 11)), ASKS, at=2 * MS)

    def letters(correct: Correct, *more: Message) -> str:
        policy = Policy(chainless=True, correct=correct)
        return kinds(run(book, [*rows, *more], policy=policy))

    assert letters("drift") == "sdsmm"
    assert letters("always") == "sdsmsm"
    assert letters("never") == "sdmmm"
    assert letters("never", agrees) == "sdmmms"


def test_always_corrects_by_a_small_difference_too() -> None:
    """Also where the doubt came while no deltas did."""
    bids, asks = ([(p, 10_000) for p, _ in levels] for levels in (BIDS, ASKS))
    other = changed(bids, (1000, 10_001))
    policy = Policy(chainless=True, correct="always")
    got = run(
        [delta(101, [bid(990, 10_000)]), delta(102, [], at=9 * SECOND)],
        [
            vendor_row(100, bids, asks),
            *(vendor_row(101, bids, asks, at=n * SECOND) for n in range(1, 8)),
            vendor_row(101, other, asks, at=8 * SECOND),
            vendor_row(102, other, asks, at=9 * SECOND),
        ],
        policy=policy,
    )
    assert kinds(got).endswith("mms")
    assert not got.flags()[-1] & Flag.DOUBTFUL


@pytest.mark.parametrize("correct", ["drift", "always"])
@pytest.mark.parametrize("explained", [True, False])
def test_a_row_that_leads_is_judged_after_the_next_message(
    correct: Correct, explained: bool
) -> None:
    policy = Policy(chainless=True, correct=correct)
    changes = [bid(1000, 7 if explained else 10), ask(1001, 10)][0 if explained else 1 :]
    got = run(
        [delta(101, [bid(990, 10)]), delta(105, changes, at=MS), delta(106, [], at=2 * MS)],
        [SEED, vendor_row(103, changed(BIDS, (1000, 7)), ASKS, at=MS)],
        policy=policy,
    )
    assert kinds(got) == ("sddm" if explained else "sddmm")
    doubts = [("DRIFT", 39, 43, 1)]
    assert got.findings() == [SEEDED, *([] if explained else doubts)]
    assert counted(got, "contradictions") == [int(not explained)]


@pytest.mark.parametrize("size", [10, 7])
def test_a_row_that_leads_at_the_end_of_the_day_is_explained_by_nothing(size: int) -> None:
    """The deltas end before `book` does: what it shows of the book behind them is doubt."""
    got = run(
        [delta(101, []), delta(102, [], at=MS)],
        [
            SEED,
            vendor_row(101, BIDS, ASKS),
            vendor_row(105, changed(BIDS, (1000, size)), ASKS, at=2 * MS),
            vendor_row(106, changed(BIDS, (1000, size)), ASKS, at=3 * MS),
        ],
    )
    assert got.findings() == [SEEDED, *([] if size == 10 else [("DRIFT", 40, 41, 1)])]


def test_a_row_that_led_and_was_explained_vouches_for_the_book_before_it() -> None:
    book = [
        delta(101, [bid(990, 10)]),
        delta(105, [bid(1000, 7)], at=2 * MS),
        delta(106, [], at=4 * MS),
    ]
    rows = [
        vendor_row(103, changed(BIDS, (1000, 7)), ASKS, at=MS),
        vendor_row(105, changed(BIDS, (1000, 9)), ASKS, at=3 * MS),
    ]
    got = run(book, [SEED, *rows])
    assert ("DRIFT", 40) in [finding[:2] for finding in got.findings()]


def test_a_wild_row_waits_for_the_next() -> None:
    """It shares no level with the book: which of them is wrong, the next row tells."""
    wild = vendor_row(101, [(p + 300, 3) for p, _ in BIDS], [(p + 300, 3) for p, _ in ASKS])
    got = run(
        [delta(101, [bid(990, 10)]), delta(102, []), delta(103, [])],
        [SEED, wild, vendor_row(102, BIDS, ASKS)],
    )
    assert kinds(got) == "sdmmsm"
    assert got.findings()[1][:3] == ("DRIFT", 39, 81)
    assert got.states.levels[:, 0].tolist() == [1000] * 5
    assert not got.flags()[-1] & Flag.DOUBTFUL


def test_stranded_levels() -> None:
    """A bid told beyond the range is not in the row that reaches it: its end was lost."""
    up = [bid(price, 0) for price in range(1000, 990, -1)]
    bids = [(price, 10) for price in range(990, 970, -1)]
    denied = [level for level in bids if level[0] != 975] + [(970, 10)]
    got = run(
        [delta(101, [bid(975, 4)]), delta(102, up), delta(103, [])],
        [SEED, vendor_row(101, BIDS, ASKS), vendor_row(102, denied, ASKS)],
    )
    assert kinds(got) == "sddsm"
    assert got.findings() == [SEEDED, ("GHOST_LEVELS", 40, 89, 1)]
    assert got.flags()[51] & Flag.GHOST_LEVELS
    assert got.trusted()[-1] == (20, 20)
    assert counted(got, "contradictions") == [1]
    denied = [(price, 10) for price in range(990, 970, -1)]
    other = run(
        [delta(101, [bid(975, 4)]), delta(102, up), delta(103, [])],
        [SEED, vendor_row(102, denied, ASKS)],
    )
    assert other.findings()[1][0] == "GHOST_LEVELS", "of another size"
    listed = run(
        [delta(101, [bid(975, 10)]), delta(102, up), delta(103, [])],
        [SEED, vendor_row(102, bids, ASKS)],
    )
    assert listed.findings() == [SEEDED]


def test_stranded_levels_that_policy_does_not_correct() -> None:
    bids = [(price, 10) for price in range(990, 970, -1)]
    denied = [level for level in bids if level[0] != 975] + [(970, 10)]
    up = [bid(price, 0) for price in range(1000, 990, -1)]
    book = [delta(101, [bid(975, 4)]), delta(102, up)]
    policy = Policy(chainless=True, correct="never")
    got = run(book, [SEED, vendor_row(102, denied, ASKS, at=MS)], policy=policy)
    assert kinds(got) == "sddm"
    assert got.findings() == [SEEDED, ("DRIFT", 39, 51, 1)]


@pytest.mark.parametrize("seq", [101, 103])
def test_stranded_levels_while_no_deltas_come_that_could_keep_a_corrected_book(seq: int) -> None:
    first = BIDS[:3]
    rows = [vendor_row(101, first, ASKS, at=n * SECOND) for n in range(1, 7)]
    rows.append(vendor_row(seq, [*first, (970, 10)], ASKS, at=7 * SECOND))
    got = run([delta(101, [bid(975, 4)])], [vendor_row(100, first, ASKS), *rows])
    assert kinds(got) == "sdm"
    assert got.findings()[1:] == [("DRIFT", 23, 24, 1)]
    assert counted(got, "contradictions") == [1]


def test_a_row_that_leads_and_denies_stranded_levels_vouches_for_nothing() -> None:
    """A later doubt reaches back behind it, to the seed."""
    first = BIDS[:3]
    book = [delta(101, [bid(975, 4)]), delta(105, [], at=2 * MS), delta(106, [], at=4 * MS)]
    rows = [
        vendor_row(103, [*first, (970, 10)], ASKS, at=MS),
        vendor_row(105, changed(first, (1000, 8)), ASKS, at=3 * MS),
    ]
    got = run(book, [vendor_row(100, first, ASKS), *rows])
    assert ("DRIFT", 22) in [finding[:2] for finding in got.findings()]


@pytest.mark.parametrize("seq", [101, 103])
def test_a_row_that_differs_while_no_deltas_come_waits_for_none(seq: int) -> None:
    rows = [vendor_row(101, BIDS, ASKS, at=n * SECOND) for n in range(1, 7)]
    rows.append(vendor_row(seq, changed(BIDS, (1000, 7)), ASKS, at=7 * SECOND))
    got = run([delta(101, [bid(500, 4)])], [SEED, *rows])
    assert kinds(got) == "sdm"
    assert got.findings() == [SEEDED, ("DRIFT", 40, 41, 1)]


# silence -----------------------------------------------------------------------------------------


def quiet(
    *more: Message, vendor_rows: Sequence[Message] = (), trades: Sequence[Message] = ()
) -> Replayed:
    """A seed and a message at once, and what comes later."""
    return run([delta(101, [bid(990, 10)]), *more], [SEED, *vendor_rows], trades)


def test_silence_is_seen_by_what_comes_next() -> None:
    at = 6 * SECOND
    for got in (
        quiet(delta(102, [], at=at)),
        quiet(vendor_rows=[vendor_row(101, BIDS, ASKS, at=at)]),
        quiet(trades=[trade(1, BID, 1001, at=at)]),
    ):
        mark = got.events.slice(41, 42)
        assert (mark.kind[0], mark.ts_order[0]) == (Kind.MARK, START + at)
        assert mark.flags[0] == Flag.SILENCE | Flag.DOUBTFUL | Flag.LAST
        assert (mark.sequence[0], mark.prev_sequence[0], mark.ts_event[0]) == (101, -1, 0)
        assert got.findings()[1][:2] == ("SILENCE", 39)
        assert got.levels.bid_trust == UNTRUSTED


def test_no_silence_within_the_cadence_or_while_rows_agree() -> None:
    assert quiet(delta(102, [], at=5 * SECOND)).findings() == [SEEDED]
    rows = [vendor_row(101, BIDS, ASKS, at=n * 3 * SECOND) for n in range(1, 5)]
    assert quiet(delta(102, [], at=15 * SECOND), vendor_rows=rows).findings() == [SEEDED]
    slow = [delta(101 + n, [], at=n * 4 * SECOND) for n in range(1, 4)]
    got = quiet(*slow, delta(105, [], at=180 * SECOND))
    assert got.findings() == [SEEDED], "50 times four seconds"


def test_silence_at_the_end_of_the_day() -> None:
    got = run([delta(101, [])], [SEED])
    replayer = Replayer(make_instrument(), policy=LAKE)
    replayer.begin_day(START)
    replayer.process(got.events, 0)
    assert len(replayer.end_day(40, START + 5 * SECOND).findings) == 0
    (found,) = replayer.end_day(40, START + 6 * SECOND).findings.tolist()
    assert found[:4] == (16, 39, 40, START)


def test_after_a_silence_a_row_anchors_once_deltas_flow() -> None:
    at = 8 * SECOND
    got = quiet(
        delta(150, [bid(999, 1)], at=at),
        delta(151, [], at=at + MS),
        vendor_rows=[
            vendor_row(140, BIDS, ASKS, at=7 * SECOND),
            vendor_row(150, changed(BIDS, (999, 1)), ASKS, at=at),
        ],
    )
    assert kinds(got) == "sdmdsm"
    assert got.findings() == [SEEDED, ("SILENCE", 39, 81, 1)]
    assert got.flags()[43] & Flag.RESYNC
    assert got.trusted()[-1] == (20, 20)
    assert counted(got, "longest_silence") == [at]


# ids ---------------------------------------------------------------------------------------------


def test_ids_that_go_back_and_messages_that_come_again() -> None:
    book = [
        delta(101, [bid(990, 10)]),
        delta(110, []),
        delta(105, [bid(990, 3)]),
        delta(110, []),
    ]
    got = run([*book, delta(111, [])], [SEED, vendor_row(111, BIDS, ASKS)])
    assert kinds(got) == "sdmmmms"
    assert got.findings() == [SEEDED, ("SEQUENCE_RESET", 39, 83, 1), ("DUPLICATE", 43, 43, 1)]
    ids = {row[0]: tuple(row[6:]) for row in got.found.tolist()}
    assert ids[7] == (110, 110)
    assert ids[15] == (110, 105)


# trades ------------------------------------------------------------------------------------------


def test_a_minute_whose_trades_print_far_from_the_touch_is_frozen() -> None:
    far = [trade(n, BID, 1100, at=n * SECOND) for n in range(1, 5)]
    book = [delta(101 + n, [], at=n * SECOND) for n in range(5)]
    got = run([*book, delta(110, [], at=MINUTE)], [SEED], far)
    assert ("STALE_BOOK", 0, 48, 4) in got.findings()
    assert counted(got, "prints", "far_prints") == [4, 4]
    near = [trade(n, BID, 1002, at=n * SECOND) for n in range(1, 5)]
    assert counted(run(book, [SEED], near), "prints", "far_prints") == [4, 0]


def test_far_is_thirty_basis_points_of_any_price() -> None:
    """Also where a price is a few thousand counts: of 5,000 those are 15."""
    bids, asks = [(5000 - n, 1) for n in range(20)], [(5001 + n, 1) for n in range(20)]
    book = [delta(101 + n, [], at=n * SECOND) for n in range(3)]
    trades = [trade(n, BID, price, at=n * SECOND) for n, price in ((1, 5017), (2, 5018))]
    got = run(book, [vendor_row(100, bids, asks)], trades)
    assert counted(got, "prints", "far_prints") == [2, 1]


# carried books -----------------------------------------------------------------------------------


def carried(
    *, ask_trust: int = RANGE, ts: int = START - MS, stale: int = 1, bids_to: int = 981
) -> tuple[Replayer, BookImage]:
    (bids, bid_sizes), (asks, ask_sizes) = (np.array(levels, np.int64).T for levels in (BIDS, ASKS))
    sides = bids, bid_sizes, asks, ask_sizes
    book = BookImage(100, *sides, RANGE, bids_to, ask_trust, 1020, stale, 0)
    replayer = Replayer(make_instrument(), policy=LAKE)
    replayer.carry(book, ts)
    return replayer, book


DAY = LakeStreams([delta(101, [bid(1000, 7), bid(980, 1)])])


def test_a_carried_book_is_trusted_as_it_was() -> None:
    replayer, book = carried()
    assert replayer.levels().bid_prices.tolist() == book.bid_prices.tolist()
    got = run_lake(DAY, replayer=replayer)
    assert got.trusted() == [(20, 20)]
    assert got.findings() == []
    assert got.flags() == [Flag(0), Flag.LAST]


def test_levels_beyond_the_range_of_a_carried_book() -> None:
    """They prove nothing where they may be from before a loss."""
    for stale, trusted_to in ((1, 981), (0, 980)):
        replayer, _ = carried(stale=stale)
        levels = replayer.levels()
        assert (levels.bid_stale, levels.ask_stale) == (stale, 0)
        assert run_lake(DAY, replayer=replayer).levels.bid_trusted_to == trusted_to


def test_a_carried_book_that_was_whole_stays_so_and_rows_judge_it() -> None:
    replayer, _ = carried(ask_trust=EVERYTHING)
    assert run_lake(DAY, replayer=replayer).levels.ask_trust == EVERYTHING
    replayer, _ = carried()
    got = run_lake(LakeStreams(DAY.book, [vendor_row(101, BIDS, ASKS)]), replayer=replayer)
    assert got.findings() == [("DRIFT", 0, 40, 1), ("DRIFT", 2, 41, 1)]


def test_a_row_that_agrees_extends_no_side_that_is_whole() -> None:
    replayer, _ = carried(ask_trust=EVERYTHING)
    day = LakeStreams(
        [delta(101, [bid(1000, 7)])], [vendor_row(101, changed(BIDS, (1000, 7)), ASKS)]
    )
    assert kinds(run_lake(day, replayer=replayer)) == "d"


@pytest.mark.parametrize(("stale", "found"), [(1, []), (0, ["GHOST_LEVELS"])])
def test_levels_from_before_a_loss_that_a_row_denies(stale: int, found: list[str]) -> None:
    """They prove nothing, so that there is nothing to deny: the row extends the range."""
    gone = [(1000, 0), (989, 0)]  # behind the second one the range does not grow by itself
    bids = [*changed(BIDS, *gone, (985, 0)), (980, 4)]
    book = [delta(101, [bid(*level) for level in gone])]
    day = LakeStreams(book, [vendor_row(101, bids, ASKS)])
    replayer, _ = carried(stale=stale, bids_to=990)
    got = run_lake(day, replayer=replayer)
    assert [name for name, *_ in got.findings()] == found
    assert kinds(got) == "ds"
    assert got.levels.bid_trusted_to == 980


def test_a_carried_book_without_trust_waits_for_a_row() -> None:
    replayer, _ = carried(ask_trust=UNTRUSTED)
    assert run_lake(DAY, replayer=replayer).findings() == [("UNSEEDED", 0, 1, 1)]
    replayer, _ = carried(ask_trust=UNTRUSTED)
    got = run_lake(LakeStreams(DAY.book, [vendor_row(100, BIDS, ASKS)]), replayer=replayer)
    assert got.findings() == [SEEDED]
    assert (got.levels.bid_trusted_to, got.trusted()[-1]) == (981, (20, 20))


def test_a_day_that_begins_long_after_the_carried_book_is_silent_before() -> None:
    replayer, _ = carried(ts=START - 6 * SECOND)
    got = run_lake(DAY, replayer=replayer)
    assert got.findings() == [("SILENCE", 0, 2, 1)]
    assert got.trusted() == [(0, 0)]
