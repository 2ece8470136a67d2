"""Snapshots held against the rebuilt book: what contradicts it, what is excused."""

from __future__ import annotations

import numpy as np
import pytest

from lobproof.replay import Replayer
from lobproof.schema import RANGE, UNTRUSTED, Finding, Flag
from plain.messages import (
    BID,
    MINUTE,
    MS,
    START,
    Message,
    ask,
    bid,
    book_of,
    depth,
    snapshot,
    trade,
)
from support.replays import Replayed, make_instrument, ordered, replay

pytestmark = pytest.mark.kernels

BIDS, ASKS = book_of(5)
SEED = snapshot(100, BIDS, ASKS)
"""Event ids 0 (CLEAR) to 10."""
SAME = [bid(1000, 10)]
BEGUN = [SEED, depth(101, 100, SAME)]
"""Up to event 11."""
DRIFT, REFUTED, AWAITS = int(Flag.DRIFT), int(Flag.REFUTED), int(Flag.AWAITS)
CHANGED = [SEED, depth(101, 100, [bid(1000, 10), ask(1003, 7), bid(996, 2)])]
"""A chain that has set two levels since the seed, up to event 13."""


def flagged(got: Replayed, flag: int) -> list[int]:
    return np.flatnonzero(got.events.flags & flag).tolist()


def listed(changed: dict[int, int], seq: int) -> Message:
    bids = [(price, changed.get(price, size)) for price, size in BIDS]
    asks = [(price, changed.get(price, size)) for price, size in ASKS]
    return snapshot(
        seq, [level for level in bids if level[1]], [level for level in asks if level[1]]
    )


def test_one_snapshot_against_another_is_doubt_until_a_third() -> None:
    """What differs is as the seed listed it: the chain says nothing of it."""
    ghost_missing_size = {999: 0, 1002: 12}
    again = listed(ghost_missing_size, 102)
    got = replay([*BEGUN, listed(ghost_missing_size, 101), depth(102, 101), again, depth(103, 102)])
    # from the seed to the third one, which agrees with the second
    assert got.findings()[1:] == [("DRIFT", 10, 29, 2)]
    assert flagged(got, DRIFT) == flagged(got, REFUTED) == list(range(12, 21))
    minutes = got.minutes
    assert minutes["drift_compared"].tolist() == [10]
    assert minutes["drift_equal"].tolist() == [8]
    assert minutes["drift_ghosts"].tolist() == [1]
    assert minutes["drift_missing"].tolist() == [0]
    assert minutes["contradictions"].tolist() == [1]
    # ranks: the bids below the ghost are each one tick off
    assert minutes["price_rmse_ticks"][0] == pytest.approx((3 / 9) ** 0.5)
    assert minutes["size_rmse_rel"][0] == pytest.approx((((10 - 12) / 12) ** 2 / 9) ** 0.5)
    assert got.trusted() == [(5, 5), (5, 5), (0, 0), (0, 0), (4, 5), (4, 5)]
    # the second one was not applied, the third was
    assert (got.states.levels[3, :4] == [1000, 10, 999, 10]).all()
    assert (got.states.levels[-1, :4] == [1000, 10, 998, 10]).all()


def test_an_anchor_that_no_depth_message_follows_is_not_proven() -> None:
    """Its id may be of another numbering, or of another symbol: nothing has fitted it."""
    alone = replay([SEED])
    assert alone.findings()[1:] == [("ANCHOR_UNPROVEN", 10, 10, 1)]
    lost = [*BEGUN, depth(105, 103)]
    behind = replay([*lost, listed({}, 106)])
    last = len(behind.events) - 1
    assert ("ANCHOR_UNPROVEN", last, last, 1) in behind.findings()
    for proven in ([*BEGUN], [*lost, listed({}, 106), depth(107, 106)]):
        assert "ANCHOR_UNPROVEN" not in [finding[0] for finding in replay(proven).findings()]
    # a second one that agrees is of the same numbering
    assert ("ANCHOR_UNPROVEN", 10, 21, 1) in replay([SEED, listed({}, 103)]).findings()
    # and one of the last message's own id is of this one
    known = [depth(104, 103), listed({}, 104)]
    assert "ANCHOR_UNPROVEN" not in [found[0] for found in replay(known).findings()]


