"""``survey_times``: whether the tables' clocks agree, and how many times are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lobproof.errors import InputError
from lobproof.schema import Int64
from lobproof.sources.cryptolake.chunks import LakeFile, closed_files, integers
from lobproof.sources.cryptolake.spans import Span, read_spans, spread

_COLUMNS = ("timestamp", "receipt_timestamp")
APART_NS = 60_000_000_000
"""Tables whose receive times lie so differently behind their exchange times have no one clock."""
_HOUR_NS = 3_600_000_000_000
_DAY_NS = 24 * _HOUR_NS
_UNITS = ((1, "ns"), (10**3, "µs"), (10**6, "ms"), (10**9, "s"))
_FIRST_NS, _LAST_NS = 946_684_800 * 10**9, 4_102_444_800 * 10**9
"""2000 to 2100: what a time in ns can be."""
_FEW = 0.01
"""Share of times outside the day up to which they are single wrong stamps."""


@dataclass(frozen=True, slots=True)
class Times:
    """``offset_ns``: recorder's clock minus the exchange's, median of a sample (0 without).

    ``missing``: share of all rows without an exchange time, by table. ``off``: the tables whose
    exchange times disagree with the others', by how many seconds; 0 where it is with their day.
    """

    offset_ns: int
    missing: Mapping[str, float]
    off: Mapping[str, int] = field(default_factory=dict)


def survey_times(paths: Mapping[str, Sequence[Path]], dt: str = "") -> Times:
    """Look through the times of a day's files.

    The offset is that of a sample; for the missing ones only those row groups are read whose
    statistics do not rule them out. No table is believed for being the first: the offset is that
    of most tables, or, where all disagree, of the one whose two clocks are nearest, for a
    recorder's is hours off less often than a stamp.

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
    delays: dict[str, int] = {}
    for table, names in paths.items():
        files = closed_files(table, names)
        rows = sum(file.rows for file in files)
        missing[table] = _without(files) / rows if rows else 0.0
        sent, received = _sampled(files, spread(rows))
        for raw, times in zip(_COLUMNS, (sent, received), strict=True):
            _check_unit(table, raw, times[times > 0])
        if dt and _outside(table, sent if (sent > 0).any() else received, dt) > _FEW:
            off[table] = 0
        both = (sent > 0) & (received > 0)
        if both.any():
            delays[table] = int(np.median(received[both] - sent[both]))
    offset = _agreed(list(delays.values()))
    off |= {
        table: round((offset - delay) / 1e9)
        for table, delay in delays.items()
        if abs(delay - offset) > APART_NS
    }
    return Times(offset, missing, off)


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
    doubtful: list[Span] = []
    ahead = 0
    for file in files:
        doubtful += [
            (ahead + first, ahead + stop) for first, stop in file.maybe_not_positive(_COLUMNS[0])
        ]
        ahead += file.rows
    return sum(
        int(np.count_nonzero(integers(chunk, _COLUMNS[0], 0) <= 0))
        for _, chunk in read_spans(files, doubtful, _COLUMNS[:1])
    )
