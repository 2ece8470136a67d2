"""``python -m benchmarks``: every figure of RESULTS.md in one run; ``make bench`` calls it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks import (
    ablation,
    acquire,
    book,
    capture,
    chain,
    first_hour,
    lake_decode,
    memory,
    methods,
    metrics,
    parts,
    reconstruct_lake,
    shapes,
)
from benchmarks.data import RECORDED, SIMULATED, Sample, samples
from benchmarks.report import Section, write

from lobproof.pipeline import reconstruct_sample
from lobproof.sources.golden import GoldenSample
from lobproof.sources.simulator import simulate

RESULTS = Path(__file__).with_name("RESULTS.md")
LARGE_MINUTES = 15.0
BEGAN = perf_counter()


def say(words: str) -> None:
    """Tell whoever waits what comes next."""
    print(f"{perf_counter() - BEGAN:6.0f} s  {words}", flush=True)


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--peers", type=Path, help="Python of the environment of benchmarks/peers.txt"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="file to write into")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions of the short runs")
    parser.add_argument(
        "--quick", action="store_true", help="see that it works; figures mean little"
    )
    parser.add_argument("--memory", action="store_true", help="only the large simulated day")
    parser.add_argument("--acquire", action="store_true", help="only download and validation")
    parser.add_argument("--lake", action="store_true", help="only Crypto Lake's files to batches")
    parser.add_argument("--reconstruct", action="store_true", help="only Crypto Lake days, whole")
    parser.add_argument("--ablation", action="store_true", help="only what is often recommended")
    parser.add_argument("--shapes", action="store_true", help="only shapes of recordings")
    parser.add_argument("--capture", action="store_true", help="only a capture under load")
    parser.add_argument("--metrics", action="store_true", help="only what a day's metrics cost")
    parser.add_argument("--methods", action="store_true", help="only methods of comparing feeds")
    parser.add_argument("--kept", type=Path, help="of the outcomes in this folder: run none")
    parser.add_argument("--first-hour", action="store_true", help="only what a new user meets")
    parser.add_argument(
        "--sizes",
        type=float,
        nargs="+",
        default=[size / 1e6 for size in reconstruct_lake.SIZES],
        help="of those days, M deltas",
    )
    parser.add_argument(
        "--rows", type=int, default=100_000_000, help="to validate, decode or measure"
    )
    parser.add_argument("--changes", type=float, default=memory.DAY_CHANGES, help="of that day")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lobproof-bench-") as folder:
        scratch = Path(folder)
        if options.memory:
            say(f"a simulated day of {options.changes / 1e6:g} M level changes: minutes")
            section = memory.simulated_day(scratch, options.changes)
        elif options.acquire:
            say("downloads and validation")
            section = acquire.measure(scratch, quick=options.quick, rows=options.rows)
        elif options.lake:
            say(f"a day of {options.rows / 1e6:g} M deltas to batches")
            section = lake_decode.measure(scratch, options.rows, 1 if options.quick else 3)
        elif options.reconstruct:
            sizes = tuple(round(size * 1e6) for size in options.sizes)
            section = reconstruct_lake.measure(scratch, sizes, say)
        elif options.metrics:
            section = metrics.costs(scratch, options.rows, 1 if options.quick else 3, say)
        elif options.first_hour:
            few = 1 if options.quick else options.repeats
            section = first_hour.measure(scratch, few, say, 1.0 if options.quick else 30.0)
        elif options.shapes:
            section = shapes.measure(scratch, 1 if options.quick else options.repeats, say)
        elif options.capture:
            section = capture.measure(scratch, 5.0 if options.quick else 60.0, say)
        elif options.methods:
            options.out = methods.FILE if options.out == RESULTS else options.out
            section = methods.measure(say, options.kept)
        elif options.ablation:
            say("techniques beside the plain variants")
            section = ablation.measure(scratch, 1 if options.quick else 3, say)
        else:
            section = _everything(options, scratch)
    write(options.out, section)
    say(f"wrote {options.out.name}")
    for budget in section.budgets:
        print("  " + "  ".join(cell.replace("**", "") for cell in budget.cells()))
    return 0


def _everything(options: argparse.Namespace, scratch: Path) -> Section:
    repeats = 2 if options.quick else options.repeats
    few = max(2, repeats - 2)
    say("data")
    found = samples(scratch)
    data = RECORDED if found[0].real else SIMULATED
    section = Section("main", "Kernels, decoding, the whole chain", data)
    golden = [
        (sample, sample.import_to(_new(scratch / sample.name) / "golden")) for sample in found
    ]
    large = _large(scratch, 1.0 if options.quick else LARGE_MINUTES)
    say("compiling")
    reconstruct_sample(golden[-1][1].path, scratch / "warm-up")
    say("books, ours and the peers' in turns")
    rows = 1_000_000 if options.quick else 20_000_000
    book.measure(section, *golden[0], options.peers, scratch, rows, repeats)
    say("decoding")
    chain.decoding(section, golden, repeats)
    say("the whole chain")
    chain.end_to_end(section, [*golden, large], few)
    say("fixed point, Parquet, simulator")
    parts.fixed_point(section, repeats)
    parts.parquet(section, scratch, few, 500_000 if options.quick else 4_000_000)
    parts.simulator(section, scratch, few)
    say("memory")
    nexo = found[-1]
    memory.table(
        section,
        f"Memory: the days of {nexo.title}, each step in a process of its own",
        nexo.files,
        "real" if nexo.real else "synthetic",
        scratch,
        f"{nexo.title} days",
    )
    return section


def _large(scratch: Path, minutes: float) -> tuple[Sample, GoldenSample]:
    made = simulate(scratch / "large", preset="perp", minutes=minutes)
    sample = Sample("perp", made.recordings, real=False)
    return sample, sample.import_to(_new(scratch / "perp") / "golden")


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
