"""Every recording: its store is exact, and one in a hundred rows that is not fails the right check.

The table that the module prints shows each recording, its events, the verdict and what failed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path

import pytest

from lobproof.fidelity.exact import Verdict, verify
from lobproof.fidelity.inference.dependence import MIN_BLOCKS
from lobproof.pipeline import reconstruct_sample
from lobproof.pipeline.prove import prove
from lobproof.sources.recordings import import_recordings
from support.store_mutations import IDENTITY, MUTATIONS, Original, hold

pytestmark = pytest.mark.real

RECORDINGS = {
    "BTCUSDT": "data/binance-spot/btcusdt_*.gz",
    "ETHUSDT": "data/binance-spot/ethusdt_*.gz",
    "NEXOUSDT": "data/binance-spot/nexousdt_*.gz",
    "ETHUSDT futures": "futures/binance-usdm/ethusdt_*.gz",
    "ETHUSD_PERP": "futures/binance-coinm/ethusd_perp_*.gz",
}
QUICK = ("BTCUSDT", "ETHUSDT futures")
"""One of spot and one of futures."""
SHIFTED_FROZEN_DROPPED = (
    "1 % of level changes a tick off",
    "1 % of trades a tick off",
    "book frozen for 1 %",
    "1 % of depth messages lost",
    "1 % of trades lost",
)
EXACT = ("schema", "chain", "uncrossed", "grid", "order", "trade_ids", "level_changes", "trades")
SEED = 16


Made = Callable[[str], tuple[Path, Original]]


@pytest.fixture(scope="module")
def made(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The golden sample of a recording, and its store."""
    folder = tmp_path_factory.mktemp("exact")

    @cache
    def one(name: str) -> tuple[Path, Original]:
        top, _, pattern = RECORDINGS[name].partition("/")
        root = real_data if top == "data" else real_data.parent / top
        files = sorted(root.glob(pattern))
        if not files:
            pytest.skip(f"no recording of {name}: {root} has no {pattern}")
        golden = import_recordings(files, folder / name / "golden", snapshot_limit=1000).path
        reconstruct_sample(golden, folder / name / "store")
        return golden, Original.of(folder / name / "store", golden)

    return one


def suite(quick: Collection[str]) -> list[object]:
    """Recordings, those that are not quick marked slow."""
    return [
        one if one in quick else pytest.param(one, marks=pytest.mark.slow) for one in RECORDINGS
    ]


def held(made: Made, name: str, mutations: Sequence[str], folder: Path) -> str:
    """The store as it is, then with each mutation; a line each."""
    golden, original = made(name)
    again = original.mutated(folder / "again", IDENTITY, SEED)
    known = original.store.days()["content_hash"].to_list()
    assert again.days()["content_hash"].to_list() == known, "what is not changed is the same"
    report = verify(original.store, golden)
    assert report.verdict is Verdict.PASS, [check.reason for check in report.checks]
    for check in EXACT:
        assert report.check(check).verdict is Verdict.EXACT, check
    lines = [f"{name}: {len(original.events):,} events, {report.verdict}"]
    for number, mutation in enumerate(mutations):
        failed = hold(original, golden, folder / str(number), mutation, SEED)
        lines.append(f"  {mutation}: {', '.join(failed)}")
    return "\n".join(["", *lines])


@pytest.mark.parametrize("name", suite(QUICK))
def test_one_in_a_hundred_shifted_frozen_or_dropped(
    made: Made, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = held(made, name, SHIFTED_FROZEN_DROPPED, tmp_path)
    with capsys.disabled():
        print(told)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_every_other_mutation(
    made: Made, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = held(
        made, name, [one for one in MUTATIONS if one not in SHIFTED_FROZEN_DROPPED], tmp_path
    )
    with capsys.disabled():
        print(told)


@pytest.mark.parametrize("name", suite(["ETHUSDT futures"]))
def test_fidelity_passes_or_says_what_it_would_need(
    made: Made, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gates A and B are exact; gate C passes a metric only with blocks enough, and fails none."""
    golden, original = made(name)
    report = prove(original.store, golden)
    (against,) = report.against
    assert against.exact is not None
    assert against.same is not None
    assert against.exact.verdict is Verdict.PASS
    assert report.verdict is against.same.verdict is Verdict.INCONCLUSIVE, "minutes, or a quiet day"
    counts = Counter(one.verdict for one in against.same.compared)
    assert set(counts) <= {Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE}
    for one in against.same.compared:
        figures = [figure for figure in one.figures if not math.isnan(figure.upper)]
        assert all(figure.estimate == figure.upper == 0.0 for figure in figures), one
        assert one.plain is None or one.plain.ks_pass
        if one.verdict is Verdict.PASS:
            assert figures
            assert one.blocks >= MIN_BLOCKS
        elif one.verdict is Verdict.INCONCLUSIVE:
            assert one.needed_ns > one.blocks * one.block_ns, one
        assert one.reason or one.verdict is Verdict.PASS
    longest = max(one.needed_ns for one in against.same.compared) / 3.6e12
    many = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    with capsys.disabled():
        print(
            f"\n{name}: A, B {against.exact.verdict}; C {many}; {longest:,.1f} h would do for all"
        )
