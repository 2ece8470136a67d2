"""Writing and committing days: files, hashes, idempotence, replacement, aborts, locks."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from lobproof.book import BookImage
from lobproof.errors import StoreError
from lobproof.schema import EventBatch, Flag, StateBatch
from lobproof.schema.tables import CONTENT_TABLES, EVENTS, MINUTES, STATES, TABLES
from lobproof.store import (
    DayWriter,
    Keyframe,
    Partition,
    Scope,
    clean_partition,
    commit_day,
    open_store,
    sealed,
    symbol_lock,
)
from lobproof.store.columns import Column, in_memory
from lobproof.store.layout import MARKER, ensure_store
from support.batches import (
    DT,
    Day,
    fill,
    make_day,
    make_instrument,
    make_seal,
    store_day,
)

FOLDER = f"exchange=BINANCE/symbol=BTC-USDT/dt={DT}"


@pytest.fixture(scope="module")
def day() -> Day:
    return make_day()


def files(root: Path) -> dict[str, bytes]:
    """Content of all data files except the seals'."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for table in CONTENT_TABLES
        for path in sorted((root / table.name).rglob("*.parquet"))
    }


def versions(root: Path) -> dict[str, int]:
    return {table.name: DeltaTable(str(root / table.name)).version() for table in TABLES}


def test_parts_close_at_message_ends_and_row_groups_count_from_the_part(
    tmp_path: Path, day: Day
) -> None:
    content, committed = store_day(tmp_path / "s", day, part_rows=200)
    assert committed
    events = content.tables["events"].parts
    assert len(events) > 2
    assert content.rows("events") == len(day.events)
    start = 0
    for number, part in enumerate(events):
        path = tmp_path / "s" / "events" / part.path
        assert path.name.startswith(f"part-{number:05d}-{part.hash[:16]}")
        table = pq.read_table(path)
        ids = table["event_id"].to_numpy()
        assert ids[0] == start
        assert table["flags"].to_numpy()[-1] & Flag.LAST
        if part is not events[-1]:
            assert len(ids) >= 200
            before = table["flags"].to_numpy()[199:-1]
            assert not (before & Flag.LAST).any()
        # states close at the same events
        states = pq.read_table(
            tmp_path / "s" / "states" / content.tables["states"].parts[number].path
        )
        assert states["event_id"].to_numpy().min() >= start
        assert states["event_id"].to_numpy().max() <= ids[-1]
        start = int(ids[-1]) + 1


def test_files_have_the_settings_of_the_format(tmp_path: Path, day: Day) -> None:
    content, _ = store_day(tmp_path / "s", day)
    for table in CONTENT_TABLES:
        file = pq.ParquetFile(
            tmp_path / "s" / table.name / content.tables[table.name].parts[0].path
        )
        assert file.schema_arrow.equals(table.schema)
        group = file.metadata.row_group(0)
        for index, field in enumerate(table.schema):
            column = group.column(index)
            assert column.compression == "ZSTD"
            assert column.is_stats_set == (field.name in table.statistics)
            has_dictionary = "RLE_DICTIONARY" in column.encodings
            assert has_dictionary == (field.name in table.dictionary)
            assert ("DELTA_BINARY_PACKED" in column.encodings) == (field.name in table.delta_packed)
            if "decimal" in str(field.type):
                assert column.physical_type == "FIXED_LEN_BYTE_ARRAY"


def test_row_groups_are_full_whatever_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = EVENTS.group_rows * 2 + 5
    batch = EventBatch.empty(1000)
    batch.flags[:] = Flag.LAST
    instrument = make_instrument()
    with (
        symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        DayWriter(tmp_path, instrument, DT, states=False) as writer,
    ):
        for start in range(0, rows, 1000):
            writer.append(batch.slice(0, min(1000, rows - start)), StateBatch.empty())
        content = writer.close()
    (part,) = content.tables["events"].parts
    metadata = pq.read_metadata(tmp_path / "events" / part.path)
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert groups == [EVENTS.group_rows, EVENTS.group_rows, 5]
    assert content.tables["states"].parts == ()


