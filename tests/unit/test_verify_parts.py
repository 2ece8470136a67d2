"""The parts of `verify` by themselves: the plain decoder, ids, bounds, the plain book."""

from __future__ import annotations

import ast
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lobproof.errors import InputError
from lobproof.fidelity import exact
from lobproof.fidelity.exact.decoder import TICKERS, Chunk, PlainDecoder
from lobproof.fidelity.exact.ids import LATE, NEW, REPEATED, SeenIds
from lobproof.fidelity.exact.integrity import off_grid
from lobproof.fidelity.exact.report import (
    GATE_A,
    GATE_B,
    Check,
    TimeRate,
    Verdict,
    VerifyReport,
    block_rate,
    student_95,
    time_rate,
)
from lobproof.fidelity.exact.snapshots import PlainBook
from lobproof.fidelity.exact.tops import TickerTape
from lobproof.fidelity.render import render_report
from lobproof.schema import Flag, Side
from lobproof.sources.binance.journal import JournalWriter
from support.market import MIDNIGHT, make_market

DECIMAL = pl.Decimal(38, 18)


def decode(
    folder: Path,
    messages: list[tuple[str, Any]],
    *,
    trades: str = "trade",
    lines: int = 1 << 16,
    clock: str = "E",
) -> tuple[list[Chunk], PlainDecoder]:
    writer = JournalWriter(folder)
    for stream, data in messages:
        text = data if isinstance(data, str) else json.dumps(data)
        line = f'{{"capture_ns":{MIDNIGHT},"stream":"{stream}","conn":0,"data":{text}}}\n'
        writer.append(line.encode(), MIDNIGHT)
    journals = [folder / file.name for file in writer.close()]
    decoder = PlainDecoder(journals, "BTCUSDT", trades, clock)
    return list(decoder.chunks(lines)), decoder


def depth(first: int, last: int, **fields: Any) -> tuple[str, dict[str, Any]]:
    data = {"e": "depthUpdate", "E": 5, "s": "BTCUSDT", "U": first, "u": last, "b": [], "a": []}
    return "btcusdt@depth@100ms", {**data, **fields}


def test_depth_as_documented(tmp_path: Path) -> None:
    (chunk,), decoder = decode(
        tmp_path,
        [
            depth(1, 3, b=[["1.50", "0.00000000"]], a=[["2", "3.000000000000000001"]]),
            depth(2, 3, b=[["9", "9"]]),  # at the last id: dropped
            depth(4, 6, pu=2, E=1_723_161_600_000_123),  # empty, futures, microseconds
            ("ethusdt@depth", {}),
            ("btcusdt@depth", depth(7, 7, s="ETHUSDT")[1]),
            ("btcusdt@kline_1m", {"whatever": 1}),
            ("control", "0"),
            depth(8, 8, b=[["x", "1"]]),
            depth(9, 9, b=[["-1", "1"]]),
            ("btcusdt@depth", '{"e":"depthUpdate","E":0,"s":"BTCUSDT","U":10,"u":10,"pu":null,'
             '"b":[[61737.63000000,1e-5]],"a":[[7,"1E+2"]]}'),
        ],
    )  # fmt: skip
    assert chunk.levels.select("id", "prev", "ts", "side", "price", "size").rows() == [
        (3, 0, 5_000_000, 1, Decimal("1.5"), Decimal(0)),
        (3, 0, 5_000_000, 2, Decimal(2), Decimal("3.000000000000000001")),
        (6, 2, 1_723_161_600_000_123_000, 0, Decimal(0), Decimal(0)),
        (10, 9, 0, 1, Decimal("61737.63"), Decimal("0.00001")),
        (10, 9, 0, 2, Decimal(7), Decimal(100)),
    ]
    # the clock goes on with the last time that was sane
    assert chunk.levels["clock"][-1] == 1_723_161_600_000_123_000
    tally = decoder.tally
    assert (tally.lines, tally.depth, tally.empty, tally.repeated) == (10, 4, 1, 1)
    assert tally.unreadable == 3
    assert "ETHUSDT" in tally.first_unreadable
    assert "line 5" in tally.first_unreadable


