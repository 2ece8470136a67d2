"""``lobproof fidelity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lobproof.cli import fidelity_group
from lobproof.cli.console import Json, err, out, print_json, progress
from lobproof.cli.places import Kind, StorePath, expect
from lobproof.cli.verify import EXIT, INCONCLUSIVE, tell_unsealed
from lobproof.errors import PlaceError, UsageError, need_extra, place_error
from lobproof.fidelity.gates.render import render_fidelity
from lobproof.fidelity.gates.report import FidelityReport
from lobproof.fidelity.gates.settings import Level
from lobproof.fidelity.lobster.render import lobster_markdown, render_lobster
from lobproof.fidelity.reports import keep
from lobproof.files import write_whole
from lobproof.pages import check_page
from lobproof.pages.fidelity import fidelity_markdown, fidelity_page
from lobproof.pipeline.prove import prove
from lobproof.pipeline.prove_lobster import TICK, prove_lobster
from lobproof.store import open_store


def fidelity(
    store: StorePath | None = None,
    /,
    *,
    against: Annotated[tuple[Path, ...], Parameter(negative=(), show_default=False)] = (),
    lobster_dir: Annotated[tuple[Path, Path] | None, Parameter(negative=())] = None,
    tick: str | None = None,
    level: Level = Level.STANDARD,
    out_: Annotated[Path | None, Parameter(name="--out")] = None,
    markdown: Path | None = None,
    json_: Json = False,
) -> int:
    """Prove that a store is the market: exactly, and metric by metric (gates A to D).

    A golden sample of the same time is compared row by row (`verify`), then by the distributions
    of metrics of order flow, market state and returns, in blocks of time as long as each metric's
    memory asks for. One of another time shows whether the two markets differ. Two folders of
    LOBSTER files, real and generated ones, go through the same gates, and get the scores of
    LOB-Bench. Exit code 0 passed, 1 failed, 2 inconclusive. The report on a store is kept in it,
    for `lobproof fidelity history` and `lobproof certify`.

    Parameters
    ----------
    store
        A store, as `lobproof reconstruct` makes it: its folder, or s3://BUCKET/PREFIX.
    against
        A golden sample; may be given more than once.
    lobster_dir
        Two folders instead of a store: LOBSTER files of the market, and those that were generated.
    tick
        With --lobster-dir: the least difference of two prices, in dollars; 0.01 by default.
    level
        `light` compares the metrics of the book and of trades; `standard` also returns, order flow,
        autocorrelations, slopes, volatility, tails and GARCH; `full` also how trades bring about
        trades, of the times of all of them.
    out_
        Write a page there: one offline HTML file with the verdict, tables and pictures.
    markdown
        Write the verdict and tables there, as Markdown.
    json_
        Print the report as JSON.
    """
    if lobster_dir is not None:
        if store is not None or against or level is not Level.STANDARD or out_ is not None:
            raise UsageError(
                "--lobster-dir goes without a store, --against, --level and --out",
                hint="lobproof fidelity --lobster-dir REAL GENERATED",
            )
        return _lobster(*lobster_dir, tick or TICK, markdown, json_)
    if store is None or not against or tick is not None:
        told = (
            "--tick goes with --lobster-dir"
            if store and against
            else "a store and a golden sample are needed, or two folders of LOBSTER files"
        )
        raise UsageError(
            told,
            hint="lobproof fidelity STORE --against GOLDEN, or lobproof fidelity --lobster-dir "
            "REAL GENERATED",
        )
    need_extra("fidelity")
    expect(store, Kind.STORE)
    for one in against:
        expect(one, Kind.GOLDEN)
    if out_ is not None:
        need_extra("report")
    is_drawn = out_ is not None or markdown is not None
    for page in filter(None, (out_, markdown)):
        check_page(page)
    opened = open_store(store)
    tell_unsealed(opened)
    with progress("proving") as (bar, task):

        def advance(what: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, detail=f"{what} {done:,} rows")

        report = prove(opened, against, level=level, keep_blocks=is_drawn, progress=advance)
    keep_report(opened.path, report)
    if json_:
        print_json(report.to_dict())
    else:
        out().print(render_fidelity(report))
    if out_ is not None:
        err().print(f"Page: {fidelity_page(report, out_, store=opened).resolve()}", soft_wrap=True)
    if markdown is not None:
        path = fidelity_markdown(report, markdown, store=opened)
        err().print(f"Markdown: {path.resolve()}", soft_wrap=True)
    return EXIT.get(report.verdict, INCONCLUSIVE)


def keep_report(root: Path, report: FidelityReport) -> None:
    """Keep a report in its store; where that cannot be written to, say so."""
    try:
        kept = keep(root, report)
    except (OSError, PlaceError) as error:
        refused = place_error(error).message
        err().print(
            f"The report is not kept: {refused}. `history` and `certify` do not know it.",
            style="yellow",
            soft_wrap=True,
        )
    else:
        for path in kept:
            err().print(f"Kept {path}", style="dim", soft_wrap=True)


def _lobster(real: Path, generated: Path, tick: str, markdown: Path | None, json_: bool) -> int:
    if markdown is not None:
        check_page(markdown)
    with progress("reading") as (bar, task):

        def advance(what: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, detail=f"{what} {done:,} files")

        report = prove_lobster(real, generated, tick=tick, progress=advance)
    if json_:
        print_json(report.to_dict())
    else:
        out().print(render_lobster(report))
    if markdown is not None:
        write_whole(markdown, lobster_markdown(report).encode())
        err().print(f"Markdown: {markdown.resolve()}", soft_wrap=True)
    return EXIT.get(report.verdict, INCONCLUSIVE)


app = fidelity_group()
app.default(fidelity)
