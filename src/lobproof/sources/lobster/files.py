"""The files of a LOBSTER folder: names, pairs, and the rows of a pair, each of them checked.

Format: https://lobsterdata.com/info/DataStructure.php. Generated files may have a column more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.errors import InputError, UsageError, shown
from lobproof.fixedpoint import MALFORMED, OFF_GRID, OK, OVERFLOW
from lobproof.instruments import is_name
from lobproof.schema import Int8, Int64
from lobproof.sources.lobster.row_kernels import TOO_FEW, TOO_MANY, read_rows
from lobproof.sources.recordings.reader import RecordingFile
from lobproof.timespan import DAY_NS, day_start

NEW, REDUCED, DELETED, EXECUTED, EXECUTED_HIDDEN, CROSS_TRADE, HALT = range(1, 8)
"""Types of a message."""
TIME_DIGITS = 9
PRICE_EXPONENT = 4
NO_ASK = 9_999_999_999
NO_BID = -NO_ASK
"""Prices of levels that are empty. No other price reaches them."""
MAX_SIZE = 10**12
MAX_LEVELS = 1000
_EMPTY_PRICES = (NO_ASK, NO_BID, -1, 0)
_EMPTY = "an empty level has the price 9999999999 (ask), -9999999999 (bid), -1 or 0"
_PRICES = "prices are in 1e-4 dollars, and below 9999999999"
_SIZES = f"sizes are up to {MAX_SIZE:,}, prices below 9999999999: count both in larger units"
_SORTED = "list each price once, the best first, empty levels last"
_COLUMNS = ("time", "type", "order id", "size", "price", "direction")
_BLOCK_BYTES = 1 << 22
_MOST_LINE_BYTES = 1 << 24
_NAME = re.compile(
    r"(?P<ticker>[^_]+)_(?P<date>\d{4}-\d\d-\d\d)_(?:.+_)?message(?P<rest>_.*)?\.csv"
    r"(?:\.gz|\.zip)?",
    re.ASCII,
)
_LEVELS = re.compile(r"_(\d{1,4})(?:_|$)", re.ASCII)
_REAL_ID = re.compile(r"real_id_(\d{1,9})(?!\d)", re.ASCII)
_FETCH = "fetch the file again, or have it written again"
_REASONS = {
    MALFORMED: ("is no decimal number", "write plain digits, without quotes or exponents"),
    OFF_GRID: ("has too many digits", "times have up to 9 decimals, all else is whole numbers"),
    OVERFLOW: ("is too large", "numbers have to fit into 64 bits"),
    TOO_FEW: ("is missing: the row is too short", _FETCH),
    TOO_MANY: ("is one too many: the row is too long", "remove the columns that do not belong"),
}


_Bools = NDArray[np.bool_]
_Fault = tuple[_Bools, str, str]
"""The rows that it is true of, what is wrong, and a remedy."""


class Pair(NamedTuple):
    """A message file and its order book file; ``levels`` is what the name says, 0: nothing."""

    ticker: str
    date: str
    messages: Path
    books: Path
    levels: int

    @property
    def begin(self) -> tuple[str, int] | None:
        """Date and number of the real sequence that it is or goes on from; None: not named."""
        found = _REAL_ID.search(self.messages.name)
        return (self.date, int(found[1])) if found else None


@dataclass(frozen=True, slots=True)
class Sequence:
    """The rows of a pair: message ``k`` left the book ``k``.

    ``time``: ns after midnight of the exchange, never falling. ``price``: 1e-4 dollars.
    ``direction``: of the resting order, 1 bought, -1 sold. ``book``: (rows, 4 * levels), in the
    order ask price, ask size, bid price, bid size of level 1, 2, …; empty levels have the prices
    `NO_ASK` and `NO_BID` and the size 0, whatever the file wrote.
    """

    pair: Pair
    time: Int64
    kind: Int8
    order_id: Int64
    size: Int64
    price: Int64
    direction: Int8
    book: Int64

    def __len__(self) -> int:
        return len(self.time)

    def piece(self, start: int, stop: int) -> Sequence:
        """Rows ``start`` (inclusive) to ``stop`` (exclusive), as views."""
        rows = slice(start, stop)
        return Sequence(
            self.pair,
            self.time[rows],
            self.kind[rows],
            self.order_id[rows],
            self.size[rows],
            self.price[rows],
            self.direction[rows],
            self.book[rows],
        )

    def shallower(self, levels: int) -> Sequence:
        """With so many levels a side at most."""
        return replace(self, book=self.book[:, : 4 * levels])

    @property
    def levels(self) -> int:
        """How many levels a side the file has room for."""
        return int(self.book.shape[1]) // 4

    @property
    def two_sided(self) -> NDArray[np.bool_]:
        """Whether both best prices are there, in each book."""
        both: NDArray[np.bool_] = (self.book[:, 0] != NO_ASK) & (self.book[:, 2] != NO_BID)
        return both


def pairs_in(folder: Path) -> list[Pair]:
    """The pairs of a folder, by name.

    Raises
    ------
    InputError
        Without a pair, for a file whose other one is missing, and for a name that tells no ticker
        and no date.
    UsageError
        For files of several tickers.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", hint="name the folder of the LOBSTER files")
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    messages = [name for name in names if "message" in name and ".csv" in name]
    books = {name for name in names if "orderbook" in name and ".csv" in name}
    found = [_pair(folder, name, books) for name in messages]
    alone = books - {pair.books.name for pair in found}
    if alone:
        raise InputError(
            f"{folder / min(alone)}: there is no message file beside it",
            hint="messages and order books belong together; fetch the other file, or move this one",
        )
    if not found:
        raise InputError(
            f"{folder}: no file named *message*.csv",
            hint="LOBSTER's are named TICKER_DATE_START_END_message_LEVELS.csv",
        )
    tickers = sorted({pair.ticker for pair in found})
    if len(tickers) > 1:
        raise UsageError(
            f"{folder} holds files of {shown(', '.join(tickers))}",
            hint="give each ticker a folder of its own",
        )
    return found


