"""Where files come from and go to: pipes, folders, full disks, kills; golden samples that rot."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lobproof.errors import InputError
from lobproof.paths import whole_folder
from lobproof.pipeline import derive_lake, reconstruct_sample
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate
from lobproof.store import open_store
from lobproof.store.layout import ensure_store
from support import kills
from support.commands import command, refused
from support.kills import Process, start
from support.recording_faults import Recording

# without coverage, which on a full disk prints a traceback of its own
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
    "PYTHONPATH": kills.ENVIRONMENT["PYTHONPATH"],
}
COMMAND = "import sys; from lobproof.cli import run; sys.exit(run(sys.argv[1:]))"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A spot market's recording."""
    folder = tmp_path_factory.mktemp("spot")
    return list(simulate(folder / "sim", minutes=0.3, seed=5).recordings)


@pytest.fixture
def golden(files: list[Path], tmp_path: Path) -> GoldenSample:
    """A golden sample, to be damaged."""
    return import_recordings(files, tmp_path / "golden")


def _limited(size: int) -> Callable[[], None]:
    """No file larger than ``size``: what a full disk does, without filling one."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _spawn(*arguments: object, limit: int = 0) -> Process:
    limited = _limited(limit) if limit else None
    return start(COMMAND, *arguments, environment=ENVIRONMENT, preexec_fn=limited)


# where recordings come from ----------------------------------------------------------------------


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused("is a pipe or a device", "import", pipe, "--out", tmp_path / "golden")
    assert not (tmp_path / "golden").exists()


def test_a_folder_or_nothing_is_no_recording(tmp_path: Path) -> None:
    refused("is empty: it is not a recording", "import", tmp_path, "--out", tmp_path / "golden")
    refused("does not exist", "import", tmp_path / "no.gz", "--out", tmp_path / "golden")
    refused("does not exist", "reconstruct", tmp_path / "no", "--out", tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


# where they go -----------------------------------------------------------------------------------


def test_a_folder_that_holds_something_else(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    for options in ((), ("--overwrite",)):
        refused("is no whole golden sample", "import", *files, "--out", out, *options)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way(files: list[Path], tmp_path: Path, golden: GoldenSample) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    refused("is no whole golden sample", "import", *files, "--out", file)
    refused("", "import", *files, "--out", file / "golden")
    refused("", "reconstruct", "--prove", "none", golden.path, "--out", file)
    assert file.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(
    files: list[Path], tmp_path: Path, golden: GoldenSample
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    refused("ermission", "import", *files, "--out", closed / "golden")
    refused("ermission", "reconstruct", "--prove", "none", golden.path, "--out", closed / "store")


def _writers(files: list[Path], golden: Path, store: Path, to: Path) -> list[tuple[object, ...]]:
    """Every command that writes, below ``to``."""
    return [
        ("import", *files, "--out", to / "new"),
        ("reconstruct", "--prove", "none", golden, "--out", to / "store"),
        ("derive-lake", golden, "--out", to / "derived"),
        ("simulate", "--minutes", "0.05", "--lake", "--out", to / "sim"),
        ("report", store, "--out", to / "page.html"),
    ]


def _hidden(folder: Path) -> list[Path]:
    """Half files, and hidden ones beside what was to be made; locks and checkpoints may stay."""
    return [
        path
        for path in folder.rglob(".*")
        if path.name.startswith(".tmp") or path.parent == folder or path.suffix == ".tmp"
    ]


@pytest.mark.parametrize("size", [pytest.param(1000, marks=pytest.mark.slow), 50_000])
def test_a_full_disk_leaves_nothing_half_made(
    files: list[Path], tmp_path: Path, golden: GoldenSample, size: int
) -> None:
    there = _store(golden, tmp_path / "there")
    for arguments in _writers(files, golden.path, there, tmp_path):
        if size > 1000 and arguments[0] in ("derive-lake", "simulate"):
            continue  # none of their files is as large
        process = _spawn(*arguments, limit=size)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 3, err
        assert "Traceback" not in err
        assert "error: " in err
        assert "File too large" in err
        assert "\nHint: make room" in err
        assert _hidden(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"golden", "store", "there"}
    said = command("inspect", tmp_path / "store", "--json")
    assert said.code == 3 or said.document["days"] == []
    assert command("import", *files, "--out", tmp_path / "new").code == 0
    assert (
        command("reconstruct", "--prove", "none", golden.path, "--out", tmp_path / "store").code
        == 0
    )
    assert command("verify", tmp_path / "store", "--against", tmp_path / "new").code in (0, 1)


_ON_A_DISK = """
import subprocess, sys
from pathlib import Path
from lobproof.store import open_store
from lobproof.store.layout import ensure_store
from support.commands import command
from integration.test_fault_places import _hidden, _writers

