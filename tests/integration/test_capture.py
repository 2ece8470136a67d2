"""Captures of a local exchange: what it sent is stored once, byte for byte; losses are known."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lobproof.capture import lane
from lobproof.capture.journals import LiveJournals
from lobproof.capture.pace import Pace
from lobproof.capture.session import Session, SessionResult
from lobproof.errors import UsageError
from lobproof.fidelity.exact import verify
from lobproof.pipeline import reconstruct_sample
from lobproof.serve import LocalExchange, recorded_tape, simulated_tape
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.venue import Venue, venue_of
from lobproof.sources.captured import SESSION
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import PRESETS, simulate
from lobproof.store import open_store

RATE = 100.0
MARKET = replace(PRESETS["btc"], rate=RATE)
SYMBOL = MARKET.venue_symbol


@dataclass(slots=True)
class Sent:
    """What the exchange handed to its connections, in order, and the faults that it did."""

    by_conn: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    faults: Counter[str] = field(default_factory=Counter)

    def sent(self, conn: int, stream: str, payload: bytes) -> None:
        """A message; that the venue shuts down goes to the journal of what is no symbol's."""
        if stream and b"serverShutdown" not in payload:
            self.by_conn[conn].append(payload)

    def fault(self, ts: int, fault: str, conn: int, key: str) -> None:
        """A fault."""
        self.faults[fault] += 1


@dataclass(slots=True)
class Captured:
    """A session's result, what was sent, and what its journal holds."""

    result: SessionResult
    sent: Sent
    out: Path
    payloads: Counter[bytes] = field(default_factory=Counter)
    control: list[dict[str, object]] = field(default_factory=list)
    depth_ids: list[int] = field(default_factory=list)

    def read(self) -> Captured:
        """Read the journal."""
        for path in sorted((self.out / SYMBOL / "journal").iterdir()):
            for frame in read_frames(path):
                assert not isinstance(frame, Loss)
                for line in frame.splitlines():
                    self._take(line)
        return self

    def _take(self, line: bytes) -> None:
        if b'"stream":"control"' in line:
            self.control.append(json.loads(line))
            return
        head, _, payload = line.partition(b',"data":')
        if b"@snapshot" not in head:
            self.payloads[payload[:-1]] += 1
        if b"@depth" in head:
            self.depth_ids.append(json.loads(payload[:-1])["u"])

    def count(self, event: str, **fields: object) -> int:
        """Control lines of an event with these fields."""
        return sum(
            one["event"] == event and all(one.get(k) == v for k, v in fields.items())
            for one in self.control
        )


def venue_at(exchange: LocalExchange) -> Venue:
    """A spot venue at the exchange's address."""
    return venue_of("spot", exchange.url)


def capture(
    tmp_path: Path, seconds: float, *faults: str, speed: float = 20.0, lanes: int = 1
) -> Captured:
    """Capture so many seconds (of ours) of a simulated exchange with these faults."""
    sent, out = Sent(), tmp_path / "session"

    async def run() -> SessionResult:
        tape = simulated_tape(MARKET, "spot", 3)
        async with LocalExchange([tape], speed=speed, faults=faults, observer=sent) as exchange:
            session = Session([SYMBOL], venue_at(exchange), out, lanes=lanes, pace=Pace(speed))
            task = asyncio.create_task(session.run())
            await asyncio.wait({task}, timeout=seconds)
            session.stop()
            return await task

    return Captured(asyncio.run(run()), sent, out).read()


def assert_nothing_lost(got: Captured) -> None:
    """Each message that a connection was handed is stored, but for the last before it was cut."""
    assert max(got.payloads.values()) == 1
    handed = {payload for of_conn in got.sent.by_conn.values() for payload in of_conn}
    assert got.payloads.keys() <= handed
    for of_conn in got.sent.by_conn.values():
        missing = [payload not in got.payloads for payload in of_conn]
        first = missing.index(True) if True in missing else len(missing)
        assert all(missing[first:]), "a message was lost that others came behind"
        assert len(of_conn) - first < 200
    assert got.depth_ids == sorted(got.depth_ids)


