"""``Blocks``: the block store of a symbol, additive and mergeable.

A block is a fixed stretch of the wall clock. Of each it has histograms on frozen bins, counts and
sums, and the samples of the grid. `merged` puts blocks beside each other, `coarser` adds them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lobproof.errors import UsageError
from lobproof.fidelity.metrics.bin_kernels import BINS
from lobproof.fidelity.metrics.metric_kernels import (
    COUNT,
    GRID_NS,
    LIMB,
    METRICS,
    SERIES,
    SQUARE_HIGH,
    SQUARE_LOW,
    SUM,
    SUMS,
    TALLIES,
    Block,
    complete_sums,
    take_bins,
)
from lobproof.fixedpoint import decimal_to_count
from lobproof.instruments import Instrument
from lobproof.schema import Int64
from lobproof.timespan import DAY_NS

BLOCK_NS = 60_000_000_000
SHORT_BLOCK_NS = 10_000_000_000
"""Lengths of a stored block: of long data, and of recordings of minutes. Tests add them up."""
_SHORT_NS = 6 * 3_600_000_000_000
"""Of what is shorter than this, metrics are kept in short blocks."""

Float64 = NDArray[np.float64]


def block_ns_of(span_ns: int) -> int:
    """Length of the blocks of so much time."""
    return SHORT_BLOCK_NS if span_ns < _SHORT_NS else BLOCK_NS


@dataclass(frozen=True, slots=True)
class Scale:
    """Tick and lot as decimals, and the length of a block: equal for all that is compared."""

    tick: str
    lot: str
    block_ns: int = BLOCK_NS

    def __post_init__(self) -> None:
        """Refuse a block that is no whole number of samples."""
        if self.block_ns <= 0 or self.block_ns % GRID_NS:
            raise ValueError(f"a block of {self.block_ns} ns is no multiple of {GRID_NS} ns")

    @classmethod
    def of(cls, instrument: Instrument, block_ns: int = BLOCK_NS) -> Self:
        """The scale of an instrument's first rule."""
        return cls(
            instrument.price_text(instrument.tick), instrument.size_text(instrument.lot), block_ns
        )

    def counts(self, instrument: Instrument) -> tuple[int, int]:
        """Tick and lot on an instrument's grid; GridError where it is coarser than they are."""
        return (
            decimal_to_count(self.tick, instrument.price_exponent),
            decimal_to_count(self.lot, instrument.size_exponent),
        )


