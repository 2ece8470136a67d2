"""``reconstruct`` on simulated days of Crypto Lake files, of several sizes, beside its floor.

Each step runs in a process of its own, which compiles and warms up on a small day first. The floor
is the same reads and the same writes with no replay between: every table decoded in the same
threads, deltas and trades appended as events and the vendor's books as states, and committed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.lake_day import simulated_lake
from benchmarks.report import Budget, Section, number, peak_mib
from benchmarks.stages import CHECKPOINTS, FLOOR, Stages

from lobproof.pipeline import Reached, ReconstructOptions
from lobproof.pipeline.lake import LakeDay, lake_days, reconstruct_day
from lobproof.pipeline.survey import Survey
from lobproof.schema import EventBatch, Flag, Int64, StateBatch, VendorBatch
from lobproof.schema.tables import PART_ROWS
from lobproof.sources.cryptolake.decode import LakeSource
from lobproof.store import DayWriter, Partition, commit_day, list_checkpoints, symbol_lock

SIZES = (10_000_000, 20_000_000, 100_000_000, 200_000_000)
LARGE = 100_000_000
RATE, SMALL_RATE, RATIO, SMALL_RATIO = 3.5, 2.5, 1.25, 1.4
GIB, CHECKPOINT_SHARE, RESUME_S = 1.5, 1.0, 2.0
WARM_ROWS, WARM_MINUTES = 500_000, 10.0
BATCH_ROWS = 1 << 16
KILL_AFTER = 3  # checkpoints, or as many as there are


class _EnoughError(Exception):
    """The first event after a resume: what was to be measured is over."""


def _day(folder: Path) -> LakeDay:
    return lake_days(folder)[0]


def _whole(folder: Path, out: Path) -> dict[str, Any]:
    day, options = _day(folder), ReconstructOptions()
    result = reconstruct_day(day, out, options, batch_rows=BATCH_ROWS).days[0]
    counts = result.counts
    return {
        "events": counts.events,
        "states": counts.book_messages,
        "strategy": result.strategy,
        "findings": counts.findings,
    }


def _staged(folder: Path, out: Path) -> dict[str, Any]:
    stages = Stages()
    with stages.watched():
        found = _whole(folder, out)
    return {"stages": dict(stages.seconds), **found}


def _floor(folder: Path, out: Path) -> dict[str, Any]:
    """Decode everything; write it as it came, with the vendor's books as states."""
    day = _day(folder)
    instrument = Survey.made(day.files, day.exchange, day.symbol).instrument
    clock, used = time.perf_counter(), time.process_time()
    source = LakeSource(day.files, instrument, batch_rows=BATCH_ROWS)
    trades, books = source.trades(), _Rows(source.books())
    held = next(trades, None)
    events = states = last = 0
    with (
        symbol_lock(out, day.exchange, day.symbol, dt=day.dt),
        DayWriter(out, instrument, day.dt) as writer,
    ):
        for batch in source.deltas():
            batch.ts_order = batch.ts_event
            last = int(batch.ts_order[-1])
            ends = np.flatnonzero(batch.flags & Flag.LAST)
            listed = books.take(len(ends))
            writer.append(batch, _states(listed, events + ends[: len(listed)]))
            events, states = events + len(batch), states + len(listed)
            while held is not None and int(held.ts_event[0]) <= last:
                events += _append_trades(writer, held, last)
                held = next(trades, None)
        while held is not None:
            events += _append_trades(writer, held, last)
            held = next(trades, None)
        commit_day(out, writer.close(), _SEAL)
    seconds = {"clock": time.perf_counter() - clock, "used": time.process_time() - used}
    return {"events": events, "states": states, **seconds}


_SEAL: dict[str, Any] = {
    "provenance": "synthetic",
    "certified": False,
    "strategy": "none",
    "trades": 0,
    "book_messages": 0,
    "gaps": 0,
    "doubtful_ns": 0,
    "warm_up_ns": 0,
    "coverage": {"limit_ns": 5 * 10**9, "life_ts": 0, "outages": [], "streams": {}},
    "inputs": [],
    "config": {},
    "carried_from": "",
    "task_id": "0" * 64,
    "task_part": 0,
    "task_last": True,
    "verdicts": {},
}


