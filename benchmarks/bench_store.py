"""Writing and reading a store: rows per second of events and of states, on synthetic days.

Run: ``python benchmarks/bench_store.py [--rows N] [--states N]``. Prints; asserts nothing.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from lobproof.instruments import Instrument, Rule
from lobproof.schema import LEVELS, EventBatch, Flag, Kind, StateBatch
from lobproof.store import DayContent, DayWriter, commit_day, open_store, symbol_lock

BATCH = 1 << 16
START = 1_723_075_200 * 10**9
INSTRUMENT = Instrument("BINANCE", "BTC-USDT", "BTCUSDT", 2, 8, (Rule(0, 1, 1000),))
SEAL = {
    "provenance": "synthetic",
    "certified": False,
    "strategy": "full",
    "trades": 0,
    "book_messages": 0,
    "gaps": 0,
    "doubtful_ns": 0,
    "inputs": [],
    "config": {},
    "carried_from": "",
    "task_id": "bench",
    "task_part": 0,
    "task_last": True,
    "verdicts": {},
}


def event_batches(rows: int) -> Iterator[EventBatch]:
    """Depth messages of 16 rows about a drifting price, sizes as heavy-tailed as real ones."""
    rng = np.random.default_rng(7)
    done = 0
    mid = 6_000_000
    while done < rows:
        count = min(BATCH, rows - done)
        message = (np.arange(done, done + count)) // 16
        batch = EventBatch.empty(count)
        batch.ts_order[:] = START + message * 100_000_000 // 10
        batch.ts_event[:] = batch.ts_order
        batch.ts_recv[:] = batch.ts_order + rng.integers(1, 30_000, count)
        batch.sequence[:] = 50_000_000_000 + message * 20
        batch.prev_sequence[:] = batch.sequence - 20
        batch.kind[:] = Kind.DELTA
        batch.side[:] = 1 + (np.arange(count) % 16 >= 8)
        steps = rng.exponential(2_000, count).astype(np.int64)
        batch.price[:] = mid + np.where(batch.side == 1, -steps, steps)
        sizes = np.exp(rng.normal(-3, 2.5, count)) * 1e5
        batch.size[:] = np.where(rng.random(count) < 0.3, 0, sizes.astype(np.int64) * 1000)
        batch.flags[15::16] = Flag.LAST
        batch.flags[-1] |= Flag.LAST
        mid += int(rng.integers(-50, 51))
        yield batch
        done += count


def state_batches(events: EventBatch) -> StateBatch:
    """A state at each message end, its levels about the batch's first price."""
    ids = np.flatnonzero(events.flags & Flag.LAST)
    states = StateBatch.empty(len(ids))
    states.event_id[:] = ids
    states.ts_order[:] = events.ts_order[ids]
    states.ts_event[:] = events.ts_event[ids]
    states.sequence[:] = events.sequence[ids]
    rng = np.random.default_rng(len(ids))
    gaps = np.cumsum(rng.integers(1, 4, (len(ids), LEVELS)), axis=1)
    states.levels[:, 0 : 2 * LEVELS : 2] = 6_000_000 - gaps
    states.levels[:, 2 * LEVELS :: 2] = 6_000_001 + gaps
    states.levels[:, 1::2] = rng.integers(1, 10**5, (len(ids), 2 * LEVELS)) * 1000
    states.bid_trusted[:] = states.ask_trusted[:] = LEVELS
    return states


@dataclass(frozen=True, slots=True)
class Written:
    """A table written: rows, seconds on the clock and of the processor, bytes on disk."""

    rows: int
    wall: float
    cpu: float
    size: int
    content: DayContent


def write_events(root: Path, rows: int, ready: list[EventBatch]) -> Written:
    """Write a day of events, ``ready`` again and again, without committing it."""
    none = StateBatch.empty()
    writer = DayWriter(root, INSTRUMENT, "2024-08-08")
    began, cpu = time.perf_counter(), time.process_time()
    done = 0
    while done < rows:
        batch = ready[(done // BATCH) % len(ready)]
        batch.ts_order[:] = START + done
        writer.append(batch, none)
        done += len(batch)
    content = writer.close()
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    return Written(done, wall, spent, _size(content, "events"), content)


def write_states(root: Path, rows: int, states: StateBatch) -> Written:
    """Write a day of states, ``states`` again and again, without committing it."""
    writer = DayWriter(root, INSTRUMENT, "2024-08-09")
    filler = EventBatch.empty(len(states))
    filler.flags[:] = Flag.LAST
    began, cpu = time.perf_counter(), time.process_time()
    done = 0
    while done < rows:
        states.event_id[:] = np.arange(done, done + len(states))
        writer.append(filler, states)
        done += len(states)
    content = writer.close()
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    return Written(done, wall, spent, _size(content, "states"), content)


def _size(content: DayContent, table: str) -> int:
    return sum(part.size for part in content.tables[table].parts)


def main() -> None:
    """Write, re-commit, read, hash; print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--states", type=int, default=300_000)
    options = parser.parse_args()
    ready = list(event_batches(min(options.rows, 4_000_000)))
    states = state_batches(ready[0])

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        with symbol_lock(root, INSTRUMENT.exchange, INSTRUMENT.symbol):
            done = write_events(root, options.rows, ready)
            print(
                f"events written: {done.rows / done.wall / 1e6:.2f} M rows/s, "
                f"{done.rows / done.cpu / 1e6:.2f} M rows/s of CPU, "
                f"{done.size / done.rows:.2f} bytes a row"
            )
            began = time.perf_counter()
            commit_day(root, done.content, SEAL)
            print(f"commit of a day: {(time.perf_counter() - began) * 1e3:.0f} ms")
            done = write_states(root, options.states, states)
            print(
                f"states written: {done.wall / done.rows * 1e6:.2f} µs a row, "
                f"{done.cpu / done.rows * 1e6:.2f} µs of CPU, "
                f"{done.size / done.rows:.0f} bytes a row"
            )
        store = open_store(root)
        began = time.perf_counter()
        total = sum(len(batch) for batch in store.replay())
        wall = time.perf_counter() - began
        print(f"replay (back to integers): {total / wall / 1e6:.1f} M rows/s")
        began = time.perf_counter()
        frame = store.events(numbers="float").select(pl.col("price").mean()).collect()
        print(
            f"mean price as floats: {total / (time.perf_counter() - began) / 1e6:.1f} M rows/s "
            f"({frame.item():.2f})"
        )
        began = time.perf_counter()
        report = store.audit()
        print(
            f"audit of every hash: {time.perf_counter() - began:.1f} s, "
            f"{'clean' if report.clean else 'DAMAGED'}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory: {peak:.0f} MiB, of which {len(ready) * BATCH * 62 / 2**20:.0f} are input")


if __name__ == "__main__":
    main()
