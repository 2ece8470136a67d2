"""From source-ordered streams to one judged, ordered stream, its book and its accounts."""

from lobproof.replay.findings import (
    DOUBTFUL_CODES,
    QUALITY_SEVERITY,
    bridged,
    doubtful_time,
    quality_rows,
)
from lobproof.replay.integrity import BookAudit, TradeAudit
from lobproof.replay.merge import Merge, Segment, StreamClock, VendorPlacer, stamped
from lobproof.replay.output import Chunk, ReplayOutput
from lobproof.replay.policy import Policy
from lobproof.replay.replayer import Replayer
from lobproof.replay.trade_order import TradePlaces, in_time

__all__ = [
    "DOUBTFUL_CODES",
    "QUALITY_SEVERITY",
    "BookAudit",
    "Chunk",
    "Merge",
    "Policy",
    "ReplayOutput",
    "Replayer",
    "Segment",
    "StreamClock",
    "TradeAudit",
    "TradePlaces",
    "VendorPlacer",
    "bridged",
    "doubtful_time",
    "in_time",
    "quality_rows",
    "stamped",
]
