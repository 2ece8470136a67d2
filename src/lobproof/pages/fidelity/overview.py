"""All metrics at once: how near each is to its margin, and how the two drift over time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.compared import Compared
from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.catalogue import Family
from lobproof.pages.axes import TimeGrid
from lobproof.pages.figures.style import (
    LEFT,
    RIGHT,
    WIDTH,
    Figure,
    Key,
    colour,
    drawing,
    finished,
    plot,
    time_axis,
    unit,
)
from lobproof.pages.text import duration, short
from lobproof.pages.verdicts import PAINTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 15.5
_NAMES = 150
_CUT = 2.5
"""Bars end after so many margins; how many there are stands beside."""
_MOST = 30
"""Metrics in a column, at most."""
_STRIP = 26


def summary(compared: Sequence[Compared]) -> Figure:
    """The upper bound of each metric over its margin, a column for each family."""
    columns = list(_columns(compared))
    most = max(len(rows) for _, rows in columns)
    height = math.ceil(60 + most * _ROW + 44)
    canvas = drawing(height)
    width = WIDTH / len(columns)
    for at, (title, rows) in enumerate(columns):
        left = at * width + _NAMES
        right = WIDTH - (at + 1) * width + 46
        axes = plot(canvas, 44, len(rows) * _ROW, left=left, right=right)
        _bars(axes, rows)
        axes.annotate(
            title,
            (0, 1),
            (-_NAMES + 8, 12),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=14,
            weight="bold",
            color=colour("ink"),
        )
    found = [verdict for verdict in PAINTS if any(one.verdict is verdict for one in compared)]
    return Figure(
        "summary",
        "Every metric at one glance",
        "The most that each metric may differ by, with 95 % confidence, in its margins: it passes "
        "where the bar ends before the line at 1. A bar that is cut off has its number beside it; "
        "– is too little data for an interval, n/a nothing to compare.",
        "Upper bound over margin of every metric, by family",
        finished(canvas, "summary"),
        height=height,
        keys=[Key("box", PAINTS[one], one.value.replace("_", " ")) for one in found],
    )


def _columns(compared: Sequence[Compared]) -> Iterator[tuple[str, list[Compared]]]:
    """The metrics by family, a large one in columns of equal length; their titles."""
    for family in Family:
        rows = [one for one in compared if one.metric.family is family]
        parts = math.ceil(len(rows) / _MOST)
        for at in range(parts):
            share = rows[at * len(rows) // parts : (at + 1) * len(rows) // parts]
            yield (family.value if at == 0 else f"{family.value}, continued"), share


def nearness(one: Compared) -> float:
    """Upper bound over margin of the figure that decides; NaN where there is none."""
    worst = one.worst
    return math.nan if worst is None else worst.upper / worst.margin


def _bars(axes: Axes, rows: Sequence[Compared]) -> None:
    place = np.arange(len(rows))
    near = np.array([nearness(one) for one in rows])
    shown = np.minimum(np.nan_to_num(near), _CUT)
    paints = [colour(PAINTS[one.verdict]) for one in rows]
    axes.grid(visible=False)
    axes.barh(place, shown, height=0.62, color=paints)
    for at, value in enumerate(near.tolist()):
        if math.isnan(value):
            text = "n/a" if rows[at].verdict is Verdict.NOT_APPLICABLE else "–"
            if rows[at].verdict is Verdict.FAIL:
                text = "missing"
            _say(axes, text, 0.03, at, colour("muted" if text != "missing" else "doubt"))
        elif value > _CUT:
            _say(axes, f"{short(value, 2)}×", _CUT + 0.04, at, colour("ink"))
        elif value < 0.02:
            _say(axes, "0", 0.05, at, colour("muted"))
    axes.axvline(1, color=colour("ink"), linewidth=1.2)
    axes.set_xlim(0, _CUT)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xticks([0, 1, 2], labels=["0", "1", "2"])
    axes.set_yticks(place, labels=[one.metric.name for one in rows])
    axes.tick_params(axis="y", labelsize=10.5, labelcolor=colour("ink"), pad=4)


def _say(axes: Axes, text: str, x: float, y: float, paint: str) -> None:
    axes.text(x, y, text, fontsize=10, color=paint, va="center", ha="left", clip_on=False)


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """How far the means of a metric differ in each column of time, in standard deviations."""

    name: str
    verdict: Verdict
    values: Float64


def drift(strips: Sequence[Strip], grid: TimeGrid, family: Family) -> Figure:
    """The difference of the means over time, a strip for each metric."""
    name, title = f"drift_{family.name.lower()}", "Drift over time"
    known = [one for one in strips if np.isfinite(one.values).any()]
    if not known:
        missing = "No picture: no metric of this family has a mean on both sides."
        return Figure(name, title, "", missing=missing)
    largest = [float(np.nanmax(np.abs(one.values))) for one in known]
    if not any(largest):
        missing = (
            f"No picture needed: in every {duration(grid.width)} the means of all {len(known)} "
            "metrics are equal on both sides."
        )
        return Figure(name, title, "", missing=missing)
    flat = largest.count(0.0)
    known = [one for one, top in zip(known, largest, strict=True) if top]
    largest = [top for top in largest if top]
    height = 36 + _STRIP * len(known) + 48
    canvas = drawing(height)
    axes = plot(canvas, 34, _STRIP * len(known), left=LEFT + 82, right=RIGHT)
    axes.grid(visible=False)
    edges = grid.edges
    for at, (one, top) in enumerate(zip(known, largest, strict=True)):
        axes.axhline(at, color=colour("grid"), linewidth=1)
        drawn = at - 0.42 * np.nan_to_num(one.values) / top
        axes.stairs(
            drawn, edges, baseline=at, fill=True, color=colour(PAINTS[one.verdict]), linewidth=0
        )
        axes.annotate(
            f"±{short(100 * top, 2)} %",
            (1, at),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=10.5,
            color=colour("muted"),
            va="center",
            annotation_clip=False,
        )
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_yticks(range(len(known)), labels=[one.name for one in known])
    axes.tick_params(axis="y", labelsize=10.5, labelcolor=colour("ink"), pad=4)
    time_axis(axes, grid)
    unit(axes, "mean of ours − mean of the golden sample, each strip on its own scale")
    return Figure(
        name,
        title,
        f"Each column is {duration(grid.width)}. The number at the end of a strip is its largest "
        "difference, in per cent of the metric's standard deviation in the golden sample. Chance "
        "looks like noise around 0; a lasting lean to one side, or a stretch that stands out, is "
        f"a fault.{f' Equal throughout, and left out: {flat} metrics.' if flat else ''}",
        f"Difference of the means over time, by metric: {family.value}",
        finished(canvas, name),
        height=height,
        keys=[
            Key("box", PAINTS[verdict], verdict.value.replace("_", " "))
            for verdict in PAINTS
            if any(one.verdict is verdict for one in known)
        ],
    )
