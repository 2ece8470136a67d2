"""``Fact``: a claim, whether a day bears it out, and the figures that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

SLACK = 0.001
"""Share of rows that may contradict a claim that says "never" of recorded data."""

ENOUGH = 100
"""Fewer rows than this decide nothing."""

Figure = int | float | str

_FEW_FIGURES = 6


class Holds(StrEnum):
    """What a day says of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Fact:
    """One claim about the vendor's data.

    ``figures`` are counts, shares (0 to 1) and texts by name; ``rows`` is how many rows were
    looked at.
    """

    name: str
    claim: str
    holds: Holds
    figures: Mapping[str, Figure]
    rows: int

    @property
    def measured(self) -> str:
        """The figures in a line; of many those that are zero are left out."""
        few = len(self.figures) <= _FEW_FIGURES
        shown = [f"{name} {_value(value)}" for name, value in self.figures.items() if few or value]
        return f"{self.rows:,} rows; {', '.join(shown)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "holds": str(self.holds), "figures": dict(self.figures)}


def verdict(good: bool, *, rows: int, enough: int = ENOUGH) -> Holds:
    """Holds or fails; undecided where fewer than ``enough`` rows were looked at."""
    if rows < enough:
        return Holds.UNDECIDED
    return Holds.HOLDS if good else Holds.FAILS


def share(part: int, whole: int) -> float:
    """``part`` of ``whole``, 0 of nothing."""
    return part / whole if whole else 0.0


def _value(value: Figure) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else value
