"""What a replay adds to the block that is open: histograms, sums, and the grid of 100 ms.

Everything is a whole number, so that sums do not depend on the order in which they were made.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.book.event_kernels import speaks
from lobproof.fidelity.metrics.bin_kernels import (
    BINS,
    SIGNED_EXACT,
    SIGNED_SIDE,
    TOP,
    UNSIGNED_EXACT,
    signed_bin,
    unsigned_bin,
)
from lobproof.jit import inlined, kernel
from lobproof.schema import LEVELS, Flag, Int8, Int32, Int64, Kind
from lobproof.schema.records import INT, Record, Records, integers, record

# --- metrics by number ----------------------------------------------------------------------------

SPREAD = 0
"""Spread at levels 1, 5, 10, 15, 20, ticks."""
SPREAD_BPS = 5
"""The same, in parts of the mid."""
DEPTH = 10
"""Bids: level 1; levels to 5, 10, 20; within 1, 5, 10 basis points of the mid. Asks likewise."""
DEPTHS = 7
IMBALANCE = 24
"""Of level 1, of levels 1 to 5."""
TRADE_SIZE = 26
"""Of buyers, of sellers."""
TRADE_INTERVAL = 28
EFFECTIVE_SPREAD = 29
REALISED_SPREAD = 30
"""After 1, 5, 30 s."""
PRICE_IMPACT = 33
"""After 1, 5, 30 s."""
MESSAGE_INTERVAL = 36
ADDED_SIZE = 37
REMOVED_SIZE = 38
ADDED_DISTANCE = 39
REMOVED_DISTANCE = 40
EVENT_MIX = 41
METRICS = 42

SPREAD_LEVELS = (1, 5, 10, 15, 20)
DEPTH_LEVELS = (1, 5, 10, 20)
DEPTH_BPS = (1, 5, 10)
HORIZONS_NS = (1_000_000_000, 5_000_000_000, 30_000_000_000)
"""How long after a trade its realised spread and its impact are taken."""
HORIZONS = 3
PART = 1e8
"""Spreads and impacts as parts of the mid are whole numbers of 1 / PART (0.0001 basis points)."""
IMBALANCE_STEPS = 250
"""An imbalance of 1 is so many steps, each with a bin of its own."""
MIX_LEVELS = (1, 5, 10, 20)
"""Levels of an event mix: the touch, then up to each of these."""
MIX_TRADES = 16
"""Categories of an event mix: ``((side * 2 + removed) * 4 + level)``, then trades by taker."""

BUYER, SELLER, TRADES_MISSING, BOOK_IN_DOUBT, BOOK_CORRECTED = 1, 2, 3, 4, 5
"""What a row of `Told` is: a trade by its taker, or what breaks that which goes on from event to
event. Trades are missing; the book is in doubt from there on; the state of that very event shows a
snapshot, or a snapshot undone, and not only what a depth message changed."""

GRID_NS = 100_000_000

# --- columns of the grid --------------------------------------------------------------------------

MID2, SPREAD_COUNTS, BID_SIZE, ASK_SIZE, OFI_1, OFI_5, BOUGHT, SOLD, TRADES, MESSAGES = range(10)
SERIES = 10
SERIES_NAMES = (
    "mid2",
    "spread",
    "bid_size",
    "ask_size",
    "ofi_1",
    "ofi_5",
    "bought",
    "sold",
    "trades",
    "messages",
)
"""``mid2`` is best bid plus best ask; the first four are 0 where the touch is not trusted."""

# --- sums of a metric -----------------------------------------------------------------------------

COUNT, SUM, SQUARE_HIGH, SQUARE_LOW = range(4)
SUMS = 4
SUM_NAMES = ("count", "sum", "square_high", "square_low")
LIMB = 40
"""The sum of squares is ``high * 2^LIMB + low``, with ``low`` below 2^LIMB: exact."""
_HALF = LIMB // 2
_LOW = (1 << LIMB) - 1

# --- tallies of a block ---------------------------------------------------------------------------

SAMPLES, TRUSTED_SAMPLES, STATES, TRUSTED_STATES, UNKNOWN_MID, RETURN_PRODUCTS, RETURN_PAIRS = (
    range(7)
)
RESPONSE_KINDS = ("market", "market_moved", "limit", "limit_moved", "cancel", "cancel_moved")
"""What a message may show at the touch; ``_moved``: its book has another mid than the one before.
"""
MARKET, LIMIT, CANCEL = 0, 2, 4
RESPONSE_LAGS = (0, 1, 2, 5, 10, 20, 50, 100, 300)
"""In samples, behind the first one at or after the message."""
RESPONSES = 7
"""Tallies of responses: ``(kind * lags + lag) * 2``, how many, then the sum of moves of twice the
mid towards the sign of the event."""
TALLIES = RESPONSES + 2 * len(RESPONSE_KINDS) * len(RESPONSE_LAGS)
TALLY_NAMES = (
    "samples",
    "trusted_samples",
    "states",
    "trusted_states",
    "unknown_mid",
    "return_products",
    "return_pairs",
    *(
        f"{kind}_{lag * GRID_NS / 1e9:g}s_{what}"
        for kind in RESPONSE_KINDS
        for lag in RESPONSE_LAGS
        for what in ("responses", "moves")
    ),
)
_KINDS, _LAGS = len(RESPONSE_KINDS), len(RESPONSE_LAGS)
_CELLS = 512
"""Samples whose events wait for the mids after them: above the longest lag, a power of two."""
_EVENTS, _SIGNS, _MIDS = range(3)
"""Of the events of a kind between two samples: how many, sum of their signs, sum of sign times
twice the mid before."""
_MOST_RETURN = 1 << 20
_NO_BOUND = 1 << 62
"""No price lies beyond it."""

TRADED = record(*integers("ts", "taker", "price", "mid2"))
"""A trade that waits for the mid after it."""

METRIC_STATE = record(
    *integers(
        "begun",  # whether anything was seen
        "next_grid",  # time of the next sample
        "block_end",
        "book_ts",  # of the last trusted state, 0: none
        "message_ts",  # of the last depth message, 0: none, or a doubt behind it
        "bids",  # trusted levels of the side
        "asks",
        "bids_end",  # whether these are all that the side has
        "asks_end",
        "corrected",  # whether the next state shows a correction
        "trade_ts",  # of the last trade, 0: none, or a hole behind it
        "trade_price",
        "trade_change",  # of its price to the trade before, counts
        "trade_changes",  # how many of the last two changes are known
        "next_state",
        "next_told",
        "stored",  # trades that were put into the ring, ever
        "fresh",  # whether the bins of the sample are those of the book
        "ofi_1",
        "ofi_5",
        "bought",
        "sold",
        "trades",
        "messages",
        "bought_since",  # the last book
        "sold_since",
        "hole_since",  # whether trades are missing since then
    ),
    ("met", INT, (HORIZONS,)),  # of the stored ones, how many had their mid after each time
    ("levels", INT, (4 * LEVELS,)),
    ("values", INT, (TRADE_SIZE,)),  # of the sample's metrics
    ("valid", INT, (TRADE_SIZE,)),
    ("cells", INT, (_CELLS, _KINDS, 3)),  # events at the touch by sample, kind
    ("busy", INT, (_CELLS,)),  # above 0 where a sample has some
)


class States(NamedTuple):
    """Columns of states as kernels take them."""

    event_id: Int64
    ts_order: Int64
    levels: Int64
    bid_trusted: Int8
    ask_trusted: Int8


class Told(NamedTuple):
    """Columns of trades, and of events that break what goes on: see `BUYER`."""

    event_id: Int64
    ts_order: Int64
    price: Int64
    size: Int64
    what: Int8


class Block(NamedTuple):
    """What is open: ``counts`` (metric, bin), ``sums`` (metric, sum), tallies, and the grid.

    Until it closes, its sums lack the values that have a bin each: the histogram knows them.
    """

    counts: NDArray[np.int32]
    sums: Int64
    tallies: Int64
    series: Int64


class Unit(NamedTuple):
    """Tick and lot, counts of the instrument's grid; length of a block, ns."""

    tick: int
    lot: int
    block_ns: int


