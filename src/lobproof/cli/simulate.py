"""``lobproof simulate``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from lobproof.cli.console import Json, Switch, out, print_json, progress, show_next
from lobproof.sources.simulator import SimulationResult
from lobproof.sources.simulator import simulate as simulate_market


def simulate(
    *,
    out_: Annotated[Path, Parameter(name="--out")],
    preset: Literal["btc", "eth", "nexo", "perp"] = "btc",
    market: Literal["spot", "futures"] | None = None,
    minutes: float = 10.0,
    start: str = "2026-01-05T00:00:00Z",
    seed: int = 7,
    snapshot_every: float | None = None,
    lake: Switch = False,
    recording: bool = True,
    json_: Json = False,
) -> int:
    """Simulate an exchange and write what a recorder (or Crypto Lake) would have of it.

    Synthetic, and marked so: by the file names, by `simulation.json` beside them, by the first line
    of each recording, and by the symbol SIMUSDT.

    Parameters
    ----------
    out_
        Folder to make.
    preset
        Character of the market.
    market
        By default as the preset has it.
    minutes
        Simulated time.
    start
        UTC.
    seed
        The same seed gives the same data.
    snapshot_every
        Seconds between REST snapshots after the first; by default there is no other.
    lake
        Also write Crypto Lake's tables trades, book and book_delta_v2.
    recording
        Write a collector's recording.
    json_
        Print the summary as JSON.
    """
    with progress("simulating") as (bar, task):
        result = simulate_market(
            out_,
            preset=preset,
            market=market,
            minutes=minutes,
            start=start,
            seed=seed,
            snapshot_every=snapshot_every,
            lake=lake,
            recording=recording,
            progress=lambda _, done, total: bar.update(task, completed=done, total=total),
        )
    if json_:
        print_json({"provenance": "synthetic", **asdict(result)})
        return 0
    show_simulation(result)
    if result.recordings:
        show_next("import", *result.recordings, "--out", "GOLDEN")
    elif result.lake:
        show_next("reconstruct", result.lake, "--out", "STORE")
    return 0


def show_simulation(result: SimulationResult) -> None:
    """What was written."""
    counts = ", ".join(f"{name} {count:,}" for name, count in result.counts.items())
    out().print(f"Synthetic market: {counts}")
    for file in result.files:
        out().print(f"  {file} ({file.stat().st_size / 1e6:,.1f} MB)", soft_wrap=True)
