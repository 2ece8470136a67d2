"""Gate C of what follows from the series: autocorrelations, slopes, volatility, tails, models.

All are held against each other by a jackknife over blocks that are as long as the memory of the
metric asks for that they are made of. What adds up over blocks takes each of them; tails and
GARCH, which need all values at once, leave out one of 40 to 79 stretches at a time; a Hawkes
process is fitted to each of these by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.compared import Compared, Estimate, Named, why_open
from lobproof.fidelity.gates.settings import Settings
from lobproof.fidelity.gates.sides import Grouping, Sides
from lobproof.fidelity.inference.dependence import too_few
from lobproof.fidelity.inference.equivalence import (
    Equivalence,
    jackknifed,
    jackknifed_largest,
    overall,
    whole_and_parts,
)
from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.catalogue import Family
from lobproof.fidelity.metrics.flow import FLOW_COLUMNS, FLOW_S
from lobproof.fidelity.metrics.garch import FEWEST, Garch, fit_garch, garch_step
from lobproof.fidelity.metrics.grid import Bool, Grid
from lobproof.fidelity.metrics.hawkes import Hawkes, fit_hawkes
from lobproof.fidelity.metrics.metric_kernels import PART
from lobproof.fidelity.metrics.pairs import LAGS
from lobproof.fidelity.metrics.returns import TAIL_SHARES, hill
from lobproof.fidelity.metrics.series import ADDITIVE
from lobproof.schema import Int64

LEAST_BLOCKS = 2
"""A jackknife needs so many blocks."""


class _As(Enum):
    """What of a statistic is compared."""

    DIFFERENCE = "difference"
    RATIO = "log ratio"
    LAGS = "largest difference"


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a statistic of `ADDITIVE` is compared, and which metric's memory its blocks follow."""

    how: _As
    of: str


RULES = {
    "acf_return": _Rule(_As.LAGS, "return_1s"),
    "acf_squared_return": _Rule(_As.LAGS, "return_1s"),
    "acf_absolute_return": _Rule(_As.LAGS, "return_1s"),
    "acf_trade_sign": _Rule(_As.LAGS, "trades_1s"),
    "acf_trade_imbalance": _Rule(_As.LAGS, "trades_1s"),
    "log_volatility": _Rule(_As.DIFFERENCE, "return_1s"),
    **{
        f"ofi_{levels}_{seconds:g}s_{what}": _Rule(how, f"ofi_{levels}_{seconds:g}s")
        for levels in FLOW_COLUMNS
        for seconds in FLOW_S
        for what, how in (("beta", _As.RATIO), ("r2", _As.DIFFERENCE))
    },
    **{f"kyle_{seconds:g}s": _Rule(_As.RATIO, f"ofi_1_{seconds:g}s") for seconds in FLOW_S},
    **{
        f"{name}_{seconds}s_fano": _Rule(_As.RATIO, f"{name}_{seconds}s")
        for name in ("trades", "messages")
        for seconds in (1, 10)
    },
}


TAILS = tuple(
    Estimate(
        f"hill_{100 * share:g}pc",
        f"Tail exponent of returns of 1 s, largest {100 * share:g} %",
        Family.RETURNS,
        "",
        "1 / mean of log(x_(i) / x_(k+1))",
    )
    for share in TAIL_SHARES
)
GARCH = Estimate(
    "garch", "GARCH(1,1) with Student's t", Family.RETURNS, "", "v = omega + alpha e^2 + beta v"
)

HAWKES = Estimate(
    "hawkes",
    "Branching ratio of trades",
    Family.FLOW,
    "",
    "n of mu + sum of n b exp(-b (t - t_i))",
)


