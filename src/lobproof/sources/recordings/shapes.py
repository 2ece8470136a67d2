"""The shape that a recorder gave its lines: told from a file's beginning, and made plain.

Everything behind this module reads ``<ns> <JSON>``, a line a message.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from itertools import chain

import msgspec
import numpy as np

from lobproof.schema import Int64
from lobproof.schema.records import zeroed
from lobproof.sources.binance.decode import split_stamp
from lobproof.sources.binance.scan_kernels import (
    NINE,
    QUOTE,
    ZERO,
    Bytes,
    as_bytes,
    read_moment,
)
from lobproof.sources.recordings.downloads import Table, table_of
from lobproof.sources.recordings.shape_kernels import (
    LINE_MORE,
    NEWLINE,
    PARTS,
    SPLIT,
    plain_lines,
    split_elements,
)

_UNITS = {10: "s", 13: "ms", 16: "µs", 19: "ns"}
_LOOKED_AT = 200
"""Lines of a file that tell its shape."""
_RECEIVED = re.compile("rec|local|captur|arriv|ingest|collect", re.IGNORECASE)
_TIMED = re.compile("time|date|stamp|^ts|ts$", re.IGNORECASE)
_EXCHANGES = ("E", "T")
"""The exchange's own times in a message, where there is no receive time."""
_NO_TIMES = ("id", "lastUpdateId")
_ARRAY = re.compile(rb"\s*\[\s*[\[{\]]")
_SPREAD = re.compile(rb"\s*\{\s*\n")
_ADDRESS = re.compile(rb"configuration: |\S+ (?:->|<-|<->) [0-9]")
_SEEN = 64
_STAMPED = 256
"""Bytes of a line in which its time and the first name behind it stand."""
MAX_LINE_BYTES = 1 << 26
_HEAD_BYTES = 1 << 20
_ENVELOPED = re.compile(rb'[0-9]+[^{"\[]*\{\s*"(?:stream|lobproof)"')


@dataclass(slots=True)
class Shape:
    """What a file's lines are taken for.

    ``field`` is the member that holds the receive time: "" where the time stands before the JSON,
    None where no line has one at all; ``fields``
    are the members of its objects. ``own``: it is the exchange's time, in the message itself.
    """

    lines: str = "lines"
    field: str | None = None
    own: bool = False
    guessed: bool = False
    table: Table | None = None
    """The download of Binance's whose rows they are."""
    unit: str = ""
    payloads: str = ""
    encoding: str = ""
    fields: list[str] = dataclass_field(default_factory=list)

    def described(self, compression: str) -> str:
        """For the screen: the lines, their time, what they carry, and how the file is packed."""
        how = f"{self.unit}, guessed" if self.guessed else self.unit
        if self.table is not None:
            time = f"no receive time, the exchange's in column `{self.field}` ({how}) stands for it"
        elif self.own:
            time = f"no receive time, the exchange's in field `{self.field}` ({how}) stands for it"
        elif self.field:
            time = f"time in field `{self.field}` ({how})"
        elif self.field == "":
            time = f"time before the JSON ({how})"
        else:
            time = "no time in its beginning"
        parts = (self.lines, time, self.payloads, self.encoding, compression)
        return ", ".join(part for part in parts if part)


def unit_of(token: bytes) -> str:
    """The unit of a time as it is written: its digits tell; "" where it is none."""
    token = token.strip(b'"')
    return _unit(token) if token and _read(token)[1] == len(token) else ""


def _unit(stamped: bytes) -> str:
    """The unit of the time that something begins with."""
    return _UNITS.get(len(stamped) - len(stamped.lstrip(b"0123456789")), "ISO")


def decoded(pieces: Iterator[bytes], shape: Shape) -> Iterator[bytes]:
    """The same as UTF-8, without a byte order mark."""
    first = next(pieces, b"")
    while len(first) < 4 and (more := next(pieces, b"")):
        first += more
    name = _utf16(first)
    if name is None:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from pieces
        return
    shape.encoding = "UTF-16"
    decoder = codecs.getincrementaldecoder(name)("backslashreplace")
    yield decoder.decode(first).removeprefix("\ufeff").encode()
    for piece in pieces:
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", final=True).encode()


