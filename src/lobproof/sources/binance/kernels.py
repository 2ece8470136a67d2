"""Lines to tables: the byte parser's outer loop.

A line is a recording's ``<stamp> <JSON>`` or a journal's ``{"capture_ns":…,"stream":…,"conn":…,
"data":…}``. :func:`scan` splits off the head, tells the payload's kind and notes, for the kinds
that the pass wants, ids, times and *where* the numbers stand; turning them into counts is left to
``row_kernels``, which know the grid. A line that departs from the strict shape in any way is
``IRREGULAR``: msgspec decides about it (``decode.py``).
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.sources.binance.message_kernels import (
    AGGREGATE,
    CONTROL,
    DATA,
    DATA_STOP,
    DEPTH,
    E_AGGREGATE,
    E_DEPTH,
    E_TICKER,
    E_TRADE,
    FOREIGN,
    INVALID,
    IRREGULAR,
    KIND,
    LEVEL,
    OPEN_LAST,
    OTHER,
    RECV,
    SNAPSHOT,
    STREAM,
    STREAM_STOP,
    TICKER,
    TRADE,
    payload,
)
from lobproof.sources.binance.token_kernels import (
    AT,
    BACKSLASH,
    BANG,
    BLANK,
    BRACE_CLOSE,
    NINE,
    QUOTE,
    RETURN,
    TILDE,
    UPPER_A,
    UPPER_Z,
    ZERO,
    Bytes,
    byte,
    comma,
    field,
    key,
    match,
    text,
)

_OPEN_u, _OPEN_e = text('{"u":'), text('{"e":"')
_KEY_DATA, _OPEN_STREAM = text('"data":'), text('{"stream":')
_OPEN_CAPTURE, _KEY_STREAM, _KEY_CONN = text('{"capture_ns":'), text('"stream":'), text('"conn":')
_NAME_DEPTH, _NAME_TRADE, _NAME_AGGREGATE = text("depth"), text("trade"), text("aggTrade")
_NAME_TICKER, _NAME_SNAPSHOT = text("bookTicker"), text("snapshot")
_NAME_INVALID, _NAME_CONTROL = text("invalid"), text("control")


@kernel
def _is(buf: Bytes, start: int, stop: int, literal: Bytes) -> bool:
    return match(buf, start, stop, literal) == stop


@kernel
def _stream_kind(buf: Bytes, start: int, stop: int, symbol: Bytes) -> int:
    """Kind that a stream's name promises; ``symbol`` in lower case."""
    at = byte(buf, match(buf, start, stop, symbol), stop, AT)
    if at < 0:
        if _is(buf, start, stop, _NAME_INVALID):
            return INVALID
        if _is(buf, start, stop, _NAME_CONTROL):
            return CONTROL
        if start < stop and buf[start] != BANG:
            for i in range(start, stop):
                if buf[i] == AT:
                    return FOREIGN
                if UPPER_A <= buf[i] <= UPPER_Z:
                    return IRREGULAR
        return OTHER
    depth = match(buf, at, stop, _NAME_DEPTH)
    if depth == stop or (depth >= 0 and buf[depth] == AT):  # depth5 … are partial books
        return DEPTH
    if _is(buf, at, stop, _NAME_TRADE):
        return TRADE
    if _is(buf, at, stop, _NAME_TICKER):
        return TICKER
    if _is(buf, at, stop, _NAME_AGGREGATE):
        return AGGREGATE
    if _is(buf, at, stop, _NAME_SNAPSHOT):
        return SNAPSHOT
    return OTHER


@kernel
def _bare_kind(buf: Bytes, start: int, stop: int) -> int:
    """Kind of a payload that came without a stream's name, by its first field."""
    if match(buf, start, stop, _OPEN_e) < 0:
        if match(buf, start, stop, OPEN_LAST) >= 0:
            return SNAPSHOT
        return TICKER if match(buf, start, stop, _OPEN_u) >= 0 else IRREGULAR
    if match(buf, start, stop, E_DEPTH) >= 0:
        return DEPTH
    if match(buf, start, stop, E_TRADE) >= 0:
        return TRADE
    if match(buf, start, stop, E_AGGREGATE) >= 0:
        return AGGREGATE
    return TICKER if match(buf, start, stop, E_TICKER) >= 0 else IRREGULAR


