"""``lobproof demo``: simulate, import, reconstruct, verify, report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from lobproof.cli.console import duration, err, out, progress
from lobproof.cli.reconstruct.show import show_results
from lobproof.cli.report import drawn
from lobproof.cli.verify import verified
from lobproof.errors import UsageError, need_extra
from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.render import render_report
from lobproof.pipeline import reconstruct_sample
from lobproof.sources.recordings.importer import import_recordings
from lobproof.sources.simulator import simulate
from lobproof.store import open_store

_SNAPSHOT_EVERY_S = 120.0


def demo(
    *,
    out_: Annotated[Path, Parameter(name="--out")] = Path("demo"),
    minutes: float = 10.0,
    seed: int = 7,
) -> int:
    """The whole chain on a simulated exchange, ending with a report to open.

    simulate, import, reconstruct, verify, report; two to three minutes the first time, kernels
    compiled included. What it shows is synthetic: it proves the tool, not a market.

    Parameters
    ----------
    out_
        Folder for everything that the demonstration makes.
    minutes
        Simulated time.
    seed
        The same seed gives the same market.
    """
    if minutes <= 0:
        raise UsageError("--minutes must be above 0", hint="leave it out for ten minutes")
    need_extra("report")
    console, notes = out(), err()
    folder = out_ / f"seed-{seed}-{minutes:g}min"
    began = time.perf_counter()

    def step(number: int, text: str) -> None:
        notes.print(Text.assemble((f"{number}/5", "bold"), f" {text}"))

    step(1, f"simulate {minutes:g} minutes of an exchange (synthetic)")
    with progress("simulating") as (bar, task):
        simulation = simulate(
            folder / "recording",
            minutes=minutes,
            seed=seed,
            snapshot_every=_SNAPSHOT_EVERY_S,
            progress=lambda _, done, total: bar.update(task, completed=done, total=total),
        )
    files = simulation.recordings
    step(2, f"import its recording as a golden sample: {len(files)} file(s)")
    with progress("importing"):
        sample = import_recordings(files, folder / "golden")
    step(3, "reconstruct: order book and event stream")
    mark = time.perf_counter()
    with progress("reconstructing"):
        result = reconstruct_sample(folder / "golden", folder / "store")
    show_results([result], time.perf_counter() - mark)
    step(4, "verify: every level change, trade and ticker against the sample")
    store = open_store(folder / "store")
    report = verified(store, sample.path)
    console.print(render_report(report))
    step(5, "draw the report")
    page = drawn(store, folder / "report.html", verification=[report])
    seconds = duration(int((time.perf_counter() - began) * 1e9))
    console.print(f"\nDEMO (synthetic data) finished in {seconds}.")
    console.print(f"Open the report: {page.resolve()}", soft_wrap=True)
    return 0 if report.verdict == Verdict.PASS else 1
