"""Checkpoint files: what a killed task needs to go on, in one file that is whole or refused.

A file is a magic line, the length of a JSON header (64 bits), the header, the arrays' values one
after the other (little-endian, by row), and a keyed hash (BLAKE2b) of all that. Its key lies in
the user's cache folder: what a checkpoint holds becomes the state of compiled kernels, so only the
user's own is gone on from.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from hmac import compare_digest
from pathlib import Path
from secrets import token_bytes
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof import __version__, documents
from lobproof.errors import InputError, StoreError
from lobproof.files import TEMPORARY, below, make_folder, new_file, replacing
from lobproof.instruments import Instrument
from lobproof.jit import cache_folder
from lobproof.parquet import read_footer
from lobproof.paths import naming
from lobproof.schema.tables import FORMAT_VERSION, KEYFRAMES, MINUTES, QUALITY
from lobproof.store.columns import in_memory
from lobproof.store.hashing import table_hash
from lobproof.store.keyframe import Keyframe, pack, unpack
from lobproof.store.layout import CHECKPOINTS, Partition
from lobproof.store.lock import require_lock
from lobproof.store.parts import Part, PartTarget, stored_document

_MAGIC = b"lobproof checkpoint 2\n"
_SUFFIX = ".ckpt"
_DIGEST_BYTES = 16
_MAX_BYTES = 512 << 20
_KEY_FILE = "checkpoints.key"
_KEY_BYTES = 32
_TASK_DIGITS = 16
KEY = "day writer"
"""The writer's share of a checkpoint is under this key, its arrays under ``KEY/TABLE/NAME``."""
SMALL = (QUALITY, MINUTES)
"""Tables whose rows wait for the end of the day."""

Rows = Mapping[str, Mapping[str, Sequence[object]]]
"""Rows of the small tables: table → column → values."""

_START_ANEW = "Delete the checkpoint and run again: the day starts anew."


class CheckpointError(StoreError):
    """A checkpoint that cannot be gone on from. The message says why; the day must start anew."""

    def __init__(self, message: str, *, hint: str = _START_ANEW) -> None:
        super().__init__(message, hint=hint)


class Saved(NamedTuple):
    """What a checkpoint holds: a document that can be JSON, and arrays by name."""

    document: dict[str, Any]
    arrays: dict[str, NDArray[np.generic]]


def checkpoint_path(root: Path, partition: Partition, task_id: str) -> Path:
    """Where a task keeps its checkpoint of a symbol-day.

    Parameters
    ----------
    root
        The store.
    task_id
        At least 16 lower-case hexadecimal digits; the first 16 are part of the name.
    """
    if not re.fullmatch(rf"[0-9a-f]{{{_TASK_DIGITS},}}", task_id):
        raise ValueError(f"a task's id has at least {_TASK_DIGITS} hexadecimal digits: {task_id!r}")
    name = f"{_stem(partition)}{task_id[:_TASK_DIGITS]}{_SUFFIX}"
    return below(root, f"{CHECKPOINTS}/{name}")


def checkpointed_days(root: Path, instrument: Instrument, task_id: str) -> list[str]:
    """The days of an instrument of which a task has left a checkpoint, in order."""
    name = re.compile(
        rf"{re.escape(f'{instrument.exchange}.{instrument.symbol}.')}"
        rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})\.{task_id[:_TASK_DIGITS]}{re.escape(_SUFFIX)}"
    )
    folder = below(root, CHECKPOINTS)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [found[1] for one in names if (found := name.fullmatch(one))]


def list_checkpoints(root: Path, partition: Partition) -> list[Path]:
    """The checkpoints of a symbol-day, of whatever task, by name."""
    return [path for path in _files(root, partition) if not path.name.startswith(TEMPORARY)]


def drop_checkpoints(root: Path, partition: Partition, *, keep: Path | None = None) -> list[Path]:
    """Delete the checkpoints of a symbol-day but ``keep``, half-written ones too.

    The symbol's lock must be held.

    Returns
    -------
    list[Path]
        The deleted files.
    """
    require_lock(root, partition.exchange, partition.symbol, partition.dt)
    dropped = [path for path in _files(root, partition) if path != keep]
    for path in dropped:
        path.unlink(missing_ok=True)
    return dropped


def write_checkpoint(
    path: Path, document: Mapping[str, object], arrays: Mapping[str, NDArray[np.generic]]
) -> None:
    """Write a checkpoint and wait for the disk; an older one stays whole until it is replaced.

    Parameters
    ----------
    path
        From `checkpoint_path`; its folder is made, but not the one above.
    document
        What JSON can hold; tuples come back as lists.
    arrays
        Arrays of integers, floats or truth values, of any shape.

    Raises
    ------
    ValueError, TypeError
        If the document cannot be JSON, or an array holds something else.
    OSError
        If the disk refuses.
    """
    plain = {name: _little_endian(name, array) for name, array in arrays.items()}
    header = json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "lobproof_version": __version__,
            "kernels": cache_folder().name,  # the arrays mean what these make of them
            "name": path.name,
            "document": document,
            "arrays": [[name, a.dtype.str, arrays[name].shape] for name, a in plain.items()],
        },
        ensure_ascii=False,
    ).encode()
    make_folder(path.parent.parent, path.parent.name)
    digest = _digest()
    with replacing(path) as temporary, naming(path), temporary.open("wb") as file:
        for piece in (_MAGIC, struct.pack("<Q", len(header)), header):
            digest.update(piece)
            file.write(piece)
        for array in plain.values():
            digest.update(array.data)
            file.write(array.data)
        file.write(digest.digest())


