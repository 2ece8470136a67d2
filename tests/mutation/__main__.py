"""``python -m mutation``: every mutation, with 200 seeds, and whether the lines are reached.

Exit code 0 where all are, 1 where one is not, 2 while seeds are missing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from mutation.declared import SEEDS
from mutation.runs import FOLDER, PROCESSES, kept, run
from mutation.verdicts import exit_code, lines

BEGAN = time.monotonic()


def say(words: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"{time.monotonic() - BEGAN:6.0f} s  {words}", flush=True)


def main() -> int:
    """Run what is missing, then judge all."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where outcomes are kept")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--kept", type=Path, help="judge the outcomes in this folder, run none")
    options = parser.parse_args()
    outcomes = (
        kept(options.kept)
        if options.kept
        else run(say, options.folder, processes=options.processes)
    )
    for line in lines(outcomes):
        print("  ".join(line.cells()))
    say(f"{len(outcomes)} of {len(SEEDS)} seeds")
    return exit_code(outcomes)


if __name__ == "__main__":
    sys.exit(main())
