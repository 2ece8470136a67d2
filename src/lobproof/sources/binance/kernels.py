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
    BLANK,
    CONTROL,
    DATA,
    DATA_STOP,
    DEPTH,
    FOREIGN,
    FUTURES_SHAPE,
    INVALID,
    IRREGULAR,
    KIND,
    LEVEL,
    NINE,
    OF_KIND,
    OTHER,
    RECV,
    ROLE,
    SNAPSHOT,
    SPOT_SHAPE,
    START,
    STOP,
    STREAM,
    STREAM_OF_KIND,
    STREAM_STOP,
    ZERO,
    Bytes,
    payload,
    walk,
)

_AT, _BANG, _BRACE_CLOSE, _RETURN, _UPPER_A, _UPPER_Z = 64, 33, 125, 13, 65, 90
_RECORDING_HEAD, _JOURNAL_HEAD = 0, 1  # rows of the index


@kernel
def _stream_kind(buf: Bytes, start: int, stop: int, shapes: Bytes, index: Int64) -> int:
    """Kind that a stream's name promises."""
    depth = -1
    for k in range(index.shape[0]):
        if index[k, ROLE] != STREAM_OF_KIND:
            continue
        kind = index[k, OF_KIND]
        begin = index[k, START]
        size = index[k, STOP] - begin
        if kind == DEPTH:
            depth = begin
        if size == stop - start or (
            kind == DEPTH and size < stop - start and buf[start + size] == _AT
        ):
            j = 0
            while j < size and buf[start + j] == shapes[begin + j]:
                j += 1
            if j == size:
                found: int = kind
                return found
    if start == stop or buf[start] == _BANG:
        return OTHER
    same = True
    for j in range(stop - start):
        c = buf[start + j]
        same = same and c == shapes[depth + j]  # no longer than up to its @
        if c == _AT:
            return OTHER if same else FOREIGN
        if _UPPER_A <= c <= _UPPER_Z:
            return IRREGULAR
    return OTHER


@kernel
def _bare_kind(buf: Bytes, start: int, stop: int, shapes: Bytes, index: Int64) -> int:
    """Kind of a payload that came without a stream's name: that of the shape it begins like."""
    for k in range(index.shape[0]):
        if index[k, ROLE] != SPOT_SHAPE and index[k, ROLE] != FUTURES_SHAPE:
            continue
        at = index[k, START]
        pos = start
        while shapes[at] >= BLANK and pos < stop and buf[pos] == shapes[at]:
            at += 1
            pos += 1
        if shapes[at] < BLANK:
            kind: int = index[k, OF_KIND]
            return kind
    return IRREGULAR


@kernel
def _stamp(buf: Bytes, pos: int, stop: int, digits: int) -> int:
    """A recording's receive time in its own unit, or -1 where no stamp and blank stand."""
    value = 0
    if stop - pos < digits + 2 or buf[pos] == NINE:  # 9…: might overflow; decode.py looks closely
        return -1
    for k in range(pos, pos + digits):
        if buf[k] < ZERO or buf[k] > NINE:
            return -1
        value = value * 10 + (int(buf[k]) - ZERO)
    return value if buf[pos + digits] == BLANK else -1


@kernel
def _kind_of_line(
    buf: Bytes,
    start: int,
    stop: int,
    digits: int,
    scale: int,
    shapes: Bytes,
    index: Int64,
    messages: Int64,
    i: int,
    levels: Int64,
) -> int:
    """Split off a line's head, note stamp, stream and payload, and tell the kind."""
    head = _JOURNAL_HEAD
    if digits > 0:
        head = _RECORDING_HEAD
        stamp = _stamp(buf, start, stop, digits)
        if stamp < 0:
            return IRREGULAR
        messages[i, RECV] = stamp * scale
        start += digits + 1
    begin, end = index[head, START], index[head, STOP]
    pos = walk(buf, start, stop, shapes, begin, end, messages, i, levels)
    if pos < 0 and digits > 0 and messages[i, STREAM_STOP] == 0:
        messages[i, DATA] = start
        messages[i, DATA_STOP] = stop
        return _bare_kind(buf, start, stop, shapes, index)
    name, name_stop = messages[i, STREAM], messages[i, STREAM_STOP]
    kind = _stream_kind(buf, name, name_stop, shapes, index)
    if digits == 0 and name > 0 and kind in (INVALID, CONTROL):
        return kind
    if pos < 0 or pos >= stop or buf[stop - 1] != _BRACE_CLOSE:
        return IRREGULAR
    messages[i, DATA] = pos
    messages[i, DATA_STOP] = stop - 1
    if digits > 0 and kind in (OTHER, INVALID, CONTROL):
        return IRREGULAR  # kept whole, so it must be seen to be JSON
    return kind


@kernel
def scan(
    buf: Bytes,
    ends: Int64,
    digits: int,
    scale: int,
    shapes: Bytes,
    index: Int64,
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
    shapes, index
        As in ``Shapes``.
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
        if stop > start and buf[stop - 1] == _RETURN:
            stop -= 1
        if stop == start:
            continue
        kind = _kind_of_line(buf, start, stop, digits, scale, shapes, index, messages, i, levels)
        messages[i, LEVEL] = row
        if DEPTH <= kind <= SNAPSHOT and (wanted >> kind) & 1:
            rows = payload(buf, shapes, index, messages, i, levels, kind)
            if rows < 0:
                kind = IRREGULAR
            else:
                row += rows
        messages[i, KIND] = kind
    return row
