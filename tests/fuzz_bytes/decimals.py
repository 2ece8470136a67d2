"""Decimal text and floats onto the grid, held against ``decimal`` and ``fractions``."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from decimal import Decimal, localcontext

import numpy as np

from fuzz_bytes.finding import found_unless
from fuzz_bytes.oracle import count_of, float_count
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
    parse_decimal,
    significant_decimals,
)
from lobproof.fixedpoint.float_kernels import float_decimals, float_to_count

_PLAIN = re.compile(rb"[+-]?[0-9]+(\.[0-9]+)?")
_ANY = re.compile(rb"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_POWER = 2000
TOKENS = (
    b"e",
    b"E-",
    b"e+18",
    b".",
    b"-",
    b"0" * 20,
    b"9223372036854775807",
    b"922337203685477580.8",
)


def decimals(data: bytes) -> None:
    """``<exponent><text>``: one value or one reason, by each of the roads."""
    exponent, text = (data[0] if data else 0) % 19, data[1:]
    buffer = np.frombuffer(text, np.uint8)
    value, status = parse_decimal(buffer, 0, len(text), exponent)
    places = significant_decimals(buffer, 0, len(text))
    plain = _PLAIN.fullmatch(text) is not None
    found_unless((status == MALFORMED) == (not plain) == (places < 0), f"{text!r}: {status}")
    if plain:
        found_unless((value, status) == _expected(text.decode(), exponent), f"{text!r}: {value}")
        found_unless(places == _places(text.decode()), f"{text!r}: {places} places")
    written = text.decode("utf-8", "replace")
    slow: int | None = None
    try:
        count = decimal_to_count(written, exponent)
        needed = decimals_in(written)
    except GridError as error:
        found_unless(bool(error.hint) and len(error.message) < 300, error.message[:400])
        found_unless(status != OK, f"{text!r}: only the kernel reads it")
    else:
        slow = count
        found_unless(_ANY.fullmatch(text) is not None, f"{text!r} is read")
        found_unless(needed <= exponent, f"{text!r}: {needed} decimals")
        again = decimal_to_count(count_to_text(count, exponent), exponent)
        found_unless(again == slow, f"{text!r}: {slow}, then {again}")
    power = re.split(rb"[eE]", text)[-1] if _ANY.fullmatch(text) and not plain else b"0"
    if _ANY.fullmatch(text) and len(power) < 5 and abs(int(power)) < _POWER:
        found_unless(slow == count_of(written, exponent), f"{text!r}: {slow}")
    floats(data)


def floats(data: bytes) -> None:
    """The same bytes as a float64."""
    exponent = (data[0] if data else 0) % 19
    (value,) = struct.unpack("<d", data[1:9].ljust(8, b"\0"))
    for number in (value, value % 1e6, _from_text(data[1:])):
        count, status = float_to_count(number, exponent)
        expected = float_count(number, exponent)
        found_unless((status == OK) == (expected is not None), f"{number!r}: {status}, {expected}")
        found_unless(count == (expected or 0), f"{number!r}: {count}, not {expected}")
        fewest = float_decimals(number)
        held = [d for d in range(19) if float_count(number, d) is not None]
        if fewest >= 0:
            found_unless(bool(held) and held[0] == fewest, f"{number!r}: {fewest}, not {held}")


def _from_text(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _expected(text: str, exponent: int) -> tuple[int, int]:
    with localcontext(prec=100_000):
        scaled = Decimal(text) * 10**exponent
        if scaled != scaled.to_integral_value():
            return 0, OFF_GRID
        return (0, OVERFLOW) if abs(scaled) > MAX_COUNT else (int(scaled), OK)


def _places(text: str) -> int:
    with localcontext(prec=100_000):
        _, _, exponent = Decimal(text).normalize().as_tuple()
    return max(0, -exponent) if isinstance(exponent, int) else 0


def seeds() -> Iterator[bytes]:
    """Texts of each kind, and floats of each size."""
    texts = (
        "0",
        "-0.0",
        "+12.50",
        "1e-8",
        "-1E+3",
        "30000.10000000",
        "0.00000001",
        "1e999999999999",
    )
    for exponent in (0, 2, 8, 18):
        head = bytes([exponent])
        for text in texts:
            yield head + text.encode()
        for count in (MAX_COUNT - 1, MAX_COUNT, MAX_COUNT + 1, 10**17):
            yield head + str(Decimal(count).scaleb(-exponent)).encode()
        for number in (0.1, 1e-8, 29999.99, 2.0**50, 1e300, float("inf"), float("nan"), -1.5):
            yield head + struct.pack("<d", number)
