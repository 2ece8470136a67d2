"""``judged``: one seed of the suite: a market, its mutations, and what each method says of them."""

from __future__ import annotations

import zlib
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.gates.compared import number
from lobproof.fidelity.gates.other_window import compare_windows
from lobproof.fidelity.gates.same_window import compare
from lobproof.fidelity.gates.settings import STANDARD
from lobproof.fidelity.inference.plain import ks_of_counts
from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.fidelity.metrics.catalogue import CATALOGUE, Metric
from lobproof.schema import Int64
from mutation.declared import (
    BLOCK_NS,
    DECLARED,
    GOLDEN,
    LEVEL,
    MARKET,
    MUTATIONS,
    OTHER_MARKET,
    OTHER_WINDOW,
    SECOND_WINDOW,
    SECONDS,
)
from mutation.mutations import Mutation, within_margin
from mutation.streams import Stream, measured, simulated

DRAWS = 199
"""Pairs of samples of one law, for the noise of L1."""
NOISE_LEVEL = 0.95
OTHER_BATCHES = 7_919
"""Rows of a batch where streams are replayed a second time: not where the first ones end."""
WITHIN = "within_margin"

Said = dict[str, dict[str, Any]]
"""By metric: what the methods say."""


def judged(
    seed: int,
    seconds: int = SECONDS,
    only: tuple[str, ...] = (*MUTATIONS, WITHIN),
    windows: bool = True,
) -> dict[str, Any]:
    """All comparisons of one seed, as plain values for JSON.

    ``same``: by mutation, the mutated feed against the golden one of the same time. ``other``: an
    independent window of the same law (``null``), and one of the other market (``power``), against
    the golden one. ``noise``: by metric, the L1 distance that 95 % of pairs of independent samples
    of its law stay below.
    """
    stream = simulated(MARKET, GOLDEN + seed, seconds)
    golden = measured(stream, BLOCK_NS)
    mutations: dict[str, Mutation] = {**MUTATIONS, WITHIN: within_margin}
    same = {}
    for name in only:
        random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        changed = mutations[name](stream, random)
        ours = measured(changed, BLOCK_NS, OTHER_BATCHES)
        same[name] = {"exact": _equal(changed, stream), **_same_window(ours, golden)}
    other = {}
    if windows:
        for name, config, base in (
            ("null", MARKET, SECOND_WINDOW),
            ("power", OTHER_MARKET, OTHER_WINDOW),
        ):
            ours = measured(simulated(config, base + seed, seconds), BLOCK_NS)
            other[name] = _other_window(ours, golden)
    return {
        "seed": seed,
        "declared": DECLARED,
        "settings": STANDARD.hash,
        "noise": _noise(golden, np.random.default_rng([seed, 0])) if windows else {},
        "same": same,
        "other": other,
    }


def _same_window(ours: Blocks, golden: Blocks) -> dict[str, Any]:
    gate = compare(ours, golden, level=LEVEL)
    said: Said = {}
    for one in gate.compared:
        told: dict[str, Any] = {
            "gate": one.verdict.value,
            "blocks": one.blocks,
            "figures": [
                [f.name, f.verdict.value, number(f.estimate), number(f.mde95)] for f in one.figures
            ],
        }
        if one.plain is not None:
            told |= {
                "d": one.plain.d,
                "ks_p": one.plain.p,
                "l1": _distance(one.metric, ours, golden),
            }
        said[one.metric.name] = told
    return {"gate": gate.verdict.value, "metrics": said}


def _other_window(ours: Blocks, golden: Blocks) -> dict[str, Any]:
    gate = compare_windows(ours, golden)
    said: Said = {}
    if gate.result is not None:
        for at, metric in enumerate(gate.metrics):
            plain = ks_of_counts(*_counts(metric, ours, golden))
            said[metric.name] = {
                "d": plain.d,
                "ks_p": plain.p,
                "l1": _distance(metric, ours, golden),
                "p": gate.result.p[at],
                "p_adjusted": gate.result.p_adjusted[at],
            }
    return {
        "gate": gate.verdict.value,
        "p_max": gate.result and gate.result.p_max,
        "p_min": gate.result and gate.result.p_min,
        "blocks": list(gate.blocks),
        "metrics": said,
    }


def _counts(metric: Metric, *sides: Blocks) -> list[Int64]:
    return [side.counts(metric.number).sum(axis=0) for side in sides]


def _distance(metric: Metric, ours: Blocks, golden: Blocks) -> float:
    return float(_l1(*_counts(metric, ours, golden)))


def _noise(golden: Blocks, random: np.random.Generator) -> dict[str, float]:
    """L1 below which 95 % of pairs of samples of independent values of the golden law are."""
    found = {}
    for metric in CATALOGUE:
        (counts,) = _counts(metric, golden)
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
