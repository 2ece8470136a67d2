"""Tables to rows: the numbers of scanned messages as counts on the grid, and as statistics.

The row builders return ``(message, level, status)``: the first row whose price or size the grid
cannot hold, with the status of ``fixedpoint``; ``(-1, -1, OK)`` when all could.
"""

from __future__ import annotations

from lobproof.fixedpoint.kernels import OK, parse_decimal
from lobproof.jit import kernel
from lobproof.schema import Int64, Rows
from lobproof.schema.plain import ASK, BID, DELTA, F_LAST, MARK, NO_SIDE, TRADE
from lobproof.schema.records import Record, Records, integers, record
from lobproof.sources.binance.scan_kernels import (
    CONTROL,
    DEPTH,
    INVALID,
    NO_EXECUTION,
    TICKER,
    Bytes,
)

PASSED = record(*integers("before", "last"))
"""Of a run of trade messages that are no executions: the id before it, and its last one."""


@kernel
def level_counts(
    buf: Bytes,
    levels: Records,
    start: int,
    stop: int,
    price_exponent: int,
    size_exponent: int,
    price: Int64,
    size: Int64,
    out: int,
) -> tuple[int, int]:
    """Counts of level rows ``start`` … ``stop`` from row ``out`` on; first failure and status."""
    for level in range(start, stop):
        value, status = parse_decimal(
            buf, levels[level].price, levels[level].price_stop, price_exponent
        )
        if status != OK:
            return level, status
        price[out] = value
        value, status = parse_decimal(
            buf, levels[level].quantity, levels[level].quantity_stop, size_exponent
        )
        if status != OK:
            return level, status
        size[out] = value
        out += 1
    return -1, OK


@kernel
def book_rows(
    buf: Bytes,
    messages: Records,
    levels: Records,
    price_exponent: int,
    size_exponent: int,
    matched: bool,
    out: Rows,
    ts_recv: Int64,
) -> tuple[int, int, int]:
    """Rows of depth messages, and marks with the flags that other lines carry in ``taker``.

    The columns are zeroed and as long as :func:`book_length` says. With ``matched`` a message's
    time is T, and E only where it has none.
    """
    ts_event, sequence, prev_sequence = out.ts_event, out.sequence, out.prev_sequence
    kind, side, price, size, flags = out.kind, out.side, out.price, out.size, out.flags
    row = 0
    for i in range(messages.shape[0]):
        what = messages[i].kind
        if what == DEPTH:
            bids = messages[i].bids
            count = bids + messages[i].asks
            first = messages[i].level
            level, status = level_counts(
                buf,
                levels,
                first,
                first + count,
                price_exponent,
                size_exponent,
                price,
                size,
                row,
            )
            if status != OK:
                return i, level, status
            time = messages[i].event
            if matched and messages[i].traded > 0:
                time = messages[i].traded
            for j in range(row, row + max(count, 1)):
                ts_event[j] = time
                ts_recv[j] = messages[i].recv
                sequence[j] = messages[i].final
                prev_sequence[j] = messages[i].previous
                kind[j] = DELTA
                side[j] = BID if j < row + bids else ASK
            if count == 0:
                kind[row] = MARK
                side[row] = NO_SIDE
            row += max(count, 1)
            flags[row - 1] = F_LAST
        elif what in (INVALID, CONTROL) and messages[i].taker != 0:
            ts_recv[row] = messages[i].recv
            sequence[row] = -1
            prev_sequence[row] = -1
            kind[row] = MARK
            flags[row] = messages[i].taker
            row += 1
    return -1, -1, OK


@kernel
def book_length(messages: Records) -> int:
    """Rows that :func:`book_rows` makes."""
    rows = 0
    for i in range(messages.shape[0]):
        what = messages[i].kind
        if what == DEPTH:
            rows += max(messages[i].bids + messages[i].asks, 1)
        elif what in (INVALID, CONTROL) and messages[i].taker != 0:
            rows += 1
    return rows


@kernel
def trade_rows(
    buf: Bytes,
    messages: Records,
    levels: Records,
    wanted: int,
    passed: Record,
    price_exponent: int,
    size_exponent: int,
    out: Rows,
    ts_recv: Int64,
) -> tuple[int, int, int]:
    """One row per execution of the kind ``wanted``: raw or aggregated trades.

    The ids of messages that are no execution are no gap: the trade behind them names the id before
    them. ``passed`` keeps, from call to call, the id before such a run and the last of it; one that
    comes late is of the run where it lies right before it, and else changes nothing.
    """
    ts_event, sequence, prev_sequence = out.ts_event, out.sequence, out.prev_sequence
    kind, side, price, size, flags = out.kind, out.side, out.price, out.size, out.flags
    row = 0
    for i in range(messages.shape[0]):
        if messages[i].kind != wanted:
            continue
        previous = messages[i].previous
        if previous == passed.last:
            previous = passed.before
        if messages[i].taker == NO_EXECUTION:
            if messages[i].final > passed.last:
                passed.before = previous
                passed.last = messages[i].final
            elif messages[i].final == passed.before:
                passed.before = previous
            continue
        first = messages[i].level
        level, status = level_counts(
            buf, levels, first, first + 1, price_exponent, size_exponent, price, size, row
        )
        if status != OK:
            return i, level, status
        ts_event[row] = messages[i].traded
        ts_recv[row] = messages[i].recv
        sequence[row] = messages[i].final
        prev_sequence[row] = previous
        kind[row] = TRADE
        side[row] = messages[i].taker
        flags[row] = F_LAST
        row += 1
    return -1, -1, OK


@kernel
def ticker_rows(
    buf: Bytes,
    messages: Records,
    levels: Records,
    price_exponent: int,
    size_exponent: int,
    sequence: Int64,
    ts_event: Int64,
    ts_recv: Int64,
    price: Int64,
    size: Int64,
) -> tuple[int, int, int]:
    """One row per ``bookTicker``; ``price`` and ``size`` are (2 * rows): bid, ask, bid, ask."""
    row = 0
    for i in range(messages.shape[0]):
        if messages[i].kind != TICKER:
            continue
        first = messages[i].level
        level, status = level_counts(
            buf, levels, first, first + 2, price_exponent, size_exponent, price, size, 2 * row
        )
        if status != OK:
            return i, level, status
        sequence[row] = messages[i].final
        ts_event[row] = messages[i].event
        ts_recv[row] = messages[i].recv
        row += 1
    return -1, -1, OK
