"""``assess_lake``, ``assess_sample``: everything there is to say of a symbol-day or golden sample.

A Lake day's tables are read once for facts and times, and once more by the replay; a golden
sample's journals by the replay alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lobproof.acquire.checks.coverage import day_start
from lobproof.acquire.facts import Fact, Holds, check_day
from lobproof.acquire.rows import Columns
from lobproof.assess.clock import clock_of, skew_p95
from lobproof.assess.completeness import Completeness, DayCover, of_streams
from lobproof.assess.judge import ProfileFigures, judged, recommended
from lobproof.assess.result import Assessment, Difference, Reference, Source
from lobproof.assess.thresholds import Thresholds
from lobproof.assess.times import TableTimes, TimeProfile
from lobproof.assess.watch import Messages, Prints, ReplayWatch
from lobproof.errors import GridError, InputError
from lobproof.instruments import Instrument
from lobproof.pages.axes import TimeGrid, nice_width
from lobproof.pages.text import moment, short
from lobproof.paths import AnyPath
from lobproof.pipeline.job import ReplayJob
from lobproof.pipeline.lake import LakeDay, rehearse_day
from lobproof.pipeline.rehearse import Rehearsal, rehearse_sample
from lobproof.schema import LEVELS
from lobproof.sources.cryptolake.lag import Lag
from lobproof.sources.golden import GoldenSample
from lobproof.timespan import DAY_NS, HOUR_NS

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and of how much (0: not known)."""

_CELLS = 144
_LAKE_TABLES = ("book_delta_v2", "book", "trades")


def assess_lake(
    day: LakeDay,
    *,
    against: Reference | None = None,
    limits: Thresholds | None = None,
    progress: Progress | None = None,
) -> Assessment:
    """Assess a symbol-day of Crypto Lake files.

    What cannot be read or replayed is a NO-GO with its reason, no error.

    Parameters
    ----------
    against
        What a golden sample's format is (`reference`), to hold this one against, field by field.
    limits
        For a GO.
    progress
        Called as the work goes on.
    """
    tell = progress or _silent
    watches: list[ReplayWatch] = []
    problems: list[str] = []

    def watch(_: ReplayJob) -> ReplayWatch:
        watches.append(ReplayWatch())
        return watches[-1]

    heard: Rehearsal | None = None
    try:
        heard = rehearse_day(
            day,
            watch=watch,
            progress=lambda at: tell("replaying", at.rows, at.of_rows),
        )
    except (InputError, GridError) as error:
        problems.append(_told(error))
    start = day_start(day.dt)
    span = heard.span if heard is not None else (0, 0)
    whole = start, start + DAY_NS
    first, last = span if span[0] else (whole[0], whole[1] - 1)
    grid = _grid(min(first, whole[1] - 1), max(last, first))
    profiles = {table: TimeProfile(table, whole, grid) for table in _LAKE_TABLES}
    tell("reading the tables", 0, 0)
    facts: list[Fact] = []
    cover = DayCover(day.dt)

    def timed(table: str, rows: Columns) -> None:
        sent, received = rows["timestamp"], rows["receipt_timestamp"]
        profiles[table].add(sent, received)
        cover.add(table, sent, received)

    try:
        facts = check_day(
            day.files,
            day.dt,
            progress=lambda text: tell(text, 0, 0),
            also=timed,
        )
    except (InputError, GridError) as error:
        if _told(error) not in problems:
            problems.append(_told(error))
    times = [profiles[table].result() for table in _LAKE_TABLES if day.files.get(table)]
    columns = next((fact for fact in facts if fact.name == "columns"), None)
    if columns is not None and columns.holds is Holds.FAILS and not problems:
        problems += [f"{table}: {text}" for table, text in columns.figures.items()]
    figures = _figures(times, cover.result())
    limits = limits or Thresholds()
    asked = False
    if heard is not None:
        full = heard.tried.get("full", heard.counts)  # whose gap ratio is the feed's
        figures = replace(figures, gap_ratio=full.gap_ratio, unusable_books=_unusable(heard))
        messages = full.book_messages - full.snapshots
        silent = messages and (full.lost - full.silences) / messages < limits.gap_ratio
        better, why = recommended(heard.strategy, figures, bool(silent), limits)
        if better != heard.strategy:
            again = rehearse_day(
                day,
                strategy=better,
                watch=watch,
                progress=lambda at: tell("replaying", at.rows, at.of_rows),
            )
            passed = (why,) if better != "full" else (*heard.reasons, f"but {why}")
            heard = replace(again, reasons=passed, tried={**heard.tried, **again.tried})
            asked = True
    return _assessed(
        source="crypto-lake",
        where=", ".join(sorted({str(path) for path in day.names.values()})),
        names=(day.exchange, day.symbol, day.dt),
        provenance=day.provenance,
        span=span,
        heard=heard,
        watch=watches[-1] if watches and heard is not None else None,
        figures=figures,
        times=times,
        facts=facts,
        lag=_lag(heard),
        problems=problems,
        against=against,
        limits=limits,
        asked=asked,
        of_format=lambda messages, prints: _lake_format(heard, times, messages, facts),
    )


