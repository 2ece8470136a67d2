"""Scanned blocks to batches on an instrument's grid, and the snapshots in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from lobproof.errors import GridError
from lobproof.fixedpoint import OK, grid_error, parse_decimal
from lobproof.instruments import Instrument
from lobproof.schema import Clock, EventBatch, Flag, Int64, Kind, Side
from lobproof.schema.records import Record, zeroed
from lobproof.sources.batches import TickerBatch
from lobproof.sources.binance.row_kernels import (
    PASSED,
    book_length,
    book_rows,
    level_counts,
    ticker_rows,
    trade_rows,
)
from lobproof.sources.binance.scan_kernels import NO_EXECUTION, SNAPSHOT, TICKER
from lobproof.sources.binance.scanner import Block


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


def new_passed() -> Record:
    """Before the first trade message; `trade_batch` keeps it."""
    passed = zeroed(PASSED)[0]
    passed.before = passed.last = -1
    found: Record = passed
    return found


def trade_batch(
    block: Block, kind: int, instrument: Instrument, passed: Record | None = None
) -> EventBatch:
    """One row per ``TRADE`` or ``AGGREGATE``, as ``kind`` says; errors as :func:`book_batch`.

    ``passed``: from `new_passed`, and kept from block to block.
    """
    passed = new_passed() if passed is None else passed
    messages = block.messages
    executed = (messages["kind"] == kind) & (messages["taker"] != NO_EXECUTION)
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
    rows = int(np.count_nonzero(block.messages["kind"] == TICKER))
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
    first = int(message.level)
    count = int(message.bids + message.asks)
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
    text = block.number(level, "price")
    exponent = instrument.price_exponent
    if parse_decimal(block.buffer, span.price, span.price_stop, exponent)[1] == OK:
        text = block.number(level, "quantity")
        exponent = instrument.size_exponent
    error = grid_error(status, text, exponent)
    raise GridError(f"{block.where(row)}: {error.message}", hint=error.hint)


PARTIAL_DEPTHS = (5, 10, 20)
"""Levels a side of spot's partial depth, which without its stream's name looks like a snapshot."""


@dataclass(slots=True)
class Snapshot:
    """A REST snapshot's id, receive time and levels, ``bids`` of them bids, then asks.

    ``limit`` is how many levels a side were asked for, if that is known: only then do fewer show
    that a side was listed whole. A count proves nothing: REST takes any limit.
    """

    sequence: int
    recv: int
    bids: int
    price: Int64
    size: Int64
    limit: int | None

    def rows(self) -> EventBatch:
        """Its message; one that lists nothing is a row without a level, and replay refuses it."""
        batch = EventBatch.empty(max(len(self.price), 1))
        batch.ts_recv[:] = self.recv
        batch.sequence[:] = batch.prev_sequence[:] = self.sequence
        batch.flags[-1] = Flag.LAST
        batch.kind[:] = Kind.SNAPSHOT
        if not len(self.price):
            return batch
        batch.side[: self.bids], batch.side[self.bids :] = Side.BID, Side.ASK
        batch.price[:], batch.size[:] = self.price, self.size
        asks = len(self.price) - self.bids
        if self._whole(self.bids):
            batch.flags[: self.bids] |= Flag.COMPLETE
        if self._whole(asks):
            batch.flags[self.bids :] |= Flag.COMPLETE
        return batch

    def _whole(self, levels: int) -> bool:
        return self.limit is not None and levels < self.limit and levels not in PARTIAL_DEPTHS


def snapshots_in(block: Block, instrument: Instrument, limit: int | None) -> Iterator[Snapshot]:
    """The snapshots of a block that was scanned for them.

    Raises
    ------
    GridError
        For a number that the grid cannot hold, naming file and line.
    """
    for row in np.flatnonzero(block.messages["kind"] == SNAPSHOT).tolist():
        price, size = message_levels(block, row, instrument)
        message = block.messages[row]
        ids = int(message.final), int(message.recv)
        yield Snapshot(*ids, int(message.bids), price, size, limit)
