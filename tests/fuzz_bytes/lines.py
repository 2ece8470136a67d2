"""Recordings' and journals' lines through the scanner, held against ``oracle``."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

from fuzz_bytes.finding import found_unless
from fuzz_bytes.oracle import Meaning, Unfit, count_of, journalled, recorded
from lobproof.errors import LobproofError
from lobproof.instruments import Instrument
from lobproof.schema import EventBatch
from lobproof.sources.binance.decode import Problem, decode_recording, symbol_of
from lobproof.sources.binance.journal import read_frames
from lobproof.sources.binance.rows import book_batch, ticker_batch, trade_batch
from lobproof.sources.binance.scan_kernels import (
    AGGREGATE,
    CONTROL,
    DEPTH,
    EMPTY,
    FOREIGN,
    INVALID,
    OTHER,
    SNAPSHOT,
    TICKER,
    TRADE,
)
from lobproof.sources.binance.scanner import Block, Scanner
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.recordings.audit import NumberAudit
from lobproof.sources.recordings.intake import LineWriter
from lobproof.sources.simulator import simulate
from support import wire
from support.wire import ALL, decoded_values, row_values

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SYMBOL = "BTCUSDT"
_KINDS = {
    EMPTY: "empty",
    DEPTH: "depth",
    TRADE: "trade",
    AGGREGATE: "aggregate",
    TICKER: "ticker",
    SNAPSHOT: "snapshot",
    OTHER: "other",
    FOREIGN: "foreign",
    INVALID: "invalid",
    CONTROL: "control",
}
_EXPONENT = 8
_GRID = Instrument.given("X", "X", SYMBOL, [(0, "0.00000001", "0.00000001")])

TOKENS = (
    *(b'"%s"' % name for name in b"e E s U u b a T pu p q t m M X f l stream data".split()),
    *(b'"%s"' % name for name in b"lastUpdateId bids asks result symbol B A".split()),
    *(b'"%s"' % name for name in b"depthUpdate trade aggTrade bookTicker BTCUSDT".split()),
    *(b'"btcusdt@%s"' % name for name in b"depth trade aggTrade bookTicker snapshot".split()),
    *(b'{ } [ ] , : " \\ \n \r \t 0 -0 1e-8 1E+3 0.00000000 null true false [] []]'.split(b" ")),
    b"9223372036854775807",
    b"9223372036854775808",
    b"8999999999999999999",
    b"9000000000000000000",
    b"9000000000000",
    b"100000000000000",
    b"2026-01-31T23:59:60.5Z ",
    b"1700000000.25 ",
    b"1700000000000000000 ",
    b'{"capture_ns":1700000000000000000,"stream":"',
    b'","conn":0,"data":',
    b"\\u0065",
    b"\\ud800",
    "\u20ac\u202e\u009b".encode(),
    b"\x1b[2J",
)


def recording(data: bytes) -> None:
    """A recording: each line is what it says or INVALID, and one line of the journal."""
    block = Scanner(SYMBOL, ALL, recorded=True, doubt_foreign=True).scan(data, "fuzz", 1)
    _held(block, data, recorded)
    for row, kind in enumerate(block.messages["kind"].tolist()):
        line = block.line(row)
        symbol_of(line)
        try:
            slow = decoded_values(decode_recording(line, SYMBOL))
        except Problem:
            found_unless(
                kind in (EMPTY, INVALID), f"row {row}: only the fast parser reads {line!r}"
            )
            continue
        found_unless(
            kind == slow["kind"], f"row {row}: {kind}, and {slow['kind']} slowly: {line!r}"
        )
        if DEPTH <= kind <= SNAPSHOT:
            fast = row_values(block, row)
            found_unless(fast == slow, f"row {row}: {fast}, and slowly {slow}")
    _counted(block)
    _written(block)


def journal(data: bytes) -> None:
    """A journal's lines, whoever wrote them: each is what it says, or INVALID."""
    block = Scanner(SYMBOL, ALL).scan(data, "fuzz", 1)
    _held(block, data, journalled)
    _counted(block)


