"""The order of events on the recordings: what of the trades it explains, on spot and on futures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lobproof.fidelity.exact import Verdict, verify
from lobproof.pipeline import derive_lake, reconstruct_sample
from lobproof.pipeline.feed import Feed
from lobproof.pipeline.golden import golden_streams
from lobproof.replay import Replayer
from lobproof.schema import Clock, Order
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.store import Store, open_store
from support.reconstructions import reconstruct_lake

pytestmark = pytest.mark.real

KINDS = ("explained", "refilled", "transient", "grown", "unnamed")


class Accounts(NamedTuple):
    """Shares of the traded volume, in %, in the order of ``KINDS``; trades, and those unnamed."""

    shares: tuple[float, ...]
    trades: int
    unnamed: int

    @property
    def named(self) -> float:
        """Share of trades that are explained or classified."""
        return 1 - self.unnamed / self.trades

    def __str__(self) -> str:
        told = ", ".join(f"{k} {s:.2f} %" for k, s in zip(KINDS, self.shares, strict=True))
        return f"{told}; {self.named:.3%} of {self.trades:,} trades named"


class Recording(NamedTuple):
    pattern: str
    exchange: str
    by_sending: float
    """% of the volume explained where E orders the book, which goes first on a tie."""
    explained: float
    unnamed: int


RECORDINGS = {
    "BTCUSDT": Recording("data/**/btcusdt_*.gz", "BINANCE", 77.1, 77.1, 1),
    "ETHUSDT": Recording("data/**/ethusdt_*.gz", "BINANCE", 81.9, 81.9, 0),
    "NEXOUSDT": Recording("data/**/nexousdt_*.gz", "BINANCE", 84.2, 84.2, 3),
    "ETHUSDT futures": Recording("futures/**/ethusdt_*.gz", "BINANCE_FUTURES", 87.4, 87.5, 0),
    "ETHUSD_PERP": Recording("futures/**/ethusd_perp_*.gz", "BINANCE_DELIVERY", 73.0, 89.9, 0),
}
FUTURES = [name for name, recording in RECORDINGS.items() if recording.exchange != "BINANCE"]
DERIVED = {  # lags in ms of the first day, % of the volume explained, trades unnamed
    ("ETHUSDT futures", "E"): (1, 87.3, 0),
    ("ETHUSDT futures", "T"): (0, 87.4, 0),
    ("ETHUSD_PERP", "E"): (8, 82.9, 12),
    ("ETHUSD_PERP", "T"): (0, 89.9, 0),
}


@pytest.fixture(scope="module")
def samples(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Golden samples of all recordings; of futures where their folder is there."""
    folder = tmp_path_factory.mktemp("samples")
    found: dict[str, Path] = {}
    for name, recording in RECORDINGS.items():
        top, _, rest = recording.pattern.partition("/")
        root = real_data if top == "data" else real_data.parent / top
        files = sorted(root.glob(rest))
        if files:
            found[name] = import_recordings(files, folder / name.replace(" ", "-")).path
    return found


def sample_of(samples: dict[str, Path], name: str) -> Path:
    if name not in samples:
        pytest.skip("no recordings of futures: no folder futures/ beside that of the recordings")
    return samples[name]


def replayed(path: Path, order: Order) -> Accounts:
    """What the replay tells of a sample's trades in another order."""
    golden = GoldenSource(GoldenSample.load(path), book_clock=order.book_clock)
    replayer = Replayer(golden.instrument, state_every=-1)
    minutes, count, ts = [], 0, 0
    for segment in Feed(replace(golden_streams(golden, 1 << 16), order=order)):
        if not count:
            replayer.begin_day(int(segment.events.ts_order[0]))
        for chunk in replayer.chunks(segment, count):
            minutes.append(chunk.output.minutes)
            count += len(chunk)
        ts = segment.last_ts
    minutes.append(replayer.end_day(count - 1, ts).minutes)
    sums = {name: sum(int(np.sum(m[name])) for m in minutes) for name in _COUNTED}
    return _accounts(sums)


def stored(store: Store) -> Accounts:
    minutes = store.minutes(raw=True).collect()
    return _accounts({name: float(minutes[name].sum()) for name in _COUNTED})


_COUNTED = (
    *(f"{k}_volume" for k in KINDS),
    "buy_volume",
    "sell_volume",
    "trades",
    "unnamed_trades",
)


def _accounts(sums: dict[str, int] | dict[str, float]) -> Accounts:
    total = sums["buy_volume"] + sums["sell_volume"]
    shares = tuple(100 * sums[f"{kind}_volume"] / total for kind in KINDS)
    return Accounts(shares, int(sums["trades"]), int(sums["unnamed_trades"]))


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_order_of_the_venue_explains_most(
    samples: dict[str, Path], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, recording = sample_of(samples, name), RECORDINGS[name]
    before = replayed(path, Order("E", "book"))
    after = replayed(path, GoldenSource(GoldenSample.load(path)).order)
    with capsys.disabled():
        print(f"\n{name}, by E, the book first: {before}\n{name}, as its venue has it: {after}")
    assert before.shares[0] == pytest.approx(recording.by_sending, abs=0.06)
    assert after.shares[0] == pytest.approx(recording.explained, abs=0.06)
    assert after.unnamed == recording.unnamed
    assert after.named >= 0.999
    assert sum(after.shares) == pytest.approx(100, abs=0.6), "beyond the range nothing is told"


@pytest.mark.parametrize("name", FUTURES)
def test_futures_are_verified(samples: dict[str, Path], tmp_path: Path, name: str) -> None:
    golden = sample_of(samples, name)
    result = reconstruct_sample(golden, tmp_path)
    assert result.exchange == RECORDINGS[name].exchange
    store = open_store(tmp_path)
    report = verify(store, golden)
    assert report.verdict is Verdict.PASS, [check.reason for check in report.checks]
    for check in ("level_changes", "trades", "book_ticker_same_id", "order"):
        assert report.check(check).verdict is Verdict.EXACT, check
    assert stored(store).named >= 0.999


@pytest.mark.parametrize(("name", "clock"), DERIVED)
def test_derived_days_show_the_lag(
    samples: dict[str, Path],
    tmp_path: Path,
    name: str,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lag, explained, unnamed = DERIVED[name, clock]
    golden = sample_of(samples, name)
    derive_lake(golden, tmp_path / "lake", book_clock=clock)
    reconstruct_lake(tmp_path / "lake", tmp_path / "store")
    store = open_store(tmp_path / "store")
    orders = [json.loads(config)["order"] for config in store.days()["config"]]
    told = stored(store)
    with capsys.disabled():
        lags = ", ".join(f"{order['lag_ns'] / 1e6:g} ms" for order in orders)
        print(f"\n{name}, derived by {clock}, lag {lags}: {told}")
    assert orders[0] == {"book_clock": clock, "first_on_tie": "trade", "lag_ns": lag * 10**6}
    assert told.shares[0] == pytest.approx(explained, abs=0.06)
    assert told.unnamed == unnamed
    report = verify(store, golden, lake=tmp_path / "lake")
    assert report.verdict is Verdict.PASS, [check.reason for check in report.checks]
