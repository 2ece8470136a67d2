"""Where credentials come from, and that nothing shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lobproof.errors import UsageError
from lobproof.sources.cryptolake.connection import (
    PAID_BUCKET,
    PAID_PREFIX,
    SAMPLE_BUCKET,
    Connection,
    connect,
)

KEY = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "env-secret"}


def resolve(tmp_path: Path, environ: dict[str, str], profile: str | None = None) -> Connection:
    return connect(
        environ={"HOME": str(tmp_path), **environ}, dotenv=tmp_path / ".env", profile=profile
    )


def write_profiles(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = default%secret\n"
        "[lake]\naws_access_key_id = AKIALAKE\naws_secret_access_key = lake-secret\n"
        "aws_session_token = lake-token\n"
    )
    (tmp_path / ".aws" / "config").write_text(
        "[profile conf]\naws_access_key_id = AKIACONF\naws_secret_access_key = conf-secret\n"
        "[profile sso]\nsso_session = corporate\n"
    )


def access(connection: Connection) -> str:
    assert connection.credentials is not None
    return connection.credentials.access_key


def test_the_first_source_that_has_a_key_is_taken(tmp_path: Path) -> None:
    write_profiles(tmp_path)
    assert access(resolve(tmp_path, {})) == "AKIADEFAULT"
    (tmp_path / ".env").write_text(
        "AWS_ACCESS_KEY_ID=AKIADOTENV\nAWS_SECRET_ACCESS_KEY='dotenv $ecret'\n"
    )
    found = resolve(tmp_path, {})
    assert access(found) == "AKIADOTENV"
    assert "dotenv $ecret" in found.secrets
    assert access(resolve(tmp_path, KEY)) == "AKIAENV"


def test_a_named_profile_goes_before_the_environment(tmp_path: Path) -> None:
    write_profiles(tmp_path)
    found = resolve(tmp_path, KEY, profile="lake")
    assert access(found) == "AKIALAKE"
    assert "lake-token" in found.secrets
    assert access(resolve(tmp_path, KEY, profile="conf")) == "AKIACONF"
    assert access(resolve(tmp_path, {"AWS_PROFILE": "lake"})) == "AKIALAKE"


def test_other_places_of_the_profile_files(tmp_path: Path) -> None:
    elsewhere = tmp_path / "keys"
    elsewhere.write_text("[default]\naws_access_key_id=A1\naws_secret_access_key=S1\n")
    assert access(resolve(tmp_path, {"AWS_SHARED_CREDENTIALS_FILE": str(elsewhere)})) == "A1"


@pytest.mark.parametrize(
    ("environ", "profile", "words"),
    [
        ({}, None, "no credentials"),
        ({"AWS_ACCESS_KEY_ID": "AKIAENV"}, None, "AWS_SECRET_ACCESS_KEY is missing"),
        ({"AWS_SECRET_ACCESS_KEY": "x-secret"}, None, "AWS_ACCESS_KEY_ID is missing"),
        ({}, "nobody", "does not exist"),
        ({}, "sso", "has no access key"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, environ: dict[str, str], profile: str | None, words: str
) -> None:
    if profile is not None:
        write_profiles(tmp_path)
    with pytest.raises(UsageError, match=words) as caught:
        resolve(tmp_path, environ, profile)
    assert "x-secret" not in str(caught.value)


def test_a_damaged_profile_file_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("aws_secret_access_key = my-secret\n[default\n")
    with pytest.raises(UsageError, match="cannot be read") as caught:
        resolve(tmp_path, {})
    assert "my-secret" not in str(caught.value)


def test_defaults_are_the_vendors(tmp_path: Path) -> None:
    paid = resolve(tmp_path, KEY)
    assert (paid.bucket, paid.prefix, paid.region) == (PAID_BUCKET, PAID_PREFIX, "eu-west-1")
    assert paid.is_vendor
    assert not paid.anonymous
    sample = connect(sample=True, environ={}, dotenv=tmp_path / ".env")
    assert (sample.bucket, sample.prefix) == (SAMPLE_BUCKET, "")
    assert sample.anonymous
    assert sample.is_vendor


def test_only_the_vendors_buckets_at_aws_are_the_vendors() -> None:
    assert not connect(environ=KEY, bucket="mine").is_vendor
    for address in (
        "http://s3.eu-west-1.amazonaws.com",
        "https://s3.amazonaws.com.example.org",
        "https://minio.example.org",
    ):
        assert not connect(environ=KEY, endpoint=address).is_vendor


def test_the_endpoint_comes_from_option_environment_or_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AWS_ENDPOINT_URL=http://three:9000\n")
    variables = {**KEY, "AWS_ENDPOINT_URL": "http://two:9000"}
    assert resolve(tmp_path, KEY).endpoint == "http://three:9000"
    assert resolve(tmp_path, variables).endpoint == "http://two:9000"
    assert connect(environ=variables, endpoint="http://one:9000/").endpoint == "http://one:9000"


@pytest.mark.parametrize("text", ["minio:9000", "http://user:pass@host", "http://h/?key=pass"])
def test_an_endpoint_that_is_none_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(environ=KEY, endpoint=text)
    assert "pass" not in str(caught.value)


def test_no_secret_in_any_text_of_a_connection() -> None:
    made = connect(environ={**KEY, "AWS_SESSION_TOKEN": "t/k+n="})
    shown = f"{made!r} {made} {made.credentials!r} {made.redact('env-secret t/k+n= t%2Fk%2Bn%3D')}"
    for secret in ("AKIAENV", "env-secret", "t/k+n=", "t%2Fk%2Bn%3D"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("host", "vendors"),
    [
        ("s3.eu-west-1.amazonaws.com", True),
        ("s3-eu-west-1.amazonaws.com", True),
        ("s3.amazonaws.com", True),
        ("s3.notamazonaws.com", False),
        ("s3.eu-west-1.amazonaws.com.example.org", False),
        ("example.org", False),
    ],
)
def test_only_the_vendors_own_place_is_the_vendors(host: str, vendors: bool) -> None:
    there = connect(sample=True, endpoint=f"https://{host}", environ={}, dotenv=Path("none"))
    assert there.is_vendor is vendors
