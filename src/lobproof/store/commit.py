"""Commits of whole days: unseal, replace each table, seal. A day without a seal does not exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from lobproof.errors import InputError, StoreError
from lobproof.files import below, make_folder, replacing
from lobproof.parquet import read_footer
from lobproof.paths import drop_writer
from lobproof.schema.tables import CONTENT_TABLES, DAYS, PARTITION_COLUMNS, TABLES
from lobproof.store.content import DayContent
from lobproof.store.delta import list_exactly, listed_files, open_delta
from lobproof.store.layout import (
    MARKER,
    Partition,
    check_marker,
    check_version,
    files_of,
)
from lobproof.store.lock import commit_lock, require_lock
from lobproof.store.parts import Part, open_writer
from lobproof.store.seal import check_seal, seal_hash, seal_name, seal_row, seal_table


def commit_day(root: Path, content: DayContent, seal: Mapping[str, object]) -> bool:
    """Make a written day visible, replacing an older version of it.

    The day's lock must be held (`symbol_lock`); days commit one after the other, whoever writes
    them. Committing what is there already commits nothing.

    Parameters
    ----------
    root
        The store.
    content
        From `DayWriter.close`.
    seal
        What only the caller knows of the day: see `lobproof.store.seal.CALLER_COLUMNS`.

    Returns
    -------
    bool
        Whether anything was committed.

    Raises
    ------
    StoreError
        If the lock is not held or commits keep failing.
    """
    partition = content.partition
    require_lock(root, partition.exchange, partition.symbol, partition.dt)
    with commit_lock(root):
        return _commit(root, content, seal_row(content, seal))


def _commit(root: Path, content: DayContent, row: Mapping[str, object]) -> bool:
    partition = content.partition
    folder = make_folder(root, f"{DAYS.name}/{partition.folder}")
    name = seal_name(row)
    path = f"{partition.folder}/{name}"
    stale = {
        table.name
        for table in CONTENT_TABLES
        if listed_files(open_delta(root, table), partition)
        != {part.path: part.size for part in content.tables[table.name].parts}
    }
    listed = path in listed_files(open_delta(root, DAYS), partition)
    if listed and not stale and (folder / name).is_file():
        return False
    list_exactly(root, DAYS, partition, [])
    for table in CONTENT_TABLES:
        list_exactly(root, table, partition, content.tables[table.name].parts)
    with replacing(folder / name) as temporary:
        writer = open_writer(temporary, DAYS)
        try:
            writer.write_table(seal_table(row))
            writer.close()
        except BaseException:
            drop_writer(writer)
            raise
    size = (folder / name).stat().st_size
    list_exactly(root, DAYS, partition, [Part(path, 1, size, seal_hash(row), "", b"", {}, {})])
    return True


def sealed(root: Path, exchange: str | None = None, symbol: str | None = None) -> pl.DataFrame:
    """The seals of a store, or of one exchange or symbol, by exchange, symbol and day.

    A folder that does not exist or is empty has none; one that is no store is a `StoreError`, and
    so is a seal that cannot be read, or is not the one that was written.
    """
    places: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    if (root / MARKER).exists() or (root.exists() and any(root.iterdir())):
        check_marker(root)
        for path, size in listed_files(open_delta(root, DAYS)).items():
            names = [piece.split("=", 1)[1] for piece in path.split("/")[:-1]]
            file = below(root, f"{DAYS.name}/{path}")
            chosen = exchange in (None, names[0]) and symbol in (None, names[1])
            if chosen and file.is_file():  # whoever deletes a seal unseals the day
                places[str(file)] = names
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


_NAMED = 8
"""Of the files that are deleted so many are named."""
_FILE = "file of the seal"
_UNSEAL = "Delete that file, which unseals its day, and reconstruct the day again."


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


def told_deleted(root: Path, files: Sequence[Path]) -> str:
    """What to say of files that `clean_partition` deleted."""
    names = [path.relative_to(root).as_posix() for path in files]
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"Deleted in {root}, since no commit lists them: {', '.join(names[:_NAMED])}{more}."


def clean_partition(root: Path, partition: Partition, keep: Collection[Path] = ()) -> list[Path]:
    """Delete our files in a partition that no commit lists: left by kills, or replaced.

    The symbol's lock must be held, for another writer's unfinished files look the same. Files to
    ``keep`` are those that a checkpoint lists. Files of other names are not ours, and stay.

    Returns
    -------
    list[Path]
        The deleted files.
    """
    require_lock(root, partition.exchange, partition.symbol, partition.dt)
    deleted = []
    for table in TABLES:
        files = list(files_of(root, table.name, partition))
        if files:
            listed = listed_files(open_delta(root, table), partition)
            for path in files:
                if path not in keep and f"{partition.folder}/{path.name}" not in listed:
                    path.unlink()
                    deleted.append(path)
    return deleted
