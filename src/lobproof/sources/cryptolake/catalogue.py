"""What the bucket has of a request: by the vendor's index where there is one, else by listing.

The index (``contents.json.gz``) knows keys only, and lags: sizes and ETags come from listing. What
the index names and the listing lacks is asked for key by key. Differences are told. Names are never
guessed.
"""

from __future__ import annotations

import asyncio
import secrets
import zlib
from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from lobproof.errors import UsageError
from lobproof.sources.cryptolake.connection import Connection
from lobproof.sources.cryptolake.layout import LakeKey
from lobproof.sources.cryptolake.remote import (
    AccessDeniedError,
    CredentialsError,
    NotFoundError,
    Policy,
    Remote,
    RemoteError,
    UnavailableError,
    UnreachableError,
    bare,
    run,
    when,
)

if TYPE_CHECKING:
    from obstore import ObjectMeta

T = TypeVar("T")

INDEX = "contents.json.gz"
CONTENTS, LISTING = "contents", "listing"
_SIDE_BY_SIDE = 8
_LONGEST_INDEX = 1 << 30
_ANY_HEADER = 32 + zlib.MAX_WBITS
"""zlib or gzip, whichever it is."""


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
    """

    objects: tuple[RemoteObject, ...]
    source: str
    notes: tuple[str, ...] = ()
    only_in_contents: tuple[str, ...] = ()
    only_in_listing: tuple[str, ...] = ()
    other_keys: int = 0
    unknown_symbols: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(found.size for found in self.objects)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; ``end`` is the first day that is not (ISO dates, "" for no limit)."""

    tables: tuple[str, ...]
    exchange: str = ""
    symbols: tuple[str, ...] = ()
    start: str = ""
    end: str = ""

    def has(self, key: LakeKey) -> bool:
        """Whether ``key`` is asked for."""
        return (
            key.table in self.tables
            and (not self.exchange or key.exchange == self.exchange)
            and (not self.symbols or key.symbol in self.symbols)
            and (not self.start or key.dt >= self.start)
            and (not self.end or key.dt < self.end)
        )


class _Index(msgspec.Struct):
    objects: list[str]


