"""What a bucket says that it has: a page of its listing, or the vendor's index of a table.

A key that no path can hold, or an ETag that is none, is no reason to lose the rest of a page.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from xml.parsers import expat

import msgspec

from lobproof.errors import LimitError
from lobproof.sources.cryptolake.bucket.limits import (
    ETAG_CHARACTERS,
    INDEX_KEYS,
    INFLATED_BYTES,
    MIB,
    NAME_BYTES,
    OBJECT_BYTES,
    PAGE_KEYS,
    TOKEN_CHARACTERS,
)

INDEX = "contents.json.gz"
_ANY_HEADER = 32 + zlib.MAX_WBITS
"""zlib or gzip, whichever it is."""
_ELEMENTS = 32 * PAGE_KEYS
"""Of a page: an object has up to fifteen."""
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CHARACTER = re.compile(r"&#(?:x0*([0-9a-fA-F]*)|0*([0-9]*));")
_ODD = "\ufffd"
"""Stands for what XML cannot say."""
_DAY = re.compile(r"dt=([0-9]{4})-[0-9]{2}-[0-9]{2}")
_YEARS = range(2009, 2101)
"""Of the day in a key: there was no market before, and the vendor has data since 2018. One key of
another day would make a million days lack."""
_ETAG = re.compile(rf'"?[!#-~]{{0,{ETAG_CHARACTERS}}}"?')
_SIZE = re.compile(r"[0-9]{1,18}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_TOP = "ListBucketResult"


class NoListingError(Exception):
    """What came is no page of a listing, or breaks its rules; the text says which."""


@dataclass(frozen=True, slots=True)
class Meta:
    """What a store says of an object: size in bytes, ETag without quotes, ISO 8601 time."""

    path: str
    size: int
    etag: str
    last_modified: str


@dataclass(slots=True)
class Page:
    """What one page has.

    ``skipped`` holds the keys of what cannot be taken, as they came; ``token`` asks for the next
    page, and is empty on the last.
    """

    objects: list[Meta] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    token: str = ""


def is_odd(path: str) -> bool:
    """Whether no file can have this path, no screen can show it, or its day is none that can be."""
    parts = path.split("/")
    years = (int(day[1]) for part in parts if (day := _DAY.fullmatch(part)))
    return (
        not path.isprintable()
        or any(year not in _YEARS for year in years)
        or any(
            part in ("", ".", "..")
            or _ODD in part
            or "\\" in part
            or len(part.encode()) > NAME_BYTES
            for part in parts
        )
    )


def meta_of(path: str, size: str, etag: str, last_modified: str) -> Meta | None:
    """An object as a store tells it, in text; None where that is no object that can be taken."""
    bare, when = bare_etag(etag), moment(last_modified)
    if is_odd(path) or bare is None or not when or not _SIZE.fullmatch(size):
        return None
    return Meta(path, int(size), bare, when) if int(size) <= OBJECT_BYTES else None


def bare_etag(text: str) -> str | None:
    """An ETag without its quotation marks; None where it is none.

    One that says of itself that it is weak tells no versions apart: it is as good as none.
    """
    if text.startswith("W/"):
        return ""
    return text.strip('"') if _ETAG.fullmatch(text) else None


def moment(text: str) -> str:
    """An ISO 8601 time as manifests have it: UTC, to the second; empty where it is none."""
    try:
        found = datetime.fromisoformat(text)
        return f"{(found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC):{_TIME}}"
    except (ValueError, OverflowError):
        return ""


def parse_page(data: bytes, root: str, prefix: str, *, secret: Callable[[str], bool]) -> Page:
    """The page that ``data`` is.

    Parameters
    ----------
    data
        The body of an answer to ``ListObjectsV2``.
    root, prefix
        What all keys begin with: ``root``, which is taken off objects' keys, and in it ``prefix``,
        which is taken off folders.
    secret
        Whether a text holds a part of a secret: what does is left out.

    Raises
    ------
    NoListingError
        When it is none.
    """
    return _Reader(root, prefix, secret).read(data)


class _Reader:
    """Reads by events: no tree, no entities, no more elements than a page has."""

    def __init__(self, root: str, prefix: str, secret: Callable[[str], bool]) -> None:
        self._root = root
        self._prefix = prefix
        self._secret = secret
        self._page = Page()
        self._path: list[str] = []
        self._text: list[str] = []
        self._fields: dict[str, str] = {}
        self._elements = 0
        self._more = ""

    def read(self, data: bytes) -> Page:
        parser: Any = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = self._doctype
        text = _NO_XML.sub(_ODD, data.decode("utf-8", "replace"))
        try:
            parser.Parse(_CHARACTER.sub(_character, text).encode(), True)
        except expat.ExpatError as error:
            raise NoListingError(f"it is no XML ({expat.ErrorString(error.code)})") from None
        page = self._page
        if len(page.objects) + len(page.folders) + len(page.skipped) > PAGE_KEYS:
            raise NoListingError(f"a page has more than the {PAGE_KEYS:,} keys asked for")
        if self._more not in ("true", "false"):
            raise NoListingError("it does not say whether more follows")
        if self._more == "false":
            page.token = ""
        elif not page.token or len(page.token) > TOKEN_CHARACTERS:
            raise NoListingError("it says that more follows, and not how to ask for it")
        return page

    def _doctype(self, *_: object) -> None:
        raise NoListingError("it has a document type")

    def _start(self, name: str, _: object) -> None:
        self._elements += 1
        if self._elements > _ELEMENTS:
            raise NoListingError("a page has too many elements")
        if not self._path and name != _TOP:
            raise NoListingError("it is something else")
        self._path.append(name)
        self._text.clear()
        if len(self._path) == 2:
            self._fields = {}

    def _end(self, name: str) -> None:
        text = "".join(self._text)
        self._text.clear()
        match self._path[1:]:
            case ["Contents" | "CommonPrefixes", _]:
                self._fields[name] = text
            case ["Contents"]:
                self._object(self._fields)
            case ["CommonPrefixes"]:
                self._folder(self._fields.get("Prefix", ""))
            case ["IsTruncated"]:
                self._more = text.strip()
            case ["NextContinuationToken"]:
                self._page.token = text
        self._path.pop()

    def _object(self, fields: dict[str, str]) -> None:
        key = fields.get("Key", "")
        path = key.removeprefix(self._root)
        if key.endswith("/") and fields.get("Size") == "0":
            return  # a folder, as some tools make them
        found = meta_of(
            path, fields.get("Size", ""), fields.get("ETag", ""), fields.get("LastModified", "")
        )
        good = key.startswith(self._prefix) and not self._secret(f"{path} {fields.get('ETag')}")
        if found is None or not good:
            self._page.skipped.append(key)
        else:
            self._page.objects.append(found)

    def _folder(self, key: str) -> None:
        name = key.removeprefix(self._prefix).removesuffix("/")
        if not key.startswith(self._prefix) or is_odd(name) or "/" in name or self._secret(name):
            self._page.skipped.append(key)
        else:
            self._page.folders.append(name)


def _character(found: re.Match[str]) -> str:
    """A reference to a character, or what stands for one that XML does not allow."""
    digits, base = (found[1], 16) if found[1] is not None else (found[2], 10)
    value = int(digits, base) if 0 < len(digits) < 8 else 0
    return _ODD if value > 0x10FFFF or _NO_XML.match(chr(value)) else found[0]


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
