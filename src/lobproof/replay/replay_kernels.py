"""The replay: one pass over ordered events that keeps the book, its trust, and the accounts."""

from __future__ import annotations

from lobproof.book.kernels import (
    Book,
    apply_level,
    best_price,
    clear_book,
    clear_side_range,
    crossed,
    extend_trust,
    level_size,
    set_trust,
    top,
    trust,
    trusted_slots,
    trusted_to,
)
from lobproof.jit import kernel
from lobproof.replay.drift_kernels import clear_suspect, compare_side
from lobproof.replay.ledger_kernels import (
    AGREED_ID,
    AGREED_TS,
    BAD_TS,
    BOOK_TS,
    DOUBT,
    GAP_FROM,
    GAP_TO,
    LOST,
    M_BOOK_MESSAGES,
    M_BUY_VOLUME,
    M_CROSSED,
    M_DELTA_ROWS,
    M_DOUBTFUL,
    M_EXPLAINED,
    M_GAPS,
    M_GROWN,
    M_LAST,
    M_REFILLED,
    M_SELL_VOLUME,
    M_SILENCE,
    M_SNAPSHOTS,
    M_SPREAD_COUNT,
    M_SPREAD_MAX,
    M_SPREAD_SUM,
    M_TRADES,
    M_TRANSIENT,
    M_TRUSTED_MIN,
    M_UNNAMED_TRADES,
    M_UNNAMED_VOLUME,
    NEXT_STATE_TS,
    OFF_LOT,
    OFF_TICK,
    SEQUENCE,
    SNAPSHOT_TRUST,
    SUSPECT_ID,
    SUSPECT_TS,
    SUSPECTS,
    UNCONFIRMED,
    Output,
    Run,
    add_episode,
    close_doubt,
    count_finding,
    enter_minute,
    open_doubt,
)
from lobproof.replay.pending_kernels import COUNT, Pending, add_trade, age, take_named
from lobproof.schema import (
    EVERYTHING,
    LEVELS,
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

TRADE = int(Kind.TRADE)
DELTA = int(Kind.DELTA)
SNAPSHOT = int(Kind.SNAPSHOT)
CLEAR = int(Kind.CLEAR)
MARK = int(Kind.MARK)
BID = int(Side.BID)
ASK = int(Side.ASK)

LAST = int(Flag.LAST)
F_GAP = int(Flag.GAP)
F_RESYNC = int(Flag.RESYNC)
F_DOUBTFUL = int(Flag.DOUBTFUL)
F_CROSSED = int(Flag.CROSSED)
F_BAD_TS = int(Flag.BAD_TS)
F_OFF_TICK = int(Flag.OFF_TICK)
F_OFF_LOT = int(Flag.OFF_LOT)
F_DUPLICATE = int(Flag.DUPLICATE)
F_OUT_OF_ORDER = int(Flag.OUT_OF_ORDER)
F_COMPLETE = int(Flag.COMPLETE)
F_DRIFT = int(Flag.DRIFT)
F_TRADES = int(Flag.TRADES)
F_INVALID = int(Flag.INVALID)
F_RECONNECT = int(Flag.RECONNECT)

Q_GAP = int(Finding.GAP)
Q_TRADE_GAP = int(Finding.TRADE_GAP)
Q_CROSSED = int(Finding.CROSSED)
Q_DRIFT = int(Finding.DRIFT)
Q_BEYOND = int(Finding.TOUCH_BEYOND_RANGE)
Q_DUPLICATE = int(Finding.DUPLICATE)
Q_OUT_OF_ORDER = int(Finding.OUT_OF_ORDER)
Q_INVALID = int(Finding.INVALID_INPUT)
Q_TRUNCATED = int(Finding.TRUNCATED_INPUT)

FAR_AWAY = 2**62 - 1
EPISODES_A_MESSAGE = 24
"""More findings than one message can give: each code closed once, each tally once, and its own."""


@kernel
def lose_trust(book: Book, run: Run, code: int) -> None:
    """Nothing of the book is trusted any more, because of ``code``."""
    set_trust(book, BID, UNTRUSTED, 0)
    set_trust(book, ASK, UNTRUSTED, 0)
    run.state[LOST] = code
    run.state[SUSPECTS] = 0


@kernel
def in_trusted_range(book: Book, side: int, price: int) -> bool:
    """Whether the book is complete at this price."""
    kind = trust(book, side)
    sign = 2 * side - 3
    return kind == EVERYTHING or (kind == RANGE and sign * price <= sign * trusted_to(book, side))


@kernel
def reconcile(run: Run, volume: int, before: int, after: int) -> None:
    """Account for the traded ``volume`` of a level that a depth message took to ``after``."""
    fall = before - after
    if before == 0 and after == 0:
        run.minute[M_TRANSIENT] += volume
    elif fall >= volume:
        run.minute[M_EXPLAINED] += volume
    elif fall > 0:
        run.minute[M_EXPLAINED] += fall
        run.minute[M_REFILLED] += volume - fall
    else:
        run.minute[M_GROWN] += volume


@kernel
def note_mark(book: Book, run: Run, out: Output, flags: int, event_id: int, ts: int,
              ids_from: int, ids_to: int) -> None:
    """A MARK row other than an empty depth message."""
    if flags & F_TRADES:
        if flags & F_GAP:
            add_episode(
                out, Q_TRADE_GAP, event_id, event_id, ts, ts, ids_to - ids_from, ids_from + 1, ids_to
            )
        if flags & F_DUPLICATE:
            add_episode(out, Q_DUPLICATE, event_id, event_id, ts, ts, 1, ids_to, ids_to)
        return
    if flags & F_GAP:
        run.minute[M_GAPS] += 1
        if flags & F_RESYNC:
            add_episode(
                out, Q_GAP, event_id, event_id, ts, ts, ids_to - ids_from, ids_from + 1, ids_to
            )
        else:
            doubt = run.state[DOUBT]
            if doubt & (1 << Q_GAP):
                close_doubt(run, out, Q_GAP, event_id - 1, ts)
            elif run.state[LOST] != 0:
                close_doubt(run, out, run.state[LOST], event_id - 1, ts)
            lose_trust(book, run, Q_GAP)
            run.state[GAP_FROM] = ids_from
            run.state[GAP_TO] = ids_to
            open_doubt(run, Q_GAP, event_id, ts)
    if flags & F_DUPLICATE:
        add_episode(out, Q_DUPLICATE, event_id, event_id, ts, ts, 1, ids_from + 1, ids_to)
    if flags & F_OUT_OF_ORDER:
        add_episode(out, Q_OUT_OF_ORDER, event_id, event_id, ts, ts, 1, ids_from + 1, ids_to)
    if flags & F_INVALID:
        add_episode(out, Q_INVALID, event_id, event_id, ts, ts, 1, ids_from, ids_to)
    if flags & F_RECONNECT:
        add_episode(out, Q_TRUNCATED, event_id, event_id, ts, ts, 1, 0, 0)


@kernel
def apply_snapshot(
    book: Book,
    run: Run,
    out: Output,
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
) -> bool:
    """Rows ``start:stop`` list a book: compare, then take it over. True where it contradicts."""
    drift = False
    begin = start
    last_id = first_id + stop - start - 1
    if kind[start] == CLEAR:
        clear_book(book)
        run.state[SUSPECTS] = 0
        begin += 1
    middle = begin
    while middle < stop and side[middle] == BID:
        middle += 1
    bids_complete = middle > begin and (flags[begin] & F_COMPLETE) != 0
    asks_complete = stop > middle and (flags[middle] & F_COMPLETE) != 0
    if kind[start] == SNAPSHOT:
        run.state[SUSPECTS] = 0
        compare_side(book, run, BID, price[begin:middle], size[begin:middle], bids_complete, tick)
        compare_side(book, run, ASK, price[middle:stop], size[middle:stop], asks_complete, tick)
        if run.state[SUSPECTS] > 0 and sequence[start] == run.state[SEQUENCE]:
            drift = True
            report_drift(run, out, last_id - 1, ts)
            set_trust(book, BID, UNTRUSTED, 0)
            set_trust(book, ASK, UNTRUSTED, 0)
    run.state[LOST] = 0
    if run.state[SUSPECTS] == 0:
        run.state[AGREED_ID] = last_id
        run.state[AGREED_TS] = ts
    else:
        run.state[SUSPECT_ID] = last_id
        run.state[SUSPECT_TS] = ts
    run.state[SNAPSHOT_TRUST] = UNTRUSTED
    run.state[SNAPSHOT_TRUST + 2] = UNTRUSTED
    for half in (BID, ASK):
        low = begin if half == BID else middle
        high = middle if half == BID else stop
        if high == low:
            continue
        complete = bids_complete if half == BID else asks_complete
        worst = price[high - 1]
        covered = SNAPSHOT_TRUST + 2 * (half - 1)
        run.state[covered] = EVERYTHING if complete else RANGE
        run.state[covered + 1] = worst
        clear_side_range(book, half, (2 * half - 3) * FAR_AWAY if complete else worst)
        for i in range(low, high):
            apply_level(book, half, price[i], size[i])
        extend_trust(book, half, worst, complete)
    return drift


@kernel
def report_drift(run: Run, out: Output, last: int, ts: int) -> None:
    """A snapshot proves the book wrong since it last agreed."""
    add_episode(
        out,
        Q_DRIFT,
        run.state[AGREED_ID],
        max(last, run.state[AGREED_ID]),
        run.state[AGREED_TS],
        ts,
        run.state[SUSPECTS],
        0,
        0,
    )
    run.state[SUSPECTS] = 0


@kernel
def grow_range(book: Book, side: int, tick: int) -> None:
    """Extend a trusted range as far as the book itself proves.

    No order rests at or through the opposite side's best price, so once that price lies beyond
    the range, the side is known (and empty) down to there; from then on its deltas tell. And a
    level that the book holds right behind the range is exact: nothing lies between.
    """
    if trust(book, side) != RANGE:
        return
    sign = 2 * side - 3
    to = trusted_to(book, side)
    opposite = best_price(book, BID + ASK - side)
    if opposite != 0 and sign * opposite > sign * to:
        to = opposite
    while level_size(book, side, to + sign * tick) > 0:
        to += sign * tick
    set_trust(book, side, RANGE, to)


@kernel
def settle(book: Book, run: Run, out: Output, first_id: int, last_id: int, ts: int,
           ts_event: int, sequence: int, state_every: int, tick: int) -> int:
    """End of a book message: touch, trust, doubts, the state row. Returns flags for its rows."""
    at = out.counts[2]
    levels = out.levels[at]
    bids = top(book, BID, LEVELS, levels[0 : 2 * LEVELS : 2], levels[1 : 2 * LEVELS : 2])
    asks = top(book, ASK, LEVELS, levels[2 * LEVELS :: 2], levels[2 * LEVELS + 1 :: 2])
    is_crossed = crossed(book)
    if is_crossed and run.state[LOST] == 0:
        # the chain is whole and yet this cannot be: wrong since the book was last confirmed
        lose_trust(book, run, Q_CROSSED)
        open_doubt(run, Q_CROSSED, run.state[AGREED_ID], run.state[AGREED_TS])
    if not is_crossed:
        grow_range(book, BID, tick)
        grow_range(book, ASK, tick)
    bid_slots = trusted_slots(book, BID, levels[0 : 2 * LEVELS : 2], bids, LEVELS)
    ask_slots = trusted_slots(book, ASK, levels[2 * LEVELS :: 2], asks, LEVELS)

    lost = run.state[LOST]
    wanted = 0
    if lost != 0:
        wanted |= 1 << lost
    elif bid_slots == 0 or ask_slots == 0:
        wanted |= 1 << Q_BEYOND
    if is_crossed:
        wanted |= 1 << Q_CROSSED
    doubt = run.state[DOUBT]
    if wanted != doubt:
        for code in range(1, Q_BEYOND + 1):
            bit = 1 << code
            if doubt & bit and not wanted & bit:
                close_doubt(run, out, code, last_id - 1, ts)
            elif wanted & bit and not doubt & bit:
                open_doubt(run, code, last_id, ts)

    minute = run.minute
    minute[M_BOOK_MESSAGES] += 1
    flags = 0
    if is_crossed:
        flags |= F_CROSSED
        minute[M_CROSSED] += 1
    if wanted != 0:
        flags |= F_DOUBTFUL
        minute[M_DOUBTFUL] += 1
    elif bids > 0 and asks > 0:
        spread = levels[2 * LEVELS] - levels[0]
        minute[M_SPREAD_SUM] += spread
        minute[M_SPREAD_COUNT] += 1
        minute[M_SPREAD_MAX] = max(minute[M_SPREAD_MAX], spread)
    trusted = min(bid_slots, ask_slots)
    if minute[M_TRUSTED_MIN] < 0 or trusted < minute[M_TRUSTED_MIN]:
        minute[M_TRUSTED_MIN] = trusted

    if state_every >= 0 and ts >= run.state[NEXT_STATE_TS]:
        if state_every > 0:
            run.state[NEXT_STATE_TS] = ts - ts % state_every + state_every
        out.state_id[at] = last_id
        out.state_ts[at] = ts
        out.state_ts_event[at] = ts_event
        out.state_sequence[at] = sequence
        out.bid_trusted[at] = bid_slots
        out.ask_trusted[at] = ask_slots
        out.state_flags[at] = flags
        out.counts[2] = at + 1
    return flags


@kernel
def replay_rows(
    book: Book,
    pending: Pending,
    run: Run,
    out: Output,
    first_id: int,
    tick: int,
    lot: int,
    state_every: int,
    expired: Int64,
    ts_order: Int64,
    ts_event: Int64,
    sequence: Int64,
    prev_sequence: Int64,
    kind: Int8,
    side: Int8,
    price: Int64,
    size: Int64,
    flags: Int32,
) -> None:
    """Replay whole messages; ``flags`` are completed in place, ``out`` is filled.

    ``first_id`` is the event id of row 0, ``tick`` and ``lot`` the rule in force,
    ``state_every`` the spacing of states in ns (0: each message end, -1: none).
    """
    rows = kind.shape[0]
    start = 0
    while start < rows:
        stop = start
        while not flags[stop] & LAST:
            stop += 1
        stop += 1
        ts = ts_order[start]
        event_id = first_id + start
        last_id = first_id + stop - 1
        enter_minute(run, out, ts, event_id)
        run.minute[M_LAST] = last_id
        what = kind[start]
        add = 0
        if what == TRADE:
            run.minute[M_TRADES] += 1
            if side[start] == BID:
                run.minute[M_BUY_VOLUME] += size[start]
            else:
                run.minute[M_SELL_VOLUME] += size[start]
            if flags[start] & F_OUT_OF_ORDER:
                add_episode(
                    out, Q_OUT_OF_ORDER, event_id, event_id, ts, ts, 1, sequence[start],
                    sequence[start]
                )
            else:
                add_trade(pending, BID + ASK - side[start], price[start], size[start])
        elif what == MARK and flags[start] & (
            F_GAP | F_DUPLICATE | F_OUT_OF_ORDER | F_INVALID | F_RECONNECT
        ):
            note_mark(
                book, run, out, flags[start], event_id, ts, prev_sequence[start], sequence[start]
            )
        else:
            if what == SNAPSHOT or what == CLEAR:
                run.minute[M_SNAPSHOTS] += 1
                if apply_snapshot(
                    book, run, out, start, stop, event_id, ts, tick,
                    kind, side, price, size, sequence, flags,
                ):
                    add |= F_DRIFT
            else:
                if what == DELTA:
                    run.minute[M_DELTA_ROWS] += stop - start
                    for i in range(start, stop):
                        before = apply_level(book, side[i], price[i], size[i])
                        if pending.meta[COUNT] > 0:
                            volume = take_named(pending, side[i], price[i])
                            if volume > 0 and in_trusted_range(book, side[i], price[i]):
                                reconcile(run, volume, before, size[i])
                        if run.state[SUSPECTS] > 0:
                            clear_suspect(run, side[i], price[i])
                if run.state[SUSPECTS] > 0:
                    add |= F_DRIFT
                    report_drift(run, out, run.state[SUSPECT_ID] - 1, run.state[SUSPECT_TS])
                    for half in (BID, ASK):
                        covered = SNAPSHOT_TRUST + 2 * (half - 1)
                        set_trust(book, half, run.state[covered], run.state[covered + 1])
                if flags[start] & F_OUT_OF_ORDER:
                    add_episode(
                        out, Q_OUT_OF_ORDER, event_id, last_id, ts, ts, 1,
                        prev_sequence[start] + 1, sequence[start]
                    )
                expired[0] = 0
                expired[1] = 0
                age(pending, expired)
                if expired[1] > 0:
                    run.minute[M_UNNAMED_VOLUME] += expired[0]
                    run.minute[M_UNNAMED_TRADES] += expired[1]
                    count_finding(run, UNCONFIRMED, last_id, ts, expired[1])
                run.state[SEQUENCE] = sequence[start]
                if run.state[BOOK_TS] > 0:
                    run.minute[M_SILENCE] = max(
                        run.minute[M_SILENCE], ts - run.state[BOOK_TS]
                    )
                run.state[BOOK_TS] = ts
            add |= settle(
                book, run, out, event_id, last_id, ts, ts_event[start], sequence[start],
                state_every, tick,
            )
        if run.state[DOUBT] != 0:
            add |= F_DOUBTFUL
        for i in range(start, stop):
            row = add
            if kind[i] == TRADE or kind[i] == DELTA or kind[i] == SNAPSHOT:
                if price[i] % tick != 0:
                    row |= F_OFF_TICK
                    count_finding(run, OFF_TICK, first_id + i, ts, 1)
                if size[i] % lot != 0:
                    row |= F_OFF_LOT
                    count_finding(run, OFF_LOT, first_id + i, ts, 1)
            if row != 0:
                flags[i] |= row
        if flags[start] & F_BAD_TS:
            count_finding(run, BAD_TS, last_id, ts, 1)
        start = stop