def read_folder(folder: Path, progress: Callable[[int, int], None] | None = None) -> list[Sequence]:
    """All sequences of a folder, by date, time of the first message and name.

    ``progress`` is called with how many files are read, and of how many. Errors are those of
    `pairs_in` and `read_pair`.
    """
    pairs = pairs_in(folder)
    found = []
    for done, pair in enumerate(pairs, 1):
        found.append(read_pair(pair))
        if progress is not None:
            progress(done, len(pairs))
    return sorted(found, key=lambda one: (one.pair.date, int(one.time[0])))


def _pair(folder: Path, name: str, books: set[str]) -> Pair:
    match = _NAME.fullmatch(name)
    if match is None or not is_name(match["ticker"]):
        raise InputError(
            f"{folder / name}: the name tells no ticker and no date",
            hint="name it TICKER_YYYY-MM-DD_START_END_message_LEVELS.csv",
        )
    try:
        day_start(match["date"])
    except UsageError as error:
        raise InputError(
            f"{folder / name}: {match['date']} is no date", hint="correct the file's name"
        ) from error
    # one may be packed and the other not
    stem = name.replace("message", "orderbook").removesuffix(".gz").removesuffix(".zip")
    other = next((one for one in (stem, f"{stem}.gz", f"{stem}.zip") if one in books), None)
    if other is None:
        raise InputError(
            f"{folder / name}: there is no {stem} beside it",
            hint="messages and order books belong together; fetch the other file, or move this one",
        )
    levels = _LEVELS.match(match["rest"] or "")
    return Pair(
        match["ticker"],
        match["date"],
        folder / name,
        folder / other,
        int(levels[1]) if levels else 0,
    )


def read_pair(pair: Pair) -> Sequence:
    """The rows of a pair.

    Raises
    ------
    InputError
        For the first row that is damaged, and for files that do not fit together.
    """
    parts = [np.zeros((0, 6), np.int64)]
    line, last = 1, 0
    for line, rows in _rows(pair.messages, 6, 1, TIME_DIGITS):
        _check_messages(pair.messages, line, rows, last)
        last = int(rows[-1, 0])
        parts.append(rows)
    messages = np.concatenate(parts)
    width = 4 * pair.levels
    books: list[Int64] = []
    for line, rows in _rows(pair.books, width, 0, 0):
        books.append(_checked_books(pair.books, line, rows))
    book = np.concatenate(books) if books else np.zeros((0, 4), np.int64)
    if not len(messages) or len(messages) != len(book):
        raise InputError(
            f"{pair.messages} has {len(messages):,} rows, {pair.books.name} {len(book):,}",
            hint="each message has the order book that it left: " + _FETCH,
        )
    return Sequence(
        pair,
        messages[:, 0].copy(),
        messages[:, 1].astype(np.int8),
        messages[:, 2].copy(),
        messages[:, 3].copy(),
        messages[:, 4].copy(),
        messages[:, 5].astype(np.int8),
        book,
    )


