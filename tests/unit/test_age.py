"""Encrypted journals: keys in files, frames that open one by one, and what is told of others."""

from __future__ import annotations

import io
import subprocess
import sys
import traceback
from itertools import pairwise
from pathlib import Path

import pytest
from pyrage import x25519

from lobproof.errors import InputError, LobproofError, UsageError
from lobproof.sources.age import Identities, identities_of, recipients_of
from lobproof.sources.binance import journal
from lobproof.sources.binance.journal import (
    HOUR_NS,
    JournalFile,
    JournalWriter,
    Loss,
    WrongIdentityError,
    read_frames,
    walk_encrypted,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

START = 472_222 * HOUR_NS
LINES = [b'{"n":%d,"text":"plain to see"}\n' % n for n in range(60)]


def key_file(path: Path) -> str:
    """Write an identity as ``age-keygen`` does; its recipient."""
    key = x25519.Identity.generate()
    public = str(key.to_public())
    path.write_text(f"# created: 2026-01-01T00:00:00Z\n# public key: {public}\n{key}\n")
    return public


def identities(*paths: Path) -> Identities:
    found = identities_of(paths)
    assert found is not None
    return found


@pytest.fixture
def public(tmp_path: Path) -> str:
    return key_file(tmp_path / "key.txt")


@pytest.fixture
def keys(tmp_path: Path, public: str) -> Identities:
    return identities(tmp_path / "key.txt")


@pytest.fixture
def written(tmp_path: Path, public: str, monkeypatch: pytest.MonkeyPatch) -> JournalFile:
    """A journal of several frames in the folder ``journal``."""
    monkeypatch.setattr(journal, "FRAME_BYTES", 400)
    writer = JournalWriter(tmp_path / "journal", recipients=recipients_of([public]))
    for line in LINES:
        writer.append(line, START)
    (file,) = writer.close()
    return file


@pytest.fixture
def path(tmp_path: Path, written: JournalFile) -> Path:
    return tmp_path / "journal" / written.name


def starts_of(data: bytes) -> list[int]:
    """Where frames begin, by what zstd says of them, and the end."""
    starts = [0]
    while starts[-1] < len(data):
        starts.append(starts[-1] + zstd.get_frame_size(data[starts[-1] :]))
    return starts


def test_each_frame_is_a_skippable_frame_that_its_reader_opens(
    path: Path, written: JournalFile, keys: Identities
) -> None:
    data = path.read_bytes()
    assert path.name == "2023-11-14T22.jsonl.zst.age"
    assert (written.bytes, written.lines) == (len(data), len(LINES))
    assert b"plain to see" not in data
    frames = list(read_frames(path, identities=keys))
    assert len(frames) > 3
    assert b"".join(frame for frame in frames if isinstance(frame, bytes)) == b"".join(LINES)
    starts = starts_of(data)
    assert len(starts) == len(frames) + 1
    for (start, stop), frame in zip(pairwise(starts), frames, strict=True):
        # by hand, as docs/capture-journal.md says: the length, then what age made of a zstd frame
        assert int.from_bytes(data[start + 4 : start + 8], "little") == stop - start - 8
        plain = keys.decrypt(data[start + 8 : stop])
        assert plain[4] & 4  # with a checksum
        assert zstd.decompress(plain) == frame
    assert zstd.decompress(data) == b""  # zstdcat passes over it
    assert walk_encrypted(path) == (len(frames), [])


def test_each_of_several_recipients_reads_and_nobody_else(tmp_path: Path, public: str) -> None:
    second, third = key_file(tmp_path / "second.txt"), key_file(tmp_path / "third.txt")
    listed = tmp_path / "team.txt"
    listed.write_text(f"# ours\n\n  {second}  \n{public}\n")
    to = recipients_of([public, str(listed)])
    assert to.names == [public, second]
    writer = JournalWriter(tmp_path / "journal", recipients=to)
    writer.append(LINES[0], START)
    (file,) = writer.close()
    path = tmp_path / "journal" / file.name
    for name in ("key.txt", "second.txt"):
        assert list(read_frames(path, identities=identities(tmp_path / name))) == [LINES[0]]
    with pytest.raises(WrongIdentityError, match="not one of its 1 frames can be decrypted"):
        list(read_frames(path, identities=identities(tmp_path / "third.txt")))
    both = identities(tmp_path / "third.txt", tmp_path / "second.txt")
    assert list(read_frames(path, identities=both)) == [LINES[0]]
    with pytest.raises(InputError, match=r"is encrypted\nHint: .*--identity"):
        list(read_frames(path))
    assert third not in to.names


def test_a_file_cut_anywhere_costs_the_last_frame_alone(path: Path, keys: Identities) -> None:
    data = path.read_bytes()
    starts = starts_of(data)
    frames = list(read_frames(path, identities=keys))
    cut = path.with_name("2023-11-14T23.jsonl.zst.age")
    for size in {1, 3, 4, 7, 8, 9, *starts[1:-1], *range(starts[2] + 1, len(data), 37)}:
        cut.write_bytes(data[:size])
        count = sum(stop <= size for stop in starts[1:])
        lost = size - starts[count]
        losses = [Loss(cut.name, starts[count], lost, "the file ends inside a frame")]
        expected = losses if lost else []
        assert list(read_frames(cut, identities=keys)) == [*frames[:count], *expected]
        assert walk_encrypted(cut) == (count, expected)


@pytest.mark.parametrize("at", [1, 0])
def test_a_changed_byte_costs_its_frame_alone(path: Path, keys: Identities, at: int) -> None:
    """Also of the first frame, behind which nothing has been decrypted yet."""
    data = path.read_bytes()
    starts = starts_of(data)
    frames = list(read_frames(path, identities=keys))
    rest = [frame for n, frame in enumerate(frames) if n != at]
    for place in range(starts[at], starts[at + 1]):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        seen = list(read_frames(path, identities=keys))
        losses = [one for one in seen if isinstance(one, Loss)]
        assert [one for one in seen if isinstance(one, bytes)] == rest
        assert losses[0].offset == starts[at]
        assert sum(one.bytes for one in losses) == starts[at + 1] - starts[at]


def test_what_is_between_frames_is_told(path: Path, keys: Identities) -> None:
    data = path.read_bytes()
    (begins, *_) = starts_of(data)[1:]
    frames = list(read_frames(path, identities=keys))
    plain = zstd.compress(
        b"not encrypted\n", options={int(zstd.CompressionParameter.checksum_flag): 1}
    )
    other = recipients_of([str(x25519.Identity.generate().to_public())]).encrypt(plain)
    inside = {
        plain: "no encrypted frame begins here",
        b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip": "no encrypted frame begins here",
        b"\x5a\x2a\x4d\x18\x04\x00\x00\x00skip": "not encrypted by age",
        b"\x5a\x2a\x4d\x18\xff\xff\xff\xff": "more than any has",
        b"\x5a\x2a\x4d\x18" + len(other).to_bytes(4, "little") + other: "No matching keys",
    }
    for between, why in inside.items():
        path.write_bytes(data[:begins] + between + data[begins:])
        first, loss, *others = read_frames(path, identities=keys)
        assert [first, *others] == frames
        assert isinstance(loss, Loss)
        assert (loss.offset, loss.bytes) == (begins, len(between))
        assert why in loss.detail


def test_what_is_decrypted_has_to_be_one_frame(
    path: Path, keys: Identities, public: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = recipients_of([public])
    checked = {int(zstd.CompressionParameter.checksum_flag): 1}
    frame = zstd.compress(b"a\n", options=checked)

    def write(*inside: bytes) -> None:
        made = map(to.encrypt, inside)
        path.write_bytes(
            b"".join(b"\x5a\x2a\x4d\x18" + len(one).to_bytes(4, "little") + one for one in made)
        )

    for odd in (b"", b"text\n", zstd.compress(b"a\n"), frame + frame, frame[:-1]):
        write(frame, odd)
        first, loss = read_frames(path, identities=keys)
        assert first == b"a\n"
        assert isinstance(loss, Loss)
        assert "it is no frame" in loss.detail
    monkeypatch.setattr(journal, "MAX_FRAME_BYTES", 1000)
    write(zstd.compress(b"x" * 1001, options=checked))
    with pytest.raises(InputError, match="frame of more than"):
        list(read_frames(path, identities=keys))


SECRET = str(x25519.Identity.generate())


def with_key(text: str) -> str:
    """A text with a secret key in its place: one that is drawn names no test."""
    return text.replace("KEY", SECRET).replace("key", SECRET.lower())


@pytest.mark.parametrize("text", ["KEY", "key", "./KEY"])
def test_a_secret_key_on_the_command_line_is_refused_and_not_repeated(text: str) -> None:
    text = with_key(text)
    for call in (lambda: recipients_of([text]), lambda: identities_of([Path(text)])):
        with pytest.raises(UsageError, match="a secret key stands on the command line") as raised:
            call()
        assert SECRET[20:].lower() not in str(raised.value).lower()


@pytest.mark.parametrize(
    ("content", "recipient", "identity"),
    [
        (None, "does not exist", "does not exist"),
        (b"", "has no key", "has no key"),
        (b"# a comment\n\n", "has no key", "has no key"),
        (b"\xff\xfe", "is no text", "is no text"),
        (b"x" * (1 << 17), "more than 65,536 bytes", "more than 65,536 bytes"),
        (b"age-encryption.org/v1\n-> scrypt", "is encrypted itself", "is encrypted itself"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "is encrypted itself", "is encrypted itself"),
        (b"# x\nssh-ed25519 AAAA\n", "line 2 is no recipient", "line 2 is no identity"),
        (b"KEY\n", "line 1 is a secret key", ""),
        (b"KEY\nKEYX\n", "line 1 is a secret key", "line 2 is no identity"),
        (b"keyx\n", "line 1 is a secret key", "line 1 is no identity"),
    ],
)
def test_files_that_hold_no_keys(
    tmp_path: Path, content: bytes | None, recipient: str, identity: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        plain = content.startswith((b"KEY", b"key"))
        path.write_bytes(with_key(content.decode()).encode() if plain else content)
    for call, why in (
        (lambda: recipients_of([str(path)]), recipient),
        (lambda: identities_of([path]), identity),
    ):
        if not why:
            call()
            continue
        with pytest.raises(LobproofError, match=why) as raised:
            call()
        assert str(path) in str(raised.value)
        assert "\nHint: " in str(raised.value)
        shown = io.StringIO()  # with every error behind it
        traceback.print_exception(raised.value, file=shown)
        assert SECRET[20:-1].lower() not in shown.getvalue().lower()


def test_recipients_that_are_none() -> None:
    public = str(x25519.Identity.generate().to_public())
    for text in (public[:-1], f"{public}q", "age1", "age1yubikey1" + public[5:]):
        with pytest.raises(InputError, match=f"{text} is no recipient of age\nHint: "):
            recipients_of([text])
    with pytest.raises(UsageError, match="no recipient"):
        recipients_of([])
    assert identities_of([]) is None


@pytest.mark.parametrize("call", ["recipients_of(['age1'])", "identities_of([Path('key')])"])
def test_the_extra_is_named_where_it_is_missing(call: str) -> None:
    script = (
        "import sys; sys.modules['pyrage'] = None\n"
        "from pathlib import Path\n"
        "from lobproof.errors import ExtraError\n"
        "from lobproof.sources.age import identities_of, recipients_of\n"
        f"try:\n    {call}\nexcept ExtraError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "needs the package pyrage" in done.stdout, done
    assert "pip install 'lobproof[encrypt]'" in done.stdout
