"""The clock's offset, asked of servers of this machine: right, wrong, late, silent ones."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from lobproof.capture.clock import ClockSample, NoAnswerError, ask_time, look_at_clock

AHEAD_NS = 3_000_000_000
Answer = Callable[[bytes], bytes | None]


def answer(request: bytes, *, mode: int = 4, stratum: int = 2, leap: int = 0) -> bytes:
    """What a server says whose clock is three seconds ahead."""
    now = time.time_ns() + AHEAD_NS
    seconds, part = divmod(now, 1_000_000_000)
    stamp = struct.pack("!II", (seconds + 2_208_988_800) % (1 << 32), (part << 32) // 10**9)
    head = bytes((leap << 6 | 4 << 3 | mode, stratum, 0, 0))
    return head + bytes(20) + request[40:48] + stamp + stamp


class Server(asyncio.DatagramProtocol):
    def __init__(self, said: Answer, late_s: float) -> None:
        self.said, self.late_s = said, late_s

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        told = self.said(data)
        if told is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(self.late_s, self.transport.sendto, told, addr)


async def with_server(said: Answer, then: Callable[[str], Any], late_s: float = 0.0) -> Any:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Server(said, late_s), local_addr=("127.0.0.1", 0)
    )
    try:
        port = transport.get_extra_info("sockname")[1]
        return await then(f"127.0.0.1:{port}")
    finally:
        transport.close()


def asked(said: Answer, late_s: float = 0.0) -> ClockSample:
    found = asyncio.run(with_server(said, lambda at: ask_time(at, wait_s=0.3), late_s))
    assert isinstance(found, ClockSample)
    return found


def test_a_right_answer() -> None:
    found = asked(answer)
    assert abs(found.offset_ns - AHEAD_NS) < 50_000_000
    assert 0 <= found.delay_ns < 100_000_000


def test_a_slow_way_is_in_the_delay() -> None:
    found = asked(answer, late_s=0.1)
    assert found.delay_ns >= 90_000_000
    assert abs(found.offset_ns - AHEAD_NS) <= found.delay_ns / 2 + 20_000_000


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (lambda request: None, "no answer within"),
        (lambda request: answer(bytes(48)), "no answer within"),  # not to what was asked
        (lambda request: answer(request)[:40], "no answer within"),
        (lambda request: b"", "no answer within"),
        (lambda request: answer(request, mode=3), "no server's"),
        (lambda request: answer(request, stratum=0), "no time itself"),
        (lambda request: answer(request, stratum=16), "no time itself"),
        (lambda request: answer(request, leap=3), "no time itself"),
        (lambda request: answer(request)[:40] + bytes(8), "contradict"),
    ],
)
def test_what_is_no_answer(said: Answer, why: str) -> None:
    with pytest.raises(NoAnswerError, match=why):
        asked(said)


def test_an_answer_that_comes_too_late() -> None:
    with pytest.raises(NoAnswerError, match="no answer within"):
        asked(answer, late_s=0.5)


def test_the_next_server_is_asked_and_each_is_told() -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    async def look(at: str) -> ClockSample | None:
        return await look_at_clock(("127.0.0.1:9", at), lambda *one: told.append(one))

    found = asyncio.run(with_server(answer, look))
    assert isinstance(found, ClockSample)
    assert [name for name, _ in told] == ["clock", "clock"]
    assert "why" in told[0][1]
    assert told[1][1]["offset_ns"] == found.offset_ns
