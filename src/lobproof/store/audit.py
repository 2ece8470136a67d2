"""The audit: hold every file against its seal, by its bytes and by the decimals stored in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lobproof.errors import InputError, LobproofError
from lobproof.files import below
from lobproof.parquet import read_footer
from lobproof.schema.tables import CONTENT_TABLES, DAYS, Table
from lobproof.store.catalog import Catalog, SealedDay, Unsealed
from lobproof.store.columns import from_arrow
from lobproof.store.hashing import LEAF_BYTES, content_hash, join_leaves, leaf, table_hash
from lobproof.store.parts import stored_document
from lobproof.store.seal import SealedFile

_UNREAD = b"\0" * LEAF_BYTES


@dataclass(frozen=True, slots=True)
class Damage:
    """One place where a store is not what its seal says.

    ``row_group`` and ``column`` are None where the damage cannot be pinned down so far.
    """

    partition: str
    table: str
    file: str | None
    row_group: int | None
    column: str | None
    what: str

    def __str__(self) -> str:
        """The place and what is wrong there, in one line."""
        place = [self.partition, f"{self.table}/{self.file}" if self.file else self.table]
        if self.row_group is not None:
            place.append(f"row group {self.row_group}")
        if self.column is not None:
            place.append(f"column {self.column}")
        return f"{', '.join(place)}: {self.what}"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit looked at and what it found.

    ``unsealed``: days that the store's tables speak of and no seal vouches for. They are no damage
    to what is sealed.
    """

    days: int
    files: int
    rows: int
    damage: tuple[Damage, ...]
    unsealed: tuple[Unsealed, ...]

    @property
    def clean(self) -> bool:
        """Whether everything that is sealed is as it was."""
        return not self.damage


def glance(catalog: Catalog) -> tuple[Damage, ...]:
    """Files that are gone, of another size, or not listed as they were sealed: a stat a file.

    Raises
    ------
    PlaceError
        If a file or a folder of a sealed day is a link.
    """
    damage: list[Damage] = []
    for day in catalog.days:
        for table in CONTENT_TABLES:
            damage += [
                Damage(str(day.partition), table.name, path, None, None, f"the file {why}")
                for path, why in [*catalog.mislisted(day, table), *catalog.missized(day, table)]
            ]
    return tuple(damage)


def audit_days(
    catalog: Catalog,
    days: Sequence[SealedDay],
    *,
    content: bool,
    unsealed: tuple[Unsealed, ...] = (),
) -> AuditReport:
    """Hold the files of sealed days against the seals.

    Their names, sizes, rows and bytes; with ``content`` the hashes of what is stored are recomputed
    too, so that damage can be located.
    """
    damage: list[Damage] = []
    files = rows = 0
    for day in days:
        for table in CONTENT_TABLES:
            below(catalog.root, f"{table.name}/{day.partition.folder}")
            found = [
                Damage(str(day.partition), table.name, path, None, None, f"the file {why}")
                for path, why in catalog.mislisted(day, table)
            ]
            parts = []
            for file in day.files[table.name]:
                why = catalog.fetched_again(table, file)
                if why:
                    found.append(Damage(str(day.partition), table.name, file.path, None, None, why))
                    continue
                audit = _FileAudit(catalog.root, day, table, file)
                parts.append((file.rows, audit.run() if content else b""))
                audit.compare_bytes()
                found += audit.found
                files, rows = files + 1, rows + file.rows
            if (
                content
                and not found
                and table_hash(day.head(table), parts) != day.hashes[table.name]
            ):
                found = [_sealed_wrong(day, table.name, "the table's hash is not the sealed one")]
            damage += found
        if content_hash(day.hashes) != day.hashes["content"]:
            damage.append(_sealed_wrong(day, DAYS.name, "the seal's own hashes disagree"))
    return AuditReport(len(days), files, rows, tuple(damage), unsealed)


def _sealed_wrong(day: SealedDay, table: str, what: str) -> Damage:
    return Damage(str(day.partition), table, None, None, None, what)


class _FileAudit:
    """One file: its leaves as they are, and where they are not as they were."""

    def __init__(self, root: Path, day: SealedDay, table: Table, file: SealedFile) -> None:
        self._folder = below(root, table.name)
        self._path = below(self._folder, file.path)
        self._day = day
        self._table = table
        self._file = file
        self._head = day.head(table)
        self.found: list[Damage] = []

    def compare_bytes(self) -> None:
        """Hold the file itself against the seal, unless damage was located in it."""
        why = "" if self.found else self._file.at_a_glance(self._folder, self._head)
        why = why or ("" if self.found else self._file.by_its_bytes(self._folder))
        if why:
            self._note(f"the file {why}")

    def run(self) -> bytes:
        """Leaves of the file, joined; what could not be read has leaves of zeros."""
        why = self._file.by_its_place(self._folder)
        if why:  # a pipe would be waited for
            self._note(f"the file {why}")
            return b""
        try:
            with pq.ParquetFile(self._path, metadata=read_footer(self._path)) as parquet:
                sealed = self._sealed_leaves(parquet)
                groups = [
                    [self._leaf(parquet, index, name) for name in self._table.schema.names]
                    for index in range(parquet.num_row_groups)
                ]
                rows = parquet.metadata.num_rows
        except (OSError, pa.ArrowException, InputError) as error:
            self._note(f"the file cannot be read: {error}")
            return b""
        leaves = join_leaves(groups)
        if sealed is not None and len(sealed) == len(leaves):
            for number, name in enumerate(self._table.schema.names):
                for index in range(len(groups)):
                    at = (number * len(groups) + index) * LEAF_BYTES
                    was = sealed[at : at + LEAF_BYTES]
                    if groups[index][number] not in (was, _UNREAD):
                        self._note("the content is not what was sealed", index, name)
        if not self.found and table_hash(self._head, [(rows, leaves)]) != self._file.hash:
            self._note("the content is not what was sealed")
        return leaves

    def _note(self, what: str, group: int | None = None, column: str | None = None) -> None:
        self.found.append(
            Damage(str(self._day.partition), self._table.name, self._file.path, group, column, what)
        )

    def _leaf(self, parquet: pq.ParquetFile, index: int, name: str) -> bytes:
        try:
            column = parquet.read_row_group(index, [name])[name]
            return leaf(from_arrow(column, name, self._day.grid))
        except (OSError, pa.ArrowException, LobproofError, KeyError) as error:
            self._note(f"cannot be read: {error}", index, name)
            return _UNREAD

    def _sealed_leaves(self, parquet: pq.ParquetFile) -> bytes | None:
        """The leaves in the file's metadata, None unless they are those of the seal."""
        try:
            _, leaves = stored_document(parquet.metadata)
        except ValueError:
            return None
        sealed = table_hash(self._head, [(self._file.rows, leaves)]) == self._file.hash
        return leaves if sealed else None
