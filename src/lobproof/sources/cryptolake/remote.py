"""Requests to the bucket: paced, retried with jitter, and every failure told by its kind.

No failure looks like "no data": what could not be asked raises, an empty answer is an answer.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import obstore
import stamina
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from lobproof.errors import LobproofError
from lobproof.sources.cryptolake.connection import READ_SECONDS, Connection

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta

T = TypeVar("T")

PAGE = 1000
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_INVALID = {
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed",
    "RequestTimeTooSkewed",
    "InvalidSecurity",
}
_BUSY = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "InternalError"}
_ODD_KEY = "invalid path"
"""What the client says of a key that it cannot hold, with empty parts or control characters."""
_FIRST_TRIES = 3
"""Attempts at a store that has never answered: it may not be there at all."""
_NO_CONNECTION = re.compile(r"legacy::Error\(\s*Connect\b")
_WHY = re.compile(r'(?:message|error): "([^"]{1,200})"')
"""What the system says of a connection that was not made, in the client's debug text."""
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]{1,80})</Code>")


class RemoteError(LobproofError):
    """A request that did not give what was asked for; ``kind`` says why, for machines."""

    kind: ClassVar[str] = "refused"


class AccessDeniedError(RemoteError):
    """The store knows us, or nobody, and says no."""

    kind = "access denied"


class CredentialsError(RemoteError):
    """The store does not take the credentials: expired, unknown, or wrong."""

    kind = "credentials"


class NotFoundError(RemoteError):
    """There is no such object or bucket."""

    kind = "not found"


class ChangedError(RemoteError):
    """The object is another than the one asked for."""

    kind = "changed"


class TransientError(RemoteError):
    """What may well work when asked again."""


class NotWholeError(TransientError):
    """What came is not the whole object."""

    kind = "not whole"


class UnavailableError(TransientError):
    """The store is busy, or the line to it broke or is silent."""

    kind = "unavailable"


class UnreachableError(UnavailableError):
    """There is no connection to the store: refused, not resolved, not answered."""

    kind = "unreachable"


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how long to ask.

    Attributes
    ----------
    attempts
        How often in a row without a byte of progress.
    total_seconds
        How long for one object or one listing, waits included.
    rate
        Most requests per second, over all workers.
    first_wait, longest_wait
        Seconds before the second attempt, doubled for each further one up to the longest; up to a
        second of jitter is added (less for short waits).
    read_seconds
        How long to wait for the next bytes.
    """

    attempts: int = 8
    total_seconds: float = 7200.0
    rate: float = 50.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    read_seconds: float = READ_SECONDS


DEFAULT_POLICY = Policy()


class Pace:
    """At most ``rate`` requests a second, evenly spaced."""

    def __init__(self, rate: float) -> None:
        self._gap = 1.0 / rate
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for one's turn."""
        now = monotonic()
        due = max(now, self._next)
        self._next = due + self._gap
        if due > now:
            await asyncio.sleep(due - now)


