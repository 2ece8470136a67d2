"""One of several sockets side by side: kept open, watched, and handed over before it ends."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Literal, Protocol

import aiohttp

from lobproof.capture.frames import kind_of
from lobproof.capture.pace import Pace

FIRST_FRAME_S = {
    b"depth": 30.0, b"bookTicker": 60.0, b"markPrice": 30.0,
    b"sbeDepth": 30.0, b"sbeBestBidAsk": 60.0,
}  # fmt: skip
"""Seconds within which a stream must bring its first frame; of others nobody can say."""
IDLE_S = {
    b"depth": 60.0, b"bookTicker": 120.0, b"markPrice": 30.0, b"trade": 3_600.0,
    b"sbeDepth": 60.0, b"sbeBestBidAsk": 120.0, b"sbeTrade": 3_600.0,
}  # fmt: skip
"""Seconds of silence after which a stream's socket is thought to be dead."""
PAUSE_S = 10.0
"""Seconds between two looks that are a pause of our own: what came meanwhile is still unread."""
LIFE_S = 23.5 * 3600
"""Age at which a socket is handed over to the next: the venue ends it at 24 hours."""
OVERLAP_S = 30.0
"""Seconds that both are open at most."""
STEADY_S = 60.0
"""A socket that lived so long was no failure."""
MOST_FRAME = 16 << 20
_LOOK_S = 1.0
_LONGEST_WAIT_S = 60.0
_MOST_DOUBLINGS = 6
_SHUTDOWN = b'"serverShutdown"'


class Sink(Protocol):
    """Takes what sockets bring."""

    def frame(
        self, lane: int, conn: int, text: bytes, capture_ns: int, mono_ns: int
    ) -> bytes | None:
        """Take a frame as it came; the name of its stream, None where it names none."""

    def event(self, name: str, **fields: Any) -> None:
        """Take note of something that happened to a socket."""

    def opened(self, lane: int, conn: int) -> None:
        """A lane has a socket that is open."""

    def closed(self, lane: int, conn: int, *, last: bool) -> None:
        """A lane's socket is closed; ``last``: it has no other."""


class _Why(Enum):
    ENDED = "ended"
    DUE = "due"


