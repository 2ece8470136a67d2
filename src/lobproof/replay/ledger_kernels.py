"""What the replay keeps beside the book: doubts that are open, findings, the minute's counts.

One flat array, ``run``, holds all of it, so that a run can be saved, and cut anywhere without a
trace in the result; few and plain arrays also keep the compilation of the kernels short. What a
step gives goes to ``found`` (rows of findings), ``closed`` (rows of minutes) and ``squares``:
the minutes' sums of squared errors, of prices in ticks and of sizes relative to the snapshot's,
the open minute's behind the closed ones'.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.book.undo_kernels import UNDO as UNDO_ROOM
from lobproof.jit import kernel
from lobproof.replay.coverage_kernels import HEARD, STREAMS, limit_of, paced
from lobproof.schema import LEVELS, Finding, Int64

Float64 = NDArray[np.float64]

# --- run state -----------------------------------------------------------------------------
DOUBT = 0  # bits (1 << code) of the doubts that are open
LOST = 1  # code of why nothing is trusted; 0 when the book is anchored
SEQUENCE = 2  # final id of the last applied depth message
AGREED_ID = 3  # the event after which a snapshot or reference last vouched for the book
AGREED_TS = 4
BOOK_TS = 5  # ts_order of the last depth message; 0 before the first
NEXT_STATE_TS = 6  # thinning: no state before this time
SUSPECTS = 7  # levels in which the last snapshot differs, until the next depth message clears them
SUSPECT_ID = 8  # last row of that snapshot
SUSPECT_TS = 9
GAP_FROM = 10
GAP_TO = 11
SNAPSHOT_TRUST = 12  # what that snapshot covers: bid kind, bid price, ask kind, ask price
PENDING = 16  # levels with trades that no depth message has confirmed yet
EXPIRED_VOLUME = 17
EXPIRED_TRADES = 18
FOUND = 19  # rows written by this step to each of its outputs
CLOSED = 20
STATES = 21
STALE = 22  # per side, 1: beyond the trusted range the book may hold levels from before a loss
LIFE_TS = 24  # last depth message, or reference that agreed; 0 before the first
CADENCE = 25  # running mean of the time between depth messages, ns
UNCHAINED = 26  # 1: the feed's ids show no loss; only silence and references do
RESYNC = 27  # when a reference corrects the book: RESYNC_…
REFERENCES = 28  # references of this step that were met
ACTION = 29  # what the replay stopped for, see `reference_kernels`
WAITING = 30  # 1: a snapshot that differs is applied, and the next depth message decides
AWAITED = 31  # 1: the suspects are those of a reference, which was not applied
DIFFERING = 32  # levels that the doubt DRIFT, or a stranded snapshot, speaks of
ACTION_TS = 33  # and when
PRINT_TS = 34  # of the last trade
PENDS = 35  # what trades wait for: PENDS_…
PENDING_LOW = 36  # no price that is pending lies below, or above: most rows need no look-up
PENDING_HIGH = 37
CHAINED_ID = 38  # the last depth message, or the snapshot that anchored: the chain is whole so far
CHAINED_TS = 39
QUEUE_FIRST = 40  # trades that may still be pending: number of the first, and of the next to come
QUEUE_NEXT = 41
DEPTH_MESSAGES = 42  # how many there were, for the age of trades
DOUBTED_ID = 43  # last row of the first snapshot that waits
DOUBTED_TS = 44
PROBE = 45  # 1: no depth message has named a level that the anchoring snapshot lists
PROBED = 46  # levels within its range that they named, and that it lacks
VOUCHED = 47  # per side, how far (sign * price) two snapshots agree since the anchor
AGREES_TO = 49  # per side, how far (sign * price) the snapshot that waits and the book know it
REMEMBERED = 51  # levels of the last snapshot that was refuted
IMAGES = 52  # per side: levels of the image, and how far (sign * price) it goes
UNREAD = 56  # lines since CHAINED that cannot be read: the next depth message tells what was lost
SHARED = 57  # levels that the later snapshot and the book have alike
STILL = 58  # 1: `book` repeats its last row although the deltas have moved the book
FRESH_ID = 59  # the event after which its row first was what it still is, and when
FRESH_TS = 60
PRINTS = 61  # prints since the last row of `book`, those that one row, and that more left out
LAST_BID = 64  # the touch behind the last message; 0 where a side was empty
LAST_ASK = 65
UNPROVEN = 66  # 1: a row corrected the book, and no other has agreed since; from where, and when
UNPROVEN_ID = 67
UNPROVEN_TS = 68
UNFOLLOWED = 69  # 1: no depth message has come since the snapshot that anchored, nor one of its id
LISTED = 70  # the last row of `book` that could be one, as it is listed
OPEN = LISTED + 4 * LEVELS  # per code: first event id, first ts
CODES = 1 + max(int(code) for code in Finding)
if CODES > 63:
    raise ImportError("`DOUBT` has a bit a code, and no more than 63")
RESYNC_NEVER, RESYNC_ON_DRIFT, RESYNC_ALWAYS = range(3)
PENDS_FOR_NOTHING, PENDS_FOR_DELTAS, PENDS_FOR_SNAPSHOTS = range(3)

# columns of `squares`
SIZE_SQUARES, PRICE_SQUARES = range(2)

# --- episodes: what becomes rows of `quality` ----------------------------------------------
EPISODE = 8
E_CODE, E_FIRST, E_LAST, E_FIRST_TS, E_LAST_TS, E_COUNT, E_FROM, E_TO = range(EPISODE)

# --- per-minute counts; there are as many names as `MINUTE` says, or nothing starts -----------
MINUTE = 36
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
    M_PRINTS,
    M_FAR_PRINTS,
    M_REFERENCES,
    M_CONTRADICTIONS,
    M_SPREAD_SUM,
    M_SPREAD_COUNT,
    M_SPREAD_MAX,
    M_TRUSTED_MIN,
    M_DRIFT_COMPARED,
    M_DRIFT_EQUAL,
    M_DRIFT_GHOSTS,
    M_DRIFT_MISSING,
    M_RANKS,
    M_SIZES,
    M_BID_REACH,
    M_ASK_REACH,
    M_THROUGH,
) = range(MINUTE)
NO_REACH = -1
WHOLE_SIDE = 2**62
"""How far a side is trusted, in counts from its touch: not at all, or to its end."""
THIS_MINUTE = OPEN + 2 * CODES  # where the open minute's counts begin in `run`
MINUTE_NS = 60_000_000_000

# --- codes that are tallied per minute instead of located one by one -------------------------
UNSEEDED = int(Finding.UNSEEDED)
GAP = int(Finding.GAP)
RESET = int(Finding.SEQUENCE_RESET)
BAD_TS = int(Finding.BAD_TS)
OFF_TICK = int(Finding.OFF_TICK)
OFF_LOT = int(Finding.OFF_LOT)
INVALID = int(Finding.INVALID_INPUT)
UNCONFIRMED = int(Finding.TRADE_UNCONFIRMED)
UNUSED = int(Finding.REFERENCE_UNUSED)
CROSSED = int(Finding.CROSSED)
DRIFT = int(Finding.DRIFT)
SILENCE = int(Finding.SILENCE)
FROZEN = int(Finding.FROZEN)
REFUTED = int(Finding.REFUTED)
UNREADABLE = int(Finding.UNREADABLE)
TALLY = 5
T_FIRST, T_LAST, T_FIRST_TS, T_LAST_TS, T_COUNT = range(TALLY)
TALLIES = THIS_MINUTE + MINUTE

LEAST_UNSHOWN_PRINTS = 3
"""Rows of `book` stand still that show nothing of so many prints."""
LEAST_PROBED = 16
MOST_PROBED = 256
"""An anchor is doubted after so many levels within its range that it lacks, and none that it lists.

