"""``Settings``: everything that decides, frozen and hashed before anything is looked at."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What gates C and D judge by.

    Attributes
    ----------
    margin
        Largest difference that still counts as none: of probability mass, and of logarithms of
        ratios. Half of the 1 % that is to be detected.
    alpha
        Of each one-sided test of gate C, and of gate D.
    least_blocks
        With fewer blocks a metric is inconclusive.
    lengths
        A block is at least so many times as long as the metric depends on its past.
    flips, permutations, seed
        Of the joint tests.
    least_windows
        Golden windows that a conformal test needs to be able to reject.
    """

    margin: float = 0.005
    alpha: float = 0.05
    least_blocks: int = 40
    lengths: float = 20.0
    flips: int = 999
    permutations: int = 999
    seed: int = 20_260_105
    least_windows: int = 19

    @property
    def hash(self) -> str:
        """SHA-256 of the settings, in hexadecimal."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


STANDARD = Settings()
