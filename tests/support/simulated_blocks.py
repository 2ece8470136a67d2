"""Blocks of metrics of a simulated market, straight from its feed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lobproof.fidelity.metrics.blocks import Blocks, Collected, Scale
from lobproof.fidelity.metrics.metric_kernels import GRID_NS, new_block
from lobproof.fidelity.metrics.observer import Observer
from lobproof.instruments import Instrument
from lobproof.schema import EventBatch, Flag, Int64, Kind, StateBatch
from lobproof.sources.simulator import PRESETS, Feed, FeedConfig, Market

SECOND = 1_000_000_000
BUSY = dataclasses.replace(
    PRESETS["btc"], near_orders=60, deep_orders=200, warmup_s=0.5, rate=300.0, take_share=0.05
)


def simulated_blocks(seconds: int, seed: int = 3, block_s: int = 10) -> tuple[Blocks, Int64]:
    """Blocks, and the times of all trades."""
    market = Market(BUSY, seed)
    feed = Feed(market, FeedConfig(tops=True), seed)
    instrument = market.config.instrument
    observer = Observer(instrument, Scale.of(instrument, block_s * SECOND))
    begin, first_id = market.now, 0
    times: list[Int64] = []
    for second in range(10, seconds + 1, 10):
        events = market.step(begin + second * SECOND)
        batch = feed.publish(events, final=second + 10 > seconds)
        messages, trades = len(batch.messages), len(batch.trades)
        when = np.concatenate([batch.messages[:, 0] * 1_000_000, batch.trades[:, 0]])
        order = np.argsort(when, kind="stable")
        place = np.argsort(order, kind="stable")
        rows = EventBatch.empty(messages + trades)
        rows.kind[:] = Kind.DELTA
        rows.flags[:] = Flag.LAST
        rows.ts_order[:] = when[order]
        at = place[messages:]
        rows.kind[at] = Kind.TRADE
        rows.side[at] = batch.trades[:, 2]
        rows.price[at], rows.size[at] = batch.trades[:, 3], batch.trades[:, 4]
        states = StateBatch.empty(messages)
        states.event_id[:] = first_id + place[:messages]
        states.ts_order[:] = when[:messages]
        states.levels[:] = batch.truths
        states.bid_trusted[:] = (batch.truths[:, 1:40:2] > 0).sum(axis=1)
        states.ask_trusted[:] = (batch.truths[:, 41::2] > 0).sum(axis=1)
        observer.add([rows], states, first_id)
        first_id += len(rows)
        times.append(batch.trades[:, 0].copy())
    return observer.finish(), np.concatenate(times)


def blocks_of(starts: Sequence[int], series: Int64, scale: Scale, instrument: Instrument) -> Blocks:
    """Blocks with nothing but their samples (blocks, cells, 10)."""
    kept = Collected(instrument, scale)
    for start, samples in zip(starts, series, strict=True):
        block = new_block(scale.block_ns)
        block.series[:] = samples
        kept.append(start, block)
    return kept.blocks()


def samples_of(blocks: Blocks) -> dict[int, list[int]]:
    """Samples by their number since the epoch."""
    return {
        int(start) // GRID_NS + at: sample
        for start, samples in zip(blocks.start, blocks.series.tolist(), strict=True)
        for at, sample in enumerate(samples)
    }
