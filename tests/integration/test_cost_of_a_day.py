"""What is read for a symbol-day does not grow with the days that a store holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lobproof.fidelity import reports
from lobproof.fidelity.gates.settings import Level
from lobproof.fidelity.reports import keep, kept_reports
from lobproof.pipeline import ReconstructOptions, lake_days, reconstruct_day
from lobproof.pipeline.certificate import certify_dataset
from lobproof.pipeline.prove import prove
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate
from lobproof.store import Partition, Scope, open_store, sealed
from lobproof.store import seal as seals
from support.batches import make_day, make_instrument, store_day

OTHERS = tuple(f"2025-0{1 + n // 28}-{1 + n % 28:02}" for n in range(40))


def full_of(store: Path, dts: tuple[str, ...]) -> Path:
    """A store that has other days of the symbol."""
    for dt in dts:
        store_day(store, make_day(messages=5, dt=dt, instrument=make_instrument("SIM-USDT")))
    return store


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """How many seals and reports are read meanwhile."""
    found = {"seals": 0, "reports": 0}

    def counting(name: str, given: Callable[..., object], size: Callable[..., int]) -> object:
        def told(*arguments: object) -> object:
            found[name] += size(*arguments)
            return given(*arguments)

        return told

    with monkeypatch.context() as patch:
        of = counting("seals", seals._read_seals, lambda sizes: len(sizes))
        patch.setattr(seals, "_read_seals", of)
        of = counting("reports", reports.read_report, lambda _: 1)
        patch.setattr(reports, "read_report", of)
        yield found


def test_a_day_costs_the_same_in_a_full_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = simulate(tmp_path / "sim", lake=True, recording=True, minutes=0.3, seed=3)
    assert made_up.lake is not None
    golden = import_recordings(list(made_up.recordings), tmp_path / "golden").path
    (day,) = lake_days(made_up.lake)
    where = Partition(day.exchange, day.symbol, day.dt)
    cost = []
    for name, others in (("few", OTHERS[:2]), ("many", OTHERS)):
        store = full_of(tmp_path / name, others)
        with counted(monkeypatch) as read:
            reconstruct_day(day, store, ReconstructOptions())
            made = open_store(store, Scope.of(where))
            report = prove(made, [golden], level=Level.LIGHT)
            keep(store, report)
            for dt in others[:20]:
                folder = store / reports.FOLDER / where.folder
                other = folder.parent / f"dt={dt}"
                other.mkdir(parents=True, exist_ok=True)
                (other / "report.json").write_text("{}")
            assert len(kept_reports(store, Scope.of(where)).reports) == 1
            certify_dataset(made)
        cost.append(read)
        assert sealed(store).height == len(others) + 1
        assert made.days()["dt"].to_list() == [day.dt]
        assert made.symbols()["days"].to_list() == [1]
    assert cost[0] == cost[1]
    assert cost[0]["seals"] >= 1


def test_days_without_a_seal_are_those_of_the_scope(tmp_path: Path) -> None:
    store = full_of(tmp_path / "store", OTHERS[:3])
    whole = open_store(store)
    for path in (store / "days").rglob(f"dt={OTHERS[1]}/*.parquet"):
        path.unlink()
    assert len(whole.days()) == 3
    assert [one.partition.dt for one in open_store(store).unsealed()] == [OTHERS[1]]
    one = Scope("BINANCE", "SIM-USDT", frozenset([OTHERS[0]]))
    assert open_store(store, one).unsealed() == ()
    assert open_store(store, one).days()["dt"].to_list() == [OTHERS[0]]
    gone = Scope("BINANCE", "SIM-USDT", frozenset([OTHERS[1]]))
    assert [one.partition.dt for one in open_store(store, gone).unsealed()] == [OTHERS[1]]


@pytest.mark.parametrize(
    ("scope", "folder"),
    [
        (Scope(), ""),
        (Scope("A"), "exchange=A"),
        (Scope("A", "B"), "exchange=A/symbol=B"),
        (Scope("A", "B", frozenset(["2026-01-01"])), "exchange=A/symbol=B/dt=2026-01-01"),
        (Scope("A", "B", frozenset(["2026-01-01", "2026-01-02"])), "exchange=A/symbol=B"),
        (Scope(None, "B", frozenset(["2026-01-01"])), ""),
    ],
)
def test_the_folder_that_a_scope_lies_below(scope: Scope, folder: str) -> None:
    assert scope.folder == folder
