"""``Assessment``: what was found of one symbol-day, or golden sample, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lobproof.acquire.facts import Fact, Holds
from lobproof.assess.clock import Clock
from lobproof.assess.judge import GAP_RATIOS, Judged, Verdict, worst
from lobproof.assess.thresholds import Thresholds
from lobproof.assess.times import TableTimes
from lobproof.assess.watch import Messages, Prints
from lobproof.pipeline.counts import DayCounts
from lobproof.sources.cryptolake.lag import Lag

FORMAT = "lobproof-assessment"
VERSION = 1

Source = Literal["crypto-lake", "golden"]


@dataclass(frozen=True, slots=True)
class Reference:
    """A golden sample's format: fields as text."""

    where: str
    format: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of the format, here and in the golden sample."""

    field: str
    here: str
    golden: str

    @property
    def same(self) -> bool:
        """Whether both say the same."""
        return self.here == self.golden


@dataclass(frozen=True, slots=True)
class Assessment:
    """All that was found of one symbol-day or golden sample.

    The same input gives the same document. ``counts``: of the replay
    under the strategy of ``judged``; ``tried``: of each attempt; ``coverage``: when each stream was
    heard; ``format``: fields as text; ``against``: the same beside a golden sample.
    """

    source: Source
    where: str
    exchange: str
    symbol: str
    dt: str
    provenance: str
    span: tuple[int, int]
    judged: Judged
    clock: Clock
    times: Sequence[TableTimes]
    messages: Messages | None
    prints: Prints | None
    counts: DayCounts | None
    tried: Mapping[str, DayCounts]
    coverage: Mapping[str, Any]
    facts: Sequence[Fact]
    lag: Lag | None
    format: Mapping[str, str]
    limits: Thresholds = field(default_factory=Thresholds)
    against: Sequence[Difference] = ()
    against_what: str = ""

    @property
    def name(self) -> str:
        """What it is of, for people."""
        return f"{self.exchange} {self.symbol} {self.dt}"

    def facts_that(self, holds: Holds) -> list[Fact]:
        """Facts of one outcome."""
        return [fact for fact in self.facts if fact.holds is holds]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: everything."""
        return {
            "format": FORMAT,
            "format_version": VERSION,
            "source": self.source,
            "where": self.where,
            "exchange": self.exchange,
            "symbol": self.symbol,
            "date": self.dt,
            "provenance": self.provenance,
            "first_ns": self.span[0],
            "last_ns": self.span[1],
            "verdict": self.judged.verdict,
            "strategy": self.judged.strategy,
            "gap_ratio": self.judged.gap_ratio,
            "gap_ratio_of": GAP_RATIOS[self.judged.figures.gap_of],
            "complete": self.judged.figures.heard.to_dict(),
            "criteria": [row.to_dict() for row in self.judged.criteria],
            "limits": asdict(self.limits),
            "reasons": list(self.judged.why),
            "passed_over": list(self.judged.passed_over),
            "notes": list(self.judged.notes),
            "clock": asdict(self.clock),
            "times": [one.to_dict() for one in self.times],
            "messages": None if self.messages is None else self.messages.to_dict(),
            "trades": None if self.prints is None else self.prints.to_dict(),
            "counts": None if self.counts is None else self.counts.to_dict(),
            "tried": {name: counts.to_dict() for name, counts in self.tried.items()},
            "coverage": dict(self.coverage),
            "facts": [fact.to_dict() for fact in self.facts],
            "lag": None if self.lag is None else asdict(self.lag),
            "fields": dict(self.format),
            "against": {
                "golden": self.against_what,
                "fields": [{**asdict(one), "same": one.same} for one in self.against],
            }
            if self.against_what
            else None,
        }


def overall(found: Sequence[Assessment]) -> Verdict:
    """The worst verdict of several."""
    return worst([one.judged.verdict for one in found])
