"""``session.json``: the document of a capture, from its first second on.

It stands in the capture's folder, beside a folder for each symbol with its journal, and tells what
no journal does: whether the venue is a local one that plays synthetic data, how many levels a side
its snapshots were asked for, and how the session ended. While it runs, and where it was killed, it
says ``running``: which of the two, the lock beside it tells, which a session holds for as long as
it lives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from lobproof import documents
from lobproof.documents import Count
from lobproof.errors import InputError, UsageError
from lobproof.files import lock_holder, locked, write_whole
from lobproof.sources.binance.journal import JournalFile, journals_in

SESSION = "session.json"
_LOCK = ".capture.lock"
PROVENANCE = "X-Lobproof"
"""The header in which a local exchange says where its data come from."""
SESSION_FORMAT: Final = "lobproof capture"
SESSION_VERSION: Final = 1
_HINT = "it is written by `lobproof capture`: copy the capture's folder anew from where it is whole"


class SessionDocument(msgspec.Struct, kw_only=True):
    """What every reader of the document counts on; there may be more.

    Attributes
    ----------
    state
        ``killed`` is never written: a reader takes for it what says ``running`` and does not run.
    provenance
        ``real`` of the venue; of a local exchange ``synthetic``, or ``derived`` where it plays a
        recording.
    market
        ``spot``, ``usdm`` or ``coinm``.
    snapshot_limit
        Levels a side that snapshots were asked for.
    regime
        What the user called the market's state.
    encrypted_to
        The recipients that its journals are encrypted to; none: they are plain.
    figures
        What was captured: set at the end.
    """

    format: Literal["lobproof capture"] = SESSION_FORMAT
    format_version: Literal[1] = SESSION_VERSION
    state: Literal["running", "killed", "ended", "failed"]
    provenance: Literal["real", "derived", "synthetic"]
    market: Literal["spot", "usdm", "coinm"]
    symbols: list[str]
    snapshot_limit: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
    sockets: str
    rest: str
    regime: str = ""
    encrypted_to: list[str] = []
    started_ns: int
    ended_ns: int = 0
    why: str = ""
    figures: dict[str, Any] = {}
    purged_ns: int = 0
    """When its journals were deleted by `lobproof golden purge`; 0: they were not."""


class RegimeFigures(msgspec.Struct):
    """What a symbol's minutes say of its market."""

    detected: str


class CapturedFigures(msgspec.Struct):
    """What was captured of a symbol: messages and SBE frames by kind, gaps by their ids' stream."""

    messages: dict[str, Count]
    gaps: dict[str, Count]
    resets: Count
    snapshots: Count
    regime: RegimeFigures
    sbe: dict[str, Count] = {}


class LostFigures(msgspec.Struct):
    """Lines of a journal that could not be held."""

    lines: Count


class SessionFigures(msgspec.Struct):
    """The figures of a session that has ended, as far as others read them.

    ``journals`` and ``lost`` are by the journal's folder below the session's.
    """

    symbols: dict[str, CapturedFigures]
    journals: dict[str, list[JournalFile]]
    lost: dict[str, LostFigures]


def figures_of(document: SessionDocument) -> SessionFigures | None:
    """The figures of a session; None where it has not ended. ValueError where they are none."""
    if not document.figures:
        if document.state == "ended":
            raise ValueError("it has no figures, though the session has ended")
        return None
    return documents.as_shape(document.figures, SessionFigures)


@contextmanager
def capturing(folder: Path) -> Iterator[None]:
    """Hold a folder as the one that a capture writes to, for as long as it does.

    Raises
    ------
    UsageError
        If another capture holds it.
    PlaceError
        If something else is in the lock's place.
    """

    def refuse(holder: str) -> None:
        raise _held_by(holder, folder)

    with locked(folder / _LOCK, mode=0o666, waiting=refuse):
        yield


def check_free(folder: Path) -> None:
    """Whether a capture may make this folder.

    Raises
    ------
    UsageError
        If something is there: a capture that runs, another one, or anything else.
    """
    if not folder.exists():
        return
    if (holder := lock_holder(folder / _LOCK)) is not None:
        raise _held_by(holder, folder)
    what = "is there already"
    if (folder / SESSION).is_file():
        what = "holds a capture already"
    raise UsageError(f"{folder} {what}", hint="give each capture a folder of its own")


def _held_by(holder: str, folder: Path) -> UsageError:
    return UsageError(
        f"a capture runs in {folder} (process {holder})",
        hint="give each capture a folder of its own",
    )


def write_session(folder: Path, document: SessionDocument) -> None:
    """Write the document, whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=1)
    write_whole(folder / SESSION, text + b"\n")


def captured_journals(folder: Path) -> list[Path]:
    """The journals of a symbol's folder of a capture, or of a capture of one symbol; else none.

    Raises
    ------
    InputError
        If the capture is of several symbols, or its document is damaged.
    """
    if not folder.is_dir():
        return []
    document = session_of(folder / "SYMBOL" / "journal" / "file")
    if document is not None:
        if len(document.symbols) > 1:
            named = ", ".join(str(folder / symbol) for symbol in document.symbols[:4])
            more = ", …" if len(document.symbols) > 4 else ""
            raise InputError(
                f"{folder} is a capture of {len(document.symbols)} symbols",
                hint=f"name the folder of one: {named}{more}",
            )
        folder /= document.symbols[0]
    elif not (folder / "journal").is_dir() or session_of(folder / "journal" / "file") is None:
        return []
    found = journals_in(folder / "journal")
    if not found:
        raise InputError(f"{folder} holds no journal", hint="nothing of it was captured")
    return found


def session_of(journal: Path) -> SessionDocument | None:
    """The document of the capture that a journal is of; None where there is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    folder = journal.absolute().parent.parent.parent
    return read_session(folder) if (folder / SESSION).is_file() else None


def read_session(folder: Path) -> SessionDocument:
    """The document of a capture's folder, whose ``state`` tells one that runs from one killed.

    Raises
    ------
    InputError
        If it is damaged.
    OSError
        If it cannot be read.
    """
    document = _read(folder)
    if document.state == "running" and lock_holder(folder / _LOCK) is None:
        document = _read(folder)  # it may have ended in between
        if document.state == "running":
            document.state = "killed"
    return document


def _read(folder: Path) -> SessionDocument:
    path = folder / SESSION
    found = documents.read(path, error=InputError, hint=_HINT)
    try:
        return documents.as_shape(found, SessionDocument)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}", hint=_HINT) from error
