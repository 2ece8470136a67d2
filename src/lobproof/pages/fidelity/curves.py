"""Curves of both sides: depth by level, responses, autocorrelations, signature, tails, groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lobproof.fidelity.gates.settings import Settings
from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.catalogue import Family
from lobproof.fidelity.metrics.metric_kernels import DEPTH_BPS, DEPTH_LEVELS, HORIZONS_NS, PART
from lobproof.fidelity.metrics.pairs import LAGS
from lobproof.fidelity.metrics.returns import TAIL_SHARES, hill
from lobproof.fidelity.metrics.series import ADDITIVE
from lobproof.fidelity.metrics.volatility import SIGNATURE_S, signature
from lobproof.pages.fidelity.distributions import GOLDEN, KEYS, OURS
from lobproof.pages.fidelity.seen import Curve, Seen, reach
from lobproof.pages.figures.panel import Panel, Scale
from lobproof.pages.figures.style import Figure, Key, drawing, finished, plain
from lobproof.pages.tables import Table
from lobproof.pages.text import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

BOUNDS = Key("box", "frame", "95 % bounds")
MARGIN = Key("dash", "doubt", "margin")
_STATISTICS = {one.name: one for one in ADDITIVE}
_TOP, _PLOT = 36, 170
_HEIGHT = 260
_TAILS = np.unique(np.concatenate([np.geomspace(0.001, 0.1, 40), TAIL_SHARES]))
_AT_ONCE = 0.04
"""Where 0 s lies on a logarithmic axis."""
_FEWEST = 50
"""A group of fewer values than that is not drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The curves of a pair of sides.

    ``block_ns``: how long the blocks of each metric are; of what has none, the longest.
    """

    seen: Seen
    block_ns: Mapping[str, int]
    settings: Settings

    def of(self, family: Family) -> list[Figure]:
        """All of a family."""
        if family is Family.STATE:
            return [self.profile(), self.resilience(), self.given()]
        if family is Family.FLOW:
            return [self.responses(), self.events(), self.lags(family)]
        return [self.lags(family), self.signature(), self.hill()]

    def reported(self, family: Family, judged: Collection[str]) -> Table:
        """Single figures of a family that no gate judges, of both sides."""
        rows: list[tuple[str, ...]] = []
        for one in ADDITIVE:
            if one.family is not family or one.name in judged or one.at:
                continue
            name = one.name.rpartition("_")[0]
            name = name if name in self.block_ns else "return_1s"
            lines = [
                self._curve(name, side, self.seen.sums(side, one.sums), one.value)
                for side in (0, 1)
            ]
            said = (_with_reach(line) for line in lines)
            rows.append((f"`{one.name}`", one.title, one.unit, one.formula, *said))
        return Table(
            f"Reported of {family.value}, not judged",
            ("Figure", "What", "Unit", "Formula", "Ours", "Golden sample"),
            4,
            rows,
            "± reaches to the 95 % bounds. Kurtosis has a relative standard deviation of 55 to "
            "130 %: large values decide it.",
        )

    def profile(self) -> Figure:
        """Mean size up to each level, and within each distance from the mid."""
        canvas = drawing(_HEIGHT)
        for at, (names, where, words) in enumerate(
            (
                ([f"{{}}_depth_{level}" for level in DEPTH_LEVELS], DEPTH_LEVELS, "level"),
                ([f"{{}}_depth_{band}bps" for band in DEPTH_BPS], DEPTH_BPS, "bps from the mid"),
            )
        ):
            x = np.array(where, np.float64)
            named = [name.format("bid") for name in reversed(names)]
            named += [name.format("ask") for name in names]
            lines = [self._means(named, side) for side in (0, 1)]
            places = [np.concatenate([-x[::-1], x])] * 2
            scale = Scale(-1.05 * x[-1], 1.05 * x[-1])
            panel = self._panel(canvas, at, 2, scale, lines, from_0=True)
            _both(panel, places, lines)
            panel.ticks_x([*(-x[::-1]).tolist(), *x.tolist()], [plain(v) for v in [*x[::-1], *x]])
            panel.above("mean size up to there, lots; bids left, asks right of the touch")
            panel.below(words)
        return Figure(
            "profile",
            "Depth by level",
            "How much rests up to each level, and within each distance from the mid, on average.",
            "Mean depth of both sides by level and by distance",
            finished(canvas, "profile"),
            height=_HEIGHT,
            keys=[*KEYS, BOUNDS],
        )

    def responses(self) -> Figure:
        """What a trade costs, what of it is kept, and how far the mid goes after it."""
        canvas = drawing(_HEIGHT)
        seconds = [one / 1e9 for one in HORIZONS_NS]
        for at, (words, names, x) in enumerate(
            (
                (
                    "effective (at 0), then realised spread, bps",
                    ["effective_spread", *(f"realised_spread_{s:g}s" for s in seconds)],
                    [0.3, *seconds],
                ),
                ("price impact, bps", [f"impact_{s:g}s" for s in seconds], seconds),
            )
        ):
            lines = [self._means(names, side) for side in (0, 1)]
            scale = Scale(0.25, 40, True)
            panel = self._panel(canvas, at, 2, scale, lines, from_0=True)
            panel.across(0, "frame")
            _both(panel, [np.array(x)] * 2, lines)
            panel.ticks_x(x, ["0" if place < 1 else plain(place) for place in x])
            panel.above(words)
            panel.below("s after the trade")
        return Figure(
            "responses",
            "Response to trades",
            "Left: what takers pay beside the mid, and what of it is left once the mid has moved. "
            "Right: how far it has moved, in the taker's direction. Means over all trades.",
            "Mean effective and realised spread and price impact of both sides",
            finished(canvas, "responses"),
            height=_HEIGHT,
            keys=[*KEYS, BOUNDS],
        )

    def events(self) -> Figure:
        """How the mid goes on behind events at the touch."""
        kinds = ("market", "limit", "cancel", "market_moved", "limit_moved", "cancel_moved")
        named = {"market": "market orders", "limit": "limit orders", "cancel": "cancellations"}
        words = [
            f"{named[event]}{' that move the mid' if moved else ''}, ticks"
            for event, _, moved in (kind.partition("_") for kind in kinds)
        ]
        return self._behind(
            "events",
            "Response to events at the touch",
            "How far the mid has moved towards an event's direction, by the time since, on "
            "average. Nothing is judged by it.",
            [f"response_{kind}" for kind in kinds],
            words,
        )

    def resilience(self) -> Figure:
        """How the book comes back behind large trades."""
        return self._behind(
            "resilience",
            "The book behind large trades",
            "Spread, and size of the touch that was hit, beside what they were before a trade as "
            "large as the touch. At 1 the book is as it was. Nothing is judged by it.",
            ["resilience_spread", "resilience_depth"],
            ["spread, times that before", "size of the touch, times that before"],
        )

    def _behind(
        self, name: str, title: str, caption: str, statistics: Sequence[str], words: Sequence[str]
    ) -> Figure:
        """Statistics by the time since something."""
        many = min(len(statistics), 3)
        height = _HEIGHT * -(-len(statistics) // many)
        canvas = drawing(height)
        for at, (what, said) in enumerate(zip(statistics, words, strict=True)):
            one = _STATISTICS[what]
            x = np.array([place or _AT_ONCE for place in one.at])
            lines = [
                self._curve("return_1s", side, self.seen.sums(side, one.sums), one.value)
                for side in (0, 1)
            ]
            scale = Scale(0.8 * _AT_ONCE, 1.2 * float(x[-1]), True)
            top = _TOP + at // many * _HEIGHT
            panel = self._panel(canvas, at % many, many, scale, lines, top=top)
            _both(panel, [x, x], lines)
            panel.ticks_x([_AT_ONCE, 0.1, 1, 10], ["0", "0.1", "1", "10"])
            panel.above(said)
            panel.below("s after (log scale)")
        return Figure(
            name,
            title,
            caption,
            f"{title}, of both sides",
            finished(canvas, name),
            height=height,
            keys=[*KEYS, BOUNDS],
        )

    def lags(self, family: Family) -> Figure:
        """Autocorrelations and their differences."""
        shown: Sequence[tuple[str, str]] = (("acf_return", "r"), ("acf_absolute_return", "|r|"))
        shown = (*shown, ("acf_squared_return", "r²"))
        if family is Family.FLOW:
            shown = (("acf_trade_sign", "sign of trading"), ("acf_trade_imbalance", "imbalance"))
        height = _TOP + 120 + 40 + 90 + 54
        canvas = drawing(height)
        near = LAGS[1:] * 1_000_000_000 <= self.settings.lag_share * self._span_ns()
        lags = LAGS[1:][near].astype(np.float64)
        name = f"lags_{family.name.lower()}"
        title = "Autocorrelation"
        if len(lags) < 2:
            words = "No picture: the window is too short for a lag of 2 s."
            return Figure(name, title, "", missing=words)
        scale = Scale(1, float(lags[-1]), True)
        for at, (what, words) in enumerate(shown):
            one = _STATISTICS[what]
            lines = [
                self._curve(what, side, self.seen.sums(side, one.sums), one.value)
                for side in (0, 1)
            ]
            lines = [Curve(line.value[near], line.parts[:, near]) for line in lines]
            panel = self._panel(canvas, at, len(shown), scale, lines, height=120)
            panel.across(0, "frame")
            _both(panel, [lags] * 2, lines, bounds=not self.seen.is_paired, dots=0)
            panel.ticks_x([])
            panel.above(f"{words}: correlation")
            self._gap(canvas, at, len(shown), scale, lags, lines)
        keys = [*KEYS, BOUNDS]
        if self.seen.is_paired:
            keys.append(MARGIN)
        return Figure(
            name,
            title,
            "Of values a second apart, by lag. Returns hardly remember anything; their magnitudes "
            "do for minutes. Below: ours − golden.",
            f"Autocorrelations of both sides: {family.value}",
            finished(canvas, name),
            height=height,
            keys=keys,
        )

    def signature(self) -> Figure:
        """Realised volatility by the step that it is measured with."""
        canvas = drawing(_HEIGHT)
        sums = _STATISTICS["signature"].sums
        lines = [
            self._curve("return_1s", side, self.seen.sums(side, sums), _volatility)
            for side in (0, 1)
        ]
        x = np.array(SIGNATURE_S)
        panel = self._panel(canvas, 0, 1, Scale(0.09, 66, True), lines)
        _both(panel, [x, x], lines)
        panel.ticks_x(SIGNATURE_S)
        panel.above("realised volatility, bps per √s")
        panel.below("step, s (log scale)")
        return Figure(
            "signature",
            "Signature plot",
            "Volatility by the step of its returns. Flat where the mid is a random walk; higher on "
            "the left where it bounces, on the right where it trends.",
            "Realised volatility of both sides by step",
            finished(canvas, "signature"),
            height=_HEIGHT,
            keys=[*KEYS, BOUNDS],
        )

    def hill(self) -> Figure:
        """The exponent of the tail by how much of the tail is taken."""
        title = "Hill plot"
        lines = []
        for side in (0, 1):
            steps = self.seen.steps(side, 1.0)
            returns = self.seen.grids[side].returns(steps)[steps.known]
            tails = [hill(returns, float(share)) for share in _TAILS]
            value, error = (
                np.array([getattr(tail, name) for tail in tails]) for name in ("survival", "error")
            )
            lines.append((value, 1.645 * error))
        if not all(np.isfinite(value).any() for value, _ in lines):
            return Figure(
                "hill", title, "", missing="No picture: too few returns, or most of them are 0."
            )
        canvas = drawing(_HEIGHT)
        tops = [np.nanmax(value + error) for value, error in lines]
        y = Scale(0, min(float(max(tops)) * 1.05, 12))
        panel = Panel(canvas, _place(0, 1, _PLOT), Scale(0.001, 0.1, True), y)
        panel.ticks_y(y.round_numbers(5))
        panel.fill([0.001, 0.1], [2, 2], [5, 5], "void", 0.8)
        (ours, _), (golden, error) = lines
        known = np.isfinite(golden)
        panel.fill(_TAILS[known], (golden - error)[known], (golden + error)[known], "frame", 0.6)
        for value, paint, width in ((golden, GOLDEN, 3.2), (ours, OURS, 1.4)):
            at = np.isfinite(value)
            panel.line(_TAILS[at], value[at], paint, width)
        panel.ticks_x([0.001, *TAIL_SHARES, 0.05, 0.1], ["0.1", "0.5", "1", "2", "5", "10"])
        panel.above("exponent of the survival function")
        panel.below("the largest returns of 1 s, % of all (log scale)")
        return Figure(
            "hill",
            title,
            "How fast large returns become rare: P(|r| > x) falls like x to the power of minus the "
            "exponent; markets have 2 to 5 (shaded). The bounds take values for independent, and "
            "are too narrow. At 1 % the exponent has a standard deviation of some 8 to 18 % a day.",
            "Tail exponent of both sides by the share of returns taken",
            finished(canvas, "hill"),
            height=_HEIGHT,
            keys=[*KEYS, Key("box", "frame", "95 % bounds, were values independent")],
        )

    def given(self) -> Figure:
        """One value given another."""
        canvas = drawing(2 * _HEIGHT)
        for at, (name, words, below, scale) in enumerate(
            (
                ("ask_given_spread", "mean size at the best ask, lots", "spread, ticks", 1.0),
                (
                    "spread_given_volatility",
                    "mean spread, ticks",
                    "volatility of the minute, bps per √s",
                    1e4 / PART,
                ),
                ("spread_given_hour", "mean spread, ticks", "hour, UTC", 1.0),
                ("volume_given_hour", "mean volume of 0.1 s, lots", "hour, UTC", 1.0),
            )
        ):
            places = [scale * place for place in _STATISTICS[name].at]
            self._group(canvas, at, name, places, words, below)
        return Figure(
            "given",
            "One value given another",
            "Means of one value in groups of another, as users of market generators look at them. "
            f"Groups with fewer than {_FEWEST} values are left out. Nothing is judged by them.",
            "Conditional means of both sides",
            finished(canvas, "given"),
            height=2 * _HEIGHT,
            keys=[*KEYS, BOUNDS],
        )

    def _group(
        self,
        canvas: Drawing,
        at: int,
        name: str,
        places: Sequence[float],
        words: str,
        below: str,
    ) -> None:
        one = _STATISTICS[name]
        sums = [self.seen.sums(side, one.sums) for side in (0, 1)]
        many = np.minimum(*(part[..., 0].sum(axis=0) for part in sums)) >= _FEWEST
        x = np.arange(int(many.sum()), dtype=np.float64)
        lines = []
        for side in (0, 1):
            line = self._curve("return_1s", side, sums[side], one.value)
            lines.append(Curve(line.value[many], line.parts[:, many]))
        scale = Scale(-0.5, max(len(x), 1) - 0.5)
        top = _TOP + (at // 2) * _HEIGHT
        panel = self._panel(canvas, at % 2, 2, scale, lines, top=top, from_0=True)
        if len(x) > 1:
            _both(panel, [x, x], lines)
        names = [plain(float(f"{places[k]:.3g}")) for k in np.flatnonzero(many).tolist()]
        every = max(1, -(-len(x) // 8))
        panel.ticks_x(x[::every].tolist(), names[::every])
        panel.above(words if len(x) > 1 else f"{words}: fewer than two groups have enough values")
        panel.below(below)

    def _gap(
        self,
        canvas: Drawing,
        at: int,
        many: int,
        scale: Scale,
        x: Float64,
        lines: Sequence[Curve],
    ) -> None:
        """The difference of two curves over the same blocks, with its bounds and margin."""
        gap = lines[0].value - lines[1].value
        band = np.zeros(len(gap))
        margin = self.settings.margin if self.seen.is_paired else 0.0
        if self.seen.is_paired:
            band = np.nan_to_num(reach(lines[0].parts - lines[1].parts))
        known = np.isfinite(gap)
        gap, band, x = gap[known], band[known], x[known]
        top = max([1.15 * float((np.abs(gap) + band).max(initial=0.0)), 1.5 * margin])
        panel = Panel(
            canvas, _place(at, many, 90, _TOP + 160), scale, Scale(-max(top, 1e-4), max(top, 1e-4))
        )
        panel.ticks_y(panel.y.round_numbers(3))
        if band.any():
            panel.fill(x, gap - band, gap + band, "frame", 0.6)
        panel.across(0, "frame")
        if len(x):
            panel.line(x, gap, OURS, 1.4)
        if margin:
            for side in (-margin, margin):
                panel.across(side, "doubt", dashed=True)
        panel.ticks_x([place for place in (1, 10, 100, 1000) if place <= scale.high])
        panel.above("difference, ours − golden")
        panel.below("lag, s (log scale)")

    def _panel(
        self,
        canvas: Drawing,
        at: int,
        many: int,
        scale: Scale,
        lines: Sequence[Curve],
        *,
        top: float = _TOP,
        height: float = _PLOT,
        from_0: bool = False,
    ) -> Panel:
        """One of ``many`` plots beside each other that holds these curves and their bounds."""
        values = [0.0] if from_0 else []
        for line in lines:
            around = np.nan_to_num(line.reach)
            for edge in (line.value - around, line.value + around):
                values += edge[np.isfinite(edge)].tolist()
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        y = Scale(low if from_0 and low == 0 else low - room, high + room)
        panel = Panel(canvas, _place(at, many, height, top), scale, y)
        panel.ticks_y(y.round_numbers(4))
        return panel

    def _means(self, names: Sequence[str], side: int) -> Curve:
        """Means of metrics of one side, in their units."""
        scale = np.array([self.seen.scale(name) for name in names])
        block_ns = max(self._block(name) for name in names)
        sums = self.seen.moments(side, *names)
        return self.seen.curve(side, block_ns, sums, lambda made: scale * _mean(made))

    def _curve(
        self, name: str, side: int, sums: Float64, value: Callable[[Float64], Float64]
    ) -> Curve:
        return self.seen.curve(side, self._block(name), sums, value)

    def _block(self, name: str) -> int:
        return self.block_ns.get(name) or max(self.block_ns.values(), default=0)

    def _span_ns(self) -> int:
        return len(self.seen) * self.seen.block_ns


def _with_reach(line: Curve) -> str:
    """A single figure and from there to its bounds."""
    value, around = float(line.value), float(line.reach)
    if math.isnan(value):
        return "–"
    told = short(value, 4).replace("-", "−")
    return told if math.isnan(around) else f"{told} ± {short(around, 2)}"


def _volatility(sums: Float64) -> Float64:
    return np.asarray(1e4 * np.sqrt(signature(sums)), np.float64)


def _mean(sums: Float64) -> Float64:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 1] / sums[..., 0], np.float64)


def _both(
    panel: Panel,
    x: Sequence[Float64],
    lines: Sequence[Curve],
    *,
    bounds: bool = True,
    dots: float = 1.0,
) -> None:
    """The golden sample's curve with its bounds, and ours."""
    for side, paint, width, size in ((1, GOLDEN, 3.2, 7.0), (0, OURS, 1.4, 4.0)):
        value, around = lines[side].value, lines[side].reach
        known = np.isfinite(value)
        if side == 1 and bounds:
            at = known & np.isfinite(around)
            if at.any():
                panel.fill(x[1][at], (value - around)[at], (value + around)[at], "frame", 0.6)
        if known.any():
            panel.line(x[side][known], value[known], paint, width, dots=dots * size)


def _place(
    at: int, many: int, height: float, top: float = _TOP
) -> tuple[float, float, float, float]:
    """The place of one of ``many`` plots beside each other."""
    width = 1120 / many
    return at * width + 60, top, width - 60 - 24, height
