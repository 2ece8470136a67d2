"""A capture of some symbols: every frame into their journals, snapshots, and what was missed."""

from __future__ import annotations

import asyncio
import json
import re
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from lobproof.capture.backfill import Backfill, BackfillFigures, give_up
from lobproof.capture.chain import Fit, Link, Released, Sequencer
from lobproof.capture.clock import look_at_clock
from lobproof.capture.copies import Arrival, Copies
from lobproof.capture.copies import Lane as LaneFigures
from lobproof.capture.frames import (
    depth_ids,
    event_ns,
    identity,
    kind_of,
    split_frame,
)
from lobproof.capture.journals import LiveJournals, Lost
from lobproof.capture.lane import Lane
from lobproof.capture.minutes import Minutes
from lobproof.capture.pace import Pace
from lobproof.capture.rest import Answer, RefusedError, Rest
from lobproof.capture.sbe import keyed_session, sbe_streams, sbe_url, stream_of
from lobproof.capture.space import SpaceLimits, watch_space
from lobproof.errors import InputError, LobproofError, PlaceError, place_error, system_text
from lobproof.sources.age import Recipients
from lobproof.sources.binance.decode import Problem
from lobproof.sources.binance.journal import JournalFile
from lobproof.sources.binance.sbe import read_sbe
from lobproof.sources.binance.venue import SBE_PATH, Venue
from lobproof.sources.captured import SessionDocument, capturing, check_free, write_session

SETTLE_NS = 300_000_000
"""How long a message waits for one before it that another socket may bring."""
_LAST_ID = re.compile(rb'"lastUpdateId"\s*:\s*([0-9]{1,18})')
_SERVER_TIME = re.compile(rb'"serverTime"\s*:\s*([0-9]{13})')
_CLOCK_EVERY_S = 3600.0
_RETRY_S = 1.0
_CATCH_UP_S = 30.0
_LAST_BACKFILLS_S = 10.0
"""How long a session that is told to stop waits for trades that it has asked for."""
SBE = "SBE"
"""The name of the socket of SBE; the others have numbers."""
_OUTSIDE = "session"
"""The journal of what belongs to no symbol."""


@dataclass(slots=True)
class SymbolFigures:
    """What was captured of a symbol.

    ``gaps`` are depth messages or trades that nobody brought, ``late`` those that brought nothing
    new, ``resets`` how often the ids of depth messages began anew, ``backfill`` what REST made of
    the trades of gaps. ``lag_ns``: our clock less the venue's as the last depth message came, 0
    before one. ``sbe`` are SBE frames by their kind.
    """

    messages: Counter[str] = field(default_factory=Counter)
    sbe: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    resets: int = 0
    snapshots: int = 0
    stale: int = 0
    backfill: BackfillFigures = field(default_factory=BackfillFigures)
    lag_ns: int = 0
    last_ns: dict[str, int] = field(default_factory=dict)
    """When the last message of each kind came."""
    minutes: Minutes = field(default_factory=Minutes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "messages": dict(self.messages),
            "sbe": dict(self.sbe),
            "bytes": self.bytes,
            "gaps": dict(self.gaps),
            "late": dict(self.late),
            "resets": self.resets,
            "snapshots": self.snapshots,
            "stale": self.stale,
            "backfill": asdict(self.backfill),
            "regime": self.minutes.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class SocketNow:
    """One of the sockets side by side: its path, for how long it has been open, its figures.

    ``name`` is its number, or ``SBE``. ``open_s`` is None where it is not open.
    """

    name: str
    path: str
    open_s: float | None
    figures: LaneFigures


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What a session captured: figures by symbol and by socket, and the journals' files."""

    symbols: dict[str, SymbolFigures]
    sockets: list[SocketNow]
    files: dict[str, list[JournalFile]]
    events: Counter[str]
    lost: dict[str, Lost]
    """Lines that we could not hold, by journal: those of the venue are gaps."""
    clocks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each time server, and the ``venue``, said last: offset and delay in ns, or why not."""
    sbe: bool = False
    """Whether SBE frames were asked for."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "symbols": {name: one.to_dict() for name, one in self.symbols.items()},
            "lanes": [
                {"socket": one.name, "path": one.path, **asdict(one.figures)}
                for one in self.sockets
            ],
            "journals": {name: [asdict(one) for one in of] for name, of in self.files.items()},
            "events": dict(self.events),
            "lost": {name: asdict(one) for name, one in self.lost.items()},
            "clocks": self.clocks,
        }


