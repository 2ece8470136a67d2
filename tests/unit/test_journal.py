"""Journals: independent frames of whole lines, and what is left of damaged ones."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from lobproof.errors import InputError
from lobproof.sources.binance import journal
from lobproof.sources.binance.journal import (
    HOUR_NS,
    JournalFile,
    JournalWriter,
    Loss,
    read_frames,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHECKED = {int(zstd.CompressionParameter.checksum_flag): 1}
START = 472_222 * HOUR_NS
"""A full hour: 2023-11-14T22."""


def _line(number: int, text: str = "") -> bytes:
    return json.dumps({"n": number, "text": text}).encode() + b"\n"


@pytest.fixture
def small_frames(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(journal, "FRAME_BYTES", 400)
    return 400


def _written(folder: Path, lines: list[bytes], *, together: int = 1) -> list[JournalFile]:
    writer = JournalWriter(folder)
    for start in range(0, len(lines), together):
        writer.append(b"".join(lines[start : start + together]), START)
    return writer.close()


def _read(path: Path) -> tuple[bytes, list[Loss]]:
    parts = list(read_frames(path))
    losses = [part for part in parts if isinstance(part, Loss)]
    return b"".join(part for part in parts if isinstance(part, bytes)), losses


def _frame_starts(data: bytes) -> list[int]:
    starts = [0]
    while starts[-1] < len(data):
        starts.append(starts[-1] + zstd.get_frame_size(data[starts[-1] :]))
    return starts


@pytest.mark.usefixtures("small_frames")
def test_files_follow_from_the_lines_however_they_come(tmp_path: Path) -> None:
    lines = [_line(i, "x" * (i % 90)) for i in range(100)]
    one = _written(tmp_path / "one", lines)
    seven = _written(tmp_path / "seven", lines, together=7)
    assert one == seven
    path = tmp_path / "one" / one[0].name
    assert path.read_bytes() == (tmp_path / "seven" / one[0].name).read_bytes()
    assert one[0].lines == 100
    assert one[0].bytes == path.stat().st_size
    assert _read(path) == (b"".join(lines), [])
    frames = [part for part in read_frames(path) if isinstance(part, bytes)]
    assert len(frames) > 10
    assert all(frame.endswith(b"\n") and len(frame) >= 400 for frame in frames[:-1])
    data = path.read_bytes()
    for start, stop in pairwise(_frame_starts(data)):
        # each by itself, with a checksum: bit 2 of the frame's descriptor
        assert zstd.decompress(data[start:stop]) in frames
        assert data[start + 4] & 4
    assert zstd.decompress(data) == b"".join(lines)  # as zstdcat does


def test_a_file_an_hour_that_never_goes_back(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    names = []
    for number, hours in enumerate((0.0, 0.99, 1.0, 0.5, 27.0)):
        writer.append(_line(number), START + int(hours * HOUR_NS))
        names.append(writer.name)
    files = writer.close()
    day = "2023-11-14T22", "2023-11-14T23", "2023-11-16T01"
    assert [file.name for file in files] == [f"{hour}.jsonl.zst" for hour in day]
    assert [file.lines for file in files] == [2, 2, 1]
    assert names == [files[i].name for i in (0, 0, 1, 1, 2)]
    assert _read(tmp_path / files[1].name)[0] == _line(2) + _line(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name for file in files]
    assert len(writer.content_sha256) == 64


def test_nothing_written_makes_no_file(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal")
    writer.append(b"", START)
    assert writer.close() == []
    assert list((tmp_path / "journal").iterdir()) == []


@pytest.mark.usefixtures("small_frames")
def test_a_file_cut_anywhere_gives_all_whole_frames_and_says_what_is_lost(tmp_path: Path) -> None:
    lines = [_line(i, "text") for i in range(60)]
    whole = tmp_path / _written(tmp_path, lines)[0].name
    data = whole.read_bytes()
    starts = _frame_starts(data)
    frames = [part for part in read_frames(whole) if isinstance(part, bytes)]
    cut = tmp_path / "cut.zst"
    for size in {1, 3, 4, 9, *starts[1:-1], *range(starts[2] + 1, len(data), 17)}:
        cut.write_bytes(data[:size])
        count = sum(stop <= size for stop in starts[1:])
        seen, losses = _read(cut)
        assert seen == b"".join(frames[:count])
        if size in starts:
            assert losses == []
        else:
            (loss,) = losses
            assert (loss.name, loss.offset) == ("cut.zst", starts[count])
            assert loss.bytes == size - starts[count]
            assert loss.detail == "the file ends inside a frame"


@pytest.mark.usefixtures("small_frames")
def test_a_damaged_frame_costs_that_frame_alone(tmp_path: Path) -> None:
    lines = [_line(i, "text") for i in range(60)]
    whole = tmp_path / _written(tmp_path, lines)[0].name
    data = whole.read_bytes()
    starts = _frame_starts(data)
    frames = [part for part in read_frames(whole) if isinstance(part, bytes)]
    broken = tmp_path / "broken.zst"
    for at in range(starts[1], starts[2]):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        broken.write_bytes(damaged)
        seen, losses = _read(broken)
        rest = b"".join([frames[0], *frames[2:]])
        if seen != rest:  # a header that claims a longer frame may swallow the next ones
            assert seen.startswith(frames[0])
            assert rest.endswith(seen.removeprefix(frames[0]))
        assert losses
        assert losses[0].offset == starts[1]
        assert all(loss.detail for loss in losses)


def test_a_frame_behind_a_long_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.zst"
    frame = zstd.compress(b"line\n", options=CHECKED)
    path.write_bytes(b"\x00" * ((1 << 18) + 1) + frame)
    assert _read(path) == (
        b"line\n",
        [Loss("x.zst", 0, (1 << 18) + 1, _read(path)[1][0].detail)],
    )


def test_a_missing_journal_and_a_frame_that_is_no_journals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="missing"):
        list(read_frames(tmp_path / "none.zst"))
    monkeypatch.setattr(journal, "MAX_FRAME_BYTES", 1000)
    path = tmp_path / "large.zst"
    path.write_bytes(zstd.compress(b"x" * 1001, options=CHECKED))
    with pytest.raises(InputError, match="frame of more than"):
        list(read_frames(path))
    path.write_bytes(zstd.compress(b"x" * 1000, options=CHECKED))
    assert _read(path)[0] == b"x" * 1000


@pytest.mark.parametrize(
    ("between", "why"),
    [
        (zstd.compress(b"anything at all\n"), "without a checksum"),
        (b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip", "no frame"),
        (b"noise", "no frame"),
    ],
)
def test_what_has_no_checksum_is_no_frame(tmp_path: Path, between: bytes, why: str) -> None:
    (file,) = _written(tmp_path, [_line(1)])
    path = tmp_path / file.name
    frame = path.read_bytes()
    path.write_bytes(frame + between + frame)
    text, (loss,) = _read(path)
    assert text == _line(1) * 2
    assert (loss.offset, loss.bytes) == (len(frame), len(between))
    assert why in loss.detail
