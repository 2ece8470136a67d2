"""``lobproof acquire validate``."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from lobproof.acquire.certificate_status import broken_since, holding
from lobproof.acquire.checks.reasons import DOUBTFUL, GOOD, NOTE, REFUSED
from lobproof.acquire.front import files_of
from lobproof.acquire.judging import LOST, Judged, ValidationResult
from lobproof.acquire.judging import validate as judge
from lobproof.acquire.zones import LakeFolder
from lobproof.cli.acquire.folder import (
    EVERYTHING,
    Held,
    provenance_of,
    show_broken_certificates,
    show_remedies,
)
from lobproof.cli.console import Json, Switch, out, print_json, progress, show_next
from lobproof.errors import UsageError
from lobproof.instruments import Instrument
from lobproof.schema.provenance import made_of
from lobproof.sources.cryptolake.request import Request

_STYLES = {GOOD: "green", DOUBTFUL: "yellow", REFUSED: "bold red", LOST: "bold red"}
_DECIMALS = 8


def validate(
    folder: Path,
    /,
    *,
    held: Held = EVERYTHING,
    tick: str | None = None,
    lot: str | None = None,
    again: Switch = False,
    json_: Json = False,
) -> int:
    """Judge downloaded files: bytes, columns, values, times, order, completeness.

    Nothing in a file is changed. One that cannot be relied on goes to `quarantine`, its reasons
    beside it; any other to `validated`, with an audit that says what stands against a certificate.
    Exit code 0 none was refused, 1 some were, or are lost.

    Examples
    --------
    ``lobproof acquire validate LAKE``

    ``lobproof acquire validate LAKE --symbols BTC-USDT --start 2024-04-01 --end 2024-05-01``

    Parameters
    ----------
    folder
        A folder that `lobproof acquire download` made.
    held
        What to judge.
    tick
        Price step of the one symbol, such as 0.01; by default inferred from each file. Needs
        `--exchange` and `--lot`.
    lot
        Size step of the one symbol.
    again
        Read files again that were judged before, those in quarantine too. Certified ones leave
        `ready`: their certificates, which are named, hold no longer.
    json_
        Print one JSON document.
    """
    request = held.request()
    lake = LakeFolder(folder)
    keys = files_of(lake, request)
    instrument = _instrument(request, tick, lot)
    with progress("validating") as (bar, task):

        def told(name: str, done: int, total: int) -> None:
            bar.update(task, detail=name, completed=done, total=total)

        before = holding(lake)
        result = judge(lake, keys, instrument=instrument, again=again, progress=told)
    broken = broken_since(lake, before)
    provenance = provenance_of(lake, keys)
    if json_:
        told_broken = [status.to_dict() for status in broken]
        told_of = {"folder": str(folder), "provenance": provenance}
        print_json({**told_of, **result.to_dict(), "certificates_broken": told_broken})
    else:
        _show(result, provenance)
        show_broken_certificates(broken)
        reasons = [reason for judged in result.files for reason in _against(judged)]
        show_remedies(reasons)
        if not reasons:
            show_next("acquire", "certify", folder)
    return 1 if result.failed else 0


def _instrument(request: Request, tick: str | None, lot: str | None) -> Instrument | None:
    if tick is None and lot is None:
        return None
    if tick is None or lot is None or request.exchange is None or len(request.symbols) != 1:
        raise UsageError(
            "a tick and a lot belong to one symbol",
            hint="give --tick, --lot, --exchange and one name for --symbols",
        )
    symbol = request.symbols[0]
    return Instrument.given(
        request.exchange,
        symbol,
        symbol.replace("-", ""),
        [(0, tick, lot)],
        price_exponent=_DECIMALS,
        size_exponent=_DECIMALS,
    )


def _show(result: ValidationResult, provenance: str) -> None:
    console = out()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("verdict", "file", "rows"):
        table.add_column(name, justify="right" if name == "rows" else "left", no_wrap=True)
    table.add_column("reasons")
    for judged in result.files:
        table.add_row(
            Text(judged.verdict, _STYLES[judged.verdict]),
            f"{judged.key.table} {judged.key.symbol} {judged.key.dt}",
            f"{judged.rows:,}",
            _reasons(judged),
        )
    console.print(table)
    counts = ", ".join(
        f"{result.count(verdict):,} {verdict}"
        for verdict in (GOOD, DOUBTFUL, REFUSED, LOST)
        if result.count(verdict)
    )
    before = sum(not judged.anew for judged in result.files if judged.verdict != LOST)
    console.print(
        f"{counts}{f' ({before:,} judged before)' if before else ''}; {made_of(provenance)}"
    )


def _against(judged: Judged) -> list[str]:
    """What stands against a certificate."""
    if judged.verdict == LOST:
        return [LOST]
    return [name for name, reason in judged.reasons.items() if reason["severity"] != NOTE]


def _reasons(judged: Judged) -> Text:
    """Reasons by gravity; notes dimmed."""
    text = Text()
    order = sorted(judged.reasons.items(), key=lambda item: item[1]["severity"] == NOTE)
    for name, reason in order:
        style = "dim" if reason["severity"] == NOTE else _STYLES[judged.verdict]
        text.append(f"{', ' if text else ''}{name} {reason['count']:,}", style)
    return text
