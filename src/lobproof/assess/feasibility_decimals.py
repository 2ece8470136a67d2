"""decimal128 beside int64: what a store's prices and sizes cost, and whether they are exact."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lobproof.fixedpoint import from_decimal128, to_decimal128
from lobproof.schema import Int64

_PRICE_EXPONENT, _SIZE_EXPONENT = 2, 8
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Of values in Parquet as a store writes it, each way, conversion to and from counts included.

    Medians of three; files are read while the system still has them in memory.
    """

    values_written_per_second: float
    values_read_per_second: float
    bytes_per_value: float


@dataclass(frozen=True, slots=True)
class Decimals:
    """decimal128(38,18), which is stored, beside int64 counts, which are computed with.

    ``exact``: all values come back as they went in; ``sum_exact``: Arrow's sum of them is that of
    Python's integers; ``float64_sum_error``: how far one of floats is off, in prices' units.
    ``product_arrow``, ``product_polars``: what becomes of price × size: ``exact``, ``refused`` or
    ``wrong``; ``product_beyond_int64``: whether counts overflow where they are multiplied.
    ``overflow_refused``: a product that no decimal(38,18) holds is an error, and no number.
    """

    values: int
    decimal128: Cost
    int64: Cost
    exact: bool
    sum_exact: bool
    float64_sum_error: float
    product_arrow: str
    product_polars: str
    product_beyond_int64: bool
    overflow_refused: bool


def measure_decimals(folder: Path, rows: int) -> Decimals:
    """Write, read, sum and multiply ``rows`` prices and sizes; files go to ``folder``."""
    random = np.random.default_rng(7)
    prices = 6_500_000 + np.cumsum(random.integers(-3, 4, rows))
    sizes = np.maximum(random.lognormal(16.0, 2.0, rows).astype(np.int64), 1)

    def decimals() -> pa.Table:
        names = {
            "price": to_decimal128(prices, _PRICE_EXPONENT),
            "size": to_decimal128(sizes, _SIZE_EXPONENT),
        }
        return pa.table(names)

    def integers() -> pa.Table:
        return pa.table({"price": pa.array(prices), "size": pa.array(sizes)})

    def counts(table: pa.Table) -> tuple[Int64, Int64]:
        return (
            from_decimal128(table["price"], _PRICE_EXPONENT),
            from_decimal128(table["size"], _SIZE_EXPONENT),
        )

    decimal_cost, back = _cost(folder / "decimal128.parquet", decimals, counts)
    integer_cost, _ = _cost(
        folder / "int64.parquet",
        integers,
        lambda table: (table["price"].to_numpy(), table["size"].to_numpy()),
    )
    table = decimals()
    whole = sum(prices.tolist())
    total = pc.sum(table["price"]).as_py()
    exact_sum = Decimal(whole).scaleb(-_PRICE_EXPONENT)
    floats = float(np.sum(prices / 10.0**_PRICE_EXPONENT))
    largest = max(a * b for a, b in zip(prices.tolist(), sizes.tolist(), strict=True))
    return Decimals(
        values=2 * rows,
        decimal128=decimal_cost,
        int64=integer_cost,
        exact=bool(np.array_equal(back[0], prices) and np.array_equal(back[1], sizes)),
        sum_exact=total == exact_sum,
        float64_sum_error=abs(float(Decimal(floats) - exact_sum)),
        product_arrow=_product(prices, sizes, _in_arrow),
        product_polars=_product(prices, sizes, _in_polars),
        product_beyond_int64=largest >= 1 << 63,
        overflow_refused=_product(*_too_large(), _in_polars) == "refused",
    )


def _cost(
    path: Path, made: Callable[[], pa.Table], back: Callable[[pa.Table], tuple[Int64, Int64]]
) -> tuple[Cost, tuple[Int64, Int64]]:
    written, read = [], []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        table = made()
        pq.write_table(
            table,
            path,
            compression="zstd",
            compression_level=1,
            use_dictionary=True,
            store_decimal_as_integer=False,
        )
        written.append(time.perf_counter() - start)
        start = time.perf_counter()
        values = back(pq.read_table(path, memory_map=False))
        read.append(time.perf_counter() - start)
    count = 2 * len(values[0])
    size = path.stat().st_size
    path.unlink()
    middle = _REPEATS // 2
    cost = Cost(count / sorted(written)[middle], count / sorted(read)[middle], size / count)
    return cost, values


def _too_large() -> tuple[Int64, Int64]:
    """A price and a size, each of which a decimal(38,18) holds, and whose product none does."""
    return np.array([9 * 10**18], np.int64), np.array([9 * 10**18], np.int64)


def _product(
    prices: Int64, sizes: Int64, multiplied: Callable[[pa.Array, pa.Array], list[Decimal | None]]
) -> str:
    """What becomes of price × size: the first thousand, held against Python's integers."""
    prices, sizes = prices[:1000], sizes[:1000]
    try:
        found = multiplied(
            to_decimal128(prices, _PRICE_EXPONENT), to_decimal128(sizes, _SIZE_EXPONENT)
        )
    except (pa.ArrowInvalid, pl.exceptions.PolarsError):
        return "refused"
    exponent = _PRICE_EXPONENT + _SIZE_EXPONENT
    expected = [
        Decimal(a * b).scaleb(-exponent)
        for a, b in zip(prices.tolist(), sizes.tolist(), strict=True)
    ]
    return "exact" if found == expected else "wrong"


def _in_arrow(prices: pa.Array, sizes: pa.Array) -> list[Decimal | None]:
    found: list[Decimal | None] = pc.multiply(prices, sizes).to_pylist()
    return found


def _in_polars(prices: pa.Array, sizes: pa.Array) -> list[Decimal | None]:
    frame = pl.DataFrame({"price": pl.Series(prices), "size": pl.Series(sizes)})
    return frame.select(pl.col("price") * pl.col("size")).to_series().to_list()
