"""Books at many instants, message by message, trades with the touch, bars: against plain truth."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lobproof.book import OrderBook
from lobproof.errors import UsageError
from lobproof.schema import LEVELS, EventBatch, Flag, Kind, Side
from lobproof.schema.tables import STATE_LEVEL_COLUMNS
from lobproof.store import Store, open_store
from lobproof.store.views import bars_of
from lobproof.timespan import Duration, Time, duration_ns, other_unit, show_ns, to_ns
from support.batches import DAY_NS, DT, START_NS, Day, make_day, make_instrument, store_day

pd: Any = pytest.importorskip("pandas")
NEXT = "2024-08-09"
SECOND = 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DOUBT = (100, 130)
"""Events whose touch `make_day` puts in doubt."""


@pytest.fixture(scope="module")
def days() -> list[Day]:
    """Two days, the second on a finer grid."""
    finer = make_instrument(price_exponent=3, size_exponent=9)
    second = make_day(2, dt=NEXT, start_ns=START_NS + DAY_NS, instrument=finer)
    return [make_day(), second]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, days: Sequence[Day]) -> Store:
    root = tmp_path_factory.mktemp("instants") / "s"
    store_day(root, days[0], part_rows=150)
    store_day(root, days[1])
    return open_store(root)


def last_before(day: Day, moment: int) -> int:
    return int(np.searchsorted(day.events.ts_order, moment, "right")) - 1


def instants(day: Day, count: int, seed: int = 3) -> list[int]:
    rng = random.Random(seed)
    first, last = int(day.events.ts_order[0]), int(day.events.ts_order[-1])
    times = [rng.randrange(first, last) for _ in range(count)]
    times += [int(day.events.ts_order[rng.randrange(len(day.events))]) for _ in range(count)]
    return [first, *times, last]


def levels_of(day: Day, event_id: int, side: Side) -> list[tuple[int, int]]:
    return sorted(day.books[event_id][side].items(), reverse=side == Side.BID)


@pytest.mark.parametrize("order", ["rising", "falling", "any"])
def test_books_at_many_instants_are_those_of_each(
    store: Store, days: Sequence[Day], order: str
) -> None:
    times = [time for day in days for time in instants(day, 30)]
    if order != "any":
        times.sort(reverse=order == "falling")
    views = list(store.books_at(times))
    assert len(views) == len(times)
    for time, view in zip(times, views, strict=True):
        day = days[view.dt == NEXT]
        event_id = last_before(day, time)
        assert (view.event_id, view.ts_order) == (event_id, day.events.ts_order[event_id])
        for side, levels in ((Side.BID, view.bid_levels), (Side.ASK, view.ask_levels)):
            found = list(zip(levels.prices.tolist(), levels.sizes.tolist(), strict=True))
            assert found == levels_of(day, event_id, side)
        assert view.doubtful == (DOUBT[0] <= event_id <= DOUBT[1])


def test_pending_trades_at_many_instants(store: Store, days: Sequence[Day]) -> None:
    times = sorted(instants(days[0], 25))
    together = store.books_at(times, pending=True)
    for time, view in zip(times, together, strict=True):
        alone = store.book_at(time, pending=True)
        assert view.bids.equals(alone.bids)
        assert view.asks.equals(alone.asks)


def test_a_time_that_no_day_answers_for_is_an_error_when_its_turn_comes(store: Store) -> None:
    views = store.books_at([f"{DT}T01:00", "2024-08-12T00:00"])
    assert next(views).dt == DT
    with pytest.raises(UsageError, match="no sealed day"):
        next(views)


def test_a_sample_is_the_book_at_each_instant(store: Store, days: Sequence[Day]) -> None:
    depth = 7
    start = f"{DT}T00:00:10"
    frame = store.sample("1s", start=start, end=f"{DT}T00:01:40", depth=depth, numbers="grid")
    assert frame.height == 90
    for row in frame.iter_rows(named=True):
        time = int(row["time"].timestamp()) * SECOND
        event_id = last_before(days[0], time)
        assert row["event_id"] == event_id
        doubt = DOUBT[0] <= event_id <= DOUBT[1]
        assert row["doubtful"] == doubt == bool(row["reason"])
        for name, side in (("bid", Side.BID), ("ask", Side.ASK)):
            levels = levels_of(days[0], event_id, side)[:depth]
            levels += [(0, 0)] * (depth - len(levels))
            found = [(row[f"{name}_{k}_price"], row[f"{name}_{k}_size"]) for k in range(depth)]
            assert found == levels
            assert row[f"{name}_trusted"] == (0 if doubt else depth)


def test_a_sample_is_what_states_hold_at_the_ends_of_messages(
    store: Store, days: Sequence[Day]
) -> None:
    """States and sample agree, value by value, wherever a state is the last event of its time."""
    states = store.states(start=DT, end=NEXT).collect()
    last = {int(ts): k for k, ts in enumerate(days[0].events.ts_order.tolist())}
    compared = 0
    for row in states.iter_rows(named=True):
        at = int(row["ts_order"].timestamp() * 1e6) * 1000
        at = next(int(t) for t in days[0].events.ts_order if int(t) // 1000 * 1000 == at)
        if last[at] != row["event_id"]:
            continue
        compared += 1
        sample = store.sample("1ns", start=at, end=at + 1).row(0, named=True)
        assert [sample[name] for name in STATE_LEVEL_COLUMNS] == [
            row[name] for name in STATE_LEVEL_COLUMNS
        ]
        if not sample["doubtful"]:
            assert sample["bid_trusted"] == row["bid_trusted"] == LEVELS
        if compared == 20:
            break
    assert compared == 20


def test_a_sample_says_what_it_does_not_know(store: Store, days: Sequence[Day]) -> None:
    last = int(days[0].events.ts_order[-1])
    start = int(days[0].events.ts_order[0]) - 500
    frame = store.sample("1h", start=start, end=START_NS + 3 * DAY_NS)
    first = frame.row(0, named=True)
    assert first["event_id"] is None
    assert first["bid_0_price"] is None
    assert first["doubtful"]
    assert "before the first event" in first["reason"]
    outside = frame.filter(pl.col("time") >= pl.datetime(2024, 8, 10, time_zone="UTC"))
    assert outside.height > 10
    assert outside["event_id"].null_count() == outside.height
    assert outside["reason"].str.contains("no sealed day").all()
    silent = frame.filter(
        pl.col("time").is_between(
            pl.lit(last + 60 * SECOND).cast(pl.Datetime("ns", "UTC")),
            pl.datetime(2024, 8, 8, 23, time_zone="UTC"),
        )
    )
    assert silent["doubtful"].all()
    assert silent["reason"].str.contains("no book message since").all()
    assert (silent["bid_trusted"] == 0).all()


def same_as_book_at(store: Store, frame: pl.DataFrame) -> None:
    """Row by row: the event, the touch, what is trusted, the doubt; null where there is no book."""
    for row in frame.iter_rows(named=True):
        time = int((row["time"] - EPOCH).total_seconds()) * SECOND
        try:
            view = store.book_at(time)
        except UsageError:
            assert row["event_id"] is None
            assert row["bid_0_price"] is None
            assert row["doubtful"]
            continue
        assert (row["event_id"], row["sequence"]) == (view.event_id, view.sequence)
        assert (row["bid_0_price"], row["ask_0_price"]) == (view.best_bid, view.best_ask)
        assert (row["doubtful"], row["reason"]) == (view.doubtful, view.reason)
        for name, levels in (("bid", view.bids), ("ask", view.asks)):
            assert row[f"{name}_trusted"] == levels["trusted"].head(LEVELS).sum()


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory, days: Sequence[Day]) -> Store:
    """Two days, the second of which goes on from the first."""
    root = tmp_path_factory.mktemp("linked") / "s"
    content, _ = store_day(root, days[0])
    following = make_day(2, dt=NEXT, start_ns=START_NS + DAY_NS + 20 * SECOND)
    following.quality = {name: [] for name in following.quality}
    following.instrument = days[1].instrument
    # a day that is cut from a chain, seconds after the last event of the one before
    store_day(
        root,
        following,
        carried_from=content.tables["keyframes"].hash,
        config={"states": "all", "order": {}},
    )
    return open_store(root)


@pytest.mark.parametrize(
    ("every", "start", "end"),
    [
        ("1h", f"{DT}T12:00", f"{NEXT}T03:00"),  # from behind one day's last event
        ("1s", NEXT, f"{NEXT}T00:01"),  # from before the other's first one
        ("1s", f"{DT}T00:01:30", f"{DT}T00:04"),  # to behind the last event
        ("1h", f"{DT}T01:00", f"{DT}T23:00"),  # wholly between two days' events
        ("1s", NEXT, f"{NEXT}T00:00:10"),
        ("1h", f"{NEXT}T10:00", f"{NEXT}T12:00"),  # wholly behind the last
        ("6h", "2024-08-06", "2024-08-12"),
    ],
)
def test_a_sample_is_book_at(linked: Store, every: str, start: str, end: str) -> None:
    """Wherever the range begins and ends: a book is known of more than of the events in it."""
    frame = linked.sample(every, start=start, end=end)
    assert frame.height > 1
    assert frame["event_id"].null_count() < frame.height
    same_as_book_at(linked, frame)


def test_the_book_that_a_day_goes_on_from_is_in_the_sample(linked: Store) -> None:
    row = linked.sample("1s", start=NEXT, end=f"{NEXT}T00:00:10").row(0, named=True)
    assert not row["doubtful"]
    assert row["bid_trusted"] == LEVELS
    assert not linked.book_at(NEXT).doubtful


def test_a_sample_where_no_book_is_known_is_refused(linked: Store) -> None:
    for start, end in (("2024-08-06", "2024-08-08"), ("2024-08-11", "2024-08-12")):
        with pytest.raises(UsageError, match="heard nothing in the range"):
            linked.sample("1h", start=start, end=end)
    with pytest.raises(UsageError, match="heard nothing in the range"):
        linked.sample("1h", start="2024-08-11")
    with pytest.raises(UsageError, match="is empty"):
        linked.sample("1h", start=NEXT, end=DT)


def test_times_in_series_and_arrays_are_exact(store: Store, days: Sequence[Day]) -> None:
    times = sorted({int(time) for time in days[0].events.ts_order[::60]})
    expected = [view.event_id for view in store.books_at(times)]
    ns = np.array(times, np.int64)
    several: list[Any] = [
        *(ns, ns.astype("datetime64[ns]"), pd.to_datetime(times), pd.Series(pd.to_datetime(times))),
        *(pl.Series(times), pl.Series(times).cast(pl.Datetime("ns"))),
        pl.Series(times).cast(pl.Datetime("ns", "Asia/Tokyo")),
    ]
    for given in several:
        assert [view.event_id for view in store.books_at(given)] == expected
    seconds = np.array(["2024-08-08T00:01:00"], "datetime64[s]")
    coarse: list[Any] = [
        seconds,
        *(pl.Series(seconds.astype(f"datetime64[{unit}]")) for unit in ("ms", "us")),
    ]
    for given in coarse:
        assert [view.event_id for view in store.books_at(given)] == [
            store.book_at("2024-08-08T00:01").event_id
        ]


@pytest.mark.parametrize(
    "times",
    [
        *(None, 5, DT, datetime(2024, 8, 8)),
        *(np.array(["NaT"], "datetime64[ns]"), np.array(["9999-01-01"], "datetime64[s]")),
        pl.Series([None], dtype=pl.Datetime("ns")),
    ],
)
def test_what_is_not_several_times_is_refused(store: Store, times: Any) -> None:
    with pytest.raises(UsageError, match="time"):
        store.books_at(times)


def test_a_sample_without_an_instant_or_with_too_many_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="there is no instant of '7d'"):
        store.sample("7d")
    with pytest.raises(UsageError, match="too many to hold"):
        store.sample("1ns")
    with pytest.raises(UsageError, match="too many to hold"):
        store.sample("1s", depth=10**6)
    with pytest.raises(UsageError, match="too many to hold"):
        store.sample("1ns", start=START_NS, end=START_NS + (1 << 24) + 1, depth=1)
    stretch = store.sample("10ns", start=START_NS - 10**7, end=START_NS + 1001, depth=1)
    assert stretch.height == 10**6 + 101
    assert stretch["reason"].value_counts()["count"].sort().to_list() == [1, 100, 10**6]


def test_numbers_of_a_sample(store: Store) -> None:
    decimal, grid, real = (
        store.sample("1m", start=DT, end=NEXT, numbers=numbers).drop_nulls("event_id")
        for numbers in ("decimal", "grid", "float")
    )
    assert decimal["bid_0_price"].dtype == pl.Decimal(38, 18)
    assert grid["bid_0_price"].to_list() == [
        int(price.scaleb(2)) for price in decimal["bid_0_price"]
    ]
    assert real["ask_0_size"].to_list() == [float(size) for size in decimal["ask_0_size"]]
    other: Any = "text"
    with pytest.raises(UsageError, match="not a way"):
        store.sample("1m", numbers=other)
    with pytest.raises(UsageError, match="depth=0 is no whole number"):
        store.sample("1m", depth=0)
    for depth in (2.5, "5", None, True, float("nan")):
        wrong: Any = depth
        with pytest.raises(UsageError, match="is no whole number"):
            store.sample("1m", depth=wrong)


@pytest.mark.parametrize("start", [None, 0.0, 0.37, 0.999])
def test_the_live_book_is_the_true_one_behind_every_message(
    store: Store, days: Sequence[Day], start: float | None
) -> None:
    """From any instant on: also in between keyframes, and at one of several messages at a time."""
    since = None
    if start is not None:
        span = len(days[0].events) - 1
        since = int(days[0].events.ts_order[int(start * span)])
    seen = 0
    for message, book in store.play(start=since):
        day = days[int(message.ts_order) >= START_NS + DAY_NS]
        seen += 1
        assert message.ts_order >= (since or 0)
        assert message.event_id in day.books
        assert message.stop - message.start == len(message.rows)
        assert message.kind == Kind(int(day.events.kind[message.event_id - len(message.rows) + 1]))
        factor = (10, 10) if day is days[0] else (1, 1)
        for side in (Side.BID, Side.ASK):
            truth = levels_of(day, message.event_id, side)
            truth = [(price * factor[0], size * factor[1]) for price, size in truth]
            assert book.levels(side) == truth
    expected = sum(
        int(day.events.ts_order[event_id]) >= (since or 0) for day in days for event_id in day.books
    )
    assert seen == expected


def test_play_ends_before_its_end(store: Store, days: Sequence[Day]) -> None:
    end = int(days[0].events.ts_order[150])
    messages = [message for message, _ in store.play(start=DT, end=end)]
    times = days[0].events.ts_order
    assert [m.event_id for m in messages] == [k for k in days[0].books if times[k] < end]
    assert "event 30, 61 rows" in repr(messages[0]) or "rows" in repr(messages[0])
    assert messages[0].flags & Flag.COMPLETE


def test_a_book_of_ones_own_takes_stored_events(store: Store, days: Sequence[Day]) -> None:
    book = OrderBook(store.instrument())
    for batch in store.replay(end=NEXT, batch_rows=64):
        book.apply_events(batch)
    last = max(days[0].books)
    for side in (Side.BID, Side.ASK):
        assert book.levels(side) == levels_of(days[0], last, side)
    head, bids, asks = repr(book).splitlines()
    assert head.startswith("OrderBook")
    for line, side, (price, size) in (
        (bids, Side.BID, book.best_bid),
        (asks, Side.ASK, book.best_ask),
    ):
        assert f"s: {price} x {size}; {book.count(side):,} levels, trusted to the last" in line
    of_book = days[0].events.kind != Kind.TRADE
    assert book.sequence == days[0].events.sequence[of_book][-1]


def test_trades_are_the_trades(store: Store, days: Sequence[Day]) -> None:
    frame = store.trades(start=DT, end=NEXT, numbers="grid", raw=True).collect()
    trade = days[0].events.kind == Kind.TRADE
    assert frame["trade_id"].to_list() == days[0].events.sequence[trade].tolist()
    assert frame["price"].to_list() == days[0].events.price[trade].tolist()
    buys = store.trades(side="BUY").collect()
    assert set(buys["side"].to_list()) == {"BUY"}
    with pytest.raises(UsageError, match="no side 'BUYER'"):
        store.trades(side="BUYER")


@pytest.mark.parametrize(
    ("kind", "side", "offered"),
    [
        ("TRADE", "BID", "BUY, SELL"),
        ("TRADE", ("BUY", "NONE"), "BUY, SELL"),
        (Kind.DELTA, "BUY", "BID, ASK"),
        (("DELTA", "SNAPSHOT"), "NONE", "BID, ASK"),
        ("MARK", "ASK", "NONE"),
        (("TRADE", "DELTA"), "NONE", "BUY, SELL, BID, ASK"),
    ],
)
def test_a_side_that_no_such_row_has_is_refused(
    store: Store, kind: Any, side: Any, offered: str
) -> None:
    with pytest.raises(UsageError, match="has the side") as caught:
        store.events(kind=kind, side=side)
    assert caught.value.hint == f"Choose among {offered}."
    if kind == "TRADE":
        with pytest.raises(UsageError, match="No TRADE has the side"):
            store.trades(side=side)


def test_the_sides_of_each_kind_are_those_that_are_stored(store: Store) -> None:
    held = store.events().select("kind", "side").unique().collect().rows()
    assert len(held) > 4
    for kind, side in held:
        assert store.events(kind=kind, side=side).select(pl.len()).collect().item()


def test_trades_come_with_the_touch_right_before_them(store: Store, days: Sequence[Day]) -> None:
    frame = store.trades_with_touch(start=DT, end=NEXT, numbers="grid").collect()
    trades = np.flatnonzero(days[0].events.kind == Kind.TRADE).tolist()
    assert frame["event_id"].to_list() == trades
    ends = sorted(days[0].books)
    doubted = 0
    for row in frame.iter_rows(named=True):
        before = [k for k in ends if k < row["event_id"]]
        of_book = [k for k in before if days[0].events.kind[k] != Kind.TRADE]
        assert row["book_event_id"] == of_book[-1]
        assert row["book_ts"].timestamp() == pytest.approx(
            int(days[0].events.ts_order[of_book[-1]]) / 1e9, abs=1e-5
        )
        for name, side in (("bid", Side.BID), ("ask", Side.ASK)):
            touch = levels_of(days[0], of_book[-1], side)[0]
            assert (row[f"{name}_price"], row[f"{name}_size"]) == touch
        doubt = DOUBT[0] <= row["event_id"] - 1 <= DOUBT[1]
        doubted += doubt
        assert row["trusted"] == (not doubt)
    assert doubted


def test_a_touch_that_may_be_stale_is_refused(tmp_path: Path) -> None:
    day = make_day(messages=30)
    day.states = day.states.slice(0, 3)
    config = {"states": "1s", "order": {}}
    store_day(tmp_path / "s", day, config=config)
    store = open_store(tmp_path / "s")
    with pytest.raises(UsageError, match="older than the book"):
        store.trades_with_touch()


def test_a_trade_before_the_first_book_message_has_no_touch(tmp_path: Path) -> None:
    day = make_day(messages=20)
    first = EventBatch.empty(1)
    first.ts_order[:] = day.events.ts_order[0] - 5
    first.kind[:], first.side[:] = Kind.TRADE, Side.BUY
    first.price[:] = first.size[:] = 7
    first.flags[:] = Flag.LAST
    day.events = EventBatch.concat([first, day.events])
    day.states.event_id += 1
    day.quality = {name: [] for name in day.quality}
    day.frames = day.frames[:1]
    store_day(tmp_path / "s", day)
    frame = open_store(tmp_path / "s").trades_with_touch().collect()
    assert frame["bid_price"][0] is None
    assert frame["trusted"][0] is False
    assert frame["trusted"][1:].all()


@pytest.mark.parametrize("every", ["1s", "7s", "1m"])
def test_bars_sum_up_the_trades(store: Store, days: Sequence[Day], every: str) -> None:
    length = duration_ns(every)
    frame = store.bars(every, start=DT, end=NEXT).collect()
    events = days[0].events
    trades = np.flatnonzero(events.kind == Kind.TRADE).tolist()
    expected = []
    for bar, rows in groupby(trades, lambda k: int(events.ts_order[k]) // length):
        group = list(rows)
        price = [Decimal(int(events.price[k])).scaleb(-2) for k in group]
        size = [Decimal(int(events.size[k])).scaleb(-8) for k in group]
        bought = [s for k, s in zip(group, size, strict=True) if events.side[k] == Side.BUY]
        value = sum(p * s for p, s in zip(price, size, strict=True))
        expected.append(
            (
                bar * length,
                *(price[0], max(price), min(price), price[-1]),
                *(sum(size), sum(bought)),
                float(value / sum(size)),
                *(len(group), 0),
            )
        )
    found = frame.with_columns(pl.col("time").cast(pl.Int64)).drop("exchange", "symbol").rows()
    assert len(found) == len(expected)
    for row, truth in zip(found, expected, strict=True):
        assert row[:7] == truth[:7]
        assert row[7] == pytest.approx(truth[7], rel=1e-12)
        assert row[8:] == truth[8:]


def test_a_bar_says_that_trades_are_missing(tmp_path: Path) -> None:
    day = make_day(messages=20)
    lost = EventBatch.empty(2)
    lost.ts_order[:] = int(day.events.ts_order[-1]) + 3600 * SECOND
    lost.kind[:] = Kind.MARK
    lost.flags[:] = [Flag.GAP | Flag.TRADES | Flag.LAST, Flag.GAP | Flag.LAST]
    day.events = EventBatch.concat([day.events, lost])
    store_day(tmp_path / "s", day)
    last = open_store(tmp_path / "s").bars("1m").collect().row(-1, named=True)
    assert (last["gaps"], last["trades"], last["open"], last["vwap"]) == (1, 0, None, None)


def _trades(seconds: Sequence[int], ids: Sequence[int], *, chained: bool) -> pl.LazyFrame:
    """Raw events: trades of these seconds and ids; where they form a chain, marks of the holes."""
    rows = []
    for second, number, before in zip(seconds, ids, [ids[0] - 1, *ids], strict=False):
        if chained and number > before + 1:
            lost = int(Flag.GAP | Flag.TRADES | Flag.LAST)
            rows.append((second * SECOND, int(Kind.MARK), number - 1, lost, "0"))
        rows.append((second * SECOND, int(Kind.TRADE), number, int(Flag.LAST), "5"))
    names = ("ts_order", "kind", "sequence", "flags", "price")
    of_all = {"exchange": "X", "symbol": "Y", "dt": DT, "side": 1, "chained": chained}
    return (
        pl.LazyFrame(rows, schema=names, orient="row")
        .with_columns(pl.col("price").cast(pl.Decimal(38, 18)))
        .with_columns(
            pl.col("price").alias("size"), *(pl.lit(v).alias(k) for k, v in of_all.items())
        )
    )


@pytest.mark.parametrize("chained", [True, False], ids=["golden", "lake"])
@pytest.mark.parametrize("every", [1, 10, 60])
def test_every_bar_that_a_hole_touches_says_so(every: int, chained: bool) -> None:
    """From the trade before to the one behind; of Lake days the ids tell, where most are there."""
    seconds, ids = [60, 61, 62, 125, 126, 190, 191], [1, 2, 3, 4, 5, 8, 9]
    bars = bars_of(_trades(seconds, ids, chained=chained), every * SECOND).collect()
    holes, traded = set(range(126 // every, 190 // every + 1)), {s // every for s in seconds}
    times = [time // (every * SECOND) for time in bars["time"].cast(pl.Int64)]
    assert times == sorted(holes | traded)
    assert bars["gaps"].to_list() == [int(time in holes) for time in times]
    assert [price is None for price in bars["open"]] == [time not in traded for time in times]
    assert (bars["trades"].sum(), bars["volume"].sum()) == (7, 35)


def test_ids_that_follow_one_another_nowhere_tell_of_no_hole() -> None:
    frame = _trades(range(5), [10, 2_000, 55_000, 90_000, 400_000], chained=False)
    assert bars_of(frame, SECOND).collect()["gaps"].to_list() == [0] * 5


def test_behind_a_late_trade_nothing_is_missing() -> None:
    frame = _trades([0, 1, 2, 3, 4], [1, 2, 4, 3, 5], chained=False)
    assert bars_of(frame, SECOND).collect()["gaps"].to_list() == [0, 1, 1, 0, 0]


def test_several_symbols_in_one_read(tmp_path: Path) -> None:
    root = tmp_path / "s"
    other = make_instrument("ETH-USDT", price_exponent=3)
    store_day(root, make_day(messages=30))
    store_day(root, make_day(5, messages=40, instrument=other))
    store = open_store(root)
    both = store.trades(["BTC-USDT", "ETHUSDT"]).collect()
    assert both["symbol"].unique(maintain_order=True).to_list() == ["BTC-USDT", "ETH-USDT"]
    parts = [store.trades(name).collect() for name in ("BTC-USDT", "ETH-USDT")]
    assert both.equals(pl.concat(parts))
    every = store.events(store.symbols()["symbol"]).collect()
    assert every.height == sum(
        store.events(name).collect().height for name in ("BTC-USDT", "ETHUSDT")
    )
    assert store.bars("1m", ["BTC-USDT", "ETH-USDT"]).collect()["symbol"].n_unique() == 2
    for twice in (["BTC-USDT", "BTCUSDT"], ["BTC-USDT", "BTC-USDT"]):
        assert store.trades(twice).collect().equals(parts[0])
        assert store.bars("1m", twice).collect().equals(store.bars("1m", "BTC-USDT").collect())
        assert store.trades_with_touch(twice).collect().height == parts[0].height
    with pytest.raises(UsageError, match="different grids"):
        store.events(["BTC-USDT", "ETH-USDT"], numbers="grid")
    with pytest.raises(UsageError, match="No symbol"):
        store.events([])
    with pytest.raises(UsageError, match="leaves open"):
        store.events()


def test_a_store_tells_what_it_holds(store: Store) -> None:
    text = repr(store)
    assert str(store.path) in text
    assert "BINANCE BTC-USDT: 2 days, 2024-08-08 … 2024-08-09 (DEMO: synthetic data)" in text
    html = store._repr_html_()
    assert "BTC-USDT" in html
    view = store.book_at(f"{DT}T00:01:00")
    table = view._repr_html_()
    assert table.count("<tr>") == 11
    assert f"{view.best_bid:f}".rstrip("0").rstrip(".") in table


def test_a_filter_of_time_reads_no_more_than_a_range(store: Store) -> None:
    """Polars holds it against the row groups, as it does ``start`` and ``end``."""
    time = pl.datetime(2024, 8, 8, 0, 1, time_unit="ns", time_zone="UTC")
    for frame in (store.events(), store.states(), store.minutes().rename({"minute": "ts_order"})):
        plan = frame.filter(pl.col("ts_order") > time).explain()
        scans = plan.count("Parquet SCAN")
        assert scans
        assert plan.count("SELECTION:") == scans, plan
    by_filter = store.events().filter(pl.col("ts_order") >= time).collect()
    by_range = store.events(start=f"{DT}T00:01:00").collect()
    assert by_filter.equals(by_range)


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        ("1s", SECOND),
        ("100ms", SECOND // 10),
        ("5 m", 300 * SECOND),
        ("1d", DAY_NS),
        (10**6, 10**6),
        ("7ns", 7),
        *((np.timedelta64(3, "s"), 3 * SECOND), (np.timedelta64(2, "W"), 14 * DAY_NS)),
        *((np.timedelta64(5, "ns"), 5), (pd.Timedelta(SECOND + 1), SECOND + 1)),
    ],
)
def test_lengths_of_time(value: Duration, ns: int) -> None:
    assert duration_ns(value) == ns


@pytest.mark.parametrize(
    "value",
    [
        *("", "1", "s", "1 week", "-1s", 0, -5, True, None, 1.5, pd.NaT),
        *(np.timedelta64(1, "Y"), np.timedelta64(1, "M"), np.timedelta64(7), np.timedelta64("NaT")),
        *(np.timedelta64(5000, "ps"), np.timedelta64(-1, "s")),
    ],
)
def test_what_is_no_length_of_time_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        duration_ns(value)


def test_an_int_of_less_than_a_millisecond_is_no_length(store: Store) -> None:
    lengths: tuple[Any, ...] = (1, 7, 999_999, np.int64(1))
    for value in lengths:
        with pytest.raises(UsageError, match="an int is nanoseconds") as caught:
            store.bars(value)
        assert f"'{value}s'" in caught.value.hint


NOON = to_ns("2024-08-08T12:00")


@pytest.mark.parametrize(
    ("given", "ns"),
    [
        (date(2024, 8, 8), NOON - DAY_NS // 2),
        (datetime(2024, 8, 8, 12), NOON),
        (datetime(2024, 8, 8, 14, tzinfo=timezone(timedelta(hours=2))), NOON),
        (pd.Timestamp("2024-08-08T12:00:00.000000007"), NOON + 7),
        (np.datetime64("2024-08-08T12:00:00.000000007"), NOON + 7),
        (np.datetime64("1970-01-02T00:00:00.000000000001"), DAY_NS),
        (np.datetime64("2024-08-08T12:00:00.25"), NOON + SECOND // 4),
        (np.datetime64("2024-08-08T12:00:00"), NOON),
        (np.datetime64("2024-08-08T12:00"), NOON),
        (np.datetime64("2024-08-08T12"), NOON),
        (np.datetime64("2024-08-08"), NOON - DAY_NS // 2),
        (np.datetime64(2849, "W"), to_ns("2024-08-08")),
        (np.datetime64("2024-08"), to_ns("2024-08-01")),
        (np.datetime64("2024"), to_ns("2024-01-01")),
        (np.datetime64("1969-12-31T23:59:59"), -SECOND),
    ],
)
def test_times_of_every_kind(given: Time, ns: int) -> None:
    assert to_ns(given) == ns


@pytest.mark.parametrize(
    "given", [np.datetime64("NaT"), pd.NaT, np.datetime64(2**40, "Y"), 1.5, True, None, "x"]
)
def test_what_is_no_time_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        to_ns(given)


def test_dates_are_read_as_texts_are(store: Store) -> None:
    day, following = date.fromisoformat(DT), date.fromisoformat(NEXT)
    by_text = store.events(start=DT, end=NEXT).collect()
    assert store.events(start=day, end=following).collect().equals(by_text)
    assert store.events(start=np.datetime64(DT), end=np.datetime64(NEXT)).collect().equals(by_text)


@pytest.mark.parametrize(
    ("scale", "unit"), [(10**9, "seconds"), (10**6, "milliseconds"), (10**3, "microseconds")]
)
def test_a_count_of_another_unit_is_no_time_of_1970(store: Store, scale: int, unit: str) -> None:
    """A range from there on would hold all there is."""
    time = to_ns("2024-08-08T00:01") // scale
    for call in (
        lambda: store.book_at(time),
        lambda: store.events(start=time),
        lambda: store.events(end=time),
        lambda: store.coverage(start=time),
        lambda: store.sample("1s", end=time),
    ):
        with pytest.raises(UsageError, match="no sealed day of 1970") as caught:
            call()
        assert caught.value.hint == (
            f"An int is nanoseconds, and {time} looks like {unit}: 2024-08-08T00:01:00Z."
        )
    assert other_unit(to_ns("2024-08-08")) == other_unit(0) == other_unit(None) == ""


def test_one_book_is_of_one_symbol(store: Store) -> None:
    names: Any = ["BTC-USDT"]
    for call in (
        lambda: store.sample("1s", names),
        lambda: store.book_at(DT, names),
        lambda: store.play(names),
        lambda: store.replay(names),
        lambda: store.coverage(names),
    ):
        with pytest.raises(UsageError, match="one symbol only") as caught:
            call()
        assert "Frames of rows" in caught.value.hint


def test_a_book_tells_both_times_and_its_trust_by_name(store: Store, days: Sequence[Day]) -> None:
    late = int(days[0].events.ts_order[-1]) + SECOND
    view = store.book_at(late)
    head, last, *_ = repr(view).splitlines()
    assert head.endswith(f"at {show_ns(late)}")
    assert last == f"last event: {view.event_id:,} at {show_ns(view.ts_order)}"
    assert (view.time_ns, view.ts_order) == (late, late - SECOND)
    assert view.bid_trust.name in ("UNTRUSTED", "RANGE", "EVERYTHING")
    assert "EVERYTHING" in repr(store.book_at(int(days[0].events.ts_order[100])).bid_trust)


def test_a_batch_is_shown_in_short(store: Store, days: Sequence[Day]) -> None:
    events = days[0].events
    shown = repr(events)
    assert shown.startswith(f"EventBatch of {len(events):,} rows from 2024-08-08T00:00:00")
    assert f"{int((events.kind == Kind.TRADE).sum()):,} TRADE" in shown
    assert len(shown.splitlines()) == 1
    assert repr(EventBatch.empty()) == "EventBatch of 0 rows"
    assert "tick 0.01, lot 0.00001" in repr(store.instrument(dt=DT))
    book = OrderBook()
    assert repr(book).splitlines()[1] == "  bids: empty; 0 levels, none trusted"
    assert "&lt;" not in book._repr_html_()


@pytest.mark.parametrize("value", ["10000000d", 1 << 63, np.timedelta64(1 << 40, "D")])
def test_a_length_beyond_64_bits_is_refused(store: Store, value: Duration) -> None:
    with pytest.raises(UsageError, match="64 bits of nanoseconds"):
        duration_ns(value)
    with pytest.raises(UsageError, match="64 bits of nanoseconds"):
        store.sample(value)
