"""Downloads against a real S3 server: whole, once, resumed, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes.lake import (
    IMPATIENT,
    QUICK,
    SECRETS,
    connection_to,
    environment,
    events,
    put_index,
    start_download,
    state,
)
from fakes.s3 import BUCKET, FakeBucket, Fault, Proxy, fake_lake
from lobproof.acquire.judging import validate
from lobproof.acquire.manifest import VALIDATED, Manifest
from lobproof.acquire.transfer import DownloadResult, download
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.cli import ERROR, run
from lobproof.sources.cryptolake.bucket.catalogue import RemoteObject, catalogue
from lobproof.sources.cryptolake.layout import TABLES, LakeKey
from lobproof.sources.simulator import simulate
from support.acquired import judged

CHUNK = 1 << 16
"""Most that the client may have in hand, per worker."""
DELTAS = "book_delta_v2/exchange=BINANCE/symbol=SIM-USDT/dt=2026-01-05/1.snappy.parquet"
LOOSE = 1 << 16
"""What the line itself may hold beside the chunk when a process is killed."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of each table, about half a megabyte."""
    made = simulate(
        tmp_path_factory.mktemp("lake") / "sim", lake=True, recording=False, minutes=1, seed=3
    )
    assert made.lake is not None
    return made.lake


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[FakeBucket]:
    with fake_lake() as bucket:
        yield bucket


@pytest.fixture
def bucket(server: FakeBucket, lake: Path) -> Iterator[FakeBucket]:
    put_index(server, server.put_folder(lake))
    yield server
    server.proxy.clear()
    server.proxy.bytes_per_second = 0.0


@pytest.fixture
def folder(tmp_path: Path) -> LakeFolder:
    return LakeFolder(tmp_path / "out", create=True)


def objects(bucket: FakeBucket) -> tuple[RemoteObject, ...]:
    return catalogue(connection_to(bucket), tables=TABLES, policy=QUICK).objects


def get(
    bucket: FakeBucket,
    folder: LakeFolder,
    wanted: tuple[RemoteObject, ...] | None = None,
    **options: Any,
) -> DownloadResult:
    found = objects(bucket) if wanted is None else wanted
    given = {"policy": QUICK, **options}
    return download(connection_to(bucket), folder, found, **given)


def assert_same(folder: LakeFolder, lake: Path, zone: Zone = Zone.RAW) -> None:
    """Every file byte by byte, and no other file anywhere."""
    expected = {p.relative_to(lake).as_posix(): p.read_bytes() for p in lake.rglob("*.parquet")}
    top = folder.root / zone
    files = [p for p in top.rglob("*") if p.is_file()]
    assert {p.relative_to(top).as_posix(): p.read_bytes() for p in files} == expected
    assert not list((folder.root / "partial").glob("*.part*"))
    for other in Zone:
        assert other == zone or not [p for p in (folder.root / other).rglob("*") if p.is_file()]


