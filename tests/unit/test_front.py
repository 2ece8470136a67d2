"""`lobproof.reconstruct`: samples and Lake days by one call, and what a failure leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lobproof
from lobproof.errors import PlaceError, UsageError
from lobproof.pipeline import ReconstructError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``golden``, and a ``lake`` of two symbols: six simulated (synthetic) seconds each."""
    folder = tmp_path_factory.mktemp("front")
    one = lobproof.simulate(folder / "one", minutes=0.1, lake=True, snapshot_every=2.0)
    other = lobproof.simulate(folder / "other", preset="perp", minutes=0.1, lake=True)
    lobproof.import_recordings(one.recordings, folder / "golden")
    for made in (one, other):
        for file in (made.root / "lake").rglob("*.parquet"):
            target = folder / "lake" / file.relative_to(made.root / "lake")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return folder


def test_a_golden_sample_and_lake_days_by_one_call(made: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    sample = lobproof.reconstruct(
        str(made / "golden"), tmp_path / "a", progress=lambda *told: seen.append(told)
    )
    assert [result.symbol for result in sample.results] == ["SIM-USDT"]
    assert [day.committed for day in sample.days] == [True]
    assert {what for what, *_ in seen} == {str(made / "golden")}
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert all(0 < done <= total for _, done, total in seen)
    assert seen[-1][1] == seen[-1][2]  # a bar comes to its end

    seen.clear()
    lake = lobproof.reconstruct(
        made / "lake", str(tmp_path / "b"), progress=lambda *told: seen.append(told)
    )
    assert len(lake.days) == len(lake.results) == 2
    assert all(day.committed for day in lake.days)
    assert {what for what, *_ in seen} <= {
        f"{one.exchange} {one.symbol} {one.days[0].dt}" for one in lake.results
    }
    ends = {what: (done, total) for what, done, total in seen}
    assert all(done == total > 0 for done, total in ends.values())
    assert lake.store.days().height == 2
    text = repr(lake)
    assert text.splitlines()[0] == f"Reconstructed into {tmp_path / 'b'}"
    for result in lake.results:
        line = f"{result.exchange} {result.symbol} {result.days[0].dt} (DEMO: synthetic data): "
        assert line in text
        assert line in lake._repr_html_()

    again = lobproof.reconstruct(made / "lake", tmp_path / "b")
    assert not any(day.committed for day in again.days)
    assert repr(again).count("; there already") == 2
    assert [day.content_hash for day in again.days] == [day.content_hash for day in lake.days]


def test_what_is_chosen_of_a_lake(made: Path, tmp_path: Path) -> None:
    only = lobproof.reconstruct(
        made / "lake", tmp_path / "s", symbols="SIM-USDT", states="1s", strategy="anchored"
    )
    assert [(one.symbol, one.days[0].strategy) for one in only.results] == [
        ("SIM-USDT", "anchored")
    ]
    assert only.store.states().select(pl.len()).collect().item() < 10
    with pytest.raises(UsageError, match="ETH-USDT"):
        lobproof.reconstruct(made / "lake", tmp_path / "s", symbols=["ETH-USDT"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"symbols": "SIM-USDT"}, "symbols"),
        ({"strategy": "full", "carry": True}, "strategy, carry"),
        ({"size_limit": 0.0}, "size_limit"),
        ({"workers": 2}, "workers"),
        ({"start": "2026-01-05"}, "start"),
    ],
)
def test_what_a_sample_cannot_be_asked_is_refused(
    made: Path, tmp_path: Path, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=f"golden sample, which {named} cannot"):
        lobproof.reconstruct(made / "golden", tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


def test_what_is_neither_is_refused(made: Path, tmp_path: Path) -> None:
    for other in (tmp_path, tmp_path / "none", made / "one"):
        with pytest.raises(UsageError, match="neither a golden sample nor"):
            lobproof.reconstruct(other, tmp_path / "s")
    with pytest.raises(UsageError, match="base without since"):
        lobproof.reconstruct(made / "golden", tmp_path / "s", base=tmp_path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"symbols": 5}, "symbols=5"),
        ({"symbols": [5]}, "symbols has 5"),
        ({"symbols": ""}, "symbols=''"),
        ({"size_limit": "a"}, "size_limit='a'"),
        ({"workers": "2"}, "workers='2'"),
        ({"workers": 0}, "workers=0"),
        ({"zone": ""}, "no zone ''"),
        ({"strategy": ""}, "strategy=''"),
        ({"resync": ""}, "resync=''"),
    ],
)
def test_options_that_are_none_are_refused(
    made: Path, tmp_path: Path, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=named) as refused:
        lobproof.reconstruct(made / "lake", tmp_path / "s", **options)
    assert refused.value.hint
    assert not (tmp_path / "s").exists()


