"""An event loop and threads: work beside the loop, a few things at a time, loops within loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Executor
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")

_SIDE_BY_SIDE = 8


class SilenceError(Exception):
    """Nothing was heard in time."""


async def in_thread(
    work: Callable[[Callable[[], None]], T], stop: Callable[[], None], seconds: float
) -> T:
    """``work`` in a thread that is left behind, and told to stop, where we are.

    ``work`` is given what to call once it has heard something; it has so many seconds until then,
    or ``SilenceError`` is raised.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    answers: list[T] = []
    lock, left = threading.Lock(), False

    def tell(what: Callable[..., None], *arguments: Any) -> None:
        with lock:  # once we have left, the loop may be closed
            if not left:
                loop.call_soon_threadsafe(what, *arguments)

    def heard() -> None:
        if not left and not patience.expired():
            patience.reschedule(None)

    def end(error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    def run() -> None:
        try:
            answers.append(work(lambda: tell(heard)))
        except BaseException as error:
            tell(end, error)
        else:
            tell(end, None)

    try:
        async with asyncio.timeout(seconds) as patience:
            threading.Thread(target=run, name="lobproof-receive", daemon=True).start()
            await ended
    except TimeoutError:
        raise SilenceError from None
    finally:
        with lock:
            left = True
        stop()
    return answers[0]


async def in_pool(pool: Executor, work: Callable[..., T], *arguments: Any) -> T:
    """Run in a thread, and see it end even when cancelled: files and locks are in use there."""
    future = asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, also where an event loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    answer: list[T] = []
    failure: list[BaseException] = []

    def inside() -> None:
        try:
            answer.append(asyncio.run(work))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]


async def each(work: Callable[[S], Awaitable[T]], items: Iterable[S]) -> list[T]:
    """All answers in order, a few at a time; the first failure ends the rest."""
    waiting = iter(enumerate(items))
    answers: dict[int, T] = {}

    async def worker() -> None:
        for number, item in waiting:
            answers[number] = await work(item)

    tasks = [asyncio.ensure_future(worker()) for _ in range(_SIDE_BY_SIDE)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [answers[number] for number in sorted(answers)]
