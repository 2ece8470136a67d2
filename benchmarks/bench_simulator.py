"""Speed and memory of the simulator: each stage alone, then whole simulations to disk.

Run: ``python benchmarks/bench_simulator.py [--minutes 10] [--day PRESET]``. Kernels are compiled
before anything is timed. ``--day`` writes a whole day of Crypto Lake tables (of ``perp``, about a
hundred million level changes) to a temporary folder and prints its time and peak memory.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from lobproof.sources.simulator import (
    PRESETS,
    Feed,
    FeedConfig,
    LakeConfig,
    LakeWriter,
    Market,
    Recorder,
    RecorderConfig,
    simulate,
)


def stages(preset: str, minutes: float) -> None:
    """Print the rate of each stage, in millions of market events a second."""
    config = PRESETS[preset]
    market = Market(config, 7)
    feed = Feed(market, FeedConfig(tops=True))
    recorder = Recorder(config, RecorderConfig())
    chunk = round(60_000 / config.rate * 1e9)
    end = config.start_ns + round(minutes * 60e9)
    spent = dict.fromkeys(("market", "feed", "recorder", "lake"), 0.0)
    events = 0
    with tempfile.TemporaryDirectory() as folder:
        lake = LakeWriter(Path(folder), config, LakeConfig())
        while market.now < end:
            marks = [time.perf_counter()]
            rows = market.step(min(market.now + chunk, end))
            marks.append(time.perf_counter())
            batch = feed.publish(rows)
            marks.append(time.perf_counter())
            recorder.record(batch)
            marks.append(time.perf_counter())
            lake.write(batch)
            marks.append(time.perf_counter())
            events += len(rows)
            for k, stage in enumerate(spent):
                spent[stage] += marks[k + 1] - marks[k]
        lake.close()
    rates = ", ".join(f"{stage} {events / s / 1e6:.2f}" for stage, s in spent.items())
    print(f"{preset}: {events:,} events in {minutes:g} market minutes; million events/s: {rates}")


def whole(preset: str, minutes: float, *, lake: bool) -> None:
    """Print the time of a simulation written to disk."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = simulate(
            Path(folder) / "out", preset=preset, minutes=minutes, recording=not lake, lake=lake
        )
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in result.files) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    changes = result.counts["level_changes"]
    print(
        f"{preset}, {minutes:g} minutes as {'Lake tables' if lake else 'a recording'}: "
        f"{seconds:.1f} s, {changes:,} level changes ({changes / seconds / 1e6:.2f} million/s), "
        f"{size:.0f} MB, peak memory so far {peak:.0f} MiB"
    )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description="Speed and memory of the simulator.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--day", choices=sorted(PRESETS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:  # compiles
        simulate(Path(folder) / "out", minutes=0.1, lake=True)
    for preset in PRESETS:
        stages(preset, options.minutes * (60 if preset == "nexo" else 1))
    whole("btc", options.minutes, lake=False)
    whole("perp", options.minutes, lake=True)
    if options.day:
        whole(options.day, 1440, lake=True)


if __name__ == "__main__":
    main()
