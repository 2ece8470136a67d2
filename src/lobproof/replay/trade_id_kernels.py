"""How a loss of trades is seen: each trade is judged by its id."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.replay.integrity_kernels import OTHER, SAME, UNSEEN, content_of, mixed
from lobproof.schema import UNORDERED, Rows
from lobproof.schema.plain import F_DUPLICATE, F_OUT_OF_ORDER
from lobproof.schema.records import INT, Record, Records, integers, record, zeroed

MISSING_RANGES = 1024
WINDOW = 1 << 14
"""A trade came before where id and content are those of one of so many trades before it."""

SEEN_TRADE = record(*integers("trade_id", "content", "before"))  # before: the one in its bucket
TRADE_IDS = record(
    ("last", INT),  # highest id; -1 before the first trade
    ("lowest", INT),  # id before the lowest one seen
    # a ring of ranges of missing ids: exclusive start, inclusive end
    ("next_range", INT),
    ("missing", INT, (MISSING_RANGES, 2)),
    # of trades without a chain: how many have no id, how many have one, the lowest and the highest
    *integers("without_id", "with_id", "lowest_id", "highest_id"),
    # a hash of the last trades: how many came, and the last of each bucket, counted from 1
    ("seen", INT),
    ("buckets", INT, (WINDOW,)),
    ("window", SEEN_TRADE, (WINDOW,)),
)


def new_trade_ids() -> Records:
    """State of :func:`judge_trades` before the first trade; kernels take its one row."""
    states = zeroed(TRADE_IDS)
    states[0].last = -1
    return states


@kernel
def add_missing(ids: Record, low: int, high: int) -> None:
    """Remember the ids above ``low`` up to ``high`` as missing, if there are any."""
    if high > low:
        ids.missing[ids.next_range, 0] = low
        ids.missing[ids.next_range, 1] = high
        ids.next_range = (ids.next_range + 1) % MISSING_RANGES


@kernel
def was_missing(ids: Record, trade_id: int, before: int) -> bool:
    """Whether an id is in a range of missing ones; it is missing no more."""
    for r in range(MISSING_RANGES):
        low = ids.missing[r, 0]
        if low < trade_id <= ids.missing[r, 1]:
            # ids are filled from the front; a hole in the middle is cut in two
            ids.missing[r, 0] = trade_id
            if before > low:
                add_missing(ids, low, before)
            return True
    return False


@kernel
def note_trade(ids: Record, trade_id: int, content: int) -> int:
    """Remember a trade; whether one of its id came lately, and with the same content."""
    bucket = mixed(trade_id, 0) % WINDOW
    found = UNSEEN
    earlier = ids.buckets[bucket]
    while earlier > max(ids.seen - WINDOW, 0):
        one = ids.window[(earlier - 1) % WINDOW]
        if one.trade_id == trade_id:
            found = max(found, SAME if one.content == content else OTHER)
        earlier = one.before
    one = ids.window[ids.seen % WINDOW]
    one.trade_id = trade_id
    one.content = content
    one.before = ids.buckets[bucket]
    ids.seen += 1
    ids.buckets[bucket] = ids.seen
    return found


@kernel
def judge_trades(ids: Record, rows: Rows, verdicts: Records) -> int:
    """Judge each trade (one row each) by its id; returns how many verdicts are not empty.

    Ids in a chain: a late one that fills a known hole, or lies below all seen, is a trade out of
    order; any other is a duplicate, unless that id came lately with other content. Without a chain
    a duplicate has id and content of one of the last ``WINDOW`` trades, and all else is kept: out
    of order where the id goes back, unless it is of text (``UNORDERED`` and above), or none (below
    0). ``verdicts`` come as zeros.
    """
    sequence, prev_sequence = rows.sequence, rows.prev_sequence
    side, price, size = rows.side, rows.price, rows.size
    judged = 0
    for i in range(sequence.shape[0]):
        verdict = verdicts[i]
        trade_id = sequence[i]
        before = prev_sequence[i]
        if trade_id < 0:
            ids.without_id += 1 if before < 0 else 0
            continue
        content = content_of(i, i + 1, side, price, size)
        seen = note_trade(ids, trade_id, content)
        if before < 0:  # no chain
            if seen == SAME:
                verdict.collapse = F_DUPLICATE
            elif trade_id < UNORDERED:
                if trade_id < ids.last:
                    verdict.added = F_OUT_OF_ORDER
                ids.last = max(ids.last, trade_id)
                if seen == UNSEEN:
                    none = ids.with_id == 0
                    ids.lowest_id = trade_id if none else min(ids.lowest_id, trade_id)
                    ids.highest_id = max(ids.highest_id, trade_id)
                    ids.with_id += 1
        elif ids.last >= 0 and trade_id <= ids.last:  # it goes back
            if trade_id <= ids.lowest:
                # what lies between it and the lowest before may come still
                add_missing(ids, trade_id, ids.lowest)
                ids.lowest = before
                late = True
            else:
                late = was_missing(ids, trade_id, before)
            if late or seen == OTHER:
                verdict.added = F_OUT_OF_ORDER
            else:
                verdict.collapse = F_DUPLICATE
        else:
            if ids.last >= 0 and before > ids.last:  # trades are missing
                verdict.gap = 1
                verdict.gap_from = ids.last
                verdict.gap_to = before
                add_missing(ids, ids.last, before)
            if ids.last < 0:
                ids.lowest = before
            ids.last = trade_id
        if verdict.collapse != 0 or verdict.gap != 0 or verdict.added != 0:
            judged += 1
    return judged
