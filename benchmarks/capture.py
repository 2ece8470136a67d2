"""A capture under load: a server on one core, the session on another, nothing lost."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import web
from benchmarks.report import Budget, Section, number

from lobproof.capture.session import Session
from lobproof.serve.connection import frame
from lobproof.sources.binance.venue import venue_of

SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT")
RATE = 50_000
_LEVELS = ",".join(f'["{60_000 + k}.12000000","0.{k:02d}345000"]' for k in range(10))
_ROUND = 10
"""Messages of a symbol from one depth message to the next: five tickers and four trades follow."""
_BATCH_S = 0.002
_DATA = (
    "Data: **made up**, by templates: four symbols of spot, of ten messages one of depth (ten "
    "levels a side), five tickers and four trades, with ids that follow on each other. The server "
    "has a core of its own and writes what is due every 2 ms; capture has another: socket, "
    "parsing, ids, journals, compression."
)


def _rounds(symbol: str, now_us: int, at: int) -> Iterator[bytes]:
    """The frames of a symbol's round ``at``."""
    low = symbol.lower()
    yield frame(
        f'{{"stream":"{low}@depth@100ms","data":{{"e":"depthUpdate","E":{now_us},"s":"{symbol}",'
        f'"U":{at},"u":{at},"b":[{_LEVELS}],"a":[{_LEVELS}]}}}}'.encode()
    )
    for k in range(5):
        yield frame(
            f'{{"stream":"{low}@bookTicker","data":{{"u":{5 * at + k},"s":"{symbol}",'
            f'"b":"60000.12000000","B":"1.50000000","a":"60000.13000000","A":"0.70000000"}}}}'.encode()
        )
    for k in range(4):
        yield frame(
            f'{{"stream":"{low}@trade","data":{{"e":"trade","E":{now_us},"s":"{symbol}",'
            f'"t":{4 * at + k},"p":"60000.12000000","q":"0.01000000","T":{now_us},"m":true,'
            f'"M":true}}}}'.encode()
        )


def serve(seconds: float, rate: int) -> None:
    """Serve one client, print the port, and at the end what was sent and what it took."""
    asyncio.run(_serve(seconds, rate))


