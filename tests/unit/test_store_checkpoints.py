"""A day's writer saved and resumed: what a checkpoint needs, what it refuses, kills."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lobproof.errors import StoreError
from lobproof.instruments import Instrument
from lobproof.schema import Flag, StateBatch
from lobproof.store import (
    CheckpointError,
    DayContent,
    DayWriter,
    Saved,
    commit_day,
    drop_checkpoints,
    list_checkpoints,
    open_store,
    read_checkpoint,
    symbol_lock,
)
from lobproof.store.checkpoint import KEY
from support.batches import DT, Day, make_day, make_instrument, make_seal, store_day
from support.checkpoints import (
    Killed,
    data_files,
    open_writer,
    partition_of,
    path_of,
    stop_dead,
    write_day,
    write_rest,
)
from support.kills import died, killed_at_random, start, wait_for

PART_ROWS = 100


@pytest.fixture(scope="module")
def day() -> Day:
    return make_day()


@pytest.fixture(scope="module")
def undisturbed(day: Day, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DayContent]:
    root = tmp_path_factory.mktemp("undisturbed")
    return root, write_day(root, day, random.Random(1), part_rows=PART_ROWS)


def write_until_killed(root: Path, day: Day, parts: int, *, seed: int = 2) -> None:
    """Write so many parts, and die when the last one's checkpoint is there."""
    left = [parts]

    def killed() -> None:
        left[0] -= 1
        if not left[0]:
            raise Killed

    with symbol_lock(root, "BINANCE", "BTC-USDT"):
        writer = open_writer(root, day, PART_ROWS)
        with pytest.raises(Killed):
            write_rest(writer, root, day, random.Random(seed), at_part_end=killed)
        stop_dead(writer)


def resume(root: Path, day: Day, saved: Saved, **changes: Any) -> DayWriter:
    options = {"instrument": day.instrument, "dt": day.dt, "part_rows": PART_ROWS, **changes}
    instrument, dt = options.pop("instrument"), options.pop("dt")
    with symbol_lock(root, instrument.exchange, instrument.symbol):
        return DayWriter.resume(root, instrument, dt, saved, **options)


def load(root: Path, day: Day) -> Saved:
    saved = read_checkpoint(path_of(root, day))
    assert saved is not None
    return saved


