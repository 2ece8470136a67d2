"""Line-stamped recordings, compressed or plain: what their beginnings tell, and their lines."""

from __future__ import annotations

import bz2
import hashlib
import lzma
import os
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from isal import igzip_lib

from lobproof.documents import QUOTED
from lobproof.errors import InputError, UsageError, shown, system_text
from lobproof.instruments import NAME_HINT, is_name
from lobproof.sources.age import Identities
from lobproof.sources.binance.decode import Problem, check_json, quoted, split_stamp, symbol_of
from lobproof.sources.captured import SessionDocument, session_of
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings.downloads import Download, Table
from lobproof.sources.recordings.journals import JournalRecording, is_journal, sample_of
from lobproof.sources.recordings.shapes import (
    MAX_LINE_BYTES,
    Plain,
    Shape,
    decoded,
    of_download,
    split,
)
from lobproof.sources.recordings.unreadable import READ, likeness
from lobproof.sources.simulator.provenance import read_mark, simulation_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK_BYTES = 1 << 20
CUT_BYTES = 1 << 16
"""What is kept of a line that is longer: whose it was shows in its beginning."""
FREE_BYTES = 4 << 20
MAX_RATIO = 100
"""A file may unpack to `FREE_BYTES` and so many times its size; market data shrinks to a tenth."""
_CHUNK = 1 << 18
_TIMELESS = "name the field that holds the receive time: time_field= (--time-field)"


class _Decompressor(Protocol):
    """What the decompressors of one stream have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Compression(NamedTuple):
    name: str
    magic: bytes
    begin: Callable[[], _Decompressor]
    damaged: tuple[type[Exception], ...]


_COMPRESSIONS = (
    _Compression(
        "gzip",
        b"\x1f\x8b",
        lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
        (cast(type[Exception], igzip_lib.IsalError),),
    ),
    _Compression("zstd", b"\x28\xb5\x2f\xfd", zstd.ZstdDecompressor, (zstd.ZstdError,)),
    _Compression("xz", b"\xfd7zXZ\0", lzma.LZMADecompressor, (lzma.LZMAError,)),
    _Compression("bzip2", b"BZh", bz2.BZ2Decompressor, (OSError, ValueError)),
)


_ZIP_MAGICS = (b"PK\3\4", b"PK\5\6")
"""With files, and without one."""
MAX_ZIP_LIST = _CHUNK
"""Bytes of a zip archive's list of files: of each zipfile makes twenty."""
_ZIP_WAYS = (ZIP_STORED, ZIP_DEFLATED)
"""Ways of packing that zipfile unpacks by pieces; of others it unpacks without a bound."""
# zipfile raises NotImplementedError for a later version, RuntimeError for a password
# and others where names, offsets or extra fields are none
_UNZIPPABLE = (
    *(BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError),
    *(struct.error, ValueError, OverflowError, IndexError),
)


@dataclass(frozen=True, slots=True)
class Stamps:
    """How a file's first line is stamped: the unit, and the time in ns."""

    unit: str
    first_ns: int


def stamps_of(head: bytes) -> Stamps | None:
    """The first stamp in ``head``, which says the file's time; None where no line has one."""
    for line in head.splitlines():
        found = split_stamp(line)
        if found is not None and found[1][:1] in (b"{", b"["):
            return Stamps("ns", found[0])
    return None


def no_recording(head: bytes, path: Path, shape: Shape) -> InputError:
    """The error that says that a file which begins with ``head`` is no recording."""
    alike = likeness(head)
    if alike is not None:
        return InputError(f"{path}: not a recording; it looks like {alike.what}", hint=alike.hint)
    first = head.split(b"\n", 1)[0]
    begins = _begins(first) if first.strip() else "it is blank"
    hint = READ
    if shape.fields:
        begins = f"{shape.lines} without a time; their fields are {few(shape.fields)}"
        hint = _TIMELESS
    elif first[:1] in (b"{", b"["):
        begins += ", which no receive time stands before"
    return InputError(f"{path}, line 1: not a recording's; {begins}", hint=hint)


def _begins(line: bytes) -> str:
    return f"it begins with {quoted(line[:QUOTED].decode('utf-8', 'backslashreplace'))}"


class _Archive(BufferedReader):
    """A zip archive as zipfile reads it: all that it asks for in one piece is its list of files."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file; InputError for a piece that is longer than a recording's list."""
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > MAX_ZIP_LIST:
            raise InputError(
                f"{self.name}: a zip archive whose list of files has {size:,} bytes",
                hint="a recording's holds one file: unpack it, and name the recordings one by one",
            )
        return super().read(size)


