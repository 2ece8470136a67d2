"""One object, streamed to a file: hashed on the way, resumed where it stopped.

The part file grows as bytes come; a note beside it, written before the first byte, says of which
version of the object it is. What a killed run left is hashed again and gone on from.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from queue import Queue
from time import monotonic
from typing import Protocol, Self

from lobproof import documents
from lobproof.errors import ChangedError, NotWholeError, TransientError, UnavailableError
from lobproof.files import open_ours, write_whole
from lobproof.sources.cryptolake.bucket.catalogue import RemoteObject
from lobproof.sources.cryptolake.bucket.concurrency import in_pool
from lobproof.sources.cryptolake.bucket.http import Call
from lobproof.sources.cryptolake.bucket.listing import bare_etag
from lobproof.sources.cryptolake.bucket.remote import Remote

_BLOCK = 1 << 20
_AHEAD = 4
"""Blocks that may wait to be hashed; whoever brings more waits, so that memory stays bounded."""
_WRITE_BACK = 8 << 20
"""Bytes after which the kernel is told to begin writing them to disk."""
_FILE_MODE = 0o600
_MD5 = re.compile(r"[0-9a-f]{32}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole part file, durable, checked against size and ETag.

    ``attempts`` counts requests, ``resumed_from`` the bytes that were there before the first.
    """

    size: int
    etag: str
    sha256: str
    last_modified: str
    attempts: int
    resumed_from: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Note:
    """Of which version of the object a part file is, and since which start of the machine."""

    size: int
    etag: str
    last_modified: str
    boot: str

    @classmethod
    def of(cls, found: RemoteObject) -> Self:
        return cls(found.size, found.etag, found.last_modified, _boot())


class _Hash(Protocol):
    """What ``hashlib`` makes."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""


class _Digest:
    """Feeds ``hashed``, piece by piece, in order. Ends by :meth:`hexdigest` or :meth:`close`.

    ``in_thread`` hashes in one, while more bytes come in: faster where a core is free for it,
    slower where none is.
    """

    def __init__(self, hashed: _Hash, *, in_thread: bool) -> None:
        self._hashed = hashed
        self._in_thread = in_thread
        self._pieces: list[bytes] = []
        self._size = 0
        self._queue: Queue[list[bytes] | None] = Queue(_AHEAD)
        self._thread: threading.Thread | None = None

    def add(self, piece: bytes) -> None:
        """Take in a piece; in a thread it is hashed with those after it, a block at a time."""
        if not self._in_thread:
            self._hashed.update(piece)
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _BLOCK:
            self._hand_over()

    def hexdigest(self) -> str:
        """The hash of everything that was added."""
        self.close()
        for piece in self._pieces:
            self._hashed.update(piece)
        self._pieces = []
        return self._hashed.hexdigest()

    def close(self) -> None:
        """End the thread; what is still waiting in it is hashed first."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _hand_over(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lobproof-digest", daemon=True)
            self._thread.start()
        self._queue.put(self._pieces)
        self._pieces, self._size = [], 0

    def _run(self) -> None:
        while (pieces := self._queue.get()) is not None:
            for piece in pieces:
                self._hashed.update(piece)


class _Part:
    """The part file of one version of an object, and its hashes so far."""

    def __init__(
        self, path: Path, note_path: Path, found: RemoteObject, *, check_md5: bool, in_thread: bool
    ) -> None:
        self.length = 0
        self._begun = 0
        self._in_thread = in_thread
        self._check_md5 = check_md5 and _MD5.fullmatch(found.etag) is not None
        self._path = path
        self._note_path = note_path
        self._found = found
        self._start()
        self._file = os.fdopen(open_ours(path, _FILE_MODE), "r+b", buffering=0)

    def resume(self) -> None:
        """Take what a former run left of this version, or start anew."""
        if _read_note(self._note_path) == _Note.of(self._found):
            while block := self._file.read(_BLOCK):
                self._take(block)
            if self.length <= self._found.size:
                return
        self.restart()

    def restart(self) -> None:
        """Drop all bytes; the note is durable before the first new one."""
        self._file.seek(0)
        self._file.truncate()
        self._stop()
        self._start()
        self.length = self._begun = 0
        note = json.dumps(asdict(_Note.of(self._found)))
        write_whole(self._note_path, note.encode(), _FILE_MODE)

    def write(self, piece: bytes) -> None:
        """Append and hash."""
        if self.length + len(piece) > self._found.size:
            raise NotWholeError(
                f"{self._found.key}: more bytes came than the object has",
                hint="run the same command again",
            )
        view = memoryview(piece)
        while view:
            view = view[self._file.write(view) :]
        self._take(piece)
        if self.length - self._begun >= _WRITE_BACK:
            _begin_write_back(self._file.fileno(), self._begun, self.length - self._begun)
            self._begun = self.length

    def finish(self) -> str:
        """Make it durable; its SHA-256, when size and MD5 are right."""
        os.fsync(self._file.fileno())
        found = self._found
        if self.length != found.size:
            raise NotWholeError(
                f"{found.key}: {self.length} bytes came, and the object has {found.size}",
                hint="run the same command again",
            )
        if self._md5 is not None and self._md5.hexdigest() != found.etag:
            raise NotWholeError(
                f"{found.key}: its MD5 is {self._md5.hexdigest()}, and its ETag is {found.etag}",
                hint="run the same command again; where a store encrypts with keys of its own, "
                "ETags are no MD5: check_md5=False (--no-check-md5)",
            )
        return self._sha256.hexdigest()

    def close(self) -> None:
        self._stop()
        self._file.close()

    def _start(self) -> None:
        self._sha256 = hashlib.sha256()
        md5 = hashlib.md5(usedforsecurity=False)
        self._md5 = _Digest(md5, in_thread=self._in_thread) if self._check_md5 else None

    def _take(self, data: bytes) -> None:
        self._sha256.update(data)
        if self._md5 is not None:
            self._md5.add(data)
        self.length += len(data)

    def _stop(self) -> None:
        if self._md5 is not None:
            self._md5.close()


