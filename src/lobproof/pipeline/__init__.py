"""Tasks: what turns a source into sealed days of a store."""

from lobproof.pipeline.task import DayResult, ReconstructOptions, ReconstructResult, reconstruct

__all__ = ["DayResult", "ReconstructOptions", "ReconstructResult", "reconstruct"]
