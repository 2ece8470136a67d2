"""A venue to test against: tapes written by hand, and clients that others' packages make."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Iterator
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from lobproof.instruments import Instrument, Rule, canonical_symbol
from lobproof.serve import LocalExchange, MarketName, Message, Tape

_T = TypeVar("_T")
Book = dict[str, dict[Decimal, Decimal]]
"""Side (``b``, ``a``) → price → size."""
MS = 1_000_000
SECOND = 1000 * MS
_STRAIGHT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
START = 1_767_571_200 * SECOND
EXCHANGES = {"spot": "BINANCE", "usdm": "BINANCE_FUTURES", "coinm": "BINANCE_DELIVERY"}


def within(work: Coroutine[Any, Any, _T], seconds: float = 120.0) -> _T:
    """What a coroutine gives, which may not take longer."""
    return asyncio.run(asyncio.wait_for(work, seconds))


def scripted(
    market: MarketName = "spot", symbol: str = "TSTUSDT", seconds: float = 60.0, every_ms: int = 100
) -> Tape:
    """A tape of depth, trade and ticker in turn; ids rise by one a message from 1001 and 501."""
    name = canonical_symbol(symbol, market != "spot")
    instrument = Instrument(EXCHANGES[market], name, symbol, 2, 3, (Rule(0, 1, 1),))
    low = symbol.lower()

    def source() -> Iterator[Message]:
        book = {"lastUpdateId": 1000, "bids": [["9.00", "1.000"]], "asks": [["11.00", "1.000"]]}
        yield Message(START, f"{low}@snapshot", _json(book))
        for k in range(1, round(seconds * 1000 / every_ms) + 1):
            ts = START + k * every_ms * MS
            now, last = ts // MS, 1000 + k
            chain = {"pu": last - 1} if market != "spot" else {}
            yield Message(
                ts,
                f"{low}@depth",
                _json(
                    {"e": "depthUpdate", "E": now, "s": symbol, "U": last, "u": last, **chain}
                    | {
                        "b": [[f"9.{k % 50:02d}", f"{k % 7}.000"]],
                        "a": [[f"11.{k % 50:02d}", "2.000"]],
                    }
                ),
            )
            yield Message(
                ts + 1,
                f"{low}@trade",
                _json(
                    {"e": "trade", "E": now, "s": symbol, "t": 500 + k, "p": "10.00"}
                    | {"q": "0.500", "T": now, "m": bool(k // 2 % 2), "M": True}
                ),
            )
            ticker = {"u": last, "s": symbol, "b": "9.00", "B": "1.000", "a": "11.00", "A": "2.000"}
            yield Message(ts + 2, f"{low}@bookTicker", _json(ticker))

    end = START + round(seconds * SECOND)
    return Tape(instrument, market, "synthetic", START, end, source)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def truths(tape: Tape, end_ns: int, wanted: set[int]) -> Iterator[tuple[int, Book]]:
    """The venue's book at these ids, by all that the tape says."""
    book: Book = {"b": {}, "a": {}}
    for message in tape.messages():
        if message.ts > end_ns:
            return
        kind = message.key.partition("@")[2]
        data = json.loads(message.payload) if kind in ("snapshot", "depth") else {}
        if kind == "snapshot" and not book["b"]:
            rows = {"b": data["bids"], "a": data["asks"]}
        elif kind == "depth":
            rows = {"b": data["b"], "a": data["a"]}
        else:
            continue
        for side, levels in rows.items():
            for price, size in levels:
                book[side][Decimal(price)] = Decimal(size)
                if not Decimal(size):
                    del book[side][Decimal(price)]
        if data.get("u") in wanted:
            yield data["u"], book


class Seen:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, str, bytes]] = []
        self.faults: list[tuple[int, str, int, str]] = []

    def sent(self, conn: int, stream: str, payload: bytes) -> None:
        self.messages.append((conn, stream, payload))

    def fault(self, ts: int, fault: str, conn: int, key: str) -> None:
        self.faults.append((ts, fault, conn, key))

    def of(self, conn: int) -> list[bytes]:
        return [payload for number, _, payload in self.messages if number == conn]


