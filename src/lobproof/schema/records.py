"""Records: the named state of the kernels, in plain memory.

A kernel's state is one record. numba compiles access to a field to a load or a store at a known
place; as plain Python the same code reads and writes the attributes of a ``numpy.record``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lobproof.schema.batch import Int64

if TYPE_CHECKING:

    class Record:
        """One record, whose fields a kernel reads and writes by name."""

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

else:
    Record = np.record

Records = NDArray[Any]
"""An array of records: ``rows["field"]`` is a column, ``rows[k].field`` a value."""

INT = np.dtype(np.int64)
FLOAT = np.dtype(np.float64)
"""Every field takes 8 bytes, so that a record can be saved as int64 numbers."""

RecordType = np.dtype[Any]


def record(*fields: tuple[str, RecordType] | tuple[str, RecordType, tuple[int, ...]]) -> RecordType:
    """The type of a record: name and type of each field, and its shape where it is an array.

    ValueError for a name that NumPy's scalars have already: plain Python would not see the field.
    """
    taken = [name for name, *_ in fields if hasattr(np.record, name)]
    if taken:
        raise ValueError(f"no field of a record can be named {', '.join(taken)}")
    return np.dtype((np.record, list(fields)))


def integers(*names: str) -> list[tuple[str, RecordType]]:
    """Integer fields of these names."""
    return [(name, INT) for name in names]


def new_rows(kind: RecordType, count: int) -> Records:
    """So many records, not initialised."""
    return np.empty(count, kind)


def joined_rows(parts: Sequence[Records]) -> Records:
    """Records one after the other, copied; at least one part is needed."""
    return np.concatenate(parts, dtype=parts[0].dtype)


def zeroed(kind: RecordType) -> Records:
    """One record of zeros; ``zeroed(kind)[0]`` is what kernels take, and shares its memory."""
    return np.zeros(1, kind)


def numbers(rows: Records) -> Int64:
    """Records as int64 numbers, a copy (rows, fields); of a float its bits."""
    fields = rows.dtype.itemsize // 8
    plain = np.ascontiguousarray(rows).view(np.ndarray)
    return np.frombuffer(plain.tobytes(), np.int64).reshape(len(rows), fields).copy()


def records(kind: RecordType, rows: Int64) -> Records:
    """The records that `numbers` wrote down, a copy."""
    flat = np.array(rows, np.int64).reshape(-1)
    return flat.view(kind)
