"""The recordings through import, reconstruct and verify: the figures, and what losses look like."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lobproof.errors import LobproofError
from lobproof.fidelity.exact import Verdict, VerifyReport, verify
from lobproof.pipeline import reconstruct_sample
from lobproof.schema import Kind
from lobproof.sources.recordings import import_recordings
from lobproof.store import open_store

pytestmark = pytest.mark.real


class Figures(NamedTuple):
    depth: int
    trades: int
    same_id: int
    last: int
    last_equal: int


FIGURES = {
    "btcusdt": Figures(6495, 19904, 1072, 6493, 6491),
    "ethusdt": Figures(6470, 14515, 1056, 6468, 6468),
    "nexousdt": Figures(68182, 12458, 12198, 68180, 68180),
}
DROPS = 300
ACCOUNTS = {  # explained, refilled, transient, grown (% of the traded volume); never-named trades
    "btcusdt": ((77.1, 5.4, 7.4, 9.5), 1),
    "ethusdt": ((81.9, 5.7, 4.5, 7.9), 0),
    "nexousdt": ((84.2, 5.7, 3.6, 6.5), 3),
}
"""As shared/data/README.md and shared/TABLES.md give them, in more digits."""


class Chain(NamedTuple):
    golden: Path
    store: Path

    def verify(self) -> VerifyReport:
        return verify(open_store(self.store), self.golden)


def recordings(real_data: Path, symbol: str) -> list[Path]:
    return sorted(real_data.rglob(f"{symbol}_*.gz"))


def prepare(files: list[Path], folder: Path) -> Chain:
    chain = Chain(folder / "golden", folder / "store")
    import_recordings(files, chain.golden, snapshot_limit=1000)
    reconstruct_sample(chain.golden, chain.store)
    return chain


@pytest.fixture(scope="module")
def chains(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chain]:
    folder = tmp_path_factory.mktemp("verify")
    return {symbol: prepare(recordings(real_data, symbol), folder / symbol) for symbol in FIGURES}


@pytest.mark.parametrize("symbol", FIGURES)
def test_the_figures_of_the_recordings(chains: dict[str, Chain], symbol: str) -> None:
    report = chains[symbol].verify()
    expected = FIGURES[symbol]
    assert report.verdict is Verdict.PASS, [c.reason for c in report.checks]
    for name in ("schema", "chain", "uncrossed", "grid", "order", "trade_ids", "level_changes"):
        assert report.check(name).verdict is Verdict.EXACT, name
    assert report.coverage["golden"]["depth_messages"] == expected.depth
    assert report.coverage["golden"]["repeated_depth_messages"] == 0
    assert report.check("level_changes").details["messages"] == expected.depth
    trades = report.check("trades")
    assert trades.comparable == trades.compared == trades.equal == expected.trades
    same, last = report.check("book_ticker_same_id"), report.check("book_ticker_last")
    assert same.compared == same.equal == expected.same_id
    assert (last.compared, last.equal) == (expected.last, expected.last_equal)
    bursts = expected.last - expected.last_equal
    assert last.details["classes"] == ({"burst": bursts} if bursts else {})
    assert report.check("chain").details["gaps"] == []
    assert report.check("uncrossed").details["crossed_in_doubt"] == 0
    listings = report.check("snapshots").details["listings"]
    assert listings["recorded"] == listings["stored"] == listings["equal"] == 1


@pytest.mark.parametrize("symbol", FIGURES)
def test_what_became_of_the_traded_volume(chains: dict[str, Chain], symbol: str) -> None:
    shares, never_named = ACCOUNTS[symbol]
    minutes = open_store(chains[symbol].store).minutes(raw=True).collect()
    total = float(minutes["buy_volume"].sum()) + float(minutes["sell_volume"].sum())
    kinds = ("explained", "refilled", "transient", "grown")
    found = [100 * float(minutes[f"{kind}_volume"].sum()) / total for kind in kinds]
    assert found == pytest.approx(shares, abs=0.06)
    assert minutes["unnamed_trades"].sum() == never_named


@pytest.mark.parametrize("symbol", FIGURES)
def test_decimals_are_the_recorded_text(
    chains: dict[str, Chain], real_data: Path, symbol: str
) -> None:
    """Price and size of each trade, and of each level change, read by three readers."""
    trades, levels = [], []
    for path in recordings(real_data, symbol):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            if b"@trade" in line[:160]:
                data = json.loads(line.split(b" ", 1)[1])["data"]
                trades.append((Decimal(data["p"]), Decimal(data["q"])))
            elif b"@depth" in line[:160]:
                data = json.loads(line.split(b" ", 1)[1])["data"]
                levels += [(Decimal(p), Decimal(q)) for p, q in (*data["b"], *data["a"])]
    expected = {int(Kind.TRADE): trades, int(Kind.DELTA): levels}
    store = open_store(chains[symbol].store)
    files = [str(path) for path in store.files("events")]
    by_arrow = pa.concat_tables(
        [pq.ParquetFile(f).read(columns=["kind", "price", "size"]) for f in files]
    )
    for kind, pairs in expected.items():
        by_polars = store.events(raw=True).filter(pl.col("kind") == kind).collect()
        assert by_polars.select("price", "size").rows() == pairs
        by_duckdb = duckdb.execute(
            "select price, size from read_parquet($files, hive_partitioning=false, filename=true) "
            "where kind = $kind order by list_position($files, filename), event_id",
            {"files": files, "kind": kind},
        ).fetchall()
        assert by_duckdb == pairs
        rows = by_arrow.filter(pc.equal(by_arrow["kind"], kind))
        assert list(zip(rows["price"].to_pylist(), rows["size"].to_pylist(), strict=True)) == pairs


@pytest.mark.parametrize("symbol", FIGURES)
def test_content_does_not_depend_on_the_batch_size(
    chains: dict[str, Chain], tmp_path: Path, symbol: str
) -> None:
    first = reconstruct_sample(chains[symbol].golden, chains[symbol].store)
    assert first.reused
    again = reconstruct_sample(chains[symbol].golden, tmp_path / "store", batch_rows=997)
    assert [day.content_hash for day in again.days] == [day.content_hash for day in first.days]


def _sealed(store: Path) -> int:
    try:
        return open_store(store).days().height
    except LobproofError:
        return 0


@pytest.mark.slow
def test_a_killed_run_leaves_whole_days(chains: dict[str, Chain], tmp_path: Path) -> None:
    """Killed before and after the first seal: what is sealed reads, the half day does not show."""
    chain = chains["nexousdt"]
    command = Path(sys.executable).with_name("lobproof")
    whole = open_store(chain.store).days()["content_hash"].to_list()
    seen = []
    for number in range(6):
        store = tmp_path / f"store{number}"
        process = subprocess.Popen(
            [command, "reconstruct", chain.golden, "--out", store],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if number % 2:
            while process.poll() is None and not _sealed(store):
                time.sleep(0.001)
        else:
            while process.poll() is None and not list(store.glob("events/**/*.parquet*")):
                time.sleep(0.001)
        process.kill()
        process.wait()
        seen.append(_sealed(store))
        if seen[-1]:
            left = open_store(store)
            days = left.days()
            assert days["content_hash"].to_list() == whole[: days.height]
            assert left.events(raw=True).collect().height == days["events"].sum()
        done = reconstruct_sample(chain.golden, store)
        assert [day.content_hash for day in done.days] == whole
    assert 0 in seen
    assert 1 in seen


@pytest.mark.parametrize(
    "symbol",
    [one if one == "ethusdt" else pytest.param(one, marks=pytest.mark.slow) for one in FIGURES],
)
def test_every_dropped_message_is_named(
    chains: dict[str, Chain], real_data: Path, tmp_path: Path, symbol: str
) -> None:
    lines = [
        line
        for path in recordings(real_data, symbol)
        for line in gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    ]
    depth = [i for i, line in enumerate(lines) if b"@depth@" in line[:160]]
    ids = {i: json.loads(lines[i].split(b" ", 1)[1])["data"] for i in depth}
    # after the first that is kept behind the snapshot, before the last
    snapshot = next(i for i, line in enumerate(lines) if b'"lastUpdateId"' in line[:160])
    known = json.loads(lines[snapshot].split(b" ", 1)[1])["lastUpdateId"]
    kept = [i for i in depth if ids[i]["u"] > known]
    dropped = set(random.Random(symbol).sample(kept[1:-1], DROPS))
    file = tmp_path / f"{symbol}.txt"
    file.write_bytes(b"".join(line for i, line in enumerate(lines) if i not in dropped))
    lossy = prepare([file], tmp_path)

    report = lossy.verify()
    assert report.verdict is Verdict.FAIL
    runs = [i for place, i in enumerate(depth) if i in dropped and depth[place - 1] not in dropped]
    chain = report.check("chain")
    assert chain.compared - chain.equal == chain.details["breaks"] == len(runs)
    assert all(gap["marked"] for gap in chain.details["gaps"])
    assert chain.details["stray_marks"] == 0
    assert chain.first is not None
    assert chain.first.missing_ids is not None
    assert chain.first.missing_ids[0] == ids[runs[0]]["U"]
    # the recording agrees with itself all the same
    assert report.check("level_changes").verdict is Verdict.EXACT
    # and against the whole recording exactly what was dropped is missing
    full = verify(open_store(lossy.store), chains[symbol].golden)
    changes = full.check("level_changes")
    assert changes.details["missing"] == sum(
        max(len(ids[i]["b"]) + len(ids[i]["a"]), 1) for i in dropped
    )
    assert changes.details["differing_messages"] == DROPS
    assert changes.details["extra"] == changes.details["different"] == 0
    first = full.first_divergence
    assert first is not None
    assert first.id == ids[min(dropped)]["u"]
