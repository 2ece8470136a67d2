"""Captures of a local exchange: what it sent is stored once, byte for byte; losses are known."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from base64 import b64decode
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lobproof.capture import lane, space
from lobproof.capture.journals import LiveJournals
from lobproof.capture.pace import Pace
from lobproof.capture.session import Session, SessionResult
from lobproof.capture.space import SpaceLimits
from lobproof.errors import InputError, LobproofError, PlaceError, UsageError
from lobproof.fidelity.exact import verify
from lobproof.pipeline import reconstruct_sample
from lobproof.serve import LocalExchange, MarketName, recorded_tape, simulated_tape
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.venue import Venue, venue_of
from lobproof.sources.captured import SESSION
from lobproof.sources.golden import GoldenSample
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
        if b"@snapshot" not in head and b"@backfill" not in head:
            self.payloads[payload[:-1]] += 1
        if b"@depth" in head:
            self.depth_ids.append(json.loads(payload[:-1])["u"])

    def count(self, event: str, **fields: object) -> int:
        """Control lines of an event with these fields."""
        return sum(
            one["event"] == event and all(one.get(k) == v for k, v in fields.items())
            for one in self.control
        )


def venue_at(exchange: LocalExchange, market: MarketName = "spot") -> Venue:
    """A venue at the exchange's address."""
    return venue_of(market, exchange.url)


def capture(
    tmp_path: Path,
    seconds: float,
    *faults: str,
    speed: float = 20.0,
    lanes: int = 1,
    market: MarketName = "spot",
) -> Captured:
    """Capture so many seconds (of ours) of a simulated exchange with these faults."""
    sent, out = Sent(), tmp_path / "session"

    async def run() -> SessionResult:
        tape = simulated_tape(MARKET, market, 3)
        async with LocalExchange([tape], speed=speed, faults=faults, observer=sent) as exchange:
            venue = venue_at(exchange, market)
            session = Session([SYMBOL], venue, out, lanes=lanes, pace=Pace(speed))
            task = asyncio.create_task(session.run())
            await asyncio.wait({task}, timeout=seconds)
            session.stop()
            return await task

    return Captured(asyncio.run(run()), sent, out).read()


def assert_nothing_lost(got: Captured, *, ordered: bool = True) -> None:
    """Each message that a connection was handed is stored, but for the last before it was cut."""
    assert max(got.payloads.values()) == 1
    handed = {payload for of_conn in got.sent.by_conn.values() for payload in of_conn}
    assert got.payloads.keys() <= handed
    for of_conn in got.sent.by_conn.values():
        missing = [payload not in got.payloads for payload in of_conn]
        first = missing.index(True) if True in missing else len(missing)
        assert all(missing[first:]), "a message was lost that others came behind"
        assert len(of_conn) - first < 200
    assert got.depth_ids == sorted(got.depth_ids) or not ordered


def test_a_perfect_exchange(tmp_path: Path) -> None:
    got = capture(tmp_path, 5.0)
    assert_nothing_lost(got)
    figures = got.result.symbols[SYMBOL]
    assert sum(figures.messages.values()) == sum(got.payloads.values()) > 1_000
    assert (figures.gaps, figures.late, figures.snapshots, figures.stale) == ({}, {}, 1, 0)
    document = json.loads((got.out / SESSION).read_text())
    assert got.count("clock", server="venue") == 1
    said = document["figures"]["clocks"]["venue"]
    off_s = (said["at_ns"] + said["offset_ns"] - MARKET.start_ns) / 1e9  # the venue's own time
    assert 0 < off_s < 60
    assert 0 < said["delay_ns"] < 2_000_000_000
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


