"""Defects of a reconstruction: each takes a feed and gives the one that a faulty tool would see.

Its source text is part of the suite's hash: what it does is fixed before anything is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import Int64
from lobproof.sources.simulator import FullBook
from mutation.streams import (
    FIRST,
    LAST,
    PREVIOUS,
    PRICE,
    SECOND,
    SIDE,
    SIZE,
    TAKEN_AT,
    TAKER,
    TIME,
    TRADE_PRICE,
    TRADED,
    Stream,
)

SHARE = 0.01
WITHIN = 0.001
"""Loss that gate C is to accept: a fifth of its margin."""
CONTAMINATION = 10
"""By so much a contaminated size is too large."""
FROZEN_S = 1
"""Length of a stretch in which the book stands still."""
ROUND_NS = 1_000_000

Random = np.random.Generator
Mutation = Callable[[Stream, Random], Stream]
Resize = Callable[[Int64], NDArray[np.floating[Any]]]


def identity(stream: Stream, random: Random) -> Stream:
    """Nothing is wrong."""
    return stream


def scale_up(stream: Stream, random: Random) -> Stream:
    """All sizes 1 % too large, to the nearest lot."""
    return _resized(stream, lambda sizes: sizes * (1.0 + SHARE))


def scale_down(stream: Stream, random: Random) -> Stream:
    """All sizes 1 % too small, to the nearest lot."""
    return _resized(stream, lambda sizes: sizes * (1.0 - SHARE))


def wider(stream: Stream, random: Random) -> Stream:
    """Sizes 1 % further from their mean: their standard deviation is 1 % too large."""
    return _resized(stream, lambda sizes: sizes + SHARE * (sizes - sizes.mean()))


def contamination(stream: Stream, random: Random) -> Stream:
    """1 % of the sizes ten times too large."""

    def resize(sizes: Int64) -> NDArray[np.float64]:
        return np.where(_some(random, len(sizes)), CONTAMINATION, 1) * sizes.astype(np.float64)

    return _resized(stream, resize)


def tail_clip(stream: Stream, random: Random) -> Stream:
    """The largest 1 % of the sizes cut down to the smallest of them."""
    return _resized(stream, lambda sizes: np.minimum(sizes, np.quantile(sizes, 1.0 - SHARE)))


def frozen_book(stream: Stream, random: Random) -> Stream:
    """The book stands still in 1 % of the seconds; what it missed comes with the next message."""
    second = (stream.messages[:, TIME] - stream.messages[0, TIME]) // (FROZEN_S * SECOND)
    many = int(second[-1]) + 1
    frozen = np.zeros(many, np.bool_)
    frozen[random.choice(many - 1, round(SHARE * many), replace=False)] = True  # it ends in time
    still = frozen[second]
    place = np.where(still, len(still), np.arange(len(still)))
    next_live = np.minimum.accumulate(place[::-1])[::-1]
    of = next_live[stream.of]
    # a message names a level once: the last word counts
    key = np.stack([of, stream.depth[:, SIDE], stream.depth[:, PRICE]])
    order = np.lexsort((np.arange(len(of)), key[2], key[1], key[0]))
    last = np.append(np.diff(key[:, order], axis=1).any(axis=0), True)
    kept = np.sort(order[last])
    return replace(stream, of=of[kept], depth=stream.depth[kept])


def random_loss(stream: Stream, random: Random) -> Stream:
    """1 % of the trades and of the level changes lost, here and there."""
    return _thinned(stream, random, SHARE)


def within_margin(stream: Stream, random: Random) -> Stream:
    """0.1 % of the trades and of the level changes lost: less than gate C's margin."""
    return _thinned(stream, random, WITHIN)


def contiguous_loss(stream: Stream, random: Random) -> Stream:
    """1 % of the time lost in one stretch, trades and messages."""
    first, last = int(stream.messages[0, TIME]), int(stream.messages[-1, TIME])
    length = round(SHARE * (last - first))
    start = int(random.integers(first, last - length))
    taken = (stream.trades[:, TAKEN_AT] < start) | (stream.trades[:, TAKEN_AT] >= start + length)
    heard = (stream.messages[:, TIME] < start) | (stream.messages[:, TIME] >= start + length)
    kept = heard[stream.of]
    return replace(
        stream,
        messages=_chained(stream.messages[heard]),
        of=(np.cumsum(heard) - 1)[stream.of[kept]],
        depth=stream.depth[kept],
        trades=stream.trades[taken],
    )


