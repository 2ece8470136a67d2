"""``scan``: one file's own audit, read row group by row group."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lobproof.acquire.checks.base import TableCheck
from lobproof.acquire.checks.book import BookCheck
from lobproof.acquire.checks.columns import (
    Shape,
    batches,
    group_starts,
    open_file,
    shape_of,
)
from lobproof.acquire.checks.deltas import DeltaCheck
from lobproof.acquire.checks.findings import Findings
from lobproof.acquire.checks.grid import fits_int64, given_grid, inferred_grid
from lobproof.acquire.checks.trades import SecondLook, TradeCheck
from lobproof.acquire.columns import integers
from lobproof.errors import InputError
from lobproof.instruments import Instrument
from lobproof.schema import Int64
from lobproof.sources.cryptolake.layout import LakeKey

CHECKS: dict[str, type[TableCheck]] = {
    "trades": TradeCheck,
    "book": BookCheck,
    "book_delta_v2": DeltaCheck,
}
Progress = Callable[[int, int], None]
"""Called with the bytes done and their sum."""


@dataclass(slots=True)
class Scan:
    """What a file says of itself; ``facts`` are plain values for JSON."""

    size: int
    sha256: str
    rows: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)


def scan(
    path: Path,
    key: LakeKey,
    *,
    size: int | None = None,
    sha256: str | None = None,
    instrument: Instrument | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Judge a file by itself.

    Parameters
    ----------
    size, sha256
        What was fetched; a file that is another is not looked into.
    instrument
        Grid and dated rules; by default they are inferred from the file.
    """
    with path.open("rb") as stream:
        found = Scan(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())
    if size is not None and size != found.size:
        found.findings.tell("size-differs", 1, f"{found.size:,} bytes, and {size:,} were fetched")
    if sha256 is not None and sha256 != found.sha256:
        found.findings.tell("hash-differs", 1, f"{found.sha256}, and {sha256} was fetched")
    if found.findings.counts:
        return found
    try:
        file = open_file(path)
    except InputError as error:
        found.findings.tell("unreadable", 1, error.message)
        return found
    with file:
        shape = shape_of(file, key.table)
        found.rows = shape.rows
        found.facts |= {
            "row_groups": shape.row_groups,
            "provenance": shape.provenance,
            "naming": shape.naming if shape.names else None,
            "types": dict(shape.types),
        }
        found.findings.tell("schema", len(shape.problems), "; ".join(shape.problems))
        if not shape.rows:
            found.findings.tell("no-rows", 1)
        if found.findings.counts:
            return found
        _look(file, shape, key, found, instrument, progress)
    return found


def _look(
    file: pq.ParquetFile,
    shape: Shape,
    key: LakeKey,
    found: Scan,
    instrument: Instrument | None,
    progress: Progress | None,
) -> None:
    kind = CHECKS[key.table]
    if instrument is None:
        grid = inferred_grid(file, shape, kind.price_columns, kind.size_columns)
    else:
        grid = given_grid(instrument)
    check = kind(key.dt, grid)
    check.findings = found.findings
    starts = group_starts(file)
    for group, start in enumerate(starts[:-1]):
        row = start
        try:
            for batch in batches(file, shape, check.columns, group):
                check.add(batch, row)
                row += len(batch)
        except InputError as error:
            found.findings.tell("unreadable", starts[group + 1] - row, error.message)
        if progress is not None:
            progress(int(found.size * starts[group + 1] / shape.rows), found.size)
    check.finish()
    suspects = check.suspects
    if suspects is not None:
        _look_again(file, shape, check.findings, suspects, starts)
    stamps = check.clock.stamps()
    found.findings.tell("float-seconds", check.clock.float_stamps)
    described = grid.describe(check.finer_prices, check.finer_sizes, check.largest.tolist())
    for name in ("price", "size"):
        largest, exponent = described[f"largest_{name}"], described[f"{name}_exponent"]
        if not fits_int64(largest, exponent) and "overflow" not in found.findings.counts:
            found.findings.tell(
                "overflow", 1, f"a {name} of {largest:g} with {exponent} decimals exceeds int64"
            )
    silences = check.clock.silences()
    if silences:
        longest = max(silence.length_ns for silence in silences) / 1e9
        found.findings.tell(
            "silence",
            len(silences),
            f"{sum(s.length_ns for s in silences) / 1e9:,.1f} s in all, the longest "
            f"{longest:,.1f} s; its cadence explains {check.clock.threshold_ns() / 1e9:,.1f} s",
        )
    found.facts |= {
        "coverage": {"rows": shape.rows, **check.clock.coverage()},
        "grid": described,
        "stamps": stamps,
        "table": check.facts(),
    }


def _look_again(
    file: pq.ParquetFile, shape: Shape, findings: Findings, suspects: Int64, starts: list[int]
) -> None:
    """Find the rows whose trade id was there before."""
    again = SecondLook(suspects)
    for group, start in enumerate(starts[:-1]):
        row = start
        try:
            for batch in batches(file, shape, ("id",), group):
                rows = again.add(integers(batch.column(0)))
                if len(rows):
                    findings.add("duplicate-id", rows + row)
                row += len(batch)
        except InputError:
            continue  # the first look has noted it
