"""One pass over recordings: their lines into journals, and what is to be known about them."""

from __future__ import annotations

import json
from binascii import b2a_base64
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import accumulate, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from lobproof.documents import QUOTED
from lobproof.errors import InputError, StrictError, shown, visible
from lobproof.schema import Int64
from lobproof.sources.binance.decode import Problem, symbol_of
from lobproof.sources.binance.journal import HOUR_NS, JournalWriter
from lobproof.sources.binance.scan_kernels import (
    AGGREGATE,
    DEPTH,
    EMPTY,
    FOREIGN,
    INVALID,
    NO_EXECUTION,
    OTHER,
    SNAPSHOT,
    TICKER,
    TRADE,
)
from lobproof.sources.binance.scanner import Block, Scanner, is_depth_line
from lobproof.sources.recordings.audit import ClockAudit, IdAudit, NumberAudit, too_wide
from lobproof.sources.recordings.intake_kernels import (
    LINE_EXTRA,
    MAX_NAME_BYTES,
    MAX_STREAMS,
    count_partial,
    count_streams,
    journal_lines,
)
from lobproof.sources.recordings.journals import JournalRecording
from lobproof.sources.recordings.reader import (
    CUT_BYTES,
    Probe,
    RecordingFile,
    few,
    opened,
    stamps_of,
    symbols_in,
)
from lobproof.sources.recordings.shapes import Shape

MAX_LISTED_LINES = 100


class SeveralSymbolsError(InputError):
    """A recording of several symbols, where none was chosen."""


MARKET_KINDS = (DEPTH, TRADE, AGGREGATE, TICKER, SNAPSHOT)


