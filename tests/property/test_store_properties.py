"""What is stored depends on the events alone; stored events rebuild the book of plain dicts."""

from __future__ import annotations

import random
import tempfile
from copy import deepcopy
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobproof.book.event_kernels import apply_events, new_rebuild
from lobproof.book.kernels import Book, dump_side, ensure_far_capacity, new_book, side_count
from lobproof.book.trust_kernels import known_behind
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, EventBatch, Flag, Kind, Side
from lobproof.schema.tables import CONTENT_TABLES
from lobproof.store import hashing, open_store
from lobproof.store.playback import whole_messages
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


NOTHING = (UNTRUSTED, 0)
TICK = 3


class Plain:
    """The rules of stored events on plain dicts."""

    def __init__(self) -> None:
        self.sequence = -1
        self.levels: dict[int, dict[int, int]] = {Side.BID: {}, Side.ASK: {}}
        self.trust = {Side.BID: NOTHING, Side.ASK: NOTHING}
        self.covered = {Side.BID: NOTHING, Side.ASK: NOTHING}
        self.stale = {Side.BID: False, Side.ASK: False}
        self.before: tuple[Any, ...] | None = None

    def message(self, rows: list[tuple[int, ...]]) -> None:
        """Apply one message of (kind, side, price, size, flags, sequence, prev_sequence)."""
        kind, flags, sequence, prev = rows[0][0], rows[0][4], *rows[0][5:]
        if kind == Kind.TRADE:
            return
        said = flags & ~Flag.REFUTED
        if kind == Kind.MARK and said and not (said == Flag.DRIFT and prev >= 0):
            if flags & Flag.GAP and not flags & Flag.TRADES:
                self.before = None
                self.trust_snapshot_alone() if flags & Flag.RESYNC else self.lose()
            elif flags & (Flag.DRIFT | Flag.SILENCE):
                self.before = None
                self.lose()
            return
        refuted, listed = flags & Flag.REFUTED, kind in (Kind.SNAPSHOT, Kind.CLEAR)
        if self.before and kind != Kind.CLEAR and (listed or refuted):
            self.levels, self.trust, self.stale = self.before
        self.before = None
        if listed and (kind == Kind.CLEAR or flags & (Flag.DRIFT | Flag.GHOST_LEVELS)):
            self.lose()
        if listed and not refuted:
            if kind == Kind.SNAPSHOT and flags & Flag.AWAITS:
                self.before = deepcopy((self.levels, self.trust, self.stale))
            if kind == Kind.CLEAR and not flags & (Flag.DRIFT | Flag.GHOST_LEVELS):
                self.stale = {Side.BID: False, Side.ASK: False}
            for side in (Side.BID, Side.ASK):
                if kind == Kind.CLEAR:
                    self.levels[side] = {}
                self.listed(side, [row for row in rows if row[1] == side])
        for row_kind, side_code, price, size, *_ in () if listed and refuted else rows:
            if row_kind in (Kind.DELTA, Kind.SNAPSHOT):
                self.levels[side_code].pop(price, None)
                if size:
                    self.levels[side_code][price] = size
        if kind in (Kind.DELTA, Kind.MARK) and flags & Flag.DRIFT:
            self.lose() if refuted else self.trust_snapshot_alone()
        if kind in (Kind.DELTA, Kind.MARK):
            self.sequence = sequence
        self.settle()
        if sequence == self.sequence:
            self.covered = {Side.BID: NOTHING, Side.ASK: NOTHING}

    def known(self, side: Side) -> tuple[int, int]:
        """What is trusted, less behind a snapshot that lies inside the next depth message."""
        if all(listed == NOTHING for listed in self.covered.values()):
            return self.trust[side]
        sign = 1 if side == Side.ASK else -1
        least = min(self.trust[side][0], self.covered[side][0])
        ends = [sign * end for kind, end in (self.trust[side], self.covered[side]) if kind == RANGE]
        return (least, sign * min(ends)) if least == RANGE else (least, 0)

    def lose(self) -> None:
        self.trust = {Side.BID: NOTHING, Side.ASK: NOTHING}
        self.stale = {Side.BID: True, Side.ASK: True}

    def trust_snapshot_alone(self) -> None:
        self.trust = dict(self.covered)
        self.stale = {side: self.covered[side][0] != EVERYTHING for side in self.covered}

    def listed(self, side: Side, rows: list[tuple[int, ...]]) -> None:
        """What a snapshot's rows of a side replace, and what they make known."""
        self.covered[side] = NOTHING
        if not rows:
            return
        sign = 1 if side == Side.ASK else -1
        worst = max(sign * row[2] for row in rows)
        whole = any(row[4] & Flag.COMPLETE for row in rows)
        self.levels[side] = {
            price: size
            for price, size in self.levels[side].items()
            if not whole and sign * price > worst
        }
        self.covered[side] = (EVERYTHING, 0) if whole else (RANGE, sign * worst)
        kind, end = self.trust[side]
        self.stale[side] = self.stale[side] and not whole
        if whole or kind == EVERYTHING:
            self.trust[side] = (EVERYTHING, 0)
        elif kind == UNTRUSTED or worst > sign * end:
            self.trust[side] = (RANGE, sign * worst)

    def settle(self) -> None:
        """A crossed book is not trusted; a range grows as far as the book itself proves."""
        bids, asks = self.levels[Side.BID], self.levels[Side.ASK]
        if bids and asks and max(bids) >= min(asks):
            self.lose()
            return
        for side, touch in ((Side.BID, min(asks, default=0)), (Side.ASK, max(bids, default=0))):
            kind, end = self.trust[side]
            sign = 1 if side == Side.ASK else -1
            if kind == RANGE:
                if touch and sign * touch > sign * end:
                    end = touch
                while not self.stale[side] and end + sign in self.levels[side]:
                    end += sign
                self.trust[side] = (RANGE, end)


