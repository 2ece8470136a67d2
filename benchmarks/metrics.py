"""What the metrics of a day cost: beside its reconstruction, from its tables, and held against it.

Each step runs in a process of its own, which compiles and warms up on a small day first.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.lake_day import simulated_lake
from benchmarks.reconstruct_lake import BATCH_ROWS, WARM_MINUTES, WARM_ROWS, child, main
from benchmarks.report import Budget, Section, Spread, number

from lobproof.fidelity.exact.window import Window
from lobproof.fidelity.gates.report import Against, FidelityReport
from lobproof.fidelity.gates.same_window import SameWindow, compare
from lobproof.fidelity.gates.settings import Level
from lobproof.fidelity.metrics.measure import measure, measured
from lobproof.pages.fidelity import fidelity_page
from lobproof.pipeline.lake import lake_days, reconstruct_day
from lobproof.pipeline.prove import stored_trade_times
from lobproof.store import Store, open_store

SHARE, MORE_MIB, COMPARE_S, PAGE_S, PAGE_MB = 10.0, 200.0, 10.0, 10.0, 5.0


def _with(folder: Path, out: Path) -> dict[str, Any]:
    return _reconstructed(folder, out, metrics=True)


def _without(folder: Path, out: Path) -> dict[str, Any]:
    return _reconstructed(folder, out, metrics=False)


def _reconstructed(folder: Path, out: Path, *, metrics: bool) -> dict[str, Any]:
    day = lake_days(folder)[0]  # the last seconds may lie behind midnight
    result = reconstruct_day(day, out, batch_rows=BATCH_ROWS, metrics=metrics).days[0]
    return {"events": result.counts.events, "trades": result.counts.trades}


def _measured(folder: Path, out: Path) -> dict[str, Any]:
    """From the tables."""
    store, dt = _day(folder, out)
    return {"blocks": len(measure(store, None, dt).start)}


def _compared(level: Level) -> Callable[[Path, Path], dict[str, Any]]:
    def run(folder: Path, out: Path) -> dict[str, Any]:
        """Gate C of the kept blocks against themselves."""
        store, dt = _day(folder, out)
        return {"compared": len(_against_itself(store, dt, level).compared)}

    return run


def _page(folder: Path, out: Path) -> dict[str, Any]:
    """Gate C at the level `standard`, and the page."""
    store, dt = _day(folder, out)
    exchange, symbol, provenance = store.days().select("exchange", "symbol", "provenance").row(0)
    same = _against_itself(store, dt, Level.STANDARD)
    blocks = measured(store, None, dt)
    span_ns = int(blocks.start[0]), int(blocks.start[-1]) + blocks.scale.block_ns
    against = Against("itself", same=same, days=(dt,), span_ns=span_ns, blocks=(blocks, blocks))
    report = FidelityReport(exchange, symbol, provenance, (against,))
    began = process_time()
    page = fidelity_page(report, out.with_name(f"{out.name}.html"), store=store)
    return {"page_s": process_time() - began, "bytes": page.stat().st_size}


def _against_itself(store: Store, dt: str, level: Level) -> SameWindow:
    blocks = measured(store, None, dt)
    times = None
    if level is Level.FULL:
        exchange, symbol = store.days().select("exchange", "symbol").row(0)
        times = (stored_trade_times(Window(store, exchange, symbol, (dt,))),) * 2
    return compare(blocks, blocks, level=level, trade_times=times)


def _day(folder: Path, out: Path) -> tuple[Store, str]:
    """The store, made if it is not there: as of the day that warms up."""
    if not out.exists():
        _with(folder, out)
    store = open_store(out)
    (dt,) = store.days()["dt"]
    return store, dt


STEPS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "with": _with,
    "without": _without,
    "measured": _measured,
    **{level.value: _compared(level) for level in Level},
    "page": _page,
}


def costs(scratch: Path, rows: int, repeats: int, say: Callable[[str], None]) -> Section:
    """The section of a day of about ``rows`` deltas."""
    warm, lake = scratch / "warm", scratch / "day"
    say(f"a day of {rows / 1e6:g} M deltas")
    made = simulated_lake(warm, WARM_ROWS, WARM_MINUTES), simulated_lake(lake, rows)
    stores = {name: scratch / f"store-{name}" for name in ("without", "with")}
    runs: dict[str, list[dict[str, Any]]] = {}

    def run(step: str, store: Path) -> None:
        say(f"  {step}")
        found = child(step, *made, store, module="benchmarks.metrics")
        runs.setdefault(step, []).append(found)

    for turn in range(repeats):  # in turns, each goes first as often
        for name in sorted(stores, reverse=turn % 2 == 1):
            shutil.rmtree(stores[name], ignore_errors=True)
            run(name, stores[name])
    for step in STEPS:
        if step not in stores:
            run(step, stores["with"])
    return _section(rows, stores["with"], runs)


def _section(rows: int, store: Path, runs: dict[str, list[dict[str, Any]]]) -> Section:
    section = Section(
        "metrics",
        "Metrics: what a day's cost",
        "Data: **synthetic**, a whole day of Crypto Lake files of the preset `perp`: about "
        f"{rows / 1e6:g} M deltas, {runs['with'][0]['events']:,} events, of them "
        f"{runs['with'][0]['trades']:,} trades, {runs['measured'][0]['blocks']:,} blocks.",
    )
    spreads = {
        (step, what): Spread(tuple(float(one[what]) for one in found))
        for step, found in runs.items()
        for what in ("clock", "used", "peak")
    }
    names = {
        "without": "reconstruction without metrics",
        "with": "with metrics, their files written",
        "measured": "metrics of the stored tables",
        **{level.value: f"gate C against itself, level {level.value}" for level in Level},
        "page": "gate C, level standard, and the page of it",
    }
    section.table(
        "Each step in a process of its own",
        ("", "seconds", "processor seconds", "peak memory, MiB"),
        [
            [words, *(spreads[step, what] for what in ("clock", "used", "peak"))]
            for step, words in names.items()
        ],
    )
    files = sum(one.stat().st_size for one in (store / "metrics").rglob("*.parquet"))
    section.text(f"The files of the metrics take {number(files / 1e6)} MB.")
    more = spreads["with", "used"].over(spreads["without", "used"]).median
    peak = spreads["with", "peak"].median - spreads["without", "peak"].median
    worst = max(spreads[level.value, "used"].median for level in Level)
    section.budgets += [
        Budget("metrics, share of the reconstruction's time", SHARE, "%", 100 * (more - 1), True),
        Budget("metrics, memory beyond the reconstruction's", MORE_MIB, "MiB", peak, True),
        Budget("gate C of a day, any level", COMPARE_S, "s", worst, True),
        Budget("the page of a day, drawn", PAGE_S, "s", runs["page"][0]["page_s"], True),
        Budget("bytes of the page", PAGE_MB, "MB", runs["page"][0]["bytes"] / 1e6, True),
    ]
    return section


if __name__ == "__main__":
    main(STEPS)