def test_a_whole_chain_is_believed_rather_than_one_snapshot() -> None:
    """The level is as a depth message set it: the snapshot is not of that id."""
    stale = listed({}, 101)
    got = replay([*CHANGED, stale, depth(102, 101), depth(103, 102)])
    assert got.findings()[1:] == [("REFUTED", 23, 23, 2)]
    assert flagged(got, REFUTED) == list(range(14, 24))
    assert not flagged(got, DRIFT)
    # trusted to 996, held right behind the range; bid 996 and ask 1003 are as the chain has them
    assert got.trusted()[-2:] == [(5, 5)] * 2
    assert got.states.levels[-1].reshape(2, 20, 2)[0, 4].tolist() == [996, 2]
    assert got.states.levels[-1].reshape(2, 20, 2)[1, 2].tolist() == [1003, 7]
    assert got.minutes["contradictions"].tolist() == [1]


@pytest.mark.parametrize("limit", [1, 3])
def test_a_short_snapshot_that_errs_wins_nothing(limit: int) -> None:
    short = snapshot(101, [(1000, 4), *BIDS[1:limit]], ASKS[:limit])
    got = replay([SEED, depth(101, 100, [bid(1000, 6)]), short, depth(102, 101)])
    assert [finding[0] for finding in got.findings()] == ["UNSEEDED", "REFUTED"]
    assert got.trusted()[-1] == (5, 5)
    assert got.states.levels[-1, :2].tolist() == [1000, 6]


def test_a_second_snapshot_that_says_the_same_is_believed() -> None:
    """A depth message must have lacked what two snapshots know."""
    truth = {1003: 9, 996: 2}
    got = replay([*CHANGED, listed(truth, 101), depth(102, 101), listed(truth, 102)])
    assert [finding[0] for finding in got.findings()[1:]] == ["DRIFT", "REFUTED"]
    assert got.findings()[1][1] == 10  # from the seed on
    assert got.trusted()[-1] == (5, 5)
    assert got.states.levels[-1].reshape(2, 20, 2)[1, 2].tolist() == [1003, 9]


def test_two_snapshots_of_another_book_do_not_outvote_the_chain() -> None:
    """They say the same, and share hardly a level with the book."""
    others = [
        snapshot(
            seq, [(price, 3) for price, _ in BIDS], [*ASKS[:2], *((p, 3) for p, _ in ASKS[3:])]
        )
        for seq in (102, 103)
    ]
    got = replay([*CHANGED, depth(102, 101), others[0], depth(103, 102), others[1]])
    assert [finding[0] for finding in got.findings()[1:]] == ["REFUTED", "REFUTED"]
    assert got.trusted()[-1] == (5, 5)


def test_a_second_snapshot_that_says_something_else_is_refuted_too() -> None:
    for second in ({1003: 8, 996: 2}, {1003: 9, 996: 2, 1000: 3}):
        set_since = depth(102, 101, [bid(1000, 6)])
        got = replay([*CHANGED, listed({1003: 9, 996: 2}, 101), set_since, listed(second, 102)])
        assert [finding[0] for finding in got.findings()[1:]] == ["REFUTED", "REFUTED"]
        assert got.trusted()[-1] == (5, 5)


def test_where_two_snapshots_agreed_a_third_cannot_overrule() -> None:
    got = replay([*BEGUN, listed({}, 101), depth(102, 101), listed({999: 3}, 102)])
    assert [finding[0] for finding in got.findings()[1:]] == ["REFUTED"]
    beyond = [*BIDS, (990, 1)]  # only the second lists it, and the third denies it
    wide, wider = snapshot(101, beyond, ASKS), snapshot(102, [*BIDS, (989, 1)], ASKS)
    got = replay([*BEGUN, wide, depth(102, 101), wider])
    assert [finding[0] for finding in got.findings()[1:]] == ["DRIFT"]


