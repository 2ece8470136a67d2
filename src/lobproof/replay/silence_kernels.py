"""Pace and silence: when a stream was heard, what silence is, and how it is seen."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import COVERED_STREAMS, SPEAKS_OF_THE_FEED, Int8, Int32, Int64
from lobproof.schema.plain import CLEAR, DELTA, F_LAST, MARK, Q_UNSEEDED
from lobproof.schema.records import INT, Record, integers, record

LEAST_SILENCE_NS = 5_000_000_000
SILENT_CADENCES = 50
"""A stream is silent after so many times the mean spacing of its messages, and at least 5 s."""

COVERED = len(COVERED_STREAMS)
DEPTH, SNAPSHOTS, TRADES, BOOK, ALL = range(COVERED)
LISTED_SILENCES = 64
"""So many silences of a stream are listed, the longest; all are counted."""

STREAM = record(
    *integers("messages", "first", "last"),  # how many, and when; 0 with none
    ("cadence", INT),  # running mean of the time between messages, ns
    *integers("silences", "silent_ns"),  # how many, and how long in all
    ("listed", INT, (LISTED_SILENCES, 2)),  # first and last ns of the longest
)


@kernel
def limit_of(cadence: int) -> int:
    """The longest time without a message that the mean spacing ``cadence`` explains, ns."""
    return int(max(LEAST_SILENCE_NS, SILENT_CADENCES * cadence))


@kernel
def paced(cadence: int, since: int) -> int:
    """The mean spacing, 0 before there is one, after a message that came ``since`` ns later."""
    if since <= 0:
        return cadence
    # a silence is no cadence: it counts as the longest gap that is none
    usual = min(since, limit_of(cadence))
    return int(cadence + (usual - cadence) // 64 if cadence > 0 else usual)


@kernel
def hear(stream: Record, ts: int) -> None:
    """A message of the stream has come."""
    if stream.messages == 0:
        stream.first = ts
        stream.last = ts
    else:
        since = ts - stream.last
        if since > limit_of(stream.cadence):
            list_silence(stream, since)
        stream.cadence = paced(stream.cadence, since)
        stream.last = max(stream.last, ts)
    stream.messages += 1


@kernel
def list_silence(stream: Record, length: int) -> None:
    """Count a silence since the last message; list it in place of the shortest, if it is longer.

    Of several that are the shortest the last one goes.
    """
    count = stream.silences
    stream.silences += 1
    stream.silent_ns += length
    listed = stream.listed
    place = min(count, LISTED_SILENCES)
    if place == LISTED_SILENCES:
        place = 0
        for k in range(1, LISTED_SILENCES):
            longer = listed[k, 1] - listed[k, 0] - listed[place, 1] + listed[place, 0]
            if longer < 0 or (longer == 0 and listed[k, 0] > listed[place, 0]):
                place = k
        if listed[place, 1] - listed[place, 0] >= length:
            return
    listed[place, 0] = stream.last
    listed[place, 1] = stream.last + length


@kernel
def hear_anew(stream: Record) -> None:
    """A day begins: nothing of the stream has been heard, at the pace that it had."""
    stream.messages = 0
    stream.first = 0
    stream.last = 0
    stream.silences = 0
    stream.silent_ns = 0
    stream.listed[:] = 0


# --- of the book, in a replay ------------------------------------------------------------------


@kernel
def quiet_limit(state: Record) -> int:
    """The longest time without a depth message that the feed's cadence explains, ns."""
    return limit_of(state.cadence)


@kernel
def silent(state: Record, ts: int) -> bool:
    """Whether the feed has been quiet for longer than is its way, and no loss is known yet.

    Before the seed too: what the book held proves nothing about the first snapshot.
    """
    if state.last_alive == 0 or (state.trust.reason != 0 and state.trust.reason != Q_UNSEEDED):
        return False
    return bool(ts - state.last_alive > quiet_limit(state))


@kernel
def silent_chainless(state: Record, ts: int) -> bool:
    """Whether a silence is a loss already: a chain would tell with the next message."""
    return bool(state.chainless != 0 and silent(state, ts))


@kernel
def flowing(state: Record, ts: int) -> bool:
    """Whether depth messages come in: only then can a vendor's row anchor what they change."""
    return bool(state.book_ts == 0 or ts - state.book_ts <= quiet_limit(state))


@kernel
def note_message(state: Record, ts: int) -> None:
    """A message of the book has come: the feed lives, at this cadence."""
    if state.book_ts > 0:
        since = ts - state.book_ts
        state.minute.longest_silence = max(state.minute.longest_silence, since)
        state.cadence = paced(state.cadence, since)
    state.book_ts = ts
    state.last_alive = ts


@kernel
def pass_by(state: Record, kind: Int8, flags: Int32, ts_order: Int64) -> None:
    """Note when whole messages of the book came, as their replay would; nothing else of them.

    A replay that starts behind them has to know their pace.
    """
    first = True
    for i in range(kind.shape[0]):
        if first:
            empty = kind[i] == MARK and not flags[i] & SPEAKS_OF_THE_FEED
            # where snapshots are the feed's messages, each opens with CLEAR
            whole = kind[i] == CLEAR and state.chainless != 0
            if kind[i] == DELTA or empty or whole:
                note_message(state, ts_order[i])
        first = (flags[i] & F_LAST) != 0
    state.minute.longest_silence = 0  # of a minute that is nobody's