@pytest.mark.parametrize("market", ["spot", "usdm", "coinm"])
def test_a_sample_of_a_session_that_runs(tmp_path: Path, market: MarketName) -> None:
    """It is exact up to the last frame that was flushed, and says that there may be more."""
    out = tmp_path / "session"
    symbol = "SIMUSD_PERP" if market == "coinm" else SYMBOL
    tape = simulated_tape(replace(MARKET, venue_symbol=symbol), market, 3)

    def made(name: str) -> GoldenSample:
        journals = sorted((out / symbol / "journal").iterdir())
        sample = import_recordings(journals, tmp_path / f"{name}-golden")
        reconstruct_sample(sample.path, tmp_path / name)
        report = verify(open_store(tmp_path / name), sample.path)
        for check in ("level_changes", "trades", "book_ticker_last", "grid", "order"):
            assert report.check(check).verdict.value == "exact", check
        return sample

    async def run() -> GoldenSample:
        async with LocalExchange([tape], speed=20.0) as exchange:
            session = Session([symbol], venue_at(exchange, market), out, pace=Pace(20.0))
            task = asyncio.create_task(session.run())
            await asyncio.sleep(4.0)
            early = await asyncio.to_thread(made, "early")
            session.stop()
            await task
            return early

    early, whole = asyncio.run(run()), made("whole")
    assert any("had not ended" in note for note in early.document["notes"])
    assert not any("had not ended" in note for note in whole.document["notes"])
    assert 0 < early.document["counts"]["depth"] < whole.document["counts"]["depth"]


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
        assert all(5 <= one.figures.missed <= 10 for one in got.result.sockets)
        assert sum(one.figures.copies for one in got.result.sockets) > 1_000


def test_a_socket_misses_nothing_of_streams_that_it_has_not(tmp_path: Path) -> None:
    """USD-M has two addresses: what one brings is asked of none of the other's sockets."""
    got = capture(tmp_path, 4.0, lanes=2, market="usdm")
    assert all(one.figures.first + one.figures.copies > 0 for one in got.result.sockets)
    assert [one.figures.missed for one in got.result.sockets] == [0, 0, 0, 0]


def test_a_silent_stream_is_told_and_connected_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(lane.IDLE_S, b"depth", 10.0)
    got = capture(tmp_path, 5.0, "silent@20s,for=30s,stream=depth")
    assert got.count("silent", of=f"{SYMBOL.lower()}@depth@100ms") >= 1
    assert got.count("connected") >= 2
    assert got.result.symbols[SYMBOL].gaps["depth"] >= 1
    assert_nothing_lost(got)


