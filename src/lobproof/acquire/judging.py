"""Validation: every file judged once, by itself and with the others of its symbol-day.

Files are never changed. A refused one goes to ``quarantine`` with its reasons beside it, any
other to ``validated``; what speaks against a certificate is in its audit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lobproof
from lobproof.acquire.audits import (
    AUDIT_CHANGED,
    Audit,
    audit_path,
    changed_audit,
    read_audit,
    write_audit,
)
from lobproof.acquire.certificate_status import require_whole
from lobproof.acquire.checks.cross_file import judge_cross_file
from lobproof.acquire.checks.reasons import DOUBT, DOUBTFUL, GOOD, REFUSED
from lobproof.acquire.checks.scan import scan
from lobproof.acquire.manifest import QUARANTINED, VALIDATED, Entry, Manifest, reconcile
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.errors import InputError
from lobproof.instruments import Instrument
from lobproof.progress import Progress
from lobproof.sources.cryptolake.layout import LakeKey

LOST = "lost"
"""Verdict on a file that the manifest has and no zone."""
_VERDICTS = (GOOD, DOUBTFUL, REFUSED, LOST)
_NAMED = 5
"""Of the files that are not good so many are named where a result is shown."""
_AUDIT_GONE: dict[str, Any] = {
    "count": 1,
    "share": None,
    "severity": DOUBT,
    "first_rows": [],
    "detail": "its audit is not what was written; judging again (again=, --again) makes it anew",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One file's outcome.

    ``verdict`` is ``good``, ``doubtful``, ``refused`` or ``lost``; ``anew`` says whether the file
    was read now, or an earlier judgement stands.
    """

    key: LakeKey
    verdict: str
    rows: int = 0
    reasons: dict[str, dict[str, Any]] = field(default_factory=dict)
    anew: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "key": self.key.path,
            "verdict": self.verdict,
            "rows": self.rows,
            "reasons": self.reasons,
            "anew": self.anew,
        }


@dataclass(frozen=True, slots=True, repr=False)
class ValidationResult:
    """Every file asked for, in order of symbol, day and table."""

    files: tuple[Judged, ...]

    def __repr__(self) -> str:
        """How many files there are of each verdict, and the first that are not good, and why."""
        counts = ", ".join(f"{self.count(v):,} {v}" for v in _VERDICTS if self.count(v))
        bad = [judged for judged in self.files if judged.verdict != GOOD]
        lines = [
            f"  {judged.key} is {judged.verdict}{': ' if judged.reasons else ''}"
            f"{', '.join(judged.reasons)}"
            for judged in bad[:_NAMED]
        ]
        if len(bad) > _NAMED:
            lines.append(f"  and {len(bad) - _NAMED:,} more")
        return "\n".join([f"Validated {len(self.files):,} files: {counts or 'none'}", *lines])

    def count(self, verdict: str) -> int:
        """Files with that verdict."""
        return sum(judged.verdict == verdict for judged in self.files)

    @property
    def failed(self) -> bool:
        """Whether a file was refused or lost."""
        return bool(self.count(REFUSED) + self.count(LOST))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "counts": {verdict: self.count(verdict) for verdict in _VERDICTS},
            "files": [judged.to_dict() for judged in self.files],
        }


