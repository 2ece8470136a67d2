"""A tiny market in plain dicts: a golden sample and the store that a perfect replay would make."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from lobproof.book import BookImage
from lobproof.instruments import Instrument, Rule
from lobproof.schema import (
    EVERYTHING,
    LEVELS,
    RANGE,
    UNTRUSTED,
    EventBatch,
    Flag,
    Kind,
    Side,
    StateBatch,
)
from lobproof.schema.declared import Declared
from lobproof.schema.tables import QUALITY
from lobproof.sources.binance.journal import JournalWriter
from lobproof.store import DayWriter, Keyframe, commit_day, symbol_lock
from plain.messages import Change, Event, level, message_of, to_batch
from plain.messages import listed as events_of
from support.batches import CONFIG, make_seal

_COUNTED = ("depth", "trade", "aggTrade", "bookTicker", "snapshot", "level_changes")
_WHOLE = {
    **dict.fromkeys(("gaps", "duplicates", "late", "overlaps", "resets", "first_irregular"), 0),
    "gaps_listed": [],
}

MIDNIGHT = 1_723_161_600 * 10**9
"""2024-08-09T00:00 UTC."""
MS = 1_000_000
OFFSET_NS = -1_272 * MS
INSTRUMENT = Instrument("BINANCE", "BTC-USDT", "BTCUSDT", 2, 5, (Rule(0, 1, 1),))

Books = dict[int, dict[int, int]]


@dataclass
class State:
    """A state and the row that it follows."""

    after: Event
    levels: list[int]
    bid_trusted: int
    ask_trusted: int
    flags: int


@dataclass
class Market:
    """Lines of the recording and rows of the store; tests change either before they are written."""

    instrument: Instrument = INSTRUMENT
    futures: bool = False
    lines: list[tuple[int, str, Any]] = field(default_factory=list)
    rows: list[Event] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)
    openings: dict[str, Books] = field(default_factory=dict)
    doubtful_ns: int = 0
    """Of each day, as its seal says."""
    trust: int = UNTRUSTED
    trusted_to: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book: Books = {Side.BID: {}, Side.ASK: {}}

    # what happens ---------------------------------------------------------------------------

    def say(self, time: int, stream: str, data: Any) -> None:
        """A line of the recording."""
        name = self.instrument.venue_symbol.lower()
        self.lines.append((time + OFFSET_NS, f"{name}@{stream}", data))

    def store(self, time: int, rows: Sequence[Event], sequence: int, prev: int) -> None:
        """Rows of one message."""
        self.openings.setdefault(day_of(time), deepcopy(self.book))
        timeless = rows[0].kind in (Kind.SNAPSHOT, Kind.CLEAR)
        self.rows += message_of(
            rows,
            ts_order=time,
            ts_event=0 if timeless else time,
            ts_recv=time + OFFSET_NS,
            sequence=sequence,
            prev_sequence=prev,
        )
        for row in rows:
            if row.kind in (Kind.DELTA, Kind.SNAPSHOT):
                if row.size:
                    self.book[row.side][row.price] = row.size
                else:
                    self.book[row.side].pop(row.price, None)
        if rows[0].kind != Kind.TRADE:
            doubtful = 0 if self.trust else int(Flag.DOUBTFUL)
            slots = LEVELS if self.trust else 0
            self.states.append(State(self.rows[-1], self.top(), slots, slots, doubtful))

    def depth(self, time: int, first: int, last: int, changes: Sequence[Change]) -> None:
        """A depth message; bids first."""
        sides: dict[int, list[list[str]]] = {Side.BID: [], Side.ASK: []}
        for side, price, size in changes:
            sides[side].append(self.pair(price, size))
        data = {
            "e": "depthUpdate",
            "E": time // MS,
            "s": self.instrument.venue_symbol,
            "U": first,
            "u": last,
            **({"pu": first - 1} if self.futures else {}),
            "b": sides[Side.BID],
            "a": sides[Side.ASK],
        }
        self.say(time, "depth@100ms", data)
        rows = [level(Kind.DELTA, *change) for change in changes]
        self.store(time, rows or [Event()], last, first - 1)

    def trade(self, time: int, trade_id: int, side: int, price: int, size: int) -> None:
        """A trade; ``side`` is the taker's."""
        p, q = self.pair(price, size)
        data = {
            "e": "trade",
            "E": time // MS + 1,
            "s": self.instrument.venue_symbol,
            "t": trade_id,
            "p": p,
            "q": q,
            "T": time // MS,
            "m": side == Side.SELL,
            "M": True,
        }
        self.say(time, "trade", data)
        self.store(time, [level(Kind.TRADE, side, price, size)], trade_id, trade_id - 1)

    def ticker(self, time: int, update: int) -> None:
        """The touch as a ticker."""
        (bid, bid_size), (ask, ask_size) = self.side(Side.BID)[0], self.side(Side.ASK)[0]
        (b, big_b), (a, big_a) = self.pair(bid, bid_size), self.pair(ask, ask_size)
        data = {"u": update, "s": self.instrument.venue_symbol}
        self.say(time, "bookTicker", {**data, "b": b, "B": big_b, "a": a, "A": big_a})

    def snapshot(self, time: int, update: int, *, anchor: bool = False, limit: int = 0) -> None:
        """A REST snapshot of the book (a whole one, or ``limit`` levels a side)."""
        stop = limit or None
        listed = {side: self.side(side)[:stop] for side in (Side.BID, Side.ASK)}
        self.say_snapshot(time, update, listed)
        flags = 0 if limit else int(Flag.COMPLETE)
        self.trust = RANGE if limit else EVERYTHING
        self.trusted_to = {side: levels[-1][0] for side, levels in listed.items()}
        rows = [Event(kind=int(Kind.CLEAR))] if anchor else []
        if anchor:  # nothing else is known
            self.book = {int(side): dict(levels) for side, levels in listed.items()}
        for row in events_of(listed[Side.BID], listed[Side.ASK]):
            rows.append(replace(row, flags=flags))
        self.store(time, rows, update, update)

    def say_snapshot(
        self, time: int, update: int, listed: dict[Side, list[tuple[int, int]]]
    ) -> None:
        """A snapshot's line."""
        data = {
            "lastUpdateId": update,
            "bids": [self.pair(*level) for level in listed[Side.BID]],
            "asks": [self.pair(*level) for level in listed[Side.ASK]],
        }
        self.say(time, "snapshot", data)

    def partial(self, time: int, update: int, levels: int = 5) -> None:
        """A partial book."""
        data = {
            "lastUpdateId": update,
            "bids": [self.pair(*level) for level in self.side(Side.BID)[:levels]],
            "asks": [self.pair(*level) for level in self.side(Side.ASK)[:levels]],
        }
        self.say(time, f"depth{levels}@100ms", data)

    # what it looks like ---------------------------------------------------------------------

    def pair(self, price: int, size: int) -> list[str]:
        """Price and size as the venue writes them: eight digits after the point."""
        return [
            f"{Decimal(self.instrument.price_text(price)):.8f}",
            f"{Decimal(self.instrument.size_text(size)):.8f}",
        ]

    def side(self, side: Side) -> list[tuple[int, int]]:
        """Levels, best first."""
        return sorted(self.book[side].items(), reverse=side == Side.BID)

    def top(self) -> list[int]:
        """Twenty levels a side as a state has them."""
        levels: list[int] = []
        for side in (Side.BID, Side.ASK):
            top = self.side(side)[:LEVELS]
            levels += [number for level in top for number in level]
            levels += [0] * (2 * (LEVELS - len(top)))
        return levels

    def find(self, kind: Kind, nth: int = 0) -> int:
        """Index of the nth row of a kind (negative: from the end)."""
        return [i for i, row in enumerate(self.rows) if row.kind == kind][nth]

    def message(self, index: int) -> list[Event]:
        """All rows of the message that holds the row at ``index``."""
        start = index
        while start and not self.rows[start - 1].flags & Flag.LAST:
            start -= 1
        stop = index
        while not self.rows[stop].flags & Flag.LAST:
            stop += 1
        return self.rows[start : stop + 1]

    def state_after(self, row: Event) -> State:
        """The state of a message's last row."""
        return next(state for state in self.states if state.after is row)

    def drop(self, rows: Sequence[Event]) -> None:
        """Remove rows and their states from the store."""
        gone = {id(row) for row in rows}
        self.rows = [row for row in self.rows if id(row) not in gone]
        self.states = [state for state in self.states if id(state.after) not in gone]

    def doubt(self, first: Event, last: Event, code: int) -> None:
        """A finding of severity DOUBT over the rows from ``first`` to ``last`` of one day."""
        self.quality.append({"first": first, "last": last, "code": code})

    # files ----------------------------------------------------------------------------------

    def write_golden(self, path: Path, lines: Sequence[bytes] = ()) -> Path:
        """The golden sample's folder; ``lines`` are appended to the journals as they are."""
        journal = JournalWriter(path / "journal")
        for capture, stream, data in self.lines:
            head = f'{{"capture_ns":{capture},"stream":"{stream}","conn":0,"data":'
            journal.append(f"{head}{json.dumps(data)}}}\n".encode(), capture)
        for line in lines:
            journal.append(line + b"\n", self.lines[-1][0])
        times = [row.ts_event for row in self.rows if row.ts_event]
        streams = Counter(stream for _, stream, _ in self.lines)
        document = {
            "format": "lobproof golden sample",
            "format_version": 2,
            "exchange": self.instrument.exchange,
            "venue_symbol": self.instrument.venue_symbol,
            "instrument": self.instrument.to_dict(),
            "rules_from": "inferred",
            "market": "futures" if self.futures else "spot",
            "provenance": "synthetic",
            "counts": dict.fromkeys(_COUNTED, 0),
            "streams": streams,
            "chain": _WHOLE,
            "trade_ids": _WHOLE,
            "notes": [],
            "snapshots_are_ours": False,
            "exchange_info_sha256": "",
            "inputs": [],
            "clock": {"offset_ns": OFFSET_NS, "days": {}},
            "trade_stream": "trade",
            "snapshots": [],
            "snapshot_limit": None,
            "span": {
                "first_recv_ns": self.lines[0][0],
                "last_recv_ns": self.lines[-1][0],
                "first_event_ns": min(times, default=0),
                "last_event_ns": max(times, default=0),
            },
            "journals": [asdict(file) for file in journal.close()],
            "findings": {"invalid": {"by_reason": {}, "listed": []}, "truncated": []},
        }
        (path / "golden.json").write_text(json.dumps(document))
        return path

    def write_store(self, path: Path, *, days: Sequence[str] | None = None) -> Path:
        """The store with the rows as they are now, or some days of it."""
        for dt in sorted({day_of(row.ts_order) for row in self.rows}):
            if days is None or dt in days:
                self._write_day(path, dt)
        return path

    def _write_day(self, path: Path, dt: str) -> None:
        rows = [row for row in self.rows if day_of(row.ts_order) == dt]
        ids = {id(row): number for number, row in enumerate(rows)}
        states = [state for state in self.states if id(state.after) in ids]
        quality: dict[str, list[object]] = {name: [] for name in QUALITY.schema.names}
        for finding in self.quality:
            if id(finding["first"]) in ids:
                values = (
                    ids[id(finding["first"])],
                    ids[id(finding["last"])],
                    finding["first"].ts_order,
                    finding["last"].ts_order,
                    finding["code"],
                    3,
                    1,
                    "",
                )
                for name, value in zip(quality, values, strict=True):
                    quality[name].append(value)
        exchange, symbol = self.instrument.exchange, self.instrument.symbol
        with (
            symbol_lock(path, exchange, symbol),
            DayWriter(path, self.instrument, dt) as writer,
        ):
            writer.append(EventBatch.empty(), StateBatch.empty())
            writer.append(to_batch([rows]), _states(states, ids))
            writer.keyframe(self._opening(dt, rows[0].ts_order))
            writer.quality(quality)
            content = writer.close()
            config = {**CONFIG, "declared": asdict(Declared("trade", 100))}
            commit_day(path, content, make_seal(doubtful_ns=self.doubtful_ns, config=config))

    def _opening(self, dt: str, time: int) -> Keyframe:
        book = self.openings[dt]
        sides = [
            np.array(sorted(book[side].items(), reverse=side == Side.BID), np.int64).reshape(-1, 2)
            for side in (Side.BID, Side.ASK)
        ]
        trust = EVERYTHING if len(sides[0]) else UNTRUSTED
        bids, asks = sides
        image = BookImage(
            sequence=0,
            bid_prices=bids[:, 0].copy(),
            bid_sizes=bids[:, 1].copy(),
            ask_prices=asks[:, 0].copy(),
            ask_sizes=asks[:, 1].copy(),
            bid_trust=trust,
            bid_trusted_to=0,
            ask_trust=trust,
            ask_trusted_to=0,
        )
        return Keyframe(-1, time, image)


