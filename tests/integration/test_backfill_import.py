"""Lost trades that REST brought: an import places them, a store holds them, a check proves it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.test_backfill import ANSWERS, SYMBOL, Captured, capture
from lobproof.errors import StrictError
from lobproof.fidelity.exact import verify
from lobproof.pipeline import reconstruct_sample
from lobproof.schema import Flag
from lobproof.sources.binance.backfill import Weave
from lobproof.sources.binance.journal import JournalWriter
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.store import open_store
from support.commands import command

Line = dict[str, Any]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    faults = ("drop@20s,n=5,stream=trade", "drop@30s,n=1,stream=trade")
    got = capture(tmp_path_factory.mktemp("backfill"), *faults)
    assert len(got.lost) == 6
    return got


def sample_of(
    lines: list[Line], folder: Path, change: Callable[[Line], Line] | None = None
) -> GoldenSample:
    """Import of lines of a capture, each changed."""
    writer = JournalWriter(folder / "journal")
    for line in lines:
        text = json.dumps(change(dict(line)) if change else line, separators=(",", ":"))
        writer.append(f"{text}\n".encode(), line["capture_ns"])
    paths = [folder / "journal" / one.name for one in writer.close()]
    return import_recordings(paths, folder / "golden")


def trades_of(store: Path) -> pl.DataFrame:
    rows = open_store(store).events(kind="TRADE", raw=True).collect()
    assert isinstance(rows, pl.DataFrame)
    return rows


def test_all_ids_are_there_as_the_venue_had_them(captured: Captured, tmp_path: Path) -> None:
    sample = import_recordings(captured.journals, tmp_path / "golden")
    told = sample.document["backfill"]
    assert (told["lost"], told["backfilled"], told["contradicting"]) == (6, 6, 0)
    assert sample.document["trade_ids"]["gaps"] == 0
    hashes = set()
    for rows in (1, 1000, 1 << 16):
        store = tmp_path / f"store-{rows}"
        reconstruct_sample(sample.path, store, batch_rows=rows)
        hashes.add(open_store(store).days()["content_hash"].item())
    assert len(hashes) == 1
    trades = trades_of(store)
    ids = trades["sequence"].to_list()
    assert ids == list(range(ids[0], ids[-1] + 1))
    brought = trades.filter(pl.col("flags") & int(Flag.BACKFILLED) != 0)
    assert brought["sequence"].to_list() == captured.lost
    for row in brought.iter_rows(named=True):
        true = captured.truth[row["sequence"]]
        assert (row["ts_recv"], row["ts_event"]) == (0, true["T"] * 1_000_000)
        assert (row["price"], row["size"]) == (Decimal(true["p"]), Decimal(true["q"]))
        assert row["side"] == (2 if true["m"] else 1)
        assert not row["flags"] & int(Flag.COARSE_TS | Flag.BAD_TS)
    report = verify(open_store(store), sample.path)
    for name in ("trades", "trade_ids", "order", "level_changes"):
        assert report.check(name).verdict.value == "exact", name
    said = command("inspect", sample.path)
    assert "6 of 6 lost trades brought by REST" in said.out
    counts = sample.document["counts"]
    told = " ".join(said.out.split())
    assert f"{counts['other']:,} of other streams" in told
    assert f"level changes {counts['level_changes']:,}" in told
    for name in ("depth", "trade", "snapshot"):
        assert f"{name} {counts[name]:,}" in told
    hours = abs(sample.clock_offset_ns) / 3.6e12
    assert (hours >= 1) == ("exchange times: the recorder's clock is wrong" in told)


def test_a_check_takes_answers_as_they_are(captured: Captured, tmp_path: Path) -> None:
    """The capture, whose counts leave them out, and the sample, whose ids they join."""
    session = captured.journals[0].parents[2]
    said = command("golden", "check", session, "--json")
    assert said.code == 0, said
    sample = import_recordings(captured.journals, tmp_path / "golden")
    said = command("golden", "check", sample.path, "--json")
    assert said.code == 0, said
    path = sample.path / "golden.json"
    document = json.loads(path.read_text())
    document["backfill"]["placed"][-1] = [captured.lost[-1] + 1] * 2
    path.write_text(json.dumps(document))
    said = command("golden", "check", sample.path, "--json")
    assert said.code == 1
    assert "backfilled trades" in said.document["checked"][0]["failures"][0]


def test_a_refusal_is_no_break(tmp_path: Path) -> None:
    got = capture(tmp_path, "drop@20s,n=5,stream=trade", "rest@15s,status=400,for=600s")
    assert got.events("no_backfill")
    said = command("golden", "check", got.journals[0].parents[2], "--json")
    assert said.code == 0, said
    document = import_recordings(got.journals, tmp_path / "golden").document
    assert document["trade_ids"]["gaps"] == 1
    assert "awaited" not in document


def test_a_sample_grows_by_its_answers(captured: Captured, tmp_path: Path) -> None:
    """Without the last answer its gap stays."""
    last = max(at for at, line in enumerate(captured.lines) if line["stream"] == ANSWERS)
    before = sample_of(captured.lines[:last], tmp_path / "before")
    assert before.document["trade_ids"]["gaps"] == 1
    assert before.document["backfill"]["backfilled"] == 5
    assert sample_of(captured.lines, tmp_path / "after").document["trade_ids"]["gaps"] == 0


def test_an_answer_that_a_capture_had_not_got_yet_is_told(
    captured: Captured, tmp_path: Path
) -> None:
    session = Path(shutil.copytree(captured.journals[0].parents[2], tmp_path / "day"))
    shutil.rmtree(session / SYMBOL / "journal")
    last = max(at for at, line in enumerate(captured.lines) if line["stream"] == ANSWERS)
    writer = JournalWriter(session / SYMBOL / "journal")
    for line in captured.lines[:last]:
        text = json.dumps(line, separators=(",", ":"))
        writer.append(f"{text}\n".encode(), line["capture_ns"])
    writer.close()
    document = import_recordings(session / SYMBOL, tmp_path / "golden").document
    assert document["awaited"]["trades"] == 1
    assert any("asked for 1 lost trades" in note for note in document["notes"])
    assert "its answer is not in" in command("inspect", tmp_path / "golden").out.replace("\n", " ")


def test_answers_that_differ_place_nothing(captured: Captured, tmp_path: Path) -> None:
    (first, *_) = (line for line in captured.lines if line["stream"] == ANSWERS)
    odd = {**first, "data": [{**first["data"][0], "qty": "9.5"}]}
    odd["capture_ns"] = captured.lines[-1]["capture_ns"]
    sample = sample_of([*captured.lines, odd], tmp_path)
    told = sample.document["backfill"]
    assert (told["contradicting"], told["backfilled"]) == (1, 5)
    assert told["first_contradicting"] == [first["data"][0]["id"]]
    assert sample.document["trade_ids"]["gaps"] == 1
    assert any("tells in another way" in one.detail for one in sample.findings())
    with pytest.raises(StrictError, match="contradicts"):
        import_recordings(sample.journals, tmp_path / "strict", strict=True)


def test_what_came_after_all_is_not_placed_twice(captured: Captured, tmp_path: Path) -> None:
    """A straggler's own message stands, and an answer that differs from it is a finding."""
    end = captured.lines[-1]["capture_ns"]
    late = [
        {
            "capture_ns": end,
            "mono_ns": 1,
            "stream": f"{SYMBOL.lower()}@trade",
            "conn": 1,
            "data": {**captured.truth[at], "q": size},
        }
        for at, size in (
            (captured.lost[0], captured.truth[captured.lost[0]]["q"]),
            (captured.lost[1], "9.5"),
        )
    ]
    sample = sample_of([*captured.lines, *late], tmp_path)
    told = sample.document["backfill"]
    assert (told["lost"], told["backfilled"], told["late"]) == (4, 4, 2)
    assert told["first_contradicting"] == [captured.lost[1]]
    reconstruct_sample(sample.path, tmp_path / "store")
    ids = trades_of(tmp_path / "store")["sequence"].to_list()
    assert sorted(ids) == list(range(min(ids), max(ids) + 1))
    assert (
        verify(open_store(tmp_path / "store"), sample.path).check("trades").verdict.value == "exact"
    )


