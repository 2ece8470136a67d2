"""The decimal grid: text to counts, counts to stored decimals and back."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from lobproof.errors import GridError
from lobproof.fixedpoint import (
    MALFORMED,
    MAX_COUNT,
    OFF_GRID,
    OK,
    OVERFLOW,
    count_to_text,
    decimal_to_count,
    decimals_in,
    from_decimal128,
    parse_decimal,
    significant_decimals,
    to_decimal128,
)

pytestmark = pytest.mark.kernels

LEAST = -(2**63)


def parse(text: str, exponent: int) -> tuple[int, int]:
    """``parse_decimal`` of ``text``, between bytes that must not be read."""
    raw = np.frombuffer(b"9." + text.encode() + b"9.9", np.uint8)
    return parse_decimal(raw, 2, len(raw) - 3, exponent)


@pytest.mark.parametrize(
    ("text", "exponent", "value"),
    [
        ("61737.63000000", 8, 6173763000000),
        ("61737.63000000", 2, 6173763),
        ("0.00000000", 0, 0),
        ("0.00000000", 18, 0),
        ("1", 0, 1),
        ("1", 18, 10**18),
        ("-1.5", 1, -15),
        ("+1.5", 2, 150),
        ("-0.0", 3, 0),
        ("0.00000001", 8, 1),
        ("000000000000000000000000000001.10", 1, 11),
        ("1000000000000.00000000", 0, 10**12),
        ("9223372036854775807", 0, MAX_COUNT),
        ("-9223372036854775807", 0, -MAX_COUNT),
        ("9.223372036854775807", 18, MAX_COUNT),
        ("92233720368.547758070000", 8, MAX_COUNT),
        ("922337203685477580", 1, MAX_COUNT - 7),
    ],
)
def test_parses_exactly(text: str, exponent: int, value: int) -> None:
    assert parse(text, exponent) == (value, OK)
    assert decimal_to_count(text, exponent) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "+", ".", ".5", "1.", "-.5", "--1", "+-1", "1.2.3", "1,5", " 1", "1 ", "0x10"),
        *("1-", "NaN", "Infinity", "1_000", "1.5x", "/", ":", "1/", "1.:", "\u0661"),
    ],
)
def test_malformed_is_malformed_on_both_roads(text: str) -> None:
    assert parse(text, 8) == (0, MALFORMED)
    with pytest.raises(GridError, match="not a decimal number"):
        decimal_to_count(text, 8)
    with pytest.raises(GridError, match="not a decimal number"):
        decimals_in(text)
    raw = np.frombuffer(b"1." + text.encode() + b"1", np.uint8)
    assert significant_decimals(raw, 2, len(raw) - 1) == -1


@pytest.mark.parametrize(
    ("text", "exponent", "status"),
    [
        ("0.123", 2, OFF_GRID),
        ("1.5", 0, OFF_GRID),
        ("0.0000000000000000001", 18, OFF_GRID),
        ("9223372036854775808", 0, OVERFLOW),
        ("-9223372036854775808", 0, OVERFLOW),
        ("9223372036854775810", 0, OVERFLOW),
        ("9.223372036854775808", 18, OVERFLOW),
        ("922337203685477581", 1, OVERFLOW),
        ("10", 18, OVERFLOW),
        ("1000000000000.00000000", 8, OVERFLOW),
        ("1" * 40, 0, OVERFLOW),
        ("1" * 40 + ".5", 0, OFF_GRID),  # off the grid goes first
        ("99999999999999999999.5", 18, OVERFLOW),
    ],
)
def test_off_grid_and_overflow(text: str, exponent: int, status: int) -> None:
    assert parse(text, exponent) == (0, status)
    with pytest.raises(GridError, match={OFF_GRID: "finer", OVERFLOW: "too large"}[status]):
        decimal_to_count(text, exponent)


@pytest.mark.parametrize(
    ("text", "exponent", "value"),
    [
        ("1e-8", 8, 1),
        ("1E-8", 9, 10),
        ("1.50e2", 0, 150),
        ("-2.5e+3", 1, -25000),
        ("0e99999999999999999999", 0, 0),
        ("0.0e-" + "9" * 5000, 0, 0),
        ("1000e-0003", 0, 1),
        ("1" + "0" * 5000 + "e-5000", 2, 100),
    ],
)
def test_the_slow_road_takes_powers(text: str, exponent: int, value: int) -> None:
    assert parse(text, exponent) == (0, MALFORMED)
    assert decimal_to_count(text, exponent) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [("1e-9", "finer"), ("1e" + "9" * 5000, "too large"), ("1e-" + "9" * 5000, "finer")],
)
def test_the_slow_road_refuses_what_does_not_fit(text: str, reason: str) -> None:
    with pytest.raises(GridError, match=reason):
        decimal_to_count(text, 8)


@pytest.mark.parametrize(
    ("text", "decimals"),
    [
        ("61737.63000000", 2),
        ("1000000000000.00000000", 0),
        ("0.00000001", 8),
        ("12", 0),
        ("-1.50", 1),
        ("+0.10203000", 5),
        ("0.0", 0),
    ],
)
def test_significant_decimals(text: str, decimals: int) -> None:
    raw = np.frombuffer(b"1." + text.encode() + b"11", np.uint8)
    assert significant_decimals(raw, 2, len(raw) - 2) == decimals
    assert decimals_in(text) == decimals


def test_decimals_of_powers() -> None:
    texts = ("1e-8", "1.2e-8", "155e-1", "150e-1", "1e5", "0e-5")
    assert [decimals_in(text) for text in texts] == [8, 9, 1, 0, 0, 0]


def test_long_texts_are_shortened_in_errors() -> None:
    with pytest.raises(GridError) as caught:
        decimal_to_count("x" * 10_000, 0)
    assert len(caught.value.message) < 120


@pytest.mark.parametrize("exponent", [-1, 19])
def test_exponents_outside_the_scale_are_refused(exponent: int) -> None:
    with pytest.raises(GridError, match="outside 0 … 18"):
        decimal_to_count("1", exponent)
    with pytest.raises(GridError, match="outside 0 … 18"):
        to_decimal128(np.ones(1, np.int64), exponent)


def test_counts_as_text() -> None:
    assert count_to_text(6173763, 2) == "61737.63"
    assert count_to_text(-5, 3) == "-0.005"
    assert count_to_text(0, 2) == "0"
    assert count_to_text(100, 7) == "0.00001"
    assert count_to_text(-1200, 2) == "-12"
    assert count_to_text(10**12, 0) == "1000000000000"
    assert count_to_text(-7, 0) == "-7"


EXTREMES = np.array(
    [0, 1, -1, 7, -7, 10**18, -(10**18), 2**32, -(2**32), 2**62, MAX_COUNT, -MAX_COUNT, LEAST]
)


@pytest.mark.parametrize("exponent", range(19))
def test_stored_decimals_round_trip(exponent: int) -> None:
    stored = to_decimal128(EXTREMES, exponent)
    assert stored.type == pa.decimal128(38, 18)
    stored.validate(full=True)
    expected = [Decimal(count).scaleb(-exponent) for count in EXTREMES.tolist()]
    assert stored.to_pylist() == expected
    assert stored.equals(pa.array(expected, pa.decimal128(38, 18)))
    assert np.array_equal(from_decimal128(stored, exponent), EXTREMES)


def test_other_scales() -> None:
    stored = to_decimal128(EXTREMES, 2, scale=2)
    assert stored.type == pa.decimal128(38, 2)
    assert np.array_equal(from_decimal128(stored, 2, scale=2), EXTREMES)
    with pytest.raises(GridError, match="do not fit into decimals of scale 2"):
        to_decimal128(EXTREMES, 3, scale=2)
    with pytest.raises(GridError, match="scale 18 belongs"):
        from_decimal128(stored, 2)


def test_given_memory_is_used() -> None:
    memory = np.full((20, 2), 7, np.uint64)
    stored = to_decimal128(EXTREMES, 4, out=memory)
    assert stored.buffers()[1].address == memory.ctypes.data
    assert stored.equals(to_decimal128(EXTREMES, 4))
    assert (memory[len(EXTREMES) :] == 7).all()


@pytest.mark.parametrize(
    "memory",
    [
        np.empty((12, 2), np.uint64),
        np.empty((13, 3), np.uint64),
        np.empty(26, np.uint64),
        np.empty((13, 2), np.int64),
        np.empty((26, 2), np.uint64)[::2],
    ],
    ids=["short", "wide", "flat", "signed", "strided"],
)
def test_unfit_memory_is_refused(memory: np.ndarray) -> None:
    with pytest.raises(ValueError, match="C-contiguous uint64"):
        to_decimal128(EXTREMES, 4, out=memory)


def test_strided_counts_are_read_right() -> None:
    levels = np.arange(12, dtype=np.int64).reshape(3, 4)
    assert from_decimal128(to_decimal128(levels[:, 1], 3), 3).tolist() == [1, 5, 9]


def test_slices_chunks_and_empty_columns() -> None:
    stored = to_decimal128(EXTREMES, 5)
    assert np.array_equal(from_decimal128(stored.slice(3, 6), 5), EXTREMES[3:9])
    chunks = pa.chunked_array([stored.slice(2, 4), stored.slice(0, 0), stored.slice(5)])
    assert np.array_equal(from_decimal128(chunks, 5), np.concatenate([EXTREMES[2:6], EXTREMES[5:]]))
    assert len(from_decimal128(stored.slice(0, 0), 5)) == 0
    assert len(from_decimal128(pa.chunked_array([], pa.decimal128(38, 18)), 5)) == 0
    assert len(to_decimal128(EXTREMES[:0], 5)) == 0


def decimals(*values: str | None) -> pa.Array:
    """Values as stored decimals, null where None."""
    return pa.array([v and Decimal(v) for v in values], pa.decimal128(38, 18))


@pytest.mark.parametrize(
    ("value", "exponent", "reason"),
    [
        ("0.125", 2, "'0.125000000000000000' is finer than the grid of 10^-2"),
        ("-0.125", 2, "'-0.125000000000000000' is finer"),
        ("0.000000000000000001", 17, "is finer"),
        ("0.5", 0, "is finer"),
        ("92233720368.54775808", 8, "'92233720368.547758080000000000' is too large"),
        ("-92233720368.54775809", 8, "is too large"),
        ("9.223372036854775808", 18, "is too large"),
        ("184467440737.09551616", 8, "is too large"),  # 2**64 counts: 0 if it wrapped
        ("184467440737.09551617", 8, "is too large"),
        ("99999999999999999999", 0, "is too large"),
        ("-99999999999999999999", 18, "is too large"),
        ("99999999999999999999.000000000000000001", 8, "is finer"),
    ],
)
def test_stored_decimals_off_the_grid_name_the_row(value: str, exponent: int, reason: str) -> None:
    good = decimals("1", "2")
    for array in (
        decimals("1", "2", value, "3"),
        decimals("0", "0", "1", "2", value).slice(2),
        pa.chunked_array([good, decimals(value, value)]),
    ):
        with pytest.raises(GridError) as caught:
            from_decimal128(array, exponent)
        assert caught.value.message.startswith("row 2: ")
        assert reason in caught.value.message


def test_nulls_and_other_types_are_refused() -> None:
    with pytest.raises(GridError, match="row 3: null"):
        from_decimal128(pa.chunked_array([decimals("1", "2"), decimals("1", None, None)]), 2)
    with pytest.raises(GridError, match="row 1: null"):
        from_decimal128(decimals(None, "1", None).slice(1), 2)
    assert from_decimal128(decimals(None, "1").slice(1), 2).tolist() == [100]
    with pytest.raises(GridError, match="type double"):
        from_decimal128(pa.array([1.5]), 2)
    with pytest.raises(GridError, match="decimal256"):
        from_decimal128(pa.array([Decimal(1)], pa.decimal256(50, 18)), 2)


def test_a_tiny_tick_with_huge_quantities() -> None:
    """A price of 1e-8 and a quantity of 1e12, as venues print them, both with eight decimals."""
    prices = ("0.00000001", "0.00001042")
    sizes = ("1000000000000.00000000", "1.00000000")
    assert (max(map(decimals_in, prices)), max(map(decimals_in, sizes))) == (8, 0)
    price, size = (
        np.array([parse(text, exponent)[0] for text in texts], np.int64)
        for texts, exponent in ((prices, 8), (sizes, 0))
    )
    assert to_decimal128(price, 8).to_pylist() == [Decimal("1e-8"), Decimal("0.00001042")]
    assert to_decimal128(size, 0).to_pylist() == [Decimal("1e12"), Decimal(1)]
    assert parse(sizes[0], 8) == (0, OVERFLOW)
    assert np.array_equal(from_decimal128(to_decimal128(size, 0), 6), size * 10**6)
    with pytest.raises(GridError, match=r"row 0: .* is too large"):
        from_decimal128(to_decimal128(size, 0), 8)
