"""Gates A and B over every mutation: stores sealed as they should be that are not the market.

One seed each here; ``make mutation-exact`` takes two hundred markets.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from lobproof.fidelity.exact import Verdict, verify
from support.store_mutations import IDENTITY, MUTATIONS, Original, hold, judged, simulated

pytestmark = pytest.mark.compiled

SEED = 1
SEEDS = range(1000, 1200)
"""Declared before anything was looked at, and never moved."""
CAUGHT, ACCEPTED = 0.95, 0.99


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Original, Path]:
    return simulated(tmp_path_factory.mktemp("market"), SEED)


def test_what_is_not_changed_is_the_same_store(
    market: tuple[Original, Path], tmp_path: Path
) -> None:
    original, golden = market
    again = original.mutated(tmp_path, IDENTITY, SEED)
    known = original.store.days()["content_hash"].to_list()
    assert again.days()["content_hash"].to_list() == known
    report = verify(again, golden)
    assert report.verdict is Verdict.PASS, report
    for check in report.checks:
        assert check.verdict in (Verdict.EXACT, Verdict.PASS, Verdict.NOT_APPLICABLE), check


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_mutation_fails_the_check_that_sees_it(
    market: tuple[Original, Path], tmp_path: Path, name: str
) -> None:
    original, golden = market
    assert hold(original, golden, tmp_path / "mutated", name, SEED)


@pytest.mark.slow
def test_two_hundred_markets(capsys: pytest.CaptureFixture[str]) -> None:
    """The rates of the specification, and a table of how often each was caught."""
    workers = multiprocessing.get_context("spawn")
    wrong: Counter[str] = Counter()
    said: dict[str, str] = {}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=workers) as pool:
        for found in pool.map(partial(judged, names=tuple(MUTATIONS)), SEEDS):
            wrong.update(found.keys())
            said = {**found, **said}
    many = len(SEEDS)
    with capsys.disabled():
        print(f"\n{many - wrong['']} of {many} unchanged stores accepted")
        for name, mutation in MUTATIONS.items():
            caught = f"{many - wrong[name]} of {many}"
            print(f"{name}: {caught} fail {' and '.join(mutation.checks)}")
    assert many - wrong[""] >= ACCEPTED * many, said[""]
    for name in MUTATIONS:
        assert many - wrong[name] >= CAUGHT * many, said[name]
