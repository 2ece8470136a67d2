"""The byte parser and msgspec: the same values, and a reason for what is invalid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lobproof.errors import GridError
from lobproof.instruments import Instrument, Rule
from lobproof.schema import Flag, Kind, Side
from lobproof.sources.binance import scanner as scanner_module
from lobproof.sources.binance.decode import (
    Problem,
    decode_journal,
    decode_recording,
    symbol_of,
)
from lobproof.sources.binance.rows import book_batch, snapshots_in, ticker_batch, trade_batch
from lobproof.sources.binance.scan_kernels import (
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
from lobproof.sources.binance.scanner import Scanner
from support.wire import (
    NS,
    T0,
    aggregate,
    decoded_values,
    depth,
    futures_ticker,
    futures_trade,
    journal_line,
    row_values,
    scanned,
    snapshot,
    stamped,
    ticker,
    tight,
    trade,
    wrapped,
)

pytestmark = pytest.mark.kernels

INSTRUMENT = Instrument("BINANCE", "BTC-USDT", "BTCUSDT", 2, 5, (Rule(0, 1, 1),))
BIDS = [("61737.63000000", "0.00000000"), ("61730.17", "1.5")]
ASKS = [("61837.64000000", "1.54698000")]


def _coin_margined(payload: dict[str, Any]) -> dict[str, Any]:
    """With the pair behind the symbol, and a ticker's id first."""
    fields = (
        sorted(payload, key=lambda name: name != "u") if payload["e"] == "bookTicker" else payload
    )
    return {
        name: value
        for field in fields
        for name, value in ((field, payload[field]), *([("ps", "BTCUSDT")] if field == "s" else []))
    }


STRICT: list[tuple[int, dict[str, Any]]] = [
    (DEPTH, depth(7, 9, BIDS, ASKS)),
    (DEPTH, depth(7, 9)),
    (DEPTH, depth(7, 7, BIDS, [])),
    (DEPTH, depth(7, 9, [], ASKS, pu=3)),
    (DEPTH, depth(7, 9, BIDS, ASKS, time=T0 * 1000 + 123)),
    (TRADE, trade(3, "1.10", "0.5")),
    (TRADE, trade(3, "1.10", "0.5", sold=True)),
    (TRADE, {**trade(3, "1.10", "0.5"), "M": False}),
    (TRADE, futures_trade(3, "1.10", "0.5")),
    (AGGREGATE, aggregate(3, 8, "1.10", "0.5")),
    (TICKER, ticker(5, ("1.10", "3"), ("1.20", "4.5"))),
    (TICKER, ticker(5, ("0.00000000", "0.00000000"), ("1.20", "4.5"))),
    (TICKER, futures_ticker(5, ("1.10", "3"), ("1.20", "4.5"))),
    (DEPTH, _coin_margined(depth(7, 9, BIDS, ASKS, pu=3))),
    (TICKER, _coin_margined(futures_ticker(5, ("1.10", "3"), ("1.20", "4.5")))),
    (SNAPSHOT, snapshot(11, BIDS[1:], ASKS)),
    (SNAPSHOT, snapshot(11, [], [])),
    (SNAPSHOT, {"lastUpdateId": 11, "E": T0, "T": T0 - 1, "bids": [], "asks": [["2", "1"]]}),
    (
        SNAPSHOT,
        {
            "lastUpdateId": 11,
            "E": T0,
            "T": T0 - 1,
            "symbol": "BTCUSDT",
            "pair": "BTCUSDT",
            "bids": [["1", "1"]],
            "asks": [["2", "1"]],
        },
    ),
]


def _no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the byte parser left this line to msgspec")

    monkeypatch.setattr(scanner_module, "decode_recording", refuse)
    monkeypatch.setattr(scanner_module, "decode_journal", refuse)


