"""What a recording says: the book after each depth message, and what Crypto Lake would have of it.

Both take plain messages of a recording whose depth messages are whole and in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lobproof.schema import LEVELS
from plain.book import PlainSide
from plain.decoder import Plain

DIGITS = 8
"""Prices and sizes are counted in 10^-8, as the venue writes them."""
Book = tuple[dict[int, int], dict[int, int]]
"""Size by price of bids and of asks."""
EVERY_NS = 100_000_000
"""A vendor row for the first message of each such interval."""


@dataclass
class RecordedSide:
    """A side, and the price (times its sign) down to which a snapshot or the market told it."""

    levels: PlainSide[int]
    known_to: int | None = None

    def list(self, listed: Sequence[tuple[int, int]]) -> None:
        """A snapshot."""
        self.known_to = self.levels.sign * self.levels.replace(listed)

    def learn(self, other: RecordedSide) -> None:
        """The side is known to the other's touch, once the market is beyond what was listed."""
        if self.known_to is not None and other.levels.keys:
            self.known_to = max(self.known_to, -other.levels.keys[0])


class After(NamedTuple):
    """The sides behind a depth message."""

    message: Plain
    bids: RecordedSide
    asks: RecordedSide


def replayed(messages: Iterable[Plain]) -> Iterator[After]:
    """Each depth message with the book behind it; snapshots go in where their ids belong."""
    plain = [message for message in messages if message.kind in ("depth", "snapshot")]
    waiting = [message for message in plain if message.kind == "snapshot"]
    sides = {"bid": RecordedSide(PlainSide(-1)), "ask": RecordedSide(PlainSide(1))}
    for message in plain:
        if message.kind != "depth":
            continue
        while waiting and waiting[0].ids[0] < message.ids[1]:
            listed = waiting.pop(0).levels
            for name, side in sides.items():
                side.list([(count(p), count(q)) for which, p, q in listed if which == name])
        for which, price, size in message.levels:
            sides[which].levels.apply(count(price), count(size))
        # no bid lies at the best ask or above, and no ask at the best bid or below
        for mine, other in (("bid", "ask"), ("ask", "bid")):
            sides[mine].learn(sides[other])
        yield After(message, *sides.values())


# the book after each message ----------------------------------------------------------------------


@dataclass
class Truth:
    """The book after each depth message.

    ``levels`` (messages, 2, 20, 2): price and size by side and slot. ``known`` (messages, 2): how
    many leading slots are known, by the recording's snapshots or since the market passed them.
    ``books`` by update id, as asked for, and ``ends``: how far each side is known there.
    """

    sequence: NDArray[np.int64]
    levels: NDArray[np.int64]
    known: NDArray[np.int64]
    books: dict[int, Book]
    ends: dict[int, tuple[int | None, int | None]]

    def rows(self, sequence: NDArray[np.int64]) -> NDArray[np.intp]:
        """Places of update ids, each of which must be there."""
        at = np.searchsorted(self.sequence, sequence)
        np.testing.assert_array_equal(self.sequence[at], sequence)
        return at


def recorded_books(messages: Iterable[Plain], wanted: Iterable[int] = ()) -> Truth:
    """The truth about a recording; ``wanted``: update ids of whole books."""
    asked = set(wanted)
    ids, levels, known = [], [], []
    books: dict[int, Book] = {}
    ends: dict[int, tuple[int | None, int | None]] = {}
    for message, *sides in replayed(messages):
        ids.append(message.ids[1])
        top = np.zeros((2, LEVELS, 2), np.int64)
        for side, now in enumerate(sides):
            best = now.levels.best(LEVELS)
            top[side, : len(best)] = np.array(best, np.int64).reshape(-1, 2)
        levels.append(top)
        known.append(
            [
                sum(s.known_to is not None and key <= s.known_to for key in s.levels.keys[:LEVELS])
                for s in sides
            ]
        )
        if ids[-1] in asked:
            bids, asks = sides
            books[ids[-1]] = dict(bids.levels.best()), dict(asks.levels.best())
            to = [None if s.known_to is None else s.levels.sign * s.known_to for s in sides]
            ends[ids[-1]] = (to[0], to[1])
    shape = (-1, 2, LEVELS, 2)
    return Truth(
        np.array(ids, np.int64),
        np.array(levels, np.int64).reshape(shape),
        np.array(known, np.int64).reshape(-1, 2),
        books,
        ends,
    )


def count(value: Decimal) -> int:
    """A decimal as a count of 10^-8; it must be one."""
    whole, _, part = format(value, "f").partition(".")
    part = part.rstrip("0")
    assert len(part) <= DIGITS
    return int(whole + part.ljust(DIGITS, "0"))


# Crypto Lake's tables -----------------------------------------------------------------------------


@dataclass
class LakeTruth:
    """Rows as tuples in the raw columns' order, in the recording's order.

    ``book`` has the row of each message that opens a 100 ms interval, ``seeded`` says whether a
    snapshot had come by then. Levels that are not there are None.
    """

    deltas: list[tuple[object, ...]] = field(default_factory=list)
    trades: list[tuple[object, ...]] = field(default_factory=list)
    book: list[tuple[object, ...]] = field(default_factory=list)
    seeded: list[bool] = field(default_factory=list)
    messages: int = 0


def lake_truth(messages: Iterable[Plain]) -> LakeTruth:
    """What Crypto Lake would have of a recording."""
    truth = LakeTruth()
    recording = list(messages)
    for one in recording:
        if one.kind == "trade":
            ((_, price, size),) = one.levels
            side = "buy" if one.buyer_is_taker else "sell"
            traded = (side, nearest(size), nearest(price), one.ids[0])
            truth.trades.append((*traded, stamp(one.trade_ns), stamp(one.recv_ns)))
    slot = -1
    for message, bids, asks in replayed(recording):
        times = (stamp(message.event_ns), stamp(message.recv_ns))
        truth.messages += 1
        for which, price, size in message.levels:
            row = (message.ids[1], which == "bid", nearest(price), nearest(size))
            truth.deltas.append((*times, *row))
        if message.event_ns // EVERY_NS > slot:
            slot = message.event_ns // EVERY_NS
            truth.book.append((*times, message.ids[1], *_slots(bids), *_slots(asks)))
            truth.seeded.append(bids.known_to is not None)
    return truth


def same_rows(frame: pl.DataFrame, columns: Sequence[str], rows: list[tuple[object, ...]]) -> None:
    """Assert that a frame of the files' rows is exactly these, floats to the bit."""
    assert frame.height == len(rows)
    expected = dict(zip(columns, zip(*rows, strict=True), strict=True))
    for name in columns:
        assert frame[name].to_list() == list(expected[name]), name


def stamp(ns: int) -> int:
    """The vendor's stamp: float seconds times 1e9, cut off."""
    if ns % 1_000_000 == 0:
        return int(ns // 1_000_000 / 1e3 * 1e9)
    return int(ns // 1000 / 1e6 * 1e9)


def nearest(value: Decimal) -> float:
    """The float64 nearest to a decimal, by its text."""
    return float(str(value))


def _slots(side: RecordedSide) -> list[float | None]:
    best = side.levels.best(LEVELS)
    row: list[float | None] = [
        nearest(Decimal(number).scaleb(-DIGITS)) for level in best for number in level
    ]
    return row + [None] * (2 * LEVELS - len(row))
