"""Kernels for what takes trust away: losses, and the marks that tell of them."""

from __future__ import annotations

from lobproof.book.kernels import Book, set_trust
from lobproof.jit import kernel
from lobproof.replay.evidence_kernels import anchored, judged
from lobproof.replay.ledger_kernels import (
    AWAITED,
    GAP_FROM,
    GAP_TO,
    INVALID,
    LOST,
    M_GAPS,
    PROBE,
    SEQUENCE,
    SNAPSHOT_TRUST,
    STALE,
    SUSPECTS,
    THIS_MINUTE,
    UNREAD,
    WAITING,
    add_episode,
    close_doubt,
    count_finding,
    last_known,
    open_doubt,
)
from lobproof.schema import (
    DISTRUSTS,
    EVERYTHING,
    UNTRUSTED,
    Finding,
    Flag,
    Int64,
    Side,
)

BID = int(Side.BID)
ASK = int(Side.ASK)

F_GAP = int(Flag.GAP)
F_RESYNC = int(Flag.RESYNC)
F_DUPLICATE = int(Flag.DUPLICATE)
F_OUT_OF_ORDER = int(Flag.OUT_OF_ORDER)
F_TRADES = int(Flag.TRADES)
F_INVALID = int(Flag.INVALID)
F_RECONNECT = int(Flag.RECONNECT)
F_DRIFT = int(Flag.DRIFT)

Q_GAP = int(Finding.GAP)
Q_RESET = int(Finding.SEQUENCE_RESET)
Q_TRADE_GAP = int(Finding.TRADE_GAP)
Q_DRIFT = int(Finding.DRIFT)
Q_DUPLICATE = int(Finding.DUPLICATE)
Q_OUT_OF_ORDER = int(Finding.OUT_OF_ORDER)
Q_TRUNCATED = int(Finding.TRUNCATED_INPUT)
Q_SILENCE = int(Finding.SILENCE)
Q_UNREADABLE = int(Finding.UNREADABLE)


@kernel
def lose_trust(book: Book, run: Int64, code: int) -> None:
    """Marks both sides untrusted, because of ``code``."""
    set_trust(book, BID, UNTRUSTED, 0)
    set_trust(book, ASK, UNTRUSTED, 0)
    run[LOST] = code
    run[SUSPECTS] = 0
    run[AWAITED] = 0
    run[WAITING] = 0
    run[PROBE] = 0
    run[STALE] = 1
    run[STALE + 1] = 1


@kernel
def lose_track(book: Book, run: Int64, found: Int64, code: int, event_id: int, ts: int) -> None:
    """Of a loss that shows at ``event_id``: nothing is trusted, since the book was last known.

    In between lies the outage, and the book that stood there may have been wrong from the first
    moment on.
    """
    if run[LOST] != 0:
        close_doubt(run, found, run[LOST], event_id - 1, ts)
    since, since_ts = last_known(run)
    lose_trust(book, run, code)
    open_doubt(run, code, since, since_ts)


@kernel
def trust_snapshot_alone(book: Book, run: Int64) -> None:
    """Of what was known before the last snapshot nothing holds: only what it lists is trusted."""
    for half in (BID, ASK):
        covered = SNAPSHOT_TRUST + 2 * (half - 1)
        set_trust(book, half, run[covered], run[covered + 1])
        run[STALE + half - 1] = 0 if run[covered] == EVERYTHING else 1


@kernel
def note_mark(
    book: Book,
    run: Int64,
    found: Int64,
    flags: int,
    event_id: int,
    ts: int,
    ids_from: int,
    ids_to: int,
) -> None:
    """A MARK row other than an empty depth message."""
    if flags & F_TRADES:
        if flags & F_GAP:
            add_episode(
                run,
                found,
                Q_TRADE_GAP,
                event_id,
                event_id,
                ts,
                ts,
                ids_to - ids_from,
                ids_from + 1,
                ids_to,
            )
        if flags & F_DUPLICATE:
            add_episode(run, found, Q_DUPLICATE, event_id, event_id, ts, ts, 1, ids_to, ids_to)
        if flags & F_INVALID:
            count_finding(run, INVALID, event_id, ts, 1)
        return
    if flags & F_GAP:
        run[THIS_MINUTE + M_GAPS] += 1
        since, since_ts = last_known(run)
        if run[UNREAD] > 0:
            add_episode(run, found, Q_UNREADABLE, since, event_id, since_ts, ts, run[UNREAD], 0, 0)
        if flags & F_RESYNC:
            missing = ids_to - ids_from
            add_episode(
                run, found, Q_GAP, since, event_id, since_ts, ts, missing, ids_from + 1, ids_to
            )
            # what the snapshot before it does not list may have changed in the lost messages,
            # and what differs in it they explain
            trust_snapshot_alone(book, run)
            if run[SUSPECTS] > 0:
                judged(run)
            anchored(book, run)
        else:
            code = Q_RESET if flags & F_OUT_OF_ORDER else Q_GAP
            lose_track(book, run, found, code, event_id, ts)
            run[GAP_FROM] = ids_from if ids_from >= 0 else run[SEQUENCE]
            run[GAP_TO] = ids_to
        return
    if flags & DISTRUSTS:
        lose_track(book, run, found, Q_DRIFT if flags & F_DRIFT else Q_SILENCE, event_id, ts)
        return
    first = ids_from + 1 if 0 <= ids_from < ids_to else ids_to
    if flags & F_DUPLICATE:
        add_episode(run, found, Q_DUPLICATE, event_id, event_id, ts, ts, 1, first, ids_to)
    if flags & F_OUT_OF_ORDER:
        add_episode(run, found, Q_OUT_OF_ORDER, event_id, event_id, ts, ts, 1, first, ids_to)
    if flags & F_INVALID:
        count_finding(run, INVALID, event_id, ts, 1)
        if ids_to < 0:
            run[UNREAD] += 1
    if flags & F_RECONNECT:
        add_episode(run, found, Q_TRUNCATED, event_id, event_id, ts, ts, 1, 0, 0)