def test_where_no_store_can_be_made(made: Path) -> None:
    with pytest.raises(PlaceError, match="/proc/x"):
        lobproof.reconstruct(made / "golden", "/proc/x")


@pytest.mark.parametrize("name", ["a%20b", "a%20b/c", "a\\b", os.fsdecode(b"a\xff")])
def test_a_name_that_delta_does_not_find_is_refused(made: Path, tmp_path: Path, name: str) -> None:
    """It would take `a%20b` for `a b`, and read or write that store."""
    other = tmp_path / "a b"
    lobproof.reconstruct(made / "golden", other, symbols=None)
    before = {path: path.stat().st_mtime_ns for path in other.rglob("*")}
    for source in ("golden", "lake"):
        with pytest.raises(UsageError, match="cannot hold a store: its name") as refused:
            lobproof.reconstruct(made / source, tmp_path / name)
        assert refused.value.hint
    assert not (tmp_path / name).exists()
    shutil.copytree(other, tmp_path / name)
    with pytest.raises(UsageError, match="cannot hold a store: its name"):
        lobproof.open(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path / name)
    with pytest.raises(UsageError, match="cannot hold a store: its name"):
        lobproof.open(tmp_path / "link")
    assert {path: path.stat().st_mtime_ns for path in other.rglob("*")} == before


def test_a_change_of_the_working_folder(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made / "lake", tmp_path / "lake")
    monkeypatch.chdir(tmp_path)
    lake = lobproof.lake("lake")
    result = lobproof.reconstruct(made / "golden", "store")
    monkeypatch.chdir(made)
    assert result.store.days().height == 1
    assert lake.days().height > 0
    (tmp_path / "lake").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="lake is gone"):
        lake.files()


def test_strict_refuses_lake_days_that_are_there(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "lake", tmp_path / "lake")
    for path in (tmp_path / "lake" / "trades").rglob("*.parquet"):
        path.unlink()
    asked: dict[str, Any] = {"symbols": "SIM-USDT", "strategy": "full"}
    lobproof.reconstruct(tmp_path / "lake", tmp_path / "s", **asked)
    for out in ("s", "new"):
        with pytest.raises(ReconstructError, match="TRADES_ABSENT"):
            lobproof.reconstruct(tmp_path / "lake", tmp_path / out, strict=True, **asked)


def test_a_partial_day_is_named(made: Path, tmp_path: Path) -> None:
    whole = lobproof.reconstruct(made / "golden", tmp_path / "whole")
    last = int(whole.store.days()["last_ts"][0])
    part = lobproof.reconstruct(
        made / "golden", tmp_path / "part", since=last, base=tmp_path / "whole"
    )
    assert "partial, from " in repr(part)
    assert "partial, from" not in repr(whole)


def test_a_day_that_fails_is_named_and_the_others_are_made(made: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    for file in (made / "lake").rglob("*.parquet"):
        target = lake / file.relative_to(made / "lake")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    (damaged,) = lake.glob("book_delta_v2/exchange=BINANCE_FUTURES/*/*/*.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(ReconstructError, match=r"1 of 2 symbol-days failed") as caught:
        lobproof.reconstruct(lake, tmp_path / "s")
    assert damaged.name in str(caught.value)
    assert "Hint:" in str(caught.value)
    (day,) = caught.value.failures
    assert "SIM-USDT-PERP" in day
    rest = caught.value.reconstruction
    assert [result.symbol for result in rest.results] == ["SIM-USDT"]
    assert rest.store.days()["symbol"].to_list() == ["SIM-USDT"]


def test_a_script_needs_no_guard(made: Path, tmp_path: Path) -> None:
    """Its days run in processes, which must not run the script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import lobproof\n"
        f"made = lobproof.reconstruct({str(made / 'lake')!r}, {str(tmp_path / 's')!r}, workers=2)\n"
        "print(len(made.days), __file__ == made.path.parent.joinpath('script.py').as_posix())\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("2 True\n", 0), ran.stderr


def test_no_module_takes_the_place_of_a_function() -> None:
    """A module that is imported becomes an attribute of its package, under its own name."""
    package = Path(lobproof.__file__).parent
    modules = {path.stem for path in package.iterdir()} & set(lobproof.__all__)
    assert modules == {"acquire"}  # a module to its users, too
    code = "import lobproof.pages.page\nimport lobproof\nprint(type(lobproof.report).__name__)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "function\n"