def parts_of(saved: Saved, table: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = saved.document[KEY]["parts"][table]
    return parts


def test_room_tells_where_the_part_closes(tmp_path: Path, day: Day) -> None:
    ends = np.flatnonzero(day.events.flags & Flag.LAST) + 1
    states = StateBatch.empty()

    def place() -> tuple[int, bool]:
        return writer.room, writer.at_part_end

    with (
        symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        DayWriter(tmp_path, day.instrument, DT, states=False, part_rows=PART_ROWS) as writer,
    ):
        assert place() == (PART_ROWS, False)
        before = int(ends[np.searchsorted(ends, PART_ROWS) - 1])
        closing = int(ends[np.searchsorted(ends, PART_ROWS)])
        writer.append(day.events.slice(0, before), states)
        assert place() == (PART_ROWS - before, False)
        writer.append(day.events.slice(before, closing), states)
        assert place() == (PART_ROWS, True)
        writer.append(day.events.slice(0, 0), states)
        assert place() == (PART_ROWS, True)
        writer.append(day.events.slice(closing, int(ends[-1])), states)
        assert not place()[1]
        with pytest.raises(ValueError, match="ends of parts"):
            writer.save()
        with pytest.raises(ValueError, match="ends of parts"):
            writer.checkpoint(path_of(tmp_path, day), {}, {})


@pytest.mark.parametrize("parts", [1, 3])
def test_a_killed_day_goes_on(
    tmp_path: Path, day: Day, undisturbed: tuple[Path, DayContent], parts: int
) -> None:
    write_until_killed(tmp_path, day, parts)
    write_until_killed(tmp_path, day, 2)
    saved = load(tmp_path, day)
    assert [len(parts_of(saved, name)) for name in ("events", "states")] == [parts + 2] * 2
    kept = [tmp_path / "events" / part["path"] for part in parts_of(saved, "events")]
    stamps = [path.stat().st_mtime_ns for path in kept]
    content = write_day(tmp_path, day, random.Random(3), part_rows=PART_ROWS)
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    assert content.tables == undisturbed[1].tables
    assert data_files(tmp_path) == data_files(undisturbed[0])


def test_what_was_saved_goes_on_without_a_file(
    tmp_path: Path, day: Day, undisturbed: tuple[Path, DayContent]
) -> None:
    with symbol_lock(tmp_path, "BINANCE", "BTC-USDT"):
        first = DayWriter(tmp_path, day.instrument, DT, part_rows=PART_ROWS)
        empty = first.save()
        stop_dead(first)
        with DayWriter.resume(tmp_path, day.instrument, DT, empty, part_rows=PART_ROWS) as writer:
            assert (writer.rows, writer.at_part_end) == (0, False)
            content = write_rest(writer, tmp_path, day, random.Random(4))
    assert content.hashes == undisturbed[1].hashes


def test_a_checkpoint_before_the_first_event(tmp_path: Path, day: Day) -> None:
    with symbol_lock(tmp_path, "BINANCE", "BTC-USDT"):
        with DayWriter(tmp_path, day.instrument, DT) as writer:
            writer.keyframe(day.frames[0])
            writer.checkpoint(path_of(tmp_path, day), {"rows": 0}, {"state": np.zeros(1)})
        saved = load(tmp_path, day)
        assert saved.document["rows"] == 0
        writer = DayWriter.resume(tmp_path, day.instrument, DT, saved)
        with writer, pytest.raises(ValueError, match="keyframe of event -1"):
            writer.keyframe(day.frames[0])


def test_files_that_no_checkpoint_lists_are_deleted(tmp_path: Path, day: Day) -> None:
    write_until_killed(tmp_path, day, 2)
    folder = tmp_path / "events" / partition_of(day).folder
    listed = {Path(part["path"]).name for part in parts_of(load(tmp_path, day), "events")}
    (folder / "part-00002-0123456789abcdef.parquet").write_bytes(b"of a later part")
    (folder / ".tmp-part-00003").write_bytes(b"half a part")
    with resume(tmp_path, day, load(tmp_path, day)):
        assert {path.name for path in folder.iterdir()} == listed


def test_a_resumed_replacement_spares_the_committed_day(tmp_path: Path, day: Day) -> None:
    committed, _ = store_day(tmp_path, make_day(seed=5), part_rows=PART_ROWS)
    before = data_files(tmp_path)
    write_until_killed(tmp_path, day, 2)
    write_until_killed(tmp_path, day, 1)
    assert before.items() <= data_files(tmp_path).items()
    assert open_store(tmp_path).audit().clean
    with (
        symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        open_writer(tmp_path, day, PART_ROWS) as writer,
    ):
        content = write_rest(writer, tmp_path, day, random.Random(5))
        assert commit_day(tmp_path, content, make_seal())
        assert drop_checkpoints(tmp_path, partition_of(day)) == [path_of(tmp_path, day)]
    assert content.hashes != committed.hashes
    assert open_store(tmp_path).days()["content_hash"].to_list() == [content.content_hash]
    assert open_store(tmp_path).audit().clean


def test_an_abort_keeps_what_the_last_checkpoint_lists(
    tmp_path: Path, day: Day, undisturbed: tuple[Path, DayContent]
) -> None:
    def interrupted(parts: int) -> None:
        left = [parts]

        def interrupt() -> None:
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        with (
            symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
            pytest.raises(KeyboardInterrupt),
            open_writer(tmp_path, day, PART_ROWS) as writer,
        ):
            write_rest(writer, tmp_path, day, random.Random(6), at_part_end=interrupt)

    for parts in (2, 1):
        interrupted(parts)
        saved = load(tmp_path, day)
        names = {
            f"{t}/{part['path']}"
            for t in saved.document[KEY]["parts"]
            for part in parts_of(saved, t)
        }
        assert set(data_files(tmp_path)) == names
    assert len(parts_of(saved, "events")) == 3
    content = write_day(tmp_path, day, random.Random(7), part_rows=PART_ROWS)
    assert content.hashes == undisturbed[1].hashes


def test_a_new_writer_drops_checkpoints(tmp_path: Path, day: Day) -> None:
    write_until_killed(tmp_path, day, 2)
    with symbol_lock(tmp_path, "BINANCE", "BTC-USDT"), DayWriter(tmp_path, day.instrument, DT):
        assert list_checkpoints(tmp_path, partition_of(day)) == []
        assert data_files(tmp_path) == {}


def test_resuming_needs_the_lock(tmp_path: Path, day: Day) -> None:
    write_until_killed(tmp_path, day, 1)
    with pytest.raises(StoreError, match="needs its lock"):
        DayWriter.resume(tmp_path, day.instrument, DT, load(tmp_path, day), part_rows=PART_ROWS)


def lost(path: Path) -> None:
    path.unlink()


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"!")


