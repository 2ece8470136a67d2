"""``lobproof doctor``: the vendor's reported facts, held against one day of its data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lobproof.acquire.facts import Fact, Holds, check_day
from lobproof.acquire.lake import LakeFile, lake
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.zones import MARK, LakeFolder, Zone
from lobproof.cli.console import (
    Json,
    Switch,
    err,
    out,
    print_json,
    progress,
)
from lobproof.cli.places import Kind, expect
from lobproof.cli.times import day_after
from lobproof.errors import InputError, UsageError
from lobproof.parquet import read_footer
from lobproof.progress import Progress as Told
from lobproof.schema.provenance import least_real, made_of
from lobproof.sources.binance.venue import order_of
from lobproof.sources.cryptolake.lag import Lag, measure_lag
from lobproof.sources.cryptolake.layout import TABLES, LakeKey

_FAILED, _UNDECIDED = 1, 2
_MARKS = {
    Holds.HOLDS: Text("✓ holds", "green"),
    Holds.FAILS: Text("✗ fails", "red"),
    Holds.UNDECIDED: Text("? undecided", "yellow"),
}
_PREFERRED = (Zone.READY, Zone.VALIDATED, Zone.RAW, Zone.QUARANTINE)
_SHOWN_DAYS = 8
_FEW_FIGURES = 6
"""Of more than these the screen leaves out zeros."""


@dataclass(frozen=True, slots=True)
class _Day:
    """One symbol-day and its files by table."""

    folder: Path
    exchange: str
    symbol: str
    dt: str
    files: dict[str, list[Path]]


def doctor(
    folder: Path | None = None,
    /,
    *,
    sample: Switch = False,
    exchange: str | None = None,
    symbol: str | None = None,
    date: str | None = None,
    endpoint: str | None = None,
    out_: Annotated[Path | None, Parameter(name="--out")] = None,
    json_: Json = False,
) -> int:
    """Check what the vendor's data is said to be like on the three tables of one symbol-day.

    Each fact that was reported or inferred, and that a day can decide, is one check with its
    figures. Exit code 0 when all hold, 1 when one fails, 2 when one is undecided.

    Parameters
    ----------
    folder
        A folder that `lobproof acquire download` made, or one in Crypto Lake's layout.
    sample
        Download the smallest whole day of the vendor's free bucket, and check that.
    exchange
        As in the vendor's paths (BINANCE); needed where the day has several.
    symbol
        As in the vendor's paths (BTC-USDT); needed where there are several.
    date
        The day, YYYY-MM-DD; needed where there are several.
    endpoint
        With --sample: address of another S3-compatible store; by default AWS_ENDPOINT_URL, or AWS.
    out_
        With --sample: folder to keep the day in; by default it is deleted afterwards.
    json_
        Print the facts as JSON.
    """
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
        return _check(_chosen(folder, exchange, symbol, date), json_)
    with _kept(out_) as target:
        keys = _fetch_sample(target, endpoint, exchange, symbol, date)
        exchange, symbol, date = keys[0].day
        return _check(_chosen(target, exchange, symbol, date), json_)


def _check(day: _Day, json_: bool) -> int:
    with progress("checking") as (bar, task):
        facts = check_day(
            day.files, day.dt, progress=lambda text: bar.update(task, description=text)
        )
        bar.update(task, description="measuring the lag of the book's clock")
        lag = _lag(day)
    provenance = _provenance(day)
    verdict = _verdict(facts)
    if json_:
        print_json(
            {
                "folder": str(day.folder),
                "exchange": day.exchange,
                "symbol": day.symbol,
                "date": day.dt,
                "provenance": provenance,
                "verdict": verdict,
                "facts": [fact.to_dict() for fact in facts],
                "lag": None if lag is None else asdict(lag),
            }
        )
    else:
        _show(out(), day, provenance, facts)
        if lag is not None:
            out().print(str(lag), soft_wrap=True)
    return {Holds.HOLDS: 0, Holds.FAILS: _FAILED, Holds.UNDECIDED: _UNDECIDED}[verdict]


def _lag(day: _Day) -> Lag | None:
    """What `reconstruct` will find of the clocks; None where the venue's book has one time only."""
    if order_of(day.exchange).book_clock == "E" or not all(day.files[table] for table in TABLES):
        return None
    try:
        return measure_lag(day.files)
    except InputError:
        return None  # the first fact has said so


