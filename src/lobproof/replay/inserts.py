"""Events that follow from a vendor row: a snapshot that it becomes, or a mark of doubt."""

from __future__ import annotations

import numpy as np

from lobproof.replay.vendor_kernels import DISTRUST, QUIET, STRAND
from lobproof.schema import LEVELS, EventBatch, Flag, Kind, Side, VendorBatch


def doubt_mark(action: int, ts: int, sequence: int) -> EventBatch:
    """The mark of :data:`DISTRUST` or :data:`QUIET`, at ``ts``, behind the message ``sequence``."""
    flags = {DISTRUST: Flag.DRIFT, QUIET: Flag.SILENCE}[action]
    batch = EventBatch.empty(1)
    batch.ts_order[:] = ts
    batch.sequence[:] = sequence
    batch.prev_sequence[:] = -1
    batch.kind[:] = Kind.MARK
    batch.flags[:] = flags | Flag.LAST
    return batch


def snapshot_of(vendor_row: VendorBatch, action: int, *, restores: bool) -> EventBatch:
    """The one row of ``vendor_row`` as a snapshot: bids, then asks, best first.

    ``restores``: the book was in doubt until here.
    """
    levels = vendor_row.levels[0].reshape(2, LEVELS, 2)
    sides, places = np.nonzero(levels[:, :, 0])
    batch = EventBatch.empty(len(sides))
    for name in ("ts_order", "ts_event", "ts_recv", "sequence"):
        getattr(batch, name)[:] = getattr(vendor_row, name)[0]
    batch.prev_sequence[:] = -1
    batch.kind[:] = Kind.SNAPSHOT
    batch.side[:] = sides + int(Side.BID)
    batch.price[:] = levels[sides, places, 0]
    batch.size[:] = levels[sides, places, 1]
    # fewer than twenty may be all that the vendor kept: a count says nothing of a side's end
    batch.flags[:] = vendor_row.flags[0]
    if restores:
        batch.flags |= int(Flag.RESYNC)
    if action == STRAND:
        batch.flags |= int(Flag.GHOST_LEVELS)
    batch.flags[-1] |= int(Flag.LAST)
    return batch
