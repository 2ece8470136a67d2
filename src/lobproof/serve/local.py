"""``LocalExchange``: the venue on this machine, as a context of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

from aiohttp import web

from lobproof.errors import PlaceError, UsageError, place_error
from lobproof.serve.clock import NEVER, VenueClock
from lobproof.serve.connection import Observer
from lobproof.serve.exchange import Exchange
from lobproof.serve.faults import Fault, parse_fault
from lobproof.serve.http import application
from lobproof.serve.state import BookCopy
from lobproof.serve.tape import Tape
from lobproof.sources.binance.venue import PROFILES

_LINE_BYTES = 1 << 17
"""Room for an address that names as many streams as a connection may have."""


class LocalExchange:
    """Tapes of one market, served under an address of this machine.

    ``async with LocalExchange([tape], speed=10, faults=["drop@5s,n=3"]) as exchange:`` and then
    ``exchange.url``, ``exchange.book("SIMUSDT")``, ``exchange.venue.counts``. The clock begins at
    once, or with ``waits`` when the first client connects.

    Parameters
    ----------
    tapes
        What is served, all of one market.
    speed
        Venue time over real time. Everything timed runs in venue time.
    start_ns
        Where to begin (venue time, ns); what was said before is known, but not sent.
    duration_ns
        How long to serve (venue time); None: to the end of the tapes.
    faults
        What goes wrong, and when (:func:`parse_fault`); ``seed`` decides what is left to chance.
    observer
        Is told of each message that a connection is handed, and of each fault.
    """

    def __init__(
        self,
        tapes: Sequence[Tape],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        start_ns: int | None = None,
        duration_ns: int | None = None,
        faults: Sequence[str | Fault] = (),
        seed: int = 7,
        observer: Observer | None = None,
        waits: bool = False,
    ) -> None:
        if not tapes:
            raise UsageError("there is nothing to serve", hint="give at least one tape")
        first = min(tape.start_ns for tape in tapes)
        begin = first if start_ns is None else start_ns
        ends = [NEVER if tape.end_ns is None else tape.end_ns for tape in tapes]
        if not first <= begin <= max(ends):
            raise UsageError(
                "nothing is said at the time to start from",
                hint="give a time within what is served; without one it starts at its beginning",
            )
        self.clock = VenueClock(begin, speed)
        self.venue = Exchange(
            tapes,
            PROFILES[tapes[0].market],
            self.clock,
            faults=[parse_fault(one) if isinstance(one, str) else one for one in faults],
            seed=seed,
            end_ns=NEVER if duration_ns is None else begin + duration_ns,
            observer=observer,
        )
        self.host = host
        self.port = port
        self._waits = waits

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(
            application(self.venue),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            max_line_size=_LINE_BYTES,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise PlaceError(
                f"{self.host}:{self.port} cannot be served at: {place_error(error).message}",
                hint="choose another --port (0 takes any that is free), or another --host",
            ) from error
        self.port = int(self._runner.addresses[0][1])
        self._task = asyncio.create_task(self.venue.run())
        if not self._waits:
            self.clock.begin()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self.venue.close()
        await self._runner.cleanup()
        if kind is None and not self._task.cancelled():
            self._task.result()  # what went wrong within is not passed over

    @property
    def url(self) -> str:
        """Where REST is, ``http://127.0.0.1:8080``."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where the sockets are, ``ws://127.0.0.1:8080``."""
        return f"ws://{self.host}:{self.port}"

    async def finished(self) -> None:
        """Wait until there is nothing more to serve; an error of the venue is raised here."""
        await asyncio.shield(self._task)

    def book(self, symbol: str, limit: int | None = None) -> BookCopy:
        """The true book of what was sent so far."""
        return self.venue.symbols[symbol].book.copy(limit)
