"""``measure_sample``: the metrics of a golden sample, from a replay that writes nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lobproof.fidelity.metrics.blocks import Blocks, Scale, merged
from lobproof.fidelity.metrics.common import AS_THEY_ARE, Common, begins, observer_of
from lobproof.fidelity.metrics.observer import Observer
from lobproof.instruments import Instrument
from lobproof.paths import AnyPath
from lobproof.pipeline.job import ReplayJob
from lobproof.pipeline.measured import scale_of
from lobproof.pipeline.rehearse import rehearse_sample
from lobproof.pipeline.results import Reached
from lobproof.replay import Chunk
from lobproof.schema import EventBatch, Flag, Int64, Kind
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.timespan import DAY_NS


class _ByDay:
    """Sees each chunk of a sample's replay; each UTC day of it is measured apart.

    Nothing goes on across midnight, as where each day has a task of its own.
    """

    def __init__(self, instrument: Instrument, scale: Scale, common: Common) -> None:
        self._instrument, self._scale, self._common = instrument, scale, common
        self._observer: Observer | None = None
        self._day = -1
        self._rows = 0
        self._done: list[Blocks] = []

    def __call__(self, chunk: Chunk) -> None:
        """Take in what a chunk holds, day by day."""
        parts, states = list(chunk.parts), chunk.output.states
        while any(map(len, parts)):
            parts = [part for part in parts if len(part)]
            day = int(parts[0].ts_order[0]) // DAY_NS
            if day != self._day:
                self._close()
                self._day = day
                self._observer = observer_of(self._instrument, self._scale, common=self._common)
            end = (day + 1) * DAY_NS
            ours = [part.slice(0, int(np.searchsorted(part.ts_order, end))) for part in parts]
            parts = [part.slice(len(own), len(part)) for part, own in zip(parts, ours, strict=True)]
            met = int(np.searchsorted(states.ts_order, end))
            if self._observer is not None:
                self._observer.add(ours, states.slice(0, met), self._rows)
            states = states.slice(met, len(states))
            self._rows += sum(map(len, ours))

    def finish(self) -> list[Blocks]:
        """The blocks of each day."""
        self._close()
        return self._done

    def _close(self) -> None:
        if self._observer is not None:
            self._done.append(self._observer.finish())
            self._observer = None


def measure_sample(
    source: AnyPath | GoldenSample,
    *,
    scale: Scale | None = None,
    common: Common = AS_THEY_ARE,
    progress: Callable[[Reached], None] | None = None,
) -> Blocks:
    """Measure a golden sample: it is replayed as ``reconstruct`` does, and nothing is written.

    Parameters
    ----------
    scale
        By default that of its instrument; blocks of 10 s where it has less than six hours.
    common
        What is left of the feed, to be held against another kind of one.

    Raises
    ------
    InputError
        If the sample is damaged, or holds neither depth messages nor trades.
    """
    watches: list[_ByDay] = []

    def watch(job: ReplayJob) -> _ByDay:
        watches.append(_ByDay(job.instrument, scale or scale_of(job), common))
        return watches[-1]

    rehearse_sample(source, watch=watch, progress=progress)
    return merged(watches[-1].finish())


def trade_times(sample: GoldenSample, common: Common = AS_THEY_ARE) -> Int64:
    """The exchange's times of a golden sample's trades, ns, in order.

    Errors as of `measure_sample`.
    """
    trades = EventBatch.concat([EventBatch.empty(), *GoldenSource(sample).trades()])
    times = trades.ts_event
    return np.sort(times[begins(times, trades.price, trades.side)] if common.trades else times)


def depth_ids(sample: GoldenSample) -> Int64:
    """The update ids at which a golden sample's depth messages end, rising.

    Errors as of `measure_sample`.
    """
    found = []
    for batch in GoldenSource(sample).book():
        ends = (batch.flags & int(Flag.LAST)) != 0
        found.append(batch.sequence[ends & (batch.kind != int(Kind.SNAPSHOT))])
    return np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
