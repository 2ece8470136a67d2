"""What is counted in each minute: the columns of ``minutes`` that are plain counts, in order.

The kernels count in fields of these names; `tables` makes the table's columns of them.
"""

from __future__ import annotations

MINUTE_COUNTS = (
    "minute",  # start of the UTC minute, ns
    "first_event_id",
    "last_event_id",
    "book_messages",
    "delta_rows",
    "snapshots",
    "gaps",
    "crossed_messages",
    "doubtful_messages",
    "longest_silence",  # ns between book messages, the largest that ended here
    "trades",
    "buy_volume",
    "sell_volume",
    "explained_volume",  # reconciliation of volume whose level was named here
    "refilled_volume",  # the level fell by less than the trades took
    "transient_volume",  # the level was born and died inside the message
    "grown_volume",  # the level did not fall
    "unnamed_volume",  # no message named the level in time
    "unnamed_trades",
    "prints",  # first trades after a book message, or a second after the last
    "far_prints",  # of those, 30 basis points and a spread off the touch
    "vendor_rows",  # rows of the vendor's `book` held against this one
    "contradictions",  # those that it cannot be reconciled with
)
DRIFT_COUNTS = ("drift_compared", "drift_equal", "drift_ghosts", "drift_missing")
"""Levels of snapshots and of the vendor's rows: all, as the book has them, not listed, missing."""
