"""What trades did to the book, and how many messages and trades there were."""

from __future__ import annotations

import numpy as np

from lobproof.pages.axes import TimeGrid
from lobproof.pages.figures.style import (
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

RESIDUALS = (
    ("explained", "blue", "explained: the level fell by as much"),
    ("refilled", "sky", "refilled: it fell by less"),
    ("transient", "violet", "transient: born and gone inside one message"),
    ("grown", "sand", "grown: it did not fall"),
    ("unnamed", "doubt", "unnamed: no message names it in time"),
)
"""Names, colours and meanings of the parts into which traded volume falls."""

_NO_TRADES = "No picture: the store holds no trade in this span."
_PARTS = 280


def reconciliation(survey: Survey) -> Figure:
    """Traded volume by what the book did about it."""
    title = "Do trades and book agree?"
    base, _ = currencies(survey.symbol)
    totals = {name: float(survey.minutes[f"{name}_volume"].sum()) for name, _, _ in RESIDUALS}
    judged = sum(totals.values())
    if not survey.sums.counts.trades:
        return Figure("trades", title, "", missing=_NO_TRADES)
    if judged <= 0:
        return Figure(
            "trades",
            title,
            "",
            missing=(
                "No picture: no traded volume could be held against the book, because the book was "
                "nowhere trusted when trades took place."
            ),
        )
    height = 40 + 132 + 46 + 76 + 44
    canvas = drawing(height)
    shares, volumes = plot(canvas, 40, 132), plot(canvas, 40 + 132 + 46, 76)
    parts = survey.parts
    edges = parts.edges_from(survey.time.origin)
    stacked: list[Float64] = [np.zeros(parts.columns)]
    for name, _, _ in RESIDUALS:
        values = survey.by_part(f"{name}_volume", "sum")
        stacked.append(stacked[-1] + np.nan_to_num(values))
    total = stacked[-1]
    with np.errstate(invalid="ignore"):
        for (_, shade, _), low, high in zip(RESIDUALS, stacked, stacked[1:], strict=False):
            shares.stairs(
                100 * high / total,
                edges,
                baseline=100 * low / total,
                fill=True,
                color=colour(shade),
                linewidth=0,
            )
    volumes.stairs(total, edges, fill=True, color=colour("blue"), linewidth=0)
    shares.set_ylim(0, 100)
    shares.set_yticks([0, 25, 50, 75, 100])
    shares.set_axisbelow(True)
    volumes.set_ylim(0, float(total.max()) * 1.08)
    number_axis(volumes.yaxis, 3)
    time_axis(shares, survey.time, labels=False)
    time_axis(volumes, survey.time)
    unit(shares, "share of the volume, %")
    unit(volumes, f"volume per {duration(parts.width)}, {base}")
    told = ", ".join(f"{name} {share(totals[name], judged)}" for name, _, _ in RESIDUALS)
    traded = sum(float(survey.minutes[f"{taker}_volume"].sum()) for taker in ("buy", "sell"))
    caption = (
        "A trade takes size from a level, and one of the next two depth messages should show it. "
        f"Of {short(judged, 4)} {base} that could be judged ({share(judged, traded)} of what was "
        f"traded): {told}. Mostly blue is right; refills and growth are other people's new "
        "orders; much red means that trades and book do not belong together (a wrong side, a "
        "wrong clock, a lost message)."
    )
    return Figure(
        "trades",
        title,
        caption,
        f"Reconciliation of trades and book of {survey.symbol}",
        finished(canvas, "trades"),
        height=height,
        keys=[Key("box", shade, words) for _, shade, words in RESIDUALS],
    )


def rates(survey: Survey) -> Figure:
    """Book messages and trades per second, and volume by taker."""
    columns, grid = survey.sums.columns, survey.time
    base, _ = currencies(survey.symbol)
    factor = max(1, -(-grid.columns // _PARTS))
    wide = TimeGrid(grid.origin, grid.width * factor, -(-grid.columns // factor))
    height = 40 + 92 + 46 + 92 + 46 + 112 + 48
    canvas = drawing(height)
    seconds = wide.seconds

    def parts(sums: Float64) -> Float64:
        total: Float64 = np.add.reduceat(sums, np.arange(0, grid.columns, factor))
        return total

    top = 40.0
    for name, shade, words in (
        ("messages", "blue", "book messages per second"),
        ("trades", "violet", "trades per second"),
    ):
        axes = plot(canvas, top, 92)
        values = parts(columns[name]) / seconds
        axes.stairs(values, wide.edges, fill=True, color=colour(shade), linewidth=0)
        axes.set_ylim(0, max(float(values.max()) * 1.1, 1e-9))
        number_axis(axes.yaxis, 3)
        time_axis(axes, grid, labels=False)
        unit(axes, words)
        top += 92 + 46
    axes = plot(canvas, top, 112)
    buys, sells = (parts(columns["volume"][:, side]) * survey.size_unit for side in (0, 1))
    axes.stairs(buys, wide.edges, fill=True, color=colour("bid"), linewidth=0)
    axes.stairs(-sells, wide.edges, fill=True, color=colour("ask"), linewidth=0)
    reach = max(float(buys.max()), float(sells.max()), 1e-9) * 1.1
    axes.set_ylim(-reach, reach)
    axes.axhline(0, color=colour("frame"), linewidth=1)
    number_axis(axes.yaxis, 4)
    axes.yaxis.set_major_formatter(lambda value, _: plain(abs(value)))
    time_axis(axes, grid)
    unit(axes, f"volume per {duration(wide.width)}, {base}: buyers up, sellers down")
    length = max((survey.span[1] - survey.span[0]) / 10**9, 1e-9)
    sums = survey.sums
    caption = (
        f"Parts of {duration(wide.width)}. On average {short(sums.counts.messages / length)} book "
        f"messages and {short(sums.counts.trades / length)} trades a second; bought "
        f"{short(float(buys.sum()), 4)}, sold {short(float(sells.sum()), 4)} {base} (by the "
        "taker's side). Bursts in messages and trades should come together; a stretch of one "
        "without the other is worth a look."
    )
    if not sums.counts.trades:
        caption = (
            f"Parts of {duration(wide.width)}. {count(sums.counts.messages)} book messages; no "
            "trade was recorded, so the two lower plots are empty."
        )
    return Figure(
        "rates",
        "Messages and trades",
        caption,
        f"Rates of messages and trades of {survey.symbol}",
        finished(canvas, "rates"),
        height=height,
        keys=[Key("box", "bid", "buyers took"), Key("box", "ask", "sellers took")],
    )