class Heard(NamedTuple):
    """What a client got: texts in order, and how the connection ended."""

    texts: list[str]
    code: int | None
    reason: str

    def field(self, name: str) -> list[Any]:
        """This field of all messages that have it."""
        found = []
        for text in self.texts:
            message = json.loads(text)
            message = message.get("data", message)
            if name in message:
                found.append(message[name])
        return found


def opened(url: str) -> connect:
    """A socket of the package `websockets`, straight to this machine."""
    return connect(url, compression=None, proxy=None)


async def listen(url: str, most: int = 10**9) -> Heard:
    """Listen until the venue ends the connection, or so many messages came."""
    texts: list[str] = []
    async with opened(url) as socket:
        return await hear(socket, texts, most)


async def hear(socket: ClientConnection, texts: list[str], most: int = 10**9) -> Heard:
    """Go on listening."""
    try:
        while len(texts) < most:
            texts.append(str(await socket.recv()))
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else None
        return Heard(texts, code, closed.rcvd.reason if closed.rcvd else "")
    return Heard(texts, None, "")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


async def get(url: str, headers: dict[str, str] | None = None) -> Answer:
    """A GET by Python's own client."""
    request = urllib.request.Request(url, headers=headers or {})

    def ask() -> Answer:
        try:
            with _STRAIGHT.open(request, timeout=10) as response:
                return Answer(response.status, dict(response.headers), json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
                body = json.loads(text) if text.startswith(b"{") else text
                return Answer(error.code, dict(error.headers), body)

    return await asyncio.to_thread(ask)


class ClientBook:
    """A local book by the venue's documentation, as it is written there."""

    def __init__(self, futures: bool) -> None:
        self.futures = futures
        self.sides: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
        self.last_id = 0
        self.snapshots = 0
        self.counts: Counter[str] = Counter()

    async def follow(self, exchange: LocalExchange, symbol: str, messages: int) -> None:
        """Open the stream, buffer, ask for a snapshot, splice, and hold the chain."""
        low, prefix = symbol.lower(), exchange.venue.profile.rest
        tier = "/public" if exchange.venue.profile.tiered else ""
        buffer: list[dict[str, Any]] = []
        url = f"{exchange.ws_url}{tier}/stream?streams={low}@depth@100ms"
        rest = f"{exchange.url}{prefix}/depth?symbol={symbol}&limit=1000"
        async with opened(url) as socket:
            first = True
            while self.counts["applied"] < messages:
                buffer.append(json.loads(await socket.recv())["data"])
                if not self.last_id:
                    self._start((await get(rest)).body, buffer[0]["U"])
                    continue
                for event in buffer:
                    if event["u"] < self.last_id + (not self.futures):
                        continue
                    if first:
                        after = self.last_id + (not self.futures)
                        assert event["U"] <= after <= event["u"], (event["U"], after, event["u"])
                    else:
                        follows = event["pu"] if self.futures else event["U"] - 1
                        assert follows == self.last_id
                    first = False
                    self._apply(event)
                buffer.clear()

    def _start(self, snapshot: dict[str, Any], first_id: int) -> None:
        self.snapshots += 1
        if snapshot["lastUpdateId"] < first_id:
            return
        self.last_id = snapshot["lastUpdateId"]
        for side, name in (("b", "bids"), ("a", "asks")):
            self.sides[side] = {Decimal(p): Decimal(q) for p, q in snapshot[name]}

    def _apply(self, event: dict[str, Any]) -> None:
        for side in ("b", "a"):
            for price, size in event[side]:
                if Decimal(size):
                    self.sides[side][Decimal(price)] = Decimal(size)
                else:
                    self.sides[side].pop(Decimal(price), None)
        self.last_id = event["u"]
        self.counts["applied"] += 1
