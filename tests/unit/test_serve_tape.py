"""Tapes: the same bytes however they are made; what is derived; the book that REST tells."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import pytest

from lobproof.errors import InputError
from lobproof.serve import MarketName, Message, Tape, recorded_tape, simulated_tape
from lobproof.serve.state import SymbolState, VenueBook
from lobproof.sources.binance.decode import journal_entry
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import market_config, simulate
from support.venue import MS, SECOND, START, scripted


def _market(market: MarketName = "spot") -> Any:
    preset, symbol = ("btc", "SIMUSDT") if market == "spot" else ("perp", "SIMUSD_PERP")
    config = market_config(preset, start="2026-01-05T00:00:00Z")
    return replace(config, venue_symbol=symbol, warmup_s=5.0)


def _messages(tape: Tape, seconds: float) -> list[Message]:
    end = tape.start_ns + round(seconds * 1e9)
    return list(takewhile(lambda message: message.ts < end, tape.messages()))


def test_a_seed_gives_the_same_tape_whatever_the_batches() -> None:
    first = _messages(simulated_tape(_market(), "spot", 7), 12)
    again = _messages(simulated_tape(_market(), "spot", 7, chunk_events=700), 12)
    assert first == again
    assert first != _messages(simulated_tape(_market(), "spot", 8), 12)
    assert [message.ts for message in first] == sorted(message.ts for message in first)
    kinds = {message.key.partition("@")[2] for message in first}
    assert kinds == {"snapshot", "depth", "trade", "aggTrade", "bookTicker"}


def test_trades_of_one_taker_are_put_together() -> None:
    tape = simulated_tape(_market(), "spot", 7)
    messages = _messages(tape, 12)
    trades = [json.loads(m.payload) for m in messages if m.key == tape.key("trade")]
    together = [json.loads(m.payload) for m in messages if m.key == tape.key("aggTrade")]
    by_id = {trade["t"]: trade for trade in trades}
    expected = trades[0]["t"]
    for number, one in enumerate(together, start=together[0]["a"]):
        assert one["a"] == number
        assert one["f"] == expected
        parts = [by_id[t] for t in range(one["f"], one["l"] + 1)]
        assert {(p["T"], p["p"], p["m"]) for p in parts} == {(one["T"], one["p"], one["m"])}
        assert sum(Decimal(p["q"]) for p in parts) == Decimal(one["q"])
        expected = one["l"] + 1
    assert expected > trades[-10]["t"]
    assert len(together) < len(trades)


@pytest.mark.parametrize("market", ["usdm", "coinm"])
def test_futures_have_mark_prices_by_the_second(market: MarketName) -> None:
    tape = simulated_tape(_market(market), market, 7)
    messages = _messages(tape, 5)
    marks = [m for m in messages if m.key == tape.key("markPrice")]
    assert [(m.ts - tape.start_ns) // SECOND for m in marks] == [1, 2, 3, 4]
    depth = next(json.loads(m.payload) for m in messages if m.key == tape.key("depth"))
    assert "pu" in depth
    assert depth.get("ps") == (None if market == "usdm" else "SIMUSD")


def _golden(folder: Path, preset: str = "nexo") -> GoldenSample:
    made = simulate(folder / "sim", preset=preset, minutes=1.0, snapshot_every=20.0)
    return import_recordings(list(made.recordings), folder / "golden")


def test_a_recording_is_given_byte_for_byte_in_its_order(tmp_path: Path) -> None:
    sample = _golden(tmp_path)
    written = []
    for journal in sample.journals:
        for lines in read_frames(journal):
            assert not isinstance(lines, Loss)
            entries = map(journal_entry, lines.splitlines())
            written += [bytes(entry.data) for entry in entries if entry.stream != "control"]
    tape = recorded_tape(sample.path)
    given = [m for m in tape.messages() if not m.key.endswith("@aggTrade")]
    assert [m.payload for m in given] == written
    assert (tape.market, tape.provenance, tape.symbol) == ("spot", "synthetic", "SIMUSDT")
    assert tape.start_ns <= given[0].ts
    assert given[-1].ts == tape.end_ns


def test_the_book_of_a_recording_is_that_of_the_market(tmp_path: Path) -> None:
    sample = _golden(tmp_path)
    tape = recorded_tape(sample.path)
    state = SymbolState(tape)
    takers = dict(state.takers())
    snapshots = compared = 0
    for message in tape.messages():
        if message.key == tape.key("snapshot"):
            snapshots += 1
            told = json.loads(message.payload)
            if snapshots > 1 and told["lastUpdateId"] == state.book.last_id:
                compared += 1
                book = state.book.copy()
                assert [list(level) for level in book.bids] == told["bids"]
                assert [list(level) for level in book.asks] == told["asks"]
        takers.get(message.key, len)(message.payload)
    assert snapshots == 3
    assert compared


def test_a_damaged_recording_is_an_error(tmp_path: Path) -> None:
    sample = _golden(tmp_path)
    journal = sample.journals[-1]
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 0xFF
    journal.write_bytes(bytes(data))
    with pytest.raises(InputError, match="cannot be read"):
        list(recorded_tape(sample.path).messages())


def _snapshot(last_id: int, price: str = "9.00") -> bytes:
    levels = [[price, "1.000"]]
    return json.dumps({"lastUpdateId": last_id, "bids": levels, "asks": []}).encode()


def _depth(first: int, last: int, price: str, size: str, **more: int) -> bytes:
    told = {"E": 1, "U": first, "u": last, "b": [[price, size]], "a": [], **more}
    return json.dumps(told).encode()


def test_a_snapshot_that_comes_late_is_placed_among_the_messages_before_it() -> None:
    book = VenueBook()
    book.depth(_depth(1, 10, "8.00", "1"))
    book.depth(_depth(11, 20, "8.01", "2"))
    assert book.copy().bids == [("8.01", "2"), ("8.00", "1")]  # what is known only
    book.snapshot(_snapshot(15))
    assert book.last_id == 20
    assert book.copy().bids == [("9.00", "1.000"), ("8.01", "2")]
    book.snapshot(_snapshot(20, "1.00"))  # not needed
    book.depth(_depth(21, 22, "9.00", "0.000"))
    assert book.copy(1).bids == [("8.01", "2")]
    book.depth(_depth(15, 18, "7.00", "5"))  # from before
    assert len(book.copy().bids) == 1


@pytest.mark.parametrize("futures", [False, True])
def test_a_broken_chain_begins_the_book_anew(futures: bool) -> None:
    book = VenueBook()
    book.snapshot(_snapshot(10))
    book.depth(_depth(11, 20, "8.00", "1", **({"pu": 10} if futures else {})))
    assert len(book.copy().bids) == 2
    book.depth(_depth(31, 40, "7.00", "1", **({"pu": 30} if futures else {})))
    assert book.copy().bids == [("7.00", "1")]
    book.snapshot(_snapshot(25))  # from before the loss
    assert book.copy().bids == [("7.00", "1")]
    book.snapshot(_snapshot(35))
    assert book.copy().bids == [("9.00", "1.000"), ("7.00", "1")]
    kept = book.clone()
    book.depth(_depth(41, 50, "9.00", "0", **({"pu": 40} if futures else {})))
    assert (len(kept.copy().bids), len(book.copy().bids)) == (2, 1)


def test_trades_that_are_none_are_in_no_aggregate() -> None:
    plain = scripted("usdm")

    def source() -> Any:
        trade = {"e": "trade", "E": 1, "t": 1, "p": "0", "q": "0", "T": 1, "m": True, "X": "NA"}
        yield Message(START, plain.key("trade"), json.dumps(trade).encode())
        yield from islice(plain.source(), 40)

    tape = replace(plain, source=source)
    together = [m for m in tape.messages() if m.key == tape.key("aggTrade")]
    assert together
    assert json.loads(together[0].payload)["f"] == 501
    assert all(m.ts // MS % 100 == 0 for m in together)
