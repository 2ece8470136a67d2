"""A process of the fleet: symbol-days come in at a pipe, what became of each goes out."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from os import getpid, kill
from pathlib import Path
from threading import Lock, Thread
from typing import Any, NoReturn

from lobproof.errors import LobproofError, place_error
from lobproof.jit import compiling
from lobproof.pipeline.job import ReconstructOptions
from lobproof.pipeline.lake import LakeDay, reconstruct_day
from lobproof.pipeline.results import Reached, ReconstructResult
from lobproof.pipeline.start import PartialDay

TELL_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """A symbol-day, and how to reconstruct it."""

    day: LakeDay
    out: Path
    options: ReconstructOptions
    carry: bool
    since: PartialDay | None
    strict: bool
    overwrite: bool
    batch_rows: int


@dataclass(frozen=True, slots=True)
class Noted:
    """A sentence for the user."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Compiling:
    """A kernel that is about to be compiled: how many that makes in this process."""

    kernels: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a symbol-day was not made. ``trace``: where, for an error that nobody foresaw."""

    message: str
    hint: str
    trace: str = ""


Answer = Reached | Noted | Compiling | ReconstructResult | Failure
"""What a worker sends; the last two end a job."""


def serve(pipe: Connection[Answer, Job | None]) -> None:
    """Do the jobs that come in at ``pipe`` until None does, or the process behind it is gone.

    SIGTERM lets go of the day at once and leaves its last checkpoint. Ctrl-C is for that other
    process to see, which starts this one with SIGINT blocked.
    """
    signal.signal(signal.SIGTERM, _stop)
    Thread(target=_outlive_nobody, daemon=True).start()
    one_at_a_time = Lock()

    def send(answer: Answer) -> None:
        with one_at_a_time:  # threads that read ahead compile, too
            pipe.send(answer)

    try:
        while (job := pipe.recv()) is not None:
            with compiling(lambda count, under_way: send(Compiling(count)) if under_way else None):
                became = done(job, send)
            send(became)
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        pass  # told to stop, or nobody is there any more
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which may come while this ends by itself


def done(job: Job, send: Callable[[Answer], None]) -> ReconstructResult | Failure:
    """Do a job: what became of it. What happens meanwhile goes to ``send``."""
    next_time = 0.0

    def progress(reached: Reached) -> None:
        nonlocal next_time
        now = time.monotonic()
        if now >= next_time:
            next_time = now + TELL_EVERY_S
            send(reached)

    try:
        return reconstruct_day(
            job.day,
            job.out,
            job.options,
            carry=job.carry,
            since=job.since,
            strict=job.strict,
            overwrite=job.overwrite,
            batch_rows=job.batch_rows,
            progress=progress,
            note=lambda sentence: send(Noted(sentence)),
        )
    except LobproofError as error:
        return Failure(error.message, error.hint)
    except MemoryError:
        return Failure("out of memory", "give fewer workers (workers=, --workers)")
    except (BrokenPipeError, ConnectionResetError):
        raise
    except OSError as error:
        place = place_error(error)
        return Failure(place.message, place.hint)
    except Exception as error:
        return Failure(
            f"{type(error).__name__}: {error}",
            "this is a fault of lobproof: report it with the lines above",
            traceback.format_exc(),
        )


def _stop(*_: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise KeyboardInterrupt


def _outlive_nobody() -> None:
    """Stop when the process that started this one is gone, whatever became of it."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        kill(getpid(), signal.SIGTERM)
