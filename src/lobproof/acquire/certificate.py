"""The certificate: which files, judged how, covering what; issued, and proved again from files.

Its ``id`` is the SHA-256 of its content. Only data that is wholly ``real`` can be CERTIFIED; with
anything else in it a certificate says DEMO, and is issued only where that was asked for. What
stands against it is listed, every reason: then its verdict is REFUSED and no file moves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import lobproof
from lobproof.acquire.audits import AUDIT_CHANGED, audit_path, changed_audit, read_audit
from lobproof.acquire.certificate_status import (
    FORMAT,
    VERSION,
    is_intact,
    read_certificate,
    require_whole,
)
from lobproof.acquire.checks.reasons import CROSS_FILE, NOTE
from lobproof.acquire.judging import audit_files
from lobproof.acquire.manifest import CERTIFIED, VALIDATED, Entry, Manifest, reconcile
from lobproof.acquire.zones import CERTIFICATES, MARK, LakeFolder, Zone
from lobproof.documents import content_digest
from lobproof.errors import InputError, StoreError, UsageError, system_text, visible
from lobproof.files import below, locked
from lobproof.parquet import read_footer
from lobproof.paths import AnyPath, as_path
from lobproof.progress import Progress
from lobproof.sources.cryptolake.layout import NEVER_REAL, LakeKey
from lobproof.sources.cryptolake.request import Request

REFUSED, DEMO, REAL = "REFUSED", "DEMO", "CERTIFIED"
TABLE_MISSING = "table-missing"
"""A reason of audits that counts only for the tables that a certificate is to cover."""
_PINNED = ("size", "etag", "sha256", "last_modified", "rows", "row_groups", "provenance")


_NAMED = 5
"""Of the refusals so many are named where a certificate is shown."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason against a certificate."""

    reason: str
    detail: str
    key: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return {"reason": self.reason, "key": self.key, "detail": self.detail}


@dataclass(frozen=True, slots=True, repr=False)
class Certificate:
    """A certificate's document, and where it was written (None: nowhere)."""

    document: dict[str, Any]
    path: Path | None = None

    def __repr__(self) -> str:
        """Verdict, how many files it covers, where it lies; or the first that stands against it."""
        lines = [f"{self.verdict}: {len(self.document['objects']):,} files"]
        if self.path is not None:
            lines.append(f"  {self.path}")
        refusals = self.refusals
        lines += [
            f"  {refusal['reason']}: {refusal['detail']}"
            f"{' of ' if refusal['key'] else ''}{refusal['key']}"
            for refusal in refusals[:_NAMED]
        ]
        if len(refusals) > _NAMED:
            lines.append(f"  and {len(refusals) - _NAMED:,} more")
        return visible("\n".join(lines))

    @property
    def verdict(self) -> str:
        """``CERTIFIED``, ``DEMO`` or ``REFUSED``."""
        return str(self.document["verdict"])

    @property
    def refusals(self) -> list[dict[str, str]]:
        """What stands against it."""
        return list(self.document["refusals"])


def certify(
    folder: LakeFolder,
    request: Request | None = None,
    *,
    allow_synthetic: bool = False,
    progress: Progress | None = None,
) -> Certificate:
    """Issue the certificate of what ``request`` covers, and move its files to ``ready``.

    Every file is hashed anew. Where anything stands against it the result says REFUSED with all
    reasons, and nothing is written or moved.

    Raises
    ------
    UsageError
        When the folder has nothing of what is asked for.
    StoreError
        When the manifest was changed, or lost lines.
    """
    request = request or Request()
    with locked(folder.root / f"{CERTIFICATES}.lock"):
        return _certify(folder, request, allow_synthetic=allow_synthetic, progress=progress)


