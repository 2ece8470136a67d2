"""Snapshots held against the rebuilt book: what contradicts it, what is excused."""

from __future__ import annotations

import pytest

from lobproof.replay import Replayer
from lobproof.schema import Flag
from support.feeds import (
    ASK,
    BID,
    MINUTE,
    MS,
    START,
    book_of,
    depth,
    make_instrument,
    ordered,
    replay,
    snapshot,
)
from support.stream_reference import Message

pytestmark = pytest.mark.kernels

BIDS, ASKS = book_of(5)
SEED = snapshot(100, BIDS, ASKS)
"""Event ids 0 (CLEAR) to 10."""
SAME = [(BID, 1000, 10)]
BEGUN = [SEED, depth(101, 100, SAME)]
"""Up to event 11."""
DRIFT = int(Flag.DRIFT)


def listed(changed: dict[int, int], seq: int) -> Message:
    bids = [(price, changed.get(price, size)) for price, size in BIDS]
    asks = [(price, changed.get(price, size)) for price, size in ASKS]
    return snapshot(
        seq, [level for level in bids if level[1]], [level for level in asks if level[1]]
    )


def test_a_snapshot_that_contradicts_the_book() -> None:
    ghost_missing_size = {999: 0, 1002: 12}
    got = replay([SEED, depth(101, 100, SAME), listed(ghost_missing_size, 101), depth(102, 101)])
    assert got.findings()[1:] == [("DRIFT", 10, 19, 2)]
    assert [bool(flag & DRIFT) for flag in got.events.flags] == [False] * 12 + [True] * 9 + [False]
    minutes = got.minutes
    assert minutes["drift_compared"].tolist() == [10]
    assert minutes["drift_equal"].tolist() == [8]
    assert minutes["drift_ghosts"].tolist() == [1]
    assert minutes["drift_missing"].tolist() == [0]
    # ranks: the bids below the ghost are each one tick off
    assert minutes["price_rmse_ticks"][0] == pytest.approx((3 / 9) ** 0.5)
    assert minutes["size_rmse_rel"][0] == pytest.approx((((10 - 12) / 12) ** 2 / 9) ** 0.5)
    assert got.trusted()[-2:] == [(4, 5)] * 2
    assert (got.states.levels[-1, :4] == [1000, 10, 998, 10]).all()


def test_a_missing_level() -> None:
    got = replay([SEED, depth(101, 100, [(BID, 999, 0)]), listed({}, 101)])
    assert got.minutes["drift_missing"].tolist() == [1]
    assert got.findings()[1:] == [("DRIFT", 10, 20, 1)]


def test_after_a_contradiction_the_levels_beyond_prove_nothing() -> None:
    one_bid = listed({1000: 4}, 101)[:1] + listed({}, 101)[5:]
    got = replay([*BEGUN, one_bid, depth(102, 101)])
    # 999, right behind what the snapshot lists, is a level of a book that was wrong
    assert got.trusted()[-2:] == [(1, 5)] * 2
    assert got.states.levels[-1, 2] == 999


def test_a_snapshot_is_compared_where_both_know() -> None:
    """Levels beyond the trusted range, or beyond the list, are no contradiction."""
    deep_bids, deep_asks = book_of(8, size=3)
    got = replay(
        [SEED, depth(101, 100, [(BID, 980, 2)]), snapshot(101, BIDS + deep_bids[5:], deep_asks[:0])]
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
    assert got.levels.bid_prices.tolist() == [1000, 801]


def test_a_whole_snapshot_shows_ghosts_beyond_its_last_level() -> None:
    seed = snapshot(100, BIDS, ASKS, whole=True)
    got = replay([seed, depth(101, 100), snapshot(101, BIDS[:3], ASKS, whole=True)])
    assert got.minutes["drift_ghosts"].tolist() == [2]
    assert got.findings()[1:] == [("DRIFT", 10, 18, 2)]
    assert got.levels.bid_prices.tolist() == [1000, 999, 998]


def test_levels_that_the_message_around_a_snapshot_names_are_excused() -> None:
    named = depth(105, 101, [(BID, 1000, 6), (ASK, 1001, 0)])
    got = replay([*BEGUN, listed({1000: 4, 1001: 0}, 103), named])
    assert got.findings() == [("UNSEEDED", 0, 9, 1)]
    assert not any(flag & DRIFT for flag in got.events.flags)


def test_a_contradiction_that_the_message_around_it_does_not_name() -> None:
    got = replay(
        [*BEGUN, listed({1000: 4, 997: 6}, 103), depth(105, 101, [(BID, 1000, 6)]), depth(106, 105)]
    )
    assert got.findings()[1:] == [("DRIFT", 10, 20, 1)]
    assert [bool(flag & DRIFT) for flag in got.events.flags[-3:]] == [False, True, False]


def test_an_empty_message_names_nothing() -> None:
    got = replay([*BEGUN, listed({1000: 4}, 103), depth(105, 101)])
    assert got.findings()[1:] == [("DRIFT", 10, 20, 1)]


def test_of_two_snapshots_inside_a_message_the_first_is_not_forgotten() -> None:
    got = replay([*BEGUN, listed({997: 6}, 102), listed({997: 6}, 103), depth(105, 101, SAME)])
    assert got.findings()[1:] == [("DRIFT", 10, 30, 1)]
    got = replay([*BEGUN, listed({997: 6}, 102), listed({997: 7}, 103), depth(105, 101, SAME)])
    assert got.findings()[1:] == [("DRIFT", 10, 30, 1)]


def test_a_snapshot_that_agrees_is_where_a_later_doubt_begins() -> None:
    crossing = depth(106, 105, [(BID, 1002, 5)], at=MS)
    for book in (
        [*BEGUN, listed({1000: 4}, 103), depth(105, 101, [(BID, 1000, 4)]), crossing],  # excused
        [*BEGUN, listed({997: 4}, 103), depth(105, 101, SAME), crossing],  # contradicted
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
    assert got.findings()[1:] == [("DRIFT", 10, 20, 20)]
    assert got.minutes["price_rmse_ticks"].tolist() == [far]


def test_more_contradictions_than_are_remembered() -> None:
    """Beyond the table's end only their number is kept, and it is a contradiction."""
    count = 17_000
    bids = [(100_000 - i, 1) for i in range(count)]
    seed = snapshot(100, bids, [(100_001, 1)])
    other = snapshot(103, [(price, 2) for price, _ in bids], [(100_001, 1)])
    named = [(BID, 100_000, 2)]
    got = replay([seed, depth(101, 100), other, depth(105, 101, named), depth(106, 105)])
    assert got.findings()[1:] == [("DRIFT", count + 1, 2 * count + 2, count - 1)]


def test_a_contradiction_over_midnight_stays_within_its_day() -> None:
    (events,) = ordered([*BEGUN, listed({1000: 4}, 103), depth(105, 101, at=MINUTE)])
    replay_ = Replayer(make_instrument())
    replay_.begin_day(START)
    replay_.process(events.slice(0, len(events) - 1), 0)
    replay_.end_day(len(events) - 2, START)
    replay_.begin_day(START + MINUTE)
    (episode,) = replay_.process(events.slice(len(events) - 1, len(events)), 0).episodes.tolist()
    assert episode[:6] == [5, 0, 0, START + MINUTE, START + MINUTE, 1]
