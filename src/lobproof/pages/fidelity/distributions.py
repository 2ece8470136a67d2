"""The picture of one distribution: histograms, distribution functions, their difference, Q-Q."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lobproof.fidelity.exact.report import student_95
from lobproof.fidelity.inference.equivalence import difference
from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.catalogue import Kind, Metric
from lobproof.fidelity.metrics.metric_kernels import MIX_LEVELS, MIX_TRADES
from lobproof.pages.fidelity.seen import Histograms
from lobproof.pages.figures.panel import Panel, Scale
from lobproof.pages.figures.style import (
    Figure,
    Key,
    drawing,
    finished,
    plain,
)
from lobproof.schema import Int64

if TYPE_CHECKING:
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
class _Values:
    """Where values are drawn: ``first`` to ``last`` of the bins, linearly or by logarithms.

    ``edges``: places of the edges of these bins, one more than they are.
    """

    metric: Metric
    first: int
    last: int
    is_log: bool
    edges: Float64

    @classmethod
    def of(cls, metric: Metric, total: Int64) -> _Values:
        """All but the outermost values of a histogram."""
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

    @property
    def scale(self) -> Scale:
        """The axis."""
        return Scale(float(self.edges[0]), float(self.edges[-1]), self.is_log)

    def ticks(self) -> tuple[list[float], list[str]]:
        """Round numbers along it and their names; 0 where a logarithmic axis has it."""
        scale, zero = self.scale, 0.5 * self.metric.scale
        has_zero = self.is_log and scale.low < zero < scale.high
        if has_zero:
            scale = Scale(2 * zero, max(scale.high, 20 * zero), self.is_log)
        places = [place for place in scale.round_numbers(5) if place <= self.edges[-1]]
        names = [plain(place) for place in places]
        return ([zero, *places], ["0", *names]) if has_zero else (places, names)


def _placed(values: Float64, is_log: bool) -> Float64:
    if not is_log:
        return values
    near_0 = np.where(values < 0, 0.38, np.where(values < 1, 0.5 + 0.4 * values, values))
    return np.where(values < -1, 0.3, near_0)


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
        values = _Values.of(one.metric, totals[0] + totals[1])
        _histograms(canvas, values, totals)
        _functions(canvas, values, totals)
        _difference(canvas, values, one, margin)
        _quantiles(canvas, values, totals)
    keys = [*KEYS]
    if margin is not None and one.metric.kind is not Kind.CATEGORY:
        keys += [Key("box", "frame", "95 % bounds"), Key("dash", "doubt", "margin")]
    return Figure(
        name,
        title,
        caption,
        f"{one.metric.title}: distributions of both sides and their difference",
        finished(canvas, name),
        height=_HEIGHT,
        keys=keys,
    )


def _histograms(canvas: Drawing, values: _Values, totals: tuple[Int64, Int64]) -> None:
    at = values.between(_BARS)
    edges = values.edges[at]
    widths = np.diff(np.log(edges) if values.is_log else edges)
    weights = float(np.median(widths)) / widths
    if values.is_log:  # a bar of a single value shows its share, however wide it is
        weights[np.diff(at) == 1] = 1.0
    heights = []
    for total in totals:
        inside = total[values.first : values.last + 1].astype(np.float64)
        bars = np.add.reduceat(inside, at[:-1])
        heights.append(100 * bars / max(int(total.sum()), 1) * weights)
    y = _from_0(max(one.max() for one in heights))
    panel = Panel(canvas, (56, _TOP, 300, _PLOT), values.scale, y)
    panel.ticks_y(y.round_numbers(4))
    panel.bars(edges, heights[1], GOLDEN)
    panel.steps(edges, heights[0], OURS)
    panel.ticks_x(*values.ticks())
    panel.above("% of values in each bar")
    panel.below(_unit_of(values))


def _functions(canvas: Drawing, values: _Values, totals: tuple[Int64, Int64]) -> None:
    panel = Panel(canvas, (426, _TOP, 330, 84), values.scale, Scale(0, 1.02))
    panel.ticks_y([0, 0.5, 1])
    at = values.between(_POINTS)
    for total, paint, width in ((totals[1], GOLDEN, 3.2), (totals[0], OURS, 1.3)):
        passed = np.append(0, np.cumsum(total)) / max(int(total.sum()), 1)
        _curve(panel, values, at, passed[values.first :][at], paint, width)
    panel.ticks_x([])
    panel.above("share of values at or below")


def _difference(canvas: Drawing, values: _Values, one: Histograms, margin: float | None) -> None:
    r, g = one.counts
    passed = [np.append(0, np.cumsum(total)) / max(int(total.sum()), 1) for total in one.totals]
    delta, reach = passed[0] - passed[1], np.zeros(len(passed[0]))
    if margin is not None and one.is_judged:
        _, error = difference(r, g)
        reach[1:-1] = student_95(len(r) - 1) * error
    # what is largest is drawn, however few edges are
    largest = int(np.argmax(np.abs(delta) + reach)) - values.first
    at = np.union1d(values.between(_POINTS), np.clip(largest, 0, len(values.edges) - 1))
    y, band = (100 * part[values.first :][at] for part in (delta, reach))
    top = max(1.15 * float((np.abs(y) + band).max()), 150 * (margin or 0), 0.01)
    place = (426.0, _TOP + 84.0 + 34, 330.0, _PLOT - 84.0 - 34)
    panel = Panel(canvas, place, values.scale, Scale(-top, top))
    panel.ticks_y(panel.y.round_numbers(3))
    if reach.any():
        panel.fill(values.edges[at], y - band, y + band, "frame", 0.6)
    panel.across(0, "frame")
    _curve(panel, values, at, y, OURS, 1.4)
    if margin is not None:
        for side in (-100 * margin, 100 * margin):
            panel.across(side, "doubt", dashed=True)
    panel.ticks_x(*values.ticks())
    panel.above("difference, ours − golden, %")
    panel.below(_unit_of(values))


def _quantiles(canvas: Drawing, values: _Values, totals: tuple[Int64, Int64]) -> None:
    panel = Panel(canvas, (836, _TOP, 240, _PLOT), values.scale, values.scale)
    panel.ticks_y(*values.ticks())
    ours, golden = (values.place(quantiles(values.metric, total)) for total in totals)
    ends = [values.edges[0], values.edges[-1]]
    panel.line(ends, ends, "frame", 1.2)
    panel.line(golden, ours, OURS, dots=3.4, joined=False)
    panel.ticks_x(*values.ticks())
    panel.above("quantiles: ours (up), golden (right)")
    panel.below(_unit_of(values))


def quantiles(metric: Metric, total: Int64, at: Float64 = _PROBABILITIES) -> Float64:
    """Quantiles of a histogram, in whole numbers; within a bin values are spread evenly."""
    low, high = metric.edges()
    passed = np.cumsum(total).astype(np.float64)
    wanted = at * passed[-1]
    place = np.searchsorted(passed, wanted)
    start, width = low[place], high[place] - low[place]
    start = np.where(np.isfinite(start), start, high[place])
    inside = (wanted - (passed[place] - total[place])) / np.maximum(total[place], 1)
    found: Float64 = start + np.where(np.isfinite(width), width, 0.0) * inside
    return found


def _mix(canvas: Drawing, one: Histograms) -> None:
    """Shares of categories, and by how much they differ."""
    totals = [total[1 : MIX_TRADES + 3].astype(np.float64) for total in one.totals]
    ours, golden = (100 * total / max(total.sum(), 1) for total in totals)
    names = _mix_names()
    edges = np.arange(len(names) + 1) - 0.5
    middle, along = edges[:-1] + 0.5, Scale(-0.5, len(names) - 0.5)
    gone = float(np.abs(ours - golden).max())
    panel = Panel(
        canvas, (56, _TOP, 620, _PLOT - 20), along, _from_0(max(ours.max(), golden.max()))
    )
    panel.ticks_y(panel.y.round_numbers(4))
    panel.bars(edges, golden, GOLDEN)
    panel.steps(edges, ours, OURS)
    panel.above("% of changes and trades; + added, − removed, at which levels")
    top = max(gone * 1.2, 0.01)
    beside = Panel(canvas, (740, _TOP, 350, _PLOT - 20), along, Scale(-top, top))
    beside.ticks_y(beside.y.round_numbers(3))
    beside.fill(
        np.repeat(edges, 2)[1:-1], np.zeros(2 * len(names)), np.repeat(ours - golden, 2), OURS, 1
    )
    beside.above("difference, ours − golden, %")
    panel.ticks_x(middle.tolist(), names)
    beside.ticks_x(middle.tolist(), ["" for _ in names])


def _from_0(top: float) -> Scale:
    return Scale(0, max(float(top) * 1.08, 1e-9))


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


def _curve(panel: Panel, values: _Values, at: Int64, y: Float64, paint: str, width: float) -> None:
    """A line through the values at some edges; as steps where each bin shows."""
    if len(values.edges) <= _BARS:
        panel.steps(values.edges[at], y[:-1], paint, width)
    else:
        panel.line(values.edges[at], y, paint, width)


def _unit_of(values: _Values) -> str:
    return f"{values.metric.unit}{' (log scale)' if values.is_log else ''}".strip()
