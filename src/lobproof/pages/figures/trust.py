"""How sound the book is over time: trust, silences, findings, and how it agrees with snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lobproof.pages.axes import runs
from lobproof.pages.figures.style import (
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
from lobproof.pages.survey import Survey
from lobproof.pages.text import count, duration, share
from lobproof.schema import LEVELS, Finding, Severity

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

SHADES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.DOUBT: "doubt"}
"""Colour of a finding by its severity."""

_LANE = 36
_DRIFT = "Book against snapshots"
_HEIGHT = 84
_STEP = _HEIGHT + 44


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


def _levels(canvas: Drawing, survey: Survey) -> None:
    axes = plot(canvas, 40, 108)
    values = survey.by_part("trusted_levels_min", "min")
    edges = survey.parts.edges_from(survey.time.origin)
    axes.stairs(values, edges, baseline=0, fill=True, color=colour("bid"), alpha=0.22, linewidth=0)
    axes.stairs(values, edges, baseline=None, color=colour("bid"), linewidth=1.5)
    axes.set_ylim(0, LEVELS * 1.06)
    axes.set_yticks([0, 5, 10, 15, 20])
    time_axis(axes, survey.time, labels=False)
    unit(axes, "trusted levels, worst of each minute")


def _silences(canvas: Drawing, survey: Survey) -> None:
    axes = plot(canvas, 40 + 108 + 44, 84)
    seconds = survey.by_part("longest_silence", "max") / 10**9
    edges = survey.parts.edges_from(survey.time.origin)
    top = float(np.nanmax(seconds, initial=0.0))
    axes.stairs(seconds, edges, baseline=0, fill=True, color=colour("violet"), linewidth=0)
    axes.set_ylim(0, max(top * 1.12, 0.2))
    number_axis(axes.yaxis, 3)
    time_axis(axes, survey.time, labels=False)
    unit(axes, "longest silence of the book, s")


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


def drift(survey: Survey) -> Figure:
    """Levels that differ, how much their sizes do, and the rows of `book` that contradict."""
    minutes = survey.minutes
    compared = int(minutes["drift_compared"].sum())
    if not compared:
        missing = "No picture: no snapshot came after the one that the book began with."
        return Figure("drift", _DRIFT, "", missing=missing)
    equal = int(minutes["drift_equal"].sum())
    rows, against = int(minutes["vendor_rows"].sum()), int(minutes["contradictions"].sum())
    if equal == compared and not against:
        missing = f"No picture needed: all {count(compared)} levels of snapshots that were held "
        missing += f"against the rebuilt book agree in price and size. {_rows(rows, against)}"
        return Figure("drift", _DRIFT, "", missing=missing)
    height = 40 + 3 * _STEP + 10
    canvas = drawing(height)
    edges = survey.parts.edges_from(survey.time.origin)
    with np.errstate(invalid="ignore", divide="ignore"):
        equal_share = survey.by_part("drift_equal", "sum") / survey.by_part("drift_compared", "sum")
        differing = 100 * (1 - equal_share)
    panels = (
        (differing, "doubt", "levels that differ, %", 1.0),
        (survey.by_part("size_rmse_rel", "max"), "sand", "size error, relative (RMS)", 0.001),
        (survey.by_part("contradictions", "sum"), "violet", "contradictions", 1.0),
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
        _DRIFT,
        caption,
        f"Levels of the rebuilt book of {survey.symbol} that later snapshots contradict, over time",
        finished(canvas, "drift"),
        height=height,
    )


def _rows(rows: int, against: int) -> str:
    said = "none contradicts" if not against else f"{count(against)} contradict"
    whole = f"{count(rows)} rows of the vendor's `book`" if rows else "those snapshots"
    return f"Of {whole}, {said} it."