class Intake:
    """Takes recordings in order of time; holds nothing that grows with them but findings.

    Parameters
    ----------
    folder
        Where the journals go.
    symbol
        The sample's; ``keep_only`` says that lines of others are counted instead of refused.
    snapshot_limit
        Levels a side that the snapshots were asked for; None if nobody knows.
    strict
        Whether a line or a file that is not whole is an error.
    most
        `NumberAudit.limits` of a pass before: lines with wider numbers cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        symbol: str,
        *,
        keep_only: bool,
        snapshot_limit: int | None,
        strict: bool,
        most: Int64 | None = None,
    ) -> None:
        self.symbol = symbol
        self.snapshot_limit = snapshot_limit
        self._keep_only = keep_only
        self._strict = strict
        self._most = most
        self.journal = JournalWriter(folder)
        self._lines = LineWriter(symbol)
        self.chain = IdAudit(may_reset=True)
        self.trades = {TRADE: IdAudit(), AGGREGATE: IdAudit()}
        self.clock = ClockAudit()
        self.numbers = NumberAudit()
        self.counts: Counter[int] = Counter()
        self.futures: bool | None = None
        self.inputs: list[dict[str, Any]] = []
        self.snapshots: list[dict[str, Any]] = []
        self.without_execution = 0
        self.without_time: list[tuple[str, Shape, int]] = []  # file, what it is taken for, lines
        self.depth_unreadable = 0
        self._partial = 0  # depth messages that look like partial depth
        self.reasons: Counter[str] = Counter()
        self.listed: list[dict[str, Any]] = []
        self.truncated: list[dict[str, Any]] = []
        self.recv_span = [0, 0]
        self.event_span = [0, 0]
        self._places: list[tuple[int, str, int]] = []  # line of all, its file, its line there
        self._lines_before = 0
        self._depth_stream = -1
        self._last_file = ""
        self._latest = 0  # highest receive time so far
        self._ended = 0  # receive time of the last line that has one
        self.level_changes = 0

    @property
    def streams(self) -> dict[str, int]:
        """Lines kept per stream."""
        return self._lines.streams()

    def read(self, source: Probe, read: Callable[[int], None]) -> None:
        """Take a whole file in; ``read`` is told the bytes of it read so far.

        Raises
        ------
        InputError
            When it overlaps the file before in time, holds another symbol's messages (unless they
            are to be left out), two diff. depth streams, or a snapshot beyond the limit.
        StrictError
            In strict mode, at the first line or file that is not whole.
        """
        if source.stamps is not None and self.inputs and source.stamps.first_ns < self._ended:
            raise InputError(
                f"{source.path} begins before {self._last_file} ends: they overlap in time",
                hint="files of one sample follow each other; import parallel recordings one by one",
            )
        for _ in self._steps(source, read):
            pass

    def read_together(self, sources: Sequence[Probe], read: Callable[[Probe, int], None]) -> None:
        """Take in files that may run beside each other, such as trades and depth of one day.

        Of all blocks that come next the one that begins first is taken: their lines are in order
        of time in each file, and from file to file within a block.
        """
        steps = [self._steps(source, partial(read, source)) for source in sources]
        waiting = [(source.first_ns, at) for at, source in enumerate(sources)]
        ended: list[int] = []
        while waiting:
            _, at = heappop(waiting)
            following = next(steps[at], None)
            if following is None:
                ended.append(at)
            else:
                heappush(waiting, (following, at))
        self.inputs = [self.inputs[ended.index(at)] for at in range(len(sources))]

    def _steps(self, source: Probe, read: Callable[[int], None]) -> Iterator[int]:
        """Take a file in, a block a step; gives the first time of the one that comes next."""
        stamps, name = source.stamps, visible(source.path.name)
        file = opened(source.path, source.time_field, source.identities)
        if stamps is None:
            self._read_empty(file, source)
            return
        if source.table is not None and self.futures is None:
            self.futures = source.table.futures
        self._latest = max(self._latest, stamps.first_ns)
        scanner = Scanner(
            self.symbol, MARKET_KINDS, recorded=True, doubt_foreign=not self._keep_only
        )
        self._control("file_start", name, self._latest)
        counted: Counter[int] = Counter()
        line = 1
        for data in file:
            if source.table is not None:
                begins = stamps_of(data)
                yield stamps.first_ns if begins is None else begins.first_ns
            before = Counter(self.counts)
            if line == 1 or self._places[-1][1] != name:
                self._places.append((self._lines_before, name, line))
            self._break(file, name, line - 1)
            block = scanner.scan(data, name, line)
            if file.cut:
                detail = f"a line of {file.cut:,} bytes, of which {CUT_BYTES:,} are kept"
                block.refuse(0, Problem("length", detail))
            self._take(block, source)
            line += len(block.ends)
            self._lines_before += len(block.ends)
            counted += self.counts - before
            read(file.bytes)
        if file.truncated_at is not None:
            at = f"the {file.compression} data breaks off at byte {file.truncated_at}"
            self._truncated(file, at, line - 1)
            self._control("truncated", name, self._latest)
        self._control("file_end", name, self._latest)
        self._last_file = str(source.path)
        if file.shape.own:
            self.without_time.append((name, file.shape, file.untimed))
        self._list_input(file, source, line - 1, counted)

    def _break(self, file: RecordingFile | JournalRecording, name: str, line: int) -> None:
        """Note what cannot be read of a journal right behind a line."""
        for detail in file.breaks:
            self._truncated(file, detail, line)
            self._control("truncated", name, self._latest)

    def _read_empty(self, file: RecordingFile | JournalRecording, source: Probe) -> None:
        """A file in which nothing is: a recorder's that died as it began."""
        for _ in file:
            pass
        self._truncated(file, source.why, 0)
        self._list_input(file, source, 0, Counter())

    def _list_input(
        self,
        file: RecordingFile | JournalRecording,
        source: Probe,
        lines: int,
        counted: Counter[int],
    ) -> None:
        self.inputs.append(
            {
                "name": visible(file.path.name),
                "bytes": file.bytes,
                "sha256": file.sha256,
                "shape": source.shape,
                "stamp_unit": source.stamps.unit if source.stamps else "",
                "lines": lines,
                "kept": sum(counted[k] for k in range(DEPTH, OTHER + 1)),
                "invalid": counted[INVALID],
                "other_symbol": counted[FOREIGN],
                "blank": counted[EMPTY],
                "truncated": file.truncated_at is not None,
            }
        )

    def refuse_partial_depth(self) -> None:
        """InputError where depth messages without a stream's name are no changes but whole lists.

        Nothing but their shape tells, and only of many: a change of five levels a side is rare (at
        most one message in 800 of the recordings known), and one list in a hundred is enough.
        """
        depth = self.counts[DEPTH]
        if 0 < depth == self._partial or (self._partial > 1 and 100 * self._partial >= depth):
            raise InputError(
                f"{self._partial:,} of {depth:,} depth messages list 5, 10 or 20 levels a side and "
                "no size of 0: they look like partial depth (@depth20), not like changes",
                hint="import a recording of the diff. depth stream alone, or one whose lines name "
                "their streams",
            )

    def place(self, number: int) -> str:
        """File and line of the ``number``-th line of all."""
        index = bisect_right(self._places, number, key=itemgetter(0)) - 1
        first, name, line = self._places[index]
        return f"{name}, line {number - first + line}"

    def _take(self, block: Block, source: Probe) -> None:
        messages = block.messages
        self._refuse_foreign(block, source)
        self._check_market(block)
        self._check_numbers(block)
        self._lines.count(block)
        self._check_depth_stream(block)
        kinds, counts = np.unique(messages["kind"], return_counts=True)
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            self.counts[kind] += count
        self._list_invalid(block, source.path)
        self._audit(block)
        self._write(block)

    def _audit(self, block: Block) -> None:
        messages = block.messages
        kinds = messages["kind"]
        for kind, audit in ((DEPTH, self.chain), *self.trades.items()):
            of_kind = messages[kinds == kind]
            audit.add(*(of_kind[name] for name in ("first", "final", "previous", "event")))
            stream = "depth" if kind == DEPTH else "trades"
            self.clock.add(stream, of_kind["recv"], of_kind["event"])
            _widen(self.event_span, of_kind["event"])
        _widen(self.recv_span, messages["recv"][(kinds >= DEPTH) & (kinds <= OTHER)])
        self.numbers.add(block, self._lines_before)
        self._partial += count_partial(block.buffer, messages, block.levels)
        self.without_execution += int(
            np.count_nonzero((kinds == TRADE) & (messages["taker"] == NO_EXECUTION))
        )
        depth = messages[kinds == DEPTH]
        self.level_changes += int(depth["bids"].sum() + depth["asks"].sum())

    def _refuse_foreign(self, block: Block, source: Probe) -> None:
        rows = np.flatnonzero(block.messages["kind"] == FOREIGN)
        if self._keep_only or not len(rows):
            return
        row = int(rows[0])
        named = symbol_of(block.line(row))
        symbols = symbols_in(source.path, source.time_field, source.identities, whole=False)
        known = dict.fromkeys([self.symbol, str(named), *symbols])
        raise SeveralSymbolsError(
            f"{source.path}, line {block.first_line + row}: a message of "
            f"{shown(str(named), QUOTED)} in a recording of {self.symbol}; symbols: {few(known)}",
            hint=f"import them one by one: symbol= (--symbol) {self.symbol} keeps one and counts "
            "the rest",
        )

    def _check_market(self, block: Block) -> None:
        """Depth messages chain either as on spot or as on futures; the first decides."""
        messages = block.messages
        kinds = messages["kind"]
        rows = np.flatnonzero(kinds == DEPTH)
        if not len(rows):
            return
        if self.futures is None:
            self.futures = bool(messages["futures"][rows[0]])
        for row in rows[messages["futures"][rows] != self.futures].tolist():
            detail = "has no pu, unlike" if self.futures else "has pu, unlike"
            block.refuse(row, Problem("market", f"{detail} the depth messages before"))

    def _check_numbers(self, block: Block) -> None:
        """A number so wide that no grid holds it and the others makes its line unreadable."""
        if self._most is None:
            return
        for row, level in too_wide(block, self._most).items():
            price, size = block.number(level, "price"), block.number(level, "quantity")
            detail = f"a level of {price} and {size}: no grid holds it and the others"
            block.refuse(row, Problem("number", detail))

    def _check_depth_stream(self, block: Block) -> None:
        rows = np.flatnonzero(block.messages["kind"] == DEPTH)
        if not len(rows):
            return
        names = block.messages["name"][rows]
        if self._depth_stream < 0:
            self._depth_stream = int(names[0])
        other = np.flatnonzero(names != self._depth_stream)
        if len(other):
            known = list(self.streams)
            raise InputError(
                f"{block.where(int(rows[other[0]]))}: a message of {known[names[other[0]]]}, "
                f"where {known[self._depth_stream]} was recorded before: two chains of changes",
                hint="import a recording of one diff. depth stream only",
            )

    def _list_invalid(self, block: Block, path: Path) -> None:
        for row in np.flatnonzero(block.messages["kind"] == INVALID).tolist():
            problem = block.problems[row]
            if self._strict:
                raise StrictError(
                    f"{path}, line {block.first_line + row}: {problem.reason}: {problem.detail}",
                    hint="without strict (--strict) the line is kept, flagged and counted",
                )
            self.reasons[problem.reason] += 1
            self.depth_unreadable += is_depth_line(block.line(row))
            if len(self.listed) < MAX_LISTED_LINES:
                self.listed.append(
                    {
                        "file": block.name,
                        "line": block.first_line + row,
                        "reason": problem.reason,
                        "detail": problem.detail,
                    }
                )

    def _truncated(self, file: RecordingFile | JournalRecording, detail: str, line: int) -> None:
        if self._strict:
            raise StrictError(
                f"{file.path}: {detail}{f', in line {line:,}' if line else ''}",
                hint="without strict (--strict) what can be read is kept and the break is flagged",
            )
        self.truncated.append(
            {"file": visible(file.path.name), "bytes": file.bytes, "line": line, "detail": detail}
        )

    def _control(self, event: str, name: str, capture_ns: int) -> None:
        self._line(capture_ns, {"stream": "control", "conn": 0, "event": event, "file": name})

    def _line(self, capture_ns: int, fields: dict[str, Any]) -> None:
        text = json.dumps(
            {"capture_ns": capture_ns, **fields}, ensure_ascii=False, separators=(",", ":")
        )
        self.journal.append(f"{text}\n".encode(), capture_ns)

    def _write(self, block: Block) -> None:
        """Journal the block: runs of lines of one hour, unreadable ones apart from the others."""
        messages = block.messages
        if not len(messages):
            return
        latest = np.maximum.accumulate(np.maximum(messages["recv"], self._latest))
        hours = latest // HOUR_NS
        turns = np.flatnonzero(np.diff(hours)) + 1
        flips = np.flatnonzero(np.diff(messages["kind"] == INVALID)) + 1
        snapshots = np.flatnonzero(messages["kind"] == SNAPSHOT)
        cuts = np.unique(np.concatenate([[0, len(messages)], turns, flips]))
        for start, stop in pairwise(cuts.tolist()):
            if messages[start].kind == INVALID:
                lines = invalid_lines(block, start, stop, latest)
                self.journal.append(lines, int(latest[start]))
                continue
            self.journal.append(self._lines.render(block, start, stop), int(latest[start]))
            for row in snapshots[(snapshots >= start) & (snapshots < stop)].tolist():
                self._list_snapshot(block, row)
        self._latest = int(latest[-1])
        known = np.flatnonzero(messages["recv"])
        self._ended = int(messages["recv"][known[-1]]) if len(known) else self._ended

    def _list_snapshot(self, block: Block, row: int) -> None:
        message = block.messages[row]
        bids, asks = int(message.bids), int(message.asks)
        if self.snapshot_limit is not None and max(bids, asks) > self.snapshot_limit:
            raise InputError(
                f"{block.where(row)}: a snapshot of {bids} bids and {asks} asks, where "
                f"{self.snapshot_limit} a side were asked for",
                hint="leave snapshot_limit (--snapshot-limit) out where they are of several limits",
            )
        self.snapshots.append(
            {
                "last_update_id": int(message.final),
                "bids": bids,
                "asks": asks,
                "capture_ns": int(message.recv),
                "file": block.name,
                "line": block.first_line + row,
                "journal": self.journal.name,
                "named": symbol_of(block.line(row)) is not None,
            }
        )


