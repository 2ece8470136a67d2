"""Peak memory: the chain in a process of its own, which says how much it ever held."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.report import Budget, Section, number, peak_mib

from lobproof.pipeline import reconstruct_sample
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import PRESETS, simulate

LIMIT_GIB = 1.5
DAY_MINUTES = 24 * 60.0
DAY_CHANGES = 50e6
PERP_DAY_CHANGES = 160e6
"""Fewer level changes than a day of the preset `perp` has, whatever the run of its market."""


def child(*arguments: object) -> dict[str, Any]:
    """Run one step in a process of its own; what it did, its time and its peak."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def table(
    section: Section, title: str, files: Sequence[Path], provenance: str, scratch: Path, what: str
) -> None:
    """Import and reconstruct ``files`` in a process each and put down their peaks."""
    golden, store = scratch / "memory-golden", scratch / "memory-store"
    imported = child("import", golden, provenance, *files)
    built = child("reconstruct", golden, store)
    section.table(
        title,
        ("", "rows of `events`", "seconds", "M rows/s", "peak memory, MiB"),
        [
            [
                name,
                f"{built['rows']:,}",
                number(step["seconds"]),
                number(built["rows"] / step["seconds"] / 1e6),
                number(step["peak_mib"]),
            ]
            for name, step in (("import", imported), ("reconstruct", built))
        ],
    )
    peak = max(imported["peak_mib"], built["peak_mib"]) / 1024
    section.budgets.append(Budget(f"peak memory, {what}", LIMIT_GIB, "GiB", peak, at_most=True))


def simulated_day(scratch: Path, changes: float) -> Section:
    """A day of about ``changes`` level changes: simulated, imported, reconstructed."""
    made = child("simulate", scratch / "memory-simulated", changes)
    files = [Path(name) for name in made["files"]]
    what = f"simulated day of {made['level_changes'] / 1e6:.1f} M level changes"
    section = Section(
        "memory",
        "Memory: a large simulated day",
        "Data: **synthetic**, a day of the preset `perp` with its arrivals scaled: "
        f"{made['level_changes']:,} level changes in {made['depth_messages']:,} depth messages, "
        f"{made['trades']:,} trades, {made['tickers']:,} tickers.",
    )
    section.text(
        f"Simulated and written in {number(made['seconds'])} s with a peak of "
        f"{number(made['peak_mib'])} MiB. Each step ran in a process of its own; its peak is what "
        "the system counted for it, the interpreter and its libraries included."
    )
    table(section, "A large day", files, "synthetic", scratch, what)
    return section


def main() -> None:
    """One step, for :func:`child`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("simulate", "import", "reconstruct"))
    parser.add_argument("rest", nargs="+")
    options = parser.parse_args()
    start = perf_counter()
    answer = {"simulate": _simulate, "import": _import, "reconstruct": _reconstruct}[options.step](
        options.rest
    )
    answer["seconds"] = perf_counter() - start
    answer["peak_mib"] = peak_mib()
    print(json.dumps(answer))


def _simulate(rest: list[str]) -> dict[str, Any]:
    perp = PRESETS["perp"]
    config = dataclasses.replace(perp, rate=perp.rate * float(rest[1]) / PERP_DAY_CHANGES)
    result = simulate(Path(rest[0]), config=config, minutes=DAY_MINUTES)
    return {"files": [str(path) for path in result.recordings], **result.counts}


def _import(rest: list[str]) -> dict[str, Any]:
    import_recordings([Path(name) for name in rest[2:]], Path(rest[0]), provenance=rest[1])
    return {}


def _reconstruct(rest: list[str]) -> dict[str, Any]:
    golden = GoldenSample.load(Path(rest[0]))
    result = reconstruct_sample(golden.path, Path(rest[1]))
    return {"rows": sum(day.counts.events for day in result.days)}


if __name__ == "__main__":
    main()
