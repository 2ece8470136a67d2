"""Quality and trust over time: trusted levels, silences, and where each finding lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lobproof.report.axes import TimeGrid, runs
from lobproof.report.figures.style import (
    Figure,
    Key,
    colour,
    drawing,
    finished,
    number_axis,
    plot,
    time_axis,
    unit,
)
from lobproof.report.survey import Survey
from lobproof.report.sweep_kernels import Float64
from lobproof.report.text import count, duration
from lobproof.schema import LEVELS, Finding, Severity

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

SHADES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.DOUBT: "doubt"}
"""Colour of a finding by its severity."""

_LANE = 36


def trust(survey: Survey) -> Figure:
    """Trusted levels, longest silences, and a lane for every code of findings."""
    codes = sorted(survey.quality.lanes, key=lambda code: (-_severity(survey, code), code))
    lanes_top = 40 + 108 + 44 + 84 + 40
    height = lanes_top + max(len(codes), 1) * _LANE + 44
    canvas = drawing(height)
    _levels(canvas, survey)
    _silences(canvas, survey)
    axes = plot(canvas, lanes_top, max(len(codes), 1) * _LANE)
    axes.grid(visible=False)
    axes.set_ylim(max(len(codes), 1), 0)
    least = survey.time.columns * survey.time.seconds / 400
    for lane, code in enumerate(codes):
        shade = colour(SHADES[Severity(_severity(survey, code))])
        bars = [
            (start * survey.time.seconds, max((stop - start) * survey.time.seconds, least))
            for start, stop in runs(survey.quality.lanes[code])
        ]
        axes.axhline(lane + 0.7, color=colour("grid"), linewidth=1, zorder=0)
        axes.broken_barh(bars, (lane + 0.52, 0.36), facecolors=shade, linewidth=0)
        axes.annotate(
            f"{Finding(code).name.lower().replace('_', ' ')} · "
            f"{count(survey.quality.findings(Finding(code)))}",
            (0, lane + 0.28),
            xycoords=("axes fraction", "data"),
            fontsize=11.5,
            color=colour("ink"),
            va="center",
            ha="left",
        )
    axes.set_yticks([])
    time_axis(axes, survey.time)
    unit(axes, "findings" if codes else "no finding in this span")
    doubtful = survey.quality.doubtful
    length = survey.span[1] - survey.span[0]
    caption = (
        "Top: how many of the best twenty levels of the weaker side are known to be right, at "
        "their worst in each minute; twenty throughout is a sound book, none means that the touch "
        "itself is in doubt. Middle: the longest time without a book message that ended in each "
        "minute; a pause far beyond the usual one is a feed that stood still. Bottom: where "
        f"findings lie, and how many. {_doubt_words(doubtful, length)} {_events(survey)}"
    )
    found = {_severity(survey, code) for code in codes}
    keys = [
        Key("box", SHADES[severity], words)
        for severity, words in (
            (Severity.DOUBT, "touch in doubt"),
            (Severity.WARNING, "warning: the book stands"),
            (Severity.INFO, "normal for a venue, counted"),
        )
        if severity in found
    ]
    return Figure(
        "trust",
        "Quality and trust",
        caption,
        f"Trusted levels, silences and findings of {survey.symbol} over time",
        finished(canvas, "trust"),
        height=height,
        keys=keys,
    )


def by_time(survey: Survey, column: str, how: str) -> tuple[TimeGrid, Float64]:
    """A column of ``minutes`` on a grid of at most 360 parts; NaN where there is no minute."""
    grid = TimeGrid.over(*survey.span, columns=360, least=60 * 10**9)
    value = pl.col(column)
    found = (
        survey.minutes.group_by(
            ((pl.col("minute") - grid.origin) // grid.width).clip(0, grid.columns - 1).alias("at")
        )
        .agg({"min": value.min(), "max": value.max(), "sum": value.sum()}[how])
        .sort("at")
    )
    values = np.full(grid.columns, np.nan)
    values[found["at"].to_numpy()] = found[column].to_numpy()
    return grid, values


def _levels(canvas: Drawing, survey: Survey) -> None:
    axes = plot(canvas, 40, 108)
    grid, values = by_time(survey, "trusted_levels_min", "min")
    edges = _edges(grid, survey)
    axes.stairs(values, edges, baseline=0, fill=True, color=colour("bid"), alpha=0.22, linewidth=0)
    axes.stairs(values, edges, baseline=None, color=colour("bid"), linewidth=1.5)
    axes.set_ylim(0, LEVELS * 1.06)
    axes.set_yticks([0, 5, 10, 15, 20])
    time_axis(axes, survey.time, labels=False)
    unit(axes, "trusted levels, worst of each minute")


def _silences(canvas: Drawing, survey: Survey) -> None:
    axes = plot(canvas, 40 + 108 + 44, 84)
    grid, values = by_time(survey, "longest_silence", "max")
    seconds = values / 10**9
    edges = _edges(grid, survey)
    top = float(np.nanmax(seconds, initial=0.0))
    axes.stairs(seconds, edges, baseline=0, fill=True, color=colour("violet"), linewidth=0)
    axes.set_ylim(0, max(top * 1.12, 0.2))
    number_axis(axes.yaxis, 3)
    time_axis(axes, survey.time, labels=False)
    unit(axes, "longest silence of the book, s")


def _edges(grid: TimeGrid, survey: Survey) -> Float64:
    """Edges of a coarser grid on the axis of the survey's columns."""
    edges: Float64 = grid.edges + (grid.origin - survey.time.origin) / 10**9
    return edges


def _severity(survey: Survey, code: int) -> int:
    rows = survey.quality.codes.filter(pl.col("code") == code)
    return int(rows["severity"].to_list()[0])


def _doubt_words(doubtful: int, length: int) -> str:
    if not doubtful:
        return "No time of this span is in doubt."
    return f"The touch is in doubt for {duration(doubtful)} of {duration(length)}."


def _events(survey: Survey) -> str:
    gaps = int(survey.minutes["gaps"].sum())
    crossed = int(survey.minutes["crossed_messages"].sum())
    return f"Gaps: {count(gaps)}; messages that left the book crossed: {count(crossed)}."
