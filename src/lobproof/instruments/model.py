"""``Instrument`` and ``Rule``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

from lobproof.errors import GridError, InputError, shown
from lobproof.fixedpoint import (
    MAX_COUNT,
    OFF_GRID,
    OVERFLOW,
    check_exponent,
    count_to_text,
    decimal_to_count,
    decimals_in,
    grid_error,
)
from lobproof.instruments.symbols import NAME_HINT, is_name


@dataclass(frozen=True, slots=True)
class Rule:
    """Tick and lot in counts on the instrument's grid, in force from ``since_ns`` (UTC) on."""

    since_ns: int
    tick: int
    lot: int

    def __post_init__(self) -> None:
        """Refuse a tick or lot below one count."""
        if self.tick < 1 or self.lot < 1:
            raise GridError(
                f"a tick of {self.tick} and a lot of {self.lot} counts: both must be at least 1",
                hint="a rule finer than the grid needs a larger exponent",
            )


@dataclass(frozen=True, slots=True, repr=False)
class Instrument:
    """A symbol of a venue and its immutable decimal grid.

    A price is an int64 count of ``10**-price_exponent``, a size one of ``10**-size_exponent``.
    ``rules`` (at least one, by rising ``since_ns``) serve flags and indexing only: prices and
    sizes off the tick or lot are represented all the same.
    """

    exchange: str
    symbol: str
    venue_symbol: str
    price_exponent: int
    size_exponent: int
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        """Check the names, the exponents and the order of the rules."""
        for name in (self.exchange, self.symbol, self.venue_symbol):
            if not is_name(name):
                raise InputError(f"'{shown(name, 60)}' cannot name an instrument", hint=NAME_HINT)
        check_exponent(self.price_exponent)
        check_exponent(self.size_exponent)
        since = [rule.since_ns for rule in self.rules]
        if not since or any(a >= b for a, b in pairwise(since)):
            raise InputError(
                f"{self.symbol}: rules must be dated in rising order; these begin at {since}",
                hint="give at least one tick and lot, and each date once",
            )

    @classmethod
    def given(
        cls,
        exchange: str,
        symbol: str,
        venue_symbol: str,
        rules: Iterable[tuple[int, str, str]],
        *,
        price_exponent: int = 0,
        size_exponent: int = 0,
    ) -> Self:
        """An instrument from rules as text: ``(since_ns, tick, lot)``, in any order.

        The grid is the coarsest that holds every tick and lot, and at least as fine as the
        exponents given (a recording's own digits may be finer than any rule).

        Raises
        ------
        GridError
            When a tick or lot is no positive number or needs more than 18 digits.
        InputError
            Without a rule, or with two of one date.
        """
        texts = sorted(rules)
        price_exponent = max([price_exponent, *(decimals_in(tick) for _, tick, _ in texts)])
        size_exponent = max([size_exponent, *(decimals_in(lot) for _, _, lot in texts)])
        dated = tuple(
            Rule(
                since,
                decimal_to_count(tick, price_exponent),
                decimal_to_count(lot, size_exponent),
            )
            for since, tick, lot in texts
        )
        return cls(exchange, symbol, venue_symbol, price_exponent, size_exponent, dated)

    def __repr__(self) -> str:
        """Its names, tick and lot as decimals (of the first rule), and the grid."""
        more = len(self.rules) - 1
        later = f" (first of {more + 1} rules)" if more else ""
        return (
            f"Instrument({self.exchange} {self.symbol}, venue's {self.venue_symbol}, "
            f"tick {self.price_text(self.tick)}, lot {self.size_text(self.lot)}{later}; "
            f"grid 1e-{self.price_exponent} x 1e-{self.size_exponent})"
        )

    @property
    def tick(self) -> int:
        """Tick of the first rule, in counts."""
        return self.rules[0].tick

    @property
    def lot(self) -> int:
        """Lot of the first rule, in counts."""
        return self.rules[0].lot

    def rule_at(self, ts_ns: int) -> Rule:
        """The rule in force at ``ts_ns``; before the first one begins, the first."""
        found = self.rules[0]
        for rule in self.rules[1:]:
            if rule.since_ns > ts_ns:
                break
            found = rule
        return found

    def price_text(self, count: int) -> str:
        """The price of ``count``, without zeros that end a fraction."""
        return count_to_text(count, self.price_exponent)

    def size_text(self, count: int) -> str:
        """The size of ``count``, without zeros that end a fraction."""
        return count_to_text(count, self.size_exponent)

    def with_exponents(self, price_exponent: int, size_exponent: int) -> Self:
        """The same instrument on another grid; its rules keep their values.

        Raises
        ------
        GridError
            When a tick or lot is off that grid or overflows on it.
        """
        rules = tuple(
            Rule(
                rule.since_ns,
                _rescaled(rule.tick, self.price_exponent, price_exponent),
                _rescaled(rule.lot, self.size_exponent, size_exponent),
            )
            for rule in self.rules
        )
        return replace(
            self, price_exponent=price_exponent, size_exponent=size_exponent, rules=rules
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :meth:`from_dict` reads them back."""
        return {
            "exchange": self.exchange,
            "symbol": self.symbol,
            "venue_symbol": self.venue_symbol,
            "price_exponent": self.price_exponent,
            "size_exponent": self.size_exponent,
            "rules": [
                {"since_ns": rule.since_ns, "tick": rule.tick, "lot": rule.lot}
                for rule in self.rules
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The instrument that :meth:`to_dict` described; :class:`InputError` if it is damaged."""
        try:
            names = values["exchange"], values["symbol"], values["venue_symbol"]
            price, size = values["price_exponent"], values["size_exponent"]
            rules = [(rule["since_ns"], rule["tick"], rule["lot"]) for rule in values["rules"]]
        except (KeyError, TypeError) as error:
            raise _damaged(f"{type(error).__name__} {error}") from error
        numbers = [price, size, *(number for rule in rules for number in rule)]
        if not all(isinstance(name, str) for name in names):
            raise _damaged("a name is not text")
        if not all(type(number) is int and abs(number) <= MAX_COUNT for number in numbers):
            raise _damaged("a number is not an int64")
        exchange, symbol, venue_symbol = names
        return cls(
            exchange, symbol, venue_symbol, price, size, tuple(Rule(*rule) for rule in rules)
        )


def _rescaled(count: int, old: int, new: int) -> int:
    check_exponent(new)
    scale: int = 10 ** abs(new - old)
    result, rest = (count * scale, 0) if new >= old else divmod(count, scale)
    if rest or result > MAX_COUNT:
        raise grid_error(OFF_GRID if rest else OVERFLOW, count_to_text(count, old), new)
    return result


def _damaged(why: str) -> InputError:
    return InputError(
        f"the description of an instrument is damaged: {why}",
        hint="it is written by Instrument.to_dict; make the golden sample or store again",
    )
