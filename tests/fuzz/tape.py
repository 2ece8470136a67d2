"""An extract as a recording's lines, to be spoilt and written, and what is true of it then."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz.oracle import LEVELS, MS, Extract, Int64, Sides, text_of

DEPTH, TRADE, SNAPSHOT, OTHER = "depth", "trade", "snapshot", "other"
SECOND = 1_000_000_000


class UnfitError(Exception):
    """A mutation finds nothing here that it could happen to."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line: receive time as it stands there, and a document, or the bytes that stand instead."""

    stamp: int
    kind: str
    document: Any = None
    version: int = -1
    """Of a depth message or a snapshot: the book after it."""
    raw: bytes | None = None
    """What stands behind the stamp instead of the document; with ``bare`` the whole line."""
    bare: bool = False
    ours: bool = True
    """Of the symbol that is asked for."""

    def line(self) -> bytes:
        """With its end."""
        body = json.dumps(self.document, separators=(",", ":")).encode()
        body = body if self.raw is None else self.raw
        return (body if self.bare else b"%d " % self.stamp + body) + b"\n"

    @property
    def data(self) -> dict[str, Any]:
        """The payload."""
        assert isinstance(self.document, dict)
        data: dict[str, Any] = self.document.get("data", self.document)
        return data

    def changed(self, **fields: Any) -> Entry:
        """With other fields in its payload."""
        data = {**self.data, **fields}
        document = {**self.document, "data": data} if "data" in self.document else data
        return replace(self, document=document)


@dataclass
class Known:
    """What is true: which versions an update id stands for, and what nobody could see.

    ``ids``: update id → versions. ``slack``: how far, in ns, a row's time may lie from the true
    one. ``unseen``: nothing in the input tells the lie (a changed row inside a chained message).
    ``lies``: update ids of snapshots that list what is not so, to anchor on one of which is no
    fault where nothing follows that contradicts. ``spots``: times in ns worth looking at.
    """

    extract: Extract
    ids: dict[int, set[int]]
    slack: int = 3 * SECOND
    unseen: bool = False
    lies: set[int] = field(default_factory=set)
    spots: list[int] = field(default_factory=list)
    shifts: list[tuple[int, int]] = field(default_factory=list)
    """From a version on, the true time is so much later."""
    lost: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """Crypto Lake: side and price of a level → versions whose change of it is not there."""
    evidence: list[int] = field(default_factory=list)
    """Crypto Lake: versions of which a true row of `book` is there."""
    ahead: set[int] = field(default_factory=set)
    """Of those the ones whose row has an id above its own: it waits for the next message."""
    listed: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)
    """Crypto Lake: side and price → version and size that a row of `book` lists, and is not so."""
    split: set[tuple[int, int, int]] = field(default_factory=set)
    """Crypto Lake: version, side and price of rows that come under an id of their own, after it."""
    believed: bool = False
    """Crypto Lake: the strategy takes `book` for the truth."""
    more: list[tuple[int, Sides]] = field(default_factory=list)
    """Books that lie between two versions: the version before, and the book."""

    @classmethod
    def of(cls, extract: Extract) -> Known:
        """Of what is not spoilt."""
        ids: dict[int, set[int]] = {}
        for version, number in enumerate(extract.ids.tolist()):
            ids.setdefault(number, set()).add(version)
        return cls(extract, ids)

    def also(self, number: int, version: int) -> None:
        """An id that stands for a version too."""
        if version >= 0:
            self.ids.setdefault(number, set()).add(version)

    def between(self, number: int, version: int, book: Sides) -> None:
        """An id between two messages, whose book is neither's."""
        self.ids[number] = {self.extract.versions + len(self.more)}
        self.more.append((version, book))

    def time(self, version: int) -> int:
        """Its true time, ns; of one behind the last that of the last."""
        count = self.extract.versions
        if version >= count:
            beyond = version - count
            version = self.more[beyond][0] if beyond < len(self.more) else count - 1
        return int(self.extract.times[version]) + sum(
            by for since, by in self.shifts if version >= since
        )

    def at(self, version: int) -> Sides:
        """The whole book of a version."""
        count = self.extract.versions
        return self.extract.at(version) if version < count else self.more[version - count][1]

    @property
    def levels(self) -> Int64:
        """Twenty levels a side of each version, those between included."""
        rows = [self.extract.levels]
        for _, book in self.more:
            tops = sorted(book[0].items(), reverse=True)[:LEVELS], sorted(book[1].items())[:LEVELS]
            row = np.zeros((1, 4 * LEVELS), np.int64)
            for k, top in enumerate(tops):
                pairs = [value for pair in top for value in pair]
                row[0, 2 * LEVELS * k : 2 * LEVELS * k + len(pairs)] = pairs
            rows.append(row)
        return np.concatenate(rows)


Files = dict[str, bytes]


