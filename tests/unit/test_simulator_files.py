"""What the simulator writes: recordings as collectors leave them, Lake tables, the side-car."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lobproof.errors import InputError, UsageError
from lobproof.sources.cryptolake.write import GROUP_ROWS, SCHEMAS
from lobproof.sources.simulator import (
    PRESETS,
    Feed,
    FeedConfig,
    Imperfections,
    LakeConfig,
    Market,
    Recorder,
    RecorderConfig,
    SimulationResult,
    simulate,
    simulation_of,
)
from lobproof.sources.simulator.text_kernels import put_decimal, put_integer

SMALL = dataclasses.replace(
    PRESETS["btc"], near_orders=80, deep_orders=300, warmup_s=0.5, rate=300.0, window_bits=15
)
FUTURES = dataclasses.replace(
    SMALL, market="futures", price_exponent=1, size_exponent=3, lot=1, id_step=12
)


def text_of(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def lines_of(result: SimulationResult) -> list[tuple[int, dict[str, Any]]]:
    lines = []
    for path in result.recordings:
        for line in text_of(path).splitlines():
            received, _, text = line.partition(" ")
            lines.append((int(received), json.loads(text)))
    return lines


def of_stream(lines: list[tuple[int, dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    return [d["data"] for _, d in lines if d.get("stream") == f"simusdt@{name}"]


def rebuilt(lines: list[tuple[int, dict[str, Any]]], futures: bool) -> dict[int, dict[str, Any]]:
    """The book after each depth message, with nothing but a dictionary, as the venue documents."""
    snapshot = next(d for _, d in lines if "lastUpdateId" in d)
    seeded = snapshot["lastUpdateId"]
    sides = {
        key: {Decimal(p): Decimal(q) for p, q in snapshot[name]}
        for key, name in (("b", "bids"), ("a", "asks"))
    }
    books: dict[int, dict[str, Any]] = {}
    previous = 0
    for message in of_stream(lines, "depth@100ms"):
        if message["u"] < seeded or (not futures and message["u"] == seeded):
            continue
        if not previous:
            assert message["U"] <= seeded + (not futures)
            assert message["u"] >= seeded
        else:
            assert (message["pu"] if futures else message["U"] - 1) == previous
        previous = message["u"]
        for key in ("b", "a"):
            for price, size in message[key]:
                if Decimal(size):
                    sides[key][Decimal(price)] = Decimal(size)
                else:
                    sides[key].pop(Decimal(price), None)
        books[previous] = {key: dict(levels) for key, levels in sides.items()}
    return books


@pytest.mark.parametrize("config", [SMALL, FUTURES], ids=["spot", "futures"])
def test_a_recording_rebuilds_the_true_book(tmp_path: Path, config: Any) -> None:
    futures = config is FUTURES
    perfect = dataclasses.replace(Imperfections.none(), recorder=RecorderConfig())
    result = simulate(tmp_path / "out", config=config, minutes=0.2, imperfections=perfect)
    lines = lines_of(result)
    stamps = [received for received, _ in lines]
    assert stamps == sorted(stamps)
    books = rebuilt(lines, futures)
    assert len(books) > 100
    unit_price, unit_size = (
        Decimal(10) ** -config.price_exponent,
        Decimal(10) ** -config.size_exponent,
    )
    market = Market(dataclasses.replace(config, start_ns=start_of(result)), 7)
    feed = Feed(market, FeedConfig(full_every=1))
    end = market.now + 12_000_000_000
    truth = {b.last_id: b for b in feed.publish(market.step(end), final=True).books}
    for last, book in books.items():
        for key, side in (("b", truth[last].bids), ("a", truth[last].asks)):
            assert book[key] == {int(p) * unit_price: int(q) * unit_size for p, q in side}
    compared = 0
    for ticker in of_stream(lines, "bookTicker"):
        if ticker["u"] in books:
            compared += 1
            book = books[ticker["u"]]
            best = (max(book["b"]), min(book["a"]))
            assert (Decimal(ticker["b"]), Decimal(ticker["a"])) == best
            assert (Decimal(ticker["B"]), Decimal(ticker["A"])) == (
                book["b"][best[0]],
                book["a"][best[1]],
            )
    assert compared
    ids = [trade["t"] for trade in of_stream(lines, "trade")]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert result.counts["depth_messages"] == len(of_stream(lines, "depth@100ms"))
    assert result.counts["trades"] == len(ids)
    assert result.counts["tickers"] == len(of_stream(lines, "bookTicker"))


def start_of(result: SimulationResult) -> int:
    document = json.loads((result.root / "simulation.json").read_text())
    start: int = document["config"]["start_ns"]
    return start


@pytest.mark.kernels
def test_lines_are_worded_as_the_venue_words_them(tmp_path: Path) -> None:
    result = simulate(tmp_path / "spot", config=SMALL, minutes=0.05)
    raw = "".join(text_of(path) for path in result.recordings).splitlines()
    for line in raw:
        received, _, text = line.partition(" ")
        document = json.loads(text)
        assert json.dumps(document, separators=(",", ":")) == text
        assert len(received) == 19
        data = document.get("data", document)
        if "lastUpdateId" in data:
            assert list(data) == ["lastUpdateId", "bids", "asks"]
        elif data.get("e") == "depthUpdate":
            assert list(data) == ["e", "E", "s", "U", "u", "b", "a"]
            assert all(
                len(x.partition(".")[2]) == 8 for side in "ba" for pq in data[side] for x in pq
            )
        elif data.get("e") == "trade":
            assert list(data) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
            assert data["E"] - data["T"] in (0, 1)
        else:
            assert list(data) == ["u", "s", "b", "B", "a", "A"]
        assert data.get("s", "SIMUSDT") == "SIMUSDT"
    futures = lines_of(simulate(tmp_path / "futures", config=FUTURES, minutes=0.05))
    depth = of_stream(futures, "depth@100ms")[0]
    assert list(depth) == ["e", "E", "T", "s", "U", "u", "pu", "b", "a"]
    assert len((depth["b"] + depth["a"])[0][0].partition(".")[2]) == 1
    assert list(of_stream(futures, "trade")[0]) == [
        *("e", "E", "T", "s", "t", "p", "q", "X", "m"),
    ]
    assert list(of_stream(futures, "bookTicker")[0]) == [
        *("e", "u", "s", "b", "B", "a", "A", "T", "E"),
    ]


@pytest.mark.kernels
def test_numbers_are_written_exactly() -> None:
    text = np.zeros(64, np.uint8)
    for value in (0, 7, 10, 1723161253937085768, 2**63 - 1):
        assert bytes(text[: put_integer(text, 0, value)]) == str(value).encode()
    for count, exponent, digits, expected in (
        (0, 8, 8, b'"0.00000000"'),
        (1, 8, 8, b'"0.00000001"'),
        (6183763, 2, 8, b'"61837.63000000"'),
        (2**63 - 1, 8, 8, b'"92233720368.54775807"'),
        (15, 1, 1, b'"1.5"'),
        (15, 0, 0, b'"15"'),
        (15, 0, 2, b'"15.00"'),
    ):
        assert bytes(text[: put_decimal(text, 0, count, exponent, digits)]) == expected


@pytest.mark.kernels
def test_the_recorder_does_not_depend_on_how_batches_come() -> None:
    config = dataclasses.replace(SMALL, rate=100.0)
    noisy = RecorderConfig(jitter_ns=30_000_000, clock_drift_ppm=200.0)

    def record(cuts: list[int], reload: bool) -> bytes:
        market = Market(config, 3)
        feed = Feed(market, FeedConfig(snapshot_every_s=0.4, snapshot_limit=20))
        recorder = Recorder(config, noisy, 3)
        out = b""
        for cut in [*cuts, 2_000_000_000]:
            final = cut == 2_000_000_000
            batch = feed.publish(market.step(config.start_ns + cut), final=final)
            out += recorder.record(batch, final=final).text.tobytes()
            if reload:
                state = recorder.save()
                recorder = Recorder(config, noisy, 3)
                recorder.load(state)
        return out

    whole = record([], False)
    assert whole == record([10**8 * k for k in range(1, 20)], True)
    received = [int(line.split(b" ")[0]) for line in whole.splitlines()]
    assert received == sorted(received)
    # trade and depth lines overtake one another, but no stream overtakes itself
    data = [json.loads(line.partition(b" ")[2]).get("data", {}) for line in whole.splitlines()]
    times = [d.get("T", d.get("E")) for d in data if d.get("e")]
    assert any(a > b for a, b in pairwise(times))
    ids = [d["u"] for d in data if d.get("e") == "depthUpdate"]
    assert ids == sorted(ids)


def test_files_begin_at_midnight_of_the_recorders_clock(tmp_path: Path) -> None:
    result = simulate(
        tmp_path / "out", config=SMALL, minutes=0.1, start="2026-01-05T00:00:00+00:00"
    )
    assert [path.name for path in result.recordings] == [
        "simusdt_synthetic_20260104.gz",
        "simusdt_synthetic_20260105.gz",
    ]
    midnight = 1_767_571_200_000_000_000
    for path, before in zip(result.recordings, (True, False), strict=True):
        stamps = [int(line.split()[0]) for line in text_of(path).splitlines()]
        assert all((stamp < midnight) is before for stamp in stamps)


def test_lake_tables_have_the_vendors_shape(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, rate=4000.0)
    result = simulate(
        tmp_path / "out",
        config=config,
        minutes=0.5,
        start="2026-01-04T23:59:45Z",
        recording=False,
        lake=True,
        imperfections=Imperfections(lake=LakeConfig(missing_share=0.05, late_share=0.001)),
    )
    assert result.lake == result.root / "lake"
    assert not result.recordings
    tables: dict[str, Any] = {}
    for table, schema in SCHEMAS.items():
        files = [
            result.root / f"lake/{table}/exchange=BINANCE/symbol=SIM-USDT/dt={day}/1.snappy.parquet"
            for day in ("2026-01-04", "2026-01-05")
        ]
        assert set(files) <= set(result.files)
        parts = []
        for path in files:
            file = pq.ParquetFile(path)
            assert file.schema_arrow.remove_metadata().equals(schema)
            assert file.schema_arrow.metadata[b"provenance"] == b"synthetic"
            groups = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
            assert all(rows == GROUP_ROWS for rows in groups[:-1])
            assert file.metadata.row_group(0).column(0).compression == "SNAPPY"
            parts.append(file.read())
        tables[table] = parts
        assert sum(len(part) for part in parts) == result.counts[f"lake_{table}"]
    assert len(tables["book_delta_v2"][0]) > GROUP_ROWS

    midnight = 1_767_571_200_000_000_000
    for parts in tables.values():
        for part, before in zip(parts, (True, False), strict=True):
            stamps = part["timestamp"].to_numpy()
            known = stamps[stamps > 0]
            assert ((known < midnight) == before).all()
            assert 0 < (stamps <= 0).mean() < 0.2
            assert set(stamps[stamps <= 0].tolist()) <= {0, -1}
            repaired = (known + 500) // 1000 * 1000
            assert (np.abs(repaired - known) <= 256).all()  # the float-second grid
            assert (repaired % 1_000_000 == 0).all()
            assert (np.diff(part["receipt_timestamp"].to_numpy()) >= 0).all()
    for part in tables["trades"]:
        assert set(part["side"].to_pylist()) == {"buy", "sell"}
    ids = np.concatenate([part["id"].to_numpy() for part in tables["trades"]])
    assert (np.diff(ids) == 1).all()

    # every book row is the replay of the deltas; a side's levels that were there before are unknown
    deltas = [
        np.concatenate([p[c].to_numpy() for p in tables["book_delta_v2"]])
        for c in ("sequence_number", "side_is_bid", "price", "size")
    ]
    assert (np.diff(deltas[0]) >= 0).all()
    rows = [row for part in tables["book"] for row in part.to_pylist()]
    assert [row["sequence_number"] for row in rows] == np.unique(deltas[0]).tolist()
    first = rows[0]
    sides = {
        is_bid: {first[f"{name}_{k}_price"]: first[f"{name}_{k}_size"] for k in range(20)}
        for is_bid, name in ((True, "bid"), (False, "ask"))
    }
    at = int(np.searchsorted(deltas[0], first["sequence_number"], "right"))
    for row in rows[1:20]:
        while at < len(deltas[0]) and deltas[0][at] <= row["sequence_number"]:
            level = sides[bool(deltas[1][at])]
            level[deltas[2][at]] = deltas[3][at]
            if deltas[3][at] == 0:
                del level[deltas[2][at]]
            at += 1
        best = max(sides[True]), min(sides[False])
        assert (row["bid_0_price"], row["ask_0_price"]) == best
        assert (row["bid_0_size"], row["ask_0_size"]) == (
            sides[True][best[0]],
            sides[False][best[1]],
        )


def test_a_simulation_is_marked_whole_and_repeatable(tmp_path: Path) -> None:
    done: list[tuple[str, int, int]] = []
    result = simulate(
        tmp_path / "a",
        config=SMALL,
        minutes=0.1,
        lake=True,
        progress=lambda *told: done.append(told),
        seed=3,
    )
    assert done == sorted(done)
    assert done[-1] == (SMALL.symbol, 6000, 6000)
    again = simulate(tmp_path / "b", config=SMALL, minutes=0.1, lake=True, seed=3)
    for one, other in zip(result.files, again.files, strict=True):
        assert one.read_bytes() == other.read_bytes()
        document = simulation_of(one)
        assert document is not None
        assert document["provenance"] == "synthetic"
        listed = document["files"][one.relative_to(result.root).as_posix()]
        assert listed["sha256"] == hashlib.sha256(one.read_bytes()).hexdigest()
        assert listed["bytes"] == one.stat().st_size
    assert simulation_of(result.root) == simulation_of(result.root / "lake" / "trades")
    assert simulation_of(result.root / "simulation.json") is None
    assert simulation_of(tmp_path) is None
    assert all("synthetic" in path.name for path in result.recordings)
    before = (result.root / "simulation.json").stat().st_mtime_ns
    assert simulate(tmp_path / "a", config=SMALL, minutes=0.1, lake=True, seed=3) == result
    assert (result.root / "simulation.json").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_other_content_is_never_overwritten(tmp_path: Path) -> None:
    result = simulate(tmp_path / "a", config=SMALL, minutes=0.02)
    with pytest.raises(UsageError, match="something else"):
        simulate(tmp_path / "a", config=SMALL, minutes=0.02, seed=8)
    result.recordings[0].write_bytes(b"cut")
    with pytest.raises(UsageError, match="something else"):
        simulate(tmp_path / "a", config=SMALL, minutes=0.02)
    (tmp_path / "b").mkdir()
    simulate(tmp_path / "b", config=SMALL, minutes=0.02)
    (tmp_path / "c").write_text("mine")
    with pytest.raises(UsageError, match="something else"):
        simulate(tmp_path / "c", config=SMALL, minutes=0.02)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "a", config=SMALL, minutes=0.05, lake=True, progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"preset": "doge"}, "no preset"),
        ({"start": "tomorrow"}, "is not a time"),
        ({"recording": False}, "nothing to simulate"),
        ({"minutes": 0}, "nothing to simulate"),
        ({"minutes": float("nan")}, "minutes=nan"),
        ({"minutes": "5"}, "minutes='5'"),
        ({"minutes": 60_000_000}, "last longer than to 2115"),
        *(({"snapshot_every": value}, "snapshot_every=") for value in (0, -1, math.nan, "1")),
        *(({"intensity": value}, "intensity=") for value in (0, -1, math.nan, math.inf, "1")),
        *(({"seed": value}, "seed=") for value in (None, 1.5, "x", -1, True)),
        ({"start": "1700-01-01"}, "start from 1971 to 2115"),
        ({"start": "2200-01-01"}, "start from 1971 to 2115"),
        ({"start": "1500-01-01"}, "64 bits of nanoseconds"),
        ({"start": None}, "is not a time"),
        ({"market": "x"}, "no market 'x'"),
        ({"preset": ["btc"]}, "no preset"),
    ],
)
def test_wrong_requests_are_refused(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        simulate(tmp_path / "a", **options)


def test_the_start_may_be_a_datetime(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"config": SMALL, "minutes": 0.01}
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    simulate(tmp_path / "a", start=begin, **asked)
    assert simulate(tmp_path / "a", start="2026-01-05T00:00:00Z", **asked).files


def test_a_preset_can_be_traded_on_the_other_market(tmp_path: Path) -> None:
    result = simulate(
        tmp_path / "a", preset="nexo", minutes=5, market="futures", start="2026-01-05"
    )
    document = simulation_of(result.root)
    assert document is not None
    assert document["symbol"] == "SIM-USDT-PERP"
    assert document["instrument"]["exchange"] == "BINANCE_FUTURES"
    depth = of_stream(lines_of(result), "depth@100ms")
    assert all(b["pu"] == a["u"] for a, b in pairwise(depth))


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}'])
def test_a_damaged_side_car_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "simulation.json").write_text(text)
    (tmp_path / "x.gz").write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        simulation_of(tmp_path / "x.gz")


def test_intensity_scales_the_arrivals(tmp_path: Path) -> None:
    plain = simulate(tmp_path / "a", config=SMALL, minutes=0.3)
    busy = simulate(tmp_path / "b", config=SMALL, minutes=0.3, intensity=4.0)
    assert busy.counts["market_events"] > 2 * plain.counts["market_events"]
