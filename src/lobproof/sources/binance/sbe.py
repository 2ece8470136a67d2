"""SBE frames of Binance's spot streams: what a frame is, and where its numbers stand.

The published schema is Binance's ``stream_1_0.xml`` (id 1, version 0, little endian). Its lengths
and offsets are as two decoders have them that do not know each other: one made by the official
code generator, and NautilusTrader's, written by hand. A frame is a header of 8 bytes, a block of
the template's fixed length, its groups, and the symbol.

A journal keeps a frame in base64, in a stream of its own such as ``btcusdt@sbeDepth``.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

import numpy as np

from lobproof.sources.binance.decode import Problem, quoted

SBE_KINDS = {"trade": "sbeTrade", "depth": "sbeDepth", "bestBidAsk": "sbeBestBidAsk"}
"""A stream as the venue names it → as a journal does: JSON's names are not used twice."""
SBE_MARK = b"@sbe"
"""What stands in the names of a journal's SBE streams, and in no other."""
TRADES, BEST_BID_ASK, DEPTH_SNAPSHOT, DEPTH_DIFF = 10000, 10001, 10002, 10003
SCHEMA = (1, 0)
"""Its id and version."""
TRADE = np.dtype([("id", "<i8"), ("price", "<i8"), ("size", "<i8"), ("maker", "u1")])
"""An entry of a frame's trades; ``maker``: whether the buyer is the maker."""
LEVEL = np.dtype([("price", "<i8"), ("size", "<i8")])
"""A level of a depth message, or a side of the best bid and ask."""

_HEADER = Struct("<HHHH")  # length of the block, template, schema, version
_GROUP = Struct("<HI")  # length of an entry, entries
_GROUP_16 = Struct("<HH")
_BLOCKS = {
    TRADES: Struct("<qqbb"),  # event time, transaction time, exponents of price and quantity
    BEST_BID_ASK: Struct("<qqbb32x"),  # event time, update id, exponents, bid, ask
    DEPTH_SNAPSHOT: Struct("<qqbb"),  # event time, update id, exponents
    DEPTH_DIFF: Struct("<qqqbb"),  # event time, first and last update id, exponents
}
_NAMES = {
    TRADES: "trade",
    BEST_BID_ASK: "bestBidAsk",
    DEPTH_SNAPSHOT: "depth20",
    DEPTH_DIFF: "depth",
}
_TRADE_BYTES, _LEVEL_BYTES = TRADE.itemsize, LEVEL.itemsize
_EXPONENTS = range(-18, 19)


class SbeFrame(NamedTuple):
    """A frame. A number is a mantissa times ten to the power of its exponent.

    ``kind`` is the stream's, as the venue names it; times are microseconds since 1970. ``time_us``
    is when trades were made, else 0. ``first`` and ``last`` are update ids, of trades 0. The bytes
    ``entries`` are ``bids`` and then ``asks`` levels (`LEVEL`), or trades (`TRADE`).
    """

    kind: str
    symbol: str
    event_us: int
    time_us: int
    first: int
    last: int
    price_exponent: int
    size_exponent: int
    bids: int
    asks: int
    entries: bytes


def read_sbe(data: bytes) -> SbeFrame:
    """Read a frame, whole and nothing behind it.

    Raises
    ------
    Problem
        Of the reasons ``sbe schema``, ``sbe template``, ``sbe length`` (a frame that is cut short,
        too long, or of other lengths than the schema's) and ``sbe value``.
    """
    size = len(data)
    if size < 8:
        raise Problem("sbe length", f"{size} bytes, where a header alone has 8")
    length, template, schema, version = _HEADER.unpack_from(data)
    if (schema, version) != SCHEMA:
        raise Problem("sbe schema", f"schema {schema}, version {version}: not 1, version 0")
    block = _BLOCKS.get(template)
    if block is None:
        raise Problem("sbe template", f"template {template}: not {TRADES} to {DEPTH_DIFF}")
    if length != block.size or size < 8 + length:
        raise Problem("sbe length", f"a block of {length} bytes in a frame of {size}")
    event, first, *more, price, quantity = block.unpack_from(data, 8)
    at = 8 + length
    time = bids = asks = 0
    last = more[0] if more else first
    if template == TRADES:
        time, first, last = first, 0, 0
        start, at, bids = _group(data, at, _GROUP, _TRADE_BYTES)
        entries = data[start:at]
        if max(entries[_TRADE_BYTES - 1 :: _TRADE_BYTES], default=0) > 1:
            raise Problem("sbe value", "a buyer that neither is the maker nor is not")
    elif template == BEST_BID_ASK:
        bids = asks = 1
        entries = data[at - 2 * _LEVEL_BYTES : at]
    else:
        start, middle, bids = _group(data, at, _GROUP_16, _LEVEL_BYTES)
        begin, at, asks = _group(data, middle, _GROUP_16, _LEVEL_BYTES)
        entries = data[start:middle] + data[begin:at]
    if size == at or at + 1 + data[at] != size:
        raise Problem("sbe length", f"the symbol does not end where the frame of {size} bytes does")
    if price not in _EXPONENTS or quantity not in _EXPONENTS:
        raise Problem("sbe value", f"exponents {price} and {quantity}")
    try:
        symbol = data[at + 1 :].decode()
    except UnicodeDecodeError as error:
        raise Problem("sbe value", "the symbol is no UTF-8") from error
    kind = _NAMES[template]
    if first > last or (template == DEPTH_DIFF and first < 1):
        raise Problem("sbe value", f"update ids {first} to {last} of {quoted(symbol)}")
    return SbeFrame(
        kind, symbol, event, time, first, last, price, quantity, bids, asks, entries
    )  # fmt: skip


def _group(data: bytes, at: int, head: Struct, entry: int) -> tuple[int, int, int]:
    """Where a group's entries begin and end, and how many they are."""
    start = at + head.size
    if start > len(data):
        raise Problem("sbe length", f"a frame of {len(data)} bytes ends before a group")
    length, count = head.unpack_from(data, at)
    stop: int = start + length * count
    if length != entry or stop > len(data):
        raise Problem(
            "sbe length", f"{count} entries of {length} bytes in a frame of {len(data)} bytes"
        )
    return start, stop, count
