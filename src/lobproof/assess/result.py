"""``Assessment``: what was found of one symbol-day, or golden sample, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lobproof.acquire.facts import Fact, Holds
from lobproof.assess.times import TableTimes
from lobproof.assess.watch import Messages, Prints
from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.job import Strategy
from lobproof.sources.cryptolake.lag import Lag

FORMAT = "lobproof-assessment"
VERSION = 1

Verdict = Literal["GO", "NO-GO", "undecided"]
Source = Literal["crypto-lake", "golden"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The recorder's clock beside the exchange's.

    ``wrong``: receive times that cannot be; ``offset_ms``: the median of receive time minus
    exchange time; ``says``: one sentence; ``apart_ms``: median of the trades minus that of the
    book, how much later trades come; ``skew_p95_ms``: 95th percentile of the distance of the two
    times, of the worst table; that of a wrong clock is from its median on.
    """

    wrong: bool
    offset_ms: float | None
    drift_ms_per_hour: float | None
    skew_p95_ms: float | None
    apart_ms: float | None
    says: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What the data is worth: verdict, the strategy it bears, and why, the gravest first.

    ``strategy`` is what ``reconstruct`` would choose, None where nothing can be replayed; ``why``
    has the reasons for the verdict, ``passed_over`` those against better strategies, ``notes`` what
    should be known beside. ``gap_ratio``: None where there is no depth message.
    """

    verdict: Verdict
    strategy: Strategy | None
    gap_ratio: float | None
    why: tuple[str, ...]
    passed_over: tuple[str, ...]
    notes: tuple[str, ...] = ()


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


def worst(told: Sequence[Verdict]) -> Verdict:
    """The first of NO-GO, undecided, GO that is there; undecided of none."""
    order: tuple[Verdict, ...] = ("NO-GO", "undecided", "GO")
    return next((one for one in order if one in told), "undecided")
