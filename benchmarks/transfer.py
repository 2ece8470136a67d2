"""Downloads beside a plain streaming copy by obstore, and their peak memory.

One local server (moto's, a process of its own) serves all in turns; each run is a process of its
own. Objects above the store's part size have an ETag that is no MD5, smaller ones have one, which
costs hashing: both are measured, over loopback and over a line of a given speed.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import obstore
from benchmarks.line import held
from benchmarks.report import Spread, clocked, peak_mib
from obstore.store import S3Store

from lobproof.acquire.transfer import download
from lobproof.acquire.zones import LakeFolder
from lobproof.sources.cryptolake.bucket.catalogue import catalogue
from lobproof.sources.cryptolake.bucket.connection import Connection, connect

BUCKET = "transfers"
PARTS, MD5 = "trades", "book"
"""Tables of objects by what their ETag is."""
WAYS = ("copy", "hashed", "ours")
_CHUNK = 1 << 20
_HASHED = 512
"""MiB to tell the speed of a hash by."""
_SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


def connection(url: str) -> Connection:
    return connect(
        bucket=BUCKET,
        prefix="",
        endpoint=url,
        environ={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        dotenv=Path("none"),
    )


def plain(url: str) -> S3Store:
    return S3Store(
        BUCKET,
        endpoint=url,
        region="eu-west-1",
        access_key_id="a",
        secret_access_key="b",
        client_options={"allow_http": True},
    )


def fill(url: str, table: str, objects: int, size: int, *, parts: bool) -> None:
    """Put random objects; in ``parts``, as tools put large ones."""
    store = plain(url)
    data = os.urandom(size)
    for number in range(objects):
        path = f"{table}/exchange=X/symbol=A-B/dt=2026-01-{number + 1:02}/1.parquet"
        obstore.put(store, path, data, use_multipart=parts, max_concurrency=1)


def hashed(url: str, table: str, folder: Path, workers: int) -> int:
    """The plain copy, and the hashes that a download must have of such objects."""
    return copy(url, table, folder, workers, names=hashes(table))


def hashes(table: str) -> tuple[str, ...]:
    return ("sha256", "md5") if table == MD5 else ("sha256",)


def hash_seconds(table: str) -> float:
    """Processor seconds that one GB takes in these hashes and nothing else."""
    data = os.urandom(_CHUNK)
    digests = [hashlib.new(name, usedforsecurity=False) for name in hashes(table)]

    def run() -> None:
        for _ in range(_HASHED):
            for digest in digests:
                digest.update(data)

    return clocked(run)[1] / (_HASHED * _CHUNK / 1e9)


def copy(url: str, table: str, folder: Path, workers: int, *, names: Sequence[str] = ()) -> int:
    """The plain copy: each object's stream into a file, nothing else."""
    store = plain(url)
    found = obstore.list(store, table).collect()

    def one(path: str) -> None:
        digests = [hashlib.new(name, usedforsecurity=False) for name in names]
        with (folder / path.replace("/", "_")).open("wb", buffering=0) as file:
            for piece in obstore.get(store, path).stream(_CHUNK):
                file.write(piece)
                for digest in digests:
                    digest.update(piece)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, [meta["path"] for meta in found]))
    return sum(meta["size"] for meta in found)


def ours(url: str, table: str, folder: Path, workers: int) -> int:
    there = connection(url)
    found = catalogue(there, tables=(table,))
    result = download(
        there, LakeFolder(folder / "lake", create=True), found.objects, workers=workers
    )
    if not result.ok:
        raise SystemExit(result.failed[0].reason)
    return result.bytes_received


def child(url: str, what: str, table: str, workers: int) -> dict[str, float]:
    """One run in a process of its own: MB/s, processor seconds a GB, MiB above the imports'."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.transfer", url, what, table, str(workers)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def run_child(url: str, what: str, table: str, workers: str) -> None:
    importlib.import_module("pyarrow.parquet")  # counted among the imports

    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        began, used = perf_counter(), process_time()
        size = {"copy": copy, "hashed": hashed, "ours": ours}[what](
            url, table, Path(folder), int(workers)
        )
        seconds, used = perf_counter() - began, process_time() - used
    figures = {
        "speed": size / seconds / 1e6,
        "processor": used / (size / 1e9),
        "memory": peak_mib() - before,
    }
    print(json.dumps(figures))


@dataclass(frozen=True, slots=True)
class Compared:
    """Figures by way, run by run: MB/s, processor seconds of the client a GB, MiB of memory."""

    table: str
    workers: int
    limit: float
    """MB a second of the line, 0 for loopback."""
    speed: dict[str, Spread]
    processor: dict[str, Spread]
    memory: dict[str, Spread]

    @property
    def share(self) -> float:
        """Percent of the plain copy's speed that lobproof reaches."""
        return 100 * self.speed["ours"].over(self.speed["copy"]).median

    def ceiling(self, seconds: float) -> float:
        """Percent that hashes of so many seconds a GB leave, all cores busy in the plain copy."""
        copy_seconds = (os.cpu_count() or 1) * 1e3 / self.speed["copy"].median
        return 100 * copy_seconds / (copy_seconds + seconds)


@contextmanager
def served() -> Iterator[str]:
    """The URL of a server with an empty bucket."""
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = next(int(line) for line in server.stdout if line.strip().isdigit())
        request = http.client.HTTPConnection("127.0.0.1", port)
        request.request("PUT", f"/{BUCKET}")
        request.getresponse().read()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def compare(
    objects: int, mib: int, rounds: int, workers: Sequence[int], usual: int, limit: float
) -> list[Compared]:
    """All ways in turns, for both kinds of ETag: each number of workers, the usual on the line."""
    found = []
    with served() as url, held(url, limit) as line:
        for table in (PARTS, MD5):
            fill(url, table, objects, mib << 20, parts=table == PARTS)
            found += [_in_turns(url, table, count, rounds, 0.0) for count in workers]
            found.append(_in_turns(line, table, usual, rounds, limit))
    return found


def _in_turns(url: str, table: str, workers: int, rounds: int, limit: float) -> Compared:
    runs: dict[str, list[dict[str, float]]] = {what: [] for what in WAYS}
    for number in range(rounds):
        for what in sorted(WAYS, reverse=bool(number % 2)):
            runs[what].append(child(url, what, table, workers))

    def spread(figure: str) -> dict[str, Spread]:
        return {what: Spread(tuple(run[figure] for run in each)) for what, each in runs.items()}

    return Compared(table, workers, limit, spread("speed"), spread("processor"), spread("memory"))


if __name__ == "__main__":
    run_child(*sys.argv[1:])
