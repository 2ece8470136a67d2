"""Trades that a capture lost are asked for by id: what REST says is kept, and what it does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lobproof.capture import backfill
from lobproof.capture.backfill import BackfillFigures
from lobproof.capture.pace import Pace
from lobproof.capture.session import Session, SessionResult
from lobproof.fidelity.exact import verify
from lobproof.pipeline import reconstruct_sample
from lobproof.serve import LocalExchange, simulated_tape
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.venue import PROFILES, MarketName, venue_of
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import PRESETS
from lobproof.store import open_store

MARKET = replace(PRESETS["btc"], rate=100.0)
SYMBOL = MARKET.venue_symbol
SPEED = 20.0
ANSWERS = f"{SYMBOL.lower()}@trade@backfill"


@dataclass(frozen=True, slots=True)
class Captured:
    """A session's result, the venue's trades by id, and the lines of the journal."""

    result: SessionResult
    truth: dict[int, dict[str, Any]]
    lines: list[dict[str, Any]]
    journals: list[Path]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Control lines of an event."""
        return [one for one in self.lines if one.get("event") == name]

    @property
    def lost(self) -> list[int]:
        """Ids that the gaps name."""
        gaps = [gap for gap in self.events("gap") if gap["of"] == "trade"]
        return [one for gap in gaps for one in range(gap["after"] + 1, gap["before"])]

    @property
    def brought(self) -> list[dict[str, Any]]:
        """Trades of the answers."""
        return [one for line in self.lines if line["stream"] == ANSWERS for one in line["data"]]


def capture(
    tmp_path: Path,
    *faults: str,
    market: MarketName = "spot",
    seconds: float = 3.0,
    key: str = "",
    enough: Callable[[Session], bool] = lambda session: False,
) -> Captured:
    """Capture of a simulated exchange, for so many seconds (of ours) or until it is enough."""
    truth: dict[int, dict[str, Any]] = {}
    out = tmp_path / "session"

    async def run() -> SessionResult:
        tape = simulated_tape(MARKET, market, 3)
        async with LocalExchange([tape], speed=SPEED, faults=faults) as exchange:
            venue = venue_of(market, exchange.url)
            session = Session([SYMBOL], venue, out, pace=Pace(SPEED), key=key)
            task = asyncio.create_task(session.run())
            for _ in range(int(seconds * 100)):
                await asyncio.sleep(0.01)
                if enough(session):
                    break
            session.stop()
            result = await task
            for payload in exchange.venue.symbols[SYMBOL].trades:
                trade = json.loads(payload)
                truth[trade["t"]] = trade
            return result

    result = asyncio.run(run())
    journals = sorted((out / SYMBOL / "journal").iterdir())
    lines = []
    for path in journals:
        for frame in read_frames(path):
            assert not isinstance(frame, Loss)
            lines += [json.loads(line) for line in frame.splitlines()]
    return Captured(result, truth, lines, journals)


def assert_true(got: Captured) -> None:
    """Each trade of an answer is the venue's own."""
    for one in got.brought:
        true = got.truth[one["id"]]
        assert (one["price"], one["qty"]) == (true["p"], true["q"])
        assert one["isBuyerMaker"] == true["m"]


def test_lost_trades_are_asked_for_by_id(tmp_path: Path) -> None:
    """All of them, as the venue had them, in microseconds; the book and the rest stay exact."""
    got = capture(tmp_path, "drop@20s,n=7,stream=trade", "drop@30s,n=1,stream=trade")
    assert len(got.lost) == 8
    assert [one["id"] for one in got.brought] == got.lost
    assert_true(got)
    assert all(one["time"] >= 10**15 for one in got.brought)
    figures = got.result.symbols[SYMBOL]
    assert (figures.gaps["trade"], figures.backfill) == (2, BackfillFigures(8, 8, 0))
    assert got.events("no_backfill") == []
    for said in got.events("backfill"):
        assert said["path"] == "/historicalTrades"
        assert 0 < said["asked_ns"] <= said["answered_ns"]
    sample = import_recordings(got.journals, tmp_path / "golden")
    assert sample.document["streams"][ANSWERS] == 2
    assert sample.document["trade_ids"]["gaps"] == 0
    reconstruct_sample(sample.path, tmp_path / "store")
    report = verify(open_store(tmp_path / "store"), sample.path)
    for name in ("level_changes", "trades", "grid", "order", "uncrossed"):
        assert report.check(name).verdict.value == "exact", name


