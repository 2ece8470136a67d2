"""``lobproof doctor``: one day of the vendor's data assessed, and its reported facts held to it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lobproof.acquire.zones import LakeFolder
from lobproof.assess.day import assess_lake
from lobproof.assess.thresholds import Thresholds
from lobproof.cli.assess import CODES, Limits, show, telling
from lobproof.cli.console import Json, Switch, err, out, print_json, progress, show_next
from lobproof.cli.places import Kind, expect
from lobproof.cli.times import day_after
from lobproof.errors import InputError, UsageError
from lobproof.pipeline.lake import LakeDay, lake_days
from lobproof.progress import Progress as Told
from lobproof.sources.cryptolake.layout import TABLES, LakeKey

_SHOWN_DAYS = 8


def doctor(
    folder: Path | None = None,
    /,
    *,
    sample: Switch = False,
    exchange: str | None = None,
    symbol: str | None = None,
    date: str | None = None,
    endpoint: str | None = None,
    limit: Limits = (),
    out_: Annotated[Path | None, Parameter(name="--out")] = None,
    json_: Json = False,
) -> int:
    """Assess one symbol-day of the vendor's data: a verdict, and the reported facts that fail.

    Each fact that was reported or inferred, and that a day can decide, is one check. `lobproof
    assess` shows the same day at length. Exit code 0: GO; 1: NO-GO; 2: undecided.

    Parameters
    ----------
    folder
        A folder that `lobproof acquire download` made, or one in Crypto Lake's layout.
    sample
        Download the smallest whole day of the vendor's free bucket, and assess that.
    exchange
        As in the vendor's paths (BINANCE); needed where the day has several.
    symbol
        As in the vendor's paths (BTC-USDT); needed where there are several.
    date
        The day, YYYY-MM-DD; needed where there are several.
    endpoint
        With --sample: address of another S3-compatible store; by default AWS_ENDPOINT_URL, or AWS.
    limit
        Another limit for a GO, as NAME=VALUE; see `lobproof assess --help`.
    out_
        With --sample: folder to keep the day in; by default it is deleted afterwards.
    json_
        Print everything as JSON.
    """
    limits = Thresholds.of(limit, machine=False)
    if sample == (folder is not None):
        raise UsageError(
            "doctor needs a folder or --sample, and not both",
            hint="`lobproof doctor --sample` downloads one small free day",
        )
    if folder is not None and (endpoint is not None or out_ is not None):
        raise UsageError(
            "--endpoint and --out go with --sample only",
            hint="leave them out: nothing is downloaded when a folder is given",
        )
    if folder is not None:
        expect(folder, Kind.LAKE)
        return _check(_chosen(folder, exchange, symbol, date), folder, limits, json_)
    with _kept(out_) as target:
        keys = _fetch_sample(target, endpoint, exchange, symbol, date)
        return _check(_chosen(target, *keys[0].day), out_, limits, json_)


def _check(day: LakeDay, kept: Path | None, limits: Thresholds, json_: bool) -> int:
    with telling() as tell:
        found = assess_lake(day, limits=limits, progress=tell)
    if json_:
        print_json(found.to_dict())
    else:
        show(out(), found, short=True)
        if kept is not None:
            show_next("assess", kept, "--out", "REPORT")
    return CODES[found.judged.verdict]


def _chosen(folder: Path, exchange: str | None, symbol: str | None, date: str | None) -> LakeDay:
    """The one symbol-day that is meant."""
    days = lake_days(
        folder,
        symbols=[] if symbol is None else [symbol],
        exchange=exchange,
        start=date,
        end=None if date is None else day_after(date),
        zone=None,
    )
    if len(days) == 1:
        return days[0]
    shown = ", ".join(map(str, days[:_SHOWN_DAYS]))
    more = " …" if len(days) > _SHOWN_DAYS else ""
    raise UsageError(
        f"{folder} has {len(days)} such symbol-days: {shown}{more}",
        hint="choose one with --symbol, --date and --exchange; `lobproof assess` takes them all",
    )


@contextmanager
def _kept(target: Path | None) -> Iterator[Path]:
    """The folder to download to: the user's, or one that is deleted."""
    if target is not None:
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="lobproof-doctor-") as name:
        yield Path(name)


def _fetch_sample(
    target: Path,
    endpoint: str | None,
    exchange: str | None,
    symbol: str | None,
    date: str | None,
) -> list[LakeKey]:
    """Download the smallest symbol-day that has all tables; its keys."""
    from lobproof.acquire.transfer import download
    from lobproof.cli.acquire.options import Place
    from lobproof.sources.cryptolake.bucket.catalogue import RemoteObject, catalogue

    connection = Place(sample=True, endpoint=endpoint).connect()
    with progress("looking for a small day"):
        there = catalogue(
            connection,
            tables=TABLES,
            exchange=exchange,
            symbols=None if symbol is None else [symbol],
            start=date,
            end=None if date is None else day_after(date),
        )
    days: dict[tuple[str, str, str], list[RemoteObject]] = {}
    for found in there.objects:
        days.setdefault(found.key.day, []).append(found)
    whole = [
        (sum(found.size for found in objects), day)
        for day, objects in days.items()
        if {found.key.table for found in objects} == set(TABLES)
    ]
    if not whole:
        raise UsageError(
            f"{connection.place} has no such day with all of {', '.join(TABLES)}",
            hint=f"it has {len(days)} such symbol-days with some of them; "
            "`lobproof acquire list-inventory --sample` shows them",
        )
    size, day = min(whole)
    err().print(
        f"Downloading {' '.join(day)} ({size / 1e6:,.1f} MB) of {connection.place} ...",
        style="dim",
    )
    with progress("downloading") as (bar, task):
        result = download(
            connection,
            LakeFolder(target, create=True),
            days[day],
            progress=_told(lambda done: bar.update(task, completed=done, total=size)),
        )
    for failure in result.failed:
        raise InputError(f"{failure.key}: {failure.reason}", hint=failure.hint)
    return [found.key for found in days[day]]


def _told(show: Callable[[int], None]) -> Told:
    """Adds up what is there of each object."""
    lengths: dict[str, int] = {}

    def told(key: str, length: int, _: int) -> None:
        lengths[key] = length
        show(sum(lengths.values()))

    return told