class RecordingFile:
    """One pass over a file: ``for data in file`` gives blocks of whole lines.

    After the pass ``truncated_at`` tells whether a compressed stream broke off (bytes of the file
    that were read; None if it is whole), ``sha256`` and ``bytes`` describe the file as it lies on
    disk; from the first block on ``shape`` and ``compression`` tell what it is taken for, and
    ``untimed`` counts lines that were given the time of the one before, for want of an own one.
    Blocks are plain, whatever the file's shape. A line of more than ``MAX_LINE_BYTES`` comes cut,
    as a block of its own, with ``cut`` the bytes that it has; 0 with every other block.

    Raises
    ------
    InputError
        Missing, a folder, unreadable, or damaged compressed data.
    """

    def __init__(self, path: Path, time_field: str | None = None) -> None:
        self.path = path
        self.shape = Shape()
        self._time_field = time_field
        self.bytes = 0
        self.sha256 = ""
        self.compression = ""
        self.untimed = 0
        self._unpacked_bytes = 0
        self.truncated_at: int | None = None
        self.cut = 0
        self.breaks: list[str] = []  # which only a journal has amid its lines

    def __iter__(self) -> Iterator[bytes]:
        """Blocks of about ``BLOCK_BYTES`` that end in a line end, except possibly the last."""
        pieces = of_download(decoded(self.plain(), self.shape), self.shape)
        first = next(pieces)
        if self.shape.table is not None:
            yield from self._downloaded(self.shape.table, chain((first,), pieces))
            return
        plain = Plain(self.shape, self._time_field)
        for block in self._blocks(plain.begun(split(chain((first,), pieces), self.shape))):
            data = plain(block)
            self.untimed = plain.untimed
            yield data

    def _downloaded(self, table: Table, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Blocks of the lines that a download's rows become."""
        download = Download(table, self.path)
        for block in self._blocks(pieces):
            if lines := download(block):
                yield lines
        if lines := download(b"", last=True):
            yield lines

    def _blocks(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Blocks of lines as they are."""
        carry = bytearray()
        dropped = 0  # bytes of a line that is too long, behind those in ``carry``
        for data in pieces:
            if dropped:
                end = data.find(b"\n") + 1
                dropped += end or len(data)
                if not end:
                    continue
                yield from self._cut_line(carry, dropped)
                data, dropped = data[end:], 0
            carry += data
            if len(carry) < BLOCK_BYTES:
                continue
            stop = carry.rfind(b"\n") + 1
            if stop:
                yield bytes(carry[:stop])
                del carry[:stop]
            elif len(carry) > MAX_LINE_BYTES:
                dropped = len(carry) - CUT_BYTES
                del carry[CUT_BYTES:]
        if dropped:
            yield from self._cut_line(carry, dropped)
        elif carry:
            yield bytes(carry)

    def _cut_line(self, carry: bytearray, dropped: int) -> Iterator[bytes]:
        """The beginning of a line that is too long; empties ``carry``."""
        self.cut = len(carry) + dropped
        yield bytes(carry) + b"\n"
        self.cut = 0
        carry.clear()

    def plain(self) -> Iterator[bytes]:
        """The decompressed bytes as they are, in pieces of bounded size."""
        if self.path.is_dir():
            raise InputError(
                f"{self.path} is a folder", hint="name the recording's files one by one"
            )
        if self.path.exists() and not self.path.is_file():
            raise InputError(
                f"{self.path} is a pipe or a device, and a recording is read more than once",
                hint="write it to a file first",
            )
        self.bytes, self._unpacked_bytes, self.truncated_at = 0, 0, None
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                pieces = self._pieces(file, digest)
                first = next(pieces, b"")
                packed = (c for c in _COMPRESSIONS if first.startswith(c.magic))
                compression = next(packed, None)
                if compression is not None:
                    plain = self._unpacked(compression, first, pieces)
                elif first.startswith(_ZIP_MAGICS):
                    plain = self._unzipped(file, pieces)
                else:
                    plain = chain((first,), pieces)
                yield from plain
        except FileNotFoundError as error:
            raise InputError(f"{self.path} does not exist", hint="check the file's name") from error
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be read: {system_text(error)}",
                hint="check the file and its rights",
            ) from error
        self.sha256 = digest.hexdigest()

    def _pieces(self, file: BinaryIO, digest: hashlib._Hash) -> Iterator[bytes]:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            self.bytes += len(piece)
            yield piece

    def _check_ratio(self, more: bytes) -> None:
        """InputError where what is unpacked, ``more`` with it, is no recording's by its size."""
        self._unpacked_bytes += len(more)
        if self._unpacked_bytes > FREE_BYTES + MAX_RATIO * self.bytes:
            raise InputError(
                f"{self.path}: {self.bytes:,} bytes unpack to more than {self._unpacked_bytes:,}",
                hint=f"a recording unpacks to at most {MAX_RATIO} times its size; if it is one, "
                "unpack it by hand",
            )

    def _unzipped(self, file: BufferedReader, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The one file of a zip archive; its list stands at the end, so that a cut one is lost."""
        self.compression = "zip"
        for _ in pieces:
            pass
        try:
            with _Archive(file.raw) as packed, ZipFile(packed) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                if len(members) != 1:
                    raise InputError(
                        f"{self.path}: a zip archive of {len(members)} files",
                        hint="unpack it, and name the recordings one by one",
                    )
                if members[0].compress_type not in _ZIP_WAYS:
                    raise InputError(
                        f"{self.path}: a zip archive whose file is neither stored nor deflated",
                        hint="unpack it by hand",
                    )
                with archive.open(members[0]) as lines:
                    while piece := lines.read(_CHUNK):
                        self._check_ratio(piece)
                        yield piece
        except _UNZIPPABLE as error:
            raise InputError(
                f"{self.path}: the zip archive is damaged or of a kind that is not read "
                f"({shown(str(error) or type(error).__name__)}); none of its lines can be trusted",
                hint="fetch the recording again; unpack it by hand to see what is left",
            ) from error

    def _unpacked(
        self, compression: _Compression, piece: bytes, pieces: Iterator[bytes]
    ) -> Iterator[bytes]:
        """Streams of a compressed file one after the other; zeros behind the last are padding."""
        self.compression = compression.name
        while piece:
            stream = compression.begin()
            while not stream.eof:
                try:
                    data = stream.decompress(piece, BLOCK_BYTES)
                except compression.damaged as error:
                    raise InputError(
                        f"{self.path}: the {compression.name} data is damaged within its first "
                        f"{self.bytes} bytes ({error}); none of its lines can be trusted",
                        hint="fetch the recording again; unpack it by hand to see what is left",
                    ) from error
                if data:
                    self._check_ratio(data)
                    yield data
                piece = b""
                if stream.needs_input and not stream.eof:
                    piece = next(pieces, b"")
                    if not piece:
                        self.truncated_at = self.bytes
                        return
            piece = stream.unused_data.lstrip(b"\0")
            while not piece and (more := next(pieces, b"")):
                piece = more.lstrip(b"\0")


def opened(
    path: Path, time_field: str | None = None, identities: Identities | None = None
) -> RecordingFile | JournalRecording:
    """A pass over a recording, or over a journal as one."""
    if is_journal(path):
        return JournalRecording(path, identities)
    return RecordingFile(path, time_field)


_LOOK_BYTES = 1 << 24
_NAMED = 20
_FILES = 4
BINANCES = "the messages are to be Binance's: depthUpdate, trade, aggTrade, bookTicker"


@dataclass(frozen=True, slots=True)
class Probe:
    """A recording's file before it is read.

    ``stamps`` is None where nothing is in it, ``symbol`` where its beginning names none; ``why``
    says why. ``simulation`` is what says that it was simulated, None where nothing does; ``sample``
    the golden sample, ``session`` the capture that it is a journal of.
    """

    path: Path
    stamps: Stamps | None
    symbol: str | None
    simulation: Mapping[str, Any] | None = None
    why: str = ""
    sample: GoldenSample | None = None
    session: SessionDocument | None = None
    time_field: str | None = None
    identities: Identities | None = None
    shape: str = ""
    """What it is taken for, in words."""
    table: Table | None = None
    """The download of Binance's that it is."""

    @property
    def provenance(self) -> str:
        """``real`` unless something says otherwise.

        Messages that are made of a download's rows are ``derived``: no venue sent them.
        """
        if self.simulation is not None:
            return "synthetic"
        if self.table is not None:
            return "derived"
        return "real" if self.session is None else self.session.provenance

    @property
    def snapshot_limit(self) -> int | None:
        """Levels a side that its snapshots were asked for, where something knows it."""
        if self.session is not None:
            return self.session.snapshot_limit
        return (self.simulation or {}).get("snapshot_limit")

    @property
    def first_ns(self) -> int:
        """Receive time of its first line; 0 without one."""
        return self.stamps.first_ns if self.stamps else 0


def probe(path: Path, time_field: str | None = None, identities: Identities | None = None) -> Probe:
    """Look at the beginning of a file; InputError if it holds something else than a recording."""
    stamps: Stamps | None = None
    simulation = simulation_of(path)
    session = session_of(path) if is_journal(path) else None
    folder = sample_of(path)
    sample = None if folder is None else GoldenSample.load(folder, damaged=True)
    first, number = b"", 1
    looked = 0
    lost = ""

    def made(symbol: str | None = None, why: str = "") -> Probe:
        taken = file.shape.described(file.compression)
        return Probe(
            *(path, stamps, symbol, simulation, why, sample, session, time_field),
            identities=identities,
            shape=taken,
            table=file.shape.table,
        )

    file = opened(path, time_field, identities)
    for data in file:
        lost = lost or next(iter(file.breaks), "")
        if not first:
            head = data.lstrip()
            first = head.partition(b"\n")[0]
            number += data[: len(data) - len(head)].count(b"\n")
            simulation = simulation or read_mark(first)
        stamps = stamps or stamps_of(data)
        if stamps is not None:
            stamps = replace(stamps, unit=file.shape.unit or stamps.unit)
        if stamps is None and first:
            if file.truncated_at is not None and b"\n" not in data:
                break  # it broke off within its first line
            raise no_recording(data, path, file.shape)
        for line in data.splitlines():
            symbol = symbol_of(line)
            if symbol is not None and is_name(symbol):
                return made(symbol=symbol)
        looked += len(data)
        if looked > _LOOK_BYTES:
            break
    if stamps is not None:
        why = f"line {number:,} {_unread(first)}"
    elif file.truncated_at is not None:
        why = (
            f"the {file.compression} data breaks off at byte {file.truncated_at}, in line {number}"
        )
    elif lost:
        why = lost
    elif file.shape.table is not None:
        why = "it has a header and no row"
    else:
        why = "it has nothing but blank lines" if looked else "the file is empty"
    return made(why=why)


def _unread(line: bytes) -> str:
    """Why a line that is not blank is no market-data message."""
    stamp = split_stamp(line)
    if stamp is None:
        return f"has no receive time: {_begins(line)}"
    try:
        check_json(stamp[1])
    except Problem as problem:
        return f"cannot be read: {problem.reason}: {problem.detail}"
    return f"names no symbol: {_begins(stamp[1])}"


def no_lines_of(what: str, probes: Sequence[Probe], hint: str) -> InputError:
    """The error for files of which none has what is wanted: each with why that is."""
    shown = [f"{one.path}: {one.why or f'it is of {one.symbol}'}" for one in probes[:_FILES]]
    more = len(probes) - len(shown)
    told = f"; and {more:,} more files" if more else ""
    return InputError(f"no {what} in {'; '.join(shown)}{told}", hint=hint)


def few(names: Iterable[str]) -> str:
    """Names from a recording as a screen can bear them."""
    chosen = list(islice(names, _NAMED + 1))
    more = ", …" if len(chosen) > _NAMED else ""
    return ", ".join(shown(name, QUOTED) for name in chosen[:_NAMED]) + more


_SYMBOLS = re.compile(
    rb'"stream": ?"([^"\\!@]+)@(?:depth|trade|aggTrade|bookTicker|snapshot)'
    rb'|"e": ?"(?:depthUpdate|trade|aggTrade|bookTicker)"[^{}\[\]]{0,99}?"s": ?"([^"\\]+)"'
    rb'|"u": ?[0-9]+, ?"s": ?"([^"\\]+)"'
)
"""Symbols of market data; a venue's list of all that it trades is none."""


def symbols_in(
    path: Path,
    time_field: str | None = None,
    identities: Identities | None = None,
    *,
    whole: bool = True,
) -> list[str]:
    """The symbols whose messages a file, or its beginning, holds, in order of appearance."""
    seen: dict[str, None] = {}
    looked = 0
    for data in opened(path, time_field, identities):
        found = dict.fromkeys(name for names in _SYMBOLS.findall(data) for name in names if name)
        names = (name.decode("utf-8", "backslashreplace").upper() for name in found)
        seen.update((name, None) for name in names if is_name(name))
        looked += len(data)
        if not whole and looked > _LOOK_BYTES:
            break
    return list(seen)


def probe_all(
    files: Sequence[Path],
    symbol: str | None,
    time_field: str | None = None,
    identities: Identities | None = None,
) -> tuple[list[Probe], str]:
    """The files by their first stamps, and the symbol: the given one or the first named.

    Raises
    ------
    InputError
        When a file is no recording, all are empty, or none names a symbol.
    UsageError
        Without files.
    """
    if not files:
        raise UsageError("no files to import", hint="name the recording's files")
    probes = sorted(
        (probe(Path(p), time_field, identities) for p in files),
        key=lambda p: (p.first_ns, p.path.name),
    )
    if not any(p.stamps for p in probes):
        raise no_lines_of("line", probes, "fetch the recording again")
    named = symbol.upper() if symbol else next((p.symbol for p in probes if p.symbol), None)
    if named is None:
        raise no_lines_of("market-data line", probes, BINANCES)
    if not is_name(named):
        raise UsageError(f"'{shown(named, QUOTED)}' cannot name a symbol", hint=NAME_HINT)
    return probes, named
