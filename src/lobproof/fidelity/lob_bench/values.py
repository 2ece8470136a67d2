"""What LOB-Bench measures of a sequence of messages and books: one column of numbers a score.

Defined as by Nagy et al., "LOB-Bench: Benchmarking Generative AI for Finance" (arXiv 2502.09172)
and the configuration of its code, written anew. Prices in 1e-4 dollars, sizes in shares. A value
that has no meaning is NaN: of a book that lacks a best price, say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import Int64
from lobproof.sources.lobster.files import DELETED, EXECUTED, NEW, REDUCED, Sequence

Float64 = NDArray[np.float64]

SECOND_NS = 1_000_000_000
VOLUME_LEVELS = 10
"""Levels of the total volumes."""
OFI_MESSAGES = 100
"""Messages of a mean order flow imbalance."""
VOLATILITY_NS = 100_000_000
_NO_TIME = 1e-9
"""What stands for a time of 0 under a logarithm, in the unit of the score."""
_EDGE_US = 100_000
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Score:
    """An unconditional score; ``discrete``: each value is a group of its own."""

    values: Callable[[Sequence], Float64]
    discrete: bool = False
    levels: int = 1


def mid(of: Sequence) -> Float64:
    """Mid-price after each message."""
    both = (of.book[:, 0] + of.book[:, 2]) / 2
    return np.where(of.two_sided, both, np.nan)


def spread(of: Sequence) -> Float64:
    """Best ask less best bid after each message."""
    return np.where(of.two_sided, (of.book[:, 0] - of.book[:, 2]).astype(np.float64), np.nan)


def imbalance(of: Sequence) -> Float64:
    """``(bid - ask) / (bid + ask)`` of the sizes at the touch."""
    ask, bid = of.book[:, 1], of.book[:, 3]
    total = (bid + ask).astype(np.float64)
    return (bid - ask) / np.where(total > 0, total, np.nan)


def log_inter_arrival_time(of: Sequence) -> Float64:
    """Natural logarithm of the milliseconds between a message and the next."""
    return _log(np.diff(of.time), 1e-6)


def log_time_to_cancel(of: Sequence) -> Float64:
    """Natural logarithm of the seconds from an order to its first change or deletion.

    Of each order id that a message of type 1 has, the first two messages of types 1 to 3: an id
    used twice gives the time between both. Orders that were executed and then cancelled count,
    those still there at the end do not, so that long times are missing from short sequences.
    """
    changes = np.isin(of.kind, (NEW, REDUCED, DELETED))
    ids, time, kind = of.order_id[changes], of.time[changes], of.kind[changes]
    known = np.isin(ids, ids[kind == NEW])
    ids, time = ids[known], time[known]
    order = np.argsort(ids, kind="stable")
    ids, time = ids[order], time[order]
    first = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1) != 0)
    first = first[first + 1 < len(ids)]
    first = first[ids[first] == ids[first + 1]]
    return _log(time[first + 1] - time[first], 1e-9)


def _log(nanoseconds: Int64, unit: float) -> Float64:
    """Logarithm of times in a unit, which is given in ns; of none, of a small one."""
    return np.log(np.where(nanoseconds == 0, _NO_TIME, nanoseconds * unit))


def volume(column: int, levels: int) -> Callable[[Sequence], Float64]:
    """Size of the first levels of a side; ``column``: of the sizes, 1 ask, 3 bid."""
    return lambda of: of.book[:, column : 4 * levels : 4].sum(axis=1).astype(np.float64)


def depth(kinds: tuple[int, ...], sign: int) -> Callable[[Sequence], Float64]:
    """Distance of messages' prices from the mid after them; ``sign``: 1 above it, -1 below.

    The side is that of the price, not the message's direction: an order that crosses the mid it
    finds counts for the other side, and one at the new mid for none.
    """

    def values(of: Sequence) -> Float64:
        these = np.isin(of.kind, kinds)
        distance = sign * (of.price[these] - mid(of)[these])
        kept: Float64 = distance[~(distance <= 0)]
        return kept

    return values


def level(kinds: tuple[int, ...], column: int) -> Callable[[Sequence], Float64]:
    """Level, from 1 on, whose price is a message's; ``column``: 0 of the asks, 2 of the bids.

    New orders are looked up in the book after the message, others in the book before it, which the
    first message has not. What is on no level of the file is left out.
    """
    back = 0 if NEW in kinds else 1

    def values(of: Sequence) -> Float64:
        rows = np.flatnonzero(np.isin(of.kind[back:], kinds))
        found = of.book[rows, column::4] == of.price[rows + back, None]
        return (np.nonzero(found)[1] + 1).astype(np.float64)

    return values


def volume_per_minute(of: Sequence) -> Float64:
    """Size executed (type 4) in each second that has any, times 60.

    As published, the first second of several is dropped where its first trade lies in its first
    0.9 s, else scaled up; the last is dropped where its last trade lies in its first 0.1 s, else
    scaled up. A second alone is scaled up, or dropped if its trades span less than 0.1 s. Seconds
    without a trade do not count, so that a quiet market shows only as fewer values.
    """
    traded = of.kind == EXECUTED
    time = of.time[traded]
    if not len(time):
        return np.zeros(0)
    _, place = np.unique(time // SECOND_NS, return_inverse=True)
    sizes: Float64 = np.bincount(place, of.size[traded]).astype(np.float64)
    first, last = int(time[0]) % SECOND_NS // 1000, int(time[-1]) % SECOND_NS // 1000
    if len(sizes) == 1:
        if time[0] != time[-1]:
            sizes = sizes * (_SECOND_US / max(last - first, 1))
            sizes = sizes[:0] if last - first < _EDGE_US else sizes
        return sizes * 60
    if first < _SECOND_US - _EDGE_US:
        sizes = sizes[1:]
    else:
        sizes[0] /= 1 - first / _SECOND_US
    if last < _EDGE_US:
        sizes = sizes[:-1]
    else:
        sizes[-1] *= _SECOND_US / last
    return sizes * 60


def order_flow_imbalance(of: Sequence) -> Float64:
    """Mean over 100 messages of the order flow imbalance of Cont, Kukanov and Stoikov (2014)."""
    ask, asked, bid, bidden = of.book[:, :4].T
    flow = (
        np.where(bid[1:] >= bid[:-1], bidden[1:], 0)
        - np.where(bid[1:] <= bid[:-1], bidden[:-1], 0)
        - np.where(ask[1:] <= ask[:-1], asked[1:], 0)
        + np.where(ask[1:] >= ask[:-1], asked[:-1], 0)
    )
    total = np.cumsum(np.append(0, flow))
    if len(flow) < OFI_MESSAGES:
        return np.zeros(0)
    means: Float64 = (total[OFI_MESSAGES:] - total[:-OFI_MESSAGES]) / OFI_MESSAGES
    return means


def flow_before(move: int) -> Callable[[Sequence], Float64]:
    """Order flow imbalance before a message that moves the mid up (1), down (-1) or not (0)."""

    def values(of: Sequence) -> Float64:
        flow = order_flow_imbalance(of)[:-1]
        moved = np.sign(np.diff(mid(of))[OFI_MESSAGES:])
        before: Float64 = flow[moved == move]
        return before

    return values


def time_of_day(of: Sequence) -> Float64:
    """Seconds since midnight of each message."""
    return of.time / SECOND_NS


def volatility(of: Sequence) -> Float64:
    """One number of the sequence, for each of its messages: deviation of log returns over 0.1 s.

    The last mid of each 0.1 s; a return only where the stretch before has a message as well, so
    that bursts count and what happens across silence does not. 0 where there are not two returns.
    """
    stretch = of.time // VOLATILITY_NS
    mids = mid(of)
    known = ~np.isnan(mids)
    stretch, mids = stretch[known], mids[known]
    last = np.flatnonzero(np.diff(stretch, append=stretch[-1:] + 1))
    returns = np.diff(np.log(mids[last]))[np.diff(stretch[last]) == 1]
    return np.full(len(of), np.std(returns, ddof=1) if len(returns) > 1 else 0.0)


_CANCELS = (REDUCED, DELETED)

SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "spread": Score(spread, discrete=True),
        "orderbook_imbalance": Score(imbalance),
        "log_inter_arrival_time": Score(log_inter_arrival_time),
        "log_time_to_cancel": Score(log_time_to_cancel),
        "ask_volume_touch": Score(volume(1, 1)),
        "bid_volume_touch": Score(volume(3, 1)),
        "ask_volume": Score(volume(1, VOLUME_LEVELS), levels=VOLUME_LEVELS),
        "bid_volume": Score(volume(3, VOLUME_LEVELS), levels=VOLUME_LEVELS),
        "limit_ask_order_depth": Score(depth((NEW,), 1)),
        "limit_bid_order_depth": Score(depth((NEW,), -1)),
        "ask_cancellation_depth": Score(depth(_CANCELS, 1)),
        "bid_cancellation_depth": Score(depth(_CANCELS, -1)),
        "limit_ask_order_levels": Score(level((NEW,), 0), discrete=True),
        "limit_bid_order_levels": Score(level((NEW,), 2), discrete=True),
        "ask_cancellation_levels": Score(level(_CANCELS, 0), discrete=True),
        "bid_cancellation_levels": Score(level(_CANCELS, 2), discrete=True),
        "vol_per_min": Score(volume_per_minute),
        "ofi": Score(order_flow_imbalance),
        "ofi_up": Score(flow_before(1)),
        "ofi_stay": Score(flow_before(0)),
        "ofi_down": Score(flow_before(-1)),
    }
)
"""The unconditional scores by the names that LOB-Bench gives them. ``levels``: how many levels a
side the books need."""
