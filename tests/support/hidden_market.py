"""A true book much deeper than its feed shows, with the truth at every id."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from support.feeds import ASK, BID, MS, Change, depth, snapshot
from support.stream_reference import Message

Sides = dict[int, dict[int, int]]


@dataclass
class HiddenMarket:
    """A true book whose every change has an id of its own; the feed shows some of it."""

    rng: random.Random
    step: int = 1  # most orders rest on multiples of it, a few elsewhere
    drift: int = 0  # where the middle tends to
    messages: list[Message] = field(default_factory=list)
    truth: dict[int, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.mid = 10_000
        self.update = 500
        self.time = 0
        self.books: Sides = {BID: {}, ASK: {}}
        for side in (BID, ASK):
            for offset in range(60):
                if self.rng.random() < 0.8:
                    self._set(side, self._price(side, offset))
        self._note()

    def _price(self, side: int, offset: int) -> int:
        price = (
            self.mid - offset * self.step if side == BID else self.mid + (offset + 1) * self.step
        )
        odd = self.step > 1 and self.rng.random() < 0.1
        return price + (self.rng.randrange(1, self.step) if odd else 0)

    def _set(self, side: int, price: int) -> Change:
        size = self.rng.choice([0, 1, 2, 3, 7])
        self.books[side].pop(price, None)
        if size:
            self.books[side][price] = size
        return side, price, size

    def _note(self) -> None:
        bids = sorted(self.books[BID].items(), reverse=True)
        self.truth[self.update] = (bids, sorted(self.books[ASK].items()))

    def move(self) -> list[Change]:
        """Some changes of the book: the middle goes for a walk, and takes what it meets."""
        self.mid += self.step * self.rng.choice([-3, -1, 0, 0, 1, 3, *([self.drift] * 3)])
        changes: dict[tuple[int, int], Change] = {}

        def change(side: int, price: int, *, gone: bool = False) -> None:
            if gone:
                del self.books[side][price]
                made = (side, price, 0)
            else:
                made = self._set(side, price)
            changes[side, price] = made

        for side in (BID, ASK):
            for price in list(self.books[side]):
                if price > self.mid if side == BID else price <= self.mid:
                    change(side, price, gone=True)
        self.update += 1
        self._note()
        for _ in range(self.rng.randrange(6)):
            side = self.rng.choice([BID, ASK])
            price = self._price(side, self.rng.choice([0, 0, 1, 2, 3, 5, 8, 20, 40]))
            if price <= self.mid if side == BID else price > self.mid:
                change(side, price)
                self.update += 1
                self._note()
        return sorted(changes.values(), key=lambda made: made[0])

    def list_book(self, at: int) -> None:
        bids, asks = self.truth[at]
        limit = self.rng.choice([1, 3, 5, 30, 200])
        whole = limit == 200
        if bids and asks:
            shown = snapshot(at, bids[:limit], asks[:limit], at=self.time, whole=whole)
            self.messages.append(shown)

    def run(self, steps: int) -> HiddenMarket:
        self.list_book(self.update)
        while steps:
            steps -= 1
            before = self.update
            changes = self.move()
            lost = self.rng.random() < 0.06
            listed = self.rng.random()
            if listed < 0.12:
                self.list_book(self.rng.randrange(before, self.update))
            if not lost:
                self.messages.append(depth(self.update, before, changes, at=self.time))
            if listed > (0.5 if lost else 0.95):
                self.list_book(self.update)
            self.time += 100 * MS
        return self
