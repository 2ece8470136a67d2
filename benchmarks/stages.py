"""Processor time of the stages of a reconstruction, by wrapping the functions that they are.

A stage's time is that of the thread that runs it, without what it calls of other stages. The
wrappers are called a few times a batch, so that they cost nothing that could be seen.
"""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import process_time, thread_time
from typing import Any
from unittest.mock import patch

from lobproof import files
from lobproof.pipeline import survey, task
from lobproof.pipeline.day import DayTask
from lobproof.replay import Replayer, StreamClock
from lobproof.replay import merge as merging
from lobproof.replay.integrity import BookAudit, TradeAudit
from lobproof.sources.cryptolake import decode
from lobproof.store import parts, writer

CHECKPOINTS = "checkpoints"
FLOOR = ("decode: ", "writer: ", "encode: ", "commit")
"""Stages that are there without replay, too."""
_PLAIN: tuple[tuple[str, object, str], ...] = (
    ("before: hashes of the files", files, "file_sha256"),
    ("before: grid, ticks, lots", survey, "infer_grid"),
    ("before: times", survey, "survey_times"),
    ("audit", BookAudit, "process"),
    ("audit", TradeAudit, "process"),
    ("placer", merging, "place_vendor_rows"),
    ("clock", StreamClock, "stamp"),
    ("merge", merging.Merge, "_merged"),
    ("replay", Replayer, "_step"),
    ("counts, findings, keyframes", DayTask, "_take"),
    ("counts, findings, keyframes", DayTask, "_keyframe"),
    ("writer: checks, copies into row groups", writer.DayWriter, "append"),
    ("encode: hashes", parts, "leaf"),
    ("encode: decimals", parts, "to_arrow"),
    ("encode: Parquet", parts.PartWriter, "write"),
    ("encode: closing parts", parts.PartWriter, "finish"),
    (CHECKPOINTS, task._Run, "_checkpoint"),
    (CHECKPOINTS, writer, "write_checkpoint"),
    ("commit", task, "commit_day"),
)
_STREAMS = (
    ("decode: deltas", decode, "deltas"),
    ("decode: book", decode, "books"),
    ("decode: trades", decode, "trades"),
)
REST = ("between the stages: main thread", "between the stages: other threads", "native threads")


class Stages:
    """Seconds by stage. Enter :meth:`watched`, run, and read ``seconds``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._local = threading.local()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Wrap the stages; ``seconds`` gets the rest of the process at the end."""
        start = process_time()
        with ExitStack() as stack:
            for name, owner, attribute in _PLAIN:
                wrapped = self._function(name, getattr(owner, attribute))
                stack.enter_context(patch.object(owner, attribute, wrapped))
            for name, owner, attribute in _STREAMS:
                stream = self._stream(name, getattr(owner, attribute))
                stack.enter_context(patch.object(owner, attribute, stream))
            run = self._function(REST[1], threading.Thread.run)
            stack.enter_context(patch.object(threading.Thread, "run", run))
            stack.enter_context(self._stage(REST[0]))
            yield
        self.seconds[REST[2]] = process_time() - start - sum(self.seconds.values())

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        inner: list[float] = getattr(self._local, "inner", [])
        self._local.inner = inner
        inner.append(0.0)
        start = thread_time()
        try:
            yield
        finally:
            spent = thread_time() - start
            own = spent - inner.pop()
            if inner:
                inner[-1] += spent
            with self._lock:
                self.seconds[name] += own

    def _function(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **more: Any) -> Any:
            with self._stage(name):
                return function(*args, **more)

        return timed

    def _stream(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **more: Any) -> Iterator[Any]:
            items = iter(function(*args, **more))
            while True:
                with self._stage(name):
                    item = next(items, None)
                if item is None:
                    return
                yield item

        return timed
