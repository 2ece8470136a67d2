"""``judged``: one seed of the suite: a market, its mutations, and what each method says of them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import fields
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.gates.compared import Compared, number
from lobproof.fidelity.gates.other_window import compare_windows
from lobproof.fidelity.gates.same_window import compare
from lobproof.fidelity.gates.settings import STANDARD, Level
from lobproof.fidelity.inference.equivalence import overall
from lobproof.fidelity.inference.plain import PlainKs, ks_of_counts
from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.fidelity.metrics.catalogue import BY_NAME, CATALOGUE, Kind, Metric
from lobproof.schema import Int64
from lobproof.sources.simulator import MarketConfig
from mutation import control, windows
from mutation.control import negligible
from mutation.declared import (
    BLOCK_NS,
    DECLARED,
    DRAWS,
    GOLDEN,
    LEVEL,
    MARKET,
    MUTATIONS,
    NOISE_LEVEL,
    OTHER_BATCHES,
    SECONDS,
    SERIES,
    SERIES_SEEDS,
    WITHIN,
)
from mutation.mutations import Mutation, within_margin
from mutation.streams import Stream, measured, simulated

FEW_VALUES = 5
"""A metric of so many values is one of categories, to a monitor."""

Said = dict[str, dict[str, Any]]
"""By metric: what the methods say."""


def judged(
    seed: int,
    seconds: int = SECONDS,
    only: tuple[str, ...] = (*MUTATIONS, WITHIN),
) -> dict[str, Any]:
    """All comparisons of one seed, as plain values for JSON.

    ``same``: by mutation, the mutated feed against the golden one of the same time; ``control``:
    that with a change of no account; ``windows``: those of another time. ``noise``: by metric, the
    L1 distance that 95 % of pairs of independent samples of its law stay below.
    """
    began = process_time()
    stream = simulated(MARKET, GOLDEN + seed, seconds)
    golden = measured(stream, BLOCK_NS)
    mutations: dict[str, Mutation] = {**MUTATIONS, WITHIN: within_margin}
    same = {
        name: _mutated(
            stream,
            golden,
            mutations[name],
            np.random.default_rng([seed, zlib.crc32(name.encode())]),
            Level.STANDARD if seed in SERIES_SEEDS and name in SERIES else LEVEL,
        )
        for name in only
    }
    return {
        "seed": seed,
        "declared": DECLARED,
        "settings": STANDARD.hash,
        "noise": _noise(golden, np.random.default_rng([seed, 0])),
        "same": same,
        "control": controlled(seed, stream, golden),
        "windows": windowed(seed, seconds),
        "processor_s": process_time() - began,
    }


def controlled(seed: int, stream: Stream, golden: Blocks) -> dict[str, Any]:
    """What is said of the golden feed with a change of no account."""
    random = np.random.default_rng([seed, zlib.crc32(negligible.__name__.encode())])
    said = _mutated(stream, golden, negligible, random, LEVEL)
    return {"declared": control.DECLARED, **said}


def windowed(seed: int, seconds: int = SECONDS) -> dict[str, Any]:
    """What is said of windows of other times than the golden one, in the market of `windows`.

    ``null``: an independent window of the same law; ``power``: one of the other market.
    """

    def of(market: MarketConfig, base: int) -> Blocks:
        return measured(simulated(market, base + seed, seconds), BLOCK_NS)

    golden = of(windows.WINDOW_MARKET, windows.GOLDEN)
    return {
        "declared": windows.DECLARED,
        "noise": _noise(golden, np.random.default_rng([seed, 1])),
        "null": _other_window(of(windows.WINDOW_MARKET, windows.SECOND), golden),
        "power": _other_window(of(windows.OTHER_WINDOW_MARKET, windows.OTHER), golden),
    }


def _mutated(
    stream: Stream, golden: Blocks, mutation: Mutation, random: np.random.Generator, level: Level
) -> dict[str, Any]:
    changed = mutation(stream, random)
    ours = measured(changed, BLOCK_NS, OTHER_BATCHES)
    return {"exact": _equal(changed, stream), **_same_window(ours, golden, level)}


def _same_window(ours: Blocks, golden: Blocks, level: Level) -> dict[str, Any]:
    """Gate C's verdict at the suite's level, that of a higher one, and each metric's."""
    gate = compare(ours, golden, level=level)
    light = [one for one in gate.compared if one.metric.name in BY_NAME]
    return {
        "gate": overall(one.verdict for one in light).value,
        "series": None if level is LEVEL else _verdicts(gate.compared[len(light) :]),
        "metrics": {
            one.metric.name: {
                "gate": one.verdict.value,
                "fails": [figure.name for figure in one.figures if figure.verdict.value == "fail"],
                "blocks": one.blocks,
                "mde95": number(max((figure.mde95 for figure in one.figures), default=None)),
                **(
                    _methods(BY_NAME[one.metric.name], ours, golden, one.plain) if one.plain else {}
                ),
            }
            for one in light
        },
    }


