"""One pass over recordings: their lines into journals, and what is to be known about them."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lobproof.documents import QUOTED
from lobproof.errors import InputError, StrictError, shown, visible
from lobproof.schema import Int64
from lobproof.sources.binance.decode import symbol_of
from lobproof.sources.binance.journal import HOUR_NS, JournalWriter
from lobproof.sources.binance.message_kernels import (
    AGGREGATE,
    ASKS,
    BIDS,
    DEPTH,
    EMPTY,
    EVENT,
    FINAL,
    FIRST,
    FOREIGN,
    FUTURES,
    INVALID,
    KIND,
    NAME,
    NO_EXECUTION,
    OTHER,
    PREVIOUS,
    PRICE,
    RECV,
    SIZE,
    SNAPSHOT,
    TAKER,
    TICKER,
    TRADE,
)
from lobproof.sources.binance.problem import Problem
from lobproof.sources.binance.scanner import Block, Scanner, is_depth_line
from lobproof.sources.recordings.audit import ClockAudit, IdAudit, NumberAudit, too_wide
from lobproof.sources.recordings.audit_kernels import count_partial
from lobproof.sources.recordings.lines import LineWriter, invalid_lines
from lobproof.sources.recordings.probe import Probe, few, symbols_in
from lobproof.sources.recordings.reader import CUT_BYTES, RecordingFile

MAX_LISTED_LINES = 100
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
        self.depth_unreadable = 0
        self._partial = 0  # depth messages that look like partial depth
        self.reasons: Counter[str] = Counter()
        self.listed: list[dict[str, Any]] = []
        self.truncated: list[dict[str, Any]] = []
        self.recv_span = [0, 0]
        self.event_span = [0, 0]
        self._bases: list[int] = []
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
        stamps, name = source.stamps, visible(source.path.name)
        file = RecordingFile(source.path)
        if stamps is None:
            self._read_empty(file)
            return
        if self._bases and stamps.first_ns < self._ended:
            raise InputError(
                f"{source.path} begins before {self._last_file} ends: they overlap in time",
                hint="files of one sample follow each other; import parallel recordings one by one",
            )
        self._latest = max(self._latest, stamps.first_ns)
        self._bases.append(self._lines_before)
        scanner = Scanner(
            self.symbol, MARKET_KINDS, recorded=True, doubt_foreign=not self._keep_only
        )
        self._control("file_start", name, stamps.first_ns)
        before = Counter(self.counts)
        line = 1
        for data in file:
            block = scanner.scan(data, name, line)
            if file.cut:
                detail = f"a line of {file.cut:,} bytes, of which {CUT_BYTES:,} are kept"
                block.refuse(0, Problem("length", detail))
            self._take(block, source.path)
            line += len(block.ends)
            self._lines_before += len(block.ends)
            read(file.bytes)
        if file.truncated_at is not None:
            at = f"the {file.compression} data breaks off at byte {file.truncated_at}"
            self._truncated(file, at, line - 1)
            self._control("truncated", name, self._latest)
        self._control("file_end", name, self._latest)
        self._last_file = str(source.path)
        self._list_input(file, stamps.unit, line - 1, before)

    def _read_empty(self, file: RecordingFile) -> None:
        """A file in which nothing is: a recorder's that died as it began."""
        for _ in file:
            pass
        self._bases.append(self._lines_before)
        self._truncated(file, "the file is empty", 0)
        self._list_input(file, "", 0, Counter(self.counts))

    def _list_input(self, file: RecordingFile, unit: str, lines: int, before: Counter[int]) -> None:
        now = self.counts
        self.inputs.append(
            {
                "name": visible(file.path.name),
                "bytes": file.bytes,
                "sha256": file.sha256,
                "stamp_unit": unit,
                "lines": lines,
                "kept": sum(now[k] - before[k] for k in range(DEPTH, OTHER + 1)),
                "invalid": now[INVALID] - before[INVALID],
                "other_symbol": now[FOREIGN] - before[FOREIGN],
                "blank": now[EMPTY] - before[EMPTY],
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
        index = bisect_right(self._bases, number) - 1
        name = self.inputs[index]["name"] if index < len(self.inputs) else "the last file"
        return f"{name}, line {number - self._bases[index] + 1}"

    def _take(self, block: Block, path: Path) -> None:
        messages = block.messages
        self._refuse_foreign(block, path)
        self._check_market(block)
        self._check_numbers(block)
        self._lines.count(block)
        self._check_depth_stream(block)
        kinds, counts = np.unique(messages[:, KIND], return_counts=True)
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            self.counts[kind] += count
        self._list_invalid(block, path)
        self._audit(block)
        self._write(block)

    def _audit(self, block: Block) -> None:
        messages = block.messages
        kinds = messages[:, KIND]
        for kind, audit in ((DEPTH, self.chain), *self.trades.items()):
            of_kind = messages[kinds == kind]
            ids = (of_kind[:, column] for column in (FIRST, FINAL, PREVIOUS, EVENT))
            audit.add(*ids)
            stream = "depth" if kind == DEPTH else "trades"
            self.clock.add(stream, of_kind[:, RECV], of_kind[:, EVENT])
            _widen(self.event_span, of_kind[:, EVENT])
        _widen(self.recv_span, messages[(kinds >= DEPTH) & (kinds <= OTHER), RECV])
        self.numbers.add(block, self._lines_before)
        self._partial += count_partial(block.buffer, messages, block.levels)
        self.without_execution += int(
            np.count_nonzero((kinds == TRADE) & (messages[:, TAKER] == NO_EXECUTION))
        )
        depth = messages[kinds == DEPTH]
        self.level_changes += int(depth[:, BIDS].sum() + depth[:, ASKS].sum())

    def _refuse_foreign(self, block: Block, path: Path) -> None:
        rows = np.flatnonzero(block.messages[:, KIND] == FOREIGN)
        if self._keep_only or not len(rows):
            return
        row = int(rows[0])
        named = symbol_of(block.line(row))
        known = dict.fromkeys([self.symbol, str(named), *symbols_in(path)])
        raise InputError(
            f"{path}, line {block.first_line + row}: a message of {shown(str(named), QUOTED)} in a "
            f"recording of {self.symbol}; symbols: {few(known)}",
            hint=f"import them one by one: --symbol {self.symbol} keeps one and counts the rest",
        )

    def _check_market(self, block: Block) -> None:
        """Depth messages chain either as on spot or as on futures; the first decides."""
        messages = block.messages
        kinds = messages[:, KIND]
        rows = np.flatnonzero(kinds == DEPTH)
        if not len(rows):
            return
        if self.futures is None:
            self.futures = bool(messages[rows[0], FUTURES])
        for row in rows[messages[rows, FUTURES] != self.futures].tolist():
            detail = "has no pu, unlike" if self.futures else "has pu, unlike"
            block.refuse(row, Problem("market", f"{detail} the depth messages before"))

    def _check_numbers(self, block: Block) -> None:
        """A number so wide that no grid holds it and the others makes its line unreadable."""
        if self._most is None:
            return
        for row, level in too_wide(block, self._most).items():
            price, size = block.number(level, PRICE), block.number(level, SIZE)
            detail = f"a level of {price} and {size}: no grid holds it and the others"
            block.refuse(row, Problem("number", detail))

    def _check_depth_stream(self, block: Block) -> None:
        rows = np.flatnonzero(block.messages[:, KIND] == DEPTH)
        if not len(rows):
            return
        names = block.messages[rows, NAME]
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
        for row in np.flatnonzero(block.messages[:, KIND] == INVALID).tolist():
            problem = block.problems[row]
            if self._strict:
                raise StrictError(
                    f"{path}, line {block.first_line + row}: {problem.reason}: {problem.detail}",
                    hint="without --strict the line is kept, flagged and counted",
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

    def _truncated(self, file: RecordingFile, detail: str, line: int) -> None:
        if self._strict:
            raise StrictError(
                f"{file.path}: {detail}, in line {line}",
                hint="without --strict what can be read is kept and the break is flagged",
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
        latest = np.maximum.accumulate(np.maximum(messages[:, RECV], self._latest))
        hours = latest // HOUR_NS
        turns = np.flatnonzero(np.diff(hours)) + 1
        flips = np.flatnonzero(np.diff(messages[:, KIND] == INVALID)) + 1
        snapshots = np.flatnonzero(messages[:, KIND] == SNAPSHOT)
        cuts = np.unique(np.concatenate([[0, len(messages)], turns, flips]))
        for start, stop in pairwise(cuts.tolist()):
            if messages[start, KIND] == INVALID:
                lines = invalid_lines(block, start, stop, latest)
                self.journal.append(lines, int(latest[start]))
                continue
            self.journal.append(self._lines.render(block, start, stop), int(latest[start]))
            for row in snapshots[(snapshots >= start) & (snapshots < stop)].tolist():
                self._list_snapshot(block, row)
        self._latest = int(latest[-1])
        known = np.flatnonzero(messages[:, RECV])
        self._ended = int(messages[known[-1], RECV]) if len(known) else self._ended

    def _list_snapshot(self, block: Block, row: int) -> None:
        message = block.messages[row]
        bids, asks = int(message[BIDS]), int(message[ASKS])
        if self.snapshot_limit is not None and max(bids, asks) > self.snapshot_limit:
            raise InputError(
                f"{block.where(row)}: a snapshot of {bids} bids and {asks} asks, where "
                f"{self.snapshot_limit} a side were asked for",
                hint="leave --snapshot-limit out where snapshots of several limits were recorded",
            )
        self.snapshots.append(
            {
                "last_update_id": int(message[FINAL]),
                "bids": bids,
                "asks": asks,
                "capture_ns": int(message[RECV]),
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
