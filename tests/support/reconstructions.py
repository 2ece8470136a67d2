"""Crypto Lake days simulated, thinned and reconstructed; and what two reconstructions share."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from lobproof.pipeline import (
    PartialDay,
    ReconstructOptions,
    ReconstructResult,
    lake_days,
    reconstruct_day,
)
from lobproof.schema.tables import TABLES
from lobproof.sources.simulator import simulate
from lobproof.store import Partition, open_store, sealed
from lobproof.store.delta import listed_files, open_delta
from support.kills import Process, running, wait_for

Keep = Callable[[str, str, pl.DataFrame], pl.Series]
"""Of a table, its day and its rows: which stay."""

_SCRIPT = """
import sys
from pathlib import Path
from lobproof.pipeline import PartialDay, ReconstructOptions, lake_days
from lobproof.pipeline import reconstruct_day, reconstruct_sample

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
    reconstruct_sample(Path(source), Path(out), options, **how)
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


def reconstruct_lake(
    lake: Path, out: Path, options: ReconstructOptions | None = None
) -> list[ReconstructResult]:
    """Every day of a folder, into one store."""
    return [reconstruct_day(day, out, options) for day in lake_days(lake)]


def without(lake: Path, out: Path, keep: Keep) -> Path:
    """The same folder with fewer rows."""
    for path in sorted(lake.rglob("*.parquet")):
        key = path.relative_to(lake)
        table = pq.read_table(path, partitioning=None)
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        (out / key).parent.mkdir(parents=True, exist_ok=True)
        kept = table.filter(keep(key.parts[0], key.parent.name, frame).to_arrow())
        pq.write_table(kept, out / key, compression="snappy", row_group_size=10_000)
    return out


def thinned(lake: Path, to: Path, share: float) -> Path:
    """The same lake, of whose level changes a share is lost at random."""
    rng = random.Random(5)

    def keep(table: str, dt: str, rows: pl.DataFrame) -> pl.Series:
        lossy = table == "book_delta_v2"
        return pl.Series([not lossy or rng.random() >= share for _ in range(rows.height)])

    return without(lake, to, keep)


@contextmanager
def reconstructing(
    source: Path,
    out: Path,
    *,
    strategy: str,
    part_rows: int,
    batch_rows: int = 500,
    since: PartialDay | None = None,
) -> Iterator[Process]:
    """A process that says when it is ``ready`` and has ``begun``; it is killed at the end."""
    begins = ("", "") if since is None else (since.time_ns, since.base)
    with running(_SCRIPT, source, out, strategy, part_rows, batch_rows, *begins) as process:
        yield process


def made_whole(source: Path, out: Path, **how: Any) -> float:
    """Reconstruct undisturbed; the seconds that it took once it had begun."""
    with reconstructing(source, out, **how) as process:
        wait_for("begun", process)
        began = time.monotonic()
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        return time.monotonic() - began


def seals(out: Path) -> list[dict[str, Any]]:
    """What the seals say, but for the time."""
    return sealed(out).drop("sealed_at").to_dicts()


def assert_whole_days(out: Path, expected: list[dict[str, Any]]) -> None:
    """What a kill leaves: the first days as they must be, and of others nothing to be read."""
    there = seals(out)
    assert there == expected[: len(there)]
    if there:
        store = open_store(out)
        assert store.audit().clean
        days = {row["dt"] for row in there}
        for rows in (store.events(raw=True), store.states(raw=True)):
            assert set(rows.select("dt").unique().collect()["dt"]) == days


def assert_tidy(out: Path) -> None:
    """Every file of the store is listed, no checkpoint is left, and the content holds."""
    assert not list((out / ".checkpoints").glob("*"))
    for row in sealed(out).iter_rows(named=True):
        assert_listed(out, Partition(row["exchange"], row["symbol"], row["dt"]))
    assert open_store(out).audit().clean


def assert_listed(out: Path, partition: Partition) -> None:
    """Of a day there is no file in a table's folder that the table does not list."""
    for table in TABLES:
        folder = out / table.name / partition.folder
        there = {f"{partition.folder}/{path.name}" for path in folder.iterdir()}
        assert there == set(listed_files(open_delta(out, table), partition))
