"""The doctor: each fact holds on a simulated day, and fails on one that was changed against it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from fakes.s3 import Fault, fake_lake
from lobproof.acquire import rows
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.cli import run
from lobproof.pipeline.survey import Survey
from lobproof.sources.cryptolake.layout import ALIASES, LEVEL_COLUMNS, TABLES
from lobproof.sources.simulator import simulate
from support.doctor import (
    DAY,
    Change,
    copy_of,
    facts_of,
    failing,
    file_of,
    simulated_day,
    write,
)

MIDNIGHT = 1_770_768_000_000_000_000
"""At which the simulated day begins."""
SEQUENCE, TIME, RECEIPT = "sequence_number", "timestamp", "receipt_timestamp"
BIDS = [f"bid_{k}_price" for k in range(20)]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_day(tmp_path_factory.mktemp("doctor") / "sim")


def every(share: int) -> pl.Expr:
    """One row in ``share``."""
    return pl.int_range(pl.len()) % share == share // 2


def where(condition: pl.Expr, column: str, value: pl.Expr) -> Change:
    """Other values in some rows of a column."""
    return lambda frame: frame.with_columns(
        pl.when(condition).then(value).otherwise(pl.col(column)).alias(column)
    )


def row_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.Series(SEQUENCE, range(1, len(frame) + 1)))


def message_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(SEQUENCE).rle_id().cast(pl.Int64) + 1)


def off_tick(frame: pl.DataFrame) -> pl.DataFrame:
    return where(every(9000), "price", (pl.col("price") + 0.005).round(3))(frame)


def swapped_messages(frame: pl.DataFrame) -> pl.DataFrame:
    """Two whole messages in each other's place."""
    one, two = frame[SEQUENCE].unique(maintain_order=True)[300:302]
    order = pl.when(pl.col(SEQUENCE) == one).then(two).when(pl.col(SEQUENCE) == two).then(one)
    return frame.sort(order.otherwise(pl.col(SEQUENCE)), maintain_order=True)


def torn_message(frame: pl.DataFrame) -> pl.DataFrame:
    """One row of a message behind the next message."""
    numbers = frame[SEQUENCE].unique(maintain_order=True)
    lengths = frame.group_by(SEQUENCE, maintain_order=True).len()["len"]
    torn = next(k for k in range(100, len(lengths)) if lengths[k] > 3)
    at = int(lengths[:torn].sum())
    behind = int(lengths[: torn + 2].sum())
    assert frame[SEQUENCE][at] == numbers[torn]
    return pl.concat([frame[:at], frame[at + 1 : behind], frame[at : at + 1], frame[behind:]])


def with_snapshot(frame: pl.DataFrame) -> pl.DataFrame:
    """A listing of levels before the first message."""
    listed = frame.filter(pl.col("size") > 0).unique("price", maintain_order=True)[:400]
    first = frame.row(0, named=True)
    return pl.concat(
        [
            listed.with_columns(
                pl.lit(first[SEQUENCE] - 1).alias(SEQUENCE),
                pl.lit(first[TIME]).alias(TIME),
                pl.lit(first[RECEIPT]).alias(RECEIPT),
            ),
            frame,
        ]
    )


def with_late_snapshot(frame: pl.DataFrame) -> pl.DataFrame:
    """A listing of the book in mid-stream, and of levels that were never named."""
    half = len(frame) // 2
    book = frame[:half].group_by("side_is_bid", "price", maintain_order=True).last()
    listed = book.filter(pl.col("size") > 0).select(frame.columns)
    deep = listed.with_columns(pl.col("price") + 5_000.5)[:200]
    last = frame.row(half - 1, named=True)
    ours = pl.concat([listed, deep]).with_columns(
        pl.lit(last[name]).alias(name) for name in (SEQUENCE, TIME, RECEIPT)
    )
    ours = ours.with_columns(pl.lit(last[SEQUENCE] + 1_000_000).alias(SEQUENCE))
    return pl.concat([frame[:half], ours, frame[half:]])


