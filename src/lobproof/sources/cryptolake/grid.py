"""The decimal grid of a day, its ticks and lots, and when they change: from its files' values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

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
    SPANS,
    AnyFile,
    Chunk,
    LakeFile,
    Span,
    closed_files,
    floats,
    integers,
    read_spans,
    spread,
)
from lobproof.sources.cryptolake.decode_kernels import to_microsecond
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS

_THREADS = 2
_FEWER = SPANS // 8
"""Spans of the tables that ticks are not inferred from."""
_COLUMNS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "book_delta_v2": (("price",), ("size",)),
    "trades": (("price",), ("amount",)),
    "book": (LEVEL_COLUMNS[0::2], LEVEL_COLUMNS[1::2]),
}
"""Prices and sizes of each table; ticks and lots follow from the first table that is there."""
_SLACK = 8  # values by which chance may move a change: round ones before it, older ones after
_LATE = 10**9  # ns by which a change may show later than it was made

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Largest:
    """A finite value above all others so far, and where it is."""

    value: float = 0.0
    where: str = ""


@dataclass(slots=True)
class _Needs:
    """What some rows need: exponents of prices and sizes, and the largest of both."""

    exponents: list[int]
    largest: list[_Largest]

    @classmethod
    def none(cls) -> _Needs:
        return cls([0, 0], [_Largest(), _Largest()])

    def look(self, chunk: Chunk) -> None:
        """Take in rows with all prices and sizes of their table."""
        for names in zip(*_COLUMNS[chunk.table], strict=True):
            pair = [floats(chunk, raw) for raw in names]
            if chunk.table == "book":
                pair = _filled(*pair)
            for at, (raw, values) in enumerate(zip(names, pair, strict=True)):
                self._look(at, chunk, raw, values)

    def add(self, other: _Needs) -> None:
        """Take in what later rows need."""
        self.exponents = [max(pair) for pair in zip(self.exponents, other.exponents, strict=True)]
        for at, one in enumerate(other.largest):
            if one.value > self.largest[at].value:
                self.largest[at] = one

    def _look(self, at: int, chunk: Chunk, raw: str, values: Floats) -> None:
        self.exponents[at], bad, row = floats_exponent(values, self.exponents[at])
        if bad >= 0:
            raise GridError(
                f"{chunk.where(bad)}: no decimal grid holds {raw} {float(values[bad])!r}",
                hint="`lobproof acquire validate` tells what else is wrong with the file",
            )
        if row >= 0 and values[row] > self.largest[at].value:
            self.largest[at] = _Largest(float(values[row]), f"{chunk.where(row)}, {raw}")


def _filled(prices: Floats, sizes: Floats) -> list[Floats]:
    """A slot of books with 0 where it is empty: decoding looks at neither of its values there."""
    held = (prices != 0.0) & (sizes != 0.0) & ~np.isnan(prices) & ~np.isnan(sizes)
    if held.all():
        return [prices, sizes]
    pair = [np.where(held, values, 0.0) for values in (prices, sizes)]
    for values in pair:
        values.flags.writeable = False  # kernels are compiled once, for Arrow's own memory
    return pair


@dataclass(frozen=True, slots=True)
class _Sample:
    """Best prices and sizes of rows of a table that hold something, and the rows' numbers."""

    table: str
    rows: Int64
    prices: Floats
    sizes: Floats