@pytest.fixture(scope="module")
def undisturbed(
    server: FakeBucket, lake: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The manifest's final state after a run in which nothing went wrong."""
    server.put_folder(lake)
    folder = LakeFolder(tmp_path_factory.mktemp("undisturbed") / "out", create=True)
    assert get(server, folder).ok
    found = state(folder)
    for record in found.values():
        del record["last_modified"]
    return found


def final(folder: LakeFolder) -> dict[str, Any]:
    found = state(folder)
    for record in found.values():
        del record["last_modified"]
    return found


@pytest.mark.parametrize("suffix", [".part", ".part.json", ".lock"])
def test_a_link_in_the_way(
    bucket: FakeBucket, folder: LakeFolder, tmp_path: Path, suffix: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("1" if suffix == ".lock" else "precious")
    before = (victim.stat().st_mode, victim.read_bytes())
    name = f"{DELTAS.replace('/', '__')}{suffix}"
    (folder.root / "partial" / name).symlink_to(victim)
    result = get(bucket, folder)
    assert [(failure.key.path, failure.kind) for failure in result.failed] == [(DELTAS, "folder")]
    assert "is a link" in result.failed[0].reason
    assert len(result.fetched) == 2
    assert (victim.stat().st_mode, victim.read_bytes()) == before


def test_files_records_and_modes(bucket: FakeBucket, folder: LakeFolder, lake: Path) -> None:
    result = get(bucket, folder)
    assert result.ok
    assert len(result.fetched) == 3
    assert result.bytes_received == sum(p.stat().st_size for p in lake.rglob("*.parquet"))
    assert_same(folder, lake)
    for key, entry in Manifest(folder).entries().items():
        metadata = pq.read_metadata(lake / key.path)
        times = pq.read_table(lake / key.path, columns=["receipt_timestamp"]).column(0).to_numpy()
        fetched = entry.fetched
        assert (fetched["rows"], fetched["row_groups"]) == (
            metadata.num_rows,
            metadata.num_row_groups,
        )
        assert (fetched["first_ts"], fetched["last_ts"]) == (times.min(), times.max())
        assert fetched["schema"]["timestamp"] == "int64"
        assert (fetched["naming"], fetched["provenance"]) == ("raw", "synthetic")
        assert fetched["bucket"] == BUCKET
        assert folder.path(Zone.RAW, key).stat().st_mode & 0o077 == 0
        assert folder.path(Zone.RAW, key).parent.stat().st_mode & 0o077 == 0


def test_a_second_time_nothing_is_asked_for(bucket: FakeBucket, folder: LakeFolder) -> None:
    wanted = objects(bucket)
    get(bucket, folder, wanted)
    before = Manifest(folder).hashes()[-1]
    bucket.proxy.clear()
    result = get(bucket, folder, wanted)
    assert (len(result.present), result.fetched) == (3, ())
    assert bucket.proxy.sent == []
    assert Manifest(folder).hashes()[-1] == before


def test_a_file_that_was_damaged_here_is_fetched_again(
    bucket: FakeBucket, folder: LakeFolder, lake: Path
) -> None:
    get(bucket, folder)
    key = next(iter(Manifest(folder).entries()))
    path = folder.path(Zone.RAW, key)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    judged = validate(folder, [key]).files[0]
    assert (judged.verdict, folder.where(key)) == ("refused", Zone.QUARANTINE)
    assert "hash-differs" in judged.reasons
    again = get(bucket, folder)
    assert (again.fetched, len(again.present)) == ((key,), 2)
    assert_same(folder, lake)


def test_a_lost_file_is_fetched_again(bucket: FakeBucket, folder: LakeFolder, lake: Path) -> None:
    get(bucket, folder)
    lost = Manifest(folder).entries()
    key = next(iter(lost))
    folder.path(Zone.RAW, key).unlink()
    assert get(bucket, folder).fetched == (key,)
    assert_same(folder, lake)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([Fault("status", where="GET.*parquet", times=4)], id="503"),
        pytest.param([Fault("status", where="GET.*parquet", status=500, times=4)], id="500"),
        pytest.param(
            [Fault("status", where="GET.*parquet", status=400, code="RequestTimeout", times=2)],
            id="400-timeout",
        ),
        pytest.param([Fault("truncate", where=DELTAS, after=200_000, times=1)], id="truncated"),
        pytest.param([Fault("truncate", where=DELTAS, after=0, times=3)], id="empty"),
        pytest.param([Fault("reset", where=DELTAS, after=200_000, times=1)], id="reset"),
        pytest.param([Fault("reset", where=DELTAS, after=90_000, times=30)], id="resets"),
        pytest.param([Fault("stall", where=DELTAS, after=200_000, times=1)], id="stall"),
        pytest.param([Fault("drip", where=DELTAS, after=200_000, times=1)], id="drip"),
        pytest.param([Fault("corrupt", where=DELTAS, after=200_000, times=1)], id="corrupt"),
    ],
)
def test_a_passing_fault_is_got_over(
    bucket: FakeBucket,
    folder: LakeFolder,
    lake: Path,
    undisturbed: dict[str, Any],
    faults: list[Fault],
) -> None:
    wanted = objects(bucket)
    for fault in faults:
        fault.seen = 0
    bucket.proxy.faults += faults
    silent = faults[0].kind in ("stall", "drip")
    result = get(bucket, folder, wanted, policy=IMPATIENT if silent else QUICK)
    assert result.failed == ()
    assert all(fault.seen for fault in faults)
    assert_same(folder, lake)
    assert events(folder) == sorted(one.key.path for one in wanted)
    assert final(folder) == undisturbed


