"""Line-stamped recordings as blocks of whole lines, gzip or plain, whatever their size."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip_lib

from lobproof.errors import InputError

BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 26
_CHUNK = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
_UNITS = {10: ("s", 10**9), 13: ("ms", 10**6), 16: ("µs", 10**3), 19: ("ns", 1)}
_HEAD = re.compile(rb"([0-9]{10}|[0-9]{13}|[0-9]{16}|[0-9]{19})[ \t]+[{\[]")
_DAMAGED = cast(type[Exception], igzip_lib.IsalError)
_NO_RECORDING = (
    "a recording has lines of <receive time> <JSON>, the time in s, ms, µs or ns since 1970, "
    "plain or gzip"
)


@dataclass(frozen=True, slots=True)
class Stamps:
    """How a file's lines are stamped."""

    digits: int
    unit: str
    scale: int
    first_ns: int


def stamps_of(head: bytes, path: Path) -> Stamps:
    """Stamp format by the first line of ``head`` that has one; InputError where none has."""
    for line in head.split(b"\n"):
        match = _HEAD.match(line)
        if match:
            unit, scale = _UNITS[len(match[1])]
            return Stamps(len(match[1]), unit, scale, int(match[1]) * scale)
    shown = head.split(b"\n", 1)[0][:60].decode("utf-8", "backslashreplace")
    begins = f"it begins with {shown!r}" if shown.strip() else "its first line is blank"
    raise InputError(f"{path}, line 1: not a recording; {begins}", hint=_NO_RECORDING)


class RecordingFile:
    """One pass over a file: ``for data in file`` gives blocks of whole lines.

    After the pass ``truncated_at`` tells whether a gzip stream broke off (bytes of the file that
    were read; None if it is whole), ``sha256`` and ``bytes`` describe the file as it lies on disk.

    Raises
    ------
    InputError
        Missing, a folder, unreadable, empty, damaged gzip data, or lines too long to be lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.sha256 = ""
        self.truncated_at: int | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Blocks of about ``BLOCK_BYTES`` that end in a line end, except possibly the last."""
        carry = bytearray()
        for data in self._plain():
            carry += data
            if len(carry) < BLOCK_BYTES:
                continue
            stop = carry.rfind(b"\n") + 1
            if stop:
                yield bytes(carry[:stop])
                del carry[:stop]
            elif len(carry) > MAX_LINE_BYTES:
                raise InputError(
                    f"{self.path}: a line of more than {MAX_LINE_BYTES >> 20} MiB",
                    hint=_NO_RECORDING,
                )
        if carry:
            yield bytes(carry)

    def _plain(self) -> Iterator[bytes]:
        """The decompressed bytes, in pieces of bounded size."""
        if self.path.is_dir():
            raise InputError(
                f"{self.path} is a folder", hint="name the recording's files one by one"
            )
        if self.path.exists() and not self.path.is_file():
            raise InputError(
                f"{self.path} is a pipe or a device, and a recording is read more than once",
                hint="write it to a file first",
            )
        self.bytes, self.truncated_at = 0, None
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                pieces = self._pieces(file, digest)
                first = next(pieces, b"")
                if not first:
                    raise InputError(
                        f"{self.path} is empty", hint="leave it out, or fetch the recording again"
                    )
                if first.startswith(_GZIP_MAGIC):
                    plain = self._inflate(first, pieces)
                else:
                    plain = chain((first,), pieces)
                # a byte order mark is no part of the first line
                yield next(plain, b"").removeprefix(codecs.BOM_UTF8)
                yield from plain
        except FileNotFoundError as error:
            raise InputError(f"{self.path} does not exist", hint="check the file's name") from error
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be read: {error.strerror}",
                hint="check the file and its rights",
            ) from error
        self.sha256 = digest.hexdigest()

    def _pieces(self, file: BinaryIO, digest: hashlib._Hash) -> Iterator[bytes]:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            self.bytes += len(piece)
            yield piece

    def _inflate(self, piece: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Members of a gzip file one after the other; zeros behind the last are padding."""
        while piece:
            member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            while not member.eof:
                try:
                    data = member.decompress(piece, BLOCK_BYTES)
                except _DAMAGED as error:
                    raise InputError(
                        f"{self.path}: the gzip data is damaged within its first {self.bytes} "
                        f"bytes ({error}); none of its lines can be trusted",
                        hint="fetch the recording again; unpack it by hand to see what is left",
                    ) from error
                if data:
                    yield data
                piece = b""
                if member.needs_input and not member.eof:
                    piece = next(pieces, b"")
                    if not piece:
                        self.truncated_at = self.bytes
                        return
            piece = member.unused_data.lstrip(b"\0")
            while not piece and (more := next(pieces, b"")):
                piece = more.lstrip(b"\0")
