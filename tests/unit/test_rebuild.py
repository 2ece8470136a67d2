"""Stored events by hand: what `book_at` trusts behind snapshots that wait for a depth message."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lobproof.book import BookImage, book_of
from lobproof.book.event_kernels import apply_events
from lobproof.book.kernels import Book, level_size
from lobproof.book.trust_kernels import known_behind
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Flag, Kind
from lobproof.schema.records import Record
from lobproof.store.keyframe import Keyframe
from plain.messages import ASK, BID, Change, Message, ask, bid, depth, mark, snapshot, to_batch
from support.replays import nothing

pytestmark = pytest.mark.kernels

BIDS = [(1000, 5), (999, 5), (998, 5)]
ASKS = [(1001, 5), (1002, 5), (1003, 5)]
WHOLE = snapshot(100, BIDS, ASKS, whole=True)
LOST = [mark(Flag.GAP, seq=120), mark(Flag.SILENCE), mark(Flag.DRIFT)]


def after(*messages: Message, since: Keyframe | None = None) -> list[tuple[int, int]]:
    """What is known of bids and asks behind the messages."""
    _, trust = played(messages, since)
    return [known_behind(trust, side) for side in (BID, ASK)]


def played(messages: Sequence[Message], since: Keyframe | None = None) -> tuple[Book, Record]:
    book, rebuilds = book_of((since or nothing()).book, 1, 1 << 16)
    batch = to_batch(messages)
    apply_events(book, rebuilds[0], batch.rows, 0, len(batch))
    return book, rebuilds[0].trust


def sizes(side: int, *prices: int, messages: Sequence[Message]) -> list[int]:
    """What rests at some prices behind the messages."""
    book, _ = played(messages)
    return [int(level_size(book, side, price)) for price in prices]


def flagged(message: Message, flags: Flag) -> Message:
    for row in message:
        row.flags |= int(flags)
    return message


@pytest.mark.parametrize("seq", [100, 103])
@pytest.mark.parametrize(
    ("bids", "asks", "listed"),
    [
        ([(1000, 5)], [(1001, 5), (1002, 5)], [(RANGE, 1000), (RANGE, 1002)]),
        ([(1000, 5)], [], [(RANGE, 1000), (UNTRUSTED, 0)]),
        ([], [(1001, 5)], [(UNTRUSTED, 0), (RANGE, 1001)]),
    ],
)
def test_behind_a_snapshot_that_is_ahead(
    seq: int,
    bids: Sequence[tuple[int, int]],
    asks: Sequence[tuple[int, int]],
    listed: list[tuple[int, int]],
) -> None:
    """No more is trusted than it lists, until the depth message that it lies inside has come.

    One of the last message's own id is not ahead.
    """
    first = depth(101, 100, [bid(999, 6)])
    shown = snapshot(101 if seq == 100 else seq, bids, asks)
    whole = [(EVERYTHING, 0), (EVERYTHING, 0)]
    assert after(WHOLE, first, shown) == (whole if seq == 100 else listed)
    assert after(WHOLE, first, shown, depth(104, 101, [bid(998, 1)])) == whole
    assert after(WHOLE, first, shown, depth(104, 101)) == whole


def test_one_side_listed_whole_ahead() -> None:
    shown = snapshot(103, [], [(1001, 5)], whole=True)
    assert after(WHOLE, depth(101, 100), shown) == [(UNTRUSTED, 0), (EVERYTHING, 0)]


def test_of_two_snapshots_ahead_the_last_one_tells() -> None:
    both, one = snapshot(102, BIDS, ASKS), snapshot(103, [(1000, 5)], [])
    assert after(WHOLE, depth(101, 100), both, one) == [(RANGE, 1000), (UNTRUSTED, 0)]


@pytest.mark.parametrize("flags", [Flag.DRIFT, Flag.GHOST_LEVELS])
def test_a_snapshot_that_denies_what_was_known(flags: Flag) -> None:
    """What it lists is trusted, and no more."""
    shown = flagged(snapshot(101, [(1000, 5)], [(1001, 5)]), flags)
    assert after(WHOLE, depth(101, 100), shown) == [(RANGE, 1000), (RANGE, 1001)]
    assert after(WHOLE, depth(101, 100), shown, depth(102, 101)) == [(RANGE, 1000), (RANGE, 1001)]


@pytest.mark.parametrize("loss", LOST, ids=["gap", "silence", "drift"])
def test_a_loss_behind_a_snapshot_that_is_ahead(loss: Message) -> None:
    shown = snapshot(103, [(1000, 5)], [(1001, 5)])
    nothing = [(UNTRUSTED, 0), (UNTRUSTED, 0)]
    assert after(WHOLE, depth(101, 100), shown, loss) == nothing
    assert after(WHOLE, depth(101, 100), loss) == nothing


@pytest.mark.parametrize("loss", LOST, ids=["gap", "silence", "drift"])
def test_a_loss_is_not_undone(loss: Message) -> None:
    """What a refuted snapshot has changed comes back, but no trust that was lost since."""
    shown = flagged(snapshot(103, [(1000, 9)], [(1001, 5)]), Flag.AWAITS)
    proof = flagged(depth(104, 101, [bid(998, 1)]), Flag.REFUTED)
    assert after(WHOLE, depth(101, 100), shown, loss, proof) == [(UNTRUSTED, 0)] * 2


def test_a_gap_that_a_snapshot_bridges() -> None:
    """What it lists holds; what was known before it does not."""
    shown = snapshot(103, [(1000, 5), (999, 5)], [(1001, 5)])
    bridged = mark(Flag.GAP | Flag.RESYNC, seq=102)
    assert after(WHOLE, depth(101, 100), shown, bridged) == [(RANGE, 999), (RANGE, 1001)]
    other = mark(Flag.GAP | Flag.TRADES, seq=102)
    assert after(WHOLE, depth(101, 100), other) == [(EVERYTHING, 0), (EVERYTHING, 0)]


@pytest.mark.parametrize("empty", [False, True])
def test_a_depth_message_that_proves_the_book_wrong(empty: bool) -> None:
    """The snapshot before it alone is trusted, also where the message names no level."""
    shown = snapshot(103, [(1000, 5), (999, 5)], [(1001, 5)])
    proof = flagged(depth(104, 101, [] if empty else [bid(998, 1)]), Flag.DRIFT)
    assert proof[-1].kind == (Kind.MARK if empty else Kind.DELTA)
    # the range grows by the level that is held right behind it, unless levels may be stale
    assert after(WHOLE, depth(101, 100), shown, proof) == [(RANGE, 999), (RANGE, 1001)]


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("flags", [Flag.REFUTED, Flag.REFUTED | Flag.DRIFT])
def test_a_depth_message_that_proves_the_snapshot_wrong(flags: Flag, empty: bool) -> None:
    """The book is as before the snapshot, with its trust and its levels; or nothing is known."""
    shown = flagged(snapshot(103, [(1000, 9)], [(1001, 5), (1005, 5)]), Flag.AWAITS)
    proof = flagged(depth(104, 101, [] if empty else [bid(998, 1)]), flags)
    trusted = [(EVERYTHING, 0)] * 2 if flags == Flag.REFUTED else [(UNTRUSTED, 0)] * 2
    messages = [WHOLE, depth(101, 100), shown, proof]
    assert after(*messages) == trusted
    # the snapshot changed one of them and took the other away
    assert sizes(BID, 1000, messages=messages) + sizes(ASK, 1003, messages=messages) == [5, 5]


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_refuted_snapshot_took_away_comes_back(whole: bool) -> None:
    """Of a side that it lists whole, what lies beyond its worst price too."""
    shown = flagged(snapshot(103, [(1000, 9)], [(1001, 5)], whole=whole), Flag.AWAITS)
    messages = [WHOLE, depth(101, 100), shown]
    there = [0, 0] if whole else [5, 5]
    assert sizes(BID, 1000, 999, 998, messages=messages) == [9, *there]
    messages.append(flagged(depth(104, 101, [ask(1003, 1)]), Flag.REFUTED))
    assert sizes(BID, 1000, 999, 998, messages=messages) == [5, 5, 5]
    assert sizes(ASK, 1001, 1002, 1003, messages=messages) == [5, 5, 1]


def test_a_snapshot_that_bridged_a_gap_is_not_undone() -> None:
    shown = flagged(snapshot(103, [(1000, 9)], [(1001, 5)]), Flag.AWAITS)
    bridged = mark(Flag.GAP | Flag.RESYNC, seq=102)
    messages = [WHOLE, depth(101, 100), shown, bridged, snapshot(104, [], [(1001, 7)])]
    assert sizes(BID, 1000, messages=messages) == [9]


@pytest.mark.parametrize("bid_stale", [0, 1])
@pytest.mark.parametrize("ask_stale", [0, 1])
def test_stale_levels_come_back_with_what_was_before(bid_stale: int, ask_stale: int) -> None:
    """A range with stale levels behind it does not grow over them, as it did not before."""
    bids, asks, sizes = np.array([[1000, 999], [1001, 1002], [5, 5]], np.int64)
    known_to = (RANGE, 1000, RANGE, 1001, bid_stale, ask_stale)
    frame = Keyframe(7, 0, BookImage(100, bids, sizes, asks, sizes, *known_to))
    ends = [(RANGE, 1000 if bid_stale else 999), (RANGE, 1001 if ask_stale else 1002)]
    assert after(depth(101, 100), since=frame) == ends
    proof = flagged(depth(104, 101), Flag.REFUTED)
    for whole in (True, False):
        shown = snapshot(103, [(1000, 5)], [(1001, 5)], whole=whole)
        shown = flagged(shown, Flag.AWAITS | Flag.DRIFT if not whole else Flag.AWAITS)
        undone = after(depth(101, 100), shown, proof, since=frame)
        assert undone == (ends if whole else [(UNTRUSTED, 0)] * 2)


@pytest.mark.parametrize("stale", [0, 1])
@pytest.mark.parametrize(
    ("moved", "ends"),
    [
        ([bid(1000, 0), ask(990, 5)], [(RANGE, 990), (RANGE, 1001)]),
        ([ask(1001, 0), bid(1010, 5)], [(RANGE, 1000), (RANGE, 1010)]),
        ([bid(1000, 0), ask(1001, 0)], [(RANGE, 1000), (RANGE, 1001)]),
    ],
)
def test_a_touch_beyond_the_range_extends_it(
    stale: int, moved: list[Change], ends: list[tuple[int, int]]
) -> None:
    """Nothing rests at or through the opposite touch, whatever is stale; without one nothing is."""
    bids, asks, size = np.array([[1000], [1001], [5]], np.int64)
    image = BookImage(100, bids, size, asks, size, RANGE, 1000, RANGE, 1001, stale, stale)
    frame = Keyframe(7, 0, image)
    assert after(depth(101, 100, moved), since=frame) == ends


def test_a_keyframe_that_awaits_trusts_nothing_once_undone() -> None:
    levels = np.array([1000], np.int64), np.array([9], np.int64)
    asks = np.array([1001], np.int64), np.array([5], np.int64)
    image = BookImage(101, *levels, *asks, EVERYTHING, 0, EVERYTHING, 0, awaits=1)
    frame = Keyframe(7, 0, image)
    kept = depth(104, 101, [bid(998, 1)])
    refuted = flagged(depth(104, 101, [bid(998, 1)]), Flag.REFUTED)
    assert after(kept, since=frame) == [(EVERYTHING, 0)] * 2
    assert after(refuted, since=frame) == [(UNTRUSTED, 0)] * 2
    again = snapshot(104, [(1000, 4)], [(1001, 5)])
    assert after(again, since=frame) == [(RANGE, 1000), (RANGE, 1001)]
