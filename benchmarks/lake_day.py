"""A simulated day of Crypto Lake files: as many deltas as wanted, the book behind each message."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np

from lobproof.sources.simulator import PRESETS, simulate

MINUTES = 24 * 60.0
TAKE_SHARE = 0.003
"""Of the arrivals; with the preset's own there would be ten times the trades of a real day."""
_SCALES = (0.02, 0.05, 0.1, 0.2, 0.7, 1.5, 2.5)
_DELTAS_A_MINUTE = (2_500.0, 6_300.0, 14_000.0, 27_600.0, 73_700.0, 128_000.0, 190_000.0)
"""What the preset `perp` gives with its arrivals scaled so, as measured."""


def simulated_lake(folder: Path, rows: int, minutes: float = MINUTES) -> Path:
    """The folder of the tables of about ``rows`` deltas; the same for the same arguments.

    Messages come every 100 ms and stand beside a row of ``book`` each: 864,000 on a whole day,
    of ten rows or two hundred, as on a quiet spot day and on a busy one of the perpetual.
    """
    wanted = np.log(rows / minutes)
    scale = float(np.exp(np.interp(wanted, np.log(_DELTAS_A_MINUTE), np.log(_SCALES))))
    perp = PRESETS["perp"]
    market = dataclasses.replace(perp, rate=perp.rate * scale, take_share=TAKE_SHARE)
    made = simulate(folder, config=market, minutes=minutes, recording=False, lake=True)
    assert made.lake is not None
    return made.lake


if __name__ == "__main__":
    simulated_lake(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