@dataclass(frozen=True, slots=True)
class Bins:
    """Histograms: one entry for each bin of a block that is not empty, by metric, block and bin."""

    metric: NDArray[np.int8]
    block: NDArray[np.int32]
    bin: NDArray[np.int16]
    count: NDArray[np.int32]

    @classmethod
    def empty(cls, rows: int = 0) -> Self:
        """So many entries, not initialised."""
        return cls(
            np.empty(rows, np.int8),
            np.empty(rows, np.int32),
            np.empty(rows, np.int16),
            np.empty(rows, np.int32),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Entries of several, in order; those of one bin add up."""
        metric, block, number, count = (
            np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)
        )
        order = np.lexsort((number, block, metric))
        metric, block, number, count = (column[order] for column in (metric, block, number, count))
        is_first = np.ones(len(order), np.bool_)
        for column in (metric, block, number):
            is_first[1:] &= column[1:] == column[:-1]
        is_first[1:] = ~is_first[1:]
        first = np.flatnonzero(is_first)
        counts = np.add.reduceat(count, first) if len(first) else count
        return cls(metric[first], block[first], number[first], counts.astype(np.int32))

    def of(self, metric: int) -> tuple[int, int]:
        """Where the histograms of a metric lie."""
        kind = self.metric.dtype  # with another all of them would be converted first
        first, stop = np.searchsorted(self.metric, np.array([metric, metric + 1], kind))
        return int(first), int(stop)

    def counts(self, metric: int, blocks: int) -> Int64:
        """Histogram of a metric in each of so many blocks (blocks, bins)."""
        table = np.zeros((blocks, BINS), np.int64)
        first, stop = self.of(metric)
        table[self.block[first:stop], self.bin[first:stop]] = self.count[first:stop]
        return table

    def taken(self, rows: NDArray[np.intp], blocks: int) -> Self:
        """Those of some of so many blocks, which are numbered anew from 0 on."""
        place = np.full(blocks, -1, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        at = place[self.block]
        kept = at >= 0
        return type(self)(self.metric[kept], at[kept], self.bin[kept], self.count[kept])


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of one symbol, by time.

    ``start``: ns since the epoch (blocks,). ``bins``: histograms; their ``block`` is an index of
    ``start``. ``sums``: (blocks, metrics, 4), see `moments`. ``tallies``: (blocks, 7).
    ``series``: (blocks, samples of a block, 10), in counts of the instrument's grid.
    """

    instrument: Instrument
    scale: Scale
    start: Int64
    bins: Bins
    sums: Int64
    tallies: Int64
    series: Int64

    def __len__(self) -> int:
        return len(self.start)

    def counts(self, metric: int) -> Int64:
        """Histogram of a metric in each block (blocks, bins)."""
        return self.bins.counts(metric, len(self))

    def grouped_counts(self, metric: int, groups: Int64, many: int) -> Int64:
        """Histogram of a metric in each of ``many`` groups of blocks (many, bins).

        Parameters
        ----------
        groups
            Of each block; -1 where it belongs to none.
        """
        first, stop = self.bins.of(metric)
        group = groups[self.bins.block[first:stop]]
        inside = group >= 0
        place = group[inside] * BINS + self.bins.bin[first:stop][inside]
        counted = np.bincount(place, self.bins.count[first:stop][inside], many * BINS)
        return counted.astype(np.int64).reshape(many, BINS)

    def moments(self, metric: int) -> tuple[Int64, Float64, Float64]:
        """Number of values, their sum and the sum of their squares, in each block."""
        sums = self.sums[:, metric]
        high, low = sums[:, SQUARE_HIGH].astype(np.float64), sums[:, SQUARE_LOW]
        squares = np.ldexp(high, LIMB) + low.astype(np.float64)
        return sums[:, COUNT], sums[:, SUM].astype(np.float64), squares

    def taken(self, rows: NDArray[np.intp]) -> Blocks:
        """Some of the blocks, in the order of their time."""
        return replace(
            self,
            start=self.start[rows],
            bins=self.bins.taken(rows, len(self)),
            sums=self.sums[rows],
            tallies=self.tallies[rows],
            series=self.series[rows],
        )

    def coarser(self, block_ns: int) -> Blocks:
        """The same in longer blocks, each a whole number of these; what is missing adds nothing."""
        times, rest = divmod(block_ns, self.scale.block_ns)
        if rest:
            raise ValueError(f"{block_ns} ns is no multiple of {self.scale.block_ns} ns")
        if times == 1:
            return self
        start, place = np.unique(self.start - self.start % block_ns, return_inverse=True)
        within = (self.start % block_ns) // self.scale.block_ns
        cells = self.series.shape[1]
        series = np.zeros((len(start), times, cells, SERIES), np.int64)
        series[place, within] = self.series
        moved = replace(self.bins, block=place.astype(np.int32)[self.bins.block])
        return replace(
            self,
            scale=replace(self.scale, block_ns=block_ns),
            start=start,
            bins=Bins.joined([moved]),
            sums=_carried(_added(self.sums, place, len(start))),
            tallies=_added(self.tallies, place, len(start)),
            series=series.reshape(len(start), times * cells, SERIES),
        )


def _added(values: Int64, place: NDArray[np.intp], rows: int) -> Int64:
    """Rows added up by where they belong."""
    total = np.zeros((rows, *values.shape[1:]), np.int64)
    np.add.at(total, place, values)
    return total


def _carried(sums: Int64) -> Int64:
    """Sums whose lower limbs are below 2^LIMB again; in place."""
    sums[..., SQUARE_HIGH] += sums[..., SQUARE_LOW] >> LIMB
    sums[..., SQUARE_LOW] &= (1 << LIMB) - 1
    return sums


def merged(parts: Sequence[Blocks]) -> Blocks:
    """Blocks of one symbol, of other days, hours or workers, as one; in whatever order.

    Raises
    ------
    UsageError
        If they are of different symbols or scales, or have a block in common.
    """
    first = parts[0]
    for part in parts[1:]:
        if (part.instrument, part.scale) != (first.instrument, first.scale):
            raise UsageError(
                f"Metrics of {first.instrument} at {first.scale} do not add up with those of "
                f"{part.instrument} at {part.scale}.",
                hint="measure both with one scale",
            )
    start = np.concatenate([part.start for part in parts])
    order = np.argsort(start)
    if (np.diff(start[order]) == 0).any():
        twice = int(start[order][:-1][np.diff(start[order]) == 0][0])
        raise UsageError(
            f"The block from {twice} ns on is in two of the parts.", hint="give each time once"
        )
    place = np.empty(len(start), np.int32)
    place[order] = np.arange(len(start), dtype=np.int32)
    begins = np.cumsum([0, *(len(part) for part in parts)])
    moved = [
        replace(part.bins, block=place[begin + part.bins.block])
        for part, begin in zip(parts, begins.tolist(), strict=False)
    ]
    return replace(
        first,
        start=start[order],
        bins=Bins.joined(moved),
        sums=np.concatenate([part.sums for part in parts])[order],
        tallies=np.concatenate([part.tallies for part in parts])[order],
        series=np.concatenate([part.series for part in parts])[order],
    )


class _Counted(NamedTuple):
    """What a block has counted, by metric and bin."""

    metrics: NDArray[np.int8]
    bins: NDArray[np.int16]
    counts: NDArray[np.int32]


class Collected:
    """Blocks as they close."""

    def __init__(self, instrument: Instrument, scale: Scale) -> None:
        self._instrument = instrument
        self._scale = scale
        self._samples = (scale.block_ns // GRID_NS, SERIES)
        self._start: list[int] = []
        self._bins: list[_Counted] = []
        self._sums: list[Int64] = []
        self._tallies: list[Int64] = []
        # memory that is not written to is none
        self._series: Int64 = np.empty((DAY_NS // scale.block_ns, *self._samples), np.int64)

    def append(self, start: int, block: Block) -> None:
        """Keep what is in a block, which begins at ``start`` ns, and empty it."""
        many = complete_sums(block)
        bins = _Counted(np.empty(many, np.int8), np.empty(many, np.int16), np.empty(many, np.int32))
        self._bins.append(bins)
        at = len(self._start)
        if at == len(self._series):
            more = np.empty((max(at, 64), *self._samples), np.int64)
            self._series = np.concatenate([self._series, more])
        self._series[at] = block.series
        self._start.append(start)
        self._sums.append(block.sums.copy())
        self._tallies.append(block.tallies.copy())
        take_bins(block, *bins)

    def blocks(self) -> Blocks:
        """All of them; nothing can be appended then."""
        many = len(self._start)
        return Blocks(
            self._instrument,
            self._scale,
            np.array(self._start, np.int64),
            self._joined(),
            np.array(self._sums, np.int64).reshape(many, METRICS, SUMS),
            np.array(self._tallies, np.int64).reshape(many, TALLIES),
            self._series[:many],
        )

    def _joined(self) -> Bins:
        """The histograms of all blocks, by metric; to sort them would take twice their room."""
        edges = np.arange(METRICS + 1)
        first = np.array([np.searchsorted(one.metrics, edges) for one in self._bins])
        first = first.reshape(len(self._bins), len(edges))
        joined = Bins.empty(int(first[:, -1].sum()))
        at = 0
        for metric in range(METRICS if self._bins else 0):
            low, high = first[:, metric], first[:, metric + 1]
            here = slice(at, at + int((high - low).sum()))
            joined.metric[here] = metric
            joined.block[here] = np.repeat(np.arange(len(self._bins)), high - low)
            rows = list(zip(self._bins, low.tolist(), high.tolist(), strict=True))
            np.concatenate([one.bins[a:b] for one, a, b in rows], out=joined.bin[here])
            np.concatenate([one.counts[a:b] for one, a, b in rows], out=joined.count[here])
            at = here.stop
        return joined
