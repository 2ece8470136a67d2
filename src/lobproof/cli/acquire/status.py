"""``lobproof acquire status``."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lobproof.acquire.certificate_status import CertificateStatus, certificate_statuses
from lobproof.acquire.months import MARKS, Month, check_files
from lobproof.acquire.months import status as status_of
from lobproof.acquire.zones import LakeFolder
from lobproof.cli.acquire.folder import show_remedies
from lobproof.cli.console import Json, Switch, err, out, print_json, progress, show_next
from lobproof.schema.provenance import least_real, made_of

_STYLES = {
    "certified": "bold green",
    "demo": "cyan",
    "validated": "green",
    "doubtful": "yellow",
    "raw": "blue",
    "quarantined": "bold red",
    "lost": "bold red reverse",
    "missing": "red",
}


def status(folder: Path, /, *, check: Switch = False, json_: Json = False) -> int:
    """Show what is there, missing, partial, quarantined and certified, a mark for each day.

    Certificates that hold no longer are named, by the manifest alone; `certify --verify` reads the
    files. Exit code 1 when a file is lost or wrong, or the manifest lacks lines.

    Parameters
    ----------
    folder
        A folder that `lobproof acquire download` made.
    check
        Also hash every file and hold it against the manifest; files that a kill left in the wrong
        zone are put where the manifest says.
    json_
        Print one JSON document.
    """
    lake = LakeFolder(folder)
    wrong: list[str] = []
    if check:
        with progress("hashing") as (bar, task):
            wrong = check_files(
                lake, lambda done, total: bar.update(task, completed=done, total=total)
            )
    months = status_of(lake)
    certificates = certificate_statuses(lake)
    lost = any(month.count("lost") for month in months)
    if json_:
        document = {
            "folder": str(folder),
            "months": [month.to_dict() for month in months],
            "certificates": [certificate.to_dict() for certificate in certificates],
        }
        print_json({**document, "wrong": wrong} if check else document)
    else:
        _show(months, wrong)
        _show_broken(certificates)
        if lost and not check:
            hint = f"Hint: `lobproof acquire status {folder} --check` names the lost files"
            err().print(hint, style="dim", soft_wrap=True)
        show_remedies(["lost"] * lost)
        _show_next(folder, months)
    return 1 if wrong or lost or any(certificate.cut for certificate in certificates) else 0


def _show_next(folder: Path, months: list[Month]) -> None:
    """The step that the files are at which are least far."""
    if any(month.count("raw") for month in months):
        show_next("acquire", "validate", folder)
    elif any(month.count("validated") for month in months):
        show_next("acquire", "certify", folder)
    elif any(month.count("certified") or month.count("demo") for month in months):
        show_next("reconstruct", folder, "--out", "STORE")
    elif any(month.count("doubtful") for month in months):
        show_next("reconstruct", folder, "--zone", "validated", "--out", "STORE")
    elif not months:
        show_next("acquire", "download", "--out", folder)


def _show_broken(certificates: list[CertificateStatus]) -> None:
    """Certificates that hold no longer, and why."""
    for certificate in certificates:
        if certificate.holds:
            continue
        why = certificate.problem
        if certificate.broken:
            key, change = certificate.broken[0]
            more = (
                f", and {len(certificate.broken) - 1:,} more" if len(certificate.broken) > 1 else ""
            )
            why = f"{key}: {change}{more}"
        line = Text(f"certificate {certificate.name} no longer holds: {why}", "yellow")
        out().print(line, soft_wrap=True)
    if any(certificate.cut for certificate in certificates):
        hint = "Hint: restore the manifest from a backup; until then nothing is moved"
        err().print(hint, style="dim", soft_wrap=True)


def _show(months: list[Month], wrong: list[str]) -> None:
    console = out()
    if not months:
        console.print("nothing was downloaded yet")
    by_symbol: dict[str, list[Month]] = {}
    for month in months:
        by_symbol.setdefault(f"{month.exchange} {month.symbol}", []).append(month)
    for symbol, held in by_symbol.items():
        told = made_of(least_real(*(month.provenance for month in held)))
        title = Text(f"{symbol} ({told})")
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("month", no_wrap=True)
        table.add_column("table", no_wrap=True)
        table.add_column("1        10        20        30", no_wrap=True)
        table.add_column("rows", justify="right", no_wrap=True)
        table.add_column("size", justify="right", no_wrap=True)
        shown = ""
        for month in held:
            strip = Text()
            for state in month.days:
                strip.append(MARKS.get(state, " "), _STYLES.get(state, ""))
            table.add_row(
                month.month if month.month != shown else "",
                month.table,
                strip,
                f"{month.rows:,}",
                f"{month.size / 1e6:,.1f} MB",
            )
            shown = month.month
        console.print(table)
    legend = Text()
    for state, mark in MARKS.items():
        if any(month.count(state) for month in months):
            legend.append(mark, _STYLES[state])
            legend.append(f" {state}  ", "dim")
    console.print(legend)
    for line in wrong:
        console.print(Text(line, "bold red"), soft_wrap=True)
