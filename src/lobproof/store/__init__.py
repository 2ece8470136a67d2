"""The store: symbol-days as Delta tables, whole or not at all, hashed and sealed.

It answers: how is a day written (`writer`, its files `parts`, their columns `columns`, content
hashes `hashing`) and gone on with after a kill (`checkpoint`); who may write it (`lock`) and where
it lies (`layout`); how is it committed (`commit`, by Delta's log `delta`); how does a store live in
a bucket (`place`, `probe`, `lease`, `publish`, read by way of a `mirror`); what is a seal, and is a
file what was sealed (`seal`, `audit`); what may be read (`catalog`), as what (`reader`, `views`,
`playback`); how is a book made of a keyframe and stored events (`keyframe`, `daybook`; shown by
`bookview`, at many instants by `ladder`).

It does not answer what happened in the market, or whether that is right: it keeps what it is given.
"""

from lobproof.store.audit import AuditReport, Damage
from lobproof.store.bookview import BookView
from lobproof.store.catalog import check_sealed
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
from lobproof.store.commit import clean_partition, commit_day, told_deleted
from lobproof.store.daybook import Message
from lobproof.store.keyframe import Keyframe
from lobproof.store.layout import ALL, Partition, Scope, check_folder
from lobproof.store.lock import symbol_lock
from lobproof.store.parts import DayContent, Part, TableContent
from lobproof.store.reader import Store, as_store, open_store
from lobproof.store.seal import CALLER_COLUMNS, FROM, partial_from, sealed
from lobproof.store.writer import DayWriter

__all__ = [
    "ALL",
    "CALLER_COLUMNS",
    "FROM",
    "AuditReport",
    "BookView",
    "CheckpointError",
    "Damage",
    "DayContent",
    "DayWriter",
    "Keyframe",
    "Message",
    "Part",
    "Partition",
    "Saved",
    "Scope",
    "Store",
    "TableContent",
    "as_store",
    "check_folder",
    "check_sealed",
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
