"""Links where a command writes, locks or deletes: what they lead to is never touched."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lobproof import files
from lobproof.errors import PlaceError
from lobproof.files import (
    below,
    drop_unfinished,
    locked,
    new_file,
    open_ours,
    replacing,
    walk,
    write_whole,
)
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate
from lobproof.store import symbol_lock
from support.acquired import validated_lake
from support.commands import Said, command, refused

Commands = Callable[[Path], Iterator[Said]]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A golden sample."""
    folder = tmp_path_factory.mktemp("links")
    recordings = simulate(folder / "sim", minutes=0.1, seed=5, lake=True).recordings
    import_recordings(list(recordings), folder / "golden")
    return folder


def snapshot(folder: Path) -> dict[str, object]:
    """Everything below a folder: modes, bytes, and where links lead."""
    return {
        path.relative_to(folder).as_posix(): (
            stat.S_IMODE(path.lstat().st_mode),
            path.readlink().as_posix()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else None,
        )
        for path in sorted(folder.rglob("*"))
    }


def places(folder: Path) -> list[str]:
    """Every file and folder below one, hidden ones too; of parts of one kind the first."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def each_as_a_link(whole: Path, tmp_path: Path, commands: Commands) -> dict[str, list[int]]:
    """Put each place of a folder elsewhere, a link in its stead; the commands' exit codes."""
    codes: dict[str, list[int]] = {}
    for number, place in enumerate(places(whole)):
        there, outside = tmp_path / f"{number}", tmp_path / f"{number}-outside"
        shutil.copytree(whole, there)
        outside.mkdir()
        target = outside / "target"
        (there / place).rename(target)
        if target.is_dir():
            (target / "notes.txt").write_text("precious")
        (there / place).symlink_to(target)
        before = snapshot(outside)
        codes[place] = []
        for said in commands(there):
            assert snapshot(outside) == before, (place, said)
            assert said.code in (0, 1, 2, 3), (place, said)
            assert said.code != 3 or "\nHint: " in said.err, (place, said)
            codes[place].append(said.code)
        shutil.rmtree(there)
        shutil.rmtree(outside)
    return codes


def test_a_store(sample: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert command("reconstruct", "--prove", "none", sample / "golden", "--out", store).code == 0
    assert (
        command(
            "reconstruct", "--prove", "none", sample / "golden", "--out", store, "--overwrite"
        ).code
        == 0
    )

    def commands(there: Path) -> Iterator[Said]:
        yield command("inspect", there)
        yield command(
            "reconstruct", "--prove", "none", sample / "golden", "--out", there, "--overwrite"
        )
        yield command("verify", there, "--against", sample / "golden")

    codes = each_as_a_link(store, tmp_path, commands)
    assert len(codes) > 40
    kept = {place for place, ended in codes.items() if ended[1] != 3}
    # what stands as a link in a partition is ours to delete: the link, that is
    assert all(place.endswith(".parquet") or place.startswith(".locks/") for place in kept), kept


def test_what_is_sealed_already_is_not_called_done(sample: Path, tmp_path: Path) -> None:
    """Where a table's log is gone, or a partition is a link though the day has no file in it."""
    store = tmp_path / "store"
    assert command("reconstruct", "--prove", "none", sample / "golden", "--out", store).code == 0
    (day,) = store.glob("events/*/*/*")
    empty = store / "quality" / day.relative_to(store / "events")
    if empty.exists():
        empty.rename(tmp_path / "elsewhere")
    else:
        empty.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "elsewhere").mkdir()
    empty.symlink_to(tmp_path / "elsewhere")
    refused("is a link", "reconstruct", "--prove", "none", sample / "golden", "--out", store)
    empty.unlink()
    (tmp_path / "elsewhere").rename(empty)
    assert command("reconstruct", "--prove", "none", sample / "golden", "--out", store).code == 0
    shutil.rmtree(store / "events" / "_delta_log")
    told = refused(
        "not in the Delta table",
        "reconstruct",
        "--prove",
        "none",
        sample / "golden",
        "--out",
        store,
    )
    assert "--overwrite" in told
    assert (
        command(
            "reconstruct", "--prove", "none", sample / "golden", "--out", store, "--overwrite"
        ).code
        == 0
    )
    assert command("inspect", store).code == 0


