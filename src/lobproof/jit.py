"""How kernels are compiled: ``@kernel``, with a disk cache that follows the sources; ``@inlined``.

numba invalidates a cached function when *its own file* changes, not when a function that it
calls in another file does, or a constant that it froze: a stale caller is silently wrong. So the
cache folder is named by a hash over every module of kernels and every module that one takes
anything from; any change to any of them starts a new folder. By rule, kernels live only in modules
whose name ends in ``kernels``, and they import nothing beyond :data:`CONSTANTS`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import event
from numba.core.types.misc import unliteral

F = TypeVar("F", bound=Callable[..., object])

_PACKAGE = Path(__file__).resolve().parent
CONSTANTS = (
    "jit.py",
    "schema/__init__.py",
    "schema/batch.py",
    "schema/codes.py",
    "schema/minutes.py",
    "schema/order.py",
    "schema/plain.py",
    "schema/records.py",
    "schema/times.py",
)
"""What kernels take constants from, beside other modules of kernels; relative to the package."""
LONGEST_WAIT_S = 300.0
"""For a kernel that another process compiles; one that was stopped in it would never end."""


@cache
def cache_folder() -> Path:
    """Folder of compiled kernels, named by the sources' hash."""
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__}".encode())
    kernels = (path.relative_to(_PACKAGE).as_posix() for path in _PACKAGE.rglob("*kernels.py"))
    for name in sorted([*CONSTANTS, *kernels]):
        source = (_PACKAGE / name).read_bytes()
        digest.update(f"\0{name}\0{len(source)}\0".encode() + source)
    base = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(base) / "lobproof" if base else cache_home()
    return root / "kernels" / digest.hexdigest()[:16]


def cache_home() -> Path:
    """Folder of what is kept from run to run, and can be made again."""
    ours = os.environ.get("LOBPROOF_CACHE_DIR")
    named = Path(ours) if ours else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "lobproof"
    return named.expanduser()


def kernel(function: F) -> F:
    """Compile ``function`` when first called, without the GIL, cached on disk.

    ``kernel(f).py_func`` is the plain Python twin; with ``NUMBA_DISABLE_JIT=1`` it is what runs.

    It is compiled apart for kernels that call it: those need none of the code that turns Python's
    objects into arguments, which takes longer to compile than many a kernel. Nor is it compiled
    anew for each constant that it is called with, as numba would: see `specialized`.
    """
    return _kernel(function, unliteral, counted=False)


def allocating(function: F) -> F:
    """A kernel that makes arrays of its own, or is given one by a kernel that it calls.

    It counts references to arrays. The other kernels do not: theirs belong to whoever called them
    from Python, and outlive the call. Two atomic counts for each array that is passed on or taken
    out of a tuple cost more than the work on a row: they were two thirds of a replay.
    """
    return _kernel(function, unliteral, counted=True)


def specialized(function: F) -> F:
    """A kernel that is compiled anew for each constant that a kernel calls it with.

    For what runs at each message or level and does less where it knows its side or its depth.
    """
    return _kernel(function, lambda kind: kind, counted=False)


def _kernel(function: F, argument: Callable[[Any], Any], *, counted: bool) -> F:
    """A kernel; ``argument`` gives the type of an argument in a call by another kernel.

    ``counted``: whether it counts references to arrays; one that does not can make none.
    """
    from_python: Any = _compiled(function, cache_folder(), _nrt=counted)
    if from_python is function:  # as plain Python
        return function
    bare = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": counted}
    from_kernels: Any = _compiled(function, cache_folder() / "called", **bare)

    def template(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        named = {name: argument(kind) for name, kind in kws.items()}
        return from_kernels.get_call_template(tuple(map(argument, args)), named)

    # what numba asks the dispatcher for where a kernel calls it
    from_python.get_call_template, from_python.get_overload = template, from_kernels.get_overload
    return cast(F, from_python)


def _compiled(function: Callable[..., object], folder: Path, **flags: bool) -> object:
    """A dispatcher of numba's; its cache is in ``folder``, which knows nothing of the flags."""
    previous = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        compiled: Any = numba.njit(function, nogil=True, cache=True, **flags)
    except RuntimeError:  # no folder to write to: compile afresh in each process
        return numba.njit(function, nogil=True, **flags)
    else:
        if compiled is not function:
            compiled._cache = _Cache(compiled._cache)
        return compiled
    finally:
        numba.config.CACHE_DIR = previous


class _Cache:
    """numba's cache of a kernel, on a disk that may be full, shared by processes.

    A kernel that another process compiles is waited for, and taken from the cache then. numba asks
    for it under its lock of all compilations, so one thread at a time is in here; and a kernel that
    is locked asks only for those that it calls: nobody waits in a circle.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self._lock: int | None = None  # descriptor of its file while it is compiled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, sig: object, target_context: object) -> object:
        """What is kept, or None: then it is to be compiled, and is locked until it is saved."""
        found = self._cache.load_overload(sig, target_context)
        if found is not None or self._lock is not None:
            return found
        with suppress(OSError):  # no place for a lock: it is compiled here, too
            self._lock = self._locked()
            found = self._cache.load_overload(sig, target_context)
        if found is not None:
            self._unlock()
        return found

    def save_overload(self, sig: object, data: object) -> None:
        """Keep what was compiled; where the disk refuses it, the next process compiles it again.

        Else the error would come out of the first call of a kernel, and whoever reads a file with
        one would take the file for damaged.
        """
        with suppress(OSError):
            self._cache.save_overload(sig, data)
        self._unlock()

    def _locked(self) -> int:
        folder = Path(self._cache.cache_path)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self._cache._impl.filename_base}.lock"
        lock = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _free(lock):
            with event.trigger_event("numba:compile"):
                end = time.monotonic() + LONGEST_WAIT_S
                while not _free(lock) and time.monotonic() < end:
                    time.sleep(0.02)
        return lock

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _free(lock: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def inlined(function: F) -> F:
    """A kernel that is compiled into the one that calls it.

    For what is called once a message with all columns: passing them costs more than its work. It
    has no cache of its own: only kernels call it.
    """
    return cast(F, numba.njit(function, nogil=True, inline="always"))


@contextmanager
def compiling(told: Callable[[int, bool], None]) -> Iterator[None]:
    """Call ``told`` when the compilation of a kernel begins, and when it ends.

    With the number of kernels begun so far, and whether some are under way: a kernel compiles
    those that it calls. What comes from the cache, or runs as plain Python, is not told.
    """
    with event.install_listener("numba:compile", _Compilations(told)):
        yield


@event.Listener.register
class _Compilations:
    """numba's events of one kind, counted."""

    def __init__(self, told: Callable[[int, bool], None]) -> None:
        self._told = told
        self._begun = self._under_way = 0

    def notify(self, one: Any) -> None:
        self._begun += one.is_start
        self._under_way += 1 if one.is_start else -1
        self._told(self._begun, self._under_way > 0)
