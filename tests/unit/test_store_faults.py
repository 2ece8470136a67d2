"""Kills, conflicts and several writers at once: a day is there whole or not at all."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from fuzz.documents import Memory
from lobproof.errors import PlaceError, StoreError
from lobproof.schema.tables import EVENTS, Table
from lobproof.store import Partition, open_store, sealed
from lobproof.store import delta as delta_module
from lobproof.store.delta import check_log, list_exactly, listed_files, open_delta
from support.batches import DAY_NS, DT, START_NS, make_day, store_day
from support.kills import died, killed_at_random, let_go, start, wait_for
from support.reconstructions import assert_listed

NEXT = "2024-08-09"

KILLED = """
import sys
from pathlib import Path
from support.batches import make_day, store_day
from support.kills import die_at

root, target, count, when, seed = sys.argv[1:]
die_at(target, int(count), when)
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
    assert_listed(root, Partition("BINANCE", "BTC-USDT", NEXT))
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
    died(start(KILLED, root, target, count, when, 2))
    check_after_kill(root, seed=2)


@pytest.mark.slow
def test_killed_at_random_instants(tmp_path: Path) -> None:
    rng = random.Random(11)
    store_day(tmp_path, make_day(), part_rows=150)
    for _ in range(25):
        process = start(WRITER, tmp_path, "BTC-USDT", 4)
        wait_for("ready", process)
        let_go(process)
        killed_at_random(process, rng, 0.9)
        for dt in sealed(tmp_path)["dt"].to_list():
            assert open_store(tmp_path).audit("BTC-USDT", dt=dt).clean
    assert len(sealed(tmp_path)) >= 1


def test_several_processes_commit_different_symbols_at_once(tmp_path: Path) -> None:
    """The tables do not exist yet: their creation races too."""
    symbols = ["ADA-USDT", "BTC-USDT", "ETH-USDT"]
    processes = [start(WRITER, tmp_path / "s", symbol, 3) for symbol in symbols]
    for process in processes:
        wait_for("ready", process)
    for process in processes:
        let_go(process)
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
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


# what lies in a Delta log ------------------------------------------------------------------------

LOG = "events/_delta_log"


def saved_log(root: Path) -> Path:
    """A store of a day whose log of events has a checkpoint; the checkpoint."""
    store_day(root, make_day(messages=10))
    DeltaTable(str(root / "events")).create_checkpoint()
    (saved,) = (root / LOG).glob("*.checkpoint.parquet")
    assert open_delta(root, EVENTS) is not None
    return saved


def refused(root: Path, match: str) -> None:
    with pytest.raises(StoreError, match=match) as caught:
        open_delta(root, EVENTS)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["00000000000000000009.checkpoint.x", "00000000000000000009.x"])
