"""Journals of a golden sample, read as a recording: what is whole of a damaged one is kept.

Each line of a journal becomes the line of a recording that it was made of, so that what is known
about the whole is found out anew; what a journal does not hold, such as where the data comes from,
is taken from the sample's document.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from pathlib import Path

from lobproof.sources.age import Identities
from lobproof.sources.binance.journal import (
    ENCRYPTED_SUFFIX,
    SUFFIX,
    Loss,
    is_encrypted,
    read_frames,
)
from lobproof.sources.golden import DOCUMENT, JOURNAL_FOLDER
from lobproof.sources.recordings.shapes import Shape

_LINE = re.compile(
    rb'\{"capture_ns":([0-9]+),(?:"mono_ns":[0-9]+,)?"stream":"([^"\\]*)","conn":[0-9]+,(.*)\}'
)
_DATA = b'"data":'
_INVALID = re.compile(rb'.*"data_b64":"([0-9A-Za-z+/=]*)"')
_TRUNCATED = b'"event":"truncated"'


def is_journal(path: Path) -> bool:
    """Whether a file is a journal, by its name and place: of a golden sample or a capture."""
    return (
        path.name.endswith((SUFFIX, ENCRYPTED_SUFFIX))
        and path.absolute().parent.name == JOURNAL_FOLDER
    )


def sample_of(path: Path) -> Path | None:
    """The golden sample that a file is a journal of; None of any other file."""
    sample = path.absolute().parent.parent
    return sample if is_journal(path) and path.is_file() and (sample / DOCUMENT).is_file() else None


class JournalRecording:
    """One pass over a journal, as `RecordingFile` over a recording.

    Line for line as in the journal; a line of its own, such as a file's beginning, is blank.
    ``breaks``: what cannot be read, or was not when the sample was made, right before the block
    that has just been given.
    """

    compression = "zstd"
    truncated_at: int | None = None
    cut = 0
    untimed = 0

    def __init__(self, path: Path, identities: Identities | None = None) -> None:
        self.path = path
        self._identities = identities
        what = "an encrypted journal" if is_encrypted(path) else "a journal"
        self.shape = Shape(what, "capture_ns", unit="ns")
        self.bytes = 0
        self.sha256 = ""
        self.breaks: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        """Blocks of whole lines; the last may be empty, for its ``breaks``."""
        self.sha256, self.bytes = _hash_of(self.path)
        self.breaks = []
        for frame in read_frames(self.path, self.bytes, self._identities):
            if isinstance(frame, Loss):
                self.breaks.append(
                    f"{frame.bytes:,} bytes of the journal from byte {frame.offset:,} on cannot be "
                    f"read: {frame.detail}"
                )
                continue
            lines: list[bytes] = []
            for line in frame.removesuffix(b"\n").split(b"\n"):
                recorded, breaks = _recorded(line)
                if breaks:
                    yield from self._block(lines)
                    lines = []
                    self.breaks.append("the recording broke off here when it was imported")
                lines.append(recorded + b"\n")
            yield from self._block(lines)
        yield from self._block([])

    def _block(self, lines: list[bytes]) -> Iterator[bytes]:
        if lines or self.breaks:
            yield b"".join(lines)
            self.breaks = []


def _hash_of(path: Path) -> tuple[str, int]:
    """The SHA-256 of a file, and of how many bytes: that of a running capture grows."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def _recorded(line: bytes) -> tuple[bytes, bool]:
    """A journal's line as a recording has it, and whether it says that the recording broke off."""
    found = _LINE.fullmatch(line)
    if found is None:
        return line, False  # which has no receive time, and so cannot be read
    capture, stream, rest = found.groups()
    if stream == b"control":
        return b"", _TRUNCATED in rest
    if stream == b"invalid":
        kept = _INVALID.fullmatch(rest)
        try:
            return (line if kept is None else b64decode(kept[1], validate=True)), False
        except Base64Error:
            return line, False
    return b'%b {"stream":"%b",%b}' % (capture, stream, rest), False