def with_burst(frame: pl.DataFrame) -> pl.DataFrame:
    """In mid-stream 150 orders at once: new sizes, and levels that were not there."""
    half = len(frame) // 2
    book = frame[:half].group_by("side_is_bid", "price", maintain_order=True).last()
    grown = book.filter(pl.col("size") > 0).select(frame.columns)[:120]
    fresh = grown.with_columns(pl.col("price") + 3_000.5)[:30]
    last = frame.row(half - 1, named=True)
    ours = pl.concat([grown, fresh]).with_columns(
        pl.lit(last[SEQUENCE] + 1).alias(SEQUENCE),
        pl.lit(last[TIME]).alias(TIME),
        pl.lit(last[RECEIPT]).alias(RECEIPT),
        pl.col("size") + 1,
    )
    return pl.concat([frame[:half], ours, frame[half:]])


def test_a_burst_of_orders_is_no_snapshot(day: Path, tmp_path: Path) -> None:
    fact = facts_of(copy_of(day, tmp_path, book_delta_v2=with_burst))["no-snapshot"]
    assert fact.figures["long messages that list what is known"] == 0
    assert fact.holds == "holds"


def test_a_listing_in_mid_stream_is_a_snapshot(day: Path, tmp_path: Path) -> None:
    fact = facts_of(copy_of(day, tmp_path, book_delta_v2=with_late_snapshot))["no-snapshot"]
    assert fact.figures["long messages that list what is known"] == 1
    assert fact.holds == "fails"


def aggregated(frame: pl.DataFrame) -> pl.DataFrame:
    """One trade where several followed at one price, side and time."""
    kept = frame.filter(
        pl.struct("price", "side", TIME).ne_missing(pl.struct("price", "side", TIME).shift())
    )
    return kept.with_columns(pl.Series("id", range(1, len(kept) + 1)))


def later_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Each row says what the book became a message later."""
    return frame.with_columns(pl.col(LEVEL_COLUMNS).shift(-1))[:-1]


def earlier_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Each row says what the book was a message before."""
    return frame.with_columns(pl.col(LEVEL_COLUMNS).shift(1))[1:]


def crossed_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """All bids above the asks in one row of twenty."""
    by = pl.col("ask_0_price") - pl.col("bid_0_price") + 1
    return frame.with_columns(
        pl.when(every(20)).then(pl.col(name) + by).otherwise(pl.col(name)).alias(name)
        for name in BIDS
    )


def exchanged_levels(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        pl.col("bid_1_price").alias("bid_0_price"), pl.col("bid_0_price").alias("bid_1_price")
    )


