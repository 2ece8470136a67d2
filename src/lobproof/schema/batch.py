"""``EventBatch``: the one currency between a source and a sink, and the states beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lobproof.schema.codes import LEVELS, Kind
from lobproof.schema.times import show_ns

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int8 = NDArray[np.int8]


_GETTERS: dict[type[Columns], Callable[[Columns], tuple[NDArray[Any], ...]]] = {}


def column_names(kind: type[Columns]) -> tuple[str, ...]:
    """Names of a batch's columns, in order."""
    return tuple(field.name for field in fields(kind))


def _columns(batch: Columns) -> tuple[NDArray[Any], ...]:
    """A batch's columns, in order; one look-up each takes longer than a slice."""
    kind = type(batch)
    if kind not in _GETTERS:
        _GETTERS[kind] = attrgetter(*column_names(kind))
    return _GETTERS[kind](batch)


@dataclass(slots=True)
class Columns:
    """Columns of equal length; slices are views."""

    def __len__(self) -> int:
        return len(_columns(self)[0])

    def slice(self, start: int, stop: int) -> Self:
        """Rows ``start`` (inclusive) to ``stop`` (exclusive), as views."""
        return type(self)(*[column[start:stop] for column in _columns(self)])

    def take(self, index: NDArray[np.intp]) -> Self:
        """The rows at ``index``, in that order, as copies."""
        return type(self)(*[column[index] for column in _columns(self)])

    def copy(self) -> Self:
        """A deep copy."""
        return type(self)(*[column.copy() for column in _columns(self)])

    @classmethod
    def concat(cls, batches: Sequence[Self]) -> Self:
        """The rows of ``batches`` one after the other, copied; at least one batch is needed."""
        if len(batches) == 1:
            return batches[0]
        return cls(*map(np.concatenate, zip(*map(_columns, batches), strict=True)))


@dataclass(slots=True)
class EventBatch(Columns):
    """One row per level change, trade or snapshot level; whole messages only.

    Prices and sizes are int64 counts on the instrument's decimal grid. Times are int64
    nanoseconds since the epoch; 0 is missing. ``ts_order`` is 0 until the merge sets it.
    The last row of each message carries ``Flag.LAST``.
    """

    ts_order: Int64
    ts_event: Int64
    ts_recv: Int64
    sequence: Int64
    prev_sequence: Int64
    kind: Int8
    side: Int8
    price: Int64
    size: Int64
    flags: Int32

    def __len__(self) -> int:
        return len(self.ts_order)  # asked often

    def __repr__(self) -> str:
        """How many rows, from when to when, and of which kinds."""
        times = self.ts_order if self.ts_order.any() else self.ts_event
        known = times[times != 0]
        span = ""
        if len(known):
            span = f" from {show_ns(int(known.min()))} to {show_ns(int(known.max()))}"
        counts = (f"{int((self.kind == kind).sum()):,} {kind.name}" for kind in Kind)
        held = ", ".join(count for count in counts if not count.startswith("0 "))
        many = "1 row" if len(self) == 1 else f"{len(self):,} rows"
        return f"EventBatch of {many}{span}{': ' if held else ''}{held}"

    @property
    def rows(self) -> Rows:
        """The columns that kernels take."""
        return Rows(
            self.ts_order,
            self.ts_event,
            self.sequence,
            self.prev_sequence,
            self.kind,
            self.side,
            self.price,
            self.size,
            self.flags,
        )

    @classmethod
    def empty(cls, rows: int = 0) -> EventBatch:
        """A batch of ``rows`` zeroed rows."""
        return cls(
            ts_order=np.zeros(rows, np.int64),
            ts_event=np.zeros(rows, np.int64),
            ts_recv=np.zeros(rows, np.int64),
            sequence=np.zeros(rows, np.int64),
            prev_sequence=np.zeros(rows, np.int64),
            kind=np.zeros(rows, np.int8),
            side=np.zeros(rows, np.int8),
            price=np.zeros(rows, np.int64),
            size=np.zeros(rows, np.int64),
            flags=np.zeros(rows, np.int32),
        )


class Rows(NamedTuple):
    """Columns of an `EventBatch` as kernels take them."""

    ts_order: Int64
    ts_event: Int64
    sequence: Int64
    prev_sequence: Int64
    kind: Int8
    side: Int8
    price: Int64
    size: Int64
    flags: Int32


class VendorRows(NamedTuple):
    """Columns of a `VendorBatch` as kernels take them; row ``k`` stands before ``place[k]``.

    ``levels`` is (rows, 2, 20, 2): side, level, price and size.
    """

    place: Int64
    ts_order: Int64
    sequence: Int64
    levels: Int64
    flags: Int32


@dataclass(slots=True)
class VendorBatch(Columns):
    """One row per book that a vendor lists beside its deltas: ground truth that is no event.

    ``levels`` is laid out as in :class:`StateBatch`; times and ids are those of an event.
    ``ts_order`` is 0 until the merge sets it. ``ts_behind`` is the time of the message that comes
    next, 0 where none does: it is set where a vendor row is placed, as is ``OUT_OF_ORDER``, the
    flag of one whose id and time place it apart. The other flag is ``BAD_TS``.
    """

    ts_order: Int64
    ts_event: Int64
    ts_recv: Int64
    sequence: Int64
    levels: Int64
    flags: Int32
    ts_behind: Int64

    def __len__(self) -> int:
        return len(self.ts_order)  # asked often

    def rows(self, place: Int64) -> VendorRows:
        """The columns that kernels take, and where each row stands."""
        levels = self.levels.reshape(-1, 2, LEVELS, 2)
        return VendorRows(place, self.ts_order, self.sequence, levels, self.flags)

    @classmethod
    def empty(cls, rows: int = 0) -> VendorBatch:
        """A batch of ``rows`` zeroed rows."""
        return cls(
            ts_order=np.zeros(rows, np.int64),
            ts_event=np.zeros(rows, np.int64),
            ts_recv=np.zeros(rows, np.int64),
            sequence=np.zeros(rows, np.int64),
            levels=np.zeros((rows, 4 * LEVELS), np.int64),
            flags=np.zeros(rows, np.int32),
            ts_behind=np.zeros(rows, np.int64),
        )


@dataclass(slots=True)
class StateBatch(Columns):
    """One row per book message end.

    ``levels`` is (rows, 4 * 20) int64 on the decimal grid, in the order bid price and size of
    level 0 … 19, then ask price and size of level 0 … 19; an empty slot is 0, 0.
    ``bid_trusted`` and ``ask_trusted`` count the leading slots that are known to be right.
    """

    event_id: Int64
    ts_order: Int64
    ts_event: Int64
    sequence: Int64
    levels: Int64
    bid_trusted: Int8
    ask_trusted: Int8
    flags: Int32

    def __len__(self) -> int:
        return len(self.ts_order)  # asked often

    @classmethod
    def empty(cls, rows: int = 0) -> StateBatch:
        """A batch of ``rows`` zeroed rows."""
        return cls(
            event_id=np.zeros(rows, np.int64),
            ts_order=np.zeros(rows, np.int64),
            ts_event=np.zeros(rows, np.int64),
            sequence=np.zeros(rows, np.int64),
            levels=np.zeros((rows, 4 * LEVELS), np.int64),
            bid_trusted=np.zeros(rows, np.int8),
            ask_trusted=np.zeros(rows, np.int8),
            flags=np.zeros(rows, np.int32),
        )
