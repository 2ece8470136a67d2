"""A part of the fuzz run with every run of the tests, always of the same seeds.

``make fuzz`` has hours of it. A failure says its chain of faults, the first wrong claim, and the
command that runs it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from fuzz.runs import Plan, faults_of, recordings_in, run, simulated
from fuzz.tally import Tally


def _runs(path: str, data: Path, recordings: Sequence[str], folder: Path, count: int) -> Tally:
    """Run so many seeds, and fail with all that failed."""
    tally, failures = Tally(), []
    for seed in range(count):
        plan = Plan.of(seed, path, recordings)
        outcome = run(plan, data, folder / "run")
        tally.take(outcome)
        failures += [str(outcome)] if outcome.failed else []
    assert not failures, "\n".join([*failures, str(tally)])
    return tally


@pytest.mark.parametrize("path", ["golden", "lake"])
def test_no_trusted_claim_about_a_damaged_recording_is_wrong(
    real_data: Path, tmp_path: Path, path: str
) -> None:
    # each fault comes first once, and once none does
    tally = _runs(path, real_data, recordings_in(real_data), tmp_path, len(faults_of(path)) + 1)
    # whoever doubts everything is never wrong
    assert tally.sums[path].trusted > 0.3 * tally.sums[path].states


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Where recordings of a simulated exchange are, and their names."""
    folder = tmp_path_factory.mktemp("simulated")
    return folder, simulated(folder)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["golden", "lake"])
def test_nor_about_a_simulated_one(made: tuple[Path, list[str]], tmp_path: Path, path: str) -> None:
    tally = _runs(path, *made, tmp_path, 12)
    assert tally.sums[path].trusted > 0.3 * tally.sums[path].states