def _append_trades(writer: DayWriter, trades: EventBatch, last: int) -> int:
    trades.ts_order = np.full(len(trades), last, np.int64)
    writer.append(trades, StateBatch.empty())
    return len(trades)


def _states(listed: VendorBatch, ids: Int64) -> StateBatch:
    rows = len(listed)
    return StateBatch(
        ids,
        listed.ts_event,
        listed.ts_event,
        listed.sequence,
        listed.levels,
        np.full(rows, 20, np.int8),
        np.full(rows, 20, np.int8),
        np.zeros(rows, np.int32),
    )


class _Rows:
    """Rows of batches, so many at a time."""

    def __init__(self, batches: Iterator[VendorBatch]) -> None:
        self._batches = batches
        self._held = VendorBatch.empty()

    def take(self, count: int) -> VendorBatch:
        while len(self._held) < count:
            more = next(self._batches, None)
            if more is None:
                break
            self._held = VendorBatch.concat([self._held, more])
        taken, self._held = self._held.slice(0, count), self._held.slice(count, len(self._held))
        return taken


def _resumed(folder: Path, out: Path) -> dict[str, Any]:
    """Go on where a killed process was, as far as the first new events."""
    day, reached = _day(folder), 0

    def stop(told: Reached) -> None:
        nonlocal reached
        reached = told.events
        raise _EnoughError

    with contextlib.suppress(_EnoughError):
        reconstruct_day(day, out, ReconstructOptions(), batch_rows=BATCH_ROWS, progress=stop)
    return {"events": reached}


_STEPS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "whole": _whole,
    "stages": _staged,
    "floor": _floor,
    "resume": _resumed,
}


_HERE = "benchmarks.reconstruct_lake"


def _command(module: str, step: str, warm: Path, folder: Path, out: Path) -> list[str]:
    rest = (step, str(warm), str(folder), str(out))
    return [sys.executable, "-m", module, *rest]


