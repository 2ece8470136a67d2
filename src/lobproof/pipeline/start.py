"""``find_start``: where a partial day begins, among the keyframes of a sealed one.

A keyframe is cut before the first event at or after a *boundary*, a multiple of their spacing; a
partial day begins at the last boundary at or before the time that was asked for. The keyframe there
holds a book, and not all that a replay knows: trades that no depth message has shown yet, a row of
`book` that waits for the next message, since when a level is right. So the replay sets out one
keyframe earlier, is silent up to the boundary, and has to come to the same book there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from lobproof.errors import UsageError
from lobproof.instruments import Instrument
from lobproof.pipeline.carry import finer_grid, keyframe_places, stored_book
from lobproof.pipeline.unit import FROM, Asked, Frame, Start
from lobproof.store import open_store, sealed

_RANK = ("real", "unknown", "derived", "synthetic")


@dataclass(frozen=True, slots=True)
class Since:
    """What is asked for: a time in ns, and the store in which its day is sealed (none: ``out``)."""

    time_ns: int
    base: Path | None = None

    @property
    def dt(self) -> str:
        """The time's UTC day."""
        return datetime.fromtimestamp(self.time_ns // 10**9, UTC).date().isoformat()


def find_start(
    since: Since, out: Path, instrument: Instrument, days: Sequence[str], strategy: Asked
) -> tuple[Start, Instrument]:
    """The start of the partial day, and the grid that holds its books.

    Parameters
    ----------
    out
        The store that the partial day goes to; its lock must be held.
    days
        Those of the input, in order, the one of ``since`` among them.
    strategy
        As asked for; ``auto`` is that of the sealed day.

    Raises
    ------
    UsageError
        Where there is no keyframe to start at, or ``out`` holds the whole day.
    """
    exchange, symbol, dt = instrument.exchange, instrument.symbol, since.dt
    named = f"{exchange} {symbol} {dt}"
    base = since.base or out
    if whole(sealed(out, exchange, symbol), dt):
        raise UsageError(
            f"{named} is sealed as a whole day in {out}, and a partial one must not replace it",
            hint=f"name another --out, with --base {base} for the keyframe to start at",
        )
    seals = {row["dt"]: row for row in sealed(base, exchange, symbol).iter_rows(named=True)}
    if dt not in seals or base.resolve() == out.resolve():
        raise UsageError(
            f"there is no keyframe to start at: {base} has no whole {named}",
            hint="--base names a store in which that day is sealed; a killed run needs no --from, "
            "it goes on from its checkpoint by itself",
        )
    seal = seals[dt]
    if strategy not in ("auto", seal["strategy"]):
        raise UsageError(
            f"{named} is replayed as {seal['strategy']} in {base}, not as {strategy}",
            hint=f"leave --strategy out, or name a --base that was made with {strategy}",
        )
    places = _places(base, instrument, seals, days[: list(days).index(dt) + 1])
    finer = instrument
    for day in places["dt"].unique():
        finer = finer_grid(finer, seals[day])
    mine = places.filter((pl.col("dt") == dt) & (pl.col("event_id") < int(seal["events"]) - 1))
    reached = (pl.col("from_ns") <= since.time_ns) | (pl.col("event_id") < 0)
    at = mine.filter(reached).row(-1, named=True)
    before = places.filter(pl.col("row") < at["row"])
    known = before.filter(pl.col("trusted"))
    lead = (known if known.height else places).row(-1 if known.height else 0, named=True)

    def frame(place: Mapping[str, Any]) -> Frame:
        where = (exchange, symbol, place["dt"], place["event_id"])
        book = stored_book(open_store(base), *where, finer)
        return Frame(place["from_ns"], book, str(seals[place["dt"]]["keyframes_hash"]))

    anew = lead["event_id"] < 0 and not seals[lead["dt"]]["carried_from"]
    start = Start(
        dt,
        frame(at),
        None if anew else frame(lead),
        seal["strategy"],
        tuple(json.loads(seal["verdicts"])["reasons"]),
        seal["provenance"],
        bool(seal["certified"]),
    )
    return start, finer


def whole(seals: pl.DataFrame, dt: str) -> bool:
    """Whether a day is sealed, and not as a partial one."""
    return any(FROM not in json.loads(text) for text in seals.filter(pl.col("dt") == dt)["config"])


def least_real(*provenances: str) -> str:
    """What is made of several: the last of ``real``, ``unknown``, ``derived``, ``synthetic``."""
    return max(provenances, key=_RANK.index)


def _places(
    base: Path, instrument: Instrument, seals: Mapping[str, Any], days: Sequence[str]
) -> pl.DataFrame:
    """Keyframes of the last of ``days``, and of those before that it goes on from, in order.

    Columns: ``row, dt, event_id, trusted, from_ns`` (the boundary). Closing keyframes, with which
    the next day opens, are left out.
    """
    chain = [days[-1]]
    for dt in reversed(days[:-1]):
        if dt not in seals or seals[dt]["keyframes_hash"] != seals[chain[0]]["carried_from"]:
            break
        chain.insert(0, dt)
    store = open_store(base)
    found = []
    for dt in chain:
        spacing = int(json.loads(seals[dt]["config"])["keyframe_seconds"]) * 10**9
        ts = pl.col("ts_order")
        first = pl.col("event_id") < 0
        found.append(
            keyframe_places(store, instrument.exchange, instrument.symbol, dt)
            .filter(first | (pl.col("event_id") < int(seals[dt]["events"]) - 1))
            .select(
                pl.lit(dt).alias("dt"),
                "event_id",
                "trusted",
                pl.when(first).then(ts).otherwise(ts - ts % spacing + spacing).alias("from_ns"),
            )
        )
    return pl.concat(found).with_row_index("row")
