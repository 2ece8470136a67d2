"""Many Crypto Lake days at once: the same hashes however they are run, failures kept apart."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import active_children
from pathlib import Path

import pytest
from numba import config

from lobproof.errors import InputError, UsageError
from lobproof.pipeline import (
    LakeDay,
    Outcome,
    Reached,
    ReconstructOptions,
    fleet,
    lake_days,
    reconstruct_day,
    reconstruct_days,
    worker,
)
from lobproof.store import open_store, sealed
from support.commands import command, refused
from support.kills import COMMAND, Process, start
from support.reconstructions import assert_tidy, simulated

SMALL = ReconstructOptions(part_rows=3000, keyframe_seconds=5)
DAYS = ["2026-01-04", "2026-01-05"]
SYMBOLS = ["SIM-USDT", "TWO-USDT"]


@dataclass
class Seen:
    """What a watcher was told, and what it does meanwhile."""

    at_rows: Callable[[LakeDay], None] = lambda _: None
    notes: list[str] = field(default_factory=list)
    began: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    rows: list[Reached] = field(default_factory=list)
    kernels: int = 0

    def started(self, day: LakeDay) -> None:
        self.began.append(str(day))

    def reached(self, day: LakeDay, reached: Reached) -> None:
        self.rows.append(reached)
        self.at_rows(day)

    def noted(self, day: LakeDay, sentence: str) -> None:
        self.notes.append(sentence)

    def compiling(self, day: LakeDay, kernels: int) -> None:
        self.kernels = kernels

    def ended(self, outcome: Outcome) -> None:
        self.ends.append(str(outcome.day))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols of two days."""
    made = simulated(tmp_path_factory.mktemp("lake") / "sim")
    for folder in sorted(made.glob("*/*/symbol=SIM-USDT")):
        shutil.copytree(folder, folder.with_name("symbol=TWO-USDT"))
    return made


