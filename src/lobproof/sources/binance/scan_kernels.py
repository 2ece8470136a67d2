"""Lines to tables: the byte parser.

A line is a recording's ``<receive time> <JSON>`` or a journal's ``{"capture_ns":…,"stream":…,
"conn":…,"data":…}``. :func:`scan` splits off the head, tells the payload's kind and notes, for
the kinds that the pass wants, ids, times and *where* the numbers stand; turning them into counts
is left to ``row_kernels``, which know the grid. A line that departs from the strict shape in any
way is ``IRREGULAR``: msgspec decides about it (``decode.py``).

A shape is the message's text with a byte below 32 for each field. One function walks text and
shape side by side; that keeps the fast path free of calls, and the shapes readable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import inlined, kernel
from lobproof.schema import Int64
from lobproof.schema.records import Record, Records, integers, record

Bytes = NDArray[np.uint8]

MESSAGE = record(
    *integers("kind"),
    *integers("recv"),  # ns
    *integers("stream", "stream_stop"),  # where its name stands; 0, 0 where the line has none
    *integers("payload", "payload_stop"),  # where that stands
    *integers("event"),  # E in ns, 0 missing
    *integers("traded"),  # T in ns
    *integers("first"),  # U, trade id, or first trade id
    *integers("final"),  # u, trade id, last trade id, lastUpdateId
    *integers("previous"),  # the id that must come before
    *integers("level"),  # first of its levels
    *integers("bids", "asks"),  # how many there are, bids first
    *integers("taker"),  # 1 bought, 2 sold, 0 no execution; of what is no message, a mark's flags
    *integers("futures"),  # 1 where the payload has a field that only futures have
    *integers("name"),  # the stream, counted by count_streams; -1 beyond what it can hold
)
"""A line."""
LEVEL = record(*integers("price", "price_stop", "quantity", "quantity_stop"))
"""Where the digits of a level's price and size stand."""
SHAPE = record(*integers("start", "stop", "kind", "role"))
"""Where a shape stands in the text of all, of which kind of line it is, and as what."""

# Kinds of a line.
EMPTY = 0
DEPTH = 1
TRADE = 2
AGGREGATE = 3
TICKER = 4
SNAPSHOT = 5
OTHER = 6  # a stream or a reply that is not decoded
FOREIGN = 7  # another symbol's
INVALID = 8
CONTROL = 9
IRREGULAR = 10

NO_EXECUTION = 0  # a trade message of price 0, size 0 and X NA: only its id counts

MIN_LEVEL_BYTES = 9  # ["1","1"]: so many level rows are enough for a block

# Fields of a shape. Up to CAPTURE_TIME they are integers.
EVENT_TIME, TRADE_TIME, ANY_INTEGER, FIRST_ID, FINAL_ID, ONLY_ID, PREVIOUS_ID = 1, 2, 3, 4, 5, 6, 7
CAPTURE_TIME, MAKER, ANY_BOOLEAN, ANY_NUMBER, POSITIVE = 8, 9, 10, 11, 12
BID_LEVELS, ASK_LEVELS, STREAM_NAME = 13, 14, 15

# What a shape is of.
HEAD, SPOT_SHAPE, FUTURES_SHAPE, STREAM_OF_KIND = 0, 1, 2, 3

U = np.uint64
"""Makes an index that cannot be negative, which numba would test for at each access."""

BLANK, QUOTE, COMMA, DOT, ZERO, NINE, COLON, OPEN, CLOSE = 32, 34, 44, 46, 48, 57, 58, 91, 93
_LAST_TENTH = 9 * 10**17  # an integer below 9 * 10^18 fits
_MS_BELOW = 9_000_000_000_000
_US_FROM, _US_BELOW = 100_000_000_000_000, 9_000_000_000_000_000
_MAX_NUMBER_BYTES = 48
_NONE = -2  # an id that is not there
_LOWER_T, _TILDE, _BACKSLASH = 116, 126, 92
_AT, _BANG, _BRACE_CLOSE, _RETURN, _UPPER_A, _UPPER_T, _UPPER_Z = 64, 33, 125, 13, 65, 84, 90
_TAB, _DASH, _PLUS, _SEMICOLON, _BAR = 9, 45, 43, 59, 124
_MOST_OFFSET = 14  # hours from UTC
_NS_DIGITS = 19  # of a receive time in ns; in µs, ms and s it has three fewer each
_DATE_BYTES = 19
_SECOND = 1_000_000_000
_DAYS_TO_1970 = 719_469  # from the first of March of year 0, less one
_YEARS_FROM, _YEARS_TO = 1970, 2255
_RECORDING_HEAD, _JOURNAL_HEAD = 0, 1  # the first of the shapes


