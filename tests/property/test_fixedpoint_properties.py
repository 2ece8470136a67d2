"""The fixed-point kernels against ``decimal.Decimal`` and PyArrow's own conversion."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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

exponents = st.integers(0, 18)
digits = st.text("0123456789", min_size=1, max_size=24)
plain = st.builds(
    lambda sign, whole, fraction, zeros: (
        f"{sign}{whole}" + (f".{fraction}{zeros}" if fraction else "")
    ),
    st.sampled_from(["", "-", "+"]),
    digits,
    st.text("0123456789", max_size=20),
    st.sampled_from(["", "0", "00000000"]),
)
powers = st.builds(
    lambda text, e, power: f"{text}{e}{power}", plain, st.sampled_from("eE"), st.integers(-40, 40)
)
untimed = settings(deadline=None)  # the first call compiles
int64s = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-(10**6), 10**6))


def expected(text: str, exponent: int) -> tuple[int, int]:
    """Count and status by way of ``decimal.Decimal``."""
    with localcontext(prec=200):
        scaled = Decimal(text).scaleb(exponent)
        if scaled != scaled.to_integral_value():
            return 0, OFF_GRID
        if abs(scaled) > MAX_COUNT:
            return 0, OVERFLOW
        return int(scaled), OK


@untimed
@given(plain, exponents)
def test_plain_text_reads_as_decimal_does(text: str, exponent: int) -> None:
    raw = np.frombuffer(text.encode(), np.uint8)
    value, status = parse_decimal(raw, 0, len(raw), exponent)
    assert (value, status) == expected(text, exponent)
    if status == OK:
        assert decimal_to_count(text, exponent) == value
        assert decimal_to_count(count_to_text(value, exponent), exponent) == value
    else:
        with pytest.raises(GridError, match={OFF_GRID: "finer", OVERFLOW: "too large"}[status]):
            decimal_to_count(text, exponent)


@untimed
@given(powers, exponents)
def test_powers_read_as_decimal_does(text: str, exponent: int) -> None:
    value, status = expected(text, exponent)
    if status == OK:
        assert decimal_to_count(text, exponent) == value
    else:
        with pytest.raises(GridError, match={OFF_GRID: "finer", OVERFLOW: "too large"}[status]):
            decimal_to_count(text, exponent)


@untimed
@given(plain)
def test_significant_decimals_are_decimals_of_the_normal_form(text: str) -> None:
    with localcontext(prec=200):
        tail = Decimal(text).normalize().as_tuple().exponent
    assert isinstance(tail, int)
    raw = np.frombuffer(text.encode(), np.uint8)
    assert significant_decimals(raw, 0, len(raw)) == decimals_in(text) == max(0, -tail)


@untimed
@given(st.binary(max_size=40), exponents, st.data())
def test_no_bytes_break_the_parser(raw: bytes, exponent: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, len(raw)))
    buffer = np.frombuffer(raw, np.uint8)
    value, status = parse_decimal(buffer, start, stop, exponent)
    assert status in {OK, MALFORMED, OFF_GRID, OVERFLOW}
    assert value == 0 or status == OK
    assert (significant_decimals(buffer, start, stop) < 0) == (status == MALFORMED)
    text = raw[start:stop].decode("latin-1")
    if status == OK:
        assert decimal_to_count(text, exponent) == value


@untimed
@given(st.lists(int64s, max_size=20), exponents)
def test_stored_decimals_equal_pyarrows_and_come_back(counts: list[int], exponent: int) -> None:
    values = np.array(counts, np.int64)
    stored = to_decimal128(values, exponent)
    decimals = [Decimal(count).scaleb(-exponent) for count in counts]
    assert stored.equals(pa.array(decimals, pa.decimal128(38, 18)))
    assert np.array_equal(from_decimal128(stored, exponent), values)


@untimed
@given(
    st.lists(
        st.one_of(
            st.integers(-(10**38) + 1, 10**38 - 1),
            st.builds(lambda count, power: count * 10**power, int64s, st.integers(0, 18)),
            st.builds(lambda wrap, count: wrap * 2**64 + count, st.integers(-9, 9), int64s),
        ),
        min_size=1,
        max_size=6,
    ),
    exponents,
)
def test_any_stored_decimal_is_read_exactly_or_named(units: list[int], exponent: int) -> None:
    """``units`` are counts of 10**-18."""
    with localcontext(prec=200):
        decimals = [Decimal(unit).scaleb(-18) for unit in units]
    stored = pa.array(decimals, pa.decimal128(38, 18))
    parts = [divmod(unit, 10 ** (18 - exponent)) for unit in units]
    fits = [rest == 0 and -(2**63) <= count < 2**63 for count, rest in parts]
    if all(fits):
        assert from_decimal128(stored, exponent).tolist() == [count for count, _ in parts]
    else:
        row = fits.index(False)
        reason = "finer" if parts[row][1] else "too large"
        with pytest.raises(GridError, match=f"row {row}: .* is {reason}"):
            from_decimal128(stored, exponent)
