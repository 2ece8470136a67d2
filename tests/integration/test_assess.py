"""`lobproof assess`: damaged days get the right verdict for the right reason; reports are whole."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lobproof.assess.day import assess_lake, assess_sample, reference
from lobproof.assess.page import write_report
from lobproof.assess.result import Assessment
from lobproof.assess.thresholds import Thresholds
from lobproof.cli import run
from lobproof.pipeline import ReconstructOptions, lake_days, reconstruct_day
from lobproof.schema.provenance import made_of
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS, TABLES
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate
from support.commands import command
from support.doctor import DAY, Change, copy_of, file_of, simulated_day

SEQUENCE, TIME = "sequence_number", "timestamp"
MESSAGE = pl.col(SEQUENCE).rle_id()
PART = Thresholds(missing_time=1.0, skew_p95_ms=10_000.0)
"""For the last minute of a day, and a recorder that stalls."""
LIMIT = ["--limit", "missing_time=1", "--limit", "skew_p95_ms=10000"]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_day(tmp_path_factory.mktemp("assess") / "sim")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> GoldenSample:
    folder = tmp_path_factory.mktemp("assess-golden")
    made = simulate(folder / "sim", preset="btc", minutes=0.5, seed=3)
    return import_recordings(made.recordings, folder / "golden")


def assessed(lake: Path) -> Assessment:
    (found,) = lake_days(lake, zone=None)
    return assess_lake(found, limits=PART)


def every(share: int) -> pl.Expr:
    return pl.int_range(pl.len()) % share == share // 2


def lossy(share: float) -> Change:
    """Without some rows, at random."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        kept = np.random.default_rng(1).random(len(frame)) > share
        return frame.filter(pl.Series(kept))

    return change


def stamped(share: int, value: int | None) -> Change:
    return lambda frame: frame.with_columns(
        pl.when(every(share)).then(pl.lit(value, pl.Int64)).otherwise(pl.col(TIME)).alias(TIME)
    )


