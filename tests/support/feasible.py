"""What a machine may have been measured to be, made by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

from lobproof.assess.feasibility import (
    LARGE_HOUR,
    STRATEGIES,
    Feasibility,
    Memory,
    Projection,
    Run,
)
from lobproof.assess.feasibility_decimals import Cost, Decimals
from lobproof.assess.feasibility_disk import Disk
from lobproof.pipeline.job import Strategy


def machine_run(strategy: Strategy, **changes: Any) -> Run:
    """A run that is good in every way, but for the changes."""
    run = Run(
        data="simulated",
        strategy=strategy,
        limit_bytes=None,
        finished=True,
        problem="",
        memory=Memory(600_000_000, 700_000_000, 3_500_000_000, 300),
        events=8_000_000,
        seconds=4.0,
        input_bytes=50_000_000,
        output_bytes=40_000_000,
        hour_events=LARGE_HOUR,
    )
    return dataclasses.replace(run, **changes)


def found(*runs: Run, **changes: Any) -> Feasibility:
    """A good machine; by default with a run of each strategy."""
    cost = Cost(1e7, 2e7, 4.0)
    projection = Projection("simulated", "full", "month", 2, 2.2e11, 3e10, 4.0, 1.6e11, True)
    good = Feasibility(
        quick=False,
        machine="Linux x86_64",
        cores=2,
        memory_bytes=1 << 34,
        runs=runs or tuple(map(machine_run, STRATEGIES)),
        decimals=Decimals(2, cost, cost, True, True, 0.0, "refused", "exact", True, True),
        disk=Disk(1 << 29, 5e8, 8e8, True, "O_DIRECT", 1 << 40, 1 << 39),
        projections=(projection,),
    )
    return dataclasses.replace(good, **changes)
