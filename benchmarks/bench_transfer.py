"""Downloads beside a plain streaming copy by the same client, and their peak memory.

Run: ``python benchmarks/bench_transfer.py [--objects N] [--mib SIZE] [--rounds N]``. One local
server (moto's, a process of its own) serves both in turns; each run is a process of its own.
Prints; asserts nothing. Objects above the store's part size have an ETag that is no MD5, smaller
ones have one, which costs hashing: both are measured.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import obstore

from lobproof.acquire.download import download
from lobproof.acquire.zones import LakeFolder
from lobproof.sources.cryptolake.catalogue import catalogue
from lobproof.sources.cryptolake.connection import Connection, connect

BUCKET = "transfers"
SHARE = 0.8
MEMORY_MIB = 150
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


def peak_mib() -> float:
    """The most memory that this process ever held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def child(url: str, what: str, table: str, workers: int) -> dict[str, float]:
    """One run in a process of its own: MB/s, and MiB above what the imports take."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", url, what, table, str(workers)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def run_child(url: str, what: str, table: str, workers: str) -> None:
    import pyarrow.parquet  # noqa: F401 - counted among the imports

    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        size = {"copy": copy, "hashed": hashed, "ours": ours}[what](
            url, table, Path(folder), int(workers)
        )
        seconds = perf_counter() - began
    print(json.dumps({"speed": size / seconds / 1e6, "memory": peak_mib() - before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=4)
    parser.add_argument("--mib", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--child", nargs=4)
    options = parser.parse_args()
    if options.child:
        run_child(*options.child)
        return
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        url = f"http://127.0.0.1:{port}"
        request = http.client.HTTPConnection("127.0.0.1", port)
        request.request("PUT", f"/{BUCKET}")
        request.getresponse().read()
        for table, parts in (("trades", True), ("book", False)):
            fill(url, table, options.objects, options.mib << 20, parts=parts)
            compare(url, table, parts, options)
    finally:
        server.terminate()
        server.wait()


def compare(url: str, table: str, parts: bool, options: argparse.Namespace) -> None:
    runs: dict[str, list[dict[str, float]]] = {"copy": [], "hashed": [], "ours": []}
    for number in range(options.rounds):
        order = sorted(runs, reverse=bool(number % 2))
        for what in order:
            runs[what].append(child(url, what, table, options.workers))
    speed = {what: statistics.median(run["speed"] for run in each) for what, each in runs.items()}
    plain, mine = speed["copy"], speed["ours"]
    memory = max(run["memory"] for run in runs["ours"])
    print(
        f"{options.objects} objects of {options.mib} MiB, ETags "
        f"{'of parts' if parts else 'that are MD5s'}, {options.workers} workers:\n"
        f"  plain copy {plain:.0f} MB/s, download {mine:.0f} MB/s: {mine / plain:.0%} "
        f"(at least {SHARE:.0%})\n"
        f"  copy with SHA-256 {speed['hashed']:.0f} MB/s: {mine / speed['hashed']:.0%} of it\n"
        f"  peak memory above the imports {memory:.0f} MiB (at most {MEMORY_MIB})",
        flush=True,
    )


if __name__ == "__main__":
    main()
