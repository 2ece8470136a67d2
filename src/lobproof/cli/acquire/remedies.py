"""What to do about each reason that stands against a file or a certificate."""

from __future__ import annotations

from collections.abc import Iterable

from lobproof.acquire.standing import Standing
from lobproof.cli.console import err, out

_FETCH = "`lobproof acquire download` of the same days fetches anew what is lost or was changed"
# a download does not hash what is there
_CHANGED = (
    "`lobproof acquire validate FOLDER --again` refuses what was changed; then "
    "`lobproof acquire download` of the same days fetches it anew"
)
_JUDGE = "`lobproof acquire validate FOLDER` judges what was not judged yet"
_AGAIN = "`lobproof acquire validate FOLDER --again` makes audits anew, then certify"
_LESS = "download what is missing, or ask for less: --symbols, --tables, --start, --end"
_ANEW = "only the command that wrote a certificate may; certify anew"
_REMEDIES = {
    "lost": _FETCH,
    "file-missing": _FETCH,
    "file-changed": _CHANGED,
    "size-differs": _FETCH,
    "hash-differs": _FETCH,
    "not-validated": _JUDGE,
    "audit-changed": _AGAIN,
    "audit-differs": _AGAIN,
    "missing-day": _LESS,
    "missing-symbol": _LESS,
    "certificate-changed": _ANEW,
    "verdict": _ANEW,
    "manifest-changed": "restore the manifest from a backup, or acquire into a new folder",
    "stray-file": "take files that the manifest does not know out of the folder",
    "provenance": "certify real data by itself, or ask for a DEMO with --allow-synthetic",
}
_ELSE = (
    "FOLDER/audits has the rows behind each reason, and docs/acquire.md what it means; days with "
    "doubts can be left out by --symbols, --start and --end"
)


def show_remedies(reasons: Iterable[str]) -> None:
    """A hint for each thing to do, once, on standard error."""
    for hint in dict.fromkeys(_REMEDIES.get(reason, _ELSE) for reason in reasons):
        err().print(f"Hint: {hint}", style="dim", soft_wrap=True)


def show_broken_certificates(broken: Iterable[Standing]) -> None:
    """Certificates that a command has made worthless."""
    for standing in broken:
        line = f"broken     certificate {standing.name} no longer holds"
        out().print(line, style="yellow", soft_wrap=True)