On recordings up to 146 new levels come in a row, amid a move. At the end of a day, where more may
come, the least suffices.
"""

# a level that differs: side, price, size in the book, size in the snapshot
L_SIDE, L_PRICE, L_BOOK, L_SNAPSHOT = range(4)
DIFFERENCE = 4
MAX_SUSPECTS = 16384
SUSPECT_LEVELS = TALLIES + CODES * TALLY
MAX_REMEMBERED = 1024
REMEMBERED_LEVELS = SUSPECT_LEVELS + DIFFERENCE * MAX_SUSPECTS
MAX_IMAGE = 8192
IMAGE_LEVELS = REMEMBERED_LEVELS + DIFFERENCE * MAX_REMEMBERED  # per side: prices, then sizes
HEARD_AT = IMAGE_LEVELS + 4 * MAX_IMAGE  # when each stream was heard, one after the other
UNDO = HEARD_AT + STREAMS * HEARD  # what the snapshot that waits has changed
RUN = UNDO + UNDO_ROOM
NEVER = -(2**62)
"""``VOUCHED`` where no second snapshot agreed."""


@kernel
def nothing_pends(run: Int64) -> None:
    """No trade is pending: no price lies in that range."""
    run[PENDING] = 0
    run[PENDING_LOW] = 2**62
    run[PENDING_HIGH] = 0


def new_run() -> Int64:
    """State before the first event: unseeded."""
    run = np.zeros(RUN, np.int64)
    run[PENDS] = PENDS_FOR_DELTAS
    nothing_pends(run)
    run[LOST] = UNSEEDED
    run[[VOUCHED, VOUCHED + 1]] = NEVER
    run[DOUBT] = 1 << UNSEEDED
    run[SEQUENCE] = -1
    run[THIS_MINUTE + M_MINUTE] = -1
    return run


@kernel
def add_episode(
    run: Int64,
    found: Int64,
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
    at = run[FOUND]
    if at >= len(found):
        raise IndexError("more findings than there is room for")
    found[at, E_CODE] = code
    found[at, E_FIRST] = first
    found[at, E_LAST] = last
    found[at, E_FIRST_TS] = first_ts
    found[at, E_LAST_TS] = last_ts
    found[at, E_COUNT] = count
    found[at, E_FROM] = ids_from
    found[at, E_TO] = ids_to
    run[FOUND] = at + 1


@kernel
def open_doubt(run: Int64, code: int, event_id: int, ts: int) -> None:
    """Note since which event the doubt ``code`` holds; one that is open holds since before."""
    if run[DOUBT] & (1 << code) == 0:
        run[DOUBT] |= 1 << code
        run[OPEN + 2 * code] = event_id
        run[OPEN + 2 * code + 1] = ts


@kernel
def last_known(run: Int64) -> tuple[int, int]:
    """Event and time after which the book was last known to be right: what a loss reaches back to.

    A whole chain proves it of each message; without one, a snapshot or reference that agrees does.
    """
    if run[UNCHAINED] != 0:
        return run[AGREED_ID], run[AGREED_TS]
    return run[CHAINED_ID], run[CHAINED_TS]


@kernel
def close_doubt(run: Int64, found: Int64, code: int, last: int, ts: int) -> None:
    """The doubt ``code`` ends after event ``last``, at time ``ts``: a finding."""
    run[DOUBT] &= ~(1 << code)
    ids_from = 0
    ids_to = 0
    count = 1
    if code == GAP:
        ids_from = run[GAP_FROM] + 1
        ids_to = run[GAP_TO]
        count = ids_to - ids_from + 1
    elif code == DRIFT:
        count = run[DIFFERING]
    elif code == RESET:
        ids_from = run[GAP_FROM]
        ids_to = run[GAP_TO]
    elif code == UNREADABLE:
        count = run[UNREAD]
    first = run[OPEN + 2 * code]
    add_episode(
        run,
        found,
        code,
        first,
        max(first, last),
        run[OPEN + 2 * code + 1],
        ts,
        count,
        ids_from,
        ids_to,
    )


@kernel
def count_finding(run: Int64, code: int, event_id: int, ts: int, count: int) -> None:
    """Add to the minute's tally of ``code``."""
    at = TALLIES + TALLY * code
    if run[at + T_COUNT] == 0:
        run[at + T_FIRST] = event_id
        run[at + T_FIRST_TS] = ts
    run[at + T_LAST] = event_id
    run[at + T_LAST_TS] = ts
    run[at + T_COUNT] += count


