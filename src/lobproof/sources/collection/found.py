"""Captures and golden samples below folders: each by its document, also where that is damaged."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lobproof.errors import LobproofError, UsageError, system_text
from lobproof.sources.binance.journal import journals_in
from lobproof.sources.captured import (
    SESSION,
    SessionDocument,
    SessionFigures,
    figures_of,
    read_session,
)
from lobproof.sources.golden import DOCUMENT, JOURNAL_FOLDER, GoldenSample

IMPORTED, PURGED = "imported", "purged"
"""States of a golden sample, and of a capture whose journals were deleted."""


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A capture. ``figures`` is None where it runs or was killed."""

    folder: Path
    document: SessionDocument
    figures: SessionFigures | None

    def journals(self, name: str) -> list[Path]:
        """The files of the journal ``name`` that are there, in order of time."""
        return journals_in(self.folder / name)

    @property
    def state(self) -> str:
        """``running``, ``killed``, ``ended``, ``failed`` or ``purged``."""
        return PURGED if self.document.purged_ns else self.document.state

    @property
    def names(self) -> list[str]:
        """The journals that a session can have, by their folders: of symbols, and of no symbol."""
        return [*(f"{symbol}/{JOURNAL_FOLDER}" for symbol in self.document.symbols), "session"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that cannot be read, a folder that is not looked into, and why."""

    folder: Path
    why: str


Found = FoundSession | GoldenSample | Unreadable


def find(folders: Iterable[Path]) -> Iterator[Found]:
    """All that stands in the folders and below them, each once, in the order of the paths.

    No link below them is followed: it is told as `Unreadable`. So is what cannot be read.

    Raises
    ------
    UsageError
        If one is no folder.
    """
    seen: set[Path] = set()
    for root in folders:
        if not root.is_dir():
            raise UsageError(
                f"{root} is no folder" if root.exists() else f"{root} does not exist",
                hint="name folders of captures and golden samples, or folders that hold such",
            )
        refused: list[Unreadable] = []

        def refuse(error: OSError, into: list[Unreadable] = refused) -> None:
            into.append(Unreadable(Path(str(error.filename)), system_text(error)))

        for name, below, files in os.walk(root, onerror=refuse):
            yield from refused
            refused.clear()
            folder = Path(name)
            links = [one for one in below if (folder / one).is_symlink()]
            below[:] = sorted(one for one in set(below) - set(links) if one != JOURNAL_FOLDER)
            for link in sorted(links):
                yield Unreadable(folder / link, "a link, and none is followed")
            if folder.resolve() in seen:
                continue
            seen.add(folder.resolve())
            for document in (SESSION, DOCUMENT):
                if document in files:
                    yield read(folder, document)
        yield from refused


def read(folder: Path, document: str) -> Found:
    """What a document in a folder, ``session.json`` or ``golden.json``, describes."""
    try:
        if (folder / document).is_symlink():
            return Unreadable(folder, f"{document} is a link, and none is followed")
        if document == DOCUMENT:
            return GoldenSample.load(folder)
        session = read_session(folder)
        for symbol in session.symbols:
            if not symbol or "/" in symbol or symbol.startswith("."):
                return Unreadable(folder, f"{SESSION} names {symbol!a} as a symbol")
        return FoundSession(folder, session, figures_of(session))
    except LobproofError as error:
        return Unreadable(folder, error.message)
    except OSError as error:
        return Unreadable(folder, f"{document}: {system_text(error)}")
    except ValueError as error:
        return Unreadable(folder, f"{document} is damaged: {error}")
