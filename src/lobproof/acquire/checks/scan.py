"""``scan``: one file's own audit, read row group by row group."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lobproof.acquire.checks.grid import fits_int64, given_grid, inferred_grid
from lobproof.acquire.checks.reasons import Findings
from lobproof.acquire.checks.table_checks import CHECKS, SecondLook
from lobproof.acquire.rows import TableFile, integers
from lobproof.errors import InputError
from lobproof.instruments import Instrument
from lobproof.schema import Int64
from lobproof.sources.cryptolake.layout import LakeKey

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
        file = TableFile(path, key.table)
    except InputError as error:
        found.findings.tell("unreadable", 1, error.message)
        return found
    with file:
        shape = file.shape
        found.rows = shape.rows
        found.facts |= {
            "row_groups": len(shape.groups),
            "provenance": shape.provenance,
            "naming": shape.naming if shape.names else None,
            "types": {raw: str(kind) for raw, kind in shape.types.items()},
        }
        problems = [problem.message for problem in shape.problems]
        found.findings.tell("schema", len(problems), "; ".join(problems))
        if not shape.rows:
            found.findings.tell("no-rows", 1)
        if found.findings.counts:
            return found
        _look(file, key, found, instrument, progress)
    return found


def _look(
    file: TableFile,
    key: LakeKey,
    found: Scan,
    instrument: Instrument | None,
    progress: Progress | None,
) -> None:
    kind = CHECKS[key.table]
    if instrument is None:
        grid = inferred_grid(file, kind.price_columns, kind.size_columns)
    else:
        grid = given_grid(instrument)
    check = kind(key.dt, grid, found.findings)
    for group, stop in enumerate(file.starts[1:]):
        row = file.starts[group]
        try:
            for chunk in file.group(group, check.columns):
                check.add(chunk)
                row += len(chunk)
        except InputError as error:
            found.findings.tell("unreadable", stop - row, error.message)
        if progress is not None:
            progress(int(found.size * stop / found.rows), found.size)
    check.finish()
    if check.suspects is not None:
        _look_again(file, found.findings, check.suspects)
    found.findings.tell("float-seconds", check.clock.float_stamps)
    described = grid.describe()
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
        "coverage": {"rows": found.rows, **check.clock.coverage()},
        "grid": described,
        "stamps": check.clock.stamps(),
        "table": check.facts(),
    }


def _look_again(file: TableFile, findings: Findings, suspects: Int64) -> None:
    """Find the rows whose trade id was there before."""
    again = SecondLook(suspects)
    for group in range(len(file.shape.groups)):
        try:
            for chunk in file.group(group, ("id",)):
                rows = again.add(integers(chunk.columns["id"]))
                if len(rows):
                    findings.add("duplicate-id", rows + chunk.first_row)
        except InputError:
            continue  # the first look has noted it
