"""Iterators that are run ahead in a thread: order, errors, and an end in time."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import pytest

from lobproof.errors import UsageError
from lobproof.readahead import read_ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "read-ahead"]


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
