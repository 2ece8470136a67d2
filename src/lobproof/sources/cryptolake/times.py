"""``survey_times``: whether the tables' clocks agree, and how many times are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lobproof.errors import InputError
from lobproof.schema import Int64
from lobproof.sources.cryptolake.chunks import (
    AnyFile,
    LakeFile,
    Span,
    closed_files,
    integers,
    maybe_rows,
    read_spans,
    spread,
)

_COLUMNS = ("timestamp", "receipt_timestamp")
APART_NS = 60_000_000_000
"""Clocks further apart than this are not the same."""
_HOUR_NS = 3_600_000_000_000
_DAY_NS = 24 * _HOUR_NS
_UNITS = ((1, "ns"), (10**3, "µs"), (10**6, "ms"), (10**9, "s"))
_FIRST_NS, _LAST_NS = 946_684_800 * 10**9, 4_102_444_800 * 10**9
"""2000 to 2100: what a time in ns can be."""
_FEW = 0.01
"""Share of times outside the day up to which they are single wrong stamps."""
_END_ROWS = 64
"""A table begins at the median time of so many rows, so that a wrong stamp moves no end."""


@dataclass(frozen=True, slots=True)
class Times:
    """What a day's files say of their clocks.

    ``offsets``: table → recorder's clock minus the exchange's, ns; None where its receive times
    can't be used. ``missing``: share of all rows without an exchange time, by table. ``off``: the
    tables whose exchange times disagree with the others' or with their own receive times, by how
    many seconds; 0 where it is with their day. ``apart``: those of them whose receive times
    disagree as well, so that nothing tells when their rows were.
    """

    offsets: Mapping[str, int | None] = field(default_factory=dict)
    missing: Mapping[str, float] = field(default_factory=dict)
    off: Mapping[str, int] = field(default_factory=dict)
    apart: Sequence[str] = ()


Ends = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Clocks:
    """From when to when a table's rows are by its two clocks, and how far these are apart, ns.

    None where a clock has no times. ``delay`` is None too where the clocks don't run alike.
    """

    sent: Ends | None
    received: Ends | None
    delay: int | None

    @classmethod
    def of(cls, sent: Int64, received: Int64) -> _Clocks:
        ends = _ends(sent), _ends(received)
        both = (sent > 0) & (received > 0)
        between = received[both] - sent[both]
        spans = _ends(sent[both]), _ends(received[both])
        if spans[0] is None or spans[1] is None:
            return cls(*ends, None)
        drift = abs((spans[1][1] - spans[1][0]) - (spans[0][1] - spans[0][0]))
        return cls(*ends, int(np.median(between)) if drift <= APART_NS else None)

    def seconds_apart(self, offset: int) -> int:
        """How far exchange times are ahead of receive times, at the end that shows most of it."""
        if self.delay is not None:
            return round((offset - self.delay) / 1e9)
        if self.sent is None or self.received is None:
            return 0
        ahead = [sent - got + offset for sent, got in zip(self.sent, self.received, strict=True)]
        return round(max(ahead, key=abs) / 1e9)


def survey_times(paths: Mapping[str, Sequence[AnyFile]], dt: str = "") -> Times:
    """Look through the times of a day's files.

    Of a sample; for the missing ones only those row groups are read whose statistics do not rule
    them out. No table is believed for being the first: its exchange times hold where more tables
    lie in the same time by them than by receive times – of as many, where more ends meet – and else
    are corrected by the receive times and the delay of the tables that agree. Where nothing tells
    which of a table's clocks is wrong, its exchange times hold, and are told. Where all disagree
    the table holds whose two clocks are nearest: a recorder's is hours off less often than a stamp.

    Parameters
    ----------
    paths
        Table → its files, in order.
    dt
        The day that most times must lie in, and the others but for an hour; empty: any.

    Raises
    ------
    InputError
        When a file cannot be read or is not its table; when times of a table are not in ns, or
        most of them not of the day.
    """
    missing: dict[str, float] = {}
    off: dict[str, int] = {}
    clocks: dict[str, _Clocks] = {}
    for table, names in paths.items():
        files = closed_files(table, names)
        rows = sum(file.rows for file in files)
        missing[table] = _without(files) / rows if rows else 0.0
        sent, received = _sampled(files, spread(rows, ends=True))
        for raw, times in zip(_COLUMNS, (sent, received), strict=True):
            _check_unit(table, raw, times[times > 0])
        if dt and _outside(table, sent if (sent > 0).any() else received, dt) > _FEW:
            off[table] = 0
        if rows:
            clocks[table] = _Clocks.of(sent, received)
    offsets, disagree, apart = _judged(clocks)
    return Times(offsets, missing, off | disagree, apart)


def _judged(
    clocks: Mapping[str, _Clocks],
) -> tuple[dict[str, int | None], dict[str, int], list[str]]:
    """``Times.offsets``, ``Times.off`` and ``Times.apart`` of the tables' clocks."""
    spans = {table: one.sent for table, one in clocks.items()}
    recorded = {table: one.received for table, one in clocks.items()}
    sent, received = _votes(spans, _together), _votes(recorded, _together)
    met_sent, met_received = _votes(spans, _ends_met), _votes(recorded, _ends_met)
    most = max(sent.values(), default=0)
    delays = {t: one.delay for t, one in clocks.items() if one.delay is not None}
    offset = _agreed([delay for table, delay in delays.items() if sent[table] == most])
    offsets: dict[str, int | None] = {}
    off: dict[str, int] = {}
    apart: list[str] = []
    for table, one in clocks.items():
        delay = one.delay
        offsets[table] = offset
        if len(clocks) > 1 and not sent[table] and not received[table]:
            apart.append(table)
            off[table] = _seconds_off(table, clocks)
        if delay is not None and abs(delay - offset) <= APART_NS:
            continue
        more = sent[table] - received[table] or met_sent[table] - met_received[table]
        if more >= 0:
            offsets[table] = delay if one.sent is not None else offset
        if delays and more <= 0 and table not in off and (apart_s := one.seconds_apart(offset)):
            off[table] = apart_s
    return offsets, off, apart


