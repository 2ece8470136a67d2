"""`validate` on folders: zones, audits, the manifest, files of one day together, the command."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lobproof.acquire.audits import audit_path, read_audit, rows_path
from lobproof.acquire.judging import ValidationResult, audit_files, validate
from lobproof.acquire.manifest import Manifest, reconcile
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.cli.acquire.folder import Held
from lobproof.cli.acquire.validate import validate as command
from lobproof.errors import UsageError
from lobproof.instruments import Instrument
from lobproof.sources.simulator import simulate
from support import lake_files as tables
from support.acquired import key, put, put_lake
from support.kills import start
from support.lake_files import START, Columns

TRADES, BOOK, DELTAS = key("trades"), key("book"), key("book_delta_v2")


@pytest.fixture
def folder(tmp_path: Path) -> LakeFolder:
    return LakeFolder(tmp_path / "lake", create=True)


def file_bytes(tmp_path: Path, table: str, columns: Columns, **options: Any) -> bytes:
    return tables.write(tmp_path / "made.parquet", table, columns, **options).read_bytes()


def put_day(folder: LakeFolder, tmp_path: Path, **spoilt: Columns) -> None:
    """The three tables of a day, some of them other than they should be."""
    for table, make in tables.MAKERS.items():
        put(folder, key(table), file_bytes(tmp_path, table, spoilt.get(table) or make()))


def verdicts(result: ValidationResult) -> dict[str, str]:
    return {judged.key.table: judged.verdict for judged in result.files}


def events(folder: LakeFolder) -> list[tuple[str, str]]:
    return [(r["event"], r["key"].split("/")[0]) for r in Manifest(folder).records()]


def test_a_good_day_is_validated_and_its_bytes_stay(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path)
    before = {k: folder.path(Zone.RAW, k).read_bytes() for k in folder.keys(Zone.RAW)}
    seen: list[tuple[str, int, int]] = []
    result = validate(folder, progress=lambda *told: seen.append(told))
    # the deltas made by hand come every 80 s, which leaves every fourth minute out
    assert [set(judged.reasons) for judged in result.files] == [set(), {"missing-minutes"}, set()]
    assert verdicts(result) == dict.fromkeys(tables.MAKERS, "good")
    assert not result.failed
    assert folder.keys(Zone.RAW) == []
    assert {k: folder.path(Zone.VALIDATED, k).read_bytes() for k in before} == before
    assert {name for name, _, _ in seen} == {k.path for k in before}
    assert [done for name, done, _ in seen if name == TRADES.path][-1] == len(before[TRADES])
    for k, entry in Manifest(folder).entries().items():
        data = audit_path(folder, k).read_bytes()
        assert entry.zone is Zone.VALIDATED
        assert entry.judged is not None
        assert entry.judged["audit_sha256"] == hashlib.sha256(data).hexdigest()
        assert entry.judged["verdict"] == "good"
        assert audit_path(folder, k).stat().st_mode & 0o077 == 0
        assert not rows_path(folder, k).exists()


def test_a_refused_file_goes_to_quarantine_with_its_reasons(
    folder: LakeFolder, tmp_path: Path
) -> None:
    prices = -tables.trades()["price"]
    put_day(folder, tmp_path, trades={**tables.trades(), "price": prices})
    result = validate(folder)
    assert verdicts(result)["trades"] == "refused"
    assert result.failed
    assert folder.where(TRADES) is Zone.QUARANTINE
    reasons = json.loads(folder.reasons_path(TRADES).read_bytes())["reasons"]
    assert reasons["bad-price"]["count"] == tables.ROWS
    assert reasons["bad-price"]["first_rows"] == list(range(20))
    bad = pq.read_table(rows_path(folder, TRADES))
    assert set(bad["reason"].to_pylist()) == {"bad-price"}
    assert bad["row"].to_pylist() == list(range(tables.ROWS))
    assert bad.schema.metadata == {b"provenance": b"synthetic"}
    digest = hashlib.sha256(rows_path(folder, TRADES).read_bytes()).hexdigest()
    assert read_audit(audit_path(folder, TRADES))["rows_sha256"] == digest
    # what cannot be relied on covers nothing
    assert read_audit(audit_path(folder, BOOK))["reasons"]["table-missing"]["detail"] == (
        "no trades of that day"
    )


def test_what_is_not_what_was_fetched_is_refused_unread(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path)
    path = folder.path(Zone.RAW, BOOK)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    result = validate(folder)
    assert verdicts(result)["book"] == "refused"
    assert set(read_audit(audit_path(folder, BOOK))["reasons"]) == {"hash-differs"}


def test_nothing_is_read_twice_unless_asked_for(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path, book={**tables.book(), "bid_0_price": -tables.book()["bid_0_price"]})
    first = validate(folder)
    told = Manifest(folder).hashes()[-1]
    second = validate(folder)
    assert Manifest(folder).hashes()[-1] == told
    assert not any(judged.anew for judged in second.files)
    assert [j.reasons for j in second.files] == [j.reasons for j in first.files]
    third = validate(folder, again=True)
    assert all(judged.anew for judged in third.files)
    assert [j.reasons for j in third.files] == [j.reasons for j in first.files]
    assert folder.where(BOOK) is Zone.QUARANTINE


def test_an_audit_follows_what_comes_to_its_day_later(folder: LakeFolder, tmp_path: Path) -> None:
    put(folder, TRADES, file_bytes(tmp_path, "trades", tables.trades()))
    result = validate(folder)
    assert result.files[0].reasons["table-missing"]["count"] == 2
    assert result.files[0].verdict == "doubtful"
    for table in ("book", "book_delta_v2"):
        put(folder, key(table), file_bytes(tmp_path, table, tables.MAKERS[table]()))
    later = validate(folder, [BOOK, DELTAS])
    assert verdicts(later) == {"book": "good", "book_delta_v2": "good"}
    entry = Manifest(folder).entries()[TRADES]
    assert entry.judged is not None
    assert entry.judged["verdict"] == "good"
    assert set(read_audit(audit_path(folder, TRADES))["beside"]) == {BOOK.path, DELTAS.path}


def test_only_what_is_asked_for_is_judged(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path)
    result = validate(folder, [BOOK])
    assert verdicts(result) == {"book": "good"}
    assert folder.where(TRADES) is Zone.RAW
    assert read_audit(audit_path(folder, BOOK))["beside"] == {TRADES.path: None, DELTAS.path: None}


def test_tables_that_do_not_cover_each_other(folder: LakeFolder, tmp_path: Path) -> None:
    # two hours of the book are missing, ten minutes of the trades (which their cadence explains)
    put_day(
        folder,
        tmp_path,
        book=tables.cut(tables.book(), 1_800, 2_160),
        trades=tables.cut(tables.trades(), 900, 930),
    )
    result = validate(folder)
    assert verdicts(result) == {"book": "doubtful", "book_delta_v2": "good", "trades": "good"}
    reasons = read_audit(audit_path(folder, BOOK))["reasons"]
    assert reasons["not-covered"]["count"] == 120
    assert reasons["not-covered"]["detail"].startswith("10:00-12:00")
    assert reasons["missing-minutes"]["count"] == 120
    assert reasons["missing-hours"]["detail"] == "hours 10, 11 UTC"
    assert reasons["silence"]["count"] == 1
    assert set(read_audit(audit_path(folder, TRADES))["reasons"]) == {"missing-minutes"}


def test_a_table_that_ends_before_the_others(folder: LakeFolder, tmp_path: Path) -> None:
    for of, ends in ((BOOK, 3_600), (TRADES, 3_597)):
        columns = tables.cut(tables.MAKERS[of.table](), ends, tables.ROWS)
        put(folder, of, file_bytes(tmp_path, of.table, columns))
    late = tables.cut(tables.deltas(), 0, 1_800)
    put(folder, DELTAS, file_bytes(tmp_path, "book_delta_v2", late))
    validate(folder)
    found = {of: read_audit(audit_path(folder, of))["reasons"] for of in (TRADES, BOOK, DELTAS)}
    # a minute at the end is no wonder, four hours are
    assert found[TRADES]["not-covered"]["count"] == 180
    assert found[TRADES]["not-covered"]["detail"].endswith("minutes had by book_delta_v2 180")
    assert found[BOOK]["not-covered"]["count"] == 180
    assert found[DELTAS]["not-covered"]["count"] == 600
    assert found[DELTAS]["not-covered"]["detail"].startswith("00:00-10:00")


def test_two_files_of_a_table_cover_its_day_together(folder: LakeFolder, tmp_path: Path) -> None:
    second = key("trades", name="2.snappy.parquet")
    put_day(folder, tmp_path, trades=tables.cut(tables.trades(), 2_160, tables.ROWS))
    put(folder, second, file_bytes(tmp_path, "trades", tables.cut(tables.trades(), 0, 2_160)))
    validate(folder)
    for of in (TRADES, second):
        assert not {"missing-hours", "missing-minutes", "not-covered"} & set(
            read_audit(audit_path(folder, of))["reasons"]
        )


def test_a_kill_before_the_rename_is_made_good(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path, trades={**tables.trades(), "price": -tables.trades()["price"]})
    validate(folder)
    for of, zone in ((TRADES, Zone.QUARANTINE), (BOOK, Zone.VALIDATED)):
        folder.move(folder.path(zone, of), Zone.RAW, of)
    folder.drop_reasons(TRADES)
    result = validate(folder)
    assert folder.where(TRADES) is Zone.QUARANTINE
    assert folder.where(BOOK) is Zone.VALIDATED
    assert folder.reasons_path(TRADES).is_file()
    assert not any(judged.anew for judged in result.files)


def test_a_kill_between_audit_and_record_is_made_good(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path)
    validate(folder)
    audit_path(folder, BOOK).write_text("{}")
    result = validate(folder)
    assert [judged.anew for judged in result.files] == [True, False, False]
    assert read_audit(audit_path(folder, BOOK))["verdict"] == "good"


def test_a_changed_list_of_rows_is_made_anew(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path, trades={**tables.trades(), "price": -tables.trades()["price"]})
    validate(folder)
    before = rows_path(folder, TRADES).read_bytes()
    rows_path(folder, TRADES).unlink()
    result = validate(folder)
    assert {j.key for j in result.files if j.anew} == {TRADES}
    assert rows_path(folder, TRADES).read_bytes() == before


def test_a_lost_file_is_said_to_be_lost(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path)
    folder.path(Zone.RAW, DELTAS).unlink()
    result = validate(folder)
    assert verdicts(result)["book_delta_v2"] == "lost"
    assert result.failed
    unknown = key("trades", dt="2026-01-09")
    assert verdicts(validate(folder, [unknown])) == {"trades": "lost"}


def test_certified_files_stay_where_they_are(folder: LakeFolder, tmp_path: Path) -> None:
    put(folder, TRADES, file_bytes(tmp_path, "trades", tables.trades()))
    validate(folder)
    manifest = Manifest(folder)
    manifest.append("certified", TRADES, certificate="c", verdict="DEMO")
    reconcile(manifest)
    put(folder, BOOK, file_bytes(tmp_path, "book", tables.book()))
    told = manifest.entries()[TRADES]
    result = validate(folder)
    assert manifest.entries()[TRADES] == told
    assert folder.where(TRADES) is Zone.READY
    assert verdicts(result)["trades"] == "doubtful"
    validate(folder, [TRADES], again=True)
    assert folder.where(TRADES) is Zone.VALIDATED


def test_audits_made_anew_are_the_same(folder: LakeFolder, tmp_path: Path) -> None:
    change = START + 12 * 3_600_000_000_000
    instrument = Instrument.given(
        "BINANCE",
        "SIM-USDT",
        "SIMUSDT",
        [(0, "0.01", "0.00001"), (change, "0.1", "0.00001")],
    )
    put_day(folder, tmp_path)
    validate(folder, instrument=instrument)
    stored = {k: audit_path(folder, k).read_bytes() for k in folder.keys(Zone.VALIDATED)}
    assert "off-tick" in read_audit(audit_path(folder, TRADES))["reasons"]
    paths = {k: folder.path(Zone.VALIDATED, k) for k in stored}
    anew = audit_files(paths, folder=folder)
    # the hash of the list of bad rows is known once it is written
    written = {k: json.loads(data) | {"rows_sha256": None} for k, data in stored.items()}
    assert {k: audit.document for k, audit in anew.items()} == written
    part = audit_files({TRADES: paths[TRADES]}, folder=folder)
    assert part[TRADES].document == written[TRADES]
    alone = audit_files({TRADES: paths[TRADES]})
    assert "off-tick" not in alone[TRADES].reasons
    assert alone[TRADES].reasons["table-missing"]["count"] == 2


def test_another_instrument_is_a_reason_to_read_again(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path)
    validate(folder)
    of_another = Instrument.given("BINANCE", "BTC-USDT", "BTCUSDT", [(0, "0.1", "0.1")])
    assert not any(j.anew for j in validate(folder, instrument=of_another).files)
    own = Instrument.given("BINANCE", "SIM-USDT", "SIMUSDT", [(0, "0.01", "0.00001")])
    assert all(j.anew for j in validate(folder, instrument=own).files)
    assert not any(j.anew for j in validate(folder, instrument=own).files)


def test_two_validations_at_once_do_no_harm(folder: LakeFolder, tmp_path: Path) -> None:
    put_day(folder, tmp_path)
    program = (
        "import sys; from pathlib import Path; from lobproof.acquire.zones import LakeFolder; "
        "from lobproof.acquire.judging import validate; validate(LakeFolder(Path(sys.argv[1])))"
    )
    runs = [start(program, folder.root) for _ in range(2)]
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 0, errors
    judged = [event for event in events(folder) if event[0] == "validated"]
    assert sorted(judged) == [("validated", table) for table in sorted(tables.MAKERS)]
    assert len(folder.keys(Zone.VALIDATED)) == 3


def test_simulated_days_have_no_reason_but_being_short(folder: LakeFolder, tmp_path: Path) -> None:
    made = simulate(tmp_path / "sim", lake=True, recording=False, minutes=3, seed=11)
    assert made.lake is not None
    put_lake(folder, made.lake)
    result = validate(folder)
    for judged in result.files:
        grave = {n for n, r in judged.reasons.items() if r["severity"] != "note"}
        assert grave == {"silence", "missing-hours"}
        assert judged.verdict == "doubtful"
        assert judged.rows == made.counts[f"lake_{judged.key.table}"]
        assert "float-seconds" in judged.reasons
        coverage = read_audit(audit_path(folder, judged.key))["coverage"]
        assert coverage["last_ns"] - coverage["first_ns"] <= 180_000_000_000
        assert coverage["minutes"][0][0] == 0
        assert judged.reasons["missing-minutes"]["count"] == 1440 - coverage["minutes_present"]


def test_the_command_says_what_was_refused(
    folder: LakeFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_day(folder, tmp_path, trades={**tables.trades(), "price": -tables.trades()["price"]})
    assert command(folder.root) == 1
    shown = capsys.readouterr().out
    assert "bad-price 4,320" in shown
    assert "2 doubtful, 1 refused" in shown
    assert command(folder.root, json_=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"good": 0, "doubtful": 2, "refused": 1, "lost": 0}
    assert [f["key"].split("/")[0] for f in told["files"]] == sorted(tables.MAKERS)
    assert command(folder.root, held=Held(tables="book")) == 0


def test_the_command_takes_tick_and_lot_of_one_symbol(
    folder: LakeFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_day(folder, tmp_path)
    one = Held(exchange="BINANCE", symbols="SIM-USDT")
    assert command(folder.root, tick="0.1", lot="0.00001", json_=True, held=one) == 0
    told = json.loads(capsys.readouterr().out)
    assert all("off-tick" in judged["reasons"] for judged in told["files"])
    with pytest.raises(UsageError, match="belong to one symbol"):
        command(folder.root, tick="0.1", held=one)
    with pytest.raises(UsageError, match="nothing of what is asked for"):
        command(folder.root, held=Held(symbols="ETH-USDT"))
