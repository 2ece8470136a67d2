"""Blocks of lines to tables: the byte parser first, msgspec for the lines that it leaves."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lobproof.schema import Flag, Int64
from lobproof.schema.records import Records, joined_rows, new_rows
from lobproof.sources.binance.decode import (
    Decoded,
    Problem,
    decode_journal,
    decode_recording,
    journal_entry,
)
from lobproof.sources.binance.scan_kernels import (
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
    FOREIGN,
    FUTURES_SHAPE,
    HEAD,
    INVALID,
    IRREGULAR,
    LEVEL,
    MAKER,
    MESSAGE,
    MIN_LEVEL_BYTES,
    ONLY_ID,
    POSITIVE,
    PREVIOUS_ID,
    SHAPE,
    SNAPSHOT,
    SPOT_SHAPE,
    STREAM_NAME,
    STREAM_OF_KIND,
    TICKER,
    TRADE,
    TRADE_TIME,
    Bytes,
    scan,
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
    (
        SNAPSHOT,  # coin-margined
        FUTURES_SHAPE,
        '{"lastUpdateId":<final>,"E":<event>,"T":<traded>,"symbol":"<symbol>","pair":"<pair>",'
        '"bids":<bids>,"asks":<asks>}',
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


def shapes_of(symbol: str) -> tuple[Bytes, Records, Records]:
    """The shapes for a symbol as payloads write it; streams have it in lower case.

    The text of all, and of each where it stands: the shapes of a line's head and of a message of
    some kind (fields are bytes below 32); and the names of the kinds' streams.
    """
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
    located = np.array(index, SHAPE)
    shapes, streams = located[: len(_SHAPES)], located[len(_SHAPES) :]
    return np.frombuffer(text, np.uint8), shapes, streams


_NEWLINE, _RETURN = 10, 13
_INVALID_MARK = int(Flag.INVALID | Flag.LAST)
_BREAK_MARK = int(Flag.RECONNECT | Flag.LAST)
_BOOK_LINE = re.compile(rb'@depth|"depthUpdate"')
_OTHER_LINE = re.compile(rb'"stream" ?: ?"[^"@]*@\w+["@]|"e" ?: ?"\w+"')
_SEEN = 256  # bytes of a line within which it says what it is


@dataclass(slots=True)
class Block:
    """Scanned lines: their bytes, the message table, the level table and what is wrong.

    Row ``i`` of ``messages`` is line ``first_line + i`` of ``name``. Valid until the next scan.
    """

    name: str
    first_line: int
    buffer: Bytes
    ends: Int64
    messages: Records
    levels: Records
    problems: dict[int, Problem] = field(default_factory=dict)

    def line(self, row: int) -> bytes:
        """The bytes of a line, without its end."""
        start = int(self.ends[row - 1]) + 1 if row else 0
        line = self.buffer[start : int(self.ends[row])].tobytes()
        return line.removesuffix(b"\r")

    def refuse(self, row: int, problem: Problem) -> None:
        """Make a line one that cannot be read."""
        recv = self.messages["recv"][row]
        self.messages[row] = 0
        message = self.messages[row]
        message.kind, message.recv = INVALID, recv
        # of millions of bad lines the frames that raised them would fill the memory
        problem.__traceback__ = problem.__cause__ = problem.__context__ = None
        self.problems[row] = problem

    def number(self, level: int, what: Literal["price", "quantity"]) -> str:
        """The text of a level's price or size."""
        start, stop = self.levels[what][level], self.levels[f"{what}_stop"][level]
        return self.buffer[start:stop].tobytes().decode("ascii", "backslashreplace")

    def where(self, row: int) -> str:
        """File and line of a row, for errors and findings."""
        return f"{self.name}, line {self.first_line + row}"


