"""Checkpoint files: whole or refused, and who may use and delete them."""

from __future__ import annotations

import json
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lobproof.errors import StoreError
from lobproof.jit import cache_folder
from lobproof.store import (
    CheckpointError,
    Partition,
    checkpoint_path,
    drop_checkpoints,
    list_checkpoints,
    open_store,
    read_checkpoint,
    sealed,
    symbol_lock,
    write_checkpoint,
)
from lobproof.store import checkpoint as checkpoint_module
from lobproof.store.checkpoint import CheckpointThread
from support.batches import DT, make_day, store_day

TASK = "0123456789abcdef" * 4
BTC = Partition("BINANCE", "BTC-USDT", DT)
DOCUMENT = {"at": 3, "texts": ["ids 1 … 2", ""], "nested": {"none": None, "big": 2**62}}


def arrays() -> dict[str, NDArray[np.generic]]:
    return {
        "book": np.arange(12, dtype=np.int64).reshape(3, 4),
        "by column": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "every second": np.arange(10, dtype=np.int8)[::2],
        "swapped": np.arange(5, dtype=">i8"),
        "floats": np.array([1.5, np.nan, -np.inf]),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 7), np.int64),
        "one": np.array(7, np.uint16),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return checkpoint_path(tmp_path, BTC, TASK)


def test_a_checkpoint_comes_back_as_it_was(path: Path) -> None:
    assert read_checkpoint(path) is None
    write_checkpoint(path, {"older": True}, {})
    write_checkpoint(path, DOCUMENT, arrays())
    saved = read_checkpoint(path)
    assert saved is not None
    document, back = saved
    assert document == DOCUMENT
    assert list(back) == list(arrays())
    for name, array in arrays().items():
        assert back[name].dtype == array.dtype.newbyteorder("=")
        assert back[name].shape == array.shape
        assert np.array_equal(back[name], array, equal_nan=array.dtype.kind == "f")
        assert back[name].flags.writeable
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_every_cut_and_every_changed_byte_is_noticed(path: Path) -> None:
    write_checkpoint(path, {"at": 3}, {"book": np.arange(4)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            read_checkpoint(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match="damaged") as caught:
            read_checkpoint(path)
        assert str(path) in caught.value.message
        assert "starts anew" in caught.value.hint
    path.write_bytes(whole)
    assert read_checkpoint(path) is not None


def test_another_version_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("__version__", "0.0.1"), ("FORMAT_VERSION", 99)):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint_module, name, value)
            write_checkpoint(path, {}, {})
        with pytest.raises(CheckpointError, match=str(value)):
            read_checkpoint(path)


def test_other_kernels_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay's state is an array whose places only they know."""
    with monkeypatch.context() as patch:
        others = cache_folder().with_name("others")
        patch.setattr(checkpoint_module, "cache_folder", lambda: others)
        write_checkpoint(path, {}, {})
    with pytest.raises(CheckpointError, match="other kernels") as caught:
        read_checkpoint(path)
    assert "starts anew" in caught.value.hint