def compare_series(
    sides: Sides, settings: Settings, left_out: Mapping[str, str]
) -> Iterator[Compared]:
    """Hold what follows from the series against that of the golden sample.

    The metrics of the series have to be compared before: their memory gives the blocks. What
    follows from one that is ``left_out`` is so too.
    """
    made: dict[object, list[Float64]] = {}
    for one in ADDITIVE:
        rule = RULES.get(one.name)
        if rule is None:
            continue
        if rule.of in left_out:
            none = Grouping(np.zeros(0, np.int64), 0, 0, math.nan, "", (0, 0))
            yield _said(one, none, left_out[rule.of])
            continue
        group = sides.groupings[rule.of]
        if group.blocks < LEAST_BLOCKS:
            yield _open(one, group)
            continue
        if one.sums not in made:
            made[one.sums] = [one.sums(grid) for grid in sides.grids]
        with np.errstate(all="ignore"):  # what is not finite is said
            r, g = (
                one.value(whole_and_parts(group.of(sums))).reshape(group.blocks + 1, -1)
                for sums in made[one.sums]
            )
        yield _said(one, group, _held(rule.how, r, g, sides, group, settings))
    few = sides.groupings["return_1s"].few()
    if few.blocks < LEAST_BLOCKS:
        yield from (_open(one, few) for one in (*TAILS, GARCH))
        return
    for estimate, share in zip(TAILS, TAIL_SHARES, strict=True):
        yield _said(estimate, few, _tail(share, sides, few, settings))
    yield _said(GARCH, few, _garch(sides, few, settings))


Held = tuple[Equivalence, ...] | str
"""The figures of a statistic, or why it is not applicable."""


def _open(named: Named, group: Grouping, why: str = "") -> Compared:
    """What is said where there are no blocks to leave out one of, or why there are none."""
    return Compared(
        named,
        Verdict.INCONCLUSIVE,
        why or group.doubt or too_few(group.blocks),
        *group.n,
        group.blocks,
        group.block_ns,
        group.tau_ns,
        None,
        (),
    )


def _said(named: Named, group: Grouping, held: Held) -> Compared:
    figures = held if isinstance(held, tuple) else ()
    verdict = overall(one.verdict for one in figures) if figures else Verdict.NOT_APPLICABLE
    return Compared(
        named,
        verdict,
        why_open(verdict, figures) if isinstance(held, tuple) else held,
        *group.n,
        group.blocks,
        group.block_ns,
        group.tau_ns,
        None,
        figures,
    )


def _held(
    how: _As, r: Float64, g: Float64, sides: Sides, group: Grouping, settings: Settings
) -> Held:
    """A statistic, of the whole and without each block (blocks + 1, figures), of both sides."""
    margin, doubt = settings.margin, group.doubt
    if how is _As.RATIO:
        r, g = _log(r), _log(g)
    if how is _As.LAGS:
        near = LAGS[1:] * 1_000_000_000 <= settings.lag_share * sides.span_ns
        r, g = r[:, near], g[:, near]
    if not (np.isfinite(r[0]) | np.isfinite(g[0])).any():
        return "not above 0 on either side" if how is _As.RATIO else "not defined of either side"
    if how is _As.LAGS:
        return (jackknifed_largest(r, g, name=how.value, margin=margin, doubt=doubt),)
    return tuple(jackknifed(r, g, names=(how.value,), margin=margin, doubt=doubt))


def _log(values: Float64) -> Float64:
    """Logarithms; NaN where there is none."""
    with np.errstate(all="ignore"):
        return np.where(values > 0, np.log(values), math.nan)


def _tail(share: float, sides: Sides, few: Grouping, settings: Settings) -> Held:
    both = []
    for grid in sides.grids:
        returns, _, stretch = _returns(grid, 1.0, few)
        kept = [_without(stretch, left) for left in range(-1, few.blocks)]
        both.append(_log(np.array([[hill(returns[at], share).survival] for at in kept])))
    if not (np.isfinite(both[0][0]) | np.isfinite(both[1][0])).any():
        return "no tail on either side: too few returns, or most of them are 0"
    margin, doubt = settings.tail_margin, few.doubt
    return tuple(jackknifed(*both, names=("exponent",), margin=margin, doubt=doubt))


