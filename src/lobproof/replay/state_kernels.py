"""What the replay keeps beside the book, as one named record; its findings and doubts.

``REPLAY_STATE`` holds all of it, so that a replay can be saved, and cut anywhere without a trace in
the result. What a chunk of the replay gives goes to the ``Outputs``: rows of findings, of closed
minutes and of states, whose filled lengths the state keeps.
"""

from __future__ import annotations

from typing import NamedTuple

from lobproof.book.trust_kernels import NEVER, TRUST
from lobproof.jit import kernel
from lobproof.replay.silence_kernels import COVERED, STREAM
from lobproof.schema import LEVELS, Finding
from lobproof.schema.minutes import DRIFT_COUNTS, MINUTE_COUNTS
from lobproof.schema.plain import Q_DRIFT, Q_GAP, Q_SEQUENCE_RESET, Q_UNREADABLE, Q_UNSEEDED
from lobproof.schema.records import FLOAT, INT, Record, Records, integers, new_rows, record, zeroed

CODES = 1 + max(int(code) for code in Finding)
if CODES > 63:
    raise ImportError("`doubts` has a bit a code, and no more than 63")

RESYNC_NEVER, RESYNC_ON_DRIFT, RESYNC_ALWAYS = range(3)
"""When a vendor's row corrects the book."""
WAIT_FOR_NOTHING, WAIT_FOR_DELTAS, WAIT_FOR_SNAPSHOTS = range(3)
"""What confirms that the book has lost what a trade took."""

MAX_MISMATCHES = 16_384
"""Levels that differ in a snapshot; beyond them only their number is kept."""
MAX_REMEMBERED = 1_024
"""Of a refuted snapshot's mismatches, those that are held against the next one."""
MAX_IMAGE = 8_192
"""Levels a side of the image of an anchor."""

MINUTE_NS = 60_000_000_000
NO_REACH = -1
WHOLE_SIDE = 2**62
"""How far a side is trusted, in counts from its touch: not at all, or to its end."""

# --- rows that the replay gives -------------------------------------------------------------

FINDING_ROW = record(
    *integers("code", "first_event_id", "last_event_id", "first_ts", "last_ts"),
    *integers("count", "first_number", "last_number"),  # numbers: ids, or what the detail names
)
MINUTE_ROW = record(
    *integers(*MINUTE_COUNTS, *DRIFT_COUNTS),
    *integers("spread_sum", "spread_count", "spread_max", "trusted_min"),
    *integers("bid_reach", "ask_reach"),  # how far the sides are trusted, counts from the touch
    *integers("ranks", "sizes"),  # ranks compared by price, levels by size
    *integers("through"),  # times that the book moved through its touch
    ("price_squares", FLOAT),  # sum of squared errors, in ticks, of the ranks
    ("size_squares", FLOAT),  # … relative to the snapshot's, of the sizes
)
STATE_ROW = record(
    *integers("event_id", "ts_order", "ts_event", "sequence"),
    *integers("bid_trusted", "ask_trusted", "state_flags"),
    ("levels", INT, (2, LEVELS, 2)),  # side, level, price and size
)


class Outputs(NamedTuple):
    """Preallocated rows of a chunk."""

    findings: Records
    minutes: Records
    states: Records


# --- the state --------------------------------------------------------------------------------

MOMENT = record(*integers("event_id", "ts"))
TALLY = record(("count", INT), ("first", MOMENT), ("last", MOMENT))
MISMATCH = record(*integers("side", "price", "held", "listed"))
IMAGE_SIDE = record(
    ("count", INT),
    ("to", INT),  # how far (sign * price) the image goes
    ("prices", INT, (MAX_IMAGE,)),
    ("sizes", INT, (MAX_IMAGE,)),
)
PENDING = record(
    ("levels", INT),  # with trades that no depth message has confirmed
    *integers("low", "high"),  # of the prices that are pending: most rows need no look
    *integers("first", "next"),  # of the queue: number of the first trade, and of the next to come
    ("messages", INT),  # depth messages so far, for the age of trades
    *integers("expired_volume", "expired_trades"),  # by the last depth message
)

