"""Gate B against Crypto Lake's own files: ``vendor_book`` and ``vendor_trades``.

Rows of `book` against the states of their sequence, trades one by one. Read by Polars from the
files; a float stands for the decimal that has it as its nearest float.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.errors import GridError, InputError, UsageError
from lobproof.fidelity.exact.report import (
    Check,
    Class,
    Divergence,
    TimeRate,
    Verdict,
    not_applicable,
)
from lobproof.fidelity.exact.window import LEVEL_COLUMNS, Window, inside
from lobproof.files import walk
from lobproof.fixedpoint import from_decimal128
from lobproof.parquet import read_footer
from lobproof.schema import LEVELS, UNORDERED, Flag, Int64, Kind, Side
from lobproof.schema.codes import PRICE_SCALE
from lobproof.sources.cryptolake.chunks import TAKERS
from lobproof.sources.cryptolake.footer import in_order
from lobproof.sources.cryptolake.layout import LakeKey, actual_names

BOOK, TRADES = "vendor_book", "vendor_trades"
LIMIT = 0.001
BATCH_ROWS = 1 << 15
_TRADES_AT_ONCE = 500_000
_ID = "sequence_number"
_ZONES = ("", "ready", "validated", "raw")
_SIDES = (("bid", Side.BID), ("ask", Side.ASK))
_KEY = ("number", "time", "taker", "price", "size")
_OURS = pl.DataFrame(
    schema={
        "event_id": pl.Int64,
        "number": pl.Int64,
        "time": pl.Int64,
        "taker": pl.Boolean,
        "price": pl.Float64,
        "size": pl.Float64,
    }
)
"""No trade of the store."""
_SLOTS = [name for side, _ in _SIDES for pair in LEVEL_COLUMNS[side] for name in pair]
_OF_STATES = ["dt", "event_id", "ts_order", "bid_trusted", "ask_trusted", *_SLOTS]


DayFiles = Mapping[str, Sequence[Path]]
"""Day → files of one table."""


def vendor_files(
    folder: Path, exchange: str, symbol: str, days: Sequence[str]
) -> Mapping[str, DayFiles]:
    """The files of `book` and `trades`, each day's from the best zone or a plain folder.

    Raises
    ------
    UsageError
        When there are none.
    """
    found: dict[str, dict[str, tuple[Path, ...]]] = {"book": {}, "trades": {}}
    for table, held in found.items():
        for dt in days:
            for zone in _ZONES:
                key = LakeKey(table, exchange, symbol, dt, "")
                files = walk(folder, f"{zone}/{key.path}".lstrip("/"))
                there = in_order([path for path in files if path.suffix == ".parquet"])
                if there:
                    held[dt] = tuple(there)
                    break
    if not any(found.values()):
        raise UsageError(
            f"{folder} has no `book` and no trades of {exchange} {symbol} on {', '.join(days)}",
            hint="name the folder that the store was reconstructed from: one of `lobproof acquire "
            "download`, or one that holds book/exchange=…/symbol=…/dt=…/1.snappy.parquet",
        )
    return found


def book_rows(files: DayFiles) -> int:
    """Rows that there are to compare; 0 where a file cannot be read, which the check will say."""
    paths = [path for day in files.values() for path in day]
    try:
        frame = pl.scan_parquet(paths, hive_partitioning=False) if paths else pl.LazyFrame()
        return int(frame.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError):
        return 0


class VendorComparison:
    """Both checks, of the files that `vendor_files` found, a day at a time.

    `take` a day's events, then `compare_trades` and `compare_book`, which may be at once.
    """

    def __init__(self, window: Window, files: Mapping[str, DayFiles]) -> None:
        self._book = _BookCheck(window, files["book"]) if files["book"] else None
        # a golden sample's own trades are of another stamp
        self._trades = None if window.chained else _TradeCheck(window, files["trades"])

    def take(self, dt: str, rows: pl.DataFrame, trades: pl.DataFrame) -> None:
        """Keep what is to be compared of a frame of a day's events, and of its trades."""
        if self._trades is not None:
            self._trades.take(dt, rows, trades)

    def compare_book(self, dt: str, states: pl.DataFrame, depth: pl.DataFrame) -> None:
        """Compare a day's rows of `book`.

        ``states``: event_id and sequence of all the day's states, in stored order; ``depth``:
        event_id of the last rows of its depth messages.
        """
        if self._book is not None:
            self._book.add(dt, states, depth)

    def compare_trades(self, dt: str) -> None:
        """Compare a day's trades, all of whose events were taken."""
        if self._trades is not None:
            self._trades.add(dt)

    def checks(self) -> list[Check]:
        """Both checks, of the days that were added."""
        book, trades = self._book, self._trades
        return [
            book.result() if book else not_applicable(BOOK, "the folder has no `book`"),
            trades.result()
            if trades
            else not_applicable(TRADES, "the store does not come from these files"),
        ]