def test_a_perfect_exchange(tmp_path: Path) -> None:
    got = capture(tmp_path, 5.0)
    assert_nothing_lost(got)
    figures = got.result.symbols[SYMBOL]
    assert sum(figures.messages.values()) == sum(got.payloads.values()) > 1_000
    assert (figures.gaps, figures.late, figures.snapshots, figures.stale) == ({}, {}, 1, 0)
    document = json.loads((got.out / SESSION).read_text())
    assert (document["state"], document["provenance"]) == ("ended", "synthetic")
    assert document["figures"]["symbols"][SYMBOL]["messages"] == dict(figures.messages)


def test_a_session_goes_the_whole_way(tmp_path: Path) -> None:
    """Capture, import, reconstruct, verify: exact but for the gap that the exchange made."""
    got = capture(tmp_path, 6.0, "drop@40s,n=2,stream=depth")
    assert got.count("gap", of="depth") == 1
    journals = sorted((got.out / SYMBOL / "journal").iterdir())
    sample = import_recordings(journals, tmp_path / "golden")
    assert sample.provenance == "synthetic"
    assert sample.snapshot_limit == 5000
    assert sample.document["chain"]["gaps"] == 1
    reconstruct_sample(sample.path, tmp_path / "store")
    report = verify(open_store(tmp_path / "store"), sample.path)
    for name in ("level_changes", "trades", "book_ticker_last", "grid", "order", "uncrossed"):
        assert report.check(name).verdict.value == "exact", name
    doubt = open_store(tmp_path / "store").quality().collect()
    assert "GAP" in doubt["code"].to_list()


def test_a_capture_of_a_recording_is_not_real(tmp_path: Path) -> None:
    """A local exchange that plays a golden sample says so, and so does what is made of it."""
    made = simulate(tmp_path / "sim", minutes=1.0, snapshot_every=5.0)
    played = import_recordings(made.recordings, tmp_path / "played", provenance="derived")
    out = tmp_path / "session"

    async def run() -> None:
        async with LocalExchange([recorded_tape(played.path)], speed=20.0, waits=True) as exchange:
            session = Session([SYMBOL], venue_at(exchange), out, pace=Pace(20.0))
            task = asyncio.create_task(session.run())
            await asyncio.wait({task}, timeout=2.5)
            session.stop()
            await task

    asyncio.run(run())
    assert json.loads((out / SESSION).read_text())["provenance"] == "derived"
    journals = sorted((out / SYMBOL / "journal").iterdir())
    with pytest.raises(UsageError, match="captured from a recording: it cannot be"):
        import_recordings(journals, tmp_path / "golden", provenance="real")
    assert import_recordings(journals, tmp_path / "golden").provenance == "derived"


def test_what_no_line_can_hold_or_nobody_asked_for_is_kept_apart(tmp_path: Path) -> None:
    session = Session(["BTCUSDT"], venue_of("spot"), tmp_path / "s")
    good = b'{"stream":"btcusdt@trade","data":{"t":1}}'
    odd = [
        b'{"stream":"btcusdt@trade","data":{"t":\n2}}',
        b'{"stream":"btcusdt@kline_1m","data":{"t":3}}',
        rb'{"stream":"btcusdt@tr\"ade","data":{"t":4}}',
        b'{"stream":"ethusdt@trade","data":{"t":5}}',
        b"\xff\n",
    ]
    with LiveJournals(tmp_path / "s") as session._journals:
        for text in (*odd, good):
            session.frame(0, 1, text, 1, 1)
    (kept,) = (tmp_path / "s" / "BTCUSDT" / "journal").iterdir()
    (apart,) = (tmp_path / "s" / "session").iterdir()
    (lines,) = read_frames(kept)
    assert isinstance(lines, bytes)
    assert [json.loads(line)["data"] for line in lines.splitlines()] == [{"t": 1}]
    (lines,) = read_frames(apart)
    assert isinstance(lines, bytes)
    assert [b64decode(json.loads(one)["data_b64"]) for one in lines.splitlines()] == odd


