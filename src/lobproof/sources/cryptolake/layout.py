"""Crypto Lake's names: tables, columns in either naming set, and the keys of objects."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Self

import pyarrow as pa

from lobproof.documents import QUOTED
from lobproof.errors import InputError, shown
from lobproof.instruments import is_name
from lobproof.schema import LEVELS

TABLES = ("trades", "book", "book_delta_v2")
"""What lobproof acquires; the vendor has more."""

NEVER_REAL = ("synthetic", "derived")
"""Provenances that a file tells of itself, and that no bucket can take back."""

PLAIN_PARTS = "exchange=*/symbol=*/dt=*"
"""Folders of a table in the vendor's layout."""
LEVEL_COLUMNS = tuple(
    f"{side}_{level}_{field}"
    for side in ("bid", "ask")
    for level in range(LEVELS)
    for field in ("price", "size")
)
"""``bid_0_price``, ``bid_0_size`` … ``ask_19_size``, as ``book`` has them."""

_TIMES = {"timestamp": "origin_time", "receipt_timestamp": "received_time"}
ALIASES: Mapping[str, Mapping[str, str]] = {
    "trades": {**_TIMES, "amount": "quantity", "id": "trade_id"},
    "book": _TIMES,
    "book_delta_v2": _TIMES,
}
"""Raw column name → the name that the vendor's ``lakeapi`` gives it, where they differ."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "trades": ("side", "amount", "price", "id", "timestamp", "receipt_timestamp"),
    "book": ("timestamp", "receipt_timestamp", "sequence_number", *LEVEL_COLUMNS),
    "book_delta_v2": (
        "timestamp",
        "receipt_timestamp",
        "sequence_number",
        "side_is_bid",
        "price",
        "size",
    ),
}
"""Raw column names of each table, in the files' order."""

_TIME_TYPES = "int64 or timestamp[ns]"
_EXPECTED = {
    "timestamp": _TIME_TYPES,
    "receipt_timestamp": _TIME_TYPES,
    "sequence_number": "an integer",
    "id": "an integer or text",
    "side": "text",
    "side_is_bid": "bool",
}

_KEY = re.compile(
    r"(?P<table>[A-Za-z0-9_]+)/exchange=(?P<exchange>[A-Za-z0-9_.-]+)/symbol=(?P<symbol>[^/=]+)"
    r"/dt=(?P<dt>[0-9]{4}-[0-9]{2}-[0-9]{2})/(?P<name>[^/]+\.parquet)"
)


def natural_order(name: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts names by the numbers in them: 2.parquet before 10.parquet."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), "") if k % 2 else (0, part) for k, part in enumerate(parts))


def is_date(text: str) -> bool:
    """Whether ``text`` is a date as keys have it, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, order=True)
class LakeKey:
    """One object: its table, exchange, symbol, day and file name."""

    table: str
    exchange: str
    symbol: str
    dt: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The key that ``text`` (below the bucket's prefix) is; None if it is none."""
        match = _KEY.fullmatch(text)
        if match is None or match["name"].startswith(".") or not match["name"].isprintable():
            return None
        if not (is_name(match["exchange"]) and is_name(match["symbol"])):
            return None
        if not is_date(match["dt"]):
            return None
        # a listing has the same few names again and again: each is kept once
        return cls(*map(sys.intern, match.groups()))

    @property
    def path(self) -> str:
        """As in the bucket below its prefix, and in every zone: ``trades/exchange=…/…``."""
        return (
            f"{self.table}/exchange={self.exchange}/symbol={self.symbol}/dt={self.dt}/{self.name}"
        )

    @property
    def day(self) -> tuple[str, str, str]:
        """Exchange, symbol and date."""
        return self.exchange, self.symbol, self.dt

    def __str__(self) -> str:
        return self.path


def actual_names(table: str, names: Iterable[str]) -> dict[str, str]:
    """Raw column name → the name in a file whose columns are ``names``.

    Either naming set will do, column by column; further columns are ignored.

    Raises
    ------
    InputError
        When a column is there under neither name, or under both, or any name stands twice.
    """
    there = Counter(names)
    twice = next((name for name, count in there.items() if count > 1), None)
    if twice is not None:
        raise InputError(
            f"{table} has two columns with the name '{shown(twice, QUOTED)}'",
            hint="which of them is meant is unknown: download the file again",
        )
    found: dict[str, str] = {}
    for raw in COLUMNS[table]:
        alias = ALIASES[table].get(raw, raw)
        known = [name for name in dict.fromkeys((raw, alias)) if name in there]
        if len(known) != 1:
            either = raw if alias == raw else f"{raw} (or {alias})"
            raise InputError(
                f"{table} has {'no column' if not known else 'more than one column'} {either}",
                hint=f"download the file again; this one has {', '.join(sorted(there)) or 'none'}",
            )
        found[raw] = known[0]
    return found


def type_problem(raw: str, kind: pa.DataType) -> str:
    """What is wrong with a column's type; empty where nothing is."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(value) or pa.types.is_large_string(value)
    if raw in _TIMES:
        good = pa.types.is_int64(kind) or (pa.types.is_timestamp(kind) and kind.unit == "ns")
    elif raw == "sequence_number":
        good = pa.types.is_integer(kind)
    elif raw == "id":
        good = pa.types.is_integer(kind) or text
    elif raw == "side":
        good = text
    elif raw == "side_is_bid":
        good = pa.types.is_boolean(kind)
    else:
        good = pa.types.is_float64(kind)
    return "" if good else f"{raw} is {shown(str(kind))}, and not {_EXPECTED.get(raw, 'float64')}"
