"""Streams into one order: by ``ts_order``, on a tie as the venue has it, then source order.

Which stream comes first on a tie belongs to the source (``Order``). Rows of the vendor's `book`
go with the stream as vendor rows, which are no events: each stands behind the last message that it
shows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lobproof.replay.clock_kernels import (
    CLOCK,
    CLOCK_STATE,
    NO_OFFSET,
    Timed,
    TimedVendorRows,
    order_times,
)
from lobproof.replay.merge_kernels import Unplaced, interleave, place_vendor_rows, plan_merge
from lobproof.replay.silence_kernels import LEAST_SILENCE_NS
from lobproof.schema import EventBatch, Int64, VendorBatch
from lobproof.schema.batch import Columns, column_names

Array = NDArray[Any]
C = TypeVar("C", bound=Columns)

TOLERANCE_NS = 60_000_000_000
"""An exchange time further than this from the corrected receive time is not believed."""
PLACE_TOLERANCE_NS = 10_000_000_000
"""Ids that would place a vendor row further than this from its time are not believed."""


@dataclass(slots=True)
class Segment:
    """Whole messages, and the vendor rows among them: ``k`` stands before row ``places[k]``."""

    events: EventBatch
    vendor_rows: VendorBatch
    places: Int64

    @classmethod
    def of(cls, events: EventBatch) -> Self:
        """Messages without vendor rows."""
        return cls(events, VendorBatch.empty(), np.empty(0, np.int64))

    @classmethod
    def concat(cls, segments: Sequence[Self]) -> Self:
        """One after the other."""
        if len(segments) == 1:
            return segments[0]
        starts = np.cumsum([0, *(len(segment.events) for segment in segments[:-1])])
        return cls(
            EventBatch.concat([segment.events for segment in segments]),
            VendorBatch.concat([segment.vendor_rows for segment in segments]),
            np.concatenate(
                [one.places + start for one, start in zip(segments, starts, strict=True)]
            ),
        )

    def __len__(self) -> int:
        return len(self.events) + len(self.vendor_rows)

    @property
    def last_ts(self) -> int:
        """``ts_order`` of the last message or vendor row; at least one is needed."""
        ends = [part.ts_order[-1] for part in (self.events, self.vendor_rows) if len(part)]
        return int(max(ends))

    def slice(self, row: int, vendor_row: int, stop: int, until: int) -> Self:
        """Rows ``row:stop`` with vendor rows ``vendor_row:until``."""
        return type(self)(
            self.events.slice(row, stop),
            self.vendor_rows.slice(vendor_row, until),
            self.places[vendor_row:until] - row,
        )

    def after(self, rows: int, vendor_rows: int) -> Self:
        """What is left behind the first rows and vendor rows."""
        return self.slice(rows, vendor_rows, len(self.events), len(self.vendor_rows))

    def copy(self) -> Self:
        """A deep copy."""
        return type(self)(self.events.copy(), self.vendor_rows.copy(), self.places.copy())


class StreamClock:
    """Running clock of one stream: sets ``ts_order`` and flags times that cannot be used.

    Parameters
    ----------
    offset_ns, vendor_offset_ns
        Recorder's clock minus the exchange's, as measured over the input; None where receive times
        cannot be used. VendorRowsOf are of another table, and have their own.
    receive_days
        Days since 1970 that are ordered by the corrected receive time: too many times are missing.
    lag_ns
        How far the stream's exchange times lag behind the other stream's: ``ts_order`` is earlier
        by it, but on the same day.
    """

    def __init__(
        self,
        offset_ns: int | None,
        *,
        vendor_offset_ns: int | None = None,
        receive_days: Sequence[int] = (),
        lag_ns: int = 0,
    ) -> None:
        self._state = np.zeros(CLOCK_STATE, np.int64)
        self._offset, self._vendor_offset = (
            NO_OFFSET if offset is None else offset for offset in (offset_ns, vendor_offset_ns)
        )
        self._receive_days = np.array(receive_days, np.int64)
        self._lag = lag_ns

    def stamp(self, segment: Segment) -> Segment:
        """Set ``ts_order`` and ``BAD_TS`` in place; returns the segment."""
        batch, vendor_rows = segment.events, segment.vendor_rows
        order_times(
            self._state,
            Timed(
                batch.kind,
                batch.flags,
                batch.sequence,
                batch.ts_event,
                batch.ts_recv,
                batch.ts_order,
            ),
            TimedVendorRows(
                segment.places,
                vendor_rows.flags,
                vendor_rows.ts_event,
                vendor_rows.ts_recv,
                vendor_rows.ts_behind,
                vendor_rows.ts_order,
            ),
            self._offset,
            self._vendor_offset,
            TOLERANCE_NS,
            self._receive_days,
            self._lag,
        )
        return segment

    def stamp_by_receive(self, segment: Segment) -> Segment:
        """Set ``ts_order`` of a stream in which no row has a time: by the corrected receive time.

        In place, and flagged by :meth:`stamp` before; returns the segment. A vendor row takes the
        time of the row before it, or of the first.
        """
        batch = segment.events
        if len(batch):
            usable = (batch.ts_recv > 0) & (self._offset != NO_OFFSET)
            known = np.where(usable, batch.ts_recv - self._offset, 0)
            times = np.maximum.accumulate(known)
            times[times == 0] = times[times > 0][0] if times[-1] > 0 else 0
            batch.ts_order[:] = times
            segment.vendor_rows.ts_order[:] = times[np.maximum(segment.places - 1, 0)]
        return segment

    def started(self) -> bool:
        """Whether a row with a time has been seen."""
        return bool(self._state[CLOCK] > 0)

    def save(self) -> dict[str, Int64]:
        """State as arrays; :meth:`load` of it continues exactly here."""
        return {"state": self._state.copy()}

    def load(self, saved: dict[str, Int64]) -> None:
        """Continue from what :meth:`save` returned."""
        self._state[:] = saved["state"]


def stamped(segments: Iterator[Segment], clock: StreamClock) -> Iterator[Segment]:
    """Stretches with ``ts_order`` set; leading rows without a time wait for the first with one.

    Where none comes they take the corrected receive time.
    """
    waiting: list[Segment] = []
    for segment in segments:
        if len(segment) == 0:
            continue
        if clock.started():
            yield clock.stamp(segment)
            continue
        waiting.append(segment)
        joined = Segment.concat(waiting).copy()
        probe = clock.stamp(joined)
        if clock.started():
            waiting = []
            yield probe
    if waiting:
        yield clock.stamp_by_receive(clock.stamp(Segment.concat(waiting).copy()))


@dataclass(slots=True)
class _LastListed:
    """What the last vendor row lists, and since when depth messages change that.

    ``low`` and ``high`` are its lowest and highest price. ``moved_ts``: time of the first message
    behind it that names a price between them, ``last_ts`` of the last message; 0 with none.
    """

    low: int = 1
    high: int = 0
    moved_ts: int = 0
    last_ts: int = 0

    @classmethod
    def of(cls, levels: Int64) -> Self:
        """Of a row of ``VendorBatch.levels``."""
        prices = levels[::2][levels[::2] > 0]
        return cls(int(prices.min()), int(prices.max())) if len(prices) else cls()

    def follow(self, rows: EventBatch) -> None:
        """Depth messages come behind the row; those without a time tell nothing of it."""
        known = rows.ts_event > 0
        if not known.any():
            return
        self.last_ts = int(rows.ts_event[known][-1])
        named = known & (rows.price >= self.low) & (rows.price <= self.high)
        if self.moved_ts == 0 and named.any():
            self.moved_ts = int(rows.ts_event[np.argmax(named)])

    def stale(self) -> list[tuple[int, int]]:
        """From when to when its levels are not the book's any more, where that is long."""
        long = self.moved_ts > 0 and self.last_ts - self.moved_ts > LEAST_SILENCE_NS
        return [(self.moved_ts, self.last_ts)] if long else []


