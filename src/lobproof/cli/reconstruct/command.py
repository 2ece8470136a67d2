"""``lobproof reconstruct``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypedDict

from cyclopts import Parameter

from lobproof.cli import ERROR
from lobproof.cli.acquire.folder import named_symbols
from lobproof.cli.console import (
    Json,
    Switch,
    clock,
    print_json,
    progress,
    show_next,
)
from lobproof.cli.places import Kind, expect
from lobproof.cli.reconstruct.gate import Gate, Proving, has_failed, not_proved
from lobproof.cli.reconstruct.live import live
from lobproof.cli.reconstruct.show import document, show_failures, show_results
from lobproof.errors import UsageError
from lobproof.pipeline import (
    PartialDay,
    Reached,
    ReconstructOptions,
    lake_days,
    of_the_partial_day,
    reconstruct_days,
    reconstruct_sample,
)
from lobproof.pipeline.job import States
from lobproof.sources.cryptolake.request import Request
from lobproof.sources.golden import GoldenSample
from lobproof.store import sealed
from lobproof.timespan import to_ns


@Parameter(name="*", group="Crypto Lake days")
@dataclass(frozen=True, slots=True, kw_only=True)
class LakeOptions:
    """Which Crypto Lake days, and how they are replayed.

    Parameters
    ----------
    symbols
        Comma-separated, such as BTC-USDT,ETH-USDT; by default all.
    exchange
        Such as BINANCE or BINANCE_FUTURES; by default all.
    start
        First day, YYYY-MM-DD.
    end
        The first day that is not wanted any more, YYYY-MM-DD.
    zone
        Take files of another zone than `ready`; the days are then marked uncertified.
    strategy
        By default auto: full, unless 0.1 % of the messages or more are lost; then anchored, or
        time-sorted where there is no `book`. The days' seals say why.
    resync
        When a row of `book` corrects the rebuilt book: on drift (the default), always or never.
    size_limit
        Drift, where prices agree: root mean square of relative size errors; by default 0.001.
    carry
        Begin each day with the book that the day before closed with.
    workers
        Processes side by side; by default one for two cores and 1.5 GiB of memory.
    """

    symbols: str | None = None
    exchange: str | None = None
    start: str | None = None
    end: str | None = None
    zone: str | None = None
    strategy: Literal["auto", "full", "anchored", "time-sorted"] | None = None
    resync: Literal["drift", "always", "never"] | None = None
    size_limit: float | None = None
    carry: Switch = False
    workers: int | None = None

    def given(self) -> list[str]:
        """The options that were given, as they are written."""
        return [
            f"--{one.name.replace('_', '-')}"
            for one in fields(self)
            if getattr(self, one.name) != one.default
        ]


ALL_DAYS = LakeOptions()
_FAILED = 1
"""Exit code where a golden sample shows that the store is wrong."""


def reconstruct(
    source: Path,
    /,
    *,
    out_: Annotated[Path, Parameter(name="--out")],
    lake: LakeOptions = ALL_DAYS,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    base: Path | None = None,
    against: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    prove: Proving = "light",
    states: States = "all",
    strict: Switch = False,
    overwrite: Switch = False,
    batch_rows: int = 1 << 16,
    json_: Json = False,
) -> int:
    """Replay Crypto Lake days, or a golden sample, into a store of order books and events.

    Gaps, crossed books and contradictions become flags and rows of `quality`. Days are sealed one
    by one. The same command goes on where it was stopped or killed, and changes nothing where all
    is there. Of Crypto Lake days several run at once, each in a process: one that fails is named
    in the end, with exit code 3, and does not take others down.

    What was made is then proved, as `lobproof fidelity` does: a golden sample's store against the
    sample itself, Crypto Lake days against the samples of --against. Exit code 1 where that fails.

    Parameters
    ----------
    source
        A folder of Crypto Lake files: what `lobproof acquire download` made, or a plain one. Or a
        golden sample, as `lobproof import` makes it.
    out_
        The store; made if missing. Several symbols may share one.
    from_
        Make a partial day, from the last keyframe at or before this time (UTC, with its date:
        2026-03-01T12:00) to the end of that day, or of the golden sample. Needs --base.
    base
        The store in which the day of --from is sealed, and whose keyframe is started at.
    against
        A golden sample; may be given more than once.
    prove
        How much of the distributions is compared: `light`, `standard`, `full`; or `none`, and
        nothing is proved. With --states other than all nothing can be.
    states
        Spacing of the rows of `states`: every book message, the first in each interval, or none.
    strict
        Stop a day with an error at the first gap or doubt instead of flagging it.
    overwrite
        Make days anew, also those that were sealed from other inputs or with other options.
    batch_rows
        Rows decoded at a time; no effect on the result.
    json_
        Print the summary as JSON.
    """
    if batch_rows < 1:
        raise UsageError(f"--batch-rows {batch_rows}", hint="give 1 or more, or leave it out")
    how = _How(since=_since(from_, base), strict=strict, overwrite=overwrite, batch_rows=batch_rows)
    if base is not None:
        expect(base, Kind.STORE)
    for one in against:
        expect(one, Kind.GOLDEN)
    if against and (prove == "none" or states != "all"):
        why = "--prove none" if prove == "none" else f"--states {states}"
        raise UsageError(
            f"--against with {why}: nothing can be held against the golden samples",
            hint="leave out one of the two",
        )
    asked = _Asked(against, prove)
    if expect(source, Kind.GOLDEN, Kind.LAKE) is Kind.GOLDEN:
        if lake.given():
            raise UsageError(
                f"{source} is a golden sample, which {', '.join(lake.given())} cannot be used with",
                hint="leave that out, or name a folder of Crypto Lake files",
            )
        return _sample(source, out_, ReconstructOptions(states), how, asked, json_)
    return _lake(source, out_, lake, states, how, asked, json_)


class _Asked(NamedTuple):
    """What is to be proved of what is made."""

    against: tuple[Path, ...]
    prove: Proving


class _How(TypedDict):
    """What is the same for a golden sample and for Lake days; see `reconstruct`."""

    since: PartialDay | None
    strict: bool
    overwrite: bool
    batch_rows: int


def _since(time: str | None, base: Path | None) -> PartialDay | None:
    """What --from and --base ask for."""
    if time is not None:
        try:
            return PartialDay(to_ns(time), base)
        except UsageError as error:
            raise UsageError(
                f"--from {time}: {error.message}",
                hint="give a date and a time in UTC, such as 2026-03-01T12:00",
            ) from error
    if base is not None:
        raise UsageError(
            "--base without --from", hint="--from names the time to start at, or leave --base out"
        )
    return None


def _sample(
    source: Path,
    store: Path,
    options: ReconstructOptions,
    how: _How,
    asked: _Asked,
    as_json: bool,
) -> int:
    symbol = GoldenSample.load(source).instrument
    samples = (source, *asked.against)
    gate = Gate.of(samples, asked.prove, options.states, {(symbol.exchange, symbol.symbol)})
    began = time.perf_counter()
    with progress("reconstructing") as (bar, task):

        def advance(reached: Reached) -> None:
            rate = reached.events / max(time.perf_counter() - began, 1e-9) / 1e6
            told = f"{reached.events:,} events, {rate:.2f} M rows/s, at {clock(reached.ts_order)}"
            bar.update(task, detail=told)

        result = reconstruct_sample(
            source,
            store,
            options,
            **how,
            progress=advance,
            waiting=lambda sentence: bar.console.print(sentence),
        )
    if not as_json:
        show_results([result], time.perf_counter() - began)
    found = gate.passed(store, show=not as_json) if gate else []
    if as_json:
        print_json({**asdict(result), "fidelity": found})
    elif found:
        show_next("report", store, "--against", source)
    else:
        show_next("verify", store, "--against", source)
    return _FAILED if has_failed(found) else 0


def _lake(
    source: Path,
    store: Path,
    lake: LakeOptions,
    states: States,
    how: _How,
    asked: _Asked,
    as_json: bool,
) -> int:
    request = Request(lake.exchange, named_symbols(lake.symbols), start=lake.start, end=lake.end)
    given = {
        name: value
        for name in ("strategy", "resync", "size_limit")
        if (value := getattr(lake, name)) is not None
    }
    options = ReconstructOptions(states, **given)
    days = lake_days(
        source,
        symbols=request.symbols,
        exchange=request.exchange,
        start=request.start,
        end=request.end,
        zone=lake.zone or "ready",
    )
    if how["since"] is not None:
        days = of_the_partial_day(days, request.symbols, how["since"])
    gate = Gate.of(asked.against, asked.prove, states, {day.key[:2] for day in days})
    began = time.perf_counter()
    with live(days) as watcher:
        outcomes = reconstruct_days(
            days,
            store,
            options,
            **how,
            carry=lake.carry,
            workers=lake.workers,
            watcher=watcher,
        )
    made = [outcome.result for outcome in outcomes if outcome.result is not None]
    if made and not as_json:
        show_results(made, time.perf_counter() - began)
    found = []
    if gate is not None and len(made) == len(outcomes):
        found = gate.passed(store, show=not as_json)
    elif gate is not None:  # a day that failed may be the one that a sample is of
        not_proved(f"{len(outcomes) - len(made)} of {len(outcomes)} days were not made")
    if as_json:
        print_json({**document(outcomes), "fidelity": found})
    show_failures(outcomes)
    if len(made) < len(outcomes):
        return ERROR
    if has_failed(found):
        return _FAILED
    if not as_json:
        if len({(day.exchange, day.symbol) for day in days}) == 1:
            show_next("verify", store, "--lake", source, *_which(store, days[0].symbol))
        else:
            show_next("inspect", store)
    return 0


def _which(store: Path, symbol: str) -> Sequence[str]:
    """What names a symbol in a store, where that holds others too."""
    return ("--symbol", symbol) if sealed(store)["symbol"].n_unique() > 1 else ()
