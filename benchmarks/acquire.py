"""Acquire: downloads beside a plain copy, and validation beside reading."""

from __future__ import annotations

from pathlib import Path

from benchmarks import transfer, validation
from benchmarks.report import Budget, Section, number

from lobproof.acquire.transfer import WORKERS

SHARE = 80.0
LINE = 300.0
"""MB a second of a fast line that a user may have: 2.5 Gbit/s."""
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
    found = transfer.compare(objects, mib, rounds, (1, 2, 4), WORKERS, LINE)
    cost = {table: transfer.hash_seconds(table) for table in (transfer.PARTS, transfer.MD5)}
    section.table(
        f"Download of {objects} objects of {mib} MiB: MB a second on the clock",
        (
            "ETag, workers",
            "plain copy",
            "copy + hashes",
            "lobproof",
            "lobproof ÷ plain copy",
            "what hashing leaves",
        ),
        [
            [
                _name(one),
                *(one.speed[what] for what in transfer.WAYS),
                f"{one.share:.0f} %",
                "–" if one.limit else f"{one.ceiling(cost[one.table]):.0f} %",
            ]
            for one in found
        ],
    )
    section.table(
        "The same downloads: processor seconds of the client for one GB",
        ("ETag, workers", "plain copy", "copy + hashes", "lobproof", "the hashes alone"),
        [
            [
                _name(one),
                *(one.processor[what] for what in transfer.WAYS),
                number(cost[one.table]),
            ]
            for one in found
        ],
    )
    section.text(
        "The plain copy streams each object into a file and does nothing else; copy + hashes takes "
        "SHA-256 of it too, and MD5 where the ETag is one, as a download must. lobproof's figure "
        "includes the catalogue, syncs to the disk, footer and manifest, which neither copy has.",
        "Over loopback the processor is the limit: server and client share the cores. What hashing "
        "leaves is the share that a copy keeps which has these hashes and no other cost, if the "
        "plain copy has all cores busy. Where that is below the budget, no download that hashes "
        f"can meet it here. On a line of {LINE:g} MB a second for all workers together (a relay "
        "between client and server, a process of its own) the line is the limit.",
    )
    for one in found:
        if one.workers == WORKERS:
            what = f"download ÷ plain copy, default workers; {_name(one)}"
            section.budgets.append(Budget(what, SHARE, "%", one.share))
    memory = max(max(one.memory["ours"].values) for one in found)
    section.budgets.append(
        Budget("peak memory of a download over the imports", MEMORY_MIB, "MiB", memory, True)
    )


def _name(one: transfer.Compared) -> str:
    etag = "of parts" if one.table == transfer.PARTS else "an MD5"
    line = f", {one.limit:g} MB/s" if one.limit else ""
    return f"{etag}, {one.workers}{line}"


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