class VendorPlacer:
    """Depth messages with the vendor rows between them, each behind the last that it shows.

    Iterating gives the segments; holds a batch of each side at a time. ``offsets``: the recorder's
    clock minus the exchange's, ns, of the two sides, None where receive times cannot be used.
    """

    def __init__(
        self,
        deltas: Iterator[EventBatch],
        vendor_rows: Iterator[VendorBatch],
        offsets: tuple[int | None, int | None] = (0, 0),
    ) -> None:
        self._deltas = deltas
        self._vendor_rows = vendor_rows
        of_deltas, of_vendor_rows = offsets
        if of_deltas is None or of_vendor_rows is None:
            self._apart = None
        else:
            self._apart = of_deltas - of_vendor_rows
        self._held = Segment.of(EventBatch.empty())
        self._more = [True, True]
        self._outdated = np.empty((0, 2), np.int64)
        self._last = _LastListed()
        self._until = 0  # `Unplaced.outdated` of the vendor row that is held first

    def __iter__(self) -> Iterator[Segment]:
        while True:
            rows, vendor_rows = self._refilled()
            if not len(rows) and not len(vendor_rows):
                return
            places = np.empty(len(vendor_rows), np.int64)
            outdated = np.zeros(len(vendor_rows), np.int64)
            outdated[:1] = self._until
            row, used = place_vendor_rows(
                rows.flags,
                rows.sequence,
                rows.ts_event,
                rows.ts_recv,
                Unplaced(
                    vendor_rows.sequence,
                    vendor_rows.ts_event,
                    self._received(vendor_rows),
                    vendor_rows.flags,
                    places,
                    vendor_rows.ts_behind,
                    outdated,
                ),
                self._more[0],
                self._more[1],
                PLACE_TOLERANCE_NS,
            )
            self._until = int(outdated[used]) if used < len(outdated) else 0
            if outdated[:used].any():
                late = np.flatnonzero(outdated[:used])
                until = outdated[late]
                first = np.minimum(vendor_rows.ts_behind[late], until)
                self._note(list(zip(first.tolist(), until.tolist(), strict=True)))
            whole = Segment(rows, vendor_rows, places)
            self._held = whole.after(row, used)
            placed = whole.slice(0, 0, row, used)
            self._watch(placed)
            yield placed

    def outdated(self) -> Int64:
        """Where what vendor rows list is not the book of their time any more.

        Rows of first and last time, ns, apart and rising. Either a vendor row has an id that is
        over a second older than its time: from the message behind the one that the id names to the
        row's own time. Or no vendor row comes for over 5 s while messages change what the last one
        lists: from the first such message to the last message before the next row.
        """
        self._note(self._last.stale())
        return self._outdated

    def save(self) -> dict[str, Array]:
        """What is held, as arrays; :meth:`load` of it continues exactly here."""
        return {
            **arrays_of(self._held),
            "outdated": self._outdated,
            "last": np.array(astuple(self._last), np.int64),
            "until": np.array([self._until], np.int64),
        }

    def load(self, saved: Mapping[str, Array]) -> None:
        """Continue from what :meth:`save` returned."""
        self._held = segment_of(saved)
        self._outdated = saved["outdated"].astype(np.int64)
        self._last = _LastListed(*saved["last"].tolist())
        (self._until,) = saved["until"].tolist()

    def _note(self, outdated: Sequence[tuple[int, int]]) -> None:
        if outdated:
            all_of_them = np.concatenate([self._outdated, np.array(outdated, np.int64)])
            self._outdated = np.column_stack(united(all_of_them[:, 0], all_of_them[:, 1])[:2])

    def _watch(self, placed: Segment) -> None:
        """Note where no vendor row comes for long while messages change what the last one lists."""
        rows, levels, places = placed.events, placed.vendor_rows.levels, placed.places
        self._last.follow(rows.slice(0, int(places[0]) if len(places) else len(rows)))
        if not len(places):
            return
        stale = self._last.stale()
        starts, stops = places[:-1], places[1:]
        long = np.flatnonzero(stops > starts)
        if len(long):
            # of the runs of messages between two rows most are short, whatever the order of times
            times = rows.ts_event[: int(stops[-1])]
            latest = np.maximum.reduceat(times, starts[long])
            earliest = np.minimum.reduceat(np.where(times > 0, times, latest.max()), starts[long])
            long = long[latest - earliest > LEAST_SILENCE_NS]
        for row in long.tolist():
            last = _LastListed.of(levels[row])
            last.follow(rows.slice(int(starts[row]), int(stops[row])))
            stale += last.stale()
        self._note(stale)
        self._last = _LastListed.of(levels[-1])
        self._last.follow(rows.slice(int(places[-1]), len(rows)))

    def _received(self, vendor_rows: VendorBatch) -> Int64:
        """Receive times by the recorder's clock of the deltas; 0 where that is not known."""
        if self._apart == 0:
            return vendor_rows.ts_recv
        known = (vendor_rows.ts_recv > 0) & (self._apart is not None)
        return np.where(known, vendor_rows.ts_recv + (self._apart or 0), 0)

    def _refilled(self) -> tuple[EventBatch, VendorBatch]:
        rows, vendor_rows = self._held.events, self._held.vendor_rows
        while not len(rows) and self._more[0]:
            batch = next(self._deltas, None)
            self._more[0] = batch is not None
            rows = rows if batch is None else batch
        while not len(vendor_rows) and self._more[1]:
            listed = next(self._vendor_rows, None)
            self._more[1] = listed is not None
            vendor_rows = vendor_rows if listed is None else listed
        return rows, vendor_rows


