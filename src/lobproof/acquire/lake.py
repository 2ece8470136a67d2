"""``lake``: days of Crypto Lake files as Polars lazy frames, under either naming set."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa

from lobproof.acquire.rows import Shape, read_shape
from lobproof.acquire.zones import MARK, LakeFolder, Zone
from lobproof.errors import InputError, UsageError, shown
from lobproof.files import walk
from lobproof.instruments import NAME_HINT
from lobproof.paths import AnyPath, as_path
from lobproof.sources.cryptolake.layout import (
    ALIASES,
    PLAIN_PARTS,
    TABLES,
    LakeKey,
)
from lobproof.sources.cryptolake.request import Day, day_text

Names = Literal["raw", "lakeapi"]
"""Which column names a frame has: the files' own, or those of the vendor's ``lakeapi``."""
Times = Literal["datetime", "int"]
"""Whether times are ``Datetime("ns", "UTC")``, or int64 nanoseconds since 1970."""

_LISTED = 20
"""Of the symbols so many are listed where a folder is shown."""
_TIMES = ("timestamp", "receipt_timestamp")


@dataclass(frozen=True, slots=True, order=True)
class LakeFile:
    """A file of a folder: its key, where it lies, and its zone (None in a plain folder)."""

    key: LakeKey
    path: Path
    zone: Zone | None = None


def lake(folder: AnyPath) -> Lake:
    """Open a folder of Crypto Lake files.

    Parameters
    ----------
    folder
        Either what ``lobproof acquire download`` made, with its zones, or a plain folder in the
        vendor's layout (``trades/exchange=…/symbol=…/dt=…/1.snappy.parquet``).

    Raises
    ------
    UsageError
        When there is no such folder, or it is neither.
    """
    return Lake(folder)


def _many(days: Collection[str]) -> str:
    """Days in short."""
    if len(days) == 1:
        return next(iter(days))
    return f"{len(days):,} days from {min(days)} to {max(days)}"


def is_lake(folder: Path) -> bool:
    """Whether a folder has zones, or a table's days in the vendor's layout."""
    days = (day for table in TABLES for day in (folder / table).glob(PLAIN_PARTS))
    return (folder / MARK).is_file() or any(day.is_dir() for day in days)


class Lake:
    """A folder of Crypto Lake files; :func:`lake` opens one. Files are looked up at each call."""

    def __init__(self, folder: AnyPath) -> None:
        folder = as_path(folder).absolute()  # the working folder may change
        if not is_lake(folder):
            what = "holds no Crypto Lake files" if folder.is_dir() else "is no folder"
            raise UsageError(
                f"{folder} {what}",
                hint="name a folder that `lobproof acquire download` made, or one that holds "
                "trades/exchange=…/symbol=…/dt=…/1.snappy.parquet",
            )
        self.folder = folder
        self._zones = LakeFolder(folder) if (folder / MARK).is_file() else None

    def __repr__(self) -> str:
        """What it holds: a line an exchange and symbol, with the days of each table."""
        return "\n".join([f"Lake {self.folder}", *self._lines()])

    def _repr_html_(self) -> str:
        """What ``repr`` says, as a list."""
        rows = "".join(f"<li>{escape(line)}</li>" for line in self._lines())
        return f"<p>Lake <code>{escape(str(self.folder))}</code></p><ul>{rows}</ul>"

    def _lines(self) -> list[str]:
        held: dict[str, dict[str, set[str]]] = {}
        for file in self.files():
            tables = held.setdefault(f"{file.key.exchange} {file.key.symbol}", {})
            where = "" if file.zone is None else f" ({file.zone})"
            tables.setdefault(f"{file.key.table}{where}", set()).add(file.key.dt)
        lines = [
            f"{name}: " + "; ".join(f"{table} {_many(days)}" for table, days in tables.items())
            for name, tables in list(held.items())[:_LISTED]
        ]
        if len(held) > _LISTED:
            lines.append(f"and {len(held) - _LISTED:,} more symbols")
        return lines or ["no file"]

    def files(
        self,
        *,
        table: str | None = None,
        exchange: str | None = None,
        symbol: str | None = None,
        start: Day | None = None,
        end: Day | None = None,
        zone: Zone | str | None = None,
    ) -> list[LakeFile]:
        """Files by table, exchange, symbol, day and name; those of a zone only where one is given.

        ``start`` is the first day, ``end`` the first one no more; None: no limit. A plain folder
        has no zones: ``zone`` is ignored there.

        Raises
        ------
        UsageError
            For a table or zone that does not exist, a day that is none, and a span without a day.
        """
        first, stop = _day(start), _day(end)
        if table is not None:
            _one_of("table", table, TABLES)
        if first is not None and stop is not None and first >= stop:
            raise UsageError(
                f"no day lies from {first} to before {stop}",
                hint="the end is the first day that is not wanted any more",
            )
        return [
            file
            for file in self._all(None if zone is None else _zone(zone))
            if table in (None, file.key.table)
            and exchange in (None, file.key.exchange)
            and symbol in (None, file.key.symbol)
            and (first is None or first <= file.key.dt)
            and (stop is None or file.key.dt < stop)
        ]

    def days(self) -> pl.DataFrame:
        """One row a file: where it belongs, where it lies, how large it is.

        ``table``, ``exchange``, ``symbol``, ``dt`` (a date), ``zone`` (null in a plain folder),
        ``name`` and ``bytes``.
        """
        schema = {
            "table": pl.String,
            "exchange": pl.String,
            "symbol": pl.String,
            "dt": pl.Date,
            "zone": pl.String,
            "name": pl.String,
            "bytes": pl.Int64,
        }
        rows = [
            (
                file.key.table,
                file.key.exchange,
                file.key.symbol,
                date.fromisoformat(file.key.dt),
                None if file.zone is None else str(file.zone),
                file.key.name,
                file.path.stat().st_size,
            )
            for file in self.files()
        ]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def table(
        self,
        name: str,
        *,
        exchange: str | None = None,
        symbol: str | None = None,
        start: Day | None = None,
        end: Day | None = None,
        names: Names = "raw",
        times: Times = "datetime",
        zone: Zone | str = Zone.READY,
    ) -> pl.LazyFrame:
        """A table's rows as a lazy frame: as the files have them, by exchange, symbol and day.

        Values are those of the files: a missing time (0 or -1) is 1970, or the instant before;
        prices and sizes are the vendor's floats. Files of either naming set can be mixed.

        Parameters
        ----------
        name
            ``trades``, ``book`` or ``book_delta_v2``.
        exchange, symbol
            As in the vendor's paths (``BINANCE``, ``BTC-USDT``); None: all.
        start, end
            First day, and the first one no more (dates, or ``YYYY-MM-DD``); None: no limit.
        names
            ``raw`` as in the vendor's files (``timestamp``, ``amount`` …), or ``lakeapi`` as that
            package names them (``origin_time``, ``quantity`` …).
        times
            ``datetime`` for ``Datetime("ns", "UTC")``, ``int`` for int64 nanoseconds.
        zone
            ``ready`` by default: what a certificate covers. Ignored in a plain folder.

        Returns
        -------
        polars.LazyFrame
            The table's columns in the vendor's order, then ``exchange``, ``symbol`` and ``dt``
            (a date), which exist in the paths only.

        Raises
        ------
        UsageError
            For an unknown table, naming set or zone, and where nothing matches.
        InputError
            Naming the file that is no Parquet, lacks a column or has one of another type.
        """
        _one_of("table", name, TABLES)
        _one_of("naming set", names, ("raw", "lakeapi"))
        _one_of("type of times", times, ("datetime", "int"))
        files = self.files(
            table=name, exchange=exchange, symbol=symbol, start=start, end=end, zone=zone
        )
        if not files:
            raise self._nothing(name, exchange, symbol, start, end, zone)
        shapes = [read_shape(file.path, name) for file in files]
        # text in one file makes it text in all: frames have one type a column
        ids = [shape.types["id"] for shape in shapes if "id" in shape.types]
        ids_as_text = not all(map(pa.types.is_integer, ids))
        return pl.concat(
            _frame(file, shape, names, times, ids_as_text)
            for file, shape in zip(files, shapes, strict=True)
        )

    def _all(self, zone: Zone | None) -> Iterable[LakeFile]:
        if not self.folder.is_dir():
            raise UsageError(
                f"{self.folder} is gone", hint="it was moved or deleted: open it where it is now"
            )
        if self._zones is None:
            # a half file of ours or of another tool begins with a point
            found = (path for table in TABLES for path in walk(self.folder, table))
            paths = sorted(path for path in found if path.suffix == ".parquet")
            keys = [(LakeKey.parse(p.relative_to(self.folder).as_posix()), p) for p in paths]
            for key, path in keys:
                if key is None and path.relative_to(self.folder).match("*/exchange=*/symbol=*/*/*"):
                    raise InputError(
                        f"{shown(str(path), 300)} is no day of a symbol",
                        hint=f"its folders name exchange, symbol and day; {NAME_HINT}",
                    )
            return [LakeFile(key, path) for key, path in keys if key is not None]
        zones = Zone if zone is None else (zone,)
        return sorted(
            LakeFile(key, self._zones.path(z, key), z) for z in zones for key in self._zones.keys(z)
        )

    def _nothing(
        self,
        name: str,
        exchange: str | None,
        symbol: str | None,
        start: Day | None,
        end: Day | None,
        zone: Zone | str,
    ) -> UsageError:
        asked = " ".join(str(part) for part in (exchange, symbol) if part is not None)
        since = "" if start is None else f" from {start}"
        until = "" if end is None else f" to before {end}"
        where = "" if self._zones is None else f" in zone {_zone(zone)}"
        elsewhere = self.files(table=name, exchange=exchange, symbol=symbol, start=start, end=end)
        zones = sorted({str(file.zone) for file in elsewhere if file.zone is not None})
        if zones:
            hint = f"such files are in zone {', '.join(zones)}: pass zone={zones[0]!r}, or certify"
        else:
            symbols = sorted({f"{f.key.exchange} {f.key.symbol}" for f in self.files(table=name)})
            hint = (
                f"{name} is there for {', '.join(symbols[:8])}{' …' if len(symbols) > 8 else ''}; "
                "days() lists everything"
                if symbols
                else "days() lists what is there"
            )
        return UsageError(
            f"{self.folder} has no {name}{asked and f' of {asked}'}{since}{until}{where}",
            hint=hint,
        )


def _frame(
    file: LakeFile, shape: Shape, names: Names, times: Times, ids_as_text: bool
) -> pl.LazyFrame:
    table = file.key.table
    renamed: Mapping[str, str] = ALIASES[table] if names == "lakeapi" else {}
    columns = []
    for raw, name in shape.names.items():
        column, kind = pl.col(name), shape.types[raw]
        if raw in _TIMES:
            column = _time(column, kind, times)
        elif raw == "sequence_number" or (raw == "id" and not ids_as_text):
            column = column.cast(pl.Int64)
        elif raw in ("id", "side"):
            column = column.cast(pl.String)
        columns.append(column.alias(renamed.get(raw, raw)))
    return pl.scan_parquet(file.path, hive_partitioning=False).select(
        *columns,
        pl.lit(file.key.exchange).alias("exchange"),
        pl.lit(file.key.symbol).alias("symbol"),
        pl.lit(date.fromisoformat(file.key.dt)).alias("dt"),
    )


def _time(column: pl.Expr, kind: pa.DataType, times: Times) -> pl.Expr:
    if times == "int":
        return column.cast(pl.Int64)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return column.dt.convert_time_zone("UTC")
    return column.cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")


def _day(value: Day | None) -> str | None:
    named = day_text(value)
    if named is None:
        return None
    try:
        return date.fromisoformat(named).isoformat()
    except (TypeError, ValueError) as error:
        raise UsageError(f"{value!r} is no day", hint="write it like 2022-10-01") from error


def _zone(value: Zone | str) -> Zone:
    _one_of("zone", value, tuple(Zone))
    return Zone(value)


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(
            f"there is no {what} {str(value)!r}", hint=f"choose one of {', '.join(known)}"
        )
