"""The spread over time and its distribution, and the mean depth by level."""

from __future__ import annotations

import numpy as np

from lobproof.pages.figures.style import (
    LEFT,
    RIGHT,
    WIDTH,
    Figure,
    Key,
    colour,
    drawing,
    finished,
    number_axis,
    plain,
    plot,
    time_axis,
    unit,
)
from lobproof.pages.survey import Survey
from lobproof.pages.sweep_kernels import SPREAD_BINS, Float64
from lobproof.pages.text import currencies, duration, share, short
from lobproof.schema import LEVELS

_NO_TOUCH = (
    "No picture: at no time of this span is a touch of both sides trusted. The findings below say "
    "why (without a snapshot, nothing of the book is known to be complete)."
)


def spread(survey: Survey) -> Figure:
    """Spread in ticks by time, and for which share of the time it was how wide."""
    title = "Spread"
    columns, tick = survey.sums.columns, survey.instrument.tick
    known = columns["trusted"] > 0
    if not known.any():
        return Figure("spread", title, "", missing=_NO_TOUCH)
    mean, low, high = (np.full(survey.time.columns, np.nan) for _ in range(3))
    mean[known] = columns["spread"][known] / columns["trusted"][known] / tick
    low[known] = columns["spread_low"][known] / tick
    high[known] = columns["spread_high"][known] / tick
    top = float(np.nanmax(high))
    log = top > 25
    height, split = 254, 250
    canvas = drawing(height)
    axes = plot(canvas, 40, 172, right=RIGHT + split)
    edges = survey.time.edges
    floor = 0.8 if log else 0.0
    axes.stairs(high, edges, baseline=low, fill=True, color=colour("sky"), alpha=0.65, linewidth=0)
    axes.stairs(mean, edges, baseline=None, color=colour("blue"), linewidth=1.4)
    beside = plot(canvas, 40, 172, left=WIDTH - RIGHT - split + 46)
    ticks, weights = _distribution(survey.sums.spreads, log)
    beside.barh(
        ticks[:-1],
        weights,
        height=np.diff(ticks) * 0.88,
        align="edge",
        color=colour("blue"),
    )
    for part in (axes, beside):
        if log:
            part.set_yscale("log")
            part.set_ylim(floor, top * 1.35)
            part.set_yticks([n for n in _round_numbers() if floor <= n <= top * 1.35])
            part.set_yticks([], minor=True)
            part.yaxis.set_major_formatter(lambda value, _: plain(value))
        else:
            part.set_ylim(0, max(top * 1.12, 2))
            number_axis(part.yaxis)
    beside.grid(axis="y", visible=False)
    beside.grid(axis="x", color=colour("grid"), linewidth=1)
    if log:
        beside.set_xscale("log")
        beside.set_xlim(0.001, 140)
        beside.set_xticks([0.001, 0.01, 0.1, 1, 10, 100], minor=False)
        beside.set_xticks([], minor=True)
        beside.xaxis.set_major_formatter(lambda value, _: plain(value))
    else:
        beside.set_xlim(0, float(weights.max()) * 1.08)
        number_axis(beside.xaxis, 3)
    beside.tick_params(labelleft=False)
    time_axis(axes, survey.time, wide=0.72)
    unit(axes, "spread, ticks")
    unit(beside, f"share of trusted time, %{' (log scale)' if log else ''}")
    total = float(columns["trusted"].sum())
    average = float(columns["spread"].sum()) / total / tick
    one = float(survey.sums.spreads[:2].sum())
    size = short(tick * survey.price_unit, 6)
    _, quote = currencies(survey.symbol)
    caption = (
        f"Best ask minus best bid, in ticks of {size} {quote}, where the touch is trusted. Line: "
        f"mean over {duration(survey.time.width)}; band: narrowest to widest. Right: for how long "
        f"it was how wide. One tick {share(one, total)} of the time, {short(average)} ticks on "
        f"average, {short(top, 6)} at most. A liquid market sits at one tick, with short spikes."
    )
    return Figure(
        "spread",
        title,
        caption,
        f"Spread of {survey.symbol} over time and its distribution",
        finished(canvas, "spread"),
        height=height,
        keys=[Key("line", "blue", "mean"), Key("box", "sky", "narrowest to widest")],
    )