class _Socket:
    """A connection: its number, and when each stream was last heard, seconds of the venue."""

    def __init__(
        self,
        conn: int,
        socket: aiohttp.ClientWebSocketResponse[Literal[False]],
        lane: int,
        sink: Sink,
        pace: Pace,
    ) -> None:
        self.conn = conn
        self.opened = pace.now()
        self.heard: dict[bytes, float] = {}
        self.ending = False
        """Whether the venue said that it will end it."""
        self._socket = socket
        self._lane = lane
        self._sink = sink
        self._pace = pace
        self._looked = self._attended = self.opened
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> str:
        """Hand on all frames; why there are no more."""
        socket, sink, lane, conn = self._socket, self._sink, self._lane, self.conn
        heard, now, time_ns = self.heard, self._pace.now, self._pace.time_ns
        async for message in socket:
            capture_ns, mono_ns = time_ns(), time.monotonic_ns()
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                continue
            stream = sink.frame(lane, conn, message.data, capture_ns, mono_ns)
            if stream is not None:
                heard[stream] = now()
            if len(message.data) < 512 and _SHUTDOWN in message.data:
                self.ending = True
        error = socket.exception()
        return f"code {socket.close_code}" if error is None else str(error) or repr(error)

    def look(self) -> None:
        """Take note that we are here: a pause of our own is no silence of the venue's."""
        now = self._pace.now()
        if now - self._looked > PAUSE_S:
            self._attended = now
        self._looked = now

    def silent(self, streams: Sequence[bytes], doublings: Mapping[bytes, int]) -> bytes:
        """A stream that has been silent for too long; empty where none has."""
        now = self._pace.now()
        for stream in streams:
            heard = self.heard.get(stream)
            limit = (FIRST_FRAME_S if heard is None else IDLE_S).get(kind_of(stream))
            since = self._attended if heard is None else max(heard, self._attended)
            if limit is not None and now - since > limit * 2 ** doublings.get(stream, 0):
                return stream
        return b""

    async def close(self) -> None:
        """End the connection, and all that waits for it."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            await self._socket.close()
        if not self.reader.done():
            self.reader.cancel()
        with suppress(asyncio.CancelledError):
            await self.reader


class Lane:
    """Keeps a lane's socket open until it is cancelled.

    A socket that is lost is replaced: at once at first, then later and later. One that nears its
    end, or on which a stream stays silent, is handed over: the next one is open, and has brought
    every stream that the old one brought, before the old one is closed.

    Parameters
    ----------
    lane
        Its number among those side by side.
    http
        Session to connect through.
    url, streams
        The address of the combined stream, and the streams that it names.
    pace
        How fast the venue's time passes.
    sink
        Takes what the sockets bring.
    number
        Gives the next connection's number.
    """

    def __init__(
        self,
        lane: int,
        http: aiohttp.ClientSession,
        url: str,
        streams: Sequence[bytes],
        pace: Pace,
        sink: Sink,
        number: Callable[[], int],
    ) -> None:
        self._lane = lane
        self._http = http
        self._url = url
        self._streams = streams
        self._pace = pace
        self._sink = sink
        self._number = number
        self._jitter = random.Random()
        self._failures = 0
        self._doublings: dict[bytes, int] = {}  # of a stream's patience: reconnects did not help

    async def run(self) -> None:
        """Keep the lane's socket open until cancelled."""
        current: _Socket | None = None
        following: _Socket | None = None
        try:
            while True:
                following = await self._connect()
                if current is not None:
                    if not await self._overlap(current, following):
                        self._failures += 1
                        await self._end(following, "it ended before it took over", last=False)
                        following = None
                        continue
                    await self._end(current, "handed over", last=False)
                current, following = following, None
                if await self._watch(current) is _Why.ENDED:
                    current = None
        finally:
            for socket in (following, current):
                if socket is not None:
                    await self._end(socket, "the session ends", last=True)

    async def _connect(self) -> _Socket:
        """The next socket, however long it takes."""
        while True:
            if self._failures:
                longest = min(2.0 ** (self._failures - 1), _LONGEST_WAIT_S)
                await self._pace.sleep(longest * self._jitter.uniform(0.5, 1.0))
            conn = self._number()
            try:
                socket = await self._http.ws_connect(
                    self._url,
                    max_msg_size=MOST_FRAME,
                    decode_text=False,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self._failures += 1
                why = str(error) or type(error).__name__
                self._sink.event("connect_failed", lane=self._lane, conn=conn, why=why)
                continue
            self._sink.opened(self._lane, conn)
            self._sink.event("connected", lane=self._lane, conn=conn, url=self._url)
            return _Socket(conn, socket, self._lane, self._sink, self._pace)

    async def _watch(self, socket: _Socket) -> _Why:
        """Wait until a socket has ended, or is to be handed over."""
        while True:
            await asyncio.wait({socket.reader}, timeout=self._pace.ours(_LOOK_S))
            socket.look()
            age = self._pace.now() - socket.opened
            if socket.reader.done():
                await self._end(socket, socket.reader.result(), last=True)
                self._failures = 0 if age >= STEADY_S else self._failures + 1
                return _Why.ENDED
            if socket.ending or age >= LIFE_S:
                return _Why.DUE
            for stream in socket.heard:
                self._doublings.pop(stream, None)
            silent = socket.silent(self._streams, self._doublings)
            if silent:
                before = self._doublings.get(silent, 0)
                self._doublings[silent] = min(before + 1, _MOST_DOUBLINGS)
                name = silent.decode("utf-8", "replace")
                never = silent not in socket.heard
                why = "its first frame did not come" if never else "no frame for too long"
                self._sink.event("silent", lane=self._lane, conn=socket.conn, of=name, why=why)
                return _Why.DUE  # what its other streams bring is not to be lost

    async def _overlap(self, old: _Socket, new: _Socket) -> bool:
        """Wait until the new socket brings all that the old one did; False where it ends first."""
        until = self._pace.now() + OVERLAP_S
        while self._pace.now() < until and not old.reader.done():
            if new.reader.done():
                return False
            if new.heard.keys() >= old.heard.keys():
                return True
            await asyncio.wait({old.reader, new.reader}, timeout=self._pace.ours(0.05))
            new.look()
        return True

    async def _end(self, socket: _Socket, why: str, *, last: bool) -> None:
        await socket.close()
        self._sink.closed(self._lane, socket.conn, last=last)
        self._sink.event("disconnected", lane=self._lane, conn=socket.conn, why=why)
