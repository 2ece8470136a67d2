"""Golden samples: a folder of journals and ``golden.json``, the document that describes them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec

from lobproof import documents
from lobproof.documents import QUOTED, Count, Int64
from lobproof.errors import GridError, InputError, shown
from lobproof.files import HashedFiles, below
from lobproof.instruments import Instrument
from lobproof.paths import AnyPath, as_path
from lobproof.schema import Finding
from lobproof.schema.declared import Declared
from lobproof.schema.provenance import made_of
from lobproof.schema.times import show_ns

GOLDEN_FORMAT = "lobproof golden sample"
GOLDEN_VERSION = 2
DOCUMENT = "golden.json"
JOURNAL_FOLDER = "journal"
PROVENANCES = ("real", "derived", "synthetic")
MISSING_SHARE = 0.05
"""Share of a day's messages without exchange time from which on receive times order it."""
_COUNTED = ("depth", "trade", "aggTrade", "bookTicker", "snapshot", "level_changes")
"""Counts that the journals are held against: messages by kind, levels of all depth messages."""
_MESSAGES = _COUNTED[:-1]
_DEPTH = re.compile(r".*@depth(?:@([0-9]{1,6})ms)?")
_USUAL_MS = {"spot": 1000, "futures": 250}
"""Speed of a depth stream that names none; what has no stream's name is called so too."""
_FASTEST = 0.8
"""A speed is believed where messages do not come faster than this share of it, on average."""
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_NOBODYS = (
    "a snapshot that names no symbol in a recording of several: it anchors nothing (import with "
    "snapshots_are_ours=, --snapshots-are-ours, if all such are of this symbol)"
)
_HINT = (
    "the golden sample is not whole: copy it anew from where it is, or import its recordings again"
)


@dataclass(frozen=True, slots=True)
class InputFinding:
    """Something about the input itself: lines that could not be read, a file that broke off."""

    code: Finding
    count: int
    detail: str
    file: str = ""
    line: int = 0


class _Days(msgspec.Struct):
    messages: Count
    without_time: Count


class _Clock(msgspec.Struct):
    offset_ns: Int64
    days: dict[Annotated[str, msgspec.Meta(pattern=_DAY)], _Days]
    apart_s: dict[str, float] = {}


class _Input(msgspec.Struct):
    name: str
    bytes: Count
    sha256: str


class _Journal(_Input):
    name: Annotated[str, msgspec.Meta(pattern=r"^[0-9T-]{1,32}\.jsonl\.zst$")]
    lines: Count


class _Snapshot(msgspec.Struct):
    last_update_id: Int64
    capture_ns: Int64
    file: str
    line: Count
    ours: bool


class _Line(msgspec.Struct):
    file: str
    line: Count
    detail: str


class _Invalid(_Line):
    reason: str


class _Unread(msgspec.Struct):
    by_reason: dict[str, Count]
    listed: list[_Invalid]


class _Findings(msgspec.Struct):
    invalid: _Unread
    truncated: list[_Line]


class _Span(msgspec.Struct):
    first_recv_ns: Int64
    last_recv_ns: Int64
    first_event_ns: Int64
    last_event_ns: Int64


class _Gap(msgspec.Struct):
    after: Int64
    next: Int64


class _Audit(msgspec.Struct):
    gaps: Count
    gaps_listed: list[_Gap]
    duplicates: Count
    late: Count
    overlaps: Count
    resets: Count
    first_irregular: Int64 | None


class _AtId(msgspec.Struct):
    id: Int64


class _AtSpan(msgspec.Struct):
    final: Int64


class _Compared(msgspec.Struct):
    compared: Count
    equal: Count
    differing: Count


class _ById(_Compared):
    json_alone: Count
    sbe_alone: Count
    first_differing: list[_AtId]


class _Depth(_Compared):
    messages_alone: Count
    first_differing: list[_AtSpan]


class _Witness(msgspec.Struct):
    """What SBE frames say of the JSON messages."""

    trades: _ById
    depth: _Depth
    touch: _ById
    unread: dict[str, Count]

    def __post_init__(self) -> None:
        for one in (self.trades, self.depth, self.touch):
            if bool(one.differing) != bool(one.first_differing):
                raise ValueError(f"its witness lists {len(one.first_differing)} differences")


class _Backfill(msgspec.Struct):
    """What REST brought of the trades that a recording lost."""

    answers: dict[str, Count]
    unread: Count
    first_unread: str
    lost: Count
    backfilled: Count
    late: Count
    contradicting: Count
    first_contradicting: list[Int64]
    untimed: Count
    microseconds: bool
    placed: list[tuple[Int64, Int64]]

    def __post_init__(self) -> None:
        ends = [one for pair in self.placed for one in pair]
        if ends != sorted(ends) or len({last for _, last in self.placed}) != len(self.placed):
            raise ValueError("the ids that its backfill places do not ascend")
        if sum(last - first + 1 for first, last in self.placed) != self.backfilled:
            raise ValueError(f"its backfill places other than {self.backfilled:,} trades")
        if bool(self.contradicting) != bool(self.first_contradicting):
            raise ValueError("its backfill does not list what is contradicted")


