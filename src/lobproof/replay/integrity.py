"""The chain audit: gaps, repeats and late messages of a stream become rows and flags.

Nothing is dropped: a gap becomes a MARK row with ``GAP`` right before the message that reveals
it, its ``prev_sequence`` the last id before the gap and its ``sequence`` the last missing id; a
repeated or late message becomes a MARK row that says so, since applying it would move the book
back; ids that go back while time goes on are a break of the chain, and its mark has ``GAP`` and
``OUT_OF_ORDER``; a snapshot that cannot be one (crossed, unsorted, sizes that are not positive,
empty) becomes a MARK with ``INVALID``. A snapshot that restores trust opens with a CLEAR row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lobproof.replay.integrity_kernels import (
    BOOK_IDS,
    VERDICT,
    assemble,
    judge_book,
    message_ends,
    new_book_ids,
)
from lobproof.replay.trade_id_kernels import TRADE_IDS, judge_trades, new_trade_ids
from lobproof.schema import EventBatch, Flag, Int64, Kind, Side
from lobproof.schema.records import Record, Records, numbers, records

_GAP_ROW, _CLEAR_ROW, _COLLAPSED_ROW = 1, 2, 3


def message_bounds(batch: EventBatch) -> Int64:
    """Index one past the last row of each message of ``batch``."""
    ends = np.empty(len(batch), np.int64)
    return ends[: message_ends(batch.flags, ends)]


class _Audit:
    """Shared half of the two audits: judge, and rewrite the batch only where a verdict asks."""

    _kind: np.dtype[Any]
    """What the state is."""

    def __init__(self, states: Records, mark_flags: Flag) -> None:
        self._states = states
        self._mark_flags = int(mark_flags)

    @property
    def _ids(self) -> Record:
        """The state, as kernels take it."""
        ids: Record = self._states[0]
        return ids

    def save(self) -> dict[str, Int64]:
        """State as arrays; :meth:`load` of it continues exactly here."""
        return {"state": numbers(self._states)}

    def load(self, saved: dict[str, Int64]) -> None:
        """Continue from what :meth:`save` returned."""
        self._states = records(self._kind, saved["state"])

    def _rewrite(
        self, batch: EventBatch, ends: Int64, judge: Callable[[Records], int]
    ) -> EventBatch:
        verdicts = np.zeros(len(ends), VERDICT)
        if judge(verdicts) == 0:
            return batch
        room = len(batch) + 2 * len(ends)
        source = np.empty(room, np.int64)
        role = np.empty(room, np.int8)
        message = np.empty(room, np.int64)
        rows = assemble(ends, verdicts, source, role, message)
        source, role, message = source[:rows], role[:rows], message[:rows]
        out = batch.take(source)
        verdict = verdicts[message]
        own = role == 0
        out.flags[own] |= verdict["added"][own].astype(np.int32)

        added = ~own
        out.kind[added] = int(Kind.MARK)
        out.side[added] = int(Side.NONE)
        out.price[added] = 0
        out.size[added] = 0
        gap = role == _GAP_ROW
        out.sequence[gap] = verdict["gap_to"][gap]
        out.prev_sequence[gap] = verdict["gap_from"][gap]
        out.flags[gap] = verdict["gap_flags"][gap].astype(np.int32) | int(Flag.GAP | Flag.LAST)
        collapsed = role == _COLLAPSED_ROW
        out.flags[collapsed] = verdict["collapse"][collapsed].astype(np.int32) | int(Flag.LAST)
        out.flags[gap | collapsed] |= self._mark_flags
        clear = role == _CLEAR_ROW
        out.kind[clear] = int(Kind.CLEAR)
        out.flags[clear] = verdict["added"][clear].astype(np.int32)
        return out


class BookAudit(_Audit):
    """Chain audit of the book stream of one symbol."""

    _kind = BOOK_IDS

    def __init__(self) -> None:
        super().__init__(new_book_ids(), Flag(0))

    def process(self, batch: EventBatch) -> EventBatch:
        """The judged rows of ``batch`` (whole messages, in the source's order)."""
        ends = message_bounds(batch)
        return self._rewrite(
            batch, ends, lambda verdicts: judge_book(self._ids, ends, batch.rows, verdicts)
        )


class TradeAudit(_Audit):
    """Id audit of the trade stream of one symbol. Its marks carry ``Flag.TRADES``."""

    _kind = TRADE_IDS

    def __init__(self) -> None:
        super().__init__(new_trade_ids(), Flag.TRADES)

    def lacking(self) -> tuple[int, int]:
        """So far, of a feed without a chain: trades without an id, and ids that are missing.

        Missing are those that were not seen between the lowest and the highest one, where most
        were: ids that a venue skips, or that are another stream's, follow one another nowhere.
        """
        ids = self._ids
        count = int(ids.with_id)
        span = int(ids.highest_id) - int(ids.lowest_id) + 1
        return int(ids.without_id), span - count if 0 < count < span <= 2 * count else 0

    def process(self, batch: EventBatch) -> EventBatch:
        """The judged rows of ``batch`` (one row a trade, in the source's order)."""
        ends = np.arange(1, len(batch) + 1, dtype=np.int64)
        return self._rewrite(
            batch, ends, lambda verdicts: judge_trades(self._ids, batch.rows, verdicts)
        )
