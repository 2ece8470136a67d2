"""``Settings``: everything that decides, frozen and hashed before anything is looked at."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from lobproof.fidelity.inference.dependence import MIN_BLOCKS, TAUS_PER_BLOCK
from lobproof.fidelity.inference.equivalence import MARGIN
from lobproof.fidelity.inference.permutation import PERMUTATIONS
from lobproof.fidelity.inference.signflip import ALPHA, FLIPS
from lobproof.fidelity.metrics.bin_kernels import SIGNED_EXACT, STEPS, TOP, UNSIGNED_EXACT
from lobproof.fidelity.metrics.metric_kernels import GRID_NS, HORIZONS_NS, PART


@dataclass(frozen=True, slots=True)
class Settings:
    """What gates C and D judge by.

    ``margin``: largest difference that counts as none, of probability and of logarithms of ratios.
    ``least_known``: a metric of the samples is compared where so large a share of the golden ones
    has it. ``least_quantile``: quantiles are compared where the golden one is so many whole
    numbers: below, the bins hold one each, and their mass says it.
    """

    margin: float = MARGIN
    flips: int = FLIPS
    permutations: int = PERMUTATIONS
    seed: int = 20_260_105
    least_known: float = 0.5
    least_quantile: int = 16

    @property
    def hash(self) -> str:
        """SHA-256, in hexadecimal, of these and of all that is fixed beside them."""
        fixed = {
            "alpha": ALPHA,
            "blocks": [MIN_BLOCKS, TAUS_PER_BLOCK],
            "bins": [UNSIGNED_EXACT, SIGNED_EXACT, STEPS, TOP],
            "grid": [GRID_NS, *HORIZONS_NS, PART],
        }
        text = json.dumps({**asdict(self), **fixed}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


STANDARD = Settings()