def no_parquet(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def strange(path: Path) -> None:
    """The same rows, and nothing of lobproof's in the metadata."""
    table = pq.ParquetFile(path).read()
    pq.write_table(table.replace_schema_metadata(None), path)


def following(path: Path) -> None:
    """The bytes of the next part."""
    number = int(path.name[5:10]) + 1
    (other,) = path.parent.glob(f"part-{number:05d}-*")
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("table", ["events", "states", "keyframes"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lost, "is missing"),
        (longer, "is not the file"),
        (no_parquet, "cannot be read"),
        (strange, "cannot be read"),
        (following, "is not the file"),
    ],
)
def test_a_listed_part_that_is_not_what_it_was_is_refused(
    tmp_path: Path, day: Day, table: str, change: Callable[[Path], None], message: str
) -> None:
    write_until_killed(tmp_path, day, 4)
    saved = load(tmp_path, day)
    path = tmp_path / table / parts_of(saved, table)[0]["path"]
    change(path)
    if change in (strange, following):  # the size must not tell already
        parts_of(saved, table)[0]["size"] = path.stat().st_size
    before = data_files(tmp_path)
    with pytest.raises(CheckpointError, match=message) as caught:
        resume(tmp_path, day, saved)
    assert path.name in caught.value.message
    assert data_files(tmp_path) == before
    assert list_checkpoints(tmp_path, partition_of(day))


