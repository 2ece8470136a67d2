"""Whether journals hold what their documents say, and every break of their ids is marked.

A capture marks each break right where it is: a line `gap` or `reset` before the message behind it,
a line `lost` where lines of its own could not be held. Here the ids are judged anew, by the
importer's judge, and held against those lines. A golden sample's journals are held against the
counts, the chain and the hashes of its document.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lobproof.errors import LobproofError, place_error, shown
from lobproof.files import below, file_sha256
from lobproof.schema.records import Records
from lobproof.sources.age import Identities
from lobproof.sources.binance.backfill import STREAM as ANSWERS
from lobproof.sources.binance.backfill import Weave
from lobproof.sources.binance.journal import (
    JournalFile,
    Loss,
    WrongIdentityError,
    is_encrypted,
    read_frames,
    walk_encrypted,
)
from lobproof.sources.binance.sbe import SBE_KINDS
from lobproof.sources.binance.scan_kernels import (
    AGGREGATE,
    CONTROL,
    DEPTH,
    FOREIGN,
    INVALID,
    SNAPSHOT,
    TICKER,
    TRADE,
)
from lobproof.sources.binance.scanner import Block, Scanner
from lobproof.sources.binance.source import KINDS, GoldenSource, count_messages
from lobproof.sources.captured import SESSION
from lobproof.sources.collection.found import IMPORTED, Found, FoundSession, Unreadable
from lobproof.sources.golden import DOCUMENT, JOURNAL_FOLDER, GoldenSample
from lobproof.sources.recordings.audit import MAX_LISTED, IdAudit
from lobproof.sources.recordings.intake import LineWriter

_NAMED = 5
"""Breaks of a symbol that are named; the others are counted."""
_MONO = re.compile(rb'^(\{"capture_ns":[0-9]+),"mono_ns":[0-9]+', re.MULTILINE)
_COPY = re.compile(
    rb'^\{"capture_ns":[0-9]+,"mono_ns":[0-9]+,"stream":"control","conn":[0-9]+,"event":"copy",.*$',
    re.MULTILINE,
)
_STREAM = re.compile(rb'"stream":"([^"\\]*)"')
_CUT_OFF = "the file ends inside a frame"
_UNLISTED = {
    "running": "the session runs: hashes and counts are listed as it ends",
    "killed": "the session was killed: no hashes and counts are listed",
}


@dataclass(slots=True)
class Checked:
    """What a check found of a symbol of a capture, of a golden sample, or of what is neither.

    ``state`` is a capture's, or ``imported``; empty of what cannot be read. ``failures``: what is
    not as it is said to be, or a break without a mark; ``unproven``: what there is no evidence of;
    ``notes``: losses that are marked.
    """

    folder: Path
    name: str
    state: str = ""
    lines: int = 0
    marked: int = 0
    failures: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """``failed``, ``unproven`` or ``whole``."""
        return "failed" if self.failures else "unproven" if self.unproven else "whole"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": str(self.folder),
            "name": self.name,
            "state": self.state,
            "verdict": self.verdict,
            "lines": self.lines,
            "marked": self.marked,
            "failures": self.failures,
            "unproven": self.unproven,
            "notes": self.notes,
        }


def check(
    found: Found, reading: Callable[[Path], None], identities: Identities | None = None
) -> Iterator[Checked]:
    """Check a capture, symbol by symbol, or a golden sample; ``reading`` is told each file.

    An encrypted journal that no identity decrypts is held against its hash and looked at for whole
    frames; what that does not tell is unproven.
    """
    if isinstance(found, FoundSession):
        for name in found.names:
            said = _Journal(found, name, reading, identities).checked()
            if said.name in found.document.symbols or said.lines or said.verdict != "whole":
                yield said
    elif isinstance(found, GoldenSample):
        yield _checked_sample(found, reading)
    else:
        yield _unreadable(found)


def _unreadable(found: Unreadable) -> Checked:
    return Checked(found.folder, "-", failures=[found.why])


class _Control(msgspec.Struct):
    """A control line, as far as it tells of a break."""

    stream: str
    event: str = ""
    of: str = ""
    after: int = -1
    before: int = -1
    lines: int = 0


class _Ids:
    """The ids of a stream, and the marks of its breaks.

    A *hole* is a place where lines are missing of the journal, and that is known: the first
    message behind it may be a break without a mark.
    """

    def __init__(self, what: str, *, may_reset: bool) -> None:
        self.what = what
        self.audit = IdAudit(may_reset=may_reset)
        self.marks: Counter[tuple[int, int]] = Counter()
        self.gaps_told = self.resets_told = self.marked = self.breaks = 0
        self.named: list[str] = []
        self.holes = 0
        self._hole = False

    def tell(self, line: _Control) -> None:
        """Take a mark, which stands before its message."""
        if line.event == "reset":
            self.resets_told += 1
        else:
            self.gaps_told += 1
            self.marks[line.after, line.before] += 1

    def hole(self) -> None:
        """Lines are missing here: also the message of a mark that has just been read."""
        self.holes += 1
        self._hole = True
        for mark in [one for one in self.marks if one[0] == self.audit.last]:
            del self.marks[mark]

    def add(self, rows: Records) -> None:
        """Take the next messages, behind the marks between them."""
        if len(rows) and self._hole:
            self._judge(rows[:1], behind_hole=True)
            self._hole, rows = False, rows[1:]
        for start in range(0, len(rows), MAX_LISTED):
            self._judge(rows[start : start + MAX_LISTED], behind_hole=False)

    def _judge(self, rows: Records, *, behind_hole: bool) -> None:
        previous = np.ascontiguousarray(rows["previous"])
        self.audit.add(previous + 1, rows["final"], previous, rows["event"])
        listed, self.audit.listed = self.audit.listed, []
        for one in listed:
            gap = one["after"], one["next"]
            if behind_hole:  # what was lost may have been told with other ids, or not at all
                gap = next((mark for mark in self.marks if mark[1] == gap[1]), gap)
            if gap in self.marks:
                self.marks[gap] -= 1
                self.marks += Counter()
                self.marked += 1
            elif not behind_hole:
                self._break(f"ids {gap[0] + 1} to {gap[1] - 1} are missing, and no line says so")

    def _break(self, text: str) -> None:
        self.breaks += 1
        if len(self.named) < _NAMED:
            self.named.append(f"{self.what}: {text}")

    def failures(self) -> list[str]:
        """Breaks without a mark, and marks without a break."""
        for after, before in self.marks.elements():
            self._break(f"a gap after id {after}, before {before}, is told, and there is none")
        resets = int(self.audit.to_dict()["resets"])
        if resets != self.resets_told and not self.holes:
            told = f"{resets:,} resets, and {self.resets_told:,} lines that say so"
            self.named.append(f"{self.what}: {told}")
        more = self.breaks - min(self.breaks, _NAMED)
        return [*self.named, *([f"{self.what}: {more:,} more such breaks"] if more else [])]


class _Journal:
    """A journal of a capture: a symbol's, or that of what belongs to no symbol."""

    def __init__(
        self,
        found: FoundSession,
        name: str,
        reading: Callable[[Path], None],
        identities: Identities | None,
    ) -> None:
        self._found, self._name, self._reading = found, name, reading
        self._identities = identities
        self._closed = 0  # frames that are encrypted, and that nothing decrypts
        symbol, _, journal = name.partition("/")
        self._symbol = symbol if journal else ""
        self._said = Checked(found.folder, symbol, found.state)
        document, figures = found.document, found.figures
        if figures is not None and document.state == "failed" and not figures.journals:
            figures = None  # the disk did not take the last lines: what is counted is not there
        self._figures = figures
        self._ids = {
            DEPTH: _Ids("depth", may_reset=True),
            TRADE: _Ids("trade", may_reset=False),
        }
        self._scanner = Scanner(symbol, (DEPTH, TRADE))
        self._streams = LineWriter(symbol)
        self._others: Counter[str] = Counter()  # lines that the scanner does not take, by stream
        self._unreadable = 0
        self._lost = self._most = 0

    def checked(self) -> Checked:
        """Read all files and hold them against the session's document."""
        said, document, figures = self._said, self._found.document, self._figures
        if document.purged_ns:
            said.unproven.append("its journals were purged: nothing is left to check")
            return said
        here = self._found.journals(self._name)
        listed: dict[str, JournalFile] | None = None
        if figures is not None:
            listed = {one.name: one for one in figures.journals.get(self._name, [])}
            there = {path.name for path in here}
            said.failures += [f"{one} is missing" for one in sorted(listed.keys() - there)]
            extra = sorted(there - listed.keys())
            said.failures += [f"{one}: {SESSION} does not list it" for one in extra]
        for path in here:
            self._file(path, listed, last=path == here[-1])
        if document.state in _UNLISTED and (here or self._symbol):
            said.unproven.append(_UNLISTED[document.state])
        elif figures is None and (here or self._symbol):
            said.unproven.append(
                f"{SESSION} lists no journals: the session failed ({document.why})"
            )
        if self._closed:
            said.unproven.append(
                f"{self._closed:,} frames are encrypted: their checksums, lines, ids and marks "
                "were not looked at (--identity)"
            )
        elif self._symbol:
            self._hold_marks()
        return said

    def _file(self, path: Path, listed: dict[str, JournalFile] | None, *, last: bool) -> None:
        said = self._said
        self._reading(path)
        try:
            below(self._found.folder, f"{self._name}/{path.name}")
            size = path.stat().st_size
            if listed is not None and path.name in listed:
                one = listed[path.name]
                if size != one.bytes:
                    said.failures.append(
                        f"{path.name} has {size:,} bytes, {SESSION} lists {one.bytes:,}"
                    )
                elif (seen := file_sha256(path)) != one.sha256:
                    said.failures.append(
                        f"{path.name}: its SHA-256 is {seen}, {SESSION} lists {one.sha256}"
                    )
            if is_encrypted(path) and self._identities is None:
                self._walk(path, size, last=last)
                return
            lines = 0
            for frame in read_frames(path, size, self._identities):
                if isinstance(frame, Loss):
                    self._loss(frame, last=last and frame.offset + frame.bytes == size)
                else:
                    block = self._taken(frame, path.name, lines + 1)
                    lines += block
        except WrongIdentityError as error:
            said.unproven.append(error.message)
            self._walk(path, size, last=last)
            return
        except LobproofError as error:
            said.failures.append(error.message)
            return
        except OSError as error:  # one file that cannot be read keeps no other from its check
            error.filename = error.filename or str(path)
            said.unproven.append(place_error(error).message)
            return
        said.lines += lines
        if listed is not None and path.name in listed and lines != listed[path.name].lines:
            said.failures.append(
                f"{path.name} has {lines:,} lines, {SESSION} lists {listed[path.name].lines:,}"
            )

    def _walk(self, path: Path, size: int, *, last: bool) -> None:
        """Look for whole frames where no identity decrypts them."""
        frames, losses = walk_encrypted(path, size)
        self._closed += frames
        for loss in losses:
            self._loss(loss, last=last and loss.offset + loss.bytes == size)

    def _loss(self, loss: Loss, *, last: bool) -> None:
        """Bytes that cannot be read: the half frame of a kill, or damage."""
        told = f"{loss.name}: {loss.bytes:,} bytes from byte {loss.offset:,} on: {loss.detail}"
        killed = self._figures is None and last and loss.detail == _CUT_OFF
        (self._said.unproven if killed else self._said.failures).append(told)
        for ids in self._ids.values():
            ids.hole()

    def _taken(self, frame: bytes, name: str, line: int) -> int:
        """Take a frame's lines; how many they are."""
        if not self._symbol:
            return frame.count(b"\n")
        # copies are the half of all lines, and tell of no break; the scanner knows no mono_ns
        block = self._scanner.scan(_MONO.sub(rb"\1", _COPY.sub(b"", frame)), name, line)
        self._streams.count(block)
        messages = block.messages
        kinds = messages["kind"]
        holes: list[int] = []
        odd = (kinds == CONTROL) | (kinds == INVALID) | (kinds == FOREIGN)
        for row in np.flatnonzero(odd).tolist():
            if self._odd(block, row):
                holes.append(row)
        for start, stop in pairwise([0, *holes, len(messages)]):
            if start:
                for ids in self._ids.values():
                    ids.hole()
            for kind, ids in self._ids.items():
                ids.add(messages[start:stop][kinds[start:stop] == kind])
        return len(block.ends)

    def _odd(self, block: Block, row: int) -> bool:
        """Take a line that is no message of the symbol; whether messages may be missing there."""
        line = block.line(row)
        try:
            control = msgspec.json.decode(line, type=_Control)
        except msgspec.MsgspecError:
            self._unreadable += 1
            return True
        if control.stream != "control":
            self._others[control.stream] += 1
            self._unreadable += 1
            return True
        if control.event in ("gap", "reset"):
            for ids in self._ids.values():
                if ids.what == control.of:
                    ids.tell(control)
        elif control.event == "lost":
            self._lost += control.lines
            return True
        return False

    def _hold_marks(self) -> None:
        """Marks against breaks, and all counts against those of the document."""
        said, figures = self._said, self._figures
        for ids in self._ids.values():
            if figures is None:
                ids.hole()  # the message behind the last mark may not have been written
            said.failures += ids.failures()
            said.marked += ids.marked + ids.resets_told
            if ids.marked or ids.resets_told:
                gaps = "gap" if ids.marked == 1 else "gaps"
                resets = "reset" if ids.resets_told == 1 else "resets"
                marks = f"{ids.marked:,} {gaps} and {ids.resets_told:,} {resets}"
                said.notes.append(f"{ids.what}: {marks}, all marked")
        if self._unreadable:
            said.unproven.append(f"{self._unreadable:,} lines cannot be read")
        if self._lost:
            said.notes.append(f"{self._lost:,} lines were lost, and are marked")
        if figures is None:
            return
        listed = figures.symbols.get(self._symbol)
        if listed is None:
            said.failures.append(f"{SESSION} has no figures of it")
            return
        lost = figures.lost.get(self._name)
        self._most = 0 if lost is None else lost.lines
        if self._most < self._lost:
            self._differs("lost lines", self._lost, self._most)
        read: Counter[str] = Counter()
        for stream, count in (*self._streams.streams().items(), *self._others.items()):
            what = stream.partition("@")[2]
            if what != ANSWERS:  # of REST, as a snapshot is: no message, and in no count
                read[what.partition("@")[0]] += count
        snapshots = read.pop("snapshot", 0)
        told = Counter(listed.messages)
        told.update({SBE_KINDS.get(kind, kind): count for kind, count in listed.sbe.items()})
        for kind in sorted(read.keys() | told.keys()):
            self._count(f"messages of {kind}", read[kind], told[kind])
        self._count("snapshots", snapshots, listed.snapshots)
        for ids in self._ids.values():
            self._count(f"gaps of {ids.what}", ids.gaps_told, listed.gaps.get(ids.what, 0))
        self._count("resets", self._ids[DEPTH].resets_told, listed.resets)

    def _count(self, what: str, read: int, listed: int) -> None:
        """A count may lack what was lost, and no more."""
        if not read <= listed <= read + self._most:
            self._differs(what, read, listed)

    def _differs(self, what: str, read: int, listed: int) -> None:
        self._said.failures.append(
            f"the journal holds {read:,} {shown(what)}, {SESSION} lists {listed:,}"
        )


