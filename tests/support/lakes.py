"""Folders of acquired data made by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lobproof.acquire.manifest import FETCHED, Manifest
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.sources.cryptolake.layout import LakeKey

DAY = "2026-01-05"


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
