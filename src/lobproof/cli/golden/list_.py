"""``lobproof golden list``."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lobproof.cli.console import Json, clock, duration, out, print_json
from lobproof.sources.collection.found import find
from lobproof.sources.collection.listing import Holding, Listing, Part, listing
from lobproof.timespan import duration_ns

_STATES = {"running": "yellow", "killed": "red", "failed": "red", "purged": "dim"}


def list_(folders: list[Path], /, *, need: str = "24h", json_: Json = False) -> int:
    """Show captures and golden samples: hours by regime, losses, what is imported, what lacks.

    Captures that run or were killed stand among them. Documents that cannot be read are named,
    and make the exit code 1.

    Parameters
    ----------
    folders
        Folders of captures and golden samples, or that hold such at any depth.
    need
        How long each symbol is wanted in each regime.
    json_
        Print one JSON document.
    """
    need_ns = duration_ns(need)
    found = listing(find(folders), need_ns)
    if json_:
        print_json({"need_ns": need_ns, **found.to_dict()})
    else:
        _show(found, need_ns)
    return 1 if found.unreadable else 0


def _show(found: Listing, need_ns: int) -> None:
    screen = out()
    for folder in dict.fromkeys(part.folder for part in found.parts):
        parts = [part for part in found.parts if part.folder == folder]
        first = parts[0]
        screen.print(f"{first.kind} {folder}", style="bold", soft_wrap=True)
        told = f"  {clock(first.start_ns)[:-4]} to {clock(first.end_ns)[:-4]} UTC, "
        state = (first.state, _STATES.get(first.state, ""))
        screen.print(Text.assemble(told, state), soft_wrap=True)
        screen.print(_parts(parts))
    for one in found.holdings:
        _show_holding(one, need_ns)
    if not found.parts and not found.unreadable:
        screen.print("No capture and no golden sample is there.", style="yellow")
    for wrong in found.unreadable:
        screen.print(f"{wrong.folder}: {wrong.why}", style="red", soft_wrap=True)


def _parts(parts: list[Part]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("symbol", overflow="ellipsis", no_wrap=True, max_width=16)
    table.add_column("regime", overflow="ellipsis", no_wrap=True, max_width=14)
    for name in ("detected", "length", "gaps", "lost", "imported"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in parts:
        table.add_row(
            part.symbol,
            part.regime,
            part.detected,
            duration(part.length_ns),
            _count(part.gaps),
            _count(part.lost),
            f"{part.imported} of {part.files}",
        )
    return table


def _count(value: int | None) -> Text:
    return Text("?", "yellow") if value is None else Text(f"{value:,}", "red" if value else "")


def _show_holding(one: Holding, need_ns: int) -> None:
    screen = out()
    real = "" if one.provenance == "real" else f" ({one.provenance})"
    told = ", ".join(f"{name} {duration(ns)}" for name, ns in sorted(one.told.items()))
    screen.print(f"{one.exchange} {one.symbol}{real}: {told or 'nothing'}", soft_wrap=True)
    detected = ", ".join(f"{name} {duration(ns)}" for name, ns in sorted(one.detected.items()))
    screen.print(f"  detected: {detected or 'nothing'}", style="dim", soft_wrap=True)
    if one.overlap:
        twice = ", ".join(f"{name} {duration(ns)}" for name, ns in sorted(one.overlap.items()))
        screen.print(f"  by several at once: {twice}", style="dim", soft_wrap=True)
    if one.lacking:
        lacks = ", ".join(f"{name} {duration(ns)}" for name, ns in sorted(one.lacking.items()))
        screen.print(f"  lacks of {duration(need_ns)}: {lacks}", style="yellow", soft_wrap=True)
