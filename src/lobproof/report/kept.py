"""``KeptSums``: what days add up to, kept from page to page in the user's cache.

By the content of the day, what of it is summed up and how, and the code that did it: so a sum that
is found is the one that would be made. A file that cannot be read counts as none.
"""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lobproof import __version__
from lobproof.files import write_whole
from lobproof.jit import cache_folder, cache_home
from lobproof.report.axes import PriceGrid, TimeGrid
from lobproof.report.sums import Counts, DaySums

ROOM = 2 << 30
"""Bytes of the cache; what was not used for the longest time goes first."""
_ENDING = ".sums"
_DIGEST = hashlib.sha256().digest_size
"""A file begins with the digest of what follows it."""
_CODE = ("axes", "kept", "sums", "sweep", "survey")


class KeptSums:
    """The sums in ``days/`` of ``LOBPROOF_CACHE_DIR``, by default ``~/.cache/lobproof``.

    Nothing is raised where the disk refuses: then nothing is kept.
    """

    def __init__(self) -> None:
        self.folder = cache_home() / "days"
        self._saved = False
        here = Path(__file__).parent
        code = hashlib.sha256(f"{__version__} {cache_folder().name} {np.__version__}".encode())
        for name in _CODE:
            code.update((here / f"{name}.py").read_bytes())
        self._code = code.hexdigest()

    def key(self, *parts: object) -> str:
        """Name of what these say, as this code sums it up."""
        return hashlib.sha256(repr((self._code, *parts)).encode()).hexdigest()[:32]

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
        with suppress(OSError):
            found = [(path, path.stat()) for path in self.folder.glob("*" + _ENDING)]
            size = 0
            for path, status in sorted(found, key=lambda one: -one[1].st_mtime_ns):
                size += status.st_size
                if size > ROOM:
                    path.unlink(missing_ok=True)


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
