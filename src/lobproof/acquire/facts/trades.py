"""Facts about how ``trades`` are numbered and aggregated."""

from __future__ import annotations

import numpy as np

from lobproof.acquire.facts import sequence_kernels as at
from lobproof.acquire.facts.model import ENOUGH, SLACK, Fact, Holds, share, verdict
from lobproof.acquire.facts.rows import Rows


class TradeSurvey:
    """Ids of trades, and what the trades of next ids have in common."""

    def __init__(self) -> None:
        self._counts = np.zeros(at.TRADE_SLOTS, np.int64)

    def feed(self, rows: Rows) -> None:
        """Look at the next rows."""
        at.count_trades(
            self._counts,
            rows["id"],
            rows["timestamp"],
            rows["side"],
            np.ascontiguousarray(rows["price"]).view(np.int64),
        )

    def facts(self) -> list[Fact]:
        """What the rows say."""
        counts = [int(count) for count in self._counts]
        rows, alike = counts[at.TRADES], counts[at.ALIKE]
        numbered = rows - counts[at.NO_ID]
        wrong = counts[at.TWICE] + counts[at.FELL] + counts[at.ROSE_MORE]
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
                    "ids repeated": counts[at.TWICE],
                    "ids that fall": counts[at.FELL],
                    "ids that rise by more": counts[at.ROSE_MORE],
                    "rows without a number as id": counts[at.NO_ID],
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