async def fetch(
    remote: Remote,
    found: RemoteObject,
    part_path: Path,
    note_path: Path,
    pool: Executor,
    *,
    check_md5: bool = True,
    in_thread: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Fetched:
    """Stream ``found`` to ``part_path``, from where an earlier run stopped.

    Parameters
    ----------
    remote, found
        The bucket, and the version of the object that is wanted.
    part_path, note_path
        The part file and the note beside it; the caller holds their lock.
    pool
        Where files are read again and made durable.
    check_md5
        Hold an ETag that looks like an MD5 against the bytes.
    in_thread
        Take the MD5 in a thread of its own, which pays where a core is free.
    progress
        Called with the bytes that are there.

    Raises
    ------
    ChangedError
        When the bucket has another version by now.
    RemoteError
        When attempts or time are used up, or asking again is no use.
    """
    began = monotonic()
    part = _Part(part_path, note_path, found, check_md5=check_md5, in_thread=in_thread)
    try:
        await in_pool(pool, part.resume)
        if progress is not None:
            progress(part.length)
        transfer = _Transfer(remote, found, part, pool, progress)
        resumed = part.length
        sha256 = await transfer.run(began)
    finally:
        part.close()
    return Fetched(
        found.size,
        found.etag,
        sha256,
        found.last_modified,
        transfer.requests,
        resumed,
        monotonic() - began,
    )


class _Transfer:
    """Receiving, retried from where it stopped, until all is there and right."""

    def __init__(
        self,
        remote: Remote,
        found: RemoteObject,
        part: _Part,
        pool: Executor,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.requests = 0
        self._remote = remote
        self._found = found
        self._part = part
        self._pool = pool
        self._progress = progress
        self._under_way = 0
        self._lock = threading.Lock()

    async def run(self, began: float) -> str:
        for wrong_before in (False, True):
            while self._part.length < self._found.size:
                left = self._remote.policy.total_seconds - (monotonic() - began)
                if left <= 0:
                    raise UnavailableError(
                        f"{self._found.key}: not whole within "
                        f"{self._remote.policy.total_seconds:g} s",
                        hint="the same command goes on from here",
                    )
                await self._remote.retrying(self._receive, total_seconds=left)
            try:
                return await in_pool(self._pool, self._part.finish)
            except NotWholeError:
                await in_pool(self._pool, self._part.restart)
                if wrong_before:
                    raise
        raise AssertionError("unreachable: the second round returns or raises")

    async def _receive(self) -> None:
        """One request; ends without an error if it brought anything at all."""
        before = self._part.length
        self.requests += 1
        self._under_way = self.requests
        take = partial(self._take, before, self.requests, asyncio.get_running_loop())
        found = self._found
        try:
            await self._remote.stream(found.key.path, take, start=before, etag=found.etag)
        except TransientError:
            if self._part.length == before:
                raise
        finally:
            with self._lock:  # from here on its thread touches neither file nor loop
                self._under_way = 0
            self._tell()
        if self._part.length == before:
            raise NotWholeError(
                f"{found.key}: nothing came from byte {before} on",
                hint="run the same command again",
            )

    def _take(self, before: int, request: int, loop: asyncio.AbstractEventLoop, call: Call) -> None:
        """Write and hash pieces as they come; other objects' threads receive meanwhile.

        Each is in the part file before the next is waited for.
        """
        found = self._found
        start, size = _extent(call)
        if size != found.size or bare_etag(call.header("ETag")) != found.etag:
            raise ChangedError(
                f"{found.key}: the object has changed", hint="run the same command again"
            )
        if start != before:
            raise NotWholeError(
                f"{found.key}: the store answered with other bytes than asked for",
                hint="check that the endpoint serves ranges",
            )
        told = 0
        for piece in call.pieces():
            with self._lock:
                if self._under_way != request:
                    return
                self._part.write(piece)
                if self._part.length - told >= _BLOCK:
                    told = self._part.length
                    loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._part.length)


def part_length(part_path: Path, note_path: Path, found: RemoteObject) -> int:
    """Bytes of ``found`` that an earlier run left."""
    if not part_path.is_file() or _read_note(note_path) != _Note.of(found):
        return 0
    return min(part_path.stat().st_size, found.size)


def _extent(call: Call) -> tuple[int, int]:
    """First byte of an answer, and the size of the whole object; −1 where they are not told."""
    if call.status == 206:
        told = _RANGE.fullmatch(call.header("Content-Range"))
        return (int(told[1]), int(told[3])) if told else (-1, -1)
    length = call.header("Content-Length")
    return 0, int(length) if length.isascii() and length.isdecimal() and len(length) < 19 else -1


def _read_note(path: Path) -> _Note | None:
    try:
        return documents.as_shape(documents.parse(documents.read_bytes(path)), _Note)
    except (OSError, ValueError):
        return None


def _begin_write_back(descriptor: int, start: int, length: int) -> None:
    """Let the disk write while more comes, so that the sync at the end is short."""
    if sys.platform == "linux":
        # pages that are yet to be written stay in memory: this only begins their writing
        os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)


def _boot() -> str:
    """What changes when the machine starts; bytes not yet durable then may be gone."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