@pytest.mark.parametrize(("kind", "payload"), STRICT)
def test_strict_lines_are_parsed_alike_by_both(
    kind: int, payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [wrapped(payload), tight(payload)]
    data = stamped(texts)
    expected = [decoded_values(decode_recording(line, "BTCUSDT")) for line in data.splitlines()]
    _no_fallback(monkeypatch)
    block = scanned(data)
    assert [row_values(block, row) for row in range(2)] == expected
    assert [values["kind"] for values in expected] == [kind, kind]
    assert expected[0]["data"] == tight(payload).encode()


@pytest.mark.parametrize(("kind", "payload"), STRICT)
def test_journal_lines_are_parsed_alike_by_both(
    kind: int, payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {DEPTH: "depth", TRADE: "trade", AGGREGATE: "aggTrade", TICKER: "bookTicker"}
    line = journal_line(tight(payload), f"btcusdt@{names.get(kind, 'snapshot')}")
    expected = decoded_values(decode_journal(line.rstrip(), "BTCUSDT"))
    _no_fallback(monkeypatch)
    assert row_values(scanned(line, recorded=False), 0) == expected
    assert expected["kind"] == kind


@pytest.mark.parametrize(("kind", "payload"), STRICT)
def test_every_cut_and_every_wrong_byte_is_noticed(kind: int, payload: dict[str, Any]) -> None:
    text = tight(payload)
    cuts = [f"{text[:at]}}}" for at in range(1, len(text))]
    wrong = [f"{text[:at]}~{text[at + 1 :]}" for at in range(1, len(text) - 1)]
    names = {DEPTH: "depth", TRADE: "trade", AGGREGATE: "aggTrade", TICKER: "bookTicker"}
    stream = f"btcusdt@{names.get(kind, 'snapshot')}"
    for variants in (cuts, wrong):
        data = b"".join(journal_line(variant, stream) for variant in variants)
        block = scanned(data, recorded=False)
        for row, line in enumerate(data.splitlines()):
            try:
                expected = decode_journal(line, "BTCUSDT").kind
            except Problem:
                expected = INVALID
            assert block.messages[row].kind == expected
        # a wrong byte in a field's name or value that is not decoded leaves a message
        assert np.count_nonzero(block.messages["kind"] == INVALID) > 0.7 * len(variants)


def test_numbers_of_a_length_that_no_grid_holds_are_left_to_msgspec() -> None:
    number = "1." + "0" * 60
    block = scanned(stamped([wrapped(depth(1, 2, [(number, "1")]))]))
    assert row_values(block, 0)["bids"] == [(number.encode(), b"1")]


def test_a_blank_behind_commas_and_colons_is_strict_in_snapshots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = '{"lastUpdateId": 11, "bids": [["1.2", "3"], ["1.1", "4"]], "asks": [["1.3", "5"]]}'
    _no_fallback(monkeypatch)
    values = row_values(scanned(stamped([text])), 0)
    assert values["bids"] == [(b"1.2", b"3"), (b"1.1", b"4")]
    assert values["asks"] == [(b"1.3", b"5")]


def test_old_trades_with_order_ids_are_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        '{"e":"trade","E":1700000000001,"s":"BTCUSDT","t":3,"p":"1.5","q":"2","b":88,"a":50,'
        '"T":1700000000000,"m":true,"M":true}'
    )
    _no_fallback(monkeypatch)
    values = row_values(scanned(stamped([text])), 0)
    assert values["ids"] == (3, 3, 2)
    assert values["taker"] == int(Side.SELL)


DEPTH_TEXT = tight(depth(7, 9, [("1.5", "2.0")], [("1.6", "0")]))
IRREGULAR = [
    DEPTH_TEXT.replace(",", " , ").replace(":", " : "),
    DEPTH_TEXT.replace('"s":"BTCUSDT",', "").replace('{"e"', '{"s":"BTCUSDT","e"'),
    DEPTH_TEXT.replace('"U":7', '"st":[{"x":1}],"U":7'),
    DEPTH_TEXT.replace('"1.5","2.0"', "1.5,2.0"),
    DEPTH_TEXT.replace('"1.5"', '"\\u0031.5"'),
    DEPTH_TEXT.replace("BTCUSDT", "\\u0042TCUSDT"),
    DEPTH_TEXT.replace('"1.5"', '"15e-1"'),
    DEPTH_TEXT.replace('"1.5"', "0.15E1"),
    DEPTH_TEXT.replace('"0"', '"-0"'),
]


@pytest.mark.parametrize("payload", IRREGULAR)
def test_other_spellings_of_the_same_message(payload: str) -> None:
    strict = scanned(stamped([wrapped(depth(7, 9, [("1.5", "2.0")], [("1.6", "0")]))]))
    other = scanned(stamped([f'{{"data":{payload} , "stream":"btcusdt@depth@100ms"}}']))
    assert not other.problems
    expected, seen = row_values(strict, 0), row_values(other, 0)
    assert seen.pop("data") == payload.encode()
    expected.pop("data")
    assert seen == expected
    for field in ("price", "size", "sequence", "prev_sequence", "ts_event", "ts_recv", "flags"):
        assert np.array_equal(
            getattr(book_batch(strict, INSTRUMENT), field),
            getattr(book_batch(other, INSTRUMENT), field),
        )


def _trade_with(**fields: Any) -> str:
    return tight({**trade(3, "1.5", "2"), **fields})


INVALID_PAYLOADS = [
    ("depth@100ms", DEPTH_TEXT[:-9], "json"),
    ("depth@100ms", "nonsense", "json"),
    ("depth@100ms", "[" * 5000, "json"),
    ("depth@100ms", '{"e":"depthUpdate","E":1}', "shape"),
    ("depth@100ms", DEPTH_TEXT.replace('"U":7', '"U":"7"'), "shape"),
    ("depth@100ms", DEPTH_TEXT.replace('"U":7', '"U":-7'), "shape"),
    ("depth@100ms", DEPTH_TEXT.replace('["1.5","2.0"]', '["1.5"]'), "shape"),
    ("depth@100ms", DEPTH_TEXT.replace('"1.5"', "true"), "number"),
    ("depth@100ms", DEPTH_TEXT.replace('"1.5"', '"1,5"'), "number"),
    ("depth@100ms", DEPTH_TEXT.replace('"1.5"', '" 1.5"'), "number"),
    ("depth@100ms", DEPTH_TEXT.replace('"1.5"', '"NaN"'), "number"),
    ("depth@100ms", DEPTH_TEXT.replace('"1.5"', '"1e9999"'), "number"),
    ("depth@100ms", DEPTH_TEXT.replace('"1.5"', '"٣"'), "number"),
    ("depth@100ms", DEPTH_TEXT.replace('"1.5"', '"-1.5"'), "negative"),
    ("depth@100ms", DEPTH_TEXT.replace('"2.0"', '"-2.0"'), "negative"),
    ("depth@100ms", DEPTH_TEXT.replace('"1.5"', '"0.00"'), "price"),
    ("depth@100ms", DEPTH_TEXT.replace('"u":9', '"u":6'), "ids"),
    ("depth@100ms", DEPTH_TEXT.replace('"U":7', '"U":0'), "ids"),
    ("depth@100ms", tight(depth(7, 9, pu=10)), "ids"),
    ("depth@100ms", DEPTH_TEXT.replace(str(T0), "99999999999999"), "time"),
    ("depth@100ms", DEPTH_TEXT.replace("BTCUSDT", "ETHUSDT"), "symbol"),
    ("depth@100ms", tight(trade(3, "1.5", "2")), "kind"),
    ("depth@100ms", tight(snapshot(3, [], [])), "kind"),
    ("trade", DEPTH_TEXT, "kind"),
    ("trade", _trade_with(p="0"), "price"),
    ("trade", _trade_with(q="0.000"), "size"),
    ("trade", _trade_with(p="-1"), "negative"),
    ("trade", _trade_with(m=1), "shape"),
    ("trade", _trade_with(s="ETHUSDT"), "symbol"),
    ("aggTrade", tight(aggregate(8, 3, "1", "1")), "ids"),
    ("aggTrade", tight(trade(3, "1.5", "2")), "kind"),
    ("bookTicker", tight({**ticker(5, ("1", "1"), ("2", "1")), "s": "ETHUSDT"}), "symbol"),
    ("bookTicker", tight({**futures_ticker(5, ("1", "1"), ("2", "1")), "e": "kline"}), "kind"),
    ("bookTicker", tight({**ticker(5, ("1", "1"), ("2", "1")), "B": None}), "number"),
    ("bookTicker", "{}", "shape"),
    ("depth@100ms", "[1]", "shape"),
    ("trade", '{"e":5}', "shape"),
]


@pytest.mark.parametrize(("stream", "payload", "reason"), INVALID_PAYLOADS)
def test_what_is_not_what_it_claims_is_invalid_with_a_reason(
    stream: str, payload: str, reason: str
) -> None:
    data = stamped([f'{{"stream":"btcusdt@{stream}","data":{payload}}}'])
    block = scanned(data)
    assert block.messages[0].kind == INVALID
    assert block.problems[0].reason == reason, block.problems[0]
    assert block.line(0) == data.rstrip(b"\n")
    with pytest.raises(Problem):
        decode_recording(data.rstrip(b"\n"), "BTCUSDT")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"17000 {}",
        b"1700000000000000000{}",
        b"1700000000000000000",
        b"9999999999999999999 {}",
        b"17000000000000000x0 {}",
    ],
)
def test_a_line_without_a_proper_stamp_is_invalid(line: bytes) -> None:
    block = scanned(line + b"\n" + stamped(["{}"]))
    expected = EMPTY if not line else INVALID
    assert block.messages["kind"].tolist() == [expected, OTHER]
    assert all(problem.reason == "stamp" for problem in block.problems.values())


