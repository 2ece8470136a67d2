"""Where the simulator keeps what: the state of a market, its memory, and its flow of orders.

A market's state and what drives its flow are records. All that there are many of lies in *one*
int64 array, its memory (quantile functions, orders, lists of live orders, levels, their bits, event
rows): calls between kernels pass one array, and not a dozen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.schema.records import FLOAT, INT, RecordType, integers, record

UInt8 = NDArray[np.uint8]

BID, ASK = 1, 2
BUY, SELL = 1, 2
LEVEL, TRADE = 1, 2
"""Kinds of market event: a level's new absolute quantity, or a trade."""

RANDOM = record(*integers("a", "b", "c", "d"))
"""A random generator: four words of 32 bits."""
RING = record(
    *integers("best_bid", "best_ask"),  # 0: that side is empty
    *integers("floor"),  # lowest price; it holds floor <= price < floor + width
    *integers("mask"),  # width - 1; prices index it, ``price & mask``
    *integers("bits_at"),  # in the memory
)
"""The prices that a memory has levels of."""
MARKET = record(
    ("random", RANDOM),
    ("ring", RING),
    *integers("free", "used"),  # head of the free list of orders; orders ever used
    *integers("update_id", "trade_id"),
    *integers(
        "id_step"
    ),  # update ids step by 1 … 2 * id_step - 1 (futures count all symbols' at once)
    ("live", INT, (4,)),  # number of live orders of each list
    *integers("tick", "lot"),
    *integers("now"),  # time up to which the market has run
    *integers("next_order", "next_clock"),  # times of the next candidate and of the next clock beat
    *integers("last_order"),  # time to which the fast excitation has been decayed
    *integers("regime"),
    *integers("sign"),  # direction of the last order of an uninformed taker
    *integers("new_tick", "tick_change_at"),
    *integers("beat_ns"),  # value, regime and slower excitations move once in this time
    *integers("capacity"),  # orders that there is room for, order 0 (nobody) included
    *integers("lists_at", "levels_at", "rows_at"),  # in the memory
    *integers("rows", "rows_limit"),  # event rows filled, and room for them
)
"""The state of a market."""


def _floats(*names: str) -> list[tuple[str, RecordType]]:
    return [(name, FLOAT) for name in names]


FLOW = record(
    *_floats("value"),  # what the asset is worth, in price counts
    *_floats("volatility_log"),
    *_floats(
        "fast", "mid", "slow", "base_rate"
    ),  # intensities per second: excited, and the regime's
    *_floats("bound"),  # the intensity that the next candidate was drawn with
    # what moves stands above, parameters below
    *_floats("rate"),
    *_floats("excite_fast", "excite_mid", "excite_slow"),  # jump of each at an event of weight 1
    *_floats("decay_mid", "decay_slow"),  # factor per clock beat
    *_floats("fast_seconds"),
    *_floats("rate_limit"),
    *_floats("near_add", "deep_add", "take_share"),
    *_floats("near_target", "deep_target"),
    *_floats("slack"),  # price counts by which quotes lag behind the value
    *_floats("pull"),
    *_floats("impact", "impact_size"),
    *_floats("sigma"),  # relative volatility per square root of a second
    *_floats("log_revert", "log_noise"),  # per clock beat
    *_floats("jump_chance"),  # per clock beat
    *_floats("beat_root"),  # square root of the clock beat in seconds
    *_floats("round_share", "nice_price_share"),
    *_floats("off_lot_share"),
    *_floats("sign_keep", "walk_share"),
    *_floats("take_weight", "rest_weight"),  # how much a taker's order and any other excite
    *_floats("jump", "burst"),  # relative size of a jump of 1, and the intensity that it adds
    *_floats("stale_weight", "sweep"),
    ("regime_activity", FLOAT, (3,)),
    ("regime_volatility", FLOAT, (3,)),
    ("regime_leave", FLOAT, (3,)),
    *_floats("close_share"),
)
"""Who comes to a market when."""

# quantile functions: the whole range in TABLE_CELLS cells, then the last cell again in as many
NEAR_DISTANCE, DEEP_DISTANCE, NEAR_SIZE, DEEP_SIZE, TAKE_SIZE, JUMP_SIZE = 0, 1, 2, 3, 4, 5
TABLES = 6
TABLE_CELLS = 1024
TABLE_SLOTS = 2 * (TABLE_CELLS + 1)

ORDERS_AT = TABLES * TABLE_SLOTS
# an order in the memory; order 0 is nobody
PRICE, SIZE, NEXT, PREV, PLACE, LIST = 0, 1, 2, 3, 4, 5
ORDER_SLOTS = 6
# a level in the memory
TOTAL, HEAD, TAIL = 0, 1, 2
LEVEL_SLOTS = 3
# an event row
ROW_TS, ROW_KIND, ROW_SIDE, ROW_PRICE, ROW_SIZE, ROW_ID = 0, 1, 2, 3, 4, 5
ROW_SLOTS = 6

NEAR_BID, NEAR_ASK, DEEP_BID, DEEP_ASK = 0, 1, 2, 3
"""Lists of live orders: those that follow the touch, and those that wait far from it."""

MAX_FILLS = 256
"""A taker's order matches at most this many orders; the rest of it lapses."""
MAX_EXPIRED = 256
RESERVE = 2 * MAX_FILLS + MAX_EXPIRED + 8
"""Rows that one arrival or beat can need at most."""
THIN = 16
"""Takers and cancellations leave a side about so many orders at least."""
