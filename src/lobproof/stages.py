"""Stages of a reconstruction: how long each took over a batch, told to whoever watches.

Nobody watches, as a rule, and then nothing is measured. A stage's time is its own: what it calls of
other stages in the same thread is theirs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

Told = Callable[[str, int, float, float], None]
"""Is told a stage, the rows that it was at, and its seconds: on the clock, and of the processor.

Called from any thread, after each batch.
"""


@dataclass(slots=True)
class _Watch:
    """Who watches the stages of this process."""

    told: Told | None = None


class _Open(threading.local):
    """Seconds of the stages inside the open ones of a thread, the innermost last."""

    def __init__(self) -> None:
        self.inner: list[tuple[float, float]] = []


_watch = _Watch()
_open = _Open()


@contextmanager
def watching(told: Told) -> Iterator[None]:
    """Call ``told`` after each batch of each stage, in all threads of this process."""
    before, _watch.told = _watch.told, told
    try:
        yield
    finally:
        _watch.told = before


def timed(stage: str, work: Callable[[], T], rows: Callable[[T], int] = lambda _: 0) -> T:
    """What ``work`` returns; ``rows`` says how many it was at. What fails is not told."""
    told = _watch.told
    if told is None:
        return work()
    _open.inner.append((0.0, 0.0))
    clock, used = time.perf_counter(), time.thread_time()
    done = False
    try:
        result = work()
        done = True
    finally:
        spent = time.perf_counter() - clock, time.thread_time() - used
        inner = _open.inner.pop()
        if _open.inner:
            outer = _open.inner[-1]
            _open.inner[-1] = outer[0] + spent[0], outer[1] + spent[1]
        if done:
            told(stage, rows(result), spent[0] - inner[0], spent[1] - inner[1])
    return result


def each(stage: str, items: Generator[T], rows: Callable[[T], int]) -> Generator[T]:
    """The items; making each is a batch of ``stage``. Closing it closes ``items``."""
    with closing(items):
        while True:
            try:
                item = timed(stage, lambda: next(items), rows)
            except StopIteration:
                return
            yield item
