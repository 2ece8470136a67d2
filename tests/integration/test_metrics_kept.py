"""Metrics beside a sealed day: observed in its replay, measured from its tables, kept in files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from lobproof.errors import StoreError, UsageError
from lobproof.fidelity.metrics import files
from lobproof.fidelity.metrics.blocks import Blocks, merged
from lobproof.fidelity.metrics.catalogue import BY_NAME
from lobproof.fidelity.metrics.files import TABLES, load, metrics_folder, save
from lobproof.fidelity.metrics.measure import measure, measured
from lobproof.pipeline import ReconstructOptions, lake_days, reconstruct_day, reconstruct_sample
from lobproof.pipeline.results import Reached
from lobproof.sources.recordings import import_recordings
from lobproof.store import Partition, Store, open_store
from support.blocks import same
from support.reconstructions import simulated

OPTIONS = ReconstructOptions(part_rows=2_000)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two simulated Lake days."""
    folder = tmp_path_factory.mktemp("lake")
    days = lake_days(simulated(folder / "files"))
    for day in days:
        reconstruct_day(day, folder / "store", OPTIONS)
    return folder / "store"


def seals(store: Store) -> list[dict[str, object]]:
    return store.days().to_dicts()


def kept(store: Store, dt: str) -> Blocks:
    found = load(store.path, *named(store, dt))
    assert found is not None
    return found


def named(store: Store, dt: str) -> tuple[Partition, str]:
    (seal,) = (one for one in seals(store) if one["dt"] == dt)
    return Partition(str(seal["exchange"]), str(seal["symbol"]), dt), str(seal["content_hash"])


def test_what_is_kept_is_what_the_tables_give(lake: Path) -> None:
    store = open_store(lake)
    for seal in seals(store):
        dt = str(seal["dt"])
        found = kept(store, dt)
        assert found.tallies[:, 2].sum() == seal["states"]
        assert found.series[:, :, 8].sum() <= seal["trades"]
        same(measure(store, None, dt), found)
        same(measured(store, None, dt), found)
        shorter = replace(found.scale, block_ns=5_000_000_000)
        fine = measure(store, None, dt, scale=shorter)
        assert len(fine) > 3
        same(fine.coarser(found.scale.block_ns), found)
        same(measured(store, None, dt, scale=shorter), fine)
        longer = replace(found.scale, block_ns=3 * found.scale.block_ns)
        same(measured(store, None, dt, scale=longer), measure(store, None, dt, scale=longer))


