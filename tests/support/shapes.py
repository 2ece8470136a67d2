"""The shapes that recorders give their files: the same messages in each."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Line(NamedTuple):
    """A plain line: its time in ns, and its JSON."""

    time: int
    text: str


class Shape(NamedTuple):
    """How lines are written, and what the importer is to say of it."""

    name: str
    write: Callable[[list[Line]], bytes]
    said: str


def lines_of(plain: bytes) -> list[Line]:
    """Plain lines taken apart."""
    split = (line.split(" ", 1) for line in plain.decode().splitlines())
    return [Line(int(time), text) for time, text in split]


def _iso(time: int, zone: str = "Z", point: str = ".") -> str:
    moment = datetime.fromtimestamp(time // 10**9, UTC)
    if zone not in ("Z", ""):
        sign, hours, minutes = zone[0], int(zone[1:3]), int(zone[4:])
        away = timedelta(hours=hours, minutes=minutes)
        moment = moment.astimezone(timezone(away if sign == "+" else -away))
    return f"{moment:%Y-%m-%dT%H:%M:%S}{point}{time % 10**9 // 1000:06d}{zone}"


def _joined(lines: Iterable[str], end: str = "\n") -> bytes:
    return "".join(f"{line}{end}" for line in lines).encode()


def _before(time: Callable[[int], str], between: str = " ") -> Callable[[list[Line]], bytes]:
    return lambda lines: _joined(f"{time(one.time)}{between}{one.text}" for one in lines)


def _fields(write: Callable[[Line], str]) -> Callable[[list[Line]], bytes]:
    return lambda lines: _joined(map(write, lines))


def _inner(one: Line) -> str:
    """The message without its envelope."""
    found = json.loads(one.text)
    return one.text[one.text.index('"data":') + 7 : -1] if "stream" in found else one.text


def _ms(time: int) -> str:
    return str(time // 10**6)


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        archive.writestr("recording.txt", data)
    return buffer.getvalue()


def _plain(lines: list[Line]) -> bytes:
    return _joined(f"{one.time} {one.text}" for one in lines)


def _with_time(one: Line, time: str, *, last: bool = False) -> str:
    """The line's own object with the time as one more member."""
    return f"{one.text[:-1]},{time}}}" if last else f"{{{time},{one.text[1:]}"


def _raw_with_time(one: Line) -> str:
    return f'{{"local_ts":{_ms(one.time)},{_inner(one)[1:]}'


def _spread(one: Line) -> str:
    return json.dumps({"received": one.time, "msg": json.loads(one.text)}, indent=2)


