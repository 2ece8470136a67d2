"""Gates A and B: a store checked by itself, and against a golden sample, change by change."""

from lobproof.fidelity.exact.report import Check, Divergence, Episode, Verdict, VerifyReport
from lobproof.fidelity.exact.verify import verify

__all__ = ["Check", "Divergence", "Episode", "Verdict", "VerifyReport", "verify"]
