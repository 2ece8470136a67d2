"""What two collectors make of a feed: a recorder its lines, Crypto Lake its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import LEVELS, Int64
from lobproof.sources.cryptolake.write import SCHEMAS, TableWriter, float_seconds
from lobproof.sources.simulator import text_kernels as text
from lobproof.sources.simulator.config import MarketConfig
from lobproof.sources.simulator.feed import FeedBatch, FullBook
from lobproof.sources.simulator.layout_kernels import (
    BUY,
    ROW_ID,
    ROW_PRICE,
    ROW_SIDE,
    ROW_SIZE,
    ROW_TS,
    UInt8,
)

SNAPSHOT, DEPTH, TICKER, TRADE = 0, 1, 2, 3
"""Streams; lines of one receive time are in this order."""
_LINE_BYTES = 320


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """The recorder's clock and line.

    ``clock_offset_ns`` is what its clock shows beyond the exchange's, ``clock_drift_ppm`` how that
    grows from the start on. Each line comes ``latency_ns`` after it was sent at least, and half
    of them less than ``jitter_ns`` later than that; a REST answer takes ``rest_ns``.
    """

    clock_offset_ns: int = -850_000_000
    clock_drift_ppm: float = 0.0
    latency_ns: int = 3_000_000
    jitter_ns: int = 300_000
    jitter_cap_ns: int = 60_000_000
    rest_ns: int = 90_000_000


@dataclass(slots=True)
class Lines:
    """Whole lines in the order received: their bytes, where each ends, and when it came (ns)."""

    text: UInt8
    stops: Int64
    received: Int64


class Recorder:
    """Turns feed batches into lines ``<receive ns> <JSON>``, each stream in its own order."""

    def __init__(self, market: MarketConfig, config: RecorderConfig, seed: int = 0) -> None:
        """Word the streams of ``market``'s venue symbol."""
        self.config = config
        self._market = market
        self._seed = seed
        futures = market.market == "futures"
        # spot writes eight digits; futures as many as the tick and lot need
        digits = (market.price_exponent, market.size_exponent) if futures else (8, 8)
        price, size = market.price_exponent, market.size_exponent
        form = (price, max(digits[0], price), size, max(digits[1], size), int(futures))
        self._form = np.array([form], text.FORM)[0]
        self._futures = futures
        self._words = _wording(market.venue_symbol, futures)
        self._last = [0, 0, 0, 0]
        self._held = Lines(np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._held_stream = np.zeros(0, np.int64)

    def record(self, batch: FeedBatch, *, final: bool = False) -> Lines:
        """The lines received by now; those that later ones may precede are held back."""
        config = self.config
        sent_depth = batch.messages[:, 0] * 1_000_000
        sent = [
            np.array([book.ts for book in batch.snapshots], np.int64) + config.rest_ns,
            sent_depth + (uniform(batch.messages[:, 2], self._seed, 10) * 1e6).astype(np.int64),
            batch.tickers[:, 0],
            batch.trades[:, ROW_TS],
        ]
        ids = [
            np.array([book.last_id for book in batch.snapshots], np.int64),
            batch.messages[:, 2],
            batch.tickers[:, 1],
            batch.trades[:, ROW_ID],
        ]
        parts = [self._held]
        streams = [self._held_stream]
        for stream in (SNAPSHOT, DEPTH, TICKER, TRADE):
            received = self._receive(stream, sent[stream], ids[stream])
            parts.append(self._lines(stream, batch, received))
            streams.append(np.full(len(received), stream, np.int64))
        return self._merge(parts, streams, _NEVER if final else self._earliest(batch.watermark))

    def save(self) -> dict[str, Any]:
        """The whole state as arrays."""
        return {
            "last": np.array(self._last, np.int64),
            "text": self._held.text.copy(),
            "stops": self._held.stops.copy(),
            "received": self._held.received.copy(),
            "stream": self._held_stream.copy(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`save` described."""
        self._last = [int(x) for x in state["last"]]
        self._held = Lines(state["text"], state["stops"], state["received"])
        self._held_stream = state["stream"]

    def _clock(self, exchange_ns: Int64) -> Int64:
        """The recorder's clock at exchange times."""
        since = exchange_ns - self._market.start_ns
        drift = (since * (self.config.clock_drift_ppm * 1e-6)).astype(np.int64)
        return exchange_ns + self.config.clock_offset_ns + drift

    def _receive(self, stream: int, sent: Int64, ids: Int64) -> Int64:
        config = self.config
        late = delay(
            ids, self._seed, stream, config.latency_ns, config.jitter_ns, config.jitter_cap_ns
        )
        ordered, self._last[stream] = in_order(self._clock(sent + late), self._last[stream])
        return ordered

    def _earliest(self, watermark: int) -> int:
        """Nothing sent at ``watermark`` or later is received before this."""
        least = np.array([watermark + self.config.latency_ns])
        return int(self._clock(least)[0])

    def _lines(self, stream: int, batch: FeedBatch, received: Int64) -> Lines:
        n = len(received)
        stops = np.zeros(n, np.int64)
        if stream == SNAPSHOT:
            texts = [
                self._snapshot(book, int(ts))
                for book, ts in zip(batch.snapshots, received, strict=True)
            ]
            lengths = np.array([len(line) for line in texts], np.int64)
            joined = np.concatenate(texts) if texts else np.zeros(0, np.uint8)
            return Lines(joined, np.cumsum(lengths), received)
        pieces, cuts = self._words[stream]
        rows = len(batch.depth) if stream == DEPTH else 0
        out = np.empty(n * _LINE_BYTES + rows * text.LEVEL_BYTES, np.uint8)
        if stream == DEPTH:
            used = text.depth_lines(
                out, stops, received, batch.messages, batch.depth, pieces, cuts, self._form
            )
        elif stream == TICKER:
            used = text.ticker_lines(out, stops, received, batch.tickers, pieces, cuts, self._form)
        else:
            events = batch.trades[:, ROW_TS] // 1_000_000
            events += (uniform(batch.trades[:, ROW_ID], self._seed, 11) * 2.0).astype(np.int64)
            used = text.trade_lines(
                out, stops, received, events, batch.trades, pieces, cuts, self._form
            )
        return Lines(out[:used], stops, received)

    def _snapshot(self, book: FullBook, received: int) -> UInt8:
        out = np.empty(256 + (len(book.bids) + len(book.asks)) * text.LEVEL_BYTES, np.uint8)
        now = book.ts // 1_000_000
        stamps = f'"E":{now},"T":{now},' if self._futures else ""
        head = f'{received} {{"lastUpdateId":{book.last_id},{stamps}"bids":['
        at = _put(out, 0, head.encode())
        at = text.level_list(out, at, book.bids, self._form)
        at = _put(out, at, b'],"asks":[')
        at = text.level_list(out, at, book.asks, self._form)
        return out[: _put(out, at, b"]}\n")]

    def _merge(self, parts: list[Lines], streams: list[Int64], until: int) -> Lines:
        """Sort the lines of all parts; hand out those before ``until``, hold the others."""
        offset = 0
        starts, stops = [], []
        for part in parts:
            starts.append(offset + np.concatenate([[0], part.stops])[:-1])
            stops.append(offset + part.stops)
            offset += len(part.text)
        all_text = np.concatenate([part.text for part in parts])
        all_starts = np.concatenate(starts).astype(np.int64)
        all_stops = np.concatenate(stops)
        received = np.concatenate([part.received for part in parts])
        stream = np.concatenate(streams)
        order = np.lexsort((stream, received))
        ready = int(np.searchsorted(received[order], until))
        results = []
        for chosen in (order[:ready], order[ready:]):
            lengths = (all_stops - all_starts)[chosen]
            out = np.empty(int(lengths.sum()), np.uint8)
            text.gather(all_text, all_starts, all_stops, chosen, out)
            results.append(Lines(out, np.cumsum(lengths), received[chosen]))
        self._held = results[1]
        self._held_stream = stream[order[ready:]]
        return results[0]


_NEVER = 1 << 62


def _put(out: UInt8, at: int, words: bytes) -> int:
    out[at : at + len(words)] = np.frombuffer(words, np.uint8)
    return at + len(words)


def _wording(venue_symbol: str, futures: bool) -> dict[int, tuple[UInt8, Int64]]:
    upper, lower = venue_symbol.upper(), venue_symbol.lower()

    def stream(name: str) -> str:
        return f' {{"stream":"{lower}@{name}","data":{{'

    depth = [
        stream("depth@100ms") + '"e":"depthUpdate","E":',
        f',"s":"{upper}","U":',
        ',"u":',
        ',"b":[',
        '],"a":[',
        ',"T":',
        ',"pu":',
        "]}}\n",
    ]
    kind = ',"X":"MARKET"' if futures else ""
    last = "" if futures else ',"M":true'
    trade = [
        stream("trade") + '"e":"trade","E":',
        f',"s":"{upper}","t":',
        ',"p":',
        ',"q":',
        ',"T":',
        f'{kind},"m":true{last}}}}}\n',
        f'{kind},"m":false{last}}}}}\n',
    ]
    ticker = [
        stream("bookTicker") + ('"e":"bookTicker",' if futures else "") + '"u":',
        f',"s":"{upper}","b":',
        ',"B":',
        ',"a":',
        ',"A":',
        ',"T":',
        ',"E":',
        "}}\n",
    ]
    words = {}
    for name, pieces in ((DEPTH, depth), (TRADE, trade), (TICKER, ticker)):
        encoded = [piece.encode() for piece in pieces]
        cuts = np.cumsum([0, *(len(piece) for piece in encoded)]).astype(np.int64)
        words[name] = (np.frombuffer(b"".join(encoded), np.uint8), cuts)
    return words


@dataclass(frozen=True, slots=True)
class LakeConfig:
    """How imperfect the vendor's stamps are.

    A share ``missing_share`` of messages and trades has an exchange time of 0 or -1; a share
    ``late_share`` begins a stall of the recorder of up to two seconds.
    """

    missing_share: float = 0.0
    late_share: float = 0.0
    latency_ns: int = 4_000_000
    jitter_ns: int = 500_000


class LakeWriter:
    """Writes ``{table}/exchange=…/symbol=…/dt=…/1.snappy.parquet`` under a folder.

    A message or trade belongs to the UTC day of its exchange time. Days go on from one another:
    ``book_delta_v2`` never holds a snapshot. Needs feed batches with ``tops``.
    """

    def __init__(self, root: Path, market: MarketConfig, config: LakeConfig, seed: int = 0) -> None:
        """Nothing is written before the first batch."""
        self._market = market
        self._config = config
        self._seed = seed
        self._last = {"trades": 0, "book": 0}
        self._tables = {
            table: TableWriter(
                root, table, market.exchange, market.symbol, {"provenance": "synthetic"}
            )
            for table in SCHEMAS
        }

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each table so far."""
        return {name: sum(table.rows.values()) for name, table in self._tables.items()}

    def write(self, batch: FeedBatch) -> None:
        """Append what the batch holds."""
        price_unit = 10.0**self._market.price_exponent
        size_unit = 10.0**self._market.size_exponent
        trades = batch.trades
        sent = trades[:, ROW_TS] // 1_000_000 * 1_000_000
        stamps, receipts = self._stamp("trades", sent, trades[:, ROW_ID])
        self._tables["trades"].append(
            sent,
            [
                np.where(trades[:, ROW_SIDE] == BUY, "buy", "sell"),
                trades[:, ROW_SIZE] / size_unit,
                trades[:, ROW_PRICE] / price_unit,
                trades[:, ROW_ID],
                stamps,
                receipts,
            ],
        )
        messages = batch.messages
        sent = messages[:, 0] * 1_000_000
        stamps, receipts = self._stamp("book", sent, messages[:, 2])
        levels = batch.tops / np.tile([price_unit, size_unit], 2 * LEVELS)
        self._tables["book"].append(
            sent, [stamps, receipts, messages[:, 2], *np.asfortranarray(levels).T]
        )
        lengths = np.diff(messages[:, 4], prepend=0)
        self._tables["book_delta_v2"].append(
            np.repeat(sent, lengths),
            [
                np.repeat(stamps, lengths),
                np.repeat(receipts, lengths),
                np.repeat(messages[:, 2], lengths),
                batch.depth[:, 0] == 1,
                batch.depth[:, 1] / price_unit,
                batch.depth[:, 2] / size_unit,
            ],
        )

    def close(self) -> list[Path]:
        """Finish the open files; all files written, table by table."""
        for table in self._tables.values():
            table.close()
        return [path for table in self._tables.values() for path in table.files]

    def abort(self) -> None:
        """Let go of the open files."""
        for table in self._tables.values():
            table.abort()

    def _stamp(self, kind: str, sent: Int64, ids: Int64) -> tuple[Int64, Int64]:
        """Exchange and receipt times as the vendor has them: float seconds times 1e9, cut off."""
        config, seed = self._config, self._seed
        stream = 20 if kind == "trades" else 30
        received = sent + delay(
            ids, seed, stream, config.latency_ns, config.jitter_ns, 2_000_000_000
        )
        if config.late_share:
            stall = uniform(ids, seed, stream + 1) < config.late_share
            longest = uniform(ids, seed, stream + 2) * 2e9
            received = received + np.where(stall, longest, 0.0).astype(np.int64)
        received, self._last[kind] = in_order(received, self._last[kind])
        stamps = float_seconds(sent)
        if config.missing_share:
            u = uniform(ids, seed, stream + 3)
            missing = np.where(u * 2 < config.missing_share, -1, 0)
            stamps = np.where(u < config.missing_share, missing, stamps)
        return stamps.astype(np.int64), float_seconds(received)


def uniform(ids: Int64, seed: int, stream: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each id, by splitmix64 of id, seed and stream."""
    key = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) & 0xFFFF_FFFF_FFFF_FFFF
    x = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def delay(ids: Int64, seed: int, stream: int, base_ns: int, jitter_ns: int, cap_ns: int) -> Int64:
    """A latency for each id: ``base_ns`` and a heavy-tailed part of median ``jitter_ns``."""
    u = uniform(ids, seed, stream)
    return base_ns + np.minimum(jitter_ns * (u / (1.0 - u)), float(cap_ns)).astype(np.int64)


def in_order(received: Int64, last: int) -> tuple[Int64, int]:
    """``received`` never decreasing and never before ``last``; and its last value."""
    ordered = np.maximum.accumulate(np.maximum(received, last))
    return ordered, int(ordered[-1]) if len(ordered) else last
