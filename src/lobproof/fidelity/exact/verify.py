"""`verify`: which days are looked at, and all checks of gates A and B in one report.

States are read first, then events beside the golden sample, then the vendor's files.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from threading import Lock
from typing import Any

import polars as pl
import pyarrow as pa

from lobproof.errors import InputError, UsageError
from lobproof.fidelity.exact.decoder import PlainDecoder
from lobproof.fidelity.exact.golden import GoldenComparison
from lobproof.fidelity.exact.integrity import Integrity, SchemaCheck
from lobproof.fidelity.exact.kinds import Kinds
from lobproof.fidelity.exact.report import (
    GATE_A,
    GATE_B,
    Check,
    VerifyReport,
    not_applicable,
    show_time,
)
from lobproof.fidelity.exact.vendor import (
    DayFiles,
    VendorComparison,
    book_rows,
    vendor_files,
)
from lobproof.fidelity.exact.window import Window
from lobproof.options import check_number
from lobproof.paths import AnyPath, as_path
from lobproof.progress import Progress
from lobproof.schema import Kind
from lobproof.schema.provenance import least_real
from lobproof.sources.cryptolake.footer import read_footer
from lobproof.sources.golden import DOCUMENT, GoldenSample, remedy
from lobproof.store import Store, as_store
from lobproof.store.catalog import check_range, no_day, one_name
from lobproof.store.seal import verdicts_of
from lobproof.timespan import Time, bounds, other_unit, utc_day

UNTRUSTED_LIMIT = 0.001
_BEGIN, _END = pl.col("first_ts").min(), pl.col("last_ts").max()


def verify(
    store: Store | AnyPath,
    golden_path: AnyPath | None = None,
    *,
    lake: AnyPath | None = None,
    symbol: str | None = None,
    start: Time | None = None,
    end: Time | None = None,
    untrusted_limit: float = UNTRUSTED_LIMIT,
    audit: bool = False,
    progress: Progress | None = None,
) -> VerifyReport:
    """Prove a store against a golden sample of the same time, the vendor's `book`, or both.

    The days of the store that the sample touches are looked at, without one all of the symbol's; of
    a partial day what it holds, and the report names it. They are read one by one: against files
    of Crypto Lake alone, memory does not grow with their number. With a golden sample it holds the
    states' touch and the tickers' comparisons, some 250 bytes a depth message.

    Parameters
    ----------
    store
        What was reconstructed, or its path.
    golden_path
        Folder of the golden sample. Its journals are hashed before they are read.
    lake
        Folder of Crypto Lake files, with zones or plain: its rows of `book` are held against the
        states.
    symbol
        Canonical or venue's name; may be left out with a sample, or where the store has one only.
    start, end
        Only the days, looked at whole, of the time from ``start`` on and before ``end``.
    untrusted_limit
        Largest share of time in which the touch may be in doubt.
    audit
        Recompute every content hash of those days too.
    progress
        Called with the symbol, the rows read so far, and how many there are to read.

    Raises
    ------
    UsageError
        When store and sample are of different symbols, or their times do not overlap; when there
        is neither sample nor lake, no day, or no `book` of those days; when some of the days come
        from Crypto Lake and others do not.
    InputError
        When the golden sample is damaged.
    StoreError
        When files that a seal lists are missing.
    """
    store = as_store(store)
    check_number(
        "untrusted_limit",
        untrusted_limit,
        "share of time",
        least=0.0,
        most=1.0,
        hint="give 0 or more, and at most 1: 0.001 is one part in a thousand",
    )
    sample = None if golden_path is None else GoldenSample.load(golden_path)
    window = _window(store, sample, symbol, start, end)
    files: Mapping[str, DayFiles] = {}
    if lake is not None:
        files = vendor_files(as_path(lake), window.exchange, window.symbol, window.days)
    elif sample is None:
        raise UsageError(
            "There is nothing to verify the store against.",
            hint="name a golden sample (golden_path=, --against), or the Crypto Lake folder that "
            "it came from (lake=, --lake)",
        )
    if sample is not None:
        sample.hashed()
    if progress is not None:
        window = _telling(window, files.get("book", {}), audit=audit, progress=progress)
    schema = SchemaCheck(window, audit=audit)
    try:
        if schema.sound():
            checks, coverage = _run(window, sample, files, schema, untrusted_limit)
        else:
            checks, coverage = [schema.result()], {}
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
        checks, coverage = [schema.unreadable(error)], {}
    done = {check.name: check for check in checks}
    begun = {dt: show_time(start) for dt, start in window.begins.items()}
    return VerifyReport(
        window.exchange,
        window.symbol,
        _provenance(window, sample, files),
        tuple(
            done.get(name) or not_applicable(name, "the store is not as it was sealed")
            for name in (*GATE_A, *GATE_B)
        ),
        {
            "days": list(window.days),
            "content_hashes": dict(window.seals().select("dt", "content_hash").iter_rows()),
            **({"partial_days": begun} if begun else {}),
            **_strategies(window),
            **coverage,
        },
        " and ".join(
            [
                *([f"a {sample.provenance} golden sample"] if sample is not None else []),
                *(["Crypto Lake files"] if lake is not None else []),
            ]
        ),
    )


def _provenance(
    window: Window,
    sample: GoldenSample | None,
    files: Mapping[str, DayFiles],
) -> str:
    """The least real of the store's days, the sample, and what the files say of themselves."""
    found = [*window.seals()["provenance"]]
    if sample is not None:
        found.append(sample.provenance)
    footers = (
        read_footer(path, table)
        for table, days in files.items()
        for paths in days.values()
        for path in paths
    )
    found += [footer.provenance for footer in footers if footer and footer.provenance]
    return least_real(*found)


