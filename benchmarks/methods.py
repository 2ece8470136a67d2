"""Methods of comparing feeds beside each other: false alarms and power, on the same feeds.

The feeds are those of the mutation suite, whose outcomes are kept by seed: what it has, is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Section

from lobproof.fidelity.inference.plain import ALPHA
from lobproof.fidelity.inference.rates import Share
from mutation import windows
from mutation.declared import (
    BLOCK_NS,
    DECLARED,
    DETECTION,
    EXPECTED,
    SECONDS,
    SEEDS,
    SHOWN,
    THRESHOLD,
    WITHIN,
)
from mutation.runs import Outcome, kept, run
from mutation.verdicts import HEAD, lines, rate, share

FILE = Path(__file__).with_name("METHODS.md")
Said = dict[str, Any]
Part = Callable[[Outcome], Said]
"""Which comparison of an outcome."""
Alarm = Callable[[Said, float], bool]
"""Whether a method calls two feeds different: what was found of a metric, and the noise of L1."""

PLAIN: dict[str, Alarm] = {
    "K-S": lambda said, noise: said["ks_p"] <= ALPHA,
    "bootstrap": lambda said, noise: said["l1"] > noise,
    "0.1": lambda said, noise: said["drift"] > THRESHOLD,
}
GATES: dict[str, Alarm] = {
    "C": lambda said, noise: said["gate"] == "fail",
    "D": lambda said, noise: said["p"] <= ALPHA,
}


def measure(say: Callable[[str], None], folder: Path | None) -> Section:
    """The tables, of the outcomes in a folder; without one, of all, and what is missing is run."""
    outcomes = run(say) if folder is None else kept(folder)
    section = Section(
        "methods",
        "Methods on the same feeds",
        f"{len(outcomes)} of {len(SEEDS)} seeds of the mutation suite, each with four simulated "
        f"markets of {SECONDS // 60} minutes: one with defects, and of another value a golden one, "
        "an independent window of the same law, and one of a market whose orders near the touch "
        "are 5 % larger. Values depend on their past and are tied. What was fixed beforehand: "
        f"`{DECLARED[:16]}`, of windows `{windows.DECLARED[:16]}`; settings of the gates: "
        f"`{outcomes[0]['settings'][:16]}`; stored blocks of {BLOCK_NS // 10**9} s. A seed takes "
        f"{median(one['processor_s'] for one in outcomes):.0f} s of a processor.",
    )
    section.text(
        "Each cell is the share of seeds in which a method calls the two feeds different, in "
        "percent, with its 95 % interval (Clopper and Pearson). Behind it, where a metric could "
        "not be compared in every seed, in how many.",
    )
    _summary(section, outcomes)
    _by_window(section, outcomes)
    _by_defect(section, outcomes)
    _at_all(section, outcomes)
    section.table(
        f"The mutation suite: lines that were fixed beforehand, {len(outcomes)} seeds",
        HEAD,
        [line.cells() for line in lines(outcomes)],
    )
    return section


def _summary(section: Section, outcomes: Sequence[Outcome]) -> None:
    """A row a method: where it alarms without a reason, and what it finds."""
    metrics = [name for names in SHOWN.values() for name in names]
    defects = [name for name in EXPECTED if name != "identity"]
    rows = []
    for name, alarm in {**PLAIN, **GATES}.items():
        row = [name]
        if name == "C":
            row += ["–"] * 3
        else:
            alone = [_of_metric(outcomes, _other("null"), one, alarm) for one in metrics]
            rates = [100 * one.hits / one.trials for one in alone if one.trials]
            row.append(f"{median(rates):.0f} % ({min(rates):.0f}–{max(rates):.0f})")
            if name == "D":
                row += [
                    rate(share(one["windows"][kind]["gate"] == "fail" for one in outcomes))
                    for kind in ("null", "power")
                ]
            else:
                row += [_any(outcomes, _other(kind), alarm) for kind in ("null", "power")]
        if name == "D":
            row += ["–"] * 2
        else:
            found = [_of_any(outcomes, _same(defect), alarm) for defect in defects]
            many = sum(one.hits >= DETECTION * one.trials for one in found)
            row += [_any(outcomes, _control, alarm), f"{many} of {len(defects)}"]
        rows.append(row)
    section.table(
        "In short",
        (
            "method",
            "one law: of a metric, median (range)",
            "one law: of any (D: its verdict)",
            "orders 5 % larger: of any",
            "same window, of no account: of any",
            f"defects found in {100 * DETECTION:g} % of the seeds",
        ),
        rows,
    )


def _by_window(section: Section, outcomes: Sequence[Outcome]) -> None:
    """Two windows: false alarms of the same law, power against the other."""
    methods = {**PLAIN, "D": GATES["D"]}
    rows = []
    for metric in (name for names in SHOWN.values() for name in names):
        row = [f"`{metric}`"]
        for alarm in methods.values():
            for kind in ("null", "power"):
                row.append(_cell(outcomes, _other(kind), metric, alarm))
        rows.append(row)
    alarms = ["any metric"]
    for alarm in methods.values():
        for kind in ("null", "power"):
            alarms.append(_any(outcomes, _other(kind), alarm))
    rows.append(alarms)
    joint = ["all together (gate D's verdict)", *["–"] * 6]
    for kind in ("null", "power"):
        joint.append(rate(share(one["windows"][kind]["gate"] == "fail" for one in outcomes)))
    rows.append(joint)
    section.table(
        "Two windows: one law (false alarms), and orders 5 % larger (power)",
        ("metric", *(f"{name}: {what}" for name in methods for what in ("false", "power"))),
        rows,
    )
    section.text(
        "A dash: gate D leaves out what is in parts of the price, and the others are not asked.",
    )
    distances = [
        said["d"] for one in outcomes for said in one["windows"]["power"]["metrics"].values()
    ]
    above = sum(distance > THRESHOLD for distance in distances)
    section.text(
        "Larger orders change more than sizes: takers walk through fewer levels, so spreads and "
        "intervals between trades differ, too. The largest K-S distance between the two markets "
        f"is {max(distances):.3f}; {above} of {len(distances)} are above {THRESHOLD:g}.",
    )


def _by_defect(section: Section, outcomes: Sequence[Outcome]) -> None:
    """The same window: a defect to be found, a change that is of no account."""
    methods = {**PLAIN, "C": GATES["C"]}
    rows = []
    for defect, metrics in SHOWN.items():
        for metric in metrics:
            row = [f"`{metric}`", f"`{defect}`"]
            for alarm in methods.values():
                row.append(_cell(outcomes, _control, metric, alarm))
                row.append(_cell(outcomes, _same(defect), metric, alarm))
            rows.append(
                [*row, _cell(outcomes, _control, metric, lambda said, noise: _passed(said))]
            )
    section.table(
        "The same window: a change of no account (false alarms), a defect of 1 % (power)",
        (
            "metric",
            "defect",
            *(f"{name}: {what}" for name in methods for what in ("false", "power")),
            "C passes what is of no account",
        ),
        rows,
    )
    section.text(
        "Flips of takers leave a distribution as it is where it lies evenly on both sides of 0, as "
        "that of impact nearly does: nobody sees them there.",
    )


def _at_all(section: Section, outcomes: Sequence[Outcome]) -> None:
    """By mutation: whether any metric raises an alarm."""
    methods = {**PLAIN, "C": GATES["C"]}
    rows = []
    for name in (*EXPECTED, WITHIN):
        row = [f"`{name}`"]
        row += [_any(outcomes, _same(name), alarm) for alarm in methods.values()]
        expected = EXPECTED.get(name)
        rows.append([*row, "–" if expected is None else "yes" if expected.seen else "no"])
    row = [_any(outcomes, _control, alarm) for alarm in methods.values()]
    rows.append(["of no account", *row, "no"])
    section.table(
        "The same window: an alarm in any metric",
        ("mutation", *methods, "C is to see it"),
        rows,
    )


def _same(name: str) -> Part:
    return lambda one: {"noise": one["noise"], **one["same"][name]}


def _other(name: str) -> Part:
    return lambda one: {"noise": one["windows"]["noise"], **one["windows"][name]}


def _control(one: Outcome) -> Said:
    return {"noise": one["noise"], **one["control"]}


def _passed(said: Said) -> bool:
    return bool(said["gate"] == "pass")


def _alarms(part: Said, alarm: Alarm, metrics: Iterable[str]) -> list[bool]:
    """Whether a method alarms of each of these metrics that could be compared."""
    found = [(name, part["metrics"].get(name)) for name in metrics]
    return [alarm(said, part["noise"][name]) for name, said in found if said and "ks_p" in said]


def _of_metric(outcomes: Sequence[Outcome], of: Part, metric: str, alarm: Alarm) -> Share:
    """In how many seeds a method alarms, of those where the metric could be compared."""
    return share(one for outcome in outcomes for one in _alarms(of(outcome), alarm, [metric]))


def _of_any(outcomes: Sequence[Outcome], of: Part, alarm: Alarm) -> Share:
    """In how many seeds a method alarms of any metric."""
    parts = map(of, outcomes)
    return share(any(_alarms(part, alarm, part["metrics"])) for part in parts)


def _cell(outcomes: Sequence[Outcome], of: Part, metric: str, alarm: Alarm) -> str:
    found = _of_metric(outcomes, of, metric, alarm)
    said = rate(found)
    return said if found.trials in (0, len(outcomes)) else f"{said} of {found.trials}"


def _any(outcomes: Sequence[Outcome], of: Part, alarm: Alarm) -> str:
    return rate(_of_any(outcomes, of, alarm))
