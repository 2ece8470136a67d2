"""Gate D: two sets of different times or draws of one regime, all metrics together.

Blocks, or whole sequences, change places between the two, so the test holds whatever the dependence
within them. It can say that two markets differ; that they are alike within 1 % it cannot: no test
of different times can.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.settings import STANDARD, Settings
from lobproof.fidelity.gates.sides import grouped, groups_of
from lobproof.fidelity.gates.windows import check_scale, dependence, follows, whole
from lobproof.fidelity.inference.dependence import MIN_BLOCKS, block_rule, too_few
from lobproof.fidelity.inference.permutation import Permutation, block_permutation
from lobproof.fidelity.inference.plain import PlainKs, ks_of_counts
from lobproof.fidelity.inference.signflip import ALPHA
from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.fidelity.metrics.catalogue import CATALOGUE, Metric
from lobproof.fidelity.metrics.lobster import SequenceCounts
from lobproof.schema import Int64

_Tables = tuple[Metric, Int64, Int64]
PRICE_GOES = "in parts of the price, which goes and does not come back"
"""Why metrics in bps are not compared across times."""
_LONGER = 2.0
"""Sequences so many times as long, by messages and by time, are none of one kind."""


@dataclass(frozen=True, slots=True)
class OtherWindow:
    """Gate D: the metrics compared, and the permutation of blocks or sequences.

    ``left_out``: metrics that are not compared, and why. ``blocks``: how many each side has, ours
    first; ``block_ns``: their length, or 0 of ``sequences``, so many in a unit. ``plain``: K-S of
    each metric as if values were independent, None where a side has none. ``strata``: within so
    many groups sequences changed places; 0: freely.
    """

    metrics: tuple[Metric, ...]
    left_out: tuple[tuple[Metric, str], ...]
    result: Permutation | None
    blocks: tuple[int, int]
    block_ns: int
    settings: Settings
    reason: str
    plain: tuple[PlainKs | None, ...] = ()
    sequences: int = 0
    strata: int = 0

    @property
    def verdict(self) -> Verdict:
        """Fail where the two differ; a pass says that no difference was found, not that none is."""
        if self.result is None or self.reason:
            return Verdict.INCONCLUSIVE
        return Verdict.FAIL if self.result.p_max <= ALPHA else Verdict.PASS

    @property
    def unit(self) -> str:
        """What changes places."""
        if self.block_ns:
            return f"blocks of {self.block_ns / 1e9:,.0f} s"
        return f"groups of {self.sequences} sequences" if self.sequences > 1 else "sequences"

    @property
    def reasons(self) -> dict[str, str]:
        """Why metrics are left out, and their names."""
        return by_reason(self.left_out)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "blocks": list(self.blocks),
            "block_s": self.block_ns / 1e9,
            "sequences": self.sequences,
            "strata": self.strata,
            "settings": {**asdict(self.settings), "hash": self.settings.hash},
            "metrics": [one.name for one in self.metrics],
            "left_out": {one.name: why for one, why in self.left_out},
            "plain": [one and {**asdict(one), "ks_pass": one.ks_pass} for one in self.plain],
            "permutation": self.result and asdict(self.result),
        }


def by_reason(left_out: Iterable[tuple[Metric, str]]) -> dict[str, str]:
    """Why metrics are left out, and their names."""
    found: dict[str, list[str]] = {}
    for metric, why in left_out:
        found.setdefault(why, []).append(metric.name)
    return {why: ", ".join(names) for why, names in found.items()}


@dataclass(frozen=True, slots=True)
class _Side:
    """Blocks or sequences that are whole, and when each begins."""

    of: Blocks | SequenceCounts
    rows: NDArray[np.intp]
    start: Int64

    @classmethod
    def of_blocks(cls, blocks: Blocks) -> Self:
        """Those that were sampled from end to end."""
        rows = whole(blocks)
        return cls(blocks, rows, blocks.start[rows])

    @classmethod
    def of_sequences(cls, sequences: SequenceCounts) -> Self:
        """All of them, one after the other."""
        rows = np.arange(len(sequences))
        return cls(sequences, rows, rows)

    def counts(self, metric: Metric) -> Int64:
        """Histograms of a metric (rows, bins)."""
        return self.of.counts(metric.number)[self.rows, : metric.bins]


def compare_windows(
    ours: Blocks,
    golden: Blocks,
    settings: Settings = STANDARD,
    *,
    left_out: Mapping[str, str] | None = None,
) -> OtherWindow:
    """Hold blocks against those of another time.

    Blocks are as long as the longest memory asks for among the metrics of which the golden sample
    has enough blocks; the others are left out, and named, and so are those whose blocks still
    depend on each other, and those that are relative to the price. What is judged has no part in
    that. A metric of which it has no value at all is as far away as can be.

    Parameters
    ----------
    left_out
        Names of metrics that do not compare, and why.

    Raises
    ------
    UsageError
        If the two are of different scales.
    """
    check_scale(ours, golden)
    block_ns = golden.scale.block_ns
    sides = _Side.of_blocks(ours), _Side.of_blocks(golden)
    return _by_memory(*sides, block_ns, settings, left_out or {})


def compare_sequences(
    ours: SequenceCounts, golden: SequenceCounts, settings: Settings = STANDARD
) -> OtherWindow:
    """Hold sequences against others, as long or short as they are.

    Where all of what is judged names the golden sequence that it goes on from, each is a unit, and
    changes places with those of its beginning alone; golden ones without a follower are left out.
    Else sequences are blocks of a time that is counted in sequences, and their number in a unit
    follows from the memory that shows from one to the next, as of blocks.
    """
    unlike = _unlike(ours, golden)
    if unlike:
        return OtherWindow((), (), None, (len(ours), len(golden)), 0, settings, unlike)
    named = set(golden.begins) - {None}
    if len(named) == len(golden.begins) and set(ours.begins) <= named:
        followed = [at for at, one in enumerate(golden.begins) if one in set(ours.begins)]
        return _by_beginning(ours, golden.taken(followed), settings)
    return _by_memory(_Side.of_sequences(ours), _Side.of_sequences(golden), 0, settings, {})


def _by_memory(
    ours: _Side, golden: _Side, block_ns: int, settings: Settings, unlike: Mapping[str, str]
) -> OtherWindow:
    """Rows are put together to units as long as memory asks for; ``block_ns`` 0: of sequences."""
    step = block_ns or 1
    tables: list[_Tables] = []
    left_out: list[tuple[Metric, str]] = []
    times, span, least = 1, len(golden.start) * step, math.inf
    for metric in CATALOGUE:
        first, second = ours.counts(metric), golden.counts(metric)
        why = unlike.get(metric.name, "") or _nothing_to_compare(first, second)
        if not why and metric.unit == "bps":
            why = PRICE_GOES
        if not why and second.any():
            spacing = span / int(second.sum())
            rule = block_rule(dependence(second, step) / spacing, spacing, span)
            if rule.attainable:
                times = max(times, math.ceil(rule.length / step))
            else:
                why = f"fewer than {MIN_BLOCKS} {_unit(block_ns)} of 20 times its memory"
                least = min(least, MIN_BLOCKS * rule.length)
        if why:
            left_out.append((metric, why))
        else:
            tables.append((metric, *_used(first, second)))
    groups = [groups_of(side.start, step, times) for side in (ours, golden)]
    many = [int(one.max(initial=-1)) + 1 for one in groups]
    put: list[_Tables] = []
    for metric, *both in tables:
        units = [grouped(*one) for one in zip(both, groups, many, strict=True)]
        if follows(units[1]):
            left_out.append((metric, f"its {_unit(block_ns)} still depend on each other"))
        else:
            put.append((metric, units[0], units[1]))
    found = OtherWindow(
        (),
        tuple(left_out),
        None,
        (many[0], many[1]),
        times * block_ns,
        settings,
        "",
        sequences=0 if block_ns else times,
    )
    if not any(second.any() for _, _, second in put):
        why = f"no metric has {MIN_BLOCKS} {_unit(block_ns)} of 20 times its memory"
        if least < math.inf:
            enough = f"{least / 3.6e12:,.1f} h" if block_ns else f"{math.ceil(least):,} sequences"
            why += f": {enough} of the real market would do for one of them"
        return replace(found, reason=why)
    if min(many) < 2:
        return replace(found, reason=f"{many[0]} and {many[1]} {found.unit}")
    return _permuted(found, put)


def _by_beginning(ours: SequenceCounts, golden: SequenceCounts, settings: Settings) -> OtherWindow:
    """Sequences change places with those that go on from the same."""
    tables: list[_Tables] = []
    left_out: list[tuple[Metric, str]] = []
    sides = _Side.of_sequences(ours), _Side.of_sequences(golden)
    for metric in CATALOGUE:
        first, second = (side.counts(metric) for side in sides)
        why = _nothing_to_compare(first, second)
        if why:
            left_out.append((metric, why))
        else:
            tables.append((metric, *_used(first, second)))
    many = (len(ours), len(golden))
    found = OtherWindow(
        (), tuple(left_out), None, many, 0, settings, "", sequences=1, strata=len(golden)
    )
    if not tables:
        return replace(found, reason="neither side has a value that differs from others")
    number = {begin: at for at, begin in enumerate(golden.begins)}
    strata = [np.array([number[one] for one in side.begins]) for side in (ours, golden)]
    found = _permuted(found, tables, (strata[0], strata[1]))
    few = too_few(len(golden)).replace("blocks", "beginnings")
    if found.verdict is Verdict.PASS and few:
        return replace(found, reason=f"no difference was found, among too few: {few}")
    return found


def _unit(block_ns: int) -> str:
    return "blocks" if block_ns else "groups of sequences"


def _nothing_to_compare(ours: Int64, golden: Int64) -> str:
    """Why a metric tells nothing of either side; empty if it does."""
    used = np.count_nonzero(ours.any(axis=0) | golden.any(axis=0))
    if not used:
        return "neither side has a value"
    if used == 1 and ours.any() and golden.any():
        return "one and the same value throughout, on both sides"
    return ""


def _used(ours: Int64, golden: Int64) -> tuple[Int64, Int64]:
    """Without the bins that are empty on both sides."""
    used = ours.any(axis=0) | golden.any(axis=0)
    return ours[:, used], golden[:, used]


def _permuted(
    found: OtherWindow, tables: list[_Tables], strata: tuple[Int64, Int64] | None = None
) -> OtherWindow:
    """With what permuting the rows of the tables says."""
    ours, golden = [one[1] for one in tables], [one[2] for one in tables]
    result = block_permutation(
        ours,
        golden,
        strata=strata,
        permutations=found.settings.permutations,
        seed=found.settings.seed,
    )
    return replace(
        found,
        metrics=tuple(one[0] for one in tables),
        result=result,
        reason=result.doubt,
        plain=tuple(
            ks_of_counts(first.sum(axis=0), second.sum(axis=0))
            if first.any() and second.any()
            else None
            for _, first, second in tables
        ),
    )


def _unlike(ours: SequenceCounts, golden: SequenceCounts) -> str:
    """Why sequences are none of one kind; empty if they are."""
    sizes = [
        (float(np.median(side.messages)), float(np.median(side.span_s))) for side in (ours, golden)
    ]
    ratios = [max(a, b) / max(min(a, b), 1e-9) for a, b in zip(*sizes, strict=True)]
    if min(ratios) <= _LONGER:
        return ""
    told = " against ".join(f"{many:,.0f} messages in {span:,.1f} s" for many, span in sizes)
    return f"sequences are of different kinds, {told}: cut both to one length"
