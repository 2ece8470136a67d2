"""What a replay gives: states, findings, minutes, and the book as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.instruments import Instrument
from lobproof.replay.merge import Segment
from lobproof.replay.state_kernels import NO_REACH, WHOLE_SIDE
from lobproof.schema import LEVELS, EventBatch, Int64, StateBatch
from lobproof.schema.minutes import DRIFT_COUNTS, MINUTE_COUNTS
from lobproof.schema.records import Records, joined_rows
from lobproof.schema.tables import MINUTES


@dataclass(frozen=True, slots=True)
class ReplayOutput:
    """What the events of a chunk gave: states, findings, closed minutes."""

    states: StateBatch
    findings: Records
    minutes: dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events of a day, inserted ones among them, what they gave, and what is left to replay."""

    parts: Sequence[EventBatch]
    output: ReplayOutput
    rest: Segment

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def events(self) -> EventBatch:
        """All parts as one batch, copied where they are more than one."""
        return EventBatch.concat(self.parts)


def states_of(rows: Records) -> StateBatch:
    """Rows of states as the kernel writes them, as a batch; levels are a view."""
    return StateBatch(
        rows["event_id"].copy(),
        rows["ts_order"].copy(),
        rows["ts_event"].copy(),
        rows["sequence"].copy(),
        rows["levels"].reshape(len(rows), 4 * LEVELS),
        rows["bid_trusted"].astype(np.int8),
        rows["ask_trusted"].astype(np.int8),
        rows["state_flags"].astype(np.int32),
    )


def minute_columns(rows: Records, instrument: Instrument) -> dict[str, NDArray[np.generic]]:
    """Closed minutes as columns of ``minutes``, volumes as grid counts."""
    tick = np.array([instrument.rule_at(ts).tick for ts in rows["minute"].tolist()], np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_spread = rows["spread_sum"] / rows["spread_count"] / tick
        price_rmse = np.sqrt(rows["price_squares"] / rows["ranks"])
        size_rmse = np.sqrt(rows["size_squares"] / rows["sizes"])
    columns: dict[str, NDArray[np.generic]] = {
        **{name: rows[name].copy() for name in (*MINUTE_COUNTS, *DRIFT_COUNTS)},
        "spread_ticks_mean": mean_spread,
        "spread_ticks_max": rows["spread_max"] // tick,
        "trusted_levels_min": np.maximum(rows["trusted_min"], 0),
        "bid_trusted_ticks": _reach(rows["bid_reach"], tick),
        "ask_trusted_ticks": _reach(rows["ask_reach"], tick),
        "price_rmse_ticks": price_rmse,
        "size_rmse_rel": size_rmse,
    }
    if columns.keys() != set(MINUTES.schema.names):
        raise ValueError(f"no such minutes: {sorted(columns.keys() ^ set(MINUTES.schema.names))}")
    return {name: columns[name] for name in MINUTES.schema.names}


def _reach(counts: Int64, tick: Int64) -> NDArray[np.float64]:
    """How far a side is trusted, in ticks: NaN not at all, infinite to its end."""
    ticks = np.where(counts == WHOLE_SIDE, np.inf, counts / tick)
    return np.where(counts == NO_REACH, np.nan, ticks)


def joined(outputs: Sequence[ReplayOutput]) -> ReplayOutput:
    """Steps one after the other as one."""
    if len(outputs) == 1:
        return outputs[0]
    return ReplayOutput(
        StateBatch.concat([output.states for output in outputs]),
        joined_rows([output.findings for output in outputs]),
        {
            name: np.concatenate([output.minutes[name] for output in outputs])
            for name in MINUTES.schema.names
        },
    )
