"""``feasibility``: what this machine can make of the data, measured on it."""

from __future__ import annotations

import platform
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args

from lobproof.assess.feasibility_decimals import Decimals, measure_decimals
from lobproof.assess.feasibility_disk import Disk, measure_disk
from lobproof.assess.feasibility_hour import busiest_hour, events_in, simulated_lake
from lobproof.assess.feasibility_probe import Stage, Task
from lobproof.assess.feasibility_run import STAGES, Memory, Run, run
from lobproof.assess.thresholds import GB, Thresholds
from lobproof.errors import PlaceError
from lobproof.paths import AnyPath, as_path, placing, scratch_folder
from lobproof.pipeline.fleet import cores, memory
from lobproof.pipeline.job import Strategy
from lobproof.pipeline.lake import LakeDay
from lobproof.progress import Progress

__all__ = [
    "LARGE_HOUR",
    "STAGES",
    "Decimals",
    "Disk",
    "Feasibility",
    "Memory",
    "Projection",
    "Run",
    "Stage",
    "feasibility",
]

LARGE_HOUR = 8_000_000
"""Events of the hour that a machine has to bear; memory at fewer shows little."""
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
_SMALL_LIMIT, _OF_A_CORE = 4.0 * GB, 0.15 * GB
"""Address space that full reconstruction is to get along with on two cores, and for each more.

Libraries reserve several times of what they use, and some for each core."""
SIMULATED = "simulated"
DAYS_A_MONTH, MONTHS_A_YEAR = 30, 12
_NEED_BYTES = 2 * GB
_QUICK_NEED_BYTES = GB / 5


@dataclass(frozen=True, slots=True)
class Projection:
    """Time and space for a month or a year of one symbol, from a measured run.

    ``data``: whose figures these are. ``hours``: of one process on ``cores`` cores; days run side
    by side, so that more cores divide it. ``fits``: whether the output has room on the disk now.
    """

    data: str
    strategy: Strategy
    period: str
    cores: int
    input_bytes: float
    events: float
    hours: float
    output_bytes: float
    fits: bool


@dataclass(frozen=True, slots=True)
class Feasibility:
    """What was measured, and of what.

    ``quick``: with little data and few bytes. It shows that everything works, and no figure of it
    is to be relied on; a day that is given stands for the simulated hour. ``runs``: each strategy
    of each data, and full reconstruction under hard limits.
    """

    quick: bool
    machine: str
    cores: int
    memory_bytes: int
    runs: tuple[Run, ...]
    decimals: Decimals
    disk: Disk
    projections: tuple[Projection, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "runs": [run.to_dict() for run in self.runs]}


def feasibility(
    out: AnyPath,
    day: LakeDay | None = None,
    *,
    thresholds: Thresholds | None = None,
    quick: bool = False,
    progress: Progress | None = None,
) -> Feasibility:
    """Measure memory, throughput, decimals and the disk, in about two minutes on two cores.

    A simulated hour of over 8 M events is reconstructed under each strategy, in the pipeline that
    ``reconstruct`` is, one process at a time; full reconstruction also under hard limits. A machine
    that has compiled no kernels yet needs a minute more.

    Parameters
    ----------
    out
        The folder that is to hold the store: its disk is what is measured. What is written goes to
        a hidden folder in it and is deleted, also when this is interrupted or killed.
    day
        A day of the user's: its busiest hour is reconstructed too, and projected from.
    thresholds
        Its ``memory_gb`` is a hard limit that full reconstruction is run under, its
        ``input_gb_a_month`` what is projected.
    quick
        Seconds instead of minutes; see `Feasibility`.
    progress
        Called with what is measured now, and steps, done and in all.

    Raises
    ------
    PlaceError
        If the folder cannot be written to, or has too little room.
    InputError
        If a file of ``day`` cannot be read.
    """
    out, limits = as_path(out), thresholds or Thresholds()
    with placing(out), _made(out), _no_sigterm(), scratch_folder(out, "feasibility") as scratch:
        need = _QUICK_NEED_BYTES if quick else _NEED_BYTES
        need += 0 if day is None else 2 * day.bytes
        free = shutil.disk_usage(scratch).free
        if free < need:
            raise PlaceError(
                f"{out}: {free / GB:,.1f} GB are free, and measuring needs {need / GB:,.1f} GB",
                hint="make room, or choose another folder",
            )
        with _swept(scratch):
            return _measured(scratch, day, limits, quick, progress or (lambda *_: None))


