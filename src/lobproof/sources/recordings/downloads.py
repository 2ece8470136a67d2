"""Binance's own downloads: the rows of its CSV files as the messages that would have told them.

Such messages are made, not received. A download has one time, the exchange's: it stands for all
times of a message, its receive time too. Only what has ids is read; of what has none, such as
klines or ``bookDepth``, no gap could ever be seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lobproof.documents import QUOTED
from lobproof.errors import InputError, shown

_ID, _NUMBER, _TRUTH = r"[0-9]{1,18}", r"[0-9]+(?:\.[0-9]+)?", "(?i:true|false)"
_TIME = "[0-9]{13}|[0-9]{16}"
_COLUMNS = {
    "time": _TIME,
    "transact_time": _TIME,
    "event_time": _TIME,
    "transaction_time": _TIME,
    "timestamp": _TIME,
    "is_buyer_maker": _TRUTH,
    "is_best_match": _TRUTH,
    "symbol": "[A-Z0-9_]+",
    "side": "[ab]",
    "update_type": "set|update|snap",
    "first_update_id": "-?[0-9]{1,18}",
    "pu": "-?[0-9]{1,18}",
}
"""What stands in columns; in others an id, where the name says so, or a number."""
_MOST_HELD = 4 << 20
"""Bytes of the rows of one depth message."""
_FETCH = "fetch the download again, and hold it against its .CHECKSUM"


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of download.

    ``message`` is what a row becomes, with columns between ``<`` and ``>``; it is empty where rows
    are levels, of which several are a message. ``time`` is the column that gives the time.
    """

    name: str
    futures: bool
    columns: tuple[str, ...]
    time: str
    message: str = ""

    @property
    def row(self) -> str:
        """What matches a row, a group for each column."""
        kinds = (
            (name, _COLUMNS.get(name, _ID if name.endswith("id") else _NUMBER))
            for name in self.columns
        )
        return "^" + ",".join(f"(?P<{name}>{kind})" for name, kind in kinds) + "\r?$"


_TRADES = "id price qty quote_qty time is_buyer_maker"
_AGGREGATES = (
    "agg_trade_id price quantity first_trade_id last_trade_id transact_time is_buyer_maker"
)
_TRADE = '{"stream":"<low>@trade","data":{"e":"trade","E":<time>,'
_IDS = '"s":"<symbol>","t":<id>,"p":"<price>","q":"<qty>",'
_AGGREGATE = (
    '{"stream":"<low>@aggTrade","data":{"e":"aggTrade","E":<transact_time>,"s":"<symbol>",'
    '"a":<agg_trade_id>,"p":"<price>","q":"<quantity>","f":<first_trade_id>,"l":<last_trade_id>,'
    '"T":<transact_time>,"m":<is_buyer_maker>'
)
TABLES = (
    Table(
        "trades",
        False,
        (*_TRADES.split(), "is_best_match"),
        "time",
        f'{_TRADE}{_IDS}"T":<time>,"m":<is_buyer_maker>,"M":<is_best_match>}}}}',
    ),
    Table(
        "trades",
        True,
        tuple(_TRADES.split()),
        "time",
        f'{_TRADE}"T":<time>,{_IDS}"X":"MARKET","m":<is_buyer_maker>}}}}',
    ),
    Table(
        "aggTrades",
        False,
        (*_AGGREGATES.split(), "is_best_match"),
        "transact_time",
        f'{_AGGREGATE},"M":<is_best_match>}}}}',
    ),
    Table("aggTrades", True, tuple(_AGGREGATES.split()), "transact_time", f"{_AGGREGATE}}}}}"),
    Table(
        "bookTicker",
        True,
        (
            *("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty"),
            *("transaction_time", "event_time"),
        ),
        "event_time",
        '{"stream":"<low>@bookTicker","data":{"e":"bookTicker","u":<update_id>,"s":"<symbol>",'
        '"b":"<best_bid_price>","B":"<best_bid_qty>","a":"<best_ask_price>","A":"<best_ask_qty>",'
        '"T":<transaction_time>,"E":<event_time>}}',
    ),
    Table(
        "T_DEPTH",
        True,
        (
            *("symbol", "timestamp", "first_update_id", "last_update_id", "side", "update_type"),
            *("price", "qty", "pu"),
        ),
        "timestamp",
    ),
)
READ_DOWNLOADS = "Binance's trades, aggTrades, bookTicker and T_DEPTH downloads"
_CHANGES = (
    '{"stream":"<low>@depth","data":{"e":"depthUpdate","E":<timestamp>,"T":<timestamp>,'
    '"s":"<symbol>","U":<first_update_id>,"u":<last_update_id>,"pu":<pu>,"b":[<bids>],'
    '"a":[<asks>]}}'
)
_SNAPSHOT = (
    '{"stream":"<low>@snapshot","data":{"lastUpdateId":<last_update_id>,"E":<timestamp>,'
    '"T":<timestamp>,"bids":[<bids>],"asks":[<asks>]}}'
)
_SHARED = ("symbol", "timestamp", "first_update_id", "last_update_id", "update_type", "pu")
"""Columns that all rows of a depth message have alike."""
_NAMED = re.compile(r"([A-Z0-9_]+)-(?:trades|aggTrades|bookTicker)-")


