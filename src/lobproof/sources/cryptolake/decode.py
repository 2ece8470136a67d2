"""Crypto Lake's files to streams: floats to counts, times to the microsecond, messages whole."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

import numpy as np

from lobproof.documents import QUOTED
from lobproof.errors import GridError, InputError, UsageError, shown
from lobproof.fixedpoint import OK, grid_error
from lobproof.instruments import Instrument
from lobproof.readahead import read_ahead
from lobproof.schema import LEVELS, EventBatch, Flag, Kind, Side, VendorBatch
from lobproof.schema.records import zeroed
from lobproof.sources.batches import cut, row_ends
from lobproof.sources.cryptolake.chunks import (
    BOOK_CHUNK_ROWS,
    CHUNK_ROWS,
    Chunk,
    bitmap,
    chunks,
    first_null,
    floats,
    ids,
    integers,
    takers,
)
from lobproof.sources.cryptolake.decode_kernels import (
    FILL,
    IN_SIZE,
    NEGATIVE,
    NO_SIDE,
    NOT_FINITE,
    NOT_POSITIVE,
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

BATCH_ROWS = 1 << 16
BOOK_ROWS = 1 << 12
MESSAGE_ROWS = 1 << 20
"""Rows of one sequence number that are a message; more are a feed without such numbers."""
_ROOM = 1 << 12  # for the last message of a batch; more is made where it is longer
_FAULTS = {
    NOT_FINITE: "is no number",
    NOT_POSITIVE: "is not above 0",
    NEGATIVE: "is below 0",
}
_REFUSED = "`lobproof acquire validate` tells what else is wrong with the file"

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
        For a price, size or side that is null, not finite, of the wrong sign or beyond the grid,
        naming file and row.
    InputError
        When a file cannot be read, is not this table, or has no sequence number in a row, or one
        in more than ``MESSAGE_ROWS``.
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

    Raises
    ------
    GridError
        For a price or amount that is null, not finite, not above 0, or beyond the grid.
    InputError
        As :func:`deltas`, and for a side that is neither ``buy`` nor ``sell``.
    UsageError
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
    NaN or 0 is empty. Parameters as for :func:`deltas`.

    Raises
    ------
    GridError
        For any other price or size that is not finite, below 0, or beyond the grid.
    InputError, UsageError
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
    used = start_row
    batch, state = _empty(batch_rows + _ROOM), zeroed(FILL)[0]
    needed = ("sequence_number", "side_is_bid", "price", "size")
    columns = COLUMNS["book_delta_v2"]
    for chunk in chunks("book_delta_v2", paths, columns, CHUNK_ROWS, start_row):
        good, null = first_null(chunk, needed)
        bids, bit = bitmap(chunk, "side_is_bid")
        source = DeltaColumns(
            integers(chunk, "timestamp", 0),
            integers(chunk, "receipt_timestamp", 0),
            integers(chunk, "sequence_number", 0),
            bids,
            bit,
            floats(chunk, "price"),
            floats(chunk, "size"),
        )
        row = 0
        while row < good:
            row, status = append_deltas(
                state,
                row,
                good,
                source,
                instrument.price_exponent,
                instrument.size_exponent,
                batch_rows,
                MESSAGE_ROWS,
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
            if row < good:
                if state.first == state.filled:
                    rows = int(state.filled)
                    used += rows
                    yield Decoded(batch.slice(0, rows), used)
                    batch = _empty(batch_rows + _ROOM)
                    state.filled = state.first = 0
                else:
                    batch = EventBatch.concat([batch, _empty(len(batch))])
        if good < len(chunk):
            raise _null(chunk, good, null)
    if state.filled:
        first, rows = int(state.first), int(state.filled)
        close_message(first, rows, batch.side, batch.price, batch.size, batch.flags)
        yield Decoded(batch.slice(0, rows), used + rows)


def _empty(rows: int) -> EventBatch:
    batch = EventBatch.empty(rows)
    batch.prev_sequence.fill(-1)
    batch.kind.fill(Kind.DELTA)
    return batch


def _trades(
    paths: Sequence[Path], instrument: Instrument, batch_rows: int, start_row: int
) -> Generator[EventBatch]:
    rows = min(batch_rows, CHUNK_ROWS)
    for chunk in chunks("trades", paths, COLUMNS["trades"], rows, start_row):
        good, null = first_null(chunk, ("price", "amount"))
        batch = EventBatch.empty(len(chunk))
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
            batch.rows,
            batch.ts_recv,
        )
        if status == NO_SIDE:
            side = shown(repr(chunk.columns["side"][row].as_py()), QUOTED)
            raise InputError(
                f"{chunk.where(row)}: a trade's side is {side}, neither buy nor sell",
                hint=_REFUSED,
            )
        if status != OK and row == good:
            raise _null(chunk, good, null)
        if status != OK:
            _fail(chunk, row, status, instrument, "price", "amount")
        batch.sequence[:] = ids(chunk)
        batch.prev_sequence.fill(-1)
        batch.kind.fill(Kind.TRADE)
        batch.flags.fill(Flag.LAST)
        yield batch


def _books(
    paths: Sequence[Path], instrument: Instrument, batch_rows: int, start_row: int
) -> Generator[VendorBatch]:
    rows = min(batch_rows, BOOK_CHUNK_ROWS)
    for chunk in chunks("book", paths, COLUMNS["book"], rows, start_row):
        good, null = first_null(chunk, ("sequence_number",))
        batch = VendorBatch.empty(len(chunk))
        write_times(integers(chunk, "timestamp", 0), batch.ts_event)
        write_times(integers(chunk, "receipt_timestamp", 0), batch.ts_recv)
        batch.sequence[:] = integers(chunk, "sequence_number", 0)
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
        if bad is not None and bad[0] < good:
            names = LEVEL_COLUMNS[bad[1] : bad[1] + 2]
            _fail(chunk, bad[0], bad[2], instrument, *names)
        if good < len(chunk):
            raise _null(chunk, good, null)
        yield batch


def _joined(parts: Generator[B], batch_rows: int, start_row: int) -> Generator[Decoded[B]]:
    """The rows of ``parts``, none of them longer than ``batch_rows``, in batches of that many."""
    used = start_row
    for batch in cut(parts, batch_rows, row_ends):
        used += len(batch)
        yield Decoded(batch, used)


def _null(chunk: Chunk, row: int, raw: str) -> GridError | InputError:
    kind = InputError if raw == "sequence_number" else GridError
    return kind(f"{chunk.where(row)}: {raw} is null", hint=_REFUSED)


def _fail(
    chunk: Chunk, row: int, status: int, instrument: Instrument, price: str, size: str
) -> NoReturn:
    """Raise what a kernel could only number."""
    raw, exponent = price, instrument.price_exponent
    if status >= IN_SIZE:
        raw, exponent, status = size, instrument.size_exponent, status - IN_SIZE
    value = chunk.columns[raw][row].as_py()
    if status in _FAULTS:
        raise GridError(f"{chunk.where(row)}: {raw} {value!r} {_FAULTS[status]}", hint=_REFUSED)
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
        for one in read_ahead(decoded):
            yield one.batch

    def trades(self, start: int = 0) -> Generator[EventBatch]:
        """Rows of ``trades``, each a message."""
        files = self._paths.get("trades", ())
        decoded = trades(files, self._instrument, self._batch_rows, start_row=start)
        for one in read_ahead(decoded):
            yield one.batch

    def books(self, start: int = 0) -> Generator[VendorBatch]:
        """Rows of ``book``."""
        rows = min(BOOK_ROWS, self._batch_rows)
        decoded = books(self._paths.get("book", ()), self._instrument, rows, start_row=start)
        for one in read_ahead(decoded):
            yield one.batch


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
