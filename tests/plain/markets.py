"""Random markets whose truth is known, and feeds of them with the faults of real ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lobproof.schema import LEVELS, Flag, Kind
from plain.lake_replay import LakeStreams
from plain.messages import (
    ASK,
    BID,
    LAST,
    MS,
    START,
    Change,
    Event,
    Level,
    Message,
    delta,
    depth,
    mark,
    snapshot,
    trade,
    unreadable,
    vendor_row,
)

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
    truth: dict[int, tuple[list[Level], list[Level]]] = field(default_factory=dict)

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
        return Change(side, price, size)

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
                made = Change(side, price, 0)
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


@dataclass
class RandomFeed:
    """A small market whose feed loses, repeats, delays and garbles messages now and then."""

    rng: random.Random
    chained: bool = True
    book: list[Message] = field(default_factory=list)
    trades: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.truth: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
        self.time = self.seq = 0
        self.trade_id = 50
        self.seq = 100

    def run(self, steps: int) -> RandomFeed:
        for _ in range(steps):
            action = self.rng.choice("dddddddtttsnexlomr")
            getattr(self, f"_{action}")()
            self.time += self.rng.choice([0, 0, 1, 100, 100, 7_000, 40_000]) * MS
        return self

    def _changes(self) -> list[Change]:
        changes = []
        for side in (BID, ASK):
            for _ in range(self.rng.randrange(3)):
                offset = self.rng.choice([0, 0, 1, 1, 2, 3, 4, 6, 9, -2])
                price = 1000 - offset if side == BID else 1001 + offset
                changes.append(Change(side, price, self.rng.choice([0, 0, 1, 2, 3, 4])))
        return changes

    def _next(self) -> Message:
        """The market's next depth message."""
        prev, self.seq = self.seq, self.seq + self.rng.randrange(1, 6)
        changes = self._changes()
        for side, price, size in changes:
            self.truth[side].pop(price, None)
            if size:
                self.truth[side][price] = size
        message = depth(self.seq, prev if self.chained else -1, changes, at=self.time)
        event, recv = message[0].ts_event, message[0].ts_recv
        if self.rng.random() < 0.05:
            event = self.rng.choice([0, -1, START + 10**15, 5])
            recv = self.rng.choice([0, recv, recv, START + 10**15])
        for row in message:
            row.ts_event, row.ts_recv = event, recv
        return message

    def _d(self) -> None:
        self.book.append(self._next())

    def _e(self) -> None:
        """An empty depth message, overlapping the one before now and then."""
        prev, self.seq = self.seq, self.seq + 3
        back = self.rng.choice([0, 0, 2]) if self.chained else prev + 1
        self.book.append(depth(self.seq, prev - back, at=self.time))

    def _x(self) -> None:
        """A loss, maybe bridged by a snapshot."""
        if self.rng.random() < 0.3:
            self._next()
            if self.rng.random() < 0.5:
                self._s()

    def _l(self) -> None:
        """A message again or late; or one that overlaps."""
        known = [m for m in self.book[-4:] if m[0].kind == Kind.DELTA]
        if known and self.rng.random() < 0.5:
            again = self.rng.choice(known)
            self.book.append([replace(row) for row in again])
        elif self.chained:
            message = self._next()
            for row in message:
                row.prev_sequence -= 2
            self.book.append(message)

    def _r(self) -> None:
        """The venue's ids begin anew, or a message's last id is absurd."""
        if self.rng.random() < 0.2:
            self.seq = 50 if self.rng.random() < 0.5 else self.seq + 10**9

    def _s(self) -> None:
        """A snapshot of the truth, garbled now and then; ``_n`` puts it inside a message."""
        self._list(self.seq + self.rng.choice([0, 0, 0, -3]))

    def _n(self) -> None:
        self._list(self.seq + 1)
        if self.rng.random() < 0.3:
            self._list(self.seq + 1)
        self.book.append(self._next())

    def _list(self, seq: int) -> None:
        limit = self.rng.choice([1, 2, 3, 20])
        bids = sorted(self.truth[BID].items(), reverse=True)
        asks = sorted((p, s) for p, s in self.truth[ASK].items() if not bids or p > bids[0][0])
        bids, asks = bids[:limit], asks[:limit]
        garbled = self.rng.randrange(8)
        if garbled == 0 and bids:
            bids[-1] = (bids[-1][0], bids[-1][1] + self.rng.choice([1, -bids[-1][1]]))
        if garbled == 1 and asks:
            asks = asks[::-1]
        if garbled == 2 and asks:
            asks[-1] = (asks[-1][0] + 1, 2)
        if bids or asks:
            self.book.append(snapshot(seq, bids, asks, at=self.time, whole=limit == 20))
        else:
            self.book.append([Event(0, 0, START + self.time, seq, seq, flags=LAST)])

    def _o(self) -> None:
        if self.rng.random() < 0.3:
            self.book.append(mark(self.rng.choice([Flag.INVALID, Flag.RECONNECT]), at=self.time))
        elif self.rng.random() < 0.2:
            self.trades.append(mark(Flag.INVALID | Flag.TRADES, at=self.time))

    def _m(self) -> None:
        """Trade ids with holes, repeats and late ones."""
        jump = self.rng.choice([0, -1, -2, 2, 3])
        self._trade(self.trade_id + jump)

    def _t(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            self._trade(self.trade_id + 1)

    def _trade(self, number: int) -> None:
        taker = self.rng.choice([BID, ASK])
        price = 1001 if taker == BID else 1000
        price += self.rng.choice([0, 0, 1, -1])
        size = self.rng.choice([1, 2, 5])
        self.trade_id = max(self.trade_id, number)
        self.trades.append(trade(number, taker, price, size, at=self.time))


@dataclass
class RandomLake(LakeStreams):
    """A market whose deltas get lost, doubled and late, and whose rows of `book` are doubtful."""

    rng: random.Random = field(default_factory=random.Random)
    truth: dict[int, dict[int, int]] = field(default_factory=dict)
    time: int = 0
    seq: int = 100
    number: int = 0

    def run(self, steps: int) -> RandomLake:
        room = self.rng.choice([3, 8, 26])
        self.truth = {
            BID: {1000 - i: 10 + i for i in range(room)},
            ASK: {1001 + i: 10 + i for i in range(room)},
        }
        for _ in range(steps):
            action = self.rng.choices("dlstxqrobu", [12, 10, 5, 3, 1, 1, 1, 2, 1, 0.5])[0]
            getattr(self, f"_{action}")()
            self.time += self.rng.choice([0, 1, 50, 100, 100, 400]) * MS
        return self

    def _move(self) -> Message:
        """The market's next message."""
        before = {side: dict(levels) for side, levels in self.truth.items()}
        mid = max(before[BID], default=1000) + self.rng.choice([0, 0, 0, 1, -1])
        for _ in range(self.rng.randrange(1, 5)):
            side, other = self.rng.choice([(BID, ASK), (ASK, BID)])
            away = self.rng.choice([0, 0, 1, 1, 2, 3, 5, 9, 19, 24])
            price = mid - away if side == BID else mid + 1 + away
            self.truth[side].pop(price, None)
            size = self.rng.choice([0, 0, 1, 2, 500, 501])
            if size:
                self.truth[side][price] = size
                sign = 1 if side == BID else -1
                kept = {p: s for p, s in self.truth[other].items() if sign * (p - price) > 0}
                self.truth[other] = kept
        self.seq += self.rng.randrange(1, 4)
        changes = [
            Change(side, price, self.truth[side].get(price, 0))
            for side in (BID, ASK)
            for price in sorted(before[side].keys() | self.truth[side].keys())
            if before[side].get(price, 0) != self.truth[side].get(price, 0)
        ]
        message = delta(self.seq, changes, at=self.time)
        if self.rng.random() < 0.04:
            for row in self.rng.sample(message, self.rng.randrange(1, len(message) + 1)):
                row.ts_event = self.rng.choice([0, -1, START + 10**15, row.ts_event + 3 * MS])
        return message

    def _shown(self) -> tuple[list[Level], list[Level]]:
        bids = sorted(self.truth[BID].items(), reverse=True)[:LEVELS]
        return bids, sorted(self.truth[ASK].items())[:LEVELS]

    def _d(self) -> None:
        self.book.append(self._move())

    def _x(self) -> None:
        """A loss."""
        self._move()

    def _u(self) -> None:
        """Rows of a message cannot be read, or a trade."""
        number = self.rng.randrange(1000)
        if self.rng.random() < 0.3:
            self.trades.append(unreadable(number, at=self.time))
            return
        message = self._move()
        for row in self.rng.sample(message, min(len(message), self.rng.randrange(1, 3))):
            self.book.append(unreadable(number, at=self.time, seq=row.sequence))
            message.remove(row)
        if message:
            message[-1].flags |= LAST
            self.book.append(message)

    def _q(self) -> None:
        """A silence, of one side of the source or of all."""
        for _ in range(self.rng.randrange(1, 5)):
            self.time += self.rng.choice([3_000, 4_900, 6_000, 40_000]) * MS
            if self.rng.random() < 0.5:
                self._l()
            if self.rng.random() < 0.3:
                self._t()
            if self.rng.random() < 0.3:
                self._move()

    def _r(self) -> None:
        """Something twice, or late."""
        if not self.book:
            return
        again = [replace(row) for row in self.rng.choice(self.book[-3:])]
        if self.rng.random() < 0.5:
            self.book.append(again)
        else:
            held = self._move()
            self.book += [self._move(), held]

    def _l(self) -> None:
        """A row that shows the book as it is."""
        self.vendor_rows.append(vendor_row(self.seq, *self._shown(), at=self.time))

    def _s(self) -> None:
        """A row from inside the next message, or before it."""
        shown, seq = self._shown(), self.seq
        message = self._move()
        if self.rng.random() < 0.5:
            bids, asks = dict(shown[0]), dict(shown[1])
            for row in message[: self.rng.randrange(len(message) + 1)]:
                levels = bids if row.side == BID else asks
                levels.pop(row.price, None)
                levels.update({row.price: row.size} if row.size else {})
            shown = sorted(bids.items(), reverse=True)[:LEVELS], sorted(asks.items())[:LEVELS]
        self.vendor_rows.append(vendor_row(max(seq, self.seq - 1), *shown, at=self.time))
        if self.rng.random() < 0.9:
            self.book.append(message)

    def _b(self) -> None:
        """The ids begin anew, or jump."""
        if self.rng.random() < 0.3:
            self.seq = self.rng.choice([5, self.seq + 10**6])

    def _o(self) -> None:
        """A row that is wrong in some way."""
        bids, asks = self._shown()
        seq, at, rng = self.seq, self.time, self.rng
        side = rng.choice([bids, asks])
        number = rng.randrange(len(side)) if side else 0
        what = rng.choice(
            ["size", "much", "price", "fewer", "cross", "hole", "other", "late", "nothing"]
        )
        if what in ("size", "much") and side:
            side[number] = (side[number][0], side[number][1] + (1 if what == "size" else 700))
        elif what == "price" and side:
            del side[number]
        elif what == "fewer":
            del side[number + 1 :]
        elif what == "cross" and bids and asks:
            asks[0] = (bids[0][0] - rng.randrange(2), 4)
        elif what == "hole" and side:
            side[number] = rng.choice([(0, 0), (0, 5), (7, 0)])
        elif what == "other":
            bids, asks = ([(p + 300, s + 7) for p, s in levels] for levels in (bids, asks))
        elif what in ("late", "nothing"):
            seq = rng.choice([seq - 2, 0, -1, 10**12, 3])
            if what == "nothing":
                bids, asks = [], []
        (row,) = message = vendor_row(seq, bids, asks, at=at)
        if rng.random() < 0.2:
            row.ts_event = rng.choice([0, START + 10**15, row.ts_event + 20_000 * MS])
        if rng.random() < 0.1:
            row.ts_recv = rng.choice([0, START + 10**15])
        self.vendor_rows.append(message)

    def _t(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            self.number += 1
            taker = self.rng.choice([BID, ASK])
            price = (1001 if taker == BID else 1000) + self.rng.choice([0, 0, 1, -1, 60])
            self.trades.append(
                trade(self.number, taker, price, self.rng.choice([1, 500]), at=self.time)
            )
