"""Folders of acquired data made by hand: as downloaded, and with a validated day."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lobproof.acquire.judging import validate
from lobproof.acquire.manifest import FETCHED, Manifest
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.sources.cryptolake.layout import TABLES, LakeKey
from support import lake_files
from support.lake_files import DAY

Spoil = Callable[[lake_files.Columns], lake_files.Columns]


def key(
    table: str = "trades",
    *,
    dt: str = DAY,
    symbol: str = "SIM-USDT",
    exchange: str = "BINANCE",
    name: str = "1.snappy.parquet",
) -> LakeKey:
    return LakeKey(table, exchange, symbol, dt, name)


def fetched(data: bytes, **fields: Any) -> dict[str, Any]:
    """What a download notes of an object with these bytes."""
    return {
        "size": len(data),
        "etag": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "last_modified": "2026-01-06T01:00:00Z",
        "rows": None,
        "row_groups": None,
        "provenance": "synthetic",
        **fields,
    }


def judged(verdict: str = "good", **fields: Any) -> dict[str, Any]:
    """What a validation notes of a file."""
    return {"verdict": verdict, "audit_sha256": "0" * 64, **fields}


def put(folder: LakeFolder, of: LakeKey, data: bytes, **fields: Any) -> Path:
    """A downloaded file: its record, and the file in ``raw``."""
    part = folder.partial(of)
    part.write_bytes(data)
    Manifest(folder).append(FETCHED, of, **fetched(data, **fields))
    return folder.move(part, Zone.RAW, of)


def put_lake(folder: LakeFolder, lake: Path, **fields: Any) -> list[LakeKey]:
    """Every file of a folder in Crypto Lake's layout, as if downloaded."""
    keys = []
    for path in sorted(lake.rglob("*.parquet")):
        of = LakeKey.parse(path.relative_to(lake).as_posix())
        assert of is not None
        footer = pq.read_metadata(path)
        told = {"rows": footer.num_rows, "row_groups": footer.num_row_groups, **fields}
        put(folder, of, path.read_bytes(), **told)
        keys.append(of)
    return keys


def validated_lake(
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
        columns = lake_files.MAKERS[table]()
        spoil = (spoilt or {}).get(table)
        columns = spoil(columns) if spoil is not None else columns
        path = lake / of.path
        path.parent.mkdir(parents=True)
        rows = lake_files.arrow(table, columns)
        pq.write_table(
            rows if metadata else rows.replace_schema_metadata(None), path, row_group_size=1000
        )
    acquired = LakeFolder(folder / "lake", create=True)
    put_lake(acquired, lake, provenance=provenance)
    validate(acquired)
    return acquired