def test_a_gap_is_asked_for_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "spot", replace(PROFILES["spot"], history_page=3))
    got = capture(tmp_path, "drop@20s,n=8,stream=trade")
    assert [one["limit"] for one in got.events("backfill")] == [3, 3, 2]
    assert [one["id"] for one in got.brought] == got.lost
    assert_true(got)


def test_a_venue_that_is_busy_or_out_of_order_is_asked_again(tmp_path: Path) -> None:
    got = capture(
        tmp_path,
        "drop@20s,n=5,stream=trade",
        "rest@15s,status=429,retry-after=4,for=9s",
        "rest@24s,status=503,for=6s",
        seconds=4.0,
    )
    assert got.result.events["rest_limit"] >= 1
    assert [one["id"] for one in got.brought] == got.lost != []
    assert_true(got)


def test_a_refusal_leaves_the_gap(tmp_path: Path) -> None:
    got = capture(tmp_path, "drop@20s,n=5,stream=trade", "rest@15s,status=400,for=600s")
    (said,) = got.events("no_backfill")
    assert (said["missing"], said["before"] - said["after"] - 1) == (5, 5)
    assert "status 400" in said["why"]
    assert got.brought == []
    assert got.result.symbols[SYMBOL].backfill == BackfillFigures(5, 0, 5)
    assert got.result.symbols[SYMBOL].gaps["trade"] == 1


def test_a_gap_that_is_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "MOST_TRADES", 4)
    got = capture(tmp_path, "drop@20s,n=5,stream=trade")
    (said,) = got.events("no_backfill")
    assert "5 trades are more than the 4" in said["why"]
    assert got.events("backfill") == []
    assert got.result.symbols[SYMBOL].backfill == BackfillFigures(0, 0, 5)


def test_what_is_asked_for_as_the_session_ends_is_waited_for(tmp_path: Path) -> None:
    got = capture(
        tmp_path,
        "drop@20s,n=5,stream=trade",
        "rest@19s,status=503,for=4s",
        enough=lambda session: session.figures[SYMBOL].gaps["trade"] > 0,
        seconds=6.0,
    )
    assert [one["id"] for one in got.brought] == got.lost != []


def test_what_does_not_come_before_the_session_ends_is_told(tmp_path: Path) -> None:
    got = capture(
        tmp_path,
        "drop@20s,n=5,stream=trade",
        "drop@22s,n=2,stream=trade",
        "rest@15s,status=503,for=600s",
        enough=lambda session: session.figures[SYMBOL].gaps["trade"] > 1,
        seconds=6.0,
    )
    said = got.events("no_backfill")
    assert [one["missing"] for one in said] == [5, 2]
    assert {one["why"] for one in said} == {"the session ended"}
    assert got.result.symbols[SYMBOL].backfill == BackfillFigures(5, 0, 7)


@pytest.mark.parametrize("key", ["", "a-key-that-nobody-may-read"])
def test_futures_list_old_trades_to_holders_of_a_key(tmp_path: Path, key: str) -> None:
    """Without one the latest are asked for, and a line says once what would be needed."""
    faults = ("drop@20s,n=5,stream=trade", "drop@30s,n=2,stream=trade")
    got = capture(tmp_path, *faults, market="usdm", key=key)
    path = "/historicalTrades" if key else "/trades"
    assert [one["path"] for one in got.events("backfill")] == [path, path]
    assert {one["id"] for one in got.brought} >= set(got.lost) != set()
    assert_true(got)
    assert len(got.events("no_history")) == (0 if key else 1)
    assert got.result.symbols[SYMBOL].backfill == BackfillFigures(7, 7, 0)
    written = b"".join(path.read_bytes() for path in (tmp_path / "session").rglob("*.json"))
    assert key.encode() not in written or not key
    assert not key or key not in json.dumps(got.lines)