def frozen(frame: pl.DataFrame) -> pl.DataFrame:
    """The book stands still from its first quarter on."""
    row = pl.min_horizontal(pl.int_range(pl.len()), pl.lit(len(frame) // 4))
    return frame.with_columns(pl.col(name).gather(row) for name in LEVEL_COLUMNS)


def swapped(frame: pl.DataFrame) -> pl.DataFrame:
    """Each second message before the one that it follows."""
    return frame.sort(MESSAGE // 2 * 2 + 1 - MESSAGE % 2, maintain_order=True)


def upside_down(frame: pl.DataFrame) -> pl.DataFrame:
    """Bids and asks exchanged in one row of ten: no book."""
    sides = [LEVEL_COLUMNS[:40], LEVEL_COLUMNS[40:]]
    return frame.with_columns(
        pl.when(every(10)).then(pl.col(there)).otherwise(pl.col(here)).alias(here)
        for one, other in (sides, sides[::-1])
        for here, there in zip(one, other, strict=True)
    )


def other_side(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("side").replace({"buy": "sell", "sell": "buy"}))


def without(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.head(0)


DAMAGES: dict[str, tuple[dict[str, Change], str, str | None, str, str]] = {
    # what is done, verdict, strategy, the reason, and the reason against `full`
    "nothing": ({}, "GO", "full", "none contradicts the book", ""),
    "rows lost": (
        {"book_delta_v2": lossy(0.1)},
        "NO-GO",
        "anchored",
        r"in doubt \d+% of the time: snapshots contradict it",
        r"NO-GO for full: the gap ratio is \d\d\.\d+%",
    ),
    "a silence": (
        {"book_delta_v2": lambda frame: frame.filter(~MESSAGE.is_between(300, 400))},
        "undecided",
        "anchored",
        r"in doubt \d+% of the time: .*silences \(1\)",
        r"NO-GO for full: .*1 silences",
    ),
    "half of the deltas": (
        {"book_delta_v2": lambda frame: frame.head(len(frame) // 2)},
        "NO-GO",
        "anchored",
        r"in doubt \d+% of the time: silences",
        "NO-GO for full: the gap ratio",
    ),
    "messages exchanged": (
        {"book_delta_v2": swapped},
        "NO-GO",
        "anchored",
        "numbers go back",
        r"NO-GO for full: .*\d+ backward",
    ),
    "a book that is none": (
        {"book": upside_down, "book_delta_v2": lossy(0.1)},
        "NO-GO",
        "time-sorted",
        "in doubt",
        r"NO-GO for anchored: \d+\.\d% of the rows of `book` are no book",
    ),
    "a frozen book": (
        {"book": frozen},
        "NO-GO",
        "full",
        r"in doubt \d+% of the time: .*the vendor's `book` stands still",
        "",
    ),
    "times of 0": (
        {"trades": stamped(10, 0)},
        "NO-GO",
        "full",
        r"[19]\d?(\.\d+)?% of the rows of trades have no valid exchange time",
        "",
    ),
    "times of none": (
        {"book_delta_v2": stamped(15, None)},
        "NO-GO",
        "full",
        r"6\.\d+% of the rows of book_delta_v2 have no valid exchange time",
        "",
    ),
    "few times of -1": ({"trades": stamped(50, -1)}, "GO", "full", "none contradicts", ""),
    "the maker's side": (
        {"trades": other_side},
        "undecided",
        "full",
        "side-is-taker does not hold",
        "",
    ),
    "numbers of rows": (
        {"book_delta_v2": lambda f: f.with_columns(pl.Series(SEQUENCE, range(1, len(f) + 1)))},
        "NO-GO",
        "full",
        "in doubt",
        "",
    ),
    "no deltas": (
        {"book_delta_v2": without},
        "NO-GO",
        "anchored",
        r"in doubt 100% of the time: silences",
        "NO-GO for full: there is no depth message",
    ),
    "no trades": ({"trades": without}, "undecided", "full", "there are no trades", ""),
    "a column gone": (
        {"trades": lambda frame: frame.drop("price")},
        "NO-GO",
        None,
        "trades has no column price",
        "",
    ),
    "values on no grid": (
        {"trades": lambda f: f.with_columns(pl.col("price") / 3)},
        "NO-GO",
        None,
        "no decimal grid holds",
        "",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_day_gets_its_verdict_for_the_right_reason(
    day: Path, tmp_path: Path, damage: str
) -> None:
    changes, verdict, strategy, why, over = DAMAGES[damage]
    found = assessed(copy_of(day, tmp_path, **changes))
    judged = found.judged
    assert (judged.verdict, judged.strategy) == (verdict, strategy), judged
    assert any(re.search(why, text) for text in judged.why), judged
    assert any(re.search(over, text) for text in judged.passed_over) or not over, judged
    assert bool(judged.passed_over) == bool(over)


@pytest.mark.parametrize(
    ("gone", "verdict", "strategy", "why"),
    [
        (("book_delta_v2",), "GO", "anchored", "no valid exchange time"),
        (("book",), "NO-GO", "time-sorted", "no snapshot seeds the book"),
        (("trades",), "undecided", "full", "there are no trades"),
        (("book", "trades"), "NO-GO", None, "there is no book and no trades"),
    ],
)
def test_tables_that_are_not_there(
    day: Path, tmp_path: Path, gone: tuple[str, ...], verdict: str, strategy: str | None, why: str
) -> None:
    lake = copy_of(day, tmp_path)
    for table in gone:
        file_of(lake, table).unlink()
    found = assessed(lake)
    assert (found.judged.verdict, found.judged.strategy) == (verdict, strategy)
    assert any(why in text for text in found.judged.why)
    assert {one.table for one in found.times} == set(TABLES) - set(gone)


@pytest.mark.parametrize("damage", ["nothing", "rows lost", "a book that is none"])
def test_the_replay_is_that_of_a_reconstruction(day: Path, tmp_path: Path, damage: str) -> None:
    """Strategy, reasons, counts and findings are those of the seal."""
    lake = copy_of(day, tmp_path / "lake", **DAMAGES[damage][0])
    found = assessed(lake)
    (one,) = lake_days(lake)
    (made,) = reconstruct_day(one, tmp_path / "store", ReconstructOptions()).days
    assert (found.judged.strategy, found.judged.passed_over) == (made.strategy, made.reasons)
    assert found.counts == made.counts


def test_the_same_day_gives_the_same_document(day: Path) -> None:
    assert assessed(day).to_dict() == assessed(day).to_dict()


def test_a_recorder_whose_clock_is_behind(day: Path, tmp_path: Path) -> None:
    def late(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col("receipt_timestamp") - 850_000_000)

    clock = assessed(copy_of(day, tmp_path, **dict.fromkeys(TABLES, late))).clock
    assert clock.wrong
    assert re.match(
        r"The recorder's clock is 84\d ms behind the exchange's: receive times are before "
        r"exchange times",
        clock.says,
    )


# golden samples ----------------------------------------------------------------------------------


def test_a_golden_sample(golden: GoldenSample) -> None:
    found = assess_sample(golden)
    assert (found.judged.verdict, found.judged.strategy) == ("GO", "full")
    counts = golden.document["counts"]
    assert found.messages is not None
    assert found.prints is not None
    assert found.messages.messages == counts["depth"]
    assert found.prints.trades == counts["trade"]
    assert {one.table: one.total.rows for one in found.times} == {
        "depth": counts["depth"],
        "trades": counts["trade"],
    }
    assert found.messages.missing_ids == 0


def test_a_golden_sample_that_lost_messages(tmp_path: Path) -> None:
    made = simulate(tmp_path / "sim", preset="btc", minutes=0.5, seed=3)
    whole = b"".join(gzip.decompress(path.read_bytes()) for path in made.recordings)
    lines = whole.splitlines(keepends=True)
    depth = [at for at, line in enumerate(lines) if b"@depth" in line]
    lost = set(depth[60:63])
    ids = [json.loads(lines[at].split(b" ", 1)[1])["data"] for at in sorted(lost)]
    path = tmp_path / "lossy.gz"
    path.write_bytes(gzip.compress(b"".join(x for at, x in enumerate(lines) if at not in lost)))
    found = assess_sample(import_recordings([path], tmp_path / "golden"))
    assert found.messages is not None
    assert found.messages.missing_ids == ids[-1]["u"] - ids[0]["U"] + 1
    spanned = found.messages.spanned_ids
    assert spanned is not None
    assert found.judged.gap_ratio == (ids[-1]["u"] - ids[0]["U"] + 1) / spanned
    assert found.judged.verdict == "NO-GO"
    assert "the gap ratio (missing ids ÷ ids spanned) is" in found.judged.why[0]


def test_damaged_journals_are_a_no_go(golden: GoldenSample, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(golden.path, copy)
    journal = GoldenSample.load(copy).journals[0]
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 255
    journal.write_bytes(data)
    found = assess_sample(copy)
    assert (found.judged.verdict, found.judged.strategy) == ("NO-GO", None)
    assert "SHA-256" in found.judged.why[0]


def test_format_beside_a_golden_sample(day: Path, golden: GoldenSample) -> None:
    (one,) = lake_days(day)
    found = assess_lake(one, against=reference(golden), limits=PART)
    differing = {entry.field for entry in found.against if not entry.same}
    assert {"chain of ids", "snapshots", "columns", "book ids"} <= differing
    assert {entry.field: entry.same for entry in found.against}["decimals of prices"]
    same = assess_sample(golden, against=reference(golden))
    assert all(entry.same for entry in same.against)


# the command and its report ----------------------------------------------------------------------


def test_the_report_is_whole_and_needs_nothing_else(
    day: Path, golden: GoldenSample, tmp_path: Path
) -> None:
    (one,) = lake_days(day)
    found = [assess_lake(one, against=reference(golden), limits=PART), assess_sample(golden)]
    first = write_report(found, tmp_path / "report")
    again = write_report(found, tmp_path / "again")
    assert [path.suffix for path in first] == [".html", ".md", ".json"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    page, text, document = (path.read_text() for path in first)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert not re.search(r"<script|(src|href)=\"(?!data:|#)", page)
    assert page.count("<h1>") == 2
    assert "<code>book</code>" in page
    assert not re.search("`|&lt;code", page)
    assert page.count("data:image/svg+xml;base64,") >= 6
    for name in (found[0].name, made_of("synthetic"), "none contradicts the book"):
        assert name in text
    told = json.loads(document)
    assert told["verdict"] == "GO"
    assert [entry["source"] for entry in told["assessed"]] == ["crypto-lake", "golden"]
    assert len(told["assessed"][0]["facts"]) == 25
    assert told["assessed"][0]["against"]["golden"] == str(golden.path)


@pytest.mark.parametrize("suffix", [".html", ".md", ".json"])
def test_a_suffix_asks_for_one_file(golden: GoldenSample, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"one{suffix}"
    said = command("assess", golden.path, "--out", out)
    assert said.code == 0
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_screen_fits_and_codes_follow_the_worst_day(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = copy_of(day, tmp_path)
    for table in TABLES:
        other = file_of(lake, table).parent.parent.with_name("symbol=ODD-USDT") / f"dt={DAY}"
        other.mkdir(parents=True)
        (other / "1.snappy.parquet").write_bytes(file_of(day, table).read_bytes())
    assert run(["assess", str(lake), *LIMIT]) == 0
    assert "2 days: 2 GO" in capsys.readouterr().out
    next(lake.glob("trades/*/symbol=ODD-USDT/*/*")).unlink()
    assert run(["assess", str(lake), *LIMIT]) == 2
    screen = capsys.readouterr().out
    assert "2 days: 1 GO, 1 undecided" in screen
    assert max(len(line) for line in screen.splitlines() if "Report" not in line) <= 80
    next(lake.glob("book/*/symbol=ODD-USDT/*/*")).unlink()
    assert run(["assess", str(lake), "--json", *LIMIT]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "NO-GO"
    assert run(["assess", str(lake), "--symbol", "SIM-USDT", "--date", DAY, *LIMIT]) == 0


def wrong(day: Path, golden: Path, tmp: Path) -> list[list[str]]:
    return [
        ["no-such"],
        [str(day), "--out", str(tmp / "report.pdf")],
        [str(day), "--against", str(day)],
        [str(day), "--symbol", "XRP-USDT"],
        [str(day), "--date", "tomorrow"],
        [str(day), "--date", DAY, "--start", DAY],
        [str(golden), "--symbol", "XRP-USDT"],
        [str(golden), "--quick"],
        [str(golden), "--limit", "gap=1"],
        [str(golden), "--limit", "memory_gb=1"],
    ]


@pytest.mark.parametrize("which", range(10))
def test_what_makes_no_sense_is_refused(
    day: Path,
    golden: GoldenSample,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    which: int,
) -> None:
    assert run(["assess", *wrong(day, golden.path, tmp_path)[which]]) == 3
    assert "Hint:" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_progress_is_told(day: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def tell(what: str, done: int, of: int) -> None:
        told.append((what, done, of))

    (one,) = lake_days(day)
    assess_lake(one, progress=tell)
    assert {"replaying", "reading trades"} <= {what for what, _, _ in told}


@pytest.mark.slow
def test_the_machine_counts_where_it_is_measured(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Quickly: nothing is decided, and the table says so."""
    arguments = ["assess", str(day), "--feasibility", str(tmp_path / "store"), "--quick"]
    assert run([*arguments, "--out", str(tmp_path / "report")]) in (1, 2)
    assert "On this machine, full:" in capsys.readouterr().out
    told = json.loads((tmp_path / "report" / "assessment.json").read_text())
    assert told["machine"]["feasibility"]["quick"]
    full = [row for row in told["machine"]["criteria"] if row["strategy"] == "full"]
    assert {row["criterion"]: row["verdict"] for row in full}["gap ratio"] == "GO"
    page = (tmp_path / "report" / "assessment.html").read_text()
    assert "What this machine can make of it" in page
    assert "it decides nothing" in page
    assert "## GO or NO-GO on this machine" in (tmp_path / "report" / "assessment.md").read_text()
