"""Days of a report side by side, and what is kept of them from page to page."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lobproof import pages
from lobproof.pages import sweep as sweep_module
from lobproof.pages.axes import PriceGrid, TimeGrid
from lobproof.pages.kept import KeptSums
from lobproof.pages.sums import ADDED, Counts, DaySums, Sweep
from lobproof.pages.survey import Survey, survey
from lobproof.pages.sweep import DayPart, Part
from lobproof.pages.sweep_kernels import COLUMN, LEVEL, SPREAD_BINS
from lobproof.schema import LEVELS, EventBatch, Flag, Int64, Kind, Side
from lobproof.store import Store, open_store
from plain.messages import to_batch
from support.batches import DAY_NS, START_NS, Book, make_day
from support.report import MINUTE, SECOND, anchor, build_store, mark

NAMES = ("BINANCE", "BTC-USDT")
TELL = Callable[[int], None]


@dataclass(frozen=True)
class Made:
    """A random day, ``number`` days after the first."""

    number: int
    events: EventBatch
    books: list[tuple[int, Book]]  # each from its time on

    @property
    def first(self) -> int:
        return int(self.events.ts_order[0])

    @property
    def last(self) -> int:
        return int(self.events.ts_order[-1])

    @property
    def dt(self) -> str:
        return f"2024-08-{8 + self.number:02}"

    def store(self, root: Path, carried_from: str = "") -> str:
        return build_store(root, self.events, dt=self.dt, carried_from=carried_from)


def made(number: int, messages: int = 60, at: int = 0, shift: int = 0) -> Made:
    """Begun ``at`` seconds into the day; its prices are ``shift`` counts higher."""
    day = make_day(7 + number, messages, start_ns=START_NS + number * DAY_NS + at * SECOND)
    events = day.events
    events.flags &= int(Flag.LAST | Flag.RESYNC | Flag.COMPLETE)
    events.price[events.price > 0] += shift
    books = [
        (
            int(events.ts_order[end]),
            {
                side: {price + shift: size for price, size in levels.items()}
                for side, levels in book.items()
            },
        )
        for end, book in day.books.items()
        if events.kind[end] != Kind.TRADE
    ]
    return Made(number, events, books)


def four_days(root: Path) -> list[Made]:
    """Two carried from the one before, and between them two days without data."""
    days = [made(0), made(1, shift=700), made(4, shift=150), made(5, at=500)]
    hashed = days[0].store(root)
    days[1].store(root, hashed)
    hashed = days[2].store(root, "of another store")
    days[3].store(root, hashed)
    return days


def looked_at(
    root: Path, start: int | str | None = None, end: int | str | None = None, *, fresh: bool = False
) -> Survey:
    found = survey(open_store(root), *NAMES, start, end, fresh=fresh)
    assert found is not None
    return found


def arrays(sums: Sweep) -> list[bytes]:
    """All numbers, to the bit."""
    tables = (sums.image, sums.trades, sums.columns, sums.spreads, sums.levels)
    return [*(table.tobytes() for table in tables), repr((sums.counts, sums.traded)).encode()]


def rested(found: Survey) -> np.ndarray:
    """Size × ns of each cell."""
    covered = found.sums.columns["covered"]
    product: np.ndarray = found.sums.image * np.where(covered > 0, covered, 1.0)
    return product


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing is kept before the test; where the sums lie that are."""
    monkeypatch.setenv("LOBPROOF_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "days"


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The days that were replayed, in no order."""
    seen: list[str] = []
    replay = sweep_module._replayed

    def noted(part: Part, one: DayPart, tell: TELL) -> DaySums:
        seen.append(str(one.day["dt"]))
        return replay(part, one, tell)

    monkeypatch.setattr(sweep_module, "_replayed", noted)
    return seen


# --- several days -------------------------------------------------------------------------------


def held(days: list[Made], carried: set[int]) -> list[tuple[int, int, int, Book]]:
    """Day, and for how long each book held: to the next, over the night where that carries on."""
    found = []
    for place, day in enumerate(days):
        until = days[place + 1].first if place + 1 in carried else day.last
        times = [at for at, _ in day.books]
        for (start, book), stop in zip(day.books, [*times[1:], until], strict=True):
            found.append((place, start, stop, book))
    return found


def pieces(grid: TimeGrid, start: int, stop: int) -> list[tuple[int, int]]:
    """Columns that a stretch touches, and for how long."""
    found = []
    while start < stop:
        column = (start - grid.origin) // grid.width
        until = min(stop, grid.origin + (column + 1) * grid.width)
        found.append((column, until - start))
        start = until
    return found


def test_days_add_up_as_their_books_held_and_through_the_night_where_carried(
    tmp_path: Path,
) -> None:
    days = four_days(tmp_path / "s")
    found = looked_at(tmp_path / "s")
    assert found.time.width % MINUTE == 0
    assert found.time.width > MINUTE
    assert found.prices.step == 4
    columns, prices = found.sums.columns, found.prices
    # of each day, the prices near which it traded
    windows = [looked_at(tmp_path / "s", day.first, day.last + 1).prices for day in days]
    expected, image = np.zeros_like(columns), np.zeros_like(found.sums.image)
    spreads, known = np.zeros(SPREAD_BINS), np.zeros((2, LEVELS))
    rests = np.zeros((2, LEVELS))
    for place, start, stop, book in held(days, {1, 3}):
        bid, ask = max(book[Side.BID]), min(book[Side.ASK])
        spreads[ask - bid] += stop - start
        known += stop - start
        for side, levels in book.items():
            for level, price in enumerate(sorted(levels, reverse=side == Side.BID)[:LEVELS]):
                rests[side - 1, level] += levels[price] * (stop - start)
        rows = [
            ((price - prices.low) // prices.step, size)
            for levels in book.values()
            for price, size in levels.items()
            if windows[place].low <= price < windows[place].end
        ]
        for column, length in pieces(found.time, start, stop):
            for row, size in rows:
                if 0 <= row < prices.rows:
                    image[row, column] += size * length
            cell = expected[column]
            low = min(cell["spread_low"], ask - bid) if cell["trusted"] else ask - bid
            cell["spread_low"] = low
            cell["spread_high"] = max(cell["spread_high"], ask - bid)
            cell["covered"] += length
            cell["trusted"] += length
            cell["spread"] += (ask - bid) * length
            cell["best_time"] += length
            cell["best_sum"] += np.array([bid, ask]) * length
    for name in ("covered", "trusted", "spread_low", "spread_high"):
        assert columns[name].tolist() == expected[name].tolist(), name
    for name in ("spread", "best_time", "best_sum"):
        np.testing.assert_allclose(columns[name], expected[name], rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(rested(found), image, rtol=1e-9, atol=1e-3)
    np.testing.assert_allclose(found.sums.spreads, spreads, rtol=1e-12)
    np.testing.assert_allclose(found.sums.levels["known"], known, rtol=1e-12)
    np.testing.assert_allclose(found.sums.levels["rests"], rests, rtol=1e-12)
    # all the time but the two days that nobody carried on
    assert columns["covered"].sum() == days[1].last - days[0].first + days[3].last - days[2].first


@pytest.mark.parametrize("wide", [False, True], ids=["own columns", "shared columns"])
def test_days_that_are_not_carried_are_the_sum_of_each_alone(tmp_path: Path, wide: bool) -> None:
    days = [made(0), made(1, shift=90), made(2, at=500, shift=1700)]
    for day in days:
        day.store(tmp_path / "s")
    alone = [looked_at(tmp_path / "s", day.first, day.last + 1) for day in days]
    store, none = open_store(tmp_path / "s"), np.zeros((0, 2), np.int64)
    first, last = days[0].first, days[-1].last
    width = 2 * DAY_NS if wide else 5 * MINUTE
    grid = TimeGrid.of_width(first, last, width)
    part = Part(store, *NAMES, first, last)
    seals = list(store.days().iter_rows(named=True))
    prices, sums = sweep_module.sweep(part, seals, none, grid, 1)
    if wide:
        assert grid.columns < len(days)
    for name in (*ADDED, "covered"):
        total = sum(one.sums.columns[name].sum(axis=0) for one in alone)
        np.testing.assert_allclose(sums.columns[name].sum(axis=0), total, rtol=1e-12, err_msg=name)
    for name in LEVEL.names or ():
        total = sum(one.sums.levels[name] for one in alone)
        np.testing.assert_allclose(sums.levels[name], total, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(
        sums.spreads, np.sum([one.sums.spreads for one in alone], axis=0), rtol=1e-12
    )
    counts = Counts()
    rows, volumes = np.zeros(prices.rows), np.zeros((2, prices.rows))
    for one in alone:
        counts += one.sums.counts
        own = one.prices.low + one.prices.step * np.arange(one.prices.rows)
        np.add.at(rows, (own - prices.low) // prices.step, rested(one).sum(axis=1))
        for side in range(2):
            traded = one.sums.trades[side].sum(axis=1)
            np.add.at(volumes[side], (own - prices.low) // prices.step, traded)
    covered = sums.columns["covered"]
    got = (sums.image * np.where(covered > 0, covered, 1.0)).sum(axis=1)
    np.testing.assert_allclose(got, rows, rtol=1e-9)
    assert sums.trades.sum(axis=2).tolist() == volumes.tolist()
    assert sums.counts == counts
    extremes = [one.sums.traded for one in alone if one.sums.traded is not None]
    lows, highs = zip(*extremes, strict=True)
    assert sums.traded == (min(lows), max(highs))


def test_days_give_the_same_bits_whatever_order_they_end_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = four_days(tmp_path / "s")
    one = looked_at(tmp_path / "s", fresh=True)
    assert arrays(looked_at(tmp_path / "s", fresh=True).sums) == arrays(one.sums)
    replay, ended, events = (
        sweep_module._replayed,
        [str(day.dt) for day in days],
        {day.dt: threading.Event() for day in days},
    )
    order: list[str] = []

    def backwards(part: Part, one: DayPart, tell: TELL) -> DaySums:
        dt = str(one.day["dt"])
        sums = replay(part, one, tell)
        if dt != ended[-1]:
            assert events[ended[ended.index(dt) + 1]].wait(60)
        order.append(dt)
        events[dt].set()
        return sums

    monkeypatch.setattr(sweep_module, "_replayed", backwards)
    other = looked_at(tmp_path / "s", fresh=True)
    assert order == ended[::-1]
    assert arrays(other.sums) == arrays(one.sums)
    assert other.prices == one.prices


def test_a_day_without_a_price_leaves_the_rows_of_the_others(tmp_path: Path) -> None:
    """Also as the first; alone it has no picture."""
    made(1).store(tmp_path / "s")
    one = looked_at(tmp_path / "s")
    for number in (0, 2):
        events = to_batch([mark(0, 5), mark(100, 6)])
        for times in (events.ts_order, events.ts_event, events.ts_recv):
            times += number * DAY_NS
        build_store(tmp_path / "s", events, dt=f"2024-08-{8 + number:02}")
    found = looked_at(tmp_path / "s")
    assert found.prices == one.prices
    assert (rested(found) > 0).any(axis=1).sum() == (rested(one) > 0).any(axis=1).sum()
    assert found.sums.columns["covered"].sum() > one.sums.columns["covered"].sum()
    page = pages.report(
        open_store(tmp_path / "s"), tmp_path / "page.html", end="2024-08-09"
    ).read_text(encoding="utf-8")
    assert "hold neither a level of the book nor a trade" in page


# --- what is kept -------------------------------------------------------------------------------


def page_of(root: Path, out: Path, *, fresh: bool = False) -> bytes:
    return pages.report(open_store(root), out, fresh=fresh).read_bytes()


def test_a_second_page_replays_nothing_and_has_the_same_bytes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    four_days(tmp_path / "s")
    first = looked_at(tmp_path / "s", fresh=True)
    page = page_of(tmp_path / "s", tmp_path / "fresh.html", fresh=True)
    assert len(list(cache.glob("*.sums"))) == 4

    def refused(part: Part, one: DayPart, tell: TELL) -> DaySums:
        raise AssertionError(f"{one.day['dt']} is replayed")

    monkeypatch.setattr(sweep_module, "_replayed", refused)
    again = looked_at(tmp_path / "s")
    assert arrays(again.sums) == arrays(first.sums)
    assert (again.prices, again.time) == (first.prices, first.time)
    assert page_of(tmp_path / "s", tmp_path / "kept.html") == page
    with pytest.raises(AssertionError, match="is replayed"):
        looked_at(tmp_path / "s", fresh=True)


def test_what_is_kept_is_told_as_done(tmp_path: Path) -> None:
    four_days(tmp_path / "s")
    looked_at(tmp_path / "s")
    seen: list[tuple[int, int]] = []
    store = open_store(tmp_path / "s")
    survey(store, *NAMES, progress=lambda _, done, total: seen.append((done, total)))
    events = int(store.days()["events"].sum())
    assert seen[-1] == (events, events)


@pytest.mark.parametrize("carried", [False, True])
def test_a_new_day_is_all_that_is_replayed(
    tmp_path: Path, replayed: list[str], carried: bool
) -> None:
    """And the one that it carries on: that holds until it begins."""
    root = tmp_path / "s"
    hashed = ""
    for number in (0, 1, 2):
        hashed = made(number).store(root, hashed)
    looked_at(root)
    assert sorted(replayed) == ["2024-08-08", "2024-08-09", "2024-08-10"]
    replayed.clear()
    made(3).store(root, hashed if carried else "")
    found = looked_at(root)
    assert sorted(replayed) == (["2024-08-10"] if carried else []) + ["2024-08-11"]
    assert arrays(looked_at(root, fresh=True).sums) == arrays(found.sums)


def flipped(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-1],
    "cut to a digest": lambda data: data[:32],
    "flipped": flipped,
    "digest flipped": lambda data: bytes([data[0] ^ 128]) + data[1:],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_replayed_and_replaced(
    tmp_path: Path, cache: Path, replayed: list[str], damage: Callable[[bytes], bytes]
) -> None:
    for number in (0, 1):
        made(number, 20).store(tmp_path / "s")
    found = looked_at(tmp_path / "s")
    replayed.clear()
    kept = {path: path.read_bytes() for path in cache.iterdir()}
    victim = min(kept)
    victim.write_bytes(damage(kept[victim]))
    assert arrays(looked_at(tmp_path / "s").sums) == arrays(found.sums)
    assert len(replayed) == 1
    assert {path: path.read_bytes() for path in cache.iterdir()} == kept
    looked_at(tmp_path / "s")
    assert len(replayed) == 1


@pytest.mark.parametrize("place", ["", "days"], ids=["the cache is a file", "the folder is a file"])
def test_where_nothing_can_be_kept_the_page_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replayed: list[str], place: str
) -> None:
    made(0, 20).store(tmp_path / "s")
    page = page_of(tmp_path / "s", tmp_path / "kept.html")
    file = tmp_path / "other" / place if place else tmp_path / "other"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"of somebody")
    monkeypatch.setenv("LOBPROOF_CACHE_DIR", str(tmp_path / "other"))
    replayed.clear()
    for name in ("a.html", "b.html"):
        assert page_of(tmp_path / "s", tmp_path / name) == page
    assert replayed == ["2024-08-08"] * 2
    assert file.read_bytes() == b"of somebody"


def test_another_part_of_the_day_is_kept_apart(
    tmp_path: Path, cache: Path, replayed: list[str]
) -> None:
    day = made(0)
    day.store(tmp_path / "s")
    middle = (day.first + day.last) // 2
    spans = [(None, None), (middle, None), (None, middle), (None, middle + 1)]
    spans += [(day.first + 1, None), (None, day.last)]  # columns as wide as those of all
    fresh = [arrays(looked_at(tmp_path / "s", *span, fresh=True).sums) for span in spans]
    assert len(list(cache.iterdir())) == len(spans) == len(replayed)
    assert [arrays(looked_at(tmp_path / "s", *span).sums) for span in spans] == fresh
    assert len(replayed) == len(spans)


def swept(store: Store, doubts: list[tuple[int, int]]) -> Sweep:
    seals = list(store.days().iter_rows(named=True))
    first, last = seals[0]["first_ts"], seals[-1]["last_ts"]
    grid = TimeGrid.of_width(first, last, MINUTE)
    intervals: Int64 = np.array(doubts, np.int64).reshape(-1, 2)
    return sweep_module.sweep(Part(store, *NAMES, first, last), seals, intervals, grid, 1)[1]


def test_other_doubts_are_kept_apart_and_only_of_the_days_that_they_touch(
    tmp_path: Path, replayed: list[str]
) -> None:
    days = [made(0), made(1)]
    for day in days:
        day.store(tmp_path / "s")
    store = open_store(tmp_path / "s")
    all_trusted = swept(store, [])
    replayed.clear()
    doubt = (days[1].first + SECOND, days[1].first + 3 * SECOND)
    less = swept(store, [doubt])
    assert replayed == [days[1].dt]
    lost = all_trusted.columns["trusted"].sum() - less.columns["trusted"].sum()
    assert lost == 2 * SECOND
    assert arrays(swept(store, [])) == arrays(all_trusted)
    assert arrays(swept(store, [doubt])) == arrays(less)
    assert replayed == [days[1].dt]


def hand_made(size: int = 1) -> DaySums:
    """Sums of nothing much that cannot be pressed together."""
    noise = np.random.default_rng(size).random((size, 3))
    return DaySums(
        TimeGrid(START_NS, MINUTE, 3),
        PriceGrid(100, 1, size),
        noise,
        np.array([[0, 0, 1], [1, 0, 2]], np.int64),
        np.array([5.0, 7.5]),
        np.zeros(3, COLUMN),
        np.zeros(SPREAD_BINS),
        np.zeros((2, LEVELS), LEVEL),
        Counts(1, 2, 3, 4),
        (0.25, 1e300),
    )


def test_what_is_kept_comes_back_as_it_was() -> None:
    kept, sums = KeptSums(), hand_made()
    assert kept.load("there") is None
    kept.save("there", sums)
    back = KeptSums().load("there")
    assert back is not None
    for name in ("time", "prices", "counts", "traded"):
        assert getattr(back, name) == getattr(sums, name)
    for name in ("image", "cells", "volumes", "columns", "spreads", "levels"):
        one, other = getattr(back, name), getattr(sums, name)
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())


def test_a_key_tells_apart_whatever_it_is_made_of() -> None:
    kept = KeptSums()
    parts = [("a", 1, 23), ("a", 12, 3), ("a", 1, 2, 3), ("b", 1, 23), ("a1", 23), ()]
    assert len({kept.key(*part) for part in parts}) == len(parts)
    assert kept.key("a", 1, 23) == KeptSums().key("a", 1, 23)


def test_what_was_not_used_for_the_longest_time_goes_first(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptSums()
    long_ago = time.time_ns() - 10**12
    for age, key in enumerate(("used", "old", "newer", "newest")):
        kept.save(key, hand_made(40))
        os.utime(cache / f"{key}.sums", ns=(long_ago + age * 10**9,) * 2)
    others = {"notes.txt": b"mine", ".tmp-x.sums.0": b"x" * 10**6, "sums": b"y" * 10**6}
    for name, data in others.items():
        (cache / name).write_bytes(data)
    assert kept.load("used") is not None
    size = (cache / "old.sums").stat().st_size
    monkeypatch.setattr("lobproof.pages.kept.ROOM", 3 * size)
    kept.prune()
    there = {path.name for path in cache.iterdir()}
    assert there == {*others, "used.sums", "newer.sums", "newest.sums"}
    monkeypatch.setattr("lobproof.pages.kept.ROOM", size - 1)
    KeptSums().prune()  # which kept nothing
    assert {path.name for path in cache.iterdir()} == there
    kept.prune()
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == others


def test_a_page_makes_room_for_what_it_keeps(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(0, 20).store(tmp_path / "s")
    looked_at(tmp_path / "s")
    (first,) = cache.iterdir()
    monkeypatch.setattr("lobproof.pages.kept.ROOM", 1)
    looked_at(tmp_path / "s")
    assert list(cache.iterdir()) == [first]
    looked_at(tmp_path / "s", fresh=True)
    assert list(cache.iterdir()) == []


def test_a_day_of_one_instant_is_kept(tmp_path: Path, replayed: list[str]) -> None:
    build_store(tmp_path / "s", to_batch([anchor(0, 5, [(1000, 5)], [(1001, 7)])]))
    found = looked_at(tmp_path / "s")
    assert arrays(looked_at(tmp_path / "s").sums) == arrays(found.sums)
    assert replayed == ["2024-08-08"]
