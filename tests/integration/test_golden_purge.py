"""``lobproof golden purge``: what is ours and old enough goes, a log says so; kills anywhere."""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import pytest

from lobproof import __version__
from lobproof.sources.binance.journal import HOUR_NS, JournalWriter
from lobproof.sources.captured import SESSION, SessionDocument, read_session, write_session
from lobproof.sources.collection.purge import LOG, plan, read_log
from lobproof.sources.collection.purge import purge as purge_plan
from support.commands import FAIL, PASS, command, refused
from support.kills import died, running

DAY_NS = 24 * HOUR_NS
PURGE = """
import sys
from support.kills import die_at
from lobproof.cli import run
from lobproof.cli.golden import purge
root, target, count, when = sys.argv[1:]
die_at(target, int(count), when)
sys.exit(run(["golden", "purge", root, "--older-than", "90d", "--yes"]))
"""
_MODULE = "lobproof.sources.collection.purge"
DEADLY = [
    (f"{_MODULE}:_append", 4),
    (f"{_MODULE}:write_session", 4),
    (f"{_MODULE}:sync_folder", 20),
    ("os:write", 3),
    ("pathlib:Path.unlink", 40),
]
"""Functions that it is killed at, and calls of them that each run makes at least."""


def session(folder: Path, age_days: float, *, state: str = "ended", hours: int = 3) -> Path:
    """A capture of two symbols that ended so long ago."""
    ended = time.time_ns() - round(age_days * DAY_NS)
    journals = {}
    for name in ("AUSDT/journal", "BUSDT/journal", "session"):
        writer = JournalWriter(folder / name)
        for hour in range(hours):
            at = ended - (hours - hour) * HOUR_NS
            writer.append(b'{"capture_ns":%d,"file":"%b"}\n' % (at, name.encode()), at)
        journals[name] = [asdict(one) for one in writer.close()]
    document = SessionDocument(
        state="ended" if state == "ended" else "running",
        provenance="real",
        market="spot",
        symbols=["AUSDT", "BUSDT"],
        snapshot_limit=5000,
        sockets="wss://venue",
        rest="https://venue",
        started_ns=ended - hours * HOUR_NS,
    )
    if state == "ended":
        document.ended_ns = ended
        document.figures = {"symbols": {}, "journals": journals, "lost": {}}
    write_session(folder, document)
    return folder


