"""Instruments: dated rules given, read from exchangeInfo, or inferred."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lobproof.errors import GridError, InputError
from lobproof.instruments import (
    Instrument,
    Rule,
    canonical_symbol,
    from_exchange_info,
    infer_step,
)

SECOND = 10**9


def spot(symbol: str, base: str, quote: str, tick: str, lot: str) -> dict[str, Any]:
    """A symbol's entry of spot exchangeInfo."""
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "1000000.00000000",
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000.00000000", "stepSize": lot},
            {"filterType": "ICEBERG_PARTS", "limit": 10},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "stepSize": "0.00000000"},
        ],
    }


def future(symbol: str, base: str, quote: str, contract: str) -> dict[str, Any]:
    """A symbol's entry of futures exchangeInfo."""
    entry = spot(symbol, base, quote, "0.10", "0.001")
    return {**entry, "contractType": contract, "pair": base + quote, "marginAsset": quote}


SPOT: dict[str, Any] = {
    "timezone": "UTC",
    "symbols": [
        spot("BTCUSDT", "BTC", "USDT", "0.01000000", "0.00001000"),
        spot("NEXOUSDT", "NEXO", "USDT", "0.00100000", "0.01000000"),
        spot("SOLUSDT", "SOL", "USDT", "0.01000000", "0.00100000"),
        spot("PEPEUSDT", "PEPE", "USDT", "0.00000001", "1.00000000"),
    ],
}
FUTURES: dict[str, Any] = {
    "symbols": [
        future("BTCUSDT", "BTC", "USDT", "PERPETUAL"),
        future("BTCUSDT_240927", "BTC", "USDT", "CURRENT_QUARTER"),
        future("BTCUSD_PERP", "BTC", "USD", "PERPETUAL"),
        future("ODDUSDT", "ODD", "USDT", ""),
    ]
}


@pytest.mark.parametrize(
    ("venue_symbol", "symbol", "price_exponent", "size_exponent", "tick", "lot"),
    [
        ("BTCUSDT", "BTC-USDT", 2, 5, "0.01", "0.00001"),
        ("NEXOUSDT", "NEXO-USDT", 3, 2, "0.001", "0.01"),
        ("SOLUSDT", "SOL-USDT", 2, 3, "0.01", "0.001"),
        ("PEPEUSDT", "PEPE-USDT", 8, 0, "0.00000001", "1"),
    ],
)
def test_spot_exchange_info(
    venue_symbol: str, symbol: str, price_exponent: int, size_exponent: int, tick: str, lot: str
) -> None:
    instrument = from_exchange_info(SPOT, venue_symbol)
    assert instrument.symbol == symbol == canonical_symbol(venue_symbol, False)
    assert (instrument.exchange, instrument.venue_symbol) == ("BINANCE", venue_symbol)
    assert (instrument.price_exponent, instrument.size_exponent) == (price_exponent, size_exponent)
    assert instrument.rules == (Rule(0, 1, 1),)
    assert instrument.price_text(instrument.tick) == tick
    assert instrument.size_text(instrument.lot) == lot
    assert instrument.size_text(10**12 * 10**size_exponent).startswith("1000000000000")


def test_a_grid_finer_than_the_rules() -> None:
    """A recording's sizes are finer than the lot: 25.42618900 with a lot of 0.00001."""
    instrument = from_exchange_info(SPOT, "BTCUSDT", since_ns=5, price_exponent=1, size_exponent=8)
    assert (instrument.price_exponent, instrument.size_exponent) == (2, 8)
    assert instrument.rules == (Rule(5, 1, 1000),)
    assert instrument == from_exchange_info(SPOT, "BTCUSDT", since_ns=5).with_exponents(2, 8)
    assert instrument.size_text(2542618900) == "25.426189"


@pytest.mark.parametrize(
    ("venue_symbol", "symbol"),
    [
        ("BTCUSDT", "BTC-USDT-PERP"),
        ("BTCUSDT_240927", "BTC-USDT-240927"),
        ("BTCUSD_PERP", "BTC-USD-PERP"),
    ],
)
def test_futures_exchange_info(venue_symbol: str, symbol: str) -> None:
    instrument = from_exchange_info(FUTURES, venue_symbol, "BINANCE_FUTURES")
    assert instrument.symbol == symbol == canonical_symbol(venue_symbol, True)
    assert (instrument.price_exponent, instrument.size_exponent) == (1, 3)
    assert instrument.rules == (Rule(0, 1, 1),)


