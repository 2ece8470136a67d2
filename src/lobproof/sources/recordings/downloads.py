"""Binance's own downloads: CSV files, whose rows become the messages that would have told them.

Such messages are made, not received: there is no receive time (the exchange's stands for it), and
a trade's E is its T. What has no ids, such as ``bookDepth`` or klines, is refused in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import PurePath

from lobproof.errors import InputError

_ID, _NUMBER, _TRUE = rb"([0-9]+)", rb"([0-9]+(?:\.[0-9]+)?)", rb"((?i:true|false))"
_TIME = rb"([0-9]{13}|[0-9]{16})"


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of download: its name in the files' names, its columns, a row, and its message."""

    name: str
    header: bytes
    row: re.Pattern[bytes]
    message: bytes
    stream: str


def _rows(*columns: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"^" + b",".join(columns) + rb"\r?$", re.MULTILINE)


_TABLES = (
    Table(
        "trades",
        b"id,price,qty,quote_?qty,time,is_?buyer_?maker,is_?best_?match",
        _rows(_ID, _NUMBER, _NUMBER, rb"[0-9.]+", _TIME, _TRUE, rb"(?i:true|false)"),
        rb'\4 {"e":"trade","E":\4,"s":"SYMBOL","t":\1,"p":"\2","q":"\3","T":\4,"m":\5,"M":true}',
        "trade",
    ),
    Table(
        "trades",  # of futures
        b"id,price,qty,quote_?qty,time,is_?buyer_?maker",
        _rows(_ID, _NUMBER, _NUMBER, rb"[0-9.]+", _TIME, _TRUE),
        rb'\4 {"e":"trade","E":\4,"T":\4,"s":"SYMBOL","t":\1,"p":"\2","q":"\3","X":"MARKET","m":\5}',
        "trade",
    ),
    Table(
        "aggTrades",
        b"agg_?trade_?id,price,quantity,first_?trade_?id,last_?trade_?id,transact_?time,"
        b"is_?buyer_?maker,is_?best_?match",
        _rows(_ID, _NUMBER, _NUMBER, _ID, _ID, _TIME, _TRUE, rb"(?i:true|false)"),
        rb'\6 {"e":"aggTrade","E":\6,"s":"SYMBOL","a":\1,"p":"\2","q":"\3","f":\4,"l":\5,"T":\6,'
        rb'"m":\7,"M":true}',
        "aggTrade",
    ),
    Table(
        "aggTrades",  # of futures
        b"agg_?trade_?id,price,quantity,first_?trade_?id,last_?trade_?id,transact_?time,"
        b"is_?buyer_?maker",
        _rows(_ID, _NUMBER, _NUMBER, _ID, _ID, _TIME, _TRUE),
        rb'\6 {"e":"aggTrade","E":\6,"s":"SYMBOL","a":\1,"p":"\2","q":"\3","f":\4,"l":\5,"T":\6,'
        rb'"m":\7}',
        "aggTrade",
    ),
    Table(
        "bookTicker",
        b"update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,"
        b"event_time",
        _rows(_ID, *[_NUMBER] * 4, _TIME, _TIME),
        rb'\7 {"e":"bookTicker","u":\1,"s":"SYMBOL","b":"\2","B":"\3","a":"\4","A":"\5","T":\6,'
        rb'"E":\7}',
        "bookTicker",
    ),
)
_DEPTH = re.compile(
    rb"^([A-Z0-9_]+),([0-9]{13}),([0-9]+),([0-9]+),([ab]),(set|snap|update),"
    rb"([0-9.]+),([0-9.]+),(-?[0-9]+)\r?$"
)
_DEPTH_HEADER = b"symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"
_REFUSED = {
    b"timestamp,percentage,depth": "Binance's bookDepth: sums within percents of the price, with "
    "neither levels nor ids; no order book can be made of it",
    b"open_time,open,high": "klines: no order book and no trade can be made of them",
    b"exchange,symbol,timestamp,local_timestamp": "tardis.dev's CSV: it has no update ids",
}
_REMEDY = {
    b"exchange": 'its raw replay (`<ISO time> {"stream":…}`) is read',
}
_READ = (
    "Binance's trades, aggTrades, bookTicker and T_DEPTH are read, and recordings of its streams"
)
_NAME = re.compile(r"([A-Z0-9_]+)-(?:trades|aggTrades|bookTicker)-")
_COLUMNS = re.compile(rb"[A-Za-z_]+(?:,[A-Za-z_]+)+")


