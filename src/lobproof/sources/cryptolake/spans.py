"""A look at a table without reading all of it: spans of rows, evenly over the day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lobproof.sources.cryptolake.chunks import CHUNK_ROWS, Chunk, LakeFile

SPANS = 64
SPAN_ROWS = 1 << 12

Span = tuple[int, int]
"""First row, and the first one no more, of all rows of a table's files."""


def spread(
    rows: int, spans: int = SPANS, length: int = SPAN_ROWS, *, ends: bool = False
) -> list[Span]:
    """``spans`` spans of ``length`` rows, evenly over ``rows``; all rows where they are no more.

    With ``ends`` the first and the last row are among them.
    """
    if rows <= spans * length:
        return [(0, rows)] if rows else []
    if ends:
        starts = [(rows - length) * k // (spans - 1) for k in range(spans)]
        return [(start, start + length) for start in starts]
    middles = (rows * (2 * k + 1) // (2 * spans) for k in range(spans))
    return [(middle - length // 2, middle - length // 2 + length) for middle in middles]


def read_spans(
    files: Sequence[LakeFile],
    spans: Sequence[Span],
    columns: Sequence[str],
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[tuple[int, Chunk]]:
    """What the spans hold of ``columns`` (raw names), in order, each chunk with its first row.

    That row counts from the first file's; no chunk is of two spans. No row group is read twice.

    Parameters
    ----------
    files
        All files of a table, closed ones.
    spans
        In order, none over another.

    Raises
    ------
    InputError
        When a file cannot be read.
    """
    ahead = 0
    for closed in files:
        inside = [
            (max(first - ahead, 0), min(stop - ahead, closed.rows))
            for first, stop in spans
            if first < ahead + closed.rows and stop > ahead
        ]
        file = LakeFile(closed.table, closed.path, closed)
        try:
            for run in _runs(file, inside):
                for chunk in file.chunks(columns, chunk_rows, run[0][0], run[-1][1]):
                    for first, stop in run:
                        begin = max(first - chunk.first_row, 0)
                        end = min(stop - chunk.first_row, len(chunk))
                        if begin < end:
                            yield ahead + chunk.first_row + begin, chunk.slice(begin, end)
        finally:
            file.close()
        ahead += closed.rows


def _runs(file: LakeFile, spans: Sequence[Span]) -> list[list[Span]]:
    """Spans that share row groups, together."""
    runs: list[list[Span]] = []
    for first, stop in spans:
        begins = np.searchsorted(file.starts, first, side="right")
        if runs and np.searchsorted(file.starts, runs[-1][-1][1] - 1, side="right") == begins:
            runs[-1].append((first, stop))
        else:
            runs.append([(first, stop)])
    return runs
