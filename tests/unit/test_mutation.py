"""The mutation suite: its declarations hold, its mutations do what they say, a few of them caught.

All seeds are of no use to the suite itself (`make mutation`), whose seeds are 1 to 200.
"""

from __future__ import annotations

import numpy as np
import pytest

from lobproof.schema import Flag, Kind
from mutation import mutations
from mutation.declared import (
    BLOCK_NS,
    DECLARED,
    EXPECTED,
    LEVEL,
    MARKET,
    MUTATIONS,
    SEEDS,
    declared,
)
from mutation.streams import (
    LAST,
    PREVIOUS,
    PRICE,
    SECOND,
    SIDE,
    SIZE,
    TAKEN_AT,
    TAKER,
    TIME,
    TRADE_ID,
    TRADE_PRICE,
    TRADED,
    Stream,
    events_of,
    measured,
    simulated,
)
from support.blocks import same

pytestmark = pytest.mark.compiled

MINUTES = 600
SEED = 700_001
STRONGEST = ("contamination", "scale_up", "random_loss")


@pytest.fixture(scope="module")
def feed() -> Stream:
    return simulated(MARKET, SEED, MINUTES)


def mutated(feed: Stream, name: str) -> Stream:
    mutation = getattr(mutations, name)
    result: Stream = mutation(feed, np.random.default_rng(SEED))
    return result


def test_declared_before_it_was_run() -> None:
    assert declared() == DECLARED
    assert len(SEEDS) >= 200
    assert set(MUTATIONS) == set(EXPECTED)


def test_replay_knows_the_simulated_book(feed: Stream) -> None:
    blocks = measured(feed, BLOCK_NS)
    samples, trusted, states, sure = blocks.tallies.sum(axis=0)[:4].tolist()
    assert (trusted, sure) == (samples, states)
    assert states == len(feed.messages) + 1
    assert len(blocks) == MINUTES * SECOND // BLOCK_NS + 1


def test_cuts_of_batches_do_not_matter(feed: Stream) -> None:
    same(measured(feed, BLOCK_NS), measured(feed, BLOCK_NS, 997))


def test_events_are_in_order_and_whole(feed: Stream) -> None:
    events = events_of(mutated(feed, "frozen_book"))
    assert (np.diff(events.ts_order) >= 0).all()
    book = events.kind != int(Kind.TRADE)
    assert int((events.flags[book] & int(Flag.LAST)).sum()) == len(feed.messages) + 1
    assert (events.kind == int(Kind.MARK)).sum() > 0  # messages of a book that stands still


@pytest.mark.parametrize(("name", "ratio"), [("scale_up", 1.01), ("scale_down", 0.99)])
def test_scale(feed: Stream, name: str, ratio: float) -> None:
    ours = mutated(feed, name)
    for one, other in (
        (ours.trades[:, TRADED], feed.trades[:, TRADED]),
        (ours.depth[:, SIZE], feed.depth[:, SIZE]),
        (ours.book.bids[:, 1], feed.book.bids[:, 1]),
        (ours.book.asks[:, 1], feed.book.asks[:, 1]),
    ):
        assert one.sum() / other.sum() == pytest.approx(ratio, abs=1e-3)
        assert np.abs(one - ratio * other).max() <= feed.instrument.lot
        assert not (one % feed.instrument.lot).any()


def test_wider(feed: Stream) -> None:
    ours, golden = mutated(feed, "wider").trades[:, TRADED], feed.trades[:, TRADED]
    assert ours.std() / golden.std() == pytest.approx(1.01, abs=1e-3)
    assert ours.mean() == pytest.approx(golden.mean(), rel=1e-3)


def test_contamination(feed: Stream) -> None:
    ours = mutated(feed, "contamination")
    changed = ours.trades[:, TRADED] != feed.trades[:, TRADED]
    assert changed.mean() == pytest.approx(0.01, rel=0.2)
    assert (ours.trades[changed, TRADED] == 10 * feed.trades[changed, TRADED]).all()
    levels = ours.depth[:, SIZE] != feed.depth[:, SIZE]
    assert levels.sum() / (feed.depth[:, SIZE] > 0).sum() == pytest.approx(0.01, rel=0.2)


def test_tail_clip(feed: Stream) -> None:
    ours, golden = mutated(feed, "tail_clip").trades[:, TRADED], feed.trades[:, TRADED]
    changed = ours != golden
    assert 0.005 < changed.mean() <= 0.01
    assert len(set(ours[changed].tolist())) == 1
    assert ours.max() == ours[changed][0]


