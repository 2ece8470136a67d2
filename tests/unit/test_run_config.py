"""A run's file: what it holds, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from lobproof.errors import UsageError
from lobproof.run.config import Accept, RunConfig, parse_config

NOW_NS = 1_767_225_600_000_000_000  # 2026-01-01 00:00 UTC
WHOLE = """
[run]
exchange = "BINANCE"
symbols = ["BTC-USDT", "ETH-USDT"]
start = 2025-12-01
end = 2025-12-03

[store]
url = "stores/{symbol}"
work = "work"
"""


def parsed(text: str) -> RunConfig:
    return parse_config(text, "run.toml", Path("/there"), NOW_NS)


def test_the_least_that_a_file_needs() -> None:
    config = parsed(WHOLE)
    assert config.days == ("2025-12-01", "2025-12-02")
    assert config.store_of("BINANCE", "BTC-USDT") == "/there/stores/BTC-USDT"
    assert config.store.work == "/there/work"
    assert config.certify.accept is Accept.CERTIFIED


def test_without_an_end_yesterday_is_the_last_day() -> None:
    assert parsed(WHOLE.replace("end = 2025-12-03\n", "")).days[-1] == "2025-12-31"


def test_a_bucket_is_taken_as_it_is_named() -> None:
    config = parsed(WHOLE.replace('"stores/{symbol}"', '"s3://b/p"'))
    assert config.store.is_bucket
    assert config.store_of("BINANCE", "BTC-USDT") == "s3://b/p"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("start = 2025-12-01", "start = 2025-13-01", "is no TOML"),
        ("start = 2025-12-01", 'start = "soon"', "line 5: [run] start:"),
        ("start = 2025-12-01", "start = 2025-12-03", "no day lies"),
        ("symbols = [", "symbols = [7, ", "line 4: [run] symbols:"),
        ('"ETH-USDT"', '"../up"', "names nothing"),
        ('"ETH-USDT"', '"BTC-USDT"', "a symbol is named twice"),
        ("end = 2025-12-03", "ends = 2025-12-03", "line 6: [run] ends: there is no key 'ends'"),
        ("[store]", "[stores]", "stores"),
        ("[store]", "[stroe]\nx = 1\n[store]", "there is no key 'stroe'"),
        ('work = "work"', "", "line 8: [store]: "),
        ('work = "work"', 'work = "w"\n[make]\nstates = "2s"', "line 12: [make] states:"),
        ('work = "work"', 'work = "w"\n[make]\nsize_limit = 1.0', "line 12: [make] size_limit:"),
        ("{symbol}", "{day}", "{exchange} and {symbol} may stand in url"),
        ('work = "work"', 'work = "w"\n[source]\nkind = "folder"', "folder goes with kind"),
        (
            'work = "work"',
            'work = "w"\n[resources]\nexecutor = "ray"\naddress = "a:1"',
            "do not share",
        ),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, said: str) -> None:
    assert old in WHOLE
    with pytest.raises(UsageError) as refused:
        parsed(WHOLE.replace(old, new))
    assert said in refused.value.message
    assert refused.value.message.startswith("run.toml")


def test_a_start_without_an_end_lies_in_the_past() -> None:
    text = WHOLE.replace("end = 2025-12-03\n", "").replace("2025-12-01", "2026-01-01")
    with pytest.raises(UsageError, match="without an end") as refused:
        parsed(text)
    assert "no day lies" in refused.value.message


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ("[resources]\nworkers = 3\n", set()),
        ("[telemetry]\nport = 9000\n", set()),
        ("[failures]\nunit_attempts = 9\n", set()),
        ('[prove]\npage = "all"\n', set()),
        ('[source]\nprofile = "me"\n', set()),
        ('[make]\nstates = "none"\n', {"make"}),
        ('[prove]\nlevel = "full"\n', {"prove"}),
        ('[certify]\naccept = "demo"\n', {"acquire", "certify"}),
        ('[source]\nkind = "sample"\n', {"acquire"}),
        ("[assess]\nuntrusted_share = 0.1\n", {"assess"}),
    ],
)
def test_what_shapes_results_and_nothing_else_is_hashed(more: str, changed: set[str]) -> None:
    before, after = parsed(WHOLE).hashes(), parsed(WHOLE + more).hashes()
    assert {stage for stage in before if before[stage] != after[stage]} == changed