def new_block(block_ns: int) -> Block:
    """A block without anything."""
    return Block(
        np.zeros((METRICS, BINS), np.int32),
        np.zeros((METRICS, SUMS), np.int64),
        np.zeros(TALLIES, np.int64),
        np.zeros((block_ns // GRID_NS, SERIES), np.int64),
    )


# --- a value --------------------------------------------------------------------------------------


@kernel
def is_signed(metric: int) -> bool:
    """Whether a metric's values may be of either sign."""
    return IMBALANCE <= metric < TRADE_SIZE or EFFECTIVE_SPREAD <= metric < MESSAGE_INTERVAL


@kernel
def add_sums(sums: Int64, metric: int, value: int, times: int) -> None:
    """Add a value to a metric's sums, so many times (at most 2^20 where it is large)."""
    # what lies beyond the last bin counts as its edge: the histogram says how often
    value = min(max(value, -(1 << TOP)), 1 << TOP)
    sums[metric, SUM] += times * value
    high, low = abs(value) >> _HALF, abs(value) & ((1 << _HALF) - 1)
    square = ((high * low) << (_HALF + 1)) + low * low
    if times > 1:  # of values that have a bin each: high is 0
        square *= times
    square += sums[metric, SQUARE_LOW]
    sums[metric, SQUARE_HIGH] += high * high + (square >> LIMB)
    sums[metric, SQUARE_LOW] = square & _LOW


@inlined
def add_unsigned(block: Block, metric: int, value: int) -> None:
    """Count a value that should not be negative."""
    block.counts[metric, unsigned_bin(value)] += 1
    if value < 0 or value >= 1 << UNSIGNED_EXACT:
        add_sums(block.sums, metric, value, 1)


@inlined
def add_signed(block: Block, metric: int, value: int) -> None:
    """Count a value of either sign."""
    block.counts[metric, signed_bin(value)] += 1
    if abs(value) >= 1 << SIGNED_EXACT:
        add_sums(block.sums, metric, value, 1)


@kernel
def complete_sums(block: Block) -> int:
    """Add what the histograms know to the sums; the number of bins that are not empty."""
    found = 0
    for metric in range(METRICS):
        signed = is_signed(metric)
        zero = SIGNED_SIDE if signed else 1
        least = 1 - (1 << SIGNED_EXACT) if signed else 0
        most = (1 << SIGNED_EXACT) - 1 if signed else (1 << UNSIGNED_EXACT) - 1
        counts = block.counts[metric]
        for number in range(BINS):
            count = int(counts[number])
            if count == 0:
                continue
            found += 1
            block.sums[metric, COUNT] += count
            if least <= number - zero <= most:
                add_sums(block.sums, metric, number - zero, count)
    return found


@kernel
def take_bins(
    block: Block, metrics: Int8, bins: NDArray[np.int16], counts: NDArray[np.int32]
) -> None:
    """Write down the bins that are not empty, by metric and bin, and empty the block."""
    at = 0
    for metric in range(METRICS):
        row = block.counts[metric]
        for number in range(BINS):
            if row[number] != 0:
                metrics[at], bins[at], counts[at] = metric, number, row[number]
                row[number] = 0
                at += 1
    block.sums[:] = 0
    block.tallies[:] = 0
    block.series[:] = 0


@kernel
def units(count: int, unit: int) -> int:
    """Whole units in a count, rounded down; most grids are those of tick and lot."""
    return count if unit == 1 else count // unit


@kernel
def parts_of(value: int, whole: int) -> int:
    """``value / whole`` in units of 1 / PART, rounded."""
    return math.floor(float(value) / float(whole) * PART + 0.5)


# --- the book at an instant -----------------------------------------------------------------------


@kernel
def value_book(state: Record, unit: Unit) -> None:
    """Work out the metrics of the book as it stands, where trust reaches far enough."""
    levels, values, valid = state.levels, state.values, state.valid
    both = min(state.bids, state.asks)
    mid2 = levels[0] + levels[2 * LEVELS]
    for k in range(5):
        level = SPREAD_LEVELS[k]
        known = both >= level
        valid[SPREAD + k] = valid[SPREAD_BPS + k] = known
        if known:
            spread = levels[2 * LEVELS + 2 * (level - 1)] - levels[2 * (level - 1)]
            values[SPREAD + k] = units(spread, unit.tick)
            values[SPREAD_BPS + k] = parts_of(2 * spread, mid2)
    for side in range(2):
        held = state.bids if side == 0 else state.asks
        ends = state.bids_end if side == 0 else state.asks_end
        first = DEPTH + side * DEPTHS
        volume, depth, band = 0, 0, 0
        for level in range(held):
            at = 2 * LEVELS * side + 2 * level
            distance = 2 * levels[at] - mid2 if side == 1 else mid2 - 2 * levels[at]
            # volume within a band is known once a level beyond it is seen
            while band < 3 and float(distance) > DEPTH_BPS[band] * 1e-4 * float(mid2):
                values[first + 4 + band] = units(volume, unit.lot)
                band += 1
            volume += levels[at + 1]
            if level + 1 == DEPTH_LEVELS[depth]:
                values[first + depth] = units(volume, unit.lot)
                depth += 1
        if ends:  # there is no more of the side
            for k in range(depth, 4):
                values[first + k] = units(volume, unit.lot)
            for k in range(band, 3):
                values[first + 4 + k] = units(volume, unit.lot)
            depth, band = 4, 3
        for k in range(4):
            valid[first + k] = k < depth
        for k in range(3):
            valid[first + 4 + k] = k < band
    for k in range(2):
        bid, ask = state.values[DEPTH + k], state.values[DEPTH + DEPTHS + k]
        known = valid[DEPTH + k] == 1 and valid[DEPTH + DEPTHS + k] == 1 and bid + ask > 0
        valid[IMBALANCE + k] = known
        if known:
            share = float(bid - ask) / float(bid + ask)
            values[IMBALANCE + k] = math.floor(share * IMBALANCE_STEPS + 0.5)


@kernel
def respond(state: Record, tallies: Int64, number: int, mid2: int) -> None:
    """Tell events before a sample, by its ``number`` since the epoch, where the mid is now."""
    for lag in range(_LAGS):
        before = (number - RESPONSE_LAGS[lag]) % _CELLS
        if state.busy[before] == 0:
            continue
        cell = state.cells[before]
        for kind in range(_KINDS):
            if cell[kind, _EVENTS] != 0:
                at = RESPONSES + (kind * _LAGS + lag) * 2
                tallies[at] += cell[kind, _EVENTS]
                tallies[at + 1] += cell[kind, _SIGNS] * mid2 - cell[kind, _MIDS]


@kernel
def sample(state: Record, block: Block, ring: Records, unit: Unit) -> None:
    """Take the book at the grid's next instant, and what came since the last one."""
    ts = state.next_grid
    state.next_grid = ts + GRID_NS
    at = (ts - (state.block_end - unit.block_ns)) // GRID_NS
    trusted = state.book_ts != 0
    block.tallies[SAMPLES] += 1
    levels = state.levels
    mid2 = levels[0] + levels[2 * LEVELS] if trusted else 0
    if trusted:
        block.tallies[TRUSTED_SAMPLES] += 1
        if not state.fresh:
            value_book(state, unit)
            state.fresh = 1
        for metric in range(TRADE_SIZE):
            if state.valid[metric]:
                value = state.values[metric]
                if metric >= IMBALANCE:
                    add_signed(block, metric, value)
                else:
                    add_unsigned(block, metric, value)
        series = block.series
        series[at, MID2] = mid2
        series[at, SPREAD_COUNTS] = levels[2 * LEVELS] - levels[0]
        series[at, BID_SIZE] = levels[1]
        series[at, ASK_SIZE] = levels[2 * LEVELS + 1]
    block.series[at, OFI_1] = state.ofi_1
    block.series[at, OFI_5] = state.ofi_5
    block.series[at, BOUGHT] = state.bought
    block.series[at, SOLD] = state.sold
    block.series[at, TRADES] = state.trades
    block.series[at, MESSAGES] = state.messages
    state.ofi_1 = state.ofi_5 = state.bought = state.sold = state.trades = state.messages = 0
    if trusted:
        respond(state, block.tallies, ts // GRID_NS, mid2)
    opened = (ts // GRID_NS + 1) % _CELLS
    if state.busy[opened] != 0:
        state.busy[opened] = 0
        state.cells[opened] = 0
    mask = len(ring) - 1
    for horizon in range(HORIZONS):
        number = state.met[horizon]
        while number < state.stored and ring[number & mask].ts + HORIZONS_NS[horizon] <= ts:
            traded = ring[number & mask]
            if mid2 == 0 or traded.mid2 == 0:
                block.tallies[UNKNOWN_MID] += 1
            else:
                sign = 1 if traded.taker == BUYER else -1
                realised = 2 * sign * (2 * traded.price - mid2)
                moved = 2 * sign * (mid2 - traded.mid2)
                add_signed(block, REALISED_SPREAD + horizon, parts_of(realised, traded.mid2))
                add_signed(block, PRICE_IMPACT + horizon, parts_of(moved, traded.mid2))
            number += 1
        state.met[horizon] = number


# --- what changes ---------------------------------------------------------------------------------


@kernel
def mix_level(level: int) -> int:
    """Which of the four ranges of levels ``level`` (from 0 on) lies in."""
    for k in range(3):
        if level < MIX_LEVELS[k]:
            return k
    return 3


@kernel
def add_change(
    state: Record, block: Block, unit: Unit, side: int, level: int, price: int, change: int
) -> None:
    """Count what one message added to a price, or took away from it."""
    removed = 1 if change < 0 else 0
    category = (side * 2 + removed) * 4 + mix_level(level)
    add_unsigned(block, EVENT_MIX, category)
    add_unsigned(block, ADDED_SIZE + removed, units(abs(change), unit.lot))
    mid2 = state.levels[0] + state.levels[2 * LEVELS]
    add_unsigned(block, ADDED_DISTANCE + removed, units(abs(2 * price - mid2), unit.tick))


@kernel
def levels_within(levels: Int64, side: int, trusted: int) -> int:
    """How many levels a side has among its trusted slots; a slot without one is 0, 0."""
    held = trusted
    while held > 0 and levels[2 * LEVELS * side + 2 * (held - 1)] == 0:
        held -= 1
    return held


@kernel
def compare_side(
    state: Record,
    block: Block,
    unit: Unit,
    now: Int64,
    side: int,
    shown: int,
    ends: bool,
) -> None:
    """Find what a message changed on a side, among the prices that both books show.

    ``now``: levels after it, ``shown`` of which are trusted, ``ends``: these are all of the side.
    Those before it are the state's. Prices beyond the worst that one of them shows say nothing: a
    level there may have come into sight, or gone out of it.
    """
    was = state.levels
    held = state.bids if side == 0 else state.asks
    ended = state.bids_end if side == 0 else state.asks_end
    first = 2 * LEVELS * side
    sign = -1 if side == 0 else 1
    # prices times sign rise from the touch on
    bound = _NO_BOUND
    if not ended:
        bound = sign * was[first + 2 * (held - 1)]
    if not ends:
        bound = min(bound, sign * now[first + 2 * (shown - 1)])
    old = new = 0
    while True:
        old_price = sign * was[first + 2 * old] if old < held else _NO_BOUND + 1
        new_price = sign * now[first + 2 * new] if new < shown else _NO_BOUND + 1
        if old_price > bound and new_price > bound:
            break
        if old_price == new_price:
            change = now[first + 2 * new + 1] - was[first + 2 * old + 1]
            if change != 0:
                level = old if change < 0 else new
                add_change(state, block, unit, side, level, sign * old_price, change)
            old += 1
            new += 1
        elif old_price < new_price:
            add_change(state, block, unit, side, old, sign * old_price, -was[first + 2 * old + 1])
            old += 1
        else:
            add_change(state, block, unit, side, new, sign * new_price, now[first + 2 * new + 1])
            new += 1


@kernel
def flow_of(was: Int64, now: Int64, level: int) -> int:
    """Order flow imbalance of a level between two books, size counts.

    Cont, Kukanov and Stoikov (2014), for levels beyond the first Xu, Gould and Howison (2019).
    """
    bid, ask = 2 * level, 2 * LEVELS + 2 * level
    flow = 0
    if now[bid] >= was[bid]:
        flow += now[bid + 1]
    if now[bid] <= was[bid]:
        flow -= was[bid + 1]
    if now[ask] <= was[ask]:
        flow -= now[ask + 1]
    if now[ask] >= was[ask]:
        flow += was[ask + 1]
    return flow


@kernel
def add_events(state: Record, now: Int64) -> None:
    """Note what a message shows at the touch: market orders, limit orders, cancellations.

    A side's trades since the last book are market orders, and explain what is gone of its touch; a
    better price, or size beyond that, is a limit order, and what is gone beyond it a cancellation.
    """
    was = state.levels
    before = was[0] + was[2 * LEVELS]
    moved = 1 if now[0] + now[2 * LEVELS] != before else 0
    number = state.next_grid // GRID_NS % _CELLS
    cell = state.cells[number]
    for side in range(2):
        sign = 1 if side == 0 else -1  # what adds to the bids, or takes from the asks
        touch = 2 * LEVELS * side
        taken = state.sold_since if side == 0 else state.bought_since
        if taken > 0:
            add_event(cell[MARKET + moved], -sign, before)
        better = sign * (now[touch] - was[touch])
        left = was[touch + 1] - taken
        if better > 0 or (better == 0 and now[touch + 1] > left):
            add_event(cell[LIMIT + moved], sign, before)
        elif (better == 0 and now[touch + 1] < left) or (better < 0 and left > 0):
            add_event(cell[CANCEL + moved], -sign, before)
    for kind in range(_KINDS):
        state.busy[number] += cell[kind, _EVENTS]


@inlined
def add_event(cell: Int64, sign: int, mid2: int) -> None:
    """Add an event to those of its kind between two samples."""
    cell[_EVENTS] += 1
    cell[_SIGNS] += sign
    cell[_MIDS] += sign * mid2


@kernel
def take_book(state: Record, block: Block, unit: Unit, states: States, row: int) -> None:
    """Go on to the book after a message."""
    ts = states.ts_order[row]
    now = states.levels[row]
    corrected = state.corrected != 0
    state.corrected = 0
    state.fresh = 0
    block.tallies[STATES] += 1
    if not corrected:
        state.messages += 1
    bids = levels_within(now, 0, states.bid_trusted[row])
    asks = levels_within(now, 1, states.ask_trusted[row])
    if bids < 1 or asks < 1:
        state.book_ts = state.message_ts = 0
        state.bought_since = state.sold_since = state.hole_since = 0
        return
    bids_end, asks_end = bids < states.bid_trusted[row], asks < states.ask_trusted[row]
    block.tallies[TRUSTED_STATES] += 1
    if not corrected and state.book_ts != 0:
        compare_side(state, block, unit, now, 0, bids, bids_end)
        compare_side(state, block, unit, now, 1, asks, asks_end)
        known = min(min(state.bids, state.asks), min(bids, asks))
        for level in range(min(known, 5)):
            flow = flow_of(state.levels, now, level)
            if level == 0:
                state.ofi_1 += flow
            state.ofi_5 += flow
        if not state.hole_since:
            add_events(state, now)
    state.bought_since = state.sold_since = state.hole_since = 0
    if not corrected:
        if state.message_ts != 0:
            add_unsigned(block, MESSAGE_INTERVAL, (ts - state.message_ts) // 1000)
        state.message_ts = ts
    for k in range(4 * LEVELS):
        state.levels[k] = now[k]
    state.book_ts = ts
    state.bids, state.asks = bids, asks
    state.bids_end, state.asks_end = bids_end, asks_end


@inlined
def take_trade(
    state: Record, block: Block, ring: Records, unit: Unit, told: Told, row: int
) -> None:
    """Count a trade, and let it wait for the mids after it."""
    taker = told.what[row]
    ts, price, size = told.ts_order[row], told.price[row], told.size[row]
    state.trades += 1
    if taker == BUYER:
        state.bought += size
        state.bought_since += size
    else:
        state.sold += size
        state.sold_since += size
    add_unsigned(block, TRADE_SIZE + taker - 1, units(size, unit.lot))
    add_unsigned(block, EVENT_MIX, MIX_TRADES + taker - 1)
    if state.trade_ts != 0:
        add_unsigned(block, TRADE_INTERVAL, (ts - state.trade_ts) // 1000)
        change = units(price - state.trade_price, unit.tick)
        change = min(max(change, -_MOST_RETURN), _MOST_RETURN)
        if state.trade_changes > 0:
            block.tallies[RETURN_PRODUCTS] += change * state.trade_change
            block.tallies[RETURN_PAIRS] += 1
        state.trade_change = change
        state.trade_changes = 1
    state.trade_ts = ts
    state.trade_price = price
    mid2 = state.levels[0] + state.levels[2 * LEVELS] if state.book_ts != 0 else 0
    if mid2 == 0:
        block.tallies[UNKNOWN_MID] += 1
    else:
        sign = 1 if taker == BUYER else -1
        add_signed(block, EFFECTIVE_SPREAD, parts_of(2 * sign * (2 * price - mid2), mid2))
    traded = ring[state.stored & (len(ring) - 1)]
    traded.ts, traded.taker, traded.price, traded.mid2 = ts, taker, price, mid2
    state.stored += 1


@inlined
def take_told(state: Record, block: Block, ring: Records, unit: Unit, told: Told, row: int) -> None:
    """Go on behind a trade, or what breaks that which goes on."""
    what = told.what[row]
    if what == TRADES_MISSING:  # what lies on both sides of a hole is no pair
        state.trade_ts = state.trade_changes = 0
        state.hole_since = 1
    elif what == BOOK_IN_DOUBT:
        state.book_ts = state.message_ts = 0
    elif what == BOOK_CORRECTED:
        state.corrected = 1
    else:
        take_trade(state, block, ring, unit, told, row)


@kernel
def observe(
    state: Record, block: Block, ring: Records, unit: Unit, states: States, told: Told
) -> bool:
    """Take states and events in their order, from ``next_state`` and ``next_told`` on.

    Stops where the open block ends, and says so: it is to be kept then, and a new one opened. The
    ring must have room for all of the trades.
    """
    while state.next_state < len(states.event_id) or state.next_told < len(told.event_id):
        is_book = state.next_told >= len(told.event_id) or (
            state.next_state < len(states.event_id)
            and states.event_id[state.next_state] < told.event_id[state.next_told]
        )
        ts = states.ts_order[state.next_state] if is_book else told.ts_order[state.next_told]
        if not state.begun:
            state.begun = 1
            state.block_end = ts - ts % unit.block_ns + unit.block_ns
            state.next_grid = -(-ts // GRID_NS) * GRID_NS
        # a sample at the very time of an event comes after it
        while state.next_grid < ts and state.next_grid < state.block_end:
            sample(state, block, ring, unit)
        if ts >= state.block_end:
            return True
        if is_book:
            take_book(state, block, unit, states, state.next_state)
            state.next_state += 1
        else:
            take_told(state, block, ring, unit, told, state.next_told)
            state.next_told += 1
    return False


# --- which events count ---------------------------------------------------------------------------

_TRADE, _MARK, _SNAPSHOT, _CLEAR = (
    int(kind) for kind in (Kind.TRADE, Kind.MARK, Kind.SNAPSHOT, Kind.CLEAR)
)
_LAST, _HOLE, _DOUBT, _REFUTED = (
    int(flag) for flag in (Flag.LAST, Flag.TRADES | Flag.GAP, Flag.DOUBTFUL, Flag.REFUTED)
)


@kernel
def find_told(
    kind: Int8, side: Int8, prev_sequence: Int64, flags: Int32, rows: Int64, what: Int8
) -> int:
    """Write down the rows of `Told`, and what they are; how many there are.

    ``rows`` and ``what`` must have room for all. A mark that speaks of the feed and leaves the
    touch in doubt has no state, which would show it; other marks are empty depth messages, or
    harmless.
    """
    found = 0
    for row in range(len(kind)):
        is_told = 0
        if kind[row] == _TRADE:
            is_told = side[row]
        elif kind[row] == _MARK and flags[row] & _HOLE == _HOLE:
            is_told = TRADES_MISSING
        elif kind[row] == _MARK and (
            flags[row] & _DOUBT and speaks(flags[row], prev_sequence[row])
        ):
            is_told = BOOK_IN_DOUBT
        elif flags[row] & _LAST and (
            kind[row] == _SNAPSHOT or kind[row] == _CLEAR or flags[row] & _REFUTED
        ):
            is_told = BOOK_CORRECTED
        if is_told:
            rows[found], what[found] = row, is_told
            found += 1
    return found
