"""Tasks: what turns a source into sealed days of a store, or into Crypto Lake's tables."""

from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.derive import DeriveResult, derive_lake
from lobproof.pipeline.golden import reconstruct
from lobproof.pipeline.task import DayResult, ReconstructResult
from lobproof.pipeline.unit import ReconstructOptions

__all__ = [
    "DayCounts",
    "DayResult",
    "DeriveResult",
    "ReconstructOptions",
    "ReconstructResult",
    "derive_lake",
    "reconstruct",
]
