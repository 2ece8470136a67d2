"""The depth heatmap: what rests in the book over time, with the touch and the trades on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lobproof.pages.axes import runs
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
    time_axis,
    unit,
)
from lobproof.pages.survey import Survey
from lobproof.pages.sweep_kernels import Float64
from lobproof.pages.text import count, currencies, duration, share, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

DOTS = 450
"""So many of the largest dots are drawn."""

_NIGHT = "#0a111c"
_RAMP = ("#0a111c", "#10203a", "#1b3a63", "#2d5f93", "#5a90bf", "#9cc3de", "#e3eef2", "#fffbe0")
"""Colours of depth, from none to much; the plot stays dark in either scheme."""
_UNDRAWN = (112, 122, 136, 255)
"""RGBA of prices that a day's sums leave out."""
_STEPS = 72
_MEDIAN = 0.3
"""Place of the median cell on the ramp: only what is large for its book is bright."""
_BUY, _SELL = "#2fd0bf", "#ff8a4c"
_DOUBT = "#ff6b6b"
_HEIGHT, _TOP, _PLOT = 506, 30, 432
_AREA = 240.0
"""Area of the largest dot, square pixels."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """Sizes to places on the ramp: logarithmic, bent so that the median stays dark."""

    floor: float  # log10 of the size at the dark end
    high: float  # … at the bright end
    bend: float

    @classmethod
    def of(cls, sizes: Float64) -> _Scale:
        """A scale for these sizes: at least one, all above zero."""
        low, middle, high = (float(np.log10(np.quantile(sizes, q))) for q in (0.05, 0.5, 0.997))
        low = max(low, high - 4)
        floor = low - max(0.15 * (high - low), 0.1)
        place = min(max((middle - floor) / (high - floor), 0.05), 0.95)
        return cls(floor, high, float(np.clip(np.log(_MEDIAN) / np.log(place), 1, 4)))

    def colours(self, sizes: Float64) -> Any:
        """RGBA bytes; few steps of colour keep the image small."""
        with np.errstate(divide="ignore"):
            place = (np.log10(sizes) - self.floor) / (self.high - self.floor)
        bent = np.clip(place, 0, 1) ** self.bend
        return _colours()[np.rint(bent * (_STEPS - 1)).astype(np.int64)]


def heatmap(survey: Survey) -> Figure:
    """Time × price; colour is the size that rests there, on a logarithmic scale."""
    title = "Depth over time"
    grid, prices = survey.time, survey.prices
    base, quote = currencies(survey.symbol)
    sizes = survey.sums.image * survey.size_unit
    beyond = ~survey.sums.drawn & (survey.sums.columns["covered"] > 0)
    filled = (sizes > 0) & ~beyond
    if not filled.any() and not survey.sums.trades.any():
        return Figure(
            "depth",
            title,
            "",
            missing="No picture: the events of this span hold neither a level of the book nor a "
            "trade near which one could be shown.",
        )
    canvas = drawing(_HEIGHT)
    axes = plot(canvas, _TOP, _PLOT)
    axes.set_facecolor(_NIGHT)
    axes.grid(visible=False)
    # half a tick lower: a row of one price has that price in its middle
    low = (prices.low - survey.instrument.tick / 2) * survey.price_unit
    high = low + prices.rows * prices.step * survey.price_unit
    keys = []
    if filled.any():
        scale = _Scale.of(sizes[filled])
        cells = scale.colours(sizes)
        cells[beyond] = _UNDRAWN
        axes.imshow(
            cells,
            extent=(0, float(grid.edges[-1]), low, high),
            origin="lower",
            aspect="auto",
            interpolation="none",
        )
        _ramp(canvas, scale, base)
        keys.append(Key("ramp", "", f"{base} resting in a cell (log scale)"))
    edged = _edge_of_trust(axes, survey, low, high)
    trusted = _touch(axes, survey)
    shown, largest = _dots(axes, survey)
    hatched = _mark_times(axes, survey, low, high)
    axes.set_ylim(low, high)
    number_axis(axes.yaxis, 8)
    axes.yaxis.set_major_formatter(lambda value, _: survey.price(value))
    time_axis(axes, grid)
    unit(axes, f"price, {quote}")
    if trusted:
        keys += [Key("line", "bid", "best bid"), Key("line", "ask", "best ask")]
    if shown:
        keys += [Key("dot", "bid", "buyers took"), Key("dot", "ask", "sellers took")]
    if edged:
        keys.append(Key("dash", "muted", "end of what is known"))
    if hatched:
        keys.append(Key("hatch", "doubt", "touch in doubt"))
    cell = f"{duration(grid.width)} × {short(prices.step * survey.price_unit, 6)} {quote}"
    words = [
        f"Each cell is {cell}; its colour is the size that rested there on average over that time. "
        "Bright horizontal bands are orders that stay; the seam between them is the spread, with "
        "the touch drawn on it."
    ]
    if beyond.any():
        words.append(
            "Of each day the prices around its own market are drawn; grey is what lies beyond."
        )
    if shown:
        words.append(
            f"Dots are trades, summed per cell and taker, area by volume (the largest "
            f"{short(largest)} {base}); the {count(shown)} largest are drawn, "
            f"{_drawn(survey, shown)} of the volume traded. A dot should lie on the touch."
        )
    else:
        words.append("No trade was recorded in this span.")
    if survey.sums.counts.outside:
        outside = survey.sums.counts.outside
        words.append(
            f"{count(outside)} {'trade lies' if outside == 1 else 'trades lie'} outside the prices "
            "shown."
        )
    if not trusted:
        words.append(
            "Nothing here is known to be complete (no snapshot anchored the book), so no touch is "
            "drawn: the levels are those that updates happened to name."
        )
    if edged:
        words.append(
            "Beyond the dashed lines the book is not known to be complete: snapshots did not reach "
            "so far, and only levels that changed since are there."
        )
    if hatched:
        words.append("Hatched: the touch was in doubt, whatever the colours show.")
    alt = f"Heatmap of resting size by time and price for {survey.symbol}"
    return Figure(
        "depth", title, " ".join(words), alt, finished(canvas, "depth"), height=_HEIGHT, keys=keys
    )


def _colours() -> Any:
    from matplotlib.colors import to_rgba_array

    stops = to_rgba_array(_RAMP)
    at = np.linspace(0, len(stops) - 1, _STEPS)
    mixed = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(4)]
    return np.rint(np.stack(mixed, axis=1) * 255).astype(np.uint8)


def _touch(axes: Axes, survey: Survey) -> bool:
    """Draw best bid and ask where they are trusted; whether there is such a place."""
    columns, edges = survey.sums.columns, survey.time.edges
    lines = []
    for side, shade in enumerate((_BUY, _SELL)):
        time, total = columns["best_time"][:, side], columns["best_sum"][:, side]
        known = time > 0
        mean = np.full(len(known), np.nan)
        mean[known] = total[known] / time[known] * survey.price_unit
        if known.any():
            axes.stairs(mean, edges, baseline=None, color=_NIGHT, linewidth=4.5, alpha=0.7)
            lines.append((mean, shade))
    for (mean, shade), width in zip(lines, (2.4, 1.0), strict=False):
        axes.stairs(mean, edges, baseline=None, color=shade, linewidth=width)
    return bool(lines)


def _edge_of_trust(axes: Axes, survey: Survey, low: float, high: float) -> bool:
    """Dim what lies beyond the trusted range and draw its ends; whether one is in the picture."""
    columns, edges = survey.sums.columns, survey.time.edges
    found = False
    for side, outer in enumerate((low, high)):
        far = columns["far"][:, side]
        end = far * survey.price_unit
        inside = (far > 0) & (end > low) & (end < high)
        if inside.any():
            end = np.where(inside, end, np.nan)
            axes.stairs(end, edges, baseline=outer, fill=True, color=_NIGHT, alpha=0.7, linewidth=0)
            dashes = (0, (4, 3))
            axes.stairs(end, edges, baseline=None, color="#9fb2c9", linewidth=1, linestyle=dashes)
            found = True
    return found


def _dots(axes: Axes, survey: Survey) -> tuple[int, float]:
    """Draw the largest sums of trades; their number, and the largest volume."""
    volumes = survey.sums.trades * survey.size_unit
    side, row, column = np.nonzero(volumes)
    if not len(side):
        return 0, 0.0
    volume = volumes[side, row, column]
    order = np.lexsort((column, row, side, -volume))[:DOTS]
    side, row, column, volume = side[order], row[order], column[order], volume[order]
    x = (column + 0.5) * survey.time.seconds
    middle = (survey.prices.step - survey.instrument.tick) / 2
    y = (survey.prices.low + row * survey.prices.step + middle) * survey.price_unit
    area = np.maximum(_AREA * volume / volume[0], 3.0)
    shades = np.where(side == 0, _BUY, _SELL).tolist()
    axes.scatter(x, y, s=area, c=shades, alpha=0.85, edgecolors=_NIGHT, linewidths=0.7)
    return len(order), float(volume[0])


def _drawn(survey: Survey, shown: int) -> str:
    volumes = np.sort(survey.sums.trades[survey.sums.trades > 0])[::-1]
    return share(float(volumes[:shown].sum()), float(volumes.sum()))


def _mark_times(axes: Axes, survey: Survey, low: float, high: float) -> bool:
    """Hatch times of doubt, blank those without data; whether there is doubt."""
    grid, covered = survey.time, survey.sums.columns["covered"] > 0
    for start, stop in runs(~covered):
        left, right = start * grid.seconds, stop * grid.seconds
        axes.axvspan(left, right, color=colour("void"), linewidth=0)
        if 12 * (stop - start) > grid.columns > 1:
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
    least = grid.columns * grid.seconds / 400
    for start, stop in runs(doubtful):
        left = start * grid.seconds
        axes.axvspan(
            left,
            max(stop * grid.seconds, left + least),
            facecolor="none",
            edgecolor=_DOUBT,
            hatch="////",
            linewidth=0,
            alpha=0.8,
        )
    return bool(doubtful.any())


def _ramp(canvas: Drawing, scale: _Scale, base: str) -> None:
    """The scale of colours, at the right."""
    axes = plot(canvas, _TOP, _PLOT, left=WIDTH - 56, right=46)
    floor, high = scale.floor, scale.high
    axes.imshow(
        scale.colours(np.logspace(floor, high, 256))[:, None, :],
        extent=(0, 1, floor, high),
        origin="lower",
        aspect="auto",
        interpolation="none",
    )
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.yaxis.tick_right()
    places = [(n, p) for p in range(-18, 19) for n in (1, 2, 5)]
    ticks = [(n, p) for n, p in places if floor <= np.log10(n) + p <= high]
    if len(ticks) > 7:
        ticks = [(n, p) for n, p in ticks if n == 1]
    sizes = [n * 10.0**p for n, p in ticks] or [float(f"{10**high:.2g}")]
    axes.set_yticks([min(float(np.log10(size)), high) for size in sizes])
    axes.set_yticklabels([plain(size) for size in sizes], fontsize=11)
    unit(axes, base)
