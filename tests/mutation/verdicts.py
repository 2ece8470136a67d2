"""``lines``: what the outcomes add up to, and whether the lines that were fixed are reached.

Every share is of seeds, each a market of its own, so its Clopper-Pearson interval holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lobproof.fidelity.inference.rates import Share, clopper_pearson
from mutation.control import FAILED
from mutation.declared import (
    ACCEPTANCE,
    ALPHA,
    DETECTION,
    EXPECTED,
    POWER,
    SEEDS,
    SERIES,
    WITHIN,
)
from mutation.runs import Outcome


@dataclass(frozen=True, slots=True)
class Line:
    """A share of seeds, and what it is to be.

    ``least``, ``most``: the line; both None where none was fixed. ``passes``: seeds that gate C
    passed, among the trials, where it was asked.
    """

    what: str
    share: Share
    least: float | None = None
    most: float | None = None
    passes: int | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the line is; None where there is none, or nothing was run."""
        if not self.share.trials:
            return None
        if self.least is not None:
            return self.share.hits >= self.least * self.share.trials
        return None if self.most is None else self.share.lower <= self.most

    def cells(self) -> list[str]:
        """The row of the table."""
        line = "–"
        if self.least is not None:
            line = f"at least {100 * self.least:g} %"
        if self.most is not None:
            line = f"the interval reaches down to {100 * self.most:g} %"
        said = {True: "reached", False: "**not reached**", None: "–"}[self.reached]
        passes = "–" if self.passes is None else shown(self.passes, self.share.trials)
        return [self.what, rate(self.share), passes, line, said]


HEAD = ("what", "share of seeds", "gate C passes", "line", "")


def share(hits: Iterable[bool]) -> Share:
    """How many of so many, with their interval."""
    found = list(hits)
    return clopper_pearson(sum(found), len(found))


def rate(of: Share) -> str:
    """A share and its 95 % interval, in percent."""
    if not of.trials:
        return "–"
    return f"{shown(of.hits, of.trials)} ({100 * of.lower:.1f}–{100 * of.upper:.1f})"


def shown(hits: int, trials: int) -> str:
    """A share in percent."""
    return f"{100 * hits / trials:.1f} %"


def lines(outcomes: Sequence[Outcome]) -> list[Line]:
    """All lines: gate C of each mutation, all gates together, gate D."""
    found = [_mutation(outcomes, name) for name in EXPECTED if name != "identity"]
    said = [one["same"]["identity"]["gate"] for one in outcomes]
    found.append(
        Line("gate C passes identical streams", share(one == "pass" for one in said), ACCEPTANCE)
    )
    said = [one["control"]["gate"] for one in outcomes]
    found.append(
        Line(
            "gate C fails a change of no account",
            share(one == "fail" for one in said),
            most=FAILED,
            passes=said.count("pass"),
        )
    )
    said = [one["same"][WITHIN]["gate"] for one in outcomes]
    found.append(
        Line(
            f"gate C fails `{WITHIN}`, 0.1 % lost",
            share(one == "fail" for one in said),
            passes=said.count("pass"),
        )
    )
    for name in SERIES:
        compared = [one["same"][name]["series"] for one in outcomes]
        what = f"gate C fails `{name}` by what follows from the series"
        found.append(Line(what, share("fail" in one.values() for one in compared if one)))
    defects = [name for name in EXPECTED if name != "identity"]
    found.append(
        Line(
            "rows differ or gate C fails, of each of these mutations",
            share(all(_rejected(one["same"][name]) for name in defects) for one in outcomes),
            DETECTION,
        )
    )
    for name, what, least, most in (
        ("null", "gate D fails another window of the same market", None, ALPHA),
        ("power", "gate D fails a market whose orders are 5 % larger", POWER, None),
    ):
        said = [one["windows"][name]["gate"] for one in outcomes]
        found.append(Line(what, share(one == "fail" for one in said), least, most))
    return found


def _rejected(said: dict[str, Any]) -> bool:
    return not said["exact"] or said["gate"] == "fail"


def _mutation(outcomes: Sequence[Outcome], name: str) -> Line:
    said = [one["same"][name]["gate"] for one in outcomes]
    return Line(
        f"gate C fails `{name}`",
        share(one == "fail" for one in said),
        DETECTION if EXPECTED[name].seen else None,
        passes=said.count("pass"),
    )


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 where a line is not reached; else 2 while seeds are missing; else 0."""
    if any(line.reached is False for line in lines(outcomes)):
        return 1
    return 0 if len(outcomes) == len(SEEDS) else 2