def _figures(times: list[TableTimes], heard: Completeness) -> ProfileFigures:
    """What the times of the tables tell."""
    skew = {one.table: skew_p95(one) for one in times}
    return ProfileFigures(
        invalid_origin_time={one.table: one.invalid_share for one in times if one.total.rows},
        skew_p95_ms={table: value for table, value in skew.items() if value is not None},
        heard=heard,
    )


def _unusable(heard: Rehearsal) -> float | None:
    """Share of the rows of `book` that are no book, or late; by the replay that took them last."""
    if "anchored" in heard.tried:
        return heard.tried["anchored"].unusable_ratio
    full = heard.tried.get("full")
    if full is None:
        return None
    unused = full.findings.get("VENDOR_ROW_UNUSED", 0)
    rows = full.vendor_rows + unused
    return unused / rows if rows else None


def assess_sample(
    source: AnyPath | GoldenSample,
    *,
    against: Reference | None = None,
    limits: Thresholds | None = None,
    progress: Progress | None = None,
) -> Assessment:
    """Assess a golden sample; parameters as for :func:`assess_lake`.

    Raises
    ------
    InputError
        If it is none, or its document is damaged. Damaged journals are a NO-GO.
    """
    sample = source if isinstance(source, GoldenSample) else GoldenSample.load(source)
    tell = progress or _silent
    said = sample.document["span"]
    first, last = int(said["first_event_ns"]), int(said["last_event_ns"])
    if first <= 0:
        first, last = int(said["first_recv_ns"]), int(said["last_recv_ns"])
    last = max(first, last)
    days = first - first % DAY_NS, last - last % DAY_NS + DAY_NS
    profiles = [TimeProfile(name, days, _grid(first, last)) for name in ("depth", "trades")]
    seen = ReplayWatch(*profiles)
    problems: list[str] = []
    heard: Rehearsal | None = None
    try:
        heard = rehearse_sample(
            sample,
            watch=lambda _: seen,
            progress=lambda at: tell("replaying", at.rows, at.of_rows),
        )
    except (InputError, GridError) as error:
        problems.append(_told(error))
    times = [one.result() for one in profiles]
    times = [one for one in times if one.total.rows]
    messages = seen.messages()
    figures = _figures(times, Completeness())
    if heard is not None:
        names = {"depth": "depth", "trades": "trades"}
        figures = replace(
            figures, gap_ratio=heard.counts.gap_ratio, heard=of_streams(heard.coverage, names)
        )
    if messages.spanned_ids and messages.missing_ids is not None:
        ratio = messages.missing_ids / messages.spanned_ids
        figures = replace(figures, gap_ratio=ratio, gap_of="ids")
    symbol = sample.instrument.exchange, sample.instrument.symbol
    dates = f"{_date(first)}" if _date(first) == _date(last) else f"{_date(first)}…{_date(last)}"
    return _assessed(
        source="golden",
        where=str(sample.path),
        names=(*symbol, dates),
        provenance=sample.provenance,
        span=heard.span if heard is not None else (first, last),
        heard=heard,
        watch=seen if heard is not None else None,
        figures=figures,
        times=times,
        facts=(),
        lag=None,
        problems=problems,
        against=against,
        limits=limits or Thresholds(),
        of_format=lambda messages, prints: _golden_format(sample, times, messages),
    )


def reference(sample: GoldenSample) -> Reference:
    """A golden sample's format, which others are held against."""
    return Reference(str(sample.path), assess_sample(sample).format)


