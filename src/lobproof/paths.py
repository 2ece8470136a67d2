"""Paths as callers give them: text, or any object that stands for a path."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lobproof.errors import UsageError

AnyPath = str | os.PathLike[str]
"""What every public function takes where it asks for a file or a folder."""


def as_path(given: AnyPath) -> Path:
    """The path that is given.

    Raises
    ------
    UsageError
        For the empty text, which ``Path`` takes for the current folder.
    """
    if given == "":
        raise UsageError("a path is empty", hint="name a file or a folder; '.' is the current one")
    return Path(given)


def as_paths(given: AnyPath | Iterable[AnyPath]) -> list[Path]:
    """The paths that are given; one alone is one, and not its letters."""
    if isinstance(given, str | os.PathLike):
        return [as_path(given)]
    return [as_path(one) for one in given]
