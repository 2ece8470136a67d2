"""The gate behind ``lobproof reconstruct``: what was made is held against golden samples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from rich.text import Text

import lobproof
from lobproof.cli.console import err, out, progress
from lobproof.cli.fidelity import keep_report
from lobproof.errors import ExtraError, PlaceError, UsageError, place_error
from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.exact.verify import sample_days
from lobproof.fidelity.gates.report import FidelityReport
from lobproof.fidelity.gates.same_window import SameWindow
from lobproof.fidelity.gates.settings import STANDARD, Level
from lobproof.fidelity.inference.equivalence import overall
from lobproof.fidelity.metrics.files import VERSION as METRICS_VERSION
from lobproof.fidelity.render import STYLES
from lobproof.fidelity.reports import KeptReport, kept_reports
from lobproof.files import make_folder
from lobproof.pages.fidelity import fidelity_page
from lobproof.pipeline.prove import prove
from lobproof.sources.golden import GoldenSample
from lobproof.store import Partition, Scope, Store, open_store

_PAGES = "pages"
"""Folder of a store with the pages of its days, by the first day of each."""
_NAMED = 6
"""So many failing metrics are named on the screen; the page has all."""
Proving = Literal["light", "standard", "full", "none"]
"""How much is proved behind a reconstruction: a level of gate C, or nothing."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Golden samples that what is made will be held against, and how much of gate C is compared."""

    samples: tuple[GoldenSample, ...]
    level: Level

    @classmethod
    def of(
        cls,
        samples: Sequence[Path],
        how: Proving,
        states: str,
        symbols: Collection[tuple[str, str]],
    ) -> Gate | None:
        """The gate that was asked for; None without one.

        Parameters
        ----------
        states
            Spacing of the states: metrics are made of all.
        symbols
            Exchange and symbol of all that is reconstructed.

        Raises
        ------
        UsageError
            If nothing can be proved of samples that are named.
        InputError
            If a sample cannot be read.
        """
        loaded = tuple(map(GoldenSample.load, samples))
        for one in loaded:
            if _symbol(one) not in symbols:
                raise UsageError(
                    f"{one.path} is a golden sample of {' '.join(_symbol(one))}, of which nothing "
                    "is reconstructed here",
                    hint="name samples of the symbols that are, or leave --against out",
                )
        if how == "none" or not loaded:
            return None
        if states != "all":
            not_proved(f"metrics are made of all states, and these are --states {states}")
            return None
        return cls(loaded, Level(how))

    def passed(self, root: Path, *, show: bool) -> list[dict[str, Any]]:
        """Prove the store symbol by symbol, keep what is found, and show it; plain values of it."""
        store = open_store(root)
        by_symbol = groupby(sorted(self.samples, key=_symbol), key=_symbol)
        return [self._symbol(store, list(samples), show=show) for _, samples in by_symbol]

    def _symbol(self, store: Store, samples: list[GoldenSample], *, show: bool) -> dict[str, Any]:
        known = self._known(store, samples)
        if known is not None:
            err().print(f"Proved already, of the same content: {known.value}.", style="dim")
            return _told(samples, self.level, known)
        try:
            with progress("proving") as (bar, task):

                def advance(what: str, done: int, total: int) -> None:
                    bar.update(task, completed=done, total=total, detail=f"{what} {done:,} rows")

                paths = [one.path for one in samples]
                report = prove(store, paths, level=self.level, keep_blocks=True, progress=advance)
        except ExtraError as error:
            not_proved(f"{error.message}. Hint: {error.hint}")
            return {**_told(samples, self.level, None), "why": error.message}
        if show:
            _show(report, self.level)
        keep_report(store.path, report)
        return {**_told(samples, self.level, report.verdict), "page": _page(store, report)}

    def _known(self, store: Store, samples: Sequence[GoldenSample]) -> Verdict | None:
        """What kept reports say of this content, these samples and this level; None if not all.

        A report of other samples beside them does not count: gate D may rank a day among all.
        """
        exchange, symbol = _symbol(samples[0])
        sealed = {
            str(row["dt"]): str(row["content_hash"])
            for row in store.days().filter(exchange=exchange, symbol=symbol).iter_rows(named=True)
        }
        reports = [
            one
            for one in kept_reports(store.path, Scope(exchange, symbol)).reports
            if self._counts(one, sealed)
        ]
        wanted: dict[str, set[str]] = {}
        for sample in samples:
            for dt in sample_days(store, sample) or sealed:
                wanted.setdefault(dt, set()).add(sample.content_hash)
        found: list[Verdict] = []
        for dt, hashes in wanted.items():
            verdicts = [
                report.verdict
                for report in reports
                if report.dt == dt and {one.golden.content_hash for one in report.against} == hashes
            ]
            if not verdicts:
                return None
            found.append(verdicts[-1])  # reports come in order of their runs
        return overall(found)

    def _counts(self, report: KeptReport, sealed: dict[str, str]) -> bool:
        """Whether a report is of what is stored now, by the same rules."""
        return (
            report.content_hash == sealed.get(report.dt)
            and report.settings_hash == STANDARD.hash
            and report.lobproof_version == lobproof.__version__
            and report.metrics_version == METRICS_VERSION
            and report.level in (self.level, None)  # None: gate D alone, which has no levels
        )


