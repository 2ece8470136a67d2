"""LOBSTER files as metrics: by blocks of time, or a histogram of each sequence."""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from lobproof.errors import UsageError
from lobproof.fidelity.metrics.blocks import Bins, Blocks, Float64, Scale, merged
from lobproof.fidelity.metrics.observer import Observer
from lobproof.schema import EventBatch, Flag, Int64, Kind, StateBatch
from lobproof.sources.lobster.batches import batches_of, instrument_of
from lobproof.sources.lobster.files import Sequence, pairs_in, read_pair
from lobproof.timespan import day_start


@dataclass(frozen=True, slots=True)
class SequenceCounts:
    """Histograms of the metrics, one for each sequence of a folder, in the order of their time.

    ``begins``: of each what `Pair.begin` says. ``messages``, ``span_s``: how long each is.
    ``bins``: their ``block`` is the number of a sequence.
    """

    begins: tuple[tuple[str, int] | None, ...]
    messages: Int64
    span_s: Float64
    bins: Bins

    def __len__(self) -> int:
        return len(self.begins)

    def counts(self, metric: int) -> Int64:
        """Histogram of a metric in each sequence (sequences, bins)."""
        return self.bins.counts(metric, len(self))

    def taken(self, rows: collections.abc.Sequence[int]) -> SequenceCounts:
        """Some of the sequences."""
        at = np.array(rows, np.intp)
        return SequenceCounts(
            tuple(self.begins[row] for row in rows),
            self.messages[at],
            self.span_s[at],
            self.bins.taken(at, len(self)),
        )


def lobster_blocks(folder: Path, scale: Scale) -> Blocks:
    """The metrics of all files of a folder, by blocks of time.

    Time is that of the files: seconds after midnight of the exchange, as if that were UTC. Between
    two files nothing is known: no book, and no interval. The files of a day are held in memory.

    Raises
    ------
    InputError
        For a damaged file, with its row.
    GridError
        For a tick with more than 6 digits behind the point, or a lot with more than 4.
    UsageError
        For files of several tickers, and for such as lie beside each other in time.
    """
    pairs = sorted(pairs_in(folder), key=lambda pair: pair.date)
    return sequence_blocks(map(read_pair, pairs), scale)


def sequence_blocks(sequences: Iterable[Sequence], scale: Scale) -> Blocks:
    """`lobster_blocks` of sequences of one ticker, day after day."""
    parts: list[Blocks] = []
    for _, found in groupby(sequences, key=lambda one: one.pair.date):
        parts += _day(found, scale)
    return merged(parts)


def sequence_counts(sequences: collections.abc.Sequence[Sequence], scale: Scale) -> SequenceCounts:
    """The metrics of each sequence by itself, whatever lies beside it in time.

    Parameters
    ----------
    sequences
        Of one ticker, in the order of their time.
    scale
        Tick and lot; the length of its blocks is no matter.
    """
    found: list[Bins] = []
    for number, sequence in enumerate(sequences):
        bins = sequence_blocks([sequence], scale).bins
        found.append(replace(bins, block=np.full_like(bins.block, number)))
    spans = np.array([int(one.time[-1] - one.time[0]) for one in sequences], np.int64)
    return SequenceCounts(
        tuple(one.pair.begin for one in sequences),
        np.array([len(one) for one in sequences], np.int64),
        spans / 1e9,
        Bins.joined(found),
    )


def _day(sequences: Iterator[Sequence], scale: Scale) -> Iterator[Blocks]:
    """Blocks of the sequences of a day; those that share a block are observed together."""
    ordered = sorted(sequences, key=lambda one: int(one.time[0]))
    instrument = instrument_of(ordered[0].pair.ticker, scale.tick, scale.lot)
    observer: Observer | None = None
    last, before = 0, ""
    for sequence in ordered:
        start = day_start(sequence.pair.date)
        first, end = start + int(sequence.time[0]), start + int(sequence.time[-1])
        if observer is not None and first < last:
            raise UsageError(
                f"{sequence.pair.messages} begins before {before} ends",
                hint="blocks are of one market: give each sequence that was generated for the same "
                "time a folder of its own",
            )
        if observer is not None and first // scale.block_ns > last // scale.block_ns:
            yield observer.finish()
            observer = None
        if observer is None:
            observer = Observer(instrument, scale)
        else:
            observer.add([_break(last)], StateBatch.empty(), -2)
        next_id = 0
        for events, states in batches_of(sequence, instrument):
            observer.add([events], states, next_id)
            next_id += len(events)
        last, before = end, sequence.pair.messages.name
    if observer is not None:
        yield observer.finish()


def _break(ts: int) -> EventBatch:
    """Two marks behind a file: trades are missing, and nothing is known of the book any more."""
    marks = EventBatch.empty(2)
    marks.ts_order[:] = marks.ts_event[:] = ts
    marks.kind[:] = int(Kind.MARK)
    marks.prev_sequence[:] = -1
    marks.flags[:] = np.array(
        [
            int(Flag.TRADES | Flag.GAP | Flag.LAST),
            int(Flag.GAP | Flag.DOUBTFUL | Flag.LAST),
        ]
    )
    return marks