class _BookCheck:
    """Holds each row of `book` against the state of its id, slot by slot within the trusted ones.

    Of several states with one id that of the depth message counts: a snapshot behind it is what
    the row itself became. Only where the book is known at snapshots alone (the strategies other
    than full) it is the snapshot's.
    """

    def __init__(self, window: Window, files: DayFiles) -> None:
        self._window = window
        self._files = files
        self._doubts = window.doubts()
        self._rate = TimeRate()
        self._slots = 0
        self._bad_slots = 0
        self._counts = dict.fromkeys(
            ("rows", "without_state", "untrusted", "in_doubt", "in_doubt_equal", "no_book"), 0
        )
        self._first: Divergence | None = None

    def add(self, dt: str, states: pl.DataFrame, depth: pl.DataFrame) -> None:
        """Compare a day."""
        if dt not in self._files:
            return
        places = self._places(dt, states, depth)
        stored = self._window.only(dt).table("states")
        for path in self._files[dt]:
            for rows in vendor_rows(path):
                self._compare(dt, rows, stored, places)

    def result(self) -> Check:
        """The check, of the days that were added."""
        counts: dict[str, Any] = {**self._counts, "slots": self._slots}
        missing = [dt for dt in self._window.days if dt not in self._files]
        if missing:
            counts["days_without_book"] = missing
        rate = self._rate.rate()
        if not rate.compared:
            return not_applicable(BOOK, "no row of `book` has the id of a trusted state", **counts)
        return Check(
            BOOK,
            rate.verdict(LIMIT),
            self._counts["rows"],
            rate.compared,
            rate.compared - rate.mismatches,
            bound=rate.upper,
            limit=LIMIT,
            reason=self._first.detail if self._first else "",
            details={**counts, "differing_slots": self._bad_slots},
            first=self._first,
        )

    def _places(self, dt: str, states: pl.DataFrame, depth: pl.DataFrame) -> pl.DataFrame:
        """Which state each sequence of a day is held against: sequence, event_id."""
        places = states.select("sequence", "event_id")
        if dt not in self._window.known_at_snapshots:
            ends = depth.select("event_id")
            places = places.join(ends, on="event_id", how="semi", maintain_order="left")
        return places.unique("sequence", keep="last", maintain_order=True)

    def _compare(
        self, dt: str, rows: pl.DataFrame, states: pl.LazyFrame, places: pl.DataFrame
    ) -> None:
        self._counts["rows"] += rows.height
        self._window.read(rows.height)
        if not rows.height:
            return
        placed = (
            rows.select("sequence")
            .with_row_index("row")
            .join(places, on="sequence", how="inner", maintain_order="left")
        )
        low, high = placed["event_id"].min(), placed["event_id"].max()
        near = states.filter(pl.col("event_id").is_between(low, high)).select(_OF_STATES).collect()
        both = placed.join(
            near.drop(_SLOTS).with_row_index("state"),
            on="event_id",
            how="inner",
            maintain_order="left",
        )
        self._counts["without_state"] += rows.height - both.height
        instrument = self._window.instruments[dt]
        exponents = [instrument.price_exponent, instrument.size_exponent]
        stored = near.select(pl.col(_SLOTS).name.suffix("_state"))
        theirs = _by_slot(_chosen(rows.select(_SLOTS), both["row"]).to_numpy(order="fortran").T)
        ours = _by_slot(
            _floats(_chosen(stored, both["state"]), np.repeat([*exponents, *exponents], LEVELS))
        )
        wrong, slots = _differing(theirs, ours, both.select("bid_trusted", "ask_trusted"))
        doubtful = inside(both, self._doubts)
        trusted = both.select(pl.min_horizontal("bid_trusted", "ask_trusted") > 0)
        trusted_rows = trusted.to_series().to_numpy()
        # infinite or below 0: such a row says nothing of any slot
        no_book = np.any(np.isinf(theirs) | (theirs < 0), axis=(0, 1, 2))
        known = trusted_rows & ~doubtful & ~no_book
        bad: NDArray[np.bool_] = np.any(wrong, axis=0)
        self._counts["no_book"] += int(np.count_nonzero(no_book))
        self._counts["untrusted"] += int(np.count_nonzero(~trusted_rows & ~doubtful))
        self._counts["in_doubt"] += int(np.count_nonzero(doubtful))
        self._counts["in_doubt_equal"] += int(np.count_nonzero(doubtful & ~bad))
        self._slots += int(slots[known].sum())
        self._bad_slots += int(wrong[:, known].sum())
        self._rate.add(both["ts_order"].to_numpy()[known], bad[known])
        contradicted = np.flatnonzero(bad & known)
        if self._first is None and len(contradicted):
            at = int(contradicted[0])
            row = both.row(at, named=True)
            self._first = _divergence(
                row,
                rows.row(row["row"], named=True),
                near.row(row["state"], named=True),
                int(np.argmax(wrong[:, at])),
            )


