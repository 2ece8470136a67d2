"""Kernels that several processes need: compiled by one, and beside the first command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lobproof import jit
from lobproof.cli import warm

_COUNTED = """
import sys
from numba.core import event
compiled = 0
@event.Listener.register
class Compilations:
    def notify(self, one):
        global compiled
        compiled += one.is_start and one.data is not None
with event.install_listener("numba:compile", Compilations()):
    import numpy as np
    from lobproof.fixedpoint.kernels import narrow
    print("ready", flush=True)
    sys.stdin.readline()
    out = np.empty(1, np.uint64)
    assert narrow(np.array([[7, 0]], np.uint64), 0, out) == -1
    assert out[0] == 7
print(compiled)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", _COUNTED],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_processes_compile_a_kernel_once_between_them(tmp_path: Path) -> None:
    alone = int(start(tmp_path / "alone").communicate("go\n")[0])
    assert alone > 0
    both = [start(tmp_path / "shared") for _ in range(2)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [int(process.communicate()[0]) for process in both]
    assert sum(counts) == alone
    assert int(start(tmp_path / "shared").communicate("go\n")[0]) == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which nothing was begun."""
    monkeypatch.setattr(warm, "cache_folder", lambda: tmp_path / "kernels")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.delenv("LOBPROOF_COMPILE_BESIDE")
    return tmp_path / "kernels"


def test_the_chain_on_a_few_lines_runs_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Path] = []
    chain = warm._chain

    def counted(where: Path) -> None:
        chain(where)
        ran.append(where)

    monkeypatch.setattr(warm, "_chain", counted)
    warm.main()
    warm.main()
    assert len(ran) == 1
    assert not ran[0].exists()


def test_it_is_begun_beside_the_first_command_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(os, "posix_spawn", lambda *given, **_: begun.append(given[1]))
    warm.beside()
    assert begun[0][-2:] == ["-m", "lobproof.cli.warm"]
    monkeypatch.setenv("LOBPROOF_COMPILE_BESIDE", "0")
    warm.beside()
    monkeypatch.delenv("LOBPROOF_COMPILE_BESIDE")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    warm.beside()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    folder.mkdir()
    (folder / "compiled").touch()
    warm.beside()
    assert len(begun) == 1


def test_where_no_lock_can_be_kept_it_is_compiled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused:
        cache_path = str(tmp_path / "file" / "folder")

        def load_overload(self, sig: object, context: object) -> None:
            """Nothing is kept."""

        def save_overload(self, sig: object, data: object) -> None:
            raise OSError

    (tmp_path / "file").touch()
    cache = jit._Cache(Refused())
    assert cache.load_overload("int64", None) is None
    cache.save_overload("int64", None)
