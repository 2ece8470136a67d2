"""The vendor's index of a table: the keys of all its objects, as it was when it was written."""

from __future__ import annotations

import zlib

import msgspec

from lobproof.sources.cryptolake.failures import LimitError
from lobproof.sources.cryptolake.limits import INDEX_KEYS, INFLATED_BYTES, MIB

INDEX = "contents.json.gz"
_ANY_HEADER = 32 + zlib.MAX_WBITS
"""zlib or gzip, whichever it is."""


class _Index(msgspec.Struct):
    objects: list[str]


def read_index(data: bytes, prefix: str) -> list[str] | None:
    """Keys below ``prefix`` of a ``contents.json.gz``; None if it is damaged.

    Raises
    ------
    LimitError
        When it inflates to more, or has more keys, than any real one.
    """
    try:
        unpacker = zlib.decompressobj(_ANY_HEADER)
        text = unpacker.decompress(data, INFLATED_BYTES)
        if not unpacker.eof and len(text) == INFLATED_BYTES:
            raise _long_index(f"{INFLATED_BYTES // MIB} MiB")
        if not unpacker.eof:
            return None
        if text.count(b'"') > 2 * (INDEX_KEYS + 1):
            raise _long_index(f"{INDEX_KEYS:,} keys")
        keys = msgspec.json.decode(text, type=_Index).objects
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    head = f"{prefix}/" if prefix else ""
    return list({key.removeprefix(head): None for key in keys})


def _long_index(limit: str) -> LimitError:
    return LimitError(
        f"{INDEX} has more than {limit}",
        hint=f"no real one has more than {limit}: tell whoever runs the store",
    )
