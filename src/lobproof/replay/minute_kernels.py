"""Kernels that open and close minutes and days, with what only their whole tells."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.replay.coverage_kernels import HEARD, STREAMS, hear_anew
from lobproof.replay.ledger_kernels import (
    AGREED_ID,
    AGREED_TS,
    AWAITED,
    CHAINED_ID,
    CHAINED_TS,
    CLOSED,
    CODES,
    DIFFERING,
    DOUBT,
    DOUBTED_ID,
    DOUBTED_TS,
    DRIFT,
    FRESH_ID,
    FRESH_TS,
    FROZEN,
    HEARD_AT,
    LEAST_PROBED,
    LEAST_UNSHOWN_PRINTS,
    LOST,
    M_ASK_REACH,
    M_BID_REACH,
    M_FAR_PRINTS,
    M_FIRST,
    M_LAST,
    M_MINUTE,
    M_PRINTS,
    M_THROUGH,
    M_TRADES,
    M_TRUSTED_MIN,
    MINUTE,
    MINUTE_NS,
    NEXT_STATE_TS,
    NO_REACH,
    OPEN,
    PRICE_SQUARES,
    PRINTS,
    PROBE,
    PROBED,
    REFUTED,
    SILENCE,
    SIZE_SQUARES,
    STILL,
    SUSPECT_ID,
    SUSPECT_TS,
    SUSPECTS,
    T_COUNT,
    T_FIRST,
    T_FIRST_TS,
    T_LAST,
    T_LAST_TS,
    TALLIES,
    TALLY,
    THIS_MINUTE,
    UNCHAINED,
    UNFOLLOWED,
    UNPROVEN,
    UNPROVEN_ID,
    UNPROVEN_TS,
    UNREAD,
    UNREADABLE,
    WAITING,
    Float64,
    add_episode,
    close_doubt,
    last_known,
    open_doubt,
    silent,
)
from lobproof.schema import Finding, Int64

STANDSTILL = int(Finding.REFERENCE_STALE)
UNPROVEN_ANCHOR = int(Finding.ANCHOR_UNPROVEN)
TRADELESS = int(Finding.TRADES_ABSENT)
LEAST_FAR_PRINTS = 3
"""A minute is frozen where so many of its prints, and at least half, are far from the touch."""
LEAST_STANDSTILL_NS = 1_000_000_000
"""Rows of `book` stand still where two in a row show nothing of so many prints, for a second."""
LEAST_THROUGH = 20
"""A minute lacks trades where the book moved through its touch so often, and none came."""


@kernel
def end_standstill(run: Int64, found: Int64, event_id: int, ts: int) -> None:
    """`book` moves again after ``event_id``, or its day ends: a finding where it should have."""
    unshown = run[PRINTS + 2] >= LEAST_UNSHOWN_PRINTS and ts - run[FRESH_TS] >= LEAST_STANDSTILL_NS
    if run[STILL] != 0 or unshown:
        first = run[FRESH_ID]
        last = max(first, event_id)
        add_episode(run, found, STANDSTILL, first, last, run[FRESH_TS], ts, 1, 0, 0)
    run[STILL] = 0
    for k in range(3):
        run[PRINTS + k] = 0


@kernel
def end_correction(run: Int64, found: Int64, event_id: int, ts: int) -> None:
    """Another row agrees, or the day ends: what the one that corrected alone vouched for.

    It contradicted the deltas, and may have been wrong itself: until here that is in doubt.
    """
    if run[UNPROVEN] != 0:
        first = run[UNPROVEN_ID]
        last = max(first, event_id)
        add_episode(run, found, DRIFT, first, last, run[UNPROVEN_TS], ts, run[DIFFERING], 0, 0)
        run[UNPROVEN] = 0


@kernel
def close_minute(run: Int64, found: Int64, closed: Int64, squares: Float64) -> None:
    """Write the current minute and its tallies, if there is one, and empty both."""
    if run[THIS_MINUTE + M_MINUTE] < 0:
        return
    far = run[THIS_MINUTE + M_FAR_PRINTS]
    if far >= LEAST_FAR_PRINTS and 2 * far >= run[THIS_MINUTE + M_PRINTS]:
        minute = run[THIS_MINUTE + M_MINUTE]
        add_episode(
            run,
            found,
            FROZEN,
            run[THIS_MINUTE + M_FIRST],
            run[THIS_MINUTE + M_LAST],
            minute,
            minute + MINUTE_NS - 1,
            far,
            0,
            0,
        )
    through = run[THIS_MINUTE + M_THROUGH]
    if through >= LEAST_THROUGH and run[THIS_MINUTE + M_TRADES] == 0:
        minute = run[THIS_MINUTE + M_MINUTE]
        add_episode(
            run,
            found,
            TRADELESS,
            run[THIS_MINUTE + M_FIRST],
            run[THIS_MINUTE + M_LAST],
            minute,
            minute + MINUTE_NS - 1,
            through,
            0,
            0,
        )
    row = run[CLOSED]
    for k in range(MINUTE):
        closed[row, k] = run[THIS_MINUTE + k]
        run[THIS_MINUTE + k] = 0
    run[THIS_MINUTE + M_MINUTE] = -1
    run[CLOSED] = row + 1
    squares[row + 1, SIZE_SQUARES] = 0.0
    squares[row + 1, PRICE_SQUARES] = 0.0
    for code in range(CODES):
        at = TALLIES + TALLY * code
        if run[at + T_COUNT] > 0:
            add_episode(
                run,
                found,
                code,
                run[at + T_FIRST],
                run[at + T_LAST],
                run[at + T_FIRST_TS],
                run[at + T_LAST_TS],
                run[at + T_COUNT],
                0,
                0,
            )
            for k in range(TALLY):
                run[at + k] = 0


@kernel
def enter_minute(
    run: Int64, found: Int64, closed: Int64, squares: Float64, ts: int, event_id: int
) -> None:
    """Make the minute of ``ts`` the current one."""
    minute = ts - ts % MINUTE_NS
    if run[THIS_MINUTE + M_MINUTE] != minute:
        close_minute(run, found, closed, squares)
        run[THIS_MINUTE + M_MINUTE] = minute
        run[THIS_MINUTE + M_FIRST] = event_id
        run[THIS_MINUTE + M_LAST] = event_id - 1
        run[THIS_MINUTE + M_TRUSTED_MIN] = -1
        run[THIS_MINUTE + M_BID_REACH] = NO_REACH
        run[THIS_MINUTE + M_ASK_REACH] = NO_REACH


@kernel
def begin_day(run: Int64, ts: int) -> None:
    """Ids start again at 0: doubts that are open go on from there."""
    run[FRESH_ID] = 0
    run[FRESH_TS] = ts
    run[UNPROVEN_ID] = 0
    run[UNPROVEN_TS] = ts
    run[AGREED_ID] = 0
    run[AGREED_TS] = ts
    run[SUSPECT_ID] = 0
    run[SUSPECT_TS] = ts
    run[CHAINED_ID] = 0
    run[CHAINED_TS] = ts
    run[DOUBTED_ID] = 0
    run[DOUBTED_TS] = ts
    run[NEXT_STATE_TS] = 0
    for stream in range(STREAMS):
        hear_anew(run, HEARD_AT + stream * HEARD)
    for code in range(CODES):
        if run[DOUBT] & (1 << code):
            run[OPEN + 2 * code] = 0
            run[OPEN + 2 * code + 1] = ts


@kernel
def doubt_the_end(run: Int64, found: Int64, last: int, ts: int) -> None:
    """The events of a day end with ``last``, at ``ts``: nothing vouches for what is left open.

    That is a silence up to there, the book behind lines that cannot be read, and what waits for a
    depth message that never came.
    """
    since, since_ts = last_known(run)
    if silent(run, ts):
        open_doubt(run, SILENCE, since, since_ts)
    if run[UNREAD] > 0:
        open_doubt(run, UNREADABLE, since, since_ts)
    if run[AWAITED] != 0 and run[SUSPECTS] > 0:  # the message that explains that row never came
        first, since = run[AGREED_ID], run[AGREED_TS]
        add_episode(run, found, DRIFT, first, last, since, ts, run[SUSPECTS], 0, 0)
    if run[WAITING] != 0:  # nothing has vouched for that snapshot
        first, since = run[DOUBTED_ID], run[DOUBTED_TS]
        add_episode(run, found, REFUTED, first, last, since, ts, run[SUSPECTS], 0, 0)
    if run[UNFOLLOWED] != 0 and run[LOST] == 0:
        first, since = run[CHAINED_ID], run[CHAINED_TS]
        add_episode(run, found, UNPROVEN_ANCHOR, first, last, since, ts, 1, 0, 0)
    if run[PROBE] != 0 and run[PROBED] >= LEAST_PROBED:
        first, since = run[AGREED_ID], run[AGREED_TS]
        add_episode(run, found, DRIFT, first, last, since, ts, run[PROBED], 0, 0)


@kernel
def end_day(run: Int64, found: Int64, closed: Int64, squares: Float64, last: int, ts: int) -> None:
    """Close the minute, and write a finding for each doubt that is still open.

    They stay open, but for those that a chain may prove to be harmless yet.
    """
    end_standstill(run, found, last, ts)
    end_correction(run, found, last, ts)
    close_minute(run, found, closed, squares)
    doubt = run[DOUBT]
    for code in range(CODES):
        if doubt & (1 << code):
            close_doubt(run, found, code, last, ts)
    run[DOUBT] = doubt
    if run[UNCHAINED] == 0 and run[LOST] != SILENCE:
        run[DOUBT] &= ~(1 << SILENCE)
    run[DOUBT] &= ~(1 << UNREADABLE)
