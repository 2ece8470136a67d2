"""A LOBSTER sequence as batches: an event for each message, and the state that it left."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lobproof.errors import GridError
from lobproof.instruments import Instrument
from lobproof.schema import LEVELS, EventBatch, Flag, Kind, Side, StateBatch
from lobproof.sources.lobster.files import (
    EXECUTED,
    EXECUTED_HIDDEN,
    HALT,
    PRICE_EXPONENT,
    Sequence,
)
from lobproof.timespan import day_start

EXCHANGE = "LOBSTER"
_ROWS = 1 << 16
_TICK_DIGITS, _LOT_DIGITS = 6, 4
_RESUMED = 1
"""Price of a halt's message that says that trading goes on."""
_HALTED = -1


def instrument_of(ticker: str, tick: str, lot: str) -> Instrument:
    """The instrument of a ticker: prices in 1e-4 dollars, or finer where the tick is.

    GridError for a tick or a lot so fine that counts of it might not fit into 64 bits.
    """
    rules = [(0, tick, lot)]
    found = Instrument.given(EXCHANGE, ticker, ticker, rules, price_exponent=PRICE_EXPONENT)
    if found.price_exponent > _TICK_DIGITS or found.size_exponent > _LOT_DIGITS:
        raise GridError(
            f"a tick of {tick} or a lot of {lot} is too fine for shares",
            hint=f"give the tick with at most {_TICK_DIGITS} digits behind the point, and the lot "
            f"with {_LOT_DIGITS}",
        )
    return found


def batches_of(
    sequence: Sequence, instrument: Instrument
) -> Iterator[tuple[EventBatch, StateBatch]]:
    """Events and states, both in order and one for each message, from event id 0 on.

    An execution (types 4 and 5) is a trade, whose taker is on the other side of the resting order;
    any other message is a mark without doubt. A state has the file's levels, the best 20 at most,
    all trusted: an empty one says that the side ends. None is trusted while trading is halted, nor
    of a book that is crossed.
    """
    halted = _halted(sequence)
    start = day_start(sequence.pair.date)
    price_unit = 10 ** (instrument.price_exponent - PRICE_EXPONENT)
    size_unit = 10**instrument.size_exponent
    for first in range(0, len(sequence), _ROWS):
        rows = slice(first, first + _ROWS)
        kind = sequence.kind[rows]
        many = len(kind)
        events, states = EventBatch.empty(many), StateBatch.empty(many)
        events.ts_event = events.ts_order = start + sequence.time[rows]
        events.sequence = np.arange(first + 1, first + 1 + many)
        events.prev_sequence = events.sequence - 1
        traded = (kind == EXECUTED) | (kind == EXECUTED_HIDDEN)
        events.kind = np.where(traded, int(Kind.TRADE), int(Kind.MARK)).astype(np.int8)
        taker = np.where(sequence.direction[rows] == 1, int(Side.SELL), int(Side.BUY))
        events.side = np.where(traded, taker, int(Side.NONE)).astype(np.int8)
        events.price = np.where(traded, sequence.price[rows] * price_unit, 0)
        events.size = np.where(traded, sequence.size[rows] * size_unit, 0)
        book = sequence.book[rows]
        crossed = sequence.two_sided[rows] & (book[:, 2] >= book[:, 0])
        doubtful = crossed | halted[rows] | ~sequence.two_sided[rows]
        flags = np.full(many, int(Flag.LAST), np.int32)
        flags[doubtful] |= int(Flag.DOUBTFUL)
        flags[crossed] |= int(Flag.CROSSED)
        events.flags = flags
        states.event_id = np.arange(first, first + many)
        states.ts_order = states.ts_event = events.ts_event
        states.sequence, states.flags = events.sequence, flags
        shown = min(sequence.levels, LEVELS)
        for side, at in ((0, 2), (2 * LEVELS, 0)):  # bids, asks: where in a state, where in a book
            sizes = book[:, at + 1 : 4 * shown : 4]
            prices = np.where(sizes > 0, book[:, at : 4 * shown : 4], 0)
            states.levels[:, side : side + 2 * shown : 2] = prices * price_unit
            states.levels[:, side + 1 : side + 2 * shown : 2] = sizes * size_unit
        states.bid_trusted[~(crossed | halted[rows])] = shown
        states.ask_trusted[:] = states.bid_trusted
        yield events, states


def _halted(sequence: Sequence) -> NDArray[np.bool_]:
    """Whether trading is halted after each message."""
    tells = (sequence.kind == HALT) & np.isin(sequence.price, (_HALTED, _RESUMED))
    last = np.maximum.accumulate(np.where(tells, np.arange(len(sequence)), -1))
    halted: NDArray[np.bool_] = (last >= 0) & (sequence.price[last] == _HALTED)
    return halted
