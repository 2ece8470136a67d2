"""``lobproof capture`` as a user runs it, against ``lobproof serve`` in a process of its own."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lobproof.capture.minutes import Minutes
from lobproof.capture.schedule import next_window
from lobproof.cli import capture as module
from lobproof.errors import UsageError
from lobproof.serve import LocalExchange, simulated_tape
from lobproof.sources.binance.venue import MarketName, venue_of
from lobproof.sources.captured import SESSION
from lobproof.sources.simulator import PRESETS
from lobproof.timespan import DAY_NS, to_ns
from support.commands import command, on_terminal, refused
from support.kills import COMMAND, Process, running
from support.served import served

MINUTE_NS = 60_000_000_000


@pytest.fixture(scope="module")
def spot() -> Iterator[str]:
    """A spot exchange with two symbols at five times the pace of ours."""
    with served("--preset", "nexo", "--symbols", "2", "--speed", "5") as url:
        yield url


@pytest.mark.parametrize(
    ("market", "symbol", "exchange"),
    [
        ("spot", "SIMUSDT", "BINANCE"),
        pytest.param("usdm", "SIMUSDT", "BINANCE_FUTURES", marks=pytest.mark.slow),
        pytest.param("coinm", "SIMUSD_PERP", "BINANCE_DELIVERY", marks=pytest.mark.slow),
    ],
)
def test_the_whole_way(tmp_path: Path, market: MarketName, symbol: str, exchange: str) -> None:
    """Capture, import, reconstruct, verify: exact, on each market with its own tiers and rules."""
    out = tmp_path / "session"
    with served("--market", market, "--speed", "10") as url:
        said = command(
            *("capture", symbol.lower(), "--venue", market, "--endpoint", url, "--out", out),
            *("--duration", "6s", "--redundancy", "2", "--regime", "calm", "--json"),
        )
    assert said.code == 0, said
    (session,) = said.document["sessions"]
    figures = session["symbols"][symbol]
    wanted = {kind.partition("@")[0] for kind in venue_of(market).profile.kinds}
    assert figures["messages"].keys() == wanted - {"forceOrder"}  # of which the simulator has none
    assert min(figures["messages"].values()) > 3
    assert (figures["gaps"], figures["snapshots"]) == ({}, 1)
    assert (session["provenance"], session["regime"]) == ("synthetic", "calm")
    assert figures["regime"] == {"detected": "unknown", "minutes": 0, "messages_a_minute": 0.0}
    document = json.loads((out / SESSION).read_text())
    assert (document["state"], document["market"], document["regime"]) == ("ended", market, "calm")
    golden, store = tmp_path / "golden", tmp_path / "store"
    made = command("import", out, "--out", golden, "--json")
    assert made.code == 0, made
    assert (made.document["provenance"], made.document["exchange"]) == ("synthetic", exchange)
    assert command("reconstruct", golden, "--out", store).code == 0
    verdict = command("verify", store, "--against", golden, "--json")
    assert verdict.code == 0, verdict.out


def test_the_venue_is_asked_for_its_symbols_once(tmp_path: Path) -> None:
    """A start is three requests: exchangeInfo, a snapshot, the time."""
    out = tmp_path / "session"

    async def run() -> int:
        tape = simulated_tape(PRESETS["nexo"], "spot", 3)
        async with LocalExchange([tape], speed=5.0) as exchange:
            words = ("capture", "SIMUSDT", "--endpoint", exchange.url, "--out", out)
            with running(COMMAND, *words, "--duration", "3s") as process:
                _, error = await asyncio.to_thread(process.communicate)
            assert process.returncode == 0, error
            return exchange.venue.counts["requests"]

    assert asyncio.run(run()) == 3
    assert json.loads((out / SESSION).read_text())["provenance"] == "synthetic"
    listed = json.loads((out / "exchangeInfo.json").read_text())["symbols"]
    assert [one["symbol"] for one in listed] == ["SIMUSDT"]


@contextmanager
def capturing(url: str, out: Path, *words: object) -> Iterator[Process]:
    """A capture, a process of its own, of which the first messages are on disk."""
    wanted = ("capture", "SIMUSDT", "--endpoint", url, "--out", out, *words)
    with running(COMMAND, *wanted) as process:
        deadline = time.monotonic() + 60
        while not list(out.glob("**/journal/*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(2.0)
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(tmp_path: Path, spot: str, number: signal.Signals) -> None:
    out = tmp_path / "session"
    with capturing(spot, out) as process:
        process.send_signal(number)
        said, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert "Ending" in error
    assert f"Next: lobproof import {out}/SIMUSDT --out GOLDEN" in error
    assert re.search(r"SIMUSDT +[1-9][0-9,]* ", said)
    assert json.loads((out / SESSION).read_text())["state"] == "ended"


def test_a_second_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    """Where the exchange does not let go; what was written before is whole."""
    out = tmp_path / "session"
    with (
        served("--preset", "nexo", "--fault", "stall@3s,for=1h", "--wait") as url,
        capturing(url, out) as process,
    ):
        time.sleep(2.0)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode == 130
    assert json.loads((out / SESSION).read_text())["state"] == "running"
    journals = list((out / "SIMUSDT" / "journal").iterdir())
    assert command("import", *journals, "--out", tmp_path / "golden").code == 0


def test_what_cannot_begin_is_said_in_words(tmp_path: Path, spot: str) -> None:
    out = tmp_path / "session"
    there = ("--endpoint", spot, "--out", out)
    unreachable = ("--endpoint", "http://127.0.0.1:9", "--out", out)
    refused("spot has no symbol SIMUSD\n.*did you mean SIMUSDT", "capture", "SIMUSD", *there)
    refused("spot has no symbol QQQ\n.*it has 2, such as", "capture", "qqq", *there)
    refused("'../X' is no symbol", "capture", "../x", *there)
    refused("SIMUSDT is named 2 times", "capture", "SIMUSDT", "simusdt", *there)
    refused("answers 404", "capture", "SIMUSDT", "--venue", "usdm", *there)
    refused("cannot be reached: Connect", "capture", "SIMUSDT", *unreachable)
    refused("is no endpoint", "capture", "SIMUSDT", "--endpoint", "host", "--out", out)
    refused("spot has no depth faster", "capture", "SIMUSDT", *there, "--fast-depth")
    refused(r"'a\\nb' is no regime", "capture", "SIMUSDT", *there, "--regime", "a\nb")
    refused("spot has no RPI depth", "capture", "SIMUSDT", *there, "--rpi")
    refused("0 sockets side by side", "capture", "SIMUSDT", *there, "--redundancy", "0")
    refused("is over", "capture", "SIMUSDT", *there, "--until", "2020-01-01")
    refused("no length of time", "capture", "SIMUSDT", *there, "--duration", "soon")
    refused("no schedule", "capture", "SIMUSDT", *there, "--schedule", "25:00-26:00")
    assert not out.exists()
    out.mkdir()
    refused("is there already", "capture", "SIMUSDT", *there)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (451, "from another region"),
        (403, "from another region"),
        (418, "wait 7 s"),
        (429, "wait 7 s"),
        (503, "again later"),
    ],
)
def test_a_venue_that_refuses(tmp_path: Path, status: int, hint: str) -> None:
    fault = f"rest@1s,status={status},retry-after=7,for=1h"
    with served("--speed", "100", "--fault", fault) as url:
        time.sleep(0.1)
        error = refused(
            f"answers {status}", "capture", "SIMUSDT", "--endpoint", url, "--out", tmp_path / "s"
        )
    assert hint in error


def test_a_session_without_a_message_is_an_error(tmp_path: Path) -> None:
    with served("--preset", "nexo", "--speed", "20", "--fault", "silent@1s,for=1h") as url:
        time.sleep(2.0)  # what came before the silence has been sent by then
        error = refused(
            "no message of SIMUSDT came",
            *("capture", "SIMUSDT", "--endpoint", url, "--out", tmp_path / "s"),
            *("--duration", "2s", "--json"),
        )
    assert "session.json says what happened" in error


@pytest.mark.parametrize(
    ("schedule", "now", "start", "end"),
    [
        ("us-open", "2026-01-05T12:00", "2026-01-05T14:30", "2026-01-05T21:00"),
        ("us-open", "2026-01-05T20:59", "2026-01-05T14:30", "2026-01-05T21:00"),
        ("us-open", "2026-03-06T21:00", "2026-03-09T13:30", "2026-03-09T20:00"),
        ("us-open", "2026-07-03T20:00", "2026-07-06T13:30", "2026-07-06T20:00"),
        ("weekend", "2026-01-08T00:00", "2026-01-10T00:00", "2026-01-12T00:00"),
        ("weekend", "2026-01-11T23:59", "2026-01-10T00:00", "2026-01-12T00:00"),
        ("weekend", "2026-01-12T00:00", "2026-01-17T00:00", "2026-01-19T00:00"),
        ("23:00-01:00", "2026-01-12T00:30", "2026-01-11T23:00", "2026-01-12T01:00"),
        ("23:00-01:00", "2026-01-12T01:00", "2026-01-12T23:00", "2026-01-13T01:00"),
    ],
)
def test_windows_by_the_clock_of_their_place(schedule: str, now: str, start: str, end: str) -> None:
    assert next_window(schedule, to_ns(now)) == (to_ns(start), to_ns(end))


@pytest.mark.parametrize("schedule", ["", "monday", "10:00-10:00", "24:00-25:00", "9:30-16:00"])
def test_what_is_no_schedule(schedule: str) -> None:
    with pytest.raises(UsageError, match="is no schedule"):
        next_window(schedule, 0)


def test_a_schedule_makes_a_session_of_each_window(
    tmp_path: Path, spot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock of which an hour takes 1 s: two windows of two days, waited for."""
    began, start = time.monotonic(), to_ns("2026-01-05T11:30")
    monkeypatch.setattr(
        module, "now_ns", lambda: start + round((time.monotonic() - began) * 3600e9)
    )
    out = tmp_path / "days"
    said = command(
        *("capture", "SIMUSDT", "--endpoint", spot, "--out", out, "--schedule", "12:00-19:00"),
        *("--until", "2026-01-06T18:00", "--json"),
    )
    assert said.code == 0, said
    first, second = said.document["sessions"]
    assert said.err.count("Waiting: the window opens at 2026-01-0") == 2
    assert (first["regime"], second["regime"]) == ("12:00-19:00",) * 2
    for session, day in ((first, "2026-01-05T12"), (second, "2026-01-06T12")):
        folder = Path(session["folder"])
        assert folder.parent == out
        assert folder.name.startswith(day)
        assert sum(session["symbols"]["SIMUSDT"]["messages"].values()) > 0
        assert json.loads((folder / SESSION).read_text())["state"] == "ended"
    refused(
        "opens at 2026-01-07 12:00:00.000 UTC, and all ends before",
        *("capture", "SIMUSDT", "--endpoint", spot, "--out", out, "--schedule", "12:00-13:00"),
        *("--duration", "1h"),
    )