def test_a_golden_sample(sample: Path, tmp_path: Path) -> None:
    def commands(there: Path) -> Iterator[Said]:
        yield command(
            "reconstruct", "--prove", "none", there, "--out", there.parent / f"{there.name}-store"
        )
        yield command("derive-lake", there, "--out", there.parent / f"{there.name}-lake")

    codes = each_as_a_link(sample / "golden", tmp_path, commands)
    assert all(ended == [3, 3] for ended in codes.values()), codes


def test_a_plain_lake(sample: Path, tmp_path: Path) -> None:
    def commands(there: Path) -> Iterator[Said]:
        yield command(
            "reconstruct", "--prove", "none", there, "--out", there.parent / f"{there.name}-store"
        )

    codes = each_as_a_link(sample / "sim" / "lake", tmp_path, commands)
    assert all(ended == [3] for ended in codes.values()), codes


def test_a_folder_of_acquired_data(tmp_path: Path) -> None:
    lake = validated_lake(tmp_path).root
    assert command("acquire", "certify", lake, "--allow-synthetic").code == 0

    def commands(there: Path) -> Iterator[Said]:
        yield command("acquire", "status", there)
        yield command("acquire", "validate", there, "--again")
        yield command("acquire", "certify", there, "--allow-synthetic")
        yield command("acquire", "certify", "--verify", next((lake / "certificates").iterdir()))

    codes = each_as_a_link(lake, tmp_path, commands)
    assert len(codes) > 30


@pytest.mark.parametrize("target", ["folder", "file", "missing"])
def test_what_is_to_be_made_is_a_link(sample: Path, tmp_path: Path, target: str) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    (outside / "folder").mkdir(parents=True)
    (outside / "file").write_text("precious")
    before = snapshot(outside)
    store = tmp_path / "store"
    assert command("reconstruct", "--prove", "none", sample / "golden", "--out", store).code == 0
    for arguments in (
        ("import", next((sample / "sim").glob("*.gz")), "--out", out),
        ("derive-lake", sample / "golden", "--out", out),
        ("simulate", "--minutes", "0.05", "--out", out),
        ("report", store, "--out", out),
    ):
        out.unlink(missing_ok=True)
        out.symlink_to(outside / target)
        said = command(*arguments)
        assert said.code in (0, 3), said
        assert snapshot(outside) == before
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        assert {path.name for path in tmp_path.iterdir()} <= {"outside", "out", "store"}


@contextmanager
def in_place(path: Path, kind: str) -> Iterator[None]:
    """A pipe or a socket, or a link to one."""
    real = path.with_name("real") if kind.startswith("link") else path
    with socket.socket(socket.AF_UNIX) as listener:
        if kind.endswith("pipe"):
            os.mkfifo(real)
        else:
            listener.bind(os.path.relpath(real))  # names of sockets are short
        if real != path:
            path.symlink_to(real)
        yield


