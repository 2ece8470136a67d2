"""``Likeness``: how a store and a golden sample of other kinds of messages are compared.

What can be brought to one form is measured in that form on both sides; what is special to one kind
of feed is left out, and why is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lobproof.fidelity.exact.kinds import Kinds
from lobproof.fidelity.exact.report import Verdict, VerifyReport
from lobproof.fidelity.exact.window import Window
from lobproof.fidelity.gates.windows import paired, whole
from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.fidelity.metrics.catalogue import CATALOGUE, Of
from lobproof.fidelity.metrics.common import AS_THEY_ARE, TOGETHER, Common
from lobproof.fidelity.metrics.distributions import DISTRIBUTIONS
from lobproof.fidelity.metrics.metric_kernels import MESSAGES, SAMPLES
from lobproof.pipeline.sampled import depth_ids
from lobproof.schema import Int64
from lobproof.sources.golden import GoldenSample

_APART = 1.5
"""Of undeclared feeds one that has so many times the messages of the other is of another speed."""
_LEAST_COMMON = 0.5
"""Share of the slower feed's ids that both must have for the book at these to stand for it."""
_BY_TIME = tuple(one.name for one in CATALOGUE if one.of is Of.MESSAGE) + tuple(
    one.metric.name for one in DISTRIBUTIONS if one.metric.name.startswith("messages_")
)
_OF_MESSAGES = tuple(one.name for one in CATALOGUE if one.of in (Of.MESSAGE, Of.CHANGE))
NOT_RANKED = "its day is not ranked with the others, which are compared in another form"


@dataclass(frozen=True, slots=True)
class Likeness:
    """In which form two feeds are compared.

    ``common``: what both are measured as. ``left_out``: metrics that are not compared, and why.
    ``doubt``: why nothing can be said. ``notes``: all of that in words.
    """

    common: Common = AS_THEY_ARE
    left_out: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""
    notes: tuple[str, ...] = ()


def rows_are_equal(exact: VerifyReport | None, name: str) -> bool:
    """Whether a check of gate B found all single messages equal, which are of one kind then."""
    if exact is None:
        return False
    check = exact.check(name)
    equal = check.verdict in (Verdict.EXACT, Verdict.NOT_APPLICABLE)
    return equal and "compared_by" not in check.details


def of_trades(kinds: Kinds, exact: VerifyReport | None) -> Likeness:
    """As they are where trades are of one kind; else neighbours are put together."""
    if kinds.same_trades or (kinds.same_trades is None and rows_are_equal(exact, "trades")):
        return Likeness()
    note = f"{kinds.trades}; on both sides neighbours of one time, price and side count as one"
    return Likeness(TOGETHER, notes=(note,))


def of_one_speed(kinds: Kinds, exact: VerifyReport | None) -> bool | None:
    """Whether depth messages are of one speed: declared, or one by one equal; None: unknown."""
    if kinds.same_speed is None and rows_are_equal(exact, "level_changes"):
        return True
    return kinds.same_speed


def as_often(ours: Blocks, golden: Blocks) -> bool:
    """Whether both have about as many depth messages: in the same blocks, if there are such."""
    window = paired(ours, golden)
    rows = (window.ours, window.golden) if len(window) else (whole(ours), whole(golden))
    rates = [
        float(side.series[at][..., MESSAGES].sum()) / max(int(side.tallies[at, SAMPLES].sum()), 1)
        for side, at in zip((ours, golden), rows, strict=True)
    ]
    return max(rates) < _APART * min(rates) or not min(rates)


def at_common_ids(like: Likeness, kinds: Kinds, held: Window, sample: GoldenSample) -> Likeness:
    """Of the same time, two speeds: the book at the update ids that both have."""
    states = held.table("states").select("sequence").collect()
    ours = states["sequence"].unique().sort().to_numpy()
    golden = depth_ids(sample)
    common = np.intersect1d(ours, golden)
    within = min(_between(ours, golden), _between(golden, ours))
    told = f"{len(common):,} of {within:,}"
    doubt = ""
    if len(common) < _LEAST_COMMON * max(within, 1):
        doubt = (
            f"{kinds.speeds}; of the slower one's update ids both have {told}, too few to compare "
            "books at: a golden sample of the same speed would do"
        )
    note = doubt or (
        f"{kinds.speeds}; both books are looked at where they have the same update id, {told} of "
        "the slower one's"
    )
    why = f"{kinds.speeds}: each tells its messages at times of its own"
    return Likeness(
        Common(like.common.trades, common),
        dict.fromkeys(_BY_TIME, why),
        doubt,
        (*like.notes, note),
    )


def without_messages(like: Likeness, kinds: Kinds) -> Likeness:
    """Of another time, two speeds: nothing that has a value for each message or change."""
    why = f"{kinds.speeds}: one message more or less is no difference of markets"
    note = f"{kinds.speeds}; what has a value for each message or change of a level is left out"
    left_out = dict.fromkeys(_OF_MESSAGES, why)
    return Likeness(like.common, left_out, "", (*like.notes, note))


def _between(ids: Int64, others: Int64) -> int:
    """How many ids lie within the span of others."""
    if not len(others):
        return 0
    return int(((ids >= others[0]) & (ids <= others[-1])).sum())