def test_a_depth_message_on_futures_has_two_times(tmp_path: Path) -> None:
    """Which of them was stored the seal says; without a T it is E."""
    stamped = [depth(1, 2, pu=0, E=7, T=5), depth(3, 4, pu=2, E=9)]
    for clock, times in (("E", [7, 9]), ("T", [5, 9])):
        (chunk,), _ = decode(tmp_path / clock, stamped, clock=clock)
        assert (chunk.levels["ts"] // 10**6).to_list() == times
        assert (chunk.levels["clock"] // 10**6).to_list() == times


def test_trades_raw_and_aggregated(tmp_path: Path) -> None:
    def trade(key: int, maker: bool, time: int = 7) -> tuple[str, dict[str, Any]]:
        return "btcusdt@trade", {
            "s": "BTCUSDT", "t": key, "p": "1.5", "q": "2", "T": time, "m": maker,
        }  # fmt: skip

    far = 4_000_000_000_000  # a stamp in the future does not move the clock
    messages = [
        trade(5, True, far),
        trade(8, False),
        trade(7, False),
        trade(5, True),
        trade(4, True),
    ]
    (chunk,), decoder = decode(tmp_path / "raw", messages)
    assert chunk.trades["id"].to_list() == [5, 8, 7, 4]
    assert chunk.trades["prev"].to_list() == [4, 7, 6, 3]
    assert chunk.trades["side"].to_list() == [2, 1, 1, 2]
    assert chunk.trades["clock"].to_list() == [MIDNIGHT, 7_000_000, 7_000_000, 7_000_000]
    assert decoder.tally.repeated_trades == 1
    aggregate = {"s": "BTCUSDT", "a": 1, "f": 5, "l": 9, "p": "1", "q": "2", "T": 7, "m": False}
    (chunk,), _ = decode(
        tmp_path / "agg", [("btcusdt@aggTrade", aggregate), trade(1, True)], trades="aggTrade"
    )
    assert chunk.trades.select("id", "prev", "side").rows() == [(9, 4, 1)]


def test_snapshots_and_partial_books(tmp_path: Path) -> None:
    book = {"lastUpdateId": 4, "bids": [["2", "1"], ["1", "1"]], "asks": [["3", "5"]]}
    (chunk,), _ = decode(
        tmp_path,
        [
            ("btcusdt@snapshot", book),
            ("btcusdt@snapshot", {"lastUpdateId": 5, "bids": [], "asks": []}),
            ("btcusdt@depth5", book),
            ("btcusdt@depth20@100ms", book),
            ("btcusdt@depth7", book),
        ],
    )
    assert chunk.snapshots.select("message", "u", "side", "slot").rows() == [
        (0, 4, 1, 0), (0, 4, 1, 1), (0, 4, 2, 0), (1, 5, 0, 0),
    ]  # fmt: skip
    assert chunk.partials.height == 6


def test_numbers_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="123456789012345678901"):
        decode(tmp_path, [depth(1, 1, b=[["123456789012345678901", "1"]])])


def test_a_journal_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    decode(tmp_path, [depth(1, 1)])
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(InputError, match="cannot be read"):
        list(PlainDecoder([file], "BTCUSDT", "trade").chunks())


def test_chunks_make_no_difference(tmp_path: Path) -> None:
    market = make_market()
    golden = market.write_golden(tmp_path / "golden")
    journals = sorted((golden / "journal").iterdir())

    def whole(lines: int) -> list[pl.DataFrame]:
        chunks = list(PlainDecoder(journals, "BTCUSDT", "trade").chunks(lines))
        names = ("levels", "trades", "tickers", "partials", "snapshots")
        return [pl.concat(getattr(chunk, name) for chunk in chunks) for name in names]

    once = whole(1 << 16)
    for lines in (1, 7, len(market.lines)):
        assert all(a.equals(b) for a, b in zip(once, whole(lines), strict=True))


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 7))
def test_ids_against_a_set(ids: list[int], cut: int) -> None:
    seen: set[int] = set()
    high = 0
    expected = []
    for key in ids:
        expected.append(REPEATED if key in seen else NEW if key > high else LATE)
        seen.add(key)
        high = max(high, key)
    ours = SeenIds()
    found: list[int] = []
    for start in range(0, len(ids), cut):
        part = np.array(ids[start : start + cut], np.int64)
        found += ours.add(part, part).tolist()
    assert found == expected
    if ids:
        assert ours.missing == len(set(range(min(ids), high)) - seen)


def test_ranges_of_ids() -> None:
    seen = SeenIds()
    first, last = np.array([10, 21, 14, 12, 15]), np.array([12, 30, 15, 13, 16])
    assert seen.add(first, last).tolist() == [NEW, NEW, LATE, REPEATED, REPEATED]
    assert seen.missing == 6  # 13, 16 … 20


@pytest.mark.parametrize(
    ("freedom", "value"), [(9, 1.83311), (19, 1.72913), (39, 1.68488), (143, 1.65558)]
)
def test_student(freedom: int, value: float) -> None:
    assert student_95(freedom) == pytest.approx(value, abs=2e-4)