def test_another_users_checkpoint_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds becomes the state of compiled kernels, which trust it."""
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module, "_key", lambda _: b"another user's key")
        write_checkpoint(path, {}, {})
    with pytest.raises(CheckpointError, match="written by another user"):
        read_checkpoint(path)


def test_the_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    key = checkpoint_module._key.__wrapped__
    keys = {key(tmp_path / "cache") for _ in range(3)}
    assert len(keys) == 1
    assert len(next(iter(keys))) == 32
    (file,) = (tmp_path / "cache").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").touch()
    assert key(tmp_path / "file") != key(tmp_path / "file")  # nowhere to keep it


def test_a_renamed_checkpoint_is_refused(tmp_path: Path, path: Path) -> None:
    write_checkpoint(path, {}, {})
    other = checkpoint_path(tmp_path, BTC, "f" * 64)
    path.rename(other)
    with pytest.raises(CheckpointError, match="renamed"):
        read_checkpoint(other)


def test_what_cannot_be_saved_leaves_the_older_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(path, DOCUMENT, {})
    with pytest.raises(TypeError, match="'names' of a checkpoint"):
        write_checkpoint(path, {}, {"names": np.array(["a"])})
    with pytest.raises(TypeError, match="JSON"):
        write_checkpoint(path, {"set": {1}}, {})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, {}, {})
    saved = read_checkpoint(path)
    assert saved is not None
    assert saved.document == DOCUMENT
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_paths_are_listed_and_dropped_by_symbol_day(tmp_path: Path) -> None:
    ours = [checkpoint_path(tmp_path, BTC, digit * 64) for digit in "01"]
    others = [
        checkpoint_path(tmp_path, Partition("BINANCE", "BTC-USDT-PERP", DT), TASK),
        checkpoint_path(tmp_path, Partition("BINANCE", "BTC-USDT", "2024-08-09"), TASK),
    ]
    with pytest.raises(StoreError, match="lock"):
        drop_checkpoints(tmp_path, BTC)
    with symbol_lock(tmp_path, "BINANCE", "BTC-USDT"):
        assert list_checkpoints(tmp_path, BTC) == []
        assert drop_checkpoints(tmp_path, BTC) == []
        for path in ours + others:
            write_checkpoint(path, {}, {})
        half = ours[0].with_name(f".tmp-{ours[0].name}")
        half.write_bytes(b"half")
        assert list_checkpoints(tmp_path, BTC) == ours
        assert drop_checkpoints(tmp_path, BTC, keep=ours[1]) == [half, ours[0]]
        assert list_checkpoints(tmp_path, BTC) == ours[1:]
        assert drop_checkpoints(tmp_path, BTC) == ours[1:]
        assert all(path.exists() for path in others)


@pytest.mark.parametrize("task_id", ["", "0" * 15, "../" * 10, "F" * 64])
def test_ids_that_are_no_hash_name_no_checkpoint(tmp_path: Path, task_id: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        checkpoint_path(tmp_path, BTC, task_id)


def test_readers_do_not_see_checkpoints(tmp_path: Path) -> None:
    root = tmp_path / "s"
    day = make_day(messages=10)
    write_checkpoint(checkpoint_path(tmp_path, BTC, TASK), {}, {})
    (tmp_path / ".checkpoints").rename(tmp_path / "kept")
    root.mkdir()
    (tmp_path / "kept").rename(root / ".checkpoints")
    store_day(root, day)  # a folder with nothing but dot files becomes a store
    write_checkpoint(checkpoint_path(root, BTC, TASK), {}, {})
    store = open_store(root)
    assert store.audit().clean
    assert store.symbols()["symbol"].to_list() == ["BTC-USDT"]
    assert sealed(root).height == 1


def test_the_thread_writes_in_order_and_only_the_newest_waits() -> None:
    thread = CheckpointThread()
    go, begun = threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        begun.set()
        go.wait()
        order.append("first")

    thread.submit(first)
    begun.wait()
    for name in ("second", "third"):
        thread.submit(partial(order.append, name))
    go.set()
    thread.close()
    assert order == ["first", "third"]


def test_the_threads_errors_reach_the_next_call() -> None:
    def full() -> None:
        done.set()
        raise OSError(28, "No space left on device")

    done = threading.Event()
    thread = CheckpointThread()
    thread.submit(full)
    with pytest.raises(OSError, match="No space left"):
        thread.close()
    thread = CheckpointThread()
    thread.submit(full)
    thread.abort()
    with pytest.raises(OSError, match="No space left"):
        thread.check()
    thread.check()


def test_the_header_is_json(path: Path) -> None:
    write_checkpoint(path, DOCUMENT, {"book": np.arange(4)})
    magic, rest = path.read_bytes().split(b"\n", 1)
    assert magic == b"lobproof checkpoint 2"
    length = int.from_bytes(rest[:8], "little")
    header = json.loads(rest[8 : 8 + length])
    assert header["document"] == DOCUMENT
    assert header["arrays"] == [["book", "<i8", [4]]]
    assert rest[8 + length : -16] == np.arange(4, dtype="<i8").tobytes()
