"""``GoldenSource``: a golden sample's journals as streams of batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lobproof.errors import InputError
from lobproof.instruments import Instrument
from lobproof.schema import Clock, EventBatch
from lobproof.sources.batches import TickerBatch, cut, message_ends, row_ends
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.profile import order_of
from lobproof.sources.binance.rows import (
    Snapshot,
    book_batch,
    new_passed,
    snapshots_in,
    ticker_batch,
    trade_batch,
)
from lobproof.sources.binance.scan_kernels import AGGREGATE, DEPTH, SNAPSHOT, TICKER, TRADE
from lobproof.sources.binance.scanner import Block, Scanner
from lobproof.sources.golden import DOCUMENT, GoldenSample, remedy

BATCH_ROWS = 1 << 16
_KINDS = {
    "depth": DEPTH,
    "trade": TRADE,
    "aggTrade": AGGREGATE,
    "bookTicker": TICKER,
    "snapshot": SNAPSHOT,
}
"""Counts of the sample's document → the kind of the messages that they count."""


class GoldenSource:
    """The book, the trades and the tickers of a golden sample, each an independent pass.

    Every message of the recording is given, in source order: duplicates, late ones and those
    before the snapshot too; judging them is replay's. Memory is bounded by a journal frame, a
    batch and the snapshots. Each pass is held against the counts of the sample's document: what
    the importer wrote can be read whole, and what cannot was changed since.

    Parameters
    ----------
    sample
        A golden sample.
    book_clock
        Which time of a depth message is its ``ts_event``; None: as its market has it.
    """

    def __init__(self, sample: GoldenSample, *, book_clock: Clock | None = None) -> None:
        self.sample = sample
        order = order_of(sample.instrument.exchange)
        self.order = order if book_clock is None else replace(order, book_clock=book_clock)
        self.instrument: Instrument = sample.instrument
        self.provenance: str = sample.provenance
        self.inputs: list[dict[str, Any]] = sample.inputs
        self.clock_offset_ns: int = sample.clock_offset_ns

    def book(self, batch_rows: int = BATCH_ROWS) -> Iterator[EventBatch]:
        """Depth messages in source order, snapshots in their places, marks for what is unreadable.

        A snapshot stands behind the last depth message whose id, and the ids of all before it,
        are at or below its own. Batches hold whole messages and close at the first message end at
        or after ``batch_rows`` rows.

        Raises
        ------
        GridError
            For a number that the instrument's grid cannot hold, naming journal and line.
        InputError
            When a journal is missing, or holds something else than the sample's document says.
        """
        return cut(self._book(), batch_rows, message_ends)

    def trades(self, batch_rows: int = BATCH_ROWS) -> Iterator[EventBatch]:
        """Trades in source order: raw ones or, where the recording has only those, aggregates.

        ``ts_event`` is the trade's time. Errors as for :meth:`book`.
        """
        kind = TRADE if self.sample.document["trade_stream"] == "trade" else AGGREGATE

        def batches() -> Iterator[EventBatch]:
            passed = new_passed()
            for block in self._blocks((kind,)):
                yield trade_batch(block, kind, self.instrument, passed)

        return cut(batches(), batch_rows, message_ends)

    def tickers(self, batch_rows: int = BATCH_ROWS) -> Iterator[TickerBatch]:
        """Best bid and ask as announced, in source order. Errors as for :meth:`book`."""

        def batches() -> Iterator[TickerBatch]:
            for block in self._blocks((TICKER,)):
                yield ticker_batch(block, self.instrument)

        return cut(batches(), batch_rows, row_ends)

    def _blocks(
        self, wanted: tuple[int, ...], only: Collection[str] | None = None
    ) -> Iterator[Block]:
        """Scanned frames of the journals: of all, or of those named."""
        scanner = Scanner(self.instrument.venue_symbol, wanted)
        read: Counter[str] = Counter()
        for path, entry in zip(self.sample.journals, self.sample.document["journals"], strict=True):
            if only is not None and path.name not in only:
                continue
            line = 1
            for frame in read_frames(path):
                if isinstance(frame, Loss):
                    raise InputError(
                        f"{path}: {frame.bytes:,} bytes from byte {frame.offset:,} on, behind line "
                        f"{line - 1:,}, cannot be read: {frame.detail}",
                        hint=remedy(self.sample.path),
                    )
                block = scanner.scan(frame, path.name, line)
                if block.problems:
                    row, problem = next(iter(block.problems.items()))
                    raise InputError(
                        f"{path}, line {line + row:,} cannot be read: {problem.reason}: "
                        f"{problem.detail}",
                        hint=remedy(self.sample.path),
                    )
                line += len(block.ends)
                yield block
                _count(block, read)
            if line - 1 != entry["lines"]:
                raise InputError(
                    f"{path} has {line - 1:,} lines, {DOCUMENT} lists {entry['lines']:,}",
                    hint=remedy(self.sample.path),
                )
        for what, count in self._listed(wanted, only).items():
            if read[what] != count:
                raise InputError(
                    f"{self.sample.path}: its journals hold {what} {read[what]:,}, {DOCUMENT} "
                    f"lists {count:,}",
                    hint=remedy(self.sample.path),
                )

    def _listed(self, wanted: tuple[int, ...], only: Collection[str] | None) -> dict[str, int]:
        """How many messages the document lists for a pass; of depth messages their levels too."""
        document = self.sample.document
        if only is not None:
            return {"snapshot": sum(one["journal"] in only for one in document["snapshots"])}
        names = [name for name, kind in _KINDS.items() if kind in wanted]
        names += ["level_changes"] if DEPTH in wanted else []
        return {name: int(document["counts"][name]) for name in names}

    def _book(self) -> Iterator[EventBatch]:
        pending = sorted(self._snapshots(), key=lambda snapshot: snapshot.sequence)
        reached = -1
        for block in self._blocks((DEPTH,)):
            batch = book_batch(block, self.instrument, self.order.book_clock)
            if not len(batch):
                continue
            highest = np.maximum.accumulate(np.maximum(batch.sequence, reached))
            start = 0
            while pending and highest[-1] > pending[0].sequence:
                stop = int(np.searchsorted(highest, pending[0].sequence, side="right"))
                yield batch.slice(start, stop)
                yield pending.pop(0).rows()
                start = stop
            yield batch.slice(start, len(batch))
            reached = int(highest[-1])
        for snapshot in pending:
            yield snapshot.rows()

    def _snapshots(self) -> list[Snapshot]:
        """All snapshots that can be of this symbol, read in a pass of their own."""
        listed = self.sample.document["snapshots"]
        foreign = self.sample.snapshots_of_nobody
        journals = {str(s["journal"]) for s in listed if s["ours"]}
        limit = self.sample.snapshot_limit
        return [
            snapshot
            for block in self._blocks((SNAPSHOT,), journals)
            for snapshot in snapshots_in(block, self.instrument, limit)
            if (snapshot.sequence, snapshot.recv) not in foreign
        ]


def _count(block: Block, read: Counter[str]) -> None:
    """Count a block's messages by kind, and the levels of its depth messages."""
    kinds = block.messages["kind"]
    for name, kind in _KINDS.items():
        read[name] += int(np.count_nonzero(kinds == kind))
    depth = block.messages[kinds == DEPTH]
    read["level_changes"] += int(depth["bids"].sum() + depth["asks"].sum())
