"""Free space: it is told where it runs low, and a session ends while its last lines still fit."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LOOK_S = 2.0
_AGAIN = 1.1
"""So many times the limit must be free before it is told anew."""


@dataclass(frozen=True, slots=True)
class SpaceLimits:
    """Free bytes, or share of the disk, below which it is told; and bytes that a session needs."""

    low_bytes: int = 1 << 30
    low_share: float = 0.01
    least_bytes: int = 64 << 20

    def low(self, disk: int) -> int:
        """Free bytes below which it is told, of a disk of so many."""
        return max(self.low_bytes, int(self.low_share * disk))


async def watch_space(
    folder: Path, limits: SpaceLimits, told: Callable[[str, dict[str, Any]], None]
) -> str:
    """Tell of space that runs low, once each time; why to end, as soon as there is too little."""
    low, unknown = False, ""
    while True:
        try:
            usage = shutil.disk_usage(folder)
        except OSError as error:
            if unknown != str(error):
                unknown = str(error)
                told("space_unknown", {"why": unknown})
        else:
            free, limit, unknown = usage.free, limits.low(usage.total), ""
            if free < limits.least_bytes:
                return f"{folder}: {free:,} bytes are free, less than {limits.least_bytes:,}"
            if free < limit and not low:
                told("low_space", {"free": free, "limit": limit, "disk": usage.total})
            low = free < limit * (_AGAIN if low else 1)
        await asyncio.sleep(_LOOK_S)
