"""Canonical symbols: ``BTC-USDT``, ``BTC-USDT-PERP``, ``BTC-USDT-240927``."""

from __future__ import annotations

import re

NAME_HINT = "a name is made of at most 60 letters, digits, _ $, and behind the first one . + & -"
_NAME = re.compile(r"[\w$][\w$.+&-]{0,59}")

_STABLE = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "USDS", "USD1", "PAX", "UST", "DAI")
_FIAT = (
    *("USD", "EUR", "EURI", "GBP", "AUD", "TRY", "BRL", "ARS", "MXN", "COP", "CZK", "PLN", "RON"),
    *("UAH", "RUB", "ZAR", "NGN", "JPY", "IDRT", "BIDR", "BVND", "BKRW"),
)
_CRYPTO = ("BTC", "ETH", "BNB", "SOL", "XRP", "TRX", "DOGE", "DOT")

QUOTES = tuple(sorted((*_STABLE, *_FIAT, *_CRYPTO), key=len, reverse=True))
"""Quote assets that venue symbols end in, longest first."""


def is_name(text: str) -> bool:
    """Whether a text can be the name of a symbol or an exchange: printable, and one path's part."""
    return _NAME.fullmatch(text) is not None


def canonical_symbol(venue_symbol: str, perpetual: bool) -> str:
    """Canonical name of a Binance symbol: base, quote and, for futures, ``PERP`` or the date.

    The quote is the longest known one that the name ends in; before a suffix it is ``USD``
    wherever the pair ends so, since those contracts are coin-margined (``DOTUSD_PERP`` is of DOT,
    not of TUSD). A name in which none is found is kept as it is. Names are in the venue's upper
    case.

    Parameters
    ----------
    venue_symbol
        ``BTCUSDT``, ``BTCUSDT_240927`` (dated future), ``BTCUSD_PERP`` (coin-margined perpetual).
    perpetual
        Whether a name without a suffix of its own is a perpetual (all are, on futures venues).
    """
    pair, _, suffix = venue_symbol.partition("_")
    quotes = ("USD", *QUOTES) if suffix else QUOTES
    quote = next((q for q in quotes if pair.endswith(q) and pair != q), None)
    if quote is None:
        return venue_symbol
    return joined(pair.removesuffix(quote), quote, suffix or ("PERP" if perpetual else ""))


def joined(base: str, quote: str, suffix: str) -> str:
    """``base-quote`` or, with a suffix, ``base-quote-suffix``."""
    return "-".join(part for part in (base, quote, suffix) if part)
