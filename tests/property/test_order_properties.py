"""``Weave`` and ``Merge`` against plain sorting: any streams, cuts, ties, absurd ids and times."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.replay import Merge, Stretch, Weave
from lobproof.schema import EventBatch, Flag, ReferenceBatch
from support.feeds import ASK, BID, MS, OFFSET, START, batches, depth, trade
from support.lake_feed import delta, listing
from support.reference_judge import Listing, to_references, weave
from support.stream_reference import Message, merge_messages, messages_of

pytestmark = pytest.mark.kernels

seeds = st.integers(0, 2**32)
places = st.lists(st.integers(1, 30), max_size=6)


def messages_in(stretches: Sequence[Stretch]) -> list[Message]:
    """Messages and references in their order, a reference as a row of its id and times."""
    out: list[Message] = []
    for stretch in stretches:
        whole = len(stretch.events) == 0 or stretch.events.flags[-1] & Flag.LAST
        assert whole, "a stretch ends inside a message"
        assert len(stretch)
        listed = stretch.references
        told = zip(
            stretch.places.tolist(),
            listed.ts_order.tolist(),
            listed.ts_event.tolist(),
            listed.ts_recv.tolist(),
            listed.sequence.tolist(),
            strict=True,
        )
        rows = [(place, _shown(times)) for place, *times in told]
        row = 0
        for message in messages_of(stretch.events):
            while rows and rows[0][0] <= row:
                out.append(rows.pop(0)[1])
            out.append(message)
            row += len(message)
        out += [shown for _, shown in rows]
    return out


def _shown(times: list[int]) -> Message:
    ts_order, ts_event, ts_recv, sequence = times
    return [Listing(ts_order, ts_event, ts_recv, sequence, -1)]


def random_sides(rng: random.Random) -> tuple[list[Message], list[Message]]:
    """Deltas and rows of `book` with ids and times of which some are wrong or missing."""
    sides: list[list[Message]] = [[], []]
    for side in sides:
        seq, at = 100, 0
        for _ in range(rng.choice([0, 1, 5, 25])):
            seq += rng.randrange(4)
            at += rng.choice([0, 0, 1, 900, 9_000]) * MS
            told = rng.choice([seq] * 12 + [0, -1, 10**12, 5])
            changes = [(BID, 7, 1), (ASK, 9, 1)][: rng.randrange(1, 3)]
            message = (
                delta(told, changes, at=at) if side is sides[0] else listing(told, (), (), at=at)
            )
            for row in message:
                wrong = rng.choice([*[0] * 12, 1, 2, 3])
                row.ts_event = 0 if wrong == 1 else row.ts_event + (wrong == 2) * 10**15
                row.ts_recv = 0 if wrong == 3 else row.ts_recv
            side.append(message)
    return sides[0], sides[1]


def listed_batches(listings: Sequence[Message], cuts: Sequence[int]) -> Iterator[ReferenceBatch]:
    edges = sorted({0, len(listings), *(cut for cut in cuts if cut < len(listings))})
    for start, stop in pairwise(edges):
        yield to_references(listings[start:stop])


@given(seeds, places, places)
def test_references_stand_behind_the_last_message_that_they_show(
    seed: int, cuts: list[int], reference_cuts: list[int]
) -> None:
    rows, listings = random_sides(random.Random(seed))
    got = Weave(batches(rows, cuts), listed_batches(listings, reference_cuts))
    assert messages_in(list(got)) == weave(rows, listings)


@given(seeds, places, places, places)
def test_trades_go_in_by_time_and_the_book_first_on_a_tie(
    seed: int, cuts: list[int], reference_cuts: list[int], trade_cuts: list[int]
) -> None:
    rng = random.Random(seed)
    rows, listings = random_sides(rng)
    now = 0
    woven = weave(rows, listings)
    for message in woven:
        now += rng.choice([0, 0, 1, 3])
        for row in message:
            row.ts_order = now
    prints = [trade(n, BID, 7) for n in range(rng.choice([0, 1, 20]))]
    for message, at in zip(prints, sorted(rng.randrange(40) for _ in prints), strict=True):
        message[0].ts_order = at
    book = Weave(batches(rows, cuts), listed_batches(listings, reference_cuts))
    merge = Merge(iter(book), map(Stretch.of, batches(prints, trade_cuts)))
    assert messages_in(list(merge)) == merge_messages(woven, prints)


@given(seeds, places, st.integers(0, 8))
def test_what_is_held_can_be_saved(seed: int, cuts: list[int], taken: int) -> None:
    rng = random.Random(seed)
    rows, listings = random_sides(rng)
    sides = iter(batches(rows, cuts)), listed_batches(listings, cuts)
    weaving = Weave(*sides)
    first = [stretch for _, stretch in zip(range(taken), weaving, strict=False)]
    # the sources go on where they are; what was read of them and is not given yet is saved
    again = Weave(*sides)
    again.load({name: np.array(array) for name, array in weaving.save().items()})
    assert messages_in([*first, *again]) == weave(rows, listings)


def test_a_row_without_id_and_time_holds_nothing_up() -> None:
    """Nor does one whose time alone is wrong, or a message of such a time."""
    lost = _shown([0, 0, 0, 0])
    ahead = listing(103, (), ())
    ahead[0].ts_event += 10**15
    rows = [depth(seq, -1, [(BID, 7, 1)], at=seq * 1000 * MS) for seq in range(101, 140)]
    rows[5][0].ts_event += 10**15
    listings = [lost, ahead, *(listing(seq, (), (), at=seq * 1000 * MS) for seq in range(105, 140))]
    ahead[0].ts_recv = START + 103_000 * MS + OFFSET
    woven = messages_in(list(Weave(batches(rows), listed_batches(listings, ()))))
    order = [message[0].sequence for message in woven]
    assert order == [0, 101, 102, 103, 103, 104, *(n for n in range(105, 140) for _ in range(2))]


def test_references_alone_or_none_at_all() -> None:
    listings = [listing(seq, (), ()) for seq in range(100, 104)]
    assert len(messages_in(list(Weave(iter(()), listed_batches(listings, (2,)))))) == 4
    assert list(Weave(iter(()), iter(()))) == []
    empty = iter([EventBatch.empty(), EventBatch.empty()])
    assert list(Weave(empty, iter([ReferenceBatch.empty()]))) == []
