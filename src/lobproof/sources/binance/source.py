"""``GoldenSource``: a golden sample's journals as streams of batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lobproof.instruments import Instrument
from lobproof.schema import Clock, EventBatch, Finding, Flag, Kind
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
from lobproof.sources.golden import GoldenSample, InputFinding

BATCH_ROWS = 1 << 16
_BROKEN = int(Flag.INVALID | Flag.RECONNECT | Flag.LAST)


class GoldenSource:
    """The book, the trades and the tickers of a golden sample, each an independent pass.

    Every message of the recording is given, in source order: duplicates, late ones and those
    before the snapshot too; judging them is replay's. Memory is bounded by a journal frame, a
    batch and the snapshots.

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
        self._met: dict[tuple[str, int], InputFinding] = {}

    @property
    def findings(self) -> list[InputFinding]:
        """What was wrong with the input, and what passes so far met in the journals."""
        return [*self.sample.findings(), *self._met.values()]

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
            When a journal is missing or not what the sample's document says.
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
                if isinstance(block, Block):
                    yield trade_batch(block, kind, self.instrument, passed)

        return cut(batches(), batch_rows, message_ends)

    def tickers(self, batch_rows: int = BATCH_ROWS) -> Iterator[TickerBatch]:
        """Best bid and ask as announced, in source order. Errors as for :meth:`book`."""

        def batches() -> Iterator[TickerBatch]:
            for block in self._blocks((TICKER,)):
                if isinstance(block, Block):
                    yield ticker_batch(block, self.instrument)

        return cut(batches(), batch_rows, row_ends)

    def _blocks(
        self, wanted: tuple[int, ...], only: Collection[str] | None = None
    ) -> Iterator[Block | Loss]:
        """Scanned frames of the journals (all, or those named), and what is lost between them."""
        scanner = Scanner(self.instrument.venue_symbol, wanted)
        for path in self.sample.journals:
            if only is not None and path.name not in only:
                continue
            line = 1
            for frame in read_frames(path):
                if isinstance(frame, Loss):
                    self._note_loss(frame, line - 1)
                    yield frame
                    continue
                block = scanner.scan(frame, path.name, line)
                for row, problem in block.problems.items():
                    number = line + row
                    detail = f"{problem.reason}: {problem.detail}"
                    self._met[path.name, number] = InputFinding(
                        Finding.INVALID_INPUT, 1, detail, path.name, number
                    )
                line += len(block.ends)
                yield block

    def _note_loss(self, loss: Loss, line: int) -> None:
        detail = (
            f"{loss.bytes} bytes of the journal from byte {loss.offset} on, behind line "
            f"{line}, cannot be read: {loss.detail}"
        )
        self._met[loss.name, -loss.offset] = InputFinding(
            Finding.TRUNCATED_INPUT, 1, detail, loss.name, line
        )

    def _book(self) -> Iterator[EventBatch]:
        pending = sorted(self._snapshots(), key=lambda snapshot: snapshot.sequence)
        reached = -1
        recv = 0
        for block in self._blocks((DEPTH,)):
            if isinstance(block, Loss):
                yield _broken(recv)
                continue
            batch = book_batch(block, self.instrument, self.order.book_clock)
            if not len(batch):
                continue
            highest = np.maximum.accumulate(np.maximum(batch.sequence, reached))
            start = 0
            recv = int(batch.ts_recv[-1])
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
            if isinstance(block, Block)
            for snapshot in snapshots_in(block, self.instrument, limit)
            if (snapshot.sequence, snapshot.recv) not in foreign
        ]


def _broken(recv: int) -> EventBatch:
    """The mark that stands for a part of a journal that could not be read."""
    batch = EventBatch.empty(1)
    batch.ts_recv[:] = recv
    batch.sequence[:] = batch.prev_sequence[:] = -1
    batch.kind[:] = Kind.MARK
    batch.flags[:] = _BROKEN
    return batch