def test_the_screen_fits_80_columns(
    tmp_path: Path, spot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    code, shown = on_terminal(
        *("capture", "SIMUSDT", "SIM2USDT", "--endpoint", spot, "--out", tmp_path / "s"),
        *("--duration", "3s"),
    )
    assert code == 0, shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(map(len, re.split(r"[\r\n]+", plain.replace(str(tmp_path), "")))) <= 80
    for text in ("messages/s", "depth lag", "SIM2USDT", "0:00:00 left", "open", "GB free"):
        assert text in plain
    golden = ("--out", tmp_path / "golden")
    refused("is a capture of 2 symbols\n.*s/SIM2USDT", "import", tmp_path / "s", *golden)
    assert command("import", tmp_path / "s" / "SIM2USDT", *golden).code == 0


def test_without_a_terminal_a_line_a_minute(
    tmp_path: Path, spot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINE_S", 2.0)
    said = command(
        *("capture", "SIMUSDT", "--endpoint", spot, "--out", tmp_path / "s", "--duration", "8s")
    )
    assert said.code == 0, said
    lines = [line for line in said.err.splitlines() if "messages/s" in line]
    assert 2 <= len(lines) <= 4
    assert re.search(
        r"UTC: \d+ messages/s, 0 gaps, .* 1 of 1 sockets open, disk .* left", lines[-1]
    )


def test_lost_trades_and_what_rest_made_of_them_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINE_S", 0.5)
    words = ("--preset", "btc", "--speed", "5", "--fault", "drop@4s,n=2,stream=trade", "--wait")
    with served(*words) as url:
        said = command(
            *("capture", "SIMUSDT", "--endpoint", url, "--out", tmp_path / "s"),
            *("--duration", "4s"),
        )
    assert said.code == 0, said
    told = "lost trades: 2 asked of REST, 2 got, 0 refused"
    assert f"SIMUSDT: {told}\n" in said.out
    lines = [line for line in said.err.splitlines() if "messages/s" in line]
    assert told in lines[-1]


def _minutes(rates: list[int], wide: frozenset[int] = frozenset()) -> dict[str, Any]:
    """Of minutes with so many tickers each; in wide ones the spread leaps."""
    minutes = Minutes()
    for minute, rate in enumerate([1, *rates, 1]):  # the first and last are not whole
        for k in range(rate):
            leap = (10 if minute - 1 in wide else 1) * (k // 2 % 2)
            ticker = b'{"u":1,"s":"X","b":"100.0","B":"1","a":"%d.5","A":"1"}' % (101 + leap)
            at = minute * MINUTE_NS + k * MINUTE_NS // max(rate, 1)
            minutes.take(b"bookTicker", ticker, DAY_NS + at)
    return minutes.to_dict()


def test_minutes_are_held_against_the_median() -> None:
    even = _minutes([100] * 12)
    assert (even["detected"], even["minutes"], even["messages_a_minute"]) == ("even", 12, 100)
    assert even["spread_deviation_bp"] > 0
    assert _minutes([100] * 9)["detected"] == "unknown"
    assert _minutes([0] * 20)["detected"] == "unknown"
    uneven = _minutes([100] * 8 + [20, 0, 300, 200])
    assert (uneven["detected"], uneven["quiet"], uneven["busy"]) == ("uneven", 2, 2)
    event = [100] * 10 + [500, 500] + [100] * 3
    assert _minutes(event)["detected"] == "even"  # busy alone is no event
    assert _minutes(event, frozenset({10}))["detected"] == "even"
    assert _minutes(event, frozenset({10, 11}))["detected"] == "event"
    assert _minutes([])["minutes"] == 0


def test_minutes_of_messages_that_tell_no_touch() -> None:
    minutes = Minutes()
    for minute in range(14):
        for payload in (b"{}", b'"b":"...","B":"1","a":".","A":"1"', b'"b":"2","B":"1","a":"1"'):
            minutes.take(b"bookTicker", payload, minute * MINUTE_NS)
    assert minutes.to_dict()["detected"] == "even"
    minutes.take(b"depth", b"", 10**19)  # a clock that leaps
    assert minutes.to_dict()["minutes"] < 2_000
