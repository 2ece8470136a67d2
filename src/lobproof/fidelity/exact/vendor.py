"""``vendor_book``: Crypto Lake's own rows of `book` against the states, by sequence.

Read by Polars from the files; a float stands for the decimal that has it as its nearest float.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lobproof.errors import InputError, UsageError
from lobproof.fidelity.exact.bounds import time_rate
from lobproof.fidelity.exact.report import Check, Class, Divergence, not_applicable
from lobproof.fidelity.exact.states import LEVEL_COLUMNS
from lobproof.fidelity.exact.walk import Window, inside
from lobproof.schema import LEVELS, Side
from lobproof.schema.codes import PRICE_SCALE
from lobproof.sources.cryptolake.layout import LakeKey

NAME = "vendor_book"
LIMIT = 0.001
BATCH_ROWS = 1 << 14
_ID = "sequence_number"
_ZONES = ("", "ready", "validated", "raw")
_SIDES = (("bid", Side.BID), ("ask", Side.ASK))
_SLOTS = [name for side, _ in _SIDES for pair in LEVEL_COLUMNS[side] for name in pair]


def book_files(
    folder: Path, exchange: str, symbol: str, days: Sequence[str]
) -> Mapping[str, tuple[Path, ...]]:
    """The files of `book` of these days, in the best zone that has them, or in a plain folder.

    Raises
    ------
    UsageError
        When there are none.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for dt in days:
        for zone in _ZONES:
            key = LakeKey("book", exchange, symbol, dt, "")
            files = sorted((folder / zone / key.path).glob("*.parquet"))
            if files:
                found[dt] = tuple(files)
                break
    if not found:
        raise UsageError(
            f"{folder} has no `book` of {exchange} {symbol} on {', '.join(days)}",
            hint="name the folder that the store was reconstructed from: one of `lobproof acquire "
            "download`, or one that holds book/exchange=…/symbol=…/dt=…/1.snappy.parquet",
        )
    return found


def book_rows(files: Mapping[str, Sequence[Path]]) -> int:
    """Rows that there are to compare; 0 where a file cannot be read, which the check will say."""
    paths = [path for day in files.values() for path in day]
    try:
        frame = pl.scan_parquet(paths, hive_partitioning=False) if paths else pl.LazyFrame()
        return int(frame.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError):
        return 0


