"""An exchange to test against: a matching engine with seeded order flow, and what it publishes.

Everything that comes from here is synthetic and says so: in file names, in the side-car
``simulation.json``, in Parquet metadata, and by the symbol ``SIMUSDT``.

It answers: what is a market like (`config`); who comes to it when (`flow_kernels`), and who
trades with whom (`market`, `market_kernels`); what does the venue publish, and what is true
(`feed`, `feed_kernels`); what do collectors make of that (`collectors`, `text_kernels`); how is a
folder made (`run`) and known again (`provenance`); where is all that kept (`layout_kernels`), and
what is chance (`random_kernels`). How such data is read is no question of its.
"""

from lobproof.sources.simulator.collectors import LakeConfig, LakeWriter, Recorder, RecorderConfig
from lobproof.sources.simulator.config import PRESETS, Distances, Excitation, MarketConfig, Sizes
from lobproof.sources.simulator.feed import Feed, FeedBatch, FeedConfig, FullBook, Truth
from lobproof.sources.simulator.market import Market, MarketEvents
from lobproof.sources.simulator.provenance import simulation_of
from lobproof.sources.simulator.run import (
    Imperfections,
    SimulationResult,
    market_config,
    simulate,
)

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
    "market_config",
    "simulate",
    "simulation_of",
]
