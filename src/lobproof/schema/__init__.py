"""Names, types and codes of everything that is stored. Imports nothing above it but ``errors``."""

from lobproof.schema.batch import EventBatch, Int8, Int32, Int64, ReferenceBatch, StateBatch
from lobproof.schema.codes import (
    COVERED_STREAMS,
    DISTRUSTS,
    EVERYTHING,
    LEVELS,
    PENDING_MESSAGES,
    PENDING_NS,
    PRICE_SCALE,
    RANGE,
    SPEAKS_OF_THE_FEED,
    UNTRUSTED,
    Finding,
    Flag,
    Kind,
    Severity,
    Side,
    speaks_of_the_feed,
)
from lobproof.schema.order import Clock, Order

__all__ = [
    "COVERED_STREAMS",
    "DISTRUSTS",
    "EVERYTHING",
    "LEVELS",
    "PENDING_MESSAGES",
    "PENDING_NS",
    "PRICE_SCALE",
    "RANGE",
    "SPEAKS_OF_THE_FEED",
    "UNTRUSTED",
    "Clock",
    "EventBatch",
    "Finding",
    "Flag",
    "Int8",
    "Int32",
    "Int64",
    "Kind",
    "Order",
    "ReferenceBatch",
    "Severity",
    "Side",
    "StateBatch",
    "speaks_of_the_feed",
]
