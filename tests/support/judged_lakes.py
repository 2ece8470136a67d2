"""Folders of acquired data with a validated day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from lobproof.acquire.validate import validate
from lobproof.acquire.zones import LakeFolder
from lobproof.sources.cryptolake.layout import TABLES
from support import lake_tables
from support.lakes import key, put_lake

Spoil = Callable[[lake_tables.Columns], lake_tables.Columns]


def made(
    folder: Path,
    *,
    provenance: str = "synthetic",
    metadata: bool = True,
    spoilt: dict[str, Spoil] | None = None,
    tables: tuple[str, ...] = TABLES,
) -> LakeFolder:
    """A folder with one validated day; real only because a test says so."""
    lake = folder / "objects"
    for table in tables:
        of = key(table)
        columns = lake_tables.MAKERS[table]()
        spoil = (spoilt or {}).get(table)
        columns = spoil(columns) if spoil is not None else columns
        path = lake / of.path
        path.parent.mkdir(parents=True)
        rows = lake_tables.arrow(table, columns)
        pq.write_table(
            rows if metadata else rows.replace_schema_metadata(None), path, row_group_size=1000
        )
    acquired = LakeFolder(folder / "lake", create=True)
    put_lake(acquired, lake, provenance=provenance)
    validate(acquired)
    return acquired