def infer_grid(
    paths: Mapping[str, Sequence[AnyFile]],
    exchange: str,
    symbol: str,
    *,
    venue_symbol: str | None = None,
    whole: bool = True,
) -> Instrument:
    """The instrument of a day: the coarsest grid that holds every price and size of its files.

    Ticks are steps of the prices of levels that ``book_delta_v2`` sets (else of ``trades``, else
    of ``book``), lots of the sizes there and of the amounts of ``trades``: what 99.9 % of a sample
    over the day are multiples of. Where the step changes once, for good, and clearly, rules are
    dated: by the whole hour or minute that lies within a few values or a second of the change,
    else by the first value after it.

    Parameters
    ----------
    paths
        Table → its files of the day, in order.
    venue_symbol
        The venue's own name; by default ``symbol``.
    whole
        Look at every value, in two threads. Else the sample is all that is read: the same
        instrument, unless a value elsewhere needs a finer grid, which decoding it then says.

    Raises
    ------
    GridError
        For a finite value that no grid holds, and for one that is too large for the grid that the
        others need, naming file and row; of a sample, for one beside it that its grid does not
        hold. A slot of ``book`` whose price or size is null, NaN or 0 is empty, whatever else
        stands in it. Values that are not finite need no grid.
    InputError
        When a file cannot be read or is not its table.
    """
    tables = {one: closed_files(one, paths[one]) for one in _COLUMNS if paths.get(one)}
    needs = _Needs.none()
    if whole:
        with ThreadPoolExecutor(_THREADS) as pool:
            for files in tables.values():
                for part in pool.map(lambda one: _looked_at(*one), _parts(files)):
                    needs.add(part)
    samples: list[_Sample] = []
    for files in tables.values():
        spans = spread(sum(file.rows for file in files), _FEWER if samples else SPANS)
        samples.append(_sample(files, spans, None if whole else needs))
    for exponent, largest in zip(needs.exponents, needs.largest, strict=True):
        if largest.value * 10.0**exponent >= float(MAX_COUNT):
            raise GridError(
                f"{largest.where}: {largest.value!r} is too large for int64 counts of "
                f"10^-{exponent}, which other values of the day need",
                hint="one of them is no market's; `lobproof acquire validate` tells which",
            )
    return Instrument(
        exchange,
        symbol,
        symbol if venue_symbol is None else venue_symbol,
        needs.exponents[0],
        needs.exponents[1],
        _rules([one for one in samples if len(one.rows)], tables, needs.exponents),
    )


