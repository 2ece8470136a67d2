"""A store held against the truth: trusted slots of trusted rows, and books at instants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl

import lobproof
from fuzz.oracle import DIGITS, LEVELS, Int64, Sides
from fuzz.tape import SECOND, Known
from lobproof.errors import LobproofError
from lobproof.schema import Flag, Kind
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS
from lobproof.store import Store
from lobproof.store.bookview import BookView

SUBSTITUTE = "a time that is said to be a substitute"
PAUSE = "a substitute that leaves out a pause, as a recorder's clock that went back by as much does"
QUIET = 5 * SECOND
"""Nothing heard for so long is silence, whatever the feed's cadence."""


@dataclass(frozen=True)
class Wrong:
    """A claim that is not so: of a state, or of a book at an instant."""

    what: str
    event_id: int = -1
    sequence: int = -1
    version: int = -1
    side: int = 0
    slot: int = -1
    price: int = 0
    """Of the slot, in the truth or else in the store, 10^-8."""
    said: tuple[int, int] = (0, 0)
    true: tuple[int, int] = (0, 0)
    dt: str = ""
    """The day, in which event ids count."""

    def __str__(self) -> str:
        where = f"event {self.event_id}, sequence {self.sequence}, version {self.version}"
        slot = f"{('bid', 'ask')[self.side]} {self.slot}: {self.said} for {self.true}"
        return f"{self.what}: {where}" + (f", {slot}" if self.slot >= 0 else "")


@dataclass
class Judged:
    """What a run came to."""

    rows: int = 0
    """States, trusted or not."""
    trusted: int = 0
    """Trusted rows."""
    slots: int = 0
    """Trusted slots in them."""
    books: int = 0
    """Instants looked at whose book claimed something."""
    wrong: list[Wrong] = field(default_factory=list)
    """One a row, of the slots the first; of the books each."""

    @property
    def share(self) -> float:
        return self.slots / (2 * LEVELS * self.rows) if self.rows else 0.0


def judge(folder: Path, known: Known, rng: Random, instants: int) -> Judged:
    """Look at everything that the store trusts."""
    store = lobproof.open(folder)
    found = Judged(rows=store.states(raw=True).select(pl.len()).collect().item())
    rows = store.trusted(numbers="grid", raw=True).sort("dt", "event_id").collect()
    _judge_states(store, rows, known, found)
    quiet = _quiet(store, known)
    for _ in range(instants):
        before = len(found.wrong)
        view = _judge_book(store, known, rng, found, quiet)
        if view is not None:
            day = str(np.datetime64(view.ts_order, "ns").astype("datetime64[D]"))
            found.wrong[before:] = [replace(one, dt=day) for one in found.wrong[before:]]
    return found


def _judge_states(store: Store, rows: pl.DataFrame, known: Known, found: Judged) -> None:
    claimed = rows.select("bid_trusted", "ask_trusted").to_numpy().astype(np.int64)
    found.trusted, found.slots = rows.height, int(claimed.sum())
    if not rows.height:
        return
    instrument = store.instrument()
    own = rows.select(LEVEL_COLUMNS).to_numpy().astype(np.int64)
    own[:, 0::2] *= 10 ** (DIGITS - instrument.price_exponent)
    own[:, 1::2] *= 10 ** (DIGITS - instrument.size_exponent)
    truth = known.levels
    ids, times = rows["sequence"].to_numpy(), rows["ts_order"].to_numpy()
    events, flags = rows["event_id"].to_numpy(), rows["flags"].to_numpy()
    told = np.concatenate([np.arange(LEVELS) < claimed[:, k : k + 1] for k in (0, 1)], axis=1)
    pauses = [by for _, by in known.shifts]
    again = rows.select(pl.col("sequence").is_first_distinct().over("dt").not_()).to_series()
    best: list[Wrong | None] = [None] * rows.height
    done = np.zeros(rows.height, np.bool_)
    # an id may stand for several versions: right is what is right for one of them
    most = max((len(known.ids.get(number, ())) for number in set(ids.tolist())), default=0)
    for turn in range(max(most, 1)):
        chosen = [sorted(known.ids.get(number, ())) for number in ids.tolist()]
        version = np.array([one[turn] if turn < len(one) else -1 for one in chosen], np.int64)
        if turn == 0:
            for row in np.flatnonzero(version < 0).tolist():
                best[row] = Wrong("an id that is none", int(events[row]), int(ids[row]))
        here = ~done & (version >= 0)
        same = (own == truth[version]).reshape(len(ids), 2 * LEVELS, 2).all(axis=2)
        bad = told & ~same
        off = np.array([known.time(v) if v >= 0 else 0 for v in version.tolist()], np.int64)
        # a row of `book` may say again what the book still is
        still = np.array([known.time(v + 1) if v >= 0 else 0 for v in version.tolist()], np.int64)
        until = np.where(again, np.maximum(still, off), off)
        late = (times < off - known.slack) | (times > until + known.slack)
        done |= here & ~bad.any(axis=1) & ~late
        for row in np.flatnonzero(here & (bad.any(axis=1) | late)).tolist():
            by = int(times[row] - off[row])
            said = bool(flags[row] & int(Flag.BAD_TS))
            best[row] = _wrong(
                row, version, bad, own, truth, events, ids, off=by, flagged=said, pauses=pauses
            )
    found.wrong += [
        replace(one, dt=str(day))
        for one, right, day in zip(best, done.tolist(), rows["dt"].to_list(), strict=True)
        if one and not right
    ]


