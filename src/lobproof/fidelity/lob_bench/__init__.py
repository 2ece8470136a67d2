"""The scores of LOB-Bench for two folders of LOBSTER files: ``lob_bench_scores(real, generated)``.

After Nagy et al., "LOB-Bench: Benchmarking Generative AI for Finance" (arXiv 2502.09172), and the
published code, written anew; where that has a trap, the docstring of the part says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from lobproof.errors import UsageError
from lobproof.fidelity.lob_bench import values
from lobproof.fidelity.lob_bench.distances import Distance, conditional, distance
from lobproof.fidelity.lob_bench.impact import Impact, Responses
from lobproof.fidelity.lob_bench.values import SCORES, Float64
from lobproof.sources.lobster import files

__all__ = [
    "CONDITIONAL",
    "MAX_PIECES",
    "Conditional",
    "Distance",
    "LobBench",
    "Summary",
    "lob_bench_divergence",
    "lob_bench_scores",
    "sequence_scores",
]


@dataclass(frozen=True, slots=True)
class Conditional:
    """A score given a condition, both of each message; ``edges``: groups of the condition."""

    values: Callable[[files.Sequence], Float64]
    condition: Callable[[files.Sequence], Float64]
    discrete: bool = False
    condition_discrete: bool = False
    edges: tuple[float, ...] | None = None


MAX_PIECES = 200
"""Pieces that `lob_bench_divergence` makes of a file, at most."""
_DAY_S = 86_400
_TIME_EDGES = tuple(np.linspace(0, _DAY_S, 24).tolist())
"""As published: 24 edges are 23 stretches of 62.6 minutes, no hours."""

CONDITIONAL: Mapping[str, Conditional] = MappingProxyType(
    {
        "ask_volume | spread": Conditional(
            values.volume(1, 1), values.spread, condition_discrete=True
        ),
        "spread | time": Conditional(values.spread, values.time_of_day, edges=_TIME_EDGES),
        "spread | volatility": Conditional(values.spread, values.volatility, discrete=True),
    }
)


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean, median and interquartile mean of the scores that are known, and of how many.

    The interquartile mean is that of the scores from the first to the third quartile, both with it.
    """

    mean: float | None
    median: float | None
    iqm: float | None
    scores: int

    @classmethod
    def of(cls, scores: Sequence[float | None]) -> Summary:
        """Sum up the scores that are not None."""
        known = np.array([score for score in scores if score is not None])
        if not len(known):
            return cls(None, None, None, 0)
        low, high = np.percentile(known, [25, 75])
        inner = known[(known >= low) & (known <= high)]
        return cls(float(known.mean()), float(np.median(known)), float(inner.mean()), len(known))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"mean": self.mean, "median": self.median, "iqm": self.iqm, "scores": self.scores}


@dataclass(frozen=True, slots=True)
class LobBench:
    """All scores: the nearer to 0, the more alike are both folders.

    ``unconditional`` and ``conditional`` are by the names of LOB-Bench; summaries are of the
    unconditional ones. ``skipped``: scores that the books are too shallow for, and why.
    """

    unconditional: dict[str, Distance]
    conditional: dict[str, Distance]
    impact: Impact
    skipped: dict[str, str]

    @property
    def l1(self) -> Summary:
        """Of total variation."""
        return Summary.of([one.l1 for one in self.unconditional.values()])

    @property
    def wasserstein(self) -> Summary:
        """Of Wasserstein-1."""
        return Summary.of([one.wasserstein for one in self.unconditional.values()])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "summary": {"l1": self.l1.to_dict(), "wasserstein": self.wasserstein.to_dict()},
            "unconditional": {name: one.to_dict() for name, one in self.unconditional.items()},
            "conditional": {name: one.to_dict() for name, one in self.conditional.items()},
            "impact": self.impact.to_dict(),
            "skipped": self.skipped,
        }


def lob_bench_scores(real: Path, generated: Path, *, tick: int = 100) -> LobBench:
    """Score a folder of generated LOBSTER files against one of real ones.

    Files of a folder count together, however many there are of each day; nothing is taken across
    the end of a file. Both folders are held in memory: a message takes about 34 bytes, and 32 for
    each level of its book.

    Parameters
    ----------
    real, generated
        Folders of pairs of message and order book files, of one ticker each.
    tick
        Of the responses, in 1e-4 dollars.

    Raises
    ------
    InputError
        For a damaged file, with its row.
    UsageError
        For files of several tickers, or a tick that is not positive.
    """
    return sequence_scores(files.read_folder(real), files.read_folder(generated), tick=tick)


def sequence_scores(
    real: Sequence[files.Sequence], generated: Sequence[files.Sequence], *, tick: int = 100
) -> LobBench:
    """`lob_bench_scores` of sequences that were read."""
    if tick < 1:
        raise UsageError(f"a tick of {tick}", hint="give it in 1e-4 dollars: a cent is 100")
    both = (real, generated)
    least = min(sequence.levels for folder in both for sequence in folder)
    unconditional, skipped = {}, {}
    for name, score in SCORES.items():
        if score.levels > least:
            skipped[name] = f"needs books of {score.levels} levels; a file has {least}"
            continue
        ours, theirs = (_joined(score.values, folder) for folder in both)
        unconditional[name] = distance(ours, theirs, discrete=score.discrete)
    given = {}
    for name, one in CONDITIONAL.items():
        first, second = (
            (_joined(one.values, folder), _joined(one.condition, folder)) for folder in both
        )
        given[name] = conditional(
            first,
            second,
            discrete=one.discrete,
            edges=None if one.edges is None else np.array(one.edges),
            condition_discrete=one.condition_discrete,
        )
    responses = [Responses.of(folder, tick) for folder in both]
    return LobBench(unconditional, given, Impact(*responses), skipped)


def lob_bench_divergence(
    real: Path, generated: Path, *, horizon: int = 50
) -> dict[str, list[Distance]]:
    """How the unconditional scores grow with the distance from where generating began.

    Generated files are cut into pieces of ``horizon`` messages. The first pieces of all of them are
    scored against the whole of the real files, then the second ones, and so on: by score a distance
    for each piece. As published, pieces stand alone and real files are whole: a time to cancel in a
    piece is never longer than it, and an order flow imbalance, which takes 100 messages, is only in
    longer ones. So look at how the figures change, not at what they are.

    Raises
    ------
    InputError
        For a damaged file, with its row.
    UsageError
        For files of several tickers, a horizon that is not positive, and one that makes more than
        `MAX_PIECES` pieces of a file.
    """
    ours, theirs = files.read_folder(real), files.read_folder(generated)
    longest = max(len(sequence) for sequence in theirs)
    if horizon < 1 or longest > MAX_PIECES * horizon:
        raise UsageError(
            f"a horizon of {horizon} for a file of {longest:,} messages",
            hint=f"give one of at least {-(-longest // MAX_PIECES)}",
        )
    pieces = [
        [one.piece(at, at + horizon) for one in theirs if at < len(one)]
        for at in range(0, longest, horizon)
    ]
    least = min(sequence.levels for sequence in (*ours, *theirs))
    found = {}
    for name, score in SCORES.items():
        if score.levels <= least:
            whole = _joined(score.values, ours)
            found[name] = [
                distance(whole, _joined(score.values, piece), discrete=score.discrete)
                for piece in pieces
            ]
    return found


def _joined(
    measure: Callable[[files.Sequence], Float64], sequences: Sequence[files.Sequence]
) -> Float64:
    """The values of all sequences."""
    return np.concatenate([measure(sequence) for sequence in sequences])