def imported(data: bytes) -> None:
    """A file of any bytes: an error of ours, or a golden sample with each line once, as it is."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        path.write_bytes(data)
        try:
            made = import_recordings([path], Path(folder) / "golden", symbol=SYMBOL)
        except LobproofError:
            return
        sample = GoldenSample.load(made.path)
        sample.findings()
        lines = [
            line
            for journal_file in sample.journals
            for frame in read_frames(journal_file)
            if isinstance(frame, bytes)
            # a carriage return amid a line is a blank of JSON, and ends nothing
            for line in re.findall(rb"[^\n]*\n|[^\n]+$", frame)
        ]
        (source,) = sample.document["inputs"]
    documents = [json.loads(line) for line in lines if line.endswith(b"\n")]
    found_unless(len(documents) == len(lines), "a line of the journal has no end")
    documents = [found for found in documents if found["stream"] != "control"]
    invalid = [b64decode(found["data_b64"]) for found in documents if found["stream"] == "invalid"]
    found_unless(len(invalid) == source["invalid"], f"{len(invalid)} invalid of {source}")
    found_unless(len(documents) - len(invalid) == source["kept"], f"{len(documents)} of {source}")
    told = sum(source[name] for name in ("kept", "invalid", "other_symbol", "blank"))
    found_unless(told == source["lines"], f"not every line is counted: {source}")
    found_unless(not any(b"\n" in line for line in invalid), "an invalid line of two")


def _held(block: Block, data: bytes, read: Callable[[bytes, str], Meaning]) -> None:
    """Each row beside what its line means."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    found_unless(
        len(lines) == len(block.messages), f"{len(lines)} lines, {len(block.messages)} rows"
    )
    for row, whole in enumerate(lines):
        line = whole.removesuffix(b"\r")
        kind = _KINDS[int(block.messages[row].kind)]
        found_unless((kind == "empty") == (not line), f"row {row}: {line!r} is {kind}")
        if kind in ("empty", "invalid", "control"):
            continue
        try:
            meaning = read(line, SYMBOL)
        except Unfit as unfit:
            open_ended = kind in ("other", "foreign") and read is journalled
            found_unless(open_ended, f"row {row}: {kind}, but {unfit}: {line!r}")
            continue
        found_unless(kind == meaning.kind, f"row {row}: {kind}, not {meaning.kind}: {line!r}")
        if meaning.values is None:
            continue
        values = row_values(block, row)
        seen = {
            "event": values["event"],
            "traded": values["traded"],
            "taker": values["taker"],
            "ids": values["ids"],
            "bids": _exact(values["bids"]),
            "asks": _exact(values["asks"]),
        }
        found_unless(seen == meaning.values, f"row {row}: {seen}, not {meaning.values}: {line!r}")
        found_unless(values["recv"] == meaning.recv, f"row {row}: at {values['recv']}: {line!r}")
        found_unless(values["stream"] == meaning.stream, f"row {row}: of {values['stream']!r}")


def _exact(pairs: list[tuple[bytes, bytes]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price.decode()), Decimal(size.decode())) for price, size in pairs]


def _counted(block: Block) -> None:
    """Counts on a grid are the decimals, or an error names what does not fit."""
    with suppress(LobproofError):
        _beside(book_batch(block, _GRID), block, (DEPTH,))
    for kind in (TRADE, AGGREGATE):
        with suppress(LobproofError):
            _beside(trade_batch(block, kind, _GRID), block, (kind,))
    with suppress(LobproofError):
        tickers = ticker_batch(block, _GRID)
        rows = [row for row in range(len(block.messages)) if block.messages[row].kind == TICKER]
        for k, row in enumerate(rows):
            values = row_values(block, row)
            ((bid, bid_size),), ((ask, ask_size),) = values["bids"], values["asks"]
            seen = (tickers.bid[k], tickers.bid_size[k], tickers.ask[k], tickers.ask_size[k])
            _same(seen, (bid, bid_size, ask, ask_size))
    audit = NumberAudit()
    audit.add(block, 0)
    with suppress(LobproofError):
        for which in (0, 1):
            exponent = audit.exponent(which)
            audit.step(which, exponent), audit.digits(which)


def _beside(batch: EventBatch, block: Block, kinds: tuple[int, ...]) -> None:
    """The batch's prices and sizes beside the texts that they were read from."""
    at = 0
    for row, kind in enumerate(block.messages["kind"].tolist()):
        if kind not in kinds:
            if DEPTH in kinds and kind in (INVALID, CONTROL) and block.messages[row].taker:
                at += 1
            continue
        values = row_values(block, row)
        if kind != DEPTH and values["taker"] == 0:
            continue
        pairs = [*values["bids"], *values["asks"]]
        for price, size in pairs:
            _same((batch.price[at], batch.size[at]), (price, size))
            at += 1
        at += kind == DEPTH and not pairs
    found_unless(at == len(batch), f"{len(batch)} rows of {at}")


