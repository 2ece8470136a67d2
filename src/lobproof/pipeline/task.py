"""``reconstruct_job``: one job into sealed days of a store.

A task is a pure function of its inputs and its options; its id is their hash. Days are sealed one
after the other, and inside a day a checkpoint is written at each end of a part of events: a killed
task goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lobproof.errors import InputError, UsageError
from lobproof.pipeline.counts import GAP_LIMIT
from lobproof.pipeline.day import DayTask, refuse_sealed
from lobproof.pipeline.feed import Feed
from lobproof.pipeline.job import STATE_SPACING, Frame, ReconstructOptions, ReplayJob
from lobproof.pipeline.measured import Watched, keep_metrics
from lobproof.pipeline.results import (
    DayResult,
    Note,
    Progress,
    Reached,
    ReconstructResult,
    sealed_day,
    sealed_days,
)
from lobproof.pipeline.start import AnotherBookError, WarmUp
from lobproof.pipeline.told import Row, rows_of_day
from lobproof.replay import Replayer, Segment
from lobproof.replay.merge import Array, arrays_of, segment_of
from lobproof.store import (
    FROM,
    CheckpointError,
    DayWriter,
    Partition,
    Saved,
    Scope,
    check_sealed,
    checkpoint_path,
    checkpointed_days,
    commit_day,
    drop_checkpoints,
    open_store,
    read_checkpoint,
    sealed,
    told_deleted,
)
from lobproof.timespan import DAY_NS


class NoGoError(Exception):
    """The feed is too lossy for the strategy; ``doubts``: what was found, which the next keeps."""

    def __init__(self, message: str, doubts: Sequence[Row]) -> None:
        super().__init__(message)
        self.doubts = doubts


def reconstruct_job(
    job: ReplayJob,
    out: Path,
    options: ReconstructOptions,
    *,
    strict: bool = False,
    overwrite: bool = False,
    metrics: bool = True,
    progress: Progress | None = None,
    note: Note | None = None,
) -> ReconstructResult:
    """Replay ``job`` into the store ``out``, whose lock for its days must be held.

    ``metrics``: keep the blocks of each day beside it (`lobproof.fidelity.metrics`), where its
    states are not thinned.

    Raises
    ------
    InputError
        If the input is damaged, or holds neither book messages nor trades.
    UsageError
        If a day is sealed from something else and ``overwrite`` is not set.
    StoreError
        If the days are sealed already, and their files are not as they were.
    StrictError
        In strict mode.
    NoGoError
        With a gate, when the feed is too lossy.
    """
    instrument = job.instrument
    task_id = job.task_id(options)
    # a recorder's clock may be off: a sample's events fill whichever days they are of
    dts = frozenset(job.days) if job.one_day else None
    seals = sealed(out, Scope(instrument.exchange, instrument.symbol, dts))
    ours = sealed_days(seals, task_id)
    about = (instrument.exchange, instrument.symbol, job.provenance, task_id)
    say = note or (lambda _: None)
    if ours and not overwrite:
        # "nothing to do" would be taken for a repair
        check_sealed(out, seals.filter(pl.col("task_id") == task_id))
        for day in ours:  # a run that was killed right behind its seal has left its checkpoint
            drop_checkpoints(out, Partition(instrument.exchange, instrument.symbol, day.dt))
        if strict:
            _refuse_doubts(out, job, ours)
        certified = bool(seals.filter(pl.col("task_id") == task_id)["certified"].all())
        if job.certified and not certified:
            say(f"{job.where} is sealed as uncertified; overwrite= (--overwrite) seals it anew.")
        return ReconstructResult(*about, ours, reused=True, certified=certified)
    leads = list(job.start.leads if job.start else (None,))
    while True:
        lead = leads.pop(0)
        run = _Run(job, out, options, task_id, seals, strict, overwrite, metrics, say, lead)
        try:
            days = run.replay(progress)
        except AnotherBookError:
            if not leads:
                raise
            say(f"{job.where}: no keyframe near is sure enough; replaying from the day's start.")
            continue
        return ReconstructResult(*about, days, certified=job.certified, resumed_at=run.resumed_at)


class _Run:
    """One run of a task: opens, fills and seals its days one after the other."""

    def __init__(
        self,
        job: ReplayJob,
        out: Path,
        options: ReconstructOptions,
        task_id: str,
        seals: pl.DataFrame,
        strict: bool,
        overwrite: bool,
        metrics: bool,
        note: Note,
        lead: Frame | None,
    ) -> None:
        self._job = job
        self._out = out
        self._options = options
        self._task_id = task_id
        self._seals = seals
        self._strict = strict
        self._overwrite = overwrite
        self._metrics = metrics and options.states == "all"
        self._watch: Watched | None = None
        self._note = note
        self._replayer = Replayer(
            job.instrument, state_every=STATE_SPACING[options.states], policy=job.policy
        )
        if job.carried is not None:
            self._replayer.carry(job.carried[0], job.carried[2])
        self._warm_up: WarmUp | None = None
        self._day: DayTask | None = None
        self._rest: Segment | None = None
        self._done: list[DayResult] = []
        self._carried_from = job.carried[1] if job.carried else ""
        if job.start is not None:
            self._warm_up = WarmUp(job.start, lead, self._replayer, job.where)
            self._carried_from = job.start.hash
        self.resumed_at = 0

    def replay(self, progress: Progress | None) -> tuple[DayResult, ...]:
        feed = self._opened()
        events = self.resumed_at
        try:
            if self._strict:
                self._refuse_what_is_there()
            if self._rest is not None:
                self._take(self._rest, feed)
            for segment in feed:
                ours = segment if self._warm_up is None else self._warm_up.rest(segment)
                self._take(ours, feed)
                events += len(ours.events)
                if progress is not None:
                    progress(Reached(events, segment.last_ts, feed.rows, self._job.rows))
            if self._warm_up is not None:
                self._warm_up.check_arrived()
            if self._day is None or not self._day.begun:
                raise InputError(
                    f"{self._job.where} holds neither depth messages nor trades",
                    hint="import a recording that has a depth stream, or name other files",
                )
            self._finish(self._day, feed, last=True)
        except BaseException:
            if self._day is not None:
                self._day.abort()
            raise
        finally:
            feed.close()
        return tuple(self._done)

    def _refuse_what_is_there(self) -> None:
        """Hold what a run has left that was not strict to what this one asks."""
        _refuse_doubts(self._out, self._job, self._done)
        if self._day is not None:
            self._day.refuse_found()

    def _take(self, segment: Segment, feed: Feed) -> None:
        """Replay a segment, day by day."""
        while len(segment) or self._replayer.is_due:
            dt, part, segment = self._first_day(segment)
            if self._day is None or self._day.dt != dt:
                if self._day is not None:
                    self._finish(self._day, feed, last=False)
                self._day = self._open(dt)
            self._day.append(part, partial(self._checkpoint, self._day, feed, segment))
            self._look_at(self._day)

    def _first_day(self, segment: Segment) -> tuple[str, Segment, Segment]:
        """The first day of a segment, what it has of it, and what it has of later ones."""
        if self._job.one_day or not len(segment):
            dt = self._job.days[0] if self._day is None else self._day.dt
            return dt, segment, segment.after(len(segment.events), len(segment.vendor_rows))
        number = int(segment.events.ts_order[0]) // DAY_NS
        row = int(np.searchsorted(segment.events.ts_order, (number + 1) * DAY_NS))
        dt = datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()
        return dt, segment.slice(0, 0, row, 0), segment.after(row, 0)

    def _open(self, dt: str) -> DayTask:
        before = self._seals.filter(pl.col("dt") == dt)
        writer: DayWriter | None = None
        ours = not before.is_empty() and before["task_id"][0] == self._task_id
        if self._overwrite or not ours:
            if not before.is_empty() and not self._overwrite:
                raise UsageError(
                    f"{dt} of {self._job.instrument.symbol} is sealed in {self._out} already, "
                    "from other inputs or with other options",
                    hint="overwrite= (--overwrite) replaces it; another store keeps both",
                )
            writer = DayWriter(
                self._out,
                self._job.instrument,
                dt,
                states=self._options.states != "none",
                part_rows=self._options.part_rows,
            )
        return self._task(dt, writer)

    def _task(self, dt: str, writer: DayWriter | None, *, resumed: bool = False) -> DayTask:
        if writer is not None and writer.deleted:
            self._note(told_deleted(self._out, writer.deleted))
        # a run that goes on from a checkpoint has not seen the whole day
        is_seen = self._metrics and writer is not None and not resumed
        self._watch = Watched(self._job) if is_seen else None
        return DayTask(
            dt,
            self._replayer,
            writer,
            keyframe_ns=self._options.keyframe_seconds * 1_000_000_000,
            strict=self._strict,
            chainless=self._job.policy.chainless,
            told=rows_of_day(self._job.told, dt),
            watch=self._watch,
        )

    def _look_at(self, day: DayTask) -> None:
        """Write no more where more is lost than the strategy bears, whatever comes.

        The replay goes on: what it finds is doubt in the day that is written in the end.
        """
        if not self._job.gate or self._job.strategy != "full" or day.writer is None:
            return
        if day.counts.lost >= max(ceil(GAP_LIMIT * self._job.most_messages), 1):
            day.go_on_in_silence()

    def _finish(self, day: DayTask, feed: Feed, *, last: bool) -> None:
        dt = day.dt
        content = day.finish(feed.told() if self._job.one_day else ())
        refused = day.counts.no_go(self._job.strategy) if self._job.gate else ""
        if refused:
            raise NoGoError(refused, day.doubts(feed.outdated()))
        if content is None:
            row = self._seals.filter(pl.col("dt") == dt).row(0, named=True)
            self._carried_from = row["keyframes_hash"]
            self._done.append(replace(sealed_day(row), counts=day.counts))
            return
        self._job.check_inputs()
        counts = day.counts
        if self._job.carried is not None or self._job.start is not None:
            counts.warm_up_ns = 0  # a book that was carried over untrusted had been lost
        partial_from = self._job.start.at.from_ns if self._job.start and not self._done else None
        committed = commit_day(
            self._out,
            content,
            {
                "provenance": self._job.provenance,
                "certified": self._job.certified,
                "strategy": self._job.strategy,
                "trades": counts.trades,
                "book_messages": counts.book_messages,
                "gaps": counts.gaps,
                "doubtful_ns": counts.doubtful_ns,
                "warm_up_ns": counts.warm_up_ns,
                "coverage": day.coverage,
                "inputs": [
                    {key: entry[key] for key in ("name", "bytes", "sha256")}
                    for entry in self._job.inputs
                ],
                "config": {
                    **asdict(self._options),
                    "ordered_by": "receive" if dt in self._job.receive_days else "event",
                    "order": asdict(self._job.streams.order),
                    "declared": asdict(self._job.declared),
                    "chained": not self._job.policy.chainless,
                    **({} if partial_from is None else {FROM: partial_from}),
                },
                "carried_from": self._carried_from,
                "task_id": self._task_id,
                "task_part": len(self._done),
                "task_last": last,
                "verdicts": {
                    "findings": counts.findings,
                    "counts": counts.to_dict(),
                    "gap_ratio": counts.gap_ratio,
                    "reasons": list(self._job.reasons),
                    **({"lag": lag} if (lag := self._job.survey.get("lag")) else {}),
                },
            },
        )
        drop_checkpoints(self._out, self._partition(dt))
        if self._metrics:
            keep_metrics(self._out, self._job, self._partition(dt), content, self._watch)
        self._carried_from = content.hashes["keyframes"]
        self._done.append(
            DayResult(
                dt,
                counts,
                content.content_hash,
                committed,
                self._job.strategy,
                self._job.reasons,
                partial_from,
            )
        )

    # --- checkpoints ---------------------------------------------------------------------------

    def _partition(self, dt: str) -> Partition:
        return Partition(self._job.instrument.exchange, self._job.instrument.symbol, dt)

    def _checkpoint(self, day: DayTask, feed: Feed, later: Segment, left: Segment) -> None:
        """Write down everything behind the part of events that has just closed."""
        assert day.writer is not None
        self._job.check_inputs()
        document, arrays = day.save()
        state: dict[str, Array] = {
            **_under("day", arrays),
            **_under("feed", feed.save()),
            **_under("replayer", self._replayer.save()),
            **_under("rest", arrays_of(Segment.concat([left, later]))),
        }
        day.writer.checkpoint(
            checkpoint_path(self._out, self._partition(day.dt), self._task_id),
            {
                "task": self._task_id,
                "content": list(self._job.content),
                "survey": dict(self._job.survey),
                "strategy": self._job.strategy,
                "reasons": list(self._job.reasons),
                "told": [list(row) for row in self._job.told],
                "dt": day.dt,
                "day": document,
                "carried_from": self._carried_from,
            },
            state,
        )

    def _opened(self) -> Feed:
        """The feed, from the last checkpoint on where there is one."""
        # not the input's days: a recorder whose clock is off names others
        days = checkpointed_days(self._out, self._job.instrument, self._task_id)
        for dt in reversed(days) if not self._overwrite else ():
            path = checkpoint_path(self._out, self._partition(dt), self._task_id)
            try:
                saved = read_checkpoint(path)
                if saved is None or saved.document["strategy"] != self._job.strategy:
                    continue
                return self._resumed(dt, saved)
            except CheckpointError as error:
                self._note(f"{error.message} The day starts anew.")
        return Feed(self._job.streams)

    def _resumed(self, dt: str, saved: Saved) -> Feed:
        writer = DayWriter.resume(
            self._out,
            self._job.instrument,
            dt,
            saved,
            states=self._options.states != "none",
            part_rows=self._options.part_rows,
        )
        document, arrays = saved
        self._warm_up = None  # it lies behind
        self._replayer.load(_below("replayer", arrays))
        self._day = self._task(dt, writer, resumed=True)
        self._day.load(document["day"], _below("day", arrays))
        self._rest = segment_of(_below("rest", arrays))
        self._carried_from = document["carried_from"]
        before = self._seals.filter(pl.col("dt") < dt, task_id=self._task_id).sort("task_part")
        self._done = [sealed_day(row) for row in before.iter_rows(named=True)]
        self.resumed_at = writer.rows
        return Feed(self._job.streams, _below("feed", arrays))


def _refuse_doubts(out: Path, job: ReplayJob, days: Sequence[DayResult]) -> None:
    """StrictError at the first gap or doubt of days that are sealed."""
    if not days:
        return
    instrument = job.instrument
    dts = frozenset(day.dt for day in days)
    store = open_store(out, Scope(instrument.exchange, instrument.symbol, dts))
    for day in days:
        rows = store.stored("quality", day.dt, instrument.symbol, exchange=instrument.exchange)
        refuse_sealed(day.dt, rows.collect(), day.counts.events)


def saved_strategy(
    out: Path, job: ReplayJob, options: ReconstructOptions
) -> tuple[str, Sequence[str], Sequence[Row]] | None:
    """Strategy, reasons and findings that a killed run of a one-day job had come to, or None."""
    instrument = job.instrument
    where = Partition(instrument.exchange, instrument.symbol, job.days[0])
    try:
        saved = read_checkpoint(checkpoint_path(out, where, job.task_id(options)))
    except CheckpointError:
        return None  # told where the run would go on from it
    if saved is None:
        return None
    return saved.document["strategy"], saved.document["reasons"], saved.document["told"]


def _under(name: str, arrays: dict[str, Array]) -> dict[str, Array]:
    return {f"{name}/{key}": array for key, array in arrays.items()}


def _below(name: str, arrays: dict[str, Any]) -> dict[str, Array]:
    start = f"{name}/"
    return {key[len(start) :]: array for key, array in arrays.items() if key.startswith(start)}
