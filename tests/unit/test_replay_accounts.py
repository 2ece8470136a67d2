"""What the replay counts: trades held against the book, minutes, findings as rows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lobproof.replay import QUALITY_SEVERITY, Policy, doubtful_time, quality_rows
from lobproof.schema import Finding, Flag, Severity
from lobproof.schema.tables import MINUTES
from plain.lake_replay import LakeStreams
from plain.messages import (
    ASK,
    BID,
    MINUTE,
    MS,
    START,
    Change,
    Message,
    ask,
    bid,
    book_of,
    depth,
    snapshot,
    trade,
    vendor_row,
)
from support.replays import Replayed, anchored_streams, findings_of, replay, run_lake

pytestmark = pytest.mark.kernels

BIDS, ASKS = book_of(5)
SEED = snapshot(100, BIDS, ASKS)
BUY, SELL = BID, ASK
RESIDUALS = ("explained", "refilled", "transient", "grown", "unnamed")


def residuals(got: Replayed) -> dict[str, int]:
    """Volumes by category, those that are not zero."""
    sums = {name: int(got.minutes[f"{name}_volume"].sum()) for name in RESIDUALS}
    return {name: volume for name, volume in sums.items() if volume}


def book(*named: list[Change], pace: int = MS) -> list[Message]:
    """The seed, an empty message, then one a millisecond, or as told."""
    rows = [SEED, depth(101, 100)]
    return rows + [
        depth(102 + n, 101 + n, changes, at=(n + 1) * pace) for n, changes in enumerate(named)
    ]


SOLD = [trade(1, SELL, 1000, 4, at=1)]
"""Takes 4 from the best bid, which has 10."""


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (6, {"explained": 4}),
        (0, {"explained": 4}),  # more went than was traded
        (8, {"explained": 2, "refilled": 2}),
        (10, {"grown": 4}),
        (15, {"grown": 4}),
    ],
)
def test_a_level_that_trades_took_from(left: int, told: dict[str, int]) -> None:
    assert residuals(replay(book([bid(1000, left)]), SOLD)) == told


def test_a_level_that_was_born_and_died_inside_the_message() -> None:
    inside = [trade(1, BUY, 1003, 2, at=1)]
    empty = replay(book([ask(1003, 0)]), inside)
    assert residuals(empty) == {"explained": 2}
    holes = snapshot(100, BIDS, [(1001, 1), (1005, 1)])
    got = replay([holes, *book([ask(1003, 0)])[1:]], inside)
    assert residuals(got) == {"transient": 2}


@pytest.mark.parametrize(("listed", "told"), [(5, {"explained": 4}), (4, {"unnamed": 4})])
def test_a_snapshot_confirms_trades_down_to_its_worst_level(
    listed: int, told: dict[str, int]
) -> None:
    """Where the book is known at rows of `book` alone."""
    price, size = BIDS[4]
    later = [*BIDS[:4], (price, size - 4)][:listed]
    rows = [vendor_row(100, BIDS, ASKS, at=0), vendor_row(101, later, ASKS, at=2 * MS)]
    day = LakeStreams([], rows, [trade(1, SELL, price, 4, at=MS)])
    policy = Policy(chainless=True, trades_wait_for="snapshots")
    got = run_lake(day, policy, source=anchored_streams(day))
    assert residuals(got) == told


def test_the_next_message_but_one_may_name_the_level() -> None:
    got = replay(book([ask(1001, 1)], [bid(1000, 6)]), SOLD)
    assert residuals(got) == {"explained": 4}
    assert not any(name == "TRADE_UNCONFIRMED" for name, *_ in got.findings())


def test_what_two_messages_do_not_name_is_unnamed() -> None:
    trades = [*SOLD, trade(2, SELL, 1000, 3, at=2)]
    got = replay(book([ask(1000, 0)], [], [bid(1000, 3)], pace=101 * MS), trades)
    assert residuals(got) == {"unnamed": 7}
    assert got.minutes["unnamed_trades"].tolist() == [2]
    assert got.findings()[-1] == ("TRADE_UNCONFIRMED", 15, 15, 2)


@pytest.mark.parametrize("pace", [1, 10, 49, 50, 100, 199, 200, 1000])
def test_streams_of_any_pace_have_as_much_time(pace: int) -> None:
    """Two messages, and 200 ms: the message that names the level comes just in time, or too late.

    On a tie the book goes first, so that the trade stands behind the message of its own time.
    """
    last = max(2, -(-200 // pace))  # the message at whose end the trade has had its time
    for number, told in ((last, {"explained": 4}), (last + 1, {"unnamed": 4})):
        named = [[ask(1001, 10)]] * (number - 1) + [[bid(1000, 6)]]
        messages = book(*named, pace=pace * MS)
        assert residuals(replay(messages, [trade(1, SELL, 1000, 4)])) == told
        whole = replay(messages, [trade(1, SELL, 1000, 4, at=1)])
        assert residuals(whole) == ({"explained": 4} if 200 % pace == 0 and pace < 200 else told)


def test_trades_of_two_messages_at_one_level_are_held_together() -> None:
    pace = 101 * MS
    trades = [*SOLD, trade(2, SELL, 1000, 3, at=pace + 1)]
    got = replay(book([ask(1001, 1)], [bid(1000, 3)], pace=pace), trades)
    assert residuals(got) == {"explained": 7}
    # each is looked for over two messages of its own
    late = replay(book([ask(1001, 1)], [ask(1001, 2)], [bid(1000, 7)], pace=pace), trades)
    assert residuals(late) == {"explained": 3, "unnamed": 4}


def test_a_level_named_twice_in_a_message_counts_once() -> None:
    got = replay(book([bid(1000, 6), bid(1000, 6)]), SOLD)
    assert residuals(got) == {"explained": 4}


def test_snapshots_and_marks_are_no_depth_messages() -> None:
    inside = snapshot(102, [(1000, 6)], ASKS)
    again = depth(101, 100)
    messages = [*book(), again, inside, depth(103, 101, [bid(1000, 6)], at=2 * MS)]
    for row in again:
        row.ts_event += MS
    # the snapshot has taken the fall: nothing is left for the message to explain
    assert residuals(replay(messages, SOLD)) == {"grown": 4}


def test_no_account_is_given_of_a_book_that_is_not_known() -> None:
    gap = [depth(110, 105), depth(111, 110, [bid(1000, 6)], at=MS)]
    assert residuals(replay([SEED, *gap], SOLD)) == {}
    beyond = [trade(1, SELL, 900, 4, at=1)]
    assert residuals(replay(book([bid(900, 3)]), beyond)) == {}
    assert residuals(
        replay(book([bid(900, 9)], [bid(900, 5)]), [trade(1, SELL, 900, 4, at=MS + 1)])
    ) == {"explained": 4}


def test_late_trades_are_counted_and_not_held_against_the_book() -> None:
    trades = [
        trade(1, SELL, 1000, 4, at=1),
        trade(3, SELL, 1000, 1, at=2),
        trade(2, BUY, 1001, 8, at=3),
    ]
    got = replay(book([bid(1000, 5)], []), trades)
    assert residuals(got) == {"explained": 5}
    assert [name for name, *_ in got.findings()[1:]] == ["TRADE_GAP", "OUT_OF_ORDER"]
    assert (got.minutes["trades"].sum(), got.minutes["buy_volume"].sum()) == (3, 8)


def test_findings_of_the_trade_stream() -> None:
    trades = [trade(1, SELL, 1000), trade(5, SELL, 1000), trade(5, SELL, 1000)]
    got = replay(book(), trades)
    rows = quality_rows(got.found)
    assert rows["detail"][1:] == ["trade ids 2-4 are missing", "ids 5-5 came again; not applied"]
    assert rows["count"][1:] == [3, 1]
    assert got.trusted()[-1] == (5, 5), "no trade moves the book"
    assert [flag & Flag.TRADES for flag in got.flags()[-3:]] == [Flag.TRADES, 0, Flag.TRADES]


# minutes -----------------------------------------------------------------------------------------


def test_minutes() -> None:
    messages = [
        SEED,
        depth(101, 100, [bid(1000, 9), ask(1001, 0)], at=20_000 * MS),
        depth(102, 101, [ask(1001, 3)], at=50_000 * MS),
        depth(103, 102, at=MINUTE + 30_000 * MS),
        depth(110, 105, [bid(1000, 8)], at=3 * MINUTE),
    ]
    trades = [trade(1, BUY, 1001, 5, at=0), trade(2, SELL, 1000, 1, at=21_000 * MS)]
    got = replay(messages, trades)
    wanted: dict[str, list[float]] = {
        "minute": [START, START + MINUTE, START + 3 * MINUTE],
        "first_event_id": [0, 16, 17],
        "last_event_id": [15, 16, 18],
        "book_messages": [3, 1, 1],
        "delta_rows": [3, 0, 1],
        "snapshots": [1, 0, 0],
        "gaps": [0, 0, 1],
        "crossed_messages": [0, 0, 0],
        "doubtful_messages": [0, 0, 1],
        "longest_silence": [30_000 * MS, 40_000 * MS, 90_000 * MS],
        "trades": [2, 0, 0],
        "buy_volume": [5, 0, 0],
        "sell_volume": [1, 0, 0],
        "explained_volume": [5, 0, 0],
        "unnamed_volume": [0, 1, 0],
        "unnamed_trades": [0, 1, 0],
        "prints": [2, 0, 0],
        "spread_ticks_mean": [4 / 3, 1, math.nan],
        "spread_ticks_max": [2, 1, 0],
        "trusted_levels_min": [4, 5, 0],
        "bid_trusted_ticks": [4, 4, math.nan],
        "ask_trusted_ticks": [4, 4, math.nan],
        "price_rmse_ticks": [math.nan] * 3,
    }
    for name in MINUTES.schema.names:
        default = [math.nan] * 3 if name == "size_rmse_rel" else [0.0] * 3
        np.testing.assert_array_equal(got.minutes[name], wanted.get(name, default), err_msg=name)


def test_a_minute_of_trades_alone() -> None:
    got = replay([], [trade(1, BUY, 1001, 5)])
    assert got.minutes["book_messages"].tolist() == [0]
    assert got.minutes["trusted_levels_min"].tolist() == [0]
    assert got.findings() == [("UNSEEDED", 0, 0, 1)]
    assert len(got.states) == 0


# findings as rows --------------------------------------------------------------------------------


def test_every_finding_has_its_severity_and_its_words() -> None:
    assert set(QUALITY_SEVERITY) == set(Finding)
    # these name one by its number
    of_a_table = (Finding.CLOCK, Finding.TABLE_APART, Finding.TRADES_ABSENT)
    found = findings_of(
        [[code, 9 - code % 3, 20, 5, 6, 2, 0 if code in of_a_table else 7, 8] for code in Finding]
    )
    rows = quality_rows(found)
    assert rows["first_event_id"] == sorted(9 - code % 3 for code in Finding)
    assert rows["severity"] == [QUALITY_SEVERITY[Finding(int(str(c)))] for c in rows["code"]]
    assert all(rows["detail"])
    gap = rows["code"].index(int(Finding.GAP))
    assert rows["detail"][gap] == "update ids 7-8 are missing"


@pytest.mark.parametrize(
    ("spans", "time"),
    [
        ([], 0),
        ([(10, 20)], 10),
        ([(10, 20), (15, 30)], 20),
        ([(10, 40), (15, 30), (35, 50)], 40),
        ([(30, 40), (10, 20), (10, 12)], 20),
        ([(5, 5)], 0),
    ],
)
def test_doubtful_time_counts_each_instant_once(spans: list[tuple[int, int]], time: int) -> None:
    rows = [[int(Finding.GAP), 0, 0, first, last, 1, 0, 0] for first, last in spans]
    info = [[int(Finding.OFF_LOT), 0, 0, 0, 1000, 1, 0, 0]]
    assert doubtful_time(findings_of(rows + info)) == time
    assert Severity.DOUBT in QUALITY_SEVERITY.values()