OTHERS = [
    ('{"result":null,"id":1}', OTHER),
    ('{"e":"serverShutdown","E":1700000000000}', OTHER),
    ('{"code":-1121,"msg":"Invalid symbol."}', OTHER),
    ("[1,2]", OTHER),
    ("null", OTHER),
    ('{"stream":"btcusdt@depth20@100ms","data":' + tight(snapshot(3, [], [])) + "}", OTHER),
    ('{"stream":"btcusdt@depth5","data":' + DEPTH_TEXT + "}", OTHER),
    ('{"stream":"btcusdt@kline_1m","data":{"e":"kline"}}', OTHER),
    ('{"stream":"!bookTicker","data":{}}', OTHER),
    ('{"stream":"!miniTicker@arr","data":[]}', OTHER),
    ('{"stream":"ethusdt@depth@100ms","data":' + DEPTH_TEXT + "}", FOREIGN),
    ('{"stream":"ETHUSDT@trade","data":{}}', FOREIGN),
    (DEPTH_TEXT.replace("BTCUSDT", "ETHUSDT"), FOREIGN),
    ('{"stream":"BTCUSDT@depth","data":' + DEPTH_TEXT + "}", DEPTH),
    ('{"stream":"btcusdt@depth@250ms","data":' + DEPTH_TEXT + "}", DEPTH),
]