def _wrong(
    row: int,
    version: Int64,
    bad: Any,
    own: Int64,
    truth: Int64,
    events: Int64,
    ids: Int64,
    *,
    off: int,
    flagged: bool,
    pauses: Sequence[int],
) -> Wrong:
    where = int(events[row]), int(ids[row]), int(version[row])
    slots = np.flatnonzero(bad[row])
    if not len(slots):
        near = [abs(off + by) <= 62 * SECOND for by in (0, *pauses)]
        what = "time" if not flagged or not any(near) else SUBSTITUTE if near[0] else PAUSE
        return Wrong(f"{what} off by {off / SECOND:.3f} s", *where)
    slot = int(slots[0])
    said = int(own[row, 2 * slot]), int(own[row, 2 * slot + 1])
    true = int(truth[where[2], 2 * slot]), int(truth[where[2], 2 * slot + 1])
    side = slot // LEVELS
    # of two prices the nearer to the touch is the one that is wrong
    prices = [price for price in (said[0], true[0]) if price]
    price = (max(prices) if side == 0 else min(prices)) if prices else 0
    return Wrong("state", *where, side, slot % LEVELS, price, said, true)


def _quiet(store: Store, known: Known) -> int:
    """How long nothing may be heard, ns: fifty times the mean spacing of what is there, or 5 s."""
    times = store.states(raw=True).select("ts_order").collect()["ts_order"].sort()
    spacing = int(times[-1] - times[0]) // max(len(times) - 1, 1) if len(times) else 0
    return max(QUIET, 60 * spacing) + known.slack


def _judge_book(
    store: Store, known: Known, rng: Random, found: Judged, quiet: int
) -> BookView | None:
    first, last = known.time(0), known.time(known.extract.versions - 1)
    moment = rng.randint(first - SECOND, last + SECOND)
    dice = rng.random()
    if dice < 0.4 and known.spots:
        moment = rng.choice(known.spots) + rng.choice((0, 1, 50, 99, 500, 3_000, 20_000)) * 10**6
    elif dice < 0.5:
        moment = last + rng.choice((10, 60, 3_600, 40_000)) * SECOND
    try:
        view = store.book_at(moment)
    except LobproofError:
        return None
    pairs = [
        _trusted_side(view.bids, view.bid_trust, view.bid_trusted_to, view.doubtful, 0),
        _trusted_side(view.asks, view.ask_trust, view.ask_trusted_to, view.doubtful, 1),
    ]
    if not any(pair is not None for pair in pairs):
        return None
    found.books += 1
    where = view.event_id, view.sequence
    versions = known.ids.get(view.sequence) or _at_time(known, view)
    if not versions:
        found.wrong.append(Wrong("book_at: an id that is none", *where))
        return view
    times = sorted(known.time(v) for v in versions)
    if moment > last + quiet:
        found.wrong.append(
            Wrong(f"book_at {moment}: {(moment - last) / SECOND} s behind the end", *where)
        )
        return view
    if not any(abs(view.ts_order - time) <= max(known.slack, 60 * SECOND) for time in times):
        pauses = [abs(view.ts_order + by - time) for _, by in known.shifts for time in times]
        what = PAUSE if min(pauses, default=2**62) <= 62 * SECOND else "another time"
        found.wrong.append(Wrong(f"{what} (book_at {moment})", *where))
        return view
    told: Wrong | None = None
    for version in versions:
        told = _compare(known.at(version), pairs, moment, where, version)
        if told is None:
            break
    if told is not None:
        found.wrong.append(told)
        return view
    _judge_age(known, moment - quiet, moment, max(versions), where, pairs, found)
    return view


