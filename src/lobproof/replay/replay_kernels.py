"""The replay: one pass over ordered events that keeps the book, its trust, and the accounts."""

from __future__ import annotations

from typing import NamedTuple

from lobproof.book.kernels import Book, apply_level
from lobproof.book.trust_kernels import DEFINITE
from lobproof.jit import inlined, kernel
from lobproof.replay.anchor_kernels import MOST_UNLISTED, probe
from lobproof.replay.loss_kernels import note_mark
from lobproof.replay.settle_kernels import enter_minute, settle
from lobproof.replay.silence_kernels import (
    ALL,
    BOOK,
    DEPTH,
    SNAPSHOTS,
    TRADES,
    hear,
    note_message,
    silent_chainless,
)
from lobproof.replay.snapshot_kernels import (
    apply_snapshot,
    clear_mismatch,
    fail_probation,
    judge_waiting,
)
from lobproof.replay.state_kernels import (
    MINUTE_NS,
    WAIT_FOR_NOTHING,
    WAIT_FOR_SNAPSHOTS,
    Outputs,
    add_at,
    add_finding,
    set_moment,
    tally,
    tally_many,
)
from lobproof.replay.trade_kernels import (
    PRINT_NS,
    add_trade,
    age,
    confirm_by_snapshot,
    is_complete_at,
    is_far,
    outside,
    reconcile,
    take_named,
)
from lobproof.replay.vendor_kernels import (
    DISTRUST,
    LEAST_UNSHOWN_PRINTS,
    NOTHING,
    QUIET,
    judge_row,
    meet_row,
    note_listed,
)
from lobproof.schema import SPEAKS_OF_THE_FEED, Rows, VendorRows
from lobproof.schema.plain import (
    ASK,
    BID,
    CLEAR,
    DELTA,
    F_BAD_TS,
    F_DOUBTFUL,
    F_INVALID,
    F_LAST,
    F_OFF_LOT,
    F_OFF_TICK,
    F_OUT_OF_ORDER,
    F_SILENCE,
    MARK,
    Q_BAD_TS,
    Q_OFF_LOT,
    Q_OFF_TICK,
    Q_OUT_OF_ORDER,
    Q_TRADE_UNCONFIRMED,
    Q_UNSEEDED,
    SNAPSHOT,
    TRADE,
)
from lobproof.schema.records import Record, Records


class Rules(NamedTuple):
    """What is in force for a chunk."""

    tick: int
    lot: int
    state_every: int
    """Spacing of states, ns; 0: each message end, -1: none."""
    size_limit: float
    """What :func:`meet_row` takes."""


@kernel
def replay_rows(
    book: Book,
    states: Records,
    pending: Records,
    out: Outputs,
    rows: Rows,
    vendor: VendorRows | None,
    rules: Rules,
    first_id: int,
    start: int,
    end: int,
    until: int,
) -> int:
    """Replay whole messages, rows ``start:end``; their flags are completed in place.

    Returns the row to go on at. Of the vendor's rows those from ``state.next_row`` on (the next
    one, on return too) are met, up to ``until``. Where one asks for an event the replay stops in
    front of that row, with ``state.action``. ``first_id`` is what the event id of row 0 would be.
    ``states`` is the one state as an array: a record of its own would cost more a call. ``vendor``
    is None for feeds without: what meets such rows is then not compiled either.
    """
    state = states[0]
    state.action = NOTHING
    ts_order, kinds, flags_of = rows.ts_order, rows.kind, rows.flags
    sequences, previous, ts_events = rows.sequence, rows.prev_sequence, rows.ts_event
    while True:
        if (
            vendor is not None
            and state.next_row < until
            and meet_rows(book, state, out, vendor, rules, first_id, start, until)
        ):
            return start
        if start == end:
            return start
        ts = ts_order[start]
        if not flags_of[start] & F_SILENCE and silent_chainless(state, ts):
            # the mark that says so comes first
            state.action = QUIET
            state.action_ts = ts
            return start
        stop = start
        while not flags_of[stop] & F_LAST:
            stop += 1
        stop += 1
        event_id = first_id + start
        last_id = first_id + stop - 1
        if state.minute.minute != ts - ts % MINUTE_NS:
            enter_minute(state, out, ts, event_id)
        state.minute.last_event_id = last_id
        hear(state.heard[ALL], ts)
        what = kinds[start]
        listed = what in (SNAPSHOT, CLEAR)
        flags = flags_of[start]
        add = 0
        if what == TRADE:
            replay_trade(book, state, pending, out, rows, start, event_id, ts)
        elif what == MARK and flags & SPEAKS_OF_THE_FEED:
            ids_from, ids_to = previous[start], sequences[start]
            note_mark(book, state, out, flags, event_id, ts, ids_from, ids_to)
        else:
            if listed:
                add |= replay_snapshot(
                    book, state, pending, out, rows, start, stop, event_id, ts, rules.tick
                )
            else:
                add |= replay_depth(book, state, pending, out, rows, start, stop, event_id, ts)
            add |= settle(
                book,
                state,
                out,
                last_id,
                ts,
                ts_events[start],
                sequences[start],
                rules.state_every,
                listed and sequences[start] != state.sequence,
                flags & F_BAD_TS,
            )
        if state.doubts != 0:
            add |= F_DOUBTFUL
        # on a grid of one tick and one lot nothing is off it, and the rows need no look
        if add != 0 or rules.tick != 1 or rules.lot != 1:
            add_flags(state, rows, rules, start, stop, add, event_id, ts)
        # what never has an exchange time is flagged where it opens the day, and that is no finding
        timeless = listed or flags & F_INVALID
        if flags & F_BAD_TS and not timeless:
            tally(state, Q_BAD_TS, last_id, ts)
        start = stop
        if state.action != NOTHING:
            return start


