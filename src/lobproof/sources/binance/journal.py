"""Journals: messages byte for byte, as lines in independent zstd frames, one file an hour.

A line is ``{"capture_ns":N,"stream":"…","conn":N,"data":<payload>}``; the streams ``invalid`` and
``control`` carry other fields instead of ``data``. Each frame holds whole lines and a checksum, so
that whatever was flushed can be read after a kill, with ``zstdcat`` too.

Of an encrypted journal each frame is encrypted by age, and stands in a skippable frame of zstd: a
magic number, the length in four bytes (the lowest first), and what age made of the frame. So the
file can be walked without a key, and a damaged frame costs that frame alone.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lobproof.errors import InputError
from lobproof.sources.age import BEGINS, Identities, Recipients

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAME_BYTES = 1 << 20
"""A frame closes at the first line end at or after this many bytes of lines."""
MAX_FRAME_BYTES = 1 << 26
SUFFIX = ".jsonl.zst"
ENCRYPTED_SUFFIX = f"{SUFFIX}.age"
HOUR_NS = 3_600_000_000_000
_LEVEL = 1
_CHUNK = 1 << 18
_NEWLINE = 10
_MAGIC = b"\x28\xb5\x2f\xfd"
_ENCRYPTED_MAGIC = b"\x5a\x2a\x4d\x18"  # one of the sixteen of skippable frames
_LENGTH = 4  # bytes of the length behind it
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


def is_encrypted(path: Path) -> bool:
    """Whether a file is an encrypted journal, by its name."""
    return path.name.endswith(ENCRYPTED_SUFFIX)


def journals_in(folder: Path) -> list[Path]:
    """The journals in a folder, plain and encrypted, in order of time."""
    return sorted(file for of in (SUFFIX, ENCRYPTED_SUFFIX) for file in folder.glob(f"*{of}"))


class JournalWriter:
    """Writes lines into ``folder``, a file per UTC hour of ``capture_ns``.

    The content of plain files follows from the lines alone, however they are cut into calls. The
    hour never goes back: a line stamped earlier than one before it stays in that one's file.

    Parameters
    ----------
    folder
        Made if it is not there; its files must not be there yet.
    synced
        Have the disk itself take each frame, so that a loss of power costs no earlier one.
    recipients
        Encrypt each frame to them. What was written can't be read again without an identity.
    """

    def __init__(
        self, folder: Path, *, synced: bool = False, recipients: Recipients | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._synced = synced
        self._recipients = recipients
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
        suffix = SUFFIX if self._recipients is None else ENCRYPTED_SUFFIX
        return self._folder / f"{hour:%Y-%m-%dT%H}{suffix}"

    def _write(self, start: int, stop: int) -> None:
        """Write a frame, whole or not at all."""
        lines = self._pending[start:stop]
        frame = zstd.compress(lines, options=_OPTIONS)
        if self._recipients is not None:
            frame = self._recipients.encrypt(frame)
            frame = _ENCRYPTED_MAGIC + len(frame).to_bytes(_LENGTH, "little") + frame
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


class WrongIdentityError(InputError):
    """An encrypted journal of which no frame can be decrypted with the identities given."""


_Read = Callable[[bytes, BinaryIO, Path], tuple[bytes, int, bytes, str]]
"""One frame's lines, its size in the file, the bytes read behind it, and what is wrong."""


def read_frames(
    path: Path, stop: int | None = None, identities: Identities | None = None
) -> Iterator[bytes | Loss]:
    """The lines of each whole frame, and in its place what could not be read.

    Holds one frame at a time. A frame counts only if its checksum holds; behind a damaged one,
    reading goes on at the next that is whole. ``stop``: of a file that grows, frames that begin
    before that byte. ``identities``: to decrypt an encrypted journal with.

    Raises
    ------
    InputError
        When the file is missing, a frame is too large to be a journal's, or it is encrypted and
        there are no identities.
    WrongIdentityError
        When whole frames are there, and none of them can be decrypted.
    """
    if not is_encrypted(path):
        yield from _of_file(path, stop, _frame)
        return
    if identities is None:
        raise InputError(
            f"{path} is encrypted",
            hint="name the file of an identity that it was encrypted to: --identity (identities=)",
        )
    read = _Encrypted(identities)
    for frame in _of_file(path, stop, read):
        if isinstance(frame, Loss) and read.refused and not read.opened:
            raise WrongIdentityError(
                f"{path}: not one of its {read.refused:,} frames can be decrypted with the "
                "identities given",
                hint="name one that it was encrypted to: session.json of the capture lists their "
                "recipients, and `age-keygen -y FILE` shows that of an identity",
            )
        yield frame


