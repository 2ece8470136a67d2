"""Hours of a local exchange that does everything wrong: what it sent is there, what it lost marked.

The truth is kept apart from the capture: what the exchange handed to each connection, and its tape.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from lobproof.capture import lane
from lobproof.capture.pace import Pace
from lobproof.capture.session import Session, SessionResult
from lobproof.pipeline import reconstruct_sample
from lobproof.serve import LocalExchange, MarketName, Tape, simulated_tape
from lobproof.serve.connection import in_unit
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.venue import venue_of
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import PRESETS
from lobproof.store import open_store
from support.venue import truths

SYMBOLS = ("SIMUSDT", "SIM2USDT")
QUIET = replace(PRESETS["nexo"], warmup_s=60.0)
SPEED = 200.0
_ENDING = ("disconnect", "silent", "shutdown")
"""Faults after which a connection is another."""


class Handed(NamedTuple):
    """A message that a connection was handed."""

    stream: str
    payload: bytes


class Message(NamedTuple):
    """A message of the tape that has ids: the id before it, its last, the venue's time in ms."""

    previous: int
    final: int
    payload: bytes


@dataclass(slots=True)
class Log:
    """The exchange's own log."""

    by_conn: dict[int, list[Handed]] = field(default_factory=lambda: defaultdict(list))
    faults: Counter[str] = field(default_factory=Counter)
    cut: set[int] = field(default_factory=set)

    def sent(self, conn: int, stream: str, payload: bytes) -> None:
        """A message; what is of no symbol is left out."""
        if stream and not stream.startswith("!"):
            self.by_conn[conn].append(Handed(stream, payload))

    def fault(self, ts: int, fault: str, conn: int, key: str) -> None:
        """A fault."""
        kind = fault.partition("@")[0]
        status = fault.partition("status=")[2].partition(",")[0]
        self.faults[f"{kind} {status}".rstrip()] += 1
        if kind == "disconnect":
            self.cut.add(conn)


