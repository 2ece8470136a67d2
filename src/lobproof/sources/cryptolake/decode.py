"""Crypto Lake's files to streams: floats to counts, times to the microsecond, messages whole."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from lobproof.errors import GridError, InputError, UsageError
from lobproof.fixedpoint import OK, grid_error
from lobproof.instruments import Instrument
from lobproof.readahead import read_ahead
from lobproof.schema import LEVELS, EventBatch, Flag, Int64, Kind, Side, VendorBatch
from lobproof.schema.records import zeroed
from lobproof.sources.batches import cut, row_ends
from lobproof.sources.cryptolake.chunks import (
    BOOK_CHUNK_ROWS,
    CHUNK_ROWS,
    Chunk,
    bitmap,
    chunks,
    floats,
    ids,
    integers,
    sealed,
    takers,
)
from lobproof.sources.cryptolake.decode_kernels import (
    FILL,
    IN_SIZE,
    TOO_LONG,
    DeltaColumns,
    TradeColumns,
    append_deltas,
    close_message,
    write_slot,
    write_times,
    write_trades,
)
from lobproof.sources.cryptolake.layout import COLUMNS, LEVEL_COLUMNS
from lobproof.stages import each

BATCH_ROWS = 1 << 16
BOOK_ROWS = 1 << 12
MESSAGE_ROWS = 1 << 20
"""Rows of one sequence number that are a message; more are a feed without such numbers."""
_ROOM = 1 << 12  # for the last message of a batch; more is made where it is longer
B = TypeVar("B", EventBatch, VendorBatch)


@dataclass(frozen=True, slots=True)
class Decoded(Generic[B]):
    """A batch, and how many rows of the table's files are used up behind it.

    A pass that starts at ``next_row`` gives what would have come next.
    """

    batch: B
    next_row: int


def deltas(
    paths: Sequence[Path],
    instrument: Instrument,
    batch_rows: int = BATCH_ROWS,
    *,
    start_row: int = 0,
) -> Generator[Decoded[EventBatch]]:
    """Messages of ``book_delta_v2``, in the files' order.

    Rows of one ``sequence_number`` in a row are a message; one that is there twice (its second
    half says what the first said) is two of one sequence. Batches hold whole messages and close at
    the first change of the sequence at or after ``batch_rows`` rows. Times are repaired to the
    microsecond, 0 where there is none. ``prev_sequence`` is -1: this feed has no chain.

    A row that holds no level – its price, size, side or sequence number is null, its price or size
    NaN, infinite or below 0, its price 0 – becomes a MARK with ``INVALID`` and ``GAP`` before its
    message, whose other rows are kept. The mark's ``prev_sequence`` is the number of the row among
    all rows of the table, from 0.

    Parameters
    ----------
    paths
        The files of a day, in order; a message may go on from one to the next.
    instrument
        Its grid must hold every price and size.
    start_row
        Rows to leave out: 0 or a ``next_row`` of an earlier pass.

    Raises
    ------
    GridError
        For a price or size that the instrument's grid does not hold, naming file and row.
    InputError
        When a file cannot be read, is not this table, or has one sequence number in more than
        ``MESSAGE_ROWS``.
    UsageError
        For less than one row a batch, or a start before the first.
    """
    _check(batch_rows, start_row)
    return _deltas(paths, instrument, batch_rows, start_row)


def trades(
    paths: Sequence[Path],
    instrument: Instrument,
    batch_rows: int = BATCH_ROWS,
    *,
    start_row: int = 0,
) -> Generator[Decoded[EventBatch]]:
    """Rows of ``trades``, each a message, ``batch_rows`` a batch.

    ``sequence`` is the trade's id, -1 where it is null; for text that is no number see
    :func:`~lobproof.sources.cryptolake.chunks.ids`. Parameters as for :func:`deltas`.

    A row that is no trade – its price or amount is null, NaN, infinite or not above 0, its side
    neither ``buy`` nor ``sell`` – becomes a MARK with ``INVALID`` and ``TRADES`` and its number, as
    for :func:`deltas`.

    Raises
    ------
    GridError, InputError, UsageError
        As :func:`deltas`.
    """
    _check(batch_rows, start_row)
    return _joined(_trades(paths, instrument, batch_rows, start_row), batch_rows, start_row)


def books(
    paths: Sequence[Path],
    instrument: Instrument,
    batch_rows: int = BOOK_ROWS,
    *,
    start_row: int = 0,
) -> Generator[Decoded[VendorBatch]]:
    """Rows of ``book``, ``batch_rows`` a batch: what the vendor's own book was.

    Nothing is judged: a row may be crossed or out of order. A slot whose price or size is null,
    NaN or 0 is empty; where one is infinite or below 0 the slot is half a level, a size without a
    price, so that the row cannot be a book. A sequence number that is null is -1. Parameters as for
    :func:`deltas`.

    Raises
    ------
    GridError, InputError, UsageError
        As :func:`deltas`.
    """
    _check(batch_rows, start_row)
    return _joined(_books(paths, instrument, batch_rows, start_row), batch_rows, start_row)


def _check(batch_rows: int, start_row: int) -> None:
    if batch_rows < 1:
        raise UsageError(f"batches of {batch_rows} rows", hint="batch_rows must be at least 1")
    if start_row < 0:
        raise UsageError(f"a start at row {start_row}", hint="start_row counts from 0")


def _deltas(
    paths: Sequence[Path], instrument: Instrument, batch_rows: int, start_row: int
) -> Generator[Decoded[EventBatch]]:
    used = taken = start_row
    batch, state = _empty(batch_rows + _ROOM), zeroed(FILL)[0]
    columns = COLUMNS["book_delta_v2"]
    for chunk in chunks("book_delta_v2", paths, columns, CHUNK_ROWS, start_row):
        bids, bit = bitmap(chunk, "side_is_bid")
        last = int(batch.sequence[state.filled - 1]) if state.filled > state.first else -1
        source = DeltaColumns(
            integers(chunk, "timestamp", 0),
            integers(chunk, "receipt_timestamp", 0),
            _sequences(chunk, last),
            bids,
            bit,
            _prices(chunk),
            floats(chunk, "size"),
        )
        row = 0
        while row < len(chunk):
            row, status = append_deltas(
                state,
                row,
                len(chunk),
                source,
                instrument.price_exponent,
                instrument.size_exponent,
                batch_rows,
                MESSAGE_ROWS,
                taken,
                batch.rows,
                batch.ts_recv,
            )
            if status == TOO_LONG:
                raise InputError(
                    f"{chunk.where(row)}: more than {MESSAGE_ROWS:,} rows of one sequence_number",
                    hint="a message cannot be as long: this feed has no ids of messages",
                )
            if status != OK:
                _fail(chunk, row, status, instrument, "price", "size")
            if row < len(chunk):
                if state.first == state.filled:
                    rows = int(state.filled)
                    used += rows
                    yield Decoded(_messages(batch.slice(0, rows), state.unreadable), used)
                    batch = _empty(batch_rows + _ROOM)
                    state.filled = state.first = state.unreadable = 0
                else:
                    batch = EventBatch.concat([batch, _empty(len(batch))])
        taken += len(chunk)
    if state.filled:
        first, rows = int(state.first), int(state.filled)
        close_message(first, rows, batch.side, batch.price, batch.size, batch.flags)
        yield Decoded(_messages(batch.slice(0, rows), state.unreadable), used + rows)


def _empty(rows: int) -> EventBatch:
    batch = EventBatch.empty(rows)
    batch.prev_sequence.fill(-1)
    batch.kind.fill(Kind.DELTA)
    return batch


def _sequences(chunk: Chunk, last: int) -> Int64:
    """Sequence numbers; a row without one goes with the row before it.

    ``last`` is the number of the open message, -1 without one.
    """
    column = chunk.columns["sequence_number"]
    if not column.null_count:
        return integers(chunk, "sequence_number", 0)
    null = np.concatenate([[False], _null(chunk, "sequence_number")])
    numbers = np.concatenate([[last], integers(chunk, "sequence_number", 0)])
    known = np.maximum.accumulate(np.where(null, 0, np.arange(len(null))))
    return sealed(numbers[known][1:])


def _prices(chunk: Chunk) -> NDArray[np.float64]:
    """Prices; of rows that say no side, or no sequence number, none: they hold no level."""
    prices = floats(chunk, "price")
    lacking = [raw for raw in ("side_is_bid", "sequence_number") if chunk.columns[raw].null_count]
    if not lacking:
        return prices
    return sealed(np.where(np.any([_null(chunk, raw) for raw in lacking], axis=0), np.nan, prices))


def _null(chunk: Chunk, raw: str) -> NDArray[np.bool_]:
    null: NDArray[np.bool_] = chunk.columns[raw].is_null().to_numpy(zero_copy_only=False)
    return null


def _messages(batch: EventBatch, unreadable: int) -> EventBatch:
    """Whole messages, each behind the marks of its unreadable rows; these are messages."""
    if not unreadable:
        return batch
    last = batch.flags & int(Flag.LAST)
    message = np.cumsum(last) - last
    readable = batch.kind != Kind.MARK
    order = np.lexsort((readable, message))  # a stable sort
    out = batch.take(order)
    out.flags &= ~int(Flag.LAST)
    ends = np.flatnonzero(np.diff(message[order], append=-1))
    out.flags[ends] |= int(Flag.LAST)
    out.flags[out.kind == Kind.MARK] |= int(Flag.LAST)
    return out


def _trades(
    paths: Sequence[Path], instrument: Instrument, batch_rows: int, start_row: int
) -> Generator[EventBatch]:
    rows = min(batch_rows, CHUNK_ROWS)
    taken = start_row
    for chunk in chunks("trades", paths, COLUMNS["trades"], rows, start_row):
        batch = EventBatch.empty(len(chunk))
        batch.sequence[:] = ids(chunk)
        batch.prev_sequence.fill(-1)
        batch.kind.fill(Kind.TRADE)
        batch.flags.fill(Flag.LAST)
        row, status = write_trades(
            TradeColumns(
                integers(chunk, "timestamp", 0),
                integers(chunk, "receipt_timestamp", 0),
                takers(chunk),
                floats(chunk, "price"),
                floats(chunk, "amount"),
            ),
            instrument.price_exponent,
            instrument.size_exponent,
            taken,
            batch.rows,
            batch.ts_recv,
        )
        if status != OK:
            _fail(chunk, row, status, instrument, "price", "amount")
        taken += len(chunk)
        yield batch


def _books(
    paths: Sequence[Path], instrument: Instrument, batch_rows: int, start_row: int
) -> Generator[VendorBatch]:
    rows = min(batch_rows, BOOK_CHUNK_ROWS)
    for chunk in chunks("book", paths, COLUMNS["book"], rows, start_row):
        batch = VendorBatch.empty(len(chunk))
        write_times(integers(chunk, "timestamp", 0), batch.ts_event)
        write_times(integers(chunk, "receipt_timestamp", 0), batch.ts_recv)
        batch.sequence[:] = integers(chunk, "sequence_number", -1)
        bad: tuple[int, int, int] | None = None
        for slot in range(0, len(LEVEL_COLUMNS), 2):
            row, status = write_slot(
                floats(chunk, LEVEL_COLUMNS[slot]),
                floats(chunk, LEVEL_COLUMNS[slot + 1]),
                instrument.price_exponent,
                instrument.size_exponent,
                slot,
                batch.levels,
            )
            if status != OK and (bad is None or row < bad[0]):
                bad = row, slot, status
        if bad is not None:
            names = LEVEL_COLUMNS[bad[1] : bad[1] + 2]
            _fail(chunk, bad[0], bad[2], instrument, *names)
        yield batch


def _joined(parts: Generator[B], batch_rows: int, start_row: int) -> Generator[Decoded[B]]:
    """The rows of ``parts``, none of them longer than ``batch_rows``, in batches of that many."""
    used = start_row
    for batch in cut(parts, batch_rows, row_ends):
        used += len(batch)
        yield Decoded(batch, used)


def _fail(
    chunk: Chunk, row: int, status: int, instrument: Instrument, price: str, size: str
) -> NoReturn:
    """Raise what a kernel could only number."""
    raw, exponent = price, instrument.price_exponent
    if status >= IN_SIZE:
        raw, exponent, status = size, instrument.size_exponent, status - IN_SIZE
    value = chunk.columns[raw][row].as_py()
    error = grid_error(status, repr(value), exponent)
    raise GridError(f"{chunk.where(row)}: {raw} {error.message}", hint=error.hint)


class LakeSource:
    """Deltas, trades and book rows of a day; every row is given, judging is replay's.

    Each stream is decoded in a thread of its own, a few batches ahead; errors are those of
    :mod:`lobproof.sources.cryptolake.decode`. A start is a number of rows that earlier batches of
    the same stream held.

    Parameters
    ----------
    paths
        Table → its files, in order; a table that is not there is empty.
    instrument
        Its grid must hold every price and size.
    batch_rows
        Rows of deltas or trades decoded at a time; no effect on the content.
    """

    def __init__(
        self,
        paths: Mapping[str, Sequence[Path]],
        instrument: Instrument,
        *,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._paths = paths
        self._instrument = instrument
        self._batch_rows = batch_rows

    def deltas(self, start: int = 0) -> Generator[EventBatch]:
        """Messages of ``book_delta_v2``."""
        files = self._paths.get("book_delta_v2", ())
        decoded = deltas(files, self._instrument, self._batch_rows, start_row=start)
        for one in read_ahead(each("decode book_delta_v2", decoded, _rows)):
            yield one.batch

    def trades(self, start: int = 0) -> Generator[EventBatch]:
        """Rows of ``trades``, each a message."""
        files = self._paths.get("trades", ())
        decoded = trades(files, self._instrument, self._batch_rows, start_row=start)
        for one in read_ahead(each("decode trades", decoded, _rows)):
            yield one.batch

    def books(self, start: int = 0) -> Generator[VendorBatch]:
        """Rows of ``book``."""
        rows = min(BOOK_ROWS, self._batch_rows)
        decoded = books(self._paths.get("book", ()), self._instrument, rows, start_row=start)
        for one in read_ahead(each("decode book", decoded, _rows)):
            yield one.batch


def _rows(one: Decoded[Any]) -> int:
    return len(one.batch)


def as_snapshots(vendor_rows: VendorBatch, *, clear: bool) -> EventBatch:
    """Rows of ``book`` as snapshot messages; ``clear``: each opens with a CLEAR row.

    What lists nothing, or has an empty slot before a listed one, is a MARK whose two ids are the
    same: an audit calls it invalid. A side is known down to the worst price listed, never whole:
    fewer than twenty levels may be all that the vendor kept.
    """
    levels = vendor_rows.levels.reshape(len(vendor_rows), 2, LEVELS, 2)
    used = (levels != 0).any(axis=3)
    used &= ~(used[:, :, 1:] & ~used[:, :, :-1]).any(axis=(1, 2))[:, None, None]
    rows, halves, slots = np.nonzero(used)
    counts = np.count_nonzero(used, axis=(1, 2))
    opens = np.where(counts > 0, int(clear), 1)
    ends = np.cumsum(counts + opens)
    message = np.repeat(np.arange(len(vendor_rows)), counts + opens)
    batch = EventBatch.empty(len(message))
    for name in ("ts_event", "ts_recv", "sequence"):
        getattr(batch, name)[:] = getattr(vendor_rows, name)[message]
    batch.prev_sequence[:] = -1
    heads = (ends - counts - opens)[opens > 0]
    batch.kind[heads] = np.where(counts[opens > 0] > 0, int(Kind.CLEAR), int(Kind.MARK))
    listed = np.ones(len(batch), np.bool_)
    listed[heads] = False
    batch.kind[listed] = Kind.SNAPSHOT
    batch.side[listed] = halves + int(Side.BID)
    batch.price[listed] = levels[rows, halves, slots, 0]
    batch.size[listed] = levels[rows, halves, slots, 1]
    nothing = ends[counts == 0] - 1
    batch.prev_sequence[nothing] = batch.sequence[nothing]
    batch.flags[ends - 1] |= int(Flag.LAST)
    return batch
