"""The row of ``days`` that seals a symbol-day: how it is made, read back and held against files."""

from __future__ import annotations

import hashlib
import json
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import polars as pl
import pyarrow as pa

from lobproof import __version__, documents
from lobproof.documents import Count, Int64
from lobproof.errors import InputError, LobproofError, StoreError
from lobproof.files import below
from lobproof.instruments import Instrument
from lobproof.parquet import read_footer
from lobproof.schema import Order
from lobproof.schema.declared import Declared
from lobproof.schema.provenance import PROVENANCE
from lobproof.schema.tables import CONTENT_TABLES, DAYS, FORMAT_VERSION, PARTITION_COLUMNS
from lobproof.store.delta import listed_files, open_delta
from lobproof.store.hashing import file_hash, table_hash
from lobproof.store.layout import ALL, MARKER, Scope, check_marker, check_version
from lobproof.store.mirror import mirror_of
from lobproof.store.parts import DayContent, stored_document

UNHASHED = "sealed_at"
"""The one column of a seal that differs between two runs of the same task."""

_JSON = ("instrument", "files", "inputs", "config", "verdicts", "coverage")
_COUNTS = ("events", "states", "trades", "book_messages", "gaps", "doubtful_ns", "warm_up_ns")
_LATEST = 2**62
"""In ns: the year 2116."""

_FILE = "file of the seal"
_UNSEAL = "Delete that file, which unseals its day, and reconstruct the day again."

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

    ``states`` is the spacing of the rows of `states`, ``from_ns`` where a partial day begins.
    """

    order: Order = Order()
    declared: Declared = Declared()
    chained: bool = True
    states: str = "all"
    ordered_by: Literal["event", "receive"] = "event"
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


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file as a seal lists it; ``path`` is relative to the table's folder."""

    path: str
    rows: int
    size: int  # bytes
    hash: str  # of its content
    bytes_hash: str

    def by_its_place(self, folder: Path) -> str:
        """Why no plain file is there to be read; empty if one is."""
        try:
            mode = below(folder, self.path).stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return "does not exist"
        except OSError as error:
            return f"cannot be read: {error}"
        return "" if stat.S_ISREG(mode) else "is no plain file"

    def by_its_size(self, folder: Path) -> str:
        """What is wrong with the file, by its place and its size alone; empty if nothing is."""
        why = self.by_its_place(folder)
        if why:
            return why
        size = below(folder, self.path).stat().st_size
        return "" if size == self.size else wrong_size(size, self.size)

    def at_a_glance(self, folder: Path, head: bytes) -> str:
        """What is wrong with the file, by its size and its footer alone; empty if nothing is.

        The footer holds the leaves of the content's hash: another file under this name shows,
        bytes that were changed behind it do not. ``head`` is what the table's hash starts with.
        """
        why = self.by_its_size(folder)
        if why:
            return why
        try:
            footer = read_footer(below(folder, self.path))
            leaves = stored_document(footer)[1]
        except (OSError, ValueError, pa.ArrowException, InputError) as error:
            return f"cannot be read: {error}"
        if footer.num_rows != self.rows:
            return f"has {footer.num_rows:,} rows, where {self.rows:,} were sealed"
        if table_hash(head, [(self.rows, leaves)]) != self.hash:
            return "is another file than the one that was sealed"
        return ""

    def by_its_bytes(self, folder: Path) -> str:
        """What is wrong with the file's bytes; empty if nothing is."""
        try:
            same = file_hash(below(folder, self.path)) == self.bytes_hash
        except OSError as error:
            return f"cannot be read: {error}"
        return "" if same else "holds other bytes than were sealed"


def wrong_size(found: int | None, sealed: int) -> str:
    """What to say of a file that is gone (None), or has another size than was sealed."""
    if found is None:
        return "does not exist"
    return f"has {found:,} bytes, where {sealed:,} were sealed"


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


def sealed(root: Path, scope: Scope = ALL) -> pl.DataFrame:
    """The seals of a store, or of some of its days, by exchange, symbol and day.

    A folder that does not exist or is empty has none; one that is no store is a `StoreError`, and
    so is a seal that cannot be read, or is not the one that was written.
    """
    listed: dict[str, int] = {}
    if (root / MARKER).exists() or (root.exists() and any(root.iterdir())):
        check_marker(root)
        listed = listed_files(open_delta(root, DAYS))
    return seals_among(root, listed, scope)


def seals_among(root: Path, listed: Mapping[str, int], scope: Scope = ALL) -> pl.DataFrame:
    """As `sealed`, of the files that the table of days lists: path → bytes."""
    mirror = mirror_of(root)
    if mirror is not None:
        mirror.seals(listed, scope)
    places: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for path, size in listed.items():
        folder = path.rpartition("/")[0]
        if not scope.holds(folder):
            continue
        file = below(root, f"{DAYS.name}/{path}")
        if file.is_file():  # whoever deletes a seal unseals the day
            places[str(file)] = [piece.partition("=")[2] for piece in folder.split("/")]
            sizes[str(file)] = size
    rows = _read_seals(sizes)
    for row in rows.iter_rows(named=True):
        check_version(int(row["format_version"] or 0), f"The seal {row[_FILE]}")
        if Path(row[_FILE]).name != seal_name({name: row[name] for name in DAYS.schema.names}):
            raise StoreError(
                f"The seal {row[_FILE]} is not what was written: its hash is not the one in its "
                "name.",
                hint=_UNSEAL,
            )
        try:
            check_seal(row)
        except ValueError as error:
            raise StoreError(f"The seal {row[_FILE]} is damaged: {error}", hint=_UNSEAL) from error
    where = pl.DataFrame(
        [places[path] for path in rows[_FILE]],
        schema=dict.fromkeys(PARTITION_COLUMNS, pl.String),
        orient="row",
    )
    return pl.concat([where, rows.drop(_FILE)], how="horizontal").sort(PARTITION_COLUMNS)


def _read_seals(sizes: Mapping[str, int]) -> pl.DataFrame:
    """The row of each seal's file, with the file; ``sizes``: file → its bytes as listed."""
    files = list(sizes)
    if not files:
        empty = pl.from_arrow(DAYS.schema.empty_table())
        assert isinstance(empty, pl.DataFrame)
        return empty.with_columns(pl.lit("").alias(_FILE))
    for path, listed in sizes.items():
        try:
            rows = read_footer(Path(path)).num_rows
            size = Path(path).stat().st_size
        except (OSError, pa.ArrowException, InputError) as error:
            raise StoreError(f"The seal {path} cannot be read: {error}", hint=_UNSEAL) from error
        if rows != 1:
            raise StoreError(f"The seal {path} has {rows:,} rows, and not one.", hint=_UNSEAL)
        if size != listed:
            raise StoreError(
                f"The seal {path} has {size:,} bytes, where the table of days lists {listed:,}.",
                hint=_UNSEAL,
            )
    try:
        return pl.scan_parquet(
            files, glob=False, hive_partitioning=False, include_file_paths=_FILE
        ).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        damaged = next((path for path in files if not _readable(path)), files[0])
        raise StoreError(
            f"The seal {damaged} cannot be read: {error}",
            hint=_UNSEAL,
        ) from error


def _readable(path: str) -> bool:
    try:
        return bool(pl.read_parquet_schema(path) == pl.read_parquet(path, glob=False).schema)
    except (OSError, pl.exceptions.PolarsError):
        return False
