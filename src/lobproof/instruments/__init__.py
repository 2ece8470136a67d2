"""Instruments: the decimal grid of a symbol and its dated tick and lot rules."""

from lobproof.instruments.exchange_info import from_exchange_info
from lobproof.instruments.inference import infer_exponent, infer_instrument, infer_step
from lobproof.instruments.model import Instrument, Rule
from lobproof.instruments.symbols import NAME_HINT, canonical_symbol, is_name

__all__ = [
    "NAME_HINT",
    "Instrument",
    "Rule",
    "canonical_symbol",
    "from_exchange_info",
    "infer_exponent",
    "infer_instrument",
    "infer_step",
    "is_name",
]
