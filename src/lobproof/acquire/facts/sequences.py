"""Facts about numbers: messages of ``book_delta_v2`` by their sequence numbers, trades by ids."""

from __future__ import annotations

import numpy as np

from lobproof.acquire.facts.count_kernels import (
    MESSAGES,
    TRADES,
    close_message,
    count_messages,
    count_trades,
    start_messages,
)
from lobproof.acquire.facts.fact import ENOUGH, SLACK, Fact, Holds, share, verdict
from lobproof.acquire.rows import Columns
from lobproof.schema.records import zeroed

_MOST_REPEAT = 0.5
_FEW_REPEAT = 0.1
_FITTING = 0.8
"""On recordings 85 to 96 % of messages name at most as many levels as they have update ids."""


class MessageSurvey:
    """Messages: runs of rows with one sequence number."""

    def __init__(self) -> None:
        self._counts = zeroed(MESSAGES)[0]
        start_messages(self._counts)

    def feed(self, rows: Columns) -> None:
        """Look at the next rows."""
        count_messages(
            self._counts,
            rows["sequence_number"],
            rows["timestamp"],
            rows["receipt_timestamp"],
            rows["side_is_bid"],
            np.ascontiguousarray(rows["price"]).view(np.int64),
            np.ascontiguousarray(rows["size"]).view(np.int64),
        )

    def facts(self) -> list[Fact]:
        """What the rows say; there are no more."""
        close_message(self._counts)
        return [
            self._repeats(),
            self._update_id(),
            self._order(),
            self._adjacent(),
            self._one_time(),
            self._no_snapshot(),
        ]

    def _repeats(self) -> Fact:
        rows, repeats = int(self._counts.rows), int(self._counts.repeats)
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
                "messages": int(self._counts.messages),
                "rows a message": share(rows, int(self._counts.messages)),
                "rows without a number": int(self._counts.nulls),
            },
            rows,
        )

    def _update_id(self) -> Fact:
        ones, jumps = int(self._counts.ones), int(self._counts.jumps)
        steps = ones + jumps
        fitting = share(int(self._counts.fitting), steps)
        return Fact(
            "sequence-is-update-id",
            "It jumps between messages with nothing lost, by at least as many ids as a message "
            "has rows: it is the final update id, and gaps cannot be found by counting.",
            verdict(jumps > 0 and fitting >= _FITTING, rows=steps),
            {
                "steps of one": share(ones, steps),
                "mean step": share(int(self._counts.ids), steps),
                "messages with at most as many rows as ids": fitting,
            },
            int(self._counts.rows),
        )

    def _order(self) -> Fact:
        messages, backward = int(self._counts.messages), int(self._counts.backward)
        return Fact(
            "sequence-order",
            "The sequence number of book_delta_v2 never goes backwards.",
            verdict(backward == 0, rows=messages),
            {"steps back": backward},
            int(self._counts.rows),
        )

    def _adjacent(self) -> Fact:
        messages, split = int(self._counts.messages), int(self._counts.split)
        return Fact(
            "message-adjacent",
            "The rows of a message are adjacent.",
            verdict(split == 0, rows=messages),
            {"messages begun again": split},
            int(self._counts.rows),
        )

    def _one_time(self) -> Fact:
        rows, mixed = int(self._counts.rows), int(self._counts.mixed)
        return Fact(
            "message-one-time",
            "All rows of a message have the same two times.",
            verdict(share(mixed, rows) <= SLACK, rows=rows),
            {"rows with another time than their message": mixed},
            rows,
        )

    def _no_snapshot(self) -> Fact:
        messages, listings = int(self._counts.messages), int(self._counts.listings)
        return Fact(
            "no-snapshot",
            "book_delta_v2 has no snapshot: a day's file starts mid-stream, and no message lists "
            "the book.",
            verdict(listings == 0, rows=messages),
            {
                "long messages that list what is known": listings,
                "rows of the first message": int(self._counts.first_rows),
                "removals in the first message": int(self._counts.first_zeros),
                "rows of the longest message": int(self._counts.longest),
            },
            int(self._counts.rows),
        )


class TradeSurvey:
    """Ids of trades, and what the trades of next ids have in common."""

    def __init__(self) -> None:
        self._counts = zeroed(TRADES)[0]

    def feed(self, rows: Columns) -> None:
        """Look at the next rows."""
        count_trades(
            self._counts,
            rows["id"],
            rows["timestamp"],
            rows["side"],
            np.ascontiguousarray(rows["price"]).view(np.int64),
        )

    def facts(self) -> list[Fact]:
        """What the rows say."""
        counts = self._counts
        rows, alike = int(counts.trades), int(counts.alike)
        numbered = rows - int(counts.unnumbered)
        wrong = int(counts.repeated + counts.fell + counts.rose_more)
        alike_share = share(alike, numbered - 1)
        if numbered < ENOUGH or (0 < alike_share <= SLACK):
            unaggregated = Holds.UNDECIDED
        else:
            unaggregated = Holds.HOLDS if alike else Holds.FAILS
        return [
            Fact(
                "trade-ids",
                "trades has one row an id, and ids rise by one.",
                verdict(share(wrong, numbered) <= SLACK, rows=numbered),
                {
                    "ids repeated": int(counts.repeated),
                    "ids that fall": int(counts.fell),
                    "ids that rise by more": int(counts.rose_more),
                    "rows without a number as id": int(counts.unnumbered),
                },
                rows,
            ),
            Fact(
                "trades-not-aggregated",
                "Trades are not aggregated by taker order and price: next ids at one price, side "
                "and millisecond occur.",
                unaggregated,
                {"rows like the one before": alike_share},
                rows,
            ),
        ]
