"""What says that files were simulated: a side-car that lists them, and each recording's first line.

The side-car is ``simulation.json``; the line goes where the recording goes, unpacked too.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lobproof.errors import InputError

SIDE_CAR = "simulation.json"
_HIGHEST = 8
"""Folders to climb from a file to its side-car (a lake's tables lie six deep)."""


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
        said = json.loads(line[line.index(b"{") :])["lobproof"]
    except (ValueError, KeyError, TypeError):
        return {}
    return said if isinstance(said, dict) else {}


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
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise _damaged(path) from error
    if not isinstance(document, dict) or not isinstance(document.get("files"), dict):
        raise _damaged(path)
    return document


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


def _damaged(path: Path) -> InputError:
    return InputError(
        f"{path} is damaged: it does not list the files that were simulated",
        hint="simulate again; delete the file only if the data beside it was not simulated",
    )
