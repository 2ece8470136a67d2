"""SBE frames beside JSON, over real sockets: kept raw, compared at the import, and no burden."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from lobproof.capture import lane
from lobproof.capture.keys import KEY_VARIABLE, key_from
from lobproof.capture.pace import Pace
from lobproof.capture.session import Session, SessionResult
from lobproof.capture.start import VenueError, check_start
from lobproof.errors import UsageError
from lobproof.serve import LocalExchange
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.sbe import read_sbe
from lobproof.sources.binance.venue import Venue, venue_of
from lobproof.sources.captured import SESSION
from lobproof.sources.recordings import import_recordings
from support.commands import command, refused
from support.served import served
from support.venue import Seen, scripted, within

KEY = "aSecretThatNobodySees0123456789"
SYMBOL = "TSTUSDT"


def venue_at(url: str) -> Venue:
    return venue_of("spot", url, sbe=True)


def captured(
    out: Path, seconds: float, *, seen: Seen | None = None, sbe: str = "", cut_s: float = 0.0
) -> SessionResult:
    """Capture the scripted exchange at ten times its pace.

    ``sbe``: another address of SBE; ``cut_s``: when the exchange cuts its SBE connection.
    """

    async def run() -> SessionResult:
        tape = scripted(every_ms=20, seconds=600)
        async with LocalExchange([tape], speed=10, observer=seen) as exchange:
            venue = venue_at(exchange.url)
            venue = replace(venue, sbe=sbe or venue.sbe)
            session = Session([SYMBOL], venue, out, pace=Pace(10), key=KEY)
            task = asyncio.create_task(session.run())
            await asyncio.wait({task}, timeout=cut_s)
            for conn in [one for one in exchange.venue.connections if one.sbe and cut_s]:
                conn.abort()
                exchange.venue.forget(conn)
            await asyncio.wait({task}, timeout=seconds - cut_s)
            session.stop()
            return await task

    return within(run())


def journal(out: Path, name: str = SYMBOL) -> list[dict[str, object]]:
    lines: list[bytes] = []
    for path in sorted((out / name / "journal" if name == SYMBOL else out / name).iterdir()):
        for frame in read_frames(path):
            assert not isinstance(frame, Loss)
            lines += frame.splitlines()
    return [json.loads(line) for line in lines]


def frames(out: Path) -> list[bytes]:
    found = journal(out)
    return [b64decode(str(one["data"])) for one in found if "@sbe" in str(one["stream"])]


def no_key_in(out: Path) -> bool:
    texts = [path.read_text() for path in out.rglob("*.json")]
    return KEY not in json.dumps([texts, journal(out)])


def test_frames_are_kept_and_compared(tmp_path: Path) -> None:
    seen, out = Seen(), tmp_path / "session"
    result = captured(out, 3.0, seen=seen)
    kept = frames(out)
    sent = [one for conn, _, one in seen.messages if not one.startswith(b"{")]
    assert len(kept) > 300
    assert kept == sent[: len(kept)]
    figures = result.symbols[SYMBOL]
    assert figures.sbe == Counter(read_sbe(one).kind for one in kept)
    assert figures.sbe.keys() == {"trade", "depth", "bestBidAsk"}
    assert (figures.gaps, figures.late) == ({}, {})
    assert [one.figures.missed for one in result.sockets] == [0, 0]
    assert [one.name for one in result.sockets] == ["1", "SBE"]
    document = json.loads((out / SESSION).read_text())
    told = [(one["socket"], one["path"]) for one in document["figures"]["lanes"]]
    assert told == [("1", ""), ("SBE", "/sbe")]
    assert no_key_in(out)
    assert command("golden", "check", out).code == 0  # the frames are counted, too
    sample = import_recordings(out / SYMBOL, tmp_path / "golden", strict=True)
    witness = sample.document["witness"]
    for name in ("trades", "depth", "touch"):
        assert witness[name]["compared"] == witness[name]["equal"] > 50, name
    assert sum(witness["frames"].values()) == len(kept)


def test_the_loss_of_sbe_disturbs_nothing(tmp_path: Path) -> None:
    """SBE's connection is cut, and comes back; JSON's goes on."""
    out = tmp_path / "session"
    result = captured(out, 4.0, cut_s=2.0)
    assert (result.events["connected"], result.events["disconnected"]) == (3, 3)
    assert (result.symbols[SYMBOL].gaps, result.symbols[SYMBOL].late) == ({}, {})
    witness = import_recordings(out / SYMBOL, tmp_path / "golden").document["witness"]
    assert witness["trades"]["json_alone"] > 0
    for name in ("trades", "depth", "touch"):
        assert witness[name]["differing"] == 0
        assert witness[name]["compared"] > 50


def test_an_address_that_refuses_disturbs_nothing(tmp_path: Path) -> None:
    result = captured(tmp_path / "session", 2.0, sbe="ws://127.0.0.1:1/sbe")
    assert result.events["connect_failed"] > 0
    assert result.symbols[SYMBOL].messages.total() > 300
    assert result.symbols[SYMBOL].sbe == {}


def test_frames_of_no_known_shape_are_kept_raw(tmp_path: Path) -> None:
    """Frames of another schema are counted, and lie in the session's own journal."""
    odd = (50).to_bytes(2, "little") + b"\x11\x27\x01\x00\x01\x00" + bytes(50) + b"\x00"

    async def socket(request: web.Request) -> web.WebSocketResponse:
        assert request.headers["X-MBX-APIKEY"] == KEY
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        for _ in range(5):
            await ws.send_bytes(odd)
        await ws.send_str('{"result":null,"id":1}')
        await asyncio.sleep(60)
        return ws

    out = tmp_path / "session"

    async def run() -> SessionResult:
        app = web.Application()
        app.router.add_get("/sbe/stream", socket)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"ws://127.0.0.1:{runner.addresses[0][1]}/sbe"
        try:
            return await asyncio.to_thread(captured, out, 2.0, sbe=address)
        finally:
            await runner.cleanup()

    result = within(run())
    assert (result.events["sbe_unread"], result.events["other"]) == (5, 6)
    raw = [one for one in journal(out, "session") if one["event"] == "other"]
    assert [one.get("why") for one in raw] == ["sbe schema"] * 5 + [None]
    assert b64decode(str(raw[0]["data_b64"])) == odd


