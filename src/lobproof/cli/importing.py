"""``lobproof import``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from lobproof import documents
from lobproof.cli.console import Json, Switch, err, out, print_json, progress, show_next
from lobproof.cli.inspect import golden_summary, show_golden
from lobproof.cli.places import recordings
from lobproof.errors import GridError, InputError
from lobproof.sources.age import identities_of
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings.importer import import_recordings
from lobproof.sources.recordings.intake import SeveralSymbolsError
from lobproof.sources.recordings.reader import few, symbols_in


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
    time_field: str | None = None,
    identity: Annotated[Sequence[Path], Parameter(negative=(), show_default=False)] = (),
    strict: Switch = False,
    overwrite: Switch = False,
    json_: Json = False,
) -> int:
    """Turn recordings of Binance's streams into a golden sample.

    Each line of a recording is `<receive time> <JSON>`, or JSON with the time in a field, plain or
    compressed by gzip, zstd, xz, bzip2 or zip; the time is in s, ms, µs or ns since 1970 or an ISO
    time. JSON arrays, dumps of cryptofeed and tardis.dev and more are read too; what each
    file is taken for is shown first. Files may come in any order.
    The messages are kept byte for byte, in journals that `zstdcat` can read.

    Binance's downloads (trades, aggTrades, bookTicker, T_DEPTH, as CSV or zip) become messages too,
    those of one symbol together: such a sample is `derived`, and has no receive times.

    Parameters
    ----------
    files
        Recordings; or a symbol's folder of a capture; or journals of a golden sample that is
        damaged and has no other copy: what is whole of them is kept, and what is not is told.
    out_
        Folder of the golden sample to make.
    exchange
        By default told from the messages (spot or futures).
    symbol
        Keep this symbol (as the venue writes it) and count the rest; without it, each of several
        becomes a golden sample in a folder of its name below `--out`.
    provenance
        By default real, or synthetic where the file's first line, or a `simulation.json` beside
        it, says so, or derived where it is a download of Binance's.
    exchange_info
        The venue's exchangeInfo document: gives tick and lot, which are inferred without it.
    snapshot_limit
        Levels a side that the recorder asked for in its snapshots (`limit=` of the request). Only
        with it does a side that lists fewer count as whole; without it the book is known to the
        last level listed.
    snapshots_are_ours
        In a recording of several symbols, take the snapshots that name none as this symbol's.
    time_field
        The field that holds the receive time, where the lines are JSON; guessed without it.
    identity
        File of an age identity, to decrypt an encrypted capture with; may be given several times.
        The golden sample that is made of it is not encrypted.
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
    options = partial(
        import_recordings,
        files,
        exchange=exchange,
        provenance=provenance,
        exchange_info=info,
        snapshot_limit=snapshot_limit,
        snapshots_are_ours=snapshots_are_ours,
        time_field=time_field,
        identities=list(identity),
        strict=strict,
        overwrite=overwrite,
    )
    try:
        made = [_import(options, out_, symbol)]
    except SeveralSymbolsError:
        made = _import_each(options, out_, files, time_field, identity)
    if json_:
        summaries = [golden_summary(sample) for sample in made]
        print_json(summaries[0] if len(summaries) == 1 else {"samples": summaries})
        return 0
    for sample in made:
        if sample.reused:
            text = f"{sample.path} holds this sample already: nothing to do."
            err().print(text, style="dim", markup=False)
        show_golden(out(), sample)
        show_next("reconstruct", sample.path, "--out", "STORE")
    return 0


def _import(
    options: Callable[..., GoldenSample], folder: Path, symbol: str | None, *, told: bool = True
) -> GoldenSample:
    """One golden sample, with a bar; ``told``: say first what the files are taken for."""
    with progress(f"importing {symbol}" if symbol else "importing") as (bar, task):

        def advance(name: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, detail=name)

        def tell(text: str) -> None:
            err().print(text, style="dim", markup=False, soft_wrap=True)

        return options(folder, symbol=symbol, progress=advance, tell=tell if told else None)


def _import_each(
    options: Callable[..., GoldenSample],
    out_: Path,
    files: list[Path],
    time_field: str | None,
    identity: Sequence[Path],
) -> list[GoldenSample]:
    """A golden sample of each symbol, in a folder of its name; those that can be made."""
    keys = identities_of(identity)
    found = [name for file in files for name in symbols_in(file, time_field, keys)]
    symbols = list(dict.fromkeys(found))
    err().print(f"several symbols: {few(symbols)}; one golden sample of each", style="dim")
    made: list[GoldenSample] = []
    failed: list[str] = []
    for symbol in symbols:
        try:
            made.append(_import(options, out_ / symbol, symbol, told=False))
        except (InputError, GridError) as error:
            failed.append(f"{symbol}: {error.message}")
    if failed:
        raise InputError(
            f"{len(failed)} of {len(symbols)} symbols could not be imported: {'; '.join(failed)}",
            hint=f"the others are in {out_}; --symbol takes one alone",
        )
    return made
