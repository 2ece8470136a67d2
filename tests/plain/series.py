"""What follows from the grid, in plain Python: from samples by their number since the epoch."""

from __future__ import annotations

import math
import statistics
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations

MID2, SPREAD, BID, ASK, OFI_1, OFI_5, BOUGHT, SOLD, TRADES, MESSAGES = range(10)
Sample = Sequence[int]
Samples = Mapping[int, Sample]
Pairs = list[tuple[float, float]]


def known(samples: Samples, end: int, length: int) -> bool:
    """Whether the mid is known at every sample of a step."""
    return all(k in samples and samples[k][MID2] > 0 for k in range(end - length, end + 1))


def ends(samples: Samples, length: int, every: int | None = None) -> list[int]:
    """Where the known steps end."""
    every = length if every is None else every
    return [k for k in sorted(samples) if k % every == 0 and known(samples, k, length)]


def return_of(samples: Samples, end: int, length: int) -> int:
    """Log return of the mid in 1e-8."""
    before, after = samples[end - length][MID2], samples[end][MID2]
    return round(1e8 * math.log(after / before))


def returns(samples: Samples, length: int) -> dict[int, int]:
    """Returns by where they end."""
    return {end: return_of(samples, end, length) for end in ends(samples, length)}


def flow(samples: Samples, end: int, length: int, *columns: int) -> int:
    """Sum of columns over a step."""
    return sum(samples[k][c] for k in range(end - length + 1, end + 1) for c in columns)


def moments(values: Sequence[int]) -> list[Fraction]:
    """Central moments 2 to 4, exact."""
    mean = Fraction(sum(values), len(values))
    squares = [(value - mean) * (value - mean) for value in values]
    thirds = [(value - mean) * square for value, square in zip(values, squares, strict=True)]
    fourths = [square * square for square in squares]
    return [sum(of, Fraction(0)) / len(values) for of in (squares, thirds, fourths)]


def autocorrelation(values: dict[int, float], step: int, lag: int, samples: Samples) -> float:
    """By its definition, over pairs with no sample missing in between."""
    mean = math.fsum(values.values()) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values.values()) / len(values)
    missing = [k for k in range(min(samples), max(samples)) if k not in samples]
    products = []
    for at in values:
        before = at - lag * step
        if before in values and bisect(missing, before) == bisect(missing, at):
            products.append((values[at] - mean) * (values[before] - mean))
    return math.fsum(products) / len(products) / variance if products else math.nan


def l_kurtosis(values: Sequence[int]) -> float:
    """By its definition: expectations over all samples of four and of two."""

    def moment(size: int, weights: Sequence[int]) -> Fraction:
        found = [
            sum(w * v for w, v in zip(weights, sorted(some), strict=True))
            for some in combinations(values, size)
        ]
        return Fraction(sum(found), len(found) * size)

    return float(moment(4, (-1, 3, -3, 1)) / moment(2, (-1, 1)))


def hill(values: Sequence[int], k: int) -> float:
    """From the k largest magnitudes and the next one."""
    largest = sorted((abs(v) for v in values), reverse=True)
    return k / math.fsum(math.log(largest[i] / largest[k]) for i in range(k))


def realised(samples: Samples, length: int) -> float:
    """Mean squared return over all overlapping steps."""
    squares = [return_of(samples, end, length) ** 2 for end in ends(samples, length, 1)]
    return float(Fraction(sum(squares), len(squares))) * 1e-16


def intermittency(samples: Samples, lengths: Sequence[int]) -> float:
    """A quarter of the fall of log flatness along the logarithm of the step."""
    points = []
    for length in lengths:
        found = [return_of(samples, end, length) for end in ends(samples, length, 1)]
        squares, fourths = (sum(r**q for r in found) for q in (2, 4))
        points.append((math.log(length), math.log(Fraction(fourths * len(found), squares**2))))
    x, y = zip(*points, strict=True)
    return -statistics.linear_regression(x, y).slope / 4


def resilience(samples: Samples, lag: int) -> tuple[float, float]:
    """Mean spread, and size of the touch that was hit, behind large trades over that before."""
    spreads: list[tuple[int, int]] = []
    sizes: list[tuple[int, int]] = []
    for at in samples:
        if not known(samples, at + lag, lag + 1):
            continue
        before, now, behind = (samples[k] for k in (at - 1, at, at + lag))
        for traded, touch in ((BOUGHT, ASK), (SOLD, BID)):
            if now[traded] >= before[touch]:
                spreads.append((before[SPREAD], behind[SPREAD]))
                sizes.append((before[touch], behind[touch]))
    spread, size = (
        sum(b for _, b in pairs) / sum(a for a, _ in pairs) if pairs else math.nan
        for pairs in (spreads, sizes)
    )
    return spread, size


def groups(pairs: Pairs) -> dict[float, float]:
    """Mean of the second by the first."""
    found: dict[float, list[float]] = defaultdict(list)
    for group, value in pairs:
        found[group].append(value)
    return {group: math.fsum(values) / len(values) for group, values in found.items()}


def octave(value: int) -> int:
    """0, 1, 2 to 3, 4 to 7, ..."""
    return value.bit_length()


def garch_likelihood(
    series: Sequence[Sequence[float]],
    mu: float,
    omega: float,
    alpha: float,
    beta: float,
    nu: float,
    mean: float,
) -> float:
    """Of series that each begin with a mean of their first squares; ``mean``: of all values."""
    total = 0.0
    for values in series:
        weights = [0.94**k for k in range(min(75, len(values)))]
        squares = [(v - mean) ** 2 for v in values]
        before = sum(w * s for w, s in zip(weights, squares, strict=False)) / sum(weights)
        variance = omega + (alpha + beta) * before
        for value in values:
            error = value - mu
            total += (
                math.lgamma((nu + 1) / 2)
                - math.lgamma(nu / 2)
                - math.log(math.pi * (nu - 2) * variance) / 2
                - (nu + 1) / 2 * math.log(1 + error**2 / (variance * (nu - 2)))
            )
            variance = omega + alpha * error**2 + beta * variance
    return total


def hawkes_likelihood(
    times: Sequence[float], end: float, mu: float, branching: float, beta: float
) -> float:
    """Over all pairs of events."""
    total = -mu * end
    for at, time in enumerate(times):
        echo = sum(math.exp(-beta * (time - before)) for before in times[:at])
        total += math.log(mu + branching * beta * echo)
        total -= branching * (1 - math.exp(-beta * (end - time)))
    return total


def slopes(value: Callable[[list[float]], float], at: Sequence[float]) -> Iterator[float]:
    """Numerical derivatives along each argument."""
    for k, one in enumerate(at):
        step = 1e-5 * max(abs(one), 1e-2)
        moved = [
            value([*at[:k], one + sign * times * step, *at[k + 1 :]])
            for sign, times in ((1, 1), (-1, 1), (1, 2), (-1, 2))
        ]
        yield (8 * (moved[0] - moved[1]) - (moved[2] - moved[3])) / (12 * step)
