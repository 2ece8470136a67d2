"""Documents from disk: JSON that somebody else may have written, read within bounds.

Too long, too deep, a key twice, a number that is none, half a surrogate, another shape than is
meant: all of it is a ``ValueError`` that says what is wrong, or an error of ours from `read`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from lobproof.errors import LobproofError, shown

MAX_BYTES = 64 << 20
MAX_VALUES = 4_000_000
"""Values in a document: in memory each takes up to about a hundred bytes."""
MAX_DEPTH = 32
QUOTED = 60
"""Characters of a value that an error repeats."""

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Types of numbers for shapes."""

T = TypeVar("T")


def parse(text: bytes | str, shape: Any = None) -> dict[str, Any]:
    """The document of a text.

    Parameters
    ----------
    text
        JSON: an object, in UTF-8 where it is bytes.
    shape
        A type that ``msgspec`` converts to. The document is held against it, and is returned as it
        is.

    Raises
    ------
    ValueError
        Where it is none, or not of that shape.
    """
    found = value_of(text)
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    if shape is not None:
        as_shape(found, shape)
    return found


def as_shape(found: Any, shape: type[T]) -> T:
    """A value as ``shape`` has it; ValueError where it is not so."""
    try:
        return msgspec.convert(found, shape)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ValueError(shown(str(error))) from error


def value_of(text: bytes | str) -> Any:
    """Any JSON value, within the bounds; ValueError where it is none."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has {len(text):,} characters, more than {MAX_BYTES:,}")
    plain = text.decode("utf-8") if isinstance(text, bytes) else text
    if sum(plain.count(mark) for mark in ",[{") > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES:,} values")
    try:
        found = json.loads(
            plain, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite
        )
    except RecursionError:
        raise _too_deep() from None
    if plain.count("[") + plain.count("{") > MAX_DEPTH or "\\u" in plain:
        _walk(found)
    return found


def read(
    path: Path,
    shape: Any = None,
    *,
    error: type[LobproofError],
    hint: str,
    limit: int = MAX_BYTES,
) -> dict[str, Any]:
    """The document in a plain file.

    Raises
    ------
    error
        With ``hint``, naming the file and what is wrong, where it is damaged or not of ``shape``.
    OSError
        If it cannot be read; FileNotFoundError if it is not there.
    """
    try:
        return parse(read_bytes(path, limit), shape)
    except ValueError as wrong:
        raise error(f"{path} is damaged: {wrong}", hint=hint) from wrong


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """A plain file's bytes; ValueError where it is none, or has more than ``limit``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no plain file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise ValueError(f"it has more than {limit:,} bytes")
    return data


def content_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a document's content, hexadecimal, however it is written down."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {shown(key, QUOTED)} stands twice")
            seen.add(key)
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {shown(text, QUOTED)} is too large")
    return number


def _walk(found: Any) -> None:
    """Refuse what is too deep, and text that cannot be written as UTF-8."""
    level = [found]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                for key in value:
                    key.encode()
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str):
                value.encode()
        level = below
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it is more than {MAX_DEPTH} levels deep")
