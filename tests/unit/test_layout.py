"""Counts and places that follow from the schema, and one rule for each thing that is said twice."""

from __future__ import annotations

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
from lobproof.book.event_kernels import speaks
from lobproof.book.trust_kernels import TRUST
from lobproof.fidelity.exact.window import depth_rows
from lobproof.replay import QUALITY_SEVERITY, quality_rows, state_kernels
from lobproof.replay.integrity_kernels import BOOK_IDS
from lobproof.replay.output import minute_columns
from lobproof.replay.trade_id_kernels import TRADE_IDS
from lobproof.replay.trade_kernels import PENDING_ROW
from lobproof.schema import EventBatch, Finding, Flag, Kind, Severity
from lobproof.schema.codes import SPEAKS_OF_THE_FEED
from lobproof.schema.records import integers, numbers, record, records
from lobproof.schema.tables import MINUTES
from lobproof.store.daybook import _of_book
from support.replays import findings_of, make_instrument

PACKAGE = Path(lobproof.__file__).parent
DOCS = PACKAGE.parents[1] / "docs" / "tables.md"


def another() -> ModuleType:
    """`state_kernels` anew."""
    spec = importlib.util.spec_from_file_location("another_state", state_kernels.__file__)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    text = Path(str(state_kernels.__file__)).read_text(encoding="utf-8")
    exec(compile(text, str(state_kernels.__file__), "exec"), vars(module))
    return module


def with_another(code: int) -> Any:
    """The findings with one more."""
    make: Any = IntEnum
    return make("Finding", [*((each.name, int(each)) for each in Finding), ("MORE", code)])


@pytest.mark.parametrize("code", [max(Finding) + 1, 40, 61])
def test_a_new_finding_has_its_own_place(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(schema, "Finding", with_another(code))
    state = another()
    assert code + 1 == state.CODES
    for name in ("doubt_since", "tallies"):
        assert state.REPLAY_STATE[name].shape == (code + 1,)


def test_a_finding_without_a_bit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "Finding", with_another(63))
    with pytest.raises(ImportError, match="63"):
        another()


def test_a_field_that_numpy_would_hide_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        record(*integers("price", "size"))


def test_every_column_of_minutes_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.zeros(1, state_kernels.MINUTE_ROW)
    columns = minute_columns(rows, make_instrument())
    assert list(columns) == MINUTES.schema.names
    monkeypatch.setattr("lobproof.replay.output.DRIFT_COUNTS", ("ranks",))
    with pytest.raises(ValueError, match="ranks"):
        minute_columns(rows, make_instrument())


def test_records_are_saved_as_numbers() -> None:
    """Fields of 8 bytes each: counts as they are, a sum of squares by its bits."""
    for kind in (state_kernels.REPLAY_STATE, BOOK_IDS, TRADE_IDS, PENDING_ROW, TRUST):
        rng = np.random.default_rng(3)
        whole = rng.integers(0, 2**62, (2, kind.itemsize // 8))
        assert numbers(records(kind, whole)).tolist() == whole.tolist()
        assert numbers(records(kind, whole[:0])).shape == (0, kind.itemsize // 8)
    state = state_kernels.new_state()
    state[0].minute.size_squares = 0.1
    again = records(state_kernels.REPLAY_STATE, numbers(state))
    assert again[0].minute.size_squares == 0.1
    assert again[0].sequence == -1


def test_a_finding_too_many_is_an_error() -> None:
    """Rather than a write behind the array."""
    state, out = state_kernels.new_state()[0], state_kernels.new_outputs(1, 0, 0)
    state_kernels.add_at(state, out, 1, 0, 0, 1, 0, 0)
    with pytest.raises(IndexError, match="room"):
        state_kernels.add_at(state, out, 1, 0, 0, 1, 0, 0)


def test_every_finding_has_a_severity_and_words() -> None:
    assert set(QUALITY_SEVERITY) == set(Finding)
    found = findings_of([[int(code), *[1] * 7] for code in Finding])
    assert all(quality_rows(found)["detail"])


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
