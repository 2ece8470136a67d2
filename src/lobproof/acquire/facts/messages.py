"""Facts about the messages of ``book_delta_v2`` and their sequence numbers."""

from __future__ import annotations

import numpy as np

from lobproof.acquire.facts import sequence_kernels as at
from lobproof.acquire.facts.model import ENOUGH, SLACK, Fact, Holds, share, verdict
from lobproof.acquire.facts.rows import Rows

_MOST_REPEAT = 0.5
_FEW_REPEAT = 0.1
_FITTING = 0.8
"""On recordings 85 to 96 % of messages name at most as many levels as they have update ids."""


class MessageSurvey:
    """Messages: runs of rows with one sequence number."""

    def __init__(self) -> None:
        self._counts = np.empty(at.MESSAGE_SLOTS, np.int64)
        self._seen = np.empty(at.SEEN, np.int64)
        at.start_messages(self._counts, self._seen)

    def feed(self, rows: Rows) -> None:
        """Look at the next rows."""
        at.count_messages(
            self._counts,
            self._seen,
            rows["sequence_number"],
            rows["timestamp"],
            rows["receipt_timestamp"],
            rows["size"],
        )

    def facts(self) -> list[Fact]:
        """What the rows say; there are no more."""
        at.close_message(self._counts, self._seen)
        return [
            self._repeats(),
            self._update_id(),
            self._order(),
            self._adjacent(),
            self._one_time(),
            self._no_snapshot(),
        ]

    def _count(self, slot: int) -> int:
        return int(self._counts[slot])

    def _repeats(self) -> Fact:
        rows, repeats = self._count(at.ROWS), self._count(at.REPEATS)
        repeated = share(repeats, rows - 1)
        if rows < ENOUGH or _FEW_REPEAT < repeated < _MOST_REPEAT:
            holds = Holds.UNDECIDED
        else:
            holds = Holds.HOLDS if repeated >= _MOST_REPEAT else Holds.FAILS
        return Fact(
            "sequence-per-message",
            "The sequence number of book_delta_v2 is per message: most rows (about 91 %) repeat "
            "that of the row before.",
            holds,
            {
                "rows that repeat it": repeated,
                "messages": self._count(at.MESSAGES),
                "rows a message": share(rows, self._count(at.MESSAGES)),
                "rows without a number": self._count(at.NULLS),
            },
            rows,
        )

    def _update_id(self) -> Fact:
        ones, jumps = self._count(at.ONES), self._count(at.JUMPS)
        steps = ones + jumps
        fitting = share(self._count(at.FITTING), steps)
        return Fact(
            "sequence-is-update-id",
            "It jumps between messages with nothing lost, by at least as many ids as a message "
            "has rows: it is the final update id, and gaps cannot be found by counting.",
            verdict(jumps > 0 and fitting >= _FITTING, rows=steps),
            {
                "steps of one": share(ones, steps),
                "mean step": share(self._count(at.IDS), steps),
                "messages with at most as many rows as ids": fitting,
            },
            self._count(at.ROWS),
        )

    def _order(self) -> Fact:
        messages, backward = self._count(at.MESSAGES), self._count(at.BACKWARD)
        return Fact(
            "sequence-order",
            "The sequence number of book_delta_v2 never goes backwards.",
            verdict(backward == 0, rows=messages),
            {"steps back": backward},
            self._count(at.ROWS),
        )

    def _adjacent(self) -> Fact:
        messages, split = self._count(at.MESSAGES), self._count(at.SPLIT)
        return Fact(
            "message-adjacent",
            "The rows of a message are adjacent.",
            verdict(split == 0, rows=messages),
            {"messages begun again": split},
            self._count(at.ROWS),
        )

    def _one_time(self) -> Fact:
        rows, mixed = self._count(at.ROWS), self._count(at.MIXED)
        return Fact(
            "message-one-time",
            "All rows of a message have the same two times.",
            verdict(share(mixed, rows) <= SLACK, rows=rows),
            {"rows with another time than their message": mixed},
            rows,
        )

    def _no_snapshot(self) -> Fact:
        messages, listings = self._count(at.MESSAGES), self._count(at.LISTINGS)
        return Fact(
            "no-snapshot",
            "book_delta_v2 has no snapshot: a day's file starts mid-stream, and no message lists "
            "the book.",
            verdict(listings == 0, rows=messages),
            {
                "long messages that remove nothing": listings,
                "rows of the first message": self._count(at.FIRST_ROWS),
                "removals in the first message": self._count(at.FIRST_ZEROS),
                "rows of the longest message": self._count(at.LONGEST),
            },
            self._count(at.ROWS),
        )
