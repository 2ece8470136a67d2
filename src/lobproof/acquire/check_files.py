"""Every file of a folder held against the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from lobproof.acquire.manifest import Manifest, reconcile
from lobproof.acquire.standing import require_whole
from lobproof.acquire.zones import LakeFolder, Zone


def check_files(
    folder: LakeFolder, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Hash every file; what is wrong, a line each, empty where all is as the manifest says.

    First puts the files that a kill left in the wrong zone where they belong: after that a zone
    is as the manifest says, or a line here says how not.

    Raises
    ------
    StoreError
        When the manifest was changed, or lost lines; then no file is moved.
    """
    require_whole(folder)
    manifest = Manifest(folder)
    reconcile(manifest)
    entries = manifest.entries()
    total = sum(int(entry.fetched["size"]) for entry in entries.values())
    done, wrong = 0, []
    for key, entry in entries.items():
        path = folder.path(entry.zone, key)
        if progress is not None:
            progress(done, total)
        done += int(entry.fetched["size"])
        if not path.is_file():
            wrong.append(f"{key}: not in {entry.zone}; download it again")
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != entry.fetched["sha256"]:
            wrong.append(
                f"{key}: in {entry.zone}, but changed since it was fetched; "
                "`validate --again` refuses it"
            )
    for zone in Zone:
        for key in folder.keys(zone):
            if key not in entries:
                wrong.append(f"{key}: in {zone}, and the manifest does not know it")
            elif entries[key].zone is not zone:
                wrong.append(f"{key}: in {zone} as well as in {entries[key].zone}")
    return wrong
