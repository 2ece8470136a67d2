"""Facts about prices and sizes: the decimal grid, the tick and the lot of the day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lobproof.acquire.checks.grid import USUAL_DECIMALS
from lobproof.acquire.facts.count_kernels import DIGITS, FINEST, LAST_TWO, count_digits
from lobproof.acquire.facts.fact import SLACK, Fact, Figure, share, verdict
from lobproof.acquire.rows import Columns
from lobproof.fixedpoint import count_to_text
from lobproof.schema import Int64
from lobproof.schema.records import zeroed

_ENOUGH = 1000
"""Fewer values may all happen to be round."""
_MULTIPLES = 0.99
_LARGEST = 2.0**61
_TABLES = {
    "book_delta_v2": {"price": "price", "size": "size"},
    "trades": {"price": "price", "size": "amount"},
}


@dataclass(frozen=True, slots=True)
class Grid:
    """Digits after the point of a day's prices and sizes, and its tick in counts of such."""

    price_exponent: int
    size_exponent: int
    tick: int


class GridSurvey:
    """Digits of every price and size of ``book_delta_v2`` and ``trades``."""

    def __init__(self) -> None:
        self._rows = 0
        self._largest = {"price": 0.0, "size": 0.0}
        self._digits = {
            (table, field): zeroed(DIGITS)[0] for table in _TABLES for field in _TABLES[table]
        }

    def feed(self, table: str, rows: Columns) -> None:
        """Look at the next rows of a table; ``book`` is left out."""
        columns = _TABLES.get(table)
        if columns is None:  # of `book` the facts say nothing
            return
        for field, column in columns.items():
            largest = count_digits(self._digits[table, field], rows[column])
            self._largest[field] = max(self._largest[field], largest)
        self._rows += len(rows["price"])

    def grid(self) -> Grid | None:
        """The grid that holds all values that any holds; None where int64 counts do not."""
        price, size = (_finest(self._all(field)) for field in ("price", "size"))
        for field, exponent in (("price", price), ("size", size)):
            if self._largest[field] * 10.0**exponent >= _LARGEST:
                return None
        exponent, step = _step(self._all("price"))
        tick = step * 10**price // 10**exponent if price >= exponent else 1
        return Grid(price, size, max(tick, 1))

    def facts(self) -> list[Fact]:
        """What the rows say."""
        return [
            self._on_grid(),
            self._step_fact(
                "price-tick",
                "No price is off the tick of the day.",
                "price",
                "tick",
                allowed=0.0,
            ),
            self._step_fact(
                "size-lot",
                "Hardly any size is off the lot of the day: at most one in a thousand.",
                "size",
                "lot",
                allowed=SLACK,
            ),
        ]

    def _all(self, field: str) -> Int64:
        seen: Int64 = sum(self._digits[table, field].seen for table in _TABLES)
        return seen

    def _on_grid(self) -> Fact:
        off = {
            f"{table} {field}": int(digits.off_grid) + int(digits.seen[USUAL_DECIMALS + 1 :].sum())
            for (table, field), digits in self._digits.items()
        }
        invalid = sum(int(digits.invalid) for digits in self._digits.values())
        figures: dict[str, Figure] = {
            "digits of prices": _finest(self._all("price")),
            "digits of sizes": _finest(self._all("size")),
            "no number of 0 or more": invalid,
            **{f"{name} of more digits": count for name, count in off.items()},
        }
        return Fact(
            "decimal-grid",
            "Each price and size is the float nearest to a decimal of at most eight digits after "
            "the point, so that its exact value can be recovered.",
            verdict(invalid == 0 and not any(off.values()), rows=self._rows),
            figures,
            self._rows,
        )

    def _step_fact(self, name: str, claim: str, field: str, word: str, *, allowed: float) -> Fact:
        exponent, step = _step(self._all(field))
        off = values = 0
        figures: dict[str, Figure] = {word: count_to_text(step, exponent)}
        for table in _TABLES:
            digits = self._digits[table, field]
            there = int(digits.seen.sum()) + int(digits.off_grid)
            wrong = there - _multiples(digits.seen, exponent, step)
            off, values = off + wrong, values + there
            figures[f"{table}: off it"] = wrong
        good = share(off, values) <= allowed
        return Fact(name, claim, verdict(good, rows=values, enough=_ENOUGH), figures, self._rows)


def _finest(seen: Int64) -> int:
    """Most digits after the point of any value."""
    there = np.flatnonzero(seen.sum(axis=1))
    return int(there[-1]) if len(there) else 0


def _step(seen: Int64) -> tuple[int, int]:
    """The coarsest step, 1, 2, 2.5 or 5 times a power of ten, that nearly all are multiples of.

    As a count of the grid of so many digits: (digits, count). At most 5: a count's last two
    digits tell no more.
    """
    total = int(seen.sum())
    for exponent in range(FINEST + 1):
        for digits, step in ((exponent, 5), (exponent + 1, 25), (exponent, 2), (exponent, 1)):
            if digits <= FINEST and _multiples(seen, digits, step) >= _MULTIPLES * total > 0:
                return digits, step
    return 0, 1


def _multiples(seen: Int64, exponent: int, step: int) -> int:
    """Values that are multiples of ``step`` counts of ``10**-exponent``; it divides 100."""
    found = 0
    for digits in range(exponent + 1):
        scale = 10 ** (exponent - digits)
        multiple = np.arange(LAST_TWO) * scale % step == 0
        found += int(seen[digits, multiple].sum())
    return found
