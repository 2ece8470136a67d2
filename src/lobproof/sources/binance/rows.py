"""Scanned blocks to batches on an instrument's grid."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from lobproof.errors import GridError
from lobproof.fixedpoint import OK, grid_error, parse_decimal
from lobproof.instruments import Instrument
from lobproof.schema import Clock, EventBatch, Int64
from lobproof.sources.binance.message_kernels import (
    ASKS,
    BIDS,
    KIND,
    LEVEL,
    NO_EXECUTION,
    PRICE,
    PRICE_STOP,
    SIZE,
    TAKER,
    TICKER,
)
from lobproof.sources.binance.row_kernels import (
    book_length,
    book_rows,
    level_counts,
    ticker_rows,
    trade_rows,
)
from lobproof.sources.binance.scanner import Block
from lobproof.sources.tickers import TickerBatch


def book_batch(block: Block, instrument: Instrument, clock: Clock = "E") -> EventBatch:
    """Rows of the block's depth messages and marks; ``clock``: which of their times is kept.

    Raises
    ------
    GridError
        Naming the file and line of the first number that the grid cannot hold.
    """
    batch = EventBatch.empty(book_length(block.messages))
    message, level, status = book_rows(
        block.buffer,
        block.messages,
        block.levels,
        instrument.price_exponent,
        instrument.size_exponent,
        clock == "T",
        batch.rows,
        batch.ts_recv,
    )
    if status != OK:
        _fail(block, message, level, status, instrument)
    return batch


def trade_batch(
    block: Block, kind: int, instrument: Instrument, passed: Int64 | None = None
) -> EventBatch:
    """One row per ``TRADE`` or ``AGGREGATE``, as ``kind`` says; errors as :func:`book_batch`.

    ``passed`` (2,) is the kernel's, to be kept from block to block; -1 before the first.
    """
    passed = np.full(2, -1, np.int64) if passed is None else passed
    messages = block.messages
    executed = (messages[:, KIND] == kind) & (messages[:, TAKER] != NO_EXECUTION)
    batch = EventBatch.empty(int(np.count_nonzero(executed)))
    message, level, status = trade_rows(
        block.buffer,
        block.messages,
        block.levels,
        kind,
        passed,
        instrument.price_exponent,
        instrument.size_exponent,
        batch.rows,
        batch.ts_recv,
    )
    if status != OK:
        _fail(block, message, level, status, instrument)
    return batch


def ticker_batch(block: Block, instrument: Instrument) -> TickerBatch:
    """One row per ``bookTicker``; errors as :func:`book_batch`."""
    rows = int(np.count_nonzero(block.messages[:, KIND] == TICKER))
    batch = TickerBatch.empty(rows)
    price, size = np.zeros(2 * rows, np.int64), np.zeros(2 * rows, np.int64)
    message, level, status = ticker_rows(
        block.buffer,
        block.messages,
        block.levels,
        instrument.price_exponent,
        instrument.size_exponent,
        batch.sequence,
        batch.ts_event,
        batch.ts_recv,
        price,
        size,
    )
    if status != OK:
        _fail(block, message, level, status, instrument)
    batch.bid[:], batch.ask[:] = price[0::2], price[1::2]
    batch.bid_size[:], batch.ask_size[:] = size[0::2], size[1::2]
    return batch


def message_levels(block: Block, row: int, instrument: Instrument) -> tuple[Int64, Int64]:
    """Prices and sizes of one message's levels, bids first; errors as :func:`book_batch`."""
    message = block.messages[row]
    first = int(message[LEVEL])
    count = int(message[BIDS] + message[ASKS])
    price, size = np.zeros(count, np.int64), np.zeros(count, np.int64)
    level, status = level_counts(
        block.buffer,
        block.levels,
        first,
        first + count,
        instrument.price_exponent,
        instrument.size_exponent,
        price,
        size,
        0,
    )
    if status != OK:
        _fail(block, row, level, status, instrument)
    return price, size


def _fail(block: Block, row: int, level: int, status: int, instrument: Instrument) -> NoReturn:
    """Raise what the kernel could only number; the price is looked at first, as it did."""
    span = block.levels[level]
    text = block.number(level, PRICE)
    exponent = instrument.price_exponent
    if parse_decimal(block.buffer, span[PRICE], span[PRICE_STOP], exponent)[1] == OK:
        text = block.number(level, SIZE)
        exponent = instrument.size_exponent
    error = grid_error(status, text, exponent)
    raise GridError(f"{block.where(row)}: {error.message}", hint=error.hint)
