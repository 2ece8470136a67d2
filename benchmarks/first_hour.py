"""What a user meets in the first hour: first use, golden samples, proof and page, instants."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from benchmarks.data import Sample, samples
from benchmarks.report import Budget, Section, Spread, clocked, held_mib

import lobproof
from lobproof.pipeline import reconstruct_sample
from lobproof.sources.golden import GoldenSample
from lobproof.sources.simulator import simulate

COMMANDS = ("import", "reconstruct", "verify", "report")
DATA = (
    "Data: the recordings of Binance spot, where they are there; else, and for all that is called "
    "simulated, **synthetic**: the preset `perp`, its first half hour as a golden sample, and two "
    "days of Crypto Lake files of almost four hours each."
)


def measure(scratch: Path, repeats: int, say: Callable[[str], None], minutes: float) -> Section:
    """All of it."""
    section = Section("first-hour", "The first hour", DATA)
    found = samples(scratch)
    say("simulating")
    made = simulate(scratch / "perp", preset="perp", minutes=minutes)
    perp = Sample("perp", made.recordings, real=False)
    say("first use, with an empty cache of kernels")
    _first_use(section, found[0], scratch)
    say("golden samples")
    _golden(section, [perp, *found], scratch, repeats)
    say("verify, report and instants on Crypto Lake's files")
    _lake(section, scratch, 15 * minutes)
    return section


def _first_use(section: Section, sample: Sample, scratch: Path) -> None:
    """The four commands of the README, each a process, no kernel compiled yet."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    golden, store = folder / "golden", folder / "store"
    steps = (
        ("import", *map(str, sample.files), "--out", str(golden)),
        ("reconstruct", str(golden), "--out", str(store), "--prove", "none"),
        ("verify", str(store), "--against", str(golden)),
        ("report", str(store), "--against", str(golden), "--out", str(folder / "report.html")),
    )
    rows: list[list[object]] = []
    sums = [0.0, 0.0, 0.0, 0.0]
    cold = os.environ | {
        "NUMBA_CACHE_DIR": str(folder / "kernels"),
        "LOBPROOF_CACHE_DIR": str(folder / "kept"),
    }
    times = [[_process(step, cold) for step in steps]]
    for made in (golden, store, folder / "kept"):
        shutil.rmtree(made)
    times.append([_process(step, cold) for step in steps])
    for name, first, again in zip(COMMANDS, *times, strict=True):
        figures = (*first[:2], *again[:2])
        sums = [total + one for total, one in zip(sums, figures, strict=True)]
        rows.append([name, *(f"{one:.1f}" for one in figures)])
    rows.append(["all", *(f"{one:.1f}" for one in sums)])
    section.table(
        f"First use: {sample.title}, seconds",
        ("command", "first: clock", "first: processor", "again: clock", "again: processor"),
        rows,
    )
    section.budgets.append(
        Budget("first use beyond a later one, clock", 15, "s", sums[0] - sums[2], at_most=True)
    )


