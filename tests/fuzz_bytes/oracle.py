"""What bytes mean, told apart from lobproof: ``json``, ``decimal`` and ``fractions`` alone."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation, localcontext
from fractions import Fraction
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNKNOWN = "unknown"
"""The kind of a line of which the oracle says nothing (nested too deeply for it)."""

_STAMP = re.compile(rb"([0-9]{10}|[0-9]{13}|[0-9]{16}|[0-9]{19})(?:\.([0-9]*))?[ \t,:]+(?=.)", re.S)
_ISO = re.compile(
    rb"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    rb"(?:\.([0-9]*))?Z?[ \t,:]+(?=.)",
    re.S,
)
_SURE = 2.0**50
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_EVENTS = {"depthUpdate": "depth", "trade": "trade", "aggTrade": "aggregate"} | {
    "bookTicker": "ticker"
}
_STREAMS = {"trade": "trade", "aggTrade": "aggregate", "bookTicker": "ticker"} | {
    "snapshot": "snapshot",
    "depthSnapshot": "snapshot",
}


class Number(str):
    """A JSON number as it is written."""

    __slots__ = ()


class Unfit(Exception):
    """The line does not mean what its kind would have to."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a line says: kind, receive time, stream's name, and its values where it is a message."""

    kind: str
    recv: int = 0
    stream: str | None = None
    values: dict[str, Any] | None = None
    payload: Any = None


def document(text: bytes) -> Any:
    """A JSON document, numbers as text; Unfit for what is none, or has a key twice."""

    def refuse(word: str) -> None:
        raise Unfit(word)

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise Unfit("a key twice")
        return dict(pairs)

    try:
        return json.loads(
            text.decode("utf-8"),
            parse_int=Number,
            parse_float=Number,
            parse_constant=refuse,
            object_pairs_hook=fields,
        )
    except (ValueError, RecursionError) as error:
        raise Unfit(str(error)) from error


def stamp(line: bytes) -> tuple[int, bytes] | None:
    """Receive time in ns and what stands behind it."""
    found = _STAMP.match(line)
    if found is not None and not found[1].startswith(b"9"):
        places = 19 - len(found[1])
        fraction = (found[2] or b"")[:places].ljust(places, b"0")
        return int(found[1] + fraction), line[found.end() :]
    found = _ISO.match(line)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(found[k]) for k in range(1, 7))
    try:
        time = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    if not 1970 <= year < 2255 or second > 60:
        return None
    whole = (time - EPOCH) // timedelta(seconds=1) + (second == 60)
    return int(b"%d" % whole + (found[7] or b"")[:9].ljust(9, b"0")), line[found.end() :]


def recorded(line: bytes, symbol: str) -> Meaning:
    """A recording's line; Unfit for one that nobody can read."""
    head = stamp(line)
    if head is None:
        if not line.startswith(b"configuration: "):
            raise Unfit("no stamp")
        return Meaning("other", payload=document(line[len(b"configuration: ") :]))
    recv, body = head
    found = document(body)
    if isinstance(found, dict) and "stream" in found:
        return _of_stream(found, recv, symbol)
    if not isinstance(found, dict):
        return Meaning("other", recv, payload=found)
    if found.get("e") is None and isinstance(found.get("result"), dict):
        found = found["result"]
    event = found.get("e")
    kind = _EVENTS.get(event, "other") if isinstance(event, str) else "other"
    if event is None and "lastUpdateId" in found:
        kind = "snapshot"
    elif event is None and {"u", "B", "A"} <= set(found):
        kind = "ticker"
    elif event is None and {"U", "u"} <= set(found):
        kind = "depth"
    named = found.get("symbol" if kind == "snapshot" else "s")
    if kind != "other" and isinstance(named, str) and named != symbol:
        return Meaning("foreign", recv, payload=found)
    return Meaning(kind, recv, None, _values(kind, found, symbol), found)


def journalled(line: bytes, symbol: str) -> Meaning:
    """A journal's line that carries a payload."""
    found = document(line)
    if not isinstance(found, dict):
        raise Unfit("no object")
    return _of_stream(found, _integer(found, "capture_ns"), symbol)


def _of_stream(found: dict[str, Any], recv: int, symbol: str) -> Meaning:
    stream, payload = found.get("stream"), found.get("data")
    if not isinstance(stream, str) or "data" not in found:
        raise Unfit("no stream, or no data")
    name, at, rest = stream.partition("@")
    if not at or name.startswith("!"):
        kind = "other"
    elif name.upper() != symbol:
        kind = "foreign"
    elif rest == "depth" or rest.startswith("depth@"):
        kind = "depth"
    else:
        kind = _STREAMS.get(rest, "other")
    return Meaning(kind, recv, stream, _values(kind, payload, symbol), payload)


