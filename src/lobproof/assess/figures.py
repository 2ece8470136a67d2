"""The pictures of an assessment: times, skew, message sizes, trades beside the touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lobproof.assess.result import Assessment
from lobproof.assess.times import Stretch, TableTimes
from lobproof.pages.axes import TimeGrid
from lobproof.pages.figures import Figure, Key
from lobproof.pages.figures.style import (
    LEFT,
    RIGHT,
    WIDTH,
    colour,
    drawing,
    finished,
    number_axis,
    plain,
    plot,
    time_axis,
    unit,
)
from lobproof.pages.text import duration

_COLOURS = ("blue", "ask", "violet")
_HEIGHT = 240
_BPS_UNITS = 10_000


def pictures(found: Assessment) -> list[Figure]:
    """All pictures that there is data for."""
    drawn = [skew(found.times), invalid(found.times)]
    if found.messages is not None and found.messages.sizes:
        drawn.append(sizes(found.messages.sizes))
    if found.prints is not None and found.prints.distances:
        drawn.append(distances(found.prints.distances))
    return drawn


def skew(times: Sequence[TableTimes]) -> Figure:
    """Receive time minus exchange time: median, and from the 5th to the 95th percentile."""
    title = "Receive time minus exchange time"
    shown = [one for one in times if one.total.skew_ms.p50 is not None]
    if not shown:
        return Figure("skew", title, "", missing="No picture: no row has both times.")
    grid = _over(shown)
    canvas = drawing(_HEIGHT)
    axes = plot(canvas, 36, 164)
    keys = []
    for one, paint in zip(shown, _COLOURS, strict=False):
        at, low, middle, high = _lines(one.cells, grid)
        axes.fill_between(at, low, high, color=colour(paint), alpha=0.18, linewidth=0)
        axes.plot(at, middle, color=colour(paint), linewidth=1.6, marker=".", markersize=5)
        keys.append(Key("line", paint, f"{one.table}: median, 5th to 95th percentile"))
    bottom, top = axes.get_ylim()
    if bottom <= 0 <= top:  # else it would flatten what there is to see
        axes.axhline(0, color=colour("muted"), linewidth=1)
    number_axis(axes.yaxis)
    time_axis(axes, grid)
    unit(axes, "ms")
    return Figure(
        "skew",
        title,
        f"A value below 0 cannot be: the recorder's clock is behind. Each point is "
        f"{duration(shown[0].cell_ns)}.",
        alt="Receive time minus exchange time over time, by table.",
        source=finished(canvas, "skew"),
        height=_HEIGHT,
        keys=keys,
    )


def invalid(times: Sequence[TableTimes]) -> Figure:
    """Share of rows without a valid exchange time."""
    title = "Rows without a valid exchange time"
    bad = [one for one in times if one.total.invalid]
    if not bad:
        rows = sum(one.total.rows for one in times)
        words = f"No picture: all {rows:,} rows have a valid exchange time."
        return Figure("invalid", title, "", missing=words)
    grid = _over(bad)
    canvas = drawing(_HEIGHT)
    axes = plot(canvas, 36, 164)
    for one, paint in zip(bad, _COLOURS, strict=False):
        at = [(cell.start_ns - grid.origin) / 1e9 for cell in one.cells]
        shares = [100 * cell.invalid / cell.rows for cell in one.cells]
        axes.plot(at, shares, color=colour(paint), linewidth=1.6, marker=".", markersize=5)
    axes.set_ylim(bottom=0)
    number_axis(axes.yaxis)
    time_axis(axes, grid)
    unit(axes, "% of rows")
    return Figure(
        "invalid",
        title,
        "Null, zero, negative, or outside the day, by table. From 5 % on receive times give the "
        "order of a day.",
        alt="Share of rows without a valid exchange time, over time.",
        source=finished(canvas, "invalid"),
        height=_HEIGHT,
        keys=[Key("line", paint, one.table) for one, paint in zip(bad, _COLOURS, strict=False)],
    )


def sizes(counts: Mapping[int, int]) -> Figure:
    """Messages by how many levels they change."""
    return _bars(
        "sizes",
        "Level changes a message",
        counts,
        1.0,
        "Messages of the book by how many levels they change; each bar is a step of √2.",
        "levels",
    )


def distances(counts: Mapping[int, int]) -> Figure:
    """Trades that print away from the touch."""
    return _bars(
        "distances",
        "How far from the touch trades print",
        counts,
        float(_BPS_UNITS),
        "Trades that print through the touch before them, or inside the spread, by their distance; "
        "those at the touch are not in the picture.",
        "basis points",
    )


def _bars(
    name: str, title: str, counts: Mapping[int, int], scale: float, caption: str, what: str
) -> Figure:
    canvas = drawing(_HEIGHT)
    axes = plot(canvas, 36, 160, left=LEFT, right=RIGHT)
    low, high = min(counts), max(counts)
    keys = np.arange(low, high + 2)
    starts = 2.0 ** (keys / 2) / scale
    heights = [counts.get(key, 0) for key in range(low, high + 1)]
    axes.bar(starts[:-1], heights, width=np.diff(starts) * 0.9, align="edge", color=colour("blue"))
    axes.set_xscale("log")
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda value, _: plain(value))
    number_axis(axes.yaxis)
    unit(axes, "count")
    axes.annotate(
        what,
        (1, 0),
        (0, -34),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=12,
        color=colour("muted"),
        ha="right",
        annotation_clip=False,
    )
    return Figure(
        name,
        title,
        caption,
        alt=f"{title}: a histogram.",
        source=finished(canvas, name),
        width=WIDTH,
        height=_HEIGHT,
    )


def _over(times: Sequence[TableTimes]) -> TimeGrid:
    first = min(one.cells[0].start_ns for one in times)
    last = max(one.cells[-1].start_ns for one in times) + times[0].cell_ns
    return TimeGrid.over(first, last)


def _lines(cells: Sequence[Stretch], grid: TimeGrid) -> tuple[list[float], ...]:
    known = [cell for cell in cells if cell.skew_ms.p50 is not None]
    return (
        [(cell.start_ns - grid.origin) / 1e9 for cell in known],
        [float(cell.skew_ms.p5 or 0.0) for cell in known],
        [float(cell.skew_ms.p50 or 0.0) for cell in known],
        [float(cell.skew_ms.p95 or 0.0) for cell in known],
    )