def _votes(
    spans: Mapping[str, Ends | None], alike: Callable[[Ends | None, Ends | None], int]
) -> dict[str, int]:
    """The sum of what each table has alike with the others."""
    return {
        table: sum(alike(span, other) for name, other in spans.items() if name != table)
        for table, span in spans.items()
    }


def _together(one: Ends | None, other: Ends | None) -> bool:
    """Whether two tables can be of the same time: they overlap, and none is the other's moved."""
    if one is None or other is None:
        return False
    begins, ends = other[0] - one[0], other[1] - one[1]
    moved = min(abs(begins), abs(ends)) > APART_NS and abs(begins - ends) <= APART_NS
    overlap = min(one[1], other[1]) - max(one[0], other[0])
    return overlap >= -APART_NS and not moved


def _ends_met(one: Ends | None, other: Ends | None) -> int:
    """How many ends two tables share."""
    if one is None or other is None:
        return 0
    return sum(abs(mine - its) <= APART_NS for mine, its in zip(one, other, strict=True))


def _seconds_off(table: str, clocks: Mapping[str, _Clocks]) -> int:
    """How far a table's exchange times begin behind those of the first other table that has any."""
    own = clocks[table].sent
    others = [one.sent for name, one in clocks.items() if name != table and one.sent is not None]
    return round((own[0] - others[0][0]) / 1e9) if own is not None and others else 0


def _ends(times: Int64) -> Ends | None:
    """When a table's first and last rows are, by their median; None without a time."""
    known = times[times > 0]
    if not len(known):
        return None
    count = min(_END_ROWS, max(len(known) // 20, 1))  # of few rows, all may be hours apart
    first, last = sorted((int(np.median(known[:count])), int(np.median(known[-count:]))))
    return first, last  # whatever the order of the rows


def _agreed(delays: Sequence[int]) -> int:
    """The delay that most agree with; of as many, the smallest. 0 of none."""
    near = [(-sum(abs(one - two) <= APART_NS for two in delays), abs(one), one) for one in delays]
    best = [one for others, _, one in sorted(near) if others == min(near)[0]]
    alike = [one for one in best if abs(one - best[0]) <= APART_NS]
    return int(np.median(alike)) if alike else 0


def _check_unit(table: str, raw: str, times: Int64) -> None:
    """Raise where times are not in ns, or in no unit at all."""
    if not len(times):
        return
    middle = int(np.median(times))
    for factor, unit in _UNITS:
        if _FIRST_NS <= middle * factor < _LAST_NS:
            if factor == 1:
                return
            raise InputError(
                f"{table}: {raw} is in {unit}, and not in ns (its median is {middle})",
                hint=f"multiply it by {factor:,}: the vendor's times are int64 nanoseconds",
            )
    raise InputError(
        f"{table}: {raw} is no time in ns, µs, ms or s (its median is {middle})",
        hint="the vendor's times are int64 nanoseconds since 1970",
    )


def _outside(table: str, times: Int64, dt: str) -> float:
    """The share of times that are not of the day, nor of an hour beside it.

    Raises where most are not of the day itself.
    """
    known = times[times > 0]
    if not len(known):
        return 0.0
    start = int(np.datetime64(dt, "ns").astype(np.int64))
    beside = (known < start - _HOUR_NS) | (known >= start + _DAY_NS + _HOUR_NS)
    if np.mean((known < start) | (known >= start + _DAY_NS)) > 0.5:
        middle = np.datetime64(int(np.median(known)) // 10**9, "s")
        raise InputError(
            f"{table}: its times are not of {dt} (their median is {middle})",
            hint="the folder's dt, or the times, are wrong: compare with the vendor's file",
        )
    return float(np.mean(beside))


def _sampled(files: Sequence[LakeFile], spans: Sequence[Span]) -> tuple[Int64, Int64]:
    """Exchange and receive times of a sample."""
    parts: list[tuple[Int64, Int64]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for _, chunk in read_spans(files, spans, _COLUMNS):
        parts.append((integers(chunk, _COLUMNS[0], 0), integers(chunk, _COLUMNS[1], 0)))
    sent, received = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sent, received


def _without(files: Sequence[LakeFile]) -> int:
    """Rows without an exchange time."""
    doubtful = maybe_rows(files, _COLUMNS[0], lambda least, _: least <= 0)
    return sum(
        int(np.count_nonzero(integers(chunk, _COLUMNS[0], 0) <= 0))
        for _, chunk in read_spans(files, doubtful, _COLUMNS[:1])
    )
