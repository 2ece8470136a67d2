"""Tables to rows: the numbers of scanned messages as counts on the grid, and as statistics.

The row builders return ``(message, level, status)``: the first row whose price or size the grid
cannot hold, with the status of ``fixedpoint``; ``(-1, -1, OK)`` when all could.
"""

from __future__ import annotations

from lobproof.fixedpoint.kernels import OK, parse_decimal, significant_decimals
from lobproof.jit import kernel
from lobproof.schema import Int64, Rows
from lobproof.schema.plain import ASK, BID, DELTA, F_LAST, MARK, NO_SIDE, TRADE
from lobproof.sources.binance.message_kernels import (
    ASKS,
    BIDS,
    CONTROL,
    DEPTH,
    EVENT,
    FINAL,
    INVALID,
    KIND,
    LEVEL,
    NO_EXECUTION,
    PREVIOUS,
    PRICE,
    PRICE_STOP,
    RECV,
    SIZE,
    SIZE_STOP,
    SNAPSHOT,
    TAKER,
    TICKER,
    TRADED,
    Bytes,
)

DECIMALS, DIGITS = 0, 1
"""What ``widths`` count: digits after and before the point."""
WIDTHS = 64
"""So many widths are told apart, from 0 on; what is wider counts as the widest."""
CLASSES = 4
"""Last digit group of a number's significand: odd, even, a multiple of 5, of 25."""
LAST_PLACES = 37
"""Place of the last significant digit: 10^18 … 10^-18."""
MAX_PLACE = 18


@kernel
def level_counts(
    buf: Bytes,
    levels: Int64,
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
            buf, levels[level, PRICE], levels[level, PRICE_STOP], price_exponent
        )
        if status != OK:
            return level, status
        price[out] = value
        value, status = parse_decimal(
            buf, levels[level, SIZE], levels[level, SIZE_STOP], size_exponent
        )
        if status != OK:
            return level, status
        size[out] = value
        out += 1
    return -1, OK


@kernel
def book_rows(
    buf: Bytes,
    messages: Int64,
    levels: Int64,
    price_exponent: int,
    size_exponent: int,
    matched: bool,
    out: Rows,
    ts_recv: Int64,
) -> tuple[int, int, int]:
    """Rows of depth messages, and marks with the flags that other lines carry in ``TAKER``.

    The columns are zeroed and as long as :func:`book_length` says. With ``matched`` a message's
    time is T, and E only where it has none.
    """
    ts_event, sequence, prev_sequence = out.ts_event, out.sequence, out.prev_sequence
    kind, side, price, size, flags = out.kind, out.side, out.price, out.size, out.flags
    row = 0
    for i in range(messages.shape[0]):
        what = messages[i, KIND]
        if what == DEPTH:
            bids = messages[i, BIDS]
            count = bids + messages[i, ASKS]
            first = messages[i, LEVEL]
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
            time = messages[i, EVENT]
            if matched and messages[i, TRADED] > 0:
                time = messages[i, TRADED]
            for j in range(row, row + max(count, 1)):
                ts_event[j] = time
                ts_recv[j] = messages[i, RECV]
                sequence[j] = messages[i, FINAL]
                prev_sequence[j] = messages[i, PREVIOUS]
                kind[j] = DELTA
                side[j] = BID if j < row + bids else ASK
            if count == 0:
                kind[row] = MARK
                side[row] = NO_SIDE
            row += max(count, 1)
            flags[row - 1] = F_LAST
        elif what in (INVALID, CONTROL) and messages[i, TAKER] != 0:
            ts_recv[row] = messages[i, RECV]
            sequence[row] = -1
            prev_sequence[row] = -1
            kind[row] = MARK
            flags[row] = messages[i, TAKER]
            row += 1
    return -1, -1, OK


@kernel
def book_length(messages: Int64) -> int:
    """Rows that :func:`book_rows` makes."""
    rows = 0
    for i in range(messages.shape[0]):
        what = messages[i, KIND]
        if what == DEPTH:
            rows += max(messages[i, BIDS] + messages[i, ASKS], 1)
        elif what in (INVALID, CONTROL) and messages[i, TAKER] != 0:
            rows += 1
    return rows


