"""A partial day held against the whole one: what has to be equal, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from lobproof.replay.findings import BRIDGE_NS
from lobproof.schema import Finding
from lobproof.store import Store, open_store

MINUTE_NS = 60 * 10**9
TALLIED = (
    Finding.BAD_TS,
    Finding.OFF_TICK,
    Finding.OFF_LOT,
    Finding.INVALID_INPUT,
    Finding.TRADE_UNCONFIRMED,
    Finding.STALE_BOOK,
    Finding.TRADES_ABSENT,
    Finding.VENDOR_ROW_UNUSED,
)
"""Findings that a minute counts: of one that the boundary cuts, a part."""
_IDS = ("event_id", "first_event_id", "last_event_id")


def seal_of(store: Store, dt: str) -> dict[str, Any]:
    """A day's seal."""
    return store.days().filter(pl.col("dt") == dt).row(0, named=True)


def begins(store: Store, dt: str) -> int:
    """Where a partial day begins, in ns."""
    return int(json.loads(seal_of(store, dt)["config"])["from_ns"])


def hold_against_whole(whole: Path, partial: Path, dt: str) -> dict[str, int]:
    """All of the partial day is that of the whole one; rows of each table that were compared.

    Event ids are counted from the boundary on. A finding that reaches back over it begins with the
    partial day. The opening keyframe has the day's first time, not that of the event before. The
    minute that the boundary lies in, where it is no boundary of minutes, is left out, and so are
    findings that this minute counts; nothing else is. Of contradictions right behind the boundary
    only the end is compared: one before it may be near, and what lies between is doubt then.
    """
    ours, all_ = open_store(partial), open_store(whole)
    start = begins(ours, dt)
    table = {name: _tables(all_, dt, name) for name in _NAMES}
    mine = {name: _tables(ours, dt, name) for name in _NAMES}
    before = table["events"].filter(pl.col("ts_order") < start).height
    first_ts = int(mine["keyframes"]["ts_order"][0])
    clipped = {
        "events": table["events"].filter(pl.col("event_id") >= before),
        "states": table["states"].filter(pl.col("event_id") >= before),
        "keyframes": table["keyframes"]
        .filter(pl.col("event_id") >= before - 1)
        .with_columns(
            pl.when(pl.col("event_id") == before - 1)
            .then(pl.lit(first_ts))
            .otherwise("ts_order")
            .alias("ts_order")
        ),
        "quality": _from(table["quality"], before, first_ts),
        "minutes": table["minutes"].filter(pl.col("minute") >= start - start % MINUTE_NS),
    }
    cut = start - start % MINUTE_NS if start % MINUTE_NS else -1
    counted = pl.col("code").is_in([int(code) for code in TALLIED])
    in_cut = counted & (pl.col("first_ts") // MINUTE_NS * MINUTE_NS == cut)
    order = ["first_event_id", "last_event_id", "code", "first_ts"]
    rows = {}
    for name in _NAMES:
        ids = [column for column in _IDS if column in clipped[name].columns]
        expected = clipped[name].with_columns(pl.col(ids) - before)
        found = mine[name]
        if name == "minutes":
            expected, found = (one.filter(pl.col("minute") != cut) for one in (expected, found))
        if name == "quality":
            expected = expected.with_columns(
                pl.col("first_event_id", "last_event_id").clip(lower_bound=0)
            )
            near = pl.col("code").is_in(_CONTRADICTIONS) & (
                pl.col("first_ts") <= first_ts + BRIDGE_NS
            )
            expected, found = (
                one.filter(~in_cut)
                .with_columns(
                    pl.when(near).then(0).otherwise("first_event_id").alias("first_event_id"),
                    pl.when(near).then(first_ts).otherwise("first_ts").alias("first_ts"),
                )
                .sort(order)
                for one in (expected, found)
            )
        assert_frame_equal(found, expected, check_exact=True)
        rows[name] = found.height
    assert seal_of(ours, dt)["events"] == rows["events"]
    return rows


_CONTRADICTIONS = [int(code) for code in (Finding.DRIFT, Finding.GHOST_LEVELS, Finding.CROSSED)]
_NAMES = ("events", "states", "keyframes", "quality", "minutes")


def _tables(store: Store, dt: str, name: str) -> pl.DataFrame:
    read = getattr(store, name)
    frame: pl.DataFrame = read(raw=True).filter(pl.col("dt") == dt).collect()
    return frame


def _from(findings: pl.DataFrame, before: int, first_ts: int) -> pl.DataFrame:
    """Findings that reach the boundary, from there on."""
    reaching = findings.filter(pl.col("last_event_id") >= before)
    over = pl.col("first_event_id") < before
    return reaching.with_columns(
        pl.when(over).then(pl.lit(first_ts)).otherwise("first_ts").alias("first_ts")
    )
