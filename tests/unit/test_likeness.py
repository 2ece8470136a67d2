"""Files that are no recordings: each is told what it looks like, and what would be read."""

from __future__ import annotations

import gzip
import io
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lobproof.errors import InputError
from lobproof.sources.recordings import import_recordings

KLINE = b'[1499040000000,"0.0163","0.8","0.015","0.0157","148976.1",1499644799999,"2434.1",308]'


def _frame() -> pl.DataFrame:
    return pl.DataFrame({"origin_time": [1, 2], "price": [1.5, 2.5]})


def _parquet() -> bytes:
    buffer = io.BytesIO()
    _frame().write_parquet(buffer)
    return buffer.getvalue()


def _arrow() -> bytes:
    buffer = io.BytesIO()
    _frame().write_ipc(buffer)
    return buffer.getvalue()


def _arrow_stream() -> bytes:
    buffer = io.BytesIO()
    _frame().write_ipc_stream(buffer)
    return buffer.getvalue()


def _numpy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


def _sqlite() -> bytes:
    database = sqlite3.connect(":memory:")
    database.execute("create table trades (price real)")
    return database.serialize()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("recording.txt"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_parquet, "a Parquet file"),
        (_arrow, "an Arrow file"),
        (_arrow_stream, "an Arrow file"),
        (_numpy, "an array of NumPy's"),
        (_sqlite, "a SQLite database"),
        (_tar, "a tar archive"),
        (lambda: gzip.compress(_tar()), "a tar archive"),
        (lambda: b"\xd4\xc3\xb2\xa1\x02\0\x04\0" + bytes(16), r"a packet capture \(pcap\)"),
        (lambda: b"\x80\x04\x95abc", "a Python pickle"),
        (lambda: b"\x04\x22\x4d\x18abc", "an lz4 file"),
        (
            lambda: b"\x5a\x2a\x4d\x18\0\1\0\0age-encryption.org/v1\n-> X25519 ab\n",
            "an encrypted journal of lobproof capture",
        ),
        (lambda: b"age-encryption.org/v1\n-> X25519 ab\n", "a file that age encrypted"),
        (lambda: b"<!DOCTYPE html>\n<html>", "a page of HTML"),
        (
            lambda: b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>',
            "an XML document",
        ),
        (lambda: b'{"code":-1121,"msg":"Invalid symbol."}', "an error that Binance answered"),
        (lambda: b'{"timezone":"UTC","symbols":[]}', "Binance's exchangeInfo"),
        (lambda: b"[" + KLINE + b"," + KLINE + b"]", "klines"),
        (lambda: KLINE[1:-1].replace(b'"', b""), "klines"),
        (lambda: b"open_time,open,high,low,close,volume\n1700000000000,1,2,3,4,5\n", "klines"),
        (lambda: b"date,symbol,open,high,low,close\n", "klines"),
        (lambda: b"timestamp,percentage,depth,notional\n2023-01-01 00:06:05,-5,1,2\n", "bookDepth"),
        (
            lambda: gzip.compress(
                b"exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
            ),
            "a CSV file of tardis.dev's",
        ),
        (
            lambda: b"origin_time,received_time,sequence_number,side_is_bid,price,size\n1,2,3,4",
            "a table of Crypto Lake's as CSV",
        ),
    ],
)
def test_what_it_looks_like(make: Callable[[], bytes], words: str, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(make())
    with pytest.raises(InputError, match=f"not a recording; it looks like .*{words}") as caught:
        import_recordings([file], tmp_path / "golden")
    assert caught.value.message.startswith(str(file))
    assert caught.value.hint
    assert not (tmp_path / "golden").exists()


def test_what_looks_like_nothing_known(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_bytes(b"hello\nworld\n")
    with pytest.raises(
        InputError, match="line 1: not a recording's; it begins with 'hello'"
    ) as one:
        import_recordings([file], tmp_path / "golden")
    assert "lines of <receive time> <JSON>" in one.value.hint
    assert "T_DEPTH downloads" in one.value.hint


def test_messages_of_other_kinds(tmp_path: Path) -> None:
    file = tmp_path / "klines"
    file.write_bytes(b'1700000000000 {"e":"kline","E":1700000000000,"s":"BTCUSDT","k":{}}\n' * 3)
    with pytest.raises(InputError, match="of 3 messages of BTCUSDT none is of its book") as caught:
        import_recordings([file], tmp_path / "golden")
    assert "depthUpdate" in caught.value.hint
