"""Stylised facts: what the literature says all markets show, of each side by itself.

They are reported and decide nothing: a store that is its golden sample shows what that shows. Each
fact is a number with a 95 % bound to either side, from blocks as long as the memory of that side
asks for, and a range. It holds where both bounds are inside the range, and fails where one is
beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from lobproof.fidelity.exact.report import student_95
from lobproof.fidelity.gates.compared import number
from lobproof.fidelity.gates.settings import STANDARD, Settings
from lobproof.fidelity.gates.sides import Grouping, grouping
from lobproof.fidelity.gates.windows import beside
from lobproof.fidelity.inference.bootstrap import block_bootstrap
from lobproof.fidelity.inference.dependence import MIN_BLOCKS
from lobproof.fidelity.inference.equivalence import jackknife_error, whole_and_parts
from lobproof.fidelity.metrics.blocks import Blocks, Float64
from lobproof.fidelity.metrics.distributions import DISTRIBUTIONS
from lobproof.fidelity.metrics.garch import MOST_ZEROS
from lobproof.fidelity.metrics.grid import Grid
from lobproof.fidelity.metrics.metric_kernels import MID2, PART
from lobproof.fidelity.metrics.pairs import LAGS
from lobproof.fidelity.metrics.returns import TAIL_SHARES, hill
from lobproof.fidelity.metrics.series import ADDITIVE
from lobproof.schema import Int64

_FIRST, _LAST = 11, 50
"""Lags beyond the first, of 1 s: those of one order book message after the other have died away."""
_FAR = (LAGS[1:] >= _FIRST) & (LAGS[1:] <= _LAST)
_NONE = 0.05
"""An autocorrelation as small as that is none: it explains a quarter of a per cent."""
_MOST_TIES, _LEAST_MOVES = 0.1, 10
"""Where more of a tail lies at its threshold, or that is fewer moves of the mid, ticks make it."""
_DISTRIBUTIONS = {one.metric.name: one for one in DISTRIBUTIONS}
_STATISTICS = {one.name: one for one in ADDITIVE}


class Shows(StrEnum):
    """Whether a fact is shown."""

    HOLDS = "holds"
    FAILS = "fails"
    CANNOT_SAY = "cannot say"


@dataclass(frozen=True, slots=True)
class Fact:
    """A stylised fact: it holds of numbers from ``least`` to ``most``; ``source``: who found it."""

    name: str
    title: str
    formula: str
    source: str
    least: float = -math.inf
    most: float = math.inf

    @property
    def rule(self) -> str:
        """When it holds, in words."""
        if math.isinf(self.most):
            return f"above {self.least:g}"
        return (
            f"below {self.most:g}" if math.isinf(self.least) else f"{self.least:g} to {self.most:g}"
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """A fact on one side.

    ``lower``, ``upper``: bounds, each with 95 % confidence; NaN where there are none. ``blocks``:
    how many there are, of ``block_ns``; `MIN_BLOCKS` are needed. ``doubt``: why nothing can be
    said, whatever the bounds. ``note``: what to beware of.
    """

    shows: Shows
    value: float
    lower: float
    upper: float
    blocks: int
    block_ns: int
    doubt: str
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **{key: number(value) for key, value in asdict(self).items()},
            "blocks_needed": MIN_BLOCKS,
        }


@dataclass(frozen=True, slots=True)
class StylisedFact:
    """A fact of ours and of the golden sample."""

    fact: Fact
    ours: Shown
    golden: Shown

    @property
    def remark(self) -> str:
        """What the two say together, and why one of them cannot say, in words."""
        said = []
        if self.golden.shows is Shows.FAILS:
            either = " either" if self.ours.shows is Shows.FAILS else ""
            said.append(f"the market of this sample does not show it{either}")
        elif (self.ours.shows, self.golden.shows) == (Shows.FAILS, Shows.HOLDS):
            said.append("the market of this sample shows it")
        for name in ("doubt", "note"):
            ours, golden = getattr(self.ours, name), getattr(self.golden, name)
            if ours == golden:
                said.append(ours)
            else:
                said += [f"ours: {ours}" if ours else "", f"sample: {golden}" if golden else ""]
        return "; ".join(filter(None, said))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **{key: number(value) for key, value in asdict(self.fact).items()},
            "rule": self.fact.rule,
            "ours": self.ours.to_dict(),
            "golden": self.golden.to_dict(),
            "remark": self.remark,
        }


def stylised_facts(
    ours: Blocks, golden: Blocks, settings: Settings = STANDARD, *, is_paired: bool
) -> tuple[StylisedFact, ...]:
    """The stylised facts of both sides.

    Parameters
    ----------
    settings
        Its seed draws the blocks of the bootstrap.
    is_paired
        Whether the two are of the same time: then only what both have whole is looked at.

    Raises
    ------
    UsageError
        If ``is_paired`` and the two are of different scales.
    """
    both = [_Side(side, settings.seed) for side in beside(ours, golden, is_paired=is_paired)]
    return tuple(StylisedFact(fact, *(shown(side, fact) for side in both)) for fact, shown in FACTS)


class _Side:
    """One side's series, and blocks as long as its memory asks for."""

    def __init__(self, blocks: Blocks, seed: int) -> None:
        self.blocks, self.seed = blocks, seed
        self.grouping = cache(self._grouping)

    @cached_property
    def grid(self) -> Grid:
        return Grid(self.blocks)

    def _grouping(self, name: str) -> Grouping:
        """By the memory of a metric of the series."""
        if not len(self.blocks):
            nothing = np.zeros(0, np.int64)
            return Grouping(nothing, 0, 0, math.nan, "there is no whole block", (0, 0))
        one = _DISTRIBUTIONS[name]
        counts = one.counts(self.grid)[:, : one.metric.bins].astype(np.int64)
        n = int(counts.sum())
        return grouping(counts, self.blocks.start, self.blocks.scale.block_ns, (n, n))

    @cached_property
    def move(self) -> float:
        """The least move of the mid, half a tick of the price, as a return; 0 of no mid."""
        mids = self.grid.column(MID2)[self.grid.known()]
        return PART * self.grid.tick / float(np.median(mids)) if len(mids) else 0.0

    def returns(self, group: Grouping) -> tuple[Int64, Int64]:
        """Known returns of 1 s in longer blocks, and in which one each is."""
        if not group.blocks:
            return group.groups[:0], group.groups[:0]
        steps = self.grid.steps(1.0)
        at = group.groups[steps.block]
        inside = steps.known & (at >= 0)
        return self.grid.returns(steps)[inside], at[inside]

    def longest(self, *names: str) -> Grouping:
        """The longest blocks that one of the metrics asks for."""
        return max(map(self.grouping, names), key=lambda one: one.block_ns)


