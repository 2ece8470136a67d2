"""``lobproof acquire certify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from lobproof.acquire.certificate import (
    DEMO,
    REAL,
    Certificate,
    Refusal,
    verify_certificate,
)
from lobproof.acquire.certificate import certify as issue
from lobproof.acquire.certificate_status import read_certificate
from lobproof.acquire.zones import FILE_MODE, LakeFolder
from lobproof.cli.acquire.folder import EVERYTHING, Held, show_remedies
from lobproof.cli.console import Json, Switch, err, out, print_json, progress, show_next
from lobproof.errors import UsageError
from lobproof.files import check_place, write_whole
from lobproof.schema.provenance import least_real, made_of

_STYLES = {REAL: "bold green", DEMO: "bold cyan"}
_SHOWN = 40


def certify(
    folder: Path | None = None,
    /,
    *,
    held: Held = EVERYTHING,
    allow_synthetic: Switch = False,
    out_: Annotated[Path | None, Parameter(name="--out")] = None,
    verify: Path | None = None,
    quick: Switch = False,
    json_: Json = False,
) -> int:
    """Issue the certificate of validated days, or re-check one from the files alone.

    Every file is hashed anew; every table must be there on every day of the request. Where
    anything stands against the certificate, all reasons are named, and nothing moves. With it,
    the files move to `ready`. Exit code 0 issued or holds, 1 refused or does not hold.

    Parameters
    ----------
    folder
        A folder that `lobproof acquire download` made.
    held
        What to cover.
    allow_synthetic
        Issue a document that says DEMO for data that is not real.
    out_
        Also write the document here, a refused one too.
    verify
        Re-check this certificate instead.
    quick
        With `--verify`: hashes of files and audits only, the files are not judged anew.
    json_
        Print the document, or what was found, as JSON.
    """
    if quick and verify is None:
        raise UsageError("--quick belongs to --verify", hint="name a certificate by --verify")
    if verify is not None and (held != EVERYTHING or allow_synthetic or out_ is not None):
        raise UsageError(
            "--verify re-checks a certificate as it is: it says itself what it covers",
            hint="leave out what to cover, --allow-synthetic and --out",
        )
    with progress("certifying") as (bar, task):

        def told(name: str, done: int, total: int) -> None:
            bar.update(task, detail=name, completed=done, total=total)

        if verify is not None:
            found = verify_certificate(verify, folder=folder, quick=quick, progress=told)
        elif folder is None:
            raise UsageError(
                "neither a folder nor a certificate is named",
                hint="`lobproof acquire certify FOLDER`, or `--verify CERTIFICATE`",
            )
        else:
            if out_ is not None:
                check_place(out_)
                if not out_.absolute().parent.is_dir():
                    raise UsageError(
                        f"the folder of {out_} does not exist",
                        hint="make it, or choose another place",
                    )
            certificate = issue(
                LakeFolder(folder), held.request(), allow_synthetic=allow_synthetic, progress=told
            )
    if verify is not None:
        return _show_check(verify, found, as_json=json_)
    if out_ is not None:
        text = json.dumps(certificate.document, indent=1, ensure_ascii=False)
        write_whole(out_, f"{text}\n".encode(), FILE_MODE)
    if json_:
        print_json(certificate.document)
    else:
        _show(certificate)
        if folder is not None and certificate.path is not None:
            show_next("reconstruct", folder, "--out", "STORE")
    return 0 if certificate.verdict in (REAL, DEMO) else 1


def _show(certificate: Certificate) -> None:
    document, console = certificate.document, out()
    verdict = certificate.verdict
    coverage = document["coverage"]
    days = sum(len(days) for days in coverage["days"].values())
    provenance = _provenance(document)
    console.print(
        Text.assemble(
            (verdict, f"{_STYLES.get(verdict, 'bold red')} reverse"),
            f"  {', '.join(coverage['days'])} ({made_of(provenance)})  {days} symbol-day(s)  "
            f"{document['id'][:12]}",
        )
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("table", "files", "rows", "size"):
        table.add_column(name, justify="left" if name == "table" else "right", no_wrap=True)
    for name, counts in coverage["tables"].items():
        size = f"{counts['bytes'] / 1e6:,.1f} MB"
        table.add_row(name, f"{counts['files']:,}", f"{counts['rows']:,}", size)
    console.print(table)
    _list(certificate.refusals)
    if certificate.path is not None:
        err().print(f"Wrote {certificate.path}", style="dim", soft_wrap=True)
    elif certificate.refusals:
        err().print("Nothing was written or moved.", style="dim")
    show_remedies(refusal["reason"] for refusal in certificate.refusals)


def _show_check(path: Path, found: list[Refusal], *, as_json: bool) -> int:
    document = read_certificate(path)
    provenance = _provenance(document)
    if as_json:
        said = {"certificate": str(path), "verdict": document["verdict"], "provenance": provenance}
        print_json({**said, "holds": not found, "found": _plain(found)})
    elif found:
        line = Text.assemble(("DOES NOT HOLD", "bold red reverse"), f"  {path}")
        out().print(line, soft_wrap=True)
        _list(_plain(found))
        show_remedies(refusal.reason for refusal in found)
    else:
        line = Text.assemble(("HOLDS", "bold green reverse"), f"  ({made_of(provenance)})  {path}")
        out().print(line, soft_wrap=True)
    return 1 if found else 0


def _provenance(document: dict[str, Any]) -> str:
    """The least real of a certificate's files."""
    return least_real(*(str(described["provenance"]) for described in document["objects"]))


def _list(refusals: list[dict[str, str]]) -> None:
    console = out()
    for refusal in refusals[:_SHOWN]:
        where = f"{refusal['key']}: " if refusal["key"] else ""
        line = Text(f"{refusal['reason']}: {where}{refusal['detail']}", "red")
        console.print(line, soft_wrap=True)
    if len(refusals) > _SHOWN:
        console.print(f"… and {len(refusals) - _SHOWN:,} more; --json lists all")


def _plain(found: list[Refusal]) -> list[dict[str, str]]:
    return [refusal.to_dict() for refusal in found]
