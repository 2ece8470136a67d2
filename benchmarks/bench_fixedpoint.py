"""Speed of the fixed-point kernels, in millions of values a second on one core.

Run: ``python benchmarks/bench_fixedpoint.py [--values N]``. Each figure is the best of five runs
after compilation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import NDArray

from lobproof.fixedpoint import from_decimal128, parse_decimal, to_decimal128

WIDTH = 14
EXPONENT = 8


@numba.njit(nogil=True)
def parse_column(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], exponent: int, out: NDArray[np.int64]
) -> None:
    """Counts of the texts of ``WIDTH`` bytes that begin at ``starts``."""
    for row in range(len(starts)):
        out[row] = parse_decimal(buffer, starts[row], starts[row] + WIDTH, exponent)[0]


def rate(values: int, run: Callable[[], object], repeats: int = 5) -> float:
    """Best rate of ``run`` in millions of values a second; one run before it compiles."""
    run()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return values / best / 1e6


def runs(values: int) -> dict[str, Callable[[], object]]:
    """What is measured, by name, each over ``values`` values; their results are checked here."""
    rng = np.random.default_rng(1)
    cents = rng.integers(1_000_000, 9_999_999, values)
    text = ",".join(f"{c // 100:05d}.{c % 100:02d}000000" for c in cents.tolist()) + ","
    buffer = np.frombuffer(text.encode(), np.uint8)
    starts = np.arange(values, dtype=np.int64) * (WIDTH + 1)
    counts = np.empty(values, np.int64)
    parse_column(buffer, starts, EXPONENT, counts)
    assert np.array_equal(counts, cents * 10 ** (EXPONENT - 2))
    parsed = np.empty(values, np.int64)
    memory = np.empty((values, 2), np.uint64)
    stored = to_decimal128(counts, EXPONENT)
    assert np.array_equal(from_decimal128(stored, EXPONENT), counts)
    return {
        "parse_decimal, 10^-8": lambda: parse_column(buffer, starts, EXPONENT, parsed),
        "parse_decimal, 10^-2": lambda: parse_column(buffer, starts, 2, parsed),
        "to_decimal128": lambda: to_decimal128(counts, EXPONENT),
        "to_decimal128, given memory": lambda: to_decimal128(counts, EXPONENT, out=memory),
        "from_decimal128": lambda: from_decimal128(stored, EXPONENT),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, default=2_000_000)
    values = parser.parse_args().values
    for name, run in runs(values).items():
        print(f"{name:30s} {rate(values, run):8.1f} M values/s")


if __name__ == "__main__":
    main()
