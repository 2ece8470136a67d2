"""The book in plain Python: two dicts and a sort. It says what the kernels mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Side

Levels = list[tuple[int, int]]
"""Price and size of levels, best first."""


class ReferenceBook:
    """Twin of :class:`lobproof.book.OrderBook`, method for method."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[int, int]] = {Side.BID: {}, Side.ASK: {}}
        self._trust = {Side.BID: (UNTRUSTED, 0), Side.ASK: (UNTRUSTED, 0)}

    def apply(self, side: int, price: int, size: int) -> int:
        """Set a level's size, 0 removes it; returns the size that it had."""
        levels = self._levels[side]
        was = levels.pop(price, 0)
        if size:
            levels[price] = size
        return was

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
        worst = max((price for price, _ in listed), key=lambda price: self._key(side, price))
        if complete:
            self._levels[side].clear()
        else:
            self.clear_range(side, worst)
        for price, size in listed:
            self.apply(side, price, size)
        self.extend_trust(side, worst, complete)

    def clear(self) -> None:
        """Remove every level and all trust."""
        for side in (Side.BID, Side.ASK):
            self._levels[side].clear()
            self.set_trust(side, UNTRUSTED)

    def clear_range(self, side: int, worst_price: int) -> None:
        """Remove the levels from the touch to ``worst_price`` inclusive."""
        worst = self._key(side, worst_price)
        kept = {p: s for p, s in self._levels[side].items() if self._key(side, p) > worst}
        self._levels[side] = kept

    def levels(self, side: int) -> Levels:
        """All levels, best first."""
        return sorted(self._levels[side].items(), key=lambda level: self._key(side, level[0]))

    def bids(self, n: int = 20) -> Levels:
        """The best ``n`` bids."""
        return self.levels(Side.BID)[:n]

    def asks(self, n: int = 20) -> Levels:
        """The best ``n`` asks."""
        return self.levels(Side.ASK)[:n]

    @property
    def best_bid(self) -> tuple[int, int]:
        """Price and size, zeros where there is none."""
        price = max(self._levels[Side.BID], default=0)
        return price, self.size_at(Side.BID, price)

    @property
    def best_ask(self) -> tuple[int, int]:
        """Price and size, zeros where there is none."""
        price = min(self._levels[Side.ASK], default=0)
        return price, self.size_at(Side.ASK, price)

    @property
    def crossed(self) -> bool:
        """Whether both sides have levels and the best bid is at or above the best ask."""
        return 0 < self.best_ask[0] <= self.best_bid[0]

    def count(self, side: int) -> int:
        """Levels of the side."""
        return len(self._levels[side])

    def size_at(self, side: int, price: int) -> int:
        """Size of the level, 0 where there is none."""
        return self._levels[side].get(price, 0)

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
        elif kind == UNTRUSTED or self._key(side, price) > self._key(side, end):
            self.set_trust(side, RANGE, price)

    def trusted_slots(self, side: int, n: int = 20) -> int:
        """How many of the leading ``n`` slots are known right; none while the book is crossed."""
        kind, end = self.trust(side)
        if kind == UNTRUSTED or self.crossed:
            return 0
        if kind == EVERYTHING:
            return n
        inside = [p for p, _ in self.levels(side)[:n] if self._key(side, p) <= self._key(side, end)]
        return len(inside)

    def save(self) -> dict[str, object]:
        """State from which :meth:`load` makes an equal book."""
        return {"levels": {s: dict(v) for s, v in self._levels.items()}, "trust": dict(self._trust)}

    @classmethod
    def load(cls, saved: dict[str, object]) -> Self:
        """A book equal to the one that was saved."""
        book = cls()
        vars(book).update({f"_{name}": value for name, value in saved.items()})
        return book

    @staticmethod
    def _key(side: int, price: int) -> int:
        """Smaller is better."""
        return -price if side == Side.BID else price