FAULTS = (
    "double@10s,n=5",
    "disconnect@every=40s±20s",
    "rest@55s,status=429,retry-after=5,for=10s",
    "stale@20s,n=3",
    "garbage@30s,n=2",
    "late@70s,by=3s,n=1",
    "rest@90s,status=503,for=6s",
)


def test_faults_of_all_kinds(tmp_path: Path) -> None:
    got = capture(tmp_path, 8.0, *FAULTS)
    assert_nothing_lost(got)
    assert got.count("disconnected") == got.count("connected") > 2
    assert 3 <= got.count("copy") <= 5  # one may be lost with its connection
    assert got.count("stale_snapshot") >= 1
    figures = got.result.symbols[SYMBOL]
    # each reconnect costs depth messages: each is a gap, and a snapshot is taken behind it
    assert figures.gaps["depth"] >= got.count("connected") - 2
    assert figures.snapshots > figures.gaps["depth"] / 2
    assert got.result.events["other"] >= 1


@pytest.mark.parametrize("lanes", [1, 2])
def test_gaps_are_what_no_socket_brought(tmp_path: Path, lanes: int) -> None:
    """With two sockets and drops of their own, a gap is what both lost."""
    drops = [f"drop@{5 + 3 * n}s,n=1,conn={1 + n % lanes},stream=depth" for n in range(20)]
    got = capture(tmp_path, 5.0, *drops, lanes=lanes)
    assert sum(got.sent.faults.values()) >= 20
    assert_nothing_lost(got)
    lost = got.result.symbols[SYMBOL].gaps["depth"]
    assert lost == (20 if lanes == 1 else 0)
    assert got.count("gap", of="depth") == lost
    if lanes == 2:
        # of the last two seconds (of ours: 40 of the venue) nobody can say what was on its way
        assert all(5 <= one.missed <= 10 for one in got.result.lanes)
        assert sum(one.copies for one in got.result.lanes) > 1_000


def test_a_silent_stream_is_told_and_connected_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(lane.IDLE_S, b"depth", 10.0)
    got = capture(tmp_path, 5.0, "silent@20s,for=30s,stream=depth")
    assert got.count("silent", of=f"{SYMBOL.lower()}@depth@100ms") >= 1
    assert got.count("connected") >= 2
    assert got.result.symbols[SYMBOL].gaps["depth"] >= 1
    assert_nothing_lost(got)


def test_a_socket_is_handed_over_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overlapped: nothing is lost, nothing stored twice."""
    monkeypatch.setattr(lane, "LIFE_S", 20.0)
    got = capture(tmp_path, 6.0)
    assert_nothing_lost(got)
    assert got.count("disconnected", why="handed over") >= 4
    assert got.result.symbols[SYMBOL].gaps == {}
    assert got.count("copy") > 4


def test_a_shutdown_that_is_announced_costs_nothing(tmp_path: Path) -> None:
    got = capture(tmp_path, 5.0, "shutdown@30s,lead=20s", "shutdown@70s,lead=10s")
    assert_nothing_lost(got)
    assert got.count("disconnected", why="handed over") == 2
    assert got.result.symbols[SYMBOL].gaps == {}


def test_an_exchange_that_is_not_there_is_asked_until_it_is(tmp_path: Path) -> None:
    """Nothing is written of what never came; the session ends when it is told to."""
    out = tmp_path / "session"
    venue = venue_of("spot", "http://127.0.0.1:9")

    async def run() -> SessionResult:
        session = Session([SYMBOL], venue, out, pace=Pace(50.0))
        task = asyncio.create_task(session.run())
        await asyncio.wait({task}, timeout=1.0)
        session.stop()
        return await task

    result = asyncio.run(run())
    assert result.events["rest_failed"] >= 2
    assert json.loads((out / SESSION).read_text())["state"] == "failed"