def _at_time(known: Known, view: BookView) -> set[int]:
    """Of a book that knows no id (no depth message came yet): by its time."""
    times = known.extract.times
    at = int(np.searchsorted(times, view.ts_order, "right")) - 1
    return {at} if view.sequence < 0 and at >= 0 and not known.shifts else set()


def _judge_age(
    known: Known,
    late: int,
    moment: int,
    version: int,
    where: tuple[int, int],
    pairs: Sequence[Any],
    found: Judged,
) -> None:
    """The book of an instant is the last one before it, up to what silence is."""
    follows = version + 1
    if follows < known.extract.versions and known.time(follows) < late:
        now = follows
        while now + 1 < known.extract.versions and known.time(now + 1) < late:
            now += 1
        told = _compare(known.extract.at(now), pairs, moment, where, now)
        if told is not None:
            age = (moment - known.time(follows)) / SECOND
            found.wrong.append(Wrong(f"book_at {moment}: {age} s old", *where, now))


def _trusted_side(
    levels: pl.DataFrame, trust: int, far: Any, doubtful: bool, side: int
) -> tuple[dict[int, int], int | None] | None:
    """Trusted levels, and down to which price (None: everything); None: nothing is claimed."""
    if doubtful or trust == 0:
        return None
    rows = levels.filter(pl.col("trusted"))
    if levels.height and not rows.height and not bool(levels["trusted"].any()):
        # a range that ends before the first level, or a book that is crossed
        return None
    pairs = {
        int(price.scaleb(DIGITS)): int(size.scaleb(DIGITS))
        for price, size in rows.select("price", "size").iter_rows()
    }
    return pairs, None if far is None else int(far.scaleb(DIGITS))


def _compare(
    truth: Sides, pairs: Sequence[Any], moment: int, where: tuple[int, int], version: int
) -> Wrong | None:
    for side, pair in enumerate(pairs):
        if pair is None:
            continue
        held, far = pair
        sign = 1 if side == 0 else -1
        true = {p: s for p, s in truth[side].items() if far is None or sign * p >= sign * far}
        if held != true:
            odd = sorted(
                {p for p in {*held, *true} if held.get(p) != true.get(p)}, reverse=side == 0
            )
            said = odd[0], held.get(odd[0], 0)
            return Wrong(
                f"book_at {moment}: {len(odd)} levels",
                *where,
                version,
                side,
                0,
                odd[0],
                said,
                (odd[0], true.get(odd[0], 0)),
            )
    return None


def anchors(store: Store) -> pl.DataFrame:
    """Snapshots as they were inserted: the event that ends each, its sequence, and ``vouched``:
    whether the book was trusted just before.
    """
    states = (
        store.states(raw=True)
        .select("dt", "event_id", pl.max_horizontal("bid_trusted", "ask_trusted").alias("trusted"))
        .sort("dt", "event_id")
        .with_columns(vouched=pl.col("trusted").shift(1, fill_value=0) > 0)
    )
    ends = (pl.col("kind") == int(Kind.SNAPSHOT)) & (pl.col("flags") & int(Flag.LAST) != 0)
    return (
        store.events(raw=True)
        .filter(ends)
        .select("dt", "event_id", "sequence")
        .join(states, on=("dt", "event_id"), how="left")
        .sort("dt", "event_id")
        .collect()
    )