def as_bytes(value: str) -> Bytes:
    """``value`` as an array of bytes."""
    return np.frombuffer(value.encode(), np.uint8)


_TRUE, _FALSE = as_bytes("true"), as_bytes("false")


@inlined
def _integer_field(field: int, value: int, message: Record) -> bool:
    """Put an integer where its field belongs; False for a time that is none."""
    if field <= TRADE_TIME:
        if value < _MS_BELOW:
            value *= 1_000_000
        elif _US_FROM <= value < _US_BELOW:
            value *= 1_000
        else:
            return False
        if field == EVENT_TIME:
            message.event = value
        else:
            message.traded = value
    elif field == FIRST_ID:
        message.first = value
    elif field == PREVIOUS_ID:
        message.previous = value
    elif field == CAPTURE_TIME:
        message.recv = value
    elif field != ANY_INTEGER:
        message.final = value
        if field == ONLY_ID:
            message.first = value
    return True


@kernel
def _walk(
    buf: Bytes,
    pos: int,
    stop: int,
    text: Bytes,
    shape: Record,
    message: Record,
    levels: Records,
) -> int:
    """Position behind what stands at ``pos`` in that shape, or -1.

    What the fields hold goes into the message and the levels from its first on. One blank behind
    ``:`` or ``,`` is let through. All in one function: each array that a function is given costs
    more than reading a number, and each index that may be negative, for numba, a test.
    """
    row = message.level
    of_price = True
    at = shape.start
    end = shape.stop
    while at < end:
        field = text[U(at)]
        if pos >= stop:
            return -1
        if buf[U(pos)] == BLANK and (buf[pos - 1] == COLON or buf[pos - 1] == COMMA):
            pos += 1
            if pos >= stop:
                return -1
        at += 1
        if field >= BLANK:
            if buf[U(pos)] != field:
                return -1
            pos += 1
            while at < end and pos < stop and buf[U(pos)] == text[U(at)] and text[U(at)] >= BLANK:
                at += 1
                pos += 1
        elif field <= CAPTURE_TIME:
            first = pos
            value = 0
            while pos < stop and ZERO <= buf[U(pos)] <= NINE and value < _LAST_TENTH:
                value = value * 10 + (int(buf[U(pos)]) - ZERO)
                pos += 1
            if pos == first or (buf[U(first)] == ZERO and pos > first + 1):
                return -1
            if not _integer_field(field, value, message):
                return -1
        elif field <= ANY_BOOLEAN:
            true = buf[U(pos)] == _LOWER_T
            word = _TRUE if true else _FALSE
            if pos + word.size > stop:
                return -1
            for k in range(word.size):
                if buf[U(pos + k)] != word[k]:
                    return -1
            pos += word.size
            if field == MAKER:
                message.taker = 2 if true else 1
        elif field == STREAM_NAME:
            message.stream = pos
            while pos < stop and BLANK < buf[U(pos)] <= _TILDE:
                if buf[U(pos)] == QUOTE or buf[U(pos)] == _BACKSLASH:
                    break
                pos += 1
            message.stream_stop = pos
        else:  # a number, or [["price","size"],...]
            listed = field >= BID_LEVELS
            before = row
            more = True
            if listed:
                if buf[U(pos)] != OPEN:
                    return -1
                pos += 1
                more = pos >= stop or buf[U(pos)] != CLOSE
                pos += 0 if more else 1
            while more:
                if listed and of_price:
                    if pos + MIN_LEVEL_BYTES > stop or buf[U(pos)] != OPEN:
                        return -1
                    pos += 1
                if listed:
                    if pos >= stop or buf[U(pos)] != QUOTE:
                        return -1
                    pos += 1
                first = pos
                point = -1
                seen = 0
                while pos < stop:
                    digit = int(buf[U(pos)]) - ZERO
                    if 0 <= digit <= 9:
                        seen |= digit
                    elif digit == DOT - ZERO and point < 0 and pos > first:
                        point = pos
                    else:
                        break
                    pos += 1
                if pos == first or point == pos - 1 or pos - first > _MAX_NUMBER_BYTES:
                    return -1
                if seen == 0 and (field == POSITIVE or (listed and of_price)):
                    return -1
                if of_price:
                    levels[row].price = first
                    levels[row].price_stop = pos
                else:
                    levels[row].quantity = first
                    levels[row].quantity_stop = pos
                    row += 1
                of_price = not of_price
                more = listed
                if listed:
                    if pos + 2 >= stop or buf[U(pos)] != QUOTE:
                        return -1
                    if of_price:
                        if buf[U(pos + 1)] != CLOSE:
                            return -1
                        pos += 1
                        more = buf[U(pos + 1)] != CLOSE
                    if more and buf[U(pos + 1)] != COMMA:
                        return -1
                    pos += 2
                    if more and pos < stop and buf[U(pos)] == BLANK:
                        pos += 1
            if field == BID_LEVELS:
                message.bids = row - before
            elif field == ASK_LEVELS:
                message.asks = row - before
    return pos


