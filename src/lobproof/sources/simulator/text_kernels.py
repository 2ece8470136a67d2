"""Messages as a venue words them, written as bytes.

Each writer fills ``text`` from ``at`` on and returns where it ended. ``pieces`` is the fixed
wording of a stream, cut where the values go; ``cuts`` says where each piece begins.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.schema.records import Record, integers, record
from lobproof.sources.simulator.layout_kernels import (
    BID,
    ROW_ID,
    ROW_PRICE,
    ROW_SIDE,
    ROW_SIZE,
    ROW_TS,
    SELL,
    UInt8,
)

_ZERO, _POINT, _QUOTE, _COMMA = 48, 46, 34, 44
_OPEN, _SHUT, _SPACE, _LINE = 91, 93, 32, 10

FORM = record(
    *integers("price_exponent", "price_digits", "size_exponent", "size_digits", "futures")
)
"""How a venue writes numbers: their grid and their decimal places; whether it is one of futures."""
LEVEL_BYTES = 64
"""Room for one level: two numbers of up to 20 digits, signs, quotes, brackets."""


@kernel
def put_integer(text: UInt8, at: int, value: int) -> int:
    """Write ``value >= 0`` in decimal."""
    end = at + 1
    rest = value // 10
    while rest:
        rest //= 10
        end += 1
    slot = end - 1
    while slot >= at:
        text[slot] = _ZERO + value % 10
        value //= 10
        slot -= 1
    return end


@kernel
def put_decimal(text: UInt8, at: int, count: int, exponent: int, digits: int) -> int:
    """Write ``count * 10**-exponent``, quoted, with ``digits >= exponent`` decimal places."""
    text[at] = _QUOTE
    at += 1
    whole = count
    for _ in range(exponent):
        whole //= 10
    at = put_integer(text, at, whole)
    if digits:
        text[at] = _POINT
        for slot in range(at + digits, at + exponent, -1):
            text[slot] = _ZERO
        for slot in range(at + exponent, at, -1):
            text[slot] = _ZERO + count % 10
            count //= 10
        at += digits + 1
    text[at] = _QUOTE
    return at + 1


@kernel
def put_piece(text: UInt8, at: int, pieces: UInt8, start: int, stop: int) -> int:
    """Write a piece of fixed wording (its bounds, not its number: numba compiles each constant)."""
    for source in range(start, stop):
        text[at] = pieces[source]
        at += 1
    return at


@kernel
def put_level(text: UInt8, at: int, price: int, size: int, form: Record) -> int:
    """Write ``["price","size"]``."""
    text[at] = _OPEN
    at = put_decimal(text, at + 1, price, int(form.price_exponent), int(form.price_digits))
    text[at] = _COMMA
    at = put_decimal(text, at + 1, size, int(form.size_exponent), int(form.size_digits))
    text[at] = _SHUT
    return at + 1


@kernel
def depth_lines(
    text: UInt8,
    stops: Int64,
    received: Int64,
    messages: Int64,
    depth: Int64,
    pieces: UInt8,
    cuts: Int64,
    form: Record,
) -> int:
    """Lines of depth messages; ``stops[k]`` is the end of line ``k``. Returns the bytes written."""
    at = 0
    row = 0
    for k in range(len(messages)):
        at = put_integer(text, at, int(received[k]))
        at = put_piece(text, at, pieces, cuts[0], cuts[1])
        at = put_integer(text, at, int(messages[k, 0]))
        if form.futures:
            at = put_piece(text, at, pieces, cuts[5], cuts[6])
            at = put_integer(text, at, int(messages[k, 0]))
        at = put_piece(text, at, pieces, cuts[1], cuts[2])
        at = put_integer(text, at, int(messages[k, 1]))
        at = put_piece(text, at, pieces, cuts[2], cuts[3])
        at = put_integer(text, at, int(messages[k, 2]))
        if form.futures:
            at = put_piece(text, at, pieces, cuts[6], cuts[7])
            at = put_integer(text, at, int(messages[k, 3]))
        at = put_piece(text, at, pieces, cuts[3], cuts[4])
        first = True
        asks = False
        stop = int(messages[k, 4])
        while row < stop:
            if not asks and depth[row, 0] != BID:
                at = put_piece(text, at, pieces, cuts[4], cuts[5])
                asks = True
                first = True
            if not first:
                text[at] = _COMMA
                at += 1
            first = False
            at = put_level(text, at, int(depth[row, 1]), int(depth[row, 2]), form)
            row += 1
        if not asks:
            at = put_piece(text, at, pieces, cuts[4], cuts[5])
        at = put_piece(text, at, pieces, cuts[7], cuts[8])
        stops[k] = at
    return at


@kernel
def trade_lines(
    text: UInt8,
    stops: Int64,
    received: Int64,
    events: Int64,
    trades: Int64,
    pieces: UInt8,
    cuts: Int64,
    form: Record,
) -> int:
    """Lines of trades, sent at ``events`` (ms)."""
    at = 0
    for k in range(len(trades)):
        at = put_integer(text, at, int(received[k]))
        at = put_piece(text, at, pieces, cuts[0], cuts[1])
        at = put_integer(text, at, int(events[k]))
        if form.futures:  # where real lines have it
            at = put_piece(text, at, pieces, cuts[4], cuts[5])
            at = put_integer(text, at, int(trades[k, ROW_TS]) // 1_000_000)
        at = put_piece(text, at, pieces, cuts[1], cuts[2])
        at = put_integer(text, at, int(trades[k, ROW_ID]))
        at = put_piece(text, at, pieces, cuts[2], cuts[3])
        at = put_decimal(
            text, at, int(trades[k, ROW_PRICE]), int(form.price_exponent), int(form.price_digits)
        )
        at = put_piece(text, at, pieces, cuts[3], cuts[4])
        at = put_decimal(
            text, at, int(trades[k, ROW_SIZE]), int(form.size_exponent), int(form.size_digits)
        )
        if not form.futures:
            at = put_piece(text, at, pieces, cuts[4], cuts[5])
            at = put_integer(text, at, int(trades[k, ROW_TS]) // 1_000_000)
        verdict = 5 if trades[k, ROW_SIDE] == SELL else 6
        at = put_piece(text, at, pieces, cuts[verdict], cuts[verdict + 1])
        stops[k] = at
    return at


@kernel
def ticker_lines(
    text: UInt8,
    stops: Int64,
    received: Int64,
    tickers: Int64,
    pieces: UInt8,
    cuts: Int64,
    form: Record,
) -> int:
    """Lines of touch changes."""
    at = 0
    for k in range(len(tickers)):
        at = put_integer(text, at, int(received[k]))
        at = put_piece(text, at, pieces, cuts[0], cuts[1])
        at = put_integer(text, at, int(tickers[k, 1]))
        for slot in range(2, 6):
            at = put_piece(text, at, pieces, cuts[slot - 1], cuts[slot])
            exponent, digits = int(form.price_exponent), int(form.price_digits)
            if slot % 2:
                exponent, digits = int(form.size_exponent), int(form.size_digits)
            at = put_decimal(text, at, int(tickers[k, slot]), exponent, digits)
        if form.futures:
            now = int(tickers[k, 0]) // 1_000_000
            at = put_piece(text, at, pieces, cuts[5], cuts[6])
            at = put_integer(text, at, now)
            at = put_piece(text, at, pieces, cuts[6], cuts[7])
            at = put_integer(text, at, now)
        at = put_piece(text, at, pieces, cuts[7], cuts[8])
        stops[k] = at
    return at


@kernel
def level_list(text: UInt8, at: int, levels: Int64, form: Record) -> int:
    """Write a snapshot's levels (n, 2), comma between."""
    for k in range(len(levels)):
        if k:
            text[at] = _COMMA
            at += 1
        at = put_level(text, at, int(levels[k, 0]), int(levels[k, 1]), form)
    return at


@kernel
def gather(text: UInt8, starts: Int64, stops: Int64, order: Int64, out: UInt8) -> int:
    """Copy the spans of ``text`` to ``out`` in the given order; returns the bytes written."""
    at = 0
    for k in range(len(order)):
        start, stop = int(starts[order[k]]), int(stops[order[k]])
        for source in range(start, stop):
            out[at] = text[source]
            at += 1
    return at
