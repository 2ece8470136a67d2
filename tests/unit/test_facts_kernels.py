"""Kernels of the doctor against plain Python, compiled and as Python."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lobproof.acquire.facts import count_kernels, relation_kernels
from lobproof.acquire.stamp_kernels import MISSING
from lobproof.book.layout_kernels import new_book
from lobproof.book.trust_kernels import new_trust
from lobproof.fixedpoint import decimals_in
from lobproof.schema import LEVELS
from lobproof.schema.records import zeroed

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
    digits = zeroed(count_kernels.DIGITS)[0]
    largest = count_kernels.count_digits(digits, np.array([float(v) for v in values]))
    expected = np.zeros_like(digits.seen)
    for value in values:
        needed = decimals_in(str(value))
        expected[needed, int(value.scaleb(needed)) % count_kernels.LAST_TWO] += 1
    assert digits.seen.tolist() == expected.tolist()
    assert (digits.zeros, digits.invalid, digits.off_grid) == (0, 0, 0)
    assert largest == max(map(float, values), default=0.0)


def test_what_is_no_decimal_is_counted_as_such() -> None:
    digits = zeroed(count_kernels.DIGITS)[0]
    values = [0.0, float("nan"), float("inf"), -1.0, 0.1 + 0.2, 1 / 3, 2.0**60]
    count_kernels.count_digits(digits, np.array(values))
    assert (digits.zeros, digits.invalid, digits.off_grid) == (1, 3, 3)
    assert not digits.seen.any()


@given(
    st.lists(st.integers(1, 12), max_size=60),
    st.lists(st.integers(0, 100), max_size=3),
)
@example([1, 1, 2, 1, 3], [1])
def test_messages_are_the_runs_of_a_number_whatever_the_batches(
    sequence: list[int], cuts: list[int]
) -> None:
    counts = zeroed(count_kernels.MESSAGES)[0]
    count_kernels.start_messages(counts)
    for piece in split(sequence, cuts):
        column = np.array(piece, np.int64)
        side = np.ones(len(piece), np.int8)
        count_kernels.count_messages(counts, column, column, column, side, column, column)
    count_kernels.close_message(counts)
    runs = [(number, len(list(rows))) for number, rows in groupby(sequence)]
    steps = [(number - before, rows) for (before, _), (number, rows) in pairwise(runs)]
    numbers = [number for number, _ in runs]
    assert counts.rows == len(sequence)
    assert counts.messages == len(runs)
    assert counts.repeats == len(sequence) - len(runs)
    assert counts.backward == sum(step < 0 for step, _ in steps)
    assert counts.ones == sum(step == 1 for step, _ in steps)
    assert counts.jumps == sum(step > 1 for step, _ in steps)
    assert counts.fitting == sum(step >= max(rows, 1) for step, rows in steps)
    assert counts.split == len(numbers) - len(set(numbers))
    assert counts.longest == max((rows for _, rows in runs), default=0)
    assert counts.mixed == 0


times = st.one_of(
    st.sampled_from([0, -1, MISSING, -5, DAY - 2 * DAY_NS, DAY + 3 * DAY_NS]),
    st.integers(0, DAY_NS // 1000).map(lambda micro: DAY + 1000 * micro),
    st.integers(0, DAY_NS // 1000).map(lambda micro: int((DAY // 1000 + micro) / 1e6 * 1e9)),
    st.integers(DAY, DAY + DAY_NS),
)


@given(st.lists(times, max_size=50), st.lists(st.integers(0, 100), max_size=3))
def test_stamps_are_sorted_into_their_kinds(stamps: list[int], cuts: list[int]) -> None:
    counts = zeroed(count_kernels.TIMES)[0]
    for piece in split(stamps, cuts):
        count_kernels.count_times(counts, np.array(piece, np.int64), DAY)
    missing = {0: "zero", -1: "minus_one", MISSING: "null"}
    kinds = dict.fromkeys(count_kernels.TIMES.names or (), 0)
    for stamp in stamps:
        if stamp in missing:
            kinds[missing[stamp]] += 1
        elif not DAY - DAY_NS <= stamp < DAY + 2 * DAY_NS:
            kinds["strange"] += 1
        else:
            kinds["back"] += stamp < kinds["latest"]
            kinds["latest"] = max(kinds["latest"], stamp)
            nearest = (stamp + 500) // 1000
            if stamp % 1_000_000 == 0:
                kinds["whole_ms"] += 1
            elif stamp % 1000 == 0:
                kinds["whole_us"] += 1
            elif int(nearest / 1e6 * 1e9) == stamp:
                kinds["float_seconds"] += 1
            else:
                kinds["other"] += 1
    assert {name: getattr(counts, name) for name in kinds} == kinds


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
    state = zeroed(relation_kernels.RELATION)[0]
    state.shift = shift
    state.message = 1
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
    assert state.rows == looked_at
    assert state.equal == state.compared
    assert state.touch == state.compared
    assert state.compared + state.seeds == looked_at
    if shift == 0:
        assert state.same == count
        assert state.before == 1
        assert state.between == 0


def listed(book: dict[int, dict[int, int]]) -> list[int]:
    """The twenty best levels a side, as a row of ``book``."""
    row: list[int] = []
    for side, sign in ((1, -1), (2, 1)):
        best = sorted(book[side].items(), key=lambda level: sign * level[0])[:LEVELS]
        row += [number for level in best for number in level]
        row += [0, 0] * (LEVELS - len(best))
    return row