def test_after_a_reset_only_the_rest_is_asked_for(bucket: FakeBucket, folder: LakeFolder) -> None:
    wanted = objects(bucket)
    bucket.proxy.faults.append(Fault("truncate", where=DELTAS, after=200_000, times=1))
    get(bucket, folder, wanted)
    first, second = bucket.proxy.gets("book_delta_v2")
    assert first.body == 200_000
    assert second.request.conditional
    assert 200_000 - CHUNK - LOOSE <= second.request.start <= 200_000


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("status", where=DELTAS, status=403), "access denied"),
        (Fault("status", where=DELTAS, status=404, code="NoSuchKey"), "not found"),
        (Fault("status", where=DELTAS, status=503), "unavailable"),
        (Fault("truncate", where=DELTAS, after=0), "unavailable"),
        (Fault("corrupt", where=DELTAS, after=200_000), "not whole"),
    ],
)
def test_one_that_fails_takes_no_other_down(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, fault: Fault, kind: str
) -> None:
    wanted = objects(bucket)
    bucket.proxy.faults.append(fault)
    result = get(bucket, folder, wanted)
    assert [(one.key.path, one.kind) for one in result.failed] == [(DELTAS, kind)]
    assert len(result.fetched) == 2
    assert DELTAS not in events(folder)
    assert not folder.where(result.failed[0].key)
    bucket.proxy.clear()
    assert get(bucket, folder, wanted).ok
    assert_same(folder, lake)


def test_expired_credentials_are_not_tried_on(bucket: FakeBucket, folder: LakeFolder) -> None:
    wanted = objects(bucket)
    bucket.proxy.clear()
    bucket.proxy.faults.append(Fault("status", status=400, code="ExpiredToken"))
    result = get(bucket, folder, wanted, workers=1)
    assert {one.kind for one in result.failed} == {"credentials"}
    assert len(result.failed) == 3
    assert len(bucket.proxy.sent) == 1
    assert events(folder) == []


def test_time_is_limited_too(bucket: FakeBucket, folder: LakeFolder) -> None:
    wanted = objects(bucket)
    bucket.proxy.faults.append(Fault("status", where="GET.*parquet"))
    policy = replace(QUICK, attempts=10**6, total_seconds=0.3)
    result = get(bucket, folder, wanted, policy=policy)
    assert {one.kind for one in result.failed} == {"unavailable"}


def test_bytes_that_never_match_the_etag_can_be_taken_on_purpose(
    bucket: FakeBucket, folder: LakeFolder
) -> None:
    wanted = objects(bucket)
    bucket.proxy.faults.append(Fault("corrupt", where=DELTAS, after=200_000))
    assert "--no-check-md5" in get(bucket, folder, wanted).failed[0].hint
    assert get(bucket, folder, wanted, check_md5=False).ok


def test_an_object_that_changes_on_the_way(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, tmp_path: Path
) -> None:
    wanted = objects(bucket)
    new = republished(lake / DELTAS, tmp_path)
    bucket.proxy.faults.append(
        Fault(
            "truncate", where=DELTAS, after=200_000, times=1, then=lambda: bucket.put(DELTAS, new)
        )
    )
    assert get(bucket, folder, wanted).ok
    assert (folder.root / "raw" / DELTAS).read_bytes() == new
    assert events(folder).count(DELTAS) == 1


