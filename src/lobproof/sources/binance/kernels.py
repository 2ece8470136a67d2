"""Lines to tables: the byte parser's outer loop.

A line is a recording's ``<receive time> <JSON>`` or a journal's ``{"capture_ns":…,"stream":…,
"conn":…,"data":…}``. :func:`scan` splits off the head, tells the payload's kind and notes, for
the kinds that the pass wants, ids, times and *where* the numbers stand; turning them into counts
is left to ``row_kernels``, which know the grid. A line that departs from the strict shape in any
way is ``IRREGULAR``: msgspec decides about it (``decode.py``).
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.sources.binance.message_kernels import (
    BLANK,
    COLON,
    COMMA,
    CONTROL,
    DATA,
    DATA_STOP,
    DEPTH,
    DOT,
    FOREIGN,
    FUTURES_SHAPE,
    INVALID,
    IRREGULAR,
    KIND,
    LEVEL,
    NINE,
    OF_KIND,
    OTHER,
    QUOTE,
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

_AT, _BANG, _BRACE_CLOSE, _RETURN, _UPPER_A, _UPPER_T, _UPPER_Z = 64, 33, 125, 13, 65, 84, 90
_TAB, _DASH = 9, 45
_NS_DIGITS = 19  # of a receive time in ns; in µs, ms and s it has three fewer each
_DATE_BYTES = 19
_SECOND = 1_000_000_000
_DAYS_TO_1970 = 719_469  # from the first of March of year 0, less one
_YEARS_FROM, _YEARS_TO = 1970, 2255
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
def _number(buf: Bytes, start: int, stop: int) -> int:
    """The integer of the digits ``start`` … ``stop``; -1 where one is none."""
    value = 0
    for pos in range(start, stop):
        if buf[pos] < ZERO or buf[pos] > NINE:
            return -1
        value = value * 10 + (int(buf[pos]) - ZERO)
    return value


@kernel
def _date(buf: Bytes, pos: int) -> int:
    """Seconds since 1970 at the 19 bytes ``YYYY-MM-DD?hh:mm:ss``; -1 where they are no time."""
    year, month = _number(buf, pos, pos + 4), _number(buf, pos + 5, pos + 7)
    day = _number(buf, pos + 8, pos + 10)
    hour, minute = _number(buf, pos + 11, pos + 13), _number(buf, pos + 14, pos + 16)
    second = _number(buf, pos + 17, pos + 19)
    if buf[pos + 7] != _DASH or buf[pos + 13] != COLON or buf[pos + 16] != COLON:
        return -1
    if buf[pos + 10] != _UPPER_T and buf[pos + 10] != BLANK:
        return -1
    if year < _YEARS_FROM or year >= _YEARS_TO or not (1 <= month <= 12 and 1 <= day <= 31):
        return -1
    if min(hour, minute, second) < 0 or hour > 23 or minute > 59 or second > 60:
        return -1
    # days of the proleptic Gregorian calendar, years counted from March
    years = year if month > 2 else year - 1
    months = month - 3 if month > 2 else month + 9
    days = 365 * years + years // 4 - years // 100 + years // 400 + (153 * months + 2) // 5 + day
    return ((days - _DAYS_TO_1970) * 24 + hour) * 3600 + minute * 60 + second


@kernel
def read_stamp(buf: Bytes, pos: int, stop: int) -> tuple[int, int]:
    """A recording's receive time in ns and the position of the JSON behind it; -1 without one.

    The time is in s, ms, µs or ns since 1970, told by its digits, with or without a fraction, or
    an ISO time of UTC; a colon, comma, tab or blanks stand behind it.
    """
    start = pos
    value = 0
    scale = 0
    while pos < stop and ZERO <= buf[pos] <= NINE and pos - start < _NS_DIGITS:
        value = value * 10 + (int(buf[pos]) - ZERO)
        pos += 1
    digits = pos - start
    if digits == _NS_DIGITS:
        scale = 1
    elif digits == _NS_DIGITS - 3:
        scale = 1_000
    elif digits == _NS_DIGITS - 6:
        scale = 1_000_000
    elif digits == _NS_DIGITS - 9:
        scale = _SECOND
    iso = digits == 4 and pos < stop and buf[pos] == _DASH and stop - start > _DATE_BYTES
    if iso:
        value = _date(buf, start)
        scale = _SECOND
        pos = start + _DATE_BYTES
    if scale == 0 or value < 0 or (not iso and buf[start] == NINE):  # 9…: might overflow
        return -1, start
    value *= scale
    if pos < stop and buf[pos] == DOT:
        pos += 1
        while pos < stop and ZERO <= buf[pos] <= NINE:
            scale //= 10
            value += (int(buf[pos]) - ZERO) * scale
            pos += 1
    if iso and pos < stop and buf[pos] == _UPPER_Z:
        pos += 1
    behind = pos
    while pos < stop and (
        buf[pos] == BLANK or buf[pos] == _TAB or buf[pos] == COMMA or buf[pos] == COLON
    ):
        pos += 1
    if pos in (behind, stop):
        return -1, start
    return value, pos


@kernel
def _kind_of_line(
    buf: Bytes,
    start: int,
    stop: int,
    recorded: bool,
    shapes: Bytes,
    index: Int64,
    messages: Int64,
    i: int,
    levels: Int64,
) -> int:
    """Split off a line's head, note stamp, stream and payload, and tell the kind."""
    head = _JOURNAL_HEAD
    if recorded:
        head = _RECORDING_HEAD
        stamp, start = read_stamp(buf, start, stop)
        if stamp < 0:
            return IRREGULAR
        messages[i, RECV] = stamp
    begin, end = index[head, START], index[head, STOP]
    pos = walk(buf, start, stop, shapes, begin, end, messages, i, levels)
    if pos < 0 and recorded and messages[i, STREAM_STOP] == 0:
        messages[i, DATA] = start
        messages[i, DATA_STOP] = stop
        return _bare_kind(buf, start, stop, shapes, index)
    name, name_stop = messages[i, STREAM], messages[i, STREAM_STOP]
    kind = _stream_kind(buf, name, name_stop, shapes, index)
    closed = name > 0 and name_stop < stop and buf[name_stop] == QUOTE
    if not recorded and closed and kind in (INVALID, CONTROL):
        return kind
    if pos < 0 or pos >= stop or buf[stop - 1] != _BRACE_CLOSE:
        return IRREGULAR
    messages[i, DATA] = pos
    messages[i, DATA_STOP] = stop - 1
    if recorded and kind in (OTHER, INVALID, CONTROL):
        return IRREGULAR  # kept whole, so it must be seen to be JSON
    return kind


@kernel
def scan(
    buf: Bytes,
    ends: Int64,
    recorded: bool,
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
    recorded
        Whether they are a recording's; else a journal's.
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
        kind = _kind_of_line(buf, start, stop, recorded, shapes, index, messages, i, levels)
        messages[i, LEVEL] = row
        if DEPTH <= kind <= SNAPSHOT and (wanted >> kind) & 1:
            rows = payload(buf, shapes, index, messages, i, levels, kind)
            if rows < 0:
                kind = IRREGULAR
            else:
                row += rows
        messages[i, KIND] = kind
    return row
