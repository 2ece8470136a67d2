"""Stylised facts of the simulator's presets beside those of the real recordings, as a table.

    python benchmarks/stylised_facts.py [--minutes 60] [--seed 7] [--presets btc eth nexo perp]

The recordings are looked for in LOBPROOF_REAL_DATA (default ``../shared/data`` beside the
checkout); without them only the simulated columns are printed. Both are measured alike: the touch
on a 100 ms grid, the whole known book every ten seconds, every trade. The recordings are read here
with plain JSON and dictionaries, independently of the library.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.sources.simulator import PRESETS, Market
from lobproof.sources.simulator.layout_kernels import LEVEL, TRADE

Array = NDArray[Any]
GRID_NS = 100_000_000
BANDS = (0.0, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
"""Edges of the depth profile, basis points from the mid."""


@dataclass
class Sample:
    """One market as measured: prices in ticks, sizes in units of the base asset."""

    name: str
    tick: float
    seconds: float = 0.0
    bids: list[int] = field(default_factory=list)  # best bid on the grid, ticks
    asks: list[int] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)  # update ids per grid cell
    profiles: list[Array] = field(default_factory=list)  # quantity per band, both sides summed
    counts: list[int] = field(default_factory=list)  # levels a side
    gaps: list[tuple[int, int]] = field(default_factory=list)  # ticks to the 5th, 20th level
    trade_ts: list[int] = field(default_factory=list)  # ns
    trade_size: list[float] = field(default_factory=list)
    trade_buy: list[bool] = field(default_factory=list)

    def profile(self, bids: dict[int, float], asks: dict[int, float]) -> None:
        """Add the present book to the depth profile."""
        prices = np.array([*bids, *asks], float)
        sizes = np.array([*bids.values(), *asks.values()])
        best, worst = max(bids), min(asks)
        away = np.abs(prices / ((best + worst) / 2) - 1) * 1e4
        self.profiles.append(np.histogram(away, BANDS, weights=sizes)[0])
        self.counts.append(len(bids))
        below = sorted(bids, reverse=True)
        if len(below) > 20:
            self.gaps.append((below[0] - below[5], below[0] - below[20]))


def simulated(preset: str, minutes: float, seed: int) -> Sample:
    """Run a preset and measure it."""
    config = PRESETS[preset]
    market = Market(config, seed)
    sample = Sample(f"`{preset}`", config.tick * 10.0**-config.price_exponent)
    unit = 10.0**-config.size_exponent
    steps = round(minutes * 60e9 / GRID_NS)
    for k in range(1, steps + 1):
        events = market.step(config.start_ns + k * GRID_NS)
        prices_bid, _, prices_ask, _ = market.book(1)
        sample.bids.append(int(prices_bid[0]) // config.tick)
        sample.asks.append(int(prices_ask[0]) // config.tick)
        sample.updates.append(int((events.kind == LEVEL).sum()))
        is_trade = events.kind == TRADE
        sample.trade_ts += events.ts[is_trade].tolist()
        sample.trade_size += (events.size[is_trade] * unit).tolist()
        sample.trade_buy += (events.side[is_trade] == 1).tolist()
        if k % 100 == 0:
            bp, bs, ap, az = market.book()
            sample.profile(
                dict(zip((bp // config.tick).tolist(), (bs * unit).tolist(), strict=True)),
                dict(zip((ap // config.tick).tolist(), (az * unit).tolist(), strict=True)),
            )
    sample.seconds = minutes * 60
    return sample


def recorded(folder: Path, symbol: str, tick: float) -> Sample:
    """Read a recording and measure it."""
    sample = Sample(symbol.upper(), tick)
    bids: dict[int, float] = {}
    asks: dict[int, float] = {}
    waiting: list[dict[str, Any]] = []
    seeded = first = last = grid = done = 0
    updates = 0

    def apply(message: dict[str, Any]) -> None:
        for levels, side in ((message["b"], bids), (message["a"], asks)):
            for price, size in levels:
                at, quantity = round(float(price) / tick), float(size)
                if quantity:
                    side[at] = quantity
                else:
                    side.pop(at, None)

    for message in _messages(folder, symbol):
        if "lastUpdateId" in message:
            seeded = message["lastUpdateId"]
            bids.update({round(float(p) / tick): float(q) for p, q in message["bids"]})
            asks.update({round(float(p) / tick): float(q) for p, q in message["asks"]})
            for earlier in waiting:
                if earlier["u"] > seeded:
                    apply(earlier)
        elif message.get("e") == "trade":
            sample.trade_ts.append(message["T"] * 1_000_000)
            sample.trade_size.append(float(message["q"]))
            sample.trade_buy.append(not message["m"])
        elif message.get("e") == "depthUpdate":
            if not seeded:
                waiting.append(message)
                continue
            if message["u"] <= seeded:
                continue
            event = message["E"] * 1_000_000
            first = first or event
            grid = grid or event
            while grid + GRID_NS // 2 < event:  # what stood until this message
                sample.bids.append(max(bids))
                sample.asks.append(min(asks))
                sample.updates.append(updates)
                updates = 0
                grid += GRID_NS
                done += 1
                if done % 100 == 0:
                    sample.profile(bids, asks)
            apply(message)
            updates += message["u"] - message["U"] + 1
            last = event
    sample.seconds = (last - first) * 1e-9
    return sample


def _messages(folder: Path, symbol: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"{symbol}_*.gz")):
        with gzip.open(path, "rt") as lines:
            for line in lines:
                document = json.loads(line.partition(" ")[2])
                yield document.get("data", document)


def correlation(values: Array, lag: int) -> float:
    """Autocorrelation at ``lag``; NaN when the values are too few or all alike."""
    x = values - values.mean()
    variance = float(np.dot(x, x))
    return float(np.dot(x[:-lag], x[lag:])) / variance if variance and lag < len(x) else np.nan


def hill(values: Array, share: float) -> float:
    """Hill's estimate of the survival exponent from the largest ``share`` of the values."""
    top = np.sort(values[values > 0])[::-1]
    k = max(int(len(top) * share), 10)
    if len(top) <= k:
        return np.nan
    mean = float(np.log(top[:k] / top[k]).mean())
    return 1 / mean if mean else np.nan


