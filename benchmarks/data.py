"""What is measured on: the recordings, or simulated ones in their place, as files and as rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lobproof.book import OrderBook
from lobproof.schema import EventBatch, Flag, Int8, Int64, Kind
from lobproof.sources.binance.rows import book_batch
from lobproof.sources.binance.scan_kernels import DEPTH
from lobproof.sources.binance.scanner import Scanner
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.recordings.reader import RecordingFile
from lobproof.sources.simulator import simulate

SYMBOLS = ("btc", "eth", "nexo")
SIMULATED_MINUTES = {"btc": 10.0, "eth": 10.0, "nexo": 24 * 60.0}
RECORDED = (
    "Data: real recordings of Binance spot streams (depth@100ms, trade, bookTicker), BTCUSDT and "
    "ETHUSDT of 11 minutes and NEXOUSDT of a day, in August and July 2024; what is simulated says "
    "so by its name."
)
SIMULATED = (
    "Data: **synthetic**. There were no recordings (`LOBPROOF_REAL_DATA`), so simulated ones of "
    "the presets `btc`, `eth` and `nexo` stand in their place."
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The files of one symbol; ``real`` or simulated."""

    name: str
    files: tuple[Path, ...]
    real: bool

    @property
    def title(self) -> str:
        """The symbol as the tables name it."""
        return f"{self.name.upper()}USDT" if self.real else f"simulated `{self.name}`"

    def import_to(self, out: Path) -> GoldenSample:
        """A golden sample in a folder that is not there yet."""
        return import_recordings(self.files, out, provenance="real" if self.real else "synthetic")


def samples(scratch: Path) -> list[Sample]:
    """The recordings; where there are none, simulated ones, made in ``scratch``."""
    checkout = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("LOBPROOF_REAL_DATA", checkout.parent / "shared" / "data"))
    found = []
    for name in SYMBOLS:
        files = tuple(sorted((folder / "binance-spot").glob(f"{name}usdt_*.gz")))
        if files:
            found.append(Sample(name, files, real=True))
    if len(found) == len(SYMBOLS):
        return found
    made = []
    for name in SYMBOLS:
        result = simulate(
            scratch / f"simulated-{name}", preset=name, minutes=SIMULATED_MINUTES[name]
        )
        made.append(Sample(name, result.recordings, real=False))
    return made


def decode(sample: Sample, golden: GoldenSample) -> Iterator[EventBatch]:
    """The depth messages of the gzip files as batches, nothing written between."""
    for path in sample.files:
        scanner = Scanner(golden.instrument.venue_symbol, (DEPTH,), recorded=True)
        line = 1
        for data in RecordingFile(path):
            block = scanner.scan(data, path.name, line)
            line += len(block.ends)
            yield book_batch(block, golden.instrument)


@dataclass(frozen=True, slots=True)
class Rows:
    """Level changes: side 1 bid or 2 ask, price and absolute size in counts; 0 removes."""

    side: Int8
    price: Int64
    size: Int64
    last: Int8  # 1 at message ends

    def __len__(self) -> int:
        return len(self.side)

    def head(self, rows: int) -> Rows:
        """The first rows."""
        return Rows(self.side[:rows], self.price[:rows], self.size[:rows], self.last[:rows])

    @classmethod
    def joined(cls, parts: list[Rows]) -> Rows:
        """The rows of all parts."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("side", "price", "size", "last")
            )
        )

    @classmethod
    def of_levels(cls, levels: list[tuple[int, int, int]]) -> Rows:
        """One message that sets these (side, price, size)."""
        side, price, size = np.array(levels, np.int64).reshape(-1, 3).T.copy()
        last = np.zeros(len(side), np.int8)
        last[-1:] = 1
        return cls(side.astype(np.int8), price, size, last)


@dataclass(frozen=True, slots=True)
class Stream:
    """The level changes of a recording, repeated.

    ``seed`` sets the snapshot's levels. ``tile`` is every change after it (``recorded`` rows), and
    then the few that lead from the last book back to the snapshot's: so it can be repeated, and
    no repetition starts among levels that the market has left behind.
    """

    seed: Rows
    tile: Rows
    recorded: int
    tiles: int
    price_exponent: int
    size_exponent: int
    tick: int

    def rows(self) -> Rows:
        """All rows, one after the other."""
        return Rows.joined([self.seed, *[self.tile] * self.tiles])

    def save(self, path: Path) -> None:
        """For the peers' process."""
        columns = {
            f"{prefix}{name}": getattr(rows, name)
            for prefix, rows in (("seed_", self.seed), ("", self.tile))
            for name in ("side", "price", "size")
        }
        np.savez(
            path,
            tiles=self.tiles,
            price_exponent=self.price_exponent,
            size_exponent=self.size_exponent,
            tick=self.tick,
            **columns,
        )


def stream_of(golden: GoldenSample, rows: int) -> Stream:
    """A golden sample's level changes from its snapshot on, tiled to at least ``rows`` rows."""
    batch = EventBatch.concat(list(GoldenSource(golden).book()))
    snapshot = np.flatnonzero(batch.kind == Kind.SNAPSHOT)
    listed = batch.take(snapshot)
    after = batch.slice(int(snapshot[-1]) + 1, len(batch))
    changes = after.take(np.flatnonzero(after.kind == Kind.DELTA))
    recorded = Rows(
        changes.side,
        changes.price,
        changes.size,
        ((changes.flags & int(Flag.LAST)) != 0).astype(np.int8),
    )
    seed = Rows(listed.side, listed.price, listed.size, np.zeros(len(listed), np.int8))
    seed.last[-1] = 1
    book = OrderBook(golden.instrument)
    book.apply_batch(seed.side, seed.price, seed.size)
    opening = _levels(book)
    book.apply_batch(recorded.side, recorded.price, recorded.size)
    closing = _levels(book)
    back = _way(closing, opening)
    tile = Rows.joined([recorded, Rows.of_levels(back)])
    tiles = max(1, -(-(rows - len(seed)) // len(tile)))
    instrument = golden.instrument
    return Stream(
        seed,
        tile,
        len(recorded),
        tiles,
        instrument.price_exponent,
        instrument.size_exponent,
        instrument.tick,
    )


def _way(
    closing: dict[tuple[int, int], int], opening: dict[tuple[int, int], int]
) -> list[tuple[int, int, int]]:
    """Changes from one book to the other that neither cross it nor empty a side on the way."""
    best = [max(price for side, price in book if side == 1) for book in (closing, opening)]
    away = (2, 1) if best[1] > best[0] else (1, 2)
    way = []
    for side in away:
        way += [
            (*level, size)
            for level, size in opening.items()
            if level[0] == side and closing.get(level) != size
        ]
        way += [(*level, 0) for level in closing if level[0] == side and level not in opening]
    return way


def _levels(book: OrderBook) -> dict[tuple[int, int], int]:
    return {(side, price): size for side in (1, 2) for price, size in book.levels(side)}
