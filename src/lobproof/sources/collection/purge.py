"""Deletes the journals of captures that ended long ago, and keeps what tells of them.

What is deleted is written down first, in ``purged.jsonl`` of the folder that is purged: a line a
file, never changed afterwards. ``session.json`` stays, with the time of the purge. A kill at any
point costs nothing: the next run finishes what is written down and not yet done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from lobproof import __version__
from lobproof.documents import Count
from lobproof.errors import InputError, LobproofError
from lobproof.files import below, file_sha256, locked, open_ours, sync_folder
from lobproof.sources.binance.journal import JournalFile
from lobproof.sources.captured import SESSION, write_session
from lobproof.sources.collection.found import FoundSession, Unreadable, find, read

LOG = "purged.jsonl"
_LOCK = ".purge.lock"


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log: a file that is deleted; ``session`` and ``file`` are relative paths."""

    at_ns: Count
    version: str
    session: str
    file: str
    bytes: Count
    sha256: str


@dataclass(frozen=True, slots=True)
class Due:
    """A capture whose journals are to be deleted."""

    session: FoundSession
    files: dict[str, JournalFile]
    """By path below the session's folder: those that are there."""

    @property
    def bytes(self) -> int:
        """How much is freed."""
        return sum(one.bytes for one in self.files.values())


@dataclass(slots=True)
class Plan:
    """What a purge would delete, and what it leaves, with the reasons."""

    due: list[Due] = field(default_factory=list)
    kept: list[tuple[Path, str]] = field(default_factory=list)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    """What is old enough, and is not as its document says: it is left as it is."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "due": [
                {
                    "session": str(one.session.folder),
                    "files": list(one.files),
                    "bytes": one.bytes,
                }
                for one in self.due
            ],
            "kept": [{"folder": str(where), "why": why} for where, why in self.kept],
            "refused": [{"folder": str(where), "why": why} for where, why in self.refused],
        }


def plan(root: Path, before_ns: int, reading: Callable[[Path], None]) -> Plan:
    """What of the captures below a folder ended before a time; every file is hashed.

    Raises
    ------
    InputError
        If the log is damaged.
    """
    made = Plan()
    logged = {(one.session, one.file) for one in read_log(root)}
    begun = {session for session, _ in logged}
    for found in find([root]):
        if isinstance(found, Unreadable):
            made.kept.append((found.folder, found.why))
        elif isinstance(found, FoundSession):
            document, name = found.document, str(found.folder.relative_to(root))
            if document.purged_ns:
                continue
            if document.state == "running":
                made.kept.append((found.folder, "it runs"))
            elif document.state == "killed":
                made.kept.append((found.folder, f"it was killed: {SESSION} lists no journals"))
            elif found.figures is None or not found.figures.journals:
                made.kept.append((found.folder, f"{SESSION} lists no journals"))
            elif name not in begun and not 0 < document.ended_ns < before_ns:
                made.kept.append((found.folder, "it is not old enough"))
            else:
                try:
                    made.due.append(Due(found, _present(found, name, logged, reading)))
                except LobproofError as error:
                    made.refused.append((found.folder, error.message))
    return made


def _present(
    found: FoundSession,
    name: str,
    logged: set[tuple[str, str]],
    reading: Callable[[Path], None],
) -> dict[str, JournalFile]:
    """The files that a session's document lists and that are there, each as it is listed."""
    hint = "see what became of it; `lobproof golden check` tells more"
    journals = {} if found.figures is None else found.figures.journals
    there: dict[str, JournalFile] = {}
    for journal, files in journals.items():
        if journal not in found.names:
            raise InputError(f"{SESSION} lists journals of {journal!a}", hint=hint)
        for one in files:
            file = f"{journal}/{one.name}"
            path = below(found.folder, file)
            if not path.exists():
                if (name, file) not in logged:
                    raise InputError(f"{file} is missing, and was not purged", hint=hint)
                continue
            reading(path)
            if not path.is_file() or file_sha256(path) != one.sha256:
                raise InputError(f"{file} is not as {SESSION} lists it", hint=hint)
            there[file] = one
    return there


def purge(root: Path, made: Plan, now_ns: int) -> None:
    """Delete what is planned: the log first, then the files, then the session's note.

    Raises
    ------
    InputError
        If the log is damaged.
    PlaceError
        If a link stands where something is to be written or deleted.
    OSError
        If the disk refuses. What is written down is finished by the next run.
    """
    with locked(below(root, _LOCK)):
        logged = {(one.session, one.file) for one in read_log(root)}
        for due in made.due:
            folder = due.session.folder
            name = str(folder.relative_to(root))
            now = read(folder, SESSION)
            if not isinstance(now, FoundSession) or now.document != due.session.document:
                continue  # another purge has done it meanwhile
            lines = [
                Purged(
                    at_ns=now_ns,
                    version=__version__,
                    session=name,
                    file=file,
                    bytes=one.bytes,
                    sha256=one.sha256,
                )
                for file, one in due.files.items()
                if (name, file) not in logged
            ]
            _append(root, lines)
            for file in due.files:
                path = below(folder, file)
                path.unlink(missing_ok=True)
                sync_folder(path.parent)
            now.document.purged_ns = now_ns
            write_session(folder, now.document)


def read_log(root: Path) -> Iterator[Purged]:
    """The lines of a folder's log; none where there is no log.

    A last line that a kill cut off is none: nothing was deleted before it was whole.

    Raises
    ------
    InputError
        If another line is none of the log's.
    """
    path = below(root, LOG)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        if not line or line.endswith(_TORN):
            continue
        try:
            yield msgspec.json.decode(line, type=Purged)
        except msgspec.MsgspecError as error:
            raise InputError(
                f"{path}, line {number} is damaged: {error}",
                hint="take the log from a copy: it says what was deleted",
            ) from error


_TORN = b"#torn"
"""Ends a line that a kill cut off, as the next run closes it."""


def _append(root: Path, lines: list[Purged]) -> None:
    """Add lines to the log; they are on the disk when this returns."""
    text = b"".join(
        json.dumps(msgspec.to_builtins(one), ensure_ascii=False).encode() + b"\n" for one in lines
    )
    descriptor = open_ours(below(root, LOG), 0o644)
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            text = _TORN + b"\n" + text
        while text:
            text = text[os.write(descriptor, text) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(root)
