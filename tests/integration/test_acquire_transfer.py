"""What a download may not do: hold back bytes, write after it was stopped, ask or take too much."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import ge
from pathlib import Path

import pytest

from fakes.lake import QUICK, connection_to, environment, start_download
from fakes.s3 import FakeBucket, Fault, fake_lake
from lobproof.acquire.transfer import download
from lobproof.acquire.zones import LakeFolder
from lobproof.cli import INTERRUPTED
from lobproof.sources.cryptolake.bucket.catalogue import RemoteObject, catalogue
from lobproof.sources.cryptolake.bucket.remote import Remote
from lobproof.sources.cryptolake.bucket.transfer import Fetched, fetch
from lobproof.sources.cryptolake.layout import TABLES
from support.kills import COMMAND, ENVIRONMENT, running

SMALL = 300_000
EDGE = 200_000
"""Where the line falls silent."""
CHUNK = 1 << 16
"""Most that the client may have in hand, per worker."""
HANGING = 60.0
"""Seconds after which a test no longer waits for what ought to happen."""
LARGE = 24 << 20
VAST = 300 << 20
MEMORY_MIB = 150

_PEAK = """
import re, sys
from pathlib import Path
import pyarrow.parquet
from lobproof.acquire.transfer import download
from lobproof.acquire.zones import LakeFolder
from lobproof.sources.cryptolake.bucket.catalogue import catalogue
from lobproof.sources.cryptolake.bucket.connection import connect

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

there = connect(
    bucket=sys.argv[1], endpoint=sys.argv[2],
    environ=dict(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b"),
)
before = peak()
wanted = catalogue(there, tables=("trades",)).objects
result = download(there, LakeFolder(Path(sys.argv[3]), create=True), wanted)
print(result.bytes_received, peak() - before)
"""


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Iterator[FakeBucket]:
    """Empty, with a name of its own."""
    name = f"transfer-{request.node.originalname.replace('_', '-')[-40:]}"
    with fake_lake(name) as made:
        yield made


def name(number: int = 0) -> str:
    return f"trades/exchange=X/symbol=S{number}-USDT/dt=2026-01-05/1.snappy.parquet"


def put(bucket: FakeBucket, *sizes: int) -> list[bytes]:
    """Random objects, that are no Parquet: a download does not judge."""
    made = [os.urandom(size) for size in sizes]
    for number, data in enumerate(made):
        bucket.put(name(number), data)
    return made


def objects(bucket: FakeBucket) -> tuple[RemoteObject, ...]:
    return catalogue(connection_to(bucket), tables=TABLES, policy=QUICK).objects


def wait_for(done: Callable[[], bool]) -> None:
    until = time.monotonic() + HANGING
    while not done():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def lengths(folder: Path) -> list[int]:
    """Of all part files."""
    return [path.stat().st_size for path in sorted((folder / "partial").glob("*.part"))]


def receivers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lobproof-receive"]


def test_ctrl_c_does_not_wait_for_a_silent_line(bucket: FakeBucket, tmp_path: Path) -> None:
    (data,) = put(bucket, SMALL)
    bucket.proxy.faults.append(Fault("stall", where="parquet", after=EDGE))
    out = tmp_path / "out"
    command = ["acquire", "download", "--bucket", bucket.bucket]
    bare = {"PYTHONPATH": ENVIRONMENT["PYTHONPATH"], "PATH": "", **environment(bucket.url)}
    with running(COMMAND, *command, "--out", out, environment=bare, cwd=tmp_path) as process:
        wait_for(lambda: lengths(out) == [EDGE])
        process.send_signal(signal.SIGINT)
        # the client itself would wait for 30 s
        _, text = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED, text
    (part,) = (out / "partial").glob("*.part")
    assert part.read_bytes() == data[:EDGE]
    bucket.proxy.clear()
    assert download(connection_to(bucket), LakeFolder(out), objects(bucket), policy=QUICK).ok
    assert (out / "raw" / name()).read_bytes() == data
    assert [one.request.start for one in bucket.proxy.gets()] == [EDGE]


def test_what_comes_after_a_stop_is_not_written(bucket: FakeBucket, tmp_path: Path) -> None:
    (data,) = put(bucket, SMALL)
    pause = Fault("pause", where="parquet", after=EDGE, times=1)
    (found,) = objects(bucket)
    bucket.proxy.faults.append(pause)
    part = tmp_path / "part"

    async def take(pool: ThreadPoolExecutor) -> Fetched:
        remote = Remote(connection_to(bucket), QUICK)
        return await fetch(remote, found, part, tmp_path / "note", pool)

    async def stopped(pool: ThreadPoolExecutor) -> None:
        task = asyncio.create_task(take(pool))
        async with asyncio.timeout(HANGING):
            while not part.exists() or part.stat().st_size < EDGE:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(stopped(pool))
        pause.over.set()
        for left in receivers():
            left.join(HANGING)
        assert not receivers()
        assert part.read_bytes() == data[:EDGE]
        assert asyncio.run(take(pool)).resumed_from == EDGE
    assert part.read_bytes() == data


def test_a_kill_costs_at_most_a_chunk_of_a_large_object(bucket: FakeBucket, tmp_path: Path) -> None:
    """Two workers in the midst of large objects on a line that drips."""
    made = put(bucket, LARGE, LARGE)
    edges = (LARGE // 2 + 1, LARGE - 12_345)
    for number, edge in enumerate(edges):
        bucket.proxy.faults.append(
            Fault("drip", where=rf"^GET [^?]*S{number}-", after=edge, times=1)
        )
    out = tmp_path / "out"

    def as_far_as(edges: Sequence[int]) -> bool:
        came = lengths(out)
        return len(came) == len(edges) and all(map(ge, came, (e - CHUNK for e in edges)))

    process = start_download(bucket, out)
    try:
        wait_for(lambda: as_far_as(edges))
    finally:
        process.kill()
    process.communicate(timeout=HANGING)
    result = download(connection_to(bucket), LakeFolder(out), objects(bucket), policy=QUICK)
    assert result.ok
    for number, data in enumerate(made):
        assert (out / "raw" / name(number)).read_bytes() == data
    again = sum(one.body for one in bucket.proxy.gets()) - 2 * LARGE
    assert 0 <= again <= 2 * CHUNK
    starts = sorted(one.request.start for one in bucket.proxy.gets())
    assert starts[:2] == [0, 0]
    for start, edge in zip(starts[2:], edges, strict=True):
        assert start >= edge - CHUNK


def test_requests_keep_to_the_rate(bucket: FakeBucket, tmp_path: Path) -> None:
    """However many workers: the n-th request comes no sooner than the rate allows."""
    rate, count = 20.0, 12
    put(bucket, *[1000] * count)
    wanted = objects(bucket)
    bucket.proxy.clear()
    began = time.monotonic()
    policy = replace(QUICK, rate=rate)
    folder = LakeFolder(tmp_path / "out", create=True)
    assert download(connection_to(bucket), folder, wanted, policy=policy, workers=count).ok
    came = sorted(one.at - began for one in bucket.proxy.sent)
    assert len(came) == count
    for seconds in (0.1, 0.25, 0.5):
        allowed = rate * seconds + 1
        assert sum(at <= seconds for at in came) <= allowed


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_memory_does_not_grow_with_the_object(bucket: FakeBucket, tmp_path: Path) -> None:
    put(bucket, VAST)
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, bucket.bucket, bucket.direct, str(tmp_path / "out")],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": ""},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    received, above = done.stdout.split()
    assert int(received) == VAST
    assert float(above) <= MEMORY_MIB
