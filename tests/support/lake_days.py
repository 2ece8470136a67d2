"""Days of derived Crypto Lake tables: reconstructed, cut, thinned; their states as arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof.pipeline import ReconstructOptions, ReconstructResult
from lobproof.pipeline.lake import lake_days, reconstruct_day
from lobproof.schema import LEVELS, Flag, Kind
from lobproof.schema.tables import STATE_LEVEL_COLUMNS
from lobproof.store import Store
from plain.recording import DIGITS, Truth

Keep = Callable[[str, str, pl.DataFrame], pl.Series]
"""Of a table, its day and its rows: which stay."""


class States(NamedTuple):
    """States as arrays: levels (rows, 2, 20, 2) counted in 10^-8, trusted slots (rows, 2)."""

    sequence: NDArray[np.int64]
    levels: NDArray[np.int64]
    trusted: NDArray[np.int64]
    of_depth: NDArray[np.bool_]

    def at_depth(self) -> States:
        """Those that follow a depth message, not a snapshot."""
        kept = self.of_depth
        return States(self.sequence[kept], self.levels[kept], self.trusted[kept], kept[kept])


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


def started_late(lake: Path, out: Path) -> Path:
    """The same folder without the first third of each day, by its deltas."""
    first: dict[str, dict[str, int]] = {}
    for path in lake.glob("book_delta_v2/**/*.parquet"):
        rows = pl.read_parquet(path, columns=["timestamp", "sequence_number"])
        first[path.parent.name] = rows.row(rows.height // 3, named=True)

    def keep(table: str, dt: str, rows: pl.DataFrame) -> pl.Series:
        name = "timestamp" if table == "trades" else "sequence_number"
        late: pl.Series = rows[name] > first[dt][name]
        return late

    return without(lake, out, keep)


def states_of(store: Store) -> States:
    """All states of a store, in order."""
    ends = (
        store.events(raw=True)
        .filter((pl.col("flags") & int(Flag.LAST)) != 0)
        .select("dt", "event_id", "kind")
    )
    frame = (
        store.states(raw=True)
        .join(ends, on=["dt", "event_id"], how="left", maintain_order="left")
        .collect()
    )
    physical = frame.select(
        (pl.col(name).to_physical() // 10 ** (18 - DIGITS)).cast(pl.Int64)
        for name in STATE_LEVEL_COLUMNS
    ).to_numpy()
    return States(
        frame["sequence"].to_numpy(),
        physical.reshape(-1, 2, LEVELS, 2),
        frame.select("bid_trusted", "ask_trusted").cast(pl.Int64).to_numpy(),
        (frame["kind"] != int(Kind.SNAPSHOT)).to_numpy(),
    )


def hold_against(states: States, truth: Truth) -> tuple[int, int]:
    """No claimed slot differs from the truth; claimed slots that it knows, and that it does not."""
    at = truth.rows(states.sequence)
    slot = np.arange(LEVELS)
    claimed = slot < states.trusted[:, :, None]
    known = slot < truth.known[at][:, :, None]
    differs = (states.levels != truth.levels[at]).any(axis=3)
    wrong = np.argwhere(claimed & known & differs)
    assert not len(wrong), (len(wrong), states.sequence[wrong[0, 0]], wrong[0])
    return int(np.count_nonzero(claimed & known)), int(np.count_nonzero(claimed & ~known))