def _shown(
    fact: Fact, group: Grouping, value: float, lower: float, upper: float, doubt: str
) -> Shown:
    shows = Shows.CANNOT_SAY
    if not doubt:
        if fact.least < lower and upper < fact.most:
            shows = Shows.HOLDS
        elif upper <= fact.least or lower >= fact.most:
            shows = Shows.FAILS
    return Shown(shows, value, lower, upper, group.blocks, group.block_ns, doubt)


def _nothing(fact: Fact, group: Grouping, doubt: str = "") -> Shown:
    return _shown(fact, group, math.nan, math.nan, math.nan, doubt or group.doubt)


def _same(value: Float64) -> Float64:
    return value


def _of_sums(
    statistics: Sequence[str],
    follows: Sequence[str],
    made: Callable[..., Float64],
    side: _Side,
    fact: Fact,
) -> Shown:
    """What is ``made`` of the values of additive statistics, by blocks drawn anew."""
    group = side.longest(*follows)
    if group.blocks < 2:
        return _nothing(fact, group)
    found = [_STATISTICS[name] for name in statistics]
    parts = [(one, group.of(one.sums(side.grid))) for one in found]
    flat = [sums.reshape(group.blocks, -1) for _, sums in parts]
    ends = np.cumsum([columns.shape[1] for columns in flat])[:-1]

    def figure(rows: Float64) -> Float64:
        columns = np.split(rows, ends, axis=1)
        values = (
            one.value(of.reshape(-1, *sums.shape[1:]))
            for (one, sums), of in zip(parts, columns, strict=True)
        )
        return np.asarray(made(*values)).reshape(-1, 1)

    drawn = block_bootstrap(np.hstack(flat), figure, seed=side.seed, doubt=group.doubt)
    return _shown(fact, group, drawn.estimate, drawn.lower, drawn.upper, drawn.doubt)


def _kurtosis(side: _Side, fact: Fact) -> Shown:
    """A mid that mostly stands still has a large one, whatever its moves are like: that is said."""
    found = _of_sums(("return_1s_kurtosis",), _RETURN, _same, side, fact)
    returns, _ = side.returns(side.grouping("return_1s"))
    zeros = float(np.mean(returns == 0)) if len(returns) else 0.0
    note = f"{100 * zeros:.0f} % of the returns are 0, which alone makes it large"
    return replace(found, note=note) if zeros >= MOST_ZEROS else found


