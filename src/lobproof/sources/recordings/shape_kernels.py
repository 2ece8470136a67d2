"""Lines of other shapes as plain ones, ``<ns> <JSON>``, and the elements of arrays as lines.

A message's bytes stay what they are: what goes is the recorder's wrapping around it.
"""

from __future__ import annotations

from lobproof.jit import inlined, kernel
from lobproof.schema import Int64
from lobproof.schema.records import Record, integers, record
from lobproof.sources.binance.scan_kernels import (
    BLANK,
    CLOSE,
    COLON,
    COMMA,
    NINE,
    OPEN,
    QUOTE,
    ZERO,
    Bytes,
    U,
    as_bytes,
    read_moment,
    read_stamp,
)
from lobproof.sources.recordings.intake_kernels import append_bytes, append_integer

PARTS = record(
    *integers("time", "time_stop"),  # of the member or element that holds the receive time
    *integers("stream", "stream_stop"),  # the stream's name, quotes too
    *integers("body", "body_stop"),  # the message; 0 where the line itself is it
    *integers("cut", "cut_stop"),  # what is not of the message, where the line is it
    *integers("last"),  # ns; the last time that was read
    *integers("untimed"),  # lines that were given it
)
"""What a line consists of, and what is kept from line to line."""
SPLIT = record(*integers("depth", "text", "escaped", "open", "begun", "indent"))
"""Where a split of arrays into lines stands: what is open, and whether a line has begun."""
LINE_MORE = 64
"""Bytes that a line may grow by."""

NEWLINE, RETURN, BRACE, BRACE_CLOSE, BACKSLASH = 10, 13, 123, 125, 92
_LOWER_E, _UPPER_E, _LOWER_H, _LOWER_W, _LOWER_U, _LOWER_N = 101, 69, 104, 119, 117, 110
_SLASH, _GREATER, _LESS, _DASH, _UPPER_A, _UPPER_Z = 47, 62, 60, 45, 65, 90
_AMPERSAND = 38
_STREAM, _DATA, _SYMBOL = as_bytes("stream"), as_bytes("data"), as_bytes("symbol=")
_ENVELOPE, _INNER = as_bytes('{"stream":'), as_bytes(',"data":')
_SNAPSHOT = as_bytes("@snapshot")
_DEPTH_PATH = as_bytes("/depth")


@inlined
def _behind_blanks(buf: Bytes, pos: int, stop: int) -> int:
    while pos < stop and buf[U(pos)] <= BLANK:
        pos += 1
    return pos


@kernel
def _string_end(buf: Bytes, pos: int, stop: int) -> int:
    """Position behind the string whose quote stands at ``pos``; -1 where it does not end."""
    pos += 1
    while pos < stop:
        letter = buf[U(pos)]
        if letter == QUOTE:
            return pos + 1
        pos += 2 if letter == BACKSLASH else 1
    return -1


@kernel
def _value_end(buf: Bytes, pos: int, stop: int) -> int:
    """Position behind the JSON value that begins at ``pos``; -1 where it does not end."""
    first = buf[U(pos)]
    if first == QUOTE:
        end: int = _string_end(buf, pos, stop)
        return end
    start = pos
    if first != OPEN and first != BRACE:
        while pos < stop and buf[U(pos)] > BLANK:
            letter = buf[U(pos)]
            if letter in (COMMA, CLOSE, BRACE_CLOSE):
                break
            pos += 1
        return pos if pos > start else -1
    depth = 0
    while pos < stop:
        letter = buf[U(pos)]
        pos += 1
        if letter == QUOTE:
            while pos < stop and buf[U(pos)] != QUOTE:
                pos += 2 if buf[U(pos)] == BACKSLASH else 1
            pos += 1
        elif letter in (OPEN, BRACE):
            depth += 1
        elif letter in (CLOSE, BRACE_CLOSE):
            depth -= 1
            if depth == 0:
                return pos
    return -1


@kernel
def _is(buf: Bytes, start: int, stop: int, text: Bytes) -> bool:
    if stop - start != text.size:
        return False
    i = 0
    while i < text.size and buf[U(start + i)] == text[U(i)]:
        i += 1
    return bool(i == text.size)


@kernel
def _holds_json(buf: Bytes, start: int, stop: int, arrays: bool) -> bool:
    """Whether a value is an object, or a text that begins like one."""
    if buf[start] == QUOTE and stop - start > 2:
        start += 1
    return bool(buf[start] == BRACE or (arrays and buf[start] == OPEN))


