"""``LakeWriter``: Crypto Lake's tables of a feed, day by day, streamed to Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lobproof.schema import LEVELS, Int64
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

GROUP_ROWS = 10_000
_DAY_NS = 86_400_000_000_000
_LEVEL_NAMES = [
    f"{side}_{level}_{field}"
    for side in ("bid", "ask")
    for level in range(LEVELS)
    for field in ("price", "size")
]
SCHEMAS = {
    "trades": pa.schema(
        [
            ("side", pa.string()),
            ("amount", pa.float64()),
            ("price", pa.float64()),
            ("id", pa.int64()),
            ("timestamp", pa.int64()),
            ("receipt_timestamp", pa.int64()),
        ]
    ),
    "book": pa.schema(
        [
            ("timestamp", pa.int64()),
            ("receipt_timestamp", pa.int64()),
            ("sequence_number", pa.int64()),
            *((name, pa.float64()) for name in _LEVEL_NAMES),
        ]
    ),
    "book_delta_v2": pa.schema(
        [
            ("timestamp", pa.int64()),
            ("receipt_timestamp", pa.int64()),
            ("sequence_number", pa.int64()),
            ("side_is_bid", pa.bool_()),
            ("price", pa.float64()),
            ("size", pa.float64()),
        ]
    ),
}
"""Raw column names and types, as in the files."""


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
        self.rows = dict.fromkeys(SCHEMAS, 0)
        self._root = root
        self._market = market
        self._config = config
        self._seed = seed
        self._last = {"trades": 0, "book": 0}
        self._stall = {"trades": 0, "book": 0}
        self._open: dict[str, _Day] = {}
        self.files: list[Path] = []

    def write(self, batch: FeedBatch) -> None:
        """Append what the batch holds."""
        price_unit = 10.0**self._market.price_exponent
        size_unit = 10.0**self._market.size_exponent
        trades = batch.trades
        sent = trades[:, ROW_TS] // 1_000_000 * 1_000_000
        stamps, receipts = self._stamp("trades", sent, trades[:, ROW_ID])
        self._append(
            "trades",
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
        self._append("book", sent, [stamps, receipts, messages[:, 2], *np.asfortranarray(levels).T])
        lengths = np.diff(messages[:, 4], prepend=0)
        self._append(
            "book_delta_v2",
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
        """Finish the open files; all files written, in order."""
        for table in list(self._open):
            self._open.pop(table).close()
        return self.files

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
        stamps = (sent // 1_000_000 / 1e3 * 1e9).astype(np.int64)
        if config.missing_share:
            u = uniform(ids, seed, stream + 3)
            missing = np.where(u * 2 < config.missing_share, -1, 0)
            stamps = np.where(u < config.missing_share, missing, stamps)
        receipts = (received // 1000 / 1e6 * 1e9).astype(np.int64)
        return stamps.astype(np.int64), receipts

    def _append(self, table: str, sent: Int64, columns: list[NDArray[np.generic]]) -> None:
        self.rows[table] += len(sent)
        start = 0
        while start < len(sent):
            day = int(sent[start]) // _DAY_NS
            stop = int(np.searchsorted(sent, (day + 1) * _DAY_NS))
            rows = pa.Table.from_arrays(
                [pa.array(column[start:stop]) for column in columns], schema=SCHEMAS[table]
            )
            self._day(table, day).append(rows)
            start = stop

    def _day(self, table: str, day: int) -> _Day:
        current = self._open.get(table)
        if current is None or current.day != day:
            if current is not None:
                current.close()
            date = np.datetime64(day, "D")
            folder = (
                self._root
                / table
                / f"exchange={self._market.exchange}"
                / f"symbol={self._market.symbol}"
                / f"dt={date}"
            )
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "1.snappy.parquet"
            self.files.append(path)
            current = self._open[table] = _Day(path, day, SCHEMAS[table])
        return current


class _Day:
    """One file: row groups of exactly GROUP_ROWS rows, but for the last."""

    def __init__(self, path: Path, day: int, schema: pa.Schema) -> None:
        self.day = day
        self._rest: list[pa.Table] = []
        self._waiting = 0
        self._schema = schema.with_metadata({"provenance": "synthetic"})
        self._writer = pq.ParquetWriter(path, self._schema, compression="snappy")

    def append(self, rows: pa.Table) -> None:
        self._rest.append(rows)
        self._waiting += len(rows)
        whole = self._waiting // GROUP_ROWS * GROUP_ROWS
        if whole:
            self._write(whole)

    def close(self) -> None:
        self._write(self._waiting)
        self._writer.close()

    def _write(self, count: int) -> None:
        if not count:
            return
        table = pa.concat_tables(self._rest).replace_schema_metadata(self._schema.metadata)
        self._writer.write_table(table.slice(0, count), row_group_size=GROUP_ROWS)
        self._rest = [table.slice(count)]
        self._waiting -= count
