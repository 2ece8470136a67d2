"""Downloads beside a plain streaming copy by the same client, and their peak memory.

One local server (moto's, a process of its own) serves both in turns; each run is a process of its
own. Objects above the store's part size have an ETag that is no MD5, smaller ones have one, which
costs hashing: both are measured.
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
from time import perf_counter

import obstore
from benchmarks.report import Spread, peak_mib

from lobproof.acquire.download import download
from lobproof.acquire.zones import LakeFolder
from lobproof.sources.cryptolake.catalogue import catalogue
from lobproof.sources.cryptolake.connection import Connection, connect

BUCKET = "transfers"
_CHUNK = 1 << 20
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


def fill(url: str, table: str, objects: int, size: int, *, parts: bool) -> None:
    """Put random objects; in ``parts``, as tools put large ones."""
    store = connection(url).store()
    data = os.urandom(size)
    for number in range(objects):
        path = f"{table}/exchange=X/symbol=A-B/dt=2026-01-{number + 1:02}/1.parquet"
        obstore.put(store, path, data, use_multipart=parts, max_concurrency=1)


def hashed(url: str, table: str, folder: Path, workers: int) -> int:
    """The plain copy with SHA-256 on the way."""
    return copy(url, table, folder, workers, hashing=True)


def copy(url: str, table: str, folder: Path, workers: int, *, hashing: bool = False) -> int:
    """The plain copy: each object's stream into a file, nothing else."""
    store = connection(url).store()
    found = obstore.list(store, table).collect()

    def one(path: str) -> None:
        digest = hashlib.sha256()
        with (folder / path.replace("/", "_")).open("wb", buffering=0) as file:
            for piece in obstore.get(store, path).stream(_CHUNK):
                file.write(piece)
                if hashing:
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
    """One run in a process of its own: MB/s, and MiB above what the imports take."""
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
        began = perf_counter()
        size = {"copy": copy, "hashed": hashed, "ours": ours}[what](
            url, table, Path(folder), int(workers)
        )
        seconds = perf_counter() - began
    print(json.dumps({"speed": size / seconds / 1e6, "memory": peak_mib() - before}))


@dataclass(frozen=True, slots=True)
class Compared:
    """MB/s of each way, run by run, and MiB above what the imports take."""

    parts: bool
    workers: int
    copy: Spread
    hashed: Spread
    ours: Spread
    memory: float


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


def compare(objects: int, mib: int, rounds: int, workers: Sequence[int]) -> list[Compared]:
    """All ways in turns, for both kinds of ETag and each number of workers."""
    found = []
    with served() as url:
        for table, parts in (("trades", True), ("book", False)):
            fill(url, table, objects, mib << 20, parts=parts)
            for count in workers:
                runs: dict[str, list[dict[str, float]]] = {"copy": [], "hashed": [], "ours": []}
                for number in range(rounds):
                    for what in sorted(runs, reverse=bool(number % 2)):
                        runs[what].append(child(url, what, table, count))
                speed = {
                    what: Spread(tuple(run["speed"] for run in each)) for what, each in runs.items()
                }
                memory = max(run["memory"] for run in runs["ours"])
                found.append(
                    Compared(parts, count, speed["copy"], speed["hashed"], speed["ours"], memory)
                )
    return found


if __name__ == "__main__":
    run_child(*sys.argv[1:])