def test_frozen_book(feed: Stream) -> None:
    ours = mutated(feed, "frozen_book")
    said = np.bincount(ours.of, minlength=len(feed.messages))
    second = (feed.messages[:, TIME] - feed.messages[0, TIME]) // SECOND
    silent = np.array([not said[second == k].any() for k in range(int(second[-1]) + 1)])
    assert silent.sum() == round(0.01 * (second[-1] + 1))
    # each level's last word is the same, and no message names one twice
    for stream in (ours, feed):
        named = np.stack([stream.of, stream.depth[:, SIDE], stream.depth[:, PRICE]])
        assert len(np.unique(named, axis=1).T) == named.shape[1]
    assert last_words(ours) == last_words(feed)
    assert (ours.trades == feed.trades).all()


def last_words(stream: Stream) -> dict[tuple[int, int], int]:
    return {(side, price): size for side, price, size in stream.depth.tolist()}


@pytest.mark.parametrize(("name", "share"), [("random_loss", 0.01), ("within_margin", 0.001)])
def test_random_loss(feed: Stream, name: str, share: float) -> None:
    ours = mutated(feed, name)
    assert 1 - len(ours.depth) / len(feed.depth) == pytest.approx(share, rel=0.3)
    assert 1 - len(ours.trades) / len(feed.trades) == pytest.approx(share, rel=0.5)
    assert set(ours.trades[:, TRADE_ID].tolist()) < set(feed.trades[:, TRADE_ID].tolist())
    assert len(ours.messages) == len(feed.messages)


def test_contiguous_loss(feed: Stream) -> None:
    ours = mutated(feed, "contiguous_loss")
    gone = np.flatnonzero(~np.isin(feed.messages[:, LAST], ours.messages[:, LAST]))
    assert (np.diff(gone) == 1).all()
    assert len(gone) / len(feed.messages) == pytest.approx(0.01, abs=1e-3)
    assert (ours.messages[1:, PREVIOUS] == ours.messages[:-1, LAST]).all()
    kept = ~np.isin(feed.of, gone)
    assert (ours.depth == feed.depth[kept]).all()
    assert (ours.messages[ours.of, LAST] == feed.messages[feed.of[kept], LAST]).all()
    assert len(ours.trades) < len(feed.trades)


def test_duplicates(feed: Stream) -> None:
    ours = mutated(feed, "duplicates")
    number, times = np.unique(ours.trades[:, TRADE_ID], return_counts=True)
    assert len(number) == len(feed.trades)
    assert set(times.tolist()) == {1, 2}
    assert (times == 2).mean() == pytest.approx(0.01, rel=0.5)
    again = np.flatnonzero(np.diff(ours.messages[:, LAST]) == 0)
    assert len(again) / len(feed.messages) == pytest.approx(0.01, rel=0.5)
    for at in again.tolist():
        first, second = (ours.depth[ours.of == message] for message in (at, at + 1))
        assert (first == second).all()


def test_side_flips(feed: Stream) -> None:
    ours = mutated(feed, "side_flips")
    flipped = ours.trades[:, TAKER] != feed.trades[:, TAKER]
    assert flipped.mean() == pytest.approx(0.01, rel=0.2)
    assert set(ours.trades[:, TAKER].tolist()) == {1, 2}


def test_tick_offset(feed: Stream) -> None:
    ours = mutated(feed, "tick_offset")
    for one, other in (
        (ours.trades[:, TRADE_PRICE], feed.trades[:, TRADE_PRICE]),
        (ours.depth[:, PRICE], feed.depth[:, PRICE]),
    ):
        assert set((one - other).tolist()) == {0, feed.instrument.tick}
        assert (one != other).mean() == pytest.approx(0.01, rel=0.3)


def test_rounded_times(feed: Stream) -> None:
    off = feed.trades[:, TAKEN_AT] - mutated(feed, "rounded_times").trades[:, TAKEN_AT]
    assert 0 == off.min() < off.max() < 1_000_000
    assert (feed.trades[:, TAKEN_AT] % 1_000_000 > 0).mean() > 0.9


def test_swapped(feed: Stream) -> None:
    ours = mutated(feed, "swapped")
    assert (ours.trades[:, TAKEN_AT] == feed.trades[:, TAKEN_AT]).all()
    assert sorted(ours.trades[:, TRADE_ID].tolist()) == sorted(feed.trades[:, TRADE_ID].tolist())
    moved = ours.trades[:, TRADE_ID] != feed.trades[:, TRADE_ID]
    assert moved.mean() == pytest.approx(0.02, rel=0.3)
    assert (ours.messages[:, TIME] == feed.messages[:, TIME]).all()
    by_id = [
        {(ident, *row) for ident, row in zip(ids, map(tuple, stream.depth.tolist()), strict=True)}
        for stream, ids in ((s, s.messages[s.of, LAST].tolist()) for s in (ours, feed))
    ]
    assert by_id[0] == by_id[1]
    assert (np.diff(ours.of) >= 0).all()
    assert LEVEL