def _utf16(first: bytes) -> str | None:
    """UTF-16 by its mark, or since every second byte of what begins as ASCII is 0."""
    if first.startswith(codecs.BOM_UTF16_LE) or (first[1:4:2] == b"\0\0" and first[0]):
        return "utf-16-le"
    if first.startswith(codecs.BOM_UTF16_BE) or (first[:3:2] == b"\0\0" and first[1]):
        return "utf-16-be"
    return None


def of_download(pieces: Iterator[bytes], shape: Shape) -> Iterator[bytes]:
    """The same; ``shape`` says of which of Binance's downloads the first line is a row or header.

    That is known as soon as the first piece is asked for.
    """
    head = bytearray()
    while b"\n" not in head and len(head) < _STAMPED and (piece := next(pieces, b"")):
        head += piece
    first = bytes(head[: 4 * _STAMPED]).split(b"\n", 1)[0]
    table = shape.table = table_of(first)
    if table is not None:
        rows = head.split(b"\n", 2)
        units = (unit_of_row(bytes(row), table) for row in rows[:2])
        shape.lines, shape.field, shape.own = f"Binance's {table.name} download", table.time, True
        shape.unit = next((unit for unit in units if unit), "")
    yield bytes(head)
    yield from pieces


def unit_of_row(row: bytes, table: Table) -> str:
    """The unit of the time in a row of a download; "" where it is none."""
    found = re.match(table.row, row.decode("utf-8", "backslashreplace"))
    return "" if found is None else _UNITS[len(found[table.time])]


def split(pieces: Iterator[bytes], shape: Shape) -> Iterator[bytes]:
    """The same, with the elements of an array, or values that span lines, as a line each."""
    for first in pieces:
        if first.strip():
            break
        yield first
    else:
        return
    array, spread = _ARRAY.match(first), _SPREAD.match(first)
    if array is None and spread is None:
        yield first
        yield from pieces
        return
    shape.lines = "JSON over several lines" if array is None else "a JSON array"
    state = zeroed(SPLIT)[0]
    for piece in chain((first,), pieces):
        out = np.empty(2 * len(piece) + 1, np.uint8)
        yield out[: split_elements(np.frombuffer(piece, np.uint8), state, out)].tobytes()