async def _serve(seconds: float, rate: int) -> None:
    done = asyncio.Event()
    sent = {"rounds": 0, "late_s": 0.0, "processor_s": 0.0}

    async def socket(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        assert request.transport is not None
        write, start, began = request.transport.write, time.monotonic(), time.process_time()
        whole = round(seconds * rate / _ROUND / len(SYMBOLS))
        at = 0
        while at < whole:
            due = min(int((time.monotonic() - start) * rate / _ROUND / len(SYMBOLS)) + 1, whole)
            due = min(due, at + 50)
            now_us = time.time_ns() // 1000
            write(
                b"".join(
                    one
                    for number_ in range(at + 1, due + 1)
                    for symbol in SYMBOLS
                    for one in _rounds(symbol, now_us, number_)
                )
            )
            at = due
            sent["rounds"] = at
            await asyncio.sleep(_BATCH_S)
        sent["late_s"] = time.monotonic() - start - seconds
        sent["processor_s"] = time.process_time() - began
        while request.transport.get_write_buffer_size():
            await asyncio.sleep(0.01)
        done.set()
        await asyncio.sleep(5.0)
        return ws

    async def depth(request: web.Request) -> web.Response:
        return web.json_response({"lastUpdateId": sent["rounds"], "bids": [], "asks": []})

    async def info(request: web.Request) -> web.Response:
        return web.json_response({"symbols": []}, headers={"X-Lobproof": "synthetic"})

    async def now(request: web.Request) -> web.Response:
        return web.json_response({"serverTime": time.time_ns() // 1_000_000})

    app = web.Application()
    app.router.add_get("/stream", socket)
    app.router.add_get("/api/v3/depth", depth)
    app.router.add_get("/api/v3/exchangeInfo", info)
    app.router.add_get("/api/v3/time", now)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await done.wait()
    print(json.dumps(sent), flush=True)
    await asyncio.sleep(3.0)
    await runner.cleanup()


async def _capture(url: str, out: Path, messages: int, seconds: float) -> dict[str, Any]:
    session = Session(SYMBOLS, venue_of("spot", url), out)
    used, began = time.process_time(), time.monotonic()
    lags: list[float] = []
    task = asyncio.create_task(session.run())
    got = 0
    while got < messages and time.monotonic() - began < 4 * seconds + 10 and not task.done():
        await asyncio.sleep(0.25)
        got = sum(one.messages.total() for one in session.figures.values())
        lags.append(max(one.lag_ns for one in session.figures.values()) / 1e9)
    processor, took = time.process_time() - used, time.monotonic() - began
    session.stop()
    result = await task
    return {
        "messages": sum(one.messages.total() for one in result.symbols.values()),
        "gaps": sum(one.gaps.total() for one in result.symbols.values()),
        "lost": sum(one.lines for one in result.lost.values()),
        "lines": sum(file.lines for files in result.files.values() for file in files),
        "disk": sum(file.bytes for files in result.files.values() for file in files),
        "processor_s": processor,
        "clock_s": took,
        "lag_s": sorted(lags)[len(lags) // 2],
        "worst_lag_s": max(lags),
    }


def _process(core: int, words: list[str]) -> subprocess.Popen[str]:
    """This module in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.capture", str(core), *words],
        stdout=subprocess.PIPE,
        text=True,
    )


def _pin(core: int) -> None:
    """Stay on one core, where there are several and the system lets us."""
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def measure(scratch: Path, seconds: float, say: Callable[[str], None]) -> Section:
    """``RATE`` messages a second for so many seconds."""
    section = Section("capture", "Capture under load", _DATA)
    messages = round(seconds * RATE / _ROUND / len(SYMBOLS)) * _ROUND * len(SYMBOLS)
    say(f"{messages:,} messages in {seconds:g} s")
    with _process(0, ["serve", str(seconds)]) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        words = ["capture", str(seconds), url, str(scratch / "capture"), str(messages)]
        with _process(1, words) as client:
            assert client.stdout is not None
            got = json.loads(client.stdout.read())
        sent = json.loads(server.stdout.read())
    each_us = got["processor_s"] / got["messages"] * 1e6
    section.table(
        f"{messages:,} messages in {seconds:g} s",
        ("what", "figure"),
        [
            ["messages stored", f"{got['messages']:,}"],
            ["messages lost", f"{messages - got['messages']:,}"],
            ["gaps", got["gaps"]],
            ["lines that could not be held", got["lost"]],
            ["seconds until all were there, the start included", number(got["clock_s"])],
            ["processor time a message, µs", number(each_us)],
            ["depth lag, median, s", number(got["lag_s"])],
            ["depth lag, worst, s", number(got["worst_lag_s"])],
            ["the server's processor time a message, µs",
             number(sent["processor_s"] / messages * 1e6)],
            ["the server was late by, s", number(sent["late_s"])],
            ["bytes of disk a message", number(got["disk"] / got["messages"])],
        ],
    )  # fmt: skip
    section.budgets += [
        Budget("messages lost", 0, "", messages - got["messages"], at_most=True),
        Budget("processor time a message", 1e6 / RATE, "µs", each_us, at_most=True),
    ]
    return section


def main() -> int:
    """The server's or the client's process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("core", type=int)
    parser.add_argument("side", choices=("serve", "capture"))
    parser.add_argument("seconds", type=float)
    parser.add_argument("rest", nargs="*")
    options = parser.parse_args()
    _pin(options.core)
    if options.side == "serve":
        serve(options.seconds, RATE)
        return 0
    url, out, messages = options.rest
    got = asyncio.run(_capture(url, Path(out), int(messages), options.seconds))
    print(json.dumps(got), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