def test_what_the_chain_told_beyond_the_range_is_evidence_too() -> None:
    told = depth(101, 100, [bid(990, 4), bid(988, 2)])
    right = snapshot(101, [*BIDS, (990, 4), (989, 7)], ASKS)
    got = replay([SEED, told, right])
    assert [finding[0] for finding in got.findings()] == ["UNSEEDED"]
    for wrong in ([(990, 5)], [(989, 7), (987, 1)], [(991, 3), (985, 1)]):
        got = replay([SEED, told, snapshot(101, [*BIDS, *wrong], ASKS)])
        assert [finding[0] for finding in got.findings()] == ["UNSEEDED", "REFUTED"]
        assert got.levels.bid_trusted_to == 996
        assert 987 not in got.levels.bid_prices


def test_a_missing_level() -> None:
    got = replay([SEED, depth(101, 100, [bid(999, 0)]), listed({}, 101)])
    assert got.minutes["drift_missing"].tolist() == [1]
    assert got.findings()[1:] == [("REFUTED", 21, 21, 1)]


def test_beyond_what_a_believed_snapshot_lists_nothing_is_proved() -> None:
    one_bid = [listed({1000: 4}, seq)[:1] + listed({}, seq)[5:] for seq in (102, 103)]
    begun = [SEED, depth(101, 100, [bid(1000, 7)]), depth(102, 101)]
    got = replay([*begun, one_bid[0], depth(103, 102), one_bid[1], depth(104, 103)])
    # 999, right behind what the snapshot lists, is a level of a book that was wrong
    assert got.trusted()[-2:] == [(1, 5)] * 2
    assert got.states.levels[-1, 2] == 999


def test_a_snapshot_is_compared_where_both_know() -> None:
    """Levels beyond the trusted range, or beyond the list, are no contradiction."""
    deep_bids, deep_asks = book_of(8, size=3)
    got = replay(
        [SEED, depth(101, 100, [bid(980, 2)]), snapshot(101, BIDS + deep_bids[5:], deep_asks[:0])]
    )
    assert got.minutes["drift_compared"].tolist() == [5]
    assert got.findings() == [("UNSEEDED", 0, 9, 1)]
    assert got.levels.bid_trusted_to == 993


def test_many_ghosts_between_two_levels() -> None:
    bids, asks = book_of(200)
    ends = [[side[0], side[-1]] for side in (bids, asks)]
    got = replay([snapshot(100, bids, asks), depth(101, 100), snapshot(101, *ends)])
    assert got.minutes["drift_ghosts"].tolist() == [2 * 198]
    assert got.minutes["drift_compared"].tolist() == [2 * 200]
    assert len(got.levels.bid_prices) == 200


def test_a_whole_snapshot_shows_ghosts_beyond_its_last_level() -> None:
    seed = snapshot(100, BIDS, ASKS, whole=True)
    got = replay([seed, depth(101, 100), snapshot(101, BIDS[:3], ASKS, whole=True)])
    assert got.minutes["drift_ghosts"].tolist() == [2]
    assert got.findings()[1:] == [("DRIFT", 10, 19, 2)]


def test_levels_that_the_message_around_a_snapshot_names_are_excused() -> None:
    named = depth(105, 101, [bid(1000, 6), ask(1001, 0)])
    got = replay([*BEGUN, listed({1000: 4, 1001: 0}, 103), named])
    assert got.findings() == [("UNSEEDED", 0, 9, 1)]
    assert not any(flag & DRIFT for flag in got.events.flags)


def test_a_contradiction_that_the_message_around_it_does_not_name() -> None:
    got = replay(
        [*BEGUN, listed({1000: 4, 997: 6}, 103), depth(105, 101, [bid(1000, 6)]), depth(106, 105)]
    )
    assert got.findings()[1:] == [("DRIFT", 10, 23, 1)]
    assert flagged(got, AWAITS) == list(range(12, 22))
    assert flagged(got, DRIFT) == flagged(got, REFUTED) == [22]


def test_an_empty_message_names_nothing() -> None:
    got = replay([*BEGUN, listed({1000: 4}, 103), depth(105, 101)])
    assert got.findings()[1:] == [("DRIFT", 10, 22, 1)]


