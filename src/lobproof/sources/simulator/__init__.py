"""An exchange to test against: a matching engine with seeded order flow, and what it publishes.

Everything that comes from here is synthetic and says so: in file names, in the side-car
``simulation.json``, in Parquet metadata, and by the symbol ``SIMUSDT``.
"""

from lobproof.sources.simulator.collectors import LakeConfig, LakeWriter, Recorder, RecorderConfig
from lobproof.sources.simulator.config import PRESETS, Distances, Excitation, MarketConfig, Sizes
from lobproof.sources.simulator.feed import Feed, FeedBatch, FeedConfig, FullBook, Truth
from lobproof.sources.simulator.market import Market, MarketEvents
from lobproof.sources.simulator.provenance import simulation_of
from lobproof.sources.simulator.run import Imperfections, SimulationResult, simulate

__all__ = [
    "PRESETS",
    "Distances",
    "Excitation",
    "Feed",
    "FeedBatch",
    "FeedConfig",
    "FullBook",
    "Imperfections",
    "LakeConfig",
    "LakeWriter",
    "Market",
    "MarketConfig",
    "MarketEvents",
    "Recorder",
    "RecorderConfig",
    "SimulationResult",
    "Sizes",
    "Truth",
    "simulate",
    "simulation_of",
]
