"""Tasks: what turns a source into sealed days of a store, or into Crypto Lake's tables."""

from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.derive import DeriveResult, derive_lake
from lobproof.pipeline.fleet import Outcome, Watcher, reconstruct_days
from lobproof.pipeline.golden import reconstruct
from lobproof.pipeline.job import ReconstructOptions
from lobproof.pipeline.lake import LakeDay, lake_days, reconstruct_day
from lobproof.pipeline.results import DayResult, Reached, ReconstructResult
from lobproof.pipeline.start import PartialDay

__all__ = [
    "DayCounts",
    "DayResult",
    "DeriveResult",
    "LakeDay",
    "Outcome",
    "PartialDay",
    "Reached",
    "ReconstructOptions",
    "ReconstructResult",
    "Watcher",
    "derive_lake",
    "lake_days",
    "reconstruct",
    "reconstruct_day",
    "reconstruct_days",
]