def profile(survey: Survey) -> Figure:
    """Mean size by level either side of the touch, and summed up by distance from it."""
    title = "Depth by level"
    levels, scale = survey.sums.levels, survey.size_unit
    if not levels["known"][:, 0].all():
        return Figure(
            "profile", title, "", missing=_NO_TOUCH.replace("a touch of both sides", "any level")
        )
    base, _ = currencies(survey.symbol)
    height = 250
    canvas = drawing(height)
    half = (WIDTH - LEFT - RIGHT) * 0.5
    axes = plot(canvas, 40, 172, right=WIDTH - LEFT - half)
    beside = plot(canvas, 40, 172, left=LEFT + half + 74)
    place = np.arange(1, LEVELS + 1)
    for s, (side, sign) in enumerate((("bid", -1), ("ask", 1))):
        mine = levels[s]
        known = mine["known"] > 0
        mean = mine["rests"][known] / mine["known"][known] * scale
        axes.bar(sign * place[known], mean, width=0.78, color=colour(side))
        filled = known & (mine["filled"] > 0)
        distance = mine["distance"][filled] / mine["filled"][filled] * 10**4
        total = np.cumsum(mean)[: int(filled.sum())]
        beside.plot(distance, total, color=colour(side), linewidth=1.6, marker="o", markersize=3.5)
    axes.set_xlim(-LEVELS - 1, LEVELS + 1)
    axes.set_xticks([-20, -15, -10, -5, -1, 1, 5, 10, 15, 20])
    axes.set_xticklabels(["20", "15", "10", "5", "1", "1", "5", "10", "15", "20"])
    axes.set_ylim(bottom=0)
    beside.set_ylim(bottom=0)
    beside.set_xlim(left=0)
    number_axis(axes.yaxis)
    number_axis(beside.yaxis)
    number_axis(beside.xaxis, 6)
    unit(axes, f"mean size at the level, {base}; levels from the touch outwards")
    unit(beside, f"size up to the level, {base}, by distance from the touch, basis points")
    caption = (
        "Left: how much rests at the 1st … 20th best price of either side, averaged over the time "
        "for which that level is trusted. Right: the same added up from the touch outwards, at the "
        "level's mean distance from the best price. Both sides should look alike over hours; a "
        "lasting difference is the market leaning, a sudden cliff a book that is cut off."
    )
    return Figure(
        "profile",
        title,
        caption,
        f"Mean depth by level of {survey.symbol}",
        finished(canvas, "profile"),
        height=height,
        keys=[Key("box", "bid", "bids"), Key("box", "ask", "asks")],
    )


def _distribution(spreads: Float64, log: bool) -> tuple[Float64, Float64]:
    """Edges in ticks (centred on whole ones) and per cent of the time between them."""
    last = int(np.flatnonzero(spreads)[-1])
    if log:
        steps = np.unique(np.rint(np.geomspace(1, SPREAD_BINS, 32)).astype(np.int64))
    else:
        steps = np.arange(1, max(last, 2) + 2)
    steps = steps[: int(np.searchsorted(steps, last, "right")) + 1]
    if steps[-1] <= last:
        steps = np.append(steps, last + 1)
    sums = np.add.reduceat(np.append(spreads, 0.0), steps)[:-1]
    sums[0] += spreads[0]
    edges: Float64 = steps.astype(np.float64)
    edges = edges * 0.93 if log else edges - 0.43
    return edges, 100 * sums / spreads.sum()


def _round_numbers() -> list[int]:
    return [n * 10**p for p in range(9) for n in (1, 3)]