def test_rates() -> None:
    none = block_rate(np.zeros(20, np.int64), np.full(20, 300))
    assert none.upper == pytest.approx(3 / 6000)
    assert none.verdict(0.001) is Verdict.EXACT
    assert block_rate(np.zeros(1, np.int64), np.zeros(1, np.int64)).upper is None
    few = block_rate(np.array([1, 0]), np.array([10, 10]))
    assert few.verdict(0.001) is Verdict.FAIL
    assert few.verdict(0.1) is Verdict.INCONCLUSIVE
    blocks = np.zeros(40, np.int64)
    blocks[3] = 1
    rare = block_rate(blocks, np.full(40, 10_000))
    # by hand: p = 1/400000, spread = sqrt(40/39·((1−1/40)² + 39·(1/40)²)) / 400000
    assert rare.upper == pytest.approx((1 + 1.68488 * 1.0) / 400_000, rel=1e-3)
    assert rare.verdict(0.001) is Verdict.PASS
    assert block_rate(blocks, np.full(40, 10)).verdict(0.001) is Verdict.INCONCLUSIVE
    assert block_rate(np.full(40, 1), np.full(40, 10)).verdict(0.001) is Verdict.FAIL
    empty = time_rate(np.zeros(0, np.int64), np.zeros(0, np.bool_))
    assert empty.verdict(0.001) is Verdict.NOT_APPLICABLE


def test_bursts_widen_the_bound() -> None:
    times = np.arange(100_000) * 100_000_000
    spread, burst = np.zeros(len(times), np.bool_), np.zeros(len(times), np.bool_)
    spread[::2000] = True
    burst[5000:5050] = True
    apart, together = time_rate(times, spread), time_rate(times, burst)
    assert apart.mismatches == together.mismatches == 50
    assert apart.upper is not None
    assert together.upper is not None
    assert together.upper > 1.5 * apart.upper


