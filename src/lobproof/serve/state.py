"""What REST answers from: a symbol's book and trades as of the last messages sent."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from lobproof.serve.tape import SNAPSHOT, Message, Tape, TradeMessage, in_ms

HISTORY = 20_000
"""Trades that are kept for REST, of each kind."""
_WAITING = 4096
_UPDATE_IDS = re.compile(rb'"(U|u|pu|lastUpdateId)":([0-9]+)')

Levels = list[tuple[str, str]]


class _Depth(msgspec.Struct):
    U: int
    u: int
    b: list[list[str]]
    a: list[list[str]]
    pu: int = -1
    E: int = 0
    T: int = 0

    @property
    def follows(self) -> int:
        """The last id of the message before, or one that may be it."""
        return self.pu if self.pu >= 0 else self.U - 1


class _Snapshot(msgspec.Struct):
    lastUpdateId: int
    bids: list[list[str]]
    asks: list[list[str]]


class Aggregate(msgspec.Struct):
    """A message ``aggTrade``; what a market's REST leaves out is left out."""

    a: int
    p: str
    q: str
    f: int
    last: int = msgspec.field(name="l")
    T: int
    m: bool


@dataclass(frozen=True, slots=True)
class BookCopy:
    """A book at one instant: the id of the last change, its times in ms, levels best first."""

    last_id: int
    event_ms: int
    match_ms: int
    bids: Levels
    asks: Levels


class VenueBook:
    """The book as of the last depth message sent.

    It begins with a snapshot. Before the first one, and where the recorded chain is broken, it
    holds only what depth messages have told since, until the next snapshot.
    """

    def __init__(self) -> None:
        self._sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.last_id = 0
        self.event_ms = self.match_ms = 0
        self._whole = False
        self._waiting: deque[_Depth] = deque(maxlen=_WAITING)

    def snapshot(self, payload: bytes) -> None:
        """Begin with what a snapshot lists; one that is not needed, or too old, changes nothing."""
        if self._whole:
            return
        found = msgspec.json.decode(payload, type=_Snapshot)
        later = [depth for depth in self._waiting if depth.u > found.lastUpdateId]
        if len(later) == len(self._waiting) > 0 and later[0].follows > found.lastUpdateId:
            return
        self._whole = True
        self._waiting.clear()
        self._sides = ({}, {})
        for side, rows in zip(self._sides, (found.bids, found.asks), strict=True):
            _set(side, rows)
        self.last_id = found.lastUpdateId
        for depth in later:
            self._apply(depth)

    def depth(self, payload: bytes) -> None:
        """Apply a depth message; one from before the book's own id changes nothing."""
        found = msgspec.json.decode(payload, type=_Depth)
        if found.u <= self.last_id:
            return
        if found.follows > self.last_id:
            self._whole = False
            self._waiting.clear()
            self._sides = ({}, {})
        if not self._whole:
            self._waiting.append(found)
        self._apply(found)

    def _apply(self, depth: _Depth) -> None:
        for side, rows in zip(self._sides, (depth.b, depth.a), strict=True):
            _set(side, rows)
        self.last_id = depth.u
        self.event_ms = in_ms(depth.E)
        self.match_ms = in_ms(depth.T)

    def renumber(self, less: int) -> None:
        """Go on with ids that are so much lower."""
        self.last_id -= less
        self._waiting.clear()

    def clone(self) -> VenueBook:
        """The same book, which stays as it is now."""
        made = VenueBook()
        made._sides = (self._sides[0].copy(), self._sides[1].copy())
        made.last_id, made.event_ms, made.match_ms = self.last_id, self.event_ms, self.match_ms
        return made

    def copy(self, limit: int | None = None) -> BookCopy:
        """The book now, ``limit`` levels a side."""
        bids, asks = (
            sorted(side.items(), key=_price, reverse=side is self._sides[0])[:limit]
            for side in self._sides
        )
        return BookCopy(self.last_id, self.event_ms, self.match_ms, bids, asks)


def _set(side: dict[str, str], rows: list[list[str]]) -> None:
    for row in rows:
        if row[1].strip("0."):
            side[row[0]] = row[1]
        else:
            side.pop(row[0], None)


def _price(level: tuple[str, str]) -> Decimal:
    return Decimal(level[0])


class SymbolState:
    """A symbol's book and its last trades."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.book = VenueBook()
        self.trades: deque[bytes] = deque(maxlen=HISTORY)
        self.aggregates: deque[bytes] = deque(maxlen=HISTORY)
        self._less = 0
        self._with_ids = {tape.key(kind) for kind in (SNAPSHOT, "depth", "bookTicker")}

    def reset(self) -> None:
        """Halve the ids of the book from now on: the venue counts anew."""
        less = self.book.last_id // 2
        self._less += less
        self.book.renumber(less)

    def numbered(self, message: Message) -> Message:
        """A message of the tape with the ids that the venue gives it."""
        if not self._less or message.key not in self._with_ids:
            return message

        def lower(found: re.Match[bytes]) -> bytes:
            return b'"%b":%d' % (found[1], int(found[2]) - self._less)

        return message._replace(payload=_UPDATE_IDS.sub(lower, message.payload))

    def takers(self) -> Iterator[tuple[str, Callable[[bytes], None]]]:
        """Which messages it takes, and what takes them."""
        yield self.tape.key(SNAPSHOT), self.book.snapshot
        yield self.tape.key("depth"), self.book.depth
        yield self.tape.key("trade"), self.trades.append
        yield self.tape.key("aggTrade"), self.aggregates.append

    def last_trades(self, limit: int, from_id: int | None = None) -> list[TradeMessage]:
        """Trades, the latest or those from an id on, as far as they are kept."""
        found = [msgspec.json.decode(payload, type=TradeMessage) for payload in self.trades]
        if from_id is None:
            return found[-limit:]
        return [trade for trade in found if trade.t >= from_id][:limit]

    def last_aggregates(
        self, limit: int, from_id: int | None, start_ms: int | None, end_ms: int | None
    ) -> list[Aggregate]:
        """Trades of one taker together, the latest or those from an id or a time on."""
        found = [msgspec.json.decode(payload, type=Aggregate) for payload in self.aggregates]
        if from_id is None and start_ms is None and end_ms is None:
            return found[-limit:]
        return [
            one
            for one in found
            if (from_id is None or one.a >= from_id)
            and (start_ms is None or in_ms(one.T) >= start_ms)
            and (end_ms is None or in_ms(one.T) <= end_ms)
        ][:limit]
