"""Techniques that are often recommended for this job, each beside the plain variant, in one run.

Both variants do the same work on the same rows, in turns, in one process; figures are seconds of
processor time unless they say otherwise.
"""

from __future__ import annotations

import gc
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from benchmarks.lake_day import simulated_lake
from benchmarks.report import Section, Spread, number

from lobproof.book import BookImage
from lobproof.book.kernels import apply_rows, ensure_far_capacity, new_book
from lobproof.fixedpoint import to_decimal128
from lobproof.instruments import Instrument
from lobproof.pipeline import ReconstructOptions
from lobproof.pipeline.day import DayTask
from lobproof.pipeline.feed import Feed, Streams, apart
from lobproof.pipeline.lake import LakeDay, lake_days, reconstruct_day
from lobproof.pipeline.survey import Survey
from lobproof.replay import Policy, Replayer, Segment
from lobproof.replay.merge import arrays_of
from lobproof.schema import EVERYTHING, EventBatch, Int8, Int64
from lobproof.schema.tables import KEYFRAMES
from lobproof.sources.cryptolake.decode import LakeSource
from lobproof.store import open_store
from lobproof.store.checkpoint import write_checkpoint
from lobproof.store.columns import Grid, to_arrow
from lobproof.store.keyframe import Keyframe
from lobproof.store.parts import open_writer

ROWS, MINUTES = 4_500_000, 60.0
BATCHES = (65_536, 1_000, 100)
SOME_ROWS = {65_536: 4_500_000, 1_000: 1_000_000, 100: 200_000}
"""Rows replayed in batches of each size: small batches would take minutes."""
INSTANTS = 20
SLOW_ROWS = 200_000
Row = list[object]


@dataclass(frozen=True, slots=True)
class _Hour:
    """A simulated hour: its files, its grid, and all deltas in memory."""

    day: LakeDay
    instrument: Instrument
    side: Int8
    price: Int64
    size: Int64

    @classmethod
    def load(cls, folder: Path) -> _Hour:
        day = lake_days(folder)[0]
        instrument = Survey.made(day.files, day.exchange, day.symbol).instrument
        rows = EventBatch.concat(list(LakeSource(day.files, instrument).deltas()))
        return cls(day, instrument, rows.side, rows.price, rows.size)


def measure(scratch: Path, repeats: int, say: Callable[[str], None]) -> Section:
    """All techniques, as one section."""
    section = Section(
        "ablation",
        "Ablation: techniques that are often recommended",
        "Data: **synthetic**, an hour of the preset `perp` as Crypto Lake files, of the message "
        "sizes of a day of 108 M deltas.",
    )
    say("an hour of the market")
    hour = _Hour.load(simulated_lake(scratch / "hour", ROWS, MINUTES))
    store = scratch / "store"
    reconstruct_day(hour.day, store, ReconstructOptions())
    table: list[Row] = []
    for words, rows in (
        ("batch sizes", lambda: _batches(hour, repeats)),
        ("memory-mapped reading", lambda: _mapped(hour, repeats)),
        ("garbage collector", lambda: _collector(hour, repeats)),
        ("decimals", lambda: _decimals(hour, repeats)),
        ("snapshots", lambda: _snapshots(hour, store, scratch)),
        ("checkpoints", lambda: _checkpoints(hour, scratch, repeats)),
        ("books", lambda: _books(hour, repeats)),
    ):
        say(f"  {words}")
        table += rows()
    section.table(
        "Each beside the plain variant",
        ("technique", "measure", "plain", "technique's", "technique ÷ plain", "so"),
        table,
    )
    section.text(
        f"Bytes of full books are those of {INSTANTS} of them, evenly over the hour, times the "
        "messages. ÷ is of the measure as it stands in the table: above 1 is better for rates, and "
        "worse for seconds and bytes."
    )
    return section


def _used(run: Callable[[], object]) -> float:
    start = process_time()
    run()
    return process_time() - start


