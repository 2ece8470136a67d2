"""How trust is lost in a replay, and what the marks of a feed say.

A mark is a row that speaks of the feed: a gap that the chain shows, a message that came late or
twice, a line that cannot be read, the end of a recording; or that a vendor's row contradicts the
book, or that the feed is silent. The audit (`integrity`) and the replay itself insert them.
"""

from __future__ import annotations

from lobproof.book.kernels import Book
from lobproof.book.trust_kernels import lose, trust_snapshot_alone
from lobproof.jit import kernel
from lobproof.replay.anchor_kernels import anchored, judged
from lobproof.replay.state_kernels import (
    Outputs,
    add_at,
    add_finding,
    add_since,
    close_doubt,
    open_doubt,
    tally,
)
from lobproof.schema import DISTRUSTS
from lobproof.schema.plain import (
    F_DRIFT,
    F_DUPLICATE,
    F_GAP,
    F_INVALID,
    F_OUT_OF_ORDER,
    F_RECONNECT,
    F_RESYNC,
    F_TRADES,
    Q_DRIFT,
    Q_DUPLICATE,
    Q_GAP,
    Q_INVALID_INPUT,
    Q_OUT_OF_ORDER,
    Q_SEQUENCE_RESET,
    Q_SILENCE,
    Q_TRADE_GAP,
    Q_TRUNCATED_INPUT,
    Q_UNREADABLE,
    Q_UNSEEDED,
)
from lobproof.schema.records import Record


@kernel
def last_known(state: Record) -> Record:
    """The moment after which the book was last known to be right: what a loss reaches back to.

    A whole chain proves it of each message; without one, a snapshot or row that agrees does.
    """
    known: Record = state.agreed if state.chainless != 0 else state.chained
    return known


@kernel
def lose_trust(state: Record, code: int) -> None:
    """Marks both sides untrusted, because of ``code``; what was to be judged is judged no more."""
    lose(state.trust, code)
    state.mismatches = 0
    state.vendor_row_waits = 0
    state.on_probation = 0


@kernel
def lose_since_agreed(state: Record, code: int) -> None:
    """Trust is lost, and doubtful is all since something last vouched for the book."""
    lose_trust(state, code)
    open_doubt(state, code, state.agreed.event_id, state.agreed.ts)


@kernel
def lose_track(state: Record, out: Outputs, code: int, event_id: int, ts: int) -> None:
    """Of a loss that shows at ``event_id``: nothing is trusted, since the book was last known.

    In between lies the outage, and the book that stood there may have been wrong from the first
    moment on.
    """
    if state.trust.reason != 0:  # the loss before ends here, and this one goes on
        close_doubt(state, out, state.trust.reason, event_id - 1, ts)
    since = last_known(state)
    lose_trust(state, code)
    open_doubt(state, code, since.event_id, since.ts)


@kernel
def note_mark(
    book: Book,
    state: Record,
    out: Outputs,
    flags: int,
    event_id: int,
    ts: int,
    ids_from: int,
    ids_to: int,
) -> None:
    """A MARK row other than an empty depth message."""
    if flags & F_TRADES:
        note_trade_mark(state, out, flags, event_id, ts, ids_from, ids_to)
    elif flags & F_GAP and flags & F_INVALID:
        note_unread_row(state, out, ids_from, event_id, ts)
    elif flags & F_GAP:
        note_gap(book, state, out, flags, event_id, ts, ids_from, ids_to)
    elif flags & DISTRUSTS:
        # a vendor's row contradicts the book, or the feed has been silent
        code = Q_DRIFT if flags & F_DRIFT else Q_SILENCE
        lose_track(state, out, code, event_id, ts)
    else:
        # a message that is not applied, or a line that cannot be read: the chain tells what it cost
        first = ids_from + 1 if 0 <= ids_from < ids_to else ids_to
        if flags & F_DUPLICATE:
            add_at(state, out, Q_DUPLICATE, event_id, ts, 1, first, ids_to)
        if flags & F_OUT_OF_ORDER:
            add_at(state, out, Q_OUT_OF_ORDER, event_id, ts, 1, first, ids_to)
        if flags & F_INVALID:
            tally(state, Q_INVALID_INPUT, event_id, ts)
            # it may have been a depth message; where no chain would tell, `note_unread_row` does
            if ids_to < 0 and state.chainless == 0:
                state.unread += 1
        if flags & F_RECONNECT:
            add_at(state, out, Q_TRUNCATED_INPUT, event_id, ts, 1, 0, 0)


@kernel
def note_trade_mark(
    state: Record,
    out: Outputs,
    flags: int,
    event_id: int,
    ts: int,
    ids_from: int,
    ids_to: int,
) -> None:
    """A mark that speaks of the trades: the book stands."""
    if flags & F_GAP:
        add_at(state, out, Q_TRADE_GAP, event_id, ts, ids_to - ids_from, ids_from + 1, ids_to)
    if flags & F_DUPLICATE:
        add_at(state, out, Q_DUPLICATE, event_id, ts, 1, ids_to, ids_to)
    if flags & F_INVALID:
        tally(state, Q_INVALID_INPUT, event_id, ts)
        if state.invalid_rows[1] == 0:
            state.invalid_rows[1] = ids_from + 1  # 0 for a line: it has no row


@kernel
def note_unread_row(state: Record, out: Outputs, row: int, event_id: int, ts: int) -> None:
    """A row of depth messages without a chain holds no level: what it changed is not in the book.

    Unlike a gap it shows where it happens: what lies before stands.
    """
    state.minute.gaps += 1
    tally(state, Q_INVALID_INPUT, event_id, ts)
    if state.invalid_rows[0] == 0:
        state.invalid_rows[0] = row + 1
    if state.trust.reason == Q_UNSEEDED:
        return
    if state.trust.reason != Q_UNREADABLE:
        if state.trust.reason != 0:
            close_doubt(state, out, state.trust.reason, event_id - 1, ts)
        lose_trust(state, Q_UNREADABLE)
        open_doubt(state, Q_UNREADABLE, event_id, ts)
        state.unread_rows = 0
        state.first_unread_row = row
    state.unread_rows += 1
    state.last_unread_row = row


@kernel
def note_gap(
    book: Book,
    state: Record,
    out: Outputs,
    flags: int,
    event_id: int,
    ts: int,
    ids_from: int,
    ids_to: int,
) -> None:
    """Depth messages are missing before the one that follows."""
    state.minute.gaps += 1
    since = last_known(state)
    if state.unread > 0:  # they may be the lines that could not be read
        add_since(state, out, Q_UNREADABLE, since, event_id, ts, state.unread)
    if flags & F_RESYNC:
        # a snapshot reaches over the gap. What it does not list may have changed in the lost
        # messages, and what differs in it they explain
        missing = ids_to - ids_from
        add_finding(
            state,
            out,
            Q_GAP,
            since.event_id,
            event_id,
            since.ts,
            ts,
            missing,
            ids_from + 1,
            ids_to,
        )
        trust_snapshot_alone(state.trust)
        if state.mismatches > 0:
            judged(state)
        anchored(book, state)
    else:
        lose_track(state, out, Q_SEQUENCE_RESET if flags & F_OUT_OF_ORDER else Q_GAP, event_id, ts)
        state.gap_from = ids_from if ids_from >= 0 else state.sequence
        state.gap_to = ids_to
