"""What a terminal shows, as Markdown."""

from __future__ import annotations

import pytest
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lobproof.fidelity.markdown import markdown


def test_texts_headings_lists_and_tables() -> None:
    table = Table()
    table.add_column("a_b")
    table.add_column("n", justify="right")
    table.add_row("x | y", Text("1"))
    parts: list[RenderableType] = [
        Text("\nHead", "bold"),
        Text("one\n  <b>two</b>"),
        Text("- *item*"),
        Text(),
        table,
    ]
    assert markdown(parts) == (
        "## Head\n\none  \n\\<b\\>two\\</b\\>\n\n- \\*item\\*\n\n"
        "| a\\_b | n |\n| --- | ---: |\n| x \\| y | 1 |\n"
    )


def test_what_has_no_markdown_is_not_left_out() -> None:
    with pytest.raises(TypeError, match="Panel has no Markdown"):
        markdown([Panel("first divergence")])


def test_nothing_is_hidden() -> None:
    assert "\x1b" not in markdown([Text("\x1b[2J")])
