"""Frames of RFC 6455 made by hand, over a plain socket: what the venue takes, and what it ends."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from lobproof.serve import LocalExchange, MarketName
from support.venue import scripted, within

TEXT, BINARY, CONTINUED, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
MASK = b"\x11\x22\x33\x44"


def made(
    data: bytes, kind: int = TEXT, *, final: bool = True, masked: bool = True, reserved: int = 0
) -> bytes:
    """A client's frame."""
    head = bytes([final << 7 | reserved | kind])
    bit = masked << 7
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 1 << 16:
        head += bytes([bit | 126]) + struct.pack(">H", len(data))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(data))
    if not masked:
        return head + data
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(data))


class Got(NamedTuple):
    """A server's frame."""

    kind: int
    data: bytes

    @property
    def code(self) -> int:
        """Of a closing frame."""
        assert self.kind == CLOSE
        return int.from_bytes(self.data[:2], "big")


class Client:
    """A plain socket with the upgrade behind it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    def ask(self, **request: Any) -> None:
        self.send(made(json.dumps(request).encode()))

    async def frame(self) -> Got | None:
        """The next frame, which must be whole, unmasked and final; None where the socket ended."""
        try:
            first, second = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80
            size = second
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return Got(first & 0xF, await self.reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def reply(self) -> Any:
        """The next text, as JSON."""
        got = await self.frame()
        assert got is not None
        assert got.kind == TEXT, got
        return json.loads(got.data)

    async def rest(self) -> list[Got]:
        """All frames until the socket ends."""
        found = []
        while (got := await self.frame()) is not None:
            found.append(got)
        return found


async def client_of(venue: LocalExchange, path: str = "/ws") -> Client:
    reader, writer = await asyncio.open_connection(venue.host, venue.port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {venue.host}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # the key's answer, as the RFC has it
    return Client(reader, writer)


def talk(
    work: Callable[[Client, LocalExchange], Awaitable[None]],
    *,
    market: MarketName = "spot",
    path: str = "/ws",
    speed: float = 0.001,
    seconds: float = 60.0,
) -> None:
    """Let a client talk to a venue whose time stands nearly still."""

    async def run() -> None:
        async with LocalExchange([scripted(market, seconds=seconds)], speed=speed) as venue:
            client = await client_of(venue, path)
            try:
                await work(client, venue)
            finally:
                client.writer.close()

    within(run(), 30.0)


def test_a_request_may_come_in_pieces_and_behind_a_ping() -> None:
    async def work(client: Client, venue: LocalExchange) -> None:
        request = b'{"method":"SUBSCRIBE","params":["tstusdt@trade"],"id":7}'
        client.send(
            made(request[:10], final=False),
            made(b"here?", PING),  # control frames may come between the pieces
            made(request[10:30], CONTINUED, final=False),
            made(request[30:], CONTINUED),
        )
        assert await client.frame() == Got(PONG, b"here?")
        assert await client.reply() == {"result": None, "id": 7}
        client.send(made(b'{"method":"LIST_SUBSCRIPTIONS","id":8}', BINARY))
        assert await client.reply() == {"result": ["tstusdt@trade"], "id": 8}
        client.send(made(b"\x03\xe8bye", CLOSE))
        (last,) = await client.rest()
        assert last.code == 1000

    talk(work)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([made(b'{"id":1}', CONTINUED)], 1002),
        ([made(b"{", final=False), made(b"}", TEXT)], 1002),
        ([made(b"x" * 126, PING)], 1002),
        ([made(b"x", PING, final=False)], 1002),
        ([made(b"{}", 0x3)], 1002),
        ([made(b"{}", reserved=0x40)], 1002),
        ([made(b"\xff\xfe")], 1007),
        ([made(b"x" * (1 << 18 | 1))], 1009),
        ([made(b"\x00", CLOSE)], 1002),
    ],
    ids=[
        "continues nothing", "begins within another", "ping of 126 bytes", "ping in pieces",
        "kind that is none", "reserved bit", "no UTF-8", "too long", "closing of one byte",
    ],
)  # fmt: skip
def test_what_the_protocol_forbids_ends_the_connection(frames: list[bytes], code: int) -> None:
    async def work(client: Client, venue: LocalExchange) -> None:
        client.send(*frames)
        said = await client.rest()
        assert [one.code for one in said] == [code]
        for _ in range(100):
            if not venue.venue.connections:
                break
            await asyncio.sleep(0.02)
        assert venue.venue.connections == []

    talk(work)


@pytest.mark.parametrize(("market", "most"), [("spot", 5), ("usdm", 10)])
def test_pings_count_as_messages_and_too_many_end_it(market: MarketName, most: int) -> None:
    async def work(client: Client, venue: LocalExchange) -> None:
        client.send(*(made(b"%d" % number, PING) for number in range(most + 1)))
        said = await client.rest()
        assert said[:-1] == [Got(PONG, b"%d" % number) for number in range(most)]
        assert (said[-1].code, said[-1].data[2:]) == (1008, b"too many messages")

    talk(work, market=market, path="/public/ws" if market == "usdm" else "/ws")


def test_who_pongs_in_time_is_kept_and_who_stops_is_cut() -> None:
    """Spot pings every 20 s, and waits a minute."""

    async def work(client: Client, venue: LocalExchange) -> None:
        pings = 0
        got = await client.frame()
        while got is not None and got.kind == PING:
            pings += 1
            if pings <= 4:
                client.send(made(got.data, PONG))
            got = await client.frame()
        assert got is not None
        assert (got.code, got.data[2:]) == (1008, b"no pong")
        # the four that were answered, the one that was not, and those of the minute behind it
        assert 7 <= pings <= 9

    talk(work, speed=50.0, seconds=400.0)


BARE = made(b'{"method":"LIST_SUBSCRIPTIONS","id":2}', masked=False)


@pytest.mark.parametrize(
    "bare",
    [
        BARE,
        made(b"", masked=False),
        made(b"x" * 300, masked=False),
        made(b"?", PING, masked=False),
        made(b"\x03\xe8", CLOSE, masked=False),
    ],
    ids=["text", "nothing", "longer", "ping", "closing"],
)
@pytest.mark.parametrize("before", [b"", made(b"{" + b" " * 70_000)], ids=["first", "second"])
def test_a_frame_without_a_mask_ends_the_connection(bare: bytes, before: bytes) -> None:
    async def work(client: Client, venue: LocalExchange) -> None:
        client.send(before, bare, made(b'{"method":"LIST_SUBSCRIPTIONS","id":3}'))
        said = await client.rest()
        assert [one.code for one in said] == [1002]
        assert venue.venue.connections == []

    talk(work)


def test_frames_that_come_byte_by_byte_are_told_apart() -> None:
    async def work(client: Client, venue: LocalExchange) -> None:
        async def drip(frame: bytes) -> None:
            for byte in frame:
                client.send(bytes([byte]))
                await asyncio.sleep(0.001)

        await drip(made(b'{"method":"LIST_SUBSCRIPTIONS","id":1}'))
        assert await client.reply() == {"result": [], "id": 1}
        await drip(made(b'{"method":"GET_PROPERTY","params":["combined"],"id":2}' + b" " * 100))
        assert await client.reply() == {"result": False, "id": 2}
        await drip(made(b"", PING) + made(b"?", PING))
        assert await client.frame() == Got(PONG, b"")
        assert await client.frame() == Got(PONG, b"?")
        await drip(BARE[:2])
        (last,) = await client.rest()
        assert last.code == 1002

    talk(work)


def test_a_connection_takes_1024_streams_and_not_one_more() -> None:
    async def work(client: Client, venue: LocalExchange) -> None:
        names = [f"s{number}@trade" for number in range(1024)]
        client.ask(method="SUBSCRIBE", params=names, id=1)
        assert await client.reply() == {"result": None, "id": 1}
        client.ask(method="SUBSCRIBE", params=["tstusdt@trade"], id=2)
        refused = await client.reply()
        assert refused["id"] == 2
        assert refused["msg"].endswith("too many parameters")
        client.ask(method="SUBSCRIBE", params=names[:3], id=3)  # those that it has
        assert await client.reply() == {"result": None, "id": 3}

    talk(work)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", 3),
        (b"{", 3),
        (b"[" * 100_000, 3),
        (b"[]", 2),
        (b'"SUBSCRIBE"', 2),
        (b'{"method":"SUBSCRIBE","params":"tstusdt@trade","id":1}', 2),
        (b'{"method":"SUBSCRIBE","params":[null],"id":1}', 2),
        (b'{"method":"SUBSCRIBE","params":["a@trade"],"id":true}', 2),
        (b'{"method":"SUBSCRIBE","params":["a@trade"],"id":1.5}', 2),
        (b'{"method":["SUBSCRIBE"],"id":1}', 2),
    ],
)
def test_a_bad_request_is_answered_and_changes_nothing(text: bytes, code: int) -> None:
    async def work(client: Client, venue: LocalExchange) -> None:
        client.send(made(text))
        assert (await client.reply())["code"] == code
        client.ask(method="LIST_SUBSCRIPTIONS", id=9)
        assert await client.reply() == {"result": [], "id": 9}

    talk(work)
