"""The recordings assessed: the clock is told in the right words, the feeds are whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lobproof.assess.day import assess_lake, assess_sample
from lobproof.pipeline import derive_lake, lake_days
from lobproof.sources.recordings import import_recordings

pytestmark = pytest.mark.real

SYMBOLS = {
    # receive time minus exchange time, ms; depth messages, trades; shares at, through, inside
    "btcusdt": ((-1275, -1270), 6_495, 19_904, (0.45, 0.52, 0.03)),
    "ethusdt": ((-1275, -1270), 6_470, 14_515, (0.46, 0.51, 0.03)),
    "nexousdt": ((-70, -28), 68_182, 12_458, (0.69, 0.26, 0.05)),
}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_recording(real_data: Path, tmp_path: Path, symbol: str) -> None:
    offset, depth, trades, shares = SYMBOLS[symbol]
    files = sorted((real_data / "binance-spot").glob(f"{symbol}_*.gz"))
    sample = import_recordings(files, tmp_path / "golden")
    found = assess_sample(sample)
    assert (found.judged.verdict, found.judged.strategy, found.judged.gap_ratio) == (
        "GO",
        "full",
        0.0,
    )
    clock = found.clock
    assert clock.wrong
    assert clock.offset_ms is not None
    assert offset[0] <= clock.offset_ms <= offset[1]
    shown = rf"{-clock.offset_ms:,.0f}" if clock.offset_ms < -1000 else r"\d+\.\d"
    assert re.match(
        rf"The recorder's clock is {shown} ms behind the exchange's: receive times are before "
        "exchange times",
        clock.says,
    )
    assert clock.says in found.judged.notes
    assert found.messages is not None
    assert found.prints is not None
    assert (found.messages.messages, found.messages.missing_ids) == (depth, 0)
    seen = found.prints
    assert seen.trades == trades
    for part, share in zip((seen.at, seen.through, seen.inside), shares, strict=True):
        assert part / seen.compared == pytest.approx(share, abs=0.01)
    derive_lake(sample.path, tmp_path / "lake")
    for day in lake_days(tmp_path / "lake"):
        one = assess_lake(day)
        assert (one.judged.verdict, one.judged.strategy) == ("GO", "full"), one.judged
        assert one.clock.wrong
        assert one.clock.says in one.judged.notes