@kernel
def quiet_limit(run: Int64) -> int:
    """The longest time without a depth message that the feed's cadence explains, ns."""
    return limit_of(run[CADENCE])


@kernel
def silent(run: Int64, ts: int) -> bool:
    """Whether the feed has been quiet for longer than is its way, and no loss is known yet.

    Before the seed too: what the book held proves nothing about the first snapshot.
    """
    if run[LIFE_TS] == 0 or run[LOST] not in (0, UNSEEDED):
        return False
    return bool(ts - run[LIFE_TS] > quiet_limit(run))


@kernel
def silent_unchained(run: Int64, ts: int) -> bool:
    """Whether a silence is a loss already: a chain would tell with the next message."""
    return bool(run[UNCHAINED] != 0 and silent(run, ts))


@kernel
def flowing(run: Int64, ts: int) -> bool:
    """Whether depth messages come in: only then can a reference anchor what they change."""
    return bool(run[BOOK_TS] == 0 or ts - run[BOOK_TS] <= quiet_limit(run))


@kernel
def note_message(run: Int64, ts: int) -> None:
    """A message of the book has come: the feed lives, at this cadence."""
    if run[BOOK_TS] > 0:
        since = ts - run[BOOK_TS]
        run[THIS_MINUTE + M_SILENCE] = max(run[THIS_MINUTE + M_SILENCE], since)
        run[CADENCE] = paced(run[CADENCE], since)
    run[BOOK_TS] = ts
    run[LIFE_TS] = ts
