"""``KeptSums``: what days add up to, kept from page to page in the user's cache.

By the content of the day, what of it is summed up and how, and the code that did it: so a sum that
is found is the one that would be made. A file that cannot be read counts as none.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import polars as pl

import lobproof
from lobproof import __version__
from lobproof.files import TEMPORARY, write_whole
from lobproof.jit import cache_home
from lobproof.pages.axes import PriceGrid, TimeGrid
from lobproof.pages.sums import Counts, DaySums

ROOM = 2 << 30
"""Bytes of the cache; what was not used for the longest time goes first."""
_ENDING = ".sums"
_DIGEST = hashlib.sha256().digest_size
"""A file begins with the digest of what follows it."""
_STALE_S = 86_400.0
"""Files that a killed run left half written go after that."""


class KeptSums:
    """The sums in ``days/`` of ``LOBPROOF_CACHE_DIR``, by default ``~/.cache/lobproof``.

    Nothing is raised where the disk refuses: then nothing is kept.
    """

    def __init__(self) -> None:
        self.folder = cache_home() / "days"
        self._saved = False

    def key(self, *parts: object) -> str:
        """Name of what these say, as this code sums it up."""
        return hashlib.sha256(repr((_code(), *parts)).encode()).hexdigest()[:32]

    def load(self, key: str) -> DaySums | None:
        """What is kept under a key, if anything."""
        path = self.folder / (key + _ENDING)
        try:
            stored = path.read_bytes()
            digest, data = stored[:_DIGEST], stored[_DIGEST:]
            if hashlib.sha256(data).digest() != digest:
                return None
            with suppress(OSError):
                os.utime(path)  # used just now: see `prune`
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return _from_arrays(arrays)
        except OSError:
            return None

    def save(self, key: str, sums: DaySums) -> None:
        """Keep sums under a key."""
        held = io.BytesIO()
        np.savez_compressed(held, **_to_arrays(sums))
        data = held.getvalue()
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / (key + _ENDING), hashlib.sha256(data).digest() + data)
            self._saved = True

    def prune(self) -> None:
        """Remove what there is no room for, if anything was kept."""
        if not self._saved:
            return
        size = 0
        for _, length, path in sorted(self._held(), reverse=True):
            size += length
            if size > ROOM:
                with suppress(OSError):
                    path.unlink()
        for path in self.folder.glob(f"{TEMPORARY}*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()

    def _held(self) -> list[tuple[int, int, Path]]:
        """What is kept: when it was used last, its bytes, its file."""
        held = []
        for path in self.folder.glob("*" + _ENDING):
            with suppress(OSError):  # another process makes room, too
                status = path.stat()
                held.append((status.st_mtime_ns, status.st_size, path))
        return held


@cache
def _code() -> str:
    """What adds up: all of this package, and what it computes with."""
    versions = f"{__version__} {np.__version__} {pl.__version__} {numba.__version__}"
    digest = hashlib.sha256(versions.encode())
    package = Path(lobproof.__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _to_arrays(sums: DaySums) -> dict[str, Any]:
    time, prices, counts = sums.time, sums.prices, sums.counts
    return {
        "axes": np.array(
            [time.origin, time.width, time.columns, prices.low, prices.step, prices.rows]
        ),
        "image": sums.image,
        "cells": sums.cells,
        "volumes": sums.volumes,
        "columns": sums.columns,
        "spreads": sums.spreads,
        "levels": sums.levels,
        "counts": np.array([counts.events, counts.messages, counts.trades, counts.outside]),
        "traded": np.array([] if sums.traded is None else sums.traded),
    }


def _from_arrays(arrays: Any) -> DaySums:
    axes = arrays["axes"].tolist()
    traded = arrays["traded"].tolist()
    return DaySums(
        TimeGrid(*axes[:3]),
        PriceGrid(*axes[3:]),
        arrays["image"],
        arrays["cells"],
        arrays["volumes"],
        arrays["columns"],
        arrays["spreads"],
        arrays["levels"],
        Counts(*arrays["counts"].tolist()),
        (traded[0], traded[1]) if traded else None,
    )
