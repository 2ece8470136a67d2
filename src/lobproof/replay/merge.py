"""Streams into one order: by ``ts_order``, on a tie as the venue has it, then source order.

Which stream comes first on a tie belongs to the source (``Order``). What a vendor lists of the book
beside its deltas goes with the stream as references, which are no rows: each stands behind the last
message that it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lobproof.replay.clock_kernels import (
    CLOCK,
    CLOCK_STATE,
    NO_OFFSET,
    Timed,
    TimedReferences,
    order_times,
)
from lobproof.replay.merge_kernels import Unplaced, interleave, place_references, plan_merge
from lobproof.schema import EventBatch, Int64, ReferenceBatch
from lobproof.schema.batch import Columns, column_names

Array = NDArray[Any]
C = TypeVar("C", bound=Columns)

TOLERANCE_NS = 60_000_000_000
"""An exchange time further than this from the corrected receive time is not believed."""
PLACE_TOLERANCE_NS = 10_000_000_000
"""Ids that would place a reference further than this from its time are not believed."""


@dataclass(slots=True)
class Stretch:
    """Whole messages, and the references among them: ``k`` stands before row ``places[k]``."""

    events: EventBatch
    references: ReferenceBatch
    places: Int64

    @classmethod
    def of(cls, events: EventBatch) -> Self:
        """Messages without references."""
        return cls(events, ReferenceBatch.empty(), np.empty(0, np.int64))

    @classmethod
    def concat(cls, stretches: Sequence[Self]) -> Self:
        """One after the other."""
        if len(stretches) == 1:
            return stretches[0]
        starts = np.cumsum([0, *(len(stretch.events) for stretch in stretches[:-1])])
        return cls(
            EventBatch.concat([stretch.events for stretch in stretches]),
            ReferenceBatch.concat([stretch.references for stretch in stretches]),
            np.concatenate(
                [one.places + start for one, start in zip(stretches, starts, strict=True)]
            ),
        )

    def __len__(self) -> int:
        return len(self.events) + len(self.references)

    @property
    def last_ts(self) -> int:
        """``ts_order`` of the last message or reference; at least one is needed."""
        ends = [part.ts_order[-1] for part in (self.events, self.references) if len(part)]
        return int(max(ends))

    def slice(self, row: int, reference: int, stop: int, until: int) -> Self:
        """Rows ``row:stop`` with references ``reference:until``."""
        return type(self)(
            self.events.slice(row, stop),
            self.references.slice(reference, until),
            self.places[reference:until] - row,
        )

    def after(self, rows: int, references: int) -> Self:
        """What is left behind the first rows and references."""
        return self.slice(rows, references, len(self.events), len(self.references))

    def copy(self) -> Self:
        """A deep copy."""
        return type(self)(self.events.copy(), self.references.copy(), self.places.copy())


class StreamClock:
    """Running clock of one stream: sets ``ts_order`` and flags times that cannot be used.

    Parameters
    ----------
    offset_ns, reference_offset_ns
        Recorder's clock minus the exchange's, as measured over the input; None where receive times
        cannot be used. References are of another table, and have their own.
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
        reference_offset_ns: int | None = None,
        receive_days: Sequence[int] = (),
        lag_ns: int = 0,
    ) -> None:
        self._state = np.zeros(CLOCK_STATE, np.int64)
        self._offset, self._reference_offset = (
            NO_OFFSET if offset is None else offset for offset in (offset_ns, reference_offset_ns)
        )
        self._receive_days = np.array(receive_days, np.int64)
        self._lag = lag_ns

    def stamp(self, stretch: Stretch) -> Stretch:
        """Set ``ts_order`` and ``BAD_TS`` in place; returns the stretch."""
        batch, references = stretch.events, stretch.references
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
            TimedReferences(
                stretch.places,
                references.flags,
                references.ts_event,
                references.ts_recv,
                references.ts_behind,
                references.ts_order,
            ),
            self._offset,
            self._reference_offset,
            TOLERANCE_NS,
            self._receive_days,
            self._lag,
        )
        return stretch

    def stamp_by_receive(self, stretch: Stretch) -> Stretch:
        """Set ``ts_order`` of a stream in which no row has a time: by the corrected receive time.

        In place, and flagged by :meth:`stamp` before; returns the stretch. A reference takes the
        time of the row before it, or of the first.
        """
        batch = stretch.events
        if len(batch):
            usable = (batch.ts_recv > 0) & (self._offset != NO_OFFSET)
            known = np.where(usable, batch.ts_recv - self._offset, 0)
            times = np.maximum.accumulate(known)
            times[times == 0] = times[times > 0][0] if times[-1] > 0 else 0
            batch.ts_order[:] = times
            stretch.references.ts_order[:] = times[np.maximum(stretch.places - 1, 0)]
        return stretch

    def started(self) -> bool:
        """Whether a row with a time has been seen."""
        return bool(self._state[CLOCK] > 0)

    def save(self) -> dict[str, Int64]:
        """State as arrays; :meth:`load` of it continues exactly here."""
        return {"state": self._state.copy()}

    def load(self, saved: dict[str, Int64]) -> None:
        """Continue from what :meth:`save` returned."""
        self._state[:] = saved["state"]


