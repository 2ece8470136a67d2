"""The documents of certificates held against the manifest: which still hold, and what was cut off.

Every certificate in a folder has its records in the manifest, and a pin of the lines before them.
A manifest without either has lost lines: the zones do not follow from it any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from lobproof import documents
from lobproof.acquire.manifest import CERTIFIED, NAME, ZONES, Entry, Manifest
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.documents import Count, content_digest
from lobproof.errors import InputError, StoreError, system_text
from lobproof.sources.cryptolake.layout import LakeKey

FORMAT = "lobproof-lake-certificate"
VERSION = 1
_SHOWN = 3


class _Object(msgspec.Struct):
    """What is read of an object; there is more."""

    key: str
    size: Count
    sha256: str
    rows: Count | None
    provenance: str
    audit_sha256: str


class _Pin(msgspec.Struct):
    records: Count
    head: str


class _Shape(msgspec.Struct):
    """What every reader of a certificate counts on."""

    format: Literal["lobproof-lake-certificate"]
    format_version: Literal[1]
    id: str
    verdict: str
    coverage: dict[str, Any]
    manifest: _Pin
    objects: list[_Object]


def read_certificate(path: Path) -> dict[str, Any]:
    """The document of a certificate.

    Raises
    ------
    InputError
        When ``path`` is none.
    """
    try:
        return documents.parse(documents.read_bytes(Path(path)), _Shape)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {system_text(error)}", hint="check the file's name"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path} is no certificate: {error}",
            hint="`lobproof acquire certify` writes them to FOLDER/certificates",
        ) from error


def is_intact(document: dict[str, Any], name: str) -> bool:
    """Whether the id, and the name of the file, is still the hash of the content."""
    content = {k: v for k, v in document.items() if k not in ("id", "issued_at")}
    return bool(name == document["id"] == content_digest(content))


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate of the folder, by the manifest alone: files are not looked at.

    Attributes
    ----------
    name
        Its id: the name of its file.
    verdict
        ``CERTIFIED`` or ``DEMO``; empty where the file is no certificate.
    covered
        Objects that are still as it says.
    broken
        Object → what became of it since.
    problem
        What is wrong with the document, or with the manifest under it.
    cut
        Whether the manifest lacks lines that this certificate follows from.
    """

    name: str
    verdict: str
    covered: frozenset[LakeKey] = frozenset()
    broken: tuple[tuple[LakeKey, str], ...] = ()
    problem: str = ""
    cut: bool = False

    @property
    def holds(self) -> bool:
        """Whether nothing in the manifest speaks against it."""
        return not self.broken and not self.problem

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "id": self.name,
            "verdict": self.verdict,
            "holds": self.holds,
            "problem": self.problem,
            "broken": {key.path: why for key, why in self.broken},
        }


@dataclass(frozen=True, slots=True)
class Breach:
    """A certificate that stops holding when these of its files are replaced."""

    name: str
    verdict: str
    keys: tuple[LakeKey, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "id": self.name,
            "verdict": self.verdict,
            "keys": [key.path for key in self.keys],
        }


def certificate_statuses(folder: LakeFolder) -> list[CertificateStatus]:
    """Every certificate of a folder, in order of id.

    Raises
    ------
    StoreError
        When the manifest was changed.
    """
    # the documents first: what they speak of is in the manifest by then
    found: dict[str, dict[str, Any] | None] = {}
    for path in folder.certificates():
        try:
            found[path.stem] = read_certificate(path)
        except InputError:
            found[path.stem] = None
    if not found:
        return []
    manifest = Manifest(folder)
    hashes = manifest.hashes()
    issued = {
        (str(record["certificate"]), str(record["key"]))
        for record in manifest.records()
        if record["event"] == CERTIFIED
    }
    entries = manifest.entries()
    return [
        CertificateStatus(name, "", problem="its file is no certificate")
        if document is None
        else _status(name, document, hashes, issued, entries)
        for name, document in found.items()
    ]


