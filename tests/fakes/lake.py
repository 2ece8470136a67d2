"""What tests of downloads share: a small simulated lake, quick retries, a process to kill."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakes.s3 import FakeBucket
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.zones import LakeFolder
from lobproof.sources.cryptolake.bucket.connection import Connection, connect
from lobproof.sources.cryptolake.bucket.remote import Policy
from lobproof.sources.cryptolake.layout import TABLES
from support.kills import ENVIRONMENT, Process, start

QUICK = Policy(
    attempts=6,
    total_seconds=60.0,
    rate=1000.0,
    first_wait=0.01,
    longest_wait=0.05,
    read_seconds=10.0,
)
IMPATIENT = replace(QUICK, attempts=10, read_seconds=0.5)
"""For lines that fall silent, and only there: a busy machine is slow too."""
ACCESS, SECRET, TOKEN = "AKIATESTACCESSKEY", "s3cr3t/Key+of=test", "T0ken/of+test=="
SECRETS = (ACCESS, SECRET, TOKEN, "s3cr3t%2FKey%2Bof%3Dtest", "T0ken%2Fof%2Btest%3D%3D")
VOLATILE = ("n", "prev", "at", "attempts", "seconds", "endpoint")
"""What may differ between two downloads of the same objects."""

_CHILD = """
import sys
from pathlib import Path
from fakes.lake import QUICK
from lobproof.acquire.transfer import download
from lobproof.acquire.zones import LakeFolder
from lobproof.sources.cryptolake.bucket.catalogue import catalogue
from lobproof.sources.cryptolake.bucket.connection import connect
from lobproof.sources.cryptolake.layout import TABLES

url, bucket, folder, workers = sys.argv[1:]
connection = connect(
    bucket=bucket, endpoint=url, environ=dict(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
)
found = catalogue(connection, tables=TABLES, policy=QUICK)
result = download(
    connection, LakeFolder(Path(folder)), found.objects,
    policy=QUICK, workers=int(workers),
)
sys.exit(0 if result.ok else 1)
"""


def environment(url: str = "") -> dict[str, str]:
    """Variables of a user with access."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    found = dict(zip(names, (ACCESS, SECRET, TOKEN), strict=True))
    return {**found, "AWS_ENDPOINT_URL": url} if url else found


def connection_to(bucket: FakeBucket) -> Connection:
    """By way of the proxy."""
    return connect(
        bucket=bucket.bucket,
        prefix=bucket.prefix,
        environ=environment(bucket.url),
        dotenv=Path("no-such-file"),
    )


def put_index(bucket: FakeBucket, keys: Iterable[str], *, tables: Iterable[str] = TABLES) -> None:
    """Store each table's ``contents.json.gz``, as the vendor does."""
    for table in tables:
        names = [bucket.key(key) for key in keys if key.startswith(f"{table}/")]
        text = json.dumps({"objects": names}).encode()
        bucket.put(f"{table}/contents.json.gz", zlib.compress(text))


def state(folder: LakeFolder) -> dict[str, Any]:
    """The manifest's final state, without what may differ."""
    return {
        key.path: {
            "zone": entry.zone,
            **{k: v for k, v in entry.fetched.items() if k not in VOLATILE},
        }
        for key, entry in Manifest(folder).entries().items()
    }


def events(folder: LakeFolder) -> list[str]:
    """Keys of all records, in order of key: one for each object where nothing came twice."""
    return sorted(record["key"] for record in Manifest(folder).records())


def start_download(bucket: FakeBucket, folder: Path, *, workers: int = 2) -> Process:
    """A download of all tables in a process of its own; the folder must be one already."""
    LakeFolder(folder, create=True)
    bare = {"PYTHONPATH": ENVIRONMENT["PYTHONPATH"], "PATH": ""}
    return start(_CHILD, bucket.url, bucket.bucket, folder, workers, environment=bare)
