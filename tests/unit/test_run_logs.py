"""What a run tells, as lines."""

from __future__ import annotations

import io
import json

import pytest

from lobproof.run.events import (
    BreakerMoved,
    BreakerState,
    Event,
    RunEnded,
    RunStarted,
    StageEnded,
    UnitEnded,
    UnitNoted,
    UnitProgress,
    UnitStarted,
)
from lobproof.run.reasons import Reason
from lobproof.run.units import Figures, Stage, State, Unit, UnitDocument
from lobproof.telemetry.logs import LogLines, as_json, as_words

AT = 1_767_571_200 * 10**9 + 123_456_789
UNIT = Unit("BINANCE", "BTC-USDT", "2026-01-05")
FULL = Reason.of("disk-full", "no space left")
FILE = Reason.of("input", "trades.parquet, row 7: \N{ZERO WIDTH SPACE}odd")
DOCUMENT = UnitDocument(
    exchange=UNIT.exchange, symbol=UNIT.symbol, dt=UNIT.dt, figures=Figures(events=7, gaps=0)
)
EVENTS: list[tuple[Event, str]] = [
    (RunStarted("r", AT, 60, 10**9, 5, 7200.0, 3), "info"),
    (UnitStarted("r", AT, UNIT, 1), "info"),
    (UnitStarted("r", AT, UNIT, 2), "info"),
    (StageEnded("r", AT, UNIT, Stage.MAKE, 3.5, False), "info"),
    (StageEnded("r", AT, UNIT, Stage.PROVE, 0.0, True), "info"),
    (UnitNoted("r", AT, UNIT, "begins without a book"), "warning"),
    (UnitEnded("r", AT, UNIT, State.DONE, DOCUMENT, None, False, 9.0), "info"),
    (UnitEnded("r", AT, UNIT, State.FAILED, None, FULL, True, 9.0), "warning"),
    (UnitEnded("r", AT, UNIT, State.QUARANTINED, None, FILE, False, 9.0, "trace\nback"), "error"),
    (BreakerMoved("r", AT, BreakerState.CLOSED, "there is room"), "info"),
    (BreakerMoved("r", AT, BreakerState.WAITING, "the disk is full"), "warning"),
    (BreakerMoved("r", AT, BreakerState.OPEN, "5 times the same"), "error"),
    (RunEnded("r", AT, {State.DONE: 60}, 7000.0, 7200.0), "info"),
    (RunEnded("r", AT, {State.DONE: 59, State.FAILED: 1}, 7000.0, 7200.0), "error"),
]


@pytest.mark.parametrize(("event", "level"), EVENTS, ids=lambda one: type(one).__name__)
def test_a_line_says_what_happened(event: Event, level: str) -> None:
    line = as_json(event)
    assert "\n" not in line
    found = json.loads(line)
    assert found["level"] == level
    assert found["run"] == "r"
    assert found["time"] == "2026-01-05T00:00:00.123456Z"
    words = as_words(event)
    assert "\n" not in words
    assert words.startswith(f"2026-01-05 00:00:00 {level}")
    if hasattr(event, "unit"):
        assert found["unit"] == str(UNIT)
        assert str(UNIT) in words


def test_a_unit_that_ended_tells_why_and_what_it_came_to() -> None:
    done, quarantined = (json.loads(as_json(EVENTS[n][0])) for n in (6, 8))
    assert (done["state"], done["events"], done["gaps"]) == ("done", 7, 0)
    assert "code" not in done
    assert (quarantined["code"], quarantined["trace"]) == ("input", "trace\nback")
    assert quarantined["why"] == FILE.words
    assert quarantined["remedy"] == FILE.remedy


def test_how_far_a_unit_is_gets_no_line() -> None:
    stream = io.StringIO()
    sink = LogLines(stream, "json")
    sink(UnitProgress("r", AT, UNIT, Stage.MAKE, 1, 2))
    assert not stream.getvalue()
    sink(UnitStarted("r", AT, UNIT, 1))
    assert json.loads(stream.getvalue())["event"] == "unit_started"
