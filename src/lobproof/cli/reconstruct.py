"""``lobproof reconstruct``."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.table import Table

from lobproof.cli.console import (
    Json,
    Switch,
    clock,
    duration,
    err,
    first_use_note,
    out,
    print_json,
    progress,
)
from lobproof.pipeline import ReconstructOptions, ReconstructResult
from lobproof.pipeline import reconstruct as replay_sample


def reconstruct(
    source: Path,
    /,
    *,
    out_: Annotated[Path, Parameter(name="--out")],
    states: Literal["all", "100ms", "1s", "none"] = "all",
    strict: Switch = False,
    overwrite: Switch = False,
    batch_rows: int = 1 << 16,
    json_: Json = False,
) -> int:
    """Replay a golden sample into a store: events, states, keyframes, quality, minutes.

    Gaps, crossed books and contradictions become flags and rows of `quality`. Days are sealed one
    by one; running the same command again changes nothing.

    Parameters
    ----------
    source
        Golden sample, as `lobproof import` makes it.
    out_
        The store; made if missing. Several symbols may share one.
    states
        Spacing of the rows of `states`: every book message, the first in each interval, or none.
    strict
        Stop with an error at the first gap or doubt instead of flagging it.
    overwrite
        Replace days that were sealed from other inputs or with other options.
    batch_rows
        Rows decoded at a time; no effect on the result.
    json_
        Print the summary as JSON.
    """
    first_use_note()
    began = time.perf_counter()
    with progress("reconstructing") as (bar, task):

        def advance(events: int, ts: int) -> None:
            rate = events / max(time.perf_counter() - began, 1e-9)
            bar.update(task, detail=f"{events:,} events, {rate / 1e6:.2f} M rows/s, at {clock(ts)}")

        result = replay_sample(
            source,
            out_,
            ReconstructOptions(states=states),
            strict=strict,
            overwrite=overwrite,
            batch_rows=batch_rows,
            progress=advance,
            waiting=lambda sentence: bar.console.print(sentence),
        )
    if json_:
        print_json(asdict(result))
        return 0
    show_result(result, time.perf_counter() - began)
    err().print(f"Next: lobproof verify {out_} --against {source}", style="dim", soft_wrap=True)
    return 0


def show_result(result: ReconstructResult, seconds: float) -> None:
    """The days that a run made, as a table."""
    console = out()
    if result.reused:
        err().print("[dim]Sealed already from the same input: nothing to do.[/dim]")
    console.print(
        f"[bold]{result.exchange} {result.symbol}[/bold] ({result.provenance}), {seconds:.1f} s"
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("day")
    for name in ("events", "trades", "messages", "gaps", "doubtful"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("content hash")
    for day in result.days:
        counts = day.counts
        table.add_row(
            day.dt,
            f"{counts.events:,}",
            f"{counts.trades:,}",
            f"{counts.book_messages:,}",
            f"[red]{counts.gaps:,}[/red]" if counts.gaps else "0",
            duration(counts.doubtful_ns),
            day.content_hash[:12],
        )
    console.print(table)
    for day in result.days:
        found = ", ".join(f"{name} {count:,}" for name, count in day.counts.findings.items())
        console.print(f"{day.dt} findings: {found or 'none'}")
