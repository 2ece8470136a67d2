"""Faults on derived Lake days of all recordings, at many places: the slow suite.

What each must leave is in ``support.lake_faults``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lobproof.instruments import Rule
from lobproof.schema import LEVELS, Finding
from support.lake_fault_checks import Rebuilt, Scene, Truth, check_case
from support.lake_faults import (
    CASES,
    DELTAS,
    HOUR,
    LOSSES,
    MINUTE,
    Case,
    Day,
    foreign,
    foreign_row,
    lost,
    rows_lost,
    thinned,
    tick_changed,
)

pytestmark = [pytest.mark.real, pytest.mark.slow]
SYMBOLS = ("BTCUSDT", "ETHUSDT", "NEXOUSDT")
NEXO_DAY = "2024-07-24"


class Scenes:
    """Each recording, and each of its days intact, made once."""

    def __init__(self, recordings: Path, folder: Path) -> None:
        self.of = cache(self._of)
        self.intact = cache(self._intact)
        self._recordings = recordings
        self._folder = folder

    def _of(self, symbol: str) -> Scene:
        files = sorted((self._recordings / "binance-spot").glob(f"{symbol.lower()}_*.gz"))
        return Scene.make(files, self._folder / symbol)

    def _intact(self, symbol: str, dt: str) -> Rebuilt:
        day = Day.read(self.of(symbol).lake, dt)
        return Rebuilt.of(day, self._folder / f"{symbol}-{dt}")

    def days(self, symbol: str) -> Sequence[tuple[Rebuilt, Truth]]:
        """The days of a recording, intact, and the truth."""
        scene = self.of(symbol)
        return [(self.intact(symbol, dt), scene.truth) for dt in scene.dates]


@pytest.fixture(scope="module")
def scenes(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    return Scenes(real_data, tmp_path_factory.mktemp("scenes"))


def places(day: Day, count: int, seed: int) -> list[int]:
    """Random messages, not too near to either end."""
    return sorted(random.Random(seed).sample(range(60, day.messages - 300), count))


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_fault_is_told_where_it_is(
    case: Case, symbol: str, scenes: Scenes, tmp_path: Path
) -> None:
    count = 12 if case.unseen else 1
    for number, (intact, truth) in enumerate(scenes.days(symbol)):
        for at in places(intact.day, count, seed=7):
            check_case(case, at, intact, truth, tmp_path / f"{number}-{at}")


def _lost_until(stop: int, book: bool = False) -> Callable[[Day, int], Day]:
    return lambda day, at: lost(day, at, stop, book=book)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_five_minutes_lost(symbol: str, scenes: Scenes, tmp_path: Path) -> None:
    for book in (False, True):
        intact, truth = scenes.days(symbol)[0]
        stop = intact.day.message_at(intact.day.time_of(200) + 5 * MINUTE)
        case = Case(
            "five minutes lost", _lost_until(stop, book), frozenset((Finding.SILENCE,)), may=LOSSES
        )
        rebuilt = check_case(case, 200, intact, truth, tmp_path / str(book))
        silence = rebuilt.findings(Finding.SILENCE).row(0, named=True)
        assert silence["last_ts"] - silence["first_ts"] < 5.5 * MINUTE


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_rows_of_another_symbol(symbol: str, scenes: Scenes, tmp_path: Path) -> None:
    other = scenes.days("ETHUSDT" if symbol == "BTCUSDT" else "BTCUSDT")[0][0].day
    for number, (intact, truth) in enumerate(scenes.days(symbol)):
        for at in places(intact.day, 3, seed=8):
            check_case(foreign_row(other), at, intact, truth, tmp_path / f"{number}-{at}")
        first = Rebuilt.of(foreign(intact.day, 0, other), tmp_path / f"{number}-first")
        assert first.wrong(truth)[0].is_empty()
        assert first.misplaced() == []


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_tenth_of_the_rows_lost(symbol: str, scenes: Scenes, tmp_path: Path) -> None:
    intact, truth = scenes.days(symbol)[-1]
    spoilt = rows_lost(intact.day, 0.1, seed=3)
    full = Rebuilt.of(spoilt, tmp_path / "full")
    assert full.result.counts.gap_ratio is not None
    assert full.result.counts.gap_ratio > 0.05
    assert full.wrong(truth)[0].is_empty()
    assert full.misplaced() == []
    auto = Rebuilt.of(spoilt, tmp_path / "auto", strategy="auto")
    assert auto.result.strategy == "anchored"
    assert auto.result.reasons[0].startswith("NO-GO for full: ")
    wrong, outside, whole = auto.wrong(truth)
    assert wrong.is_empty()
    assert whole == outside
    assert auto.findings(Finding.SILENCE).height <= 1


def test_half_an_hour_without_deltas(scenes: Scenes, tmp_path: Path) -> None:
    """``book`` and trades go on: one silence, and minutes whose trades print far from the book."""
    intact = scenes.intact("NEXOUSDT", NEXO_DAY)
    first = intact.day.message_at(intact.day.time_of(0) + 6 * HOUR)
    stop = intact.day.message_at(intact.day.time_of(first) + 30 * MINUTE)
    case = Case("half an hour lost", _lost_until(stop), frozenset((Finding.SILENCE,)), may=LOSSES)
    truth = scenes.of("NEXOUSDT").truth
    rebuilt = check_case(case, first, intact, truth, tmp_path)
    (silence,) = rebuilt.findings(Finding.SILENCE).iter_rows(named=True)
    done = rebuilt.day.done[-1]
    assert silence["first_ts"] <= done.first_ts
    assert silence["last_ts"] >= done.last_ts
    assert silence["last_ts"] - silence["first_ts"] < 31 * MINUTE
    for row in rebuilt.findings(Finding.STALE_BOOK).iter_rows(named=True):
        assert done.first_ts - MINUTE <= row["first_ts"] <= done.last_ts


def test_the_tick_changes_at_noon(scenes: Scenes, tmp_path: Path) -> None:
    scene, intact = scenes.of("NEXOUSDT"), scenes.intact("NEXOUSDT", NEXO_DAY)
    start = intact.day.time_of(0)
    noon = start - start % (24 * HOUR) + 12 * HOUR
    day, levels = tick_changed(intact.day, noon, 0.01, 2, scene.opening(NEXO_DAY))
    rebuilt = Rebuilt.of(day, tmp_path)
    rules = rebuilt.store.instrument(dt=NEXO_DAY).rules
    assert rules == (Rule(0, 1, 1), Rule(noon, 10, 1))
    wrong, outside, whole = rebuilt.wrong(Truth.plain(levels))
    assert wrong.is_empty()
    assert whole > 0.9 * outside
    assert rebuilt.misplaced() == []
    assert not {Finding(code) for code in rebuilt.doubts["code"]} & LOSSES
    # orders older than the change keep their tick: each row of them is counted, and nothing earlier
    old = day.tables[DELTAS].filter(
        (pl.col("timestamp") >= noon - 1000)
        & ((pl.col("price") * 1000).round().cast(pl.Int64) % 10 != 0)
    )
    assert old.height > 100
    found = rebuilt.findings(Finding.OFF_TICK)
    assert found["first_ts"].to_numpy()[0] >= noon
    assert rebuilt.count(Finding.OFF_TICK) >= old.height


def test_a_loss_beyond_the_twenty_levels_is_unseen_until_it_comes_near(
    scenes: Scenes, tmp_path: Path
) -> None:
    intact, truth = scenes.days("NEXOUSDT")[-1]
    unseen, seen = 0, 0
    for at in deep_messages(intact.day, truth)[::90][:30]:
        rebuilt = Rebuilt.of(lost(intact.day, at, at + 1), tmp_path / str(at))
        done = rebuilt.day.done[-1]
        after = rebuilt.met.filter(pl.col("sequence") > done.last)
        assert after["agreed"][0], f"message {at} is seen at once"
        told = rebuilt.doubts.filter(pl.col("code").is_in([int(code) for code in LOSSES]))
        unseen += told.is_empty()
        seen += not told.is_empty()
        assert (told["first_event_id"] >= after["event_id"][0]).all(), at
        assert rebuilt.misplaced() == []
        wrong = rebuilt.wrong(truth)[0]
        assert wrong.is_empty(), (at, wrong)
    assert unseen > 0
    assert seen > 0


def deep_messages(day: Day, truth: Truth) -> list[int]:
    """Messages that touch no level of the best twenty, before or after."""
    rows = day.tables[DELTAS].select("sequence_number", "side_is_bid", "price")
    ids = rows["sequence_number"].to_numpy()
    bids, prices = rows["side_is_bid"].to_numpy(), rows["price"].to_numpy()
    at = np.searchsorted(truth.ids, ids)
    deep = np.ones(len(ids), np.bool_)
    for state in (at - 1, at):
        levels = truth.levels[np.clip(state, 0, len(truth.ids) - 1)]
        worst = levels[:, 2 * (LEVELS - 1)], levels[:, 2 * (2 * LEVELS - 1)]
        deep &= np.where(bids, prices < worst[0], (prices > worst[1]) & (worst[1] > 0))
    whole = np.logical_and.reduceat(deep, day.starts)
    return [int(k) for k in np.flatnonzero(whole) if 60 < k < day.messages - 300]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_with_few_rows_of_book_only_what_heals_between_two_is_unseen(
    symbol: str, scenes: Scenes, tmp_path: Path
) -> None:
    """A row of `book` every two seconds: a level set right before the next one leaves no trace."""
    for number, (intact, truth) in enumerate(scenes.days(symbol)):
        sparse = thinned(intact.day, 20)
        for at in places(sparse, 6, seed=9):
            rebuilt = Rebuilt.of(lost(sparse, at, at + 1), tmp_path / f"{number}-{at}")
            assert rebuilt.misplaced() == [], at
            met = rebuilt.met
            for event in rebuilt.wrong(truth)[0]["event_id"]:
                following = met.filter(pl.col("event_id") >= event)
                assert following["agreed"][0], (at, event)
