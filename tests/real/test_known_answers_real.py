"""Metrics of a real hour against plain Python, and figures against the formulas of their sources.

Nothing of what is measured is shared: rows of the stored tables become exact decimals, and those
plain whole numbers. NEXOUSDT has whole hours; the recording of futures lasts less than six minutes.
"""

from __future__ import annotations

import math
import statistics
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lobproof.fidelity.metrics import garch, hawkes, series
from lobproof.fidelity.metrics.blocks import Blocks, Scale
from lobproof.fidelity.metrics.catalogue import BY_NAME
from lobproof.fidelity.metrics.grid import Grid
from lobproof.fidelity.metrics.measure import measure
from lobproof.fidelity.metrics.pairs import LAGS
from lobproof.fidelity.metrics.responses import RESPONSES_S
from lobproof.fidelity.metrics.volatility import SIGNATURE_S
from lobproof.pipeline import reconstruct_sample
from lobproof.schema import LEVELS, Kind
from lobproof.sources.recordings import import_recordings
from lobproof.store import Store, open_store
from plain import series as plain
from plain.messages import Event
from plain.metrics import PlainMetrics, PlainState
from support.blocks import as_plain
from support.simulated_blocks import samples_of

pytestmark = [pytest.mark.real, pytest.mark.slow]

HOUR = 3600 * 10**9


class Window(NamedTuple):
    files: str
    dt: str
    start: int
    end: int


WINDOWS = {
    "NEXOUSDT": Window("data/**/nexousdt_*.gz", "2024-07-24", 478_274 * HOUR, 478_275 * HOUR),
    "ETHUSDT futures": Window(
        "futures/binance-usdm/ethusdt_*.gz", "2024-08-08", 478_655 * HOUR, 478_656 * HOUR
    ),
}
"""The busiest hour of the one, 02:00 UTC; all of the other before midnight."""


class Hour(NamedTuple):
    """What was measured, and the same in plain Python; times of trades."""

    blocks: Blocks
    plain: PlainMetrics
    times: list[int]
    samples: dict[int, list[int]]
    figures: dict[str, NDArray[np.float64]]


class Units(NamedTuple):
    """Counts in a price and in a size of 1."""

    price: int
    size: int


