"""``Mirror``: a store in a bucket as a folder of this machine, which is filled as it is read.

Delta logs and seals are fetched when the store is opened, other files when they are first read, and
each is held against its seal. Everything that reads a store reads a mirror like a folder. It is a
copy: it can be deleted at any time, and nothing is ever written through it but reports.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec

from lobproof import documents
from lobproof.errors import NotFoundError, StoreError
from lobproof.files import below, locked, make_folder, write_whole
from lobproof.jit import cache_home
from lobproof.schema.tables import DAYS, TABLES
from lobproof.store.delta import MAX_COMMITS, MAX_SAVED
from lobproof.store.hashing import file_hash
from lobproof.store.layout import LOCKS, MARKER, Scope
from lobproof.store.place import BucketPlace

_ABOUT = ".mirror.json"
"""Makes a folder a mirror: says of what."""
_LOCK = "mirror.lock"
_AT_ONCE = 4
_COMMIT = re.compile(r"[0-9]{20}\.json")
_SAVED = re.compile(r"[0-9]{20}\.checkpoint\.parquet")
_DIGITS = 20
_known: dict[Path, Mirror] = {}


class _About(msgspec.Struct):
    """What a mirror is of. Credentials come from the environment, and are never written down."""

    url: str
    options: dict[str, str]


class Listed(Protocol):
    """A file as a seal lists it."""

    @property
    def path(self) -> str:
        """Below its table's folder."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def bytes_hash(self) -> str:
        """Of the file."""


def mirror_at(url: str, options: Mapping[str, str] | None = None) -> Mirror:
    """The mirror of the store at ``s3://bucket/prefix``, as the store is now.

    Parameters
    ----------
    options
        As for `place_at`: ``AWS_ACCESS_KEY_ID`` and others; by default the environment's.

    Raises
    ------
    StoreError
        If there is no store.
    LobproofError
        If the bucket refuses, or cannot be reached.
    """
    place = BucketPlace.of(url, os.environ if options is None else options)
    plain = {name: place.options[name] for name in _PLAIN if name in place.options}
    name = sha256(json.dumps([place.url, plain]).encode()).hexdigest()[:16]
    root = (cache_home() / "stores" / name).absolute()
    root.mkdir(parents=True, exist_ok=True)
    about = json.dumps({"url": place.url, "options": plain}).encode()
    if not (root / _ABOUT).exists():
        write_whole(root / _ABOUT, about)
    mirror = Mirror(place, root)
    mirror.refresh()
    _known[root] = mirror
    return mirror


_PLAIN = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ALLOW_HTTP")


def mirror_of(root: Path) -> Mirror | None:
    """The mirror that a folder is; None of another folder."""
    root = root.absolute()
    if root not in _known:
        if not (root / _ABOUT).is_file():
            return None
        about = documents.read(
            root / _ABOUT, _About, error=StoreError, hint="delete its folder; it is made anew"
        )
        options = {**about["options"], **os.environ}
        _known[root] = Mirror(BucketPlace.of(about["url"], options), root)
    return _known[root]


def bring(root: Path, folder: str, *, exact: bool) -> None:
    """Fetch the documents below a folder of a store, if ``root`` is a mirror of it.

    ``exact``: what the bucket does not hold (any more) is deleted here too.
    """
    mirror = mirror_of(root)
    if mirror is not None:
        mirror.bring(folder, exact=exact)


def share(root: Path, path: Path) -> None:
    """Store a document that was written to ``root`` in the bucket too, if it is a mirror."""
    mirror = mirror_of(root)
    if mirror is not None:
        mirror.place.put_file(path.relative_to(root).as_posix(), path)


