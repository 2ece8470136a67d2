"""What a fuzz target raises."""

from __future__ import annotations


class Finding(AssertionError):
    """lobproof said something else than the oracle."""


def found_unless(holds: bool, told: str) -> None:
    """Raise ``Finding`` with what is told (of bounded length) unless it holds."""
    if not holds:
        raise Finding(told[:2000])
