"""What `lobproof acquire` does, for Python: texts, paths and names instead of objects of ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from lobproof.acquire import certificate, judging, months, transfer
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.plan import Plan, plan
from lobproof.acquire.zones import LakeFolder
from lobproof.errors import UsageError
from lobproof.options import names_of
from lobproof.paths import AnyPath, as_path
from lobproof.progress import Progress
from lobproof.sources.cryptolake.bucket.catalogue import Inventory, catalogue
from lobproof.sources.cryptolake.bucket.connection import connect
from lobproof.sources.cryptolake.layout import TABLES, LakeKey
from lobproof.sources.cryptolake.request import Day, Request, day_text

Names = str | Iterable[str]
"""One name, or several."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What `download` did: ``plan`` says what was wanted, and what of it the bucket lacks."""

    plan: Plan
    found: Inventory
    result: transfer.DownloadResult

    @property
    def complete(self) -> bool:
        """Whether every object of every day and symbol asked for is there."""
        return self.result.ok and not lacks(self.plan, self.found)

    def __repr__(self) -> str:
        """How many objects came, were there, failed, and how many days the bucket lacks."""
        done = self.result
        return (
            f"Downloaded({len(done.fetched):,} fetched, {len(done.present):,} present, "
            f"{len(done.failed):,} failed, {len(self.plan.absent):,} absent)"
        )


def download(
    out: AnyPath,
    *,
    symbols: Names = (),
    start: Day | None = None,
    end: Day | None = None,
    tables: Names = TABLES,
    exchange: str | None = None,
    sample: bool = False,
    endpoint: str | None = None,
    profile: str | None = None,
    bucket: str | None = None,
    prefix: str | None = None,
    region: str | None = None,
    workers: int = transfer.WORKERS,
    check_md5: bool = True,
    progress: Progress | None = None,
) -> Downloaded:
    """Download days of Crypto Lake, resumed where a run was killed, each file checked.

    Parameters
    ----------
    out
        Folder to download to; made if missing.
    symbols, start, end, tables, exchange
        What to fetch; days are dates or texts (``2022-10-01``), ``end`` is the first one that is
        not wanted. By default all there is.
    sample
        From the vendor's free bucket, without credentials.
    endpoint, profile, bucket, prefix, region
        Another place than the vendor's, as the options of ``lobproof acquire`` name it.
    workers
        Objects at a time.
    check_md5
        Hold ETags that look like an MD5 against the bytes.
    progress
        Told the bytes that are there of each object.

    Returns
    -------
    Downloaded
        Objects that failed are in ``result.failed``, days that the bucket lacks in ``plan.absent``,
        symbols that nothing has in ``found.unknown_symbols``; ``complete`` says that there is none.

    Raises
    ------
    UsageError
        For what cannot be asked, a disk without room, and where the bucket has nothing of it.
    LobproofError
        Where the bucket cannot be reached, or refuses.
    """
    folder = as_path(out)
    request = _request(exchange, symbols, tables, start, end)
    connection = connect(
        sample=sample,
        endpoint=endpoint,
        profile=profile,
        bucket=bucket,
        prefix=prefix,
        region=region,
    )
    asked: dict[str, Any] = asdict(request)
    found = catalogue(connection, **asked)
    if not found.objects:
        raise UsageError(
            f"{connection.place} has nothing of what is asked for",
            hint="`lobproof acquire list-inventory` shows what is there",
        )
    planned = plan(connection, found, folder=folder, **asked)
    planned.require_room()
    done = transfer.download(
        connection,
        LakeFolder(folder, create=True),
        found.objects,
        workers=workers,
        check_md5=check_md5,
        progress=progress,
    )
    return Downloaded(planned, found, done)


def validate(
    folder: AnyPath,
    *,
    symbols: Names = (),
    start: Day | None = None,
    end: Day | None = None,
    tables: Names = TABLES,
    exchange: str | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> judging.ValidationResult:
    """Judge downloaded files: bytes, columns, values, times, order, completeness.

    Files that cannot be relied on go to the folder's `quarantine`, others to `validated`. What to
    judge is named as for `download`. ``again``: files too that were judged before.

    Raises
    ------
    UsageError
        Where the folder has nothing of what is asked for.
    StoreError
        When the folder's manifest was changed, or lost lines.
    """
    lake = LakeFolder(as_path(folder))
    keys = files_of(lake, _request(exchange, symbols, tables, start, end))
    return judging.validate(lake, keys, again=again, progress=progress)


def certify(
    folder: AnyPath,
    *,
    symbols: Names = (),
    start: Day | None = None,
    end: Day | None = None,
    tables: Names = TABLES,
    exchange: str | None = None,
    allow_synthetic: bool = False,
    progress: Progress | None = None,
) -> certificate.Certificate:
    """Issue the certificate of validated days, named as for `download`.

    Where anything stands against it, its ``verdict`` is REFUSED, ``refusals`` names all of it, and
    nothing is written or moved.

    Raises
    ------
    UsageError
        Where the folder has nothing of what is asked for.
    StoreError
        When the folder's manifest was changed, or lost lines.
    """
    return certificate.certify(
        LakeFolder(as_path(folder)),
        _request(exchange, symbols, tables, start, end),
        allow_synthetic=allow_synthetic,
        progress=progress,
    )


def status(folder: AnyPath) -> list[months.Month]:
    """What is there of each table, symbol and month: the state of every day."""
    return months.status(LakeFolder(as_path(folder)))


def lacks(planned: Plan, found: Inventory) -> bool:
    """Whether the bucket lacks some of what was asked for, or has keys that cannot be taken."""
    return bool(
        planned.absent or found.only_in_contents or found.unknown_symbols or found.skipped_keys
    )


def files_of(folder: LakeFolder, request: Request) -> list[LakeKey]:
    """The files of a folder that a request covers.

    Raises
    ------
    UsageError
        Where there is none, or none of one of its symbols.
    """
    hint = "`lobproof acquire status` shows what is there"
    keys = [key for key in Manifest(folder).entries() if request.covers(key)]
    if not keys:
        raise UsageError(f"{folder.root} has nothing of what is asked for", hint=hint)
    lacking = sorted(set(request.symbols) - {key.symbol for key in keys})
    if lacking:
        raise UsageError(
            f"{folder.root} has nothing of {', '.join(lacking)}",
            hint=f"{hint}; leave out what is not",
        )
    return keys


def _request(
    exchange: str | None, symbols: Names, tables: Names, start: Day | None, end: Day | None
) -> Request:
    hint = "give a name, or a list of names; leave it out to take all"
    return Request(
        exchange,
        names_of("symbols", symbols, hint),
        names_of("tables", tables, hint),
        day_text(start),
        day_text(end),
    )