def _certify(
    folder: LakeFolder, request: Request, *, allow_synthetic: bool, progress: Progress | None
) -> Certificate:
    """What :func:`certify` does; no other process does it at the same time."""
    require_whole(folder)
    manifest = Manifest(folder)
    reconcile(manifest)
    entries = {key: entry for key, entry in manifest.entries().items() if request.covers(key)}
    # after the entries: what they follow from lies within the pin
    pinned = _pinned_manifest(manifest)
    if not entries:
        raise UsageError(
            f"{folder.root} has nothing of what is asked for",
            hint="`lobproof acquire status` shows what is there",
        )
    refusals = [*_missing(entries, request), *_strays(folder, entries, request)]
    objects = []
    for key, entry in entries.items():
        described, against = _examine(folder, key, entry, progress)
        objects.append(described)
        refusals += against
    others = sorted({str(o["provenance"]) for o in objects} - {"real"})
    if others and not allow_synthetic:
        refusals.append(
            Refusal(
                "provenance",
                f"{', '.join(others)} data is never certified; allow_synthetic= "
                "(--allow-synthetic) issues a document that says DEMO",
            )
        )
    content = {
        "format": FORMAT,
        "format_version": VERSION,
        "lobproof_version": lobproof.__version__,
        "verdict": REFUSED if refusals else DEMO if others else REAL,
        "request": {
            "exchange": request.exchange,
            "symbols": list(request.symbols),
            "tables": list(request.tables),
            "start": request.start,
            "end": request.end,
        },
        "manifest": pinned,
        "objects": objects,
        "coverage": _sums(objects),
        "refusals": [refusal.to_dict() for refusal in refusals],
    }
    existing = None if refusals else _same(folder, entries, content)
    if existing is not None:
        return existing
    document = {
        "id": content_digest(content),
        "issued_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        **content,
    }
    if refusals:
        return Certificate(document)
    return _issue(manifest, entries, document)


def _issue(
    manifest: Manifest, entries: dict[LakeKey, Entry], document: dict[str, Any]
) -> Certificate:
    """Move the files, each only as it was examined; then write the document down.

    Until it is there, its id in the manifest certifies nothing.
    """
    folder = manifest.folder
    for key, entry in entries.items():
        with folder.lock(key):
            if manifest.entry(key) != entry:
                raise StoreError(
                    f"{key} was fetched or judged by another command in the meantime",
                    hint="certify again when the other command is done",
                )
            manifest.append(CERTIFIED, key, certificate=document["id"], verdict=document["verdict"])
            if entry.zone is not Zone.READY:
                folder.move(folder.path(entry.zone, key), Zone.READY, key)
    path = below(folder.root, f"{CERTIFICATES}/{document['id']}.json")
    folder.write(path, f"{json.dumps(document, indent=1, ensure_ascii=False)}\n".encode())
    return Certificate(document, path)


def _examine(
    folder: LakeFolder, key: LakeKey, entry: Entry, progress: Progress | None
) -> tuple[dict[str, Any], list[Refusal]]:
    """What the certificate says of an object, and what stands against it."""
    against: list[Refusal] = []
    described: dict[str, Any] = {
        "key": key.path,
        **{name: entry.fetched.get(name) for name in _PINNED},
    }
    path = folder.path(entry.zone, key)
    problem = _file_refusal(folder, key, described, progress, zone=entry.zone)
    if problem is not None:
        return described, [problem]
    if entry.zone is Zone.QUARANTINE:
        reasons = ", ".join((entry.judged or {}).get("reasons", {})) or "see beside the file"
        return described, [Refusal("quarantined", reasons, key.path)]
    if entry.judged is None or entry.judged["event"] != VALIDATED:
        return described, [Refusal("not-validated", "`acquire validate` has not seen it", key.path)]
    changed = changed_audit(folder, key, str(entry.judged["audit_sha256"]))
    if changed:
        return described, [Refusal(AUDIT_CHANGED, f"{changed} is not what was written", key.path)]
    audit = read_audit(audit_path(folder, key))
    against += [
        Refusal(name, str(reason["detail"]), key.path)
        for name, reason in audit["reasons"].items()
        if reason["severity"] != NOTE and name != TABLE_MISSING
    ]
    provenance = _provenance_of(path)
    if provenance in NEVER_REAL and provenance != described["provenance"]:
        against.append(
            Refusal(
                "provenance",
                f"the file says {provenance}, the manifest {described['provenance']}",
                key.path,
            )
        )
        described["provenance"] = provenance
    described |= {
        "audit_sha256": entry.judged["audit_sha256"],
        "audit_verdict": audit["verdict"],
        "reasons": {name: reason["count"] for name, reason in audit["reasons"].items()},
        "coverage": audit["coverage"],
    }
    return described, against


