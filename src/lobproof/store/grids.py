"""Which decimal grid a stored column counts on."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from lobproof.schema.tables import Table


@dataclass(frozen=True, slots=True)
class Grid:
    """Decimal exponents of a partition: prices count 10^-price, sizes 10^-size."""

    price: int
    size: int

    def exponent(self, column: str) -> int:
        """Exponent of a decimal column: prices by name, everything else is a quantity."""
        return self.price if column.endswith("price") or column == "trusted_to" else self.size

    def finer(self, other: Grid) -> Grid:
        """The coarsest grid that holds both."""
        return Grid(max(self.price, other.price), max(self.size, other.size))


def decimal_columns(table: Table) -> tuple[str, ...]:
    """Names of the columns that are stored as decimals and counted as int64 in memory."""
    return tuple(f.name for f in table.schema if pa.types.is_decimal(f.type))