REPLAY_STATE = record(
    # what the feed is
    ("chainless", INT),  # 1: its ids show no loss; only silence and the vendor's rows do
    ("resync", INT),
    ("trades_wait_for", INT),
    # what is trusted, and since when not
    ("trust", TRUST),
    ("doubts", INT),  # bits (1 << code) of those that are open
    ("doubt_since", MOMENT, (CODES,)),
    ("sequence", INT),  # final id of the last depth message
    ("agreed", MOMENT),  # a snapshot or a vendor's row last vouched for the book
    ("chained", MOMENT),  # the last depth message, or the anchor: the chain is whole up to there
    ("unfollowed", INT),  # 1: no depth message has come since the anchor, nor one of its id
    ("unread", INT),  # lines since `chained` that cannot be read
    *integers("gap_from", "gap_to"),
    # rows of a table that cannot be read: how many since trust was lost for them, the first and
    # the last; and the first of the minute of depth and of trades, counted from 1, 0 without one
    *integers("unread_rows", "first_unread_row", "last_unread_row"),
    ("invalid_rows", INT, (2,)),
    # a snapshot, or a vendor's row, that differs from the book
    ("mismatches", INT),
    ("mismatch_levels", MISMATCH, (MAX_MISMATCHES,)),
    ("compared", MOMENT),  # the last row of what was compared
    ("vendor_row_waits", INT),  # 1: it was a vendor's row, and the next depth message may explain
    ("first_doubted", MOMENT),  # the last row of the first snapshot that waits
    ("shared", INT),  # levels that the later snapshot and the book have alike
    ("differing", INT),  # levels that DRIFT, or a stranding snapshot, speaks of
    ("agrees_to", INT, (2,)),  # how far (sign * price) the snapshot that waits and the book know
    # what vouches for the anchor
    ("vouched_to", INT, (2,)),  # how far (sign * price) two snapshots agree since the anchor
    ("image", IMAGE_SIDE, (2,)),  # the anchor's levels
    ("remembered", INT),  # mismatches of the last snapshot that was refuted
    ("remembered_levels", MISMATCH, (MAX_REMEMBERED,)),
    ("on_probation", INT),  # 1: no depth message has named a level that the anchor lists
    ("unlisted", INT),  # levels within its range that they named, and that it lacks
    # the vendor's rows
    ("next_row", INT),  # the next to be met in this chunk
    ("row_levels", INT, (2, LEVELS, 2)),  # of the last one that could be a book
    ("fresh", MOMENT),  # when it first listed that
    ("stands_still", INT),  # 1: it repeats itself although the deltas have moved the book
    ("prints_unshown", INT, (3,)),  # since the last row, and that one row, and more left out
    ("unproven", INT),  # 1: a row corrected the book, and no other has agreed since
    ("unproven_since", MOMENT),
    # pace and silence
    ("last_alive", INT),  # ts of the last depth message, or row that agreed; 0 before the first
    ("book_ts", INT),  # … of the last depth message
    ("cadence", INT),  # running mean of the time between depth messages, ns
    ("heard", STREAM, (COVERED,)),
    # trades
    ("pending", PENDING),
    ("print_ts", INT),  # of the last print
    *integers("last_bid", "last_ask"),  # the touch behind the last message; 0: an empty side
    # what is counted
    ("minute", MINUTE_ROW),  # the open one; `minute` is -1 where there is none
    ("no_minute", MINUTE_ROW),  # what it is made anew from
    ("tallies", TALLY, (CODES,)),  # findings that are counted per minute, not one by one
    # the chunk
    ("next_state_ts", INT),  # thinning: no state before this time
    *integers("findings", "minutes", "states"),  # rows written to each output
    *integers("action", "action_ts"),  # what the replay stopped for, see `vendor_kernels`, and when
)


def new_state() -> Records:
    """The state before the first event, unseeded; kernels take its one row."""
    states = zeroed(REPLAY_STATE)
    state = states[0]
    state.trades_wait_for = WAIT_FOR_DELTAS
    nothing_pends(state)
    state.trust.reason = Q_UNSEEDED
    state.vouched_to[:] = NEVER
    state.doubts = 1 << Q_UNSEEDED
    state.sequence = -1
    state.no_minute.minute = -1
    state.minute = state.no_minute
    return states


