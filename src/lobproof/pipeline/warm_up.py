"""``WarmUp``: brings a replayer to where a partial day begins."""

from __future__ import annotations

import numpy as np

from lobproof.errors import InputError
from lobproof.pipeline.job import Frame, Start
from lobproof.replay import Replayer, Segment
from lobproof.schema import PENDING_MESSAGES, PENDING_NS, Flag, Kind


class AnotherBookError(InputError):
    """The replay does not come to the book of the keyframe, or set out too near to be sure."""


class WarmUp:
    """Takes the events before a partial day: passed by, then replayed without a trace.

    Parameters
    ----------
    start
        Where the day begins.
    lead
        Which of its leads to set out from.
    replayer
        A new one.
    where
        Names the input in errors.
    """

    def __init__(self, start: Start, lead: Frame | None, replayer: Replayer, where: str) -> None:
        self._start = start
        self._lead = lead
        self._replayer = replayer
        self._where = where
        self._set_out = False
        self._arrived = False
        self._life_ts = 0
        self._events = 0
        self._messages = 0
        self._told_ts = 0
        self._last_ts = 0

    def rest(self, segment: Segment) -> Segment:
        """What of a stretch belongs to the partial day; the rest of it is taken.

        Raises
        ------
        AnotherBookError
            If the book is not the one of the keyframe where the day begins.
        """
        if self._arrived:
            return segment
        if not self._set_out and self._lead is not None:
            passed, segment = _split(segment, self._lead.from_ns)
            self._pass_by(passed)
        lead, segment = _split(segment, self._start.at.from_ns)
        if len(lead):
            self._replay(lead)
        if len(segment):
            self._arrive()
        return segment

    def check_arrived(self) -> None:
        """Raise `InputError` where the input ended before the partial day began."""
        if not self._arrived:
            raise InputError(
                f"{self._where} ends before the keyframe to start at",
                hint="name a --base that was made from these files",
            )

    def _pass_by(self, passed: Segment) -> None:
        if len(passed.events):
            self._replayer.pass_by(passed.events)
        if len(passed):
            self._life_ts = passed.last_ts

    def _begin(self, ts: int) -> None:
        """Take over the book to set out from, once all that lies before it has been passed by."""
        if self._set_out:
            return
        self._set_out = True
        if self._lead is not None:
            # all that was passed by counts as life, rows of `book` as if they had agreed (the book
            # was trusted); where that hides a silence, the books differ at the boundary, or
            # nothing of it is left
            last_ts = self._life_ts if self._lead.last_ts is None else self._lead.last_ts
            self._replayer.carry(self._lead.book, last_ts)
        self._replayer.begin_day(ts)

    def _replay(self, lead: Segment) -> None:
        ts = [int(part.ts_order[0]) for part in (lead.events, lead.vendor_rows) if len(part)]
        self._begin(min(ts))
        told = Kind.DELTA if self._start.strategy == "full" else Kind.SNAPSHOT
        ends = (lead.events.flags & Flag.LAST) != 0
        told_ts = lead.events.ts_order[ends & (lead.events.kind == told)]
        self._messages += len(told_ts)
        self._told_ts = max([self._told_ts, *told_ts[-1:].tolist()])
        for chunk in self._replayer.chunks(lead, self._events):
            self._events += len(chunk)
        self._last_ts = lead.last_ts

    def _arrive(self) -> None:
        self._begin(self._start.at.from_ns)
        self._arrived = True
        # the minute, and findings up to here, are not the partial day's
        self._replayer.end_day(max(self._events - 1, 0), self._last_ts)
        lead = self._lead
        # then nothing is left of what only an earlier replay knew: trades wait no longer
        sure = (
            lead is None
            or lead.last_ts is not None
            or (self._messages >= PENDING_MESSAGES and self._told_ts - lead.from_ns >= PENDING_NS)
        )
        if not sure or not self._replayer.levels().equals(self._start.at.book):
            raise AnotherBookError(
                f"{self._where}: the replay does not come to the book of the keyframe to start at",
                hint="name a --base that was made from these files, with the same options",
            )


def _split(segment: Segment, ts: int) -> tuple[Segment, Segment]:
    """What of a stretch is before a time, and what is not."""
    row, vendor_row = (
        int(np.searchsorted(part.ts_order, ts)) for part in (segment.events, segment.vendor_rows)
    )
    return segment.slice(0, 0, row, vendor_row), segment.after(row, vendor_row)
