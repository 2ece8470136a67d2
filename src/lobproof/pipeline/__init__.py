"""Tasks: what turns a source into sealed days of a store, or into Crypto Lake's tables."""

from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.derive import DeriveResult, derive_lake
from lobproof.pipeline.fleet import Outcome, Watcher, reconstruct_days
from lobproof.pipeline.golden import reconstruct
from lobproof.pipeline.lake import LakeDay, lake_days, reconstruct_day
from lobproof.pipeline.results import DayResult, Reached, ReconstructResult
from lobproof.pipeline.start import Since
from lobproof.pipeline.unit import ReconstructOptions

__all__ = [
    "DayCounts",
    "DayResult",
    "DeriveResult",
    "LakeDay",
    "Outcome",
    "Reached",
    "ReconstructOptions",
    "ReconstructResult",
    "Since",
    "Watcher",
    "derive_lake",
    "lake_days",
    "reconstruct",
    "reconstruct_day",
    "reconstruct_days",
]
