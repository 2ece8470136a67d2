"""Where the simulator keeps what: the memory of a market and the names of its slots.

A market is two arrays: ``m`` (int64: random state, counters, tables, orders, queues, levels, event
rows) and ``f`` (float64: intensities, the value, parameters). Few large arrays and not many small
ones, because numba counts references of every array at every call between kernels: with a dozen
arrays the counting took thirty times as long as the matching.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
Float64 = NDArray[np.float64]

BID, ASK = 1, 2
BUY, SELL = 1, 2
LEVEL, TRADE = 1, 2
"""Kinds of market event: a level's new absolute quantity, or a trade."""

# slots of m; the random generator's four words come first, here and in every other memory
BEST_BID, BEST_ASK = 4, 5  # 0: that side is empty
FLOOR = 6  # lowest price of the ring; it holds FLOOR <= price < FLOOR + width
FREE, USED = 7, 8  # head of the free list of orders; orders ever used
UPDATE_ID, TRADE_ID = 9, 10
ID_STEP = 11  # update ids step by 1 … 2 * ID_STEP - 1 (futures count for all symbols at once)
LIVE = 12  # LIVE + list: number of live orders in that list
TICK, LOT = 16, 17
NOW = 18  # time up to which the market has run
NEXT_ORDER, NEXT_CLOCK = 19, 20  # times of the next candidate and of the next clock beat
LAST_ORDER = 21  # time to which the fast excitation has been decayed
REGIME = 22
SIGN = 23  # direction of the last order of an uninformed taker
NEW_TICK, TICK_CHANGE_AT = 24, 25
BEAT_NS = 26  # the value, the regime and the slower excitations move once in this time
STATE_SLOTS = 32
# the shape of m, which no run changes
MASK = 32  # width of the ring - 1; prices index it, ``price & MASK``
CAPACITY = 33  # orders that there is room for, order 0 (nobody) included
LISTS_AT, LEVELS_AT, BITS_AT, ROWS_AT = 34, 35, 36, 37
ROWS, ROWS_LIMIT = 38, 39  # event rows filled, and room for them
HEADER_SLOTS = 48

# quantile functions: the whole range in TABLE_CELLS cells, then the last cell again in as many
NEAR_DISTANCE, DEEP_DISTANCE, NEAR_SIZE, DEEP_SIZE, TAKE_SIZE, JUMP_SIZE = 0, 1, 2, 3, 4, 5
TABLES = 6
TABLE_CELLS = 1024
TABLE_SLOTS = 2 * (TABLE_CELLS + 1)
TABLES_AT = HEADER_SLOTS

ORDERS_AT = TABLES_AT + TABLES * TABLE_SLOTS
# an order; order 0 is nobody
PRICE, SIZE, NEXT, PREV, PLACE, LIST = 0, 1, 2, 3, 4, 5
ORDER_SLOTS = 6
# a level
TOTAL, HEAD, TAIL = 0, 1, 2
LEVEL_SLOTS = 3
# an event row
ROW_TS, ROW_KIND, ROW_SIDE, ROW_PRICE, ROW_SIZE, ROW_ID = 0, 1, 2, 3, 4, 5
ROW_SLOTS = 6

NEAR_BID, NEAR_ASK, DEEP_BID, DEEP_ASK = 0, 1, 2, 3
"""Lists of live orders: those that follow the touch, and those that wait far from it."""

# slots of f: what moves
VALUE = 0  # what the asset is worth, in price counts
VOLATILITY_LOG = 1
FAST, MID, SLOW, BASE = 2, 3, 4, 5  # intensities per second: excited, and from the regime
BOUND = 6  # the intensity that the next candidate was drawn with
REAL_SLOTS = 8

# slots of f: parameters
RATE = 8
EXCITE_FAST, EXCITE_MID, EXCITE_SLOW = 9, 10, 11  # jump of each intensity at an event of weight 1
DECAY_MID, DECAY_SLOW = 12, 13  # factor per clock beat
FAST_SECONDS = 14
RATE_LIMIT = 15
NEAR_ADD, DEEP_ADD, TAKE = 16, 17, 18
NEAR_TARGET, DEEP_TARGET = 19, 20
SLACK = 21  # price counts by which quotes lag behind the value
PULL = 22
IMPACT, IMPACT_SIZE = 23, 24
SIGMA = 25  # relative volatility per square root of a second
LOG_REVERT, LOG_NOISE = 26, 27  # per clock beat
JUMP_CHANCE = 28  # per clock beat
BEAT_ROOT = 29  # square root of the clock beat in seconds
ROUND_SHARE, NICE_PRICE_SHARE = 30, 31
OFF_LOT_SHARE = 32
SIGN_KEEP, WALK_SHARE = 33, 34
TAKE_WEIGHT, REST_WEIGHT = 35, 36  # how much a taker's order and any other excite
JUMP, BURST = 37, 38  # relative size of a jump of 1, and the intensity that it adds
STALE_WEIGHT, SWEEP = 49, 50
REGIME_ACTIVITY, REGIME_VOLATILITY, REGIME_LEAVE = 40, 43, 46  # three slots each
CLOSE_SHARE = 51
FLOAT_SLOTS = 52

MAX_FILLS = 256
"""A taker's order matches at most this many orders; the rest of it lapses."""
MAX_EXPIRED = 256
RESERVE = 2 * MAX_FILLS + MAX_EXPIRED + 8
"""Rows that one arrival or beat can need at most."""
THIN = 16
"""Takers and cancellations leave a side about so many orders at least."""
