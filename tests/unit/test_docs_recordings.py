"""The page of recordings shows what the importer reads, and says."""

from __future__ import annotations

from pathlib import Path

from support.shapes_page import with_tables

PAGE = Path(__file__).parents[2] / "docs" / "recordings.md"


def test_the_tables_are_as_the_importer_has_them() -> None:
    """If not: ``PYTHONPATH=tests python tools/write_shapes.py`` writes them."""
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("\n| ") > 30
    assert with_tables(page) == page