def test_the_address_wants_a_key() -> None:
    async def run() -> list[int]:
        async with LocalExchange([scripted()]) as exchange, aiohttp.ClientSession() as http:
            statuses = []
            for path in ("/sbe/stream?streams=tstusdt@depth", "/sbe/ws/tstusdt@depth"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as failed:
                    await http.ws_connect(exchange.url + path)
                statuses.append(failed.value.status)
            return statuses

    assert within(run()) == [401, 401]


@pytest.mark.parametrize(("status", "said"), [(401, KEY_VARIABLE), (302, "redirects")])
def test_a_key_that_is_refused_is_told_at_once(status: int, said: str) -> None:
    """And handed to nobody else: a redirection is not followed."""
    asked: list[str] = []

    async def socket(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", socket)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with LocalExchange([scripted()]) as exchange:
            address = f"ws://127.0.0.1:{runner.addresses[0][1]}/sbe"
            venue = replace(venue_at(exchange.url), sbe=address)
            with pytest.raises(VenueError) as failed:
                await check_start(venue, [SYMBOL], KEY)
        await runner.cleanup()
        told = f"{failed.value.message} {failed.value.hint}"
        assert said in told
        assert KEY not in told

    within(run())
    assert asked == ["/sbe/stream"]


def test_a_key_goes_nowhere_in_the_clear() -> None:
    async def run() -> None:
        async with LocalExchange([scripted()]) as exchange:
            venue = replace(venue_at(exchange.url), sbe="ws://exchange.example/sbe")
            await check_start(venue, [SYMBOL], KEY)

    with pytest.raises(UsageError, match="unencrypted"):
        within(run())


@pytest.mark.parametrize("value", ["", " ", "-----BEGIN PRIVATE KEY-----", "a\r\nHost: b", "é"])
def test_what_is_no_key(value: str) -> None:
    with pytest.raises(UsageError, match=KEY_VARIABLE) as refusal:
        key_from({KEY_VARIABLE: value})
    assert not value.strip() or value not in f"{refusal.value.message}{refusal.value.hint}"


@pytest.mark.parametrize(
    ("words", "said"), [((), f"{KEY_VARIABLE} is not set"), (("--venue", "usdm"), "spot has")]
)
def test_the_command_asks_for_what_it_needs(
    tmp_path: Path, words: Sequence[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    refused(said, "capture", SYMBOL, "--out", tmp_path / "out", "--sbe", *words)


def test_every_figure_calls_its_socket_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    metrics = tmp_path / "lobproof.prom"
    with served("--preset", "nexo", "--speed", "5") as url:
        said = command(
            *("capture", "SIMUSDT", "--endpoint", url, "--out", tmp_path / "day", "--sbe"),
            *("--duration", "2s", "--metrics", metrics),
        )
    assert said.code == 0, said
    assert re.search(r"^socket 1: first \d", said.out, re.MULTILINE)
    assert re.search(r"^the SBE socket: first \d", said.out, re.MULTILINE)
    assert "socket 2" not in said.out
    lanes = re.findall(
        r'_socket_open\{venue="spot",lane="(\w+)",path="([^"]*)"', metrics.read_text()
    )
    assert lanes == [("1", ""), ("SBE", "/sbe")]


def test_silence_is_watched_as_of_others() -> None:
    for kind, of in ((b"sbeDepth", b"depth"), (b"sbeBestBidAsk", b"bookTicker")):
        assert lane.FIRST_FRAME_S[kind] == lane.FIRST_FRAME_S[of]
        assert lane.IDLE_S[kind] == lane.IDLE_S[of]
