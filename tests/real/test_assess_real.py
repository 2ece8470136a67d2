"""The recordings assessed: the clock is told in the right words, the feeds are whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lobproof.assess.day import assess_lake, assess_sample, reference
from lobproof.assess.page import write_report
from lobproof.assess.thresholds import Thresholds
from lobproof.pipeline import derive_lake, lake_days
from lobproof.sources.recordings import import_recordings

pytestmark = pytest.mark.real

SYMBOLS = {
    # receive time minus exchange time, ms; depth messages, trades; shares at, through, inside
    "btcusdt": ((-1275, -1270), 6_495, 19_904, (0.45, 0.52, 0.03)),
    "ethusdt": ((-1275, -1270), 6_470, 14_515, (0.46, 0.51, 0.03)),
    "nexousdt": ((-70, -28), 68_182, 12_458, (0.69, 0.26, 0.05)),
}


def verdict_of(symbol: str) -> str:
    return "NO-GO" if symbol == "nexousdt" else "GO"


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_recording(real_data: Path, tmp_path: Path, symbol: str) -> None:
    offset, depth, trades, shares = SYMBOLS[symbol]
    files = sorted((real_data / "binance-spot").glob(f"{symbol}_*.gz"))
    sample = import_recordings(files, tmp_path / "golden")
    found = assess_sample(sample)
    judged = found.judged
    assert (judged.strategy, judged.gap_ratio, judged.figures.gap_of) == ("full", 0.0, "ids")
    assert judged.verdict == verdict_of(symbol), judged.why
    if judged.verdict == "NO-GO":  # its recorder's clock wanders by more than the limit
        assert re.search(r"95th percentile of the skew of \w+ is 12\d ms.*--limit", judged.why[0])
        limits = Thresholds(skew_p95_ms=150)
        assert assess_sample(sample, limits=limits).judged.verdict == "GO"
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
        one = assess_lake(day, limits=Thresholds(skew_p95_ms=200))
        missing = one.judged.figures.heard.missing
        assert missing is not None
        wanted = "undecided" if missing >= 0.05 else "GO"
        if wanted != "GO":
            assert re.search(r"only \d+\.\d% of the day is there", one.judged.why[0])
        assert one.judged.strategy == "full", one.judged
        assert one.judged.verdict == wanted, one.judged
        assert one.clock.wrong
        assert one.clock.says in one.judged.notes
        holds = {fact.name: fact.holds for fact in one.facts}
        assert holds["no-snapshot"] == "holds"


FUTURES = {"binance-usdm": (6_586, 14_076), "binance-coinm": (39_155, 3_595)}
"""Folder → depth messages and trades."""


@pytest.mark.parametrize("folder", FUTURES)
def test_a_recording_of_futures(real_data: Path, tmp_path: Path, folder: str) -> None:
    """All of assess: sample, derived day, both reports, beside each other."""
    files = sorted((real_data.parent / "futures" / folder).glob("*.gz"))
    if not files:
        pytest.skip(f"no recordings of futures: {real_data.parent}/futures/{folder} has none")
    sample = import_recordings(files, tmp_path / "golden")
    found = assess_sample(sample)
    judged = found.judged
    assert (judged.verdict, judged.strategy, judged.gap_ratio) == ("GO", "full", 0.0), judged
    assert found.clock.wrong
    assert re.match(r"The recorder's clock is 1,2\d\d ms behind", found.clock.says)
    assert found.messages is not None
    assert found.prints is not None
    assert (found.messages.messages, found.messages.missing_ids) == (FUTURES[folder][0], 0)
    assert found.prints.trades == FUTURES[folder][1]
    derive_lake(sample.path, tmp_path / "lake")
    every = [found]
    for day in lake_days(tmp_path / "lake"):
        one = assess_lake(day, against=reference(sample), limits=Thresholds(missing_time=1.0))
        assert (one.judged.verdict, one.judged.strategy) == ("GO", "full"), one.judged
        every.append(one)
    assert len(every) > 1
    for path in write_report(every, tmp_path / "report"):
        assert "behind the exchange" in path.read_text()
