"""Stages: whose time is whose, in threads and around errors; nobody pays who looks away."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from lobproof import stages
from lobproof.stages import each, timed, watching

Told = list[tuple[str, int, float, float]]


class _Clock:
    """Time that passes when it is told to; the processor works for half of it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.now / 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    found = _Clock()
    monkeypatch.setattr(stages, "time", found)
    return found


def test_a_stage_has_its_own_time_and_not_that_of_the_stages_in_it(clock: _Clock) -> None:
    told: Told = []

    def inner() -> int:
        clock.now += 3
        timed("innermost", lambda: _pass(clock, 8))
        return 5

    def outer() -> int:
        clock.now += 10
        timed("inner", inner, lambda rows: rows)
        timed("inner", inner, lambda rows: rows)
        return 7

    with watching(lambda *one: told.append(one)):
        assert timed("outer", outer, lambda rows: rows + 1) == 7
    assert told == [
        ("innermost", 0, 8, 4),
        ("inner", 5, 3, 1.5),
        ("innermost", 0, 8, 4),
        ("inner", 5, 3, 1.5),
        ("outer", 8, 10, 5),
    ]
    assert sum(seconds for _, _, seconds, _ in told) == clock.now


def _pass(clock: _Clock, seconds: float) -> None:
    clock.now += seconds


def test_threads_have_stages_of_their_own(clock: _Clock) -> None:
    told: Told = []

    def outer() -> None:
        work = threading.Thread(target=timed, args=("thread", lambda: _pass(clock, 6)))
        work.start()
        work.join()

    with watching(lambda *one: told.append(one)):
        timed("outer", outer)
    # it waited: what another thread does is not inside
    assert [(stage, seconds) for stage, _, seconds, _ in told] == [("thread", 6), ("outer", 6)]


def test_without_a_watcher_nothing_is_told_and_work_is_done() -> None:
    told: Told = []
    assert timed("early", lambda: 1) == 1
    with watching(lambda *one: told.append(one)):
        with watching(lambda *_: None):
            timed("another's", lambda: 2)
        timed("mine", lambda: 3)
    timed("late", lambda: 4)
    assert [one[0] for one in told] == ["mine"]


def test_what_fails_is_not_told_and_leaves_the_stage_around_it_whole(clock: _Clock) -> None:
    told: Told = []

    def fail() -> None:
        clock.now += 4
        raise ValueError("no")

    def outer() -> None:
        with pytest.raises(ValueError, match="no"):
            timed("inner", fail)
        clock.now += 1

    with watching(lambda *one: told.append(one)):
        timed("outer", outer)
        timed("next", lambda: _pass(clock, 2))
    assert [(stage, seconds) for stage, _, seconds, _ in told] == [("outer", 1), ("next", 2)]


def test_each_times_the_making_of_items_and_closes_what_makes_them(clock: _Clock) -> None:
    told: Told = []
    closed = []

    def items() -> Generator[list[int]]:
        try:
            for rows in (2, 3, 4):
                clock.now += rows
                yield [0] * rows
        finally:
            closed.append(True)

    with watching(lambda *one: told.append(one)):
        for one in each("make", items(), len):
            clock.now += 100  # what is done with an item is no time of its making
            assert len(one) == int(told[-1][2])
        assert closed == [True]
        taken = each("make", items(), len)
        next(taken)
        taken.close()
    assert closed == [True, True]
    assert [one[:3] for one in told] == [("make", n, n) for n in (2, 3, 4, 2)]


def test_each_lets_errors_through() -> None:
    def items() -> Generator[int]:
        yield 1
        raise ValueError("broken")

    taken = each("make", items(), lambda one: one)
    with watching(lambda *_: None):
        assert next(taken) == 1
        with pytest.raises(ValueError, match="broken"):
            next(taken)
