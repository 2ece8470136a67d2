"""``lobproof golden``: collections of real captures of a local exchange, whole and damaged."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lobproof.sources.binance.journal import JournalWriter, Loss, read_frames
from lobproof.sources.captured import SESSION
from support.commands import ERROR, FAIL, INCONCLUSIVE, PASS, Said, command, refused
from support.served import served

SYMBOL = "SIMUSDT"
FAULTS = ("--fault", "drop@3s,n=3,stream=depth", "--fault", "drop@4s,n=2,stream=trade")


@pytest.fixture(scope="module", params=["spot", "usdm"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture that ended, with gaps of depth and trades that are marked."""
    out = tmp_path_factory.mktemp("captures") / "day"
    words = ("--preset", "btc", "--speed", "5", "--market", request.param, *FAULTS)
    with served(*words, "--wait") as url:
        said = command(
            *("capture", SYMBOL, "--venue", request.param, "--endpoint", url, "--out", out),
            *("--duration", "4s", "--regime", "calm", "--json"),
        )
    assert said.code == 0, said
    gaps = said.document["sessions"][0]["symbols"][SYMBOL]["gaps"]
    assert gaps["depth"] >= 1, said
    return out


@pytest.fixture
def session(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "day"))


def lines_of(folder: Path) -> list[bytes]:
    """All lines of a symbol's journal."""
    lines: list[bytes] = []
    for path in sorted((folder / SYMBOL / "journal").iterdir()):
        for frame in read_frames(path):
            assert not isinstance(frame, Loss)
            lines += frame.splitlines(keepends=True)
    return lines


