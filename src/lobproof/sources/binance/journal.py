"""Journals: messages byte for byte, as lines in independent zstd frames, one file an hour.

A line is ``{"capture_ns":N,"stream":"…","conn":N,"data":<payload>}``; the streams ``invalid`` and
``control`` carry other fields instead of ``data``. Each frame holds whole lines and a checksum, so
that whatever was flushed can be read after a kill, with ``zstdcat`` too.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lobproof.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAME_BYTES = 1 << 20
"""A frame closes at the first line end at or after this many bytes of lines."""
MAX_FRAME_BYTES = 1 << 26
SUFFIX = ".jsonl.zst"
HOUR_NS = 3_600_000_000_000
_LEVEL = 1
_CHUNK = 1 << 18
_NEWLINE = 10
_MAGIC = b"\x28\xb5\x2f\xfd"
_CHECKSUM = 4  # the bit of the byte behind the magic number that says that there is one
_OPTIONS = {
    int(zstd.CompressionParameter.compression_level): _LEVEL,
    int(zstd.CompressionParameter.checksum_flag): 1,
}


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A journal file as the golden sample's document lists it."""

    name: str
    bytes: int
    sha256: str
    lines: int


def hour_of(capture_ns: int) -> int:
    """The number of the UTC hour that a time lies in."""
    return capture_ns // HOUR_NS


class JournalWriter:
    """Writes lines into ``folder``, a file per UTC hour of ``capture_ns``.

    The content of the files follows from the lines alone, however they are cut into calls. The
    hour never goes back: a line stamped earlier than one before it stays in that one's file.

    Parameters
    ----------
    folder
        Made if it is not there; its files must not be there yet.
    synced
        Have the disk itself take each frame, so that a loss of power costs no earlier one.
    """

    def __init__(self, folder: Path, *, synced: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._synced = synced
        self._folder = folder
        self._hour = -1
        self._pending = bytearray()
        self._lines = 0
        self._bytes = 0
        self._hash = hashlib.sha256()
        self._content = hashlib.sha256()
        self.files: list[JournalFile] = []

    @property
    def content_sha256(self) -> str:
        """Hash over all lines so far, whatever the compression."""
        return self._content.hexdigest()

    @property
    def name(self) -> str:
        """Name of the file that lines go to now."""
        return self._path().name

    @property
    def pending_bytes(self) -> int:
        """Bytes of lines that are in no frame yet."""
        return len(self._pending)

    def append(self, lines: bytes, capture_ns: int) -> None:
        """Add whole lines; all belong into the file of ``capture_ns``.

        After an OSError the lines are pending, and the next call writes them, unless they begin
        another hour while something is pending: then they were not taken.
        """
        hour = max(self._hour, hour_of(capture_ns))
        if hour != self._hour:
            self._finish()
            self._hour = hour
        self._content.update(lines)
        self._pending += lines
        start = 0
        try:
            while len(self._pending) - start >= FRAME_BYTES:
                stop = self._pending.index(b"\n", start + FRAME_BYTES - 1) + 1
                self._write(start, stop)
                start = stop
        finally:
            del self._pending[:start]

    def flush(self) -> None:
        """Close the frame that has begun, so that all lines can be read from disk."""
        if self._pending:
            self._write(0, len(self._pending))
            self._pending.clear()

    def close(self) -> list[JournalFile]:
        """Write what is pending; the files written."""
        self._finish()
        return self.files

    def _path(self) -> Path:
        hour = datetime.fromtimestamp(self._hour * 3600, UTC)
        return self._folder / f"{hour:%Y-%m-%dT%H}{SUFFIX}"

    def _write(self, start: int, stop: int) -> None:
        """Write a frame, whole or not at all."""
        lines = self._pending[start:stop]
        frame = zstd.compress(lines, options=_OPTIONS)
        with self._path().open("ab", buffering=0) as file:
            try:
                written = 0
                while written < len(frame):
                    written += file.write(frame[written:])
                if self._synced:
                    os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), self._bytes)
                raise
        self._hash.update(frame)
        self._bytes += len(frame)
        self._lines += int(np.count_nonzero(np.frombuffer(lines, np.uint8) == _NEWLINE))

    def _finish(self) -> None:
        self.flush()
        if self._bytes:
            name = self._path().name
            self.files.append(JournalFile(name, self._bytes, self._hash.hexdigest(), self._lines))
            self._bytes = self._lines = 0
            self._hash = hashlib.sha256()


