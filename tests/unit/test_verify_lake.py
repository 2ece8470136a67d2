"""Gates A and B on stores from Crypto Lake days: a tiny market, derived, reconstructed, changed."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from lobproof import pages
from lobproof.errors import InputError, StoreError, UsageError
from lobproof.fidelity.exact import Verdict, VerifyReport, vendor, verify
from lobproof.fidelity.exact.window import Window
from lobproof.fidelity.render import render_report
from lobproof.pipeline import ReconstructOptions, derive_lake, reconstruct_sample
from lobproof.pipeline.lake import lake_days, reconstruct_day
from lobproof.store import open_store
from support.hourly_recording import golden_sample, hourly_lines
from support.reconstructions import reconstruct_lake


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A golden sample, its tables and the store of these."""
    folder = tmp_path_factory.mktemp("lake")
    golden_sample(folder, hourly_lines(), "golden")
    derive_lake(folder / "golden", folder / "lake")
    reconstruct_lake(folder / "lake", folder / "store", ReconstructOptions(strategy="full"))
    return folder


def prove(folder: Path, *, lake: Path | None = None, store: str = "store") -> VerifyReport:
    return verify(open_store(folder / store), folder / "golden", lake=lake or folder / "lake")


def test_a_lake_store_is_exact(folder: Path) -> None:
    report = prove(folder)
    assert report.check("level_changes").verdict is Verdict.EXACT
    assert report.check("trades").verdict is Verdict.EXACT
    assert report.check("chain").verdict is Verdict.NOT_APPLICABLE
    book = report.check("vendor_book")
    assert book.verdict is Verdict.EXACT
    assert book.compared == book.equal > 0
    snapshots = report.check("snapshots")
    assert snapshots.verdict is Verdict.EXACT
    assert snapshots.details["listings"]["stored"] == 0
    assert snapshots.details["listings"]["held"] > 1


def test_the_vendors_book_alone(folder: Path) -> None:
    report = verify(open_store(folder / "store"), lake=folder / "lake", symbol="BTC-USDT")
    assert report.check("vendor_book").verdict is Verdict.EXACT
    for name in ("level_changes", "trades", "book_ticker_last", "snapshots", "partial_depth"):
        assert report.check(name).reason == "no golden sample was named"
    assert "golden" not in report.coverage


def test_it_says_that_nothing_of_it_is_real(folder: Path) -> None:
    made_of_tables = open_store(folder / "store")
    for golden, against in (
        (None, "Crypto Lake files"),
        (folder / "golden", "a synthetic golden sample and Crypto Lake files"),
    ):
        report = verify(made_of_tables, golden, lake=folder / "lake")
        assert (report.provenance, report.against) == ("synthetic", against)
        assert report.to_dict()["provenance"] == "synthetic"
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(render_report(report))
        assert "DEMO: synthetic data" in console.export_text()


def test_the_least_real_of_both_sides_is_told(folder: Path, tmp_path: Path) -> None:
    """Tables of unknown origin, of which one says that it is derived."""
    unmarked = shutil.copytree(folder / "lake", tmp_path / "lake")
    for path in unmarked.rglob("*.parquet"):
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    reconstruct_lake(unmarked, tmp_path / "store", ReconstructOptions(strategy="full"))
    store = open_store(tmp_path / "store")
    assert verify(store, lake=unmarked).provenance == "unknown"
    assert verify(store, folder / "golden").provenance == "synthetic"
    path = next((unmarked / "book").rglob("*.parquet"))
    pq.write_table(pq.read_table(path).replace_schema_metadata({"provenance": "derived"}), path)
    assert verify(store, lake=unmarked).provenance == "derived"


def changed(
    folder: Path,
    out: Path,
    table: str,
    change: Callable[[pl.DataFrame], pl.DataFrame],
    *,
    last: bool = False,
) -> Path:
    """The tables, one of them changed, or the last of its days."""
    shutil.copytree(folder / "lake", out, dirs_exist_ok=True)
    paths = sorted(out.glob(f"{table}/**/*.parquet"))
    for path in paths[-1:] if last else paths:
        old = pq.read_table(path, partitioning=None)
        frame = pl.from_arrow(old)
        assert isinstance(frame, pl.DataFrame)
        pq.write_table(change(frame).to_arrow().cast(old.schema), path)
    return out


def test_a_size_that_differs_is_located(folder: Path, tmp_path: Path) -> None:
    def change(rows: pl.DataFrame) -> pl.DataFrame:
        at = pl.int_range(pl.len()) >= rows.height // 2
        return rows.with_columns(
            pl.when(at).then(pl.col("ask_1_size") + 1).otherwise("ask_1_size").alias("ask_1_size")
        )

    report = prove(folder, lake=changed(folder, tmp_path / "lake", "book", change))
    book = report.check("vendor_book")
    assert book.verdict is Verdict.FAIL
    assert book.first is not None
    assert report.first_divergence == book.first
    assert "ask 1 after update id" in book.first.detail
    assert book.first.expected is not None
    assert book.first.found is not None
    assert book.first.expected["price"] == float(book.first.found["price"])
    assert book.first.expected["size"] == float(book.first.found["size"]) + 1
    assert book.details["differing_slots"] == book.compared - book.equal


