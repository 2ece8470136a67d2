"""The picture of one distribution: histograms, distribution functions, their difference, Q-Q."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lobproof.fidelity.exact.report import student_95
from lobproof.fidelity.inference.equivalence import difference
from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.catalogue import Kind, Metric
from lobproof.fidelity.metrics.metric_kernels import MIX_LEVELS, MIX_TRADES
from lobproof.pages.fidelity.seen import Histograms
from lobproof.pages.figures.style import (
    WIDTH,
    Figure,
    Key,
    colour,
    drawing,
    finished,
    number_axis,
    plain,
    plot,
    unit,
)
from lobproof.schema import Int64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

OURS, GOLDEN = "ask", "sky"
"""Colours of the two sides, in all pictures."""
KEYS = (Key("line", OURS, "ours"), Key("box", GOLDEN, "golden sample"))
_HEIGHT = 262
_TOP, _PLOT = 36, 178
_BARS, _POINTS = 44, 140
_TAIL = 0.0005
"""The axis shows all but so large a share of the values at either end."""
_WIDE = 30
"""A largest value of so many medians is shown on a logarithmic axis."""
_PROBABILITIES = np.unique(
    np.concatenate([[0.001, 0.002, 0.005, 0.995, 0.998, 0.999], np.linspace(0.01, 0.99, 50)])
)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where values are drawn: ``first`` to ``last`` of the bins, linearly or by logarithms.

    ``edges``: places of the edges of these bins, one more than they are.
    """

    metric: Metric
    first: int
    last: int
    is_log: bool
    edges: Float64

    @classmethod
    def of(cls, metric: Metric, total: Int64) -> _Scale:
        passed = np.cumsum(total) / total.sum()
        first = int(np.searchsorted(passed, _TAIL))
        last = max(int(np.searchsorted(passed, 1 - _TAIL)), first)
        low, high = metric.edges()
        middle = low[int(np.searchsorted(passed, 0.5))]
        top = low[last]
        is_log = not metric.signed and top > _WIDE * max(middle, 1.0)
        edges = np.append(low[first : last + 1] - 0.5, high[last] + 0.5)
        if not np.isfinite(edges[0]):
            edges[0] = edges[1] - 1.0
        if not np.isfinite(edges[-1]):
            edges[-1] = edges[-2] * 2.0
        if is_log and first == 0:  # what is negative has no logarithm: it lies below 0
            edges[0] = -1.5
        return cls(metric, first, last, is_log, _placed(edges, is_log) * metric.scale)

    def place(self, values: Float64) -> Float64:
        """Where values in whole numbers are drawn."""
        return _placed(values, self.is_log) * self.metric.scale

    def between(self, many: int) -> Int64:
        """Which edges to draw, at most so many and evenly spaced; ends are among them."""
        even = np.geomspace if self.is_log else np.linspace
        wanted = even(self.edges[0], self.edges[-1], many + 1)
        at = np.searchsorted(self.edges, wanted * (1 - 1e-12 * np.sign(wanted)))
        return np.unique(np.clip(np.append(at, [0, len(self.edges) - 1]), 0, len(self.edges) - 1))

    def apply(self, axes: Axes) -> None:
        """Make the horizontal axis of this scale."""
        if self.is_log:
            axes.set_xscale("log")
        axes.set_xlim(self.edges[0], self.edges[-1])
        ticks(axes.xaxis, self)


def ticks(axis: Any, scale: _Scale) -> None:
    """Round numbers on an axis of this scale; 0 where a logarithmic one has it."""
    if not scale.is_log:
        number_axis(axis, 5)
        return
    zero = 0.5 * scale.metric.scale
    low, high = np.log10([max(scale.edges[0], zero * 2), scale.edges[-1]])
    every = max(1, int(np.ceil((high - low) / 5)))
    places = [10.0**power for power in range(int(np.ceil(low)), int(np.floor(high)) + 1, every)]
    names = [plain(place) for place in places]
    if scale.edges[0] < zero < scale.edges[-1]:
        places, names = [zero, *places], ["0", *names]
    axis.set_ticks(places, labels=names)
    axis.set_ticks([], minor=True)


def _placed(values: Float64, is_log: bool) -> Float64:
    if not is_log:
        return values
    return np.where(
        values < -1,
        0.3,
        np.where(values < 0, 0.38, np.where(values < 1, 0.5 + 0.4 * values, values)),
    )