def read_checkpoint(path: Path) -> Saved | None:
    """What `write_checkpoint` wrote, None if there is no such file; the arrays are the caller's.

    Raises
    ------
    CheckpointError
        If the file is damaged, of another version of lobproof or of its kernels, or another
        checkpoint renamed.
    """
    try:
        data = documents.read_bytes(path, _MAX_BYTES)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointError(f"The checkpoint {path} is damaged: {error}.") from error
    body = memoryview(data)[:-_DIGEST_BYTES]
    digest = _digest()
    digest.update(body)
    if not data.startswith(_MAGIC) or not compare_digest(digest.digest(), data[-_DIGEST_BYTES:]):
        raise CheckpointError(
            f"The checkpoint {path} is damaged, or was written by another user or on another "
            "machine: it is not what was written here."
        )
    at = len(_MAGIC) + 8
    (length,) = struct.unpack_from("<Q", data, len(_MAGIC))
    header = json.loads(data[at : at + length])
    if (header["format_version"], header["lobproof_version"]) != (FORMAT_VERSION, __version__):
        raise CheckpointError(
            f"The checkpoint {path} was written by lobproof {header['lobproof_version']} "
            f"(format {header['format_version']}); this is {__version__} ({FORMAT_VERSION})."
        )
    if header.get("kernels") != cache_folder().name:
        raise CheckpointError(f"The checkpoint {path} was written by other kernels than these.")
    if header["name"] != path.name:
        raise CheckpointError(f"The checkpoint {path} is that of {header['name']}, renamed.")
    at += length
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, kind, shape in header["arrays"]:
        size = np.dtype(kind).itemsize * math.prod(shape)
        flat = np.frombuffer(body[at : at + size], kind)
        arrays[name] = flat.astype(flat.dtype.newbyteorder("=")).reshape(shape)
        at += size
    return Saved(header["document"], arrays)


class CheckpointThread:
    """Writes checkpoints in the background, in order and one at a time.

    One more may wait; a newer one takes its place. An error is raised by the next call.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "lobproof-checkpoint")
        self._flying: deque[Future[None]] = deque()

    def submit(self, write: Callable[[], None]) -> None:
        """Have ``write`` called soon."""
        self.check()
        if self._flying and self._flying[-1].cancel():
            self._flying.pop()
        self._flying.append(self._thread.submit(write))

    def check(self) -> None:
        """Raise what went wrong since the last call."""
        while self._flying and self._flying[0].done():
            self._flying.popleft().result()

    def close(self) -> None:
        """Wait until all is written."""
        self._thread.shutdown()
        self.check()

    def abort(self) -> None:
        """Wait too, but let no error out."""
        self._thread.shutdown()


def _digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=_DIGEST_BYTES, key=_key(cache_folder().parents[1]))


@cache
def _key(folder: Path) -> bytes:
    """The user's key, made when it is first needed; this process's own where it cannot be kept."""
    path, key = folder / _KEY_FILE, token_bytes(_KEY_BYTES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = new_file(path, 0o600)
        try:
            made.write_bytes(key)
            path.hardlink_to(made)  # whole, and of several processes only one's
        except FileExistsError:
            pass
        finally:
            made.unlink()
        found = documents.read_bytes(path, _KEY_BYTES)
    except (OSError, ValueError):
        return key
    return found if len(found) == _KEY_BYTES else key


def _stem(partition: Partition) -> str:
    return f"{partition.exchange}.{partition.symbol}.{partition.dt}."


def _files(root: Path, partition: Partition) -> Iterator[Path]:
    folder = below(root, CHECKPOINTS)
    whole = rf"{re.escape(_stem(partition))}[0-9a-f]{{{_TASK_DIGITS}}}{re.escape(_SUFFIX)}"
    ours = re.compile(rf"{whole}|{re.escape(TEMPORARY)}{whole}.*")
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if ours.fullmatch(path.name) and not path.is_dir():
            yield path


def _little_endian(name: str, array: NDArray[np.generic]) -> NDArray[np.generic]:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"array {name!r} of a checkpoint has values of type {array.dtype}")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)


@dataclass(slots=True)
class Position:
    """How far a day is written."""

    rows: int = 0  # events
    part_ends: list[int] = field(default_factory=list)  # last event id of each closed part
    frame_part: int = 0  # closed parts that the keyframes' current part is past
    last_frame: int = -2  # event of the last keyframe
    first_ts: int = 0
    last_ts: int = 0

    @property
    def part_rows(self) -> int:
        """Events in the open part."""
        return self.rows - (self.part_ends[-1] + 1 if self.part_ends else 0)

    def put_frame(self, event_id: int) -> bool:
        """Note a keyframe behind that event; whether it is the first of a part of keyframes.

        Raises
        ------
        ValueError
            If keyframes are not in order of their events, or ahead of them.
        """
        if not self.last_frame < event_id < max(self.rows, 1) or event_id < -1:
            raise ValueError(
                f"keyframe of event {event_id} after that of {self.last_frame}, "
                f"with {self.rows} events written"
            )
        self.last_frame = event_id
        before = self.frame_part
        while self.frame_part < len(self.part_ends) and event_id > self.part_ends[self.frame_part]:
            self.frame_part += 1
        return self.frame_part > before

    def copy(self) -> Position:
        """A position of its own."""
        return Position(**asdict(self))


@dataclass(frozen=True, slots=True)
class Progress:
    """A writer's state at one moment; its parts may still be on their way to the disk.

    ``identity`` says which day in which shape. ``frames`` are the keyframes since the last closed
    part of keyframes.
    """

    identity: Mapping[str, object]
    position: Position
    parts: Mapping[str, Sequence[Future[Part]]]
    frames: Sequence[Keyframe]
    small: Rows

    def saved(self) -> Saved:
        """Wait for the parts, and give everything as a checkpoint holds it.

        Raises
        ------
        LobproofError, OSError
            If a part could not be written.
        """
        texts: dict[str, object] = {}
        arrays: dict[str, NDArray[np.generic]] = {
            f"{KEY}/{KEYFRAMES.name}/{name}": array for name, array in pack(self.frames).items()
        }
        for table in SMALL:
            for column in table.schema:
                name = f"{KEY}/{table.name}/{column.name}"
                values = in_memory(column, self.small[table.name][column.name])
                if isinstance(values, np.ndarray):
                    arrays[name] = values
                else:
                    texts[name] = values
        document = {
            "identity": dict(self.identity),
            "position": asdict(self.position),
            "parts": {
                name: [_entry(future.result()) for future in futures]
                for name, futures in self.parts.items()
            },
            "texts": texts,
        }
        return Saved({KEY: document}, arrays)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a checkpoint says of a day's writer, its parts found as they were; or nothing."""

    position: Position = field(default_factory=Position)
    parts: Mapping[str, Sequence[Part]] = field(default_factory=dict)
    frames: Sequence[Keyframe] = ()
    small: Rows = field(default_factory=dict)


