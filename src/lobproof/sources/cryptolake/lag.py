"""How far the clock of a day's deltas lags behind that of its trades: by what the trades explain.

Where a venue's depth messages have two times, of matching and of sending, nobody knows which of
them the vendor kept. The later one sorts trades behind messages that tell of them already. So the
lag is measured: the shift of the deltas' clock by which most trades are explained, each by a level
that falls by what was traded at the first message that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import PENDING_MESSAGES, PENDING_NS, Int64, Side
from lobproof.sources.cryptolake.chunks import (
    CHUNK_ROWS,
    Chunk,
    LakeFile,
    Span,
    bitmap,
    chunks,
    closed_files,
    floats,
    integers,
    read_spans,
    spread,
    takers,
)

SPANS = 32
SPAN_ROWS = 1 << 14
MAX_LAG_US = 1_000_000
"""A longer lag is not looked for."""
LEAST_EXPLAINED = 100
"""With fewer explained trades in the sample there is no measure: no lag."""
SIGMAS = 4
"""The best of some hundred shifts must be better than none by so many standard errors."""
_US = 1_000
_MS = 1_000
_DAY_US = 86_400_000_000
_COARSE = (*range(0, 100, 4), *range(100, MAX_LAG_US // _MS + 1, 20))
"""Lags to look at first, in ms; the neighbours of the best one follow, one by one."""
_TIME_BITS = 38
"""Enough for µs of two days and a half."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lag:
    """``ns``: how far the deltas' clock lags behind the trades'; 0 where nothing shows it.

    Of the ``trades`` of the sample ``explained`` are explained with it, ``unshifted`` without.
    """

    ns: int = 0
    trades: int = 0
    explained: int = 0
    unshifted: int = 0

    def __str__(self) -> str:
        if self.explained < LEAST_EXPLAINED:
            return "too few trades to tell how far the book's clock lags behind theirs"
        with_it, without = (n / self.trades for n in (self.explained, self.unshifted))
        return (
            f"the book's clock lags {self.ns / 1e6:g} ms behind that of the trades, of "
            f"{self.trades:,} sampled ones {with_it:.1%} are explained so ({without:.1%} without)"
        )


