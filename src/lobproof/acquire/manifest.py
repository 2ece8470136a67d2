"""The manifest: an append-only, crash-safe log of what happened to every object.

A line is a JSON object with its number, the SHA-256 of the line before (``prev``), time, version,
event and key. A change anywhere breaks the chain of hashes behind it. What a kill leaves of a
last line is cut off by the next writer, which says so in its record.

Records are written *before* the rename that they speak of: :func:`reconcile` finishes what a kill
left between the two.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

import lobproof
from lobproof import documents
from lobproof.acquire.zones import FILE_MODE, LakeFolder, Zone
from lobproof.documents import Count
from lobproof.errors import StoreError
from lobproof.files import below, locked, open_ours, sync_folder
from lobproof.paths import naming
from lobproof.sources.cryptolake.layout import LakeKey

NAME = "manifest.jsonl"
FETCHED, VALIDATED, QUARANTINED, CERTIFIED = "fetched", "validated", "quarantined", "certified"
ZONES = {
    FETCHED: Zone.RAW,
    VALIDATED: Zone.VALIDATED,
    QUARANTINED: Zone.QUARANTINE,
    CERTIFIED: Zone.READY,
}
"""Event → the zone that it puts a file into."""
_BLOCK = 1 << 16
MAX_LINE = 1 << 20
"""Bytes of a line: one has about a thousand, of `book` three; a schema of more than 64 KiB is left
out."""
MAX_LINES = 8_000_000
"""Lines in all: the 2,000,000 objects of the largest inventory, each with four."""
_RESTORE = "restore it from a backup, or acquire into a new folder"
START = "0" * 64
"""``prev`` of the first line."""


class _Record(msgspec.Struct):
    """What every record has; there is more."""

    n: Count
    prev: str
    event: str
    key: str


class _Fetched(_Record):
    size: Count
    etag: str
    sha256: str
    last_modified: str
    provenance: str
    rows: Count | None = None


class _Judged(_Record):
    verdict: str
    version: str
    audit_sha256: str
    reasons: dict[str, Any] | list[str] = []


class _Certified(_Record):
    certificate: str
    verdict: str


_SHAPES: dict[str, type[_Record]] = {
    FETCHED: _Fetched,
    VALIDATED: _Judged,
    QUARANTINED: _Judged,
    CERTIFIED: _Certified,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the manifest says of an object as it stands.

    ``fetched`` is the record of its download (``size``, ``etag``, ``sha256``, ``last_modified``,
    ``rows``, ``row_groups``, ``first_ts``, ``last_ts``, ``schema``, ``provenance``, …);
    ``judged`` that of its last validation, None before; ``certificate`` the id of the one that
    covers it, empty without.
    """

    key: LakeKey
    zone: Zone
    fetched: dict[str, Any]
    judged: dict[str, Any] | None = None
    certificate: str = ""


class _Chain:
    """Follows the lines of a manifest and checks that each follows on the one before."""

    def __init__(self, path: Path) -> None:
        self.before = START
        self._path = path
        self.number = 0

    def follow(self, line: bytes) -> dict[str, Any]:
        """The record of the next line."""
        record = _parsed(line)
        if record is None or record.get("n") != self.number or record.get("prev") != self.before:
            raise StoreError(
                f"{self._path}, line {self.number + 1}: the manifest was changed: this line does "
                "not follow on the one before",
                hint=_RESTORE,
            )
        self.number += 1
        self.before = hashlib.sha256(line).hexdigest()
        return record


