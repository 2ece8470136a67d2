"""What can be wrong with a recording, and what each fault must be told as.

A recording is its lines. Each fault damages those of one file. What it must give is relative to
what the undamaged file gives, so that the catalogue serves simulated and real recordings.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.commands import FAIL, INCONCLUSIVE, PASS

Lines = list[bytes]


@dataclass(frozen=True, slots=True)
class Depth:
    """Where a depth message stands in a recording, and its ids: ``previous`` must come before."""

    file: int
    row: int
    first: int
    final: int
    previous: int


@dataclass(slots=True)
class Recording:
    """The files of one symbol: their paths and lines, each line with its end."""

    paths: list[Path]
    lines: list[Lines]
    depths: list[Depth] = field(init=False)
    snapshot_id: int = field(init=False)

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Recording:
        """Read gzip files."""
        ordered = sorted(paths)
        return cls(
            ordered, [gzip.decompress(p.read_bytes()).splitlines(keepends=True) for p in ordered]
        )

    def __post_init__(self) -> None:
        self.depths, self.snapshot_id = [], -1
        for file, lines in enumerate(self.lines):
            for row, line in enumerate(lines):
                if b"@depth@" in line[:160]:
                    data = payload(line)
                    first, final = data["U"], data["u"]
                    self.depths.append(Depth(file, row, first, final, data.get("pu", first - 1)))
                elif b'"lastUpdateId"' in line[:160] and self.snapshot_id < 0:
                    self.snapshot_id = payload(line)["lastUpdateId"]

    @property
    def first_kept(self) -> int:
        """Number of the first depth message that the snapshot does not hold already."""
        return next(i for i, depth in enumerate(self.depths) if depth.final > self.snapshot_id)

    def droppable(self, count: int, seed: int) -> list[int]:
        """Numbers of random depth messages behind the first kept one and before the last."""
        inner = range(self.first_kept + 1, len(self.depths) - 1)
        return sorted(random.Random(seed).sample(inner, min(count, len(inner))))

    def edited(self, file: int, start: int, stop: int, *instead: bytes) -> Mapping[int, Lines]:
        """A file's lines with those from ``start`` to ``stop`` replaced."""
        lines = self.lines[file]
        return {file: [*lines[:start], *instead, *lines[stop:]]}

    def without(self, depth: Depth) -> Mapping[int, Lines]:
        """The recording without that message."""
        return self.edited(depth.file, depth.row, depth.row + 1)

    def write(self, folder: Path, changed: Mapping[int, Lines]) -> list[Path]:
        """Plain files of the changed lists of lines, beside the files that stay as they are."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = list(self.paths)
        for file, lines in changed.items():
            paths[file] = folder / f"{self.paths[file].stem}.txt"
            paths[file].write_bytes(b"".join(lines))
        return paths


def payload(line: bytes) -> dict[str, Any]:
    """The message of a recording's line."""
    document = json.loads(line.partition(b" ")[2])
    data: dict[str, Any] = document.get("data", document)
    return data


