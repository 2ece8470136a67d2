"""Gate A: a store checked by itself, with zero tolerance but for the share of time in doubt.

Nothing is held against what the market did: that is gate B, in :mod:`~.golden` and
:mod:`~.vendor`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lobproof.fidelity.exact.ids import LATE, NEW, SeenIds
from lobproof.fidelity.exact.report import (
    LISTED,
    Check,
    Class,
    Divergence,
    Verdict,
    not_applicable,
    plain,
)
from lobproof.fidelity.exact.row_kernels import CLOCKS, Ordered, grid_faults, order_faults
from lobproof.fidelity.exact.states import StatesCheck
from lobproof.fidelity.exact.window import (
    LEVEL_COLUMNS,
    TOUCH,
    Window,
    book_gaps,
    depth_rows,
    inside,
    last_rows,
)
from lobproof.fixedpoint import words_of
from lobproof.instruments import Instrument
from lobproof.schema import UNORDERED, Finding, Flag, Int64, Kind, Order
from lobproof.schema.codes import PRICE_SCALE
from lobproof.schema.tables import CONTENT_TABLES, Table
from lobproof.timespan import show_length

WARM_UP_LIMIT_NS = 60_000_000_000
"""Longest time before the first anchor, over all days, that leaves a verdict to be had."""
BEYOND_LIMIT = 0.01
"""Largest share of time in which the touch of a Crypto Lake day is beyond the levels listed."""

_TRADE = pl.col("kind") == int(Kind.TRADE)


class Integrity:
    """The checks of gate A, but for the files, of days in their order: `touch`, then `add`."""

    def __init__(self, window: Window, schema: SchemaCheck) -> None:
        self._schema = schema
        self._grid = GridCheck(window.instruments)
        self._chain = ChainCheck(window)
        self._order = OrderCheck(window.orders, window.by_receipt)
        self._trade_ids = TradeIdCheck()
        self._states = _StateChecks(window)
        self._books = StatesCheck(window)

    def touch(self, day: Window) -> pl.DataFrame:
        """Check the states of a day; what is kept of each.

        A row a state: where it is, the touch, how many levels are trusted, the flags;
        ``doubtful``: flagged so, or inside a finding of ``quality`` that says so; ``beyond``: in
        doubt for nothing but that the touch left the range that snapshots cover; ``warm_up``: for
        nothing but that no anchor had come yet; ``trusted``: its whole touch, and not doubtful.
        """
        kept = []
        (dt,) = day.days
        for states in day.states():
            self._schema.count("states", dt, states)
            self._grid.add_states(dt, states)
            self._books.add_states(dt, states)
            kept.append(self._states.add(states))
        return pl.concat(kept) if kept else self._states.none()

    def add(self, dt: str, rows: pl.DataFrame, trades: pl.DataFrame) -> None:
        """Check a frame of a day's events, whole messages, in stored order, and its trades."""
        self._schema.count("events", dt, rows)
        self._chain.add(rows)
        self._trade_ids.add(trades)
        self._books.add_events(dt, rows)
        for piece in _pieces(rows):
            self._order.add(dt, piece)
            self._grid.add_events(dt, piece)

    def depth_messages(self) -> pl.DataFrame:
        """Last rows of the depth messages added since the last call.

        Columns: dt, event_id, ts_order, sequence, prev_sequence.
        """
        return self._chain.depth_messages()

    def checks(self, untrusted_limit: float) -> list[Check]:
        """All of gate A, once every event has been added."""
        return [
            self._schema.result(),
            self._chain.result(),
            self._books.result(),
            self._states.uncrossed(),
            self._grid.result(),
            self._order.result(),
            self._trade_ids.result(),
            self._states.untrusted_share(untrusted_limit),
        ]


