"""``lobproof acquire list-inventory``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lobproof.cli import say_error
from lobproof.cli.acquire.options import ANYTHING, ANYWHERE, Place, Wanted, gigabytes, show_notes
from lobproof.cli.console import Json, out, print_json, progress
from lobproof.sources.cryptolake.bucket.catalogue import RemoteObject


@dataclass(frozen=True, slots=True)
class _Line:
    """A symbol's days in one table; ``bytes`` over all of them."""

    table: str
    exchange: str
    symbol: str
    days: int
    first: str
    last: str
    bytes: int


def list_inventory(
    *,
    place: Place = ANYWHERE,
    wanted: Wanted = ANYTHING,
    json_: Json = False,
) -> int:
    """Show what the bucket has, per table, exchange and symbol: days, first and last, bytes.

    Exit code 0, 1 when the bucket was asked and has nothing of the request, 2 when it has nothing
    of one of the symbols, or keys that cannot be taken.

    Parameters
    ----------
    place
        Where to ask.
    wanted
        What to ask for.
    json_
        Print one JSON document.
    """
    wanted.request()  # wrong ones before any request
    connection = place.connect()
    with progress(f"asking {connection.place}"):
        found = wanted.ask(connection)
    lines = _lines(found.objects)
    code = 1 if not lines else 2 if found.unknown_symbols or found.skipped_keys else 0
    if json_:
        print_json(
            {
                "place": connection.place,
                "source": found.source,
                "notes": list(found.notes),
                "objects": len(found.objects),
                "bytes": found.size,
                "skipped_keys": found.skipped_keys,
                "inventory": [asdict(line) for line in lines],
            }
        )
        return code
    show_notes(found.notes)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("table", "exchange", "symbol"):
        table.add_column(name, no_wrap=True)
    for name in ("days", "first", "last", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            line.table,
            line.exchange,
            Text(line.symbol),
            f"{line.days:,}",
            line.first,
            line.last,
            gigabytes(line.bytes),
        )
    console = out()
    if lines:
        console.print(table)
    console.print(
        f"{len(found.objects):,} objects, {gigabytes(found.size)}, in {connection.place}",
    )
    if not lines:
        say_error(
            f"{connection.place} has nothing of what is asked for",
            "without --tables, --exchange, --symbols, --start and --end everything is shown",
        )
    return code


def _lines(objects: Iterable[RemoteObject]) -> list[_Line]:
    groups: dict[tuple[str, str, str], list[RemoteObject]] = {}
    for found in objects:
        key = found.key
        groups.setdefault((key.table, key.exchange, key.symbol), []).append(found)
    return [
        _Line(
            *names,
            len({found.key.dt for found in group}),
            min(found.key.dt for found in group),
            max(found.key.dt for found in group),
            sum(found.size for found in group),
        )
        for names, group in sorted(groups.items())
    ]
