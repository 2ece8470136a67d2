"""The replay: one pass over ordered events that keeps the book, its trust, and the accounts."""

from __future__ import annotations

from lobproof.book.kernels import Book, apply_level
from lobproof.jit import kernel
from lobproof.replay.coverage_kernels import ALL, BOOK, DEPTH, HEARD, SNAPSHOTS, TRADES, hear
from lobproof.replay.drift_kernels import clear_suspect
from lobproof.replay.evidence_kernels import probe
from lobproof.replay.ledger_kernels import (
    ACTION,
    ACTION_TS,
    AWAITED,
    BAD_TS,
    CHAINED_ID,
    CHAINED_TS,
    DOUBT,
    EXPIRED_TRADES,
    EXPIRED_VOLUME,
    HEARD_AT,
    LEAST_UNSHOWN_PRINTS,
    LIFE_TS,
    LOST,
    M_BUY_VOLUME,
    M_DELTA_ROWS,
    M_FAR_PRINTS,
    M_LAST,
    M_PRINTS,
    M_SELL_VOLUME,
    M_SNAPSHOTS,
    M_TRADES,
    M_UNNAMED_TRADES,
    M_UNNAMED_VOLUME,
    MOST_PROBED,
    OFF_LOT,
    OFF_TICK,
    PENDING_HIGH,
    PENDING_LOW,
    PENDS,
    PENDS_FOR_NOTHING,
    PENDS_FOR_SNAPSHOTS,
    PRINT_TS,
    PRINTS,
    PROBE,
    PROBED,
    REFERENCES,
    SEQUENCE,
    SUSPECTS,
    THIS_MINUTE,
    UNCHAINED,
    UNCONFIRMED,
    UNFOLLOWED,
    UNREAD,
    UNSEEDED,
    WAITING,
    Float64,
    add_episode,
    count_finding,
    note_message,
    silent_unchained,
)
from lobproof.replay.mark_kernels import note_mark
from lobproof.replay.minute_kernels import (
    enter_minute,
)
from lobproof.replay.pending_kernels import (
    add_trade,
    age,
    take_named,
)
from lobproof.replay.reference_kernels import (
    DISTRUST,
    NOTHING,
    QUIET,
    awaited_contradicts,
    meet_reference,
)
from lobproof.replay.settle_kernels import settle
from lobproof.replay.snapshot_kernels import (
    apply_snapshot,
    judge_waiting,
    probation_failed,
)
from lobproof.replay.standstill_kernels import (
    note_listed,
)
from lobproof.replay.trade_kernels import (
    PRINT_NS,
    confirm,
    in_trusted_range,
    is_far,
    outside,
    reconcile,
)
from lobproof.schema import (
    SPEAKS_OF_THE_FEED,
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
F_DOUBTFUL = int(Flag.DOUBTFUL)
F_BAD_TS = int(Flag.BAD_TS)
F_OFF_TICK = int(Flag.OFF_TICK)
F_OFF_LOT = int(Flag.OFF_LOT)
F_OUT_OF_ORDER = int(Flag.OUT_OF_ORDER)
F_DRIFT = int(Flag.DRIFT)
F_INVALID = int(Flag.INVALID)
F_SILENCE = int(Flag.SILENCE)

Q_OUT_OF_ORDER = int(Finding.OUT_OF_ORDER)


@kernel
def replay_rows(
    book: Book,
    pending: Int64,
    run: Int64,
    found: Int64,
    closed: Int64,
    squares: Float64,
    states: Int64,
    first_id: int,
    tick: int,
    lot: int,
    state_every: int,
    size_limit: float,
    start: int,
    end: int,
    references: int,
    places: Int64,
    reference_ts: Int64,
    reference_flags: Int32,
    reference_sequence: Int64,
    reference_levels: Int64,
    ts_order: Int64,
    ts_event: Int64,
    sequence: Int64,
    prev_sequence: Int64,
    kind: Int8,
    side: Int8,
    price: Int64,
    size: Int64,
    flags: Int32,
) -> int:
    """Replay whole messages, rows ``start:end``; ``flags`` are completed in place.

    Returns the row to go on at. Of the references those from ``run[REFERENCES]`` (the next one, on
    return too) up to ``references`` are met; ``k`` stands before row ``places[k]``. Where one asks
    for an event the replay stops in front of that row, with ``run[ACTION]``.

    Results go to ``found`` (findings), ``closed`` and ``squares`` (minutes) and ``states``, whose
    filled lengths ``run`` keeps. ``first_id`` is what the event id of row 0 would be, ``tick`` and
    ``lot`` the rule in force, ``state_every`` the spacing of states in ns (0: each message end, -1:
    none), ``size_limit`` what :func:`meet_reference` takes.
    """
    run[ACTION] = NOTHING
    while True:
        while run[REFERENCES] < references and places[run[REFERENCES]] <= start:
            k = run[REFERENCES]
            ts = reference_ts[k]
            run[ACTION_TS] = ts
            enter_minute(run, found, closed, squares, ts, first_id + start)
            if silent_unchained(run, ts):
                run[ACTION] = QUIET
                return start
            run[REFERENCES] += 1
            hear(run, HEARD_AT + BOOK * HEARD, ts)
            hear(run, HEARD_AT + ALL * HEARD, ts)
            behind = max(first_id + start - 1, 0)
            if reference_flags[k] & F_BAD_TS:
                count_finding(run, BAD_TS, behind, ts, 1)
            run[ACTION] = meet_reference(
                book,
                run,
                found,
                squares,
                reference_levels[k],
                reference_sequence[k],
                (reference_flags[k] & F_OUT_OF_ORDER) != 0,
                behind,
                ts,
                tick,
                size_limit,
            )
            if run[ACTION] != NOTHING:
                return start
        if start == end:
            return start
        if not flags[start] & F_SILENCE and silent_unchained(run, ts_order[start]):
            run[ACTION] = QUIET
            run[ACTION_TS] = ts_order[start]
            return start
        stop = start
        while not flags[stop] & LAST:
            stop += 1
        stop += 1
        ts = ts_order[start]
        event_id = first_id + start
        last_id = first_id + stop - 1
        enter_minute(run, found, closed, squares, ts, event_id)
        run[THIS_MINUTE + M_LAST] = last_id
        hear(run, HEARD_AT + ALL * HEARD, ts)
        what = kind[start]
        add = 0
        if what == TRADE:
            run[THIS_MINUTE + M_TRADES] += 1
            hear(run, HEARD_AT + TRADES * HEARD, ts)
            if side[start] == BID:
                run[THIS_MINUTE + M_BUY_VOLUME] += size[start]
            else:
                run[THIS_MINUTE + M_SELL_VOLUME] += size[start]
            late = (flags[start] & F_OUT_OF_ORDER) != 0
            if late and run[UNCHAINED] != 0:
                # of a venue that stores its trades out of the order of their ids
                count_finding(run, Q_OUT_OF_ORDER, event_id, ts, 1)
            if late and run[UNCHAINED] == 0:
                add_episode(
                    run,
                    found,
                    Q_OUT_OF_ORDER,
                    event_id,
                    event_id,
                    ts,
                    ts,
                    1,
                    sequence[start],
                    sequence[start],
                )
            else:
                # of a burst between two messages only the first trade prints at the touch
                if run[LIFE_TS] > run[PRINT_TS] or ts - run[PRINT_TS] >= PRINT_NS:
                    run[PRINT_TS] = ts
                    run[THIS_MINUTE + M_PRINTS] += 1
                    if run[LOST] != UNSEEDED and is_far(book, price[start]):
                        run[THIS_MINUTE + M_FAR_PRINTS] += 1
                    # outside the touch it must have taken a level whole
                    took = outside(book, price[start])
                    run[PRINTS] += LEAST_UNSHOWN_PRINTS if took else 1
                if run[PENDS] != PENDS_FOR_NOTHING:
                    add_trade(pending, run, BID + ASK - side[start], price[start], size[start], ts)
        elif what == MARK and flags[start] & SPEAKS_OF_THE_FEED:
            note_mark(
                book, run, found, flags[start], event_id, ts, prev_sequence[start], sequence[start]
            )
        else:
            if what in (SNAPSHOT, CLEAR):
                run[THIS_MINUTE + M_SNAPSHOTS] += 1
                hear(run, HEARD_AT + SNAPSHOTS * HEARD, ts)
                if what == CLEAR and run[UNCHAINED] != 0:
                    note_message(run, ts)  # snapshots are this feed's messages
                    note_listed(book, run, found, start + 1, stop, event_id, ts, side, price, size)
                if run[PENDS] == PENDS_FOR_SNAPSHOTS:
                    confirm(book, pending, run, start, stop, kind, side, price, size)
                add |= apply_snapshot(
                    book,
                    run,
                    found,
                    squares,
                    start,
                    stop,
                    event_id,
                    ts,
                    tick,
                    kind,
                    side,
                    price,
                    size,
                    sequence,
                    flags,
                )
            else:
                if what == DELTA:
                    run[THIS_MINUTE + M_DELTA_ROWS] += stop - start
                    for i in range(start, stop):
                        before = apply_level(book, side[i], price[i], size[i])
                        if run[PENDING_LOW] <= price[i] <= run[PENDING_HIGH]:
                            volume = take_named(pending, side[i], price[i])
                            known = before > 0 or in_trusted_range(book, side[i], price[i])
                            if volume > 0 and run[LOST] == 0 and known:
                                reconcile(run, volume, before, size[i])
                        if run[SUSPECTS] > 0:
                            clear_suspect(run, side[i], price[i])
                        if run[PROBE] != 0:
                            probe(run, side[i], price[i], before)
                if run[AWAITED] != 0:
                    if awaited_contradicts(run):
                        run[ACTION] = DISTRUST
                        run[ACTION_TS] = ts
                elif run[WAITING] != 0:
                    add |= judge_waiting(
                        book, run, found, start, stop, side, price, size, event_id, ts
                    )
                if run[PROBE] != 0 and run[PROBED] >= MOST_PROBED:
                    add |= probation_failed(book, run)
                if flags[start] & F_OUT_OF_ORDER:
                    add_episode(
                        run,
                        found,
                        Q_OUT_OF_ORDER,
                        event_id,
                        last_id,
                        ts,
                        ts,
                        1,
                        prev_sequence[start] + 1,
                        sequence[start],
                    )
                age(pending, run, ts)
                if run[EXPIRED_TRADES] > 0:
                    run[THIS_MINUTE + M_UNNAMED_VOLUME] += run[EXPIRED_VOLUME]
                    run[THIS_MINUTE + M_UNNAMED_TRADES] += run[EXPIRED_TRADES]
                    count_finding(run, UNCONFIRMED, last_id, ts, run[EXPIRED_TRADES])
                run[SEQUENCE] = sequence[start]
                run[UNFOLLOWED] = 0
                run[CHAINED_ID] = last_id
                run[CHAINED_TS] = ts
                run[UNREAD] = 0
                note_message(run, ts)
                hear(run, HEARD_AT + DEPTH * HEARD, ts)
            add |= settle(
                book,
                run,
                found,
                states,
                last_id,
                ts,
                ts_event[start],
                sequence[start],
                state_every,
                what in (SNAPSHOT, CLEAR) and sequence[start] != run[SEQUENCE],
                flags[start] & F_BAD_TS,
            )
        if run[DOUBT] != 0:
            add |= F_DOUBTFUL
        # on a grid of one tick and one lot nothing is off it, and the rows need no look
        for i in range(start, stop if add != 0 or tick != 1 or lot != 1 else start):
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
        # what never has an exchange time is flagged where it opens the day, and that is no finding
        timeless = what in (SNAPSHOT, CLEAR) or flags[start] & F_INVALID
        if flags[start] & F_BAD_TS and not timeless:
            count_finding(run, BAD_TS, last_id, ts, 1)
        start = stop
        if run[ACTION] != NOTHING:
            return start
