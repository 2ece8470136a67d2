"""Standard output and error: readers that go away, full disks, what is said of compiling."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import pytest
from numba import config

from lobproof.cli import ERROR
from lobproof.cli.console import COMPILING, print_json
from lobproof.jit import compiling
from support.commands import Terminal
from support.hourly_recording import golden_sample, hourly_lines
from support.kills import ENVIRONMENT

FAILED = 1
compiles = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="nothing is compiled with NUMBA_DISABLE_JIT"
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with golden samples ``whole`` and ``other``, and ``store`` made of the first."""
    folder = tmp_path_factory.mktemp("samples")
    golden_sample(folder, hourly_lines(8), "whole")
    lines = hourly_lines(8)
    lines[-1][1]["q"] = "0.6"
    golden_sample(folder, lines, "other")
    assert (
        lobproof(
            "reconstruct", "--prove", "none", folder / "whole", "--out", folder / "store"
        ).returncode
        == 0
    )
    return folder


def lobproof(
    *arguments: object,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    **environment: object,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lobproof", *map(str, arguments)],
        env=ENVIRONMENT | {name: str(value) for name, value in environment.items()},
        encoding=str(environment.get("PYTHONIOENCODING", "utf-8")),
        check=False,
        stdout=stdout,
        stderr=stderr,
    )


@pytest.fixture
def nobody() -> Iterator[int]:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("inspect", "whole"),
        ("inspect", "store", "--json"),
        ("reconstruct", "--prove", "none", "whole", "--out", "store"),
    ],
)
def test_a_reader_that_goes_away_ends_nothing(
    samples: Path, nobody: int, arguments: tuple[str, ...]
) -> None:
    paths = [samples / word if (samples / word).exists() else word for word in arguments]
    ended = lobproof(*paths, stdout=nobody)
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_a_verdict_is_the_exit_code_whoever_reads(
    samples: Path, nobody: int, json_: tuple[str, ...]
) -> None:
    for against, read in (("whole", 0), ("other", FAILED)):
        arguments = ("verify", samples / "store", "--against", samples / against, *json_)
        assert lobproof(*arguments, stdout=nobody, stderr=nobody).returncode == read


def test_an_error_that_nobody_reads_is_one(nobody: int) -> None:
    assert lobproof("nonsense", stdout=nobody, stderr=nobody).returncode == ERROR


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_output_that_no_disk_takes_is_an_error(samples: Path, json_: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = lobproof("inspect", samples / "whole", *json_, stdout=full.fileno())
    assert ended.returncode == ERROR
    assert ended.stderr.count("error: ") == 1
    assert "No space left" in ended.stderr
    assert "Hint: " in ended.stderr


@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param("ascii", marks=pytest.mark.slow),
        "cp437",
        pytest.param("utf-8", marks=pytest.mark.slow),
    ],
)
def test_what_an_encoding_has_no_character_for_is_written_out(
    samples: Path, tmp_path: Path, encoding: str
) -> None:
    page = tmp_path / "größe-币.html"
    for arguments in (
        ("--help",),
        ("acquire", "download", "--help"),
        ("inspect", samples / "whole"),
        ("verify", samples / "store", "--against", samples / "whole"),
        ("report", samples / "store", "--out", page),
    ):
        ended = lobproof(*arguments, PYTHONIOENCODING=encoding)
        assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended
    shown = str(page).encode(encoding, "backslashreplace").decode(encoding)
    assert shown in ended.stdout + ended.stderr
    refused = lobproof("inspect", tmp_path / "größe-币", PYTHONIOENCODING=encoding)
    assert refused.returncode == ERROR
    assert shown.removesuffix(".html") in refused.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "gb18030", "utf-8"])
def test_json_stays_json_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    document = {"größe": "µs – 币 😀 \x1b"}
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    print_json(document)
    stream.flush()
    assert json.loads(written.getvalue().decode(encoding)) == document


def test_a_terminal_shows_progress_and_a_pipe_does_not(samples: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    twice = ("--against", samples / "whole") * 2
    arguments = ("report", samples / "store", *twice, "--out", page)
    with Terminal() as terminal:
        assert lobproof(*arguments, stderr=terminal.descriptor, TERM="xterm").returncode == 0
    piped = lobproof(*arguments)
    assert "2 of 2: Checks against a synthetic golden sample" in page.read_text()
    for bar in ("verifying", "drawing"):
        assert bar in terminal.shown
        assert bar not in piped.stderr


@pytest.mark.slow
@compiles
def test_compiling_is_told_before_it_begins_and_once(samples: Path, tmp_path: Path) -> None:
    arguments = ("import", samples / "whole.txt", "--provenance", "synthetic", "--json", "--out")
    said = []
    for name in ("first", "again"):
        ended = lobproof(*arguments, tmp_path / name, NUMBA_CACHE_DIR=tmp_path / "cache")
        assert json.loads(ended.stdout)["symbol"] == "BTC-USDT"
        said.append(ended.stderr)
    read = "reading whole.txt: lines, time before the JSON (ns), enveloped payloads\n"
    assert said == [f"{read}{COMPILING}\n", read]


@compiles
def test_only_what_is_compiled_is_counted() -> None:
    told: list[tuple[int, bool]] = []
    inner = numba.njit(lambda x: x + 1)
    outer = numba.njit(lambda x: inner(x) + 1)
    with compiling(lambda count, under_way: told.append((count, under_way))):
        assert outer(1) == 3
        assert told == [(1, True), (2, True), (2, True), (2, False)]
        outer(2)
    outer(1.5)
    assert len(told) == 4
