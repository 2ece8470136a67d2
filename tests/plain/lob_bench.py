"""The scores of LOB-Bench once more, in plain Python: loops over rows, no NumPy, no shared code."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

SECOND = 1_000_000_000
NO_PRICE = {1: -9_999_999_999, 2: 9_999_999_999}
"""Of bids and of asks that are not there."""
Row = tuple[int, int, int, int, int, int]
"""Time in ns, type, order id, size, price, direction."""
Book = list[int]
File = tuple[list[Row], list[Book]]
Values = list[float]
NAN = math.nan
EVENTS = ("MO_0", "MO_1", "LO_0", "LO_1", "CA_0", "CA_1")
LAGS = (1, 2, 3, 3, 5, 6, 7, 10, 12, 15, 19, 25, 31, 39, 50, 63, 79, 100, 125, 158, 199)


def is_whole(book: Book) -> bool:
    return book[0] != NO_PRICE[2] and book[2] != NO_PRICE[1]


def mid(book: Book) -> float:
    return (book[0] + book[2]) / 2 if is_whole(book) else NAN


def log_of(nanoseconds: int, unit: int) -> float:
    return math.log(nanoseconds / unit) if nanoseconds else math.log(1e-9)


def values_of(file: File) -> dict[str, Values]:
    """Every unconditional score's values."""
    rows, books = file
    found: dict[str, Values] = defaultdict(list)
    for book in books:
        found["spread"].append(book[0] - book[2] if is_whole(book) else NAN)
        total = book[1] + book[3]
        found["orderbook_imbalance"].append((book[3] - book[1]) / total if total else NAN)
        found["ask_volume_touch"].append(book[1])
        found["bid_volume_touch"].append(book[3])
        found["ask_volume"].append(sum(book[1:40:4]))
        found["bid_volume"].append(sum(book[3:40:4]))
    times = [row[0] for row in rows]
    for before, after in pairwise(times):
        found["log_inter_arrival_time"].append(log_of(after - before, 1_000_000))
    new = {row[2] for row in rows if row[1] == 1}
    changes: dict[int, list[int]] = defaultdict(list)
    for time, kind, order, *_ in rows:
        if kind in (1, 2, 3) and order in new:
            changes[order].append(time)
    for seen in changes.values():
        if len(seen) > 1:
            found["log_time_to_cancel"].append(log_of(seen[1] - seen[0], SECOND))
    for k, (_, kind, _, _, price, _) in enumerate(rows):
        if kind not in (1, 2, 3):
            continue
        what = "limit_{}_order" if kind == 1 else "{}_cancellation"
        distance = price - mid(books[k])
        for side, sign in (("ask", 1), ("bid", -1)):
            if math.isnan(distance) or sign * distance > 0:
                found[what.format(side) + "_depth"].append(abs(distance))
        if kind != 1 and k == 0:
            continue
        looked = books[k] if kind == 1 else books[k - 1]
        for side, first in (("ask", 0), ("bid", 2)):
            prices = looked[first::4]
            if price in prices:
                found[what.format(side) + "_levels"].append(prices.index(price) + 1)
    found["vol_per_min"] = volume_per_minute(rows)
    flows = []
    for was, now in pairwise(books):
        flow = now[3] * (now[2] >= was[2]) - was[3] * (now[2] <= was[2])
        flows.append(flow - now[1] * (now[0] <= was[0]) + was[1] * (now[0] >= was[0]))
    means = [sum(flows[k : k + 100]) / 100 for k in range(len(flows) - 99)]
    found["ofi"] = means
    # the mean over the moves to message k + 100 stands before the move to message k + 101
    for k, mean in enumerate(means[:-1]):
        moved = mid(books[k + 101]) - mid(books[k + 100])
        if moved == moved:
            name = "ofi_up" if moved > 0 else "ofi_down" if moved < 0 else "ofi_stay"
            found[name].append(mean)
    return found


