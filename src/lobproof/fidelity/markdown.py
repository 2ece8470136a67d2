"""What is shown on a terminal as Markdown: the same words and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lobproof.errors import visible

_MEANT = re.compile(r"([\\`*_<>|\[\]])")


def markdown(parts: Iterable[RenderableType]) -> str:
    """Texts as paragraphs, bold ones as headings, tables as tables.

    Raises
    ------
    TypeError
        For anything else: it would be left out.
    """
    return "\n\n".join(text for part in parts if (text := _written(part))) + "\n"


def _written(part: RenderableType) -> str:
    if isinstance(part, Text):
        lines = [_escaped(line.strip()) for line in part.plain.strip().splitlines()]
        return ("## " if part.style == "bold" else "") + "  \n".join(lines)
    if isinstance(part, Table):
        return "\n".join(_rows(part))
    raise TypeError(f"{type(part).__name__} has no Markdown")


def _rows(table: Table) -> Iterator[str]:
    columns = table.columns
    yield _row(column.header for column in columns)
    yield _row("---:" if column.justify == "right" else "---" for column in columns)
    for cells in zip(*(column.cells for column in columns), strict=True):
        yield _row(cells)


def _row(cells: Iterable[RenderableType]) -> str:
    return f"| {' | '.join(_escaped(str(cell)) for cell in cells)} |"


def _escaped(text: str) -> str:
    """Nothing in it is Markdown, and nothing is hidden."""
    item, rest = ("- ", text[2:]) if text.startswith("- ") else ("", text)
    return item + _MEANT.sub(r"\\\1", visible(rest))
