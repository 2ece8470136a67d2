"""`verify`: gates A and B. States first, then events beside the golden sample, then the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from lobproof.errors import UsageError
from lobproof.fidelity.exact.chain import ChainCheck
from lobproof.fidelity.exact.decoder import Chunk, PlainDecoder, Tally
from lobproof.fidelity.exact.integrity import GridCheck, OrderCheck, TradeIdCheck
from lobproof.fidelity.exact.pairing import (
    LevelPairing,
    TradePairing,
    stored_levels,
    stored_trades,
)
from lobproof.fidelity.exact.partial import PartialCheck
from lobproof.fidelity.exact.report import (
    GATE_A,
    GATE_B,
    Check,
    Verdict,
    VerifyReport,
    not_applicable,
    show_time,
)
from lobproof.fidelity.exact.schema import SchemaCheck
from lobproof.fidelity.exact.snapshots import SnapshotCheck
from lobproof.fidelity.exact.states import StateChecks
from lobproof.fidelity.exact.tickers import TickerTape, judge_touch
from lobproof.fidelity.exact.walk import Window
from lobproof.sources.golden import GoldenSample
from lobproof.store import Store

UNTRUSTED_LIMIT = 0.001
UNREADABLE_LIMIT = 0.001
"""Share of the sample's lines beyond which equality with the rest decides nothing."""

_BEGIN, _END = pl.col("first_ts").min(), pl.col("last_ts").max()


def verify(
    store: Store,
    golden_path: Path,
    *,
    symbol: str | None = None,
    untrusted_limit: float = UNTRUSTED_LIMIT,
    audit: bool = False,
) -> VerifyReport:
    """Prove a store against a golden sample of the same time: gates A and B of the statistics.

    The days of the store that the sample touches are looked at. Memory is bounded by the states'
    touch and the tickers' comparisons (some 250 bytes a depth message) and a few row groups.

    Parameters
    ----------
    store
        What was reconstructed.
    golden_path
        Folder of the golden sample. Its journals are hashed before they are read.
    symbol
        Canonical or venue's name; may be left out, since the sample names its own.
    untrusted_limit
        Largest share of time in which the touch may be in doubt.
    audit
        Recompute every content hash of those days too.

    Raises
    ------
    UsageError
        When store and sample are of different symbols, or their times do not overlap.
    InputError
        When the golden sample is damaged.
    StoreError
        When files that a seal lists are missing.
    """
    sample = GoldenSample.load(Path(golden_path))
    window = _window(store, sample, symbol)
    sample.verify_files()
    schema = SchemaCheck(window, audit=audit)
    try:
        if schema.columns():
            checks, coverage = _run(window, sample, schema, untrusted_limit)
        else:
            checks, coverage = [schema.result()], {}
    except (pl.exceptions.PolarsError, OSError) as error:
        checks, coverage = [schema.unreadable(error)], {}
    done = {check.name: check for check in checks}
    return VerifyReport(
        window.exchange,
        window.symbol,
        sample.provenance,
        tuple(
            done.get(name) or not_applicable(name, "the store cannot be read")
            for name in (*GATE_A, *GATE_B)
        ),
        {"days": list(window.days), **coverage},
    )