def files(folder: Path) -> dict[str, str]:
    """All files below a folder, by their path, and the SHA-256 of each."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def purge(folder: Path, *words: object) -> tuple[int, str]:
    """Run it without asking."""
    said = command("golden", "purge", folder, "--older-than", "90d", "--yes", *words)
    return said.code, said.out + said.err


def test_what_is_old_goes_and_the_log_says_what(tmp_path: Path) -> None:
    old = session(tmp_path / "a" / "old", 91)
    session(tmp_path / "young", 89)
    session(tmp_path / "runs", 500, state="running")
    (old / "AUSDT" / "journal" / "notes.txt").write_text("somebody's")
    (tmp_path / "other.jsonl.zst").write_bytes(b"no session's")
    before = files(tmp_path)
    code, told = purge(tmp_path, "--dry-run")
    assert code == PASS
    assert "9 files" in told
    assert "Nothing is deleted" in told
    assert files(tmp_path) == before
    code, told = purge(tmp_path)
    assert code == PASS
    assert "Deleted 9 files" in told
    after = files(tmp_path)
    gone = before.keys() - after.keys()
    assert len(gone) == 9
    assert all(name.startswith("a/old/") and name.endswith(".jsonl.zst") for name in gone)
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    assert changed == {f"a/old/{SESSION}"}
    assert {f"{one.session}/{one.file}": one.sha256 for one in read_log(tmp_path)} == {
        name: before[name] for name in gone
    }
    assert {one.version for one in read_log(tmp_path)} == {__version__}
    assert read_session(old).purged_ns
    log = (tmp_path / LOG).read_bytes()
    assert purge(tmp_path)[0] == PASS
    assert (tmp_path / LOG).read_bytes() == log
    said = command("golden", "check", old, "--json")
    assert said.code == 2
    assert "purged" in said.document["checked"][0]["unproven"][0]


def test_nobody_is_asked_where_there_is_no_terminal(tmp_path: Path) -> None:
    session(tmp_path / "old", 91)
    before = files(tmp_path)
    refused("nothing was deleted", "golden", "purge", tmp_path, "--older-than", "90d")
    assert files(tmp_path) == before


def test_what_is_not_as_its_document_says_stays(tmp_path: Path) -> None:
    """Other bytes, a link, a file that is gone, a journal of elsewhere: all of that capture."""
    good = session(tmp_path / "good", 91)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    for name in ("bytes", "link", "gone", "climbs"):
        session(tmp_path / name, 91)
    journal = sorted((tmp_path / "bytes" / "AUSDT" / "journal").iterdir())[0]
    journal.write_bytes(b"other")
    linked = sorted((tmp_path / "link" / "AUSDT" / "journal").iterdir())[0]
    target = linked.rename(outside / linked.name)
    linked.symlink_to(target)
    sorted((tmp_path / "gone" / "AUSDT" / "journal").iterdir())[0].unlink()
    path = tmp_path / "climbs" / SESSION
    document = json.loads(path.read_text())
    document["figures"]["journals"]["../good/AUSDT/journal"] = []
    path.write_text(json.dumps(document))
    before = files(tmp_path)
    code, told = purge(tmp_path)
    assert code == FAIL
    assert told.count("refused ") == 4
    assert "Deleted 9 files" in told
    kept = {one.session: one.kept for one in read_log(tmp_path) if one.kept}
    assert kept.keys() == {"bytes", "link", "gone", "climbs"}
    assert "is missing" in kept["gone"]
    log = (tmp_path / LOG).read_bytes()
    assert purge(tmp_path)[0] == FAIL
    assert (tmp_path / LOG).read_bytes() == log  # the same reasons are not written down again
    gone = before.keys() - files(tmp_path).keys()
    assert len(gone) == 9
    assert all(name.startswith("good/") for name in gone)
    assert target.exists()
    assert read_session(good).purged_ns


def test_what_changes_before_it_is_deleted_is_told_and_left(tmp_path: Path) -> None:
    """Somebody may think about the question for long: another purge, another document, a link."""
    for name in ("another", "changed", "link", "plain"):
        session(tmp_path / name, 91)
    made = plan(tmp_path, time.time_ns() - 90 * DAY_NS, lambda path: None)
    assert len(made.due) == 4
    assert purge(tmp_path / "another")[0] == PASS
    document = read_session(tmp_path / "changed")
    document.regime = "calm"
    write_session(tmp_path / "changed", document)
    journal = tmp_path / "link" / "BUSDT" / "journal"
    journal.rename(tmp_path / "away")
    journal.symlink_to(tmp_path / "away")
    purge_plan(tmp_path, made, time.time_ns())
    assert [one.session.folder.name for one in made.deleted] == ["plain"]
    assert [(where.name, why) for where, why in made.kept] == [
        ("another", "another purge has deleted it meanwhile")
    ]
    refused = {where.name: why for where, why in made.refused}
    assert refused.keys() == {"changed", "link"}
    assert "was changed" in refused["changed"]
    assert "is a link" in refused["link"]
    assert len(list((tmp_path / "away").iterdir())) == 3
    assert len(list((tmp_path / "changed").glob("*/journal/*"))) == 6
    assert {one.session for one in read_log(tmp_path) if one.kept} == {"changed", "link"}
    told = made.to_dict()
    assert [one["session"] for one in told["deleted"]] == [str(tmp_path / "plain")]


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_a_log_that_was_cut_off_goes_on(tmp_path: Path, cut: int) -> None:
    """A line that a kill cut off counts for nothing; a damaged line amid the log is an error."""
    session(tmp_path / "one", 95)
    assert purge(tmp_path)[0] == PASS
    log = tmp_path / LOG
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:cut])
    session(tmp_path / "two", 91)
    assert purge(tmp_path)[0] == PASS
    assert log.read_bytes().startswith(whole + whole[:cut])
    assert len(list(read_log(tmp_path))) == 18
    log.write_bytes(b"{}\n" + whole)
    refused("line 1 is damaged", "golden", "purge", tmp_path, "--older-than", "90d", "--yes")


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_at_random(tmp_path: Path, seed: int) -> None:
    """Whatever is gone is in the log; in the end all is gone, and logged once."""
    for number in range(30):
        session(tmp_path / f"s{number:02d}", 91 + number, hours=4)
    before = {name: one for name, one in files(tmp_path).items() if name.endswith(".zst")}

    def look() -> None:
        gone = before.keys() - files(tmp_path).keys()
        logged = {f"{one.session}/{one.file}": one.sha256 for one in read_log(tmp_path)}
        assert gone <= logged.keys()

    rng = random.Random(seed)
    for _ in range(6):
        target, most = rng.choice(DEADLY)
        when = rng.choice(["before", "after"])
        with running(PURGE, tmp_path, target, rng.randint(1, most), when) as process:
            died(process)
        look()
    assert purge(tmp_path)[0] == PASS
    logged = [f"{one.session}/{one.file}" for one in read_log(tmp_path)]
    assert sorted(logged) == sorted(before)
    assert not before.keys() & files(tmp_path).keys()
    assert all(read_session(tmp_path / f"s{number:02d}").purged_ns for number in range(30))
