"""``reconstruct``: a golden sample into sealed days of a store.

A task is a pure function of its inputs and its options; its id is their hash. Days are sealed one
after the other: a killed task leaves the days that it sealed, and a second run goes on from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from lobproof.errors import InputError, UsageError
from lobproof.pipeline.day import DayCounts, DayTask
from lobproof.replay import (
    BookAudit,
    Merge,
    Replayer,
    StreamClock,
    Stretch,
    TradeAudit,
    stamped,
)
from lobproof.schema import EventBatch
from lobproof.schema.tables import FORMAT_VERSION, PART_ROWS
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.store import DayWriter, commit_day, sealed, symbol_lock

DAY_NS = 86_400_000_000_000
STATE_SPACING = {"all": 0, "100ms": 100_000_000, "1s": 1_000_000_000, "none": -1}
"""``states`` option → ns between states (0: each message end, -1: none)."""


@dataclass(frozen=True, slots=True)
class ReconstructOptions:
    """What shapes the content of a reconstructed day; recorded in its seal.

    ``part_rows`` is a constant of the format; tests make it small.
    """

    states: str = "all"
    keyframe_seconds: int = 600
    part_rows: int = PART_ROWS

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.states not in STATE_SPACING:
            raise UsageError(
                f"states={self.states!r} is unknown", hint=f"choose from {', '.join(STATE_SPACING)}"
            )
        if self.keyframe_seconds < 1 or self.part_rows < 1:
            raise UsageError(
                "keyframe_seconds and part_rows must be at least 1", hint="leave them at defaults"
            )


@dataclass(frozen=True, slots=True)
class DayResult:
    """One sealed day: its counts, its content hash, and whether this run committed it."""

    dt: str
    counts: DayCounts
    content_hash: str
    committed: bool


@dataclass(frozen=True, slots=True)
class ReconstructResult:
    """What a task made. ``reused``: everything was there already and nothing was done."""

    exchange: str
    symbol: str
    provenance: str
    task_id: str
    days: tuple[DayResult, ...]
    reused: bool = False


Progress = Callable[[int, int], None]
"""Called with (events so far, ``ts_order`` reached)."""


def reconstruct(
    source: Path,
    out: Path,
    options: ReconstructOptions | None = None,
    *,
    strict: bool = False,
    overwrite: bool = False,
    batch_rows: int = 1 << 16,
    progress: Progress | None = None,
    waiting: Callable[[str], None] | None = None,
) -> ReconstructResult:
    """Replay the golden sample ``source`` into the store ``out``.

    Parameters
    ----------
    source, out
        Folder of the golden sample; folder of the store, made if missing.
    options
        What shapes the content.
    strict
        Raise instead of flagging the first gap or doubt.
    overwrite
        Write every day anew, also days that were sealed from other inputs or options: repairs a
        store whose files are damaged.
    batch_rows
        Rows decoded at a time; no effect on the result.
    progress, waiting
        Called now and then with the position, and when another process holds the symbol's lock.

    Raises
    ------
    InputError
        If the sample is damaged, or holds neither book messages nor trades.
    UsageError
        If a day is sealed from something else and ``overwrite`` is not set.
    StrictError
        In strict mode.
    """
    options = options or ReconstructOptions()
    golden = GoldenSource(GoldenSample.load(source))
    instrument = golden.instrument
    task_id = _task_id(golden, options)
    with symbol_lock(out, instrument.exchange, instrument.symbol, waiting=waiting):
        seals = sealed(out, instrument.exchange, instrument.symbol)
        ours = seals.filter(pl.col("task_id") == task_id).sort("task_part")
        # a seal that somebody deleted, as the audit advises for a damaged day, is to be made anew
        parts = ours["task_part"].to_list()
        if parts == list(range(len(parts))) and ours["task_last"].any() and not overwrite:
            return ReconstructResult(
                instrument.exchange,
                instrument.symbol,
                golden.provenance,
                task_id,
                tuple(_sealed_day(row) for row in ours.iter_rows(named=True)),
                reused=True,
            )
        run = _Run(golden, out, options, task_id, seals, strict=strict, overwrite=overwrite)
        days = run.replay(batch_rows, progress)
    return ReconstructResult(
        instrument.exchange, instrument.symbol, golden.provenance, task_id, days
    )


def ordered_events(golden: GoldenSource, batch_rows: int) -> Iterator[EventBatch]:
    """The sample's events, judged and in the order of the ``events`` table."""
    offset, days = golden.clock_offset_ns, golden.sample.receive_days
    received = [int(np.datetime64(day, "D").astype(np.int64)) for day in days]
    book_audit, trade_audit = BookAudit(), TradeAudit()
    book = (Stretch.of(book_audit.process(batch)) for batch in golden.book(batch_rows))
    trades = (Stretch.of(trade_audit.process(batch)) for batch in golden.trades(batch_rows))
    merged = Merge(
        stamped(book, StreamClock(offset, receive_days=received)),
        stamped(trades, StreamClock(offset, receive_days=received)),
    )
    return (stretch.events for stretch in merged)