def day_of(ns: int) -> str:
    """UTC day."""
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d}"


def _states(states: Sequence[State], ids: dict[int, int]) -> StateBatch:
    batch = StateBatch.empty(len(states))
    for number, state in enumerate(states):
        batch.event_id[number] = ids[id(state.after)]
        for name in ("ts_order", "ts_event", "sequence"):
            getattr(batch, name)[number] = getattr(state.after, name)
        batch.levels[number] = state.levels
        batch.bid_trusted[number] = state.bid_trusted
        batch.ask_trusted[number] = state.ask_trusted
        batch.flags[number] = state.flags
    return batch


def make_market(
    messages: int = 40,
    *,
    seed: int = 1,
    start: int = MIDNIGHT - 2_000 * MS,
    snapshots: int = 12,
    unseeded: int = 0,
    partials: bool = True,
    futures: bool = False,
    limit: int = 0,
) -> Market:
    """A market over midnight: a depth message every 100 ms, tickers, trades, later snapshots.

    Parameters
    ----------
    messages
        Depth messages.
    seed
        Of the random numbers.
    start
        Time of the first message.
    snapshots
        One after so many messages each; 0 for none but the seed.
    unseeded
        Depth messages before the snapshot that seeds.
    partials
        Whether there is a ``@depth5`` stream.
    futures
        Whether messages carry ``pu``.
    limit
        Levels a side of the snapshots; 0 for the whole book.
    """
    rng = random.Random(seed)
    market = Market(futures=futures)
    update, trade_id, time = 5_000, 70, start
    hidden: Books = {
        int(side): {100_000 + sign * (i + 1): rng.randrange(1, 10**6) for i in range(30)}
        for side, sign in ((Side.BID, -1), (Side.ASK, 1))
    }
    if not unseeded:
        market.book = hidden
        market.snapshot(time, update, anchor=True, limit=limit)
    for number in range(messages):
        first, update = update + 1, update + rng.randrange(2, 9)
        changes = []
        for side, sign in ((Side.BID, -1), (Side.ASK, 1)):
            for offset in sorted(rng.sample(range(30), rng.randrange(1, 4))):
                gone = offset and rng.random() < 0.3
                size = 0 if gone else rng.randrange(1, 10**6)
                changes.append(Change(int(side), 100_000 + sign * (offset + 1), size))
        if number % 10 == 9:
            changes = []
        market.depth(time, first, update, changes)
        if unseeded and number + 1 == unseeded:
            whole = {side: {**hidden[side], **market.book[side]} for side in hidden}
            market.book = {
                side: {p: s for p, s in levels.items() if s} for side, levels in whole.items()
            }
            market.snapshot(time, update, anchor=True, limit=limit)
        if number + 1 > unseeded:
            market.ticker(time, update if number % 2 else update - 1)
            if partials and number % 3 == 0:
                market.partial(time, update)
            if snapshots and number % snapshots == snapshots - 1:
                market.snapshot(time, update, limit=limit)
            for _ in range(rng.randrange(0, 3)):
                side = rng.choice([Side.BUY, Side.SELL])
                maker = Side.ASK if side == Side.BUY else Side.BID
                price, size = market.side(maker)[0]
                trade_id += 1
                market.trade(time + 10 * MS, trade_id, int(side), price, max(size // 2, 1))
        time += 100 * MS
    return market


Spoil = Callable[[Market], None]
__all__ = ["MIDNIGHT", "MS", "Market", "Spoil", "State", "day_of", "make_market"]
