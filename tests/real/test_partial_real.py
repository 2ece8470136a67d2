"""Partial days of real recordings, as golden samples and as Lake days derived from them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lobproof.pipeline import (
    PartialDay,
    ReconstructOptions,
    derive_lake,
    lake_days,
    reconstruct_day,
    reconstruct_sample,
)
from lobproof.sources.recordings.importer import import_recordings
from lobproof.store import sealed
from support.partial_days import hold_against_whole

OPTIONS = ReconstructOptions(keyframe_seconds=60)


def hold_parts(whole: Path, out: Path, make: Callable[[PartialDay], object]) -> None:
    """Each sealed day from a tenth, the middle and nine tenths of it on."""
    for seal in sealed(whole).iter_rows(named=True):
        for share in (0.1, 0.5, 0.9):
            time = seal["first_ts"] + int(share * (seal["last_ts"] - seal["first_ts"]))
            make(PartialDay(time, whole))
            assert hold_against_whole(whole, out, seal["dt"])["states"] > 50
            shutil.rmtree(out)


@pytest.mark.parametrize("symbol", ["btcusdt", pytest.param("nexousdt", marks=pytest.mark.slow)])
def test_parts_of_recorded_days(real_data: Path, tmp_path: Path, symbol: str) -> None:
    files = sorted((real_data / "binance-spot").glob(f"{symbol}*"))
    sample = import_recordings(files, tmp_path / "golden", snapshot_limit=1000).path
    whole, out = tmp_path / "whole", tmp_path / "part"
    reconstruct_sample(sample, whole, OPTIONS)
    hold_parts(whole, out, lambda since: reconstruct_sample(sample, out, OPTIONS, since=since))
    derive_lake(sample, tmp_path / "lake")
    whole = tmp_path / "whole_lake"
    days = {day.dt: day for day in lake_days(tmp_path / "lake")}
    for day in days.values():
        reconstruct_day(day, whole, OPTIONS)
    hold_parts(whole, out, lambda since: reconstruct_day(days[since.dt], out, OPTIONS, since=since))
