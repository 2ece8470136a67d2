"""``lobproof capture --encrypt-to``, and what reads it again, against ``lobproof serve``."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyrage import x25519

from lobproof.sources.age import identities_of
from lobproof.sources.binance.journal import ENCRYPTED_SUFFIX, read_frames, walk_encrypted
from lobproof.sources.captured import SESSION
from lobproof.sources.golden import GoldenSample
from support.commands import FAIL, INCONCLUSIVE, PASS, Said, command, refused
from support.kills import COMMAND, running
from support.served import served

SYMBOL = "SIMUSDT"


@dataclass(frozen=True)
class Encrypted:
    """A capture, its reader's file and public key, and a file with a key that does not fit."""

    folder: Path
    key: Path
    public: str
    wrong: Path

    @property
    def journals(self) -> list[Path]:
        return sorted((self.folder / SYMBOL / "journal").iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Encrypted:
    """A capture that ended."""
    root = tmp_path_factory.mktemp("encrypted")
    keys = [x25519.Identity.generate() for _ in range(2)]
    for name, key in zip(("key.txt", "wrong.txt"), keys, strict=True):
        (root / name).write_text(f"# from age-keygen\n{key}\n")
    public = str(keys[0].to_public())
    (root / "readers.txt").write_text(f"{public}\n")
    out = root / "day"
    with served("--preset", "btc", "--speed", "5", "--wait") as url:
        said = command(
            *("capture", SYMBOL, "--endpoint", url, "--out", out, "--duration", "4s"),
            *("--encrypt-to", root / "readers.txt"),
        )
    assert said.code == 0, said
    assert "--identity FILE" in said.err
    return Encrypted(out, root / "key.txt", public, root / "wrong.txt")


@pytest.fixture
def copied(whole: Encrypted, tmp_path: Path) -> Encrypted:
    """A copy to damage."""
    folder = Path(shutil.copytree(whole.folder, tmp_path / "day"))
    return Encrypted(folder, whole.key, whole.public, whole.wrong)


def check(of: Encrypted, *words: object) -> Said:
    return command("golden", "check", of.folder, *words, "--json")


def told(said: Said) -> str:
    """All that a check says of the symbol."""
    (of,) = (one for one in said.document["checked"] if one["name"] == SYMBOL)
    return "\n".join([*of["failures"], *of["unproven"]])


def test_the_whole_way(whole: Encrypted, tmp_path: Path) -> None:
    """Capture, import, reconstruct, verify; the collection knows what was imported."""
    golden, store = tmp_path / "golden", tmp_path / "store"
    made = command("import", whole.folder, "--out", golden, "--identity", whole.key, "--json")
    assert made.code == 0, made
    assert "an encrypted journal" in made.err
    assert command("reconstruct", golden, "--out", store).code == 0
    verdict = command("verify", store, "--against", golden, "--json")
    assert verdict.code == PASS, verdict.out
    figures = json.loads((whole.folder / SESSION).read_text())["figures"]["symbols"][SYMBOL]
    sample = GoldenSample.load(golden)
    counts = sample.document["counts"]
    assert (counts["depth"], counts["trade"]) == (
        figures["messages"]["depth"],
        figures["messages"]["trade"],
    )
    assert [path.name for path in sample.journals] == [
        path.name.removesuffix(".age") for path in whole.journals
    ]
    parts = command("golden", "list", whole.folder, golden, "--json").document["parts"]
    (part,) = (one for one in parts if one["kind"] == "capture")
    assert part["imported"] == part["files"] == len(whole.journals)
    again = command("import", whole.folder, "--out", golden, "--identity", whole.key)
    assert "nothing to do" in " ".join(again.err.split())  # which wraps


def test_nothing_plain_and_no_secret_is_left(whole: Encrypted) -> None:
    document = json.loads((whole.folder / SESSION).read_text())
    assert (document["state"], document["encrypted_to"]) == ("ended", [whole.public])
    secret = whole.key.read_text().splitlines()[-1]
    written = [path for path in whole.folder.rglob("*") if path.is_file()]
    plain = (SESSION, "exchangeInfo.json", ".capture.lock")
    journals = [path for path in written if path.name not in plain]
    assert (whole.folder / ".capture.lock").read_text().strip().isdecimal()  # a process
    assert whole.journals
    assert set(whole.journals) <= set(journals)
    for path in journals:
        assert path.name.endswith(ENCRYPTED_SUFFIX)
        frames, losses = walk_encrypted(path)
        assert frames
        assert not losses  # no byte is outside of what age made
    for path in written:
        data = path.read_bytes()
        assert secret.encode() not in data
        assert b"mono_ns" not in data  # of a line


def test_who_has_no_key_or_another_is_told(whole: Encrypted, tmp_path: Path) -> None:
    to = ("import", whole.folder, "--out", tmp_path / "golden")
    refused(r"is encrypted\nHint: .*--identity", *to)
    refused(r"not one of its \d+ frames can be decrypted", *to, "--identity", whole.wrong)
    refused("does not exist", *to, "--identity", tmp_path / "none.txt")
    refused(f"{tmp_path}: it is no plain file", *to, "--identity", tmp_path)
    refused("does not exist", "golden", "check", whole.folder, "--identity", tmp_path / "none")
    secret = whole.key.read_text().splitlines()[-1]
    said = refused("a secret key stands on the command line", *to, "--identity", secret)
    assert secret not in said
    assert not (tmp_path / "golden").exists()
    both = command(*to, "--identity", whole.wrong, "--identity", whole.key)
    assert both.code == 0, both


def test_an_encrypted_journal_is_known_for_a_recording(whole: Encrypted, tmp_path: Path) -> None:
    store = ("--out", tmp_path / "store")
    refused("is a recording, not", "reconstruct", whole.journals[0], *store)


def test_recipients_that_cannot_be(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "day", "--endpoint", "http://127.0.0.1:9")
    secret = str(x25519.Identity.generate())
    refused("no recipient of age", "capture", SYMBOL, *out, "--encrypt-to", "age1qqq")
    refused("does not exist", "capture", SYMBOL, *out, "--encrypt-to", tmp_path / "none")
    refused(f"{tmp_path}: it is no plain file", "capture", SYMBOL, *out, "--encrypt-to", tmp_path)
    said = refused("a secret key stands", "capture", SYMBOL, *out, "--encrypt-to", secret)
    assert secret not in said
    assert not (tmp_path / "day").exists()


def test_a_check_says_what_it_could_not_look_at(whole: Encrypted) -> None:
    said = check(whole, "--identity", whole.key)
    assert said.code == PASS, said
    (of,) = (one for one in said.document["checked"] if one["name"] == SYMBOL)
    assert of["lines"] == sum(
        frame.count(b"\n")
        for path in whole.journals
        for frame in read_frames(path, identities=identities_of([whole.key]))
        if isinstance(frame, bytes)
    )
    for words in ((), ("--identity", whole.wrong)):
        said = check(whole, *words)
        assert said.code == INCONCLUSIVE, said
        frames = sum(walk_encrypted(path)[0] for path in whole.journals)
        assert f"{frames:,} frames are encrypted" in told(said)
        assert ("not one of its" in told(said)) == bool(words)


@pytest.mark.parametrize("listed", [True, False])
def test_damage_is_found(copied: Encrypted, listed: bool) -> None:
    """A byte within a frame: by the hash without a key; by decryption where none is listed."""
    path = copied.journals[-1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    if not listed:
        document = json.loads((copied.folder / SESSION).read_text())
        document |= {"state": "running", "figures": {}, "ended_ns": 0}
        (copied.folder / SESSION).write_text(json.dumps(document))
    closed = check(copied)
    assert closed.code == (FAIL if listed else INCONCLUSIVE), closed
    assert ("its SHA-256 is" in told(closed)) == listed
    opened = check(copied, "--identity", copied.key)
    assert opened.code == FAIL, opened
    if not listed:
        assert re.search(r"bytes from byte [\d,]+ on: ", told(opened)), opened


def test_a_frame_that_is_gone_is_found_without_a_key(copied: Encrypted) -> None:
    path = copied.journals[-1]
    data = path.read_bytes()
    path.write_bytes(data[:100] + data[110:])
    said = check(copied)
    assert said.code == FAIL
    assert "bytes" in told(said)


def test_a_damaged_frame_costs_that_frame_alone(copied: Encrypted, tmp_path: Path) -> None:
    path = copied.journals[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    golden = tmp_path / "golden"
    made = command("import", copied.folder, "--out", golden, "--identity", copied.key)
    assert made.code == 0, made
    (finding,) = GoldenSample.load(golden).document["findings"]["truncated"]
    assert "bytes of the journal" in finding["detail"]
    strict = ("--out", tmp_path / "strict", "--identity", copied.key, "--strict")
    refused("bytes of the journal|gap", "import", copied.folder, *strict)


def test_a_kill_costs_the_last_frame_at_most(whole: Encrypted, tmp_path: Path) -> None:
    out = tmp_path / "day"
    with (
        served("--preset", "nexo", "--speed", "5") as url,
        running(
            *(COMMAND, "capture", SYMBOL, "--endpoint", url, "--out", out),
            *("--encrypt-to", whole.public),
        ) as process,
    ):
        deadline = time.monotonic() + 60
        journal = out / SYMBOL / "journal"
        while not any(walk_encrypted(path)[0] >= 3 for path in journal.glob("*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.kill()
        process.communicate()
    of = Encrypted(out, whole.key, whole.public, whole.wrong)
    assert json.loads((out / SESSION).read_text())["state"] == "running"
    last = of.journals[-1]
    if not walk_encrypted(last)[1]:
        last.write_bytes(last.read_bytes()[:-5])  # as a kill within a write would
    _, (half,) = walk_encrypted(last)
    assert half.offset + half.bytes == last.stat().st_size
    assert half.detail == "the file ends inside a frame"
    golden = tmp_path / "golden"
    made = command("import", out, "--out", golden, "--identity", whole.key)
    assert made.code == 0, made
    assert len(GoldenSample.load(golden).document["findings"]["truncated"]) == 1
    for words in ((), ("--identity", whole.key)):
        said = check(of, *words)
        assert said.code == INCONCLUSIVE, said
        assert "the file ends inside a frame" in told(said)
