"""What a fault's text says, when it happens, and how the same seed decides the same."""

from __future__ import annotations

import pytest

from lobproof.errors import UsageError
from lobproof.serve import parse_fault
from lobproof.serve.clock import NEVER
from lobproof.serve.faults import FaultPlan
from support.venue import MS, SECOND, START


def test_a_fault_is_read() -> None:
    fault = parse_fault("drop@90s,n=3,stream=depth@100ms,symbol=btcusdt,conn=2")
    assert (fault.kind, fault.at, fault.jitter, fault.n) == ("drop", 90 * SECOND, -1, 3)
    assert (fault.stream, fault.symbol, fault.conn) == ("depth", "BTCUSDT", 2)
    assert fault.concerns("btcusdt@depth")
    assert not fault.concerns("btcusdt@trade")
    assert not fault.concerns("ethusdt@depth")
    assert fault.befalls(2)
    assert not fault.befalls(1)
    rest = parse_fault("rest@250ms,status=429,retry-after=7,for=2m")
    assert (rest.at, rest.status, rest.retry_after) == (250 * MS, 429, 7)
    assert rest.span == 120 * SECOND
    again = parse_fault("disconnect@every=10m±5m")
    assert (again.at, again.jitter) == (600 * SECOND, 300 * SECOND)
    share = parse_fault("drop@1s,share=0.5,for=10s")
    assert (share.share, share.span, share.n) == (0.5, 10 * SECOND, 0)
    assert parse_fault("merge@1s").span == NEVER
    assert parse_fault("double@1s").n == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "drop",
        "drop@",
        "drop@soon",
        "explode@1s",
        "drop@1s,n=0",
        "drop@1s,n=x",
        "drop@1s,n=1,n=2",
        "drop@1s,n",
        "drop@1s,n=3,for=1s",
        "drop@1s,share=2,for=1s",
        "drop@1s,lead=5s",
        "silent@1s,for=ever",
        "rest@1s,status=200",
        "disconnect@every=5m±5m",
        "disconnect@every=5m±x",
        "disconnect@1s,symbol=BTCUSDT",
    ],
)
def test_what_is_no_fault_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_fault(text)
    assert "KIND@WHEN[,key=value...]" in error.value.hint


def _times(seed: int, *texts: str) -> list[tuple[int, str]]:
    plan = FaultPlan([parse_fault(text) for text in texts], seed, START)
    found = []
    while plan.due < START + 3600 * SECOND:
        at, active = plan.take()
        found.append((at - START, active.fault.kind))
    return found


def test_times_follow_from_the_seed() -> None:
    texts = ("disconnect@every=10m±5m", "garbage@90s", "stall@every=20m")
    times = _times(7, *texts)
    assert times == _times(7, *texts)
    assert times != _times(8, *texts)
    assert times == sorted(times)
    assert [at for at, kind in times if kind == "garbage"] == [90 * SECOND]
    assert [at // SECOND for at, kind in times if kind == "stall"] == [1200, 2400]
    cuts = [at for at, kind in times if kind == "disconnect"]
    assert 4 <= len(cuts) <= 12
    gaps = [b - a for a, b in zip([0, *cuts], cuts, strict=False)]
    assert all(300 * SECOND <= gap <= 900 * SECOND for gap in gaps)
    assert len(set(gaps)) == len(gaps)


def test_a_plan_without_faults_is_never_due() -> None:
    assert FaultPlan([], 7, START).due == NEVER
