"""Responses of the mid to six kinds of events, as LOB-Bench measures them.

After Eisler, Bouchaud and Kockelkoren (2012): market orders, limit orders and cancellations, each
with or without a change of a best price. Time is counted in events at the touch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lobproof.fidelity.lob_bench.values import Float64
from lobproof.schema import Int64
from lobproof.sources.lobster.files import EXECUTED, NEW, Sequence

EVENTS = ("MO_0", "MO_1", "LO_0", "LO_1", "CA_0", "CA_1")
LAGS = (1, 2, 3, 3, 5, 6, 7, 10, 12, 15, 19, 25, 31, 39, 50, 63, 79, 100, 125, 158, 199)
"""As published: powers of ten from 0.3 on by 0.1, cut to whole numbers. 3 is there twice, and
counts twice in a difference."""
TICK = 100
"""A cent, in 1e-4 dollars."""
_MERGE_NS = 1000


@dataclass(frozen=True, slots=True)
class Responses:
    """Mean response in ticks by event and lag (6, 21), NaN where there is none; how many events."""

    ticks: Float64
    events: Int64

    @classmethod
    def of(cls, sequences: Iterable[Sequence], tick: int = TICK) -> Responses:
        """Responses over all sequences; none reaches beyond its own.

        The response of an event at lag ``l`` is ``(mid after the (l - 1)th event behind it - mid
        before it) * direction``, where a limit order to buy, an executed or cancelled order to sell
        have direction 1.
        """
        sums = np.zeros((len(EVENTS), len(LAGS)))
        counts = np.zeros((len(EVENTS), len(LAGS)), np.int64)
        events = np.zeros(len(EVENTS), np.int64)
        for sequence in sequences:
            kind, sign, mid2 = touch_events(sequence)
            events += np.bincount(kind, minlength=len(EVENTS))
            for at, lag in enumerate(LAGS):
                many = len(kind) - lag
                if many < 1:
                    break
                moved = (mid2[lag:] - mid2[:many]) * sign[1 : many + 1]
                which = kind[1 : many + 1]
                sums[:, at] += np.bincount(which, moved, minlength=len(EVENTS))
                counts[:, at] += np.bincount(which, minlength=len(EVENTS))
        with np.errstate(invalid="ignore"):
            return cls(sums / counts / (2 * tick), events)


def touch_events(of: Sequence) -> tuple[Int64, Int64, Int64]:
    """Events at the touch: number of their kind, direction, twice the mid after them.

    Those after which a best price or its size is another than after the message before, and the
    first. Executions of one price and side not more than 1 µs apart are one event; an execution
    that follows an order of its own price and side so closely takes it in, as published. A kind
    "changes" a price against the event before, so the first one always does. Books without a best
    price have no events; the published code leaves out only those with zeros in them.
    """
    touch = of.book[:, :4]
    changed = np.append(True, (touch[1:] != touch[:-1]).any(axis=1))
    at = np.flatnonzero(
        changed
        & of.two_sided
        & (of.kind >= NEW)
        & (of.kind <= EXECUTED)
        & (np.abs(of.direction) == 1)
    )
    kind, direction, touch = of.kind[at], of.direction[at].astype(np.int64), touch[at]
    moves = np.append(True, (touch[1:, ::2] != touch[:-1, ::2]).any(axis=1))[: len(at)]
    base = np.where(kind == EXECUTED, 0, np.where(kind <= NEW, 2, 4))
    time, price = of.time[at], of.price[at]
    begins = (
        (np.diff(time) > _MERGE_NS)
        | (kind[1:] != EXECUTED)
        | (direction[1:] != direction[:-1])
        | (price[1:] != price[:-1])
    )
    last = np.append(np.flatnonzero(begins), len(at) - 1) if len(at) else at
    sign = np.where(kind == NEW, direction, -direction)
    return (base + moves)[last], sign[last], (touch[:, 0] + touch[:, 2])[last]


@dataclass(frozen=True, slots=True)
class Impact:
    """Responses of both, and how far they are apart.

    ``differences``: of each event, the sum over lags of the absolute difference in ticks, None
    where one of them has no such event. ``mean_difference``: over the six; None if one is None.
    """

    real: Responses
    generated: Responses

    @property
    def differences(self) -> dict[str, float | None]:
        """Of each event the sum over lags of the absolute difference, ticks."""
        apart = np.abs(self.real.ticks - self.generated.ticks).sum(axis=1).tolist()
        return {
            event: None if np.isnan(value) else value
            for event, value in zip(EVENTS, apart, strict=True)
        }

    @property
    def mean_difference(self) -> float | None:
        """Mean of the differences."""
        known = [value for value in self.differences.values() if value is not None]
        return float(np.mean(known)) if len(known) == len(EVENTS) else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "lags": list(LAGS),
            "differences": self.differences,
            "mean_difference": self.mean_difference,
            "real": _plain(self.real),
            "generated": _plain(self.generated),
        }


def _plain(responses: Responses) -> dict[str, Any]:
    """Events and responses in ticks by event."""
    return {
        event: {
            "events": int(responses.events[number]),
            "ticks": [None if np.isnan(one) else one for one in responses.ticks[number].tolist()],
        }
        for number, event in enumerate(EVENTS)
    }