@dataclass
class Tape:
    """A recording that is spoilt step by step."""

    extract: Extract
    rng: Random
    entries: list[Entry]
    known: Known
    options: dict[str, Any] = field(default_factory=dict)
    """Of the import."""
    cutters: list[Callable[[list[Entry]], list[list[Entry]]]] = field(default_factory=list)
    """What makes several files of the lines."""
    manglers: list[Callable[[Files], Files]] = field(default_factory=list)
    """What happens to the files' bytes."""

    @classmethod
    def of(cls, extract: Extract, rng: Random) -> Tape:
        """The lines as they are, with a snapshot of the opening book."""
        entries = [
            Entry(line.stamp, line.kind, line.document, line.version) for line in extract.lines
        ]
        tape = cls(extract, rng, entries, Known.of(extract))
        tape.insert(tape.snapshot(0), tape.place(0) + 1)
        return tape

    # where things are -------------------------------------------------------------------------

    def rows(self, kind: str) -> list[int]:
        """Where our lines of a kind stand."""
        return [k for k, one in enumerate(self.entries) if one.kind == kind and one.ours]

    def depths(self) -> list[int]:
        """Where depth messages behind the opening stand that are whole."""
        return [
            k
            for k, one in enumerate(self.entries)
            if one.kind == DEPTH and one.version > 0 and one.raw is None and one.ours
        ]

    def some(self, kind: str, most: int = 5, run: int = 1) -> list[int]:
        """Rows of one to ``most`` random messages of a kind, or of runs of so many."""
        rows = self.depths() if kind == DEPTH else self.rows(kind)
        if len(rows) < 3:
            raise UnfitError
        chosen: set[int] = set()
        for _ in range(self.rng.randint(1, most)):
            start = self.rng.randrange(1, len(rows))
            chosen.update(rows[start : start + self.rng.randint(1, run)])
        self.spot(*chosen)
        return sorted(chosen)

    def place(self, version: int) -> int:
        """Where the message of a version stands, or the last one before it that is left."""
        found = -1
        for k, one in enumerate(self.entries):
            if one.kind == DEPTH and one.ours and one.version <= version:
                found = k
        return found

    def spot(self, *rows: int) -> None:
        """Times around rows are worth looking at."""
        for row in rows:
            if self.entries[row].version >= 0:
                self.known.spots.append(self.known.time(self.entries[row].version))

    def version(self, low: float = 0.1, high: float = 0.9) -> int:
        """A random version in a part of the extract."""
        count = self.extract.versions
        return self.rng.randrange(max(int(low * count), 1), max(int(high * count), 2))

    # what is done -----------------------------------------------------------------------------

    def insert(self, entry: Entry, row: int) -> None:
        """Put a line before a row, under a receive time between its neighbours'."""
        near = self.entries[min(max(row - 1, 0), len(self.entries) - 1)]
        self.entries.insert(row, replace(entry, stamp=near.stamp))

    def drop(self, rows: Sequence[int]) -> None:
        """Take lines away."""
        gone = set(rows)
        self.entries = [one for k, one in enumerate(self.entries) if k not in gone]

    def document(
        self, book: Sides, number: int, limit: tuple[int, int], version: int
    ) -> dict[str, Any]:
        """A REST snapshot of a book, best first, with at most so many levels a side."""
        price_digits, size_digits = self.extract.digits
        listed = [sorted(book[0].items(), reverse=True), sorted(book[1].items())]
        sides = [
            [[text_of(p, price_digits), text_of(s, size_digits)] for p, s in side[:most]]
            for side, most in zip(listed, limit, strict=True)
        ]
        document: dict[str, Any] = {"lastUpdateId": number}
        if self.extract.futures:
            time = self.known.time(version) // MS
            document |= {"E": time, "T": time}
        return document | {"bids": sides[0], "asks": sides[1]}

    def snapshot(
        self,
        version: int,
        limit: tuple[int, int] = (1000, 1000),
        *,
        number: int | None = None,
        book: Sides | None = None,
    ) -> Entry:
        """A snapshot of a version, or of another book under its id."""
        known = int(self.extract.ids[version]) if number is None else number
        listed = self.extract.at(version) if book is None else book
        return Entry(0, SNAPSHOT, self.document(listed, known, limit, version), version)

    def write(self, folder: Path) -> list[Path]:
        """The recording's files, gzip."""
        groups = [self.entries]
        for cut in self.cutters:
            groups = [part for group in groups for part in cut(group) if part]
        names = [f"part_{k}.gz" for k in range(len(groups))]
        lines = {
            name: b"".join(one.line() for one in group)
            for name, group in zip(names, groups, strict=True)
        }
        files = {name: gzip.compress(text, 1) for name, text in lines.items()}
        for mangle in self.manglers:
            files = mangle(files)
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return [folder / name for name in files]
