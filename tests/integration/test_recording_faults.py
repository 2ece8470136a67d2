"""Faults of a recording: each one is told, by an error or a counted and flagged row."""

from __future__ import annotations

from pathlib import Path

import pytest

from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate
from support.commands import command, refused
from support.recording_fault_checks import (
    chain,
    check_contradiction,
    check_drop,
    check_fault,
    check_mix,
    failing,
    telling,
    write,
)
from support.recording_faults import FAULTS, Fault, Recording, Scene, Told, payload


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """18 s of a spot market, in two files."""
    folder = tmp_path_factory.mktemp("spot")
    return Recording.read(simulate(folder / "sim", minutes=0.3, seed=5).recordings)


@pytest.fixture(scope="module")
def futures(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """6 s of a perpetual."""
    folder = tmp_path_factory.mktemp("futures")
    return Recording.read(simulate(folder / "sim", preset="perp", minutes=0.1, seed=5).recordings)


@pytest.fixture(scope="module")
def scene(spot: Recording) -> Scene:
    """The spot market's lines from the snapshot on, as one file."""
    lines = [line for file in spot.lines for line in file]
    start = next(row for row, line in enumerate(lines) if b'"lastUpdateId"' in line[:160])
    return Scene(lines[start:])


def test_the_undamaged_lines_pass(scene: Scene, tmp_path: Path) -> None:
    check_fault(Fault("none", lambda s: b"".join(s.lines), lambda s: Told()), scene, tmp_path)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_is_told(fault: Fault, scene: Scene, tmp_path: Path) -> None:
    check_fault(fault, scene, tmp_path)


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_every_dropped_message_is_reported(
    market: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    recording: Recording = request.getfixturevalue(market)
    intact = import_recordings(recording.paths, tmp_path / "intact").path
    for number in recording.droppable(4, seed=1):
        check_drop(recording, number, tmp_path / f"drop{number}", intact)


def test_a_snapshot_that_contradicts_the_book(scene: Scene, tmp_path: Path) -> None:
    check_contradiction(scene, tmp_path)


def test_one_symbol_of_a_mix_is_kept_where_it_is_named(scene: Scene, tmp_path: Path) -> None:
    check_mix(scene, tmp_path)


def test_one_message_of_each_kind_lost_at_the_ends(spot: Recording, tmp_path: Path) -> None:
    """The first kept message leaves a gap behind the snapshot; the last one nothing can miss."""
    check_drop(spot, spot.first_kept, tmp_path / "first")
    last = chain(spot.write(tmp_path / "last", spot.without(spot.depths[-1])), tmp_path / "last")
    assert last.report.check("chain").verdict == "exact"


def test_tickers_alone_are_no_book(scene: Scene, tmp_path: Path) -> None:
    lines = b"".join(scene.line(row) for row in scene.rows(b"@bookTicker"))
    files = write(tmp_path / "input", lines)
    assert command("import", *files, "--out", tmp_path / "golden").code == 0
    arguments = ("reconstruct", "--prove", "none", tmp_path / "golden", "--out", tmp_path / "store")
    refused("holds neither depth messages nor trades", *arguments)
    said = command("verify", tmp_path / "store", "--against", tmp_path / "golden", "--json")
    assert said.code == 3
    assert "holds no sealed day.\nHint: " in said.err


def test_a_snapshot_and_trades_have_their_own_day(scene: Scene, tmp_path: Path) -> None:
    lines = b"".join(scene.line(row) for row in [scene.snapshot, *scene.trades])
    outcome = chain(write(tmp_path / "input", lines), tmp_path)
    assert outcome.store.days()["dt"].to_list() == ["2026-01-05"]


def test_a_ticker_that_differs_fails_the_proof(scene: Scene, tmp_path: Path) -> None:
    final = {depth.final for depth in scene.depths[scene.at :]}
    row = next(r for r in scene.rows(b"@bookTicker") if payload(scene.line(r))["u"] in final)
    line = scene.line(row).replace(b'"B":"', b'"B":"9')
    outcome = chain(write(tmp_path / "input", scene.replaced(line, row=row)), tmp_path)
    assert "book_ticker_same_id" in failing(outcome.report)
    first = outcome.report.first_divergence
    assert first is not None
    assert first.id == payload(scene.line(row))["u"]
    assert not telling(outcome.store.path)
