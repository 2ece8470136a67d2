"""From a bucket to sealed days, command by command; what is certified, and what is refused."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import polars as pl
import pytest

import lobproof
from fakes.lake import environment, put_index
from fakes.s3 import fake_lake
from lobproof.acquire.certificate import DEMO, REAL, certify
from lobproof.acquire.zones import Zone
from lobproof.errors import InputError, UsageError
from lobproof.pipeline import Reached, ReconstructOptions, lake_days, reconstruct_day
from lobproof.schema import Finding, Severity
from lobproof.sources.simulator import simulate
from lobproof.store import sealed
from support.acquired import validated_lake
from support.commands import command
from support.lake_fault_checks import Rebuilt
from support.lake_faults import SECOND, Day, reordered
from support.reconstructions import assert_tidy, seals, simulated, without

ANCHORED = ReconstructOptions(strategy="anchored")


def test_all_commands_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole simulated day of a quiet market."""
    day = simulate(
        tmp_path / "sim", preset="nexo", minutes=1440, lake=True, recording=False, seed=3
    )
    assert day.lake is not None
    lake, store = tmp_path / "lake", tmp_path / "store"
    with fake_lake() as bucket:
        put_index(bucket, bucket.put_folder(day.lake))
        for name, value in environment(bucket.url).items():
            monkeypatch.setenv(name, value)
        assert command("acquire", "download", "--out", lake, "--yes").code == 0
    assert command("acquire", "validate", lake).code == 0
    said = command("reconstruct", lake, "--out", store)
    assert said.code == 3
    assert "(--zone) validated" in said.err
    assert command("acquire", "certify", lake, "--allow-synthetic").code == 0
    said = command("reconstruct", lake, "--out", store)
    assert said.code == 0, said.err
    assert "DEMO: synthetic data" in said.out
    assert f"Next: lobproof verify {store} --lake {lake}" in said.err
    said = command("verify", store, "--lake", lake)
    assert said.code == 0, said.err
    assert "vendor_book" in said.out
    verdict = json.loads(command("verify", store, "--lake", lake, "--json").out)
    assert verdict["verdict"] == "pass"
    (seal,) = sealed(store).to_dicts()
    assert (seal["provenance"], seal["certified"]) == ("synthetic", False)
    assert (seal["strategy"], seal["gaps"]) == ("full", 0)
    tables = {entry["name"].split("/")[0] for entry in json.loads(seal["inputs"])}
    assert tables == {"book", "book_delta_v2", "trades"}
    assert_tidy(store)
    assert "synthetic" in command("inspect", store).out
    page = tmp_path / "page.html"
    assert command("report", store, "--lake", lake, "--out", page).code == 0
    assert "DEMO" in page.read_text()
    assert "Verified: pass" in page.read_text()
    assert "Checks against Crypto Lake files" in page.read_text()
    assert "nothing to do" in command("reconstruct", lake, "--out", store).err


def test_a_day_without_one_of_its_tables_is_told(tmp_path: Path) -> None:
    day = simulate(tmp_path / "sim", minutes=0.05, lake=True, recording=False).lake
    assert day is not None
    shutil.rmtree(day / "trades")
    said = command("reconstruct", day, "--out", tmp_path / "store")
    assert said.code == 0
    assert "there is no `trades`; the book is made without (TRADES_ABSENT)." in said.err
    shutil.rmtree(day / "book")
    said = command("reconstruct", day, "--out", tmp_path / "other")
    assert said.code == 3
    assert "there is no book and no trades, and book_delta_v2 alone shows no loss" in said.err
    assert "Hint: `lobproof acquire download` fetches all three tables" in said.err


def test_only_certified_days_are_called_so(tmp_path: Path) -> None:
    """A day that was sealed before it was certified stays uncertified until it is made anew."""
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    with pytest.raises(UsageError, match="in zone ready"):
        lake_days(folder.root)
    out = tmp_path / "store"
    (day,) = lake_days(folder.root, zone="validated")
    assert not reconstruct_day(day, out, ANCHORED).certified
    assert certify(folder).verdict == REAL
    (day,) = lake_days(folder.root)
    assert day.certified
    notes: list[str] = []
    again = reconstruct_day(day, out, ANCHORED, note=notes.append)
    assert (again.reused, again.certified) == (True, False)
    assert len(notes) == 1
    assert "sealed as uncertified; overwrite= (--overwrite)" in notes[0]
    assert reconstruct_day(day, out, ANCHORED, overwrite=True).certified
    assert sealed(out)["certified"].to_list() == [True]
    shutil.copytree(folder.root / Zone.READY, tmp_path / "plain")
    (plain,) = lake_days(tmp_path / "plain")
    assert (plain.certified, plain.provenance) == (False, "unknown")
    assert not reconstruct_day(plain, tmp_path / "other", ANCHORED).certified


def test_a_demo_certificate_certifies_nothing(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path)
    assert certify(folder, allow_synthetic=True).verdict == DEMO
    (day,) = lake_days(folder.root)
    assert (day.certified, day.provenance) == (False, "synthetic")


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    certify(folder)
    (day,) = lake_days(folder.root)
    path = day.files["trades"][0]
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"trades.*sha256 .* was fetched"):
        reconstruct_day(day, tmp_path / "store", ANCHORED)
    assert sealed(tmp_path / "store").is_empty()