def verify_certificate(
    path: AnyPath,
    *,
    folder: AnyPath | None = None,
    quick: bool = False,
    progress: Progress | None = None,
) -> list[Refusal]:
    """Re-check a certificate from the files; what is wrong, empty where all holds.

    Its own hash, every file's size and SHA-256, the manifest's chain up to where it was issued, the
    hashes of the audits, and (unless ``quick``) the audits made anew from the files.

    Parameters
    ----------
    path
        The certificate.
    folder
        The folder of acquired data; by default the one that the certificate lies in.

    Raises
    ------
    InputError
        When ``path`` is no certificate.
    UsageError
        When no ``folder`` is named and the certificate lies in none.
    """
    path = as_path(path)
    document = read_certificate(path)
    root = as_path(folder) if folder is not None else path.absolute().parent.parent
    if folder is None and not (root / MARK).is_file():
        raise UsageError(
            f"{path} does not lie in a folder of acquired data: there are no files to hold it "
            "against",
            hint=f"name the folder: folder=, or `lobproof acquire certify FOLDER --verify {path}`",
        )
    lake = LakeFolder(root)
    found: list[Refusal] = []
    if document["verdict"] not in (REAL, DEMO):
        found.append(Refusal("verdict", f"the document says {document['verdict']}"))
    if not is_intact(document, document["id"]):
        found.append(Refusal("certificate-changed", "its id is not the hash of its content"))
    found += _manifest_holds(Manifest(lake), document["manifest"])
    keys = []
    for entry in document["objects"]:
        key = LakeKey.parse(str(entry["key"]))
        if key is None:
            found.append(Refusal("certificate-changed", f"{entry['key']} is no object's key"))
            continue
        problem = _file_refusal(lake, key, entry, progress)
        if problem is not None:
            found.append(problem)
        else:
            keys.append((key, entry))
    if document["coverage"] != _sums(document["objects"]):
        found.append(Refusal("certificate-changed", "its coverage is not that of its objects"))
    intact = []
    for key, entry in keys:
        changed = changed_audit(lake, key, str(entry["audit_sha256"]))
        if changed:
            detail = f"{changed} is not what the certificate saw"
            found.append(Refusal(AUDIT_CHANGED, detail, key.path))
        else:
            intact.append((key, entry))
    if not quick:
        found += _audits_hold(lake, intact, progress)
    return found


def _audits_hold(
    folder: LakeFolder, keys: Sequence[tuple[LakeKey, dict[str, Any]]], progress: Progress | None
) -> Iterator[Refusal]:
    """Judge the files anew: the audits must come out the same."""
    paths = {key: folder.path(Zone.READY, key) for key, _ in keys}
    anew = audit_files(paths, folder=folder, progress=progress)
    for key, entry in keys:
        provenance = _provenance_of(paths[key])
        if provenance in NEVER_REAL and provenance != entry["provenance"]:
            yield Refusal("provenance", f"the file says {provenance}", key.path)
        if _alone(read_audit(audit_path(folder, key))) != _alone(anew[key].document):
            yield Refusal("audit-differs", "judged anew, the file gives another audit", key.path)


def _alone(audit: dict[str, Any]) -> dict[str, Any]:
    """What an audit says of its file by itself: others of its day may have come since.

    The hash of the bad rows is that of a file, which has been held against it.
    """
    own = {name: reason for name, reason in audit["reasons"].items() if name not in CROSS_FILE}
    return {**audit, "reasons": own, "beside": {}, "verdict": "", "rows_sha256": None}


def _manifest_holds(manifest: Manifest, told: dict[str, Any]) -> list[Refusal]:
    """Whether the manifest still begins with what the certificate was issued on."""
    try:
        hashes = manifest.hashes()
    except StoreError as error:
        return [Refusal("manifest-changed", error.message)]
    if len(hashes) <= told["records"] or hashes[told["records"]] != told["head"]:
        return [
            Refusal("manifest-changed", "its first lines are not those that the certificate saw")
        ]
    return []


