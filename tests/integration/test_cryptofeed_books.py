"""Books that a client of others keeps of the local exchange: cryptofeed's are the exchange's."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from lobproof.serve import LocalExchange, MarketName, simulated_tape
from lobproof.sources.simulator import PRESETS
from support.venue import truths, within

_SCRIPT = Path(__file__).resolve().parents[1] / "peers" / "cryptofeed_books.py"
_PYTHON = os.environ.get("LOBPROOF_CRYPTOFEED_PYTHON", "")
_BOOKS, _EVERY = 60, 5
_WHOLE = 500
"""Levels a side that its snapshot of 1,000 covers for as long as a test takes."""

pytestmark = pytest.mark.skipif(
    not Path(_PYTHON).is_file(),
    reason="no environment with cryptofeed: name its Python in LOBPROOF_CRYPTOFEED_PYTHON (it "
    "has no wheels of all platforms, so that no lock makes it)",
)


@pytest.mark.parametrize(
    "faults", [(), ("disconnect@20s", "drop@30s,n=3,stream=depth")], ids=["none", "losses"]
)
@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_its_books_are_those_of_the_exchange(
    tmp_path: Path, market: MarketName, faults: Sequence[str]
) -> None:
    tape = simulated_tape(replace(PRESETS["btc"], venue_symbol="SIMUSDT"), market, 5)

    async def run() -> tuple[bytes, int]:
        async with LocalExchange([tape], speed=5.0, faults=faults) as exchange:
            process = await asyncio.create_subprocess_exec(
                _PYTHON, _SCRIPT, exchange.url, market, str(_BOOKS), str(_EVERY),
                stdout=subprocess.PIPE, cwd=tmp_path,  # it leaves its log where it runs
            )  # fmt: skip
            try:
                said, _ = await asyncio.wait_for(process.communicate(), 90.0)
            finally:
                if process.returncode is None:
                    process.kill()
            assert process.returncode == 0
            happened = [counts["happened"] for counts in exchange.venue.fault_counts.values()]
            assert happened == [1] * len(faults)
            return said, exchange.venue.latest_ns

    said, end_ns = within(run())
    found = {book["u"]: book for book in map(json.loads, said.splitlines())}
    assert len(found) == _BOOKS
    seen = 0
    for number, true in truths(tape, end_ns, set(found)):
        for side in ("b", "a"):
            got = {Decimal(price): Decimal(size) for price, size in found[number][side]}
            best = sorted(true[side], reverse=side == "b")[:_WHOLE]
            assert got.keys() >= set(best), (number, side)
            assert got.items() <= true[side].items(), (number, side)
        seen += 1
    assert seen == _BOOKS
