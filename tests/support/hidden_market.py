"""A true book much deeper than its feed shows, with the truth at every id."""

from __future__ import annotations

import random
from collections.abc import Sequence
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
    losses: float = 0.06  # share of lost messages
    lie: int = -1  # the step after which a snapshot is not of the id that it claims
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

    def list_book(self, at: int, limits: Sequence[int] = (1, 3, 5, 30, 200)) -> None:
        bids, asks = self.truth[at]
        limit = self.rng.choice(limits)
        whole = limit == 200
        if bids and asks:
            shown = snapshot(at, bids[:limit], asks[:limit], at=self.time, whole=whole)
            self.messages.append(shown)

    def list_lie(self, at: int) -> None:
        """A snapshot that is stale, or garbled, and maybe short, and claims to be of the id."""
        kind = self.rng.choice(["stale", "doubled", "holed"])
        of = self.rng.choice([id_ for id_ in self.truth if id_ <= at or kind != "stale"])
        bids, asks = (list(side) for side in self.truth[of if kind == "stale" else at])
        for side in (bids, asks):
            for k in range(len(side)):
                if kind == "doubled" and self.rng.random() < 0.3:
                    side[k] = (side[k][0], 2 * side[k][1])
            if kind == "holed" and side:
                side.pop(self.rng.randrange(len(side)))
        limit = self.rng.choice([1, 3, 5, 20])
        if bids and asks and bids[0][0] < asks[0][0]:
            self.messages.append(snapshot(at, bids[:limit], asks[:limit], at=self.time))

    def run(self, steps: int) -> HiddenMarket:
        # what lies beyond all that another snapshot lists, nothing can refute
        self.list_book(self.update, (200,) if self.lie >= 0 else (1, 3, 5, 30, 200))
        for step in range(steps):
            before = self.update
            changes = self.move()
            lost = self.rng.random() < self.losses
            inside = self.rng.random() < 0.5
            if step == self.lie and inside:
                self.list_lie(self.rng.randrange(before, self.update))
            listed = self.rng.random()
            if listed < 0.12:
                self.list_book(self.rng.randrange(before, self.update))
            if not lost:
                self.messages.append(depth(self.update, before, changes, at=self.time))
            if step == self.lie and not inside:
                self.list_lie(self.update)
            if listed > (0.5 if lost else 0.95):
                self.list_book(self.update)
            self.time += 100 * MS
        return self