def child(step: str, warm: Path, folder: Path, out: Path, *, module: str = _HERE) -> dict[str, Any]:
    """One step of a module in a process of its own, into ``out``."""
    answer = subprocess.check_output(_command(module, step, warm, folder, out), text=True)
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def kill_at_part(warm: Path, folder: Path, out: Path, parts: int) -> int:
    """Kill a run once it has written its ``parts``-th checkpoint; how many it had written."""
    day = _day(folder)
    where = Partition(day.exchange, day.symbol, day.dt)
    process = subprocess.Popen(
        _command(_HERE, "whole", warm, folder, out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seen: set[int] = set()
    while process.poll() is None and len(seen) < parts:
        for path in list_checkpoints(out, where):
            try:
                seen.add(path.stat().st_mtime_ns)
            except FileNotFoundError:
                continue
        time.sleep(0.02)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return len(seen)


def measure(scratch: Path, sizes: tuple[int, ...], say: Callable[[str], None]) -> Section:
    """All sizes, as one section."""
    section = Section(
        "reconstruct",
        "Reconstruct: days of Crypto Lake files",
        "Data: **synthetic**, whole days of the preset `perp` with its arrivals scaled: depth "
        "messages of all sizes every 100 ms, a row of `book` beside each, fewer trades.",
    )
    warm = simulated_lake(scratch / "warm", WARM_ROWS, WARM_MINUTES)
    found: dict[int, dict[str, Any]] = {}
    for rows in sizes:
        say(f"a day of {rows / 1e6:g} M deltas")
        folder, out = scratch / "day", scratch / "store"
        one: dict[str, Any] = {}
        lake = simulated_lake(folder, rows)
        for step in ("whole", "floor", "stages"):
            say(f"  {step}")
            shutil.rmtree(out, ignore_errors=True)
            one[step] = child(step, warm, lake, out)
        shutil.rmtree(out, ignore_errors=True)
        say("  kill and resume")
        parts = min(KILL_AFTER, one["whole"]["events"] // PART_ROWS)
        one["parts"] = kill_at_part(warm, lake, out, parts)
        one["resume"] = child("resume", warm, lake, out)
        for path in (folder, out):
            shutil.rmtree(path, ignore_errors=True)
        found[rows] = one
    _tables(section, found)
    return section


def _tables(section: Section, found: dict[int, dict[str, Any]]) -> None:
    """Figures and budgets of all sizes."""
    section.table(
        "By size",
        (
            "deltas",
            "events",
            "states",
            "seconds",
            "M events/s",
            "processor seconds",
            "M events/s of processor time",
            "floor: seconds",
            "÷ floor",
            "floor: processor seconds",
            "÷ floor, processor time",
            "peak memory, MiB",
            "checkpoints, share of processor time",
            "resume to the first new event, s",
        ),
        [[f"{rows / 1e6:g} M", *_figures(one)] for rows, one in found.items()],
    )
    stages = {rows: one["stages"]["stages"] for rows, one in found.items()}
    names = list(dict.fromkeys(name for one in stages.values() for name in one))
    per = {rows: 1e8 / one["stages"]["events"] for rows, one in found.items()}
    section.table(
        "Where the time goes: processor seconds for 100 M events",
        ("stage", *(f"{rows / 1e6:g} M deltas" for rows in stages)),
        [
            [
                name + (" (floor)" if name.startswith(FLOOR) else ""),
                *(number(one.get(name, 0.0) * per[rows]) for rows, one in stages.items()),
            ]
            for name in names
        ],
    )
    section.text(
        "The floor: the same files decoded in the same threads, deltas and trades written as "
        "events as they come, the rows of `book` as states, hashed, synced and committed; nothing "
        "audited, merged or replayed, no look at the files beforehand. Stages are processor time "
        "of the threads that run them, in a run of their own; they overlap on the clock. A run is "
        f"killed after {KILL_AFTER} checkpoints, or its last; the next one is timed from the "
        "call to the first event that is new, hashes of the input included, start of Python and "
        "loading of compiled kernels not."
    )
    peaks = [one["whole"]["peak"] / 1024 for one in found.values()]
    for rows, one in found.items():
        rate, day = one["whole"]["events"] / one["whole"]["clock"] / 1e6, f"{rows / 1e6:g} M deltas"
        if rows >= LARGE or rows == SIZES[1]:
            limit = RATE if rows >= LARGE else SMALL_RATE
            section.budgets.append(Budget(f"reconstruct, {day}", limit, "M rows/s", rate))
            ratio = one["whole"]["used"] / one["floor"]["used"]
            most = RATIO if rows >= LARGE else SMALL_RATIO
            what = f"processor time ÷ the floor's, {day}"
            section.budgets.append(Budget(what, most, "×", ratio, True))
    shares = [_checkpoint_share(one) for one in found.values()]
    resumes = [one["resume"]["clock"] for one in found.values()]
    section.budgets += [
        Budget("peak memory, any size", GIB, "GiB", max(peaks), True),
        Budget("checkpoints, any size", CHECKPOINT_SHARE, "%", max(shares), True),
        Budget("resume, any size", RESUME_S, "s", max(resumes), True),
    ]


def _figures(one: dict[str, Any]) -> list[str]:
    whole, floor = one["whole"], one["floor"]
    events = whole["events"]
    return [
        f"{events:,}",
        f"{whole['states']:,}",
        number(whole["clock"]),
        number(events / whole["clock"] / 1e6),
        number(whole["used"]),
        number(events / whole["used"] / 1e6),
        number(floor["clock"]),
        number(whole["clock"] / floor["clock"]),
        number(floor["used"]),
        number(whole["used"] / floor["used"]),
        number(whole["peak"]),
        f"{number(_checkpoint_share(one))} %",
        f"{number(one['resume']['clock'])} ({one['parts']} parts)",
    ]


def _checkpoint_share(one: dict[str, Any]) -> float:
    stages = one["stages"]["stages"]
    return 100 * float(stages.get(CHECKPOINTS, 0.0)) / float(one["stages"]["used"])


def main(steps: Mapping[str, Callable[[Path, Path], dict[str, Any]]] = _STEPS) -> None:
    """One of the steps, for :func:`child`."""
    step, warm, folder, out = sys.argv[1], *map(Path, sys.argv[2:])
    run = steps[step]
    aside = out.with_name(f"{out.name}-warm")
    shutil.rmtree(aside, ignore_errors=True)
    (_whole if step == "resume" else run)(warm, aside)
    shutil.rmtree(aside)
    clock, used = time.perf_counter(), time.process_time()
    answer = run(folder, out)
    seconds = {"clock": time.perf_counter() - clock, "used": time.process_time() - used}
    print(json.dumps({**seconds, "peak": peak_mib(), **answer}))


if __name__ == "__main__":
    main()
