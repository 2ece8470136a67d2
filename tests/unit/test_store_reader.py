"""Reading a store: visibility, ranges, numbers, names, views, books, audit."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from lobproof.errors import StoreError, UsageError
from lobproof.fixedpoint import to_decimal128
from lobproof.schema import (
    EVERYTHING,
    RANGE,
    UNTRUSTED,
    EventBatch,
    Finding,
    Flag,
    Kind,
    Severity,
    Side,
)
from lobproof.schema.tables import CONTENT_TABLES, DAYS, EVENTS, STATE_LEVEL_COLUMNS
from lobproof.store import Store, open_store
from lobproof.store.columns import Grid
from lobproof.store.playback import replay_day, whole_messages
from lobproof.store.seal import UNHASHED
from lobproof.timespan import show_days, show_ns, to_ns
from support.batches import DAY_NS, DT, START_NS, Day, make_day, make_instrument, store_day

pd: Any = pytest.importorskip("pandas")
NEXT = "2024-08-09"


@pytest.fixture(scope="module")
def day() -> Day:
    return make_day()


@pytest.fixture(scope="module")
def second() -> Day:
    """The next day, on a finer grid."""
    finer = make_instrument(price_exponent=3, size_exponent=9)
    return make_day(2, dt=NEXT, start_ns=START_NS + DAY_NS, instrument=finer)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, day: Day, second: Day) -> Path:
    root = (
        tmp_path_factory.mktemp("stores") / "key=value [x]*"
    )  # a folder that globs and hives hate
    store_day(root, day, part_rows=150)
    store_day(root, second)
    return root


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    return open_store(root)


def test_events_come_back_exactly_in_order(store: Store, day: Day, second: Day) -> None:
    frame = store.events(raw=True, numbers="grid").collect()
    assert frame.columns == ["exchange", "symbol", "dt", *EVENTS.schema.names]
    ids = np.concatenate([np.arange(len(day.events)), np.arange(len(second.events))])
    assert frame["event_id"].to_list() == ids.tolist()
    for column in fields(EventBatch):
        one, two = (getattr(d.events, column.name) for d in (day, second))
        factor = 10 if column.name in ("price", "size") else 1
        assert frame[column.name].to_list() == [*(one * factor).tolist(), *two.tolist()]
    assert frame["dt"].unique(maintain_order=True).to_list() == [day.dt, NEXT]


def test_decimals_are_exact_in_polars_duckdb_pyarrow_and_delta(
    root: Path, store: Store, day: Day
) -> None:
    expected = [Decimal(int(n)).scaleb(-2) for n in day.events.price]
    ours = store.events(end="2024-08-09").select("price", "size").collect()
    assert ours["price"].dtype == pl.Decimal(38, 18)
    assert ours["price"].to_list() == expected

    files = [str(path) for path in store.files("events", end="2024-08-09")]
    by_duckdb = duckdb.execute(
        "select price, size from read_parquet($files, hive_partitioning=false) order by event_id",
        {"files": [path.replace("[", "[[]").replace("*", "[*]") for path in files]},
    ).fetchall()
    assert [price for price, _ in by_duckdb] == expected
    by_arrow = pa.concat_tables([pq.ParquetFile(f).read() for f in files]).sort_by("event_id")
    assert by_arrow["price"].to_pylist() == expected


def test_delta_readers_see_the_tables(tmp_path: Path, day: Day) -> None:
    store_day(tmp_path / "s", day, part_rows=150)
    by_delta = pl.scan_delta(str(tmp_path / "s" / "events")).sort("event_id").collect()
    ours = open_store(tmp_path / "s").events(raw=True).collect()
    assert by_delta.select(ours.columns).equals(ours)


def test_names_and_times_are_readable(store: Store, day: Day) -> None:
    frame = store.events(end=NEXT).collect()
    assert frame["ts_order"].dtype == pl.Datetime("ns", "UTC")
    assert frame["ts_order"].to_physical().to_list() == day.events.ts_order.tolist()
    assert frame["kind"].to_list() == [Kind(k).name for k in day.events.kind]
    trade = day.events.kind == Kind.TRADE
    names = np.where(
        trade,
        np.array(["NONE", "BUY", "SELL"])[day.events.side],
        np.array(["NONE", "BID", "ASK"])[day.events.side],
    )
    assert frame["side"].to_list() == names.tolist()
    quality = store.quality(end=NEXT).collect()
    assert quality["code"].to_list() == ["BAD_TS", "GAP", "DRIFT", "OFF_LOT"]
    assert quality["severity"].to_list() == ["INFO", "DOUBT", "DOUBT", "INFO"]
    assert quality["detail"][1] == "ids 1 … 2, „missing“"
    frames = store.keyframes(end=NEXT).collect()
    assert frames["side"].unique().sort().to_list() == ["BID", "ASK"]
    assert frames["trust"].to_list()[0] == "UNTRUSTED"
    assert store.minutes(end=NEXT).collect()["minute"].dt.minute().to_list() == [0, 1, 2]


def test_rows_are_chosen_by_names_that_can_occur(store: Store) -> None:
    everything = store.events().collect()
    for chosen in ({"kind": "TRADE"}, {"side": ("BUY", "ASK")}, {"kind": ["DELTA"], "side": "BID"}):
        expected = everything
        for column, names in chosen.items():
            wanted = [names] if isinstance(names, str) else list(names)
            expected = expected.filter(pl.col(column).cast(pl.String).is_in(wanted))
        assert 0 < expected.height < everything.height
        assert store.events(**chosen).collect().equals(expected)
        raw = store.events(**chosen, raw=True).collect()
        assert raw["event_id"].to_list() == expected["event_id"].to_list()
    findings = store.quality().collect()
    for column in ("code", "severity"):
        name = findings[column][0]
        expected = findings.filter(pl.col(column).cast(pl.String) == name)
        assert store.quality(**{column: name}).collect().equals(expected)
        code: Any = Finding[name] if column == "code" else Severity[name]
        for given in (code, [code, name]):
            only: dict[str, Any] = {column: given}
            assert store.quality(**only).collect().equals(expected)


@pytest.mark.parametrize(
    ("table", "wrong", "choice"),
    [
        ("events", {"kind": "TRADES"}, "TRADE, DELTA"),
        ("events", {"kind": ["TRADE", "trade"]}, "TRADE, DELTA"),
        ("events", {"side": "sell"}, "BUY, SELL"),
        ("events", {"side": ()}, "BUY, SELL"),
        ("quality", {"code": "GAPS"}, "UNSEEDED, GAP"),
        ("events", {"side": Side.BUY}, "BUY, SELL"),  # which is Side.BID
        ("quality", {"severity": "doubt"}, "INFO, WARNING, DOUBT"),
        ("quality", {"severity": 3}, "INFO, WARNING, DOUBT"),
        ("quality", {"code": Kind.TRADE}, "UNSEEDED, GAP"),
        ("events", {"kind": 5.0}, "TRADE, DELTA"),
    ],
)
def test_a_name_that_cannot_occur_is_no_empty_result(
    store: Store, table: str, wrong: dict[str, Any], choice: str
) -> None:
    with pytest.raises(UsageError) as refused:
        getattr(store, table)(**wrong)
    assert choice in refused.value.hint


def test_a_missing_time_is_null(tmp_path: Path) -> None:
    day = make_day(messages=20)
    day.events.ts_event[0] = 0
    store_day(tmp_path / "s", day)
    frame = open_store(tmp_path / "s").events().collect()
    assert frame["ts_event"].null_count() == 1
    assert open_store(tmp_path / "s").events(raw=True).collect()["ts_event"][0] == 0


def test_numbers_in_three_ways(store: Store, day: Day) -> None:
    states = store.states(end=NEXT, numbers="grid").collect()
    got = states.select(STATE_LEVEL_COLUMNS).to_numpy()
    assert np.array_equal(got, day.states.levels)
    decimals = store.states(end=NEXT).select(STATE_LEVEL_COLUMNS).collect()
    floats = store.states(end=NEXT, numbers="float").select(STATE_LEVEL_COLUMNS).collect()
    for name in STATE_LEVEL_COLUMNS[:4]:
        assert floats[name].to_list() == [float(value) for value in decimals[name].to_list()]
    volumes = store.minutes(end=NEXT, numbers="grid").collect()["buy_volume"]
    assert volumes.to_list() == [7, 8, 9]
    with pytest.raises(UsageError, match="'double'"):
        store.events(numbers=cast(Any, "double"))


def test_ranges_are_by_ts_order_start_inclusive_end_exclusive(store: Store, day: Day) -> None:
    times = day.events.ts_order
    start, end = int(times[200]), int(times[500])
    expected = np.flatnonzero((times >= start) & (times < end)).tolist()
    for low, high in (
        (start, end),
        (show_ns(start), show_ns(end)),
        (show_ns(start).replace("Z", "+00:00"), end),
    ):
        frame = store.events(start=low, end=high).collect()
        assert frame["event_id"].to_list() == expected
    batches = list(store.replay(start=start, end=end, batch_rows=7))
    assert np.concatenate([b.ts_order for b in batches]).tolist() == times[expected].tolist()
    # an instant of a message is in or out as a whole
    assert int(times[expected[0] - 1]) < start
    covered = store.quality(start=int(day.events.ts_order[-1]), end=NEXT).collect()
    assert covered["code"].to_list() == ["GAP", "DRIFT", "OFF_LOT"]
    assert store.minutes(start=START_NS + 61 * 10**9, end=NEXT).collect().height == 2
    assert store.minutes(end=START_NS + 60 * 10**9).collect().height == 1


def test_a_range_in_which_nothing_was_heard_is_refused(store: Store, day: Day) -> None:
    """By every reader: silence would look like a market in which nothing happens."""
    last = int(day.events.ts_order[-1])
    inside = int(day.events.ts_order[10])
    assert store.events(start=inside + 1, end=inside + 2).collect().is_empty()
    readers: list[Callable[..., object]] = [store.events, store.states, store.trusted]
    readers += [store.replay, store.market_events, store.minutes, store.quality, store.keyframes]
    readers += [partial(store.files, "events")]
    for low, high in (
        ("2024-08-08T23:00", "2024-08-08T23:30"),
        (last + 1, NEXT),
        (None, int(day.events.ts_order[0])),
        ("2024-08-11", None),
    ):
        for read in readers:
            with pytest.raises(UsageError, match="BTC-USDT heard nothing in the range") as caught:
                read(start=low, end=high)
            assert "2024-08-08 … 2024-08-09: events from" in caught.value.hint
            assert "coverage()" in caught.value.hint
    for read in readers:  # what is covered in part is read
        read(start=last + 1, end="2024-08-09T12:00")
    with pytest.raises(UsageError, match="is empty"):
        store.events(start="2024-08-08", end="2024-08-08")


def test_symbols_are_resolved(tmp_path: Path) -> None:
    root = tmp_path / "s"
    for symbol, exchange in (
        ("BTC-USDT", "BINANCE"),
        ("BTC-USDT", "OKX"),
        ("ETH-USDT", "BINANCE"),
    ):
        store_day(root, make_day(messages=10, instrument=make_instrument(symbol, exchange)))
    store = open_store(root)
    assert store.symbols()["symbol"].to_list() == ["BTC-USDT", "ETH-USDT", "BTC-USDT"]
    assert store.events("ETH-USDT").collect().height > 0
    assert store.events("ETHUSDT").collect().height > 0
    assert store.events("BTC-USDT", exchange="OKX").collect()["exchange"].unique().item() == "OKX"
    assert store.events(exchange="OKX").collect().height > 0
    with pytest.raises(UsageError, match=r"BINANCE BTC-USDT, OKX BTC-USDT"):
        store.events("BTC-USDT")
    with pytest.raises(UsageError, match=r"No symbol leaves open"):
        store.events()
    with pytest.raises(UsageError, match=r"OKX ETH-USDT") as caught:
        store.events("ETH-USDT", exchange="OKX")
    assert "BINANCE ETH-USDT" in caught.value.hint
    with pytest.raises(UsageError, match="The store has no 5"):
        store.events(cast(Any, 5))
    with pytest.raises(UsageError, match="The name of the symbol is empty") as caught:
        store.events("")
    assert "OKX BTC-USDT" in caught.value.hint
    with pytest.raises(UsageError, match="The name of the exchange is empty"):
        store.book_at(DT, "BTC-USDT", exchange="")


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, message in ((tmp_path / "none", "no store at"), (tmp_path / "empty", "is not a")):
        with pytest.raises(StoreError, match=message):
            open_store(path)
    day = make_day(messages=5)
    store_day(tmp_path / "s", day)
    for path in (tmp_path / "s" / "days").rglob("*.json"):
        path.unlink()
    with pytest.raises(UsageError, match="no sealed day"):
        open_store(tmp_path / "s").events()


def test_a_sealed_day_without_its_files_is_named(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    store_day(root, day)
    store_day(root, make_day(3, dt=NEXT, start_ns=START_NS + DAY_NS, messages=20))
    (gone,) = (root / "states").rglob(f"dt={day.dt}/*.parquet")
    gone.unlink()
    store = open_store(root)
    with pytest.raises(StoreError, match=rf"BTC-USDT {day.dt}.*does not exist") as caught:
        store.states()
    assert "day with overwrite= (--overwrite)" in caught.value.hint
    assert store.states(start=NEXT).collect().height > 0
    assert any(
        "does not exist" in d.what or "cannot be read" in d.what for d in store.audit().damage
    )

    delta = DeltaTable(str(root / "events"))
    delta.delete(f"dt = '{day.dt}'")
    with pytest.raises(StoreError, match="is not in the Delta table"):
        open_store(root).events()
    # the same command again repairs both
    store_day(root, day)
    assert open_store(root).audit().clean
    assert open_store(root).states().collect().height > 0


def sealed_columns(root: Path) -> dict[str, object]:
    """The seal of the first day, without when it was made."""
    row = open_store(root).days().row(0, named=True)
    return {name: row[name] for name in DAYS.schema.names if name != UNHASHED}


def test_a_damaged_seal_is_named(tmp_path: Path, day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "s"
    content, _ = store_day(root, day)
    row = {**sealed_columns(root), "files": "[]"}
    monkeypatch.setattr("lobproof.store.commit.seal_row", lambda *_: row)
    store_day(root, day)
    with pytest.raises(StoreError, match=rf"{day.dt}/part-.* is damaged: "):
        open_store(root)
    row["format_version"] = 99
    store_day(root, day)
    with pytest.raises(StoreError, match="format version 99"):
        open_store(root)
    assert content.first_ts == row["first_ts"]


def test_instruments_come_with_the_grid_of_the_days(store: Store) -> None:
    assert store.instrument(dt="2024-08-08").price_exponent == 2
    whole = store.instrument()
    assert (whole.price_exponent, whole.size_exponent) == (3, 9)
    assert (whole.tick, whole.lot) == (1, 1000)
    with pytest.raises(UsageError, match=r"no sealed day 2024-08-10"):
        store.instrument(dt="2024-08-10")
    assert store.path.name == "key=value [x]*"
    assert store.days().height == 2


def test_a_coarser_last_day_has_its_rules_on_the_finer_grid(tmp_path: Path) -> None:
    fine = make_instrument(price_exponent=4, size_exponent=9)
    store_day(tmp_path / "s", make_day(messages=5, instrument=fine))
    store_day(tmp_path / "s", make_day(messages=5, dt=NEXT, start_ns=START_NS + DAY_NS))
    instrument = open_store(tmp_path / "s").instrument("BTCUSDT")
    assert (instrument.price_exponent, instrument.tick, instrument.lot) == (4, 100, 10_000)


@pytest.mark.parametrize("batch_rows", [1, 10, 64, 100_000])
def test_replay_gives_the_same_rows_whatever_the_batch(
    store: Store, day: Day, second: Day, batch_rows: int
) -> None:
    batches = list(store.replay(batch_rows=batch_rows))
    for batch in batches:
        assert batch.flags[-1] & Flag.LAST
        inner = batch.flags[: max(batch_rows, 1)] & Flag.LAST
        assert len(batch) <= batch_rows or not inner[:-1].any() or batch_rows >= 1
    whole = EventBatch.concat(batches)
    assert whole.price.tolist() == [
        *(day.events.price * 10).tolist(),
        *second.events.price.tolist(),
    ]
    assert whole.size.tolist() == [*(day.events.size * 10).tolist(), *second.events.size.tolist()]
    assert whole.flags.tolist() == [*day.events.flags.tolist(), *second.events.flags.tolist()]
    if batch_rows == 64:
        assert all(len(batch) <= 64 for batch in batches)


@pytest.mark.parametrize("batch_rows", [0, -1, 2.5, float("nan"), True, None, "5"])
def test_a_batch_has_a_row_at_least(store: Store, batch_rows: Any) -> None:
    with pytest.raises(UsageError, match="is no whole number"):
        store.replay(batch_rows=batch_rows)


def test_a_date_is_replayed_within_the_range(store: Store, day: Day) -> None:
    assert sum(map(len, store.replay(date=DT, end=NEXT))) == len(day.events)
    for low, high in ((NEXT, None), (None, NEXT)):
        with pytest.raises(UsageError, match="heard nothing in the range"):
            store.replay(start=low, end=high, date=NEXT if low is None else DT)


def test_a_store_that_is_gone_is_told(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    store_day(root, day)
    store = open_store(root)
    time = int(day.events.ts_order[100])
    view, (message, _) = store.book_at(time), next(store.play(end=time))
    events, groups = store.replay(), store.stored_groups("events", DT)
    next(groups)
    store.trusted()
    root.rename(tmp_path / "elsewhere")
    calls: list[Callable[[], object]] = [
        *(lambda: store.book_at(time), store.trusted, lambda: list(events)),
        *(lambda: store.sample("1s", start=time), lambda: list(store.stored_groups("events", DT))),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="cannot be read: ") as caught:
            call()
        assert "moved or deleted" in caught.value.hint
    # views and messages hold arrays: each is equal to itself alone
    other = replace(view)
    assert view == view
    assert view != other
    assert len({view, other, message, replace(message)}) == 4
    assert message == message
    assert message != replace(message)
    assert view.bid_levels != replace(view.bid_levels)


def test_trusted_leaves_out_flags_and_intervals(tmp_path: Path) -> None:
    day = make_day()
    ids = day.states.event_id
    day.states.flags[ids > 600] |= np.int32(Flag.DOUBTFUL)
    store_day(tmp_path / "s", day)
    store = open_store(tmp_path / "s")
    expected = ids[(ids <= 600) & ~((ids >= 100) & (ids <= 130))].tolist()
    assert store.trusted().collect()["event_id"].to_list() == expected
    picked = store.trusted(numbers="float", raw=True).select("event_id", "bid_0_price").collect()
    assert picked["event_id"].to_list() == expected
    for name in day.quality:
        day.quality[name] = []
    store_day(tmp_path / "s", day)
    clean = open_store(tmp_path / "s").trusted().collect()
    assert clean["event_id"].to_list() == ids[ids <= 600].tolist()


def test_market_events_have_five_fields_and_whole_messages(store: Store, day: Day) -> None:
    frame = store.market_events(end=NEXT).collect()
    assert frame.columns == ["timestamp", "event_type", "symbol", "data", "sequence"]
    ends = np.flatnonzero(day.events.flags & Flag.LAST)
    assert frame["sequence"].to_list() == ends.tolist()
    assert frame["data"].list.len().to_list() == np.diff(ends, prepend=-1).tolist()
    assert frame["timestamp"].to_physical().to_list() == day.events.ts_order[ends].tolist()
    kinds = np.where(day.events.kind[ends] == Kind.TRADE, "trade", "book_update")
    assert frame["event_type"].to_list() == kinds.tolist()
    first = frame["data"][0].to_list()
    assert first[0]["kind"] == "CLEAR"
    assert first[1]["side"] == "BID"
    assert first[1]["price"] == Decimal(int(day.events.price[1])).scaleb(-2)
    rows = store.market_events(numbers="grid").collect()["data"].list.len().sum()
    assert rows == store.events().select(pl.len()).collect().item()


def book(levels: dict[int, int], *, bids: bool) -> list[tuple[int, int]]:
    return sorted(levels.items(), reverse=bids)


def in_counts(frame: pl.DataFrame) -> list[tuple[int, int]]:
    return [
        (int(price.scaleb(2)), int(size.scaleb(8)))
        for price, size in frame.select("price", "size").iter_rows()
    ]


def test_book_at_is_the_book_after_the_last_event_up_to_then(store: Store, day: Day) -> None:
    times = day.events.ts_order
    for event_id in sorted(random.Random(1).sample(sorted(day.books), 25)):
        at = int(times[event_id])
        last = int(np.searchsorted(times, at, "right")) - 1
        for moment in (at, at + 1) if at + 1 not in times else (at,):
            view = store.book_at(moment)
            assert (view.event_id, view.ts_order) == (last, at)
            truth = day.books[last]
            assert in_counts(view.bids) == book(truth[Side.BID], bids=True)
            assert in_counts(view.asks) == book(truth[Side.ASK], bids=False)
            assert view.bid_trust == EVERYTHING
            assert view.bids["price"].dtype == pl.Decimal(38, 18)
            doubt = 100 <= last <= 130
            assert view.doubtful == doubt
            assert view.bids["trusted"].all() != doubt
            assert view.best_bid == view.bids["price"][0]
            assert view.best_ask == view.asks["price"][0]
            assert not view.crossed
            of_book = day.events.kind[: last + 1] != Kind.TRADE
            assert view.sequence == day.events.sequence[: last + 1][of_book][-1]


def test_a_book_is_shown_in_short(store: Store, day: Day) -> None:
    views = [store.book_at(int(time)) for time in day.events.ts_order[::40]]
    assert {view.doubtful for view in views} == {True, False}
    for view in views:
        head, last, bids, asks, *more = repr(view).splitlines()
        assert head.startswith("Book of BINANCE BTC-USDT (DEMO: synthetic data) at 2024-08-08T")
        assert last.startswith(f"last event: {view.event_id:,} at ")
        for line, side in ((bids, view.bids), (asks, view.asks)):
            assert f"{side['price'][0]:f}".rstrip("0").rstrip(".") in line
            assert f"{side.height:,} levels" in line
            assert ("none trusted" in line) == view.doubtful
        assert (more == [f"in doubt: {view.reason}"]) if view.doubtful else not more
        assert len(repr(store.book_at(view.ts_order, pending=True)).splitlines()) <= 7


def test_book_at_across_days_and_outside(store: Store, day: Day, second: Day) -> None:
    late = store.book_at("2024-08-08T23:59:59.999999999Z")
    assert late.event_id == len(day.events) - 1
    view = store.book_at(NEXT + "T20:00")
    assert view.dt == NEXT
    assert view.best_bid == Decimal(max(second.books[view.event_id][Side.BID])).scaleb(-3)
    with pytest.raises(UsageError, match="before the first event of BINANCE BTC-USDT 2024-08-08"):
        store.book_at(START_NS)
    for outside in ("2024-08-07T12:00", "2024-08-10T00:00"):
        with pytest.raises(UsageError, match="no sealed day"):
            store.book_at(outside)


def test_book_at_midnight_before_the_days_first_event_is_yesterdays_book(tmp_path: Path) -> None:
    day = make_day(messages=20)
    # its last event is after midnight UTC: a day of a vendor may be cut elsewhere
    day.events.ts_order[-1] = START_NS + DAY_NS + 10
    day.states = day.states.slice(0, 0)
    following = make_day(2, messages=20, dt=NEXT, start_ns=START_NS + DAY_NS + 100)
    store_day(tmp_path / "s", day)
    store_day(tmp_path / "s", following)
    store = open_store(tmp_path / "s")
    assert store.book_at(START_NS + DAY_NS + 50).dt == day.dt
    assert store.book_at(START_NS + DAY_NS + 50).event_id == len(day.events) - 1


def vendor_pending(events: EventBatch, upto: int) -> dict[tuple[int, int], int]:
    """Trades that two depth messages and 200 ms since have not named: forwards, one by one."""
    waiting: list[tuple[tuple[int, int], int, int, int]] = []
    named: set[tuple[int, int]] = set()
    for row in range(upto + 1):
        kind, side, price = (int(getattr(events, n)[row]) for n in ("kind", "side", "price"))
        if kind == Kind.TRADE:
            maker = Side.ASK if side == Side.BUY else Side.BID
            since = int(events.ts_order[row])
            waiting.append(((int(maker), price), int(events.size[row]), since, 0))
        elif kind == Kind.CLEAR:
            waiting = []
        elif kind in (Kind.DELTA, Kind.MARK):
            named.add((side, price))
            if events.flags[row] & Flag.LAST:
                young = int(events.ts_order[row]) - 200_000_000
                aged = [(level, size, since, age + 1) for level, size, since, age in waiting]
                waiting = [w for w in aged if (w[3] < 2 or w[2] > young) and w[0] not in named]
                named = set()
    total: dict[tuple[int, int], int] = {}
    for level, size, *_ in waiting:
        total[level] = total.get(level, 0) + size
    return total


def test_pending_trades_are_taken_off(tmp_path: Path, store: Store, day: Day) -> None:
    ends = np.flatnonzero(day.events.flags & Flag.LAST)
    met = 0
    for event_id in ends[::9].tolist():
        at = int(day.events.ts_order[event_id])
        last = int(np.searchsorted(day.events.ts_order, at, "right")) - 1
        taken = vendor_pending(day.events, last)
        met += bool(taken)
        view = store.book_at(at, pending=True)
        assert view.pending
        for side, frame in ((Side.BID, view.bids), (Side.ASK, view.asks)):
            levels = {
                price: size - taken.get((int(side), price), 0)
                for price, size in day.books[last][side].items()
            }
            levels = {price: size for price, size in levels.items() if size > 0}
            assert in_counts(frame) == book(levels, bids=side == Side.BID)
    assert met > 5


def test_pending_looks_far_back_when_the_book_is_silent(tmp_path: Path) -> None:
    day = make_day(messages=3, frame_every=1)
    trades = 10_000
    tail = EventBatch.empty(trades)
    for name in ("ts_order", "ts_event", "ts_recv"):
        getattr(tail, name)[:] = day.events.ts_order[-1] + 1
    tail.kind[:] = Kind.TRADE
    tail.side[:] = Side.SELL
    tail.price[:] = max(day.books[int(day.frames[-1].event_id)][Side.BID])
    tail.size[:] = 1
    tail.flags[:] = Flag.LAST
    day.events = EventBatch.concat([day.events, tail])
    store_day(tmp_path / "s", day)
    store = open_store(tmp_path / "s")
    plain, pending = (store.book_at(int(tail.ts_order[-1]), pending=p) for p in (False, True))
    earlier = vendor_pending(day.events, len(day.events) - 1)[(1, int(tail.price[0]))]
    assert earlier >= trades
    difference = plain.bids["size"][0] - pending.bids["size"][0]
    assert difference == Decimal(earlier).scaleb(-8)


def test_a_trusted_range_ends_at_its_price(tmp_path: Path) -> None:
    day = make_day(messages=40)
    final = day.frames[-1]
    image = replace(
        final.book,
        bid_trust=RANGE,
        bid_trusted_to=int(final.book.bid_prices[3]),
        ask_trust=RANGE,
        ask_trusted_to=int(final.book.ask_prices[0]) - 1,
    )
    day.frames[-1] = replace(final, book=image)
    day.quality = {name: [] for name in day.quality}
    store_day(tmp_path / "s", day)
    view = open_store(tmp_path / "s").book_at(int(day.events.ts_order[-1]))
    assert view.bids["trusted"].to_list() == [True] * 4 + [False] * (view.bids.height - 4)
    assert view.bid_trusted_to == view.bids["price"][3]
    assert not view.asks["trusted"].any()
    assert (view.bid_trust, view.ask_trust) == (RANGE, RANGE)


def test_an_empty_book_has_no_best_price(tmp_path: Path) -> None:
    day = make_day(messages=1, frame_every=10)
    day.events = EventBatch.empty(1)
    day.events.ts_order[:] = START_NS + 5
    day.events.kind[:] = Kind.MARK
    day.events.flags[:] = Flag.GAP | Flag.LAST
    day.states = day.states.slice(0, 0)
    day.frames = day.frames[:1]
    store_day(tmp_path / "s", day)
    view = open_store(tmp_path / "s").book_at("2024-08-08T01:00", pending=True)
    assert (view.best_bid, view.best_ask, view.event_id) == (None, None, 0)
    assert view.bid_trust == UNTRUSTED


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, day: Day) -> None:
    content, _ = store_day(tmp_path / "s", day)
    store = open_store(tmp_path / "s")
    path = tmp_path / "s" / "events" / content.tables["events"].parts[0].path
    rows = store.replay()
    path.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=f"{path.name} cannot be read"):
        list(rows)


def without_statistics(path: Path) -> None:
    pq.write_table(pq.read_table(path, partitioning=None), path, write_statistics=False)


def of_no_codec(path: Path) -> None:
    """Its footer says that a column is compressed in a way that there is not."""
    data = path.read_bytes()
    place = data.rindex(b"event_id\x15", 0, data.rindex(b"event_id", 0, -8) + 9) + 9
    path.write_bytes(data[:place] + b"\x24" + data[place + 1 :])


@pytest.mark.parametrize(
    ("change", "told"),
    [(without_statistics, "does not say which event_id"), (of_no_codec, "that nobody knows")],
)
def test_a_file_whose_footer_cannot_be_is_named(
    tmp_path: Path, day: Day, change: Callable[[Path], None], told: str
) -> None:
    content, _ = store_day(tmp_path / "s", day)
    path = tmp_path / "s" / "events" / content.tables["events"].parts[0].path
    rows = open_store(tmp_path / "s").replay()
    change(path)
    with pytest.raises(StoreError, match=f"{path.name} cannot be read: .*{told}"):
        list(rows)


def test_rows_after_the_last_message_end_are_not_lost(day: Day) -> None:
    ends = np.flatnonzero(day.events.flags & Flag.LAST)
    stop = int(next(b for a, b in pairwise(ends) if b - a > 2))  # cuts that message's last row off
    groups = [(0, day.events.slice(0, 50)), (50, day.events.slice(50, stop))]
    cut = list(whole_messages(iter(groups)))
    assert sum(len(rows) for _, rows in cut) == stop
    assert cut[-1][0] + len(cut[-1][1]) == stop
    assert cut[-1][0] == ends[ends < stop][-1] + 1


def test_a_day_that_ends_within_a_message_is_replayed_whole(tmp_path: Path, day: Day) -> None:
    """No writer of ours leaves one, and a seal tells of it; a file of the same size may be one."""
    content, _ = store_day(tmp_path / "s", day)
    path = tmp_path / "s" / "events" / content.tables["events"].parts[-1].path
    table = pq.read_table(path)
    place = table.schema.get_field_index("flags")
    flags = table["flags"].to_pylist()
    flags[-1] &= ~int(Flag.LAST)
    field = table.schema.field(place)
    pq.write_table(table.set_column(place, field, pa.array([*flags], field.type)), path)
    for batch_rows in (1, 50, 10**6):
        batches = list(replay_day([path], Grid(2, 8), None, None, batch_rows))
        assert sum(map(len, batches)) == len(day.events)


def test_a_day_without_keyframes_cannot_show_a_book(tmp_path: Path) -> None:
    day = make_day(messages=5)
    day.frames = []
    store_day(tmp_path / "s", day)
    with pytest.raises(UsageError, match="no table 'day'"):
        open_store(tmp_path / "s").files("day")
    with pytest.raises(StoreError, match="no keyframe"):
        open_store(tmp_path / "s").book_at(START_NS + 10**6)


def test_the_audit_locates_a_flipped_value(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    content, _ = store_day(root, day, part_rows=200)
    assert open_store(root).audit().clean
    part = content.tables["events"].parts[1]
    path = root / "events" / part.path
    original = pq.ParquetFile(path)
    table, metadata = original.read(), original.metadata.metadata
    sizes = day.events.size[202 : 202 + len(table)].copy()
    sizes[17] += 1
    forged = table.set_column(
        table.schema.names.index("size"), EVENTS.schema.field("size"), to_decimal128(sizes, 8)
    )

    def forge(columns: pa.Table, keep: bool) -> None:
        with pq.ParquetWriter(path, EVENTS.schema, store_decimal_as_integer=False) as writer:
            writer.write_table(columns)
            writer.add_key_value_metadata({b"lobproof": metadata[b"lobproof"]} if keep else {})

    assert sizes[16] == table["size"][16].as_py().scaleb(8)
    forge(forged, keep=True)
    report = open_store(root).audit("BTC-USDT", dt=day.dt)
    assert not report.clean
    (damage,) = report.damage
    assert (damage.table, damage.file) == ("events", part.path)
    assert (damage.row_group, damage.column) == (0, "size")
    assert "row group 0, column size" in str(damage)
    forge(forged, keep=False)
    (damage,) = open_store(root).audit("BTC-USDT").damage
    assert (damage.file, damage.row_group) == (part.path, None)
    forge(table, keep=False)
    (damage,) = open_store(root).audit(exchange="BINANCE").damage  # the same values, other bytes
    assert "were sealed" in damage.what
    assert damage.column is None
    # off the grid: no count can stand for it
    odd = table.set_column(8, EVENTS.schema.field("price"), to_decimal128(sizes, 8))
    forge(odd, keep=True)
    assert {d.column for d in open_store(root).audit().damage} == {"price"}
    path.write_bytes(path.read_bytes()[:-10])
    (damage,) = open_store(root).audit().damage
    assert "cannot be read" in damage.what
    _, committed = store_day(root, day, part_rows=200)
    assert not committed  # the same content: nothing to commit, yet the file is whole again
    assert open_store(root).audit().clean


def test_the_audit_sees_a_seal_that_lies(
    tmp_path: Path, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "s"
    store_day(root, day)
    row = {**sealed_columns(root), "quality_hash": "00"}
    monkeypatch.setattr("lobproof.store.commit.seal_row", lambda *_: row)
    store_day(root, day)
    tables = [damage.table for damage in open_store(root).audit().damage]
    assert tables == ["quality", "days"]
    assert len(CONTENT_TABLES) == 5


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-08-08", START_NS),
        ("2024-08-08T00:00:00.000000001", START_NS + 1),
        ("2024-08-08T02:00:00,123456789+02:00", START_NS + 123_456_789),
        ("2024-08-08 00:00:00.5Z", START_NS + 500_000_000),
        (START_NS, START_NS),
        (np.int64(START_NS), START_NS),
        (datetime(2024, 8, 8), START_NS),
        (datetime(2024, 8, 8, 0, 0, 0, 1, tzinfo=UTC), START_NS + 1000),
        (datetime(2024, 8, 8, 3, tzinfo=timezone(timedelta(hours=3))), START_NS),
        ("20240808T000000.5", START_NS + 500_000_000),
        (pd.Timestamp(START_NS + 123), START_NS + 123),
        (pd.Timestamp(START_NS + 123, tz="Asia/Tokyo"), START_NS + 123),
    ],
)
def test_times_in_all_their_forms(text: str | int | datetime, ns: int) -> None:
    assert to_ns(text) == ns


@pytest.mark.parametrize(
    "value",
    [
        *("soon", "", True, 1.5, None, "2024-13-01", pd.NaT, np.timedelta64(1, "s")),
        *("2024-08-08T12.5", "2024-08-08.5", "2024-08-08T12:00.5", "2024-08-08T12:00:00.5.5"),
        *("2024-08-08T12:00:00+00:00.5", "2024-08-08T12:00:00+00:00:00.5"),
        *("2024-08-08T12:00:00.1234567891", "2024-08-08T12:00:00."),
    ],
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        to_ns(value)


@pytest.mark.parametrize("value", [10**30, -(10**30), 1 << 63, -(1 << 63), "9999-01-01"])
def test_a_time_beyond_64_bits_is_refused(store: Store, value: int | str) -> None:
    with pytest.raises(UsageError, match="beyond what 64 bits") as caught:
        to_ns(value)
    assert "2262-04-11" in caught.value.hint
    with pytest.raises(UsageError, match="beyond what 64 bits"):
        store.book_at(value)
    with pytest.raises(UsageError, match="beyond what 64 bits"):
        store.events(start=value)


def test_days_and_times_are_shown_in_short() -> None:
    assert (
        show_days(["2024-08-09", "2024-08-01", "2024-08-02"])
        == "2024-08-01 … 2024-08-02, 2024-08-09"
    )
    assert show_ns(START_NS + 1500) == "2024-08-08T00:00:00.0000015Z"
    assert show_ns(START_NS) == "2024-08-08T00:00:00Z"
