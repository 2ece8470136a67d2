"""``coverage_of``: when each stream of a day was heard, as its seal says it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lobproof.replay.silence_kernels import ALL, LISTED_SILENCES, quiet_limit
from lobproof.schema import COVERED_STREAMS, Finding
from lobproof.schema.records import Record, Records

_LOSSES = (Finding.GAP, Finding.SEQUENCE_RESET, Finding.SILENCE)


def coverage_of(state: Record, findings: Records) -> dict[str, Any]:
    """What a day's replay heard, as plain values for JSON.

    Parameters
    ----------
    state
        Of the replay, at the end of the day.
    findings
        All findings of the day.

    Returns
    -------
    dict
        ``limit_ns``: the longest silence that the book's pace explains; ``life_ts``: its last sign
        of life (0: none); ``outages``: stretches in which nothing at all was heard and the book was
        lost; ``streams``: by name ``messages``, ``first`` and ``last`` (ts_order, 0 with none),
        ``silences`` and ``silent_ns``, how many and how long in all, and ``listed``, the longest.
        A silence lasts from the message before to the one after.
    """
    streams = {name: _stream(state.heard[number]) for number, name in enumerate(COVERED_STREAMS)}
    lost = findings[np.isin(findings["code"], _LOSSES)]
    outages = [
        silence
        for silence in streams[COVERED_STREAMS[ALL]]["listed"]
        if ((lost["first_ts"] <= silence[0]) & (lost["last_ts"] >= silence[1])).any()
    ]
    return {
        "limit_ns": int(quiet_limit(state)),
        "life_ts": int(state.last_alive),
        "outages": outages,
        "streams": streams,
    }


def _stream(heard: Record) -> dict[str, Any]:
    listed = min(int(heard.silences), LISTED_SILENCES)
    return {
        "messages": int(heard.messages),
        "first": int(heard.first),
        "last": int(heard.last),
        "silences": int(heard.silences),
        "silent_ns": int(heard.silent_ns),
        "listed": sorted(heard.listed[:listed].tolist()),
    }