def _chosen(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Rows of a frame by their numbers, as it is where these are all of them, in order."""
    every = len(rows) == frame.height and rows.equals(pl.int_range(len(rows), eager=True))
    return frame if every else frame[rows]


def _by_slot(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of (slots, rows): (bids and asks, price and size, level, rows)."""
    return values.reshape(len(_SIDES), 2, LEVELS, values.shape[1])


def _differing(
    theirs: NDArray[np.float64], ours: NDArray[np.float64], trusted: pl.DataFrame
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which of the trusted slots (twenty bids, then asks) of each row differ, and their number."""
    listed = np.all(theirs > 0, axis=1)  # null, NaN and 0 are one thing
    # fewer than twenty may be all that the vendor kept: what lies beyond it does not deny
    known = np.minimum(trusted.to_numpy().T, listed.sum(axis=1))
    same = np.all(ours == np.where(listed[:, None], theirs, 0.0), axis=1)
    wrong = ~same & (np.arange(LEVELS)[:, None] < known[:, None])
    return wrong.reshape(len(_SIDES) * LEVELS, -1), known.sum(axis=0)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What goes wrong with a file is an InputError that names it."""
    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", hint="`lobproof acquire validate` looks at it"
        ) from error


def vendor_rows(path: Path) -> Iterator[pl.DataFrame]:
    """Rows of a file of `book`: ``sequence``, and the levels by the names that states have.

    Raises
    ------
    InputError
        When the file cannot be read, or lacks a column.
    """
    with _reading(path):
        names = read_footer(path).schema.names
        lacking = [name for name in (_ID, *_SLOTS) if name not in names]
        if lacking:
            raise InputError(f"{path} has no column {lacking[0]}", hint="is this a file of `book`?")
        yield from (
            pl.scan_parquet(path, hive_partitioning=False)
            .select(pl.col(_ID).cast(pl.Int64).alias("sequence"), *_SLOTS)
            .collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        )


def _floats(stored: pl.DataFrame, exponents: Sequence[int] | Int64) -> NDArray[np.float64]:
    """Columns of stored decimals as the vendor has them, each with the exponent of its grid.

    Float64 (columns, rows). A count and its unit are exact, so their quotient is the nearest float;
    by NumPy, for Polars multiplies by the inverse.
    """
    floats = np.empty((stored.width, stored.height))
    columns = list(zip(stored.columns, map(int, exponents), strict=True))
    try:
        for out, (name, exponent) in zip(floats, columns, strict=True):
            out[:] = from_decimal128(stored[name].to_arrow(), exponent)
    except GridError:  # which is for `grid` to tell: here whole steps are compared
        counts = stored.rechunk().select(
            (pl.col(name).to_physical() // pl.lit(10 ** (PRICE_SCALE - exponent), pl.Int128)).cast(
                pl.Int64
            )
            for name, exponent in columns
        )
        floats[:] = counts.to_numpy().T
    floats /= np.array([[10.0**exponent] for _, exponent in columns])
    return floats


def _divergence(
    place: dict[str, Any], theirs: dict[str, Any], ours: dict[str, Any], at: int
) -> Divergence:
    side, _ = _SIDES[at // LEVELS]
    slot = at % LEVELS
    names = {what: f"{side}_{slot}_{what}" for what in ("price", "size")}
    return Divergence.at(
        BOOK,
        Class.CHANGED,
        place,
        f"{side} {slot} after update id {place['sequence']} is not that of the vendor's `book`",
        expected={what: theirs[name] for what, name in names.items()},
        found={what: ours[name] for what, name in names.items()},
    )


class _TradeCheck:
    """Holds each trade of the files against the stored ones: id, time, side, price and amount.

    Of equal ones in the files the store may hold one alone, where a mark says that it came again:
    as many as there are marks. A row that is no trade has a mark, too. An id that is text has no
    say, its trade the rest. Of partial days nothing is compared.
    """

    def __init__(self, window: Window, files: DayFiles) -> None:
        self._window = window
        self._files = files
        self._days = 0
        self._taken: dict[str, list[pl.DataFrame]] = {}
        self._marks = 0  # of trades that came again
        self._counts = dict.fromkeys(
            ("rows", "stored", "missing", "extra", "repeated", "no_trade", "marked_as_no_trade"), 0
        )
        self._first: Divergence | None = None

    def take(self, dt: str, rows: pl.DataFrame, trades: pl.DataFrame) -> None:
        """Keep the trades of a frame of a day's events as keys, and count its marks."""
        if not self._compares(dt):
            return
        flags = rows.select("kind", "flags").filter(pl.col("kind") == int(Kind.MARK))["flags"]
        of_trades = flags.filter((flags & int(Flag.TRADES)) != 0)
        self._marks += int(((of_trades & int(Flag.DUPLICATE)) != 0).sum())
        self._counts["marked_as_no_trade"] += int(((of_trades & int(Flag.INVALID)) != 0).sum())
        instrument = self._window.instruments[dt]
        exponents = (instrument.price_exponent, instrument.size_exponent)
        self._taken.setdefault(dt, []).append(_stored_trades(trades, exponents))

    def add(self, dt: str) -> None:
        """Compare a day."""
        if not self._compares(dt):
            return
        counts = self._counts
        self._days += 1
        theirs = pl.concat([_trades_of(path) for path in self._files[dt]])
        ours = pl.concat([_OURS, *self._taken.pop(dt, [])])
        counts["no_trade"] += theirs.height
        theirs = theirs.filter("is_trade")
        counts["no_trade"] -= theirs.height
        counts["rows"] += theirs.height
        counts["stored"] += ours.height
        if ours.select(_KEY).equals(theirs.select(_KEY)):
            return  # nearly every day: sorting takes most of this check's time
        # equal keys have equal times: part by part, as grouping takes several times the memory
        parts = max(theirs.height, ours.height) // _TRADES_AT_ONCE + 1
        tallies = (self._tally(theirs, ours, part, parts) for part in range(parts))
        firsts = [tally for tally in tallies if tally.height]
        if self._first is None and firsts:
            first = pl.concat(firsts).sort("time", "number", nulls_last=True).row(0, named=True)
            self._first = _trade_divergence(dt, first)

    def _compares(self, dt: str) -> bool:
        return dt in self._files and dt not in self._window.begins

    def _tally(
        self, theirs: pl.DataFrame, ours: pl.DataFrame, part: int, parts: int
    ) -> pl.DataFrame:
        """Count one part of a day's trades; the first key that differs, if one does."""
        ours_of, theirs_of = (
            frame.filter(pl.col("time") // 1_000_000 % parts == part) for frame in (ours, theirs)
        )
        if ours_of.select(_KEY).sort(_KEY).equals(theirs_of.select(_KEY).sort(_KEY)):
            return pl.DataFrame()  # as in most parts; counting takes thrice as long
        both = (
            theirs_of.group_by(_KEY)
            .agg(pl.len().cast(pl.Int64).alias("there"))
            .join(
                ours_of.group_by(_KEY).agg(
                    pl.len().cast(pl.Int64).alias("here"), pl.col("event_id").min()
                ),
                on=_KEY,
                how="full",
                coalesce=True,
                nulls_equal=True,
            )
            .with_columns(pl.col("there", "here").fill_null(0))
            .with_columns((pl.col("there") - pl.col("here")).alias("less"))
        )
        lost = (pl.col("here") == 0) | ((pl.col("number") == -1) & (pl.col("less") > 0))
        more = pl.col("less") < 0
        counts = self._counts
        counts["missing"] += int(both.filter(lost)["less"].sum())
        counts["extra"] -= int(both.filter(more)["less"].sum())
        counts["repeated"] += int(both.filter(~lost & ~more)["less"].sum())
        return both.filter(lost | more).sort("time", "number", nulls_last=True).head(1)

    def result(self) -> Check:
        """The check, of the days that were added."""
        counts = self._counts
        if not self._days or not (counts["rows"] or counts["stored"]):
            return not_applicable(TRADES, "there are no trades of whole days in the files")
        unexplained = max(counts["repeated"] - self._marks, 0)
        odd = counts["no_trade"], counts["marked_as_no_trade"]
        wrong = counts["missing"] + counts["extra"] + unexplained + abs(odd[0] - odd[1])
        equal = counts["rows"] - counts["missing"] - unexplained
        reason = self._first.detail if self._first else ""
        if odd[0] != odd[1] and not reason:
            reason = f"{odd[0]:,} rows of the files are no trade, and {odd[1]:,} are marked as none"
        if unexplained and not reason:
            reason = f"{unexplained:,} trades that the files have more than once are stored once"
        return Check(
            TRADES,
            Verdict.FAIL if wrong else Verdict.EXACT,
            counts["rows"],
            counts["rows"],
            equal,
            reason=reason,
            details={**counts, "marked_as_repeated": self._marks},
            first=self._first,
        )


def _trades_of(path: Path) -> pl.DataFrame:
    """The trades of a file as keys."""
    with _reading(path):
        names = actual_names("trades", read_footer(path).schema.names)
        rows = pl.scan_parquet(path, hive_partitioning=False)
        number = pl.col(names["id"])
        if rows.collect_schema()[names["id"]].is_integer():
            is_text = ~number.is_between(0, 10**18, closed="left")
        else:
            digits = number.cast(pl.String).str
            is_text = ~digits.contains(r"^[0-9]{0,18}$")
            number = digits.to_integer(strict=False)
        time = pl.col(names["timestamp"]).cast(pl.Int64)
        return rows.select(
            pl.when(is_text)
            .then(-2)
            .otherwise(number)
            .fill_null(-1)
            .cast(pl.Int64)
            .alias("number"),
            pl.when(time > 0).then((time + 500) // 1000 * 1000).otherwise(0).alias("time"),
            (pl.col(names["side"]).cast(pl.String) == "buy").alias("taker"),
            pl.col(names["price"]).alias("price"),
            pl.col(names["amount"]).alias("size"),
            pl.all_horizontal(
                pl.col(names["side"]).cast(pl.String).is_in(TAKERS),
                *(
                    pl.col(names[raw]).is_finite() & (pl.col(names[raw]) > 0)
                    for raw in ("price", "amount")
                ),
            )
            .fill_null(value=False)
            .alias("is_trade"),
        ).collect()


def _stored_trades(trades: pl.DataFrame, exponents: Sequence[int]) -> pl.DataFrame:
    """Trades among events as keys; ``exponents``: of price and size."""
    price, size = _floats(trades.select("price", "size"), exponents)
    return trades.select(
        "event_id",
        pl.when(pl.col("sequence") >= UNORDERED)
        .then(-2)
        .when(pl.col("sequence") < 0)
        .then(-1)
        .otherwise("sequence")
        .cast(pl.Int64)
        .alias("number"),
        pl.col("ts_event").cast(pl.Int64).alias("time"),
        (pl.col("side") == int(Side.BUY)).alias("taker"),
        pl.Series("price", price),
        pl.Series("size", size),
    )


def _trade_divergence(dt: str, row: dict[str, Any]) -> Divergence:
    missing = row["less"] > 0
    values = {name: row[name] for name in ("price", "size")}
    number = None if row["number"] < 0 else int(row["number"])
    what = "a trade without a number" if number is None else f"trade {number}"
    return Divergence(
        TRADES,
        Class.MISSING if missing else Class.EXTRA,
        number,
        int(row["time"]),
        f"{what} is in the vendor's files {row['there']} times, and stored {row['here']} times",
        dt=dt,
        event_id=None if row["event_id"] is None else int(row["event_id"]),
        expected=values if missing else None,
        found=None if missing else values,
    )
