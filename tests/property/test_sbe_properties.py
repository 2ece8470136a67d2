"""What a plain encoder writes as SBE, the decoder reads; what is not whole it refuses."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobproof.sources.binance.decode import Problem
from lobproof.sources.binance.sbe import LEVEL, TRADE, read_sbe
from support.sbe import depth_frame, snapshot_frame, touch_frame, trades_frame

NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)
EXPONENTS = st.tuples(st.integers(-18, 18), st.integers(-18, 18))
SYMBOLS = st.text(max_size=20)
SIDES = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30)
IDS = st.integers(1, (1 << 63) - 1)


@given(SYMBOLS, st.lists(st.tuples(IDS, NUMBERS, NUMBERS, st.booleans()), max_size=30), EXPONENTS)
def test_trades(
    symbol: str, trades: list[tuple[int, int, int, bool]], exponents: tuple[int, int]
) -> None:
    frame = read_sbe(trades_frame(symbol, trades, time_us=5, exponents=exponents))
    assert (frame.kind, frame.symbol, frame.event_us, frame.time_us) == ("trade", symbol, 12, 5)
    assert (frame.price_exponent, frame.size_exponent) == exponents
    entries = np.frombuffer(frame.entries, TRADE)
    assert entries.tolist() == [(*one[:3], int(one[3])) for one in trades]
    assert (frame.bids, frame.asks) == (len(trades), 0)


@given(SYMBOLS, IDS, st.integers(0, 1000), SIDES, SIDES, EXPONENTS)
def test_depth(
    symbol: str,
    first: int,
    more: int,
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    exponents: tuple[int, int],
) -> None:
    last = min(first + more, (1 << 63) - 1)
    frame = read_sbe(depth_frame(symbol, first, last, bids, asks, exponents=exponents))
    assert (frame.kind, frame.symbol, frame.first, frame.last) == ("depth", symbol, first, last)
    assert (frame.price_exponent, frame.size_exponent) == exponents
    assert np.frombuffer(frame.entries, LEVEL).tolist() == [*bids, *asks]
    assert (frame.bids, frame.asks) == (len(bids), len(asks))
    top = read_sbe(snapshot_frame(symbol, last, bids, asks))
    assert (top.kind, top.first, top.last, top.entries) == ("depth20", last, last, frame.entries)


@given(SYMBOLS, IDS, st.tuples(NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS), EXPONENTS)
def test_touch(
    symbol: str,
    update: int,
    bid: tuple[int, int],
    ask: tuple[int, int],
    exponents: tuple[int, int],
) -> None:
    frame = read_sbe(touch_frame(symbol, update, bid, ask, exponents=exponents))
    assert (frame.kind, frame.symbol, frame.last) == ("bestBidAsk", symbol, update)
    assert np.frombuffer(frame.entries, LEVEL).tolist() == [bid, ask]
    assert (frame.price_exponent, frame.size_exponent) == exponents


FRAMES = {
    "trades": trades_frame("BTCUSDT", [(1, 2, 3, True), (2, 2, 3, False)]),
    "touch": touch_frame("BTCUSDT", 9, (1, 2), (3, 4)),
    "depth": depth_frame("BTCUSDT", 3, 9, [(1, 2), (5, 6)], [(3, 4)]),
    "top": snapshot_frame("BTCUSDT", 9, [(1, 2)], [(3, 4)]),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_frame_of_another_length_is_refused(frame: bytes) -> None:
    for size in range(len(frame)):
        with pytest.raises(Problem) as refused:
            read_sbe(frame[:size])
        assert refused.value.reason == "sbe length"
    with pytest.raises(Problem, match="sbe length"):
        read_sbe(frame + b"\0")


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, 17, "length"),
        (2, 0x14, "template"),
        (4, 3, "schema"),
        (6, 1, "schema"),
        (8 + 24, 100, "value"),  # the exponent of prices
        (8 + 8, 200, "value"),  # the first id, now behind the last
        (8 + 26, 17, "length"),  # of a level
        (8 + 28, 200, "length"),  # levels
        (-1, 0xFF, "value"),
    ],
)
def test_a_wrong_byte_is_named(at: int, value: int, reason: str) -> None:
    frame = bytearray(FRAMES["depth"])
    frame[at] = value
    with pytest.raises(Problem) as refused:
        read_sbe(bytes(frame))
    assert refused.value.reason == f"sbe {reason}"


def test_a_maker_is_or_is_not() -> None:
    frame = bytearray(FRAMES["trades"])
    frame[8 + 18 + 6 + 24] = 2
    with pytest.raises(Problem, match="maker"):
        read_sbe(bytes(frame))


@given(st.sampled_from(sorted(FRAMES)), st.data())
@settings(max_examples=300)
def test_whatever_it_is_given(name: str, data: st.DataObject) -> None:
    """Nothing but a frame or a problem comes out of bytes."""
    frame = bytearray(FRAMES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    found = None
    with suppress(Problem):
        found = read_sbe(bytes(frame[: data.draw(st.integers(0, len(frame)))]))
    if found is not None:
        entry = TRADE if found.kind == "trade" else LEVEL
        assert len(found.entries) == (found.bids + found.asks) * entry.itemsize
