"""``lobproof fidelity history``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lobproof import pages
from lobproof.cli.console import Json, err, out, print_json
from lobproof.cli.places import Kind, StorePath, expect
from lobproof.cli.verify import tell_unsealed
from lobproof.errors import need_extra
from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.history import Row, SymbolHistory
from lobproof.fidelity.history import history as history_of
from lobproof.fidelity.render import STYLES
from lobproof.fidelity.reports import GATES
from lobproof.pages.history import history_page
from lobproof.schema.provenance import made_of
from lobproof.store import open_store
from lobproof.timespan import show_days

_MARKS = {
    Verdict.EXACT: "=",
    Verdict.PASS: "+",
    Verdict.FAIL: "!",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NOT_APPLICABLE: "·",
}
_LEGEND = "gates: = exact, + pass, ! fail, ? inconclusive, · not run"
_NAMED = 8


def history(
    store: StorePath,
    /,
    *,
    symbol: str | None = None,
    out_: Annotated[Path | None, Parameter(name="--out")] = None,
    json_: Json = False,
) -> int:
    """Show fidelity over days, from the reports that `lobproof fidelity` keeps in a store.

    Of each day and golden sample the newest report, and what became worse since the one before;
    then from which day on a figure has another level. Exit code 0, or 1 where a day became worse or
    a report is damaged.

    Parameters
    ----------
    store
        A store, as `lobproof reconstruct` makes it: its folder, or s3://BUCKET/PREFIX.
    symbol
        One symbol; by default all that there are reports of.
    out_
        Also write it as a page.
    json_
        Print it as JSON.
    """
    expect(store, Kind.STORE)
    if out_ is not None:
        need_extra("report")
        pages.check_page(out_)
    opened = open_store(store)
    tell_unsealed(opened)
    found = history_of(opened, symbol)
    if json_:
        print_json(found.to_dict())
    else:
        for one in found.symbols:
            for part in _symbol(one):
                out().print(part, soft_wrap=isinstance(part, Text))
    for damaged in found.damaged:
        err().print(str(damaged), style="red", soft_wrap=True)
    if out_ is not None:
        err().print(f"Wrote {history_page(found, out_)}", style="dim", soft_wrap=True)
    return 1 if found.damaged or found.is_worse else 0


def _symbol(one: SymbolHistory) -> Iterator[RenderableType]:
    runs = sum(row.runs for row in one.rows)
    days = len({row.report.dt for row in one.rows})
    yield Text(
        f"{one.exchange} {one.symbol} ({made_of(one.provenance)}): {days:,} "
        f"{'day' if days == 1 else 'days'}, {runs:,} {'report' if runs == 1 else 'reports'}",
        "bold",
    )
    yield _table(one)
    yield Text(_LEGEND, "dim")
    for row in one.rows:
        yield from _notes(row)
    if one.changes:
        yield Text("\nAnother level from a day on:", "bold")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("from", "metric", "figure", "before", "after"):
            right = name in ("before", "after")
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for change in one.changes:
            levels = (f"{change.before:+.3%}", f"{change.after:+.3%}")
            table.add_row(change.dt, change.metric, change.figure, *levels)
        yield table
    else:
        yield Text(one.no_changes or "No figure has another level from some day on.", "dim")
    if one.unmeasured:
        yield Text(
            f"never measured: {show_days(one.unmeasured)} ({len(one.unmeasured):,})", "yellow"
        )


def _table(one: SymbolHistory) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("day", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column(" ".join(GATES), no_wrap=True)
    table.add_column("worst metric", overflow="fold")
    table.add_column("at most", justify="right", no_wrap=True)
    table.add_column("change", overflow="fold")
    for row in one.rows:
        verdict, worst = row.against.verdict, row.against.worst
        marks = Text(" ").join(_mark(row, gate) for gate in GATES)
        name = "" if worst is None else f"{worst[0].name}, {worst[1].name}"
        most = "" if worst is None or worst[1].upper is None else f"{worst[1].upper:.2%}"
        style = "bold red" if row.is_regression else ""
        table.add_row(
            row.report.dt, Text(verdict.value, STYLES[verdict]), marks, name, most,
            Text(row.change, style),
        )  # fmt: skip
    return table


def _mark(row: Row, gate: str) -> Text:
    verdict = {str(name): found for name, found in row.against.gates.items()}.get(
        gate, Verdict.NOT_APPLICABLE
    )
    return Text(_MARKS[verdict], STYLES[verdict])


def _notes(row: Row) -> Iterator[Text]:
    """What fails on a day, what of it is new, and whether the day has changed since."""
    failed = row.against.failed
    if failed:
        named = [f"{name} (new)" if name in row.new_failures else name for name in failed]
        more = f", and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
        fails = f"fails in {', '.join(named[:_NAMED])}{more}"
        yield Text(f"{row.report.dt} against {row.against.golden.name} {fails}", "red")
    if row.stale:
        yield Text(
            f"{row.report.dt} has other content than was measured: run `lobproof fidelity` again",
            "yellow",
        )
