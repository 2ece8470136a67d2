"""How far our clock is off: asked of time servers by SNTP, and of the venue as a second opinion."""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SERVERS = ("time.cloudflare.com", "pool.ntp.org", "time.google.com")
SAMPLES = 4
"""Requests to a server, of which the answer with the least delay is taken."""
WAIT_S = 2.0
_PORT = 123
_SINCE_1900 = 2_208_988_800
_ERA_S = 1 << 32
_SECOND = 1_000_000_000
_PACKET = struct.Struct("!BBbb11I")
_CLIENT = 4 << 3 | 3  # version 4, mode 3
_SERVER = 4
_ALARM = 3
_MOST_STRATUM = 15


@dataclass(frozen=True, slots=True)
class ClockSample:
    """What is to be added to our clock to have the server's, and the round trip, ns."""

    offset_ns: int
    delay_ns: int


class NoAnswerError(Exception):
    """A server that gave no answer that can be used, and why."""


class _Asking(asyncio.DatagramProtocol):
    """Takes the datagrams of one server, with the time at which each came."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[bytes, int] | OSError] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.came.put_nowait((data, time.time_ns()))

    def error_received(self, exc: Exception) -> None:
        self.came.put_nowait(exc if isinstance(exc, OSError) else OSError(str(exc)))


async def ask_time(server: str, *, samples: int = SAMPLES, wait_s: float = WAIT_S) -> ClockSample:
    """The best of several answers of a server, ``host`` or ``host:port``.

    Raises
    ------
    NoAnswerError
        If none of them can be used.
    """
    host, colon, port = server.rpartition(":")
    address = (host, int(port)) if colon and port.isdecimal() else (server, _PORT)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(wait_s):
            transport, asking = await loop.create_datagram_endpoint(_Asking, remote_addr=address)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise NoAnswerError(str(error) or "its name is not found in time") from error
    found: list[ClockSample] = []
    why = ""
    try:
        for _ in range(samples):
            try:
                found.append(await _ask(transport, asking, wait_s))
            except NoAnswerError as error:
                why = str(error)
                if not found:
                    break
    finally:
        transport.close()
    if not found:
        raise NoAnswerError(why)
    return min(found, key=lambda one: one.delay_ns)


async def _ask(transport: asyncio.DatagramTransport, asking: _Asking, wait_s: float) -> ClockSample:
    """One request; answers to others, and those of nobody, are passed over."""
    token = secrets.token_bytes(8)  # stands for our time: whoever cannot see it cannot answer
    request = _PACKET.pack(_CLIENT, *(0,) * 14)[:40] + token
    began, sent = time.monotonic(), time.time_ns()
    transport.sendto(request)
    try:
        async with asyncio.timeout(wait_s):
            while True:
                came = await asking.came.get()
                if isinstance(came, OSError):
                    raise NoAnswerError(str(came))
                data, received = came
                if len(data) >= _PACKET.size and data[24:32] == token:
                    break
    except TimeoutError as error:
        raise NoAnswerError(f"no answer within {wait_s:g} s") from error
    if time.monotonic() - began > wait_s:
        raise NoAnswerError(f"no answer within {wait_s:g} s")
    return read_answer(data, sent, received)


def read_answer(data: bytes, sent_ns: int, received_ns: int) -> ClockSample:
    """Offset and delay by an answer to what was sent, and came, at times of our clock.

    Raises
    ------
    NoAnswerError
        If the server is no server, or does not know the time itself.
    """
    fields = _PACKET.unpack(data[: _PACKET.size])
    leap, mode, stratum = fields[0] >> 6, fields[0] & 7, fields[1]
    if mode != _SERVER:
        raise NoAnswerError(f"an answer of mode {mode}, which is no server's")
    if not 1 <= stratum <= _MOST_STRATUM or leap == _ALARM:
        raise NoAnswerError(f"a server that has no time itself: stratum {stratum}, leap {leap}")
    took, gave = _time(fields[11], fields[12], sent_ns), _time(fields[13], fields[14], sent_ns)
    delay = received_ns - sent_ns - (gave - took)
    if not fields[13] or gave < took or delay < 0:
        raise NoAnswerError("its times contradict each other")
    return ClockSample(((took - sent_ns) + (gave - received_ns)) // 2, delay)


def _time(seconds: int, fraction: int, near_ns: int) -> int:
    """A time of the protocol in ns since 1970: of the era that is nearest."""
    whole = seconds - _SINCE_1900
    whole += round((near_ns // _SECOND - whole) / _ERA_S) * _ERA_S
    return whole * _SECOND + (fraction * _SECOND >> 32)


async def look_at_clock(
    servers: Sequence[str], told: Callable[[str, dict[str, Any]], None]
) -> ClockSample | None:
    """Ask servers until one answers; each answer and each failure is told as ``clock``."""
    for server in servers:
        try:
            found = await ask_time(server)
        except NoAnswerError as error:
            told("clock", {"server": server, "why": str(error)})
            continue
        told(
            "clock",
            {"server": server, "offset_ns": found.offset_ns, "delay_ns": found.delay_ns},
        )
        return found
    return None
