"""What a download shows and asks: bars on a terminal, a question before much."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.lake import environment
from fakes.s3 import FakeBucket, fake_lake
from lobproof.cli import ERROR, run

SIZE = 300_000
NAME = "trades/exchange=X/symbol=SHOWN-USDT/dt=2026-01-05/1.snappy.parquet"
TITLE = "trades SHOWN-USDT 2026-01-05"
QUESTION = "Download 0.30 MB, more than 0.0001 GB? [y/N]"
LIMIT = ("--ask-above-gb", "0.0001")


class Input(io.StringIO):
    """Standard input, a terminal or none; ``tell`` says how much was read."""

    def __init__(self, text: str, *, terminal: bool) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(scope="module")
def bucket() -> Iterator[FakeBucket]:
    with fake_lake("shown") as made:
        made.put(NAME, b"x" * SIZE)
        yield made


@pytest.fixture
def asked(bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The command of somebody with credentials in the environment."""
    for variable, value in environment(bucket.url).items():
        monkeypatch.setenv(variable, value)
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return ["acquire", "download", "--bucket", "shown", "--tables", "trades", "--out", "lake"]


def give(monkeypatch: pytest.MonkeyPatch, text: str, *, terminal: bool = True) -> Input:
    given = Input(text, terminal=terminal)
    monkeypatch.setattr(sys, "stdin", given)
    return given


def test_a_terminal_sees_bytes_and_objects(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    assert run(asked) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert TITLE in text
    assert re.search(r"all\b.*\b300\.0/300\.0 kB", text)


def test_where_is_no_terminal_is_no_bar(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asked) == 0
    text = capsys.readouterr().err
    assert TITLE not in text
    assert "\x1b" not in text
    assert "kB" not in text


@pytest.mark.parametrize("answer", ["y\n", "Yes\n", " y \n"], ids=["y", "yes", "spaces"])
def test_a_yes_goes_on(
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
) -> None:
    give(monkeypatch, answer)
    assert run([*asked, *LIMIT]) == 0
    assert QUESTION in capsys.readouterr().err
    assert (Path("lake") / "raw" / NAME).stat().st_size == SIZE


@pytest.mark.parametrize(
    "answer", ["n\n", "\n", "yesterday\n", ""], ids=["n", "empty", "other", "end"]
)
def test_anything_else_stops(
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
) -> None:
    given = give(monkeypatch, answer)
    assert run([*asked, *LIMIT]) == ERROR
    text = capsys.readouterr().err
    assert QUESTION in text
    assert "--yes" in text
    assert given.tell() == len(answer)
    assert not Path("lake").exists()


@pytest.mark.parametrize("options", [(*LIMIT, "--yes"), ()], ids=["yes", "little"])
def test_nothing_is_asked_where_it_is_clear(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    given = give(monkeypatch, "n\n")
    assert run([*asked, *options]) == 0
    assert given.tell() == 0


@pytest.mark.parametrize("silent", ["no-terminal", "json"])
def test_who_cannot_be_asked_must_have_said_yes(
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    silent: str,
) -> None:
    given = give(monkeypatch, "y\n", terminal=silent == "json")
    options = ["--json"] if silent == "json" else []
    assert run([*asked, *LIMIT, *options]) == ERROR
    shown = capsys.readouterr()
    assert "--yes" in shown.err
    assert QUESTION not in shown.err
    assert given.tell() == 0
    assert not Path("lake").exists()
    assert run([*asked, *LIMIT, "--json", "--yes"]) == 0
    assert len(json.loads(capsys.readouterr().out)["fetched"]) == 1
