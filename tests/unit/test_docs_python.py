"""The page of tasks runs, block by block, on a simulated store; what it shows is what there is."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
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


def test_the_page_names_what_is_public() -> None:
    page = PAGE.read_text()
    used = set(re.findall(r"(?<!from )lobproof\.(\w+)", page)) - {"md"}
    assert used <= {*lobproof.__all__, "lobproof"}
    assert {name for name in lobproof.__all__ if not name.startswith("__")} <= used


def test_type_checkers_know_the_names_that_there_are() -> None:
    """All that is public is imported for them, and loaded for users, under the same name."""
    tree = ast.parse(Path(lobproof.__file__).read_text())
    checked = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [node for node in checked.body if isinstance(node, ast.ImportFrom)]
    names = {str(alias.asname) for node in imports for alias in node.names}
    assert names | {"__version__"} == set(lobproof.__all__) <= set(dir(lobproof))
    for name in names:
        assert getattr(lobproof, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(lobproof, "No" + "thing")


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_a_wrong_name_is_an_error_of_types(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from lobproof import BookView, Nothing, report\n")
    asked = ("--strict", "--follow-imports=skip", "--cache-dir", str(tmp_path / "cache"))
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *asked, lobproof.__file__, script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    errors = [line for line in ran.stdout.splitlines() if "error:" in line and "script" in line]
    assert len(errors) == 1, ran.stdout + ran.stderr
    assert 'Module "lobproof" has no attribute "Nothing"' in errors[0]
