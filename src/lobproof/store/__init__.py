"""The store: symbol-days as Delta tables, whole or not at all, hashed and sealed."""

from lobproof.store.audit import AuditReport, Damage
from lobproof.store.bookview import BookView
from lobproof.store.checkpoint import (
    CheckpointError,
    Saved,
    checkpoint_path,
    checkpointed_days,
    drop_checkpoints,
    list_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from lobproof.store.commit import clean_partition, commit_day, sealed, told_deleted
from lobproof.store.content import DayContent, TableContent
from lobproof.store.keyframe import Keyframe
from lobproof.store.layout import Partition
from lobproof.store.lock import symbol_lock
from lobproof.store.parts import Part
from lobproof.store.reader import Store, open_store
from lobproof.store.seal import CALLER_COLUMNS, FROM, partial_from
from lobproof.store.writer import DayWriter

__all__ = [
    "CALLER_COLUMNS",
    "FROM",
    "AuditReport",
    "BookView",
    "CheckpointError",
    "Damage",
    "DayContent",
    "DayWriter",
    "Keyframe",
    "Part",
    "Partition",
    "Saved",
    "Store",
    "TableContent",
    "checkpoint_path",
    "checkpointed_days",
    "clean_partition",
    "commit_day",
    "drop_checkpoints",
    "list_checkpoints",
    "open_store",
    "partial_from",
    "read_checkpoint",
    "sealed",
    "symbol_lock",
    "told_deleted",
    "write_checkpoint",
]