def duplicates(stream: Stream, random: Random) -> Stream:
    """1 % of the trades and of the messages twice."""
    trades = np.repeat(stream.trades, 1 + _some(random, len(stream.trades)), axis=0)
    times = 1 + _some(random, len(stream.messages))
    messages = np.repeat(stream.messages, times, axis=0)
    begin = np.cumsum(times) - times
    twice = np.flatnonzero(times[stream.of] == 2)
    of = np.concatenate([begin[stream.of], begin[stream.of[twice]] + 1])
    order = np.argsort(of, kind="stable")
    depth = np.concatenate([stream.depth, stream.depth[twice]])
    return replace(stream, messages=messages, of=of[order], depth=depth[order], trades=trades)


def side_flips(stream: Stream, random: Random) -> Stream:
    """1 % of the trades with the other side as their taker."""
    trades = stream.trades.copy()
    flipped = _some(random, len(trades))
    trades[flipped, TAKER] = 3 - trades[flipped, TAKER]
    return replace(stream, trades=trades)


def tick_offset(stream: Stream, random: Random) -> Stream:
    """1 % of the trades and of the level changes a tick too high."""
    trades, depth = stream.trades.copy(), stream.depth.copy()
    trades[_some(random, len(trades)), TRADE_PRICE] += stream.instrument.tick
    depth[_some(random, len(depth)), PRICE] += stream.instrument.tick
    return replace(stream, trades=trades, depth=depth)


def rounded_times(stream: Stream, random: Random) -> Stream:
    """Times of trades rounded down to milliseconds; those of messages are whole ones anyway."""
    trades = stream.trades.copy()
    trades[:, TAKEN_AT] -= trades[:, TAKEN_AT] % ROUND_NS
    return replace(stream, trades=trades)


def swapped(stream: Stream, random: Random) -> Stream:
    """1 % of the trades and of the messages have changed places with the next; times stay."""
    trades = stream.trades.copy()
    trades[:, TAKEN_AT + 1 :] = trades[_swaps(random, len(trades)), TAKEN_AT + 1 :]
    place = _swaps(random, len(stream.messages))
    messages = stream.messages.copy()
    messages[:, FIRST:] = messages[place, FIRST:]
    of = place[stream.of]  # a swap undoes itself
    order = np.argsort(of, kind="stable")
    return replace(
        stream, messages=messages, of=of[order], depth=stream.depth[order], trades=trades
    )


def _some(random: Random, many: int, share: float = SHARE) -> NDArray[np.bool_]:
    return np.asarray(random.random(many) < share)


def _swaps(random: Random, many: int) -> NDArray[np.intp]:
    """A permutation that swaps 1 % of the neighbours, none of them twice."""
    first = np.flatnonzero(_some(random, many - 1))
    first = first[np.diff(first, prepend=-2) > 1]
    place = np.arange(many)
    place[first], place[first + 1] = first + 1, first
    return place


def _thinned(stream: Stream, random: Random, share: float) -> Stream:
    trades = ~_some(random, len(stream.trades), share)
    depth = ~_some(random, len(stream.depth), share)
    return replace(
        stream, of=stream.of[depth], depth=stream.depth[depth], trades=stream.trades[trades]
    )


def _chained(messages: Int64) -> Int64:
    """The messages as if none were missing: whoever lost some without noticing."""
    chained = messages.copy()
    chained[1:, PREVIOUS] = messages[:-1, LAST]
    return chained


def _resized(stream: Stream, resize: Resize) -> Stream:
    """Sizes of trades and of levels, each made anew, on the lot, at least one lot."""
    lot = stream.instrument.lot

    def on_lot(sizes: Int64) -> Int64:
        lots = np.maximum(np.rint(resize(sizes) / lot).astype(np.int64), 1)
        return np.asarray(lots * lot)

    trades, depth = stream.trades.copy(), stream.depth.copy()
    trades[:, TRADED] = on_lot(trades[:, TRADED])
    rests = depth[:, SIZE] > 0
    book = stream.book
    levels = np.concatenate([book.bids[:, 1], book.asks[:, 1], depth[rests, SIZE]])
    resized = on_lot(levels)
    many, both = len(book.bids), len(book.bids) + len(book.asks)
    depth[rests, SIZE] = resized[both:]
    bids = np.stack([book.bids[:, 0], resized[:many]], axis=1)
    asks = np.stack([book.asks[:, 0], resized[many:both]], axis=1)
    return replace(
        stream, trades=trades, depth=depth, book=FullBook(book.ts, book.last_id, bids, asks)
    )
