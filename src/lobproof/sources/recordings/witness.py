"""SBE as a third witness: its frames held against the JSON messages of the same journals.

Trades are compared by id, best bid and ask by update id, depth between the update ids at which a
message ends in both: what each side last said of a level must be the same. SBE tells depth every
20 ms and JSON every 100 ms, so several frames stand against a message.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lobproof.fixedpoint import count_to_text
from lobproof.instruments import Instrument
from lobproof.schema import Int64, Kind
from lobproof.sources.binance.decode import Problem
from lobproof.sources.binance.journal import Loss, read_frames
from lobproof.sources.binance.rows import book_batch, ticker_batch, trade_batch
from lobproof.sources.binance.sbe import LEVEL, SBE_MARK, TRADE, SbeFrame, read_sbe
from lobproof.sources.binance.scan_kernels import DEPTH, OTHER, TICKER
from lobproof.sources.binance.scan_kernels import TRADE as TRADE_MESSAGE
from lobproof.sources.binance.scanner import Block, Scanner

LISTED = 20
"""Differences that are listed, of each stream."""
_SETTLE_ROWS = 400_000
"""Rows of a stream that are held before they are compared."""
_MOST_ROWS = 2_000_000
"""Rows that wait for the other side; it is given up for the older half of more."""
_MARGIN_IDS = 5_000
"""Ids behind the latest that both have told within which a message may still come."""
_LEVELS = ("final", "side", "price", "size")
_MESSAGES = ("previous", "final")
_TRADES = ("price", "size", "time_us", "maker")
_TOUCH = ("bid", "bid_size", "ask", "ask_size")
_MOST_TEXTS = 10_000
_OFF_GRID = -1
"""Stands for a number of SBE that the grid cannot hold; below it, one whose text is kept."""


def has_witness(streams: Iterable[str]) -> bool:
    """Whether a sample with these streams holds SBE frames."""
    return any(SBE_MARK.decode() in name for name in streams)


def compare_witness(journals: Iterable[Path], instrument: Instrument) -> dict[str, Any]:
    """What the SBE frames of journals say of their JSON messages.

    Counts of what was compared, equal and differing, the first differences with their ids, and what
    one side alone has. Memory is bounded. Whatever SBE alone has, JSON lost; what JSON alone has,
    SBE did not bring, which for best bid and ask is the venue's way under load.
    """
    witness = _Witness(instrument)
    for path in journals:
        scanner = Scanner(instrument.venue_symbol, (DEPTH, TRADE_MESSAGE, TICKER))
        line = 1
        for frame in read_frames(path):
            if isinstance(frame, Loss):  # of a file just written: the readers of the sample tell
                continue
            block = scanner.scan(frame, path.name, line)
            line += len(block.ends)
            witness.take(block)
    return witness.told()


class _Grid:
    """Mantissas as counts on the instrument's grid; what is none has a number below 0."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._codes: dict[str, int] = {}
        self._texts: list[str] = []

    def counts(self, mantissa: Int64, exponent: Int64, which: int) -> Int64:
        """Counts of prices (0) or of sizes (1)."""
        grid = (self._instrument.price_exponent, self._instrument.size_exponent)[which]
        out = np.full(len(mantissa), _OFF_GRID, np.int64)
        for one in np.unique(exponent).tolist():
            rows = np.flatnonzero(exponent == one)
            values = mantissa[rows].astype(np.int64)
            step = 10 ** min(abs(grid + one), 18)
            if grid + one >= 0:
                fits = (values >= 0) & (values <= np.iinfo(np.int64).max // step)
                counts = np.where(fits, values, 0) * step
            else:
                fits = (values >= 0) & (values % step == 0)
                counts = values // step
            out[rows] = np.where(fits, counts, _OFF_GRID)
            for row in rows[~fits].tolist():
                out[row] = self._code(int(mantissa[row]), one)
        return out

    def _code(self, mantissa: int, exponent: int) -> int:
        """What stands for a number that the grid cannot hold."""
        text = count_to_text(mantissa * 10 ** max(exponent, 0), max(-exponent, 0))
        if text not in self._codes:
            if len(self._texts) == _MOST_TEXTS:
                return _OFF_GRID
            self._texts.append(text)
            self._codes[text] = _OFF_GRID - len(self._texts)
        return self._codes[text]

    def shown(self, name: str, count: int | None) -> Any:
        """A value as the document has it; None for what a side does not tell."""
        if count is None or name == "time_us":
            return count
        if name == "maker":
            return bool(count)
        if count < 0:
            return self._texts[-2 - count] if count < _OFF_GRID else "off the grid"
        instrument = self._instrument
        size = name.endswith("size")
        return count_to_text(count, instrument.size_exponent if size else instrument.price_exponent)


class _Witness:
    """Takes scanned blocks in order, and compares as it goes."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._frames: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()
        self._grid = _Grid(instrument)
        self._trades = _ById(_TRADES, self._grid)
        self._touch = _ById(_TOUCH, self._grid)
        self._depth = _Depth(self._grid)

    def take(self, block: Block) -> None:
        instrument = self._instrument
        trades = trade_batch(block, TRADE_MESSAGE, instrument)
        time, maker = trades.ts_event // 1000, trades.side - 1
        told = (trades.sequence, trades.price, trades.size, time, maker)
        self._trades.add(0, _table(("id", *_TRADES), told))
        touch = ticker_batch(block, instrument)
        said = (touch.sequence, touch.bid, touch.bid_size, touch.ask, touch.ask_size)
        self._touch.add(0, _table(("id", *_TOUCH), said))
        book = book_batch(block, instrument)
        levels = book.kind == Kind.DELTA
        rows = (book.sequence, book.side, book.price, book.size)
        messages = block.messages[block.messages["kind"] == DEPTH]
        self._depth.add(
            0,
            _table(_MESSAGES, (messages["previous"], messages["final"])),
            _table(_LEVELS, [column[levels] for column in rows]),
        )
        self._take_frames(block)
        for one in (self._trades, self._touch, self._depth):
            one.settle()

    def _take_frames(self, block: Block) -> None:
        """Read the SBE frames of a block, and hand them on by kind."""
        text, found = block.buffer.data, dict[str, list[SbeFrame]]()
        others = block.messages[block.messages["kind"] == OTHER]
        places = [others[name].tolist() for name in ("stream", "stream_stop")]
        payloads = [others[name].tolist() for name in ("payload", "payload_stop")]
        for begin, end, start, stop in zip(*places, *payloads, strict=True):
            if SBE_MARK not in bytes(text[begin:end]):
                continue
            try:
                frame = read_sbe(b64decode(text[start + 1 : stop - 1], validate=True))
                if frame.symbol != self._instrument.venue_symbol:
                    raise Problem("sbe symbol", f"a frame of {frame.symbol}")
            except Problem as problem:
                self._unread[problem.reason] += 1
            except Base64Error:
                self._unread["base64"] += 1
            else:
                found.setdefault(frame.kind, []).append(frame)
        for kind, frames in found.items():
            self._frames[kind] += len(frames)
            self._take_kind(kind, frames)

    def _take_kind(self, kind: str, frames: list[SbeFrame]) -> None:
        entries = np.frombuffer(
            b"".join([frame.entries for frame in frames]), TRADE if kind == "trade" else LEVEL
        )
        bids = np.array([frame.bids for frame in frames])
        counts = bids + [frame.asks for frame in frames]
        price = self._grid.counts(
            entries["price"], np.repeat([frame.price_exponent for frame in frames], counts), 0
        )
        size = self._grid.counts(
            entries["size"], np.repeat([frame.size_exponent for frame in frames], counts), 1
        )
        if kind == "trade":
            time = np.repeat([frame.time_us for frame in frames], counts)
            rows = (entries["id"], price, size, time, entries["maker"])
            self._trades.add(1, _table(("id", *_TRADES), rows))
        elif kind == "bestBidAsk":
            said = (price[0::2], size[0::2], price[1::2], size[1::2])
            ids = np.array([frame.last for frame in frames])
            self._touch.add(1, _table(("id", *_TOUCH), (ids, *said)))
        elif kind == "depth":
            last = np.array([frame.last for frame in frames])
            first = np.array([frame.first for frame in frames])
            place = np.arange(len(entries)) - np.repeat(np.cumsum(counts) - counts, counts)
            side = 1 + (place >= np.repeat(bids, counts))
            self._depth.add(
                1,
                _table(_MESSAGES, (first - 1, last)),
                _table(_LEVELS, (np.repeat(last, counts), side, price, size)),
            )

    def told(self) -> dict[str, Any]:
        """The result, once all has been taken."""
        for one in (self._trades, self._touch, self._depth):
            one.settle(last=True)
        touch = self._touch.told()
        share = touch["equal"] / touch["compared"] if touch["compared"] else None
        return {
            "frames": dict(sorted(self._frames.items())),
            "unread": dict(sorted(self._unread.items())),
            "trades": self._trades.told(),
            "depth": self._depth.told(),
            "touch": {**touch, "equal_share": share},
        }


class _Pending:
    """Rows of JSON (0) and SBE (1) that wait to be compared, by rising ids or nearly so."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        none = pl.DataFrame(schema=dict.fromkeys(columns, pl.Int64))
        self.sides = [[none], [none]]
        self.rows = [0, 0]

    def add(self, side: int, rows: pl.DataFrame) -> None:
        if len(rows):
            self.sides[side].append(rows)
            self.rows[side] += len(rows)

    def whole(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        json, sbe = (pl.concat(parts) for parts in self.sides)
        return json, sbe

    def keep(self, *left: pl.DataFrame) -> None:
        self.sides = [[one] for one in left]
        self.rows = [len(one) for one in left]


class _ById:
    """Messages with an id, each with these values."""

    def __init__(self, values: tuple[str, ...], grid: _Grid) -> None:
        self._values = values
        self._grid = grid
        self._pending = _Pending(("id", *values))
        self._next = _SETTLE_ROWS
        self._compared = self._equal = 0
        self._alone = [0, 0]
        self._first_alone: list[int] = []
        self._differing: list[dict[str, Any]] = []

    def add(self, side: int, rows: pl.DataFrame) -> None:
        self._pending.add(side, rows)

    def settle(self, *, last: bool = False) -> None:
        """Compare what cannot change any more."""
        if not last and sum(self._pending.rows) < self._next:
            return
        both = self._pending.whole()
        cutoff = _cutoff([one["id"] for one in both], last=last)
        json, sbe = (one.filter(pl.col("id") <= cutoff).unique() for one in both)
        self._pending.keep(*(one.filter(pl.col("id") > cutoff) for one in both))
        self._next = sum(self._pending.rows) + _SETTLE_ROWS
        pairs = json.join(sbe, on="id", suffix="_sbe")
        equal = pl.all_horizontal([pl.col(one) == pl.col(f"{one}_sbe") for one in self._values])
        wrong = pairs.filter(~equal).sort("id")
        self._compared += len(pairs)
        self._equal += len(pairs) - len(wrong)
        for row in wrong.head(LISTED - len(self._differing)).iter_rows(named=True):
            self._differing.append(
                {"id": row["id"], "json": self._shown(row, ""), "sbe": self._shown(row, "_sbe")}
            )
        lost = sbe.join(json, on="id", how="anti").sort("id")
        self._alone[0] += len(json.join(sbe, on="id", how="anti"))
        self._alone[1] += len(lost)
        self._first_alone += lost["id"].head(LISTED - len(self._first_alone)).to_list()

    def _shown(self, row: dict[str, Any], suffix: str) -> dict[str, Any]:
        return {name: self._grid.shown(name, row[f"{name}{suffix}"]) for name in self._values}

    def told(self) -> dict[str, Any]:
        return {
            "compared": self._compared,
            "equal": self._equal,
            "differing": self._compared - self._equal,
            "json_alone": self._alone[0],
            "sbe_alone": self._alone[1],
            "first_sbe_alone": self._first_alone,
            "first_differing": self._differing,
        }


class _Depth:
    """Depth messages, and the levels that they tell."""

    def __init__(self, grid: _Grid) -> None:
        self._grid = grid
        self._messages = _Pending(_MESSAGES)
        self._levels = _Pending(_LEVELS)
        self._next = _SETTLE_ROWS
        self._messages_compared = [0, 0]
        self._messages_alone = [0, 0]
        self._spans = self._spans_differing = 0
        self._compared = self._equal = 0
        self._differing: list[dict[str, Any]] = []

    def add(self, side: int, messages: pl.DataFrame, levels: pl.DataFrame) -> None:
        self._messages.add(side, messages)
        self._levels.add(side, levels)

    def settle(self, *, last: bool = False) -> None:
        """Compare up to the last id at which both have ended a message, and nothing is to come."""
        if not last and sum(self._levels.rows) + sum(self._messages.rows) < self._next:
            return
        both, levels = self._messages.whole(), self._levels.whole()
        cutoff = _cutoff([one["final"] for one in both], last=last)
        ids = [
            np.unique(np.concatenate([one["previous"].to_numpy(), one["final"].to_numpy()]))
            for one in both
        ]
        cuts = np.intersect1d(ids[0], ids[1])
        cuts = cuts[cuts <= cutoff]
        if not last:
            cutoff = int(cuts[-1]) if len(cuts) else -1
            cutoff = max(cutoff, *(_given_up(one["final"]) for one in levels))
        done = pl.col("final") <= cutoff
        self._compare(
            [one.filter(done).unique() for one in both], [one.filter(done) for one in levels], cuts
        )
        self._messages.keep(*(one.filter(~done) for one in both))
        self._levels.keep(*(one.filter(~done) for one in levels))
        self._next = sum(self._levels.rows) + sum(self._messages.rows) + _SETTLE_ROWS

    def _compare(
        self, messages: list[pl.DataFrame], levels: list[pl.DataFrame], cuts: Int64
    ) -> None:
        """Compare span by span: from one of the ids ``cuts`` to the next."""
        widths = np.diff(cuts, prepend=cuts[:1])
        whole = widths > 0
        places = []
        for of in messages:
            previous, final = of["previous"].to_numpy(), of["final"].to_numpy()
            place = np.searchsorted(cuts, final)
            places.append(place)
            told = np.bincount(place, final - previous, len(cuts) + 1)[: len(cuts)]
            whole &= told == widths  # no id is missing, and none told twice
        whole = np.append(whole, False)
        for side, place in enumerate(places):
            compared = int(np.count_nonzero(whole[place]))
            self._messages_compared[side] += compared
            self._messages_alone[side] += len(place) - compared
        self._spans += int(np.count_nonzero(whole))
        key = ["span", "side", "price"]
        latest = []
        for of in levels:
            span = np.searchsorted(cuts, of["final"].to_numpy())
            rows = of.with_columns(span=pl.Series(span, dtype=pl.Int64)).filter(whole[span])
            rows = rows.sort("final", maintain_order=True).unique(
                key, keep="last", maintain_order=True
            )
            latest.append(rows.select(*key, "size"))
        pairs = latest[0].join(latest[1], on=key, how="full", suffix="_sbe", coalesce=True)
        wrong = pairs.filter(~pl.col("size").eq_missing(pl.col("size_sbe"))).sort(key)
        self._compared += len(pairs)
        self._equal += len(pairs) - len(wrong)
        self._spans_differing += wrong["span"].n_unique()
        for row in wrong.head(LISTED - len(self._differing)).iter_rows(named=True):
            self._differing.append(
                {
                    "after": int(cuts[row["span"] - 1]),
                    "final": int(cuts[row["span"]]),
                    "side": "bid" if row["side"] == 1 else "ask",
                    "price": self._grid.shown("price", row["price"]),
                    "json": self._grid.shown("size", row["size"]),
                    "sbe": self._grid.shown("size", row["size_sbe"]),
                }
            )

    def told(self) -> dict[str, Any]:
        return {
            "compared": self._compared,
            "equal": self._equal,
            "differing": self._compared - self._equal,
            "spans": self._spans,
            "spans_differing": self._spans_differing,
            "messages_compared": self._messages_compared[0],
            "messages_alone": self._messages_alone[0],
            "frames_compared": self._messages_compared[1],
            "frames_alone": self._messages_alone[1],
            "first_differing": self._differing,
        }


def _table(names: Iterable[str], columns: Iterable[Any]) -> pl.DataFrame:
    return pl.DataFrame(
        {name: np.asarray(one, np.int64) for name, one in zip(names, columns, strict=True)}
    )


def _cutoff(ids: list[pl.Series], *, last: bool) -> int:
    """Up to which id nothing more is to come from either side."""
    if last:
        return int(np.iinfo(np.int64).max)
    latest = min((-1 if one.is_empty() else int(one.to_numpy().max())) for one in ids)
    return max(latest - _MARGIN_IDS, *(_given_up(one) for one in ids))


def _given_up(ids: pl.Series) -> int:
    """Up to which id rows no longer wait for the other side; -1 where they are few."""
    middle = len(ids) // 2
    return int(np.partition(ids.to_numpy(), middle)[middle]) if len(ids) > _MOST_ROWS else -1
