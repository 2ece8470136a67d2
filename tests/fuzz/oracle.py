"""The truth about a recording, kept apart: ``json``, ``int`` and ``dict``, nothing of lobproof.

An *extract* is a stretch of a recording: its depth messages and trades, and the book with which it
opens. It is a closed world: what rests in no listed and no changed level is not there, so the book
after each message is known whole. Numbers are counts of 10^-8.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 8
LEVELS = 20
MS = 1_000_000
Side = dict[int, int]
"""Price → size."""
Sides = tuple[Side, Side]
"""Bids and asks."""
Changes = tuple[list[tuple[int, int]], list[tuple[int, int]]]
Int64 = NDArray[np.int64]


def count(text: str) -> int:
    """A decimal text as a count."""
    whole, _, fraction = text.partition(".")
    assert len(fraction) <= DIGITS, text
    return int(whole + fraction.ljust(DIGITS, "0"))


def text_of(number: int, digits: int) -> str:
    """A count as the venue writes it."""
    text = f"{number // 10**DIGITS}.{number % 10**DIGITS:0{DIGITS}d}"
    cut = text[: len(text) - DIGITS + digits]
    assert count(cut) == number, (number, digits)
    return cut.rstrip(".") if digits == 0 else cut


@dataclass(frozen=True, slots=True)
class Message:
    """A depth message: its ids, its exchange time in ns, and what it changes."""

    first: int
    final: int
    time: int
    changes: Changes

    @classmethod
    def read(cls, data: dict[str, Any]) -> Message:
        """Of a depth message's payload."""
        bids, asks = (_pairs(data[name]) for name in ("b", "a"))
        return cls(data["U"], data["u"], data["E"] * MS, (bids, asks))

    def put(self, book: Sides) -> None:
        """Apply it to a book."""
        for side, changes in zip(book, self.changes, strict=True):
            for price, size in changes:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)


