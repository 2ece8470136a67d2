"""``lobproof derive-lake``."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lobproof.cli.console import Json, clock, err, out, print_json, progress, show_next
from lobproof.cli.places import Kind, expect
from lobproof.pipeline import DeriveResult, derive_lake
from lobproof.schema.provenance import made_of


def derive(
    source: Path,
    /,
    *,
    out_: Annotated[Path, Parameter(name="--out")],
    book_clock: Literal["E", "T"] = "E",
    json_: Json = False,
) -> int:
    """Write a golden sample as Crypto Lake's tables trades, book and book_delta_v2.

    A bridge for tests on real data: prices, sizes and order are the sample's, in the vendor's
    shape, with its float64 values, float-second times and shared sequence numbers, and without
    REST snapshots. Every file says that it is derived, so no certificate takes it for the vendor's.

    Parameters
    ----------
    source
        Golden sample, as `lobproof import` makes it.
    out_
        Folder to make; the same sample gives the same bytes.
    book_clock
        Which of the two times of a futures depth message the tables have: when it was sent (E), or
        matched (T).
    json_
        Print the summary as JSON.
    """
    expect(source, Kind.GOLDEN)
    began = time.perf_counter()
    with progress("deriving") as (bar, task):

        def advance(rows: int, ts: int) -> None:
            bar.update(task, detail=f"{rows:,} rows, at {clock(ts)}")

        result = derive_lake(source, out_, book_clock=book_clock, progress=advance)
    if json_:
        print_json(asdict(result))
        return 0
    _show(result, time.perf_counter() - began)
    show_next("reconstruct", out_, "--out", "STORE")
    return 0


def _show(result: DeriveResult, seconds: float) -> None:
    console = out()
    if result.reused:
        err().print("The folder holds these tables already: nothing to do.", style="dim")
    console.print(
        Text.assemble(
            (f"{result.exchange} {result.symbol}", "bold"),
            f" ({made_of(result.provenance)}; derived from a {result.source_provenance} golden "
            f"sample), {seconds:.1f} s",
        )
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("day")
    for name in result.rows:
        table.add_column(name, justify="right", no_wrap=True)
    for day in sorted({day for days in result.rows.values() for day in days}):
        table.add_row(day, *(f"{days.get(day, 0):,}" for days in result.rows.values()))
    console.print(table)
    notes = {
        "gaps in the depth messages": result.gaps,
        "gaps in the trades": result.trade_gaps,
        "lines or parts of the sample that could not be read": result.unreadable,
        "intervals without a row in book, not all levels being trusted": result.book_left_out,
    }
    for note, count in notes.items():
        if count:
            console.print(f"{count:,} {note}")
    if result.aggregated:
        console.print("the trades are aggregates: the sample has no raw ones")
