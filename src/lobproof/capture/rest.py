"""Requests to a venue's REST API: one after the other, within its weight, until answered."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from lobproof.capture.pace import Pace
from lobproof.sources.captured import PROVENANCE

Told = Callable[[str, dict[str, Any]], None]
"""What is told of requests: the event's name, and its fields."""
SHARE = 0.8
"""Share of the venue's weight to use: others may work from the same address."""
WINDOW_S = 60.0
TIMEOUT_S = 20.0
MOST_BYTES = 64 << 20
"""A body that is longer is none that the venue sends."""
_LONGEST_WAIT_S = 60.0
_BANNED = 418
_TOO_MANY = (429, _BANNED)
_DEFAULT_WAIT_S = {429: 60.0, _BANNED: 120.0}


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, and when it was asked for and came, ns since 1970 by our clock.

    ``provenance``: what a local exchange says of its data; empty of a venue.
    """

    body: bytes
    provenance: str
    asked_ns: int
    answered_ns: int


class RefusedError(Exception):
    """A request that the venue refuses however often it is asked: status and body."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"status {status}: {said}")
        self.status = status


@dataclass(order=True, slots=True)
class _Request:
    urgency: int
    number: int
    path: str = field(compare=False)
    params: Mapping[str, str | int] = field(compare=False)
    weight: int = field(compare=False)
    answer: asyncio.Future[Answer] = field(compare=False)
    headers: Mapping[str, str] = field(compare=False)
    failures: int = field(compare=False, default=0)


class Rest:
    """A venue's REST API. Requests wait for their turn, the most urgent first.

    What fails is asked again, later and later (5xx, time-outs, lost connections), or when the venue
    allows it (429, 418); whoever waits no longer cancels. No more weight is used within any minute
    than a share of the venue's limit.

    Parameters
    ----------
    http
        Session to ask through.
    base
        Address that paths follow on.
    limit
        Weight that the venue allows a minute.
    pace
        How fast the venue's time passes.
    told
        Told of each request that failed, was put off or was refused.
    """

    def __init__(
        self, http: aiohttp.ClientSession, base: str, limit: int, pace: Pace, told: Told
    ) -> None:
        self._http = http
        self._base = base
        self._limit = int(limit * SHARE)
        self._pace = pace
        self._told = told
        self._queue: asyncio.PriorityQueue[_Request] = asyncio.PriorityQueue()
        self._number = 0
        self._used: deque[tuple[float, int]] = deque()
        self._not_before = 0.0
        self._jitter = random.Random()

    async def get(
        self,
        path: str,
        params: Mapping[str, str | int],
        weight: int,
        *,
        urgency: int = 1,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer to a request, as soon as the venue gives one.

        ``headers`` are sent with it, and told to nobody: a key may be among them.

        Raises
        ------
        RefusedError
            If the venue says that there is no answer (4xx).
        """
        self._number += 1
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        cost = min(weight, self._limit)
        request = _Request(urgency, self._number, path, params, cost, future, headers or {})
        self._queue.put_nowait(request)
        return await future

    async def run(self) -> None:
        """Answer requests until cancelled."""
        while True:
            request = await self._queue.get()
            if request.answer.done():
                continue
            wait = self._wait(request.weight)
            if wait > 0:  # another may be more urgent by then
                self._queue.put_nowait(request)
                await self._pace.sleep(wait)
                continue
            await self._ask(request)

    def _wait(self, weight: int) -> float:
        """Seconds until a request of that weight may be sent."""
        now = self._pace.now()
        while self._used and self._used[0][0] <= now - WINDOW_S:
            self._used.popleft()
        wait = self._not_before - now
        used = sum(cost for _, cost in self._used)
        for at, cost in self._used:
            if used + weight <= self._limit:
                break
            used -= cost
            wait = max(wait, at + WINDOW_S - now)
        return wait

    async def _ask(self, request: _Request) -> None:
        self._used.append((self._pace.now(), request.weight))
        asked = self._pace.time_ns()
        try:
            async with self._http.get(
                self._base + request.path,
                params=request.params,
                headers=request.headers,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                allow_redirects=False,
            ) as response:
                body = await read_body(response)
                answered = self._pace.time_ns()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._again(request, str(error) or type(error).__name__)
            return
        status = response.status
        if status == 200:
            if not request.answer.done():
                said_of = response.headers.get(PROVENANCE, "")
                request.answer.set_result(Answer(body, said_of, asked, answered))
        elif status in _TOO_MANY:
            seconds = _retry_after(response) or _DEFAULT_WAIT_S[status]
            self._not_before = self._pace.now() + seconds
            self._told("rest_limit", {"path": request.path, "status": status, "wait_s": seconds})
            self._queue.put_nowait(request)
        elif status >= 500:
            self._again(request, f"status {status}")
        else:
            said = body[:200].decode("utf-8", "replace")
            self._told("rest_refused", {"path": request.path, "status": status, "said": said})
            if not request.answer.done():
                request.answer.set_exception(RefusedError(status, said))

    def _again(self, request: _Request, why: str) -> None:
        """Put a request back, for later."""
        request.failures += 1
        longest = min(2.0 ** (request.failures - 1), _LONGEST_WAIT_S)
        wait = longest * self._jitter.uniform(0.5, 1.0)
        self._not_before = self._pace.now() + wait
        self._told("rest_failed", {"path": request.path, "why": why, "wait_s": round(wait, 3)})
        self._queue.put_nowait(request)


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """A response's body; ClientPayloadError where it is longer than any that the venue sends."""
    parts = []
    size = 0
    async for part in response.content.iter_chunked(1 << 18):
        size += len(part)
        if size > MOST_BYTES:
            raise aiohttp.ClientPayloadError(f"a body of more than {MOST_BYTES:,} bytes")
        parts.append(part)
    return b"".join(parts)


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds that the venue says to wait; 0 where it says none."""
    said = response.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() and len(said) < 7 else 0.0
