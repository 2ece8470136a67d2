"""What a request means before it is downloaded: objects, bytes, rows, cost, disk, what lacks."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from lobproof.acquire.certificate_status import Breach, breaches, require_whole
from lobproof.acquire.manifest import Entry, Manifest
from lobproof.acquire.zones import LakeFolder
from lobproof.errors import CredentialsError, RemoteError, UsageError
from lobproof.parquet import MAX_FOOTER, TAIL, footer_size
from lobproof.sources.cryptolake.bucket.catalogue import Inventory, RemoteObject
from lobproof.sources.cryptolake.bucket.concurrency import run
from lobproof.sources.cryptolake.bucket.connection import Connection
from lobproof.sources.cryptolake.bucket.limits import ABSENT_DAYS
from lobproof.sources.cryptolake.bucket.remote import Policy, Remote
from lobproof.sources.cryptolake.bucket.transfer import part_length
from lobproof.sources.cryptolake.footer import rows_of

GB = 10**9
RESERVE = 256 << 20
"""Free bytes that a download leaves on the disk."""
SAMPLE = 8
"""Objects of a table whose footers are read; more are estimated from them."""
_TAIL = 1 << 16


@dataclass(frozen=True, slots=True)
class Plan:
    """What a download would do.

    Attributes
    ----------
    fetch, present
        Objects to download, and those that are there already.
    size
        Bytes still to be received, what an earlier run left taken off.
    rows, rows_exact
        Rows of all objects to fetch; None when no footer could be read. Not exact: estimated from
        the bytes by a few objects of each table.
    cost, price_per_gb
        In the currency of the price; a GB is 10⁹ bytes.
    disk_need, disk_free
        Bytes, the reserve included; None without a folder.
    absent
        Days asked for of which the bucket has no object, as ``table exchange symbol date``.
    breaches
        Certificates of the folder that stop holding when the objects to fetch replace their files.
    """

    fetch: tuple[RemoteObject, ...]
    present: tuple[RemoteObject, ...]
    size: int
    rows: int | None
    rows_exact: bool
    price_per_gb: float
    disk_need: int
    disk_free: int | None
    absent: tuple[str, ...]
    breaches: tuple[Breach, ...] = ()

    @property
    def cost(self) -> float:
        """What the transfer costs at the price given."""
        return self.size / GB * self.price_per_gb

    @property
    def fits(self) -> bool:
        """Whether the disk has room."""
        return self.disk_free is None or not self.fetch or self.disk_need <= self.disk_free

    def require_room(self) -> None:
        """Refuse what the disk has no room for.

        Raises
        ------
        UsageError
            Naming need and room.
        """
        if not self.fits:
            raise UsageError(
                f"the disk is too small: {self.disk_need / GB:,.2f} GB are needed, and "
                f"{(self.disk_free or 0) / GB:,.2f} GB are free",
                hint="free some space, choose another folder, or ask for fewer days",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "objects": len(self.fetch),
            "objects_present": len(self.present),
            "bytes": self.size,
            "rows": self.rows,
            "rows_exact": self.rows_exact,
            "cost": self.cost,
            "price_per_gb": self.price_per_gb,
            "disk_need": self.disk_need,
            "disk_free": self.disk_free,
            "absent": list(self.absent),
            "breaks_certificates": [breach.to_dict() for breach in self.breaches],
        }


def plan(
    connection: Connection,
    inventory: Inventory,
    *,
    folder: Path | None = None,
    exchange: str | None = None,
    tables: Sequence[str] = (),
    symbols: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
    price_per_gb: float = 0.0,
    rows: bool = True,
    policy: Policy | None = None,
) -> Plan:
    """Weigh a request against what is there.

    Parameters
    ----------
    connection, inventory
        The bucket, and what :func:`~lobproof.sources.cryptolake.bucket.catalogue.catalogue`
        says that it has of the request.
    folder
        Where it is to go; need not exist.
    exchange, tables, symbols, start, end
        The request, for the days that lack.
    price_per_gb
        Price of the transfer.
    rows
        Read footers to count rows.
    policy
        Attempts, pace and time of requests.

    Raises
    ------
    RemoteError
        When the bucket could not be asked.
    StoreError
        When the folder's manifest was changed, or lost lines.
    """
    fetch, present, size = list(inventory.objects), [], inventory.size
    breached: tuple[Breach, ...] = ()
    if folder is not None and folder.exists() and any(folder.iterdir()):
        # makes nothing: a folder that holds something is one of ours, or refused
        lake = LakeFolder(folder, create=True)
        require_whole(lake)
        entries = Manifest(lake).entries()
        present = [found for found in fetch if is_present(lake, entries.get(found.key), found)]
        there = set(present)
        fetch = [found for found in fetch if found not in there]
        size = sum(
            found.size
            - part_length(lake.partial(found.key), lake.partial(found.key, ".part.json"), found)
            for found in fetch
        )
        breached = breaches(lake, [found.key for found in fetch])
    counted, exact = run(_rows(connection, policy, fetch)) if rows else (None, False)
    return Plan(
        tuple(fetch),
        tuple(present),
        size,
        counted,
        exact,
        price_per_gb,
        size + RESERVE,
        shutil.disk_usage(_existing(folder)).free if folder is not None else None,
        absent_days(
            inventory, exchange=exchange, tables=tables, symbols=symbols, start=start, end=end
        ),
        breached,
    )


CHANGED_HERE = {"hash-differs", "size-differs"}
"""Reasons of a file that is no more what was fetched: it is to be fetched anew."""


def is_present(lake: LakeFolder, entry: Entry | None, found: RemoteObject) -> bool:
    """Whether this very version was fetched, and its file is where it belongs."""
    if entry is None:
        return False
    fetched = entry.fetched
    if (fetched["etag"], fetched["size"]) != (found.etag, found.size):
        return False
    if not found.etag and fetched["last_modified"] != found.last_modified:
        return False
    if entry.judged is not None and CHANGED_HERE & set(entry.judged.get("reasons", ())):
        return False
    path = lake.path(entry.zone, found.key)
    return path.is_file() and path.stat().st_size == found.size


def absent_days(
    inventory: Inventory,
    *,
    exchange: str | None = None,
    tables: Sequence[str] = (),
    symbols: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
) -> tuple[str, ...]:
    """Days asked for of which the bucket has no object.

    Where a request leaves something open, the inventory says what there could be: its exchanges
    and symbols, and for each symbol the days from its first to its last over all tables.

    Raises
    ------
    UsageError
        When there are more than a bucket with real days could lack.
    """
    have = {(k.table, k.exchange, k.symbol, k.dt) for k in (f.key for f in inventory.objects)}
    dates: dict[tuple[str, str], set[str]] = {}
    for _, a, s, dt in have:
        dates.setdefault((a, s), set()).add(dt)
    markets = set(dates)
    exchanges = [exchange] if exchange else sorted({a for a, _ in markets})
    if exchanges and symbols:
        known = {s for _, s in markets}
        # a symbol belongs to the exchanges that have it; one that none has lacks everywhere
        markets |= {(a, s) for s in symbols if exchange or s not in known for a in exchanges}
    lacking: list[str] = []
    for market in sorted(markets):
        days = sorted(dates.get(market, ()))
        first = start or (days[0] if days else None)
        if first is None or not (end or days):
            continue
        since = date.fromisoformat(first)
        span = (date.fromisoformat(end or days[-1]) - since).days + (not end)
        for table in tables or sorted({t for t, *_ in have}):
            for dt in (str(since + timedelta(days=n)) for n in range(span)):
                if (table, *market, dt) not in have:
                    lacking.append(f"{table} {market[0]} {market[1]} {dt}")
                if len(lacking) > ABSENT_DAYS:
                    raise UsageError(
                        f"the bucket lacks more than {ABSENT_DAYS:,} of the days asked for",
                        hint=f"at most {ABSENT_DAYS:,} can be told: ask for fewer symbols "
                        "or days; `lobproof acquire list-inventory` shows what is there",
                    )
    return tuple(lacking)


async def _rows(
    connection: Connection, policy: Policy | None, objects: Sequence[RemoteObject]
) -> tuple[int | None, bool]:
    """Rows of ``objects``, and whether every footer was read."""
    remote = Remote(connection, policy)
    by_table: dict[str, list[RemoteObject]] = {}
    for found in objects:
        by_table.setdefault(found.key.table, []).append(found)
    total, exact = 0, True
    for group in by_table.values():
        step = -(-len(group) // SAMPLE)
        asked = group[::step]
        counts = await asyncio.gather(*(_count(remote, found) for found in asked))
        read = [(n, f.size) for n, f in zip(counts, asked, strict=True) if n is not None]
        if not read:
            return None, False
        known = sum(n for n, _ in read)
        if len(read) == len(group):
            total += known
        else:
            exact = False
            total += round(known / sum(s for _, s in read) * sum(f.size for f in group))
    return total, exact


async def _count(remote: Remote, found: RemoteObject) -> int | None:
    """Rows of one object by its footer; None if it has none, or cannot be read."""
    if found.size < TAIL:
        return None
    path = found.key.path
    try:
        tail = await remote.read_range(path, max(0, found.size - _TAIL), found.size)
        need = footer_size(tail)
        if need is None or need > min(found.size, MAX_FOOTER + TAIL):
            return None
        if need > len(tail):
            tail = await remote.read_range(path, found.size - need, found.size)
    except CredentialsError:
        raise
    except RemoteError:
        return None  # the download will say what is wrong with it
    return rows_of(tail[-need:])


def _existing(path: Path) -> Path:
    """The nearest folder that is there."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())
