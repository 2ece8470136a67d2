"""The row of ``days`` that seals a symbol-day."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Annotated

import msgspec
import pyarrow as pa

from lobproof import __version__, documents
from lobproof.documents import Count, Int64
from lobproof.errors import LobproofError
from lobproof.instruments import Instrument
from lobproof.schema import Order
from lobproof.schema.provenance import PROVENANCE
from lobproof.schema.tables import CONTENT_TABLES, DAYS, FORMAT_VERSION
from lobproof.store.content import DayContent

UNHASHED = "sealed_at"
"""The one column of a seal that differs between two runs of the same task."""

_JSON = ("instrument", "files", "inputs", "config", "verdicts", "coverage")
_COUNTS = ("events", "states", "trades", "book_messages", "gaps", "doubtful_ns", "warm_up_ns")
_LATEST = 2**62
"""In ns: the year 2116."""

FROM = "from_ns"
"""Where ``config`` says that a day is a partial one, and from when on, in ns."""

CALLER_COLUMNS = (
    "provenance",
    "certified",
    "strategy",
    "trades",
    "book_messages",
    "gaps",
    "doubtful_ns",
    "warm_up_ns",
    "coverage",
    "inputs",
    "config",
    "carried_from",
    "task_id",
    "task_part",
    "task_last",
    "verdicts",
)
"""What only the caller knows of a day; the other columns follow from its content."""


class SealConfig(msgspec.Struct):
    """What is read of a seal's ``config``; there is more.

    ``from_ns`` is where a partial day begins.
    """

    order: Order = Order()
    chained: bool = True
    keyframe_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 60
    from_ns: Count | None = None


class _Lag(msgspec.Struct):
    ns: Int64
    trades: Count
    explained: Count
    unshifted: Count

    def __post_init__(self) -> None:
        if max(self.explained, self.unshifted) > self.trades:
            raise ValueError("more trades are explained than there are")


class SealVerdicts(msgspec.Struct):
    """What is read of a seal's ``verdicts``."""

    reasons: list[str] = []
    findings: dict[str, Count] = {}
    counts: dict[str, Count | dict[str, Count]] = {}
    gap_ratio: float | None = None
    lag: _Lag | None = None


class SealInput(msgspec.Struct):
    """A file that a day was made from."""

    name: str
    bytes: Count
    sha256: str


SealedFiles = dict[str, list[tuple[str, Count, Count, str, str]]]
"""Table → its files, each as `SealedFile` has it."""


def config_of(seal: Mapping[str, object]) -> SealConfig:
    """The ``config`` of a seal; ValueError where it is none."""
    return documents.as_shape(documents.value_of(str(seal["config"])), SealConfig)


def verdicts_of(seal: Mapping[str, object]) -> SealVerdicts:
    """The ``verdicts`` of a seal; ValueError where they are none."""
    return documents.as_shape(documents.value_of(str(seal["verdicts"])), SealVerdicts)


def inputs_of(seal: Mapping[str, object]) -> list[SealInput]:
    """The ``inputs`` of a seal; ValueError where they are none."""
    return documents.as_shape(documents.value_of(str(seal["inputs"])), list[SealInput])


def files_of(seal: Mapping[str, object]) -> SealedFiles:
    """The ``files`` of a seal; ValueError where they are none."""
    return documents.as_shape(documents.value_of(str(seal["files"])), SealedFiles)


def instrument_of(seal: Mapping[str, object]) -> Instrument:
    """The ``instrument`` of a seal; ValueError where it is none."""
    try:
        return Instrument.from_dict(documents.parse(str(seal["instrument"])))
    except LobproofError as error:
        raise ValueError(error.message) from error


def partial_from(seal: Mapping[str, object]) -> int | None:
    """Where a partial day begins, in ns; None of a whole one."""
    return config_of(seal).from_ns


def check_seal(seal: Mapping[str, object]) -> None:
    """ValueError where a seal, its documents but ``coverage``, is not what we write.

    Its hash says only that it was not changed since: whoever makes one may write what they like.
    """
    empty = [name for name, value in seal.items() if value is None]
    if empty:
        raise ValueError(f"{empty[0]} is null")
    if seal["provenance"] not in PROVENANCE:
        raise ValueError(f"provenance is one of {list(PROVENANCE)}")
    first, last = int(str(seal["first_ts"])), int(str(seal["last_ts"]))
    if not 0 <= first <= last <= _LATEST:
        raise ValueError("its events are of no time that can be")
    for name in _COUNTS:
        if int(str(seal[name])) < 0:
            raise ValueError(f"{name} is negative")
    instrument, files = instrument_of(seal), files_of(seal)
    for name in ("venue_symbol", "price_exponent", "size_exponent"):
        if seal[name] != getattr(instrument, name):
            raise ValueError(f"{name} is not that of its instrument")
    for name in ("events", "states"):
        rows = sum(file[1] for file in files.get(name, ()))
        if seal[name] != rows:
            raise ValueError(f"{name} is {seal[name]}, and its files have {rows:,}")
    config_of(seal), verdicts_of(seal), inputs_of(seal)


def seal_row(content: DayContent, seal: Mapping[str, object]) -> dict[str, object]:
    """The seal of a day, without ``sealed_at``.

    Parameters
    ----------
    content
        From `DayWriter.close`.
    seal
        The columns of `CALLER_COLUMNS`; ``coverage``, ``inputs``, ``config`` and ``verdicts``
        may be given as objects and are then stored as JSON.

    Raises
    ------
    ValueError
        If a column is missing, unknown, or has an impossible value.
    """
    if set(seal) != set(CALLER_COLUMNS):
        odd = sorted(set(seal) ^ set(CALLER_COLUMNS))
        raise ValueError(f"a seal has the columns {CALLER_COLUMNS}; missing or unknown: {odd}")
    if seal["provenance"] not in PROVENANCE:
        raise ValueError(f"provenance is one of {list(PROVENANCE)}, not {seal['provenance']!r}")
    if seal["certified"] and seal["provenance"] != "real":
        raise ValueError("only real data is certified")
    instrument = content.instrument
    row: dict[str, object] = {
        **seal,
        "venue_symbol": instrument.venue_symbol,
        "lobproof_version": __version__,
        "format_version": FORMAT_VERSION,
        "price_exponent": instrument.price_exponent,
        "size_exponent": instrument.size_exponent,
        "instrument": instrument.to_dict(),
        "first_ts": content.first_ts,
        "last_ts": content.last_ts,
        "events": content.rows("events"),
        "states": content.rows("states"),
        **{f"{name}_hash": digest for name, digest in content.hashes.items()},
        "content_hash": content.content_hash,
        "files": {
            table.name: [part.entry() for part in content.tables[table.name].parts]
            for table in CONTENT_TABLES
        },
    }
    for name in _JSON:
        if not isinstance(row[name], str):
            row[name] = json.dumps(row[name], sort_keys=True, ensure_ascii=False)
    return {name: row[name] for name in DAYS.schema.names if name != UNHASHED}


def seal_hash(row: Mapping[str, object]) -> str:
    """SHA-256 of a seal apart from when it was made, hexadecimal: it names the seal's file."""
    plain = {name: value for name, value in row.items() if name != UNHASHED}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def seal_name(row: Mapping[str, object]) -> str:
    """Name of a seal's file: it shows what was changed since."""
    return f"part-00000-{seal_hash(row)[:16]}.parquet"


def seal_table(row: Mapping[str, object]) -> pa.Table:
    """The seal as a table of one row, stamped with the clock."""
    return pa.Table.from_pylist([{**row, UNHASHED: time.time_ns()}], schema=DAYS.schema)
