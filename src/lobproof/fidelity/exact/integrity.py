"""Gate A on events: the grid, the order, and trade ids, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import polars as pl

from lobproof.fidelity.exact.ids import LATE, NEW, SeenIds
from lobproof.fidelity.exact.report import (
    Check,
    Class,
    Divergence,
    Verdict,
    not_applicable,
    plain,
)
from lobproof.fidelity.exact.walk import last_rows
from lobproof.instruments import Instrument
from lobproof.schema import UNORDERED, Flag, Kind, Order
from lobproof.schema.codes import PRICE_SCALE

_LEVELS = (int(Kind.DELTA), int(Kind.SNAPSHOT))
_OF_THE_BOOK = (*_LEVELS, int(Kind.CLEAR))


class Tally:
    """Rows looked at and rows that are right, and the first that is not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = 0
        self.right = 0
        self.first: Divergence | None = None

    def add(
        self,
        frame: pl.DataFrame,
        wrong: pl.Series,
        why: Callable[[dict[str, object]], str],
        kind: Class,
        id_column: str = "sequence",
    ) -> None:
        """Count ``frame``; ``wrong`` says which of its rows are, ``why`` what is wrong with one."""
        self.rows += frame.height
        bad = frame.filter(wrong)
        self.right += frame.height - bad.height
        if bad.height and self.first is None:
            row = bad.row(0, named=True)
            self.first = Divergence(
                self.name,
                kind,
                int(row[id_column]),
                int(row["ts_order"]),
                why(row),
                dt=str(row["dt"]),
                event_id=int(row["event_id"]),
            )

    def check(self, what: str, **details: object) -> Check:
        """The verdict, with zero tolerance."""
        if not self.rows:
            return not_applicable(self.name, f"the store has no {what}")
        verdict = Verdict.EXACT if self.right == self.rows else Verdict.FAIL
        reason = self.first.detail if self.first else ""
        return Check(
            self.name,
            verdict,
            self.rows,
            self.rows,
            self.right,
            reason=reason,
            details=details,
            first=self.first,
        )


def off_grid(column: str, exponent: int) -> pl.Expr:
    """Whether a stored decimal is no multiple of ``10**-exponent``, or negative."""
    step = pl.lit(10 ** (PRICE_SCALE - exponent), pl.Int128)
    value = pl.col(column).to_physical()
    return (value % step != 0) | (value < 0)


class GridCheck:
    """``grid``: every price and size of events and states is on the instrument's decimal grid.

    Prices and sizes of trades, and prices of levels, are above zero; no size is below; what has
    no price (marks, clears) shows none. In states, levels come best first, without holes.
    """

    def __init__(self, instruments: dict[str, Instrument]) -> None:
        self._instruments = instruments
        self._tally = Tally("grid")

    def add_events(self, rows: pl.DataFrame) -> None:
        """Check a frame of events."""
        trade, level = pl.col("kind") == int(Kind.TRADE), pl.col("kind").is_in(_LEVELS)
        price, size = pl.col("price"), pl.col("size")
        zero = (price <= 0) & (trade | level) | (size <= 0) & (
            trade | (pl.col("kind") == int(Kind.SNAPSHOT))
        )
        odd = ((price != 0) | (size != 0)) & ~(trade | level)
        for (dt,), day in rows.group_by("dt", maintain_order=True):
            instrument = self._instruments[str(dt)]
            off = off_grid("price", instrument.price_exponent) | off_grid(
                "size", instrument.size_exponent
            )
            wrong = day.select((off | zero | odd).alias("wrong"))["wrong"]
            self._tally.add(day, wrong, _grid_text, Class.ROUNDING)

    def add_states(
        self, states: pl.DataFrame, columns: dict[str, tuple[list[str], list[str]]]
    ) -> None:
        """Check a frame of states; ``columns`` names prices and sizes of each side."""
        for (dt,), day in states.group_by("dt", maintain_order=True):
            instrument = self._instruments[str(dt)]
            tests = []
            for side, (prices, sizes) in columns.items():
                tests += [off_grid(name, instrument.price_exponent) for name in prices]
                tests += [off_grid(name, instrument.size_exponent) for name in sizes]
                tests += [
                    (pl.col(price) == 0) != (pl.col(size) == 0)
                    for price, size in zip(prices, sizes, strict=True)
                ]
                for near, far in pairwise(prices):
                    behind = (
                        pl.col(far) >= pl.col(near)
                        if side == "bid"
                        else pl.col(far) <= pl.col(near)
                    )
                    tests.append(behind & (pl.col(far) != 0))
            wrong = day.select(pl.any_horizontal(tests).alias("wrong"))["wrong"]
            self._tally.add(
                day,
                wrong,
                lambda row: "a state's levels are off the grid, or not best first",
                Class.ROUNDING,
            )

    def result(self) -> Check:
        """The check."""
        return self._tally.check("events")