def _values(kind: str, found: Any, symbol: str) -> dict[str, Any] | None:
    if kind not in ("depth", "trade", "aggregate", "ticker", "snapshot"):
        return None
    if not isinstance(found, dict):
        raise Unfit("no object")
    if kind in ("depth", "trade", "aggregate") and _EVENTS.get(str(found.get("e"))) != kind:
        raise Unfit("another event")
    if kind == "ticker" and found.get("e", "bookTicker") not in ("bookTicker", None):
        raise Unfit("another event")
    if found.get("symbol" if kind == "snapshot" else "s", symbol) not in (symbol, None):
        raise Unfit("another symbol")
    values: dict[str, Any] = {
        "event": _moment(found, "E", kind in ("ticker", "snapshot")),
        "traded": _moment(found, "T", kind not in ("trade", "aggregate")),
        "taker": 0,
    }
    if kind == "depth":
        first, final = _integer(found, "U"), _integer(found, "u")
        previous = first - 1 if found.get("pu") is None else _integer(found, "pu")
        if first < 1 or first > final or previous > final:
            raise Unfit("ids")
        values["ids"] = first, final, previous
        values["bids"], values["asks"] = _side(found, "b"), _side(found, "a")
    elif kind == "snapshot":
        values["ids"] = (_integer(found, "lastUpdateId"),) * 3
        values["bids"], values["asks"] = _side(found, "bids"), _side(found, "asks")
    elif kind == "ticker":
        values["ids"] = (_integer(found, "u"),) * 3
        values["bids"] = [(_decimal(found.get("b")), _decimal(found.get("B")))]
        values["asks"] = [(_decimal(found.get("a")), _decimal(found.get("A")))]
    else:
        names = ("t", "t") if kind == "trade" else ("f", "l")
        first, last = (_integer(found, name) for name in names)
        if first > last:
            raise Unfit("ids")
        values["ids"] = first, last, first - 1
        price, size = _decimal(found.get("p")), _decimal(found.get("q"))
        executed = found.get("X") != "NA" or bool(price) or bool(size)
        if executed and not (price and size):
            raise Unfit("a trade of nothing")
        if not isinstance(found.get("m"), bool):
            raise Unfit("m")
        values["taker"] = 0 if not executed else 2 if found["m"] else 1
        values["bids"], values["asks"] = [(price, size)], []
    return values


def _integer(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    if not isinstance(value, Number):
        raise Unfit(name)
    number = _exact(value)
    if number != number.to_integral_value() or not 0 <= number < 9 * 10**18:
        raise Unfit(name)
    return int(number)


def _moment(found: dict[str, Any], name: str, optional: bool) -> int:
    value = found.get(name)
    if value is None and (optional or name == "T"):
        return 0
    if not isinstance(value, Number):
        raise Unfit(name)
    time = _exact(value)
    if time != time.to_integral_value():
        raise Unfit(name)
    if time <= 0:
        return 0
    if time < 9_000_000_000_000:
        return int(time) * 1_000_000
    if 100_000_000_000_000 <= time < 9_000_000_000_000_000:
        return int(time) * 1_000
    raise Unfit(name)


def _side(found: dict[str, Any], name: str) -> list[tuple[Decimal, Decimal]]:
    levels = found.get(name)
    if not isinstance(levels, list):
        raise Unfit(name)
    side = []
    for level in levels:
        if not isinstance(level, list) or level[2:] not in ([], [[]]) or len(level) < 2:
            raise Unfit(name)
        side.append((_decimal(level[0]), _decimal(level[1])))
        if not side[-1][0]:
            raise Unfit("a price of 0")
    return side


def _decimal(value: Any) -> Decimal:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise Unfit("no number")
    number = _exact(value)
    if number < 0:
        raise Unfit("below zero")
    return number


def _exact(text: str) -> Decimal:
    with localcontext(prec=100_000):
        try:
            return Decimal(text)
        except InvalidOperation as error:
            raise Unfit(text[:60]) from error


def count_of(text: str, exponent: int) -> int | None:
    """The count of ``10**-exponent`` that a decimal is; None where it is none, or beyond int64."""
    with localcontext(prec=100_000):
        scaled = Decimal(text) * 10**exponent
        if scaled != scaled.to_integral_value() or abs(scaled) > 2**63 - 1:
            return None
        return int(scaled)


def float_count(value: float, exponent: int) -> int | None:
    """The count whose nearest float64 is ``value``; from 2^50 on that of the coarsest grid."""
    if not math.isfinite(value):
        return None
    if abs(value * 10.0**exponent) < _SURE:
        return _nearest(value, exponent)
    for decimals in range(exponent + 1):
        if not abs(value * 10.0**decimals) < _SURE:
            return None
        count = _nearest(value, decimals)
        if count is not None:
            count *= int(10 ** (exponent - decimals))
            return count if abs(count) <= 2**63 - 1 else None
    return None


def _nearest(value: float, decimals: int) -> int | None:
    count = round(Fraction(value) * 10**decimals)
    return count if float(Fraction(count, 10**decimals)) == value else None
