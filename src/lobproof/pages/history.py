"""``history_page``: fidelity over days as one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lobproof.errors import need_extra
from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.history import RANK, Change, History, Row, SymbolHistory
from lobproof.fidelity.reports import DIGITS, GATES, DamagedReport
from lobproof.pages.axes import TimeGrid
from lobproof.pages.figures import Figure, Key
from lobproof.pages.figures.style import (
    WIDTH,
    colour,
    drawing,
    finished,
    number_axis,
    plot,
    time_axis,
    unit,
)
from lobproof.pages.page import check_page, rendered, written
from lobproof.pages.verdicts import PAINTS, TONES
from lobproof.paths import AnyPath, as_path
from lobproof.schema.provenance import least_real, made_of
from lobproof.timespan import DAY_NS, day_start, show_days

_DRAWN = 120
"""So many days are drawn, the latest; the table has all."""
_NAMES = 170
"""Pixels for the names of metrics."""
_ROW = 15


def history_page(found: History, out: AnyPath) -> Path:
    """Write a history as a page: a self-contained HTML file. The same history, the same bytes.

    Raises
    ------
    UsageError, PlaceError
        As `check_page`.
    ExtraError
        If the packages of the extra ``report`` are not installed.
    """
    need_extra("report")
    out = as_path(out)
    check_page(out)
    parts = [_part(one, f"symbol-{number}") for number, one in enumerate(found.symbols)]
    values = {"parts": parts, "damaged": [_damaged(one) for one in found.damaged]}
    return written(out, rendered("history.html", values))


@dataclass(frozen=True, slots=True)
class _Part:
    """What the template needs of one symbol."""

    anchor: str
    exchange: str
    symbol: str
    span: str
    demo: bool
    made_of: str
    tone: str
    word: str
    says: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    figures: Sequence[Figure]
    changes: Sequence[Mapping[str, str]]
    no_changes: str


def _damaged(one: DamagedReport) -> str:
    return f"{one.path.parent.name}/{one.path.name}: {one.why}"


def _part(one: SymbolHistory, anchor: str) -> _Part:
    verdicts = [row.against.verdict for row in one.rows]
    worst = max(verdicts, key=RANK.__getitem__)
    worse = sorted({row.report.dt for row in one.rows if row.is_regression})
    stale = sorted({row.report.dt for row in one.rows if row.stale})
    says = [
        f"{what}: {show_days(days)}"
        for what, days in (
            ("Worse than in the report before", worse),
            ("Other content than was measured", stale),
            ("Never measured", one.unmeasured),
        )
        if days
    ]
    count = sum(RANK[verdict] == RANK[worst] for verdict in verdicts)
    return _Part(
        anchor,
        one.exchange,
        one.symbol,
        show_days(row.report.dt for row in one.rows),
        least_real(one.provenance) != "real",
        made_of(one.provenance),
        "bad" if worse else TONES[worst],
        f"{count} of {len(verdicts)} {worst.value}",
        says or ["No day became worse."],
        [_row(row) for row in one.rows],
        [_grid(one.rows, anchor), _worst(one.rows, anchor)],
        [_change(change) for change in one.changes],
        one.no_changes or "No figure has another level from some day on.",
    )


def _row(row: Row) -> dict[str, Any]:
    worst, gates = row.against.worst, {str(k): v for k, v in row.against.gates.items()}
    upper = None if worst is None else worst[1].upper
    return {
        "tone": TONES[row.against.verdict],
        "dt": row.report.dt,
        "verdict": row.against.verdict.value,
        "gates": [gates[name].value if name in gates else "–" for name in GATES],
        "failed": ", ".join(
            f"{name} (new)" if name in row.new_failures else name for name in row.against.failed
        ),
        "worst": "–" if worst is None else f"{worst[0].name}, {worst[1].name}",
        "upper": "–" if upper is None else f"{upper:.2%}",
        "change": row.change,
        "golden": row.against.golden.name,
        "report": row.report.id[:DIGITS],
    }


def _change(change: Change) -> dict[str, str]:
    return {
        "dt": change.dt,
        "metric": change.metric,
        "figure": change.figure,
        "before": f"{change.before:+.3%}",
        "after": f"{change.after:+.3%}",
    }


def _drawn(rows: Sequence[Row]) -> list[Row]:
    """The newest row with gate C of each of the latest days, in order of day."""
    newest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda one: one.report.run_at):
        if "C" in row.against.gates:
            newest[row.report.dt] = row
    return [newest[dt] for dt in sorted(newest)[-_DRAWN:]]


def _days_grid(rows: Sequence[Row]) -> TimeGrid:
    return TimeGrid.of_width(day_start(rows[0].report.dt), day_start(rows[-1].report.dt), DAY_NS)


def _grid(rows: Sequence[Row], anchor: str) -> Figure:
    """The verdict of each metric on each day."""
    title = "Every metric, day by day"
    drawn = _drawn(rows)
    if not drawn:
        return Figure("metrics", title, "", missing="No picture: no report has gate C.")
    grid = _days_grid(drawn)
    names = list(dict.fromkeys(one.name for row in drawn for one in row.against.metrics))
    height = 60 + _ROW * len(names)
    canvas = drawing(height)
    axes = plot(canvas, 10, _ROW * len(names), left=_NAMES, right=20)
    axes.grid(visible=False)
    places: dict[Verdict, list[tuple[float, int]]] = {}
    for row in drawn:
        at = (day_start(row.report.dt) - grid.origin) / 1e9
        for one in row.against.metrics:
            paint = Verdict.PASS if one.verdict is Verdict.EXACT else one.verdict
            places.setdefault(paint, []).append((at, names.index(one.name)))
    day = DAY_NS / 1e9
    for verdict, found in places.items():
        left, lines = (np.array(values) for values in zip(*found, strict=True))
        axes.barh(
            lines, day * 0.9, height=0.8, left=left + 0.05 * day, color=colour(PAINTS[verdict])
        )
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)))
    axes.set_yticklabels(names, fontsize=10)
    time_axis(axes, grid)
    return Figure(
        "metrics",
        title,
        f"Gate C of the newest report of each day, of the latest {_DRAWN} days at most. Days "
        "without a report are empty.",
        alt="Verdict of each metric on each day.",
        source=finished(canvas, f"metrics-{anchor}"),
        height=height,
        keys=[Key("box", PAINTS[one], one.value.replace("_", " ")) for one in places],
    )


def _worst(rows: Sequence[Row], anchor: str) -> Figure:
    """How near to its margin the worst figure of each day is."""
    title = "The worst figure of each day"
    points = [
        (row.report.dt, worst[1].nearness)
        for row in _drawn(rows)
        if (worst := row.against.worst) is not None and worst[1].upper is not None
    ]
    if not points:
        words = "No picture: no figure of gate C has an interval; the data is too short for it."
        return Figure("worst", title, "", missing=words)
    grid = TimeGrid.of_width(day_start(points[0][0]), day_start(points[-1][0]), DAY_NS)
    canvas = drawing(240)
    axes = plot(canvas, 36, 164)
    middle = [(day_start(dt) + DAY_NS // 2 - grid.origin) / 1e9 for dt, _ in points]
    axes.plot(
        middle,
        [y for _, y in points],
        color=colour("blue"),
        linewidth=1.6,
        marker=".",
        markersize=7,
    )
    axes.axhline(1.0, color=colour("doubt"), linewidth=1)
    axes.set_ylim(bottom=0)
    number_axis(axes.yaxis)
    time_axis(axes, grid)
    unit(axes, "margins")
    return Figure(
        "worst",
        title,
        "The most that it may differ by, with 95 % confidence, in its margin: below the line it "
        "passes.",
        alt="Upper bound of the worst figure of each day, in margins.",
        source=finished(canvas, f"worst-{anchor}"),
        width=WIDTH,
        height=240,
        keys=[Key("line", "blue", "at most"), Key("line", "doubt", "the margin")],
    )