@pytest.fixture(scope="module")
def hashes(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Content hashes of the days, made one after the other in this process."""
    out = tmp_path_factory.mktemp("plain") / "store"
    for day in lake_days(lake):
        reconstruct_day(day, out, SMALL)
    return told(out)


def told(out: Path) -> list[str]:
    return [str(text) for text in sealed(out)["content_hash"].to_list()]


def spoil(lake: Path, to: Path, *days: tuple[str, str]) -> Path:
    """A copy of a lake, the trades of some days cut off."""
    shutil.copytree(lake, to)
    for symbol, dt in days:
        path = next(to.glob(f"trades/*/symbol={symbol}/dt={dt}/*.parquet"))
        path.write_bytes(path.read_bytes()[:-100])
    return to


@pytest.mark.slow
@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled with NUMBA_DISABLE_JIT")
def test_kernels_that_a_process_compiles_are_told(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    for name, least, most in (("first", 50, 1000), ("again", 0, 0)):
        seen = Seen()
        reconstruct_days(lake_days(lake)[:1], tmp_path / name, SMALL, watcher=seen)
        assert least <= seen.kernels <= most


@pytest.mark.parametrize(
    ("workers", "batch_rows"), [pytest.param(1, 997, marks=pytest.mark.slow), (2, 1 << 16)]
)
def test_workers_and_batches_leave_no_trace(
    lake: Path, hashes: list[str], tmp_path: Path, workers: int, batch_rows: int
) -> None:
    seen = Seen()
    outcomes = reconstruct_days(
        lake_days(lake),
        tmp_path / "store",
        SMALL,
        workers=workers,
        batch_rows=batch_rows,
        watcher=seen,
    )
    assert [outcome.failure for outcome in outcomes] == [None] * 4
    assert told(tmp_path / "store") == hashes
    assert_tidy(tmp_path / "store")
    expected = [f"BINANCE {symbol} {dt}" for symbol in SYMBOLS for dt in DAYS]
    assert seen.began == expected
    assert sorted(seen.ends) == expected
    assert seen.rows
    assert all(0 < reached.rows <= reached.of_rows for reached in seen.rows)
    assert not active_children()


def test_a_failing_day_and_a_killed_process(lake: Path, hashes: list[str], tmp_path: Path) -> None:
    """Neither takes others down; the same call makes what is missing, also after a kill."""
    spoilt = spoil(lake, tmp_path / "lake", ("SIM-USDT", DAYS[0]))
    victims: list[int] = []

    def kill(day: LakeDay) -> None:
        if not victims:
            assert day.key == ("BINANCE", "SIM-USDT", DAYS[1])
            (process,) = active_children()
            assert process.pid is not None
            victims.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)

    out = tmp_path / "store"
    outcomes = reconstruct_days(
        lake_days(spoilt), out, SMALL, batch_rows=500, workers=1, watcher=Seen(kill)
    )
    failures = [outcome.failure for outcome in outcomes]
    assert [failure is None for failure in failures] == [False, False, True, True]
    assert failures[0] is not None
    assert "cannot be read as a Parquet file" in failures[0].message
    assert failures[0].hint == "download the file again"
    assert not failures[0].trace
    assert failures[1] is not None
    assert failures[1].message == "its process was killed by SIGKILL"
    assert told(out) == hashes[2:]
    outcomes = reconstruct_days(lake_days(lake), out, SMALL, workers=2, watcher=Seen())
    assert [one.result is not None and one.result.reused for one in outcomes] == [
        *(False, False),
        *(True, True),
    ]
    assert told(out) == hashes
    assert_tidy(out)


@pytest.mark.slow
def test_carried_books_go_in_order(lake: Path, tmp_path: Path) -> None:
    """A first day begins without one, a day behind a failure waits for the next run."""
    spoilt = spoil(lake, tmp_path / "lake", ("TWO-USDT", DAYS[0]))
    seen, out = Seen(), tmp_path / "store"
    outcomes = reconstruct_days(lake_days(spoilt), out, SMALL, carry=True, workers=2, watcher=seen)
    assert [outcome.result is not None for outcome in outcomes] == [True, True, False, False]
    assert outcomes[3].failure is not None
    assert "nothing to carry over" in outcomes[3].failure.message
    assert seen.notes == [f"2026-01-03 is not sealed in {out}: begins without its book."] * 2
    assert seen.ends.index(f"BINANCE SIM-USDT {DAYS[0]}") < seen.ends.index(
        f"BINANCE SIM-USDT {DAYS[1]}"
    )
    seals = sealed(out)
    assert seals["carried_from"].to_list() == ["", seals["keyframes_hash"][0]]
    outcomes = reconstruct_days(lake_days(lake), out, SMALL, carry=True, watcher=Seen())
    assert [one.result is not None and one.result.reused for one in outcomes] == [
        *(True, True),
        *(False, False),
    ]
    assert open_store(out).audit().clean


def test_workers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fleet.default_workers() >= 1
    monkeypatch.setattr(fleet, "memory", lambda: 1)
    assert fleet.default_workers() == 1
    with pytest.raises(UsageError, match="workers=0 is no whole"):
        reconstruct_days([], tmp_path, workers=0, watcher=Seen())
    assert reconstruct_days([], tmp_path, watcher=Seen()) == []


@pytest.mark.parametrize(
    ("error", "message", "traced"),
    [
        (InputError("a file is bad", hint="fetch it again"), "a file is bad", False),
        (MemoryError(), "out of memory", False),
        (OSError("disk full"), "disk full", False),
        (ValueError("what now"), "ValueError: what now", True),
    ],
)
def test_errors_become_failures(
    lake: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
    traced: bool,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(worker, "reconstruct_day", fail)
    job = worker.Job(lake_days(lake)[0], tmp_path, SMALL, False, None, False, False, 500)
    failure = worker.done(job, lambda _: None)
    assert isinstance(failure, worker.Failure)
    assert failure.message == message
    assert failure.hint
    assert ("Traceback" in failure.trace) == traced


# the command -------------------------------------------------------------------------------------


def started(*arguments: object) -> Process:
    """The command in a process of its own, as in a terminal: with a process group."""
    return start(COMMAND, "reconstruct", *arguments, start_new_session=True)


def test_interrupted_and_gone_on(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    process = started(lake, "--out", out, "--workers", 1)
    assert process.stderr is not None
    assert any("2026-01-04: full" in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == (
        "interrupted: nothing half-done is visible; the same command goes on from here"
    )
    assert "Traceback" not in errors
    said = command("reconstruct", lake, "--out", out, "--json")
    assert (said.code, said.document["failed"]) == (0, [])
    assert [day["dt"] for day in said.document["days"]] == DAYS * 2
    assert said.document["days"][0]["reused"]
    assert_tidy(out)


def test_the_same_command_twice_at_once(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    pair = [started(lake, "--out", out, "--workers", 2, "--symbols", "SIM-USDT") for _ in range(2)]
    said = [process.communicate() for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    assert len(sealed(out)) == 2
    assert_tidy(out)


def test_the_summary_names_what_failed(lake: Path, tmp_path: Path) -> None:
    spoilt = spoil(lake, tmp_path / "lake", ("TWO-USDT", DAYS[0]))
    chosen = ("--exchange", "BINANCE", "--start", DAYS[0], "--end", DAYS[1])
    said = command("reconstruct", spoilt, "--out", tmp_path / "store", *chosen)
    assert said.code == 3
    assert "SIM-USDT (DEMO: synthetic data)" in said.out
    assert "uncertified" in said.out
    assert f"failed: BINANCE TWO-USDT {DAYS[0]}: " in said.err
    assert "Hint: download the file again" in said.err
    assert "1 of 2 days failed" in said.err
    said = command("reconstruct", spoilt, "--out", tmp_path / "store", *chosen, "--json")
    (day,) = said.document["days"]
    assert (day["symbol"], day["reused"], day["certified"]) == ("SIM-USDT", True, False)
    (failed,) = said.document["failed"]
    assert (failed["symbol"], failed["hint"]) == ("TWO-USDT", "download the file again")


def test_options_that_do_not_fit(lake: Path, tmp_path: Path) -> None:
    sample = tmp_path / "golden"
    sample.mkdir()
    (sample / "golden.json").write_text(json.dumps({}))
    to = ("--out", tmp_path / "store")
    refused(
        "golden sample, which --strategy, --carry cannot be used with",
        *("reconstruct", sample, *to, "--carry", "--strategy", "full"),
    )
    refused("workers=0 is no whole number", "reconstruct", lake, *to, "--workers", "0")
    refused("--batch-rows 0", "reconstruct", lake, *to, "--batch-rows", "0")
    refused("start '2026' is no date", "reconstruct", lake, *to, "--start", "2026")
    refused("nothing of NO-USDT", "reconstruct", lake, *to, "--symbols", "NO-USDT")
    assert not (tmp_path / "store").exists()
