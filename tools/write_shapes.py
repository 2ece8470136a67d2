"""Write the tables of docs/recordings.md: the shapes of recordings, as the tests write them.

``PYTHONPATH=tests python tools/write_shapes.py``; a test holds the page against them.
"""

from __future__ import annotations

from pathlib import Path

from support.shapes_page import with_tables

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recordings.md"


def main() -> None:
    """Write."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
