"""The signature of a read, as S3 wants it (AWS Signature Version 4)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

NO_BODY = hashlib.sha256().hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"


def quoted(text: str, *, safe: str = "") -> str:
    """Percent-encoded as signatures have it: all but letters, digits and ``-_.~``."""
    return quote(text, safe=f"{safe}-_.~")


def query_text(query: Mapping[str, str]) -> str:
    """A query as it is sent and signed: quoted, in order of the names."""
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in sorted(query.items()))


def signed(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    access_key: str,
    secret_key: str,
    token: str,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """``headers`` and those that sign the request.

    Parameters
    ----------
    method, path, query
        As in the request line: path and query quoted.
    headers
        Names in small letters; ``host`` among them. All are signed.
    access_key, secret_key, token
        The credentials; ``token`` may be empty.
    region, now
        Where the bucket is, and the time, UTC.
    """
    stamp = f"{now:%Y%m%dT%H%M%SZ}"
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    told = {**headers, "x-amz-content-sha256": NO_BODY, "x-amz-date": stamp}
    if token:
        told["x-amz-security-token"] = token
    names = ";".join(sorted(told))
    lines = "".join(f"{name}:{told[name].strip()}\n" for name in sorted(told))
    request = "\n".join((method, path, query, lines, names, NO_BODY))
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join((_ALGORITHM, stamp, scope, digest))
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    told["authorization"] = (
        f"{_ALGORITHM} Credential={access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return told
