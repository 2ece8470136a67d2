"""Acquire: downloads beside a plain copy, and validation beside reading."""

from __future__ import annotations

from pathlib import Path

from benchmarks import transfer, validation
from benchmarks.report import Budget, Section, number

SHARE = 80.0
MEMORY_MIB = 150.0
ROWS_A_SECOND = 5.0


def measure(scratch: Path, *, quick: bool, rows: int) -> Section:
    """Both, as one section."""
    section = Section(
        "acquire",
        "Acquire: download and validation",
        "Data: **synthetic**. Objects of random bytes behind a local S3 server (moto's), which "
        "shares the machine's cores with the client; a file of generated deltas.",
    )
    objects, mib, rounds = (2, 16, 2) if quick else (4, 256, 3)
    _transfer(section, objects, mib, rounds)
    _validation(section, scratch, rows)
    return section


def _transfer(section: Section, objects: int, mib: int, rounds: int) -> None:
    found = transfer.compare(objects, mib, rounds, (1, 2, 4))
    section.table(
        f"Download of {objects} objects of {mib} MiB: MB a second on the clock",
        ("ETag, workers", "plain copy", "copy + SHA-256", "lobproof", "lobproof ÷ plain copy"),
        [
            [
                f"{'of parts' if one.parts else 'an MD5'}, {one.workers}",
                one.copy,
                one.hashed,
                one.ours,
                f"{100 * one.ours.over(one.copy).median:.0f} %",
            ]
            for one in found
        ],
    )
    section.text(
        "The plain copy streams each object into a file and does nothing else. lobproof's figure "
        "includes SHA-256 (and MD5 where the ETag is one) in threads of their own, the catalogue, "
        "syncs, footer and manifest. Over loopback, on two cores that the server shares, hashing "
        "has no core to itself."
    )
    best = max(one.ours.over(one.copy).median for one in found if one.parts)
    memory = max(one.memory for one in found)
    section.budgets += [
        Budget("download ÷ plain copy, the best number of workers", SHARE, "%", 100 * best),
        Budget("peak memory of a download over the imports", MEMORY_MIB, "MiB", memory, True),
    ]


def _validation(section: Section, scratch: Path, rows: int) -> None:
    found = validation.measure(scratch, rows)
    section.table(
        f"Validation of {rows / 1e6:g} M deltas, one core",
        ("", "processor time, s", "M rows/s", "peak memory, MiB", "after a small file, MiB"),
        [
            [
                name,
                number(one["seconds"]),
                number(rows / one["seconds"] / 1e6),
                number(one["peak"]),
                number(one["before"]),
            ]
            for name, one in (("reading alone", found["read"]), ("validate", found["judge"]))
        ],
    )
    rate = rows / found["judge"]["seconds"] / 1e6
    section.budgets.append(Budget("validation of deltas", ROWS_A_SECOND, "M rows/s", rate))
