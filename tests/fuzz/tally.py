"""What many runs came to, by kind of mutation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fuzz.runs import Outcome

COLUMNS = (
    *("runs", "refused", "failed", "wrong", "tracebacks"),
    *("trusted", "share", "books", "limits"),
)


@dataclass
class Row:
    """Of one kind."""

    runs: int = 0
    refused: int = 0
    tracebacks: int = 0
    failed: int = 0
    wrong: int = 0
    trusted: int = 0
    states: int = 0
    alone_slots: int = 0
    alone_states: int = 0
    """Of runs with this kind alone."""
    books: int = 0
    limits: Counter[str] = field(default_factory=Counter)

    def take(self, outcome: Outcome) -> None:
        self.runs += 1
        self.refused += bool(outcome.refused)
        self.tracebacks += bool(outcome.broken)
        self.failed += outcome.failed
        self.wrong += len(outcome.wrong)
        self.states += outcome.judged.rows
        self.trusted += outcome.judged.trusted
        if len(outcome.plan.chain) <= 1:
            self.alone_slots += outcome.judged.slots
            self.alone_states += outcome.judged.rows
        self.books += outcome.judged.books
        self.limits.update(outcome.limits)

    @property
    def share(self) -> float:
        """Trusted of all slots, where this kind is alone."""
        return self.alone_slots / (40 * self.alone_states) if self.alone_states else float("nan")


@dataclass
class Tally:
    """Of a path and a kind each; a chain of three counts for each of its kinds, the sums once."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    sums: dict[str, Row] = field(default_factory=dict)
    seeds: dict[str, list[int]] = field(default_factory=dict)

    def take(self, outcome: Outcome) -> None:
        path = outcome.plan.path
        for kind in outcome.plan.kinds:
            self.rows.setdefault((path, kind), Row()).take(outcome)
        self.sums.setdefault(path, Row()).take(outcome)
        seeds = self.seeds.setdefault(path, [])
        seeds[:] = [min(seeds, default=outcome.plan.seed), outcome.plan.seed]

    @property
    def failed(self) -> int:
        return sum(row.failed for row in self.sums.values())

    def __str__(self) -> str:
        lines = ["kind".ljust(40) + " ".join(name.rjust(9) for name in COLUMNS)]
        for (path, kind), row in sorted(self.rows.items()):
            lines.append(_line(f"{path}: {kind}", row))
        for path, row in sorted(self.sums.items()):
            first, last = self.seeds[path]
            lines.append(_line(f"{path}: seeds {first} to {last}", row))
            for reason, count in sorted(row.limits.items()):
                lines.append(f"    {count:9,} wrong claims explained: {reason}")
        return "\n".join(lines)


def _line(name: str, row: Row) -> str:
    counts = [row.runs, row.refused, row.failed, row.wrong, row.tracebacks, row.trusted]
    cells = [f"{count:,}" for count in counts]
    cells += [f"{row.share:.1%}", f"{row.books:,}", f"{sum(row.limits.values()):,}"]
    return name.ljust(40) + " ".join(cell.rjust(9) for cell in cells)
