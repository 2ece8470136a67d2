"""What is stored depends on the events alone; stored events rebuild the book of plain dicts."""

from __future__ import annotations

import random
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobproof.book.kernels import (
    Book,
    dump_side,
    ensure_far_capacity,
    new_book,
    side_count,
    trust,
    trusted_to,
)
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, EventBatch, Flag, Kind, Side
from lobproof.schema.tables import CONTENT_TABLES
from lobproof.store import hashing, open_store
from lobproof.store.playback import whole_messages
from lobproof.store.rebuild_kernels import apply_events
from support.batches import make_day, store_day


def data_files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for table in CONTENT_TABLES
        for path in (root / table.name).rglob("*.parquet")
    }


@settings(max_examples=12)
@given(seed=st.integers(0, 5), splits=st.integers(0, 10**6), part_rows=st.integers(1, 400))
def test_batches_leave_no_trace(seed: int, splits: int, part_rows: int) -> None:
    """Whatever the batches: the same hashes, byte-identical files, the same rows back."""
    day = make_day(seed, messages=120)
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "one", Path(folder) / "other"
        first, _ = store_day(one, day, part_rows=part_rows)
        shuffled = make_day(seed, messages=120)
        order = random.Random(splits).sample(range(4), 4)
        shuffled.quality = {k: [v[i] for i in order] for k, v in shuffled.quality.items()}
        second, _ = store_day(other, shuffled, random.Random(splits), part_rows=part_rows)
        assert first.hashes == second.hashes
        assert data_files(one) == data_files(other)
        back = EventBatch.concat(list(open_store(one).replay(batch_rows=1 + splits % 300)))
        assert np.array_equal(back.price, day.events.price)
        assert np.array_equal(back.sequence, day.events.sequence)


@settings(max_examples=15)
@given(
    column=st.sampled_from(["ts_order", "ts_recv", "sequence", "price", "size", "flags", "side"]),
    data=st.data(),
)
def test_any_changed_value_changes_the_hash(column: str, data: st.DataObject) -> None:
    day = make_day(messages=30)
    with tempfile.TemporaryDirectory() as folder:
        before, _ = store_day(Path(folder) / "a", day)
        values = getattr(day.events, column)
        row = (
            len(values) - 1 if column == "ts_order" else data.draw(st.integers(0, len(values) - 1))
        )
        values[row] += 2  # not the bit of LAST
        after, _ = store_day(Path(folder) / "b", day)
    assert before.hashes["events"] != after.hashes["events"]
    assert before.content_hash != after.content_hash
    assert before.hashes["states"] == after.hashes["states"]


