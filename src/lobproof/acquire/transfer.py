"""Download: objects of the bucket into ``raw``, each whole, checked and recorded, or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from time import monotonic
from typing import Any

from lobproof.acquire.certificate_status import require_whole
from lobproof.acquire.manifest import FETCHED, Entry, Manifest, reconcile
from lobproof.acquire.plan import is_present
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.errors import ChangedError, CredentialsError, LobproofError, RemoteError, system_text
from lobproof.files import drop_unfinished
from lobproof.progress import Progress
from lobproof.sources.cryptolake.bucket.catalogue import RemoteObject, look_up
from lobproof.sources.cryptolake.bucket.concurrency import in_pool, run
from lobproof.sources.cryptolake.bucket.connection import Connection
from lobproof.sources.cryptolake.bucket.remote import DEFAULT_POLICY, Policy, Remote
from lobproof.sources.cryptolake.bucket.transfer import Fetched, fetch
from lobproof.sources.cryptolake.footer import read_footer
from lobproof.sources.cryptolake.layout import NEVER_REAL, LakeKey

WORKERS = 4
_VERSIONS = 3
_LOCK_WAIT_SECONDS = 0.2
_SCHEMA = 1 << 16
"""Characters of a file's schema that are recorded; `book` has 2,000."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An object that is not there, and why; ``kind`` is for machines."""

    key: LakeKey
    kind: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """What became of every object of a request.

    ``bytes_received`` leaves out what an earlier run had left in part files.
    """

    fetched: tuple[LakeKey, ...]
    present: tuple[LakeKey, ...]
    failed: tuple[Failure, ...]
    bytes_received: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether everything is there."""
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "ok": self.ok,
            "fetched": [key.path for key in self.fetched],
            "present": [key.path for key in self.present],
            "failed": [
                {"key": f.key.path, "kind": f.kind, "reason": f.reason, "hint": f.hint}
                for f in self.failed
            ],
            "bytes_received": self.bytes_received,
            "seconds": round(self.seconds, 3),
        }


class _Busy(Exception):
    """Another process has the object."""


def download(
    connection: Connection,
    folder: LakeFolder,
    objects: Iterable[RemoteObject],
    *,
    workers: int = WORKERS,
    rate: float = DEFAULT_POLICY.rate,
    attempts: int = DEFAULT_POLICY.attempts,
    total_seconds: float = DEFAULT_POLICY.total_seconds,
    check_md5: bool = True,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> DownloadResult:
    """Fetch what is not there yet into ``raw``.

    Parameters
    ----------
    connection, folder, objects
        From where, to where, and which, as a catalogue has them.
    workers
        Objects at a time.
    rate, attempts, total_seconds
        Most requests per second over all workers; attempts in a row without progress, and seconds,
        for one object.
    check_md5
        Hold ETags that look like an MD5 against the bytes.
    policy
        Instead of ``rate``, ``attempts`` and ``total_seconds``, with waits.
    progress
        Told the bytes that are there of each object.

    Returns
    -------
    DownloadResult
        Failures are in it; none ends the others.

    Raises
    ------
    StoreError
        When the folder's manifest is damaged or has lost lines.
    """
    require_whole(folder)
    given = policy or Policy(attempts=attempts, total_seconds=total_seconds, rate=rate)
    wanted = sorted({found.key: found for found in objects}.values())
    job = _Job(connection, folder, given, workers, check_md5, progress)
    return run(job.run(wanted))


class _Job:
    """One call of :func:`download`."""

    def __init__(
        self,
        connection: Connection,
        folder: LakeFolder,
        policy: Policy,
        workers: int,
        check_md5: bool,
        progress: Progress | None,
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._manifest = Manifest(folder)
        self._policy = policy
        self._workers = workers
        self._check_md5 = check_md5
        self._progress = progress
        self._md5_in_thread = False
        self._received = 0
        self._refused: CredentialsError | None = None
        # footers of large days take much memory to read: one at a time
        self._reading = threading.Lock()

    async def run(self, wanted: list[RemoteObject]) -> DownloadResult:
        began = monotonic()
        entries = self._manifest.entries()
        fetched: list[LakeKey] = []
        present: list[LakeKey] = []
        failed: list[Failure] = []
        queue = []
        for found in wanted:
            entry = entries.get(found.key)
            if is_present(self._folder, entry, found) and not self._leftovers(entry):
                present.append(found.key)
                self._tell(found, found.size)
            else:
                queue.append(found)
        # with a core free beside those of the objects, MD5s get threads of their own
        self._md5_in_thread = min(self._workers, len(queue)) < (os.cpu_count() or 1)
        waiting = iter(queue)
        remote = Remote(self._connection, self._policy)

        async def work(pool: ThreadPoolExecutor) -> None:
            for found in waiting:
                try:
                    new = await self._one(remote, pool, found)
                except (LobproofError, OSError, ValueError) as error:
                    failed.append(self._failure(found.key, error))
                else:
                    (fetched if new else present).append(found.key)

        with ThreadPoolExecutor(self._workers, "lobproof-download") as pool:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(work(pool))
        return DownloadResult(
            tuple(sorted(fetched)),
            tuple(sorted(present)),
            tuple(sorted(failed, key=lambda failure: failure.key)),
            self._received,
            monotonic() - began,
        )

    async def _one(self, remote: Remote, pool: ThreadPoolExecutor, found: RemoteObject) -> bool:
        """Bring one object in; False when another process has done it."""
        if self._refused is not None:
            raise self._refused
        async with self._locked(found.key):
            if await in_pool(pool, self._settled, found):
                self._tell(found, found.size)
                return False
            for left in reversed(range(_VERSIONS)):
                began = monotonic()
                try:
                    done = await self._fetch(remote, pool, found)
                    break
                except ChangedError:
                    if not left:
                        raise
                    found = await look_up(remote, found.key)
                except CredentialsError as error:
                    self._refused = error
                    raise
            done = replace(done, seconds=monotonic() - began)
            await in_pool(pool, self._record, found.key, done)
            return True

    async def _fetch(
        self, remote: Remote, pool: ThreadPoolExecutor, found: RemoteObject
    ) -> Fetched:
        before: int | None = None

        def tell(length: int) -> None:
            nonlocal before
            self._received += max(0, length - before) if before is not None else 0
            before = length
            self._tell(found, length)

        return await fetch(
            remote,
            found,
            self._folder.partial(found.key),
            self._folder.partial(found.key, ".part.json"),
            pool,
            check_md5=self._check_md5,
            in_thread=self._md5_in_thread,
            progress=tell,
        )

    @asynccontextmanager
    async def _locked(self, key: LakeKey) -> AsyncIterator[None]:
        """The lock of an object, waited for without blocking the others."""

        def busy(_: str) -> None:
            raise _Busy

        while True:
            lock = self._folder.lock(key, waiting=busy)
            try:
                lock.__enter__()
                break
            except _Busy:
                await asyncio.sleep(_LOCK_WAIT_SECONDS)
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    def _settled(self, found: RemoteObject) -> bool:
        """Finish what a kill left of this object; whether it is there then."""
        entry = self._manifest.entry(found.key)
        if entry is None:
            return False
        if not is_present(self._folder, entry, found):
            reconcile(self._manifest, only=found.key)
        if not is_present(self._folder, entry, found):
            return False
        self._drop_others(found.key, entry.zone)
        return True

    def _record(self, key: LakeKey, done: Fetched) -> None:
        """Write the record, then rename: the order that :func:`reconcile` counts on."""
        part = self._folder.partial(key)
        with self._reading:
            footer = read_footer(part, key.table)
        facts = (
            asdict(footer)
            if footer is not None
            else {
                "rows": None,
                "row_groups": None,
                "first_ts": None,
                "last_ts": None,
                "schema": None,
                "naming": "",
                "provenance": "",
            }
        )
        if len(json.dumps(facts["schema"])) > _SCHEMA:
            facts["schema"] = None  # not the vendor's columns: validation says so
        said = str(facts["provenance"])
        if said not in NEVER_REAL:
            # no file makes itself real: only where it came from does
            vendors = self._connection.is_vendor and said in ("", "real")
            facts["provenance"] = "real" if vendors else "unknown"
        self._manifest.append(
            FETCHED,
            key,
            size=done.size,
            etag=done.etag,
            sha256=done.sha256,
            last_modified=done.last_modified,
            **facts,
            bucket=self._connection.bucket,
            endpoint=self._connection.endpoint,
            attempts=done.attempts,
            seconds=round(done.seconds, 3),
        )
        self._folder.move(part, Zone.RAW, key)
        self._folder.partial(key, ".part.json").unlink(missing_ok=True)
        self._drop_others(key, Zone.RAW)

    def _leftovers(self, entry: Entry | None) -> bool:
        """Whether a kill left an older version or a part of this object."""
        if entry is None:
            return False
        places = [self._folder.path(zone, entry.key) for zone in Zone if zone != entry.zone]
        return any(path.exists() for path in (*places, self._folder.partial(entry.key)))

    def _drop_others(self, key: LakeKey, zone: Zone) -> None:
        """Remove an older version that a newer one has replaced."""
        for other in Zone:
            if other != zone:
                self._folder.path(other, key).unlink(missing_ok=True)
        if zone != Zone.QUARANTINE:
            self._folder.drop_reasons(key)
        self._folder.partial(key).unlink(missing_ok=True)
        note = self._folder.partial(key, ".part.json")
        note.unlink(missing_ok=True)
        drop_unfinished(note)

    def _failure(self, key: LakeKey, error: LobproofError | OSError | ValueError) -> Failure:
        if isinstance(error, LobproofError):
            kind = error.kind if isinstance(error, RemoteError) else "folder"
            return Failure(key, kind, error.message, error.hint)
        if isinstance(error, ValueError):
            reason = self._connection.redact(f"{key}: {type(error).__name__} {error}")
            return Failure(key, "file", reason, "its footer cannot be read; tell the vendor")
        reason = self._connection.redact(f"{key}: {system_text(error)}")
        return Failure(key, "disk", reason, "check the disk, its free space and its rights")

    def _tell(self, found: RemoteObject, length: int) -> None:
        if self._progress is not None:
            self._progress(found.key.path, length, found.size)
