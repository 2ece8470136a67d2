"""The recordings through import, reconstruct and verify: the figures, and what losses look like."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import NamedTuple

import pytest

from lobproof.fidelity.exact import Verdict, VerifyReport, verify
from lobproof.pipeline.task import reconstruct
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


class Chain(NamedTuple):
    golden: Path
    store: Path

    def verify(self) -> VerifyReport:
        return verify(open_store(self.store), self.golden)


def recordings(real_data: Path, symbol: str) -> list[Path]:
    return sorted(real_data.rglob(f"{symbol}_*.gz"))


def prepare(files: list[Path], folder: Path) -> Chain:
    chain = Chain(folder / "golden", folder / "store")
    import_recordings(files, chain.golden)
    reconstruct(chain.golden, chain.store)
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
def test_every_dropped_message_is_named(
    chains: dict[str, Chain], real_data: Path, tmp_path: Path, symbol: str
) -> None:
    lines = [
        line
        for path in recordings(real_data, symbol)
        for line in gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    ]
    depth = [i for i, line in enumerate(lines) if b"@depth@" in line[:80]]
    ids = {i: json.loads(lines[i].split(b" ", 1)[1])["data"] for i in depth}
    # after the first that is kept behind the snapshot, before the last
    snapshot = next(i for i, line in enumerate(lines) if b'"lastUpdateId"' in line[:80])
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