@pytest.mark.parametrize("hours", [1, 6, 7, 50])
def test_a_rate_does_not_depend_on_how_comparisons_come(hours: int) -> None:
    """Against the definition: blocks of ten minutes, or a fortieth of the span, from its start."""
    chosen = np.random.default_rng(hours)
    times = np.sort(chosen.integers(10**15, 10**15 + hours * 3600 * 10**9, 20_000))
    wrong = chosen.random(len(times)) < 0.01
    span = int(times[-1] - times[0]) + 1
    length = min(600 * 10**9, -(-span // 40))
    blocks = (times - times[0]) // length
    size = int(blocks[-1]) + 1
    expected = block_rate(
        np.bincount(blocks[wrong], minlength=size), np.bincount(blocks, minlength=size)
    )
    assert time_rate(times, wrong) == expected
    for parts in (2, 7, 300):
        rate = TimeRate()
        for one, bad in zip(
            np.array_split(times, parts), np.array_split(wrong, parts), strict=True
        ):
            rate.add(one, bad)
            rate.add(one[:0], bad[:0])
        assert rate.rate() == expected


def test_a_table_of_large_numbers_fits_a_terminal() -> None:
    checks = tuple(
        Check(name, Verdict.PASS, 123_480_940, 123_480_770, 123_480_700, bound=0.000123)
        if name != "chain"
        else Check(name, Verdict.NOT_APPLICABLE, reason="the feed has no chain of ids")
        for name in (*GATE_A, *GATE_B)
    )
    days = [f"2026-01-{day:02}" for day in range(1, 29)]
    report = VerifyReport("BINANCE", "BTC-USDT", "real", checks, {"days": days}, "files")
    console = Console(width=80, file=io.StringIO())
    console.print(render_report(report))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert "28 days, 2026-01-01 to 2026-01-28 against files" in lines[1]
    table = [line for line in lines if line.startswith(("A  ", "B  "))]
    assert len(table) == len(checks) - 1
    assert all("123,480,770 of 123,480,940" in line and "0.0123%" in line for line in table)
    assert sum("the feed has no chain of ids" in line for line in lines) == 1


def test_a_report_says_its_verdict() -> None:
    checks = (
        Check("schema", Verdict.EXACT, 3, 3, 3),
        Check("vendor_book", Verdict.FAIL, 2_100, 2_000, 1_990, reason="it <differs> " * 9),
        Check("vendor_trades", Verdict.PASS, 9, 9, 9, reason="nothing to say"),
        Check("trades", Verdict.NOT_APPLICABLE, reason="no golden sample was named"),
    )
    report = VerifyReport("BINANCE", "A-B", "derived", checks, {"days": ["2026-01-01"]}, "<files>")
    assert repr(report).splitlines() == [
        "FAIL BINANCE A-B (DEMO: derived data)",
        "2026-01-01 against <files>",
        "  schema: exact, 3 compared, 0 differ",
        "  vendor_book: fail, 2,000 compared, 10 differ",
        f"      {' '.join(['it <differs>'] * 5)} it",
        f"      {' '.join(['<differs> it'] * 3)} <differs>",
        "  vendor_trades: pass, 9 compared, 0 differ",
        "  not applicable, no golden sample was named: trades",
    ]
    assert max(map(len, repr(report).splitlines())) <= 80
    html = report._repr_html_()
    assert "&lt;files&gt;" in html
    assert "<td>vendor_book</td><td>fail</td><td>2,000 compared</td><td>10 differ</td>" in html
    assert "it &lt;differs&gt;" in html
    assert "<p>not applicable, no golden sample was named: trades</p>" in html


def test_a_tape_in_any_chunks() -> None:
    ids = [1, 4, 4, 9, 7, 12, 12, 20]
    tickers = pl.DataFrame(
        {
            "u": ids,
            "bid": range(8),
            "bid_size": range(8),
            "ask": range(8),
            "ask_size": range(8),
        },
        schema=TICKERS,
    )
    states = pl.DataFrame({"sequence": [0, 1, 3, 4, 8, 12, 19, 20, 25, 40]})

    def run(rows: int) -> tuple[list[tuple[int, int]], int, int]:
        tape = TickerTape(states)
        for start in range(0, tickers.height, rows):
            tape.add(tickers.slice(start, rows))
        tape.add(tickers.clear())
        found = tape.finish(30).select("sequence", pl.col("bid").cast(pl.Int64)).rows()
        return sorted(found), tape.out_of_order, tape.superseded

    matched = [(1, 0), (3, 0), (4, 2), (8, 2), (12, 6), (19, 6), (20, 7), (25, 7)]
    for rows in range(1, 9):
        assert run(rows) == (matched, 1, 2)


def levels(*rows: tuple[int, str, str], flags: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "side": pl.Series([side for side, _, _ in rows], dtype=pl.Int8),
            "price": pl.Series([price for _, price, _ in rows]).cast(DECIMAL),
            "size": pl.Series([size for _, _, size in rows]).cast(DECIMAL),
            "flags": pl.Series([flags] * len(rows), dtype=pl.Int32),
        }
    )


def test_the_plain_book() -> None:
    book = PlainBook()
    book.snapshot(levels((1, "9", "1"), (1, "8", "1"), (2, "10", "1"), (2, "12", "2")))
    assert book.trusted == {Side.BID: Decimal(8), Side.ASK: Decimal(12)}
    book.changes(levels((1, "7", "5"), (2, "11", "3"), (2, "10", "0"), (2, "13", "4")))
    assert book.side(Side.ASK)["price"].to_list() == [11, 12, 13]
    # replaces from the touch to its worst price, leaves what lies beyond, widens the range
    book.snapshot(levels((1, "9", "2"), (1, "6", "1"), (2, "10", "1")))
    assert book.side(Side.BID).rows() == [(9, 2), (6, 1)]
    assert book.side(Side.ASK)["price"].to_list() == [10, 11, 12, 13]
    assert book.trusted == {Side.BID: Decimal(6), Side.ASK: Decimal(12)}
    book.snapshot(levels((2, "11", "1"), flags=int(Flag.COMPLETE)))
    assert book.side(Side.ASK)["price"].to_list() == [11]
    assert book.trusted == {Side.BID: Decimal(6), Side.ASK: None}
    book.snapshot(levels((2, "11", "1")))
    assert book.trusted[Side.ASK] is None
    book.gap()
    assert book.trusted == {}
    assert book.levels.height
    book.clear()
    assert not book.levels.height


def test_off_grid() -> None:
    frame = pl.DataFrame({"x": pl.Series(["1.25", "1.255", "-1", "0"]).cast(DECIMAL)})
    assert frame.select(off_grid("x", 2))["x"].to_list() == [False, True, True, False]


@pytest.mark.parametrize("module", ["decoder", "golden", "ids", "report", "snapshots", "tops"])
def test_no_code_is_shared_with_what_is_checked(module: str) -> None:
    """Only names, errors and the reader: no parser, no fixed point, no book, no replay."""
    source = Path(exact.__file__).parent / f"{module}.py"
    imported = {
        name
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
        if name.startswith("lobproof.")
    }
    rooms = {name.split(".")[1] for name in imported}
    assert rooms <= {"errors", "fidelity", "schema"}
