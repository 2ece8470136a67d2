"""``Table``: a table of words and numbers, for a page and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """Columns, of which the first are words and the rest numbers, and rows.

    ``remarks``: how many of the last columns are words again. ``verdict``: which column is
    coloured, by the ``tones`` of the rows (``ok``, ``bad``, ``unsure``, ``none``), if one is.
    """

    title: str
    columns: tuple[str, ...]
    words: int
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    remarks: int = 0
    verdict: int = -1
    tones: Sequence[str] = ()

    def is_number(self, column: int) -> bool:
        """Whether a column is of numbers."""
        return self.words <= column < len(self.columns) - self.remarks


def markdown_section(table: Table, mark: str) -> list[str]:
    """Lines of a table below its title, which ``mark`` makes a heading."""
    note = [table.note, ""] if table.note else []
    return [f"{mark} {table.title}", "", *_pipes(table), "", *note]


def _pipes(table: Table) -> list[str]:
    marks = ["---:" if table.is_number(at) else "---" for at in range(len(table.columns))]
    return [
        f"| {' | '.join(_cell(text) for text in row)} |"
        for row in (table.columns, tuple(marks), *table.rows)
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
