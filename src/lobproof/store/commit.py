"""Commits of whole days: unseal, replace each table, seal. A day without a seal does not exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from lobproof.files import make_folder, replacing
from lobproof.paths import drop_writer
from lobproof.schema.tables import CONTENT_TABLES, DAYS, TABLES
from lobproof.store.delta import Fence, LocalTables, list_exactly, listed_files, open_delta
from lobproof.store.layout import (
    Partition,
    our_files,
)
from lobproof.store.lock import commit_lock, require_lock
from lobproof.store.parts import DayContent, Part, open_writer
from lobproof.store.seal import seal_hash, seal_name, seal_row, seal_table


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
    fence = Fence.behind(LocalTables(root), partition)
    list_exactly(root, DAYS, partition, [], fence)
    for table in CONTENT_TABLES:
        list_exactly(root, table, partition, content.tables[table.name].parts, fence)
    with replacing(folder / name) as temporary:
        writer = open_writer(temporary, DAYS)
        try:
            writer.write_table(seal_table(row))
            writer.close()
        except BaseException:
            drop_writer(writer)
            raise
    size = (folder / name).stat().st_size
    part = Part(path, 1, size, seal_hash(row), "", b"", {}, {})
    list_exactly(root, DAYS, partition, [part], fence)
    return True


_NAMED = 8
"""Of the files that are deleted so many are named."""


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
        files = list(our_files(root, table.name, partition))
        if files:
            listed = listed_files(open_delta(root, table), partition)
            for path in files:
                if path not in keep and f"{partition.folder}/{path.name}" not in listed:
                    path.unlink()
                    deleted.append(path)
    return deleted
