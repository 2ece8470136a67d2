"""Journals that grow: what was flushed can be read, whatever happens to the process or the disk."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lobproof.capture.journals import LiveJournals
from lobproof.sources.binance import journal
from lobproof.sources.binance.journal import HOUR_NS, Loss, read_frames

START = 472_222 * HOUR_NS
"""A full hour: 2023-11-14T22."""


def line(number: int, width: int = 40) -> bytes:
    noise = random.Random(number).randbytes(width // 2).hex()  # which no compression shrinks
    return json.dumps({"n": number, "noise": noise}).encode() + b"\n"


def numbers_in(folder: Path) -> tuple[list[int], list[Loss]]:
    """The numbers of the lines in a journal's files, and what of the files cannot be read."""
    found: list[int] = []
    losses: list[Loss] = []
    for path in sorted(folder.iterdir()):
        for part in read_frames(path):
            if isinstance(part, Loss):
                losses.append(part)
            else:
                lines = map(json.loads, part.splitlines())
                found += [one["n"] for one in lines if "n" in one]
    return found, losses


def waited(said: object, seconds: float = 20.0) -> bool:
    """Whether something comes true before long."""
    assert callable(said)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if said():
            return True
        time.sleep(0.01)
    return False


def test_lines_are_on_disk_a_moment_later_in_the_file_of_their_hour(tmp_path: Path) -> None:
    with LiveJournals(tmp_path, flush_s=0.05) as journals:
        for n in range(300):
            hour = START + (n >= 100) * HOUR_NS
            early = (n == 200) * 2 * HOUR_NS  # a clock that went back: it stays where it is
            assert journals.put("a", line(n), hour - early)
            assert journals.put("b", line(1000 + n), START)
        assert waited(lambda: journals.held == 0)
        assert numbers_in(tmp_path / "a")[0] == list(range(300))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["2023-11-14T22.jsonl.zst", "2023-11-14T23.jsonl.zst"]
    assert numbers_in(tmp_path / "a") == (list(range(300)), [])
    assert numbers_in(tmp_path / "b") == (list(range(1000, 1300)), [])


def test_the_files_are_told_with_their_hashes(tmp_path: Path) -> None:
    journals = LiveJournals(tmp_path, flush_s=0.02)
    for n in range(50):
        journals.put("a", line(n), START)
        time.sleep(0.002)
    (file,) = journals.close()["a"]
    path = tmp_path / "a" / file.name
    told = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
    assert (file.lines, file.bytes, file.sha256) == (50, path.stat().st_size, told.split()[0])
    assert subprocess.run(["zstdcat", path], capture_output=True, check=False).stdout.count(
        b"\n"
    ) in (0, 50)  # 0 where there is no zstdcat to read them


KILLED = """
import random, sys, time
from pathlib import Path
from lobproof.capture.journals import LiveJournals
sys.path.insert(0, sys.argv[2])
from integration.test_live_journals import START, line
journals = LiveJournals(Path(sys.argv[1]), flush_s=0.05)
n = 0
while n < 200_000:
    for _ in range(random.randrange(1, 40)):
        journals.put("a", line(n), START + n)
        n += 1
    if random.random() < 0.1:
        while journals.held:
            time.sleep(0.001)
        print(n, flush=True)
    time.sleep(0.001)
"""


def killed(tmp_path: Path, rng: random.Random) -> None:
    """Kill a process that writes; all that was flushed, by its own word, must be there."""
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), str(root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        flushed = [int(n) for n in (first + process.stdout.read()).split()][-1]
    found, losses = numbers_in(tmp_path / "a")
    assert found == list(range(len(found)))
    assert len(found) >= flushed
    assert len(losses) <= 1  # a frame that was cut, behind all others


def test_killed(tmp_path: Path) -> None:
    rng = random.Random(5)
    for n in range(3):
        killed(tmp_path / str(n), rng)


@pytest.mark.slow
def test_killed_at_fifty_random_instants(tmp_path: Path) -> None:
    rng = random.Random(7)
    for n in range(50):
        killed(tmp_path / str(n), rng)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB; skipped where none can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip("no right to mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_costs_no_line_while_they_can_be_held(small_disk: Path) -> None:
    told: list[OSError | None] = []
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(150 << 10))
    journals = LiveJournals(small_disk, flush_s=0.02, troubled=told.append)
    for n in range(2_000):
        assert journals.put("a", line(n, 100), START)
        if n % 100 == 0:
            time.sleep(0.03)
    assert waited(lambda: journals.trouble is not None)
    assert journals.held > 0
    found, losses = numbers_in(small_disk / "a")
    assert found == list(range(len(found)))
    assert 0 < len(found) < 2_000
    assert losses == []
    ballast.unlink()
    assert waited(lambda: journals.held == 0)
    journals.close()
    assert numbers_in(small_disk / "a") == (list(range(2_000)), [])
    assert [error is None for error in told] == [False, True]
    assert "No space left" in str(told[0])


def test_lines_that_cannot_be_held_are_counted_and_told(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(200 << 10))
    journals = LiveJournals(small_disk, flush_s=0.02, held_bytes=100_000)
    taken = []
    for n in range(3_000):
        if journals.put("a", line(n, 100), START + n):
            taken.append(n)
        if n % 100 == 0:
            time.sleep(0.02)
    lost = journals.lost()["a"]
    assert lost.lines == 3_000 - len(taken) > 0
    assert journals.held <= 100_000
    ballast.unlink()
    assert waited(lambda: journals.held == 0)
    assert journals.put("a", line(3_000), START + 3_000)
    journals.close()
    found, losses = numbers_in(small_disk / "a")
    assert (found, losses) == ([*taken, 3_000], [])
    (path,) = (small_disk / "a").iterdir()
    lines = b"".join(part for part in read_frames(path) if isinstance(part, bytes)).splitlines()
    marks = [json.loads(one) for one in lines if b'"event":"lost"' in one]
    assert sum(mark["lines"] for mark in marks) == lost.lines
    assert all(mark["first_ns"] <= mark["last_ns"] <= mark["capture_ns"] for mark in marks)


def test_a_disk_that_stays_full_is_an_error_at_the_end(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(255 << 10))
    journals = LiveJournals(small_disk, flush_s=0.02)
    for n in range(1_000):
        journals.put("a", line(n, 100), START)
    with pytest.raises(OSError, match="No space left"):
        journals.close()


def test_frames_are_small_where_lines_come_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for the disk is written in frames of bounded size, however much it is."""
    monkeypatch.setattr(journal, "FRAME_BYTES", 2_000)
    with LiveJournals(tmp_path, flush_s=5.0) as journals:
        for n in range(1_000):
            journals.put("a", line(n), START)
    (path,) = (tmp_path / "a").iterdir()
    frames = [part for part in read_frames(path) if isinstance(part, bytes)]
    assert len(frames) > 20
    assert max(map(len, frames)) < 2_200