# mostly on the tick and apart from the other side, so that the book is not always crossed
PRICES = {
    int(Side.BID): st.integers(1, 20).map(lambda n: n * TICK) | st.integers(1, 64),
    int(Side.ASK): st.integers(20, 40).map(lambda n: n * TICK) | st.integers(64, 10**9),
}
LEVELS = st.sampled_from([int(Side.BID), int(Side.ASK)]).flatmap(
    lambda side: st.tuples(st.just(side), PRICES[side], st.integers(0, 5))
)
DELTAS = st.lists(LEVELS, min_size=1, max_size=6).map(
    lambda rows: [(int(Kind.DELTA), *row, 0) for row in rows]
)
DRIFTED = st.tuples(
    DELTAS, st.sampled_from([Flag.DRIFT, Flag.REFUTED, Flag.REFUTED, Flag.DRIFT | Flag.REFUTED])
).map(lambda drawn: [(*row[:4], int(drawn[1])) for row in drawn[0]])
MARKS = st.sampled_from(
    [
        Flag(0),
        Flag.GAP,
        Flag.GAP | Flag.RESYNC,
        Flag.GAP | Flag.TRADES,
        Flag.DUPLICATE,
        Flag.DRIFT,
        Flag.SILENCE,
        Flag.INVALID,
        Flag.REFUTED,
    ]
).map(lambda flags: [(int(Kind.MARK), 0, 0, 0, int(flags))])
TRADES = LEVELS.map(lambda row: [(int(Kind.TRADE), *row, 0)])


@st.composite
def snapshots(draw: st.DrawFn) -> list[tuple[int, ...]]:
    rows: list[tuple[int, ...]] = []
    kinds = [Flag(0), Flag.DRIFT, Flag.GHOST_LEVELS, Flag.REFUTED, Flag.DRIFT | Flag.REFUTED]
    drift = int(draw(st.sampled_from([*kinds, *(2 * [Flag.AWAITS])])))
    if not drift & (Flag.REFUTED | Flag.AWAITS) and draw(st.booleans()):
        rows.append((int(Kind.CLEAR), 0, 0, 0, drift))
    for side in (Side.BID, Side.ASK):
        flags = drift | int(draw(st.sampled_from([Flag(0), Flag.COMPLETE])))
        prices = sorted(draw(st.sets(PRICES[side], max_size=5)), reverse=side == Side.BID)
        rows += [(int(Kind.SNAPSHOT), int(side), p, draw(st.integers(1, 9)), flags) for p in prices]
    return rows or [(int(Kind.MARK), 0, 0, 0, 0)]


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[int, ...]]]:
    """Messages with ids: snapshots of the last depth message, or of the inside of the next."""
    messages = draw(st.lists(DELTAS | DRIFTED | MARKS | TRADES | snapshots(), min_size=1))
    sequence = 100
    numbered = []
    for message in messages:
        ids = sequence + draw(st.sampled_from([0, 1])), draw(st.sampled_from([-1, sequence]))
        if message[0][0] in (Kind.DELTA, Kind.MARK):
            sequence += 2
            ids = sequence, ids[1]
        numbered.append([(*row, *ids) for row in message])
    return numbered


