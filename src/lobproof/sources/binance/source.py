"""``GoldenSource``: a golden sample's journals as streams of batches."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lobproof.errors import InputError
from lobproof.instruments import Instrument
from lobproof.schema import Clock, EventBatch, Flag
from lobproof.sources.batches import TickerBatch, Together, cut, message_ends, row_ends
from lobproof.sources.binance.backfill import Answers, Weave, within
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.rows import (
    Snapshot,
    book_batch,
    new_passed,
    snapshots_in,
    ticker_batch,
    trade_batch,
)
from lobproof.sources.binance.scan_kernels import (
    AGGREGATE,
    DEPTH,
    IRREGULAR,
    SNAPSHOT,
    TICKER,
    TRADE,
)
from lobproof.sources.binance.scanner import Block, Scanner
from lobproof.sources.binance.venue import order_of
from lobproof.sources.golden import DOCUMENT, GoldenSample, remedy

BATCH_ROWS = 1 << 16
KINDS = {
    "depth": DEPTH,
    "trade": TRADE,
    "aggTrade": AGGREGATE,
    "bookTicker": TICKER,
    "snapshot": SNAPSHOT,
}
"""Counts of the sample's document → the kind of the messages that they count."""


class GoldenSource:
    """The book, the trades and the tickers of a golden sample, each a pass, or book and trades one.

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
    backfilled
        Whether trades that REST brought of a gap stand among those that were received.
    """

    def __init__(
        self, sample: GoldenSample, *, book_clock: Clock | None = None, backfilled: bool = True
    ) -> None:
        self.sample = sample
        self._backfilled = backfilled
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
        return cut((book for book, _ in self._parts((DEPTH,))), batch_rows, message_ends)

    def trades(self, batch_rows: int = BATCH_ROWS) -> Iterator[EventBatch]:
        """Trades in source order: raw ones or, where the recording has only those, aggregates.

        ``ts_event`` is the trade's time. A trade that REST brought of a gap (``BACKFILLED``) stands
        before the first whose id is beyond its own, without a receive time. Errors as for
        :meth:`book`.
        """
        parts = self._parts((self._trade_kind,))
        return cut((trades for _, trades in parts), batch_rows, message_ends)

    def both(
        self, skipped: tuple[int, int] = (0, 0), batch_rows: int = BATCH_ROWS
    ) -> tuple[Iterator[EventBatch], Iterator[EventBatch]]:
        """:meth:`book` and :meth:`trades` out of one pass, each without its first rows.

        For a reader that takes both in the order of their times: see `Together`.
        """
        together = Together(
            _gathered(self._parts((DEPTH, self._trade_kind)), batch_rows),
            (lambda: self.book(batch_rows), lambda: self.trades(batch_rows)),
            skipped,
        )
        book, trades = (
            chain.from_iterable(cut(iter([batch]), batch_rows, message_ends) for batch in stream)
            for stream in together.streams
        )
        return book, trades

    def tickers(self, batch_rows: int = BATCH_ROWS) -> Iterator[TickerBatch]:
        """Best bid and ask as announced, in source order. Errors as for :meth:`book`."""

        def batches() -> Iterator[TickerBatch]:
            for block in self.blocks((TICKER,)):
                yield ticker_batch(block, self.instrument)

        return cut(batches(), batch_rows, row_ends)

    @property
    def _trade_kind(self) -> int:
        return TRADE if self.sample.document["trade_stream"] == "trade" else AGGREGATE

    def _parts(self, wanted: tuple[int, ...]) -> Iterator[tuple[EventBatch, EventBatch]]:
        """Book and trades of each frame, empty where they are not wanted; snapshots in between."""
        with_book = DEPTH in wanted
        snapshots = self._snapshots() if with_book else []
        pending = deque(sorted(snapshots, key=lambda snapshot: snapshot.sequence))
        passed = new_passed()
        brought = self.brought() if self._trade_kind in wanted else EventBatch.empty()
        weave = Weave(brought.sequence)
        reached = -1
        none = EventBatch.empty()
        for block in self.blocks(wanted):
            book = trades = none
            if self._trade_kind in wanted:
                trades = trade_batch(block, self._trade_kind, self.instrument, passed)
                if weave.left:
                    kinds = block.messages["kind"]
                    weave.pass_over(block.messages[kinds == self._trade_kind])
                if weave.left and len(trades):
                    order, some = weave.order(trades.sequence)
                    between = brought.slice(*some)
                    between.prev_sequence[:] = weave.previous(between.sequence)
                    trades = EventBatch.concat([trades, between]).take(order)
            if with_book:
                book = book_batch(block, self.instrument, self.order.book_clock)
            if len(book):
                highest = np.maximum.accumulate(np.maximum(book.sequence, reached))
                reached = int(highest[-1])
                start = 0
                while pending and reached > pending[0].sequence:
                    stop = int(np.searchsorted(highest, pending[0].sequence, side="right"))
                    yield book.slice(start, stop), none
                    yield pending.popleft().rows(), none
                    start = stop
                book = book.slice(start, len(book))
            yield book, trades
        for snapshot in pending:
            yield snapshot.rows(), none
        if weave.left:
            self._check_count(
                str(self.sample.path),
                "backfilled trades before a received one",
                len(brought) - weave.left,
                len(brought),
            )

    def answers(self) -> Answers:
        """Trades of REST's answers, all of them, in the order of the journals.

        Errors as for :meth:`book`; an answer that cannot be read is counted.
        """
        told: dict[str, Any] | None = self.sample.document.get("backfill")
        found = Answers(self.instrument)
        for path in self.sample.journals:
            left = None if told is None else int(told["answers"].get(path.name, 0))
            if left == 0:
                continue
            for block in self._frames(path, Scanner(self.instrument.venue_symbol, ())):
                found.take(block)
                if found.lines[path.name] == left:
                    break
            if left is not None:
                self._check_count(str(path), "answers", found.lines[path.name], left)
        return found

    def brought(self) -> EventBatch:
        """The trades of REST's answers that the document places among the others, by id.

        Errors as for :meth:`book`.
        """
        told: dict[str, Any] | None = self.sample.document.get("backfill")
        if told is None or not told["placed"] or not self._backfilled:
            return EventBatch.empty()
        trades = self.answers().trades()
        ids, first = np.unique(trades.sequence, return_index=True)
        placed = trades.take(first[within(ids, np.array(told["placed"], np.int64))])
        self._check_count(
            str(self.sample.path), "backfilled trades", len(placed), int(told["backfilled"])
        )
        if not told["microseconds"]:
            placed.flags &= ~int(Flag.COARSE_TS)
        return placed

    def blocks(self, wanted: tuple[int, ...]) -> Iterator[Block]:
        """Scanned frames of all journals, which are held against the document's counts."""
        read: Counter[str] = Counter()
        for path, entry in zip(self.sample.journals, self.sample.document["journals"], strict=True):
            lines = 0
            for block in self._frames(path, Scanner(self.instrument.venue_symbol, wanted)):
                lines += len(block.ends)
                yield block
                count_messages(block, read)
            if lines != entry["lines"]:
                raise InputError(
                    f"{path} has {lines:,} lines, {DOCUMENT} lists {entry['lines']:,}",
                    hint=remedy(self.sample.path),
                )
        counts = self.sample.document["counts"]
        names = [name for name, kind in KINDS.items() if kind in (*wanted, SNAPSHOT)]
        for what in [*names, "level_changes"] if DEPTH in wanted else names:
            self._check_count(str(self.sample.path), what, read[what], int(counts[what]))

    def _frames(self, path: Path, scanner: Scanner) -> Iterator[Block]:
        """Scanned frames of a journal."""
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

    def _check_count(self, where: str, what: str, read: int, listed: int) -> None:
        if read != listed:
            raise InputError(
                f"{where}: its journals hold {what} {read:,}, {DOCUMENT} lists {listed:,}",
                hint=remedy(self.sample.path),
            )

    def _snapshots(self) -> list[Snapshot]:
        """All snapshots that can be of this symbol, from the frames up to the last that is listed.

        That there are no others the pass over the depth messages finds.
        """
        foreign = self.sample.snapshots_of_nobody
        limit = self.sample.snapshot_limit
        listed = Counter(str(one["journal"]) for one in self.sample.document["snapshots"])
        ours = {str(one["journal"]) for one in self.sample.document["snapshots"] if one["ours"]}
        found: list[Snapshot] = []
        for path in self.sample.journals:
            left = listed[path.name] if path.name in ours else 0
            frames = self._frames(path, Scanner(self.instrument.venue_symbol, (SNAPSHOT,)))
            while left > 0 and (block := next(frames, None)) is not None:
                here = list(snapshots_in(block, self.instrument, limit))
                left -= len(here)
                found += here
            if left:
                self._check_count(
                    str(path), "snapshot", listed[path.name] - left, listed[path.name]
                )
        return [one for one in found if (one.sequence, one.recv) not in foreign]


def _gathered(
    parts: Iterator[tuple[EventBatch, EventBatch]], rows: int
) -> Iterator[tuple[EventBatch, EventBatch]]:
    """The same, of so many rows and more together."""
    held: list[tuple[EventBatch, EventBatch]] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part[0]) + len(part[1])
        if count >= rows:
            yield _joined(held)
            held, count = [], 0
    if held:
        yield _joined(held)


def _joined(parts: list[tuple[EventBatch, EventBatch]]) -> tuple[EventBatch, EventBatch]:
    return EventBatch.concat([book for book, _ in parts]), EventBatch.concat(
        [trades for _, trades in parts]
    )


def count_messages(block: Block, read: Counter[str]) -> None:
    """Count a block's messages by kind, and the levels of its depth messages."""
    kinds = np.ascontiguousarray(block.messages["kind"])
    counts = np.bincount(kinds, minlength=IRREGULAR)
    for name, kind in KINDS.items():
        read[name] += int(counts[kind])
    depth = kinds == DEPTH
    for side in ("bids", "asks"):
        read["level_changes"] += int(block.messages[side][depth].sum())
