"""Journal files of damaged frames: what is whole is read, and all else is told as lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz_bytes.choices import Choices
from fuzz_bytes.finding import found_unless
from lobproof.errors import InputError
from lobproof.sources.binance.journal import MAX_FRAME_BYTES, Loss, read_frames

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGIC = b"\x28\xb5\x2f\xfd"
_CHECKSUM = 4
"""The bit of the byte behind the magic number that says that a checksum is there."""
TOKENS = (_MAGIC, b"\x50\x2a\x4d\x18", b"\x28\xb5\x2f\xfd\x04", b"\x28\xb5\x2f\xfd\x24")
_CHECKED = {int(zstd.CompressionParameter.checksum_flag): 1}


def damaged(data: bytes) -> None:
    """Frames with damage between and within them: those that it spares are read, in order."""
    choices = Choices(data)
    contents = [
        choices.take(choices.below(64)) * (1 + choices.below(256)) + b"\n"
        for _ in range(choices.below(6))
    ]
    packed = [zstd.compress(content, options=_CHECKED) for content in contents]
    file = bytearray(b"".join(packed))
    spared = [True] * len(packed)
    while choices and file:
        at = choices.below(len(file))
        changed = choices.below(255) + 1
        file[at] ^= changed
        stop = 0
        for k, frame in enumerate(packed):
            spared[k] &= not stop <= at < stop + len(frame)
            stop += len(frame)
    read = _read(bytes(file))
    frames = [frame for frame in read if isinstance(frame, bytes)]
    for frame in frames:
        found_unless(frame in contents, f"a frame that nobody wrote: {frame[:60]!r}")
    kept = [content for content, whole in zip(contents, spared, strict=True) if whole]
    rest = iter(frames)
    found_unless(all(content in rest for content in kept), f"{len(kept)} frames, not all are read")
    found_unless(all(spared) or len(frames) < len(contents) or frames == contents, "frames of none")


def raw(data: bytes) -> None:
    """A file of any bytes, beside a plain reader."""
    read = _read(data)
    expected: list[bytes | tuple[int, int]] = []
    at, lost = 0, -1
    while at < len(data):
        frame = _whole(data[at:])
        if frame is None:
            lost = at if lost < 0 else lost
            found = data.find(_MAGIC, at + 1)
            at = len(data) if found < 0 else found
            continue
        if lost >= 0:
            expected.append((lost, at - lost))
            lost = -1
        expected.append(frame[0])
        at += frame[1]
    if lost >= 0:
        expected.append((lost, len(data) - lost))
    seen = [(one.offset, one.bytes) if isinstance(one, Loss) else one for one in read]
    found_unless(seen == expected, f"{seen}, not {expected}")


def _whole(data: bytes) -> tuple[bytes, int] | None:
    """The frame that ``data`` begins with and its size; None where it is none with a checksum."""
    if not data.startswith(_MAGIC) or not data[4:5] or not data[4] & _CHECKSUM:
        return None
    decompressor = zstd.ZstdDecompressor()
    try:
        text = decompressor.decompress(data, max_length=MAX_FRAME_BYTES)
    except zstd.ZstdError:
        return None
    return (text, len(data) - len(decompressor.unused_data)) if decompressor.eof else None


def _read(data: bytes) -> list[bytes | Loss]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        path.write_bytes(data)
        try:
            return list(read_frames(path))
        except InputError as error:
            found_unless(bool(error.hint), error.message)
            return []


def raw_seeds() -> Iterator[bytes]:
    """Frames whole, cut, between noise, and without a checksum."""
    frames = [zstd.compress(b"%d\n" % k * 50, options=_CHECKED) for k in range(3)]
    yield b"".join(frames)
    yield frames[0] + b"noise" + frames[1][:-3] + frames[2]
    yield frames[0] + zstd.compress(b"unchecked\n")
    yield b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + frames[0]
    yield b""


def damaged_seeds() -> Iterator[bytes]:
    """A few frames, each damaged at some place."""
    for at in range(0, 60, 7):
        yield bytes([3, 5]) + b"abcde" + bytes([9, 1]) + b"x" + bytes([2, 0, 7, at, 40])
    yield bytes([2, 3]) + b"abc" + bytes([4, 1]) + b"z" + bytes([9])