def facts(sample: Sample) -> dict[str, str]:
    """All rows of the table for one market."""
    bids, asks = np.array(sample.bids), np.array(sample.asks)
    spread, mid = asks - bids, (asks + bids) / 2
    fast = np.diff(np.log(mid))
    slow = np.diff(np.log(mid[::10]))
    updates = np.array(sample.updates)
    times = np.array(sample.trade_ts)
    sizes = np.array(sample.trade_size)
    buys = np.array(sample.trade_buy)
    starts = np.flatnonzero(
        np.r_[True, (np.diff(times // 1_000_000) != 0) | (buys[1:] != buys[:-1])]
    )
    takers = np.add.reduceat(sizes, starts)
    signs = np.where(buys[starts], 1.0, -1.0)
    waits = np.diff(times[starts]) * 1e-9
    per_second = updates[: len(updates) // 10 * 10].reshape(-1, 10).sum(1)
    profile = np.mean(sample.profiles, 0)
    width = np.diff(BANDS)
    density = profile / width
    rows: dict[str, str] = {
        "minutes measured": f"{sample.seconds / 60:.0f}",
        "book updates per second": f"{updates.sum() / sample.seconds:.1f}",
        "trades per second": f"{len(sizes) / sample.seconds:.2f}",
        "spread of one tick, share of time": f"{(spread == 1).mean():.1%}",
        "spread, mean, ticks": f"{spread.mean():.2f}",
        "spread, 99.9th percentile, ticks": f"{np.quantile(spread, 0.999):.0f}",
        "levels a side known, median": f"{np.median(sample.counts):.0f}",
        "ticks from best to 5th / 20th level": "{:.0f} / {:.0f}".format(
            *np.median(np.array(sample.gaps), 0)
        ),
        "mid unchanged over 100 ms": f"{(fast == 0).mean():.1%}",
        "return sd over 1 s, bps": f"{slow.std() * 1e4:.3f}",
        "kurtosis of 1 s returns": f"{_kurtosis(slow):.1f}",
        "kurtosis of 10 s returns": f"{_kurtosis(np.diff(np.log(mid[::100]))):.1f}",
        "Hill exponent, abs 1 s returns, top 2 %": f"{hill(np.abs(slow), 0.02):.2f}",
        "ACF of 1 s returns, lag 1": f"{correlation(slow, 1):.2f}",
        "ACF of r², lags 1, 10, 30 s": _acf(slow**2, (1, 10, 30)),
        "ACF of abs r, lags 1, 10, 30, 100 s": _acf(np.abs(slow), (1, 10, 30, 100)),
        "Fano factor of updates, 0.1 s / 1 s": f"{_fano(updates):.0f} / {_fano(per_second):.0f}",
        "updates per 100 ms: 50, 90, 99 %": " / ".join(
            f"{q:.0f}" for q in np.quantile(updates, (0.5, 0.9, 0.99))
        ),
        "ACF of updates per 1 s, lags 1, 10, 30 s": _acf(per_second.astype(float), (1, 10, 30)),
        "taker orders per second": f"{len(takers) / sample.seconds:.2f}",
        "fills per taker order, mean": f"{len(sizes) / len(takers):.2f}",
        "taker size: 50, 90, 99 %": " / ".join(
            f"{q:.3g}" for q in np.quantile(takers, (0.5, 0.9, 0.99))
        ),
        "Hill exponent, taker size, top 2 %": f"{hill(takers, 0.02):.2f}",
        "waits between takers: coefficient of variation": f"{waits.std() / waits.mean():.1f}",
        "waits between takers under 1 ms": f"{(waits < 1e-3).mean():.1%}",
        "ACF of taker signs, lags 1, 10": _acf(signs, (1, 10)),
    }
    peak = density.max()
    for band, value in zip(pairwise(BANDS), density, strict=True):
        rows[f"depth per bps at {band[0]:g}–{band[1]:g} bps (peak 1)"] = f"{value / peak:.3f}"
    return rows


def _fano(counts: Array) -> float:
    return float(counts.var() / counts.mean())


def _kurtosis(values: Array) -> float:
    x = values - values.mean()
    return float((x**4).mean() / (x**2).mean() ** 2)


def _acf(values: Array, lags: tuple[int, ...]) -> str:
    return ", ".join(f"{correlation(values, lag):.2f}" for lag in lags)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--presets", nargs="*", default=["btc", "eth", "nexo", "perp"])
    parser.add_argument("--no-recordings", action="store_true")
    options = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("LOBPROOF_REAL_DATA", root.parent / "shared" / "data"))
    real: list[tuple[str, Callable[[], Sample]]] = []
    if not options.no_recordings and (folder / "binance-spot").is_dir():
        for symbol, tick in (("btcusdt", 0.01), ("ethusdt", 0.01), ("nexousdt", 0.001)):
            if symbol[:3] in [p[:3] for p in options.presets]:
                real.append(
                    (symbol, lambda s=symbol, t=tick: recorded(folder / "binance-spot", s, t))
                )
    columns = []
    for preset in options.presets:
        columns += [make() for symbol, make in real if symbol[:3] == preset[:3]]
        minutes = options.minutes * (24 if preset == "nexo" else 1)
        columns.append(simulated(preset, minutes, options.seed))
    tables = [facts(column) for column in columns]
    print("| |" + "|".join(f" {c.name} " for c in columns) + "|")
    print("|---|" + "---|" * len(columns))
    for row in tables[0]:
        print(f"| {row} |" + "|".join(f" {table[row]} " for table in tables) + "|")


if __name__ == "__main__":
    main()
