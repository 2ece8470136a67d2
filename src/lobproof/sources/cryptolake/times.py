"""``survey_times``: the recorder's clock against the exchange's, and how many times are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lobproof.schema import Int64
from lobproof.sources.cryptolake.chunks import LakeFile, closed_files, integers
from lobproof.sources.cryptolake.spans import Span, read_spans, spread

_COLUMNS = ("timestamp", "receipt_timestamp")


@dataclass(frozen=True, slots=True)
class Times:
    """``offset_ns``: recorder's clock minus the exchange's, median of a sample (0 without).

    ``missing``: share of all rows without an exchange time, by table.
    """

    offset_ns: int
    missing: Mapping[str, float]


def survey_times(paths: Mapping[str, Sequence[Path]]) -> Times:
    """Look through the times of a day's files.

    The offset is that of a sample; for the missing ones only those row groups are read whose
    statistics do not rule them out.

    Parameters
    ----------
    paths
        Table → its files, in order. The offset is that of the first table with both times.

    Raises
    ------
    InputError
        When a file cannot be read or is not its table.
    """
    missing: dict[str, float] = {}
    offset = None
    for table, names in paths.items():
        files = closed_files(table, names)
        rows = sum(file.rows for file in files)
        missing[table] = _without(files) / rows if rows else 0.0
        delays = np.empty(0, np.int64) if offset is not None else _delays(files, spread(rows))
        if len(delays):
            offset = int(np.median(delays))
    return Times(offset or 0, missing)


def _delays(files: Sequence[LakeFile], spans: Sequence[Span]) -> Int64:
    """Receive time minus exchange time, where both are there."""
    delays: list[Int64] = [np.empty(0, np.int64)]
    for _, chunk in read_spans(files, spans, _COLUMNS):
        sent, received = (integers(chunk, raw, 0) for raw in _COLUMNS)
        both = (sent > 0) & (received > 0)
        delays.append(received[both] - sent[both])
    return np.concatenate(delays)


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
