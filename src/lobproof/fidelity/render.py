"""A report on one screen of a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lobproof.fidelity.exact.report import Check, Divergence, Verdict, VerifyReport, plain
from lobproof.schema.provenance import made_of

_STYLES = {
    Verdict.EXACT: "bold green",
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_APPLICABLE: "dim",
}


def render_report(report: VerifyReport) -> RenderableType:
    """Verdict, the table of checks, and the first divergence where there is one."""
    verdict = report.verdict
    head = Text.assemble(
        (verdict.value.upper(), f"{_STYLES[verdict]} reverse"),
        f"  {report.exchange} {report.symbol} ({made_of(report.provenance)})",
        f"  {', '.join(report.coverage.get('days', []))}\nagainst {report.against}",
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("compared", justify="right", no_wrap=True)
    table.add_column("equal", justify="right", no_wrap=True)
    table.add_column("mismatch <", justify="right", no_wrap=True)
    for check in report.checks:
        table.add_row(*_row(check), style="dim" if check.verdict is Verdict.NOT_APPLICABLE else "")
    parts: list[RenderableType] = [head, table]
    parts.extend(
        Text(f"{check.name}: {check.reason}", "dim") for check in report.checks if check.reason
    )
    for dt, start in report.coverage.get("partial_days", {}).items():
        parts.append(Text(f"{dt} is a partial day: nothing before {start} was compared", "yellow"))
    for dt, (strategy, *reasons) in report.coverage.get("strategies", {}).items():
        why = f": {'; '.join(reasons)}" if reasons else ""
        parts.append(Text(f"{dt} was replayed with the strategy {strategy}{why}", "yellow"))
    golden = report.coverage.get("golden", {})
    if golden.get("unreadable"):
        parts.append(
            Text(
                f"{golden['unreadable']:,} of the sample's {golden['lines']:,} lines cannot be "
                f"read; the first is {golden['first_unreadable']}",
                "yellow",
            )
        )
    if report.first_divergence:
        parts.append(_panel(report.first_divergence))
    return Group(*parts)


def _row(check: Check) -> list[RenderableType]:
    shown = check.verdict is not Verdict.NOT_APPLICABLE
    compared = f"{check.compared:,}"
    if check.comparable != check.compared:
        compared += f" of {check.comparable:,}"
    return [
        Text(check.gate),
        Text(check.name),
        Text(check.verdict.value.replace("_", " "), _STYLES[check.verdict]),
        Text(compared if shown else ""),
        Text(f"{check.equal:,}" if shown else ""),
        Text(f"{check.bound:.4%}" if check.bound is not None else ""),
    ]


def _panel(first: Divergence) -> Panel:
    shown = first.to_dict()
    lines = [Text(first.detail)]
    place = [f"time {shown['time']}"]
    if first.id is not None:
        place.insert(0, f"id {first.id}")
    if first.event_id is not None:
        place.append(f"event {first.event_id} of {first.dt}")
    lines.append(Text(", ".join(place)))
    for name in ("expected", "found"):
        values = plain(shown[name])
        if values:
            text = ", ".join(f"{key} {value}" for key, value in values.items())
            lines.append(Text(f"{name}: {text}"))
    episode = first.episode
    if episode:
        size = plain(episode.largest_size_difference)
        lines.append(
            Text(
                f"episode: ids {episode.first_id} to {episode.last_id}, {episode.messages} "
                f"messages, {episode.levels} rows, largest difference in size {size}"
            )
        )
    return Panel(
        Group(*lines),
        title=f"first divergence: {first.check}, {first.kind.value}",
        title_align="left",
        border_style="red",
    )