def _verdicts(compared: Sequence[Compared]) -> dict[str, str]:
    return {one.metric.name: one.verdict.value for one in compared}


def _other_window(ours: Blocks, golden: Blocks) -> dict[str, Any]:
    gate = compare_windows(ours, golden)
    said: Said = {}
    if gate.result is not None:
        for at, metric in enumerate(gate.metrics):
            plain = ks_of_counts(*_totals(metric, ours, golden))
            said[metric.name] = {
                "p": gate.result.p[at],
                "p_adjusted": gate.result.p_adjusted[at],
                **_methods(metric, ours, golden, plain),
            }
    return {
        "gate": gate.verdict.value,
        "p_max": gate.result and gate.result.p_max,
        "p_min": gate.result and gate.result.p_min,
        "blocks": list(gate.blocks),
        "left_out": [one.name for one, _ in gate.left_out],
        "metrics": said,
    }


def _methods(metric: Metric, ours: Blocks, golden: Blocks, plain: PlainKs) -> dict[str, float]:
    """What the other methods say of all values, as if they were independent.

    ``ks_p``: the plain test's. ``d``, ``l1``: distances. ``drift``: Wasserstein-1 in units of the
    golden standard deviation, of a few values or categories Jensen-Shannon's distance.
    """
    r, g = _totals(metric, ours, golden)
    if metric.kind is Kind.CATEGORY or np.count_nonzero(r + g) <= FEW_VALUES:
        drift = _jensen_shannon(r, g)
    else:
        drift = _wasserstein(metric, r, g)
    return {"d": plain.d, "ks_p": plain.p, "l1": float(_l1(r, g)), "drift": drift}


def _totals(metric: Metric, *sides: Blocks) -> list[Int64]:
    return [side.counts(metric.number).sum(axis=0)[: metric.bins] for side in sides]


def _wasserstein(metric: Metric, r: Int64, g: Int64) -> float:
    """Of binned values: those of a bin are its smallest; the last bins', their finite edge."""
    low, high = metric.edges()
    value = np.where(np.isfinite(low), low, high)
    sd = float(np.sqrt(np.cov(value, fweights=g)))
    area = np.abs(np.cumsum(r / r.sum()) - np.cumsum(g / g.sum()))[:-1] @ np.diff(value)
    return float(area) / sd if sd else 0.0


def _jensen_shannon(r: Int64, g: Int64) -> float:
    """The root of the divergence, to base 2: 0 to 1."""
    shares = r / r.sum(), g / g.sum()
    middle = (shares[0] + shares[1]) / 2
    divergence = 0.0
    for share in shares:
        some = share > 0
        divergence += float(share[some] @ np.log2(share[some] / middle[some])) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def _noise(golden: Blocks, random: np.random.Generator) -> dict[str, float]:
    """L1 below which 95 % of pairs of samples of independent values of the golden law are."""
    found = {}
    for metric in CATALOGUE:
        (counts,) = _totals(metric, golden)
        counts = counts[counts > 0]
        if len(counts):
            n = int(counts.sum())
            r, g = (random.multinomial(n, counts / n, size=DRAWS) for _ in range(2))
            found[metric.name] = float(np.quantile(_l1(r, g), NOISE_LEVEL))
    return found


def _l1(r: Int64, g: Int64) -> NDArray[np.float64]:
    """Half the sum of the differences of shares, over the last axis: LOB-Bench's L1."""
    shares = [one / one.sum(axis=-1, keepdims=True) for one in (r, g)]
    return np.asarray(np.abs(shares[0] - shares[1]).sum(axis=-1) / 2)


def _equal(changed: Stream, stream: Stream) -> bool:
    """Whether all messages, levels and trades are the sample's: what gate B asks row by row."""
    return all(
        np.array_equal(getattr(changed, field.name), getattr(stream, field.name))
        for field in fields(Stream)
        if field.name not in ("instrument", "book")
    )