def with_payload(line: bytes, **changes: Any) -> bytes:
    """The line with fields of its message changed."""
    stamp, _, body = line.partition(b" ")
    document = json.loads(body)
    document.get("data", document).update(changes)
    return stamp + b" " + json.dumps(document, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Expected:
    """A row of ``quality`` that the undamaged recording does not have."""

    code: str
    count: int
    detail: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the chain must say.

    ``refused``: pattern of the import's error, and nothing else follows. ``invalid``: reasons of
    lines that cannot be read. ``strict_import``, ``strict``: patterns of the errors in strict
    mode; empty where there is nothing to refuse.
    """

    refused: str = ""
    invalid: dict[str, int] = field(default_factory=dict)
    findings: Sequence[Expected] = ()
    verdict: int = PASS
    failing: frozenset[str] = frozenset()
    first: str = ""
    strict_import: str = ""
    strict: str = ""
    counts: dict[str, int] = field(default_factory=dict)


class Scene:
    """A file's lines, and the messages in its middle that faults happen to."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.recording = Recording([Path("scene")], [lines])
        self.depths = self.recording.depths
        self.at = len(self.depths) // 2
        while self.depths[self.at].row + 1 == self.depths[self.at + 1].row:
            self.at += 1  # a trade or a ticker stands between it and the next
        self.depth, self.next = self.depths[self.at], self.depths[self.at + 1]
        self.row = self.depth.row
        self.trades = self.rows(b"@trade")
        self.trade = self.trades[len(self.trades) // 2]
        self.next_trade = self.trades[len(self.trades) // 2 + 1]
        self.snapshot = self.rows(b'"lastUpdateId"')[0]

    def rows(self, what: bytes) -> list[int]:
        """Numbers of the lines that begin with such a message."""
        return [row for row, line in enumerate(self.lines) if what in line[:160]]

    def line(self, row: int | None = None) -> bytes:
        """A line; the chosen depth message's."""
        return self.lines[self.row if row is None else row]

    def stamp(self, row: int | None = None) -> bytes:
        """Its receive time."""
        return self.line(row).partition(b" ")[0]

    def replaced(self, *instead: bytes, row: int | None = None) -> bytes:
        """The file with a line replaced."""
        row = self.row if row is None else row
        return b"".join([*self.lines[:row], *instead, *self.lines[row + 1 :]])

    def inserted(self, *lines: bytes, row: int | None = None) -> bytes:
        """The file with lines before one."""
        row = self.row if row is None else row
        return b"".join([*self.lines[:row], *lines, *self.lines[row:]])

    def changed(self, **changes: Any) -> bytes:
        """The file with fields of the chosen depth message changed."""
        return self.replaced(with_payload(self.line(), **changes))

    def swapped(self, first: int, second: int) -> bytes:
        """The file with two messages in each other's place, under the stamps of the places."""
        lines = list(self.lines)
        lines[first] = self.stamp(first) + b" " + self.lines[second].partition(b" ")[2]
        lines[second] = self.stamp(second) + b" " + self.lines[first].partition(b" ")[2]
        return b"".join(lines)

    def snapshot_line(self, update: int, row: int | None = None, **changes: Any) -> bytes:
        """The snapshot once more, under another id and at a line's (the chosen one's) time."""
        listed = {**payload(self.line(self.snapshot)), "lastUpdateId": update, **changes}
        return self.stamp(row) + b" " + json.dumps(listed).encode() + b"\n"

    # what must be told ------------------------------------------------------------------------

    def gap(self, *also: Expected, **told: Any) -> Told:
        """The chosen depth message is missing."""
        first, last = self.depth.first, self.depth.final
        missing = f"update ids {first}-{last} are missing"
        told.setdefault("strict", missing)
        told.setdefault("strict_import", rf"gap.*id {first - 1} and id {self.next.first}")
        return Told(
            findings=[*also, Expected("GAP", last - first + 1, missing)],
            verdict=FAIL,
            failing=frozenset({"chain", "untrusted_share"}),
            first=f"update ids {first} to {last} are missing",
            **told,
        )

    def unreadable(self, reason: str, detail: str) -> Told:
        """The chosen depth message cannot be read."""
        return self.gap(
            INVALID,
            UNREADABLE,
            invalid={reason: 1},
            strict_import=f", line {self.row + 1}: {reason}: {detail}",
            strict="GAP at event",  # which begins with the message before
        )


INVALID = Expected("INVALID_INPUT", 1, "input that is no message of the stream")
UNREADABLE = Expected("UNREADABLE", 1, "1 line(s) that may be depth messages cannot be read")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: the damaged file's bytes (or several files), and what must be told of it."""

    name: str
    damage: Callable[[Scene], bytes | dict[str, bytes]]
    told: Callable[[Scene], Told]
    options: tuple[str, ...] = ()
    urgent: bool = False
    """Whether it is one of those that are tried on real data in every run."""


def _whole(scene: Scene) -> bytes:
    return b"".join(scene.lines)


def _said(**told: Any) -> Callable[[Scene], Told]:
    return lambda scene: Told(**told)


def _aside(reason: str, detail: str) -> Callable[[Scene], Told]:
    """A line that cannot be read in the chosen place, beside all messages."""
    return lambda scene: Told(
        invalid={reason: 1},
        findings=[INVALID],
        strict_import=f", line {scene.row + 1}: {reason}: {detail}",
        strict="INVALID_INPUT at event",
    )


def _truncated(scene: Scene) -> bytes:
    data = gzip.compress(_whole(scene))
    return data[: len(data) - 6]


def _first_half(scene: Scene) -> dict[str, bytes]:
    half = len(scene.lines) // 2
    return {
        "b.txt": b"".join(scene.lines[half:]),
        "a.txt": b"".join(scene.lines[:half]),
    }


def _overlapping(scene: Scene) -> dict[str, bytes]:
    half = len(scene.lines) // 2
    return {
        "a.txt": b"".join(scene.lines[: half + 10]),
        "b.txt": b"".join(scene.lines[half:]),
    }


def _other_unit(scene: Scene) -> dict[str, bytes]:
    """The second half stamped in milliseconds."""
    files = _first_half(scene)
    lines = files["b.txt"].splitlines(keepends=True)
    # rounded up, or the file would begin before the other ends
    files["b.txt"] = b"".join(b"%d " % (int(x[:13]) + 1) + x.partition(b" ")[2] for x in lines)
    return files


def _restamped(scene: Scene, start: int, stop: int, seconds: int) -> bytes:
    """Lines with another receive time."""
    unit = 10 ** (len(scene.stamp()) - 10)
    lines = list(scene.lines)
    for row in range(start, stop):
        stamp, _, body = lines[row].partition(b" ")
        lines[row] = b"%d " % (int(stamp) + seconds * unit) + body
    return b"".join(lines)


def _symbol(scene: Scene) -> str:
    return str(payload(scene.line())["s"])


def _crossed_snapshot(scene: Scene) -> bytes:
    asks = payload(scene.line(scene.snapshot))["asks"]
    line = scene.snapshot_line(scene.depth.final, bids=[[asks[-1][0], "1.00000000"]])
    return scene.inserted(line, row=scene.row + 1)


def _stream(scene: Scene, name: str, data: str) -> bytes:
    stream = f"{_symbol(scene).lower()}@{name}"
    return scene.stamp() + f' {{"stream":"{stream}","data":{data}}}\n'.encode()


def _late_trade(scene: Scene) -> Told:
    number = payload(scene.line(scene.trade))["t"]
    return Told(
        findings=[
            Expected("TRADE_GAP", 1, f"trade ids {number}-{number} are missing"),
            Expected("OUT_OF_ORDER", 1, f"ids {number}-{number} came late"),
        ],
        strict_import=rf"trades: 1 gap.* id {number - 1} and id {number + 1}",
        strict=f"TRADE_GAP at event .*trade ids {number}-{number} are missing",
    )


def _lost_trade(scene: Scene, *also: Expected, **told: Any) -> Told:
    number = payload(scene.line(scene.trade))["t"]
    told.setdefault("strict_import", rf"trades: 1 gap.* id {number - 1} and id {number + 1}")
    missing = f"trade ids {number}-{number} are missing"
    return Told(
        findings=[*also, Expected("TRADE_GAP", 1, missing)],
        # of the two marks, the trade's or the book's may come first: each stands in its stream
        strict=f"{missing}|INVALID_INPUT at event",
        **told,
    )


def _late_depth(scene: Scene) -> Told:
    first, last = scene.depth.first, scene.depth.final
    return scene.gap(
        Expected("OUT_OF_ORDER", 1, f"ids {first}-{last} came late"), strict="GAP at event"
    )


def _came_again(scene: Scene) -> Told:
    first, last = scene.depth.first, scene.depth.final
    return Told(
        findings=[Expected("DUPLICATE", 1, f"ids {first}-{last} came again; not applied")],
        strict_import=f"the first irregular id is {last}",
        strict=f"DUPLICATE at event .*ids {first}-{last} came again",
    )


def _reset(scene: Scene, wrong: int) -> Told:
    """The chosen message's last id is ``wrong``, and those after it go back."""
    back = f"ids went back from {wrong} to {scene.next.first - 1}"
    return Told(
        findings=[Expected("SEQUENCE_RESET", 1, f"update {back}")],
        verdict=FAIL,
        failing=frozenset({"chain", "untrusted_share"}),
        first=f"the message says that it follows on {scene.next.first - 1}, after {wrong}",
        strict_import="depth: 1 time.s. that the ids went back",
        strict=f"SEQUENCE_RESET at event .*{back}",
    )


def _trade_again(scene: Scene) -> Told:
    number = payload(scene.line(scene.trade))["t"]
    return Told(
        findings=[Expected("DUPLICATE", 1, f"ids {number}-{number} came again; not applied")],
        strict_import=f"the first irregular id is {number}",
        strict=f"DUPLICATE at event .*ids {number}-{number} came again",
    )


_TRUNCATED = _said(
    findings=[Expected("TRUNCATED_INPUT", 1, "the input breaks off here")],
    strict_import=r"the gzip data breaks off at byte \d+, in line \d+",
    strict="TRUNCATED_INPUT at event",
)
_WARM_UP: dict[str, Any] = {"verdict": INCONCLUSIVE}  # no anchor comes: there is nothing else
_NO_STAMP = "no receive time before"
_OVERLAP = r"begins before .* ends: they overlap in time"
_JUNK = b"x" * 10_000_000 + b"\n"

FAULTS = [
    # what the issue names
    Fault(
        "gzip without its end",
        _truncated,
        _TRUNCATED,
        urgent=True,
    ),
    Fault(
        "a line cut in half",
        lambda s: s.replaced(s.line()[: len(s.line()) // 2] + b"\n"),
        lambda s: s.unreadable("json", "(Input data|JSON is malformed|Invalid)"),
        urgent=True,
    ),
    Fault(
        "the last line cut",
        lambda s: _whole(s)[:-30],
        lambda s: Told(
            invalid={"json": 1},
            findings=[INVALID, *([UNREADABLE] if b"@depth" in s.lines[-1][:80] else [])],
            strict_import=f", line {len(s.lines)}: json",
            strict="INVALID_INPUT at event",
        ),
    ),
    Fault(
        "another event than the stream says",
        lambda s: s.changed(e="kline"),
        lambda s: s.unreadable("kind", "\"e\" is 'kline', where the stream brings 'depthUpdate'"),
        urgent=True,
    ),
    Fault(
        "not the fields that the stream brings",
        lambda s: s.replaced(_stream(s, "depth@100ms", '{"e":"depthUpdate","hello":1}')),
        lambda s: s.unreadable("shape", "Object missing required field"),
        urgent=True,
    ),
    Fault(
        "a list in place of a message",
        lambda s: s.replaced(s.stamp() + b" [1,2]\n"),
        lambda s: s.gap(counts={"other": 1}),
    ),
    Fault(
        "a depth message twice",
        lambda s: s.inserted(s.line(), row=s.row + 1),
        _came_again,
        urgent=True,
    ),
    Fault(
        "a trade twice",
        lambda s: s.inserted(s.line(s.trade), row=s.trade + 1),
        _trade_again,
        urgent=True,
    ),
    Fault(
        "two depth messages swapped",
        lambda s: s.swapped(s.row, s.next.row),
        _late_depth,
        urgent=True,
    ),
    Fault(
        "two trades swapped",
        lambda s: s.swapped(s.trade, s.next_trade),
        _late_trade,
        urgent=True,
    ),
    Fault("a trade lost", lambda s: s.replaced(row=s.trade), _lost_trade),
    Fault(
        "a trade that cannot be read",
        lambda s: s.replaced(s.line(s.trade)[:90] + b"\n", row=s.trade),
        lambda s: _lost_trade(
            s, INVALID, invalid={"json": 1}, strict_import=f", line {s.trade + 1}: json"
        ),
    ),
    Fault(
        "no snapshot",
        lambda s: s.replaced(row=s.snapshot),
        _said(**_WARM_UP, strict="UNSEEDED at event 0: no snapshot yet"),
        urgent=True,
    ),
    Fault(
        "a snapshot that cannot be one",
        _crossed_snapshot,
        _said(findings=[INVALID], counts={"snapshot": 2}, strict="INVALID_INPUT at event"),
        urgent=True,
    ),
    Fault(
        "a snapshot that lists nothing",
        lambda s: s.inserted(s.snapshot_line(s.depth.final, bids=[], asks=[]), row=s.row + 1),
        _said(findings=[INVALID], counts={"snapshot": 2}, strict="INVALID_INPUT at event"),
    ),
    Fault(
        "the snapshot twice",
        lambda s: s.inserted(s.line(s.snapshot), row=s.snapshot),
        _said(counts={"snapshot": 2}),
    ),
    Fault(
        "an empty file",
        lambda s: b"",
        _said(refused="no line in .*: the file is empty"),
        urgent=True,
    ),
    Fault(
        "gzip of nothing",
        lambda s: gzip.compress(b""),
        _said(refused="no line in .*: the file is empty"),
    ),
    Fault(
        "no recording",
        lambda s: b"time,price\n1,2\n",
        _said(refused="line 1: not a recording's; it begins with 'time,price'"),
        urgent=True,
    ),
    Fault(
        "bytes of something else",
        lambda s: bytes(range(256)) * 64,
        _said(refused="line 1: not a recording"),
    ),
    # files
    Fault(
        "gzip with garbage behind",
        lambda s: gzip.compress(_whole(s)) + b"this is no gzip data",
        _said(refused="the gzip data is damaged"),
    ),
    Fault(
        "gzip with too little behind to be garbage or gzip",
        lambda s: gzip.compress(_whole(s)) + b"rubbish",
        _TRUNCATED,
    ),
    Fault(
        "gzip with a flipped byte",
        lambda s: bytes(
            byte ^ (0x40 if number == 5000 else 0)
            for number, byte in enumerate(gzip.compress(_whole(s)))
        ),
        _said(refused="the gzip data is damaged"),
    ),
    Fault(
        "gzip in members",
        lambda s: gzip.compress(_whole(s)[:999]) + gzip.compress(_whole(s)[999:]),
        _said(),
    ),
    Fault("in two files, the later first", _first_half, _said()),
    Fault("in two files, the second in another unit", _other_unit, _said()),
    Fault("files that overlap", _overlapping, _said(refused=_OVERLAP)),
    Fault(
        "a file twice",
        lambda s: {"a.txt": _whole(s), "b.txt": _whole(s)},
        _said(refused=_OVERLAP),
    ),
    # lines
    Fault("CRLF", lambda s: _whole(s).replace(b"\n", b"\r\n"), _said()),
    Fault("no end of the last line", lambda s: _whole(s)[:-1], _said()),
    Fault("an empty line", lambda s: s.inserted(b"\n"), _said(counts={"blank": 1})),
    Fault("a line of blanks", lambda s: s.inserted(b"   \n"), _aside("stamp", _NO_STAMP)),
    Fault("a line of NULs", lambda s: s.inserted(b"\0" * 99 + b"\n"), _aside("stamp", _NO_STAMP)),
    Fault("10 MB without a line end", lambda s: s.inserted(_JUNK), _aside("stamp", _NO_STAMP)),
    Fault(
        "a message of 10 MB",
        lambda s: s.inserted(s.stamp() + b' "' + b"x" * 10_000_000 + b'"\n'),
        _said(counts={"other": 1}),
    ),
    Fault(
        "a byte order mark",
        lambda s: b"\xef\xbb\xbf" + _whole(s),
        _said(),
    ),
    Fault(
        "no UTF-8",
        lambda s: s.replaced(s.line().replace(b"depthUpdate", b"depth\xff\xfe")),
        lambda s: s.unreadable("json", "it is no UTF-8"),
    ),
    Fault(
        "a NUL in a message",
        lambda s: s.replaced(s.line().replace(b'"u":', b'"u":\0')),
        lambda s: s.unreadable("json", "(Input data|JSON is malformed|Invalid)"),
    ),
    Fault(
        "a stream that nobody asked for",
        lambda s: s.inserted(_stream(s, "kline_1m", '{"e":"kline"}')),
        _said(counts={"other": 1}),
    ),
    # times
    Fault(
        "receive times an hour back for a while",
        lambda s: _restamped(s, s.row, s.row + 20, -3600),
        _said(),
    ),
    Fault(
        "a receive time in the future",
        lambda s: _restamped(s, s.row, s.row + 1, 10_000_000),
        _said(),
    ),
    Fault(
        "no exchange time",
        lambda s: s.changed(E=0),
        _said(
            findings=[Expected("BAD_TS", 1, "exchange time missing or out of range")],
            strict="BAD_TS at event",
        ),
    ),
    Fault(
        "an exchange time in the future",
        lambda s: s.changed(E=payload(s.line())["E"] + 10**9),
        _said(
            findings=[Expected("BAD_TS", 1, "exchange time missing or out of range")],
            strict="BAD_TS at event",
        ),
    ),
    Fault(
        "an exchange time that is none",
        lambda s: s.changed(E=10**17),
        lambda s: s.unreadable("time", "100000000000000000 is no time"),
    ),
    # numbers and ids
    Fault(
        "exponents",
        lambda s: s.changed(b=[[f"{pair[0]}e0", pair[1]] for pair in payload(s.line())["b"]]),
        _said(),
    ),
    Fault(
        "more digits than a grid has",
        lambda s: s.changed(b=[["1.21400000000000000001", "5"]]),
        lambda s: s.unreadable("number", "a level of 1.21400000000000000001 and 5"),
    ),
    Fault(
        "a size that overflows",
        lambda s: s.changed(b=[["1.21", "9" * 40]]),
        lambda s: s.unreadable("number", f"a level of 1.21 and {'9' * 40}"),
    ),
    Fault(
        "a size below zero",
        lambda s: s.changed(b=[["1.21", "-5"]]),
        lambda s: s.unreadable("negative", "-5 is below zero"),
    ),
    Fault(
        "a price of zero",
        lambda s: s.changed(b=[["0.00", "5"]]),
        lambda s: s.unreadable("price", "a price of 0.00"),
    ),
    Fault(
        "no number",
        lambda s: s.changed(b=[["NaN", "5"]]),
        lambda s: s.unreadable("number", "'NaN' is no decimal number"),
    ),
    Fault(
        "U above u",
        lambda s: s.changed(U=s.depth.final + 5),
        lambda s: s.unreadable("ids", "U .* not in order"),
    ),
    Fault(
        "an id that is no integer",
        lambda s: s.changed(u=1.5),
        lambda s: s.unreadable("shape", "Expected `int`, got `float`"),
    ),
    Fault(
        "an id beyond all ids",
        lambda s: s.changed(u=10**30),
        lambda s: s.unreadable("shape", "Expected `int`"),
    ),
    Fault(
        "an id far beyond the others",
        lambda s: s.changed(u=s.depth.final + 10**12),
        lambda s: _reset(s, s.depth.final + 10**12),
        urgent=True,
    ),
    Fault(
        "a futures message among spot's",
        lambda s: s.changed(pu=s.depth.first - 1),
        lambda s: s.unreadable("market", "has pu, unlike the depth messages before"),
    ),
    # what is there at all
    Fault(
        "trades alone",
        lambda s: b"".join(s.line(row) for row in s.trades),
        _said(**_WARM_UP, strict="UNSEEDED at event 0"),
    ),
    Fault(
        "a snapshot alone",
        lambda s: s.line(s.snapshot),
        _said(refused="no market-data line in"),
    ),
    Fault(
        "the first snapshot older than all messages",
        lambda s: s.replaced(s.snapshot_line(s.depths[0].first - 100, s.snapshot), row=s.snapshot),
        lambda s: Told(
            findings=[
                Expected(
                    "GAP",
                    99,
                    f"update ids {s.depths[0].first - 99}-{s.depths[0].first - 1} are missing",
                )
            ],
            verdict=FAIL,
            failing=frozenset({"chain", "untrusted_share"}),
            first=f"update ids {s.depths[0].first - 99} to {s.depths[0].first - 1} are missing",
            strict="GAP at event",
        ),
    ),
    Fault(
        "the snapshot newer than all messages",
        lambda s: s.replaced(s.snapshot_line(s.depths[-1].final + 100, s.snapshot), row=s.snapshot),
        _said(
            **_WARM_UP,
            findings=[
                Expected(
                    "ANCHOR_UNPROVEN",
                    1,
                    "no depth message follows the snapshot that anchors the book",
                )
            ],
            strict="ANCHOR_UNPROVEN at event",
        ),
    ),
]
