"""Speed and memory of validation on one core, beside reading the same file and nothing else.

The file is **synthetic**: deltas of a random walk in messages of about eleven rows, row groups of
10,000, snappy. The time is that of the whole judgement: hash, decoding, every check; each step
runs in a process of its own, which says how much memory it ever held.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.report import peak_mib

from lobproof.acquire.checks.scan import scan
from lobproof.sources.cryptolake.layout import COLUMNS, LakeKey

KEY = LakeKey("book_delta_v2", "BINANCE", "SIM-USDT", "2026-01-05", "1.snappy.parquet")
START = 1_767_571_200_000_000_000
DAY = 86_400_000_000_000
GROUP = 10_000
CHUNK = 1_000_000
SMALL = 200_000


def generate(path: Path, rows: int, group: int = GROUP, seed: int = 7) -> None:
    """A synthetic day of deltas."""
    random = np.random.default_rng(seed)
    types = [pa.int64(), pa.int64(), pa.int64(), pa.bool_(), pa.float64(), pa.float64()]
    schema = pa.schema(
        list(zip(COLUMNS["book_delta_v2"], types, strict=True)),
        metadata={"provenance": "synthetic"},
    )
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        chunk = max(CHUNK, group)
        for first in range(0, rows, chunk):
            count = min(chunk, rows - first)
            at = np.arange(first, first + count)
            message = at // 11
            time_ms = (message * (DAY // 1_000_000)) // (rows // 11 + 1) + START // 1_000_000
            stamps = (time_ms / 1e3 * 1e9).astype(np.int64)
            receipts = ((time_ms * 1000 + 4_321) / 1e6 * 1e9).astype(np.int64)
            inside = at - message * 11
            ticks = 6_000_000 + (np.sin(message / 1e5) * 50_000).astype(np.int64)
            prices = (ticks + inside * 7 + random.integers(0, 7, count)) / 1e2
            sizes = random.integers(0, 400_000, count) * (random.random(count) < 0.7) / 1e5
            columns = [stamps, receipts, message * 13 + 1, inside % 2 == 0, prices, sizes]
            table = pa.Table.from_arrays([pa.array(c) for c in columns], schema=schema)
            writer.write_table(table, row_group_size=group)


def read_only(path: Path) -> None:
    """Decode every column, row group by row group."""
    file = pq.ParquetFile(path, pre_buffer=False)
    for group in range(file.num_row_groups):
        for _ in file.iter_batches(1 << 16, row_groups=[group], use_threads=False):
            pass


def judge(path: Path) -> None:
    """Judge the file by itself."""
    found = scan(path, KEY)
    grave = set(found.findings.counts) - {"float-seconds"}
    if grave:
        raise SystemExit(f"the generated file is not what it should be: {sorted(grave)}")


def measure(folder: Path, rows: int) -> dict[str, dict[str, float]]:
    """Processor time and peak MiB of reading a file of ``rows`` deltas, and of judging it."""
    path = folder / "large.parquet"
    generate(path.with_name("small.parquet"), SMALL)
    generate(path, rows)
    found = {}
    for step in ("read", "judge"):
        command = [sys.executable, "-m", "benchmarks.validation", step, str(path)]
        found[step] = json.loads(subprocess.check_output(command))
    path.unlink()
    return found


def run_child(step: str, path: Path) -> None:
    """One step, for :func:`measure`."""
    run = read_only if step == "read" else judge
    run(path.with_name("small.parquet"))  # imports and compilation
    before, start = peak_mib(), time.process_time()
    run(path)
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "before": before, "peak": peak_mib()}))


if __name__ == "__main__":
    run_child(sys.argv[1], Path(sys.argv[2]))