def as_batch(messages: list[list[tuple[int, ...]]]) -> EventBatch:
    batch = EventBatch.empty(sum(map(len, messages)))
    ends = np.cumsum([len(message) for message in messages]) - 1
    rows = np.array([row for message in messages for row in message], np.int64)
    batch.kind[:], batch.side[:], batch.price[:], batch.size[:] = rows.T[:4]
    batch.flags[:], batch.sequence[:], batch.prev_sequence[:] = rows.T[4:]
    batch.flags[ends] |= Flag.LAST
    return batch


def dumped(book: Book, side: int) -> list[tuple[int, int]]:
    prices, sizes = np.empty((2, side_count(book, side)), np.int64)
    dump_side(book, side, prices, sizes)
    return list(zip(prices.tolist(), sizes.tolist(), strict=True))


@pytest.mark.kernels
@given(
    messages=histories(),
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
    book = new_book(64, TICK, 1)
    rebuild = new_rebuild()[0]
    rebuild.sequence = -1
    rows = 0
    for start, part in whole_messages(iter(groups)):
        assert start == rows
        book = ensure_far_capacity(book, len(part))
        apply_events(book, rebuild, part.rows, 0, len(part))
        rows += len(part)
    assert rows == len(batch)
    for side in (Side.BID, Side.ASK):
        expected = sorted(plain.levels[side].items(), reverse=side == Side.BID)
        assert dumped(book, int(side)) == expected
        known = rebuild.trust.sides[side - 1]
        assert (known.kind, known.to) == plain.trust[side]
        assert known_behind(rebuild.trust, int(side)) == plain.known(side)


ROW_COLUMNS = [column.name for column in fields(EventBatch)]


@given(
    lengths=st.lists(st.integers(1, 9), max_size=12),
    cuts=st.lists(st.integers(0, 120), max_size=25),
    first_id=st.integers(0, 10**12),
    ended=st.booleans(),
)
def test_groups_cut_anywhere_give_the_same_rows_message_by_message(
    lengths: list[int], cuts: list[int], first_id: int, ended: bool
) -> None:
    """Whether a message lies in one group, in two or in many, and whatever groups are empty."""
    count = sum(lengths)
    rows = EventBatch.empty(count)
    for place, name in enumerate(ROW_COLUMNS):
        column = getattr(rows, name)
        column[:] = (np.arange(count) + place) % 100
    rows.flags[:] = int(Flag.DOUBTFUL)
    ends = np.cumsum(lengths, dtype=np.int64)
    rows.flags[ends[: None if ended else -1] - 1] |= int(Flag.LAST)
    # a cut that comes twice leaves an empty group
    edges = [0, *sorted(min(cut, count) for cut in cuts), count]
    groups = [(first_id + a, rows.slice(a, b)) for a, b in pairwise(edges)]
    parts = list(whole_messages(iter(groups)))
    at = 0
    for number, (start, part) in enumerate(parts):
        assert start == first_id + at
        assert len(part) > 0
        at += len(part)
        if number < len(parts) - 1 or ended:
            assert part.flags[-1] & Flag.LAST
    assert at == count
    whole = EventBatch.concat([EventBatch.empty(), *(part for _, part in parts)])
    for name in ROW_COLUMNS:
        assert getattr(whole, name).tolist() == getattr(rows, name).tolist()


def test_a_message_of_three_groups_comes_alone() -> None:
    rows = EventBatch.empty(10)
    rows.flags[[1, 7, 8, 9]] = int(Flag.LAST)
    groups = [(a, rows.slice(a, b)) for a, b in pairwise([0, 4, 4, 6, 10])]
    parts = [(start, len(part)) for start, part in whole_messages(iter(groups))]
    assert parts == [(0, 2), (2, 6), (8, 2)]
