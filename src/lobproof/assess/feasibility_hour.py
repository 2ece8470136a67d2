"""An hour of Crypto Lake files to measure with: simulated, or the busiest of a given day."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lobproof.errors import InputError
from lobproof.paths import drop_writer
from lobproof.pipeline.lake import LakeDay
from lobproof.sources.cryptolake.chunks import (
    LakeFile,
    chunks,
    closed_files,
    integers,
    maybe_rows,
    read_spans,
)
from lobproof.sources.cryptolake.layout import COLUMNS
from lobproof.sources.simulator import PRESETS, simulate
from lobproof.timespan import HOUR_NS

_INTENSITY = 1.57
"""Of the preset `perp`: over 8 M events in an hour, most of them changes of levels."""
_TAKE_SHARE = 0.003
"""Of the arrivals; with the preset's own there would be ten times the trades of a real hour."""
_CHUNK_ROWS = 1 << 18
_RECEIVED = "receipt_timestamp"


def simulated_lake(folder: Path, minutes: float) -> Path:
    """The folder of the tables of a market in which over 8 M events come in an hour."""
    market = dataclasses.replace(PRESETS["perp"], take_share=_TAKE_SHARE)
    made = simulate(
        folder,
        config=market,
        intensity=_INTENSITY,
        minutes=minutes,
        recording=False,
        lake=True,
    )
    assert made.lake is not None
    return made.lake


def busiest_hour(day: LakeDay, folder: Path) -> Path:
    """Cut the hour of a day in which most rows were received, as files of their own.

    Of deltas; of `book` where there are none, of trades without either. Rows of all tables whose
    receive time lies in that hour are kept as they are.

    Raises
    ------
    InputError
        When a file cannot be read, or no row has a receive time.
    """
    main = next((t for t in ("book_delta_v2", "book", "trades") if day.files.get(t)), None)
    hour = None if main is None else _busiest(main, day.files[main])
    if hour is None:
        raise InputError(
            f"{day}: no row has a receive time, so no hour can be cut out of it",
            hint="look at the files: `lobproof acquire validate` says what is wrong with them",
        )
    for table, paths in day.files.items():
        name = f"{table}/exchange={day.exchange}/symbol={day.symbol}/dt={day.dt}"
        target = folder / name
        target.mkdir(parents=True)
        _cut(table, paths, hour, target / "1.snappy.parquet")
    return folder


def events_in(lake: Path) -> int:
    """Deltas and trades in a folder of tables."""
    files = [*lake.glob("book_delta_v2/*/*/*/*.parquet"), *lake.glob("trades/*/*/*/*.parquet")]
    return sum(int(pq.read_metadata(path).num_rows) for path in files)


def _busiest(table: str, paths: Sequence[Path]) -> int | None:
    """The hour since 1970 in which most rows were received; None where no row says when."""
    counts: dict[int, int] = {}
    for chunk in chunks(table, paths, (_RECEIVED,), _CHUNK_ROWS):
        received = integers(chunk, _RECEIVED, 0)
        hours, rows = np.unique(received[received > 0] // HOUR_NS, return_counts=True)
        for hour, count in zip(hours.tolist(), rows.tolist(), strict=True):
            counts[hour] = counts.get(hour, 0) + count
    return max(sorted(counts), key=lambda hour: counts[hour], default=None)


def _cut(table: str, paths: Sequence[Path], hour: int, target: Path) -> None:
    first, stop = hour * HOUR_NS, (hour + 1) * HOUR_NS
    files: list[LakeFile] = closed_files(table, paths)
    spans = maybe_rows(files, _RECEIVED, lambda least, most: least < stop and most >= first)
    writer: pq.ParquetWriter | None = None
    told = {k: v for k, v in (files[0].footer.metadata or {}).items() if k != b"ARROW:schema"}
    schema = None
    try:
        for _, chunk in read_spans(files, spans, COLUMNS[table], _CHUNK_ROWS):
            received = integers(chunk, _RECEIVED, 0)
            kept = (received >= first) & (received < stop)
            rows = pa.table(dict(chunk.columns)).replace_schema_metadata(told)
            if writer is None:
                schema = rows.schema
                writer = pq.ParquetWriter(target, schema, compression="snappy")
            writer.write_table(rows.filter(pa.array(kept)))
        if writer is None:  # no row of this table was received then
            target.parent.rmdir()
        else:
            writer.close()
    except BaseException:
        if writer is not None:
            drop_writer(writer)
        raise