def volume_per_minute(rows: list[Row]) -> Values:
    trades = [(row[0], row[3]) for row in rows if row[1] == 4]
    if not trades:
        return []
    seconds: dict[int, float] = {}
    for time, size in trades:
        seconds[time // SECOND] = seconds.get(time // SECOND, 0.0) + size
    sizes = list(seconds.values())
    first = trades[0][0] % SECOND // 1000
    last = trades[-1][0] % SECOND // 1000
    if len(sizes) == 1:
        if trades[0][0] == trades[-1][0]:
            return [60 * sizes[0]]
        span = last - first
        return [] if span < 100_000 else [60 * sizes[0] * 1_000_000 / span]
    sizes[0] /= 1 - first / 1_000_000
    if last:
        sizes[-1] *= 1_000_000 / last
    kept = sizes[0 if first >= 900_000 else 1 : None if last >= 100_000 else -1]
    return [60 * size for size in kept]


def quantile(ordered: Values, share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def histogram_edges(pooled: Values) -> Values:
    ordered = sorted(pooled)
    low, high = ordered[0], ordered[-1]
    width = 2 * (quantile(ordered, 0.75) - quantile(ordered, 0.25)) / len(ordered) ** (1 / 3)
    if low == high:
        low, high = low - 0.5, high + 0.5
    bins = math.ceil((high - low) / width) if width else 1
    return [low + k * ((high - low) / bins) for k in range(bins)] + [high]


def decile_edges(pooled: Values) -> Values:
    ordered = sorted(pooled)
    edges = [quantile(ordered, k / 10) for k in range(1, 10)]
    twice = [edge for edge, many in Counter(edges).items() if many > 1]
    return sorted({*edges, *(edge + 0.01 for edge in twice)})


def total_variation(real: Values, generated: Values, edges: Values) -> float:
    ours = Counter(bisect_right(edges, one) for one in real)
    theirs = Counter(bisect_right(edges, one) for one in generated)
    return sum(abs(ours[k] / len(real) - theirs[k] / len(generated)) for k in {*ours, *theirs}) / 2


def wasserstein(real: Values, generated: Values) -> float:
    pooled = sorted({*real, *generated})
    if len(pooled) == 1:
        return 0.0
    ours, theirs = sorted(real), sorted(generated)
    area = 0.0
    for low, high in pairwise(pooled):
        share = bisect_right(ours, low) / len(ours) - bisect_right(theirs, low) / len(theirs)
        area += abs(share) * (high - low)
    return area / statistics.stdev([*real, *generated])


def distance(real: Values, generated: Values, *, discrete: bool) -> tuple[float, float]:
    real = [one for one in real if one == one]
    generated = [one for one in generated if one == one]
    pooled = [*real, *generated]
    edges = sorted(set(pooled)) if discrete else histogram_edges(pooled)
    return total_variation(real, generated, edges), wasserstein(real, generated)


def volatility(file: File) -> float:
    last: dict[int, float] = {}
    for row, book in zip(*file, strict=True):
        if is_whole(book):
            last[row[0] // 100_000_000] = mid(book)
    returns = [
        math.log(price / last[stretch - 1])
        for stretch, price in last.items()
        if stretch - 1 in last
    ]
    return statistics.stdev(returns) if len(returns) > 1 else 0.0


def given(
    real: Sequence[tuple[float, float]],
    generated: Sequence[tuple[float, float]],
    edges: Values,
    *,
    discrete: bool,
) -> tuple[float, float]:
    """Distances of values given conditions, grouped by edges."""
    groups: dict[int, tuple[Values, Values]] = defaultdict(lambda: ([], []))
    for which, sample in enumerate((real, generated)):
        for value, condition in sample:
            groups[bisect_right(edges, condition)][which].append(value)
    l1 = apart = 0.0
    total = len(real) + len(generated)
    for ours, theirs in groups.values():
        weight = (len(ours) + len(theirs)) / total
        if not ours or not theirs:
            l1 += weight
            continue
        pooled = [*ours, *theirs]
        inner = sorted(set(pooled)) if discrete else decile_edges(pooled)
        l1 += weight * total_variation(ours, theirs, inner)
        apart += weight * wasserstein(ours, theirs)
    return l1, apart


def responses(files: Sequence[File]) -> dict[str, list[float]]:
    """Mean responses in ticks of 100 by event and lag; NaN where there is none."""
    found: dict[tuple[str, int], Values] = defaultdict(list)
    for rows, books in files:
        events: list[tuple[str, int, float, Row]] = []
        touch: list[int] = []
        for k, (row, book) in enumerate(zip(rows, books, strict=True)):
            if (k and book[:4] == books[k - 1][:4]) or not is_whole(book) or row[1] > 4:
                continue
            kind = "MO" if row[1] == 4 else "LO" if row[1] == 1 else "CA"
            moved = touch[:1] != book[:1] or touch[2:3] != book[2:3]
            sign = row[5] if kind == "LO" else -row[5]
            event = (f"{kind}_{int(moved)}", sign, mid(book), row)
            touch = book[:4]
            before = events[-1][3] if events else None
            joins = (
                before is not None
                and kind == "MO"
                and row[0] - before[0] <= 1000
                and row[4:] == before[4:]
            )
            if joins:
                events[-1] = event
            else:
                events.append(event)
        for lag in LAGS:
            for k in range(1, len(events) - lag + 1):
                name, sign, _, _ = events[k]
                move = (events[k + lag - 1][2] - events[k - 1][2]) * sign / 100
                found[name, lag].append(move)
    return {
        name: [statistics.fmean(found[name, lag]) if found[name, lag] else NAN for lag in LAGS]
        for name in EVENTS
    }
