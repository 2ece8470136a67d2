"""Ids of trades that were lost, brought by REST, or no executions: what is left is a gap."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lobproof.fidelity.exact.decoder import PlainDecoder
from lobproof.replay.integrity import TradeAudit
from lobproof.schema import EventBatch, Flag, Kind
from lobproof.sources.binance.journal import JournalWriter
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings

TRADE, NONE, BROUGHT, LOST = "xnbl"
SYMBOL = "TSTUSDT"
MS = 1_000_000
START = 1_767_571_200_000 * MS


def line(at: int, stream: str, data: Any) -> bytes:
    text = {"capture_ns": START + at * MS, "mono_ns": at, "stream": stream, "conn": 1, "data": data}
    return json.dumps(text, separators=(",", ":")).encode() + b"\n"


def trade(number: int, kind: str) -> bytes:
    now = START // MS + number
    none = kind == NONE
    data = {"e": "trade", "E": now, "T": now, "s": SYMBOL, "t": number}
    data |= {"p": "0" if none else "10.5", "q": "0" if none else "2", "m": True}
    return line(number, f"{SYMBOL.lower()}@trade", data | {"X": "NA" if none else "MARKET"})


def sample_of(folder: Path, kinds: str, swapped: int, frame: int) -> GoldenSample:
    """A golden sample of trades, the first of them id 1; answers with those brought end it.

    ``swapped``: neighbours that are no executions come the other way round from there on.
    """
    numbers = list(range(1, len(kinds) + 1))
    for at in range(swapped, len(kinds) - 1, 3):
        if kinds[at : at + 2] == NONE * 2:
            numbers[at], numbers[at + 1] = numbers[at + 1], numbers[at]
    lines = [trade(one, kinds[one - 1]) for one in numbers if kinds[one - 1] in (TRADE, NONE)]
    depth = {"e": "depthUpdate", "E": START // MS, "s": SYMBOL, "U": 1, "u": 1, "pu": 0}
    lines.insert(0, line(0, f"{SYMBOL.lower()}@depth", depth | {"b": [["9.5", "1"]], "a": []}))
    told = [
        {"id": one, "price": "10.5", "qty": "2", "time": START // MS + one, "isBuyerMaker": True}
        for one in numbers
        if kinds[one - 1] == BROUGHT
    ]
    lines.append(line(len(kinds) + 1, f"{SYMBOL.lower()}@trade@backfill", told))
    writer = JournalWriter(folder / "journal")
    for at in range(0, len(lines), frame):
        writer.append(b"".join(lines[at : at + frame]), START)
        writer.flush()
    paths = [folder / "journal" / one.name for one in writer.close()]
    return import_recordings(paths, folder / "golden")


def gaps_in(kinds: str) -> list[tuple[int, int]]:
    """Between which neighbouring trades ids are missing that nobody told of."""
    there = [at for at, kind in enumerate(kinds, 1) if kind in (TRADE, BROUGHT)]
    return [(a, b) for a, b in pairwise(there) if LOST in kinds[a : b - 1]]


@given(
    st.text(alphabet=[TRADE, TRADE, NONE, BROUGHT, LOST], max_size=25),
    st.integers(0, 3),
    st.integers(1, 30),
)
@example("nb", 3, 30)
@example("nblnbx", 3, 1)
@example("nnb", 1, 30)
@settings(max_examples=60, deadline=None)
def test_no_gap_where_every_id_is_accounted_for(middle: str, swapped: int, frame: int) -> None:
    """Whatever the frames are; and the plain decoder says the same of each trade."""
    kinds = f"{TRADE}{middle}{TRADE}"
    with TemporaryDirectory() as folder:
        sample = sample_of(Path(folder), kinds, swapped, frame)
        told = sample.document["backfill"]
        assert told["backfilled"] == kinds.count(BROUGHT)
        trades = EventBatch.concat(list(GoldenSource(sample).trades()))
        (plain,) = PlainDecoder(
            sample.journals, SYMBOL, "trade", backfilled=[(a, b) for a, b in told["placed"]]
        ).chunks()
    assert trades.sequence.tolist() == plain.trades["id"].to_list()
    assert trades.prev_sequence.tolist() == plain.trades["prev"].to_list()
    judged = TradeAudit().process(trades)
    found, last = [], 0
    for row in range(len(judged)):
        if judged.flags[row] & Flag.GAP:
            assert LOST in kinds[judged.prev_sequence[row] : judged.sequence[row]]
            found.append((last, int(judged.sequence[row + 1])))
        elif judged.kind[row] == Kind.TRADE:
            last = int(judged.sequence[row])
    assert found == gaps_in(kinds)
    # ids of no execution that the import judges too: it names each run of missing ids by itself
    runs = "".join(kind if kind == LOST else " " for kind in kinds).split()
    if swapped == 3 and NONE * 2 not in kinds:
        assert sample.document["trade_ids"]["gaps"] == len(runs)
