"""A report on one screen of a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lobproof.fidelity.exact.report import (
    GATE_A,
    GATE_B,
    Check,
    Divergence,
    Verdict,
    VerifyReport,
    plain,
    unreadable,
)

_BESIDE = 2
"""Names of checks that stand beside their reason; more stand behind it."""
STYLES = {
    Verdict.EXACT: "bold green",
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_APPLICABLE: "dim",
}


def render_report(report: VerifyReport) -> RenderableType:
    """Verdict, the table of checks, and the first divergence where there is one."""
    verdict = report.verdict
    head = Text.assemble((verdict.value.upper(), f"{STYLES[verdict]} reverse"), f"  {report.title}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("compared", justify="right")  # which wraps before " of …" does not fit
    table.add_column("differ", justify="right", no_wrap=True)
    table.add_column("rate <", justify="right", no_wrap=True)
    for check in report.checks:
        if check.verdict is not Verdict.NOT_APPLICABLE:  # which the reasons name
            table.add_row(*_row(check))
    parts: list[RenderableType] = [head, table]
    parts += _reasons(report)
    for dt, start in report.coverage.get("partial_days", {}).items():
        parts.append(Text(f"{dt} is a partial day: nothing before {start} was compared", "yellow"))
    for dt, (strategy, *reasons) in report.coverage.get("strategies", {}).items():
        why = f": {'; '.join(reasons)}" if reasons else ""
        parts.append(Text(f"{dt} was replayed with the strategy {strategy}{why}", "yellow"))
    golden = report.coverage.get("golden", {})
    if golden.get("unreadable"):
        unread = unreadable(golden["unreadable"], golden["lines"], golden["first_unreadable"])
        if unread not in {check.reason for check in report.checks}:
            parts.append(Text(unread, "yellow"))
    if report.first_divergence:
        parts.append(_panel(report.first_divergence))
    return Group(*parts)


def _reasons(report: VerifyReport) -> list[RenderableType]:
    """What there is to say of checks, what is bad first; what is the same of several said once.

    The first divergence has a panel of its own.
    """
    first = report.first_divergence
    said: dict[tuple[bool, str], list[str]] = {}
    for check in report.checks:
        shown = first is not None and (check.name, check.reason) == (first.check, first.detail)
        if check.reason and not shown:
            bad = check.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
            said.setdefault((not bad, check.reason), []).append(check.name)
    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=max(map(len, (*GATE_A, *GATE_B))) + 1)
    table.add_column()
    many: list[RenderableType] = []
    for (fine, reason), names in sorted(said.items(), key=lambda one: one[0][0]):
        style = "dim" if fine else ""
        if len(names) > _BESIDE:
            many.append(Text(f"{reason}: {', '.join(names)}", style))
        else:
            table.add_row(Text(", ".join(names), style), Text(reason, style))
    return [Text(), table, *many] if said else []


def _row(check: Check) -> list[RenderableType]:
    compared = f"{check.compared:,}"
    if check.comparable != check.compared:
        compared += f" of {check.comparable:,}"
    return [
        Text(check.gate),
        Text(check.name),
        Text(check.verdict.value.replace("_", " "), STYLES[check.verdict]),
        Text(compared),
        Text(f"{check.compared - check.equal:,}"),
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
