"""From source-ordered streams to one judged, ordered stream, its book and its accounts."""

from lobproof.replay.findings import (
    DOUBTFUL_CODES,
    QUALITY_SEVERITY,
    bridged,
    doubtful_time,
    quality_rows,
)
from lobproof.replay.integrity import BookAudit, TradeAudit
from lobproof.replay.merge import Merge, StreamClock, Stretch, Weave, stamped
from lobproof.replay.policy import Policy
from lobproof.replay.replayer import Replayer
from lobproof.replay.step import Piece, Step
from lobproof.replay.trade_order import TradePlaces, in_time

__all__ = [
    "DOUBTFUL_CODES",
    "QUALITY_SEVERITY",
    "BookAudit",
    "Merge",
    "Piece",
    "Policy",
    "Replayer",
    "Step",
    "StreamClock",
    "Stretch",
    "TradeAudit",
    "TradePlaces",
    "Weave",
    "bridged",
    "doubtful_time",
    "in_time",
    "quality_rows",
    "stamped",
]
