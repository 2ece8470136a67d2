"""Counts and places that follow from the schema, and one rule for each thing that is said twice."""

from __future__ import annotations

import ast
import importlib.util
import re
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

import lobproof
from lobproof import schema
from lobproof.acquire.checks.flag_kernels import CANDIDATE, ROW_REASONS
from lobproof.fidelity.exact.walk import depth_rows
from lobproof.replay import QUALITY_SEVERITY, ledger_kernels, quality_rows
from lobproof.replay.ledger_kernels import E_CODE, EPISODE
from lobproof.replay.step import minute_columns
from lobproof.schema import EventBatch, Finding, Flag, Kind, Severity
from lobproof.schema.codes import SPEAKS_OF_THE_FEED
from lobproof.schema.tables import MINUTES
from lobproof.store.bookview import _of_book
from lobproof.store.rebuild_kernels import speaks
from support.feeds import make_instrument

PACKAGE = Path(lobproof.__file__).parent
DOCS = PACKAGE.parents[1] / "docs" / "tables.md"


def summands(place: ast.expr) -> set[str]:
    """Names in a place that are no factors: what it starts from."""
    if isinstance(place, ast.BinOp):
        left, right = summands(place.left), summands(place.right)
        return set() if isinstance(place.op, ast.Mult) else left | right
    if isinstance(place, ast.Slice):
        return summands(place.lower) if place.lower is not None else set()
    if isinstance(place, ast.List | ast.Tuple):
        return {name for each in place.elts for name in summands(each)}
    return {place.id} if isinstance(place, ast.Name) else set()


def widths(ledger: ModuleType) -> dict[str, int]:
    """Names of the places of `run` that kernels use, and how many numbers each takes."""
    used = set()
    for path in (PACKAGE / "replay").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("run"):
                used |= summands(node.slice)
    within = ("M_", "T_", "L_", "MAX_")
    places = {name for name in used if name.isupper() and not name.startswith(within)}
    wide = {
        "SNAPSHOT_TRUST": 4,
        "STALE": 2,
        "OPEN": 2 * ledger.CODES,
        "THIS_MINUTE": ledger.MINUTE,
        "TALLIES": ledger.CODES * ledger.TALLY,
        "VOUCHED": 2,
        "AGREES_TO": 2,
        "IMAGES": 4,
        "PRINTS": 3,
        "LISTED": 4 * schema.LEVELS,
        "SUSPECT_LEVELS": ledger.DIFFERENCE * ledger.MAX_SUSPECTS,
        "REMEMBERED_LEVELS": ledger.DIFFERENCE * ledger.MAX_REMEMBERED,
        "IMAGE_LEVELS": 4 * ledger.MAX_IMAGE,
        "HEARD_AT": ledger.STREAMS * ledger.HEARD,
        "UNDO": ledger.UNDO_ROOM,
    }
    ours = places | set(wide)
    return {name: wide.get(name, 1) for name in ours if hasattr(ledger, name)} | wide


def overlaps(ledger: ModuleType) -> list[str]:
    """Places of `run` that another one reaches into, or that lie outside."""
    owner: dict[int, str] = {}
    wrong = []
    for name, width in sorted(widths(ledger).items()):
        start = getattr(ledger, name)
        for at in range(start, start + width):
            if at in owner or not 0 <= at < ledger.RUN:
                wrong.append(f"{name} meets {owner.get(at, 'the end')}")
                break
            owner[at] = name
    return wrong


def another(source: str | None = None) -> ModuleType:
    """`ledger_kernels` anew, from the same text or from another."""
    spec = importlib.util.spec_from_file_location("another_ledger", ledger_kernels.__file__)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    text = source or Path(str(ledger_kernels.__file__)).read_text(encoding="utf-8")
    exec(compile(text, str(ledger_kernels.__file__), "exec"), vars(module))
    return module


def with_another(code: int) -> Any:
    """The findings with one more."""
    make: Any = IntEnum
    return make("Finding", [*((each.name, int(each)) for each in Finding), ("MORE", code)])


def test_no_place_of_the_run_reaches_into_another() -> None:
    names = widths(ledger_kernels)
    assert len(names) > 35
    assert overlaps(ledger_kernels) == []


@pytest.mark.parametrize("code", [max(Finding) + 1, 40, 61])
def test_a_new_finding_has_its_own_place(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(schema, "Finding", with_another(code))
    ledger = another()
    assert code + 1 == ledger.CODES
    assert overlaps(ledger) == []
    assert (code - max(Finding)) * (2 + ledger.TALLY) == ledger.RUN - ledger_kernels.RUN


def test_a_finding_without_a_bit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "Finding", with_another(63))
    with pytest.raises(ImportError, match="63"):
        another()


