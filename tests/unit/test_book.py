"""The book: examples by hand, what the kernels promise their callers, and what is refused."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numba import config, njit

from lobproof.book import OrderBook, side_levels
from lobproof.book import kernels as K
from lobproof.book import layout_kernels as layout
from lobproof.book.trust_kernels import (
    begin_undo,
    list_side,
    new_trust,
    set_range,
    trusted_slots,
    undo,
)
from lobproof.book.window_kernels import levels_around
from lobproof.errors import GridError, InputError
from lobproof.instruments import Instrument
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Side
from plain.book import PlainBook

pytestmark = pytest.mark.kernels

BID, ASK = int(Side.BID), int(Side.ASK)


@pytest.fixture(params=["kernels", "plain"])
def book(request: pytest.FixtureRequest) -> OrderBook | PlainBook:
    return OrderBook(window_ticks=64) if request.param == "kernels" else PlainBook()


def fill(book: OrderBook | PlainBook) -> None:
    for price, size in [(100, 5), (99, 4), (97, 3), (10, 2)]:
        book.apply(BID, price, size)
    for price, size in [(102, 6), (105, 7), (9000, 8)]:
        book.apply(ASK, price, size)


def test_levels_come_best_first(book: OrderBook | PlainBook) -> None:
    fill(book)
    assert book.bids() == [(100, 5), (99, 4), (97, 3), (10, 2)]
    assert book.asks() == [(102, 6), (105, 7), (9000, 8)]
    assert book.bids(2) == [(100, 5), (99, 4)]
    assert book.bids(0) == []
    assert book.best_bid == (100, 5)
    assert book.best_ask == (102, 6)
    assert (book.count(BID), book.count(ASK)) == (4, 3)
    assert book.size_at(ASK, 9000) == 8
    assert book.size_at(ASK, 9001) == 0
    assert not book.crossed


def test_an_empty_book(book: OrderBook | PlainBook) -> None:
    assert book.best_bid == book.best_ask == (0, 0)
    assert book.bids() == book.levels(ASK) == []
    assert not book.crossed
    assert book.apply(BID, 5, 0) == 0
    assert book.count(BID) == 0


def test_apply_tells_the_size_before(book: OrderBook | PlainBook) -> None:
    assert book.apply(BID, 100, 5) == 0
    assert book.apply(BID, 100, 7) == 5
    assert book.apply(BID, 7, 1) == 0  # outside the window
    assert book.apply(BID, 7, 2) == 1
    assert book.apply(BID, 7, 0) == 2
    assert book.apply(BID, 100, 0) == 7
    assert book.apply(BID, 100, 0) == 0


def test_a_crossed_book_is_told(book: OrderBook | PlainBook) -> None:
    fill(book)
    for side in (BID, ASK):
        book.set_trust(side, EVERYTHING)
    assert book.trusted_slots(BID) == 20
    seen = []
    for side, price, size in [(BID, 102, 1), (ASK, 102, 0), (BID, 120, 1)]:  # locked, not, crossed
        book.apply(side, price, size)
        seen.append((book.crossed, book.trusted_slots(BID), book.trusted_slots(ASK, 7)))
    assert seen == [(True, 0, 0), (False, 20, 7), (True, 0, 0)]


def test_a_snapshot_replaces_down_to_its_worst_price(book: OrderBook | PlainBook) -> None:
    fill(book)
    book.snapshot(BID, [(98, 9), (101, 1)], complete=False)
    assert book.bids() == [(101, 1), (98, 9), (97, 3), (10, 2)]
    assert book.trust(BID) == (RANGE, 98)
    assert book.trusted_slots(BID) == 2
    book.snapshot(BID, [(100, 9)], complete=False)
    assert book.bids() == [(100, 9), (98, 9), (97, 3), (10, 2)]
    assert book.trust(BID) == (RANGE, 98)  # a shorter one does not narrow the range
    book.snapshot(BID, [(97, 1)], complete=False)
    assert book.trust(BID) == (RANGE, 97)
    assert book.trust(ASK) == (UNTRUSTED, 0)
    book.snapshot(ASK, [], complete=False)
    assert book.asks() == [(102, 6), (105, 7), (9000, 8)]


def test_a_complete_snapshot_replaces_the_side(book: OrderBook | PlainBook) -> None:
    fill(book)
    book.snapshot(ASK, [(103, 1), (104, 2)], complete=True)
    book.snapshot(BID, [(100, 1)], complete=True)
    assert book.asks() == [(103, 1), (104, 2)]
    assert book.bids() == [(100, 1)]
    assert book.trust(ASK) == (EVERYTHING, 0)
    book.snapshot(ASK, [(103, 5)], complete=False)
    assert book.trust(ASK) == (EVERYTHING, 0)
    assert book.asks() == [(103, 5), (104, 2)]


def test_the_market_leaves_the_range(book: OrderBook | PlainBook) -> None:
    fill(book)
    book.set_trust(BID, RANGE, 99)
    assert book.trusted_slots(BID) == 2
    book.apply(BID, 100, 0)
    book.apply(BID, 99, 0)
    assert book.trusted_slots(BID) == 0


def test_a_range_is_cleared_near_and_far(book: OrderBook | PlainBook) -> None:
    fill(book)
    for price in (8000, 200, 9500):
        book.apply(ASK, price, 1)
    book.clear_range(ASK, 8999)
    assert book.asks() == [(9000, 8), (9500, 1)]
    book.clear_range(ASK, 100)
    assert book.count(ASK) == 2
    book.extend_trust(ASK, 9000, False)
    assert book.trust(ASK) == (RANGE, 9000)


def test_clear_forgets_levels_and_trust(book: OrderBook | PlainBook) -> None:
    fill(book)
    book.set_trust(BID, RANGE, 99)
    book.clear()
    assert book.count(BID) == book.count(ASK) == 0
    assert book.trust(BID) == (UNTRUSTED, 0)
    fill(book)
    assert book.best_bid == (100, 5)


def test_levels_better_than_the_window_and_off_the_tick() -> None:
    book = OrderBook(10, window_ticks=64)
    book.apply(BID, 10_000, 1)
    book.apply(BID, 9_990, 2)
    book.apply(BID, 10_003, 3)  # off the tick, inside the window
    book.apply(BID, 90_000, 4)  # beyond the window, better
    assert book.bids() == [(90_000, 4), (10_003, 3), (10_000, 1), (9_990, 2)]
    assert book.best_bid == (90_000, 4)
    book.apply(BID, 90_000, 0)
    assert book.best_bid == (10_003, 3)
    book.apply(BID, 10_003, 0)
    assert book.best_bid == (10_000, 1)


def test_the_tick_of_an_instrument() -> None:
    rule = [(0, "0.05", "0.01")]
    instrument = Instrument.given("BINANCE", "A-B", "AB", rule, price_exponent=3)
    book = OrderBook(instrument, window_ticks=64)
    assert book.save()["about"].tolist()[:2] == [50, 64]


def test_the_window_follows_the_market_and_avoids_ghosts() -> None:
    book = OrderBook(window_ticks=64)
    for price in range(1000, 1040):
        book.apply(ASK, price, 1)
        book.apply(BID, price - 50, 1)
    book.apply(BID, 5000, 1)  # a ghost: the window stays where the levels are
    for _ in range(300):
        book.apply(BID, 5001, 1)
        book.apply(BID, 5001, 0)
    raw = book._book
    assert book.crossed
    assert raw[layout.OVERFLOW] < raw[layout.NEAR]
    book.apply(BID, 5000, 0)
    for price in range(1040, 3000):
        book.apply(BID, price - 50, 1)
        book.apply(BID, price - 90, 0)
        book.apply(ASK, price, 1)
        book.apply(ASK, price - 40, 0)
    assert abs(raw[layout.BASE] + book.best_bid[0]) < 128
    assert abs(raw[layout.HEADER + layout.BASE] - book.best_ask[0]) < 128
    assert levels_around(raw, 0, -book.best_bid[0]) == 40


def test_a_window_that_left_its_levels_behind_goes_back_to_the_other_touch() -> None:
    book = OrderBook(window_ticks=64)
    book.apply(BID, 9000, 1)  # the first level, a ghost
    for price in range(1000, 1030):
        book.apply(BID, price - 30, 1)
        book.apply(ASK, price, 1)
    for _ in range(5):
        for price in range(1000, 1030):
            book.apply(BID, price - 30, 2)
    assert book._book[layout.OVERFLOW] == 1
    assert book.best_bid == (9000, 1)


def test_top_moves_the_window_when_it_has_to_search() -> None:
    book = OrderBook(window_ticks=64)
    for price in range(1000, 1100):
        book.apply(ASK, price, 1)
    for price in range(1000, 1040):
        book.apply(ASK, price, 0)
    for _ in range(50):
        assert book.asks() == [(price, 1) for price in range(1040, 1060)]
    assert book._book[layout.HEADER + layout.OVERFLOW] < 40


def test_kernels_say_when_the_hash_is_full() -> None:
    book = K.new_book(64, 1, overflow_capacity=2)
    for price in (1000, 5000, 6000):
        assert K.apply_level(book, ASK, price, 1) == 0
    before = book.copy()
    assert K.apply_level(book, ASK, 7000, 1) == K.FULL
    assert K.level_size(book, ASK, 7000) == 0
    assert K.apply_level(book, ASK, 8000, 0) == 0
    prices, _ = side_levels(book, ASK)
    assert prices.tolist() == [1000, 5000, 6000]

    book = before
    rows = np.array([6500, 7000, 7500], np.int64)
    rows[0] = 1001
    columns = [np.zeros(3, np.int64) for _ in range(4)]
    side, size = np.full(3, ASK, np.int8), np.full(3, 9, np.int64)
    assert K.apply_rows(book, side, rows, size, *columns) == 1
    grown = K.ensure_far_capacity(book, 2)
    assert len(grown) > len(book)
    assert K.ensure_far_capacity(grown, 2) is grown
    assert K.apply_rows(grown, side[1:], rows[1:], size[1:], *(c[1:] for c in columns)) == 2
    assert side_levels(grown, ASK)[0].tolist() == [1000, 1001, 5000, 6000, 7000, 7500]
    assert columns[2].tolist() == [1000, 1000, 1000]


def test_no_window_moves_without_room_for_its_levels() -> None:
    book = K.new_book(64, 1, overflow_capacity=1)
    for price in range(1000, 1040):
        K.apply_level(book, ASK, price, 1)
    for _ in range(200):
        K.apply_level(book, ASK, 5000, 1)
        K.apply_level(book, ASK, 900, 0)
    assert K.side_count(book, ASK) == 41


def test_top_writes_into_strided_columns() -> None:
    book = K.new_book(64, 1)
    for price, size in [(100, 5), (99, 4), (9, 1)]:
        K.apply_level(book, BID, price, size)
    row = np.full(12, -7, np.int64)
    assert K.top(book, BID, 5, row[0:10:2], row[1:10:2]) == 3
    assert row.tolist() == [100, 5, 99, 4, 9, 1, 0, 0, 0, 0, -7, -7]
    trust = new_trust()
    assert trusted_slots(book, trust, BID, row[0:10:2], 3, 5) == 0
    set_range(trust, BID, RANGE, 99)
    assert trusted_slots(book, trust, BID, row[0:10:2], 3, 5) == 2


def test_kernels_take_sides_of_a_column() -> None:
    book = K.new_book(64, 1)
    for side in np.array([BID, ASK], np.int8):
        assert K.apply_level(book, side, 10**9, 5) == 0
        assert K.best_price(book, side) == 10**9
        assert K.best_size(book, side) == K.level_size(book, side, 10**9) == 5


def test_saved_and_loaded_books_are_equal() -> None:
    book = OrderBook(window_ticks=128)
    fill(book)
    book.set_trust(BID, RANGE, 99)
    book.set_trust(ASK, EVERYTHING)
    saved = book.save()
    assert sum(column.nbytes for column in saved.values()) == 16 * 7 + 8 * 14
    twin = OrderBook.load(saved)
    for one in (book, twin):
        one.apply(BID, 100, 0)
    assert twin.levels(BID) == book.levels(BID)
    assert twin.trust(BID) == (RANGE, 99)
    assert twin.trust(ASK) == (EVERYTHING, 0)
    again = OrderBook.load(twin.save())
    assert np.array_equal(side_levels(again._book, ASK)[0], [102, 105, 9000])


def test_what_no_book_holds_is_refused_with_its_row() -> None:
    book = OrderBook(window_ticks=64)
    with pytest.raises(InputError, match="row 0: side 3"):
        book.apply(3, 5, 5)
    with pytest.raises(GridError, match="row 1: no book holds a size of 4 at 0"):
        book.apply_batch([1, 1], [5, 0], [4, 4])
    with pytest.raises(GridError, match="row 0"):
        book.apply(BID, 2**62, 1)
    with pytest.raises(GridError, match="size of -1"):
        book.apply(BID, 5, -1)
    with pytest.raises(GridError, match="row 1"):
        book.snapshot(BID, [(5, 5), (-5, 5)], complete=True)
    assert book.count(BID) == 0


@pytest.mark.parametrize(
    ("window", "tick", "capacity"),
    [(63, 1, 4), (96, 1, 4), (64, 0, 4), (64, 2**57, 4), (64, 1, 3), (64, 1, 0)],
)
def test_layouts_that_cannot_be(window: int, tick: int, capacity: int) -> None:
    with pytest.raises(ValueError, match="of"):
        K.new_book(window, tick, capacity)


def test_the_widest_grid() -> None:
    book = OrderBook(2**56, window_ticks=64)
    for price in (1, 2**56, 3 * 2**56, 2**62 - 1):
        book.apply(BID, price, 1)
        book.apply(ASK, price, 2)
    assert [price for price, _ in book.bids()] == [2**62 - 1, 3 * 2**56, 2**56, 1]
    assert [price for price, _ in book.asks()] == [1, 2**56, 3 * 2**56, 2**62 - 1]


PRIMITIVE_TICKS = (1, 2, 3, 10, 96, 2**40, 999_999_937)


def quotients(tick: int) -> list[tuple[int, list[int], int]]:
    """Offsets, what describes a window of 1024 ticks, and the slots that are due."""
    rng = random.Random(tick)
    book = K.new_book(1024, tick)
    about = [int(book[k]) for k in (layout.INVERSE, layout.SHIFT, layout.TICKS)]
    cases = []
    for offset in (
        *(tick * k for k in (-1024, -1, 0, 1, 1023, 1024)),
        *(tick * rng.randrange(1024) + rng.randrange(tick) for _ in range(50)),
        *(rng.randrange(-(2**62), 2**62) for _ in range(50)),
    ):
        whole = offset % tick == 0 and 0 <= offset // tick < 1024
        cases.append((offset, about, offset // tick if whole else -1))
    return cases


@pytest.mark.parametrize("tick", PRIMITIVE_TICKS)
def test_slots_by_the_inverse_of_the_tick(tick: int) -> None:
    written = layout._compiled_exact_quotient(*[None] * 4)
    for offset, about, slot in quotients(tick):
        assert layout.exact_quotient(offset, *about) == slot
        with np.errstate(over="ignore"):  # wraps, as the compiled one does
            assert written(*np.array([offset, *about], np.int64)) == slot


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled with NUMBA_DISABLE_JIT")
def test_compiled_primitives_equal_their_python() -> None:
    zeros = njit(lambda word: layout.trailing_zeros(word))
    quotient = njit(
        lambda offset, inverse, shift, limit: layout.exact_quotient(offset, inverse, shift, limit)
    )
    item = njit(lambda column, k: layout.pointer(column)[k * layout.step(column)])
    rng = random.Random(1)
    for _ in range(200):
        word = np.uint64(rng.getrandbits(64) << rng.randrange(64) & (2**64 - 1) | 1 << 63)
        assert zeros(word) == layout.trailing_zeros(word)
    for tick in PRIMITIVE_TICKS:
        for offset, about, slot in quotients(tick):
            assert quotient(offset, *about) == slot
    column = np.arange(12)
    assert item(column[::3], 2) == column[::3][2]


def test_plain_pointers_are_the_columns() -> None:
    column = np.arange(12)
    assert layout.step(column) == 1
    assert layout.pointer(column) is column


def test_of_a_side_that_is_listed_whole_nothing_is_stale() -> None:
    book, trust = K.new_book(64, 1), new_trust()
    prices = np.array([100, 99], np.int64)
    for complete in (False, True):
        trust.sides[BID - 1].stale = 1
        list_side(book, trust, BID, prices, 0, 2, complete)
        assert trust.sides[BID - 1].stale == (not complete)


@pytest.mark.parametrize("overflown", [0, 1])
def test_a_snapshot_that_cannot_be_undone_whole_leaves_no_trust(overflown: int) -> None:
    book, trust = K.new_book(64, 1), new_trust()
    set_range(trust, BID, EVERYTHING, 0)
    begin_undo(trust)
    list_side(book, trust, BID, np.array([100, 99], np.int64), 0, 2, False)
    trust.undo.overflown = overflown
    undo(book, trust)
    assert trust.sides[BID - 1].kind == (UNTRUSTED if overflown else EVERYTHING)
    assert trust.sides[BID - 1].stale == overflown
