"""The lag of a book's clock: measured from the day, used in its order, and kept in its seal."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from lobproof.cli.console import out
from lobproof.cli.inspect import show_store, store_summary
from lobproof.fidelity.exact import Verdict, verify
from lobproof.pipeline import (
    Reached,
    ReconstructOptions,
    derive_lake,
    lake_days,
    reconstruct_day,
    reconstruct_sample,
)
from lobproof.pipeline.start import PartialDay
from lobproof.schema import Clock
from lobproof.sources.cryptolake.chunks import Chunk, LakeFile
from lobproof.sources.cryptolake.lag import Lag, measure_lag
from lobproof.sources.cryptolake.write import TableWriter
from lobproof.store import Store, open_store
from support.hourly_recording import Line, golden_sample
from support.wire import NS, T0, depth, futures_trade, snapshot

LEVELS = 25
LAG = 12


def moving_market(messages: int = 600, *, lag: int = LAG, seed: int = 3) -> list[Line]:
    """Futures: a book whose touch trades take from, others refill, and each message names.

    A message is matched a few ms behind the trades that it tells of, and sent ``lag`` to
    ``lag`` + 2 ms later: mostly behind further trades, which only the next one tells of.
    """
    rng = random.Random(seed)
    sizes = {side: [100] * LEVELS for side in ("bids", "asks")}

    def level(side: str, slot: int) -> tuple[str, str]:
        away = -slot if side == "bids" else slot + 1
        return f"{100 + away / 100:.2f}", f"{sizes[side][slot]}.0"

    def listed(side: str) -> list[tuple[str, str]]:
        return [level(side, slot) for slot in range(LEVELS)]

    lines: list[Line] = [(T0, snapshot(9, listed("bids"), listed("asks")))]
    matched, sent, number = T0 + 50, T0, 0
    for final in range(10, 10 + messages):
        for at in sorted(matched - rng.randrange(5) for _ in range(rng.choice([0, 1, 1, 2]))):
            side, taken = rng.choice(["bids", "asks"]), rng.randrange(1, 9)
            sizes[side][0] -= taken
            number += 1
            print_ = futures_trade(number, level(side, 0)[0], f"{taken}.0", time=at)
            lines.append((at, {**print_, "m": side == "bids"}))
        named = [level(side, 0) for side in ("bids", "asks")]
        sent = max(sent + 1, matched + lag + rng.randrange(3))
        message = depth(final, final, named[:1], named[1:], time=sent, pu=final - 1)
        lines.append((sent, {**message, "T": matched}))
        matched += rng.randrange(6, 14)
        for side in sizes:  # between two messages: no trade, and told by the next one
            sizes[side][0] += 40 if sizes[side][0] < 60 else 0
    return sorted(lines, key=lambda line: line[0])


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden_sample(tmp_path_factory.mktemp("futures"), moving_market())


def files_of(folder: Path) -> dict[str, tuple[Path, ...]]:
    """The one day's files by table."""
    (day,) = lake_days(folder)
    return dict(day.files)


def order_of(store: Store) -> dict[str, object]:
    (config,) = store.days()["config"]
    order: dict[str, object] = json.loads(config)["order"]
    return order


def named_share(store: Store) -> float:
    minutes = store.minutes(raw=True).collect()
    return 1 - float(minutes["unnamed_trades"].sum()) / float(minutes["trades"].sum())


