"""What the commands that ask the bucket share: options, dates, and how retries are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Annotated

import stamina.instrumentation
from cyclopts import Parameter

from lobproof.cli.acquire.folder import named_symbols, split_names
from lobproof.cli.console import Switch, err
from lobproof.sources.cryptolake.bucket.catalogue import Inventory, catalogue
from lobproof.sources.cryptolake.bucket.connection import Connection, connect
from lobproof.sources.cryptolake.bucket.remote import Policy
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.sources.cryptolake.request import Request

GB = 10**9


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to ask.

    Parameters
    ----------
    sample
        The vendor's free bucket, without credentials.
    endpoint
        Another S3-compatible store; by default AWS_ENDPOINT_URL from where the credentials come
        from, else AWS. Must be https, but for this machine's own.
    profile
        AWS profile to take credentials from; by default the environment, .env, then `default`.
    bucket
        Instead of the vendor's.
    prefix
        Of all keys in the bucket, instead of the vendor's.
    region
        Instead of the vendor's.
    """

    sample: Switch = False
    endpoint: str | None = None
    profile: str | None = None
    bucket: str | None = None
    prefix: str | None = None
    region: str | None = None

    def connect(self) -> Connection:
        """The connection that the options and the environment mean; retries are told from now."""
        stamina.instrumentation.set_on_retry_hooks([_tell])
        made = connect(
            sample=self.sample,
            endpoint=self.endpoint,
            profile=self.profile,
            bucket=self.bucket,
            prefix=self.prefix,
            region=self.region,
        )
        show_notes(made.notes)
        return made


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to ask for.

    Parameters
    ----------
    tables
        Comma-separated; by default trades, book and book_delta_v2.
    exchange
        Such as BINANCE or BINANCE_FUTURES; by default all.
    symbols
        Comma-separated, such as BTC-USDT,ETH-USDT; by default all.
    start
        First day, YYYY-MM-DD.
    end
        The first day that is not wanted any more, YYYY-MM-DD.
    """

    tables: Annotated[str, Parameter()] = ",".join(TABLES)
    exchange: str | None = None
    symbols: str | None = None
    start: str | None = None
    end: str | None = None

    def request(self) -> Request:
        """What is wanted, checked.

        Raises
        ------
        UsageError
            On a table that lobproof does not know, a date that is none, no symbol, or no day.
        """
        return Request(
            self.exchange,
            named_symbols(self.symbols),
            split_names(self.tables),
            self.start,
            self.end,
        )

    def ask(self, connection: Connection, policy: Policy | None = None) -> Inventory:
        """What the bucket has of it. Errors as for :meth:`request`, and ``RemoteError``."""
        return catalogue(connection, **asdict(self.request()), policy=policy)


_PAUSE_SECONDS = 10.0
"""So long a reason to try again is not repeated: requests side by side meet the same."""
_said: dict[str, float] = {}

ANYWHERE = Place()
ANYTHING = Wanted()


def gigabytes(size: float) -> str:
    """A size as people read it."""
    return f"{size / GB:,.2f} GB" if size >= GB / 10 else f"{size / 1e6:,.2f} MB"


def show_notes(notes: Iterable[str]) -> None:
    """Notes of a catalogue, on standard error."""
    for note in notes:
        err().print(f"note: {note}", style="yellow", soft_wrap=True)


def _tell(details: stamina.instrumentation.RetryDetails) -> None:
    """Say that something is tried again, and why, once in a while: its error holds no secret."""
    reason = getattr(details.caused_by, "message", type(details.caused_by).__name__)
    now = monotonic()
    if now - _said.get(reason, -_PAUSE_SECONDS) < _PAUSE_SECONDS:
        return
    _said[reason] = now
    err().print(
        f"{reason}; trying again in {details.wait_for:.1f} s",
        style="dim",
        soft_wrap=True,
    )