def stamped(stretches: Iterator[Stretch], clock: StreamClock) -> Iterator[Stretch]:
    """Stretches with ``ts_order`` set; leading rows without a time wait for the first with one.

    Where none comes they take the corrected receive time.
    """
    waiting: list[Stretch] = []
    for stretch in stretches:
        if len(stretch) == 0:
            continue
        if clock.started():
            yield clock.stamp(stretch)
            continue
        waiting.append(stretch)
        joined = Stretch.concat(waiting).copy()
        probe = clock.stamp(joined)
        if clock.started():
            waiting = []
            yield probe
    if waiting:
        yield clock.stamp_by_receive(clock.stamp(Stretch.concat(waiting).copy()))


class Weave:
    """Depth messages with the references between them, each behind the last that it shows.

    Iterating gives the stretches; holds a batch of each side at a time. ``offsets``: the recorder's
    clock minus the exchange's, ns, of the two sides, None where receive times cannot be used.
    """

    def __init__(
        self,
        deltas: Iterator[EventBatch],
        references: Iterator[ReferenceBatch],
        offsets: tuple[int | None, int | None] = (0, 0),
    ) -> None:
        self._deltas = deltas
        self._references = references
        of_deltas, of_references = offsets
        if of_deltas is None or of_references is None:
            self._apart = None
        else:
            self._apart = of_deltas - of_references
        self._held = Stretch.of(EventBatch.empty())
        self._more = [True, True]
        self._outdated = np.empty((0, 2), np.int64)

    def __iter__(self) -> Iterator[Stretch]:
        while True:
            rows, references = self._refilled()
            if not len(rows) and not len(references):
                return
            places = np.empty(len(references), np.int64)
            outdated = np.zeros(len(references), np.int64)
            row, used = place_references(
                rows.flags,
                rows.sequence,
                rows.ts_event,
                rows.ts_recv,
                Unplaced(
                    references.sequence,
                    references.ts_event,
                    self._received(references),
                    references.flags,
                    places,
                    references.ts_behind,
                    outdated,
                ),
                self._more[0],
                self._more[1],
                PLACE_TOLERANCE_NS,
            )
            if outdated[:used].any():
                self._note(references.ts_behind[:used], outdated[:used])
            whole = Stretch(rows, references, places)
            self._held = whole.after(row, used)
            yield whole.slice(0, 0, row, used)

    def outdated(self) -> Int64:
        """Where references have an id that is over a second older than their time.

        Rows of first and last time, ns, apart and rising: from the message behind the one that the
        id names to the reference's own time.
        """
        return self._outdated

    def save(self) -> dict[str, Array]:
        """What is held, as arrays; :meth:`load` of it continues exactly here."""
        return {**arrays_of(self._held), "outdated": self._outdated}

    def load(self, saved: Mapping[str, Array]) -> None:
        """Continue from what :meth:`save` returned."""
        self._held = stretch_of(saved)
        self._outdated = saved["outdated"].astype(np.int64)

    def _note(self, behind: Int64, until: Int64) -> None:
        late = until > 0
        first = np.append(self._outdated[:, 0], np.minimum(behind, until)[late])
        last = np.append(self._outdated[:, 1], until[late])
        self._outdated = np.column_stack(united(first, last)[:2])

    def _received(self, references: ReferenceBatch) -> Int64:
        """Receive times by the recorder's clock of the deltas; 0 where that is not known."""
        if self._apart == 0:
            return references.ts_recv
        known = (references.ts_recv > 0) & (self._apart is not None)
        return np.where(known, references.ts_recv + (self._apart or 0), 0)

    def _refilled(self) -> tuple[EventBatch, ReferenceBatch]:
        rows, references = self._held.events, self._held.references
        while not len(rows) and self._more[0]:
            batch = next(self._deltas, None)
            self._more[0] = batch is not None
            rows = rows if batch is None else batch
        while not len(references) and self._more[1]:
            listed = next(self._references, None)
            self._more[1] = listed is not None
            references = references if listed is None else listed
        return rows, references