@inlined
def _payload(
    buf: Bytes,
    text: Bytes,
    shapes: Records,
    recent: Int64,
    message: Record,
    levels: Records,
    kind: int,
) -> int:
    """Parse a message's payload by the shape of its kind that fits; its levels, or -1.

    At most one fits; that of the kind's message before is tried first.
    """
    stop = message.payload_stop
    for turn in range(shapes.shape[0]):
        k = (recent[kind] + turn) % shapes.shape[0]
        if shapes[k].kind != kind or shapes[k].role == HEAD:
            continue
        message.event = 0
        message.traded = 0
        message.previous = _NONE
        if _walk(buf, message.payload, stop, text, shapes[k], message, levels) == stop:
            recent[kind] = k
            message.futures = int(shapes[k].role == FUTURES_SHAPE)
            return _complete(message, kind)
    return -1


@kernel
def _complete(message: Record, kind: int) -> int:
    """What follows from a message's kind; its levels, or -1 where its ids contradict."""
    if kind in (TRADE, AGGREGATE, TICKER):
        message.bids = 1
    if kind == TICKER:
        message.asks = 1
    if kind in (TICKER, SNAPSHOT):
        message.first = message.final
        message.previous = message.final
    elif message.previous == _NONE:
        message.previous = message.first - 1
    if kind == DEPTH and message.first < 1:
        return -1
    if message.first > message.final or message.previous > message.final:
        return -1
    return int(message.bids + message.asks)


@inlined
def _stream_kind(
    buf: Bytes, start: int, stop: int, text: Bytes, streams: Records, recent: Int64
) -> int:
    """Kind that a stream's name promises; the stream of the line before is tried first."""
    size = stop - start
    for turn in range(streams.shape[0]):
        k = (recent[EMPTY] + turn) % streams.shape[0]
        begin = streams[k].start
        own = streams[k].stop - begin
        if own != size and (streams[k].kind != DEPTH or own > size or buf[U(start + own)] != _AT):
            continue
        j = 0
        while j < own and buf[U(start + j)] == text[U(begin + j)]:
            j += 1
        if j == own:
            recent[EMPTY] = k
            found: int = streams[k].kind
            return found
    if size == 0 or buf[start] == _BANG:
        return OTHER
    same = True
    symbol = streams[0].start
    for j in range(size):
        c = buf[start + j]
        same = same and c == text[symbol + j]  # no longer than up to its @
        if c == _AT:
            return OTHER if same else FOREIGN
        if _UPPER_A <= c <= _UPPER_Z:
            return IRREGULAR
    return OTHER


