"""What says that files were simulated: a side-car that lists them, and each recording's first line.

The side-car is ``simulation.json``; the line goes where the recording goes, unpacked too.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec

from lobproof import documents
from lobproof.documents import Count
from lobproof.errors import InputError

SIDE_CAR = "simulation.json"
_HIGHEST = 8
"""Folders to climb from a file to its side-car (a lake's tables lie six deep)."""


Limit = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
_MARK = b'"lobproof":{"provenance":"synthetic"'


def marked(line: bytes, snapshot_limit: int) -> bytes:
    """A recording's first line that says what it is: one more member, which other readers skip."""
    begin = line.index(b"{") + 1
    mark = b'%b,"snapshot_limit":%d},' % (_MARK, snapshot_limit)
    return line[:begin] + mark + line[begin:]


def read_mark(line: bytes) -> dict[str, Any] | None:
    """What a recording's line says of its simulation; None of any other line."""
    if _MARK not in line:
        return None
    try:
        said: dict[str, Any] = documents.parse(line[line.index(b"{") :], _Marked)["lobproof"]
    except ValueError:
        return {}
    return said


class _Said(msgspec.Struct):
    snapshot_limit: Limit | None = None


class _Marked(msgspec.Struct):
    lobproof: _Said


class _File(msgspec.Struct):
    bytes: Count
    sha256: str


class _Shape(msgspec.Struct):
    """What every reader of a side-car counts on; there is more."""

    files: dict[str, _File]
    counts: dict[str, Count]
    snapshot_limit: Limit | None = None


def describe_files(root: Path, files: list[Path]) -> dict[str, dict[str, Any]]:
    """Bytes and SHA-256 of each file, by its path below ``root``."""
    described = {}
    for path in sorted(files):
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        described[path.relative_to(root).as_posix()] = {
            "bytes": path.stat().st_size,
            "sha256": digest,
        }
    return described


def write_side_car(root: Path, document: dict[str, Any]) -> None:
    """Write the side-car of the folder ``root``."""
    text = json.dumps(document, indent=2, sort_keys=True)
    (root / SIDE_CAR).write_text(text + "\n", encoding="utf-8")


def read_side_car(root: Path) -> dict[str, Any] | None:
    """The side-car in the folder ``root``; None where there is none.

    Raises
    ------
    InputError
        When there is one that is no description of a simulation.
    """
    path = root / SIDE_CAR
    if not path.exists():
        return None
    try:
        return documents.parse(documents.read_bytes(path), _Shape)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path} is damaged, it does not list the files that were simulated: {error}",
            hint="simulate again; delete the file only if the data beside it was not simulated",
        ) from error


def simulation_of(path: Path) -> dict[str, Any] | None:
    """The side-car that lists ``path`` (a file, or a folder of simulated files); None if none does.

    Raises
    ------
    InputError
        When the side-car beside it cannot be read: simulated data must not pass for real.
    """
    path = Path(path).resolve()
    folder = path if path.is_dir() else path.parent
    for root in [folder, *list(folder.parents)[: _HIGHEST - 1]]:
        document = read_side_car(root)
        if document is not None:
            below = path.relative_to(root).as_posix()
            prefix = "" if below == "." else below + "/"
            listed = document["files"]
            if below in listed or any(name.startswith(prefix) for name in listed):
                return document
    return None
