"""``Settings``: everything that decides, frozen and hashed before anything is looked at."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from lobproof.fidelity.inference.dependence import MIN_BLOCKS, TAUS_PER_BLOCK
from lobproof.fidelity.inference.equivalence import MARGIN
from lobproof.fidelity.inference.permutation import PERMUTATIONS
from lobproof.fidelity.inference.signflip import ALPHA, FLIPS
from lobproof.fidelity.metrics.bin_kernels import SIGNED_EXACT, STEPS, TOP, UNSIGNED_EXACT
from lobproof.fidelity.metrics.distributions import COUNTS_S
from lobproof.fidelity.metrics.flow import FLOW_S
from lobproof.fidelity.metrics.garch import STEPS_S
from lobproof.fidelity.metrics.metric_kernels import GRID_NS, HORIZONS_NS, PART
from lobproof.fidelity.metrics.pairs import LAGS
from lobproof.fidelity.metrics.returns import HORIZONS_S, TAIL_SHARES


class Level(StrEnum):
    """How much of gate C is compared."""

    LIGHT = "light"  # the metrics of the blocks
    STANDARD = "standard"  # and what follows from the series: returns, flow, tails, GARCH, drift
    FULL = "full"  # and the Hawkes process, which needs the time of every trade


@dataclass(frozen=True, slots=True)
class Settings:
    """What gates C and D judge by.

    ``margin``: largest difference that counts as none, of probability and of logarithms of ratios.
    ``least_known``: a metric of the samples is compared where so large a share of the golden ones
    has it. ``least_quantile``: quantiles are compared where the golden one is so many whole
    numbers: below, the bins hold one each, and their mass says it. ``tail_margin``,
    ``model_margin``: of logarithms of ratios of tail exponents, and of parameters of fitted models.
    ``lag_share``: lags are compared up to this share of the window.
    """

    margin: float = MARGIN
    flips: int = FLIPS
    permutations: int = PERMUTATIONS
    seed: int = 20_260_105
    least_known: float = 0.5
    least_quantile: int = 16
    tail_margin: float = 0.05
    model_margin: float = 0.1
    lag_share: float = 0.1

    @property
    def hash(self) -> str:
        """SHA-256, in hexadecimal, of these and of all that is fixed beside them."""
        fixed = {
            "alpha": ALPHA,
            "blocks": [MIN_BLOCKS, TAUS_PER_BLOCK],
            "bins": [UNSIGNED_EXACT, SIGNED_EXACT, STEPS, TOP],
            "grid": [GRID_NS, *HORIZONS_NS, PART],
            "series": [LAGS.tolist(), HORIZONS_S, FLOW_S, COUNTS_S, TAIL_SHARES, STEPS_S],
        }
        text = json.dumps({**asdict(self), **fixed}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


STANDARD = Settings()