disk, golden, store, *files = map(Path, sys.argv[1:])
for kib in (8, 32, 96, 200):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", disk], check=True)
    for arguments in _writers(files, golden, store, disk):
        said = command(*arguments)
        if said.code != 0:
            assert said.code == 3, said
            assert str(disk) in said.err and "No space left on device\\nHint: " in said.err, said
        assert _hidden(disk) == [], (kib, arguments, _hidden(disk))
        for path in disk.iterdir():
            subprocess.run(["rm", "-r", path], check=True)
        print(said.code)
    subprocess.run(["umount", disk], check=True)
"""


def test_a_disk_that_fills_up_at_any_moment(
    files: list[Path], tmp_path: Path, golden: GoldenSample
) -> None:
    alone = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    disk, probe = tmp_path / "disk", ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run([*alone, *probe], check=False).returncode:
        pytest.skip("no file system may be mounted here")
    disk.mkdir()
    store = _store(golden, tmp_path / "there")
    ended = subprocess.run(
        [*alone, sys.executable, "-c", _ON_A_DISK, disk, golden.path, store, *files],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert ended.stdout.count("3") > 10


def test_a_page_in_place_of_a_folder(golden: GoldenSample, tmp_path: Path) -> None:
    store = _store(golden, tmp_path)
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.write_text("precious")
    hint = refused("is a folder, and the page is one file", "report", store, "--out", folder)
    assert f"name it: {folder / 'report.html'}" in hint
    refused(f"{file} is a file", "report", store, "--out", file / "page.html")
    assert list(folder.iterdir()) == []
    assert file.read_text() == "precious"
    assert _hidden(tmp_path) == []


@pytest.mark.parametrize("doing", ["importing", "deriving", "simulating"])
def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path, doing: str) -> None:
    left = tmp_path / f".out.123-abcd.{doing}"
    left.mkdir()
    (left / "half").write_text("half")
    other = tmp_path / f".outer.123-abcd.{doing}"
    other.mkdir()
    with whole_folder(tmp_path / "out", doing) as work:
        assert not left.exists()
        with whole_folder(tmp_path / "out", doing) as second:  # which leaves what is under way
            (second / "file").write_text("second")
        (work / "file").write_text("first")
    assert (tmp_path / "out" / "file").read_text() == "first"
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "out"]


def test_a_folder_is_kept_where_another_cannot_take_its_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("precious")
    with pytest.raises(FileNotFoundError), whole_folder(out, "importing") as work:
        shutil.rmtree(work)
    assert (out / "file").read_text() == "precious"
    assert list(tmp_path.iterdir()) == [out]


def test_a_marker_that_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".tmp-marker-123"
    left.write_text("half")
    ensure_store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lobproof-store.json"]


def test_a_killed_import_shows_nothing_and_can_be_run_again(
    files: list[Path], tmp_path: Path, golden: GoldenSample
) -> None:
    lines = [line for file in Recording.read(files).lines for line in file]
    big = tmp_path / "big.txt"
    with big.open("wb") as file:
        for _ in range(20):
            file.writelines(lines)  # ids that come again: it only has to last a while
    out = tmp_path / "out"
    process = _spawn("import", big, "--out", out)
    while process.poll() is None and not list(tmp_path.glob(".out.*.importing/journal/*")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    refused(
        "is no golden sample|does not exist",
        "reconstruct",
        "--prove",
        "none",
        out,
        "--out",
        tmp_path / "store",
    )
    again = import_recordings(files, out)
    assert again.document == golden.document


# golden samples that rot -------------------------------------------------------------------------


def _store(golden: GoldenSample, tmp_path: Path) -> Path:
    store = tmp_path / "store"
    assert command("reconstruct", "--prove", "none", golden.path, "--out", store).code == 0
    return store


def test_a_journal_cut_short(golden: GoldenSample, tmp_path: Path) -> None:
    store = _store(golden, tmp_path)
    journal = golden.journals[-1]
    data = journal.read_bytes()
    journal.write_bytes(data[:-100])
    for arguments in (
        ("reconstruct", "--prove", "none", golden.path, "--out", tmp_path / "other"),
        ("verify", store, "--against", golden.path),
        ("inspect", golden.path),
    ):
        said = command(*arguments)
        assert said.code == 3
        assert f"{journal} has {len(data) - 100} bytes, golden.json lists {len(data)}" in said.err
        assert "\nHint: " in said.err


@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
def test_a_flipped_byte_in_a_journal(golden: GoldenSample, tmp_path: Path, place: float) -> None:
    store = _store(golden, tmp_path)
    journal = max(golden.journals, key=lambda path: path.stat().st_size)
    data = bytearray(journal.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    journal.write_bytes(data)
    for arguments in (
        ("verify", store, "--against", golden.path),
        ("reconstruct", "--prove", "none", golden.path, "--out", tmp_path / "other"),
        ("reconstruct", "--prove", "none", golden.path, "--out", store),  # which is sealed already
        ("derive-lake", golden.path, "--out", tmp_path / "lake"),
    ):
        hint = refused(f"{journal} is damaged or was changed: its SHA-256 is ", *arguments)
        assert "Hint: copy the sample anew" in hint
    assert not (tmp_path / "lake").exists()
    assert command("inspect", tmp_path / "other").code == 3


def test_a_missing_journal(golden: GoldenSample, tmp_path: Path) -> None:
    store = _store(golden, tmp_path)
    golden.journals[0].unlink()
    missing = f"{golden.journals[0]} is missing"
    refused(missing, "reconstruct", "--prove", "none", golden.path, "--out", tmp_path / "other")
    refused(missing, "inspect", golden.path)
    said = command("verify", store, "--against", golden.path, "--json")
    assert said.code == 3
    assert missing in said.err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: "", "is damaged"),
        (lambda text: "[]", "is damaged: it is no object"),
        (lambda text: re.sub('"format_version": [0-9]+', '"format_version": 7', text), "version 7"),
        (
            lambda text: text.replace('"clock"', '"clocks"'),
            "is damaged: Object missing required field `clock`",
        ),
        (lambda text: text.replace('"tick"', '"tack"'), "is damaged"),
        # a count that nothing is held against is still a count
        (
            lambda text: text.replace('"counts": {', '"counts": {"else": "0",'),
            "is damaged: Expected `int`",
        ),
        (
            lambda text: text.replace('"bookTicker": ', '"ticker": ', 1),
            "is damaged: its counts lack bookTicker",
        ),
        (
            lambda text: text.replace('"price_exponent": 2', '"price_exponent": 99'),
            "is damaged: a grid",
        ),
        (lambda text: text.replace('"price_exponent": 2', '"price_exponent": 0'), "grid|digits"),
    ],
)
def test_an_edited_document(
    golden: GoldenSample, tmp_path: Path, damage: Callable[[str], str], words: str
) -> None:
    file = golden.path / "golden.json"
    text = file.read_text()
    file.write_text(damage(text))
    assert file.read_text() != text
    refused(words, "reconstruct", "--prove", "none", golden.path, "--out", tmp_path / "other")


def test_a_document_with_another_hash(golden: GoldenSample, tmp_path: Path) -> None:
    store = _store(golden, tmp_path)
    file = golden.path / "golden.json"
    document = json.loads(file.read_text())
    document["journals"][0]["sha256"] = "0" * 64
    file.write_text(json.dumps(document))
    refused(
        f"{golden.journals[0]} is damaged or was changed: its SHA-256 is [0-9a-f]{{64}}, "
        f"golden.json lists {'0' * 64}",
        *("verify", store, "--against", golden.path, "--json"),
    )


def test_a_journal_that_is_changed_while_it_is_read(golden: GoldenSample, tmp_path: Path) -> None:
    """Before a day is sealed, or a checkpoint written, the files must be those that were hashed."""
    journal = golden.journals[-1]
    touched: list[object] = []

    def touch(*_: object) -> None:
        if not touched:
            os.utime(journal, ns=(0, 0))
            touched.append(journal)

    changed = f"{re.escape(str(journal))} was changed while it was read"
    with pytest.raises(InputError, match=changed):
        reconstruct_sample(golden.path, tmp_path / "store", progress=touch, batch_rows=1000)
    assert open_store(tmp_path / "store").days().is_empty()
    touched.clear()
    journal.touch()
    with pytest.raises(InputError, match=changed):
        derive_lake(golden.path, tmp_path / "lake", progress=touch, batch_rows=1000)
    assert not (tmp_path / "lake").exists()


def test_the_lines_of_a_sample_are_counted(golden: GoldenSample, tmp_path: Path) -> None:
    store = _store(golden, tmp_path)
    document = json.loads((golden.path / "golden.json").read_text())
    document["journals"][0]["lines"] += 1
    (golden.path / "golden.json").write_text(json.dumps(document))
    refused(
        r"journals have [0-9,]+ lines, golden.json lists", "verify", store, "--against", golden.path
    )
    refused(
        r"\.jsonl\.zst has [0-9,]+ lines, golden.json lists [0-9,]+",
        *("reconstruct", "--prove", "none", golden.path, "--out", tmp_path / "other"),
    )
