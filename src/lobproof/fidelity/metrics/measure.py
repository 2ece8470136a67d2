"""``measure``: the blocks of a sealed day from its stored tables; ``measured``: kept, or measured.

They are those that an `Observer` makes while the day is replayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import or_

import numpy as np
import polars as pl

from lobproof.errors import UsageError
from lobproof.fidelity.metrics.blocks import Blocks, Scale
from lobproof.fidelity.metrics.common import AS_THEY_ARE, Common, observer_of
from lobproof.fidelity.metrics.files import load
from lobproof.fidelity.metrics.metric_kernels import GRID_NS, HORIZONS_NS
from lobproof.fixedpoint import from_decimal128
from lobproof.instruments import Instrument
from lobproof.schema import EventBatch, Flag, Int64, Kind, StateBatch
from lobproof.schema.tables import STATE_LEVEL_COLUMNS
from lobproof.store import Partition, Store
from lobproof.store.seal import config_of

_CONTEXT_NS = max(HORIZONS_NS) + 2 * GRID_NS
"""Trades so long before a block may have their mids within it."""
_EVENTS = ["event_id", "ts_order", "prev_sequence", "kind", "side", "price", "size", "flags"]
_TRADE = pl.col("kind") == int(Kind.TRADE)
_CORRECTS = (pl.col("flags") & int(Flag.LAST) != 0) & (
    pl.col("kind").is_in([int(Kind.SNAPSHOT), int(Kind.CLEAR)])
    | (pl.col("flags") & int(Flag.REFUTED) != 0)
)
_COUNTS = reduce(or_, (_TRADE, pl.col("kind") == int(Kind.MARK), _CORRECTS))
"""Events that an `Observer` looks at."""


def measure(
    store: Store,
    symbol: str | None,
    dt: str,
    *,
    scale: Scale | None = None,
    exchange: str | None = None,
    start: int | None = None,
    end: int | None = None,
    common: Common = AS_THEY_ARE,
) -> Blocks:
    """Measure a sealed day, or the blocks in some of it, from `events` and `states`.

    Parts of a day that are measured apart and `merged` are the day: of what lies before ``start``
    as much is read as the blocks behind it depend on.

    Parameters
    ----------
    scale
        By default that of the day's instrument, in blocks of a minute.
    start, end
        Ends of blocks, ns; by default all of the day.
    common
        What is left of the feed, to be held against another kind of one.

    Raises
    ------
    UsageError
        If there is no such day, it has fewer states than book messages, or ``start`` or ``end`` lie
        within a block.
    StoreError
        If the day is not as it was sealed.
    """
    seal = _seal(store, symbol, dt, exchange)
    symbol, exchange = str(seal["symbol"]), str(seal["exchange"])
    instrument = store.instrument(symbol, dt, exchange=exchange)
    scale = scale or Scale.of(instrument)
    for time in (start, end):
        if time is not None and time % scale.block_ns:
            raise UsageError(
                f"{time} ns lies within a block of {scale.block_ns} ns.",
                hint="Measure from the start of a block to the start of another.",
            )
    spacing = config_of(seal).states
    if spacing != "all":
        raise UsageError(
            f"{exchange} {symbol} {dt} has states {spacing!r}: metrics need one at the end of each "
            "book message.",
            hint="Reconstruct the day with states='all' (--states all), into another store or with "
            "overwrite= (--overwrite).",
        )
    day = _Day(store, symbol, dt, exchange, instrument)
    first_id = 0 if start is None else day.context(start)
    observer = observer_of(instrument, scale, start or 0, common)
    states = day.states(first_id)
    waiting = StateBatch.empty()
    for last_id, ids, events in day.events(first_id, end):
        # states and events of the same time belong together
        while not len(waiting) or int(waiting.event_id[-1]) < last_id:
            group = next(states, None)
            if group is None:
                break
            waiting = StateBatch.concat([waiting, group]) if len(waiting) else group
        ready = int(np.searchsorted(waiting.event_id, last_id, "right"))
        if end is not None:
            ready = min(ready, int(np.searchsorted(waiting.ts_order, end)))
        observer.add_some(ids, events, waiting.slice(0, ready))
        waiting = waiting.slice(ready, len(waiting))
    return observer.finish(int(str(seal["last_ts"])), end or 0)


def measured(
    store: Store,
    symbol: str | None,
    dt: str,
    *,
    scale: Scale | None = None,
    exchange: str | None = None,
    common: Common = AS_THEY_ARE,
) -> Blocks:
    """The blocks of a sealed day: of those that are kept, if they make this scale, else measured.

    Nothing is kept of what a day has in ``common`` with another feed.

    Raises
    ------
    UsageError, StoreError
        As `measure`, and as `load`.
    """
    seal = _seal(store, symbol, dt, exchange)
    partition = Partition(str(seal["exchange"]), str(seal["symbol"]), dt)
    kept = None if common else load(store.path, partition, str(seal["content_hash"]))
    if kept is not None and scale is None:
        return kept
    if kept is not None and scale is not None:
        longer, rest = divmod(scale.block_ns, kept.scale.block_ns)
        if not rest and longer and replace(scale, block_ns=kept.scale.block_ns) == kept.scale:
            return kept.coarser(scale.block_ns)
    return measure(
        store, partition.symbol, dt, scale=scale, exchange=partition.exchange, common=common
    )


def _seal(store: Store, symbol: str | None, dt: str, exchange: str | None) -> dict[str, object]:
    """The row of ``days`` of a day."""
    instrument = store.instrument(symbol, dt, exchange=exchange)
    named = {"exchange": instrument.exchange, "symbol": instrument.symbol, "dt": dt}
    return store.days().filter(**named).row(0, named=True)


class _Day:
    """The stored tables of a day, as an observer takes them."""

    def __init__(
        self, store: Store, symbol: str, dt: str, exchange: str, instrument: Instrument
    ) -> None:
        self._store, self._where = store, (dt, symbol)
        self._exchange = exchange
        self._price, self._size = instrument.price_exponent, instrument.size_exponent

    def context(self, start: int) -> int:
        """The event from which on all must be known for blocks from ``start`` on, ns.

        The last two trades and the last depth message before the oldest trade that waits; snapshots
        are none, and leave the time of the last message as it was.
        """
        before = pl.col("ts_order") < start - _CONTEXT_NS
        events = self._scan("events").filter(before)
        trades = events.filter(_TRADE).select("event_id").tail(2)
        corrected = events.filter(_CORRECTS).select("event_id")
        states = self._scan("states").filter(before).select("event_id")
        messages = states.join(corrected, on="event_id", how="anti")
        found = [frame.collect()["event_id"].min() for frame in (trades, messages.max())]
        return min((one for one in found if isinstance(one, int)), default=0)

    def events(self, first_id: int, end: int | None) -> Iterator[tuple[int, Int64, EventBatch]]:
        """Events that count before ``end`` and their ids, group by group, behind its last id."""
        for group in self._groups("events", first_id, _EVENTS):
            last_id = int(group["event_id"][-1])
            within = pl.col("event_id") >= first_id
            if end is not None:
                within &= pl.col("ts_order") < end
            rows = group.filter(_COUNTS & within)
            batch = EventBatch.empty(len(rows))
            for name in ("ts_order", "prev_sequence", "kind", "side", "flags"):
                getattr(batch, name)[:] = rows[name].to_numpy()
            batch.price = from_decimal128(rows["price"].to_arrow(), self._price)
            batch.size = from_decimal128(rows["size"].to_arrow(), self._size)
            yield last_id, rows["event_id"].to_numpy(), batch
            if end is not None and int(group["ts_order"][-1]) >= end:
                return

    def states(self, first_id: int) -> Iterator[StateBatch]:
        """States, group by group."""
        for group in self._groups("states", first_id, None):
            rows = group.filter(pl.col("event_id") >= first_id)
            batch = StateBatch.empty(len(rows))
            for name in ("event_id", "ts_order", "sequence", "bid_trusted", "ask_trusted"):
                getattr(batch, name)[:] = rows[name].to_numpy()
            for at, name in enumerate(STATE_LEVEL_COLUMNS):
                exponent = self._price if name.endswith("price") else self._size
                batch.levels[:, at] = from_decimal128(rows[name].to_arrow(), exponent)
            yield batch

    def _groups(
        self, table: str, first_id: int, columns: list[str] | None
    ) -> Iterator[pl.DataFrame]:
        return self._store.stored_groups(
            table, *self._where, exchange=self._exchange, columns=columns, first_id=first_id
        )

    def _scan(self, table: str) -> pl.LazyFrame:
        return self._store.stored(table, *self._where, exchange=self._exchange)
