"""``LakeWriter``: Crypto Lake's tables of a feed, day by day, streamed to Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lobproof.schema import LEVELS, Int64
from lobproof.sources.cryptolake.write import SCHEMAS, TableWriter, float_seconds
from lobproof.sources.simulator.config import MarketConfig
from lobproof.sources.simulator.feed import FeedBatch
from lobproof.sources.simulator.layout_kernels import (
    BUY,
    ROW_ID,
    ROW_PRICE,
    ROW_SIDE,
    ROW_SIZE,
    ROW_TS,
)
from lobproof.sources.simulator.noise import delay, in_order, uniform


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
