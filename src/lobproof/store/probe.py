"""``probe``: does a bucket keep what commits rely on? Asked before anything is written to it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

from lobproof.errors import StoreError
from lobproof.store.place import BucketPlace, ConflictError

_AT_ONCE = 8


def probe(place: BucketPlace) -> None:
    """See that a bucket refuses to overwrite what a writer has not seen. Leaves nothing there.

    Raises
    ------
    StoreError
        Naming what it does not honour: of two writers' commits one would be lost.
    LobproofError
        If it cannot be reached, or refuses.
    """
    name = f".probe/{token_hex(8)}"
    try:
        first = place.write(name, b"first", old=None)
        if _taken(place, name, b"other", None):
            raise _refused(place, "makes an object anew that is there (If-None-Match)")
        second = place.write(name, b"second", old=first)
        if _taken(place, name, b"other", first):
            raise _refused(place, "replaces an object that has changed since (If-Match)")
        if place.read(name) != (b"second", second):
            raise _refused(place, "gives something else than was written last")
        if name not in place.sizes(".probe"):
            raise _refused(place, "does not list what it holds")
        race = f"{name}.race"
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                won = list(
                    pool.map(lambda n: _taken(place, race, b"%d" % n, None), range(_AT_ONCE))
                )
        finally:
            place.delete(race)
        if sum(won) != 1:
            raise _refused(place, f"let {sum(won)} of {_AT_ONCE} writers make the same object")
    finally:
        place.delete(name)


def _taken(place: BucketPlace, name: str, data: bytes, old: str | None) -> bool:
    try:
        place.write(name, data, old=old)
    except ConflictError:
        return False
    return True


def _refused(place: BucketPlace, what: str) -> StoreError:
    return StoreError(
        f"{place.url} {what}, so commits of two writers could overwrite each other",
        hint="use a store that takes conditional puts (AWS S3, MinIO, R2, and Ceph do), or a "
        "folder on disk",
    )
