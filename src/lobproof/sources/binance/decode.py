"""The slow decoder: msgspec, for any line that departs from the strict shape.

It accepts every spelling that means the same (order of fields, further fields, blanks, escapes,
exponents, numbers without quotes, whose text is exact all the same), and says of the rest why it
cannot be what it claims. Nothing but :class:`Problem` comes out of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct

from lobproof.documents import MAX_DEPTH, QUOTED, value_of
from lobproof.errors import shown
from lobproof.sources.binance.scan_kernels import (
    AGGREGATE,
    DEPTH,
    FOREIGN,
    NO_EXECUTION,
    OTHER,
    SNAPSHOT,
    TICKER,
    TRADE,
    read_stamp,
)

_SHOWN = 200
JOURNALS_OWN = ("invalid", "control")
"""Streams of a journal that no market has."""


class Problem(Exception):
    """Why a line is invalid: a short reason to count by, and the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = shown(detail, _SHOWN)
        super().__init__(reason, self.detail)


def quoted(text: str | None) -> str:
    """A text from a line, cut, between quotes."""
    return "None" if text is None else f"'{shown(text, QUOTED)}'"


def check_json(body: bytes) -> object:
    """The document, or ``Problem("json", …)``; so is one in which a key stands twice."""
    try:
        document: object = msgspec.json.decode(body)
        if isinstance(document, dict | list):
            value_of(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _no_json(error) from error
    return document


def _no_json(error: Exception) -> Problem:
    if isinstance(error, RecursionError):
        return Problem("json", f"it is more than {MAX_DEPTH} levels deep")
    if isinstance(error, UnicodeDecodeError):
        return Problem("json", f"it is no UTF-8: {error.reason} at byte {error.start:,}")
    return Problem("json", str(error))


def check_stream(name: str) -> None:
    """A journal holds a name as it is: it needs no escape, and is none of the journal's own."""
    if not name.isprintable() or '"' in name or "\\" in name or name in JOURNALS_OWN:
        raise Problem("stream", f"{quoted(name)} is no name of a market's stream")


Pairs = list[tuple[bytes, bytes]]

_Id = Annotated[int, Meta(ge=0, lt=9 * 10**18)]
_ABSENT = Raw(b"")
_Levels = list[Annotated[list[Raw], Meta(min_length=2, max_length=3)]]
_COMMENT = re.compile(rb"configuration: (.*)", re.DOTALL)  # heads cryptofeed's raw dumps
_STAMPED = re.compile(rb"([0-8][0-9]{18}) (?=\{)")
_PLAIN = re.compile(rb"[0-9]+(?:\.[0-9]+)?")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_DEPTH_STREAM = re.compile(r"depth(@.*)?", re.DOTALL)
_STREAM_KINDS = {
    "trade": TRADE,
    "aggTrade": AGGREGATE,
    "bookTicker": TICKER,
    "snapshot": SNAPSHOT,
    "depthSnapshot": SNAPSHOT,
}
_EVENT_KINDS = {
    "depthUpdate": DEPTH,
    "trade": TRADE,
    "aggTrade": AGGREGATE,
    "bookTicker": TICKER,
}
_EVENTS = {kind: event for event, kind in _EVENT_KINDS.items()}


_NUMBER_LENGTH = 64
"""Characters of a number: a grid holds 18 digits, and zeros may stand around them."""


@dataclass(slots=True)
class Decoded:
    """A message as the tables hold it; times in ns, numbers as plain text."""

    kind: int
    recv: int = 0
    stream: str | None = None
    data: bytes = b""
    event: int = 0
    traded: int = 0
    first: int = 0
    final: int = 0
    previous: int = 0
    taker: int = 0
    futures: bool = False
    bids: Pairs = field(default_factory=list)
    asks: Pairs = field(default_factory=list)


class JournalLine(Struct):
    """A journal's line; which fields it has depends on its stream."""

    capture_ns: _Id
    stream: str
    data: Raw = _ABSENT
    event: str = ""
    reason: str = ""
    data_b64: str = ""


class _Wrapped(Struct):
    stream: str
    data: Raw


class _Depth(Struct):
    e: str
    E: int
    s: str
    U: _Id
    u: _Id
    b: _Levels
    a: _Levels
    T: int = 0
    pu: _Id | None = None


class _Trade(Struct):
    e: str
    E: int
    s: str
    p: Raw
    q: Raw
    T: int
    m: bool
    X: str | None = None


class _RawTrade(_Trade, kw_only=True):
    t: _Id


class _Aggregate(_Trade, kw_only=True):
    first: _Id = msgspec.field(name="f")
    last: _Id = msgspec.field(name="l")


class _Ticker(Struct):
    u: _Id
    s: str
    b: Raw
    B: Raw
    a: Raw
    A: Raw
    e: str | None = None
    E: int = 0
    T: int = 0


class _Snapshot(Struct):
    lastUpdateId: _Id
    bids: _Levels
    asks: _Levels
    E: int | None = None
    T: int = 0
    symbol: str | None = None


class _Probe(Struct):
    """What tells the kind of a payload that came without a stream's name."""

    e: str | None = None
    s: str | None = None
    symbol: str | None = None
    lastUpdateId: Raw = _ABSENT
    result: Raw = _ABSENT
    U: Raw = _ABSENT
    u: Raw = _ABSENT
    B: Raw = _ABSENT
    A: Raw = _ABSENT
    stream: Raw = _ABSENT


S = TypeVar("S")


def _read(body: bytes, kind: type[S]) -> S:
    """Decode ``body``; a fault of syntax is told from one of shape."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        check_json(body)
        raise Problem("shape", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(error) from error


def split_stamp(line: bytes) -> tuple[int, bytes] | None:
    """Receive time in ns and JSON of a recording's line, as the kernel ``read_stamp`` reads it."""
    plain = _STAMPED.match(line)  # without the kernel, which takes seconds to compile for Python
    if plain is not None:
        return int(plain[1]), line[plain.end() :]
    recv, behind = read_stamp(np.frombuffer(line, np.uint8), 0, len(line))
    return None if recv < 0 else (int(recv), line[behind:])


def decode_recording(line: bytes, symbol: str) -> Decoded:
    """A line ``<receive time> <JSON>``."""
    head = split_stamp(line) if line[:1].isdigit() else None
    if head is None:
        comment = _COMMENT.fullmatch(line)
        if comment is None:
            raise Problem("stamp", "no receive time before the JSON")
        check_json(comment[1])
        return Decoded(OTHER, data=comment[1])
    recv, body = head
    if isinstance(check_json(body), dict):
        probe = _read(body, _Probe)
        if len(probe.stream):
            wrapped = _read(body, _Wrapped)
            check_stream(wrapped.stream)
            decoded = decode_payload(wrapped.stream, bytes(wrapped.data), symbol)
        else:
            decoded = _decode_bare(body, probe, symbol)
    else:
        decoded = Decoded(OTHER, data=body)
    decoded.recv = recv
    return decoded


def decode_journal(line: bytes, symbol: str) -> Decoded:
    """A journal's line that carries a payload."""
    check_json(line)
    entry = _read(line, JournalLine)
    check_stream(entry.stream)
    if not len(entry.data):
        raise Problem("shape", "a journal line without data")
    decoded = decode_payload(entry.stream, bytes(entry.data), symbol)
    decoded.recv = entry.capture_ns
    return decoded


def journal_entry(line: bytes) -> JournalLine:
    """A journal's line as it stands: for those that carry no payload."""
    return _read(line, JournalLine)


def symbol_of(line: bytes) -> str | None:
    """The symbol that a recording's line names, in its stream or its payload."""
    head = split_stamp(line)
    try:
        probe = _read(head[1], _Probe) if head else _Probe()
        stream = msgspec.json.decode(probe.stream, type=str) if len(probe.stream) else ""
    except (Problem, msgspec.DecodeError, UnicodeDecodeError):
        return None
    name, at, _ = stream.partition("@")
    if at and name and not name.startswith("!"):
        return name.upper()
    return probe.s or probe.symbol


def _decode_bare(body: bytes, probe: _Probe, symbol: str) -> Decoded:
    if probe.e is None and bytes(probe.result).startswith(b"{"):  # the WebSocket API's reply
        body = bytes(probe.result)
        probe = _read(body, _Probe)
    kind = _EVENT_KINDS.get(probe.e or "", OTHER)
    if probe.e is None and len(probe.lastUpdateId):
        kind = SNAPSHOT
    elif probe.e is None and len(probe.u) and len(probe.B) and len(probe.A):
        kind = TICKER
    elif probe.e is None and len(probe.U) and len(probe.u):
        kind = DEPTH  # and wrong, but not to be passed over
    named = probe.symbol if kind == SNAPSHOT else probe.s
    if kind != OTHER and named is not None and named != symbol:
        return Decoded(FOREIGN, data=body)
    return decode_payload(None, body, symbol, kind)


def stream_kind(stream: str, symbol: str) -> int:
    """Kind that a stream's name promises."""
    name, at, rest = stream.partition("@")
    if not at or name.startswith("!"):
        return OTHER
    if name.upper() != symbol:
        return FOREIGN
    return DEPTH if _DEPTH_STREAM.fullmatch(rest) else _STREAM_KINDS.get(rest, OTHER)


def decode_payload(
    stream: str | None, data: bytes, symbol: str, kind: int | None = None
) -> Decoded:
    """A payload as what its stream's name, or ``kind``, claims."""
    kind = stream_kind(stream or "", symbol) if kind is None else kind
    decoded = Decoded(kind, stream=stream, data=data)
    if kind == DEPTH:
        _fill_depth(decoded, _claimed(data, kind, _Depth), symbol)
    elif kind == TRADE:
        raw = _claimed(data, kind, _RawTrade)
        _fill_trade(decoded, raw, raw.t, raw.t, symbol)
    elif kind == AGGREGATE:
        aggregate = _claimed(data, kind, _Aggregate)
        _fill_trade(decoded, aggregate, aggregate.first, aggregate.last, symbol)
    elif kind == TICKER:
        _fill_ticker(decoded, _read(data, _Ticker), symbol)
    elif kind == SNAPSHOT:
        _fill_snapshot(decoded, _read(data, _Snapshot), symbol)
    return decoded


def _claimed(data: bytes, kind: int, shape: type[S]) -> S:
    """Decode, if the document is the event that its stream brings."""
    _check_event(_read(data, _Probe).e, kind)
    return _read(data, shape)


def _check_event(event: str | None, kind: int) -> None:
    if event != _EVENTS[kind]:
        raise Problem("kind", f'"e" is {quoted(event)}, where the stream brings {_EVENTS[kind]!r}')


def _fill_depth(decoded: Decoded, raw: _Depth, symbol: str) -> None:
    _check_symbol(raw.s, symbol)
    decoded.previous = raw.U - 1 if raw.pu is None else raw.pu
    if raw.U < 1 or raw.u < raw.U or decoded.previous > raw.u:
        raise Problem("ids", f"U {raw.U}, u {raw.u}, pu {raw.pu}: not in order")
    decoded.event, decoded.traded = moment(raw.E), moment(raw.T)
    decoded.first, decoded.final = raw.U, raw.u
    decoded.futures = raw.pu is not None
    decoded.bids, decoded.asks = _side(raw.b), _side(raw.a)


def _fill_trade(decoded: Decoded, raw: _Trade, first: int, last: int, symbol: str) -> None:
    _check_symbol(raw.s, symbol)
    if last < first:
        raise Problem("ids", f"first id {first}, last id {last}: not in order")
    price, size = _plain(raw.p), _plain(raw.q)
    executed = raw.X != "NA" or bool((price + size).strip(b"0."))
    if executed:
        _check_positive(price, "price")
        _check_positive(size, "size")
    decoded.event, decoded.traded = moment(raw.E), moment(raw.T)
    decoded.first, decoded.final, decoded.previous = first, last, first - 1
    decoded.taker = NO_EXECUTION if not executed else 2 if raw.m else 1
    decoded.futures = raw.X is not None
    decoded.bids = [(price, size)]


def _fill_ticker(decoded: Decoded, raw: _Ticker, symbol: str) -> None:
    _check_symbol(raw.s, symbol)
    if raw.e is not None:
        _check_event(raw.e, TICKER)
    decoded.event, decoded.traded = moment(raw.E), moment(raw.T)
    decoded.first = decoded.final = decoded.previous = raw.u
    decoded.futures = raw.e is not None
    decoded.bids = [(_plain(raw.b), _plain(raw.B))]
    decoded.asks = [(_plain(raw.a), _plain(raw.A))]


def _fill_snapshot(decoded: Decoded, raw: _Snapshot, symbol: str) -> None:
    if raw.symbol is not None:
        _check_symbol(raw.symbol, symbol)
    decoded.event, decoded.traded = moment(raw.E or 0), moment(raw.T)
    decoded.first = decoded.final = decoded.previous = raw.lastUpdateId
    decoded.futures = raw.E is not None
    decoded.bids, decoded.asks = _side(raw.bids), _side(raw.asks)


def _side(levels: _Levels) -> Pairs:
    pairs = []
    for price, size, *more in levels:
        if more and bytes(more[0]).strip() != b"[]":
            raise Problem("shape", "a level's third element is not []")
        pairs.append((_plain(price), _plain(size)))
        _check_positive(pairs[-1][0], "price")
    return pairs


def _check_symbol(seen: str, symbol: str) -> None:
    if seen != symbol:
        raise Problem("symbol", f"the payload is of {quoted(seen)}, its stream of {symbol}")


def _check_positive(number: bytes, what: str) -> None:
    if not number.strip(b"0."):
        raise Problem(what, f"a {what} of {number.decode()}")


def _plain(raw: Raw) -> bytes:
    """A number's token, quoted or not, as digits with at most one point."""
    token = bytes(raw)
    if token[:1] == b'"':
        token = token[1:-1] if b"\\" not in token else msgspec.json.decode(token, type=str).encode()
    text = token.decode("utf-8", "backslashreplace")
    if not _PLAIN.fullmatch(token):
        if len(text) > _NUMBER_LENGTH or not _NUMBER.fullmatch(text):
            raise Problem("number", f"{quoted(text)} is no decimal number")
        value = Decimal(text)
        if value < 0:
            raise Problem("negative", f"{text} is below zero")
        token = format(abs(value), "f").encode()
    if len(token) > _NUMBER_LENGTH:
        raise Problem("number", f"{quoted(text)} has {len(token):,} digits")
    return token


def moment(value: int) -> int:
    """A time in ms or µs as ns; what is not positive is missing, 0."""
    if value <= 0:
        return 0
    if value < 9_000_000_000_000:
        return value * 1_000_000
    if 100_000_000_000_000 <= value < 9_000_000_000_000_000:
        return value * 1_000
    raise Problem("time", f"{value} is no time in milliseconds or microseconds")
