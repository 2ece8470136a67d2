"""``lobproof assess``: what Crypto Lake days and golden samples are worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from lobproof.acquire.facts import Holds
from lobproof.assess.day import Progress, assess_lake, assess_sample, reference
from lobproof.assess.feasibility import feasibility
from lobproof.assess.judge import Verdict, verdicts
from lobproof.assess.machine import Machine, machine_of
from lobproof.assess.page import check_report, document, whole_verdict, write_report
from lobproof.assess.result import Assessment
from lobproof.assess.telemetry import export_metrics
from lobproof.assess.thresholds import Thresholds
from lobproof.assess.words import about, counted, headline, limits_of, spanned, tables
from lobproof.cli.console import Json, Switch, out, print_json, progress
from lobproof.cli.places import Kind, expect
from lobproof.cli.times import span
from lobproof.errors import UsageError
from lobproof.pipeline.lake import LakeDay, lake_days
from lobproof.sources.golden import GoldenSample

CODES: dict[Verdict, int] = {"GO": 0, "NO-GO": 1, "undecided": 2}
Limits = Annotated[tuple[str, ...], Parameter(name="--limit", negative=())]
_STYLES: dict[Verdict, str] = {"GO": "green", "NO-GO": "red", "undecided": "yellow"}


def assess(
    data: Path,
    /,
    *,
    out_: Annotated[Path | None, Parameter(name="--out")] = None,
    against: Path | None = None,
    exchange: str | None = None,
    symbol: str | None = None,
    date: str | None = None,
    start: str | None = None,
    end: str | None = None,
    limit: Limits = (),
    feasibility_: Annotated[Path | None, Parameter(name="--feasibility")] = None,
    quick: Switch = False,
    metrics: str | None = None,
    json_: Json = False,
) -> int:
    """Say what recorded data is worth: GO, NO-GO or undecided, with what, and why.

    Each day is read, and replayed as `lobproof reconstruct` would, but nothing is stored. Exit
    code 0: GO; 1: NO-GO; 2: undecided; of several days the worst.

    Parameters
    ----------
    data
        A folder of Crypto Lake files, or a golden sample.
    out_
        Where the report goes: a file that ends in .html, .md or .json, or a folder for all three.
    against
        A golden sample to hold the format against, field by field.
    exchange
        As in the vendor's paths (BINANCE); by default all.
    symbol
        As in the vendor's paths (BTC-USDT); by default all.
    date
        One day, YYYY-MM-DD; by default all.
    start
        First day.
    end
        The first day that is not wanted any more.
    limit
        Another limit for a GO, as NAME=VALUE; may be given several times. Names and defaults:
        gap_ratio=0.001, unusable_books=0.05, invalid_origin_time=0.05, missing_time=0.05 (shares),
        skew_p95_ms=100; with --feasibility also memory_gb=24, events_per_second=100000,
        input_gb_a_month=220, io_hours_a_month=24.
    feasibility_
        Measure this machine too, and the disk of the folder that is to hold the store: memory,
        throughput, decimals, and what a month and a year take. Its criteria count in the verdict.
    quick
        With --feasibility: seconds instead of minutes; it shows that it works, and decides nothing.
    metrics
        With --feasibility: send the figures to this OpenTelemetry collector (OTLP over HTTP).
    json_
        Print everything as JSON.
    """
    kind = expect(data, Kind.LAKE, Kind.GOLDEN)
    if against is not None:
        expect(against, Kind.GOLDEN)
    limits = Thresholds.of(limit, machine=feasibility_ is not None)
    if out_ is not None:
        check_report(out_)
    if feasibility_ is None and (quick or metrics is not None):
        raise UsageError(
            "--quick and --metrics go with --feasibility only",
            hint="name the folder that is to hold the store: --feasibility STORE",
        )
    found: list[Assessment] = []
    largest: LakeDay | None = None
    machine: Machine | None = None
    with telling() as tell:
        golden = None if against is None else reference(GoldenSample.load(against))
        if kind is Kind.GOLDEN:
            if (exchange, symbol, date, start, end) != (None,) * 5:
                raise UsageError(
                    "a golden sample is assessed as a whole",
                    hint="leave out --exchange, --symbol, --date, --start and --end",
                )
            found.append(assess_sample(data, against=golden, limits=limits, progress=tell))
        else:
            first, stop = span(date, start, end)
            days = lake_days(
                data,
                symbols=[] if symbol is None else [symbol],
                exchange=exchange,
                start=first,
                end=stop,
                zone=None,
            )
            largest = max(days, key=lambda day: day.bytes)
            found += [
                assess_lake(day, against=golden, limits=limits, progress=tell) for day in days
            ]
        if feasibility_ is not None:
            measured = feasibility(
                feasibility_, largest, thresholds=limits, quick=quick, progress=tell
            )
            machine = machine_of(measured, found, limits)
    if json_:
        print_json(document(found, machine))
    else:
        for one in found:
            show(out(), one)
        if len(found) > 1:
            _show_all(out(), found)
        if machine is not None:
            _show_machine(out(), machine)
    written = [] if out_ is None else write_report(found, out_, machine)
    if machine is not None and metrics is not None:
        export_metrics(machine.measured, machine.rows, endpoint=metrics)
    if not json_:
        for path in written:
            out().print(f"Report: {path.resolve()}", soft_wrap=True)
    return CODES[whole_verdict(found, machine)]


@contextmanager
def telling() -> Iterator[Progress]:
    """A progress line that an assessment can be told by."""
    with progress("assessing") as (bar, task):

        def tell(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of or None)

        yield tell


def show(console: Console, found: Assessment, *, short: bool = False) -> None:
    """Verdict and reasons, the facts that fail, counts of the rest; if not ``short``, times too."""
    console.print(Text(about(found), "bold"))
    console.print(Text(headline(found), f"bold {_STYLES[found.judged.verdict]}"))
    console.print(spanned(found), style="dim")
    for text in (*found.judged.why, *found.judged.passed_over):
        _item(console, text)
    for note in found.judged.notes:
        _item(console, note)
    if not found.clock.wrong:
        _item(console, found.clock.says)
    told = " ".join(found.judged.why)
    for fact in found.facts_that(Holds.FAILS):
        if fact.claim not in told:
            _item(
                console,
                f"{fact.name} does not hold: {fact.claim} ({fact.measured})",
                mark="✗",
                style="red",
            )
    if limits_of(found):
        console.print(limits_of(found))
    if found.facts:
        console.print(counted(found))
    if found.lag is not None:
        console.print(str(found.lag), soft_wrap=True)
    if short:
        return
    for grid in [grid for grid in tables(found) if grid.title in ("Times", "Replays")]:
        wide = len(grid.columns) - (grid.title == "Times")  # the drift is told in words
        rows = [row[:wide] for row in grid.rows]
        console.print(_drawn(grid.columns[:wide], grid.words, rows))
        if grid.title == "Times":
            console.print("p5 … p99: receive time minus exchange time, ms", style="dim")
        elif grid.note:
            console.print(grid.note, style="dim")
    for one in found.against:
        if not one.same:
            _item(console, f"{one.field}: {one.here}; in the golden sample: {one.golden}", "≠")


def _item(console: Console, text: str, mark: str = "·", style: str = "") -> None:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(f" {mark}", style), Text(text, style))
    console.print(table)


def _drawn(columns: Sequence[str], words: int, rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
    for at, name in enumerate(columns):
        side: JustifyMethod = "left" if at < words else "right"
        table.add_column(Text(name), justify=side, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _show_machine(console: Console, machine: Machine) -> None:
    """The verdict on each strategy, and what it hangs on."""
    for strategy, said in verdicts(machine.rows).items():
        console.print(Text(f"On this machine, {strategy}: {said}", "bold"))
        for row in machine.rows:
            if row.strategy == strategy and row.verdict != "GO":
                _item(console, f"{row.criterion}: {row.verdict}, {row.reason}")


def _show_all(console: Console, found: Sequence[Assessment]) -> None:
    counts = {verdict: sum(one.judged.verdict == verdict for one in found) for verdict in CODES}
    said = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    console.print(Text(f"{len(found)} days: {said}", "bold"))