def test_floats_have_one_nan_and_strings_have_lengths() -> None:
    odd = np.array([0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    assert hashing.leaf(odd) == hashing.leaf(np.array([np.nan, np.nan]))
    assert hashing.leaf(np.array([1.0])) != hashing.leaf(np.array([2.0]))
    assert hashing.leaf(["ab", ""]) != hashing.leaf(["a", "b"])
    assert hashing.leaf([]) == hashing.leaf(np.zeros(0, np.int64))
    swapped = np.arange(5, dtype=">i8")
    assert hashing.leaf(swapped) == hashing.leaf(np.arange(5))


class Plain:
    """The rules of stored events on plain dicts."""

    def __init__(self) -> None:
        self.levels: dict[int, dict[int, int]] = {Side.BID: {}, Side.ASK: {}}
        self.trust = {Side.BID: (UNTRUSTED, 0), Side.ASK: (UNTRUSTED, 0)}

    def message(self, rows: list[tuple[int, ...]]) -> None:
        """Apply one message of (kind, side, price, size, flags)."""
        for side in (Side.BID, Side.ASK):
            listed = [row for row in rows if row[0] == Kind.SNAPSHOT and row[1] == side]
            sign = 1 if side == Side.ASK else -1
            if rows[0][0] == Kind.CLEAR:
                self.levels[side], self.trust[side] = {}, (UNTRUSTED, 0)
            if listed:
                worst = max(sign * row[2] for row in listed)
                whole = any(row[4] & Flag.COMPLETE for row in listed)
                self.levels[side] = {
                    price: size
                    for price, size in self.levels[side].items()
                    if not whole and sign * price > worst
                }
                kind, end = self.trust[side]
                if whole or kind == EVERYTHING:
                    self.trust[side] = (EVERYTHING, 0)
                elif kind == UNTRUSTED or worst > sign * end:
                    self.trust[side] = (RANGE, sign * worst)
        for kind, side_code, price, size, flags in rows:
            if kind == Kind.MARK and flags & Flag.GAP and not flags & (Flag.RESYNC | Flag.TRADES):
                self.trust = {Side.BID: (UNTRUSTED, 0), Side.ASK: (UNTRUSTED, 0)}
            elif kind in (Kind.DELTA, Kind.SNAPSHOT):
                self.levels[side_code].pop(price, None)
                if size:
                    self.levels[side_code][price] = size


SIDES = st.sampled_from([int(Side.BID), int(Side.ASK)])
PRICES = st.integers(1, 40).map(lambda n: n * 3) | st.integers(1, 10**9)
LEVELS = st.tuples(SIDES, PRICES, st.integers(0, 5))
DELTAS = st.lists(LEVELS, min_size=1, max_size=6).map(
    lambda rows: [(int(Kind.DELTA), *row, 0) for row in rows]
)
MARKS = st.sampled_from(
    [Flag(0), Flag.GAP, Flag.GAP | Flag.RESYNC, Flag.GAP | Flag.TRADES, Flag.DUPLICATE]
).map(lambda flags: [(int(Kind.MARK), 0, 0, 0, int(flags))])
TRADES = LEVELS.map(lambda row: [(int(Kind.TRADE), *row, 0)])


@st.composite
def snapshots(draw: st.DrawFn) -> list[tuple[int, ...]]:
    rows: list[tuple[int, ...]] = []
    if draw(st.booleans()):
        rows.append((int(Kind.CLEAR), 0, 0, 0, 0))
    for side in (Side.BID, Side.ASK):
        flags = int(draw(st.sampled_from([Flag(0), Flag.COMPLETE])))
        prices = sorted(draw(st.sets(PRICES, max_size=5)), reverse=side == Side.BID)
        rows += [(int(Kind.SNAPSHOT), int(side), p, draw(st.integers(1, 9)), flags) for p in prices]
    return rows or [(int(Kind.MARK), 0, 0, 0, 0)]


def as_batch(messages: list[list[tuple[int, ...]]]) -> EventBatch:
    batch = EventBatch.empty(sum(map(len, messages)))
    ends = np.cumsum([len(message) for message in messages]) - 1
    rows = np.array([row for message in messages for row in message], np.int64).reshape(-1, 5)
    batch.kind[:], batch.side[:], batch.price[:], batch.size[:] = rows.T[:4]
    batch.flags[:] = rows[:, 4]
    batch.flags[ends] |= Flag.LAST
    return batch


def dumped(book: Book, side: int) -> list[tuple[int, int]]:
    prices, sizes = np.empty((2, side_count(book, side)), np.int64)
    dump_side(book, side, prices, sizes)
    return list(zip(prices.tolist(), sizes.tolist(), strict=True))


@pytest.mark.kernels
@given(
    messages=st.lists(DELTAS | MARKS | TRADES | snapshots(), min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 200), max_size=5),
)
def test_stored_events_rebuild_the_book_of_plain_dicts(
    messages: list[list[tuple[int, ...]]], cuts: list[int]
) -> None:
    """Also when the row groups of the file cut messages in two."""
    batch = as_batch(messages)
    plain = Plain()
    for message in messages:
        plain.message(message)
    edges = sorted({0, len(batch), *(cut for cut in cuts if cut < len(batch))})
    groups = [(a, batch.slice(a, b)) for a, b in pairwise(edges)]
    book = new_book(64, 3, 1)
    rows = 0
    for start, part in whole_messages(iter(groups)):
        assert start == rows
        book = ensure_far_capacity(book, len(part))
        done = apply_events(book, part.kind, part.side, part.price, part.size, part.flags)
        assert done == len(part)
        rows += done
    assert rows == len(batch)
    for side in (Side.BID, Side.ASK):
        expected = sorted(plain.levels[side].items(), reverse=side == Side.BID)
        assert dumped(book, int(side)) == expected
        kind, end = plain.trust[side]
        assert (trust(book, int(side)), trusted_to(book, int(side))) == (kind, end)


@pytest.mark.kernels
def test_a_full_hash_stops_at_the_row() -> None:
    batch = as_batch([[(int(Kind.DELTA), 1, 10**6 * n + 1, 5, 0)] for n in range(1, 6)])
    book = new_book(64, 1, 1)
    rows = apply_events(book, batch.kind, batch.side, batch.price, batch.size, batch.flags)
    assert rows < len(batch)
