"""``coverage_of``: when each stream of a day was heard, as its seal says it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lobproof.replay.coverage_kernels import (
    ALL,
    H_COUNT,
    H_FIRST,
    H_LAST,
    H_LISTED,
    H_SILENCES,
    H_SILENT,
    HEARD,
    LISTED_SILENCES,
)
from lobproof.replay.ledger_kernels import (
    E_CODE,
    E_FIRST_TS,
    E_LAST_TS,
    HEARD_AT,
    LIFE_TS,
    quiet_limit,
)
from lobproof.schema import COVERED_STREAMS, Finding, Int64

_LOSSES = (Finding.GAP, Finding.SEQUENCE_RESET, Finding.SILENCE)


def coverage_of(run: Int64, episodes: Int64) -> dict[str, Any]:
    """What a day's run heard, as plain values for JSON.

    Parameters
    ----------
    run
        State at the end of the day.
    episodes
        (rows, 8): all findings of the day.

    Returns
    -------
    dict
        ``limit_ns``: the longest silence that the book's pace explains; ``life_ts``: its last sign
        of life (0: none); ``outages``: stretches in which nothing at all was heard and the book was
        lost; ``streams``: by name ``messages``, ``first`` and ``last`` (ts_order, 0 with none),
        ``silences`` and ``silent_ns``, how many and how long in all, and ``listed``, the longest.
        A silence lasts from the message before to the one after.
    """
    streams = {
        name: _stream(run[HEARD_AT + number * HEARD :][:HEARD])
        for number, name in enumerate(COVERED_STREAMS)
    }
    lost = episodes[np.isin(episodes[:, E_CODE], _LOSSES)][:, [E_FIRST_TS, E_LAST_TS]]
    outages = [
        silence
        for silence in streams[COVERED_STREAMS[ALL]]["listed"]
        if ((lost[:, 0] <= silence[0]) & (lost[:, 1] >= silence[1])).any()
    ]
    return {
        "limit_ns": int(quiet_limit(run)),
        "life_ts": int(run[LIFE_TS]),
        "outages": outages,
        "streams": streams,
    }


def _stream(heard: Int64) -> dict[str, Any]:
    listed = min(int(heard[H_SILENCES]), LISTED_SILENCES)
    return {
        "messages": int(heard[H_COUNT]),
        "first": int(heard[H_FIRST]),
        "last": int(heard[H_LAST]),
        "silences": int(heard[H_SILENCES]),
        "silent_ns": int(heard[H_SILENT]),
        "listed": sorted(heard[H_LISTED:].reshape(-1, 2)[:listed].tolist()),
    }