def _grid_text(row: dict[str, object]) -> str:
    return (
        f"price {plain(row['price'])} or size {plain(row['size'])} of this "
        f"{Kind(int(str(row['kind']))).name} row cannot be: off the decimal grid, or of an "
        "impossible sign"
    )


class OrderCheck:
    """``order``: event ids 0, 1, 2 … in each day, time never back, messages whole.

    On a tie that stream goes first which the day's order, as sealed, puts first.
    """

    def __init__(self, orders: Mapping[str, Order]) -> None:
        first = [dt for dt, order in orders.items() if order.first_on_tie == "trade"]
        self._trade_first = pl.col("dt").is_in(first)
        self._tally = Tally("order")
        self._tail: pl.DataFrame | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Check a frame of events."""
        frame = rows if self._tail is None else pl.concat([self._tail, rows])
        before = {
            name: pl.col(name).shift(1)
            for name in (
                "dt",
                "event_id",
                "ts_order",
                "sequence",
                "prev_sequence",
                "ts_event",
                "kind",
            )
        }
        same_day = pl.col("dt") == before["dt"]
        counted = pl.when(same_day).then(before["event_id"] + 1).otherwise(0)
        opened = ~last_rows().shift(1)  # the row before is not the last of its message
        shared = pl.all_horizontal(
            same_day,
            *(
                pl.col(name) == before[name]
                for name in ("ts_order", "sequence", "prev_sequence", "ts_event")
            ),
            (pl.col("kind") == before["kind"])
            | ((before["kind"] == int(Kind.CLEAR)) & (pl.col("kind") == int(Kind.SNAPSHOT))),
        )
        trade = (pl.col("kind") == int(Kind.TRADE)) & ~last_rows()
        kinds = [pl.col("kind").is_in(kind) for kind in ([int(Kind.TRADE)], _OF_THE_BOOK)]
        (trades, book), (trades_before, book_before) = kinds, (kind.shift(1) for kind in kinds)
        swapped = (pl.col("ts_order") == before["ts_order"]) & (
            pl.when(self._trade_first).then(book_before & trades).otherwise(trades_before & book)
        )
        wrong = (
            (pl.col("event_id") != counted)
            | (pl.col("ts_order") < before["ts_order"])
            | (opened & ~shared)
            | (same_day & swapped)
            | trade
        ).fill_null(value=False)
        first = (pl.col("event_id") != 0) if self._tail is None else pl.lit(value=False)
        at_start = pl.int_range(pl.len()) == 0
        judged = frame.with_columns(
            pl.when(at_start).then(first | trade).otherwise(wrong).alias("wrong")
        ).slice(0 if self._tail is None else 1)
        self._tally.add(
            rows,
            judged["wrong"],
            lambda row: (
                "the row does not follow on the one before: event_id, ts_order, the message that "
                "it belongs to, or which of book and trade goes first"
            ),
            Class.ORDER,
        )
        self._tail = rows.tail(1)

    def result(self) -> Check:
        """The check."""
        if self._tail is not None and not self._tail["flags"][0] & int(Flag.LAST):
            self._tally.right -= 1
            self._tally.first = self._tally.first or Divergence(
                "order",
                Class.ORDER,
                int(self._tail["sequence"][0]),
                int(self._tail["ts_order"][0]),
                "the last message is not whole",
                dt=str(self._tail["dt"][0]),
                event_id=int(self._tail["event_id"][0]),
            )
        return self._tally.check("events")


class TradeIdCheck:
    """``trade_ids``: unique; rising too, apart from those that are flagged as late.

    Trades without an id, and ids that are text, are counted.
    """

    def __init__(self) -> None:
        self._tally = Tally("trade_ids")
        self._seen = SeenIds()
        self._late = 0
        self._unordered = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Check a frame of events."""
        trades = rows.filter(pl.col("kind") == int(Kind.TRADE))
        numbered = pl.col("sequence").is_between(0, UNORDERED, closed="left")
        self._unordered += trades.select((~numbered).sum()).item()
        trades = trades.filter(numbered)
        ids, before = trades["sequence"].to_numpy(), trades["prev_sequence"].to_numpy()
        status = self._seen.add(np.where(before < 0, ids, before + 1), ids)
        flagged = (trades["flags"].to_numpy() & int(Flag.OUT_OF_ORDER)) != 0
        late = (status == LATE) & flagged
        self._late += int(np.count_nonzero(late))
        wrong = pl.Series((status != NEW) & ~late, dtype=pl.Boolean)
        self._tally.add(
            trades,
            wrong,
            lambda row: f"trade {row['sequence']} is stored twice, or after a later one",
            Class.ORDER,
        )

    def result(self) -> Check:
        """The check."""
        unordered = {"without_a_number": self._unordered} if self._unordered else {}
        return self._tally.check(
            "trades", missing_ids=self._seen.missing, late=self._late, **unordered
        )