def _parts(files: Sequence[LakeFile]) -> list[tuple[LakeFile, int, int]]:
    """A part of each file for each thread: file, first row, the first one no more."""
    return [
        (file, file.rows * k // _THREADS, file.rows * (k + 1) // _THREADS)
        for file in files
        for k in range(_THREADS)
    ]


def _looked_at(closed: LakeFile, first: int, stop: int) -> _Needs:
    needs = _Needs.none()
    file = closed.again()
    try:
        table = file.table
        for chunk in file.chunks(_all_columns(table), _chunk_rows(table), first, stop):
            needs.look(chunk)
    finally:
        file.close()
    return needs


def _all_columns(table: str) -> list[str]:
    prices, sizes = _COLUMNS[table]
    return [*prices, *sizes]


def _chunk_rows(table: str) -> int:
    return BOOK_CHUNK_ROWS if table == "book" else CHUNK_ROWS


def _sample(files: Sequence[LakeFile], spans: Sequence[Span], needs: _Needs | None) -> _Sample:
    """The rows of spans that hold something; all that is read is taken into ``needs``."""
    table = files[0].table
    best = [names[0] for names in _COLUMNS[table]]
    columns = best if needs is None else _all_columns(table)
    rows, values = [np.empty(0, np.int64)], [np.empty((2, 0))]
    for row, chunk in read_spans(files, spans, columns, _chunk_rows(table)):
        if needs is not None:
            needs.look(chunk)
        rows.append(np.arange(row, row + len(chunk)))
        values.append(np.stack([floats(chunk, raw) for raw in best]))
    prices, sizes = np.concatenate(values, axis=1)
    held = (prices > 0.0) & (sizes > 0.0) & np.isfinite(prices) & np.isfinite(sizes)
    return _Sample(table, np.concatenate(rows)[held], prices[held], sizes[held])


def _counts(values: Floats, exponent: int) -> Int64:
    counts = np.zeros(len(values), np.int64)
    values.flags.writeable = False
    bad, _ = floats_to_counts(values, exponent, counts)
    if bad >= 0:  # among the rows about a change, which are not of the sample
        raise GridError(
            f"{float(values[bad])!r} is off the grid of the sample", hint="look at every value"
        )
    return counts


def _rules(
    samples: Sequence[_Sample], tables: Mapping[str, Sequence[LakeFile]], exponents: Sequence[int]
) -> tuple[Rule, ...]:
    """Rules from the samples, in the order of ``_COLUMNS``; one of one count without values."""
    if not samples:
        return (Rule(0, 1, 1),)
    first = samples[0]
    files = tables[first.table]
    amounts = [one.sizes for one in samples if one.table != "book"] or [first.sizes]
    steps = (
        _dated(first, "prices", files, exponents[0])
        or {0: infer_step(_counts(first.prices, exponents[0]))},
        _dated(first, "sizes", files, exponents[1])
        or {0: infer_step(_counts(np.concatenate(amounts), exponents[1]))},
    )
    dates = sorted(steps[0].keys() | steps[1].keys())
    return tuple(Rule(since, *(_in_force(one, since) for one in steps)) for since in dates)


def _in_force(steps: Mapping[int, int], since: int) -> int:
    return steps[max(date for date in steps if date <= since)]


def _dated(sample: _Sample, which: str, files: Sequence[LakeFile], exponent: int) -> dict[int, int]:
    """The steps of a day on which they change, by the time from which each is in force."""
    change = find_change(_counts(getattr(sample, which), exponent))
    if change is None:
        return {}
    # all rows about it: the sample has but spans
    near = int(sample.rows[change.at - _SLACK]), int(sample.rows[change.at + _SLACK]) + 1
    close = _sample(files, [near], None)
    at = change.place(_counts(getattr(close, which), exponent))
    places = np.clip([at - _SLACK, at, at + _SLACK], 0, len(close.rows) - 1)
    early, time, late = (_time(files, int(row)) for row in close.rows[places])
    if not 0 < early <= time <= late:
        early = late = time
    if time <= 0:
        return {}
    since = roundest(min(early, time - _LATE), time, late)
    return {0: change.before, since: change.after}


def _time(files: Sequence[LakeFile], row: int) -> int:
    """Exchange time of a row, else its receive time; 0 for neither."""
    for _, chunk in read_spans(files, [(row, row + 1)], ("timestamp", "receipt_timestamp")):
        for raw in chunk.columns:
            time = to_microsecond(int(integers(chunk, raw, 0)[0]))
            if time:
                return time
    return 0


ENOUGH = 2_000
"""Values on either side of a change of the rules: fewer may be round by chance."""
CLEARLY_OFF = 0.25
"""Least share of the values off the coarser step while the finer one is in force."""
_NEARLY = 0.95  # after a change to a coarser step, older orders keep the finer
_END = 16  # of a day: an hour and a half
_ROUND = (3_600 * 10**9, 60 * 10**9)


class Change(NamedTuple):
    """Where the step of values in time's order changes for good: index, step before, step after.

    ``even`` lies half way between the shares of values off the coarser step on both sides.
    """

    at: int
    before: int
    after: int
    even: float

    def place(self, counts: Int64) -> int:
        """First of the new step among other values, on both sides of the same change."""
        return _turn(counts, self.before, self.after, self.even)


def find_change(counts: Int64) -> Change | None:
    """The change of step of values in time's order; None where none is clear.

    It is clear with ``ENOUGH`` values on either side; nearly all values on the one side multiples
    of the coarser step, and of those on the other at least a share ``CLEARLY_OFF`` not. It is put
    where the values off the coarser step depart most from an even share of them.
    """
    if len(counts) < 2 * ENOUGH:
        return None
    # of many values more at either end: a burst of round prices is no step
    end = max(ENOUGH, len(counts) // _END)
    ends = counts[:end], counts[-end:]
    head, tail = (infer_step(side, _NEARLY) for side in ends)
    if head == tail:
        return None
    even = float(np.mean([side % max(head, tail) != 0 for side in ends]))
    at = _turn(counts, head, tail, even)
    if not ENOUGH <= at <= len(counts) - ENOUGH:
        return None
    finer, coarser = (counts[:at], counts[at:]) if head < tail else (counts[at:], counts[:at])
    fine, coarse = infer_step(finer), infer_step(coarser, _NEARLY)
    if fine >= coarse or np.count_nonzero(finer % coarse) < CLEARLY_OFF * len(finer):
        return None
    return Change(at, *((fine, coarse) if head < tail else (coarse, fine)), even)


def _turn(counts: Int64, before: int, after: int, even: float) -> int:
    off = counts % max(before, after) != 0
    lean = np.cumsum(off - even)
    return int(np.argmax(lean) if before < after else np.argmin(lean)) + 1


def roundest(early: int, time: int, late: int) -> int:
    """The latest whole hour above ``early`` and up to ``late``, else minute, else ``time``.

    Venues change their rules at round times.
    """
    for unit in _ROUND:
        found = late // unit * unit
        if found > early:
            return found
    return time
