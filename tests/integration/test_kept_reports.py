"""Fidelity reports in their store: what is written, read, refused, and left by a kill."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lobproof
from lobproof.errors import PlaceError
from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.gates.report import FidelityReport
from lobproof.fidelity.gates.settings import STANDARD
from lobproof.fidelity.metrics.catalogue import CATALOGUE
from lobproof.fidelity.reports import FOLDER, keep, kept_of, kept_reports
from lobproof.store import Scope
from support.commands import command
from support.kept_reports import DAYS, changed, failing, proved_store
from support.kills import running, wait_for

pytestmark = pytest.mark.compiled

RUN = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)
LATER = datetime(2026, 3, 2, 12, tzinfo=UTC)

Proved = tuple[Path, Path, FidelityReport]


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Proved:
    return proved_store(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def store(proved: Proved, tmp_path: Path) -> Path:
    """A copy of the store without reports."""
    return Path(shutil.copytree(proved[0], tmp_path / "store"))


def test_a_report_is_kept_by_day_with_all_that_decides(proved: Proved, store: Path) -> None:
    report = proved[2]
    paths = keep(store, report, run_at=RUN)
    assert [path.parent.name for path in paths] == [f"dt={dt}" for dt in DAYS]
    kept = kept_reports(store)
    assert not kept.damaged
    hashes = dict(lobproof.open(store).days().select("dt", "content_hash").iter_rows())
    for found, path, dt in zip(kept.reports, paths, DAYS, strict=True):
        assert path.name == f"20260301T120000.250000Z-{found.id[:12]}.json"
        assert (found.dt, found.content_hash, found.run_at) == (dt, hashes[dt], RUN)
        assert found.days == hashes
        assert found.settings_hash == STANDARD.hash
        assert found.level == "standard"
        (against,) = found.against
        assert against.golden.name == "golden"
        assert {str(name): verdict for name, verdict in against.gates.items()} == {
            "A": Verdict.EXACT,
            "B": Verdict.EXACT,
            "C": Verdict.INCONCLUSIVE,
        }
        names = [one.name for one in against.metrics]
        assert names == [one.metric.name for one in report.compared]
        assert len(names) > len(CATALOGUE)
        assert {one.name for one in against.checks} >= {"chain", "level_changes", "trades"}
        assert against.failed == ()


def test_the_same_run_twice_differs_in_its_time_alone(proved: Proved, store: Path) -> None:
    report = proved[2]
    first, again = ([json.loads(p.read_text()) for p in keep(store, report, run_at=at)]
                    for at in (RUN, LATER))  # fmt: skip
    for one, other in zip(first, again, strict=True):
        assert {key for key in one if one[key] != other[key]} == {"run_at"}
    assert len(kept_reports(store).reports) == 4
    other = kept_of(changed(report, failing("chain")), RUN)
    assert {one.id for one in other}.isdisjoint(one["id"] for one in first)


def test_reports_of_some_days_alone(proved: Proved, store: Path) -> None:
    keep(store, proved[2], run_at=RUN)
    second = Scope(dts=frozenset([DAYS[1]]))
    assert [one.dt for one in kept_reports(store, second).reports] == [DAYS[1]]
    assert not kept_reports(store, Scope(symbol="ETH-USDT")).reports


def test_the_store_is_as_it_was(proved: Proved, store: Path) -> None:
    def told() -> Any:
        document = command("inspect", store, "--json").document
        return {key: document[key] for key in ("days", "unsealed", "damage")}

    before = told()
    keep(store, proved[2], run_at=RUN)
    assert told() == before
    assert lobproof.open(store).audit().clean


def test_the_command_keeps_its_report(proved: Proved, store: Path) -> None:
    said = command("fidelity", store, "--against", proved[1])
    assert said.code == 2, said
    assert said.err.count("Kept ") == 2
    assert [one.dt for one in kept_reports(store).reports] == list(DAYS)


def test_a_store_that_cannot_be_written_to_is_told_and_judged_all_the_same(
    proved: Proved, store: Path
) -> None:
    (store / FOLDER).write_text("in the way")
    said = command("fidelity", store, "--against", proved[1])
    assert said.code == 2, said
    assert "The report is not kept: " in said.err


def test_no_link_is_followed(proved: Proved, store: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (store / FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlaceError, match=r"is a link"):
        keep(store, proved[2])
    assert not any((tmp_path / "elsewhere").iterdir())


def _edited(key: str, value: object) -> Callable[[Path], Path]:
    def edit(path: Path) -> Path:
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
        return path

    return edit


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-100])
    return path


def _moved(path: Path) -> Path:
    other = path.parent.with_name("dt=2026-01-09")
    other.mkdir()
    return path.rename(other / path.name)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_edited("verdict", "pass"), "its id is not the hash of its content"),
        (_edited("verdict", "splendid"), "splendid"),
        (_edited("format_version", 2), "format_version"),
        (_edited("run_at", "2026-03-01T12:00:01Z"), "its name is not that of its time and id"),
        (_edited("run_at", "2026-03-01T12:00:00.25"), "its name is not that of its time and id"),
        (_edited("dt", "../.."), "its id is not the hash of its content"),
        (_cut, ""),
        (_moved, "it is of BINANCE SIM-USDT 2026-01-05"),
        (lambda path: path.rename(path.with_name("20260301.json")), "its name is not that of"),
    ],
)
def test_a_damaged_report_is_told_and_the_others_are_read(
    proved: Proved, store: Path, damage: Callable[[Path], Path], why: str
) -> None:
    path, *_ = keep(store, proved[2], run_at=RUN)
    left = damage(path)
    kept = kept_reports(store)
    assert [one.dt for one in kept.reports] == [DAYS[1]]
    (found,) = kept.damaged
    assert found.path == left
    assert why in found.why
    assert "run `lobproof fidelity STORE" in str(found)
    said = command("fidelity", "history", store)
    assert said.code == 1, said
    assert left.name in said.err
    assert command("inspect", store).code == 0


class _Killed(BaseException):
    """Like ``kill -9``: nothing is tidied up behind it."""


def test_wherever_it_is_killed_each_day_is_there_whole_or_not_at_all(
    proved: Proved, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def dying(real: Callable[..., Any], last: int) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= last:
                raise _Killed
            return real(*arguments, **named)

        return call

    last, seen = 0, set()
    while True:
        last, calls = last + 1, 0
        shutil.rmtree(store / FOLDER, ignore_errors=True)
        with monkeypatch.context() as patch:
            for of, name in (
                (os, "open"),
                (os, "fsync"),
                (Path, "write_bytes"),
                (Path, "replace"),
                (Path, "mkdir"),
            ):
                patch.setattr(of, name, dying(getattr(of, name), last))
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            try:
                keep(store, proved[2], run_at=RUN)
                killed = False
            except _Killed:
                killed = True
        kept = kept_reports(store)
        assert not kept.damaged
        seen.add(tuple(one.dt for one in kept.reports))
        if not killed:
            break
        assert lobproof.open(store).days().height == 2
        keep(store, proved[2], run_at=RUN)
        assert len(kept_reports(store).reports) == 2
    assert seen == {(), DAYS[:1], DAYS}


@pytest.mark.slow
def test_killed_at_random_the_store_can_be_read(proved: Proved, store: Path) -> None:
    script = """
import sys
from pathlib import Path
from lobproof.fidelity.reports import keep
from lobproof.pipeline.prove import prove
store, golden = map(Path, sys.argv[1:])
report = prove(store, golden)
print("ready", flush=True)
while True:
    keep(store, report)
"""
    rng = random.Random(4)
    for _ in range(8):
        with running(script, store, proved[1]) as process:
            wait_for("ready", process)
            time.sleep(rng.uniform(0.0, 0.5))
        kept = kept_reports(store)
        assert not kept.damaged
        assert lobproof.open(store).audit().clean
    assert kept.reports
