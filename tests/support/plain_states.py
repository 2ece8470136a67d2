"""The book after each depth message of a recording, from plain messages: json, Decimal, a list."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import LEVELS
from plain_decoder import Plain

DIGITS = 8
"""Prices and sizes are counted in 10^-8, as the venue writes them."""
Book = tuple[dict[int, int], dict[int, int]]
"""Size by price of bids and of asks."""


@dataclass
class Side:
    """Levels of a side; keys grow away from the touch. Known down to ``end``, None: not at all."""

    sign: int
    sizes: dict[int, int] = field(default_factory=dict)
    keys: list[int] = field(default_factory=list)
    end: int | None = None

    def apply(self, price: int, size: int) -> None:
        key = self.sign * price
        if key in self.sizes:
            if not size:
                del self.sizes[key]
                del self.keys[bisect_left(self.keys, key)]
                return
        elif size:
            insort(self.keys, key)
        if size:
            self.sizes[key] = size

    def replace(self, listed: list[tuple[int, int]]) -> None:
        """A snapshot: from the touch to its worst price the side is as listed."""
        self.end = max(self.sign * price for price, _ in listed)
        for key in [key for key in self.keys if key <= self.end]:
            self.apply(self.sign * key, 0)
        for price, size in listed:
            self.apply(price, size)

    def learn(self, other: Side) -> None:
        """The side is known to the other's touch, once the market is beyond its end."""
        if self.end is not None and other.keys:
            self.end = max(self.end, -other.keys[0])

    def book(self) -> dict[int, int]:
        return {self.sign * key: size for key, size in self.sizes.items()}


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


def plain_states(messages: Iterable[Plain], wanted: Iterable[int] = ()) -> Truth:
    """Of a recording whose depth messages are whole and in order; ``wanted``: ids of books."""
    plain = [message for message in messages if message.kind in ("depth", "snapshot")]
    waiting = [message for message in plain if message.kind == "snapshot"]
    depth = [message for message in plain if message.kind == "depth"]
    sides = {"bid": Side(-1), "ask": Side(1)}
    levels = np.zeros((len(depth), 2, LEVELS, 2), np.int64)
    known = np.zeros((len(depth), 2), np.int64)
    asked = set(wanted)
    truth = Truth(np.array([m.ids[1] for m in depth], np.int64), levels, known, {}, {})
    for row, message in enumerate(depth):
        while waiting and waiting[0].ids[0] < message.ids[1]:
            listed = [(name, count(p), count(q)) for name, p, q in waiting.pop(0).levels]
            for name, side in sides.items():
                side.replace([(p, q) for which, p, q in listed if which == name])
        for name, price, size in message.levels:
            sides[name].apply(count(price), count(size))
        # no bid lies at the best ask or above, and no ask at the best bid or below
        for mine, other in (("bid", "ask"), ("ask", "bid")):
            sides[mine].learn(sides[other])
        for half, now in enumerate(sides.values()):
            for slot, key in enumerate(now.keys[:LEVELS]):
                levels[row, half, slot] = now.sign * key, now.sizes[key]
                known[row, half] += now.end is not None and key <= now.end
        if message.ids[1] in asked:
            bids, asks = sides.values()
            truth.books[message.ids[1]] = bids.book(), asks.book()
            ends = tuple(None if s.end is None else s.sign * s.end for s in (bids, asks))
            truth.ends[message.ids[1]] = (ends[0], ends[1])
    return truth


def count(value: Decimal) -> int:
    """A decimal as a count of 10^-8; it must be one."""
    whole, _, part = format(value, "f").partition(".")
    part = part.rstrip("0")
    assert len(part) <= DIGITS
    return int(whole + part.ljust(DIGITS, "0"))
