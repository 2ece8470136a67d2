"""Where the bucket is and who asks: endpoint, credentials, and a store that keeps them quiet."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values
from obstore.store import S3Store

from lobproof.errors import UsageError

if TYPE_CHECKING:
    from obstore.store import S3Credential

PAID_BUCKET, PAID_PREFIX = "qnt.data", "market-data/cryptofeed"
SAMPLE_BUCKET = "sample.crypto.lake"
REGION = "eu-west-1"
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""A connection on which nothing arrives for so long is given up."""
_REQUEST_SECONDS = 3600.0
_AWS_HOST = re.compile(r"s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key. Its text shows where it came from, and nothing of it."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    source: str = ""
    """Where it was found, for people."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be seen anywhere, as it is and as a URL has it."""
        plain = [text for text in (self.secret_key, self.token, self.access_key) if text]
        return tuple(dict.fromkeys([*plain, *(quote(text, safe="") for text in plain)]))


@dataclass(frozen=True, slots=True)
class Connection:
    """A bucket, and how to ask for what is in it.

    ``prefix`` has no slash at either end and may be empty. ``endpoint`` is an address, never
    empty. ``credentials`` is None for requests that are not signed.
    """

    bucket: str
    prefix: str
    region: str
    endpoint: str
    credentials: Credentials | None = None

    @property
    def anonymous(self) -> bool:
        """Whether requests are not signed."""
        return self.credentials is None

    @property
    def is_vendor(self) -> bool:
        """Whether this is one of Crypto Lake's own buckets, at AWS itself."""
        parts = urlsplit(self.endpoint)
        at_aws = parts.scheme == "https" and _AWS_HOST.fullmatch(parts.hostname or "") is not None
        return at_aws and self.bucket in (PAID_BUCKET, SAMPLE_BUCKET)

    @property
    def place(self) -> str:
        """Bucket and prefix, for people."""
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What :meth:`redact` takes out."""
        return self.credentials.secrets if self.credentials is not None else ()

    def redact(self, text: str) -> str:
        """``text`` without any secret."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def store(
        self, *, connect_seconds: float = CONNECT_SECONDS, read_seconds: float = READ_SECONDS
    ) -> S3Store:
        """A client for this bucket, keys below the prefix; it does not retry by itself.

        Parameters
        ----------
        connect_seconds, read_seconds
            How long to wait for a connection, and for the next bytes on one.
        """
        known = self.credentials

        def credential() -> S3Credential:
            assert known is not None
            return {
                "access_key_id": known.access_key,
                "secret_access_key": known.secret_key,
                "token": known.token or None,
                "expires_at": None,
            }

        # Everything is named, so that no variable of the environment has a say in it.
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            region=self.region,
            endpoint=self.endpoint,
            aws_endpoint_url_s3=self.endpoint,
            virtual_hosted_style_request=False,
            skip_signature=self.anonymous,
            credential_provider=None if self.anonymous else credential,
            client_options={
                "allow_http": self.endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=connect_seconds),
                "read_timeout": timedelta(seconds=read_seconds),
                "timeout": timedelta(seconds=_REQUEST_SECONDS),
                "user_agent": "lobproof",
            },
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=1)},
        )


