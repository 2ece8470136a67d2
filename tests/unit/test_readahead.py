"""Iterators and calls that are run ahead in threads: order, errors, and an end in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError

import pytest

from lobproof.errors import UsageError
from lobproof.readahead import in_order, read_ahead

Tell = Callable[[int], None]
Call = Callable[[Tell], int]


def threads() -> list[str]:
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith(("read-ahead", "in-order"))]


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_the_items_are_the_same(depth: int) -> None:
    assert list(read_ahead(iter(range(100)), depth)) == list(range(100))
    assert list(read_ahead(iter([None, None]), depth)) == [None, None]
    assert threads() == []


@pytest.mark.parametrize("error", [KeyError("no"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_an_error_comes_in_its_place(error: BaseException) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise error

    reader = read_ahead(broken())
    assert next(reader) == 1
    with pytest.raises(type(error)) as caught:
        next(reader)
    assert caught.value is error
    assert threads() == []


def test_no_more_than_depth_items_are_made_ahead() -> None:
    made = threading.Semaphore(0)
    count = [0]

    def items() -> Iterator[int]:
        while True:
            count[0] += 1
            made.release()
            yield count[0]

    reader = read_ahead(items(), 3)
    assert next(reader) == 1
    for _ in range(4):
        assert made.acquire(timeout=30)
    # the one that was taken, and three more
    assert not made.acquire(timeout=0.05)
    reader.close()
    assert count == [4]


def test_closing_ends_the_thread_and_the_iterator() -> None:
    closed = threading.Event()

    def endless() -> Generator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    reader = read_ahead(endless())
    assert next(reader) == 1
    assert threads() == ["read-ahead"]
    reader.close()
    assert closed.is_set()
    assert threads() == []


def test_no_thread_before_the_first_item() -> None:
    reader = read_ahead(iter([1]))
    assert threads() == []
    reader.close()
    assert threads() == []


def test_a_depth_below_one() -> None:
    with pytest.raises(UsageError, match="0 items ahead"):
        read_ahead(iter([1]), 0)


# --- calls in several threads -------------------------------------------------------------------


def ignore(amount: int) -> None:
    """Hear nothing."""


def returns(number: int) -> Call:
    return lambda tell: number


@pytest.mark.parametrize("at_once", [1, 2, 5, 50])
@pytest.mark.parametrize("calls", [0, 1, 20])
def test_results_come_in_the_order_of_the_calls(calls: int, at_once: int) -> None:
    assert list(in_order(map(returns, range(calls)), at_once, ignore)) == list(range(calls))
    assert threads() == []


def test_results_come_in_order_though_the_calls_end_in_another() -> None:
    over = [threading.Event() for _ in range(5)]
    ended: list[int] = []

    def last_first(number: int) -> Call:
        def call(tell: Tell) -> int:
            if number < 4:
                assert over[number + 1].wait(30)
            ended.append(number)
            over[number].set()
            return number

        return call

    assert list(in_order(map(last_first, range(5)), 5, ignore)) == [0, 1, 2, 3, 4]
    assert ended == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_calls_than_asked_for_run_or_wait(at_once: int) -> None:
    lock = threading.Lock()
    full = threading.Barrier(at_once)
    running, most, begun = 0, 0, 0

    def call(tell: Tell) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        full.wait(30)  # so many do run side by side
        with lock:
            running -= 1
        return 0

    def calls() -> Iterator[Call]:
        nonlocal begun
        while begun < 4 * at_once:
            begun += 1
            yield call

    results = in_order(calls(), at_once, ignore)
    assert begun == 0
    for taken in range(1, 4 * at_once + 1):
        assert next(results) == 0
        assert begun <= taken + at_once - 1
    assert list(results) == []
    assert most == at_once


@pytest.mark.parametrize("error", [KeyError("no"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_what_a_call_raises_is_raised_in_its_place_and_ends_the_others(
    error: BaseException,
) -> None:
    raised, begun = threading.Event(), threading.Event()
    stopped: list[str] = []

    def slow(tell: Tell) -> int:
        assert raised.wait(30)
        return 1

    def broken(tell: Tell) -> int:
        assert begun.wait(30)
        raised.set()
        raise error

    def endless(tell: Tell) -> int:
        begun.set()
        try:
            for _ in range(5000):
                tell(1)
                time.sleep(0.001)
        except CancelledError:
            stopped.append("endless")
            raise
        return 2

    def never(tell: Tell) -> int:
        stopped.append("never")
        return 0

    results = in_order(iter([slow, broken, endless, never, never]), 3, ignore)
    assert next(results) == 1
    with pytest.raises(type(error)) as caught:
        next(results)
    assert caught.value is error
    assert stopped == ["endless"]
    assert threads() == []


def test_closing_ends_calls_where_they_next_tell_something() -> None:
    begun = threading.Barrier(3)
    told: list[int] = []

    def endless(number: int) -> Call:
        def call(tell: Tell) -> int:
            begun.wait(30)
            try:
                for _ in range(5000):
                    tell(number)
                    time.sleep(0.001)
            except CancelledError:
                told.append(number)
                raise
            return number

        return call

    def quick(tell: Tell) -> int:
        begun.wait(30)
        return 7

    results = in_order(iter([quick, endless(1), endless(2)]), 3, ignore)
    assert next(results) == 7
    assert len(threads()) == 3
    results.close()
    assert sorted(told) == [1, 2]
    assert threads() == []


def test_what_is_told_is_heard_in_the_callers_thread_and_all_of_it() -> None:
    heard: list[tuple[int, str]] = []
    first = threading.Event()

    def told(amount: int) -> None:
        heard.append((amount, threading.current_thread().name))
        first.set()

    def call(tell: Tell) -> int:
        tell(1)
        assert first.wait(30)  # it is heard while a call runs
        for amount in range(100):
            tell(amount)
        return 0

    assert list(in_order(iter([call] * 9), 4, told)) == [0] * 9
    assert {name for _, name in heard} == {threading.current_thread().name}
    assert sum(amount for amount, _ in heard) == 9 * (1 + sum(range(100)))


def test_a_call_that_tells_faster_than_is_heard_keeps_no_result_back() -> None:
    taken, begun = threading.Event(), threading.Event()

    def quick(tell: Tell) -> int:
        assert begun.wait(30)
        return 7

    def chatty(tell: Tell) -> int:
        until = time.monotonic() + 5
        while not taken.is_set() and time.monotonic() < until:
            tell(1)
            begun.set()
            time.sleep(0.001)
        return int(taken.is_set())

    results = in_order(iter([quick, chatty]), 2, lambda amount: time.sleep(0.01))
    assert next(results) == 7
    taken.set()
    assert next(results) == 1


def test_no_call_before_the_first_result_is_asked_for() -> None:
    begun: list[int] = []

    def call(tell: Tell) -> int:
        begun.append(1)
        return 0

    results = in_order(iter([call]), 1, ignore)
    assert (begun, threads()) == ([], [])
    results.close()
    assert (begun, threads()) == ([], [])


def test_fewer_than_one_call_at_once() -> None:
    with pytest.raises(UsageError, match="0 at once"):
        in_order(iter([returns(1)]), 0, ignore)
