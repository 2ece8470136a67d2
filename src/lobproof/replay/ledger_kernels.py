"""What the replay keeps beside the book: doubts that are open, findings, the minute's counts.

Plain arrays, so that a run can be saved, and cut anywhere without a trace in the result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel
from lobproof.schema import Finding, Int8, Int32, Int64

# --- run state -----------------------------------------------------------------------------
DOUBT = 0  # bits (1 << code) of the doubts that are open
LOST = 1  # code of why nothing is trusted; 0 when the book is anchored
SEQUENCE = 2  # final id of the last applied depth message
AGREED_ID = 3  # the event after which the book was last known to be right
AGREED_TS = 4
BOOK_TS = 5  # ts_order of the last depth message; 0 before the first
NEXT_STATE_TS = 6  # thinning: no state before this time
SUSPECTS = 7  # levels in which the last snapshot differs, until the next depth message clears them
SUSPECT_ID = 8  # last row of that snapshot
SUSPECT_TS = 9
GAP_FROM = 10
GAP_TO = 11
SNAPSHOT_TRUST = 12  # what that snapshot covers: bid kind, bid price, ask kind, ask price
OPEN = 16  # per code: first event id, first ts
CODES = 16
RUN_STATE = OPEN + 2 * CODES

# --- episodes: what becomes rows of `quality` ----------------------------------------------
E_CODE, E_FIRST, E_LAST, E_FIRST_TS, E_LAST_TS, E_COUNT, E_FROM, E_TO = range(8)
EPISODE = 8

# --- per-minute counts -----------------------------------------------------------------------
(
    M_MINUTE,
    M_FIRST,
    M_LAST,
    M_BOOK_MESSAGES,
    M_DELTA_ROWS,
    M_SNAPSHOTS,
    M_GAPS,
    M_CROSSED,
    M_DOUBTFUL,
    M_SILENCE,
    M_TRADES,
    M_BUY_VOLUME,
    M_SELL_VOLUME,
    M_EXPLAINED,
    M_REFILLED,
    M_TRANSIENT,
    M_GROWN,
    M_UNNAMED_VOLUME,
    M_UNNAMED_TRADES,
    M_SPREAD_SUM,
    M_SPREAD_COUNT,
    M_SPREAD_MAX,
    M_TRUSTED_MIN,
    M_DRIFT_COMPARED,
    M_DRIFT_EQUAL,
    M_DRIFT_GHOSTS,
    M_DRIFT_MISSING,
    M_RANKS,
    M_RANK_SQUARES,
    M_SIZES,
) = range(30)
MINUTE = 30
MINUTE_NS = 60_000_000_000

# --- codes that are tallied per minute instead of located one by one -------------------------
BAD_TS = int(Finding.BAD_TS)
OFF_TICK = int(Finding.OFF_TICK)
OFF_LOT = int(Finding.OFF_LOT)
UNCONFIRMED = int(Finding.TRADE_UNCONFIRMED)
T_FIRST, T_LAST, T_FIRST_TS, T_LAST_TS, T_COUNT = range(5)
TALLY = 5

MAX_SUSPECTS = 16384


class Run(NamedTuple):
    """State of a replay beside the book and the pending trades."""

    state: Int64
    minute: Int64
    size_squares: NDArray[np.float64]  # (1,): sum of squared relative size errors of the minute
    tally: Int64  # (CODES, TALLY)
    suspects: Int64  # (MAX_SUSPECTS, 2): side, price


class Output(NamedTuple):
    """Preallocated columns that a replay step fills; ``counts`` says how far."""

    counts: Int64  # episodes, minutes, states
    episodes: Int64  # (n, EPISODE)
    minutes: Int64  # (n, MINUTE)
    size_squares: NDArray[np.float64]
    state_id: Int64
    state_ts: Int64
    state_ts_event: Int64
    state_sequence: Int64
    levels: Int64  # (n, 80)
    bid_trusted: Int8
    ask_trusted: Int8
    state_flags: Int32


def new_run() -> Run:
    """State before the first event: unseeded."""
    run = Run(
        np.zeros(RUN_STATE, np.int64),
        np.zeros(MINUTE, np.int64),
        np.zeros(1, np.float64),
        np.zeros((CODES, TALLY), np.int64),
        np.zeros((MAX_SUSPECTS, 2), np.int64),
    )
    run.state[LOST] = int(Finding.UNSEEDED)
    run.state[DOUBT] = 1 << int(Finding.UNSEEDED)
    run.state[SEQUENCE] = -1
    run.minute[M_MINUTE] = -1
    return run


@kernel
def add_episode(
    out: Output,
    code: int,
    first: int,
    last: int,
    first_ts: int,
    last_ts: int,
    count: int,
    ids_from: int,
    ids_to: int,
) -> None:
    """Append one finding."""
    row = out.episodes[out.counts[0]]
    row[E_CODE] = code
    row[E_FIRST] = first
    row[E_LAST] = last
    row[E_FIRST_TS] = first_ts
    row[E_LAST_TS] = last_ts
    row[E_COUNT] = count
    row[E_FROM] = ids_from
    row[E_TO] = ids_to
    out.counts[0] += 1


@kernel
def open_doubt(run: Run, code: int, event_id: int, ts: int) -> None:
    """Note since which event the doubt ``code`` holds."""
    run.state[DOUBT] |= 1 << code
    run.state[OPEN + 2 * code] = event_id
    run.state[OPEN + 2 * code + 1] = ts


@kernel
def close_doubt(run: Run, out: Output, code: int, last: int, ts: int) -> None:
    """The doubt ``code`` ends after event ``last``, at time ``ts``: a finding."""
    run.state[DOUBT] &= ~(1 << code)
    ids_from = 0
    ids_to = 0
    count = 1
    if code == 2:  # Finding.GAP
        ids_from = run.state[GAP_FROM] + 1
        ids_to = run.state[GAP_TO]
        count = ids_to - ids_from + 1
    first = run.state[OPEN + 2 * code]
    add_episode(
        out,
        code,
        first,
        max(first, last),
        run.state[OPEN + 2 * code + 1],
        ts,
        count,
        ids_from,
        ids_to,
    )


@kernel
def count_finding(run: Run, code: int, event_id: int, ts: int, count: int) -> None:
    """Add to the minute's tally of ``code``."""
    row = run.tally[code]
    if row[T_COUNT] == 0:
        row[T_FIRST] = event_id
        row[T_FIRST_TS] = ts
    row[T_LAST] = event_id
    row[T_LAST_TS] = ts
    row[T_COUNT] += count


