"""The sums behind the pictures, against the same sums taken one interval at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lobproof.fixedpoint import MAX_COUNT
from lobproof.pages.survey import Survey, survey
from lobproof.pages.sweep import DayPart, Part, _window
from lobproof.pages.sweep_kernels import END_ALL
from lobproof.schema import UNTRUSTED, EventBatch, Flag, Kind, Side
from lobproof.store import open_store
from lobproof.store.columns import Grid
from plain.messages import Level, Message, bid, snapshot, to_batch
from support.batches import START_NS, Book, make_day
from support.report import SECOND, anchor, build_store, depth, mark, random_events

pytestmark = pytest.mark.kernels

Interval = tuple[int, int, Book]


def looked_at(root: Path, start: int | None = None, end: int | None = None) -> Survey:
    found = survey(open_store(root), "BINANCE", "BTC-USDT", start, end)
    assert found is not None
    return found


def intervals(seed: int, messages: int, first: int, last: int) -> list[Interval]:
    """For how long each book held between ``first`` and ``last``."""
    day = make_day(seed, messages)
    ends = np.flatnonzero(day.events.flags & Flag.LAST)
    ends = ends[day.events.kind[ends] != Kind.TRADE]
    times = [int(day.events.ts_order[end]) for end in ends]
    return [
        (max(start, first), min(stop, last), day.books[int(end)])
        for end, start, stop in zip(ends, times, [*times[1:], last], strict=True)
        if max(start, first) < min(stop, last)
    ]


def parts(found: Survey, start: int, stop: int) -> list[tuple[int, int]]:
    """Columns that an interval touches, and for how long."""
    width, origin = found.time.width, found.time.origin
    at = []
    while start < stop:
        column = (start - origin) // width
        until = min(stop, origin + (column + 1) * width)
        at.append((column, until - start))
        start = until
    return at


@pytest.mark.parametrize("cut", [False, True])
def test_sums_over_time_are_those_of_every_interval(tmp_path: Path, cut: bool) -> None:
    seed, messages = 3, 150
    events = random_events(seed, messages)
    build_store(tmp_path, events)
    first, last = int(events.ts_order[0]), int(events.ts_order[-1])
    if cut:
        first, last = first + (last - first) // 3, last - (last - first) // 4
    found = looked_at(tmp_path, first, last + 1)
    sums, columns = found.sums, found.sums.columns
    image = np.zeros_like(sums.image)
    expected = np.zeros_like(columns)
    sizes = np.zeros((2, 20))
    low, step, rows = found.prices.low, found.prices.step, found.prices.rows
    for start, stop, book in intervals(seed, messages, first, last):
        bid, ask = max(book[Side.BID]), min(book[Side.ASK])
        for side, levels in book.items():
            best = sorted(levels, reverse=side == Side.BID)[:20]
            for level, price in enumerate(best):
                sizes[side - 1, level] += levels[price] * (stop - start)
        for column, length in parts(found, start, stop):
            for levels in book.values():
                for price, size in levels.items():
                    if low <= price < low + step * rows:
                        image[(price - low) // step, column] += size * length
            cell = expected[column]
            narrowest = min(cell["spread_low"], ask - bid) if cell["trusted"] else ask - bid
            cell["spread_low"] = narrowest
            cell["spread_high"] = max(cell["spread_high"], ask - bid)
            cell["covered"] += length
            cell["trusted"] += length
            cell["spread"] += (ask - bid) * length
            cell["best_time"] += length
            cell["best_sum"] += np.array([bid, ask]) * length
    for name in (
        "covered",
        "trusted",
        "spread",
        "spread_low",
        "spread_high",
        "best_time",
        "best_sum",
    ):
        np.testing.assert_allclose(columns[name], expected[name], rtol=1e-12)
    np.testing.assert_allclose(
        sums.image * np.maximum(columns["covered"], 1), image, rtol=1e-9, atol=1e-3
    )
    np.testing.assert_allclose(sums.levels["rests"], sizes, rtol=1e-12)
    assert sums.spreads.sum() == columns["trusted"].sum()
    assert (sums.levels["known"] == columns["trusted"].sum()).all()
    assert (columns["far"][columns["covered"] > 0] == END_ALL).all()


def test_trades_are_summed_where_they_are(tmp_path: Path) -> None:
    events = random_events(4, 120)
    build_store(tmp_path, events)
    found = looked_at(tmp_path)
    trades = events.take(np.flatnonzero(events.kind == Kind.TRADE))
    assert found.sums.counts.trades == len(trades)
    assert found.sums.columns["trades"].sum() == len(trades)
    for taker in (Side.BUY, Side.SELL):
        volume = trades.size[trades.side == taker].sum()
        assert found.sums.columns["volume"][:, taker - 1].sum() == volume
        assert found.sums.trades[taker - 1].sum() == volume
    assert found.sums.counts.outside == 0
    assert found.sums.counts.events == len(events)


def test_a_gap_ends_what_is_known_until_the_next_anchor(tmp_path: Path) -> None:
    bids, asks = [(1000, 5), (999, 6)], [(1001, 7)]
    build_store(
        tmp_path,
        to_batch(
            [
                anchor(0, 5, bids, asks),
                depth(10, 6, bid(1000, 50)),
                mark(20, 9, int(Flag.GAP), before=6),
                depth(20, 10, bid(998, 3)),
                anchor(50, 11, bids, asks),
                mark(60, 12),
            ]
        ),
    )
    found = looked_at(tmp_path)
    columns = found.sums.columns
    assert columns["covered"].sum() == 60 * SECOND
    # in doubt since the last message before the gap
    assert columns["trusted"].sum() == 20 * SECOND
    assert found.quality.doubtful == 40 * SECOND
    assert found.quality.doubts.tolist() == [[START_NS + 10 * SECOND, START_NS + 50 * SECOND]]
    size = found.sums.levels["rests"][0, 0] / found.sums.levels["known"][0, 0]
    assert size == pytest.approx(5)


def test_the_end_of_a_range_is_noted(tmp_path: Path) -> None:
    bids, asks = [(1000 - 2 * k, 5) for k in range(9)], [(1001 + 2 * k, 7) for k in range(9)]
    events = to_batch([anchor(0, 5, bids, asks), mark(30, 6)])
    events.flags &= ~int(Flag.COMPLETE)
    build_store(tmp_path, EventBatch.concat([events]))
    columns = looked_at(tmp_path).sums.columns
    covered = columns["covered"] > 0
    assert set(columns["far"][covered, 0]) == {984.0}
    assert set(columns["far"][covered, 1]) == {1017.0}


def test_a_part_may_begin_behind_a_snapshot_that_is_ahead(tmp_path: Path) -> None:
    """Its keyframe says how far the snapshot lists, which matters until depth messages catch up."""
    bids, asks = [(1000 - 2 * k, 5) for k in range(9)], [(1001 + 2 * k, 7) for k in range(9)]
    events = to_batch(
        [
            anchor(0, 5, bids, asks),
            depth(10, 6, bid(1000, 50)),
            anchor(50, 8, bids, asks),
            depth(80, 9, bid(998, 6)),
        ]
    )
    events.flags &= ~int(Flag.COMPLETE)
    build_store(tmp_path, events)
    frames = open_store(tmp_path).keyframes(raw=True).filter(pl.col("listed") != UNTRUSTED)
    exponent = open_store(tmp_path).instrument().price_exponent
    told = frames.select("listed_to", "size").collect()
    assert {count * 10**exponent for count in told["listed_to"]} == {984, 1017}  # a price
    found = looked_at(tmp_path, START_NS + 60 * SECOND)
    assert found.sums.counts.messages == 1
    assert set(found.sums.columns["far"][found.sums.columns["covered"] > 0, 0]) == {984.0}


def test_prices_that_a_grid_does_not_count_are_cut_off(tmp_path: Path) -> None:
    """At the end of an int64, and where a seal tells of a grid that is too fine."""
    build_store(tmp_path, random_events(3, 40))
    store = open_store(tmp_path)
    (day,) = store.days().iter_rows(named=True)
    grid, none = Grid(18, 8), np.zeros((0, 2), np.int64)
    one = DayPart(day, day["first_ts"], day["last_ts"], day["last_ts"], SECOND, 1, grid, none)
    prices = _window(Part(store, "BINANCE", "BTC-USDT", 0, 2**62), one, None)
    assert MAX_COUNT - prices.step < prices.low <= MAX_COUNT


def ahead(at: int, sequence: int, bids: Sequence[Level], asks: Sequence[Level]) -> Message:
    """A snapshot that is ahead of the depth messages, and not of the whole book."""
    message = snapshot(sequence, bids, asks)
    for row in message:
        row.ts_order = row.ts_event = START_NS + at * SECOND
        row.ts_recv = row.ts_order + 5000
    return message


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("chain", [False, True], ids=["neither is believed", "the chain is"])
def test_a_snapshot_that_is_undone_leaves_the_image(
    tmp_path: Path, chain: bool, empty: bool
) -> None:
    """What it changed, set or took away is as before; the message behind it is applied to that."""
    bids, asks = [(1000 - k, 10) for k in range(10)], [(1001 + k, 10) for k in range(10)]
    denied = (9, 30) if chain else (4, 2)  # what the chain has set, or as it has
    wrong = [(1000, denied[0]), (999, 50), (997, denied[1]), (995, 10), (994, 10)]
    judge = mark(40, 8, before=5) if empty else depth(40, 8, bid(995, 3))
    for row in judge:
        row.prev_sequence = 5
    messages = [
        anchor(0, 4, bids, asks),
        depth(20, 5, bid(1000, 4), bid(997, 2), bid(996, 0)),
        ahead(30, 7, wrong, [(1001, 10), (1004, 60)]),
        judge,
        mark(60, 9),
    ]
    build_store(tmp_path, to_batch(messages))
    events = open_store(tmp_path).events(raw=True).collect()
    flags = {n: set(f["flags"]) for (n,), f in events.group_by("sequence")}
    assert all(flag & Flag.AWAITS for flag in flags[7])
    assert all(flag & Flag.REFUTED and bool(flag & Flag.DRIFT) != chain for flag in flags[8])
    found = looked_at(tmp_path)
    assert found.prices.step == 1
    before = {**dict(bids), **dict(asks), 1000: 4, 997: 2, 996: 0}
    undone = before if empty else {**before, 995: 3}
    listed = dict(wrong)
    shown = {
        price: listed.get(price, 0) if 994 <= price <= 1000 else size
        for price, size in before.items()
    } | {1002: 0, 1003: 0, 1004: 60}
    for at, book in ((25, before), (35, shown), (45, undone), (59, undone)):
        column = (START_NS + at * SECOND - found.time.origin) // found.time.width
        image = found.sums.image[:, column]
        there = {found.prices.low + k: size for k, size in enumerate(image.tolist()) if size}
        assert there == {price: size for price, size in book.items() if size}, at
