"""Vendor rows placed, clock and ``Merge`` in plain Python: any cuts, ties, absurd ids and times."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.replay import Merge, Segment, StreamClock, VendorPlacer, stamped
from lobproof.replay.clock_kernels import DAY_NS
from lobproof.replay.merge_kernels import plan_merge
from lobproof.schema import EventBatch, Flag, Kind, VendorBatch
from plain.messages import (
    BID,
    MS,
    OFFSET,
    START,
    Message,
    VendorRow,
    ask,
    bid,
    delta,
    depth,
    mark,
    messages_of,
    snapshot,
    to_batch,
    to_vendor_batch,
    trade,
    vendor_row,
)
from plain.order import merge_messages, placed, stamp
from support.replays import batches

pytestmark = pytest.mark.kernels

seeds = st.integers(0, 2**32)
places = st.lists(st.integers(1, 30), max_size=6)


def messages_in(segments: Sequence[Segment]) -> list[Message]:
    """Messages and vendor rows in their order, a vendor row as a row of its id and times."""
    out: list[Message] = []
    for segment in segments:
        whole = len(segment.events) == 0 or segment.events.flags[-1] & Flag.LAST
        assert whole, "a segment ends inside a message"
        assert len(segment)
        listed = segment.vendor_rows
        told = zip(
            segment.places.tolist(),
            listed.ts_order.tolist(),
            listed.ts_event.tolist(),
            listed.ts_recv.tolist(),
            listed.sequence.tolist(),
            listed.flags.tolist(),
            listed.ts_behind.tolist(),
            strict=True,
        )
        rows = [(place, _shown(times)) for place, *times in told]
        row = 0
        for message in messages_of(segment.events):
            while rows and rows[0][0] <= row:
                out.append(rows.pop(0)[1])
            out.append(message)
            row += len(message)
        out += [shown for _, shown in rows]
    return out


def _shown(times: list[int]) -> Message:
    ts_order, ts_event, ts_recv, sequence, flags, ts_behind = times
    return [VendorRow(ts_order, ts_event, ts_recv, sequence, -1, flags=flags, ts_behind=ts_behind)]


def random_sides(
    rng: random.Random, levels: tuple[tuple[int, int], ...] = ()
) -> tuple[list[Message], list[Message]]:
    """Deltas and rows of `book` with ids and times of which some are wrong or missing.

    ``levels``: bids that the rows of `book` list.
    """
    sides: list[list[Message]] = [[], []]
    for side in sides:
        seq, at = 100, 0
        for _ in range(rng.choice([0, 1, 5, 25])):
            seq += rng.randrange(4)
            at += rng.choice([0, 0, 1, 900, 9_000]) * MS
            told = rng.choice([seq] * 12 + [0, -1, 10**12, 5])
            changes = [bid(7, 1), ask(9, 1)][: rng.randrange(1, 3)]
            message = (
                delta(told, changes, at=at)
                if side is sides[0]
                else vendor_row(told, levels, (), at=at)
            )
            for row in message:
                wrong = rng.choice([*[0] * 12, 1, 2, 3])
                row.ts_event = 0 if wrong == 1 else row.ts_event + (wrong == 2) * 10**15
                row.ts_recv = 0 if wrong == 3 else row.ts_recv
            side.append(message)
    return sides[0], sides[1]


def listed_batches(vendor_rows: Sequence[Message], cuts: Sequence[int]) -> Iterator[VendorBatch]:
    edges = sorted({0, len(vendor_rows), *(cut for cut in cuts if cut < len(vendor_rows))})
    for start, stop in pairwise(edges):
        yield to_vendor_batch(vendor_rows[start:stop])


@given(seeds, places, places)
def test_vendor_rows_stand_behind_the_last_message_that_they_show(
    seed: int, cuts: list[int], vendor_cuts: list[int]
) -> None:
    rows, vendor_rows = random_sides(random.Random(seed))
    got = VendorPlacer(batches(rows, cuts), listed_batches(vendor_rows, vendor_cuts))
    assert messages_in(list(got)) == placed(rows, vendor_rows)


@given(seeds, places, places, places, st.booleans())
def test_trades_go_in_by_time_and_on_a_tie_as_told(
    seed: int,
    cuts: list[int],
    vendor_cuts: list[int],
    trade_cuts: list[int],
    trade_first: bool,
) -> None:
    rng = random.Random(seed)
    rows, vendor_rows = random_sides(rng)
    now = 0
    ordered = placed(rows, vendor_rows)
    for message in ordered:
        now += rng.choice([0, 0, 1, 3])
        for row in message:
            row.ts_order = now
    prints = [trade(n, BID, 7) for n in range(rng.choice([0, 1, 20]))]
    for message, at in zip(prints, sorted(rng.randrange(40) for _ in prints), strict=True):
        message[0].ts_order = at
    book = VendorPlacer(batches(rows, cuts), listed_batches(vendor_rows, vendor_cuts))
    traded = map(Segment.of, batches(prints, trade_cuts))
    merge = Merge(iter(book), traded, trade_first=trade_first)
    assert messages_in(list(merge)) == merge_messages(ordered, prints, trade_first=trade_first)


@given(seeds, places, st.integers(0, 8))
def test_what_is_held_can_be_saved(seed: int, cuts: list[int], taken: int) -> None:
    rng = random.Random(seed)
    rows, vendor_rows = random_sides(rng)
    sides = iter(batches(rows, cuts)), listed_batches(vendor_rows, cuts)
    placing = VendorPlacer(*sides)
    first = [segment for _, segment in zip(range(taken), placing, strict=False)]
    # the sources go on where they are; what was read of them and is not given yet is saved
    again = VendorPlacer(*sides)
    again.load({name: np.array(array) for name, array in placing.save().items()})
    assert messages_in([*first, *again]) == placed(rows, vendor_rows)
    whole = VendorPlacer(batches(rows, ()), listed_batches(vendor_rows, ()))
    assert len(list(whole)) >= 0
    assert again.outdated().tolist() == whole.outdated().tolist()


@pytest.mark.parametrize("cut", [1, 3, 16])
def test_what_is_outdated_does_not_depend_on_batches(cut: int) -> None:
    """Also where times are missing or absurd, and the message that moves a level has none."""
    found = 0
    for seed in range(2_000):
        rows, vendor_rows = random_sides(random.Random(seed), ((7, 1),))
        told = []
        for cuts in ((), tuple(range(cut, 60, cut))):
            placer = VendorPlacer(batches(rows, cuts), listed_batches(vendor_rows, cuts))
            assert len(list(placer)) >= 0
            told.append(placer.outdated().tolist())
        assert told[0] == told[1], seed
        found += bool(told[0])
    assert found > 100


def test_a_row_without_id_and_time_holds_nothing_up() -> None:
    """Nor does one whose time alone is wrong, or a message of such a time."""
    lost = _shown([0, 0, 0, 0, 0, 0])
    ahead = vendor_row(103, (), ())
    ahead[0].ts_event += 10**15
    rows = [depth(seq, -1, [bid(7, 1)], at=seq * 1000 * MS) for seq in range(101, 140)]
    rows[5][0].ts_event += 10**15
    vendor_rows = [
        lost,
        ahead,
        *(vendor_row(seq, (), (), at=seq * 1000 * MS) for seq in range(105, 140)),
    ]
    ahead[0].ts_recv = START + 103_000 * MS + OFFSET
    ordered = messages_in(list(VendorPlacer(batches(rows), listed_batches(vendor_rows, ()))))
    order = [message[0].sequence for message in ordered]
    assert order == [0, 101, 102, 103, 103, 104, *(n for n in range(105, 140) for _ in range(2))]


def test_vendor_rows_alone_or_none_at_all() -> None:
    vendor_rows = [vendor_row(seq, (), ()) for seq in range(100, 104)]
    assert len(messages_in(list(VendorPlacer(iter(()), listed_batches(vendor_rows, (2,)))))) == 4
    assert list(VendorPlacer(iter(()), iter(()))) == []
    empty = iter([EventBatch.empty(), EventBatch.empty()])
    assert list(VendorPlacer(empty, iter([VendorBatch.empty()]))) == []


# the clock ---------------------------------------------------------------------------------------

SHIFTS = [*[0] * 4, 1, 70_000 * MS, -70_000 * MS, 130_000 * MS, 10**15]
"""Of a stamp: by less and by more than is believed."""


def random_message(rng: random.Random, seq: int, at: int) -> Message:
    """Of the book, a row of `book`, or a mark; its rows of one or two times, wrong ones or none."""
    kind = rng.randrange(8)
    if kind == 0:
        message = snapshot(seq, [(7, 1), (6, 1)], [(9, 1)], at=at)
    elif kind == 1:
        message = mark(rng.choice([Flag.INVALID, Flag.RECONNECT]), at=at, seq=rng.choice([-1, seq]))
    elif kind == 2:
        message = vendor_row(seq, (), (), at=at)
    else:
        message = depth(seq, -1, [bid(7, 1)] * rng.choice([1, 2, 2, 5]), at=at)
    stamps = [(rng.choice(SHIFTS), rng.choice(SHIFTS), rng.choice([seq, seq, -1]))]
    shift = rng.choice(SHIFTS)
    if rng.random() < 0.4:  # a second one that differs in one of them
        other = list(stamps[0])
        other[rng.randrange(3)] = shift
        stamps.append((other[0], other[1], other[2]))
    lacking = rng.choice([*[0] * 6, 1, 2])
    for row in message:
        event, recv, told = rng.choice(stamps)
        if row.kind == Kind.DELTA:
            row.sequence = told
        if row.ts_event > 0:
            row.ts_event = 0 if lacking == 1 else row.ts_event + event
        row.ts_recv = 0 if lacking == 2 else row.ts_recv + recv
    return message


def segment_of(items: Sequence[Message]) -> Segment:
    """Messages, and rows of `book` among them, where they stand."""
    rows, vendor_rows, where = 0, [], []
    messages = []
    for item in items:
        if isinstance(item[0], VendorRow):
            vendor_rows.append(item)
            where.append(rows)
        else:
            messages.append(item)
            rows += len(item)
    return Segment(to_batch(messages), to_vendor_batch(vendor_rows), np.array(where, np.int64))


def times_and_flags(segments: Sequence[Segment]) -> list[list[int]]:
    """Of rows and of vendor rows."""
    one = Segment.concat(segments)
    parts = one.events, one.vendor_rows
    return [column.tolist() for part in parts for column in (part.ts_order, part.flags)]


@given(
    seeds, places, st.sampled_from([0, 1]), st.sampled_from([0, 0, 8 * MS, 8 * 3600 * 1000 * MS])
)
def test_the_clock_is_that_of_every_row(
    seed: int, cuts: list[int], by_receive: int, lag: int
) -> None:
    """Rows of one time in a message take a short cut; where that must not show, it does not."""
    rng = random.Random(seed)
    at, items = 0, []
    for seq in range(100, 100 + rng.choice([1, 5, 30])):
        at += rng.choice([0, 1, 900 * MS, 50_000 * MS, 100_000 * MS])
        items.append(random_message(rng, seq, at))
    items.append(depth(200, -1, [bid(7, 1)], at=at))  # a time that the clock begins with
    days = [START // DAY_NS] * by_receive
    edges = sorted({0, len(items), *(cut for cut in cuts if cut < len(items))})
    parts = (segment_of(items[start:stop]) for start, stop in pairwise(edges))
    clock = StreamClock(OFFSET, vendor_offset_ns=OFFSET, receive_days=days, lag_ns=lag)
    got = list(stamped(parts, clock))
    wanted = stamp(items, OFFSET, receive_days=days, lag=lag)
    assert times_and_flags(got) == times_and_flags([segment_of(wanted)])


# the plan of a merge -----------------------------------------------------------------------------


def planned(
    book: Sequence[tuple[int, bool]],
    trades: Sequence[int],
    left_more: bool,
    right_more: bool,
    trade_first: bool,
) -> tuple[list[int], list[int], tuple[int, int, int]]:
    """Two pointers over rows and vendor rows (time, whether it is one) and trades."""
    at, new_places, row, vendor_row, trade, out = [], [], 0, 0, 0, 0
    items = list(book)
    while items or trade < len(trades):
        ahead = trade < len(trades) and (
            not items or trades[trade] < items[0][0] + int(trade_first)
        )
        if ahead and not items and left_more:
            break  # the book may hold that time yet
        if not ahead and trade == len(trades) and right_more:
            known = trades[-1] if trades else -1
            if items[0][0] > known - int(trade_first):
                break  # a trade may come before it
        if ahead:
            at.append(out)
            trade += 1
            out += 1
        elif items.pop(0)[1]:
            new_places.append(out)
            vendor_row += 1
        else:
            row += 1
            out += 1
    return at, new_places, (row, vendor_row, trade)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=30),
    st.lists(st.integers(0, 12), max_size=30),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_a_merge_takes_all_that_is_certain_and_no_more(
    book: list[tuple[int, bool]],
    trades: list[int],
    left_more: bool,
    right_more: bool,
    trade_first: bool,
) -> None:
    times = sorted(time for time, _ in book)
    items = [(time, listed) for time, (_, listed) in zip(times, book, strict=True)]
    trades.sort()
    rows = [time for time, listed in items if not listed]
    where = [
        sum(not before for _, before in items[:k]) for k, (_, listed) in enumerate(items) if listed
    ]
    at, new_places = np.empty(len(trades), np.int64), np.empty(len(where), np.int64)
    used = plan_merge(
        np.array(rows, np.int64),
        np.array(where, np.int64),
        np.array([time for time, listed in items if listed], np.int64),
        np.array(trades, np.int64),
        left_more,
        right_more,
        trade_first,
        at,
        new_places,
    )
    _, vendor_rows, taken = used
    got = at[:taken].tolist(), new_places[:vendor_rows].tolist(), used
    assert got == planned(items, trades, left_more, right_more, trade_first)
