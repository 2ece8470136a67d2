"""``partial_depth``: the venue's own top levels (``@depth5``, ``@depth20``) against the states."""

from __future__ import annotations

from typing import Any

import polars as pl

from lobproof.fidelity.exact.bounds import time_rate
from lobproof.fidelity.exact.report import Check, Class, Divergence, not_applicable
from lobproof.fidelity.exact.states import LEVEL_COLUMNS
from lobproof.fidelity.exact.walk import Window
from lobproof.schema import Side

NAME = "partial_depth"
LIMIT = 0.001


class PartialCheck:
    """Joins each partial book on its ``lastUpdateId``, slot by slot within the trusted ones."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._seen = 0
        self._slots: list[pl.DataFrame] = []

    def add(self, partials: pl.DataFrame) -> None:
        """Partial books of a chunk of the golden sample."""
        lists = partials.filter(pl.col("side") != 0).unique(
            ["u", "side", "slot"], keep="last", maintain_order=True
        )
        if not lists.height:
            return
        ids = lists["u"].unique()
        self._seen += len(ids)
        states = (
            self._window.table("states")
            .filter(pl.col("sequence").is_between(ids.min(), ids.max()))
            .filter(pl.col("sequence").is_in(ids.implode()))
            .collect()
        )
        for side, code in (("bid", Side.BID), ("ask", Side.ASK)):
            prices, sizes = LEVEL_COLUMNS[side]
            keys = ["dt", "event_id", "ts_order", "sequence", f"{side}_trusted"]
            slots = pl.concat(
                states.select(
                    *keys[:4],
                    pl.col(keys[4]).alias("trusted"),
                    pl.lit(slot, pl.Int32).alias("slot"),
                    pl.col(price).alias("price_book"),
                    pl.col(size).alias("size_book"),
                )
                for slot, (price, size) in enumerate(zip(prices, sizes, strict=True))
            ).filter(pl.col("slot") < pl.col("trusted"))
            theirs = lists.filter(pl.col("side") == int(code)).rename({"u": "sequence"})
            self._slots.append(theirs.join(slots, on=["sequence", "slot"], how="inner"))

    def result(self, depth: pl.DataFrame) -> Check:
        """The check; ``depth`` are the last rows of the store's depth messages."""
        if not self._seen:
            return not_applicable(NAME, "the golden sample has no partial depth stream")
        slots = (
            pl.concat(self._slots)
            .join(depth, on=["dt", "event_id"], how="semi")
            .sort("dt", "event_id", "side", "slot")
        )
        if not slots.height:
            return not_applicable(
                NAME, "no partial book has the update id of a trusted state", books=self._seen
            )
        wrong = (slots["price"] != slots["price_book"]) | (slots["size"] != slots["size_book"])
        rate = time_rate(slots["ts_order"].to_numpy(), wrong.to_numpy())
        bad = slots.filter(wrong)
        first = _divergence(bad.row(0, named=True)) if bad.height else None
        books = slots["sequence"].n_unique()
        return Check(
            NAME,
            rate.verdict(LIMIT),
            slots.height,
            slots.height,
            slots.height - bad.height,
            bound=rate.upper,
            limit=LIMIT,
            reason=first.detail if first else "",
            details={
                "books": self._seen,
                "books_compared": books,
                "books_equal": books - bad["sequence"].n_unique(),
            },
            first=first,
        )


def _divergence(row: dict[str, Any]) -> Divergence:
    return Divergence(
        NAME,
        Class.STALE,
        int(row["sequence"]),
        int(row["ts_order"]),
        f"slot {row['slot']} of side {row['side']} at id {row['sequence']} is not the venue's",
        dt=row["dt"],
        event_id=int(row["event_id"]),
        expected={"price": row["price"], "size": row["size"]},
        found={"price": row["price_book"], "size": row["size_book"]},
    )
