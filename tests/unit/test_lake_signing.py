"""Signatures, held against the examples that AWS publishes for S3."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lobproof.sources.cryptolake.bucket.http import query_text, quoted, signed

AWS = {
    "access_key": "AKIAIOSFODNN7EXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "region": "us-east-1",
}
NOW = datetime(2013, 5, 24, tzinfo=UTC)
HOST = {"host": "examplebucket.s3.amazonaws.com"}


@pytest.mark.parametrize(
    ("path", "query", "headers", "signature"),
    [
        (
            "/test.txt",
            {},
            {"range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "/",
            {"lifecycle": ""},
            {},
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/",
            {"prefix": "J", "max-keys": "2"},
            {},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["object", "query without a value", "listing"],
)
def test_the_published_examples(
    path: str, query: dict[str, str], headers: dict[str, str], signature: str
) -> None:
    made = signed("GET", path, query_text(query), {**HOST, **headers}, token="", now=NOW, **AWS)
    assert made["authorization"].endswith(f"Signature={signature}")
    assert "x-amz-security-token" not in made


def test_a_token_is_signed_too() -> None:
    made = signed("GET", "/", "", HOST, token="a token", now=NOW, **AWS)
    assert made["x-amz-security-token"] == "a token"
    assert "x-amz-security-token," in made["authorization"]


def test_what_is_quoted() -> None:
    assert quoted("a b/+=&~é'", safe="/") == "a%20b/%2B%3D%26~%C3%A9%27"
    assert query_text({"b": "1/2", "a": ""}) == "a=&b=1%2F2"
