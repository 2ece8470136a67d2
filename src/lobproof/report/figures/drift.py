"""Book drift: how far the rebuilt book and the snapshots that came later agree."""

from __future__ import annotations

import numpy as np

from lobproof.report.figures.style import (
    Figure,
    colour,
    drawing,
    finished,
    number_axis,
    plot,
    time_axis,
    unit,
)
from lobproof.report.figures.trust import by_time
from lobproof.report.survey import Survey
from lobproof.report.sweep_kernels import Float64
from lobproof.report.text import count, share

_TITLE = "Book against snapshots"
_HEIGHT = 84
_STEP = _HEIGHT + 44


def drift(survey: Survey) -> Figure:
    """Levels that differ, how much their sizes do, and the rows of `book` that contradict."""
    minutes = survey.minutes
    compared = int(minutes["drift_compared"].sum())
    if not compared:
        missing = "No picture: no snapshot came after the one that the book began with."
        return Figure("drift", _TITLE, "", missing=missing)
    equal = int(minutes["drift_equal"].sum())
    rows, against = int(minutes["vendor_rows"].sum()), int(minutes["contradictions"].sum())
    if equal == compared and not against:
        missing = f"No picture needed: all {count(compared)} levels of snapshots that were held "
        missing += f"against the rebuilt book agree in price and size. {_rows(rows, against)}"
        return Figure("drift", _TITLE, "", missing=missing)
    height = 40 + 3 * _STEP + 10
    canvas = drawing(height)
    _, all_levels = by_time(survey, "drift_compared", "sum")
    grid, same = by_time(survey, "drift_equal", "sum")
    edges: Float64 = grid.edges + (grid.origin - survey.time.origin) / 10**9
    with np.errstate(invalid="ignore", divide="ignore"):
        differing = 100 * (1 - same / all_levels)
    panels = (
        (differing, "doubt", "levels that differ, %", 1.0),
        (by_time(survey, "size_rmse_rel", "max")[1], "sand", "size error, relative (RMS)", 0.001),
        (by_time(survey, "contradictions", "sum")[1], "violet", "contradictions", 1.0),
    )
    for at, (values, shade, words, least) in enumerate(panels):
        axes = plot(canvas, 40 + at * _STEP, _HEIGHT)
        axes.stairs(values, edges, baseline=0, fill=True, color=colour(shade), linewidth=0)
        axes.set_ylim(0, max(float(np.nanmax(values, initial=0.0)) * 1.12, least))
        number_axis(axes.yaxis, 3)
        time_axis(axes, survey.time, labels=at == len(panels) - 1)
        unit(axes, words)
    caption = (
        f"{count(compared)} levels of snapshots were held against the rebuilt book before anything "
        f"was corrected; {share(equal, compared)} agree in price and size. {_rows(rows, against)} "
        "Nothing to see in all three panels is what a sound feed looks like; a hump is the time in "
        "which messages were lost, and the quality table has its interval."
    )
    return Figure(
        "drift",
        _TITLE,
        caption,
        f"Levels of the rebuilt book of {survey.symbol} that later snapshots contradict, over time",
        finished(canvas, "drift"),
        height=height,
    )


def _rows(rows: int, against: int) -> str:
    said = "none contradicts" if not against else f"{count(against)} contradict"
    whole = f"{count(rows)} rows of the vendor's `book`" if rows else "those snapshots"
    return f"Of {whole}, {said} it."
