"""Small inputs that once went wrong, each from the import to the verdict."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lobproof.errors import InputError
from lobproof.fidelity.exact.report import Verdict, VerifyReport
from lobproof.fidelity.exact.verify import verify
from lobproof.pipeline import reconstruct_sample
from lobproof.schema import Finding, Severity
from lobproof.sources.binance import scanner
from lobproof.sources.binance.decode import decode_recording
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.recordings.reader import RecordingFile
from lobproof.store import Store, open_store
from support.shapes import SHAPES as ALL_SHAPES
from support.shapes import Shape, lines_of
from support.wire import decoded_values, row_values, scanned

pytestmark = pytest.mark.real


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a recording."""

    golden: GoldenSample
    store: Store
    report: VerifyReport

    @property
    def found(self) -> list[str]:
        """Findings behind the seed."""
        codes = self.store.quality(raw=True).filter(pl.col("code") > 1).collect()["code"]
        return [Finding(code).name for code in codes]

    @property
    def states(self) -> pl.DataFrame:
        return self.store.states(raw=True).sort("event_id").collect()

    def trusted(self) -> pl.DataFrame:
        """What `trusted()` gives, with numbers as texts of decimals."""
        return self.store.trusted().sort("event_id").collect()


def ran(files: list[Path], folder: Path, **options: Any) -> Outcome:
    golden = import_recordings(files, folder / "golden", **options)
    reconstruct_sample(golden.path, folder / "store")
    store = open_store(folder / "store")
    return Outcome(golden, store, verify(store, golden.path))