def _run(
    window: Window,
    sample: GoldenSample | None,
    files: Mapping[str, DayFiles],
    schema: SchemaCheck,
    untrusted_limit: float,
) -> tuple[list[Check], dict[str, Any]]:
    """All checks, and what was covered."""
    integrity = Integrity(window, schema)
    vendor = VendorComparison(window, files) if files else None
    counts = Counter({"depth_messages": 0, "states": 0, "trusted_states": 0})
    covered: dict[str, Any] = {}
    outside: dict[str, Any] = {}
    of_golden: list[Check] = []
    states: dict[str, pl.DataFrame] = {}  # which there are, of days that wait to be compared
    depth: list[pl.DataFrame] = []  # the last rows of the depth messages, by day
    beside = ThreadPoolExecutor(2, "vendor")  # compares a day's files while the next one is read
    compared: deque[Future[None]] = deque()

    def judged(day: Window) -> pl.DataFrame:
        touch = integrity.touch(day)
        states[day.days[0]] = touch.select("event_id", "sequence")
        counts.update(states=touch.height, trusted_states=int(touch["trusted"].sum()))
        return touch

    def stored(day: Window) -> Iterator[pl.DataFrame]:
        (dt,) = day.days
        for rows in day.events():
            trades = rows.filter(pl.col("kind") == int(Kind.TRADE))
            integrity.add(dt, rows, trades)
            if vendor is not None:
                vendor.take(dt, rows, trades)
            yield rows
        depth.append(integrity.depth_messages())
        counts.update(depth_messages=depth[-1].height)
        while compared:
            compared.popleft().result()
        if vendor is not None:
            compared.append(beside.submit(vendor.compare_book, dt, states.pop(dt), depth[-1]))
            compared.append(beside.submit(vendor.compare_trades, dt))

    try:
        if sample is None:
            for day in window.by_day():
                judged(day)
                deque(stored(day), maxlen=0)
                depth.clear()
        else:
            # tickers and snapshots are held against the states of all days that a sample touches
            touch = pl.concat([judged(day) for day in window.by_day()])
            kinds = Kinds.of(window, sample)
            golden = GoldenComparison(window, _decoder(window, sample), touch, kinds)
            golden.run(chain.from_iterable(map(stored, window.by_day())))
            of_golden = golden.checks(pl.concat(depth))
            covered, outside = {"golden": golden.coverage()}, golden.outside()
            _check_lines(sample, covered["golden"]["lines"])
        while compared:
            compared.popleft().result()
    finally:
        beside.shutdown(cancel_futures=True)
    checks = [*integrity.checks(untrusted_limit), *of_golden]
    if vendor is not None:
        checks += vendor.checks()
    else:
        why = "no folder of Crypto Lake files was named"
        checks += [not_applicable(name, why) for name in ("vendor_book", "vendor_trades")]
    done = {check.name for check in checks}
    checks += [
        not_applicable(name, "no golden sample was named") for name in GATE_B if name not in done
    ]
    depth_messages = counts.pop("depth_messages")
    return checks, {**covered, "store": {"depth_messages": depth_messages, **outside, **counts}}


