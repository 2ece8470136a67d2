"""Delta Lake commits: make a partition of one table list exactly these files."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from lobproof.documents import QUOTED
from lobproof.errors import StoreError, shown
from lobproof.files import below, make_folder, sync_file, sync_folder
from lobproof.schema.tables import PARTITION_COLUMNS, Table
from lobproof.store.deltalog import check_log
from lobproof.store.layout import Partition
from lobproof.store.parts import Part

_LISTED = re.compile(
    r"exchange=[^/]+/symbol=[^/]+/dt=[0-9-]{10}/part-[0-9]{5,}-[0-9a-f]{16}\.parquet"
)
Result = TypeVar("Result")

ATTEMPTS = 30
"""Tries of one commit: writers of other symbols commit to the same table."""


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


def _found(root: Path, table: Table) -> DeltaTable | None:
    try:
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
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
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


def list_exactly(root: Path, table: Table, partition: Partition, parts: Iterable[Part]) -> bool:
    """Commit whatever makes the partition list exactly ``parts``; nothing if it does already.

    Other writers may commit other partitions meanwhile. A path that stays under another size is
    removed in a commit of its own first, for one commit must not add and remove the same path.

    Returns
    -------
    bool
        Whether anything was committed.

    Raises
    ------
    StoreError
        If the commit keeps failing.
    """
    wanted = {part.path: part for part in parts}
    changed = False
    for attempt in range(ATTEMPTS):
        try:
            delta = _found(root, table) or _create(root, table)
            present = listed_files(delta, partition)
            removed = {p: n for p, n in present.items() if p not in wanted or wanted[p].size != n}
            added = [part for path, part in wanted.items() if present.get(path) != part.size]
            if not removed and not added:
                return changed
            if any(part.path in removed for part in added):
                added = []
            delta.create_write_transaction(
                [
                    *(_add(root, table, partition, part) for part in added),
                    *(_remove(partition, path, size) for path, size in removed.items()),
                ],
                "append",
                delta_schema(table),
                list(PARTITION_COLUMNS),
            )
            changed = True
            sync_log(root, table)
        except DeltaError as error:
            if attempt == ATTEMPTS - 1:
                raise StoreError(
                    f"Committing {partition} to {table.name} failed {ATTEMPTS} times: {error}",
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


def _create(root: Path, table: Table) -> DeltaTable:
    make_folder(root, table.name)
    try:
        create_table_with_add_actions(
            _folder(root, table),
            delta_schema(table),
            [],
            mode="error",
            partition_by=list(PARTITION_COLUMNS),
            name=table.name,
        )
    except DeltaError:  # another process was faster, or the next line says what is wrong
        return _open(root, table)
    sync_log(root, table)
    return _open(root, table)


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