def restore(
    saved: Saved, identity: Mapping[str, object], targets: Mapping[str, PartTarget]
) -> Restored:
    """Read the writer's share of a checkpoint, and look for the parts that it lists.

    Raises
    ------
    CheckpointError
        If it is another day's or of another shape, or a part is missing or not what it was.
    """
    if KEY not in saved.document:
        raise CheckpointError("The checkpoint says nothing of a day's files.")
    document = saved.document[KEY]
    for name, value in identity.items():
        was = document["identity"][name]
        if was != value:
            raise CheckpointError(f"The checkpoint is of another {name}: {was}, not {value}.")
    prefix = f"{KEY}/{KEYFRAMES.name}/"
    return Restored(
        position=Position(**document["position"]),
        parts={
            name: [_found(target, n, entry) for n, entry in enumerate(document["parts"][name])]
            for name, target in targets.items()
        },
        frames=unpack(
            {name[len(prefix) :]: a for name, a in saved.arrays.items() if name.startswith(prefix)}
        ),
        small={
            table.name: {
                name: _values(saved, document["texts"], f"{KEY}/{table.name}/{name}")
                for name in table.schema.names
            }
            for table in SMALL
        },
    )


def _entry(part: Part) -> dict[str, object]:
    """A part without its leaves: they are in the file."""
    return {name: value for name, value in asdict(part).items() if name != "leaves"}


def _values(saved: Saved, texts: Mapping[str, list[object]], name: str) -> list[object]:
    values: list[object] = texts[name] if name in texts else saved.arrays[name].tolist()
    return values


def _found(target: PartTarget, number: int, entry: Mapping[str, Any]) -> Part:
    """The part as it was saved, with the leaves that its file has: they must give its hash."""
    path = below(target.root, f"{target.table.name}/{entry['path']}")
    try:
        size = path.stat().st_size
        metadata = read_footer(path) if size == entry["size"] else None
        document, leaves = ({}, b"") if metadata is None else stored_document(metadata)
    except FileNotFoundError:
        raise CheckpointError(f"{path}, which the checkpoint lists, is missing.") from None
    except (OSError, ValueError, pa.ArrowException, InputError) as error:
        raise CheckpointError(
            f"{path}, which the checkpoint lists, cannot be read: {error}"
        ) from error
    place = (target.partition.dt, number)
    whole = metadata is not None and metadata.num_rows == entry["rows"]
    digest = table_hash(target.head, [(entry["rows"], leaves)])
    if not whole or digest != entry["hash"] or (document["dt"], document["part"]) != place:
        raise CheckpointError(f"{path} is not the file that the checkpoint lists.")
    return Part(**entry, leaves=leaves)
