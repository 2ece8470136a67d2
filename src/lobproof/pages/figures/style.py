"""One look for all pictures: sizes, colours, axes; and how a drawing becomes an ``<img>``.

A drawing is made in the colours of the light scheme; in the SVG each of them becomes a CSS
variable that a dark scheme sets to another. Fonts are the reader's own. The same drawing always
gives the same bytes.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lobproof.pages.axes import TimeGrid, nice_width
from lobproof.pages.text import THIN, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

WIDTH = 1120
LEFT, RIGHT = 74, 66
"""Pixels left and right of the plots: the same in all pictures, so that times lie below times."""

COLOURS = {
    "ink": ("#1b2431", "#e4eaf2"),
    "muted": ("#5b6b7e", "#97a5b8"),
    "grid": ("#e2e7ee", "#28323f"),
    "frame": ("#c3ccd8", "#3b4757"),
    "panel": ("#fefefe", "#121922"),
    "bid": ("#0b8a83", "#2fc4b8"),
    "ask": ("#d65f1f", "#ff9657"),
    "blue": ("#2f6db3", "#6aa9ec"),
    "sky": ("#8cb8e0", "#39638f"),
    "violet": ("#a08cc9", "#8f7cc0"),
    "sand": ("#e3b04b", "#c9962f"),
    "doubt": ("#b4232a", "#ff6b6b"),
    "warning": ("#b57a05", "#e3b341"),
    "info": ("#7a8aa0", "#8896a8"),
    "void": ("#eef1f5", "#1b2430"),
}
"""Colours by name: in a light scheme, in a dark one."""

_FONT = "DejaVu Sans"
_FAMILY = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
_WORDY = re.compile(r"font-family: [^;\"]*; ?| transform=\"rotate\(-?0 [^)]*\)\"")
_SPACES = re.compile(r"[ \n]+")
_PLACES = re.compile(r' (?:d|x|y)="[^"]*"')
_LONG = re.compile(r"(\.\d\d)\d+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a picture's legend.

    ``mark`` is ``line``, ``dash``, ``dot``, ``box``, ``hatch`` or ``ramp``.
    """

    mark: str
    colour: str
    label: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with its words; without data only the words, which say why."""

    name: str
    title: str
    caption: str
    alt: str = ""
    source: str = ""
    width: int = WIDTH
    height: int = 0
    keys: Sequence[Key] = ()
    missing: str = ""


def colour(name: str) -> str:
    """A colour of the light scheme, which the SVG turns into a variable."""
    return COLOURS[name][0]


def drawing(height: int) -> Drawing:
    """An empty drawing, ``WIDTH`` × ``height`` pixels (a point is a pixel)."""
    from matplotlib.figure import Figure as Drawing

    return Drawing(figsize=(WIDTH / 72, height / 72), dpi=72)


def plot(
    drawing: Drawing, top: float, height: float, *, left: float = LEFT, right: float = RIGHT
) -> Axes:
    """Axes at these distances, in pixels, from the edges of the drawing."""
    total = float(drawing.get_figheight()) * 72
    axes = drawing.add_axes(
        (left / WIDTH, 1 - (top + height) / total, (WIDTH - left - right) / WIDTH, height / total)
    )
    axes.set_facecolor("none")
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(colour("frame"))
        spine.set_linewidth(1)
    axes.tick_params(length=0, labelsize=12, labelcolor=colour("muted"), pad=6)
    axes.grid(axis="y", color=colour("grid"), linewidth=1)
    axes.set_axisbelow(True)
    return axes


def unit(axes: Axes, text: str) -> None:
    """Say above the axes what the vertical one counts."""
    axes.annotate(
        text,
        (0, 1),
        (-6, 9),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=12,
        color=colour("muted"),
        ha="left",
        va="bottom",
        annotation_clip=False,
        parse_math=False,
    )


def time_axis(axes: Axes, grid: TimeGrid, *, labels: bool = True, wide: float = 1.0) -> None:
    """A UTC axis in seconds after the grid's origin; ``wide`` is the part of the usual width."""
    span = grid.width * grid.columns
    axes.set_xlim(0, span / 10**9)
    step = nice_width(span, max(round(9 * wide), 2), 10**6)
    ticks = list(range(-grid.origin % step, span + 1, step))
    axes.set_xticks([tick / 10**9 for tick in ticks])
    names = [_time_label(grid.origin + tick, step, first=at == 0) for at, tick in enumerate(ticks)]
    axes.set_xticklabels(names if labels else [""] * len(ticks))
    axes.tick_params(axis="x", length=4 if labels else 0, color=colour("frame"))


def number_axis(axis: Any, most: int = 5) -> None:
    """Ticks at round numbers, written for people."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))


def plain(value: float) -> str:
    """A tick's label: thousands and millions in short."""
    for scale, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(value) >= (scale if scale > 10**3 else 10**4):
            return f"{short(value / scale)}{THIN}{name}"
    return short(value, 6).replace("-", "−")


def finished(drawing: Drawing, name: str) -> str:
    """The drawing as a data URI of an SVG image."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": f"lobproof-{name}",
            "font.family": [_FONT],
            "hatch.linewidth": 1.0,
        }
    ):
        drawing.savefig(
            buffer,
            format="svg",
            facecolor="none",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(
        r'width="([\d.]+)pt" height="([\d.]+)pt"', r'width="\1" height="\2"', text, count=1
    )
    text = _WORDY.sub("", text)
    text = _SPACES.sub(" ", text)
    # a hundredth of a pixel is fine enough
    text = _PLACES.sub(lambda found: _LONG.sub(r"\1", found[0]), text)
    for key, (light, _) in COLOURS.items():
        text = text.replace(light, f"var(--{key})")
    head, rest = text.split(">", 1)
    encoded = base64.b64encode(f"{head}>{_scheme()}{rest}".encode()).decode()
    return f"data:image/svg+xml;base64,{encoded}"


def _scheme() -> str:
    light, dark = (
        "".join(f"--{name}:{pair[at]};" for name, pair in COLOURS.items()) for at in (0, 1)
    )
    return (
        f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"text{{font-family:{_FAMILY};font-variant-numeric:tabular-nums}}</style>"
    )


def _time_label(ns: int, step: int, *, first: bool) -> str:
    seconds, fraction = divmod(ns, 10**9)
    time = datetime.fromtimestamp(seconds, UTC)
    day = f"{time.day} {time:%b}"
    if step % _DAY == 0:
        return day
    text = f"{time:%H:%M}"
    if step % (60 * 10**9):
        text = f"{time:%H:%M:%S}"
    if step % 10**9:
        text += f".{fraction // 10**6:03d}"
    return f"{text}\n{day}" if first or ns % _DAY == 0 else text
