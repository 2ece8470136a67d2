"""A table's Delta log: looked at before Delta reads it, read, and committed to.

Delta makes up to twenty bytes of one of a commit, and of each file that is listed two thousand. It
opens whatever has a name of its own, a pipe too.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, Self, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from lobproof.documents import QUOTED
from lobproof.errors import InputError, StoreError, panicked, shown
from lobproof.files import below, make_folder, sync_file, sync_folder
from lobproof.parquet import read_footer
from lobproof.parquet_kernels import DICTIONARY
from lobproof.parquet_pages import pages
from lobproof.schema.tables import PARTITION_COLUMNS, TABLES, Table
from lobproof.store.layout import Partition
from lobproof.store.parts import Part

_LISTED = re.compile(
    r"exchange=[^/]+/symbol=[^/]+/dt=[0-9-]{10}/part-[0-9]{5,}-[0-9a-f]{16}\.parquet"
)
Result = TypeVar("Result")

ATTEMPTS = 30
"""Tries of one commit: writers of other symbol-days commit to the same table."""
_ATTEMPTS_AT_ERRORS = 5
"""Of which so many may end in another error than that somebody else was faster."""

MAX_COMMITS = 16 << 20
"""Bytes of the commits since the last checkpoint: Delta makes one after each hundred, and a commit
has about two thousand, 650 of each file that it lists."""
MAX_LISTED = 150_000
"""Rows of a checkpoint: each file that a table lists, and each that was removed this week. That is
a file a day of 60 symbols over almost seven years. At the limit a command takes 0.8 GB; what Delta
makes of more is beyond 1 GiB."""
MAX_SAVED = 192 << 20
"""Bytes of a checkpoint's values in memory; of a file that is listed there are about 1,300."""
MAX_ROW = 8 << 10
"""Bytes of a row of it, on average over a few: the longest is the one with the table's schema."""
_NUMBER = 8
"""Bytes that a value is counted as, beside its text."""
_ROWS = 64
_DICTIONARY = 4 << 20
"""Bytes of a dictionary; whoever writes Parquet ends one at 1 MiB."""
_FEW = 1 << 20
_DIGITS = 20
_COMMIT = re.compile(rf"[0-9]{{{_DIGITS}}}\.json")
_SAVED = re.compile(rf"[0-9]{{{_DIGITS}}}\.checkpoint\.parquet")
_READ = re.compile(rf"[0-9]{{{_DIGITS}}}\..*(json|parquet)", re.DOTALL)
"""What Delta may read beside: checkpoints in parts or of its second version, merged commits."""
_TAKE = "It is not what lobproof writes: take the store from where it came from again."
_SMALLER = (
    "If other programs wrote to the store, take it from where it came from again; else keep fewer "
    "symbols and days in one store."
)


def check_log(root: Path, table: Table) -> None:
    """StoreError where a log has what lobproof does not write, or Delta would take too much."""
    sizes = {}
    log = f"{table.name}/_delta_log"
    folder = below(root, log)
    if not folder.is_dir():
        if folder.exists():
            raise StoreError(f"{folder} is no folder, and a Delta log is one.", hint=_TAKE)
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.name.startswith("."):
                continue
            path = below(root, f"{log}/{entry.name}")
            ours = _COMMIT.fullmatch(entry.name) or _SAVED.fullmatch(entry.name)
            if not entry.is_file() or (_READ.fullmatch(entry.name) and not ours):
                what = "none that lobproof writes" if entry.is_file() else "no plain file"
                raise StoreError(
                    f"{path} is {what}, and a Delta log holds no others.",
                    hint="See what it is, and delete it; or take the store from where it came "
                    "from again.",
                )
            try:
                sizes[entry.name] = entry.stat().st_size
            except FileNotFoundError:
                continue  # another process has just given its commit the right name
    saved = max((name for name in sizes if _SAVED.fullmatch(name)), default="")
    size = sum(sizes[name] for name in sizes if name >= saved[:_DIGITS] and name != saved)
    if size > MAX_COMMITS:
        raise StoreError(
            f"The Delta log of {table.name} in {root} has {size:,} bytes since its last "
            f"checkpoint, more than {MAX_COMMITS:,}.",
            hint=_TAKE,
        )
    if saved:
        path = folder / saved
        try:
            problem = _checkpoint_problem(path, sizes[saved], path.stat().st_mtime_ns)
        except InputError as error:
            raise StoreError(f"{path} cannot be read: {error.message}", hint=_TAKE) from error
        except (OSError, ValueError, pa.ArrowException) as error:
            raise StoreError(f"{path} cannot be read: {error}", hint=_TAKE) from error
        if problem:
            raise StoreError(f"{path} {problem}.", hint=_SMALLER)


