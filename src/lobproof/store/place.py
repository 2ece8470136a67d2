"""``Place``: small documents beside a store's tables, in a folder or in a bucket.

They are changed by compare-and-swap, so that no process overwrites what it has not seen.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from lobproof import documents
from lobproof.errors import (
    AccessDeniedError,
    CredentialsError,
    InputError,
    LobproofError,
    NotFoundError,
    StoreError,
    UnavailableError,
    UsageError,
    need_extra,
)
from lobproof.files import below, locked, make_folder, replacing, walk, write_whole
from lobproof.paths import AnyPath, as_path, placing
from lobproof.store.layout import LOCKS

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

SCHEME = "s3://"
_URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,254})(?:/(?P<prefix>[^?#]*))?")
_UNSAFE = "AWS_S3_ALLOW_UNSAFE_RENAME"
_LOCK = "documents.lock"
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_OPTIONS = (*_SECRETS, "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP")
_TRIES = 4
_PATIENCE = timedelta(seconds=20)
_PAUSE_S = 0.5
"""A request is tried so often, for so long in all; whoever asked decides what follows."""
Result = TypeVar("Result")


class ConflictError(StoreError):
    """A document was changed, or made, by another process since it was read."""


class Place(Protocol):
    """Documents of a store, by names like ``units/…/unit.json``."""

    @property
    def url(self) -> str:
        """The store's folder, or ``s3://bucket/prefix``."""

    def read(self, name: str) -> tuple[bytes, str] | None:
        """A document and its version, for `write`; None if there is none."""

    def write(self, name: str, data: bytes, *, old: str | None) -> str:
        """Replace the version ``old`` of a document, or make a new one (None); its new version.

        What must be told from another writer's has something of its own in it.

        Raises
        ------
        ConflictError
            If another version is there.
        """

    def names(self, prefix: str) -> Iterator[str]:
        """Names below a folder, in order."""

    def delete(self, name: str) -> None:
        """Delete a document; nothing if there is none."""


