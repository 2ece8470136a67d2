"""Certificates against the manifest: new versions of their files, lines cut off, other disks."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes.lake import environment
from fakes.s3 import FakeBucket, fake_lake
from lobproof.acquire.certificate import certify
from lobproof.acquire.certificate_status import certificate_statuses, require_whole
from lobproof.acquire.judging import validate
from lobproof.acquire.manifest import Manifest, reconcile
from lobproof.acquire.months import check_files
from lobproof.acquire.transfer import download as fetch
from lobproof.acquire.zones import LakeFolder, Zone
from lobproof.errors import StoreError
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.sources.cryptolake.request import Request
from support import lake_files
from support.acquired import fetched, key, put, validated_lake
from support.commands import Said, command, refused


def certified(folder: Path) -> tuple[LakeFolder, str]:
    """A folder with one certified day, and the certificate's id."""
    lake = validated_lake(folder)
    document = certify(lake, allow_synthetic=True).document
    return lake, str(document["id"])


def placed(folder: LakeFolder) -> dict[Zone, list[Any]]:
    return {zone: folder.keys(zone) for zone in Zone}


def cut(folder: LakeFolder, lines: int) -> None:
    """Take the last lines of the manifest away."""
    path = Manifest(folder).path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-lines]))


# new versions ------------------------------------------------------------------------------------


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBucket]:
    """A day of each table, and the environment of a user with access to it."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    lake = tmp_path / "objects"
    for table in TABLES:
        path = lake / key(table).path
        path.parent.mkdir(parents=True)
        pq.write_table(lake_files.arrow(table, lake_files.MAKERS[table]()), path)
    with fake_lake("republished") as server:
        server.put_folder(lake)
        yield server


def download(bucket: FakeBucket, *options: str) -> Said:
    place = ("--endpoint", bucket.url, "--bucket", bucket.bucket, "--prefix", bucket.prefix)
    return command("acquire", "download", *place, "--out", "lake", *options)


def test_a_new_version_names_the_certificate_that_it_breaks(
    bucket: FakeBucket, tmp_path: Path
) -> None:
    assert download(bucket).code == 0
    folder = LakeFolder(tmp_path / "lake")
    validate(folder)
    trades = certify(folder, Request(tables=("trades",)), allow_synthetic=True).document["id"]
    whole = certify(folder, allow_synthetic=True).document["id"]
    assert download(bucket, "--json").document["plan"]["breaks_certificates"] == []

    table = pq.read_table(tmp_path / "objects" / key("book").path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), tmp_path / "new.parquet")
    bucket.put(key("book").path, (tmp_path / "new.parquet").read_bytes())
    dry = download(bucket, "--dry-run")
    assert f"breaks     certificate {whole} (DEMO)" in dry.out
    assert key("book").path in dry.out
    assert trades not in dry.out
    refusal = download(bucket, "--ask-above-gb", "0")
    assert refusal.code == 3
    assert f"breaks     certificate {whole}" in refusal.out
    assert folder.where(key("book")) is Zone.READY

    done = download(bucket, "--json").document
    assert done["plan"]["breaks_certificates"] == [
        {"id": whole, "verdict": "DEMO", "keys": [key("book").path]}
    ]
    assert [broken["id"] for broken in done["certificates_broken"]] == [whole]
    told = command("acquire", "status", folder.root)
    assert (told.code, trades in told.out) == (0, False)
    assert f"certificate {whole} no longer holds: {key('book')}: a new version" in told.out
    shown = command("acquire", "status", folder.root, "--json").document["certificates"]
    assert {one["id"]: (one["holds"], one["broken"]) for one in shown} == {
        trades: (True, {}),
        whole: (False, {key("book").path: "a new version was fetched"}),
    }
    assert download(bucket, "--json").document["plan"]["breaks_certificates"] == []


def test_a_version_that_comes_while_it_is_fetched_is_named_afterwards(
    bucket: FakeBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert download(bucket).code == 0
    folder = LakeFolder(tmp_path / "lake")
    validate(folder)
    name = certify(folder, allow_synthetic=True).document["id"]

    def republished(*arguments: Any, **options: Any) -> Any:
        put(folder, key(), b"another version")
        folder.path(Zone.READY, key()).unlink()
        return fetch(*arguments, **options)

    monkeypatch.setattr("lobproof.cli.acquire.download.run_download", republished)
    said = download(bucket)
    assert "breaks" not in said.out
    assert f"broken     certificate {name} no longer holds" in said.out


def test_files_judged_or_fetched_again_break_a_certificate(tmp_path: Path) -> None:
    folder, name = certified(tmp_path)
    validate(folder, [key()], again=True)
    data = folder.path(Zone.READY, key("book")).read_bytes()
    folder.path(Zone.READY, key("book")).unlink()
    put(folder, key("book"), data)
    (status,) = certificate_statuses(folder)
    assert (status.name, status.holds, status.cut) == (name, False, False)
    assert dict(status.broken) == {key(): "judged again", key("book"): "fetched again"}
    require_whole(folder)


@pytest.mark.parametrize("damage", ["text", "name", "content"])
def test_a_damaged_certificate_does_not_hold(tmp_path: Path, damage: str) -> None:
    folder, name = certified(tmp_path)
    path = folder.root / "certificates" / f"{name}.json"
    if damage == "text":
        path.write_text("{}")
    elif damage == "name":
        path.rename(path.with_name("other.json"))
    else:
        path.write_text(path.read_text().replace('"rows": 4320', '"rows": 4321'))
    (status,) = certificate_statuses(folder)
    assert not status.holds
    assert status.problem
    require_whole(folder)


# lines cut off -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [1, 3, 4, 6])
def test_a_manifest_without_its_last_lines_moves_nothing(tmp_path: Path, lines: int) -> None:
    folder, name = certified(tmp_path)
    cut(folder, lines)
    before = placed(folder)
    assert before[Zone.READY]
    for arguments in (
        ("status", folder.root, "--check"),
        ("validate", folder.root),
        ("certify", folder.root, "--allow-synthetic"),
    ):
        said = refused(f"lacks lines: certificate {name}", "acquire", *arguments)
        assert "backup" in said
        assert placed(folder) == before
    plain = command("acquire", "status", folder.root)
    assert plain.code == 1
    assert f"certificate {name} no longer holds: the manifest does not" in plain.out
    assert "Hint: restore the manifest" in plain.err
    assert command("acquire", "status", folder.root, "--json").code == 1


def test_lines_that_follow_on_a_cut_hide_nothing(tmp_path: Path) -> None:
    folder, _ = certified(tmp_path)
    cut(folder, 6)
    Manifest(folder).append("fetched", key(dt="2026-01-06"), **fetched(b"x"))
    with pytest.raises(StoreError, match="lacks lines"):
        require_whole(folder)


def test_without_a_certificate_the_zones_show_a_cut(tmp_path: Path) -> None:
    folder = validated_lake(tmp_path)
    cut(folder, 1)
    before = placed(folder)
    with pytest.raises(StoreError, match="is in validated, and no line says so"):
        check_files(folder)
    assert placed(folder) == before


def test_a_download_goes_no_further_on_a_cut_manifest(bucket: FakeBucket, tmp_path: Path) -> None:
    assert download(bucket).code == 0
    folder = LakeFolder(tmp_path / "lake")
    validate(folder)
    certify(folder, allow_synthetic=True)
    cut(folder, 3)
    before = placed(folder)
    said = download(bucket)
    assert said.code == 3
    assert "lacks lines" in said.err
    assert placed(folder) == before


# another filesystem ------------------------------------------------------------------------------


def test_zones_on_two_filesystems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = validated_lake(tmp_path)
    rename = Path.rename

    def across(self: Path, target: Path) -> Path:
        if folder.root / Zone.READY in Path(target).parents:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", across)
    said = refused(
        "lie on different filesystems", "acquire", "certify", folder.root, "--allow-synthetic"
    )
    for zone in (Zone.VALIDATED, Zone.READY):
        assert str(folder.root / zone) in said
    assert len(folder.keys(Zone.VALIDATED)) == len(TABLES)
    assert not folder.keys(Zone.READY)
    assert json.loads(command("acquire", "status", folder.root, "--json").out)["certificates"] == []
    monkeypatch.undo()
    manifest = Manifest(folder)
    assert reconcile(manifest)
    assert check_files(folder) == []
