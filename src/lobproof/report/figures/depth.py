"""The depth heatmap: what rests in the book over time, with the touch and the trades on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lobproof.report.axes import runs
from lobproof.report.figures.style import (
    Figure,
    Key,
    colour,
    drawing,
    finished,
    plain,
    plot,
    time_axis,
    unit,
)
from lobproof.report.survey import Survey
from lobproof.report.sweep_kernels import (
    ASK_SUM,
    ASK_TIME,
    BID_SUM,
    BID_TIME,
    COVERED,
)
from lobproof.report.text import count, currencies, duration, share, short

DOTS = 700
"""So many of the largest dots are drawn."""

_NIGHT = "#0a111c"
_RAMP = ("#0a111c", "#10203a", "#1b3a63", "#2d5f93", "#5a90bf", "#9cc3de", "#e3eef2", "#fffbe0")
"""Colours of depth, from none to much; the plot stays dark in either scheme."""
_STEPS = 72
_BUY, _SELL = "#2fd0bf", "#ff8a4c"
_HEIGHT, _TOP, _PLOT = 520, 30, 432
_AREA = 190.0
"""Area of the largest dot, square pixels."""


def heatmap(survey: Survey) -> Figure:
    """Time × price; colour is the size that rests there, on a logarithmic scale."""
    title = "Depth over time"
    grid, prices, sums = survey.time, survey.prices, survey.sums
    base, quote = currencies(survey.symbol)
    sizes = sums.image * survey.size_unit
    filled = sizes > 0
    if not filled.any() and not sums.trades.any():
        return Figure(
            "depth",
            title,
            "",
            missing="No picture: the events of this span hold neither a level "
            "of the book nor a trade near which one could be shown.",
        )
    canvas = drawing(_HEIGHT)
    axes = plot(canvas, _TOP, _PLOT)
    axes.set_facecolor(_NIGHT)
    axes.grid(visible=False)
    low = prices.low * survey.price_unit
    high = (prices.low + prices.rows * prices.step) * survey.price_unit
    right = float(grid.edges[-1])
    limits = _limits(sizes[filled])
    if limits:
        axes.imshow(
            _coloured(sizes, limits),
            extent=(0, right, low, high),
            origin="lower",
            aspect="auto",
            interpolation="none",
        )
    trusted = _touch(axes, survey)
    shown, largest = _dots(axes, survey)
    hatched = _mark_times(axes, survey, low, high)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(_price_ticks(8))
    axes.yaxis.set_major_formatter(lambda value, _: _price(value, survey))
    time_axis(axes, grid)
    unit(axes, f"price, {quote}")
    if limits:
        _ramp(canvas, limits, base)
    keys = [Key("ramp", "", f"{base} resting in a cell (log scale)")] if limits else []
    if trusted:
        keys += [Key("line", "bid", "best bid"), Key("line", "ask", "best ask")]
    if shown:
        keys += [Key("dot", "bid", "buyers took"), Key("dot", "ask", "sellers took")]
    if hatched:
        keys.append(Key("hatch", "doubt", "touch in doubt"))
    cell = f"{duration(grid.width)} × {short(prices.step * survey.price_unit, 6)} {quote}"
    caption = (
        f"Each cell is {cell}; its colour is the size that rested there on average over that time. "
        "Bright horizontal bands are orders that stay; the dark seam between them is the spread, "
        "with the touch drawn on it. "
    )
    if shown:
        caption += (
            f"Dots are trades, summed per cell and taker, area by volume (the largest "
            f"{short(largest)} {base}); the {count(shown)} largest are drawn, "
            f"{_drawn(survey, shown)} of the volume traded. A dot should lie on the touch. "
        )
    else:
        caption += "No trade was recorded in this span. "
    if sums.trades_outside:
        caption += f"{count(sums.trades_outside)} trades lie outside the prices shown. "
    if not trusted:
        caption += (
            "Nothing here is known to be complete (no snapshot anchored the book), so no touch is "
            "drawn: the levels are those that updates happened to name."
        )
    elif hatched:
        caption += "Hatched: the touch was in doubt, whatever the colours show."
    alt = f"Heatmap of resting size by time and price for {survey.symbol}"
    return Figure(
        "depth", title, caption, alt, finished(canvas, "depth"), height=_HEIGHT, keys=keys
    )


def _limits(sizes: Any) -> tuple[float, float] | None:
    """Sizes at the dark and the bright end."""
    if not len(sizes):
        return None
    low, high = float(np.quantile(sizes, 0.05)), float(np.quantile(sizes, 0.997))
    return max(low, high / 10**4), high * 1.0001


def _coloured(sizes: Any, limits: tuple[float, float]) -> Any:
    """RGBA bytes; few steps of colour keep the image small."""
    low, high = np.log10(limits)
    floor = low - 0.15 * (high - low)
    with np.errstate(divide="ignore"):
        place = (np.log10(sizes) - floor) / (high - floor)
    step = np.rint(np.clip(place, 0, 1) * (_STEPS - 1)).astype(np.int64)
    return _colours(_STEPS)[step]


def _colours(steps: int) -> Any:
    from matplotlib.colors import to_rgba_array

    stops = to_rgba_array(_RAMP)
    at = np.linspace(0, len(stops) - 1, steps)
    mixed = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(4)]
    return np.rint(np.stack(mixed, axis=1) * 255).astype(np.uint8)


def _touch(axes: Any, survey: Survey) -> bool:
    """Draw best bid and ask where they are trusted; whether there is such a place."""
    columns, edges = survey.sums.columns, survey.time.edges
    found = False
    for time, total, shade in ((BID_TIME, BID_SUM, _BUY), (ASK_TIME, ASK_SUM, _SELL)):
        known = columns[time] > 0
        mean = np.full(len(known), np.nan)
        mean[known] = columns[total][known] / columns[time][known] * survey.price_unit
        if known.any():
            axes.stairs(mean, edges, baseline=None, color=shade, linewidth=1.1)
            found = True
    return found


def _dots(axes: Any, survey: Survey) -> tuple[int, float]:
    """Draw the largest sums of trades; their number, and the largest volume."""
    volumes = survey.sums.trades * survey.size_unit
    side, row, column = np.nonzero(volumes)
    if not len(side):
        return 0, 0.0
    volume = volumes[side, row, column]
    order = np.lexsort((column, row, side, -volume))[:DOTS]
    side, row, column, volume = side[order], row[order], column[order], volume[order]
    x = (column + 0.5) * survey.time.seconds
    y = (survey.prices.low + (row + 0.5) * survey.prices.step) * survey.price_unit
    area = np.maximum(_AREA * volume / volume[0], 2.0)
    shades = np.where(side == 0, _BUY, _SELL)
    axes.scatter(x, y, s=area, c=shades.tolist(), alpha=0.8, edgecolors=_NIGHT, linewidths=0.5)
    return len(order), float(volume[0])


def _drawn(survey: Survey, shown: int) -> str:
    volumes = np.sort(survey.sums.trades[survey.sums.trades > 0])[::-1]
    return share(float(volumes[:shown].sum()), float(volumes.sum()))


def _mark_times(axes: Any, survey: Survey, low: float, high: float) -> bool:
    """Hatch times of doubt, blank those without data; whether there is doubt."""
    grid, covered = survey.time, survey.sums.columns[COVERED] > 0
    for start, stop in runs(~covered):
        if stop - start > 1 and start > 0 and stop < grid.columns:
            left, right = start * grid.seconds, stop * grid.seconds
            axes.axvspan(left, right, color=colour("void"), linewidth=0)
            if stop - start > grid.columns / 12:
                axes.text(
                    (left + right) / 2,
                    (low + high) / 2,
                    "no sealed data",
                    ha="center",
                    va="center",
                    fontsize=12,
                    color=colour("muted"),
                )
    doubtful = np.zeros(grid.columns, np.bool_)
    for first, last in survey.quality.doubts:
        a, b = grid.column(np.array([first, last - 1]))
        doubtful[a : b + 1] = True
    least = grid.columns * grid.seconds / 500
    for start, stop in runs(doubtful):
        left = start * grid.seconds
        axes.axvspan(
            left,
            max(stop * grid.seconds, left + least),
            facecolor="none",
            edgecolor="#ff6b6b",
            hatch="////",
            linewidth=0,
            alpha=0.75,
        )
    return bool(doubtful.any())


def _price_ticks(most: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])


def _price(value: float, survey: Survey) -> str:
    text = f"{value:,.{survey.instrument.price_exponent}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace(",", "\u202f")


def _ramp(canvas: Any, limits: tuple[float, float], base: str) -> None:
    """The scale of colours, at the right."""
    axes = plot(canvas, _TOP, _PLOT, left=1120 - 56, right=46)
    low, high = np.log10(limits)
    floor = low - 0.15 * (high - low)
    axes.imshow(
        _colours(_STEPS)[:, None, :],
        extent=(0, 1, floor, high),
        origin="lower",
        aspect="auto",
        interpolation="none",
    )
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.yaxis.tick_right()
    candidates = [(n, p) for p in range(-12, 16) for n in (1, 2, 5)]
    ticks = [n * 10.0**p for n, p in candidates if floor <= np.log10(n * 10.0**p) <= high]
    if len(ticks) > 7:
        ticks = [n * 10.0**p for n, p in candidates if n == 1 and floor <= p <= high]
    axes.set_yticks([float(np.log10(tick)) for tick in ticks])
    axes.set_yticklabels([plain(tick) for tick in ticks], fontsize=11)
    axes.annotate(
        base,
        (0, 1),
        (0, 9),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=12,
        color=colour("muted"),
        ha="left",
        va="bottom",
        annotation_clip=False,
    )
