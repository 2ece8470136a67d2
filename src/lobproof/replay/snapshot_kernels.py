"""Kernels for what vouches for a book or refutes it: snapshots, and drift."""

from __future__ import annotations

from lobproof.book.kernels import (
    Book,
    apply_level,
    clear_book,
    clear_side_range,
    extend_trust,
    set_trust,
    trust,
    trusted_to,
)
from lobproof.book.undo_kernels import SAVED, begin_undo, log_side, undo_levels
from lobproof.jit import kernel
from lobproof.replay.drift_kernels import compare_beyond, compare_side
from lobproof.replay.evidence_kernels import (
    BELIEVED,
    DISBELIEVED,
    anchored,
    confirmed,
    judged,
    listed_to,
    weigh,
)
from lobproof.replay.ledger_kernels import (
    AGREED_ID,
    AGREED_TS,
    AGREES_TO,
    CHAINED_ID,
    CHAINED_TS,
    DIFFERING,
    DOUBTED_ID,
    DOUBTED_TS,
    LIFE_TS,
    LOST,
    M_CONTRADICTIONS,
    M_DRIFT_EQUAL,
    NEVER,
    PROBED,
    REFUTED,
    SEQUENCE,
    SHARED,
    SNAPSHOT_TRUST,
    STALE,
    SUSPECT_ID,
    SUSPECT_TS,
    SUSPECTS,
    THIS_MINUTE,
    UNCHAINED,
    UNDO,
    UNFOLLOWED,
    WAITING,
    Float64,
    add_episode,
    open_doubt,
)
from lobproof.replay.mark_kernels import lose_trust, trust_snapshot_alone
from lobproof.schema import (
    EVERYTHING,
    RANGE,
    UNTRUSTED,
    Finding,
    Flag,
    Int8,
    Int32,
    Int64,
    Kind,
    Side,
)

SNAPSHOT = int(Kind.SNAPSHOT)
CLEAR = int(Kind.CLEAR)
BID = int(Side.BID)
ASK = int(Side.ASK)

F_COMPLETE = int(Flag.COMPLETE)
F_DRIFT = int(Flag.DRIFT)
F_STRANDED = int(Flag.STRANDED)
F_REFUTED = int(Flag.REFUTED)
F_AWAITS = int(Flag.AWAITS)

Q_DRIFT = int(Finding.DRIFT)
Q_STRANDED = int(Finding.STRANDED)

FAR_AWAY = 2**62 - 1


@kernel
def reach_known(book: Book, side: int, price: Int64, start: int, stop: int, complete: bool) -> int:
    """How far (sign * price) both the book and a snapshot's rows ``start:stop`` know a side."""
    kind = trust(book, side)
    if kind == UNTRUSTED or stop == start:
        return NEVER
    sign = 2 * side - 3
    known = 2**62 if complete else sign * price[stop - 1]
    return int(known if kind == EVERYTHING else min(known, sign * trusted_to(book, side)))


@kernel
def restore(book: Book, run: Int64) -> None:
    """The book, its trust and what is stale, as before the snapshot that waits."""
    undo_levels(book, run[UNDO:])
    for half in (BID, ASK):
        run[STALE + half - 1] = run[UNDO + SAVED + 3 * (half - 1) + 2]
    run[WAITING] = 0


@kernel
def disbelieve(book: Book, run: Int64, found: Int64, verdict: int, last: int, ts: int) -> int:
    """A snapshot is not believed, and the chain only where the verdict says so.

    What was replayed since the snapshot, up to the event ``last``, is in doubt. Returns flags for
    the rows of the message that decides.
    """
    run[THIS_MINUTE + M_CONTRADICTIONS] += 1
    if verdict == DISBELIEVED:
        add_episode(
            run,
            found,
            REFUTED,
            run[DOUBTED_ID],
            max(last, run[DOUBTED_ID]),
            run[DOUBTED_TS],
            ts,
            run[SUSPECTS],
            0,
            0,
        )
        run[SUSPECTS] = 0
        return F_REFUTED
    run[DIFFERING] = run[SUSPECTS]
    lose_trust(book, run, Q_DRIFT)
    open_doubt(run, Q_DRIFT, run[AGREED_ID], run[AGREED_TS])
    return F_REFUTED | F_DRIFT


@kernel
def judge_waiting(
    book: Book,
    run: Int64,
    found: Int64,
    start: int,
    stop: int,
    side: Int8,
    price: Int64,
    size: Int64,
    event_id: int,
    ts: int,
) -> int:
    """The depth message in rows ``start:stop`` has come that a snapshot waited for.

    Returns flags for its rows. A snapshot that is not believed is undone, and the message applied
    to the book as it was.
    """
    if run[SUSPECTS] == 0:
        judged(run)
        confirmed(book, run, run[AGREES_TO], run[AGREES_TO + 1])
        return 0
    verdict = weigh(run)
    if verdict == BELIEVED:
        report_drift(run, found, run[SUSPECT_ID] - 1, run[SUSPECT_TS])
        trust_snapshot_alone(book, run)
        judged(run)
        anchored(book, run)
        return F_DRIFT
    restore(book, run)
    for i in range(start, stop):
        if price[i] > 0:
            apply_level(book, side[i], price[i], size[i])
    return disbelieve(book, run, found, verdict, event_id - 1, ts)


@kernel
def probation_failed(book: Book, run: Int64) -> int:
    """Depth messages name level after level that the anchor lacks, and none that it lists."""
    run[THIS_MINUTE + M_CONTRADICTIONS] += 1
    run[DIFFERING] = run[PROBED]
    lose_trust(book, run, Q_DRIFT)
    open_doubt(run, Q_DRIFT, run[AGREED_ID], run[AGREED_TS])
    return F_REFUTED | F_DRIFT