class Merge:
    """Two stamped streams, the book's and the trades', in the order of ``events``.

    Iterating gives the segments; holds one of each side at a time. ``trade_first``: which of them
    goes first on a tie.
    """

    def __init__(
        self, book: Iterator[Segment], trades: Iterator[Segment], *, trade_first: bool = False
    ) -> None:
        self._sides = (book, trades)
        self._trade_first = trade_first
        self._held = [Segment.of(EventBatch.empty()), Segment.of(EventBatch.empty())]
        self._more = [True, True]

    def __iter__(self) -> Generator[Segment]:
        while True:
            for side in range(2):
                while self._more[side] and not len(self._held[side]):
                    segment = next(self._sides[side], None)
                    self._more[side] = segment is not None
                    self._held[side] = self._held[side] if segment is None else segment
            book, trades = self._held
            if not len(book) and not len(trades):
                return
            merged, row, vendor_row, trade = self._merged(book, trades.events)
            self._held = [book.after(row, vendor_row), trades.after(trade, 0)]
            if len(merged):
                yield merged

    def save(self) -> dict[str, Array]:
        """What is held, as arrays; :meth:`load` of it continues exactly here."""
        return {
            f"{name}.{key}": array
            for name, held in zip(("book", "trades"), self._held, strict=True)
            for key, array in arrays_of(held).items()
        }

    def load(self, saved: Mapping[str, Array]) -> None:
        """Continue from what :meth:`save` returned."""
        self._held = [
            segment_of(
                {key.removeprefix(name): saved[key] for key in saved if key.startswith(name)}
            )
            for name in ("book.", "trades.")
        ]

    def _merged(self, book: Segment, trades: EventBatch) -> tuple[Segment, int, int, int]:
        """What is certain of both, and how many rows, vendor rows and trades that uses."""
        if not len(trades):
            return book, len(book.events), len(book.vendor_rows), 0
        at = np.empty(len(trades), np.int64)
        places = np.empty(len(book.vendor_rows), np.int64)
        row, vendor_row, trade = plan_merge(
            book.events.ts_order,
            book.places,
            book.vendor_rows.ts_order,
            trades.ts_order,
            self._more[0],
            self._more[1],
            self._trade_first,
            at,
            places,
        )
        vendor_rows = book.vendor_rows.slice(0, vendor_row)
        left, right = book.events.slice(0, row), trades.slice(0, trade)
        if not row or not trade:
            alone = right if trade else left
            return Segment(alone, vendor_rows, places[:vendor_row]), row, vendor_row, trade
        columns: list[Array] = []
        for name in column_names(EventBatch):
            one, other = getattr(left, name), getattr(right, name)
            columns.append(np.empty(row + trade, one.dtype))
            interleave(at[:trade], one, other, columns[-1])
        out = EventBatch(*columns)
        return Segment(out, vendor_rows, places[:vendor_row]), row, vendor_row, trade