class Manifest:
    """The manifest of a :class:`LakeFolder`."""

    def __init__(self, folder: LakeFolder) -> None:
        self.folder = folder
        self.path = below(folder.root, NAME)
        self._lock = folder.root / f"{NAME}.lock"
        self._reading = threading.Lock()
        self._offset = 0
        self._chain = _Chain(self.path)
        self._entries: dict[LakeKey, Entry] = {}

    def append(self, event: str, key: LakeKey, **fields: Any) -> dict[str, Any]:
        """Write a record durably; several processes may at once.

        Raises
        ------
        StoreError
            When the manifest's last line is not the manifest's own, a line is too long, or there
            are too many.
        """
        with locked(self._lock):
            number, before, torn = self._tail()
            if number >= MAX_LINES:
                raise self._too_many()
            record: dict[str, Any] = {
                "n": number,
                "prev": before,
                "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
                "version": lobproof.__version__,
                "event": event,
                "key": key.path,
                **fields,
            }
            if torn:
                record["recovered_bytes"] = torn
            line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            if len(line) > MAX_LINE:
                raise self._too_long(f"line {number + 1}, which is not written")
            new = not self.path.exists()
            descriptor = open_ours(self.path, FILE_MODE)
            try:
                end = os.lseek(descriptor, 0, os.SEEK_END) - torn
                os.ftruncate(descriptor, end)
                os.lseek(descriptor, end, os.SEEK_SET)
                view = memoryview(line)
                with naming(self.path):
                    while view:
                        view = view[os.write(descriptor, view) :]
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                sync_folder(self.path.parent)
        return record

    def records(self) -> Iterator[dict[str, Any]]:
        """All records in order, the chain of hashes checked.

        Raises
        ------
        StoreError
            Naming the first line that is not what its successor or its number says.
        """
        chain = _Chain(self.path)
        for line in self._lines(0, 0):
            yield chain.follow(line)

    def hashes(self) -> list[str]:
        """Hash before the first line, then of each line; checked as by :meth:`records`."""
        chain = _Chain(self.path)
        found = [chain.before]
        for line in self._lines(0, 0):
            chain.follow(line)
            found.append(chain.before)
        return found

    def entries(self) -> dict[LakeKey, Entry]:
        """Every object as it stands, by key. Errors as for :meth:`records`."""
        with self._reading:
            self._catch_up()
            return dict(sorted(self._entries.items()))

    def entry(self, key: LakeKey) -> Entry | None:
        """One object as it stands; None where the manifest does not know it."""
        with self._reading:
            self._catch_up()
            return self._entries.get(key)

    def _catch_up(self) -> None:
        """Take in what was appended since the last look."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if not size and any(self.folder.keys(zone) for zone in Zone):
            raise StoreError(
                f"{self.path} is missing, and there are files in the zones",
                hint=_RESTORE,
            )
        if size < self._offset:
            self._offset, self._chain, self._entries = 0, _Chain(self.path), {}
        for line in self._lines(self._offset, self._chain.number):
            record = self._chain.follow(line)
            self._offset += len(line)
            key = LakeKey.parse(str(record["key"]))
            event = record["event"]
            if key is None or event not in ZONES:
                continue
            zone, known = ZONES[event], self._entries.get(key)
            if event == FETCHED:
                self._entries[key] = Entry(key, zone, record)
            elif known is not None and event == CERTIFIED:
                if known.judged is None or known.zone is Zone.QUARANTINE:
                    continue  # fetched or refused since: this speaks of a file that is no more
                certificate = str(record["certificate"])
                self._entries[key] = replace(known, zone=zone, certificate=certificate)
            elif known is not None:
                self._entries[key] = replace(known, zone=zone, judged=record, certificate="")

    def _lines(self, offset: int, number: int) -> Iterator[bytes]:
        """Whole lines from a byte on, where line ``number`` begins; a torn last one is none yet."""
        if not self.path.exists():
            return
        with self._opened() as file:
            file.seek(offset)
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if number > MAX_LINES:
                    raise self._too_many()
                if len(line) > MAX_LINE:
                    raise self._too_long(f"line {number}")
                if not line.endswith(b"\n"):
                    return  # its rest may come while we read
                yield line

    def _opened(self) -> BinaryIO:
        """The file to read; StoreError where it is a folder, or a pipe: one waits for that."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise StoreError(f"{self.path} is no plain file", hint=_RESTORE)
        return os.fdopen(descriptor, "rb")

    def _too_many(self) -> StoreError:
        return StoreError(
            f"{self.path}: more than {MAX_LINES:,} lines, and no folder needs so many",
            hint="acquire what else is wanted into a new folder; a manifest that should not be so "
            "long is to be restored from a backup",
        )

    def _too_long(self, which: str) -> StoreError:
        return StoreError(
            f"{self.path}, {which}: it has more than {MAX_LINE:,} bytes, and no record has so many",
            hint=_RESTORE,
        )

    def _tail(self) -> tuple[int, str, int]:
        """Number of the next record, hash of the last line, bytes of a torn one behind it."""
        if not self.path.exists():
            return 0, START, 0
        with self._opened() as file:
            size = file.seek(0, os.SEEK_END)
            reach = _BLOCK
            while True:
                start = file.seek(max(size - reach, 0))
                data = file.read(size - start)
                stop = data.rfind(b"\n") + 1
                begin = data.rfind(b"\n", 0, max(stop - 1, 0)) + 1
                if start == 0 or (stop and begin) or len(data) > 2 * MAX_LINE:
                    break
                reach *= 4
        torn = len(data) - stop
        last = data[begin:stop]
        if max(torn, len(last)) > MAX_LINE:
            raise self._too_long("its last line")
        if not last:
            return 0, START, torn
        record = _parsed(last)
        if record is None:
            raise StoreError(
                f"{self.path}: its last line is no record",
                hint=_RESTORE,
            )
        return record["n"] + 1, hashlib.sha256(last).hexdigest(), torn


