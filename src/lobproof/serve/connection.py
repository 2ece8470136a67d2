"""One client's socket: what waits to be sent, what it may say, and how it ends."""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

from lobproof.serve.clock import SECOND
from lobproof.sources.binance.venue import CONNECTION_NS, Profile

QUEUE_BYTES = 16 << 20
"""What may wait for a slow client before it is cut."""
GRACE_SECONDS = 2.0
"""How long a client that is cut may take to read what was sent, in real time."""
GOING_AWAY, POLICY, FAILED = 1001, 1008, 1011
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_TIMES = re.compile(rb'"([ET])":(\d{13})(\d{3})?(?=[,}])')


class Observer(Protocol):
    """Who is told what the venue does; both are called in order."""

    def sent(self, conn: int, stream: str, payload: bytes) -> None:
        """A connection was handed a message; of no stream: something that is none."""

    def fault(self, ts: int, fault: str, conn: int, key: str) -> None:
        """A fault was done at a time, to a connection (0: none) and to data (empty: all)."""


def frame(data: bytes, kind: int = _TEXT) -> bytes:
    """A frame of the WebSocket protocol as a server sends it, by default a text."""
    size = len(data)
    if size < 126:
        return bytes((kind, size)) + data
    if size < 1 << 16:
        return bytes((kind, 126)) + size.to_bytes(2, "big") + data
    return bytes((kind, 127)) + size.to_bytes(8, "big") + data


def in_unit(payload: bytes, micro: bool) -> bytes:
    """A payload with its times in microseconds, or in ms; digits that are not there are 0."""
    at = payload.find(b'"E":')
    if at < 0 or payload[at + 17 : at + 20].isdigit() == micro:
        return payload
    return _TIMES.sub(rb'"\1":\g<2>000' if micro else rb'"\1":\2', payload)


class Connection:
    """A client's socket. What is put waits for :meth:`flush`, so that a tick is one write."""

    def __init__(
        self,
        number: int,
        transport: asyncio.Transport,
        profile: Profile,
        now: int,
        *,
        tier: str = "",
        combined: bool = False,
        micro: bool = False,
        sbe: bool = False,
    ) -> None:
        self.number = number
        self.tier = tier
        self.combined = combined
        self.micro = micro
        self.sbe = sbe
        self.names: dict[str, None] = {}
        """Streams that it asked for, in that order."""
        self.messages = 0
        self.stalled = False
        self.closed = False
        self._transport = transport
        self._profile = profile
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._opened = self._pinged = self._ponged = now
        self._unanswered = 0
        self._overdue = False
        self._second = -1
        self._said = 0

    def form(self, name: str, payload: bytes) -> bytes:
        """The frame in which a connection like this one gets a message."""
        if self.sbe:
            return frame(payload, _BINARY)
        if self.combined:
            return frame(b'{"stream":"%b","data":%b}' % (name.encode(), payload))
        return frame(payload)

    def put(self, data: bytes) -> None:
        """Let a frame wait for the next flush."""
        self._waiting.append(data)
        self._waiting_bytes += len(data)

    def say(self, text: bytes) -> None:
        """Let a text that is no message of a stream wait."""
        self.put(frame(text))

    def flush(self) -> bool:
        """Send what waits; False where too much does: the client is too slow."""
        if self.closed:
            return True
        behind = self._transport.get_write_buffer_size() + self._waiting_bytes
        if behind > QUEUE_BYTES:
            return False
        if self._waiting and not self.stalled:
            self._transport.write(b"".join(self._waiting))
            self._waiting.clear()
            self._waiting_bytes = 0
        return True

    def stall(self, stalled: bool) -> None:
        """Neither read nor send, or do so again."""
        self.stalled = stalled
        if self.closed:
            return
        if stalled:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def may_speak(self, now: int) -> bool:
        """Count what the client says; False where it says more than the venue lets it."""
        if now // SECOND != self._second:
            self._second, self._said = now // SECOND, 0
        self._said += 1
        return self._said <= self._profile.client_messages

    def pinged(self, data: bytes) -> None:
        """Answer the client's ping."""
        self.put(frame(data, _PONG))

    def ponged(self, now: int) -> bool:
        """The client answered, or, not asked, shows that it is there; whether it may go on.

        Answers are not counted: where the venue's time is fast, several come at once.
        """
        self._ponged = now
        self._overdue = False
        if self._unanswered:
            self._unanswered -= 1
            return True
        return self.may_speak(now)

    def watch(self, now: int) -> str:
        """Ping when it is time; why the venue ends the connection, empty where it does not."""
        if now - self._opened >= CONNECTION_NS:
            return "aged"
        if self._unanswered and now - self._ponged >= self._profile.pong_ns:
            if self._overdue:
                return "unanswered"
            self._overdue = True  # its answer may lie unread: look once more
        if now - self._pinged >= self._profile.ping_ns:
            if not self._unanswered:
                self._ponged = now
            self._unanswered += 1
            self._pinged = now
            self.put(frame(str(now // 1_000_000).encode(), _PING))
        return ""

    def close(self, code: int, reason: str) -> None:
        """Send what waits, say goodbye, and end it; who does not read is cut all the same."""
        if self.closed:
            return
        if self.stalled:
            self.stall(False)
        self.put(frame(code.to_bytes(2, "big") + reason.encode(), _CLOSE))
        self._transport.write(b"".join(self._waiting))
        self.closed = True
        self._transport.close()
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """End it without a word."""
        self.closed = True
        self._transport.abort()