def table_of(first: bytes) -> Table | str | None:
    """What a first line is of: a table, ``T_DEPTH``, or None where it is of none."""
    line = first.strip()
    if line.lower() == _DEPTH_HEADER or _DEPTH.match(line):
        return "T_DEPTH"
    for table in _TABLES:
        if re.fullmatch(table.header, line, re.IGNORECASE) or table.row.match(line):
            return table
    return None


def refuse(first: bytes, path: PurePath) -> None:
    """InputError for a CSV that is none of those that can be read."""
    line = first.strip()
    if _COLUMNS.fullmatch(line) is None:
        return
    what = next((told for begin, told in _REFUSED.items() if line.startswith(begin)), None)
    hint = next((told for begin, told in _REMEDY.items() if line.startswith(begin)), _READ)
    if what is not None:
        raise InputError(f"{path} is {what}", hint=hint)


def messages(lines: Iterator[bytes], table: Table | str, path: PurePath) -> Iterator[bytes]:
    """Whole lines of a CSV as plain lines of a recording; a header is a blank line.

    A row that is none stays as it is. Rows of T_DEPTH with one final update id are a message.
    """
    if isinstance(table, str):
        yield from _depth_messages(lines)
        return
    named = _NAME.match(path.name)
    if named is None:
        raise InputError(
            f"{path}: rows of {table.name} without a symbol, and the file's name tells none",
            hint=f"name it as Binance does: BTCUSDT-{table.name}-2024-01-01.csv",
        )
    symbol = named[1]
    head = b'{"stream":"%b@%b","data":' % (symbol.lower().encode(), table.stream.encode())
    text = table.message.replace(b"SYMBOL", symbol.encode())
    time, body = text.split(b" ", 1)
    text = time + b" " + head + body + b"}"
    for block in lines:
        yield (
            table.row.sub(text, block)
            .replace(b'"m":True', b'"m":true')
            .replace(b'"m":False', b'"m":false')
            if _COLUMNS.match(block) is None
            else b"\n" + table.row.sub(text, block[block.index(b"\n") + 1 :])
        )


def _depth_messages(lines: Iterator[bytes]) -> Iterator[bytes]:
    held: list[tuple[bytes, ...]] = []
    for block in lines:
        out: list[bytes] = []
        rows = list(held)
        for line in block.splitlines():
            found = _DEPTH.match(line)
            if found is None:
                out += map(_depth_message, _messages_of(rows))
                rows = []
                out.append(b"" if line.lower() == _DEPTH_HEADER else line)
            else:
                rows.append(found.groups())
        groups = _messages_of(rows)
        held = groups.pop() if groups else []
        out += map(_depth_message, groups)
        yield b"".join(line + b"\n" for line in out)
    if held:
        yield _depth_message(held) + b"\n"


def _messages_of(rows: list[tuple[bytes, ...]]) -> list[list[tuple[bytes, ...]]]:
    return [list(group) for _, group in groupby(rows, itemgetter(0, 1, 2, 3, 5, 8))]


def _depth_message(rows: list[tuple[bytes, ...]]) -> bytes:
    symbol, time, first, final, _, kind, _, _, previous = rows[0]
    bids, asks = (
        b",".join(b'["%b","%b"]' % (row[6], row[7]) for row in rows if row[4] == side)
        for side in (b"b", b"a")
    )
    low = symbol.lower()
    if kind == b"snap":
        return (
            b'%b {"stream":"%b@snapshot","data":{"lastUpdateId":%b,"E":%b,"T":%b,"bids":[%b],'
            b'"asks":[%b]}}' % (time, low, final, time, time, bids, asks)
        )
    return (
        b'%b {"stream":"%b@depth","data":{"e":"depthUpdate","E":%b,"T":%b,"s":"%b","U":%b,"u":%b,'
        b'"pu":%b,"b":[%b],"a":[%b]}}'
        % (time, low, time, time, symbol, first, final, previous, bids, asks)
    )