def measure_lag(paths: Mapping[str, Sequence[Path]]) -> Lag:
    """The lag in a day's files, of a sample that follows from them alone.

    Parameters
    ----------
    paths
        Table → its files, in order.

    Raises
    ------
    InputError
        When a file cannot be read or is not its table.
    """
    sample = _sampled(paths)
    if sample is None:
        return Lag()
    seen: dict[int, NDArray[np.bool_]] = {}

    def best(lags: Sequence[int]) -> int:
        seen.update({lag: sample.explained(lag * _MS) for lag in lags if lag not in seen})
        return min(seen, key=lambda lag: (-np.count_nonzero(seen[lag]), lag))

    coarse = best(_COARSE)
    at = _COARSE.index(coarse)
    low, high = _COARSE[max(at - 1, 0)], _COARSE[min(at + 1, len(_COARSE) - 1)]
    lag = best(range(low, high + 1))
    won, lost = (int(np.sum(seen[a] & ~seen[b])) for a, b in ((lag, 0), (0, lag)))
    unshifted = int(np.count_nonzero(seen[0]))
    explained = unshifted + won - lost
    if explained < LEAST_EXPLAINED or won - lost < SIGMAS * (won + lost) ** 0.5:
        return Lag(0, sample.count, unshifted, unshifted)
    return Lag(lag * _MS * _US, sample.count, explained, unshifted)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Deltas by span, level and place, and the trades of the same spans.

    ``keys``: ascending, of the row's level and clock (µs); ``falls``: of the level's size, NaN
    where it was not known before; ``messages``: the number of the row's message; ``clocks``: of
    each message, with its span. ``wanted``: the trades' keys, ascending; ``times``: like
    ``clocks``.
    """

    keys: Int64
    falls: Floats
    messages: Int64
    clocks: Int64
    wanted: Int64
    times: Int64
    sizes: Floats

    @property
    def count(self) -> int:
        """Trades."""
        return len(self.wanted)

    def explained(self, lag: int) -> NDArray[np.bool_]:
        """Which trades are explained where the deltas' clock is ``lag`` µs earlier."""
        found = np.searchsorted(self.keys, self.wanted + lag)
        row = np.minimum(found, len(self.keys) - 1)
        delay = self.keys[row] - self.wanted - lag
        named = (found < len(self.keys)) & (
            self.keys[row] >> _TIME_BITS == self.wanted >> _TIME_BITS
        )
        ahead = self.messages[row] - np.searchsorted(self.clocks, self.times + lag)
        named &= (delay < PENDING_NS // _US) | (ahead < PENDING_MESSAGES)
        rows, of_row = np.unique(row[named], return_inverse=True)
        volume = np.bincount(of_row, self.sizes[named], len(rows))
        fall = self.falls[rows]
        good = fall >= volume * (1 - 1e-9)  # the sum of floats is not exact
        explained = np.zeros(self.count, np.bool_)
        explained[named] = good[of_row]
        return explained


def _sampled(paths: Mapping[str, Sequence[Path]]) -> _Sample | None:
    """The sample of a day's files; None where nothing can be held together."""
    files = closed_files("book_delta_v2", paths.get("book_delta_v2", ()))
    spans = spread(sum(file.rows for file in files), SPANS, SPAN_ROWS)
    deltas = _deltas(files, spans)
    if deltas is None:
        return None
    span, clock, message, side, price, size = deltas
    starts = np.flatnonzero(np.diff(span, prepend=-1))
    ends = clock[np.append(starts[1:], len(span)) - 1]
    trades = _trades(paths.get("trades", ()), clock[starts], ends - MAX_LAG_US)
    if trades is None:
        return None
    base = int(clock.min()) - MAX_LAG_US
    if (
        int(clock.max()) - base + MAX_LAG_US >= 1 << _TIME_BITS
        or (np.diff(clock[starts]) < 0).any()
    ):
        return None  # no times of one day, in order
    where, at, maker, paid, taken = trades
    prices = np.unique(np.concatenate([price, paid]))

    def level(span: Int64, half: Int64, price: Floats) -> Int64:
        return (span * len(prices) + np.searchsorted(prices, price)) * 2 + half

    known, levels = np.unique(level(span, side, price), return_inverse=True)
    wanted = level(where, maker, paid)
    held = np.isin(wanted, known)
    if not held.any():
        return None
    order = np.argsort(levels, kind="stable")
    levels, sizes = levels[order], size[order]
    falls = np.full(len(order), np.nan)
    same = np.flatnonzero(levels[1:] == levels[:-1]) + 1
    falls[same] = sizes[same - 1] - sizes[same]
    firsts = np.flatnonzero(np.diff(message, prepend=-1))
    keys = (np.searchsorted(known, wanted[held]) << _TIME_BITS) + at[held] - base
    by_key = np.argsort(keys, kind="stable")
    return _Sample(
        (levels << _TIME_BITS) + clock[order] - base,
        falls,
        message[order],
        (span[firsts] << _TIME_BITS) + clock[firsts] - base,
        keys[by_key],
        ((where << _TIME_BITS) + at - base)[held][by_key],
        taken[held][by_key],
    )


def _deltas(
    files: Sequence[LakeFile], spans: Sequence[Span]
) -> tuple[Int64, Int64, Int64, Int64, Floats, Floats] | None:
    """Span, clock (µs), message, side (0 bid), price and size of the spans' rows."""
    starts = [first for first, _ in spans]
    columns = ("timestamp", "sequence_number", "side_is_bid", "price", "size")
    parts: list[tuple[Int64, ...]] = []
    values: list[tuple[Floats, Floats]] = []
    for first, chunk in read_spans(files, spans, columns):
        number = int(np.searchsorted(starts, first, side="right")) - 1
        bits, bit = bitmap(chunk, "side_is_bid")
        bid = np.unpackbits(bits, bitorder="little")[bit : bit + len(chunk)].astype(np.int64)
        ids = integers(chunk, "sequence_number", -1)
        parts.append((np.full(len(chunk), number), _times(chunk), ids, 1 - bid))
        values.append((floats(chunk, "price"), floats(chunk, "size")))
    if not parts:
        return None
    span, time, ids, side = (np.concatenate(column) for column in zip(*parts, strict=True))
    price, size = (np.concatenate(column) for column in zip(*values, strict=True))
    begins = (np.diff(ids, prepend=ids[0] - 1) != 0) | (np.diff(span, prepend=span[0]) != 0)
    message = np.cumsum(begins) - 1
    kept = (time > 0) & np.isfinite(price) & np.isfinite(size)
    if not kept.any():
        return None
    message = np.unique(message[kept], return_inverse=True)[1]
    span, time, side = span[kept], time[kept], side[kept]
    for number in np.unique(span).tolist():
        own = span == number
        time[own] = np.maximum.accumulate(time[own])
    return span, time, message, side, price[kept], size[kept]


def _trades(
    paths: Sequence[Path], begins: Int64, ends: Int64
) -> tuple[Int64, Int64, Int64, Floats, Floats] | None:
    """Span, time (µs), maker's side (0 bid), price and size of the trades of the spans."""
    parts: list[tuple[Int64, ...]] = []
    values: list[tuple[Floats, Floats]] = []
    columns = ("timestamp", "side", "price", "amount")
    for chunk in chunks("trades", paths, columns, CHUNK_ROWS):
        time = _times(chunk)
        span = np.searchsorted(begins, time, side="right") - 1
        taker, price, size = takers(chunk), floats(chunk, "price"), floats(chunk, "amount")
        kept = np.flatnonzero((span >= 0) & (time <= ends[span]) & (taker > 0) & (price > 0))
        maker = (taker[kept] == Side.BUY).astype(np.int64)
        parts.append((span[kept], time[kept], maker))
        values.append((price[kept], size[kept]))
    if not sum(len(part[0]) for part in parts):
        return None
    span, time, maker = (np.concatenate(column) for column in zip(*parts, strict=True))
    price, size = (np.concatenate(column) for column in zip(*values, strict=True))
    return span, time, maker, price, size


def _times(chunk: Chunk) -> Int64:
    """Exchange times in µs, to the nearest; 0 and below are missing."""
    return (integers(chunk, "timestamp", 0) + _US // 2) // _US
