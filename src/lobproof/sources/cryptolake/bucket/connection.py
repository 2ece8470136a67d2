"""Where the bucket is and who asks: endpoint and credentials, and that nothing shows them."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from dotenv import dotenv_values

from lobproof.documents import read_bytes
from lobproof.errors import UsageError, system_text

PAID_BUCKET, PAID_PREFIX = "qnt.data", "market-data/cryptofeed"
SAMPLE_BUCKET = "sample.crypto.lake"
REGION = "eu-west-1"
VENDORS_ENDPOINTS = (
    f"https://s3.{REGION}.amazonaws.com",
    f"https://s3-{REGION}.amazonaws.com",
    "https://s3.amazonaws.com",
)
"""S3 itself, where the vendor's buckets are. Any other name may be a stranger's bucket."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
PRINTABLE = re.compile(r"[!-~]+")
_LINE = re.compile(r"[ -~]+")
ENVIRONMENT = "the environment"
_DOTENV_BYTES = 1 << 15
_PROFILES_BYTES = 1 << 20
"""Of an AWS profile file: hundreds of profiles have a tenth of it."""
_PART = 8
"""Characters of a secret that are a part of it, and no coincidence."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key. Its text shows where it came from, and nothing of it."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    source: str = ""
    """Where it was found, for people."""
    endpoint: str = field(default="", repr=False)
    """The endpoint that an AWS profile names beside it."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be seen anywhere, as it is, and as a URL or XML has it."""
        plain = [text for text in (self.secret_key, self.token, self.access_key) if text]
        return tuple(dict.fromkeys(way(text) for way in (str, _in_url, escape) for text in plain))


def _in_url(text: str) -> str:
    return quote(text, safe="")


@dataclass(frozen=True, slots=True)
class Connection:
    """A bucket, and how to ask for what is in it.

    ``prefix`` has no slash at either end and may be empty. ``endpoint`` is an address, never
    empty. ``credentials`` is None for requests that are not signed. ``notes`` say what was found
    and does not count.
    """

    bucket: str
    prefix: str
    region: str
    endpoint: str
    credentials: Credentials | None = None
    notes: tuple[str, ...] = ()

    @property
    def anonymous(self) -> bool:
        """Whether requests are not signed."""
        return self.credentials is None

    @property
    def is_vendor(self) -> bool:
        """Whether this is one of Crypto Lake's own buckets, at AWS itself."""
        return self.endpoint in VENDORS_ENDPOINTS and self.bucket in (PAID_BUCKET, SAMPLE_BUCKET)

    @property
    def place(self) -> str:
        """Bucket and prefix, for people."""
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What :meth:`redact` takes out."""
        return self.credentials.secrets if self.credentials is not None else ()

    def redact(self, text: str) -> str:
        """``text`` without any secret, nor any part of one that is long enough to be known by.

        Cut afterwards, never before.
        """
        for secret in self.secrets:
            text = text.replace(secret, "***")
        parts, hidden = _parts(self.secrets), bytearray(len(text))
        for at in range(len(text) - _PART + 1):
            if text[at : at + _PART] in parts:
                hidden[at : at + _PART] = b"x" * _PART
        shown = ("\0" if hide else character for character, hide in zip(text, hidden, strict=True))
        return re.sub("\0+", "***", "".join(shown))

    def holds_secret(self, text: str) -> bool:
        """Whether a part of a secret is in ``text``."""
        parts = _parts(self.secrets)
        return any(text[at : at + _PART] in parts for at in range(len(text) - _PART + 1))


@lru_cache(maxsize=8)
def _parts(secrets: tuple[str, ...]) -> frozenset[str]:
    return frozenset(
        secret[at : at + _PART] for secret in secrets for at in range(len(secret) - _PART + 1)
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
    else from the profile of the AWS files that the environment names, or the default one: the
    first of them that has any. An endpoint counts only from where the credentials come, so that
    no file sends another's signature, or session token, to a place of its own.

    Parameters
    ----------
    sample
        The vendor's free bucket, with requests that are not signed.
    endpoint
        Address of another S3-compatible store; by default ``AWS_ENDPOINT_URL_S3`` or
        ``AWS_ENDPOINT_URL`` (in an AWS profile ``endpoint_url``) of the source that the
        credentials are from, or of the environment where there are none; else AWS.
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
        When there are no credentials, half of them, or an endpoint that is no address, or an
        unencrypted one of another machine; when ``dotenv`` is no plain text file.
    """
    variables = os.environ if environ is None else environ
    file = _dotenv(dotenv)
    known = None if sample else _credentials(variables, file, profile, dotenv)
    chosen, notes = endpoint or "", []
    for source, said in ((ENVIRONMENT, _endpoint(variables)), (str(dotenv), _endpoint(file))):
        counts = source == (ENVIRONMENT if known is None else known.source)
        if not said or endpoint:
            continue
        if counts:
            chosen = said
        else:
            whose = f"the credentials come from {known.source}" if known else "nothing is signed"
            notes.append(
                f"the endpoint in {source} does not count, as {whose}; name it by endpoint= "
                "(--endpoint)"
            )
    if file.get("AWS_PROFILE") and not profile and known and known.source != str(dotenv):
        notes.append(f"AWS_PROFILE in {dotenv} does not count; name it by profile= (--profile)")
    if known is not None and not chosen:
        chosen = known.endpoint
    where = _matching(_REGION, region or REGION, "region")
    return Connection(
        bucket=_matching(_BUCKET, bucket or (SAMPLE_BUCKET if sample else PAID_BUCKET), "bucket"),
        prefix=(prefix if prefix is not None else "" if sample else PAID_PREFIX).strip("/"),
        region=where,
        endpoint=_address(chosen) if chosen else f"https://s3.{where}.amazonaws.com",
        credentials=known,
        notes=tuple(notes),
    )