class Mirror:
    """See the module. ``root`` is the folder, ``place`` the bucket."""

    def __init__(self, place: BucketPlace, root: Path) -> None:
        self.place = place
        self.root = root

    def refresh(self) -> None:
        """Fetch what the logs say now, and let go of what is of another store of that name."""
        with locked(make_folder(self.root, LOCKS) / _LOCK):
            found = self.place.read(MARKER)
            if found is None:
                raise StoreError(
                    f"There is no store at {self.place.url}.",
                    hint="Check the bucket, the prefix and the endpoint; `lobproof run` makes a "
                    "store.",
                )
            logs = {table.name: self._log(table.name) for table in TABLES}
            if any(self._is_another(table, log) for table, log in logs.items()):
                self._empty()
            write_whole(self.root / MARKER, found[0])
            for table, log in logs.items():
                self._take(f"{table}/_delta_log", log, exact=True)

    def _log(self, table: str) -> dict[str, int]:
        """The last checkpoint of a log and the commits from there on: name → bytes."""
        folder = f"{table}/_delta_log"
        sizes = {name.rpartition("/")[2]: n for name, n in self.place.sizes(folder).items()}
        saved = max((name for name in sizes if _SAVED.fullmatch(name)), default="")
        kept = {
            name: size
            for name, size in sizes.items()
            if name == saved or (_COMMIT.fullmatch(name) and name >= saved[:_DIGITS])
        }
        if sum(kept.values()) > MAX_COMMITS + MAX_SAVED:
            raise StoreError(
                f"The Delta log of {table} in {self.place.url} has {sum(kept.values()):,} bytes.",
                hint="It is not what lobproof writes: see what else writes to the bucket.",
            )
        return kept

    def _is_another(self, table: str, log: Mapping[str, int]) -> bool:
        """Whether what is here is of another log: a store that was made anew since."""
        folder = below(self.root, f"{table}/_delta_log")
        here = {path.name: path for path in folder.glob("*.json")} if folder.is_dir() else {}
        if not here:
            return False
        both = here.keys() & log.keys()
        if not both:
            # gone on so far that none is left of them: a commit of then may be there still
            name = max(here)
            found = self.place.read(f"{table}/_delta_log/{name}")
            return found is None or found[0] != here[name].read_bytes()
        if any(here[name].stat().st_size != log[name] for name in both):
            return True
        newest = max(both)
        found = self.place.read(f"{table}/_delta_log/{newest}")
        return found is None or found[0] != here[newest].read_bytes()

    def _empty(self) -> None:
        for entry in self.root.iterdir():
            if entry.is_dir() and entry.name != LOCKS:
                shutil.rmtree(entry)

    def _take(self, folder: str, sizes: Mapping[str, int], *, exact: bool) -> None:
        """Have files of a folder of the bucket here; with ``exact`` no others."""
        here = below(self.root, folder)
        if exact and here.is_dir():
            for path in sorted(here.rglob("*"), reverse=True):
                if path.is_file() and path.relative_to(here).as_posix() not in sizes:
                    path.unlink(missing_ok=True)
        lacking = []
        for name, size in sizes.items():
            path = below(here, name)
            if not path.is_file() or path.stat().st_size != size:
                lacking.append(name)
        for parent in sorted({str(Path(f"{folder}/{name}").parent) for name in lacking}):
            make_folder(self.root, parent)
        self._get([f"{folder}/{name}" for name in lacking])

    def _get(self, names: Iterable[str]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda name: self.place.get_file(name, below(self.root, name)), names))

    def seals(self, listed: Mapping[str, int], scope: Scope) -> None:
        """Have the seals that the table of days lists here; not those that somebody deleted."""
        folder = f"{DAYS.name}/{scope.folder}".rstrip("/")
        start = len(DAYS.name) + 1
        there = {
            name[start:]: size
            for name, size in self.place.sizes(folder).items()
            if "/_delta_log/" not in name
        }
        wanted = {
            path: size for path, size in there.items() if path in listed and _holds(scope, path)
        }
        for path in listed.keys() - there.keys():
            if _holds(scope, path):
                below(self.root, f"{DAYS.name}/{path}").unlink(missing_ok=True)
        self._take(DAYS.name, wanted, exact=False)

    def sizes(self, table: str, folder: str) -> dict[str, int]:
        """What the bucket holds of a partition of a table: path below the table → bytes."""
        start = len(table) + 1
        found = self.place.sizes(f"{table}/{folder}")
        return {name[start:]: size for name, size in found.items()}

    def fetch(self, table: str, files: Iterable[Listed], *, again: bool = False) -> None:
        """Have files of a table here, each as its seal says.

        ``again``: fetch what is here anew, to see what the bucket holds now.

        Raises
        ------
        StoreError
            If an object is not there, or holds other bytes than were sealed.
        """

        def one(file: Listed) -> None:
            path = below(self.root, f"{table}/{file.path}")
            if not again and path.is_file() and path.stat().st_size == file.size:
                return
            name = f"{table}/{file.path}"
            try:
                self.place.get_file(name, path)
            except NotFoundError as error:
                with suppress(FileNotFoundError):
                    path.unlink()
                raise StoreError(f"{self.place.url}/{name} does not exist", hint=_AGAIN) from error
            if path.stat().st_size != file.size or file_hash(path) != file.bytes_hash:
                path.unlink()
                raise StoreError(
                    f"{self.place.url}/{name} holds other bytes than were sealed", hint=_AGAIN
                )

        files = list(files)
        for parent in sorted({str(Path(f"{table}/{file.path}").parent) for file in files}):
            make_folder(self.root, parent)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(one, files))

    def bring(self, folder: str, *, exact: bool) -> None:
        """Have the documents below a folder here; see `bring`."""
        start = len(folder) + 1
        sizes = {name[start:]: size for name, size in self.place.sizes(folder).items()}
        self._take(folder, sizes, exact=exact)


_AGAIN = "If the day was replaced meanwhile, open the store again. Otherwise make that day anew."


def _holds(scope: Scope, path: str) -> bool:
    return scope.holds(path.rpartition("/")[0])