@pytest.mark.parametrize("kind", ["pipe", "socket", "link to a pipe", "link to a socket"])
def test_no_file_or_folder_takes_the_place_of_a_pipe_or_a_socket(
    sample: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, store, lake = tmp_path / "out", tmp_path / "store", validated_lake(tmp_path).root
    assert command("reconstruct", "--prove", "none", sample / "golden", "--out", store).code == 0
    with in_place(out, kind):
        before = {
            path: path.lstat().st_mode for path in (out, out.with_name("real")) if path.exists()
        }
        held = {path.name for path in tmp_path.iterdir()}
        for arguments in (
            ("report", store, "--out", out),
            ("acquire", "certify", lake, "--allow-synthetic", "--out", out),
            ("import", next((sample / "sim").glob("*.gz")), "--out", out),
            ("derive-lake", sample / "golden", "--out", out),
            ("simulate", "--minutes", "0.05", "--out", out),
            ("reconstruct", "--prove", "none", sample / "golden", "--out", out),
            ("demo", "--minutes", "1", "--out", out),
        ):
            said = command(*arguments)
            assert said.code == 3, said
            assert str(out) in said.err, said
            assert "\nHint: " in said.err
            assert {path: path.lstat().st_mode for path in before} == before, arguments
        assert list((lake / "certificates").iterdir()) == []
        with pytest.raises(PlaceError, match="is a device, a pipe or a socket"):
            write_whole(out, b"page")
    assert {path.name for path in tmp_path.iterdir()} == held


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "pipe", "folder", "text"])
def test_a_lock_that_is_none_of_ours(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("12345\n" if kind in ("link", "hard link") else "precious")
    locks = tmp_path / "store" / ".locks"
    with symbol_lock(tmp_path / "store", "BINANCE", "BTC-USDT"):
        pass
    lock = locks / "BINANCE.BTC-USDT.lock"
    lock.unlink()
    if kind == "link":
        lock.symlink_to(victim)
    elif kind == "dangling":
        lock.symlink_to(tmp_path / "missing")
    elif kind == "hard link":
        lock.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        shutil.copy(victim, lock)
    before = snapshot(tmp_path)
    with (
        pytest.raises((PlaceError, IsADirectoryError)),
        symbol_lock(tmp_path / "store", "BINANCE", "BTC-USDT"),
    ):
        pass
    assert snapshot(tmp_path) == before


def test_our_locks_name_who_has_them(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    for _ in range(2):
        with locked(lock):
            assert lock.read_text() == f"{os.getpid()}\n"
            with pytest.raises(ValueError, match=str(os.getpid())), locked(lock, waiting=_stop):
                pass


def _stop(holder: str) -> None:
    raise ValueError(holder)


def test_names_of_new_files_cannot_be_guessed(tmp_path: Path) -> None:
    names = {new_file(tmp_path / "page.html").name for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) >= len(".tmp-page.html.") + 16 for name in names)
    long = tmp_path / ("é" * 127)
    write_whole(long, b"whole")
    assert long.read_bytes() == b"whole"


def test_and_where_one_is_guessed_it_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "token_hex", lambda _: "guessed")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".tmp-page.guessed").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "page", b"evil")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "page").exists()


def _spoil(half: Path) -> None:
    half.write_text("half")
    raise ValueError("half")


def test_what_a_killed_writer_left_is_dropped_and_nothing_else(tmp_path: Path) -> None:
    left = new_file(tmp_path / "note")
    others = [new_file(tmp_path / "note.txt"), tmp_path / ".tmp-note.mine", tmp_path / "note"]
    for other in others[1:]:
        other.touch()
    drop_unfinished(tmp_path / "note")
    assert not left.exists()
    assert all(other.exists() for other in others)


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, page = tmp_path / "victim", tmp_path / "page"
    victim.write_text("precious")
    page.symlink_to(victim)
    write_whole(page, b"page")
    assert (victim.read_text(), page.read_text(), page.is_symlink()) == ("precious", "page", False)
    with pytest.raises(ValueError, match="half"), replacing(page) as half:
        _spoil(half)
    assert page.read_text() == "page"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page", "victim"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a\0b", "link", "link/x"])
def test_below_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PlaceError):
        below(tmp_path, name)
    assert below(tmp_path / "link", "a/b") == tmp_path / "link" / "a" / "b"
    with pytest.raises(PlaceError, match="is a link"):
        list(walk(tmp_path, ""))


def test_a_file_of_ours_has_one_name(tmp_path: Path) -> None:
    os.close(open_ours(tmp_path / "file"))
    (tmp_path / "other").hardlink_to(tmp_path / "file")
    with pytest.raises(PlaceError, match="another name"):
        open_ours(tmp_path / "file")


def test_what_the_user_put_into_a_partition_stays(sample: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert command("reconstruct", "--prove", "none", sample / "golden", "--out", store).code == 0
    partition = next(store.glob("events/*/*/*"))
    (partition / "notes.txt").write_text("precious")
    (partition / "part-00009-0123456789abcdef.parquet").write_text("left by a kill")
    said = command(
        "reconstruct", "--prove", "none", sample / "golden", "--out", store, "--overwrite"
    )
    assert said.code == 0
    assert (partition / "notes.txt").read_text() == "precious"
    assert not (partition / "part-00009-0123456789abcdef.parquet").exists()
    assert "part-00009-0123456789abcdef.parquet" in "".join(said.err.split())
    assert "notes.txt" not in "".join(said.err.split())


def test_the_sample_is_as_it_was(sample: Path) -> None:
    GoldenSample.load(sample / "golden").hashed()
