"""``FidelityReport``: gates A to D of a store against golden samples, and one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lobproof.fidelity.exact.report import Verdict, VerifyReport
from lobproof.fidelity.gates.across_days import AcrossDays
from lobproof.fidelity.gates.compared import Compared
from lobproof.fidelity.gates.facts import StylisedFact
from lobproof.fidelity.gates.other_window import OtherWindow
from lobproof.fidelity.gates.same_window import SameWindow
from lobproof.fidelity.inference.equivalence import overall
from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.schema.provenance import made_of


@dataclass(frozen=True, slots=True)
class Against:
    """A store held against one golden sample.

    Of the same time: ``exact`` is of gates A and B, ``same`` of gate C. Of another time: ``other``
    is of gate D; where the rank among golden days decides, ``across`` does, and ``other`` informs.
    ``days`` are those of the store that were held against it; ``content_hash`` and ``span_ns``
    (first and last time) are the sample's. ``blocks``: ours and the sample's, where `prove` was to
    keep them; JSON has them not. ``notes``: in which form two feeds of other kinds of messages were
    compared. ``facts``: the stylised facts of both sides, which decide nothing; none at level
    ``light``.
    """

    golden: str
    exact: VerifyReport | None = None
    same: SameWindow | None = None
    other: OtherWindow | None = None
    across: AcrossDays | None = None
    days: tuple[str, ...] = ()
    content_hash: str = ""
    span_ns: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()
    facts: tuple[StylisedFact, ...] = ()
    blocks: tuple[Blocks, Blocks] | None = field(default=None, repr=False, compare=False)

    @property
    def gate_d(self) -> AcrossDays | OtherWindow | None:
        """What decides gate D."""
        return self.across or self.other

    @property
    def verdict(self) -> Verdict:
        """Pass if every gate passes."""
        gates = (self.exact, self.same, self.gate_d)
        return overall(gate.verdict for gate in gates if gate is not None)

    def on(self, dt: str) -> Against:
        """What it says of one day of the store: a rank is of each by itself."""
        return self if self.across is None else replace(self, across=self.across.on(dt))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "golden": self.golden,
            "content_hash": self.content_hash,
            "days": list(self.days),
            "verdict": self.verdict.value,
            "notes": list(self.notes),
            "exact": self.exact and self.exact.to_dict(),
            "same_window": self.same and self.same.to_dict(),
            "other_window": self.other and self.other.to_dict(),
            "gate_d": self.gate_d and self.gate_d.verdict.value,
            "facts": [fact.to_dict() for fact in self.facts],
        }


@dataclass(frozen=True, slots=True, repr=False)
class FidelityReport:
    """The outcome of `prove`.

    ``provenance`` is the least real of all that was compared; ``hashes`` the content hash of each
    day of the store. ``across``: the store's days ranked among golden samples of other days, where
    there are two or more; it decides only where there are enough, see `Against.across`.
    """

    exchange: str
    symbol: str
    provenance: str
    against: tuple[Against, ...]
    hashes: Mapping[str, str] = field(default_factory=dict)
    across: AcrossDays | None = None

    @property
    def verdict(self) -> Verdict:
        """Fail if any comparison fails, pass if all pass."""
        return overall(one.verdict for one in self.against)

    @property
    def meaning(self) -> str:
        """What the verdict means, in words."""
        if self.verdict is Verdict.FAIL:
            return (
                "A difference is beyond its margin with 95 % confidence, or beyond chance, or "
                "something is not equal that has to be."
            )
        if self.verdict is Verdict.INCONCLUSIVE:
            return (
                "Neither: there is too little data to say, or an interval reaches over its margin. "
                "It is not a pass."
            )
        said = []
        if any(one.same is not None for one in self.against):
            said.append("Every difference is within its margin, with 95 % confidence.")
        if any(one.other is not None for one in self.against):
            said.append("Of another time, no difference beyond chance was found; there may be one.")
        return " ".join(said)

    @property
    def title(self) -> str:
        """What was compared, in words."""
        return f"{self.exchange} {self.symbol} ({made_of(self.provenance)})"

    @property
    def compared(self) -> tuple[Compared, ...]:
        """The metrics of all golden samples of the same time."""
        return tuple(
            metric for one in self.against if one.same is not None for metric in one.same.compared
        )

    def __repr__(self) -> str:
        """Verdict and gates, a line each."""
        lines = [f"{self.verdict.value.upper()} {self.title}"]
        for one in self.against:
            gates = {"A, B": one.exact, "C": one.same, "D": one.gate_d}
            told = (f"{name} {gate.verdict}" for name, gate in gates.items() if gate is not None)
            lines.append(f"  {one.golden}: {', '.join(told)}")
        if self.across is not None:
            lines.append(f"  {self.across.said}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict.value,
            "exchange": self.exchange,
            "symbol": self.symbol,
            "provenance": self.provenance,
            "content_hashes": dict(self.hashes),
            "across": self.across and self.across.to_dict(),
            "against": [one.to_dict() for one in self.against],
        }
