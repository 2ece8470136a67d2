"""What a file that is no recording looks like, and what would be read in its place."""

from __future__ import annotations

import re
from typing import NamedTuple

from lobproof.sources.recordings.downloads import READ_DOWNLOADS

READ = (
    "a recording has lines of <receive time> <JSON>, or JSON with the time in a field, the time in "
    "s, ms, µs or ns since 1970 or an ISO time, plain or compressed by gzip, zstd, xz, bzip2 or "
    f"zip; {READ_DOWNLOADS} are read too"
)
_ERROR = "it is a server's answer, not the file that was asked for: fetch it again"
_CANDLES = (
    f"neither an order book nor a trade can be made of them; recordings of streams are read, and "
    f"{READ_DOWNLOADS}"
)
_UNPACK = "unpack it by hand, and import the recording that is in it"
_TARDIS = (
    "it has no update ids, so that no gap could be seen; tardis.dev's raw replay "
    '(lines of <ISO time> {"stream":…}) is read'
)
_LINES = "export its messages as lines of <receive time> <JSON>"


class Likeness(NamedTuple):
    """What a file looks like, and the remedy."""

    what: str
    hint: str


_LIKENESSES = (
    (rb"PAR1", "a Parquet file", "a folder of Crypto Lake's tables goes to lobproof reconstruct"),
    (rb"ARROW1|\xff\xff\xff\xff.\x00\x00\x00", "an Arrow file", _LINES),
    (
        rb"\xd4\xc3\xb2\xa1|\xa1\xb2[\xc3\x3c][\xd4\x4d]|\x4d\x3c\xb2\xa1|\n\r\r\n",
        "a packet capture (pcap)",
        _LINES,
    ),
    (rb"SQLite format 3\x00", "a SQLite database", _LINES),
    (rb"\x89HDF\r\n", "an HDF5 file", _LINES),
    (rb"\x93NUMPY", "an array of NumPy's", _LINES),
    (rb"\x80[\x02-\x05]", "a Python pickle", _LINES),
    (rb"Obj\x01", "an Avro file", _LINES),
    (rb"\x04\x22\x4d\x18", "an lz4 file", _UNPACK),
    (rb"\xff\x06\x00\x00sNaPpY", "a snappy file", _UNPACK),
    (
        rb"\x5a\x2a\x4d\x18.{4}age-encryption\.org/v1\n",
        "an encrypted journal of lobproof capture",
        "name it as it was, in the capture's folder, and the file of an identity: --identity",
    ),
    (
        rb"age-encryption\.org/v1\n|-----BEGIN AGE ENCRYPTED FILE-----",
        "a file that age encrypted",
        "decrypt it by hand (age -d), and import the recording that is in it",
    ),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Rar!", "a rar archive", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"(?i)\s*(?:<!doctype html|<html)", "a page of HTML", _ERROR),
    (rb"\s*<\?xml|\s*<Error>", "an XML document", _ERROR),
    (rb'\{\s*"code":\s*-?[0-9]+,\s*"msg"', "an error that Binance answered", _ERROR),
    (
        rb'\{\s*"timezone":\s*"',
        "Binance's exchangeInfo",
        "give it as exchange_info= (--exchange-info)",
    ),
    (rb"exchange,symbol,timestamp,local_timestamp", "a CSV file of tardis.dev's", _TARDIS),
    (
        rb"timestamp,percentage,depth",
        "Binance's bookDepth: sums within percents of the price, without levels or ids",
        _CANDLES,
    ),
    (
        rb"(?i)(?:\w+,){0,3}open,high,low,close|\[?\s*\[?[0-9]{13}(?:,\s*\"?[0-9.]+\"?){5}",
        "klines (candles)",
        _CANDLES,
    ),
    (
        rb"(?:origin_time|received_time|timestamp|receipt_timestamp),[\w,]*sequence_number",
        "a table of Crypto Lake's as CSV",
        "its Parquet files are read: give their folder to lobproof reconstruct",
    ),
)
_PATTERNS = tuple(
    (re.compile(pattern, re.DOTALL), Likeness(what, hint)) for pattern, what, hint in _LIKENESSES
)


def likeness(head: bytes) -> Likeness | None:
    """What a file with this beginning looks like, None if like nothing that is known.

    Lines of text are told by the first.
    """
    first = head.split(b"\n", 1)[0]
    for pattern, found in _PATTERNS:
        if pattern.match(head) or pattern.match(first):
            return found
    return None