@kernel
def meet_rows(
    book: Book,
    state: Record,
    out: Outputs,
    vendor: VendorRows,
    rules: Rules,
    first_id: int,
    start: int,
    until: int,
) -> bool:
    """Meet the vendor's rows that stand before row ``start``; whether one asks for an event."""
    while state.next_row < until and vendor.place[state.next_row] <= start:
        k = state.next_row
        ts = vendor.ts_order[k]
        state.action_ts = ts
        enter_minute(state, out, ts, first_id + start)
        if silent_chainless(state, ts):
            state.action = QUIET
            return True
        state.next_row += 1
        hear(state.heard[BOOK], ts)
        hear(state.heard[ALL], ts)
        behind = max(first_id + start - 1, 0)
        if vendor.flags[k] & F_BAD_TS:
            tally(state, Q_BAD_TS, behind, ts)
        state.action = meet_row(
            book,
            state,
            out,
            vendor.levels[k],
            vendor.sequence[k],
            (vendor.flags[k] & F_OUT_OF_ORDER) != 0,
            behind,
            ts,
            rules.tick,
            rules.size_limit,
        )
        if state.action != NOTHING:
            return True
    return False


@inlined
def replay_trade(
    book: Book,
    state: Record,
    pending: Records,
    out: Outputs,
    rows: Rows,
    row: int,
    event_id: int,
    ts: int,
) -> None:
    """A trade: counted, held against the touch, and pending until a depth message shows it."""
    minute = state.minute
    minute.trades += 1
    hear(state.heard[TRADES], ts)
    price, size = rows.price[row], rows.size[row]
    if rows.side[row] == BID:
        minute.buy_volume += size
    else:
        minute.sell_volume += size
    late = (rows.flags[row] & F_OUT_OF_ORDER) != 0
    if late and state.chainless == 0:
        # one that fills a hole in the chain of ids: the book has shown it long ago
        number = rows.sequence[row]
        add_at(state, out, Q_OUT_OF_ORDER, event_id, ts, 1, number, number)
        return
    if late:
        # of a venue that stores its trades out of the order of their ids
        tally(state, Q_OUT_OF_ORDER, event_id, ts)
    # of a burst between two messages only the first trade prints at the touch
    if state.last_alive > state.print_ts or ts - state.print_ts >= PRINT_NS:
        state.print_ts = ts
        minute.prints += 1
        if state.trust.reason != Q_UNSEEDED and is_far(book, price):
            minute.far_prints += 1
        # outside the touch it must have taken a level whole
        took = outside(book, price)
        state.prints_unshown[0] += LEAST_UNSHOWN_PRINTS if took else 1
    if state.trades_wait_for != WAIT_FOR_NOTHING:
        add_trade(pending, state, BID + ASK - rows.side[row], price, size, ts)


