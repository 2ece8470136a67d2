"""Where credentials come from, and that nothing shows them."""

from __future__ import annotations

import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from lobproof.errors import UsageError
from lobproof.sources.cryptolake.bucket.connection import (
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


@pytest.mark.parametrize("name", ["credentials", "config"])
def test_a_profile_file_that_is_too_large_is_refused(tmp_path: Path, name: str) -> None:
    write_profiles(tmp_path)
    with (tmp_path / ".aws" / name).open("ab") as file:
        file.truncate(8 << 30)  # takes nothing on the disk
    tracemalloc.start()
    with pytest.raises(UsageError, match=rf"{name} has more than 1,048,576 bytes") as caught:
        resolve(tmp_path, {}, "conf")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert "AWS_CONFIG_FILE" in caught.value.hint


@pytest.mark.parametrize("kind", ["no text", "too long", "sparse", "pipe", "socket", "loop"])
@pytest.mark.parametrize("sample", [False, True])
def test_a_dotenv_that_is_no_plain_text_is_refused_and_not_quoted(
    tmp_path: Path, kind: str, sample: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    path = Path(".env")
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "no text":
            path.write_bytes(b"AWS_SECRET_ACCESS_KEY=my-secret\xff\n")
        elif kind == "too long":
            path.write_text("A=my-secret\n" * 3000)
        elif kind == "sparse":
            path.touch()
            os.truncate(path, 1 << 40)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            listener.bind(str(path))
        else:
            path.symlink_to(path)
        with pytest.raises(UsageError, match=r"^\.env is not read: ") as told:
            connect(sample=sample, environ=KEY, dotenv=path)
        assert "my-secret" not in str(told.value)
        assert "NAME=value" in told.value.hint


def test_a_dotenv_may_be_a_link_or_an_environments_folder(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(DOTENV_KEY)
    (tmp_path / ".env").symlink_to("keys")
    assert access(resolve(tmp_path, {})) == "AKIADOTENV"
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert access(resolve(tmp_path, KEY)) == "AKIAENV"


def test_defaults_are_the_vendors(tmp_path: Path) -> None:
    paid = resolve(tmp_path, KEY)
    assert (paid.bucket, paid.prefix, paid.region) == (PAID_BUCKET, PAID_PREFIX, "eu-west-1")
    assert paid.is_vendor
    assert not paid.anonymous
    sample = connect(sample=True, environ={}, dotenv=tmp_path / ".env")
    assert (sample.bucket, sample.prefix) == (SAMPLE_BUCKET, "")
    assert sample.anonymous
    assert sample.is_vendor


@pytest.mark.parametrize(
    ("address", "vendors"),
    [
        ("https://s3.eu-west-1.amazonaws.com", True),
        ("https://s3.eu-west-1.amazonaws.com/", True),
        ("https://s3-eu-west-1.amazonaws.com", True),
        ("https://s3.amazonaws.com", True),
        ("https://s3-evil.s3.amazonaws.com", False),
        ("https://s3.evil.amazonaws.com", False),
        ("https://s3.us-east-1.amazonaws.com", False),
        ("https://s3.amazonaws.com/evil", False),
        ("https://s3.amazonaws.com/evil/..", False),
        ("https://s3.amazonaws.com:8443", False),
        ("https://s3.amazonaws.com.", False),
        ("https://s3.notamazonaws.com", False),
        ("https://s3.eu-west-1.amazonaws.com.example.org", False),
        ("https://evil.s3.eu-west-1.amazonaws.com", False),
        ("https://example.org", False),
        ("http://localhost:9000", False),
    ],
)
@pytest.mark.parametrize("sample", [True, False])
def test_only_the_vendors_own_place_is_the_vendors(
    address: str, vendors: bool, sample: bool
) -> None:
    environ = {} if sample else KEY
    there = connect(sample=sample, endpoint=address, environ=environ, dotenv=Path("none"))
    assert there.is_vendor is vendors


def test_only_the_vendors_own_buckets_are_the_vendors() -> None:
    assert not connect(environ=KEY, bucket="mine").is_vendor


@pytest.mark.parametrize("name", ["eu-west-1.example.org/", "x@example.org", "", "../mine", "a?x"])
def test_no_name_says_where_else_to_ask(name: str) -> None:
    with pytest.raises(UsageError, match="there can be no region"):
        connect(environ=KEY, region=name or " ")
    with pytest.raises(UsageError, match="there can be no bucket"):
        connect(environ=KEY, bucket=f"qnt.data/{name}")


# an endpoint counts only from where its credentials come ------------------------------------------

HERE, THERE, ELSEWHERE = (f"https://{name}.example.org" for name in ("here", "there", "elsewhere"))
DOTENV_KEY = "AWS_ACCESS_KEY_ID=AKIADOTENV\nAWS_SECRET_ACCESS_KEY=dotenv-secret\n"
AWS = "https://s3.eu-west-1.amazonaws.com"


def test_an_endpoint_beside_the_keys_counts(tmp_path: Path) -> None:
    write_profiles(tmp_path)
    assert resolve(tmp_path, {**KEY, "AWS_ENDPOINT_URL": HERE}).endpoint == HERE
    (tmp_path / ".env").write_text(f"{DOTENV_KEY}AWS_ENDPOINT_URL={THERE}\n")
    assert resolve(tmp_path, {}).endpoint == THERE
    with (tmp_path / ".aws" / "config").open("a") as file:
        file.write(f"[profile lake]\nendpoint_url = {ELSEWHERE}\n")
    named = resolve(tmp_path, {}, profile="lake")
    assert (named.endpoint, access(named)) == (ELSEWHERE, "AKIALAKE")
    assert connect(environ=KEY, endpoint=f"{HERE}/").endpoint == HERE


@pytest.mark.parametrize("where", ["environment", "profile", "default profile"])
def test_a_file_in_the_folder_sends_no_other_keys_to_a_place_of_its_own(
    tmp_path: Path, where: str
) -> None:
    write_profiles(tmp_path)
    (tmp_path / ".env").write_text(
        f"AWS_ENDPOINT_URL={THERE}\nAWS_ENDPOINT_URL_S3={THERE}\nAWS_PROFILE=lake\n"
    )
    environ = KEY if where == "environment" else {}
    found = resolve(tmp_path, environ, profile="conf" if where == "profile" else None)
    expected = {"environment": "AKIAENV", "profile": "AKIACONF", "default profile": "AKIADEFAULT"}
    assert (found.endpoint, access(found)) == (AWS, expected[where])
    (said,) = [note for note in found.notes if "endpoint" in note]
    assert ".env does not count" in said
    assert any("AWS_PROFILE" in note for note in found.notes) is (where != "profile")


def test_an_endpoint_of_the_environment_is_not_that_of_other_keys(tmp_path: Path) -> None:
    write_profiles(tmp_path)
    found = resolve(tmp_path, {"AWS_ENDPOINT_URL": HERE}, profile="lake")
    assert (found.endpoint, len(found.notes)) == (AWS, 1)
    (tmp_path / ".env").write_text(DOTENV_KEY)
    found = resolve(tmp_path, {"AWS_ENDPOINT_URL": HERE})
    assert (found.endpoint, access(found), len(found.notes)) == (AWS, "AKIADOTENV", 1)


def test_without_keys_the_environment_may_name_the_place_and_a_file_not(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"AWS_ENDPOINT_URL={THERE}\n")
    there = connect(sample=True, environ={"AWS_ENDPOINT_URL": HERE}, dotenv=tmp_path / ".env")
    assert there.endpoint == HERE
    alone = connect(sample=True, environ={}, dotenv=tmp_path / ".env")
    assert (alone.endpoint, len(alone.notes)) == (AWS, 1)


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("http://localhost:9000", True),
        ("http://127.0.0.1:9000", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:9000", True),
        ("https://minio.example.org", True),
        ("http://minio.example.org", False),
        ("http://10.0.0.7:9000", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.example.org", False),
        ("http://[::ffff:10.0.0.7]", False),
    ],
)
def test_only_this_machine_is_asked_in_the_clear(address: str, taken: bool) -> None:
    if taken:
        assert connect(environ=KEY, endpoint=address).endpoint == address
        return
    for given in (KEY, {}):
        with pytest.raises(UsageError, match="for all to read") as caught:
            connect(environ=given, sample=not given, endpoint=address)
        assert "https://" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "minio:9000",
        "https://user:pass@host",
        "https://h/?key=pass",
        "https://h/#pass",
        "https://h:pass",
        "https://h/pass\n",
        "https://h\x1bpass",
        "https://[pass",
        "ftp://pass",
    ],
)
def test_an_endpoint_that_is_none_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(environ=KEY, endpoint=text)
    assert "pass" not in str(caught.value)


def test_no_secret_in_any_text_of_a_connection() -> None:
    made = connect(environ={**KEY, "AWS_SESSION_TOKEN": "t/k+n="})
    shown = f"{made!r} {made} {made.credentials!r} {made.redact('env-secret t/k+n= t%2Fk%2Bn%3D')}"
    for secret in ("AKIAENV", "env-secret", "t/k+n=", "t%2Fk%2Bn%3D"):
        assert secret not in shown


LONG = "".join(chr(ord("A") + (k * 7 + k // 26) % 26) for k in range(900))
"""A session token, which is longer than what is shown of any answer."""


@pytest.mark.parametrize("start", [0, 1, 400, 892])
@pytest.mark.parametrize("length", [8, 40, 300, 900])
def test_long_parts_of_a_secret_are_taken_out_too(start: int, length: int) -> None:
    made = connect(environ={**KEY, "AWS_SESSION_TOKEN": LONG})
    part = LONG[start : start + length]
    shown = made.redact(f"<Token>{part}</Token> and more")
    assert shown == "<Token>***</Token> and more"
    assert made.holds_secret(f"symbol={part}")
    assert not made.holds_secret("trades/exchange=BINANCE/symbol=BTC-USDT/dt=2026-01-01/1.parquet")


def test_keys_that_no_request_can_carry_are_refused() -> None:
    for value in ("a\nb: c", "a\x00", "é"):
        with pytest.raises(UsageError, match="characters that none has") as caught:
            connect(environ={**KEY, "AWS_SESSION_TOKEN": value})
        assert value not in str(caught.value)
