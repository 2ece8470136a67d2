"""Which gate two folders of LOBSTER files can go through, and its verdict.

Files that record one and the same market go through gate C, block by block. Stretches of time that
are other draws go through gate D, by blocks of time; sequences, of which several begin at one time,
too: each of them is a unit.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from lobproof.fidelity.gates.other_window import OtherWindow, compare_sequences, compare_windows
from lobproof.fidelity.gates.same_window import SameWindow, compare
from lobproof.fidelity.gates.settings import Settings
from lobproof.fidelity.metrics.blocks import Scale
from lobproof.fidelity.metrics.lobster import sequence_blocks, sequence_counts
from lobproof.sources.lobster.files import Sequence
from lobproof.timespan import day_start

REPLAYED = 0.5
"""Where so large a share of the messages is the same, both folders record one market."""
STRETCH_NS = 3_600_000_000_000
"""Files of a day are stretches of the market rather than sequences where they are so long."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A gate and its verdict; ``why`` it is this one; the share of generated messages that is real.

    ``shared``: messages with the same time, type, size, price and direction.
    """

    gate: SameWindow | OtherWindow
    why: str
    shared: float


def compare_folders(
    real: Many[Sequence], generated: Many[Sequence], scale: Scale, settings: Settings
) -> Compared:
    """Hold the sequences of a folder against real ones; both in the order of their time."""
    shared = _shared(real, generated)
    same = f"{shared:.1%} of the generated messages are in the real files, too"
    if shared >= REPLAYED and _in_line(real) and _in_line(generated):
        gate = compare(sequence_blocks(generated, scale), sequence_blocks(real, scale), settings)
        return Compared(gate, f"{same}: one market, written twice; blocks are paired", shared)
    stretches = [_are_stretches(side) for side in (real, generated)]
    if all(stretches):
        other = compare_windows(
            sequence_blocks(generated, scale), sequence_blocks(real, scale), settings
        )
        why = f"{same}: other draws, in stretches of time; blocks change places"
        return Compared(other, why, shared)
    if any(stretches):
        long, short = ("real", "generated") if stretches[0] else ("generated", "real")
        messages = int(np.median([len(one) for one in (generated if stretches[0] else real)]))
        reason = (
            f"{long} files are stretches of time, {short} ones sequences: cut the {long} ones into "
            f"sequences of {messages:,} messages, a pair of files each"
        )
        many = (len(generated), len(real))
        return Compared(OtherWindow((), (), None, many, 0, settings, reason), same, shared)
    other = compare_sequences(
        sequence_counts(generated, scale), sequence_counts(real, scale), settings
    )
    how = (
        "each of which changes places with those that begin as it does"
        if other.strata
        else "which change places freely: no real_id in all names says how they begin"
    )
    return Compared(other, f"{same}: other draws, in sequences, {how}", shared)


def _in_line(sequences: Many[Sequence]) -> bool:
    """Whether no sequence begins before the one before it ends."""
    return all(
        one.pair.date != other.pair.date or one.time[-1] <= other.time[0]
        for one, other in pairwise(sequences)
    )


def _are_stretches(sequences: Many[Sequence]) -> bool:
    """Whether they are stretches of one market, not sequences of which each stands for itself."""
    if any(one.pair.begin for one in sequences) or not _in_line(sequences):
        return False
    median = np.median([one.time[-1] - one.time[0] for one in sequences])
    return len({one.pair.date for one in sequences}) == len(sequences) or median >= STRETCH_NS


def _shared(real: Many[Sequence], generated: Many[Sequence]) -> float:
    """Share of the generated messages that real ones equal in all but the order id."""
    hashes = [
        np.concatenate(
            [
                pl.DataFrame(
                    {
                        "time": one.time + day_start(one.pair.date),
                        "kind": one.kind,
                        "size": one.size,
                        "price": one.price,
                        "direction": one.direction,
                    }
                )
                .hash_rows()
                .to_numpy()
                for one in side
            ]
        )
        for side in (real, generated)
    ]
    return float(np.isin(hashes[1], hashes[0]).mean())