def _endpoint(values: Mapping[str, str]) -> str:
    return next((values[name] for name in _ENDPOINTS if values.get(name)), "")


def _matching(form: re.Pattern[str], text: str, what: str) -> str:
    if not form.fullmatch(text):
        raise UsageError(
            f"there can be no {what} of the name {text[:60]!r}",
            hint=f"give the {what}'s name alone, as AWS has it",
        )
    return text


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or not PRINTABLE.fullmatch(text):
        raise UsageError(
            "the endpoint is no address of a store",
            hint="give it as https://HOST, or http://localhost:PORT",
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "the endpoint must hold neither credentials nor a query",
            hint="put credentials into the environment, .env, or an AWS profile",
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise UsageError(
            "the endpoint is another machine's, and its address begins with http://: signatures "
            "and tokens would be sent for all to read",
            hint="give it as https://HOST; http:// is for this machine (localhost) alone",
        )
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _dotenv(path: Path) -> dict[str, str]:
    if path.is_dir():  # environments of Python have this name too
        return {}
    try:
        text = read_bytes(path, _DOTENV_BYTES).decode("utf-8")
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        wrong = system_text(error) if isinstance(error, OSError) else str(error)
        if isinstance(error, UnicodeDecodeError):
            wrong = "it is not UTF-8"  # its own message repeats a byte
        raise UsageError(
            f"{path} is not read: {wrong}",
            hint="it is to be a plain text file of NAME=value lines; mend it, move it away, "
            "or work in another folder",
        ) from None
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


def _credentials(
    variables: Mapping[str, str], file: Mapping[str, str], profile: str | None, dotenv: Path
) -> Credentials:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    if profile is None:
        for source, values in ((ENVIRONMENT, variables), (str(dotenv), file)):
            found = _pair(values, names, source)
            if found is not None:
                return found
    found = _from_profile(variables, profile)
    if found is not None:
        return found
    raise UsageError(
        "no credentials: neither the environment, nor "
        f"{dotenv}, nor an AWS profile has an access key",
        hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile= "
        "(--profile), or use sample= (--sample) for the vendor's free bucket",
    )


def _pair(
    values: Mapping[str, str], names: tuple[str, str, str], source: str, endpoint: str = ""
) -> Credentials | None:
    access, secret, token = ((values.get(name) or "").strip() for name in names)
    if not access and not secret:
        return None
    if not access or not secret:
        raise UsageError(
            f"{source} has half an access key: {names[0 if secret else 1]} is missing",
            hint="set both, or neither to use the next source",
        )
    if not all(_LINE.fullmatch(text) for text in (access, secret, token) if text):
        raise UsageError(
            f"{source} has an access key with characters that none has",
            hint="copy key, secret and token anew, each on a line of its own",
        )
    return Credentials(access, secret, token, source, endpoint)


def _from_profile(variables: Mapping[str, str], profile: str | None) -> Credentials | None:
    """The key of a profile; None when none was named and the default has none."""
    named = profile or variables.get("AWS_PROFILE") or ""
    name = named or "default"
    home = Path(variables["HOME"]) if variables.get("HOME") else Path.home()
    places = {
        Path(variables.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials"): name,
        Path(variables.get("AWS_CONFIG_FILE") or home / ".aws" / "config"): (
            name if name == "default" else f"profile {name}"
        ),
    }
    sections = {path: _section(path, section) for path, section in places.items()}
    there = [values for values in sections.values() if values is not None]
    endpoint = next(filter(None, (values.get("endpoint_url") for values in there)), "")
    for path, values in sections.items():
        found = _pair(
            values or {},
            ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
            f"profile {name} in {path}",
            endpoint,
        )
        if found is not None:
            return found
    if named:
        raise UsageError(
            f"the AWS profile {name} {'has no access key' if there else 'does not exist'} "
            f"({', '.join(map(str, places))})",
            hint="for a profile with single sign-on or a process, run `aws configure "
            "export-credentials --profile NAME --format env` and set what it prints",
        )
    return None


def _section(path: Path, section: str) -> dict[str, str] | None:
    """A section of an AWS file (a pipe will do); None when file or section are absent."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        with path.open("rb") as file:
            data = file.read(_PROFILES_BYTES + 1)
        if len(data) > _PROFILES_BYTES:
            raise UsageError(
                f"{path} has more than {_PROFILES_BYTES:,} bytes, which no AWS profile file has",
                hint="keep the profile in a file of its own, and name that file in "
                "AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE",
            )
        parser.read_string(data.decode("utf-8"))
    except FileNotFoundError:
        return None
    except (configparser.Error, UnicodeDecodeError, OSError):
        # the parser's own message quotes lines, which may hold a key
        raise UsageError(
            f"{path} cannot be read as an AWS profile file",
            hint="check its sections and its rights",
        ) from None
    return dict(parser[section]) if parser.has_section(section) else None
