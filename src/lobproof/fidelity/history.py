"""``history``: fidelity over days, from the reports that a store keeps.

Of each day, golden sample and level the newest report stands against the one before it, and each
figure of gate C against what it was on other days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import fmean
from typing import Any

from lobproof.errors import ExtraError, UsageError
from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.settings import Level
from lobproof.fidelity.inference.changes import LEAST, change_points
from lobproof.fidelity.inference.equivalence import MARGIN
from lobproof.fidelity.reports import (
    DamagedReport,
    KeptAgainst,
    KeptReport,
    kept_reports,
)
from lobproof.paths import AnyPath
from lobproof.schema.provenance import least_real
from lobproof.store import Scope, Store, as_store

RANK = {Verdict.EXACT: 0, Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2}
"""From good to bad."""
_FLOOR = 0.1
"""Figures that scatter less than this share of their margin are taken to scatter so much."""


@dataclass(frozen=True, slots=True)
class Row:
    """The newest report of a day against one golden sample at one level, and the one before it.

    ``stale``: the day has other content by now, or is not in the store any more.
    """

    report: KeptReport
    against: KeptAgainst
    before: KeptReport | None
    against_before: KeptAgainst | None
    runs: int
    stale: bool

    @property
    def new_failures(self) -> tuple[str, ...]:
        """What fails, and did not before; of a first report nothing."""
        if self.against_before is None:
            return ()
        return tuple(n for n in self.against.failed if n not in self.against_before.failed)

    @property
    def is_regression(self) -> bool:
        """Whether the verdict is worse than before, or something fails that did not."""
        if self.against_before is None:
            return False
        worse = RANK[self.against.verdict] > RANK[self.against_before.verdict]
        return worse or bool(self.new_failures)

    @property
    def change(self) -> str:
        """What became of the verdict, and what else is not as it was, in words."""
        if self.before is None or self.against_before is None:
            return f"first report{self._level}"
        before, now = RANK[self.against_before.verdict], RANK[self.against.verdict]
        if self.is_regression:
            word = f"worse, was {self.against_before.verdict}" if now > before else "new failures"
        else:
            word = f"better, was {self.against_before.verdict}" if now < before else "as before"
        what = {
            "content": self.before.content_hash != self.report.content_hash,
            "settings": self.before.settings_hash != self.report.settings_hash,
            "metrics": self.before.metrics_version != self.report.metrics_version,
        }
        other = [name for name, differs in what.items() if differs]
        told = f"; other {', '.join(other)}" if other else ""
        return f"{word}{told}{self._level}"

    @property
    def _level(self) -> str:
        """What is said of a level that is not the usual one."""
        level = self.report.level
        return "" if level in (None, Level.STANDARD) else f"; {level}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        worst = self.against.worst
        return {
            "dt": self.report.dt,
            "golden": {
                "name": self.against.golden.name,
                "content_hash": self.against.golden.content_hash,
            },
            "level": self.report.level,
            "verdict": self.against.verdict.value,
            "gates": {name: verdict.value for name, verdict in self.against.gates.items()},
            "failed": list(self.against.failed),
            "new_failures": list(self.new_failures),
            "regression": self.is_regression,
            "change": self.change,
            "stale": self.stale,
            "worst": worst
            and {
                "metric": worst[0].name,
                "figure": worst[1].name,
                "estimate": worst[1].estimate,
                "upper": worst[1].upper,
            },
            "report": self.report.id,
            "run_at": f"{self.report.run_at:%Y-%m-%dT%H:%M:%SZ}",
            "runs": self.runs,
            "content_hash": self.report.content_hash,
            "settings_hash": self.report.settings_hash,
        }


@dataclass(frozen=True, slots=True)
class Change:
    """A figure that has another level from a day on: its means before and from then on."""

    metric: str
    figure: str
    dt: str
    before: float
    after: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class SymbolHistory:
    """A symbol over the days.

    ``rows`` by day; ``unmeasured``: sealed days without a report; ``no_changes``: why change
    points were not looked for, empty where they were.
    """

    exchange: str
    symbol: str
    provenance: str
    rows: tuple[Row, ...]
    unmeasured: tuple[str, ...]
    changes: tuple[Change, ...]
    no_changes: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "exchange": self.exchange,
            "symbol": self.symbol,
            "provenance": self.provenance,
            "days": [row.to_dict() for row in self.rows],
            "unmeasured": list(self.unmeasured),
            "changes": [change.to_dict() for change in self.changes],
            "no_changes": self.no_changes,
        }


@dataclass(frozen=True, slots=True)
class History:
    """What `history` gives: symbols, and reports that cannot be read."""

    symbols: tuple[SymbolHistory, ...]
    damaged: tuple[DamagedReport, ...]

    @property
    def is_worse(self) -> bool:
        """Whether a day is worse than in the report before."""
        return any(row.is_regression for one in self.symbols for row in one.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "regression": self.is_worse,
            "symbols": [one.to_dict() for one in self.symbols],
            "damaged": [{"file": str(one.path), "why": one.why} for one in self.damaged],
        }


def history(store: Store | AnyPath, symbol: str | None = None) -> History:
    """The kept reports of a store, or of one symbol of it, over the days.

    Raises
    ------
    UsageError
        If there is no such symbol, or no report.
    PlaceError
        If the reports' folder holds a link.
    """
    store = as_store(store)
    name = "" if symbol is None else store.instrument(symbol).symbol
    kept = kept_reports(store.path, Scope(symbol=name or None))
    if not kept.reports and not kept.damaged:
        raise UsageError(
            f"{store.path} keeps no fidelity report{f' of {name}' if name else ''}.",
            hint="`lobproof fidelity STORE --against GOLDEN` makes one, and keeps it",
        )
    sealed = {
        (str(row["exchange"]), str(row["symbol"]), str(row["dt"])): str(row["content_hash"])
        for row in store.days().iter_rows(named=True)
    }
    by_symbol = groupby(kept.reports, key=lambda one: (one.exchange, one.symbol))
    found = tuple(_symbol(*names, list(reports), sealed) for names, reports in by_symbol)
    return History(found, kept.damaged)


def _symbol(
    exchange: str,
    symbol: str,
    reports: Sequence[KeptReport],
    sealed: dict[tuple[str, str, str], str],
) -> SymbolHistory:
    rows = tuple(
        row
        for _, of_day in groupby(reports, key=lambda one: one.dt)
        for row in _rows(list(of_day), sealed)
    )
    reported = {one.dt for one in reports}
    unmeasured = [
        dt for (*where, dt) in sealed if tuple(where) == (exchange, symbol) and dt not in reported
    ]
    provenance = least_real(*(row.report.provenance for row in rows))
    return SymbolHistory(exchange, symbol, provenance, rows, tuple(unmeasured), *changes_of(rows))


def _rows(reports: Sequence[KeptReport], sealed: dict[tuple[str, str, str], str]) -> Iterator[Row]:
    """A row for each golden sample and level of a day's reports, which come in order of time."""
    runs: dict[tuple[str, Level | None], list[tuple[KeptReport, KeptAgainst]]] = {}
    for report in reports:
        for one in report.against:
            runs.setdefault((one.golden.content_hash, report.level), []).append((report, one))
    for of_sample in runs.values():
        report, against = of_sample[-1]
        before, against_before = of_sample[-2] if len(of_sample) > 1 else (None, None)
        now = sealed.get((report.exchange, report.symbol, report.dt))
        stale = now != report.content_hash
        yield Row(report, against, before, against_before, len(of_sample), stale)


