"""From files to a sealed store: decoding, and the whole chain with the share of each stage."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter

import numpy as np
from benchmarks.data import Sample, decode
from benchmarks.report import Budget, Section, Spread, clocked, number, timed

from lobproof.pipeline import reconstruct_sample
from lobproof.pipeline.day import DayTask
from lobproof.pipeline.golden import ordered_events
from lobproof.replay import Replayer, Segment
from lobproof.schema import Kind
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample

BATCH_ROWS = 1 << 16
KEYFRAME_NS = 600 * 10**9
STAGES = ("import", "decode", "judge and merge", "replay", "encode and seal")


def decoding(section: Section, found: list[tuple[Sample, GoldenSample]], repeats: int) -> None:
    """gzip → ``EventBatch``, and what a golden sample in between costs."""
    table: list[list[object]] = []
    for sample, golden in found:
        changes = sum(int(np.count_nonzero(b.kind == Kind.DELTA)) for b in decode(sample, golden))
        direct: list[tuple[float, float]] = []
        imported: list[float] = []
        journals: list[float] = []
        out = golden.path.with_name(f"{golden.path.name}-again")
        for _ in range(repeats):
            direct.append(clocked(lambda s=sample, g=golden: _drain(decode(s, g))))
            shutil.rmtree(out, ignore_errors=True)
            imported.append(timed(lambda s=sample, o=out: s.import_to(o)))
            journals.append(timed(lambda g=golden: _drain(GoldenSource(g).book())))
        shutil.rmtree(out, ignore_errors=True)
        wall, used = zip(*direct, strict=True)
        rate = Spread.rates(changes, used)
        table.append(
            [
                sample.title,
                f"{changes:,}",
                rate,
                Spread.rates(changes, wall),
                Spread.rates(changes, imported),
                Spread.rates(changes, journals),
            ]
        )
        if sample.name == "btc":
            section.budgets.append(
                Budget("gzip → EventBatch, BTC", 1.5, "M level changes/s", rate.median)
            )
    section.table(
        "Decoding: M level changes a second, one core",
        (
            "",
            "level changes",
            "gzip recording → EventBatch, of processor time",
            "the same on the clock",
            "gzip recording → golden sample",
            "golden sample → EventBatch",
        ),
        table,
    )
    section.text(
        "The first reads, unpacks and tells apart every line of the files (depth, trades, "
        "tickers) and decodes the depth messages; nothing is written. The second is `lobproof "
        "import`: every message checked, audited, hashed, and written to zstd journals byte for "
        "byte. The third reads those journals, snapshots put in their places."
    )


@dataclass(slots=True)
class _Times:
    """Seconds of the chain's parts, a value a repetition; each pass holds the one before."""

    imported: list[float] = field(default_factory=list)
    decoded: list[float] = field(default_factory=list)
    ordered: list[float] = field(default_factory=list)
    replayed: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def shares(self) -> list[str]:
        """Share of each stage in import + reconstruct, from the fastest pass of each kind."""
        passes = [min(one) for one in (self.decoded, self.ordered, self.replayed, self.whole)]
        steps = [min(self.imported), passes[0]]
        steps += [max(after - before, 0.0) for before, after in pairwise(passes)]
        return [f"{100 * step / sum(steps):.0f} %" for step in steps]


def end_to_end(section: Section, found: list[tuple[Sample, GoldenSample]], repeats: int) -> None:
    """``import`` and ``reconstruct``, rows a second, and where the time goes."""
    rates: list[list[object]] = []
    shares: list[list[object]] = []
    for sample, golden in found:
        times = _Times()
        rows = states = 0
        folder = golden.path.parent
        for _ in range(repeats):
            again, store = folder / "again", folder / "store"
            shutil.rmtree(again, ignore_errors=True)
            shutil.rmtree(store, ignore_errors=True)
            times.imported.append(timed(lambda s=sample, o=again: s.import_to(o)))
            times.decoded.append(timed(lambda g=golden: _decode(g)))
            times.ordered.append(timed(lambda g=golden: _drain(_ordered(g))))
            times.replayed.append(timed(lambda g=golden: _replay(g)))
            start = perf_counter()
            result = reconstruct_sample(golden.path, store)
            times.whole.append(perf_counter() - start)
            rows = sum(day.counts.events for day in result.days)
            states = sum(day.counts.book_messages for day in result.days)
        both = [a + b for a, b in zip(times.imported, times.whole, strict=True)]
        rates.append(
            [
                sample.title,
                f"{rows:,}",
                f"{states:,}",
                Spread.rates(rows, times.imported),
                Spread.rates(rows, times.whole),
                Spread.rates(rows, both),
                f"{number(Spread(tuple(both)).median)} s",
            ]
        )
        shares.append([sample.title, *times.shares()])
        shutil.rmtree(folder / "again", ignore_errors=True)
        shutil.rmtree(folder / "store", ignore_errors=True)
    section.table(
        "The whole chain: M rows of `events` a second",
        (
            "",
            "events",
            "states",
            "import",
            "reconstruct",
            "both",
            "time of both",
        ),
        rates,
    )
    section.table("Where that time goes", ("", *STAGES), shares)
    section.text(
        "From gzip recordings to sealed Delta tables (events, a state of twenty levels a side at "
        "every message end, keyframes, quality, minutes), hashed and synced to disk, on the "
        "clock. Stages are differences between the fastest passes that go one stage further each; "
        "encoding runs beside replay on threads of its own, so its share is only what it adds. "
        "The days of the recordings are small: opening, hashing, committing and sealing five "
        "tables a day is a fixed cost, which the longer simulated stream shows less of."
    )


def _drain(batches: Iterable[object]) -> None:
    for _ in batches:
        continue


def _decode(golden: GoldenSample) -> None:
    source = GoldenSource(golden)
    _drain(source.book(BATCH_ROWS))
    _drain(source.trades(BATCH_ROWS))


def _ordered(golden: GoldenSample) -> Iterable[object]:
    return ordered_events(GoldenSource(golden), BATCH_ROWS)


def _replay(golden: GoldenSample) -> None:
    task = DayTask(
        "all days as one",
        Replayer(golden.instrument, state_every=0),
        None,
        keyframe_ns=KEYFRAME_NS,
        strict=False,
    )
    for batch in ordered_events(GoldenSource(golden), BATCH_ROWS):
        if len(batch):
            task.append(Segment.of(batch))
    task.finish()