def _checked_sample(sample: GoldenSample, reading: Callable[[Path], None]) -> Checked:
    """A golden sample's journals against its document: hashes, lines, counts, chains."""
    document = sample.document
    said = Checked(sample.path, sample.instrument.venue_symbol, IMPORTED)
    kind = TRADE if document["trade_stream"] == "trade" else AGGREGATE
    scanner = Scanner(sample.instrument.venue_symbol, (DEPTH, TRADE, AGGREGATE, TICKER, SNAPSHOT))
    audits = {DEPTH: IdAudit(may_reset=True), kind: IdAudit()}
    weaves = {of: Weave(np.empty(0, np.int64)) for of in audits}
    try:
        weaves[kind] = Weave(GoldenSource(sample).brought().sequence)
    except LobproofError as error:
        said.failures.append(error.message)
    read: Counter[str] = Counter()
    for path, entry in zip(sample.journals, document["journals"], strict=True):
        reading(path)
        seen, lines = file_sha256(path), 0
        if seen != entry["sha256"]:
            said.failures.append(
                f"{path.name}: its SHA-256 is {seen}, {DOCUMENT} lists {entry['sha256']}"
            )
        for frame in read_frames(path):
            if isinstance(frame, Loss):
                said.failures.append(
                    f"{path.name}: {frame.bytes:,} bytes from byte {frame.offset:,} on: "
                    f"{frame.detail}"
                )
                continue
            block = scanner.scan(frame, path.name, lines + 1)
            lines += len(block.ends)
            count_messages(block, read)
            for of, audit in audits.items():
                rows = block.messages[block.messages["kind"] == of]
                audit.add(*weaves[of].ids(rows))
        said.lines += lines
        if lines != entry["lines"]:
            said.failures.append(
                f"{path.name} has {lines:,} lines, {DOCUMENT} lists {entry['lines']:,}"
            )
    for what in (*KINDS, "level_changes"):
        if read[what] != document["counts"][what]:
            said.failures.append(
                f"{JOURNAL_FOLDER} holds {what} {read[what]:,}, {DOCUMENT} lists "
                f"{document['counts'][what]:,}"
            )
    for name, audit in (("chain", audits[DEPTH]), ("trade_ids", audits[kind])):
        for what, value in audit.to_dict().items():
            if document[name].get(what) != value:
                said.failures.append(f"{DOCUMENT}: {what} of {name} is not what the journals say")
        said.marked += int(audit.to_dict()["gaps"])
    return said
