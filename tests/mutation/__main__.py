"""``python -m mutation``: every mutation, 200 seeds each; exit code 1 where a line is not reached."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from mutation.runs import FOLDER, PROCESSES, run

BEGAN = time.monotonic()


def say(words: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"{time.monotonic() - BEGAN:6.0f} s  {words}", flush=True)


def main() -> int:
    """Run what is missing, then judge all."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where outcomes are kept")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    options = parser.parse_args()
    run(say, options.folder, processes=options.processes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
