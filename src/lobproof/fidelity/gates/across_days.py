"""Gate D across days: each day of a store, ranked among golden days.

One day of one market differs from the next beyond what permuted blocks explain. So a day of the
store is held against how much golden days differ among themselves: it fails where hardly any of
them is as strange as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.compared import number
from lobproof.fidelity.gates.other_window import PRICE_GOES, by_reason
from lobproof.fidelity.gates.windows import whole
from lobproof.fidelity.inference.conformal import ALPHA, Conformal, conformal, strangeness
from lobproof.fidelity.metrics.blocks import Blocks, Scale, merged
from lobproof.fidelity.metrics.catalogue import CATALOGUE, Metric
from lobproof.schema import Int64
from lobproof.timespan import DAY_NS, utc_day

INFORMS = "The rank among golden days decides gate D; permuted blocks inform: days differ."


@dataclass(frozen=True, slots=True)
class DayRank:
    """A day of the store among golden days.

    ``rank``: None where nothing can be compared, and ``reason`` says why. ``strangest``: the metric
    whose K-S distance from the other days is the most (``score``) times what it is on average.
    ``times``: begins of the blocks that all have, ns since midnight, UTC.
    """

    dt: str
    rank: Conformal | None = None
    reason: str = ""
    strangest: Metric | None = None
    score: float = math.nan
    times: tuple[int, ...] = ()
    block_ns: int = 0
    metrics: tuple[Metric, ...] = ()
    left_out: tuple[tuple[Metric, str], ...] = ()

    @property
    def said(self) -> str:
        """What came of it, in words."""
        if self.rank is None or self.strangest is None:
            return f"{self.dt}: {self.reason}"
        word = "stranger than golden days are" if self.rank.rejected else "not stranger than chance"
        if not self.rank.can_reject:
            word = "ranked, not judged"
        return (
            f"{self.dt}: {word}, p {self.rank.p:.3f}; most in {self.strangest.name}, "
            f"{self.score:.1f} times the usual distance; {len(self.times)} blocks of "
            f"{self.block_ns / 1e9:,.0f} s, {_clock(self.times[0])} to "
            f"{_clock(self.times[-1] + self.block_ns)} UTC"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rank = self.rank
        return {
            "dt": self.dt,
            "reason": self.reason,
            "p": rank and rank.p,
            "can_reject": rank is not None and rank.can_reject,
            "rejected": rank is not None and rank.rejected,
            "strangest": self.strangest and self.strangest.name,
            "score": number(self.score),
            "times_s": [one / 1e9 for one in self.times],
            "block_s": self.block_ns / 1e9,
            "metrics": [one.name for one in self.metrics],
            "left_out": {one.name: why for one, why in self.left_out},
        }


@dataclass(frozen=True, slots=True)
class AcrossDays:
    """Days of a store among golden days.

    ``golden``: the golden days. ``alpha``: what p of each day is held against, 5 % of all together.
    ``unused``: golden samples of another tick or lot, or without a whole block of their own.
    """

    golden: tuple[str, ...]
    days: tuple[DayRank, ...]
    alpha: float
    unused: int = 0

    @property
    def needed(self) -> int:
        """So many golden days are needed to reject one."""
        return math.ceil(1 / self.alpha - 1e-9) - 1

    @property
    def decides(self) -> bool:
        """Whether each of the days could be rejected."""
        return all(day.rank is not None and day.rank.can_reject for day in self.days)

    @property
    def verdict(self) -> Verdict:
        """Fail where a day is too strange to be one of them."""
        if not self.decides:
            return Verdict.INCONCLUSIVE
        strange = any(day.rank is not None and day.rank.rejected for day in self.days)
        return Verdict.FAIL if strange else Verdict.PASS

    @property
    def said(self) -> str:
        """What it says, in a sentence."""
        if self.decides:
            many = sum(day.rank is not None and day.rank.rejected for day in self.days)
            of = f"{many} of {len(self.days)} days of the store are" if many else "no day is"
            return f"among {len(self.golden)} golden days {of} stranger than chance allows"
        if len(self.golden) < self.needed:
            of = f" of {len(self.days)} days" if len(self.days) > 1 else ""
            return (
                f"of {len(self.golden)} golden days nothing{of} can be rejected at 5 %: "
                f"{self.needed} are needed"
            )
        return "a day of the store cannot be ranked, so the rank decides nothing"

    @property
    def head(self) -> str:
        """Its verdict, and why, in a line."""
        verdict = self.verdict.value if self.decides else "decides nothing"
        return f"Gate D across days, {verdict}: {self.said}."

    @property
    def lines(self) -> list[str]:
        """Which golden days, what came of each day of the store, and what was left out."""
        found = [f"Golden days: {', '.join(self.golden)}." if self.golden else "No golden day."]
        if self.unused:
            found.append(
                f"{self.unused} golden samples are left out: of another tick or lot, or without a "
                "whole block of their own."
            )
        found += [f"{day.said}." for day in self.days]
        found += [f"Left out, {why}: {names}." for why, names in self.reasons.items()]
        return found

    @property
    def reasons(self) -> dict[str, str]:
        """Why metrics are left out of any day, and their names."""
        return by_reason(dict.fromkeys(one for day in self.days for one in day.left_out))

    def on(self, dt: str) -> AcrossDays:
        """What it says of one day of the store, held against the same α."""
        return replace(self, days=tuple(day for day in self.days if day.dt == dt))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict.value,
            "decides": self.decides,
            "said": self.said,
            "golden_days": list(self.golden),
            "k": len(self.golden),
            "needed": self.needed,
            "alpha": self.alpha,
            "unused_samples": self.unused,
            "days": [day.to_dict() for day in self.days],
        }


def compare_days(candidates: Mapping[str, Blocks], goldens: Sequence[Blocks]) -> AcrossDays:
    """Rank each day of a store among golden days, by how far each is from all others.

    A window's score is the largest, over the metrics, of its K-S distance from all other windows
    together, in means of that metric over all windows (`strangeness`); p is the candidate's rank.
    Windows are cut to the whole blocks of the times of day that all of them have. Metrics in parts
    of the price are left out, and those that a golden window lacks; where the candidate alone lacks
    one, it is not ranked.

    Parameters
    ----------
    candidates
        Days of a store and their blocks, of one tick and lot. α is shared by all.
    goldens
        The blocks of golden samples of other days; their series are not needed
        (`without_series`). What begins on one UTC day counts as one day, no time counts twice,
        and no more than 24 hours of a day.
    """
    of = next(iter(candidates.values())).scale
    alike = [one for one in goldens if is_alike(one.scale, of)]
    step = max(one.scale.block_ns for one in (*candidates.values(), *alike))
    windows, unused = _by_day([_whole(one, step) for one in alike])
    alpha = ALPHA / len(candidates)
    return AcrossDays(
        tuple(windows),
        tuple(
            _ranked(dt, [_once(one) for one in (_whole(day, step), *windows.values())], alpha)
            for dt, day in candidates.items()
        ),
        alpha,
        len(goldens) - len(alike) + unused,
    )


def is_alike(one: Scale, other: Scale) -> bool:
    """Whether blocks of both add up to longer ones of one scale."""
    return (one.tick, one.lot) == (other.tick, other.lot)


def without_series(blocks: Blocks) -> Blocks:
    """The whole blocks, without the samples of the grid, which take most of their room."""
    series = np.zeros((len(blocks), 0, blocks.series.shape[2]), np.int64)
    return replace(blocks, series=series).taken(whole(blocks))


def _whole(blocks: Blocks, block_ns: int) -> Blocks:
    """Blocks of a length, those that are whole."""
    kept = without_series(blocks).coarser(block_ns)
    return kept.taken(whole(kept))


def _by_day(goldens: Sequence[Blocks]) -> tuple[dict[str, Blocks], int]:
    """Blocks by the UTC day that their sample begins on; how many samples have none."""
    found: dict[str, Blocks] = {}
    seen = np.zeros(0, np.int64)
    used = 0
    for golden in sorted(goldens, key=lambda one: one.start[:1].tolist()):
        new = golden.taken(np.flatnonzero(~np.isin(golden.start, seen)))
        if len(new):
            seen = np.concatenate([seen, new.start])
            dt = utc_day(int(new.start[0]))
            # dated rules of an instrument do not matter: all is counted at one scale
            parts = [replace(found.get(dt, new), instrument=new.instrument), new]
            found[dt] = merged(parts) if dt in found else new
            used += 1
    return found, len(goldens) - used


def _once(blocks: Blocks) -> Blocks:
    """Each time of day once, the first one."""
    _, first = np.unique(blocks.start % DAY_NS, return_index=True)
    return blocks.taken(np.sort(first))


def _ranked(dt: str, windows: Sequence[Blocks], alpha: float) -> DayRank:
    """The rank of the first of some windows among the others."""
    found = DayRank(dt)
    if len(windows) == 1:
        return replace(found, reason="no golden day has a whole block")
    times = reduce(np.intersect1d, [one.start % DAY_NS for one in windows])
    if not len(times):
        return replace(found, reason="no whole block is of a time of day that all golden days have")
    inside = [np.where(np.isin(one.start % DAY_NS, times), 0, -1) for one in windows]
    metrics: list[Metric] = []
    tables: list[Int64] = []
    left_out: list[tuple[Metric, str]] = []
    lacks: list[str] = []
    for metric in CATALOGUE:
        counts = [
            one.grouped_counts(metric.number, rows, 1)[0]
            for one, rows in zip(windows, inside, strict=True)
        ]
        table = np.stack(counts)
        if metric.unit == "bps":
            left_out.append((metric, PRICE_GOES))
        elif not table[0].any() and table[1:].any(axis=1).all():
            lacks.append(metric.name)
        elif not table.any(axis=1).all():
            left_out.append((metric, "a day has no value of it"))
        elif np.count_nonzero(table.any(axis=0)) == 1:
            left_out.append((metric, "one and the same value throughout"))
        else:
            metrics.append(metric)
            tables.append(table)
    found = replace(
        found,
        times=tuple(times.tolist()),
        block_ns=windows[0].scale.block_ns,
        metrics=tuple(metrics),
        left_out=tuple(left_out),
    )
    if lacks:
        return replace(found, reason=f"it has no {', '.join(lacks)}, which all golden days have")
    if not metrics:
        return replace(found, reason="no metric has values on all days")
    strange = strangeness(tables)
    scores = strange.max(axis=1)
    return replace(
        found,
        rank=conformal(scores[1:], float(scores[0]), alpha),
        strangest=metrics[int(strange[0].argmax())],
        score=float(scores[0]),
    )


def _clock(ns: int) -> str:
    return f"{ns // 3_600_000_000_000:02}:{ns // 60_000_000_000 % 60:02}:{ns // 10**9 % 60:02}"
