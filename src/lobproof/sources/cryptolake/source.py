"""``LakeSource``: the files of one symbol-day as streams of batches, each from any row on."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lobproof.instruments import Instrument
from lobproof.readahead import read_ahead
from lobproof.schema import LEVELS, EventBatch, Flag, Kind, Side, VendorBatch
from lobproof.sources.cryptolake.decode import BATCH_ROWS, BOOK_ROWS, books, deltas, trades


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
