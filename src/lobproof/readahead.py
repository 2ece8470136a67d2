"""``read_ahead`` runs an iterator in a thread, a few items ahead; ``in_order`` calls in several."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread
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


def in_order(
    calls: Iterable[Callable[[Callable[[int], None]], T]],
    at_once: int,
    told: Callable[[int], None],
) -> Generator[T]:
    """What the calls return, in their order; some of them run ahead, side by side in threads.

    Each is called with a function to tell how much it has done since it last told so, a few times
    a second or more; ``told`` hears that in the caller's thread. What a call raises is raised
    here, in its place. Closing the result ends those under way where they next tell something.

    Raises
    ------
    UsageError
        For fewer than one at once.
    """
    if at_once < 1:
        raise UsageError(f"{at_once} at once", hint="at_once must be at least 1")
    return _in_order(iter(calls), at_once, told)


def _in_order(
    calls: Iterator[Callable[[Callable[[int], None]], T]],
    at_once: int,
    told: Callable[[int], None],
) -> Generator[T]:
    stopped, turn = Event(), Lock()
    untold = 0

    def tell(amount: int) -> None:
        nonlocal untold
        if stopped.is_set():
            raise CancelledError
        with turn:
            untold += amount

    def pass_on() -> None:
        nonlocal untold
        with turn:
            amount, untold = untold, 0
        if amount:
            told(amount)

    running: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(at_once, "in-order")
    try:
        while True:
            while len(running) < at_once and (call := next(calls, None)) is not None:
                running.append(pool.submit(call, tell))
            if not running:
                return
            while not wait_for([running[0]], timeout=0.1).done:
                pass_on()
            result = running.popleft().result()
            pass_on()
            yield result
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
