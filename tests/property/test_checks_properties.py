"""Kernels of the checks against plain Python, on whatever hypothesis thinks of."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.acquire.checks import message_kernels as mk
from lobproof.acquire.checks.coverage import Clock
from lobproof.acquire.checks.flag_kernels import BITS, CANDIDATE, count_flags
from lobproof.acquire.checks.table_checks import SecondLook
from lobproof.acquire.checks.time_kernels import gap_bucket, judge_times
from lobproof.acquire.checks.value_kernels import FITS, OFF, OFF_STEP, grid_status, step_at
from lobproof.acquire.stamp_kernels import FLOAT_SECONDS, MISSING, STAMPS, on_float_grid
from lobproof.fixedpoint import OK, decimal_to_count
from lobproof.fixedpoint.float_kernels import (
    float_decimals,
    float_to_count,
    floats_exponent,
    floats_to_counts,
)
from lobproof.schema.records import zeroed

pytestmark = pytest.mark.kernels

DT = "2026-01-05"
START = Clock(DT).start
DAY = 86_400_000_000_000
decimals_of_15_digits = st.builds(
    lambda digits, exponent: (digits, exponent),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.integers(0, 18),
)


def plain(text: str) -> int:
    """Digits after the point, trailing zeros apart."""
    exponent = Decimal(text).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(-exponent, 0)


@given(decimals_of_15_digits)
def test_any_decimal_of_15_digits_survives_float64(value: tuple[int, int]) -> None:
    digits, exponent = value
    text = str(Decimal(digits).scaleb(-exponent))
    number = float(text)
    assert float_to_count(number, exponent) == (digits, OK)
    assert float_decimals(number) == plain(text)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 18))
def test_a_count_is_that_of_the_shortest_text_of_the_float(value: float, exponent: int) -> None:
    count, status = float_to_count(value, exponent)
    if status == OK:
        assert count == decimal_to_count(repr(value), exponent)
        assert float(Decimal(count).scaleb(-exponent)) == value
    else:
        assert count == 0


@given(st.lists(decimals_of_15_digits, max_size=20))
def test_the_exponent_of_a_column_is_the_least_that_holds_all(
    values: list[tuple[int, int]],
) -> None:
    texts = [str(Decimal(digits).scaleb(-exponent)) for digits, exponent in values]
    column = np.array([float(text) for text in texts], np.float64)
    exponent, bad, largest = floats_exponent(column, 0)
    assert bad == -1
    above = [at for at, value in enumerate(column) if value > 0]
    assert largest == max(above, key=lambda at: (column[at], -at), default=-1)
    assert exponent == max(map(plain, texts), default=0)
    out = np.zeros(len(column), np.int64)
    row, status = floats_to_counts(column, exponent, out)
    for at, number in enumerate(column.tolist()):
        expected, own = float_to_count(number, exponent)
        if own != OK:
            assert (row, status) == (at, own)
            break
        assert out[at] == expected
    else:
        assert (row, status) == (-1, OK)


@given(st.integers(1, 10**9), st.integers(0, 8), st.integers(1, 1000))
def test_status_on_the_grid_is_that_of_integers(digits: int, exponent: int, step: int) -> None:
    finer = np.zeros(19, np.int64)
    value = float(Decimal(digits).scaleb(-8))
    scale = 10 ** (8 - exponent)
    status = grid_status(value, exponent, 8, step, finer)
    if digits % scale:
        assert status == OFF_STEP
        assert finer.sum() == 1
        assert grid_status(value, exponent, exponent, step, finer) == OFF
    else:
        assert status == (FITS if digits // scale % step == 0 else OFF_STEP)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=6, unique=True), st.integers(-60, 60))
def test_the_step_in_force(since: list[int], time: int) -> None:
    since.sort()
    steps = np.arange(1, len(since) + 1)
    expected = max(sum(begin <= time for begin in since), 1)
    assert step_at(time, np.array(since), steps) == expected


@given(st.integers(1_300_000_000_000_000, 2_000_000_000_000_000))
def test_float_seconds_of_any_microsecond_are_recognised(micros: int) -> None:
    cut = int(micros / 1e6 * 1e9)
    assert on_float_grid(cut) == (cut % 1000 != 0)
    assert not on_float_grid(micros * 1000)


moments = st.one_of(
    st.sampled_from([0, -1, MISSING, START, START + DAY - 1, START + DAY, START - 1]),
    st.integers(START - 2 * DAY, START + 2 * DAY),
    st.integers(START, START + 120_000_000_000),
)


@given(st.lists(st.tuples(moments, moments), max_size=30), st.integers(0, 30))
def test_times_against_plain_python(stamps: list[tuple[int, int]], cut: int) -> None:
    rows = np.array(stamps, np.int64).reshape(-1, 2)
    clock, flags = Clock(DT), np.zeros(len(rows), np.int64)
    for part in (slice(0, cut), slice(cut, None)):
        clock.add(rows[part, 0].copy(), rows[part, 1].copy(), flags[part])
    inside: list[int] = []
    last = [MISSING, MISSING]
    for row, pair in enumerate(stamps):
        expected = set()
        valid = [time not in (0, -1, MISSING) for time in pair]
        for at, (name, time) in enumerate(zip(("timestamp", "receipt"), pair, strict=True)):
            if not valid[at]:
                expected.add(f"{name}-missing")
                continue
            if time < last[at]:
                expected.add(f"{name}-backward")
            last[at] = time
            if not START <= time < START + DAY:
                near = START - 60_000_000_000 <= time < START + DAY + 60_000_000_000
                expected.add("over-midnight" if near else f"{name}-other-day")
        if not any(valid):
            expected.add("no-time")
        assert {name for name, bit in BITS.items() if flags[row] & bit} == expected
        if any(valid):
            time = pair[0] if valid[0] else pair[1]
            if START <= time < START + DAY:
                inside.append(time)
    coverage = clock.coverage()
    assert coverage["first_ns"] == min(inside, default=None)
    assert coverage["last_ns"] == max(inside, default=None)
    present = {(time - START) // 60_000_000_000 for time in inside}
    assert coverage["minutes_present"] == len(present)
    assert {m for a, b in coverage["minutes"] for m in range(a, b + 1)} == present


@given(st.integers(1, DAY), st.integers(1, DAY))
def test_gap_buckets_rise_with_the_gap(a: int, b: int) -> None:
    assert (gap_bucket(a) <= gap_bucket(b)) or a > b


@given(st.integers(1_000_000, DAY // 10))
def test_the_cadence_is_within_an_eighth(gap: int) -> None:
    clock = Clock(DT)
    times = START + gap * np.arange(10, dtype=np.int64)
    clock.add(times, times, np.zeros(10, np.int64))
    assert gap < clock.cadence_ns() <= gap * 9 / 8 + 1


@given(st.lists(moments, max_size=20))
def test_kinds_of_stamps_add_up(times: list[int]) -> None:
    kinds = np.zeros(len(STAMPS), np.int64)
    column = np.array(times, np.int64)
    judge_times(column, START, MISSING, 1, 2, 4, np.zeros(len(times), np.int64), kinds)
    assert kinds.sum() == len(times)
    valid = [time for time in times if time not in (0, -1, MISSING)]
    assert kinds[FLOAT_SECONDS] == sum(
        t % 1000 != 0 and int((t + 500) // 1000 / 1e6 * 1e9) == t for t in valid
    )


level = st.tuples(
    st.integers(0, 4), st.integers(0, 1), st.sampled_from([1.5, 2.5, -3.5]), st.integers(0, 1)
)


@given(st.lists(level, max_size=40), st.integers(0, 40))
def test_messages_against_plain_python(rows: list[tuple[Any, ...]], cut: int) -> None:
    sequences = np.array([r[0] for r in rows], np.int64)
    bids = np.array([r[1] for r in rows], np.uint8)
    prices = np.array([r[2] for r in rows], np.float64).view(np.int64)
    sizes = np.array([r[3] for r in rows], np.float64).view(np.int64)
    times = np.zeros(len(rows), np.int64)
    flags = np.zeros(len(rows), np.int64)
    state = zeroed(mk.MESSAGES)[0]
    levels = np.zeros(mk.SLOTS, mk.LEVEL)
    for p in (slice(0, cut), slice(cut, None)):
        mk.judge_messages(
            sequences[p],
            times[p],
            times[p],
            bids[p],
            prices[p],
            sizes[p],
            levels,
            state,
            flags[p],
        )
    met: list[int] = []
    held: dict[tuple[int, float], int] = {}
    apart, last = False, 0
    for row, (sequence, bid, price, size) in enumerate(rows):
        expected = set()
        if sequence == 0:
            expected.add("sequence-missing")
            last = 0
        else:
            if sequence != last or not met:
                held = {}
                apart = sequence in met
                if sequence < last:
                    expected.add("sequence-backward")
                met.append(sequence)
                last = sequence
            if apart:
                expected.add("message-apart")
            if (bid, price) in held:
                same = held[bid, price] == size
                expected.add("duplicate-row" if same else "level-twice")
            held[bid, price] = size
        assert {name for name, bit in BITS.items() if flags[row] & bit} == expected
    assert state.messages == len(met)


@given(st.lists(st.integers(-3, 12), max_size=40), st.integers(0, 40))
def test_ids_that_are_there_twice(ids: list[int], cut: int) -> None:
    column = np.array(ids, np.int64)
    flags = np.zeros(len(ids), np.int64)
    last, highest = mk.judge_ids(column[:cut], MISSING, MISSING, flags[:cut])
    mk.judge_ids(column[cut:], last, highest, flags[cut:])
    backward = [i for i in range(1, len(ids)) if ids[i] < ids[i - 1]]
    assert np.flatnonzero(flags & BITS["id-backward"]).tolist() == backward
    expected = [i for i in range(len(ids)) if ids[i] in ids[:i]]
    suspects = np.unique(column[flags & CANDIDATE != 0])
    found: list[int] = []
    if len(suspects):
        look = SecondLook(suspects)
        found += look.add(column[:cut]).tolist()
        found += (look.add(column[cut:]) + min(cut, len(ids))).tolist()
    assert found == expected


@given(st.lists(st.integers(0, 2**31 - 1), max_size=30))
def test_flags_are_counted_by_bit(flags: list[int]) -> None:
    counts = np.zeros(31, np.int64)
    count_flags(np.array(flags, np.int64), counts)
    assert counts.tolist() == [sum(flag >> bit & 1 for flag in flags) for bit in range(31)]
