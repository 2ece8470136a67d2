"""``Feed``: a source's streams, judged and in order, from wherever an earlier run was saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from lobproof.pipeline.told import Row, of_the_day
from lobproof.replay import (
    BookAudit,
    Merge,
    Segment,
    StreamClock,
    TradeAudit,
    VendorPlacer,
    stamped,
)
from lobproof.replay.merge import Array
from lobproof.schema import EventBatch, Finding, Flag, Int64, Order, VendorBatch
from lobproof.stages import each, timed

B = TypeVar("B", EventBatch, VendorBatch)
Open = Callable[[int], Iterator[B]]
"""Opens a stream behind its first rows."""
OpenBoth = Callable[[int, int], tuple[Iterator[EventBatch], Iterator[EventBatch]]]
"""Opens book and trades, each behind its first rows."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Where a feed comes from. Each stream is opened at a number of rows that are not wanted.

    ``both`` opens book and trades; with ``by_message`` its first number is one of messages, where
    the source has one row for each. ``offsets``: the recorder's clock minus the exchange's, ns, of
    the three streams (book, trades, vendor rows), None where receive times cannot be used; on
    ``receive_days`` (days since 1970) these give the order. ``order``: how the venue's streams
    become one.
    """

    both: OpenBoth
    vendor_rows: Open[VendorBatch] | None
    offsets: tuple[int | None, int | None, int | None]
    receive_days: Sequence[int] = ()
    by_message: bool = False
    order: Order = field(default_factory=Order)


class _Counted(Iterator[B], Generic[B]):
    """A stream, and how many rows of its source have been taken."""

    def __init__(self, batches: Iterator[B], start: int, count: Callable[[B], int] = len) -> None:
        self.rows = start
        self._count: Callable[[B], int] = count
        self._batches: Iterator[B] = batches

    def __next__(self) -> B:
        # where no thread reads ahead, this is when it is decoded
        batch = timed("wait", lambda: next(self._batches))
        self.rows += self._count(batch)
        return batch

    def close(self) -> None:
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()


class Feed:
    """Iterating gives the segments of a task, in the order of ``events``.

    Parameters
    ----------
    streams
        The source.
    saved
        What :meth:`save` of a former feed of the same source gave; it is gone on from there.
    """

    def __init__(self, streams: Streams, saved: Mapping[str, Array] | None = None) -> None:
        rows = dict.fromkeys(("book", "trades", "vendor_rows"), 0)
        if saved is not None:
            rows = {name: int(saved[f"rows.{name}"][0]) for name in rows}
        count = _messages if streams.by_message else len
        book, trades = streams.both(rows["book"], rows["trades"])
        vendor_rows = (streams.vendor_rows or _none)(rows["vendor_rows"])
        self._book = _Counted(book, rows["book"], count)
        self._trades = _Counted(trades, rows["trades"])
        self._vendor_rows = _Counted(vendor_rows, rows["vendor_rows"])
        book_audit, trade_audit = BookAudit(), TradeAudit()
        order, days = streams.order, streams.receive_days
        self._trade_audit = trade_audit
        of_book, of_trades, of_vendor_rows = streams.offsets
        clocks = [
            StreamClock(
                of_book,
                vendor_offset_ns=of_vendor_rows,
                receive_days=days,
                lag_ns=order.lag_ns,
            ),
            StreamClock(of_trades, receive_days=days),
        ]
        judged = (book_audit.process(batch) for batch in self._book)
        audited = (Segment.of(trade_audit.process(batch)) for batch in self._trades)
        placer = self._placer = VendorPlacer(judged, self._vendor_rows, (of_book, of_vendor_rows))
        self._merge = Merge(
            stamped(iter(placer), clocks[0]),
            stamped(audited, clocks[1]),
            trade_first=order.first_on_tie == "trade",
        )
        self._parts: dict[str, Any] = {
            "book_audit": book_audit,
            "trade_audit": trade_audit,
            "book_clock": clocks[0],
            "trade_clock": clocks[1],
            "placer": placer,
            "merge": self._merge,
        }
        for name, part in self._parts.items() if saved is not None else ():
            start = f"{name}/"
            part.load({k[len(start) :]: v for k, v in (saved or {}).items() if k.startswith(start)})

    def __iter__(self) -> Iterator[Segment]:
        return each("order", iter(self._merge), len)

    @property
    def rows(self) -> int:
        """Rows of the source that have been taken."""
        return self._book.rows + self._trades.rows + self._vendor_rows.rows

    def save(self) -> dict[str, Array]:
        """The state behind the last segment that was given, as arrays."""
        saved = {
            f"{name}/{key}": array
            for name, part in self._parts.items()
            for key, array in part.save().items()
        }
        for name, stream in (
            ("book", self._book),
            ("trades", self._trades),
            ("vendor_rows", self._vendor_rows),
        ):
            saved[f"rows.{name}"] = np.array([stream.rows], np.int64)
        return saved

    def told(self) -> list[Row]:
        """What the trades' ids tell of the whole day, of a feed that has been taken to its end."""
        without, missing = self._trade_audit.lacking()
        found = ((2, without), (3, missing))
        return [of_the_day(Finding.TRADES_ABSENT, count, why) for why, count in found if count]

    def outdated(self) -> Int64:
        """Times, first and last, where `book` is older than the deltas: `VendorPlacer.outdated`."""
        return self._placer.outdated()

    def close(self) -> None:
        """End the threads that read ahead."""
        for stream in (self._book, self._trades, self._vendor_rows):
            stream.close()


def apart(book: Open[EventBatch], trades: Open[EventBatch]) -> OpenBoth:
    """Book and trades of a source that reads each by itself."""
    return lambda behind_book, behind_trades: (book(behind_book), trades(behind_trades))


def _messages(batch: EventBatch) -> int:
    return int(np.count_nonzero(batch.flags & Flag.LAST))


def _none(_: int) -> Iterator[VendorBatch]:
    return iter(())