def united(first: Int64, last: Int64) -> tuple[Int64, Int64, Int64]:
    """The stretches that closed intervals cover together: first, last, and how many make each."""
    rising = np.argsort(first, kind="stable")
    first, reach = first[rising], np.maximum.accumulate(last[rising])
    begins = np.flatnonzero(np.concatenate([[True], first[1:] > reach[:-1]]))
    ends = np.append(begins[1:], len(first))
    return first[begins], reach[ends - 1], ends - begins


def columns_of(batch: Columns, prefix: str) -> dict[str, Array]:
    """A batch's columns by name; :func:`batch_of` makes it again."""
    return {f"{prefix}{name}": getattr(batch, name) for name in column_names(type(batch))}


def batch_of(kind: type[C], saved: Mapping[str, Array], prefix: str) -> C:
    """The batch that :func:`columns_of` wrote down."""
    return kind(*(saved[f"{prefix}{name}"] for name in column_names(kind)))


def arrays_of(segment: Segment) -> dict[str, Array]:
    """A segment as arrays by name; :func:`segment_of` makes it again."""
    return {
        "places": segment.places,
        **columns_of(segment.events, "events."),
        **columns_of(segment.vendor_rows, "vendor_rows."),
    }


def segment_of(saved: Mapping[str, Array]) -> Segment:
    """The segment that :func:`arrays_of` wrote down."""
    return Segment(
        batch_of(EventBatch, saved, "events."),
        batch_of(VendorBatch, saved, "vendor_rows."),
        saved["places"].astype(np.int64),
    )
