"""Where a day's writer stands at the end of a part: all that another process needs to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.errors import InputError
from lobproof.files import below
from lobproof.parquet import read_footer
from lobproof.schema.tables import KEYFRAMES, MINUTES, QUALITY
from lobproof.store.checkpoint import CheckpointError, Saved
from lobproof.store.hashing import table_hash
from lobproof.store.keyframe import Keyframe, pack, unpack
from lobproof.store.parts import Part, PartTarget, stored_document
from lobproof.store.small import in_memory

KEY = "day writer"
"""The writer's share of a checkpoint is under this key, its arrays under ``KEY/TABLE/NAME``."""
SMALL = (QUALITY, MINUTES)
"""Tables whose rows wait for the end of the day."""

Rows = Mapping[str, Mapping[str, Sequence[object]]]
"""Rows of the small tables: table → column → values."""


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