@lru_cache(maxsize=32)
def _checkpoint_problem(path: Path, size: int, changed: int) -> str:
    """What is wrong with a checkpoint of that size, changed then; empty where nothing is."""
    footer = read_footer(path, text=MAX_ROW)
    if footer.num_rows > MAX_LISTED:
        return f"has {footer.num_rows:,} rows, more than {MAX_LISTED:,}"
    room, repeated = 0, set()
    with path.open("rb") as file:
        for group in range(footer.num_row_groups):
            told = footer.row_group(group)
            for column in map(told.column, range(told.num_columns)):
                found = pages(file, column)
                is_listed = found["encoding"] == DICTIONARY
                listed = int(found["inflated"][is_listed].max(initial=0))
                if listed > _DICTIONARY:
                    return f"has a dictionary of {listed:,} bytes, more than {_DICTIONARY:,}"
                values = int(found["values"].sum())
                room += _NUMBER * values
                # any value may be the longest of the dictionary
                if values * listed > _FEW and column.physical_type == "BYTE_ARRAY":
                    repeated.add(column.path_in_schema)
                else:
                    room += column.total_uncompressed_size + values * listed
    too_much = f"would take more than {MAX_SAVED:,} bytes"
    if room > MAX_SAVED:
        return too_much
    with pq.ParquetFile(path, metadata=footer) as table:
        for batch in table.iter_batches(_ROWS, columns=sorted(repeated)):
            if batch.nbytes > _ROWS * MAX_ROW:
                return f"has rows of more than {MAX_ROW:,} bytes"
            room += batch.nbytes
            if room > MAX_SAVED:
                return too_much
    return ""


def delta_schema(table: Table) -> Schema:
    """The table's Delta schema: the partition columns, then its own."""
    partition = [pa.field(name, pa.string(), nullable=False) for name in PARTITION_COLUMNS]
    return Schema.from_arrow(pa.schema([*partition, *table.schema]))


def open_delta(root: Path, table: Table) -> DeltaTable | None:
    """The Delta table as of now, None if nothing was ever committed to it."""
    try:
        with _readable(root, table):
            return _open(root, table)
    except TableNotFoundError:
        return None


def _open(root: Path, table: Table) -> DeltaTable:
    """The table of a log without links, and within bounds; DeltaError where it cannot be read."""
    check_log(root, table)
    return _told(lambda: DeltaTable(_folder(root, table)))


def _folder(root: Path, table: Table) -> str:
    return str(below(root, table.name))