def holding(folder: LakeFolder) -> frozenset[str]:
    """Names of the certificates that hold now, for :func:`broken_since`."""
    return frozenset(status.name for status in certificate_statuses(folder) if status.holds)


def broken_since(folder: LakeFolder, held: Collection[str]) -> list[CertificateStatus]:
    """Those that held once, and do no more."""
    return [s for s in certificate_statuses(folder) if s.name in held and not s.holds]


def breaches(folder: LakeFolder, keys: Collection[LakeKey]) -> tuple[Breach, ...]:
    """The certificates that replacing the files of ``keys`` breaks."""
    found = [
        Breach(status.name, status.verdict, tuple(sorted(status.covered & set(keys))))
        for status in certificate_statuses(folder)
    ]
    return tuple(breach for breach in found if breach.keys)


def require_whole(folder: LakeFolder) -> None:
    """Refuse to go on from a manifest that lost lines: files would go where they do not belong.

    Raises
    ------
    StoreError
        Naming what says so.
    """
    signs = [f"certificate {s.name}: {s.problem}" for s in certificate_statuses(folder) if s.cut]
    signs += [f"{key} is in {zone}, and no line says so" for key, zone in _unrecorded(folder)]
    if not signs:
        return
    more = f"; and {len(signs) - _SHOWN:,} more" if len(signs) > _SHOWN else ""
    raise StoreError(
        f"{folder.root / NAME} lacks lines: {'; '.join(signs[:_SHOWN])}{more}",
        hint="nothing was moved; restore the manifest from a backup, or take what is named here "
        "out of the folder if it does not belong to it",
    )


def _status(
    name: str,
    document: dict[str, Any],
    hashes: Sequence[str],
    issued: Collection[tuple[str, str]],
    entries: Mapping[LakeKey, Entry],
) -> CertificateStatus:
    verdict, pin = str(document["verdict"]), document["manifest"]
    if not is_intact(document, name):
        return CertificateStatus(
            name, verdict, problem="its name and id are not the hash of its content"
        )
    if pin["records"] >= len(hashes) or hashes[pin["records"]] != pin["head"]:
        problem = "the manifest does not begin with the lines that it was issued on"
        return CertificateStatus(name, verdict, problem=problem, cut=True)
    unsaid = [o["key"] for o in document["objects"] if (name, o["key"]) not in issued]
    if unsaid:
        problem = f"the manifest does not say that it covers {unsaid[0]}"
        return CertificateStatus(name, verdict, problem=problem, cut=True)
    covered, broken = set(), []
    for told in document["objects"]:
        key = LakeKey.parse(str(told["key"]))
        if key is None:
            continue
        change = _change(entries[key], told)
        if change:
            broken.append((key, change))
        else:
            covered.add(key)
    return CertificateStatus(name, verdict, frozenset(covered), tuple(broken))


def _change(entry: Entry, told: Mapping[str, Any]) -> str:
    """What became of an object since it was certified; empty where it is as it was."""
    if entry.fetched["sha256"] != told["sha256"]:
        return "a new version was fetched"
    if entry.judged is None:
        return "fetched again"
    if entry.zone is not Zone.READY or entry.judged["audit_sha256"] != told["audit_sha256"]:
        return "judged again"
    return ""


def _unrecorded(folder: LakeFolder) -> list[tuple[LakeKey, Zone]]:
    """Files away from where the manifest has them, in a zone into which it never put them.

    A record comes before its rename, so no kill leaves this.
    """
    there = [(key, zone) for zone in Zone for key in folder.keys(zone)]
    manifest = Manifest(folder)
    entries = manifest.entries()
    astray = [
        (key, zone)
        for key, zone in there
        if key in entries
        and zone is not entries[key].zone
        and not folder.path(entries[key].zone, key).is_file()
    ]
    if not astray:
        return []
    recorded = {(str(r["key"]), ZONES.get(r["event"])) for r in manifest.records()}
    return [(key, zone) for key, zone in astray if (key.path, zone) not in recorded]
