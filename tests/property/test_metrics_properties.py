"""Blocks of metrics against plain Python, whatever the market, the marks and the batches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from types import FunctionType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lobproof.errors import UsageError
from lobproof.fidelity.metrics import bin_kernels, blocks, metric_kernels, observer
from lobproof.fidelity.metrics.blocks import Blocks, Scale, merged
from lobproof.fidelity.metrics.catalogue import CATALOGUE
from lobproof.fidelity.metrics.metric_kernels import (
    LIMB,
    METRICS,
    SQUARE_HIGH,
    SQUARE_LOW,
    SUM,
    add_signed,
    add_unsigned,
    complete_sums,
    new_block,
)
from lobproof.fidelity.metrics.observer import Observer
from lobproof.instruments import Instrument, Rule
from lobproof.schema import LEVELS, Flag, Kind, StateBatch
from plain.messages import MS, Event, to_batch
from plain.metrics import PlainMetrics, PlainState
from support.blocks import as_plain, bin_of, same

START = 1_723_100_399 * 10**9
TICK, LOT = 5, 10
INSTRUMENT = Instrument("BINANCE", "BTC-USDT", "BTCUSDT", 2, 5, (Rule(0, TICK, LOT),))
BLOCK = 10_000_000_000
SCALE = Scale.of(INSTRUMENT, BLOCK)
LAST = int(Flag.LAST)
PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
Edges = NDArray[np.float64]


def make_day(rng: random.Random, messages: int) -> tuple[list[Event], dict[int, PlainState]]:
    """Events in order and the states behind depth messages and snapshots; some of it in doubt."""
    events: list[Event] = []
    states: dict[int, PlainState] = {}
    ts, mid = START + rng.randrange(10**10), rng.choice((3_000, 6_000_000))
    slots = rng.choice((2, 6, 20, 24))
    sides = [{mid + sign * TICK * (k + 1): 50 * LOT for k in range(slots)} for sign in (-1, 1)]
    whole = slots < LEVELS and rng.random() < 0.7
    reach = rng.choice((0, 1, 4, 12, 20, 20, 20))
    for _ in range(messages):
        ts += rng.choice((0, 0, 1_000, 30 * MS, 100 * MS, 700 * MS, 6_000 * MS))
        what = rng.random()
        if what < 0.35:
            size = rng.choice((1, LOT, 700 * LOT, 2**43 * LOT))
            price = mid + rng.randrange(-4, 5) * TICK
            events.append(
                Event(ts, kind=Kind.TRADE, side=rng.choice((1, 2)), price=price, size=size)
            )
            events[-1].flags = LAST
            continue
        if what < 0.45:
            flags = rng.choice(
                (
                    Flag.TRADES | Flag.GAP,
                    Flag.GAP | Flag.DOUBTFUL,
                    Flag.DRIFT | Flag.DOUBTFUL,
                    Flag.RECONNECT,
                    Flag.TRADES | Flag.GAP | Flag.DOUBTFUL,
                )
            )
            events.append(Event(ts, prev_sequence=-1, flags=int(flags) | LAST))
            continue
        for side, sign in enumerate((-1, 1)):
            for _ in range(rng.choice((0, 1, 3))):
                price = mid + sign * TICK * rng.randrange(1, slots + 2)
                sides[side][price] = rng.choice(
                    (0, 0, 1, 30 * LOT, 900 * LOT, rng.randrange(2**45))
                )
        if rng.random() < 0.1:
            reach = rng.choice((0, 1, 4, 12, 20))
        kind = rng.choice((Kind.DELTA,) * 8 + (Kind.SNAPSHOT, Kind.MARK))
        refuted = int(Flag.REFUTED) if rng.random() < 0.05 else 0
        events += [Event(ts, kind=kind, side=1, price=mid, size=1) for _ in range(2)]
        events[-1].flags = LAST | refuted
        bids, asks = (
            tuple((price, size) for price, size in sorted(book.items(), reverse=side == 0) if size)[
                :LEVELS
            ]
            for side, book in enumerate(sides)
        )
        trusted = [
            LEVELS if whole and reach == LEVELS else min(reach, len(levels))
            for levels in (bids, asks)
        ]
        states[len(events) - 1] = PlainState(bids, asks, *trusted)
    return events, states


def to_states(states: dict[int, PlainState], events: Sequence[Event]) -> StateBatch:
    batch = StateBatch.empty(len(states))
    for row, (number, state) in enumerate(sorted(states.items())):
        batch.event_id[row] = number
        batch.ts_order[row] = events[number].ts_order
        batch.bid_trusted[row], batch.ask_trusted[row] = state.bid_trusted, state.ask_trusted
        for side, levels in enumerate((state.bids, state.asks)):
            numbers = [number for level in levels for number in level]
            at = 2 * LEVELS * side
            batch.levels[row, at : at + len(numbers)] = numbers
    return batch


def observed(
    events: Sequence[Event],
    states: dict[int, PlainState],
    cuts: Sequence[int] = (),
    scale: Scale = SCALE,
) -> Blocks:
    """The blocks, of batches that end behind these messages."""
    watch = Observer(INSTRUMENT, scale)
    ends = [number + 1 for number, event in enumerate(events) if event.flags & LAST]
    edges = sorted({0, len(events), *(ends[cut % len(ends)] for cut in cuts if ends)})
    for start, stop in pairwise(edges):
        some = {number: state for number, state in states.items() if start <= number < stop}
        middle = next((end for end in ends if start < end < stop), stop)
        halves = [to_batch([list(events[start:middle])])]
        if middle < stop:
            halves.append(to_batch([list(events[middle:stop])]))
        watch.add(halves, to_states(some, events), start)
    return watch.finish()


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 90), st.lists(st.integers(0, 200), max_size=6))
def test_blocks_are_what_plain_python_adds_up(seed: int, messages: int, cuts: list[int]) -> None:
    events, states = make_day(random.Random(seed), messages)
    found = observed(events, states, cuts)
    plain = PlainMetrics(events, states, tick=TICK, lot=LOT, block_ns=BLOCK)
    assert found.start.tolist() == list(plain.blocks)
    as_plain(found, plain)
    # in longer blocks: the same as if it had been observed in them
    longer = Scale(SCALE.tick, SCALE.lot, 6 * BLOCK)
    same(found.coarser(6 * BLOCK), observed(events, states, (), longer))
    # and as the only one or cut up and put together again
    if len(found) > 2:
        parts = [only(found, rows) for rows in (slice(2, None), slice(1, 2), slice(0, 1))]
        same(merged(parts), found)


def only(found: Blocks, rows: slice) -> Blocks:
    """Some of the blocks."""
    kept = np.arange(len(found))[rows]
    is_in = np.isin(found.bins.block, kept)
    columns = [getattr(found.bins, field.name)[is_in] for field in fields(found.bins)]
    columns[1] = columns[1] - kept[0]
    return Blocks(
        found.instrument,
        found.scale,
        found.start[rows],
        blocks.Bins(*columns),
        found.sums[rows],
        found.tallies[rows],
        found.series[rows],
    )


def test_the_kernels_as_plain_python_give_the_same() -> None:
    events, states = make_day(random.Random(7), 40)
    wanted = observed(events, states)
    plain = plain_kernels()
    with (
        patch.multiple(
            observer, **{name: plain[name] for name in ("observe", "sample", "find_told")}
        ),
        patch.multiple(blocks, **{name: plain[name] for name in ("complete_sums", "take_bins")}),
    ):
        same(observed(events, states), wanted)


def plain_kernels() -> dict[str, Any]:
    """The kernels as plain Python, each calling the others as such."""
    names = {**vars(bin_kernels), **vars(metric_kernels)}
    for name, found in list(names.items()):
        plain = getattr(found, "py_func", None)
        if plain is not None:
            names[name] = FunctionType(plain.__code__, names, name)
    return names


@given(st.lists(st.integers(-(2**62), 2**62), max_size=30))
def test_squares_are_exact(values: list[int]) -> None:
    block = new_block(BLOCK)
    capped = [max(min(value, 2**40), -(2**40)) for value in values]
    for value in values:
        add_unsigned(block, 0, value)
        add_signed(block, 24, value)
    complete_sums(block)
    for metric in (0, 24):
        sums = block.sums[metric].tolist()
        assert sums[SUM] == sum(capped)
        assert (sums[SQUARE_HIGH] << LIMB) + sums[SQUARE_LOW] == sum(n * n for n in capped)
        assert sum(block.counts[metric]) == len(values)


@pytest.mark.parametrize("signed", [False, True])
def test_every_value_has_one_bin_and_bins_rise(signed: bool) -> None:
    metric = next(one for one in CATALOGUE if one.signed == signed)
    number = bin_kernels.signed_bin if signed else bin_kernels.unsigned_bin
    low, high = metric.edges()
    assert len(low) == len(high) == metric.bins
    assert (low[1:] == high[:-1] + 1).all()
    assert low[0] == -np.inf
    assert high[-1] == np.inf
    powers = {sign * (1 << k) + d for sign in (-1, 1) for k in range(62) for d in (-1, 0, 1)}
    edges = {int(edge) for edge in [*low, *high] if np.isfinite(edge)}
    values = sorted(powers | edges | set(range(-3_000, 3_000)) | {-(2**62), 2**62})
    bins = [number(value) for value in values]
    assert bins == [bin_of(metric, value) for value in values]
    assert bins == sorted(bins)
    assert {bins[0], bins[-1]} == {0, metric.bins - 1}


def test_the_catalogue_names_every_metric() -> None:
    assert [one.number for one in CATALOGUE] == list(range(METRICS))
    for metric in CATALOGUE:
        assert bool(metric_kernels.is_signed(metric.number)) == metric.signed
        formula = metric.formula.replace("|", "\\|")
        row = f"| `{metric.name}` | {metric.of} | {metric.unit or '–'} | {formula} |"
        assert row in PAGE.read_text()


def test_what_does_not_add_up_is_refused() -> None:
    events, states = make_day(random.Random(1), 30)
    found = observed(events, states)
    with pytest.raises(UsageError, match="is in two of the parts"):
        merged([found, found])
    with pytest.raises(UsageError, match="do not add up"):
        merged([found, found.coarser(2 * BLOCK)])
    with pytest.raises(ValueError, match="no multiple"):
        found.coarser(BLOCK + 1)


def test_nothing_gives_no_blocks() -> None:
    found = observed([], {})
    assert len(found) == 0
    assert len(found.coarser(6 * BLOCK)) == 0
