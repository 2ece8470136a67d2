"""A folder of LOBSTER files as blocks of metrics."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from lobproof.errors import UsageError
from lobproof.fidelity.metrics.blocks import Blocks, Scale, merged
from lobproof.fidelity.metrics.observer import Observer
from lobproof.instruments import Instrument
from lobproof.schema import EventBatch, Flag, Kind, StateBatch
from lobproof.sources.lobster.batches import batches_of, instrument_of
from lobproof.sources.lobster.files import Sequence, pairs_in, read_pair
from lobproof.timespan import day_start


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
    pairs = pairs_in(folder)
    instrument = instrument_of(pairs[0].ticker, scale.tick, scale.lot)
    days = groupby(sorted(pairs, key=lambda pair: pair.date), key=lambda pair: pair.date)
    parts: list[Blocks] = []
    for _, found in days:
        sequences = (read_pair(pair) for pair in found)
        parts += _day(sequences, instrument, scale)
    return merged(parts)


def _day(sequences: Iterator[Sequence], instrument: Instrument, scale: Scale) -> Iterator[Blocks]:
    """Blocks of the sequences of a day; those that share a block are observed together."""
    ordered = sorted(sequences, key=lambda one: int(one.time[0]))
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
