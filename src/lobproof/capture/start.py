"""Whether a capture can begin: the venue is there, lets us in, and trades the symbols."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import aiohttp
import msgspec

from lobproof.capture.keys import KEY_VARIABLE, check_private
from lobproof.capture.rest import Answer, read_body
from lobproof.capture.sbe import keyed_session, sbe_url
from lobproof.errors import LobproofError, UsageError, shown
from lobproof.sources.binance.venue import Venue
from lobproof.sources.captured import PROVENANCE

_TIMEOUT_S = 30.0
_REFUSES = (403, 451)
_UNKNOWN_KEY = (400, 401, 403)
_TOO_MANY = (418, 429)


class VenueError(LobproofError):
    """A venue that cannot be captured from: out of reach, refusing, or not what it should be."""


class _Symbol(msgspec.Struct):
    symbol: str
    status: str = ""
    contractStatus: str = ""


class _Info(msgspec.Struct):
    symbols: list[_Symbol]


async def check_start(venue: Venue, symbols: Sequence[str], key: str = "") -> Answer:
    """Hold what is to be captured against what the venue says that it has: its exchangeInfo.

    ``key``: the API key, which is tried where SBE streams are wanted.

    Raises
    ------
    UsageError
        If a symbol is not traded there, stands twice, or they are too many for one socket.
    VenueError
        If the venue is out of reach, refuses, or gives no list of symbols.
    """
    _check_names(venue, symbols)
    check_private(venue, key)
    url = f"{venue.rest}/exchangeInfo"
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    asked = time.time_ns()
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(url, allow_redirects=False) as response,
        ):
            status, body = response.status, await read_body(response)
            said_of = response.headers.get(PROVENANCE, "")
            wait = response.headers.get("Retry-After", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        raise VenueError(
            f"{url} cannot be reached: {_words(cause)}",
            hint="check the network; --endpoint names another address, such as that of "
            "`lobproof serve`",
        ) from error
    answer = Answer(body, said_of, asked, time.time_ns())
    if status != 200:
        raise _refusal(url, status, body, wait)
    try:
        there = {one.symbol: one for one in msgspec.json.decode(body, type=_Info).symbols}
    except msgspec.DecodeError as error:
        raise VenueError(
            f"{url} gives no list of symbols: {error}",
            hint=f"is it Binance's, and of the market {venue.profile.market}? see --venue and "
            "--endpoint",
        ) from error
    for name in symbols:
        _check_symbol(name, there, venue)
    if venue.sbe:
        await _check_key(venue, symbols[0], key)
    return answer


async def _check_key(venue: Venue, symbol: str, key: str) -> None:
    """See that the SBE address lets the key in: later it would only be tried again."""
    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            keyed_session(key) as http,
            http.ws_connect(sbe_url(venue, [symbol.lower().encode()])),
        ):
            return
    except aiohttp.WSServerHandshakeError as error:
        hint = "is it the SBE address of Binance spot? see --endpoint"
        if error.status in _UNKNOWN_KEY:
            hint = f"{KEY_VARIABLE} is to hold an Ed25519 key whose IP whitelist, if any, has us"
        raise VenueError(f"{venue.sbe} answers {error.status}", hint=hint) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise VenueError(
            f"{venue.sbe} cannot be reached: {_words(error)}",
            hint="check the network, or capture without --sbe",
        ) from error


def _words(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else str(error)
    return said or type(error).__name__


def _check_names(venue: Venue, symbols: Sequence[str]) -> None:
    for name, count in Counter(symbols).items():
        if not name.replace("_", "").isalnum():
            raise UsageError(
                f"{name!r} is no symbol", hint="write it as the venue does, such as BTCUSDT"
            )
        if count > 1:
            raise UsageError(f"{name} is named {count} times", hint="name each symbol once")
    most = venue.profile.most_streams // max(len(group.kinds) for group in venue.groups)
    if len(symbols) > most:
        raise UsageError(
            f"{len(symbols)} symbols are more than the {most} that one socket takes",
            hint="capture them by several commands",
        )


def _check_symbol(name: str, there: dict[str, Any], venue: Venue) -> None:
    found = there.get(name)
    market = venue.profile.market
    if found is None:
        near = get_close_matches(name, there, 3, 0.6)
        raise UsageError(
            f"{market} has no symbol {name}",
            hint=f"did you mean {' or '.join(map(shown, near))}?"
            if near
            else f"it has {len(there):,}, such as {', '.join(map(shown, list(there)[:3]))}; "
            "--venue names another market",
        )
    status = found.status or found.contractStatus
    if status != "TRADING":
        raise UsageError(
            f"{name} is not traded now: the venue says {shown(status) or 'nothing'}",
            hint="wait until its status is TRADING, or leave it out",
        )


def _refusal(url: str, status: int, body: bytes, wait: str) -> VenueError:
    said = shown(body[:200].decode("utf-8", "replace").strip())
    told = f"{url} answers {status}{f': {said}' if said else ''}"
    if status in _REFUSES:
        hint = "the venue serves nobody where this machine is: capture from another region"
    elif status in _TOO_MANY:
        for_s = f"{wait} s" if wait.isdecimal() else "some minutes"
        hint = f"too many requests came from this address: wait {for_s}, then run it again"
    elif status >= 500:
        hint = "the venue is out of order: run the same command again later"
    else:
        hint = "is that Binance's API? see --venue and --endpoint"
    return VenueError(told, hint=hint)
