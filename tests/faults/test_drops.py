"""300 single depth messages dropped at random from each recording: every one is reported."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from lobproof.sources.recordings import import_recordings
from support.faults import Recording, check_drop

pytestmark = [pytest.mark.slow, pytest.mark.real]

DROPS = 300
A_TEST = 20
EACH = 10
"""Every so many drops, the lossy store is verified against the whole recording as well."""


@cache
def _recording(folder: Path, symbol: str) -> Recording:
    return Recording.read(sorted((folder / "binance-spot").glob(f"{symbol.lower()}_*.gz")))


@pytest.mark.parametrize("part", range(DROPS // A_TEST))
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "NEXOUSDT"])
def test_every_dropped_message_is_reported(
    real_data: Path, tmp_path: Path, symbol: str, part: int
) -> None:
    recording = _recording(real_data, symbol)
    intact = import_recordings(recording.paths, tmp_path / "intact").path
    numbers = recording.droppable(DROPS, seed=3)
    assert len(numbers) == DROPS
    for at in range(part * A_TEST, (part + 1) * A_TEST):
        folder = tmp_path / f"drop{at}"
        check_drop(recording, numbers[at], folder, intact if at % EACH == 0 else None)
        shutil.rmtree(folder)