@pytest.mark.parametrize(("shared", "believed"), [(5, True), (4, False)])
def test_two_snapshots_that_say_the_same_share_as_much_as_they_deny(
    shared: int, believed: bool
) -> None:
    """The chain has set five bids; both snapshots deny them, and list asks as it has them."""
    chain = [SEED, depth(101, 100, [bid(price, 7) for price, _ in BIDS])]
    others = [snapshot(seq, [(price, 3) for price, _ in BIDS], ASKS[:shared]) for seq in (102, 103)]
    got = replay([*chain, depth(102, 101), others[0], depth(103, 102), others[1], depth(104, 103)])
    codes = [finding[0] for finding in got.findings()[1:]]
    assert sorted(codes) == (["DRIFT", "REFUTED"] if believed else ["REFUTED", "REFUTED"])
    assert got.states.levels[-1, :2].tolist() == [1000, 3 if believed else 7]


def test_a_message_that_refutes_the_snapshot_before_it_is_applied_to_the_book_as_it_was() -> None:
    """What the message names is as it says, all else as the chain had it; all between in doubt."""
    wrong = listed({1003: 9, 997: 0}, 103)
    message = depth(105, 101, [bid(997, 3), ask(1001, 0)])
    printed = trade(1, BID, 1001)
    got = replay([*CHANGED, wrong, message, depth(106, 105)], [printed])
    assert flagged(got, REFUTED) == [23, 24]
    assert flagged(got, AWAITS) == list(range(14, 23))
    assert got.findings()[1:] == [("REFUTED", 22, 22, 2)]
    levels = got.states.levels[-1].reshape(2, 20, 2)
    assert levels[0, 3:5].tolist() == [[997, 3], [996, 2]]
    assert levels[1, :2].tolist() == [[1002, 10], [1003, 7]]
    assert got.trusted()[-1] == (5, 4)


def test_a_snapshot_that_nothing_judges_is_in_doubt() -> None:
    got = replay([*CHANGED, listed({1003: 9, 996: 2}, 103)])
    assert got.findings()[1:] == [("REFUTED", 23, 23, 1)]


def test_an_anchor_that_shares_no_level_with_what_follows_is_doubted() -> None:
    other = [bid(10_000 - 10 * i - 5, 1) for i in range(300)]

    def wide_at(seq: int) -> Message:
        bids = [(10_000 - 10 * i, 1) for i in range(350)]
        return snapshot(seq, bids, [(10_001 + i, 1) for i in range(5)])

    wide = wide_at(100)
    for count, doubt in ((15, []), (16, ["DRIFT"]), (255, ["DRIFT"]), (256, ["DRIFT"])):
        got = replay([wide, depth(101, 100, other[:count]), depth(102, 101)])
        assert [finding[0] for finding in got.findings()[1:]] == doubt
        assert all(finding[1] == 355 for finding in got.findings()[1:])
        assert (got.trusted()[-1] == (0, 0)) == (count == 256)
    # message by message, too
    several = [depth(101 + n, 100 + n, [one]) for n, one in enumerate(other)]
    for count, doubt in ((15, []), (16, ["DRIFT"]), (256, ["DRIFT"])):
        got = replay([wide, *several[:count]])
        assert [finding[0] for finding in got.findings()[1:]] == doubt
        assert (got.trusted()[-1] == (0, 0)) == (count == 256)
    held = bid(9990, 2)
    got = replay([wide, depth(101, 100, [*other[:255], held, *other[255:]]), depth(102, 101)])
    assert [finding[0] for finding in got.findings()] == ["UNSEEDED"]
    worst = bid(10_000 - 10 * 349, 2)
    got = replay([wide, depth(101, 100, [worst, *other]), depth(102, 101)])
    assert [finding[0] for finding in got.findings()] == ["UNSEEDED"]
    # a snapshot that agrees vouches for it too
    agrees = replay([wide, depth(101, 100), wide_at(101), depth(102, 101, other)])
    assert [finding[0] for finding in agrees.findings()] == ["UNSEEDED"]
    far = [bid(4000 - i, 1) for i in range(300)]  # beyond what the anchor lists
    got = replay([wide, depth(101, 100, far), depth(102, 101)])
    assert [finding[0] for finding in got.findings()] == ["UNSEEDED"]


