"""The SBE lane: its streams, its API key, and the names that journals give its frames."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import aiohttp

from lobproof.errors import UsageError
from lobproof.sources.binance.sbe import SBE_KINDS, SbeFrame
from lobproof.sources.binance.venue import SBE_KEY_HEADER, Venue

KEY_VARIABLE = "LOBPROOF_BINANCE_API_KEY"
_LOCAL = ("127.0.0.1", "::1", "localhost")


def key_from(environ: Mapping[str, str] | None = None) -> str:
    """The API key of the environment; no message of ours repeats it.

    Raises
    ------
    UsageError
        If there is none, or it is no key.
    """
    key = (os.environ if environ is None else environ).get(KEY_VARIABLE, "").strip()
    if not key:
        raise UsageError(
            f"SBE streams need an API key, and {KEY_VARIABLE} is not set",
            hint=f"put an Ed25519 key of Binance into {KEY_VARIABLE}; it needs no permission",
        )
    if not (key.isascii() and key.isalnum()):
        raise UsageError(
            f"what {KEY_VARIABLE} holds is no API key: that is letters and digits",
            hint="copy the key itself, not its secret or the PEM file",
        )
    return key


def check_private(venue: Venue) -> None:
    """UsageError where a key would travel in the clear."""
    parts = urlsplit(venue.sbe)
    if parts.scheme == "ws" and parts.hostname not in _LOCAL:
        raise UsageError(
            f"the API key would go to {parts.netloc} unencrypted",
            hint="use an endpoint of https, or one on this machine",
        )


def keyed_session(key: str) -> aiohttp.ClientSession:
    """A session that shows the key, and follows no redirection: it would hand the key on."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse)
    return aiohttp.ClientSession(headers={SBE_KEY_HEADER: key}, trace_configs=[trace])


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