def distribution(one: Histograms, title: str, caption: str, margin: float | None) -> Figure:
    """Both distributions of a metric.

    Parameters
    ----------
    margin
        Of the difference, which has an interval then; None of different times, where there is none
        to be had.
    """
    name = one.metric.name.replace(".", "_")
    canvas = drawing(_HEIGHT)
    if one.metric.kind is Kind.CATEGORY:
        _mix(canvas, one)
    else:
        totals = one.totals
        scale = _Scale.of(one.metric, totals[0] + totals[1])
        _histograms(canvas, scale, totals)
        _functions(canvas, scale, totals)
        _difference(canvas, scale, one, margin)
        _quantiles(canvas, scale, totals)
    keys = [*KEYS]
    if margin is not None and one.metric.kind is not Kind.CATEGORY:
        keys += [Key("box", "void", "95 % interval"), Key("dash", "doubt", "margin")]
    return Figure(
        name,
        title,
        caption,
        f"{one.metric.title}: distributions of both sides and their difference",
        finished(canvas, name),
        height=_HEIGHT,
        keys=keys,
    )


def _histograms(canvas: Drawing, scale: _Scale, totals: tuple[Int64, Int64]) -> None:
    axes = plot(canvas, _TOP, _PLOT, left=56, right=WIDTH - 56 - 300)
    at = scale.between(_BARS)
    edges = scale.edges[at]
    widths = np.diff(np.log(edges) if scale.is_log else edges)
    typical = float(np.median(widths))
    heights = []
    for total in totals:
        inside = total[scale.first : scale.last + 1].astype(np.float64)
        bars = np.add.reduceat(inside, at[:-1])
        heights.append(100 * bars / max(int(total.sum()), 1) * typical / widths)
    axes.stairs(heights[1], edges, fill=True, color=colour(GOLDEN), linewidth=0)
    axes.stairs(heights[0], edges, baseline=None, color=colour(OURS), linewidth=1.5)
    axes.set_ylim(0, max(float(max(one.max() for one in heights)) * 1.08, 1e-9))
    number_axis(axes.yaxis, 4)
    scale.apply(axes)
    unit(axes, "% of values in each bar")
    below(axes, _unit_of(scale))


def _functions(canvas: Drawing, scale: _Scale, totals: tuple[Int64, Int64]) -> None:
    axes = plot(canvas, _TOP, 84, left=426, right=WIDTH - 426 - 330)
    at = scale.between(_POINTS)
    for total, paint, width in ((totals[1], GOLDEN, 3.2), (totals[0], OURS, 1.3)):
        passed = np.append(0, np.cumsum(total)) / max(int(total.sum()), 1)
        _steps(axes, scale, at, passed[scale.first :][at], paint, width)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.5, 1])
    scale.apply(axes)
    axes.tick_params(labelbottom=False)
    unit(axes, "share of values at or below")


def _difference(canvas: Drawing, scale: _Scale, one: Histograms, margin: float | None) -> None:
    axes = plot(canvas, _TOP + 84 + 34, _PLOT - 84 - 34, left=426, right=WIDTH - 426 - 330)
    r, g = one.counts
    passed = [np.append(0, np.cumsum(total)) / max(int(total.sum()), 1) for total in one.totals]
    delta, reach = passed[0] - passed[1], np.zeros(len(passed[0]))
    if margin is not None and len(r) > 1 and r.any() and g.any():
        _, error = difference(r, g)
        reach[1:-1] = student_95(len(r) - 1) * error
    # what is largest is drawn, however few edges are
    at = np.union1d(
        scale.between(_POINTS),
        np.clip(_largest(delta, reach) - scale.first, 0, len(scale.edges) - 1),
    )
    y, band = (100 * values[scale.first :][at] for values in (delta, reach))
    x = scale.edges[at]
    if reach.any():
        axes.fill_between(x, y - band, y + band, color=colour("void"), linewidth=0, zorder=1)
    axes.axhline(0, color=colour("frame"), linewidth=1)
    _steps(axes, scale, at, y, OURS, 1.4)
    top = 1.15 * float((np.abs(y) + band).max())
    if margin is not None:
        for side in (-1, 1):
            axes.axhline(side * 100 * margin, color=colour("doubt"), linewidth=1, linestyle="--")
        top = max(top, 150 * margin)
    top = max(top, 0.01)
    axes.set_ylim(-top, top)
    number_axis(axes.yaxis, 3)
    scale.apply(axes)
    unit(axes, "difference, ours − golden, %")
    below(axes, _unit_of(scale))