def _told(work: Callable[[], Result]) -> Result:
    """What Delta gives; whatever it cannot read is a DeltaError, a panic of its own too."""
    try:
        return work()
    except (DeltaError, OSError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not panicked(error):
            raise
        raise DeltaError(f"{type(error).__name__}: {error}") from error


@contextmanager
def _readable(root: Path, table: Table) -> Iterator[None]:
    """Say which log it is that cannot be read."""
    try:
        yield
    except TableNotFoundError:
        raise
    except DeltaError as error:
        raise StoreError(
            f"The Delta log of {table.name} in {root} cannot be read: {shown(str(error))}",
            hint="Take the store from where it came from again, or reconstruct it anew.",
        ) from error


def listed_files(delta: DeltaTable | None, partition: Partition | None = None) -> dict[str, int]:
    """Path (relative to the table's folder) → bytes of the files that the table lists."""
    if delta is None:
        return {}
    actions = _told(lambda: pa.table(delta.get_add_actions(flatten=True)))
    paths = [unquote(path) for path in actions["path"].to_pylist()]  # Delta keeps them as URIs
    for path in paths:
        if not _LISTED.fullmatch(path):
            raise StoreError(
                f"A Delta log of the store lists {shown(path, QUOTED)}: none of its files.",
                hint="Take the store from where it came from again, or reconstruct it anew.",
            )
    sizes = zip(paths, actions["size_bytes"].to_pylist(), strict=True)
    inside = "" if partition is None else f"{partition.folder}/"
    return {path: size for path, size in sizes if path.startswith(inside)}


class FencedError(StoreError):
    """Another process writes this symbol-day since; what this one made does not count any more."""


class Tables(Protocol):
    """Where the tables of a store are written: its folder, or a bucket."""

    @property
    def url(self) -> str:
        """The store, for messages."""

    @property
    def files(self) -> Path:
        """The folder of this machine that holds the files to be listed."""

    def open(self, table: Table) -> DeltaTable | None:
        """A table as of now; None if nothing was ever committed to it."""

    def create(self, table: Table) -> None:
        """Make a table; nothing where another process is faster."""

    def settle(self, table: Table) -> None:
        """Wait until the newest commit cannot be lost any more."""


@dataclass(frozen=True, slots=True)
class LocalTables:
    """Tables in a folder."""

    root: Path

    @property
    def url(self) -> str:
        """The folder."""
        return str(self.root)

    @property
    def files(self) -> Path:
        """The folder."""
        return self.root

    def open(self, table: Table) -> DeltaTable | None:
        """See `Tables`."""
        try:
            return _open(self.root, table)
        except TableNotFoundError:
            return None

    def create(self, table: Table) -> None:
        """See `Tables`."""
        make_folder(self.root, table.name)
        make_table(_folder(self.root, table), table)
        sync_log(self.root, table)

    def settle(self, table: Table) -> None:
        """See `Tables`."""
        sync_log(self.root, table)


@dataclass(frozen=True, slots=True)
class Fence:
    """A number that all commits of one writer of a symbol-day carry: its epoch.

    A table takes no commit of an epoch below the highest that it has seen of the day. So a writer
    that slept while another one took over cannot commit any more. The number is the version of a
    Delta transaction, whose application is the symbol-day.
    """

    partition: Partition
    epoch: int

    @classmethod
    def behind(cls, tables: Tables, partition: Partition) -> Self:
        """That of a writer who comes after all others."""
        return cls(partition, epoch_of(tables, partition) + 1)

    @property
    def application(self) -> str:
        """The name of the day's transactions."""
        of = self.partition
        return f"lobproof/{of.exchange}/{of.symbol}/{of.dt}"

    def seen(self, delta: DeltaTable) -> int:
        """The highest epoch that a table has seen; 0 without any.

        Raises
        ------
        FencedError
            If it is above this one.
        """
        found = delta.transaction_version(self.application) or 0
        if found > self.epoch:
            raise FencedError(
                f"{self.partition} is written by another process since (epoch {found} in place of "
                f"{self.epoch}).",
                hint="Its result counts; run the command again to see what is there.",
            )
        return found

    @property
    def properties(self) -> CommitProperties:
        """What a commit carries. It succeeds right behind what was looked at, or not at all."""
        transaction = Transaction(self.application, self.epoch)
        return CommitProperties(max_commit_retries=0, app_transactions=[transaction])


def epoch_of(tables: Tables, partition: Partition) -> int:
    """The highest epoch that any table of a store has seen of a symbol-day; 0 without any."""
    application = Fence(partition, 0).application
    opened = (tables.open(table) for table in TABLES)
    return max((one.transaction_version(application) or 0 for one in opened if one), default=0)


def list_exactly(
    root: Path,
    table: Table,
    partition: Partition,
    parts: Iterable[Part],
    fence: Fence | None = None,
) -> bool:
    """As `commit_exactly`, into the tables of a folder; by default behind all other writers."""
    tables = LocalTables(root)
    return commit_exactly(tables, table, parts, fence or Fence.behind(tables, partition))


def commit_exactly(
    tables: Tables, table: Table, parts: Iterable[Part], fence: Fence, *, claim: bool = False
) -> bool:
    """Commit whatever makes the fence's partition list exactly ``parts``.

    Other writers may commit other partitions meanwhile. A path that stays under another size is
    removed in a commit of its own first, for one commit must not add and remove the same path.

    Parameters
    ----------
    claim
        Commit the fence too where the partition lists what it should already: a writer that was
        overtaken may be about to commit otherwise.

    Returns
    -------
    bool
        Whether anything was committed.

    Raises
    ------
    FencedError
        If another process has overtaken this one.
    StoreError
        If the commit keeps failing.
    """
    partition = fence.partition
    wanted = {part.path: part for part in parts}
    changed, errors = False, 0
    for attempt in range(ATTEMPTS):
        try:
            delta = tables.open(table)
            if delta is None:
                tables.create(table)
                delta = tables.open(table)
                if delta is None:
                    raise DeltaError(f"{table.name} was made, and is not there")
            claimed = fence.seen(delta) == fence.epoch or not claim
            present = listed_files(delta, partition)
            removed = {p: n for p, n in present.items() if p not in wanted or wanted[p].size != n}
            added = [part for path, part in wanted.items() if present.get(path) != part.size]
            if not removed and not added and claimed:
                return changed
            if any(part.path in removed for part in added):
                added = []
            delta.create_write_transaction(
                [
                    *(_add(tables.files, table, partition, part) for part in added),
                    *(_remove(partition, path, size) for path, size in removed.items()),
                ],
                "append",
                delta_schema(table),
                list(PARTITION_COLUMNS),
                commit_properties=fence.properties,
            )
            changed = True
            tables.settle(table)
        except DeltaError as error:
            errors += not isinstance(error, CommitFailedError)
            if attempt == ATTEMPTS - 1 or errors == _ATTEMPTS_AT_ERRORS:
                raise StoreError(
                    f"Committing {partition} to {table.name} in {tables.url} failed "
                    f"{attempt + 1} times: {error}",
                    hint="Run the command again; if other programs write to the store, stop them.",
                ) from error
            time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))
    raise StoreError(
        f"{table.name} of {partition} changed with every attempt to commit it.",
        hint="Another program commits to the same partition: stop it and run again.",
    )