@kernel
def _member(buf: Bytes, start: int, stop: int, name: Bytes) -> tuple[int, int]:
    """Where a member's value stands in the object ``start`` … ``stop``; 0, 0 where it has none."""
    pos = start + 1
    while pos < stop:
        pos = _behind_blanks(buf, pos, stop)
        if pos >= stop or buf[pos] != QUOTE:
            break
        key = pos + 1
        pos = _string_end(buf, pos, stop)
        if pos < 0:
            break
        key_stop = pos - 1
        pos = _behind_blanks(buf, _behind_blanks(buf, pos, stop) + 1, stop)
        if pos >= stop:
            break
        value = pos
        pos = _value_end(buf, pos, stop)
        if pos < 0:
            break
        if _is(buf, key, key_stop, name):
            return value, pos
        pos = _behind_blanks(buf, pos, stop) + 1
    return 0, 0


@kernel
def _take_apart(buf: Bytes, start: int, stop: int, field: Bytes, parts: Record) -> bool:
    """Find the parts of a line that is an object or an array; False where it is no recorder's.

    Of an object the message is what ``data`` holds, or its one member that is an object; it itself
    where it has e and E, or no such member. Of an array the first element is the time.
    """
    parts.time = parts.stream = parts.body = parts.cut = 0
    parts.time_stop = parts.stream_stop = parts.body_stop = parts.cut_stop = 0
    keyed = buf[start] == BRACE
    closing = BRACE_CLOSE if keyed else CLOSE
    bodies = 0
    own = 0
    data = 0
    data_stop = 0
    count = 0
    before = start + 1  # behind the member before
    pos = _behind_blanks(buf, start + 1, stop)
    while pos < stop:
        member = pos
        key = pos
        key_stop = pos
        if keyed:
            if buf[pos] != QUOTE:
                return False
            pos = _string_end(buf, pos, stop)
            if pos < 0:
                return False
            key = member + 1
            key_stop = pos - 1
            pos = _behind_blanks(buf, pos, stop)
            if pos >= stop or buf[pos] != COLON:
                return False
            pos = _behind_blanks(buf, pos + 1, stop)
            if pos >= stop:
                return False
        value = pos
        pos = _value_end(buf, pos, stop)
        if pos < 0:
            return False
        end = pos
        pos = _behind_blanks(buf, pos, stop)
        if pos >= stop or (buf[pos] != COMMA and buf[pos] != closing):
            return False
        more = buf[pos] == COMMA
        pos = _behind_blanks(buf, pos + 1, stop)
        if (keyed and _is(buf, key, key_stop, field)) or (not keyed and count == 0):
            if parts.time > 0:
                return False
            parts.time = value
            parts.time_stop = end
            parts.cut = member if more else before
            parts.cut_stop = pos if more else end
        elif keyed and _is(buf, key, key_stop, _DATA):
            if data > 0:
                return False
            data = value
            data_stop = end
        elif buf[value] == QUOTE and (
            _is(buf, key, key_stop, _STREAM) if keyed else not _holds_json(buf, value, end, False)
        ):
            if parts.stream > 0:
                return False
            parts.stream = value
            parts.stream_stop = end
        elif _holds_json(buf, value, end, False):
            bodies += 1
            parts.body = value
            parts.body_stop = end
        if key_stop == key + 1 and (buf[key] == _LOWER_E or buf[key] == _UPPER_E):
            own += 1
        count += 1
        before = end
        if not more:
            break
        if pos >= stop:
            return False
    if pos < stop:  # something stands behind it
        return False
    if own == 2:
        parts.body = 0
        return bool(keyed)
    if data > 0 and _holds_json(buf, data, data_stop, parts.stream > 0):
        parts.body = data
        parts.body_stop = data_stop
        return True
    return bool(bodies == 1 or (keyed and bodies == 0))


@kernel
def _moment(buf: Bytes, start: int, stop: int) -> int:
    """The time in ns that a value is, between quotes or not; -1 where it is none."""
    if buf[start] == QUOTE:
        start += 1
        stop -= 1
    value, behind = read_moment(buf, start, stop)
    return value if behind == stop else -1


@kernel
def _own_time(buf: Bytes, parts: Record, field: Bytes) -> int:
    """The time in ns that the message itself bears; -1 where it bears none."""
    start = parts.body
    stop = parts.body_stop
    for _ in range(2):
        if start == 0 or buf[start] != BRACE:
            return -1
        value, value_stop = _member(buf, start, stop, field)
        if value > 0:
            time: int = _moment(buf, value, value_stop)
            return time
        start, stop = _member(buf, start, stop, _DATA)
    return -1


@kernel
def _hexadecimal(buf: Bytes, pos: int) -> int:
    value = 0
    for i in range(4):
        letter = int(buf[pos + i]) | 32
        if ZERO <= letter <= NINE:
            value = value * 16 + letter - ZERO
        elif 97 <= letter <= 102:
            value = value * 16 + letter - 87
        else:
            return -1
    return value