class Remote:
    """The bucket of a connection, for one event loop."""

    def __init__(self, connection: Connection, policy: Policy | None = None) -> None:
        self.connection = connection
        self.policy = policy if policy is not None else DEFAULT_POLICY
        self._store = connection.store(read_seconds=self.policy.read_seconds)
        self._pace = Pace(self.policy.rate)
        self._answered = False

    async def retrying(
        self, ask: Callable[[], Awaitable[T]], *, total_seconds: float | None = None
    ) -> T:
        """``ask`` until it answers, or until attempts or time are used up.

        A store that has never answered is asked ``_FIRST_TRIES`` times at most.

        Raises
        ------
        RemoteError
            The last failure, or at once one that asking again does not cure.
        """
        policy = self.policy
        total = policy.total_seconds if total_seconds is None else total_seconds
        tries = 0

        def again(error: Exception) -> bool:
            nonlocal tries
            tries += 1
            given_up = isinstance(error, UnreachableError) and tries >= _FIRST_TRIES
            return isinstance(error, TransientError) and (self._answered or not given_up)

        async for attempt in stamina.retry_context(
            on=again,
            attempts=policy.attempts,
            timeout=max(total, 0.001),
            wait_initial=policy.first_wait,
            wait_max=policy.longest_wait,
            wait_jitter=min(1.0, policy.first_wait),
        ):
            with attempt:
                answer = await ask()
                self._answered = True
                return answer
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def objects(self, prefix: str, *, after: str = "") -> list[ObjectMeta]:
        """All objects below ``prefix``, those with keys above ``after``, page by page."""

        async def ask() -> list[ObjectMeta]:
            found: list[ObjectMeta] = []
            what = f"list {prefix or 'the bucket'}"
            try:
                if after:
                    pages = obstore.list(self._store, prefix or None, offset=after, chunk_size=PAGE)
                else:
                    pages = obstore.list(self._store, prefix or None, chunk_size=PAGE)
                await self._pace.turn()
                async for page in pages:
                    found.extend(page)
                    await self._pace.turn()
            except (BaseError, OSError) as error:
                raise self.translate(error, what) from None
            return found

        return await self.retrying(ask)

    async def folders(self, prefix: str) -> list[str]:
        """Names of what lies one level below ``prefix``, without it."""

        async def ask() -> list[str]:
            await self._pace.turn()
            try:
                answer = await obstore.list_with_delimiter_async(self._store, prefix or None)
            except (BaseError, OSError) as error:
                raise self.translate(error, f"list {prefix or 'the bucket'}") from None
            return sorted(path.rsplit("/", 1)[-1] for path in answer["common_prefixes"])

        return await self.retrying(ask)

    async def head(self, path: str) -> ObjectMeta:
        """What the store says of an object."""

        async def ask() -> ObjectMeta:
            await self._pace.turn()
            try:
                return await obstore.head_async(self._store, path)
            except (BaseError, OSError) as error:
                raise self.translate(error, f"read {path}") from None

        return await self.retrying(ask)

    async def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """A small object, or the bytes ``[start, end)`` of one."""

        async def ask() -> bytes:
            await self._pace.turn()
            try:
                if end is None:
                    result = await obstore.get_async(self._store, path)
                    return bytes(await result.bytes_async())
                return bytes(await obstore.get_range_async(self._store, path, start=start, end=end))
            except (BaseError, OSError) as error:
                raise self.translate(error, f"read {path}") from None

        return await self.retrying(ask)

    async def open(self, path: str, *, start: int, etag: str) -> GetResult:
        """One attempt at the bytes from ``start`` on, of the version ``etag`` (if not empty)."""
        options: GetOptions = {}
        if start:
            options["range"] = {"offset": start}
        if etag:
            options["if_match"] = f'"{etag}"'
        await self._pace.turn()
        try:
            answer = await obstore.get_async(self._store, path, options=options)
        except (BaseError, OSError) as error:
            raise self.translate(error, f"read {path}") from None
        self._answered = True
        return answer

    def translate(self, error: BaseException, what: str) -> RemoteError:
        """One of our errors for one of the client's, secrets and debug text left out."""
        text = str(error)
        if _NO_CONNECTION.search(text):
            why = _WHY.search(text)
            return UnreachableError(
                f"no connection to {self.connection.endpoint}: "
                f"{self.connection.redact(why[1]) if why else 'it was not made'}",
                hint="check the line to the endpoint, or name another store with --endpoint; "
                "without one, `lobproof simulate --lake --no-recording --out sim` makes simulated "
                "days, and in a clone `make lake` serves some to try acquire on",
            )
        self._answered = True
        status = _STATUS.search(text)
        number = int(status[1]) if status else 0
        found = _CODE.search(text)
        code = found[1] if found else ""
        reason = self.connection.redact(_reason(text, number, code))
        message = f"cannot {what} in {self.connection.place}: {reason}"
        if code in _EXPIRED:
            return CredentialsError(
                f"{message}: the credentials have expired",
                hint="get new ones and run the same command again",
            )
        if code in _INVALID or isinstance(error, UnauthenticatedError) or number == 401:
            return CredentialsError(
                f"{message}: the store does not take the credentials",
                hint="check access key, secret and token, and the clock of this machine",
            )
        if isinstance(error, PreconditionError) or number in (412, 416):
            return ChangedError(
                f"{message}: the object has changed", hint="run the same command again"
            )
        if code in _BUSY or number >= 500 or number in (408, 429):
            return UnavailableError(message, hint="wait a while and run the same command again")
        if isinstance(error, PermissionDeniedError) or number == 403:
            return AccessDeniedError(
                message,
                hint="check that the plan covers this data, or use --sample for the free bucket",
            )
        if code == "NoSuchBucket":
            return NotFoundError(message, hint="check bucket and endpoint")
        if isinstance(error, FileNotFoundError) or number == 404:
            return NotFoundError(
                message, hint="`lobproof acquire list-inventory` shows what is there"
            )
        if _ODD_KEY in text:
            return RemoteError(
                message.encode("unicode_escape").decode(),
                hint="name --exchange and --symbols, so that this key is not among those listed",
            )
        if number or "redirect" in text:
            return RemoteError(message, hint="check endpoint, region and bucket")
        return UnavailableError(
            message, hint="check the line to the endpoint and run the same command again"
        )


async def in_pool(pool: Executor, work: Callable[..., T], *arguments: Any) -> T:
    """Run in a thread, and see it end even when cancelled: files and locks are in use there."""
    future = asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


def when(moment: datetime) -> str:
    """A time as manifests have it: ISO 8601, UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def bare(etag: str | None) -> str:
    """An ETag without its quotation marks."""
    return (etag or "").strip('"')


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, also where an event loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    answer: list[T] = []
    failure: list[BaseException] = []

    def inside() -> None:
        try:
            answer.append(asyncio.run(work))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]


def _reason(text: str, status: int, code: str) -> str:
    """What the store answered, in a few words."""
    if status:
        return f"{status} {code}".rstrip()
    first = text.partition("Debug source")[0].strip().splitlines()
    short = first[0] if first else "no answer"
    return re.sub(r"\s+", " ", short.removeprefix("Generic S3 error: "))[:300]