@dataclass(slots=True)
class Kept:
    """What the journal of a symbol holds."""

    messages: Counter[Handed] = field(default_factory=Counter)
    control: list[dict[str, Any]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def of(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Control lines of an event with these fields."""
        return [
            one
            for one in self.control
            if one["event"] == event and all(one[key] == value for key, value in fields.items())
        ]


@dataclass(slots=True)
class Hours:
    """A session, the exchange's log, and the journals."""

    market: MarketName
    tapes: list[Tape]
    result: SessionResult
    log: Log
    kept: dict[str, Kept]
    end_ns: int


def tapes_of(market: MarketName) -> list[Tape]:
    """Two quiet symbols."""
    made = []
    for seed, symbol in enumerate(SYMBOLS):
        made.append(simulated_tape(replace(QUIET, venue_symbol=symbol), market, seed))
    return made


def captured(
    out: Path, seconds: float, faults: Sequence[str], *, market: MarketName = "spot",
    speed: float = SPEED, lanes: int = 1, seed: int = 7,
) -> Hours:  # fmt: skip
    """Capture so many seconds of the venue, with these faults."""
    log, tapes = Log(), tapes_of(market)

    async def run() -> tuple[SessionResult, int]:
        async with LocalExchange(
            tapes, speed=speed, faults=faults, seed=seed, observer=log
        ) as exchange:
            session = Session(
                SYMBOLS, venue_of(market, exchange.url), out, lanes=lanes, pace=Pace(speed)
            )
            task = asyncio.create_task(session.run())
            await asyncio.wait({task}, timeout=seconds / speed)
            session.stop()
            result = await task
            return result, exchange.venue.latest_ns

    result, end_ns = asyncio.run(run())
    return Hours(
        market, tapes, result, log, {name: kept_in(out / name) for name in SYMBOLS}, end_ns
    )


def kept_in(folder: Path) -> Kept:
    """Read a symbol's journal."""
    kept = Kept(files=sorted((folder / "journal").iterdir()))
    for path in kept.files:
        for frame in read_frames(path):
            assert not isinstance(frame, Loss)
            for line in frame.splitlines():
                if b'"stream":"control"' in line:
                    kept.control.append(json.loads(line))
                    continue
                head, _, payload = line.partition(b',"data":')
                stream = head.partition(b'"stream":"')[2].partition(b'"')[0].decode()
                if not stream.endswith(("@snapshot", "@backfill")):  # of REST
                    kept.messages[Handed(stream, payload[:-1])] += 1
    return kept


def said(tape: Tape, kind: str, end_ns: int) -> Iterator[Message]:
    """All that the tape has of depth or trades, whoever listened."""
    for message in tape.messages():
        if message.ts > end_ns:
            return
        if message.key == tape.key(kind):
            data = json.loads(message.payload)
            if kind == "trade":
                yield Message(data["t"] - 1, data["t"], message.payload)
            else:
                yield Message(data.get("pu", data["U"] - 1), data["u"], message.payload)


def assert_stored_once(hours: Hours) -> None:
    """What was sent while connected is stored once, byte for byte; but what a broken TCP took."""
    stored = {key for kept in hours.kept.values() for key in kept.messages}
    assert all(set(kept.messages.values()) == {1} for kept in hours.kept.values())
    handed = {one for of_conn in hours.log.by_conn.values() for one in of_conn}
    assert stored <= handed
    open_at_the_end = max(hours.log.by_conn)
    taken = 0
    for conn, of_conn in hours.log.by_conn.items():
        missing = [one not in stored for one in of_conn]
        first = missing.index(True) if True in missing else len(missing)
        assert all(missing[first:]), "a message was lost that others came behind"
        if conn not in hours.log.cut and conn < open_at_the_end - 1:
            assert first == len(missing), "a connection that was not broken lost its last messages"
        taken += len(missing) - first
    assert taken <= len(handed) / 20
    for symbol, kept in hours.kept.items():
        assert all(one.stream.startswith(f"{symbol.lower()}@") for one in kept.messages)


def assert_gaps_marked(hours: Hours) -> None:
    """Every message that is missing lies in a gap that is marked; no mark is without a cause."""
    for tape in hours.tapes:
        kept = hours.kept[tape.symbol]
        for kind in ("depth", "trade"):
            marks = [(one["after"], one["before"]) for one in kept.of("gap", of=kind)]
            ids = sorted(
                _final(kind, one.payload)
                for one in kept.messages
                if one.stream.split("@")[1] == kind
            )
            stored = set(ids)
            ours = [one for one in said(tape, kind, hours.end_ns) if ids[0] < one.final < ids[-1]]
            missing = [one for one in ours if one.final not in stored]
            for one in missing:
                assert any(after <= one.previous and one.final < before for after, before in marks)
            figures = hours.result.symbols[tape.symbol]
            causeless = [
                (after, before)
                for after, before in marks
                if not any(after <= one.previous and one.final < before for one in missing)
            ]
            assert len(causeless) <= figures.late.get(kind, 0)
            assert len(marks) == figures.gaps.get(kind, 0)


def _final(kind: str, payload: bytes) -> int:
    return int(json.loads(payload)["u" if kind == "depth" else "t"])


def assert_book_is_the_venues(hours: Hours, tmp_path: Path, looks: int, least: float) -> None:
    """Where the rebuilt book says that it can be trusted, each level is the venue's.

    ``looks``: instants to look at; ``least``: the share of them with a book to trust.
    """
    for tape in hours.tapes:
        folder = tmp_path / tape.symbol
        sample = import_recordings(hours.kept[tape.symbol].files, folder / "golden")
        assert sample.provenance == "synthetic"
        reconstruct_sample(sample.path, folder / "store")
        store = open_store(folder / "store")
        heard = store.coverage().select(pl.col("first", "last").cast(pl.Int64))
        begin = int(heard["first"].drop_nulls().to_numpy().min())
        end = int(heard["last"].drop_nulls().to_numpy().max())
        step = (end - begin) // looks
        views = {
            view.sequence: view
            for view in store.books_at(range(begin + step // 2, end, step))
            if view.usable
        }
        assert len(views) > least * looks, "the book is in doubt nearly always"
        seen = 0
        for number, book in truths(tape, hours.end_ns, set(views)):
            for side, found in (("b", views[number].bids), ("a", views[number].asks)):
                known = {row["price"]: row["size"] for row in found.to_dicts() if row["trusted"]}
                best = sorted(book[side].items(), reverse=side == "b")[: len(known)]
                assert dict(best) == known, (tape.symbol, number, side)
                assert known
            seen += 1
        assert seen == len(views)


def faults_every(minutes: float, refused: str = "10s") -> list[str]:
    """All kinds of faults, each about so often, and a shutdown that is announced.

    ``refused``: for how long REST answers an error.
    """
    every = f"every={60 * minutes:g}s±{30 * minutes:g}s"
    return [
        f"disconnect@{every}",
        f"shutdown@{96 * minutes:g}s,lead=90s",
        f"silent@{every},for=150s,stream=depth,symbol=SIMUSDT",
        f"double@{every},n=3",
        f"reorder@{every},n=2,symbol=SIMUSDT",
        f"drop@{every},n=2,stream=depth,symbol=SIMUSDT",
        f"drop@{every},n=1,stream=trade",
        f"stale@{every},n=2",
        f"late@{every},by=4s",
        f"rest@{every},status=429,retry-after=5,for={refused}",
        f"rest@{every},status=418,retry-after=20,for={refused}",
        f"rest@{every},status=503,for={refused}",
        f"garbage@{every},n=2",
    ]


MESSAGE_FAULTS = ("silent", "double", "reorder", "drop")
KINDS = ("disconnect", "shutdown", *MESSAGE_FAULTS, "stale", "late", "garbage")
STATUSES = ("rest 429", "rest 418", "rest 503")


def assert_all_happened(hours: Hours, kinds: Sequence[str]) -> None:
    """A proof without the faults is none; of each kind the count is shown."""
    counts = {kind: hours.log.faults[kind] for kind in kinds}
    print(counts)
    assert all(counts.values()), counts


def prove(hours: Hours, tmp_path: Path, looks: int, least: float) -> None:
    """All that is claimed of a session with faults."""
    assert_stored_once(hours)
    assert_gaps_marked(hours)
    assert_book_is_the_venues(hours, tmp_path, looks, least)
    assert hours.result.lost == {}


@pytest.mark.parametrize("market", ["spot", pytest.param("usdm", marks=pytest.mark.slow)])
def test_minutes_of_all_faults(
    tmp_path: Path, market: MarketName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast part of the thirty hours: sockets are handed over every few minutes."""
    monkeypatch.setattr(lane, "LIFE_S", 420.0)
    hours = captured(tmp_path / "day", 1_400.0, faults_every(5.0), market=market)
    assert hours.kept["SIMUSDT"].of("disconnected", why="handed over")
    assert_all_happened(hours, KINDS)
    assert any(hours.log.faults[one] for one in STATUSES)
    # the faster the venue's time, the longer an answer takes in it: of a few minutes so full of
    # faults little may be left to trust, but what is left must be right
    prove(hours, tmp_path, 600, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12])
def test_thirty_hours_of_all_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """What ends a connection is within the first five hours: the last one lives for 23.5."""
    # a pause of this process by a second is one of minutes for the venue
    monkeypatch.setitem(lane.IDLE_S, b"depth", 540.0)
    monkeypatch.setitem(lane.IDLE_S, b"bookTicker", 3_600.0)
    chance = random.Random(seed)
    ends = [f"disconnect@{chance.randrange(60, 18_000)}s" for _ in range(25)]
    ends += [
        f"silent@{chance.randrange(60, 17_000)}s,for=12m,stream=depth,symbol=SIMUSDT"
        for _ in range(6)
    ]
    ends += ["shutdown@2h,lead=2m", "shutdown@4h,lead=2m"]
    others = [
        one for one in faults_every(40.0, "3m") if one.partition("@")[0] not in _ENDING
    ]  # fmt: skip
    hours = captured(tmp_path / "day", 30 * 3600.0, [*ends, *others], speed=SPEED, seed=seed)
    assert_all_happened(hours, (*KINDS, *STATUSES))
    assert hours.kept["SIMUSDT"].of("silent")
    for symbol, figures in hours.result.symbols.items():
        print(symbol, figures.messages, figures.gaps, figures.late, figures.stale)
    print(hours.result.events)
    prove(hours, tmp_path, 2_000, 0.4)
    opened = {one["conn"]: one["mono_ns"] for one in hours.kept["SIMUSDT"].of("connected")}
    ages = [
        (one["mono_ns"] - opened[one["conn"]]) / 1e9 * SPEED
        for one in hours.kept["SIMUSDT"].of("disconnected", why="handed over")
    ]
    assert max(ages) >= lane.LIFE_S


def test_a_hit_symbol_leaves_the_other_untouched(tmp_path: Path) -> None:
    """Faults of one symbol's messages: of the other nothing is missing, late or doubtful."""
    faults = [
        f"{kind}@every=3m±1m,symbol=SIMUSDT,{rest}"
        for kind, rest in (
            ("drop", "n=3"), ("double", "n=3"), ("reorder", "n=2"), ("silent", "for=150s"),
            ("stale", "n=2"), ("late", "by=5s"),
        )
    ]  # fmt: skip
    hours = captured(tmp_path / "day", 1_400.0, faults)
    assert_all_happened(hours, MESSAGE_FAULTS)
    assert_stored_once(hours)
    assert_gaps_marked(hours)
    assert hours.kept["SIMUSDT"].of("silent")
    assert hours.result.symbols["SIMUSDT"].gaps["depth"] > 3
    other = hours.result.symbols["SIM2USDT"]
    assert (other.gaps, other.late, other.stale) == ({}, {}, 0)


BUSY = replace(PRESETS["btc"], rate=300.0, venue_symbol="SIMUSDT")


class Losses(NamedTuple):
    """Messages that the exchange had, those that each socket lost, and those that both did."""

    messages: int
    each: tuple[int, int]
    both: int


def losses_of(tmp_path: Path, share: float, seconds: float) -> Losses:
    """Capture by two sockets, each of which loses this share of all messages at random."""
    log, tape = Log(), simulated_tape(BUSY, "spot", 3)
    drops = [f"drop@1ms,share={share},for=100h,conn={conn}" for conn in (1, 2)]

    async def run() -> SessionResult:
        async with LocalExchange([tape], speed=20.0, faults=drops, observer=log) as exchange:
            session = Session(
                ["SIMUSDT"], venue_of("spot", exchange.url), tmp_path / "day", lanes=2,
                pace=Pace(20.0),
            )  # fmt: skip
            task = asyncio.create_task(session.run())
            await asyncio.wait({task}, timeout=seconds)
            session.stop()
            return await task

    result = asyncio.run(run())
    kept = kept_in(tmp_path / "day" / "SIMUSDT")
    assert len(log.by_conn) == 2, "a socket was replaced: the drops are of the first two"
    stored = {one.payload for one in kept.messages}
    handed = [{one.payload for one in of_conn} for of_conn in log.by_conn.values()]
    all_said: list[bytes] = []
    listening = 0
    for message in tape.messages():
        if message.key.partition("@")[2] not in ("depth", "trade", "bookTicker"):
            continue
        payload = in_unit(message.payload, micro=True)
        if not all_said and listening < 2:
            listening = sum(payload in of_conn for of_conn in handed)
        if listening == 2:  # a message that both were handed: both are open
            all_said.append(payload)
        if len(all_said) > sum(map(len, handed)):
            break
    last = max(at for at, payload in enumerate(all_said) if payload in stored)
    whole = all_said[: last - 500]  # behind it one socket may still have been on its way
    assert result.lost == {}
    one, other = (sum(payload not in of_conn for payload in whole) for of_conn in handed)
    return Losses(len(whole), (one, other), sum(payload not in stored for payload in whole))


def assert_product(found: Losses, share: float) -> None:
    """Each count is within four standard deviations of what independent drops give."""
    for count, chance in ((found.both, share**2), *((one, share) for one in found.each)):
        expected = found.messages * chance
        assert abs(count - expected) <= 4 * (expected * (1 - chance)) ** 0.5, found


def test_two_sockets_lose_the_product_of_what_each_loses(tmp_path: Path) -> None:
    found = losses_of(tmp_path, 0.1, 4.0)
    assert found.messages > 5_000
    assert found.both > 0
    assert_product(found, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.03, 0.1])
def test_small_shares_of_two_sockets_multiply_too(tmp_path: Path, share: float) -> None:
    found = losses_of(tmp_path, share, 30.0)
    print(share, found)
    assert found.messages > 40_000
    assert_product(found, share)