def test_a_pause_of_our_own_is_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange stands still with us: nothing was sent meanwhile, or it is still unread."""
    monkeypatch.setitem(lane.IDLE_S, b"depth", 20.0)
    out = tmp_path / "session"

    async def run() -> SessionResult:
        tape = simulated_tape(MARKET, "spot", 3)
        async with LocalExchange([tape], speed=20.0) as exchange:
            session = Session([SYMBOL], venue_at(exchange), out, pace=Pace(20.0))
            task = asyncio.create_task(session.run())
            for _ in range(3):
                await asyncio.sleep(1.0)
                time.sleep(1.5)
            await asyncio.sleep(0.5)
            session.stop()
            return await task

    events = asyncio.run(run()).events
    assert (events["connected"], events["silent"]) == (1, 0)


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

    with pytest.raises(InputError, match="did not answer before the session was ended"):
        asyncio.run(run())
    document = json.loads((out / SESSION).read_text())
    assert document["state"] == "failed"
    assert document["figures"]["events"]["rest_failed"] >= 2
    assert "did not answer" in document["why"]


def test_a_venue_that_counts_anew(tmp_path: Path) -> None:
    """Its messages are no late ones: a line says so, a snapshot anchors, and no gap is left."""
    got = capture(tmp_path, 4.0, "reset@30s")
    assert_nothing_lost(got, ordered=False)
    figures = got.result.symbols[SYMBOL]
    assert (figures.resets, figures.gaps, figures.late) == (1, {}, {})
    assert (got.count("reset", of="depth"), figures.snapshots) == (1, 2)
    journals = sorted((got.out / SYMBOL / "journal").iterdir())
    sample = import_recordings(journals, tmp_path / "golden")
    assert sample.document["chain"]["resets"] == 1
    reconstruct_sample(sample.path, tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert verify(store, sample.path).check("grid").verdict.value == "exact"
    assert "SEQUENCE_RESET" in store.quality().collect()["code"].to_list()


def space_of(tmp_path: Path, space: SpaceLimits) -> tuple[Path, Exception | None]:
    """A capture of two seconds with these limits: its folder, and how it ended."""
    out = tmp_path / "session"

    async def run() -> None:
        tape = simulated_tape(MARKET, "spot", 3)
        async with LocalExchange([tape], speed=20.0) as exchange:
            session = Session([SYMBOL], venue_at(exchange), out, pace=Pace(20.0), space=space)
            task = asyncio.create_task(session.run())
            await asyncio.wait({task}, timeout=2.0)
            session.stop()
            await task

    try:
        asyncio.run(run())
    except LobproofError as error:
        return out, error
    return out, None


def test_space_that_runs_low_is_told(tmp_path: Path) -> None:
    out, error = space_of(tmp_path, SpaceLimits(low_bytes=1 << 60))
    assert error is None
    document = json.loads((out / SESSION).read_text())
    assert document["state"] == "ended"
    assert document["figures"]["events"]["low_space"] == 1
    (path,) = (out / SYMBOL / "journal").iterdir()
    lines = b"".join(part for part in read_frames(path) if isinstance(part, bytes)).splitlines()
    (told,) = [json.loads(one) for one in lines if b'"event":"low_space"' in one]
    assert 0 < told["free"] < told["limit"] == 1 << 60


def test_a_session_begins_with_no_disk_that_is_full(tmp_path: Path) -> None:
    out, error = space_of(tmp_path, SpaceLimits(least_bytes=1 << 60))
    assert isinstance(error, PlaceError)
    assert "bytes are free, less than" in str(error)
    document = json.loads((out / SESSION).read_text())
    assert (document["state"], document["why"]) == ("failed", error.message)


def test_a_disk_that_fills_ends_the_session_before_a_line_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_LOOK_S", 0.1)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        ballast = disk / "ballast"
        limits = SpaceLimits(low_bytes=1 << 20, low_share=0.0, least_bytes=512 << 10)

        async def fill() -> None:
            await asyncio.sleep(1.0)
            ballast.write_bytes(bytes(1700 << 10))

        sent, out = Sent(), disk / "session"

        async def run() -> None:
            tape = simulated_tape(MARKET, "spot", 3)
            async with LocalExchange([tape], speed=20.0, observer=sent) as exchange:
                session = Session([SYMBOL], venue_at(exchange), out, pace=Pace(20.0), space=limits)
                filling = asyncio.create_task(fill())
                await asyncio.gather(session.run(), filling)

        with pytest.raises(PlaceError, match="bytes are free, less than"):
            asyncio.run(run())
        document = json.loads((out / SESSION).read_text())
        assert document["state"] == "failed"
        assert document["figures"]["lost"] == {}
        (path,) = (out / SYMBOL / "journal").iterdir()
        frames = [part for part in read_frames(path) if isinstance(part, bytes)]
        assert (
            sum(part.count(b"\n") for part in frames)
            == (document["figures"]["journals"][f"{SYMBOL}/journal"][0]["lines"])
        )
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_error_of_the_beginning_is_one_plain_error(tmp_path: Path) -> None:
    """A venue that refuses, and a folder that is there: no group of errors, and a hint."""
    (tmp_path / "session").mkdir()

    async def run(out: Path) -> None:
        tape = simulated_tape(MARKET, "spot", 3)
        async with LocalExchange([tape], faults=["rest@10ms,status=451,for=60s"]) as exchange:
            await asyncio.sleep(0.1)
            await Session([SYMBOL], venue_at(exchange), out).run()

    with pytest.raises(UsageError, match="session is there already"):
        asyncio.run(run(tmp_path / "session"))
    with pytest.raises(InputError, match="refuses to list its symbols: status 451"):
        asyncio.run(run(tmp_path / "other"))