class _Symbol:
    """A symbol's streams, and the snapshots that it needs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.journal = f"{name}/journal"
        self.depth = Sequencer()
        self.trades = Sequencer()
        self.figures = SymbolFigures()
        self.wanted = asyncio.Event()
        """A snapshot is needed: the book is not anchored."""
        self.wanted.set()
        self.moved = asyncio.Event()
        """A depth message came."""
        self.lost: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        """Gaps of trades to ask for: the ids before and behind."""


class Session:
    """Captures symbols until it is cancelled or told to stop.

    Parameters
    ----------
    symbols
        As the venue writes them, of one market.
    venue
        Where to capture from.
    out
        Folder to make: a folder for each symbol, with its journal.
    lanes
        Sockets side by side.
    regime
        What the user calls the market's state; it stands in the session's document.
    snapshot_every_s
        Seconds between snapshots for later checks; 0: none but those that anchor.
    pace
        How fast the venue's time passes.
    space
        Free space to tell of, and to end at.
    time_servers
        Servers to ask for the time once an hour, in this order, until one answers; the venue is
        asked anyhow.
    key
        An API key, for what the venue tells to holders of one only: SBE, old trades of futures.
    recipients
        Encrypt the journals to them.
    info
        The venue's exchangeInfo, where it has just been asked for; else the session asks.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        venue: Venue,
        out: Path,
        *,
        lanes: int = 1,
        regime: str = "",
        snapshot_every_s: float = 900.0,
        pace: Pace | None = None,
        space: SpaceLimits | None = None,
        time_servers: Sequence[str] = (),
        key: str = "",
        recipients: Recipients | None = None,
        info: Answer | None = None,
    ) -> None:
        self._venue = venue
        self._info = info
        self._recipients = recipients
        self._key = key
        self._pace = pace or Pace()
        self._space = space or SpaceLimits()
        self._time_servers = time_servers
        self.clocks: dict[str, dict[str, Any]] = {}
        """What each time server, and the venue, said last."""
        self._running: LiveJournals | None = None  # for who asks before it runs
        self._symbols = {name.lower().encode(): _Symbol(name.upper()) for name in symbols}
        self._streams = {
            symbol + b"@" + name.encode(): (of, kind, kind.decode())
            for symbol, of in self._symbols.items()
            for group in venue.groups
            for name in group.kinds
            for kind in [kind_of(symbol + b"@" + name.encode())]
        }
        """The streams that are asked for, their symbols and kinds: what else comes is of none."""
        self._sbe_streams = {
            stream: of
            for symbol, of in self._symbols.items()
            for stream in (sbe_streams(symbol) if venue.sbe else [])
        }
        self._sbe_lane = lanes * len(venue.groups)
        """Behind those of JSON, with which it has nothing in common."""
        self.regime = regime
        self.started_ns = self._pace.time_ns()
        self._every_s = snapshot_every_s
        self._out = out
        self._number = 0
        self._stop = asyncio.Event()
        self._copies = [Copies(lanes) for _ in venue.groups] + [Copies(1)] * bool(venue.sbe)
        """By what is asked for: what one socket misses, only one with the same streams can tell."""
        self._lanes = lanes
        self._sockets = 0
        self._opened: dict[int, float] = {}
        """Lanes that have a socket open, and since when."""
        self.events: Counter[str] = Counter()
        self.provenance = ""
        """As in the session's document; empty before the venue has answered."""

    def stop(self) -> None:
        """End the session: what was received is written."""
        self._stop.set()

    @property
    def figures(self) -> dict[str, SymbolFigures]:
        """What has been captured so far, by symbol."""
        return {one.name: one.figures for one in self._symbols.values()}

    @property
    def market(self) -> str:
        """The venue's market."""
        return self._venue.profile.market

    @property
    def lost(self) -> dict[str, Lost]:
        """The lines that could not be held so far, by journal."""
        return {} if self._running is None else self._running.lost()

    @property
    def held_bytes(self) -> int:
        """Bytes of lines that are not yet on disk."""
        return 0 if self._running is None else self._running.held

    @property
    def sockets(self) -> list[SocketNow]:
        """The sockets side by side, as they are now."""
        now = time.monotonic()
        return [
            SocketNow(
                SBE if lane == self._sbe_lane else str(lane + 1),
                self._path(lane),
                now - self._opened[lane] if lane in self._opened else None,
                figures,
            )
            for lane, figures in enumerate(
                figures for copies in self._copies for figures in copies.lanes
            )
        ]

    def _copies_of(self, lane: int) -> tuple[Copies, int]:
        """Who tells copies among the sockets with a lane's streams, and the lane's number there."""
        group, number = divmod(lane, self._lanes)
        return self._copies[group], number

    def _path(self, lane: int) -> str:
        binary = lane == self._sbe_lane
        return SBE_PATH if binary else self._venue.groups[lane // self._lanes].path

    async def run(self) -> SessionResult:
        """Capture until `stop`, or until cancelled.

        Raises
        ------
        UsageError
            If the folder is there already, or another capture runs in it.
        InputError
            If the venue does not answer what the session needs to begin.
        PlaceError
            If the disk is nearly full, or does not take the last lines; ``session.json`` and what
            was received before are written all the same, as far as there is room.
        """
        with ExitStack() as held:
            try:
                check_free(self._out)
                self._out.mkdir(parents=True)
                held.enter_context(capturing(self._out))
            except OSError as error:
                raise place_error(error) from error
            return await self._run()

    async def _run(self) -> SessionResult:
        """Capture into the folder, which is ours."""
        loop = asyncio.get_running_loop()

        def troubled(error: OSError | None) -> None:
            why = "" if error is None else system_text(error)
            loop.call_soon_threadsafe(self._disk_event, why)

        self._journals = self._running = LiveJournals(
            self._out, troubled=troubled, recipients=self._recipients
        )
        document = self._document()
        try:
            await self._capture(document)
            document.state = "ended"
        except BaseExceptionGroup as group:
            plain = _plain_error(group)
            document.why = plain.message if isinstance(plain, LobproofError) else repr(plain)
            raise plain from group
        except asyncio.CancelledError:
            document.why = "it was cancelled"
            raise
        finally:
            if document.state != "ended":
                document.state = "failed"
            result = await self._finish(document)
        return result

    async def _capture(self, document: SessionDocument) -> None:
        async with (
            aiohttp.ClientSession() as http,
            keyed_session(self._key) as keyed,
            asyncio.TaskGroup() as tasks,
        ):
            limit = self._venue.profile.weight
            self._rest = Rest(http, self._venue.rest, limit, self._pace, self._told)
            running: list[asyncio.Task[Any]] = [tasks.create_task(self._rest.run())]
            stopped = tasks.create_task(self._stop.wait())
            full = tasks.create_task(watch_space(self._out, self._space, self._told))
            described = tasks.create_task(self._describe(document))
            running += [stopped, full, described]
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({stopped, full, described}, return_when=first)
            if described.done():
                running += [tasks.create_task(lane.run()) for lane in self._all_lanes(http, keyed)]
                running += [
                    tasks.create_task(self._snapshots(one)) for one in self._symbols.values()
                ]
                running += [
                    tasks.create_task(self._backfills(one)) for one in self._symbols.values()
                ]
                running.append(tasks.create_task(self._settle()))
                running.append(tasks.create_task(self._watch_clock()))
                await asyncio.wait({stopped, full}, return_when=first)
                if not full.done():
                    await self._last_backfills()
            elif stopped.done():
                raise InputError(
                    f"{self._venue.rest} did not answer before the session was ended",
                    hint="check the address and the network; session.json counts what failed",
                )
            if full.done():
                raise PlaceError(full.result(), hint="make room, and begin another session")
            for task in running:
                task.cancel()

    async def _finish(self, document: SessionDocument) -> SessionResult:
        """Write what is held, and the session's document."""
        for one in self._symbols.values():
            self._write_due(one, time.monotonic_ns(), 0)
            while not one.lost.empty():
                gap = one.lost.get_nowait()
                figures, told = one.figures.backfill, partial(self._of_symbol, one)
                give_up(figures, told, gap, gap[1] - gap[0] - 1, "the session ended")
        for copies in self._copies:
            copies.settle()
        files: dict[str, list[JournalFile]] = {}
        try:
            files = await asyncio.to_thread(self._journals.close)
        except OSError as error:
            document.state = "failed"
            document.why = document.why or system_text(error)
            raise place_error(error) from error
        finally:
            result = SessionResult(
                self.figures,
                self.sockets,
                files,
                self.events,
                self.lost,
                self.clocks,
                bool(self._venue.sbe),
            )
            document.ended_ns = self._pace.time_ns()
            document.figures = result.to_dict()
            with suppress(OSError, PlaceError):  # of a disk that is full, too
                write_session(self._out, document)
        return result

    async def _watch_clock(self) -> None:
        """Ask time servers, and the venue as a second opinion, how far our clock is off."""
        while True:
            await asyncio.gather(
                look_at_clock(self._time_servers, self._told_clock), self._ask_venue_time()
            )
            await self._pace.sleep(_CLOCK_EVERY_S)

    async def _ask_venue_time(self) -> None:
        said: dict[str, Any] = {"server": "venue"}
        try:
            weight = self._venue.profile.weights["time"]
            answer = await self._rest.get("/time", {}, weight, urgency=3)
        except RefusedError as error:
            said["why"] = str(error)
        else:
            found = _SERVER_TIME.search(answer.body[:4096])
            if found is None:
                said["why"] = "its answer has no serverTime"
            else:
                middle = (answer.asked_ns + answer.answered_ns) // 2
                said["offset_ns"] = int(found[1]) * 1_000_000 - middle
                said["delay_ns"] = answer.answered_ns - answer.asked_ns
        self._told_clock("clock", said)

    def _told_clock(self, name: str, fields: dict[str, Any]) -> None:
        self.clocks[fields["server"]] = {**fields, "at_ns": self._pace.time_ns()}
        self.event(name, **fields)

    def _disk_event(self, why: str) -> None:
        self.event("disk_trouble" if why else "disk_takes", **({"why": why} if why else {}))

    def _document(self) -> SessionDocument:
        venue = self._venue
        return SessionDocument(
            state="running",
            provenance="real",
            market=venue.profile.market,
            symbols=[one.name for one in self._symbols.values()],
            snapshot_limit=venue.levels,
            sockets=venue.sockets,
            rest=venue.rest,
            regime=self.regime,
            encrypted_to=[] if self._recipients is None else self._recipients.names,
            started_ns=self.started_ns,
        )

    async def _describe(self, document: SessionDocument) -> None:
        """Begin the session's document with what the venue says of itself and its symbols."""
        answer = self._info or await self._ask_info()
        if answer.provenance:
            document.provenance = "derived" if answer.provenance == "recorded" else "synthetic"
        self.provenance = document.provenance
        write_session(self._out, document)
        (self._out / "exchangeInfo.json").write_bytes(answer.body)

    async def _ask_info(self) -> Answer:
        weight = self._venue.profile.weights["exchangeInfo"]
        try:
            return await self._rest.get("/exchangeInfo", {}, weight)
        except RefusedError as error:
            raise InputError(
                f"{self._venue.rest} refuses to list its symbols: {error}",
                hint="see what it says; some venues serve no requests from some countries",
            ) from error

    def _all_lanes(self, http: aiohttp.ClientSession, keyed: aiohttp.ClientSession) -> list[Lane]:
        lanes = []
        for place, group in enumerate(self._venue.groups):
            streams = [
                symbol + b"@" + kind.encode() for symbol in self._symbols for kind in group.kinds
            ]
            names = "/".join(quote(one.decode(), safe="@!") for one in streams)
            url = f"{self._venue.sockets}{group.path}/stream?streams={names}{self._venue.query}"
            for number in range(self._lanes):
                lane = place * self._lanes + number
                lanes.append(Lane(lane, http, url, streams, self._pace, self, self._next))
        if self._venue.sbe:
            url, streams = sbe_url(self._venue, self._symbols), list(self._sbe_streams)
            lane = self._sbe_lane
            lanes.append(Lane(lane, keyed, url, streams, self._pace, self, self._next))
        return lanes

    def _next(self) -> int:
        self._number += 1
        return self._number

    # what the sockets bring -------------------------------------------------------------------

    def frame(
        self, lane: int, conn: int, text: bytes, capture_ns: int, mono_ns: int
    ) -> bytes | None:
        """Write a frame to its symbol's journal; the name of its stream."""
        if lane == self._sbe_lane:
            return self._sbe_frame(conn, text, capture_ns, mono_ns)
        found = None if b"\n" in text else split_frame(text)  # of a line a payload is a part
        stream, payload = (None, b"") if found is None else found
        asked = None if stream is None else self._streams.get(stream)
        if stream is None or asked is None:
            self._raw(_OUTSIDE, conn, text, capture_ns, mono_ns)
            return stream
        symbol, kind, name = asked
        ident = identity(kind, payload)
        copies, number = self._copies_of(lane)
        arrival = copies.take(number, stream, ident, payload, mono_ns)
        if arrival is Arrival.COPY:
            self._copy(symbol, conn, stream, ident, capture_ns, mono_ns)
            return stream
        line = b'{"capture_ns":%d,"mono_ns":%d,"stream":"%b","conn":%d,"data":%b}\n' % (
            capture_ns, mono_ns, stream, conn, payload,
        )  # fmt: skip
        symbol.figures.messages[name] += 1
        symbol.figures.last_ns[name] = capture_ns
        symbol.figures.bytes += len(payload)
        symbol.figures.minutes.take(kind, payload, capture_ns)
        settle = SETTLE_NS if self._sockets > len(self._venue.groups) else 0
        if kind == b"depth" and (ids := depth_ids(payload)) is not None:
            previous, final = ids
            sent_ns = event_ns(payload)
            symbol.figures.lag_ns = capture_ns - sent_ns if sent_ns else 0
            if symbol.depth.follows(previous, final, sent_ns):
                self._journals.put(symbol.journal, line, capture_ns)
            else:
                self._write(
                    symbol,
                    "depth",
                    symbol.depth.add(previous, final, sent_ns, line, capture_ns, mono_ns, settle),
                )
            symbol.moved.set()
        elif kind == b"trade" and ident >= 0 and not symbol.trades.follows(ident - 1, ident, 0):
            released = symbol.trades.add(ident - 1, ident, 0, line, capture_ns, mono_ns, settle)
            self._write(symbol, "trade", released)
        else:
            self._journals.put(symbol.journal, line, capture_ns)
        return stream

    def _sbe_frame(self, conn: int, data: bytes, capture_ns: int, mono_ns: int) -> bytes | None:
        """Write an SBE frame to its symbol's journal; what it says is told when it is imported."""
        try:
            frame = read_sbe(data)
        except Problem as problem:
            reason = "" if data.startswith(b"{") else problem.reason  # the venue's own words
            if reason:
                self.events["sbe_unread"] += 1
            self._raw(_OUTSIDE, conn, data, capture_ns, mono_ns, reason)
            return None
        stream = stream_of(frame)
        symbol = self._sbe_streams.get(stream)
        if symbol is None:
            self._raw(_OUTSIDE, conn, data, capture_ns, mono_ns)
            return stream
        ident = identity(b"", data)
        if self._copies[-1].take(0, stream, ident, data, mono_ns) is Arrival.COPY:
            self._copy(symbol, conn, stream, ident, capture_ns, mono_ns)
            return stream
        line = b'{"capture_ns":%d,"mono_ns":%d,"stream":"%b","conn":%d,"data":"%b"}\n' % (
            capture_ns, mono_ns, stream, conn, b64encode(data),
        )  # fmt: skip
        symbol.figures.sbe[frame.kind] += 1
        symbol.figures.bytes += len(data)
        self._journals.put(symbol.journal, line, capture_ns)
        return stream

    def _copy(
        self, symbol: _Symbol, conn: int, stream: bytes, ident: int, capture_ns: int, mono_ns: int
    ) -> None:
        line = (
            b'{"capture_ns":%d,"mono_ns":%d,"stream":"control","conn":%d,"event":"copy",'
            b'"of":"%b","id":%d}\n' % (capture_ns, mono_ns, conn, stream, ident)
        )
        self._journals.put(symbol.journal, line, capture_ns)

    def event(self, name: str, **fields: Any) -> None:
        """Write something that happened to a socket into every symbol's journal."""
        self.events[name] += 1
        for symbol in self._symbols.values():
            self._control(symbol, name, **fields)

    def opened(self, lane: int, conn: int) -> None:
        """A lane has a socket that is open."""
        self._opened[lane] = time.monotonic()
        self._sockets += lane != self._sbe_lane
        copies, number = self._copies_of(lane)
        copies.opened(number)

    def closed(self, lane: int, conn: int, *, last: bool) -> None:
        """A lane's socket is closed."""
        self._sockets -= lane != self._sbe_lane
        if last:
            self._opened.pop(lane, None)
            copies, number = self._copies_of(lane)
            copies.closed(number, time.monotonic_ns())

    def _write(self, symbol: _Symbol, what: str, released: list[Released]) -> None:
        for one in released:
            if one.link is Link.GAP:
                symbol.figures.gaps[what] += 1
                self._control(symbol, "gap", of=what, after=one.known, before=one.previous + 1)
                if what == "depth":
                    symbol.wanted.set()
                else:
                    symbol.lost.put_nowait((one.known, one.previous + 1))
            elif one.link is Link.RESET:
                symbol.figures.resets += 1
                self.events["reset"] += 1
                self._control(symbol, "reset", of=what, after=one.known, before=one.previous + 1)
                symbol.wanted.set()
            elif one.link is Link.OLD or one.link is Link.OVERLAPS:
                symbol.figures.late[what] += 1
            self._journals.put(symbol.journal, one.line, one.capture_ns)

    def _write_due(self, symbol: _Symbol, mono_ns: int, settle_ns: int) -> None:
        for what, sequencer in (("depth", symbol.depth), ("trade", symbol.trades)):
            self._write(symbol, what, sequencer.due(mono_ns, settle_ns))

    async def _settle(self) -> None:
        """Give up waiting for messages that nobody brings."""
        while True:
            await asyncio.sleep(SETTLE_NS / 3e9)
            now = time.monotonic_ns()
            for symbol in self._symbols.values():
                self._write_due(symbol, now, SETTLE_NS)

    def _raw(
        self,
        journal: str,
        conn: int,
        text: bytes,
        capture_ns: int,
        mono_ns: int,
        reason: str = "",
    ) -> None:
        data = b64encode(text)
        why = b'"why":"%b",' % reason.encode() if reason else b""
        line = (
            b'{"capture_ns":%d,"mono_ns":%d,"stream":"control","conn":%d,"event":"other",'
            b'%b"data_b64":"%b"}\n' % (capture_ns, mono_ns, conn, why, data)
        )
        self.events["other"] += 1
        self._journals.put(journal, line, capture_ns)

    def _control(self, symbol: _Symbol, event: str, conn: int = 0, **fields: Any) -> None:
        capture_ns = self._pace.time_ns()
        text = json.dumps(
            {
                "capture_ns": capture_ns,
                "mono_ns": time.monotonic_ns(),
                "stream": "control",
                "conn": conn,
                "event": event,
                **fields,
            },
            separators=(",", ":"),
            ensure_ascii=False,
        )
        self._journals.put(symbol.journal, f"{text}\n".encode(), capture_ns)

    # trades that were lost --------------------------------------------------------------------

    async def _backfills(self, symbol: _Symbol) -> None:
        """Ask for the trades of each gap."""

        def take(answer: Answer, body: bytes, asked: dict[str, Any]) -> None:
            self._answered(symbol, "backfill", "trade@backfill", answer, body, asked)

        backfill = Backfill(
            symbol.name,
            self._rest,
            self._venue.profile,
            self._pace,
            figures=symbol.figures.backfill,
            key=self._key,
            told=partial(self._of_symbol, symbol),
            take=take,
        )
        while True:
            after, before = await symbol.lost.get()
            try:
                await backfill.fill(after, before)
            finally:
                symbol.lost.task_done()

    async def _last_backfills(self) -> None:
        """Wait a moment for what has been asked for: behind a session nobody asks for it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.ours(_LAST_BACKFILLS_S)):
                for symbol in self._symbols.values():
                    await symbol.lost.join()

    def _of_symbol(self, symbol: _Symbol, name: str, fields: dict[str, Any]) -> None:
        """Write what happened to one symbol alone."""
        self.events[name] += 1
        self._control(symbol, name, **fields)

    def _answered(
        self,
        symbol: _Symbol,
        event: str,
        stream: str,
        answer: Answer,
        body: bytes,
        fields: dict[str, Any],
    ) -> None:
        """Write an answer of REST, and before it what was asked for, and when."""
        times = {"asked_ns": answer.asked_ns, "answered_ns": answer.answered_ns}
        self._control(symbol, event, **times, **fields)
        line = b'{"capture_ns":%d,"mono_ns":%d,"stream":"%b@%b","conn":0,"data":%b}\n' % (
            answer.answered_ns,
            time.monotonic_ns(),
            symbol.name.lower().encode(),
            stream.encode(),
            body,
        )
        self._journals.put(symbol.journal, line, answer.answered_ns)

    # snapshots --------------------------------------------------------------------------------

    def _told(self, name: str, fields: dict[str, Any]) -> None:
        self.event(name, **fields)

    async def _snapshots(self, symbol: _Symbol) -> None:
        """Anchor the book after each loss, and take snapshots for later checks in between."""
        while True:
            try:
                async with asyncio.timeout(self._pace.ours(self._every_s) or None):
                    await symbol.wanted.wait()
            except TimeoutError:
                await self._snapshot(symbol, urgency=2)
                continue
            if symbol.depth.chain.last < 0:  # the stream comes first, by the venue's rule
                await symbol.moved.wait()
            symbol.wanted.clear()
            fit = await self._snapshot(symbol, urgency=1)
            if fit is not Fit.FITS:
                symbol.wanted.set()
                await self._pace.sleep(_RETRY_S)

    async def _snapshot(self, symbol: _Symbol, *, urgency: int) -> Fit | None:
        """Take a snapshot, write it, and tell whether it fits the messages that came."""
        params: dict[str, str | int] = {"symbol": symbol.name, "limit": self._venue.levels}
        weight = self._venue.snapshot_weight
        try:
            answer = await self._rest.get("/depth", params, weight, urgency=urgency)
        except RefusedError:
            return None
        body = answer.body.strip()
        found = _LAST_ID.search(body[:4096])
        if found is None or b"\n" in body:
            self._control(symbol, "no_snapshot", data_b64=b64encode(body[:4096]).decode())
            return None
        snapshot_id = int(found[1])
        said = {"last_update_id": snapshot_id, "limit": self._venue.levels}
        self._answered(symbol, "snapshot", "snapshot", answer, body, said)
        symbol.figures.snapshots += 1
        fit = await self._fit(symbol, snapshot_id)
        if fit is Fit.STALE:
            symbol.figures.stale += 1
            self._control(symbol, "stale_snapshot", last_update_id=snapshot_id)
        return fit

    async def _fit(self, symbol: _Symbol, snapshot_id: int) -> Fit:
        """Whether a snapshot fits, as soon as the messages have come so far."""
        until = self._pace.now() + _CATCH_UP_S
        while (fit := symbol.depth.chain.judge(snapshot_id)) is Fit.AHEAD:
            left = until - self._pace.now()
            if left <= 0:
                break
            symbol.moved.clear()
            try:
                async with asyncio.timeout(self._pace.ours(left)):
                    await symbol.moved.wait()
            except TimeoutError:
                break
        return fit


def _plain_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of the errors of tasks that run side by side."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return place_error(first) if isinstance(first, OSError) else first