@dataclass(slots=True)
class _Table:
    """What one table's index and listing gave."""

    found: dict[LakeKey, RemoteObject] = field(default_factory=dict)
    indexed: frozenset[LakeKey] | None = None
    unlisted: list[LakeKey] = field(default_factory=list)
    other: int = 0
    notes: list[str] = field(default_factory=list)


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
        From :func:`~lobproof.sources.cryptolake.connection.connect`.
    tables, exchange, symbols
        All exchanges and symbols where none is named.
    start, end
        First day, and the first day not wanted any more (ISO dates).
    policy
        Attempts, pace and time of requests.

    Raises
    ------
    RemoteError
        When the bucket could not be asked. An inventory without objects means that it was asked
        and has none, and its notes say so.
    """
    request = Request(
        tuple(dict.fromkeys(tables)),
        exchange or "",
        tuple(sorted(set(symbols or ()))),
        start or "",
        end or "",
    )
    if not request.tables:
        raise UsageError("no table is asked for", hint="name one, such as trades")
    return run(_catalogue(Remote(connection, policy), request))


async def look_up(remote: Remote, key: LakeKey) -> RemoteObject:
    """One object as it is now."""
    return _object(key, await remote.head(key.path))


def read_index(data: bytes, prefix: str) -> frozenset[str] | None:
    """Keys below ``prefix`` of a ``contents.json.gz``; None if it is damaged."""
    try:
        unpacker = zlib.decompressobj(_ANY_HEADER)
        text = unpacker.decompress(data, _LONGEST_INDEX)
        if not unpacker.eof:
            return None
        keys = msgspec.json.decode(text, type=_Index).objects
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    head = f"{prefix}/" if prefix else ""
    return frozenset(key.removeprefix(head) for key in keys)


async def _catalogue(remote: Remote, request: Request) -> Inventory:
    gate = asyncio.Semaphore(_SIDE_BY_SIDE)
    asked = await _all(_table(remote, request, table, gate) for table in request.tables)
    notes: list[str] = []
    gone: list[str] = []
    new: list[str] = []
    unlisted = [key.path for answer in asked for key in answer.unlisted]
    for table, answer in zip(request.tables, asked, strict=True):
        notes += answer.notes
        if answer.indexed is not None:
            gone += sorted(key.path for key in answer.indexed - answer.found.keys())
            new += sorted(key.path for key in answer.found.keys() - answer.indexed)
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
    known = {key.symbol for answer in asked for key in answer.found}
    unknown = sorted(set(request.symbols) - known)
    if known:
        notes += [f"{s}: the bucket was asked and has nothing of this symbol" for s in unknown]
    else:
        await _is_a_store(remote)
    whole = all(answer.indexed is not None for answer in asked)
    return Inventory(
        tuple(sorted(found for answer in asked for found in answer.found.values())),
        CONTENTS if whole else LISTING,
        tuple(notes),
        tuple(gone),
        tuple(new),
        other,
        tuple(unknown),
    )


async def _is_a_store(remote: Remote) -> None:
    """What answers a listing with nothing must not have an object of a random name."""
    name = f"lobproof-{secrets.token_hex(8)}"
    try:
        await remote.read(name)
    except (NotFoundError, AccessDeniedError):
        return
    raise UnavailableError(
        f"{remote.connection.place} answers whatever is asked: that is no S3 store",
        hint="check the endpoint; a log-in page of the network may stand before it",
    )


async def _table(remote: Remote, request: Request, table: str, gate: asyncio.Semaphore) -> _Table:
    answer = _Table()
    await _read_index(remote, request, table, answer)
    denied: AccessDeniedError | None = None
    listed: list[list[ObjectMeta]] = []
    try:
        prefixes = await _prefixes(remote, request, table, gate)
        listed = await _all(_list(remote, request, prefix, gate) for prefix in prefixes)
    except AccessDeniedError as error:
        if answer.indexed is None:
            raise
        denied = error
        answer.notes.append(f"{table}: listing is denied; sizes were asked one by one")
    for metas in listed:
        for meta in metas:
            key = LakeKey.parse(meta["path"])
            if key is None:
                answer.other += not meta["path"].endswith("/") and not meta["path"].endswith(INDEX)
            elif request.has(key):
                answer.found[key] = _object(key, meta)
    if answer.indexed is not None:
        found, refused = await _heads(remote, sorted(answer.indexed - answer.found.keys()), gate)
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
    return answer


async def _read_index(remote: Remote, request: Request, table: str, answer: _Table) -> None:
    path = f"{table}/{INDEX}"
    try:
        keys = read_index(await remote.read(path), remote.connection.prefix)
    except (CredentialsError, UnreachableError):
        raise
    except NotFoundError:
        answer.notes.append(f"{table}: no {INDEX}; the bucket was listed instead")
        return
    except RemoteError as error:
        answer.notes.append(
            f"{table}: {INDEX} could not be read ({error.kind}); the bucket was listed instead"
        )
        return
    if keys is None:
        answer.notes.append(f"{table}: {INDEX} is damaged; the bucket was listed instead")
        return
    parsed = (LakeKey.parse(key) for key in keys)
    answer.indexed = frozenset(key for key in parsed if key is not None and request.has(key))


async def _prefixes(
    remote: Remote, request: Request, table: str, gate: asyncio.Semaphore
) -> list[str]:
    """What to list: a prefix per exchange and symbol, which the bucket itself names."""
    if request.exchange:
        exchanges = [f"{table}/exchange={request.exchange}"]
    else:
        async with gate:
            names = await remote.folders(table)
        exchanges = [f"{table}/{name}" for name in names if name.startswith("exchange=")]
    if request.symbols:
        return [f"{top}/symbol={symbol}" for top in exchanges for symbol in request.symbols]

    async def symbols(top: str) -> list[str]:
        async with gate:
            names = await remote.folders(top)
        return [f"{top}/{name}" for name in names if name.startswith("symbol=")]

    return [prefix for group in await _all(map(symbols, exchanges)) for prefix in group]


async def _list(
    remote: Remote, request: Request, prefix: str, gate: asyncio.Semaphore
) -> list[ObjectMeta]:
    after = f"{prefix}/dt={request.start}" if request.start else ""
    async with gate:
        return await remote.objects(prefix, after=after)


async def _heads(
    remote: Remote, keys: Iterable[LakeKey], gate: asyncio.Semaphore
) -> tuple[dict[LakeKey, RemoteObject], list[LakeKey]]:
    """Those of ``keys`` that are there, and those that may not be asked for.

    Where listing is denied too, a store says so of what is not there as well.
    """
    refused: list[LakeKey] = []

    async def one(key: LakeKey) -> RemoteObject | None:
        async with gate:
            try:
                return await look_up(remote, key)
            except NotFoundError:
                return None
            except AccessDeniedError:
                refused.append(key)
                return None

    answers = await _all(map(one, keys))
    found = {answer.key: answer for answer in answers if answer is not None}
    return found, sorted(refused)


def _object(key: LakeKey, meta: ObjectMeta) -> RemoteObject:
    return RemoteObject(key, meta["size"], bare(meta["e_tag"]), when(meta["last_modified"]))


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """All answers in order; the first failure ends the rest."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
