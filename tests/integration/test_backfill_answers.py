"""What REST may answer to who asks for the trades of a gap, over real sockets; and midnight."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from lobproof.capture import rest
from lobproof.capture.backfill import Backfill, BackfillFigures
from lobproof.capture.pace import Pace
from lobproof.fidelity.exact import verify
from lobproof.pipeline import reconstruct_sample
from lobproof.schema import EventBatch, Flag
from lobproof.sources.binance.journal import JournalWriter
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.binance.venue import PROFILES, MarketName
from lobproof.sources.recordings import import_recordings
from lobproof.store import open_store
from lobproof.timespan import DAY_NS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SPEED = 50.0
MS = 1_000_000


def told_of(first: int, count: int) -> web.Response:
    """Trades from an id on."""
    return web.json_response(
        [
            {"id": one, "price": "10.5", "qty": "2", "time": 1, "isBuyerMaker": True}
            for one in range(first, first + count)
        ]
    )


class Asked:
    """What a gap's filling asked, took and told."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.limits: list[int] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.figures = BackfillFigures()
        self.ids: list[int] = []

    def why(self) -> str:
        (one,) = (fields for name, fields in self.told if name == "no_backfill")
        return str(one["why"])


def fill(
    handler: Handler,
    gap: tuple[int, int],
    *,
    market: MarketName = "spot",
    key: str = "",
    seconds: float = 60.0,
) -> Asked:
    """Ask a server for the trades of a gap, for so many seconds at most."""
    asked = Asked()

    async def counted(request: web.Request) -> web.StreamResponse:
        asked.paths.append(request.path)
        asked.limits.append(int(request.query["limit"]))
        return await handler(request)

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{name}", counted)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        profile, pace = PROFILES[market], Pace(SPEED)

        def told(name: str, fields: dict[str, Any]) -> None:
            asked.told.append((name, fields))

        def take(answer: rest.Answer, body: bytes, said: dict[str, Any]) -> None:
            asked.ids += [one["id"] for one in json.loads(body)]

        async with aiohttp.ClientSession() as http:
            asking = rest.Rest(http, base, profile.weight, pace, told)
            running = asyncio.create_task(asking.run())
            backfill = Backfill(
                "TSTUSDT", asking, profile, pace,
                figures=asked.figures, key=key, told=told, take=take,
            )  # fmt: skip
            filling = asyncio.create_task(backfill.fill(*gap))
            await asyncio.wait({filling}, timeout=seconds)
            filling.cancel()
            running.cancel()
            await asyncio.wait({filling, running})
        await runner.cleanup()

    asyncio.run(run())
    return asked