def new_outputs(findings: int, minutes: int, states: int) -> Outputs:
    """Room for so many rows."""
    return Outputs(
        new_rows(FINDING_ROW, findings),
        new_rows(MINUTE_ROW, minutes),
        new_rows(STATE_ROW, states),
    )


@kernel
def nothing_pends(state: Record) -> None:
    """No trade is pending: no price lies in that range."""
    state.pending.levels = 0
    state.pending.low = 2**62
    state.pending.high = 0


# --- findings ---------------------------------------------------------------------------------


@kernel
def add_finding(
    state: Record,
    out: Outputs,
    code: int,
    first: int,
    last: int,
    first_ts: int,
    last_ts: int,
    count: int,
    first_number: int,
    last_number: int,
) -> None:
    """Append a finding about the events ``first`` to ``last``; it has at least one event."""
    if state.findings >= len(out.findings):
        raise IndexError("more findings than there is room for")
    row = out.findings[state.findings]
    row.code = code
    row.first_event_id = first
    row.last_event_id = max(first, last)
    row.first_ts = first_ts
    row.last_ts = last_ts
    row.count = count
    row.first_number = first_number
    row.last_number = last_number
    state.findings += 1


@kernel
def add_since(
    state: Record, out: Outputs, code: int, since: Record, last: int, ts: int, count: int
) -> None:
    """Append a finding about what lies between a moment and the event ``last``, at ``ts``."""
    add_finding(state, out, code, since.event_id, last, since.ts, ts, count, 0, 0)


@kernel
def add_at(
    state: Record,
    out: Outputs,
    code: int,
    event_id: int,
    ts: int,
    count: int,
    first_number: int,
    last_number: int,
) -> None:
    """Append a finding about one event."""
    add_finding(state, out, code, event_id, event_id, ts, ts, count, first_number, last_number)


@kernel
def tally(state: Record, code: int, event_id: int, ts: int) -> None:
    """Count a finding that becomes one row a minute."""
    tally_many(state, code, event_id, ts, 1)


@kernel
def tally_many(state: Record, code: int, event_id: int, ts: int, count: int) -> None:
    """Count so many findings of one event."""
    one = state.tallies[code]
    if one.count == 0:
        one.first.event_id = event_id
        one.first.ts = ts
    one.last.event_id = event_id
    one.last.ts = ts
    one.count += count


# --- doubts: findings that are open until something ends them ------------------------------------


@kernel
def set_moment(moment: Record, event_id: int, ts: int) -> None:
    """Set event and time."""
    moment.event_id = event_id
    moment.ts = ts


@kernel
def open_doubt(state: Record, code: int, since: int, since_ts: int) -> None:
    """Note since which event the doubt ``code`` holds; one that is open holds since before."""
    if state.doubts & (1 << code) == 0:
        state.doubts |= 1 << code
        set_moment(state.doubt_since[code], since, since_ts)


@kernel
def close_doubt(state: Record, out: Outputs, code: int, last: int, ts: int) -> None:
    """The doubt ``code`` ends after event ``last``, at time ``ts``: a finding."""
    state.doubts &= ~(1 << code)
    first_number = 0
    last_number = 0
    count = 1
    if code == Q_GAP:
        first_number = state.gap_from + 1
        last_number = state.gap_to
        count = last_number - first_number + 1
    elif code == Q_DRIFT:
        count = state.differing
    elif code == Q_SEQUENCE_RESET:
        first_number = state.gap_from
        last_number = state.gap_to
    elif code == Q_UNREADABLE and state.chainless != 0:
        count = state.unread_rows
        first_number = state.first_unread_row
        last_number = state.last_unread_row
    elif code == Q_UNREADABLE:
        count = state.unread
    since = state.doubt_since[code]
    add_finding(
        state, out, code, since.event_id, last, since.ts, ts, count, first_number, last_number
    )
