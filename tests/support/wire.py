"""Binance's messages as text, recordings of them, and scanned blocks as plain values."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lobproof.sources.binance.decode import Decoded
from lobproof.sources.binance.scan_kernels import (
    AGGREGATE,
    DEPTH,
    SNAPSHOT,
    TICKER,
    TRADE,
)
from lobproof.sources.binance.scanner import Block, Scanner

ALL = (DEPTH, TRADE, AGGREGATE, TICKER, SNAPSHOT)
T0 = 1_700_000_000_000
"""A time in ms."""
NS = 1_000_000

Pair = tuple[str, str]


def tight(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def depth(
    first: int,
    final: int,
    bids: Sequence[Pair] = (),
    asks: Sequence[Pair] = (),
    *,
    time: int = T0,
    pu: int | None = None,
    symbol: str = "BTCUSDT",
) -> dict[str, Any]:
    message: dict[str, Any] = {"e": "depthUpdate", "E": time}
    if pu is not None:
        message["T"] = time - 2
    message |= {"s": symbol, "U": first, "u": final}
    if pu is not None:
        message["pu"] = pu
    return message | {"b": [list(pair) for pair in bids], "a": [list(pair) for pair in asks]}


def trade(
    number: int,
    price: str,
    size: str,
    *,
    time: int = T0,
    sold: bool = False,
    symbol: str = "BTCUSDT",
) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": time + 1,
        "s": symbol,
        "t": number,
        "p": price,
        "q": size,
        "T": time,
        "m": sold,
        "M": True,
    }


def futures_trade(number: int, price: str, size: str, *, time: int = T0) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": time + 1,
        "T": time,
        "s": "BTCUSDT",
        "t": number,
        "p": price,
        "q": size,
        "X": "MARKET",
        "m": True,
    }


def aggregate(first: int, last: int, price: str, size: str, *, time: int = T0) -> dict[str, Any]:
    return {
        "e": "aggTrade",
        "E": time + 1,
        "s": "BTCUSDT",
        "a": 7,
        "p": price,
        "q": size,
        "f": first,
        "l": last,
        "T": time,
        "m": False,
        "M": True,
    }


def ticker(final: int, bid: Pair, ask: Pair) -> dict[str, Any]:
    return {
        "u": final,
        "s": "BTCUSDT",
        "b": bid[0],
        "B": bid[1],
        "a": ask[0],
        "A": ask[1],
    }


def futures_ticker(final: int, bid: Pair, ask: Pair, *, time: int = T0) -> dict[str, Any]:
    return {"e": "bookTicker", **ticker(final, bid, ask), "T": time, "E": time + 1}


def snapshot(final: int, bids: Sequence[Pair], asks: Sequence[Pair]) -> dict[str, Any]:
    return {"lastUpdateId": final, "bids": [list(p) for p in bids], "asks": [list(p) for p in asks]}


_STREAMS = {"depthUpdate": "depth@100ms", "trade": "trade", "aggTrade": "aggTrade"}


def wrapped(payload: dict[str, Any]) -> str:
    """The JSON as a combined stream sends it; a snapshot stays bare."""
    if "lastUpdateId" in payload:
        return tight(payload)
    name = _STREAMS.get(payload.get("e", ""), "bookTicker")
    return tight({"stream": f"{payload['s'].lower()}@{name}", "data": payload})


def stamped(texts: Sequence[str], *, start_ns: int = T0 * NS, step_ns: int = 10 * NS) -> bytes:
    """A recording's lines, stamped in ns."""
    return b"".join(f"{start_ns + i * step_ns} {text}\n".encode() for i, text in enumerate(texts))


def journal_line(payload: str, stream: str, recv: int = T0 * NS) -> bytes:
    return f'{{"capture_ns":{recv},"stream":"{stream}","conn":0,"data":{payload}}}\n'.encode()


def recording(path: Path, messages: Sequence[dict[str, Any]], start_ns: int = T0 * NS) -> Path:
    """Write a recording; gzip where the name says so."""
    lines = stamped([wrapped(message) for message in messages], start_ns=start_ns)
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def scanned(data: bytes, *, recorded: bool = True, symbol: str = "BTCUSDT") -> Block:
    return Scanner(symbol, ALL, recorded=recorded).scan(data, "file", 1)


def row_values(block: Block, row: int) -> dict[str, Any]:
    """A parsed row as plain values."""
    message = block.messages[row]

    def text(start: int, stop: int) -> bytes:
        return block.buffer[start:stop].tobytes()

    first = int(message.level)
    pairs = [
        (text(span.price, span.price_stop), text(span.quantity, span.quantity_stop))
        for span in block.levels[first : first + int(message.bids + message.asks)]
    ]
    bids = int(message.bids)
    return {
        "kind": int(message.kind),
        "recv": int(message.recv),
        "stream": text(message.stream, message.stream_stop).decode() or None,
        "data": text(message.payload, message.payload_stop),
        "event": int(message.event),
        "traded": int(message.traded),
        "ids": (int(message.first), int(message.final), int(message.previous)),
        "taker": int(message.taker),
        "futures": bool(message.futures),
        "bids": pairs[:bids],
        "asks": pairs[bids:],
    }


def decoded_values(decoded: Decoded) -> dict[str, Any]:
    """What msgspec made of a line, as plain values."""
    return {
        "kind": decoded.kind,
        "recv": decoded.recv,
        "stream": decoded.stream,
        "data": decoded.data,
        "event": decoded.event,
        "traded": decoded.traded,
        "ids": (decoded.first, decoded.final, decoded.previous),
        "taker": decoded.taker,
        "futures": decoded.futures,
        "bids": decoded.bids,
        "asks": decoded.asks,
    }
