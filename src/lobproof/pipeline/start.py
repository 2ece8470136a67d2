"""``find_start``: where a partial day begins, among the keyframes of a sealed one.

A keyframe is cut before the first event at or after a *boundary*, a multiple of their spacing; a
partial day begins at the last boundary at or before the time that was asked for. The keyframe there
holds a book, and not all that a replay knows: trades that no depth message has shown yet, a row of
`book` that waits for the next message, when the feed last lived. So the replay sets out from an
earlier keyframe, is silent up to the boundary, and has to come to the same book there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from lobproof.errors import UsageError
from lobproof.instruments import Instrument
from lobproof.paths import AnyPath, as_path
from lobproof.pipeline.carry import closing_book, finer_grid, keyframe_places, stored_book
from lobproof.pipeline.job import Asked, Frame, Start
from lobproof.store import Store, open_store, partial_from, sealed
from lobproof.store.seal import config_of, inputs_of, verdicts_of
from lobproof.store.timespan import show_ns

LEAD_NS = 60_000_000_000
"""The replay sets out at least so long before a partial day begins."""


@dataclass(frozen=True, slots=True)
class PartialDay:
    """What is asked for: a time in ns, and the store in which its day is sealed.

    That must be another one than ``out``; with none, `find_start` says so.
    """

    time_ns: int
    base: AnyPath | None = None

    @property
    def dt(self) -> str:
        """The time's UTC day."""
        return datetime.fromtimestamp(self.time_ns // 10**9, UTC).date().isoformat()


def refuse_carry(carry: bool, since: PartialDay | None) -> None:
    """Raise `UsageError` where both are asked for."""
    if carry and since is not None:
        raise UsageError(
            "--carry with --from: a partial day begins with a keyframe of its own day",
            hint="leave one of them out",
        )


def check_files(seal: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]], base: Path) -> None:
    """Raise `UsageError` unless a sealed day was made from these files.

    One row far from the touch that other files have, or lack, would stay in every later book, and
    nothing but the files tells of it.
    """
    theirs, ours = {one.sha256 for one in inputs_of(seal)}, {one["sha256"] for one in inputs}
    if theirs != ours:
        named = " ".join(str(seal[name]) for name in ("exchange", "symbol", "dt"))
        raise UsageError(
            f"{named} was made from other files in {base}",
            hint="name a --base that was made from these files",
        )


def find_start(
    since: PartialDay,
    out: Path,
    instrument: Instrument,
    days: Sequence[str],
    strategy: Asked,
    inputs: Sequence[Mapping[str, Any]],
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
    inputs
        The files, with ``sha256``.

    Raises
    ------
    UsageError
        Where there is no keyframe to start at, the base was made from other files, or ``out``
        holds the whole day.
    StoreError
        Where the keyframes of the base cannot be read.
    """
    exchange, symbol, dt = instrument.exchange, instrument.symbol, since.dt
    named = f"{exchange} {symbol} {dt}"
    base = out if since.base is None else as_path(since.base)
    if since.base is not None:
        open_store(base)  # a folder that is no store is told as that
    there = sealed(out, exchange, symbol).filter(pl.col("dt") == dt)
    if any(partial_from(row) is None for row in there.iter_rows(named=True)):
        raise UsageError(
            f"{named} is sealed as a whole day in {out}, and a partial one must not replace it",
            hint=f"name another --out, with --base {base} for the keyframe to start at",
        )
    based = sealed(base, exchange, symbol)["dt"].to_list()
    if dt not in based or base.resolve() == out.resolve():
        raise UsageError(
            f"there is no keyframe to start at: {base} has no whole {named}",
            hint="--base names a store in which that day is sealed; a killed run needs no --from, "
            "it goes on from its checkpoint by itself",
        )
    store = open_store(base)
    ours = (pl.col("exchange") == exchange) & (pl.col("symbol") == symbol) & (pl.col("dt") == dt)
    seal = store.days().filter(ours).row(0, named=True)
    check_files(seal, inputs, base)
    if strategy not in ("auto", seal["strategy"]):
        raise UsageError(
            f"{named} is replayed as {seal['strategy']} in {base}, not as {strategy}",
            hint=f"leave --strategy out, or name a --base that was made with {strategy}",
        )
    begins = partial_from(seal)
    if begins is not None and since.time_ns < begins:
        raise UsageError(
            f"{named} begins at {show_ns(begins)} in {base}: there is no keyframe before that",
            hint="name a later --from, or a --base that holds the whole day",
        )
    finer = finer_grid(instrument, seal)
    anew: Frame | None = None
    if seal["carried_from"] and begins is None and dt == days[0]:
        anew, finer = _carried(base, seal, finer)
    places = _places(store, seal)

    def frame(place: Mapping[str, Any]) -> Frame:
        book = stored_book(store, exchange, symbol, dt, place["event_id"], finer)
        return Frame(place["from_ns"], book)

    reached = (pl.col("from_ns") <= since.time_ns) | (pl.col("event_id") < 0)
    at = places.filter(reached).row(-1, named=True)
    far = pl.col("trusted") & (pl.col("from_ns") <= at["from_ns"] - LEAD_NS)
    known = places.filter(far)
    # of a book that is not trusted a keyframe does not say why
    near = (frame(known.row(-1, named=True)),) if at["trusted"] and known.height else ()
    start = Start(
        dt,
        frame(at),
        str(seal["keyframes_hash"]),
        (*near, anew),
        seal["strategy"],
        tuple(verdicts_of(seal).reasons),
        seal["provenance"],
        bool(seal["certified"]),
    )
    return start, finer


def _places(store: Store, seal: Mapping[str, Any]) -> pl.DataFrame:
    """Keyframes of a day, in order: ``event_id, trusted, from_ns`` (the boundary).

    The closing one, behind which nothing comes, is left out.
    """
    spacing = config_of(seal).keyframe_seconds * 10**9
    ts, first = pl.col("ts_order"), pl.col("event_id") < 0
    begins = partial_from(seal)
    return (
        keyframe_places(store, seal["exchange"], seal["symbol"], seal["dt"])
        .filter(first | (pl.col("event_id") < int(seal["events"]) - 1))
        .select(
            "event_id",
            "trusted",
            pl.when(first)
            .then(ts if begins is None else pl.lit(begins))
            .otherwise(ts - ts % spacing + spacing)
            .alias("from_ns"),
        )
    )


def _carried(
    base: Path, seal: Mapping[str, Any], instrument: Instrument
) -> tuple[Frame, Instrument]:
    """The book that a sealed day was begun with, which the day before closed with."""
    where = (seal["exchange"], seal["symbol"], seal["dt"])
    (book, digest, last_ts), finer = closing_book(base, *where, instrument)
    if digest != seal["carried_from"]:
        raise UsageError(
            f"the day before {' '.join(where)} is not in {base} any more as it was carried over",
            hint="reconstruct that day there anew, with --carry and --overwrite",
        )
    return Frame(0, book, last_ts), finer
