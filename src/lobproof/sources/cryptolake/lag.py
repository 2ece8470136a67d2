"""How far the clock of a day's deltas lags behind that of its trades: by what the trades explain.

Where a venue's depth messages have two times, of matching and of sending, nobody knows which of
them the vendor kept. The later one sorts trades behind messages that tell of them already. So the
lag is measured: the shift of the deltas' clock by which most trades are explained, each by a level
that falls by what was traded at the first message that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import PENDING_MESSAGES, PENDING_NS, Int64, Side
from lobproof.sources.cryptolake.chunks import (
    AnyFile,
    Chunk,
    LakeFile,
    Span,
    bitmap,
    closed_files,
    floats,
    integers,
    maybe_rows,
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

_TABLES = ("book_delta_v2", "trades")

T = TypeVar("T", int, Int64)
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


def measure_lag(paths: Mapping[str, Sequence[AnyFile]]) -> Lag:
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
    sample = _sampled({name: closed_files(name, paths.get(name, ())) for name in _TABLES})
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
    """Deltas of the levels that trades name, by span, level and place, and the trades.

    ``keys``: ascending, of the row's level and clock (µs); ``falls``: of the level's size, NaN
    where it was not known before; ``messages``: the number of the row's message; ``clocks``: of
    each message, with its span. ``wanted``: the trades' keys, ascending; ``behind``: the row behind
    the last of each one's level; ``times``: like ``clocks``.
    """

    keys: Int64
    falls: Floats
    messages: Int64
    clocks: Int64
    wanted: Int64
    behind: Int64
    times: Int64
    sizes: Floats

    @property
    def count(self) -> int:
        """Trades."""
        return len(self.wanted)

    def explained(self, lag: int) -> NDArray[np.bool_]:
        """Which trades are explained where the deltas' clock is ``lag`` µs earlier."""
        found = np.searchsorted(self.keys, self.wanted + lag)
        named = np.flatnonzero(found < self.behind)
        row = found[named]
        late = self.keys[row] - self.wanted[named] - lag >= PENDING_NS // _US
        first = np.searchsorted(self.clocks, self.times[named[late]] + lag)
        late[late] = self.messages[row[late]] - first >= PENDING_MESSAGES
        named, row = named[~late], row[~late]
        of_row = np.cumsum(np.diff(row, prepend=row[:1]) != 0)  # as ascending as the keys
        volume = np.bincount(of_row, self.sizes[named])
        good = self.falls[row] >= volume[of_row] * (1 - 1e-9)  # the sum of floats is not exact
        explained = np.zeros(self.count, np.bool_)
        explained[named] = good
        return explained


def _sampled(files: Mapping[str, Sequence[LakeFile]]) -> _Sample | None:
    """The sample of a day's files; None where nothing can be held together."""
    of_deltas = files.get("book_delta_v2", ())
    spans = spread(sum(file.rows for file in of_deltas), SPANS, SPAN_ROWS)
    deltas = _deltas(of_deltas, spans)
    if deltas is None:
        return None
    span, clock, message, bid, price, size = deltas
    starts = np.flatnonzero(np.diff(span, prepend=-1))
    begins, ends = clock[starts], clock[np.append(starts[1:], len(span)) - 1]
    base = int(begins.min()) - MAX_LAG_US
    if int(ends.max()) - base + MAX_LAG_US >= 1 << _TIME_BITS or (np.diff(begins) < 0).any():
        return None  # no times of one day, in order
    trades = _trades(files.get("trades", ()), begins, ends - MAX_LAG_US)
    if trades is None:
        return None
    where, at, maker, paid, taken = trades
    prices = np.unique(paid)

    def level(span: Int64, half: Int64, place: Int64) -> Int64:
        return (span * len(prices) + place) * 2 + half

    wanted = level(where, maker, np.searchsorted(prices, paid))
    traded = np.zeros(len(starts) * len(prices) * 2, np.bool_)
    traded[wanted] = True
    place = np.searchsorted(prices[:-1], price)
    rows = np.flatnonzero(prices[place] == price)
    levels = level(span[rows], 1 - bid[rows], place[rows])
    rows, levels = rows[traded[levels]], levels[traded[levels]]
    if not len(rows):
        return None
    known = np.zeros(len(traded), np.bool_)
    known[levels] = True
    held = known[wanted]
    number = np.cumsum(known) - 1
    order = np.argsort(levels, kind="stable")
    rows, levels = rows[order], number[levels[order]]
    falls = np.full(len(rows), np.nan)
    same = np.flatnonzero(levels[1:] == levels[:-1]) + 1
    falls[same] = size[rows[same - 1]] - size[rows[same]]
    firsts = np.flatnonzero(np.diff(message, prepend=-1))
    at, where, wanted = at[held] - base, where[held], number[wanted[held]]
    keys = (wanted << _TIME_BITS) + at
    by_key = np.argsort(keys, kind="stable")
    return _Sample(
        (levels << _TIME_BITS) + clock[rows] - base,
        falls,
        message[rows],
        (span[firsts] << _TIME_BITS) + clock[firsts] - base,
        keys[by_key],
        np.searchsorted(levels, wanted[by_key], side="right"),
        ((where << _TIME_BITS) + at)[by_key],
        taken[held][by_key],
    )


