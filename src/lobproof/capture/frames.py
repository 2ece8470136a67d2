"""A frame of a socket: which stream it is of, its payload's bytes, and the ids in it."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

_HEAD = b'{"stream":"'
_DATA = b'","data":'
_EVENT = re.compile(rb'"E":([0-9]{13}(?:[0-9]{3}){0,2})(?![0-9])')
_IDS = {
    b"depth": re.compile(rb'"U":([0-9]{1,18}),"u":([0-9]{1,18})(?:,"pu":([0-9]{1,18}))?'),
    b"trade": re.compile(rb'"t":([0-9]{1,18})'),
    b"aggTrade": re.compile(rb'"a":([0-9]{1,18})'),
    b"bookTicker": re.compile(rb'"u":([0-9]{1,18})'),
}


class _Envelope(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class Frame(NamedTuple):
    """The name of a frame's stream, and its payload's bytes as the venue sent them."""

    stream: bytes
    payload: bytes


def split_frame(text: bytes) -> Frame | None:
    """The stream and payload of a combined stream's frame; None for another one.

    The venue's own words are cut where they stand; an envelope in other words is parsed.
    """
    if text.startswith(_HEAD):
        stop = text.find(b'"', len(_HEAD))
        if stop > 0 and text.startswith(_DATA, stop) and text.endswith(b"}"):
            stream = text[len(_HEAD) : stop]
            if b"\\" not in stream:
                return Frame(stream, text[stop + len(_DATA) : -1])
    try:
        found = msgspec.json.decode(text, type=_Envelope)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return Frame(found.stream.encode(), bytes(found.data))


def kind_of(stream: bytes) -> bytes:
    """What a stream tells: ``depth``, ``trade`` and so on, without symbol and speed."""
    return stream.partition(b"@")[2].partition(b"@")[0]


def symbol_of_stream(stream: bytes) -> bytes:
    """The symbol that a stream is of, in lower case; empty where it names none."""
    symbol, at, _ = stream.partition(b"@")
    return symbol if at else b""


def depth_ids(payload: bytes) -> tuple[int, int] | None:
    """The id before a depth message (``U - 1`` where it names none), and its final id.

    None where they do not stand as the venue writes them.
    """
    found = _IDS[b"depth"].search(payload)
    if found is None:
        return None
    first, final, previous = found.groups()
    return int(first) - 1 if previous is None else int(previous), int(final)


def event_ns(payload: bytes) -> int:
    """When the venue sent a message, ns since 1970, from its ms, µs or ns; 0 where it says none."""
    found = _EVENT.search(payload)
    return int(found[1].ljust(19, b"0")) if found else 0


def identity(kind: bytes, payload: bytes) -> int:
    """What a message is told by among those of its stream: its id, or a hash of its bytes.

    Hashes are below 0: no id is.
    """
    ids = _IDS.get(kind)
    found = None if ids is None else ids.search(payload)
    if found is None:
        return -1 - (hash(payload) & (1 << 62) - 1)
    return int(found[2 if kind == b"depth" else 1])