def _widen(span: list[int], times: Int64) -> None:
    """Widen a span of times to hold the known ones of ``times``."""
    times = times[times > 0]
    if len(times):
        span[0] = min(span[0] or int(times.min()), int(times.min()))
        span[1] = max(span[1], int(times.max()))


MORE = "(more streams)"


class LineWriter:
    """Renders the kept lines of blocks; payloads without a stream's name get the usual one."""

    def __init__(self, symbol: str) -> None:
        low = symbol.lower()
        # by kind: none, depth, trade, aggTrade, bookTicker, snapshot, other
        kinds = ("depth", "trade", "aggTrade", "bookTicker", "snapshot")
        names = [b"", *(f"{low}@{kind}".encode() for kind in kinds), b"other"]
        self._longest = max(map(len, names))
        self._names = np.frombuffer(b"".join(names), np.uint8)
        self._stops = np.array(list(accumulate(map(len, names))), np.int64)
        self._table = np.zeros((MAX_STREAMS, MAX_NAME_BYTES), np.uint8)
        self._sizes = np.zeros(MAX_STREAMS, np.int64)
        self._counts = np.zeros(MAX_STREAMS + 1, np.int64)
        self._used = 0

    def count(self, block: Block) -> None:
        """Count the kept lines per stream and note each line's stream in the block."""
        self._used = count_streams(
            block.buffer,
            block.messages,
            self._names,
            self._stops,
            self._table,
            self._sizes,
            self._counts,
            self._used,
        )

    def streams(self) -> dict[str, int]:
        """Lines per stream, in order of appearance."""
        named = {
            self._table[i, : self._sizes[i]].tobytes().decode("utf-8", "replace"): int(
                self._counts[i]
            )
            for i in range(self._used)
        }
        more = int(self._counts[MAX_STREAMS])
        return {**named, MORE: more} if more else named

    def render(self, block: Block, start: int, stop: int) -> bytes:
        """The journal lines of the kept ones among rows ``start`` … ``stop``."""
        spans = block.messages[start:stop]
        payloads = int((spans["payload_stop"] - spans["payload"]).sum())
        streams = int((spans["stream_stop"] - spans["stream"]).sum())
        room = payloads + streams + (stop - start) * (LINE_EXTRA + self._longest)
        out = np.empty(room, np.uint8)
        used = journal_lines(
            block.buffer, block.messages, start, stop, self._names, self._stops, out
        )
        return out[:used].tobytes()


def invalid_lines(block: Block, start: int, stop: int, latest: Int64) -> bytes:
    """What the journal says of lines that cannot be read."""
    name = json.dumps(block.name, ensure_ascii=False).encode()
    recv = block.messages["recv"][start:stop]
    times = np.where(recv > 0, recv, latest[start:stop]).tolist()
    return b"".join(
        b'{"capture_ns":%d,"stream":"invalid","conn":0,"reason":"%b","file":%b,"line":%d,'
        b'"data_b64":"%b"}\n'
        % (
            time,
            block.problems[row].reason.encode(),
            name,
            block.first_line + row,
            b2a_base64(block.line(row), newline=False),
        )
        for row, time in zip(range(start, stop), times, strict=True)
    )