def table_of(first: bytes) -> Table | None:
    """The download whose header, or row, a file's first line is."""
    line = first.decode("utf-8", "backslashreplace").strip()
    for table in TABLES:
        if _is_header(line, table) or re.match(table.row, line):
            return table
    return None


def _is_header(line: str, table: Table) -> bool:
    """Whether a line names a download's columns, in either of the ways that Binance writes them."""
    plain = line.strip().replace("_", "").lower().replace("baseqty", "quoteqty")
    return plain == ",".join(table.columns).replace("_", "")


class Download:
    """The rows of one file as plain lines of a recording: a block of them at a time.

    There is a line a row: a header is a blank one, and so is each row of a depth message behind
    its first.

    Raises
    ------
    InputError
        For a row that is none of the table, and where nothing tells the symbol.
    """

    def __init__(self, table: Table, path: Path) -> None:
        self._table = table
        self._path = path
        self._held = b""  # rows of a depth message that may have more
        self._rows = 0  # before those
        named = _NAMED.match(path.name)
        if named is None and "symbol" not in table.columns:
            raise InputError(
                f"{path}: rows of {table.name}, which name no symbol, and the file's name has none",
                hint=f"name it as Binance does: BTCUSDT-{table.name}-2024-01-01.zip",
            )
        self._symbol = "" if named is None else named[1]

    def __call__(self, block: bytes, *, last: bool = False) -> bytes:
        """Lines of the rows in a block, as far as whole messages go; ``last``: of all."""
        rows = self._read(self._held + block)
        if self._table.message:
            made = rows.select(self._line(self._table.message)).to_series()
            taken = len(rows)
        else:
            made, taken = self._messages(rows, last=last)
        self._held = b"".join(f"{line}\n".encode() for line in rows["line"][taken:])
        self._rows += taken
        if len(self._held) > _MOST_HELD:
            raise InputError(
                f"{self._path}, row {self._rows + 1:,}: a depth message of more than "
                f"{_MOST_HELD:,} bytes",
                hint=_FETCH,
            )
        return "".join(f"{line}\n" for line in made).encode() if taken else b""

    def _read(self, block: bytes) -> pl.DataFrame:
        """Lines and what their columns hold; null in all of a header and of a blank line."""
        text = block.decode("utf-8", "backslashreplace").removesuffix("\n")
        lines = pl.Series("line", [text] if block else [], pl.String).str.split("\n").explode()
        groups = lines.str.extract_groups(self._table.row).struct.unnest()
        rows = pl.DataFrame([lines, *groups.get_columns()])
        unread = rows[self._table.time].is_null() & (lines.str.strip_chars() != "")
        for at in unread.arg_true():
            if not _is_header(lines[at], self._table):
                raise InputError(
                    f"{self._path}, row {self._rows + at + 1:,}: no row of Binance's "
                    f"{self._table.name}: '{shown(lines[at], QUOTED)}'",
                    hint=_FETCH,
                )
        if "symbol" not in rows.columns:
            rows = rows.with_columns(symbol=pl.lit(self._symbol))
        return rows.with_columns(
            pl.col("symbol").str.to_lowercase().alias("low"),
            pl.col("^is_.*$").str.to_lowercase(),
        )

    def _line(self, message: str) -> pl.Expr:
        """``<ns> <JSON>`` of a row; blank where it has none."""
        time = pl.col(self._table.time)
        zeros = pl.when(time.str.len_bytes() == 13).then(pl.lit("000000")).otherwise(pl.lit("000"))
        parts = re.split("<([a-z_]+)>", message)
        texts = (pl.col(one) if at % 2 else pl.lit(one) for at, one in enumerate(parts))
        return pl.concat_str([time, zeros, pl.lit(" "), *texts]).fill_null("")

    def _messages(self, rows: pl.DataFrame, *, last: bool) -> tuple[pl.Series, int]:
        """Depth messages, each with a blank line a further row, and how many rows are in them."""
        rows = rows.with_columns(run=pl.struct(_SHARED).rle_id())
        if not last and len(rows):
            whole = rows.filter(pl.col("run") < pl.col("run").last())
        else:
            whole = rows
        if (whole["update_type"] == "snap").any():  # which lists the best first; rows need not
            price = pl.col("price").cast(pl.Float64) * pl.when(side="b").then(-1).otherwise(1)
            best = pl.when(update_type="snap").then(price).otherwise(0)
            whole = whole.sort("run", best, maintain_order=True)
        level = pl.format('["{}","{}"]', "price", "qty")
        groups = whole.group_by("run", maintain_order=True).agg(
            *(pl.col(name).first() for name in (*_SHARED, "low")),
            level.filter(pl.col("side") == "b").str.join(",").alias("bids"),
            level.filter(pl.col("side") == "a").str.join(",").alias("asks"),
            more=pl.len() - 1,
        )
        kind = pl.when(pl.col("update_type") == "snap")
        line = kind.then(self._line(_SNAPSHOT)).otherwise(self._line(_CHANGES))
        blank = pl.lit("\n").repeat_by("more").list.join("")
        made = groups.select(pl.concat_str(line, blank)).to_series()
        return made, len(whole)