@pytest.mark.parametrize(("text", "kind"), OTHERS)
def test_what_is_not_decoded_is_told_apart(text: str, kind: int) -> None:
    data = stamped([text])
    block = scanned(data)
    assert not block.problems
    assert block.messages[0].kind == kind
    assert decode_recording(data.rstrip(b"\n"), "BTCUSDT").kind == kind


def test_a_stream_that_is_no_text_is_invalid() -> None:
    block = scanned(stamped(['{"stream":5,"data":{}}', '{"e":5}']))
    assert [block.problems[row].reason for row in (0, 1)] == ["shape", "shape"]


@pytest.mark.parametrize(
    "name",
    [
        *("invalid", "control", r"cont\u0072ol", r"a\"b", r"a\\b", r"a\nb", r"a\u001b[31mb"),
        *(r"a\u009b31m", r"a\u202eb", "a\u202eb", "btcusdt@trade\u200b"),
    ],
)
def test_a_name_that_a_journal_cannot_hold_is_invalid(name: str) -> None:
    block = scanned(stamped([f'{{"stream":"{name}","data":{{"e":"x"}}}}']))
    (problem,) = block.problems.values()
    assert problem.reason == "stream"
    assert problem.detail.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        '{"stream":"btcusdt@kline","data":1,"stream":"btcusdt@depth","data":' + DEPTH_TEXT + "}",
        '{"stream":"btcusdt@depth","data":' + DEPTH_TEXT.replace('"u":', '"u":1,"u":') + "}",
        DEPTH_TEXT.replace('"s":', r'"\u0073":"ETHUSDT","s":'),
    ],
)
def test_a_key_that_stands_twice_is_invalid(text: str) -> None:
    line = stamped([text])
    (problem,) = scanned(line).problems.values()
    assert (problem.reason, problem.detail[-12:]) == ("json", "stands twice")
    journal = b'{"capture_ns":1,"conn":0,' + text.encode().removeprefix(b"{") + b"\n"
    with pytest.raises(Problem, match="stands twice"):
        decode_journal(journal, "BTCUSDT")


