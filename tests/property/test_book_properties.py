"""Random streams through the kernels' book and the plain one: equal after every operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.book import OrderBook
from lobproof.book.layout_kernels import (
    BASE,
    BITS,
    CAPACITY,
    HEADER,
    NEAR,
    NONE,
    OVERFLOW,
    OVERFLOW_BOUND,
    OVERFLOW_EXACT,
    OVERFLOW_INDEX,
    OVERFLOW_KEY,
    OVERFLOW_SIZE,
    SIZE,
    TICK,
    TICKS,
    Book,
    new_book,
)
from lobproof.book.overflow_kernels import overflow_find
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Side
from plain.book import PlainBook

pytestmark = pytest.mark.kernels

MIDDLE = 100_000
Operation = tuple[Any, ...]

sides = st.sampled_from([Side.BID, Side.ASK])
sizes = st.one_of(st.just(0), st.integers(1, 9), st.just(2**62))
distances = st.one_of(
    st.integers(-6, 40),  # near the touch, crossed input too
    st.integers(-300, 2000),  # outside a small window on either side
    st.sampled_from([-MIDDLE + 1, 50_000, 2**31, 2**61]),
)
ranks = st.integers(0, 8)
trusts = st.sampled_from([UNTRUSTED, RANGE, EVERYTHING])
levels = st.tuples(sides, distances, sizes)

operations = st.one_of(
    st.tuples(st.just("apply"), levels),
    st.tuples(st.just("apply"), levels),
    st.tuples(st.just("remove_ranked"), sides, ranks),
    st.tuples(st.just("remove_ranked"), sides, ranks),
    st.tuples(st.just("batch"), st.lists(levels, max_size=30)),
    st.tuples(st.just("ladder"), sides, st.integers(-100, 500), st.integers(1, 7)),
    st.tuples(st.just("market"), st.integers(-300, 300)),
    st.tuples(
        st.just("snapshot"), sides, st.lists(st.tuples(distances, sizes), max_size=6), st.booleans()
    ),
    st.tuples(st.just("clear")),
    st.tuples(st.just("clear_range"), sides, distances),
    st.tuples(st.just("trust"), sides, trusts, distances),
    st.tuples(st.just("extend"), sides, distances, st.booleans()),
    st.tuples(st.just("save_and_load")),
    st.tuples(st.just("scatter"), sides, st.integers(1, 60), st.integers(0, 2**32 - 1)),
)


class Pair:
    """Both books, and a market that moves."""

    def __init__(self, tick: int, window_ticks: int) -> None:
        self.book = OrderBook(tick, window_ticks=window_ticks)
        self.book._book = new_book(window_ticks, tick, overflow_capacity=1)
        self.plain = PlainBook()
        self.middle = MIDDLE

    def both(self, call: Callable[[OrderBook | PlainBook], object]) -> None:
        assert call(self.book) == call(self.plain)

    def price(self, side: int, distance: int) -> int:
        at = self.middle - distance if side == Side.BID else self.middle + distance
        return max(1, at)

    def do(self, operation: Operation) -> None:
        name, *given = operation
        getattr(self, name)(*given)

    def apply(self, level: tuple[Side, int, int]) -> None:
        side, distance, size = level
        self.both(lambda book: book.apply(side, self.price(side, distance), size))

    def remove_ranked(self, side: Side, rank: int) -> None:
        found = self.plain.levels(side)
        if found:
            price = found[min(rank, len(found) - 1)][0]
            self.both(lambda book: book.apply(side, price, 0))

    def batch(self, rows: list[tuple[Side, int, int]]) -> None:
        side = [int(side) for side, _, _ in rows]
        price = [self.price(side, distance) for side, distance, _ in rows]
        size = [size for _, _, size in rows]
        touches = self.book.apply_batch(side, price, size)
        expected = self.plain.apply_batch(side, price, size)
        assert list(zip(*(column.tolist() for column in touches), strict=True)) == expected

    def ladder(self, side: Side, distance: int, spacing: int) -> None:
        """Forty levels at once: the hash grows, and the window is soon due to move."""
        self.batch([(side, distance + k * spacing, k + 1) for k in range(40)])

    def scatter(self, side: Side, rows: int, seed: int) -> None:
        """Far levels that come and go, so that the hash closes many gaps."""
        rng = np.random.default_rng(seed)
        steps, sizes = rng.integers(0, 16, rows), rng.integers(0, 3, rows)
        at = [
            (side, 3000 + 777 * int(step), int(size))
            for step, size in zip(steps, sizes, strict=True)
        ]
        self.batch(at)

    def market(self, distance: int) -> None:
        self.middle += distance

    def snapshot(self, side: Side, listed: list[tuple[int, int]], complete: bool) -> None:
        rows = [(self.price(side, distance), size) for distance, size in listed]
        self.both(lambda book: book.snapshot(side, rows, complete=complete))

    def clear(self) -> None:
        self.both(lambda book: book.clear())

    def clear_range(self, side: Side, distance: int) -> None:
        self.both(lambda book: book.clear_range(side, self.price(side, distance)))

    def trust(self, side: Side, kind: int, distance: int) -> None:
        self.both(lambda book: book.set_trust(side, kind, self.price(side, distance)))

    def extend(self, side: Side, distance: int, complete: bool) -> None:
        self.both(lambda book: book.extend_trust(side, self.price(side, distance), complete))

    def save_and_load(self) -> None:
        self.book = OrderBook.load(self.book.save())
        self.plain = PlainBook.load(self.plain.save())

    def compare(self) -> None:
        book, plain = self.book, self.plain
        assert book.crossed == plain.crossed
        assert book.best_bid == plain.best_bid
        assert book.best_ask == plain.best_ask
        for n in (1, 20):
            assert book.bids(n) == plain.bids(n)
            assert book.asks(n) == plain.asks(n)
        for side in (Side.BID, Side.ASK):
            assert book.levels(side) == plain.levels(side)
            assert book.count(side) == plain.count(side)
            assert book.trust(side) == plain.trust(side)
            assert book.trusted_slots(side, 5) == plain.trusted_slots(side, 5)
            for price in (self.price(side, 3), self.price(side, 1000)):
                assert book.size_at(side, price) == plain.size_at(side, price)


def assert_sound(book: Book) -> None:
    """Window, bitmap, hash and index of each side tell the same story."""
    for head in (0, HEADER):
        side = book[head : head + HEADER].tolist()
        ticks, far = side[TICKS], side[OVERFLOW]
        occupied = np.flatnonzero(book[side[SIZE] : side[SIZE] + ticks])
        words = book[side[BITS] : side[BITS] + ticks // 64].view(np.uint8)
        assert np.flatnonzero(np.unpackbits(words, bitorder="little")).tolist() == occupied.tolist()
        assert side[NEAR] == len(occupied)
        assert book[side[BITS] + ticks // 64] == -1

        keys = book[side[OVERFLOW_KEY] : side[OVERFLOW_KEY] + far]
        index = book[side[OVERFLOW_INDEX] : side[OVERFLOW_INDEX] + 2 * side[CAPACITY]]
        assert np.count_nonzero(index) == far
        assert np.all(book[side[OVERFLOW_SIZE] : side[OVERFLOW_SIZE] + far] > 0)
        for entry, key in enumerate(keys.tolist()):
            assert index[overflow_find(book, head, key)] == entry + 1
            offset = key - side[BASE]
            assert offset % side[TICK] or not 0 <= offset // side[TICK] < ticks
        best = min(keys.tolist(), default=NONE)
        assert side[OVERFLOW_BOUND] <= best
        assert side[OVERFLOW_BOUND] == best or (far and not side[OVERFLOW_EXACT])


@given(
    st.sampled_from([1, 2, 3, 10, 96]),
    st.sampled_from([64, 128, 1024]),
    st.lists(operations, min_size=10, max_size=60),
)
def test_kernels_and_the_plain_book_agree(tick: int, window: int, stream: list[Operation]) -> None:
    pair = Pair(tick, window)
    for operation in stream:
        pair.do(operation)
        pair.compare()
        assert_sound(pair.book._book)


@given(st.data(), st.sampled_from([64, 256]), st.integers(0, 2**32 - 1))
def test_a_wandering_market(data: st.DataObject, window: int, seed: int) -> None:
    """Long enough for the window to move many times, with levels left behind."""
    tick = data.draw(st.sampled_from([1, 5]))
    rng = np.random.default_rng(seed)
    rows = 900
    middle = MIDDLE + np.cumsum(rng.integers(-3, 4, rows) * rng.integers(1, 9) * tick)
    side = rng.integers(1, 3, rows).astype(np.int8)
    away = rng.geometric(rng.choice([0.01, 0.1, 0.3]), rows) * tick + (rng.random(rows) < 0.02)
    price = np.maximum(np.where(side == Side.BID, middle - away, middle + away), 1)
    size = np.where(rng.random(rows) < 0.4, 0, rng.integers(1, 100, rows))

    book, plain = OrderBook(tick, window_ticks=window), PlainBook()
    for start in range(0, rows, 300):
        part = slice(start, start + 300)
        touches = book.apply_batch(side[part], price[part], size[part])
        expected = plain.apply_batch(side[part], price[part], size[part])
        assert np.array_equal(np.column_stack(touches), np.array(expected))
        assert book.bids() == plain.bids()
        assert book.asks() == plain.asks()
        assert_sound(book._book)
        saved = book.save()
        twin = OrderBook.load(saved)
        assert all(np.array_equal(column, saved[name]) for name, column in twin.save().items())


@given(st.lists(levels, min_size=1, max_size=200), st.integers(1, 200))
def test_batches_of_any_size_give_the_same(rows: list[tuple[Side, int, int]], at: int) -> None:
    whole, parts = Pair(1, 64), Pair(1, 64)
    whole.batch(rows)
    parts.batch(rows[:at])
    parts.batch(rows[at:])
    for side in (Side.BID, Side.ASK):
        assert whole.book.levels(side) == parts.book.levels(side)
