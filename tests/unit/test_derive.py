"""``derive_lake``: Crypto Lake tables of golden samples, and the writer that it shares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import lobproof
from lobproof.acquire.checks.scan import scan
from lobproof.errors import GridError, InputError, UsageError
from lobproof.pipeline import DeriveResult, derive_lake
from lobproof.sources.cryptolake.layout import COLUMNS
from lobproof.sources.cryptolake.write import SCHEMAS, TableWriter, float_seconds
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate
from plain.decoder import Plain, plain_line, read_plain
from plain.recording import lake_truth, same_rows
from support.hourly_recording import ASKS, BIDS, HOUR, MIDNIGHT, Line, golden_sample, hourly_lines
from support.wire import aggregate, depth, snapshot, ticker, trade


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A golden sample across midnight, and the recordings that it is made of."""
    root = tmp_path_factory.mktemp("market")
    simulated = simulate(root / "sim", minutes=0.5, start="2026-01-04T23:59:45Z", snapshot_every=5)
    golden = import_recordings(simulated.recordings, root / "golden")
    return golden.path, list(simulated.recordings)


@pytest.fixture(scope="module")
def derived(
    market: tuple[Path, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> DeriveResult:
    return derive_lake(market[0], tmp_path_factory.mktemp("derived") / "lake")


def table(result: DeriveResult, name: str) -> pl.DataFrame:
    return lobproof.lake(result.out).table(name, times="int").collect()


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_simulated_market_comes_through_exactly(
    market: tuple[Path, list[Path]], derived: DeriveResult
) -> None:
    messages = [message for file in market[1] for message in read_plain(file, "SIMUSDT")]
    truth = lake_truth(messages)
    same_rows(table(derived, "book_delta_v2"), COLUMNS["book_delta_v2"], truth.deltas)
    same_rows(table(derived, "trades"), COLUMNS["trades"], truth.trades)
    book = table(derived, "book")
    kept = set(book["sequence_number"].to_list())
    same_rows(book, COLUMNS["book"], [row for row in truth.book if row[2] in kept])
    assert len(truth.book) == book.height + derived.book_left_out
    assert book.height > derived.book_left_out
    assert derived.depth_messages == truth.messages
    assert derived.rows["book"].keys() == {"2026-01-04", "2026-01-05"}


def test_files_say_what_they_are_and_validate(derived: DeriveResult) -> None:
    assert derived.source_provenance == "synthetic"
    files = lobproof.lake(derived.out).files()
    assert [file.key.path for file in files] == sorted(derived.files)
    for file in files:
        schema = pq.read_schema(file.path)
        assert schema.metadata[b"provenance"] == b"synthetic"
        assert schema.remove_metadata().equals(SCHEMAS[file.key.table])
        found = scan(file.path, file.key)
        assert found.facts["provenance"] == "synthetic"
        # a quarter of a minute is no day; the rest is what the simulator is imperfect in
        assert set(found.findings.counts) <= {
            "float-seconds",
            "silence",
            "over-midnight",
            "off-lot",
        }
        assert "float-seconds" in found.findings.counts


def test_the_same_bytes_whatever_the_batches(
    market: tuple[Path, list[Path]], derived: DeriveResult, tmp_path: Path
) -> None:
    other = derive_lake(market[0], tmp_path / "other", batch_rows=17)
    assert content(other.out) == content(derived.out)


def test_a_folder_is_reused_or_refused(
    market: tuple[Path, list[Path]], derived: DeriveResult, tmp_path: Path
) -> None:
    before = content(derived.out)
    again = derive_lake(market[0], derived.out)
    assert again.reused
    assert (again.rows, again.files) == (derived.rows, derived.files)
    assert content(derived.out) == before

    other = golden_sample(tmp_path / "recorded", hourly_lines(3))
    with pytest.raises(UsageError, match="another golden sample"):
        derive_lake(other, derived.out)
    assert content(derived.out) == before

    out = tmp_path / "lake"
    out.mkdir()
    derive_lake(other, out)  # an empty folder may be filled
    damaged = next(out.rglob("*.parquet"))
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-1] + b"?")
    with pytest.raises(UsageError, match="files that were changed"):
        derive_lake(other, out)
    damaged.unlink()
    with pytest.raises(UsageError, match="files that were changed"):
        derive_lake(other, out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    for taken in (tmp_path / "mine", tmp_path / "mine" / "note.txt"):
        with pytest.raises(UsageError, match="something else"):
            derive_lake(other, taken)


def test_a_run_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    golden = golden_sample(tmp_path / "recorded", hourly_lines(3))

    def stop(rows: int, ts: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        derive_lake(golden, tmp_path / "out" / "lake", progress=stop)
    assert not list((tmp_path / "out").iterdir())


def test_levels_that_are_not_there_are_null(tmp_path: Path) -> None:
    lines = hourly_lines(30)
    result = derive_lake(golden_sample(tmp_path / "recorded", lines), tmp_path / "lake")
    messages = plain_lines(tmp_path / "recorded" / "one.txt")
    truth = lake_truth(messages)
    same_rows(table(result, "book_delta_v2"), COLUMNS["book_delta_v2"], truth.deltas)
    # a short side is trusted only as far as a snapshot lists: this one lists less than a limit
    book = table(result, "book")
    assert book.height + result.book_left_out == len(truth.book)
    kept = set(book["sequence_number"].to_list())
    assert kept
    same_rows(book, COLUMNS["book"], [row for row in truth.book if row[2] in kept])
    assert book["bid_19_price"].null_count() == book["ask_19_size"].null_count() == book.height


def plain_lines(file: Path) -> list[Plain]:
    return [plain_line(line, "BTCUSDT") for line in file.read_bytes().splitlines()]


def faulty() -> Sequence[Line]:
    """A repeated message, a late one, one lost, one without a level, one without a time."""
    lines: list[Line] = [(MIDNIGHT - 3, snapshot(100, BIDS, ASKS))]
    told: list[tuple[int, list[tuple[str, str]], int]] = [
        (101, [("100.00", "2.0")], MIDNIGHT - 2),
        (102, [("100.00", "3.0")], MIDNIGHT + 100),
        (102, [("100.00", "3.0")], MIDNIGHT + 100),
        (101, [("100.00", "2.0")], MIDNIGHT - 2),
        (103, [], MIDNIGHT + 200),
        (105, [("99.50", "0.0")], MIDNIGHT + 300),
        (106, [("99.00", "1.25")], 0),
    ]
    for at, (number, bids, time) in enumerate(told):
        lines.append((MIDNIGHT + 100 * at, depth(number, number, bids, time=time)))
    lines.append((MIDNIGHT + 900, trade(7, "100.00", "0.5", time=MIDNIGHT + 900, sold=True)))
    lines.append((MIDNIGHT + 901, trade(9, "100.50", "1.5", time=MIDNIGHT + 901)))
    return lines


def test_what_a_recording_has_is_kept_in_its_order(tmp_path: Path) -> None:
    result = derive_lake(golden_sample(tmp_path / "recorded", faulty()), tmp_path / "lake")
    assert (result.gaps, result.trade_gaps) == (1, 1)
    assert (result.depth_messages, result.trades) == (7, 2)
    deltas = table(result, "book_delta_v2")
    assert deltas.select(pl.col("dt").cast(pl.String), "sequence_number", "size").rows() == [
        ("2024-08-07", 101, 2.0),
        ("2024-08-07", 101, 2.0),
        ("2024-08-08", 102, 3.0),
        ("2024-08-08", 102, 3.0),
        ("2024-08-08", 105, 0.0),
        ("2024-08-08", 106, 1.25),
    ]
    assert deltas["timestamp"].to_list()[-1] == 0
    assert 0 not in deltas["receipt_timestamp"]
    assert table(result, "trades").select("side", "id").rows() == [("sell", 7), ("buy", 9)]
    # repeated, late, and after the loss: no row; the empty message has one
    assert table(result, "book")["sequence_number"].to_list() == [101, 102, 103]
    assert result.book_left_out == 2


def test_aggregates_are_called_so(tmp_path: Path) -> None:
    lines = [(MIDNIGHT, aggregate(5, 8, "100.00", "2.0", time=MIDNIGHT))]
    result = derive_lake(golden_sample(tmp_path / "recorded", lines), tmp_path / "lake")
    assert result.aggregated
    assert table(result, "trades")["id"].to_list() == [8]


def test_a_sample_without_depth_and_trades_is_refused(tmp_path: Path) -> None:
    lines = [(MIDNIGHT, ticker(5, ("100.00", "1.0"), ("100.50", "1.0")))]
    golden = golden_sample(tmp_path / "recorded", lines)
    with pytest.raises(InputError, match="neither depth messages nor trades"):
        derive_lake(golden, tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("size", "good"), [("1125899906.842623", True), ("1125899906.842624", False)]
)
def test_what_a_float_cannot_give_back_is_named(tmp_path: Path, size: str, good: bool) -> None:
    lines = [
        *hourly_lines(2),
        (MIDNIGHT + HOUR, depth(1006, 1007, [("90.00", size)], time=MIDNIGHT)),
    ]
    golden = golden_sample(tmp_path / "recorded", lines)
    if good:
        result = derive_lake(golden, tmp_path / "lake")
        assert table(result, "book_delta_v2")["size"].to_list()[-1] == float(size)
        return
    with pytest.raises(GridError, match=rf"depth message 1007 has a size of {size}"):
        derive_lake(golden, tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


def test_stamps_round_back_to_the_microsecond() -> None:
    times = np.array([0, 1_664_582_400_033_000_000, 1_723_075_199_999_999_000], np.int64)
    stamps = float_seconds(times)
    assert stamps.tolist()[:2] == [0, 1_664_582_400_032_999_936]
    assert stamps[1] == int(1_664_582_400.033 * 1e9)
    assert ((stamps + 500) // 1000 * 1000 == times).all()


def test_a_day_that_comes_again_has_another_file(tmp_path: Path) -> None:
    writer = TableWriter(tmp_path, "trades", "BINANCE", "BTC-USDT", {"provenance": "derived"})
    day = 86_400_000_000_000
    times = np.array([0, 1, day, 0, 2 * day, 0, day, 3 * day, 3 * day, 4 * day, 0], np.int64)
    floats = np.ones(len(times))
    ids = np.arange(len(times))
    writer.append(times, [np.full(len(times), "buy"), floats, floats, ids, times, times])
    writer.close()
    assert writer.rows == {
        "1970-01-01": 5,
        "1970-01-02": 2,
        "1970-01-03": 1,
        "1970-01-04": 2,
        "1970-01-05": 1,
    }
    names = [f"{path.parent.name[-2:]}/{path.name[0]}" for path in writer.files]
    assert names == ["01/1", "02/1", "03/1", "02/2", "04/1", "05/1", "01/2"]
    rows = lobproof.lake(tmp_path).table("trades").collect()
    assert rows["id"].to_list() == [0, 1, 3, 5, 10, 2, 6, 4, 7, 8, 9]


def test_the_side_car_tells_source_and_files(
    market: tuple[Path, list[Path]], derived: DeriveResult
) -> None:
    document = json.loads((derived.out / "derived.json").read_text())
    golden = json.loads((market[0] / "golden.json").read_text())
    assert document["provenance"] == "synthetic"
    assert document["lobproof_version"] == lobproof.__version__
    told = [(entry["name"], entry["sha256"]) for entry in document["source"]["inputs"]]
    assert told == [(entry["name"], entry["sha256"]) for entry in golden["inputs"]]
    assert set(document["files"]) == set(content(derived.out)) - {"derived.json"}
    assert document["counts"]["trades"] == derived.trades