def _run(
    window: Window, sample: GoldenSample, schema: SchemaCheck, untrusted_limit: float
) -> tuple[list[Check], dict[str, Any]]:
    """All checks, and what was covered."""
    instruments = {dt: window.instrument(dt) for dt in window.days}
    grid = GridCheck(instruments)
    states = StateChecks(window, grid, schema)
    trusted = ~pl.col("doubtful") & (pl.col("bid_trusted") > 0) & (pl.col("ask_trusted") > 0)
    touch = states.touch.with_columns(trusted.alias("trusted"))
    tape = TickerTape(touch.filter(pl.col("trusted") | pl.col("beyond")))
    chain, order, trade_ids = ChainCheck(), OrderCheck(), TradeIdCheck()
    step = Decimal(1).scaleb(-max(i.size_exponent for i in instruments.values()))
    levels, trades = LevelPairing(window.days, step), TradePairing(window.days, step)
    snapshots, partial = SnapshotCheck(window), PartialCheck(window)
    decoder = PlainDecoder(
        sample.journals, sample.instrument.venue_symbol, str(sample.document["trade_stream"])
    )
    stored, recorded = window.events(), decoder.chunks()
    rows: pl.DataFrame | None = next(stored, None)
    chunk: Chunk | None = next(recorded, None)
    while rows is not None or chunk is not None:
        # whichever side is behind goes on, so that little of the other waits
        if rows is not None and (chunk is None or levels.stored.high <= levels.recorded.high):
            schema.count("events", rows)
            for check in (chain, order, trade_ids):
                check.add(rows)
            grid.add_events(rows)
            snapshots.add_stored(rows)
            levels.add(stored=stored_levels(rows))
            trades.add(stored=stored_trades(rows))
            rows = next(stored, None)
        elif chunk is not None:
            levels.add(recorded=chunk.levels)
            trades.add(recorded=chunk.trades)
            tape.add(chunk.tickers)
            partial.add(chunk.partials)
            snapshots.add_recorded(chunk.snapshots)
            chunk = next(recorded, None)
    levels.finish()
    trades.finish()
    depth = chain.depth_messages()
    tally = decoder.tally
    checks = [
        schema.result(),
        chain.result(),
        states.uncrossed(),
        grid.result(),
        order.result(),
        trade_ids.result(),
        states.untrusted_share(untrusted_limit),
        _as_far_as_readable(
            levels.outcome.check(
                "the golden sample has no depth messages of these days",
                repeated=tally.repeated,
                resets=tally.resets,
            ),
            tally,
        ),
        _as_far_as_readable(
            trades.outcome.check(
                "the golden sample has no trades of these days", repeated=tally.repeated_trades
            ),
            tally,
        ),
        *judge_touch(window, tape, depth, levels.recorded.high),
        snapshots.result(depth),
        partial.result(depth),
        not_applicable(
            "vendor_book", "neither side holds `book` rows of Crypto Lake to compare with"
        ),
    ]
    coverage = {
        "golden": {
            "lines": tally.lines,
            "depth_messages": tally.depth,
            "empty_depth_messages": tally.empty,
            "repeated_depth_messages": tally.repeated,
            "id_resets": tally.resets,
            "repeated_trades": tally.repeated_trades,
            "unreadable": tally.unreadable,
            "first_unreadable": tally.first_unreadable,
            "level_changes_outside_the_store": levels.outcome.outside,
            "trades_outside_the_store": trades.outcome.outside,
        },
        "store": {
            "depth_messages": depth.height,
            "level_changes_outside_the_golden_sample": levels.unrecorded,
            "trades_outside_the_golden_sample": trades.unrecorded,
            "states": touch.height,
            "trusted_states": int(touch["trusted"].sum()),
        },
    }
    return checks, coverage


def _as_far_as_readable(check: Check, tally: Tally) -> Check:
    """What is equal proves little where much of the sample could not be read."""
    if check.verdict is not Verdict.EXACT or tally.unreadable <= UNREADABLE_LIMIT * tally.lines:
        return check
    return replace(
        check,
        verdict=Verdict.INCONCLUSIVE,
        reason=f"{tally.unreadable:,} of the sample's {tally.lines:,} lines cannot be read, the "
        f"first is {tally.first_unreadable}",
    )


def _window(store: Store, sample: GoldenSample, symbol: str | None) -> Window:
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
        there = store.symbols()
        held = [f"{row['exchange']} {row['symbol']}" for row in there.iter_rows(named=True)]
        raise UsageError(
            f"The golden sample is of {golden.exchange} {golden.symbol}, "
            f"the store holds {', '.join(held) or 'no sealed day'}.",
            hint="Verify a store against a golden sample of the same symbol.",
        )
    first, last = _span(sample)
    touched = mine.filter(pl.col("dt").is_between(pl.lit(_day(first)), pl.lit(_day(last))))
    if not touched.filter((pl.col("first_ts") <= last) & (pl.col("last_ts") >= first)).height:
        begins, ends = (int(mine.select(x).item()) for x in (_BEGIN, _END))
        raise UsageError(
            f"Store and golden sample do not overlap: the sample lasts from {show_time(first)} to "
            f"{show_time(last)}, the store's days of {golden.symbol} from {show_time(begins)} "
            f"to {show_time(ends)}.",
            hint="Verify against a golden sample of the same time.",
        )
    return Window(store, golden.exchange, golden.symbol, tuple(touched["dt"].sort()))


def _span(sample: GoldenSample) -> tuple[int, int]:
    """First and last time of the sample by the exchange's clock."""
    span = sample.document["span"]
    first, last = int(span["first_event_ns"]), int(span["last_event_ns"])
    if first <= 0:
        first = int(span["first_recv_ns"]) - sample.clock_offset_ns
        last = int(span["last_recv_ns"]) - sample.clock_offset_ns
    return first, last


def _day(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d}"