def test_line_ends_and_stamp_units() -> None:
    text = wrapped(trade(3, "1.5", "2"))
    for digits in (10, 13, 16, 19):
        stamp = str(T0 * NS)[:digits]
        data = f"{stamp} {text}\r\n\n\r\n{stamp}  {text}\n{stamp}\t{text}".encode()
        block = scanned(data)
        assert block.messages["kind"].tolist() == [TRADE, EMPTY, EMPTY, TRADE, TRADE]
        assert {row_values(block, row)["recv"] for row in (0, 3, 4)} == {T0 * NS}
        assert row_values(block, 0)["data"] == tight(trade(3, "1.5", "2")).encode()


def test_nothing_at_all() -> None:
    assert len(scanned(b"").messages) == 0


def test_unwanted_kinds_are_told_apart_but_not_parsed() -> None:
    texts = [wrapped(payload) for _, payload in STRICT] + ['{"stream":"btcusdt@trade","data":{}}']
    block = Scanner("BTCUSDT", (TRADE,), recorded=True).scan(stamped(texts), "file", 1)
    kinds = [kind for kind, _ in STRICT]
    assert block.messages["kind"][:-1].tolist() == kinds
    assert len(block.levels) == kinds.count(TRADE)
    assert list(block.problems) == [len(texts) - 1]


def test_rows_of_a_book() -> None:
    texts = [
        wrapped(depth(7, 9, [("1.50", "2.5"), ("1.49", "0")], [("1.51", "1")])),
        wrapped(depth(10, 12)),
        wrapped(trade(1, "1.5", "1")),
        wrapped(depth(13, 13, [], [("1.52", "0.00001")], time=T0 + 100)),
    ]
    batch = book_batch(scanned(stamped(texts)), INSTRUMENT)
    assert batch.kind.tolist() == [Kind.DELTA] * 3 + [Kind.MARK, Kind.DELTA]
    assert batch.side.tolist() == [Side.BID, Side.BID, Side.ASK, Side.NONE, Side.ASK]
    assert batch.price.tolist() == [150, 149, 151, 0, 152]
    assert batch.size.tolist() == [250000, 0, 100000, 0, 1]
    assert batch.sequence.tolist() == [9, 9, 9, 12, 13]
    assert batch.prev_sequence.tolist() == [6, 6, 6, 9, 12]
    assert batch.ts_event.tolist() == [T0 * NS] * 4 + [(T0 + 100) * NS]
    assert batch.ts_recv.tolist() == [T0 * NS] * 3 + [(T0 + 10) * NS, (T0 + 30) * NS]
    last = int(Flag.LAST)
    assert batch.flags.tolist() == [0, 0, last, last, last]
    assert not batch.ts_order.any()