@dataclass(frozen=True, slots=True)
class Loss:
    """Bytes of a journal file that could not be read."""

    name: str
    offset: int
    bytes: int
    detail: str


def read_frames(path: Path, stop: int | None = None) -> Iterator[bytes | Loss]:
    """The lines of each whole frame, and in its place what could not be read.

    Holds one frame at a time. A frame counts only if its checksum holds; behind a damaged one,
    reading goes on at the next that is whole. ``stop``: of a file that grows, frames that begin
    before that byte.

    Raises
    ------
    InputError
        When the file is missing, or a frame is too large to be a journal's.
    """
    try:
        with path.open("rb") as file:
            yield from _frames(file, path, stop)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: the journal is missing",
            hint="the golden sample is not whole; import the recordings again",
        ) from error


def _frames(file: BinaryIO, path: Path, stop: int | None) -> Iterator[bytes | Loss]:
    size = file.seek(0, SEEK_END)
    size = size if stop is None else min(size, stop)
    offset = 0
    damage: tuple[int, str] | None = None
    window = b""
    while offset < size:
        if not window:
            file.seek(offset)
        frame, used, window, detail = _frame(window, file, path)
        if detail:
            damage = damage or (offset, detail)
            offset, window = _next_frame(file, offset + 1, size), b""
            continue
        if damage:
            yield Loss(path.name, damage[0], offset - damage[0], damage[1])
            damage = None
        yield frame
        offset += used
    if damage:
        yield Loss(path.name, damage[0], size - damage[0], damage[1])


def _frame(window: bytes, file: BinaryIO, path: Path) -> tuple[bytes, int, bytes, str]:
    """One frame's lines, its compressed size, the bytes read behind it, and what is wrong."""
    if len(window) <= len(_MAGIC):
        window += file.read(_CHUNK)
    if not window.startswith(_MAGIC[: len(window)]):
        return b"", 0, b"", "no frame of zstd begins here"
    if len(window) > len(_MAGIC) and not window[len(_MAGIC)] & _CHECKSUM:
        return b"", 0, b"", "a frame without a checksum"
    decompressor = zstd.ZstdDecompressor()
    parts: list[bytes] = []
    room = MAX_FRAME_BYTES
    used = 0
    chunk = window
    while not decompressor.eof:
        if decompressor.needs_input:
            chunk = chunk or file.read(_CHUNK)
            if not chunk:
                return b"", used, b"", "the file ends inside a frame"
        try:
            part = decompressor.decompress(chunk, max_length=room)
        except zstd.ZstdError as error:
            return b"", used, b"", str(error)
        used, chunk = used + len(chunk), b""
        parts.append(part)
        room -= len(part)
        if room <= 0 and not decompressor.eof:
            raise InputError(
                f"{path}: a frame of more than {MAX_FRAME_BYTES >> 20} MiB",
                hint="journals are sequences of small frames; import the recordings again",
            )
    rest = decompressor.unused_data
    return b"".join(parts), used - len(rest), rest, ""


def _next_frame(file: BinaryIO, start: int, size: int) -> int:
    """Where a frame may begin, from ``start`` on; ``size`` if nowhere."""
    file.seek(start)
    window = b""
    while chunk := file.read(_CHUNK):
        window += chunk
        found = window.find(_MAGIC)
        if found >= 0:
            return start + found
        start += max(len(window) - 3, 0)
        window = window[-3:]
    return size