def test_an_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for again, and told when the session ends; nothing hangs."""
    monkeypatch.setattr(rest, "TIMEOUT_S", 0.1)

    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise web.HTTPNotFound

    got = fill(silent, (10, 16), seconds=1.5)
    assert len(got.paths) >= 2
    assert [name for name, _ in got.told].count("rest_failed") >= 2
    assert got.why() == "the session ended"
    assert got.figures == BackfillFigures(asked=5, got=0, refused=5)


def test_a_session_that_ends_between_two_pages_counts_the_first() -> None:
    async def first_alone(request: web.Request) -> web.StreamResponse:
        if int(request.query["fromId"]) > 11:
            await asyncio.sleep(60)
        return told_of(11, 1000)

    got = fill(first_alone, (10, 2011), seconds=1.0)
    assert got.figures == BackfillFigures(asked=2000, got=1000, refused=1000)
    assert got.why() == "the session ended"


@pytest.mark.parametrize(("market", "key", "page"), [("spot", "", 1000), ("usdm", "k", 500)])
def test_a_gap_that_is_larger_than_a_page(market: MarketName, key: str, page: int) -> None:
    """By the pages of each market; the last one asks for the rest alone."""

    async def pages(request: web.Request) -> web.StreamResponse:
        assert request.headers.get("X-MBX-APIKEY", "") == key
        return told_of(int(request.query["fromId"]), int(request.query["limit"]))

    got = fill(pages, (10, 11 + 2 * page + 7), market=market, key=key)
    assert got.limits == [page, page, 7]
    assert got.ids == list(range(11, 11 + 2 * page + 7))
    assert got.figures == BackfillFigures(asked=2 * page + 7, got=2 * page + 7, refused=0)
    assert got.told == []


@pytest.mark.parametrize(("latest", "came"), [(14, 3), (2000, 0)])
def test_futures_without_a_key_list_the_latest_alone(latest: int, came: int) -> None:
    """What they have listed no more by then stays lost, and is told; the rest comes."""

    async def recent(request: web.Request) -> web.StreamResponse:
        return told_of(latest, 1000)

    got = fill(recent, (10, 17), market="usdm")
    assert set(got.paths) == {"/trades"}
    assert set(got.limits) == {1000}
    assert [name for name, _ in got.told] == ["no_history", "no_backfill"]
    assert got.why() == "the venue does not list them"
    assert got.figures == BackfillFigures(asked=6, got=came, refused=6 - came)


def test_trades_of_a_gap_across_midnight(tmp_path: Path) -> None:
    """Each stands in its own day, though the answer lies in the second day's journal."""
    midnight = 20_000 * DAY_NS
    lines: list[tuple[int, bytes]] = []

    def add(at_ns: int, stream: str, data: Any) -> None:
        text = {"capture_ns": at_ns, "mono_ns": 1, "stream": f"tstusdt@{stream}", "conn": 1}
        text["data"] = data
        lines.append((at_ns, json.dumps(text, separators=(",", ":")).encode() + b"\n"))

    for k in range(40):
        at_ns = midnight + (k - 20) * 100 * MS + 50 * MS
        now = at_ns // 1000
        add(at_ns, "depth@100ms", {"e": "depthUpdate", "E": now, "s": "TSTUSDT", "U": k + 1}
            | {"u": k + 1, "b": [["9.5", str(k + 1)]], "a": [["11.5", "1"]]})  # fmt: skip
        if not 17 <= k <= 22:
            add(at_ns, "trade", {"e": "trade", "E": now, "s": "TSTUSDT", "t": k + 1}
                | {"p": "10.5", "q": "2", "T": now, "m": True, "M": True})  # fmt: skip
        if k == 25:
            times = [(n, (midnight + (n - 20) * 100 * MS + 50 * MS) // 1000) for n in range(17, 23)]
            add(at_ns, "trade@backfill", [
                {"id": n + 1, "price": "10.5", "qty": "2", "time": time, "isBuyerMaker": True}
                for n, time in times
            ])  # fmt: skip
    writer = JournalWriter(tmp_path / "journal")
    for at_ns, line in lines:
        writer.append(line, at_ns)
    journals = [tmp_path / "journal" / one.name for one in writer.close()]
    assert len(journals) == 2
    sample = import_recordings(journals, tmp_path / "golden")
    assert sample.document["backfill"]["backfilled"] == 6
    assert sample.document["trade_ids"]["gaps"] == 0
    trades = EventBatch.concat(list(GoldenSource(sample).trades()))
    assert trades.sequence.tolist() == list(range(1, 41))
    days = np.unique(trades.ts_event[(trades.flags & Flag.BACKFILLED) != 0] // DAY_NS)
    assert days.tolist() == [19_999, 20_000]
    reconstruct_sample(sample.path, tmp_path / "store")
    store = open_store(tmp_path / "store")
    stored = store.events(kind="TRADE", raw=True).collect().select("dt", "sequence").rows()
    assert stored == [("2024-10-03" if n <= 20 else "2024-10-04", n) for n in range(1, 41)]
    assert "TRADE_GAP" not in store.quality().collect()["code"].to_list()
    assert verify(store, sample.path).check("trades").verdict.value == "exact"
