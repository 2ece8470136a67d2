"""Why a line cannot be read, in words that a screen can bear; what any line has to be."""

from __future__ import annotations

import msgspec

from lobproof.documents import QUOTED, value_of
from lobproof.errors import shown

_SHOWN = 200
JOURNALS_OWN = ("invalid", "control")
"""Streams of a journal that no market has."""


class Problem(Exception):
    """Why a line is invalid: a short reason to count by, and the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = shown(detail, _SHOWN)
        super().__init__(reason, self.detail)


def quoted(text: str | None) -> str:
    """A text from a line, cut, between quotes."""
    return "None" if text is None else f"'{shown(text, QUOTED)}'"


def check_json(body: bytes) -> object:
    """The document, or ``Problem("json", …)``; so is one in which a key stands twice."""
    try:
        document: object = msgspec.json.decode(body)
        if isinstance(document, dict | list):
            value_of(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Problem("json", f"{type(error).__name__}: {error}") from error
    return document


def check_stream(name: str) -> None:
    """A journal holds a name as it is: it needs no escape, and is none of the journal's own."""
    if not name.isprintable() or '"' in name or "\\" in name or name in JOURNALS_OWN:
        raise Problem("stream", f"{quoted(name)} is no name of a market's stream")
