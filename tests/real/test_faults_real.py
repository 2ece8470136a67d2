"""Faults on the recordings: some dropped messages of each, and each kind of damage once.

``tests/faults`` has all of them, 300 drops a recording.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lobproof.sources.recordings import import_recordings
from support.fault_catalogue import FAULTS, Fault, Scene
from support.fault_runs import check_contradiction, check_fault, check_mix
from support.faults import Recording, check_drop

pytestmark = pytest.mark.real


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "NEXOUSDT"])
def test_some_dropped_messages_are_reported(real_data: Path, tmp_path: Path, symbol: str) -> None:
    folder = real_data / "binance-spot"
    recording = Recording.read(list(folder.glob(f"{symbol.lower()}_*.gz")))
    intact = import_recordings(recording.paths, tmp_path / "intact", snapshot_limit=1000).path
    numbers = recording.droppable(5, seed=11)
    for number in numbers:
        against = intact if number == numbers[2] else None
        check_drop(recording, number, tmp_path / f"drop{number}", against)


@pytest.fixture(scope="module")
def scene(real_data: Path) -> Scene:
    """The first file of NEXOUSDT."""
    file = real_data / "binance-spot" / "nexousdt_20240723.gz"
    return Scene(Recording.read([file]).lines[0])


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.urgent], ids=lambda fault: fault.name)
def test_the_main_faults_are_told(fault: Fault, scene: Scene, tmp_path: Path) -> None:
    check_fault(fault, scene, tmp_path)


def test_a_snapshot_that_contradicts_the_book(scene: Scene, tmp_path: Path) -> None:
    check_contradiction(scene, tmp_path)


def test_one_symbol_of_a_mix_is_kept_where_it_is_named(scene: Scene, tmp_path: Path) -> None:
    check_mix(scene, tmp_path)
