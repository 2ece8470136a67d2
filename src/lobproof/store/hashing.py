"""Content hashes: what a table says, whatever its batches, its compression and its file names.

A *leaf* is the xxh3_128 of one column of one row group as little-endian numbers: grid counts for
decimals, 8 bytes for floats with one NaN, UTF-8 with a 32-bit length before each string. A part's
leaves come column by column, and row group by row group within a column. A table's hash is the
SHA-256 of a header (the table's schema and the instrument's identity) followed by each part's row
count (64 bits) and leaves; a part's own hash is that of a table of this one part. The content hash
is the SHA-256 of the five tables' hashes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xxhash

from lobproof.schema.tables import CONTENT_TABLES, Table
from lobproof.store.columns import Column, Grid
from lobproof.store.layout import Partition

LEAF_BYTES = 16


def leaf(column: Column) -> bytes:
    """The 16-byte hash of one column of one row group."""
    if not isinstance(column, np.ndarray):
        digest = xxhash.xxh3_128()
        for text in column:
            encoded = text.encode()
            digest.update(struct.pack("<I", len(encoded)))
            digest.update(encoded)
        return digest.digest()
    if column.dtype.kind == "f":
        column = np.where(np.isnan(column), np.nan, column)
    plain = np.ascontiguousarray(column, column.dtype.newbyteorder("<"))
    return xxhash.xxh3_128_digest(plain.view(np.uint8).data)


def file_hash(path: Path) -> str:
    """xxh3_128 of a file's bytes, in hexadecimal."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def header(table: Table, partition: Partition, grid: Grid) -> bytes:
    """What a table's hash starts with: its schema and the instrument's identity, as JSON."""
    document = {
        "table": table.name,
        "columns": [[field.name, str(field.type)] for field in table.schema],
        "exchange": partition.exchange,
        "symbol": partition.symbol,
        "price_exponent": grid.price,
        "size_exponent": grid.size,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def join_leaves(groups: Sequence[Sequence[bytes]]) -> bytes:
    """A part's leaves as one string: ``groups`` holds a leaf per column for each row group."""
    return b"".join(group[index] for index in range(len(groups[0])) for group in groups)


def table_hash(head: bytes, parts: Iterable[tuple[int, bytes]]) -> str:
    """Hash of a table, in hexadecimal.

    Parameters
    ----------
    head
        From `header`.
    parts
        Row count and joined leaves of each part, in order.
    """
    digest = hashlib.sha256(head)
    for rows, leaves in parts:
        digest.update(struct.pack("<Q", rows))
        digest.update(leaves)
    return digest.hexdigest()


def content_hash(hashes: Mapping[str, str]) -> str:
    """Hash over the hashes of the five content tables, in hexadecimal."""
    lines = "".join(f"{table.name} {hashes[table.name]}\n" for table in CONTENT_TABLES)
    return hashlib.sha256(lines.encode()).hexdigest()
