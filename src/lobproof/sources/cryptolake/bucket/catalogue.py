"""What the bucket has of a request: by the vendor's index where there is one, else by listing.

The index (``contents.json.gz``) knows keys only, and lags: sizes and ETags come from listing. What
the index names and the listing lacks is asked for key by key. Differences are told. Names are never
guessed.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from lobproof.errors import (
    AccessDeniedError,
    CredentialsError,
    LimitError,
    NotFoundError,
    RemoteError,
    UnavailableError,
    UnreachableError,
    UsageError,
    shown,
)
from lobproof.sources.cryptolake.bucket.concurrency import each, run
from lobproof.sources.cryptolake.bucket.connection import Connection
from lobproof.sources.cryptolake.bucket.limits import (
    INDEX_BYTES,
    INVENTORY_KEYS,
)
from lobproof.sources.cryptolake.bucket.listing import INDEX, Meta, is_odd, read_index
from lobproof.sources.cryptolake.bucket.remote import Policy, Remote
from lobproof.sources.cryptolake.layout import LakeKey
from lobproof.sources.cryptolake.request import Request

CONTENTS, LISTING = "contents", "listing"
_SKIPPED_SHOWN, _LONG, _SHOWN = 3, 4096, 200


@dataclass(frozen=True, slots=True, order=True)
class RemoteObject:
    """An object as the bucket has it now: size in bytes, ETag without quotes, ISO 8601 date."""

    key: LakeKey
    size: int
    etag: str
    last_modified: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is of a request.

    Attributes
    ----------
    objects
        In order of their keys.
    source
        ``contents`` when the vendor's index was read for every table, else ``listing``.
    notes
        What a user should know: which index was missing, where it differs, that nothing is there.
    only_in_contents, only_in_listing
        Keys that the index names and the bucket lacks, also when asked for each; and keys that the
        index does not name yet.
    other_keys
        Keys in the listing that are no data.
    unknown_symbols
        Symbols asked for of which there is nothing at all.
    skipped_keys
        Keys that cannot be taken: no file can be named so, or what is said of the object is
        nothing that can be. They are left out, and the rest is there.
    """

    objects: tuple[RemoteObject, ...]
    source: str
    notes: tuple[str, ...] = ()
    only_in_contents: tuple[str, ...] = ()
    only_in_listing: tuple[str, ...] = ()
    other_keys: int = 0
    unknown_symbols: tuple[str, ...] = ()
    skipped_keys: int = 0

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(found.size for found in self.objects)


@dataclass(slots=True)
class _Table:
    """What one table's index and listing gave."""

    found: dict[LakeKey, RemoteObject] = field(default_factory=dict)
    indexed: bool = False
    gone: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    unlisted: list[LakeKey] = field(default_factory=list)
    other: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Tally:
    """What was met so far, over all tables."""

    connection: Connection
    keys: int = 0
    skipped: int = 0
    skipped_shown: list[str] = field(default_factory=list)

    def count(self, keys: int) -> None:
        self.keys += keys
        if self.keys > INVENTORY_KEYS:
            raise LimitError(
                f"{self.connection.place} lists more than {INVENTORY_KEYS:,} keys of this request",
                hint=f"an inventory may have {INVENTORY_KEYS:,} keys: ask for fewer tables, "
                "symbols or days",
            )

    def skip(self, keys: Collection[str]) -> None:
        self.skipped += len(keys)
        left = _SKIPPED_SHOWN - len(self.skipped_shown)
        for key in list(keys)[:left]:
            # of what is cut off here nothing is shown: a part of a secret neither
            self.skipped_shown.append(shown(self.connection.redact(key[:_LONG]), _SHOWN))