def _in_turns(
    plain: Callable[[], object], other: Callable[[], object], repeats: int
) -> tuple[list[float], list[float]]:
    """Processor seconds of both, in turns, after one run of each that does not count."""
    plain(), other()
    pairs = [(_used(plain), _used(other)) for _ in range(repeats)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _rates(name: str, rows: int, pair: tuple[list[float], list[float]], so: str) -> Row:
    one, two = (Spread.rates(rows, seconds) for seconds in pair)
    return [name, "M rows/s", one, two, two.over(one), so]


def _replay(hour: _Hour, batch_rows: int) -> int:
    """Decode, judge, merge and replay so many of the hour's rows into nothing."""
    source = LakeSource(hour.day.files, hour.instrument, batch_rows=batch_rows)
    policy = Policy(chainless=True)
    task = DayTask(
        hour.day.dt,
        Replayer(hour.instrument, policy=policy),
        None,
        keyframe_ns=600 * 10**9,
        strict=False,
    )
    feed = Feed(Streams(apart(source.deltas, source.trades), source.books, (0, 0, 0)))
    done = 0
    try:
        for segment in feed:
            task.append(segment)
            done += len(segment.events)
            if done >= SOME_ROWS.get(batch_rows, ROWS):
                break
    finally:
        feed.close()
    return done


def _batches(hour: _Hour, repeats: int) -> list[Row]:
    found: dict[int, list[float]] = {size: [] for size in BATCHES}
    _replay(hour, BATCHES[0])
    for _ in range(repeats):
        for size in BATCHES:
            start = process_time()
            rows = _replay(hour, size)
            found[size].append(rows / (process_time() - start) / 1e6)
    plain = Spread(tuple(found[BATCHES[0]]))
    return [
        [
            f"decode and replay in batches of {size:,} rows, not {BATCHES[0]:,}",
            "M rows/s",
            plain,
            Spread(tuple(found[size])),
            Spread(tuple(found[size])).over(plain),
            "dropped",
        ]
        for size in BATCHES[1:]
    ]


def _mapped(hour: _Hour, repeats: int) -> list[Row]:
    path = hour.day.files["book_delta_v2"][0]

    def read(mapped: bool) -> None:
        file = pq.ParquetFile(path, memory_map=mapped, pre_buffer=False, buffer_size=1 << 16)
        for _ in file.iter_batches(1 << 15, use_threads=False):
            pass

    pair = _in_turns(lambda: read(False), lambda: read(True), repeats)
    so = "dropped: what counts is unpacking; a file that shrinks underneath would be a crash"
    return [_rates("memory-mapped reading of `book_delta_v2`", len(hour.side), pair, so)]


def _collector(hour: _Hour, repeats: int) -> list[Row]:
    def without() -> None:
        gc.disable()
        try:
            _replay(hour, BATCHES[0])
        finally:
            gc.enable()

    pair = _in_turns(lambda: _replay(hour, BATCHES[0]), without, repeats)
    so = "dropped: few objects a batch, nothing to collect"
    return [_rates("garbage collector off while replaying", len(hour.side), pair, so)]


def _decimals(hour: _Hour, repeats: int) -> list[Row]:
    """Sum of the distances to a price: one subtraction, comparison and addition a row."""
    middle, exponent = int(np.median(hour.price)), hour.instrument.price_exponent
    narrow = pa.decimal128(28, 18)
    counts = to_decimal128(hour.price, exponent).cast(narrow)
    point = pa.scalar(Decimal(middle) / 10**exponent, narrow)
    few = counts.slice(0, SLOW_ROWS).to_pylist()
    value = Decimal(middle) / 10**exponent

    def integers() -> None:
        np.abs(hour.price - middle).sum()

    def arrow() -> None:
        pc.sum(pc.abs(pc.subtract(counts, point)))

    def python() -> None:
        sum(abs(price - value) for price in few)

    rows = len(hour.price)
    one, two = _in_turns(integers, arrow, repeats)
    plain = Spread.rates(rows, one)
    slow = [_used(python) for _ in range(repeats)]
    name, so = "sum of distances to a price in {}, not int64", "dropped: decimals at the edges only"
    result: list[Row] = []
    for kind, rate in (
        ("Arrow's decimal128", Spread.rates(rows, two)),
        ("Python's `Decimal`", Spread.rates(SLOW_ROWS, slow)),
    ):
        result.append([name.format(kind), "M rows/s", plain, rate, rate.over(plain), so])
    return result


def _snapshots(hour: _Hour, root: Path, scratch: Path) -> list[Row]:
    """A day kept as full books at every message, by what some of them take."""
    store = open_store(root)
    days = store.days()
    states = int(days["book_messages"][0])
    kept = sum(
        path.stat().st_size
        for table in ("events", "keyframes")
        for path in (root / table).rglob("*.parquet")
    )
    first, last = int(days["first_ts"][0]), int(days["last_ts"][0])
    instants = np.linspace(first, last, INSTANTS + 2)[1:-1].astype(np.int64).tolist()
    replayed, frames = [], []
    grid = Grid(hour.instrument.price_exponent, hour.instrument.size_exponent)
    units = (10**hour.instrument.price_exponent, 10**hour.instrument.size_exponent)
    store.book_at(instants[0], hour.day.symbol)
    for instant in instants:
        start = perf_counter()
        view = store.book_at(instant, hour.day.symbol)
        replayed.append((perf_counter() - start) * 1e3)
        sides = [
            np.array([int(value * unit) for value in side[name].to_list()], np.int64)
            for side in (view.bids, view.asks)
            for name, unit in zip(("price", "size"), units, strict=True)
        ]
        book = BookImage(view.sequence, *sides, EVERYTHING, 0, EVERYTHING, 0)
        frames.append(Keyframe(view.event_id, instant, book))
    path = scratch / "full.parquet"
    with open_writer(path, KEYFRAMES) as writer:
        for frame in frames:
            columns = zip(frame.columns(), KEYFRAMES.schema, strict=True)
            arrays = [to_arrow(column, field, grid) for column, field in columns]
            writer.write_table(pa.Table.from_arrays(arrays, schema=KEYFRAMES.schema))
    file = pq.ParquetFile(path)
    read = []
    for group in range(INSTANTS):
        start = perf_counter()
        file.read_row_group(group, use_threads=False)
        read.append((perf_counter() - start) * 1e3)
    full = path.stat().st_size / INSTANTS * states
    name = f"a full book at each of {states:,} messages, not changes and a keyframe every 600 s"
    pair = Spread(tuple(replayed)), Spread(tuple(read))
    return [
        [name, "MB", number(kept / 1e6), number(full / 1e6), number(full / kept), "dropped"],
        [
            "the same: to the book at an instant",
            "ms on the clock",
            *pair,
            pair[1].over(pair[0]),
            "dropped: read seldom, written always",
        ],
    ]


def _checkpoints(hour: _Hour, scratch: Path, repeats: int) -> list[Row]:
    """How long the stream stands still for a checkpoint of the replay's state."""
    replayer = Replayer(hour.instrument, policy=Policy(chainless=True))
    book = LakeSource(hour.day.files, hour.instrument).deltas()
    batch = next(book)
    book.close()
    batch.ts_order[:] = batch.ts_event
    replayer.process(batch, 0)
    rest = arrays_of(Segment.of(batch))  # what is decoded and not yet replayed goes with it
    folder = Path(tempfile.mkdtemp(dir=scratch)) / "checkpoints"
    copied, blocked, forked = [], [], []
    for _ in range(max(repeats, 3)):
        start = perf_counter()
        state = {**replayer.save(), **{name: array.copy() for name, array in rest.items()}}
        copied.append((perf_counter() - start) * 1e3)
        start = perf_counter()
        write_checkpoint(folder / "one.ckpt", {}, {**replayer.save(), **rest})
        blocked.append((perf_counter() - start) * 1e3)
        forked.append(_forked(scratch, state))
    plain = Spread(tuple(copied))
    size = sum(array.nbytes for array in state.values()) / 1e6
    name = f"checkpoint of {number(size)} MB: {{}}, not a copy that a thread writes"
    return [
        [
            name.format(how),
            "ms that the stream waits",
            plain,
            Spread(tuple(other)),
            Spread(tuple(other)).over(plain),
            so,
        ]
        for how, other, so in (
            ("written while the stream waits (blocking)", blocked, "dropped"),
            (
                "`fork`, pages copied on write",
                forked,
                "dropped: the copy is short, and a fork beside threads can hang",
            ),
        )
    ]


def _forked(scratch: Path, state: dict[str, Any]) -> float:
    """Milliseconds that a fork takes from the parent; the child writes the state and ends."""
    start = perf_counter()
    child = os.fork()
    if child == 0:
        try:
            with (scratch / "forked").open("wb") as file:
                for array in state.values():
                    file.write(array.tobytes())
        finally:
            os._exit(0)
    spent = (perf_counter() - start) * 1e3
    os.waitpid(child, 0)
    return spent


def _books(hour: _Hour, repeats: int) -> list[Row]:
    """Every change applied, the touch read after each: array and hash beside sorted mappings."""
    try:
        sorted_dict: Any = importlib.import_module("sortedcontainers").SortedDict
    except ImportError:
        return []
    few = slice(0, SLOW_ROWS)
    signed = np.where(hour.side == 1, -hour.price, hour.price)
    columns = [(hour.side == 1)[few].tolist(), signed[few].tolist(), hour.size[few].tolist()]
    rows = len(hour.side)
    out = [np.empty(rows, np.int64) for _ in range(4)]

    def ours() -> None:
        book = new_book(1 << 18, hour.instrument.rules[0].tick)
        for part in _parts(rows, BATCHES[0]):
            book = ensure_far_capacity(book, BATCHES[0])
            changes = (hour.side[part], hour.price[part], hour.size[part])
            apply_rows(book, *changes, *(column[part] for column in out))

    def theirs() -> None:
        bids, asks = sorted_dict(), sorted_dict()
        for is_bid, key, size in zip(*columns, strict=True):
            side = bids if is_bid else asks
            if size:
                side[key] = size
            else:
                side.pop(key, None)
            if side:
                side.peekitem(0)

    one, two = _in_turns(ours, theirs, repeats)
    plain, other = Spread.rates(rows, one), Spread.rates(SLOW_ROWS, two)
    name = "two `SortedDict`s, not arrays near the touch and a hash beyond"
    return [[name, "M rows/s, touch after each", plain, other, other.over(plain), "dropped"]]


def _parts(rows: int, size: int) -> Iterator[slice]:
    for start in range(0, rows, size):
        yield slice(start, start + size)