def _check_lines(sample: GoldenSample, lines: int) -> None:
    listed = sum(int(entry["lines"]) for entry in sample.document["journals"])
    if lines != listed:
        raise InputError(
            f"{sample.path}: its journals have {lines:,} lines, {DOCUMENT} lists {listed:,}",
            hint=remedy(sample.path),
        )


def _decoder(window: Window, sample: GoldenSample) -> PlainDecoder:
    return PlainDecoder(
        sample.journals,
        sample.instrument.venue_symbol,
        str(sample.document["trade_stream"]),
        window.orders[window.days[0]].book_clock,
        sample.snapshots_of_nobody,
        sample.backfilled,
    )


def _strategies(window: Window) -> dict[str, dict[str, list[str]]]:
    """Under ``strategies``: of the days that were not replayed in full, how and why."""
    others: dict[str, list[str]] = {}
    for row in window.seals().iter_rows(named=True):
        reasons = verdicts_of(row).reasons
        if row["strategy"] != "full" or reasons:
            others[row["dt"]] = [row["strategy"], *reasons]
    return {"strategies": others} if others else {}


def _telling(window: Window, files: DayFiles, *, audit: bool, progress: Progress) -> Window:
    """The window, which tells how far it is read."""
    seals, done, turn = window.seals(), 0, Lock()
    events, states = int(seals["events"].sum()), int(seals["states"].sum())
    total = states + (1 + audit) * events + book_rows(files)

    def read(rows: int) -> None:
        nonlocal done
        with turn:  # days and files are read by a thread each
            done += rows
            progress(f"{window.exchange} {window.symbol}", min(done, total), total)

    return replace(window, read=read)


def _window(
    store: Store,
    sample: GoldenSample | None,
    symbol: str | None,
    start: Time | None,
    end: Time | None,
) -> Window:
    one_name(symbol)
    if not store.days().height:
        raise no_day(store.path, store.unsealed())
    window = _all_days(store, symbol) if sample is None else _days_of(store, sample, symbol)
    low, high = bounds(start, end)
    check_range(low, high)
    for time in (low, high):
        if time is not None and other_unit(time) and utc_day(time) not in window.days:
            raise UsageError(f"{utc_day(time)} is no day of the store.", hint=other_unit(time))
    first = "" if low is None else utc_day(low)
    last = "9" if high is None else utc_day(high - 1)
    days = tuple(dt for dt in window.days if first <= dt <= last)
    if not days:
        raise UsageError(
            f"None of the days that could be looked at is from {first or 'the beginning'} to "
            f"{'the end' if end is None else last}: {', '.join(window.days)}.",
            hint="start and end (--start, --end, --date) name days of the store; the end is the "
            "first that is not wanted any more.",
        )
    window = replace(window, days=days)
    chained = [Window(store, window.exchange, window.symbol, (dt,)).chained for dt in window.days]
    if any(chained) and not all(chained):
        lake = [dt for dt, is_so in zip(window.days, chained, strict=True) if not is_so]
        raise UsageError(
            f"Of the days {', '.join(window.days)} only {', '.join(lake)} come from Crypto Lake.",
            hint="Each kind is judged by rules of its own: keep them in a store each.",
        )
    return window


