"""What a machine can make of assessed data: the figures that `judgement` needs, and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lobproof.assess.feasibility import Feasibility
from lobproof.assess.judgement import Judgement, ProfileFigures, judge, verdicts
from lobproof.assess.result import Assessment, Verdict
from lobproof.assess.thresholds import GB, Thresholds
from lobproof.assess.words import Grid

_VERDICTS: dict[str, Verdict] = {"GO": "GO", "NO-GO": "NO-GO", "unknown": "undecided"}


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured of the machine, and the verdict on each criterion of each strategy."""

    measured: Feasibility
    rows: tuple[Judgement, ...]
    limits: Thresholds

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdicts": dict(verdicts(self.rows)),
            "criteria": [row.to_dict() for row in self.rows],
            "feasibility": self.measured.to_dict(),
        }

    def verdict(self, found: Sequence[Assessment]) -> Verdict:
        """The worst of these days, each by the strategy that it bears and figures of its own."""
        asked = [
            verdicts(judge(profile_of([one]), self.measured, self.limits))[one.judged.strategy]
            for one in found
            if one.judged.strategy is not None
        ]
        order = ("NO-GO", "unknown", "GO")
        return _VERDICTS[next((one for one in order if one in asked), "unknown")]


def machine_of(
    measured: Feasibility, found: Sequence[Assessment], limits: Thresholds | None = None
) -> Machine:
    """Hold the machine, and the worst of all days, against thresholds."""
    limits = limits or Thresholds()
    return Machine(measured, judge(profile_of(found), measured, limits), limits)


def profile_of(found: Sequence[Assessment]) -> ProfileFigures:
    """The worst figures of all days; None where none has one."""
    return ProfileFigures(
        gap_ratio=_worst([one.judged.gap_ratio for one in found]),
        unusable_books=_worst([_unusable(one) for one in found]),
        invalid_origin_time=_worst(
            [max((t.invalid_share for t in one.times), default=None) for one in found]
        ),
        skew_p95_ms=_worst([one.clock.skew_p95_ms for one in found]),
    )


def _unusable(found: Assessment) -> float | None:
    """Share of the rows of `book` that are no book, or late; by the replay that took them last."""
    if "anchored" in found.tried:
        return found.tried["anchored"].unusable_ratio
    full = found.tried.get("full")
    if full is None or found.source == "golden":
        return None
    unused = full.findings.get("VENDOR_ROW_UNUSED", 0)
    rows = full.vendor_rows + unused
    return unused / rows if rows else None


def _worst(values: Sequence[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)


def machine_tables(machine: Machine) -> list[Grid]:
    """Verdicts, runs, disk and projections."""
    return [_criteria(machine), _runs(machine), _projections(machine)]


def _criteria(machine: Machine) -> Grid:
    rows = [
        (
            row.verdict,
            row.strategy,
            row.criterion,
            "–" if row.measured is None else _figure(row.measured, row.unit),
            _figure(row.limit, row.unit),
            row.reason,
        )
        for row in machine.rows
    ]
    return Grid(
        "GO or NO-GO on this machine",
        ("Verdict", "Strategy", "Criterion", "Measured", "Limit", "Why"),
        6,
        rows,
        f"{machine.measured.machine}, {machine.measured.cores} cores, "
        f"{machine.measured.memory_bytes / GB:.1f} GB of memory."
        + (" Measured with little data: it decides nothing." if machine.measured.quick else ""),
    )


def _runs(machine: Machine) -> Grid:
    rows = [
        (
            run.strategy,
            run.data,
            "none" if run.limit_bytes is None else f"{run.limit_bytes / GB:g} GB",
            f"{run.events:,}" if run.finished else run.problem,
            f"{run.events_per_second:,.0f}",
            "–" if run.memory is None else f"{run.memory.p95_bytes / GB:.2f}",
            "–" if run.memory is None else f"{run.memory.peak_bytes / GB:.2f}",
        )
        for run in machine.measured.runs
    ]
    columns = (
        "Strategy", "Data", "Hard limit", "events", "events/s", "p95, GB", "peak, GB",
    )  # fmt: skip
    disk = machine.measured.disk
    note = (
        f"The disk reads {disk.read_bytes_per_second / 1e6:,.0f} MB/s and writes "
        f"{disk.write_bytes_per_second / 1e6:,.0f} MB/s."
    )
    return Grid("Reconstructions that were measured", columns, 3, rows, note)


def _projections(machine: Machine) -> Grid:
    rows = [
        (
            one.strategy,
            one.data,
            one.period,
            f"{one.input_bytes / GB:,.1f}",
            f"{one.output_bytes / GB:,.1f}",
            f"{one.hours:,.1f}",
            "yes" if one.fits else "no",
        )
        for one in machine.measured.projections
    ]
    columns = ("Strategy", "Data", "Of a", "input, GB", "output, GB", "hours", "fits now")
    return Grid("Time and space for a month and a year", columns, 3, rows)


def _figure(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.3%}"
    return f"{value:,.4g} {unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"
