"""``lobproof certify``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from lobproof.acquire.certificate import DEMO, REAL
from lobproof.cli.console import Json, err, out, print_json, progress
from lobproof.cli.places import Kind, StorePath, expect
from lobproof.errors import UsageError
from lobproof.files import check_place, write_whole
from lobproof.paths import placing
from lobproof.pipeline.certificate import (
    REMEDIES,
    DatasetCertificate,
    certify_dataset,
    check_certificate,
    read_dataset_certificate,
)
from lobproof.schema.provenance import made_of
from lobproof.store import open_store

_STYLES = {REAL: "bold green", DEMO: "bold cyan"}
_SHOWN = 40


def certify(
    store: StorePath,
    /,
    *,
    symbol: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    start: str | None = None,
    end: str | None = None,
    lake: Path | None = None,
    out_: Annotated[Path | None, Parameter(name="--out")] = None,
    check: Path | None = None,
    json_: Json = False,
) -> int:
    """Issue the certificate of a dataset for training, or hold one against its store.

    Every day has to be sealed, as it was sealed to the last byte, and exact against golden samples
    by a report of `lobproof fidelity` of its present content; distributions may be inconclusive,
    and the certificate then says so. DEMO stands for CERTIFIED where anything is not real. Exit
    code 0 issued or holds, 1 refused or does not hold.

    Parameters
    ----------
    store
        A store, as `lobproof reconstruct` makes it: its folder, or s3://BUCKET/PREFIX.
    symbol
        A symbol; may be given more than once; by default all of the store.
    start
        First day, YYYY-MM-DD. With --start and --end no day between may be missing.
    end
        The first day that is not wanted any more.
    lake
        The folder of `lobproof acquire download` that the store was made of: which of its
        certificates cover the inputs.
    out_
        Also write the document here, a refused one too.
    check
        Hold this certificate against the store instead, and name every difference.
    json_
        Print the document, or what was found, as JSON.
    """
    expect(store, Kind.STORE)
    if check is not None and (symbol or start or end or lake or out_):
        raise UsageError(
            "--check holds a certificate against the store as it is: it says itself what it covers",
            hint="leave out --symbol, --start, --end, --lake and --out",
        )
    if out_ is not None:
        check_place(out_)
        if not out_.absolute().parent.is_dir():
            raise UsageError(
                f"the folder of {out_} does not exist", hint="make it, or choose another place"
            )
    opened = open_store(store)
    with progress("certifying") as (bar, task):

        def told(name: str, done: int, total: int) -> None:
            bar.update(task, detail=name, completed=done, total=total)

        if check is not None:
            found = [one.to_dict() for one in check_certificate(check, opened, progress=told)]
        else:
            certificate = certify_dataset(
                opened, symbols=symbol, start=start, end=end, lake=lake, progress=told
            )
    if check is not None:
        return _show_check(check, found, as_json=json_)
    if out_ is not None:
        text = json.dumps(certificate.document, indent=1, ensure_ascii=False)
        with placing(out_):
            write_whole(out_, f"{text}\n".encode())
    if json_:
        print_json(certificate.document)
    else:
        _show(certificate)
    if out_ is not None:
        err().print(f"Wrote {out_}", style="dim", soft_wrap=True)
    return 0 if certificate.verdict in (REAL, DEMO) else 1


def _show(certificate: DatasetCertificate) -> None:
    document, console = certificate.document, out()
    style = _STYLES.get(certificate.verdict, "bold red")
    console.print(
        Text.assemble(
            (certificate.verdict, f"{style} reverse"),
            f"  {len(document['days']):,} symbol-day(s) ({made_of(document['provenance'])})  "
            f"{document['id'][:12]}",
        )
    )
    if not certificate.refusals:
        console.print(document["says"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("symbol", "day", "content", "untrusted", "gaps", "inputs", "fidelity"):
        right = name in ("untrusted", "gaps")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for day in document["days"]:
        table.add_row(*_row(day))
    console.print(table)
    _list(certificate.refusals)


def _row(day: dict[str, Any]) -> list[str]:
    share = day["quality"]["untrusted_share"]
    return [
        day["symbol"],
        day["dt"],
        day["content_hash"][:12],
        "–" if share is None else f"{share:.3%}",
        f"{day['quality']['gaps']:,}",
        "certified" if day["inputs"]["certified"] else "–",
        day["fidelity"]["says"],
    ]


def _show_check(path: Path, found: list[dict[str, str]], *, as_json: bool) -> int:
    document = read_dataset_certificate(path)
    if as_json:
        said = {"certificate": str(path), "verdict": document["verdict"]}
        print_json({**said, "holds": not found, "found": found})
    else:
        word, style = ("DOES NOT HOLD", "bold red") if found else ("HOLDS", "bold green")
        line = Text.assemble((word, f"{style} reverse"), f"  {path}: {document['says']}")
        out().print(line, soft_wrap=True)
        _list(found)
    return 1 if found else 0


def _list(refusals: Sequence[dict[str, str]]) -> None:
    console = out()
    for refusal in refusals[:_SHOWN]:
        where = f"{refusal['key']}: " if refusal["key"] else ""
        line = Text(f"{refusal['reason']}: {where}{refusal['detail']}", "red")
        console.print(line, soft_wrap=True)
    if len(refusals) > _SHOWN:
        console.print(f"… and {len(refusals) - _SHOWN:,} more; --json lists all")
    for reason in dict.fromkeys(refusal["reason"] for refusal in refusals):
        if reason in REMEDIES:
            err().print(f"{reason}: {REMEDIES[reason]}", style="dim", soft_wrap=True)
