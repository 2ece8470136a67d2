"""``reconstruct_sample``: a golden sample into sealed days of a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from lobproof.errors import UsageError
from lobproof.fidelity.metrics.blocks import block_ns_of
from lobproof.files import HashedFiles
from lobproof.paths import AnyPath, as_path, writing
from lobproof.pipeline.feed import Feed, Streams
from lobproof.pipeline.job import ReconstructOptions, ReplayJob
from lobproof.pipeline.results import Progress, ReconstructResult
from lobproof.pipeline.start import PartialDay, find_start
from lobproof.pipeline.task import reconstruct_job
from lobproof.pipeline.told import of_the_day
from lobproof.replay import Policy
from lobproof.replay.findings import AWAITED, CLOCK_NAMES
from lobproof.schema import EventBatch, Finding
from lobproof.schema.provenance import least_real
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.store import check_folder, symbol_lock


def reconstruct_sample(
    source: AnyPath,
    out: AnyPath,
    options: ReconstructOptions | None = None,
    *,
    since: PartialDay | None = None,
    strict: bool = False,
    overwrite: bool = False,
    metrics: bool = True,
    batch_rows: int = 1 << 16,
    progress: Progress | None = None,
    waiting: Callable[[str], None] | None = None,
) -> ReconstructResult:
    """Replay the golden sample ``source`` into the store ``out``.

    Parameters
    ----------
    source, out
        Folder of the golden sample; folder of the store, made if missing.
    options
        What shapes the content.
    since
        Begin with a partial day: from the last keyframe at or before a time on.
    strict
        Raise instead of flagging the first gap or doubt.
    overwrite
        Write every day anew, also days that were sealed from other inputs or options: repairs a
        store whose files are damaged.
    metrics
        Keep the metrics of each day beside it, unless ``states`` are thinned.
    batch_rows
        Rows decoded at a time; no effect on the result.
    progress, waiting
        Called now and then with the position, and when there is something to say: another process
        holds the symbol's lock, a checkpoint cannot be used.

    Raises
    ------
    InputError
        If the sample is damaged (every journal is held against its SHA-256 first), is changed
        meanwhile, or holds neither book messages nor trades.
    UsageError
        If a day is sealed from something else and ``overwrite`` is not set, or there is no
        keyframe to start at.
    StrictError
        In strict mode.
    """
    out = as_path(out)
    check_folder(out)
    sample = GoldenSample.load(source)
    job = golden_job(GoldenSource(sample), batch_rows, sample.hashed())
    instrument = job.instrument
    where = (instrument.exchange, instrument.symbol)
    with writing(out), symbol_lock(out, *where, waiting=waiting):
        return reconstruct_job(
            job if since is None else _from(job, since, out),
            out,
            options or ReconstructOptions(),
            strict=strict,
            overwrite=overwrite,
            metrics=metrics,
            progress=progress,
            note=waiting,
        )


def golden_job(golden: GoldenSource, batch_rows: int, journals: HashedFiles) -> ReplayJob:
    """The task of a golden sample whose journals were hashed."""
    sample = golden.sample
    return ReplayJob(
        where=str(sample.path),
        instrument=golden.instrument,
        provenance=golden.provenance,
        certified=False,
        inputs=golden.inputs,
        days=sorted(sample.document["clock"]["days"]),
        receive_days=sample.receive_days,
        streams=golden_streams(golden, batch_rows),
        declared=sample.declared,
        policy=Policy(),
        check_inputs=journals.check,
        told=[
            of_the_day(Finding.CLOCK, 1, CLOCK_NAMES.index(name), apart)
            for name, apart in sample.document["clock"].get("apart_s", {}).items()
        ]
        + [[int(Finding.TRADES_ABSENT), at, at, count, AWAITED, 0] for at, count in sample.awaited],
        content=[entry["sha256"] for entry in sample.document["journals"]],
        rows=_rows(sample),
        block_ns=_block_ns(sample),
    )


def _block_ns(sample: GoldenSample) -> int:
    """Length of the blocks of a sample's metrics."""
    span = sample.document["span"]
    return block_ns_of(int(span["last_recv_ns"]) - int(span["first_recv_ns"]))


def _rows(sample: GoldenSample) -> int:
    """Rows that a pass takes, but for the few that are marks."""
    counts = sample.document["counts"]
    levels = sum(int(one["bids"]) + int(one["asks"]) for one in sample.document["snapshots"])
    return int(counts["level_changes"]) + levels + int(counts[sample.document["trade_stream"]])


def _from(job: ReplayJob, since: PartialDay, out: Path) -> ReplayJob:
    """The job from a partial day on."""
    if since.dt not in job.days:
        raise UsageError(f"{job.where} has no {since.dt}", hint=f"it has {', '.join(job.days)}")
    start, finer = find_start(since, out, job.instrument, job.days, "auto", job.inputs)
    if finer != job.instrument:
        raise UsageError(
            f"{since.base} has finer prices or sizes than {job.where}",
            hint="name a base (--base) that was made from this sample",
        )
    return replace(
        job,
        provenance=least_real(job.provenance, start.provenance),
        days=[dt for dt in job.days if dt >= since.dt],
        start=start,
    )


def golden_streams(golden: GoldenSource, batch_rows: int) -> Streams:
    """A sample's streams, out of one pass from its start, whatever is left out."""
    days = [int(np.datetime64(day, "D").astype(np.int64)) for day in golden.sample.receive_days]
    return Streams(
        lambda book, trades: golden.both((book, trades), batch_rows),
        None,
        (golden.clock_offset_ns, golden.clock_offset_ns, None),
        days,
        order=golden.order,
    )


def ordered_events(golden: GoldenSource, batch_rows: int) -> Iterator[EventBatch]:
    """The sample's events, judged and in the order of the ``events`` table."""
    return (segment.events for segment in Feed(golden_streams(golden, batch_rows)))
