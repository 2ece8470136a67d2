"""``lobproof acquire download``."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from lobproof.acquire.certificate_status import (
    CertificateStatus,
    broken_since,
    holding,
)
from lobproof.acquire.front import lacks
from lobproof.acquire.plan import Plan
from lobproof.acquire.plan import plan as make_plan
from lobproof.acquire.transfer import WORKERS, DownloadResult
from lobproof.acquire.transfer import download as run_download
from lobproof.acquire.zones import LakeFolder
from lobproof.cli import say_error
from lobproof.cli.acquire.folder import provenance_of, show_broken_certificates
from lobproof.cli.acquire.options import (
    ANYTHING,
    ANYWHERE,
    GB,
    Place,
    Wanted,
    gigabytes,
    show_notes,
)
from lobproof.cli.console import Json, Switch, err, out, print_json, progress, show_next
from lobproof.errors import UsageError
from lobproof.progress import Progress as Told
from lobproof.schema.provenance import made_of
from lobproof.sources.cryptolake.bucket.catalogue import Inventory
from lobproof.sources.cryptolake.bucket.remote import DEFAULT_POLICY, Policy

_SHOWN = 10


def download(
    *,
    place: Place = ANYWHERE,
    wanted: Wanted = ANYTHING,
    out_: Annotated[Path, Parameter(name="--out")],
    dry_run: Switch = False,
    yes: Switch = False,
    ask_above_gb: float = 10.0,
    price_per_gb: float = 0.0,
    workers: int = WORKERS,
    rate: float = DEFAULT_POLICY.rate,
    attempts: int = DEFAULT_POLICY.attempts,
    total_seconds: float = DEFAULT_POLICY.total_seconds,
    check_md5: bool = True,
    json_: Json = False,
) -> int:
    """Download days, resumed where a run was killed, each file checked.

    The same command goes on where it was stopped, and fetches what has changed since. Exit code 0
    when everything is there, 1 when an object failed or the bucket has nothing of the request, 2
    when it lacks some of it, or has keys that cannot be taken.

    Parameters
    ----------
    place
        Where to ask.
    wanted
        What to ask for.
    out_
        Folder to download to; made if missing.
    dry_run
        Only show objects, bytes, rows, cost and disk need.
    yes
        Do not ask, however much it is.
    ask_above_gb
        Ask before more than so many GB.
    price_per_gb
        Price of the transfer, for the cost shown.
    workers
        Objects at a time.
    rate
        Most requests per second.
    attempts
        Attempts in a row without progress, for one object.
    total_seconds
        Longest time for one object.
    check_md5
        Hold ETags that look like an MD5 against the bytes; not so where a store encrypts with keys
        of its own.
    json_
        Print one JSON document; implies that nothing can be asked.
    """
    # as what must be: "not a number" is no more than anything
    if not (workers >= 1 and attempts >= 1 and rate > 0 and total_seconds > 0):
        raise UsageError(
            "workers, attempts, rate and total-seconds must be above 0",
            hint="leave them out for values that suit most lines",
        )
    if not (0 <= price_per_gb < math.inf and ask_above_gb >= 0):
        raise UsageError(
            "price-per-gb and ask-above-gb must be numbers from 0 on",
            hint="leave them out for no price, and a question above 10 GB",
        )
    request = wanted.request()
    policy = Policy(attempts=attempts, total_seconds=total_seconds, rate=rate)
    connection = place.connect()
    with progress(f"asking {connection.place}"):
        found = wanted.ask(connection, policy)
        planned = make_plan(
            connection,
            found,
            folder=out_,
            **asdict(request),
            price_per_gb=price_per_gb,
            policy=policy,
        )
    if not json_:
        show_notes(found.notes)
        _show_plan(planned)
    document = {
        "source": found.source,
        "notes": list(found.notes),
        "skipped_keys": found.skipped_keys,
        "plan": planned.to_dict(),
    }
    nothing = not found.objects
    if nothing or dry_run:
        if json_:
            print_json(document)
        if nothing:
            say_error(
                f"{connection.place} has nothing of what is asked for: nothing was downloaded",
                "`lobproof acquire list-inventory` shows what is there",
            )
            return 1
        planned.require_room()
        return 0
    planned.require_room()
    _ask(planned, ask_above_gb, yes, json_)
    folder = LakeFolder(out_, create=True)
    held = holding(folder)
    with _bars(planned) as told:
        result = run_download(
            connection,
            folder,
            found.objects,
            workers=workers,
            policy=policy,
            check_md5=check_md5,
            progress=told,
        )
    # seen afterwards: an object may change while it is fetched
    broken = broken_since(folder, held)
    provenance = provenance_of(folder, (*result.fetched, *result.present))
    if json_:
        told_broken = [status.to_dict() for status in broken]
        document["provenance"] = provenance
        print_json({**document, **result.to_dict(), "certificates_broken": told_broken})
    else:
        _show_result(result, found, out_, broken, provenance)
    if not result.ok:
        return 1
    return 2 if lacks(planned, found) else 0


def _show_plan(planned: Plan) -> None:
    console = out()
    rows = "unknown" if planned.rows is None else f"{planned.rows:,}"
    about = "" if planned.rows_exact or planned.rows is None else " (estimated)"
    console.print(
        f"to fetch   {len(planned.fetch):,} objects, {gigabytes(planned.size)}, rows {rows}{about}"
    )
    if planned.present:
        console.print(f"present    {len(planned.present):,} objects")
    if planned.price_per_gb:
        console.print(f"cost       {planned.cost:,.2f} at {planned.price_per_gb:g} per GB")
    if planned.disk_free is not None:
        console.print(
            f"disk       {gigabytes(planned.disk_need)} needed, {gigabytes(planned.disk_free)} free"
        )
    if planned.absent:
        console.print(f"absent     {len(planned.absent):,} days asked for are not in the bucket:")
        for line in planned.absent[:_SHOWN]:
            console.print(f"           {line}")
        if len(planned.absent) > _SHOWN:
            console.print(f"           ... and {len(planned.absent) - _SHOWN:,} more")
    for breach in planned.breaches:
        console.print(
            f"breaks     certificate {breach.name} ({breach.verdict}): new versions of "
            f"{len(breach.keys):,} of its files replace the certified ones, such as "
            f"{breach.keys[0]}",
            style="yellow",
            soft_wrap=True,
        )


def _ask(planned: Plan, limit_gb: float, yes: bool, silent: bool) -> None:
    if yes or planned.size <= limit_gb * GB:
        return
    question = f"Download {gigabytes(planned.size)}, more than {limit_gb:g} GB? [y/N] "
    if not silent and sys.stdin.isatty():
        err().print(question, end="")
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise UsageError(
        f"{gigabytes(planned.size)} are more than the {limit_gb:g} GB that need a yes",
        hint="add --yes, or raise --ask-above-gb",
    )


def _show_result(
    result: DownloadResult,
    found: Inventory,
    folder: Path,
    broken: list[CertificateStatus],
    provenance: str,
) -> None:
    console = out()
    if result.fetched or result.failed:
        speed = result.bytes_received / max(result.seconds, 1e-9) / 1e6
        console.print(
            f"fetched    {len(result.fetched):,} of {len(found.objects):,} objects, "
            f"{gigabytes(result.bytes_received)} in {result.seconds:,.1f} s ({speed:,.1f} MB/s)"
        )
    if result.present:
        console.print(f"present    {len(result.present):,} objects, not fetched again")
    if result.fetched or result.present:
        console.print(f"provenance {made_of(provenance)}")
    show_broken_certificates(broken)
    for failure in result.failed:
        console.print(f"failed     {failure.key}", style="bold red", soft_wrap=True)
        console.print(f"           {failure.reason}", soft_wrap=True)
        console.print(f"           {failure.hint}", style="dim", soft_wrap=True)
    if result.ok:
        show_next("acquire", "validate", folder)
    else:
        err().print("Next: the same command again", style="dim", soft_wrap=True)


@contextmanager
def _bars(planned: Plan) -> Iterator[Told]:
    """A bar for the whole, and one for each object under way; silent where that is no terminal."""
    console = err()
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    whole = bars.add_task("all", total=sum(found.size for found in planned.fetch))
    keys = {found.key.path: found.key for found in planned.fetch}
    shown: dict[str, TaskID] = {}
    lengths = dict.fromkeys(keys, 0)
    done = 0

    def told(path: str, length: int, size: int) -> None:
        nonlocal done
        if path not in lengths:
            return
        done += length - lengths[path]
        lengths[path] = length
        bars.update(whole, completed=done)
        if length >= size:
            task: Any = shown.pop(path, None)
            if task is not None:
                bars.remove_task(task)
            return
        if path not in shown:
            key = keys[path]
            shown[path] = bars.add_task(f"{key.table} {key.symbol} {key.dt}", total=size)
        bars.update(shown[path], completed=length)

    with bars:
        yield told
