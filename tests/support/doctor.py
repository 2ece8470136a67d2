"""A simulated day of Crypto Lake files on which the doctor's facts hold, and changed copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lobproof.acquire.facts import Fact, check_day
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.sources.simulator import simulate
from lobproof.sources.simulator.collectors import LakeConfig
from lobproof.sources.simulator.run import Imperfections

DAY = "2026-02-11"
GROUP_ROWS = 10_000

Change = Callable[[pl.DataFrame], pl.DataFrame]


def simulated_day(out: Path) -> Path:
    """The last 75 seconds of a day; some stamps missing, the recorder stalls over midnight."""
    stamps = LakeConfig(missing_share=0.002, late_share=0.05)
    made = simulate(
        out,
        preset="btc",
        minutes=1.2475,
        start=f"{DAY}T23:58:45Z",
        seed=5,
        lake=True,
        recording=False,
        imperfections=Imperfections(lake=stamps),
    )
    assert made.lake is not None
    return made.lake


def file_of(lake: Path, table: str) -> Path:
    (found,) = lake.glob(f"{table}/*/*/dt={DAY}/*.parquet")
    return found


def copy_of(lake: Path, out: Path, **changes: Change) -> Path:
    """The same day with some tables changed."""
    for table in TABLES:
        source = file_of(lake, table)
        frame = pq.read_table(source)
        if table in changes:
            changed = changes[table](pl.DataFrame(pl.from_arrow(frame))).to_arrow()
            frame = pa.table(
                [_as_text(column) for column in changed.columns], names=changed.column_names
            )
        write(frame, out / source.relative_to(lake))
    return out


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as the vendor's files have it, whatever Polars makes of it."""
    views = pa.types.is_string_view(column.type) or pa.types.is_large_string(column.type)
    return column.cast(pa.string()) if views else column


def write(frame: pa.Table, path: Path, *, rows: int = GROUP_ROWS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(frame, path, row_group_size=rows, compression="snappy")


def facts_of(lake: Path) -> dict[str, Fact]:
    files = {table: sorted(lake.glob(f"{table}/*/*/dt={DAY}/*.parquet")) for table in TABLES}
    return {fact.name: fact for fact in check_day(files, DAY)}


def failing(facts: dict[str, Fact]) -> set[str]:
    return {name for name, fact in facts.items() if fact.holds == "fails"}