@kernel
def _unquoted(buf: Bytes, start: int, stop: int, out: Bytes, at: int) -> int:
    r"""Write the JSON that a text holds, whose quotes are ``\"`` or ``""``; bytes in all, or -1."""
    pos = start + 1
    stop -= 1
    while pos < stop:
        letter = buf[pos]
        pos += 1
        if letter == QUOTE:
            if pos >= stop or buf[pos] != QUOTE:
                return -1
            pos += 1
        elif letter == BACKSLASH:
            if pos >= stop:
                return -1
            letter = buf[pos]
            pos += 1
            if letter == _LOWER_U:
                code = _hexadecimal(buf, pos) if pos + 4 <= stop else -1
                pos += 4
                if code < BLANK or 0xD800 <= code < 0xE000:
                    return -1
                if code >= 0x800:
                    out[at] = 0xE0 | code >> 12
                    out[at + 1] = 0x80 | (code >> 6 & 0x3F)
                    at += 2
                elif code >= 0x80:
                    out[at] = 0xC0 | code >> 6
                    at += 1
                letter = code if code < 0x80 else 0x80 | (code & 0x3F)
            elif letter != QUOTE and letter != BACKSLASH and letter != _SLASH:
                if letter != _LOWER_N and letter != 114 and letter != 116:  # n, r, t: blanks
                    return -1
                letter = BLANK
        out[at] = letter
        at += 1
    return at


@kernel
def _write_body(buf: Bytes, start: int, stop: int, out: Bytes, at: int) -> int:
    if buf[start] == QUOTE:
        end: int = _unquoted(buf, start, stop, out, at)
        return end
    return append_bytes(out, at, buf, start, stop)


@kernel
def _find(buf: Bytes, start: int, stop: int, text: Bytes) -> int:
    for pos in range(start, stop - text.size + 1):
        if _is(buf, pos, pos + text.size, text):
            return pos
    return -1


@kernel
def _of_cryptofeed(buf: Bytes, start: int, stop: int, out: Bytes, at: int) -> int:
    """A line of cryptofeed's that begins with an address; bytes written in all, or -1.

    ``<address> -> <time>: <reply>``, ``<address> <- <time>: <what was sent>``, or ``<address> <->
    <time>`` of a connection. The reply to a request of a book is of the symbol that it names.
    """
    blank = start
    while blank < stop and buf[blank] != BLANK:
        blank += 1
    pos = blank
    while pos < stop and (
        buf[pos] == BLANK or buf[pos] == _LESS or buf[pos] == _DASH or buf[pos] == _GREATER
    ):
        pos += 1
    arrow = pos - blank
    if arrow not in (4, 5) or pos >= stop:
        return -1
    stamp, body = read_stamp(buf, pos, stop)
    if arrow == 5 or stamp < 0:  # a connection
        stamp, body = read_moment(buf, pos, stop)
        if stamp < 0 or body != stop:
            return -1
        at = append_integer(out, at, stamp)
        out[at] = BLANK
        out[at + 1] = QUOTE
        at = append_bytes(out, at + 2, buf, start, blank)
        out[at] = QUOTE
        return at + 1
    at = append_integer(out, at, stamp)
    out[at] = BLANK
    at += 1
    name = _find(buf, start, blank, _SYMBOL) + _SYMBOL.size
    if buf[blank + 1] == _LESS or name < start + _SYMBOL.size:
        return append_bytes(out, at, buf, body, stop)
    if _find(buf, start, blank, _DEPTH_PATH) < 0:
        return append_bytes(out, at, buf, body, stop)
    at = append_bytes(out, at, _ENVELOPE, 0, _ENVELOPE.size)
    out[at] = QUOTE
    at += 1
    while name < blank and buf[name] != _AMPERSAND:
        lower = _UPPER_A <= buf[name] <= _UPPER_Z
        out[at] = buf[name] + 32 if lower else buf[name]
        at += 1
        name += 1
    at = append_bytes(out, at, _SNAPSHOT, 0, _SNAPSHOT.size)
    out[at] = QUOTE
    at = append_bytes(out, at + 1, _INNER, 0, _INNER.size)
    at = append_bytes(out, at, buf, body, stop)
    out[at] = BRACE_CLOSE
    return at + 1


