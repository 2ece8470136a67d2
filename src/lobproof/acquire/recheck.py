"""Re-check of a certificate from the files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lobproof.acquire.audits import AUDIT_CHANGED, audit_path, changed_audit, read_audit
from lobproof.acquire.certificate import (
    DEMO,
    REAL,
    Progress,
    Refusal,
    file_refusal,
    provenance_of,
    sums,
)
from lobproof.acquire.certificate_file import is_intact, read_certificate
from lobproof.acquire.checks.reasons import TOGETHER
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.validate import audit_files
from lobproof.acquire.zones import MARK, LakeFolder, Zone
from lobproof.errors import StoreError, UsageError
from lobproof.paths import AnyPath, as_path
from lobproof.sources.cryptolake.layout import NEVER_REAL, LakeKey


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
            hint=f"name the folder: `lobproof acquire certify FOLDER --verify {path}`",
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
        problem = file_refusal(lake, key, entry, progress)
        if problem is not None:
            found.append(problem)
        else:
            keys.append((key, entry))
    if document["coverage"] != sums(document["objects"]):
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
        provenance = provenance_of(paths[key])
        if provenance in NEVER_REAL and provenance != entry["provenance"]:
            yield Refusal("provenance", f"the file says {provenance}", key.path)
        if _alone(read_audit(audit_path(folder, key))) != _alone(anew[key].document):
            yield Refusal("audit-differs", "judged anew, the file gives another audit", key.path)


def _alone(audit: dict[str, Any]) -> dict[str, Any]:
    """What an audit says of its file by itself: others of its day may have come since.

    The hash of the bad rows is that of a file, which has been held against it.
    """
    own = {name: reason for name, reason in audit["reasons"].items() if name not in TOGETHER}
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