def _process(arguments: Sequence[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds of a command on the clock, and of the processor; its peak of memory, GiB."""
    start = perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "lobproof", *arguments],
        environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, which, os.devnull, os.O_WRONLY, 0) for which in (1, 2)],
    )
    peak, ended = 0.0, 0
    while not ended:
        peak = max(peak, held_mib(child) or 0.0)
        sleep(0.02)
        ended, status, usage = os.wait4(child, os.WNOHANG)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"lobproof {' '.join(arguments)} failed")
    return perf_counter() - start, usage.ru_utime + usage.ru_stime, peak / 2**10


def _golden(section: Section, found: list[Sample], scratch: Path, repeats: int) -> None:
    """Import and reconstruct, messages and events a second of processor time."""
    rows: list[list[object]] = []
    for sample in found:
        imports: list[float] = []
        replays: list[float] = []
        messages = events = 0
        for _ in range(repeats + 1):  # the first loads the kernels
            folder = Path(tempfile.mkdtemp(dir=scratch))
            golden = folder / "golden"
            imports.append(clocked(lambda s=sample, g=golden: s.import_to(g))[1])
            replays.append(
                clocked(lambda g=golden, f=folder: reconstruct_sample(g, f / "store"))[1]
            )
            messages = sum(int(one["lines"]) for one in GoldenSample.load(golden).inputs)
            events = int(lobproof.open(folder / "store").days()["events"].sum())
            shutil.rmtree(folder)
        taken = Spread.rates(messages, imports[1:], 1e3)
        replayed = Spread.rates(events, replays[1:])
        rows.append([sample.title, f"{messages:,}", f"{events:,}", taken, replayed])
        if sample is found[0]:
            section.budgets += [
                Budget("import, simulated `perp`", 350, "k messages/s", taken.median),
                Budget("reconstruct, simulated `perp`", 1.5, "M events/s", replayed.median),
            ]
    section.table(
        "Golden samples: a second of processor time, all threads",
        ("sample", "messages", "events", "import: k messages", "reconstruct: M events"),
        rows,
    )


def _lake(section: Section, scratch: Path, minutes: float) -> None:
    """Two days of Crypto Lake files: what proof and page take beside the reconstruction."""
    lake, store = scratch / "lake", scratch / "lake-store"
    start = (datetime(2026, 1, 6, tzinfo=UTC) - timedelta(minutes=minutes / 2)).isoformat()
    simulate(lake, preset="perp", minutes=minutes, start=start, lake=True, recording=False)
    steps = (
        ("reconstruct", str(lake / "lake"), "--out", str(store)),
        ("verify", str(store), "--lake", str(lake / "lake")),
        ("report", str(store), "--out", str(scratch / "report.html"), "--fresh"),
    )
    environment = os.environ | {"LOBPROOF_CACHE_DIR": str(scratch / "kept")}
    for step in steps:  # with every kernel compiled
        _process(step, environment)
    commands = {
        "reconstruct": (*steps[0], "--overwrite"),
        "verify": steps[1],
        "report": steps[2],
        "report, days kept": steps[2][:-1],
    }
    rounds = [
        {name: _process(command, environment) for name, command in commands.items()}
        for _ in range(3)
    ]
    opened = lobproof.open(store)
    events = int(opened.days()["events"].sum())
    rows: list[list[object]] = []
    for name in commands:
        clock, used, peak = (median(one[name][k] for one in rounds) for k in range(3))
        ratio = median(one[name][0] / one["reconstruct"][0] for one in rounds)
        rows.append([name, f"{clock:.1f}", f"{used:.1f}", f"{ratio:.2f}", f"{peak:.2f}"])
        if name in ("verify", "report"):
            section.budgets += [
                Budget(f"{name} ÷ reconstruct", 0.5, "×", ratio, at_most=True),
                Budget(f"{name}, peak of memory", 1, "GiB", peak, at_most=True),
            ]
    section.table(
        f"Two simulated days of {events:,} events: seconds, medians of {len(rounds)} rounds",
        ("command", "clock", "processor", "÷ reconstruct, clock", "peak, GiB"),
        rows,
    )
    _instants(section, opened)


def _instants(section: Section, store: lobproof.Store) -> None:
    """Full books a second, at instants a second apart."""
    day = store.days().row(0, named=True)
    start = int(day["first_ts"])
    count = min(3600, (int(day["last_ts"]) - start) // 10**9 - 1)
    times = [start + (second + 1) * 10**9 for second in range(count)]
    spread = times[:: max(count // 60, 1)]
    tasks: dict[str, tuple[int, Callable[[], int]]] = {
        "every second, arrays": (
            count,
            lambda: sum(len(view.bid_levels.prices) for view in store.books_at(times)),
        ),
        "every second, frames of bids": (
            count,
            lambda: sum(view.bids.height for view in store.books_at(times)),
        ),
        "`sample`, 20 levels": (
            count,
            lambda: store.sample("1s", start=times[0], end=times[-1] + 1, depth=20).height,
        ),
        "over the day, frames of bids": (
            len(spread),
            lambda: sum(view.bids.height for view in store.books_at(spread)),
        ),
    }
    rounds = [{name: clocked(call)[0] for name, (_, call) in tasks.items()} for _ in range(4)]
    speeds = {  # the first round compiles what no command before it needed
        name: Spread.rates(n, [one[name] for one in rounds[1:]], 1)
        for name, (n, _) in tasks.items()
    }
    rows: list[list[object]] = [[name, n, speeds[name]] for name, (n, _) in tasks.items()]
    section.table(
        f"Books at instants: {int(day['events']):,} events, a second on the clock",
        ("which", "books", "books a second"),
        rows,
    )
    section.budgets.append(
        Budget("full books", 1000, "books/s", speeds["every second, arrays"].median)
    )
