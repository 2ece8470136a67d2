"""LOBSTER folders: rows to numbers exactly, damaged rows with their places, and blocks."""

from __future__ import annotations

import gzip
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lobproof.errors import GridError, InputError, LobproofError, UsageError
from lobproof.fidelity.metrics.blocks import Blocks, Scale
from lobproof.fidelity.metrics.lobster import lobster_blocks
from lobproof.fidelity.metrics.metric_kernels import (
    BOUGHT,
    MESSAGES,
    MID2,
    SOLD,
    SPREAD,
    SPREAD_COUNTS,
    TRADE_INTERVAL,
    TRADES,
    TRUSTED_SAMPLES,
)
from lobproof.schema import Kind, Side
from lobproof.sources.lobster import files
from lobproof.sources.lobster.batches import batches_of, instrument_of
from lobproof.sources.lobster.files import Sequence, pairs_in, read_pair
from lobproof.sources.recordings import reader
from plain.lob_bench import NO_PRICE, SECOND, Book, Row
from support.lobster_files import book_text, message_text, simulated, write_pair

pytestmark = pytest.mark.kernels

SCALE = Scale("0.01", "1", 10_000_000_000)
START = 34_200 * SECOND
DAY = 1_340_236_800 * SECOND
"""2012-06-21."""
GRID = 100_000_000
ROWS: list[Row] = [
    (START + 4_241_176, 1, 16113575, 18, 5853300, 1),
    (START + 25_552_206, 4, 16113584, 18, 5853900, -1),
    (START + 201_743_000, 5, 0, 100, 5853650, 1),
    (START + 300_000_001, 3, 16113575, 18, 5853300, 1),
]
BOOKS: list[Book] = [
    [5853900, 36, 5853300, 18, 5854000, 5, 5853000, 150],
    [5853900, 18, 5853300, 18, 5854000, 5, 5853000, 150],
    [5853900, 18, 5853300, 18, 5854000, 5, 5853000, 150],
    [5853900, 18, 5853000, 150, 5854000, 5, NO_PRICE[1], 0],
]
NAME = "34200000_57600000_{}_2"
MESSAGES_NAME = f"AAPL_2012-06-21_{NAME.format('message')}.csv"
BOOKS_NAME = f"AAPL_2012-06-21_{NAME.format('orderbook')}.csv"


def read(folder: Path) -> Sequence:
    (pair,) = pairs_in(folder)
    return read_pair(pair)


def is_as_written(found: Sequence, rows: list[Row], books: list[Book]) -> bool:
    columns = (found.time, found.kind, found.order_id, found.size, found.price, found.direction)
    read_rows = list(zip(*(column.tolist() for column in columns), strict=True))
    return read_rows == rows and found.book.tolist() == books


@pytest.mark.parametrize("packed", ["", ".gz", ".zip"])
@pytest.mark.parametrize("more", ["", ",17"])
def test_rows_come_back_as_they_were_written(tmp_path: Path, packed: str, more: str) -> None:
    write_pair(tmp_path, ROWS, BOOKS, name=NAME, packed=packed, more=more)
    assert is_as_written(read(tmp_path), ROWS, BOOKS)


def test_rows_of_a_market_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, books = simulated(1, 4)
    write_pair(tmp_path, rows, books)
    monkeypatch.setattr(reader, "_CHUNK", 333)
    monkeypatch.setattr(files, "_BLOCK_BYTES", 1000)
    assert is_as_written(read(tmp_path), rows, books)


