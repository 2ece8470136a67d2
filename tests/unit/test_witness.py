"""SBE as a third witness: what agrees is counted, and what does not is found with its ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lobproof.errors import StrictError
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings, witness
from support.commands import command
from support.sbe import depth_frame, recorded, touch_frame, trades_frame

SYMBOL = "TSTUSDT"
NS = 1_767_571_200_000_000_000
MILLION = 10**6
E8 = 10**8


class Recording:
    """A recording that JSON and SBE write: prices in cents, sizes in thousandths."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def json(self, kind: str, **fields: object) -> None:
        data = {"s": SYMBOL, **fields}
        if kind != "bookTicker":
            event = "depthUpdate" if kind == "depth@100ms" else kind
            data = {"e": event, "E": NS // MILLION + len(self.lines), **data}
        text = json.dumps({"stream": f"tstusdt@{kind}", "data": data}, separators=(",", ":"))
        self.lines.append(b"%d %b\n" % (self._now, text.encode()))

    def sbe(self, kind: str, frame: bytes) -> None:
        self.lines.append(recorded(self._now, f"tstusdt@{kind}", frame))

    @property
    def _now(self) -> int:
        return NS + len(self.lines) * MILLION

    def trade(self, number: int, price: str = "10.00", *, sbe: str | None = None) -> None:
        """A trade of both, at another price in SBE."""
        time = NS // MILLION
        self.json("trade", t=number, p=price, q="0.500", T=time, m=bool(number % 2), M=True)
        told = (number, round(float(sbe or price) * E8), E8 // 2, bool(number % 2))
        self.sbe("sbeTrade", trades_frame(SYMBOL, [told], time_us=time * 1000))

    def depth(self, first: int, last: int, size: int = 7000) -> None:
        """A bid that grows, in two messages of SBE, and an ask that goes."""
        self.sbe(
            "sbeDepth",
            depth_frame(SYMBOL, first, last - 1, [(900, 1), (800, 3000)], [], exponents=(-2, -3)),
        )
        self.sbe(
            "sbeDepth",
            depth_frame(SYMBOL, last, last, [(900, size)], [(1100, 0)], exponents=(-2, -3)),
        )
        bids = [["9.00", "7.000"], ["8.00", "3.000"]]
        self.json("depth@100ms", U=first, u=last, b=bids, a=[["11.00", "0.000"]])

    def touch(self, update: int, size: int = E8) -> None:
        self.json("bookTicker", u=update, b="9.00", B="1.000", a="11.00", A="2.000")
        frame = touch_frame(SYMBOL, update, (9 * E8, size), (11 * E8, 2 * E8))
        self.sbe("sbeBestBidAsk", frame)

    def imported(self, folder: Path, **options: Any) -> GoldenSample:
        path = folder / "recording.txt"
        path.write_bytes(b"".join(self.lines))
        return import_recordings(path, folder / "golden", **options)


def told(sample: GoldenSample) -> dict[str, Any]:
    found: dict[str, Any] = sample.document["witness"]
    return found


def agreeing() -> Recording:
    made = Recording()
    for k in range(1, 41):
        made.depth(10 * k, 10 * k + 9)
        made.trade(k)
        made.touch(10 * k + 9)
    return made


@pytest.mark.parametrize("rows", [None, 1], ids=["at the end", "as it goes"])
def test_all_agrees(tmp_path: Path, rows: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if rows is not None:
        monkeypatch.setattr(witness, "_SETTLE_ROWS", rows)
        monkeypatch.setattr(witness, "_MARGIN_IDS", 3)
    found = told(agreeing().imported(tmp_path, strict=True))
    assert found["frames"] == {"bestBidAsk": 40, "depth": 80, "trade": 40}
    for name, compared in (("trades", 40), ("touch", 40), ("depth", 120)):
        assert (found[name]["compared"], found[name]["equal"]) == (compared, compared), name
    assert (found["depth"]["spans"], found["depth"]["messages_alone"]) == (40, 0)
    assert (found["unread"], found["touch"]["equal_share"]) == ({}, 1.0)


def test_a_wrong_price_is_found_with_its_id(tmp_path: Path) -> None:
    made = agreeing()
    made.trade(41, "10.00", sbe="10.01")
    made.trade(42, "10.00", sbe="10.00000001")
    sample = made.imported(tmp_path)
    trades = told(sample)["trades"]
    assert (trades["compared"], trades["differing"]) == (42, 2)
    first, second = trades["first_differing"]
    assert (first["id"], first["json"]["price"], first["sbe"]["price"]) == (41, "10", "10.01")
    assert (second["id"], second["sbe"]["price"]) == (42, "10.00000001")
    assert {**first["json"], "price": ""} == {**first["sbe"], "price": ""}
    shown = command("inspect", sample.path).out
    assert "trades: 40 of 42 equal" in shown
    assert "2 differ; first at id 41" in shown
    with pytest.raises(StrictError, match="differs from JSON 2 times; first at id 41"):
        made.imported(tmp_path, strict=True, overwrite=True)


def test_a_wrong_level_is_found_with_its_ids(tmp_path: Path) -> None:
    made = agreeing()
    made.depth(410, 419, size=7001)
    made.depth(420, 429)
    depth = told(made.imported(tmp_path))["depth"]
    assert (depth["spans"], depth["spans_differing"], depth["differing"]) == (42, 1, 1)
    assert depth["first_differing"] == [
        {"after": 409, "final": 419, "side": "bid", "price": "9", "json": "7", "sbe": "7.001"}
    ]


def test_a_level_that_one_side_lacks(tmp_path: Path) -> None:
    made = agreeing()
    made.sbe("sbeDepth", depth_frame(SYMBOL, 410, 419, [(9 * E8, E8)], [(12 * E8, E8)]))
    made.json("depth@100ms", U=410, u=419, b=[["9.00", "1.000"], ["7.00", "1.000"]], a=[])
    depth = told(made.imported(tmp_path))["depth"]
    found = {
        (one["side"], one["price"]): (one["json"], one["sbe"]) for one in depth["first_differing"]
    }
    assert found == {("bid", "7"): ("1", None), ("ask", "12"): (None, "1")}


def test_the_touch_is_a_share(tmp_path: Path) -> None:
    made = agreeing()
    made.touch(410, size=2 * E8)
    made.json("bookTicker", u=411, b="9.00", B="1.000", a="11.00", A="2.000")
    touch = told(made.imported(tmp_path, strict=True))["touch"]
    assert (touch["compared"], touch["differing"], touch["json_alone"]) == (41, 1, 1)
    assert touch["equal_share"] == pytest.approx(40 / 41)


def test_what_one_side_lost(tmp_path: Path) -> None:
    """Trades and depth that JSON lost stand in SBE; what SBE lost is not compared."""
    made = agreeing()
    lines = made.lines
    gone = [b'"t":7,', b'"U":70,']
    made.lines = [line for line in lines if not any(one in line for one in gone)]
    made.lines = [line for k, line in enumerate(made.lines) if k != 25 * 7 - 2 - 2]
    found = told(made.imported(tmp_path))
    assert found["trades"]["sbe_alone"] == 1
    assert found["trades"]["first_sbe_alone"] == [7]
    assert found["depth"]["differing"] == found["trades"]["differing"] == 0
    assert found["depth"]["spans"] < 40
    assert found["depth"]["frames_alone"] > 0


def test_cuts_that_do_not_meet_are_compared_together(tmp_path: Path) -> None:
    """SBE ends a message amid JSON's: both are compared from the ids where they meet."""
    made = Recording()
    made.sbe("sbeDepth", depth_frame(SYMBOL, 10, 14, [(900, 1000)], [], exponents=(-2, -3)))
    made.json("depth@100ms", U=10, u=17, b=[["9.00", "2.000"]], a=[])
    made.sbe(
        "sbeDepth", depth_frame(SYMBOL, 15, 24, [(900, 2000)], [(1100, 5)], exponents=(-2, -3))
    )
    made.json("depth@100ms", U=18, u=24, b=[], a=[["11.00", "0.005"]])
    made.trade(1)
    depth = told(made.imported(tmp_path))["depth"]
    assert (depth["spans"], depth["compared"], depth["equal"]) == (1, 2, 2)
    assert (depth["messages_compared"], depth["frames_compared"]) == (2, 2)


def test_frames_that_cannot_be_read_are_counted_and_kept(tmp_path: Path) -> None:
    made = agreeing()
    frame = trades_frame(SYMBOL, [(41, 10 * E8, E8, True)])
    made.sbe("sbeTrade", frame[:-3])
    made.sbe("sbeTrade", frame[:2] + b"\x01\x00" + frame[4:])
    made.sbe("sbeTrade", trades_frame("BTCUSDT", [(41, 10 * E8, E8, True)]))
    made.lines.append(b'%d {"stream":"tstusdt@sbeTrade","data":"?"}\n' % (NS + 10**9))
    sample = made.imported(tmp_path)
    assert told(sample)["unread"] == {
        "base64": 1, "sbe length": 1, "sbe symbol": 1, "sbe template": 1
    }  # fmt: skip
    assert sample.document["counts"]["other"] == 164
    again = import_recordings(sample.journals, tmp_path / "again")
    assert again.document["witness"] == sample.document["witness"]


def test_without_sbe_nothing_is_said(tmp_path: Path) -> None:
    made = agreeing()
    made.lines = [line for line in made.lines if b"@sbe" not in line]
    assert "witness" not in made.imported(tmp_path).document


def test_a_silent_side_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded where SBE ends early; what came before has been compared."""
    monkeypatch.setattr(witness, "_SETTLE_ROWS", 1)
    monkeypatch.setattr(witness, "_MOST_ROWS", 10)
    monkeypatch.setattr(witness, "_MARGIN_IDS", 3)
    made = agreeing()
    for k in range(41, 81):
        made.json("trade", t=k, p="10.00", q="0.500", T=NS // MILLION, m=True, M=True)
        made.json("depth@100ms", U=10 * k, u=10 * k + 9, b=[["9.00", "7.000"]], a=[])
    found = told(made.imported(tmp_path))
    assert (found["trades"]["equal"], found["trades"]["json_alone"]) == (40, 40)
    assert (found["depth"]["messages_compared"], found["depth"]["messages_alone"]) == (40, 40)