class _Rows:
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
        kind: Class,
        why: Callable[[dict[str, Any]], str],
    ) -> None:
        """Count ``frame``; ``wrong`` says which of its rows are, ``why`` what is wrong with one."""
        self.count(frame, (int(wrong.sum()), wrong.arg_max() or 0), kind, why)

    def count(
        self,
        frame: pl.DataFrame,
        wrong: tuple[int, int],
        kind: Class,
        why: Callable[[dict[str, Any]], str],
    ) -> None:
        """The same, where ``wrong`` says how many of its rows are, and which is the first."""
        count, first = wrong
        self.rows += frame.height
        self.right += frame.height - count
        if count and self.first is None:
            row = frame.row(first, named=True)
            self.first = Divergence.at(self.name, kind, row, why(row))

    def check(self, what: str, **details: object) -> Check:
        """The verdict, with zero tolerance."""
        if not self.rows:
            return not_applicable(self.name, f"the store has no {what}")
        return Check(
            self.name,
            Verdict.EXACT if self.right == self.rows else Verdict.FAIL,
            self.rows,
            self.rows,
            self.right,
            reason=self.first.detail if self.first else "",
            details=details,
            first=self.first,
        )


# the files and their columns -----------------------------------------------------------------


class SchemaCheck:
    """``schema``: the files are those that were sealed, with the columns that they should have.

    With ``audit`` every content hash is recomputed too.
    """

    def __init__(self, window: Window, *, audit: bool) -> None:
        self._window = window
        self._problems: list[str] = []
        self._compared = 0
        self._rows: Counter[tuple[str, str]] = Counter()
        self._audit = audit

    def sound(self) -> bool:
        """Whether all files of the days are those of the seals, and all tables have their columns.

        If not, nothing else is worth a look.
        """
        window = self._window
        for dt in window.days:
            report = window.store.audit(
                window.symbol, exchange=window.exchange, dt=dt, content=self._audit
            )
            self._compared += report.files
            self._problems += [str(damage) for damage in report.damage]
            if self._audit:
                window.read(int(window.seals().filter(pl.col("dt") == dt)["events"].sum()))
        if self._problems:
            return False
        for table in CONTENT_TABLES:
            self._compared += 1
            found = window.table(table.name).drop("dt").collect_schema()
            if dict(found) != _columns(table):
                self._problems.append(f"{table.name} has the columns {dict(found)}")
        return not self._problems

    def count(self, table: str, dt: str, rows: pl.DataFrame) -> None:
        """Rows that were read of a day."""
        self._rows[table, dt] += rows.height

    def unreadable(self, error: Exception) -> Check:
        """The check, when reading the store failed."""
        self._problems.append(f"the store cannot be read: {error}")
        return self._check()

    def result(self) -> Check:
        """The check; rows read are held against rows sealed."""
        for seal in self._window.seals().iter_rows(named=True):
            for table in ("events", "states"):
                self._compared += 1
                rows = self._rows[table, seal["dt"]]
                if rows != seal[table]:
                    self._problems.append(
                        f"{seal['dt']}: {rows} rows of {table}, {seal[table]} were sealed"
                    )
        return self._check()

    def _check(self) -> Check:
        wrong = len(self._problems)
        compared = max(self._compared, wrong)
        return Check(
            "schema",
            Verdict.FAIL if wrong else Verdict.EXACT,
            compared,
            compared,
            compared - wrong,
            reason=self._problems[0] if wrong else "",
            details={"problems": self._problems[:LISTED], "hashes_recomputed": self._audit},
        )


