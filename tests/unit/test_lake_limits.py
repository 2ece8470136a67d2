"""The limits of what a bucket may answer are in the docs, each with its figure."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from lobproof.sources.cryptolake.bucket import limits

DOCS = Path(__file__).resolve().parents[2] / "docs" / "security.md"
LIMITS = {name: value for name, value in vars(limits).items() if name.isupper() and name != "MIB"}


def told(name: str, value: int) -> str:
    if not name.endswith("_BYTES"):
        return f"{value:,}"
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size and not value % size:
            return f"{value // size} {unit}"
    return f"{value} bytes"


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_is_in_the_docs_with_its_figure(name: str) -> None:
    rows = [row.split("|")[2] for row in DOCS.read_text("utf-8").splitlines() if row.count("|") > 3]
    assert any(told(name, LIMITS[name]) in row for row in rows)
    source = inspect.getsource(limits)
    assert source.partition(f"\n{name} = ")[2].splitlines()[1].startswith('"""')
