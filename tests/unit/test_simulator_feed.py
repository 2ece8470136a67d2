"""What the venue publishes: depth messages, tickers, snapshots, and the truth beside them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from lobproof.errors import UsageError
from lobproof.sources.simulator import PRESETS, Feed, FeedBatch, FeedConfig, Market, Truth
from lobproof.sources.simulator.feed_kernels import sort_span
from lobproof.sources.simulator.layout_kernels import ASK, BID, LEVEL, TRADE

pytestmark = pytest.mark.kernels

SMALL = dataclasses.replace(
    PRESETS["btc"], near_orders=60, deep_orders=200, warmup_s=0.5, rate=300.0, window_bits=14
)
SECOND = 1_000_000_000
EVERYTHING = FeedConfig(tops=True, full_every=1, snapshot_every_s=0.7, snapshot_limit=30)


def published(
    config: FeedConfig, cuts: list[int], span: int = 3 * SECOND, seed: int = 6, market: Any = SMALL
) -> tuple[list[FeedBatch], np.ndarray[Any, Any]]:
    """Batches of a market stepped at ``cuts``, and all its events."""
    source = Market(market, seed)
    feed = Feed(source, config)
    batches, rows = [], []
    for cut in [*cuts, span]:
        events = source.step(market.start_ns + cut)
        rows.append(events.rows)
        batches.append(feed.publish(events, final=cut == span))
    return batches, np.concatenate(rows)


def joined(batches: list[FeedBatch], name: str) -> np.ndarray[Any, Any]:
    return np.concatenate([getattr(batch, name) for batch in batches])


def levels_of(batches: list[FeedBatch]) -> list[tuple[list[int], list[list[int]]]]:
    """Each message with its own rows."""
    result = []
    for batch in batches:
        start = 0
        for message in batch.messages.tolist():
            result.append((message, batch.depth[start : message[4]].tolist()))
            start = message[4]
    return result


def test_the_messages_rebuild_the_true_book_at_every_id() -> None:
    batches, rows = published(EVERYTHING, [SECOND])
    market = Market(SMALL, 6)
    book: dict[tuple[int, int], int] = {}
    for side, prices, sizes in zip(
        (BID, ASK), market.book()[::2], market.book()[1::2], strict=True
    ):
        book |= {(side, int(p)): int(q) for p, q in zip(prices, sizes, strict=True)}
    messages = levels_of(batches)
    full = [b for batch in batches for b in batch.books]
    tickers = {int(t[1]): t[2:].tolist() for t in joined(batches, "tickers")}
    truths, tops = joined(batches, "truths"), joined(batches, "tops")
    assert np.array_equal(truths, tops)
    assert len(messages) > 20
    assert len(full) == len(messages)
    compared = 0
    last, previous = market.update_id, market.update_id
    for k, (message, levels) in enumerate(messages):
        publish_ms, first, last, before, _ = message
        assert (before, first) == (previous, previous + 1)
        previous = last
        named = [(side, -price if side == BID else price) for side, price, _ in levels]
        assert named == sorted(named)  # bids then asks, best first
        assert len(set(named)) == len(named)
        for side, price, size in levels:
            book[side, price] = size
            if not size:
                del book[side, price]
        truth = full[k]
        assert truth.last_id == last
        bids = sorted(((p, q) for (s, p), q in book.items() if s == BID), reverse=True)
        asks = sorted((p, q) for (s, p), q in book.items() if s == ASK)
        assert truth.bids.tolist() == [list(x) for x in bids]
        assert truth.asks.tolist() == [list(x) for x in asks]
        top = truths[k].reshape(2, 20, 2).tolist()
        assert top[0] == [list(x) for x in (bids + 20 * [(0, 0)])[:20]]
        assert top[1] == [list(x) for x in (asks + 20 * [(0, 0)])[:20]]
        if last in tickers:
            compared += 1
            assert tickers[last] == [*bids[0], *asks[0]]
        inside = rows[(rows[:, 1] == LEVEL) & (rows[:, 5] > before) & (rows[:, 5] <= last)]
        assert {(r[2], r[3]) for r in inside.tolist()} == {(s, p) for s, p, _ in levels}
        assert (inside[:, 0] // 1_000_000 < publish_ms).all()
        assert (inside[:, 0] // 1_000_000 >= publish_ms - 100).all()
    assert compared
    assert last == rows[rows[:, 1] == LEVEL][-1, 5]
    assert np.array_equal(joined(batches, "trades"), rows[rows[:, 1] == TRADE])


def test_a_ticker_for_each_change_of_the_touch() -> None:
    batches, rows = published(FeedConfig(), [])
    market = Market(SMALL, 6)
    touch = [int(side[0]) for side in market.book(1)]
    expected = []
    for ts, kind, *_, identifier in rows.tolist():
        if kind != LEVEL:
            continue
        market.step(ts) if ts > market.now else None
        if identifier != market.update_id:  # several changes at one instant: look at the last
            continue
        now = [int(side[0]) for side in market.book(1)]
        if now != touch:
            expected.append((identifier, now))
        touch = now
    tickers = {int(t[1]): [int(x) for x in t[2:]] for t in joined(batches, "tickers")}
    assert len(expected) > 30
    for identifier, now in expected:
        at = max(u for u in tickers if u <= identifier)
        assert [tickers[at][k] for k in range(4)] == now


def test_snapshots_are_the_true_book_of_their_instant() -> None:
    batches, _ = published(EVERYTHING, [])
    snapshots = [s for batch in batches for s in batch.snapshots]
    assert [s.ts - SMALL.start_ns for s in snapshots] == [
        int(x * 1e9) for x in (0.5, 1.2, 1.9, 2.6)
    ]
    for snapshot in snapshots:
        market = Market(SMALL, 6)
        market.step(snapshot.ts - 1)
        bids, bid_sizes, asks, ask_sizes = market.book(30)
        assert snapshot.last_id == market.update_id
        assert snapshot.bids.tolist() == np.column_stack([bids, bid_sizes]).tolist()
        assert snapshot.asks.tolist() == np.column_stack([asks, ask_sizes]).tolist()


@pytest.mark.parametrize("faults", [False, True])
def test_the_feed_does_not_depend_on_how_events_come(faults: bool) -> None:
    config = EVERYTHING
    if faults:
        config = dataclasses.replace(
            config, burst_lag_ms=90, burst_lag_share=1.0, late_sample_share=0.5
        )
    whole, _ = published(config, [])
    cuts = np.sort(np.random.default_rng(1).integers(0, 3 * SECOND, 40)).tolist()
    parts, _ = published(config, [*cuts, cuts[-1]])
    for name in ("depth", "trades", "tickers", "tops", "truths"):
        assert np.array_equal(joined(whole, name), joined(parts, name)), name
    assert np.array_equal(joined(whole, "messages")[:, :4], joined(parts, "messages")[:, :4])
    for name in ("snapshots", "books"):
        one = [book for batch in whole for book in getattr(batch, name)]
        other = [book for batch in parts for book in getattr(batch, name)]
        assert [(b.ts, b.last_id, b.bids.tolist()) for b in one] == [
            (b.ts, b.last_id, b.bids.tolist()) for b in other
        ]
    marks = [batch.watermark for batch in parts]
    assert marks == sorted(marks)


def test_in_bursts_messages_lag_and_late_samples_miss_what_is_about_to_vanish() -> None:
    config = dataclasses.replace(
        EVERYTHING, burst_lag_ms=90, burst_lag_share=1.0, late_sample_share=1.0
    )
    batches, rows = published(config, [], 6 * SECOND)
    messages = levels_of(batches)
    times = dict(rows[rows[:, 1] == LEVEL][:, [5, 0]].tolist())
    late = [m for m, _ in messages if m[2] + 1 in times and m[0] * 1_000_000 > times[m[2] + 1]]
    assert late  # the next update came before publication and is not in the message
    assert all(m[1] == m[3] + 1 for m, _ in messages)
    truths, tops = joined(batches, "truths"), joined(batches, "tops")
    assert (truths != tops).any()
    hidden = 0
    full = [b for batch in batches for b in batch.books]
    for k, (_, levels) in enumerate(messages[:-1]):
        true = {(BID, int(p)): int(q) for p, q in full[k].bids}
        true |= {(ASK, int(p)): int(q) for p, q in full[k].asks}
        for side, price, size in levels:
            if size != true.get((side, price), 0):
                hidden += 1
                assert size == 0
                assert [side, price] in [x[:2] for x in messages[k + 1][1]]
    assert hidden


def test_a_loaded_feed_goes_on_as_the_saved_one() -> None:
    config = dataclasses.replace(EVERYTHING, burst_lag_ms=90, burst_lag_share=1.0)
    market = Market(SMALL, 6)
    feed = Feed(market, config)
    feed.publish(market.step(market.now + SECOND))
    state, saved = feed.save(), market.save()
    expected = feed.publish(market.step(market.now + SECOND), final=True)
    again = Market.load(SMALL, saved)
    loaded = Feed.load(again, config, state)
    found = loaded.publish(again.step(again.now + SECOND), final=True)
    for name in ("messages", "depth", "trades", "tickers", "tops"):
        assert np.array_equal(getattr(expected, name), getattr(found, name)), name
    assert len(expected.snapshots) == len(found.snapshots)


def test_the_truth_is_kept_by_id() -> None:
    truth = Truth()
    assert len(truth.last_ids) == len(truth.levels) == 0
    batches, _ = published(EVERYTHING, [SECOND])
    for batch in batches:
        truth.add(batch)
    assert (np.diff(truth.last_ids) > 0).all()
    assert truth.levels.shape == (len(truth.last_ids), 80)
    assert [book.last_id for book in truth.books] == truth.last_ids.tolist()


def test_nothing_is_published_of_nothing() -> None:
    market = Market(SMALL, 6)
    feed = Feed(market, FeedConfig(tickers=False))
    batch = feed.publish(market.step(market.now))
    assert len(batch.messages) == len(batch.depth) == len(batch.tickers) == len(batch.trades) == 0
    assert len(feed.publish(market.step(market.now), final=True).messages) == 0


def test_a_lag_beyond_the_next_message_is_refused() -> None:
    with pytest.raises(UsageError, match="lag of 120 ms"):
        FeedConfig(burst_lag_ms=120)


def test_futures_chain_by_the_last_id_sent() -> None:
    config = dataclasses.replace(SMALL, market="futures", id_step=12)
    batches, _ = published(FeedConfig(), [SECOND], market=config)
    messages = joined(batches, "messages")
    assert (messages[1:, 3] == messages[:-1, 2]).all()
    assert (messages[:, 1] > messages[:, 3] + 1).any()


@pytest.mark.parametrize("n", [0, 1, 2, 7, 400])
def test_spans_are_sorted_in_place(n: int) -> None:
    values = np.random.default_rng(n).integers(-50, 50, n + 4)
    m = values.copy()
    sort_span(m, 2, n + 2)
    assert m.tolist() == [*values[:2], *sorted(values[2 : n + 2].tolist()), *values[n + 2 :]]
