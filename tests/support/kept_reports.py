"""A store of two days, proved once, and reports of it as they might have come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.gates.report import Against, FidelityReport
from lobproof.fidelity.gates.settings import Level
from lobproof.pipeline import reconstruct_sample
from lobproof.pipeline.prove import prove
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate

DAYS = ("2026-01-05", "2026-01-06")
Change = Callable[[Against], Against]


def proved_store(folder: Path) -> tuple[Path, Path, FidelityReport]:
    """A store across midnight, its golden sample, and its report, which is not kept."""
    made = simulate(folder / "sim", minutes=0.5, seed=3, start="2026-01-05T23:59:45Z")
    golden = import_recordings(list(made.recordings), folder / "golden").path
    reconstruct_sample(golden, folder / "store")
    return folder / "store", golden, prove(folder / "store", golden)


def changed(report: FidelityReport, change: Change) -> FidelityReport:
    """The report with each comparison changed."""
    return replace(report, against=tuple(change(one) for one in report.against))


def failing(check: str) -> Change:
    """A check of gate A or B fails."""

    def change(one: Against) -> Against:
        assert one.exact is not None
        checks = tuple(
            replace(found, verdict=Verdict.FAIL) if found.name == check else found
            for found in one.exact.checks
        )
        return replace(one, exact=replace(one.exact, checks=checks))

    return change


def metric_judged(name: str, verdict: Verdict) -> Change:
    """A metric of gate C is judged so."""

    def change(one: Against) -> Against:
        assert one.same is not None
        compared = tuple(
            replace(found, verdict=verdict) if found.metric.name == name else found
            for found in one.same.compared
        )
        return replace(one, same=replace(one.same, compared=compared))

    return change


def light(one: Against) -> Against:
    """The same, as of the light level."""
    assert one.same is not None
    return replace(one, same=replace(one.same, level=Level.LIGHT))


def all_pass(one: Against) -> Against:
    """Every metric of gate C passes."""
    assert one.same is not None
    compared = tuple(replace(found, verdict=Verdict.PASS) for found in one.same.compared)
    return replace(one, same=replace(one.same, compared=compared, drift=None))