@kernel
def _name(buf: Bytes, pos: int, stop: int, messages: Int64, i: int) -> int:
    """Note a quoted stream name; position behind its quote, or -1."""
    pos = byte(buf, pos, stop, QUOTE)
    if pos < 0:
        return -1
    messages[i, STREAM] = pos
    while pos < stop and buf[pos] != QUOTE:
        if buf[pos] == BACKSLASH or buf[pos] < BLANK or buf[pos] > TILDE:
            return -1
        pos += 1
    messages[i, STREAM_STOP] = pos
    return byte(buf, pos, stop, QUOTE)


@kernel
def _stamp(buf: Bytes, pos: int, stop: int, digits: int, scale: int) -> tuple[int, int]:
    """A recording's receive time in ns and the position behind its blank, or -1."""
    value = 0
    if stop - pos < digits + 2 or buf[pos] == NINE:  # 9…: might overflow; decode.py looks closely
        return 0, -1
    for i in range(pos, pos + digits):
        if buf[i] < ZERO or buf[i] > NINE:
            return 0, -1
        value = value * 10 + (int(buf[i]) - ZERO)
    if buf[pos + digits] != BLANK:
        return 0, -1
    return value * scale, pos + digits + 1


@kernel
def _line(
    buf: Bytes,
    start: int,
    stop: int,
    digits: int,
    scale: int,
    symbol: Bytes,
    messages: Int64,
    i: int,
) -> int:
    """Split off a line's head, note stamp, stream and payload, and tell the kind."""
    kind = OTHER
    if digits == 0:
        pos = start
        messages[i, RECV], pos = field(buf, pos, stop, _OPEN_CAPTURE)
        pos = _name(buf, key(buf, pos, stop, _KEY_STREAM), stop, messages, i)
        if pos < 0:
            return IRREGULAR
        kind = _stream_kind(buf, messages[i, STREAM], messages[i, STREAM_STOP], symbol)
        if kind in (INVALID, CONTROL):
            return kind
        _, pos = field(buf, comma(buf, pos, stop), stop, _KEY_CONN)
        pos = key(buf, pos, stop, _KEY_DATA)
    else:
        messages[i, RECV], start = _stamp(buf, start, stop, digits, scale)
        pos = key(buf, start, stop, _OPEN_STREAM)
        if pos < 0:
            if start < 0:
                return IRREGULAR
            messages[i, DATA] = start
            messages[i, DATA_STOP] = stop
            return _bare_kind(buf, start, stop)
        pos = _name(buf, pos, stop, messages, i)
        pos = key(buf, comma(buf, pos, stop), stop, _KEY_DATA)
        if pos >= 0:
            kind = _stream_kind(buf, messages[i, STREAM], messages[i, STREAM_STOP], symbol)
            if kind in (OTHER, INVALID, CONTROL):  # kept whole, so it must be seen to be JSON
                return IRREGULAR
    if pos < 0 or buf[stop - 1] != BRACE_CLOSE:
        return IRREGULAR
    messages[i, DATA] = pos
    messages[i, DATA_STOP] = stop - 1
    return kind


@kernel
def scan(
    buf: Bytes,
    ends: Int64,
    digits: int,
    scale: int,
    upper: Bytes,
    lower: Bytes,
    wanted: int,
    messages: Int64,
    levels: Int64,
) -> int:
    r"""Fill the message and level tables from the lines of a block.

    Parameters
    ----------
    buf
        Whole lines.
    ends
        Position of each line's end (its ``\n``, or the block's end).
    digits, scale
        Digits of a recording's stamp and ns per unit; digits 0 for journal lines.
    upper, lower
        The symbol as payloads and as stream names write it.
    wanted
        Bit mask of the kinds to parse; others are only told apart.
    messages, levels
        Zeroed tables of (lines, ``COLUMNS``) and enough rows of 4.

    Returns
    -------
    int
        Rows used of ``levels``.
    """
    row = 0
    for i in range(ends.size):
        start = ends[i - 1] + 1 if i > 0 else 0
        stop = ends[i]
        if stop > start and buf[stop - 1] == RETURN:
            stop -= 1
        if stop > start:
            kind = _line(buf, start, stop, digits, scale, lower, messages, i)
            messages[i, LEVEL] = row
            if DEPTH <= kind <= SNAPSHOT and (wanted >> kind) & 1:
                parsed = payload(buf, messages[i, DATA_STOP], upper, kind, messages, i, levels)
                if parsed < 0:
                    kind = IRREGULAR
                else:
                    row = parsed
            messages[i, KIND] = kind
    return row
