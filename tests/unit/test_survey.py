"""What a killed run found out about its files serves the next one, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lobproof.errors import InputError
from lobproof.files import file_sha256
from lobproof.pipeline import ReconstructOptions, survey
from lobproof.pipeline.lake import LakeDay, lake_days, reconstruct_day
from lobproof.pipeline.results import Reached
from lobproof.pipeline.survey import Survey
from lobproof.sources.simulator import simulate
from lobproof.store import Partition, list_checkpoints, open_store

OPTIONS = ReconstructOptions(part_rows=2_000)


class Stop(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> LakeDay:
    root = tmp_path_factory.mktemp("simulated")
    made = simulate(root / "made", preset="btc", minutes=1.0, recording=False, lake=True)
    assert made.lake is not None
    return lake_days(made.lake)[0]


def interrupted(day: LakeDay, out: Path) -> None:
    """Leave a run behind its first parts."""

    def stop(reached: Reached) -> None:
        if reached.events > 3 * OPTIONS.part_rows:
            raise Stop

    with pytest.raises(Stop):
        reconstruct_day(day, out, OPTIONS, batch_rows=500, progress=stop)


def test_a_resumed_day_is_not_looked_through_again(
    day: LakeDay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reconstruct_day(day, tmp_path / "whole", OPTIONS)
    out = tmp_path / "resumed"
    interrupted(day, out)

    def never(*_: object) -> None:
        raise AssertionError("looked through again")

    monkeypatch.setattr(survey, "infer_grid", never)
    resumed = reconstruct_day(day, out, OPTIONS)
    assert resumed.resumed_at > 0
    assert resumed.days[0].content_hash == whole.days[0].content_hash


def test_only_a_survey_of_the_same_bytes_is_taken(day: LakeDay, tmp_path: Path) -> None:
    where = Partition(day.exchange, day.symbol, day.dt)
    content = [file_sha256(path) for path in day.names]
    assert Survey.saved(tmp_path, where, content) is None
    interrupted(day, tmp_path)
    made = Survey.made(day.files, day.exchange, day.symbol)
    assert Survey.saved(tmp_path, where, content) == made
    assert Survey.saved(tmp_path, where, ["0" * 64, *content[1:]]) is None
    for path in list_checkpoints(tmp_path, where):
        path.write_bytes(path.read_bytes()[:-1])
    assert Survey.saved(tmp_path, where, content) is None


def test_files_that_are_changed_while_they_are_read_are_not_sealed(
    day: LakeDay, tmp_path: Path
) -> None:
    path = day.files["book_delta_v2"][0]
    before = path.stat()

    def touch(_: Reached) -> None:
        os.utime(path, ns=(0, 0))

    try:
        with pytest.raises(InputError, match=r"book_delta_v2/.* was changed while it was read"):
            reconstruct_day(day, tmp_path, OPTIONS, batch_rows=500, progress=touch)
    finally:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert open_store(tmp_path).days().is_empty()
    assert list_checkpoints(tmp_path, Partition(day.exchange, day.symbol, day.dt)) == []
    reconstruct_day(day, tmp_path, OPTIONS)
