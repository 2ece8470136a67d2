"""What is counted: minutes and days open and close, with what only their whole tells."""

from __future__ import annotations

from lobproof.book.trust_kernels import DEFINITE
from lobproof.jit import kernel
from lobproof.replay.anchor_kernels import LEAST_UNLISTED
from lobproof.replay.loss_kernels import last_known
from lobproof.replay.pace_kernels import COVERED, hear_anew
from lobproof.replay.silence_kernels import silent
from lobproof.replay.state_kernels import (
    CODES,
    MINUTE_NS,
    NO_REACH,
    Outputs,
    add_finding,
    add_since,
    close_doubt,
    open_doubt,
    set_moment,
)
from lobproof.replay.vendor_kernels import end_correction, end_standstill
from lobproof.schema.plain import (
    Q_ANCHOR_UNPROVEN,
    Q_DRIFT,
    Q_REFUTED,
    Q_SILENCE,
    Q_STALE_BOOK,
    Q_TRADES_ABSENT,
    Q_UNREADABLE,
)
from lobproof.schema.records import Record

LEAST_FAR_PRINTS = 3
"""The book is stale in a minute with so many prints, at least half of all, far from the touch."""
LEAST_THROUGH = 20
"""A minute lacks trades where the book moved through its touch so often, and none came."""


@kernel
def add_of_minute(state: Record, out: Outputs, code: int, count: int) -> None:
    """Append a finding about the whole open minute."""
    minute = state.minute
    add_finding(
        state,
        out,
        code,
        minute.first_event_id,
        minute.last_event_id,
        minute.minute,
        minute.minute + MINUTE_NS - 1,
        count,
        0,
        0,
    )


@kernel
def close_minute(state: Record, out: Outputs) -> None:
    """Write the open minute and its tallies, if there is one, and empty both."""
    minute = state.minute
    if minute.minute < 0:
        return
    if minute.far_prints >= LEAST_FAR_PRINTS and 2 * minute.far_prints >= minute.prints:
        add_of_minute(state, out, Q_STALE_BOOK, minute.far_prints)
    if minute.through >= LEAST_THROUGH and minute.trades == 0:
        add_of_minute(state, out, Q_TRADES_ABSENT, minute.through)
    out.minutes[state.minutes] = minute
    state.minutes += 1
    state.minute = state.no_minute
    for code in range(CODES):
        one = state.tallies[code]
        if one.count > 0:
            add_finding(
                state,
                out,
                code,
                one.first.event_id,
                one.last.event_id,
                one.first.ts,
                one.last.ts,
                one.count,
                0,
                0,
            )
            one.count = 0


@kernel
def enter_minute(state: Record, out: Outputs, ts: int, event_id: int) -> None:
    """Make the minute of ``ts`` the open one."""
    start = ts - ts % MINUTE_NS
    if state.minute.minute != start:
        close_minute(state, out)
        state.minute.minute = start
        state.minute.first_event_id = event_id
        state.minute.last_event_id = event_id - 1
        state.minute.trusted_min = -1
        state.minute.bid_reach = NO_REACH
        state.minute.ask_reach = NO_REACH


@kernel
def begin_day(state: Record, ts: int) -> None:
    """Ids start again at 0: doubts that are open go on from there."""
    set_moment(state.fresh, 0, ts)
    set_moment(state.unproven_since, 0, ts)
    set_moment(state.agreed, 0, ts)
    set_moment(state.compared, 0, ts)
    set_moment(state.chained, 0, ts)
    set_moment(state.first_doubted, 0, ts)
    state.next_state_ts = 0
    for stream in range(COVERED):
        hear_anew(state.heard[stream])
    for code in range(CODES):
        if state.doubts & (1 << code):
            set_moment(state.doubt_since[code], 0, ts)


@kernel
def doubt_the_end(state: Record, out: Outputs, last: int, ts: int) -> None:
    """The events of a day end with ``last``, at ``ts``: nothing vouches for what is left open.

    That is a silence up to there, the book behind lines that cannot be read, and what waits for a
    depth message that never came.
    """
    since = last_known(state)
    if silent(state, ts):
        open_doubt(state, Q_SILENCE, since.event_id, since.ts)
    if state.unread > 0:
        open_doubt(state, Q_UNREADABLE, since.event_id, since.ts)
    if state.vendor_row_waits != 0 and state.mismatches > 0:
        # the message that explains that row never came
        add_since(state, out, Q_DRIFT, state.agreed, last, ts, state.mismatches)
    if state.trust.waits != DEFINITE:  # nothing has vouched for that snapshot
        add_since(state, out, Q_REFUTED, state.first_doubted, last, ts, state.mismatches)
    if state.unfollowed != 0 and state.trust.reason == 0:
        add_since(state, out, Q_ANCHOR_UNPROVEN, state.chained, last, ts, 1)
    if state.on_probation != 0 and state.unlisted >= LEAST_UNLISTED:
        add_since(state, out, Q_DRIFT, state.agreed, last, ts, state.unlisted)


@kernel
def end_day(state: Record, out: Outputs, last: int, ts: int) -> None:
    """Close the minute, and write a finding for each doubt that is still open.

    They stay open, but for those that a chain may prove to be harmless yet.
    """
    end_standstill(state, out, last, ts)
    end_correction(state, out, last, ts)
    close_minute(state, out)
    doubts = state.doubts
    for code in range(CODES):
        if doubts & (1 << code):
            close_doubt(state, out, code, last, ts)
    state.doubts = doubts
    if state.chainless == 0 and state.trust.reason != Q_SILENCE:
        state.doubts &= ~(1 << Q_SILENCE)
    state.doubts &= ~(1 << Q_UNREADABLE)
