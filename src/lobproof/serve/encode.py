"""Messages of a tape as SBE frames: what the venue's SBE sockets send of the same market.

The layout is told in `lobproof.sources.binance.sbe`; nothing of its decoder is used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from struct import pack

import msgspec

from lobproof.serve.tape import Message, TradeMessage, in_ms

_EXPONENT = 8
"""Digits behind the point, of prices and of quantities."""
_PARTS = 5
"""A depth message stands for 100 ms, an SBE one for 20."""
_KINDS = {"trade": "trade", "depth": "depth", "bestBidAsk": "bookTicker"}


class _Depth(msgspec.Struct):
    E: int
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Ticker(msgspec.Struct):
    u: int
    b: str
    B: str
    a: str
    A: str


def sbe_key(name: str) -> str:
    """The data of a tape that an SBE stream's name stands for."""
    symbol, at, kind = name.partition("@")
    return f"{symbol}{at}{_KINDS.get(kind, f'sbe {kind}')}"


def sbe_frames(message: Message) -> list[bytes]:
    """A trade, a ticker, or a depth message of 100 ms as its SBE frames, in order."""
    low, _, kind = message.key.partition("@")
    name = low.upper().encode()
    symbol = bytes((len(name),)) + name
    if kind == "trade":
        trade = msgspec.json.decode(message.payload, type=TradeMessage)
        block = pack("<qqbb", _us(trade.E), _us(trade.T), -_EXPONENT, -_EXPONENT)
        entry = pack("<qqqB", trade.t, _mantissa(trade.p), _mantissa(trade.q), trade.m)
        return [_head(18, 10000) + block + pack("<HI", 25, 1) + entry + symbol]
    if kind == "depth":
        depth = msgspec.json.decode(message.payload, type=_Depth)
        parts = min(_PARTS, depth.u - depth.U + 1)
        ids = [depth.U + (depth.u - depth.U + 1) * k // parts for k in range(parts + 1)]
        return [
            _head(26, 10003)
            + pack("<qqqbb", _us(depth.E), ids[k], ids[k + 1] - 1, -_EXPONENT, -_EXPONENT)
            + _levels(depth.b[len(depth.b) * k // parts : len(depth.b) * (k + 1) // parts])
            + _levels(depth.a[len(depth.a) * k // parts : len(depth.a) * (k + 1) // parts])
            + symbol
            for k in range(parts)
        ]
    ticker = msgspec.json.decode(message.payload, type=_Ticker)
    numbers = [_mantissa(one) for one in (ticker.b, ticker.B, ticker.a, ticker.A)]
    us = message.ts // 1000  # a ticker of JSON has no time
    block = pack("<qqbb4q", us, ticker.u, -_EXPONENT, -_EXPONENT, *numbers)
    return [_head(50, 10001) + block + symbol]


def _head(length: int, template: int) -> bytes:
    return pack("<HHHH", length, template, 1, 0)


def _levels(levels: Sequence[tuple[str, str]]) -> bytes:
    entries = [pack("<qq", _mantissa(price), _mantissa(size)) for price, size in levels]
    return pack("<HH", 16, len(entries)) + b"".join(entries)


def _mantissa(number: str) -> int:
    return int(Decimal(number).scaleb(_EXPONENT))


def _us(time: int) -> int:
    """A time in microseconds, of one in ms or in microseconds."""
    return time * 1000 if in_ms(time) == time else time
