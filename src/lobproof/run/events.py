"""What a run tells while it goes on: events, which logs, metrics, terminals and summaries take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from lobproof.run.reasons import Reason
from lobproof.run.units import Stage, State, Unit, UnitDocument


class BreakerState(StrEnum):
    """Whether new units are begun."""

    CLOSED = "closed"  # yes
    WAITING = "waiting"  # not now: a bucket is away, or a disk is full
    OPEN = "open"  # no more: failures look systematic


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run has planned what it does: ``units`` of them, ``bytes_in`` to fetch, in ``seconds``."""

    run: str
    at_ns: int
    units: int
    bytes_in: int
    rows: int
    seconds: float
    done_before: int


@dataclass(frozen=True, slots=True)
class UnitStarted:
    """An executor has begun with a unit, for the ``attempt``-th time in this run."""

    run: str
    at_ns: int
    unit: Unit
    attempt: int


@dataclass(frozen=True, slots=True)
class UnitProgress:
    """How far a unit is: the stage, rows done of it, and of how many (0: not known)."""

    run: str
    at_ns: int
    unit: Unit
    stage: Stage
    rows: int
    of_rows: int


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage of a unit is done."""

    run: str
    at_ns: int
    unit: Unit
    stage: Stage
    seconds: float
    reused: bool


@dataclass(frozen=True, slots=True)
class UnitNoted:
    """Something that the user should know of a unit."""

    run: str
    at_ns: int
    unit: Unit
    sentence: str


@dataclass(frozen=True, slots=True)
class UnitEnded:
    """A unit is done, or not: ``reason`` says why not; ``again``: it is tried again."""

    run: str
    at_ns: int
    unit: Unit
    state: State
    document: UnitDocument | None
    reason: Reason | None
    again: bool
    seconds: float
    trace: str = ""


@dataclass(frozen=True, slots=True)
class BreakerMoved:
    """The run begins new units, waits, or stops: ``why``."""

    run: str
    at_ns: int
    state: BreakerState
    why: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run is over: units by state, seconds it took, seconds that it had estimated."""

    run: str
    at_ns: int
    states: Mapping[State, int]
    seconds: float
    estimated: float
    stopped: str = ""
    """Why it ended before all was done; empty where it did not."""


Event = (
    RunStarted
    | UnitStarted
    | UnitProgress
    | StageEnded
    | UnitNoted
    | UnitEnded
    | BreakerMoved
    | RunEnded
)
Sink = Callable[[Event], None]
"""Takes every event, in order, in the driver's process."""
