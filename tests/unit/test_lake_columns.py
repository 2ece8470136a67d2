"""Columns of the vendor's tables as NumPy, whatever types they have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lobproof.acquire.rows import booleans, integers
from lobproof.acquire.stamp_kernels import MISSING
from lobproof.sources.cryptolake.chunks import Chunk, floats, takers

TEXT = pa.string()


def chunk(**columns: pa.Array) -> Chunk:
    return Chunk("trades", Path("1.parquet"), 0, columns)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None, -1]), [1, MISSING, -1]),
        (pa.array([7, 8], pa.uint32()), [7, 8]),
        (pa.array([5, None], pa.timestamp("ns", "UTC")), [5, MISSING]),
        (pa.array(["12", "x", None, "-3", "9" * 19]), [12, MISSING, MISSING, MISSING, MISSING]),
        (pa.array(["12", "x"], pa.large_string()), [12, MISSING]),
        (pa.array(["12", None, "12"]).dictionary_encode(), [12, MISSING, 12]),
        (pa.array([], pa.int64()), []),
    ],
    ids=["int64", "uint32", "timestamp", "text", "large text", "dictionary", "empty"],
)
def test_integers(column: pa.Array, expected: list[int]) -> None:
    found = integers(column)
    assert found.tolist() == expected
    assert found.dtype == np.dtype(np.int64)


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "dictionary"])
@pytest.mark.parametrize("nulls", [False, True], ids=["whole", "nulls"])
def test_sides(encoded: bool, nulls: bool) -> None:
    names = ["sell", "buy", "", "Buy", *([None] if nulls else ["x"])]
    column = pa.array(names, TEXT)
    found = takers(chunk(side=column.dictionary_encode() if encoded else column))
    assert found.tolist() == [2, 1, 0, 0, 0]
    assert found.dtype == np.dtype(np.int8)
    assert takers(chunk(side=column.slice(1, 2))).tolist() == [1, 0]
    assert takers(chunk(side=pa.array([], TEXT))).tolist() == []


def test_booleans_and_floats() -> None:
    assert booleans(pa.array([True, None, False])).tolist() == [1, 0, 0]
    assert booleans(pa.array([True, False])).tolist() == [1, 0]
    assert np.array_equal(
        floats(chunk(price=pa.array([1.5, None])), "price"), [1.5, np.nan], equal_nan=True
    )