def _measured(
    scratch: Path, day: LakeDay | None, limits: Thresholds, quick: bool, progress: Progress
) -> Feasibility:
    minutes = 2.0 if quick else 60.0
    jobs = _jobs(day, limits, quick)
    steps = len(jobs) + 3 + (day is not None)
    done = 0

    def step(what: str) -> None:
        nonlocal done
        progress(what, done, steps)
        done += 1

    step("simulating")
    warm = simulated_lake(scratch / "warm", 0.5)
    lakes = {SIMULATED: simulated_lake(scratch / "simulated", minutes)}
    if day is not None:
        step(f"cutting the busiest hour out of {day}")
        lakes[str(day)] = busiest_hour(day, scratch / "day")
    runs = []
    for data, strategy, limit in jobs:
        under = "" if limit is None else f" under {limit / GB:g} GB"
        step(f"{strategy}, {data}{under}")
        store = scratch / "store"
        task = Task(str(warm), str(lakes[data]), str(store), strategy, limit)
        short = quick and data == SIMULATED
        runs.append(run(data, task, 0 if short else events_in(lakes[data])))
        shutil.rmtree(store, ignore_errors=True)
    step("decimals")
    decimals = measure_decimals(scratch, 20_000 if quick else 1_000_000)
    step("disk")
    disk = measure_disk(scratch, 16 << 20 if quick else 1 << 29)
    progress("done", steps, steps)
    return Feasibility(
        quick=quick,
        machine=f"{platform.system()} {platform.machine()}",
        cores=cores(),
        memory_bytes=memory(),
        runs=tuple(runs),
        decimals=decimals,
        disk=disk,
        projections=tuple(_projections(runs, day, limits, disk)),
    )


def _jobs(
    day: LakeDay | None, limits: Thresholds, quick: bool
) -> list[tuple[str, Strategy, int | None]]:
    """Data, strategy and hard limit of each run."""
    small = round(_SMALL_LIMIT + _OF_A_CORE * max(cores() - 2, 0))
    bounds = [small] if quick else [round(limits.memory_gb * GB), small]
    if sys.platform != "linux":  # others do not hold a process to such a limit
        bounds = []
    jobs: list[tuple[str, Strategy, int | None]] = []
    both = () if day is None else (str(day),)
    for data in both if quick and both else (SIMULATED, *both):
        jobs += [(data, strategy, None) for strategy in STRATEGIES]
    return jobs + [(SIMULATED, "full", bound) for bound in bounds]


def _projections(
    runs: Sequence[Run], day: LakeDay | None, limits: Thresholds, disk: Disk
) -> Iterator[Projection]:
    for one in runs:
        if not one.finished or one.limit_bytes is not None or not one.input_bytes:
            continue
        month = limits.input_gb_a_month * GB
        if day is not None and one.data == str(day):
            month = float(day.bytes * DAYS_A_MONTH)
        for period, months in (("month", 1), ("year", MONTHS_A_YEAR)):
            times = month * months / one.input_bytes
            made = times * one.output_bytes
            yield Projection(
                data=one.data,
                strategy=one.strategy,
                period=period,
                cores=min(cores(), 2),
                input_bytes=month * months,
                events=times * one.events,
                hours=times * one.seconds / 3600,
                output_bytes=made,
                fits=made <= disk.free_bytes,
            )


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder that is missing, and remove again what was made and is empty."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for one in missing:
            try:
                one.rmdir()
            except OSError:  # somebody put something there
                break


@contextmanager
def _swept(folder: Path) -> Iterator[None]:
    """Have ``folder`` deleted when this process is gone, even by ``kill -9``.

    A shell waits for the end of its input, which this process holds, and no signal of a terminal
    reaches it.
    """
    # again, as processes that are ending may still write
    sweep = 'cat; for i in 1 2 3; do [ -e "$1" ] || exit 0; rm -rf -- "$1"; sleep 0.3; done'
    waiting = subprocess.Popen(
        ["sh", "-c", sweep, "sh", str(folder.absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        waiting.communicate()


@contextmanager
def _no_sigterm() -> Iterator[None]:
    """Let SIGTERM end this in order, where nobody else has a use for it."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(*_: Any) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)