@pytest.fixture(scope="session")
def cases(real_data: Path) -> Path:
    """The folder of the cases, beside the recordings."""
    folder = real_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no cases beside the recordings: {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def futures(real_data: Path) -> Path:
    """The folder of the recordings of futures, beside those of spot."""
    folder = real_data.parent / "futures"
    if not folder.is_dir():
        pytest.skip(f"no recordings of futures: {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def good(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return ran([cases / "good.txt.gz"], tmp_path_factory.mktemp("good"))


def messages(file: Path, symbol: str) -> Iterator[dict[str, Any]]:
    """The depth messages and snapshots of a recording, by ``json`` and nothing of ours."""
    with gzip.open(file, "rt") as lines:
        for line in lines:
            start = line.find("{")
            document = json.loads(line[start:])
            data = document.get("data", document.get("result", document))
            if data.get("s", symbol) == symbol and ("lastUpdateId" in data or "U" in data):
                yield data


def assert_trusted_is_true(outcome: Outcome, file: Path, symbol: str = "BTCUSDT") -> int:
    """Every trusted slot against a book of ``dict`` and ``Decimal``; how many there were."""
    book: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
    tops: dict[int, tuple[list[tuple[Decimal, Decimal]], ...]] = {}
    seeded = False
    for data in messages(file, symbol):
        if "lastUpdateId" in data:
            seeded = True
            for side, name in (("b", "bids"), ("a", "asks")):
                book[side] = {Decimal(p): Decimal(q) for p, q, *_ in data[name]}
            update = data["lastUpdateId"]
        elif seeded:
            for side, levels in book.items():
                for price, size, *_ in data[side]:
                    levels.pop(Decimal(price), None)
                    if Decimal(size):
                        levels[Decimal(price)] = Decimal(size)
            update = data["u"]
        else:
            continue
        bids, asks = sorted(book["b"].items(), reverse=True), sorted(book["a"].items())
        tops[update] = bids[:20], asks[:20]
    compared = 0
    for row in outcome.trusted().iter_rows(named=True):
        for side, listed in zip(("bid", "ask"), tops[row["sequence"]], strict=True):
            count = min(row[f"{side}_trusted"], len(listed))
            seen = [(row[f"{side}_{k}_price"], row[f"{side}_{k}_size"]) for k in range(count)]
            assert seen == listed[:count], (row["sequence"], side)
            compared += count
    return compared


SHAPES = [
    "good.txt.bz2",
    "good.txt.xz",
    "good.txt.zst",
    "tardis-raw-iso.txt.gz",
    "tardis-raw-ns.txt.gz",
    "comma-between.txt.gz",
    "receive-time-fractional-seconds.txt.gz",
    "receive-time-changes-width.txt.gz",
    "cryptofeed-raw.txt.gz",
    "levels-of-three-elements.txt.gz",
    "snapshot-as-websocket-api-reply.txt.gz",
]


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_recording_in_another_shape(
    cases: Path, good: Outcome, tmp_path: Path, name: str
) -> None:
    outcome = ran([cases / name], tmp_path, strict=True)
    hashes = [run.store.days()["content_hash"].to_list() for run in (good, outcome)]
    assert hashes[0] == hashes[1]
    assert outcome.report.verdict is Verdict.PASS
    assert outcome.golden.findings() == outcome.golden.document["notes"] == []
    counts = [run.golden.document["counts"] for run in (good, outcome)]
    assert {**counts[0], "other": 0} == {**counts[1], "other": 0}


@pytest.mark.parametrize("shape", ALL_SHAPES, ids=[shape.name for shape in ALL_SHAPES])
def test_the_same_recording_as_recorders_write_it(
    cases: Path, good: Outcome, tmp_path: Path, shape: Shape
) -> None:
    lines = lines_of(gzip.decompress((cases / "good.txt.gz").read_bytes()))
    file = tmp_path / "recording"
    file.write_bytes(shape.write(lines))
    golden = import_recordings([file], tmp_path / "golden", strict=True)
    reconstruct_sample(golden.path, tmp_path / "store")
    days = [
        store.days()["content_hash"].to_list()
        for store in (good.store, open_store(tmp_path / "store"))
    ]
    assert days[0] == days[1]


def test_the_recording_itself(cases: Path, good: Outcome) -> None:
    assert good.report.verdict is Verdict.PASS
    assert assert_trusted_is_true(good, cases / "good.txt.gz") > 2000
    assert good.states["ask_trusted"][-1] == 20


def test_depth_lines_that_change_their_shape_are_read(cases: Path, tmp_path: Path) -> None:
    file = cases / "depth-lines-unreadable-from-the-middle.txt.gz"
    outcome = ran([file], tmp_path, strict=True)
    assert outcome.golden.document["counts"]["depth"] == 3000
    assert outcome.trusted().height == 3000
    assert assert_trusted_is_true(outcome, file) > 100_000


@pytest.mark.parametrize("limit", [None, 25])
def test_a_snapshot_proves_the_levels_that_it_lists(
    cases: Path, tmp_path: Path, limit: int | None
) -> None:
    file = cases / "snapshot-of-25-levels.txt.gz"
    outcome = ran([file], tmp_path, snapshot_limit=limit)
    (listed,) = [data for data in messages(file, "BTCUSDT") if "lastUpdateId" in data]
    worst = Decimal(listed["asks"][-1][0])
    rows = outcome.trusted()
    assert 0 < rows.height < outcome.states.height
    assert (rows["ask_0_price"] <= worst).all()
    for row in rows.iter_rows(named=True):
        prices = [row[f"ask_{k}_price"] for k in range(row["ask_trusted"])]
        assert not prices or max(prices) <= worst
    assert "TOUCH_BEYOND_RANGE" in outcome.found
    assert outcome.states["ask_trusted"][-1] == 0


@pytest.mark.parametrize("name", ["of-another-symbol", "that-names-another-symbol"])
def test_a_snapshot_of_another_symbol_is_no_anchor(cases: Path, tmp_path: Path, name: str) -> None:
    outcome = ran([cases / f"snapshot-{name}.txt.gz"], tmp_path, symbol="BTCUSDT")
    assert outcome.trusted().is_empty()
    assert outcome.store.days()["doubtful_ns"].sum() > 59 * 10**9
    document = outcome.golden.document
    assert "the book will be untrusted" in document["notes"][0]
    assert "lines of other symbols were left out" in document["notes"][1]
    found = outcome.golden.findings()
    if name == "of-another-symbol":
        assert ["names no symbol" in finding.detail for finding in found] == [True]
    else:
        assert found == []
    assert outcome.report.verdict is Verdict.INCONCLUSIVE
    with pytest.raises(InputError, match="BTCUSDT, BTCUSDC") as told:
        import_recordings([cases / f"snapshot-{name}.txt.gz"], tmp_path / "all")
    assert "--symbol" in told.value.hint


def test_partial_depth_is_not_taken_for_changes(cases: Path, tmp_path: Path) -> None:
    file = cases / "futures-partial-depth-without-envelope.txt.gz"
    with pytest.raises(InputError, match="look like partial depth") as told:
        import_recordings([file], tmp_path / "golden")
    assert told.value.hint
    assert not (tmp_path / "golden").exists()


def test_trades_of_zero_are_no_executions(cases: Path, tmp_path: Path) -> None:
    file = cases / "futures-trades-of-zero.txt.gz"
    outcome = ran([file], tmp_path, strict=True)
    document = outcome.golden.document
    assert (document["counts"]["trade"], document["counts"]["without_execution"]) == (26, 6)
    assert document["trade_ids"]["gaps"] == 0
    assert outcome.store.days()["trades"].to_list() == [20]
    assert outcome.found == []
    assert outcome.report.verdict is Verdict.PASS
    assert assert_trusted_is_true(outcome, file) > 2000


def test_a_coin_margined_perpetual(cases: Path, tmp_path: Path) -> None:
    file = cases / "coinm-perpetual-with-ps.txt.gz"
    outcome = ran([file], tmp_path, strict=True)
    instrument = outcome.golden.instrument
    assert (instrument.exchange, instrument.symbol) == ("BINANCE_DELIVERY", "BTC-USD-PERP")
    assert outcome.report.verdict is Verdict.PASS
    assert assert_trusted_is_true(outcome, file, "BTCUSD_PERP") > 2000


def test_a_snapshot_inside_a_gap_does_not_hide_it(cases: Path, tmp_path: Path) -> None:
    """The gap comes first; the snapshot lies behind it and cannot be compared."""
    outcome = ran([cases / "snapshot-inside-a-gap.txt.gz"], tmp_path)
    first = outcome.report.first_divergence
    assert first is not None
    assert (first.check, first.kind) == ("chain", "missing")
    snapshots = outcome.report.check("snapshots")
    assert snapshots.verdict is not Verdict.FAIL
    assert (snapshots.details["in_gap"], snapshots.details["refuted"]) == (1, 0)


def test_an_outage_is_in_doubt(cases: Path, tmp_path: Path) -> None:
    outcome = ran([cases / "outage-of-an-hour.txt.gz"], tmp_path)
    gap = outcome.store.quality(raw=True).filter(pl.col("code") == int(Finding.GAP)).collect()
    assert gap["severity"].to_list() == [int(Severity.DOUBT)]
    assert outcome.store.days()["doubtful_ns"].sum() > 3500 * 10**9
    middle = int(gap["first_ts"][0] + gap["last_ts"][0]) // 2
    assert outcome.store.book_at(middle).doubtful


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        pytest.param("binance-usdm/ethusdt_20240808.gz", "ETHUSDT", marks=pytest.mark.slow),
        ("binance-coinm/ethusd_perp_20240809.gz", "ETHUSD_PERP"),
    ],
)
def test_every_line_of_futures_decoded_by_both_is_equal(
    futures: Path, name: str, symbol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    slow = decode_recording
    monkeypatch.setattr(scanner, "decode_recording", None)  # no line departs from the strict shapes
    for data in RecordingFile(futures / name):
        block = scanned(data, symbol=symbol)
        for row in range(len(block.messages)):
            assert row_values(block, row) == decoded_values(slow(block.line(row), symbol))
            compared += 1
    assert compared > 30_000


@pytest.mark.parametrize(
    ("files", "exchange", "symbol"),
    [
        ("binance-usdm/ethusdt_*.gz", "BINANCE_FUTURES", "ETH-USDT-PERP"),
        ("binance-coinm/ethusd_perp_*.gz", "BINANCE_DELIVERY", "ETH-USD-PERP"),
    ],
)
def test_recordings_of_futures(
    futures: Path, tmp_path: Path, files: str, exchange: str, symbol: str
) -> None:
    outcome = ran(sorted(futures.glob(files)), tmp_path, snapshot_limit=1000)
    instrument = outcome.golden.instrument
    assert (instrument.exchange, instrument.symbol) == (exchange, symbol)
    assert outcome.report.verdict is not Verdict.FAIL
    failing = {check.name for check in outcome.report.checks if check.verdict is Verdict.FAIL}
    assert failing == set()
    assert outcome.golden.findings() == []
