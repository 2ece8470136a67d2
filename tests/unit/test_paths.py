"""Paths as text: every public function takes them, and an empty one is refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lobproof
import lobproof.pipeline
import lobproof.store
from lobproof.acquire.certificate import verify_certificate
from lobproof.acquire.lake import Lake
from lobproof.acquire.zones import LakeFolder
from lobproof.errors import InputError, StoreError, UsageError
from lobproof.paths import as_path, as_paths
from lobproof.pipeline import (
    PartialDay,
    derive_lake,
    lake_days,
    reconstruct_day,
    reconstruct_days,
)
from lobproof.sources.golden import GoldenSample
from lobproof.timespan import to_ns

PUBLIC: list[Callable[..., Any]] = [
    getattr(module, name)
    for module in (lobproof, lobproof.pipeline)
    for name in module.__all__
    if inspect.isroutine(getattr(module, name))
] + [lobproof.Store, Lake, LakeFolder, GoldenSample.load, verify_certificate]


class Nobody:
    """A watcher that does not care."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@pytest.mark.parametrize("function", PUBLIC, ids=lambda one: one.__qualname__)
def test_no_public_function_asks_for_path_objects(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    kinds = {one.name: str(one.annotation) for one in parameters}
    assert not [name for name, kind in kinds.items() if re.search(r"\bPath\b", kind)]


def test_the_whole_chain_takes_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = lobproof.simulate("sim", minutes=0.05, lake=True, snapshot_every=1.0)
    lobproof.import_recordings([str(path) for path in made.recordings], "one")
    assert lobproof.reconstruct("one", "store").days
    store = lobproof.open("store")
    assert lobproof.Store("store").days().equals(store.days())
    report = lobproof.verify(store, "one")
    assert lobproof.report(store, "pages/page.html", verification=report).is_file()
    assert derive_lake("one", "derived").rows
    assert repr(lobproof.verify("store", "one")) == repr(report)
    assert lobproof.report("store", "page.html", verification=report.to_dict()).is_file()
    days = lake_days("sim/lake")
    assert lobproof.lake("sim/lake").days().height
    assert reconstruct_day(days[0], "single").days
    since = PartialDay(to_ns(f"{days[0].dt}T00:00:02"), "single")
    assert reconstruct_day(days[0], "partial", since=since).days
    watcher: Any = Nobody()
    (outcome,) = reconstruct_days(days[:1], "many", watcher=watcher)
    assert outcome.failure is None
    assert lobproof.verify(lobproof.open("many"), lake="sim/lake").coverage
    assert LakeFolder("acquired", create=True).root.is_dir()


def test_one_recording_is_no_list_of_letters(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.gz does not exist"):
        lobproof.import_recordings(str(tmp_path / "missing.gz"), tmp_path / "golden")
    assert as_paths("abc") == as_paths(["abc"]) == as_paths(Path("abc")) == [Path("abc")]


def test_an_empty_path_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: as_path(""),
        lambda: lobproof.open(""),
        lambda: lobproof.lake(""),
        lambda: lobproof.simulate("", minutes=0.01),
    ):
        with pytest.raises(UsageError, match="a path is empty"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [None, 5, 1.5, {"a" * 40: "b" * 999}])
def test_what_is_no_path_is_refused(given: Any) -> None:
    for call in (lobproof.open, lobproof.lake, as_path):
        with pytest.raises(UsageError, match="is no path") as refused:
            call(given)
        assert len(refused.value.message) < 80


def test_a_store_is_one_or_the_path_of_one(tmp_path: Path) -> None:
    made = lobproof.simulate(tmp_path / "sim", minutes=0.05, snapshot_every=1.0)
    golden = lobproof.import_recordings(made.recordings, tmp_path / "golden")
    assert repr(golden).splitlines()[0] == f"Golden sample {tmp_path / 'golden'}"
    assert "DEMO: synthetic data" in repr(golden)
    assert max(map(len, repr(golden).splitlines()[1:])) < 120
    result = lobproof.reconstruct(golden.path, tmp_path / "store")
    others: tuple[Any, ...] = (None, 5, result)
    second: tuple[tuple[Callable[..., Any], Path], ...] = (
        (lobproof.verify, golden.path),
        (lobproof.report, tmp_path / "page.html"),
    )
    for given in others:
        for function, path in second:
            with pytest.raises(UsageError, match="neither a store nor") as caught:
                function(given, path)
            assert "`lobproof.open`" in caught.value.hint
    with pytest.raises(StoreError):
        lobproof.verify(tmp_path / "sim", golden.path)
    verified = lobproof.verify(result.store, golden.path)
    wrong: tuple[Any, ...] = (verified.verdict, {"verdict": "pass"}, 5, [5], verified.checks)
    for verification in wrong:
        with pytest.raises(UsageError, match="A verification is what"):
            lobproof.report(result.store, tmp_path / "page.html", verification=verification)
    several: Any = ["SIM-USDT"]
    for function, path in second:
        with pytest.raises(UsageError, match="one symbol only"):
            function(result.store, path, symbol=several)
    with pytest.raises(UsageError, match="is no day of the store") as caught:
        lobproof.verify(result.store, golden.path, start=1_767_571_200)
    assert "looks like seconds" in caught.value.hint