def _pairs(levels: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    return [(count(price), count(size)) for price, size in levels]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a recording: receive time as it stands there, document, and what it is."""

    stamp: int
    document: dict[str, Any]
    kind: str  # depth, trade
    version: int = -1
    """Of a depth message: the book after it, as a number of the extract."""


@dataclass(frozen=True)
class Extract:
    """Lines of a recording from a message on, and the book after each message.

    Version 0 is the opening book, after the message ``opening``; version k the one after
    ``messages[k - 1]``. ``lines`` begin a few messages before the opening.
    """

    name: str
    symbol: str
    futures: bool
    digits: tuple[int, int]
    """Digits after the point of prices and sizes."""
    opening: Message
    book: Sides
    messages: Sequence[Message]
    lines: Sequence[Line]
    _kept: dict[int, Sides] = field(default_factory=dict)

    @property
    def versions(self) -> int:
        return len(self.messages) + 1

    @cached_property
    def ids(self) -> Int64:
        """Final update id of each version."""
        return np.array([one.final for one in (self.opening, *self.messages)], np.int64)

    @cached_property
    def times(self) -> Int64:
        """Exchange time of each version, ns."""
        return np.array([one.time for one in (self.opening, *self.messages)], np.int64)

    @cached_property
    def levels(self) -> Int64:
        """Twenty levels a side of each version: price, size, best first, 0 where there is none."""
        table = np.zeros((self.versions, 4 * LEVELS), np.int64)
        book = self.at(0)
        prices = [sorted(side) for side in book]
        for version in range(self.versions):
            if version:
                message = self.messages[version - 1]
                for k, changes in enumerate(message.changes):
                    _put(book[k], prices[k], changes)
            tops = prices[0][: -LEVELS - 1 : -1], prices[1][:LEVELS]
            for k, top in enumerate(tops):
                pairs = [value for price in top for value in (price, book[k][price])]
                table[version, 2 * LEVELS * k : 2 * LEVELS * k + len(pairs)] = pairs
        return table

    def at(self, version: int) -> Sides:
        """The whole book of a version; the caller's own."""
        start = version - version % 100
        if start not in self._kept:
            book = _copy(self.book)
            for number in range(start + 1):
                if number:
                    self.messages[number - 1].put(book)
                if number % 100 == 0:
                    self._kept.setdefault(number, _copy(book))
        book = _copy(self._kept[start])
        for number in range(start, version):
            self.messages[number].put(book)
        return book


def _put(side: Side, prices: list[int], changes: Sequence[tuple[int, int]]) -> None:
    for price, size in changes:
        if size:
            if price not in side:
                prices.insert(bisect_left(prices, price), price)
            side[price] = size
        elif side.pop(price, None) is not None:
            del prices[bisect_left(prices, price)]


def _copy(book: Sides) -> Sides:
    return dict(book[0]), dict(book[1])


@dataclass(frozen=True)
class Recording:
    """The files of one symbol, and where extracts begin."""

    name: str
    files: tuple[str, ...]
    starts: int = 6
    """How many places there are to begin at."""
    longest: int = 1600
    """Messages of the longest extract."""


RECORDINGS = {
    one.name: one
    for one in (
        Recording("btc", ("binance-spot/btcusdt_20240808.gz", "binance-spot/btcusdt_20240809.gz")),
        Recording("eth", ("binance-spot/ethusdt_20240808.gz", "binance-spot/ethusdt_20240809.gz")),
        Recording(
            "nexo", ("binance-spot/nexousdt_20240723.gz", "binance-spot/nexousdt_20240724.gz"), 10
        ),
        Recording("usdm", ("../futures/binance-usdm/ethusdt_20240808.gz",)),
        Recording(
            "coinm",
            (
                "../futures/binance-coinm/ethusd_perp_20240808.gz",
                "../futures/binance-coinm/ethusd_perp_20240809.gz",
            ),
            10,
            4000,
        ),
    )
}


def there(folder: Path) -> list[str]:
    """Names of the recordings that ``folder`` and its neighbours hold."""
    return [
        name
        for name, one in RECORDINGS.items()
        if all((folder / file).is_file() for file in one.files)
    ]


def extract(folder: Path, name: str, start: int, messages: int, lead: int = 4) -> Extract:
    """The stretch of so many messages that begins at one of the recording's places.

    ``lead``: messages before the opening that its lines begin with.
    """
    world = _world(folder, name)
    number, book = world.places[start % len(world.places)]
    number, stop = number + 1, min(number + 1 + messages, len(world.depths))
    first, last = world.depths[max(number - 1 - lead, 0)][0], world.depths[stop - 1][0]
    lines = []
    version = {row: k - number + 1 for k, (row, _) in enumerate(world.depths)}
    for row in range(first, last + 1):
        stamp, body, kind = world.lines[row]
        lines.append(Line(stamp, json.loads(body), kind, version.get(row, -1)))
    return Extract(
        name,
        world.symbol,
        world.futures,
        world.digits,
        world.depths[number - 1][1],
        _copy(book),
        [message for _, message in world.depths[number:stop]],
        lines,
    )


@dataclass(frozen=True)
class _World:
    symbol: str
    futures: bool
    digits: tuple[int, int]
    lines: list[tuple[int, bytes, str]]
    """Receive time, document as it stands there, and what it is."""
    depths: list[tuple[int, Message]]
    """Row, and message."""
    places: list[tuple[int, Sides]]
    """Number of the message that opens, and the book after it."""


@cache
def _world(folder: Path, name: str) -> _World:
    one = RECORDINGS[name]
    lines: list[tuple[int, bytes, str]] = []
    depths: list[tuple[int, Message]] = []
    book: Sides = ({}, {})
    seeded = -1
    symbol, futures = "", False
    price_digits = size_digits = 0
    for stamp, body in _lines([folder / file for file in one.files]):
        if b"@trade" in body[:120]:
            lines.append((stamp, body, "trade"))
            continue
        document = json.loads(body)
        data = document.get("data", document)
        if "lastUpdateId" in data:
            book = dict(_pairs(data["bids"])), dict(_pairs(data["asks"]))
            seeded = data["lastUpdateId"]
            price_digits = max(len(price.partition(".")[2]) for price, _ in data["bids"])
            size_digits = max(len(size.partition(".")[2]) for _, size in data["bids"])
        elif data.get("e") == "depthUpdate":
            symbol, futures = data["s"], "pu" in data
            depths.append((len(lines), Message.read(data)))
            lines.append((stamp, body, "depth"))
    first = next(k for k, (_, message) in enumerate(depths) if message.final > seeded)
    room = max(len(depths) - first - one.longest, 1)
    wanted = {first + room * k // one.starts for k in range(one.starts)}
    places = []
    for k in range(first, len(depths)):
        depths[k][1].put(book)
        if k in wanted:
            places.append((k, _copy(book)))
    return _World(symbol, futures, (price_digits, size_digits), lines, depths, places)


def _lines(files: Sequence[Path]) -> Iterator[tuple[int, bytes]]:
    for file in files:
        for line in gzip.decompress(file.read_bytes()).splitlines():
            if b"@bookTicker" not in line[:90]:
                stamp, _, body = line.partition(b" ")
                yield int(stamp), body
