"""The folder of acquired files: zones, and moves between them that are renames.

``raw`` holds what was downloaded and matches its object, ``validated`` what was judged fit,
``ready`` what a certificate covers, ``quarantine`` what was refused, its reasons beside it. Half
files lie in ``partial`` and nowhere else. Nobody but the owner may look in.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from lobproof.errors import StoreError, UsageError
from lobproof.files import below, locked, make_folder, sync_folder, walk, write_whole
from lobproof.paths import AnyPath, as_path
from lobproof.sources.cryptolake.layout import LakeKey

FOLDER_MODE = 0o700
FILE_MODE = 0o600
MARK = "lobproof-lake"
"""Name of the file that says that a folder is one of ours."""
PARTIAL = "partial"
CERTIFICATES = "certificates"
_REASONS = ".reasons.json"


class Zone(StrEnum):
    """Where a file stands."""

    RAW = "raw"
    VALIDATED = "validated"
    READY = "ready"
    QUARANTINE = "quarantine"


class LakeFolder:
    """A folder with the four zones.

    Parameters
    ----------
    root
        Made if missing (with ``create``), its modes such that only its owner may look in.

    Raises
    ------
    UsageError
        When ``root`` is no such folder, or holds something else.
    """

    def __init__(self, root: AnyPath, *, create: bool = False) -> None:
        self.root = as_path(root).absolute()
        if not _is_unicode(self.root):
            raise UsageError(
                f"{str(root)!a} is no UTF-8: Parquet files cannot be opened there",
                hint="rename the folder, or choose another",
            )
        mark = self.root / MARK
        if mark.is_file():
            self._make_zones()
            return
        if not create:
            raise UsageError(
                f"{root} is no folder of acquired data",
                hint="`lobproof acquire download --out FOLDER` makes one",
            )
        if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise UsageError(
                f"{root} is there and holds something else",
                hint="choose another folder, or an empty one",
            )
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(FOLDER_MODE)
        # the mark first: what a kill leaves is then one of ours
        write_whole(mark, b"lobproof acquired data, version 1\n", FILE_MODE)
        self._make_zones()

    def _make_zones(self) -> None:
        for name in (*Zone, PARTIAL, CERTIFICATES):
            make_folder(self.root, name, FOLDER_MODE)

    def path(self, zone: Zone, key: LakeKey) -> Path:
        """Where the file of ``key`` lies in ``zone``; `PlaceError` if a link is on the way."""
        return below(self.root, f"{zone}/{key.path}")

    def reasons_path(self, key: LakeKey) -> Path:
        """Where the reasons of a quarantined file lie, beside it."""
        path = self.path(Zone.QUARANTINE, key)
        return path.with_name(path.name + _REASONS)

    def partial(self, key: LakeKey, suffix: str = ".part") -> Path:
        """Where a half file lies, or what belongs to it."""
        return below(self.root, f"{PARTIAL}/{key.path.replace('/', '__')}{suffix}")

    def where(self, key: LakeKey) -> Zone | None:
        """The zone in which the file of ``key`` lies now; None if in none."""
        return next((zone for zone in Zone if self.path(zone, key).is_file()), None)

    def keys(self, zone: Zone) -> list[LakeKey]:
        """All files of a zone, in order."""
        top = self.root / zone
        found = (LakeKey.parse(p.relative_to(top).as_posix()) for p in walk(self.root, zone))
        return sorted(key for key in found if key is not None)

    def move(self, source: Path, zone: Zone, key: LakeKey) -> Path:
        """Rename ``source`` (below this folder) to its place in ``zone``, durably.

        Raises
        ------
        StoreError
            When the two lie on different filesystems; the file stays where it is.
        """
        target = self.path(zone, key)
        self.folder_of(target)
        below(self.root, source.relative_to(self.root)).chmod(FILE_MODE)
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            here = self.root / source.relative_to(self.root).parts[0]
            raise StoreError(
                f"{key} cannot be moved from {here} to {self.root / zone}: they lie on different "
                "filesystems, and moves must be renames",
                hint=f"put all folders of {self.root} on one filesystem, then run the same command "
                "again: nothing is lost",
            ) from error
        sync_folder(target.parent)
        if source.parent != target.parent:
            sync_folder(source.parent)
        return target

    def write_reasons(self, key: LakeKey, document: Mapping[str, Any]) -> None:
        """Put the reasons beside a file in quarantine."""
        path = self.reasons_path(key)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        self.write(path, f"{text}\n".encode())

    def write(self, path: Path, data: bytes) -> None:
        """Write a small file of this folder, whole or not at all, for its owner alone."""
        self.folder_of(path)
        write_whole(path, data, FILE_MODE)

    def folder_of(self, path: Path) -> Path:
        """The folder of a file below this one, made for its owner alone if it is missing."""
        return make_folder(self.root, path.parent.relative_to(self.root), FOLDER_MODE)

    def certificates(self) -> list[Path]:
        """The files of certificates, by name."""
        return [path for path in walk(self.root, CERTIFICATES) if path.suffix == ".json"]

    def drop_reasons(self, key: LakeKey) -> None:
        """Remove the reasons of a file that is in quarantine no more."""
        self.reasons_path(key).unlink(missing_ok=True)

    @contextmanager
    def lock(self, key: LakeKey, *, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the file of ``key`` for oneself; freed even by ``kill -9``."""
        path = self.partial(key, ".lock")
        with locked(path, waiting=waiting and (lambda _: waiting(f"Another process has {key}."))):
            yield


def _is_unicode(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
