"""``infer_grid``: the decimal grid, ticks and lots of a day, from every value of its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lobproof.errors import GridError
from lobproof.fixedpoint import MAX_COUNT
from lobproof.fixedpoint.float_kernels import floats_exponent, floats_to_counts
from lobproof.instruments import Instrument, Rule, infer_step
from lobproof.schema import Int64
from lobproof.sources.cryptolake.chunks import (
    BOOK_CHUNK_ROWS,
    CHUNK_ROWS,
    Chunk,
    LakeFile,
    chunks,
    floats,
    integers,
)
from lobproof.sources.cryptolake.decode_kernels import to_microsecond
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS

SAMPLED_ROWS = 1 << 18
"""Rows of a table, evenly over the day, that ticks and lots are inferred from."""
ENOUGH = 2_000
"""Values on either side of a change of the rules: fewer may be round by chance."""
CLEARLY_OFF = 0.25
"""Least share of the values off the coarser step while the finer one is in force."""
_NEARLY = 0.95  # after a change to a coarser step, older orders keep the finer
_THREADS = 2
_COLUMNS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "book_delta_v2": (("price",), ("size",)),
    "trades": (("price",), ("amount",)),
    "book": (LEVEL_COLUMNS[0::2], LEVEL_COLUMNS[1::2]),
}
"""Prices and sizes of each table; ticks and lots follow from the first table that is there."""
_SLACK = 8  # values by which chance may move a change: round ones before it, older ones after
_LATE = 10**9  # ns by which a change may show later than it was made
_ROUND = (3_600 * 10**9, 60 * 10**9)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Largest:
    """A finite value above all others so far, and where it is."""

    value: float = 0.0
    where: str = ""


@dataclass(slots=True)
class _Survey:
    """What some rows need: exponents, the largest price and size, and some of the values."""

    exponents: list[int]
    largest: list[_Largest]
    rows: list[Int64]
    prices: list[Floats]
    sizes: list[Floats]

    @classmethod
    def new(cls) -> _Survey:
        return cls([0, 0], [_Largest(), _Largest()], [], [], [])

    def add(self, other: _Survey) -> None:
        """Take in what later rows need."""
        self.exponents = [max(pair) for pair in zip(self.exponents, other.exponents, strict=True)]
        for at, one in enumerate(other.largest):
            if one.value > self.largest[at].value:
                self.largest[at] = one
        self.rows += other.rows
        self.prices += other.prices
        self.sizes += other.sizes


@dataclass(frozen=True, slots=True)
class _Sample:
    """Counts of one table, evenly over the day, and the row of each among the table's files."""

    table: str
    rows: Int64
    prices: Int64
    sizes: Int64


def infer_grid(
    paths: Mapping[str, Sequence[Path]],
    exchange: str,
    symbol: str,
    *,
    venue_symbol: str | None = None,
) -> Instrument:
    """The instrument of a day: the coarsest grid that holds every price and size of its files.

    Every value is looked at, in two threads. Ticks are steps of the prices of levels that
    ``book_delta_v2`` sets (else of ``trades``, else of ``book``), lots of the sizes there and of
    the amounts of ``trades``: what 99.9 % of a sample over the day are multiples of. Where the
    step changes once, for good, and clearly, rules are dated: by the whole hour or minute that lies
    within a few values or a second of the change, else by the first value after it.

    Parameters
    ----------
    paths
        Table → its files of the day, in order.
    venue_symbol
        The venue's own name; by default ``symbol``.

    Raises
    ------
    GridError
        For a value that no grid holds, and for one that is too large for the grid that the others
        need, naming file and row. A null or NaN price or size of ``book`` is an empty slot.
    InputError
        When a file cannot be read or is not its table.
    """
    found = _Survey.new()
    samples: list[tuple[str, _Survey]] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for table in _COLUMNS:
            if not paths.get(table):
                continue
            survey = _Survey.new()
            for part in pool.map(lambda one: _survey(*one), _parts(table, paths[table])):
                survey.add(part)
            found.add(survey)
            samples.append((table, survey))
    for exponent, largest in zip(found.exponents, found.largest, strict=True):
        if largest.value * 10.0**exponent >= float(MAX_COUNT):
            raise GridError(
                f"{largest.where}: {largest.value!r} is too large for int64 counts of "
                f"10^-{exponent}, which other values of the day need",
                hint="one of them is no market's; `lobproof acquire validate` tells which",
            )
    counted = [_counted(table, survey, *found.exponents) for table, survey in samples]
    return Instrument(
        exchange,
        symbol,
        symbol if venue_symbol is None else venue_symbol,
        found.exponents[0],
        found.exponents[1],
        _rules(counted, paths),
    )


_Part = tuple[LakeFile, int, int, int, int]


