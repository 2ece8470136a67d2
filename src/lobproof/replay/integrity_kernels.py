"""How a loss is seen by ids: each message of the book's stream is judged, venue-neutrally.

The state is kept from call to call, so that a stream may be cut anywhere.
"""

from __future__ import annotations

from lobproof.jit import inlined, kernel
from lobproof.schema import SPEAKS_OF_THE_FEED, Int8, Int32, Int64, Rows
from lobproof.schema.plain import (
    BID,
    CLEAR,
    F_DRIFT,
    F_DUPLICATE,
    F_GAP,
    F_INVALID,
    F_LAST,
    F_OUT_OF_ORDER,
    F_RESYNC,
    MARK,
    SNAPSHOT,
)
from lobproof.schema.records import INT, Record, Records, record, zeroed

RECENT_IDS = 1024
BOOK_IDS = record(
    ("sequence", INT),  # of the last applied depth message; -1 before the first
    ("snapshot", INT),  # id of the last snapshot since then; -1 with none
    ("anchored", INT),  # 1 from a valid snapshot until a gap
    ("seeded", INT),  # 1 once a snapshot was valid
    ("ts_event", INT),  # exchange time of the last applied depth message
    ("next_recent", INT),
    ("recent", INT, (RECENT_IDS,)),  # ids of the last applied depth messages
    ("contents", INT, (RECENT_IDS,)),  # what stands for their rows
)
UNSEEN, OTHER, SAME = range(3)  # of an id that comes again
MASK = (1 << 62) - 1
FACTOR = 0x9E3779B1

VERDICT = record(
    ("collapse", INT),  # flags of the MARK row that stands in for the message; 0 keeps it
    ("gap", INT),  # 1: a GAP mark goes before it
    ("gap_from", INT),  # last id before the gap
    ("gap_to", INT),  # last missing id
    ("gap_flags", INT),  # flags added to the GAP mark
    ("clear", INT),  # 1: a CLEAR row opens the message
    ("added", INT),  # flags added to every row of the message
)
"""Of one message; all zeros where it stays as it is."""


def new_book_ids() -> Records:
    """State of :func:`judge_book` before the first message; kernels take its one row."""
    states = zeroed(BOOK_IDS)
    ids = states[0]
    ids.sequence = ids.snapshot = -1
    ids.recent[:] = -1
    ids.contents[:] = -1
    return states


@kernel
def message_ends(flags: Int32, ends: Int64) -> int:
    """Write the index one past each message's last row into ``ends``; returns their number."""
    count = 0
    for i in range(flags.shape[0]):
        if flags[i] & F_LAST:
            ends[count] = i + 1
            count += 1
    return count


@kernel
def snapshot_is_valid(start: int, stop: int, side: Int8, price: Int64, size: Int64) -> bool:
    """Whether rows ``start:stop`` list bids, then asks, best first, uncrossed, sizes above 0."""
    best_bid = 0
    best_ask = 0
    previous_side = BID
    previous = 0
    for i in range(start, stop):
        if size[i] <= 0 or price[i] <= 0 or side[i] < previous_side:
            return False
        if side[i] == BID:
            if best_bid == 0:
                best_bid = price[i]
            elif price[i] >= previous:
                return False
        else:
            if best_ask == 0:
                best_ask = price[i]
            elif price[i] <= previous:
                return False
        previous = price[i]
        previous_side = side[i]
    return best_bid == 0 or best_ask == 0 or best_bid < best_ask


@kernel
def mixed(value: int, number: int) -> int:
    """A hash, up to 2^62, of what ``value`` stands for and one more number."""
    value = (value ^ (value >> 31) ^ number) & MASK
    return ((value & 0x7FFFFFFF) * FACTOR ^ (value >> 31)) & MASK


@kernel
def content_of(start: int, stop: int, side: Int8, price: Int64, size: Int64) -> int:
    """A number that stands for what rows ``start:stop`` say."""
    value = stop - start
    for i in range(start, stop):
        value = mixed(value, (price[i] << 2) + side[i])
        value ^= size[i]
    return mixed(value, 0)


@kernel
def seen_before(ids: Record, sequence: int, content: int) -> int:
    """Whether a depth message of this id was applied lately, and with the same content."""
    found = UNSEEN
    for k in range(RECENT_IDS):
        if ids.recent[k] == sequence:
            found = max(found, SAME if ids.contents[k] == content else OTHER)
    return found


@inlined
def remember(ids: Record, sequence: int, content: int) -> None:
    """Note a depth message that is applied."""
    ids.recent[ids.next_recent] = sequence
    ids.contents[ids.next_recent] = content
    ids.next_recent = (ids.next_recent + 1) % RECENT_IDS


@inlined
def break_chain(ids: Record, verdict: Record, gap_from: int, gap_to: int, flags: int) -> None:
    """A GAP mark goes before the message; ``flags`` are added to it."""
    verdict.gap = 1
    verdict.gap_from = gap_from
    verdict.gap_to = gap_to
    verdict.gap_flags = flags
    if not flags & F_RESYNC:  # with it a snapshot reaches over the gap
        ids.anchored = 0


