"""Blocks of lines to tables: the byte parser first, msgspec for the lines that it leaves."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field

import numpy as np

from lobproof.schema import Flag, Int64
from lobproof.sources.binance.decode import (
    Decoded,
    decode_journal,
    decode_recording,
    journal_entry,
)
from lobproof.sources.binance.kernels import scan
from lobproof.sources.binance.message_kernels import (
    ASKS,
    BIDS,
    COLUMNS,
    CONTROL,
    DATA,
    DATA_STOP,
    EVENT,
    FINAL,
    FIRST,
    FOREIGN,
    FUTURES,
    INVALID,
    IRREGULAR,
    KIND,
    LEVEL,
    MIN_LEVEL_BYTES,
    PREVIOUS,
    RECV,
    STREAM,
    STREAM_STOP,
    TAKER,
    TRADED,
    Bytes,
)
from lobproof.sources.binance.problem import Problem
from lobproof.sources.binance.shapes import shapes_of

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
    messages: Int64
    levels: Int64
    problems: dict[int, Problem] = field(default_factory=dict)

    def line(self, row: int) -> bytes:
        """The bytes of a line, without its end."""
        start = int(self.ends[row - 1]) + 1 if row else 0
        line = self.buffer[start : int(self.ends[row])].tobytes()
        return line.removesuffix(b"\r")

    def refuse(self, row: int, problem: Problem) -> None:
        """Make a line one that cannot be read."""
        message = self.messages[row]
        recv = message[RECV]
        message[:] = 0
        message[KIND], message[RECV] = INVALID, recv
        # of millions of bad lines the frames that raised them would fill the memory
        problem.__traceback__ = problem.__cause__ = problem.__context__ = None
        self.problems[row] = problem

    def number(self, level: int, column: int) -> str:
        """The text of a level's price or size; ``column`` is where its span begins."""
        start, stop = self.levels[level, column : column + 2].tolist()
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
        self._wanted = sum(1 << kind for kind in wanted)
        self._recorded = recorded
        self._slow = (IRREGULAR, FOREIGN) if doubt_foreign else (IRREGULAR,)
        self._levels = np.empty((0, 4), np.int64)

    def scan(self, data: bytes, name: str, first_line: int) -> Block:
        """Tables of the lines in ``data``; its last line may lack its end."""
        buffer = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(buffer == _NEWLINE)
        if len(buffer) and buffer[-1] != _NEWLINE:
            ends = np.append(ends, len(buffer))
        if len(self._levels) < len(buffer) // MIN_LEVEL_BYTES + 2:
            self._levels = np.empty((len(buffer) // MIN_LEVEL_BYTES + 2, 4), np.int64)
        messages = np.zeros((len(ends), COLUMNS), np.int64)
        used = scan(
            buffer,
            ends,
            self._recorded,
            self._shapes.text,
            self._shapes.index,
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
        rows = np.flatnonzero(np.isin(block.messages[:, KIND], self._slow))
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
                    block.messages[row, TAKER] = _mark_of(line)
                continue
            base, level = len(block.buffer), len(block.levels) + len(pairs)
            _fill(block.messages[row], decoded, extra, base, level, pairs)
        if extra:
            block.buffer = np.concatenate([block.buffer, np.frombuffer(bytes(extra), np.uint8)])
            block.buffer.flags.writeable = False
        if pairs:
            block.levels = np.concatenate([block.levels, np.array(pairs, np.int64)])

    def _read_marks(self, block: Block) -> None:
        """Set time and flags of the marks that invalid and control lines of a journal become."""
        kinds = block.messages[:, KIND]
        for row in np.flatnonzero((kinds == INVALID) | (kinds == CONTROL)).tolist():
            if row in block.problems:
                continue
            message = block.messages[row]
            try:
                entry = journal_entry(block.line(row))
                if message[KIND] == INVALID:
                    message[TAKER] = _mark_of(b64decode(entry.data_b64, validate=True))
                elif entry.event == "truncated":
                    message[TAKER] = _BREAK_MARK
                message[RECV] = entry.capture_ns
            except (Problem, Base64Error) as error:
                message[KIND], message[TAKER] = INVALID, _INVALID_MARK
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


def _fill(
    message: Int64,
    decoded: Decoded,
    extra: bytearray,
    base: int,
    level: int,
    pairs: list[tuple[int, int, int, int]],
) -> None:
    """A message's row; its texts go to ``extra``, which is to follow byte ``base``."""

    def put(text: bytes) -> tuple[int, int]:
        extra.extend(text)
        return base + len(extra) - len(text), base + len(extra)

    message[:] = 0
    message[KIND] = decoded.kind
    message[RECV] = decoded.recv
    message[DATA], message[DATA_STOP] = put(decoded.data)
    if decoded.stream is not None:
        message[STREAM], message[STREAM_STOP] = put(decoded.stream.encode())
    message[EVENT], message[TRADED] = decoded.event, decoded.traded
    message[FIRST], message[FINAL] = decoded.first, decoded.final
    message[PREVIOUS] = decoded.previous
    message[LEVEL] = level
    message[BIDS], message[ASKS] = len(decoded.bids), len(decoded.asks)
    message[TAKER], message[FUTURES] = decoded.taker, int(decoded.futures)
    for price, size in (*decoded.bids, *decoded.asks):
        pairs.append((*put(price), *put(size)))
