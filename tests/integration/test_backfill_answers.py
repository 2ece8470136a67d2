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
from lobproof.sources.captured import SessionDocument, write_session
from lobproof.sources.golden import GoldenSample
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


MIDNIGHT = 20_000 * DAY_NS


def lines_around_midnight(lost: range, *more: tuple[int, str, Any]) -> list[tuple[int, bytes]]:
    """Depth and trades from 2 s before midnight to 2 s after; ``more``: when, stream, and data.

    A gap of trades is told behind those lost. Data of the stream ``control`` are the line's own.
    """
    lines: list[tuple[int, bytes]] = []

    def add(at_ns: int, stream: str, data: Any) -> None:
        line: dict[str, Any] = {"capture_ns": at_ns, "mono_ns": 1}
        if stream == "control":
            line |= {"stream": stream, "conn": 0, **data}
        else:
            line |= {"stream": f"tstusdt@{stream}", "conn": 1, "data": data}
        lines.append((at_ns, json.dumps(line, separators=(",", ":")).encode() + b"\n"))

    for k in range(40):
        at_ns = time_of(k)
        now = at_ns // 1000
        add(at_ns, "depth@100ms", {"e": "depthUpdate", "E": now, "s": "TSTUSDT", "U": k + 1}
            | {"u": k + 1, "b": [["9.5", str(k + 1)]], "a": [["11.5", "1"]]})  # fmt: skip
        if k == lost.stop:
            gap = {"event": "gap", "of": "trade", "after": lost.start, "before": lost.stop + 1}
            add(at_ns, "control", gap)
        if k not in lost:
            add(at_ns, "trade", {"e": "trade", "E": now, "s": "TSTUSDT", "t": k + 1}
                | {"p": "10.5", "q": "2", "T": now, "m": True, "M": True})  # fmt: skip
        for at, stream, data in more:
            if at == k:
                add(at_ns, stream, data)
    return lines


def time_of(k: int) -> int:
    """When a message is sent and comes: every 100 ms."""
    return MIDNIGHT + (k - 20) * 100 * MS + 50 * MS


def answer_of(lost: range) -> list[dict[str, Any]]:
    return [
        {"id": k + 1, "price": "10.5", "qty": "2", "time": time_of(k) // 1000, "isBuyerMaker": True}
        for k in lost
    ]


def journals_of(folder: Path, lines: list[tuple[int, bytes]]) -> list[Path]:
    writer = JournalWriter(folder / "journal")
    for at_ns, line in lines:
        writer.append(line, at_ns)
    return [folder / "journal" / one.name for one in writer.close()]


def test_trades_of_a_gap_across_midnight(tmp_path: Path) -> None:
    """Each stands in its own day, though the answer lies in the second day's journal."""
    lost = range(17, 23)
    lines = lines_around_midnight(lost, (25, "trade@backfill", answer_of(lost)))
    journals = journals_of(tmp_path, lines)
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


def quality_of(sample: GoldenSample, store: Path) -> list[tuple[str, str, str]]:
    """Findings about trades: day, code and words."""
    reconstruct_sample(sample.path, store)
    rows = open_store(store).quality().collect().select("dt", "code", "detail").rows()
    return sorted(row for row in rows if row[1] in ("TRADE_GAP", "TRADES_ABSENT"))


def test_a_day_whose_answer_lies_in_the_next_one_says_so(tmp_path: Path) -> None:
    """A row of the gap's day alone; none where the answer is there, or where none will come."""
    lost = range(12, 15)
    lines = lines_around_midnight(lost, (25, "trade@backfill", answer_of(lost)))
    (tmp_path / "never").mkdir()
    (tmp_path / "refused").mkdir()
    write_session(tmp_path, capture_of("TSTUSDT"))
    first, second = journals_of(tmp_path / "TSTUSDT", lines)
    gap = ("2024-10-03", "TRADE_GAP", "trade ids 13-15 are missing")
    waits = (
        "2024-10-03",
        "TRADES_ABSENT",
        "REST had been asked for 3 lost trades, and its answer is not in the recording",
    )
    alone = import_recordings([first], tmp_path / "alone")
    assert alone.document["awaited"]["trades"] == 3
    assert quality_of(alone, tmp_path / "store-1") == [waits, gap]
    again = import_recordings(alone.journals, tmp_path / "again")
    assert again.document["awaited"] == alone.document["awaited"]
    both = import_recordings([first, second], tmp_path / "both")
    assert "awaited" not in both.document
    assert quality_of(both, tmp_path / "store-2") == []
    write_session(tmp_path / "never", capture_of("TSTUSDT"))
    lines = lines_around_midnight(lost)
    never = import_recordings(
        journals_of(tmp_path / "never" / "TSTUSDT", lines), tmp_path / "never-golden"
    )
    assert quality_of(never, tmp_path / "store-3") == [waits, gap]
    write_session(tmp_path / "refused", capture_of("TSTUSDT"))
    told = {"event": "no_backfill", "after": 12, "before": 16, "missing": 3, "why": "no"}
    lines = lines_around_midnight(lost, (25, "control", told))
    refused = import_recordings(
        journals_of(tmp_path / "refused" / "TSTUSDT", lines), tmp_path / "refused-golden"
    )
    assert quality_of(refused, tmp_path / "store-4") == [gap]


def capture_of(symbol: str) -> SessionDocument:
    return SessionDocument(
        state="failed",
        provenance="real",
        market="spot",
        symbols=[symbol],
        snapshot_limit=5000,
        sockets="wss://venue",
        rest="https://venue",
        started_ns=1,
    )
