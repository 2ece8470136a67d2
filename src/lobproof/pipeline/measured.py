"""The metrics of a day that is reconstructed: observed in its replay, kept once it is sealed."""

from __future__ import annotations

from pathlib import Path

from lobproof.fidelity.metrics.blocks import Blocks, Scale
from lobproof.fidelity.metrics.files import save
from lobproof.fidelity.metrics.measure import measure
from lobproof.fidelity.metrics.observer import Observer
from lobproof.pipeline.job import ReplayJob
from lobproof.replay import Chunk
from lobproof.stages import timed
from lobproof.store import DayContent, Partition, Scope, open_store


class Watched:
    """Sees each chunk of a day's replay from its first event on."""

    def __init__(self, job: ReplayJob) -> None:
        self._observer = Observer(job.instrument, scale_of(job))
        self._rows = 0

    def __call__(self, chunk: Chunk) -> None:
        """Take in what a chunk holds."""
        timed("measure", lambda: self._observe(chunk), lambda _: len(chunk))

    def _observe(self, chunk: Chunk) -> None:
        self._observer.add(chunk.parts, chunk.output.states, self._rows)
        self._rows += len(chunk)

    def finish(self) -> Blocks:
        """The blocks."""
        return self._observer.finish()


def scale_of(job: ReplayJob) -> Scale:
    """What the metrics of a job's days are counted in."""
    return Scale.of(job.instrument, job.block_ns)


def keep_metrics(
    out: Path,
    job: ReplayJob,
    partition: Partition,
    content: DayContent,
    watched: Watched | None,
) -> None:
    """Keep the blocks of a day that was just sealed; from its tables where nobody watched it."""
    if watched is not None:
        blocks = watched.finish()
    else:
        exchange, symbol = partition.exchange, partition.symbol
        store, scale = open_store(out, Scope.of(partition)), scale_of(job)
        blocks = measure(store, symbol, partition.dt, scale=scale, exchange=exchange)
    save(out, partition, content.content_hash, blocks)
