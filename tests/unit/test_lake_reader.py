"""The Python reader: lazy frames under either naming set, whatever the files have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lobproof.acquire.lake import Lake, lake
from lobproof.acquire.manifest import VALIDATED, Manifest, reconcile
from lobproof.acquire.rows import read_columns, read_shape
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.errors import InputError, UsageError
from lobproof.sources.cryptolake.chunks import chunks
from lobproof.sources.cryptolake.layout import ALIASES, COLUMNS, LEVEL_COLUMNS
from support import lake_files as tables
from support.acquired import judged, key, put_lake

NS = 1_767_571_200_033_000_000  # 2026-01-05 00:00:00.033
UTC_NS = pl.Datetime("ns", "UTC")


def trades(rows: int = 3, *, first_id: int = 1) -> pa.Table:
    ids = np.arange(first_id, first_id + rows)
    return pa.table(
        {
            "side": (["buy", "sell", "buy"] * rows)[:rows],
            "amount": np.arange(1, rows + 1) / 10,
            "price": 60_000 + np.arange(rows) / 100,
            "id": ids,
            "timestamp": NS + ids * 1_000_000,
            "receipt_timestamp": NS + ids * 1_000_000 + 5_000,
        }
    )


def deltas() -> pa.Table:
    return pa.table(
        {
            "timestamp": [NS, NS, 0, -1],
            "receipt_timestamp": [NS + 1000] * 4,
            "sequence_number": [7, 7, 9, 12],
            "side_is_bid": [True, False, True, False],
            "price": [1.1, 1.2, 1.1, 1.3],
            "size": [5.0, 6.0, 0.0, 7.5],
        }
    )


def book() -> pa.Table:
    columns: dict[str, object] = {
        "timestamp": [NS],
        "receipt_timestamp": [NS + 1000],
        "sequence_number": [7],
    }
    return pa.table(columns | {name: [float(k)] for k, name in enumerate(LEVEL_COLUMNS)})


def as_lakeapi(table: str, rows: pa.Table) -> pa.Table:
    """With the other names, times as timestamps, text as a dictionary."""
    names = [ALIASES[table].get(name, name) for name in rows.column_names]
    columns = []
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if "timestamp" in name:
            columns.append(column.cast(pa.timestamp("ns")))
        elif name == "side":
            columns.append(column.combine_chunks().dictionary_encode())
        else:
            columns.append(column)
    return pa.table(columns, names=names)


def put(
    root: Path,
    table: str,
    rows: pa.Table,
    *,
    dt: str = "2026-01-05",
    symbol: str = "BTC-USDT",
    exchange: str = "BINANCE",
    name: str = "1.snappy.parquet",
) -> Path:
    path = root / table / f"exchange={exchange}" / f"symbol={symbol}" / f"dt={dt}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path)
    return path


def test_raw_names_with_the_columns_of_the_path(tmp_path: Path) -> None:
    put(tmp_path, "trades", trades())
    frame = lake(tmp_path).table("trades").collect()
    assert frame.columns == [*COLUMNS["trades"], "exchange", "symbol", "dt"]
    assert frame.schema["timestamp"] == UTC_NS
    assert frame.schema["receipt_timestamp"] == UTC_NS
    assert frame["id"].to_list() == [1, 2, 3]
    assert frame["amount"].to_list() == [0.1, 0.2, 0.3]
    assert frame["timestamp"][0] == datetime(2026, 1, 5, 0, 0, 0, 34_000, UTC)
    assert set(frame["exchange"]) == {"BINANCE"}
    assert set(frame["symbol"]) == {"BTC-USDT"}
    assert set(frame["dt"]) == {date(2026, 1, 5)}


@pytest.mark.parametrize(
    ("table", "rows"), [("trades", trades()), ("book", book()), ("book_delta_v2", deltas())]
)
def test_either_naming_set_of_files_gives_either_naming_set_of_frames(
    tmp_path: Path, table: str, rows: pa.Table
) -> None:
    put(tmp_path / "a", table, rows)
    put(tmp_path / "b", table, as_lakeapi(table, rows))
    raw = [lake(tmp_path / side).table(table).collect() for side in "ab"]
    assert raw[0].equals(raw[1])
    assert raw[0].schema == raw[1].schema
    renamed = [lake(tmp_path / side).table(table, names="lakeapi").collect() for side in "ab"]
    assert renamed[0].equals(renamed[1])
    assert renamed[0].columns == [ALIASES[table].get(name, name) for name in raw[0].columns]
    assert (
        renamed[0].rename(dict(zip(renamed[0].columns, raw[0].columns, strict=True))).equals(raw[0])
    )


def test_times_as_they_are_in_the_files(tmp_path: Path) -> None:
    put(tmp_path / "a", "book_delta_v2", deltas())
    put(tmp_path / "b", "book_delta_v2", as_lakeapi("book_delta_v2", deltas()))
    zoned = deltas().set_column(
        0, "timestamp", deltas()["timestamp"].cast(pa.timestamp("ns", "Europe/Prague"))
    )
    put(tmp_path / "c", "book_delta_v2", zoned)
    for folder in "abc":
        source = lake(tmp_path / folder)
        whole = source.table("book_delta_v2", times="int").collect()
        assert whole["timestamp"].to_list() == [NS, NS, 0, -1]
        assert whole.schema["timestamp"] == pl.Int64
        shown = source.table("book_delta_v2").collect()["timestamp"]
        assert shown.dtype == UTC_NS
        assert shown.dt.timestamp("ns").to_list() == [NS, NS, 0, -1]


def test_days_are_in_order_and_mixed_files_make_one_frame(tmp_path: Path) -> None:
    put(tmp_path, "trades", trades(2, first_id=31), dt="2026-01-07")
    put(tmp_path, "trades", as_lakeapi("trades", trades(2, first_id=11)))
    put(tmp_path, "trades", trades(2, first_id=21), dt="2026-01-06")
    put(tmp_path, "trades", trades(2, first_id=23), dt="2026-01-06", name="2.parquet")
    put(tmp_path, "trades", trades(1, first_id=99), symbol="ETH-USDT")
    source = lake(tmp_path)
    ids = source.table("trades", symbol="BTC-USDT").collect()["id"].to_list()
    assert ids == [11, 12, 21, 22, 23, 24, 31, 32]
    some = source.table("trades", start="2026-01-06", end=date(2026, 1, 7), symbol="BTC-USDT")
    assert some.collect()["id"].to_list() == [21, 22, 23, 24]
    both = source.table("trades", end=datetime(2026, 1, 6, 12, tzinfo=UTC)).collect()
    assert both.group_by("symbol").len().sort("symbol").rows() == [("BTC-USDT", 2), ("ETH-USDT", 1)]


def test_ids_of_text_make_all_ids_text(tmp_path: Path) -> None:
    named = trades().set_column(3, "id", pa.array(["a-1", "a-2", "a-3"]))
    put(tmp_path, "trades", trades())
    put(tmp_path, "trades", named, dt="2026-01-06")
    frame = lake(tmp_path).table("trades").collect()
    assert frame["id"].to_list() == ["1", "2", "3", "a-1", "a-2", "a-3"]


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    put(tmp_path, "trades", trades(3000))
    query = lake(tmp_path).table("trades").filter(pl.col("id") > 2990).select("price", "symbol")
    plan = query.explain()
    assert "PROJECT 2/6 COLUMNS" in plan
    assert len(query.collect()) == 10


def test_days_lists_every_file(tmp_path: Path) -> None:
    first = put(tmp_path, "trades", trades())
    put(tmp_path, "book", book(), symbol="ETH-USDT", exchange="BINANCE_FUTURES")
    (tmp_path / "trades" / "contents.json.gz").write_bytes(b"no data")
    (first.parent / ".half.parquet").write_bytes(b"no data")
    days = lake(tmp_path).days()
    assert days.select("table", "exchange", "symbol", "dt", "zone").rows() == [
        ("book", "BINANCE_FUTURES", "ETH-USDT", date(2026, 1, 5), None),
        ("trades", "BINANCE", "BTC-USDT", date(2026, 1, 5), None),
    ]
    assert days["bytes"][1] == first.stat().st_size


def test_a_folder_with_zones_gives_ready_days_unless_told_otherwise(tmp_path: Path) -> None:
    put(tmp_path / "files", "trades", trades())
    put(tmp_path / "files", "trades", trades(2), dt="2026-01-06")
    folder = LakeFolder(tmp_path / "lake", create=True)
    first, second = put_lake(folder, tmp_path / "files")
    manifest = Manifest(folder)
    manifest.append(VALIDATED, first, **judged())
    reconcile(manifest)
    source = lake(folder.root)
    with pytest.raises(UsageError, match="no trades in zone ready") as error:
        source.table("trades")
    assert "zone='raw'" in error.value.hint
    assert len(source.table("trades", zone="validated").collect()) == 3
    assert len(source.table("trades", zone=Zone.RAW).collect()) == 2
    assert source.days()["zone"].to_list() == ["validated", "raw"]
    assert [file.key for file in source.files(zone="raw")] == [second]


def test_requests_that_cannot_be_met_say_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        lake(tmp_path / "nowhere")
    for empty in ("", "trades/exchange=X", "photos/exchange=X/symbol=Y/dt=2026-01-05"):
        (tmp_path / empty).mkdir(parents=True, exist_ok=True)
        with pytest.raises(UsageError, match="holds no Crypto Lake files") as no_lake:
            lake(tmp_path)
        assert "exchange=…/symbol=…/dt=…" in no_lake.value.hint
    put(tmp_path, "trades", trades())
    source: Lake = lake(tmp_path)
    with pytest.raises(UsageError, match="has no book"):
        source.table("book")
    with pytest.raises(UsageError, match="no trades of XRP-USDT from 2026-01-05") as error:
        source.table("trades", symbol="XRP-USDT", start="2026-01-05")
    assert "BINANCE BTC-USDT" in error.value.hint
    with pytest.raises(UsageError, match="no table 'candles'"):
        source.table("candles")
    with pytest.raises(UsageError, match="no table 'trade'"):
        source.files(table="trade")
    with pytest.raises(UsageError, match="no day lies from 2026-01-05"):
        source.files(start="2026-01-05", end="2026-01-05")
    with pytest.raises(UsageError, match="is no day"):
        source.table("trades", start="yesterday")
    with pytest.raises(UsageError, match="no zone 'fresh'"):
        source.table("trades", zone="fresh")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (trades().drop(["price"]), "no column price"),
        (trades().append_column("quantity", trades()["amount"]), "more than one column amount"),
        (trades().set_column(2, "price", trades()["price"].cast(pa.float32())), "price is float"),
    ],
)
def test_a_file_that_is_no_such_table_is_named(
    tmp_path: Path, rows: pa.Table, problem: str
) -> None:
    path = put(tmp_path, "trades", rows)
    with pytest.raises(InputError, match=problem) as error:
        lake(tmp_path).table("trades")
    assert str(path) in error.value.message


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    path = put(tmp_path, "trades", trades())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read as Parquet") as error:
        lake(tmp_path).table("trades")
    assert str(path) in error.value.message


@pytest.mark.parametrize("table", tables.MAKERS)
@pytest.mark.parametrize("of_ours", [True, False])
def test_a_column_that_is_there_twice_is_named_by_all_who_read(
    tmp_path: Path, table: str, of_ours: bool
) -> None:
    of = key(table)
    path = tmp_path / of.path
    path.parent.mkdir(parents=True)
    made = tables.arrow(table, tables.MAKERS[table]())
    name = made.schema.names[1] if of_ours else "other"
    times = 1 if of_ours else 2
    for _ in range(times):
        made = made.append_column(name, made.column(0))
    pq.write_table(made, path)
    readers: list[Callable[[], object]] = [
        lambda: read_shape(path, table),
        lambda: lake(tmp_path).table(table),
        lambda: list(read_columns(table, [path], COLUMNS[table][:1])),
        lambda: list(chunks(table, [path], COLUMNS[table][:1], 1 << 10)),
    ]
    for read in readers:
        with pytest.raises(InputError, match=rf"1.*\.parquet.* the name '{name}'") as caught:
            read()
        assert caught.value.hint
