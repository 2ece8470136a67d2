"""The page of tasks runs, block by block, on a simulated store; what it shows is what there is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lobproof

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``store`` and ``golden``, of two simulated minutes."""
    folder = tmp_path_factory.mktemp("tasks")
    made = lobproof.simulate(folder / "sim", minutes=2.0, snapshot_every=30.0)
    lobproof.import_recordings(made.recordings, folder / "golden")
    lobproof.reconstruct(folder / "golden", folder / "store")
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Iterator[dict[str, Any]]:
    """Every name of the page, behind its last line."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in BLOCKS:
            exec(compile(block, str(PAGE), "exec"), names)
        yield names


def test_every_task_gives_what_it_says(done: dict[str, Any]) -> None:
    store: lobproof.Store = done["store"]
    assert done["report"].verdict == "pass"
    assert done["mids"].height == store.trusted().collect().height
    traded = store.trades().select(pl.len()).collect().item()
    assert done["bars"]["trades"].sum() == traded == done["every"].height == done["trades"].height
    assert done["ladder"].height == 3600
    assert done["ladder"]["doubtful"].any()
    assert not done["ladder"]["doubtful"].all()
    assert done["effective"].height > 0.9 * traded
    assert (done["weighted"]["spread"] > 0).all()
    assert done["same"].collect().equals(done["first"].collect())
    assert sum(volume for _, volume in done["volume"]) == store.trades().collect()["size"].sum()
    assert done["book"].best_bid[0] < done["book"].best_ask[0]


def test_the_page_speaks_of_every_method_that_reads(done: dict[str, Any]) -> None:
    page = PAGE.read_text()
    known = {name for name, _ in inspect.getmembers(lobproof.Store, inspect.isfunction)}
    used = set(re.findall(r"(?:store|made\.store)\.(\w+)\(", page))
    assert used <= known
    reading = {"states", "trusted", "events", "trades", "trades_with_touch", "bars", "sample"}
    assert reading | {"book_at", "books_at", "play", "replay", "files"} <= used
