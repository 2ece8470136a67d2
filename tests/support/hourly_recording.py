"""A recording of several days made by hand, imported: a depth message and a trade every hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lobproof.sources.recordings import import_recordings
from support.wire import NS, depth, snapshot, stamped, trade, wrapped

MIDNIGHT = 1_723_075_200_000
"""2024-08-08T00:00 UTC, in ms."""
HOUR = 3_600_000
BIDS = [("100.00", "1.0"), ("99.50", "2.0"), ("99.00", "3.5")]
ASKS = [("100.50", "1.5"), ("101.00", "2.0"), ("102.00", "0.25")]

Line = tuple[int, dict[str, Any]]
"""Time in ms and message."""


def hourly_lines(hours: int = 30, *, seeds: Sequence[int] = (0, 15), start: int = 22) -> list[Line]:
    """Depth ids go up by 5 an hour; snapshots that agree come after the messages ``seeds``.

    Those are multiples of 3, where the one bid that no snapshot lists is gone.
    """
    lines: list[Line] = []
    for hour in range(hours):
        time = MIDNIGHT + (start + hour) * HOUR
        final = 1000 + 5 * hour
        bids = [("100.00", f"{1 + hour % 7}.5"), ("98.00", "0.1" if hour % 3 else "0.0")]
        asks = [("100.50", f"{2 + hour % 5}.0")] if hour % 4 else []
        lines.append((time, depth(final - 4, final, bids, asks, time=time)))
        if hour in seeds:
            offered = [("100.50", f"{2 + (hour if hour % 4 else hour - 1) % 5}.0"), *ASKS[1:]]
            lines.append((time + 1, snapshot(final, [bids[0], *BIDS[1:]], offered)))
        sold = bool(hour % 2)
        price = "100.00" if sold else "100.50"
        lines.append((time + 5, trade(700 + hour, price, "0.5", time=time + 5, sold=sold)))
    return lines


def golden_sample(folder: Path, lines: Sequence[Line], name: str = "one") -> Path:
    """The golden sample of a recording with these lines."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.txt"
    file.write_bytes(
        b"".join(stamped([wrapped(message)], start_ns=(time + 3) * NS) for time, message in lines)
    )
    sample = import_recordings([file], folder / name, provenance="synthetic", snapshot_limit=100)
    return sample.path


def without(lines: Sequence[Line], dropped: Callable[[dict[str, Any]], bool]) -> list[Line]:
    """The lines whose message is not dropped."""
    return [(time, message) for time, message in lines if not dropped(message)]


def is_depth(message: dict[str, Any]) -> bool:
    return message.get("e") == "depthUpdate"


def is_snapshot(message: dict[str, Any]) -> bool:
    return "lastUpdateId" in message


def is_trade(message: dict[str, Any]) -> bool:
    return message.get("e") == "trade"