def test_an_object_that_changed_since_the_listing(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, tmp_path: Path
) -> None:
    wanted = objects(bucket)
    new = republished(lake / DELTAS, tmp_path)
    bucket.put(DELTAS, new)
    assert get(bucket, folder, wanted).ok
    assert (folder.root / "raw" / DELTAS).read_bytes() == new


@pytest.mark.parametrize("zone", [Zone.RAW, Zone.VALIDATED])
def test_the_old_version_stays_until_the_new_one_is_whole(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, tmp_path: Path, zone: Zone
) -> None:
    get(bucket, folder)
    key = LakeKey.parse(DELTAS)
    assert key is not None
    if zone is Zone.VALIDATED:
        Manifest(folder).append(VALIDATED, key, **judged())
        folder.move(folder.path(Zone.RAW, key), Zone.VALIDATED, key)
    old = folder.path(zone, key).read_bytes()
    new = republished(lake / DELTAS, tmp_path)
    bucket.put(DELTAS, new)
    wanted = objects(bucket)
    bucket.proxy.faults.append(Fault("truncate", where=DELTAS, after=100_000, times=1))
    bucket.proxy.faults.append(Fault("status", where=DELTAS))
    assert len(get(bucket, folder, wanted).failed) == 1
    assert folder.where(key) == zone
    assert folder.path(zone, key).read_bytes() == old
    bucket.proxy.clear()
    assert get(bucket, folder, wanted).fetched == (key,)
    assert folder.where(key) == Zone.RAW
    assert folder.path(Zone.RAW, key).read_bytes() == new
    assert zone is Zone.RAW or not folder.path(zone, key).exists()


def test_a_part_of_another_version_is_not_gone_on_from(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, tmp_path: Path
) -> None:
    wanted = objects(bucket)
    bucket.proxy.faults.append(Fault("truncate", where=DELTAS, after=200_000, times=1))
    bucket.proxy.faults.append(Fault("status", where=DELTAS))
    assert not get(bucket, folder, wanted).ok
    assert list((folder.root / "partial").glob("*.part"))
    new = republished(lake / DELTAS, tmp_path)
    bucket.put(DELTAS, new)
    bucket.proxy.clear()
    assert get(bucket, folder).ok
    assert (folder.root / "raw" / DELTAS).read_bytes() == new
    assert bucket.proxy.gets("book_delta_v2")[0].request.start == 0


def test_a_file_that_is_no_parquet_is_for_validation_to_judge(
    bucket: FakeBucket, folder: LakeFolder
) -> None:
    odd = "trades/exchange=BINANCE/symbol=ODD-USDT/dt=2026-01-05/1.snappy.parquet"
    bucket.put(odd, b"this is no Parquet file at all")
    try:
        assert get(bucket, folder).ok
    finally:
        bucket.delete(odd)
    record = state(folder)[odd]
    assert record["rows"] is None
    assert record["provenance"] == "unknown"


def test_other_names_and_types_are_told(
    bucket: FakeBucket, folder: LakeFolder, tmp_path: Path
) -> None:
    key = "trades/exchange=BINANCE/symbol=NEW-USDT/dt=2026-01-05/1.snappy.parquet"
    times = pa.array(np.array([1, 2, 3], "datetime64[ns]"))
    names = ("side", "quantity", "price", "trade_id", "origin_time", "received_time")
    columns = (["buy"] * 3, [1.0] * 3, [1.0] * 3, [1, 2, 3], times, times)
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), tmp_path / "file")
    bucket.put(key, (tmp_path / "file").read_bytes())
    try:
        assert get(bucket, folder).ok
    finally:
        bucket.delete(key)
    record = state(folder)[key]
    assert (record["naming"], record["rows"]) == ("lakeapi", 3)
    assert record["schema"]["origin_time"] == "timestamp[ns]"
    assert (record["first_ts"], record["last_ts"]) == (1, 3)