class VendorCheck:
    """Holds each row of `book` against the state of its id, slot by slot within the trusted ones.

    Of several states with one id that of the depth message counts: a snapshot behind it is what
    the row itself became. Only where the book is known at snapshots alone (the strategies other
    than full) it is the snapshot's.
    """

    def __init__(self, window: Window, files: Mapping[str, Sequence[Path]]) -> None:
        self._window = window
        self._files = files
        self._doubts = window.doubts()
        self._times: list[NDArray[np.int64]] = []
        self._wrong: list[NDArray[np.bool_]] = []
        self._slots = 0
        self._bad_slots = 0
        self._counts = dict.fromkeys(
            ("rows", "without_state", "untrusted", "in_doubt", "in_doubt_equal"), 0
        )
        self._first: Divergence | None = None

    def result(self, depth: pl.DataFrame) -> Check:
        """Compare all days; ``depth`` are the last rows of the store's depth messages."""
        for dt, files in sorted(self._files.items()):
            states = self._states(dt, depth)
            for path in files:
                for rows in self._rows(path):
                    self._compare(dt, rows, states)
        counts: dict[str, Any] = {**self._counts, "slots": self._slots}
        compared = sum(len(wrong) for wrong in self._wrong)
        missing = [dt for dt in self._window.days if dt not in self._files]
        if missing:
            counts["days_without_book"] = missing
        if not compared:
            return not_applicable(NAME, "no row of `book` has the id of a trusted state", **counts)
        times, wrong = np.concatenate(self._times), np.concatenate(self._wrong)
        rate = time_rate(times, wrong)
        equal = compared - int(np.count_nonzero(wrong))
        return Check(
            NAME,
            rate.verdict(LIMIT),
            self._counts["rows"],
            compared,
            equal,
            bound=rate.upper,
            limit=LIMIT,
            reason=self._first.detail if self._first else "",
            details={**counts, "differing_slots": self._bad_slots},
            first=self._first,
        )

    def _states(self, dt: str, depth: pl.DataFrame) -> pl.LazyFrame:
        """States of a day that rows are held against."""
        states = self._window.table("states").filter(pl.col("dt") == dt)
        if dt in self._window.known_at_snapshots:
            return states
        ends = depth.lazy().filter(pl.col("dt") == dt).select("event_id")
        return states.join(ends, on="event_id", how="semi")

    def _rows(self, path: Path) -> Iterator[pl.DataFrame]:
        try:
            names = pl.read_parquet_schema(path)
            lacking = [name for name in (_ID, *_SLOTS) if name not in names]
            if lacking:
                raise InputError(
                    f"{path} has no column {lacking[0]}", hint="is this a file of `book`?"
                )
            yield from (
                pl.scan_parquet(path, hive_partitioning=False)
                .select(pl.col(_ID).cast(pl.Int64).alias("sequence"), *_SLOTS)
                .collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
            )
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(
                f"{path} cannot be read: {error}", hint="`lobproof acquire validate` looks at it"
            ) from error

    def _compare(self, dt: str, rows: pl.DataFrame, day: pl.LazyFrame) -> None:
        self._counts["rows"] += rows.height
        self._window.read(rows.height)
        if not rows.height:
            return
        low, high = rows["sequence"].min(), rows["sequence"].max()
        states = (
            day.filter(pl.col("sequence").is_between(low, high))
            .collect()
            .unique("sequence", keep="last", maintain_order=True)
        )
        both = rows.join(states, on="sequence", how="inner", suffix="_state", maintain_order="left")
        self._counts["without_state"] += rows.height - both.height
        wrong, slots = self._differing(dt, both)
        doubtful = inside(both, self._doubts)
        trusted = both.select(pl.min_horizontal("bid_trusted", "ask_trusted") > 0)
        trusted_rows = trusted.to_series().to_numpy()
        known = trusted_rows & ~doubtful
        bad: NDArray[np.bool_] = np.any(wrong, axis=1)
        self._counts["untrusted"] += int(np.count_nonzero(~trusted_rows & ~doubtful))
        self._counts["in_doubt"] += int(np.count_nonzero(doubtful))
        self._counts["in_doubt_equal"] += int(np.count_nonzero(doubtful & ~bad))
        self._slots += int(slots[known].sum())
        self._bad_slots += int(wrong[known].sum())
        self._times.append(both["ts_order"].to_numpy()[known])
        self._wrong.append(bad[known])
        contradicted = np.flatnonzero(bad & known)
        if self._first is None and len(contradicted):
            at = int(contradicted[0])
            self._first = _divergence(both.row(at, named=True), int(np.argmax(wrong[at])))

    def _differing(
        self, dt: str, both: pl.DataFrame
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Per row: which of the trusted slots (twenty bids, then asks) differ, and their number."""
        instrument = self._window.instrument(dt)
        wrong = np.zeros((both.height, 2 * LEVELS), np.bool_)
        slots = np.zeros(both.height, np.int64)
        for half, (side, _) in enumerate(_SIDES):
            trusted = both[f"{side}_trusted"].to_numpy()
            slots += trusted
            exponents = (instrument.price_exponent, instrument.size_exponent)
            for names, exponent in zip(LEVEL_COLUMNS[side], exponents, strict=True):
                for slot, name in enumerate(names):
                    theirs = both[name].fill_null(0.0).to_numpy()
                    step = pl.lit(10 ** (PRICE_SCALE - exponent), pl.Int128)
                    counts = both.select(
                        (pl.col(f"{name}_state").to_physical() // step).cast(pl.Int64)
                    ).to_series()
                    # a count and its unit are exact, so their quotient is the nearest float
                    same = counts.to_numpy() / 10.0**exponent == theirs
                    wrong[:, half * LEVELS + slot] |= ~same & (slot < trusted)
        return wrong, slots


def _divergence(row: dict[str, Any], at: int) -> Divergence:
    side, _ = _SIDES[at // LEVELS]
    slot = at % LEVELS
    names = {what: f"{side}_{slot}_{what}" for what in ("price", "size")}
    return Divergence(
        NAME,
        Class.STALE,
        int(row["sequence"]),
        int(row["ts_order"]),
        f"{side} {slot} after update id {row['sequence']} is not that of the vendor's `book`",
        dt=row["dt"],
        event_id=int(row["event_id"]),
        expected={what: row[name] for what, name in names.items()},
        found={what: row[f"{name}_state"] for what, name in names.items()},
    )