@kernel
def judge_book(ids: Record, ends: Int64, rows: Rows, verdicts: Records) -> int:
    """Judge each book message by the chain rule; returns how many verdicts are not empty.

    A depth message is next when its ``prev_sequence`` is the last applied ``sequence``, or, right
    after a snapshot, when the snapshot's id lies in ``[prev_sequence, sequence)``. A feed without
    a chain has ``prev_sequence`` -1: there, only going backwards is seen, and a message that does
    so, unless it came before, breaks the chain: what it changed is not in the book. It came before
    where id and content are those of a message applied lately; the same id with other content is
    a loss of order too, and in a chain a contradiction: which of the two is right nobody knows. A
    negative id says nothing of the order, and is treated as one that goes back. A snapshot
    older than what was applied would move the book back, and one that lists nothing (a MARK whose
    two ids are the same) says nothing: both are left out. Ids that go back while the exchange's
    time goes on are no late message but a new beginning: the chain breaks there, and goes on with
    them. A snapshot that opens with CLEAR needs no anchor; where no depth messages are, its
    ids may begin anew too. ``verdicts`` come as zeros.
    """
    kinds, sequences, previous = rows.kind, rows.sequence, rows.prev_sequence
    judged = 0
    start = 0
    for m in range(ends.shape[0]):
        stop = ends[m]
        verdict = verdicts[m]
        kind = kinds[start]
        sequence = sequences[start]
        if kind in (SNAPSHOT, CLEAR):
            judge_snapshot(ids, rows, start, stop, verdict)
        elif kind == MARK and rows.flags[start] & SPEAKS_OF_THE_FEED:
            pass  # the source's own
        elif kind == MARK and sequence == previous[start]:  # a snapshot that lists nothing
            verdict.collapse = F_INVALID
        elif sequence < 0:
            verdict.collapse = F_OUT_OF_ORDER | F_GAP
            ids.anchored = 0
        else:
            judge_depth(ids, rows, start, stop, verdict)
        if verdict.collapse != 0 or verdict.gap != 0 or verdict.clear != 0 or verdict.added != 0:
            judged += 1
        start = stop
    return judged


@inlined
def judge_snapshot(ids: Record, rows: Rows, start: int, stop: int, verdict: Record) -> None:
    """A snapshot: valid, not older than what was applied, and whether it opens the book anew."""
    sequence = rows.sequence[start]
    ts_event = rows.ts_event[start]
    opens = rows.kind[start] == CLEAR
    begin = start + 1 if opens else start
    # where snapshots are the feed's messages their ids may begin anew, with time going on
    anew = opens and ids.sequence < 0 and ts_event > ids.ts_event > 0
    if not snapshot_is_valid(begin, stop, rows.side, rows.price, rows.size):
        verdict.collapse = F_INVALID
        return
    if sequence < max(ids.sequence, ids.snapshot) and not anew:
        verdict.collapse = F_OUT_OF_ORDER
        return
    if opens:
        if sequence < ids.snapshot:
            verdict.gap = 1
            verdict.gap_from = ids.snapshot
            verdict.gap_to = sequence
            verdict.gap_flags = F_OUT_OF_ORDER
        ids.ts_event = ts_event
    elif ids.anchored == 0:
        verdict.clear = 1
        if ids.seeded == 1:
            verdict.added = F_RESYNC
    elif ids.sequence < 0 and sequence > ids.snapshot:
        # no message leads from the snapshot before to this one: another beginning
        verdict.clear = 1
    ids.anchored = 1
    ids.seeded = 1
    ids.snapshot = sequence


@inlined
def judge_depth(ids: Record, rows: Rows, start: int, stop: int, verdict: Record) -> None:
    """A depth message: next in the chain, behind a gap, late, or there before."""
    sequence = rows.sequence[start]
    previous = rows.prev_sequence[start]
    ts_event = rows.ts_event[start]
    last = ids.sequence
    content = content_of(start, stop, rows.side, rows.price, rows.size)
    began_anew = sequence < last and ts_event > ids.ts_event > 0
    if last >= 0 and sequence <= last and not began_anew:
        # it goes back, and is not applied
        before = seen_before(ids, sequence, content)
        if before == SAME and (previous < 0 or sequence == last):
            verdict.collapse = F_DUPLICATE
        elif previous < 0:  # no chain tells what was lost
            verdict.collapse = F_OUT_OF_ORDER | F_GAP
            ids.anchored = 0
        elif before == OTHER:  # one id, two contents
            verdict.collapse = F_OUT_OF_ORDER | F_DRIFT
            ids.anchored = 0
        else:
            verdict.collapse = F_OUT_OF_ORDER
        return
    known = last if last >= 0 else ids.snapshot
    if began_anew:
        break_chain(ids, verdict, last, previous if previous >= 0 else sequence - 1, F_OUT_OF_ORDER)
    elif previous >= 0 and known >= 0:
        if previous > known:  # messages are missing; a snapshot may reach over them
            reaches = ids.snapshot >= previous
            break_chain(ids, verdict, known, previous, F_RESYNC if reaches else 0)
        elif last >= 0 and previous < last:  # it overlaps what was applied
            verdict.added = F_OUT_OF_ORDER
    ids.sequence = sequence
    remember(ids, sequence, content)
    ids.snapshot = -1
    ids.ts_event = ts_event


@kernel
def assemble(
    ends: Int64,
    verdicts: Records,
    source: Int64,
    role: Int8,
    message: Int64,
) -> int:
    """Plan the rows of the judged batch; returns their number.

    ``source[j]`` is the input row that output row ``j`` is made from, ``message[j]`` its message,
    ``role[j]`` what it is: 0 the row itself, 1 a GAP mark, 2 a CLEAR row, 3 a collapsed message.
    """
    rows = 0
    start = 0
    for m in range(ends.shape[0]):
        stop = ends[m]
        verdict = verdicts[m]
        if verdict.gap == 1:
            source[rows] = start
            role[rows] = 1
            message[rows] = m
            rows += 1
        if verdict.collapse != 0:
            source[rows] = start
            role[rows] = 3
            message[rows] = m
            rows += 1
        else:
            if verdict.clear == 1:
                source[rows] = start
                role[rows] = 2
                message[rows] = m
                rows += 1
            for i in range(start, stop):
                source[rows] = i
                role[rows] = 0
                message[rows] = m
                rows += 1
        start = stop
    return rows
