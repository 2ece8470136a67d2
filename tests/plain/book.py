"""The order book: a dict and a sorted list a side, and how far each side is trusted."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Generic, Self, TypeVar

from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Side

Number = TypeVar("Number", int, float)
Levels = list[tuple[int, int]]
"""Price and size of levels, best first."""


class PlainSide(Generic[Number]):
    """Levels of a side. Its keys are prices with a sign, so that they grow away from the touch."""

    def __init__(self, sign: int, levels: Mapping[Number, Number] | None = None) -> None:
        self.sign = sign
        self.sizes: dict[Number, Number] = {}
        self.keys: list[Number] = []
        for price, size in (levels or {}).items():
            self.apply(price, size)

    def apply(self, price: Number, size: Number) -> Number:
        """Set a level's size, 0 removes it; returns the size that it had."""
        key = self.sign * price
        was = self.sizes.pop(key, 0)
        if size:
            self.sizes[key] = size
            if not was:
                insort(self.keys, key)
        elif was:
            del self.keys[bisect_left(self.keys, key)]
        return was

    def clear_to(self, price: Number) -> None:
        """Remove the levels from the touch to a price inclusive."""
        while self.keys and self.keys[0] <= self.sign * price:
            del self.sizes[self.keys.pop(0)]

    def replace(self, listed: Iterable[tuple[Number, Number]]) -> Number:
        """A snapshot: down to its worst price, which is returned, the side is as listed."""
        levels = list(listed)
        worst = self.sign * max(self.sign * price for price, _ in levels)
        self.clear_to(worst)
        for price, size in levels:
            self.apply(price, size)
        return worst

    def best(self, n: int | None = None) -> list[tuple[Number, Number]]:
        """The best ``n`` levels, or all."""
        return [(self.sign * key, self.sizes[key]) for key in self.keys[:n]]


class PlainBook:
    """Twin of :class:`lobproof.book.OrderBook`, method for method."""

    def __init__(self) -> None:
        self._sides: dict[int, PlainSide[int]] = {Side.BID: PlainSide(-1), Side.ASK: PlainSide(1)}
        self._trust = {Side.BID: (UNTRUSTED, 0), Side.ASK: (UNTRUSTED, 0)}

    def apply(self, side: int, price: int, size: int) -> int:
        """Set a level's size, 0 removes it; returns the size that it had."""
        return self._sides[side].apply(price, size)

    def apply_batch(
        self, side: Iterable[int], price: Iterable[int], size: Iterable[int]
    ) -> list[tuple[int, int, int, int]]:
        """Apply rows; returns bid, its size, ask and its size after each, zeros where empty."""
        touches = []
        for row in zip(side, price, size, strict=True):
            self.apply(*map(int, row))
            touches.append(self.best_bid + self.best_ask)
        return touches

    def snapshot(self, side: int, levels: Iterable[tuple[int, int]], *, complete: bool) -> None:
        """Apply a snapshot of one side, in any order; without levels it says nothing."""
        listed = list(levels)
        if not listed:
            return
        if complete:
            self._sides[side] = PlainSide(self._sides[side].sign)
        worst = self._sides[side].replace(listed)
        self.extend_trust(side, worst, complete)

    def clear(self) -> None:
        """Remove every level and all trust."""
        vars(self).update(vars(PlainBook()))

    def clear_range(self, side: int, worst_price: int) -> None:
        """Remove the levels from the touch to ``worst_price`` inclusive."""
        self._sides[side].clear_to(worst_price)

    def levels(self, side: int) -> Levels:
        """All levels, best first."""
        return self._sides[side].best()

    def bids(self, n: int = 20) -> Levels:
        """The best ``n`` bids."""
        return self._sides[Side.BID].best(n)

    def asks(self, n: int = 20) -> Levels:
        """The best ``n`` asks."""
        return self._sides[Side.ASK].best(n)

    @property
    def best_bid(self) -> tuple[int, int]:
        """Price and size, zeros where there is none."""
        return next(iter(self.bids(1)), (0, 0))

    @property
    def best_ask(self) -> tuple[int, int]:
        """Price and size, zeros where there is none."""
        return next(iter(self.asks(1)), (0, 0))

    @property
    def crossed(self) -> bool:
        """Whether both sides have levels and the best bid is at or above the best ask."""
        return 0 < self.best_ask[0] <= self.best_bid[0]

    def count(self, side: int) -> int:
        """Levels of the side."""
        return len(self._sides[side].keys)

    def size_at(self, side: int, price: int) -> int:
        """Size of the level, 0 where there is none."""
        return self._sides[side].sizes.get(away(side, price), 0)

    def trust(self, side: int) -> tuple[int, int]:
        """Kind of trust, and the far end of the range (0 unless ``RANGE``)."""
        return self._trust[Side(side)]

    def set_trust(self, side: int, kind: int, price: int = 0) -> None:
        """Set the kind of trust, and the far end of a range."""
        self._trust[Side(side)] = (kind, price if kind == RANGE else 0)

    def extend_trust(self, side: int, price: int, complete: bool) -> None:
        """Note that a snapshot listed the side from the touch to ``price``, or all of it."""
        kind, end = self.trust(side)
        if complete or kind == EVERYTHING:
            self.set_trust(side, EVERYTHING)
        elif kind == UNTRUSTED or away(side, price) > away(side, end):
            self.set_trust(side, RANGE, price)

    def trusted_slots(self, side: int, n: int = 20) -> int:
        """How many of the leading ``n`` slots are known right; none while the book is crossed."""
        kind, end = self.trust(side)
        if kind == UNTRUSTED or self.crossed:
            return 0
        if kind == EVERYTHING:
            return n
        return sum(away(side, price) <= away(side, end) for price, _ in self.levels(side)[:n])

    def save(self) -> dict[str, object]:
        """State from which :meth:`load` makes an equal book."""
        return deepcopy(vars(self))

    @classmethod
    def load(cls, saved: dict[str, object]) -> Self:
        """A book equal to the one that was saved."""
        book = cls()
        vars(book).update(deepcopy(saved))
        return book


def away(side: int, price: int) -> int:
    """A price so that it grows away from the touch."""
    return price if side == Side.ASK else -price
