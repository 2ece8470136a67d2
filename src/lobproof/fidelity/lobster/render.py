"""A report on LOBSTER files, on a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lobproof.fidelity.gates.render import gate_parts, head
from lobproof.fidelity.lob_bench import LobBench, Summary
from lobproof.fidelity.lob_bench.distances import Distance
from lobproof.fidelity.lobster.report import LobsterReport
from lobproof.fidelity.markdown import markdown


def render_lobster(report: LobsterReport) -> RenderableType:
    """The verdict, what was read, the gate, the scores, and what none of it says."""
    return Group(*_parts(report))


def lobster_markdown(report: LobsterReport) -> str:
    """The same as Markdown."""
    return markdown(_parts(report))


def _parts(report: LobsterReport) -> Iterator[RenderableType]:
    gate = report.compared.gate
    yield head(report.verdict, report.title, report.meaning)
    yield Text("\nWhat was read", "bold")
    yield _folders(report)
    for note in report.notes:
        yield Text(note, "yellow")
    yield Text("\nThe gate", "bold")
    yield Text(report.compared.why)
    yield from gate_parts(gate)
    yield Text("\nScores of LOB-Bench: 0 is alike", "bold")
    yield from _scores(report.scores)
    yield Text("\nWhat this cannot say", "bold")
    for limit in report.limits:
        yield Text(f"- {limit}")
    yield Text(f"settings {report.settings.hash}", "dim")


def _folders(report: LobsterReport) -> Table:
    table = _table("", "real", "generated")
    both = (report.real, report.generated)
    dates = [
        one.dates[0] if len(one.dates) == 1 else f"{one.dates[0]} to {one.dates[-1]}"
        for one in both
    ]
    table.add_row("files", *(f"{one.files:,}" for one in both))
    table.add_row("messages", *(f"{one.messages:,}" for one in both))
    table.add_row("trades", *(f"{one.trades:,}" for one in both))
    table.add_row("levels", *(str(one.levels) for one in both))
    table.add_row("dates", *dates)
    table.add_row(
        "hours", *(f"{_clock(one.clock_s[0])} to {_clock(one.clock_s[1])}" for one in both)
    )
    table.add_row("time in files", *(f"{one.span_s:,.0f} s" for one in both))
    table.add_row("tick, lot", *[f"{report.scale.tick}, {report.scale.lot}"] * 2)
    return table


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def _scores(scores: LobBench) -> Iterator[RenderableType]:
    noise = Summary.of([one.noise for one in scores.unconditional.values()])
    summary = _table("of all scores", "L1", "L1 noise", "Wasserstein")
    for name in ("mean", "median", "iqm"):
        row = (getattr(one, name) for one in (scores.l1, noise, scores.wasserstein))
        summary.add_row("interquartile mean" if name == "iqm" else name, *map(_figure, row))
    yield summary
    table = _table("score", "L1", "L1 noise", "Wasserstein", "real", "generated")
    for name, one in {**scores.unconditional, **scores.conditional}.items():
        table.add_row(name, *_row(one))
    yield Text()
    yield table
    for name, why in scores.skipped.items():
        yield Text(f"{name}: {why}", "yellow")
    apart = scores.impact.differences
    impact = _table("response of the mid to", "real", "generated", "differs, ticks")
    events = zip(apart, scores.impact.real.events, scores.impact.generated.events, strict=True)
    for name, real, generated in events:
        impact.add_row(name, f"{real:,}", f"{generated:,}", _figure(apart[name]))
    impact.add_row("mean", "", "", _figure(scores.impact.mean_difference))
    yield Text()
    yield impact
    yield Text(
        "MO market order, LO limit order, CA cancellation; 1: a best price changes, 0: none does",
        "dim",
    )


def _row(one: Distance) -> list[str]:
    figures = [_figure(value) for value in (one.l1, one.noise, one.wasserstein)]
    return [*figures, f"{one.real:,}", f"{one.generated:,}"]


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table
