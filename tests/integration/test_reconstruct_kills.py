"""Killed at random instants and started again: the same seals, and nothing left over."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lobproof.pipeline import PartialDay
from lobproof.sources.recordings.importer import import_recordings
from lobproof.store import sealed
from lobproof.timespan import to_ns
from support.kills import killed_until_done
from support.reconstructions import (
    assert_tidy,
    assert_whole_days,
    made_whole,
    reconstructing,
    seals,
    simulated,
    thinned,
)

PART_ROWS = 3000


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("lake") / "sim")


@pytest.fixture(scope="module")
def lossy(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thinned(lake, tmp_path_factory.mktemp("lossy") / "lake", 0.1)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = simulated(tmp_path_factory.mktemp("recorded") / "sim", recording=True)
    sample = import_recordings(sorted(folder.glob("*.gz")), folder / "golden")
    return sample.path


def kill_and_compare(
    source: Path,
    folder: Path,
    strategy: str,
    *,
    kills: int,
    seed: int,
    used: str,
    since: PartialDay | None = None,
) -> None:
    """At least so many kills, over as many stores as it takes."""
    how: dict[str, Any] = {"strategy": strategy, "part_rows": PART_ROWS, "since": since}
    seconds = made_whole(source, folder / "undisturbed", **how)
    expected = seals(folder / "undisturbed")
    assert {row["strategy"] for row in expected} == {used}
    assert_tidy(folder / "undisturbed")
    rng = random.Random(seed)
    done, at = 0, 0
    while done < kills:
        at += 1
        out = folder / str(at)
        begin = partial(reconstructing, source, out, **how)
        look = partial(assert_whole_days, out, expected)
        done += killed_until_done(begin, rng, 1.5 * seconds, look)
        assert seals(out) == expected
        assert_tidy(out)


STRATEGIES = [("full", "full"), ("anchored", "anchored"), ("time-sorted", "time-sorted")]


def test_killed(lake: Path, tmp_path: Path) -> None:
    kill_and_compare(lake, tmp_path, "full", kills=2, seed=1, used="full")


@pytest.mark.slow
def test_killed_with_a_fallback(lossy: Path, tmp_path: Path) -> None:
    kill_and_compare(lossy, tmp_path, "auto", kills=2, seed=2, used="anchored")
    reasons = sealed(tmp_path / "1")["verdicts"].to_list()
    assert all(text.count("NO-GO for full") == 1 for text in reasons)


def test_the_reasons_for_a_fallback_do_not_depend_on_batches(lossy: Path, tmp_path: Path) -> None:
    stores = []
    for batch_rows in (97, 1 << 16):
        out = tmp_path / str(batch_rows)
        made_whole(lossy, out, strategy="auto", part_rows=PART_ROWS, batch_rows=batch_rows)
        stores.append(seals(out))
    assert stores[0] == stores[1]


@pytest.mark.slow
def test_a_golden_sample_killed(golden: Path, tmp_path: Path) -> None:
    kill_and_compare(golden, tmp_path, "auto", kills=2, seed=3, used="full")


@pytest.mark.slow
def test_a_partial_day_killed(lake: Path, tmp_path: Path) -> None:
    made_whole(lake, tmp_path / "whole", strategy="full", part_rows=1 << 20)
    since = PartialDay(to_ns("2026-01-05T00:00:04"), tmp_path / "whole")
    kill_and_compare(lake, tmp_path, "auto", kills=2, seed=4, used="full", since=since)


@pytest.mark.slow
def test_a_partial_golden_sample_killed(golden: Path, tmp_path: Path) -> None:
    made_whole(golden, tmp_path / "whole", strategy="auto", part_rows=1 << 20)
    since = PartialDay(to_ns("2026-01-04T23:59:46"), tmp_path / "whole")
    kill_and_compare(golden, tmp_path, "auto", kills=2, seed=5, used="full", since=since)


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "used"), STRATEGIES)
def test_killed_often(lake: Path, tmp_path: Path, strategy: str, used: str) -> None:
    kill_and_compare(lake, tmp_path, strategy, kills=40, seed=11, used=used)


@pytest.mark.slow
def test_killed_often_with_a_fallback(lossy: Path, tmp_path: Path) -> None:
    kill_and_compare(lossy, tmp_path, "auto", kills=40, seed=12, used="anchored")


@pytest.mark.slow
def test_a_golden_sample_killed_often(golden: Path, tmp_path: Path) -> None:
    kill_and_compare(golden, tmp_path, "auto", kills=40, seed=13, used="full")


@pytest.mark.slow
def test_a_partial_day_killed_often(lake: Path, tmp_path: Path) -> None:
    made_whole(lake, tmp_path / "whole", strategy="full", part_rows=1 << 20)
    since = PartialDay(to_ns("2026-01-05T00:00:04"), tmp_path / "whole")
    kill_and_compare(lake, tmp_path, "auto", kills=40, seed=14, used="full", since=since)