def test_writing_again_changes_and_commits_nothing(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    first, committed = store_day(root, day, part_rows=200)
    assert committed
    before, listed = files(root), versions(root)
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
    again, committed = store_day(root, day, random.Random(3), part_rows=200)
    assert not committed
    assert again.hashes == first.hashes
    assert files(root) == before
    assert versions(root) == listed
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")} == stamps


def test_another_version_of_a_day_replaces_it(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    store_day(root, day, part_rows=200)
    other = make_day(seed=5)
    content, committed = store_day(root, other, part_rows=300)
    assert committed
    store = open_store(root)
    assert store.days()["content_hash"].to_list() == [content.content_hash]
    assert store.events().select(pl.len()).collect().item() == len(other.events)
    assert store.audit().clean
    # what was replaced lies there until the partition's next writer, then it is gone
    assert len(list((root / "events").rglob("*.parquet"))) > len(content.tables["events"].parts)
    store_day(root, other, part_rows=300)
    assert len(list((root / "events").rglob("*.parquet"))) == len(content.tables["events"].parts)
    assert store.audit().clean


def test_parts_that_stay_the_same_survive_a_replacement(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    first, _ = store_day(root, day, part_rows=200)
    shorter = make_day()
    cut = int(first.tables["events"].parts[0].rows)
    shorter.events = day.events.slice(0, cut)
    shorter.states = day.states.slice(0, int(np.searchsorted(day.states.event_id, cut)))
    shorter.frames = day.frames[:1]
    second, committed = store_day(root, shorter, part_rows=200)
    assert committed
    assert second.tables["events"].parts[0].path == first.tables["events"].parts[0].path
    assert open_store(root).events().select(pl.len()).collect().item() == cut


def test_a_new_seal_over_the_same_content_is_committed(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    store_day(root, day)
    before = versions(root)
    _, committed = store_day(root, day, verdicts={"gate_a": "pass"})
    assert committed
    after = versions(root)
    assert {name for name in after if after[name] != before[name]} == {"days"}
    assert json.loads(sealed(root)["verdicts"][0]) == {"gate_a": "pass"}


def test_a_file_of_another_size_under_the_same_name_is_listed_anew(
    tmp_path: Path, day: Day
) -> None:
    """A newer library may write the same content in other bytes: same path, other size."""
    root = tmp_path / "s"
    content, _ = store_day(root, day)
    path = root / "events" / content.tables["events"].parts[0].path
    path.write_bytes(path.read_bytes()[:-50])  # damaged: to be repaired, then listed as it is
    log = root / "events" / "_delta_log"
    commit = next(p for p in sorted(log.glob("*.json")) if '"add"' in p.read_text())
    size = content.tables["events"].parts[0].size
    commit.write_text(commit.read_text().replace(f'"size":{size}', f'"size":{size - 50}'))
    _, committed = store_day(root, day)
    assert committed
    adds = DeltaTable(str(root / "events")).get_add_actions(flatten=True)
    assert [int(n) for n in pl.DataFrame(adds)["size_bytes"]] == [size]
    assert open_store(root).audit().clean


def test_an_empty_day_can_be_sealed(tmp_path: Path) -> None:
    with (
        symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        DayWriter(tmp_path, make_instrument(), DT) as writer,
    ):
        writer.append(EventBatch.empty(), StateBatch.empty())
        commit_day(tmp_path, writer.close(), make_seal())
    store = open_store(tmp_path)
    assert store.events().collect().is_empty()
    assert store.states().collect().is_empty()
    assert list(store.replay()) == []
    assert store.audit().clean


def test_leaving_the_writer_without_close_leaves_nothing(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"

    def interrupted() -> None:
        with (
            symbol_lock(root, "BINANCE", "BTC-USDT"),
            DayWriter(root, day.instrument, DT, part_rows=100) as writer,
        ):
            fill(writer, day)
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        interrupted()
    assert [path for path in root.rglob("*") if path.is_file() and "part-" in path.name] == []
    assert sealed(root).is_empty()


def test_an_abort_spares_files_that_were_committed_before(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    store_day(root, day, part_rows=100)
    before = files(root)
    with (
        symbol_lock(root, "BINANCE", "BTC-USDT"),
        DayWriter(root, day.instrument, DT, part_rows=100) as writer,
    ):
        fill(writer, day)
    assert files(root) == before


def test_errors_of_the_encoding_thread_reach_the_caller(
    tmp_path: Path, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lobproof.store.parts.to_arrow", broken)
    root = tmp_path / "s"

    def write() -> None:
        for _ in range(2):
            fill(writer, day)
            writer.close()

    with (
        symbol_lock(root, "BINANCE", "BTC-USDT"),
        DayWriter(root, day.instrument, DT, part_rows=50) as writer,
        pytest.raises(OSError, match="No space left"),
    ):
        write()
    assert [path for path in root.rglob("*part-*") if path.is_file()] == []


def test_leftovers_are_deleted_by_the_next_writer(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    content, _ = store_day(root, day)
    left = [
        root / "events" / FOLDER / ".tmp-part-00001",
        root / "states" / FOLDER / "part-00007-0123456789abcdef.parquet",
    ]
    for path in left:
        path.write_bytes(b"half a file")
    other = root / "events" / FOLDER.replace("BTC", "ETH") / "part-00000-x.parquet"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another writer's")
    with symbol_lock(root, "BINANCE", "BTC-USDT"):
        assert sorted(clean_partition(root, content.partition)) == sorted(left)
    assert other.exists()
    assert open_store(root).audit().clean


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e, s: (e.slice(0, 5), s.slice(0, 0)), "inside a message"),
        (lambda e, s: (e, s.slice(0, 0)) if e.ts_order.__setitem__(-1, 5) else (e, s), "decreases"),
        (lambda e, s: (e.slice(0, 61), s), "in order"),
        (lambda e, s: (e, StateBatch.concat([s, s])), "in order"),
    ],
)
def test_batches_that_break_the_contract_are_refused(
    tmp_path: Path, change: object, message: str
) -> None:
    day = make_day()
    assert callable(change)
    events, states = change(day.events, day.states)
    with (
        symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        DayWriter(tmp_path, day.instrument, DT) as writer,
        pytest.raises(ValueError, match=message),
    ):
        writer.append(events, states)


def test_more_misuse_is_refused(tmp_path: Path, day: Day) -> None:
    with (
        symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        DayWriter(tmp_path, day.instrument, DT, states=False) as writer,
    ):
        with pytest.raises(ValueError, match="without states"):
            writer.append(day.events, day.states)
        none = np.zeros(0, np.int64)
        early = Keyframe(3, 0, BookImage(0, none, none, none, none, 0, 0, 0, 0))
        with pytest.raises(ValueError, match="keyframe of event 3"):
            writer.keyframe(early)
        with pytest.raises(ValueError, match="quality takes"):
            writer.quality({"code": [1]})
        writer.append(day.events, StateBatch.empty())
        writer.keyframe(early)
        with pytest.raises(ValueError, match="keyframe of event 3"):
            writer.keyframe(early)
        content = writer.close()
        for change in ({"provenance": "rumour"}, {"certified": True}, {"weather": "fine"}):
            with pytest.raises(ValueError, match=r"provenance|certified|columns"):
                commit_day(tmp_path, content, make_seal(**change))


def test_writing_needs_the_lock(tmp_path: Path, day: Day) -> None:
    ensure_store(tmp_path)
    with pytest.raises(StoreError, match="needs its lock"):
        DayWriter(tmp_path, day.instrument, DT)
    content, _ = store_day(tmp_path, day)
    with pytest.raises(StoreError, match="needs its lock"):
        commit_day(tmp_path, content, make_seal())


def test_a_second_writer_waits_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        def say(text: str) -> None:
            said.append(text)
            waiting.set()

        with symbol_lock(tmp_path, "BINANCE", "BTC-USDT", waiting=say):
            order.append("second")

    with symbol_lock(tmp_path, "BINANCE", "BTC-USDT"):
        with symbol_lock(tmp_path, "BINANCE", "ETH-USDT", waiting=said.append):
            pass  # another symbol does not wait
        with (
            pytest.raises(StoreError, match="already"),
            symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        ):
            pass
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(20)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "Waiting for process" in said[0]
    assert "BTC-USDT" in said[0]


def test_folders_that_are_no_store_are_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    for root, message in ((tmp_path, "other files"), (tmp_path / "thesis.tex", "is a file")):
        with pytest.raises(StoreError, match=message):
            ensure_store(root)
        assert not (root / MARKER).exists()


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ('{"format_version": 99}', "version 99"),
        ('{"format_version": 1}', "version 1"),
        ("{}", "damaged"),
        ("no json", "damaged"),
    ],
)
def test_a_store_of_another_or_damaged_format_is_refused(
    tmp_path: Path, marker: str, message: str
) -> None:
    (tmp_path / MARKER).write_text(marker)
    for use in (ensure_store, open_store, sealed):
        with pytest.raises(StoreError, match=message):
            use(tmp_path)


@pytest.mark.parametrize(
    "names",
    [("", "B", DT), ("A", "a/b", DT), ("A", "..", DT), ("A", "B", "2024-8-8"), ("A", "B", "x")],
)
def test_names_that_cannot_be_folders_are_refused(names: tuple[str, str, str]) -> None:
    with pytest.raises(StoreError, match="Hint"):
        Partition(*names)


def test_sealed_lists_by_symbol(tmp_path: Path) -> None:
    root = tmp_path / "s"
    assert sealed(root).is_empty()
    for symbol, exchange in (
        ("BTC-USDT", "BINANCE"),
        ("ETH-USDT", "BINANCE"),
        ("币安-USDT", "X.Y"),
    ):
        store_day(root, make_day(messages=10, instrument=make_instrument(symbol, exchange)))
    assert sealed(root)["symbol"].to_list() == ["BTC-USDT", "ETH-USDT", "币安-USDT"]
    assert sealed(root, Scope("BINANCE"))["symbol"].to_list() == ["BTC-USDT", "ETH-USDT"]
    assert sealed(root, Scope("BINANCE", "ETH-USDT"))["events"].len() == 1
    assert sealed(root, Scope("NONE")).is_empty()
    assert open_store(root).events("币安-USDT").collect().height > 0


def test_statistics_of_the_commit_cover_the_files(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    content, _ = store_day(root, day, part_rows=200)
    adds = pl.DataFrame(DeltaTable(str(root / "states")).get_add_actions(flatten=True)).sort("path")
    assert adds["num_records"].to_list() == [p.rows for p in content.tables["states"].parts]
    assert adds["min.event_id"].min() == int(day.states.event_id[0])
    assert adds["max.sequence"].max() == int(day.states.sequence.max())
    assert STATES.name in content.tables


def test_a_damaged_seal_is_named_and_can_be_made_anew(tmp_path: Path, day: Day) -> None:
    root = tmp_path / "s"
    store_day(root, day)
    store_day(root, make_day(messages=5, instrument=make_instrument("ETH-USDT")))
    (seal,) = (root / "days").rglob("symbol=BTC-USDT/**/*.parquet")
    whole = seal.read_bytes()
    for damaged in (b"PAR1", whole[:300] + bytes(200) + whole[500:]):
        seal.write_bytes(damaged)
        with pytest.raises(StoreError, match=rf"seal .*{seal.name} cannot be read") as caught:
            open_store(root)
        assert "Delete that file" in caught.value.hint
    seal.unlink()
    assert open_store(root).symbols()["symbol"].to_list() == ["ETH-USDT"]
    _, committed = store_day(root, day)
    assert committed
    assert open_store(root).audit().clean
    assert sealed(root).height == 2


def test_a_failure_in_the_small_tables_leaves_nothing(
    tmp_path: Path, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = in_memory

    def broken(field: pa.Field, values: Sequence[object]) -> Column:
        if field.name == MINUTES.schema.names[-1]:
            raise OSError(28, "No space left on device")
        return original(field, values)

    monkeypatch.setattr("lobproof.store.parts.in_memory", broken)
    root = tmp_path / "s"
    with pytest.raises(OSError, match="No space left"):
        store_day(root, day)
    assert [path for path in root.rglob("*part-*") if path.is_file()] == []
