"""How fast a disk writes and reads, without the system's cache between."""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_BLOCK = 4 << 20
_LONGEST_S = 8.0
"""A slow disk is judged by what it did in so long, each way."""
_DIRECT = getattr(os, "O_DIRECT", 0)  # of Linux


@dataclass(frozen=True, slots=True)
class Disk:
    """Rates of the folder's disk, and its room.

    ``uncached``: what was read did not come from the system's memory. A disk of a cloud or of a
    virtual machine may have a cache of its own, which nobody can turn off.
    """

    bytes: int
    write_bytes_per_second: float
    read_bytes_per_second: float
    uncached: bool
    method: str
    total_bytes: int
    free_bytes: int


def measure_disk(folder: Path, size: int) -> Disk:
    """Write up to ``size`` bytes that do not compress to a file of ``folder``, and read them.

    Raises
    ------
    OSError
        If the disk refuses it.
    """
    path = folder / "disk.bin"
    usage = shutil.disk_usage(folder)
    block = mmap.mmap(-1, _BLOCK)  # begins at a page, as direct reads and writes have to
    try:
        block[:] = np.random.default_rng(7).bytes(_BLOCK)
        written, writing, direct_write = _write(path, block, size)
        read, reading, direct_read = _read(path, block)
    finally:
        block.close()
        path.unlink(missing_ok=True)
    how = {True: "past the cache", False: "through the cache"}
    return Disk(
        bytes=written,
        write_bytes_per_second=written / writing,
        read_bytes_per_second=read / reading,
        uncached=direct_read,
        method=f"written {how[direct_write]}, fsync; read {how[direct_read]}",
        total_bytes=usage.total,
        free_bytes=usage.free,
    )


def _open(path: Path, flags: int) -> tuple[int, bool]:
    """A descriptor, and whether it goes past the cache."""
    if _DIRECT:
        try:
            return os.open(path, flags | _DIRECT, 0o600), True
        except OSError:  # a file system in memory, or of another machine
            pass
    return os.open(path, flags, 0o600), False


def _write(path: Path, block: mmap.mmap, size: int) -> tuple[int, float, bool]:
    """Bytes, seconds until they are on the disk, and whether the cache was left out."""
    file, direct = _open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        done, start = 0, time.perf_counter()
        while done < size and time.perf_counter() - start < _LONGEST_S:
            block[:8] = done.to_bytes(8, "little")  # no two blocks are the same
            wrote = os.write(file, block)
            if wrote < _BLOCK:
                raise OSError(28, os.strerror(28), str(path))
            done += wrote
        os.fsync(file)
        return done, time.perf_counter() - start, direct
    finally:
        os.close(file)


def _uncached(file: int) -> bool:
    """Whether a file is now read past the cache: by a flag, or as none of it is in there."""
    if sys.platform == "darwin":
        return fcntl.fcntl(file, fcntl.F_NOCACHE, 1) == 0
    return False


def _read(path: Path, block: mmap.mmap) -> tuple[int, float, bool]:
    file, direct = _open(path, os.O_RDONLY)
    try:
        direct = direct or _uncached(file)
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < _LONGEST_S:
            got = os.readv(file, [block])
            if not got:
                break
            done += got
        return done, time.perf_counter() - start, direct
    finally:
        os.close(file)
