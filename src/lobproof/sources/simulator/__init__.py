from lobproof.sources.simulator.config import PRESETS
from lobproof.sources.simulator.market import Market
