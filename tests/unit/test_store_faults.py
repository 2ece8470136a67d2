"""Kills, conflicts and several writers at once: a day is there whole or not at all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lobproof.errors import StoreError
from lobproof.schema.tables import EVENTS, TABLES, Table
from lobproof.store import Partition, open_store, sealed
from lobproof.store import delta as delta_module
from lobproof.store.delta import list_exactly, listed_files, open_delta
from support.batches import DAY_NS, DT, START_NS, make_day, store_day

NEXT = "2024-08-09"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

KILLED = """
import importlib, itertools, os, signal, sys
from pathlib import Path
from support.batches import make_day, store_day

root, target, count, when, seed = sys.argv[1:]
module, _, name = target.partition(":")
owner = importlib.import_module(module)
*outer, name = name.split(".")
for part in outer:
    owner = getattr(owner, part)
original, calls = getattr(owner, name), itertools.count(1)  # several threads call

def killed(*arguments, **options):
    chosen = next(calls) == int(count)
    if chosen and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = original(*arguments, **options)
    if chosen:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, killed)
day = make_day(int(seed), dt="2024-08-09", start_ns=1_723_161_600 * 10**9)
store_day(Path(root), day, part_rows=150)
"""

WRITER = """
import sys, time
from pathlib import Path
from support.batches import make_day, make_instrument, store_day

root, symbol, days = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
instrument = make_instrument(symbol)
made = [
    make_day(n, messages=40, instrument=instrument, dt=f"2024-08-{8 + n:02d}",
             start_ns=(1_723_075_200 + n * 86_400) * 10**9)
    for n in range(days)
]
print("ready", flush=True)
sys.stdin.readline()
for day in made:
    store_day(root, day)
"""


def run(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def check_after_kill(root: Path, *, seed: int) -> None:
    """Earlier days read, the half day does not show or is whole, the next writer cleans up."""
    store = open_store(root)
    assert store.days()["dt"].to_list()[0] == DT
    assert store.audit().clean
    assert store.events(end=NEXT).collect().height == len(make_day().events)
    # what a seal shows is whole
    for partition in store.days()["dt"].to_list():
        assert store.book_at(f"{partition}T12:00").dt == partition
    day = make_day(seed, dt=NEXT, start_ns=START_NS + DAY_NS)
    content, _ = store_day(root, day, part_rows=150)
    store = open_store(root)
    assert store.days()["dt"].to_list() == [DT, NEXT]
    assert store.days()["content_hash"].to_list()[1] == content.content_hash
    assert store.audit().clean
    again, committed = store_day(root, day, part_rows=150)
    assert not committed
    partition = Partition("BINANCE", "BTC-USDT", NEXT)
    for table in TABLES:
        folder = root / table.name / partition.folder
        there = {f"{partition.folder}/{path.name}" for path in folder.iterdir()}
        assert there == set(listed_files(open_delta(root, table), partition))
    assert again.hashes == content.hashes


POINTS = [
    ("lobproof.store.parts:PartWriter.write", 4, "before"),
    ("lobproof.store.parts:PartWriter.finish", 3, "after"),
    ("lobproof.store.commit:list_exactly", 1, "before"),
    ("lobproof.store.commit:list_exactly", 3, "after"),
    ("lobproof.store.commit:list_exactly", 7, "before"),
    ("lobproof.store.commit:list_exactly", 7, "after"),
]
MORE_POINTS = [
    *(("lobproof.store.parts:PartWriter.write", n, "after") for n in range(1, 12)),
    *(("lobproof.store.parts:PartWriter.finish", n, "before") for n in range(1, 9)),
    *(("lobproof.store.parts:sync_file", n, "after") for n in range(1, 9)),
    *(("lobproof.store.writer:DayWriter.close", 1, w) for w in ("before", "after")),
    *(("lobproof.store.commit:list_exactly", n, "after") for n in (1, 2, 4, 5, 6)),
    *(("lobproof.store.delta:sync_log", n, "before") for n in range(1, 7)),
    ("lobproof.store.commit:seal_table", 1, "before"),
    ("lobproof.store.commit:replacing", 1, "before"),
]


@pytest.mark.parametrize(("target", "count", "when"), POINTS)
def test_killed_while_writing(tmp_path: Path, target: str, count: int, when: str) -> None:
    kill_and_check(tmp_path, target, count, when, replace=when == "after")


@pytest.mark.slow
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(("target", "count", "when"), MORE_POINTS)
def test_killed_at_more_points(
    tmp_path: Path, target: str, count: int, when: str, replace: bool
) -> None:
    kill_and_check(tmp_path, target, count, when, replace=replace)


def kill_and_check(root: Path, target: str, count: int, when: str, *, replace: bool) -> None:
    store_day(root, make_day(), part_rows=150)
    if replace:  # the killed writer was to replace an older version of the day
        store_day(root, make_day(7, dt=NEXT, start_ns=START_NS + DAY_NS))
    process = run(KILLED, root, target, count, when, 2)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    check_after_kill(root, seed=2)


@pytest.mark.slow
def test_killed_at_random_instants(tmp_path: Path) -> None:
    rng = random.Random(11)
    store_day(tmp_path, make_day(), part_rows=150)
    for _ in range(25):
        process = run(WRITER, tmp_path, "BTC-USDT", 4)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(rng.uniform(0, 0.9))
        process.kill()
        process.communicate()
        for dt in sealed(tmp_path)["dt"].to_list():
            assert open_store(tmp_path).audit("BTC-USDT", dt=dt).clean
    assert len(sealed(tmp_path)) >= 1


def test_several_processes_commit_different_symbols_at_once(tmp_path: Path) -> None:
    """The tables do not exist yet: their creation races too."""
    symbols = ["ADA-USDT", "BTC-USDT", "ETH-USDT"]
    processes = [run(WRITER, tmp_path / "s", symbol, 3) for symbol in symbols]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    store = open_store(tmp_path / "s")
    assert store.symbols()["symbol"].to_list() == symbols
    assert store.symbols()["days"].to_list() == [3, 3, 3]
    assert store.audit().clean


def test_conflicts_are_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = DeltaTable.create_write_transaction
    failures = [CommitFailedError("conflict")] * 2

    def conflicting(self: DeltaTable, *arguments: Any, **options: Any) -> None:
        if failures:
            raise failures.pop()
        original(self, *arguments, **options)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", conflicting)
    store_day(tmp_path, make_day(messages=10))
    assert failures == []
    assert open_store(tmp_path).audit().clean


def test_conflicts_without_end_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflicting(*_: object, **__: object) -> None:
        raise CommitFailedError("conflict")

    monkeypatch.setattr(delta_module, "ATTEMPTS", 2)
    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", conflicting)
        with pytest.raises(StoreError, match=r"failed 2 times: conflict"):
            store_day(tmp_path, make_day(messages=10))
        patch.setattr(DeltaTable, "create_write_transaction", lambda *_, **__: None)
        with pytest.raises(StoreError, match="changed with every attempt"):
            store_day(tmp_path, make_day(messages=10))
    assert sealed(tmp_path).is_empty()


def test_a_table_that_appears_meanwhile_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = Partition("BINANCE", "BTC-USDT", DT)
    store_day(tmp_path, make_day(messages=10))
    original = open_delta
    answers = [None]

    def late(root: Path, table: Table) -> DeltaTable | None:
        return answers.pop() if answers else original(root, table)

    monkeypatch.setattr(delta_module, "open_delta", late)
    assert list_exactly(tmp_path, EVENTS, partition, [])
    assert listed_files(original(tmp_path, EVENTS)) == {}