def _all_days(store: Store, symbol: str | None) -> Window:
    """All days of the symbol, or of the only one."""
    days = store.days()
    if symbol is not None:
        known = store.symbols().filter(pl.col("symbol") == symbol)
        if not known.height:
            known = store.symbols().filter(pl.col("venue_symbol") == symbol)
        days = days.join(known, on=["exchange", "symbol"], how="semi")
    held = days.select("exchange", "symbol").unique().sort("exchange", "symbol").rows()
    if len(held) != 1:
        there = _names(store)
        raise UsageError(
            f"The store holds {there}."
            if held
            else f"The store holds no day of {symbol}, but of {there}.",
            hint="symbol= (--symbol) names one of those that it holds.",
        )
    ((exchange, name),) = held
    return Window(store, exchange, name, tuple(days["dt"].sort()))


def _names(store: Store) -> str:
    return ", ".join(f"{row[0]} {row[1]}" for row in store.symbols().iter_rows())


def _days_of(store: Store, sample: GoldenSample, symbol: str | None) -> Window:
    """The days that the sample touches."""
    golden = sample.instrument
    if symbol is not None and symbol not in (golden.symbol, golden.venue_symbol):
        raise UsageError(
            f"The golden sample is of {golden.exchange} {golden.symbol}, not of {symbol}.",
            hint="Name the golden sample of that symbol.",
        )
    days = store.days()
    mine = days.filter(
        (pl.col("exchange") == golden.exchange) & (pl.col("symbol") == golden.symbol)
    )
    if not mine.height:
        raise no_symbol(store, golden.exchange, golden.symbol)
    touched = sample_days(store, sample)
    if not touched:
        first, last = sample_span(sample)
        begins, ends = (int(mine.select(x).item()) for x in (_BEGIN, _END))
        raise UsageError(
            f"Store and golden sample do not overlap: the sample lasts from {show_time(first)} to "
            f"{show_time(last)}, the store's days of {golden.symbol} from {show_time(begins)} "
            f"to {show_time(ends)}.",
            hint="Verify against a golden sample of the same time.",
        )
    return Window(store, golden.exchange, golden.symbol, touched)


def no_symbol(store: Store, exchange: str, symbol: str) -> UsageError:
    """The error of a sample of whose symbol the store has no day."""
    return UsageError(
        f"The golden sample is of {exchange} {symbol}, "
        f"the store holds {_names(store) or 'no sealed day'}.",
        hint="Verify a store against a golden sample of the same symbol.",
    )


def sample_days(store: Store, sample: GoldenSample) -> tuple[str, ...]:
    """The days of a store that a sample touches; none where their times do not overlap."""
    golden = sample.instrument
    first, last = sample_span(sample)
    touched = store.days().filter(
        (pl.col("exchange") == golden.exchange)
        & (pl.col("symbol") == golden.symbol)
        & pl.col("dt").is_between(pl.lit(utc_day(first)), pl.lit(utc_day(last)))
    )
    if not touched.filter((pl.col("first_ts") <= last) & (pl.col("last_ts") >= first)).height:
        return ()
    return tuple(touched["dt"].sort())


def sample_span(sample: GoldenSample) -> tuple[int, int]:
    """First and last time of the sample by the exchange's clock."""
    span = sample.document["span"]
    first, last = int(span["first_event_ns"]), int(span["last_event_ns"])
    if first <= 0:
        first = int(span["first_recv_ns"]) - sample.clock_offset_ns
        last = int(span["last_recv_ns"]) - sample.clock_offset_ns
    return first, last