def test_a_row_that_was_lost_is_found(folder: Path, tmp_path: Path) -> None:
    """Of the deltas that the store was made from one lacks: the sample has it."""
    lake = changed(
        folder, tmp_path / "lake", "book_delta_v2", lambda rows: rows.filter(
            pl.int_range(pl.len()) != rows.height // 2
        ),
    )  # fmt: skip
    reconstruct_lake(lake, tmp_path / "store", ReconstructOptions(strategy="full"))
    report = verify(open_store(tmp_path / "store"), folder / "golden")
    levels = report.check("level_changes")
    assert levels.verdict is Verdict.FAIL
    days = len(report.coverage["days"])
    assert (levels.details["missing"], levels.details["extra"]) == (days, 0)
    assert report.check("vendor_book").verdict is Verdict.NOT_APPLICABLE


def test_days_one_by_one_are_the_days_together(folder: Path) -> None:
    store = open_store(folder / "store")
    whole = verify(store, lake=folder / "lake")
    days = whole.coverage["days"]
    assert len(days) > 1
    each = [verify(store, lake=folder / "lake", start=dt, end=f"{dt}T23:59") for dt in days]
    assert [report.coverage["days"] for report in each] == [[dt] for dt in days]
    for name in ("schema", "uncrossed", "grid", "order", "vendor_book", "vendor_trades"):
        found = [report.check(name) for report in each]
        one = whole.check(name)
        assert one.verdict is Verdict.EXACT
        if name != "schema":  # whose tables are looked at once
            assert one.compared == sum(check.compared for check in found) > 0
    store_totals = [report.coverage["store"] for report in each]
    for name, total in whole.coverage["store"].items():
        assert total == sum(totals[name] for totals in store_totals)


def test_a_fault_of_the_last_day_is_found(folder: Path, tmp_path: Path) -> None:
    """Its files are compared while no other day is read any more."""
    lake = changed(
        folder, tmp_path, "trades", lambda rows: rows.with_columns(pl.col("price") * 2), last=True
    )
    days = verify(open_store(folder / "store"), lake=folder / "lake").coverage["days"]
    report = verify(open_store(folder / "store"), lake=lake)
    check = report.check("vendor_trades")
    assert check.verdict is Verdict.FAIL
    assert check.first is not None
    assert check.first.dt == days[-1]


