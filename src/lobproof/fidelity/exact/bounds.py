"""From counts to a verdict: one-sided 95 % bounds of a mismatch rate.

With no mismatch among ``n`` the bound is 3/n. Otherwise mismatches come in bursts, so their rate
is bounded by the spread between blocks of time, not as if they were independent:
p ± t·√(B/(B−1)·Σ(m_b − n_b·p)²)/n over B blocks with m_b mismatches among n_b.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.exact.report import Verdict

BLOCK_NS = 600_000_000_000
"""Ten minutes; shorter where the span would have fewer than ``BLOCKS`` of them."""
BLOCKS = 40
MIN_BLOCKS = 10
"""With fewer blocks than this their spread says nothing."""

_Z = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True, slots=True)
class Rate:
    """A mismatch rate with its one-sided 95 % bounds; None where there is none to be had."""

    mismatches: int
    compared: int
    lower: float | None
    upper: float | None

    def verdict(self, limit: float) -> Verdict:
        """Exact without a mismatch; else pass below the limit, fail above it, or neither."""
        if self.compared == 0:
            return Verdict.NOT_APPLICABLE
        if self.mismatches == 0:
            return Verdict.EXACT
        if self.lower is None or self.upper is None:
            # too few blocks for a spread: only the plain rate is left to judge by
            over = self.mismatches > limit * self.compared
            return Verdict.FAIL if over else Verdict.INCONCLUSIVE
        if self.upper < limit:
            return Verdict.PASS
        return Verdict.FAIL if self.lower > limit else Verdict.INCONCLUSIVE


def block_rate(mismatches: NDArray[np.int64], compared: NDArray[np.int64]) -> Rate:
    """Rate over blocks: mismatches and comparisons of each; blocks without any are left out."""
    used = compared > 0
    m, n = mismatches[used].astype(np.float64), compared[used].astype(np.float64)
    bad, total, blocks = int(m.sum()), int(n.sum()), len(n)
    if bad == 0:
        return Rate(0, total, 0.0, min(3.0 / total, 1.0) if total else None)
    if blocks < MIN_BLOCKS:
        return Rate(bad, total, None, None)
    rate = bad / total
    spread = float(np.sqrt(blocks / (blocks - 1) * np.sum((m - n * rate) ** 2))) / total
    margin = student_95(blocks - 1) * spread
    return Rate(bad, total, max(rate - margin, 0.0), min(rate + margin, 1.0))


def time_rate(times: NDArray[np.int64], mismatch: NDArray[np.bool_]) -> Rate:
    """Rate over comparisons at ``times`` (ns, any order), in blocks of wall-clock time."""
    if not len(times):
        return Rate(0, 0, None, None)
    start = int(times.min())
    span = int(times.max()) - start + 1
    length = min(BLOCK_NS, -(-span // BLOCKS))
    block = (times - start) // length
    size = int(block.max()) + 1
    compared = np.bincount(block, minlength=size)
    return block_rate(np.bincount(block[mismatch], minlength=size), compared)


def student_95(freedom: int) -> float:
    """The 95 % point of Student's t, by the Cornish-Fisher series: four digits from 9 on."""
    z, n = _Z, float(freedom)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + g1 / n + g2 / n**2 + g3 / n**3 + g4 / n**4
