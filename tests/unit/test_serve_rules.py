"""The venue's clock, its weights and limits, what streams are called, and times in two units."""

from __future__ import annotations

import pytest

from lobproof.errors import UsageError
from lobproof.serve import PROFILES, VenueClock
from lobproof.serve.clock import MINUTE, SECOND
from lobproof.serve.connection import frame, in_unit
from lobproof.serve.weights import Weights
from lobproof.sources.binance.venue import data_key
from support.venue import START


def test_the_clock_stands_until_it_begins_and_then_runs_at_its_speed() -> None:
    real = [5 * SECOND]
    clock = VenueClock(START, 1000.0, monotonic=lambda: real[0])
    assert (clock.now(), clock.begun) == (START, False)
    real[0] += SECOND
    assert clock.now() == START
    clock.begin()
    real[0] += 3 * SECOND
    clock.begin()
    assert clock.now() == START + 3000 * SECOND
    assert clock.seconds_until(START + 4000 * SECOND) == pytest.approx(1.0)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_goes_nowhere_is_refused(speed: float) -> None:
    with pytest.raises(UsageError, match="venue time"):
        VenueClock(START, speed)


def test_weights_are_those_of_a_minute_and_who_goes_on_is_shut_out() -> None:
    weights = Weights(6000)
    now = START + 15 * SECOND
    assert [weights.take(250, now)[0] for _ in range(24)] == [200] * 24
    assert weights.used == 6000
    assert weights.take(1, now) == (429, 45)
    assert weights.take(1, START + MINUTE) == (200, 0)
    assert weights.used == 1
    statuses = [weights.take(6000, START + MINUTE)[0] for _ in range(12)]
    assert statuses == [429] * 10 + [418] * 2
    assert weights.take(1, START + 2 * MINUTE) == (418, 60)
    assert weights.take(1, START + 3 * MINUTE) == (200, 0)


def test_depth_costs_by_its_limit() -> None:
    spot, usdm = PROFILES["spot"], PROFILES["usdm"]
    assert [spot.depth_weight(n) for n in (1, 100, 101, 1000, 1001, 5000)] == [
        5, 5, 25, 50, 250, 250,
    ]  # fmt: skip
    assert [usdm.depth_weight(n) for n in (5, 50, 100, 500, 1000)] == [2, 2, 5, 10, 20]


def test_all_speeds_of_depth_are_one_stream_of_data() -> None:
    for name in ("depth", "depth@100ms", "depth@0ms", "depth@500ms"):
        assert data_key(f"btcusdt@{name}") == "btcusdt@depth"
    assert data_key("btcusdt@markPrice@1s") == "btcusdt@markPrice"
    assert data_key("btcusdt@depth20@100ms") == "btcusdt@depth20@100ms"


def test_tiers_carry_their_own_streams() -> None:
    usdm = PROFILES["usdm"]
    public = ("depth@100ms", "depth20", "rpiDepth", "bookTicker", "trade")
    market = ("aggTrade", "markPrice@1s", "kline_1m", "forceOrder")
    for names, tier, other in ((public, "public", "market"), (market, "market", "public")):
        for name in names:
            assert usdm.carries(tier, f"btcusdt@{name}")
            assert not usdm.carries(other, f"btcusdt@{name}")
            assert not usdm.carries("private", f"btcusdt@{name}")


def test_times_are_in_the_unit_that_was_asked_for() -> None:
    ms = b'{"e":"trade","E":1767571200123,"s":"X","p":"1767571200123","T":1767571200122,"m":true}'
    micro = ms.replace(b':1767571200123,"s"', b':1767571200123000,"s"').replace(
        b"1767571200122", b"1767571200122000"
    )
    assert in_unit(ms, False) is ms
    assert in_unit(micro, True) is micro
    assert in_unit(ms, True) == micro
    assert in_unit(micro, False) == ms
    assert in_unit(b'{"u":1}', True) == b'{"u":1}'


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_say_how_long_they_are(size: int) -> None:
    made = frame(b"x" * size)
    head = {125: 2, 65535: 4}.get(size, 2 if size < 126 else 4 if size < 65536 else 10)
    assert len(made) == size + head
    assert made[0] == 0x81
    assert int.from_bytes(made[2:head], "big") == (size if head > 2 else 0)
