"""How real data is: four words, and what screens say of each."""

from __future__ import annotations

PROVENANCE = {
    "real": "real data",
    "unknown": "DEMO: data of unknown origin",
    "derived": "DEMO: derived data",
    "synthetic": "DEMO: synthetic data",
}
"""From the most real to the least."""


def least_real(*provenances: str) -> str:
    """What is made of several: the last of ``real``, ``unknown``, ``derived``, ``synthetic``."""
    known = [name if name in PROVENANCE else "unknown" for name in provenances]
    return max(known, key=list(PROVENANCE).index, default="unknown")


def made_of(provenance: str) -> str:
    """What every screen says of data of a provenance."""
    return PROVENANCE[least_real(provenance)]
