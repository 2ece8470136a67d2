"""The certificate: what it needs, what it refuses and why, and its re-check from the files."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lobproof.acquire import certificate as certificate_module
from lobproof.acquire.audits import audit_path, read_audit, rows_path
from lobproof.acquire.certificate import (
    DEMO,
    REAL,
    REFUSED,
    Certificate,
    certify,
    verify_certificate,
)
from lobproof.acquire.judging import validate
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.months import check_files, status
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.errors import InputError, StoreError, UsageError
from lobproof.sources.cryptolake.layout import TABLES, LakeKey
from lobproof.sources.cryptolake.request import Request
from support import lake_files
from support.acquired import fetched, key, put, validated_lake
from support.commands import command, refused


def reasons(found: Certificate) -> set[str]:
    return {refusal["reason"] for refusal in found.refusals}


def flip(path: Path, at: int = 2000) -> None:
    """Change one bit of a file in place."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# issuing -----------------------------------------------------------------------------------------


def test_real_data_is_certified_and_holds(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    certificate = certify(folder)
    assert (certificate.verdict, certificate.refusals) == (REAL, [])
    assert certificate.path is not None
    assert folder.keys(Zone.READY) == sorted(key(table) for table in TABLES)
    assert not folder.keys(Zone.VALIDATED)
    document = json.loads(certificate.path.read_bytes())
    content = {k: v for k, v in document.items() if k not in ("id", "issued_at")}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert document["id"] == hashlib.sha256(text.encode()).hexdigest()
    assert certificate.path.stem == document["id"]
    for entry in document["objects"]:
        path = folder.root / Zone.READY / entry["key"]
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        # the deltas have a message every 80 s
        minutes = 1080 if "delta" in entry["key"] else 1440
        assert entry["coverage"]["minutes_present"] == minutes
    assert document["coverage"]["days"] == {"BINANCE SIM-USDT": ["2026-01-05"]}
    assert verify_certificate(certificate.path) == []
    assert check_files(folder) == []
    records = len(list(Manifest(folder).records()))
    again = certify(folder)
    assert (again.document, again.path) == (document, certificate.path)
    assert len(list(Manifest(folder).records())) == records
    assert [month.count("certified") for month in status(folder)] == [1, 1, 1]


def test_synthetic_data_is_refused_or_a_demo(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path)
    refused = certify(folder)
    assert (refused.verdict, reasons(refused), refused.path) == (REFUSED, {"provenance"}, None)
    assert not folder.keys(Zone.READY)
    demo = certify(folder, allow_synthetic=True)
    assert demo.verdict == DEMO
    assert demo.path is not None
    assert "CERTIFIED" not in demo.path.read_text()
    assert verify_certificate(demo.path) == []
    assert [month.count("demo") for month in status(folder)] == [1, 1, 1]


@pytest.mark.parametrize("provenance", ["derived", "unknown"])
def test_what_is_not_known_to_be_real_is_no_better(tmp_path: Path, provenance: str) -> None:
    folder = validated_lake(tmp_path, provenance=provenance, metadata=False)
    assert reasons(certify(folder)) == {"provenance"}
    assert certify(folder, allow_synthetic=True).verdict == DEMO


def test_a_bucket_cannot_hide_what_a_file_says_of_itself(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real")
    refused = certify(folder)
    assert reasons(refused) == {"provenance"}
    assert "the file says synthetic, the manifest real" in refused.refusals[0]["detail"]


# refusing ----------------------------------------------------------------------------------------


def _hour(columns: lake_files.Columns) -> lake_files.Columns:
    return lake_files.cut(columns, 900, 1080 + 1)


def test_a_missing_hour(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False, spoilt={"trades": _hour})
    refused = certify(folder)
    assert {"missing-hours", "silence", "not-covered"} <= reasons(refused)
    assert "hours 05 UTC" in {r["detail"] for r in refused.refusals}
    assert not folder.keys(Zone.READY)


def test_a_missing_table(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False, tables=("trades", "book"))
    refused = certify(folder)
    assert [r["reason"] for r in refused.refusals] == ["missing-day"]
    assert "no book_delta_v2" in refused.refusals[0]["detail"]
    fewer = certify(folder, Request(tables=("trades", "book")))
    assert fewer.verdict == REAL
    assert fewer.path is not None
    assert verify_certificate(fewer.path) == []


def test_missing_days_and_symbols(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    asked = Request(symbols=("SIM-USDT", "BTC-USDT"), start="2026-01-04", end="2026-01-07")
    told = [(r["reason"], r["detail"]) for r in certify(folder, asked).refusals]
    lacking = ", ".join(sorted(TABLES))
    assert told == [
        ("missing-symbol", "nothing of BTC-USDT is there"),
        ("missing-day", f"BINANCE SIM-USDT 2026-01-04: no {lacking}"),
        ("missing-day", f"BINANCE SIM-USDT 2026-01-06: no {lacking}"),
    ]
    with pytest.raises(UsageError, match="has nothing of what is asked for"):
        certify(folder, Request(symbols=("ETH-USDT",)))


def test_a_changed_file(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    path = folder.path(Zone.VALIDATED, key("book"))
    flip(path)
    assert [(r["reason"], r["key"]) for r in certify(folder).refusals] == [
        ("file-changed", key("book").path)
    ]
    path.write_bytes(path.read_bytes()[:-1])
    assert "bytes, " in certify(folder).refusals[0]["detail"]
    path.unlink()
    assert reasons(certify(folder)) == {"file-missing"}


def test_a_changed_manifest(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path)
    manifest = Manifest(folder)
    text = manifest.path.read_text()
    manifest.path.write_text(text.replace('"synthetic"', '"real"', 1))
    with pytest.raises(StoreError, match="line 2: the manifest was changed"):
        certify(folder)
    said = command("acquire", "certify", folder.root)
    assert said.code == 3
    assert "the manifest was changed" in said.err


def test_a_changed_audit(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    path = audit_path(folder, key("trades"))
    path.write_text(path.read_text().replace('"verdict": "good"', '"verdict": "fine"'))
    assert reasons(certify(folder)) == {"audit-changed"}


def test_what_was_not_judged_or_was_refused(tmp_path: Path) -> None:
    def negative(columns: lake_files.Columns) -> lake_files.Columns:
        return {**columns, "price": [-1.0] * len(columns["price"])}

    folder = validated_lake(
        tmp_path, provenance="real", metadata=False, spoilt={"trades": negative}
    )
    assert folder.keys(Zone.QUARANTINE) == [key("trades")]
    refused = certify(folder)
    assert ("quarantined", key("trades").path) in {
        (r["reason"], r["key"]) for r in refused.refusals
    }
    lake = tmp_path / "more" / key(dt="2026-01-06").path
    lake.parent.mkdir(parents=True)
    lake.write_bytes(b"no parquet")
    part = folder.partial(key(dt="2026-01-06"))
    part.write_bytes(b"no parquet")
    Manifest(folder).append(
        "fetched", key(dt="2026-01-06"), **fetched(b"no parquet", provenance="real")
    )
    assert "not-validated" in reasons(certify(folder))


def test_a_stray_file(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    stray = folder.partial(key(name="2.snappy.parquet"), ".stray")
    stray.write_bytes(b"x")
    folder.move(stray, Zone.READY, key(name="2.snappy.parquet"))
    assert reasons(certify(folder)) == {"stray-file"}


def test_two_files_of_one_time(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    twin = key(name="2.snappy.parquet")
    data = folder.path(Zone.VALIDATED, key()).read_bytes()
    put(folder, twin, data, provenance="real", rows=lake_files.ROWS)
    validate(folder)
    refused = certify(folder)
    assert {(r["reason"], r["key"]) for r in refused.refusals} == {
        ("files-overlap", key().path),
        ("files-overlap", twin.path),
    }


def test_what_changes_meanwhile_is_not_certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command fetches a new version between examining and moving."""
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    examine = certificate_module._examine

    def republished(*arguments: Any) -> Any:
        found = examine(*arguments)
        if arguments[1] == key("trades"):
            put(folder, key(), b"no parquet", provenance="real")
        return found

    monkeypatch.setattr(certificate_module, "_examine", republished)
    with pytest.raises(StoreError, match="was fetched or judged by another command"):
        certify(folder)
    assert not list((folder.root / "certificates").iterdir())
    assert all(month.count("certified") == 0 for month in status(folder))
    entry = Manifest(folder).entry(key())
    assert entry is not None
    assert entry.zone is Zone.RAW


def test_a_record_certifies_no_file_that_was_fetched_since(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path)
    manifest = Manifest(folder)
    put(folder, key(), b"another version")
    manifest.append("certified", key(), certificate="x", verdict=REAL)
    entry = manifest.entry(key())
    assert entry is not None
    assert (entry.zone, entry.certificate) == (Zone.RAW, "")


def test_a_manifest_that_is_gone(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path)
    Manifest(folder).path.unlink()
    with pytest.raises(StoreError, match="is missing, and there are files in the zones"):
        status(folder)


@pytest.mark.parametrize(
    "wrong",
    [{"start": "2026"}, {"end": "z"}, {"start": "2026-1-5"}, {"tables": ("foo",)}, {"tables": ()}],
)
def test_requests_that_mean_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Request(**wrong)


# re-checking -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[LakeFolder, Path]:
    folder = validated_lake(tmp_path_factory.mktemp("issued"), provenance="real", metadata=False)
    path = certify(folder).path
    assert path is not None
    return folder, path


def found(path: Path, folder: LakeFolder, **options: Any) -> set[str]:
    return {r.reason for r in verify_certificate(path, folder=folder.root, **options)}


def test_a_changed_certificate(issued: tuple[LakeFolder, Path], tmp_path: Path) -> None:
    folder, path = issued
    document = json.loads(path.read_bytes())
    document["objects"][0]["rows"] += 1
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document))
    assert found(changed, folder) == {"certificate-changed"}
    document["objects"][0]["key"] = "nowhere"
    changed.write_text(json.dumps(document))
    assert "certificate-changed" in found(changed, folder)


@pytest.mark.parametrize("quick", [True, False])
def test_a_changed_file_is_found_later(tmp_path: Path, quick: bool) -> None:
    folder = validated_lake(tmp_path, provenance="real", metadata=False)
    path = certify(folder).path
    assert path is not None
    flip(folder.path(Zone.READY, key("book")))
    assert found(path, folder, quick=quick) == {"file-changed"}
    folder.path(Zone.READY, key("book")).unlink()
    assert found(path, folder, quick=quick) == {"file-missing"}


def _two_without_time(columns: lake_files.Columns) -> lake_files.Columns:
    times = np.array(columns["timestamp"])
    times[5:7] = 0
    return {**columns, "timestamp": times}


def _more(data: bytes) -> bytes:
    return data + b"x"


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "whole"])
@pytest.mark.parametrize("place", [audit_path, rows_path], ids=["audit", "rows"])
@pytest.mark.parametrize("change", [_more, None], ids=["changed", "gone"])
def test_a_changed_audit_or_list_of_rows_is_found(
    tmp_path: Path,
    quick: bool,
    place: Callable[[LakeFolder, LakeKey], Path],
    change: Callable[[bytes], bytes] | None,
) -> None:
    folder = validated_lake(
        tmp_path, provenance="real", metadata=False, spoilt={"trades": _two_without_time}
    )
    document = read_audit(audit_path(folder, key()))
    assert document["reasons"]["timestamp-missing"]["first_rows"] == [5, 6]
    path = certify(folder).path
    assert path is not None
    assert found(path, folder, quick=quick) == set()
    file = place(folder, key())
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))
    assert [(r.reason, r.detail) for r in verify_certificate(path, quick=quick)] == [
        ("audit-changed", f"{file.name} is not what the certificate saw")
    ]
    assert reasons(certify(folder)) == {"audit-changed"}


def test_a_list_of_rows_where_there_was_none_is_found(issued: tuple[LakeFolder, Path]) -> None:
    folder, path = issued
    stray = rows_path(folder, key())
    stray.write_bytes(b"x")
    try:
        assert found(path, folder, quick=True) == {"audit-changed"}
    finally:
        stray.unlink()


def test_a_certificate_outside_of_its_folder(
    issued: tuple[LakeFolder, Path], tmp_path: Path
) -> None:
    folder, path = issued
    moved = tmp_path / "moved.json"
    moved.write_bytes(path.read_bytes())
    said = refused(
        "does not lie in a folder of acquired data", "acquire", "certify", "--verify", moved
    )
    assert f"certify FOLDER --verify {moved}" in said
    assert command("acquire", "certify", folder.root, "--verify", moved).code == 0


def test_a_changed_manifest_is_found_later(issued: tuple[LakeFolder, Path]) -> None:
    folder, path = issued
    manifest = Manifest(folder)
    data = manifest.path.read_bytes()
    try:
        manifest.path.write_bytes(data.replace(b'"rows":4320', b'"rows":4321', 1))
        assert found(path, folder, quick=True) == {"manifest-changed"}
        manifest.path.write_bytes(data.splitlines(keepends=True)[0])
        assert found(path, folder, quick=True) == {"manifest-changed"}
    finally:
        manifest.path.write_bytes(data)
    assert found(path, folder, quick=True) == set()


def test_audits_are_made_anew(issued: tuple[LakeFolder, Path], tmp_path: Path) -> None:
    """A certificate whose numbers fit together, over a file that never was as it says."""
    folder, path = issued
    document = json.loads(path.read_bytes())
    audit = audit_path(folder, key("trades"))
    data = audit.read_bytes()
    try:
        audit.write_bytes(data.replace(b'"minutes_present": 1440', b'"minutes_present": 1439'))
        document["objects"] = [
            {**o, "audit_sha256": hashlib.sha256(audit.read_bytes()).hexdigest()}
            if o["key"] == key("trades").path
            else o
            for o in document["objects"]
        ]
        forged = tmp_path / "forged.json"
        forged.write_text(json.dumps(document))
        assert found(forged, folder) == {"certificate-changed", "audit-differs"}
        assert "audit-changed" in found(path, folder)
    finally:
        audit.write_bytes(data)


def test_what_is_no_certificate(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with pytest.raises(InputError, match="cannot be read"):
        verify_certificate(file)
    for text in ("", "[]", "{}", '{"format": "lobproof-lake-certificate"}'):
        file.write_text(text)
        with pytest.raises(InputError, match="is no certificate"):
            verify_certificate(file)


# commands ----------------------------------------------------------------------------------------


def test_each_step_names_the_next_and_what_the_data_is(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path)
    root = folder.root
    store = ("--out", "STORE")

    def after(*arguments: object) -> str:
        said = command("acquire", *arguments)
        assert "DEMO: synthetic data" in said.out
        return next((line for line in said.err.splitlines() if line.startswith("Next: ")), "")

    def names(*words: object) -> str:
        return f"Next: {shlex.join(['lobproof', *map(str, words)])}"

    assert after("validate", root, "--again") == names("acquire", "certify", root)
    assert after("status", root) == names("acquire", "certify", root)
    assert after("certify", root) == ""  # refused: the reasons have hints
    assert after("certify", root, "--allow-synthetic") == names("reconstruct", root, *store)
    assert after("status", root) == names("reconstruct", root, *store)
    empty = LakeFolder(tmp_path / "empty", create=True)
    assert (
        names("acquire", "download", "--out", empty.root)
        in command("acquire", "status", empty.root).err
    )
    shown = command("acquire", "status", root, "--json").document["months"]
    assert {month["provenance"] for month in shown} == {"synthetic"}


def test_the_commands(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path)
    refused = command("acquire", "certify", folder.root, "--out", tmp_path / "no.json")
    assert refused.code == 1
    assert "REFUSED" in refused.out
    assert "provenance: synthetic data is never certified" in refused.out
    assert json.loads((tmp_path / "no.json").read_bytes())["verdict"] == REFUSED
    nowhere = tmp_path / "none" / "x.json"
    early = command("acquire", "certify", folder.root, "--allow-synthetic", "--out", nowhere)
    assert (early.code, folder.keys(Zone.READY)) == (3, [])
    assert "does not exist" in early.err
    issued = command("acquire", "certify", folder.root, "--allow-synthetic", "--json")
    assert (issued.code, issued.document["verdict"]) == (0, DEMO)
    path = folder.root / "certificates" / f"{issued.document['id']}.json"
    holds = command("acquire", "certify", "--verify", path)
    assert (holds.code, holds.out.split()[0]) == (0, "HOLDS")
    assert "DEMO: synthetic data" in holds.out
    flip(folder.path(Zone.READY, key("trades")))
    broken = command("acquire", "certify", "--verify", path, "--json")
    assert broken.code == 1
    assert [f["reason"] for f in broken.document["found"]] == ["file-changed"]
    assert command("acquire", "certify").code == 3
    checked = command("acquire", "status", folder.root, "--check")
    assert checked.code == 1
    assert "changed since it was fetched" in checked.out
    plain = command("acquire", "status", folder.root)
    assert plain.code == 0
    assert "BINANCE SIM-USDT" in plain.out
    shown = command("acquire", "status", folder.root, "--json").document["months"]
    assert {month["table"]: month["states"] for month in shown} == {t: {"demo": 1} for t in TABLES}
