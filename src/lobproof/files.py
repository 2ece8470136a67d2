"""Files of ours: how they are made, locked and found.

Whoever else may write to a folder could set a link where we are about to write, lock or delete. So
below a folder of ours no link is followed; what is being written has a name that nobody can guess
and did not exist; and a file that stays open for writing has to be a plain one, under one name.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from secrets import token_hex

from lobproof.errors import InputError, PlaceError, visible
from lobproof.paths import naming

TEMPORARY = ".tmp-"
"""Start of the name of a file that is being written. Readers of folders skip dot files."""

_LONGEST = 180
"""Bytes of a name that a temporary one begins with."""
_SIGNED = re.compile(rb"[0-9]{0,20}\n?")
"""What a lock holds: nothing, or the process that has it alone."""


def below(root: Path, relative: str | PurePath) -> Path:
    """``root / relative``, which lies below ``root`` and is reached through no link.

    ``root`` itself may be one, and what is named need not exist.

    Raises
    ------
    PlaceError
        If ``relative`` is absolute, climbs, or is or leads through a link.
    """
    pure = PurePath(relative)
    if pure.is_absolute() or ".." in pure.parts or "\0" in str(relative):
        raise PlaceError(
            f"{str(relative)!a} does not name a place below {root}",
            hint="it was changed; take the folder from where it came from again",
        )
    path = root
    for name in pure.parts:
        path = path / name
        if path.is_symlink():
            raise _link(path)
    return path


def walk(root: Path, relative: str) -> Iterator[Path]:
    """Every plain file below ``root / relative`` that does not begin with a point.

    Raises
    ------
    PlaceError
        At the first link.
    """
    folders = [below(root, relative)]
    while folders:
        folder = folders.pop()
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    raise _link(Path(entry.path))
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif entry.is_file():
                    yield Path(entry.path)


def make_folder(root: Path, relative: str | PurePath, mode: int = 0o777) -> Path:
    """Create ``root/relative`` with its parents, each synced to its parent; return it.

    Raises
    ------
    PlaceError
        As `below`.
    """
    below(root, relative)
    folder = root
    for name in PurePath(relative).parts:
        parent, folder = folder, folder / name
        if not folder.is_dir():
            folder.mkdir(mode=mode, exist_ok=True)
            sync_folder(parent)
    return folder


def new_file(path: Path, mode: int = 0o666) -> Path:
    """Make an empty file of a random name beside ``path``, to be filled and to take its place."""
    start = os.fsdecode(os.fsencode(path.name)[:_LONGEST])
    temporary = path.with_name(f"{TEMPORARY}{start}.{token_hex(8)}")
    with _for(path):
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
    return temporary


def drop_unfinished(path: Path) -> None:
    """Delete what killed runs left of files that were to replace ``path``; nobody writes it now."""
    ours = re.compile(rf"{re.escape(TEMPORARY + path.name)}\.[0-9a-f]{{16}}")
    for left in path.parent.iterdir():
        if ours.fullmatch(left.name) and not left.is_dir():
            left.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Whether a file may take this place: nothing, a plain file or a folder is there, or a link.

    A folder is refused by the operating system.

    Raises
    ------
    PlaceError
        If it is a device, a pipe or a socket, or leads to one.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing, or a link that leads nowhere
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise PlaceError(
            f"{path} is a device, a pipe or a socket, and no file takes its place",
            hint="name a file to be written; show it elsewhere afterwards",
        )


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """A new file to fill, which takes the place of ``path`` durably, or is gone after an error.

    A link at ``path`` is replaced, and not followed. The disk's errors name ``path``; PlaceError as
    `check_place`.
    """
    temporary = new_file(path, mode)
    try:
        with _for(path):
            yield temporary
            sync_file(temporary)
            check_place(path)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a small file so that it appears whole or not at all."""
    with replacing(path, mode) as temporary, naming(path):
        temporary.write_bytes(data)


def open_ours(path: Path, mode: int = 0o600) -> int:
    """A descriptor to read and write a file of ours that stays; it is made if it is missing.

    Raises
    ------
    PlaceError
        If it is a link, no plain file, or has a second name: it may be somebody else's.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise _link(path) from error
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        what = "has another name too" if stat.S_ISREG(found.st_mode) else "is no plain file"
        raise PlaceError(
            f"{path} {what}: it is not written to",
            hint="see what it is; put a copy in its place, or delete it",
        )
    return descriptor


@contextmanager
def locked(
    path: Path,
    *,
    shared: bool = False,
    mode: int = 0o600,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """An advisory lock on a file that stays there, freed even by ``kill -9``.

    It names the process that holds it alone; who has to wait is told once which that is.

    Raises
    ------
    PlaceError
        As `open_ours`, and where the file is no lock: nothing is written to it then.
    """
    descriptor = open_ours(path, mode)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        held = os.pread(descriptor, 64, 0)
        if not _SIGNED.fullmatch(held):
            raise PlaceError(
                f"{path} is no lock: it holds something else",
                hint="see what it is; the command needs its place",
            )
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting(held.decode().strip() or "?")
            fcntl.flock(descriptor, kind)
        if not shared:
            with suppress(OSError):  # a full disk; who waits is then not told for whom
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def lock_holder(path: Path) -> str | None:
    """Who holds a lock alone, as it has signed; None where nobody does, or there is no such file.

    Raises
    ------
    PlaceError
        If it is a link.
    OSError
        If it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise _link(path) from error
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return visible(os.pread(descriptor, 64, 0).decode("utf-8", "replace").strip()) or "?"
    finally:
        os.close(descriptor)
    return None


def sync_file(path: Path) -> None:
    """Wait until the file's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the folder's entries are on the disk."""
    sync_file(path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashedFiles:
    """Files that are hashed now and read afterwards.

    Attributes
    ----------
    sums
        Their SHA-256, hexadecimal, in the order of the paths.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._seen = {path: _version(path) for path in paths}
        with ThreadPoolExecutor(2) as pool:
            self.sums = dict(zip(self._seen, pool.map(file_sha256, self._seen), strict=True))

    def check(self) -> None:
        """Raise `InputError` where one was changed since, by its size, its time or its inode."""
        for path, seen in self._seen.items():
            try:
                same = _version(path) == seen
            except FileNotFoundError:
                same = False
            if not same:
                raise InputError(
                    f"{path} was changed while it was read: nothing that was made of it is sealed",
                    hint="let nobody write there meanwhile; then run the same command again",
                )


def _version(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


@contextmanager
def _for(path: Path) -> Iterator[None]:
    """Make an error of the temporary file's speak of the one that was asked for."""
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if error.filename else None
        if named is not None and named.name.startswith(TEMPORARY) and named.parent == path.parent:
            error.filename, error.filename2 = str(path), None
        raise


def _link(path: Path) -> PlaceError:
    return PlaceError(
        f"{path} is a link, and none is followed there",
        hint="put what it leads to in its place, or delete it",
    )
