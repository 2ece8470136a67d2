"""Kernels of the doctor against plain Python, compiled and as Python."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lobproof.acquire.columns import MISSING
from lobproof.acquire.facts import grid_kernels, relation_kernels, sequence_kernels, time_kernels
from lobproof.book.layout_kernels import new_book
from lobproof.book.trust_kernels import new_trust
from lobproof.fixedpoint import decimals_in
from lobproof.schema import LEVELS

pytestmark = pytest.mark.kernels

DAY = 1_767_571_200_000_000_000
DAY_NS = 86_400_000_000_000


def split(values: list[int], cuts: list[int]) -> list[list[int]]:
    """The values in pieces."""
    edges = [0, *sorted(cut % (len(values) + 1) for cut in cuts), len(values)]
    return [values[a:b] for a, b in pairwise(edges)]


decimals = st.tuples(st.integers(1, 10**9), st.integers(0, 8)).map(
    lambda of: Decimal(of[0]).scaleb(-of[1])
)


@given(st.lists(decimals, max_size=40))
@example([Decimal("60000.23"), Decimal("0.00001"), Decimal("1E+9"), Decimal("0.1")])
def test_digits_of_floats_are_those_of_the_decimals_that_they_stand_for(
    values: list[Decimal],
) -> None:
    seen = np.zeros((grid_kernels.FINEST + 1, grid_kernels.DIGITS), np.int64)
    counts = np.zeros(grid_kernels.GRID_SLOTS, np.int64)
    largest = grid_kernels.count_digits(seen, counts, np.array([float(v) for v in values]))
    expected = np.zeros_like(seen)
    for value in values:
        digits = decimals_in(str(value))
        expected[digits, int(value.scaleb(digits)) % grid_kernels.DIGITS] += 1
    assert seen.tolist() == expected.tolist()
    assert not counts[: grid_kernels.GUESS].any()
    assert largest == max(map(float, values), default=0.0)


def test_what_is_no_decimal_is_counted_as_such() -> None:
    seen = np.zeros((grid_kernels.FINEST + 1, grid_kernels.DIGITS), np.int64)
    counts = np.zeros(grid_kernels.GRID_SLOTS, np.int64)
    values = [0.0, float("nan"), float("inf"), -1.0, 0.1 + 0.2, 1 / 3, 2.0**60]
    grid_kernels.count_digits(seen, counts, np.array(values))
    assert counts[: grid_kernels.GUESS].tolist() == [1, 3, 3]
    assert not seen.any()


@given(
    st.lists(st.integers(1, 12), max_size=60),
    st.lists(st.integers(0, 100), max_size=3),
)
@example([1, 1, 2, 1, 3], [1])
def test_messages_are_the_runs_of_a_number_whatever_the_batches(
    sequence: list[int], cuts: list[int]
) -> None:
    counts = np.empty(sequence_kernels.MESSAGE_SLOTS, np.int64)
    seen = np.empty(sequence_kernels.SEEN, np.int64)
    sequence_kernels.start_messages(counts, seen)
    for piece in split(sequence, cuts):
        column = np.array(piece, np.int64)
        sequence_kernels.count_messages(
            counts, seen, column, column, column, np.ones(len(piece), np.float64)
        )
    sequence_kernels.close_message(counts, seen)
    runs = [(number, len(list(rows))) for number, rows in groupby(sequence)]
    steps = [(number - before, rows) for (before, _), (number, rows) in pairwise(runs)]
    numbers = [number for number, _ in runs]
    assert counts[sequence_kernels.ROWS] == len(sequence)
    assert counts[sequence_kernels.MESSAGES] == len(runs)
    assert counts[sequence_kernels.REPEATS] == len(sequence) - len(runs)
    assert counts[sequence_kernels.BACKWARD] == sum(step < 0 for step, _ in steps)
    assert counts[sequence_kernels.ONES] == sum(step == 1 for step, _ in steps)
    assert counts[sequence_kernels.JUMPS] == sum(step > 1 for step, _ in steps)
    assert counts[sequence_kernels.FITTING] == sum(step >= max(rows, 1) for step, rows in steps)
    assert counts[sequence_kernels.SPLIT] == len(numbers) - len(set(numbers))
    assert counts[sequence_kernels.LONGEST] == max((rows for _, rows in runs), default=0)
    assert counts[sequence_kernels.MIXED] == 0


times = st.one_of(
    st.sampled_from([0, -1, MISSING, -5, DAY - 2 * DAY_NS, DAY + 3 * DAY_NS]),
    st.integers(0, DAY_NS // 1000).map(lambda micro: DAY + 1000 * micro),
    st.integers(0, DAY_NS // 1000).map(lambda micro: int((DAY // 1000 + micro) / 1e6 * 1e9)),
    st.integers(DAY, DAY + DAY_NS),
)


@given(st.lists(times, max_size=50), st.lists(st.integers(0, 100), max_size=3))
def test_stamps_are_sorted_into_their_kinds(stamps: list[int], cuts: list[int]) -> None:
    counts = np.zeros(time_kernels.STAMP_SLOTS, np.int64)
    for piece in split(stamps, cuts):
        time_kernels.count_stamps(counts, np.array(piece, np.int64), DAY)
    kinds = dict.fromkeys(range(time_kernels.BACK + 1), 0)
    last = 0
    for stamp in stamps:
        missing = {
            0: time_kernels.ZERO,
            -1: time_kernels.MINUS_ONE,
            MISSING: time_kernels.NULLS,
        }
        if stamp in missing:
            kinds[missing[stamp]] += 1
        elif not DAY - DAY_NS <= stamp < DAY + 2 * DAY_NS:
            kinds[time_kernels.STRANGE] += 1
        else:
            kinds[time_kernels.BACK] += stamp < last
            last = max(last, stamp)
            nearest = (stamp + 500) // 1000
            if stamp % 1_000_000 == 0:
                kinds[time_kernels.MILLI] += 1
            elif stamp % 1000 == 0:
                kinds[time_kernels.MICRO] += 1
            elif int(nearest / 1e6 * 1e9) == stamp:
                kinds[time_kernels.FLOAT] += 1
            else:
                kinds[time_kernels.OTHER] += 1
    assert counts[: time_kernels.BACK + 1].tolist() == list(kinds.values())


changes = st.lists(
    st.lists(
        st.tuples(st.sampled_from([1, 2]), st.integers(0, 29), st.integers(0, 3)),
        min_size=1,
        max_size=6,
    ),
    min_size=1,
    max_size=25,
)


@given(changes, st.sampled_from([-1, 0, 1]))
def test_rows_of_the_true_book_are_equal_after_the_message_that_they_show(
    messages: list[list[tuple[int, int, int]]], shift: int
) -> None:
    """Bids lie at 1 … 30, asks at 31 … 60: the book never crosses."""
    book = {1: dict.fromkeys(range(1, 31), 1), 2: dict.fromkeys(range(31, 61), 1)}
    shown, deltas, starts = [listed(book)], [], [0, 0]
    for message in messages:
        for side, at, size in message:
            price = at + (1 if side == 1 else 31)
            deltas.append((side, price, size))
            book[side].pop(price, None)
            if size:
                book[side][price] = size
        starts.append(len(deltas))
        shown.append(listed(book))
    count = len(messages)
    rows = [shown[min(max(k + shift, 0), count)] for k in range(count + 1)]
    numbers = [10 * (k + 1) for k in range(count)]
    start, never = relation_kernels.START, relation_kernels.NEVER
    state = np.zeros(relation_kernels.RELATION_SLOTS, np.int64)
    state[relation_kernels.SHIFT] = shift
    state[relation_kernels.MESSAGE] = 1
    done = relation_kernels.relate(
        state,
        new_book(64, 1),
        new_trust(),
        relation_kernels.Messages(
            np.array([start, start, *numbers, never, never], np.int64),
            np.array([0, *starts], np.int64),
            count,
            True,
            np.array([side for side, _, _ in deltas], np.int8),
            np.array([price for _, price, _ in deltas], np.int64),
            np.array([size for _, _, size in deltas], np.int64),
        ),
        count + 1,
        relation_kernels.BookRows(
            np.array([5, *numbers], np.int64), np.array(rows, np.int64), True
        ),
        np.empty(LEVELS, np.int64),
        np.empty(LEVELS, np.int64),
    )
    looked_at = count if shift == 1 else count + 1  # behind the last one there is no message
    assert done
    assert state[relation_kernels.ROWS] == looked_at
    assert state[relation_kernels.EQUAL] == state[relation_kernels.COMPARED]
    assert state[relation_kernels.TOUCH] == state[relation_kernels.COMPARED]
    assert state[relation_kernels.COMPARED] + state[relation_kernels.SEEDS] == looked_at
    if shift == 0:
        assert state[relation_kernels.SAME] == count
        assert state[relation_kernels.BEFORE] == 1
        assert state[relation_kernels.BETWEEN] == 0


def listed(book: dict[int, dict[int, int]]) -> list[int]:
    """The twenty best levels a side, as a row of ``book``."""
    row: list[int] = []
    for side, sign in ((1, -1), (2, 1)):
        best = sorted(book[side].items(), key=lambda level: sign * level[0])[:LEVELS]
        row += [number for level in best for number in level]
        row += [0, 0] * (LEVELS - len(best))
    return row