def _same(counts: tuple[Any, ...], texts: tuple[bytes, ...]) -> None:
    expected = [count_of(text.decode(), _EXPONENT) for text in texts]
    found_unless([int(count) for count in counts] == expected, f"{counts} of {texts}")


def _written(block: Block) -> None:
    """What the journal will hold of the block: a line each, of the same meaning."""
    writer = LineWriter(SYMBOL)
    writer.count(block)
    text = writer.render(block, 0, len(block.messages))
    rows = [
        row for row, kind in enumerate(block.messages["kind"].tolist()) if DEPTH <= kind <= OTHER
    ]
    lines = text.split(b"\n")
    found_unless(lines.pop() == b"" and len(lines) == len(rows), f"{len(rows)} lines: {text!r}")
    again = Scanner(SYMBOL, ALL).scan(text, "journal", 1)
    for k, row in enumerate(rows):
        was, is_now = row_values(block, row), row_values(again, k)
        document = json.loads(lines[k])
        found_unless(list(document) == ["capture_ns", "stream", "conn", "data"], f"{lines[k]!r}")
        found_unless(document["capture_ns"] == block.messages[row].recv, f"{lines[k]!r}")
        if was["stream"] is None:
            was["stream"] = document["stream"]
        if was["kind"] == OTHER:
            was, is_now = ({name: of[name] for name in ("kind", "data")} for of in (was, is_now))
        found_unless(was == is_now, f"row {row}: {was}, and in the journal {is_now}")
    found_unless(sum(writer.streams().values()) == len(rows), "not all lines are counted")


def seeds() -> Iterator[bytes]:
    """Recordings: each kind of message, and a simulated exchange's."""
    pair, other = ("30000.10", "0.50000000"), ("30000.20", "1.00000000")
    messages = [
        wire.depth(10, 12, [pair], [other, ("30001", "0")]),
        wire.depth(13, 13, pu=12),
        wire.trade(7, *pair, sold=True),
        wire.futures_trade(8, *pair),
        wire.aggregate(1, 4, *pair),
        wire.ticker(12, pair, other),
        wire.futures_ticker(13, pair, other),
        wire.snapshot(11, [pair, ("29999", "2")], [other]),
    ]
    for message in messages:
        for text in (wire.wrapped(message), wire.tight(message), json.dumps(message)):
            yield wire.stamped([text])
    line = wire.wrapped(messages[0]).encode()
    for head in (
        b"1700000000.5 ",
        b"1700000000000\t",
        b"2026-01-05T10:00:00.5Z,",
        b"2026-01-05 10:00:00 ",
    ):
        yield head + line
    yield wire.stamped([f'{{"id":1,"result":{wire.tight(messages[7])}}}'])
    yield b"configuration: {}\r\n\n" + wire.stamped([wire.wrapped(message) for message in messages])
    with TemporaryDirectory() as folder:
        made = simulate(Path(folder) / "sim", minutes=0.02, seed=3, snapshot_every=0.5)
        for path in made.recordings:
            data = gzip.decompress(path.read_bytes())
            data = data.replace(b"SIMUSDT", b"BTCUSDT").replace(b"simusdt", b"btcusdt")
            short = [line for line in data.splitlines(keepends=True) if len(line) < 2000]
            yield b"".join(short[:12])


def journal_seeds() -> Iterator[bytes]:
    """What the recordings become as journals, with lines that cannot be read."""
    for data in seeds():
        block = Scanner(SYMBOL, ALL, recorded=True).scan(data, "seed", 1)
        writer = LineWriter(SYMBOL)
        writer.count(block)
        yield writer.render(block, 0, len(block.messages))
    invalid = {"reason": "json", "data_b64": b64encode(b'{"e":"depthUpdate"').decode()}
    control = {"event": "truncated", "file": "x"}
    for stream, more in (("invalid", invalid), ("control", control)):
        document = {"capture_ns": 1_700_000_000_000_000_000, "stream": stream, "conn": 0, **more}
        yield json.dumps(document, separators=(",", ":")).encode() + b"\n"


def import_seeds() -> Iterator[bytes]:
    """Recordings plain, and packed in each way."""
    texts = list(seeds())
    yield from texts
    for pack in (gzip.compress, lzma.compress, bz2.compress, zstd.compress):
        yield pack(texts[-1])
        yield pack(texts[0]) + pack(texts[1])
    packed = io.BytesIO()
    with ZipFile(packed, "w") as archive:
        archive.writestr("recording.txt", texts[-1])
    yield packed.getvalue()