def test_what_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of columns, line ends of Windows, blank lines at the end, whole numbers as floats."""
    monkeypatch.setattr(reader, "_CHUNK", 50)
    monkeypatch.setattr(files, "_BLOCK_BYTES", 60)
    text = "time,type,id,size,price,direction\n" + message_text(ROWS)
    text = text.replace(",18,", ", 18.0 ,").replace("\n", "\r\n")
    (tmp_path / MESSAGES_NAME).write_text(text + "\r\n\n \n" + "\n" * 200, newline="")
    # empty levels as JAX-LOB writes them, and no end of the last line
    books = book_text(BOOKS).replace(f"{NO_PRICE[1]},0", "-1,-1").rstrip()
    (tmp_path / BOOKS_NAME).write_text(books)
    assert is_as_written(read(tmp_path), ROWS, BOOKS)


def test_a_name_may_say_less(tmp_path: Path) -> None:
    write_pair(tmp_path, ROWS, BOOKS, name="{}_real_id_3_gen_id_0")
    found = read(tmp_path)
    assert (found.pair.ticker, found.pair.date, found.levels) == ("AAPL", "2012-06-21", 2)


def _cell(text: str, row: int, column: int, value: str | None) -> str:
    lines = text.splitlines()
    cells = lines[row - 1].split(",")
    cells[column : column + 1] = [] if value is None else [value]
    lines[row - 1] = ",".join(cells)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("row", "column", "value", "told"),
    [
        (2, 0, "34200.0255522061", "row 2: time '34200.0255522061' has too many digits"),
        (2, 0, "3.42e4", "row 2: time '3.42e4' is no decimal number"),
        (2, 0, "-1", "row 2: the time is none of a day"),
        (4, 0, "86400", "row 4: the time is none of a day"),
        (3, 0, "34200.01", "row 3: the time is before that of the row above"),
        (1, 1, "8", "row 1: the type is none"),
        (1, 1, "0", "row 1: the type is none"),
        (4, 2, "", "row 4: order id '' is no decimal number"),
        (3, 3, "1.5", "row 3: size '1.5' has too many digits"),
        (3, 3, "0", "row 3: the size is not positive"),
        (3, 4, "99999999999999999999", "row 3: price '99999999999999999999' is too large"),
        (2, 4, "-1", "row 2: the price is not positive"),
        (2, 4, "9999999999", "row 2: the price is too large"),
        (2, 3, "1000000000001", "row 2: the size is too large"),
        (2, 5, "0", "row 2: the direction is neither 1 nor -1"),
        (2, 5, "1,2,3", "row 2: column 8 is one too many"),
        (4, 5, None, "row 4: direction is missing"),
        (4, 3, "nan", "row 4: size 'nan' is no decimal number"),
        (4, 3, "\x1b[2J", r"row 4: size '\\x1b[2J' is no decimal number"),
    ],
)
def test_a_damaged_message_is_told_with_its_row(
    tmp_path: Path, row: int, column: int, value: str | None, told: str
) -> None:
    path = write_pair(tmp_path, ROWS, BOOKS, name=NAME)
    path.write_text(_cell(message_text(ROWS), row, column, value))
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert caught.value.message.startswith(f"{path}, {told}")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("row", "column", "value", "told"),
    [
        (2, 4, "5853900", "row 2: the asks are not sorted, or an empty level lies between"),
        (3, 6, "5853301", "row 3: the bids are not sorted, or an empty level lies between"),
        (1, 0, "9999999999", "row 1: an empty ask level has a size"),
        (1, 1, "0", "row 1: the price or the size of a level of the asks is not positive"),
        (2, 4, "10000000000", "row 2: the price or the size of a level of the asks is too large"),
        (2, 7, "1000000000001", "row 2: the price or the size of a level of the bids is too large"),
        (4, 2, "-7", "row 4: the price or the size of a level of the bids is not positive"),
        (4, 3, None, "row 4: column 8 is missing"),
        (4, 3, "1,1", "row 4: column 9 is one too many"),
        (2, 3, "x", "row 2: column 4 'x' is no decimal number"),
    ],
)
def test_a_damaged_book_is_told_with_its_row(
    tmp_path: Path, row: int, column: int, value: str | None, told: str
) -> None:
    write_pair(tmp_path, ROWS, BOOKS, name=NAME)
    path = tmp_path / BOOKS_NAME
    path.write_text(_cell(book_text(BOOKS), row, column, value))
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert caught.value.message.startswith(f"{path}, {told}")


def test_rows_are_counted_behind_names_and_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_CHUNK", 40)
    monkeypatch.setattr(files, "_BLOCK_BYTES", 40)
    path = write_pair(tmp_path, ROWS, BOOKS, name=NAME)
    path.write_text(
        "time,type,id,size,price,direction\n" + message_text(ROWS).replace(",3,", ",9,")
    )
    with pytest.raises(InputError, match="row 5: the type is none"):
        read(tmp_path)
    path.write_text(message_text([ROWS[0], ROWS[2], ROWS[1], ROWS[3]]))
    with pytest.raises(InputError, match="row 3: the time is before that of the row above"):
        read(tmp_path)
    path.write_text(message_text(ROWS[:2]) + "\n" + message_text(ROWS[2:]))
    with pytest.raises(InputError, match="row 3: time '' is no decimal number"):
        read(tmp_path)


def _shorter(folder: Path) -> None:
    (folder / BOOKS_NAME).write_text(book_text(BOOKS[:-1]))


def _no_books(folder: Path) -> None:
    (folder / BOOKS_NAME).unlink()


def _no_messages(folder: Path) -> None:
    (folder / MESSAGES_NAME).unlink()


def _nothing(folder: Path) -> None:
    _no_books(folder)
    _no_messages(folder)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_text("")


def _torn(folder: Path) -> None:
    rows, books = simulated(1, 4)
    path = write_pair(folder, rows, books, packed=".gz")
    _nothing(folder)
    path.write_bytes(path.read_bytes()[:-500])


def _spoilt(folder: Path) -> None:
    path = folder / f"{MESSAGES_NAME}.gz"
    data = bytearray(gzip.compress((folder / MESSAGES_NAME).read_bytes()))
    data[15] ^= 255
    path.write_bytes(data)
    (folder / MESSAGES_NAME).unlink()


def _three_columns(folder: Path) -> None:
    write_pair(folder, ROWS, [[1, 2, 3]] * 4, name="{}")
    _nothing(folder)


def _no_date(folder: Path) -> None:
    (folder / MESSAGES_NAME).rename(folder / "AAPL_message_2.csv")


def _odd_date(folder: Path) -> None:
    (folder / MESSAGES_NAME).rename(folder / MESSAGES_NAME.replace("06-21", "06-31"))


def _two_tickers(folder: Path) -> None:
    for name in (MESSAGES_NAME, BOOKS_NAME):
        (folder / name.replace("AAPL", "MSFT")).write_text((folder / name).read_text())


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_shorter, "has 4 rows, .* 3"),
        (_no_books, f"{MESSAGES_NAME}: there is no {BOOKS_NAME} beside it"),
        (_no_messages, f"{BOOKS_NAME}: there is no message file beside it"),
        (_nothing, r"no file named \*message\*.csv"),
        (_empty, "has 0 rows"),
        (_torn, "the gzip data breaks off after"),
        (_spoilt, "the gzip data is damaged"),
        (_three_columns, "row 1: 3 columns are no order book"),
        (_no_date, "the name tells no ticker and no date"),
        (_odd_date, "2012-06-31 is no date"),
        (_two_tickers, "holds files of AAPL, MSFT"),
    ],
)
def test_files_that_do_not_fit_together(tmp_path: Path, harm: object, told: str) -> None:
    write_pair(tmp_path, ROWS, BOOKS, name=NAME)
    assert callable(harm)
    harm(tmp_path)
    with pytest.raises(LobproofError, match=told):
        list(map(read_pair, pairs_in(tmp_path)))
    with pytest.raises(InputError, match="is no folder"):
        pairs_in(tmp_path / "none")


def test_events_and_states(tmp_path: Path) -> None:
    write_pair(tmp_path, ROWS, BOOKS, name=NAME)
    ((events, states),) = batches_of(read(tmp_path), instrument_of("AAPL", "0.01", "1"))
    trade, mark = int(Kind.TRADE), int(Kind.MARK)
    assert events.kind.tolist() == [mark, trade, trade, mark]
    assert events.side.tolist() == [0, int(Side.BUY), int(Side.SELL), 0]
    assert events.price.tolist() == [0, 5853900, 5853650, 0]
    assert events.ts_order.tolist() == [DAY + row[0] for row in ROWS]
    assert states.event_id.tolist() == [0, 1, 2, 3]
    assert states.levels[3, :6].tolist() == [5853000, 150, 0, 0, 0, 0]
    assert states.levels[3, 40:46].tolist() == [5853900, 18, 5854000, 5, 0, 0]
    assert states.bid_trusted.tolist() == [2, 2, 2, 2]
    assert states.ask_trusted.tolist() == [2, 2, 2, 2]


def test_nothing_is_trusted_in_a_halt_or_of_a_crossed_book(tmp_path: Path) -> None:
    rows: list[Row] = [
        (START, 1, 1, 5, 100, 1),
        (START, 7, 0, 0, -1, -1),  # halted
        (START, 1, 2, 5, 100, 1),
        (START, 7, 0, 0, 0, -1),  # quotes again
        (START, 7, 0, 0, 1, -1),  # trades again
        (START, 1, 3, 5, 103, 1),
        (START, 6, 0, 500, 102, -1),  # a cross trade is none of the continuous market
    ]
    good, bad = [102, 5, 100, 5], [102, 5, 103, 5]
    write_pair(tmp_path, rows, [good] * 5 + [bad, good], name="0_1_{}_1")
    ((events, states),) = batches_of(read(tmp_path), instrument_of("AAPL", "0.01", "1"))
    assert states.bid_trusted.tolist() == [1, 0, 0, 0, 1, 0, 1]
    assert states.ask_trusted.tolist() == [1, 0, 0, 0, 1, 0, 1]
    assert set(events.kind.tolist()) == {int(Kind.MARK)}


def blocks_of(folder: Path, pieces: list[tuple[list[Row], list[Book]]]) -> Blocks:
    for number, (rows, books) in enumerate(pieces):
        write_pair(folder, rows, books, name=f"0_1_{{}}_10_real_id_{number}")
    return lobster_blocks(folder, SCALE)


def moved(rows: list[Row], seconds: int) -> list[Row]:
    return [(row[0] + seconds * SECOND, row[1], row[2], row[3], row[4], row[5]) for row in rows]


def spread_counts(rows: list[Row], books: list[Book], end: int) -> Counter[int]:
    """Spreads in ticks at each 100 ms from the first message to ``end``, and how often."""
    found: Counter[int] = Counter()
    at, book = 0, None
    for ts in range(-(-rows[0][0] // GRID) * GRID, end + 1, GRID):
        while at < len(rows) and rows[at][0] <= ts:
            book = books[at]
            at += 1
        assert book is not None
        found[(book[0] - book[2]) // 100] += 1
    return found


@pytest.mark.compiled
def test_blocks_of_a_market(tmp_path: Path) -> None:
    rows, books = simulated(5, 25)
    blocks = blocks_of(tmp_path, [(rows, books)])
    assert blocks.start.tolist() == [DAY + START + k * 10 * SECOND for k in range(len(blocks))]
    series = blocks.series.sum(axis=(0, 1))
    trades = [row for row in rows if row[1] == 4]
    # what comes after the last sample of the grid is in none
    last = rows[-1][0] // GRID * GRID
    sampled = [row for row in rows if row[0] <= last]
    assert series[MESSAGES] == len(sampled)
    assert series[TRADES] == sum(row[1] == 4 for row in sampled)
    assert series[BOUGHT] == sum(row[3] for row in sampled if row[1] == 4 and row[5] == -1)
    assert series[SOLD] == sum(row[3] for row in sampled if row[1] == 4 and row[5] == 1)
    assert blocks.moments(TRADE_INTERVAL)[0].sum() == len(trades) - 1
    expected = spread_counts(rows, books, last)
    counted = blocks.counts(SPREAD).sum(axis=0)
    assert {k - 1: int(counted[k]) for k in np.flatnonzero(counted[:512])} == {
        spread: many for spread, many in expected.items() if spread < 511
    }
    assert counted.sum() == expected.total()


@pytest.mark.compiled
def test_nothing_is_known_between_files(tmp_path: Path) -> None:
    rows, books = simulated(5, 2)
    later = moved(rows, 5)
    much_later = moved(rows, 3600)
    blocks = blocks_of(tmp_path, [(much_later, books), (rows, books), (later, books)])
    assert blocks.start.tolist() == [DAY + START, DAY + START + 3600 * SECOND]
    one = blocks_of(tmp_path / "one", [(rows, books)])
    samples = int(one.tallies[0, TRUSTED_SAMPLES])
    assert blocks.tallies[:, TRUSTED_SAMPLES].tolist() == [2 * samples, samples]
    between = blocks.series[0, 25:45]
    assert (between[:, [MID2, SPREAD_COUNTS]] == 0).all()
    intervals = int(one.moments(TRADE_INTERVAL)[0].sum())
    assert blocks.moments(TRADE_INTERVAL)[0].tolist() == [2 * intervals, intervals]


@pytest.mark.compiled
def test_files_beside_each_other_in_time_are_no_market(tmp_path: Path) -> None:
    rows, books = simulated(5, 2)
    with pytest.raises(UsageError, match=r"real_id_1.csv begins before .*real_id_0.csv ends"):
        blocks_of(tmp_path, [(rows, books), (rows, books)])


@pytest.mark.compiled
def test_a_tick_may_be_finer_than_the_prices(tmp_path: Path) -> None:
    write_pair(tmp_path, ROWS, BOOKS, name=NAME)
    finer = lobster_blocks(tmp_path, Scale("0.00005", "0.1"))
    assert finer.instrument.price_exponent == 5
    with pytest.raises(GridError, match="too fine for shares"):
        lobster_blocks(tmp_path, Scale("0.00000001", "1"))
    assert math.isclose(finer.series[0, 1, MID2] / 2e5, (585.39 + 585.33) / 2)
