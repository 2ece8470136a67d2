"""Tables of few rows: kept in memory, and written sorted, as one part, at the end of the day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from lobproof.schema.tables import Table
from lobproof.store.content import TableContent
from lobproof.store.groups import memory_type
from lobproof.store.hashing import Column, table_hash
from lobproof.store.parts import PartTarget, PartWriter


class SmallRows:
    """The rows of one such table so far."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns: dict[str, list[object]] = {name: [] for name in table.schema.names}

    def append(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Append rows: equally long sequences by column name.

        Raises
        ------
        ValueError
            If a column is missing or unknown, or the lengths differ.
        """
        lengths = {len(values) for values in columns.values()}
        if set(columns) != set(self._columns) or len(lengths) > 1:
            raise ValueError(
                f"{self._table.name} takes equally long columns named {list(self._columns)}, "
                f"not { ({name: len(values) for name, values in columns.items()}) }"
            )
        for name, values in columns.items():
            self._columns[name].extend(values)

    def columns(self) -> dict[str, list[object]]:
        """A copy of the rows, by column."""
        return {name: list(values) for name, values in self._columns.items()}

    def write(self, target: PartTarget) -> tuple[TableContent, Path | None]:
        """Write the rows, sorted, so that the calls leave no trace; the file too if it is new."""
        table = self._table
        rows = sorted(zip(*self._columns.values(), strict=True))
        if not rows:
            return TableContent((), table_hash(target.head, [])), None
        writer = PartWriter(target, 0)
        try:
            for start in range(0, len(rows), table.group_rows):
                group = zip(*rows[start : start + table.group_rows], strict=True)
                writer.write([in_memory(*pair) for pair in zip(table.schema, group, strict=True)])
            part, new_file = writer.finish()
        except BaseException:
            writer.abort()
            raise
        return TableContent((part,), table_hash(target.head, [(part.rows, part.leaves)])), new_file


def in_memory(field: pa.Field, values: Sequence[object]) -> Column:
    """A column in memory: an array of the field's type, or a list of strings."""
    if pa.types.is_string(field.type):
        return [str(value) for value in values]
    return np.array(values, memory_type(field.type))
