"""``Replayer``: trust, doubts, states and findings of feeds made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lobproof.errors import GridError
from lobproof.instruments import Rule
from lobproof.replay import Replayer, replayer
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Flag
from lobproof.schema.records import joined_rows
from plain.messages import (
    BID,
    LAST,
    MINUTE,
    MS,
    START,
    Change,
    Message,
    ask,
    bid,
    book_of,
    depth,
    mark,
    snapshot,
    trade,
)
from support.replays import make_instrument, ordered, replay

pytestmark = pytest.mark.kernels

BIDS, ASKS = book_of(5)
SEED = snapshot(100, BIDS, ASKS)
"""Event ids 0 (CLEAR) to 10."""
SAME = [bid(1000, 10)]
BEGUN = [SEED, depth(101, 100, SAME)]
"""Up to event 11."""
DOUBTFUL, CROSSED = int(Flag.DOUBTFUL), int(Flag.CROSSED)


def after(changes: list[Change], *more: Message) -> list[Message]:
    """The seed and one message."""
    return [SEED, depth(105, 100, changes, at=100 * MS), *more]


# trust -------------------------------------------------------------------------------------------


def test_before_the_first_snapshot_nothing_is_trusted() -> None:
    got = replay([depth(95, 90, SAME), depth(100, 95, [ask(1001, 4)]), SEED, depth(101, 100)])
    assert got.findings() == [("UNSEEDED", 0, 11, 1)]
    assert got.trusted() == [(0, 0), (0, 0), (5, 5), (5, 5)]
    assert [bool(flag & Flag.DOUBTFUL) for flag in got.flags()] == [True] * 2 + [False] * 12
    assert got.states.event_id.tolist() == [0, 1, 12, 13]
    assert got.states.levels[1, :4].tolist() == [1000, 10, 0, 0]


def test_a_range_and_everything() -> None:
    got = replay(after([bid(990, 7)]))
    assert got.trusted() == [(5, 5), (5, 5)]
    assert (got.levels.bid_trust, got.levels.bid_trusted_to) == (RANGE, 996)
    assert (got.levels.ask_trust, got.levels.ask_trusted_to) == (RANGE, 1005)

    whole = replay([snapshot(100, BIDS, ASKS, whole=True), depth(101, 100, [bid(990, 7)])])
    assert whole.trusted() == [(20, 20)] * 2
    assert (whole.levels.bid_trust, whole.levels.bid_trusted_to) == (EVERYTHING, 0)


def test_a_range_grows_by_the_level_right_behind_it_and_stops_at_a_hole() -> None:
    got = replay(after([bid(995, 7), bid(994, 7), bid(992, 7), ask(1007, 1)]))
    assert got.trusted()[-1] == (7, 5)
    assert got.levels.bid_trusted_to == 994


def test_no_growth_over_the_place_of_an_order_off_the_tick() -> None:
    """With a tick of 5, an order older than the rule may rest at 994, unseen."""
    got = replay(after([bid(991, 7)]), instrument=make_instrument(Rule(0, 5, 1)))
    assert got.levels.bid_trusted_to == 996


def test_a_range_grows_to_where_the_opposite_touch_has_been() -> None:
    falling = [bid(price, 0) for price, _ in BIDS] + [ask(990, 4), bid(989, 1), bid(980, 1)]
    got = replay(after(falling))
    # no bid rests at or above 990; the one right below is known, the next is beyond a hole
    assert got.trusted() == [(5, 5), (1, 6)]
    assert got.levels.bid_trusted_to == 989


def test_a_later_snapshot_widens_and_never_narrows() -> None:
    deep_bids, deep_asks = book_of(9)
    wide = replay([*BEGUN, snapshot(101, deep_bids, deep_asks)])
    assert wide.trusted() == [(5, 5), (5, 5), (9, 9)]
    assert wide.findings() == [("UNSEEDED", 0, 9, 1)]
    narrow = replay([*BEGUN, snapshot(101, BIDS[:2], ASKS[:2])])
    assert narrow.trusted() == [(5, 5)] * 3


def test_a_snapshot_inside_the_next_message_vouches_for_what_it_lists() -> None:
    """The rest is older than it, until that message comes."""
    got = replay(
        [*BEGUN, snapshot(103, [(1000, 8)], ASKS[:2]), depth(105, 101, [bid(1000, 8)], at=MS)]
    )
    assert got.trusted() == [(5, 5), (5, 5), (1, 2), (5, 5)]
    assert got.findings() == [("UNSEEDED", 0, 9, 1)]


def test_the_touch_leaves_the_range() -> None:
    gone = [bid(price, 0) for price, _ in BIDS]
    got = replay(after([*gone, bid(900, 1)], depth(106, 105, [bid(1000, 4)], at=MINUTE)))
    assert got.trusted() == [(5, 5), (0, 5), (1, 5)]
    assert got.findings() == [("UNSEEDED", 0, 9, 1), ("TOUCH_BEYOND_RANGE", 16, 16, 1)]
    assert got.events.flags[11:].tolist() == [DOUBTFUL] * 5 + [DOUBTFUL | LAST, LAST]
    assert got.minutes["doubtful_messages"].tolist() == [1, 0]


def test_a_side_that_a_snapshot_leaves_out_is_not_known() -> None:
    got = replay([snapshot(100, BIDS, [], whole=True), depth(101, 100, [ask(1001, 1)])])
    assert got.trusted() == [(20, 0)] * 2
    assert [name for name, *_ in got.findings()] == ["UNSEEDED", "TOUCH_BEYOND_RANGE"]


# gaps --------------------------------------------------------------------------------------------


def test_a_gap_takes_trust_until_a_snapshot() -> None:
    anchor = snapshot(120, BIDS, ASKS)
    got = replay([SEED, depth(115, 110, SAME), depth(120, 115, SAME), anchor, depth(121, 120)])
    assert got.findings() == [("UNSEEDED", 0, 9, 1), ("GAP", 10, 23, 10)]  # since the seed
    assert got.trusted() == [(5, 5), (0, 0), (0, 0), (5, 5), (5, 5)]
    assert got.flags()[11] == Flag.GAP | Flag.LAST | Flag.DOUBTFUL
    assert not got.flags()[24] & Flag.DOUBTFUL
    assert got.minutes["gaps"].tolist() == [1]
    assert got.states.event_id.tolist() == [10, 12, 13, 24, 25]


def test_two_gaps_in_a_row_are_two_findings() -> None:
    got = replay([SEED, depth(115, 110, SAME), depth(130, 120, SAME)])
    assert got.findings()[1:] == [("GAP", 10, 12, 10), ("GAP", 12, 14, 5)]


def test_a_gap_before_the_first_snapshot() -> None:
    got = replay([depth(90, 85, SAME), depth(100, 95, SAME), SEED])
    assert got.findings() == [("UNSEEDED", 0, 0, 1), ("GAP", 0, 12, 5)]


def test_a_bridged_gap_leaves_what_the_snapshot_lists() -> None:
    """What it does not list may have changed in the lost messages; what differs they explain."""
    bridge = snapshot(110, [(1000, 77), (999, 10)], ASKS[:2])
    got = replay(
        [
            SEED,
            depth(105, 100, SAME),
            bridge,
            depth(115, 110, [bid(999, 1)]),
            depth(116, 115, [bid(1000, 0), bid(999, 0), ask(1000, 1)]),
        ]
    )
    assert got.findings()[1:] == [("GAP", 11, 16, 5), ("TOUCH_BEYOND_RANGE", 20, 20, 1)]
    assert got.trusted() == [(5, 5), (5, 5), (2, 2), (2, 2), (0, 3)]
    # 998 is still in the book, right behind the range, and proves nothing: it may be long gone
    assert got.levels.bid_trusted_to == 999
    assert got.states.levels[-1, 0] == 998


def test_after_a_loss_only_the_opposite_touch_widens_a_range() -> None:
    bridge = snapshot(110, BIDS[:2], ASKS[:2])
    fallen = [bid(price, 0) for price, _ in BIDS] + [ask(997, 1), bid(996, 2)]
    got = replay([SEED, depth(105, 100, SAME), bridge, depth(115, 110), depth(116, 115, fallen)])
    assert got.levels.bid_trusted_to == 997
    assert got.trusted()[-1] == (0, 3)


def test_a_doubt_that_is_open_at_the_end_is_a_finding() -> None:
    got = replay([SEED, depth(115, 110, SAME), depth(116, 115)])
    assert got.findings()[1:] == [("GAP", 10, 13, 10)]


# crossed -----------------------------------------------------------------------------------------


def test_a_crossed_book_is_wrong_since_it_was_last_confirmed() -> None:
    got = replay(
        [
            SEED,
            depth(101, 100, SAME),
            depth(102, 101, [bid(1002, 5)], at=MS),
            depth(103, 102, [bid(1002, 0)], at=2 * MS),
            snapshot(103, BIDS, ASKS),
        ]
    )
    assert got.findings()[1:] == [("CROSSED", 10, 22, 1)]
    assert got.trusted() == [(5, 5), (5, 5), (0, 0), (0, 0), (5, 5)]
    # the first snapshot has no time of its own
    assert got.states.flags.tolist() == [Flag.BAD_TS, 0, CROSSED | DOUBTFUL, DOUBTFUL, 0]
    assert [flag & CROSSED for flag in got.events.flags.tolist()[11:14]] == [0, CROSSED, 0]
    assert got.minutes["crossed_messages"].tolist() == [1]
    assert got.minutes["doubtful_messages"].tolist() == [2]


def test_a_book_that_crosses_again_is_in_doubt_since_the_first_time() -> None:
    """The snapshot between lists one side, and leaves the bid that crosses."""
    got = replay([SEED, depth(101, 100, [bid(1002, 5)]), snapshot(101, [], ASKS)])
    # the first snapshot has no time of its own
    assert got.states.flags.tolist() == [Flag.BAD_TS, *(2 * [CROSSED | DOUBTFUL])]
    assert got.findings()[1:] == [("CROSSED", 10, len(got.events) - 1, 1)]


def test_a_locked_book_is_crossed() -> None:
    assert replay(after([bid(1001, 5)])).states.flags[-1] & CROSSED


def test_a_book_that_crosses_while_lost_is_flagged_too() -> None:
    got = replay([SEED, depth(115, 110, [bid(1002, 5)]), depth(116, 115, [bid(1002, 0)])])
    assert got.findings()[1:] == [("GAP", 10, 13, 10), ("CROSSED", 12, 12, 1)]


# marks -------------------------------------------------------------------------------------------


def test_marks_are_findings_and_no_messages_of_the_book() -> None:
    got = replay(
        [
            SEED,
            depth(101, 100, SAME),
            depth(101, 100, SAME),
            depth(99, 90, SAME),
            mark(Flag.INVALID),
            mark(Flag.RECONNECT | Flag.INVALID),
            depth(104, 100, SAME),
        ]
    )
    assert got.findings()[1:] == [
        ("DUPLICATE", 12, 12, 1),
        ("OUT_OF_ORDER", 13, 13, 1),
        ("INVALID_INPUT", 14, 15, 2),
        ("TRUNCATED_INPUT", 15, 15, 1),
        ("OUT_OF_ORDER", 16, 16, 1),  # the last overlaps what was applied
    ]
    assert got.states.event_id.tolist() == [10, 11, 16]
    assert got.minutes["book_messages"].tolist() == [3]
    assert got.trusted()[-1] == (5, 5)


def test_bad_times_are_tallied_per_minute_but_not_those_of_snapshots() -> None:
    early = snapshot(100, BIDS, ASKS)
    messages = [early, *(depth(101 + n, 100 + n, SAME, at=n * MINUTE // 2) for n in range(4))]
    for row in messages[1] + messages[2] + messages[4]:
        row.ts_event = 0
    got = replay(messages)
    assert got.findings()[1:] == [("BAD_TS", 11, 12, 2), ("BAD_TS", 14, 14, 1)]
    assert got.flags()[0] & Flag.BAD_TS


# rules -------------------------------------------------------------------------------------------


def test_ticks_and_lots_are_rules_with_a_date() -> None:
    rules = (Rule(0, 1, 1), Rule(START + 30 * MS, 5, 2), Rule(START + MINUTE, 1, 1))
    levels = [bid(1000, 2), bid(999, 3)]
    messages = [SEED, *(depth(101 + n, 100 + n, levels, at=n * 30 * MS) for n in range(2))]
    messages.append(depth(103, 102, levels, at=MINUTE))
    got = replay(messages, instrument=make_instrument(*rules))
    off = Flag.OFF_TICK | Flag.OFF_LOT
    assert [flag & off for flag in got.flags()[-6:]] == [0, 0, 0, off, 0, 0]
    assert got.findings()[1:] == [("OFF_TICK", 14, 14, 1), ("OFF_LOT", 14, 14, 1)]
    assert got.levels.bid_sizes[:2].tolist() == [2, 3]


def test_spreads_are_in_ticks_of_the_time() -> None:
    rules = (Rule(0, 1, 1), Rule(START + MINUTE, 5, 1))
    book = [SEED, depth(101, 100, [ask(1001, 0)]), depth(102, 101, [ask(1002, 0)], at=MINUTE)]
    book += [depth(103, 102, [ask(1003, 0), ask(1004, 0)], at=MINUTE + MS)]
    got = replay(book, instrument=make_instrument(*rules))
    assert got.minutes["spread_ticks_mean"].tolist() == [1.5, (3 + 5) / 2 / 5]
    assert got.minutes["spread_ticks_max"].tolist() == [2, 1]


def test_a_price_that_no_book_can_index() -> None:
    with pytest.raises(GridError, match="event 11 has a price beyond"):
        replay(after([bid(2**62 + 1, 1)]))


# days and batches --------------------------------------------------------------------------------


def test_an_open_doubt_goes_on_into_the_next_day() -> None:
    book = [SEED, depth(115, 110, SAME), depth(116, 115, SAME, at=MINUTE)]
    book += [snapshot(116, BIDS, ASKS), depth(117, 116, SAME, at=2 * MINUTE)]
    (events,) = ordered(book)
    replay_ = Replayer(make_instrument())
    replay_.begin_day(int(events.ts_order[0]))
    first = [replay_.process(events.slice(0, 13), 0), replay_.end_day(12, START)]
    found = joined_rows([output.findings for output in first])
    assert [row[:3] for row in found.tolist()] == [(1, 0, 9), (2, 10, 12)]
    assert replay_.levels().bid_trust == UNTRUSTED
    replay_.begin_day(START + MINUTE)
    second = [replay_.process(events.slice(13, len(events)), 0), replay_.end_day(12, START)]
    (row,) = joined_rows([output.findings for output in second]).tolist()
    assert row[:5] == (2, 0, 10, START + MINUTE, START + MINUTE)
    assert second[0].states.event_id.tolist() == [0, 11, 12]


@pytest.mark.parametrize("rows", [1, 2, 3, 11, 12])
def test_steps_leave_no_trace(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    book = [SEED, *(depth(101 + n, 100 + n, SAME * 3, at=n * MINUTE // 3) for n in range(9))]
    trades = [trade(n, BID, 1001, at=n * MINUTE // 4) for n in range(9)]
    whole = replay(
        book, trades, instrument=make_instrument(Rule(0, 1, 1), Rule(START + MINUTE, 2, 2))
    )
    monkeypatch.setattr(replayer, "CHUNK_ROWS", rows)
    cut = replay(
        book, trades, instrument=make_instrument(Rule(0, 1, 1), Rule(START + MINUTE, 2, 2))
    )
    assert np.array_equal(cut.events.flags, whole.events.flags)
    assert np.array_equal(cut.states.levels, whole.states.levels)
    assert cut.findings() == whole.findings()
    for name, column in whole.minutes.items():
        np.testing.assert_array_equal(cut.minutes[name], column)


@pytest.mark.parametrize(
    ("spacing", "kept"),
    [(0, [*range(10, 17)]), (100 * MS, [10, 14, 15]), (10**9, [10, 15]), (-1, [])],
)
def test_thinning_keeps_the_first_state_of_each_interval(spacing: int, kept: list[int]) -> None:
    times = [0, 60, 99, 140, 1000, 1001]
    book = [SEED, *(depth(101 + n, 100 + n, SAME, at=time * MS) for n, time in enumerate(times))]
    assert replay(book, state_every=spacing).states.event_id.tolist() == kept


def test_many_trades_make_the_table_of_pending_ones_grow() -> None:
    trades = [trade(n, BID, 2000 + n, at=MS) for n in range(3000)]
    got = replay(
        [SEED, depth(101, 100, SAME, at=2 * MS), depth(102, 101, SAME, at=201 * MS)],
        trades,
        trade_cuts=range(0, 3000, 700),
    )
    assert got.minutes["unnamed_trades"].tolist() == [3000]


def test_levels_of_an_untouched_replayer() -> None:
    levels = Replayer(make_instrument()).levels()
    assert (levels.sequence, len(levels.bid_prices), levels.ask_trust) == (-1, 0, UNTRUSTED)