class Merge:
    """Two stamped streams, the book's and the trades', in the order of ``events``.

    Iterating gives the stretches; holds one of each side at a time. ``trade_first``: which of them
    goes first on a tie.
    """

    def __init__(
        self, book: Iterator[Stretch], trades: Iterator[Stretch], *, trade_first: bool = False
    ) -> None:
        self._sides = (book, trades)
        self._trade_first = trade_first
        self._held = [Stretch.of(EventBatch.empty()), Stretch.of(EventBatch.empty())]
        self._more = [True, True]

    def __iter__(self) -> Iterator[Stretch]:
        while True:
            for side in range(2):
                while self._more[side] and not len(self._held[side]):
                    stretch = next(self._sides[side], None)
                    self._more[side] = stretch is not None
                    self._held[side] = self._held[side] if stretch is None else stretch
            book, trades = self._held
            if not len(book) and not len(trades):
                return
            merged, row, reference, trade = self._merged(book, trades.events)
            self._held = [book.after(row, reference), trades.after(trade, 0)]
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
            stretch_of(
                {key.removeprefix(name): saved[key] for key in saved if key.startswith(name)}
            )
            for name in ("book.", "trades.")
        ]

    def _merged(self, book: Stretch, trades: EventBatch) -> tuple[Stretch, int, int, int]:
        """What is certain of both, and how many rows, references and trades that uses."""
        if not len(trades):
            return book, len(book.events), len(book.references), 0
        at = np.empty(len(trades), np.int64)
        places = np.empty(len(book.references), np.int64)
        row, reference, trade = plan_merge(
            book.events.ts_order,
            book.places,
            book.references.ts_order,
            trades.ts_order,
            self._more[0],
            self._more[1],
            self._trade_first,
            at,
            places,
        )
        references = book.references.slice(0, reference)
        left, right = book.events.slice(0, row), trades.slice(0, trade)
        if not row or not trade:
            alone = right if trade else left
            return Stretch(alone, references, places[:reference]), row, reference, trade
        columns: list[Array] = []
        for name in column_names(EventBatch):
            one, other = getattr(left, name), getattr(right, name)
            columns.append(np.empty(row + trade, one.dtype))
            interleave(at[:trade], one, other, columns[-1])
        out = EventBatch(*columns)
        return Stretch(out, references, places[:reference]), row, reference, trade


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


def arrays_of(stretch: Stretch) -> dict[str, Array]:
    """A stretch as arrays by name; :func:`stretch_of` makes it again."""
    return {
        "places": stretch.places,
        **columns_of(stretch.events, "events."),
        **columns_of(stretch.references, "references."),
    }


def stretch_of(saved: Mapping[str, Array]) -> Stretch:
    """The stretch that :func:`arrays_of` wrote down."""
    return Stretch(
        batch_of(EventBatch, saved, "events."),
        batch_of(ReferenceBatch, saved, "references."),
        saved["places"].astype(np.int64),
    )
