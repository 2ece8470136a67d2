"""What the commands on a folder share: which days are meant, and what to do about each reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cyclopts import Parameter

from lobproof.acquire.certificate_status import CertificateStatus
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.zones import LakeFolder
from lobproof.cli.console import err, out
from lobproof.errors import UsageError
from lobproof.schema.provenance import least_real
from lobproof.sources.cryptolake.layout import TABLES, LakeKey
from lobproof.sources.cryptolake.request import Request

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


def split_names(text: str) -> tuple[str, ...]:
    """The names in a list with commas between, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def named_symbols(text: str | None) -> tuple[str, ...]:
    """The symbols of an option: none, for all, only where it was left out.

    Raises
    ------
    UsageError
        When it was given, and names none.
    """
    symbols = split_names(text or "")
    if text is not None and not symbols:
        raise UsageError(
            "--symbols names none", hint="leave it out for all, or name them with commas between"
        )
    return symbols


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Which days of a folder.

    Parameters
    ----------
    exchange
        By default all that are there.
    symbols
        Canonical symbols, with commas between; by default all that are there.
    tables
        With commas between; a certificate covers days that have all of them.
    start
        First day; by default the first that is there.
    end
        Day after the last; by default after the last that is there.
    """

    exchange: str | None = None
    symbols: str | None = None
    tables: str = ",".join(TABLES)
    start: str | None = None
    end: str | None = None

    def request(self) -> Request:
        """The days that are meant; wrong dates, tables and symbols are refused."""
        return Request(
            self.exchange,
            named_symbols(self.symbols),
            split_names(self.tables),
            self.start,
            self.end,
        )


EVERYTHING = Held()


def provenance_of(folder: LakeFolder, keys: Iterable[LakeKey]) -> str:
    """The least real of what the manifest says of files; ``unknown`` of those it does not know."""
    entries = Manifest(folder).entries()
    found = (entries[key].fetched["provenance"] if key in entries else "" for key in keys)
    return least_real(*(str(one) for one in found))


def show_remedies(reasons: Iterable[str]) -> None:
    """A hint for each thing to do, once, on standard error."""
    for hint in dict.fromkeys(_REMEDIES.get(reason, _ELSE) for reason in reasons):
        err().print(f"Hint: {hint}", style="dim", soft_wrap=True)


def show_broken_certificates(broken: Iterable[CertificateStatus]) -> None:
    """Certificates that a command has made worthless."""
    for status in broken:
        line = f"broken     certificate {status.name} no longer holds"
        out().print(line, style="yellow", soft_wrap=True)
