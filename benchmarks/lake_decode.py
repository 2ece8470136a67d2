"""Crypto Lake's files to batches: speed on one core, and memory; the grid of a day.

The files are **synthetic**: deltas in messages of forty rows with prices around 60,000.00, heavy
tails on either side, sizes of five decimals, times that were float seconds; trades and books of the
same market. Row groups of 10,000, snappy. Each step runs in a process of its own, which says how
much memory it ever held.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.report import Budget, Section, Spread, number, peak_mib
from numpy.typing import NDArray

from lobproof.instruments import Instrument
from lobproof.readahead import read_ahead
from lobproof.sources.cryptolake.chunks import CHUNK_ROWS
from lobproof.sources.cryptolake.decode import books, deltas, trades
from lobproof.sources.cryptolake.grid import infer_grid
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS
from lobproof.sources.cryptolake.write import SCHEMAS

ROWS_A_SECOND = 10.0
MEMORY_MIB = 200.0
START = 1_767_571_200_000_000_000
DAY = 86_400_000_000_000
GROUP = 10_000
CHUNK = 1_000_000
MESSAGE = 40
SMALL = 200_000
SHARES = {"book_delta_v2": 1.0, "trades": 0.1, "book": 0.02}
INSTRUMENT = Instrument.given("BINANCE", "SIM-USDT", "SIM-USDT", [(0, "0.01", "0.00001")])
Random = np.random.Generator


def generate(folder: Path, rows: int, seed: int = 7) -> dict[str, Path]:
    """A synthetic day of ``rows`` deltas, and of fewer trades and books, by table."""
    random = np.random.default_rng(seed)
    made = {}
    for table, share in SHARES.items():
        made[table] = folder / f"{table}-{rows}.parquet"
        schema = SCHEMAS[table].with_metadata({"provenance": "synthetic"})
        count = int(rows * share)
        chunk = CHUNK // 20 if table == "book" else CHUNK
        with pq.ParquetWriter(made[table], schema, compression="snappy") as writer:
            for first in range(0, count, chunk):
                at = np.arange(first, min(first + chunk, count))
                columns = _columns(table, at, count, random)
                arrays = [pa.array(columns[name]) for name in schema.names]
                part = pa.Table.from_arrays(arrays, schema=schema)
                writer.write_table(part, row_group_size=GROUP)
    return made


def _columns(table: str, at: NDArray[np.int64], count: int, random: Random) -> dict[str, Any]:
    message = at // MESSAGE if table == "book_delta_v2" else at
    time_ms = START // 1_000_000 + message * (DAY // 1_000_000) // (count // MESSAGE + count)
    late_us = 2_000 + message * 7_919 % 5_000
    middle = 6_000_000 + (np.sin(message / 1e4) * 50_000).astype(np.int64)
    columns: dict[str, Any] = {
        "timestamp": (time_ms / 1e3 * 1e9).astype(np.int64),
        "receipt_timestamp": ((time_ms * 1000 + late_us) / 1e6 * 1e9).astype(np.int64),
        "sequence_number": 10**10 + message * 47,
        "id": 10**9 + at,
        "side": np.where(random.random(len(at)) < 0.5, "buy", "sell"),
        "side_is_bid": random.random(len(at)) < 0.5,
        "amount": _sizes(len(at), random) / 1e5,
    }
    if table == "book":
        for k, name in enumerate(LEVEL_COLUMNS):
            level, is_ask = k // 2 % 20, k >= len(LEVEL_COLUMNS) // 2
            price = middle + 1 + level if is_ask else middle - level
            columns[name] = _sizes(len(at), random) / 1e5 if k % 2 else price / 1e2
        return columns
    away = (random.pareto(0.9, len(at)) * 40).astype(np.int64) % 400_000
    away *= table == "book_delta_v2"
    columns["price"] = np.where(columns["side_is_bid"], middle - away, middle + 1 + away) / 1e2
    columns["size"] = _sizes(len(at), random) * (random.random(len(at)) < 0.65) / 1e5
    return columns


def _sizes(count: int, random: Random) -> NDArray[np.int64]:
    return 1 + (random.pareto(0.8, count) * 2000).astype(np.int64) % 50_000_000


def _batches(decoded: Iterator[Any]) -> None:
    for _ in decoded:
        pass


def _read(files: dict[str, Path]) -> None:
    file = pq.ParquetFile(files["book_delta_v2"], pre_buffer=False)
    for _ in file.iter_batches(CHUNK_ROWS, use_threads=False):
        pass


STEPS: dict[str, tuple[str, str, Callable[[dict[str, Path]], object]]] = {
    "read": ("reading `book_delta_v2` alone", "book_delta_v2", _read),
    "deltas": (
        "`deltas`",
        "book_delta_v2",
        lambda files: _batches(deltas([files["book_delta_v2"]], INSTRUMENT)),
    ),
    "ahead": (
        "`deltas` behind `read_ahead`",
        "book_delta_v2",
        lambda files: _batches(read_ahead(deltas([files["book_delta_v2"]], INSTRUMENT))),
    ),
    "trades": (
        "`trades`",
        "trades",
        lambda files: _batches(trades([files["trades"]], INSTRUMENT)),
    ),
    "books": ("`books`", "book", lambda files: _batches(books([files["book"]], INSTRUMENT))),
    "grid": (
        "`infer_grid`, all three tables, two threads",
        "book_delta_v2",
        lambda files: infer_grid({t: [f] for t, f in files.items()}, "BINANCE", "SIM-USDT"),
    ),
}


def measure(folder: Path, rows: int, repeats: int) -> Section:
    """All steps on a day of ``rows`` deltas, as one section."""
    section = Section(
        "lake",
        "Crypto Lake: files to batches",
        "Data: **synthetic** files: deltas in messages of forty rows around 60,000.00, a tenth as "
        "many trades, a fiftieth as many books; row groups of 10,000, snappy.",
    )
    generate(folder, SMALL)
    files = generate(folder, rows)
    found = {step: [_child(step, folder, rows) for _ in range(repeats)] for step in STEPS}
    table = []
    for step, (words, of, _) in STEPS.items():
        count, runs = int(rows * SHARES[of]), found[step]
        table.append(
            [
                words,
                f"{count:,}",
                Spread.rates(count, [run["seconds"] for run in runs]),
                Spread.rates(count, [run["clock"] for run in runs]),
                number(max(run["over"] for run in runs)),
                number(max(run["peak"] for run in runs)),
            ]
        )
    head = ("", "rows", "M rows/s of processor time", "M rows/s on the clock")
    section.table(
        f"A day of {rows / 1e6:g} M deltas",
        (*head, "peak memory over a small file's, MiB", "peak memory, MiB"),
        table,
    )
    rate = Spread.rates(rows, [run["seconds"] for run in found["deltas"]]).median
    over = max(run["over"] for run in found["deltas"])
    section.budgets += [
        Budget("Crypto Lake's deltas → EventBatch, one core", ROWS_A_SECOND, "M rows/s", rate),
        Budget("peak memory of that over a small file's", MEMORY_MIB, "MiB", over, True),
    ]
    for path in files.values():
        path.unlink()
    return section


def _child(step: str, folder: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.lake_decode", step, str(folder), str(rows)]
    found: dict[str, float] = json.loads(subprocess.check_output(command))
    return found


def run_child(step: str, folder: Path, rows: int) -> None:
    """One step, for :func:`measure`."""
    run = STEPS[step][2]
    files = [
        {table: folder / f"{table}-{count}.parquet" for table in SHARES} for count in (SMALL, rows)
    ]
    run(files[0])  # imports and compilation
    before, clock, start = peak_mib(), time.perf_counter(), time.process_time()
    run(files[1])
    found = {
        "seconds": time.process_time() - start,
        "clock": time.perf_counter() - clock,
        "over": peak_mib() - before,
        "peak": peak_mib(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    run_child(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