class _Awaited(msgspec.Struct):
    """Lost trades that REST was asked for, without an answer: when found, and how many."""

    trades: Count
    gaps: list[tuple[Int64, Count]]


class _Golden(msgspec.Struct):
    """What every reader of the document counts on; there is more."""

    exchange: str
    venue_symbol: str
    market: Literal["spot", "futures"]
    provenance: Literal["real", "derived", "synthetic"]
    instrument: dict[str, Any]
    rules_from: str
    span: _Span
    counts: dict[str, Count]
    trade_stream: Literal["trade", "aggTrade"]
    chain: _Audit
    trade_ids: _Audit
    snapshots: list[_Snapshot]
    snapshot_limit: Count | None
    snapshots_are_ours: bool
    clock: _Clock
    inputs: list[_Input]
    journals: list[_Journal]
    findings: _Findings
    notes: list[str]
    exchange_info_sha256: str
    streams: dict[str, Count] = {}
    witness: _Witness | None = None
    backfill: _Backfill | None = None
    awaited: _Awaited | None = None

    def __post_init__(self) -> None:
        lacking = [name for name in _COUNTED if name not in self.counts]
        if lacking:
            raise ValueError(f"its counts lack {lacking[0]}")
        if len(self.snapshots) != self.counts["snapshot"]:
            raise ValueError(
                f"it lists {len(self.snapshots)} snapshots of {self.counts['snapshot']}"
            )


