"""What ``lobproof reconstruct`` made, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lobproof.cli.console import duration, err, out, partial_text
from lobproof.pipeline import Outcome, ReconstructResult
from lobproof.schema.provenance import made_of


def show_results(results: Sequence[ReconstructResult], seconds: float) -> None:
    """Days by symbol, as tables, with findings and reasons beneath."""
    console = out()
    if all(result.reused for result in results):
        err().print("Sealed already from the same input: nothing to do.", style="dim")
    symbols = dict.fromkeys((result.exchange, result.symbol) for result in results)
    for names in symbols:
        chosen = [result for result in results if (result.exchange, result.symbol) == names]
        told = ", ".join(dict.fromkeys(made_of(result.provenance) for result in chosen))
        console.print(Text.assemble((" ".join(names), "bold"), f" ({told})"))
        console.print(_table(chosen))
        for result in chosen:
            for day in result.days:
                if day.from_ns is not None:
                    console.print(partial_text(day.dt, day.from_ns), soft_wrap=True)
                certified = "certified" if result.certified else "uncertified"
                messages = f"{day.counts.book_messages:,} messages"
                console.print(f"{day.dt} {day.strategy}, {certified}, {messages}", soft_wrap=True)
                found = ", ".join(f"{name} {n:,}" for name, n in day.counts.findings.items())
                console.print(f"{day.dt} findings: {found or 'none'}", soft_wrap=True)
                for reason in day.reasons:
                    console.print(Text.assemble(f"{day.dt} ", (reason, "yellow")), soft_wrap=True)
    made = sum(len(result.days) for result in results)
    console.print(f"{made:,} {'day' if made == 1 else 'days'}, {seconds:.1f} s")


def show_failures(outcomes: Sequence[Outcome]) -> None:
    """Days that failed, and why, on standard error."""
    for outcome in outcomes:
        failure = outcome.failure
        if failure is not None:
            console = err()
            if failure.trace:
                console.print(failure.trace, style="dim", soft_wrap=True)
            message = failure.message.removeprefix(str(outcome.day)).lstrip(": ")
            console.print(
                f"failed: {outcome.day}: {message}",
                style="bold red",
                soft_wrap=True,
            )
            console.print(f"Hint: {failure.hint}", soft_wrap=True)
    failed = sum(outcome.failure is not None for outcome in outcomes)
    if failed:
        others = f" of {len(outcomes):,} days failed; the others are sealed. The same command "
        none = f" {'day' if failed == 1 else 'days'} failed, and none was sealed. The same command "
        err().print(
            f"{failed:,}{none if failed == len(outcomes) else others}tries "
            f"{'that' if failed == 1 else 'those'} again.",
            soft_wrap=True,
        )


def document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The same as plain values."""
    days, failed = [], []
    for outcome in outcomes:
        exchange, symbol, dt = outcome.day.key
        where = {"exchange": exchange, "symbol": symbol, "dt": dt}
        if outcome.failure is not None:
            failed.append({**where, **asdict(outcome.failure), "seconds": outcome.seconds})
        if outcome.result is not None:
            result = outcome.result
            for day in result.days:
                days.append(
                    {
                        **where,
                        "provenance": result.provenance,
                        "certified": result.certified,
                        "reused": result.reused,
                        "resumed_at": result.resumed_at,
                        "seconds": outcome.seconds,
                        "gap_ratio": day.counts.gap_ratio,
                        **asdict(day),
                    }
                )
    return {"days": days, "failed": failed}


def _table(results: Sequence[ReconstructResult]) -> Table:
    """A row a day: what fits into 80 columns for the largest days, too."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("day", no_wrap=True)
    for name in ("events", "trades", "gap ratio", "doubtful"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("content hash", no_wrap=True)
    for result in results:
        for day in result.days:
            counts = day.counts
            ratio = "-" if counts.gap_ratio is None else f"{counts.gap_ratio:.3%}"
            table.add_row(
                day.dt,
                f"{counts.events:,}",
                f"{counts.trades:,}",
                Text(ratio, "red" if counts.lost else ""),
                duration(counts.doubtful_ns),
                day.content_hash[:12],
            )
    return table