def test_times_in_ms_are_flagged_where_the_stream_has_more(
    captured: Captured, tmp_path: Path
) -> None:
    def coarse(line: Line) -> Line:
        if line["stream"] == ANSWERS:
            line["data"] = [{**one, "time": one["time"] // 1000} for one in line["data"]]
        elif line["stream"] == f"{SYMBOL.lower()}@trade":
            line["data"] = {**line["data"], "T": line["data"]["T"] + 7}  # in µs, and told so
        return line

    sample = sample_of(captured.lines, tmp_path, coarse)
    reconstruct_sample(sample.path, tmp_path / "store")
    flags = trades_of(tmp_path / "store")["flags"]
    flagged = flags.to_numpy() & int(Flag.COARSE_TS) != 0
    assert (flagged == (flags.to_numpy() & int(Flag.BACKFILLED) != 0)).all()
    assert flagged.sum() == 6
    assert (
        verify(open_store(tmp_path / "store"), sample.path).check("trades").verdict.value == "exact"
    )


def test_an_answer_that_cannot_be_read_is_told(captured: Captured, tmp_path: Path) -> None:
    def damaged(line: Line) -> Line:
        if line["stream"] == ANSWERS and len(line["data"]) == 1:
            line["data"] = [{**line["data"][0], "price": "abc"}]
        return line

    sample = sample_of(captured.lines, tmp_path, damaged)
    told = sample.document["backfill"]
    assert (told["unread"], told["backfilled"]) == (1, 5)
    assert any("answers of REST that cannot be read" in one.detail for one in sample.findings())


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=40, unique=True),
    st.sets(st.integers(0, 60), max_size=20),
    st.lists(st.integers(1, 7), min_size=40, max_size=40),
)
def test_places_do_not_depend_on_batches(
    stream: list[int], asked: set[int], sizes: list[int]
) -> None:
    """Each stands before the first message beyond it, whatever the batches are."""
    lost = sorted(one for one in asked - set(stream) if one < max(stream))
    expected: list[int] = []
    waiting = list(lost)
    for one in stream:
        while waiting and waiting[0] < one:
            expected.append(waiting.pop(0))
        expected.append(one)
    weave, got, at = Weave(np.array(lost, np.int64)), list[int](), 0
    for size in sizes:
        part = np.array(stream[at : at + size], np.int64)
        at += size
        if len(part):
            order, (start, stop) = weave.order(part)
            got += np.concatenate([part, lost[start:stop]])[order].astype(int).tolist()
    assert got == expected
    assert weave.left == 0
