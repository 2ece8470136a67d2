"""Gate B, the venue's own tops of the book against the states: bookTicker and partial depth.

``book_ticker_same_id``, ``book_ticker_last`` and ``partial_depth`` join on the update id, never on
a clock. A ticker follows every change of the touch at once, so the last one at or below a state's
id says what the touch was there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from lobproof.fidelity.exact.decoder import DECIMAL, TICKERS
from lobproof.fidelity.exact.report import (
    LISTED,
    Check,
    Class,
    Divergence,
    Episode,
    Verdict,
    not_applicable,
    time_rate,
)
from lobproof.fidelity.exact.window import LEVEL_COLUMNS, TOUCH, Window
from lobproof.schema import Kind, Side

SAME, LAST, PARTIAL = "book_ticker_same_id", "book_ticker_last", "partial_depth"
LIMIT = 0.001
_VALUES = ("bid", "bid_size", "ask", "ask_size")
_SIDES = (("bid", Side.BID), ("ask", Side.ASK))


class TickerTape:
    """Finds each state's last ticker as the tickers stream by.

    Parameters
    ----------
    touch
        States to compare, as `Integrity.touch` gives them. Those that are not trusted are
        compared and listed, but a mismatch does not count.
    """

    def __init__(self, touch: pl.DataFrame) -> None:
        self._waiting = touch.sort("sequence", maintain_order=True)
        self._recent = pl.DataFrame(schema=TICKERS)  # tickers that states may still refer to
        self._done: list[pl.DataFrame] = []
        self.tickers = 0
        self.out_of_order = 0
        self.superseded = 0  # tickers that another one of the same id follows
        self.high = -1

    def add(self, tickers: pl.DataFrame) -> None:
        """The next tickers in their order. One below an id that has passed is left out, counted."""
        if not tickers.height:
            return
        self.tickers += tickers.height
        joined = pl.concat([self._recent, tickers])
        kept = joined.filter(pl.col("u") >= pl.col("u").cum_max())
        self.out_of_order += joined.height - kept.height
        latest = kept.unique("u", keep="last", maintain_order=True)
        self.superseded += kept.height - latest.height
        self.high = int(latest["u"][-1])
        self._match(latest, self.high)
        self._recent = latest.tail(1)

    def finish(self, recorded_to: int) -> pl.DataFrame:
        """All states that have a ticker at or below their id, with its columns.

        ``recorded_to`` is the last update id that the recording reaches: what came later may have
        changed the touch unseen.
        """
        last = max(recorded_to, self.high)
        self._waiting = self._waiting.filter(pl.col("sequence") <= last)
        self._match(self._recent, None)
        return pl.concat(self._done) if self._done else pl.DataFrame()

    def _match(self, tickers: pl.DataFrame, before: int | None) -> None:
        """Match the states below the id that tickers have reached; another of it may follow."""
        ready = self._waiting
        if before is not None:
            count = int(np.searchsorted(ready["sequence"].to_numpy(), before, "left"))
            ready, self._waiting = ready.head(count), ready.slice(count)
        matched = ready.join_asof(tickers, left_on="sequence", right_on="u", coalesce=False)
        self._done.append(matched.filter(pl.col("u").is_not_null()))


def judge_touch(
    window: Window, tape: TickerTape, depth: pl.DataFrame, recorded_to: int
) -> list[Check]:
    """Both checks. ``depth`` are the last rows of the store's depth messages.

    ``recorded_to`` is the last update id of the golden sample's depth messages.
    """
    if not tape.tickers:
        why = "the golden sample has no bookTicker stream"
        return [not_applicable(SAME, why), not_applicable(LAST, why)]
    matched = _unbroken(tape.finish(recorded_to), depth)
    if not matched.height:
        why = "no state with a trusted touch has a ticker at or below its update id"
        return [not_applicable(SAME, why), not_applicable(LAST, why)]
    alike = [pl.col(state) == pl.col(ticker) for state, ticker in zip(TOUCH, _VALUES, strict=True)]
    following = depth.sort("dt", "event_id").select(
        "dt", "event_id", pl.col("sequence").shift(-1).alias("next_sequence")
    )
    states = (
        matched.join(following, on=["dt", "event_id"], how="inner")
        .with_columns(pl.all_horizontal(alike).alias("equal"))
        .sort("dt", "event_id")
    )
    details: dict[str, Any] = {
        "tickers": tape.tickers,
        "tickers_of_an_id_that_another_follows": tape.superseded,
        "tickers_out_of_order": tape.out_of_order,
    }
    same = states.filter(pl.col("u") == pl.col("sequence"))
    return [
        _check(SAME, 0.0, same, window, details)
        if same.height
        else not_applicable(SAME, "no ticker has the update id of a depth message", **details),
        _check(LAST, LIMIT, states, window, details)
        if states.height
        else not_applicable(LAST, "no state follows a depth message", **details),
    ]


def _unbroken(matched: pl.DataFrame, depth: pl.DataFrame) -> pl.DataFrame:
    """Without states whose ticker is from before a gap: the touch may have changed in it unseen."""
    if not matched.height:
        return matched
    missing_to = pl.col("prev_sequence").alias("missing_to")
    breaks = depth.filter(pl.col("prev_sequence") > pl.col("sequence").shift(1))
    near = matched.join_asof(
        breaks.select(missing_to).sort("missing_to"), left_on="sequence", right_on="missing_to"
    )
    return near.filter(pl.col("missing_to").is_null() | (pl.col("u") > pl.col("missing_to")))


def _check(
    name: str, limit: float, states: pl.DataFrame, window: Window, details: dict[str, Any]
) -> Check:
    wrong = _classified(states.filter(~pl.col("equal")), window)
    excused = [Class.BEYOND_RANGE.value, *([Class.BURST.value] if limit else [])]
    counted = wrong.filter(pl.col("trusted") & ~pl.col("class").is_in(excused))
    trusted = states.filter("trusted").join(
        counted.select("dt", "event_id", pl.lit(value=True).alias("wrong")),
        on=["dt", "event_id"],
        how="left",
        maintain_order="left",
    )
    rate = time_rate(
        trusted["ts_order"].to_numpy(), trusted["wrong"].fill_null(value=False).to_numpy()
    )
    verdict = rate.verdict(limit)
    if verdict is Verdict.EXACT and wrong.height:
        verdict = Verdict.PASS  # what is not equal is no fault of the store
    elif rate.mismatches and not limit:
        verdict = Verdict.FAIL
    first = _divergence(name, counted, wrong)
    left_out = wrong.height - counted.height
    return Check(
        name,
        verdict,
        states.height,
        states.height,
        states.height - wrong.height,
        bound=rate.upper,
        limit=limit,
        reason=first.detail if first else f"{left_out} do not count" if left_out else "",
        details={**details, "trusted": trusted.height, **_listed(wrong)},
        first=first,
    )


def _classified(wrong: pl.DataFrame, window: Window) -> pl.DataFrame:
    """Mismatches with ``class``.

    ``burst``: on each side that differs, the ticker's best level is one that the state does not
    show, and the next depth message names it 0: sizes are sampled a little after ``u``.
    ``beyond_range``: the state is not trusted, since its touch has left the snapshots' range.
    """
    removed = _removals(wrong, window)
    for side, code in _SIDES:
        price = f"{side}_0_price"
        named = removed.filter(pl.col("side") == int(code)).select(
            pl.col("sequence").alias("next_sequence"),
            pl.col("price").alias(side),
            pl.lit(value=True).alias(f"{side}_named"),
        )
        wrong = wrong.join(named, on=["next_sequence", side], how="left", maintain_order="left")
        differs = (pl.col(price) != pl.col(side)) | (
            pl.col(f"{side}_0_size") != pl.col(f"{side}_size")
        )
        wrong = wrong.with_columns(
            differs.alias(f"{side}_differs"),
            (
                ~differs
                | ((pl.col(price) != pl.col(side)) & pl.col(f"{side}_named").fill_null(False))
            ).alias(f"{side}_burst"),
        )
    extra = (pl.col("bid_differs") & (pl.col("bid_0_price") > pl.col("bid"))) | (
        pl.col("ask_differs")
        & (pl.col("ask_0_price") < pl.col("ask"))
        & (pl.col("ask_0_price") > 0)
    )
    same_prices = (pl.col("bid_0_price") == pl.col("bid")) & (
        pl.col("ask_0_price") == pl.col("ask")
    )
    return wrong.with_columns(
        pl.when(pl.col("bid_burst") & pl.col("ask_burst"))
        .then(pl.lit(Class.BURST.value))
        .when(~pl.col("trusted"))
        .then(pl.lit(Class.BEYOND_RANGE.value))
        .when(same_prices)
        .then(pl.lit(Class.CHANGED.value))
        .when(extra)
        .then(pl.lit(Class.EXTRA.value))
        .otherwise(pl.lit(Class.MISSING.value))
        .alias("class"),
        pl.max_horizontal(
            (pl.col("bid_0_size") - pl.col("bid_size")).abs(),
            (pl.col("ask_0_size") - pl.col("ask_size")).abs(),
        ).alias("difference"),
    )


def _removals(wrong: pl.DataFrame, window: Window) -> pl.DataFrame:
    """Levels that the depth messages after these states name 0, out of the store's events."""
    wanted = wrong["next_sequence"].drop_nulls().unique()
    if not len(wanted):
        return pl.DataFrame(schema={"sequence": pl.Int64(), "side": pl.Int8(), "price": DECIMAL})
    return (
        window.table("events")
        .filter(
            (pl.col("kind") == int(Kind.DELTA))
            & (pl.col("size") == 0)
            & pl.col("sequence").is_in(wanted.implode())
        )
        .select("sequence", "side", "price")
        .unique()
        .collect()
    )