@kernel
def _plain_line(
    buf: Bytes, start: int, stop: int, field: Bytes, own: bool, parts: Record, out: Bytes, at: int
) -> int:
    """Write one line as a plain one; bytes in all, or -1 where it has none of the shapes."""
    first = buf[start]
    if first in (_LOWER_H, _LOWER_W):
        end: int = _of_cryptofeed(buf, start, stop, out, at)
        return end
    if first != BRACE and first != OPEN:  # behind the time a text that holds a message
        time, body = read_stamp(buf, start, stop)
        if time < 0 or buf[body] != QUOTE or stop - body < 4:
            return -1
        if buf[body + 1] != BRACE or buf[stop - 2] != BRACE_CLOSE:
            return -1
        at = append_integer(out, at, time)
        out[at] = BLANK
        return _unquoted(buf, body, stop, out, at + 1)
    if not _take_apart(buf, start, stop, field, parts):
        return -1
    if parts.time > 0:
        time = _moment(buf, parts.time, parts.time_stop)
    elif own and first == BRACE:
        time = _own_time(buf, parts, field)
        if time < 0:
            time = parts.last
            parts.untimed += 1
    else:
        return -1
    if time < 0:
        return -1
    parts.last = time
    at = append_integer(out, at, time)
    out[at] = BLANK
    at += 1
    if parts.body == 0:
        if own:
            return append_bytes(out, at, buf, start, stop)
        at = append_bytes(out, at, buf, start, parts.cut)
        return append_bytes(out, at, buf, parts.cut_stop, stop)
    if parts.stream == 0:
        return _write_body(buf, parts.body, parts.body_stop, out, at)
    at = append_bytes(out, at, _ENVELOPE, 0, _ENVELOPE.size)
    at = append_bytes(out, at, buf, parts.stream, parts.stream_stop)
    at = append_bytes(out, at, _INNER, 0, _INNER.size)
    at = _write_body(buf, parts.body, parts.body_stop, out, at)
    if at >= 0:
        out[at] = BRACE_CLOSE
        at += 1
    return at


@kernel
def plain_lines(buf: Bytes, ends: Int64, field: Bytes, own: bool, parts: Record, out: Bytes) -> int:
    """Write the lines of a block as plain ones; bytes written.

    A line in none of the shapes stays as it is. ``out`` has room for the block and ``LINE_MORE``
    bytes more for each line.

    Parameters
    ----------
    buf, ends
        Whole lines, and where each ends.
    field
        Name of the member that holds the time; empty: none does.
    own
        Whether it is the message's own: then it is looked for within the message, stays in it, and
        a line that has none is given the time of the one before.
    parts
        What is kept from line to line: ``last`` to be the first time of all.
    """
    at = 0
    start = 0
    for i in range(ends.size):
        stop = ends[i]
        begin = _behind_blanks(buf, start, stop)
        end = stop
        while end > begin and buf[end - 1] <= BLANK:
            end -= 1
        written = -1
        plain = begin == end or (ZERO <= buf[begin] <= NINE and buf[end - 1] != QUOTE)
        if not plain:
            written = _plain_line(buf, begin, end, field, own, parts, out, at)
        at = append_bytes(out, at, buf, start, stop) if written < 0 else written
        if stop < buf.size:
            out[at] = NEWLINE
            at += 1
        start = stop + 1
    return at


@kernel
def split_elements(buf: Bytes, state: Record, out: Bytes) -> int:
    """Write each element of arrays, and each value beside them, as a line; bytes written.

    What comes in pieces goes on where the piece before ended. Line ends within an element go, and
    the blanks of indentation behind them. ``out`` has twice the room and a byte.
    """
    # all in locals: a field of a record is read and written in memory at every byte
    depth, opened, indent = state.depth, state.open, state.indent
    text, escaped, begun = state.text, state.escaped, state.begun
    at = 0
    for pos in range(buf.size):
        letter = buf[U(pos)]
        if text == 1:
            out[U(at)] = letter
            at += 1
            if escaped == 1:
                escaped = 0
            elif letter == BACKSLASH:
                escaped = 1
            elif letter == QUOTE:
                text = 0
            continue
        ends = False
        keeps = True
        if letter <= BLANK:
            line_end = letter in (NEWLINE, RETURN)
            if line_end:
                indent = 1
            keeps = depth > 0 and indent == 0
            ends = depth == 0 and line_end
        else:
            indent = 0
            if letter == OPEN and depth == 0 and opened == 0:
                opened = 1
                keeps = False
                ends = True
            elif letter == CLOSE and depth == 0:
                opened = 0
                keeps = False
                ends = True
            elif letter == COMMA and depth == 0:
                keeps = False
                ends = True
            elif letter in (OPEN, BRACE):
                depth += 1
            elif letter in (CLOSE, BRACE_CLOSE):
                depth = max(depth - 1, 0)
                ends = depth == 0
            elif letter == QUOTE:
                text = 1
        if keeps:
            out[U(at)] = letter
            at += 1
            begun = 1
        if ends and begun == 1:
            out[U(at)] = NEWLINE
            at += 1
            begun = 0
    state.depth, state.open, state.indent = depth, opened, indent
    state.text, state.escaped, state.begun = text, escaped, begun
    return at