def rewrite(folder: Path, lines: list[bytes]) -> None:
    """Put other lines into the first file, with the document true to them but for its counts."""
    journal = folder / SYMBOL / "journal"
    shutil.rmtree(journal)
    writer = JournalWriter(journal)
    writer.append(b"".join(lines), json.loads(lines[0])["capture_ns"])
    document = json.loads((folder / SESSION).read_text())
    document["figures"]["journals"][f"{SYMBOL}/journal"] = [
        {"name": one.name, "bytes": one.bytes, "sha256": one.sha256, "lines": one.lines}
        for one in writer.close()
    ]
    (folder / SESSION).write_text(json.dumps(document))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the document."""
    document = json.loads((folder / SESSION).read_text())
    change(document)
    (folder / SESSION).write_text(json.dumps(document))


def checked(folder: Path) -> tuple[int, str]:
    """The code of a check, and all that it says of the symbol."""
    said = command("golden", "check", folder, "--json")
    told = [one for one in said.document["checked"] if one["name"] in (SYMBOL, "-")]
    return said.code, "\n".join(
        line for one in told for line in (*one["failures"], *one["unproven"])
    )


def test_a_whole_capture(whole: Path) -> None:
    said = command("golden", "check", whole, "--json")
    assert said.code == PASS, said
    of = next(one for one in said.document["checked"] if one["name"] == SYMBOL)
    document = json.loads((whole / SESSION).read_text())
    assert of["marked"] == sum(document["figures"]["symbols"][SYMBOL]["gaps"].values()) > 0
    assert of["lines"] == len(lines_of(whole))
    assert "whole" in command("golden", "check", whole).out


def is_of(line: bytes, what: bytes) -> bool:
    return b'"stream":"' + SYMBOL.lower().encode() + b"@" + what in line


@pytest.mark.parametrize("seed", range(6))
def test_each_way_to_break_a_journal_is_found(session: Path, seed: int) -> None:
    """A message, a mark, taken out or put in; hashes and lines are listed as they are then."""
    chosen = random.Random(seed)
    lines = lines_of(session)
    depth = [k for k, line in enumerate(lines) if is_of(line, b"depth")]
    trades = [k for k, line in enumerate(lines) if is_of(line, b"trade")]
    marks = [k for k, line in enumerate(lines) if b'"event":"gap"' in line]

    def out(places: list[int]) -> None:
        del lines[chosen.choice(places)]

    def twice() -> None:
        lines.insert(chosen.choice(marks), lines[marks[0]])

    ways: dict[str, Callable[[], None]] = {
        "no line says so": lambda: out(depth[1:-1]),
        "trade: ids .* are missing": lambda: out(trades[1:-1]),
        "are missing, and no line": lambda: out(marks),
        "is told, and there is none": twice,
    }
    for words, way in ways.items():
        kept = list(lines)
        way()
        rewrite(session, lines)
        code, told = checked(session)
        assert code == FAIL
        assert re.search(words, told), (words, told)
        lines[:] = kept
    rewrite(session, lines)
    assert checked(session)[0] == PASS


def test_a_message_more_or_less_at_the_end_is_a_count(session: Path) -> None:
    """What no chain can tell, the counts do."""
    lines = lines_of(session)
    last = max(k for k, line in enumerate(lines) if is_of(line, b"depth"))
    rewrite(session, lines[:last] + lines[last + 1 :])
    code, told = checked(session)
    assert code == FAIL
    assert "messages of depth" in told


def test_a_line_that_tells_of_lost_lines_explains_a_break(session: Path) -> None:
    """Behind it a break needs no mark, and counts may differ by what was lost, not by more."""
    lines = lines_of(session)
    depth = [k for k, line in enumerate(lines) if is_of(line, b"depth")]
    at = depth[len(depth) // 2]
    told = json.loads(lines[at])["capture_ns"]
    lost = {"capture_ns": told, "stream": "control", "conn": 0, "event": "lost", "lines": 1}
    lines[at] = json.dumps(lost, separators=(",", ":")).encode() + b"\n"
    rewrite(session, lines)
    journal = f"{SYMBOL}/journal"
    assert checked(session)[0] == FAIL  # the document knows of no such loss
    edit(session, lambda document: document["figures"]["lost"].update({journal: {"lines": 1}}))
    assert checked(session) == (PASS, "")


def test_damage(session: Path) -> None:
    """A byte, a missing file, one more, a document that lies or is none."""
    path = next((session / SYMBOL / "journal").iterdir())
    kept = path.read_bytes()
    path.write_bytes(kept[:100] + bytes([kept[100] ^ 1]) + kept[101:])
    code, told = checked(session)
    assert code == FAIL
    assert "SHA-256" in told
    path.write_bytes(kept)
    other = path.with_name("2020-01-01T00.jsonl.zst")
    other.write_bytes(kept)
    assert "does not list it" in checked(session)[1]
    other.unlink()
    path.rename(session / "away")
    assert "is missing" in checked(session)[1]
    (session / "away").rename(path)
    assert checked(session)[0] == PASS
    edit(session, lambda document: document["figures"].pop("symbols"))
    code, told = checked(session)
    assert code == FAIL
    assert "symbols" in told
    (session / SESSION).write_text("{")
    assert checked(session)[0] == FAIL
    listed = command("golden", "list", session, "--json")
    assert listed.code == FAIL
    assert "damaged" in listed.document["unreadable"][0]["why"]


def test_a_capture_that_was_killed(session: Path) -> None:
    """No hashes: incomplete; a half frame is told; a break without a mark is one all the same."""

    def kill(document: dict[str, Any]) -> None:
        document.update(state="running", figures={}, ended_ns=0)

    edit(session, kill)
    path = next((session / SYMBOL / "journal").iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    code, told = checked(session)
    assert code == INCONCLUSIVE
    assert "ends inside a frame" in told
    assert "no hashes" in told
    listed = command("golden", "list", session)
    assert "UTC, killed" in listed.out
    lines = lines_of_whole(path)
    depth = [k for k, line in enumerate(lines) if is_of(line, b"depth")]
    del lines[depth[len(depth) // 2]]
    path.unlink()
    writer = JournalWriter(path.parent)
    writer.append(b"".join(lines), json.loads(lines[0])["capture_ns"])
    writer.close()
    assert checked(session)[0] == FAIL


def test_a_capture_whose_disk_was_full_at_the_end(session: Path) -> None:
    """It lists no journals, and counts what is not there: incomplete."""

    def fail(document: dict[str, Any]) -> None:
        document.update(state="failed", why="No space left on device")
        document["figures"]["journals"] = {}

    edit(session, fail)
    path = next((session / SYMBOL / "journal").iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    code, told = checked(session)
    assert code == INCONCLUSIVE
    assert "No space left" in told
    assert command("golden", "purge", session, "--older-than", "1ms", "--yes").code == PASS
    assert path.exists()


def test_a_capture_that_failed_before_its_first_line(session: Path) -> None:
    """There is nothing of which anything could be said: incomplete, not whole."""

    def fail(document: dict[str, Any]) -> None:
        document.update(state="failed", why="No space left on device")
        document["figures"]["journals"] = {}

    edit(session, fail)
    shutil.rmtree(session / SYMBOL)
    code, told = checked(session)
    assert code == INCONCLUSIVE
    assert "No space left" in told


def test_a_file_that_cannot_be_read_keeps_no_other_from_its_check(session: Path) -> None:
    lines = len(lines_of(session))
    (session / SYMBOL / "journal" / "0000-00-00T00.jsonl.zst").mkdir()
    code, told = checked(session)
    assert code == FAIL  # it is not listed, either
    assert "0000-00-00T00.jsonl.zst: Is a directory" in told
    said = command("golden", "check", session, "--json").document["checked"]
    (of,) = (one for one in said if one["name"] == SYMBOL)
    assert of["lines"] == lines


def lines_of_whole(path: Path) -> list[bytes]:
    """The lines of the frames that are whole."""
    frames = [frame for frame in read_frames(path) if not isinstance(frame, Loss)]
    return b"".join(frames).splitlines(keepends=True)


def imported(session: Path) -> Path:
    """The golden sample of a capture, beside it."""
    golden = session.parent / "golden"
    assert command("import", session / SYMBOL, "--out", golden).code == 0
    return golden


def test_a_golden_sample(session: Path) -> None:
    """Listed as what the capture was imported to, not counted twice; checked by hashes, counts."""
    golden = imported(session)
    said = command("golden", "check", session.parent, "--json")
    assert said.code == PASS, said
    listed = command("golden", "list", session.parent, "--need", "1h", "--json").document
    (capture,) = (one for one in listed["parts"] if one["kind"] == "capture")
    (sample,) = (one for one in listed["parts"] if one["kind"] == "golden sample")
    assert capture["imported"] == capture["files"] > 0
    assert (sample["regime"], sample["counted"]) == ("calm", False)
    (holding,) = listed["symbols"]
    length = capture["end_ns"] - capture["start_ns"]
    assert holding["told"] == {"calm": length}
    assert holding["lacking"] == {"calm": 3_600_000_000_000 - length}
    assert (
        command("golden", "list", session.parent, "--need", "1s", "--json").document["symbols"][0][
            "lacking"
        ]
        == {}
    )
    shown = command("golden", "list", session.parent)
    assert max(map(len, shown.out.replace(str(session.parent), "").splitlines())) <= 80
    path = golden / "golden.json"
    document = json.loads(path.read_text())
    document["chain"]["gaps"] += 1
    path.write_text(json.dumps(document))
    said = command("golden", "check", golden, "--json")
    assert said.code == FAIL
    assert "gaps of chain" in said.document["checked"][0]["failures"][0]
    journal = next((golden / "journal").iterdir())
    data = journal.read_bytes()
    journal.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    said = command("golden", "check", golden, "--json")
    assert any(
        sha256(journal.read_bytes()).hexdigest() in one
        for one in said.document["checked"][0]["failures"]
    )


def test_words(session: Path, tmp_path: Path) -> None:
    refused("does not exist", "golden", "list", tmp_path / "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused("no capture and no golden sample", "golden", "check", empty)
    (tmp_path / "link").symlink_to(session)
    said: Said = command("golden", "check", tmp_path, "--json")
    assert said.code == FAIL
    assert any("link" in why for one in said.document["checked"] for why in one["failures"])
    assert said.code != ERROR


def test_captures_that_overlap_count_once(session: Path) -> None:
    """Of one symbol and regime; the list says how long several ran at once."""
    other = Path(shutil.copytree(session, session.parent / "other"))
    length = json.loads((session / SESSION).read_text())
    second = (length["ended_ns"] - length["started_ns"]) // 2

    def later(document: dict[str, Any]) -> None:
        document["started_ns"] += second
        document["ended_ns"] += second

    edit(other, later)
    (holding,) = command("golden", "list", session.parent, "--json").document["symbols"]
    span = length["ended_ns"] - length["started_ns"]
    assert holding["told"] == {"calm": span + second}
    assert holding["overlap"] == {"calm": span - second}
    assert sum(holding["detected"].values()) == span + second
    shown = command("golden", "list", session.parent).out
    assert re.search(r"by several at once: calm \d", shown)
