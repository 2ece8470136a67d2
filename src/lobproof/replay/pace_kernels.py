"""The pace of a stream: when it was heard, what silence is, and which silences there were."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import COVERED_STREAMS
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
