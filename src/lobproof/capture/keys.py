"""The API key of Binance: from the environment alone, and to nobody but the venue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from lobproof.errors import UsageError
from lobproof.sources.binance.venue import Venue

KEY_VARIABLE = "LOBPROOF_BINANCE_API_KEY"
_LOCAL = ("127.0.0.1", "::1", "localhost")


def key_from(environ: Mapping[str, str] | None = None, *, needed: bool = True) -> str:
    """The API key of the environment, empty where there is none; no message of ours repeats it.

    Raises
    ------
    UsageError
        If it is no key, or there is none and one is needed.
    """
    key = (os.environ if environ is None else environ).get(KEY_VARIABLE, "").strip()
    if not key and needed:
        raise UsageError(
            f"SBE streams need an API key, and {KEY_VARIABLE} is not set",
            hint=f"put an Ed25519 key of Binance into {KEY_VARIABLE}; it needs no permission",
        )
    if key and not (key.isascii() and key.isalnum()):
        raise UsageError(
            f"what {KEY_VARIABLE} holds is no API key: that is letters and digits",
            hint="copy the key itself, not its secret or the PEM file",
        )
    return key


def check_private(venue: Venue, key: str) -> None:
    """UsageError where a key would travel in the clear."""
    shown = [venue.sbe, venue.rest if venue.profile.history_key else ""]
    for parts in map(urlsplit, filter(None, shown)):
        if key and parts.scheme in ("ws", "http") and parts.hostname not in _LOCAL:
            raise UsageError(
                f"the API key would go to {parts.netloc} unencrypted",
                hint=f"use an endpoint of https, or one on this machine, or unset {KEY_VARIABLE}",
            )
