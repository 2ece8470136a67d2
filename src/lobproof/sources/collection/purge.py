"""Deletes the journals of captures that ended long ago, and keeps what tells of them.

What is deleted is written down first, in ``purged.jsonl`` of the folder that is purged: a line a
file, never changed afterwards. So is a capture that is old enough and was left, with the reason.
``session.json`` stays, with the time of the purge. A kill at any point costs nothing: the next run
finishes what is written down and not yet done.
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
from lobproof.errors import InputError, LobproofError, PlaceError, place_error
from lobproof.files import below, file_sha256, locked, open_ours, sync_folder
from lobproof.sources.binance.journal import JournalFile
from lobproof.sources.captured import SESSION, SessionDocument, write_session
from lobproof.sources.collection.found import FoundSession, Unreadable, find, read

LOG = "purged.jsonl"
_LOCK = ".purge.lock"


class Logged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the log: a file that is deleted, or why all of a capture was left (``kept``).

    ``session`` and ``file`` are relative paths.
    """

    at_ns: Count
    version: str
    session: str
    file: str = ""
    bytes: Count = 0
    sha256: str = ""
    kept: str = ""

    def __post_init__(self) -> None:
        if bool(self.file and self.sha256) == bool(self.kept):
            raise ValueError("it names no file, and no reason")


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "session": str(self.session.folder),
            "files": list(self.files),
            "bytes": self.bytes,
        }


@dataclass(slots=True)
class Plan:
    """What a purge is to delete, what it has deleted, and what it leaves, with the reasons."""

    due: list[Due] = field(default_factory=list)
    deleted: list[Due] = field(default_factory=list)
    kept: list[tuple[Path, str]] = field(default_factory=list)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    """What is old enough, and was left all the same: it is not as its document says, or has
    changed since it was looked at, or the disk refuses."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "due": [one.to_dict() for one in self.due],
            "deleted": [one.to_dict() for one in self.deleted],
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
    logged = {(one.session, one.file) for one in read_log(root) if one.file}
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
    """Delete what is planned, one capture after the other, and note in the plan what became of it.

    The log comes first, then the files, then the session's note. Where one is refused the others
    go on; what is written down of it is finished by a later run.

    Raises
    ------
    InputError
        If the log is damaged.
    PlaceError
        If a link stands in the place of the log.
    OSError
        If the disk does not take the log.
    """
    with locked(below(root, _LOCK)):
        log = list(read_log(root))
        logged = {(one.session, one.file) for one in log if one.file}
        kept = {one.session: one.kept for one in log if one.kept}
        for due in made.due:
            now = read(due.session.folder, SESSION)
            if isinstance(now, FoundSession) and now.document == due.session.document:
                _append(root, _lines(root, due, now_ns, logged))
                try:
                    _delete(due, now.document, now_ns)
                except PlaceError as error:
                    made.refused.append((due.session.folder, error.message))
                except OSError as error:
                    made.refused.append((due.session.folder, place_error(error).message))
                else:
                    made.deleted.append(due)
            elif isinstance(now, FoundSession) and now.document.purged_ns:
                made.kept.append((due.session.folder, "another purge has deleted it meanwhile"))
            else:
                why = f"{SESSION} was changed while the files were looked at"
                made.refused.append((due.session.folder, why))
        left = {str(where.relative_to(root)): why for where, why in made.refused}
        _append(
            root,
            [
                Logged(at_ns=now_ns, version=__version__, session=name, kept=why)
                for name, why in left.items()
                if kept.get(name) != why  # once, and not by each run
            ],
        )


def _lines(root: Path, due: Due, now_ns: int, logged: set[tuple[str, str]]) -> list[Logged]:
    name = str(due.session.folder.relative_to(root))
    return [
        Logged(
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


def _delete(due: Due, document: SessionDocument, now_ns: int) -> None:
    folder = due.session.folder
    for file in due.files:
        path = below(folder, file)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    document.purged_ns = now_ns
    write_session(folder, document)


def read_log(root: Path) -> Iterator[Logged]:
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
            yield msgspec.json.decode(line, type=Logged)
        except msgspec.MsgspecError as error:
            raise InputError(
                f"{path}, line {number} is damaged: {error}",
                hint="take the log from a copy: it says what was deleted",
            ) from error


_TORN = b"#torn"
"""Ends a line that a kill cut off, as the next run closes it."""


def _append(root: Path, lines: list[Logged]) -> None:
    """Add lines to the log, if there are any; they are on the disk when this returns."""
    if not lines:
        return
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