@pytest.mark.parametrize("clock", ["E", "T"])
def test_a_derived_day_of_either_clock(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    derive_lake(golden, tmp_path / "lake", book_clock=clock)
    lag = measure_lag(files_of(tmp_path / "lake"))
    assert lag.trades > 300
    if clock == "T":
        assert (lag.ns, lag.explained) == (0, lag.unshifted)
    else:
        assert LAG <= lag.ns / 10**6 <= LAG + 2
        assert lag.explained > 1.2 * lag.unshifted
    (day,) = lake_days(tmp_path / "lake")
    notes: list[str] = []
    reconstruct_day(day, tmp_path / "store", note=notes.append)
    store = open_store(tmp_path / "store")
    assert any(str(lag) in note for note in notes)
    order = {"book_clock": clock, "first_on_tie": "trade", "lag_ns": lag.ns}
    assert order_of(store) == order
    (verdicts,) = store.days()["verdicts"]
    assert Lag(**json.loads(verdicts)["lag"]) == lag
    assert named_share(store) > 0.99
    depths = store.events(raw=True).filter(kind=2).collect()
    assert (depths["ts_order"] - depths["ts_event"] >= -lag.ns).all()
    assert (depths["ts_order"] < depths["ts_event"]).sum() == (len(depths) if lag.ns else 0)
    report = verify(store, golden, lake=tmp_path / "lake")
    wrong = [c.name for c in report.checks if c.verdict is Verdict.FAIL]
    assert wrong == [], [c.reason for c in report.checks]
    capsys.readouterr()
    show_store(out(), store_summary(store))
    assert str(lag) in capsys.readouterr().out


def test_the_golden_path_needs_no_lag(golden: Path, tmp_path: Path) -> None:
    reconstruct_sample(golden, tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert order_of(store) == {"book_clock": "T", "first_on_tie": "trade", "lag_ns": 0}
    volumes = store.minutes(raw=True).select(pl.col("^.*_volume$").sum()).collect()
    (told,) = volumes.rows(named=True)
    traded = told["buy_volume"] + told["sell_volume"]
    assert told["unnamed_volume"] == 0
    assert told["explained_volume"] > 9 * traded / 10


def test_too_few_trades_are_no_measure(tmp_path: Path) -> None:
    golden = golden_sample(tmp_path, moving_market(150))
    derive_lake(golden, tmp_path / "lake")
    files = files_of(tmp_path / "lake")
    lag = measure_lag(files)
    assert (lag.ns, lag.trades > 0) == (0, True)
    assert "too few trades" in str(lag)
    assert measure_lag({"trades": files["trades"]}) == Lag()
    assert measure_lag({"book_delta_v2": files["book_delta_v2"]}) == Lag()
    assert measure_lag({}) == Lag()


def test_what_chance_explains_is_no_lag(tmp_path: Path) -> None:
    """Some shift of hundreds is always the best: trades and deltas that know nothing of another."""
    rng, start = np.random.default_rng(1), T0 * NS
    count, of_message = 60_000, 6
    made = {"provenance": "synthetic"}
    names = ("BINANCE_FUTURES", "BTC-USDT-PERP", made)
    trades, deltas = (TableWriter(tmp_path, t, *names) for t in ("trades", "book_delta_v2"))
    times = start + np.sort(rng.integers(0, 600_000, count)) * NS
    sides = np.where(rng.random(count) < 0.5, "buy", "sell")
    sizes, prices = rng.integers(1, 9, count) / 8, rng.integers(100, 140, count) / 8
    trades.append(times, [sides, sizes, prices, np.arange(count), times, times])
    sent = np.repeat(start + np.arange(count // of_message) * 60 * NS, of_message)
    message = np.repeat(np.arange(count // of_message), of_message)
    shuffled = rng.permutation(count)
    columns = [sent, sent, message, sides == "buy", prices[shuffled], sizes[shuffled]]
    deltas.append(sent, columns)
    for table in (trades, deltas):
        table.close()
    lag = measure_lag({"trades": trades.files, "book_delta_v2": deltas.files})
    assert lag.explained > 1000
    assert (lag.ns, lag.explained) == (0, lag.unshifted)


def test_a_sample_of_spans_tells_the_same(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    derive_lake(golden, tmp_path / "lake")
    files = files_of(tmp_path / "lake")
    whole = measure_lag(files)
    monkeypatch.setattr("lobproof.sources.cryptolake.lag.SPANS", 3)
    monkeypatch.setattr("lobproof.sources.cryptolake.lag.SPAN_ROWS", 300)
    monkeypatch.setattr("lobproof.sources.cryptolake.lag.MAX_LAG_US", 100_000)
    fewer = measure_lag(files)
    assert 100 < fewer.trades < whole.trades
    assert abs(fewer.ns - whole.ns) <= 10**6

    read: list[int] = []
    plain = LakeFile.chunks

    def noted(self: LakeFile, *args: Any) -> Iterator[Chunk]:
        for chunk in plain(self, *args):
            read.append(len(chunk) if self.table == "trades" else 0)
            yield chunk

    monkeypatch.setattr(LakeFile, "chunks", noted)
    table, rows = pq.read_table(files["trades"][0]), []
    for statistics in (False, True):  # which tell where no trades of the spans are
        path = tmp_path / f"{statistics}.parquet"
        pq.write_table(table, path, row_group_size=16, write_statistics=statistics)
        assert measure_lag({**files, "trades": [path]}) == fewer
        rows.append(sum(read))
        read.clear()
    assert rows[0] == len(table) > 1.2 * rows[1]


def test_a_partial_day_and_a_killed_one_keep_the_lag(golden: Path, tmp_path: Path) -> None:
    """A message that was sent behind the boundary, and matched before it, is no part of the day."""
    derive_lake(golden, tmp_path / "lake")
    (day,) = lake_days(tmp_path / "lake")
    options = ReconstructOptions(keyframe_seconds=1, part_rows=300)
    whole = reconstruct_day(day, tmp_path / "whole", options)
    begin = (T0 + 3_000) * NS
    reconstruct_day(day, tmp_path / "part", options, since=PartialDay(begin, tmp_path / "whole"))
    part = open_store(tmp_path / "part")
    assert order_of(part) == order_of(open_store(tmp_path / "whole"))
    depths = part.events(raw=True).filter(kind=2).collect()
    lag = int(str(order_of(part)["lag_ns"]))
    ordered, sent = (min(depths[name].to_list()) for name in ("ts_order", "ts_event"))
    assert begin <= ordered < begin + 20 * NS
    assert sent >= begin + lag
    report = verify(part, golden)
    assert report.check("level_changes").verdict is Verdict.EXACT, report.check("level_changes")
    assert report.check("trades").verdict is Verdict.EXACT

    def stop(reached: Reached) -> None:
        if reached.events > 900:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconstruct_day(day, tmp_path / "killed", options, batch_rows=100, progress=stop)
    resumed = reconstruct_day(day, tmp_path / "killed", options)
    assert resumed.resumed_at > 0
    assert resumed.days[0].content_hash == whole.days[0].content_hash
    assert order_of(open_store(tmp_path / "killed")) == order_of(part)
