"""Messages of the strict shapes: where their numbers stand, and what their ids and times are.

A shape is the message's text with a byte below 32 for each field. One function walks text and
shape side by side; that keeps the fast path free of calls, and the shapes readable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel
from lobproof.schema import Int64

Bytes = NDArray[np.uint8]

# Columns of the message table, one row per line.
KIND = 0
RECV = 1  # ns
STREAM = 2  # where the stream's name starts and stops; 0, 0 where the line has none
STREAM_STOP = 3
DATA = 4  # where the payload starts and stops
DATA_STOP = 5
EVENT = 6  # E in ns, 0 missing
TRADED = 7  # T in ns
FIRST = 8  # U, trade id, or first trade id
FINAL = 9  # u, trade id, last trade id, lastUpdateId
PREVIOUS = 10  # the id that must come before
LEVEL = 11  # first row in the level table
BIDS = 12  # rows there, bids first
ASKS = 13
TAKER = 14  # 1 bought, 2 sold, 0 no execution; in lines that are no messages, a mark's flags
FUTURES = 15  # 1 where the payload has a field that only futures have
NAME = 16  # the stream, counted by count_streams; -1 beyond what it can hold
COLUMNS = 17

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

# Columns of the level table: where the price's and the size's digits start and stop.
PRICE, PRICE_STOP, SIZE, SIZE_STOP = 0, 1, 2, 3
MIN_LEVEL_BYTES = 9  # ["1","1"]: so many level rows are enough for a block

# Fields of a shape. Up to CAPTURE_TIME they are integers.
EVENT_TIME, TRADE_TIME, ANY_INTEGER, FIRST_ID, FINAL_ID, ONLY_ID, PREVIOUS_ID = 1, 2, 3, 4, 5, 6, 7
CAPTURE_TIME, MAKER, ANY_BOOLEAN, ANY_NUMBER, POSITIVE = 8, 9, 10, 11, 12
BID_LEVELS, ASK_LEVELS, STREAM_NAME = 13, 14, 15

# Columns of the index of shapes, and the roles that a row's text can have.
START, STOP, OF_KIND, ROLE = 0, 1, 2, 3
HEAD, SPOT_SHAPE, FUTURES_SHAPE, STREAM_OF_KIND = 0, 1, 2, 3

BLANK, QUOTE, COMMA, DOT, ZERO, NINE, COLON, OPEN, CLOSE = 32, 34, 44, 46, 48, 57, 58, 91, 93
_LAST_TENTH = 9 * 10**17  # an integer below 9 * 10^18 fits
_MS_BELOW = 9_000_000_000_000
_US_FROM, _US_BELOW = 100_000_000_000_000, 9_000_000_000_000_000
_MAX_NUMBER_BYTES = 48
_NONE = -2  # an id that is not there
_LOWER_T, _TILDE, _BACKSLASH = 116, 126, 92


def text(value: str) -> Bytes:
    """``value`` as an array of bytes."""
    return np.frombuffer(value.encode(), np.uint8)


_TRUE, _FALSE = text("true"), text("false")


@kernel
def _levels(buf: Bytes, pos: int, stop: int, levels: Int64, row: int) -> tuple[int, int]:
    """``[["price","size"],…]``: position behind, or -1, and the level row behind its last."""
    if pos >= stop or buf[pos] != OPEN:
        return -1, row
    pos += 1
    if pos < stop and buf[pos] == CLOSE:
        return pos + 1, row
    while True:
        if pos + MIN_LEVEL_BYTES > stop or buf[pos] != OPEN:
            return -1, row
        pos += 1
        for column in (PRICE, SIZE):
            if pos >= stop or buf[pos] != QUOTE:
                return -1, row
            start = pos + 1
            pos, seen = _digits(buf, start, stop)
            if pos + 1 >= stop or buf[pos] != QUOTE or (column == PRICE and seen == 0):
                return -1, row
            levels[row, column] = start
            levels[row, column + 1] = pos
            pos += 1
            if column == PRICE:
                if buf[pos] != COMMA:
                    return -1, row
                pos += 2 if pos + 1 < stop and buf[pos + 1] == BLANK else 1
        if buf[pos] != CLOSE or pos + 1 >= stop:
            return -1, row
        row += 1
        pos += 1
        if buf[pos] == CLOSE:
            return pos + 1, row
        if buf[pos] != COMMA:
            return -1, row
        pos += 2 if pos + 1 < stop and buf[pos + 1] == BLANK else 1


@kernel
def _digits(buf: Bytes, start: int, stop: int) -> tuple[int, int]:
    """A plain decimal from ``start``: position behind, or -1, and 0 where it is zero."""
    seen = 0
    pos = start
    while pos < stop and ZERO <= buf[pos] <= NINE:
        seen |= int(buf[pos]) - ZERO
        pos += 1
    if pos == start:
        return -1, 0
    if pos < stop and buf[pos] == DOT:
        pos += 1
        point = pos
        while pos < stop and ZERO <= buf[pos] <= NINE:
            seen |= int(buf[pos]) - ZERO
            pos += 1
        if pos == point:
            return -1, 0
    if pos - start > _MAX_NUMBER_BYTES:
        return -1, 0
    return pos, seen


@kernel
def _integer_field(field: int, value: int, messages: Int64, i: int) -> bool:
    """Put an integer where its field belongs; False for a time that is none."""
    if field <= TRADE_TIME:
        if value < _MS_BELOW:
            value *= 1_000_000
        elif _US_FROM <= value < _US_BELOW:
            value *= 1_000
        else:
            return False
        messages[i, EVENT if field == EVENT_TIME else TRADED] = value
    elif field == FIRST_ID:
        messages[i, FIRST] = value
    elif field == PREVIOUS_ID:
        messages[i, PREVIOUS] = value
    elif field == CAPTURE_TIME:
        messages[i, RECV] = value
    elif field != ANY_INTEGER:
        messages[i, FINAL] = value
        if field == ONLY_ID:
            messages[i, FIRST] = value
    return True


@kernel
def walk(
    buf: Bytes,
    pos: int,
    stop: int,
    shape: Bytes,
    start: int,
    end: int,
    messages: Int64,
    i: int,
    levels: Int64,
) -> int:
    """Position behind a text at ``pos`` of the shape ``shape[start:end]``, or -1.

    What the fields hold goes into row ``i`` and the levels from its first on. One blank behind
    ``:`` or ``,`` is let through.
    """
    row = messages[i, LEVEL]
    column = PRICE
    for at in range(start, end):
        if pos >= stop:
            return -1
        field = shape[at]
        if buf[pos] == BLANK and (buf[pos - 1] == COLON or buf[pos - 1] == COMMA):
            pos += 1
            if pos >= stop:
                return -1
        if field >= BLANK:
            if buf[pos] != field:
                return -1
            pos += 1
        elif field <= CAPTURE_TIME:
            first = pos
            value = 0
            while pos < stop and ZERO <= buf[pos] <= NINE and value < _LAST_TENTH:
                value = value * 10 + (int(buf[pos]) - ZERO)
                pos += 1
            if pos == first or (buf[first] == ZERO and pos > first + 1):
                return -1
            if not _integer_field(field, value, messages, i):
                return -1
        elif field <= ANY_BOOLEAN:
            true = buf[pos] == _LOWER_T
            word = _TRUE if true else _FALSE
            if pos + word.size > stop:
                return -1
            for k in range(word.size):
                if buf[pos + k] != word[k]:
                    return -1
            pos += word.size
            if field == MAKER:
                messages[i, TAKER] = 2 if true else 1
        elif field <= POSITIVE:
            first = pos
            pos, seen = _digits(buf, first, stop)
            if pos < 0 or (field == POSITIVE and seen == 0):
                return -1
            levels[row, column] = first
            levels[row, column + 1] = pos
            row += column >> 1
            column ^= SIZE
        elif field == STREAM_NAME:
            messages[i, STREAM] = pos
            while pos < stop and BLANK < buf[pos] <= _TILDE and buf[pos] not in (QUOTE, _BACKSLASH):
                pos += 1
            messages[i, STREAM_STOP] = pos
        else:
            first = row
            pos, row = _levels(buf, pos, stop, levels, row)
            if pos < 0:
                return -1
            messages[i, BIDS if field == BID_LEVELS else ASKS] = row - first
    return pos


@kernel
def payload(
    buf: Bytes, shapes: Bytes, index: Int64, messages: Int64, i: int, levels: Int64, kind: int
) -> int:
    """Parse row ``i``'s payload by the first shape of its kind that fits; level rows, or -1."""
    start, stop = messages[i, DATA], messages[i, DATA_STOP]
    for k in range(index.shape[0]):
        role = index[k, ROLE]
        if index[k, OF_KIND] != kind or (role != SPOT_SHAPE and role != FUTURES_SHAPE):
            continue
        messages[i, EVENT] = 0
        messages[i, TRADED] = 0
        messages[i, PREVIOUS] = _NONE
        begin, end = index[k, START], index[k, STOP]
        if walk(buf, start, stop, shapes, begin, end, messages, i, levels) == stop:
            messages[i, FUTURES] = int(role == FUTURES_SHAPE)
            return _complete(messages, i, kind)
    return -1


@kernel
def _complete(messages: Int64, i: int, kind: int) -> int:
    """What follows from a message's kind; its level rows, or -1 where its ids contradict."""
    if kind in (TRADE, AGGREGATE, TICKER):
        messages[i, BIDS] = 1
    if kind == TICKER:
        messages[i, ASKS] = 1
    if kind in (TICKER, SNAPSHOT):
        messages[i, FIRST] = messages[i, FINAL]
        messages[i, PREVIOUS] = messages[i, FINAL]
    elif messages[i, PREVIOUS] == _NONE:
        messages[i, PREVIOUS] = messages[i, FIRST] - 1
    if kind == DEPTH and messages[i, FIRST] < 1:
        return -1
    if messages[i, FIRST] > messages[i, FINAL] or messages[i, PREVIOUS] > messages[i, FINAL]:
        return -1
    rows: int = messages[i, BIDS] + messages[i, ASKS]
    return rows
