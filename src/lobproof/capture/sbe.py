"""The SBE lane: its streams, how it shows the API key, and how journals name its frames."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from urllib.parse import quote

import aiohttp

from lobproof.sources.binance.sbe import SBE_KINDS, SbeFrame
from lobproof.sources.binance.venue import KEY_HEADER, Venue


def keyed_session(key: str) -> aiohttp.ClientSession:
    """A session that shows the key, and follows no redirection: it would hand the key on."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse)
    return aiohttp.ClientSession(headers={KEY_HEADER: key}, trace_configs=[trace])


async def _refuse(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestRedirectParams,
) -> None:
    raise aiohttp.ClientError(f"it redirects ({params.response.status}), which is not followed")


def sbe_url(venue: Venue, symbols: Iterable[bytes]) -> str:
    """The address of the combined stream of these symbols, in lower case."""
    names = [f"{symbol.decode()}@{kind}" for symbol in symbols for kind in SBE_KINDS]
    return f"{venue.sbe}/stream?streams={'/'.join(quote(name, safe='@!') for name in names)}"


def sbe_streams(symbol: bytes) -> list[bytes]:
    """What a journal calls a symbol's SBE streams."""
    return [symbol + b"@" + kind.encode() for kind in SBE_KINDS.values()]


def stream_of(frame: SbeFrame) -> bytes:
    """What a journal calls the stream that a frame is of."""
    kind = SBE_KINDS.get(frame.kind, f"sbe {frame.kind}")
    return f"{frame.symbol.lower()}@{kind}".encode()
