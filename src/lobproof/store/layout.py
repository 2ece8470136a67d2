"""Where things lie in a store: its marker, the tables' folders, partitions, locks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import msgspec

from lobproof import documents
from lobproof.errors import StoreError, UsageError, shown
from lobproof.files import TEMPORARY, below, write_whole
from lobproof.instruments import NAME_HINT, is_name
from lobproof.schema.tables import FORMAT_VERSION

MARKER = "lobproof-store.json"
"""The file that makes a folder a store; it names the format version of its creator."""
LOCKS = ".locks"
CHECKPOINTS = ".checkpoints"

_MARKERS = re.compile(rf"{re.escape(TEMPORARY)}({re.escape(MARKER)}\.[0-9a-f]+|marker-[0-9]+)")


class _Marker(msgspec.Struct):
    """What is read of the marker."""

    format_version: int


_NOT_DELTAS = re.compile(r"%[0-9A-Fa-f]{2}|\\|[\x00-\x1f\x7f]")


def check_name(value: str) -> None:
    """Raise `StoreError` unless ``value`` can be part of a partition's folder name."""
    if not is_name(value):
        raise StoreError(
            f"{shown(value, 60)!r} cannot name a partition of a store.", hint=NAME_HINT
        )


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One symbol-day: ``exchange``, canonical ``symbol`` and ``dt`` (YYYY-MM-DD)."""

    exchange: str
    symbol: str
    dt: str

    def __post_init__(self) -> None:
        """Refuse what cannot be a folder's name, and days that are none."""
        check_name(self.exchange)
        check_name(self.symbol)
        try:
            plain = date.fromisoformat(self.dt).isoformat() == self.dt
        except ValueError:
            plain = False
        if not plain:
            raise StoreError(
                f"{self.dt!r} is not a day of a store.", hint="Write days as YYYY-MM-DD."
            )

    @property
    def folder(self) -> str:
        """Folder of the partition, relative to a table's folder."""
        return f"exchange={self.exchange}/symbol={self.symbol}/dt={self.dt}"

    def values(self) -> dict[str, str | None]:
        """The partition columns by name, as Delta wants them."""
        return {"exchange": self.exchange, "symbol": self.symbol, "dt": self.dt}

    def __str__(self) -> str:
        """Exchange, symbol and day, with blanks between."""
        return f"{self.exchange} {self.symbol} {self.dt}"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which symbol-days of a store are looked at; None: all. Nothing is known of the others."""

    exchange: str | None = None
    symbol: str | None = None
    dts: frozenset[str] | None = None

    @classmethod
    def of(cls, partition: Partition) -> Self:
        """One symbol-day."""
        return cls(partition.exchange, partition.symbol, frozenset([partition.dt]))

    def holds(self, folder: str) -> bool:
        """Whether a partition's folder (``exchange=…/symbol=…/dt=…``) is among them."""
        exchange, symbol, dt = (piece.partition("=")[2] for piece in folder.split("/"))
        return (
            self.exchange in (None, exchange)
            and self.symbol in (None, symbol)
            and (self.dts is None or dt in self.dts)
        )

    @property
    def folder(self) -> str:
        """The folder that all of them are below, in a table's; empty where there is none."""
        parts = []
        one = next(iter(self.dts)) if self.dts is not None and len(self.dts) == 1 else None
        for name, value in (("exchange", self.exchange), ("symbol", self.symbol), ("dt", one)):
            if value is None:
                break
            parts.append(f"{name}={value}")
        return "/".join(parts)


ALL = Scope()


def check_folder(root: Path) -> None:
    """Refuse a folder that Delta would not find by its name, or take another one for.

    Delta's names are UTF-8, and it takes ``a%20b`` for ``a b`` and a backslash for ``/``, also in
    the folders above.

    Raises
    ------
    UsageError
        Naming the folder.
    """
    # Delta resolves links, and each of both names may be used
    for path in dict.fromkeys((str(root.absolute()), str(root.resolve()))):
        problem = ""
        odd = _NOT_DELTAS.search(path)
        if not _is_utf8(path):
            problem = "is not UTF-8"
        elif odd:
            problem = f"has {odd[0]!a}, which Delta tables take for another name"
        if problem:
            raise UsageError(
                f"{shown(path, 300)} cannot hold a store: its name {problem}.",
                hint="Choose a folder with another name: none of the folders above it may have "
                "such a name either.",
            )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_marker(root: Path) -> None:
    """Raise `StoreError` unless ``root`` is a store that this version of lobproof can read."""
    check_folder(root)
    marker = below(root, MARKER)
    if not root.is_dir():
        raise StoreError(
            f"There is no store at {root}.",
            hint="Check the path; `lobproof reconstruct SOURCE --out STORE` makes a store.",
        )
    if not marker.is_file():
        raise StoreError(
            f"{root} is not a lobproof store: it holds no {MARKER}.",
            hint="Name the folder that was given to `reconstruct --out` (not one inside it).",
        )
    hint = f'Restore it; this version would write {{"format_version": {FORMAT_VERSION}}}.'
    document = documents.read(marker, _Marker, error=StoreError, hint=hint, limit=1 << 16)
    check_version(document["format_version"], str(root))


def check_version(version: int, what: str) -> None:
    """Raise `StoreError` where ``what`` was written in another format than this version's."""
    if version != FORMAT_VERSION:
        raise StoreError(
            f"{what} has format version {version}; this lobproof reads and writes version "
            f"{FORMAT_VERSION}.",
            hint="Upgrade lobproof: a newer version wrote it."
            if version > FORMAT_VERSION
            else "Reconstruct it into a new store, or read it with the version that wrote it.",
        )


def ensure_store(root: Path) -> None:
    """Make ``root`` a store where it is none; several processes may do so at once.

    Raises
    ------
    StoreError
        If ``root`` is a folder with other things in it, no folder, or a newer store.
    UsageError
        As `check_folder`.
    """
    check_folder(root)
    marker = below(root, MARKER)
    if not marker.exists():
        if root.exists() and not root.is_dir():
            raise StoreError(f"{root} is a file.", hint="Give the folder for the store.")
        root.mkdir(parents=True, exist_ok=True)
        # dot files may be a marker or a lock that another process makes at this moment
        if any(not entry.name.startswith(".") for entry in root.iterdir()) and not marker.exists():
            raise StoreError(
                f"{root} holds other files and is no store.",
                hint="Give an empty or a new folder, or an existing store.",
            )
        document = {"format": "lobproof store", "format_version": FORMAT_VERSION}
        try:
            write_whole(marker, f"{json.dumps(document)}\n".encode())
        except FileNotFoundError:  # another process made the store, and cleared this away
            check_marker(root)
    check_marker(root)
    for left in root.iterdir():
        if _MARKERS.fullmatch(left.name) and not left.is_dir():
            left.unlink(missing_ok=True)


_PART = re.compile(rf"part-[0-9]{{5,}}-[0-9a-f]{{16}}\.parquet|{re.escape(TEMPORARY)}part-.*")
"""Names of our files in a partition, finished or not: no others are deleted."""


def our_files(root: Path, table: str, partition: Partition) -> Iterator[Path]:
    """Our files that lie in a partition's folder, committed or not."""
    folder = below(root, f"{table}/{partition.folder}")
    if folder.is_dir():
        for entry in sorted(folder.iterdir()):
            if _PART.fullmatch(entry.name) and not entry.is_dir():
                yield entry
