"""Seeds in two processes; what is found is kept by seed, so that a run that was killed goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from lobproof.fidelity.gates.settings import STANDARD
from mutation import control, windows
from mutation.declared import DECLARED, SEEDS, declared
from mutation.judge import judged

FOLDER = Path("build/mutation")
PROCESSES = 2
Outcome = dict[str, Any]


def folder_of(root: Path = FOLDER) -> Path:
    """Where results of these declarations and of these settings of the gates are kept."""
    return root / f"{DECLARED[:12]}-{STANDARD.hash[:12]}"


def kept(folder: Path) -> list[Outcome]:
    """The outcomes in a folder, by seed, all of one set of declarations and settings.

    Raises
    ------
    SystemExit
        There is none, or some are of other declarations or settings.
    """
    outcomes = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not outcomes:
        raise SystemExit(f"No outcome of the mutation suite is in {folder}: run it first.")
    settings = {one["settings"] for one in outcomes}
    parts = ("control", "windows")
    fixed = {(one["declared"], *(one[part]["declared"] for part in parts)) for one in outcomes}
    if len(settings) > 1 or fixed != {(DECLARED, control.DECLARED, windows.DECLARED)}:
        raise SystemExit(f"Outcomes in {folder} are of other declarations or settings: run anew.")
    return outcomes


def run(
    say: Callable[[str], None],
    root: Path = FOLDER,
    seeds: Sequence[int] = SEEDS,
    processes: int = PROCESSES,
) -> list[Outcome]:
    """Judge the seeds that are not kept yet, and return all."""
    fixed = [(declared(), DECLARED), *((of.declared(), of.DECLARED) for of in (control, windows))]
    if any(now != then for now, then in fixed):
        raise SystemExit(
            "The suite is not what was fixed before it was run: see declared.py, control.py and "
            "windows.py in tests/mutation."
        )
    folder = folder_of(root)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not _path(folder, seed).exists()]
    say(f"{len(seeds) - len(missing)} of {len(seeds)} seeds are there, in {folder}")
    if missing:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of processes that begin anew
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            pool.submit(_keep, folder, missing[0]).result()  # alone: kernels are compiled once
            began = time.monotonic()
            ready = [pool.submit(_keep, folder, seed) for seed in missing[1:]]
            for done, one in enumerate(as_completed(ready), 1):
                one.result()
                if done % 10 == 0 or done == len(ready):
                    each = (time.monotonic() - began) / done
                    say(f"{done} of {len(ready)} seeds, {each:.0f} s each")
    return kept(folder)


def _keep(folder: Path, seed: int) -> None:
    path = _path(folder, seed)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(judged(seed)))
    part.replace(path)


def _path(folder: Path, seed: int) -> Path:
    return folder / f"{seed:04d}.json"
