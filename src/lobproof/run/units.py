"""``Unit``: a symbol-day to be done; what is recorded of it, and what goes to who does it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

import msgspec

from lobproof.documents import Count, Int64
from lobproof.errors import UsageError
from lobproof.instruments import NAME_HINT, is_name
from lobproof.run.config import RunConfig
from lobproof.run.reasons import Reason
from lobproof.sources.cryptolake.layout import is_date

KEPT_ATTEMPTS = 20
"""The last so many attempts are kept in a unit's document."""


class Stage(StrEnum):
    """The steps of a unit, in order."""

    ACQUIRE = "acquire"
    ASSESS = "assess"
    MAKE = "make"
    PROVE = "prove"
    CERTIFY = "certify"


class State(StrEnum):
    """How far a unit is. Whether somebody is at it just now a lock or a lease tells."""

    PLANNED = "planned"
    ACQUIRED = "acquired"
    ASSESSED = "assessed"
    MADE = "made"
    PROVED = "proved"
    DONE = "done"
    WAITING = "waiting"  # the source does not have the day yet
    ABSENT = "absent"  # the source lacks the day for good
    FAILED = "failed"  # and is tried again
    QUARANTINED = "quarantined"  # it failed so often that it is left alone until somebody asks
    CANCELLED = "cancelled"


REACHED = {
    Stage.ACQUIRE: State.ACQUIRED,
    Stage.ASSESS: State.ASSESSED,
    Stage.MAKE: State.MADE,
    Stage.PROVE: State.PROVED,
    Stage.CERTIFY: State.DONE,
}
"""Stage → the state of a unit that has it behind itself."""


class Condition(StrEnum):
    """What a day is good for, as data vendors say it."""

    AVAILABLE = "available"
    DEGRADED = "degraded"
    PENDING = "pending"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """A symbol-day: ``exchange``, ``symbol`` as the source names it, ``dt`` (YYYY-MM-DD)."""

    exchange: str
    symbol: str
    dt: str

    def __post_init__(self) -> None:
        """Refuse names and days that are none."""
        if not is_name(self.exchange) or not is_name(self.symbol):
            raise UsageError(f"{self.exchange!r} {self.symbol!r} name no symbol", hint=NAME_HINT)
        if not is_date(self.dt):
            raise UsageError(f"{self.dt!r} is no day", hint="write it like 2026-01-05")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The unit that a text names, as ``str`` writes it.

        Raises
        ------
        UsageError
            If it names none.
        """
        parts = text.split("/")
        if len(parts) != 3:
            raise UsageError(
                f"{text!r} names no unit", hint="write it as EXCHANGE/SYMBOL/DAY, with / between"
            )
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.exchange}/{self.symbol}/{self.dt}"

    @property
    def folder(self) -> str:
        """Where its documents are, below a store."""
        return f"units/exchange={self.exchange}/symbol={self.symbol}/dt={self.dt}"


class InputFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object of the source that a unit was made of."""

    name: str
    bytes: Count
    etag: str = ""
    sha256: str = ""


class StageDone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stage that a unit has behind itself.

    ``of``: hash of everything that its outcome follows from; ``seconds`` of the clock and
    ``processor_ns`` that it took; ``reused``: the outcome was there already.
    """

    of: str
    at_ns: Int64
    seconds: float
    processor_ns: Count = 0
    reused: bool = False


class Attempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One try at a unit that did not end well."""

    run: str
    at_ns: Int64
    stage: Stage
    reason: Reason
    host: str
    counted: bool = True
    """Whether it counts towards quarantine; what lies outside of the unit does not."""


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a unit came to; None where it is not known."""

    events: Count | None = None
    bytes_in: Count | None = None
    bytes_out: Count | None = None
    rows_in: Count | None = None
    gaps: Count | None = None
    gap_ratio: float | None = None
    doubtful_share: float | None = None
    drift_agreement: float | None = None
    peak_bytes: Count | None = None


class UnitDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is recorded of a unit, in ``unit.json`` below the store.

    It may lag behind what is stored and never leads: each stage is written down behind its own
    durable outcome. ``doubts`` are why a day that is there is `Condition.DEGRADED`.
    """

    format: Literal["lobproof-unit"] = "lobproof-unit"
    format_version: Literal[1] = 1
    exchange: str
    symbol: str
    dt: str
    state: State = State.PLANNED
    stages: dict[Stage, StageDone] = {}
    inputs: tuple[InputFile, ...] = ()
    provenance: str = ""
    content_hash: str = ""
    strategy: str = ""
    verdicts: dict[str, str] = {}
    """Gate → verdict, the worst of the reports."""
    reports: tuple[str, ...] = ()
    certificate: str = ""
    doubts: tuple[str, ...] = ()
    figures: Figures = Figures()
    attempts: tuple[Attempt, ...] = ()
    next_at_ns: Int64 = 0
    """A day that is awaited is asked for again at this time."""

    @property
    def unit(self) -> Unit:
        """Which one it is."""
        return Unit(self.exchange, self.symbol, self.dt)

    @property
    def condition(self) -> Condition:
        """What the day is good for."""
        if self.state is State.DONE:
            return Condition.DEGRADED if self.doubts else Condition.AVAILABLE
        if self.state in (State.ABSENT, State.QUARANTINED, State.CANCELLED):
            return Condition.DEGRADED if self.content_hash else Condition.MISSING
        return Condition.PENDING

    @property
    def why(self) -> tuple[str, ...]:
        """Why it is in that condition, in words; nothing of a day that is available."""
        last = self.attempts[-1:] if self.state is not State.DONE else ()
        return (*self.doubts, *(f"{one.stage}: {one.reason.words}" for one in last))


class UnitTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an executor is given: keys and options, no data and no secrets.

    ``again``: the first stage to be done anew although it is recorded; None: only what is missing.
    ``batch_rows``: rows decoded at a time, fewer where memory ran out before.
    """

    run: str
    unit: tuple[str, str, str]
    config: RunConfig
    again: Stage | None = None
    batch_rows: int = 1 << 16


class UnitResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a task: the unit's document as it is recorded now, and what ended it.

    ``reason`` is None where all stages are done; ``stage`` is the one that was reached.
    """

    document: UnitDocument
    stage: Stage
    reason: Reason | None = None
    trace: str = ""
    notes: tuple[str, ...] = ()