def _garch(sides: Sides, few: Grouping, settings: Settings) -> Held:
    seconds = garch_step(sides.grids[1])
    if seconds is None:
        return "a quarter of the golden sample's returns are 0 at every step, or more"
    both, doubt = [], few.doubt
    for grid in sides.grids:
        returns, begins, stretch = _returns(grid, seconds, few)
        model: Garch | None = None
        rows = []
        for left in range(-1, few.blocks):
            kept = _without(stretch, left)
            # where a stretch is left out the series begins anew
            anew = begins[kept] | (np.diff(np.flatnonzero(kept), prepend=-2) != 1)
            found = fit_garch(returns[kept] / PART, anew, start=model)
            if left < 0:
                model = found
                doubt = doubt or _model_doubt(found)
            rows.append([math.nan] * 3 if found is None else _parameters(found))
        both.append(_log(np.array(rows)))
    names = ("alpha", "beta", "alpha + beta")
    return tuple(jackknifed(*both, names=names, margin=settings.model_margin, doubt=doubt))


def compare_hawkes(times: tuple[Int64, Int64], sides: Sides, settings: Settings) -> Compared:
    """Hold the mean branching ratio of trades over stretches against that of the golden sample.

    A stretch that neither side can be fitted in has no part in it; one that a single side alone can
    be fitted in leaves the verdict open.

    Parameters
    ----------
    times
        Of all trades, ours and the golden sample's, ns in order.
    """
    few = sides.groupings["trades_1s"].few()
    if few.blocks < LEAST_BLOCKS:
        return _open(HAWKES, few)
    ratios = np.full((2, few.blocks), math.nan)
    for k in range(few.blocks):
        starts = sides.window.start[few.groups == k]
        start, stop = int(starts[0]), int(starts[-1]) + sides.block_ns
        if stop - start > few.block_ns:
            continue  # something is missing in between
        for side, of_side in enumerate(times):
            found = _fitted(of_side, start, stop)
            if found is not None and found.converged and not found.at_edge:
                ratios[side, k] = found.branching
    known = np.isfinite(ratios)
    if not known.any():
        return _said(HAWKES, few, "the process cannot be fitted in any stretch of either side")
    both = known.all(axis=0)
    many = int(both.sum())
    if many < LEAST_BLOCKS:
        return _open(HAWKES, few, f"both sides can be fitted in {many} of {few.blocks} stretches")
    alone = int((known.any(axis=0) & ~both).sum())
    one_sided = f"in {alone} of {few.blocks} stretches one side alone can be fitted"
    doubt = few.doubt or (one_sided if alone else too_few(many))
    r, g = (_log(whole_and_parts(side[both]) / _counted(many))[:, None] for side in ratios)
    margin = settings.model_margin
    figures = jackknifed(r, g, names=("branching",), margin=margin, doubt=doubt)
    return _said(HAWKES, few, tuple(figures))


def _counted(many: int) -> Float64:
    """How many values the whole has, and each part without one."""
    return np.array([many, *[many - 1] * many], np.float64)


def _fitted(times: Int64, start: int, stop: int) -> Hawkes | None:
    first, last = np.searchsorted(times, [start, stop])
    return fit_hawkes(times[first:last], start, stop)


def _parameters(model: Garch) -> list[float]:
    return [model.alpha, model.beta, model.persistence]


def _model_doubt(model: Garch | None) -> str:
    if model is None:
        return f"fewer than {FEWEST} returns: the model is not fitted"
    if not model.converged:
        return "the search for the parameters did not end at a maximum"
    return "a parameter is at its bound: the others mean little" if model.at_edge else ""


def _returns(grid: Grid, seconds: float, few: Grouping) -> tuple[Int64, Bool, Int64]:
    """Known returns, whether each begins a series, and the stretch that it belongs to."""
    steps = grid.steps(seconds)
    at = np.flatnonzero(steps.known)
    begins = (np.diff(at, prepend=-2) != 1) | (steps.first[at] == at)
    return grid.returns(steps)[at], begins, few.groups[steps.block[at]]


def _without(stretch: Int64, left: int) -> Bool:
    """Which values are kept where a stretch is left out; those of no stretch never are."""
    kept: Bool = (stretch >= 0) & (stretch != left)
    return kept