@kernel
def apply_snapshot(
    book: Book,
    run: Int64,
    found: Int64,
    squares: Float64,
    start: int,
    stop: int,
    first_id: int,
    ts: int,
    tick: int,
    kind: Int8,
    side: Int8,
    price: Int64,
    size: Int64,
    sequence: Int64,
    flags: Int32,
) -> int:
    """Rows ``start:stop`` list a book: compare, then take it over. Returns flags for the rows."""
    add = 0
    begin = start
    last_id = first_id + stop - start - 1
    if kind[start] == CLEAR:
        clear_book(book)
        run[SUSPECTS] = 0
        run[WAITING] = 0
        run[STALE] = 0
        run[STALE + 1] = 0
        begin += 1
    middle = begin
    while middle < stop and side[middle] == BID:
        middle += 1
    bids_complete = middle > begin and (flags[begin] & F_COMPLETE) != 0
    asks_complete = stop > middle and (flags[middle] & F_COMPLETE) != 0
    if flags[start] & F_STRANDED:
        add_episode(
            run,
            found,
            Q_STRANDED,
            run[AGREED_ID],
            max(last_id - 1, run[AGREED_ID]),
            run[AGREED_TS],
            ts,
            run[DIFFERING],
            0,
            0,
        )
        for half in (BID, ASK):
            set_trust(book, half, UNTRUSTED, 0)
            run[STALE + half - 1] = 1
    # of a chained feed a later snapshot is evidence beside the chain
    later = kind[start] == SNAPSHOT and run[UNCHAINED] == 0 and run[LOST] == 0
    bids_to = NEVER
    asks_to = NEVER
    contradicts = kind[start] == SNAPSHOT and run[UNCHAINED] != 0 and run[SUSPECTS] > 0
    if later:
        if run[WAITING] != 0:  # of two before one depth message the first may be the one that errs
            restore(book, run)
        earlier = run[SUSPECTS]
        alike = run[THIS_MINUTE + M_DRIFT_EQUAL]
        bids_to = reach_known(book, BID, price, begin, middle, bids_complete)
        asks_to = reach_known(book, ASK, price, middle, stop, asks_complete)
        for half in (BID, ASK):
            low = begin if half == BID else middle
            high = middle if half == BID else stop
            complete = bids_complete if half == BID else asks_complete
            compare_side(book, run, squares, half, price, size, low, high, complete, tick, earlier)
            compare_beyond(book, run, half, price, size, low, high, complete, earlier)
        run[SHARED] = run[THIS_MINUTE + M_DRIFT_EQUAL] - alike
        if run[SUSPECTS] > 0:
            if earlier == 0:
                run[DOUBTED_ID] = last_id
                run[DOUBTED_TS] = ts
            if sequence[start] == run[SEQUENCE]:  # nothing else can explain what differs
                verdict = weigh(run)
                if verdict != BELIEVED:
                    return disbelieve(book, run, found, verdict, last_id, ts)
                contradicts = True
            else:
                begin_undo(book, run[UNDO:], run[STALE], run[STALE + 1])
                run[WAITING] = 1
                add |= F_AWAITS
    if contradicts:
        report_drift(run, found, last_id - 1, ts)
        set_trust(book, BID, UNTRUSTED, 0)
        set_trust(book, ASK, UNTRUSTED, 0)
        run[STALE] = 1
        run[STALE + 1] = 1
        add |= F_DRIFT
    run[LIFE_TS] = ts
    if run[LOST] != 0:
        run[LOST] = 0
        own = kind[start] == CLEAR and run[UNCHAINED] != 0  # snapshots are this feed's messages
        run[UNFOLLOWED] = 0 if own or sequence[start] == run[SEQUENCE] else 1
        run[CHAINED_ID] = last_id
        run[CHAINED_TS] = ts
    if run[SUSPECTS] == 0:
        run[AGREED_ID] = last_id
        run[AGREED_TS] = ts
    else:
        run[SUSPECT_ID] = last_id
        run[SUSPECT_TS] = ts
    run[SNAPSHOT_TRUST : SNAPSHOT_TRUST + 4] = UNTRUSTED
    for half in (BID, ASK):
        low = begin if half == BID else middle
        high = middle if half == BID else stop
        if high == low:
            continue
        complete = bids_complete if half == BID else asks_complete
        worst = price[high - 1]
        covered = SNAPSHOT_TRUST + 2 * (half - 1)
        run[covered] = EVERYTHING if complete else RANGE
        run[covered + 1] = 0 if complete else worst
        if complete:
            run[STALE + half - 1] = 0
        if run[WAITING] != 0:
            log_side(book, run[UNDO:], half, listed_to(run, half), price[low:high])
        clear_side_range(book, half, (2 * half - 3) * FAR_AWAY if complete else worst)
        for i in range(low, high):
            apply_level(book, half, price[i], size[i])
        extend_trust(book, half, worst, complete)
    if run[UNCHAINED] == 0:
        if not later or contradicts:
            anchored(book, run)
        elif run[WAITING] == 0:
            confirmed(book, run, bids_to, asks_to)
        else:
            run[AGREES_TO] = bids_to
            run[AGREES_TO + 1] = asks_to
    return add


@kernel
def report_drift(run: Int64, found: Int64, last: int, ts: int) -> None:
    """A snapshot proves the book wrong since it last agreed."""
    run[THIS_MINUTE + M_CONTRADICTIONS] += 1
    add_episode(
        run,
        found,
        Q_DRIFT,
        run[AGREED_ID],
        max(last, run[AGREED_ID]),
        run[AGREED_TS],
        ts,
        run[SUSPECTS],
        0,
        0,
    )
    run[SUSPECTS] = 0
