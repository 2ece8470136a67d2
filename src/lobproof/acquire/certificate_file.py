"""The file of a certificate: its format, and its id."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec

from lobproof.errors import InputError

FORMAT = "lobproof-lake-certificate"
VERSION = 1


class _Object(msgspec.Struct):
    """What is read of an object; there is more."""

    key: str
    size: int
    sha256: str
    rows: int | None
    provenance: str
    audit_sha256: str


class _Pin(msgspec.Struct):
    records: Annotated[int, msgspec.Meta(ge=0)]
    head: str


class _Shape(msgspec.Struct):
    """What every reader of a certificate counts on."""

    id: str
    verdict: str
    coverage: dict[str, Any]
    manifest: _Pin
    objects: list[_Object]


def read_certificate(path: Path) -> dict[str, Any]:
    """The document of a certificate.

    Raises
    ------
    InputError
        When ``path`` is none.
    """
    try:
        document = json.loads(Path(path).read_bytes())
        if document["format"] != FORMAT or document["format_version"] != VERSION:
            raise ValueError("another format")
        msgspec.convert(document, _Shape)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", hint="check the file's name"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError, msgspec.ValidationError) as error:
        raise InputError(
            f"{path} is no certificate: {type(error).__name__} {error}",
            hint="`lobproof acquire certify` writes them to FOLDER/certificates",
        ) from error
    return dict(document)


def is_intact(document: dict[str, Any], name: str) -> bool:
    """Whether the id, and the name of the file, is still the hash of the content."""
    content = {k: v for k, v in document.items() if k not in ("id", "issued_at")}
    return bool(name == document["id"] == content_digest(content))


def content_digest(content: dict[str, Any]) -> str:
    """The id of a certificate with that content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
