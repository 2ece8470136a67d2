"""The plain decoder: a golden sample's journals by Python's own ``json``, and nothing of ours.

It shares no code with the decoders that reconstruct, so that an error in those shows as a
difference: lines by ``zstd`` and ``json``, numbers from their text to ``Decimal(38, 18)`` by
Polars, the exchange's rules as its documentation states them: drop what has ``u`` at or below the
last one (unless time goes on while the ids go back, for then they began anew). That costs a
dictionary a message: some 60,000 messages a second.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lobproof.errors import InputError
from lobproof.fidelity.exact.ids import REPEATED, SeenIds

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHUNK_LINES = 1 << 16
_FUTURE_NS = 3_600_000_000_000
_HEAD = 200
"""Characters of a line within which its stream is named."""
DECIMAL = pl.Decimal(38, 18)
BID, ASK = 1, 2

ROWS = pl.Schema(
    {
        "id": pl.Int64(),
        "prev": pl.Int64(),
        "ts": pl.Int64(),
        "recv": pl.Int64(),
        "clock": pl.Int64(),
        "side": pl.Int8(),
        "price": DECIMAL,
        "size": DECIMAL,
    }
)
"""A row a level change or a trade, in order.

``id`` is the depth message's ``u``, the trade's id, or the last one of an aggregate; ``prev`` the
id before it. A depth message without a level is one row of side 0; a trade's side is its taker's, 1
bought and 2 sold. ``ts`` is the exchange's time, 0 if missing; ``recv`` the recorder's, 0 of a
trade that no socket brought; ``clock`` the running maximum of ``ts``, which tells the day.
"""
TICKERS = pl.Schema(
    {
        "u": pl.Int64(),
        "bid": DECIMAL,
        "bid_size": DECIMAL,
        "ask": DECIMAL,
        "ask_size": DECIMAL,
    }
)
LISTS = pl.Schema(
    {"u": pl.Int64(), "side": pl.Int8(), "slot": pl.Int32(), "price": DECIMAL, "size": DECIMAL}
)
"""Levels of snapshots and partial books, best first."""

_JSON = json.JSONDecoder(parse_float=str)
_PARTIAL = re.compile(r"depth(5|10|20)(@\d+ms)?")
_DEPTH = re.compile(r"depth(@\d+ms)?")


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a number of lines say: ``ROWS`` of levels and trades, ``TICKERS``, ``LISTS``.

    ``snapshots`` and ``partials`` hold whole lists; ``snapshots`` a message number ``message``.
    """

    levels: pl.DataFrame
    trades: pl.DataFrame
    tickers: pl.DataFrame
    partials: pl.DataFrame
    snapshots: pl.DataFrame


@dataclass(slots=True)
class Tally:
    """What the decoder met."""

    lines: int = 0
    depth: int = 0
    empty: int = 0  # depth messages without a level
    repeated: int = 0  # depth messages at or below the last update id
    resets: int = 0  # those whose time went on all the same: ids began anew
    repeated_trades: int = 0
    unreadable: int = 0  # in the journal as such, or not what their stream says
    first_unreadable: str = ""