@dataclass(frozen=True, slots=True, repr=False)
class GoldenSample:
    """A golden sample on disk. ``document`` is ``golden.json``; the rest are its main parts."""

    path: Path
    instrument: Instrument
    market: str
    provenance: str
    document: dict[str, Any]
    reused: bool = False
    """Whether an import found this sample already there, made from the same inputs."""

    @classmethod
    def load(cls, path: AnyPath, *, reused: bool = False, damaged: bool = False) -> Self:
        """Read the document and see that its journals are there in the size that it says.

        ``damaged``: read the document alone, whatever became of the journals.

        Raises
        ------
        InputError
            When the folder or its document is missing or damaged, or a journal is not as listed.
        """
        path = as_path(path)
        file = below(path, DOCUMENT)
        try:
            document = documents.read(file, error=InputError, hint=_HINT)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(
                f"{path} is no golden sample: it has no {DOCUMENT}",
                hint="name a folder that `lobproof import` made; the days of a Crypto Lake folder "
                "are for `lobproof reconstruct`",
            ) from error
        if document.get("format") != GOLDEN_FORMAT:
            raise InputError(f"{file} does not describe a golden sample", hint=_HINT)
        version = document.get("format_version")
        if version != GOLDEN_VERSION:
            raise InputError(
                f"{file} has format version {shown(str(version), QUOTED)}, not {GOLDEN_VERSION}",
                hint="import the recordings again with this version of lobproof",
            )
        try:
            documents.as_shape(document, _Golden)
            instrument = Instrument.from_dict(document["instrument"])
        except ValueError as error:
            raise InputError(f"{file} is damaged: {error}", hint=_HINT) from error
        except (GridError, InputError) as error:
            raise InputError(f"{file} is damaged: {error.message}", hint=_HINT) from error
        sample = cls(path, instrument, document["market"], document["provenance"], document, reused)
        sizes = {entry["name"]: entry["bytes"] for entry in document["journals"]}
        for name, size in sizes.items() if not damaged else ():
            journal = below(path, f"{JOURNAL_FOLDER}/{name}")
            if not journal.is_file():
                raise InputError(f"{journal} is missing", hint=remedy(path))
            if journal.stat().st_size != size:
                raise InputError(
                    f"{journal} has {journal.stat().st_size} bytes, {DOCUMENT} lists {size}",
                    hint=remedy(path),
                )
        return sample

    def __repr__(self) -> str:
        """Where it lies, what it is of, from when to when, and how many messages it has."""
        span = self.document["span"]
        begin, end = span["first_event_ns"], span["last_event_ns"]
        if begin <= 0:
            begin, end = span["first_recv_ns"], span["last_recv_ns"]
        counts = ", ".join(
            f"{count:,} {name}"
            for name, count in self.document["counts"].items()
            if count and name in _MESSAGES
        )
        return (
            f"Golden sample {self.path}\n"
            f"  {self.instrument.exchange} {self.instrument.symbol} "
            f"({made_of(self.provenance)}), {self.market}\n"
            f"  from {show_ns(begin)} to {show_ns(end)}\n"
            f"  messages: {counts}"
        )

    @property
    def content_hash(self) -> str:
        """SHA-256, hexadecimal, of what it holds: its instrument and its journals' hashes."""
        journals = [str(entry["sha256"]) for entry in self.document["journals"]]
        return documents.content_digest(
            {"instrument": self.document["instrument"], "journals": journals}
        )

    @property
    def journals(self) -> list[Path]:
        """The journal files in order."""
        folder = below(self.path, JOURNAL_FOLDER)
        return [below(folder, str(entry["name"])) for entry in self.document["journals"]]

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """What it was made from: name, bytes, sha256, counts of each file."""
        return list(self.document["inputs"])

    @property
    def clock_offset_ns(self) -> int:
        """Recorder's clock minus the exchange's, median."""
        return int(self.document["clock"]["offset_ns"])

    @property
    def declared(self) -> Declared:
        """What its streams are by their names; a speed that its messages belie is none."""
        speed: int | None = None
        for name in self.document.get("streams", {}):
            found = _DEPTH.fullmatch(name)
            if found:
                speed = int(found[1] or _USUAL_MS[self.market])
        span = self.document["span"]
        lasts_ns = int(span["last_recv_ns"]) - int(span["first_recv_ns"])
        messages = int(self.document["counts"]["depth"])
        if speed is not None and messages * speed * 1_000_000 * _FASTEST > lasts_ns + 10**9:
            speed = None
        return Declared(self.document["trade_stream"], speed)

    @property
    def snapshot_limit(self) -> int | None:
        """Levels a side that its snapshots were asked for; None if nobody knows."""
        limit = self.document["snapshot_limit"]
        return None if limit is None else int(limit)

    @property
    def snapshots_of_nobody(self) -> set[tuple[int, int]]:
        """Update id and capture time of the snapshots that need not be of this symbol."""
        listed = self.document["snapshots"]
        return {(int(s["last_update_id"]), int(s["capture_ns"])) for s in listed if not s["ours"]}

    @property
    def receive_days(self) -> tuple[str, ...]:
        """Days on which so many exchange times are missing that receive times give the order."""
        days = self.document["clock"]["days"].items()
        return tuple(
            day for day, n in days if n["without_time"] >= MISSING_SHARE * n["messages"] > 0
        )

    def findings(self) -> list[InputFinding]:
        """What was wrong with the input: single lines, more of them by reason, broken files."""
        found: list[InputFinding] = []
        invalid = self.document["findings"]["invalid"]
        unlisted = Counter({str(k): int(n) for k, n in invalid["by_reason"].items()})
        for entry in invalid["listed"]:
            unlisted[entry["reason"]] -= 1
            detail = f"{entry['reason']}: {entry['detail']}"
            found.append(
                InputFinding(
                    Finding.INVALID_INPUT, 1, detail, str(entry["file"]), int(entry["line"])
                )
            )
        for reason, count in sorted((+unlisted).items()):
            found.append(InputFinding(Finding.INVALID_INPUT, count, f"{reason}: more such lines"))
        for code, entry in (
            *((Finding.TRUNCATED_INPUT, entry) for entry in self.document["findings"]["truncated"]),
            *(
                (Finding.INVALID_INPUT, {**entry, "detail": _NOBODYS})
                for entry in self.document["snapshots"]
                if not entry["ours"]
            ),
        ):
            file, line = str(entry["file"]), int(entry["line"])
            found.append(InputFinding(code, 1, str(entry["detail"]), file, line))
        told = self.document.get("backfill", {"contradicting": 0, "unread": 0})
        if count := int(told["contradicting"]):
            detail = (
                "trades that REST tells in another way than the stream, or in two ways: what was "
                f"received stands; first id {told['first_contradicting'][0]}"
            )
            found.append(InputFinding(Finding.INVALID_INPUT, count, detail))
        if count := int(told["unread"]):
            detail = f"answers of REST that cannot be read: {told['first_unread']}"
            found.append(InputFinding(Finding.INVALID_INPUT, count, detail))
        return found

    @property
    def awaited(self) -> list[tuple[int, int]]:
        """Gaps of trades without REST's answer: exchange time, ns, and how many trades of each."""
        told = self.document.get("awaited", {"gaps": []})
        return [(int(at) - self.clock_offset_ns, int(count)) for at, count in told["gaps"]]

    @property
    def backfilled(self) -> list[tuple[int, int]]:
        """First and last ids of the trades that REST brought of gaps, where they are placed."""
        told = self.document.get("backfill", {"placed": []})
        return [(int(first), int(last)) for first, last in told["placed"]]

    def hashed(self) -> HashedFiles:
        """The journals, hashed; :class:`InputError` names the first that is not as listed."""
        files = HashedFiles(self.journals)
        for entry, (path, seen) in zip(self.document["journals"], files.sums.items(), strict=True):
            if seen != entry["sha256"]:
                raise InputError(
                    f"{path} is damaged or was changed: its SHA-256 is {seen}, {DOCUMENT} lists "
                    f"{entry['sha256']}",
                    hint=remedy(self.path),
                )
        return files


def remedy(path: Path) -> str:
    """What to do about a golden sample whose journals are not as its document says."""
    return (
        "copy the sample anew from where it is whole; where there is no other, `lobproof import "
        f"{path}/{JOURNAL_FOLDER}/* --out NEW` keeps what can be read, and tells what cannot"
    )
