"""``lobproof.acquire``: what the commands do, in Python, against a bucket over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import lobproof
from fakes.lake import environment
from fakes.s3 import FakeBucket, fake_lake
from lobproof.errors import UsageError
from support import lake_files
from support.acquired import key
from support.lake_files import DAY


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeBucket]:
    """A bucket with one simulated day of three tables."""
    path = tmp_path_factory.mktemp("made") / "file.parquet"
    with fake_lake("front") as bucket:
        for table, make in lake_files.MAKERS.items():
            lake_files.write(path, table, make())
            bucket.put(key(table).path, path.read_bytes())
        yield bucket


@pytest.fixture
def bucket(server: FakeBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeBucket:
    for name, value in environment(server.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return server


def test_from_the_bucket_to_a_certificate(bucket: FakeBucket) -> None:
    told: list[int] = []
    got = lobproof.acquire.download(
        "lake",
        bucket="front",
        symbols="SIM-USDT",
        progress=lambda what, done, total: told.append(done),
    )
    assert got.complete
    assert repr(got) == "Downloaded(3 fetched, 0 present, 0 failed, 0 absent)"
    assert told
    again = lobproof.acquire.download("lake", bucket="front", symbols=["SIM-USDT"])
    assert (len(again.result.present), again.result.fetched) == (3, ())
    judged = lobproof.acquire.validate("lake", tables=["trades", "book", "book_delta_v2"])
    assert len(judged.files) == 3
    assert repr(judged).startswith("Validated 3 files: ")
    assert len(repr(judged).splitlines()) <= 7
    day = date.fromisoformat(DAY)
    assert lobproof.acquire.validate("lake", start=day, end=day + timedelta(1)).files
    refused = lobproof.acquire.certify("lake")
    assert refused.verdict == "REFUSED"
    assert {refusal["reason"] for refusal in refused.refusals} == {"provenance"}
    assert repr(refused).startswith("REFUSED: 3 files\n  provenance: ")
    demo = lobproof.acquire.certify("lake", allow_synthetic=True)
    assert demo.verdict == "DEMO"
    assert repr(demo).splitlines() == ["DEMO: 3 files", f"  {demo.path}"]
    states = {month.table: month.count("demo") for month in lobproof.acquire.status("lake")}
    assert states == {"book": 1, "book_delta_v2": 1, "trades": 1}
    assert repr(lobproof.acquire.status("lake")[0]).endswith(f" book {DAY[:7]}: 1 demo")
    lake = lobproof.lake("lake")
    assert lake.days().height == 3
    assert repr(lake).splitlines()[0] == f"Lake {Path.cwd() / 'lake'}"
    assert f"SIM-USDT: book (ready) {DAY}; " in repr(lake).splitlines()[1]
    assert "<li>" in lake._repr_html_()


def test_what_is_not_there_is_no_success(bucket: FakeBucket) -> None:
    got = lobproof.acquire.download("lake", bucket="front", symbols=["SIM-USDT", "TYPO-USDT"])
    assert got.result.ok
    assert not got.complete
    assert "TYPO-USDT" in got.found.unknown_symbols
    with pytest.raises(UsageError, match="has nothing of what is asked for"):
        lobproof.acquire.download("other", bucket="front", symbols="TYPO-USDT")
    assert not Path("other").exists()
    with pytest.raises(UsageError, match="nothing of TYPO-USDT"):
        lobproof.acquire.validate("lake", symbols=("SIM-USDT", "TYPO-USDT"))
    with pytest.raises(UsageError, match="nothing of what is asked for"):
        lobproof.acquire.validate("lake", start="2030-01-01")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"symbols": "a b"}, "cannot name a symbol"),
        ({"tables": "quotes"}, "no table quotes"),
        ({"start": DAY, "end": DAY}, "no day lies"),
        ({"start": "yesterday"}, "is no date"),
        ({"symbols": None}, "symbols=None"),
        ({"tables": None}, "tables=None"),
        ({"tables": [5]}, "tables has 5"),
    ],
)
def test_what_cannot_be_asked(bucket: FakeBucket, wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        lobproof.acquire.download("lake", bucket="front", **wrong)
    assert caught.value.hint
