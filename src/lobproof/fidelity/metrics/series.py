"""What follows from the grid of blocks: sums by block, what they mean, and full-sample estimates.

`ADDITIVE` lists what is worked out from sums that add up over blocks. Each has ``sums``, which
makes (blocks, ...) of a grid, and ``value``, which makes numbers of any total of them: so whoever
resamples blocks, or leaves one out, needs the grid once. Totals by `total` do not depend on the
order of blocks. `estimates` gives what needs all values at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.catalogue import Family
from lobproof.fidelity.metrics.distributions import COUNTS_S
from lobproof.fidelity.metrics.flow import (
    FLOW_COLUMNS,
    FLOW_S,
    fano,
    flow_impact,
    kyle,
    order_flow,
    roll,
    sign_of_flow,
    trade_imbalance,
    volume_volatility,
)
from lobproof.fidelity.metrics.garch import garch_of, garch_step
from lobproof.fidelity.metrics.grid import Grid, Steps
from lobproof.fidelity.metrics.groups import (
    HOURS,
    OCTAVES,
    Given,
    ask_given_spread,
    group_means,
    spread_given_hour,
    spread_given_volatility,
    volume_given_hour,
)
from lobproof.fidelity.metrics.metric_kernels import MESSAGES, RESPONSE_KINDS, TRADES
from lobproof.fidelity.metrics.pairs import (
    LAGS,
    autocorrelation,
    correlation,
    lag_sums,
    r_squared,
    slope,
)
from lobproof.fidelity.metrics.responses import (
    RESPONSES_S,
    depth_back,
    mean_move,
    resilience_sums,
    response_sums,
    spread_back,
)
from lobproof.fidelity.metrics.returns import (
    HORIZONS_S,
    TAIL_SHARES,
    gain_loss,
    hill,
    kurtosis,
    l_kurtosis,
    power_sums,
    side_sums,
    skewness,
    variance,
)
from lobproof.fidelity.metrics.volatility import (
    SIGNATURE_S,
    flatness,
    intermittency,
    log_realised,
    noise_variance,
    signature,
    signature_sums,
    two_scale,
)
from lobproof.schema import Int64

VOLUME_S = 10.0
"""Volume and the size of the return are taken over so many seconds."""


Sums = Callable[[Grid], Float64]


@dataclass(frozen=True, slots=True)
class Additive:
    """A statistic of sums by block.

    ``sums``: of a grid (blocks, ...). ``value``: of a total (..., and what ``sums`` adds), numbers
    with the same leading axes: one, or one for each lag, step or group; NaN where it is not
    defined. ``at``: where each of several numbers lies: its lag or step in seconds, its hour, or
    the least value of its group; so ``at`` and the value are a curve.
    """

    name: str
    title: str
    family: Family
    unit: str
    formula: str
    sums: Sums
    value: Callable[[Float64], Float64]
    at: tuple[float, ...] = ()


def total(sums: Float64) -> Float64:
    """Sums over blocks, rounded once: whatever their order, the total is the same."""
    flat = sums.reshape(len(sums), math.prod(sums.shape[1:]))
    added = [math.fsum(column) for column in flat.T.tolist()]
    return np.array(added, np.float64).reshape(sums.shape[1:])


def _additive() -> Iterator[Additive]:
    yield from _returns()
    yield from _flow()
    yield from _responses()
    yield from _groups()


def _returns() -> Iterator[Additive]:
    for seconds in HORIZONS_S:
        name, of = f"return_{seconds:g}s", f"log mid over {seconds:g} s"
        powers, sides = partial(_powers, seconds), partial(_sides, seconds)
        for what, value, formula in (
            ("variance", variance, "m_2"),
            ("kurtosis", kurtosis, "m_4 / m_2^2"),
            ("skewness", skewness, "m_3 / m_2^(3/2)"),
        ):
            yield Additive(
                f"{name}_{what}",
                f"{what.capitalize()} of returns of the {of}",
                Family.RETURNS,
                "1e-16" if value is variance else "",
                formula,
                powers,
                value,
            )
        yield Additive(
            f"{name}_gain_loss",
            f"Gains beside losses of the {of}",
            Family.RETURNS,
            "",
            "log(sum r^2 1{r>0} / sum r^2 1{r<0})",
            sides,
            gain_loss,
        )
    for name, title, made in (
        ("acf_return", "r", lambda r: r),
        ("acf_squared_return", "r^2", lambda r: r * r),
        ("acf_absolute_return", "|r|", np.abs),
    ):
        yield Additive(
            name,
            f"Autocorrelation of {title}, returns of 1 s",
            Family.RETURNS,
            "",
            "c_k / c_0, lags of `pairs.LAGS` but 0",
            partial(_return_lags, made),
            autocorrelation,
            _ACF_S,
        )
    for name, title, formula, value, at in (
        (
            "signature",
            "Realised variance per second by step",
            "sum r^2 / (n k)",
            signature,
            SIGNATURE_S,
        ),
        ("two_scale", "Variance per second without noise", "see `two_scale`", two_scale, ()),
        ("noise", "Variance of the noise of the mid", "see `noise_variance`", noise_variance, ()),
        (
            "log_volatility",
            "Log of realised volatility",
            "log(sum r^2 / (n k)) / 2",
            log_realised,
            (),
        ),
        ("flatness", "Flatness of returns by step", "E r^4 / (E r^2)^2", flatness, SIGNATURE_S),
        ("intermittency", "Intermittency of returns", "see `intermittency`", intermittency, ()),
    ):
        yield Additive(name, title, Family.RETURNS, "", formula, signature_sums, value, at)


def _flow() -> Iterator[Additive]:
    for levels in FLOW_COLUMNS:
        for seconds in FLOW_S:
            sums = partial(_flow_impact, levels, seconds)
            name, of = f"ofi_{levels}_{seconds:g}s", f"OFI of {levels} levels over {seconds:g} s"
            yield Additive(
                f"{name}_beta",
                f"Change of the mid for each lot of {of}",
                Family.FLOW,
                "ticks/lot",
                "slope of dM on OFI",
                sums,
                slope,
            )
            yield Additive(
                f"{name}_r2",
                f"Share of the mid's changes that {of} explains",
                Family.FLOW,
                "",
                "R^2 of dM on OFI",
                sums,
                r_squared,
            )
    for seconds in FLOW_S:
        yield Additive(
            f"kyle_{seconds:g}s",
            f"Kyle's lambda over {seconds:g} s",
            Family.FLOW,
            "ticks/lot",
            "slope of dM on signed volume",
            partial(_kyle, seconds),
            slope,
        )
    yield Additive(
        "roll",
        "Roll's measure of the spread",
        Family.FLOW,
        "ticks",
        "2 sqrt(-E dp_k dp_(k-1))",
        lambda grid: grid.tallies.astype(np.float64),
        roll,
    )
    for name, column in (("trades", TRADES), ("messages", MESSAGES)):
        for seconds in COUNTS_S:
            yield Additive(
                f"{name}_{seconds:g}s_fano",
                f"Fano factor of {name} in {seconds:g} s",
                Family.FLOW,
                "",
                "variance / mean",
                partial(_counts, column, seconds),
                fano,
            )
    for name, title, made in (
        ("acf_trade_sign", "Autocorrelation of the sign of net trading, 1 s", sign_of_flow),
        ("acf_trade_imbalance", "Autocorrelation of trade imbalance, 1 s", trade_imbalance),
        ("acf_order_flow", "Autocorrelation of order flow imbalance, 1 s", order_flow),
    ):
        yield Additive(
            name,
            title,
            Family.FLOW,
            "",
            "c_k / c_0, lags of `pairs.LAGS` but 0",
            partial(_flow_lags, made),
            autocorrelation,
            _ACF_S,
        )
    yield Additive(
        "volume_volatility",
        f"Correlation of volume and |r|, {VOLUME_S:g} s",
        Family.FLOW,
        "",
        "Pearson's",
        lambda grid: volume_volatility(grid, grid.steps(VOLUME_S)),
        correlation,
    )


def _responses() -> Iterator[Additive]:
    for kind in RESPONSE_KINDS:
        event, _, moved = kind.partition("_")
        what = {"market": "market orders", "limit": "limit orders", "cancel": "cancellations"}[
            event
        ]
        yield Additive(
            f"response_{kind}",
            f"Response of the mid to {what}{' that move it' if moved else ''}",
            Family.FLOW,
            "ticks",
            "mean of e (m(t + l) - m)",
            partial(response_sums, kind=kind),
            mean_move,
            RESPONSES_S,
        )
    for name, title, formula, value in (
        ("spread", "Spread behind large trades", "mean s(t + l) / mean s", spread_back),
        ("depth", "Size of the touch behind large trades", "mean q(t + l) / mean q", depth_back),
    ):
        yield Additive(
            f"resilience_{name}",
            title,
            Family.STATE,
            "",
            formula,
            resilience_sums,
            value,
            RESPONSES_S,
        )


_ACF_S = tuple(LAGS[1:].tolist())
_HOURS = tuple(float(hour) for hour in range(HOURS))
_OCTAVES = (0.0, *(2.0**k for k in range(OCTAVES - 1)))


def _groups() -> Iterator[Additive]:
    for name, title, unit, made, at in (
        (
            "ask_given_spread",
            "Mean size at the best ask by spread",
            "lots",
            ask_given_spread,
            _OCTAVES,
        ),
        ("spread_given_hour", "Mean spread by hour", "ticks", spread_given_hour, _HOURS),
        ("volume_given_hour", "Mean volume of 0.1 s by hour", "lots", volume_given_hour, _HOURS),
        (
            "spread_given_volatility",
            "Mean spread by volatility",
            "ticks",
            spread_given_volatility,
            _OCTAVES,
        ),
    ):
        yield Additive(
            name,
            title,
            Family.STATE,
            unit,
            "mean of each group",
            partial(_group_sums, made),
            group_means,
            at,
        )


def _group_sums(made: Callable[[Grid], Given], grid: Grid) -> Float64:
    return made(grid).sums()


def _powers(seconds: float, grid: Grid) -> Float64:
    steps = grid.steps(seconds)
    return power_sums(steps, grid.returns(steps))


def _sides(seconds: float, grid: Grid) -> Float64:
    steps = grid.steps(seconds)
    return side_sums(steps, grid.returns(steps))


def _return_lags(made: Callable[[Float64], Float64], grid: Grid) -> Float64:
    steps = grid.steps(1.0)
    return lag_sums(steps, made(grid.returns(steps).astype(np.float64)))


def _flow_lags(made: Callable[[Grid, Steps], Int64 | Float64], grid: Grid) -> Float64:
    steps = grid.steps(1.0)
    return lag_sums(steps, made(grid, steps))


def _flow_impact(levels: int, seconds: float, grid: Grid) -> Float64:
    return flow_impact(grid, grid.steps(seconds), levels)


def _kyle(seconds: float, grid: Grid) -> Float64:
    return kyle(grid, grid.steps(seconds))


def _counts(column: int, seconds: float, grid: Grid) -> Float64:
    steps = grid.steps(seconds)
    return power_sums(steps, grid.flow(steps, column))


ADDITIVE = tuple(_additive())
"""All of them."""


def sums_of(grid: Grid) -> dict[str, Float64]:
    """Sums of each of `ADDITIVE` by its name (blocks, ...); those that can share one array."""
    made: dict[Sums, Float64] = {}
    for one in ADDITIVE:
        if one.sums not in made:
            made[one.sums] = one.sums(grid)
    return {one.name: made[one.sums] for one in ADDITIVE}


def values_of(sums: dict[str, Float64]) -> dict[str, Float64]:
    """What all blocks together say, by the name of the statistic."""
    return {one.name: one.value(total(sums[one.name])) for one in ADDITIVE}


def estimates(grid: Grid) -> dict[str, float]:
    """What needs all values at once; NaN where it is not defined.

    L-kurtosis of the returns of each horizon; exponents of the survival of returns of 1 s at each
    of `TAIL_SHARES`; GARCH(1,1) at `garch_step`. Cost: a sort for each horizon, and a fit.

    Raises
    ------
    ModuleNotFoundError
        Without scipy, which the extra ``fidelity`` brings.
    """
    found: dict[str, float] = {}
    for seconds in HORIZONS_S:
        steps = grid.steps(seconds)
        found[f"return_{seconds:g}s_l_kurtosis"] = l_kurtosis(grid.returns(steps)[steps.known])
    steps = grid.steps(1.0)
    returns = grid.returns(steps)[steps.known]
    for share in TAIL_SHARES:
        tail = hill(returns, share)
        found[f"hill_{100 * share:g}pc"] = tail.survival
        found[f"hill_{100 * share:g}pc_density"] = tail.density
        found[f"hill_{100 * share:g}pc_ties"] = float(tail.ties)
    seconds_of_model = garch_step(grid)
    model = garch_of(grid, seconds_of_model) if seconds_of_model is not None else None
    found["garch_step"] = math.nan if seconds_of_model is None else seconds_of_model
    for name in ("omega", "alpha", "beta", "persistence", "nu", "returns", "converged", "at_edge"):
        found[f"garch_{name}"] = math.nan if model is None else float(getattr(model, name))
    return found
