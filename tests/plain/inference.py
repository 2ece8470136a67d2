"""The formulas of `lobproof.fidelity.inference`, word for word, in Python's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, combinations, product
from math import sqrt

Counts = Sequence[Sequence[int]]


def shares(counts: Counts) -> list[float]:
    """F at each upper edge."""
    total = [sum(column) for column in zip(*counts, strict=True)]
    return [below / sum(total) for below in accumulate(total)]


def distance(r: Counts, g: Counts) -> float:
    """Kolmogorov and Smirnov's D."""
    return max(abs(a - b) for a, b in zip(shares(r), shares(g), strict=True))


def differences(r: Counts, g: Counts, inside: Callable[[int], bool]) -> list[float]:
    """d_b of the set of bins that are ``inside``."""
    found = []
    parts = []
    for stream in (r, g):
        n = sum(map(sum, stream))
        p = sum(c for row in stream for k, c in enumerate(row) if inside(k)) / n
        hits = [sum(c for k, c in enumerate(row) if inside(k)) for row in stream]
        parts.append([(h - sum(row) * p) / n for h, row in zip(hits, stream, strict=True)])
    for a, b in zip(*parts, strict=True):
        found.append(a - b)
    return found


def bounds(
    r: Counts, g: Counts, sets: Sequence[Callable[[int], bool]], t: float
) -> tuple[float, float]:
    """U and L over sets of bins: half lines, or all."""
    uppers, lowers = [], []
    for inside in sets:
        d = differences(r, g, inside)
        se = sqrt(len(r) / (len(r) - 1) * sum(x * x for x in d))
        p = [
            sum(c for row in stream for k, c in enumerate(row) if inside(k)) / sum(map(sum, stream))
            for stream in (r, g)
        ]
        uppers.append(abs(p[0] - p[1]) + t * se)
        lowers.append(abs(p[0] - p[1]) - t * se)
    return max(uppers), max(lowers)


def jackknife(
    r: Sequence[Sequence[float]],
    g: Sequence[Sequence[float]],
    figure: Callable[[list[float]], float],
) -> tuple[float, float]:
    """θ and its standard error."""

    def theta(left_out: int) -> float:
        of_r, of_g = (
            [sum(row[k] for b, row in enumerate(stream) if b != left_out) for k in range(len(r[0]))]
            for stream in (r, g)
        )
        return figure(of_r) - figure(of_g)

    count = len(r)
    without = [theta(b) for b in range(count)]
    mean = sum(without) / count
    return theta(-1), sqrt((count - 1) / count * sum((x - mean) ** 2 for x in without))


def correlation_time(series: Sequence[float]) -> float:
    """τ by sums of products, in O(n²)."""
    n = len(series)
    mean = sum(series) / n
    x = [value - mean for value in series]
    rho = [sum(x[i] * x[i + k] for i in range(n - k)) for k in range(n)]
    tau, last = -1.0, float("inf")
    for k in range(0, n - 1, 2):
        pair = (rho[k] + rho[k + 1]) / rho[0]
        if pair <= 0.0:
            break
        last = min(last, pair)
        tau += 2.0 * last
    return tau


def all_flips(pairs: Sequence[tuple[Counts, Counts]]) -> float:
    """p of the sign-flip test over all signs."""
    blocks = len(pairs[0][0])
    scaled: list[list[float]] = []
    for r, g in pairs:
        n_r, n_g = sum(map(sum, r)), sum(map(sum, g))
        for edge in range(len(r[0]) - 1):
            low = [[sum(row[: edge + 1]) for row in stream] for stream in (r, g)]
            mean = (sum(low[0]) + sum(low[1])) / (n_r + n_g)
            e = [
                (low[0][b] - sum(r[b]) * mean) / n_r - (low[1][b] - sum(g[b]) * mean) / n_g
                for b in range(blocks)
            ]
            size = sqrt(sum(x * x for x in e))
            if size > 1e-12:
                scaled.append([x / size for x in e])
    values = [
        max((abs(sum(s * x for s, x in zip(signs, e, strict=True))) for e in scaled), default=0.0)
        for signs in product((1, -1), repeat=blocks)
    ]
    return sum(value >= values[0] - 1e-11 for value in values) / len(values)


def all_choices(r: Counts, g: Counts) -> float:
    """P(D* ≥ D) over all ways to choose which blocks are R's."""
    both = [*r, *g]
    found = []
    for chosen in combinations(range(len(both)), len(r)):
        found.append(
            distance(
                [both[b] for b in chosen], [both[b] for b in range(len(both)) if b not in chosen]
            )
        )
    return sum(d >= found[0] - 1e-11 for d in found) / len(found)
