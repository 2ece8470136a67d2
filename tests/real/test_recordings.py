"""The recordings are what the other tests in this folder take them for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.real


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt", "nexousdt"])
def test_each_symbol_has_stamped_lines(real_data: Path, symbol: str) -> None:
    files = sorted(path for path in real_data.rglob("*.gz") if symbol in path.name.lower())
    assert files
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            stamp, payload = next(lines).split(" ", 1)
        assert stamp.isdigit()
        assert isinstance(json.loads(payload), dict)