def _file_refusal(
    folder: LakeFolder,
    key: LakeKey,
    told: dict[str, Any],
    progress: Progress | None,
    *,
    zone: Zone = Zone.READY,
) -> Refusal | None:
    """What is wrong with a file's size or hash; None where they are as ``told``."""
    path = folder.path(zone, key)
    if not path.is_file():
        return Refusal("file-missing", f"not in {zone}", key.path)
    size = path.stat().st_size
    if size != told["size"]:
        return Refusal("file-changed", f"{size:,} bytes, {told['size']:,} were fetched", key.path)
    if progress is not None:
        progress(key.path, 0, size)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return Refusal("file-missing", f"cannot be read: {system_text(error)}", key.path)
    if digest != told["sha256"]:
        return Refusal("file-changed", f"SHA-256 {digest}, {told['sha256']} was fetched", key.path)
    return None


def _same(
    folder: LakeFolder, entries: dict[LakeKey, Entry], content: dict[str, Any]
) -> Certificate | None:
    """The certificate that says the same of the same files already, if there is one."""
    ids = {entry.certificate for entry in entries.values()}
    if len(ids) != 1 or "" in ids:
        return None
    path = below(folder.root, f"{CERTIFICATES}/{ids.pop()}.json")
    if not path.is_file():
        return None
    try:
        document = read_certificate(path)
    except InputError:
        return None  # damaged: `status` says so, and another is issued
    if not is_intact(document, path.stem):
        return None
    own = ("id", "issued_at", "manifest")
    told = {name: value for name, value in document.items() if name not in own}
    asked = {name: value for name, value in content.items() if name not in own}
    return Certificate(document, path) if told == asked else None


def _pinned_manifest(manifest: Manifest) -> dict[str, Any]:
    hashes = manifest.hashes()
    return {"records": len(hashes) - 1, "head": hashes[-1]}


def _missing(entries: dict[LakeKey, Entry], request: Request) -> Iterator[Refusal]:
    """Tables that are missing on a day, and days between the first and the last."""
    by_symbol: dict[tuple[str, str], dict[str, set[str]]] = {}
    for key in entries:
        days = by_symbol.setdefault((key.exchange, key.symbol), {})
        days.setdefault(key.dt, set()).add(key.table)
    for symbol in sorted(set(request.symbols) - {symbol for _, symbol in by_symbol}):
        yield Refusal("missing-symbol", f"nothing of {symbol} is there")
    for (exchange, symbol), days in sorted(by_symbol.items()):
        first = request.start or min(days)
        stop = request.end or _next(max(days))
        for day in _days(first, stop):
            lacking = sorted(set(request.tables) - days.get(day, set()))
            if lacking:
                yield Refusal("missing-day", f"{exchange} {symbol} {day}: no {', '.join(lacking)}")


def _strays(
    folder: LakeFolder, entries: dict[LakeKey, Entry], request: Request
) -> Iterator[Refusal]:
    """Files in a zone that the manifest does not know."""
    for zone in Zone:
        for key in folder.keys(zone):
            if request.covers(key) and (key not in entries or entries[key].zone is not zone):
                yield Refusal("stray-file", f"in {zone}, which the manifest does not say", key.path)


def _sums(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows and bytes by table, days by symbol."""
    tables: dict[str, dict[str, int]] = {}
    symbols: dict[str, set[str]] = {}
    for entry in objects:
        key = LakeKey.parse(str(entry["key"]))
        if key is None:
            continue
        counts = tables.setdefault(key.table, {"files": 0, "rows": 0, "bytes": 0})
        counts["files"] += 1
        counts["rows"] += int(entry["rows"] or 0)
        counts["bytes"] += int(entry["size"])
        symbols.setdefault(f"{key.exchange} {key.symbol}", set()).add(key.dt)
    return {
        "tables": dict(sorted(tables.items())),
        "days": {symbol: sorted(days) for symbol, days in sorted(symbols.items())},
    }


def _provenance_of(path: Path) -> str:
    """What the Parquet file says of itself; empty where nothing."""
    metadata = read_footer(path).metadata or {}
    return bytes(metadata.get(b"provenance", b"")).decode("utf-8", "replace")


def _days(first: str, stop: str) -> Iterator[str]:
    day = first
    while day < stop:
        yield day
        day = _next(day)


def _next(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
