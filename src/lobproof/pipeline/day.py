"""``DayTask``: the part of a task that fills one symbol-day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from lobproof.errors import StrictError
from lobproof.replay import QUALITY_SEVERITY, Replayer, Step, doubtful_time, quality_rows
from lobproof.replay.ledger_kernels import E_CODE, E_COUNT, E_FIRST
from lobproof.schema import EventBatch, Finding, Int64, Severity
from lobproof.store import DayContent, DayWriter, Keyframe

_TOLERATED = (
    Finding.OFF_TICK,
    Finding.OFF_LOT,
    Finding.TRADE_UNCONFIRMED,
    Finding.UNSEEDED,
    Finding.TOUCH_BEYOND_RANGE,
)
"""Findings that strict mode lets pass: normal for a venue, before the first snapshot, or beyond the
levels that it lists. None of them says that something is wrong with the input."""


@dataclass(frozen=True, slots=True)
class DayCounts:
    """What a day holds, for its seal and the summary."""

    events: int
    trades: int
    book_messages: int
    gaps: int
    doubtful_ns: int
    findings: dict[str, int]


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
    """

    def __init__(
        self,
        dt: str,
        replayer: Replayer,
        writer: DayWriter | None,
        *,
        keyframe_ns: int,
        strict: bool,
    ) -> None:
        self.dt = dt
        self._replayer = replayer
        self._writer = writer
        self._keyframe_ns = keyframe_ns
        self._strict = strict
        self._rows = 0
        self._last_ts = 0
        self._next_keyframe = 0
        self._last_keyframe = -2
        self._trades = 0
        self._book_messages = 0
        self._gaps = 0
        self._episodes: list[Int64] = []

    def append(self, batch: EventBatch) -> None:
        """Replay and write whole messages of this day, at least one."""
        first_ts = int(batch.ts_order[0])
        if self._rows == 0:
            self._replayer.begin_day(first_ts)
            self._keyframe(first_ts)
            self._next_keyframe = first_ts - first_ts % self._keyframe_ns + self._keyframe_ns
        start = 0
        while start < len(batch):
            stop = int(np.searchsorted(batch.ts_order, self._next_keyframe))
            if stop <= start:
                self._keyframe(self._last_ts)
                ts = int(batch.ts_order[start])
                self._next_keyframe = ts - ts % self._keyframe_ns + self._keyframe_ns
                continue
            self._replay(batch.slice(start, stop))
            start = stop

    def finish(self) -> tuple[DayContent | None, DayCounts]:
        """Close the day: last minute, open doubts, closing keyframe, files."""
        step = self._replayer.end_day(self._rows - 1, self._last_ts)
        self._take(step)
        self._keyframe(self._last_ts)
        episodes = np.concatenate(self._episodes)
        findings: Counter[str] = Counter()
        for row in episodes.tolist():
            findings[Finding(row[E_CODE]).name] += row[E_COUNT]
        counts = DayCounts(
            self._rows,
            self._trades,
            self._book_messages,
            self._gaps,
            doubtful_time(episodes),
            dict(sorted(findings.items())),
        )
        if self._writer is None:
            return None, counts
        self._writer.quality(quality_rows(episodes))
        return self._writer.close(), counts

    def abort(self) -> None:
        """Remove what was written."""
        if self._writer is not None:
            self._writer.abort()

    def _replay(self, batch: EventBatch) -> None:
        step = self._replayer.process(batch, self._rows)
        self._rows += len(batch)
        self._last_ts = int(batch.ts_order[-1])
        if self._writer is not None:
            self._writer.append(batch, step.states)
        self._take(step)

    def _take(self, step: Step) -> None:
        self._episodes.append(step.episodes)
        self._trades += int(step.minutes["trades"].sum())
        self._book_messages += int(step.minutes["book_messages"].sum())
        self._gaps += int(step.minutes["gaps"].sum())
        if self._strict:
            self._refuse_doubt(step)
        if self._writer is not None and len(step.minutes["minute"]):
            self._writer.minutes({name: column.tolist() for name, column in step.minutes.items()})

    def _refuse_doubt(self, step: Step) -> None:
        # a doubt is an episode only once it ends, a tally once its minute does
        found = self._replayer.open_findings(self._rows - 1, self._last_ts)
        still = found[found[:, E_CODE] != int(Finding.UNSEEDED)]
        episodes = np.concatenate([step.episodes, still])
        for row in episodes[np.lexsort((episodes[:, E_CODE], episodes[:, E_FIRST]))]:
            code = Finding(int(row[E_CODE]))
            never_seeded = code == Finding.UNSEEDED and row[E_FIRST] == 0 and self._is_end(row)
            if code in _TOLERATED and not never_seeded:
                continue
            detail = quality_rows(row[None, :])["detail"][0]
            raise StrictError(
                f"{self.dt}: {code.name} at event {int(row[E_FIRST])}: {detail}",
                hint="without --strict the same is flagged in the store, with a row of `quality`",
            )

    def _is_end(self, row: Int64) -> bool:
        return (
            QUALITY_SEVERITY[Finding(int(row[E_CODE]))] == Severity.DOUBT
            and int(row[2]) == self._rows - 1
        )

    def _keyframe(self, ts: int) -> None:
        event_id = self._rows - 1
        if self._writer is None or event_id == self._last_keyframe:
            return
        self._last_keyframe = event_id
        book = self._replayer.levels()
        self._writer.keyframe(
            Keyframe(
                event_id,
                ts,
                book.sequence,
                book.bid_prices,
                book.bid_sizes,
                book.ask_prices,
                book.ask_sizes,
                book.bid_trust,
                book.bid_trusted_to,
                book.ask_trust,
                book.ask_trusted_to,
            )
        )
