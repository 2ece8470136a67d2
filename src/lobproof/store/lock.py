"""One writer per symbol, or per day of it: an advisory file lock, freed even by ``kill -9``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lobproof.errors import StoreError
from lobproof.files import locked, make_folder
from lobproof.store.layout import LOCKS, check_name, ensure_store

_held: dict[Path, int] = {}
"""Locks that this process holds, with the thread that took each."""
_guard = threading.Lock()


def _path(root: Path, exchange: str, symbol: str, dt: str | None = None) -> Path:
    day = "" if dt is None else f".{dt}"
    return root.resolve() / LOCKS / f"{exchange}.{symbol}{day}.lock"


def is_locked_here(root: Path, exchange: str, symbol: str, dt: str | None = None) -> bool:
    """Whether this process holds the lock of the symbol, or of that day of it."""
    paths = {_path(root, exchange, symbol), _path(root, exchange, symbol, dt)}
    with _guard:
        return not paths.isdisjoint(_held)


def require_lock(root: Path, exchange: str, symbol: str, dt: str) -> None:
    """Raise `StoreError` unless this process holds the lock of the day or of the symbol."""
    if not is_locked_here(root, exchange, symbol, dt):
        raise StoreError(
            f"Writing {exchange} {symbol} {dt} needs its lock, which this process does not hold.",
            hint="Write and commit inside `with symbol_lock(root, exchange, symbol):`.",
        )


@contextmanager
def symbol_lock(
    root: Path,
    exchange: str,
    symbol: str,
    *,
    dt: str | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the write lock of one symbol of a store, or of one day of it; a second writer waits.

    The folder becomes a store if it is none. The lock spans writing and committing: what lies in
    a partition and is in no commit belongs to its holder. Days of a symbol can be held by several
    writers at once, its symbol then by none.

    Parameters
    ----------
    root
        The store.
    exchange, symbol
        The instrument.
    dt
        The one day, YYYY-MM-DD; all of them without.
    waiting
        Called once with a sentence if another process or thread holds the lock.

    Raises
    ------
    StoreError
        If this thread holds the lock already, or ``root`` cannot be a store.
    """
    check_name(exchange)
    check_name(symbol)
    ensure_store(root)
    make_folder(root, LOCKS)
    what = " ".join((exchange, symbol, *([] if dt is None else [dt])))
    path = _path(root, exchange, symbol, dt)
    with _guard:
        if _held.get(path) == threading.get_ident():
            raise StoreError(
                f"This thread holds the lock of {what} already.",
                hint="Take the lock once, around everything that writes the symbol.",
            )
    with ExitStack() as stack:
        if dt is not None:
            stack.enter_context(_flocked(_path(root, exchange, symbol), root, what, True, waiting))
        stack.enter_context(_flocked(path, root, what, False, waiting))
        with _guard:
            _held[path] = threading.get_ident()
        try:
            yield
        finally:
            with _guard:
                del _held[path]


@contextmanager
def commit_lock(root: Path) -> Iterator[None]:
    """Hold the lock of a store's commits: one committer at a time, the others wait."""
    with _flocked(root.resolve() / LOCKS / "commit.lock", root, "a commit", False, None):
        yield


@contextmanager
def _flocked(
    path: Path, root: Path, what: str, shared: bool, waiting: Callable[[str], None] | None
) -> Iterator[None]:
    """Hold the lock file, alone or with others."""

    def told(holder: str) -> None:
        if waiting is not None:
            waiting(f"Waiting for process {holder}, which is writing {what} to {root}.")

    with locked(path, shared=shared, mode=0o666, waiting=told):
        yield
