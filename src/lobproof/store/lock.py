"""One writer per symbol: an advisory lock on a file, freed even by ``kill -9``."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lobproof.errors import StoreError
from lobproof.store.layout import LOCKS, check_name, ensure_store, make_folder

_held: dict[Path, int] = {}
"""Locks that this process holds, with the thread that took each."""
_guard = threading.Lock()


def _path(root: Path, exchange: str, symbol: str) -> Path:
    return root.resolve() / LOCKS / f"{exchange}.{symbol}.lock"


def is_locked_here(root: Path, exchange: str, symbol: str) -> bool:
    """Whether this process holds the symbol's lock."""
    with _guard:
        return _path(root, exchange, symbol) in _held


def require_lock(root: Path, exchange: str, symbol: str) -> None:
    """Raise `StoreError` unless this process holds the symbol's lock."""
    if not is_locked_here(root, exchange, symbol):
        raise StoreError(
            f"Writing {exchange} {symbol} needs its lock, which this process does not hold.",
            hint="Write and commit inside `with symbol_lock(root, exchange, symbol):`.",
        )


@contextmanager
def symbol_lock(
    root: Path,
    exchange: str,
    symbol: str,
    *,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the write lock of one symbol of a store; a second writer waits.

    The folder becomes a store if it is none. The lock spans writing and committing: what lies in
    a partition and is in no commit belongs to its holder.

    Parameters
    ----------
    root
        The store.
    exchange, symbol
        The instrument.
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
    path = _path(root, exchange, symbol)
    with _guard:
        if _held.get(path) == threading.get_ident():
            raise StoreError(
                f"This thread holds the lock of {exchange} {symbol} already.",
                hint="Take the lock once, around everything that writes the symbol.",
            )
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                waiting(
                    f"Waiting for process {holder or '?'}, which is writing {exchange} {symbol} "
                    f"to {root}."
                )
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        with _guard:
            _held[path] = threading.get_ident()
        try:
            yield
        finally:
            with _guard:
                del _held[path]
    finally:
        os.close(descriptor)
