"""From two source-ordered streams to one judged, ordered stream, its book and its accounts."""

from lobproof.replay.findings import QUALITY_SEVERITY, doubtful_time, quality_rows
from lobproof.replay.integrity import BookAudit, TradeAudit
from lobproof.replay.merge import StreamClock, merge, stamped
from lobproof.replay.replayer import BookLevels, Replayer, Step

__all__ = [
    "QUALITY_SEVERITY",
    "BookAudit",
    "BookLevels",
    "Replayer",
    "Step",
    "StreamClock",
    "TradeAudit",
    "doubtful_time",
    "merge",
    "quality_rows",
    "stamped",
]
