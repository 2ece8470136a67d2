"""The file of a certificate: its format, and its id."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lobproof.errors import InputError

FORMAT = "lobproof-lake-certificate"
VERSION = 1


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
        _ = (document["id"], document["verdict"], document["coverage"], document["manifest"])
        _ = [(o["key"], o["size"], o["sha256"], o["audit_sha256"]) for o in document["objects"]]
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", hint="check the file's name"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no certificate: {type(error).__name__} {error}",
            hint="`lobproof acquire certify` writes them to FOLDER/certificates",
        ) from error
    return dict(document)


def content_digest(content: dict[str, Any]) -> str:
    """The id of a certificate with that content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
