"""Trades that REST brought of a gap: read out of a journal, and put where the stream lacks them."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from lobproof.errors import GridError
from lobproof.fixedpoint import decimal_to_count
from lobproof.instruments import Instrument
from lobproof.schema import EventBatch, Flag, Int64, Kind, Side
from lobproof.schema.records import Records
from lobproof.sources.binance.decode import Problem, moment
from lobproof.sources.binance.scan_kernels import NO_EXECUTION, OTHER
from lobproof.sources.binance.scanner import Block

STREAM = "trade@backfill"
_MILLISECONDS = 9_000_000_000_000
"""Beyond it a time is in µs."""
Order = NDArray[np.intp]


class _Trade(msgspec.Struct):
    """A trade of ``/historicalTrades`` and ``/trades``."""

    id: Annotated[int, msgspec.Meta(ge=0, lt=9 * 10**18)]
    price: str
    qty: str
    time: int
    maker: bool = msgspec.field(name="isBuyerMaker")


def answers_stream(venue_symbol: str) -> str:
    """The stream of a journal whose lines are REST's answers with trades of a gap."""
    return f"{venue_symbol.lower()}@{STREAM}"


class Answers:
    """Takes the answers of a symbol out of scanned blocks.

    ``lines``: answers by journal; ``unread``: those that cannot be read; ``first_unread``: the
    first of them, and why.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._name = np.frombuffer(answers_stream(instrument.venue_symbol).encode(), np.uint8)
        self._batches: list[EventBatch] = []
        self.lines: Counter[str] = Counter()
        self.unread = 0
        self.first_unread = ""

    def take(self, block: Block) -> None:
        """Take a block's answers; those that cannot be read are counted."""
        for row in _lines_of(block, self._name).tolist():
            self.lines[block.name] += 1
            message = block.messages[row]
            payload = block.buffer[int(message.payload) : int(message.payload_stop)].tobytes()
            try:
                self._batches.append(_rows(payload, self._instrument))
            except (Problem, GridError, msgspec.DecodeError) as error:
                self.unread += 1
                self.first_unread = self.first_unread or f"{block.where(row)}: {_why(error)}"

    def trades(self) -> EventBatch:
        """A row a trade, as often as it was told; ``COARSE_TS`` where its time is in ms."""
        return EventBatch.concat([EventBatch.empty(), *self._batches])


def _why(error: Exception) -> str:
    if isinstance(error, Problem):
        return f"{error.reason}: {error.detail}"
    return error.message if isinstance(error, GridError) else str(error)


def _lines_of(block: Block, name: NDArray[np.uint8]) -> Order:
    """Rows of a block whose stream has this name."""
    messages = block.messages
    long = messages["stream_stop"] - messages["stream"] == len(name)
    rows = np.flatnonzero((messages["kind"] == OTHER) & long)
    places = messages["stream"][rows][:, np.newaxis] + np.arange(len(name))
    found: Order = rows[(block.buffer[places] == name).all(axis=1)]
    return found


def _rows(payload: bytes, instrument: Instrument) -> EventBatch:
    """Rows of an answer, which has a thousand trades at most: REST brings them slowly."""
    told = msgspec.json.decode(payload, type=list[_Trade])
    batch = EventBatch.empty(len(told))
    batch.ts_event[:] = [moment(one.time) for one in told]
    batch.sequence[:] = [one.id for one in told]
    batch.prev_sequence[:] = batch.sequence - 1
    batch.kind[:] = Kind.TRADE
    batch.side[:] = [Side.SELL if one.maker else Side.BUY for one in told]
    price, size = instrument.price_exponent, instrument.size_exponent
    batch.price[:] = [decimal_to_count(one.price, price) for one in told]
    batch.size[:] = [decimal_to_count(one.qty, size) for one in told]
    batch.flags[:] = Flag.LAST | Flag.BACKFILLED
    batch.flags[[one.time < _MILLISECONDS for one in told]] |= Flag.COARSE_TS
    return batch


def within(ids: Int64, ranges: Int64) -> NDArray[np.bool_]:
    """Which ids lie in one of the ranges: (n, 2), first and last id, ascending and apart."""
    if not len(ranges):
        return np.zeros(len(ids), np.bool_)
    at = np.searchsorted(ranges[:, 0], ids, side="right") - 1
    found: NDArray[np.bool_] = (at >= 0) & (ids <= ranges[at, 1])
    return found


class Weave:
    """Puts trades that a stream lacks in their places: before the first id beyond their own.

    Parameters
    ----------
    ids
        Theirs, ascending.
    """

    def __init__(self, ids: Int64) -> None:
        self._ids = ids
        self._next = 0
        self._reached = -1
        self._executed = -1
        self._passed = np.empty(0, np.int64)

    @property
    def left(self) -> int:
        """How many have no place yet."""
        return len(self._ids) - self._next

    def pass_over(self, messages: Records) -> None:
        """The next messages of the stream: the ids of those that are no execution are no gap."""
        final = np.ascontiguousarray(messages["final"])
        none = np.ascontiguousarray(messages["taker"]) == NO_EXECUTION
        reached = np.maximum.accumulate(np.where(none, self._executed, final))
        if none.any():
            ahead = none & (final > np.maximum(reached, self._executed))
            self._passed = np.union1d(self._passed, final[ahead])
        if len(final):
            self._executed = max(self._executed, int(reached[-1]))

    def previous(self, ids: Int64) -> Int64:
        """The ids before these, but for those of messages that are no execution."""
        if not len(self._passed):
            return ids - 1
        starts = np.flatnonzero(np.diff(self._passed, prepend=self._passed[0] - 2) != 1)
        at = np.searchsorted(self._passed, ids - 1)
        known = at < len(self._passed)
        known[known] = self._passed[at[known]] == ids[known] - 1
        before = ids - 1
        run = np.searchsorted(starts, at[known], side="right") - 1
        before[known] = self._passed[starts[run]] - 1
        return before

    def order(self, sequence: Int64) -> tuple[Order, tuple[int, int]]:
        """Where the next messages of the stream stand, and which trades come between them.

        The order is that of the messages with these trades (first and one behind the last) behind
        them. There is one message at least.
        """
        highest = np.maximum.accumulate(np.maximum(sequence, self._reached))
        self._reached = int(highest[-1])
        start = self._next
        self._next = int(np.searchsorted(self._ids, self._reached))
        places = np.searchsorted(highest, self._ids[start : self._next])
        keys = np.concatenate([2 * np.arange(len(sequence)) + 1, 2 * places])
        return np.argsort(keys, kind="stable"), (start, self._next)

    def ids(self, messages: Records) -> tuple[Int64, Int64, Int64, Int64]:
        """First and last ids of scanned messages, the ids before, and times, woven in."""
        columns = [
            np.ascontiguousarray(messages[name]) for name in ("first", "final", "previous", "event")
        ]
        if self.left and len(messages):
            order, (start, stop) = self.order(columns[1])
            ids = self._ids[start:stop]
            own = (ids, ids, ids - 1, np.zeros_like(ids))
            columns = [np.concatenate(pair)[order] for pair in zip(columns, own, strict=True)]
        first, final, previous, event = columns
        return first, final, previous, event
