"""Requests to the bucket: paced, retried with jitter, and every failure told by its kind.

No failure looks like "no data": what could not be asked raises, an empty answer is an answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from time import monotonic
from typing import TypeVar

import stamina

from lobproof.errors import (
    LimitError,
    RemoteError,
    TransientError,
    UnavailableError,
    UnreachableError,
    shown,
)
from lobproof.sources.cryptolake.bucket.concurrency import SilenceError, in_thread
from lobproof.sources.cryptolake.bucket.connection import Connection
from lobproof.sources.cryptolake.bucket.failures import refusal
from lobproof.sources.cryptolake.bucket.http import (
    Call,
    Client,
    LineError,
    NoLineError,
    TooLongError,
)
from lobproof.sources.cryptolake.bucket.limits import (
    ERROR_BYTES,
    MIB,
    PAGE_BYTES,
    PAGE_KEYS,
    PAGES,
)
from lobproof.sources.cryptolake.bucket.listing import (
    Meta,
    NoListingError,
    Page,
    meta_of,
    parse_page,
)

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
"""A connection on which nothing arrives for so long is given up."""
_FIRST_TRIES = 3
"""Attempts at a store that has never answered: it may not be there at all."""
_CODE = re.compile(rb"<Code>([A-Za-z0-9._-]{1,80})</Code>")


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how long to ask.

    Attributes
    ----------
    attempts
        How often in a row without a byte of progress.
    total_seconds
        How long for one object, one listing or one inventory, waits included.
    rate
        Most requests per second, over all workers.
    first_wait, longest_wait
        Seconds before the second attempt, doubled for each further one up to the longest; up to a
        second of jitter is added (less for short waits).
    read_seconds
        How long to wait for the next bytes; for the first of an answer, twice as long at most.
    """

    attempts: int = 8
    total_seconds: float = 7200.0
    rate: float = 50.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    read_seconds: float = _READ_SECONDS


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
        self._client = Client(
            connection, connect_seconds=_CONNECT_SECONDS, read_seconds=self.policy.read_seconds
        )
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

        async with self.within(total):
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

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Give up what takes longer: ``UnavailableError``."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise UnavailableError(
                f"{self.connection.place} has not answered in whole within {seconds:g} s",
                hint="ask for less, or try a better line; a download goes on from here",
            ) from None

    async def pages(
        self, prefix: str, *, after: str = "", folders: bool = False
    ) -> AsyncIterator[Page]:
        """What lies below ``prefix``: page by page, none of them kept.

        Parameters
        ----------
        prefix
            A folder of the bucket, below the connection's prefix.
        after
            Objects with paths above it alone.
        folders
            Only what lies one level below: folders, and the objects beside them.

        Raises
        ------
        LimitError
            When the listing has no end that a real one could have.
        RemoteError
            When a page could not be had.
        """
        root = f"{self.connection.prefix}/" if self.connection.prefix else ""
        top = f"{root}{prefix}/" if prefix else root
        what = f"list {shown(prefix) or 'the bucket'}"
        query = {"list-type": "2", "max-keys": str(PAGE_KEYS), "prefix": top}
        if after:
            query["start-after"] = self._key(after)
        if folders:
            query["delimiter"] = "/"
        seen: set[str] = set()

        def parsed(call: Call) -> Page:
            return parse_page(call.body(PAGE_BYTES), root, top, secret=self.connection.holds_secret)

        for _ in range(PAGES):
            try:
                page = await self.retrying(
                    partial(self._ask, "GET", "", parsed, what, query=query, limit=PAGE_BYTES)
                )
            except NoListingError as error:
                raise UnavailableError(
                    f"cannot {what} in {self.connection.place}: that is no S3 store, or none that "
                    f"keeps to its rules: {error}",
                    hint="check the endpoint; a log-in page of the network may stand before it",
                ) from None
            yield page
            if not page.token:
                return
            if page.token in seen:
                raise LimitError(
                    f"cannot {what} in {self.connection.place}: the store begins its listing anew "
                    "each time: it has no end",
                    hint="tell whoever runs the store; a plain S3 does not do so",
                )
            seen.add(page.token)
            query = {**query, "continuation-token": page.token}
        raise LimitError(
            f"cannot {what} in {self.connection.place}: it has more than {PAGES:,} pages",
            hint=f"a listing may have {PAGES:,} pages of {PAGE_KEYS:,} keys: ask for less by "
            "exchange, symbols and days",
        )

    async def head(self, path: str) -> Meta | None:
        """What the store says of an object; None where no object can be like that."""

        def told(call: Call) -> Meta | None:
            etag = call.header("ETag")
            if self.connection.holds_secret(etag):
                return None
            return meta_of(
                path, call.header("Content-Length"), etag, _date(call.header("Last-Modified"))
            )

        return await self.retrying(partial(self._ask, "HEAD", path, told, f"read {shown(path)}"))

    async def read(self, path: str, *, limit: int) -> bytes:
        """An object of at most ``limit`` bytes.

        Raises
        ------
        LimitError
            When it is longer, whatever was announced.
        """
        what = f"read {shown(path)}"

        def body(call: Call) -> bytes:
            return call.body(limit)

        return await self.retrying(partial(self._ask, "GET", path, body, what, limit=limit))

    async def read_range(self, path: str, start: int, end: int) -> bytes:
        """The bytes ``[start, end)`` of an object, fewer where it ends before."""
        what, more = f"read {shown(path)}", {"range": f"bytes={start}-{end - 1}"}

        def body(call: Call) -> bytes:
            if call.status != 206:
                raise RemoteError(
                    f"cannot {what} in {self.connection.place}: the store answered with other "
                    "bytes than asked for",
                    hint="check that the endpoint serves ranges",
                )
            return call.body(end - start)

        return await self.retrying(
            partial(self._ask, "GET", path, body, what, more=more, limit=end - start)
        )

    async def stream(self, path: str, take: Callable[[Call], T], *, start: int, etag: str) -> T:
        """One attempt at the bytes from ``start`` on, of the version ``etag`` (if not empty).

        ``take`` is run in the thread that receives; where it is told to stop, that ends too.
        """
        more = {"range": f"bytes={start}-"} if start else {}
        if etag:
            more["if-match"] = f'"{etag}"'
        return await self._ask("GET", path, take, f"read {shown(path)}", more=more)

    def _key(self, path: str) -> str:
        return f"{self.connection.prefix}/{path}" if self.connection.prefix else path

    async def _ask(
        self,
        method: str,
        path: str,
        take: Callable[[Call], T],
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        more: Mapping[str, str] | None = None,
        limit: int = 0,
    ) -> T:
        """One request, in a thread of its own: it may wait for a silent line a long time."""
        await self._pace.turn()
        call = self._client.call()
        key = self._key(path) if path else ""

        def work(heard: Callable[[], None]) -> T:
            try:
                call.ask(method, key, query or {}, more or {})
                self._answered = True
                heard()
                if call.status not in (200, 206):
                    raise self._refused(call, what)
                return take(call)
            except NoLineError as error:
                raise UnreachableError(
                    f"no connection to {self.connection.endpoint}: {error}",
                    hint="check the line to the endpoint, or name another store: endpoint= "
                    "(--endpoint); "
                    "without one, `lobproof simulate --lake --no-recording --out sim` makes "
                    "simulated days, and in a clone `make lake` serves some to try acquire on",
                ) from None
            except LineError as error:
                self._answered = True
                raise UnavailableError(
                    f"cannot {what} in {self.connection.place}: {error}",
                    hint="check the line to the endpoint and run the same command again",
                ) from None
            except TooLongError:
                raise LimitError(
                    f"cannot {what} in {self.connection.place}: it is longer than {_size(limit)}",
                    hint=f"no real bucket has more than the {_size(limit)} allowed there: check "
                    "the endpoint, and tell whoever runs the store",
                ) from None
            finally:
                call.end()

        seconds = self.policy.read_seconds * 2
        try:
            return await in_thread(work, call.stop, seconds)
        except SilenceError:
            raise UnavailableError(
                f"cannot {what} in {self.connection.place}: no answer came within {seconds:g} s",
                hint="check the line to the endpoint and run the same command again",
            ) from None

    def _refused(self, call: Call, what: str) -> RemoteError:
        """One of our errors for a refusal; of its text nothing but the code is taken."""
        number, code = call.status, ""
        try:
            found = _CODE.search(call.body(ERROR_BYTES))
            code = found[1].decode() if found else ""
        except (LineError, TooLongError):
            pass  # the status says enough
        reason = self.connection.redact(f"{number} {code}".rstrip())
        return refusal(number, code, f"cannot {what} in {self.connection.place}: {reason}")


def _date(text: str) -> str:
    """The time of a header, in ISO 8601; empty where it is none."""
    try:
        return parsedate_to_datetime(text).isoformat()
    except (ValueError, OverflowError):
        return ""


def _size(limit: int) -> str:
    return f"{limit / MIB:,.6g} MiB"
