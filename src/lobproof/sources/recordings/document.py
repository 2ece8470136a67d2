"""``golden.json`` of an import: what the sample is, what it holds and what was wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import lobproof
from lobproof.errors import GridError
from lobproof.fixedpoint import MAX_EXPONENT
from lobproof.instruments import Instrument, Rule, canonical_symbol, from_exchange_info
from lobproof.sources.binance.message_kernels import (
    AGGREGATE,
    DEPTH,
    EMPTY,
    FOREIGN,
    INVALID,
    OTHER,
    SNAPSHOT,
    TICKER,
    TRADE,
)
from lobproof.sources.golden import GOLDEN_FORMAT, GOLDEN_VERSION
from lobproof.sources.recordings.audit import MAX_DIGITS
from lobproof.sources.recordings.intake import Intake

_NAMES = {
    "depth": DEPTH,
    "trade": TRADE,
    "aggTrade": AGGREGATE,
    "bookTicker": TICKER,
    "snapshot": SNAPSHOT,
    "other": OTHER,
    "other_symbol": FOREIGN,
    "invalid": INVALID,
    "blank": EMPTY,
}


def describe(
    intake: Intake,
    exchange: str,
    provenance: str,
    exchange_info: Mapping[str, Any] | None,
    exchange_info_sha256: str,
    *,
    snapshots_are_ours: bool,
) -> dict[str, Any]:
    """The document of a finished intake; closes its journals.

    Raises
    ------
    GridError
        When no grid holds all numbers, naming the lines of the finest and the largest.
    InputError
        When ``exchange_info`` does not fit.
    """
    instrument = _instrument(intake, exchange, exchange_info)
    trades = TRADE if intake.counts[TRADE] or not intake.counts[AGGREGATE] else AGGREGATE
    journals = [asdict(file) for file in intake.journal.close()]
    snapshots = _snapshots(intake, snapshots_are_ours)
    return {
        "format": GOLDEN_FORMAT,
        "format_version": GOLDEN_VERSION,
        "lobproof_version": lobproof.__version__,
        "exchange": exchange,
        "symbol": instrument.symbol,
        "venue_symbol": intake.symbol,
        "market": "spot" if exchange == "BINANCE" else "futures",
        "provenance": provenance,
        "price_exponent": instrument.price_exponent,
        "size_exponent": instrument.size_exponent,
        "instrument": instrument.to_dict(),
        "rules_from": "exchangeInfo" if exchange_info else "inferred",
        "span": {
            "first_recv_ns": intake.recv_span[0],
            "last_recv_ns": intake.recv_span[1],
            "first_event_ns": intake.event_span[0],
            "last_event_ns": intake.event_span[1],
        },
        "counts": {
            **{name: intake.counts[kind] for name, kind in _NAMES.items()},
            "level_changes": intake.level_changes,
            "without_execution": intake.without_execution,
        },
        "streams": intake.streams,
        "trade_stream": "trade" if trades == TRADE else "aggTrade",
        "chain": intake.chain.to_dict(),
        "trade_ids": intake.trades[trades].to_dict(),
        "snapshots": snapshots,
        "snapshot_limit": intake.snapshot_limit,
        "snapshots_are_ours": snapshots_are_ours,
        "clock": intake.clock.to_dict(),
        "inputs": intake.inputs,
        "journals": journals,
        "content_sha256": intake.journal.content_sha256,
        "findings": {
            "invalid": {"by_reason": dict(sorted(intake.reasons.items())), "listed": intake.listed},
            "truncated": intake.truncated,
        },
        "notes": _notes(intake, snapshots),
        "exchange_info_sha256": exchange_info_sha256,
    }


def _instrument(
    intake: Intake, exchange: str, exchange_info: Mapping[str, Any] | None
) -> Instrument:
    numbers = intake.numbers
    price_exponent, size_exponent = numbers.exponent(0), numbers.exponent(1)
    given: Instrument | None = None
    if exchange_info is not None:
        given = from_exchange_info(
            exchange_info,
            intake.symbol,
            exchange,
            price_exponent=min(price_exponent, MAX_EXPONENT),
            size_exponent=min(size_exponent, MAX_EXPONENT),
        )
        price_exponent = max(price_exponent, given.price_exponent)
        size_exponent = max(size_exponent, given.size_exponent)
    for which, (what, exponent) in enumerate((("price", price_exponent), ("size", size_exponent))):
        if exponent > MAX_EXPONENT or exponent + numbers.digits(which) > MAX_DIGITS:
            finest, largest = (intake.place(number) for number in numbers.at(which))
            raise GridError(
                f"no grid holds every {what}: {exponent} digits after the point at {finest}, "
                f"{numbers.digits(which)} before it at {largest}",
                hint=f"a grid has {MAX_DIGITS} digits in all; are these lines of one symbol?",
            )
    if given is not None:
        return given
    rule = Rule(0, numbers.step(0, price_exponent), numbers.step(1, size_exponent))
    symbol = canonical_symbol(intake.symbol, exchange != "BINANCE")
    return Instrument(exchange, symbol, intake.symbol, price_exponent, size_exponent, (rule,))


def _snapshots(intake: Intake, are_ours: bool) -> list[dict[str, Any]]:
    """Each with whether it is of this symbol.

    A REST snapshot names no symbol, and update ids of futures are one counter for the whole venue:
    where the recording holds other symbols' messages too, one that is not named is nobody's.
    """
    alone = are_ours or not intake.counts[FOREIGN]
    return [{**snapshot, "ours": alone or snapshot["named"]} for snapshot in intake.snapshots]


def _notes(intake: Intake, snapshots: list[dict[str, Any]]) -> list[str]:
    notes: list[str] = []
    if not intake.counts[DEPTH]:
        notes.append("no depth message: there is no book in it")
    elif not any(snapshot["ours"] for snapshot in snapshots):
        notes.append("no snapshot of this symbol: the book will be untrusted from first to last")
    if intake.counts[TRADE] and intake.counts[AGGREGATE]:
        notes.append("both trade and aggTrade were recorded: trade is used")
    if intake.without_execution:
        notes.append(
            f"{intake.without_execution:,} trade messages of price 0 and size 0 are no executions"
        )
    if intake.counts[FOREIGN]:
        notes.append(f"{intake.counts[FOREIGN]:,} lines of other symbols were left out")
    return notes
