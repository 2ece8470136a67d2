"""Payloads of the strict shape: where their numbers stand, and what their ids and times are.

Fields must come in the venue's own order. Each function parses the payload of row ``i`` of the
message table, fills that row and the level table, and gives the position behind the payload, or
-1 where it departs from the shape.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.sources.binance.token_kernels import (
    BRACE,
    BRACE_CLOSE,
    CLOSE,
    COMMA,
    OPEN,
    QUOTE,
    Bytes,
    byte,
    comma,
    field,
    key,
    match,
    moment,
    number,
    text,
)

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
TAKER = 14  # 1 bought, 2 sold
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

# Columns of the level table: where the price's and the size's digits start and stop.
PRICE, PRICE_STOP, SIZE, SIZE_STOP = 0, 1, 2, 3
MIN_LEVEL_BYTES = 9  # ["1","1"]: so many level rows are enough for a block

E_DEPTH, E_TRADE = text('{"e":"depthUpdate"'), text('{"e":"trade"')
E_AGGREGATE, E_TICKER = text('{"e":"aggTrade"'), text('{"e":"bookTicker"')
_KEY_E, _KEY_T, _KEY_S = text('"E":'), text('"T":'), text('"s":')
_KEY_FIRST, _KEY_FINAL, _KEY_PREVIOUS = text('"U":'), text('"u":'), text('"pu":')
_KEY_b, _KEY_B, _KEY_a, _KEY_A = text('"b":'), text('"B":'), text('"a":'), text('"A":')
_KEY_t, _KEY_p, _KEY_q, _KEY_m = text('"t":'), text('"p":'), text('"q":'), text('"m":')
_KEY_f, _KEY_l, _KEY_M, _KEY_X = text('"f":'), text('"l":'), text('"M":'), text('"X":')
_KEY_BIDS, _KEY_ASKS, OPEN_LAST = text('"bids":'), text('"asks":'), text('{"lastUpdateId":')
_MARKET, _TRUE, _FALSE = text('"MARKET"'), text("true"), text("false")
_NOTHING = text("")


@kernel
def _pair(
    buf: Bytes, pos: int, stop: int, levels: Int64, row: int, middle: Bytes
) -> tuple[int, bool, bool]:
    """``"price",<middle>"size"``: position behind, price non-zero, size non-zero."""
    price, behind, has_price = number(buf, pos, stop)
    if behind < 0:
        return -1, False, False
    size, end, has_size = number(buf, key(buf, comma(buf, behind, stop), stop, middle), stop)
    if end < 0:
        return -1, False, False
    levels[row, PRICE] = price
    levels[row, PRICE_STOP] = behind - 1
    levels[row, SIZE] = size
    levels[row, SIZE_STOP] = end - 1
    return end, has_price, has_size


@kernel
def _levels(buf: Bytes, pos: int, stop: int, levels: Int64, row: int) -> tuple[int, int]:
    """``[["p","q"],…]``: position behind it and the level row behind its last."""
    pos = byte(buf, pos, stop, OPEN)
    if pos < 0:
        return -1, row
    if pos < stop and buf[pos] == CLOSE:
        return pos + 1, row
    while True:
        pos = byte(buf, pos, stop, OPEN)
        pos, has_price, _ = _pair(buf, pos, stop, levels, row, _NOTHING)
        pos = byte(buf, pos, stop, CLOSE)
        if pos < 0 or not has_price:
            return -1, row
        row += 1
        if pos < stop and buf[pos] == CLOSE:
            return pos + 1, row
        pos = comma(buf, pos, stop)


@kernel
def _symbol(buf: Bytes, pos: int, stop: int, symbol: Bytes) -> int:
    """Behind ``"s":"<symbol>",``, or -1."""
    pos = byte(buf, key(buf, pos, stop, _KEY_S), stop, QUOTE)
    pos = byte(buf, match(buf, pos, stop, symbol), stop, QUOTE)
    return comma(buf, pos, stop)


@kernel
def _boolean(buf: Bytes, pos: int, stop: int, literal: Bytes) -> tuple[bool, int]:
    pos = key(buf, pos, stop, literal)
    behind = match(buf, pos, stop, _TRUE)
    if behind >= 0:
        return True, behind
    return False, match(buf, pos, stop, _FALSE)


@kernel
def _depth(buf: Bytes, stop: int, symbol: Bytes, messages: Int64, i: int, levels: Int64) -> int:
    """A ``depthUpdate`` at ``messages[i, DATA]``: position behind it, or -1."""
    pos = comma(buf, match(buf, messages[i, DATA], stop, E_DEPTH), stop)
    event, pos = moment(buf, pos, stop, _KEY_E)
    pos = comma(buf, pos, stop)
    futures = 0
    if match(buf, pos, stop, _KEY_T) >= 0:
        messages[i, TRADED], pos = moment(buf, pos, stop, _KEY_T)
        pos = comma(buf, pos, stop)
    pos = _symbol(buf, pos, stop, symbol)
    first, pos = field(buf, pos, stop, _KEY_FIRST)
    final, pos = field(buf, pos, stop, _KEY_FINAL)
    previous = first - 1
    if match(buf, pos, stop, _KEY_PREVIOUS) >= 0:
        previous, pos = field(buf, pos, stop, _KEY_PREVIOUS)
        futures = 1
    if pos < 0 or first < 1 or final < first or previous > final:
        return -1
    row = messages[i, LEVEL]
    pos, asks = _levels(buf, key(buf, pos, stop, _KEY_b), stop, levels, row)
    pos, behind = _levels(buf, key(buf, comma(buf, pos, stop), stop, _KEY_a), stop, levels, asks)
    messages[i, EVENT] = event
    messages[i, FIRST] = first
    messages[i, FINAL] = final
    messages[i, PREVIOUS] = previous
    messages[i, BIDS] = asks - row
    messages[i, ASKS] = behind - asks
    messages[i, FUTURES] = futures
    return byte(buf, pos, stop, BRACE_CLOSE)


@kernel
def _snapshot(buf: Bytes, stop: int, messages: Int64, i: int, levels: Int64) -> int:
    """A REST depth snapshot: position behind it, or -1."""
    final, pos = field(buf, messages[i, DATA], stop, OPEN_LAST)
    if match(buf, pos, stop, _KEY_E) >= 0:
        messages[i, EVENT], pos = moment(buf, pos, stop, _KEY_E)
        messages[i, TRADED], pos = moment(buf, comma(buf, pos, stop), stop, _KEY_T)
        pos = comma(buf, pos, stop)
        messages[i, FUTURES] = 1
    row = messages[i, LEVEL]
    pos, asks = _levels(buf, key(buf, pos, stop, _KEY_BIDS), stop, levels, row)
    pos, behind = _levels(buf, key(buf, comma(buf, pos, stop), stop, _KEY_ASKS), stop, levels, asks)
    messages[i, FIRST] = final
    messages[i, FINAL] = final
    messages[i, PREVIOUS] = final
    messages[i, BIDS] = asks - row
    messages[i, ASKS] = behind - asks
    return byte(buf, pos, stop, BRACE_CLOSE)


@kernel
def _ticker(buf: Bytes, stop: int, symbol: Bytes, messages: Int64, i: int, levels: Int64) -> int:
    """A ``bookTicker``: position behind it, or -1. An empty side may show a price of zero."""
    start = messages[i, DATA]
    pos = comma(buf, match(buf, start, stop, E_TICKER), stop)
    futures = pos >= 0
    final, pos = field(buf, pos if futures else byte(buf, start, stop, BRACE), stop, _KEY_FINAL)
    pos = _symbol(buf, pos, stop, symbol)
    row = messages[i, LEVEL]
    pos, _, _ = _pair(buf, key(buf, pos, stop, _KEY_b), stop, levels, row, _KEY_B)
    pos = key(buf, comma(buf, pos, stop), stop, _KEY_a)
    pos, _, _ = _pair(buf, pos, stop, levels, row + 1, _KEY_A)
    if futures:
        messages[i, TRADED], pos = moment(buf, comma(buf, pos, stop), stop, _KEY_T)
        messages[i, EVENT], pos = moment(buf, comma(buf, pos, stop), stop, _KEY_E)
        messages[i, FUTURES] = 1
    messages[i, FIRST] = final
    messages[i, FINAL] = final
    messages[i, PREVIOUS] = final
    messages[i, BIDS] = 1
    messages[i, ASKS] = 1
    return byte(buf, pos, stop, BRACE_CLOSE)


@kernel
def _trade(
    buf: Bytes, stop: int, symbol: Bytes, kind: int, messages: Int64, i: int, levels: Int64
) -> int:
    """A ``trade`` or ``aggTrade``: position behind it, or -1."""
    start = messages[i, DATA]
    pos = match(buf, start, stop, E_TRADE if kind == TRADE else E_AGGREGATE)
    messages[i, EVENT], pos = moment(buf, comma(buf, pos, stop), stop, _KEY_E)
    pos = comma(buf, pos, stop)
    timed = False
    if match(buf, pos, stop, _KEY_T) >= 0:  # futures' trade has it here
        messages[i, TRADED], pos = moment(buf, pos, stop, _KEY_T)
        pos = comma(buf, pos, stop)
        timed = True
    pos = _symbol(buf, pos, stop, symbol)
    first, pos = field(buf, pos, stop, _KEY_t if kind == TRADE else _KEY_a)
    row = messages[i, LEVEL]
    pos, has_price, has_size = _pair(buf, key(buf, pos, stop, _KEY_p), stop, levels, row, _KEY_q)
    pos = comma(buf, pos, stop)
    final = first
    if kind == AGGREGATE:
        first, pos = field(buf, pos, stop, _KEY_f)
        final, pos = field(buf, pos, stop, _KEY_l)
    elif match(buf, pos, stop, _KEY_b) >= 0:  # order ids, in recordings before 2024
        _, pos = field(buf, pos, stop, _KEY_b)
        _, pos = field(buf, pos, stop, _KEY_a)
    if not timed:
        messages[i, TRADED], pos = moment(buf, pos, stop, _KEY_T)
        pos = comma(buf, pos, stop)
    if match(buf, pos, stop, _KEY_X) >= 0:
        pos = match(buf, key(buf, pos, stop, _KEY_X), stop, _MARKET)
        pos = comma(buf, pos, stop)
        messages[i, FUTURES] = 1
    maker, pos = _boolean(buf, pos, stop, _KEY_m)
    if pos >= 0 and byte(buf, pos, stop, COMMA) >= 0:
        _, pos = _boolean(buf, comma(buf, pos, stop), stop, _KEY_M)
    if pos < 0 or not has_price or not has_size or final < first:
        return -1
    messages[i, FIRST] = first
    messages[i, FINAL] = final
    messages[i, PREVIOUS] = first - 1
    messages[i, BIDS] = 1
    messages[i, TAKER] = 2 if maker else 1
    return byte(buf, pos, stop, BRACE_CLOSE)


@kernel
def payload(
    buf: Bytes, stop: int, symbol: Bytes, kind: int, messages: Int64, i: int, levels: Int64
) -> int:
    """Parse the payload of a known kind: the level row behind it, or -1."""
    row = messages[i, LEVEL]
    if kind == DEPTH:
        pos = _depth(buf, stop, symbol, messages, i, levels)
    elif kind == TICKER:
        pos = _ticker(buf, stop, symbol, messages, i, levels)
    elif kind == SNAPSHOT:
        pos = _snapshot(buf, stop, messages, i, levels)
    else:
        pos = _trade(buf, stop, symbol, kind, messages, i, levels)
    if pos != stop:
        return -1
    behind: int = row + messages[i, BIDS] + messages[i, ASKS]
    return behind