@kernel
def trade_rows(
    buf: Bytes,
    messages: Int64,
    levels: Int64,
    wanted: int,
    passed: Int64,
    price_exponent: int,
    size_exponent: int,
    out: Rows,
    ts_recv: Int64,
) -> tuple[int, int, int]:
    """One row per execution of the kind ``wanted``: raw or aggregated trades.

    The ids of messages that are no execution are no gap: the trade behind them names the id before
    them. ``passed`` keeps, from call to call, the id before such a run and the last of it.
    """
    ts_event, sequence, prev_sequence = out.ts_event, out.sequence, out.prev_sequence
    kind, side, price, size, flags = out.kind, out.side, out.price, out.size, out.flags
    row = 0
    for i in range(messages.shape[0]):
        if messages[i, KIND] != wanted:
            continue
        previous = messages[i, PREVIOUS]
        if previous == passed[1]:
            previous = passed[0]
        if messages[i, TAKER] == NO_EXECUTION:
            passed[0] = previous
            passed[1] = messages[i, FINAL]
            continue
        first = messages[i, LEVEL]
        level, status = level_counts(
            buf, levels, first, first + 1, price_exponent, size_exponent, price, size, row
        )
        if status != OK:
            return i, level, status
        ts_event[row] = messages[i, TRADED]
        ts_recv[row] = messages[i, RECV]
        sequence[row] = messages[i, FINAL]
        prev_sequence[row] = previous
        kind[row] = TRADE
        side[row] = messages[i, TAKER]
        flags[row] = F_LAST
        row += 1
    return -1, -1, OK


@kernel
def ticker_rows(
    buf: Bytes,
    messages: Int64,
    levels: Int64,
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
        if messages[i, KIND] != TICKER:
            continue
        first = messages[i, LEVEL]
        level, status = level_counts(
            buf, levels, first, first + 2, price_exponent, size_exponent, price, size, 2 * row
        )
        if status != OK:
            return i, level, status
        sequence[row] = messages[i, FINAL]
        ts_event[row] = messages[i, EVENT]
        ts_recv[row] = messages[i, RECV]
        row += 1
    return -1, -1, OK


@kernel
def _digits_before(buf: Bytes, start: int, stop: int) -> int:
    """Digits before the point of a number, without the zeros that lead."""
    digits = 0
    for pos in range(start, stop):
        if buf[pos] == 46:
            break
        if digits > 0 or buf[pos] != 48:
            digits += 1
    return digits


@kernel
def _measure_number(
    buf: Bytes,
    start: int,
    stop: int,
    message: int,
    which: int,
    widths: Int64,
    seen_at: Int64,
    places: Int64,
) -> None:
    decimals = significant_decimals(buf, start, stop)
    for what, size in ((DECIMALS, decimals), (DIGITS, _digits_before(buf, start, stop))):
        width = min(size, WIDTHS - 1)
        if widths[which, what, width] == 0:
            seen_at[which, what, width] = message
        widths[which, what, width] += 1
    if decimals > MAX_PLACE:
        return
    value, status = parse_decimal(buf, start, stop, decimals)
    if status != OK or value == 0:
        return
    while value % 10 == 0:
        value //= 10
        decimals -= 1
    group = 0
    if value % 2 == 0:
        group = 1
    elif value % 25 == 0:
        group = 3
    elif value % 5 == 0:
        group = 2
    places[which, MAX_PLACE + decimals, group] += 1


@kernel
def measure(
    buf: Bytes,
    messages: Int64,
    levels: Int64,
    base: int,
    widths: Int64,
    seen_at: Int64,
    places: Int64,
) -> None:
    """Add the numbers of all parsed messages to the statistics of prices (0) and sizes (1).

    ``widths`` and ``seen_at`` (the first message of such a width) are (2, 2, ``WIDTHS``),
    ``places`` (2, ``LAST_PLACES``, ``CLASSES``): all that the inference of exponents and steps
    needs to know, however long the recording. ``base`` is the number of the first message.
    """
    for i in range(messages.shape[0]):
        if messages[i, KIND] < DEPTH or messages[i, KIND] > SNAPSHOT:
            continue
        first = messages[i, LEVEL]
        for level in range(first, first + messages[i, BIDS] + messages[i, ASKS]):
            _measure_number(
                buf,
                levels[level, PRICE],
                levels[level, PRICE_STOP],
                base + i,
                0,
                widths,
                seen_at,
                places,
            )
            _measure_number(
                buf,
                levels[level, SIZE],
                levels[level, SIZE_STOP],
                base + i,
                1,
                widths,
                seen_at,
                places,
            )


@kernel
def _is_wider(buf: Bytes, start: int, stop: int, most: Int64) -> bool:
    if significant_decimals(buf, start, stop) > most[DECIMALS]:
        return True
    wider: bool = _digits_before(buf, start, stop) > most[DIGITS]
    return wider


@kernel
def widest(buf: Bytes, messages: Int64, levels: Int64, most: Int64, found: Int64) -> None:
    """Note in ``found``, a row a message, the first level whose price or size is too wide, or -1.

    ``most`` is (2, 2): digits after and before the point, of prices and of sizes.
    """
    for i in range(messages.shape[0]):
        found[i] = -1
        if messages[i, KIND] < DEPTH or messages[i, KIND] > SNAPSHOT:
            continue
        first = messages[i, LEVEL]
        for level in range(first, first + messages[i, BIDS] + messages[i, ASKS]):
            if _is_wider(
                buf, levels[level, PRICE], levels[level, PRICE_STOP], most[0]
            ) or _is_wider(buf, levels[level, SIZE], levels[level, SIZE_STOP], most[1]):
                found[i] = level
                break