def _largest(delta: Float64, reach: Float64) -> Int64:
    return np.array([int(np.argmax(np.abs(delta) + reach))])


def _quantiles(canvas: Drawing, scale: _Scale, totals: tuple[Int64, Int64]) -> None:
    axes = plot(canvas, _TOP, _PLOT, left=836, right=WIDTH - 836 - 240)
    axes.grid(axis="x", color=colour("grid"), linewidth=1)
    ours, golden = (scale.place(quantiles(scale.metric, total)) for total in totals)
    low, high = scale.edges[0], scale.edges[-1]
    axes.plot([low, high], [low, high], color=colour("frame"), linewidth=1.2)
    axes.plot(golden, ours, color=colour(OURS), linestyle="none", marker="o", markersize=3.4)
    scale.apply(axes)
    if scale.is_log:
        axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks(axes.yaxis, scale)
    unit(axes, "quantiles: ours (up), golden (right)")
    below(axes, _unit_of(scale))


def quantiles(metric: Metric, total: Int64, at: Float64 = _PROBABILITIES) -> Float64:
    """Quantiles of a histogram, in whole numbers; within a bin values are spread evenly."""
    low, high = metric.edges()
    passed = np.cumsum(total).astype(np.float64)
    wanted = at * passed[-1]
    place = np.searchsorted(passed, wanted)
    start, width = low[place], high[place] - low[place]
    start = np.where(np.isfinite(start), start, high[place])
    inside = (wanted - (passed[place] - total[place])) / np.maximum(total[place], 1)
    return start + np.where(np.isfinite(width), width, 0.0) * inside


def _mix(canvas: Drawing, one: Histograms) -> None:
    """Shares of categories, and by how much they differ."""
    totals = [total[1 : MIX_TRADES + 3].astype(np.float64) for total in one.totals]
    ours, golden = (100 * total / max(total.sum(), 1) for total in totals)
    names = _mix_names()
    place = np.arange(len(names))
    axes = plot(canvas, _TOP, 150, left=56, right=WIDTH - 56 - 620)
    axes.bar(place, golden, width=0.8, color=colour(GOLDEN))
    for at, share in zip(place, ours, strict=True):
        axes.plot([at - 0.4, at + 0.4], [share, share], color=colour(OURS), linewidth=2)
    beside = plot(canvas, _TOP, 150, left=740, right=20)
    beside.bar(place, ours - golden, width=0.8, color=colour(OURS))
    beside.axhline(0, color=colour("frame"), linewidth=1)
    top = max(float(np.abs(ours - golden).max()) * 1.2, 0.01)
    beside.set_ylim(-top, top)
    for part, words in (
        (axes, "% of changes and trades"),
        (beside, "difference, ours − golden, %"),
    ):
        part.set_xticks(place)
        part.set_xticklabels(names, rotation=90, fontsize=9)
        part.tick_params(axis="x", pad=3)
        number_axis(part.yaxis, 4)
        unit(part, words)


def _mix_names() -> list[str]:
    """A name for each category of the mix of events."""
    ranges, last = [], 0
    for level in MIX_LEVELS:
        ranges.append(f"{level}" if level == last + 1 else f"{last + 1}–{level}")
        last = level
    ranges[-1] = f"{MIX_LEVELS[-2] + 1}+"
    named = [
        f"{side} {sign}{span}" for side in ("bid", "ask") for sign in ("+", "−") for span in ranges
    ]
    return [*named, "buy", "sell"]


def _steps(axes: Axes, scale: _Scale, at: Int64, y: Float64, paint: str, width: float) -> None:
    few = len(scale.edges) <= _BARS
    axes.plot(
        scale.edges[at],
        y,
        color=colour(paint),
        linewidth=width,
        drawstyle="steps-post" if few else "default",
    )


def _unit_of(scale: _Scale) -> str:
    return f"{scale.metric.unit}{' (log scale)' if scale.is_log else ''}".strip()


def below(axes: Axes, text: str) -> None:
    """Say below the axes what the horizontal one counts."""
    axes.annotate(
        text,
        (1, 0),
        (0, -36),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=12,
        color=colour("muted"),
        ha="right",
        annotation_clip=False,
        parse_math=False,
    )
