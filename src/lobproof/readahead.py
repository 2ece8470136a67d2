"""``read_ahead``: an iterator that is run in a thread of its own, a few items ahead."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

from lobproof.errors import UsageError

T = TypeVar("T")


def read_ahead(iterator: Iterator[T], depth: int = 2) -> Generator[T]:
    """The items of ``iterator``, of which up to ``depth`` are made ahead of their use.

    The thread starts with the first item asked for. What the iterator raises is raised here, in
    its place. Closing the result, or dropping it, ends the thread: it finishes the item in the
    making, closes the iterator where that can be closed, and is waited for.

    Raises
    ------
    UsageError
        For a depth below 1.
    """
    if depth < 1:
        raise UsageError(f"{depth} items ahead", hint="depth must be at least 1")
    return _read(iterator, depth)


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def _read(iterator: Iterator[T], depth: int) -> Generator[T]:
    made: SimpleQueue[T | _End] = SimpleQueue()
    free = Semaphore(depth)
    stopped = Event()

    def run() -> None:
        try:
            made.put(_End(_fill(iterator, made, free, stopped)))
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    thread = Thread(target=run, name="read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            free.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        free.release()
        thread.join()


def _fill(
    iterator: Iterator[T], made: SimpleQueue[T | _End], free: Semaphore, stopped: Event
) -> BaseException | None:
    """Put items until there are no more, or until told to stop; what was raised."""
    try:
        while free.acquire() and not stopped.is_set():
            made.put(next(iterator))
    except StopIteration:
        return None
    except BaseException as error:
        return error
    return None
