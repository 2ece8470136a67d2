"""Journal lines of scanned blocks, and how many there are of each stream."""

from __future__ import annotations

import json
from binascii import b2a_base64
from itertools import accumulate

import numpy as np

from lobproof.schema import Int64
from lobproof.sources.binance.journal_kernels import (
    LINE_EXTRA,
    MAX_NAME_BYTES,
    MAX_STREAMS,
    count_streams,
    journal_lines,
)
from lobproof.sources.binance.message_kernels import DATA, DATA_STOP, RECV, STREAM, STREAM_STOP
from lobproof.sources.binance.scanner import Block

MORE = "(more streams)"


class LineWriter:
    """Renders the kept lines of blocks; payloads without a stream's name get the usual one."""

    def __init__(self, symbol: str) -> None:
        low = symbol.lower()
        # by kind: none, depth, trade, aggTrade, bookTicker, snapshot, other
        kinds = ("depth", "trade", "aggTrade", "bookTicker", "snapshot")
        names = [b"", *(f"{low}@{kind}".encode() for kind in kinds), b"other"]
        self._longest = max(map(len, names))
        self._names = np.frombuffer(b"".join(names), np.uint8)
        self._stops = np.array(list(accumulate(map(len, names))), np.int64)
        self._table = np.zeros((MAX_STREAMS, MAX_NAME_BYTES), np.uint8)
        self._sizes = np.zeros(MAX_STREAMS, np.int64)
        self._counts = np.zeros(MAX_STREAMS + 1, np.int64)
        self._used = 0

    def count(self, block: Block) -> None:
        """Count the kept lines per stream and note each line's stream in the block."""
        self._used = count_streams(
            block.buffer,
            block.messages,
            self._names,
            self._stops,
            self._table,
            self._sizes,
            self._counts,
            self._used,
        )

    def streams(self) -> dict[str, int]:
        """Lines per stream, in order of appearance."""
        named = {
            self._table[i, : self._sizes[i]].tobytes().decode("utf-8", "replace"): int(
                self._counts[i]
            )
            for i in range(self._used)
        }
        more = int(self._counts[MAX_STREAMS])
        return {**named, MORE: more} if more else named

    def render(self, block: Block, start: int, stop: int) -> bytes:
        """The journal lines of the kept ones among rows ``start`` … ``stop``."""
        spans = block.messages[start:stop]
        payloads = int((spans[:, DATA_STOP] - spans[:, DATA]).sum())
        streams = int((spans[:, STREAM_STOP] - spans[:, STREAM]).sum())
        room = payloads + streams + (stop - start) * (LINE_EXTRA + self._longest)
        out = np.empty(room, np.uint8)
        used = journal_lines(
            block.buffer, block.messages, start, stop, self._names, self._stops, out
        )
        return out[:used].tobytes()


def invalid_lines(block: Block, start: int, stop: int, latest: Int64) -> bytes:
    """What the journal says of lines that cannot be read."""
    name = json.dumps(block.name, ensure_ascii=False).encode()
    recv = block.messages[start:stop, RECV]
    times = np.where(recv > 0, recv, latest[start:stop]).tolist()
    return b"".join(
        b'{"capture_ns":%d,"stream":"invalid","conn":0,"reason":"%b","file":%b,"line":%d,'
        b'"data_b64":"%b"}\n'
        % (
            time,
            block.problems[row].reason.encode(),
            name,
            block.first_line + row,
            b2a_base64(block.line(row), newline=False),
        )
        for row, time in zip(range(start, stop), times, strict=True)
    )