def _columns(table: Table) -> dict[str, pl.DataType]:
    frame = pl.from_arrow(table.schema.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return dict(frame.schema)


# the chain of ids ----------------------------------------------------------------------------

_MESSAGES = pl.Schema(
    {
        "dt": pl.String(),
        "event_id": pl.Int64(),
        "ts_order": pl.Int64(),
        "sequence": pl.Int64(),
        "prev_sequence": pl.Int64(),
    }
)


class ChainCheck:
    """``chain``: every depth message follows on the one before, by the store's own ids.

    ``prev_sequence`` is held against the ``sequence`` before, and the GAP marks against that. A
    gap fails the check even where a snapshot bridges it: level changes are missing all the same.
    The first message after the first snapshot must span its id or follow on it.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._depth: list[pl.DataFrame] = []  # since the last call of `depth_messages`
        self._messages = 0
        self._last: dict[str, Any] | None = None  # last depth message
        self._snapshot: int | None = None  # id of the last snapshot before any depth message
        self._linked = 0
        self._breaks = 0
        self._without_previous = 0  # depth messages without a previous id
        self._gaps: list[dict[str, Any]] = []
        self._marks: dict[tuple[str, int, int], int] = {}  # not yet met by a gap; time
        self._first: Divergence | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Check a frame of events, whole messages."""
        ends = (
            rows.select(*_MESSAGES, "kind", "flags")
            .filter(last_rows() & ~_TRADE)  # one in hundreds may be: what else is asked costs more
            .filter(depth_rows() | book_gaps() | (pl.col("kind") == int(Kind.SNAPSHOT)))
        )
        depth = ends.filter(depth_rows()).select(*_MESSAGES)
        self._depth.append(depth)
        self._messages += depth.height
        if depth.height < ends.height:
            for mark in ends.filter(book_gaps()).iter_rows(named=True):
                key = (mark["dt"], mark["prev_sequence"], mark["sequence"])
                self._marks[key] = mark["ts_order"]
        if self._last is None:
            self._open(ends, depth)
        if not depth.height:
            return
        without = int((depth["prev_sequence"] < 0).sum())
        self._without_previous += without
        if without < depth.height:
            self._link(depth)
        self._last = depth.row(-1, named=True)

    def _link(self, depth: pl.DataFrame) -> None:
        """Depth messages against the one before each."""
        before = pl.DataFrame([self._last] if self._last else [], schema=depth.schema)
        links = (
            pl.concat([before, depth])
            .with_columns(
                pl.col("dt").shift(1).alias("dt_before"), pl.col("sequence").shift(1).alias("known")
            )
            .slice(1)
            .filter(pl.col("prev_sequence") >= 0)
        )
        apart = links.filter(pl.col("prev_sequence") != pl.col("known"))
        self._linked += links.height - apart.height
        for row in apart.iter_rows(named=True):
            # what lies between days that do not join was not looked at
            if self._window.joined(row["dt_before"], row["dt"]):
                self._break(row)

    def _open(self, ends: pl.DataFrame, depth: pl.DataFrame) -> None:
        """The first depth message against the snapshot before it, if there is one."""
        snapshots = ends.filter(pl.col("kind") == int(Kind.SNAPSHOT))
        if depth.height:
            dt, first = depth["dt"][0], int(depth["event_id"][0])
            snapshots = snapshots.filter(
                (pl.col("dt") < dt) | ((pl.col("dt") == dt) & (pl.col("event_id") < first))
            )
        if snapshots.height:
            self._snapshot = int(snapshots["sequence"][-1])
        if not depth.height or self._snapshot is None or depth["prev_sequence"][0] < 0:
            return
        if depth["prev_sequence"][0] <= self._snapshot:
            self._linked += 1
        else:
            self._break({**depth.row(0, named=True), "known": self._snapshot})

    def _break(self, row: dict[str, Any]) -> None:
        """Note a depth message that does not follow on the id ``known``."""
        self._breaks += 1
        known, previous = int(row["known"]), int(row["prev_sequence"])
        gap = previous > known
        marked = self._marks.pop((row["dt"], known, previous), None) is not None
        if len(self._gaps) < LISTED:
            self._gaps.append(
                {
                    "first_missing": known + 1 if gap else None,
                    "last_missing": previous if gap else None,
                    "dt": row["dt"],
                    "event_id": row["event_id"],
                    "marked": marked,
                }
            )
        if self._first is not None:
            return
        what = f"the message says that it follows on {previous}, after {known}"
        if gap:
            what = f"update ids {known + 1} to {previous} are missing"
            what += "" if marked else ", and no GAP mark says so"
        self._first = Divergence(
            "chain",
            Class.MISSING if gap else Class.ORDER,
            known + 1 if gap else int(row["sequence"]),
            int(row["ts_order"]),
            what,
            dt=row["dt"],
            event_id=int(row["event_id"]),
            missing_ids=(known + 1, previous) if gap else None,
            expected={"prev_sequence": known},
            found={"prev_sequence": previous},
        )

    def depth_messages(self) -> pl.DataFrame:
        """Last rows of the depth messages added since the last call."""
        depth, self._depth = self._depth, []
        return pl.concat(depth) if depth else pl.DataFrame(schema=_MESSAGES)

    def result(self) -> Check:
        """The check."""
        messages = self._messages
        if not messages:
            return not_applicable("chain", "the store has no depth messages")
        if self._without_previous == messages:
            return not_applicable("chain", "the feed has no chain of ids", messages=messages)
        stray = sorted(self._marks)
        first = self._first
        if stray and first is None:
            dt, known, until = stray[0]
            first = Divergence(
                "chain",
                Class.ORDER,
                until,
                self._marks[stray[0]],
                f"a GAP mark says that ids {known + 1} to {until} are missing; the chain does not",
                dt=dt,
            )
        links = self._linked + self._breaks
        return Check(
            "chain",
            Verdict.FAIL if self._breaks or stray or self._without_previous else Verdict.EXACT,
            links,
            links,
            self._linked,
            reason=first.detail if first else "",
            details={
                "messages": messages,
                "breaks": self._breaks,
                "gaps": self._gaps,
                "stray_marks": len(stray),
                "unchained": self._without_previous,
            },
            first=first,
        )


# grid, order, trade ids ----------------------------------------------------------------------


def _pieces(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A frame in parts that each lie in one piece: kernels read them where they are."""
    start = 0
    for rows in map(len, frame["event_id"].get_chunks()):
        if rows:  # a piece without any would be what the next one follows on
            yield frame.slice(start, rows)
        start += rows


def _array(column: pl.Series) -> NDArray[Any]:
    values = column.to_numpy()
    values.flags.writeable = False  # kernels are compiled once, for Polars' own memory
    return values


def _ordered(rows: pl.DataFrame) -> Ordered:
    return Ordered(*(_array(rows[name]) for name in Ordered._fields))


def off_grid(column: str, exponent: int) -> pl.Expr:
    """Whether a stored decimal is no multiple of ``10**-exponent``, or negative."""
    step = pl.lit(10 ** (PRICE_SCALE - exponent), pl.Int128)
    value = pl.col(column).to_physical()
    return (value % step != 0) | (value < 0)


def _state_off(instrument: Instrument) -> pl.Expr:
    """Whether a state has levels off the grid, holes, or levels that are not best first."""
    tests = []
    for side, (prices, sizes) in LEVEL_COLUMNS.items():
        tests += [off_grid(name, instrument.price_exponent) for name in prices]
        tests += [off_grid(name, instrument.size_exponent) for name in sizes]
        tests += [
            (pl.col(price) == 0) != (pl.col(size) == 0)
            for price, size in zip(prices, sizes, strict=True)
        ]
        for near, far in pairwise(map(pl.col, prices)):
            tests.append((far >= near if side == "bid" else far <= near) & (far != 0))
    return pl.any_horizontal(tests).alias("wrong")


class GridCheck:
    """``grid``: every price and size of events and states is on the instrument's decimal grid.

    Prices and sizes of trades, and prices of levels, are above zero; no size is below; what has
    no price (marks, clears) shows none. In states, levels come best first, without holes.
    """

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._rows = _Rows("grid")
        self._of_states = {dt: _state_off(one) for dt, one in instruments.items()}

    def add_events(self, dt: str, rows: pl.DataFrame) -> None:
        """Check a frame of a day's events."""
        instrument = self._instruments[dt]
        price, size = (words_of(rows[name].to_arrow()) for name in ("price", "size"))
        powers = PRICE_SCALE - instrument.price_exponent, PRICE_SCALE - instrument.size_exponent
        self._rows.count(
            rows,
            grid_faults(_array(rows["kind"]), price, size, *powers),
            Class.ROUNDING,
            lambda row: (
                f"price {plain(row['price'])} or size {plain(row['size'])} of this "
                f"{Kind(row['kind']).name} row cannot be: off the decimal grid, or of an "
                "impossible sign"
            ),
        )

    def add_states(self, dt: str, states: pl.DataFrame) -> None:
        """Check a frame of a day's states."""
        self._rows.add(
            states,
            states.select(self._of_states[dt])["wrong"],
            Class.ROUNDING,
            lambda _: "a state's levels are off the grid, or not best first",
        )

    def result(self) -> Check:
        """The check."""
        return self._rows.check("events")


class OrderCheck:
    """``order``: event ids 0, 1, 2 … in each day, time never back, messages whole.

    A message stands at its own time, or at that of the one before in its stream, where that is
    later. On a tie that stream goes first which the day's order, as sealed, puts first.

    Parameters
    ----------
    orders
        Of each day.
    by_receipt
        Days that receive times order, where the messages' own tell nothing.
    """

    def __init__(self, orders: Mapping[str, Order], by_receipt: Collection[str] = ()) -> None:
        self._orders = orders
        self._by_receipt = by_receipt
        self._rows = _Rows("order")
        self._tail: pl.DataFrame | None = None  # the row before
        self._day = ""  # that it is of
        self._clocks = np.zeros(CLOCKS, np.int64)

    def add(self, dt: str, rows: pl.DataFrame) -> None:
        """Check a frame of a day's events, at least one."""
        before = rows.head(0) if self._tail is None else self._tail
        order = self._orders[dt]
        if dt != self._day:
            self._clocks[:] = 0
        self._rows.count(
            rows,
            order_faults(
                _ordered(rows),
                _ordered(before),
                dt == self._day,
                order.first_on_tie == "trade",
                self._clocks,
                dt not in self._by_receipt,
                order.lag_ns,
            ),
            Class.ORDER,
            lambda _: (
                "the row does not follow on the one before: event_id, ts_order (a message's own "
                "time, or the one before in its stream), the message that it belongs to, or which "
                "of book and trade goes first"
            ),
        )
        self._tail, self._day = rows.tail(1), dt

    def result(self) -> Check:
        """The check."""
        if self._tail is not None and not self._tail["flags"][0] & int(Flag.LAST):
            self._rows.right -= 1
            last = self._tail.row(0, named=True)
            self._rows.first = self._rows.first or Divergence.at(
                "order", Class.ORDER, last, "the last message is not whole"
            )
        return self._rows.check("events")


class TradeIdCheck:
    """``trade_ids``: unique; rising too, apart from those that are flagged as late.

    Trades without an id, and ids that are text, are counted.
    """

    def __init__(self) -> None:
        self._rows = _Rows("trade_ids")
        self._seen = SeenIds()
        self._late = 0
        self._unordered = 0

    def add(self, trades: pl.DataFrame) -> None:
        """Check the trades of a frame of events."""
        numbered = trades["sequence"].is_between(0, UNORDERED, closed="left")
        if not numbered.all():
            self._unordered += trades.height - int(numbered.sum())
            trades = trades.filter(numbered)
        ids, before = trades["sequence"].to_numpy(), trades["prev_sequence"].to_numpy()
        status = self._seen.add(np.where(before < 0, ids, before + 1), ids)
        flagged = (trades["flags"].to_numpy() & int(Flag.OUT_OF_ORDER)) != 0
        late = (status == LATE) & flagged
        self._late += int(np.count_nonzero(late))
        self._rows.add(
            trades,
            pl.Series((status != NEW) & ~late, dtype=pl.Boolean),
            Class.ORDER,
            lambda row: f"trade {row['sequence']} is stored twice, or after a later one",
        )

    def result(self) -> Check:
        """The check."""
        unordered = {"without_a_number": self._unordered} if self._unordered else {}
        return self._rows.check(
            "trades", missing_ids=self._seen.missing, late=self._late, **unordered
        )


# the states: uncrossed, and how much is in doubt ---------------------------------------------

_TRUSTED = (~pl.col("doubtful") & (pl.col("bid_trusted") > 0) & (pl.col("ask_trusted") > 0)).alias(
    "trusted"
)
_KEPT = ("dt", "event_id", "ts_order", "sequence", *TOUCH, "bid_trusted", "ask_trusted", "flags")


@dataclass(slots=True)
class _Share:
    """How long states stood, ns, and how many there were: of all, and of those in doubt."""

    states: int = 0
    warm: int = 0
    trusted: int = 0
    span: int = 0  # behind the warm-up
    doubt: int = 0
    beyond: int = 0
    first: dict[str, Any] | None = None  # the first in doubt behind the warm-up

    def add(self, touch: pl.DataFrame, lasts: Int64) -> None:
        """The next states, and how long each stood."""
        if not touch.height:
            return
        doubtful, beyond, warm = (
            touch[name].to_numpy() for name in ("doubtful", "beyond", "warm_up")
        )
        lasts = np.where(warm, 0, lasts)
        lost = doubtful & ~warm
        self.states += touch.height
        self.warm += int(np.count_nonzero(warm))
        self.trusted += int(np.count_nonzero(~doubtful))
        self.span += int(lasts.sum())
        self.doubt += int(lasts[lost].sum())
        self.beyond += int(lasts[beyond].sum())
        if self.first is None and lost.any():
            self.first = touch.row(int(np.argmax(lost)), named=True)


class _StateChecks:
    """``uncrossed`` and ``untrusted_share``, out of the states' touch."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._doubts = window.doubts()
        self._warmed = window.seals().filter(pl.col("warm_up_ns") > 0)["dt"].to_list()
        self._crossed = _Rows("uncrossed")
        self._crossed_in_doubt = 0
        self._ends = dict(window.seals().select("dt", "last_ts").iter_rows())
        self._share = _Share()
        self._waiting: pl.DataFrame | None = None  # the last state: how long it stood is not known

    def add(self, states: pl.DataFrame) -> pl.DataFrame:
        """Take a frame of states; what is kept of them: see `Integrity.touch`."""
        touch = states.select(_KEPT)
        doubtful = (touch["flags"].to_numpy() & int(Flag.DOUBTFUL)) != 0
        doubtful |= inside(touch, self._doubts)
        warm_up = self._only(touch, Finding.UNSEEDED)
        touch = touch.with_columns(
            pl.Series("doubtful", doubtful),
            pl.Series("beyond", self._only(touch, Finding.TOUCH_BEYOND_RANGE)),
            pl.Series("warm_up", warm_up & touch["dt"].is_in(self._warmed).to_numpy()),
        ).with_columns(_TRUSTED)
        self._cross(touch)
        known = touch if self._waiting is None else pl.concat([self._waiting, touch])
        self._share.add(known.head(-1), self._lasts(known)[:-1])
        self._waiting = known.tail(1)
        return touch

    def none(self) -> pl.DataFrame:
        """The columns of what `add` keeps, without a row."""
        no = [pl.lit(value=False).alias(name) for name in ("doubtful", "beyond", "warm_up")]
        states = self._window.table("states").head(0)
        return states.select(*_KEPT, *no).with_columns(_TRUSTED).collect()

    def _only(self, touch: pl.DataFrame, code: Finding) -> NDArray[np.bool_]:
        """Whether each state is in doubt for one kind of finding, and no other."""
        ours = self._doubts["code"] == int(code)
        found = inside(touch, self._doubts.filter(ours))
        return found & ~inside(touch, self._doubts.filter(~ours))

    def _cross(self, touch: pl.DataFrame) -> None:
        crossed = (
            (pl.col("bid_0_price") >= pl.col("ask_0_price"))
            & (pl.col("bid_0_price") > 0)
            & (pl.col("ask_0_price") > 0)
        )
        said = (pl.col("flags") & int(Flag.CROSSED)) != 0
        judged = touch.select(
            ((crossed & ~pl.col("doubtful")) | (crossed != said)).alias("wrong"),
            (crossed & pl.col("doubtful")).alias("in_doubt"),
        )
        self._crossed_in_doubt += int(judged["in_doubt"].sum())
        self._crossed.add(
            touch,
            judged["wrong"],
            Class.EXTRA,
            lambda row: (
                f"best bid {plain(row['bid_0_price'])}, best ask {plain(row['ask_0_price'])}: "
                "crossed on trusted rows, or not what the CROSSED flag says"
            ),
        )

    def uncrossed(self) -> Check:
        """The check ``uncrossed``: no trusted state is crossed, and CROSSED is said of the rest."""
        return self._crossed.check("states", crossed_in_doubt=self._crossed_in_doubt)

    def untrusted_share(self, limit: float) -> Check:
        """The check ``untrusted_share``: weighted by time, up to the last event of each day.

        What lies before the first anchor is warm-up: no part of the share, and with more than
        ``WARM_UP_LIMIT_NS`` of it, or more than is trusted, there is no verdict. Rows of
        Crypto Lake's `book` list twenty levels, which the touch leaves now and then until the next
        one: there ``limit`` is for every other doubt, and ``BEYOND_LIMIT`` for this one. Compared
        are the states behind the warm-up, equal those of them that are trusted.
        """
        seals = self._window.seals()
        warm_up = int(seals["warm_up_ns"].sum())
        if self._waiting is not None:
            self._share.add(self._waiting, self._lasts(self._waiting))
            self._waiting = None
        of = self._share
        if not of.states:
            return self._sealed_share(seals, limit, warm_up)
        # behind the warm-up no time passes: that is too little to judge by, and no loss
        share = of.doubt / of.span if of.span else float(of.first is not None and not warm_up)
        if self._window.chained:
            failed = share > limit
        else:
            failed = of.doubt - of.beyond > limit * of.span or of.beyond > BEYOND_LIMIT * of.span
            failed |= of.first is not None and not of.trusted
        reason = self._share_text(of.doubt, of.beyond, of.span, warm_up)
        first = None
        if failed and of.first is not None:
            what = f"the first state in doubt; {reason}"
            first = Divergence.at("untrusted_share", Class.MISSING, of.first, what)
        return Check(
            "untrusted_share",
            _share_verdict(failed, warm_up, of.span - of.doubt, exact=of.first is None),
            of.states,
            of.states - of.warm,
            of.trusted,
            limit=limit,
            reason=reason,
            first=first,
            details={
                "share": share,
                "untrusted_ns": of.doubt,
                "beyond_range_ns": of.beyond,
                "span_ns": of.span,
                "warm_up_ns": warm_up,
            },
        )

    def _lasts(self, touch: pl.DataFrame) -> Int64:
        """How long each state stood, ns: to the next one, or to the last event of the days.

        Of the last of all it is the latter.
        """
        times, days = touch["ts_order"].to_numpy(), touch["dt"]
        lasts = np.diff(times, append=times[-1:])
        for row in np.flatnonzero((days != days.shift(-1)).fill_null(value=True)).tolist():
            if row + 1 == len(days) or not self._window.joined(days[row], days[row + 1]):
                lasts[row] = max(self._ends[days[row]] - times[row], 0)
        return lasts

    def _sealed_share(self, seals: pl.DataFrame, limit: float, warm_up: int) -> Check:
        """The check, as far as seals tell: where no states are stored."""
        span = int((seals["last_ts"] - seals["first_ts"]).sum()) - warm_up
        doubt = int(seals["doubtful_ns"].sum()) - warm_up
        share = doubt / span if span else 0.0
        reason = self._share_text(doubt, 0, span, warm_up)
        return Check(
            "untrusted_share",
            _share_verdict(share > limit, warm_up, span - doubt, exact=False),
            limit=limit,
            reason=f"{reason}, by the seals: no states are stored",
            details={
                "share": share,
                "untrusted_ns": doubt,
                "span_ns": span,
                "warm_up_ns": warm_up,
            },
        )

    def _share_text(self, doubt: int, left_range: int, span: int, warm_up: int) -> str:
        text = f"{doubt / span if span else 0.0:.3%} of the time the touch is in doubt"
        if not self._window.chained and left_range:
            text += (
                f", {left_range / span:.3%} because it left the levels that `book` lists "
                f"(limit {BEYOND_LIMIT:.0%})"
            )
        if not warm_up:
            return text
        text += f"; before it {show_length(warm_up)} of warm-up, until the first anchor"
        few = _too_little(warm_up, span - doubt)
        return f"{text}: too much, or too little else, to judge by" if few else text


def _too_little(warm_up: int, trusted_ns: int) -> bool:
    """Whether there is hardly anything but warm-up to judge by."""
    return warm_up > min(WARM_UP_LIMIT_NS, trusted_ns)


def _share_verdict(failed: bool, warm_up: int, trusted_ns: int, *, exact: bool) -> Verdict:
    """Of the share of doubt: a loss fails it, and hardly anything but warm-up leaves it open."""
    if failed:
        return Verdict.FAIL
    if _too_little(warm_up, trusted_ns):
        return Verdict.INCONCLUSIVE
    return Verdict.EXACT if exact else Verdict.PASS
