"""``LobsterReport``: a folder of generated LOBSTER files against a real one."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.same_window import SameWindow
from lobproof.fidelity.gates.settings import Settings
from lobproof.fidelity.lob_bench import LobBench
from lobproof.fidelity.lobster.compare import Compared
from lobproof.fidelity.metrics.blocks import Scale
from lobproof.sources.lobster.files import EXECUTED, EXECUTED_HIDDEN, Sequence

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Folder:
    """What was read of a folder.

    ``clock_s``: first and last time of any message, seconds after midnight; ``span_s``: how long
    its files are together. ``levels``: of the shallowest file. ``off_tick``: share of the messages
    after which a best price is no multiple of the tick.
    """

    path: str
    ticker: str
    dates: tuple[str, ...]
    files: int
    messages: int
    trades: int
    levels: int
    clock_s: tuple[float, float]
    span_s: float
    off_tick: float

    @classmethod
    def of(cls, path: Path, sequences: Many[Sequence], tick: int) -> Self:
        """What the sequences of a folder are; ``tick``: in 1e-4 dollars."""
        messages = sum(map(len, sequences))
        off = 0
        for one in sequences:
            ask, bid = one.book[one.two_sided, 0], one.book[one.two_sided, 2]
            off += int(((ask % tick != 0) | (bid % tick != 0)).sum())
        return cls(
            str(path),
            sequences[0].pair.ticker,
            tuple(sorted({one.pair.date for one in sequences})),
            len(sequences),
            messages,
            sum(int(np.isin(one.kind, (EXECUTED, EXECUTED_HIDDEN)).sum()) for one in sequences),
            min(one.levels for one in sequences),
            (
                min(int(one.time[0]) for one in sequences) / 1e9,
                max(int(one.time[-1]) for one in sequences) / 1e9,
            ),
            sum(int(one.time[-1] - one.time[0]) for one in sequences) / 1e9,
            off / messages,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "ticker": self.ticker,
            "dates": list(self.dates),
            "files": self.files,
            "messages": self.messages,
            "trades": self.trades,
            "levels": self.levels,
            "first_s": self.clock_s[0],
            "last_s": self.clock_s[1],
            "span_s": self.span_s,
            "off_tick": self.off_tick,
        }


@dataclass(frozen=True, slots=True, repr=False)
class LobsterReport:
    """The outcome of `prove_lobster`.

    ``levels``: how many of a side were compared, the fewest that any file has.
    """

    real: Folder
    generated: Folder
    scale: Scale
    levels: int
    compared: Compared
    scores: LobBench
    settings: Settings

    @property
    def verdict(self) -> Verdict:
        """That of the gate; scores have no part in it."""
        return self.compared.gate.verdict

    @property
    def title(self) -> str:
        """What was compared, in words."""
        return f"{self.generated.ticker}: {self.generated.path} against {self.real.path}"

    @property
    def meaning(self) -> str:
        """What the verdict means, in words."""
        if self.verdict is Verdict.INCONCLUSIVE:
            return "Neither: what was given is not enough to say. It is not a pass."
        if isinstance(self.compared.gate, SameWindow):
            passed = "Every difference is within its margin, with 95 % confidence."
            failed = "A difference is beyond its margin, with 95 % confidence."
        else:
            passed = "No difference beyond chance was found; there may be one."
            failed = "The two differ beyond chance: p of all metrics together is at most 5 %."
        return passed if self.verdict is Verdict.PASS else failed

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the data before anything is read off the figures."""
        return tuple(self._notes())

    @property
    def limits(self) -> tuple[str, ...]:
        """What the report cannot say."""
        gate = self.compared.gate
        found = []
        if isinstance(gate, SameWindow):
            found.append("Gate C compares two records of one market. It cannot judge a generator.")
        else:
            found.append(
                "A pass says that no difference was found, not that there is none: one below the "
                "95 % of chance hides. That two draws are of one market within 1 %, no test can "
                "say."
            )
            if not gate.block_ns:
                found.append(
                    "Drift, and whatever takes longer than a sequence, shows in no sequence."
                )
            if not gate.strata:
                found.append(
                    "It takes both folders for draws of one regime: compare days and hours that "
                    "are alike, or a difference may be theirs."
                )
        found.append(
            "The scores of LOB-Bench have no error rates. Two samples of one law differ by their "
            "noise at least, and by more where values depend on each other: score real files "
            "against other real files first."
        )
        return tuple(found)

    def __repr__(self) -> str:
        """Verdict and title."""
        return f"{self.verdict.value.upper()} {self.title}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        gate = self.compared.gate
        return {
            "verdict": self.verdict.value,
            "real": self.real.to_dict(),
            "generated": self.generated.to_dict(),
            "tick": self.scale.tick,
            "lot": self.scale.lot,
            "levels": self.levels,
            "shared_messages": self.compared.shared,
            "gate": "C" if isinstance(gate, SameWindow) else "D",
            "why": self.compared.why,
            "same_window": gate.to_dict() if isinstance(gate, SameWindow) else None,
            "other_window": None if isinstance(gate, SameWindow) else gate.to_dict(),
            "lob_bench": self.scores.to_dict(),
            "notes": list(self.notes),
            "limits": list(self.limits),
            "settings_hash": self.settings.hash,
        }

    def _notes(self) -> Iterator[str]:
        deeper = max(self.real.levels, self.generated.levels)
        if deeper > self.levels:
            yield (
                f"One folder has {deeper} levels, the other {self.levels}: {self.levels} of both "
                f"are compared."
            )
        for name, folder in (("real", self.real), ("generated", self.generated)):
            if not folder.trades:
                yield f"The {name} files have no trades (types 4 and 5)."
            if folder.off_tick:
                yield (
                    f"After {folder.off_tick:.1%} of the {name} messages a best price is no "
                    f"multiple of the tick {self.scale.tick}, and is rounded down: see --tick."
                )
        if not self.compared.shared >= 1.0 and not self._overlap():
            yield (
                "The folders hold other hours of the day, which differ by themselves: a "
                "difference may be theirs."
            )

    def _overlap(self) -> bool:
        """Whether at least half of the shorter one's hours are the other one's, too."""
        (a, b), (c, d) = self.real.clock_s, self.generated.clock_s
        return min(b, d) - max(a, c) >= min(b - a, d - c) / 2
