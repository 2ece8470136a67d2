"""One reconstruction in a process of its own, whose memory is looked at from outside."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Thread
from typing import Any

import numpy as np

from lobproof.assess.feasibility_probe import BEGUN, Stage, Task
from lobproof.errors import shown
from lobproof.pipeline.job import Strategy

_LOOK_S = 0.01
_LINE = re.compile(r"^(VmRSS|VmHWM|VmPeak):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process, the interpreter and its libraries included.

    ``p95_bytes`` and ``samples``: looked at every 10 ms of the measured run. ``peak_bytes``: the
    most that the system counted since the process began. ``address_bytes``: the most address space,
    which is what a hard limit is about, and several times of what is used.
    """

    p95_bytes: int
    peak_bytes: int
    address_bytes: int
    samples: int


@dataclass(frozen=True, slots=True)
class Run:
    """A reconstruction, from files to a sealed day, in one process.

    ``data`` says whose files; ``hour_events``: deltas and trades in them, 0 where they are of less
    than an hour. ``limit_bytes``: of address space, None without a limit. ``memory``: None where
    the system does not tell (other than Linux). ``problem``: why it did not finish. ``stages``:
    see `STAGES`.
    """

    data: str
    strategy: Strategy
    limit_bytes: int | None
    finished: bool
    problem: str
    memory: Memory | None
    events: int = 0
    states: int = 0
    gap_ratio: float | None = None
    seconds: float = 0.0
    prepare_seconds: float = 0.0
    processor_seconds: float = 0.0
    input_bytes: int = 0
    output_bytes: int = 0
    stages: Mapping[str, Stage] = field(default_factory=dict)
    hour_events: int = 0

    @property
    def events_per_second(self) -> float:
        """On the clock, all that a run begins and ends with included."""
        return self.events / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        stages = {
            name: {**asdict(one), "rows_per_second": one.rows_per_second}
            for name, one in self.stages.items()
        }
        return {**asdict(self), "events_per_second": self.events_per_second, "stages": stages}


STAGES: Mapping[str, str] = {
    "decode book_delta_v2": "Parquet to batches of counts",
    "decode trades": "Parquet to batches of counts",
    "decode book": "Parquet to batches of counts",
    "wait": "the main thread waits for a batch",
    "order": "audit, clock and merge",
    "replay": "book, trust and states",
    "measure": "metrics of the events and states, by block",
    "append": "rows into row groups, or waiting for one to be free",
    "write events": "hashes, decimals, Parquet, and the disk at ends of parts",
    "write states": "the same of states",
    "write keyframes": "the same of keyframes",
    "whole": "from one batch's end to the next one's, all of the above side by side",
}
"""What the stages of a run are, in their order. The rows of states are found by the replay."""


class _Sampler:
    """Looks at a process's memory, in a thread."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._held: list[int] = []
        self._peak = self._address = 0
        self._stop = Event()
        self.counting = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                found = dict(_LINE.findall(self._status.read_text()))
            except OSError:  # it has ended, or this is no Linux
                return
            if "VmRSS" not in found:  # it is ending
                return
            self._peak = max(self._peak, int(found["VmHWM"]) << 10)
            self._address = max(self._address, int(found["VmPeak"]) << 10)
            if self.counting:
                self._held.append(int(found["VmRSS"]) << 10)

    def stop(self) -> Memory | None:
        """What was seen; None where nothing was."""
        self._stop.set()
        self._thread.join()
        if not self._peak:
            return None
        held = self._held or [self._peak]
        p95 = int(np.quantile(held, 0.95))
        return Memory(p95, self._peak, self._address, len(self._held))


def run(data: str, task: Task, hour_events: int) -> Run:
    """Do ``task`` in a process; it ends with this one, whatever becomes of that."""
    with TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "lobproof.assess.feasibility_probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        sampler = _Sampler(process.pid)
        try:
            lines = _lines(process, task, sampler)
            memory = sampler.stop()
            code = process.wait()
        finally:
            sampler.stop()
            process.kill()
            process.communicate()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    answer: dict[str, Any] = {}
    if code == 0 and lines:
        answer = json.loads(lines[-1])
    else:
        answer["problem"] = _why(code, said[-1] if said else "")
    problem = str(answer.pop("problem", ""))
    stages = {name: Stage(**one) for name, one in answer.pop("stages", {}).items()}
    return Run(
        data=data,
        strategy=task.strategy,
        limit_bytes=task.limit_bytes,
        finished=not problem,
        problem=problem,
        memory=memory,
        stages=stages,
        hour_events=hour_events,
        **answer,
    )


def _lines(process: subprocess.Popen[str], task: Task, sampler: _Sampler) -> list[str]:
    """What the process says; its standard input stays open."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(task)) + "\n")
        process.stdin.flush()
    except BrokenPipeError:  # it has ended already; its code says why
        return []
    lines = []
    for line in process.stdout:
        if line.strip() == BEGUN:
            sampler.counting = True
        else:
            lines.append(line)
    return lines


def _why(code: int, last: str) -> str:
    by = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    return f"its process {by}" + (f": {shown(last)}" if last else "")
