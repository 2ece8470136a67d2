"""Rates of single parts: fixed point, Parquet, the simulator."""

from __future__ import annotations

import shutil
from pathlib import Path
from time import perf_counter

from benchmarks import bench_fixedpoint, bench_store
from benchmarks.report import Budget, Section, Spread, timed

from lobproof.sources.simulator import simulate
from lobproof.store import symbol_lock

FIXED_POINT = {
    "parse_decimal, 10^-8": "decimal text → int64",
    "to_decimal128": "int64 → decimal128(38,18)",
    "from_decimal128": "decimal128(38,18) → int64",
}
VALUES = 2_000_000
SIMULATED_MINUTES = {"btc": 30.0, "perp": 10.0}


def fixed_point(section: Section, repeats: int) -> None:
    """Decimal text, integers, 128-bit decimals."""
    runs = bench_fixedpoint.runs(VALUES)
    seconds: dict[str, list[float]] = {name: [] for name in FIXED_POINT}
    for _ in range(repeats):
        for name in FIXED_POINT:
            seconds[name].append(timed(runs[name]))
    rates = {name: Spread.rates(VALUES, values) for name, values in seconds.items()}
    section.table(
        "Fixed point, one core",
        ("", "M values/s"),
        [[words, rates[name]] for name, words in FIXED_POINT.items()],
    )
    parsed = next(iter(rates.values()))
    section.budgets.append(Budget("decimal text → int64", 20, "M values/s", parsed.median))


def parquet(section: Section, scratch: Path, repeats: int, rows: int) -> None:
    """Writing the two large tables, hashes and decimals included."""
    ready = list(bench_store.event_batches(min(rows, 2_000_000)))
    states = bench_store.state_batches(ready[0])
    root = scratch / "parquet"
    written: dict[str, list[bench_store.Written]] = {"events": [], "states": []}
    for _ in range(repeats):
        shutil.rmtree(root, ignore_errors=True)
        instrument = bench_store.INSTRUMENT
        with symbol_lock(root, instrument.exchange, instrument.symbol):
            written["events"].append(bench_store.write_events(root, rows, ready))
            written["states"].append(bench_store.write_states(root, rows // 40, states))
    shutil.rmtree(root, ignore_errors=True)
    section.table(
        "Writing tables: decimals, hashes, Parquet, fsync",
        ("", "rows", "M rows/s", "M rows/s of processor time", "bytes a row"),
        [
            [
                f"`{table}`",
                f"{runs[0].rows:,}",
                Spread(tuple(run.rows / run.wall / 1e6 for run in runs)),
                Spread(tuple(run.rows / run.cpu / 1e6 for run in runs)),
                f"{runs[0].size / runs[0].rows:.1f}",
            ]
            for table, runs in written.items()
        ],
    )
    section.text(
        "Synthetic rows: prices about a drifting touch, heavy-tailed sizes. A row of `states` has "
        "80 decimals."
    )


def simulator(section: Section, scratch: Path, repeats: int) -> None:
    """A market, its feed, and the recording that it leaves."""
    table: list[list[object]] = []
    for preset, minutes in SIMULATED_MINUTES.items():
        out = scratch / "simulator"
        seconds: list[float] = []
        events = changes = 0
        for _ in range(repeats):
            shutil.rmtree(out, ignore_errors=True)
            start = perf_counter()
            made = simulate(out, preset=preset, minutes=minutes)
            seconds.append(perf_counter() - start)
            events, changes = made.counts["market_events"], made.counts["level_changes"]
        shutil.rmtree(out, ignore_errors=True)
        rate = Spread.rates(events, seconds)
        table.append([f"`{preset}`, {minutes:g} minutes", f"{events:,}", f"{changes:,}", rate])
        if preset == "perp":
            section.budgets.append(
                Budget("simulator, recording written", 0.5, "M book events/s", rate.median)
            )
    section.table(
        "Simulator: matching, feed, gzip recording written",
        ("preset", "market events", "level changes sent", "M market events/s"),
        table,
    )
