"""Journal lines from scanned messages, and the count of lines per stream."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.sources.binance.message_kernels import (
    DATA,
    DATA_STOP,
    DEPTH,
    KIND,
    NAME,
    OTHER,
    RECV,
    STREAM,
    STREAM_STOP,
    Bytes,
    text,
)

MAX_STREAMS = 64
MAX_NAME_BYTES = 64
_HEAD, _STREAM = text('{"capture_ns":'), text(',"stream":"')
_CONN, _TAIL = text('","conn":0,"data":'), text("}\n")
LINE_EXTRA = 19 + _HEAD.size + _STREAM.size + _CONN.size + _TAIL.size
"""Bytes that a journal line needs beyond its payload and its stream's name."""


@kernel
def _append(out: Bytes, at: int, source: Bytes, start: int, stop: int) -> int:
    for i in range(start, stop):
        out[at] = source[i]
        at += 1
    return at


@kernel
def _append_integer(out: Bytes, at: int, value: int) -> int:
    digits = 1
    rest = value // 10
    while rest > 0:
        digits += 1
        rest //= 10
    for i in range(at + digits - 1, at - 1, -1):
        out[i] = 48 + value % 10
        value //= 10
    return at + digits


@kernel
def journal_lines(
    buf: Bytes, messages: Int64, start: int, stop: int, names: Bytes, name_stops: Int64, out: Bytes
) -> int:
    """Write the lines ``start`` … ``stop`` that are kept into ``out``; bytes written.

    ``names[name_stops[k - 1]:name_stops[k]]`` is the stream of kind ``k`` where the line has none.
    """
    at = 0
    for i in range(start, stop):
        kind = messages[i, KIND]
        if kind < DEPTH or kind > OTHER:
            continue
        at = _append(out, at, _HEAD, 0, _HEAD.size)
        at = _append_integer(out, at, messages[i, RECV])
        at = _append(out, at, _STREAM, 0, _STREAM.size)
        if messages[i, STREAM_STOP] > 0:
            at = _append(out, at, buf, messages[i, STREAM], messages[i, STREAM_STOP])
        else:
            at = _append(out, at, names, name_stops[kind - 1], name_stops[kind])
        at = _append(out, at, _CONN, 0, _CONN.size)
        at = _append(out, at, buf, messages[i, DATA], messages[i, DATA_STOP])
        at = _append(out, at, _TAIL, 0, _TAIL.size)
    return at


@kernel
def _find(buf: Bytes, start: int, stop: int, table: Bytes, sizes: Int64, used: int) -> int:
    for k in range(used):
        if sizes[k] == stop - start:
            i = 0
            while i < sizes[k] and table[k, i] == buf[start + i]:
                i += 1
            if i == sizes[k]:
                return k
    return -1


@kernel
def count_streams(
    buf: Bytes,
    messages: Int64,
    names: Bytes,
    name_stops: Int64,
    table: Bytes,
    sizes: Int64,
    counts: Int64,
    used: int,
) -> int:
    """Count kept lines per stream and note the stream's number in ``NAME``; streams known now.

    ``table`` is (``MAX_STREAMS``, ``MAX_NAME_BYTES``): the names in order of appearance. What it
    cannot hold is counted in the last row of ``counts``.
    """
    for i in range(messages.shape[0]):
        kind = messages[i, KIND]
        if kind < DEPTH or kind > OTHER:
            continue
        source = buf
        start = messages[i, STREAM]
        stop = messages[i, STREAM_STOP]
        if stop == 0:
            source = names
            start = name_stops[kind - 1]
            stop = name_stops[kind]
        found = _find(source, start, stop, table, sizes, used)
        if found < 0 and used < MAX_STREAMS and stop - start <= MAX_NAME_BYTES:
            found = used
            used += 1
            sizes[found] = _append(table[found], 0, source, start, stop)
        messages[i, NAME] = found
        counts[found] += 1
    return used
