"""The strict shapes of the venue's messages, as the byte parser compares them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from lobproof.schema import Int64
from lobproof.sources.binance.message_kernels import (
    AGGREGATE,
    ANY_BOOLEAN,
    ANY_INTEGER,
    ANY_NUMBER,
    ASK_LEVELS,
    BID_LEVELS,
    CAPTURE_TIME,
    CONTROL,
    DEPTH,
    EMPTY,
    EVENT_TIME,
    FINAL_ID,
    FIRST_ID,
    FUTURES_SHAPE,
    HEAD,
    INVALID,
    MAKER,
    ONLY_ID,
    POSITIVE,
    PREVIOUS_ID,
    SNAPSHOT,
    SPOT_SHAPE,
    STREAM_NAME,
    STREAM_OF_KIND,
    TICKER,
    TRADE,
    TRADE_TIME,
    Bytes,
)

_FIELDS = {
    "event": EVENT_TIME,
    "traded": TRADE_TIME,
    "first": FIRST_ID,
    "final": FINAL_ID,
    "id": ONLY_ID,
    "previous": PREVIOUS_ID,
    "integer": ANY_INTEGER,
    "maker": MAKER,
    "boolean": ANY_BOOLEAN,
    "bids": BID_LEVELS,
    "asks": ASK_LEVELS,
    "number": ANY_NUMBER,
    "positive": POSITIVE,
    "capture": CAPTURE_TIME,
    "stream": STREAM_NAME,
}
_PLACEHOLDER = re.compile(r"<(\w+)>")

_SHAPES = (
    (EMPTY, HEAD, '{"stream":"<stream>","data":'),  # a recording's line behind its stamp
    (EMPTY, HEAD, '{"capture_ns":<capture>,"stream":"<stream>","conn":<integer>,"data":'),
    (
        DEPTH,
        SPOT_SHAPE,
        '{"e":"depthUpdate","E":<event>,"s":"<symbol>","U":<first>,"u":<final>,'
        '"b":<bids>,"a":<asks>}',
    ),
    (
        DEPTH,
        FUTURES_SHAPE,
        '{"e":"depthUpdate","E":<event>,"T":<traded>,"s":"<symbol>","U":<first>,"u":<final>,'
        '"pu":<previous>,"b":<bids>,"a":<asks>}',
    ),
    (
        DEPTH,  # coin-margined
        FUTURES_SHAPE,
        '{"e":"depthUpdate","E":<event>,"T":<traded>,"s":"<symbol>","ps":"<pair>","U":<first>,'
        '"u":<final>,"pu":<previous>,"b":<bids>,"a":<asks>}',
    ),
    (
        TRADE,
        SPOT_SHAPE,
        '{"e":"trade","E":<event>,"s":"<symbol>","t":<id>,"p":"<positive>","q":"<positive>",'
        '"T":<traded>,"m":<maker>,"M":<boolean>}',
    ),
    (
        TRADE,  # with order ids, before 2024
        SPOT_SHAPE,
        '{"e":"trade","E":<event>,"s":"<symbol>","t":<id>,"p":"<positive>","q":"<positive>",'
        '"b":<integer>,"a":<integer>,"T":<traded>,"m":<maker>,"M":<boolean>}',
    ),
    (
        TRADE,
        FUTURES_SHAPE,
        '{"e":"trade","E":<event>,"T":<traded>,"s":"<symbol>","t":<id>,"p":"<positive>",'
        '"q":"<positive>","X":"MARKET","m":<maker>}',
    ),
    (
        AGGREGATE,
        SPOT_SHAPE,
        '{"e":"aggTrade","E":<event>,"s":"<symbol>","a":<integer>,"p":"<positive>",'
        '"q":"<positive>","f":<first>,"l":<final>,"T":<traded>,"m":<maker>,"M":<boolean>}',
    ),
    (
        AGGREGATE,  # of futures, but nothing in it says so
        SPOT_SHAPE,
        '{"e":"aggTrade","E":<event>,"s":"<symbol>","a":<integer>,"p":"<positive>",'
        '"q":"<positive>","f":<first>,"l":<final>,"T":<traded>,"m":<maker>}',
    ),
    (
        TICKER,
        SPOT_SHAPE,
        '{"u":<final>,"s":"<symbol>","b":"<number>","B":"<number>","a":"<number>","A":"<number>"}',
    ),
    (
        TICKER,
        FUTURES_SHAPE,
        '{"e":"bookTicker","u":<final>,"s":"<symbol>","b":"<number>","B":"<number>",'
        '"a":"<number>","A":"<number>","T":<traded>,"E":<event>}',
    ),
    (
        TICKER,  # coin-margined
        FUTURES_SHAPE,
        '{"u":<final>,"e":"bookTicker","s":"<symbol>","ps":"<pair>","b":"<number>","B":"<number>",'
        '"a":"<number>","A":"<number>","T":<traded>,"E":<event>}',
    ),
    (SNAPSHOT, SPOT_SHAPE, '{"lastUpdateId":<final>,"bids":<bids>,"asks":<asks>}'),
    (
        SNAPSHOT,
        FUTURES_SHAPE,
        '{"lastUpdateId":<final>,"E":<event>,"T":<traded>,"bids":<bids>,"asks":<asks>}',
    ),
)


_STREAMS = (
    (DEPTH, "{}@depth"),
    (TRADE, "{}@trade"),
    (AGGREGATE, "{}@aggTrade"),
    (TICKER, "{}@bookTicker"),
    (SNAPSHOT, "{}@snapshot"),
    (SNAPSHOT, "{}@depthSnapshot"),  # tardis.dev's
    (INVALID, "invalid"),
    (CONTROL, "control"),
)


@dataclass(frozen=True, slots=True)
class Shapes:
    """Tables of a symbol for the kernel ``scan``.

    ``text[start:stop]`` with a row of ``index`` is the shape of a line's head, of a message of
    some kind (fields are bytes below 32), or the name of the kind's stream.
    """

    text: Bytes
    index: Int64


def shapes_of(symbol: str) -> Shapes:
    """The tables for a symbol as payloads write it; streams have it in lower case."""
    names = {"symbol": symbol, "pair": symbol.partition("_")[0]}

    def field(match: re.Match[str]) -> str:
        return names.get(match[1]) or chr(_FIELDS[match[1]])

    text = b""
    index = []
    for kind, role, shape in _SHAPES:
        start = len(text)
        text += _PLACEHOLDER.sub(field, shape).encode()
        index.append((start, len(text), kind, role))
    for kind, name in _STREAMS:
        start = len(text)
        text += name.format(symbol.lower()).encode()
        index.append((start, len(text), kind, STREAM_OF_KIND))
    return Shapes(np.frombuffer(text, np.uint8), np.array(index, np.int64))