VIOLATIONS: list[tuple[str, str, Change]] = [
    ("columns", "trades", lambda frame: frame.drop("price")),
    ("columns", "book", lambda frame: frame.cast({"bid_3_size": pl.Float32})),
    ("time-grid", "trades", where(pl.col(TIME) > 0, TIME, pl.col(TIME) + 137)),
    ("missing-times", "trades", where(every(10), TIME, pl.lit(0))),
    ("missing-times", "book", where(every(10), TIME, pl.lit(-1))),
    ("missing-times", "book_delta_v2", where(pl.col(SEQUENCE) % 10 == 0, TIME, pl.lit(None))),
    ("missing-times", "trades", where(every(10), RECEIPT, pl.lit(0))),
    ("missing-times", "trades", where(every(10), RECEIPT, pl.col(RECEIPT) * 1000 // 999)),
    ("time-order", "trades", where(every(9), RECEIPT, pl.col(RECEIPT) - 10_000_000_000)),
    ("time-order", "book", where(every(9), TIME, pl.col(TIME) - 10_000_000_000)),
    ("day-cut", "trades", where(pl.int_range(pl.len()) < 1, TIME, pl.lit(MIDNIGHT - 5_000_000))),
    ("sequence-per-message", "book_delta_v2", row_numbers),
    ("sequence-is-update-id", "book_delta_v2", message_numbers),
    ("sequence-order", "book_delta_v2", swapped_messages),
    ("message-adjacent", "book_delta_v2", torn_message),
    ("message-one-time", "book_delta_v2", where(every(9), RECEIPT, pl.col(RECEIPT) + 1000)),
    ("no-snapshot", "book_delta_v2", with_snapshot),
    ("decimal-grid", "trades", where(every(50), "amount", pl.col("amount") / 3)),
    ("decimal-grid", "book_delta_v2", where(every(5000), "price", pl.lit(float("nan")))),
    ("decimal-grid", "book_delta_v2", where(every(5000), "size", pl.lit(-1.0))),
    ("price-tick", "book_delta_v2", off_tick),
    ("size-lot", "trades", where(every(10), "amount", (pl.col("amount") + 1e-7).round(7))),
    ("book-levels", "book", exchanged_levels),
    ("book-levels", "book", where(every(9), "ask_0_price", pl.lit(None))),
    ("book-crossed", "book", crossed_rows),
    ("book-sequence-order", "book", lambda frame: frame.reverse()),
    ("book-sequence", "book", where(every(9), SEQUENCE, pl.col(SEQUENCE) + 1)),
    ("book-state", "book", where(every(20), "bid_4_size", pl.col("bid_4_size") + 1)),
    ("book-state", "book", later_rows),
    ("book-state", "book_delta_v2", lambda frame: frame.filter(~every(20))),
    ("seeded-book", "book_delta_v2", lambda frame: frame.filter(pl.col("size") > 0)),
    ("trade-ids", "trades", where(every(9), "id", pl.col("id") - 1)),
    ("trade-ids", "trades", lambda frame: frame.filter(~every(9))),
    ("trades-not-aggregated", "trades", aggregated),
    ("trades-near-touch", "trades", where(every(9), "price", (pl.col("price") * 1.01).round(2))),
    (
        "side-is-taker",
        "trades",
        lambda frame: frame.with_columns(pl.col("side").replace({"buy": "sell", "sell": "buy"})),
    ),
]

ALONE = {
    "time-grid", "missing-times", "time-order", "day-cut",
    "no-snapshot", "price-tick", "size-lot", "trades-not-aggregated",
    "trades-near-touch", "side-is-taker", "trade-ids", "columns",
}  # fmt: skip
"""Facts whose violation above contradicts nothing else."""


def test_every_fact_holds_on_a_day_as_the_vendor_is_said_to_make_them(day: Path) -> None:
    facts = facts_of(day)
    assert {name: str(fact.holds) for name, fact in facts.items()} == dict.fromkeys(facts, "holds")
    assert {name for name, _, _ in VIOLATIONS} | {"row-groups"} == set(facts)
    assert facts["book-state"].figures["equal to the book after its message"] == 1.0
    assert facts["price-tick"].figures["tick"] == "0.01"
    assert facts["size-lot"].figures["lot"] == "0.00001"
    deltas = pl.read_parquet(file_of(day, "book_delta_v2"), hive_partitioning=False)
    sequence = deltas[SEQUENCE]
    assert facts["sequence-per-message"].rows == len(deltas)
    assert facts["sequence-per-message"].figures["messages"] == sequence.n_unique()
    assert facts["sequence-per-message"].figures["rows that repeat it"] == pytest.approx(
        (len(deltas) - sequence.n_unique()) / (len(deltas) - 1)
    )
    missing = deltas.filter(pl.col(TIME) == 0)
    assert facts["missing-times"].figures["book_delta_v2: 0"] == len(missing)


@pytest.mark.parametrize(
    ("name", "table", "change"),
    VIOLATIONS,
    ids=[f"{name}-{table}-{k}" for k, (name, table, _) in enumerate(VIOLATIONS)],
)
def test_a_day_that_contradicts_a_fact_fails_it(
    day: Path, tmp_path: Path, name: str, table: str, change: Change
) -> None:
    facts = facts_of(copy_of(day, tmp_path, **{table: change}))
    assert name in failing(facts)
    if name in ALONE:
        assert failing(facts) == {name}


def test_small_row_groups_fail_their_fact(day: Path, tmp_path: Path) -> None:
    lake = copy_of(day, tmp_path)
    path = file_of(lake, "book_delta_v2")
    write(pq.read_table(path), path, rows=1000)
    facts = facts_of(lake)
    assert failing(facts) == {"row-groups"}
    assert facts["row-groups"].figures["rows, median"] == 1000


@pytest.mark.parametrize(
    ("change", "after"),
    [(earlier_rows, "the message before"), (later_rows, "the message after")],
)
def test_rows_of_another_message_are_recognised(
    day: Path, tmp_path: Path, change: Change, after: str
) -> None:
    fact = facts_of(copy_of(day, tmp_path, book=change))["book-state"]
    assert fact.figures[f"equal to the book after {after}"] == 1.0
    assert fact.holds == "fails"
    assert float(fact.figures["equal to the book after its message"]) < 0.1


def test_rows_between_messages_are_the_book_after_the_last_one(day: Path, tmp_path: Path) -> None:
    between = where(pl.lit(True), SEQUENCE, pl.col(SEQUENCE) + 1)
    facts = facts_of(copy_of(day, tmp_path, book=between))
    assert facts["book-state"].holds == "holds"
    assert facts["book-sequence"].figures["rows with the number of a message"] == 0
    assert failing(facts) == {"book-sequence"}


def test_numbers_that_begin_anew_are_followed(day: Path, tmp_path: Path) -> None:
    half = pl.col(SEQUENCE) > pl.col(SEQUENCE).max() - 20_000
    anew = where(half, SEQUENCE, pl.col(SEQUENCE) - 40_000_000_000)
    facts = facts_of(copy_of(day, tmp_path, book=anew, book_delta_v2=anew))
    whole = facts_of(day)
    assert failing(facts) == {"sequence-order", "book-sequence-order"}
    assert facts["book-state"].rows == whole["book-state"].rows
    assert facts["book-sequence"] == whole["book-sequence"]


def test_rows_beyond_the_deltas_are_held_against_the_last_book(day: Path, tmp_path: Path) -> None:
    def first_half(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col(SEQUENCE) <= pl.col(SEQUENCE).median())

    facts = facts_of(copy_of(day, tmp_path, book_delta_v2=first_half))
    between = int(facts["book-sequence"].figures["rows between two messages"])
    assert 200 < between < facts["book-sequence"].rows == facts_of(day)["book-sequence"].rows
    assert {"book-sequence", "book-state"} <= failing(facts)


def test_a_missing_message_is_seen_once_and_the_book_seeded_anew(day: Path, tmp_path: Path) -> None:
    def without_some(frame: pl.DataFrame) -> pl.DataFrame:
        lost = frame[SEQUENCE].unique(maintain_order=True)[200:205]
        return frame.filter(~pl.col(SEQUENCE).is_in(lost.to_list()))

    facts = facts_of(copy_of(day, tmp_path, book_delta_v2=without_some))
    assert facts["book-sequence"].figures["rows between two messages"] == 5
    contradicting = int(facts["book-state"].figures["rows that contradict it"])
    assert 1 <= contradicting <= 5


def test_other_names_and_types_say_the_same(day: Path, tmp_path: Path) -> None:
    def renamed(table: str) -> Change:
        times = [pl.col(name).cast(pl.Datetime("ns")) for name in (TIME, RECEIPT)]
        return lambda frame: frame.with_columns(times).rename(dict(ALIASES[table]))

    text = copy_of(day, tmp_path / "text", trades=lambda f: f.cast({"side": pl.Categorical}))
    lake = copy_of(text, tmp_path / "lake", **{table: renamed(table) for table in TABLES})
    ours, theirs = facts_of(day), facts_of(lake)
    assert "lakeapi names, times timestamp[ns]" in str(theirs["columns"].figures["trades"])
    for name in set(ours) - {"columns"}:
        assert ours[name] == theirs[name]


@pytest.mark.parametrize(("deltas", "book"), [(700, 13), (40_000, 100_000)])
def test_facts_are_the_same_whatever_the_batches(
    day: Path, monkeypatch: pytest.MonkeyPatch, deltas: int, book: int
) -> None:
    whole = facts_of(day)
    monkeypatch.setattr(rows, "BATCH_ROWS", deltas)
    monkeypatch.setattr(rows, "BOOK_ROWS", book)
    assert facts_of(day) == whole


def test_a_table_that_is_missing_leaves_its_facts_undecided(day: Path, tmp_path: Path) -> None:
    lake = copy_of(day, tmp_path)
    file_of(lake, "book").unlink()
    facts = facts_of(lake)
    assert facts["columns"].figures["book"] == "missing"
    undecided = {name for name, fact in facts.items() if fact.holds == "undecided"}
    assert undecided == {
        "columns", "book-levels", "book-crossed", "book-sequence-order", "book-sequence",
        "book-state", "seeded-book", "trades-near-touch", "side-is-taker",
    }  # fmt: skip
    assert not failing(facts)


def test_a_few_rows_decide_next_to_nothing(day: Path, tmp_path: Path) -> None:
    def head(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.head(15)

    facts = facts_of(copy_of(day, tmp_path, **dict.fromkeys(TABLES, head)))
    assert {name for name, fact in facts.items() if fact.holds != "undecided"} == {"columns"}


# the command -------------------------------------------------------------------------------------


def doctor(*arguments: str) -> int:
    limits = ("--limit", "missing_time=1", "--limit", "skew_p95_ms=10000")  # a minute, stalled
    return run(["doctor", *arguments, *limits])


def test_the_command_gives_a_verdict_and_counts_the_facts(
    day: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(str(day), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["exchange"], document["symbol"], document["date"]) == (
        "BINANCE",
        "SIM-USDT",
        DAY,
    )
    assert (document["verdict"], document["strategy"]) == ("GO", "full")
    assert document["provenance"] == "synthetic"
    assert {fact["holds"] for fact in document["facts"]} == {"holds"}
    assert all(fact["claim"].endswith(".") for fact in document["facts"])
    assert doctor(str(day)) == 0
    screen = capsys.readouterr().out
    assert "GO: reconstruct it in full, from its deltas" in screen
    assert "25 hold, 0 fail, 0 undecided" in screen
    assert len(screen.splitlines()) < 12
    assert "book-state" not in screen, "facts that hold are counted"
    assert "DEMO: synthetic data" in screen
    assert document["lag"] is None
    assert "clock lags" not in screen


def test_files_that_say_nothing_are_of_unknown_origin(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = copy_of(day, tmp_path / "lake")
    for table in TABLES:
        path = file_of(lake, table)
        pq.write_table(
            pq.read_table(path).replace_schema_metadata(None), path, row_group_size=10_000
        )
    doctor(str(lake), "--json")
    assert json.loads(capsys.readouterr().out)["provenance"] == "unknown"


def test_futures_are_told_the_lag_that_reconstruct_will_find(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = simulate(tmp_path / "sim", preset="perp", minutes=0.5, recording=False, lake=True)
    doctor(str(made.lake), "--json")
    document = json.loads(capsys.readouterr().out)
    files = {table: tuple(Path(made.lake or "").rglob(f"{table}/**/*.parquet")) for table in TABLES}
    lag = Survey.made(files, "BINANCE_FUTURES", "SIM-USDT-PERP").lag
    assert lag is not None
    assert document["lag"] == asdict(lag)
    assert document["lag"]["trades"] > 0
    doctor(str(made.lake))
    assert "explained" in capsys.readouterr().out.splitlines()[-1]


def test_the_exit_code_is_that_of_the_verdict(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = copy_of(day, tmp_path / "partial")
    file_of(partial, "trades").unlink()
    assert doctor(str(partial), "--json") == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "undecided"
    path = file_of(partial, "book")
    path.write_bytes(path.read_bytes()[:5000])
    assert doctor(str(partial), "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "NO-GO"
    assert "cannot be read as a Parquet file" in document["reasons"][0]
    (columns,) = [fact for fact in document["facts"] if fact["name"] == "columns"]
    assert "cannot be read as Parquet" in columns["figures"]["book"]


def test_facts_that_fail_are_shown_below_the_verdict(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (change,) = [change for name, _, change in VIOLATIONS if name == "side-is-taker"]
    assert doctor(str(copy_of(day, tmp_path, trades=change))) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("UNDECIDED: look at the reasons")
    assert lines[3].startswith(" · side-is-taker does not hold")
    assert sum("side-is-taker does not hold" in line for line in lines) == 1, "told once"
    assert "24 hold, 1 fail, 0 undecided" in lines[-1]


def test_a_day_must_be_named_where_there_are_several(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = copy_of(day, tmp_path)
    for table in TABLES:
        path = file_of(lake, table)
        other = path.parent.with_name("dt=2026-02-12")
        other.mkdir()
        (other / path.name).write_bytes(path.read_bytes())
    assert doctor(str(lake)) == 3
    assert "--date" in capsys.readouterr().err
    assert doctor(str(lake), "--date", DAY, "--symbol", "SIM-USDT", "--json") == 0
    assert json.loads(capsys.readouterr().out)["date"] == DAY
    assert doctor(str(lake), "--date", "2026-02-12", "--json") == 1
    found = {f["name"]: f["holds"] for f in json.loads(capsys.readouterr().out)["facts"]}
    assert found["day-cut"] == "fails"  # everything in it was sent the day before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["FOLDER", "--sample"],
        ["FOLDER", "--endpoint", "http://localhost:1"],
        ["FOLDER", "--date", "tomorrow"],
        ["FOLDER", "--symbol", "XRP-USDT"],
        ["no-such-folder"],
    ],
)
def test_requests_that_make_no_sense_are_refused(
    day: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert doctor(*[str(day) if text == "FOLDER" else text for text in arguments]) == 3
    assert "Hint:" in capsys.readouterr().err


def test_the_sample_is_the_smallest_whole_day_of_the_bucket(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def renamed(lake: Path, symbol: str, tables: tuple[str, ...]) -> None:
        for table in tables:
            path = file_of(lake, table)
            path.parent.parent.rename(path.parent.parent.with_name(f"symbol={symbol}"))

    def short(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.head(len(frame) // 2)

    whole = copy_of(day, tmp_path / "whole")
    half = copy_of(day, tmp_path / "half", book=short)
    tiny = copy_of(day, tmp_path / "tiny", **dict.fromkeys(TABLES, lambda frame: frame.head(9)))
    file_of(tiny, "trades").unlink()  # the smallest by far, but not whole
    renamed(half, "HALF-USDT", TABLES)
    renamed(tiny, "TINY-USDT", TABLES[1:])
    with fake_lake("sample.crypto.lake", "") as bucket:
        for lake in (whole, half, tiny):
            bucket.put_folder(lake)
        kept = tmp_path / "kept"
        # other tests may have left other days on moto's one server of this process
        arguments = ["--sample", "--endpoint", bucket.url, "--date", DAY, "--json"]
        assert doctor(*arguments, "--out", str(kept)) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["symbol"] == "HALF-USDT"
        folder = LakeFolder(kept)
        assert [key.table for key in folder.keys(Zone.RAW)] == sorted(TABLES)
        assert doctor(*arguments, "--symbol", "SIM-USDT") == 0
        assert json.loads(capsys.readouterr().out)["symbol"] == "SIM-USDT"
        assert doctor(*arguments, "--symbol", "TINY-USDT") == 3
        assert "has no such day with all of trades" in capsys.readouterr().err
        bucket.proxy.faults.append(Fault("status", status=403))
        assert doctor(*arguments) == 3
        refused = capsys.readouterr()
        assert refused.out == ""
        assert "403 AccessDenied" in refused.err
