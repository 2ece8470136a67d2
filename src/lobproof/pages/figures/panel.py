"""``Panel``: a plot without Matplotlib's axes, for pages with hundreds of them.

It draws straight onto the canvas, in pixels, and takes a quarter of the time of axes: most of that
goes into ticks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobproof.pages.figures.style import colour, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_Pixels = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from ``low`` to ``high``, by logarithms where ``is_log``."""

    low: float
    high: float
    is_log: bool = False

    def share(self, values: ArrayLike) -> _Pixels:
        """How far along the axis values lie, 0 to 1; what lies beyond is at its end."""
        low, high = self.low, self.high
        found = np.clip(np.asarray(values, np.float64), low, high)
        if self.is_log:
            low, high, found = np.log(low), np.log(high), np.log(found)
        return np.asarray((found - low) / (high - low), np.float64)

    def round_numbers(self, most: int) -> list[float]:
        """Round numbers along it: decades of a logarithmic axis."""
        if self.is_log:
            first, last = np.ceil(np.log10(self.low)), np.floor(np.log10(self.high))
            every = max(1, int(np.ceil((last - first + 1) / most)))
            powers = np.arange(int(first), int(last) + 1, every)
            found = [float(10.0**power) for power in powers]
            return found if len(found) > 1 else self._small(most)
        from matplotlib.ticker import MaxNLocator

        values = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        reach = 1e-9 * (self.high - self.low)
        return [float(v) for v in values if self.low - reach <= v <= self.high + reach]

    def _small(self, most: int) -> list[float]:
        """Of less than two decades: ones, twos and fives."""
        power = np.floor(np.log10(self.low))
        found = [m * 10.0 ** (power + k) for k in range(3) for m in (1, 2, 5)]
        inside = [float(value) for value in found if self.low <= value <= self.high]
        return inside[:: max(1, -(-len(inside) // most))]


class Panel:
    """A plot at a place of a drawing; ``left``, ``top`` and so on in pixels."""

    def __init__(
        self,
        drawing: Drawing,
        place: tuple[float, float, float, float],
        x: Scale,
        y: Scale,
    ) -> None:
        self.left, self.top, self.width, self.height = place
        self.x, self.y = x, y
        self._drawing = drawing
        self._bottom = float(drawing.get_figheight()) * 72 - self.top - self.height

    def at(self, x: ArrayLike, y: ArrayLike) -> tuple[_Pixels, _Pixels]:
        """Pixels of values, from the lower left corner of the drawing."""
        return (
            self.left + self.width * self.x.share(x),
            self._bottom + self.height * self.y.share(y),
        )

    def line(
        self,
        x: ArrayLike,
        y: ArrayLike,
        paint: str,
        width: float = 1.5,
        *,
        dashed: bool = False,
        dots: float = 0.0,
        joined: bool = True,
    ) -> None:
        """A line through values, or ``dots`` of that size."""
        from matplotlib.lines import Line2D

        px, py = self.at(x, y)
        line = Line2D(
            px.tolist(),
            py.tolist(),
            color=colour(paint),
            linewidth=width,
            linestyle=("--" if dashed else "-") if joined else "none",
            marker="o" if dots else "none",
            markersize=dots,
            markeredgewidth=0,
            transform=None,
        )
        self._add(line)

    def steps(self, edges: ArrayLike, values: ArrayLike, paint: str, width: float = 1.5) -> None:
        """A value between each edge and the next."""
        x, y = np.repeat(np.asarray(edges), 2), np.repeat(np.asarray(values), 2)
        self.line(x[1:-1], y, paint, width)

    def fill(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, paint: str, alpha: float) -> None:
        """The area between two lines."""
        x, low, high = (np.asarray(one, np.float64) for one in (x, low, high))
        over = np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]])
        self._polygon(*self.at(*over), paint, alpha)

    def bars(self, edges: ArrayLike, values: ArrayLike, paint: str, alpha: float = 1.0) -> None:
        """A filled histogram, from 0 on."""
        x, y = np.repeat(np.asarray(edges), 2), np.repeat(np.asarray(values), 2)
        self.fill(x[1:-1], np.zeros(len(y)), y, paint, alpha)

    def ticks_x(self, places: Sequence[float], names: Sequence[str] | None = None) -> None:
        """Labels below; the axis itself."""
        self._rule([self.left, self.left + self.width], [self._bottom] * 2, "frame")
        names = [plain(place) for place in places] if names is None else names
        for px, name in zip(self.at(places, self.y.low)[0].tolist(), names, strict=True):
            self._text(px, self._bottom - 6, name, "muted", ha="center", va="top")

    def ticks_y(self, places: Sequence[float], names: Sequence[str] | None = None) -> None:
        """Labels to the left, and lines across."""
        names = [plain(place) for place in places] if names is None else names
        for py, name in zip(self.at(self.x.low, places)[1].tolist(), names, strict=True):
            self._rule([self.left, self.left + self.width], [py] * 2, "grid")
            self._text(self.left - 6, py, name, "muted", ha="right", va="center")

    def across(self, y: float, paint: str, *, dashed: bool = False) -> None:
        """A line across at a value."""
        self.line([self.x.low, self.x.high], [y, y], paint, 1.0, dashed=dashed)

    def above(self, text: str) -> None:
        """What the vertical axis counts."""
        top = self._bottom + self.height
        self._text(self.left - 6, top + 9, text, "muted", ha="left", va="bottom")

    def below(self, text: str) -> None:
        """What the horizontal axis counts."""
        right = self.left + self.width
        self._text(right, self._bottom - 24, text, "muted", ha="right", va="top")

    def word(self, x: float, y: float, text: str, paint: str, size: float = 11) -> None:
        """A word that begins at a value."""
        px, py = self.at(x, y)
        self._text(float(px), float(py), text, paint, fontsize=size, ha="left", va="center")

    def _text(self, x: float, y: float, text: str, paint: str, **more: Any) -> None:
        from matplotlib.text import Text

        given = {"fontsize": 12, "parse_math": False, "transform": None, **more}
        self._add(Text(x, y, text, color=colour(paint), **given))

    def _rule(self, x: list[float], y: list[float], paint: str) -> None:
        from matplotlib.lines import Line2D

        self._add(Line2D(x, y, color=colour(paint), linewidth=1, zorder=0.5, transform=None))

    def _polygon(self, x: _Pixels, y: _Pixels, paint: str, alpha: float) -> None:
        from matplotlib.patches import Polygon

        corners = np.column_stack([x, y])
        self._add(
            Polygon(corners, facecolor=colour(paint), alpha=alpha, linewidth=0, transform=None)
        )

    def _add(self, artist: Any) -> None:
        from matplotlib.transforms import IdentityTransform

        artist.set_transform(IdentityTransform())
        self._drawing.add_artist(artist, clip=False)