def place_at(url: AnyPath, options: Mapping[str, str] | None = None) -> LocalPlace | BucketPlace:
    """The place of a store: a folder, or a bucket where the text begins with ``s3://``.

    Parameters
    ----------
    options
        For a bucket: ``AWS_ACCESS_KEY_ID`` and others, as Delta takes them; by default the
        environment's.
    """
    if isinstance(url, str) and url.startswith(SCHEME):
        return BucketPlace.of(url, os.environ if options is None else options)
    return LocalPlace(as_path(url).absolute())


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """Documents in a folder; versions are hashes of their content."""

    root: Path

    @property
    def url(self) -> str:
        """The folder."""
        return str(self.root)

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See `Place`."""
        path = below(self.root, name)
        try:
            with placing(path):
                data = documents.read_bytes(path)
        except LobproofError:
            if not path.exists():
                return None
            raise
        except ValueError as error:
            raise InputError(f"{path}: {error}", hint="delete it; it is made anew") from error
        return data, sha256(data).hexdigest()

    def write(self, name: str, data: bytes, *, old: str | None) -> str:
        """See `Place`."""
        with placing(self.root):
            folder = make_folder(self.root, PurePosixPath(name).parent)
            with locked(make_folder(self.root, LOCKS) / _LOCK):
                found = self.read(name)
                if (found and found[1]) != old:
                    raise _conflict(f"{self.root}/{name}")
                write_whole(folder / PurePosixPath(name).name, data)
        return sha256(data).hexdigest()

    def names(self, prefix: str) -> Iterator[str]:
        """See `Place`."""
        found = (path.relative_to(self.root).as_posix() for path in walk(self.root, prefix))
        yield from sorted(found)

    def delete(self, name: str) -> None:
        """See `Place`."""
        with placing(self.root):
            below(self.root, name).unlink(missing_ok=True)


@dataclass(frozen=True)
class BucketPlace:
    """Documents in a bucket; versions are ETags.

    ``options`` are what Delta and obstore connect with. No text of it shows a secret.
    """

    bucket: str
    prefix: str
    options: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, url: str, options: Mapping[str, str]) -> BucketPlace:
        """The place of a URL.

        Raises
        ------
        UsageError
            If it is none, or commits were to overwrite each other.
        ExtraError
            If the extra ``s3`` is not installed.
        """
        need_extra("s3")
        match = _URL.fullmatch(url)
        if match is None or ".." in (match["prefix"] or "").split("/"):
            raise UsageError(f"{url!r} is no bucket", hint="write it as s3://BUCKET/PREFIX")
        for given in (options, os.environ):
            if given.get(_UNSAFE, "").lower() not in ("", "0", "false", "no"):
                raise UsageError(
                    f"{_UNSAFE} is set: two writers could overwrite each other's commits",
                    hint=f"unset {_UNSAFE}; a bucket that takes conditional puts needs it for "
                    "nothing",
                )
        known = {name: options[name] for name in _OPTIONS if options.get(name)}
        endpoint = options.get("AWS_ENDPOINT_URL_S3") or known.get("AWS_ENDPOINT_URL", "")
        if endpoint:
            known["AWS_ENDPOINT_URL"] = endpoint
        if endpoint.startswith("http://"):
            known["AWS_ALLOW_HTTP"] = "true"
        known.setdefault("AWS_REGION", options.get("AWS_DEFAULT_REGION") or "us-east-1")
        return cls(match["bucket"], (match["prefix"] or "").strip("/"), known)

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    @cached_property
    def store(self) -> S3Store:
        """The bucket below the prefix, for obstore."""
        from obstore.store import S3Store  # 40 ms

        config = {name.lower(): value for name, value in self.options.items()}
        allowed = config.pop("aws_allow_http", "") == "true"
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            config=cast("S3Config", config),
            client_options={"allow_http": True} if allowed else {},
            retry_config={"max_retries": _TRIES, "retry_timeout": _PATIENCE},
        )

    @property
    def delta_options(self) -> dict[str, str]:
        """What Delta connects with: as obstore, and with puts that overwrite nothing."""
        return {
            **self.options,
            "conditional_put": "etag",
            "max_retries": str(_TRIES),
            "retry_timeout": f"{_PATIENCE.total_seconds():.0f}s",
        }

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See `Place`."""

        def get() -> tuple[bytes, str]:
            found = self.store.get(name)
            if found.meta["size"] > documents.MAX_BYTES:
                raise InputError(
                    f"{self.url}/{name} has {found.meta['size']:,} bytes, and is no document of "
                    "ours",
                    hint="delete it; it is made anew",
                )
            return bytes(found.bytes()), _version(self, name, found.meta["e_tag"])

        try:
            return self._asked(name, get)
        except NotFoundError:
            return None

    def write(self, name: str, data: bytes, *, old: str | None) -> str:
        """See `Place`."""
        mode: Any = "create" if old is None else {"e_tag": old}
        try:
            done = self.ask(
                name, lambda: self.store.put(name, data, mode=mode, use_multipart=False)
            )
        except ConflictError:
            # an answer that was lost is asked for again, and then our own write stands in its way
            found = self.read(name)
            if found is None or found[0] != data:
                raise
            return found[1]
        return _version(self, name, done["e_tag"])

    def names(self, prefix: str) -> Iterator[str]:
        """See `Place`."""
        yield from sorted(self.sizes(prefix))

    def sizes(self, prefix: str) -> dict[str, int]:
        """Name → bytes of every object below a folder."""
        pages = self._asked(prefix, lambda: list(self.store.list(prefix)))
        return {one["path"]: one["size"] for page in pages for one in page}

    def delete(self, name: str) -> None:
        """See `Place`."""
        self.ask(name, lambda: self.store.delete(name))

    def put_file(self, name: str, path: Path) -> None:
        """Store a file under a name, whatever is there."""
        self.ask(name, lambda: self.store.put(name, path, use_multipart=False))

    def get_file(self, name: str, path: Path) -> None:
        """Write an object to a file, whole or not at all; `NotFoundError` if there is none."""

        def fetch() -> None:
            found = self.store.get(name)
            with placing(path.parent), replacing(path) as temporary, temporary.open("wb") as file:
                for piece in found.stream(_PIECE):
                    file.write(piece)

        self._asked(name, fetch)

    def ask(self, name: str, work: Callable[[], Result]) -> Result:
        """What the bucket gives; what it refuses is an error of ours, without secrets."""
        with self._told(f"{self.url}/{name}"):
            return work()

    def _asked(self, name: str, reading: Callable[[], Result]) -> Result:
        """As `ask`, of what only reads: obstore does not ask again where a body breaks off."""
        until = time.monotonic() + _PATIENCE.total_seconds()
        while True:
            try:
                return self.ask(name, reading)
            except UnavailableError:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_S)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        from obstore import exceptions

        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise _conflict(what) from self._plain(error)
        except (FileNotFoundError, exceptions.NotFoundError) as error:
            hint = "check the bucket's name and the endpoint"
            raise NotFoundError(f"{what} is not there", hint=hint) from self._plain(error)
        except exceptions.UnauthenticatedError as error:
            raise CredentialsError(
                f"{what}: the bucket does not take the credentials",
                hint="check access key, secret and token, and the clock of this machine",
            ) from self._plain(error)
        except exceptions.PermissionDeniedError as error:
            raise AccessDeniedError(
                f"{what}: the bucket refuses access",
                hint="check the credentials and their rights: get, put, delete and list",
            ) from self._plain(error)
        except exceptions.BaseError as error:
            raise UnavailableError(
                f"{what}: {self._said(error)}",
                hint="wait a while and run the same command again",
            ) from self._plain(error)

    def redacted(self, text: str) -> str:
        """A text without secrets."""
        for name in _SECRETS:
            if self.options.get(name):
                text = text.replace(self.options[name], "***")
        return text

    def _plain(self, error: Exception) -> Exception:
        """An error whose text holds no secret: a traceback shows its cause."""
        return RuntimeError(f"{type(error).__name__}: {self._said(error)}")

    def _said(self, error: Exception) -> str:
        """The first line of an error, whose others are for who debugs the client."""
        first, *_ = str(error).splitlines() or [""]
        return self.redacted(first)[:_SAID]


_SAID = 300
_PIECE = 8 << 20


def _version(place: BucketPlace, name: str, e_tag: str | None) -> str:
    if not e_tag:
        raise StoreError(
            f"{place.url}/{name} came without an ETag, so no change of it could be seen",
            hint="use a store in a bucket that sends ETags, or one on disk",
        )
    return e_tag


def _conflict(what: str) -> ConflictError:
    return ConflictError(
        f"{what} was changed by another process meanwhile",
        hint="run the command again: it looks at it as it is now",
    )
