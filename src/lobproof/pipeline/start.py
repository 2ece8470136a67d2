"""With what a run begins: the book of the day before, or a keyframe of a sealed day.

``closing_book`` is the first, `find_start` the second. A keyframe is cut before the first event at
or after a *boundary*, a multiple of their spacing; a partial day begins at the last boundary at or
before the time that was asked for. The keyframe there holds a book, and not all that a replay
knows: trades that no depth message has shown yet, a row of `book` that waits for the next message,
when the feed last lived. So the replay sets out from an earlier keyframe, is silent up to the
boundary (`WarmUp`), and has to come to the same book there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lobproof.book import BookImage
from lobproof.errors import InputError, StoreError, UsageError
from lobproof.instruments import Instrument
from lobproof.paths import AnyPath, as_path
from lobproof.pipeline.job import Asked, Frame, Start
from lobproof.replay import Replayer, Segment
from lobproof.schema import EVERYTHING, PENDING_MESSAGES, PENDING_NS, UNTRUSTED, Flag, Kind
from lobproof.store import Keyframe, Partition, Scope, Store, open_store, partial_from, sealed
from lobproof.store.seal import config_of, inputs_of, verdicts_of
from lobproof.timespan import show_ns, utc_day

# --- books of sealed days ---------------------------------------------------------------------


def closing_book(
    out: Path, exchange: str, symbol: str, dt: str, instrument: Instrument
) -> tuple[tuple[BookImage, str, int], Instrument]:
    """Closing keyframe of the day before ``dt``, hash of that day's keyframes, its time; a grid.

    The grid is that of ``instrument``, made finer where the carried book needs it. What lies
    beyond a trusted range is stale: nothing proves that the files of two days join without a loss.

    Raises
    ------
    UsageError
        When that day is not sealed in the store ``out``.
    """
    before = (date.fromisoformat(dt) - timedelta(days=1)).isoformat()
    scope = Scope.of(Partition(exchange, symbol, before))
    seals = sealed(out, scope)
    if seals.is_empty():
        raise UsageError(
            f"{exchange} {symbol} {before} is not sealed in {out}: nothing to carry over to {dt}",
            hint="reconstruct the days in order, or leave carry (--carry) out",
        )
    seal = seals.row(0, named=True)
    finer = finer_grid(instrument, seal)
    store = open_store(out, scope)
    event_id, ts = keyframe_places(store, exchange, symbol, before).row(-1)[:2]
    book = stored_book(store, exchange, symbol, before, event_id, finer)
    book = replace(
        book,
        bid_stale=int(book.bid_trust != EVERYTHING),
        ask_stale=int(book.ask_trust != EVERYTHING),
    )
    return (book, str(seal["keyframes_hash"]), int(ts)), finer


def finer_grid(instrument: Instrument, seal: Mapping[str, Any]) -> Instrument:
    """The instrument on the coarsest grid that holds its own numbers and those of a sealed day."""
    return instrument.with_exponents(
        max(instrument.price_exponent, int(seal["price_exponent"])),
        max(instrument.size_exponent, int(seal["size_exponent"])),
    )


def keyframe_places(store: Store, exchange: str, symbol: str, dt: str) -> pl.DataFrame:
    """The keyframes of a day, in order: ``event_id``, ``ts_order``, ``trusted`` (both sides)."""
    return _collected(
        _keyframes(store, exchange, symbol, dt)
        .filter(pl.col("price") == 0)
        .group_by("event_id")
        .agg(pl.col("ts_order").first(), (pl.col("trust") != UNTRUSTED).all().alias("trusted"))
        .sort("event_id"),
        f"{exchange} {symbol} {dt}",
    )


def stored_book(
    store: Store, exchange: str, symbol: str, dt: str, event_id: int, instrument: Instrument
) -> BookImage:
    """The book of the keyframe behind an event, counted on a grid that holds it."""
    grid = store.instrument(symbol, exchange=exchange)
    rows = _collected(
        _keyframes(store, exchange, symbol, dt).filter(pl.col("event_id") == event_id),
        f"{exchange} {symbol} {dt}",
    )

    def counts(name: str, stored: int, wanted: int) -> pl.Expr:
        up, down = (int(10 ** max(by, 0)) for by in (wanted - stored, stored - wanted))
        return pl.col(name) * up // down

    prices = (grid.price_exponent, instrument.price_exponent)
    counted = [counts(name, *prices) for name in ("price", "trusted_to", "listed_to")]
    sizes = counts("size", grid.size_exponent, instrument.size_exponent)
    return Keyframe.of(rows.with_columns(*counted, sizes)).book


def _keyframes(store: Store, exchange: str, symbol: str, dt: str) -> pl.LazyFrame:
    frames = store.keyframes(symbol, exchange=exchange, numbers="grid", raw=True)
    return frames.filter(pl.col("dt") == dt)


def _collected(frame: pl.LazyFrame, where: str) -> pl.DataFrame:
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StoreError(
            f"{where}: its keyframes cannot be read: {' '.join(str(error).split())}",
            hint="reconstruct that day there anew, with overwrite= (--overwrite)",
        ) from error


# --- where a partial day begins ---------------------------------------------------------------


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
        return utc_day(self.time_ns)


def refuse_carry(carry: bool, since: PartialDay | None) -> None:
    """Raise `UsageError` where both are asked for."""
    if carry and since is not None:
        raise UsageError(
            "carry with a partial day: it begins with a keyframe of its own day",
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
            hint="name a base (--base) that was made from these files",
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
    scope = Scope.of(Partition(exchange, symbol, dt))
    if since.base is not None:
        open_store(base, scope)  # a folder that is no store is told as that
    there = sealed(out, scope)
    if any(partial_from(row) is None for row in there.iter_rows(named=True)):
        raise UsageError(
            f"{named} is sealed as a whole day in {out}, and a partial one must not replace it",
            hint=f"name another store, with base= (--base) {base} for the keyframe to start at",
        )
    if sealed(base, scope).is_empty() or base.resolve() == out.resolve():
        raise UsageError(
            f"there is no keyframe to start at: {base} has no whole {named}",
            hint="base= (--base) names a store in which that day is sealed; a killed run needs no "
            "since= (--from), it goes on from its checkpoint by itself",
        )
    store = open_store(base, scope)
    seal = store.days().row(0, named=True)
    check_files(seal, inputs, base)
    if strategy not in ("auto", seal["strategy"]):
        raise UsageError(
            f"{named} is replayed as {seal['strategy']} in {base}, not as {strategy}",
            hint="leave strategy (--strategy) out, or name a base (--base) that was made with "
            f"{strategy}",
        )
    begins = partial_from(seal)
    if begins is not None and since.time_ns < begins:
        raise UsageError(
            f"{named} begins at {show_ns(begins)} in {base}: there is no keyframe before that",
            hint="name a later start, or a base (--base) that holds the whole day",
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
            hint="reconstruct that day there anew, with carry and overwrite (--carry --overwrite)",
        )
    return Frame(0, book, last_ts), finer


# --- the way there ----------------------------------------------------------------------------


class AnotherBookError(InputError):
    """The replay does not come to the book of the keyframe, or set out too near to be sure."""


class WarmUp:
    """Takes the events before a partial day: passed by, then replayed without a trace.

    Parameters
    ----------
    start
        Where the day begins.
    lead
        Which of its leads to set out from.
    replayer
        A new one.
    where
        Names the input in errors.
    """

    def __init__(self, start: Start, lead: Frame | None, replayer: Replayer, where: str) -> None:
        self._start = start
        self._lead = lead
        self._replayer = replayer
        self._where = where
        self._set_out = False
        self._arrived = False
        self._life_ts = 0
        self._events = 0
        self._messages = 0
        self._told_ts = 0
        self._last_ts = 0

    def rest(self, segment: Segment) -> Segment:
        """What of a segment belongs to the partial day; the rest of it is taken.

        Raises
        ------
        AnotherBookError
            If the book is not the one of the keyframe where the day begins.
        """
        if self._arrived:
            return segment
        if not self._set_out and self._lead is not None:
            passed, segment = _split(segment, self._lead.from_ns)
            self._pass_by(passed)
        lead, segment = _split(segment, self._start.at.from_ns)
        if len(lead):
            self._replay(lead)
        if len(segment):
            self._arrive()
        return segment

    def check_arrived(self) -> None:
        """Raise `InputError` where the input ended before the partial day began."""
        if not self._arrived:
            raise InputError(
                f"{self._where} ends before the keyframe to start at",
                hint="name a base (--base) that was made from these files",
            )

    def _pass_by(self, passed: Segment) -> None:
        if len(passed.events):
            self._replayer.pass_by(passed.events)
        if len(passed):
            self._life_ts = passed.last_ts

    def _begin(self, ts: int) -> None:
        """Take over the book to set out from, once all that lies before it has been passed by."""
        if self._set_out:
            return
        self._set_out = True
        if self._lead is not None:
            # all that was passed by counts as life, rows of `book` as if they had agreed (the book
            # was trusted); where that hides a silence, the books differ at the boundary, or
            # nothing of it is left
            last_ts = self._life_ts if self._lead.last_ts is None else self._lead.last_ts
            self._replayer.carry(self._lead.book, last_ts)
        self._replayer.begin_day(ts)

    def _replay(self, lead: Segment) -> None:
        ts = [int(part.ts_order[0]) for part in (lead.events, lead.vendor_rows) if len(part)]
        self._begin(min(ts))
        told = Kind.DELTA if self._start.strategy == "full" else Kind.SNAPSHOT
        ends = (lead.events.flags & Flag.LAST) != 0
        told_ts = lead.events.ts_order[ends & (lead.events.kind == told)]
        self._messages += len(told_ts)
        self._told_ts = max([self._told_ts, *told_ts[-1:].tolist()])
        for chunk in self._replayer.chunks(lead, self._events):
            self._events += len(chunk)
        self._last_ts = lead.last_ts

    def _arrive(self) -> None:
        self._begin(self._start.at.from_ns)
        self._arrived = True
        # the minute, and findings up to here, are not the partial day's
        self._replayer.end_day(max(self._events - 1, 0), self._last_ts)
        lead = self._lead
        # then nothing is left of what only an earlier replay knew: trades wait no longer
        sure = (
            lead is None
            or lead.last_ts is not None
            or (self._messages >= PENDING_MESSAGES and self._told_ts - lead.from_ns >= PENDING_NS)
        )
        if not sure or not self._replayer.levels().equals(self._start.at.book):
            raise AnotherBookError(
                f"{self._where}: the replay does not come to the book of the keyframe to start at",
                hint="name a base (--base) that was made from these files, with the same options",
            )


def _split(segment: Segment, ts: int) -> tuple[Segment, Segment]:
    """What of a segment is before a time, and what is not."""
    row, vendor_row = (
        int(np.searchsorted(part.ts_order, ts)) for part in (segment.events, segment.vendor_rows)
    )
    return segment.slice(0, 0, row, vendor_row), segment.after(row, vendor_row)
