"""Audits: what validation found in a file, as a JSON document, and the bad rows beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from lobproof import documents
from lobproof.acquire.checks.cross_file import Reasons
from lobproof.acquire.checks.flag_kernels import BITS
from lobproof.acquire.checks.reasons import (
    CROSS_FILE,
    FIRST_ROWS,
    POLICY,
    REFUSED,
    Findings,
    verdict,
)
from lobproof.acquire.checks.scan import Scan
from lobproof.acquire.zones import FILE_MODE, LakeFolder
from lobproof.documents import Count
from lobproof.errors import InputError
from lobproof.files import below, replacing, sync_folder
from lobproof.paths import naming
from lobproof.sources.cryptolake.layout import LakeKey

AUDITS = "audits"
FORMAT = "lobproof-lake-audit"
VERSION = 1
AUDIT_CHANGED = "audit-changed"
"""Reason of a file whose audit is gone, or not as it was written."""


class _Reason(msgspec.Struct):
    count: Count
    share: float | None
    severity: str
    first_rows: list[Count]
    detail: str


class _Grid(msgspec.Struct):
    instrument: dict[str, Any] | None = None


class _Shape(msgspec.Struct):
    """What every reader of an audit counts on; there is more."""

    format: Literal["lobproof-lake-audit"]
    format_version: Literal[1]
    rows: Count
    sha256: str
    verdict: str
    reasons: dict[str, _Reason]
    beside: dict[str, str | None]
    rows_sha256: str | None
    coverage: dict[str, Any] | None = None
    grid: _Grid | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in one file.

    ``document`` follows from the bytes of the file and of those it was judged together with, and
    the instrument: made anew it is the same, but for ``rows_sha256``, the hash of the file of bad
    rows as it was written (None: there is none). ``findings`` has the rows where the file was read.
    """

    key: LakeKey
    document: dict[str, Any]
    findings: Findings | None = None

    @classmethod
    def of(cls, key: LakeKey, scanned: Scan) -> Self:
        """The audit of a file by itself."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "format_version": VERSION,
            "key": key.path,
            "size": scanned.size,
            "sha256": scanned.sha256,
            "rows": scanned.rows,
            "verdict": "",
            "reasons": {},
            "rows_sha256": None,
            **scanned.facts,
            "beside": {},
        }
        findings = scanned.findings
        for name in sorted(findings.counts):
            rows = findings.rows(name)[:FIRST_ROWS].tolist()
            detail = findings.details.get(name) or POLICY[name].meaning
            document["reasons"][name] = _reason(
                name, findings.counts[name], scanned.rows, detail, rows
            )
        return cls(key, _judged(document), findings)

    @property
    def verdict(self) -> str:
        """``good``, ``doubtful`` or ``refused``."""
        return str(self.document["verdict"])

    @property
    def refused(self) -> bool:
        """Whether the file belongs into quarantine."""
        return self.verdict == REFUSED

    @property
    def reasons(self) -> dict[str, dict[str, Any]]:
        """Reason → count, share, severity, first rows, detail."""
        return dict(self.document["reasons"])

    @property
    def counts(self) -> dict[str, int]:
        """Reason → count."""
        return {name: int(reason["count"]) for name, reason in self.reasons.items()}

    @property
    def coverage(self) -> dict[str, Any] | None:
        """What it covers of the day; None where the file could not be read."""
        return self.document.get("coverage")

    @property
    def data(self) -> bytes:
        """The document as it is written."""
        return f"{json.dumps(self.document, indent=1, ensure_ascii=False)}\n".encode()

    @property
    def sha256(self) -> str:
        """Hash of :attr:`data`."""
        return hashlib.sha256(self.data).hexdigest()

    def with_cross_file(self, reasons: Reasons, beside: Mapping[str, str | None]) -> Audit:
        """The same audit with what the other files of its symbol-day say.

        ``beside`` names those files: key → SHA-256, None where not judged yet.
        """
        document = dict(self.document)
        own = {n: r for n, r in document["reasons"].items() if n not in CROSS_FILE}
        for name, (count, detail) in reasons.items():
            own[name] = _reason(name, count, int(document["rows"]), detail, [])
        document["reasons"] = dict(sorted(own.items()))
        document["beside"] = dict(sorted(beside.items()))
        return replace(self, document=_judged(document))


def audit_path(folder: LakeFolder, key: LakeKey) -> Path:
    """Where the audit of a file lies."""
    return below(folder.root, f"{AUDITS}/{key.path}.json")


def rows_path(folder: LakeFolder, key: LakeKey) -> Path:
    """Where the numbers of its bad rows lie: columns ``reason`` and ``row``."""
    return below(folder.root, f"{AUDITS}/{key.path}.rows.parquet")


def read_audit(path: Path) -> dict[str, Any]:
    """The document of an audit.

    Raises
    ------
    InputError
        When the file is none.
    """
    try:
        return documents.parse(documents.read_bytes(path), _Shape)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path.name} is no audit: {error}",
            hint="`lobproof acquire validate FOLDER --again` makes it anew",
        ) from error


def write_audit(folder: LakeFolder, audit: Audit, *, provenance: str) -> Audit:
    """Write an audit, and the bad rows where the file was read for it; the audit as written."""
    path = audit_path(folder, audit.key)
    folder.folder_of(path)
    if audit.findings is not None:
        digest = _write_rows(rows_path(folder, audit.key), audit.findings, provenance)
        audit = replace(audit, document={**audit.document, "rows_sha256": digest})
    folder.write(path, audit.data)
    return audit


def changed_audit(folder: LakeFolder, key: LakeKey, sha256: str) -> str:
    """Which of the files of an audit is not as it was written; empty where all are.

    ``sha256`` is that of the document, which has that of the bad rows.
    """
    path, rows = audit_path(folder, key), rows_path(folder, key)
    if _digest(path) != sha256:
        return path.name
    return rows.name if _digest(rows) != read_audit(path).get("rows_sha256") else ""


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_rows(path: Path, findings: Findings, provenance: str) -> str | None:
    """One row per bad row and reason, and the file's hash; no file where there is none."""
    schema = pa.schema(
        [("reason", pa.dictionary(pa.int8(), pa.string())), ("row", pa.int64())],
        metadata={"provenance": provenance},
    )
    found = [(name, rows) for name, rows in findings.all_rows() if len(rows)]
    if not found:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
        return None
    with (
        replacing(path, FILE_MODE) as temporary,
        naming(path),
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for name, rows in found:
            reason = pa.DictionaryArray.from_arrays(
                pa.repeat(pa.scalar(0, pa.int8()), len(rows)), [name]
            )
            writer.write_table(pa.table([reason, pa.array(rows)], schema=schema))
    return _digest(path)


def _reason(name: str, count: int, rows: int, detail: str, first: list[int]) -> dict[str, Any]:
    """A reason's entry; only one of rows has a share of them."""
    share = count / rows if name in BITS and rows else None
    return {
        "count": count,
        "share": share,
        "severity": POLICY[name].judged(share or 0.0),
        "first_rows": first,
        "detail": detail,
    }


def _judged(document: dict[str, Any]) -> dict[str, Any]:
    severities = [str(reason["severity"]) for reason in document["reasons"].values()]
    return {**document, "verdict": verdict(severities)}
