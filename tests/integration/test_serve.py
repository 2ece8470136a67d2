"""The venue on the wire: what clients of others get of it, and each fault as they see it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from lobproof.errors import InputError, PlaceError, UsageError
from lobproof.instruments import from_exchange_info
from lobproof.serve import (
    PROFILES,
    LocalExchange,
    MarketName,
    Message,
    recorded_tape,
    simulated_tape,
)
from lobproof.serve.clock import MINUTE
from lobproof.sources.binance.decode import journal_entry
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import market_config, simulate
from support.commands import command, refused
from support.venue import (
    MS,
    SECOND,
    START,
    ClientBook,
    Heard,
    Seen,
    get,
    hear,
    listen,
    opened,
    scripted,
    within,
)

DEPTH = "/stream?streams=tstusdt@depth@100ms"


def _one(faults: Sequence[str], path: str = DEPTH, seconds: float = 20.0, **how: Any) -> Heard:
    """What one client gets of a scripted venue, from its first message to its end."""

    async def work() -> Heard:
        market, every = how.pop("market", "spot"), how.pop("every_ms", 100)
        tape = scripted(market, seconds=seconds, every_ms=every)
        speed = how.pop("speed", 40.0)
        async with LocalExchange([tape], speed=speed, faults=faults, waits=True, **how) as venue:
            return await listen(venue.ws_url + path)

    return within(work())


# -- the venue without faults


@pytest.mark.parametrize("market", ["spot", "usdm", "coinm"])
def test_a_client_builds_the_true_book(market: MarketName) -> None:
    preset, symbol = ("btc", "SIMUSDT") if market == "spot" else ("perp", "SIMUSD_PERP")
    config = market_config(preset, start="2026-01-05T00:00:00Z")
    config = replace(config, venue_symbol=symbol, warmup_s=5.0, rate=300.0)
    tape = simulated_tape(config, market, 7)

    async def work() -> tuple[ClientBook, Any]:
        client = ClientBook(market != "spot")
        truth: dict[int, Any] = {}

        class Keeper(Seen):
            def sent(self, conn: int, stream: str, payload: bytes) -> None:
                book = venue.book(symbol)
                truth[book.last_id] = book

        async with LocalExchange([tape], speed=10, observer=Keeper(), waits=True) as venue:
            await client.follow(venue, symbol, 80)
        return client, truth[client.last_id]

    client, book = within(work())
    # the snapshot listed 1000 levels; what changed since is known wherever it lies
    for side, levels in (("b", book.bids), ("a", book.asks)):
        known = client.sides[side]
        ordered = sorted(known, reverse=side == "b")
        for price, size in levels[:500]:
            assert known.pop(Decimal(price)) == Decimal(size)
        worst = Decimal(levels[min(len(levels), 500) - 1][0])
        assert all((price < worst) == (side == "b") for price in known)
        assert ordered
    assert client.counts["applied"] >= 80


def test_two_connections_get_the_same_bytes_and_the_observer_knows_them() -> None:
    async def work() -> tuple[Heard, Heard, Seen]:
        seen = Seen()
        path = "/ws/tstusdt@depth@100ms/tstusdt@trade"
        async with LocalExchange(
            [scripted(seconds=10)], speed=20, observer=seen, waits=True
        ) as venue:
            first, second = await asyncio.gather(*(listen(venue.ws_url + path) for _ in range(2)))
        return first, second, seen

    first, second, seen = within(work())
    got = [[text.encode() for text in heard.texts] for heard in (first, second)]
    assert got in ([seen.of(1), seen.of(2)], [seen.of(2), seen.of(1)])
    assert (first.code, first.reason) == (1001, "nothing more to serve")
    shorter = min(len(first.texts), len(second.texts))
    assert first.texts[-shorter:] == second.texts[-shorter:]
    assert shorter > 20
    ids = first.field("u")
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_a_recording_is_served_byte_for_byte(tmp_path: Path) -> None:
    made = simulate(tmp_path / "sim", preset="nexo", minutes=1.0)
    sample = import_recordings(list(made.recordings), tmp_path / "golden")
    written = []
    for journal in sample.journals:
        for lines in read_frames(journal):
            assert not isinstance(lines, Loss)
            for entry in map(journal_entry, lines.splitlines()):
                if entry.stream not in ("control", "simusdt@snapshot"):
                    written.append(bytes(entry.data).decode())

    async def work() -> tuple[Heard, dict[str, str]]:
        tape = recorded_tape(sample.path)
        async with LocalExchange([tape], speed=60, waits=True) as venue:
            url = f"{venue.ws_url}/ws/simusdt@depth@100ms/simusdt@trade/simusdt@bookTicker"
            heard, answer = await asyncio.gather(listen(url), get(f"{venue.url}/api/v3/time"))
            return heard, answer.headers

    heard, headers = within(work())
    assert heard.texts == written
    assert headers["X-Lobproof"] == "synthetic"
    said = command("serve", sample.path, "--speed", "1000", "--json")
    assert (said.code, said.document["symbols"]) == (0, ["SIMUSDT"])
    refused("is of the market spot, not of usdm", "serve", sample.path, "--market", "usdm")
    refused("nothing is said at the time", "serve", sample.path, "--start", "2030-01-01")


def test_streams_are_asked_for_and_given_back() -> None:
    async def work() -> list[Any]:
        replies = []
        async with (
            LocalExchange([scripted()], speed=0.001) as venue,
            opened(f"{venue.ws_url}/ws") as ws,
        ):
            for request in (
                {"method": "SUBSCRIBE", "params": ["tstusdt@trade", "no@trade"], "id": 1},
                {"method": "UNSUBSCRIBE", "params": ["tstusdt@trade"], "id": "two"},
                {"method": "LIST_SUBSCRIPTIONS", "id": 3},
                {"method": "SET_PROPERTY", "params": ["combined", True], "id": 4},
                {"method": "SHOUT", "id": 5},
            ):
                await ws.send(json.dumps(request))
                replies.append(json.loads(await ws.recv()))
        async with (
            LocalExchange([scripted()], speed=1) as venue,
            opened(f"{venue.ws_url}/ws") as ws,
        ):
            for text in ("{", '{"id":1}', '{"method":"SUBSCRIBE","params":[1],"id":7}'):
                await ws.send(text)
                replies.append(json.loads(await ws.recv()))
            assert venue.venue.silent == set()
        return replies

    replies = within(work())
    assert replies[:4] == [
        {"result": None, "id": 1},
        {"result": None, "id": "two"},
        {"result": ["no@trade"], "id": 3},
        {"result": None, "id": 4},
    ]
    assert [reply["code"] for reply in replies[4:]] == [2, 3, 2, 2]
    assert replies[4]["msg"].startswith("Invalid request: unknown variant `SHOUT`")


def test_the_wrong_tier_and_unknown_streams_are_silent() -> None:
    async def work(tier: str) -> tuple[Heard, set[str]]:
        async with LocalExchange([scripted("usdm", seconds=5)], speed=10, waits=True) as venue:
            names = "tstusdt@depth@100ms/tstusdt@markPrice@1s/TSTUSDT@trade/x@y"
            heard = await listen(f"{venue.ws_url}/{tier}/stream?streams={names}")
            return heard, venue.venue.silent

    public, silent = within(work("public"))
    assert set(public.field("e")) == {"depthUpdate"}
    assert silent == {"tstusdt@markPrice@1s", "TSTUSDT@trade", "x@y"}
    market, silent = within(work("market"))
    assert set(market.field("e")) == {"markPriceUpdate"}
    private, _ = within(work("private"))
    assert private.texts == []

    async def gone() -> None:
        async with LocalExchange([scripted("usdm")]) as venue:
            with pytest.raises(InvalidStatus):
                await listen(f"{venue.ws_url}/ws/tstusdt@trade")

    within(gone())


def test_times_come_in_microseconds_where_they_are_asked_for() -> None:
    heard = _one([], f"{DEPTH}/tstusdt@trade&timeUnit=MICROSECOND", seconds=2)
    times = heard.field("E") + heard.field("T")
    assert len(times) > 30
    assert all(10**15 < time < 10**16 for time in times)


@pytest.mark.parametrize("market", ["spot", "usdm", "coinm"])
def test_rest_answers(market: MarketName) -> None:
    async def work() -> None:
        tape = scripted(market, "TSTUSD_PERP" if market == "coinm" else "TSTUSDT", every_ms=10)
        symbol = tape.symbol
        async with LocalExchange([tape], speed=0.001, start_ns=START + 10_005 * MS) as venue:
            root = venue.url + venue.venue.profile.rest

            async def ask(path: str, **headers: str) -> Any:
                answer = await get(f"{root}/{path}", headers)
                assert answer.status == 200, answer
                assert answer.headers["X-Lobproof"] == "synthetic"
                return answer.body

            depth = await ask(f"depth?symbol={symbol}&limit=7")
            book = venue.book(symbol, 7)
            assert depth["lastUpdateId"] == book.last_id == 2000
            assert depth["bids"] == [list(level) for level in book.bids]
            assert depth["asks"] == [list(level) for level in book.asks]
            assert Decimal(depth["bids"][0][0]) > Decimal(depth["bids"][1][0])
            assert Decimal(depth["asks"][0][0]) < Decimal(depth["asks"][1][0])
            assert ("E" in depth) == (market != "spot")
            assert len((await ask(f"depth?symbol={symbol}"))["asks"]) == 50
            trades = await ask(f"trades?symbol={symbol}&limit=3")
            assert [trade["id"] for trade in trades] == [1498, 1499, 1500]
            old = f"historicalTrades?symbol={symbol}&limit=2&fromId=700"
            trades = await ask(old, **{"X-MBX-APIKEY": "any"})
            assert [trade["id"] for trade in trades] == [700, 701]
            assert (await get(f"{root}/{old}")).status == (200 if market == "spot" else 401)
            fine = await ask(old, **{"X-MBX-APIKEY": "any", "X-MBX-TIME-UNIT": "MICROSECOND"})
            unit = 1000 if market == "spot" else 1
            assert [one["time"] // unit for one in fine] == [one["time"] for one in trades]
            together = await ask(f"aggTrades?symbol={symbol}&fromId=600&limit=1")
            assert together[0] | {"q": ""} == together[0] | {"a": 600, "f": 600, "l": 600, "q": ""}
            since = START // 10**6 + 5000
            together = await ask(f"aggTrades?symbol={symbol}&startTime={since}&limit=1")
            assert together[0]["T"] == since
            info = await ask("exchangeInfo")
            assert info == await ask(f"exchangeInfo?symbol={symbol}")
            read = from_exchange_info(info, symbol, tape.instrument.exchange)
            assert (read.price_text(read.tick), read.size_text(read.lot)) == ("0.01", "0.001")
            assert (await ask("time"))["serverTime"] == START // 10**6 + 10_005
            assert await ask("ping") == {}

            async def fails(path: str) -> int:
                answer = await get(f"{root}/{path}")
                assert answer.status == 400
                return int(answer.body["code"])

            assert await fails("depth?symbol=NO") == -1121
            assert await fails("trades") == -1102
            assert await fails(f"depth?symbol={symbol}&limit=-1") == -1100
            assert await fails(f"depth?symbol={symbol}&limit=0") == -1130
            assert (await get(f"{root}/nothing")).status == 404

    within(work())


def test_too_much_weight_is_refused_and_going_on_is_punished() -> None:
    async def work() -> None:
        async with LocalExchange([scripted()], speed=0.001) as venue:
            url = f"{venue.url}/api/v3/depth?symbol=TSTUSDT&limit=5000"
            answers = [await get(url) for _ in range(36)]
            assert [a.status for a in answers] == [200] * 24 + [429] * 10 + [418] * 2
            assert answers[0].headers["X-MBX-USED-WEIGHT-1M"] == "250"
            assert answers[24].headers["Retry-After"] == "60"
            assert answers[24].body["code"] == -1003
            assert answers[34].headers["Retry-After"] == "120"
            assert venue.venue.counts["requests_refused"] == 12

    within(work())


# -- how the venue ends connections


def test_who_does_not_pong_is_cut_and_who_does_is_not() -> None:
    async def work() -> tuple[bytes, Heard]:
        async with LocalExchange([scripted(seconds=120)], speed=50, waits=True) as venue:
            reader, writer = await _raw(venue)
            deaf, heard = await asyncio.gather(reader.read(), listen(venue.ws_url + "/ws"))
            writer.close()
            assert venue.venue.counts["closed_unanswered"] == 1
            return deaf, heard

    deaf, heard = within(work())
    assert 3 <= deaf.count(b"\x89\x0d") <= 5  # a ping every 20 s for 20 + 60 s
    assert deaf.endswith(b"\x88\x09\x03\xf0no pong")
    assert heard.reason == "nothing more to serve"


async def _raw(
    venue: LocalExchange, path: str = "/ws"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket of a client that answers nothing."""
    reader, writer = await asyncio.open_connection(venue.host, venue.port)
    head = (
        f"GET {path} HTTP/1.1\r\nHost: {venue.host}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    writer.write(head.encode())
    assert b"X-Lobproof: synthetic" in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def test_a_connection_lives_for_24_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = replace(PROFILES["coinm"], pong_ns=10 * 60 * MINUTE)  # as fast as this runs
    monkeypatch.setitem(PROFILES, "coinm", patient)
    day = 24 * 60.0 * 60
    heard = _one([], "/ws", seconds=day + 3600, every_ms=60_000, speed=day / 2, market="coinm")
    assert heard.reason == "24 hours are over"


def test_a_slow_client_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lobproof.serve.connection.QUEUE_BYTES", 1 << 16)

    async def work() -> None:
        async with LocalExchange(
            [scripted(seconds=600, every_ms=10)], speed=100, waits=True
        ) as venue:
            _, writer = await _raw(venue, DEPTH)
            for _ in range(400):
                await asyncio.sleep(0.02)
                if venue.venue.counts["closed_slow"]:
                    break
            assert venue.venue.counts["closed_slow"] == 1
            assert venue.venue.connections == []
            writer.transport.abort()

    within(work())


def test_who_says_too_much_is_cut() -> None:
    async def work() -> Heard:
        async with (
            LocalExchange([scripted()], speed=0.001) as venue,
            opened(f"{venue.ws_url}/ws") as ws,
        ):
            for number in range(6):
                await ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
            return await hear(ws, [])

    heard = within(work())
    assert len(heard.texts) == 5
    assert (heard.code, heard.reason) == (1008, "too many messages")


# -- faults, each as a client sees it


def _gaps(ids: list[int]) -> list[int]:
    return [b for a, b in pairwise(ids) if b != a + 1]


def test_messages_are_dropped() -> None:
    ids = _one(["drop@5s,n=3,stream=depth"]).field("u")
    assert _gaps(ids) == [1053]
    assert set(range(1050, 1053)).isdisjoint(ids)
    ids = _one(["drop@5s,share=0.5,for=10s"]).field("u")
    lost = set(range(1050, 1150)) - set(ids)
    assert 25 < len(lost) < 75
    assert lost == set(range(1050, 1150)) - set(_one(["drop@5s,share=0.5,for=10s"]).field("u"))


def test_messages_come_twice() -> None:
    ids = _one(["double@5s,n=2,stream=depth"]).field("u")
    assert ids[-(len(ids) - ids.index(1050)) :][:6] == [1050, 1050, 1051, 1051, 1052, 1053]


def test_neighbours_change_places() -> None:
    ids = _one(["reorder@5s,n=2,stream=depth"]).field("u")
    start = ids.index(1051)
    assert ids[start - 1 : start + 6] == [1049, 1051, 1050, 1053, 1052, 1054, 1055]
    assert sorted(ids) == list(range(min(ids), 1201))


def test_a_stream_falls_silent() -> None:
    heard = _one(["silent@5s,for=4s,stream=depth"], "/stream?streams=tstusdt@depth/tstusdt@trade")
    ids = heard.field("u")
    assert _gaps(ids) == [1090]
    assert 1049 in ids
    trades = heard.field("t")
    assert trades == list(range(trades[0], 701))


def test_futures_get_the_fields_of_the_merger() -> None:
    heard = _one(["merge@5s,for=4s"], "/public/stream?streams=tstusdt@depth", market="usdm")
    assert len(heard.field("st")) == 40
    assert heard.field("ps") == ["TSTUSDT"] * 40


def test_a_frame_is_no_json() -> None:
    texts = _one(["garbage@5s,n=2"]).texts
    assert texts.count('{"e":"depthUpd') == 2


def test_a_shutdown_is_told_before_it_comes() -> None:
    heard = _one(["shutdown@5s,lead=4s"])
    assert heard.field("e").count("serverShutdown") == 1
    assert (heard.code, heard.reason) == (1001, "server shutdown")
    assert heard.field("u")[-1] == 1089


def test_a_connection_breaks_and_another_does_not() -> None:
    async def work() -> tuple[Heard, Heard, Seen]:
        seen = Seen()
        async with LocalExchange(
            [scripted(seconds=20)],
            speed=40,
            faults=["disconnect@10s,conn=1"],
            observer=seen,
            waits=True,
        ) as venue:
            async with opened(venue.ws_url + DEPTH) as ws:
                first, second = await asyncio.gather(hear(ws, []), listen(venue.ws_url + DEPTH))
            assert dict(venue.venue.fault_counts["disconnect@10s,conn=1"]) == {
                "happened": 1,
                "done": 1,
            }
        return first, second, seen

    first, second, seen = within(work())
    assert first.code is None  # no closing frame
    assert (max(first.field("u")), max(second.field("u"))) == (1099, 1200)
    assert seen.faults == [(START + 10 * SECOND, "disconnect@10s,conn=1", 1, "")]


def test_a_socket_stalls_and_then_bursts() -> None:
    async def work() -> list[tuple[int, int]]:
        came = []
        async with (
            LocalExchange(
                [scripted(seconds=20)], speed=20, faults=["stall@5s,for=6s"], waits=True
            ) as venue,
            opened(venue.ws_url + DEPTH) as ws,
        ):
            for _ in range(150):
                event = json.loads(await ws.recv())["data"]
                came.append((event["u"], venue.clock.now() - event["E"] * 10**6))
        return came

    came = within(work())
    ids = [u for u, _ in came]
    assert ids == list(range(ids[0], ids[0] + 150))
    late = {u for u, behind in came if behind > 3 * SECOND}
    assert 1055 in late


def test_depth_answers_are_of_the_past_or_late() -> None:
    async def work() -> None:
        faults = ["stale@21s,n=1", "late@23s,n=1,by=8s"]
        async with LocalExchange([scripted()], speed=20, faults=faults) as venue:
            url = f"{venue.url}/api/v3/depth?symbol=TSTUSDT"

            async def until(seconds: float) -> None:
                await asyncio.sleep(max(venue.clock.seconds_until(START + round(seconds * 1e9)), 0))

            await until(22)
            ids = [(await get(url)).body["lastUpdateId"] for _ in range(2)]
            assert ids[0] < ids[1] - 90
            await until(24)
            before = venue.clock.now()
            answer = await get(url)
            assert venue.clock.now() - before >= 8 * SECOND
            assert answer.body["lastUpdateId"] < venue.book("TSTUSDT").last_id - 60

    within(work())


@pytest.mark.parametrize("status", [418, 429, 503])
def test_rest_refuses(status: int) -> None:
    async def work() -> None:
        fault = f"rest@1ms,status={status},retry-after=9,for=1h"
        async with LocalExchange([scripted()], speed=10, faults=[fault]) as venue:
            while not venue.venue.fault_counts[fault]:
                await asyncio.sleep(0.01)
            answer = await get(f"{venue.url}/api/v3/depth?symbol=TSTUSDT")
            assert (answer.status, answer.headers["Retry-After"]) == (status, "9")
            assert answer.body["code"] < 0

    within(work())


# -- as a library, and as a command


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    spot = scripted()
    with pytest.raises(UsageError, match="nothing to serve"):
        LocalExchange([])
    with pytest.raises(UsageError, match="together"):
        LocalExchange([spot, spot])
    with pytest.raises(UsageError, match="of the market usdm"):
        LocalExchange([spot, scripted("usdm", "OTHERUSDT")])
    with pytest.raises(UsageError, match="nothing is said"):
        LocalExchange([spot], start_ns=START + 5 * MINUTE)
    refused("either golden samples or a simulated market", "serve")
    refused("either golden samples or a simulated market", "serve", tmp_path, "--simulate")
    refused("is no golden sample", "serve", tmp_path)
    refused("is no fault", "serve", "--simulate", "--fault", "drop")
    refused("is no length of time", "serve", "--simulate", "--duration", "long")
    refused("0 symbols", "serve", "--simulate", "--symbols", "0")


def test_a_recording_that_breaks_off_while_it_is_served_is_an_error() -> None:
    plain = scripted(seconds=1)

    def source() -> Iterator[Message]:
        yield from plain.source()
        raise InputError("damaged", hint="copy it anew")

    async def work() -> None:
        async with LocalExchange([replace(plain, source=source)], speed=20, waits=True) as venue:
            heard = await listen(venue.ws_url + DEPTH)
            assert (heard.code, len(heard.texts)) == (1011, 10)

    with pytest.raises(InputError, match="damaged"):
        within(work())


def test_more_streams_than_a_connection_may_have_are_refused() -> None:
    async def work() -> None:
        async with LocalExchange([scripted()], speed=0.001) as venue:
            names = "/".join(f"s{k}@trade" for k in range(1025))
            with pytest.raises(InvalidStatus):
                await listen(f"{venue.ws_url}/stream?streams={names}")
            async with opened(f"{venue.ws_url}/ws") as ws:
                request = {"method": "SUBSCRIBE", "params": names.split("/"), "id": 1}
                await ws.send(json.dumps(request))
                assert json.loads(await ws.recv())["msg"].endswith("too many parameters")

    within(work())


def test_a_port_that_is_taken_is_an_error() -> None:
    async def work(port: int) -> None:
        with pytest.raises(PlaceError, match=f"127.0.0.1:{port}") as error:
            async with LocalExchange([scripted()], port=port):
                pass
        assert "--port" in error.value.hint

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        within(work(port))
        refused("cannot be served at", "serve", "--simulate", "--preset", "nexo", "--port", port)


def test_a_span_is_served_and_summed_up() -> None:
    said = command(
        "serve", "--simulate", "--preset", "nexo", "--market", "coinm", "--symbols", "2",
        "--speed", "100", "--duration", "20s", "--fault", "garbage@5s", "--json",
    )  # fmt: skip
    assert said.code == 0
    assert said.document["symbols"] == ["SIMUSD_PERP", "SIM2USD_PERP"]
    assert said.document["provenance"] == "synthetic"
    assert said.document["faults"] == {"garbage@5s": {"happened": 1}}
    assert "/dapi/v1/depth?symbol=SIMUSD_PERP" in said.err


def test_the_screen_says_what_each_fault_happened_to() -> None:
    faults = ("drop@5s", "rest@6s", "reset@7s", "garbage@8s")
    said = command(
        "serve", "--simulate", "--preset", "nexo", "--speed", "100", "--duration", "20s",
        *(word for fault in faults for word in ("--fault", fault)),
    )  # fmt: skip
    assert said.code == 0
    told = [line.strip() for line in said.out.splitlines() if "happened" in line]
    words = ("0 messages", "0 answers", "1 symbol", "0 connections")
    assert told == [
        f"{fault}: happened once, to {what}" for fault, what in zip(faults, words, strict=True)
    ]


def test_the_command_serves_until_it_is_interrupted() -> None:
    words = ["serve", "--simulate", "--preset", "nexo", "--speed", "50"]
    with subprocess.Popen(
        [sys.executable, "-m", "lobproof", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(4)]
            found = re.search(r"http://127\.0\.0\.1:\d+", lines[1])
            assert found, lines

            async def work(url: str) -> None:
                heard = await listen(
                    f"{url.replace('http', 'ws')}/ws/simusdt@bookTicker/simusdt@kline_1m", 1
                )
                assert len(heard.texts) == 1
                assert (await get(f"{url}/api/v3/ping")).body == {}

            within(work(found[0]))
        finally:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "connections 1" in out
    assert "asked for, but not served: simusdt@kline_1m" in out
