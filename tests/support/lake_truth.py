"""What Crypto Lake would have of a recording, from plain messages: json, Decimal and a dict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

import polars as pl

from lobproof.schema import LEVELS
from lobproof.sources.cryptolake.layout import COLUMNS
from plain_decoder import Plain

EVERY_NS = 100_000_000
Level = tuple[Decimal, Decimal]


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


def stamp(ns: int) -> int:
    """The vendor's stamp: float seconds times 1e9, cut off."""
    if ns % 1_000_000 == 0:
        return int(ns // 1_000_000 / 1e3 * 1e9)
    return int(ns // 1000 / 1e6 * 1e9)


def lake_truth(messages: Iterable[Plain]) -> LakeTruth:
    """Of a recording whose depth messages are whole and in order."""
    truth = LakeTruth()
    plain = [message for message in messages if message.kind in ("depth", "trade", "snapshot")]
    waiting = [message for message in plain if message.kind == "snapshot"]
    bids: dict[Decimal, Decimal] = {}
    asks: dict[Decimal, Decimal] = {}
    seeded, slot = False, -1
    for message in plain:
        times = (stamp(message.event_ns), stamp(message.recv_ns))
        if message.kind == "trade":
            ((_, price, size),) = message.levels
            side = "buy" if message.buyer_is_taker else "sell"
            traded = (side, nearest(size), nearest(price), message.ids[0])
            truth.trades.append((*traded, stamp(message.trade_ns), times[1]))
        if message.kind != "depth":
            continue
        while waiting and waiting[0].ids[0] < message.ids[1]:
            _replace(bids, asks, waiting.pop(0).levels)
            seeded = True
        truth.messages += 1
        for side, price, size in message.levels:
            row = (message.ids[1], side == "bid", nearest(price), nearest(size))
            truth.deltas.append((*times, *row))
            levels = bids if side == "bid" else asks
            levels[price] = size
            if not size:
                del levels[price]
        if message.event_ns // EVERY_NS > slot:
            slot = message.event_ns // EVERY_NS
            tops = (*_top(bids, descending=True), *_top(asks, descending=False))
            truth.book.append((*times, message.ids[1], *tops))
            truth.seeded.append(seeded)
    return truth


def same_rows(frame: pl.DataFrame, table: str, rows: list[tuple[object, ...]]) -> None:
    """Assert that a frame of the files' rows is exactly these, floats to the bit."""
    columns = list(COLUMNS[table])
    assert frame.height == len(rows)
    expected = dict(zip(columns, zip(*rows, strict=True), strict=True))
    for name in columns:
        assert frame[name].to_list() == list(expected[name]), name


def nearest(value: Decimal) -> float:
    """The float64 nearest to a decimal, by its text."""
    return float(str(value))


def _replace(
    bids: dict[Decimal, Decimal],
    asks: dict[Decimal, Decimal],
    listed: list[tuple[str, Decimal, Decimal]],
) -> None:
    """A snapshot replaces each side from the touch to the worst price that it lists."""
    for name, levels, sign in (("bid", bids, -1), ("ask", asks, 1)):
        new = {price: size for side, price, size in listed if side == name}
        worst = max(sign * price for price in new)
        for price in [price for price in levels if sign * price <= worst]:
            del levels[price]
        levels |= new


def _top(levels: dict[Decimal, Decimal], *, descending: bool) -> list[float | None]:
    best = sorted(levels, reverse=descending)[:LEVELS]
    row: list[float | None] = [
        value for price in best for value in (nearest(price), nearest(levels[price]))
    ]
    return row + [None] * (2 * LEVELS - len(row))
