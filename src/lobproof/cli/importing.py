"""``lobproof import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from lobproof import documents
from lobproof.cli.console import Json, Switch, err, out, print_json, progress, show_next
from lobproof.cli.inspect import golden_summary, show_golden
from lobproof.cli.places import recordings
from lobproof.errors import InputError
from lobproof.sources.recordings.importer import import_recordings


def import_(
    files: list[Path],
    /,
    *,
    out_: Annotated[Path, Parameter(name="--out")],
    exchange: Literal["BINANCE", "BINANCE_FUTURES", "BINANCE_DELIVERY"] | None = None,
    symbol: str | None = None,
    provenance: Literal["real", "derived", "synthetic"] | None = None,
    exchange_info: Path | None = None,
    snapshot_limit: int | None = None,
    snapshots_are_ours: Switch = False,
    strict: Switch = False,
    overwrite: Switch = False,
    json_: Json = False,
) -> int:
    """Turn line-stamped collector recordings into a golden sample.

    Each line of a recording is `<receive time> <JSON>`, plain or compressed by gzip, zstd, xz,
    bzip2 or zip; the time is in s, ms, µs or ns since 1970 or an ISO time. Files may come in any
    order. The messages are kept byte for byte, in journals that `zstdcat` can read.

    Parameters
    ----------
    files
        Recordings of one symbol; or journals of a golden sample that is damaged and has no other
        copy: what is whole of them is kept, and what is not is told.
    out_
        Folder of the golden sample to make.
    exchange
        By default told from the messages (spot or futures).
    symbol
        Keep this symbol (as the venue writes it) and count the rest; without it, one is allowed.
    provenance
        By default real, or synthetic where the file's first line, or a `simulation.json` beside
        it, says so.
    exchange_info
        The venue's exchangeInfo document: gives tick and lot, which are inferred without it.
    snapshot_limit
        Levels a side that the recorder asked for in its snapshots (`limit=` of the request). Only
        with it does a side that lists fewer count as whole; without it the book is known to the
        last level listed.
    snapshots_are_ours
        In a recording of several symbols, take the snapshots that name none as this symbol's.
    strict
        Turn every gap and unreadable line into an error.
    overwrite
        Replace another golden sample in the folder.
    json_
        Print the summary as JSON.
    """
    recordings(files)
    info = None
    if exchange_info is not None:
        try:
            info = documents.parse(documents.read_bytes(exchange_info))
        except ValueError as error:
            raise InputError(
                f"{exchange_info} is no JSON document: {error}",
                hint="save the answer of GET /api/v3/exchangeInfo as it is",
            ) from error
    with progress("importing") as (bar, task):

        def advance(name: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, detail=name)

        sample = import_recordings(
            files,
            out_,
            exchange=exchange,
            symbol=symbol,
            provenance=provenance,
            exchange_info=info,
            snapshot_limit=snapshot_limit,
            snapshots_are_ours=snapshots_are_ours,
            strict=strict,
            overwrite=overwrite,
            progress=advance,
        )
    if json_:
        print_json(golden_summary(sample))
        return 0
    if sample.reused:
        err().print("The folder holds this sample already: nothing to do.", style="dim")
    show_golden(out(), sample)
    show_next("reconstruct", out_, "--out", "STORE")
    return 0