def test_rows_of_trades_and_tickers() -> None:
    texts = [
        wrapped(trade(4, "1.50", "2", time=T0 + 5, sold=True)),
        wrapped(ticker(8, ("1.49", "3"), ("1.51", "4"))),
        wrapped(aggregate(5, 9, "1.51", "1")),
        wrapped(futures_ticker(9, ("0", "0"), ("1.51", "4"))),
    ]
    block = scanned(stamped(texts))
    raw, joined = (trade_batch(block, kind, INSTRUMENT) for kind in (TRADE, AGGREGATE))
    assert (raw.sequence[0], raw.prev_sequence[0], raw.side[0]) == (4, 3, Side.SELL)
    assert (raw.ts_event[0], raw.price[0], raw.size[0]) == ((T0 + 5) * NS, 150, 200000)
    assert (joined.sequence[0], joined.prev_sequence[0], joined.side[0]) == (9, 4, Side.BUY)
    assert raw.kind.tolist() == joined.kind.tolist() == [Kind.TRADE]
    assert raw.flags.tolist() == joined.flags.tolist() == [int(Flag.LAST)]
    tickers = ticker_batch(block, INSTRUMENT)
    assert tickers.sequence.tolist() == [8, 9]
    assert tickers.bid.tolist() == [149, 0]
    assert tickers.ask_size.tolist() == [400000, 400000]
    assert tickers.ts_event.tolist() == [0, (T0 + 1) * NS]


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("1.505", "2"), "'1.505' is finer than the grid of 10^-2"),
        (("1.50", "2.000001"), "'2.000001' is finer than the grid of 10^-5"),
        (("1.50", "99999999999999999"), "'99999999999999999' is too large"),
    ],
)
def test_a_number_off_the_grid_names_file_and_line(pair: tuple[str, str], words: str) -> None:
    fine = wrapped(depth(1, 2, [("1.5", "1")]))
    with pytest.raises(GridError) as caught:
        book_batch(scanned(stamped([fine, wrapped(depth(3, 4, [], [pair]))])), INSTRUMENT)
    assert "file, line 2" in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint
    with pytest.raises(GridError, match="file, line 2"):
        trade_batch(scanned(stamped([fine, wrapped(trade(1, *pair))])), TRADE, INSTRUMENT)
    with pytest.raises(GridError, match="file, line 1"):
        ticker_batch(scanned(stamped([wrapped(ticker(1, ("1", "1"), pair))])), INSTRUMENT)
    with pytest.raises(GridError, match="file, line 2"):
        list(
            snapshots_in(scanned(stamped([fine, tight(snapshot(1, [pair], []))])), INSTRUMENT, None)
        )


def test_marks_of_journal_lines() -> None:
    lines = (
        b'{"capture_ns":5,"stream":"invalid","conn":0,"reason":"json","file":"f","line":3,'
        b'"data_b64":"eA=="}\n'
        b'{"capture_ns":6,"stream":"invalid","conn":0,"reason":"json","file":"f","line":4,'
        b'"data_b64":"eyJzdHJlYW0iOiJidGN1c2R0QHRyYWRlIg=="}\n'
        b'{"capture_ns":7,"stream":"control","conn":0,"event":"file_start","file":"f"}\n'
        b'{"capture_ns":8,"stream":"control","conn":0,"event":"truncated","file":"f"}\n'
        b'{"capture_ns":9,"stream":"invalid","conn":0,"data_b64":"*"}\n'
        b'{"capture_ns":10,"stream":"btcusdt@depth","conn":0}\n'
        b"not even JSON\n"
        b'{"capture_ns":12,"stream":"control","conn":0,"event":7}\n'
    )
    block = scanned(lines, recorded=False)
    batch = book_batch(block, INSTRUMENT)
    invalid = int(Flag.INVALID | Flag.LAST)
    assert batch.flags.tolist() == [
        invalid,
        invalid | int(Flag.TRADES),
        int(Flag.RECONNECT | Flag.LAST),
        invalid,
        invalid,
        invalid,
        invalid,
    ]
    assert batch.ts_recv.tolist()[:3] == [5, 6, 8]
    assert set(batch.sequence.tolist()) == set(batch.prev_sequence.tolist()) == {-1}
    assert set(batch.kind.tolist()) == {Kind.MARK}
    assert sorted(block.problems) == [4, 5, 6, 7]


def test_the_symbol_of_a_line() -> None:
    def seen(text: str) -> str | None:
        return symbol_of(f"1700000000 {text}".encode())

    assert seen(wrapped(trade(1, "1", "1"))) == "BTCUSDT"
    assert seen(tight(trade(1, "1", "1", symbol="X"))) == "X"
    assert seen('{"stream":"!ticker@arr","data":[]}') is None
    assert seen('{"stream":7}') is None
    assert seen("nonsense") is None
    assert seen(tight(snapshot(1, [], []))) is None
    assert symbol_of(b"") is None
