"""``python -m lobproof.assess.feasibility_probe``: one reconstruction, measured from within.

A process of its own, so that its memory is its own, and a limit is nobody else's. What to do comes
as a line of JSON at standard input, which then stays open: when it closes, whoever asked is gone.
A line at standard output says that kernels are loaded and the measured run begins, the last what
was found.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any, Self

import numpy as np

from lobproof.errors import LobproofError, place_error
from lobproof.pipeline.job import ReconstructOptions, Strategy
from lobproof.pipeline.lake import lake_days, reconstruct_day
from lobproof.pipeline.results import Reached, ReconstructResult
from lobproof.stages import watching

BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class Task:
    """A day to reconstruct: folders of Crypto Lake files, one of them small, to warm up with.

    ``limit_bytes``: of address space, which holds all memory that a process can ever use.
    """

    warm: str
    lake: str
    out: str
    strategy: Strategy
    limit_bytes: int | None


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage did, in all of its batches.

    Latencies are on the clock, of batches with rows; those of ``write …`` are of row groups.
    ``seconds`` are its own on the clock, ``processor_seconds`` of its threads.
    """

    rows: int
    batches: int
    seconds: float
    processor_seconds: float
    p50_s: float
    p95_s: float
    p99_s: float

    @classmethod
    def of(cls, told: Sequence[tuple[int, float, float]]) -> Self:
        """Of rows and seconds, batch by batch; there is at least one."""
        rows, seconds, used = (np.array(column) for column in zip(*told, strict=True))
        full = seconds[rows > 0] if (rows > 0).any() else seconds
        p50, p95, p99 = np.quantile(full, (0.5, 0.95, 0.99)).tolist()
        return cls(
            int(rows.sum()),
            len(full),
            float(seconds.sum()),
            float(used.sum()),
            p50,
            p95,
            p99,
        )

    @property
    def rows_per_second(self) -> float:
        """Of the stage's own time on the clock."""
        return self.rows / self.seconds if self.seconds else 0.0


def measured(task: Task) -> dict[str, Any]:
    """Reconstruct ``task.lake``: what was made, how long it took, and each stage."""
    stages: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    first: list[float] = []
    reached_at: list[tuple[float, int]] = []

    def told(stage: str, rows: int, seconds: float, used: float) -> None:
        # of many threads: each of these is one step of the interpreter
        stages[stage].append((rows, seconds, used))
        if not first:
            first.append(time.perf_counter() - seconds)

    def progress(reached: Reached) -> None:
        reached_at.append((time.perf_counter(), reached.events))

    clock, used = time.perf_counter(), time.process_time()
    with watching(told):
        result = _reconstructed(task.lake, task, progress)
    seconds, processor = time.perf_counter() - clock, time.process_time() - used
    for before, after in pairwise(reached_at):
        stages["whole"].append((after[1] - before[1], after[0] - before[0], 0.0))
    counts = result.days[0].counts
    return {
        "events": counts.events,
        "states": counts.book_messages,
        "gap_ratio": counts.gap_ratio,
        "seconds": seconds,
        "prepare_seconds": first[0] - clock if first else seconds,
        "processor_seconds": processor,
        "input_bytes": _bytes(Path(task.lake)),
        "output_bytes": _bytes(Path(task.out)),
        "stages": {name: asdict(Stage.of(batches)) for name, batches in stages.items()},
    }


def _reconstructed(lake: str, task: Task, progress: Any = None) -> ReconstructResult:
    options = ReconstructOptions(strategy=task.strategy)
    return reconstruct_day(lake_days(lake)[0], task.out, options, progress=progress)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _outlive_nobody() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> int:
    """Do what standard input asks for."""
    task = Task(**json.loads(sys.stdin.readline()))
    Thread(target=_outlive_nobody, daemon=True).start()
    if task.limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (task.limit_bytes, task.limit_bytes))
    try:
        _reconstructed(task.warm, task)
        shutil.rmtree(task.out)
        print(BEGUN, flush=True)
        answer = measured(task)
    except MemoryError:
        answer = {"problem": "out of memory"}
    except LobproofError as error:
        answer = {"problem": error.message}
    except OSError as error:
        answer = {"problem": place_error(error).message}
    print(json.dumps(answer), flush=True)
    sys.stdout.close()
    os._exit(0)  # the thread above waits for ever


if __name__ == "__main__":
    main()
