"""What the commands say where something is amiss: nothing passes in silence, and a hint follows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from time import monotonic

import pytest

from fakes.lake import environment
from fakes.s3 import FakeBucket, fake_lake
from lobproof.acquire.audits import audit_path
from lobproof.acquire.certificate import certify
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.cli import ERROR
from lobproof.errors import UnreachableError
from lobproof.sources.cryptolake.bucket.concurrency import run
from lobproof.sources.cryptolake.bucket.connection import connect
from lobproof.sources.cryptolake.bucket.remote import Policy, Remote
from support.acquired import key, validated_lake
from support.commands import Said, command, refused

NAMES = ("--symbols", "SIM-USDT,TYPO-USDT")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeBucket]:
    with fake_lake("words") as bucket:
        bucket.put(key().path, b"x" * 100)
        yield bucket


@pytest.fixture
def bucket(
    server: FakeBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[FakeBucket]:
    for name, value in environment(server.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield server
    server.proxy.clear()


@pytest.fixture
def folder(tmp_path: Path) -> LakeFolder:
    """A folder with one certified day."""
    lake = validated_lake(tmp_path)
    certify(lake, allow_synthetic=True)
    return lake


def acquire(name: str, *options: object) -> Said:
    return command("acquire", name, "--bucket", "words", "--tables", "trades", *options)


# asking the bucket -------------------------------------------------------------------------------


def test_a_symbol_that_nothing_has_is_told(bucket: FakeBucket) -> None:
    listed = acquire("list-inventory", *NAMES)
    got = acquire("download", "--out", "lake", *NAMES)
    for said in (listed, got):
        assert said.code == 2
        assert "TYPO-USDT: the bucket was asked and has nothing of this symbol" in said.err
    assert LakeFolder(Path("lake")).keys(Zone.RAW) == [key()]


@pytest.mark.parametrize("name", ["[red]", "[-red]", "a b", "\u202eusdt", "x" * 61])
def test_what_cannot_name_a_symbol_is_refused(bucket: FakeBucket, name: str) -> None:
    words = refused("cannot name a symbol", "acquire", "list-inventory", "--symbols", name)
    assert "Hint: a name is made of" in words
    assert "\u202e" not in words


def test_keys_with_such_a_name_are_no_days(bucket: FakeBucket) -> None:
    odd = key().path.replace("symbol=SIM-USDT", "symbol=[red]")
    bucket.put(odd, b"x")
    try:
        assert "[red]" not in acquire("list-inventory").out
    finally:
        bucket.delete(odd)


def test_nothing_at_all_ends_in_a_hint(bucket: FakeBucket) -> None:
    said = acquire("download", "--out", "lake", "--symbols", "TYPO-USDT")
    assert said.code == 1
    assert "has nothing of this request" in said.err
    assert said.err.splitlines()[-2].startswith("error: s3://words/")
    assert said.err.splitlines()[-1].startswith("Hint: ")
    listed = acquire("list-inventory", "--symbols", "TYPO-USDT")
    assert listed.code == 1
    assert listed.err.splitlines()[-2].startswith("error: s3://words/")


def test_everything_there_already_is_no_error(bucket: FakeBucket) -> None:
    assert acquire("download", "--out", "lake").code == 0
    again = acquire("download", "--out", "lake")
    assert again.code == 0
    assert "present    1 objects, not fetched again" in again.out
    assert "error" not in again.err


def test_a_bucket_that_is_not_there(bucket: FakeBucket) -> None:
    words = refused("NoSuchBucket", "acquire", "download", "--bucket", "none", "--out", "lake")
    assert "check bucket and endpoint" in words


@pytest.mark.parametrize("name", ["sim//usdt", "sim\x1busdt"], ids=["empty-part", "control"])
def test_a_key_that_no_file_can_have_is_told_and_the_rest_goes_on(
    bucket: FakeBucket, name: str
) -> None:
    odd = f"trades/exchange=BINANCE/symbol={name}/dt=2026-01-05/1.parquet"
    bucket.put(odd, b"x")
    try:
        listed = acquire("list-inventory")
        got = acquire("download", "--out", "lake")
        for said in (listed, got):
            assert said.code == 2
            assert "1 keys cannot be taken and are left out" in said.err
            assert "\x1b" not in said.err
        assert acquire("list-inventory", "--json").document["skipped_keys"] == 1
        assert LakeFolder(Path("lake")).keys(Zone.RAW) == [key()]
        assert acquire("list-inventory", "--symbols", "SIM-USDT").code == 0
    finally:
        bucket.delete(odd)


def test_a_store_out_of_reach_has_no_tick(bucket: FakeBucket) -> None:
    said = command("acquire", "test-connection", "--endpoint", "http://127.0.0.1:1", "--json")
    assert said.code == 1
    steps = said.document["steps"]
    assert [step["ok"] for step in steps] == [False] * len(steps)
    assert "Hint: check the line to the endpoint" in steps[0]["detail"]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "https://no-such-host.invalid"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("acquire", "list-inventory"),
        ("acquire", "list-inventory", "--exchange", "BINANCE", "--symbols", "A-USDT,B-USDT"),
        ("acquire", "download", "--out", "lake"),
        ("doctor", "--sample"),
    ],
    ids=["list", "list-some", "download", "doctor"],
)
def test_a_store_out_of_reach_is_soon_told(
    bucket: FakeBucket, arguments: tuple[str, ...], endpoint: str
) -> None:
    """A refused connection, a name that nothing has: not eight tries of each request."""
    began = monotonic()
    said = command(*arguments, "--endpoint", endpoint)
    assert monotonic() - began < 15
    assert said.code == ERROR
    lines = said.err.splitlines()
    assert len(lines) <= 5
    assert all(line.startswith(f"no connection to {endpoint}: ") for line in lines[:-2])
    assert lines[-2].startswith(f"error: no connection to {endpoint}: ")
    for word in ("--endpoint", "lobproof simulate --lake"):
        assert word in lines[-1]


def test_a_store_that_has_answered_is_waited_for() -> None:
    """A line that breaks is tried as often as the policy says."""
    connection = connect(endpoint="http://127.0.0.1:1", environ=environment())
    remote = Remote(connection, Policy(attempts=6, first_wait=0.01, longest_wait=0.01))
    tries: list[bool] = []

    async def ask(answers: bool) -> None:
        tries.append(answers)
        if not answers:
            raise UnreachableError("no connection", hint="none")

    for answers, asked in ((False, 3), (True, 1), (False, 6)):
        tries.clear()
        with nullcontext() if answers else pytest.raises(UnreachableError):
            run(remote.retrying(partial(ask, answers)))
        assert len(tries) == asked


@pytest.mark.parametrize(
    "option",
    ["rate", "total-seconds", "price-per-gb", "ask-above-gb"],
)
def test_what_is_no_number_is_refused(bucket: FakeBucket, option: str) -> None:
    refused("must be", "acquire", "download", "--out", "lake", f"--{option}", "nan")
    refused("must be", "acquire", "download", "--out", "lake", f"--{option}", "-1")


def test_a_folder_that_holds_something_else(bucket: FakeBucket) -> None:
    Path("full").mkdir()
    Path("full/other").touch()
    refused("holds something else", "acquire", "download", "--bucket", "words", "--out", "full")
    assert [path.name for path in Path("full").iterdir()] == ["other"]


def test_the_next_command_can_be_copied(bucket: FakeBucket) -> None:
    said = acquire("download", "--out", "my lake")
    assert "Next: lobproof acquire validate 'my lake'" in said.err


# folders -----------------------------------------------------------------------------------------


def test_a_request_that_means_nothing_is_refused(folder: LakeFolder) -> None:
    for name in ("validate", "certify"):
        refused("--symbols names none", "acquire", name, folder.root, "--symbols", ",")
        span = ("--start", "2026-01-06", "--end", "2026-01-05")
        refused("no day lies from", "acquire", name, folder.root, *span)
    refused("nothing of TYPO-USDT", "acquire", "validate", folder.root, *NAMES)
    refused("--quick belongs to", "acquire", "certify", folder.root, "--quick")
    refused("says itself", "acquire", "certify", "--verify", "x.json", "--symbols", "SIM-USDT")


@pytest.mark.parametrize("damage", ["gone", "edited"])
def test_a_certified_file_without_its_audit_is_not_good(folder: LakeFolder, damage: str) -> None:
    path = audit_path(folder, key())
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b" ")
    said = command("acquire", "validate", folder.root, "--json").document
    (judged,) = (file for file in said["files"] if file["key"] == key().path)
    assert (judged["verdict"], list(judged["reasons"])) == ("doubtful", ["audit-changed"])
    assert judged["rows"] > 0
    for words in (["validate"], ["certify", "--allow-synthetic"]):
        told = command("acquire", *words, folder.root)
        assert "audit-changed" in told.out
        assert "Hint: `lobproof acquire validate FOLDER --again`" in told.err
    assert command("acquire", "validate", folder.root, "--again").code == 0
    assert command("acquire", "certify", folder.root, "--allow-synthetic").code == 0


def test_certificates_that_validation_breaks_are_named(folder: LakeFolder) -> None:
    (path,) = (folder.root / "certificates").glob("*.json")
    assert "broken" not in command("acquire", "validate", folder.root).out
    said = command("acquire", "validate", folder.root, "--again")
    assert f"broken     certificate {path.stem} no longer holds" in said.out


def test_a_lost_file_has_a_remedy(folder: LakeFolder) -> None:
    folder.path(Zone.READY, key()).unlink()
    (path,) = (folder.root / "certificates").glob("*.json")
    for words in (
        ["status", folder.root],
        ["validate", folder.root],
        ["certify", folder.root, "--allow-synthetic"],
        ["certify", "--verify", path],
    ):
        said = command("acquire", *words)
        assert said.code == 1
        assert "Hint: `lobproof acquire download` of the same days" in said.err


def test_what_was_changed_is_fetched_anew_as_the_hint_says(
    bucket: FakeBucket, folder: LakeFolder, tmp_path: Path
) -> None:
    bucket.put(key().path, (tmp_path / "objects" / key().path).read_bytes())
    path = folder.path(Zone.READY, key())
    data = path.read_bytes()
    path.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
    said = command("acquire", "certify", folder.root, "--allow-synthetic")
    assert said.err.splitlines()[-1].startswith("Hint: `lobproof acquire validate FOLDER --again`")
    told = command("acquire", "status", folder.root, "--check")
    assert "changed since it was fetched; `validate --again` refuses it" in told.out
    again = command("acquire", "validate", folder.root, "--again")
    assert "`lobproof acquire download` of the same days" in again.err
    assert acquire("download", "--out", folder.root).code == 0
    assert path.exists() is False
    assert folder.path(Zone.RAW, key()).read_bytes() == data
    bucket.put(key().path, b"x" * 100)


def test_reasons_are_a_line_each(folder: LakeFolder) -> None:
    folder.path(Zone.READY, key()).unlink()
    said = command("acquire", "certify", folder.root, "--allow-synthetic")
    assert f"file-missing: {key()}: not in ready" in said.out.splitlines()


_LIMITED = """
import resource, signal, sys
from lobproof.cli import run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(run(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("words", "size", "named"),
    [
        (["validate", "--again"], 100, "audits"),
        (["certify", "--tables", "trades", "--allow-synthetic"], 2000, "manifest.jsonl"),
    ],
    ids=["audit", "manifest"],
)
def test_a_full_disk_names_the_file(
    folder: LakeFolder, words: list[str], size: int, named: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(size), "acquire", words[0], folder.root, *words[1:]],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path), **os.environ},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 3
    assert f"{folder.root}/{named}" in done.stderr
    assert "Hint: " in done.stderr


def test_a_folder_whose_name_is_no_text(folder: LakeFolder) -> None:
    odd = Path(os.fsdecode(os.fsencode(folder.root) + b"\xff"))
    folder.root.rename(odd)
    refused("is no UTF-8", "acquire", "status", odd)