def _verdict(facts: Sequence[Fact]) -> Holds:
    found = {fact.holds for fact in facts}
    order = (Holds.FAILS, Holds.UNDECIDED)
    return next((holds for holds in order if holds in found), Holds.HOLDS)


def _chosen(folder: Path, exchange: str | None, symbol: str | None, date: str | None) -> _Day:
    """The one symbol-day that is meant."""
    end = None if date is None else day_after(date)
    source = lake(folder)
    files = source.files(exchange=exchange, symbol=symbol, start=date, end=end)
    days = sorted({file.key.day for file in files})
    if len(days) == 1:
        return _Day(folder, *days[0], _by_table(files))
    shown = ", ".join(" ".join(day) for day in days[:_SHOWN_DAYS])
    if days:
        more = " …" if len(days) > _SHOWN_DAYS else ""
        raise UsageError(
            f"{folder} has {len(days)} such symbol-days: {shown}{more}",
            hint="choose one with --symbol, --date and --exchange",
        )
    there = sorted({file.key.day for file in source.files()})
    raise UsageError(
        f"{folder} has no such symbol-day",
        hint=f"it has {' '.join(there[0])} and {len(there) - 1} more"
        if there
        else "it holds no file of Crypto Lake's tables",
    )


def _by_table(files: Sequence[LakeFile]) -> dict[str, list[Path]]:
    """Files by table; one that lies in two zones counts in that which was judged further."""
    best: dict[LakeKey, LakeFile] = {}
    for file in files:
        known = best.get(file.key)
        if known is None or _rank(file) < _rank(known):
            best[file.key] = file
    found: dict[str, list[Path]] = {table: [] for table in TABLES}
    for key in sorted(best):
        if key.table in found:
            found[key.table].append(best[key].path)
    return found


def _rank(file: LakeFile) -> int:
    return 0 if file.zone is None else _PREFERRED.index(file.zone)


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


def _provenance(day: _Day) -> str:
    """What the files say that they are; of those that say nothing, what the manifest says."""
    known = "unknown"
    if (day.folder / MARK).is_file():
        entries = Manifest(LakeFolder(day.folder)).entries()
        mine = [e for key, e in entries.items() if key.day == (day.exchange, day.symbol, day.dt)]
        known = least_real(*(str(entry.fetched["provenance"]) for entry in mine))
    found = []
    for paths in day.files.values():
        for path in paths:
            try:
                metadata = read_footer(path).metadata or {}
            except (pa.ArrowException, OSError, InputError):
                continue  # the first fact has said so
            found.append(metadata.get(b"provenance", b"").decode("utf-8", "replace") or known)
    return least_real(*found)


def _show(console: Console, day: _Day, provenance: str, facts: Sequence[Fact]) -> None:
    names = " ".join((day.exchange, day.symbol, day.dt))
    console.print(Text.assemble((names, "bold"), f" ({made_of(provenance)})"))
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for fact in facts:
        few = len(fact.figures) <= _FEW_FIGURES
        figures = ", ".join(
            f"{name} {_text(value)}" for name, value in fact.figures.items() if few or value
        )
        table.add_row(
            _MARKS[fact.holds],
            Text.assemble(
                (fact.name, "bold"),
                f": {fact.claim}\n",
                (f"{fact.rows:,} rows; {figures}", "dim"),
            ),
        )
    console.print(table)
    counts = {holds: sum(fact.holds is holds for fact in facts) for holds in Holds}
    console.print(
        f"{counts[Holds.HOLDS]} hold, {counts[Holds.FAILS]} fail, "
        f"{counts[Holds.UNDECIDED]} undecided"
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