def changes_of(rows: Sequence[Row]) -> tuple[tuple[Change, ...], str]:
    """Change points of the figures of gate C, and why none were looked for."""
    series: dict[tuple[str, str], dict[str, float]] = {}
    floors: dict[tuple[str, str], float] = {}
    for row in sorted(rows, key=lambda one: one.report.run_at):  # of several of a day the newest
        if "C" in row.against.gates:
            for metric in row.against.metrics:
                for figure in metric.figures:
                    if figure.estimate is not None:
                        names = (metric.name, figure.name)
                        series.setdefault(names, {})[row.report.dt] = figure.estimate
                        floors[names] = _FLOOR * (figure.margin or MARGIN)
    longest = max(map(len, series.values()), default=0)
    if longest < LEAST:
        return (), f"change points need {LEAST} days with figures of gate C, there are {longest}"
    try:
        dated = {names: sorted(days.items()) for names, days in series.items()}
        values = [[value for _, value in days] for days in dated.values()]
        found = change_points(values, [floors[names] for names in dated])
    except ExtraError as error:
        return (), f"change points were not looked for: {error.message}; {error.hint}"
    changes: list[Change] = []
    for (names, days), starts in zip(dated.items(), found, strict=True):
        parts = pairwise([0, *starts, len(days)])
        levels = [fmean(value for _, value in days[begin:end]) for begin, end in parts]
        changes += [
            Change(*names, days[start][0], *level)
            for start, level in zip(starts, pairwise(levels), strict=True)
        ]
    return tuple(sorted(changes, key=lambda one: one.dt)), ""
