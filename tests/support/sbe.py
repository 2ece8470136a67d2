"""SBE frames of Binance's spot streams, byte by byte: a plain reference apart from the package."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence

Pairs = Sequence[tuple[int, int]]


def _signed(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little", signed=True)


def _unsigned(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def _frame(template: int, block: bytes, behind: bytes, symbol: str) -> bytes:
    head = b"".join(_unsigned(value, 2) for value in (len(block), template, 1, 0))
    name = symbol.encode()
    return head + block + behind + _unsigned(len(name), 1) + name


def _exponents(exponents: tuple[int, int]) -> bytes:
    return b"".join(_signed(one, 1) for one in exponents)


def _side(levels: Pairs) -> bytes:
    text = _unsigned(16, 2) + _unsigned(len(levels), 2)
    for price, size in levels:
        text += _signed(price, 8) + _signed(size, 8)
    return text


def trades_frame(
    symbol: str,
    trades: Sequence[tuple[int, int, int, bool]],
    *,
    time_us: int = 1_767_571_200_000_000,
    exponents: tuple[int, int] = (-8, -8),
) -> bytes:
    """Trades of an instant: id, price, size, and whether the buyer is the maker."""
    block = _signed(time_us + 7, 8) + _signed(time_us, 8) + _exponents(exponents)
    group = _unsigned(25, 2) + _unsigned(len(trades), 4)
    for number, price, size, maker in trades:
        group += b"".join(_signed(one, 8) for one in (number, price, size)) + _unsigned(maker, 1)
    return _frame(10000, block, group, symbol)


def touch_frame(
    symbol: str,
    update: int,
    bid: tuple[int, int],
    ask: tuple[int, int],
    *,
    exponents: tuple[int, int] = (-8, -8),
) -> bytes:
    """The best bid and ask."""
    block = _signed(1_767_571_200_000_007, 8) + _signed(update, 8) + _exponents(exponents)
    block += b"".join(_signed(one, 8) for one in (*bid, *ask))
    return _frame(10001, block, b"", symbol)


def depth_frame(
    symbol: str,
    first: int,
    last: int,
    bids: Pairs,
    asks: Pairs,
    *,
    exponents: tuple[int, int] = (-8, -8),
) -> bytes:
    """A depth message."""
    block = b"".join(_signed(one, 8) for one in (1_767_571_200_000_007, first, last))
    return _frame(10003, block + _exponents(exponents), _side(bids) + _side(asks), symbol)


def snapshot_frame(symbol: str, last: int, bids: Pairs, asks: Pairs) -> bytes:
    """The top levels of the book."""
    block = _signed(1_767_571_200_000_007, 8) + _signed(last, 8) + _exponents((-8, -8))
    return _frame(10002, block, _side(bids) + _side(asks), symbol)


def recorded(recv_ns: int, stream: str, frame: bytes) -> bytes:
    """A recording's line that holds a frame."""
    wrapped = {"stream": stream, "data": b64encode(frame).decode()}
    return b"%d %b\n" % (recv_ns, json.dumps(wrapped, separators=(",", ":")).encode())