def test_of_two_snapshots_inside_a_message_the_first_is_not_forgotten() -> None:
    got = replay([*BEGUN, listed({997: 6}, 102), listed({997: 6}, 103), depth(105, 101, SAME)])
    assert got.findings()[1:] == [("DRIFT", 10, 32, 1)]
    got = replay([*BEGUN, listed({997: 6}, 102), listed({}, 103), depth(105, 101, SAME)])
    assert got.findings()[1:] == [("DRIFT", 10, 32, 1)]


def test_a_snapshot_that_agrees_is_where_a_later_doubt_begins() -> None:
    crossing = depth(106, 105, [bid(1002, 5)], at=MS)
    for book in (
        [*BEGUN, listed({1000: 4}, 103), depth(105, 101, [bid(1000, 4)]), crossing],  # excused
        [*BEGUN, listed({}, 101), depth(105, 101), crossing],
    ):
        name, first, *_ = replay(book).findings()[-1]
        assert (name, first) == ("CROSSED", 21)


def test_a_snapshot_of_something_else_altogether() -> None:
    """Squared distances beyond int64 do not overflow."""
    far = 10**15
    bids, asks = ([(price + far, 1) for price, _ in side] for side in (BIDS, ASKS))
    seed = snapshot(100, BIDS, ASKS, whole=True)
    other = snapshot(101, bids, asks, whole=True)
    got = replay([seed, depth(101, 100), other, depth(102, 101)])
    assert got.findings()[1:] == [("DRIFT", 10, 22, 20)]
    assert got.minutes["price_rmse_ticks"].tolist() == [far]


def test_what_a_snapshot_lists_matters_until_the_message_that_it_lies_in() -> None:
    ahead = replay([*BEGUN, listed({}, 103)])
    assert (ahead.levels.bid_listed, ahead.levels.bid_listed_to) == (RANGE, 996)
    assert (ahead.levels.ask_listed, ahead.levels.ask_listed_to) == (RANGE, 1005)
    for book in (BEGUN, [*BEGUN, listed({}, 101)], [*BEGUN, listed({}, 103), depth(104, 101)]):
        got = replay(book)
        assert (got.levels.bid_listed, got.levels.bid_listed_to) == (UNTRUSTED, 0)
        assert (got.levels.ask_listed, got.levels.ask_listed_to) == (UNTRUSTED, 0)


def test_more_contradictions_than_are_remembered() -> None:
    """Beyond the table's end only their number is kept, and it is a contradiction."""
    count = 17_000
    bids = [(100_000 - i, 1) for i in range(count)]
    seed = snapshot(100, bids, [(100_001, 1)])
    other = snapshot(103, [(price, 2) for price, _ in bids], [(100_001, 1)])
    named = [bid(100_000, 2)]
    got = replay([seed, depth(101, 100), other, depth(105, 101, named), depth(106, 105)])
    assert got.findings()[1:] == [("DRIFT", count + 1, 2 * count + 5, count - 1)]


def test_a_contradiction_over_midnight_stays_within_its_day() -> None:
    (events,) = ordered([*BEGUN, listed({1000: 4}, 103), depth(105, 101, at=MINUTE)])
    replay_ = Replayer(make_instrument())
    replay_.begin_day(START)
    replay_.process(events.slice(0, len(events) - 1), 0)
    (waits,) = replay_.end_day(len(events) - 2, START).findings.tolist()
    assert waits[:3] == (Finding.REFUTED, 21, 21)
    replay_.begin_day(START + MINUTE)
    replay_.process(events.slice(len(events) - 1, len(events)), 0)
    (found,) = replay_.end_day(0, START + MINUTE).findings.tolist()
    assert found[:6] == (5, 0, 0, START + MINUTE, START + MINUTE, 1)