def validate(
    folder: LakeFolder,
    keys: Iterable[LakeKey] | None = None,
    *,
    instrument: Instrument | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> ValidationResult:
    """Judge files and move them to ``validated`` or ``quarantine``.

    A file that this version judged already is not read again, though its audit follows what has
    come to its symbol-day since. Files in ``ready`` stay as they are.

    Parameters
    ----------
    keys
        By default every file of the manifest.
    instrument
        Grid, ticks and lots for the files of its exchange and symbol; by default each file's own
        are inferred.
    again
        Read files again that were judged, those in quarantine and in ``ready`` too (these return
        to ``validated``).

    Raises
    ------
    StoreError
        When the manifest was changed, or lost lines.
    """
    require_whole(folder)
    manifest = Manifest(folder)
    known = manifest.entries()
    wanted = set(known) if keys is None else set(keys) & set(known)
    absent = () if keys is None else tuple(set(keys) - set(known))
    days: dict[tuple[str, str, str], list[LakeKey]] = {}
    for key in sorted(known):
        days.setdefault(key.day, []).append(key)
    found = [Judged(key, LOST) for key in sorted(absent)]
    for _, members in sorted(days.items()):
        asked = wanted & set(members)
        if asked:
            found += _validate_day(manifest, members, asked, instrument, again, progress)
    return ValidationResult(tuple(found))


def audit_files(
    paths: Mapping[LakeKey, Path],
    *,
    folder: LakeFolder | None = None,
    progress: Progress | None = None,
) -> dict[LakeKey, Audit]:
    """Judge files anew; nothing is written or moved.

    Parameters
    ----------
    folder
        Where there are audits of these files and of others of their symbol-days: the instruments
        that were given and the coverage of files not in ``paths`` are taken from them. Without,
        files are judged together with those in ``paths`` alone.
    """
    audits = {}
    for key in sorted(paths):
        known = None if folder is None else _instrument_of(folder, key)
        audits[key] = _scan(paths[key], key, known, progress)
    others: dict[LakeKey, Audit | None] = {}
    if folder is not None:
        days = {key.day for key in paths}
        for key, entry in Manifest(folder).entries().items():
            if key.day in days and key not in paths and entry.zone is not Zone.QUARANTINE:
                others[key] = _stored(folder, entry)
    return _cross_file(audits, others)


def _validate_day(
    manifest: Manifest,
    members: list[LakeKey],
    asked: set[LakeKey],
    instrument: Instrument | None,
    again: bool,
    progress: Progress | None,
) -> list[Judged]:
    """Judge those of a symbol-day that are asked for, and bring the audits of the rest up to it."""
    folder = manifest.folder
    results = []
    with ExitStack() as held:
        # always in the same order, so that two validations never wait for each other
        for key in members:
            held.enter_context(folder.lock(key))
            reconcile(manifest, only=key)
        entries = {k: e for k, e in manifest.entries().items() if k in members}
        before: dict[LakeKey, Audit | None] = {}
        fresh: dict[LakeKey, Audit] = {}
        for key, entry in entries.items():
            path = folder.path(entry.zone, key)
            if not path.is_file():
                results += [Judged(key, LOST)] if key in asked else []
                continue
            stored = before[key] = _stored(folder, entry)
            known = instrument if instrument is not None and _is_of(instrument, key) else None
            if key in asked and (again or stored is None or not _stands(entry, stored, known)):
                if entry.zone is Zone.READY and not again:
                    continue
                fresh[key] = _scan(path, key, known, progress, entry.fetched)
        audits = {key: audit for key, audit in before.items() if audit is not None} | fresh
        unjudged: dict[LakeKey, Audit | None] = {k: None for k in before if k not in audits}
        for key, audit in _cross_file(audits, unjudged).items():
            entry = entries[key]
            stored = before[key]
            changed = stored is None or audit.data != stored.data
            if key in fresh or (changed and entry.zone is Zone.VALIDATED):
                _settle(manifest, entry, audit)
            elif entry.zone is Zone.QUARANTINE and not folder.reasons_path(key).is_file():
                folder.write_reasons(key, audit.document)
            if key in asked:
                rows = int(audit.document["rows"])
                results.append(Judged(key, audit.verdict, rows, audit.reasons, key in fresh))
        for key in sorted(asked - audits.keys() - {judged.key for judged in results}):
            # certified, so that it stays as it is; but what was found in it is not known any more
            rows = int(entries[key].fetched.get("rows") or 0)
            results.append(Judged(key, DOUBTFUL, rows, {AUDIT_CHANGED: _AUDIT_GONE}, anew=False))
    return sorted(results, key=lambda judged: judged.key)


def _settle(manifest: Manifest, entry: Entry, audit: Audit) -> None:
    """Write an audit down and move its file; a kill at any point leaves what a next run ends."""
    folder, key = manifest.folder, entry.key
    audit = write_audit(folder, audit, provenance=str(entry.fetched.get("provenance", "unknown")))
    if audit.refused:
        folder.write_reasons(key, audit.document)
    zone = Zone.QUARANTINE if audit.refused else Zone.VALIDATED
    manifest.append(
        QUARANTINED if audit.refused else VALIDATED,
        key,
        verdict=audit.verdict,
        audit_sha256=audit.sha256,
        reasons=audit.counts,
        rows=audit.document["rows"],
    )
    if entry.zone is not zone:
        folder.move(folder.path(entry.zone, key), zone, key)
    if not audit.refused:
        folder.drop_reasons(key)


def _cross_file(
    audits: Mapping[LakeKey, Audit], others: Mapping[LakeKey, Audit | None]
) -> dict[LakeKey, Audit]:
    """Audits with what the files of each symbol-day say of each other; refused ones say nothing."""
    done: dict[LakeKey, Audit] = {}
    for day in sorted({key.day for key in audits}):
        members: dict[LakeKey, Audit | None] = {
            key: audit
            for key, audit in (*audits.items(), *others.items())
            if key.day == day and (audit is None or not audit.refused)
        }
        reasons = judge_cross_file(
            {key: None if audit is None else audit.coverage for key, audit in members.items()}
        )
        for key, audit in audits.items():
            if key.day != day:
                continue
            if audit.refused:
                done[key] = audit
                continue
            beside = {
                other.path: None if that is None else str(that.document["sha256"])
                for other, that in members.items()
                if other != key
            }
            done[key] = audit.with_cross_file(reasons.get(key, {}), beside)
    return done


def _scan(
    path: Path,
    key: LakeKey,
    instrument: Instrument | None,
    progress: Progress | None,
    fetched: Mapping[str, Any] | None = None,
) -> Audit:
    told = fetched or {}

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(key.path, done, total)

    report(0, path.stat().st_size)
    scanned = scan(
        path,
        key,
        size=told.get("size"),
        sha256=told.get("sha256"),
        instrument=instrument,
        progress=report,
    )
    return Audit.of(key, scanned)


def _stored(folder: LakeFolder, entry: Entry) -> Audit | None:
    """The audit that the manifest's record of the judgement speaks of; None without."""
    if entry.judged is None:
        return None
    try:
        if changed_audit(folder, entry.key, str(entry.judged["audit_sha256"])):
            return None
        return Audit(entry.key, read_audit(audit_path(folder, entry.key)))
    except InputError:
        return None  # of a version that had another format


def _stands(entry: Entry, stored: Audit, instrument: Instrument | None) -> bool:
    """Whether an earlier judgement needs no second."""
    if entry.judged is None or entry.judged["version"] != lobproof.__version__:
        return False
    grid = stored.document.get("grid")
    return instrument is None or grid is None or grid.get("instrument") == instrument.to_dict()


def _instrument_of(folder: LakeFolder, key: LakeKey) -> Instrument | None:
    """The instrument that a file was judged with; None where it was inferred."""
    path = audit_path(folder, key)
    if not path.is_file():
        return None
    described = (read_audit(path).get("grid") or {}).get("instrument")
    return None if described is None else Instrument.from_dict(described)


def _is_of(instrument: Instrument, key: LakeKey) -> bool:
    return (instrument.exchange, instrument.symbol) == (key.exchange, key.symbol)