class _Run:
    """One run of a task: opens, fills and seals its days one after the other."""

    def __init__(
        self,
        golden: GoldenSource,
        out: Path,
        options: ReconstructOptions,
        task_id: str,
        seals: pl.DataFrame,
        *,
        strict: bool,
        overwrite: bool,
    ) -> None:
        self._golden = golden
        self._out = out
        self._options = options
        self._task_id = task_id
        self._seals = seals
        self._strict = strict
        self._overwrite = overwrite
        self._replayer = Replayer(golden.instrument, state_every=STATE_SPACING[options.states])
        self._done: list[DayResult] = []
        self._carried_from = ""

    def replay(self, batch_rows: int, progress: Progress | None) -> tuple[DayResult, ...]:
        day: DayTask | None = None
        events = 0
        try:
            for batch in ordered_events(self._golden, batch_rows):
                start = 0
                while start < len(batch):
                    number = int(batch.ts_order[start]) // DAY_NS
                    stop = int(np.searchsorted(batch.ts_order, (number + 1) * DAY_NS))
                    dt = datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()
                    if day is None or day.dt != dt:
                        if day is not None:
                            self._finish(day, last=False)
                        day = self._open(dt)
                    day.append(batch.slice(start, stop))
                    start = stop
                events += len(batch)
                if progress is not None and len(batch):
                    progress(events, int(batch.ts_order[-1]))
            if day is None:
                raise InputError(
                    f"{self._golden.sample.path} holds neither depth messages nor trades",
                    hint="import a recording that has a depth stream",
                )
            self._finish(day, last=True)
        except BaseException:
            if day is not None:
                day.abort()
            raise
        return tuple(self._done)

    def _open(self, dt: str) -> DayTask:
        before = self._seals.filter(pl.col("dt") == dt)
        writer: DayWriter | None = None
        ours = not before.is_empty() and before["task_id"][0] == self._task_id
        if self._overwrite or not ours:
            if not before.is_empty() and not self._overwrite:
                raise UsageError(
                    f"{dt} of {self._golden.instrument.symbol} is sealed in {self._out} already, "
                    "from other inputs or with other options",
                    hint="--overwrite replaces it; another --out keeps both",
                )
            writer = DayWriter(
                self._out,
                self._golden.instrument,
                dt,
                states=self._options.states != "none",
                part_rows=self._options.part_rows,
            )
        return DayTask(
            dt,
            self._replayer,
            writer,
            keyframe_ns=self._options.keyframe_seconds * 1_000_000_000,
            strict=self._strict,
        )

    def _finish(self, day: DayTask, *, last: bool) -> None:
        content, counts = day.finish()
        dt = day.dt
        if content is None:
            row = self._seals.filter(pl.col("dt") == dt).row(0, named=True)
            self._carried_from = row["keyframes_hash"]
            self._done.append(replace(_sealed_day(row), counts=counts))
            return
        committed = commit_day(
            self._out,
            content,
            {
                "provenance": self._golden.provenance,
                "certified": False,
                "strategy": "full",
                "trades": counts.trades,
                "book_messages": counts.book_messages,
                "gaps": counts.gaps,
                "doubtful_ns": counts.doubtful_ns,
                "inputs": [
                    {key: entry[key] for key in ("name", "bytes", "sha256")}
                    for entry in self._golden.inputs
                ],
                "config": {
                    **asdict(self._options),
                    "ordered_by": "receive" if dt in self._golden.sample.receive_days else "event",
                },
                "carried_from": self._carried_from,
                "task_id": self._task_id,
                "task_part": len(self._done),
                "task_last": last,
                "verdicts": {"findings": counts.findings},
            },
        )
        self._carried_from = content.hashes["keyframes"]
        self._done.append(DayResult(dt, counts, content.content_hash, committed))


def _task_id(golden: GoldenSource, options: ReconstructOptions) -> str:
    identity = {
        "inputs": [entry["sha256"] for entry in golden.sample.document["journals"]],
        "instrument": golden.instrument.to_dict(),
        "provenance": golden.provenance,
        "options": asdict(options),
        "format": FORMAT_VERSION,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _sealed_day(row: dict[str, object]) -> DayResult:
    counts = DayCounts(
        events=int(str(row["events"])),
        trades=int(str(row["trades"])),
        book_messages=int(str(row["book_messages"])),
        gaps=int(str(row["gaps"])),
        doubtful_ns=int(str(row["doubtful_ns"])),
        findings=dict(json.loads(str(row["verdicts"]))["findings"]),
    )
    return DayResult(str(row["dt"]), counts, str(row["content_hash"]), committed=False)