def test_the_log_since_its_checkpoint_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A file that Delta ignores is no checkpoint, whatever its name begins with."""
    store_day(tmp_path, make_day(messages=10))
    monkeypatch.setattr(delta_module, "MAX_COMMITS", 500)
    (tmp_path / LOG / name).touch()
    refused(tmp_path, "bytes since its last checkpoint, more than 500")
    for commit in (tmp_path / LOG).glob("*.json"):
        monkeypatch.setattr(delta_module, "MAX_COMMITS", 1 << 20)
        with commit.open("a") as file:
            file.write("\n" * (1 << 20))
        refused(tmp_path, "since its last checkpoint")


@pytest.mark.parametrize(
    "name",
    ["_last_checkpoint", f"{7:020}.json", f"{7:020}.checkpoint.parquet", f"{7:020}.crc", "notes"],
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "link"])
def test_what_is_no_plain_file_is_named(tmp_path: Path, name: str, kind: str) -> None:
    """Delta would open a pipe, and wait."""
    store_day(tmp_path, make_day(messages=10))
    path = tmp_path / LOG / name
    if kind == "link":
        path.symlink_to("nowhere")
        with pytest.raises(PlaceError, match=f"{name} is a link"):
            open_delta(tmp_path, EVENTS)
        return
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(name)
        finally:
            os.chdir(here)
    refused(tmp_path, f"{name} is no plain file")


@pytest.mark.parametrize(
    "name",
    [
        f"{7:020}.checkpoint.0000000001.0000000002.parquet",
        f"{7:020}.checkpoint.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.json",
        f"{7:020}.{9:020}.compacted.json",
        f"{7:020}.checkpoint\n.parquet",
    ],
)
def test_what_delta_may_read_and_we_do_not_write_is_named(tmp_path: Path, name: str) -> None:
    store_day(tmp_path, make_day(messages=10))
    (tmp_path / LOG / name).write_text("{}")
    refused(tmp_path, "is none that lobproof writes")


def stats_of(table: pa.Table, texts: list[str], rows: int = 0) -> pa.Table:
    """A checkpoint of one file again and again, with these statistics in turn."""
    rows = rows or len(texts)
    adds = table.filter(pc.is_valid(table["add"]))["add"].combine_chunks()
    columns = {
        field.name: adds.field(place).take(pa.array([0] * rows))
        for place, field in enumerate(adds.type)
    }
    places = pa.array(np.arange(rows, dtype=np.int32) % len(texts))
    columns["stats"] = pa.DictionaryArray.from_arrays(places, pa.array(texts))
    return pa.table({"add": pa.StructArray.from_arrays([*columns.values()], names=[*columns])})


Change = Callable[[pa.Table], tuple[pa.Table, dict[str, Any]]]
BOMBS: dict[str, tuple[Change, str]] = {
    "one long text": (lambda t: (stats_of(t, ["x" * 3_000_000]), {}), "too many for 1 rows"),
    "one text in all rows": (
        lambda t: (stats_of(t, ["x" * 3_000_000], 100_000), {}),
        "rows of more than 8,192",
    ),
    "many texts": (
        lambda t: (stats_of(t, [f"{n}" + "x" * 3_000 for n in range(300)], 100_000), {}),
        "would take more than",
    ),
    "a long dictionary": (
        lambda t: (
            stats_of(t, ["x" * 30_000_000], 5_000),
            {"dictionary_pagesize_limit": 1 << 30},
        ),
        "has a dictionary of",
    ),
    "texts that go on from those before": (
        lambda t: (
            stats_of(t, ["x" * 30_000], 5_000),
            {"use_dictionary": False, "column_encoding": {"add.stats": "DELTA_BYTE_ARRAY"}},
        ),
        "in an encoding that has no bound",
    ),
    "many rows": (lambda t: (stats_of(t, ["{}"], 150_001), {}), "has 150,001 rows, more than"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_checkpoint_is_looked_at_before_delta_reads_it(tmp_path: Path, name: str) -> None:
    path = saved_log(tmp_path)
    change, match = BOMBS[name]
    table, how = change(pq.read_table(path))
    how = {"compression": "zstd", **how}
    pq.write_table(table, path, store_schema=False, **how)
    del table
    memory = Memory()
    refused(tmp_path, match)
    assert memory.peak < 600_000_000, memory.peak


def test_a_log_that_another_process_writes_to_is_looked_at(tmp_path: Path) -> None:
    """Delta makes a commit under another name first, which is gone when its size is asked."""
    store_day(tmp_path, make_day(messages=10))
    stop = threading.Event()

    def write() -> None:
        place = tmp_path / LOG / "00000000000000000009.json#1"
        while not stop.is_set():
            place.touch()
            place.unlink()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3_000):
            check_log(tmp_path, EVENTS)
    finally:
        stop.set()
        writer.join()


def test_a_checkpoint_that_is_none_is_an_error_of_ours(tmp_path: Path) -> None:
    path = saved_log(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    refused(tmp_path, f"{path.name} cannot be read")


def test_a_checkpoint_of_many_files_like_ours_is_fine(tmp_path: Path) -> None:
    path = saved_log(tmp_path)
    stats = json.dumps({"numRecords": 1, "minValues": {f"column_{k}": k for k in range(30)}})
    pq.write_table(stats_of(pq.read_table(path), [stats], 5_000), path, store_schema=False)
    check_log(tmp_path, EVENTS)
