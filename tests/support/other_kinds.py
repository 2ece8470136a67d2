"""The lines of a recording as other streams of the same market would have told it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

Line = tuple[str, dict[str, Any]]
"""Receive time as text, and the message in its envelope."""
Told = Callable[[Iterable[Line]], Iterator[Line]]


def lines_of(paths: Iterable[Path]) -> Iterator[Line]:
    """The lines of recordings."""
    for path in paths:
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            stamp, _, text = line.partition(" ")
            yield stamp, json.loads(text)


def write(lines: Iterable[Line], path: Path) -> Path:
    """A recording, in the order of its receive times."""
    lines = sorted(lines, key=lambda line: int(line[0]))
    text = "".join(
        f"{stamp} {json.dumps(message, separators=(',', ':'))}\n" for stamp, message in lines
    )
    path.write_bytes(gzip.compress(text.encode(), 1))
    return path


def aggregated(lines: Iterable[Line]) -> Iterator[Line]:
    """With ``aggTrade`` for ``trade``: those of one taker's order at one price together."""
    waiting: list[Line] = []
    number = 900
    for stamp, message in lines:
        if not _stream(message).endswith("@trade"):
            yield stamp, message
            continue
        if waiting and _taker(message["data"]) != _taker(waiting[-1][1]["data"]):
            number += 1
            yield _together(waiting, number)
            waiting.clear()
        waiting.append((stamp, message))
    if waiting:
        yield _together(waiting, number + 1)


def _stream(message: dict[str, Any]) -> str:
    """The name of a message's stream; snapshots have none."""
    return str(message.get("stream", ""))


def _taker(trade: dict[str, Any]) -> tuple[Any, ...]:
    return trade["T"], trade["p"], trade["m"]


def _together(trades: list[Line], number: int) -> Line:
    stamp, message = trades[-1]
    first, last = trades[0][1]["data"], message["data"]
    size = sum((Decimal(one["data"]["q"]) for _, one in trades), Decimal(0))
    data = {
        "e": "aggTrade", "E": last["E"], "s": last["s"], "a": number, "p": last["p"],
        "q": f"{size:f}", "f": first["t"], "l": last["t"], "T": last["T"], "m": last["m"],
        "M": True,
    }  # fmt: skip
    name = message["stream"].replace("@trade", "@aggTrade")
    return stamp, {**message, "stream": name, "data": data}


def slower(lines: Iterable[Line], ms: int = 1000, name: str = "depth") -> Iterator[Line]:
    """With one depth message for all of so many ms: each price with its last size."""
    held: list[dict[str, Any]] = []
    last: Line | None = None
    for stamp, message in lines:
        if "@depth" not in _stream(message):
            yield stamp, message
            continue
        data = message["data"]
        if last is not None and data["E"] // ms != held[-1]["E"] // ms:
            yield _folded(last, held, name)
            held.clear()
        held.append(data)
        last = stamp, message
    if last is not None:
        yield _folded(last, held, name)


def _folded(line: Line, held: list[dict[str, Any]], name: str) -> Line:
    stamp, message = line
    sides = {
        side: [[p, q] for p, q in {p: q for data in held for p, q in data[side]}.items()]
        for side in ("b", "a")
    }
    data = {**held[-1], "U": held[0]["U"], **sides}
    symbol = message["stream"].partition("@")[0]
    return stamp, {**message, "stream": f"{symbol}@{name}", "data": data}


def without(lines: Iterable[Line], stream: str, share: float) -> Iterator[Line]:
    """Without so large a share of a stream's messages, evenly."""
    every, count = round(1 / share), 0
    for stamp, message in lines:
        is_of_it = stream in _stream(message)
        count += is_of_it
        if not (is_of_it and count % every == every // 2):
            yield stamp, message