def test_pieces_that_are_written_at_a_time_leave_no_trace(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(lake)
    dt = str(seals(store)[0]["dt"])
    partition, content = named(store, dt)
    blocks, hashes = kept(store, dt), []
    for rows, pieces in ((997, 2), (1 << 30, 1)):
        monkeypatch.setattr(files, "_PIECE", rows)
        folder = save(tmp_path, partition, content, blocks)
        read = pq.read_metadata(folder / "histograms.parquet")
        assert min(read.num_row_groups, 2) == pieces
        loaded = load(tmp_path, partition, content)
        assert loaded is not None
        same(loaded, blocks)
        hashes.append(json.loads(read.metadata[b"lobproof metrics"])["metrics_hash"])
    assert hashes[0] == hashes[1]


def test_parts_of_a_day_make_the_day(lake: Path) -> None:
    store = open_store(lake)
    dt = str(seals(store)[0]["dt"])
    scale = replace(kept(store, dt).scale, block_ns=5_000_000_000)
    whole = measure(store, None, dt, scale=scale)
    cuts = [None, *whole.start[1:].tolist(), None]
    parts = [measure(store, None, dt, scale=scale, start=a, end=b) for a, b in pairwise(cuts)]
    assert [len(part) for part in parts] == [1] * len(whole)
    same(merged(parts[::-1]), whole)
    with pytest.raises(UsageError, match="lies within a block"):
        measure(store, None, dt, scale=scale, start=whole.start[0] + 1)


def test_a_recording_is_measured_too(tmp_path: Path) -> None:
    files = sorted(simulated(tmp_path / "files", recording=True).glob("*.gz"))
    sample = import_recordings(files, tmp_path / "golden")
    reconstruct_sample(sample.path, tmp_path / "store", OPTIONS)
    store = open_store(tmp_path / "store")
    for seal in seals(store):
        found = kept(store, str(seal["dt"]))
        assert found.scale.block_ns == 10_000_000_000
        same(measure(store, None, str(seal["dt"]), scale=found.scale), found)


def test_a_run_that_goes_on_measures_what_it_sealed(lake: Path, tmp_path: Path) -> None:
    (*_, day) = lake_days(lake.parent / "files" / "lake")

    def stop(reached: Reached) -> None:
        if reached.events > 6_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconstruct_day(day, tmp_path, OPTIONS, progress=stop, batch_rows=1_000)
    assert not (tmp_path / "metrics").exists()
    result = reconstruct_day(day, tmp_path, OPTIONS)
    assert result.resumed_at > 0
    same(kept(open_store(tmp_path), day.dt), kept(open_store(lake), day.dt))


def test_days_are_the_same_without_metrics(lake: Path, tmp_path: Path) -> None:
    (day, *_) = lake_days(lake.parent / "files" / "lake")
    reconstruct_day(day, tmp_path, OPTIONS, metrics=False)
    assert not (tmp_path / "metrics").exists()
    (seal,) = seals(open_store(tmp_path))
    (other,) = (one for one in seals(open_store(lake)) if one["dt"] == seal["dt"])
    assert (seal["content_hash"], seal["task_id"]) == (other["content_hash"], other["task_id"])


def test_thinned_states_are_no_measure(lake: Path, tmp_path: Path) -> None:
    (day, *_) = lake_days(lake.parent / "files" / "lake")
    reconstruct_day(day, tmp_path, ReconstructOptions(states="1s"))
    assert not (tmp_path / "metrics").exists()
    with pytest.raises(UsageError, match="--states all"):
        measure(open_store(tmp_path), None, day.dt)


def test_other_content_is_not_used(lake: Path, tmp_path: Path) -> None:
    store = open_store(lake)
    dt = str(seals(store)[0]["dt"])
    partition, content = named(store, dt)
    assert load(tmp_path, partition, content) is None
    save(tmp_path, partition, "of an older day", kept(store, dt))
    assert load(tmp_path, partition, content) is None
    save(tmp_path, partition, content, kept(store, dt))
    same_again = load(tmp_path, partition, content)
    assert same_again is not None
    same(same_again, kept(store, dt))


def flip(path: Path) -> None:
    """A bit of the last column is another."""
    group = pq.read_metadata(path).row_group(0)
    column = group.column(group.num_columns - 1)
    at = column.data_page_offset + column.total_compressed_size - 3
    if column.has_dictionary_page:
        at += column.dictionary_page_offset - column.data_page_offset
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def change(path: Path) -> None:
    """One number is another; the header stays."""
    table = pq.read_table(path)
    name = table.column_names[-1]
    values = table[name].to_numpy().copy()
    values[0] += 1
    at = table.column_names.index(name)
    pq.write_table(table.set_column(at, table.schema.field(name), [values]), path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("harm", [flip, change, cut, Path.unlink])
@pytest.mark.parametrize("table", TABLES)
def test_damage_is_refused(
    lake: Path, tmp_path: Path, table: str, harm: Callable[[Path], None]
) -> None:
    store = open_store(lake)
    dt = str(seals(store)[0]["dt"])
    partition, content = named(store, dt)
    folder = save(tmp_path, partition, content, kept(store, dt))
    harm(folder / f"{table}.parquet")
    if harm is Path.unlink and table == TABLES[-1]:
        assert load(tmp_path, partition, content) is None
        return
    with pytest.raises(StoreError, match=r"(?s)is damaged.*Hint: Delete its folder"):
        load(tmp_path, partition, content)


def test_another_days_files_are_refused(lake: Path, tmp_path: Path) -> None:
    store = open_store(lake)
    one, other = (str(seal["dt"]) for seal in seals(store))
    partition, content = named(store, one)
    shutil.copytree(metrics_folder(lake, named(store, other)[0]), tmp_path / "m")
    shutil.copytree(tmp_path / "m", metrics_folder(tmp_path, partition))
    with pytest.raises(StoreError, match=f"it is of .* {other}"):
        load(tmp_path, partition, content)


def test_polars_reads_them(lake: Path) -> None:
    store = open_store(lake)
    dt = str(seals(store)[0]["dt"])
    found, folder = kept(store, dt), metrics_folder(lake, named(store, dt)[0])
    rows = pl.read_parquet(folder / "histograms.parquet")
    metric = BY_NAME["spread_1"]
    spreads = rows.filter(pl.col("metric") == "spread_1")
    assert spreads["count"].sum() == found.counts(metric.number).sum()
    assert (spreads["least"] == metric.edges()[0][spreads["bin"].to_numpy()]).all()
    moments = pl.read_parquet(folder / "moments.parquet").filter(pl.col("metric") == "spread_1")
    np.testing.assert_array_equal(moments["sum"].to_numpy(), found.sums[:, metric.number, 1])
    series = pl.read_parquet(folder / "series.parquet")
    assert series["time"].is_sorted()
    assert series["trades"].sum() == found.series[:, :, 8].sum()


def test_the_rest_of_the_store_does_not_mind(lake: Path) -> None:
    store = open_store(lake)
    report = store.audit()
    assert report.clean
    assert not report.unsealed
    assert not store.glance()