def reconcile(manifest: Manifest, *, only: LakeKey | None = None) -> list[LakeKey]:
    """Put every file where the manifest says; returns the keys that a kill had left elsewhere.

    A file that is in no zone and not whole in ``partial`` is left to the caller: its key's entry
    stands, its file is missing (:func:`missing` lists such). With ``only``, the caller holds that
    key's lock.
    """
    if only is not None:
        entry = manifest.entry(only)
        return [only] if entry is not None and _put_back(manifest.folder, entry) else []
    moved = []
    for key, entry in manifest.entries().items():
        if _is_astray(manifest.folder, entry):
            # whoever has it may be about to move it
            with manifest.folder.lock(key):
                moved += reconcile(manifest, only=key)
    return moved


def _is_astray(folder: LakeFolder, entry: Entry) -> bool:
    path, reasons = folder.path(entry.zone, entry.key), folder.reasons_path(entry.key)
    return (
        not path.is_file()
        or folder.partial(entry.key).is_file()
        or (entry.zone is not Zone.QUARANTINE and reasons.exists())
    )


def _put_back(folder: LakeFolder, entry: Entry) -> bool:
    """Move the file of an entry to its zone; False where it is there, or nowhere."""
    key, target = entry.key, folder.path(entry.zone, entry.key)
    if entry.zone is not Zone.QUARANTINE:
        folder.drop_reasons(key)
    part = folder.partial(key)
    if entry.judged is None and not _is_file(target, entry) and _is_file(part, entry):
        folder.move(part, entry.zone, key)
        return True
    if target.is_file():
        return False
    for zone in Zone:
        if _is_file(folder.path(zone, key), entry):
            folder.move(folder.path(zone, key), entry.zone, key)
            return True
    return False


def missing(manifest: Manifest) -> list[LakeKey]:
    """Keys whose file is not where the manifest says, or has another size."""
    found = []
    for key, entry in manifest.entries().items():
        path = manifest.folder.path(entry.zone, key)
        if not path.is_file() or path.stat().st_size != int(entry.fetched["size"]):
            found.append(key)
    return found


def _is_file(path: Path, entry: Entry) -> bool:
    """Whether the file at ``path`` is the one that the entry speaks of."""
    if not path.is_file() or path.stat().st_size != int(entry.fetched["size"]):
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == str(entry.fetched["sha256"])


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where it is none, or lacks what its event needs."""
    try:
        record = documents.parse(line, _Record)
        documents.as_shape(record, _SHAPES.get(record["event"], _Record))
    except ValueError:
        return None
    return record