def test_an_empty_object_is_an_object(bucket: FakeBucket, folder: LakeFolder) -> None:
    empty = "trades/exchange=BINANCE/symbol=NIL-USDT/dt=2026-01-05/1.snappy.parquet"
    bucket.put(empty, b"")
    try:
        assert get(bucket, folder).ok
    finally:
        bucket.delete(empty)
    assert state(folder)[empty]["rows"] is None
    assert (folder.root / "raw" / empty).read_bytes() == b""


def test_two_at_once_do_no_harm(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, undisturbed: dict[str, Any]
) -> None:
    bucket.proxy.bytes_per_second = 500_000
    both = [start_download(bucket, folder.root) for _ in range(2)]
    for process in both:
        _, text = process.communicate(timeout=120)
        assert process.returncode == 0, text
    assert_same(folder, lake)
    assert events(folder) == sorted(undisturbed)
    assert final(folder) == undisturbed


def test_ctrl_c_leaves_a_state_to_go_on_from(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, undisturbed: dict[str, Any]
) -> None:
    killed_after(bucket, folder, 200_000, lambda process: process.send_signal(signal.SIGINT))
    assert len(events(folder)) < 3
    assert get(bucket, folder).ok
    assert_same(folder, lake)
    assert final(folder) == undisturbed


def killed_after(
    bucket: FakeBucket,
    folder: LakeFolder,
    limit: int,
    kill: Callable[[subprocess.Popen[str]], None],
) -> None:
    """Start a download and ``kill`` it when the bucket has sent so many bytes of objects."""
    bucket.proxy.bytes_per_second = 600_000
    process = start_download(bucket, folder.root)
    while process.poll() is None and sent(bucket.proxy) < limit:
        time.sleep(0.002)
    kill(process)
    process.communicate(timeout=60)
    bucket.proxy.bytes_per_second = 0.0


def sent(proxy: Proxy) -> int:
    return sum(one.body for one in proxy.gets() if one.status in (200, 206))


def assert_kills_do_no_harm(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, expected: dict[str, Any], seed: int
) -> None:
    size = sum(path.stat().st_size for path in lake.rglob("*.parquet"))
    chance = random.Random(seed)
    bucket.proxy.clear()
    kills = chance.choice((1, 1, 2, 3))
    for _ in range(kills):
        limit = sent(bucket.proxy) + chance.randrange(1, size)
        killed_after(bucket, folder, limit, lambda process: process.kill())
        for zone in (Zone.VALIDATED, Zone.READY, Zone.QUARANTINE):
            assert folder.keys(zone) == []
        for key in folder.keys(Zone.RAW):
            assert folder.path(Zone.RAW, key).read_bytes() == (lake / key.path).read_bytes()
    assert get(bucket, folder).ok
    assert_same(folder, lake)
    assert final(folder) == expected
    assert events(folder) == sorted(expected)
    again = sent(bucket.proxy) - size
    assert again <= kills * 2 * (CHUNK + LOOSE), "more than a chunk per worker was sent twice"


@pytest.mark.parametrize("seed", range(3))
def test_killed_and_started_again(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, undisturbed: dict[str, Any], seed: int
) -> None:
    assert_kills_do_no_harm(bucket, folder, lake, undisturbed, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 150))
def test_killed_and_started_again_many_times(
    bucket: FakeBucket, folder: LakeFolder, lake: Path, undisturbed: dict[str, Any], seed: int
) -> None:
    assert_kills_do_no_harm(bucket, folder, lake, undisturbed, seed)


def test_inside_a_running_event_loop(bucket: FakeBucket, folder: LakeFolder, lake: Path) -> None:
    """As in a notebook."""

    async def cell() -> bool:
        return get(bucket, folder).ok

    assert asyncio.run(cell())
    assert_same(folder, lake)


