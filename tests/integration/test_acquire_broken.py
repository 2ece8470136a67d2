"""Files of a folder edited by hand: each command says so, with a hint, and none believes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lobproof.acquire.certificate import certify, verify_certificate
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.zones import LakeFolder
from lobproof.documents import content_digest
from support.acquired import validated_lake
from support.commands import command, refused

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> LakeFolder:
    """A folder with one certified day."""
    lake = validated_lake(tmp_path)
    certify(lake, allow_synthetic=True)
    return lake


def certificate(folder: LakeFolder) -> Path:
    (path,) = (folder.root / "certificates").glob("*.json")
    return path


def edited(path: Path, edit: Edit, *, sealed: bool = False) -> Path:
    """Change a certificate; ``sealed`` makes its id and name fit again."""
    document = json.loads(path.read_bytes())
    edit(document)
    if sealed:
        content = {k: v for k, v in document.items() if k not in ("id", "issued_at")}
        document["id"] = content_digest(content)
        path.unlink()
        path = path.with_name(f"{document['id']}.json")
    path.write_text(json.dumps(document))
    return path


EDITS: dict[str, Edit] = {
    "pin-of-text": lambda d: d["manifest"].update(records="6"),
    "pin-below-zero": lambda d: d["manifest"].update(records=-1),
    "pin-without-head": lambda d: d["manifest"].pop("head"),
    "pin-is-a-list": lambda d: d.update(manifest=[]),
    "size-of-text": lambda d: d["objects"][0].update(size="x"),
    "rows-of-text": lambda d: d["objects"][0].update(rows="x"),
    "no-rows": lambda d: d["objects"][0].pop("rows"),
    "no-provenance": lambda d: d["objects"][0].pop("provenance"),
    "key-is-a-number": lambda d: d["objects"][0].update(key=5),
    "objects-by-name": lambda d: d.update(objects={}),
}


@pytest.mark.parametrize("sealed", [False, True], ids=["as-edited", "sealed"])
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_certificate_of_another_shape_is_none(
    folder: LakeFolder, edit: Edit, *, sealed: bool
) -> None:
    path = edited(certificate(folder), edit, sealed=sealed)
    refused("is no certificate", "acquire", "certify", "--verify", path)
    told = command("acquire", "status", folder.root)
    assert f"certificate {path.stem} no longer holds: its file is no certificate" in told.out


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["manifest"].update(head="0" * 64),
        lambda d: d["manifest"].update(records=1),
        lambda d: d.update(id="0" * 64),
        lambda d: d.pop("verdict"),
    ],
    ids=["pin", "length", "id", "verdict"],
)
def test_an_edited_certificate_is_not_issued_again(folder: LakeFolder, edit: Edit) -> None:
    old = edited(certificate(folder), edit)
    new = certify(folder, allow_synthetic=True)
    assert (new.verdict, new.refusals) == ("DEMO", [])
    assert new.path is not None
    assert new.path != old
    assert verify_certificate(new.path) == []


@pytest.mark.parametrize("name", ["key", "certificate", "event", "verdict"])
def test_a_last_line_that_lacks_something(folder: LakeFolder, name: str) -> None:
    path = Manifest(folder).path
    *lines, last = path.read_bytes().splitlines(keepends=True)
    record = json.loads(last)
    del record[name]
    path.write_bytes(b"".join(lines) + json.dumps(record).encode() + b"\n")
    number = len(lines) + 1
    for words in (["status"], ["validate"], ["certify", "--allow-synthetic"]):
        refused(f"line {number}: the manifest was changed", "acquire", *words, folder.root)
