"""``DayTask``: the part of a task that fills one symbol-day."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from lobproof.errors import StrictError
from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.told import Row, Told, doubts_of
from lobproof.replay import (
    Chunk,
    Replayer,
    ReplayOutput,
    Segment,
    bridged,
    quality_rows,
)
from lobproof.replay.merge import Array
from lobproof.replay.replayer import CHUNK_ROWS
from lobproof.replay.state_kernels import FINDING_ROW
from lobproof.schema import Finding, Int64
from lobproof.schema.records import Records, joined_rows, new_rows, numbers, records
from lobproof.stages import each, timed
from lobproof.store import DayContent, DayWriter, Keyframe

TOLERATED = (
    Finding.OFF_TICK,
    Finding.OFF_LOT,
    Finding.TRADE_UNCONFIRMED,
    Finding.UNSEEDED,
    Finding.TOUCH_BEYOND_RANGE,
)
"""Findings that strict mode lets pass, whatever their severity: they come with sound input.

Prices and sizes off the rules, trades that no depth message names, the time before the first
snapshot, and a touch beyond the levels that it lists."""

_TOLERATED = [int(code) for code in TOLERATED]


def first_refused(codes: Int64, first: Int64, last: Int64, events: int) -> int | None:
    """The row of the first finding that strict mode refuses; None where there is none.

    ``first``, ``last``: events that each covers. A book that no snapshot seeded in all of the
    ``events`` is refused, too.
    """
    never_seeded = (codes == int(Finding.UNSEEDED)) & (first == 0) & (last == events - 1)
    rows = np.flatnonzero(~np.isin(codes, _TOLERATED) | never_seeded)
    if not len(rows):
        return None
    return int(rows[np.lexsort((codes[rows], first[rows]))[0]])


def refuse_sealed(dt: str, quality: pl.DataFrame, events: int) -> None:
    """StrictError at the first finding of a sealed day that strict mode would have refused.

    ``quality``: its rows of that table, as they are stored.
    """
    codes, first, last = (
        quality[name].cast(pl.Int64).to_numpy()
        for name in ("code", "first_event_id", "last_event_id")
    )
    at = first_refused(codes, first, last, events)
    if at is not None:
        raise _refusal(dt, int(codes[at]), int(first[at]), str(quality["detail"][at]))


def _refusal(dt: str, code: int, first: int, detail: str) -> StrictError:
    return StrictError(
        f"{dt}: {Finding(code).name} at event {first}: {detail}",
        hint="without strict (--strict) the same is flagged in the store, with a row of `quality`",
    )


See = Callable[[Chunk], None]
Checkpoint = Callable[[Segment], None]
"""Called where a part of events has closed, with what is left of the segment."""


class DayTask:
    """Feeds one day's events through the replayer into a writer (or nowhere, with none).

    Parameters
    ----------
    writer
        ``None`` where the day is sealed already and only the replay has to pass through it.
    keyframe_ns
        Spacing of keyframes between the one that opens and the one that closes the day.
    strict
        Raise :class:`StrictError` at the first gap or doubt.
    chainless
        Whether the feed has no chain: its ids show no loss.
    told
        Findings that the day has beside those of its replay.
    watch
        Called with each chunk of the replay.
    """

    def __init__(
        self,
        dt: str,
        replayer: Replayer,
        writer: DayWriter | None,
        *,
        keyframe_ns: int,
        strict: bool,
        chainless: bool = False,
        told: Sequence[Row] = (),
        watch: See | None = None,
    ) -> None:
        self.dt = dt
        self.counts = DayCounts()
        self.coverage: dict[str, Any] = {}
        self.writer = writer
        self._replayer = replayer
        self._keyframe_ns = keyframe_ns
        self._strict = strict
        self._chainless = chainless
        self._told = Told(told)
        self._watch = watch
        self.begun = False
        self._rows = 0
        self._first_ts = 0
        self._last_ts = 0
        self._next_keyframe = 0
        self._last_keyframe = -2
        self._findings: list[Records] = [new_rows(FINDING_ROW, 0)]

    def append(self, segment: Segment, checkpoint: Checkpoint | None = None) -> None:
        """Replay and write whole messages of this day, and the vendor rows among them."""
        if not self.begun:
            self.begun = True
            first_ts = self._first_ts = _first_ts(segment)
            self._replayer.begin_day(first_ts)
            self._keyframe(first_ts)
            self._next_keyframe = first_ts - first_ts % self._keyframe_ns + self._keyframe_ns
        # what a run that was gone on from here had still to insert comes first
        while len(segment) or self._replayer.is_due:
            ts = _first_ts(segment) if len(segment) else 0
            if ts >= self._next_keyframe and not self._replayer.is_due:
                self._keyframe(self._last_ts)
                self._next_keyframe = ts - ts % self._keyframe_ns + self._keyframe_ns
                continue
            rows, vendor_rows = (
                int(np.searchsorted(part.ts_order, self._next_keyframe))
                for part in (segment.events, segment.vendor_rows)
            )
            part = segment.slice(0, 0, rows, vendor_rows)
            segment = segment.after(rows, vendor_rows)
            chunks = self._replayer.chunks(part, self._rows, self._room)
            for chunk in each("replay", chunks, len):
                self._write(chunk)
                closed = self.writer is not None and self.writer.at_part_end
                if checkpoint is not None and closed and len(chunk):
                    checkpoint(Segment.concat([chunk.rest, segment]))

    def finish(self, told: Sequence[Row] = ()) -> DayContent | None:
        """Close the day: last minute, open doubts, closing keyframe, files.

        ``told``: what only its end tells of the whole day.
        """
        self._take(self._replayer.end_day(self._rows - 1, self._last_ts))
        self._keyframe(self._last_ts)
        findings = self._found()
        if self._chainless:
            findings = bridged(findings)
        self._findings = [findings]
        span = (self._rows, self._first_ts, self._last_ts)
        findings = joined_rows(
            [findings, *(one.findings(*span) for one in (self._told, Told(told)))]
        )
        if self._strict:
            self._refuse(findings, self._rows)
        self.counts.close(self._rows, findings)
        self.coverage = self._replayer.coverage(findings)
        if self.writer is None:
            return None
        self.writer.quality(quality_rows(findings))
        return self.writer.close()

    def _found(self) -> Records:
        """What the replay has found so far."""
        return joined_rows(self._findings)

    def doubts(self, outdated: Int64) -> list[Row]:
        """What the replay found that puts the book in doubt, once it is finished.

        ``outdated``: see :meth:`Feed.outdated`.
        """
        return doubts_of(self._found(), outdated)

    def go_on_in_silence(self) -> None:
        """Write no more: what the rest of the day would show is still to be known."""
        self.abort()
        self.writer = None

    def abort(self) -> None:
        """Remove what was written, but for what a checkpoint lists."""
        if self.writer is not None:
            self.writer.abort()

    def save(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """State at the end of a part, as a document and arrays."""
        document = {
            "rows": self._rows,
            "first_ts": self._first_ts,
            "last_ts": self._last_ts,
            "next_keyframe": self._next_keyframe,
            "last_keyframe": self._last_keyframe,
            "counts": self.counts.to_dict(),
        }
        return document, {"findings": numbers(self._found()), **self._told.save()}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Continue from what :meth:`save` returned; the writer must have been resumed there."""
        self.begun = True
        self._rows = int(document["rows"])
        self._first_ts = int(document["first_ts"])
        self._last_ts = int(document["last_ts"])
        self._next_keyframe = int(document["next_keyframe"])
        self._last_keyframe = int(document["last_keyframe"])
        self.counts = DayCounts.of(document["counts"])
        self._findings = [records(FINDING_ROW, arrays["findings"].astype(np.int64))]
        self._told.load(arrays)

    def _room(self) -> int:
        return CHUNK_ROWS if self.writer is None else self.writer.room

    def _write(self, chunk: Chunk) -> None:
        if len(chunk):
            if self.writer is not None:
                append = partial(self.writer.append, chunk.parts, chunk.output.states)
                timed("append", append, lambda _: len(chunk))
            for part in chunk.parts:
                self._told.add(part.ts_order, self._rows)
                self._rows += len(part)
            self._last_ts = int(chunk.parts[-1].ts_order[-1])
        if self._watch is not None:
            self._watch(chunk)
        self._take(chunk.output)

    def _take(self, output: ReplayOutput) -> None:
        self._findings.append(output.findings)
        self.counts.add(output)
        if self._strict:
            self._refuse_doubt(output)
        if self.writer is not None and len(output.minutes["minute"]):
            self.writer.minutes({name: column.tolist() for name, column in output.minutes.items()})

    def _refuse_doubt(self, output: ReplayOutput) -> None:
        # a doubt is a finding only once it ends, a tally once its minute does
        found = self._replayer.open_findings(self._rows - 1, self._last_ts)
        # an open minute may come out of it yet
        early = [int(Finding.UNSEEDED), int(Finding.STALE_BOOK)]
        still = found[~np.isin(found["code"], early)]
        findings = joined_rows([output.findings, still])
        self._refuse(findings, self._rows)

    def refuse_found(self) -> None:
        """StrictError at the first gap or doubt that a run found which was not strict."""
        self._refuse(self._found(), 0)  # of no day's end yet

    def _refuse(self, findings: Records, events: int) -> None:
        codes, first, last = (
            findings[name].astype(np.int64) for name in ("code", "first_event_id", "last_event_id")
        )
        at = first_refused(codes, first, last, events)
        if at is not None:
            detail = str(quality_rows(findings[at : at + 1])["detail"][0])
            raise _refusal(self.dt, int(codes[at]), int(first[at]), detail)

    def _keyframe(self, ts: int) -> None:
        event_id = self._rows - 1
        if self.writer is None or event_id == self._last_keyframe:
            return
        self._last_keyframe = event_id
        self.writer.keyframe(Keyframe(event_id, ts, self._replayer.levels()))


def _first_ts(segment: Segment) -> int:
    return min(int(part.ts_order[0]) for part in (segment.events, segment.vendor_rows) if len(part))
