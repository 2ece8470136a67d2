"""Tasks: what turns a source into sealed days of a store, or into Crypto Lake's tables."""

from lobproof.pipeline.derive import DeriveResult, derive_lake
from lobproof.pipeline.task import DayResult, ReconstructOptions, ReconstructResult, reconstruct

__all__ = [
    "DayResult",
    "DeriveResult",
    "ReconstructOptions",
    "ReconstructResult",
    "derive_lake",
    "reconstruct",
]
