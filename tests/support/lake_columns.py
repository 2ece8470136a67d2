"""Files of Crypto Lake's tables from single columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lobproof.sources.cryptolake.write import SCHEMAS

DAY = 1_767_571_200_000_000_000
HOUR = 3_600_000_000_000


def write(path: Path, table: str, group: int = 1_000, **columns: Any) -> Path:
    """A file of a table; what is not given is 1, stamps an hour apart by row over a day."""
    rows = len(next(iter(columns.values())))
    stamps = DAY + 24 * HOUR // max(rows, 1) * np.arange(rows)
    usual: dict[str, Any] = {
        "timestamp": stamps,
        "receipt_timestamp": stamps + 4_000_000,
        "sequence_number": np.arange(rows),
        "id": np.arange(rows),
        "side": ["buy"] * rows,
        "side_is_bid": [True] * rows,
    }
    schema = SCHEMAS[table]
    filled = usual | {name: np.ones(rows) for name in schema.names if name not in usual} | columns
    arrays = [pa.array(filled[field.name], field.type) for field in schema]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, row_group_size=group)
    return path
