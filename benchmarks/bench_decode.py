"""Speed of the decoders on one core: recordings, gzip included, to batches.

Run: ``python benchmarks/bench_decode.py``. The files are those of ``benchmarks/data.py``: the
recordings, or simulated ones where there are none. Each figure is the processor time of the
best of several runs after compilation (all is one thread); level changes are those of depth
messages.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from data import Sample, samples

from lobproof.instruments import Instrument
from lobproof.sources.binance.decode import decode_recording
from lobproof.sources.binance.rows import book_batch, ticker_batch, trade_batch
from lobproof.sources.binance.scan_kernels import (
    AGGREGATE,
    DEPTH,
    SNAPSHOT,
    TICKER,
    TRADE,
)
from lobproof.sources.binance.scanner import Scanner
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.recordings import import_recordings
from lobproof.sources.recordings.reader import RecordingFile

RUNS = 5
EVERYTHING = (DEPTH, TRADE, AGGREGATE, TICKER, SNAPSHOT)


def best(run: Callable[[], object]) -> float:
    """Seconds of the fastest run."""
    run()
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def decode(sample: Sample, instrument: Instrument, kinds: tuple[int, ...]) -> int:
    """Level changes of the files, decoded as far as ``kinds`` asks."""
    rows = 0
    for path in sample.files:
        scanner = Scanner(instrument.venue_symbol, kinds, recorded=True)
        for data in RecordingFile(path):
            block = scanner.scan(data, path.name, 1)
            rows += len(book_batch(block, instrument))
            if TRADE in kinds:
                trade_batch(block, TRADE, instrument)
                ticker_batch(block, instrument)
    return rows


def inflate(sample: Sample) -> int:
    """Bytes of the files' lines."""
    return sum(len(data) for path in sample.files for data in RecordingFile(path))


def slow(sample: Sample, instrument: Instrument) -> int:
    """Level changes by msgspec, of depth messages alone, as texts."""
    rows = 0
    for path in sample.files:
        for data in RecordingFile(path):
            for line in data.splitlines():
                if b"@depth" in line[:60]:
                    decoded = decode_recording(line, instrument.venue_symbol)
                    rows += len(decoded.bids) + len(decoded.asks)
    return rows


def measure(sample: Sample, folder: Path) -> None:
    """Print a line per way to decode the sample."""
    golden = sample.import_to(folder / sample.name)
    instrument, source = golden.instrument, GoldenSource(golden)
    rows = golden.document["counts"]["level_changes"]
    print(f"{sample.title}: {rows} level changes in {inflate(sample) / 1e6:.1f} MB of lines")
    ways: dict[str, Callable[[], object]] = {
        "gzip lines, not decoded": lambda: inflate(sample),
        "gzip lines to book batches": lambda: decode(sample, instrument, (DEPTH,)),
        "... trades and tickers too": lambda: decode(sample, instrument, EVERYTHING),
        "journals to book batches": lambda: sum(map(len, source.book())),
        "msgspec, depth lines alone": lambda: slow(sample, instrument),
        "import": lambda: import_recordings(sample.files, golden.path, overwrite=True),
    }
    for name, way in ways.items():
        seconds = best(way)
        print(f"  {name:28} {seconds * 1e3:8.1f} ms {rows / seconds / 1e6:7.2f} M level changes/s")


def main() -> None:
    """Measure every sample."""
    with tempfile.TemporaryDirectory() as folder:
        for sample in samples(Path(folder)):
            measure(sample, Path(folder) / "golden")


if __name__ == "__main__":
    main()
