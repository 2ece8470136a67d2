"""Names, types and codes of everything that is stored. Imports nothing above it but ``errors``."""

from lobproof.schema.batch import EventBatch, Int8, Int32, Int64, ReferenceBatch, StateBatch
from lobproof.schema.codes import (
    EVERYTHING,
    LEVELS,
    PRICE_SCALE,
    RANGE,
    UNTRUSTED,
    Finding,
    Flag,
    Kind,
    Severity,
    Side,
)
from lobproof.schema.order import Clock, Order

__all__ = [
    "EVERYTHING",
    "LEVELS",
    "PRICE_SCALE",
    "RANGE",
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
]