def walk_encrypted(path: Path, stop: int | None = None) -> tuple[int, list[Loss]]:
    """How many frames an encrypted journal has, and what is none, as is told without an identity.

    Only where a frame begins and ends is looked at: a byte that was changed within it is not seen.
    """
    read = _Encrypted(None)
    losses = [frame for frame in _of_file(path, stop, read) if isinstance(frame, Loss)]
    return read.opened, losses


def _of_file(path: Path, stop: int | None, read: _Read) -> Iterator[bytes | Loss]:
    try:
        with path.open("rb") as file:
            yield from _frames(file, path, stop, read)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: the journal is missing",
            hint="the golden sample is not whole; import the recordings again",
        ) from error


def _frames(file: BinaryIO, path: Path, stop: int | None, read: _Read) -> Iterator[bytes | Loss]:
    magic = _ENCRYPTED_MAGIC if is_encrypted(path) else _MAGIC
    size = file.seek(0, SEEK_END)
    size = size if stop is None else min(size, stop)
    offset = 0
    damage: tuple[int, str] | None = None
    window = b""
    while offset < size:
        if not window:
            file.seek(offset)
        frame, used, window, detail = read(window, file, path)
        if detail:
            damage = damage or (offset, detail)
            offset, window = _next_frame(file, magic, offset + 1, size), b""
            continue
        if damage:
            yield Loss(path.name, damage[0], offset - damage[0], damage[1])
            damage = None
        yield frame
        offset += used
    if damage:
        yield Loss(path.name, damage[0], size - damage[0], damage[1])


def _frame(window: bytes, file: BinaryIO, path: Path) -> tuple[bytes, int, bytes, str]:
    """Read a plain frame."""
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


class _Encrypted:
    """Reads encrypted frames; without identities it sees only where they begin and end.

    ``opened`` counts those that were read, ``refused`` those that are whole by their length and
    could not be.
    """

    def __init__(self, identities: Identities | None) -> None:
        self._identities = identities
        self.opened = self.refused = 0

    def __call__(self, window: bytes, file: BinaryIO, path: Path) -> tuple[bytes, int, bytes, str]:
        begins = len(_ENCRYPTED_MAGIC) + _LENGTH
        if len(window) < begins:
            window += file.read(_CHUNK)
        if not window.startswith(_ENCRYPTED_MAGIC[: len(window)]):
            return b"", 0, b"", "no encrypted frame begins here"
        ends = begins + int.from_bytes(window[len(_ENCRYPTED_MAGIC) : begins], "little")
        if ends > MAX_FRAME_BYTES:
            return b"", 0, b"", f"a frame of {ends:,} bytes, more than any has"
        if len(window) < ends:
            window += file.read(ends - len(window) + _CHUNK)
        if len(window) < max(begins, ends):
            return b"", 0, b"", "the file ends inside a frame"
        lines, detail = self._lines(window[begins:ends], path)
        self.opened += not detail
        self.refused += bool(detail)
        return lines, ends, window[ends:], detail

    def _lines(self, data: bytes, path: Path) -> tuple[bytes, str]:
        """The lines of what age made, and what is wrong."""
        if not data.startswith(BEGINS):
            return b"", "what it holds is not encrypted by age"
        if self._identities is None:
            return b"", ""
        try:
            plain = self._identities.decrypt(data)
        except ValueError as error:
            return b"", str(error)
        lines, used, _, detail = _frame(b"", BytesIO(plain), path)
        if detail or used != len(plain):
            return b"", f"decrypted, it is no frame: {detail or 'it is too long'}"
        return lines, ""


def _next_frame(file: BinaryIO, magic: bytes, start: int, size: int) -> int:
    """Where a frame may begin, from ``start`` on; ``size`` if nowhere."""
    file.seek(start)
    window = b""
    while chunk := file.read(_CHUNK):
        window += chunk
        found = window.find(magic)
        if found >= 0:
            return start + found
        start += max(len(window) - 3, 0)
        window = window[-3:]
    return size
