"""Paths as callers give them, folders that appear whole, and what a disk refuses."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from typing import Any

from lobproof.errors import NO_ROOM, UsageError, place_error, system_error

AnyPath = str | os.PathLike[str]
"""What every public function takes where it asks for a file or a folder."""


def as_path(given: AnyPath) -> Path:
    """The path that is given.

    Raises
    ------
    UsageError
        For the empty text, which ``Path`` takes for the current folder, and for what is no path.
    """
    if given == "":
        raise UsageError("a path is empty", hint="name a file or a folder; '.' is the current one")
    if not isinstance(given, str | os.PathLike):
        raise UsageError(f"{_named(given)} is no path", hint="give a text or a pathlib.Path")
    return Path(given)


def as_paths(given: AnyPath | Iterable[AnyPath]) -> list[Path]:
    """The paths that are given; one alone is one, and not its letters."""
    if isinstance(given, str | os.PathLike):
        return [as_path(given)]
    if not isinstance(given, Iterable):
        raise UsageError(
            f"{_named(given)} is no path", hint="give a text or a pathlib.Path, or several"
        )
    return [as_path(one) for one in given]


def _named(given: object) -> str:
    """What was given instead of a path: whatever is longer than a number by its type alone."""
    if given is None or isinstance(given, int | float):
        return repr(given)
    return f"an object of the type {type(given).__name__}"


@contextmanager
def placing(out: Path) -> Iterator[None]:
    """Turn the operating system's errors into ours; one that names no file names ``out``."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(out)
        raise place_error(error) from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make the disk's errors name the file: those of writing to it do not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Make a full disk name ``out``; other errors may come from what is read meanwhile."""
    try:
        yield
    except OSError as error:
        if error.filename is None and system_error(error) in NO_ROOM:
            error.filename = str(out)
        raise


@contextmanager
def whole_folder(out: Path, doing: str) -> Iterator[Path]:
    """A hidden folder beside ``out`` to fill; it takes its place in the end, or is gone.

    What was killed while ``doing`` the same is cleared away. A full disk names ``out``.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    work = _new_work(out, doing)
    replaced = work.with_suffix(".replaced")
    try:
        with writing(out), _held(work):
            yield work
            if out.exists():
                out.rename(replaced)
            try:
                work.rename(out)
            except BaseException:
                if replaced.exists():
                    replaced.rename(out)
                raise
    finally:
        rmtree(work, ignore_errors=True)
        if replaced.is_symlink():
            replaced.unlink()
        rmtree(replaced, ignore_errors=True)


@contextmanager
def scratch_folder(folder: Path, doing: str) -> Iterator[Path]:
    """A hidden folder in ``folder``, which is there, to fill; it is gone in the end.

    What was killed while ``doing`` the same is cleared away.
    """
    work = _new_work(folder / "lobproof", doing)
    try:
        with _held(work):
            yield work
    finally:
        rmtree(work, ignore_errors=True)


def _new_work(out: Path, doing: str) -> Path:
    """A new hidden folder beside ``out``, whose errors name that; killed ones are cleared away."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.[0-9]+-[0-9a-f]+\.{doing}")
    for left in out.parent.iterdir():
        if ours.fullmatch(left.name):
            with suppress(OSError), _held(left):
                rmtree(left)
    work = out.parent / f".{out.name}.{os.getpid()}-{token_hex(4)}.{doing}"
    try:
        work.mkdir()
    except OSError as error:
        error.filename = str(out)  # which is the name that was given
        raise
    return work


def drop_writer(writer: Any) -> None:
    """Close a Parquet writer whose file nobody wants: a full disk may refuse its last bytes."""
    with suppress(OSError):
        writer.close()
    writer.is_open = False  # or it tries again when it is collected
    with suppress(OSError):
        writer.close()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder for oneself; OSError where another process does. Freed even by ``kill -9``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