def test_a_new_count_of_the_minute_moves_what_lies_behind() -> None:
    text = Path(str(ledger_kernels.__file__)).read_text(encoding="utf-8")
    longer = text.replace("    M_THROUGH,\n)", "    M_THROUGH,\n    M_MORE,\n)")
    assert longer != text
    with pytest.raises(ValueError, match="not enough values"):
        another(longer)
    ledger = another(
        longer.replace(f"MINUTE = {ledger_kernels.MINUTE}", f"MINUTE = {ledger_kernels.MINUTE + 1}")
    )
    assert ledger.MINUTE == ledger_kernels.MINUTE + 1 == ledger.M_MORE + 1
    assert overlaps(ledger) == []


def test_every_column_of_minutes_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.zeros((1, ledger_kernels.MINUTE), np.int64)
    columns = minute_columns(rows, np.zeros((1, 2)), make_instrument())
    assert list(columns) == MINUTES.schema.names
    monkeypatch.setattr("lobproof.replay.step._COUNTED", {"no_such": 0})
    with pytest.raises(ValueError, match="no_such"):
        minute_columns(rows, np.zeros((1, 2)), make_instrument())


def test_a_finding_too_many_is_an_error() -> None:
    """Rather than a write behind the array."""
    run, found = ledger_kernels.new_run(), np.zeros((1, EPISODE), np.int64)
    ledger_kernels.add_episode(run, found, 1, 0, 0, 0, 0, 1, 0, 0)
    with pytest.raises(IndexError, match="room"):
        ledger_kernels.add_episode(run, found, 1, 0, 0, 0, 0, 1, 0, 0)


def test_every_finding_has_a_severity_and_words() -> None:
    assert set(QUALITY_SEVERITY) == set(Finding)
    episodes = np.ones((len(Finding), EPISODE), np.int64)
    episodes[:, E_CODE] = [int(code) for code in Finding]
    assert all(quality_rows(episodes)["detail"])


def test_the_bits_of_a_file_are_apart() -> None:
    assert 1 << (len(ROW_REASONS) - 1) < CANDIDATE


def test_the_documented_codes_are_those_of_the_schema() -> None:
    text = DOCS.read_text(encoding="utf-8")
    flags = {
        int(value): names
        for names, value in re.findall(r"^\| (`[A-Z_]+`) \| (\d+) \|", text, re.MULTILINE)
    }
    both = re.search(r"`OFF_TICK`, `OFF_LOT` \| 64, 128", text)
    assert both
    flags |= {64: "`OFF_TICK`", 128: "`OFF_LOT`"}
    assert flags == {int(flag): f"`{flag.name}`" for flag in Flag}
    codes = re.search(r"^\| `code` \| byte \| (.*) \|$", text, re.MULTILINE)
    assert codes
    told = {int(n): name for n, name in re.findall(r"(\d+) `([A-Z_]+)`", codes[1])}
    assert told == {int(code): code.name for code in Finding}
    for severity in Severity:
        assert f"{int(severity)} | `{severity.name}`" in text
    for kind in Kind:
        assert f"{int(kind)} | `{kind.name}`" in text


MARKS = [
    (flags, prev)
    for flags in (0, *(int(flag) for flag in Flag), int(Flag.DRIFT | Flag.SILENCE))
    for prev in (-1, 0, 99)
]


def test_one_rule_for_marks_that_speak_of_the_feed() -> None:
    """For the kernels, `book_at` and `verify`: what is left are empty depth messages."""
    rows = EventBatch.empty(len(MARKS))
    rows.kind[:] = Kind.MARK
    rows.flags[:], rows.prev_sequence[:] = np.array(MARKS).T
    by_kernel = [not speaks(flags, prev) for flags, prev in MARKS]
    assert _of_book(rows).tolist() == by_kernel
    frame = pl.DataFrame(
        {name: getattr(rows, name) for name in ("kind", "flags", "sequence", "prev_sequence")}
    )
    assert frame.select(depth_rows()).to_series().to_list() == by_kernel
    told = {flags for (flags, prev), empty in zip(MARKS, by_kernel, strict=True) if not empty}
    assert told == {flags for flags, _ in MARKS if flags & SPEAKS_OF_THE_FEED}
    empty_with_drift = MARKS.index((int(Flag.DRIFT), 99)), MARKS.index((int(Flag.DRIFT), -1))
    assert [by_kernel[at] for at in empty_with_drift] == [True, False]