def _rows(path: Path, columns: int, spare: int, first_exponent: int) -> Iterator[tuple[int, Int64]]:
    """Rows of a file as numbers, by blocks, and the line of the first; 0 columns: as they are."""
    line = 1
    for text in _texts(path):
        if line == 1 and text.lstrip()[:1].isalpha():  # names of columns
            text, line = text[text.index(b"\n") + 1 :], 2
            if not text:
                continue
        columns = columns or _width(path, line, text[: text.index(b"\n")])
        out = np.empty((text.count(b"\n"), columns), np.int64)
        buffer = np.frombuffer(text, np.uint8)
        rows, column, status, start, stop = read_rows(buffer, first_exponent, spare, out)
        if status != OK:
            reason, hint = _REASONS[status]
            value = shown(text[start:stop].decode("utf-8", "backslashreplace"), 40)
            told = f" {value!r}" if status not in (TOO_FEW, TOO_MANY) else ""
            name = _COLUMNS[column] if spare and column < 6 else f"column {column + 1}"
            raise InputError(f"{path}, row {line + rows}: {name}{told} {reason}", hint=hint)
        yield line, out
        line += rows


def _width(path: Path, line: int, first: bytes) -> int:
    columns = first.count(b",") + 1
    if columns % 4 or columns > 4 * MAX_LEVELS:
        raise InputError(
            f"{path}, row {line}: {columns:,} columns are no order book",
            hint="a level has four: price and size of the ask, price and size of the bid",
        )
    return columns


def _texts(path: Path) -> Iterator[bytes]:
    """The text of a file in blocks of whole lines, without blank lines at its end."""
    file = RecordingFile(path)
    carry = bytearray()
    for piece in file.plain():
        carry += piece
        if len(carry) < _BLOCK_BYTES:
            continue
        # of blank lines, which may be the file's last, only the first end is taken
        whole = len(carry[: carry.rfind(b"\n") + 1].rstrip())
        if whole:
            stop = carry.find(b"\n", whole) + 1
            yield bytes(carry[:stop])
            del carry[:stop]
        elif len(carry) > _MOST_LINE_BYTES:
            raise InputError(f"{path}: a row of more than {_MOST_LINE_BYTES:,} bytes", hint=_FETCH)
    if file.truncated_at is not None:
        raise InputError(
            f"{path}: the {file.compression} data breaks off after {file.truncated_at:,} bytes",
            hint=_FETCH,
        )
    rest = bytes(carry).rstrip()
    if rest:
        yield rest + b"\n"


def _check_messages(path: Path, line: int, rows: Int64, last: int) -> None:
    """InputError for the first message that cannot be one; ``last``: time of the one before."""
    time, kind, _, size, price, direction = rows.T
    before = np.append(last, time[:-1])
    plain = (kind >= NEW) & (kind <= EXECUTED_HIDDEN)
    _refuse(
        path,
        line,
        (
            (
                (time < 0) | (time >= DAY_NS),
                "the time is none of a day",
                "times are seconds after midnight",
            ),
            (time < before, "the time is before that of the row above", "sort the rows by time"),
            ((kind < NEW) | (kind > HALT), "the type is none", "types are 1 to 5, 6 and 7"),
            (plain & (size <= 0), "the size is not positive", _FETCH),
            (plain & (price <= 0), "the price is not positive", _PRICES),
            (price >= NO_ASK, "the price is too large", _PRICES),
            (size > MAX_SIZE, "the size is too large", _SIZES),
            (plain & (np.abs(direction) != 1), "the direction is neither 1 nor -1", _FETCH),
            (np.abs(direction) > 1, "the direction is neither 1 nor -1", _FETCH),
        ),
    )


def _checked_books(path: Path, line: int, rows: Int64) -> Int64:
    """Books with their empty levels as one; InputError for the first that cannot be one."""
    faults: list[_Fault] = []
    for name, side, empty, sign in (("ask", 0, NO_ASK, 1), ("bid", 2, NO_BID, -1)):
        price, size = rows[:, side::4], rows[:, side + 1 :: 4]
        none = np.isin(price, _EMPTY_PRICES)
        sized: _Bools = np.any(none & (size > 0), axis=1)
        odd: _Bools = np.any(~none & ((size <= 0) | (price < 0)), axis=1)
        large: _Bools = np.any((price > NO_ASK) | (size > MAX_SIZE), axis=1)
        price[none] = empty
        size[none] = 0
        step = sign * np.diff(price, axis=1)
        wrong: _Bools = np.any((step <= 0) & ~none[:, 1:], axis=1)
        faults += [
            (sized, f"an empty {name} level has a size", _FETCH),
            (odd, f"the price or the size of a level of the {name}s is not positive", _EMPTY),
            (large, f"the price or the size of a level of the {name}s is too large", _SIZES),
            (wrong, f"the {name}s are not sorted, or an empty level lies between", _SORTED),
        ]
    _refuse(path, line, faults)
    return rows


def _refuse(path: Path, line: int, faults: Iterable[_Fault]) -> None:
    """InputError for the first row that one of the faults is true of."""
    found = [(int(np.argmax(bad)), what, hint) for bad, what, hint in faults if bad.any()]
    if found:
        row, what, hint = min(found, key=lambda one: one[0])
        raise InputError(f"{path}, row {line + row}: {what}", hint=hint)
