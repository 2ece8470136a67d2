"""``lobproof serve``."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from lobproof.cli.console import Json, Switch, clock, err, out, print_json, progress
from lobproof.errors import UsageError
from lobproof.serve import (
    PROFILES,
    LocalExchange,
    MarketName,
    Tape,
    parse_fault,
    recorded_tape,
    simulated_tape,
)
from lobproof.serve.faults import ON_DEPTH_ANSWERS, ON_MESSAGES
from lobproof.sources.simulator import market_config
from lobproof.timespan import duration_ns, to_ns

_MOST_SYMBOLS = 200


def serve(
    *golden: Path,
    simulate: Switch = False,
    preset: Literal["btc", "eth", "nexo", "perp"] | None = None,
    market: MarketName | None = None,
    symbols: str = "1",
    seed: int = 7,
    host: str = "127.0.0.1",
    port: int = 0,
    speed: float = 1.0,
    start: str | None = None,
    duration: str | None = None,
    fault: Annotated[Sequence[str], Parameter(negative=(), show_default=False)] = (),
    wait: Switch = False,
    json_: Json = False,
) -> int:
    """Serve a recording or a simulated market as Binance would: REST, WebSockets, and faults.

    It runs until it is interrupted, or until there is nothing more to serve. Everything timed
    (pings, limits, faults) runs in the venue's time. Whatever it says of a simulated market is
    synthetic: its answers carry `X-Lobproof: synthetic`, those of a recording `recorded`.

    Parameters
    ----------
    golden
        Golden samples to serve, of one market.
    simulate
        Serve simulated markets instead.
    preset
        Character of the simulated markets; by default btc, of futures perp.
    market
        By default spot, or what the golden samples are of.
    symbols
        How many simulated symbols, or their names with commas between.
    seed
        The same seed gives the same messages and faults.
    host
        Address to serve at.
    port
        0 takes any that is free.
    speed
        How fast the venue's time passes.
    start
        Venue's time to begin at, UTC; by default where the samples begin.
    duration
        Venue's time to serve, such as 10m or 1h.
    fault
        What goes wrong, as KIND@WHEN[,key=value...], such as drop@90s,n=3,stream=depth.
    wait
        Let the venue's time begin with the first connection.
    json_
        Print the summary as JSON, and the address on standard error.
    """
    faults = [parse_fault(text) for text in fault]
    length = None if duration is None else duration_ns(duration)
    begin = None if start is None else to_ns(start)
    if golden and not simulate:
        tapes = [recorded_tape(path) for path in golden]
        if market not in (None, tapes[0].market):
            raise UsageError(
                f"{golden[0]} is of the market {tapes[0].market}, not of {market}",
                hint="leave --market out",
            )
    elif simulate and not golden:
        tapes = _simulated(symbols, preset, market or "spot", seed, start)
        begin = None
    else:
        raise UsageError(
            "either golden samples or a simulated market",
            hint="name folders that `lobproof import` made, or give --simulate",
        )
    with progress("opening"):
        exchange = LocalExchange(
            tapes,
            host=host,
            port=port,
            speed=speed,
            start_ns=begin,
            duration_ns=length,
            faults=faults,
            seed=seed,
            waits=wait,
        )

    async def until_the_end() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with exchange:
            screen = err() if json_ else out()
            for line in _addresses(exchange.url, exchange.ws_url, tapes):
                screen.print(line, soft_wrap=True)
            sys.stdout.flush()
            stopped = asyncio.create_task(stop.wait())
            ended = asyncio.create_task(exchange.finished())
            await asyncio.wait([stopped, ended], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if ended.done():
                ended.result()
            ended.cancel()

    asyncio.run(until_the_end())
    venue = exchange.venue
    summary = {
        "provenance": venue.provenance,
        "market": venue.profile.market,
        "symbols": list(venue.symbols),
        "from": clock(venue.clock.start_ns),
        "to": clock(venue.latest_ns),
        "counts": dict(venue.counts),
        "faults": {text: dict(counts) for text, counts in venue.fault_counts.items()},
        "asked_for_but_not_served": sorted(venue.silent),
    }
    if json_:
        print_json(summary)
    else:
        _show(summary)
    return 0


def _simulated(
    symbols: str, preset: str | None, market: MarketName, seed: int, start: str | None
) -> list[Tape]:
    futures = market != "spot"
    config = market_config(
        preset or ("perp" if futures else "btc"),
        start=start or "2026-01-05T00:00:00Z",
        market="futures" if futures else "spot",
    )
    ending = "USD_PERP" if market == "coinm" else "USDT"
    names = symbols.upper().split(",")
    if symbols.isascii() and symbols.isdigit():
        names = [f"SIM{k or ''}{ending}" for k in (0, *range(2, 1001))]
        names = names[: int(symbols)]
    if not 0 < len(names) <= _MOST_SYMBOLS:
        raise UsageError(
            f"{symbols} symbols cannot be simulated",
            hint=f"give 1 to {_MOST_SYMBOLS}, or names with commas between",
        )
    return [
        simulated_tape(replace(config, venue_symbol=name), market, seed + k)
        for k, name in enumerate(names)
    ]


def _addresses(url: str, ws_url: str, tapes: Sequence[Tape]) -> list[str]:
    first = tapes[0]
    low, market = first.symbol.lower(), first.market
    tier = "" if PROFILES[market].plain else "/public"
    rest = PROFILES[market].rest
    return [
        f"Serving {', '.join(tape.symbol for tape in tapes)} ({first.provenance}, {market})",
        f"  {url}{rest}/depth?symbol={first.symbol}&limit=1000",
        f"  {ws_url}{tier}/stream?streams={low}@depth@100ms/{low}@trade/{low}@bookTicker",
        "Ctrl-C ends it.",
    ]


def _befallen(kind: str, count: int) -> str:
    """What a fault of this kind happens to, and to how many of them."""
    one = "connection"
    if kind in ON_MESSAGES:
        one = "message"
    elif kind in ON_DEPTH_ANSWERS or kind == "rest":
        one = "answer"
    elif kind == "reset":
        one = "symbol"
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def _show(summary: dict[str, Any]) -> None:
    screen = out()
    counts = ", ".join(f"{name} {count:,}" for name, count in summary["counts"].items())
    screen.print(
        f"Served {summary['from']} to {summary['to']} UTC ({summary['provenance']}): "
        f"{counts or 'nobody came'}",
        soft_wrap=True,
    )
    for text, told in summary["faults"].items():
        happened, done = told.get("happened", 0), told.get("done", 0)
        times = "once" if happened == 1 else f"{happened:,} times"
        what = _befallen(text.partition("@")[0], done)
        screen.print(f"  {text}: happened {times}, to {what}", soft_wrap=True)
    if silent := summary["asked_for_but_not_served"]:
        screen.print(f"  asked for, but not served: {', '.join(silent)}", "yellow", soft_wrap=True)
