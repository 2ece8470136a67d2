"""``Executor``: what the driver asks of whatever does its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lobproof.run.reasons import Reason
from lobproof.run.units import Stage, Unit, UnitResult, UnitTask


@dataclass(frozen=True, slots=True)
class Need:
    """What a unit takes: bytes of memory at its peak; ``alone``: with no other beside it."""

    bytes: int
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A unit has begun."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class Advanced:
    """How far a unit is: rows done of a stage, and of how many (0: not known)."""

    unit: Unit
    stage: Stage
    rows: int
    of_rows: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A stage of a unit is done."""

    unit: Unit
    stage: Stage
    seconds: float
    reused: bool


@dataclass(frozen=True, slots=True)
class Noted:
    """A sentence about a unit, for the user."""

    unit: Unit
    sentence: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A unit's task came back."""

    unit: Unit
    result: UnitResult


@dataclass(frozen=True, slots=True)
class Lost:
    """A unit's process or machine is gone, and nothing came back."""

    unit: Unit
    reason: Reason


Told = Started | Advanced | Passed | Noted | Ended | Lost


class Executor(Protocol):
    """Does units side by side, none of which can take others down.

    One thread of the driver calls it. A unit that was submitted ends with exactly one `Ended` or
    `Lost`.
    """

    def fits(self, need: Need) -> bool:
        """Whether a unit that needs so much could begin now."""

    def submit(self, task: UnitTask, need: Need) -> None:
        """Begin a unit."""

    def poll(self, seconds: float) -> Sequence[Told]:
        """What happened since, waiting up to so long for the first of it."""

    def cancel(self, unit: Unit) -> None:
        """Stop a unit; it ends with the reason ``stopped``."""

    def close(self) -> None:
        """Stop all units and let go of the machine; may be called twice."""