@kernel
def close_minute(run: Run, out: Output) -> None:
    """Write the current minute and its tallies, if there is one, and empty both."""
    if run.minute[M_MINUTE] < 0:
        return
    at = out.counts[1]
    out.minutes[at] = run.minute
    out.size_squares[at] = run.size_squares[0]
    out.counts[1] += 1
    run.minute[:] = 0
    run.minute[M_MINUTE] = -1
    run.size_squares[0] = 0.0
    for code in range(CODES):
        row = run.tally[code]
        if row[T_COUNT] > 0:
            add_episode(
                out,
                code,
                row[T_FIRST],
                row[T_LAST],
                row[T_FIRST_TS],
                row[T_LAST_TS],
                row[T_COUNT],
                0,
                0,
            )
            row[:] = 0


@kernel
def enter_minute(run: Run, out: Output, ts: int, event_id: int) -> None:
    """Make the minute of ``ts`` the current one."""
    minute = ts - ts % MINUTE_NS
    if run.minute[M_MINUTE] != minute:
        close_minute(run, out)
        run.minute[M_MINUTE] = minute
        run.minute[M_FIRST] = event_id
        run.minute[M_TRUSTED_MIN] = -1


@kernel
def begin_day(run: Run, ts: int) -> None:
    """Ids start again at 0: doubts that are open go on from there."""
    run.state[AGREED_ID] = 0
    run.state[AGREED_TS] = ts
    run.state[SUSPECT_ID] = 0
    run.state[NEXT_STATE_TS] = 0
    for code in range(CODES):
        if run.state[DOUBT] & (1 << code):
            run.state[OPEN + 2 * code] = 0
            run.state[OPEN + 2 * code + 1] = ts


@kernel
def end_day(run: Run, out: Output, last: int, ts: int) -> None:
    """Close the minute, and write a finding for each doubt that is still open (it stays open)."""
    close_minute(run, out)
    doubt = run.state[DOUBT]
    for code in range(CODES):
        if doubt & (1 << code):
            close_doubt(run, out, code, last, ts)
    run.state[DOUBT] = doubt