def _row(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {name: row[name] for name in ("u", *_VALUES)},
        {name: row[state] for name, state in zip(_VALUES, TOUCH, strict=True)},
    )


def _listed(wrong: pl.DataFrame) -> dict[str, Any]:
    """Mismatches by class, and the first of them one by one."""
    mismatches = []
    for row in wrong.head(LISTED).iter_rows(named=True):
        ticker, state = _row(row)
        mismatches.append(
            {
                "sequence": row["sequence"],
                "dt": row["dt"],
                "event_id": row["event_id"],
                "class": row["class"],
                "trusted": row["trusted"],
                "ticker": ticker,
                "state": state,
            }
        )
    return {
        "classes": dict(wrong["class"].value_counts().iter_rows()),
        "mismatches": mismatches,
    }


def _divergence(check: str, counted: pl.DataFrame, wrong: pl.DataFrame) -> Divergence | None:
    if not counted.height:
        return None
    row = counted.row(0, named=True)
    ticker, state = _row(row)
    return Divergence.at(
        check,
        Class(row["class"]),
        row,
        f"after update id {row['sequence']} the touch is not that of the ticker of id {row['u']}",
        expected=ticker,
        found=state,
        episode=_run(wrong, row),
    )


def _run(wrong: pl.DataFrame, first: dict[str, Any]) -> Episode:
    """The run of consecutive depth messages that differ, from ``first`` on."""
    later = wrong.filter(pl.col("sequence") >= first["sequence"])
    ends = (pl.col("sequence").shift(-1) != pl.col("next_sequence")).fill_null(value=True)
    count = int(later.select(ends.alias("ends"))["ends"].arg_true()[0]) + 1
    run = later.head(count)
    largest = run["difference"].max()
    return Episode(
        int(first["sequence"]),
        int(run["sequence"][-1]),
        count,
        int(run.select(pl.sum_horizontal("bid_differs", "ask_differs")).sum().item()),
        largest if isinstance(largest, Decimal) else Decimal(0),
    )