def rows_of(
    store: Store, window: Window, units: Units
) -> tuple[list[Event], dict[int, PlainState]]:
    """Rows of a window, an hour before it and a minute behind it; states by the event before."""
    near = pl.col("ts_order").is_between(window.start - HOUR, window.end + HOUR // 60)
    columns = ["event_id", "ts_order", "prev_sequence", "kind", "side", "price", "size", "flags"]
    rows = store.stored("events", window.dt).filter(near).select(columns).collect()
    places = {event_id: place for place, event_id in enumerate(rows["event_id"].to_list())}
    events = [
        Event(
            ts_order=ts,
            prev_sequence=prev,
            kind=kind,
            side=side,
            price=int((price or 0) * units.price),
            size=int((size or 0) * units.size),
            flags=flags,
        )
        for _, ts, prev, kind, side, price, size, flags in rows.iter_rows()
    ]
    states = {}
    for row in store.stored("states", window.dt).filter(near).collect().iter_rows(named=True):
        sides = [
            tuple(
                (
                    int(row[f"{side}_{level}_price"] * units.price),
                    int(row[f"{side}_{level}_size"] * units.size),
                )
                for level in range(LEVELS)
                if row[f"{side}_{level}_price"]
            )
            for side in ("bid", "ask")
        ]
        states[places[row["event_id"]]] = PlainState(
            sides[0], sides[1], row["bid_trusted"], row["ask_trusted"]
        )
    return events, states


@pytest.fixture(scope="module", params=WINDOWS)
def hour(
    request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Hour:
    window = WINDOWS[request.param]
    files = sorted(real_data.parent.glob(window.files))
    if not files:
        pytest.skip(f"no recording {window.files} beside {real_data}")
    folder = tmp_path_factory.mktemp("hour")
    sample = import_recordings(files, folder / "golden", snapshot_limit=1000)
    reconstruct_sample(sample.path, folder / "store", metrics=False)
    store = open_store(folder / "store")
    scale = Scale.of(store.instrument(None, window.dt), 10 * 10**9)
    blocks = measure(store, None, window.dt, scale=scale, start=window.start, end=window.end)
    instrument = store.instrument(None, window.dt)
    units = Units(10**instrument.price_exponent, 10**instrument.size_exponent)
    events, states = rows_of(store, window, units)
    tick, lot = int(Decimal(scale.tick) * units.price), int(Decimal(scale.lot) * units.size)
    counted = PlainMetrics(events, states, tick=tick, lot=lot, block_ns=scale.block_ns)
    within = [e for e in events if window.start <= e.ts_order < window.end]
    times = [event.ts_order for event in within if event.kind == Kind.TRADE]
    figures = series.values_of(series.sums_of(Grid(blocks)))
    return Hour(blocks, counted, times, samples_of(blocks), figures)


def test_spreads_depths_imbalance_flow_and_trades(hour: Hour) -> None:
    as_plain(hour.blocks, hour.plain)
    trades = hour.blocks.sums[:, [BY_NAME[name].number for name in ("buy_size", "sell_size")], 0]
    assert trades.sum() == len(hour.times) > 1_000


def test_moments_of_returns(hour: Hour) -> None:
    mids = {at: sample[plain.MID2] for at, sample in hour.samples.items() if sample[plain.MID2]}
    for seconds in (0.1, 1, 10, 60):
        length, name = round(10 * seconds), f"return_{seconds:g}s"
        values = list(plain.returns(hour.samples, length).values())
        second, third, fourth = plain.moments(values)
        found = {what: float(hour.figures[f"{name}_{what}"]) for what in MOMENTS}
        gains, losses = (sum(v * v for v in values if s * v > 0) for s in (1, -1))
        assert found == {
            "variance": pytest.approx(float(second), rel=1e-12),
            "kurtosis": pytest.approx(float(fourth / second**2), rel=1e-10),
            "skewness": pytest.approx(float(third) / float(second) ** 1.5, rel=1e-9, abs=1e-12),
            "gain_loss": pytest.approx(math.log(gains / losses), abs=1e-12),
        }
        # and of logarithms that were never rounded to 1e-8
        logs = [math.log(mids[at] / mids[at - length]) for at in plain.ends(hour.samples, length)]
        assert found["variance"] * 1e-16 == pytest.approx(statistics.pvariance(logs), rel=1e-3)


MOMENTS = ("variance", "kurtosis", "skewness", "gain_loss")


def test_tails(hour: Hour) -> None:
    values = list(plain.returns(hour.samples, 10).values())
    found = series.estimates(Grid(hour.blocks))
    for share in (0.005, 0.01, 0.02):
        survival = found[f"hill_{100 * share:g}pc"]
        k = math.ceil(share * len(values))
        assert survival == pytest.approx(plain.hill(values, k), rel=1e-12)
        assert found[f"hill_{100 * share:g}pc_density"] == survival + 1


def test_volatility_at_all_scales(hour: Hour) -> None:
    realised = {s: plain.realised(hour.samples, round(10 * s)) for s in SIGNATURE_S}
    figures = hour.figures
    assert figures["signature"].tolist() == pytest.approx(
        [realised[s] / s for s in SIGNATURE_S], rel=1e-12
    )
    two_scale = (realised[5.0] - realised[0.1]) / 4.9
    assert figures["two_scale"] == pytest.approx(two_scale, rel=1e-11)
    assert figures["noise"] == pytest.approx((realised[0.1] - 0.1 * two_scale) / 2, rel=1e-11)
    assert figures["log_volatility"] == pytest.approx(math.log(realised[1.0]) / 2, rel=1e-12)
    lengths = [round(10 * s) for s in SIGNATURE_S if s >= 1]
    assert figures["intermittency"] == pytest.approx(
        plain.intermittency(hour.samples, lengths), rel=1e-8
    )


def test_autocorrelations(hour: Hour) -> None:
    returns = plain.returns(hour.samples, 10)
    traded = {end: [plain.flow(hour.samples, end, 10, c) for c in (6, 7)] for end in returns}
    for name, values in (
        ("acf_return", {end: float(r) for end, r in returns.items()}),
        ("acf_squared_return", {end: float(r * r) for end, r in returns.items()}),
        ("acf_absolute_return", {end: float(abs(r)) for end, r in returns.items()}),
        ("acf_trade_sign", {e: float((b > s) - (b < s)) for e, (b, s) in traded.items()}),
        ("acf_trade_imbalance", {e: (b - s) / max(b + s, 1) for e, (b, s) in traded.items()}),
        (
            "acf_order_flow",
            {e: float(plain.flow(hour.samples, e, 10, plain.OFI_1)) for e in returns},
        ),
    ):
        lags = LAGS[1:].tolist()
        expected = [plain.autocorrelation(values, 10, lag, hour.samples) for lag in lags]
        assert hour.figures[name].tolist() == pytest.approx(expected, abs=1e-11, nan_ok=True)


def test_order_flow_and_impact(hour: Hour) -> None:
    tick, lot = (hour.plain.tick, hour.plain.lot)
    samples, figures = hour.samples, hour.figures
    for seconds in (0.1, 1, 10):
        length = round(10 * seconds)
        ends = plain.ends(samples, length)
        moves = [
            (samples[e][plain.MID2] - samples[e - length][plain.MID2]) / (2 * tick) for e in ends
        ]
        for levels, column in ((1, plain.OFI_1), (5, plain.OFI_5)):
            flows = [plain.flow(samples, end, length, column) / lot for end in ends]
            name = f"ofi_{levels}_{seconds:g}s"
            line = statistics.linear_regression(flows, moves)
            assert figures[f"{name}_beta"] == pytest.approx(line.slope, rel=1e-9)
            fit = statistics.correlation(flows, moves) ** 2
            assert figures[f"{name}_r2"] == pytest.approx(fit, rel=1e-9)
        signed = [
            (
                plain.flow(samples, e, length, plain.BOUGHT)
                - plain.flow(samples, e, length, plain.SOLD)
            )
            / lot
            for e in ends
        ]
        line = statistics.linear_regression(signed, moves)
        assert figures[f"kyle_{seconds:g}s"] == pytest.approx(line.slope, rel=1e-9)
    for kind in ("market", "market_moved", "limit", "limit_moved", "cancel", "cancel_moved"):
        for lag, value in zip(RESPONSES_S, figures[f"response_{kind}"].tolist(), strict=True):
            events, moved = (
                sum(
                    hour.plain.blocks[start].tallies[f"{kind}_{lag:g}s_{what}"]
                    for start in hour.blocks.start.tolist()
                )
                for what in ("responses", "moves")
            )
            assert value == pytest.approx(moved / events / (2 * tick), rel=1e-12)
    for at, name in enumerate(("resilience_spread", "resilience_depth")):
        curve = [plain.resilience(samples, round(10 * s))[at] for s in RESPONSES_S]
        assert figures[name].tolist() == pytest.approx(curve, rel=1e-12)


def test_garch(hour: Hour) -> None:
    """At 1 s; no recording has hours with less than 25 % of zeros, which the model asks for."""
    scaled = [float(value) for value in plain.returns(hour.samples, 10).values()]
    values = np.array(scaled)
    mean, variance = statistics.fmean(scaled), statistics.pvariance(scaled)

    def likelihood(mu: float, omega: float, alpha: float, beta: float, nu: float) -> float:
        return plain.garch_likelihood([scaled], mu, omega, alpha, beta, nu, mean)

    begins = np.arange(len(values)) == 0
    before = garch.before(values - mean, begins)
    for at in ((mean, 0.1 * variance, 0.1, 0.8, 4.0), (0.0, variance, 0.3, 0.05, 2.2)):
        assert garch.likelihood(values, before, at)[0] == pytest.approx(likelihood(*at), rel=1e-12)
    assert math.isnan(series.estimates(Grid(hour.blocks))["garch_alpha"])
    found = garch.fit_garch(values)
    assert (found is None) == (len(values) < garch.FEWEST)
    if found is not None:  # of zeros mostly: the fit says that it means little
        assert found.at_edge


def test_hawkes(hour: Hour) -> None:
    found = hawkes.fit_hawkes(np.array(hour.times))
    assert found is not None
    assert found.converged
    distinct = sorted(set(hour.times))
    times = [(time - distinct[0]) / 1e9 for time in distinct]

    def likelihood(given: list[float]) -> float:
        return plain.hawkes_likelihood(times, times[-1], *given)

    at = [found.mu, found.branching, found.beta]
    assert found.events == len(times)
    assert found.likelihood == pytest.approx(likelihood(at), rel=1e-9)
    for slope, value in zip(plain.slopes(likelihood, at), at, strict=True):
        assert abs(slope * value) < 1e-4 * len(times)