def sync_log(root: Path, table: Table) -> None:
    """Wait until the newest commit is on the disk."""
    log = below(root, f"{table.name}/_delta_log")
    newest = max((path for path in log.glob("*.json")), default=None)
    if newest is not None:
        sync_file(newest)
    sync_folder(log)


def make_table(url: str, table: Table, options: Mapping[str, str] | None = None) -> None:
    """Make an empty Delta table; nothing where another process was faster, or it fails."""
    with suppress(DeltaError):  # whoever opens it says what is wrong
        create_table_with_add_actions(
            url,
            delta_schema(table),
            [],
            mode="error",
            partition_by=list(PARTITION_COLUMNS),
            name=table.name,
            storage_options=dict(options) if options else None,
        )


def listed_parts(delta: DeltaTable, partition: Partition) -> list[Part]:
    """The files of a partition as its table lists them, with their statistics; no hashes."""
    actions = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    parts = []
    for one in actions:
        path = unquote(one["path"])
        if path.startswith(f"{partition.folder}/"):
            least, most = (
                {
                    name.partition(".")[2]: value
                    for name, value in one.items()
                    if name.startswith(f"{which}.") and value is not None
                }
                for which in ("min", "max")
            )
            rows = one["num_records"]
            parts.append(Part(path, rows, one["size_bytes"], "", "", b"", least, most))
    return sorted(parts, key=lambda part: part.path)


def _add(root: Path, table: Table, partition: Partition, part: Part) -> AddAction:
    statistics: Mapping[str, object] = {
        "numRecords": part.rows,
        "minValues": part.minimum,
        "maxValues": part.maximum,
        "nullCount": dict.fromkeys(part.minimum, 0),
    }
    return AddAction(
        path=part.path,
        size=part.size,
        partition_values=partition.values(),
        modification_time=(root / table.name / part.path).stat().st_mtime_ns // 1_000_000,
        data_change=True,
        stats=json.dumps(statistics),
    )


def _remove(partition: Partition, path: str, size: int) -> RemoveAction:
    return RemoveAction(
        path=path,
        data_change=True,
        deletion_timestamp=time.time_ns() // 1_000_000,
        size=size,
        partition_values=partition.values(),
    )