class PartialCheck:
    """``partial_depth``: the venue's top levels (``@depth5``, ``@depth20``) against the states.

    Joins each partial book on its ``lastUpdateId``, slot by slot within the trusted ones.
    """

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
        for side, code in _SIDES:
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
            return not_applicable(PARTIAL, "the golden sample has no partial depth stream")
        slots = (
            pl.concat(self._slots)
            .join(depth, on=["dt", "event_id"], how="semi")
            .sort("dt", "event_id", "side", "slot")
        )
        if not slots.height:
            return not_applicable(
                PARTIAL, "no partial book has the update id of a trusted state", books=self._seen
            )
        wrong = (slots["price"] != slots["price_book"]) | (slots["size"] != slots["size_book"])
        rate = time_rate(slots["ts_order"].to_numpy(), wrong.to_numpy())
        bad = slots.filter(wrong)
        first = _unlike(bad.row(0, named=True)) if bad.height else None
        books = slots["sequence"].n_unique()
        return Check(
            PARTIAL,
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


def _unlike(row: dict[str, Any]) -> Divergence:
    return Divergence.at(
        PARTIAL,
        Class.CHANGED,
        row,
        f"slot {row['slot']} of side {row['side']} at id {row['sequence']} is not the venue's",
        expected={"price": row["price"], "size": row["size"]},
        found={"price": row["price_book"], "size": row["size_book"]},
    )
