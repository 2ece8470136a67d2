"""Tasks: what turns a source into sealed days of a store, or into Crypto Lake's tables."""

from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.derive import DeriveResult, derive_lake
from lobproof.pipeline.fleet import Outcome, Watcher, reconstruct_days
from lobproof.pipeline.front import (
    ReconstructError,
    Reconstruction,
    of_the_partial_day,
    reconstruct,
)
from lobproof.pipeline.golden import reconstruct_sample
from lobproof.pipeline.job import ReconstructOptions
from lobproof.pipeline.lake import LakeDay, lake_days, reconstruct_day, rehearse_day
from lobproof.pipeline.rehearse import Rehearsal, rehearse_sample
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
    "ReconstructError",
    "ReconstructOptions",
    "ReconstructResult",
    "Reconstruction",
    "Rehearsal",
    "Watcher",
    "derive_lake",
    "lake_days",
    "of_the_partial_day",
    "reconstruct",
    "reconstruct_day",
    "reconstruct_days",
    "reconstruct_sample",
    "rehearse_day",
    "rehearse_sample",
]
