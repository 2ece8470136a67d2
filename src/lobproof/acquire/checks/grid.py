"""``Grid``: the decimal grid, ticks and lots that a file's values are held against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.checks.value_kernels import Scale, counts_on_grid
from lobproof.acquire.rows import TableFile
from lobproof.errors import InputError
from lobproof.fixedpoint import count_to_text
from lobproof.fixedpoint.float_kernels import FINEST, count_decimals
from lobproof.fixedpoint.kernels import MAX_COUNT
from lobproof.instruments import Instrument, infer_step
from lobproof.sources.cryptolake.chunks import floats

USUAL_DECIMALS = 8
"""No venue of the vendor's writes more; finer values must be usual in the day to be believed."""
_USUAL_SHARE = 0.001
_SAMPLED_GROUPS = 32
_SAMPLED_VALUES = 1 << 13
"""Prices from each of those row groups, whatever the number of columns."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Exponents and dated rules of prices and sizes, and what of a file does not fit them.

    The most decimals that pass are those of the instrument where one is given, else at least
    ``USUAL_DECIMALS``.
    """

    prices: Scale
    sizes: Scale
    instrument: Instrument | None = None

    def describe(self) -> dict[str, Any]:
        """The grid for an audit; its exponents are those that the whole file needs."""
        found: dict[str, Any] = {"source": "inferred" if self.instrument is None else "given"}
        for name, scale in (("price", self.prices), ("size", self.sizes)):
            needed = int(np.flatnonzero(scale.finer).max(initial=0))
            found[f"{name}_exponent"] = max(scale.exponent, needed)
        for name, scale in (("ticks", self.prices), ("lots", self.sizes)):
            found[name] = [count_to_text(int(step), scale.exponent) for step in scale.steps]
        found["since_ns"] = [int(since) for since in self.prices.since]
        found["largest_price"] = float(self.prices.largest[0])
        found["largest_size"] = float(self.sizes.largest[0])
        found["instrument"] = None if self.instrument is None else self.instrument.to_dict()
        return found


def fits_int64(largest: float, exponent: int) -> bool:
    """Whether counts of values up to ``largest`` fit into int64."""
    return largest * 10.0**exponent < float(MAX_COUNT)


def given_grid(instrument: Instrument) -> Grid:
    """The grid of a known instrument."""
    since = [rule.since_ns for rule in instrument.rules]
    ticks = [rule.tick for rule in instrument.rules]
    lots = [rule.lot for rule in instrument.rules]
    price, size = instrument.price_exponent, instrument.size_exponent
    return Grid(_scale(price, price, ticks, since), _scale(size, size, lots, since), instrument)


def inferred_grid(file: TableFile, prices: Sequence[str], sizes: Sequence[str]) -> Grid:
    """The grid of a file, from row groups spread over it.

    Exponents are the most decimals that occur, those above ``USUAL_DECIMALS`` only where one in a
    thousand values has them; tick and lot are what 99.9 % of the values are multiples of.
    """
    last = len(file.shape.groups) - 1
    groups = sorted({int(g) for g in np.linspace(0, last, min(last + 1, _SAMPLED_GROUPS))})
    held: list[list[NDArray[np.float64]]] = [[], []]
    for group in groups:
        try:
            chunk = next(file.group(group, [*prices, *sizes]), None)
        except InputError:
            continue  # what cannot be read is noted where every row is looked at
        if chunk is not None:
            rows = chunk.slice(0, min(_SAMPLED_VALUES // len(prices), len(chunk)))
            for values, columns in zip(held, (prices, sizes), strict=True):
                values += [floats(rows, raw) for raw in columns]
    in_prices, in_sizes = (np.concatenate([np.empty(0), *values]) for values in held)
    return Grid(_inferred(in_prices), _inferred(in_sizes))


def _inferred(values: NDArray[np.float64]) -> Scale:
    values = values[np.isfinite(values) & (values > 0.0)]
    decimals = np.zeros(FINEST + 1, np.int64)
    count_decimals(values, decimals)
    believed = decimals >= max(_USUAL_SHARE * len(values), 1)
    believed[: USUAL_DECIMALS + 1] |= decimals[: USUAL_DECIMALS + 1] > 0
    exponent = int(np.flatnonzero(believed).max(initial=0))
    counts = np.empty(len(values), np.int64)
    good = counts_on_grid(values, exponent, counts)
    return _scale(exponent, max(exponent, USUAL_DECIMALS), [infer_step(counts[:good])], [0])


def _scale(exponent: int, finest: int, steps: Iterable[int], since: Iterable[int]) -> Scale:
    """A scale of which nothing was found yet."""
    return Scale(
        exponent,
        finest,
        np.array([*since], np.int64),
        np.array([*steps], np.int64),
        np.zeros(FINEST + 1, np.int64),
        np.zeros(1),
    )