def broken(**changes: Any) -> dict[str, Any]:
    """Spot exchangeInfo of BTCUSDT with changed members."""
    return {"symbols": ["noise", {**SPOT["symbols"][0], **changes}]}


def filters(kind: str, **members: str) -> list[Any]:
    """Filters of which one is damaged."""
    whole = {
        "PRICE_FILTER": {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
        "LOT_SIZE": {"filterType": "LOT_SIZE", "stepSize": "0.01"},
    }
    return ["noise", *({**whole, kind: {"filterType": kind, **members}}.values())]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "no list of symbols"),
        ([], "no list of symbols"),
        ({"symbols": {}}, "no list of symbols"),
        ({"code": -1121, "msg": "Invalid symbol."}, "no list of symbols"),
        ({"symbols": []}, "BTCUSDT is not among the 0 symbols"),
        ({"symbols": SPOT["symbols"][1:]}, "BTCUSDT is not among the 3 symbols"),
        (FUTURES, "of the futures market, not of spot"),
        (broken(baseAsset=None), "BTCUSDT: baseAsset is missing"),
        (broken(quoteAsset=""), "BTCUSDT: quoteAsset is missing"),
        (broken(filters=None), "BTCUSDT has no filter PRICE_FILTER"),
        (broken(filters=filters("PRICE_FILTER")[:2]), "PRICE_FILTER: tickSize is missing"),
        (broken(filters=filters("LOT_SIZE")[:2]), "BTCUSDT has no filter LOT_SIZE"),
        (broken(filters=filters("LOT_SIZE")), "BTCUSDT, LOT_SIZE: stepSize is missing"),
        (broken(filters=filters("LOT_SIZE", stepSize="x")), "BTCUSDT: LOT_SIZE.stepSize: 'x'"),
        (broken(filters=filters("LOT_SIZE", stepSize="1e-20")), "LOT_SIZE.stepSize: a grid"),
        (broken(filters=filters("LOT_SIZE", stepSize="1e20")), "LOT_SIZE.stepSize: '1e20' is too"),
        (broken(filters=filters("PRICE_FILTER", tickSize="0.00")), "is 0.00: the venue sets no"),
        (broken(filters=filters("PRICE_FILTER", tickSize="-1")), "is -1: the venue sets no"),
    ],
)
def test_wrong_documents_are_named(document: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        from_exchange_info(document, "BTCUSDT")
    assert message in caught.value.message
    assert "exchangeInfo" in caught.value.hint


def test_a_document_of_the_other_market_is_refused() -> None:
    with pytest.raises(InputError, match="of the spot market, not of futures"):
        from_exchange_info(SPOT, "BTCUSDT", "BINANCE_FUTURES")
    with pytest.raises(InputError, match="ODDUSDT: contractType '' is no perpetual"):
        from_exchange_info(FUTURES, "ODDUSDT", "BINANCE_FUTURES")


@pytest.mark.parametrize(
    ("venue_symbol", "perpetual", "symbol"),
    [
        ("BTCUSDT", False, "BTC-USDT"),
        ("ETHBTC", False, "ETH-BTC"),
        ("USDTTRY", False, "USDT-TRY"),
        ("FDUSDUSDT", False, "FDUSD-USDT"),
        ("BTCFDUSD", False, "BTC-FDUSD"),
        ("WBTCBTC", False, "WBTC-BTC"),
        ("1000PEPEUSDT", True, "1000PEPE-USDT-PERP"),
        ("ETHBTC", True, "ETH-BTC-PERP"),
        ("DOTUSD_PERP", True, "DOT-USD-PERP"),
        ("BNBUSD_240927", True, "BNB-USD-240927"),
        ("ETHUSDC_250328", True, "ETH-USDC-250328"),
        ("USDT", False, "USDT"),
        ("WHATEVER", True, "WHATEVER"),
        ("", False, ""),
    ],
)
def test_canonical_symbols(venue_symbol: str, perpetual: bool, symbol: str) -> None:
    assert canonical_symbol(venue_symbol, perpetual) == symbol


def inj() -> Instrument:
    """INJ-USDT, whose tick changed in the middle of a day."""
    change = 1_705_647_600 * SECOND
    return Instrument.given(
        "BINANCE",
        "INJ-USDT",
        "INJUSDT",
        [(change, "0.01", "0.01000000"), (0, "0.00100000", "0.1")],
    )


def test_dated_rules() -> None:
    instrument = inj()
    assert (instrument.price_exponent, instrument.size_exponent) == (3, 2)
    change = instrument.rules[1].since_ns
    assert instrument.rules == (Rule(0, 1, 10), Rule(change, 10, 1))
    assert (instrument.tick, instrument.lot) == (1, 10)
    assert instrument.rule_at(-5) == instrument.rule_at(0) == instrument.rules[0]
    assert instrument.rule_at(change - 1) == instrument.rules[0]
    assert instrument.rule_at(change) == instrument.rules[1]
    assert instrument.rule_at(2**62) == instrument.rules[1]


def test_rules_are_checked() -> None:
    with pytest.raises(InputError, match="INJ-USDT: rules must be dated in rising order"):
        Instrument.given("BINANCE", "INJ-USDT", "INJUSDT", [])
    with pytest.raises(InputError, match="rising order"):
        Instrument.given("BINANCE", "INJ-USDT", "INJUSDT", [(0, "1", "1"), (0, "2", "1")])
    with pytest.raises(InputError, match="rising order"):
        Instrument("BINANCE", "A-B", "AB", 0, 0, (Rule(2, 1, 1), Rule(1, 1, 1)))
    with pytest.raises(GridError, match="outside 0 … 18"):
        Instrument("BINANCE", "A-B", "AB", 0, 19, (Rule(0, 1, 1),))
    for tick, lot in (("0", "1"), ("1", "0"), ("-1", "1")):
        with pytest.raises(GridError, match="at least 1"):
            Instrument.given("BINANCE", "A-B", "AB", [(0, tick, lot)])
    with pytest.raises(GridError, match="not a decimal number"):
        Instrument.given("BINANCE", "A-B", "AB", [(0, "one", "1")])


def test_other_grids() -> None:
    instrument = inj()
    finer = instrument.with_exponents(8, 5)
    assert [rule.tick for rule in finer.rules] == [100_000, 1_000_000]
    assert [rule.lot for rule in finer.rules] == [10_000, 1_000]
    assert finer.with_exponents(3, 2) == instrument
    with pytest.raises(GridError, match=r"'0\.001' is finer than the grid of 10\^-2"):
        instrument.with_exponents(2, 2)
    with pytest.raises(GridError, match="too large"):
        Instrument("X", "A-B", "AB", 0, 0, (Rule(0, 10, 1),)).with_exponents(18, 0)
    with pytest.raises(GridError, match="outside 0 … 18"):
        instrument.with_exponents(3, 19)


def test_json_round_trip() -> None:
    instrument = inj()
    assert Instrument.from_dict(json.loads(json.dumps(instrument.to_dict()))) == instrument


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": 7},
        {"price_exponent": "3"},
        {"price_exponent": True},
        {"size_exponent": None},
        {"rules": None},
        {"rules": [{"since_ns": 0, "tick": 1}]},
        {"rules": [{"since_ns": 0, "tick": 1.5, "lot": 1}]},
        {"rules": [{"since_ns": 0, "tick": 2**63, "lot": 1}]},
        {"rules": [1]},
    ],
)
def test_damaged_descriptions_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="description of an instrument is damaged"):
        Instrument.from_dict({**inj().to_dict(), **change})
    values = inj().to_dict()
    del values[next(iter(change))]
    with pytest.raises(InputError, match="KeyError"):
        Instrument.from_dict(values)


@pytest.mark.parametrize("step", [1, 2, 5, 10, 20, 25, 50, 100, 250, 1000, 25_000, 10**9])
def test_infer_step(step: int) -> None:
    values = np.arange(-3000, 3001, dtype=np.int64) * step
    assert infer_step(values) == step
    finer = values.copy()
    finer[::2000] += 1  # 4 of 6000: orders older than the rule
    assert infer_step(finer) == step
    if step > 1:
        assert infer_step(finer, share=1.0) == 1


def test_infer_step_of_little() -> None:
    assert infer_step(np.zeros(5, np.int64)) == 1
    assert infer_step(np.array([], np.int64)) == 1
    assert infer_step(np.array([7], np.int64)) == 1
    assert infer_step(np.array([25, 75], np.int64)) == 25
    assert infer_step(np.array([-(2**63), 2**63 - 1], np.int64), share=0.4) == 2
    assert infer_step(np.array([10**18], np.int64)) == 10**18
