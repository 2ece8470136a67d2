"""``Grid``: the decimal grid, ticks and lots that a file's values are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof.acquire.checks.columns import Shape, batches
from lobproof.acquire.checks.value_kernels import counts_on_grid
from lobproof.acquire.columns import floats
from lobproof.errors import InputError
from lobproof.fixedpoint import count_to_text
from lobproof.fixedpoint.float_kernels import FINEST, count_decimals
from lobproof.fixedpoint.kernels import MAX_COUNT
from lobproof.instruments import Instrument, infer_step
from lobproof.schema import Int64

USUAL_DECIMALS = 8
"""No venue of the vendor's writes more; finer values must be usual in the day to be believed."""
_USUAL_SHARE = 0.001
_SAMPLED_GROUPS = 32
_SAMPLED_VALUES = 1 << 13
"""Prices from each of those row groups, whatever the number of columns."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Exponents and dated rules.

    ``price_finest`` and ``size_finest`` are the most decimals that pass: those of the instrument
    where one is given, else at least ``USUAL_DECIMALS``.
    """

    price_exponent: int
    size_exponent: int
    price_finest: int
    size_finest: int
    since: Int64
    ticks: Int64
    lots: Int64
    instrument: Instrument | None = None

    def describe(
        self, finer_prices: Int64, finer_sizes: Int64, largest: Sequence[float]
    ) -> dict[str, Any]:
        """The grid for an audit; its exponents are those that the whole file needs."""
        found: dict[str, Any] = {"source": "inferred" if self.instrument is None else "given"}
        for name, exponent, finer in (
            ("price", self.price_exponent, finer_prices),
            ("size", self.size_exponent, finer_sizes),
        ):
            needed = np.flatnonzero(finer)
            found[f"{name}_exponent"] = max(exponent, int(needed.max(initial=0)))
        found["ticks"] = [count_to_text(int(t), self.price_exponent) for t in self.ticks]
        found["lots"] = [count_to_text(int(lot), self.size_exponent) for lot in self.lots]
        found["since_ns"] = [int(t) for t in self.since]
        found["largest_price"], found["largest_size"] = map(float, largest)
        found["instrument"] = None if self.instrument is None else self.instrument.to_dict()
        return found


def fits_int64(largest: float, exponent: int) -> bool:
    """Whether counts of values up to ``largest`` fit into int64."""
    return largest * 10.0**exponent < float(MAX_COUNT)


def given_grid(instrument: Instrument) -> Grid:
    """The grid of a known instrument."""
    rules = instrument.rules
    return Grid(
        instrument.price_exponent,
        instrument.size_exponent,
        instrument.price_exponent,
        instrument.size_exponent,
        np.array([rule.since_ns for rule in rules], np.int64),
        np.array([rule.tick for rule in rules], np.int64),
        np.array([rule.lot for rule in rules], np.int64),
        instrument,
    )


def inferred_grid(
    file: pq.ParquetFile, shape: Shape, prices: Sequence[str], sizes: Sequence[str]
) -> Grid:
    """The grid of a file, from row groups spread over it.

    Exponents are the most decimals that occur, those above ``USUAL_DECIMALS`` only where one in a
    thousand values has them; tick and lot are what 99.9 % of the values are multiples of.
    """
    count = min(shape.row_groups, _SAMPLED_GROUPS)
    groups = sorted({int(g) for g in np.linspace(0, shape.row_groups - 1, count)})
    held: list[list[NDArray[np.float64]]] = [[], []]
    columns = [*prices, *sizes]
    for group in groups:
        try:
            batch = next(batches(file, shape, columns, group), None)
        except InputError:
            continue  # what cannot be read is noted where every row is looked at
        if batch is not None:
            rows = batch.slice(0, _SAMPLED_VALUES // len(prices))
            for at in range(len(columns)):
                held[at >= len(prices)].append(floats(rows.column(at)))
    (price, tick), (size, lot) = (_infer(np.concatenate([np.empty(0), *parts])) for parts in held)
    return Grid(
        price,
        size,
        max(price, USUAL_DECIMALS),
        max(size, USUAL_DECIMALS),
        np.zeros(1, np.int64),
        np.array([tick], np.int64),
        np.array([lot], np.int64),
    )


def _infer(values: NDArray[np.float64]) -> tuple[int, int]:
    values = values[np.isfinite(values) & (values > 0.0)]
    decimals = np.zeros(FINEST + 1, np.int64)
    count_decimals(values, decimals)
    believed = decimals >= max(_USUAL_SHARE * len(values), 1)
    believed[: USUAL_DECIMALS + 1] |= decimals[: USUAL_DECIMALS + 1] > 0
    exponent = int(np.flatnonzero(believed).max(initial=0))
    counts = np.empty(len(values), np.int64)
    good = counts_on_grid(values, exponent, counts)
    return exponent, infer_step(counts[:good])