@dataclass(slots=True)
class _Lists:
    """Columns of one frame as they grow; ``price`` and ``size`` and the like are still text."""

    schema: pl.Schema
    columns: dict[str, list[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = {name: [] for name in self.schema}

    def frame(self) -> pl.DataFrame:
        """The rows so far as a frame; starts anew."""
        series = [
            decimals(name, self.columns[name])
            if kind == DECIMAL
            else pl.Series(name, self.columns[name], kind)
            for name, kind in self.schema.items()
        ]
        self.__post_init__()
        return pl.DataFrame(series)


class PlainDecoder:
    """Decodes the messages of one symbol out of journal files, chunk by chunk.

    Parameters
    ----------
    journals
        The files in order.
    venue_symbol
        Messages of other symbols are left out.
    trade_stream
        ``trade`` or ``aggTrade``: which of the two is compared.
    book_clock
        ``E`` or ``T``: the time of a depth message that was stored. Without a T it is E.
    left_out
        Update id and capture time of snapshots that need not be of this symbol.
    backfilled
        First and last ids of trades that REST brought of gaps, and that stand among the others.
    """

    def __init__(
        self,
        journals: list[Path],
        venue_symbol: str,
        trade_stream: str,
        book_clock: str = "E",
        left_out: Collection[tuple[int, int]] = (),
        backfilled: Collection[tuple[int, int]] = (),
    ) -> None:
        self._journals = journals
        self._symbol = venue_symbol
        self._trade_stream = trade_stream
        self._book_clock = book_clock
        self._left_out = left_out
        self._backfilled = backfilled
        self._brought: dict[int, tuple[dict[str, Any], int]] = {}
        self._waiting: list[int] = []  # ids of those, the next one last
        self._last = -1
        self._last_ts = 0
        self._clock = {"depth": 0, "trade": 0}
        self._trade_ids = SeenIds()
        self._snapshots = 0
        self._executed = -1  # highest id of a trade
        self._passed: set[int] = set()  # ids beyond it of messages that are no execution
        self._run = (-1, -1)  # the id before the last run of such messages, and its last one
        self.tally = Tally()
        self._levels = _Lists(ROWS)
        self._trades = _Lists(pl.Schema({**ROWS, "first": pl.Int64()}))
        self._tickers = _Lists(TICKERS)
        self._partials = _Lists(LISTS)
        self._listed = _Lists(pl.Schema({"message": pl.Int64(), **LISTS}))

    def chunks(self, lines: int = CHUNK_LINES) -> Iterator[Chunk]:
        """Everything, ``lines`` journal lines at a time.

        Raises
        ------
        InputError
            When a journal cannot be read.
        """
        if self._backfilled:
            self._find_brought()
        count = 0
        for path, number, line in self._read():
            self._line(line, path, number)
            count += 1
            if count == lines:
                yield self._chunk()
                count = 0
        if count:
            yield self._chunk()

    def _read(self) -> Iterator[tuple[Path, int, str]]:
        """The lines of all journals, each with its file and number."""
        for path in self._journals:
            try:
                with zstd.open(
                    path, "rt", encoding="utf-8", errors="replace", newline="\n"
                ) as file:
                    for number, line in enumerate(file, 1):
                        yield path, number, line
            except (OSError, EOFError, zstd.ZstdError) as error:
                raise InputError(
                    f"{path} cannot be read: {error}",
                    hint="the golden sample is damaged; import the recordings again",
                ) from error

    def _find_brought(self) -> None:
        """Trades of REST's answers that stand among the others: they come behind them."""
        name = f'"stream":"{self._symbol.lower()}@trade@backfill"'
        for _, _, line in self._read():
            if name not in line[:_HEAD]:
                continue
            try:
                entry = _JSON.decode(line)
                trades = [(int(one["id"]), one) for one in entry["data"]]
                capture = int(entry["capture_ns"])
            except (ValueError, KeyError, TypeError):
                continue  # what it would have told, the comparison misses
            for at, trade in trades:
                if any(first <= at <= last for first, last in self._backfilled):
                    self._brought.setdefault(at, (trade, capture))
        self._waiting = sorted(self._brought, reverse=True)

    def _chunk(self) -> Chunk:
        trades = self._trades.frame()
        first, last = trades["first"].to_numpy(), trades["id"].to_numpy()
        kept = self._trade_ids.add(first, last) != REPEATED
        self.tally.repeated_trades += int(np.count_nonzero(~kept))
        return Chunk(
            self._levels.frame(),
            trades.drop("first").filter(pl.Series(kept, dtype=pl.Boolean)),
            self._tickers.frame(),
            self._partials.frame(),
            self._listed.frame(),
        )

    def _line(self, line: str, path: Path, number: int) -> None:
        self.tally.lines += 1
        try:
            entry = _JSON.decode(line)
            stream = entry["stream"]
            if stream == "control":
                return
            if stream == "invalid":
                raise ValueError(f"the import could not read it: {entry.get('reason', '')}")
            name, _, what = stream.partition("@")
            if name.upper() == self._symbol:
                self._message(what, entry["data"], int(entry["capture_ns"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.tally.unreadable += 1
            if not self.tally.first_unreadable:
                why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
                what = f"{path.parent.name}/{path.name}, line {number:,}: {why}"
                self.tally.first_unreadable = what

    def _message(self, what: str, data: dict[str, Any], capture: int) -> None:
        if what == self._trade_stream:
            self._trade(data, capture)
        elif what == "bookTicker":
            self._ticker(data)
        elif _DEPTH.fullmatch(what):
            self._depth(data, capture)
        elif what in ("snapshot", "depthSnapshot"):
            if (int(data["lastUpdateId"]), capture) in self._left_out:
                return
            rows = _list_rows(data)
            columns = self._listed.columns
            columns["message"] += [self._snapshots] * len(rows[0])
            for name, values in zip(LISTS, rows, strict=True):
                columns[name] += values
            self._snapshots += 1
        elif _PARTIAL.fullmatch(what):
            for name, values in zip(LISTS, _list_rows(data), strict=True):
                self._partials.columns[name] += values

    def _depth(self, data: dict[str, Any], capture: int) -> None:
        self._check(data)
        first, last, previous = int(data["U"]), int(data["u"]), data.get("pu")
        bids, bid_sizes = _columns(data["b"])
        asks, ask_sizes = _columns(data["a"])
        ts = _nanoseconds(data["E"])
        if self._book_clock == "T":
            ts = _nanoseconds(data.get("T", 0)) or ts
        self.tally.depth += 1
        if last <= self._last:
            if last == self._last or not ts > self._last_ts > 0:
                self.tally.repeated += 1
                return
            self.tally.resets += 1
        self._last, self._last_ts = last, ts
        sides = [BID] * len(bids) + [ASK] * len(asks)
        if not sides:
            self.tally.empty += 1
            sides, bids, bid_sizes = [0], ["0"], ["0"]
        rows = len(sides)
        columns = self._levels.columns
        columns["id"] += [last] * rows
        columns["prev"] += [first - 1 if previous is None else int(previous)] * rows
        columns["ts"] += [ts] * rows
        columns["recv"] += [capture] * rows
        columns["clock"] += [self._time("depth", ts, capture)] * rows
        columns["side"] += sides
        columns["price"] += bids
        columns["price"] += asks
        columns["size"] += bid_sizes
        columns["size"] += ask_sizes

    def _trade(self, data: dict[str, Any], capture: int) -> None:
        self._check(data)
        raw = self._trade_stream == "trade"
        first, last = int(data["t" if raw else "f"]), int(data["t" if raw else "l"])
        ts = _nanoseconds(data["T"])
        price, size = _texts([data["p"], data["q"]])
        before, passed = self._run
        previous = before if first - 1 == passed else first - 1
        if data.get("X") == "NA" and not (Decimal(price) or Decimal(size)):
            self._pass_over(last, previous)
            return
        while self._waiting and self._waiting[-1] < last:
            at = self._waiting.pop()
            told, behind = self._brought.pop(at)
            self._add_trade(
                (self._before(at), at, at),
                (_nanoseconds(told["time"]), behind),
                0,
                _texts([told["price"], told["qty"]]),
                sold=bool(told["isBuyerMaker"]),
            )
        self._executed = max(self._executed, last)
        # the buyer made the offer: the taker sold
        self._add_trade(
            (previous, first, last), (ts, capture), capture, (price, size), sold=bool(data["m"])
        )

    def _pass_over(self, at: int, previous: int) -> None:
        """Take the id of a message that is no execution: the next trade follows what was before."""
        before, passed = self._run
        if at > passed:
            self._run = (previous, at)
        elif at == before:
            self._run = (previous, passed)
        if at > self._executed:
            if self._passed and max(self._passed) < self._executed:
                self._passed.clear()
            self._passed.add(at)

    def _before(self, at: int) -> int:
        """The id before a trade that REST brought, but for those of no execution."""
        while at - 1 in self._passed:
            at -= 1
        return at - 1

    def _add_trade(
        self,
        ids: tuple[int, int, int],
        times: tuple[int, int],
        received: int,
        numbers: Collection[str],
        *,
        sold: bool,
    ) -> None:
        """A row of a trade.

        ``ids``: the one before, its first and last; ``times``: its own, and one that it was known
        at; ``received``: 0 where no socket brought it.
        """
        columns = self._trades.columns
        for name, value in zip(("prev", "first", "id"), ids, strict=True):
            columns[name].append(value)
        for name, number in zip(("price", "size"), numbers, strict=True):
            columns[name].append(number)
        columns["ts"].append(times[0])
        columns["recv"].append(received)
        columns["clock"].append(self._time("trade", *times))
        columns["side"].append(2 if sold else 1)

    def _ticker(self, data: dict[str, Any]) -> None:
        self._check(data)
        update = int(data["u"])
        bid, bid_size, ask, ask_size = _texts([data["b"], data["B"], data["a"], data["A"]])
        columns = self._tickers.columns
        columns["u"].append(update)
        columns["bid"].append(bid)
        columns["bid_size"].append(bid_size)
        columns["ask"].append(ask)
        columns["ask_size"].append(ask_size)

    def _time(self, stream: str, ts: int, capture: int) -> int:
        """The stream's clock at this message; what is missing or far in the future stops it not."""
        if 0 < ts < capture + _FUTURE_NS:
            self._clock[stream] = max(self._clock[stream], ts)
        return self._clock[stream] or capture

    def _check(self, data: dict[str, Any]) -> None:
        if data["s"] != self._symbol:
            raise ValueError(f"a message of {data['s']} in a stream of {self._symbol}")


def _columns(levels: list[Any]) -> tuple[list[str], list[str]]:
    """Prices and sizes of a list of levels; once these had a third element that says nothing."""
    return _texts([level[0] for level in levels]), _texts([level[1] for level in levels])


def _list_rows(data: dict[str, Any]) -> tuple[list[Any], ...]:
    """Columns of ``LISTS`` of a snapshot or a partial book; an empty one is a row of side 0."""
    bids, bid_sizes = _columns(data["bids"])
    asks, ask_sizes = _columns(data["asks"])
    sides = [BID] * len(bids) + [ASK] * len(asks)
    slots = [*range(len(bids)), *range(len(asks))]
    update = int(data["lastUpdateId"])
    if not sides:
        return [update], [0], [0], ["0"], ["0"]
    return [update] * len(sides), sides, slots, bids + asks, bid_sizes + ask_sizes


def _texts(values: list[Any]) -> list[str]:
    """Texts of plain numbers; what is spelled another way is rewritten, exactly.

    JSON numbers come as the text of a float or as an int.
    """
    try:
        plain = "".join(values).replace(".", "").isdecimal()
    except TypeError:
        plain = False
    return values if plain or not values else [_rewritten(value) for value in values]


def _rewritten(value: Any) -> str:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is no number") from error
    if not number.is_finite() or number < 0:
        raise ValueError(f"{value!r} is no price or size")
    return format(number, "f")


def _nanoseconds(value: Any) -> int:
    """A time of the exchange, in ms or (``timeUnit=MICROSECOND``) in µs; 0 if there is none."""
    stamp = int(value)
    if stamp <= 0:
        return 0
    return stamp * (1_000_000 if stamp < 10_000_000_000_000 else 1_000)


def decimals(name: str, texts: list[str]) -> pl.Series:
    """Texts of plain numbers as ``Decimal(38, 18)``, exactly.

    Raises
    ------
    InputError
        When one does not fit.
    """
    series = pl.Series(name, texts, pl.String)
    values = series.cast(DECIMAL, strict=False)
    if values.null_count():
        text = series.filter(values.is_null())[0]
        raise InputError(
            f"the golden sample holds the number {text[:60]}, which decimal(38, 18) cannot",
            hint="is this a sample of one symbol?",
        )
    return values