def _page(store: Store, report: FidelityReport) -> str | None:
    """Write the page of a report below its store, in place of the one before; its path."""
    first = min(dt for one in report.against for dt in one.days)
    where = Partition(report.exchange, report.symbol, first).folder
    try:
        folder = make_folder(store.path, f"{_PAGES}/{where}")
        page = fidelity_page(report, folder / "fidelity.html", store=store)
    except ExtraError as error:
        _say(f"There is no page: {error.message}. Hint: {error.hint}")
    except (OSError, PlaceError) as error:
        _say(f"There is no page: {place_error(error).message}")
    else:
        err().print(f"Page: {page}", style="dim", soft_wrap=True)
        return str(page)
    return None


def not_proved(why: str) -> None:
    """Say, on standard error, that nothing is proved of what was made."""
    _say(f"Not proved: {why}")


def has_failed(found: Sequence[dict[str, Any]]) -> bool:
    """Whether a golden sample shows that a store is wrong."""
    return any(one["verdict"] == Verdict.FAIL for one in found)


def _symbol(sample: GoldenSample) -> tuple[str, str]:
    return sample.instrument.exchange, sample.instrument.symbol


def _told(samples: Sequence[GoldenSample], level: Level, verdict: Verdict | None) -> dict[str, Any]:
    exchange, symbol = _symbol(samples[0])
    return {
        "exchange": exchange,
        "symbol": symbol,
        "level": level.value,
        "against": [str(one.path) for one in samples],
        "verdict": verdict,
    }


def _show(report: FidelityReport, level: Level) -> None:
    """A line for each golden sample: the verdict of every gate, and what fails."""
    for one in report.against:
        told = Text.assemble(
            (one.verdict.value.upper(), f"{STYLES[one.verdict]} reverse"),
            f"  {report.title}, level {level}, against {Path(one.golden).name}",
        )
        out().print(told, soft_wrap=True)
        if one.exact is not None:
            first = one.exact.first_divergence
            why = f": {first.detail}" if first else ""
            out().print(f"gates A, B, row by row: {one.exact.verdict.value}{why}", soft_wrap=True)
        if one.same is not None:
            out().print(f"gate C, distributions: {_of_metrics(one.same)}", soft_wrap=True)
        elif one.gate_d is not None:
            out().print(f"gate D, distributions: {one.gate_d.verdict.value}", soft_wrap=True)


def _of_metrics(gate: SameWindow) -> str:
    """Gate C's verdict, and which metrics fail, or how many are open."""
    by_verdict = {
        verdict: [one.metric.name for one in gate.compared if one.verdict is verdict]
        for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)
    }
    failing, is_open = by_verdict[Verdict.FAIL], by_verdict[Verdict.INCONCLUSIVE]
    if failing:
        more = f" and {len(failing) - _NAMED:,} more" if len(failing) > _NAMED else ""
        return f"{gate.verdict.value}: {', '.join(failing[:_NAMED])}{more}"
    if is_open:
        return (
            f"{gate.verdict.value}: {len(by_verdict[Verdict.PASS])} metrics pass, {len(is_open)} "
            "are open; the page says what each would need"
        )
    return gate.verdict.value


def _say(sentence: str) -> None:
    err().print(sentence, style="yellow", soft_wrap=True)