class Scanner:
    """Turns blocks of whole lines into tables.

    Parameters
    ----------
    symbol
        As the venue's payloads write it.
    wanted
        The kinds to parse; lines of others are only told apart.
    recorded
        Whether the lines are a recording's; else a journal's.
    doubt_foreign
        Look closely at lines that seem to be of another symbol: are they whole?
    """

    def __init__(
        self,
        symbol: str,
        wanted: tuple[int, ...],
        *,
        recorded: bool = False,
        doubt_foreign: bool = False,
    ) -> None:
        self._symbol = symbol
        self._shapes = shapes_of(symbol)
        self._recent = np.zeros(IRREGULAR, np.int64)
        self._wanted = sum(1 << kind for kind in wanted)
        self._recorded = recorded
        self._doubt_foreign = doubt_foreign
        self._levels = new_rows(LEVEL, 0)

    def scan(self, data: bytes, name: str, first_line: int) -> Block:
        """Tables of the lines in ``data``; its last line may lack its end."""
        buffer = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(buffer == _NEWLINE)
        if len(buffer) and buffer[-1] != _NEWLINE:
            ends = np.append(ends, len(buffer))
        if len(self._levels) < len(buffer) // MIN_LEVEL_BYTES + 2:
            self._levels = new_rows(LEVEL, len(buffer) // MIN_LEVEL_BYTES + 2)
        messages = np.zeros(len(ends), MESSAGE)
        used = scan(
            buffer,
            ends,
            self._recorded,
            *self._shapes,
            self._recent,
            self._wanted,
            messages,
            self._levels,
        )
        block = Block(name, first_line, buffer, ends, messages, self._levels[:used])
        self._decode_irregular(block)
        if not self._recorded:
            self._read_marks(block)
        return block

    def _decode_irregular(self, block: Block) -> None:
        kinds = block.messages["kind"]
        slow = kinds == IRREGULAR
        if self._doubt_foreign:
            slow |= kinds == FOREIGN
        rows = np.flatnonzero(slow)
        if not len(rows):
            return
        extra = bytearray()
        pairs: list[tuple[int, int, int, int]] = []
        decode = decode_recording if self._recorded else decode_journal
        for row in rows.tolist():
            line = block.line(row)
            try:
                decoded = decode(line, self._symbol)
            except Problem as problem:
                block.refuse(row, problem)
                if not self._recorded:
                    block.messages[row].taker = _mark_of(line)
                continue
            base, level = len(block.buffer), len(block.levels) + len(pairs)
            block.messages[row] = _row_of(decoded, extra, base, level, pairs)
        if extra:
            block.buffer = np.concatenate([block.buffer, np.frombuffer(bytes(extra), np.uint8)])
            block.buffer.flags.writeable = False
        if pairs:
            block.levels = joined_rows([block.levels, np.array(pairs, LEVEL)])

    def _read_marks(self, block: Block) -> None:
        """Set time and flags of the marks that invalid and control lines of a journal become."""
        kinds = block.messages["kind"]
        for row in np.flatnonzero((kinds == INVALID) | (kinds == CONTROL)).tolist():
            if row in block.problems:
                continue
            message = block.messages[row]
            try:
                entry = journal_entry(block.line(row))
                if message.kind == INVALID:
                    message.taker = _mark_of(b64decode(entry.data_b64, validate=True))
                elif entry.event == "truncated":
                    message.taker = _BREAK_MARK
                message.recv = entry.capture_ns
            except (Problem, Base64Error) as error:
                message.kind, message.taker = INVALID, _INVALID_MARK
                block.problems[row] = Problem("json", f"a damaged journal line: {error}")


def _mark_of(line: bytes) -> int:
    """Flags of the mark that stands for an unreadable line.

    It speaks of the book unless its beginning names another stream: of a line that cannot be read
    nobody knows better.
    """
    other = _OTHER_LINE.search(line[:_SEEN]) and not is_depth_line(line)
    return _INVALID_MARK | (int(Flag.TRADES) if other else 0)


def is_depth_line(line: bytes) -> bool:
    """Whether an unreadable line says at its beginning that it is a depth message."""
    return _BOOK_LINE.search(line[:_SEEN]) is not None


def _row_of(
    decoded: Decoded,
    extra: bytearray,
    base: int,
    level: int,
    pairs: list[tuple[int, int, int, int]],
) -> tuple[int, ...]:
    """A message's row; its texts go to ``extra``, which is to follow byte ``base``."""

    def put(text: bytes) -> tuple[int, int]:
        extra.extend(text)
        return base + len(extra) - len(text), base + len(extra)

    payload, payload_stop = put(decoded.data)
    stream, stream_stop = (0, 0) if decoded.stream is None else put(decoded.stream.encode())
    for price, size in (*decoded.bids, *decoded.asks):
        pairs.append((*put(price), *put(size)))
    # the fields of MESSAGE, in its order: a record's fields one by one take as long as decoding
    return (
        decoded.kind,
        decoded.recv,
        stream,
        stream_stop,
        payload,
        payload_stop,
        decoded.event,
        decoded.traded,
        decoded.first,
        decoded.final,
        decoded.previous,
        level,
        len(decoded.bids),
        len(decoded.asks),
        decoded.taker,
        int(decoded.futures),
        0,
    )