@inlined
def replay_snapshot(
    book: Book,
    state: Record,
    pending: Records,
    out: Outputs,
    rows: Rows,
    start: int,
    stop: int,
    event_id: int,
    ts: int,
    tick: int,
) -> int:
    """A snapshot, of a chained feed or of a vendor's row. Returns flags for its rows."""
    state.minute.snapshots += 1
    hear(state.heard[SNAPSHOTS], ts)
    if rows.kind[start] == CLEAR and state.chainless != 0:
        note_message(state, ts)  # snapshots are this feed's messages
        note_listed(book, state, out, rows, start + 1, stop, event_id, ts)
    if state.trades_wait_for == WAIT_FOR_SNAPSHOTS:
        confirm_by_snapshot(book, pending, state, rows, start, stop)
    return apply_snapshot(book, state, out, rows, start, stop, event_id, ts, tick)


@inlined
def replay_depth(
    book: Book,
    state: Record,
    pending: Records,
    out: Outputs,
    rows: Rows,
    start: int,
    stop: int,
    event_id: int,
    ts: int,
) -> int:
    """A depth message, which may be empty. Returns flags for its rows."""
    add = 0
    last_id = event_id + stop - start - 1
    if rows.kind[start] == DELTA:
        state.minute.delta_rows += stop - start
        sides, prices, sizes = rows.side, rows.price, rows.size
        for i in range(start, stop):
            side, price, size = sides[i], prices[i], sizes[i]
            before = apply_level(book, side, price, size)
            # each level answers what was open about it: trades, mismatches, the anchor
            if state.pending.low <= price <= state.pending.high:
                volume = take_named(pending, side, price)
                known = before > 0 or is_complete_at(state.trust, side, price)
                if volume > 0 and state.trust.reason == 0 and known:
                    reconcile(state, volume, before, size)
            if state.mismatches > 0:
                clear_mismatch(state, side, price)
            if state.on_probation != 0:
                probe(state, side, price, before)
    # what waited for this message is judged
    if state.vendor_row_waits != 0:
        if not judge_row(state):
            state.action = DISTRUST
            state.action_ts = ts
    elif state.trust.waits != DEFINITE:
        add |= judge_waiting(book, state, out, rows, start, stop, event_id, ts)
    if state.on_probation != 0 and state.unlisted >= MOST_UNLISTED:
        add |= fail_probation(state)
    if rows.flags[start] & F_OUT_OF_ORDER:  # it overlaps what was applied
        first_number = rows.prev_sequence[start] + 1
        last_number = rows.sequence[start]
        add_finding(
            state,
            out,
            Q_OUT_OF_ORDER,
            event_id,
            last_id,
            ts,
            ts,
            1,
            first_number,
            last_number,
        )
    age(pending, state, ts)
    if state.pending.expired_trades > 0:
        state.minute.unnamed_volume += state.pending.expired_volume
        state.minute.unnamed_trades += state.pending.expired_trades
        tally_many(state, Q_TRADE_UNCONFIRMED, last_id, ts, state.pending.expired_trades)
    state.sequence = rows.sequence[start]
    state.unfollowed = 0
    set_moment(state.chained, last_id, ts)
    state.unread = 0
    note_message(state, ts)
    hear(state.heard[DEPTH], ts)
    return add


@kernel
def add_flags(
    state: Record,
    rows: Rows,
    rules: Rules,
    start: int,
    stop: int,
    add: int,
    event_id: int,
    ts: int,
) -> None:
    """Complete the flags of a message's rows; what is off the tick or the lot is counted."""
    for i in range(start, stop):
        row = add
        kind = rows.kind[i]
        if kind in (TRADE, DELTA, SNAPSHOT):
            if rows.price[i] % rules.tick != 0:
                row |= F_OFF_TICK
                tally(state, Q_OFF_TICK, event_id + i - start, ts)
            if rows.size[i] % rules.lot != 0:
                row |= F_OFF_LOT
                tally(state, Q_OFF_LOT, event_id + i - start, ts)
        if row != 0:
            rows.flags[i] |= row
