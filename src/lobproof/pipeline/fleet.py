"""``reconstruct_days``: many symbol-days, each in a process, none of which can take others down."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from typing import Any, Protocol

from lobproof.options import check_whole
from lobproof.paths import AnyPath, as_path
from lobproof.pipeline.job import ReconstructOptions
from lobproof.pipeline.lake import LakeDay
from lobproof.pipeline.results import Reached, ReconstructResult
from lobproof.pipeline.start import PartialDay, refuse_carry
from lobproof.pipeline.worker import Answer, Compiling, Failure, Job, Noted, serve
from lobproof.store import Partition, Scope, check_folder, sealed

UNIT_BYTES = 3 << 29
"""Memory that a symbol-day may need: 1.5 GiB."""
DAYS_PER_PROCESS = 8
"""Then a fresh process takes its place, and what it held of memory is free again."""
_PATIENCE_S = 10.0
"""Time that a process has to end when told to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a symbol-day: a result or a failure."""

    day: LakeDay
    result: ReconstructResult | None
    failure: Failure | None
    seconds: float


class Watcher(Protocol):
    """Is told what happens, in the process that asked for it."""

    def started(self, day: LakeDay) -> None:
        """A process has begun with a day."""

    def reached(self, day: LakeDay, reached: Reached) -> None:
        """How far it is."""

    def noted(self, day: LakeDay, sentence: str) -> None:
        """Something that the user should know."""

    def compiling(self, day: LakeDay, kernels: int) -> None:
        """Its process is about to compile a kernel, and has begun with so many."""

    def ended(self, outcome: Outcome) -> None:
        """The day is there, or failed."""


def reconstruct_days(
    days: Sequence[LakeDay],
    out: AnyPath,
    options: ReconstructOptions | None = None,
    *,
    carry: bool = False,
    since: PartialDay | None = None,
    strict: bool = False,
    overwrite: bool = False,
    batch_rows: int = 1 << 16,
    workers: int | None = None,
    watcher: Watcher,
) -> list[Outcome]:
    """Replay symbol-days into the store ``out``, several at once, one in a process at a time.

    A day that fails, or whose process is killed, is an outcome like another. Interrupted, all
    processes are stopped, and their checkpoints stay: the same call goes on from there, as it does
    over days that are sealed already.

    Parameters
    ----------
    days
        From `lake_days`; they are begun in this order.
    carry
        Begin each day with the book that the day before closed with, if that is among ``days`` or
        sealed in ``out``; a day begins without one otherwise, and ``watcher`` is told. Days of a
        symbol then run one after the other, and one behind a day that failed is a failure too.
    workers
        Processes; by default `default_workers`.
    options, since, strict, overwrite, batch_rows
        As for `reconstruct_day`.

    Returns
    -------
    list[Outcome]
        In the order of ``days``.
    """
    if workers is not None:
        hint = "give 1 or more, or leave it out"
        check_whole("workers", workers, least=1, most=1 << 16, hint=hint)
    refuse_carry(carry, since)
    out, options = as_path(out), options or ReconstructOptions()
    check_folder(out)
    jobs = _Jobs(days, out, options, carry, since, strict, overwrite, batch_rows)
    fleet = _Fleet(jobs, min(workers or default_workers(), max(len(days), 1)), watcher)
    try:
        fleet.run()
    finally:
        fleet.stop()
    return [fleet.outcomes[day.key] for day in days]


def default_workers() -> int:
    """One process for two cores, each with a few threads, and for 1.5 GiB of memory; at least 1."""
    return max(min(cores() // 2, memory() // UNIT_BYTES), 1)


def cores() -> int:
    """Cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


