"""The stored tables: Arrow schemas and how each column is encoded. See ``docs/tables.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from lobproof.schema.codes import LEVELS, PRICE_SCALE
from lobproof.schema.minutes import DRIFT_COUNTS, MINUTE_COUNTS

FORMAT_VERSION = 3
"""Raised whenever the same input would give other content."""

PARTITION_COLUMNS = ("exchange", "symbol", "dt")
PART_ROWS = 1 << 22
"""An events part closes at the first message end at or after this many rows."""
EVENT_GROUP_ROWS = 1 << 18
STATE_GROUP_ROWS = 1 << 16

DECIMAL = pa.decimal128(38, PRICE_SCALE)


@dataclass(frozen=True, slots=True)
class Table:
    """A stored table: its Arrow schema (partition columns apart) and its Parquet settings."""

    name: str
    schema: pa.Schema
    group_rows: int
    dictionary: tuple[str, ...] = ()
    delta_packed: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()


def _schema(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns])


def _counted(names: Sequence[str]) -> list[tuple[str, pa.DataType]]:
    """Columns of counts; volumes are decimals."""
    return [(name, DECIMAL if name.endswith("_volume") else pa.int64()) for name in names]


STATE_LEVEL_COLUMNS = tuple(
    f"{side}_{level}_{field}"
    for side in ("bid", "ask")
    for level in range(LEVELS)
    for field in ("price", "size")
)

EVENTS = Table(
    "events",
    _schema(
        ("event_id", pa.int64()),
        ("ts_order", pa.int64()),
        ("ts_event", pa.int64()),
        ("ts_recv", pa.int64()),
        ("sequence", pa.int64()),
        ("prev_sequence", pa.int64()),
        ("kind", pa.int8()),
        ("side", pa.int8()),
        ("price", DECIMAL),
        ("size", DECIMAL),
        ("flags", pa.int32()),
    ),
    EVENT_GROUP_ROWS,
    dictionary=("price", "size"),
    delta_packed=("event_id",),
    statistics=("event_id", "ts_order", "sequence"),
)

STATES = Table(
    "states",
    _schema(
        ("event_id", pa.int64()),
        ("ts_order", pa.int64()),
        ("ts_event", pa.int64()),
        ("sequence", pa.int64()),
        *((name, DECIMAL) for name in STATE_LEVEL_COLUMNS),
        ("bid_trusted", pa.int8()),
        ("ask_trusted", pa.int8()),
        ("flags", pa.int32()),
    ),
    STATE_GROUP_ROWS,
    delta_packed=("event_id",),
    statistics=("event_id", "ts_order", "sequence"),
)

KEYFRAMES = Table(
    "keyframes",
    _schema(
        ("event_id", pa.int64()),  # the book after this event; -1 opens the partition
        ("ts_order", pa.int64()),
        ("sequence", pa.int64()),
        ("side", pa.int8()),
        ("price", DECIMAL),  # 0 in the header row that opens each side
        ("size", DECIMAL),
        ("trust", pa.int8()),  # UNTRUSTED, RANGE or EVERYTHING, of the row's side
        ("trusted_to", DECIMAL),  # the range's far end, 0 unless RANGE
        ("stale", pa.int8()),  # 1: beyond it may lie levels from before a loss
        ("listed", pa.int8()),  # what a snapshot lists that the next depth message overlaps
        ("listed_to", DECIMAL),  # the far end of that, 0 unless RANGE
        ("awaits", pa.int8()),  # 1: that message may undo the snapshot
    ),
    EVENT_GROUP_ROWS,
    dictionary=("price", "size", "trusted_to", "listed_to"),
    statistics=("event_id", "ts_order"),
)

QUALITY = Table(
    "quality",
    _schema(
        ("first_event_id", pa.int64()),
        ("last_event_id", pa.int64()),
        ("first_ts", pa.int64()),
        ("last_ts", pa.int64()),
        ("code", pa.int8()),
        ("severity", pa.int8()),
        ("count", pa.int64()),
        ("detail", pa.string()),
    ),
    EVENT_GROUP_ROWS,
    statistics=("first_event_id", "last_event_id", "first_ts"),
)

MINUTES = Table(
    "minutes",
    _schema(
        *_counted(MINUTE_COUNTS),
        ("spread_ticks_mean", pa.float64()),  # over trusted states; NaN with none
        ("spread_ticks_max", pa.int64()),
        ("trusted_levels_min", pa.int64()),
        ("bid_trusted_ticks", pa.float64()),  # how far the trusted range reaches from the touch
        ("ask_trusted_ticks", pa.float64()),  # at the minute's end; NaN: not at all, inf: whole
        *_counted(DRIFT_COUNTS),
        ("price_rmse_ticks", pa.float64()),  # NaN where no snapshot was compared
        ("size_rmse_rel", pa.float64()),
    ),
    EVENT_GROUP_ROWS,
    statistics=("minute",),
)

DAYS = Table(
    "days",
    _schema(
        ("venue_symbol", pa.string()),
        ("provenance", pa.string()),  # real, unknown, derived, synthetic
        ("certified", pa.bool_()),
        ("strategy", pa.string()),
        ("lobproof_version", pa.string()),
        ("format_version", pa.int32()),
        ("price_exponent", pa.int32()),
        ("size_exponent", pa.int32()),
        ("instrument", pa.string()),  # JSON
        ("first_ts", pa.int64()),
        ("last_ts", pa.int64()),
        ("events", pa.int64()),
        ("states", pa.int64()),
        ("trades", pa.int64()),
        ("book_messages", pa.int64()),
        ("gaps", pa.int64()),
        ("doubtful_ns", pa.int64()),  # time during which the touch was not trusted
        ("warm_up_ns", pa.int64()),  # of it: before the first anchor, for no other reason
        ("coverage", pa.string()),  # JSON: when each stream was heard
        ("events_hash", pa.string()),
        ("states_hash", pa.string()),
        ("keyframes_hash", pa.string()),
        ("quality_hash", pa.string()),
        ("minutes_hash", pa.string()),
        ("content_hash", pa.string()),  # over the five above
        ("files", pa.string()),  # JSON: table -> [[path, rows, bytes, hash]]
        ("inputs", pa.string()),  # JSON: name, bytes, sha256 of each input
        ("config", pa.string()),  # JSON: what shapes the content
        (
            "carried_from",
            pa.string(),
        ),  # keyframes hash of the day before, where it goes on
        ("task_id", pa.string()),  # hash of inputs, configuration and format version
        ("task_part", pa.int32()),  # 0, 1, … in the order of the days of one task
        ("task_last", pa.bool_()),
        ("verdicts", pa.string()),  # JSON
        ("sealed_at", pa.int64()),  # wall clock, ns; not part of any hash
    ),
    EVENT_GROUP_ROWS,
)

CONTENT_TABLES = (EVENTS, STATES, KEYFRAMES, QUALITY, MINUTES)
TABLES = (*CONTENT_TABLES, DAYS)
