"""What the venue says when: a symbol's messages in order of time, simulated or from a recording.

A payload is as the venue words it, without an envelope. What the venue derives (trades of one
taker together, mark prices) is derived here where the source has none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

import msgspec

from lobproof.errors import InputError
from lobproof.instruments import Instrument
from lobproof.paths import AnyPath
from lobproof.serve.clock import NEVER, SECOND
from lobproof.sources.binance.decode import journal_entry
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.venue import MarketName, data_key
from lobproof.sources.golden import GoldenSample, remedy
from lobproof.sources.simulator import (
    Feed,
    FeedConfig,
    Imperfections,
    Market,
    MarketConfig,
    Recorder,
)

CHUNK_EVENTS = 6000
"""Market events that are simulated at a time."""
SNAPSHOT = "snapshot"
"""Kind of the messages that are not sent: what a book begins with."""
KINDS = frozenset({"depth", "trade", "aggTrade", "bookTicker", "markPrice"})
"""Kinds that there are of every symbol (mark prices on futures); a recording may have more."""
_MILLISECOND = 1_000_000
_FUNDING_MS = 8 * 3_600_000


class Message(NamedTuple):
    """What is said: when (venue time, ns), of what (``btcusdt@depth``), and in which bytes."""

    ts: int
    key: str
    payload: bytes


class TradeMessage(msgspec.Struct):
    """A trade, as its message tells it."""

    E: int
    t: int
    p: str
    q: str
    T: int
    m: bool
    X: str = ""


class _Ticker(msgspec.Struct):
    b: str
    a: str


@dataclass(frozen=True, slots=True)
class Tape:
    """A symbol's messages; each call of ``source`` begins them anew.

    ``provenance`` is ``synthetic`` or ``recorded``; ``end_ns`` is None where there is no end.
    """

    instrument: Instrument
    market: MarketName
    provenance: str
    start_ns: int
    end_ns: int | None
    source: Callable[[], Iterator[Message]]
    derived: bool = True
    """Whether trades of one taker are put together here."""

    @property
    def symbol(self) -> str:
        """As the venue writes it."""
        return self.instrument.venue_symbol

    def key(self, kind: str) -> str:
        """What messages of a kind are known by."""
        return f"{self.symbol.lower()}@{kind}"

    def messages(self) -> Iterator[Message]:
        """All that is said, in order of time; memory does not grow with its length."""
        found = self.source()
        if self.derived:
            found = _with_aggregates(self, found)
        if self.market != "spot":
            found = _with_mark_prices(self, found)
        return found


def simulated_tape(
    config: MarketConfig, market: MarketName, seed: int, *, chunk_events: int = CHUNK_EVENTS
) -> Tape:
    """A tape of a simulated market, without an end: configuration and seed decide every byte."""
    if (market != "spot") != (config.market == "futures"):
        config = replace(config, market="spot" if market == "spot" else "futures")
    instrument = config.instrument
    if market == "coinm":
        instrument = replace(instrument, exchange="BINANCE_DELIVERY")
    step = round(min(max(chunk_events / config.rate, 0.1), 3600.0) * 1e9)

    def source() -> Iterator[Message]:
        return _simulated(config, market, seed, step)

    return Tape(instrument, market, "synthetic", config.start_ns, None, source)


def _simulated(
    config: MarketConfig, market_name: MarketName, seed: int, step: int
) -> Iterator[Message]:
    """A recorder without clock error or latency writes what the venue sends when it sends it."""
    market = Market(config, seed)
    feed = Feed(market, FeedConfig(snapshot_limit=0, first_snapshot_s=0.0))
    recorder = Recorder(config, Imperfections.none().recorder, seed)
    symbol = config.venue_symbol.lower()
    keys: dict[bytes, str] = {}
    pair = f'"ps":"{pair_of(config.venue_symbol)}"'
    coin = market_name == "coinm"
    while True:
        lines = recorder.record(feed.publish(market.step(market.now + step)))
        text = lines.text.tobytes()
        start = 0
        for stop, ts in zip(lines.stops.tolist(), lines.received.tolist(), strict=True):
            at = start + len(str(ts)) + 1
            if text.startswith(b'{"stream":"', at):
                end = text.index(b'"', at + 11)
                name = text[at + 11 : end]
                payload = text[end + 9 : stop - 2]
                key = keys.get(name)
                if key is None:
                    key = keys[name] = data_key(name.decode())
                if coin and not key.endswith("@trade"):
                    payload = beside_symbol(payload, config.venue_symbol, pair)
            else:
                key, payload = f"{symbol}@{SNAPSHOT}", text[at : stop - 1]
            yield Message(ts, key, payload)
            start = stop


def recorded_tape(path: AnyPath) -> Tape:
    """The tape of a golden sample: its payloads byte for byte, in the order of its journals.

    The venue's time is the recorder's, less what the sample's clock offset says.

    Raises
    ------
    InputError
        When the sample is not whole.
    """
    sample = GoldenSample.load(path)
    markets: dict[str, MarketName] = {"BINANCE": "spot", "BINANCE_DELIVERY": "coinm"}
    market = markets.get(sample.instrument.exchange, "usdm")
    span, offset = sample.document["span"], sample.clock_offset_ns
    return Tape(
        sample.instrument,
        market,
        "synthetic" if sample.provenance == "synthetic" else "recorded",
        int(span["first_recv_ns"]) - offset,
        int(span["last_recv_ns"]) - offset,
        lambda: _recorded(sample),
        derived=not sample.document["counts"]["aggTrade"],
    )


def _recorded(sample: GoldenSample) -> Iterator[Message]:
    symbol = sample.instrument.venue_symbol.lower()
    nobodys = {when for _, when in sample.snapshots_of_nobody}
    keys: dict[str, str] = {}
    offset, latest = sample.clock_offset_ns, 0
    for journal in sample.journals:
        for frame in read_frames(journal):
            if isinstance(frame, Loss):
                raise InputError(
                    f"{journal}: {frame.bytes} bytes at {frame.offset} cannot be read: "
                    f"{frame.detail}",
                    hint=remedy(sample.path),
                )
            for line in frame.splitlines():
                entry = journal_entry(line)
                name = entry.stream
                key = keys.get(name)
                if key is None:
                    kind = name.partition("@")[2]
                    whole = kind in (SNAPSHOT, "depthSnapshot")
                    key = keys[name] = f"{symbol}@{SNAPSHOT}" if whole else data_key(name)
                if key in ("control", "invalid"):
                    continue
                if key.endswith(f"@{SNAPSHOT}") and entry.capture_ns in nobodys:
                    continue
                latest = max(latest, entry.capture_ns - offset)
                yield Message(latest, key, bytes(entry.data))


def pair_of(symbol: str) -> str:
    """The pair of a futures contract: ``BTCUSD`` of ``BTCUSD_PERP``."""
    return symbol.partition("_")[0]


def beside_symbol(payload: bytes, symbol: str, fields: str) -> bytes:
    """A payload with more fields, behind its symbol."""
    named = f'"s":"{symbol}"'
    return payload.replace(named.encode(), f"{named},{fields}".encode(), 1)


def in_ms(time: int) -> int:
    """A time of a payload, which may be in microseconds, in ms."""
    return time if time < 100_000_000_000_000 else time // 1000


def in_us(time: int) -> int:
    """A time of a payload, which may be in ms, in microseconds."""
    return time * 1000 if time < 100_000_000_000_000 else time


def _with_aggregates(tape: Tape, messages: Iterator[Message]) -> Iterator[Message]:
    """With ``aggTrade``: neighbours of one millisecond, price and side, once the next differs."""
    key, wanted = tape.key("aggTrade"), tape.key("trade")
    together: list[TradeMessage] = []
    number = 0
    ts = 0
    for message in messages:
        trade = None
        if message.key == wanted:
            trade = msgspec.json.decode(message.payload, type=TradeMessage)
            if trade.X == "NA":  # no execution
                trade = None
        if together and (
            message.ts // _MILLISECOND > ts // _MILLISECOND
            if trade is None
            else not _same_taker(together[-1], trade)
        ):
            number = number + 1 if number else together[0].t
            yield Message(ts, key, _aggregate(tape, together, number))
            together.clear()
        if trade is not None:
            together.append(trade)
        ts = message.ts
        yield message


def _same_taker(a: TradeMessage, b: TradeMessage) -> bool:
    return a.T == b.T and a.p == b.p and a.m == b.m


def _aggregate(tape: Tape, trades: list[TradeMessage], number: int) -> bytes:
    first, last = trades[0], trades[-1]
    size = sum(map(Decimal, (trade.q for trade in trades)), Decimal(0))
    spot = ',"M":true' if tape.market == "spot" else ""
    return (
        f'{{"e":"aggTrade","E":{last.E},"s":"{tape.symbol}","a":{number},"p":"{first.p}",'
        f'"q":"{size:f}","f":{first.t},"l":{last.t},"T":{first.T},'
        f'"m":{"true" if first.m else "false"}{spot}}}'
    ).encode()


def _with_mark_prices(tape: Tape, messages: Iterator[Message]) -> Iterator[Message]:
    """With ``markPrice``: each second the middle of the touch, as the last ticker told it."""
    key, wanted = tape.key("markPrice"), tape.key("bookTicker")
    ticker = b""
    due = NEVER
    for message in messages:
        while message.ts >= due:
            yield Message(due, key, _mark_price(tape, ticker, due))
            due += SECOND
        if message.key == wanted:
            if not ticker:
                due = (message.ts // SECOND + 1) * SECOND
            ticker = message.payload
        yield message


def _mark_price(tape: Tape, ticker: bytes, ts: int) -> bytes:
    touch = msgspec.json.decode(ticker, type=_Ticker)
    middle = (Decimal(touch.b) + Decimal(touch.a)) / 2
    now = ts // _MILLISECOND
    funding = (now // _FUNDING_MS + 1) * _FUNDING_MS
    return (
        f'{{"e":"markPriceUpdate","E":{now},"s":"{tape.symbol}","p":"{middle:.8f}",'
        f'"i":"{middle:.8f}","P":"{middle:.8f}","r":"0.00010000","T":{funding}}}'
    ).encode()