def memory() -> int:
    """Bytes of memory of the machine, or of what of it this process may use."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        found = min(found, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return found


@dataclass(slots=True)
class _Jobs:
    """What is to be done, and how."""

    days: Sequence[LakeDay]
    out: Path
    options: ReconstructOptions
    carry: bool
    since: PartialDay | None
    strict: bool
    overwrite: bool
    batch_rows: int

    def of(self, day: LakeDay, carry: bool) -> Job:
        how = self.since, self.strict, self.overwrite, self.batch_rows
        return Job(day, self.out, self.options, carry, *how)


@dataclass(slots=True)
class _Worker:
    """A process of ours, and what it is at."""

    process: SpawnProcess
    pipe: Connection[Job | None, Answer]
    day: LakeDay | None = None
    began: float = 0.0
    left: int = DAYS_PER_PROCESS


@dataclass(slots=True)
class _Fleet:
    jobs: _Jobs
    most: int
    watcher: Watcher
    outcomes: dict[tuple[str, str, str], Outcome] = field(default_factory=dict)
    _workers: list[_Worker] = field(default_factory=list)
    _waiting: deque[LakeDay] = field(default_factory=deque)

    def run(self) -> None:
        self._waiting.extend(self.jobs.days)
        while self._waiting or any(worker.day for worker in self._workers):
            for day in self._ready():
                self._give(day)
            self._listen()

    def stop(self) -> None:
        """End all processes: those that are idle by themselves, the others with a signal."""
        for worker in self._workers:
            if worker.day is None:
                with suppress(OSError):
                    worker.pipe.send(None)
            else:
                worker.process.terminate()
        for worker in self._workers:
            self._bury(worker)
        self._workers.clear()

    def _ready(self) -> Iterator[LakeDay]:
        """Days that can begin now, while there is a process for them."""
        for day in list(self._waiting):
            if sum(worker.day is not None for worker in self._workers) >= self.most:
                return
            if not self.jobs.carry:
                self._waiting.remove(day)
                yield day
                continue
            before = _before(day)
            if before in {one.key for one in self._waiting} | {
                worker.day.key for worker in self._workers if worker.day is not None
            }:
                continue
            self._waiting.remove(day)
            failed = before in self.outcomes and self.outcomes[before].result is None
            if failed:
                self._end(
                    Outcome(
                        day,
                        None,
                        Failure(
                            f"{before[2]} failed, so there is nothing to carry over",
                            "the same command goes on once the day before is there",
                        ),
                        0.0,
                    )
                )
                continue
            yield day

    def _give(self, day: LakeDay) -> None:
        idle = [worker for worker in self._workers if worker.day is None]
        worker = idle[0] if idle else self._start()
        worker.day, worker.began = day, time.monotonic()
        worker.left -= 1
        self.watcher.started(day)
        # where it is dead already, listening finds out
        with suppress(OSError):
            worker.pipe.send(self.jobs.of(day, self._carries(day)))

    def _carries(self, day: LakeDay) -> bool:
        if not self.jobs.carry:
            return False
        exchange, symbol, dt = _before(day)
        if (exchange, symbol, dt) in self.outcomes:
            return True
        if not sealed(self.jobs.out, Scope.of(Partition(exchange, symbol, dt))).is_empty():
            return True
        self.watcher.noted(day, f"{dt} is not sealed in {self.jobs.out}: begins without its book.")
        return False

    def _start(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs,), daemon=True)
        ensure_running()  # or the start of the process does, and unblocks SIGINT
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _without_main():
                # with the mask: Ctrl-C in a terminal is sent to all of its processes
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _listen(self) -> None:
        """Wait until some process says something, or ends, and hear all that they say."""
        known = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(known), timeout=1.0):
            assert isinstance(pipe, Connection)
            worker = known[pipe]
            try:
                self._hear(worker, pipe.recv())
            except (EOFError, OSError):  # it is dead, whatever it was about to say
                self._bury(worker)
                self._workers.remove(worker)
                if worker.day is not None:
                    self._end(self._outcome(worker, None, _killed(worker.process.exitcode)))

    def _hear(self, worker: _Worker, said: Answer) -> None:
        assert worker.day is not None
        if isinstance(said, Reached):
            self.watcher.reached(worker.day, said)
        elif isinstance(said, Noted):
            self.watcher.noted(worker.day, said.sentence)
        elif isinstance(said, Compiling):
            self.watcher.compiling(worker.day, said.kernels)
        else:
            failure = said if isinstance(said, Failure) else None
            result = said if isinstance(said, ReconstructResult) else None
            outcome = self._outcome(worker, result, failure)
            worker.day = None
            self._end(outcome)
            if worker.left == 0:
                worker.pipe.send(None)
                self._bury(worker)
                self._workers.remove(worker)

    def _outcome(
        self, worker: _Worker, result: ReconstructResult | None, failure: Failure | None
    ) -> Outcome:
        assert worker.day is not None
        return Outcome(worker.day, result, failure, time.monotonic() - worker.began)

    def _end(self, outcome: Outcome) -> None:
        self.outcomes[outcome.day.key] = outcome
        self.watcher.ended(outcome)

    def _bury(self, worker: _Worker) -> None:
        worker.process.join(_PATIENCE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


@contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not import the caller's main module.

    It needs nothing of it, and a script without a guard would run again in each process.
    """
    main: dict[str, Any] = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {
        name: main.pop(name) for name in ("__file__", "__spec__") if name in main
    }
    main["__spec__"] = None
    try:
        yield
    finally:
        del main["__spec__"]
        main.update(hidden)


def _before(day: LakeDay) -> tuple[str, str, str]:
    before = date.fromisoformat(day.dt) - timedelta(days=1)
    return replace(day, dt=before.isoformat()).key


def _killed(code: int | None) -> Failure:
    by = (
        f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with {code}"
    )
    return Failure(
        f"its process {by}",
        "where memory ran out, give fewer workers (workers=, --workers); again, it goes on from "
        "its checkpoint",
    )