def _parts(table: str, paths: Sequence[Path]) -> list[_Part]:
    """A part of each file for each thread: file, first, stop, rows ahead, every how many."""
    files = []
    for path in paths:
        files.append(LakeFile(table, path))
        files[-1].close()
    rows = [file.rows for file in files]
    every = max(-(-sum(rows) // SAMPLED_ROWS), 1)
    ahead = np.cumsum([0, *rows])
    return [
        (file, file.rows * k // _THREADS, file.rows * (k + 1) // _THREADS, int(before), every)
        for file, before in zip(files, ahead[:-1], strict=True)
        for k in range(_THREADS)
    ]


def _survey(closed: LakeFile, first: int, stop: int, ahead: int, every: int) -> _Survey:
    survey = _Survey.new()
    prices, sizes = _COLUMNS[closed.table]
    chunk_rows = BOOK_CHUNK_ROWS if closed.table == "book" else CHUNK_ROWS
    file = LakeFile(closed.table, closed.path, closed)
    try:
        for chunk in file.chunks([*prices, *sizes], chunk_rows, first, stop):
            for at, columns in enumerate((prices, sizes)):
                for raw in columns:
                    _look(survey, at, chunk, raw)
            row = ahead + chunk.first_row
            skipped = -row % every
            survey.rows.append(np.arange(row + skipped, row + len(chunk), every))
            survey.prices.append(floats(chunk, prices[0])[skipped::every].copy())
            survey.sizes.append(floats(chunk, sizes[0])[skipped::every].copy())
    finally:
        file.close()
    return survey


def _look(survey: _Survey, at: int, chunk: Chunk, raw: str) -> None:
    values = floats(chunk, raw)
    if chunk.table == "book" and np.isnan(values.min()):
        values = np.nan_to_num(values, posinf=np.inf, neginf=-np.inf)
        values.flags.writeable = False
    survey.exponents[at], bad = floats_exponent(values, survey.exponents[at])
    if bad >= 0:
        raise GridError(
            f"{chunk.where(bad)}: no decimal grid holds {raw} {float(values[bad])!r}",
            hint="`lobproof acquire validate` tells what else is wrong with the file",
        )
    largest = float(values.max())
    if largest > survey.largest[at].value:
        row = int(np.argmax(values))
        survey.largest[at] = _Largest(largest, f"{chunk.where(row)}, {raw}")


def _counted(table: str, survey: _Survey, price_exponent: int, size_exponent: int) -> _Sample:
    """The sample's levels that hold something, as counts."""
    prices, sizes = (np.concatenate([np.empty(0), *v]) for v in (survey.prices, survey.sizes))
    rows = np.concatenate([np.empty(0, np.int64), *survey.rows])
    held = (prices > 0.0) & (sizes > 0.0)
    return _Sample(
        table,
        rows[held],
        _counts(prices[held], price_exponent),
        _counts(sizes[held], size_exponent),
    )


def _counts(values: Floats, exponent: int) -> Int64:
    counts = np.zeros(len(values), np.int64)
    values.flags.writeable = False
    floats_to_counts(values, exponent, counts)
    return counts


def _rules(samples: Sequence[_Sample], paths: Mapping[str, Sequence[Path]]) -> tuple[Rule, ...]:
    """Rules from the samples, in the order of ``_COLUMNS``; one of one count without values."""
    samples = [sample for sample in samples if len(sample.rows)]
    if not samples:
        return (Rule(0, 1, 1),)
    first = samples[0]
    files = paths[first.table]
    ticks = _dated(first, first.prices, first.prices, files)
    amounts = [one.sizes for one in samples if one.table != "book"] or [first.sizes]
    lots = _dated(first, first.sizes, np.concatenate(amounts), files)
    dates = sorted(ticks.keys() | lots.keys())
    return tuple(Rule(since, _in_force(ticks, since), _in_force(lots, since)) for since in dates)


def _in_force(steps: Mapping[int, int], since: int) -> int:
    return steps[max(date for date in steps if date <= since)]


def _dated(
    sample: _Sample, counts: Int64, all_counts: Int64, files: Sequence[Path]
) -> dict[int, int]:
    """Step by the time from which it is in force: one from 0 on, or two."""
    change = find_change(counts)
    if change is not None:
        at, before, after = change
        places = (at - _SLACK, at, at + _SLACK)
        early, time, late = (_time(sample.table, files, int(sample.rows[k])) for k in places)
        if not 0 < early <= time <= late:
            early = late = time
        if time > 0:
            return {0: before, roundest(min(early, time - _LATE), time, late): after}
    return {0: infer_step(all_counts)}


def find_change(counts: Int64) -> tuple[int, int, int] | None:
    """Where the step of values in time's order changes for good: index, step before, step after.

    A change is told only where it is clear: ``ENOUGH`` values on either side; nearly all values
    on the one side multiples of the coarser step, and of those on the other at least a share
    ``CLEARLY_OFF`` not. The place is that of the greatest departure from an even share of them.
    """
    if len(counts) < 2 * ENOUGH:
        return None
    head, tail = infer_step(counts[:ENOUGH], _NEARLY), infer_step(counts[-ENOUGH:], _NEARLY)
    if head == tail:
        return None
    off = counts % max(head, tail) != 0
    lean = np.cumsum(off - off.mean())
    at = int(np.argmax(lean) if head < tail else np.argmin(lean)) + 1
    if not ENOUGH <= at <= len(counts) - ENOUGH:
        return None
    finer, coarser = (counts[:at], counts[at:]) if head < tail else (counts[at:], counts[:at])
    fine, coarse = infer_step(finer), infer_step(coarser, _NEARLY)
    if fine >= coarse or np.count_nonzero(finer % coarse) < CLEARLY_OFF * len(finer):
        return None
    return (at, fine, coarse) if head < tail else (at, coarse, fine)


def roundest(early: int, time: int, late: int) -> int:
    """The latest whole hour above ``early`` and up to ``late``, else minute, else ``time``.

    Venues change their rules at round times.
    """
    for unit in _ROUND:
        found = late // unit * unit
        if found > early:
            return found
    return time


def _time(table: str, files: Sequence[Path], row: int) -> int:
    """Exchange time of a row, else its receive time; 0 for neither."""
    for chunk in chunks(table, files, ("timestamp", "receipt_timestamp"), 1, row):
        for raw in chunk.columns:
            time = to_microsecond(int(integers(chunk, raw, 0)[0]))
            if time:
                return time
        break
    return 0
