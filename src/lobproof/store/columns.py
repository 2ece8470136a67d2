"""A column of a stored table: on which grid it counts, how it is in memory and in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.fixedpoint import from_decimal128, to_decimal128
from lobproof.instruments import Instrument
from lobproof.schema.tables import Table

Column = NDArray[np.generic] | Sequence[str]
"""A column in memory: integers (decimals as grid counts), floats, or strings."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Decimal exponents of a partition: prices count 10^-price, sizes 10^-size."""

    price: int
    size: int

    @classmethod
    def of(cls, instrument: Instrument) -> Grid:
        """The instrument's decimal grid."""
        return cls(instrument.price_exponent, instrument.size_exponent)

    def exponent(self, column: str) -> int:
        """Exponent of a decimal column: prices by name, everything else is a quantity."""
        return self.price if column.endswith(("price", "_to")) else self.size

    def finer(self, other: Grid) -> Grid:
        """The coarsest grid that holds both."""
        return Grid(max(self.price, other.price), max(self.size, other.size))


def decimal_columns(table: Table) -> tuple[str, ...]:
    """Names of the columns that are stored as decimals and counted as int64 in memory."""
    return tuple(f.name for f in table.schema if pa.types.is_decimal(f.type))


def memory_type(kind: pa.DataType) -> type[np.generic]:
    """NumPy type of a numeric column in memory; decimals are int64 grid counts."""
    if pa.types.is_decimal(kind):
        return np.int64
    numpy_type: type[np.generic] = np.dtype(kind.to_pandas_dtype()).type
    return numpy_type


def in_memory(field: pa.Field, values: Sequence[object]) -> Column:
    """A column of these values in memory: an array of the field's type, or a list of strings."""
    if pa.types.is_string(field.type):
        return [str(value) for value in values]
    return np.array(values, memory_type(field.type))


def to_arrow(column: Column, field: pa.Field, grid: Grid) -> pa.Array:
    """A column in memory as it is stored; numbers share memory with ``column``."""
    if pa.types.is_decimal(field.type):
        return to_decimal128(np.asarray(column, np.int64), grid.exponent(field.name))
    return pa.array(column, field.type)


def from_arrow(column: pa.ChunkedArray, name: str, grid: Grid) -> Column:
    """A stored column in memory; `GridError` for a decimal that is not on the grid."""
    if pa.types.is_decimal(column.type):
        return from_decimal128(column, grid.exponent(name))
    if pa.types.is_string(column.type):
        return [str(text) for text in column.to_pylist()]
    values: NDArray[np.generic] = column.to_numpy()
    return values