def catalogue(
    connection: Connection,
    *,
    tables: Sequence[str],
    exchange: str | None = None,
    symbols: Collection[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    policy: Policy | None = None,
) -> Inventory:
    """What the bucket has of ``tables``.

    Parameters
    ----------
    connection
        From :func:`~lobproof.sources.cryptolake.bucket.connection.connect`.
    tables, exchange, symbols
        All exchanges and symbols where none is named.
    start, end
        First day, and the first day not wanted any more (ISO dates).
    policy
        Attempts, pace and time of requests.

    Raises
    ------
    UsageError
        For a table that there is not, a date that is none, and a span without a day.
    RemoteError
        When the bucket could not be asked. An inventory without objects means that it was asked
        and has none, and its notes say so.
    """
    if not tables:
        raise UsageError("no table is asked for", hint="name one, such as trades")
    request = Request(
        exchange or None,
        tuple(sorted(set(symbols or ()))),
        tuple(dict.fromkeys(tables)),
        start or None,
        end or None,
    )
    return run(_catalogue(Remote(connection, policy), request))


async def look_up(remote: Remote, key: LakeKey) -> RemoteObject:
    """One object as it is now.

    Raises
    ------
    RemoteError
        When it cannot be asked for, or what the store says of it is nothing that can be.
    """
    found = await remote.head(key.path)
    if found is None:
        raise RemoteError(
            f"{key}: what {remote.connection.place} says of it is nothing that can be",
            hint="tell whoever runs the store: its size, ETag or date is none",
        )
    return _object(key, found)


async def _catalogue(remote: Remote, request: Request) -> Inventory:
    async with remote.within(remote.policy.total_seconds):
        return await _asked(remote, request)


async def _asked(remote: Remote, request: Request) -> Inventory:
    tally = _Tally(remote.connection)
    # one table after the other: an index is large while it is read
    asked = [await _table(remote, request, table, tally) for table in request.tables]
    notes: list[str] = []
    gone: list[str] = []
    new: list[str] = []
    unlisted = [key.path for answer in asked for key in answer.unlisted]
    for table, answer in zip(request.tables, asked, strict=True):
        notes += answer.notes
        gone += answer.gone
        new += answer.new
        if not answer.found:
            notes.append(f"{table}: the bucket was asked and has nothing of this request")
    other = sum(answer.other for answer in asked)
    if unlisted:
        notes.append(
            f"{len(unlisted)} keys of {INDEX} are not listed, but there when asked for each, "
            f"such as {unlisted[0]}"
        )
    if gone:
        notes.append(f"{len(gone)} keys of {INDEX} are not in the bucket, such as {gone[0]}")
    if new:
        notes.append(f"{len(new)} objects are not in {INDEX} yet, such as {new[0]}")
    if other:
        notes.append(f"{other} keys are no data files")
    if tally.skipped:
        notes.append(
            f"{tally.skipped} keys cannot be taken and are left out (their names, days, sizes or "
            f"ETags are none that can be), such as {', '.join(tally.skipped_shown)}"
        )
    known = {key.symbol for answer in asked for key in answer.found}
    unknown = sorted(set(request.symbols) - known)
    if known:
        notes += [f"{s}: the bucket was asked and has nothing of this symbol" for s in unknown]
    else:
        await _is_a_store(remote)
    return Inventory(
        tuple(sorted(found for answer in asked for found in answer.found.values())),
        CONTENTS if all(answer.indexed for answer in asked) else LISTING,
        tuple(notes),
        tuple(gone),
        tuple(new),
        other,
        tuple(unknown),
        tally.skipped,
    )


async def _is_a_store(remote: Remote) -> None:
    """What answers a listing with nothing must not have an object of a random name."""
    name = f"lobproof-{secrets.token_hex(8)}"
    try:
        await remote.read(name, limit=INDEX_BYTES)
    except (NotFoundError, AccessDeniedError):
        return
    except LimitError:
        pass
    raise UnavailableError(
        f"{remote.connection.place} answers whatever is asked: that is no S3 store",
        hint="check the endpoint; a log-in page of the network may stand before it",
    )


async def _table(remote: Remote, request: Request, table: str, tally: _Tally) -> _Table:
    answer = _Table()
    indexed = await _read_index(remote, request, table, answer, tally)
    denied: AccessDeniedError | None = None
    try:
        prefixes = await _prefixes(remote, request, table, tally)
        await each(lambda prefix: _list(remote, request, prefix, answer, tally), prefixes)
    except AccessDeniedError as error:
        if indexed is None:
            raise
        denied = error
        answer.notes.append(f"{table}: listing is denied; sizes were asked one by one")
        answer.found.clear()
    if indexed is not None:
        answer.indexed = True
        found, refused = await _heads(remote, sorted(indexed - answer.found.keys()), tally)
        if refused and denied is not None and not found:
            raise denied  # nothing may be read: that is not "no data"
        if refused:
            answer.notes.append(
                f"{table}: {len(refused)} keys of {INDEX} are not listed, and asking for them is "
                f"denied, such as {refused[0]}"
            )
        if denied is None:
            answer.unlisted = list(found)
        answer.found |= found
        answer.gone = sorted(key.path for key in indexed - answer.found.keys())
        answer.new = sorted(key.path for key in answer.found.keys() - indexed)
    return answer


async def _read_index(
    remote: Remote, request: Request, table: str, answer: _Table, tally: _Tally
) -> frozenset[LakeKey] | None:
    """Keys of the request that the index names; None where there is none that can be read."""
    path = f"{table}/{INDEX}"
    try:
        keys = read_index(await remote.read(path, limit=INDEX_BYTES), remote.connection.prefix)
    except (CredentialsError, UnreachableError):
        raise
    except NotFoundError:
        answer.notes.append(f"{table}: no {INDEX}; the bucket was listed instead")
        return None
    except RemoteError as error:
        answer.notes.append(
            f"{table}: {INDEX} could not be read ({error.kind}); the bucket was listed instead"
        )
        return None
    if keys is None:
        answer.notes.append(f"{table}: {INDEX} is damaged; the bucket was listed instead")
        return None
    odd = [key for key in keys if is_odd(key)]
    tally.skip(odd)
    skipped = set(odd)
    parsed = (LakeKey.parse(key) for key in keys if key not in skipped)
    return frozenset(key for key in parsed if key is not None and request.covers(key))


async def _prefixes(remote: Remote, request: Request, table: str, tally: _Tally) -> list[str]:
    """What to list: a prefix per exchange and symbol, which the bucket itself names."""

    async def below(top: str, kind: str) -> list[str]:
        names: list[str] = []
        async for page in remote.pages(top, folders=True):
            tally.count(len(page.folders) + len(page.skipped))
            tally.skip(page.skipped)
            names += [f"{top}/{name}" for name in page.folders if name.startswith(kind)]
        return sorted(names)

    if request.exchange:
        exchanges = [f"{table}/exchange={request.exchange}"]
    else:
        exchanges = await below(table, "exchange=")
    if request.symbols:
        return [f"{top}/symbol={symbol}" for top in exchanges for symbol in request.symbols]
    groups = await each(lambda top: below(top, "symbol="), exchanges)
    return [prefix for group in groups for prefix in group]


async def _list(
    remote: Remote, request: Request, prefix: str, answer: _Table, tally: _Tally
) -> None:
    after = f"{prefix}/dt={request.start}" if request.start else ""
    async for page in remote.pages(prefix, after=after):
        tally.count(len(page.objects) + len(page.skipped))
        tally.skip(page.skipped)
        for meta in page.objects:
            key = LakeKey.parse(meta.path)
            if key is None:
                answer.other += not meta.path.endswith(INDEX)
            elif request.covers(key):
                answer.found[key] = _object(key, meta)


async def _heads(
    remote: Remote, keys: Sequence[LakeKey], tally: _Tally
) -> tuple[dict[LakeKey, RemoteObject], list[LakeKey]]:
    """Those of ``keys`` that are there, and those that may not be asked for.

    Where listing is denied too, a store says so of what is not there as well.
    """
    found: dict[LakeKey, RemoteObject] = {}
    refused: list[LakeKey] = []

    async def one(key: LakeKey) -> None:
        try:
            meta = await remote.head(key.path)
        except NotFoundError:
            return
        except AccessDeniedError:
            refused.append(key)
            return
        if meta is None:
            tally.skip([key.path])
        else:
            tally.count(1)
            found[key] = _object(key, meta)

    await each(one, keys)
    return found, sorted(refused)


def _object(key: LakeKey, meta: Meta) -> RemoteObject:
    return RemoteObject(key, meta.size, meta.etag, meta.last_modified)
