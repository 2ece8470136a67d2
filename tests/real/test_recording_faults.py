"""Faults on the recordings: dropped messages of each, and each kind of damage.

The slow tests drop 300 messages of each recording and try every fault of the catalogue.
"""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from lobproof.sources.recordings import import_recordings
from support.recording_fault_checks import check_contradiction, check_drop, check_fault, check_mix
from support.recording_faults import FAULTS, Fault, Recording, Scene

pytestmark = pytest.mark.real

SYMBOLS = ("BTCUSDT", "ETHUSDT", "NEXOUSDT")
DROPS = 300
A_TEST = 20
EACH = 10
"""Every so many drops, the lossy store is verified against the whole recording as well."""


@cache
def recording(folder: Path, symbol: str) -> Recording:
    return Recording.read(sorted((folder / "binance-spot").glob(f"{symbol.lower()}_*.gz")))


@pytest.mark.parametrize(
    "symbol",
    [one if one == "BTCUSDT" else pytest.param(one, marks=pytest.mark.slow) for one in SYMBOLS],
)
def test_some_dropped_messages_are_reported(real_data: Path, tmp_path: Path, symbol: str) -> None:
    whole = recording(real_data, symbol)
    intact = import_recordings(whole.paths, tmp_path / "intact", snapshot_limit=1000).path
    numbers = whole.droppable(5, seed=11)
    for number in numbers:
        against = intact if number == numbers[2] else None
        check_drop(whole, number, tmp_path / f"drop{number}", against)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(DROPS // A_TEST))
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_dropped_message_is_reported(
    real_data: Path, tmp_path: Path, symbol: str, part: int
) -> None:
    whole = recording(real_data, symbol)
    intact = import_recordings(whole.paths, tmp_path / "intact").path
    numbers = whole.droppable(DROPS, seed=3)
    assert len(numbers) == DROPS
    for at in range(part * A_TEST, (part + 1) * A_TEST):
        folder = tmp_path / f"drop{at}"
        check_drop(whole, numbers[at], folder, intact if at % EACH == 0 else None)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def scene(real_data: Path) -> Scene:
    """The first file of NEXOUSDT."""
    file = real_data / "binance-spot" / "nexousdt_20240723.gz"
    return Scene(Recording.read([file]).lines[0])


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.urgent], ids=lambda fault: fault.name)
def test_the_main_faults_are_told(fault: Fault, scene: Scene, tmp_path: Path) -> None:
    check_fault(fault, scene, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [f for f in FAULTS if not f.urgent], ids=lambda fault: fault.name)
def test_the_other_faults_are_told(fault: Fault, scene: Scene, tmp_path: Path) -> None:
    check_fault(fault, scene, tmp_path)


def test_a_snapshot_that_contradicts_the_book(scene: Scene, tmp_path: Path) -> None:
    check_contradiction(scene, tmp_path)


def test_one_symbol_of_a_mix_is_kept_where_it_is_named(scene: Scene, tmp_path: Path) -> None:
    check_mix(scene, tmp_path)
