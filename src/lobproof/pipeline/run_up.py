"""``RunUp``: brings a replayer to where a partial day begins."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from lobproof.errors import InputError
from lobproof.pipeline.unit import Start
from lobproof.replay import BookLevels, Replayer, Stretch


class RunUp:
    """Takes the events before a partial day: passed by, then replayed without a trace.

    Parameters
    ----------
    start
        Where the day begins.
    replayer
        A new one.
    where
        Names the input in errors.
    """

    def __init__(self, start: Start, replayer: Replayer, where: str) -> None:
        self._start = start
        self._replayer = replayer
        self._where = where
        self._set_out = False
        self._arrived = False
        self._life_ts = 0
        self._events = 0
        self._last_ts = 0

    def rest(self, stretch: Stretch) -> Stretch:
        """What of a stretch belongs to the partial day; the rest of it is taken.

        Raises
        ------
        InputError
            If the book is not the one of the keyframe where the day begins.
        """
        if self._arrived:
            return stretch
        if not self._set_out and self._start.lead is not None:
            passed, stretch = _split(stretch, self._start.lead.from_ns)
            self._pass_by(passed)
        lead, stretch = _split(stretch, self._start.at.from_ns)
        if len(lead):
            self._replay(lead)
        if len(stretch):
            self._arrive()
        return stretch

    def check_arrived(self) -> None:
        """Raise `InputError` where the input ended before the partial day began."""
        if not self._arrived:
            raise InputError(
                f"{self._where} ends before the keyframe to start at",
                hint="name a --base that was made from these files",
            )

    def _pass_by(self, passed: Stretch) -> None:
        if len(passed.events):
            self._replayer.pass_by(passed.events)
        if len(passed):
            self._life_ts = passed.last_ts

    def _begin(self, ts: int) -> None:
        """Take over the book of the keyframe, once all that lies before it has been passed by."""
        if self._set_out:
            return
        self._set_out = True
        if self._start.lead is not None:
            # rows of `book` that were passed by are taken to have agreed: the book was trusted
            self._replayer.carry(self._start.lead.book, self._life_ts or ts)
        self._replayer.begin_day(ts)

    def _replay(self, lead: Stretch) -> None:
        ts = [int(part.ts_order[0]) for part in (lead.events, lead.references) if len(part)]
        self._begin(min(ts))
        for piece in self._replayer.pieces(lead, self._events):
            self._events += len(piece.events)
        self._last_ts = lead.last_ts

    def _arrive(self) -> None:
        self._begin(self._start.at.from_ns)
        self._arrived = True
        # the minute, and findings up to here, are not the partial day's
        self._replayer.end_day(max(self._events - 1, 0), self._last_ts)
        if not _equal(self._replayer.levels(), self._start.at.book):
            raise InputError(
                f"{self._where}: the replay comes to another book than the keyframe to start at",
                hint="name a --base that was made from these files with this strategy, or a --from "
                "some minutes apart",
            )


def _split(stretch: Stretch, ts: int) -> tuple[Stretch, Stretch]:
    """What of a stretch is before a time, and what is not."""
    row, reference = (
        int(np.searchsorted(part.ts_order, ts)) for part in (stretch.events, stretch.references)
    )
    return stretch.slice(0, 0, row, reference), stretch.after(row, reference)


def _equal(one: BookLevels, other: BookLevels) -> bool:
    names = [field.name for field in fields(BookLevels)]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
