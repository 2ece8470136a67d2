"""Gate A's kernels against plain Python: the order of events, and the decimal grid."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lobproof.fidelity.exact.integrity import GridCheck, OrderCheck
from lobproof.fidelity.exact.row_kernels import grid_faults
from lobproof.instruments import Instrument, Rule
from lobproof.schema import Flag, Kind, Order, speaks_of_the_feed
from lobproof.timespan import DAY_NS

pytestmark = pytest.mark.kernels

LAST = int(Flag.LAST)
BOOK = (Kind.DELTA, Kind.SNAPSHOT, Kind.CLEAR)
DAYS = ("2026-01-05", "2026-01-06")
START = 20_000 * DAY_NS + 1


class Row(NamedTuple):
    dt: str
    event_id: int
    ts_order: int
    ts_event: int
    sequence: int
    prev_sequence: int
    kind: int
    flags: int


SCHEMA = pl.Schema(
    {
        "dt": pl.String,
        **dict.fromkeys(Row._fields[1:6], pl.Int64),
        "kind": pl.Int8,
        "flags": pl.Int32,
    }
)


def follows(row: Row, before: Row | None, *, trade_first: bool) -> bool:
    """By the words of the specification."""
    if row.kind == Kind.TRADE and not row.flags & LAST:
        return False  # a trade is a message
    if before is None:
        return row.event_id == 0
    same_day = row.dt == before.dt
    if row.event_id != (before.event_id + 1 if same_day else 0) or row.ts_order < before.ts_order:
        return False
    if not before.flags & LAST:
        kinds = (before.kind, row.kind)
        if not same_day or (row[2:6] != before[2:6]):
            return False
        if row.kind != before.kind and kinds != (Kind.CLEAR, Kind.SNAPSHOT):
            return False
    if same_day and row.ts_order == before.ts_order:
        first, second = (before, row) if trade_first else (row, before)
        return not (first.kind in BOOK and second.kind == Kind.TRADE)
    return True


def timely(rows: list[Row], lag: int) -> list[bool]:
    """Whether the messages of a day stand at their own times, or their streams'."""
    clocks: dict[bool, int] = {}
    found, marked = [], 0
    for row in rows:
        right = True
        spoken = row.kind == Kind.MARK and speaks_of_the_feed(row.flags, row.prev_sequence)
        if row.flags & LAST and spoken:
            marked = row.ts_order
        elif row.flags & LAST:
            of_trades = row.kind == Kind.TRADE
            before = clocks.get(of_trades)
            clocks[of_trades] = row.ts_order
            own = row.ts_event
            if not of_trades:
                own = max(own - lag, own // DAY_NS * DAY_NS)
            asked = row.kind in (Kind.TRADE, Kind.DELTA, Kind.MARK)
            if asked and row.ts_event > 0 and not row.flags & Flag.BAD_TS:
                if before is None:
                    right = row.ts_order >= own
                else:
                    right = row.ts_order in (max(own, before), max(own, before, marked))
        found.append(right)
    return found


steps = st.tuples(
    st.sampled_from([1, 1, 1, 1, 1, 1, 0, 2]),  # of the event id
    st.sampled_from([0, 0, 0, 1, 1, -1]),  # of the time
    st.booleans(),  # whether the rest of the message before is taken over
    st.sampled_from([int(kind) for kind in Kind]),
    st.sampled_from([0, 0, LAST, LAST, LAST | int(Flag.BAD_TS), LAST | int(Flag.GAP)]),
    st.sampled_from([0, 0, 0, 1, -1, -START]),  # of the message's own time
    st.integers(0, 2),  # which column differs
    st.sampled_from([0, 0, 0, 0, 0, 1]),
)


def rows_of(days: list[list[Any]]) -> list[Row]:
    rows: list[Row] = []
    time = START
    for dt, taken in zip(DAYS, days, strict=False):
        at = -1
        for number, back, same, kind, flags, own, column, differs in taken:
            at += number
            time += back
            before = rows[-1] if rows else None
            ids = [max(time + own, 0), 8, 9] if before is None or not same else list(before[3:6])
            ids[column] += differs
            if same and before is not None and not before.flags & LAST and not differs:
                time, kind = before.ts_order, kind if kind == Kind.SNAPSHOT else before.kind
            rows.append(Row(dt, at, time, ids[0], ids[1], ids[2], kind, flags))
    return rows


@given(
    st.lists(st.lists(steps, min_size=1, max_size=12), min_size=1, max_size=2),
    st.integers(1, 9),
    st.booleans(),
    st.integers(0, 2),
    st.sets(st.sampled_from(DAYS)),
)
def test_order_is_that_of_plain_python(
    days: list[list[Any]], cut: int, trade_first: bool, lag: int, by_receipt: set[str]
) -> None:
    rows = rows_of(days)
    order = Order(first_on_tie="trade" if trade_first else "book", lag_ns=lag)
    check = OrderCheck(dict.fromkeys(DAYS, order), by_receipt)
    for dt in DAYS:
        of_day = [row for row in rows if row.dt == dt]
        for start in range(0, len(of_day), cut):
            part = pl.DataFrame(of_day[start : start + cut], SCHEMA, orient="row")
            check.add(dt, part)
    timed = [
        right or dt in by_receipt
        for dt in DAYS
        for right in timely([row for row in rows if row.dt == dt], lag)
    ]
    right = [
        follows(row, rows[at - 1] if at else None, trade_first=trade_first) and timed[at]
        for at, row in enumerate(rows)
    ]
    result = check.result()
    assert (result.comparable, result.compared) == (len(rows), len(rows))
    assert result.equal == sum(right) - (not rows[-1].flags & LAST)
    if not all(right):
        first = rows[right.index(False)]
        assert result.first is not None
        found = result.first.dt, result.first.event_id, result.first.time_ns
        assert found == (first.dt, first.event_id, first.ts_order)


numbers = st.one_of(
    st.integers(0, 10**38 - 1),
    st.integers(0, 10**20).map(lambda count: count * 10**16),
    st.integers(0, 10**20).map(lambda count: count * 10**18),
    st.builds(lambda wrap, low: wrap * 2**64 + low, st.integers(0, 9), st.integers(0, 2**64 - 1)),
)


@given(numbers, st.integers(0, 18))
@example(2**64 - 1, 0)
@example(10**37, 18)
@example(2**63 * 10**18, 18)  # a count beyond int64
@example(2**64 * 10**18 + 10**18, 18)
@example(2**64 * 10**18 + 2**18, 18)
def test_on_the_grid_is_what_leaves_no_rest(number: int, power: int) -> None:
    kind = np.array([Kind.DELTA], np.int8)
    price = np.array([[1, 0]], np.uint64)
    size = np.array([[number % 2**64, number >> 64]], np.uint64)
    for column in (kind, price, size):
        column.flags.writeable = False
    on_grid = number % 10**power == 0
    assert grid_faults(kind, price, size, 0, power) == ((0, -1) if on_grid else (1, 0))


INSTRUMENT = Instrument("BINANCE", "ABC-USDT", "ABCUSDT", 2, 5, (Rule(0, 1, 1),))
DECIMAL = pl.Decimal(38, 18)
WIDE = Context(prec=60)
values = st.one_of(
    st.just(0),
    st.integers(-9, 9).map(lambda count: count * 10**16),
    st.integers(-9, 9).map(lambda count: count * 10**13),
    st.sampled_from([1, -1, 10**35, 10**37, 2**64 * 10**16, 2**64 * 10**16 + 1]),
)


@given(
    st.lists(
        st.tuples(st.sampled_from([int(kind) for kind in Kind]), values, values),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 9),
)
def test_the_grid_is_that_of_plain_python(rows: list[tuple[int, int, int]], cut: int) -> None:
    frame = pl.DataFrame(
        [
            ("2026-01-05", at, 0, 0, kind, *(Decimal(x).scaleb(-18, WIDE) for x in (price, size)))
            for at, (kind, price, size) in enumerate(rows)
        ],
        {
            "dt": pl.String,
            **dict.fromkeys(("event_id", "ts_order", "sequence"), pl.Int64),
            "kind": pl.Int8,
            "price": DECIMAL,
            "size": DECIMAL,
        },
        orient="row",
    )
    check = GridCheck({"2026-01-05": INSTRUMENT})
    for start in range(0, len(rows), cut):
        check.add_events("2026-01-05", frame.slice(start, cut))

    def possible(kind: int, price: int, size: int) -> bool:
        if price % 10**16 or size % 10**13 or price < 0 or size < 0:
            return False
        if kind in (Kind.CLEAR, Kind.MARK):
            return price == size == 0
        return price > 0 and (size > 0 or kind == Kind.DELTA)

    right = [possible(*row) for row in rows]
    result = check.result()
    assert (result.compared, result.equal) == (len(rows), sum(right))
    assert (None if result.first is None else result.first.event_id) == (
        None if all(right) else right.index(False)
    )