def connect(
    *,
    sample: bool = False,
    endpoint: str | None = None,
    profile: str | None = None,
    bucket: str | None = None,
    prefix: str | None = None,
    region: str | None = None,
    environ: Mapping[str, str] | None = None,
    dotenv: Path = Path(".env"),
) -> Connection:
    """Resolve where and as whom to ask; nothing is asked yet.

    Credentials come from ``profile`` if given, else from the environment, else from ``dotenv``,
    else from the default profile of the AWS files: the first of them that has any.

    Parameters
    ----------
    sample
        The vendor's free bucket, with requests that are not signed.
    endpoint
        Address of another S3-compatible store; by default ``AWS_ENDPOINT_URL_S3`` or
        ``AWS_ENDPOINT_URL``, else AWS.
    profile
        A profile of the AWS files.
    bucket, prefix, region
        Instead of the vendor's.
    environ
        The environment; by default the process's.
    dotenv
        File of ``NAME=value`` lines; may be absent.

    Raises
    ------
    UsageError
        When there are no credentials, half of them, or an endpoint that is no address.
    """
    variables = os.environ if environ is None else environ
    file = _dotenv(dotenv)
    chosen = endpoint or next(
        (
            source[name]
            for source in (variables, file)
            for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
            if source.get(name)
        ),
        "",
    )
    where = region or REGION
    return Connection(
        bucket=bucket or (SAMPLE_BUCKET if sample else PAID_BUCKET),
        prefix=(prefix if prefix is not None else "" if sample else PAID_PREFIX).strip("/"),
        region=where,
        endpoint=_address(chosen) if chosen else f"https://s3.{where}.amazonaws.com",
        credentials=None if sample else _credentials(variables, file, profile, dotenv),
    )


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "the endpoint is no address of a store",
            hint="give it as https://HOST or http://HOST:PORT",
        )
    if parts.username is not None or parts.password is not None or parts.query:
        raise UsageError(
            "the endpoint must hold neither credentials nor a query",
            hint="put credentials into the environment, .env, or an AWS profile",
        )
    return text.rstrip("/")


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    values = dotenv_values(path, interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


def _credentials(
    variables: Mapping[str, str], file: Mapping[str, str], profile: str | None, dotenv: Path
) -> Credentials:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    if profile is None:
        for source, values in (("the environment", variables), (str(dotenv), file)):
            found = _pair(values, names, source)
            if found is not None:
                return found
    found = _from_profile(variables, file, profile)
    if found is not None:
        return found
    raise UsageError(
        "no credentials: neither the environment, nor "
        f"{dotenv}, nor an AWS profile has an access key",
        hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a --profile, "
        "or use --sample for the vendor's free bucket",
    )


def _pair(
    values: Mapping[str, str], names: tuple[str, str, str], source: str
) -> Credentials | None:
    access, secret, token = ((values.get(name) or "").strip() for name in names)
    if not access and not secret:
        return None
    if not access or not secret:
        raise UsageError(
            f"{source} has half an access key: {names[0 if secret else 1]} is missing",
            hint="set both, or neither to use the next source",
        )
    return Credentials(access, secret, token, source)


def _from_profile(
    variables: Mapping[str, str], file: Mapping[str, str], profile: str | None
) -> Credentials | None:
    """The key of a profile; None when none was named and the default has none."""
    named = profile or variables.get("AWS_PROFILE") or file.get("AWS_PROFILE") or ""
    name = named or "default"
    home = Path(variables["HOME"]) if variables.get("HOME") else Path.home()
    places = {
        Path(variables.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials"): name,
        Path(variables.get("AWS_CONFIG_FILE") or home / ".aws" / "config"): (
            name if name == "default" else f"profile {name}"
        ),
    }
    known = False
    for path, section in places.items():
        values = _section(path, section)
        known = known or values is not None
        found = _pair(
            values or {},
            ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
            f"profile {name} in {path}",
        )
        if found is not None:
            return found
    if named:
        raise UsageError(
            f"the AWS profile {name} {'has no access key' if known else 'does not exist'} "
            f"({', '.join(map(str, places))})",
            hint="for a profile with single sign-on or a process, run `aws configure "
            "export-credentials --profile NAME --format env` and set what it prints",
        )
    return None


def _section(path: Path, section: str) -> dict[str, str] | None:
    """A section of an AWS file; None when file or section are absent."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        return None
    except (configparser.Error, UnicodeDecodeError, OSError):
        # the parser's own message quotes lines, which may hold a key
        raise UsageError(
            f"{path} cannot be read as an AWS profile file",
            hint="check its sections and its rights",
        ) from None
    return dict(parser[section]) if parser.has_section(section) else None
