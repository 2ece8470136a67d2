"""A capture that runs is told from one that was killed, and nobody else writes into its folder."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lobproof.cli import capture as module
from lobproof.sources.captured import SESSION, capturing, read_session
from lobproof.timespan import to_ns
from support.commands import FAIL, INCONCLUSIVE, PASS, Said, command, refused
from support.kills import COMMAND, Process, running
from support.served import served

SYMBOL = "SIMUSDT"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An exchange."""
    with served("--preset", "nexo", "--speed", "5") as url:
        yield url


@contextmanager
def capture(url: str, out: Path) -> Iterator[Process]:
    """A capture, a process of its own, of which a frame is on disk."""
    with running(COMMAND, "capture", SYMBOL, "--endpoint", url, "--out", out) as process:
        deadline = time.monotonic() + 60
        while not [path for path in out.glob("*/journal/*") if path.stat().st_size]:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(2.0)  # a frame each second
        yield process


def listed(folder: Path) -> str:
    """The state of the capture, as a list has it."""
    (part,) = command("golden", "list", folder, "--json").document["parts"]
    return str(part["state"])


def checked(folder: Path) -> Said:
    return command("golden", "check", folder)


def purged(folder: Path) -> Said:
    return command("golden", "purge", folder, "--older-than", "1ms", "--yes")


def imported(folder: Path, out: Path) -> tuple[str, list[str]]:
    """What an import says of its files, and the sample's notes."""
    said = command("import", folder, "--out", out)
    assert said.code == PASS, said
    return said.err, json.loads((out / "golden.json").read_text())["notes"]


def test_one_that_runs(url: str, tmp_path: Path) -> None:
    out = tmp_path / "day"
    with capture(url, out) as process:
        assert read_session(out).state == "running"
        assert listed(out) == "running"
        assert "UTC, running" in command("golden", "list", out).out
        said = checked(out)
        assert said.code == INCONCLUSIVE
        assert "(running)" in said.out
        assert "the session runs: hashes" in said.out
        said = purged(out)
        assert said.code == PASS
        assert f"kept {out}: it runs" in said.out
        told, notes = imported(out, tmp_path / "golden")
        assert "of a capture that is running" in told
        assert any("had not ended" in note for note in notes)
        error = refused("a capture runs in", "capture", SYMBOL, "--endpoint", url, "--out", out)
        assert f"(process {process.pid})" in error
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert listed(out) == "ended"
    assert "(ended)" in checked(out).out
    told, notes = imported(out, tmp_path / "golden-2")
    assert "of a capture that has ended" in told
    assert not any("ended" in note or "killed" in note for note in notes)
    refused("holds a capture already", "capture", SYMBOL, "--endpoint", url, "--out", out)


def test_one_that_was_killed(url: str, tmp_path: Path) -> None:
    out = tmp_path / "day"
    with capture(url, out) as process:
        process.kill()
        process.communicate(timeout=30)
    assert json.loads((out / SESSION).read_text())["state"] == "running"
    assert listed(out) == "killed"
    said = checked(out)
    assert said.code == INCONCLUSIVE
    assert "(killed)" in said.out
    assert "the session was killed: no hashes" in said.out
    journals = sorted(out.glob("*/journal/*"))
    assert f"kept {out}: it was killed" in purged(out).out
    assert sorted(out.glob("*/journal/*")) == journals
    told, notes = imported(out, tmp_path / "golden")
    assert "of a capture that was killed" in told
    assert any("was killed" in note for note in notes)
    refused("holds a capture already", "capture", SYMBOL, "--endpoint", url, "--out", out)


def test_one_that_ends_while_its_document_is_read(tmp_path: Path, url: str) -> None:
    """Who reads ``running`` and finds no lock reads again: what ended so is not called killed."""
    out = tmp_path / "day"
    with capture(url, out) as process:
        running_text = (out / SESSION).read_bytes()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    ended_text = (out / SESSION).read_bytes()
    texts = [running_text, ended_text]
    read = Path.read_bytes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "lobproof.documents.read_bytes",
            lambda path, *more, **options: texts.pop(0) if path.name == SESSION else read(path),
        )
        assert read_session(out).state == "ended"
    assert texts == []


def test_a_schedule_holds_its_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them would give their windows the same names."""
    out = tmp_path / "days"
    out.mkdir()
    monkeypatch.setattr(module, "now_ns", lambda: to_ns("2026-01-05T13:00"))
    with capturing(out):
        refused(
            "a capture runs in .*days",
            *("capture", SYMBOL, "--endpoint", url, "--out", out, "--schedule", "12:00-19:00"),
        )
    assert not [path for path in out.iterdir() if path.is_dir()]


def test_what_stands_in_the_place_of_the_lock(tmp_path: Path) -> None:
    """Nothing is written to it, and no state is made up."""
    (tmp_path / "elsewhere").write_bytes(b"somebody's")
    lock = tmp_path / "day" / ".capture.lock"
    lock.parent.mkdir()
    lock.symlink_to(tmp_path / "elsewhere")
    (lock.parent / SESSION).write_text(
        json.dumps(
            {
                "format": "lobproof capture",
                "format_version": 1,
                "state": "running",
                "provenance": "real",
                "market": "spot",
                "symbols": ["AUSDT"],
                "snapshot_limit": 5000,
                "sockets": "wss://venue",
                "rest": "https://venue",
                "started_ns": 1,
            }
        )
    )
    said = command("golden", "check", tmp_path)
    assert said.code == FAIL
    assert ".capture.lock is a link" in said.out
    assert (tmp_path / "elsewhere").read_bytes() == b"somebody's"