def _tail(share: float, side: _Side, fact: Fact) -> Shown:
    """Hill's exponent, by a jackknife of its logarithm over 40 to 79 stretches."""
    group = side.grouping("return_1s").few()
    if group.blocks < 2:
        return _nothing(fact, group)
    returns, stretch = side.returns(group)
    whole = hill(returns, share)
    parts = [hill(returns[stretch != left], share).survival for left in range(group.blocks)]
    if not np.isfinite([whole.survival, *parts]).all():
        return _nothing(fact, group, "too few returns in the tail, or most of them are 0")
    reach = _reach(np.log(parts))
    tied = float(
        np.mean(np.sort(np.abs(returns))[-whole.used :] <= whole.threshold + side.move / 2)
    )
    is_coarse = tied > _MOST_TIES or whole.threshold < _LEAST_MOVES * side.move
    ticks = (
        f"the tail begins at {whole.threshold / side.move:.3g} of the mid's least moves, with "
        f"{100 * tied:.0f} % of it there: ticks make it"
    )
    return _shown(
        fact,
        group,
        whole.survival,
        float(whole.survival * np.exp(-reach)),
        float(whole.survival * np.exp(reach)),
        group.doubt or (ticks if is_coarse else ""),
    )


def _largest(side: _Side, fact: Fact) -> Shown:
    """The largest autocorrelation of far returns, whatever its sign; bounds of all at once."""
    group = side.grouping("return_1s")
    if group.blocks < 2:
        return _nothing(fact, group)
    one = _STATISTICS["acf_return"]
    with np.errstate(all="ignore"):
        found = one.value(whole_and_parts(group.of(one.sums(side.grid))))[:, _FAR]
    if not np.isfinite(found).all():
        return _nothing(fact, group, "a lag has no pair of returns")
    sizes, reach = np.abs(found[0]), _reach(found[1:])
    lower, upper = float((sizes - reach).max()), float((sizes + reach).max())
    return _shown(fact, group, float(sizes.max()), max(lower, 0.0), upper, group.doubt)


def _reach(parts: Float64) -> Float64:
    """From a value to its 95 % bounds, of what it is without each block."""
    return student_95(len(parts) - 1) * jackknife_error(parts)


def _far_mean(lags: Float64) -> Float64:
    """Mean autocorrelation over the far lags."""
    return np.asarray(lags[..., _FAR].mean(axis=-1), np.float64)


def _flatter(far: Float64, near: Float64) -> Float64:
    """By how much one kurtosis is below another, as a logarithm."""
    return np.asarray(np.log(far / near), np.float64)


_FAR_LAGS = f"1 s, k = {_FIRST} to {_LAST}"
_RETURN = ("return_1s",)
_CONT = "Cont 2001"
_POWER = "1 / mean of log(x_(i) / x_(k+1)), 1 s", "Hill 1975; Cont 2001", 2.0, 5.0
_SIGNS = f"mean rho_k of the sign of net trading, {_FAR_LAGS}", "Lillo, Farmer 2004", 0.0
_VOLUME = "correlation of volume and |r|, 10 s", "Karpoff 1987; Cont 2001", 0.0
_LOSSES = "log(sum r^2 1{r>0} / sum r^2 1{r<0}), 60 s", _CONT
FACTS: tuple[tuple[Fact, Callable[[_Side, Fact], Shown]], ...] = (
    (Fact("heavy_tails", "Heavy tails: kurtosis", "m_4 / m_2^2, 1 s", _CONT, 3.0), _kurtosis),
    *(
        (
            Fact(f"tail_{100 * share:g}pc", f"Power tail: {100 * share:g} %", *_POWER),
            partial(_tail, share),
        )
        for share in TAIL_SHARES
    ),
    (
        Fact(
            "no_autocorrelation",
            "Returns do not echo",
            f"largest |rho_k| of r, {_FAR_LAGS}",
            _CONT,
            most=_NONE,
        ),
        _largest,
    ),
    (
        Fact(
            "volatility_clustering",
            "Volatility clusters",
            f"mean rho_k of |r|, {_FAR_LAGS}",
            _CONT,
            0.0,
        ),
        partial(_of_sums, ("acf_absolute_return",), _RETURN, _far_mean),
    ),
    (
        Fact("sign_memory", "Trade signs persist", *_SIGNS),
        partial(_of_sums, ("acf_trade_sign",), ("trades_1s",), _far_mean),
    ),
    (
        Fact("volume_volatility", "Volume and volatility", *_VOLUME),
        partial(_of_sums, ("volume_volatility",), ("return_10s", "trades_10s"), _same),
    ),
    (
        Fact(
            "aggregational_gaussianity",
            "Longer is more normal",
            "log(kurtosis at 60 s / kurtosis at 1 s)",
            _CONT,
            most=0.0,
        ),
        partial(
            _of_sums,
            ("return_60s_kurtosis", "return_1s_kurtosis"),
            (*_RETURN, "return_60s"),
            _flatter,
        ),
    ),
    (
        Fact("gain_loss_asymmetry", "Losses are rougher", *_LOSSES, most=0.0),
        partial(_of_sums, ("return_60s_gain_loss",), ("return_60s",), _same),
    ),
)
"""Every fact, and what shows it on a side."""
