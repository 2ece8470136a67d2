"""``survey_times``: the recorder's clock against the exchange's, and how many times are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lobproof.schema import Int64
from lobproof.sources.cryptolake.chunks import CHUNK_ROWS, chunks, integers

_EVERY = 64
"""Of so many rows one is looked at for the offset."""
_COLUMNS = ("timestamp", "receipt_timestamp")


@dataclass(frozen=True, slots=True)
class Times:
    """``offset_ns``: recorder's clock minus the exchange's, median over a day's rows (0 without).

    ``missing``: share of rows without an exchange time, by table.
    """

    offset_ns: int
    missing: Mapping[str, float]


def survey_times(paths: Mapping[str, Sequence[Path]]) -> Times:
    """Look through the times of a day's files.

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
    for table, files in paths.items():
        rows, without = 0, 0
        delays: list[Int64] = [np.empty(0, np.int64)]
        for chunk in chunks(table, files, _COLUMNS, CHUNK_ROWS):
            sent, received = (integers(chunk, raw, 0) for raw in _COLUMNS)
            rows += len(sent)
            without += int(np.count_nonzero(sent <= 0))
            if offset is None:
                both = (sent[::_EVERY] > 0) & (received[::_EVERY] > 0)
                delays.append(received[::_EVERY][both] - sent[::_EVERY][both])
        missing[table] = without / rows if rows else 0.0
        found = np.concatenate(delays)
        if len(found):
            offset = int(np.median(found))
    return Times(offset or 0, missing)
