"""Stored events applied to a book: what leads from a keyframe to an instant.

The rows say all that the replay knew. A snapshot with ``REFUTED`` was not applied; one with
``AWAITS`` was, until the depth message behind it, whose ``REFUTED`` undoes it. ``DRIFT`` on either
takes trust away, or leaves what the snapshot alone lists; so do ``GHOST_LEVELS``, a mark of a gap,
of drift or of silence, and a crossed book. Trust is kept by :mod:`lobproof.book.trust_kernels`.
"""

from __future__ import annotations

from lobproof.book.kernels import Book, apply_level, crossed
from lobproof.book.trust_kernels import (
    DEFINITE,
    TRUST,
    begin_undo,
    clear,
    deny,
    first_ask,
    forget_listed,
    grow,
    list_side,
    lose,
    trust_snapshot_alone,
    undo,
)
from lobproof.jit import kernel
from lobproof.schema import DISTRUSTS, Rows, speaks_of_the_feed
from lobproof.schema.plain import (
    ASK,
    BID,
    CLEAR,
    F_AWAITS,
    F_COMPLETE,
    F_DRIFT,
    F_GAP,
    F_GHOST_LEVELS,
    F_LAST,
    F_OUT_OF_ORDER,
    F_REFUTED,
    F_RESYNC,
    F_TRADES,
    MARK,
    Q_CROSSED,
    Q_DRIFT,
    Q_GAP,
    Q_SEQUENCE_RESET,
    Q_SILENCE,
    SNAPSHOT,
    TRADE,
)
from lobproof.schema.records import INT, Record, Records, record, zeroed

REBUILD = record(
    ("trust", TRUST),
    ("sequence", INT),  # of the last depth message; -1 before the first
)
"""What is kept beside the book from call to call."""

speaks = kernel(speaks_of_the_feed)


def new_rebuild() -> Records:
    """Of an empty book; kernels take its one row."""
    rebuilds = zeroed(REBUILD)
    rebuilds[0].sequence = -1
    return rebuilds


@kernel
def note_loss(trust: Record, flags: int) -> None:
    """What a mark takes away: all trust, or all but what the last snapshot lists."""
    if flags & F_GAP and not flags & F_TRADES:
        if flags & F_RESYNC:
            trust_snapshot_alone(trust)
        else:
            lose(trust, Q_SEQUENCE_RESET if flags & F_OUT_OF_ORDER else Q_GAP)
    elif flags & DISTRUSTS:
        lose(trust, Q_DRIFT if flags & F_DRIFT else Q_SILENCE)


@kernel
def rebuild_snapshot(book: Book, trust: Record, rows: Rows, start: int, stop: int) -> None:
    """A snapshot in rows ``start:stop``, CLEAR or not, as the replay took it over."""
    flags = rows.flags[start]
    begin = start
    if rows.kind[start] == CLEAR:
        clear(book, trust)
        begin += 1
    else:
        undo(book, trust)  # of two in a row the first may be the one that errs
    if flags & (F_DRIFT | F_GHOST_LEVELS):
        deny(trust)
    if flags & F_REFUTED:  # it was not applied
        if flags & F_DRIFT:
            lose(trust, Q_DRIFT)
        return
    trust.reason = 0
    if flags & F_AWAITS:
        begin_undo(trust)
    asks = first_ask(rows.side, begin, stop)
    for side in (BID, ASK):
        low = begin if side == BID else asks
        high = asks if side == BID else stop
        complete = high > low and (rows.flags[low] & F_COMPLETE) != 0
        list_side(book, trust, side, rows.price, low, high, complete)
        for row in range(low, high):
            apply_level(book, side, rows.price[row], rows.size[row])


@kernel
def rebuild_depth(book: Book, trust: Record, rows: Rows, start: int, stop: int) -> None:
    """A depth message in rows ``start:stop``; it may be empty, and decide about a snapshot."""
    if rows.flags[start] & F_REFUTED:
        undo(book, trust)
    if rows.kind[start] != MARK:
        for row in range(start, stop):
            apply_level(book, rows.side[row], rows.price[row], rows.size[row])
    _decide(trust, rows.flags[start])


@kernel
def _decide(trust: Record, flags: int) -> None:
    """What the flags of a depth message say about the snapshot that waits."""
    trust.waits = DEFINITE
    if flags & F_DRIFT:
        if flags & F_REFUTED:  # neither the snapshot nor the chain is believed
            lose(trust, Q_DRIFT)
        else:  # the snapshot is
            trust_snapshot_alone(trust)


@kernel
def apply_events(book: Book, rebuild: Record, rows: Rows, start: int, end: int) -> None:
    """Apply the whole messages in rows ``start:end``; trades leave the book alone.

    Parameters
    ----------
    book
        With room for as many levels as there are rows (`ensure_far_capacity`).
    rebuild
        Kept from call to call; in the beginning of a keyframe.
    """
    trust = rebuild.trust
    row = start
    while row < end:
        stop = row
        while stop + 1 < end and not rows.flags[stop] & F_LAST:
            stop += 1
        stop += 1
        kind = rows.kind[row]
        if kind == TRADE or (kind == MARK and speaks(rows.flags[row], rows.prev_sequence[row])):
            note_loss(trust, rows.flags[row])
            row = stop
            continue
        listed = kind in (SNAPSHOT, CLEAR)
        if listed:
            rebuild_snapshot(book, trust, rows, row, stop)
        else:
            rebuild_depth(book, trust, rows, row, stop)
        _settle(book, rebuild, rows.sequence[row], listed)
        row = stop


@kernel
def _settle(book: Book, rebuild: Record, sequence: int, listed: bool) -> None:
    """Trust behind a snapshot (``listed``) or a depth message, whose levels are set."""
    trust = rebuild.trust
    if crossed(book):
        lose(trust, Q_CROSSED)
    else:
        grow(book, trust, BID)
        grow(book, trust, ASK)
    if not listed:
        rebuild.sequence = sequence
    if not listed or sequence == rebuild.sequence:
        forget_listed(trust)


@kernel
def settle_depth(book: Book, rebuild: Record, rows: Rows, row: int) -> None:
    """`apply_events` of a depth message that begins in ``row``, whose levels the caller has set.

    One with ``REFUTED`` undoes a snapshot first: that one is for `apply_events`.
    """
    _decide(rebuild.trust, rows.flags[row])
    _settle(book, rebuild, rows.sequence[row], False)


@kernel
def apply_stored(book: Book, rebuilds: Records, rows: Rows, start: int, end: int) -> None:
    """`apply_events`, for Python: an array of one record is handed over faster than the record."""
    apply_events(book, rebuilds[0], rows, start, end)