SHAPES = (
    Shape("time in ns, a blank", _plain, "lines, time before the JSON (ns), enveloped"),
    Shape(
        "time in µs, a tab",
        _before(lambda t: str(t // 1000), "\t"),
        "lines, time before the JSON (µs)",
    ),
    Shape("time in ms, a comma", _before(_ms, ","), "lines, time before the JSON (ms)"),
    Shape("time in ms, a semicolon", _before(_ms, ";"), "lines, time before the JSON (ms)"),
    Shape("time in ms, a bar", _before(_ms, " | "), "lines, time before the JSON (ms)"),
    Shape("float seconds", _before(lambda t: f"{t / 1e9:.3f}"), "lines, time before the JSON (s)"),
    Shape("ISO with Z", _before(_iso), "lines, time before the JSON (ISO)"),
    Shape(
        "ISO with an offset",
        _before(lambda t: _iso(t, "+05:30")),
        "lines, time before the JSON (ISO)",
    ),
    Shape(
        "ISO as Python's logging writes it",
        _before(lambda t: _iso(t, "", ",").replace("T", " ")),
        "lines, time before the JSON (ISO)",
    ),
    Shape(
        "JSON as text of a CSV",
        lambda lines: _joined(
            f'{_ms(one.time)},"{one.text.replace(chr(34), chr(34) * 2)}"' for one in lines
        ),
        "lines, time before the JSON (ms), enveloped",
    ),
    Shape(
        "JSON lines, time beside the envelope",
        _fields(lambda one: _with_time(one, f'"ts":{_ms(one.time)}')),
        "JSON lines, time in field `ts` (ms, guessed), enveloped",
    ),
    Shape(
        "JSON lines, time behind, ISO",
        _fields(lambda one: _with_time(one, f'"received_at":"{_iso(one.time)}"', last=True)),
        "JSON lines, time in field `received_at` (ISO, guessed), enveloped",
    ),
    Shape(
        "JSON lines, time in the message",
        _fields(_raw_with_time),
        "JSON lines, time in field `local_ts` (ms, guessed), raw",
    ),
    Shape(
        "JSON lines, message in a field",
        _fields(
            lambda one: (
                f'{{"recv":{round(one.time / 1e9, 6)!r},"venue":"binance","msg":{one.text}}}'
            )
        ),
        "JSON lines, time in field `recv` (s, guessed), enveloped",
    ),
    Shape(
        "JSON lines, message as text",
        _fields(lambda one: json.dumps({"t": one.time, "raw": one.text})),
        "JSON lines, time in field `t` (ns, guessed), enveloped",
    ),
    Shape(
        "JSON lines with blanks",
        _fields(
            lambda one: json.dumps({"time": one.time // 1000, "message": json.loads(_inner(one))})
        ),
        "JSON lines, time in field `time` (µs, guessed), raw",
    ),
    Shape(
        "JSON lines, arrays of time and message",
        _fields(lambda one: f"[{_ms(one.time)},{one.text}]"),
        "JSON lines, time before the JSON (ms), enveloped",
    ),
    Shape(
        "a JSON array",
        lambda lines: (
            b"["
            + b",".join(_with_time(one, f'"ts":{_ms(one.time)}').encode() for one in lines)
            + b"]"
        ),
        "a JSON array, time in field `ts` (ms, guessed), enveloped",
    ),
    Shape(
        "a JSON array of arrays",
        lambda lines: (
            b"[\n"
            + b",\n".join(f'["{_iso(one.time)}", {one.text}]'.encode() for one in lines)
            + b"\n]\n"
        ),
        "a JSON array, time before the JSON (ISO), enveloped",
    ),
    Shape(
        "JSON over several lines",
        _fields(_spread),
        "JSON over several lines, time in field `received` (ns, guessed), enveloped",
    ),
    Shape(
        "cryptofeed's raw dump",
        lambda lines: _cryptofeed(lines),
        "cryptofeed's raw dump, time before the JSON (s), enveloped",
    ),
    Shape(
        "tardis.dev's raw lines",
        lambda lines: _joined(_tardis(one) for one in lines),
        "lines, time before the JSON (ISO), enveloped",
    ),
    Shape(
        "snapshots of the WebSocket API",
        lambda lines: _joined(f"{one.time} {_reply(one)}" for one in lines),
        "lines, time before the JSON (ns), enveloped",
    ),
    Shape("gzip", lambda lines: gzip.compress(_plain(lines)), "enveloped payloads, gzip"),
    Shape("zstd", lambda lines: zstd.compress(_plain(lines)), "payloads, zstd"),
    Shape("xz", lambda lines: lzma.compress(_plain(lines)), "payloads, xz"),
    Shape("bzip2", lambda lines: bz2.compress(_plain(lines)), "payloads, bzip2"),
    Shape("zip", lambda lines: _zipped(_plain(lines)), "payloads, zip"),
    Shape(
        "UTF-8 with a mark and CR LF",
        lambda lines: b"\xef\xbb\xbf" + _plain(lines).replace(b"\n", b"\r\n"),
        "lines, time before the JSON (ns)",
    ),
    Shape(
        "UTF-16 with a mark",
        lambda lines: _plain(lines).decode().encode("utf-16"),
        "enveloped payloads, UTF-16",
    ),
    Shape(
        "UTF-16 without one, gzip",
        lambda lines: gzip.compress(_plain(lines).decode().encode("utf-16-be")),
        "enveloped payloads, UTF-16, gzip",
    ),
)


def _cryptofeed(lines: list[Line]) -> bytes:
    written = ['configuration: {"BINANCE": {"l2_book": ["BTC-USDT"]}}']
    first = lines[0].time / 1e9
    written.append(f"wss://stream.binance.com:9443/stream <-> {first}")
    for one in lines:
        address = ""
        if "lastUpdateId" in one.text:
            address = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000 -> "
        written.append(f"{address}{round(one.time / 1e9, 6)}: {one.text}")
    return _joined(written)


def _tardis(one: Line) -> str:
    if "lastUpdateId" not in one.text:
        return f"{_iso(one.time)} {one.text}"
    name = '"stream":"btcusdt@depthSnapshot","generated":true'
    return f'{_iso(one.time)} {{{name},"data":{one.text}}}'


def _reply(one: Line) -> str:
    if "lastUpdateId" not in one.text:
        return one.text
    return f'{{"id":"51e2","status":200,"result":{one.text},"rateLimits":[{{"limit":6000}}]}}'