def _deltas(
    files: Sequence[LakeFile], spans: Sequence[Span]
) -> tuple[Int64, Int64, Int64, Int64, Floats, Floats] | None:
    """Span, clock (µs), message, side (1 bid), price and size of the spans' rows."""
    starts = [first for first, _ in spans]
    columns = ("timestamp", "sequence_number", "side_is_bid", "price", "size")
    parts: list[tuple[Int64, ...]] = []
    values: list[tuple[Floats, Floats]] = []
    for first, chunk in read_spans(files, spans, columns):
        number = int(np.searchsorted(starts, first, side="right")) - 1
        bits, bit = bitmap(chunk, "side_is_bid")
        bid = np.unpackbits(bits, bitorder="little")[bit : bit + len(chunk)].astype(np.int64)
        ids = integers(chunk, "sequence_number", -1)
        parts.append((np.full(len(chunk), number), _times(chunk), ids, bid))
        values.append((floats(chunk, "price"), floats(chunk, "size")))
    if not parts:
        return None
    span, time, ids, bid = (np.concatenate(column) for column in zip(*parts, strict=True))
    price, size = (np.concatenate(column) for column in zip(*values, strict=True))
    begins = (np.diff(ids, prepend=ids[0] - 1) != 0) | (np.diff(span, prepend=span[0]) != 0)
    message = np.cumsum(begins)
    kept = (time > 0) & np.isfinite(price) & np.isfinite(size)
    if not kept.all():
        span, time, message, bid = (column[kept] for column in (span, time, message, bid))
        price, size = price[kept], size[kept]
        if not len(span):
            return None
    # those of which a row is left
    message = np.cumsum(np.diff(message, prepend=message[0]) != 0)
    for own in np.split(time, np.flatnonzero(np.diff(span)) + 1):
        np.maximum.accumulate(own, out=own)
    return span, time, message, bid, price, size


def _trades(
    files: Sequence[LakeFile], begins: Int64, ends: Int64
) -> tuple[Int64, Int64, Int64, Floats, Floats] | None:
    """Span, time (µs), maker's side (0 bid), price and size of the trades of the spans."""
    parts: list[tuple[Int64, ...]] = []
    values: list[tuple[Floats, Floats]] = []
    columns = ("timestamp", "side", "price", "amount")

    def inside(least: int, greatest: int) -> bool:
        return bool(((begins <= _us(greatest)) & (ends >= _us(least))).any())

    for _, chunk in read_spans(files, maybe_rows(files, "timestamp", inside), columns):
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
    """Exchange times in µs; 0 and below are missing."""
    return _us(integers(chunk, "timestamp", 0))


def _us(time: T) -> T:
    """The nearest µs."""
    return (time + _US // 2) // _US
