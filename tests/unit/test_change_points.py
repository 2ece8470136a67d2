"""Change points against every way to cut a series, and how often they are false."""

from __future__ import annotations

import math
import sys
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from lobproof.errors import ExtraError, UsageError
from lobproof.fidelity.inference.changes import LEAST, PENALTY, SEGMENT, change_points

Series = NDArray[np.float64]


@pytest.fixture
def library() -> None:
    pytest.importorskip("ruptures", reason="the extra history is not installed")


def plain(x: Series, floor: float, many: int) -> list[int]:
    """The cheapest of all cuts, by dynamic programming without pruning."""
    steps = [(b - a) ** 2 for a, b in pairwise(x)]
    variance = max(sum(steps) / len(steps) / 2, floor**2)
    penalty = PENALTY * variance * math.log(len(x) * many)

    def cost(begin: int, end: int) -> float:
        part = x[begin:end]
        return float(sum((value - sum(part) / len(part)) ** 2 for value in part))

    @cache
    def best(end: int) -> tuple[float, tuple[int, ...]]:
        whole = (cost(0, end), ())
        cuts = [
            (best(cut)[0] + cost(cut, end) + penalty, (*best(cut)[1], cut))
            for cut in range(SEGMENT, end - SEGMENT + 1)
        ]
        return min([whole, *cuts])

    return list(best(len(x))[1])


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("seed", range(40))
def test_they_are_those_of_the_cheapest_cut(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(LEAST, 45))
    x = random.normal(size=n)
    for _ in range(int(random.integers(0, 4))):
        x[int(random.integers(0, n)) :] += random.normal() * 5
    assert change_points([x], [0.0]) == [plain(x, 0.0, 1)]


@pytest.mark.usefixtures("library")
def test_false_alarms_are_rare_over_all_series_and_a_shift_is_seen() -> None:
    """Declared beforehand: 100 histories of 40 days and 100 figures, at most 5 with any alarm."""
    alarms = found = 0
    for seed in range(100):
        series = np.random.default_rng([77, seed]).normal(size=(100, 40))
        alarms += any(change_points(list(series), [0.0] * 100))
        series[0, 25:] += 4.0
        starts = change_points(list(series), [0.0] * 100)[0]
        found += len(starts) == 1 and abs(starts[0] - 25) <= 1
    assert alarms <= 5
    assert found >= 95


@pytest.mark.usefixtures("library")
def test_what_stays_the_same_or_is_too_short_has_none() -> None:
    step = np.repeat([0.0, 1.0], LEAST)
    assert change_points([np.zeros(50), step[LEAST - 4 : LEAST + 5], step], [0.0] * 3) == [
        [],
        [],
        [LEAST],
    ]


@pytest.mark.usefixtures("library")
def test_shifts_far_below_the_floor_do_not_matter() -> None:
    step = np.repeat([0.0, 1e-5], 20)
    assert change_points([step], [5e-4]) == [[]]
    assert change_points([step], [1e-7]) == [[20]]


@pytest.mark.usefixtures("library")
def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no numbers"):
        change_points([np.full(20, np.nan)], [0.0])


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(ExtraError, match=r"lobproof\[history\]"):
        change_points([np.zeros(20)], [0.0])