@pytest.fixture
def user(bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeBucket:
    """Somebody with credentials in the environment."""
    for name, value in environment(bucket.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return bucket


def test_the_commands(
    user: FakeBucket, lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lake"
    assert run(["acquire", "test-connection"]) == 0
    assert run(["acquire", "test-connection", "--json"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text[text.index("{") :])["works"] is True
    assert run(["acquire", "list-inventory", "--symbols", "SIM-USDT"]) == 0
    assert "book_delta_v2" in capsys.readouterr().out
    assert run(["acquire", "list-inventory", "--symbols", "NO-USDT", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["inventory"] == []
    assert len(document["notes"]) == 3

    asked = ["acquire", "download", "--out", str(out), "--start", "2026-01-05"]
    assert run([*asked, "--end", "2026-01-07", "--dry-run", "--price-per-gb", "1000"]) == 0
    assert "3 days asked for are not in the bucket" in capsys.readouterr().out
    assert not out.exists()
    assert run([*asked, "--ask-above-gb", "0.0001"]) == ERROR
    assert "--yes" in capsys.readouterr().err
    assert not out.exists()
    assert run([*asked, "--ask-above-gb", "0.0001", "--yes", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["fetched"]) == 3
    assert_same(LakeFolder(out), lake)
    assert run(asked) == 0
    assert "not fetched again" in capsys.readouterr().out
    assert run([*asked, "--symbols", "NO-USDT"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tables", "candles"],
        ["--start", "yesterday"],
        ["--start", "2026-01-05", "--end", "2026-01-05"],
        ["--workers", "0"],
        ["--symbols", ","],
    ],
)
def test_requests_that_make_no_sense(
    user: FakeBucket, tmp_path: Path, arguments: list[str]
) -> None:
    assert run(["acquire", "download", "--out", str(tmp_path / "lake"), *arguments]) == ERROR
    assert not (tmp_path / "lake").exists()


def test_a_failure_has_exit_code_1_and_its_reason(
    user: FakeBucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user.proxy.faults.append(Fault("status", where=DELTAS, status=403))
    asked = ["acquire", "download", "--out", str(tmp_path / "lake")]
    assert run(asked) == 1
    text = capsys.readouterr().out
    assert "fetched    2 of 3 objects" in text
    assert "403 AccessDenied" in text
    assert run([*asked, "--json"]) == 1
    (failed,) = json.loads(capsys.readouterr().out)["failed"]
    assert (failed["key"], failed["kind"]) == (DELTAS, "access denied")


def test_no_secret_is_to_be_seen_anywhere(
    user: FakeBucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The bucket's errors quote the token; nothing that we say or write does."""
    caplog.set_level(0)
    out = tmp_path / "lake"
    asked = ["acquire", "download", "--out", str(out), "--attempts", "2"]
    codes = []
    for status, code in (
        (503, "SlowDown"),
        (403, "AccessDenied"),
        (400, "ExpiredToken"),
        (403, "InvalidAccessKeyId"),
    ):
        for where in ("list-type", "dt="):
            user.proxy.clear()
            user.proxy.faults.append(Fault("status", where=where, status=status, code=code))
            for command in (
                asked,
                [*asked, "--json"],
                ["acquire", "list-inventory"],
                ["acquire", "test-connection", "--json"],
            ):
                if status != 503 or "download" in command:
                    codes.append(run(command))
    user.proxy.clear()
    assert set(codes) >= {0, 1, ERROR}
    assert run([*asked, "--json"]) == 0
    shown = capsys.readouterr()
    written = "".join(path.read_text("latin-1") for path in out.rglob("*") if path.is_file())
    for text in (shown.out, shown.err, caplog.text, written):
        assert not [secret for secret in SECRETS if secret in text]
    assert "AccessDenied" in shown.out + shown.err
    assert "fetched" in written


def republished(path: Path, tmp_path: Path) -> bytes:
    """The same day, published anew with a row more."""
    table = pq.read_table(path)
    new = pa.concat_tables([table, table.slice(0, 1)])
    pq.write_table(new, tmp_path / "new.parquet", compression="snappy")
    return (tmp_path / "new.parquet").read_bytes()