@kernel
def _bare_kind(buf: Bytes, start: int, stop: int, text: Bytes, shapes: Records) -> int:
    """Kind of a payload that came without a stream's name: that of the shape it begins like."""
    for k in range(shapes.shape[0]):
        if shapes[k].role == HEAD:
            continue
        at = shapes[k].start
        pos = start
        while text[at] >= BLANK and pos < stop:
            if buf[pos] == BLANK and (buf[pos - 1] == COLON or buf[pos - 1] == COMMA):
                pos += 1
                continue
            if buf[pos] != text[at]:
                break
            at += 1
            pos += 1
        if text[at] < BLANK:
            kind: int = shapes[k].kind
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
def read_moment(buf: Bytes, pos: int, stop: int) -> tuple[int, int]:
    """The time that begins at ``pos``, in ns, and the position behind it; -1 where there is none.

    It is in s, ms, µs or ns since 1970, told by its digits, with or without a fraction, or an ISO
    time: of UTC, unless it has another offset.
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
    iso = digits == 4 and pos < stop and buf[pos] == _DASH and stop - start >= _DATE_BYTES
    if iso:
        value = _date(buf, start)
        scale = _SECOND
        pos = start + _DATE_BYTES
    if scale == 0 or value < 0 or (not iso and buf[start] == NINE):  # 9…: might overflow
        return -1, start
    value *= scale
    # a comma before a digit is an ISO time's point: no JSON of a message begins with a digit
    comma = iso and pos + 1 < stop and buf[pos] == COMMA and ZERO <= buf[pos + 1] <= NINE
    if pos < stop and (buf[pos] == DOT or comma):
        pos += 1
        while pos < stop and ZERO <= buf[pos] <= NINE:
            scale //= 10
            value += (int(buf[pos]) - ZERO) * scale
            pos += 1
    if iso and pos < stop and buf[pos] == _UPPER_Z:
        pos += 1
    elif iso and pos + 2 < stop and (buf[pos] == _PLUS or buf[pos] == _DASH):
        sign = 1 if buf[pos] == _PLUS else -1
        hours = _number(buf, pos + 1, pos + 3)
        pos += 3
        minutes = 0
        if pos + 2 < stop and buf[pos] == COLON and ZERO <= buf[pos + 1] <= NINE:
            pos += 1
        if pos + 1 < stop and ZERO <= buf[pos] <= NINE:
            minutes = _number(buf, pos, pos + 2)
            pos += 2
        if not (0 <= hours <= _MOST_OFFSET and 0 <= minutes < 60):
            return -1, start
        value -= sign * (hours * 3600 + minutes * 60) * _SECOND
    return max(value, -1), pos


@kernel
def read_stamp(buf: Bytes, pos: int, stop: int) -> tuple[int, int]:
    """A recording's receive time in ns and the position of the JSON behind it; -1 without one.

    A colon, comma, semicolon, bar, tab or blanks stand between them.
    """
    value, behind = read_moment(buf, pos, stop)
    at = behind
    while at < stop and (
        buf[at] == BLANK
        or buf[at] == _TAB
        or buf[at] == COMMA
        or buf[at] == COLON
        or buf[at] == _SEMICOLON
        or buf[at] == _BAR
    ):
        at += 1
    if value < 0 or at in (behind, stop):
        return -1, pos
    return value, at


@inlined
def _kind_of_line(
    buf: Bytes,
    start: int,
    stop: int,
    recorded: bool,
    text: Bytes,
    shapes: Records,
    streams: Records,
    recent: Int64,
    message: Record,
    levels: Records,
) -> int:
    """Split off a line's head, note stamp, stream and payload, and tell the kind."""
    head = _JOURNAL_HEAD
    if recorded:
        head = _RECORDING_HEAD
        stamp, start = read_stamp(buf, start, stop)
        if stamp < 0:
            return IRREGULAR
        message.recv = stamp
    pos = _walk(buf, start, stop, text, shapes[head], message, levels)
    if pos < 0 and recorded and message.stream_stop == 0:
        message.payload = start
        message.payload_stop = stop
        return _bare_kind(buf, start, stop, text, shapes)
    name, name_stop = message.stream, message.stream_stop
    kind = _stream_kind(buf, name, name_stop, text, streams, recent)
    closed = name > 0 and name_stop < stop and buf[name_stop] == QUOTE
    if not recorded and closed and kind in (INVALID, CONTROL):
        return kind
    if pos < 0 or pos >= stop or buf[stop - 1] != _BRACE_CLOSE:
        return IRREGULAR
    message.payload = pos
    message.payload_stop = stop - 1
    if recorded and kind in (OTHER, INVALID, CONTROL):
        return IRREGULAR  # kept whole, so it must be seen to be JSON
    return kind


@kernel
def scan(
    buf: Bytes,
    ends: Int64,
    recorded: bool,
    text: Bytes,
    shapes: Records,
    streams: Records,
    recent: Int64,
    wanted: int,
    messages: Records,
    levels: Records,
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
    text, shapes, streams
        From ``shapes_of``.
    recent
        What fitted last, a number for each kind of line, zeros at first: it is tried first.
    wanted
        Bit mask of the kinds to parse; others are only told apart.
    messages, levels
        Zeroed ``MESSAGE`` rows, one a line, and enough ``LEVEL`` rows.

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
        message = messages[i]
        kind = _kind_of_line(
            buf, start, stop, recorded, text, shapes, streams, recent, message, levels
        )
        message.level = row
        if DEPTH <= kind <= SNAPSHOT and (wanted >> kind) & 1:
            rows = _payload(buf, text, shapes, recent, message, levels, kind)
            if rows < 0:
                kind = IRREGULAR
            else:
                row += rows
        message.kind = kind
    return row
