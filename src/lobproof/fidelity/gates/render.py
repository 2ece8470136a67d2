"""A fidelity report on a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.across_days import INFORMS, AcrossDays
from lobproof.fidelity.gates.compared import Compared
from lobproof.fidelity.gates.facts import Shows
from lobproof.fidelity.gates.other_window import OtherWindow
from lobproof.fidelity.gates.report import Against, FidelityReport
from lobproof.fidelity.gates.same_window import SameWindow
from lobproof.fidelity.inference.dependence import MIN_BLOCKS
from lobproof.fidelity.inference.signflip import ALPHA
from lobproof.fidelity.render import STYLES

_SHORT = {"distribution": "K-S", "difference": "value", "largest difference": "all lags"}
"""Figures whose names would not fit into 80 columns."""


def render_fidelity(report: FidelityReport) -> RenderableType:
    """The verdict, then each golden sample: its gates, and the metrics of gate C or D."""
    parts: list[RenderableType] = [head(report.verdict, report.title, report.meaning)]
    if report.across is not None:
        parts += _across(report.across)
    for one in report.against:
        parts += _against(one)
    return Group(*parts)


def head(verdict: Verdict, title: str, meaning: str) -> Text:
    """The verdict, of what, and what it means."""
    return Text.assemble(
        (verdict.value.upper(), f"{STYLES[verdict]} reverse"), f"  {title}\n{meaning}"
    )


def _across(gate: AcrossDays) -> Iterator[RenderableType]:
    yield Text("\nacross days", "bold")
    yield Text(gate.head, STYLES[gate.verdict])
    yield from (Text(line, "dim") for line in gate.lines)


def _against(one: Against) -> Iterator[RenderableType]:
    yield Text(f"\nagainst {one.golden}", "bold")
    if one.exact is not None:
        first = one.exact.first_divergence
        why = f": {first.detail}" if first else ""
        yield _gate("A, B", "exact, row by row", one.exact.verdict, why)
    for note in one.notes:
        yield Text(f"      {note}", "yellow")
    for gate in (one.same, one.other):
        if gate is not None:
            yield from gate_parts(gate)
    if one.across is not None:
        yield Text(f"Gate D: {one.across.verdict.value}. {INFORMS}")
    for name, shown in (
        ("ours", [fact.ours.shows for fact in one.facts]),
        ("the golden sample", [fact.golden.shows for fact in one.facts]),
    ):
        if shown:
            told = ", ".join(f"{each.value} {shown.count(each)}" for each in Shows)
            yield Text(f"stylised facts, {name}: {told} (reported)", "dim")


def gate_parts(gate: SameWindow | OtherWindow) -> Iterator[RenderableType]:
    """The verdict of gate C or D, its metrics, and what was left out."""
    yield from _same(gate) if isinstance(gate, SameWindow) else _other(gate)


def _gate(name: str, what: str, verdict: Verdict, why: str) -> Text:
    return Text.assemble(f"{name:5} {what}: ", (verdict.value, STYLES[verdict]), why)


def _same(gate: SameWindow) -> Iterator[RenderableType]:
    counts = Counter(one.verdict for one in gate.compared)
    told = ", ".join(
        f"{counts[verdict]} {verdict.value.replace('_', ' ')}"
        for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE)
        if counts[verdict]
    )
    yield _gate("C", "distributions of the same time", gate.verdict, f" ({told})")
    if gate.blocks_left_out:
        yield Text(f"      {len(gate.window)} whole blocks. {gate.blocks_left_out}")
    plain = [one.plain for one in gate.compared if one.plain is not None]
    passed = sum(one.ks_pass for one in plain)
    margins = gate.settings
    yield Text(
        f"      passes: what differs by less than {margins.margin:.1%}; tails "
        f"{margins.tail_margin:.0%}, GARCH {margins.model_margin:.0%}"
    )
    yield Text(f"      plain K-S: p > 0.05 in {passed} of {len(plain)} metrics")
    if gate.drift is not None and gate.drift.flagged:
        metric = [one for one in gate.compared if one.figures][gate.drift.metric].metric
        yield Text(
            f"      the two drift apart (p {gate.drift.p:.3f}), most in {metric.name}", "yellow"
        )
    yield _table(gate)
    longest = max((one.needed_ns for one in gate.compared), default=0.0)
    if longest:
        few = sum(one.needed_ns > 0 for one in gate.compared)
        yield Text(
            f"{few} metrics have fewer than {MIN_BLOCKS} blocks of 20 times their memory, too few "
            f"to judge by: {longest / 3.6e12:,.1f} h of data would do for all.",
            "yellow",
        )
    reasons: dict[str, list[str]] = {}
    for one in gate.compared:
        if one.reason and not one.needed_ns:
            reasons.setdefault(one.reason, []).append(one.metric.name)
    for reason, names in reasons.items():
        yield Text(f"{', '.join(names)}: {reason}", "dim")


def _table(gate: SameWindow) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("metric", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name in ("figure", "differs", "at most", "K-S p", "blocks"):
        table.add_column(name, justify="left" if name == "figure" else "right", overflow="fold")
    for one in gate.compared:
        if one.figures:
            table.add_row(*_row(one))
    return table


def _row(one: Compared) -> list[Text]:
    worst = one.worst
    figures = ["", "", ""]
    if worst is not None:
        figures = [
            _SHORT.get(worst.name, worst.name),
            _percent(worst.estimate),
            _percent(worst.upper),
        ]
    p = "" if one.plain is None else f"{one.plain.p:.3f}"
    blocks = f"{one.blocks} x {one.block_ns // 10**9} s"
    name = Text(one.metric.name)
    return [name, Text(one.verdict.value, STYLES[one.verdict]), *map(Text, [*figures, p, blocks])]


def _percent(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.2%}"


def _other(gate: OtherWindow) -> Iterator[RenderableType]:
    result = gate.result
    why = f": {gate.reason}" if gate.reason else ""
    if result is not None:
        why = f" (p {result.p_max:.3f}; {gate.blocks[0]} and {gate.blocks[1]} {gate.unit}){why}"
    what = "distributions of another time" if gate.block_ns else "distributions of other draws"
    yield _gate("D", what, gate.verdict, why)
    plain = [one.ks_pass for one in gate.plain if one is not None]
    if plain:
        yield Text(f"      plain K-S: p > 0.05 in {sum(plain)} of {len(plain)} metrics")
    if result is not None:
        differ = [
            metric.name
            for metric, p in zip(gate.metrics, result.p_adjusted, strict=True)
            if p <= ALPHA
        ]
        if differ:
            yield Text(f"      beyond chance, as one of all: {', '.join(differ)}", "red")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("metric", "K-S distance", "95 % of chance", "p", "p as one of all"):
            table.add_column(name, justify="left" if name == "metric" else "right", overflow="fold")
        figures = zip(result.d, result.d95, result.p, result.p_adjusted, strict=True)
        for metric, row in zip(gate.metrics, figures, strict=True):
            table.add_row(metric.name, *(f"{figure:.3f}" for figure in row))
        yield table
    for why, names in gate.reasons.items():
        yield Text(f"left out, {why}: {names}", "dim")
