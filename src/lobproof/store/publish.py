"""``publish``: a day that is sealed in a folder into a store in a bucket, whole or not at all.

Files go first, under names that follow from their content. Then each table is committed, behind the
day's lease and with its epoch, and the seal comes last: without it a reader sees no day. A process
that is killed on the way leaves files that nothing lists; the next one goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lobproof.documents import value_of
from lobproof.errors import StoreError, UnavailableError
from lobproof.files import below, walk
from lobproof.schema.tables import CONTENT_TABLES, DAYS, FORMAT_VERSION, Table
from lobproof.store.catalog import Catalog, SealedDay
from lobproof.store.delta import (
    Fence,
    commit_exactly,
    epoch_of,
    listed_files,
    listed_parts,
    make_table,
    open_delta,
)
from lobproof.store.layout import MARKER, Partition, Scope, check_version
from lobproof.store.lease import Lease
from lobproof.store.place import BucketPlace, ConflictError
from lobproof.store.probe import probe

_AT_ONCE = 4


def ensure_bucket_store(place: BucketPlace) -> None:
    """Make a bucket's prefix a store where it is none, and see that commits are safe there.

    Raises
    ------
    StoreError
        If it holds other things, a newer store, or does not honour conditional puts.
    LobproofError
        If the bucket refuses, or cannot be reached.
    """
    found = place.read(MARKER)
    if found is None:
        others = [name for name in place.sizes("") if not name.startswith(".")]
        if others:
            raise StoreError(
                f"{place.url} holds other objects and is no store: {others[0]}.",
                hint="Give a prefix with nothing below it, or an existing store.",
            )
        probe(place)
        document = {"format": "lobproof store", "format_version": FORMAT_VERSION}
        try:
            place.write(MARKER, f"{json.dumps(document)}\n".encode(), old=None)
        except ConflictError:  # another process made it
            ensure_bucket_store(place)
        return
    try:
        version = int(value_of(found[0])["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{place.url}/{MARKER} is damaged.",
            hint=f'Restore it; this version would write {{"format_version": {FORMAT_VERSION}}}.',
        ) from error
    check_version(version, place.url)
    probe(place)


@dataclass(frozen=True, slots=True)
class BucketTables:
    """Tables in a bucket, of files that lie in a folder (see `lobproof.store.delta.Tables`)."""

    place: BucketPlace
    files: Path

    @property
    def url(self) -> str:
        """The store."""
        return self.place.url

    def open(self, table: Table) -> DeltaTable | None:
        """See `Tables`."""
        url = f"{self.place.url}/{table.name}"
        try:
            return DeltaTable(url, storage_options=self.place.delta_options)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise UnavailableError(
                f"{url}: {self.place.redacted(str(error))[:_SAID]}",
                hint="wait a while and run the same command again",
            ) from None

    def create(self, table: Table) -> None:
        """See `Tables`."""
        make_table(f"{self.place.url}/{table.name}", table, self.place.delta_options)

    def settle(self, table: Table) -> None:
        """A bucket that has answered keeps what it took."""


_SAID = 300


def take_day(place: BucketPlace, partition: Partition, *, unchanged: str = "") -> Lease | None:
    """The lease of a day of a store, above all that its tables have seen; None where it is held.

    Parameters
    ----------
    unchanged
        As for `Lease.take`.
    """
    above = epoch_of(BucketTables(place, Path()), partition)
    return Lease.take(place, partition, unchanged=unchanged, above=above)


def publish(
    root: Path,
    place: BucketPlace,
    lease: Lease,
    told: Callable[[int, int], None] | None = None,
) -> bool:
    """Publish a day that is sealed in the store ``root`` into the bucket.

    Parameters
    ----------
    lease
        Of the day, from `take_day`.
    told
        Called with bytes that are stored, and of how many.

    Returns
    -------
    bool
        Whether anything was committed; not where the bucket holds the same day already.

    Raises
    ------
    StoreError
        If the day is not sealed in ``root``, or not as it was sealed.
    FencedError, LostLeaseError
        If another process has taken the day over.
    """
    partition = lease.partition
    catalog = Catalog(root, Scope.of(partition))
    if not catalog.days:
        raise StoreError(f"{partition} is not sealed in {root}.", hint="Reconstruct it first.")
    (day,) = catalog.days
    for table in CONTENT_TABLES:
        catalog.paths(day, table)  # as they were sealed
    seal = listed_files(open_delta(root, DAYS), partition)
    tables = BucketTables(place, root)
    if _is_there(tables, day, seal):
        return False
    files = [
        (f"{table.name}/{file.path}", file.size)
        for table in CONTENT_TABLES
        for file in day.files[table.name]
    ]
    files += [(f"{DAYS.name}/{path}", size) for path, size in seal.items()]
    _put(root, place, lease, files, told)
    fence = Fence(partition, lease.epoch)
    lease.check()
    # from here on no reader sees the day; and nobody who was overtaken seals it
    commit_exactly(tables, DAYS, [], fence, claim=True)
    for table in CONTENT_TABLES:
        lease.check()
        delta = open_delta(root, table)
        parts = [] if delta is None else listed_parts(delta, partition)
        commit_exactly(tables, table, parts, fence, claim=True)
    lease.check()
    sealed = open_delta(root, DAYS)
    assert sealed is not None
    commit_exactly(tables, DAYS, listed_parts(sealed, partition), fence)
    return True


def publish_documents(root: Path, place: BucketPlace, folders: Iterable[str]) -> int:
    """Store every file below some folders of ``root`` under its name; how many there were.

    They are documents that are written once (reports), or can be made again (metrics, pages).
    """
    paths = [path for folder in folders for path in walk(root, folder)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda path: place.put_file(path.relative_to(root).as_posix(), path), paths))
    return len(paths)


def _is_there(tables: BucketTables, day: SealedDay, seal: dict[str, int]) -> bool:
    """Whether the bucket holds the same seal, and lists and holds the files that it names."""
    place, partition = tables.place, day.partition
    wanted = {DAYS.name: seal}
    for table in CONTENT_TABLES:
        wanted[table.name] = {file.path: file.size for file in day.files[table.name]}
    for table in (*CONTENT_TABLES, DAYS):
        if listed_files(tables.open(table), partition) != wanted[table.name]:
            return False
        held = place.sizes(f"{table.name}/{partition.folder}")
        names = {f"{table.name}/{path}": size for path, size in wanted[table.name].items()}
        if any(held.get(name) != size for name, size in names.items()):
            return False
    return True


def _put(
    root: Path,
    place: BucketPlace,
    lease: Lease,
    files: list[tuple[str, int]],
    told: Callable[[int, int], None] | None,
) -> None:
    total, done = sum(size for _, size in files), 0

    def put(one: tuple[str, int]) -> int:
        lease.check()
        place.put_file(one[0], below(root, one[0]))
        return one[1]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for size in pool.map(put, files):
            done += size
            if told is not None:
                told(done, total)
