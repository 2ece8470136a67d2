"""What a machine can make of assessed data: the figures that `judge` needs, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lobproof.assess.completeness import Completeness, Lack
from lobproof.assess.feasibility import Feasibility
from lobproof.assess.judge import Judgement, ProfileFigures, Verdict, judge, verdicts, worst
from lobproof.assess.result import Assessment
from lobproof.assess.thresholds import GB, Thresholds
from lobproof.assess.words import CRITERIA, criteria_rows
from lobproof.pages.tables import Table


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
        return worst(asked)


def machine_of(
    measured: Feasibility, found: Sequence[Assessment], limits: Thresholds | None = None
) -> Machine:
    """Hold the machine, and the worst of all days, against thresholds."""
    limits = limits or Thresholds()
    return Machine(measured, judge(profile_of(found), measured, limits), limits)


def profile_of(found: Sequence[Assessment]) -> ProfileFigures:
    """The worst figures of all days; None where none has one."""
    all_of = [one.judged.figures for one in found]
    heard = [one.heard for one in all_of]
    least = max(heard, key=lambda one: one.missing or 0.0, default=Completeness())
    lacking: dict[str, Lack] = {}
    for table in sorted({name for one in heard for name in one.lacking}):
        lacking[table] = max(
            (one.lacking[table] for one in heard if table in one.lacking),
            key=lambda lack: lack.share,
        )
    return ProfileFigures(
        gap_ratio=_worst([one.gap_ratio for one in all_of]),
        gap_of=all_of[0].gap_of if all_of else "messages",
        unusable_books=_worst([one.unusable_books for one in all_of]),
        invalid_origin_time=_worst_by_table([one.invalid_origin_time for one in all_of]),
        skew_p95_ms=_worst_by_table([one.skew_p95_ms for one in all_of]),
        heard=replace(least, lacking=lacking),
    )


def _worst_by_table(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    tables = sorted({table for one in values for table in one})
    return {table: max(one[table] for one in values if table in one) for table in tables}


def _worst(values: Sequence[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)


def machine_tables(machine: Machine) -> list[Table]:
    """Verdicts, runs, disk and projections."""
    return [_criteria(machine), _runs(machine), _projections(machine)]


def _criteria(machine: Machine) -> Table:
    return Table(
        "GO or NO-GO on this machine",
        CRITERIA,
        6,
        criteria_rows(machine.rows),
        f"{machine.measured.machine}, {machine.measured.cores} cores, "
        f"{machine.measured.memory_bytes / GB:.1f} GB of memory."
        + (" Measured with little data: it decides nothing." if machine.measured.quick else ""),
    )


def _runs(machine: Machine) -> Table:
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
    return Table("Reconstructions that were measured", columns, 3, rows, note)


def _projections(machine: Machine) -> Table:
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
    return Table("Time and space for a month and a year", columns, 3, rows)
