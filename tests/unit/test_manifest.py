"""Zones and the manifest: an append-only log that survives kills and shows every change."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.documents import Memory
from lobproof.acquire import manifest as manifest_module
from lobproof.acquire.manifest import (
    CERTIFIED,
    FETCHED,
    QUARANTINED,
    VALIDATED,
    Manifest,
    missing,
    reconcile,
)
from lobproof.acquire.months import check_files
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.errors import StoreError, UsageError
from lobproof.sources.cryptolake.layout import LakeKey
from support.acquired import fetched, judged, key, put
from support.kills import start

APPEND = """
import sys
from pathlib import Path
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.zones import LakeFolder
from lobproof.sources.cryptolake.layout import LakeKey
manifest = Manifest(LakeFolder(Path(sys.argv[1])))
key = LakeKey("trades", "X", sys.argv[3], "2026-01-05", "1.parquet")
for number in range(int(sys.argv[2])):
    manifest.append("validated", key, verdict="good", audit_sha256="")
"""


@pytest.fixture
def folder(tmp_path: Path) -> LakeFolder:
    return LakeFolder(tmp_path / "lake", create=True)


# keys --------------------------------------------------------------------------------------------


def test_keys_come_back_from_their_paths() -> None:
    of = key("book_delta_v2", symbol="BTC-USDT-PERP", exchange="BINANCE_FUTURES")
    assert LakeKey.parse(of.path) == of
    assert str(of) == of.path
    assert of.day == ("BINANCE_FUTURES", "BTC-USDT-PERP", "2026-01-05")


@pytest.mark.parametrize(
    "text",
    [
        "trades/contents.json.gz",
        "trades/exchange=X/symbol=../dt=2026-01-05/1.parquet",
        "trades/exchange=X/symbol=A/dt=2026-1-5/1.parquet",
        "trades/exchange=X/symbol=A/dt=2026-02-31/1.parquet",
        "trades/exchange=X/symbol=A/dt=2026-01-05/.1.parquet",
        "trades/exchange=X/symbol=A/dt=2026-01-05/a/1.parquet",
        "../trades/exchange=X/symbol=A/dt=2026-01-05/1.parquet",
    ],
)
def test_what_is_no_key_is_none(text: str) -> None:
    assert LakeKey.parse(text) is None


# the folder --------------------------------------------------------------------------------------


def test_nobody_else_may_look_in(folder: LakeFolder) -> None:
    put(folder, key(), b"data")
    for path in (folder.root, *folder.root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder of acquired data"):
        LakeFolder(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="holds something else"):
        LakeFolder(tmp_path, create=True)
    with pytest.raises(UsageError, match="holds something else"):
        LakeFolder(tmp_path / "file", create=True)


def test_a_folder_opens_again(folder: LakeFolder) -> None:
    put(folder, key(), b"data")
    again = LakeFolder(folder.root, create=True)
    assert again.keys(Zone.RAW) == [key()]
    assert again.where(key()) is Zone.RAW
    assert again.where(key("book")) is None


# the manifest ------------------------------------------------------------------------------------


def test_records_follow_on_one_another(folder: LakeFolder) -> None:
    manifest = Manifest(folder)
    assert manifest.hashes()[-1] == manifest_module.START
    for number in range(5):
        assert manifest.append(FETCHED, key(), **fetched(b"%d" % number))["n"] == number
    assert [record["n"] for record in manifest.records()] == list(range(5))
    assert manifest.entries()[key()].fetched["size"] == 1


def test_long_records_are_followed_on_too(folder: LakeFolder) -> None:
    manifest = Manifest(folder)
    manifest.append(FETCHED, key(), **fetched(b""))
    manifest.append(VALIDATED, key(), **judged(rows=["x" * 100_000] * 3))
    manifest.append(VALIDATED, key(), **judged(rows=[]))
    assert len(list(manifest.records())) == 3


@pytest.mark.parametrize("left", [1, 40, -1])
def test_what_a_kill_leaves_of_a_line_is_cut_off_and_told(folder: LakeFolder, left: int) -> None:
    manifest = Manifest(folder)
    manifest.append(FETCHED, key(), **fetched(b"a"))
    manifest.append(FETCHED, key("book"), **fetched(b"b"))
    data = manifest.path.read_bytes()
    first = data.index(b"\n") + 1
    torn = data[: first + left] if left > 0 else data[:-1]
    manifest.path.write_bytes(torn)
    assert [record["n"] for record in manifest.records()] == [0]
    record = manifest.append(FETCHED, key("book"), **fetched(b"b"))
    assert (record["n"], record["recovered_bytes"]) == (1, len(torn) - first)
    assert [record["n"] for record in manifest.records()] == [0, 1]


def test_a_first_line_that_is_torn(folder: LakeFolder) -> None:
    manifest = Manifest(folder)
    manifest.path.write_bytes(b'{"n":0,"pre')
    assert list(manifest.records()) == []
    assert manifest.append(FETCHED, key(), **fetched(b"a"))["n"] == 0


@pytest.mark.parametrize("whole", [0, 1, 3])
@pytest.mark.parametrize("end", [b"", b"\n", b'\n{"n":'])
def test_a_line_without_end_is_named(folder: LakeFolder, whole: int, end: bytes) -> None:
    """A sparse file of gigabytes takes nothing on disk."""
    manifest = Manifest(folder)
    for number in range(whole):
        manifest.append(FETCHED, key(), **fetched(b"%d" % number))
    manifest.entries()
    with manifest.path.open("ab") as file:
        file.truncate(file.tell() + (3 << 30))
        file.seek(0, 2)
        file.write(end)
    memory = Memory()
    reads: list[Callable[[], object]] = [
        manifest.entries,
        manifest.hashes,
        Manifest(folder).entries,
        lambda: list(manifest.records()),
    ]
    for read in reads:
        with pytest.raises(
            StoreError, match=rf"manifest.jsonl, line {whole + 1}: it has"
        ) as caught:
            read()
        assert "restore it" in caught.value.hint
    if end != b'\n{"n":':
        with pytest.raises(StoreError, match="its last line: it has more than 1,048,576 bytes"):
            manifest.append(FETCHED, key(), **fetched(b"a"))
    assert memory.peak < 50_000_000


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_manifest_that_is_no_plain_file_is_named(
    folder: LakeFolder, make: Callable[[Path], None]
) -> None:
    """A pipe would be waited for."""
    manifest = Manifest(folder)
    make(manifest.path)
    for read in (manifest.entries, lambda: manifest.append(FETCHED, key(), **fetched(b""))):
        with pytest.raises(StoreError, match="is no plain file") as caught:
            read()
        assert caught.value.hint


def test_a_line_as_long_as_may_be_is_read_and_a_longer_one_not_written(folder: LakeFolder) -> None:
    manifest = Manifest(folder)
    manifest.append(FETCHED, key(), **fetched(b""))
    record = manifest.append(VALIDATED, key(), **judged(rows=""))
    line = json.dumps(record, separators=(",", ":"))
    room = manifest_module.MAX_LINE - len(line) - 1
    manifest.append(VALIDATED, key(), **judged(rows="x" * room))
    before = manifest.path.read_bytes()
    with pytest.raises(StoreError, match="line 4, which is not written: it has more than"):
        manifest.append(VALIDATED, key(), **judged(rows="x" * (room + 1)))
    assert manifest.path.read_bytes() == before
    with manifest.path.open("ab") as file:
        file.write(b"x" * (manifest_module.MAX_LINE - 1))  # torn
    assert manifest.append(VALIDATED, key(), **judged())["recovered_bytes"] > room
    assert len(list(manifest.records())) == 4


def test_more_lines_than_any_folder_needs_are_neither_written_nor_read(
    folder: LakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(folder)
    monkeypatch.setattr(manifest_module, "MAX_LINES", 3)
    for data in (b"a", b"b", b"c"):
        manifest.append(FETCHED, key(), **fetched(data))
    assert len(list(manifest.records())) == 3
    before = manifest.path.read_bytes()
    with pytest.raises(StoreError, match="more than 3 lines") as caught:
        manifest.append(FETCHED, key(), **fetched(b"d"))
    assert "new folder" in caught.value.hint
    assert manifest.path.read_bytes() == before
    assert key() in manifest.entries()
    monkeypatch.setattr(manifest_module, "MAX_LINES", 2)
    for read in (manifest.hashes, Manifest(folder).entries):
        with pytest.raises(StoreError, match="more than 2 lines"):
            read()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_changed_line_is_named(folder: LakeFolder, number: int) -> None:
    manifest = Manifest(folder)
    for data in (b"a", b"b", b"c", b"d"):
        manifest.append(FETCHED, key(), **fetched(data))
    lines = manifest.path.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[number])
    lines[number] = json.dumps({**record, "provenance": "real"}).encode() + b"\n"
    manifest.path.write_bytes(b"".join(lines))
    with pytest.raises(StoreError, match=f"line {number + 2}: the manifest was changed"):
        list(manifest.records())


def test_a_line_taken_out_is_named(folder: LakeFolder) -> None:
    manifest = Manifest(folder)
    for data in (b"a", b"b", b"c"):
        manifest.append(FETCHED, key(), **fetched(data))
    lines = manifest.path.read_bytes().splitlines(keepends=True)
    manifest.path.write_bytes(lines[0] + lines[2])
    with pytest.raises(StoreError, match="line 2: the manifest was changed"):
        list(manifest.records())
    manifest.path.write_bytes(lines[0] + b"5\n")
    with pytest.raises(StoreError, match="its last line is no record"):
        manifest.append(FETCHED, key(), **fetched(b"d"))


def test_several_processes_append_at_once(folder: LakeFolder) -> None:
    writers = [start(APPEND, folder.root, 25, name) for name in ("A", "B", "C")]
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    records = list(Manifest(folder).records())
    assert len(records) == 75
    assert sorted({record["key"].split("symbol=")[1][0] for record in records}) == ["A", "B", "C"]


def test_where_a_file_stands(folder: LakeFolder) -> None:
    manifest = Manifest(folder)
    steps = [
        (FETCHED, fetched(b"a"), Zone.RAW),
        (VALIDATED, judged(), Zone.VALIDATED),
        (CERTIFIED, {"certificate": "id", "verdict": "DEMO"}, Zone.READY),
        (QUARANTINED, judged("refused"), Zone.QUARANTINE),
        (FETCHED, fetched(b"new"), Zone.RAW),
    ]
    for event, fields, zone in steps:
        manifest.append(event, key(), **fields)
        entry = manifest.entries()[key()]
        assert entry.zone is zone
        assert entry.certificate == ("id" if event == CERTIFIED else "")
    assert entry.judged is None
    assert entry.fetched["size"] == 3


# kills between a record and its rename -----------------------------------------------------------


@pytest.mark.parametrize("old", [None, b"whole", b"another size"])
def test_a_whole_part_takes_its_place(folder: LakeFolder, old: bytes | None) -> None:
    """Killed after the record of a download, before its rename; maybe over an older version."""
    manifest = Manifest(folder)
    if old is not None:
        put(folder, key(), old)
    folder.partial(key()).write_bytes(b"fresh")
    manifest.append(FETCHED, key(), **fetched(b"fresh"))
    assert reconcile(manifest) == [key()]
    assert folder.path(Zone.RAW, key()).read_bytes() == b"fresh"
    assert not folder.partial(key()).exists()
    assert reconcile(manifest) == []
    assert check_files(folder) == []


def test_a_half_part_stays_where_it_is(folder: LakeFolder) -> None:
    manifest = Manifest(folder)
    manifest.append(FETCHED, key(), **fetched(b"whole"))
    folder.partial(key()).write_bytes(b"who")
    assert reconcile(manifest) == []
    assert missing(manifest) == [key()]
    assert check_files(folder) == [f"{key()}: not in raw; download it again"]


@pytest.mark.parametrize(
    ("event", "fields", "zone"),
    [
        (VALIDATED, judged(), Zone.VALIDATED),
        (QUARANTINED, judged("refused"), Zone.QUARANTINE),
    ],
)
def test_a_move_is_finished(
    folder: LakeFolder, event: str, fields: dict[str, object], zone: Zone
) -> None:
    manifest = Manifest(folder)
    put(folder, key(), b"data")
    manifest.append(event, key(), **fields)
    assert reconcile(manifest) == [key()]
    assert folder.where(key()) is zone
    assert not folder.path(Zone.RAW, key()).exists()
    assert check_files(folder) == []


def test_reasons_go_with_the_quarantine(folder: LakeFolder) -> None:
    manifest = Manifest(folder)
    put(folder, key(), b"data")
    manifest.append(QUARANTINED, key(), **judged("refused"))
    folder.write_reasons(key(), {"reasons": {"schema": 1}})
    reconcile(manifest)
    assert json.loads(folder.reasons_path(key()).read_bytes()) == {"reasons": {"schema": 1}}
    manifest.append(VALIDATED, key(), **judged())
    reconcile(manifest)
    assert not folder.reasons_path(key()).exists()


def test_files_that_the_manifest_does_not_say(folder: LakeFolder) -> None:
    put(folder, key(), b"data")
    for zone, of in ((Zone.READY, key("book")), (Zone.VALIDATED, key())):
        path = folder.partial(of, ".stray")
        path.write_bytes(b"data")
        folder.move(path, zone, of)
    folder.path(Zone.RAW, key()).write_bytes(b"atad")
    assert check_files(folder) == [
        f"{key()}: in raw, but changed since it was fetched; `validate --again` refuses it",
        f"{key()}: in validated as well as in raw",
        f"{key('book')}: in ready, and the manifest does not know it",
    ]
