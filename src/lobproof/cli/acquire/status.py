"""``lobproof acquire status``."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lobproof.acquire.check_files import check_files
from lobproof.acquire.status import MARKS, Month
from lobproof.acquire.status import status as status_of
from lobproof.acquire.zones import LakeFolder
from lobproof.cli.console import Json, Switch, out, print_json, progress

_STYLES = {
    "certified": "bold green",
    "demo": "cyan",
    "validated": "green",
    "doubtful": "yellow",
    "raw": "blue",
    "quarantined": "bold red",
    "lost": "bold red reverse",
    "missing": "red",
}


def status(folder: Path, /, *, check: Switch = False, json_: Json = False) -> int:
    """Show what is there, missing, partial, quarantined and certified, a mark for each day.

    Parameters
    ----------
    folder
        A folder that `lobproof acquire download` made.
    check
        Also hash every file and hold it against the manifest; files that a kill left in the wrong
        zone are put where the manifest says.
    json_
        Print one JSON document.
    """
    lake = LakeFolder(folder)
    wrong: list[str] = []
    if check:
        with progress("hashing") as (bar, task):
            wrong = check_files(
                lake, lambda done, total: bar.update(task, completed=done, total=total)
            )
    months = status_of(lake)
    if json_:
        document = {"folder": str(folder), "months": [month.to_dict() for month in months]}
        print_json({**document, "wrong": wrong} if check else document)
    else:
        _show(months, wrong)
    return 1 if wrong or any(month.count("lost") for month in months) else 0


def _show(months: list[Month], wrong: list[str]) -> None:
    console = out()
    if not months:
        console.print("nothing was downloaded yet")
    by_symbol: dict[str, list[Month]] = {}
    for month in months:
        by_symbol.setdefault(f"{month.exchange} {month.symbol}", []).append(month)
    for symbol, held in by_symbol.items():
        table = Table(title=symbol, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("month", no_wrap=True)
        table.add_column("table", no_wrap=True)
        table.add_column("1        10        20        30", no_wrap=True)
        table.add_column("rows", justify="right", no_wrap=True)
        table.add_column("size", justify="right", no_wrap=True)
        shown = ""
        for month in held:
            strip = Text()
            for state in month.days:
                strip.append(MARKS.get(state, " "), _STYLES.get(state, ""))
            table.add_row(
                month.month if month.month != shown else "",
                month.table,
                strip,
                f"{month.rows:,}",
                f"{month.size / 1e6:,.1f} MB",
            )
            shown = month.month
        console.print(table)
    legend = Text()
    for state, mark in MARKS.items():
        legend.append(mark, _STYLES[state])
        legend.append(f" {state}  ", "dim")
    console.print(legend)
    for line in wrong:
        console.print(Text(line, "bold red"))
