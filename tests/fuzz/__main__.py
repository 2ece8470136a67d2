"""``python -m fuzz``: damaged inputs for so many minutes, each told by its seed.

Exit code 1 where a run failed: a trusted claim that is not so, or a traceback.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.runs import Plan, recordings_in, run, shrunk, simulated
from fuzz.tally import Tally

PATHS = ("golden", "lake")


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the tally is told all the same
    data = Path(os.environ.get("LOBPROOF_REAL_DATA", "../shared/data")).resolve()
    recordings = arguments.recordings or recordings_in(data)
    tally = Tally()
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        work = Path(arguments.keep or folder) / "run"
        if not recordings:
            print(f"No recordings in {data}: simulated ones instead (LOBPROOF_REAL_DATA).")
            data, recordings = Path(folder), simulated(Path(folder))
        for plan in _plans(arguments, recordings):
            try:
                outcome = run(plan, data, work)
                if outcome.failed and not arguments.plan:
                    outcome = shrunk(outcome, data, work)
            except KeyboardInterrupt:
                break
            tally.take(outcome)
            if arguments.plan or outcome.failed:
                print(outcome, flush=True)
    print(tally)
    return 1 if tally.failed else 0


def _plans(arguments: argparse.Namespace, recordings: list[str]) -> Iterator[Plan]:
    if arguments.plan:
        yield Plan.read(arguments.plan)
        return
    end = float("inf")
    seed = arguments.seed
    while time.monotonic() < end and seed != arguments.until:
        for path in arguments.path or PATHS:
            plan = Plan.of(seed, path, recordings)
            if not arguments.kinds or {*arguments.kinds} & {*plan.kinds}:
                yield plan
        if seed == arguments.seed:  # the first run compiles the kernels
            end = time.monotonic() + 60 * arguments.minutes
        seed += 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first; then 2, 3, ... on")
    parser.add_argument("--until", type=int, default=-1, help="seed to stop before")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--plan", help="one run, as a failure spells it")
    parser.add_argument("--path", action="append", choices=PATHS)
    parser.add_argument("--recordings", action="append")
    parser.add_argument("--kinds", action="append", help="chains with this mutation alone")
    parser.add_argument("--keep", help="folder for the files of the last run, to look at")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