def _assessed(
    *,
    source: Source,
    where: str,
    names: tuple[str, str, str],
    provenance: str,
    span: tuple[int, int],
    heard: Rehearsal | None,
    watch: ReplayWatch | None,
    figures: ProfileFigures,
    times: list[TableTimes],
    facts: Any,
    lag: Lag | None,
    problems: list[str],
    against: Reference | None,
    limits: Thresholds,
    asked: bool = False,
    of_format: Callable[[Messages | None, Prints | None], dict[str, str]],
) -> Assessment:
    clock = clock_of(times)
    messages = None if watch is None else watch.messages()
    prints = None if watch is None else watch.prints()
    verdict = judged(
        strategy=None if heard is None else heard.strategy,
        passed_over=() if heard is None else heard.reasons,
        counts=None if heard is None else heard.counts,
        figures=figures,
        span_ns=span[1] - span[0],
        clock=clock,
        facts=facts,
        problems=problems,
        limits=limits,
        asked=asked,
    )
    fields = of_format(messages, prints)
    found = Assessment(
        source,
        where,
        *names,
        provenance,
        span,
        verdict,
        clock,
        times,
        messages,
        prints,
        None if heard is None else heard.counts,
        {} if heard is None else {str(name): one for name, one in heard.tried.items()},
        {} if heard is None else heard.coverage,
        facts,
        lag,
        fields,
        limits,
    )
    if against is None:
        return found
    theirs = against.format
    return replace(
        found,
        against=tuple(
            Difference(name, fields.get(name, "–"), theirs.get(name, "–"))
            for name in {**fields, **theirs}
        ),
        against_what=against.where,
    )


def _lag(heard: Rehearsal | None) -> Lag | None:
    said = None if heard is None else heard.survey.get("lag")
    return None if said is None else Lag(**said)


def _grid(first: int, last: int) -> TimeGrid:
    """Cells that divide an hour; of days on end, hours."""
    width = min(nice_width(max(last - first, 1), _CELLS, 10**9), HOUR_NS)
    return TimeGrid.of_width(first, last, width)


def _lake_format(
    heard: Rehearsal | None,
    times: list[TableTimes],
    messages: Messages | None,
    facts: list[Fact],
) -> dict[str, str]:
    shape = next((fact.figures for fact in facts if fact.name == "columns"), {})
    named = ", ".join(sorted({str(text) for text in shape.values()}))
    return {
        **({} if heard is None else _numbers(heard.instrument)),
        **_resolutions(times),
        "columns": named,
        "book ids": "one sequence number a message",
        "chain of ids": "none: `+1` proves nothing",
        "sizes": "absolute; 0 removes the level",
        **_pace(messages),
        "snapshots": f"rows of `book`, {LEVELS} levels a side",
        "trades": "ids, side of the taker",
    }


def _golden_format(
    sample: GoldenSample, times: list[TableTimes], messages: Messages | None
) -> dict[str, str]:
    futures = sample.market == "futures"
    levels = [max(int(one["bids"]), int(one["asks"])) for one in sample.document["snapshots"]]
    snapshots = f"REST, up to {max(levels):,} levels a side" if levels else "none"
    raw = sample.document["trade_stream"] == "trade"
    return {
        **_numbers(sample.instrument),
        **_resolutions(times),
        "columns": "the venue's messages, byte for byte",
        "book ids": "first and final id a message",
        "chain of ids": "pu = previous u" if futures else "U = previous u + 1",
        "sizes": "absolute; 0 removes the level",
        **_pace(messages),
        "snapshots": snapshots,
        "trades": "ids, side of the taker" if raw else "aggregates, side of the taker",
    }


def _numbers(instrument: Instrument) -> dict[str, str]:
    rule = instrument.rules[0]
    tick = rule.tick / 10**instrument.price_exponent
    lot = rule.lot / 10**instrument.size_exponent
    return {
        "decimals of prices": str(instrument.price_exponent),
        "decimals of sizes": str(instrument.size_exponent),
        "tick": short(tick, 8),
        "lot": short(lot, 8),
    }


def _resolutions(times: list[TableTimes]) -> dict[str, str]:
    sent = sorted({one.resolution[0] for one in times})
    received = sorted({one.resolution[1] for one in times})
    return {"exchange times in": ", ".join(sent), "receive times in": ", ".join(received)}


def _pace(messages: Messages | None) -> Mapping[str, str]:
    if messages is None or not messages.messages:
        return {}
    spacing = messages.spacing_ms["p50"]
    return {"message every (median)": "–" if spacing is None else f"{short(spacing, 2)} ms"}


def _date(ns: int) -> str:
    return moment(ns, digits=0)[:10]


def _told(error: InputError | GridError) -> str:
    """An error as a reason: what is wrong, and the remedy."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _silent(_: str, __: int, ___: int) -> None:
    return