class Plain:
    """Makes the blocks of one file plain, as its beginning tells its shape.

    Parameters
    ----------
    shape
        What is known of it; what the beginning tells is added.
    time_field
        The member that holds the receive time; None: it is guessed.
    """

    def __init__(self, shape: Shape, time_field: str | None) -> None:
        self._shape = shape
        self._given = time_field
        self._field = np.zeros(0, np.uint8)
        self._parts = zeroed(PARTS)[0]

    @property
    def untimed(self) -> int:
        """Lines without the exchange's time, where that stands for the receive time."""
        return int(self._parts.untimed)

    def begun(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same, after a look at the beginning."""
        head = bytearray()
        while len(head) < _HEAD_BYTES or (len(head) < MAX_LINE_BYTES and b"\n" not in head):
            piece = next(pieces, None)
            if piece is None:
                break
            head += piece
        self._look(bytes(head[: max(_HEAD_BYTES, head.find(b"\n"))]))
        yield bytes(head)
        yield from pieces

    def __call__(self, block: bytes) -> bytes:
        """The lines of a block, each as ``<ns> <JSON>`` where it has one of the shapes."""
        buffer = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(buffer == NEWLINE)
        if len(buffer) and buffer[-1] != NEWLINE:
            ends = np.append(ends, len(buffer))
        if _are_plain(buffer, ends):
            return block
        out = np.empty(len(buffer) + LINE_MORE * len(ends), np.uint8)
        used = plain_lines(buffer, ends, self._field, self._shape.own, self._parts, out)
        return out[:used].tobytes()

    def _look(self, head: bytes) -> None:
        """What the first lines are, and which of their members is the time."""
        shape = self._shape
        whole = head.splitlines()[:_LOOKED_AT]
        lines = [line.strip() for line in whole]
        lines = [line for line in lines if line]
        objects = [found for line in lines if (found := _members(line))]
        stamped = next((line for line in lines if split_stamp(line) is not None), None)
        listed = next((parts[0] for line in lines if (parts := _elements(line))), None)
        if any(_ADDRESS.match(line) for line in lines):
            shape.lines = "cryptofeed's raw dump"
        if objects:
            self._guess(objects)
        if stamped is not None and (shape.field is None or stamped is lines[0]):
            shape.field, shape.own, shape.guessed = "", False, False
            shape.unit = _unit(stamped)
        elif listed is not None and shape.field is None:
            shape.field, shape.unit = "", unit_of(listed)
            shape.lines = "JSON lines" if shape.lines == "lines" else shape.lines
        elif objects and shape.lines == "lines":
            shape.lines = "JSON lines"
        first = int(self._parts.last)
        shape.payloads = self._payloads(whole)
        self._parts.last = first

    def _guess(self, objects: Sequence[dict[str, msgspec.Raw]]) -> None:
        """The member that is the time: the given one, or one that is named and reads like one."""
        shape = self._shape
        bare = any("e" in found or "u" in found for found in objects)
        times: Counter[str] = Counter()
        for found in objects:
            times.update(name for name, value in found.items() if unit_of(bytes(value)))
        shape.fields = list(dict.fromkeys(name for found in objects for name in found))
        if self._given is not None:
            ranked = [self._given] if times[self._given] else []
        else:
            ranked = sorted(
                (
                    name
                    for name, count in times.items()
                    if name not in _NO_TIMES
                    and not (bare and len(name) == 1)
                    and 2 * count >= len(objects)
                ),
                key=lambda name: (not _RECEIVED.search(name), not _TIMED.search(name)),
            )
        own = [(name, value) for name in _EXCHANGES for value in _own(objects, name)]
        if self._given is not None:
            own = [one for one in own if one[0] == self._given]
        if ranked and not (own and ranked[0] in _EXCHANGES):
            shape.field = ranked[0]
            value = next(found[ranked[0]] for found in objects if ranked[0] in found)
        elif own:
            shape.field, value = own[0]
            shape.own = True
            self._parts.last = _read(bytes(value).strip(b'"'))[0]
        else:
            return
        shape.guessed = self._given is None
        shape.unit = unit_of(bytes(value))
        self._field = as_bytes(shape.field)

    def _payloads(self, lines: Sequence[bytes]) -> str:
        """Whether messages stand in their stream's envelope; a snapshot of REST has none."""
        own = [
            line
            for line in self(b"\n".join(lines)).splitlines()
            if line[:1].isdigit() and b'{"lastUpdateId' not in line[:_SEEN]
        ]
        enveloped = sum(_ENVELOPED.match(line[:_STAMPED]) is not None for line in own)
        self._parts.untimed = 0
        if not own:
            return ""
        bare = len(own) > enveloped
        how = "raw" if not enveloped else "enveloped and raw" if bare else "enveloped"
        return f"{how} payloads"


def _are_plain(buffer: Bytes, ends: Int64) -> bool:
    """Whether all lines begin with a time and end in JSON: no kernel is compiled to find that."""
    starts = np.concatenate(([0], ends[:-1] + 1))
    filled = ends > starts
    starts, stops = starts[filled], ends[filled]
    first, last, before = buffer[starts], buffer[stops - 1], buffer[np.maximum(stops - 2, starts)]
    quoted = (last == QUOTE) | (before == QUOTE)  # a text behind the time, or CR behind that
    return not np.any((first < ZERO) | (first > NINE) | quoted)


def _members(line: bytes) -> dict[str, msgspec.Raw]:
    """The members of a line that is an object; none of any other line."""
    try:
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _elements(line: bytes) -> list[bytes]:
    """The elements of a line that is an array of a time and more; none of any other line."""
    try:
        found = [bytes(one) for one in msgspec.json.decode(line, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return found if len(found) > 1 and unit_of(found[0]) else []


def _own(objects: Iterable[dict[str, msgspec.Raw]], name: str) -> Iterator[msgspec.Raw]:
    """What messages bear as the exchange's time, within two wrappings."""
    for found in objects:
        for _ in range(3):
            if name in found and "e" in found and unit_of(bytes(found[name])):
                yield found[name]
            inner = [members for value in found.values() if (members := _members(bytes(value)))]
            if len(inner) != 1:
                break
            found = inner[0]


def _read(token: bytes) -> tuple[int, int]:
    """As the kernel ``read_moment`` reads it."""
    time, behind = read_moment(np.frombuffer(token, np.uint8), 0, len(token))
    return int(time), int(behind)