def test_a_part_under_another_number_is_refused(tmp_path: Path, day: Day) -> None:
    write_until_killed(tmp_path, day, 3)
    saved = load(tmp_path, day)
    parts_of(saved, "events").pop(0)
    with pytest.raises(CheckpointError, match="is not the file"):
        resume(tmp_path, day, saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dt": "2024-08-09"}, "another dt: 2024-08-08"),
        ({"instrument": make_instrument("ETH-USDT")}, "another symbol"),
        ({"instrument": make_instrument(exchange="OTHER")}, "another exchange"),
        ({"instrument": make_instrument(price_exponent=3)}, "another price_exponent"),
        ({"instrument": make_instrument(size_exponent=7)}, "another size_exponent"),
        ({"states": False}, "another states"),
        ({"part_rows": 99}, "another part_rows: 100, not 99"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    tmp_path: Path, day: Day, changes: dict[str, str | int | Instrument], message: str
) -> None:
    write_until_killed(tmp_path, day, 1)
    with pytest.raises(CheckpointError, match=message):
        resume(tmp_path, day, load(tmp_path, day), **changes)


def test_a_checkpoint_without_a_writer_is_refused(tmp_path: Path, day: Day) -> None:
    with pytest.raises(CheckpointError, match="says nothing"):
        resume(tmp_path, day, Saved({"rows": 7}, {}))


def test_the_writers_own_names_are_refused(tmp_path: Path, day: Day) -> None:
    path = path_of(tmp_path, day)
    with (
        symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        DayWriter(tmp_path, day.instrument, DT) as writer,
    ):
        with pytest.raises(ValueError, match="writer's own"):
            writer.checkpoint(path, {KEY: 1}, {})
        with pytest.raises(ValueError, match="writer's own"):
            writer.checkpoint(path, {}, {f"{KEY}/minutes/minute": np.zeros(1)})
        with pytest.raises(TypeError, match="JSON"):
            writer.checkpoint(path, {"state": {1}}, {})


def test_a_checkpoint_waits_for_its_parts(
    tmp_path: Path, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller goes on at once; no checkpoint appears before what it lists."""
    go = threading.Event()
    monkeypatch.setattr("lobproof.store.parts.sync_file", lambda _: go.wait())
    ends = np.flatnonzero(day.events.flags & Flag.LAST) + 1
    closing = int(ends[np.searchsorted(ends, PART_ROWS)])
    path = path_of(tmp_path, day)
    with (
        symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        DayWriter(tmp_path, day.instrument, DT, states=False, part_rows=PART_ROWS) as writer,
    ):
        writer.append(day.events.slice(0, closing), StateBatch.empty())
        writer.checkpoint(path, {"rows": writer.rows}, {})
        following = int(ends[np.searchsorted(ends, closing, side="right")])
        writer.append(day.events.slice(closing, following), StateBatch.empty())
        assert not path.exists()
        go.set()
        writer.close()
    assert load(tmp_path, day).document["rows"] == closing
    assert [p["rows"] for p in parts_of(load(tmp_path, day), "events")] == [closing]


def test_no_checkpoint_lists_a_part_that_could_not_be_encoded(
    tmp_path: Path, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with (
        symbol_lock(tmp_path, "BINANCE", "BTC-USDT"),
        DayWriter(tmp_path, day.instrument, DT, part_rows=PART_ROWS) as writer,
    ):
        monkeypatch.setattr("lobproof.store.parts.to_arrow", broken)
        with pytest.raises(OSError, match="No space left"):
            write_rest(writer, tmp_path, day, random.Random(8))
    assert list_checkpoints(tmp_path, partition_of(day)) == []
    assert data_files(tmp_path) == {}


def test_a_checkpoint_that_cannot_be_written_stops_the_day(
    tmp_path: Path, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lobproof.store.writer.write_checkpoint", broken)
    with pytest.raises(OSError, match="No space left"):
        write_day(tmp_path, day, random.Random(9), part_rows=PART_ROWS)
    assert data_files(tmp_path) == {}


def test_only_keyframes_of_the_open_part_are_carried(tmp_path: Path) -> None:
    day = make_day(frame_every=2)
    write_until_killed(tmp_path, day, 4)
    saved = load(tmp_path, day)
    at = saved.document[KEY]["position"]["part_ends"][-2]
    places = saved.arrays[f"{KEY}/keyframes/places"]
    assert (
        places[:, 0].tolist()
        == [f.event_id for f in day.frames if at < f.event_id < at + 1000][: len(places)]
    )
    assert 0 < len(places) < len(day.frames) // 2
    assert len(parts_of(saved, "keyframes")) == 3


KILLED = """
import random, sys
from pathlib import Path
from support.batches import make_day
from support.checkpoints import path_of, write_day
from support.kills import die_at

root, target, count, when, seed = sys.argv[1:]
print("ready", flush=True)
if target:
    die_at(target, int(count), when)
day = make_day()
for _ in range(30):
    write_day(Path(root), day, random.Random(int(seed)), part_rows=100)
    path_of(Path(root), day).unlink()
"""
"""Writes the day from its last checkpoint, then over and over, until it is killed."""


def check_resumed(root: Path, day: Day, undisturbed: tuple[Path, DayContent]) -> None:
    content = write_day(root, day, random.Random(10), part_rows=PART_ROWS)
    assert content.tables == undisturbed[1].tables
    assert data_files(root) == data_files(undisturbed[0])


KILLS = [
    [("store.writer:write_checkpoint", 1, "before"), ("store.writer:write_checkpoint", 2, "after")],
    # fifteen folders and the marker before the second checkpoint; none in a run that resumes
    [("files:sync_folder", 17, "before"), ("store.parts:PartWriter.finish", 3, "after")],
    [("store.parts:sync_file", 4, "before"), ("files:sync_folder", 3, "after")],
]


@pytest.mark.parametrize("kills", KILLS)
def test_killed_and_resumed(
    tmp_path: Path,
    day: Day,
    undisturbed: tuple[Path, DayContent],
    kills: list[tuple[str, int, str]],
) -> None:
    for seed, (target, count, when) in enumerate(kills):
        died(start(KILLED, tmp_path, f"lobproof.{target}", count, when, seed))
    check_resumed(tmp_path, day, undisturbed)


@pytest.mark.slow
def test_killed_at_random_instants_and_resumed(
    tmp_path: Path, day: Day, undisturbed: tuple[Path, DayContent]
) -> None:
    rng = random.Random(12)
    for number in range(25):
        process = start(KILLED, tmp_path / str(number % 5), "", 0, "", number)
        wait_for("ready", process)
        killed_at_random(process, rng, 1.2)
    for number in range(5):
        check_resumed(tmp_path / str(number), day, undisturbed)