def test_trades_part_by_part(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(rows: pl.DataFrame) -> pl.DataFrame:
        row = pl.int_range(pl.len())
        return rows.with_columns(
            pl.when(row % 7 == 3).then(pl.col("price") * 2).otherwise("price").alias("price")
        ).filter(row % 11 != 5)

    lake = changed(folder, tmp_path, "trades", change)
    whole = verify(open_store(folder / "store"), lake=lake).check("vendor_trades")
    assert whole.verdict is Verdict.FAIL
    assert min(whole.details["missing"], whole.details["extra"]) > 0
    for rows in (1, 3, 10):
        monkeypatch.setattr(vendor, "_TRADES_AT_ONCE", rows)
        assert verify(open_store(folder / "store"), lake=lake).check("vendor_trades") == whole


def test_rows_of_book_that_no_state_has(folder: Path, tmp_path: Path) -> None:
    lake = changed(
        folder,
        tmp_path,
        "book",
        lambda rows: rows.with_columns(pl.col("sequence_number") + 10**9),
    )
    check = verify(open_store(folder / "store"), lake=lake).check("vendor_book")
    assert check.verdict is Verdict.NOT_APPLICABLE
    assert check.details["without_state"] == check.details["rows"] > 0


def test_days_that_are_not_there(folder: Path) -> None:
    store = open_store(folder / "store")
    with pytest.raises(UsageError, match="None of the days that could be looked at is from"):
        verify(store, lake=folder / "lake", start="2031-01-01")
    with pytest.raises(UsageError, match="is not a time"):
        verify(store, lake=folder / "lake", end="yesterday")


def test_a_table_as_it_is_stored(folder: Path) -> None:
    store = open_store(folder / "store")
    (dt, *_) = store.days()["dt"]
    groups = list(store.stored_groups("events", dt))
    assert pl.concat(groups).equals(store.stored("events", dt).collect())
    assert sum(rows.height for rows in groups) == store.days()["events"][0] > 0
    with pytest.raises(UsageError, match="no table 'event'"):
        store.stored("event", dt)
    with pytest.raises(UsageError, match="no sealed day 2031-01-01"):
        list(store.stored_groups("events", "2031-01-01"))


def test_days_known_at_snapshots(folder: Path, tmp_path: Path) -> None:
    reconstruct_lake(folder / "lake", tmp_path, ReconstructOptions(strategy="anchored"))
    report = verify(open_store(tmp_path), folder / "golden", lake=folder / "lake")
    assert report.check("level_changes").verdict is Verdict.NOT_APPLICABLE
    assert report.check("snapshots").verdict is Verdict.NOT_APPLICABLE
    assert report.check("trades").verdict is Verdict.EXACT
    assert report.check("vendor_book").verdict is Verdict.EXACT


def test_what_cannot_be_verified_is_refused(folder: Path, tmp_path: Path) -> None:
    store = open_store(folder / "store")
    with pytest.raises(UsageError, match="nothing to verify"):
        verify(store)
    with pytest.raises(UsageError, match="has no `book`"):
        verify(store, lake=tmp_path)
    with pytest.raises(UsageError, match="no day of ETH-USDT, but of BINANCE BTC-USDT"):
        verify(store, lake=folder / "lake", symbol="ETH-USDT")
    bad = changed(folder, tmp_path / "lake", "trades", lambda rows: rows)
    for path in bad.glob("book/**/*.parquet"):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read"):
        verify(store, lake=bad)


def test_a_store_without_a_day_is_told_by_name(folder: Path, tmp_path: Path) -> None:
    """As it is after a day that failed, whatever was asked of it."""
    shutil.copytree(folder / "store", tmp_path / "store")
    for log in (tmp_path / "store" / "days" / "_delta_log").iterdir():
        log.unlink()
    store = open_store(tmp_path / "store")
    golden, lake = folder / "golden", folder / "lake"
    asked: tuple[Callable[[], object], ...] = (
        lambda: verify(store, lake=lake),
        lambda: verify(store, lake=lake, symbol="ETH-USDT"),
        lambda: verify(store, golden),
        lambda: verify(store, golden, lake=lake),
        lambda: pages.report(store, tmp_path / "page.html"),
        lambda: pages.report(store, tmp_path / "page.html", symbol="ETH-USDT"),
        lambda: store.events(),
    )
    for ask in asked:
        with pytest.raises(UsageError) as told:
            ask()
        said = f"The store {tmp_path / 'store'} holds no sealed day. 3 days are not sealed, and"
        assert told.value.message.startswith(said)
        assert "a day that failed" in told.value.hint


def test_days_of_two_kinds_are_refused(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    reconstruct_sample(folder / "golden", store)
    reconstruct_day(lake_days(folder / "lake")[0], store, overwrite=True)
    with pytest.raises(UsageError, match="come from Crypto Lake"):
        verify(open_store(store), folder / "golden")


DAY = "2024-08-08"


@pytest.mark.parametrize(("table", "column"), [("events", "price"), ("states", "ask_3_size")])
def test_a_table_with_nulls_is_unreadable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, table: str, column: str
) -> None:
    """They would be held against nothing; no check may take that for equal."""
    store = open_store(folder / "store")
    window = Window(store, "BINANCE", "BTC-USDT", (DAY,))
    read = window.states if table == "states" else window.events
    (frame,) = list(read())
    none = pl.when(pl.int_range(pl.len()) > 0).then(column).alias(column)
    spoilt = frame.with_columns(none)
    monkeypatch.setattr(type(store), "stored_groups", lambda *_, **__: iter([spoilt]))
    with pytest.raises(StoreError, match=f"{table} of {DAY} has nulls in .* {column}"):
        list(read())


def test_ids_of_trades_as_numbers_are_those_as_text(tmp_path: Path) -> None:
    numbers = [0, 7, -5, None, 10**18 - 1, 10**18, 2**63 - 1, 12]
    frame = pl.DataFrame(
        {
            "side": "buy",
            "amount": 1.0,
            "price": 2.0,
            "id": pl.Series(numbers, dtype=pl.Int64),
            "timestamp": 10**18,
            "receipt_timestamp": 10**18,
        }
    )
    found = []
    for name, kind in (("int", pl.Int64), ("text", pl.String)):
        frame.with_columns(pl.col("id").cast(kind)).write_parquet(tmp_path / name)
        found.append(vendor._trades_of(tmp_path / name)["number"].to_list())
    assert found == [[0, 7, -2, -1, 10**18 - 1, -2, -2, 12]] * 2


@pytest.mark.parametrize("counts", [[0, 7, 10**12], [0, -3, 5]])
def test_decimals_off_the_grid_are_their_whole_steps(counts: list[int]) -> None:
    """The grid is another check's: this one compares what can be."""
    for rest in (0, 10**15):
        texts = [f"{Decimal(count * 10**16 + rest).scaleb(-18):f}" for count in counts]
        stored = pl.DataFrame({"size": pl.Series(texts).cast(pl.Decimal(38, 18))})
        assert vendor._floats(stored, [2]).tolist() == [[count / 100 for count in counts]]
