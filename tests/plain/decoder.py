"""What a line of a recording says: json and Decimal, nothing of lobproof."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any


@dataclass
class Plain:
    """A message: what it is, when, which ids, and its levels as (side, price, size)."""

    kind: str
    recv_ns: int
    payload: bytes
    stream: str
    ids: tuple[int, ...] = ()
    event_ns: int = 0
    trade_ns: int = 0
    buyer_is_taker: bool = False
    levels: list[tuple[str, Decimal, Decimal]] = field(default_factory=list)


def read_plain(path: Path, symbol: str) -> Iterator[Plain]:
    """Every message of a recording."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            yield plain_line(line.rstrip(b"\n"), symbol)


def plain_line(line: bytes, symbol: str) -> Plain:
    stamp, _, body = line.partition(b" ")
    recv = int(stamp) * 10 ** (19 - len(stamp))
    document = json.loads(body)
    if "stream" in document:
        stream, data = document["stream"], document["data"]
        payload = body[body.index(b'"data":') + len(b'"data":') : -1]
    else:
        stream, data, payload = f"{symbol.lower()}@snapshot", document, body
    kind = stream.split("@")[1]
    plain = Plain(kind, recv, payload, stream)
    _FILL[kind](plain, data)
    return plain


def _levels(plain: Plain, bids: Any, asks: Any) -> None:
    plain.levels = [("bid", Decimal(p), Decimal(q)) for p, q in bids]
    plain.levels += [("ask", Decimal(p), Decimal(q)) for p, q in asks]


def _depth(plain: Plain, data: dict[str, Any]) -> None:
    plain.event_ns = data["E"] * 1_000_000
    plain.ids = (data["U"], data["u"], data.get("pu", data["U"] - 1))
    _levels(plain, data["b"], data["a"])


def _snapshot(plain: Plain, data: dict[str, Any]) -> None:
    plain.ids = (data["lastUpdateId"],)
    _levels(plain, data["bids"], data["asks"])


def _trade(plain: Plain, data: dict[str, Any]) -> None:
    plain.event_ns, plain.trade_ns = data["E"] * 1_000_000, data["T"] * 1_000_000
    plain.ids = (data["t"],)
    plain.buyer_is_taker = not data["m"]
    plain.levels = [("trade", Decimal(data["p"]), Decimal(data["q"]))]


def _ticker(plain: Plain, data: dict[str, Any]) -> None:
    plain.ids = (data["u"],)
    _levels(plain, [(data["b"], data["B"])], [(data["a"], data["A"])])


_FILL = {"depth": _depth, "snapshot": _snapshot, "trade": _trade, "bookTicker": _ticker}
