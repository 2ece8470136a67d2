"""The chain audit: what becomes a mark, what a flag, and what stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lobproof.replay import BookAudit, TradeAudit
from lobproof.replay.trade_id_kernels import (
    MISSING_RANGES,
    WINDOW,
)
from lobproof.schema import UNORDERED, EventBatch, Flag, Kind
from plain.messages import (
    ASK,
    BID,
    LAST,
    Event,
    Message,
    ask,
    bid,
    book_of,
    depth,
    mark,
    snapshot,
    to_batch,
    to_rows,
    trade,
)
from support.replays import batches

pytestmark = pytest.mark.kernels

BIDS, ASKS = book_of(2)
SHORT = [bid(1000, 3)]
DUPLICATE, LATE = int(Flag.DUPLICATE), int(Flag.OUT_OF_ORDER)


def audited(
    messages: Sequence[Message], *, trades: bool = False, single: bool = False
) -> list[Event]:
    audit = TradeAudit() if trades else BookAudit()
    cuts = range(len(messages)) if single else ()
    return to_rows(EventBatch.concat([audit.process(b) for b in batches(messages, cuts)]))


def told(rows: list[Event]) -> list[tuple[Kind, int, int, int]]:
    """Kind, ids and flags other than LAST of the rows that end a message."""
    return [
        (Kind(r.kind), r.prev_sequence, r.sequence, r.flags & ~LAST) for r in rows if r.flags & LAST
    ]


def test_a_whole_chain_is_left_alone() -> None:
    batch = to_batch([depth(5, 2, SHORT), depth(6, 5), depth(9, 6, SHORT)])
    assert BookAudit().process(batch) is batch


def test_a_gap_becomes_a_row_before_what_reveals_it() -> None:
    rows = audited([depth(5, 2, SHORT), depth(12, 8, [*SHORT, ask(1001, 1)], at=7)])
    assert told(rows) == [
        (Kind.DELTA, 2, 5, 0),
        (Kind.MARK, 5, 8, int(Flag.GAP)),
        (Kind.DELTA, 8, 12, 0),
    ]
    gap, first = rows[1], rows[2]
    assert (gap.side, gap.price, gap.size) == (0, 0, 0)
    assert (gap.ts_event, gap.ts_recv) == (first.ts_event, first.ts_recv)
    assert len(rows) == 4


def test_repeated_and_late_messages_become_marks() -> None:
    rows = audited(
        [
            depth(5, 2, SHORT),
            depth(9, 5, [*SHORT, ask(1001, 1)]),
            depth(9, 5, [*SHORT, ask(1001, 1)]),
            depth(5, 2, SHORT),
            depth(11, 9, SHORT),
        ]
    )
    assert told(rows)[2:] == [
        (Kind.MARK, 5, 9, DUPLICATE),
        (Kind.MARK, 2, 5, LATE),
        (Kind.DELTA, 9, 11, 0),
    ]
    assert [(r.side, r.price, r.size) for r in rows[3:5]] == [(0, 0, 0)] * 2


def test_ids_that_go_back_while_time_goes_on_break_the_chain() -> None:
    rows = audited(
        [
            snapshot(4, BIDS, ASKS),
            depth(9, 4, SHORT, at=10),
            depth(900, 9, SHORT, at=20),
            depth(7, 6, SHORT, at=20),  # no later than what was applied: late
            depth(12, 11, SHORT, at=30),
            depth(15, 12, SHORT, at=40),
            snapshot(15, BIDS, ASKS),
        ]
    )
    broken = int(Flag.GAP) | LATE
    assert told(rows)[2:] == [
        (Kind.DELTA, 9, 900, 0),
        (Kind.MARK, 6, 7, LATE),
        (Kind.MARK, 900, 11, broken),
        (Kind.DELTA, 11, 12, 0),
        (Kind.DELTA, 12, 15, 0),
        (Kind.SNAPSHOT, 15, 15, int(Flag.RESYNC)),
    ]
    assert rows[-len(BIDS) - len(ASKS) - 1].kind == Kind.CLEAR


def test_without_a_chain_the_mark_names_the_id_before() -> None:
    rows = audited([depth(9, -1, SHORT, at=10), depth(5, -1, SHORT, at=20)])
    assert told(rows)[1:] == [
        (Kind.MARK, 9, 4, int(Flag.GAP) | LATE),
        (Kind.DELTA, -1, 5, 0),
    ]


def test_a_message_that_overlaps_what_was_applied_stays_and_is_flagged() -> None:
    rows = audited([depth(5, 2, SHORT), depth(9, 3, [*SHORT, ask(1001, 1)]), depth(10, 9)])
    assert [row.flags & LATE for row in rows] == [0, LATE, LATE, 0]
    assert rows[1].kind == Kind.DELTA


def test_the_first_snapshot_opens_with_a_clear_and_later_ones_do_not() -> None:
    rows = audited(
        [depth(5, 2, SHORT), snapshot(5, BIDS, ASKS), depth(7, 5), snapshot(7, BIDS, ASKS)]
    )
    assert [Kind(row.kind).name for row in rows[1:6]] == ["CLEAR"] + ["SNAPSHOT"] * 4
    assert (rows[1].sequence, rows[1].prev_sequence, rows[1].flags) == (5, 5, 0)
    assert [row.kind for row in rows].count(Kind.CLEAR) == 1
    assert not any(row.flags & Flag.RESYNC for row in rows)


def test_a_snapshot_after_a_gap_restores_with_a_clear() -> None:
    rows = audited(
        [
            snapshot(5, BIDS, ASKS),
            depth(7, 5),
            depth(12, 9),
            snapshot(13, BIDS, ASKS),
            depth(15, 12),
        ]
    )
    restored = [row for row in rows if row.sequence == 13]
    assert [row.kind for row in restored] == [Kind.CLEAR] + [Kind.SNAPSHOT] * 4
    assert all(row.flags & Flag.RESYNC for row in restored)


@pytest.mark.parametrize(
    ("listed", "first", "gap"),
    [
        (5, (8, 5), None),  # exactly the id before
        (6, (8, 5), None),  # inside the message
        (7, (8, 5), None),
        (4, (8, 5), (4, 5)),  # too old: 5 is missing
    ],
)
def test_where_a_snapshot_before_the_first_message_must_lie(
    listed: int, first: tuple[int, int], gap: tuple[int, int] | None
) -> None:
    rows = audited([snapshot(listed, BIDS, ASKS), depth(*first, SHORT)])
    marks = [(r.prev_sequence, r.sequence) for r in rows if r.kind == Kind.MARK]
    assert marks == ([] if gap is None else [gap])


def test_two_snapshots_before_the_first_message_are_two_beginnings() -> None:
    """No message leads from one to the other: that they differ contradicts nothing."""
    rows = audited([snapshot(5, BIDS, ASKS), snapshot(9, BIDS, ASKS), depth(12, 9)])
    assert [r.sequence for r in rows if r.kind == Kind.CLEAR] == [5, 9]
    again = audited([snapshot(5, BIDS, ASKS), snapshot(5, BIDS, ASKS), depth(12, 5)])
    assert [r.sequence for r in again if r.kind == Kind.CLEAR] == [5]


def test_a_gap_that_a_snapshot_bridges() -> None:
    rows = audited([snapshot(5, BIDS, ASKS), depth(7, 5), snapshot(9, BIDS, ASKS), depth(12, 9)])
    gap = next(row for row in rows if row.flags & Flag.GAP)
    assert (gap.prev_sequence, gap.sequence) == (7, 9)
    assert gap.flags & Flag.RESYNC
    assert [r.sequence for r in rows if r.kind == Kind.CLEAR] == [5]

    rows = audited([snapshot(5, BIDS, ASKS), depth(7, 5), snapshot(8, BIDS, ASKS), depth(12, 9)])
    gap = next(row for row in rows if row.flags & Flag.GAP)
    assert not gap.flags & Flag.RESYNC, "id 9 is in neither"


def test_a_snapshot_older_than_the_book_is_left_out() -> None:
    rows = audited([snapshot(5, BIDS, ASKS), depth(7, 5), snapshot(6, BIDS, ASKS), depth(8, 7)])
    assert told(rows)[2] == (Kind.MARK, 6, 6, LATE)
    rows = audited([depth(7, 5), snapshot(9, BIDS, ASKS), snapshot(8, BIDS, ASKS), depth(10, 7)])
    assert told(rows)[2:] == [(Kind.MARK, 8, 8, LATE), (Kind.MARK, 7, 10, 0)]


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([(1001, 1)], [(1001, 1)]),  # locked
        ([(1002, 1)], [(1001, 1)]),  # crossed
        ([(999, 1), (1000, 1)], []),  # not best first
        ([], [(1002, 1), (1001, 1)]),
        ([(1000, 1), (1000, 2)], []),  # a level twice
        ([(1000, 0)], [(1001, 1)]),  # no size
        ([(1000, 1)], [(1001, -1)]),
        ([(0, 1)], [(1001, 1)]),  # no price
    ],
)
def test_a_snapshot_that_cannot_be_one_is_left_out(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]]
) -> None:
    rows = audited([depth(5, 2, SHORT), snapshot(5, bids, asks), depth(6, 5)])
    assert told(rows)[1:] == [(Kind.MARK, 5, 5, int(Flag.INVALID)), (Kind.MARK, 5, 6, 0)]
    assert len(rows) == 3


def test_a_snapshot_with_its_sides_mixed_up_is_left_out() -> None:
    message = snapshot(5, [(1000, 1)], [(1001, 1)])
    message[0].side, message[1].side = ASK, BID
    assert told(audited([message])) == [(Kind.MARK, 5, 5, int(Flag.INVALID))]


def test_a_snapshot_that_lists_nothing_says_nothing() -> None:
    """A MARK with two equal ids: it is no message of the chain."""
    empty = [Event(sequence=8, prev_sequence=8, flags=LAST)]
    rows = audited([depth(5, 2, SHORT), empty, depth(9, 5, SHORT)])
    assert told(rows)[1:] == [(Kind.MARK, 8, 8, int(Flag.INVALID)), (Kind.DELTA, 5, 9, 0)]


def test_one_sided_snapshots_are_snapshots() -> None:
    rows = audited([snapshot(5, BIDS, []), snapshot(5, [], ASKS)])
    assert [r.kind for r in rows] == [Kind.CLEAR] + [Kind.SNAPSHOT] * 4


def test_futures_chain_by_the_id_before() -> None:
    """``pu`` is the final id of the message before, with holes in the ids between symbols."""
    rows = audited([depth(50, 41, SHORT), depth(63, 50, SHORT), depth(80, 71, SHORT)])
    assert told(rows)[2] == (Kind.MARK, 63, 71, int(Flag.GAP))


def test_without_a_chain_only_going_back_is_seen() -> None:
    rows = audited(
        [
            depth(50, -1, SHORT),
            snapshot(60, BIDS, ASKS),
            depth(90, -1, SHORT),
            depth(70, -1, SHORT),
            depth(90, -1, SHORT),
            depth(50, -1, SHORT),
        ]
    )
    lost = LATE | int(Flag.GAP)  # what it changed is not in the book
    assert [flags for *_, flags in told(rows)] == [0, 0, 0, lost, DUPLICATE, DUPLICATE]


def test_the_same_id_with_other_content_is_no_duplicate() -> None:
    """Without a chain what it changed is not in the book; in one, the two contradict each other."""
    other = [bid(1000, 4)]
    rows = audited([depth(n, -1, SHORT) for n in (50, 60, 70)] + [depth(60, -1, other)])
    assert told(rows)[-1] == (Kind.MARK, -1, 60, LATE | int(Flag.GAP))
    rows = audited([depth(50, -1, SHORT), depth(50, -1, [*SHORT, *other])])
    assert told(rows)[-1] == (Kind.MARK, -1, 50, LATE | int(Flag.GAP))
    for number, before in ((9, 5), (5, 2)):
        rows = audited([depth(5, 2, SHORT), depth(9, 5, SHORT), depth(number, before, other)])
        assert told(rows)[-1] == (Kind.MARK, before, number, LATE | int(Flag.DRIFT))


def test_a_negative_id_is_a_message_out_of_order() -> None:
    rows = audited([depth(50, -1, SHORT), depth(-7, -1, SHORT), depth(60, -1, SHORT)])
    assert told(rows) == [
        (Kind.DELTA, -1, 50, 0),
        (Kind.MARK, -1, -7, LATE | int(Flag.GAP)),
        (Kind.DELTA, -1, 60, 0),
    ]


def test_marks_of_the_source_leave_the_chain_alone() -> None:
    messages = [
        depth(5, 2, SHORT),
        mark(Flag.INVALID),
        mark(Flag.RECONNECT | Flag.INVALID),
        depth(6, 5),
    ]
    batch = to_batch(messages)
    assert BookAudit().process(batch) is batch


def test_empty_messages_are_links_of_the_chain() -> None:
    rows = audited([depth(5, 2), depth(8, 5), depth(12, 9)])
    assert told(rows) == [
        (Kind.MARK, 2, 5, 0),
        (Kind.MARK, 5, 8, 0),
        (Kind.MARK, 8, 9, int(Flag.GAP)),
        (Kind.MARK, 9, 12, 0),
    ]


# trades ------------------------------------------------------------------------------------------


def test_trade_ids() -> None:
    numbers = [(7, 6), (9, 8), (9, 8), (8, 7), (8, 7), (10, 9)]
    rows = audited([trade(n, BID, 1000, prev=p) for n, p in numbers], trades=True)
    trades = int(Flag.TRADES)
    assert told(rows) == [
        (Kind.TRADE, 6, 7, 0),
        (Kind.MARK, 7, 8, int(Flag.GAP) | trades),
        (Kind.TRADE, 8, 9, 0),
        (Kind.MARK, 8, 9, DUPLICATE | trades),
        (Kind.TRADE, 7, 8, LATE),
        (Kind.MARK, 7, 8, DUPLICATE | trades),
        (Kind.TRADE, 9, 10, 0),
    ]


@pytest.mark.parametrize("order", [[3, 5, 4, 2, 6], [6, 5, 4, 3, 2], [4, 2, 6, 5, 3]])
def test_late_trades_fill_a_hole_from_anywhere(order: list[int]) -> None:
    rows = audited([trade(n, BID, 1000) for n in [1, 7, *order, *order]], trades=True)
    flags = [row.flags & (LATE | DUPLICATE) for row in rows[3:]]
    assert flags == [LATE] * 5 + [DUPLICATE] * 5


def test_late_aggregates_fill_as_many_ids_as_they_span() -> None:
    late = [
        trade(n, BID, 1000, prev=p) for n, p in [(1, 0), (9, 8), (6, 3), (5, 4), (3, 2), (8, 6)]
    ]
    flags = [row.flags & (LATE | DUPLICATE) for row in audited(late, trades=True)[3:]]
    assert flags == [LATE, DUPLICATE, LATE, LATE]


def test_the_ring_forgets_the_oldest_hole() -> None:
    """A late trade of a hole that 1,024 holes have followed is taken for a repeated one."""
    numbers = list(range(1, 2 * MISSING_RANGES + 5, 2))  # one id missing between each two
    rows = audited([trade(n, BID, 1000) for n in [*numbers, 2, numbers[-1] - 1]], trades=True)
    assert [row.flags & (LATE | DUPLICATE) for row in rows[-2:]] == [DUPLICATE, LATE]


def test_a_late_trade_below_the_first_is_late() -> None:
    numbers = [10, 6, 6, 8, 8, 5, 9]
    rows = audited([trade(n, BID, 1000) for n in numbers], trades=True)
    flags = [row.flags & (LATE | DUPLICATE) for row in rows]
    assert flags == [0, LATE, DUPLICATE, LATE, DUPLICATE, LATE, LATE]


def test_without_a_chain_a_trade_is_dropped_only_where_id_and_content_repeat() -> None:
    numbers = [10, 6, 6, 8, 10, 5, 9]
    prices = [1000, 1000, 1001, 1000, 1000, 1000, 1000]
    rows = audited(
        [trade(n, BID, p, prev=-1) for n, p in zip(numbers, prices, strict=True)], trades=True
    )
    flags = [row.flags & (LATE | DUPLICATE) for row in rows]
    assert flags == [0, LATE, LATE, LATE, DUPLICATE, LATE, LATE]


def test_trades_whose_ids_are_text_have_no_order() -> None:
    numbers = [UNORDERED + n for n in (9, 5, 9, 7)]
    rows = audited([trade(n, BID, 1000, prev=-1) for n in [3, *numbers, 4]], trades=True)
    flags = [row.flags & (LATE | DUPLICATE) for row in rows]
    assert flags == [0, 0, 0, DUPLICATE, 0, 0]


def test_the_window_of_trades() -> None:
    numbers = [1, *range(10, WINDOW + 10), 1, 11]
    rows = audited([trade(n, BID, 1000, prev=-1) for n in numbers], trades=True)
    assert [row.flags & (LATE | DUPLICATE) for row in rows[-2:]] == [LATE, DUPLICATE]


def test_trades_without_ids_pass() -> None:
    rows = audited([trade(-1, BID, 1000, prev=-1), trade(5, BID, 1000, prev=-1)] * 2, trades=True)
    assert [row.flags & ~LAST for row in rows] == [0, 0, 0, DUPLICATE | int(Flag.TRADES)]


# state -------------------------------------------------------------------------------------------

STREAM = [
    depth(5, 2, SHORT),
    snapshot(6, BIDS, ASKS),
    depth(9, 5, SHORT),
    depth(14, 11, SHORT),
    depth(14, 11, SHORT),
    snapshot(15, BIDS, ASKS),
    depth(16, 14),
]
TRADES = [trade(n, BID, 1000) for n in [1, 4, 3, 9, 6, 4, 7]]


@pytest.mark.parametrize("trades", [False, True])
def test_batches_leave_no_trace_and_a_saved_audit_goes_on(trades: bool) -> None:
    messages = TRADES if trades else STREAM
    whole = audited(messages, trades=trades)
    assert audited(messages, trades=trades, single=True) == whole

    first, second = (TradeAudit(), TradeAudit()) if trades else (BookAudit(), BookAudit())
    rows = to_rows(first.process(to_batch(messages[:4])))
    saved = first.save()
    first.process(to_batch(messages[4:]))  # what goes on does not touch what was saved
    second.load(saved)
    assert rows + to_rows(second.process(to_batch(messages[4:]))) == whole
    assert all(isinstance(value, np.ndarray) for value in saved.values())
