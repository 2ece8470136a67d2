"""Trades put together and books thinned while they are measured, against a plain reference."""

from __future__ import annotations

import random
from itertools import groupby

import numpy as np
import pytest

from lobproof.fidelity.metrics.blocks import Blocks, Scale
from lobproof.fidelity.metrics.common import Common, begins, observer_of
from lobproof.fidelity.metrics.observer import Observer
from lobproof.schema import EventBatch, Flag, Int64, Kind, StateBatch
from support.market import INSTRUMENT, MIDNIGHT

pytestmark = pytest.mark.compiled
SCALE = Scale.of(INSTRUMENT, 10_000_000_000)
STEP = 50_000_000


def made(seed: int, rows: int = 400) -> tuple[EventBatch, StateBatch]:
    """Events of few times, prices and sides, and a state for each depth message among them."""
    rng = random.Random(seed)
    events, time = EventBatch.empty(rows), MIDNIGHT
    at = []
    for row in range(rows):
        time += STEP * rng.choice((0, 0, 0, 1, 3))
        events.ts_order[row] = time
        events.flags[row] = int(Flag.LAST)
        events.sequence[row] = row // 2
        if rng.random() < 0.7:
            events.kind[row] = int(Kind.TRADE)
            events.side[row] = rng.choice((1, 2))
            events.price[row] = 100_000 + rng.choice((0, 1))
            events.size[row] = rng.randrange(1, 50)
        else:
            events.kind[row] = int(Kind.DELTA)
            at.append(row)
    states = StateBatch.empty(len(at))
    states.event_id[:] = at
    states.ts_order[:] = events.ts_order[at]
    states.sequence[:] = events.sequence[at]
    for number in range(len(at)):
        bid = 99_990 + rng.randrange(9)
        states.levels[number, 0:4] = bid, rng.randrange(1, 99), bid - 1, rng.randrange(1, 99)
        states.levels[number, 40:44] = bid + 2, rng.randrange(1, 99), bid + 3, rng.randrange(1, 99)
    states.bid_trusted[:] = states.ask_trusted[:] = 2
    return events, states


def reference(events: EventBatch, states: StateBatch, ids: set[int] | None) -> Blocks:
    """What an observer sees of runs that plain Python has put together."""
    trades = [row for row in range(len(events)) if events.kind[row] == int(Kind.TRADE)]
    gone = set()
    events = events.copy()
    key = ("ts_order", "price", "side")
    for _, run in groupby(trades, lambda row: [int(getattr(events, name)[row]) for name in key]):
        first, *others = run
        events.size[first] += sum(int(events.size[row]) for row in others)
        gone.update(others)
    kept = np.array([row for row in range(len(events)) if row not in gone])
    books = np.array(
        [at for at in range(len(states)) if ids is None or int(states.sequence[at]) in ids], int
    )
    observer = Observer(INSTRUMENT, SCALE)
    observer.add_some(kept, events.take(kept), states.take(books))
    return observer.finish(int(events.ts_order[-1]))


def alike(one: Blocks, other: Blocks) -> None:
    for name in ("start", "sums", "tallies", "series"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for name in ("metric", "block", "bin", "count"):
        assert np.array_equal(getattr(one.bins, name), getattr(other.bins, name)), name


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("thinned", [False, True])
def test_cut_anywhere_it_is_what_plain_python_puts_together(seed: int, thinned: bool) -> None:
    events, states = made(seed)
    rng = random.Random(seed + 100)
    ids: Int64 | None = None
    if thinned:
        ids = np.array(sorted(rng.sample(range(-5, 260), 120)), np.int64)
    wanted = reference(events, states, None if ids is None else set(ids.tolist()))
    common = Common(True, ids)
    for pieces in (1, 3, 40):
        cuts = sorted(rng.sample(range(1, len(events)), pieces - 1))
        for by_ids in (False, True):
            observer = observer_of(INSTRUMENT, SCALE, common=common)
            for first, stop in zip([0, *cuts], [*cuts, len(events)], strict=True):
                part = events.slice(first, stop)
                seen, met = (int(np.searchsorted(states.event_id, at)) for at in (first, stop))
                if by_ids:
                    observer.add_some(np.arange(first, stop), part, states.slice(seen, met))
                else:
                    observer.add([part], states.slice(seen, met), first)
            alike(observer.finish(), wanted)


def test_a_feed_as_it_is_has_a_plain_observer() -> None:
    assert type(observer_of(INSTRUMENT, SCALE)) is Observer
    assert not Common()
    assert Common(trades=True)
    assert Common(ids=np.zeros(0, np.int64))


def test_a_run_ends_where_time_price_or_side_differ() -> None:
    times, prices, sides = (
        np.array(column) for column in ([1, 1, 1, 2, 2, 2], [5, 5, 6, 6, 6, 6], [1, 1, 1, 1, 2, 2])
    )
    assert begins(times, prices, sides).tolist() == [True, False, True, True, True, False]
    assert begins(times[:0], prices[:0], sides[:0]).tolist() == []
