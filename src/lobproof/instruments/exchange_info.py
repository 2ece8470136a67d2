"""Binance's ``exchangeInfo`` document, spot and futures, as an instrument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lobproof.errors import GridError, InputError
from lobproof.fixedpoint import decimal_to_count, decimals_in
from lobproof.instruments.model import Instrument
from lobproof.instruments.symbols import joined

_HINT = (
    "give the answer of GET /api/v3/exchangeInfo (spot), /fapi/v1/exchangeInfo or "
    "/dapi/v1/exchangeInfo (futures) as it came, or name tick and lot yourself"
)


def from_exchange_info(
    document: Mapping[str, Any],
    venue_symbol: str,
    exchange: str = "BINANCE",
    *,
    since_ns: int = 0,
    price_exponent: int = 0,
    size_exponent: int = 0,
) -> Instrument:
    """Instrument of ``venue_symbol`` with ``PRICE_FILTER.tickSize`` and ``LOT_SIZE.stepSize``.

    Parameters
    ----------
    document
        The decoded JSON.
    venue_symbol
        As the venue writes it, ``BTCUSDT``.
    exchange
        ``BINANCE``, or a name of a futures venue: ``BINANCE_FUTURES``, ``BINANCE_DELIVERY``.
    since_ns
        When the rule begins.
    price_exponent, size_exponent
        The grid is at least this fine.

    Raises
    ------
    InputError
        When the document is of another kind or venue, lacks the symbol or a filter, or a filter
        names no positive number; the symbol and filter are named.
    """
    entry = _entry(document, venue_symbol)
    suffix = _contract_suffix(entry, venue_symbol, futures=exchange != "BINANCE")
    base, quote = _text(entry, "baseAsset", venue_symbol), _text(entry, "quoteAsset", venue_symbol)
    tick = _step(entry, venue_symbol, "PRICE_FILTER", "tickSize")
    lot = _step(entry, venue_symbol, "LOT_SIZE", "stepSize")
    return Instrument.given(
        exchange,
        joined(base, quote, suffix),
        venue_symbol,
        [(since_ns, tick, lot)],
        price_exponent=price_exponent,
        size_exponent=size_exponent,
    )


def _entry(document: Mapping[str, Any], venue_symbol: str) -> Mapping[str, Any]:
    symbols = document.get("symbols") if isinstance(document, Mapping) else None
    if not isinstance(symbols, list):
        raise InputError("no exchangeInfo document: it has no list of symbols", hint=_HINT)
    for entry in symbols:
        if isinstance(entry, Mapping) and entry.get("symbol") == venue_symbol:
            return entry
    raise InputError(
        f"{venue_symbol} is not among the {len(symbols)} symbols of the exchangeInfo document",
        hint=_HINT,
    )


def _contract_suffix(entry: Mapping[str, Any], venue_symbol: str, *, futures: bool) -> str:
    contract = entry.get("contractType")
    if (contract is not None) != futures:
        kind, wanted = ("spot", "futures") if futures else ("futures", "spot")
        raise InputError(
            f"{venue_symbol}: the exchangeInfo document is of the {kind} market, not of {wanted}",
            hint=_HINT,
        )
    if contract is None:
        return ""
    suffix = venue_symbol.partition("_")[2]
    if suffix:
        return suffix
    if "PERPETUAL" in str(contract):
        return "PERP"
    raise InputError(
        f"{venue_symbol}: contractType {contract!r} is no perpetual, and the name has no date",
        hint=_HINT,
    )


def _text(entry: Mapping[str, Any], name: str, venue_symbol: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"{venue_symbol}: {name} is missing from exchangeInfo", hint=_HINT)
    return value


def _step(entry: Mapping[str, Any], venue_symbol: str, kind: str, name: str) -> str:
    filters = entry.get("filters")
    for item in filters if isinstance(filters, list) else []:
        if isinstance(item, Mapping) and item.get("filterType") == kind:
            text = _text(item, name, f"{venue_symbol}, {kind}")
            try:
                positive = decimal_to_count(text, decimals_in(text)) > 0
            except GridError as error:
                raise InputError(
                    f"{venue_symbol}: {kind}.{name}: {error.message}", hint=_HINT
                ) from error
            if not positive:
                raise InputError(
                    f"{venue_symbol}: {kind}.{name} is {text}: the venue sets no rule", hint=_HINT
                )
            return text
    raise InputError(f"{venue_symbol} has no filter {kind} in exchangeInfo", hint=_HINT)
