"""Instruments: what a symbol is called, its decimal grid, its dated tick and lot rules.

Rules are given, read from Binance's ``exchangeInfo``, or inferred from values. How many decimals a
grid needs the sources find out from their data; how numbers are put on it is `fixedpoint`.
"""

from lobproof.instruments.exchange_info import from_exchange_info
from lobproof.instruments.inference import infer_step
from lobproof.instruments.model import Instrument, Rule
from lobproof.instruments.symbols import NAME_HINT, canonical_symbol, is_name

__all__ = [
    "NAME_HINT",
    "Instrument",
    "Rule",
    "canonical_symbol",
    "from_exchange_info",
    "infer_step",
    "is_name",
]