class Stop(Exception):
    pass


def test_a_damaged_checkpoint_is_seals(tmp_path: Path) -> None:
    """The day starts anew, and is the same."""
    (day,) = lake_days(simulated(tmp_path / "sim", minutes=0.4))
    options = ReconstructOptions(strategy="full", part_rows=1000, keyframe_seconds=5)
    reconstruct_day(day, tmp_path / "undisturbed", options)
    out = tmp_path / "store"

    def stop(reached: Reached) -> None:
        """Once a checkpoint is there: a thread writes it, soon after the end of its part."""
        if reached.events > 5000:
            while not list(out.glob(".checkpoints/*.ckpt")):
                time.sleep(0.01)
            raise Stop

    with pytest.raises(Stop):
        reconstruct_day(day, out, options, batch_rows=100, progress=stop)
    (checkpoint,) = out.glob(".checkpoints/*.ckpt")
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(data)
    notes: list[str] = []
    result = reconstruct_day(day, out, options, note=notes.append)
    assert result.resumed_at == 0
    assert len(notes) == 2
    assert notes[0].startswith(f"The checkpoint {checkpoint} is damaged")
    assert notes[0].endswith("The day starts anew.")
    assert notes[1].startswith(f"Deleted in {out}, since no commit lists them: ")
    assert seals(out) == seals(tmp_path / "undisturbed")
    assert_tidy(out)


def test_every_screen_names_the_strategy_and_why_and_doubts_outlive_the_fallback(
    tmp_path: Path,
) -> None:
    """A tenth of the level changes is lost: the day is known at rows of `book`, and in doubt."""

    def keep(table: str, _: str, rows: pl.DataFrame) -> pl.Series:
        kept = pl.int_range(rows.height, eager=True) % 10 != 0
        return kept | pl.Series([table != "book_delta_v2"] * rows.height)

    lake = without(simulated(tmp_path / "sim", minutes=0.5), tmp_path / "lossy", keep)
    store, page = tmp_path / "store", tmp_path / "page.html"
    said = [
        command("reconstruct", lake, "--out", store).out,
        command("inspect", store).out,
        command("verify", store, "--lake", lake).out,
    ]
    assert command("report", store, "--out", page).code == 0
    said.append(page.read_text())
    for text in said:
        assert "anchored" in text
        assert "NO-GO for full: the gap ratio is" in " ".join(text.split())
    quality = lobproof.open(store).quality(raw=True).collect()
    doubts = quality.filter(pl.col("severity") == int(Severity.DOUBT))
    drift = doubts.filter(pl.col("code") == int(Finding.DRIFT))
    assert drift["detail"].str.contains("replayed in full, which was given up").all()
    days = lobproof.open(store).days()
    assert days["doubtful_ns"][0] > 0.9 * (days["last_ts"][0] - days["first_ts"][0])
    # who believes `book` more than the deltas says so, and nothing is looked at
    command("reconstruct", lake, "--out", tmp_path / "believed", "--strategy", "anchored")
    believed = lobproof.open(tmp_path / "believed").quality(raw=True).collect()
    assert int(Finding.DRIFT) not in believed["code"]


def test_book_that_stands_still_under_one_id_is_doubt_where_the_day_falls_back(
    tmp_path: Path,
) -> None:
    """In a market without a trade: nothing but the deltas can tell, and the first attempt did."""
    whole = Day.read(simulated(tmp_path / "sim", minutes=2), "2026-01-05")
    day = whole
    for message in range(whole.messages - 200, whole.messages - 20, 20):
        day = reordered(day, message, 3)  # contradictions: over 0.1 % of the messages
    book, start = day.tables["book"], whole.time_of(whole.messages // 4)
    frozen = pl.col("timestamp").is_between(start, start + 8 * SECOND)
    listed = [name for name in book.columns if name not in ("timestamp", "receipt_timestamp")]
    first = [pl.when(frozen).then(pl.col(name).filter(frozen).first()) for name in listed]
    still = book.with_columns(
        one.otherwise(pl.col(name)).alias(name) for one, name in zip(first, listed, strict=True)
    )
    trades = day.tables["trades"].filter(
        ~pl.col("timestamp").is_between(start - SECOND, start + 9 * SECOND)
    )
    day = day.with_table("book", still).with_table("trades", trades)
    rebuilt = Rebuilt.of(day, tmp_path / "run", strategy="auto")
    store = rebuilt.store
    assert store.days()["strategy"].to_list() == ["anchored"]
    inside = pl.col("ts_order").is_between(start + 2 * SECOND, start + 8 * SECOND)
    assert store.states(raw=True).filter(inside).collect().height > 5
    assert store.trusted().filter(inside).collect().is_empty()
    after = pl.col("ts_order").is_between(start + 10 * SECOND, start + 30 * SECOND)
    assert store.trusted().filter(after).collect().height > 100
