"""``rehearse``: a job replayed for what it finds; nothing is written.

The feed, the replayer and the counts are those of a reconstruction: what is found here is what the
seal of the same input would say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lobproof.errors import InputError
from lobproof.instruments import Instrument
from lobproof.paths import AnyPath
from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.day import DayTask, See
from lobproof.pipeline.feed import Feed
from lobproof.pipeline.golden import golden_job
from lobproof.pipeline.job import STATE_SPACING, ReconstructOptions, ReplayJob, Strategy
from lobproof.pipeline.results import Progress, Reached
from lobproof.pipeline.told import Row
from lobproof.replay import Replayer
from lobproof.sources.binance.source import BATCH_ROWS, GoldenSource
from lobproof.sources.golden import GoldenSample

Watch = Callable[[ReplayJob], See]
"""Makes, for an attempt, what is called with each chunk of its replay."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a replay found.

    ``reasons``: why better strategies are none. ``tried``: counts of each strategy that was
    replayed. ``refused``: why the feed is too lossy for ``strategy``, empty where it is not;
    ``doubts``: what was found then, for the next attempt.
    """

    instrument: Instrument
    provenance: str
    strategy: Strategy
    reasons: tuple[str, ...]
    counts: DayCounts
    coverage: Mapping[str, Any]
    tried: Mapping[Strategy, DayCounts]
    survey: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""
    doubts: Sequence[Row] = ()

    @property
    def span(self) -> tuple[int, int]:
        """First and last ``ts_order`` at which anything was heard, ns; 0 with nothing."""
        streams = self.coverage["streams"].values()
        firsts = [int(one["first"]) for one in streams if one["messages"]]
        lasts = [int(one["last"]) for one in streams if one["messages"]]
        return min(firsts, default=0), max(lasts, default=0)


def rehearse_sample(
    source: AnyPath | GoldenSample,
    *,
    watch: Watch | None = None,
    batch_rows: int = BATCH_ROWS,
    progress: Progress | None = None,
) -> Rehearsal:
    """Replay a golden sample as ``reconstruct_sample`` does, all of its days as one.

    Raises
    ------
    InputError
        If the sample is damaged, or holds neither depth messages nor trades.
    """
    sample = source if isinstance(source, GoldenSample) else GoldenSample.load(source)
    return rehearse(golden_job(GoldenSource(sample), batch_rows, sample.hashed()), watch, progress)


def rehearse(job: ReplayJob, watch: Watch | None, progress: Progress | None) -> Rehearsal:
    """Replay a job; a feed that is too lossy for its strategy is told in ``refused``.

    Raises
    ------
    InputError
        If the input is damaged, was changed meanwhile, or holds neither book nor trades.
    """
    options = ReconstructOptions()
    replayer = Replayer(
        job.instrument, state_every=STATE_SPACING[options.states], policy=job.policy
    )
    day = DayTask(
        job.days[0],
        replayer,
        None,
        keyframe_ns=options.keyframe_seconds * 1_000_000_000,
        strict=False,
        chainless=job.policy.chainless,
        told=job.told,
        watch=None if watch is None else watch(job),
    )
    feed, events = Feed(job.streams), 0
    try:
        for segment in feed:
            day.append(segment)
            events += len(segment.events)
            if progress is not None and len(segment):
                progress(Reached(events, segment.last_ts, feed.rows, job.rows))
        if not day.begun:
            raise InputError(
                f"{job.where} holds neither depth messages nor trades",
                hint="there is nothing to assess; `lobproof inspect` shows what a sample holds",
            )
        day.finish(feed.told() if job.one_day else ())
    finally:
        feed.close()
    job.check_inputs()
    refused = day.counts.no_go(job.strategy) if job.gate else ""
    return Rehearsal(
        job.instrument,
        job.provenance,
        job.strategy,
        tuple(job.reasons),
        day.counts,
        day.coverage,
        {job.strategy: day.counts},
        job.survey,
        refused,
        day.doubts(feed.outdated()) if refused else (),
    )
