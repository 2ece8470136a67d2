"""The file of a certificate: its format, and its id."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from lobproof import documents
from lobproof.documents import Count
from lobproof.errors import InputError, system_text

FORMAT = "lobproof-lake-certificate"
VERSION = 1


class _Object(msgspec.Struct):
    """What is read of an object; there is more."""

    key: str
    size: Count
    sha256: str
    rows: Count | None
    provenance: str
    audit_sha256: str


class _Pin(msgspec.Struct):
    records: Count
    head: str


class _Shape(msgspec.Struct):
    """What every reader of a certificate counts on."""

    format: Literal["lobproof-lake-certificate"]
    format_version: Literal[1]
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
        return documents.parse(documents.read_bytes(Path(path)), _Shape)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {system_text(error)}", hint="check the file's name"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path} is no certificate: {error}",
            hint="`lobproof acquire certify` writes them to FOLDER/certificates",
        ) from error


def is_intact(document: dict[str, Any], name: str) -> bool:
    """Whether the id, and the name of the file, is still the hash of the content."""
    content = {k: v for k, v in document.items() if k not in ("id", "issued_at")}
    return bool(name == document["id"] == content_digest(content))


def content_digest(content: dict[str, Any]) -> str:
    """The id of a certificate with that content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
