"""Reconstructions in processes that are killed at random instants and started again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lobproof.pipeline import PartialDay
from lobproof.schema.tables import TABLES
from lobproof.sources.simulator import simulate
from lobproof.store import Partition, open_store, sealed
from lobproof.store.delta import listed_files, open_delta

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

_SCRIPT = """
import sys
from pathlib import Path
from lobproof.pipeline import PartialDay, ReconstructOptions, lake_days
from lobproof.pipeline import reconstruct, reconstruct_day

source, out, strategy, part_rows, batch_rows, since_ns, base = sys.argv[1:]
options = ReconstructOptions(strategy=strategy, part_rows=int(part_rows), keyframe_seconds=5)
lake = not (Path(source) / "golden.json").is_file()
days = lake_days(Path(source)) if lake else ()
since = PartialDay(int(since_ns), Path(base)) if since_ns else None
days = [day for day in days if since is None or day.dt == since.dt]
print("ready", flush=True)
begun = []

def progress(reached):
    if not begun:  # kernels are loaded, which takes longer than all that follows
        begun.append(print("begun", flush=True))

how = dict(batch_rows=int(batch_rows), since=since, progress=progress)
if not lake:
    reconstruct(Path(source), Path(out), options, **how)
for at, day in enumerate(days):
    reconstruct_day(day, Path(out), options, carry=at > 0, **how)
"""


def simulated(folder: Path, *, minutes: float = 0.8, recording: bool = False) -> Path:
    """Two days of Crypto Lake files (or recordings), some seconds on both sides of a midnight."""
    made = simulate(
        folder,
        lake=not recording,
        recording=recording,
        minutes=minutes,
        start="2026-01-04T23:59:30Z",
        snapshot_every=10.0,
        seed=3,
    )
    return folder if made.lake is None else made.lake


def thinned(lake: Path, to: Path, share: float) -> Path:
    """The same lake, of whose level changes a share is lost at random."""
    rng = random.Random(5)
    for path in sorted(lake.rglob("*.parquet")):
        there = to / path.relative_to(lake)
        there.parent.mkdir(parents=True)
        table = pq.read_table(path)
        if "book_delta_v2" in path.parts or "book_delta_v2" in str(path):
            table = table.filter(pa.array([rng.random() >= share for _ in range(len(table))]))
        pq.write_table(table, there)
    return to


@contextmanager
def running(
    source: Path,
    out: Path,
    *,
    strategy: str,
    part_rows: int,
    batch_rows: int = 500,
    since: PartialDay | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A process that says when it is ``ready`` and has ``begun``; it is killed at the end."""
    begins = ("", "") if since is None else (str(since.time_ns), str(since.base))
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _SCRIPT),
            *(str(source), str(out), strategy, str(part_rows), str(batch_rows), *begins),
        ],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(line: str, process: subprocess.Popen[str]) -> None:
    """Read until the process has said so, or ends."""
    assert process.stdout is not None
    for said in process.stdout:
        if said.strip() == line:
            return


def made_whole(source: Path, out: Path, **how: Any) -> float:
    """Reconstruct undisturbed; the seconds that it took once it had begun."""
    with running(source, out, **how) as process:
        wait_for("begun", process)
        began = time.monotonic()
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        return time.monotonic() - began


def killed_until_done(
    source: Path, out: Path, rng: random.Random, longest: float, **how: Any
) -> int:
    """Start again and again, each time killed at a random instant within ``longest`` seconds.

    Those begin where a batch has been replayed; or, one time in four, where everything does.
    Returns the kills; the last run was faster than its kill.
    """
    kills = 0
    while True:
        with running(source, out, **how) as process:
            wait_for("ready" if rng.random() < 0.25 else "begun", process)
            try:
                _, errors = process.communicate(timeout=rng.uniform(0, longest))
            except subprocess.TimeoutExpired:
                kills += 1
                continue
            assert process.returncode == 0, errors
            return kills


def told(out: Path) -> list[dict[str, Any]]:
    """What the seals say, but for the time."""
    return sealed(out).drop("sealed_at").to_dicts()


def assert_tidy(out: Path) -> None:
    """Every file of the store is listed, no checkpoint is left, and the content holds."""
    assert not list((out / ".checkpoints").glob("*"))
    for row in sealed(out).iter_rows(named=True):
        partition = Partition(row["exchange"], row["symbol"], row["dt"])
        for table in TABLES:
            folder = out / table.name / partition.folder
            there = {f"{partition.folder}/{path.name}" for path in folder.glob("*")}
            there |= {f"{partition.folder}/{path.name}" for path in folder.glob(".*")}
            assert there == set(listed_files(open_delta(out, table), partition))
    assert open_store(out).audit().clean
